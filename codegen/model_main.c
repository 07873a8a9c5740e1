/* SPDX-License-Identifier: Apache-2.0 */
/* model_main.c: ID_main.c, a program around an emitted model for a first look: raw little-endian input files are its
 * arguments (zeros for those not given); it prints the outputs and the time of one run.
 */
#include "model.h"
#include "ir/list.h"

static const char *print_cast(DType dt, const char **format) {
    switch (dtype_info[dt].cls) {
    case CLS_FLOAT:
        if (dt == DT_FLOAT32 || dt == DT_FLOAT64) {
            *format = "%.9g";
            return "(double)";
        }
        *format = "0x%x";
        return "(unsigned)";
    case CLS_CPLX: *format = "%.9g"; return "(double)";
    case CLS_UINT: *format = "%llu"; return "(unsigned long long)";
    case CLS_SINT:
        if (dtype_packed(dt)) {
            *format = "0x%x";
            return "(unsigned)";
        }
        *format = "%lld";
        return "(long long)";
    default: *format = "%u"; return "(unsigned)";
    }
}
void model_main(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    const char *id = m->id;
    bool file = m->weights == WEIGHTS_FILE, lists = false;
    for (int i = 0; i < g->in.n; i++) lists |= g->in.v[i]->packed != NULL;
    text_printf(t,
                "/* SPDX-License-Identifier: 0BSD */\n"
                "/* %s_main.c: runs the network once. Arguments: one raw little-endian file per input; zeros where none is given.%s%s */\n"
                "#include \"%s.h\"\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <time.h>\n\n"
                "static void *blocks[%d]; /* freed at the end */\nstatic int nblocks;\n"
                "static void *memory(size_t bytes) {\n    char *p = calloc(bytes + 64, 1);\n"
                "    if (!p) {\n        fprintf(stderr, \"out of memory\\n\");\n        exit(1);\n    }\n"
                "    blocks[nblocks++] = p;\n    return p + (64 - (uintptr_t)p %% 64) %% 64;\n}\n"
                "static void load(const char *path, void *to, size_t bytes) {\n    FILE *f = fopen(path, \"rb\");\n"
                "    if (!f || fread(to, 1, bytes, f) != bytes) {\n"
                "        fprintf(stderr, \"%%s: cannot read %%lu bytes\\n\", path, (unsigned long)bytes);\n        exit(1);\n    }\n    "
                "fclose(f);\n}\n\n"
                "int main(int argc, char **argv) {\n    void *arena = memory(%s_ARENA_BYTES);\n",
                id, lists ? "\n * What is no tensor has the largest dims list, so the file holds all bytes." : "",
                file ? "\n * The weights are read from the current folder." : "", id, 2 + g->in.n + 2 * g->out.n, id);
    for (int i = 0; i < g->in.n; i++) {
        text_printf(t, "    %s *%s = memory(%s_IN_%s_BYTES);\n", dtype_info[g->in.v[i]->type.dt].ctype, m->in[i], id, m->in[i]);
        if (!m->in_dims[i]) continue;
        int64_t words, *dims = wrap_dims(m->a, g->in.v[i]->packed, &words);
        text_printf(t, "    static const int64_t %s[] = {", m->in_dims[i]);
        for (int64_t k = 0; k < words; k++) text_printf(t, "%s%lld", !k ? "" : k % 20 ? ", " : ",\n        ", (long long)dims[k]);
        text_puts(t, "};\n");
    }
    for (int i = 0; i < g->out.n; i++) {
        text_printf(t, "    %s *%s = memory(%s_OUT_%s_BYTES);\n", dtype_info[g->out.v[i]->type.dt].ctype, m->out[i], id, m->out[i]);
        if (g->out.v[i]->packed) text_printf(t, "    int64_t *%s = memory(%s_OUT_%s_DIMS * sizeof(int64_t));\n", m->dims[i], id, m->out[i]);
    }
    if (file) text_printf(t, "    void *weights = memory(%s_WEIGHTS_BYTES + %d);\n", id, WEIGHTS_HEADER);
    text_puts(t, "    clock_t start;\n    int status;\n");
    if (!g->in.n) text_puts(t, "    (void)argc;\n    (void)argv;\n    (void)load;\n");
    for (int i = 0; i < g->in.n; i++)
        text_printf(t, "    if (argc > %d) load(argv[%d], %s, %s_IN_%s_BYTES);\n", i + 1, i + 1, m->in[i], id, m->in[i]);
    if (file)
        text_printf(
            t,
            "    load(\"%s.weights\", weights, %s_WEIGHTS_BYTES + %d);\n    status = %s_bind(arena, weights, %s_WEIGHTS_BYTES + %d);\n"
            "    if (status) return fprintf(stderr, \"%s_bind: error %%d\\n\", status), 1;\n",
            id, id, WEIGHTS_HEADER, id, id, WEIGHTS_HEADER, id);
    text_printf(t, "    start = clock();\n    status = %s_run(arena", id);
    for (int i = 0; i < g->extent.n; i++)
        if (m->extent[i]) text_printf(t, ", %lld", (long long)g->extent.v[i]->hi);
    for (int i = 0; i < g->in.n; i++) text_printf(t, m->in_dims[i] ? ", %s, %s" : ", %s", m->in[i], m->in_dims[i]);
    for (int i = 0; i < g->out.n; i++)
        text_printf(t, g->out.v[i]->packed ? ", %s, %s" : m->dims[i] ? ", %s, NULL" : ", %s", m->out[i], m->dims[i]);
    text_printf(t, ");\n    start = clock() - start;\n    if (status) return fprintf(stderr, \"%s_run: error %%d\\n\", status), 1;\n", id);
    for (int i = 0; i < g->out.n; i++) {
        const Tensor *k = g->out.v[i];
        const char *format, *cast = print_cast(k->type.dt, &format);
        if (k->packed)
            text_printf(t,
                        "    printf(\"%s, dims list:\");\n    for (long i = 0; i < %s_OUT_%s_DIMS && i < 1000; i++) printf(\" %%lld\", "
                        "(long long)%s[i]);\n"
                        "    printf(\"\\n\");\n",
                        m->out[i], id, m->out[i], m->dims[i]);
        text_printf(t,
                    "    printf(\"%s:\");\n    for (long i = 0; i < (long)(%s_OUT_%s_BYTES / sizeof *%s) && i < 1000; i++) printf(\" %s\", "
                    "%s%s[i]);\n    printf(\"\\n\");\n",
                    m->out[i], id, m->out[i], m->out[i], format, cast, m->out[i]);
    }
    text_printf(t,
                "    printf(\"%%.3f ms\\n\", 1e3 * (double)start / CLOCKS_PER_SEC);\n    %s_release(arena);\n    while (nblocks) "
                "free(blocks[--nblocks]);\n    return 0;\n}\n",
                id);
}
