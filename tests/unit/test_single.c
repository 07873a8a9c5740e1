/* SPDX-License-Identifier: Apache-2.0 */
/* test_single.c: what models compute in float16 and bfloat16, for targets with vectors. Loads, stores and roundings as arithmetic
 * (ir/vecmath.def) against the interpreter's conversions, bit for bit, with every pattern of 16 bits, ties and what is between them;
 * models in these types, computed in float32 with roundings between operators, against the same without passes. */
#include "codegen/target_yaml.h"
#include "ir/vecmath.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <string.h>

enum { PATTERNS = 65536, EACH = 4, NUMBERS = PATTERNS * EACH };
static const char *const conversions = "func f(x: %s[65536], v: float32[262144]) -> writes a: float32[65536], writes b: %s[262144], "
                                       "writes c: float32[262144], writes d: float32[65536]\n"
                                       "  for i in 0..65536\n"
                                       "    a[i] = x[i]\n"
                                       "    d[i] = select(i < 65000, x[i], 1.0)\n"
                                       "  for j in 0..262144\n"
                                       "    b[j] = v[j]\n"
                                       "    c[j] = float32(%s(v[j] * 1.0))\n";
static bool same_number(float x, float y) { return (x != x && y != y) || memcmp(&x, &y, 4) == 0; }
static void converted(DType dt) {
    Case t;
    case_open(&t);
    const char *name = dtype_name(dt);
    char *text = arena_printf(t.a, conversions, name, name, name);
    uint16_t *x = NEW_ARRAY(t.a, uint16_t, PATTERNS), *b[2];
    float *v = NEW_ARRAY(t.a, float, NUMBERS), *a[2], *c[2], *d[2];
    for (int i = 0; i < PATTERNS; i++) x[i] = (uint16_t)i;
    for (int i = 0; i < PATTERNS; i++) { /* each value, the middle to the next one, and its neighbours */
        float p = (float)dtype_get_f(dt, x, i), q = (float)dtype_get_f(dt, x, i + 1 < PATTERNS ? i + 1 : i), m = p / 2 + q / 2;
        v[EACH * i] = p, v[EACH * i + 1] = m, v[EACH * i + 2] = nextafterf(m, p), v[EACH * i + 3] = nextafterf(m, q);
    }
    for (int k = 0; k < 2; k++) {
        Func *f = case_parse(&t, text);
        if (k) ck_assert_int_gt(vecmath_expand(f), 0);
        ck_assert_msg(func_verify(&t.c, f), "%s", case_said(&t));
        for (int i = 0; i < f->param.n && k; i++) ck_assert(f->param.v[i]->dt != dt); /* bits */
        a[k] = NEW_ARRAY(t.a, float, PATTERNS), b[k] = NEW_ARRAY(t.a, uint16_t, NUMBERS);
        c[k] = NEW_ARRAY(t.a, float, NUMBERS), d[k] = NEW_ARRAY(t.a, float, PATTERNS);
        ck_assert(interp_run(&t.c, f, (void *[]){x, v, a[k], b[k], c[k], d[k]}, NULL));
    }
    for (int i = 0; i < PATTERNS; i++)
        ck_assert_msg(same_number(a[0][i], a[1][i]) && same_number(d[0][i], d[1][i]), "%s 0x%04x is read as %.9g, expected %.9g", name,
                      (unsigned)i, (double)a[1][i], (double)a[0][i]);
    for (int i = 0; i < NUMBERS; i++) {
        ck_assert_msg(same_number(c[0][i], c[1][i]), "%.9g rounds to %.9g, expected %.9g", (double)v[i], (double)c[1][i], (double)c[0][i]);
        bool nan = v[i] != v[i];
        ck_assert_msg(b[0][i] == b[1][i] || (nan && isnan(dtype_get_f(dt, b[1], i))), "%.9g is stored as 0x%04x, expected 0x%04x",
                      (double)v[i], (unsigned)b[1][i], (unsigned)b[0][i]);
    }
    case_close(&t);
}
START_TEST(test_conversions) { converted(DT_FLOAT16), converted(DT_BFLOAT16); }
END_TEST

