/* SPDX-License-Identifier: Apache-2.0 */
/* test_panel.c: products with constant matrices and attentions for targets with vectors, over shapes that do and do not fill panels,
 * blocks and vectors: the scheduled nests, verified and interpreted, against sums in double written here. */
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
} Case;
static uint32_t seed = 7;
static float noise(void) {
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1;
}
static float *floats(Arena *a, int64_t n) {
    float *v = NEW_ARRAY(a, float, n);
    for (int64_t i = 0; i < n; i++) v[i] = noise();
    return v;
}
static Program *compile(Case *t, Graph *g, const char *target) {
    PassOptions o = {.verify = true, .target = target_load(&t->c, target)};
    Program *p = o.target ? passes_run(&t->c, g, &o) : NULL;
    if (!p) diag_print_all(&t->d, false);
    ck_assert(p != NULL);
    return p;
}
static int kernels_of(const Program *p, const char *op) {
    int n = 0;
    for (int i = 0; i < p->k.n; i++)
        for (int j = 0; j < p->k.v[i]->nodes.n; j++) n += strcmp(p->k.v[i]->nodes.v[j]->op->name, op) == 0;
    return n;
}
static void open_case(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
    ops_init();
}

/* y[b,m,n] = act(x[b,m,k] w[k,n] + bias[n]), act by number: none, Relu, Erf */
static void product(const char *target, int b, int m, int n, int k, int act) {
    Case t;
    open_case(&t);
    Graph *g = graph_new(t.a, "product");
    int64_t xd[3] = {b, m, k}, wd[2] = {k, n}, cd[1] = {n};
    float *w = floats(t.a, (int64_t)k * n), *c = floats(t.a, n), *x = floats(t.a, (int64_t)b * m * k), *y = floats(t.a, (int64_t)b * m * n);
    Tensor *in = tensor_new(g, "x", DT_FLOAT32, 3, xd);
    in->is_input = true;
    vec_push(t.a, &g->in, in);
    Tensor *v = build(g, NULL, "MatMul", 2, (Tensor *[]){in, tensor_const(g, "w", DT_FLOAT32, 2, wd, w)});
    v = build(g, NULL, "Add", 2, (Tensor *[]){v, tensor_const(g, "c", DT_FLOAT32, 1, cd, c)});
    if (act) v = build(g, NULL, act == 1 ? "Relu" : "Erf", 1, &v);
    v->is_output = true, v->name = "y";
    vec_push(t.a, &g->out, v);
    const Program *p = compile(&t, g, target);
    ck_assert_int_eq(kernels_of(p, "MatMulPanel"), 1);
    ck_assert_int_eq(p->k.n, 1);
    ck_assert(program_interpret(&t.c, p, (const void *const[]){x}, (void *const[]){y}));
    for (int i = 0; i < b * m; i++)
        for (int j = 0; j < n; j++) {
            double s = c[j];
            for (int q = 0; q < k; q++) s += (double)x[i * k + q] * w[q * n + j];
            s = act == 1 ? fmax(s, 0) : act == 2 ? erf(s) : s;
            ck_assert_msg(fabs(s - y[i * n + j]) < 1e-5 * (1 + k), "%s %dx%dx%dx%d act %d: y[%d,%d] is %g, expected %g", target, b, m, n, k,
                          act, i, j, (double)y[i * n + j], s);
        }
    arena_free(t.a);
}
START_TEST(test_product) {
    static const int shapes[][4] = {{1, 1, 4, 1},      {1, 1, 64, 9},    {1, 7, 16, 3},     {1, 6, 65, 5},  {1, 13, 100, 4},
                                    {2, 5, 40, 3},     {9, 1, 33, 2},    {1, 20, 128, 2},   {3, 8, 17, 6},  {1, 29, 1020, 1},
                                    {1, 2, 9, 40},     {40, 2, 48, 2},   {1, 1, 300, 70},   {1, 1, 20, 35}, {1, 33, 40, 1540},
                                    {1, 301, 20, 500}, {6, 50, 20, 500}, {1, 300, 20, 1600}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int act = 0; act < 3; act++) {
            product("x86_avx512", shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], act);
            product("x86_avx2", shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], act);
        }
}
END_TEST

