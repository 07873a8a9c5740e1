/* SPDX-License-Identifier: Apache-2.0 */
/* test_strips.c: chains of kernels that run by turns on strips of rows. Each network is compiled with and without the pass for a target
 * whose second level of cache is small; both programs are interpreted on the same input and must give the same bits, for any number of
 * threads. How many kernels are left says which of them were joined. */
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <check.h>
#include <stdio.h>
#include <string.h>

enum { CACHE = 160 << 10 };
static double behind = 1; /* the bandwidths behind that cache are so many times the file's */
static Program *compile(Ctx *c, const char *text, const char *target, int64_t cache, bool strips, int threads) {
    Graph *g = graph_parse(c, "test", text);
    Target *t = target_load(c, target);
    const int l2 = target_level(t, "L2");
    t->level[l2].words = cache * 8 / t->level[l2].word_bits;
    t->level[l2 - 1].read_bw *= behind, t->level[l2 - 1].write_bw *= behind;
    PassOptions o = {.verify = true, .target = t, .any_weights = true, .threads = threads, .list = strips ? NULL : "-strips"};
    Program *p = g ? passes_run(c, g, &o) : NULL;
    if (!p) diag_print_all(c->d, false);
    ck_assert_msg(p != NULL, "%s", text);
    return p;
}
static void run(Ctx *c, const Program *p, float **out, int64_t *bytes) {
    const Tensor *in = p->g->in.v[0];
    float *x = NEW_ARRAY(c->a, float, tensor_elements(in));
    void *y[4];
    uint32_t seed = 1;
    for (int64_t i = 0; i < tensor_elements(in); i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (1 << 23) - 1;
    }
    for (int i = 0; i < p->g->out.n; i++) {
        bytes[i] = tensor_bytes(p->g->out.v[i]);
        y[i] = out[i] = arena_alloc(c->a, (size_t)bytes[i]);
    }
    ck_assert(program_interpret(c, p, (const void *[]){x}, y));
}
static int joined(const Program *p) {
    int n = 0;
    for (int i = 0; i < p->k.n; i++) n += p->k.v[i]->strips != NULL;
    return n;
}
/* The pass joins `kernels` kernels into `chains`, and what is computed stays the same bits. */
static void check_for(const char *target, int64_t cache, const char *text, int chains, int kernels) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    float *want[4], *got[4];
    int64_t n[4], m[4];
    ops_init();
    const Program *plain = compile(&c, text, target, cache, false, 1);
    run(&c, plain, want, n);
    ck_assert_int_eq(joined(plain), 0);
    for (int threads = 1; threads <= 3; threads++) {
        const Program *p = compile(&c, text, target, cache, true, threads);
        run(&c, p, got, m);
        for (int i = 0; i < p->g->out.n; i++) {
            ck_assert(m[i] == n[i]);
            ck_assert_msg(memcmp(want[i], got[i], (size_t)n[i]) == 0, "%d threads: output %d differs\n%s", threads, i, text);
        }
        if (threads > 1) continue; /* their caches hold more */
        ck_assert_msg(joined(p) == chains && plain->k.n - p->k.n == kernels - chains, "%d chains, %d kernels fewer; expected %d of %d\n%s",
                      joined(p), plain->k.n - p->k.n, chains, kernels, text);
        if (chains) ck_assert_int_lt(p->arena_bytes, plain->arena_bytes);
    }
    arena_free(a);
}

static void check(const char *text, int chains, int kernels) { check_for("x86_avx512", CACHE, text, chains, kernels); }

#define HEAD "graph g(x: float32[1,16,40,24]) -> (y)\n"
/* Expansion, depthwise with a stride, projection with what is added to it. */
static const char block[] = HEAD "  w: float32[48,16,1,1] = rand(1)\n  b: float32[48] = rand(2)\n  v: float32[48,1,3,3] = rand(3)\n"
                                 "  u: float32[16,48,1,1] = rand(4)\n"
                                 "  c: float32[1,48,40,24] = Conv(x, w, b)\n  r: float32[1,48,40,24] = Relu(c)\n"
                                 "  d: float32[1,48,40,24] = Conv(r, v) {group=48, pads=[1,1,1,1]}\n  s: float32[1,48,40,24] = Sigmoid(d)\n"
                                 "  e: float32[1,48,40,24] = Mul(d, s)\n  p: float32[1,16,40,24] = Conv(e, u)\n"
                                 "  y: float32[1,16,40,24] = Add(p, x)\n";
