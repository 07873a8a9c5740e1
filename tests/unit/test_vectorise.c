/* SPDX-License-Identifier: Apache-2.0 */
/* test_vectorise.c: nests before and after vectorise() compute the same: maps bit for bit, sums up to their order. Extents with every
 * kind of tail, 512 and 256 bits; and what must not become a vector loop. Expected values come from the nest as written.
 *
 *   for i in 0..N: s[] += x[i]    N = 1 … 100
 */
#include "ir/vecmath.h"
#include "passes/vectorise.h"
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Nest {
    const char *what, *text; /* %d: the extent, wherever it stands */
    bool sums;               /* results may differ by the order of additions */
} Nest;
static const Nest nests[] = {
    {"map", "func f(x: float32[%d], z: float32[%d]) -> writes y: float32[%d]\n  for i in 0..%d\n    y[i] = x[i] * z[i] + 1.0\n", false},
    {"two axes that are one",
     "func f(x: float32[3,%d], s: float32) -> writes y: float32[3,%d]\n  for i in 0..3\n    for j in 0..%d\n      y[i,j] = x[i,j] * s[]\n",
     false},
    {"broadcast",
     "func f(x: float32[3,%d], z: float32[%d]) -> writes y: float32[3,%d]\n  for i in 0..3\n    for j in 0..%d\n      y[i,j] = x[i,j] - "
     "z[j]\n",
     false},
    {"sum", "func f(x: float32[%d]) -> writes y: float32[1]\n  y[0] = 0.5\n  for i in 0..%d\n    y[0] += x[i]\n", true},
    {"largest", "func f(x: float32[%d]) -> writes y: float32[1]\n  y[0] = -inf\n  for i in 0..%d\n    y[0] max= x[i]\n", false},
    {"doubles", "func f(x: float64[%d]) -> writes y: float64[1]\n  y[0] = 0.0\n  for i in 0..%d\n    y[0] += x[i] * x[i]\n", true},
    {"sum and store",
     "func f(x: float32[%d]) -> writes y: float32[%d], writes s: float32[1]\n  s[0] = 0.0\n  for i in 0..%d\n    let e: float32 = "
     "exp(x[i])\n"
     "    y[i] = e\n    s[0] += e\n",
     true},
    {"along rows",
     "func f(x: float32[5,%d]) -> writes y: float32[%d]\n  for j in 0..%d\n    alloc a: reg float32\n    a[] = 0.0\n    for i in 0..5\n"
     "      a[] += x[i,j]\n    y[j] = a[]\n",
     false},
    {"small integers", "func f(x: int8[%d], z: float32) -> writes y: float32[%d]\n  for i in 0..%d\n    y[i] = float32(x[i]) * z[]\n",
     false},
    {"choice",
     "func f(x: float32[%d]) -> writes y: float32[%d]\n  for i in 0..%d\n    let v: float32 = x[i]\n    y[i] = select(0.0 < v, v, exp(v) - "
     "1.0)\n",
     false},
    {"known only at run time",
     "func f(x: float32[40], n: int64[1]) -> writes y: float32[40]\n  for i in 0..40\n    y[i] = 0.0\n  for k in 0..3\n    for i in "
     "k..min(40, %d + k)\n"
     "      y[i] += x[i]\n",
     false},
    {"columns to rows",
     "func f(x: float32[%d,33]) -> writes y: float32[33,%d]\n  for i in 0..33\n    for j in 0..%d\n      y[i,j] = x[j,i]\n", false},
    {"columns to rows, added",
     "func f(x: float32[%d,3,20], z: float32[20,3,%d]) -> writes y: float32[20,3,%d]\n  for i in 0..20\n    for k in 0..3\n      for j in "
     "0..%d\n"
     "        let v: float32 = x[j,k,i]\n        y[i,k,j] = v + z[i,k,j]\n",
     false},
    {"columns to rows of bytes",
     "func f(x: int8[%d,37]) -> writes y: int8[37,%d]\n  for i in 0..37\n    for j in 0..%d\n      y[i,j] = x[j,i]\n", false},
    {"columns to rows of halves as they are stored",
     "func f(x: float16[%d,33]) -> writes y: float16[33,%d]\n  for i in 0..33\n    for j in 0..%d\n      y[i,j] = x[j,i]\n", false},
    {"columns to rows of doubles",
     "func f(x: float64[%d,9]) -> writes y: float64[9,%d]\n  for i in 0..9\n    for j in 0..%d\n      y[i,j] = x[j,i]\n", false},
    {"halves as they are stored, around them one half",
     "func f(x: bfloat16[%d]) -> writes y: bfloat16[230]\n  for j in 0..%d + 2\n    y[j] = select(0 <= j - 1 && j - 1 < %d, x[j - 1], "
     "0.5)\n",
     false},
    {"every second element",
     "func f(x: float32[433]) -> writes y: float32[3,%d]\n  for i in 0..3\n    for j in 0..%d\n      y[i,j] = x[2 * j + 20 * i] * 3.0\n",
     false},
    {"backwards, between neighbours",
     "func f(x: float32[2,%d], z: float32[2,%d]) -> writes y: float32[2,%d]\n  for i in 0..2\n    for j in 0..%d\n      let k: int64 = %d "
     "- 1 - "
     "j\n      y[i,j] = z[i,j] - x[i,k]\n",
     false},
    {"one for some",
     "func f(x: int8[9,%d]) -> writes y: float32[9,%d]\n  for i in 0..9\n    for j in 0..%d\n      y[i,j] = float32(x[i,(3 * j + 1) / "
     "5])\n",
     false},
    {"out of blocks",
     "func f(x: float32[2,%d,16]) -> writes y: float32[32,%d]\n  for c in 0..32\n    for j in 0..%d\n      y[c,j] = x[c / 16,j,c % 16]\n",
     false},
    {"border of zeros",
     "func f(x: float32[3,%d]) -> writes y: float32[7,230]\n  for i in 0..7\n    for j in 0..%d + 3\n      y[i,j] = select(0 <= i - 2 && i "
     "- 2 "
     "< 3 && (0 <= j - 1 && j - 1 < %d), x[i - 2,j - 1], 0.5)\n",
     false},
    {"not: columns with a border",
     "func f(x: float32[%d,2]) -> writes y: float32[230,3]\n  for i in 0..%d + 2\n    for j in 0..3\n      let k: int64 = j * 2\n      "
     "y[i,k / 2] = "
     "select(1 <= i && i <= %d, x[i - 1,k / 4], 0.5)\n",
     false},
    {"border of mirrored elements",
     "func f(x: float32[%d]) -> writes y: float32[600]\n  for j in 0..3 * %d - 2\n    y[j] = x[%d - 1 - abs(%d - 1 - abs(j - (%d - 1)))]\n",
     false},
    {"border of the last element",
     "func f(x: float32[%d]) -> writes y: float32[230]\n  for j in 0..%d + 20\n    y[j] = x[max(0, min(j - 9, %d - 1))]\n", false},
    {"border inside of a test",
     "func f(x: float32[%d]) -> writes y: float32[%d]\n  for j in 0..%d\n    if 2 * j + 1 < 30\n      y[j] = x[j]\n    else\n      y[j] = "
     "3.0\n",
     false},
    {"border between triangles",
     "func f(x: float32[5,%d]) -> writes y: float32[5,%d]\n  for i in 0..5\n    for j in 0..%d\n      y[i,j] = select(i + 2 <= j, x[i,j], "
     "0.0)\n",
     false},
    {"place of the first largest",
     "func f(x: float32[%d]) -> writes y: int64[1], writes t: float32[1]\n  alloc top: reg float32\n  alloc at: reg int32\n  top[] = "
     "floor(x[0])\n  at[] = 0\n  for i in 0..%d\n    let v: float32 = floor(x[i])\n    if top[] < v\n      at[] = int32(i)\n      top[] = "
     "v\n"
     "  y[0] = int64(at[])\n  t[0] = top[]\n",
     false},
    {"place of the last smallest, some no numbers",
     "func f(x: float32[%d]) -> writes y: int64[1], writes t: float32[1]\n  alloc top: reg float32\n  alloc at: reg int32\n  top[] = "
     "inf\n  at[] = -7:int32\n  for i in 0..%d\n    let v: float32 = select(x[i] < 0.0, nan, floor(x[i]))\n    if v <= top[]\n      top[] "
     "= v\n"
     "      at[] = int32(i) * 3:int32\n  y[0] = int64(at[])\n  t[0] = top[]\n",
     false},
    {"no number first, then none that counts",
     "func f(x: float32[%d]) -> writes y: int64[1]\n  alloc top: reg float32\n  alloc at: reg int32\n  top[] = nan\n  at[] = 5:int32\n  "
     "for "
     "i in 0..%d\n    if top[] <= x[i]\n      top[] = x[i]\n      at[] = int32(i)\n  y[0] = int64(at[])\n",
     false},
    {"place of the last largest of doubles",
     "func f(x: float64[%d]) -> writes y: int64[1]\n  alloc top: reg float64\n  alloc at: reg int64\n  top[] = -inf:float64\n  at[] = 0\n  "
     "for "
     "i in 0..%d\n    let v: float64 = floor(x[i])\n    if top[] <= v\n      at[] = i\n      top[] = v\n  y[0] = at[]\n",
     false},
    {"place of the largest in each column",
     "func f(x: float32[7,%d]) -> writes y: int64[%d]\n  for j in 0..%d\n    alloc top: reg float32\n    alloc at: reg int32\n    top[] = "
     "x[0,j]\n    at[] = 0\n    for i in 0..7\n      let v: float32 = x[i,j]\n      if top[] < v\n        top[] = v\n        at[] = "
     "int32(i)\n"
     "    y[j] = int64(at[])\n",
     false},
    {"not: what the test stores is read before it",
     "func f(x: float32[%d]) -> writes y: int64[1]\n  alloc top: reg float32\n  alloc at: reg int32\n  top[] = 0.0\n  at[] = 0\n  for i in "
     "0..%d\n    let v: float32 = x[i] + float32(at[])\n    if top[] < v\n      at[] = int32(i)\n      top[] = v\n  y[0] = int64(at[])\n",
     false},
    {"not: one after the other",
     "func f(x: float32[%d]) -> writes y: float32[200]\n  y[0] = 1.0\n  for i in 0..%d\n    y[i + 1] = y[i] * x[i]\n", false},
    {"not: far apart", "func f(x: float32[40,%d]) -> writes y: float32[%d]\n  for j in 0..%d\n    y[j] = x[j * 7 % 40,j]\n", false},
    {"not: columns", "func f(x: float32[%d,2]) -> writes y: float32[%d,3]\n  for i in 0..%d\n    y[i,1] = x[i,0]\n", false},
};
static int loops_of(const Stmt *s, LoopMode mode) {
    int n = 0;
    switch (s->k) {
    case S_FOR: return (s->u.loop.mode == mode) + loops_of(s->u.loop.body, mode);
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) n += loops_of(s->u.block.v[i], mode);
        return n;
    case S_IF: return loops_of(s->u.cond.then, mode) + (s->u.cond.other ? loops_of(s->u.cond.other, mode) : 0);
    default: return 0;
    }
}
static char *filled_in(Arena *a, const char *text, int n) {
    Text t = {0};
    for (const char *s = text; *s; s++)
        if (s[0] == '%' && s[1] == 'd') text_printf(&t, "%d", n), s++;
        else text_putn(&t, s, 1);
    char *r = arena_strdup(a, t.s);
    text_free(&t);
    return r;
}
static void fill(const Buf *b, void *p, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double v = (double)((i * 7919 + 13 * b->id) % 257 - 128) / 64;
        if (dtype_is_float(b->dt)) dtype_set_f(b->dt, p, i, b->written ? 0 : v);
        else dtype_set_i(b->dt, p, i, (int64_t)(v * 32));
    }
}
static void compare(const Nest *t, int extent, int bits) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    const char *text = filled_in(a, t->text, extent);
    Func *f = func_parse(&c, t->what, text), *g = func_parse(&c, t->what, text);
    if (!f || !g) diag_print_all(&d, false);
    ck_assert_msg(f && g, "%s", text);
    void *p[4], *q[4];
    int64_t count[4];
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        count[i] = 1;
        for (int k = 0; k < b->rank; k++) count[i] *= b->dim[k];
        p[i] = arena_alloc(a, (size_t)count[i] * 8), q[i] = arena_alloc(a, (size_t)count[i] * 8);
        fill(b, p[i], count[i]), fill(b, q[i], count[i]);
    }
    Target target = {.name = "t", .vector_bits = bits};
    vec_raw(g);
    vecmath_expand(f), vecmath_expand(g);
    vectorise(g, &target, &target);
    bool ok = func_verify(&c, g) && interp_run(&c, f, p, NULL) && interp_run(&c, g, q, NULL);
    if (!ok) diag_print_all(&d, false);
    Text out = {0};
    func_print(g, &out);
    ck_assert_msg(ok, "%s, %d, %d bits:\n%s", t->what, extent, bits, out.s);
    if (extent >= 32) ck_assert_msg((loops_of(g->body, LOOP_VEC) > 0) == (strncmp(t->what, "not", 3) != 0), "%s:\n%s", t->what, out.s);
    bool border = strncmp(t->what, "border", 6) == 0;
    ck_assert_msg(!border || !((strstr(out.s, "select") && !strstr(out.s, "shuffle")) || strstr(out.s, "abs") || strstr(out.s, "if ")),
                  "%s:\n%s", t->what, out.s);
    for (int i = 0; i < f->param.n; i++)
        for (int64_t k = 0; k < count[i]; k++) {
            double x = dtype_get_f(f->param.v[i]->dt, p[i], k), y = dtype_get_f(f->param.v[i]->dt, q[i], k);
            ck_assert_msg(t->sums ? fabs(x - y) <= 2e-5 * (fabs(x) + 1) : x == y, "%s, %d, %d bits: %s[%d] is %.9g, expected %.9g\n%s",
                          t->what, extent, bits, f->param.v[i]->name, (int)k, y, x, out.s);
        }
    text_free(&out);
    arena_free(a);
}
START_TEST(test_same) {
    static const int extents[] = {1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 31, 32, 33, 40, 47, 63, 64, 100, 127, 129, 197};
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++)
        for (size_t k = 0; k < sizeof extents / sizeof *extents; k++)
            for (int bits = 256; bits <= 512; bits *= 2) compare(&nests[i], extents[k], bits);
}
END_TEST

Suite *vectorise_suite(void) {
    Suite *s = suite_create("vectorise");
    TCase *t = tcase_create("vectorise");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_same);
    suite_add_tcase(s, t);
    return s;
}
