/* SPDX-License-Identifier: Apache-2.0 */
/* test_half.c: half precision. Operations of the loop IR on halves against NumPy's float16, bit for bit; products, convolutions and what
 * stands around them with --fast-f16, scheduled and interpreted, against float32; what stays float32. */
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* x, y, x + y, x - y, x * y, x / y, as numpy.float16 computes them */
static const uint16_t table[][6] = {{0xcfbe, 0xf052, 0xf056, 0x704e, 0x7c00, 0x1b2b}, {0x15ed, 0x0061, 0x15f3, 0x15e7, 0x0000, 0x5bd2},
                                    {0x2def, 0x13b0, 0x2dfe, 0x2de0, 0x05b4, 0x562d}, {0x3c9f, 0xf934, 0xf934, 0x7934, 0xfa03, 0x81c7},
                                    {0x2e6d, 0xf1a2, 0xf1a2, 0x71a2, 0xe486, 0x8092}, {0xcd20, 0x4c64, 0xc1e0, 0xd0c2, 0xdda0, 0xbcab},
                                    {0xde86, 0x23a6, 0xde86, 0xde86, 0xc63d, 0xf6d3}, {0x9508, 0x5061, 0x5061, 0xd061, 0xa982, 0x824c},
                                    {0x0a16, 0x0b08, 0x0e8f, 0x81e4, 0x0001, 0x3aed}, {0x1818, 0xe447, 0xe447, 0x6447, 0xc061, 0x801f},
                                    {0x550b, 0xa9a4, 0x550a, 0x550c, 0xc31d, 0xe727}, {0x6ee1, 0x95cd, 0x6ee1, 0x6ee1, 0xc8fd, 0xfc00},
                                    {0x9f08, 0x3ea3, 0x3e9c, 0xbeaa, 0xa1d5, 0x9c3d}, {0x7aa3, 0x78a7, 0x7c00, 0x73f0, 0x7c00, 0x3db5},
                                    {0x43c9, 0x30ba, 0x440a, 0x437d, 0x389a, 0x4e97}, {0x28e4, 0xc5f5, 0xc5eb, 0x45ff, 0xb349, 0x9e91},
                                    {0xb100, 0x7977, 0x7977, 0xf977, 0xeed5, 0x803b}, {0xbc0d, 0x07c4, 0xbc0d, 0xbc0d, 0x87dd, 0xf02c},
                                    {0x085e, 0x4121, 0x4121, 0xc121, 0x0d9a, 0x0368}, {0x1d19, 0xb4fb, 0xb4e7, 0x350f, 0x9659, 0xa418},
                                    {0x73be, 0x850b, 0x73be, 0x73be, 0xbce1, 0xfc00}, {0x6427, 0x5fce, 0x661a, 0x6067, 0x7c00, 0x4042},
                                    {0xe348, 0x40ee, 0xe343, 0xe34d, 0xe87d, 0xdde8}, {0x8449, 0x1742, 0x16fd, 0x9787, 0x8002, 0xa8b9},
                                    {0x6b8c, 0x9bcd, 0x6b8c, 0x6b8c, 0xcb5c, 0xfc00}, {0x6e3d, 0xa916, 0x6e3d, 0x6e3d, 0xdbef, 0xfc00},
                                    {0xaa94, 0x852c, 0xaa97, 0xaa91, 0x0044, 0x6116}, {0x9638, 0xee74, 0xee74, 0x6e74, 0x4904, 0x0004},
                                    {0x2c3e, 0xed8d, 0xed8d, 0x6d8d, 0xdde3, 0x80c4}, {0xbce2, 0x350a, 0xbb3f, 0xbe24, 0xb627, 0xc3c0},
                                    {0xc1b9, 0x9bb0, 0xc1bb, 0xc1b7, 0x2180, 0x61f5}, {0xf4cd, 0xa14d, 0xf4cd, 0xf4cd, 0x5a5d, 0x7c00},
                                    {0xc944, 0x3f77, 0xc855, 0xca33, 0xccea, 0xc5a5}, {0x48c1, 0x4c54, 0x4eb4, 0xc7ce, 0x5925, 0x3865},
                                    {0xa607, 0xbde3, 0xbdfb, 0x3dcb, 0x286f, 0x2418}, {0xa67e, 0x4ae1, 0x4ade, 0xcae4, 0xb595, 0x978d},
                                    {0xb23b, 0xb8df, 0xba6e, 0x36a0, 0x2f96, 0x351e}, {0xde87, 0xa75d, 0xde87, 0xde87, 0x4a02, 0x7317},
                                    {0x4aef, 0x37fd, 0x4b2f, 0x4aaf, 0x46ec, 0x4ef2}, {0x3c00, 0x0001, 0x3c00, 0x3c00, 0x0001, 0x7c00},
                                    {0x0001, 0x3800, 0x3800, 0xb800, 0x0000, 0x0002}, {0x03ff, 0x3c01, 0x3c01, 0xbc01, 0x0400, 0x03fe},
                                    {0x0400, 0x3bff, 0x3bff, 0xbbff, 0x0400, 0x0401}, {0x7bff, 0x3c01, 0x7bff, 0x7bff, 0x7c00, 0x7bfd},
                                    {0x3555, 0x3555, 0x3955, 0x0000, 0x2f1c, 0x3c00}, {0x7bff, 0x7bff, 0x7c00, 0x0000, 0x7c00, 0x3c00},
                                    {0x0001, 0x8001, 0x0000, 0x0002, 0x8000, 0xbc00}};