START_TEST(test_block) { check(block, 1, 3); }
END_TEST
START_TEST(test_windows) { /* strides, dilations, uneven padding, windows that a strip's seam cuts */
    static const struct {
        int k, stride, dil, top, bottom, left, out_h, out_w;
    } rows[] = {{3, 2, 1, 1, 1, 1, 20, 12}, {5, 2, 1, 2, 2, 2, 20, 12}, {3, 2, 2, 2, 2, 2, 20, 12},
                {2, 2, 1, 0, 0, 0, 20, 12}, {3, 2, 1, 0, 1, 1, 20, 12}, {4, 3, 1, 2, 0, 2, 13, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char conv[800], pool[800];
        const int right = (rows[i].out_w - 1) * rows[i].stride + (rows[i].k - 1) * rows[i].dil + 1 - 24 - rows[i].left;
        snprintf(conv, sizeof conv,
                 HEAD "  w: float32[48,16,1,1] = rand(1)\n  v: float32[48,1,%d,%d] = rand(3)\n  b: float32[48] = rand(2)\n"
                      "  c: float32[1,48,40,24] = Conv(x, w)\n"
                      "  y: float32[1,48,%d,%d] = Conv(c, v, b) {group=48, strides=[%d,%d], dilations=[%d,%d], pads=[%d,%d,%d,%d]}\n",
                 rows[i].k, rows[i].k, rows[i].out_h, rows[i].out_w, rows[i].stride, rows[i].stride, rows[i].dil, rows[i].dil, rows[i].top,
                 rows[i].left, rows[i].bottom, right > 0 ? right : 0);
        check(conv, 1, 2);
        if (rows[i].dil > 1 || rows[i].top >= rows[i].k) continue;
        snprintf(pool, sizeof pool,
                 HEAD "  w: float32[48,16,1,1] = rand(1)\n  c: float32[1,48,40,24] = Conv(x, w)\n"
                      "  y: float32[1,48,%d,%d] = %s(c) {kernel_shape=[%d,%d], strides=[%d,%d], pads=[%d,%d,%d,%d]}\n",
                 rows[i].out_h, rows[i].out_w, i % 2 ? "MaxPool" : "AveragePool", rows[i].k, rows[i].k, rows[i].stride, rows[i].stride,
                 rows[i].top, rows[i].left, rows[i].bottom, right > 0 ? right : 0);
        check(pool, 1, 2);
    }
}
END_TEST
START_TEST(test_prices) { /* of the target file: where words come soon, seams cost more than they save */
    behind = 100;
    check(block, 0, 0);
    behind = 1;
    check(block, 1, 3);
}
END_TEST
/* A projection so deep that its sums wait in memory for the next chunk of weights: loops over them are not loops over rows. */
static const char deep[] =
    "graph g(x: float32[1,576,14,14]) -> (y)\n  v: float32[576,1,3,3] = rand(3)\n  u: float32[96,576,1,1] = rand(4)\n"
    "  d: float32[1,576,14,14] = Conv(x, v) {group=576, pads=[1,1,1,1]}\n  y: float32[1,96,14,14] = Conv(d, u)\n";
START_TEST(test_left_alone) {
    check_for("x86_avx2", 256 << 10, deep, 0, 0);
    /* two readers; an output of the model; a map that stays near */
    check(HEAD "  w: float32[48,16,1,1] = rand(1)\n  v: float32[48,1,3,3] = rand(3)\n  c: float32[1,48,40,24] = Conv(x, w)\n"
               "  d: float32[1,48,40,24] = Conv(c, v) {group=48, pads=[1,1,1,1]}\n  y: float32[1,48,40,24] = Mul(d, c)\n",
          0, 0);
    check("graph g(x: float32[1,16,40,24]) -> (c, y)\n  w: float32[48,16,1,1] = rand(1)\n  v: float32[48,1,3,3] = rand(3)\n"
          "  c: float32[1,48,40,24] = Conv(x, w)\n  y: float32[1,48,40,24] = Conv(c, v) {group=48, pads=[1,1,1,1]}\n",
          0, 0);
    check("graph g(x: float32[1,16,7,7]) -> (y)\n  w: float32[16,16,1,1] = rand(1)\n  v: float32[16,1,3,3] = rand(3)\n"
          "  c: float32[1,16,7,7] = Conv(x, w)\n  y: float32[1,16,7,7] = Conv(c, v) {group=16, pads=[1,1,1,1]}\n",
          0, 0);
    check("graph g(x: float32[2,16,40,24]) -> (y)\n  w: float32[48,16,1,1] = rand(1)\n  v: float32[48,1,3,3] = rand(3)\n"
          "  c: float32[2,48,40,24] = Conv(x, w)\n  y: float32[2,48,40,24] = Conv(c, v) {group=48, pads=[1,1,1,1]}\n",
          0, 0);
}
END_TEST
Suite *strips_suite(void) {
    Suite *s = suite_create("strips");
    TCase *c = tcase_create("strips");
    tcase_add_test(c, test_block);
    tcase_add_test(c, test_windows);
    tcase_add_test(c, test_prices);
    tcase_add_test(c, test_left_alone);
    suite_add_tcase(s, c);
    return s;
}
