/* SPDX-License-Identifier: Apache-2.0 */
/* model_header.c: ID.h, all that a program needs to know of an emitted model: sizes, error codes, entry points. C99 and C++.
 *
 *   #define net_ARENA_BYTES 6112   #define net_IN_image_ELEMS 784   int net_run(void *arena, const float *image, float *scores);
 */
#include "model.h"
#include "ir/list.h"

static void put_tensor(const Model *m, Text *t, const Tensor *k, const char *name, const char *way) {
    Text what = {0};
    text_printf(&what, "%s '%.64s': ", way[0] == 'I' ? "input" : "output", k->name);
    type_print(k->packed ? k->packed : &k->type, &what);
    put_comment(t, what.s, 0);
    text_free(&what);
    if (k->packed) {
        put_comment(t, "at most: words of its dims list, and bytes of the tensors, each of which starts at a multiple of 16", 0);
        text_printf(t, "#define %s_%s_%s_DIMS %lld\n", m->id, way, name, (long long)tensor_dim_words(k));
        text_printf(t, "#define %s_%s_%s_BYTES %lld\n", m->id, way, name, (long long)tensor_bytes(k));
        return;
    }
    if (k->type.ext) put_comment(t, "at most, as is the size of what is handed over; extents are parameters", 0);
    text_printf(t, "#define %s_%s_%s_ELEMS %lld\n", m->id, way, name, (long long)tensor_elements(k));
    text_printf(t, "#define %s_%s_%s_BYTES %lld\n", m->id, way, name, (long long)tensor_bytes(k));
}
void model_header(const Model *m, Text *t) {
    static const char *const error[][2] = {{"OK", "done"},
                                           {"E_ARENA", "the arena is NULL or not at a multiple of 64"},
                                           {"E_INPUT", "an input is NULL or not valid"},
                                           {"E_SHAPE", "an input's dims are not the model's"},
                                           {"E_OUTPUT", "an output is NULL"},
                                           {"E_BOUND", "an extent computed from values exceeds its bound"},
                                           {"E_WEIGHTS", "the weights are not bound, or not those of this model"},
                                           {"E_THREADS", "more threads than the model was compiled for"},
                                           {"E_TARGET", "this machine lacks instructions that the model was compiled for"}};
    const Graph *g = m->p->g;
    const char *id = m->id;
    text_puts(t, "/* SPDX-License-Identifier: 0BSD */\n");
    put_comment(t, arena_printf(m->a, "%s.h: a neural network compiled to C by Quern %s.", id, m->o->version ? m->o->version : ""), 0);
    text_printf(t, "#ifndef %s_H\n#define %s_H\n#include <stddef.h>\n#include <stdint.h>\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
                id, id);
    text_printf(
        t,
        "/* Working memory: %s_ARENA_BYTES at a multiple of 64, for one call at a time. Its first %s_STATE_BYTES are zero before the\n"
        " * first call and belong to the model until %s_release; the rest means nothing between calls. */\n"
        "#define %s_ARENA_BYTES %lld\n#define %s_STATE_BYTES %lld\n#define %s_WEIGHTS_BYTES %lld\n#define %s_THREADS %d\n\n",
        id, id, id, id, (long long)m->arena_bytes, id, (long long)m->state_bytes, id, (long long)m->p->weights_bytes, id, m->threads);
    for (int i = 0; i < g->in.n; i++) put_tensor(m, t, g->in.v[i], m->in[i], "IN");
    for (int i = 0; i < g->out.n; i++) put_tensor(m, t, g->out.v[i], m->out[i], "OUT");
    text_puts(t, "\n");
    for (size_t i = 0; i < sizeof error / sizeof *error; i++)
        text_printf(t, "#define %s_%-10s %d /* %s */\n", id, error[i][0], (int)i, error[i][1]);
    text_puts(t, "\n/* Inputs are not written; pointers need the alignment of their element type only and do not overlap.\n"
                 " * Nothing is written when the result is not 0. */\n");
    run_signature(m, t);
    text_printf(t,
                ";\n/* The same for any model: pointers in the model's order; a list of dims, or an entry of it, may be NULL. */\n"
                "int %s_invoke(void *arena, const void *const *inputs, const int64_t *const *input_dims,\n"
                "    void *const *outputs, int64_t *const *output_dims);\n"
                "int %s_set_threads(void *arena, int n); /* 1 to %s_THREADS%s */\n",
                id, id, id, m->threads > 1 ? ", which is what is used at first" : "");
    if (m->weights == WEIGHTS_FILE)
        text_printf(t,
                    "/* Before the first run: the bytes of %s.weights, at a multiple of 8; they must stay there until %s_release. */\n"
                    "int %s_bind(void *arena, const void *weights, size_t bytes);\n",
                    id, id, id);
    if (m->access)
        text_printf(
            t,
            "\n/* Called for every word that moves; defined by whoever links this. level: 0 is the outermost; operand: in the order of\n"
            " * the inputs, then the output; kind: 0 read, 1 fill, 2 update; offset: in the array of the level's instance, at level 0\n"
            " * in the tensor. */\n"
            "void %s_access(int level, int operand, int kind, int64_t instance, int64_t offset);\n",
            id);
    text_printf(t, "void %s_release(void *arena);\n\n#ifdef __cplusplus\n}\n#endif\n#endif\n", id);
}