enum { ROWS = sizeof table / sizeof *table };
static const char *const ops_text =
    "func ops(x: float16[%d], y: float16[%d]) -> writes s: half[%d], writes d: half[%d], writes p: half[%d], writes q: half[%d]\n"
    "  for i in 0..%d\n"
    "    let a: half = half(x[i])\n"
    "    let b: half = half(y[i])\n"
    "    s[i] = a + b\n"
    "    d[i] = a - b\n"
    "    p[i] = a * b\n"
    "    q[i] = a / b\n";
START_TEST(test_operations) {
    Case t;
    case_open(&t);
    Func *f = case_parse(&t, arena_printf(t.a, ops_text, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS));
    ck_assert(func_verify(&t.c, f));
    uint16_t v[6][ROWS];
    for (int i = 0; i < ROWS; i++) v[0][i] = table[i][0], v[1][i] = table[i][1];
    ck_assert(interp_run(&t.c, f, (void *[]){v[0], v[1], v[2], v[3], v[4], v[5]}, NULL));
    for (int i = 0; i < ROWS; i++)
        for (int k = 2; k < 6; k++)
            ck_assert_msg(v[k][i] == table[i][k], "row %d, operation %d: 0x%04x, expected 0x%04x", i, k, (unsigned)v[k][i],
                          (unsigned)table[i][k]);
    case_close(&t);
}
END_TEST
/* Text to nest to text; literals are halves, functions those of float32. */
START_TEST(test_text) {
    static const char *const text = "func f(x: half[8]) -> writes y: half[8], writes z: float32[8]\n"
                                    "  for i in 0..8\n"
                                    "    y[i] = max(x[i] * 0.0999755859375:half, 0.0:half)\n"
                                    "    y[i] += half(exp(float32(x[i])))\n"
                                    "    z[i] = select(x[i] < 1.0:half, float32(x[i]), 2.0)\n";
    Case t;
    case_open(&t);
    ck_assert_str_eq(case_print(&t, case_parse(&t, text)), text);
    static const char *const wrong[][2] = {{"exp(x[i])", "an argument of exp has type half"},
                                           {"x[i] % x[i]", "an operand of % has type half"},
                                           {"x[i] + float32(x[i])", "half"},
                                           {"half(int32(i))", "half"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Func *f = func_parse(&t.c, "t",
                             arena_printf(t.a, "func f(x: half[8]) -> writes y: half[8]\n  for i in 0..8\n    y[i] = %s\n", wrong[i][0]));
        ck_assert_msg((!f || !func_verify(&t.c, f)) && strstr(case_said(&t), wrong[i][1]), "%s: %s", wrong[i][0], case_said(&t));
    }
    Var *v = var_new(func_new(t.a, "g"), "v", DT_HALF); /* constructors go through float32 by themselves */
    Text said = {0};
    expr_print(e_mul(t.a, e_call1(t.a, CALL_EXP, e_var(t.a, v)), e_lit(t.a, DT_FLOAT32, 0.1)), &said);
    ck_assert_str_eq(said.s, "half(exp(float32(v))) * 0.0999755859375:half");
    text_free(&said);
    case_close(&t);
}
END_TEST

/* ---- models */
static uint32_t seed = 7;
static float noise(void) {
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1;
}
static int halves(const Program *p) { /* nodes that are computed in halves */
    int n = 0;
    for (int i = 0; i < p->k.n; i++)
        for (int j = 0; j < p->k.v[i]->nodes.n; j++) {
            const Node *d = p->k.v[i]->nodes.v[j];
            n += strcmp(d->op->name, "Cast") != 0 && d->out[0] && d->out[0]->type.dt == DT_HALF;
        }
    return n;
}
static Program *build_for(Case *t, const char *text, const char *target, bool fast) {
    Graph *g = graph_parse(&t->c, "t.qir", text);
    PassOptions o = {.verify = true, .fast_f16 = fast, .target = target ? target_load(&t->c, target) : NULL};
    Program *p = g ? passes_run(&t->c, g, &o) : NULL;
    if (!p) diag_print_all(&t->d, false);
    ck_assert_msg(p != NULL, "%s", text);
    return p;
}
static float *interpret(Case *t, const Program *p, int64_t *n) {
    float *x = NEW_ARRAY(t->a, float, tensor_elements(p->g->in.v[0])), *y = NEW_ARRAY(t->a, float, *n = tensor_elements(p->g->out.v[0]));
    seed = 7;
    for (int64_t i = 0; i < tensor_elements(p->g->in.v[0]); i++) x[i] = noise();
    ck_assert_int_eq(p->g->in.v[0]->type.dt, DT_FLOAT32);
    ck_assert_int_eq(p->g->out.v[0]->type.dt, DT_FLOAT32);
    ck_assert(program_interpret(&t->c, p, (const void *const[]){x}, (void *const[]){y}));
    return y;
}
/* `most` is what the outputs may differ by, as a part of the largest. */
static void against_float(const char *text, int least, double most) {
    static const char *const target[] = {"x86_avx512_fp16", "aarch64_fp16"};
    for (int k = 0; k < 2; k++) {
        Case t;
        case_open(&t);
        int64_t n;
        Program *p = build_for(&t, text, target[k], true), *q = build_for(&t, text, NULL, false);
        ck_assert_msg(halves(p) >= least, "%s, %s: %d nodes in half precision", target[k], text, halves(p));
        if (!least) ck_assert_int_eq(halves(p), 0);
        float *y = interpret(&t, p, &n), *want = interpret(&t, q, &n);
        double largest = 0, worst = 0;
        for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)want[i]));
        for (int64_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)y[i] - (double)want[i]) / largest);
        ck_assert_msg(worst <= most, "%s, %s: difference %g of the largest value", target[k], text, worst);
        ck_assert_msg(!least || worst > 0, "%s: nothing was rounded", text);
        case_close(&t);
    }
}
static void product(int m, int k, int n) {
    against_float(arena_printf(arena_new(),
                               "graph g(x: float32[%d,%d]) -> (y)\n  w: float32[%d,%d] = rand(3)\n  b: float32[%d] = rand(4)\n"
                               "  p: float32[%d,%d] = MatMul(x, w)\n  q: float32[%d,%d] = Add(p, b)\n  y: float32[%d,%d] = Relu(q)\n",
                               m, k, k, n, n, m, n, m, n, m, n),
                  3, 4e-3);
}
START_TEST(test_products) { /* short and long sums, columns and rows that fill nothing, one row, chunks of the depth */
    static const int shape[][3] = {{1, 64, 32},  {7, 40, 65},    {13, 200, 100}, {1, 700, 70}, {6, 129, 48},
                                   {29, 300, 9}, {40, 1600, 64}, {33, 1540, 40}, {5, 20, 3},   {8, 500, 33}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) product(shape[i][0], shape[i][1], shape[i][2]);
}
END_TEST
static void conv(int c, int m, int group, int h, int w, int kh, int kw, int stride, int pad) {
    int oh = (h + 2 * pad - kh) / stride + 1, ow = (w + 2 * pad - kw) / stride + 1;
    against_float(
        arena_printf(arena_new(),
                     "graph g(x: float32[1,%d,%d,%d]) -> (y)\n  w: float32[%d,%d,%d,%d] = rand(3)\n  b: float32[%d] = rand(4)\n"
                     "  p: float32[1,%d,%d,%d] = Conv(x, w, b) {group=%d, kernel_shape=[%d,%d], pads=[%d,%d,%d,%d], strides=[%d,%d]}\n"
                     "  s: float32[1,%d,%d,%d] = Sigmoid(p)\n  y: float32[1,%d,%d,%d] = Mul(p, s)\n",
                     c, h, w, m, c / group, kh, kw, m, m, oh, ow, group, kh, kw, pad, pad, pad, pad, stride, stride, m, oh, ow, m, oh, ow),
        2, 4e-3);
}
START_TEST(test_convolutions) { /* runs of blocks, of rows of taps, of one tap; one channel at a time; the model's own layout; groups */
    conv(64, 64, 1, 7, 7, 3, 3, 1, 1);
    conv(160, 40, 1, 5, 9, 1, 1, 1, 0);
    conv(3, 24, 1, 15, 15, 3, 3, 2, 1);
    conv(3, 16, 1, 19, 19, 7, 7, 2, 3);
    conv(48, 33, 1, 3, 17, 1, 11, 1, 0);
    conv(40, 40, 40, 9, 9, 3, 3, 1, 1);
    conv(64, 64, 2, 6, 6, 3, 3, 1, 1);
    conv(6, 6, 3, 6, 6, 3, 3, 1, 1);
    conv(24, 70, 1, 12, 12, 5, 5, 1, 2);
}
END_TEST
START_TEST(test_around) { /* pools, concatenation, transposed convolution, a residual, reshapes, float32 between halves */
    against_float("graph g(x: float32[1,32,8,8]) -> (y)\n  w: float32[32,32,3,3] = rand(3)\n  v: float32[64,32,2,2] = rand(5)\n"
                  "  a: float32[1,32,8,8] = Conv(x, w) {kernel_shape=[3,3], pads=[1,1,1,1]}\n"
                  "  b: float32[1,32,8,8] = Add(a, x)\n  c: float32[1,32,4,4] = MaxPool(b) {kernel_shape=[2,2], strides=[2,2]}\n"
                  "  d: float32[1,32,4,4] = AveragePool(b) {kernel_shape=[2,2], strides=[2,2]}\n"
                  "  e: float32[1,64,4,4] = Concat(c, d) {axis=1}\n"
                  "  f: float32[1,32,8,8] = ConvTranspose(e, v) {kernel_shape=[2,2], strides=[2,2]}\n"
                  "  y: float32[1,32,8,8] = Clip(f)\n",
                  5, 4e-3);
    against_float(
        "graph g(x: float32[12,64]) -> (y)\n  w: float32[64,96] = rand(3)\n  v: float32[96,64] = rand(5)\n  s: float32[64] = rand(6)\n"
        "  a: float32[12,96] = MatMul(x, w)\n  b: float32[12,96] = Gelu(a)\n  c: float32[12,64] = MatMul(b, v)\n"
        "  d: float32[12,64] = Add(c, x)\n  e: float32[12,64] = LayerNormalization(d, s)\n  f: float32[12,96] = MatMul(e, w)\n"
        "  y: float32[12,96] = Softmax(f)\n",
        4, 1e-2);
}
END_TEST
START_TEST(test_kept) { /* weights that halves do not hold, quantised networks, weights of a size that does not matter */
    against_float("graph g(x: float32[4,2]) -> (y)\n  w: float32[2,4] = [1, 2, 3, 70000, 5, 6, 7, 8]\n  y: float32[4,4] = MatMul(x, w)\n",
                  0, 1e-6);
    against_float("graph g(x: float32[4,2]) -> (y)\n  w: float32[2,4] = splat(1e-6)\n  y: float32[4,4] = MatMul(x, w)\n", 0, 1e-6);
    against_float(
        "graph g(x: float32[4,2]) -> (y)\n  w: float32[2,4] = rand(2)\n  s: float32[] = [0.5]\n  z: int8[] = [0]\n"
        "  q: int8[4,2] = QuantizeLinear(x, s, z)\n  d: float32[4,2] = DequantizeLinear(q, s, z)\n  y: float32[4,4] = MatMul(d, w)\n",
        0, 1e-6);
    Case t;
    case_open(&t);
    static const char *const text =
        "graph g(x: float32[8,256]) -> (y)\n  w: float32[256,128] = rand(3)\n  y: float32[8,128] = MatMul(x, w)\n";
    Program *p = build_for(&t, text, "x86_avx512_fp16", true), *q = build_for(&t, text, "x86_avx512_fp16", false);
    ck_assert_int_eq(2 * p->weights_bytes, q->weights_bytes);
    case_close(&t);
}
END_TEST

/* Half has a number behind ONNX's element types; a model cannot name it. */
START_TEST(test_number) {
    Case t;
    case_open(&t);
    Graph *g = graph_parse(&t.c, "g.qir", "graph g(x: float32[4]) -> (y)\n  y: ? = Cast(x) {to=27}\n");
    PassOptions o = {.verify = true, .target = target_load(&t.c, "c99")};
    ck_assert(g && !passes_run(&t.c, g, &o));
    ck_assert_msg(strstr(case_said(&t), "no element type") != NULL, "%s", case_said(&t));
    case_close(&t);
}
END_TEST

Suite *half_suite(void);
Suite *half_suite(void) {
    Suite *s = suite_create("half");
    TCase *c = tcase_create("half");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, test_operations);
    tcase_add_test(c, test_text);
    tcase_add_test(c, test_products);
    tcase_add_test(c, test_convolutions);
    tcase_add_test(c, test_around);
    tcase_add_test(c, test_kept);
    tcase_add_test(c, test_number);
    suite_add_tcase(s, c);
    return s;
}
