/* SPDX-License-Identifier: Apache-2.0 */
/* test_layout.c: convolutions, pools and what stands between them on channel-blocked tensors. Each small network is compiled once for
 * C99, whose nests are checked against the corpus, and once for each target with vectors; both programs are verified and
 * interpreted on the same input. Which operators were chosen is checked too. */
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Program *compile_within(Ctx *c, const char *text, const char *target, bool any_weights) {
    Graph *g = graph_parse(c, "test", text);
    PassOptions o = {.verify = true, .target = target ? target_load(c, target) : NULL, .any_weights = any_weights};
    Program *p = g ? passes_run(c, g, &o) : NULL;
    if (!p) diag_print_all(c->d, false);
    ck_assert_msg(p != NULL, "%s", text);
    return p;
}
static Program *compile(Ctx *c, const char *text, const char *target) { return compile_within(c, text, target, true); }
static int count(const Program *p, const char *op) {
    int n = 0;
    for (int i = 0; i < p->k.n; i++)
        for (int j = 0; j < p->k.v[i]->nodes.n; j++) n += strcmp(p->k.v[i]->nodes.v[j]->op->name, op) == 0;
    return n;
}
static float *run(Ctx *c, const Program *p, int64_t *n) {
    const Tensor *in = p->g->in.v[0], *out = p->g->out.v[0];
    float *x = NEW_ARRAY(c->a, float, tensor_elements(in)), *y = NEW_ARRAY(c->a, float, tensor_elements(out));
    uint32_t seed = 1;
    for (int64_t i = 0; i < tensor_elements(in); i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (1 << 23) - 1;
    }
    ck_assert(program_interpret(c, p, (const void *[]){x}, (void *[]){y}));
    *n = tensor_elements(out);
    return y;
}
/* The network computes the same for every target, and for those with vectors holds `times` nodes of operator op. */
static void same(const char *text, const char *op, int times) {
    static const char *const targets[] = {"x86_avx512", "x86_avx2"};
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    int64_t n, m;
    ops_init();
    const float *want = run(&c, compile(&c, text, NULL), &n);
    for (int t = 0; t < 2; t++) {
        const Program *p = compile(&c, text, targets[t]);
        const float *got = run(&c, p, &m);
        double worst = 0, largest = 0;
        ck_assert(n == m);
        for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)got[i] - want[i])), largest = fmax(largest, fabs(want[i]));
        ck_assert_msg(worst <= 2e-5 * largest, "%s: differs by %g of %g\n%s", targets[t], worst, largest, text);
        ck_assert_msg(count(p, op) == times, "%s: %d %s, expected %d\n%s", targets[t], count(p, op), op, times, text);
    }
    arena_free(a);
}

