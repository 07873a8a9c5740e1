/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: kernels that stream (elementwise, normalising, reducing, moving) as the passes make them, against hand-written ones and
 * against copying as many bytes, in one process.
 *   stream KERNELS WORK TARGET [CASE]
 * Each case is a graph of stream.def; its one kernel is printed to WORK/CASE.c and compiled, with `hand` beside it. Both run in turn
 * with a memcpy of as many bytes as the kernel reads and writes. Prints medians, hand-written time / ours, copying time / ours. */
#include "codegen/codegen.h"
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void (*StreamFn)(void *const *p);
typedef struct Case {
    const char *name, *graph, *hand; /* hand: C text of `static void hand(void *const *p)`; p: inputs, then outputs */
} Case;
static const Case cases[] = {
#define STREAM(name, graph, hand) {#name, graph, hand},
#include "stream.def"
#undef STREAM
};
enum { PARAMS = 16 };
typedef struct Job {
    void *p[PARAMS], *q[PARAMS], *scratch; /* for ours; for hand (results apart) */
    int64_t bytes[PARAMS], moved;
    int n, nin;
} Job;

static void *filled(int64_t bytes, bool floats) {
    static uint32_t seed = 1;
    void *p;
    if (posix_memalign(&p, 4096, (size_t)bytes + 4096) != 0) abort();
    memset(p, 0, (size_t)bytes);
    for (int64_t i = 0; floats && i < bytes / 4; i++) {
        seed = seed * 1664525u + 1013904223u;
        ((float *)p)[i] = (float)((double)(seed >> 8) / (1 << 23) - 1);
    }
    return p;
}
/* Prints `void run(void *const *p)` around the program's one kernel. */
static bool write_ours(Ctx *c, const Case *k, const Target *t, const char *work, Job *job) {
    Graph *g = graph_parse(c, k->name, k->graph);
    PassOptions o = {.target = t, .threads = 1};
    Program *p = g ? passes_run(c, g, &o) : NULL;
    if (!p) return false;
    if (p->k.n != 1) return fprintf(stderr, "%s: %d kernels, expected one\n", k->name, p->k.n), false;
    const Kernel *kernel = p->k.v[0];
    Func *f = kernel->f;
    f->name = "ours"; /* a kernel may be called as a function of the C library */
    Text out = {0};
    HelperSet set = {0};
    EmitStyle style = {true, t->attribute, t};
    emit_helpers_of(f, &set);
    text_puts(&out, "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n");
    if (t->include) text_printf(&out, "#include <%s>\n", t->include);
    emit_helpers(&out, &set);
    emit_func(&out, f, &style, true, NULL);
    text_printf(&out, "void run(void *const *p);\nvoid run(void *const *p) { %s(", f->name);
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        int at = -1;
        for (int j = 0; j < g->in.n; j++)
            if (g->in.v[j] == b->tensor) at = j;
        for (int j = 0; j < g->out.n; j++)
            if (g->out.v[j] == b->tensor) at = g->in.n + j;
        if (b->tensor && at < 0) return fprintf(stderr, "%s: '%s' is neither input nor output\n", k->name, b->name), false;
        if (b->tensor) text_printf(&out, "%sp[%d]", i ? ", " : "", at);
        else text_printf(&out, "%sp[%d]", i ? ", " : "", g->in.n + g->out.n);
    }
    text_puts(&out, "); }\n");
    job->nin = g->in.n, job->n = g->in.n + g->out.n;
    for (int i = 0; i < job->n; i++) {
        const Tensor *x = i < g->in.n ? g->in.v[i] : g->out.v[i - g->in.n];
        int64_t count;
        if (!type_elements(&x->type, &count) || !dtype_bytes(x->type.dt, count, &job->bytes[i])) return false;
        job->moved += job->bytes[i];
        job->p[i] = filled(job->bytes[i], i < job->nin && x->type.dt == DT_FLOAT32);
        job->q[i] = i < job->nin ? job->p[i] : filled(job->bytes[i], false);
    }
    job->p[job->n] = filled(1 << 24, false);
    bool ok = file_write_whole(c, arena_printf(c->a, "%s/%s.c", work, k->name), out.s, out.n);
    text_free(&out);
    const char *hand = arena_printf(c->a,
                                    "#define main hand_main\n#include \"vecmath_f32.c\"\n#include <string.h>\n%s\n"
                                    "void run(void *const *p);\nvoid run(void *const *p) { hand(p); }\n",
                                    k->hand);
    return ok && file_write_whole(c, arena_printf(c->a, "%s/%s_hand.c", work, k->name), hand, strlen(hand));
}
static StreamFn compile(Ctx *c, const char *work, const char *file, const char *flags) {
    const char *cc = getenv("CC");
    const char *so = arena_printf(c->a, "%s/%s.so", work, file);
    const char *cmd = arena_printf(c->a, "%s -O2 -fPIC -shared -w %s -o '%s' '%s/%s.c' -lm", cc ? cc : "cc", flags, so, work, file);
    if (system(cmd) != 0) return NULL;
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL), *fn = lib ? dlsym(lib, "run") : NULL;
    if (!fn) fprintf(stderr, "%s: %s\n", so, dlerror());
    StreamFn k;
    memcpy(&k, &fn, sizeof k);
    return k;
}
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static bool measure(const Case *k, Job *j, StreamFn ours, StreamFn hand) {
    enum { ROUNDS = 61 };
    double time[3][ROUNDS], ratio[2][ROUNDS], worst = 0, largest = 0;
    char *from = filled(j->moved, true), *to = filled(j->moved, true);
    ours(j->p), hand(j->q);
    for (int o = j->nin; o < j->n; o++)
        for (int64_t i = 0; i < j->bytes[o] / 4; i++) {
            double x = ((float *)j->p[o])[i], y = ((float *)j->q[o])[i];
            worst = fmax(worst, fabs(x - y)), largest = fmax(largest, fabs(y));
        }
    double t0 = now();
    ours(j->p);
    int batch = (int)(1e-3 / (now() - t0 + 1e-7)) + 1;
    for (int r = 0; r < ROUNDS; r++)
        for (int w = 0; w < 3; w++) {
            t0 = now();
            for (int b = 0; b < batch; b++) {
                if (w == 0) ours(j->p);
                else if (w == 1) hand(j->q);
                else {
                    memcpy(to, from, (size_t)(j->moved / 2));
                    __asm__ volatile("" ::"r"(to) : "memory");
                }
            }
            time[w][r] = (now() - t0) / batch;
        }
    for (int r = 0; r < ROUNDS; r++) ratio[0][r] = time[1][r] / time[0][r], ratio[1][r] = time[2][r] / time[0][r];
    for (int w = 0; w < 3; w++) qsort(time[w], ROUNDS, sizeof(double), by_value);
    for (int w = 0; w < 2; w++) qsort(ratio[w], ROUNDS, sizeof(double), by_value);
    printf("%-16s ours %8.1f us %6.1f GB/s | hand-written %8.1f us | copying %8.1f us | hand/ours %.2f | copying/ours %.2f | difference "
           "%.1e of %.1e\n",
           k->name, time[0][ROUNDS / 2] * 1e6, (double)j->moved / time[0][ROUNDS / 2] * 1e-9, time[1][ROUNDS / 2] * 1e6,
           time[2][ROUNDS / 2] * 1e6, ratio[0][ROUNDS / 2], ratio[1][ROUNDS / 2], worst, largest);
    free(from), free(to);
    return worst <= 1e-4 * (largest + 1e-30);
}
int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "usage: stream KERNELS WORK TARGET [CASE]\n"), 2;
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Case *k = &cases[i];
        if (argc > 4 && strcmp(argv[4], k->name) != 0) continue;
        Arena *a = arena_new();
        Diags d = {.a = a};
        Ctx c = {a, &d};
        Job job = {.n = 0};
        const Target *t = target_load(&c, argv[3]);
        bool made = t && write_ours(&c, k, t, argv[2], &job);
        StreamFn ours = made ? compile(&c, argv[2], k->name, "") : NULL;
        StreamFn hand =
            made ? compile(&c, argv[2], arena_printf(a, "%s_hand", k->name), arena_printf(a, "-march=native -I'%s'", argv[1])) : NULL;
        ok = ours && hand && measure(k, &job, ours, hand) && ok;
        if (d.list.n) diag_print_all(&d, false);
        arena_free(a);
    }
    return !ok;
}