/* One tensor of queries, keys and values side by side, as a projection leaves it; heads of 16. */
static const char *const attention_text = "graph att(x: float32[%d,%d,%d], mask: float32[%d,1,1,%d]) -> (y)\n"
                                          "  sh: int64[5] = [%d, %d, 3, %d, 16]\n"
                                          "  a: float32[%d,%d,3,%d,16] = Reshape(x, sh)\n"
                                          "  b: float32[3,%d,%d,%d,16] = Transpose(a) {perm=[2,0,3,1,4]}\n"
                                          "  i0: int64[] = [0]\n  i1: int64[] = [1]\n  i2: int64[] = [-1]\n"
                                          "  q: float32[%d,%d,%d,16] = Gather(b, i0)\n"
                                          "  k: float32[%d,%d,%d,16] = Gather(b, i1)\n"
                                          "  v: float32[%d,%d,%d,16] = Gather(b, i2)\n"
                                          "  kt: float32[%d,%d,16,%d] = Transpose(k) {perm=[0,1,3,2]}\n"
                                          "  s: float32[%d,%d,%d,%d] = MatMul(q, kt)\n"
                                          "  c: float32[] = [4]\n"
                                          "  d: float32[%d,%d,%d,%d] = Div(s, c)\n"
                                          "  e: float32[%d,%d,%d,%d] = Add(d, mask)\n"
                                          "  w: float32[%d,%d,%d,%d] = Softmax(e)\n"
                                          "  o: float32[%d,%d,%d,16] = MatMul(w, v)\n"
                                          "  y: float32[%d,%d,%d,16] = Transpose(o) {perm=[0,2,1,3]}\n";
