/* SPDX-License-Identifier: Apache-2.0 */
/* test_dot.c: products of integers in words of four (ir/dot.h). Networks of one product, of all types of bytes, with and without zero
 * points, edges, groups and what follows, give the same bytes on targets with dot products as on C99, whose nests are naive. Rows of
 * targets are recognised, words found, dot products taken apart. */
#include "codegen/target_yaml.h"
#include "ir/dot.h"
#include "passes/passes.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const targets[] = {"x86_avx512_vnni", "aarch64_dotprod", "x86_avx2", "x86_avx2_vnni", "aarch64_neon"};
enum { NTARGET = sizeof targets / sizeof *targets };

/* slow: floats are so slow that dot products are taken where there are any. */
static Program *compile(Ctx *c, const char *text, const char *target, bool slow) {
    Graph *g = graph_parse(c, "test", text);
    Target *copy = NEW(c->a, Target);
    PassOptions o = {.verify = true, .target = target ? target_load(c, target) : NULL};
    if (slow) *copy = *o.target, copy->compute[0].macs_per_cycle = 0.125, o.target = copy;
    Program *p = g ? passes_run(c, g, &o) : NULL;
    if (!p) diag_print_all(c->d, false);
    ck_assert_msg(p != NULL, "%s", text);
    return p;
}
static int count(const Program *p, const char *op) {
    int n = 0;
    for (int i = 0; i < p->k.n; i++)
        for (int j = 0; j < p->k.v[i]->nodes.n; j++) n += strcmp(p->k.v[i]->nodes.v[j]->op->name, op) == 0;
    return n;
}
static void *run(Ctx *c, const Program *p, size_t *bytes) {
    const Tensor *out = p->g->out.v[0];
    const void *in[4];
    uint32_t seed = 7;
    for (int i = 0; i < p->g->in.n; i++) {
        uint8_t *x = arena_alloc(c->a, (size_t)tensor_bytes(p->g->in.v[i]) + 1);
        for (int64_t k = 0; k < tensor_bytes(p->g->in.v[i]); k++) seed = seed * 1664525u + 1013904223u, x[k] = (uint8_t)(seed >> 24);
        in[i] = x;
    }
    *bytes = (size_t)tensor_bytes(out);
    void *y = arena_alloc(c->a, *bytes + 1);
    ck_assert(program_interpret(c, p, in, (void *[]){y}));
    return y;
}
static void same(const char *text, const char *op, int times) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    size_t n, m, length = strlen(text);
    const char *end = length > 700 ? text + length - 700 : text; /* weights are long */
    ops_init();
    const uint8_t *want = run(&c, compile(&c, text, NULL, false), &n);
    for (int t = 0; t <= NTARGET; t++) { /* the last one: as it is, where floats may be faster */
        const char *target = t < NTARGET ? targets[t] : "x86_avx2";
        const Program *p = compile(&c, text, target, t < NTARGET);
        const uint8_t *got = run(&c, p, &m);
        size_t at = 0;
        ck_assert(n == m);
        while (at < n && want[at] == got[at]) at++;
        ck_assert_msg(at == n, "%s: byte %zu of %zu is %d, expected %d\n%s", target, at, n, got[at], want[at], end);
        ck_assert_msg(t == NTARGET || count(p, op) == times, "%s: %d %s, expected %d\n%s", target, count(p, op), op, times, end);
    }
    arena_free(a);
}

