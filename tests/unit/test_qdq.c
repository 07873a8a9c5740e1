/* SPDX-License-Identifier: Apache-2.0 */
/* test_qdq.c: random networks of quantised layers against an evaluation in float64 made here, in which the QuantizeLinear behind each
 * layer is the only rounding. Interpreter and targets must give the same bytes: all types of 8 and 16 bits, zero points, scales for each
 * channel, layers alone and in rows.
 *
 *   q1 = QuantizeLinear(Relu(Conv(DequantizeLinear(q0, s0, z0), DequantizeLinear($w, sw, zw), $b)), s1, z1)
 */
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 5 };
typedef struct Map3 { /* a quantised tensor [1,c,h,w] */
    DType t;
    float scale;
    int64_t zero, c, h, w;
    int64_t *q;
} Map3;
typedef struct Net {
    Arena *a;
    Text nodes, consts;
    uint32_t seed;
    Map3 m[MOST_LAYERS + 1];
    int n;
} Net;
static int64_t pick(Net *x, int64_t lo, int64_t hi) {
    x->seed = x->seed * 1664525u + 1013904223u;
    return lo + (int64_t)(x->seed >> 8) % (hi - lo + 1);
}
static float scale_of(Net *x, double about) { return (float)(about * (0.5 + (double)pick(x, 0, 1 << 20) / (1 << 20))); }
static DType type_of(Net *x) {
    static const DType t[] = {DT_INT8, DT_UINT8, DT_INT8, DT_UINT8, DT_INT16, DT_UINT16};
    return t[pick(x, 0, 5)];
}
static int64_t zero_of(Net *x, DType t) {
    return dtype_min(t) + pick(x, 0, (int64_t)1 << dtype_info[t].bits >> 1) + (dtype_max(t) - dtype_min(t)) / 4;
}
static double real(const Map3 *m, int64_t c, int64_t h, int64_t w) {
    return (double)(m->q[(c * m->h + h) * m->w + w] - m->zero) * (double)m->scale;
}
/* The layer's values v in float64 become the next tensor, of about the range that they have. */
static void quantise(Net *x, const char *value, int64_t c, int64_t h, int64_t w, const double *v) {
    Map3 *m = &x->m[x->n + 1];
    double most = 1e-9;
    for (int64_t i = 0; i < c * h * w; i++) most = fmax(most, fabs(v[i]));
    *m = (Map3){.t = type_of(x), .c = c, .h = h, .w = w, .q = NEW_ARRAY(x->a, int64_t, c * h * w)};
    m->zero = zero_of(x, m->t);
    m->scale = scale_of(x, most / (double)((int64_t)1 << (dtype_info[m->t].bits - 2)) * (pick(x, 0, 3) ? 1 : 0.4));
    for (int64_t i = 0; i < c * h * w; i++) {
        double q = rint(v[i] / (double)m->scale) + (double)m->zero;
        m->q[i] = (int64_t)fmin(fmax(q, (double)dtype_min(m->t)), (double)dtype_max(m->t));
    }
    x->n++;
    text_printf(&x->consts, "  s%d: float32[] = [%.9g]\n  z%d: %s[] = [%lld]\n", x->n, (double)m->scale, x->n, dtype_name(m->t),
                (long long)m->zero);
    text_printf(
        &x->nodes,
        "  q%d: %s[1,%lld,%lld,%lld] = QuantizeLinear(%s, s%d, z%d)\n  f%d: float32[1,%lld,%lld,%lld] = DequantizeLinear(q%d, s%d, z%d)\n",
        x->n, dtype_name(m->t), (long long)c, (long long)h, (long long)w, value, x->n, x->n, x->n, (long long)c, (long long)h, (long long)w,
        x->n, x->n, x->n);
}
/* Relu, Clip or nothing behind a layer. */
static const char *activation(Net *x, const char *value, const char *dims, int64_t n, double *v) {
    int64_t kind = pick(x, 0, 2);
    double hi = kind == 2 ? 0.8125 * fabs(v[n / 2]) + 0.25 : INFINITY;
    float top = (float)hi;
    if (kind == 0) return value;
    for (int64_t i = 0; i < n; i++) v[i] = fmin(fmax(v[i], 0), kind == 2 ? (double)top : INFINITY);
    if (kind == 1) text_printf(&x->nodes, "  a%d: float32[%s] = Relu(%s)\n", x->n, dims, value);
    else {
        text_printf(&x->consts, "  lo%d: float32[] = [0]\n  hi%d: float32[] = [%.9g]\n", x->n, x->n, (double)top);
        text_printf(&x->nodes, "  a%d: float32[%s] = Clip(%s, lo%d, hi%d)\n", x->n, dims, value, x->n, x->n);
    }
    return arena_printf(x->a, "a%d", x->n);
}
static void put_list(Text *t, int64_t n, const double *v) {
    for (int64_t i = 0; i < n; i++) text_printf(t, "%s%.9g", i ? ", " : "[", v[i]);
    text_puts(t, "]\n");
}
static void layer_conv(Net *x) {
    const Map3 *m = &x->m[x->n];
    int64_t k = pick(x, 0, 2) ? 3 : 1, pad = k == 3 ? pick(x, 0, 1) : 0, stride = pick(x, 1, 2), group = pick(x, 0, 3) ? 1 : m->c;
    if (m->h + 2 * pad < k || m->w + 2 * pad < k) k = 1, pad = 0;
    if (dtype_info[m->t].bits == 16 && m->c / group * k * k > 128) k = 1, pad = 0; /* sums that fit into 32 bits */
    int64_t out = group > 1 ? m->c : pick(x, 1, 36), cg = m->c / group, oh = (m->h + 2 * pad - k) / stride + 1,
            ow = (m->w + 2 * pad - k) / stride + 1;
    DType wt = pick(x, 0, 1) ? DT_INT8 : DT_UINT8;
    int64_t zw = pick(x, 0, 2) ? (wt == DT_INT8 ? 0 : 128) : dtype_min(wt) + pick(x, 100, 150), each = pick(x, 0, 1) ? out : 1,
            nw = out * cg * k * k;
    double *w = NEW_ARRAY(x->a, double, nw), *sw = NEW_ARRAY(x->a, double, out), *b = NEW_ARRAY(x->a, double, out),
           *z = NEW_ARRAY(x->a, double, out), *v = NEW_ARRAY(x->a, double, out *oh *ow);
    for (int64_t i = 0; i < nw; i++) w[i] = (double)pick(x, wt == DT_INT8 ? -127 : 0, wt == DT_INT8 ? 127 : 255);
    for (int64_t i = 0; i < out; i++)
        sw[i] = i < each ? (double)scale_of(x, 0.01) : sw[0], z[i] = (double)zw, b[i] = (double)scale_of(x, 0.3) - 0.3;
    for (int64_t i = 0; i < out; i++) b[i] = (double)(float)b[i];
    for (int64_t o = 0; o < out; o++)
        for (int64_t h = 0; h < oh; h++)
            for (int64_t p = 0; p < ow; p++) {
                double sum = 0;
                for (int64_t c = 0; c < cg; c++)
                    for (int64_t r = 0; r < k * k; r++) {
                        int64_t ih = h * stride + r / k - pad, iw = p * stride + r % k - pad;
                        if (ih < 0 || iw < 0 || ih >= m->h || iw >= m->w) continue;
                        sum += real(m, group > 1 ? o : c, ih, iw) * (w[(o * cg + c) * k * k + r] - (double)zw) * sw[o];
                    }
                v[(o * oh + h) * ow + p] = sum + b[o];
            }
    int n = x->n;
    text_printf(&x->consts, "  w%d: %s[%lld,%lld,%lld,%lld] = ", n, dtype_name(wt), (long long)out, (long long)cg, (long long)k,
                (long long)k);
    put_list(&x->consts, nw, w);
    char dim[24] = "";
    if (each > 1) snprintf(dim, sizeof dim, "%lld", (long long)each);
    text_printf(&x->consts, "  sw%d: float32[%s] = ", n, dim), put_list(&x->consts, each > 1 ? each : 1, sw);
    text_printf(&x->consts, "  zw%d: %s[%s] = ", n, dtype_name(wt), dim), put_list(&x->consts, each > 1 ? each : 1, z);
    text_printf(&x->consts, "  b%d: float32[%lld] = ", n, (long long)out), put_list(&x->consts, out, b);
    const char *dims = arena_printf(x->a, "1,%lld,%lld,%lld", (long long)out, (long long)oh, (long long)ow);
    text_printf(
        &x->nodes,
        "  wf%d: float32[%lld,%lld,%lld,%lld] = DequantizeLinear(w%d, sw%d, zw%d) {axis=0}\n  c%d: float32[%s] = Conv(f%d, wf%d, b%d) "
        "{group=%lld, pads=[%lld,%lld,%lld,%lld], strides=[%lld,%lld]}\n",
        n, (long long)out, (long long)cg, (long long)k, (long long)k, n, n, n, n, dims, n, n, n, (long long)group, (long long)pad,
        (long long)pad, (long long)pad, (long long)pad, (long long)stride, (long long)stride);
    quantise(x, activation(x, arena_printf(x->a, "c%d", n), dims, out * oh * ow, v), out, oh, ow, v);
}
/* Sums, products and functions of one or two tensors; maxima and concatenations. */
static void layer_point(Net *x) {
    static const char *const op[] = {"Add", "Mul", "Sigmoid", "MaxPool", "Concat"};
    int n = x->n, other = (int)pick(x, 0, n);
    int64_t kind = pick(x, 0, 4);
    const Map3 *m = &x->m[n], *o = &x->m[other];
    if (o->c != m->c || o->h != m->h || o->w != m->w) o = m, other = n;
    if (kind == 3 && (m->h < 2 || m->w < 2)) kind = 0;
    int64_t c = kind == 4 ? m->c + o->c : m->c, h = kind == 3 ? m->h - 1 : m->h, w = kind == 3 ? m->w - 1 : m->w;
    double *v = NEW_ARRAY(x->a, double, c *h *w);
    for (int64_t i = 0; i < c * h * w; i++) {
        int64_t ic = i / (h * w), ih = i / w % h, iw = i % w;
        double p = ic < m->c ? real(m, ic, ih, iw) : real(o, ic - m->c, ih, iw), q = kind < 2 ? real(o, ic, ih, iw) : 0;
        v[i] = kind == 0 ? p + q : kind == 1 ? p * q : kind == 2 ? 1 / (1 + exp(-p)) : p;
        for (int64_t r = 1; kind == 3 && r < 4; r++) v[i] = fmax(v[i], real(m, ic, ih + r / 2, iw + r % 2));
    }
    const char *dims = arena_printf(x->a, "1,%lld,%lld,%lld", (long long)c, (long long)h, (long long)w);
    text_printf(&x->nodes, "  c%d: float32[%s] = %s(f%d", n, dims, op[kind], n);
    if (kind < 2 || kind == 4) text_printf(&x->nodes, ", f%d", other);
    text_printf(&x->nodes, ")%s\n", kind == 3 ? " {kernel_shape=[2,2]}" : kind == 4 ? " {axis=1}" : "");
    quantise(x, kind == 2 ? arena_printf(x->a, "c%d", n) : activation(x, arena_printf(x->a, "c%d", n), dims, c * h * w, v), c, h, w, v);
}
static const char *make(Net *x, int layers) {
    Map3 *m = &x->m[0];
    *m = (Map3){.t = type_of(x), .scale = scale_of(x, 0.02), .c = pick(x, 1, 20), .h = pick(x, 1, 9), .w = pick(x, 1, 9)};
    m->zero = zero_of(x, m->t);
    m->q = NEW_ARRAY(x->a, int64_t, m->c * m->h * m->w);
    for (int64_t i = 0; i < m->c * m->h * m->w; i++) m->q[i] = pick(x, dtype_min(m->t), dtype_max(m->t));
    text_printf(&x->consts, "  s0: float32[] = [%.9g]\n  z0: %s[] = [%lld]\n", (double)m->scale, dtype_name(m->t), (long long)m->zero);
    text_printf(&x->nodes, "  f0: float32[1,%lld,%lld,%lld] = DequantizeLinear(x, s0, z0)\n", (long long)m->c, (long long)m->h,
                (long long)m->w);
    for (int i = 0; i < layers; i++) {
        if (pick(x, 0, 1)) layer_conv(x);
        else layer_point(x);
    }
    const char *text = arena_printf(x->a, "graph g(x: %s[1,%lld,%lld,%lld]) -> (q%d)\n%s%s", dtype_name(m->t), (long long)m->c,
                                    (long long)m->h, (long long)m->w, x->n, x->consts.s, x->nodes.s);
    text_free(&x->consts), text_free(&x->nodes);
    return text;
}
static void check(Ctx *c, const Net *x, const char *text, const char *target) {
    Graph *g = graph_parse(c, "test", text);
    PassOptions o = {.verify = true, .target = target ? target_load(c, target) : NULL};
    Program *p = g ? passes_run(c, g, &o) : NULL;
    if (!p) diag_print_all(c->d, false);
    ck_assert_msg(p != NULL, "%s", text);
    const Map3 *in = &x->m[0], *out = &x->m[x->n];
    int64_t n = in->c * in->h * in->w, count = out->c * out->h * out->w;
    void *from = arena_alloc(c->a, (size_t)n * 2 + 2), *to = arena_alloc(c->a, (size_t)count * 2 + 2);
    for (int64_t i = 0; i < n; i++) dtype_set_i(in->t, from, i, in->q[i]);
    ck_assert(program_interpret(c, p, (const void *[]){from}, (void *[]){to}));
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(dtype_get_i(out->t, to, i) == out->q[i], "%s: element %lld is %lld, expected %lld\n...%s", target ? target : "c99",
                      (long long)i, (long long)dtype_get_i(out->t, to, i), (long long)out->q[i],
                      strlen(text) > 1500 ? text + strlen(text) - 1500 : text);
}
START_TEST(test_random) {
    enum { EACH = 12 };
    static const char *const target[] = {NULL, "x86_avx512_vnni", "x86_avx2", "aarch64_dotprod"};
    ops_init();
    for (int i = 0; i < EACH; i++) {
        Arena *a = arena_new();
        Diags d = {.a = a};
        Ctx c = {a, &d};
        Net x = {.a = a, .seed = (uint32_t)(_i * EACH + i) * 2654435761u + 1};
        const char *text = make(&x, 1 + i % MOST_LAYERS);
        for (int t = 0; t < 4; t++) check(&c, &x, text, target[t]);
        arena_free(a);
    }
}
END_TEST

Suite *qdq_suite(void) {
    Suite *s = suite_create("qdq");
    TCase *t = tcase_create("networks");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_random, 0, 10);
    suite_add_tcase(s, t);
    return s;
}
