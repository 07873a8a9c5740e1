/* SPDX-License-Identifier: Apache-2.0 */
/* test_interp.c: the interpreter against plain C written beside each nest: strips and their tails, loops that must not run as
 * strips, guarded loads, reductions in order, storage types, operands that share memory. */
#include "ir/loop.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1500 }; /* two strips and a tail */
static void run_stats(Case *t, const char *text, void **param, InterpStats *s) {
    Func *f = func_parse(&t->c, "test.qir", text);
    ck_assert_msg(f && func_verify(&t->c, f), "%s", t->d.list.n ? t->d.list.v[0].text : "does not parse");
    ck_assert(interp_run(&t->c, f, param, s));
}
static void run(const char *text, void **param) {
    Case t;
    case_open(&t);
    run_stats(&t, text, param, NULL);
    arena_free(t.a);
}
static float *numbers(int n, int seed) {
    float *v = malloc(sizeof *v * (size_t)n);
    uint32_t s = (uint32_t)seed * 2654435761u + 1;
    for (int i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        v[i] = (float)(s >> 8) / 16777216.0f - 0.5f;
    }
    return v;
}

START_TEST(elementwise_strips) {
    float *x = numbers(N, 1), y[N];
    run("func f(x: float32[1500]) -> writes y: float32[1500]\n  for i in 0..1500\n    y[i] = max(x[i] * 3.0 + 1.0, 0.0)\n",
        (void *[]){x, y});
    for (int i = 0; i < N; i++) {
        float v = x[i] * 3.0f + 1.0f, want = v < 0 ? 0 : v;
        ck_assert_msg(y[i] == want, "%d: %g %g", i, y[i], want);
    }
    free(x);
}
END_TEST
START_TEST(recurrence_stays_in_order) {
    float *x = numbers(N, 2), y[N], s = 0;
    run("func f(x: float32[1500]) -> writes y: float32[1500]\n  y[0] = x[0]\n  for i in 1..1500\n    y[i] = y[i - 1] + x[i]\n",
        (void *[]){x, y});
    for (int i = 0; i < N; i++) ck_assert(y[i] == (s += x[i]));
    free(x);
}
END_TEST
START_TEST(sums_in_order) {
    float *x = numbers(N, 3), *y = numbers(N, 4), r[1], s = 0;
    run("func f(x: float32[1500], y: float32[1500]) -> writes r: float32[1]\n  r[0] = 0.0\n  for i in 0..1500\n    r[0] += x[i] * y[i]\n",
        (void *[]){x, y, r});
    for (int i = 0; i < N; i++) s += x[i] * y[i];
    ck_assert(r[0] == s);
    free(x), free(y);
}
END_TEST
START_TEST(products_of_matrices) {
    enum { M = 7, K = 30, P = 21 };
    float *x = numbers(M * K, 5), *y = numbers(K * P, 6), z[M * P];
    Case t;
    InterpStats s = {0};
    case_open(&t);
    run_stats(
        &t,
        "func f(x: float32[7,30], y: float32[30,21]) -> writes z: float32[7,21]\n  for m in 0..7\n    for n in 0..21\n      z[m, n] = 0.0\n"
        "  for m in 0..7\n    for k in 0..30\n      let a: float32 = x[m, k]\n      for n in 0..21\n        z[m, n] += a * y[k, n]\n",
        (void *[]){x, y, z}, &s);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < P; n++) {
            float v = 0;
            for (int k = 0; k < K; k++) v += x[m * K + k] * y[k * P + n];
            ck_assert(z[m * P + n] == v);
        }
    ck_assert_int_eq(s.stores, M * P + M * K * P);
    ck_assert_int_eq(s.flops, 2 * M * K * P);
    ck_assert_int_eq(s.loads, M * K + 2 * M * K * P);
    arena_free(t.a);
    free(x), free(y);
}
END_TEST
/* The load beside a select's condition must not happen where the condition is false. */
START_TEST(guarded_loads) {
    float *x = numbers(10, 7), y[16], z[16];
    run("func f(x: float32[10]) -> writes y: float32[16]\n  for i in 0..16\n    y[i] = select(i >= 3 && i < 13, x[i - 3], 9.0)\n",
        (void *[]){x, y});
    run("func f(x: float32[10]) -> writes y: float32[16]\n  for i in 0..16\n    y[i] = select(i < 10 && x[i] < 0.0, 1.0, 2.0)\n",
        (void *[]){x, z});
    for (int i = 0; i < 16; i++) {
        ck_assert(y[i] == (i >= 3 && i < 13 ? x[i - 3] : 9.0f));
        ck_assert(z[i] == (i < 10 && x[i] < 0 ? 1.0f : 2.0f));
    }
    free(x);
}
END_TEST
START_TEST(gather_and_scatter) {
    float *x = numbers(8, 8), y[6], h[4] = {0};
    int64_t at[6] = {7, 0, 3, 3, 5, 1}, to[6] = {0, 1, 0, 3, 1, 0};
    run("func f(x: float32[8], at: int64[6]) -> writes y: float32[6]\n  for i in 0..6\n    y[i] = x[at[i]]\n", (void *[]){x, at, y});
    for (int i = 0; i < 6; i++) ck_assert(y[i] == x[at[i]]);
    run("func f(y: float32[6], to: int64[6]) -> writes h: float32[4]\n  for i in 0..6\n    h[to[i]] += y[i]\n", (void *[]){y, to, h});
    float want[4] = {0};
    for (int i = 0; i < 6; i++) want[to[i]] += y[i];
    for (int i = 0; i < 4; i++) ck_assert(h[i] == want[i]);
    run("func f(y: float32[6], to: int64[6]) -> writes h: float32[4]\n  for i in 0..6\n    h[to[i]] = y[i]\n", (void *[]){y, to, h});
    ck_assert(h[0] == y[5] && h[1] == y[4] && h[3] == y[3]); /* the last one stays */
    free(x);
}
END_TEST
START_TEST(a_value_read_before_its_memory_changes) {
    float x[4] = {1, 2, 3, 4}, y[4];
    run("func f(writes x: float32[4]) -> writes y: float32[4]\n  for i in 0..4\n    let t: float32 = x[i]\n    x[i] = t * 10.0\n    y[i] = "
        "t + x[i]\n",
        (void *[]){x, y});
    for (int i = 0; i < 4; i++) ck_assert(x[i] == 10.0f * (float)(i + 1) && y[i] == 11.0f * (float)(i + 1));
}
END_TEST
/* Two parameters are the same memory: the second store must see the first one's of the iteration before. */
START_TEST(shared_memory) {
    float m[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, y[8], want_m[9], want_y[8];
    memcpy(want_m, m, sizeof m);
    for (int i = 0; i < 8; i++) want_m[i] = want_m[i + 1] * 2, want_y[i] = want_m[i] + want_m[i + 1];
    run("func f(a: float32[9]) -> writes b: float32[9], writes y: float32[8]\n  for i in 0..8\n    b[i] = a[i + 1] * 2.0\n    y[i] = a[i] "
        "+ a[i + 1]\n",
        (void *[]){m, m, y});
    ck_assert(memcmp(m, want_m, sizeof m) == 0 && memcmp(y, want_y, sizeof y) == 0);
}
END_TEST
START_TEST(storage_types) {
    uint16_t h[5] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00}, g[5]; /* 1, -2, 65504, 2^-24, inf */
    float y[5];
    run("func f(h: float16[5]) -> writes y: float32[5], writes g: float16[5]\n  for i in 0..5\n    y[i] = h[i]\n  for i in 0..5\n    g[i] "
        "= h[i] + 1.0\n",
        (void *[]){h, y, g});
    ck_assert(y[0] == 1 && y[1] == -2 && y[2] == 65504 && y[3] == ldexpf(1, -24) && isinf(y[4]));
    ck_assert(g[0] == 0x4000 && g[1] == 0xbc00 && g[2] == 0x7bff && g[3] == 0x3c00 && g[4] == 0x7c00);
    uint8_t q[3] = {0x21, 0xf8, 0x07}, r[3] = {0}; /* 1 2 | -8 -1 | 7 */
    int8_t w[5];
    run("func f(q: int4[5]) -> writes w: int8[5], writes r: int4[5]\n  for i in 0..5\n    w[i] = q[i]\n  for i in 0..5\n    r[i] = q[i] + "
        "int8(i)\n",
        (void *[]){q, w, r});
    ck_assert(w[0] == 1 && w[1] == 2 && w[2] == -8 && w[3] == -1 && w[4] == 7);
    ck_assert(r[0] == 0x31 && r[1] == 0x2a && r[2] == 0x0b); /* 1 3 | -6 2 | 11 wraps to -5 */
}
END_TEST
START_TEST(integers_wrap) {
    int32_t x[4] = {INT32_MAX, INT32_MIN, -7, 7}, y[4], d[4], m[4];
    run("func f(x: int32[4]) -> writes y: int32[4], writes d: int32[4], writes m: int32[4]\n  for i in 0..4\n    y[i] = x[i] + 1:int32\n"
        "  for i in 0..4\n    d[i] = x[i] / int32(i - 2)\n  for i in 0..4\n    m[i] = x[i] % 4:int32\n",
        (void *[]){x, y, d, m});
    ck_assert(y[0] == INT32_MIN && y[2] == -6);
    ck_assert(d[0] == -(INT32_MAX / 2) && d[1] == INT32_MIN && d[2] == 0 && d[3] == 7); /* INT_MIN / -1 wraps; x / 0 is 0 */
    ck_assert(m[0] == 3 && m[1] == 0 && m[2] == -3 && m[3] == 3);
}
END_TEST
START_TEST(transposes) {
    enum { R = 37, C = 600 };
    float *x = numbers(R * C, 9), *y = malloc(sizeof(float) * R * C);
    run("func f(x: float32[37,600]) -> writes y: float32[600,37]\n  for i in 0..37\n    for j in 0..600\n      y[j, i] = x[i, j]\n",
        (void *[]){x, y});
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) ck_assert(y[j * R + i] == x[i * C + j]);
    free(x), free(y);
}
END_TEST
START_TEST(branches_and_empty_loops) {
    float x[6] = {1, -2, 3, -4, 5, -6}, y[6] = {0};
    run("func f(x: float32[6]) -> writes y: float32[6]\n  for i in 0..6\n    if x[i] < 0.0\n      y[i] = -x[i]\n    else\n      y[i] = "
        "x[i] * 2.0\n"
        "  for i in 0..6\n    for j in i..min(i, 3)\n      y[j] = 100.0\n",
        (void *[]){x, y});
    for (int i = 0; i < 6; i++) ck_assert(y[i] == (x[i] < 0 ? -x[i] : x[i] * 2));
}
END_TEST

Suite *interp_suite(void);
Suite *interp_suite(void) {
    Suite *s = suite_create("interp");
    TCase *t = tcase_create("interp");
    tcase_add_test(t, elementwise_strips);
    tcase_add_test(t, recurrence_stays_in_order);
    tcase_add_test(t, sums_in_order);
    tcase_add_test(t, products_of_matrices);
    tcase_add_test(t, guarded_loads);
    tcase_add_test(t, gather_and_scatter);
    tcase_add_test(t, a_value_read_before_its_memory_changes);
    tcase_add_test(t, shared_memory);
    tcase_add_test(t, storage_types);
    tcase_add_test(t, integers_wrap);
    tcase_add_test(t, transposes);
    tcase_add_test(t, branches_and_empty_loops);
    suite_add_tcase(s, t);
    return s;
}