typedef struct Shape {
    int n, c, m, h, w, kh, kw, stride, dil, pad, group;
} Shape;
static const Shape shapes[] = {
    {1, 32, 48, 7, 7, 1, 1, 1, 1, 0, 1}, {2, 16, 16, 9, 13, 3, 3, 1, 1, 1, 1}, {1, 3, 20, 17, 17, 3, 3, 2, 1, 1, 1},
    {1, 1, 8, 15, 15, 5, 5, 1, 1, 2, 1}, {1, 24, 40, 8, 8, 3, 3, 2, 1, 1, 1},  {1, 19, 5, 6, 6, 3, 3, 1, 2, 2, 1},
    {3, 40, 80, 1, 1, 1, 1, 1, 1, 0, 1}, {1, 32, 32, 5, 30, 1, 5, 1, 1, 0, 1}, {1, 64, 64, 6, 5, 3, 3, 1, 1, 1, 2},
    {1, 6, 33, 3, 3, 3, 3, 1, 1, 2, 1},  {1, 2, 16, 1, 40, 1, 9, 2, 1, 4, 1},  {1, 17, 18, 4, 4, 4, 4, 3, 1, 3, 1},
    {1, 5, 16, 2, 2, 5, 5, 1, 1, 4, 1},  {1, 20, 70, 11, 5, 2, 3, 1, 3, 3, 1},
};
/* Types of x and w, their zero points ("" none), what follows; NULL: what the product gives. */
static const struct {
    const char *x, *w, *zx, *zw, *then;
} kinds[] = {
    {"uint8", "int8", "", "", NULL},
    {"uint8", "int8", "130", "", NULL},
    {"int8", "int8", "-7", "0",
     "  f: float32[*] = Cast(c) {to=1}\n  s: float32[] = [0.00021]\n  g2: float32[*] = Mul(f, s)\n"
     "  u: float32[] = [0.5]\n  y: int8[*] = QuantizeLinear(g2, u, zy)\n"},
    {"int8", "uint8", "3", "127", NULL},
    {"int8", "int8", "", "", "  y: float32[*] = Cast(c) {to=1}\n"},
};
enum { NKIND = sizeof kinds / sizeof *kinds };
/* "*" in what follows stands for the dims. */
static void put_then(Text *t, const char *then, const char *dims) {
    for (; *then; then++)
        if (*then == '*') text_puts(t, dims);
        else text_putn(t, then, 1);
}
static void put_weights(Text *t, const char *type, int64_t n, const char *dims, bool small) {
    text_printf(t, "  w: %s[%s] = [", type, dims);
    uint32_t seed = 3;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        int v = (int)(seed >> 24);
        text_printf(t, "%s%d", i ? ", " : "", strcmp(type, "int8") ? v % (small ? 250 : 256) : v - 128);
    }
    text_puts(t, "]\n");
}
static void put_product(Text *t, int k, const char *op, const char *attrs, const char *dims) {
    if (kinds[k].zx[0]) text_printf(t, "  zx: %s[] = [%s]\n", kinds[k].x, kinds[k].zx);
    if (kinds[k].zw[0]) text_printf(t, "  zw: %s[] = [%s]\n", kinds[k].w, kinds[k].zw);
    if (kinds[k].then && strstr(kinds[k].then, "zy")) text_puts(t, "  zy: int8[] = [-3]\n");
    text_printf(t, "  %s: int32[%s] = %s(x, w%s%s) %s\n", kinds[k].then ? "c" : "y", dims, op, kinds[k].zx[0] ? ", zx" : "",
                kinds[k].zw[0] ? kinds[k].zx[0] ? ", zw" : ", _, zw" : "", attrs);
    if (kinds[k].then) put_then(t, kinds[k].then, dims);
}
START_TEST(test_convolutions) {
    const Shape *s = &shapes[_i];
    int oh = (s->h + 2 * s->pad - (s->kh - 1) * s->dil - 1) / s->stride + 1;
    int ow = (s->w + 2 * s->pad - (s->kw - 1) * s->dil - 1) / s->stride + 1;
    for (int k = 0; k < NKIND; k++) {
        Text t = {0};
        char dims[64], attrs[256], wd[64];
        snprintf(dims, sizeof dims, "%d,%d,%d,%d", s->n, s->m, oh, ow);
        snprintf(wd, sizeof wd, "%d,%d,%d,%d", s->m, s->c / s->group, s->kh, s->kw);
        snprintf(attrs, sizeof attrs, "{dilations=[%d, %d], group=%d, pads=[%d, %d, %d, %d], strides=[%d, %d]}", s->dil, s->dil, s->group,
                 s->pad, s->pad, s->pad, s->pad, s->stride, s->stride);
        text_printf(&t, "graph g(x: %s[%d,%d,%d,%d]) -> (y)\n", kinds[k].x, s->n, s->c, s->h, s->w);
        put_weights(&t, kinds[k].w, (int64_t)s->m * s->c / s->group * s->kh * s->kw, wd, true);
        put_product(&t, k, "ConvInteger", attrs, dims);
        same(t.s, "ConvIntegerBlocked", 1);
        text_free(&t);
    }
}
END_TEST
START_TEST(test_matrices) {
    static const int rows[][4] = {{1, 64, 10, 0}, {7, 33, 40, 0}, {30, 128, 100, 0}, {13, 6, 5, 2}, {1, 1, 4, 0}, {5, 258, 129, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < NKIND; k++) {
            Text t = {0};
            const int *r = rows[i];
            char dims[64], wd[64], lead[16] = "";
            if (r[3]) snprintf(lead, sizeof lead, "%d,", r[3]);
            snprintf(dims, sizeof dims, "%s%d,%d", lead, r[0], r[2]), snprintf(wd, sizeof wd, "%d,%d", r[1], r[2]);
            text_printf(&t, "graph g(x: %s[%s%d,%d]) -> (y)\n", kinds[k].x, lead, r[0], r[1]);
            put_weights(&t, kinds[k].w, (int64_t)r[1] * r[2], wd, true);
            put_product(&t, k, "MatMulInteger", "", dims);
            same(t.s, "MatMulIntegerPanel", 1);
            text_free(&t);
        }
}
END_TEST
/* Zero points that are inputs; weights that no signed byte holds, and depthwise ones, are left to others. */
START_TEST(test_others) {
    static const struct {
        const char *graph, *product, *op;
        const char *wt, *wd;
        int n, times;
    } rows[] = {
        {"graph g(x: uint8[1,8,5,6], zx: uint8[]) -> (y)\n", "  y: int32[1,6,5,6] = ConvInteger(x, w, zx) {pads=[1,1,1,1]}\n",
         "ConvIntegerBlocked", "int8", "6,8,3,3", 432, 1},
        {"graph g(x: int8[3,20], zx: int8[]) -> (y)\n", "  y: int32[3,9] = MatMulInteger(x, w, zx)\n", "MatMulIntegerPanel", "int8", "20,9",
         180, 1},
        {"graph g(x: uint8[3,20]) -> (y)\n", "  y: int32[3,9] = MatMulInteger(x, w)\n", "MatMulIntegerPanel", "uint8", "20,9", 180, 0},
        {"graph g(x: uint8[1,32,5,6]) -> (y)\n", "  y: int32[1,32,5,6] = ConvInteger(x, w) {group=32, pads=[1,1,1,1]}\n",
         "ConvIntegerBlocked", "int8", "32,1,3,3", 288, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Text t = {0};
        text_puts(&t, rows[i].graph);
        put_weights(&t, rows[i].wt, rows[i].n, rows[i].wd, false);
        text_puts(&t, rows[i].product);
        same(t.s, rows[i].op, rows[i].times);
        text_free(&t);
    }
}
END_TEST
/* Two products of one tensor, a sum with it, a maximum and a concatenation between: all in the type that the instruction takes. */
START_TEST(test_chain) {
    Text t = {0};
    text_puts(&t, "graph g(x: int8[1,16,8,8]) -> (y)\n  s: float32[] = [0.05]\n  zq: int8[] = [4]\n  zx: int8[] = [-9]\n");
    text_puts(&t, "  f0: float32[1,16,8,8] = DequantizeLinear(x, s, zx)\n  q0: int8[1,16,8,8] = QuantizeLinear(f0, s, zq)\n");
    put_weights(&t, "int8", 16 * 16 * 9, "16,16,3,3", true);
    text_puts(&t, "  c1: int32[1,16,8,8] = ConvInteger(q0, w, zq) {pads=[1,1,1,1]}\n  d1: float32[1,16,8,8] = Cast(c1) {to=1}\n"
                  "  k: float32[] = [0.0003]\n  e1: float32[1,16,8,8] = Mul(d1, k)\n  q1: int8[1,16,8,8] = QuantizeLinear(e1, s, zq)\n"
                  "  f1: float32[1,16,8,8] = DequantizeLinear(q1, s, zq)\n  f2: float32[1,16,8,8] = DequantizeLinear(q0, s, zq)\n"
                  "  a: float32[1,16,8,8] = Add(f1, f2)\n  q2: int8[1,16,8,8] = QuantizeLinear(a, s, zq)\n"
                  "  p: int8[1,16,4,4] = MaxPool(q2) {kernel_shape=[2,2], strides=[2,2]}\n"
                  "  p1: int8[1,16,4,4] = MaxPool(q0) {kernel_shape=[2,2], strides=[2,2]}\n"
                  "  v: int8[1,32,4,4] = Concat(p, p1) {axis=1}\n  w2: int8[24,32,1,1] = hex(\"");
    for (int i = 0; i < 24 * 32; i++) text_printf(&t, "%02x", (unsigned)(i * 37 + i / 7) & 255);
    text_puts(&t, "\")\n  y: int32[1,24,4,4] = ConvInteger(v, w2, zq)\n");
    same(t.s, "ConvIntegerBlocked", 2);
    text_free(&t);
}
END_TEST

/* ---- rows, words, expansion */
START_TEST(test_rows) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    DotRow row;
    ck_assert(target_dot(a, target_load(&c, "x86_avx512_vnni"), 16, &row));
    ck_assert(row.fn == CALL_DOT_US && row.lanes == 16 && dot_bytes(row.fn) == DT_UINT8);
    ck_assert_str_eq(row.operand[0], "acc");
    ck_assert(target_dot(a, target_load(&c, "aarch64_dotprod"), 4, &row));
    ck_assert(row.fn == CALL_DOT_SS && dot_bytes(row.fn) == DT_INT8);
    ck_assert(!target_dot(a, target_load(&c, "x86_avx512_vnni"), 2, &row));
    ck_assert(!target_dot(a, target_load(&c, "x86_avx512"), 16, &row));
    ck_assert(!target_dot(a, NULL, 16, &row));
    static const char *const wrong[] = {/* not added; other order; three bytes; unsigned weights; the same byte for all */
                                        "acc[l] = int32(a[k]) * int32(b[l,k])", "acc[l] += int32(b[l,k]) * int32(a[k])",
                                        "acc[l] += int32(a[k]) + int32(b[l,k])", "acc[l] += int32(a[0]) * int32(b[l,k])",
                                        "acc[k] += int32(a[k]) * int32(b[l,k])"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *means = arena_printf(a,
                                         "func f(a: uint8[4], b: int8[4,4], writes acc: int32[4])\n  for l in 0..4\n"
                                         "    for k in 0..4\n      %s\n",
                                         wrong[i]);
        TargetInstr r = {.name = "f", .means = means, .emit = "x", .value = true};
        Target t = {.name = "t", .ninstr = 1, .instr = &r};
        ck_assert_msg(!dot_row(a, &t, &r, &row), "%s", wrong[i]);
    }
    arena_free(a);
}
END_TEST
START_TEST(test_words) {
    Arena *a = arena_new();
    ops_init();
    Func *f = func_new(a, "f");
    Buf *x = func_param(f, "x", DT_INT8, 2, (int64_t[]){3, 16}), *z = func_param(f, "z", DT_INT8, 2, (int64_t[]){3, 16});
    Expr *k = e_var(a, var_new(f, "k", DT_INT64)), *row = e_int(a, 1), *b[4];
    const Expr *first;
    for (int i = 0; i < 4; i++) b[i] = e_load(a, x, (Expr *[]){row, e_add(a, e_mul(a, k, e_int(a, 4)), e_int(a, i))});
    ck_assert(e_is_word(e_word(a, b, 4), &first) && first == b[0]);
    ck_assert(!e_is_word(e_word(a, b, 3), &first));
    ck_assert(!e_is_word(e_word(a, (Expr *[]){b[0], b[1], b[3], b[2]}, 4), &first));
    ck_assert(!e_is_word(e_word(a, (Expr *[]){b[0], b[1], b[2], b[2]}, 4), &first));
    Expr *other = e_load(a, z, b[3]->u.ld.idx), *below = e_load(a, x, (Expr *[]){e_int(a, 2), b[3]->u.ld.idx[1]});
    ck_assert(!e_is_word(e_word(a, (Expr *[]){b[0], b[1], b[2], other}, 4), &first));
    ck_assert(!e_is_word(e_word(a, (Expr *[]){b[0], b[1], b[2], below}, 4), &first));
    arena_free(a);
}
END_TEST
START_TEST(test_expansion) { /* the extremes of each byte, and others */
    static const uint32_t v[] = {0, 0xffffffff, 0x80808080, 0x7f7f7f7f, 0x01ff807f, 0x12345678, 0x80000000, 0xfedcba98};
    Arena *a = arena_new();
    enum { N = sizeof v / sizeof *v };
    for (int fn = CALL_DOT_US; fn <= CALL_DOT_SS; fn++)
        for (int i = 0; i < N * N; i++) {
            Expr *x = e_lit_i(a, DT_INT32, (int32_t)v[i / N]), *w = e_lit_i(a, DT_INT32, (int32_t)v[i % N]);
            int64_t got, want = 0;
            for (int k = 0; k < 32; k += 8) {
                int p = (int)(v[i / N] >> k & 255), q = (int8_t)(v[i % N] >> k & 255);
                want += (fn == CALL_DOT_SS ? (int8_t)p : p) * q;
            }
            ck_assert(e_is_int(e_dot_expand(a, e_call2(a, (CallFn)fn, x, w)), &got));
            ck_assert_int_eq(got, want);
        }
    arena_free(a);
}
END_TEST

Suite *dot_suite(void) {
    Suite *s = suite_create("dot");
    TCase *t = tcase_create("dot");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_convolutions, 0, sizeof shapes / sizeof *shapes);
    tcase_add_test(t, test_matrices);
    tcase_add_test(t, test_others);
    tcase_add_test(t, test_chain);
    tcase_add_test(t, test_rows);
    tcase_add_test(t, test_words);
    tcase_add_test(t, test_expansion);
    suite_add_tcase(s, t);
    return s;
}
