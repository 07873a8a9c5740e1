/* SPDX-License-Identifier: Apache-2.0 */
/* micro.c: micro-kernels that come from a naive nest and a mapping, against hand-written ones, in one process.
 *   micro DATA KERNELS WORK [CASE]
 * For each case: reads DATA/CASE.qir (the naive nest) and DATA/CASE.map (the mapping on x86_avx512), applies the schedule of the
 * mapping, prints C to WORK/CASE.c, compiles it and the hand-written kernel from KERNELS, checks that the results agree, and times
 * the two in turn. Prints medians and the ratio (hand-written time / ours; above 1: ours is faster). */
#include "codegen/codegen.h"
#include "codegen/target_yaml.h"
#include "ir/mapping.h"
#include "ir/sched.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

typedef void (*MicroFn)(const float *x, const float *w, const float *bias, float *y);
typedef struct Case {
    const char *name;
    int64_t x, w, bias, y; /* elements */
    int64_t rows, cols;    /* of w as a plain matrix, if the two kernels pack it in panels of different widths; else 0 */
    int ours, theirs;      /* panel widths */
    const char *hand;      /* C: the kernel's file, and `void hand(x, w, bias, y)` */
    double flop;
} Case;
static const Case cases[] = {
    {"gemm_512", 512 * 512, 512 * 512, 512, 512 * 512, 512, 512, 32, 64,
     "#define QK_NO_MAIN\n#include \"gemm_f32.c\"\n"
     "void hand(const float *x, const float *w, const float *b, float *y) { gemm(x, 512, 512, 512, w, y, 512, b); }\n",
     2.0 * 512 * 512 * 512},
    {"conv3x3_56", 4 * 58 * 58 * 16, 64 * 64 * 9, 64, 64 * 56 * 56, 0, 0, 0, 0,
     "#define main hand_main\n#include \"conv_nchwc_f32.c\"\n"
     "void hand(const float *x, const float *w, const float *b, float *y) { sp56(x, w, b, y); }\n",
     2.0 * 64 * 64 * 9 * 56 * 56},
    {"depthwise_28", 192 * 30 * 30, 192 * 9, 192, 192 * 28 * 28, 0, 0, 0, 0,
     "#define main hand_main\n#include \"depthwise_f32.c\"\n"
     "void hand(const float *x, const float *w, const float *b, float *y) { dw_s1(x, w, b, y, 192, 28, 28); }\n",
     18.0 * 192 * 28 * 28},
    {"depthwise_56", 144 * 58 * 58, 144 * 9, 144, 144 * 56 * 56, 0, 0, 0, 0,
     "#define main hand_main\n#include \"depthwise_f32.c\"\n"
     "void hand(const float *x, const float *w, const float *b, float *y) { dw_s1(x, w, b, y, 144, 56, 56); }\n",
     18.0 * 144 * 56 * 56},
};
static const Problem *problem_of(Arena *a, const Case *k) {
    if (strcmp(k->name, "gemm_512") == 0) return problem_gemm(a, k->name, 512, 512, 512);
    if (strcmp(k->name, "conv3x3_56") == 0)
        return problem_conv(a, k->name, &(ConvShape){.m = 64, .c = 64, .e = 56, .f = 56, .r = 3, .s = 3});
    bool small = strcmp(k->name, "depthwise_28") == 0;
    int64_t side = small ? 28 : 56;
    return problem_conv(a, k->name, &(ConvShape){.c = small ? 192 : 144, .e = side, .f = side, .r = 3, .s = 3, .depthwise = true});
}

/* ---- nest + mapping -> C */
static const char *read_text(Ctx *c, const char *path) {
    size_t n;
    const char *s = file_read_whole(c, path, 1 << 20, &n);
    return s ? arena_strndup(c->a, s, n) : NULL;
}
static bool write_kernel(Ctx *c, const Case *k, const char *data, const char *work) {
    const char *nest_file = arena_printf(c->a, "%s/%s.qir", data, k->name), *map_file = arena_printf(c->a, "%s/%s.map", data, k->name);
    const char *nest = read_text(c, nest_file), *map = read_text(c, map_file);
    const Target *target = target_load(c, "x86_avx512");
    if (!nest || !map || !target) return false;
    const Problem *p = problem_of(c->a, k);
    const Mapping *m = mapping_parse(c, map_file, map, p, target);
    Func *f = func_parse(c, nest_file, nest);
    if (!m || !f || !mapping_check(c, (Loc){map_file, -1, NULL, NULL}, m, NULL)) return false;
    MapNames names;
    mapping_names(c->a, p, &names);
    const char *steps = mapping_schedule(c->a, m, &names);
    if (!sched_run(c, f, steps) || !func_verify(c, f)) {
        fprintf(stderr, "schedule of %s:\n%s", k->name, steps);
        return false;
    }
    Text out = {0};
    HelperSet set = {0};
    EmitStyle style = {true, target->attribute, target};
    emit_helpers_of(f, &set);
    text_puts(&out, "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n");
    if (target->include) text_printf(&out, "#include <%s>\n", target->include);
    emit_helpers(&out, &set);
    emit_func(&out, f, &style, false, NULL);
    bool ok = file_write_whole(c, arena_printf(c->a, "%s/%s.c", work, k->name), out.s, out.n);
    text_free(&out);
    return ok && file_write_whole(c, arena_printf(c->a, "%s/%s_hand.c", work, k->name), k->hand, strlen(k->hand));
}
static MicroFn compile(Ctx *c, const char *work, const char *file, const char *flags, const char *symbol) {
    const char *cc = getenv("CC");
    const char *so = arena_printf(c->a, "%s/%s.so", work, file);
    const char *cmd = arena_printf(c->a, "%s -O3 -fPIC -shared -w %s -o '%s' '%s/%s.c' -lm", cc ? cc : "cc", flags, so, work, file);
    if (system(cmd) != 0) return NULL;
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL), *fn = lib ? dlsym(lib, symbol) : NULL;
    if (!fn) fprintf(stderr, "%s: %s\n", so, dlerror());
    MicroFn k;
    memcpy(&k, &fn, sizeof k);
    return k;
}