/* ---- models. %s is the type. */
static const char *const models[] = {
    "graph g(x: %s[1,32,9,9]) -> (y, z)\n  w: %s[32,32,3,3] = rand(3)\n  b: %s[32] = rand(4)\n"
    "  c: %s[1,32,9,9] = Conv(x, w, b) {kernel_shape=[3,3], pads=[1,1,1,1]}\n  s: %s[1,32,9,9] = Sigmoid(c)\n"
    "  y: %s[1,32,9,9] = Mul(c, s)\n  p: %s[1,32,4,4] = MaxPool(y) {kernel_shape=[3,3], strides=[2,2]}\n"
    "  a: %s[1,32,4,4] = Floor(p)\n  f: float32[4] = [1, 1, 2, 2]\n  z: %s[1,32,8,8] = Resize(a, _, f) {mode=\"nearest\"}\n",
    "graph g(x: %s[13,64]) -> (y, i)\n  w: %s[64,40] = rand(3)\n  b: %s[40] = rand(4)\n  g: %s[40] = rand(5)\n"
    "  p: %s[13,40] = MatMul(x, w)\n  q: %s[13,40] = Add(p, b)\n  n: %s[13,40] = LayerNormalization(q, g)\n"
    "  y: %s[13,40] = Softmax(n)\n  h: %s[13,40] = Mul(y, n)\n  i: int32[13,40] = Cast(h) {to=6}\n",
    "graph g(x: %s[6]) -> (y)\n  t: %s[40,12] = rand(3)\n  i: int64[6] = [1, 0, 39, 7, 7, 2]\n  r: %s[6,12] = Gather(t, i)\n"
    "  k: int64[1] = [1]\n  u: %s[6,1] = Unsqueeze(x, k)\n  m: %s[6,12] = Mul(r, u)\n  e: %s[6,24] = Concat(m, r) {axis=1}\n"
    "  y: %s[24,6] = Transpose(e) {perm=[1,0]}\n",
};
static Program *build_for(Case *t, const char *text, const char *target) {
    Graph *g = graph_parse(&t->c, "t.qir", text);
    PassOptions o = {.verify = true, .target = target ? target_load(&t->c, target) : NULL};
    Program *p = g ? passes_run(&t->c, g, &o) : NULL;
    if (!p) diag_print_all(&t->d, false);
    ck_assert_msg(p != NULL, "%s", text);
    return p;
}
static void run(Case *t, const Program *p, void **out) {
    const Tensor *x = p->g->in.v[0];
    int64_t n = tensor_elements(x);
    uint16_t *v = NEW_ARRAY(t->a, uint16_t, n);
    for (int64_t i = 0; i < n; i++) dtype_set_f(x->type.dt, v, i, sin((double)i * 1.7) * 2);
    for (int i = 0; i < p->g->out.n; i++) out[i] = arena_alloc(t->a, (size_t)tensor_bytes(p->g->out.v[i]) + 64);
    ck_assert(program_interpret(&t->c, p, (const void *const[]){v}, out));
}
static void model(const char *text, const char *type, const char *target) {
    Case t;
    case_open(&t);
    const char *parts = text;
    Text full = {0};
    for (const char *at; (at = strstr(parts, "%s")); parts = at + 2) text_putn(&full, parts, (size_t)(at - parts)), text_puts(&full, type);
    text_puts(&full, parts);
    Program *p = build_for(&t, full.s, target), *q = build_for(&t, full.s, NULL);
    for (int i = 0; i < p->k.n; i++) /* nothing but moves and conversions is left in the short type */
        for (int k = 0; k < p->k.v[i]->nodes.n; k++) {
            const Node *n = p->k.v[i]->nodes.v[k];
            bool moves = !strcmp(n->op->name, "Cast") || !strcmp(n->op->name, "Gather") || !strcmp(n->op->name, "Unsqueeze");
            ck_assert_msg(moves || n->out[0]->type.dt == DT_FLOAT32 || dtype_is_int(n->out[0]->type.dt), "%s of %s", n->op->name, type);
        }
    void *got[2], *want[2];
    run(&t, p, got), run(&t, q, want);
    double step = strcmp(type, "float16") == 0 ? 1.0 / 1024 : 1.0 / 128; /* sums in another order may round the other way */
    for (int o = 0; o < q->g->out.n; o++) {
        DType dt = q->g->out.v[o]->type.dt;
        ck_assert_int_eq(p->g->out.v[o]->type.dt, dt);
        for (int64_t i = 0; i < tensor_elements(q->g->out.v[o]); i++) {
            double x = dtype_get_f(dt, got[o], i), y = dtype_get_f(dt, want[o], i);
            ck_assert_msg(fabs(x - y) <= fabs(y) * step * 2 + step / 4, "%s, %s, output %d, element %lld: %g, expected %g", target, type, o,
                          (long long)i, x, y);
        }
    }
    text_free(&full);
    case_close(&t);
}
START_TEST(test_models) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        model(models[i], "float16", "x86_avx2"), model(models[i], "float16", "aarch64_neon"), model(models[i], "bfloat16", "x86_avx512");
}
END_TEST

Suite *single_suite(void);
Suite *single_suite(void) {
    Suite *s = suite_create("single");
    TCase *c = tcase_create("single");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, test_conversions);
    tcase_add_test(c, test_models);
    suite_add_tcase(s, c);
    return s;
}
