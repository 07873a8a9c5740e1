/* SPDX-License-Identifier: Apache-2.0 */
/* random.c: numbers of a seed, and the elements of inputs: small ones that arithmetic does not drive to infinity, and in wild graphs a few
 * that it cannot: NaN, infinities, the ends of the integers.
 */
#include "fuzz.h"
#include <math.h>
#include <string.h>

uint64_t rnd(Fuzz *f) { /* splitmix64 */
    uint64_t z = f->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
int64_t pick(Fuzz *f, int64_t lo, int64_t hi) { return lo + (int64_t)(rnd(f) % (uint64_t)(hi - lo + 1)); }
bool chance(Fuzz *f, int percent) { return pick(f, 0, 99) < percent; }

static double odd_float(Fuzz *f) {
    static const double v[] = {NAN, INFINITY, -INFINITY, -0.0, 1e30, -1e-30, 65504, 1e-6};
    return v[pick(f, 0, 7)];
}
static const char *const words[] = {"", "a", "b", "ab", "Ab", "\xc3\xa9", "a word of more letters", "B 2"};
static void fill_text(Fuzz *f, Value1 *v) {
    char *s = arena_alloc(f->a, (size_t)(8 + 32 * v->n) + 16);
    int64_t at = 8 * (v->n + 1);
    memcpy(s, &at, 8);
    for (int64_t i = 0; i < v->n; i++) {
        const char *w = words[pick(f, 0, 7)];
        memcpy(s + at, w, strlen(w)), at += (int64_t)strlen(w);
        memcpy(s + 8 * (i + 1), &at, 8);
    }
    v->data = s, v->bytes = at;
}
static void fill(Fuzz *f, Value1 *v) {
    bool steps = chance(f, 50);
    if (v->dt == DT_STRING) {
        fill_text(f, v);
        return;
    }
    if (dtype_info[v->dt].cls == CLS_CPLX) { /* two numbers each */
        DType part = v->dt == DT_COMPLEX64 ? DT_FLOAT32 : DT_FLOAT64;
        for (int64_t i = 0; i < 2 * v->n; i++) dtype_set_f(part, v->data, i, (double)pick(f, -4, 4) / 2);
        return;
    }
    for (int64_t i = 0; i < v->n; i++) {
        if (v->dt == DT_BOOL) dtype_set_i(v->dt, v->data, i, pick(f, 0, 1));
        else if (dtype_is_int(v->dt)) {
            int64_t lo = max_i64(dtype_min(v->dt), -4), hi = min_i64(dtype_max(v->dt), 6);
            bool odd = f->wild && chance(f, 6);
            dtype_set_i(v->dt, v->data, i, odd ? (chance(f, 50) ? dtype_max(v->dt) : dtype_min(v->dt)) - pick(f, -1, 1) : pick(f, lo, hi));
        } else if (f->wild && chance(f, 4)) dtype_set_f(v->dt, v->data, i, odd_float(f));
        else dtype_set_f(v->dt, v->data, i, steps ? (double)pick(f, -32, 32) / 8 : (double)pick(f, -1000000, 1000000) / 400000);
    }
}
int value_new(Fuzz *f, DType dt, int rank, const int64_t *dim, bool constant) {
    Value1 v = {.dt = dt, .rank = rank, .n = 1, .def = -1, .constant = constant};
    for (int k = 0; k < rank; k++) {
        v.n *= v.dim[k] = dim[k];
        v.dynamic |= f->symbolic && !constant && dim[k] == f->extent;
    }
    dtype_bytes(dt, v.n, &v.bytes);
    v.data = arena_alloc(f->a, (size_t)v.bytes + 16);
    fill(f, &v);
    vec_push(f->a, &f->v, v);
    return f->v.n - 1;
}