typedef struct Shape {
    int c, m, h, w, kh, kw, stride, dil, pad, group;
} Shape;
static const char *conv_text(char *s, size_t n, const Shape *k, int oh, int ow) {
    snprintf(s, n,
             "graph g(x: float32[2,%d,%d,%d]) -> (y)\n  w: float32[%d,%d,%d,%d] = rand(1)\n  b: float32[%d] = rand(2)\n"
             "  c: float32[2,%d,%d,%d] = Conv(x, w, b) {dilations=[%d, %d], group=%d, pads=[%d, %d, %d, %d], strides=[%d, %d]}\n"
             "  y: float32[2,%d,%d,%d] = Relu(c)\n",
             k->c, k->h, k->w, k->m, k->c / k->group, k->kh, k->kw, k->m, k->m, oh, ow, k->dil, k->dil, k->group, k->pad, k->pad, k->pad,
             k->pad, k->stride, k->stride, k->m, oh, ow);
    return s;
}
START_TEST(test_conv_shapes) {
    static const struct {
        Shape s;
        const char *op;
    } rows[] = {
        {{32, 48, 7, 7, 1, 1, 1, 1, 0, 1}, "ConvBlocked"},
        {{16, 16, 9, 13, 3, 3, 1, 1, 1, 1}, "ConvBlocked"},
        {{3, 20, 17, 17, 3, 3, 2, 1, 1, 1}, "ConvBlocked"},
        {{1, 8, 15, 15, 5, 5, 1, 1, 2, 1}, "ConvBlocked"},
        {{3, 64, 21, 21, 7, 7, 2, 1, 3, 1}, "ConvBlocked"},
        {{24, 40, 8, 8, 3, 3, 2, 1, 1, 1}, "ConvBlocked"},
        {{19, 5, 6, 6, 3, 3, 1, 2, 2, 1}, "ConvBlocked"},
        {{40, 80, 1, 1, 1, 1, 1, 1, 0, 1}, "ConvBlocked"},
        {{32, 32, 5, 30, 1, 5, 1, 1, 0, 1}, "ConvBlocked"},
        {{64, 64, 6, 5, 3, 3, 1, 1, 1, 2}, "ConvBlocked"},
        {{64, 64, 5, 5, 3, 3, 1, 1, 1, 16}, "ConvBlocked"},
        {{24, 24, 9, 10, 3, 3, 1, 1, 1, 24}, "DepthwiseBlocked"},
        {{33, 33, 14, 14, 5, 5, 2, 1, 2, 33}, "DepthwiseBlocked"},
        {{16, 16, 4, 3, 3, 3, 1, 2, 2, 16}, "DepthwiseBlocked"},
        {{32, 32, 12, 12, 3, 3, 1, 1, 1, 1}, "WinogradBlocked"},
        {{40, 56, 11, 14, 3, 3, 1, 1, 1, 1}, "WinogradBlocked"},
        {{32, 24, 25, 26, 3, 3, 1, 1, 0, 1}, "WinogradBlocked"},
        {{272, 40, 7, 7, 3, 3, 1, 1, 1, 1}, "ConvBlocked"},
        {{520, 33, 9, 6, 1, 1, 1, 1, 0, 1}, "ConvBlocked"},
        {{96, 64, 15, 9, 3, 3, 2, 1, 1, 1}, "ConvBlocked"},
        {{1, 40, 1, 300, 1, 64, 7, 1, 0, 1}, "ConvBlocked"},
        {{20, 24, 4, 40, 5, 35, 1, 1, 2, 1}, "ConvBlocked"},
        {{1, 3, 2, 90, 1, 40, 2, 2, 9, 1}, "ConvBlocked"},
        {{32, 32, 2, 50, 1, 64, 1, 1, 32, 2}, "ConvBlocked"},
        {{20, 20, 5, 5, 3, 3, 1, 1, 1, 5}, "Conv"},
    };
    char text[2048];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Shape *k = &rows[i].s;
        int oh = (k->h + 2 * k->pad - (k->kh - 1) * k->dil - 1) / k->stride + 1,
            ow = (k->w + 2 * k->pad - (k->kw - 1) * k->dil - 1) / k->stride + 1;
        same(conv_text(text, sizeof text, k, oh, ow), rows[i].op, 1);
    }
}
END_TEST
START_TEST(test_conv_transpose) { /* strides, paddings, taps that a phase lacks, groups, what follows */
    static const struct {
        int c, m, h, w, k, stride, lo, hi, extra, group;
    } rows[] = {{32, 24, 5, 6, 2, 2, 0, 0, 0, 1}, {16, 40, 7, 7, 3, 2, 1, 1, 1, 1}, {48, 16, 4, 9, 4, 2, 1, 1, 0, 1},
                {20, 33, 6, 5, 3, 1, 1, 1, 0, 1}, {3, 16, 8, 8, 5, 3, 2, 1, 2, 1},  {64, 64, 5, 5, 4, 2, 1, 1, 0, 2},
                {32, 16, 3, 3, 1, 2, 0, 0, 1, 1}, {272, 48, 7, 7, 2, 2, 0, 0, 0, 1}};
    char text[2048];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int oh = (rows[i].h - 1) * rows[i].stride + rows[i].k + rows[i].extra - rows[i].lo - rows[i].hi;
        int ow = (rows[i].w - 1) * rows[i].stride + rows[i].k + rows[i].extra - rows[i].lo - rows[i].hi;
        snprintf(text, sizeof text,
                 "graph g(x: float32[2,%d,%d,%d]) -> (y)\n  w: float32[%d,%d,%d,%d] = rand(1)\n  b: float32[%d] = rand(2)\n"
                 "  c: float32[2,%d,%d,%d] = ConvTranspose(x, w%s) {group=%d, output_padding=[%d, %d], pads=[%d, %d, %d, %d], "
                 "strides=[%d, %d]}\n  y: float32[2,%d,%d,%d] = Relu(c)\n",
                 rows[i].c, rows[i].h, rows[i].w, rows[i].c, rows[i].m / rows[i].group, rows[i].k, rows[i].k, rows[i].m, rows[i].m, oh, ow,
                 i % 2 ? ", b" : "", rows[i].group, rows[i].extra, rows[i].extra, rows[i].lo, rows[i].lo, rows[i].hi, rows[i].hi,
                 rows[i].stride, rows[i].stride, rows[i].m, oh, ow);
        same(text, "ConvTransposeBlocked", 1);
    }
}
END_TEST
/* F(4x4) only where it stays within 1e-5 of the largest output: weights whose products fall below the smallest normal number lose more. */
START_TEST(test_winograd_error) {
    static const struct {
        const char *weights;
        bool four;
    } rows[] = {{"rand(1)", true}, {"splat(0.25)", true}, {"splat(1e-41)", false}, {"splat(3e38)", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Arena *a = arena_new();
        Diags d = {.a = a};
        Ctx c = {a, &d};
        Text t = {0};
        ops_init();
        Program *p = compile(&c,
                             arena_printf(a,
                                          "graph g(x: float32[1,64,56,56]) -> (y)\n  w: float32[64,64,3,3] = %s\n"
                                          "  y: float32[1,64,56,56] = Conv(x, w) {pads=[1, 1, 1, 1]}\n",
                                          rows[i].weights),
                             "x86_avx512");
        for (int j = 0; j < p->k.n; j++) func_print(p->k.v[j]->f, &t);
        ck_assert_msg((strstr(t.s, "tile 4 x") != NULL) == rows[i].four, "%s:\n%s", rows[i].weights, t.s);
        text_free(&t);
        arena_free(a);
    }
}
END_TEST
/* While a panel of weights is in use the next one is asked for, if there are several and they are too many for the first cache. */
START_TEST(test_prefetch) {
    static const struct {
        Shape s;
        bool asks;
    } rows[] = {
        {{64, 128, 7, 7, 3, 3, 1, 1, 1, 1}, true},
        {{64, 256, 14, 14, 1, 1, 1, 1, 0, 1}, true},
        {{64, 64, 28, 28, 3, 3, 1, 1, 1, 1}, true} /* Winograd's */,
        {{16, 64, 9, 9, 1, 1, 1, 1, 0, 1}, false},
    };
    char text[2048];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Shape *k = &rows[i].s;
        Arena *a = arena_new();
        Diags d = {.a = a};
        Ctx c = {a, &d};
        Text t = {0};
        ops_init();
        Program *p = compile(&c, conv_text(text, sizeof text, k, k->h, k->w), "x86_avx512");
        for (int j = 0; j < p->k.n; j++) func_print(p->k.v[j]->f, &t);
        ck_assert_msg((strstr(t.s, "qn_prefetch") != NULL) == rows[i].asks, "%s", text);
        text_free(&t);
        arena_free(a);
    }
}
END_TEST
/* Of two convolutions the one with few weights has the large ones of F(4x4); together they stay below twice what the model holds. */
START_TEST(test_budget) {
    static const char *const text =
        "graph g(x: float32[1,64,28,28]) -> (y)\n  w: float32[64,64,3,3] = rand(1)\n  v: float32[256,64,3,3] = rand(2)\n"
        "  a: float32[1,64,28,28] = Conv(x, w) {pads=[1, 1, 1, 1]}\n"
        "  u: float32[512,256,1,1] = rand(3)\n  b: float32[1,256,28,28] = Conv(a, v) {pads=[1, 1, 1, 1]}\n  y: float32[1,512,28,28] = "
        "Conv(b, u)\n";
    const int64_t bytes = ((64 + 256) * 64 * 9 + 512 * 256) * 4;
    for (int free = 0; free < 2; free++) {
        Arena *a = arena_new();
        Diags d = {.a = a};
        Ctx c = {a, &d};
        Text t = {0};
        ops_init();
        Program *p = compile_within(&c, text, "x86_avx512", free);
        for (int j = 0; j < p->k.n; j++) text_printf(&t, "%s\n", p->k.v[j]->f->comment);
        ck_assert_msg(strstr(t.s, "tile 4 x") != NULL, "no F(4x4): %s", t.s);
        ck_assert_msg((p->weights_bytes <= 2 * bytes) == !free, "%lld bytes of weights for %lld", (long long)p->weights_bytes,
                      (long long)bytes);
        text_free(&t);
        arena_free(a);
    }
}
END_TEST
START_TEST(test_neighbours) { /* residual, factor per channel, pools, mean, concatenation */
    same("graph g(x: float32[1,3,12,12]) -> (y)\n"
         "  w: float32[32,3,3,3] = rand(1)\n  v: float32[32,32,1,1] = rand(2)\n  u: float32[16,64,1,1] = rand(3)\n  k: float32[32,1,1] = "
         "rand(4)\n"
         "  a: float32[1,32,12,12] = Conv(x, w) {pads=[1, 1, 1, 1]}\n"
         "  s: float32[1,32,12,12] = Sigmoid(a)\n"
         "  m: float32[1,32,12,12] = Mul(a, s)\n"
         "  p: float32[1,32,6,6] = MaxPool(m) {kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]}\n"
         "  q: float32[1,32,6,6] = AveragePool(m) {kernel_shape=[2, 2], strides=[2, 2]}\n"
         "  c: float32[1,32,6,6] = Conv(p, v)\n"
         "  d: float32[1,32,6,6] = Add(c, q)\n"
         "  e: float32[1,32,6,6] = Mul(d, k)\n"
         "  f: float32[1,64,6,6] = Concat(e, p) {axis = 1}\n"
         "  g: float32[1,16,6,6] = Conv(f, u)\n"
         "  h: float32[1,16,6,6] = AveragePool(g) {kernel_shape=[3, 3], pads=[1, 1, 1, 1]}\n"
         "  axes: int64[2] = [2, 3]\n"
         "  y: float32[1,16,1,1] = ReduceMean(h, axes)\n",
         "PoolBlocked", 3);
}
END_TEST
START_TEST(test_one_element) { /* a head of one feature on one pixel: its activation has no block to work on */
    same("graph g(x: float32[1,20,3,3]) -> (y)\n"
         "  w: float32[1,20,3,3] = rand(1)\n"
         "  c: ? = Conv(x, w)\n"
         "  y: ? = Sigmoid(c)\n",
         "ConvBlocked", 1);
}
END_TEST
START_TEST(test_plane) { /* resizing and parts of the channels */
    same("graph g(x: float32[1,3,6,6]) -> (y)\n"
         "  w: float32[64,3,3,3] = rand(1)\n  v: float32[8,32,1,1] = rand(2)\n"
         "  scales: float32[4] = [1, 1, 2, 2]\n  sizes: int64[4] = [1, 32, 9, 12]\n  parts: int64[2] = [32, 32]\n"
         "  a: float32[1,64,6,6] = Conv(x, w) {pads=[1, 1, 1, 1]}\n"
         "  p: float32[1,32,6,6], q: float32[1,32,6,6] = Split(a, parts) {axis=1}\n"
         "  b: float32[1,32,12,12] = Resize(p, _, scales) {mode=\"nearest\"}\n"
         "  c: float32[1,32,9,12] = Resize(q, _, _, sizes) {mode=\"linear\"}\n"
         "  d: float32[1,32,9,12] = MaxPool(b) {kernel_shape=[4, 1]}\n"
         "  e: float32[1,32,9,12] = Add(c, d)\n"
         "  y: float32[1,8,9,12] = Conv(e, v)\n",
         "ToBlocked", 0);
}
END_TEST
START_TEST(test_pads) { /* borders of the plane, of any kind, between convolutions */
    same("graph g(x: float32[1,3,6,7]) -> (y)\n"
         "  w: float32[20,3,3,3] = rand(1)\n  v: float32[8,20,3,3] = rand(2)\n  k: float32[8,8,3,50] = rand(3)\n"
         "  p: int64[8] = [0, 0, 1, 2, 0, 0, 1, -1]\n  q: int64[4] = [2, 1, 0, 3]\n  axes: int64[2] = [-1, 2]\n  c: float32[] = [0.5]\n"
         "  a: float32[1,20,6,7] = Conv(x, w) {pads=[1, 1, 1, 1]}\n"
         "  b: float32[1,20,8,8] = Pad(a, p) {mode=\"reflect\"}\n"
         "  d: float32[1,8,6,6] = Conv(b, v)\n"
         "  e: float32[1,8,10,8] = Pad(d, q, c, axes)\n"
         "  y: float32[1,8,8,7] = Conv(e, k) {pads=[0, 24, 0, 24]}\n",
         "ToBlocked", 0);
}
END_TEST
#define VOLUME "graph g(x: float32[2,6,5,7,9]) -> (y)\n"
START_TEST(test_depth) { /* three axes: strides, dilations, groups, paddings of each end and by rule, what stands between */
    same(VOLUME
         "  w: float32[16,6,3,3,3] = rand(1)\n  b: float32[16] = rand(2)\n  c: ? = Conv(x, w, b) {pads=[1,1,1,1,1,1]}\n  r: ? = Relu(c)\n"
         "  v: float32[8,16,2,1,1] = rand(3)\n  y: ? = Conv(r, v) {strides=[2,1,1], pads=[0,0,0,1,0,0]}\n",
         "ConvBlocked", 2);
    same(VOLUME "  w: float32[8,6,2,3,3] = rand(1)\n  y: ? = Conv(x, w) {dilations=[3,1,2], strides=[1,2,1]}\n", "ConvBlocked", 1);
    same(VOLUME "  w: float32[8,6,3,3,3] = rand(1)\n  y: ? = Conv(x, w) {auto_pad=\"SAME_LOWER\", strides=[2,2,1]}\n", "ConvBlocked", 1);
    same(VOLUME "  w: float32[32,3,3,3,1] = rand(1)\n  y: ? = Conv(x, w) {group=2, auto_pad=\"SAME_UPPER\"}\n", "Conv", 1);
    same(
        VOLUME
        "  w: float32[8,6,1,3,3] = rand(1)\n  s: float32[8,1,1,1] = rand(2)\n  c: ? = Conv(x, w) {pads=[0,1,1,0,1,1]}\n  f: ? = Mul(c, s)\n"
        "  m: ? = MaxPool(f) {kernel_shape=[1,2,2], strides=[1,2,2]}\n  k: ? = Tanh(m)\n  a: ? = Concat(m, k) {axis=1}\n"
        "  v: float32[8,16,1,1,1] = rand(3)\n  y: ? = Conv(a, v)\n",
        "ConvBlocked", 2);
    same(VOLUME "  w: float32[6,8,2,2,2] = rand(1)\n  b: float32[8] = rand(2)\n  c: ? = ConvTranspose(x, w, b) {strides=[2,2,2]}\n"
                "  t: float32[2,1,10,1,1] = rand(3)\n  d: ? = Add(c, t)\n  y: ? = Relu(d)\n",
         "ConvTransposeBlocked", 2);
    same(VOLUME "  w: float32[8,6,1,1,1] = rand(1)\n  y: ? = Conv(x, w)\n", "ConvBlocked", 0);
    same(VOLUME "  w: float32[6,8,3,2,2] = rand(1)\n  y: ? = ConvTranspose(x, w) {strides=[2,2,2]}\n", "ConvTransposeBlocked",
         0); /* taps overlap */
}
END_TEST
START_TEST(test_picked_channels) { /* no tensor between the convolutions has the usual order of axes */
    static const char *const text[] = {
        /* a channel shuffle as exporters write it, its halves taken by Gather and Split */
        "graph g(x: float32[1,3,6,6]) -> (y)\n"
        "  w: float32[24,3,3,3] = rand(1)\n  v: float32[24,3,1,1] = rand(2)\n  u: float32[24,24,1,1] = rand(3)\n"
        "  s1: int64[3] = [24, 2, 36]\n  s2: int64[5] = [2, 1, 24, 6, 6]\n  one: int64[] = [1]\n  none: int64[] = [0]\n"
        "  a: float32[1,24,6,6] = Conv(x, w) {pads=[1, 1, 1, 1]}\n  b: float32[1,24,6,6] = Conv(x, v)\n"
        "  c: float32[1,48,6,6] = Concat(a, b) {axis=1}\n  d: float32[24,2,36] = Reshape(c, s1)\n"
        "  e: float32[2,24,36] = Transpose(d) {perm=[1, 0, 2]}\n  f: float32[2,1,24,6,6] = Reshape(e, s2)\n"
        "  p: float32[1,24,6,6] = Gather(f, one)\n  q: float32[1,24,6,6] = Gather(f, none)\n"
        "  r: float32[1,24,6,6] = Conv(p, u)\n  y: float32[1,24,6,6] = Add(r, q)\n",
        /* zeros behind the channels, an end inside a block, every second channel */
        "graph g(x: float32[1,3,5,7]) -> (y)\n"
        "  w: float32[20,3,1,1] = rand(1)\n  u: float32[28,20,1,1] = rand(3)\n  k: float32[38,1,1] = rand(4)\n"
        "  z: float32[1,8,5,7] = splat(0)\n  t: float32[8,19,1,1] = rand(6)\n"
        "  from: int64[1] = [37]\n  to: int64[1] = [-1000]\n  axes: int64[1] = [1]\n  steps: int64[1] = [-2]\n  parts: int64[2] = [38, "
        "10]\n"
        "  a: float32[1,20,5,7] = Conv(x, w)\n  s: float32[1,20,5,7] = Sigmoid(a)\n  b: float32[1,28,5,7] = Conv(s, u)\n"
        "  c: float32[1,28,5,7] = Concat(s, z) {axis=1}\n  d: float32[1,28,5,7] = Add(b, c)\n"
        "  e: float32[1,48,5,7] = Concat(s, d) {axis=1}\n"
        "  f: float32[1,38,5,7], g: float32[1,10,5,7] = Split(e, parts) {axis=1}\n"
        "  h: float32[1,19,5,7] = Slice(f, from, to, axes, steps)\n"
        "  y: float32[1,8,5,7] = Conv(h, t)\n"};
    for (int i = 0; i < 2; i++) same(text[i], "ToBlocked", 0), same(text[i], "FromBlocked", 1);
    same(text[0], "ChannelsBlocked", 2);
}
END_TEST
START_TEST(test_channels_last) { /* the Transposes around convolutions go, and no conversion stays between them */
    static const char text[] = "graph g(x: float32[1,9,9,3]) -> (y)\n"
                               "  w: float32[32,3,3,3] = rand(1)\n  v: float32[20,32,1,1] = rand(2)\n  k: float32[32] = rand(3)\n"
                               "  t: float32[1,3,9,9] = Transpose(x) {perm=[0, 3, 1, 2]}\n"
                               "  a: float32[1,32,9,9] = Conv(t, w) {pads=[1, 1, 1, 1]}\n"
                               "  b: float32[1,9,9,32] = Transpose(a) {perm=[0, 2, 3, 1]}\n"
                               "  c: float32[1,9,9,32] = Mul(b, k)\n"
                               "  d: float32[1,9,9,32] = Sigmoid(c)\n"
                               "  e: float32[1,32,9,9] = Transpose(d) {perm=[0, 3, 1, 2]}\n"
                               "  f: float32[1,20,9,9] = Conv(e, v)\n"
                               "  y: float32[1,9,9,20] = Transpose(f) {perm=[0, 2, 3, 1]}\n";
    same(text, "Transpose", 0);
    same(text, "ToBlocked", 0);
    same(text, "FromBlocked", 1);
}
END_TEST

Suite *layout_suite(void) {
    Suite *s = suite_create("layout");
    TCase *c = tcase_create("networks");
    tcase_add_test(c, test_conv_shapes);
    tcase_add_test(c, test_conv_transpose);
    tcase_add_test(c, test_prefetch);
    tcase_add_test(c, test_winograd_error);
    tcase_add_test(c, test_budget);
    tcase_add_test(c, test_neighbours);
    tcase_add_test(c, test_one_element);
    tcase_add_test(c, test_plane);
    tcase_add_test(c, test_pads);
    tcase_add_test(c, test_depth);
    tcase_add_test(c, test_picked_channels);
    tcase_add_test(c, test_channels_last);
    suite_add_tcase(s, c);
    return s;
}
