/* SPDX-License-Identifier: Apache-2.0 */
/* interp.c: how fast the interpreter runs nests, each beside memcpy of the same bytes in the same run. Prints medians:
 *   nest                  ms     M stores/s     MB/s    of memcpy
 * Packing and transposes are what constant folding and weight packing do at compile time. */
#include "ir/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 15, FLOATS = 1 << 22 };
static const struct {
    const char *name, *text;
    double stores;
} nests[] = {
    {"copy", "func f(x: float32[4194304]) -> writes y: float32[4194304]\n  for i in 0..4194304\n    y[i] = x[i]\n", FLOATS},
    {"relu(x*a+b)",
     "func f(x: float32[4194304]) -> writes y: float32[4194304]\n  for i in 0..4194304\n    y[i] = max(x[i] * 3.0 + 1.0, 0.0)\n", FLOATS},
    {"transpose 2048x2048",
     "func f(x: float32[2048,2048]) -> writes y: float32[2048,2048]\n  for i in 0..2048\n    for j in 0..2048\n      y[i, j] = x[j, i]\n",
     FLOATS},
    {"transpose 512x512x4x4 (OIHW to HWIO)",
     "func f(x: float32[512,512,4,4]) -> writes y: float32[4,4,512,512]\n  for r in 0..4\n    for s in 0..4\n      for c in 0..512\n       "
     " for m in 0..512\n          y[r, s, c, m] = x[m, c, r, s]\n",
     FLOATS},
    {"NCHW to NHWC, 4 channels",
     "func f(x: float32[4,1024,1024]) -> writes y: float32[1024,1024,4]\n  for h in 0..1024\n    for w in 0..1024\n      for c in 0..4\n   "
     "     y[h, w, c] = x[c, h, w]\n",
     FLOATS},
    {"pack panels of 32",
     "func f(x: float32[2048,2048]) -> writes y: float32[64,2048,32]\n  for o in 0..64\n    for k in 0..2048\n      for i in 0..32\n       "
     " y[o, k, i] = x[k, o * 32 + i]\n",
     FLOATS},
    {"GEMM 256, k outside",
     "func f(x: float32[256,256], w: float32[256,256]) -> writes y: float32[256,256]\n  for m in 0..256\n    for n in 0..256\n      y[m, "
     "n] = 0.0\n"
     "  for m in 0..256\n    for k in 0..256\n      let a: float32 = x[m, k]\n      for n in 0..256\n        y[m, n] += a * w[k, n]\n",
     256.0 * 256 * 256 + 256 * 256},
};
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static int by_value(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return d < 0 ? -1 : d > 0;
}
static double median(double *v) {
    qsort(v, RUNS, sizeof *v, by_value);
    return v[RUNS / 2];
}
int main(void) {
    size_t bytes = sizeof(float) * FLOATS;
    float *x = malloc(bytes), *w = malloc(bytes), *y = malloc(bytes);
    if (!x || !w || !y) return 1;
    for (int i = 0; i < FLOATS; i++) x[i] = w[i] = (float)(i % 1000) * 0.001f;
    memset(y, 0, bytes);
    printf("%-38s %9s %12s %9s %10s\n", "nest", "ms", "M stores/s", "MB/s", "of memcpy");
    for (size_t k = 0; k < sizeof nests / sizeof *nests; k++) {
        Diags d = {.a = arena_new()};
        Ctx c = {d.a, &d};
        Func *f = func_parse(&c, nests[k].name, nests[k].text);
        if (!f) return diag_print_all(&d, false), 1;
        bool gemm = f->param.n == 3;
        double ours[RUNS], copy[RUNS];
        for (int i = 0; i < RUNS; i++) {
            double t0 = seconds();
            if (!interp_run(&c, f, gemm ? (void *[]){x, w, y} : (void *[]){x, y}, NULL)) return 1;
            double t1 = seconds();
            memcpy(y, x, bytes);
            ours[i] = t1 - t0, copy[i] = seconds() - t1;
        }
        double t = median(ours), m = median(copy);
        printf("%-38s %9.3f %12.0f %9.0f %10.2f\n", nests[k].name, 1e3 * t, 1e-6 * nests[k].stores / t, 1e-6 * 4 * nests[k].stores / t,
               gemm ? 0.0 : m / t);
        arena_free(d.a);
    }
    free(x), free(w), free(y);
    return 0;
}