static void attention(const char *target, int b, int s, int h) {
    Case t;
    open_case(&t);
    char text[4096];
    int n = snprintf(text, sizeof text, attention_text, b, s, 48 * h, b, s, b, s, h, b, s, h, b, h, s, b, h, s, b, h, s, b, h, s, b, h, s,
                     b, h, s, s, b, h, s, s, b, h, s, s, b, h, s, s, b, h, s, b, s, h);
    ck_assert(n > 0 && (size_t)n < sizeof text);
    Graph *g = graph_parse(&t.c, "att", text);
    if (!g) diag_print_all(&t.d, false);
    ck_assert(g != NULL);
    const Program *p = compile(&t, g, target);
    ck_assert_int_eq(p->k.n, 1);
    ck_assert_int_eq(kernels_of(p, "FusedAttention"), 1);
    float *x = floats(t.a, (int64_t)b * s * 48 * h), *mask = floats(t.a, (int64_t)b * s), *y = floats(t.a, (int64_t)b * s * h * 16);
    if (s > 2) mask[1] = -INFINITY;
    ck_assert(program_interpret(&t.c, p, (const void *const[]){x, mask}, (void *const[]){y}));
    double *e = NEW_ARRAY(t.a, double, s);
    for (int i = 0; i < b * h * s; i++) {
        int ib = i / (h * s), ih = i / s % h, iq = i % s, row = 48 * h;
        const float *q = x + (ib * s + iq) * row + ih * 16, *k = x + ib * s * row + 16 * h + ih * 16, *v = k + 16 * h;
        double sum = 0;
        for (int j = 0; j < s; j++) {
            double dot = 0;
            for (int d = 0; d < 16; d++) dot += (double)q[d] * k[j * row + d];
            sum += e[j] = exp(dot / 4 + mask[ib * s + j]);
        }
        for (int d = 0; d < 16; d++) {
            double want = 0, got = y[((ib * s + iq) * h + ih) * 16 + d];
            for (int j = 0; j < s; j++) want += e[j] / sum * v[j * row + d];
            ck_assert_msg(fabs(want - got) < 1e-5, "%s %d x %d x %d: query %d, element %d is %g, expected %g", target, b, h, s, i, d, got,
                          want);
        }
    }
    arena_free(t.a);
}
START_TEST(test_attention) {
    static const int shapes[][3] = {{1, 3, 2}, {2, 16, 1}, {1, 17, 3}, {2, 65, 2}, {1, 128, 1}, {3, 7, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        attention("x86_avx512", shapes[i][0], shapes[i][1], shapes[i][2]);
        attention("x86_avx2", shapes[i][0], shapes[i][1], shapes[i][2]);
    }
}
END_TEST

/* Recurrent networks with constant weights against their own naive nests: all kinds, directions, layouts, odd sizes, states. */
static void recurrent(const char *what, const char *rest, int seq, int batch, int input, int hidden, bool layout, int dirs) {
    const int gates = what[0] == 'L' ? 4 : what[0] == 'G' ? 3 : 1;
    const char *direction = dirs == 2 ? "bidirectional" : batch % 2 ? "reverse" : "forward";
    int x0 = layout ? batch : seq, x1 = layout ? seq : batch, h0 = layout ? batch : dirs, h1 = layout ? dirs : batch;
    char text[2048];
    float *y[3] = {NULL, NULL, NULL};
    int64_t all = (int64_t)seq * batch * dirs * hidden, end = (int64_t)batch * dirs * hidden;
    static const char *const targets[] = {NULL, "x86_avx512", "x86_avx2"};
    snprintf(text, sizeof text,
             "graph g(x: float32[%d,%d,%d], l: int32[%d], h: float32[%d,%d,%d], c: float32[%d,%d,%d]) -> (y, e)\n"
             "  w: float32[%d,%d,%d] = rand(1)\n  r: float32[%d,%d,%d] = rand(2)\n  b: float32[%d,%d] = rand(3)\n"
             "  p: float32[%d,%d] = rand(4)\n"
             "  y: float32[%d,%d,%d,%d], e: float32[%d,%d,%d] = %s(x, w, r, b, l, h%s) {direction=\"%s\", layout=%d%s}\n",
             x0, x1, input, batch, h0, h1, hidden, h0, h1, hidden, dirs, gates * hidden, input, dirs, gates * hidden, hidden, dirs,
             2 * gates * hidden, dirs, 3 * hidden, layout ? batch : seq, layout ? seq : dirs, layout ? dirs : batch, hidden, h0, h1, hidden,
             what, gates == 4 ? ", c, p" : "", direction, layout, rest);
    Case t[3];
    for (int k = 0; k < 3; k++) {
        seed = 11;
        open_case(&t[k]);
        Graph *g = graph_parse(&t[k].c, "rnn", text);
        if (!g) diag_print_all(&t[k].d, false);
        ck_assert_msg(g != NULL, "%s", text);
        PassOptions o = {.verify = true, .target = targets[k] ? target_load(&t[k].c, targets[k]) : NULL};
        const Program *p = passes_run(&t[k].c, g, &o);
        if (!p) diag_print_all(&t[k].d, false);
        ck_assert(p != NULL);
        ck_assert_int_eq(kernels_of(p, "RecurrentPanel"), k > 0);
        float *x = floats(t[k].a, (int64_t)seq * batch * input), *h = floats(t[k].a, end), *c = floats(t[k].a, end);
        int32_t *l = NEW_ARRAY(t[k].a, int32_t, batch);
        for (int i = 0; i < batch; i++) l[i] = i % 3 == 1 ? (seq + 1) / 2 : seq;
        y[k] = NEW_ARRAY(t[k].a, float, all + end);
        ck_assert(program_interpret(&t[k].c, p, (const void *const[]){x, l, h, c}, (void *const[]){y[k], y[k] + all}));
        for (int64_t i = 0; i < all + end; i++)
            ck_assert_msg(fabs((double)y[k][i] - y[0][i]) < 1e-4 * (1 + fabs((double)y[0][i])), "%s for %s: element %d is %g, expected %g",
                          text, targets[k], (int)i, (double)y[k][i], (double)y[0][i]);
    }
    for (int k = 0; k < 3; k++) arena_free(t[k].a);
}
START_TEST(test_recurrent) {
    recurrent("LSTM", "", 4, 1, 5, 8, false, 2);
    recurrent("LSTM", ", input_forget=1, clip=0.5", 3, 9, 3, 33, true, 1);
    recurrent("GRU", "", 3, 2, 7, 20, false, 2);
    recurrent("GRU", ", linear_before_reset=1", 5, 1, 4, 48, true, 2);
    recurrent("GRU", ", linear_before_reset=1, activations=[\"HardSigmoid\", \"Softsign\"]", 2, 33, 16, 9, false, 1);
    recurrent("RNN", "", 3, 1, 1, 1, false, 1);
    recurrent("RNN", ", activations=[\"Relu\", \"ScaledTanh\"], activation_alpha=[0, 0.5], activation_beta=[0, 0.5]", 3, 2, 6, 130, false,
              2);
}
END_TEST

/* Convolutions and pools along one axis get a second one and then the kernels of two; the values are those of the naive nests. */
START_TEST(test_one_axis) {
    static const char text[] = "graph g(x: float32[2,5,37], z: float32[2,20,1]) -> (y, p)\n"
                               "  w: float32[20,5,3] = rand(1)\n  b: float32[20] = rand(2)\n  s: float32[20,1] = rand(3)\n"
                               "  v: float32[20,6,4] = rand(4)\n  d: float32[20,1,5] = rand(5)\n"
                               "  c: float32[2,20,36] = Conv(x, w, b) {pads=[2,3], dilations=[2], kernel_shape=[3]}\n"
                               "  a: float32[2,20,36] = Mul(c, s)\n  r: float32[2,20,36] = Relu(a)\n  g: float32[2,20,36] = Mul(r, z)\n"
                               "  e: float32[2,20,18] = Conv(g, d) {group=20, strides=[2], pads=[2,2]}\n"
                               "  m: float32[2,20,9] = MaxPool(e) {kernel_shape=[2], strides=[2]}\n"
                               "  p: float32[2,9,20] = Transpose(m) {perm=[0,2,1]}\n"
                               "  y: float32[2,6,19] = ConvTranspose(m, v) {strides=[2], pads=[1,0]}\n";
    enum { Y = 2 * 6 * 19, P = 2 * 9 * 20 };
    static const char *const targets[] = {NULL, "x86_avx512", "x86_avx2"};
    float out[3][Y + P];
    for (int k = 0; k < 3; k++) {
        Case t;
        seed = 5;
        open_case(&t);
        Graph *g = graph_parse(&t.c, "axis", text);
        if (!g) diag_print_all(&t.d, false);
        ck_assert(g != NULL);
        PassOptions o = {.verify = true, .target = targets[k] ? target_load(&t.c, targets[k]) : NULL};
        const Program *p = passes_run(&t.c, g, &o);
        if (!p) diag_print_all(&t.d, false);
        ck_assert(p != NULL);
        ck_assert_int_eq(kernels_of(p, "Conv"), k ? 0 : 2);
        float *x = floats(t.a, 2 * 5 * 37), *z = floats(t.a, 2 * 20);
        ck_assert(program_interpret(&t.c, p, (const void *const[]){x, z}, (void *const[]){out[k], out[k] + Y}));
        for (int i = 0; i < Y + P; i++)
            ck_assert_msg(fabs((double)out[k][i] - out[0][i]) < 1e-5 * (1 + fabs((double)out[0][i])), "%s: element %d is %g, expected %g",
                          targets[k], i, (double)out[k][i], (double)out[0][i]);
        arena_free(t.a);
    }
}
END_TEST

/* Portable C keeps the operators of the model. */
/* Steps that are written out one by one use the same matrix: it is packed once, not once a step. */
START_TEST(test_shared) {
    Case t;
    open_case(&t);
    Graph *g = graph_new(t.a, "steps");
    int64_t xd[2] = {1, 96}, wd[2] = {96, 96};
    Tensor *v = tensor_new(g, "x", DT_FLOAT32, 2, xd), *w = tensor_const(g, "w", DT_FLOAT32, 2, wd, floats(t.a, 96 * 96));
    v->is_input = true;
    vec_push(t.a, &g->in, v);
    for (int i = 0; i < 4; i++) {
        v = build(g, NULL, "Gemm", 2, (Tensor *[]){v, w});
        node_set_i(v->def, op_attr_index(v->def->op, "transB"), 1); /* each has a transposed copy of its own */
        v = build(g, NULL, "Tanh", 1, &v);
    }
    v->is_output = true, v->name = "y";
    vec_push(t.a, &g->out, v);
    const Program *p = compile(&t, g, "x86_avx512");
    ck_assert_int_eq(kernels_of(p, "MatMulPanel"), 4);
    ck_assert_int_eq(p->weights_bytes, 96 * 96 * 4);
    arena_free(t.a);
}
END_TEST
START_TEST(test_portable) {
    Case t;
    open_case(&t);
    static const char text[] = "graph p(x: float32[3,4]) -> (y)\n  w: float32[4,8] = rand(1)\n  y: float32[3,8] = MatMul(x, w)\n";
    Graph *g = graph_parse(&t.c, "p", text);
    ck_assert(g != NULL);
    ck_assert_int_eq(kernels_of(compile(&t, g, "c99"), "MatMul"), 1);
    arena_free(t.a);
}
END_TEST

Suite *panel_suite(void) {
    Suite *s = suite_create("panel");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, test_recurrent);
    tcase_add_test(c, test_one_axis);
    tcase_add_test(c, test_product);
    tcase_add_test(c, test_attention);
    tcase_add_test(c, test_shared);
    tcase_add_test(c, test_portable);
    suite_add_tcase(s, c);
    return s;
}