/* ---- data and time */
static float *floats(int64_t n, double scale) { /* in huge pages, as the hand-written kernels' own program has it */
    static uint32_t seed = 1;
    size_t bytes = ((size_t)n * 4 + 8192 + (2 << 20) - 1) & ~(size_t)((2 << 20) - 1);
    void *p;
    if (posix_memalign(&p, 2 << 20, bytes) != 0) abort();
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ((float *)p)[i] = (float)(((double)(seed >> 8) / (1 << 23) - 1) * scale);
    }
    return p;
}
static float *packed(const Case *k, const float *w, int width) {
    float *p = floats(k->w, 0);
    for (int64_t i = 0; i < k->rows; i++)
        for (int64_t j = 0; j < k->cols; j++) p[(j / width * k->rows + i) * width + j % width] = w[i * k->cols + j];
    return p;
}
static double now(void) { /* of this thread: others on the machine are not counted */
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}
static bool measure(const Case *k, MicroFn ours, MicroFn hand) {
    enum { ROUNDS = 201 };
    float *x = floats(k->x, 1), *w = floats(k->w, 0.1), *bias = floats(k->bias, 1), *y = floats(k->y, 0), *z = floats(k->y, 0);
    float *wo = k->rows ? packed(k, w, k->ours) : w, *wh = k->rows ? packed(k, w, k->theirs) : w;
    double mine[ROUNDS], theirs[ROUNDS], ratio[ROUNDS], worst = 0, largest = 0;
    int batch = (int)(2e8 / k->flop) + 1; /* a sample is some milliseconds */
    ours(x, wo, bias, y), hand(x, wh, bias, z);
    for (int64_t i = 0; i < k->y; i++) worst = fmax(worst, fabs((double)y[i] - z[i])), largest = fmax(largest, fabs((double)z[i]));
    for (int r = 0; r < ROUNDS; r++) {
        double t0 = now();
        for (int b = 0; b < batch; b++) hand(x, wh, bias, z);
        double t1 = now();
        for (int b = 0; b < batch; b++) ours(x, wo, bias, y);
        double t2 = now();
        theirs[r] = (t1 - t0) / batch, mine[r] = (t2 - t1) / batch, ratio[r] = theirs[r] / mine[r];
    }
    qsort(mine, ROUNDS, sizeof *mine, by_value), qsort(theirs, ROUNDS, sizeof *mine, by_value),
        qsort(ratio, ROUNDS, sizeof *mine, by_value);
    double a = theirs[ROUNDS / 2], b = mine[ROUNDS / 2];
    printf("%-14s hand-written %8.1f us %6.1f GFLOP/s | from the mapping %8.1f us %6.1f GFLOP/s | ratio %.3f | largest difference %.1e of "
           "%.1e\n",
           k->name, a * 1e6, k->flop / a * 1e-9, b * 1e6, k->flop / b * 1e-9, ratio[ROUNDS / 2], worst, largest);
    return worst <= 1e-4 * largest;
}

int main(int argc, char **argv) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    bool ok = true;
    if (argc < 4) return fprintf(stderr, "usage: micro DATA KERNELS WORK [CASE]\n"), 2;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Case *k = &cases[i];
        if (argc > 4 && strcmp(argv[4], k->name) != 0) continue;
        if (!write_kernel(&c, k, argv[1], argv[3])) {
            ok = false;
            continue;
        }
        MicroFn ours = compile(&c, argv[3], k->name, "", k->name);
        MicroFn hand = compile(&c, argv[3], arena_printf(a, "%s_hand", k->name), arena_printf(a, "-march=native -I'%s'", argv[2]), "hand");
        ok = ours && hand && measure(k, ours, hand) && ok;
    }
    if (d.list.n) diag_print_all(&d, false);
    arena_free(a);
    return !ok;
}
