/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_text.c: the text form of the loop IR. What is printed parses to the same structure and prints to the same bytes
 * (random functions are in test_loop_fuzz.c); parentheses are those of C; every error is reported with its line. */
#include "ir/loop_text.h"
#include "case.h"
#include <check.h>
#include <string.h>

/* ---- texts that print as they stand, or as the text behind them */
static const char *const same[][2] = {
    {"func conv1(x: float32[1,3,8,8], w: float32[4,3,3,3] strides [27,9,3,1] offset 0, scratch tmp: float32[64]) -> writes y: "
     "float32[1,4,6,6]\n"
     "  # comment text\n"
     "  alloc acc: reg float32[4]\n"
     "\n"
     "  for m in 0..4 unroll        # modes: nothing, par, vec, unroll; optional `level 2 x`\n"
     "    for k in max(0, m-1)..min(8, m+1) level 2 x\n"
     "      let t: float32 = x[0, k, 0, 0] * 2\n"
     "      acc[m] += t                # reductions: += *= min= max= &= |= ^=\n"
     "      if k < 3 && m != 2\n"
     "        y[0, m, 0, 0] = select(k < 2, t, acc[m])\n"
     "      else\n"
     "        tmp[m] = 1\n"
     "  call qn_topk(1, 2, 3)(x, w, out y)\n",
     "func conv1(x: float32[1,3,8,8], w: float32[4,3,3,3], scratch tmp: float32[64]) -> writes y: float32[1,4,6,6]\n"
     "  # comment text\n"
     "  alloc acc: reg float32[4]\n"
     "  for m in 0..4 unroll\n"
     "    for k in max(0, m - 1)..min(8, m + 1) level 2 x\n"
     "      let t: float32 = x[0, k, 0, 0] * 2.0\n"
     "      acc[m] += t\n"
     "      if k < 3 && m != 2\n"
     "        y[0, m, 0, 0] = select(k < 2, t, acc[m])\n"
     "      else\n"
     "        tmp[m] = 1.0\n"
     "  call qn_topk(1, 2, 3)(x, w, out y)\n"},
    {"func f()\n", NULL},
    {"func f(writes y: int8[2], x: int8[2])\n", NULL}, /* results that are not last stay where they are */
    {"func f(x: bool) -> writes y: float16[2,3] strides [1,-2] offset 4 level 3, scratch t: uint4[8], writes z: float64\n"
     "  # two lines\n"
     "  #\n"
     "  #   of comment\n"
     "  #  schedule: is the text of this line\n"
     "  # schedule: split oc 16\n"
     "  # schedule: unroll oc.i\n"
     "  alloc a: stack float64[2,2]\n"
     "  alloc p: pad int8[16] level 2\n"
     "  alloc e: reg bool[0]\n"
     "  alloc t2: scratch float32[3] strides [0]\n"
     "  for i in 0..2 par\n"
     "  for i in 0..2 vec level 0\n"
     "  for i in -3..2 level -1 y\n"
     "  if x[]\n"
     "  else\n"
     "    block\n"
     "      let v: float64 = z[]\n"
     "      z[] = v\n"
     "    let v: int32 = -5:int32\n"
     "    p[0] = int8(v)\n"
     "  y[0, 0] min= 1.0\n"
     "  y[0, 1] max= -0.0\n"
     "  y[0, 1] *= 1.4013e-45\n"
     "  y[0, 2] -= 1.0\n",
     "-"},
    {"func f() -> writes b: int64[4]\n"
     "  b[0] &= 1\n"
     "  b[1] |= 9223372036854775807\n"
     "  b[2] ^= -9223372036854775808\n"
     "  b[3] = b[0] + b[1] - 3\n",
     NULL},
};
START_TEST(test_prints_the_same) {
    Case t;
    case_open(&t);
    const char *from = same[_i][0], *to = same[_i][1] ? same[_i][1] : from;
    if (strcmp(to, "-") == 0) { /* no `-=`: that line alone is refused, and without it all else stands */
        ck_assert_ptr_null(func_parse(&t.c, "t.qir", from));
        ck_assert_int_eq(t.d.errors, 1);
        ck_assert_ptr_nonnull(strstr(case_said(&t), "t.qir: 25: error: found '-', expected = or one of +="));
        t.d.errors = t.d.list.n = 0;
        from = to = arena_strndup(t.a, from, (size_t)(strstr(from, "  y[0, 2] -=") - from));
    }
    ck_assert_str_eq(case_print(&t, case_parse(&t, from)), to);
    ck_assert_str_eq(case_print(&t, case_parse(&t, to)), to);
    case_close(&t);
}
END_TEST

/* ---- expressions: minimal parentheses, C's grammar. f x y: float32; d e: float64; i j: int64; n m: int32; u: uint64; p q: bool */
static const struct Row {
    const char *type, *in, *out; /* out NULL: as in */
} exprs[] = {
    {"int64", "i + j * 2 - 3", NULL},
    {"int64", "(i + j) * (2 - j)", NULL},
    {"int64", "((i + j) + (2 * j))", "i + j + 2 * j"},
    {"int64", "i - (j - 1)", NULL},
    {"int64", "i - (j + 1)", NULL},
    {"int64", "i / (j * 2) % 5", NULL},
    {"int64", "i * (j / 2)", NULL},
    {"int64", "i << 1 + j", NULL},
    {"int64", "(i << 1) + j >> 2", NULL},
    {"int64", "i & j | i ^ ~j", NULL},
    {"int64", "i & (j | i)", NULL},
    {"int64", "(i == j) & p ", "x"},
    {"bool", "(i == j & 3) == p", "x"},
    {"bool", "i == (j & 3)", NULL},
    {"bool", "i == j == p", NULL},
    {"bool", "p == (i < j)", "p == i < j"},
    {"bool", "p && q || !p && !(p || q)", NULL},
    {"bool", "(p || q) && true || false", NULL},
    {"bool", "i > j", "j < i"},
    {"bool", "i + 1 >= j", "j <= i + 1"},
    {"bool", "isnan(f) || isinf(d)", NULL},
    {"int64", "-i", NULL},
    {"int64", "--i", NULL},
    {"int64", "-(-3)", NULL},
    {"int64", "- 3", "-3"},
    {"int64", "-(3)", NULL},
    {"int64", "i - -3", NULL},
    {"int64", "i--3", "i - -3"},
    {"int64", "-(i + j)", NULL},
    {"int64", "-abs(i)", NULL},
    {"int64", "~-!p", "x"},
    {"bool", "!!p", NULL},
    {"int64", "min(i, max(j, 2))", NULL},
    {"int64", "select(i < 3, i, j)", NULL},
    {"int64", "ipow(i, 3)", NULL},
    {"int32", "popcount(n)", NULL},
    {"int32", "n + 3:int32", NULL},
    {"int32", "n + 3", "n + 3:int32"},
    {"int32", "3 + n", "3:int32 + n"},
    {"int32", "n + -2147483648", "n + -2147483648:int32"},
    {"int32", "n + 2147483648", "x"},
    {"int32", "int32(i) + n", NULL},
    {"int32", "n + i", "x"},
    {"int32", "n + 0.5", "x"},
    {"uint64", "u + 18446744073709551615:uint64", NULL},
    {"uint64", "u + 18446744073709551615", "u + 18446744073709551615:uint64"},
    {"uint64", "u + -1", "x"},
    {"uint64", "18446744073709551616", "x"},
    {"bool", "p == 1", "p == true"},
    {"bool", "p == 2", "x"},
    {"float32", "f * 2 + 0.5", "f * 2.0 + 0.5"},
    {"float32", "2 * 0.5", "2.0 * 0.5"},
    {"float32", "f + 16777217", "f + 16777216.0"}, /* rounded to even */
    {"float32", "0.1", NULL},
    {"float32", "0.100000001", "0.1"},
    {"float32", "3.4028235e+38", NULL},
    {"float32", "3.5e38", "x"},
    {"float32", "1.4013e-45", NULL},
    {"float32", "-0.0", NULL},
    {"float32", "inf", NULL},
    {"float32", "-inf", NULL},
    {"float32", "-nan + nan", NULL},
    {"float32", "exp(log1p(pow(f, 2.0)))", NULL},
    {"float32", "pow(f, 2)", "pow(f, 2.0)"},
    {"float32", "float32(i) / float32(n)", NULL},
    {"float32", "float16(f) + bfloat16(float8e4m3fn(f))", NULL},
    {"int8", "int4(f)", NULL},
    {"float64", "d + 0.1", "d + 0.1:float64"},
    {"float64", "0.1:float64 * d", NULL},
    {"float64", "d + 3:float64", "d + 3.0:float64"},
    {"float64", "inf:float64 - -inf:float64", NULL},
    {"float64", "nan:float64", NULL},
    {"float64", "pow(2, d)", "pow(2.0:float64, d)"},
    {"float64", "float64(f)", NULL},
    {"float32", "f + d", "x"},
    {"float32", "f & f", "x"},
    {"float32", "~f", "x"},
    {"bool", "!f", "x"},
    {"bool", "f && p", "x"},
    {"float32", "select(f, f, f)", "x"},
    {"float32", "select(p, f, d)", "x"},
    {"float32", "exp(i)", "x"},
    {"float32", "pow(f, d)", "x"},
    {"float32", "pow(f)", "x"},
    {"float32", "exp(f, f)", "x"},
    {"float32", "float32", "x"},
    {"float32", "b[i, j]", NULL},
    {"float32", "b[b[i, j], 0]", "x"},
    {"float32", "b[i]", "x"},
    {"float32", "b", "x"},
    {"float32", "f[0]", "x"},
    {"float32", "s[]", NULL},
    {"float32", "zz", "x"},
    {"float32", "select", "x"},
    {"float32", "level", "x"},
    {"float32", "", "x"},
    {"float32", "f f", "x"},
    {"float32", "f + ", "x"},
    {"float32", "(f", "x"},
    {"float32", "f)", "x"},
    {"float32", "f ? f", "x"},
    {"float32", "0x10", "x"},
    {"float32", "1.", "x"},
    {"float32", "string(f)", "x"},
    {"string", "f", "x"},
    {"float16", "f", "x"},
};
static char *around(Case *t, const char *type, const char *e) {
    return arena_printf(t->a,
                        "func f(b: float32[4,4], s: float32)\n  let f: float32 = 1.0\n  let d: float64 = 1.0:float64\n"
                        "  for i in 0..4\n    for j in 0..4\n      let n: int32 = int32(i)\n      let u: uint64 = uint64(i)\n"
                        "      let p: bool = i < j\n      let q: bool = p\n      let r: %s = %s\n",
                        type, e);
}
START_TEST(test_expressions) {
    const struct Row *r = &exprs[_i];
    Case t;
    case_open(&t);
    const char *out = r->out ? r->out : r->in;
    if (strcmp(out, "x") == 0) {
        ck_assert_msg(!func_parse(&t.c, "t.qir", around(&t, r->type, r->in)), "'%s' of type %s is accepted", r->in, r->type);
        ck_assert_int_eq(t.d.errors, 1);
        ck_assert_msg(strncmp(case_said(&t), "t.qir: 10: error: ", 18) == 0, "%s", case_said(&t));
    } else {
        ck_assert_str_eq(case_print(&t, case_parse(&t, around(&t, r->type, r->in))), around(&t, r->type, out));
        ck_assert(func_verify(&t.c, case_parse(&t, around(&t, r->type, out))));
    }
    case_close(&t);
}
END_TEST

/* ---- errors: the line, and words of the message */
static const struct Wrong {
    int line;
    const char *says, *text;
} wrong[] = {
    {1, "holds no function", ""},
    {1, "holds no function", "# only a comment\n"},
    {1, "expected 'func'", "graph g(x: float32[1]) -> (y)\n"},
    {1, "the name of the function", "func (x: float32)\n"},
    {1, "the line ends where '(' was expected", "func f\n"},
    {1, "the name of a parameter", "func f(for: float32)\n"},
    {1, "declared already", "func f(x: float32, x: float32)\n"},
    {1, "an element type", "func f(x: float33)\n"},
    {1, "an integer", "func f(x: float32[N])\n"},
    {1, "more than 12 dimensions", "func f(x: float32[1,1,1,1,1,1,1,1,1,1,1,1,1])\n"},
    {1, "is negative", "func f(x: float32[-1])\n"},
    {1, "spans more than 2^48", "func f(x: float32[1000000,1000000,1000000])\n"},
    {1, "spans more than 2^48", "func f(x: float32[9223372036854775807,9223372036854775807])\n"},
    {1, "spans more than 2^48", "func f(x: float32[2] strides [9223372036854775807])\n"},
    {1, "has 2 dimensions but 1 strides", "func f(x: float32[2,2] strides [1])\n"},
    {1, "too large", "func f(x: float32[2] offset 9223372036854775808)\n"},
    {1, "spans more than 2^48", "func f(x: float32[2] offset 9223372036854775807)\n"},
    {1, "the end of the line", "func f(x: float32) -> writes y: float32 z\n"},
    {2, "indented by 0 spaces", "func f(x: float32)\nx[] = 1\n"},
    {2, "indented by 3 spaces", "func f(x: float32)\n   x[] = 1\n"},
    {2, "indented by 4 spaces, expected at most 2", "func f(x: float32)\n    x[] = 1\n"},
    {2, "a tab", "func f(x: float32)\n\tx[] = 1\n"},
    {2, "expected a statement", "func f(x: float32)\n  hello[0] = 1\n"},
    {2, "expected a statement", "func f(x: float32)\n  in 0..3\n"},
    {2, "a memory space", "func f()\n  alloc x: float32[2]\n"},
    {2, "the name of a buffer", "func f()\n  alloc max: reg float32[2]\n"},
    {2, "level 5000", "func f()\n  alloc x: pad float32[2] level 5000\n"},
    {2, "expected 'in'", "func f()\n  for i = 0..3\n"},
    {2, "expected '..'", "func f()\n  for i in 0, 3\n"},
    {2, "the upper bound of a loop has type int32, expected int64", "func f()\n  for i in 0..3:int32\n"},
    {2, "expected the end of the line", "func f()\n  for i in 0..3 sideways\n"},
    {2, "level 99999", "func f()\n  for i in 0..3 level 99999\n"},
    {2, "'i' is not in scope", "func f()\n  for i in 0..i\n"},
    {4, "'i' is not in scope", "func f(x: int64)\n  for i in 0..3\n  # comment\n  x[] = i\n"},
    {4, "'v' is not in scope", "func f(x: int64)\n  block\n    let v: int64 = 1\n  x[] = v\n"},
    {3, "declared already", "func f(x: int64)\n  for i in 0..3\n    for i in 0..3\n"},
    {2, "the value has type float32, expected float64", "func f(x: float32)\n  let v: float64 = x[]\n"},
    {2, "the condition has type float32, expected bool", "func f(x: float32)\n  if x[]\n"},
    {2, "`else` without", "func f()\n  else\n"},
    {4, "`else` without", "func f()\n  if true\n  else\n  else\n"},
    {2, "the stored value has type int64", "func f(x: float32, i: int64)\n  x[] = i[]\n"},
    {2, "buffer 'x' takes 2 indices", "func f(x: float32[2,2])\n  x[0] = 1\n"},
    {2, "index 0 of 'x' has type float32", "func f(x: float32[2])\n  x[x[0]] = 1\n"},
    {2, "expected = or one of", "func f(x: float32)\n  x[] min 1\n"},
    {2, "the name of a routine", "func f()\n  call (1)()\n"},
    {2, "a buffer that is in scope", "func f()\n  call g(1)(2)\n"},
    {2, "an argument of a call has type bool", "func f()\n  call g(true)()\n"},
    {2, "unexpected character", "func f(x: float32)\n  x[] = 1 $\n"},
    {2, "more than 64 bits", "func f(x: int64)\n  x[] = 99999999999999999999\n"},
};
START_TEST(test_errors) {
    const struct Wrong *w = &wrong[_i];
    Case t;
    case_open(&t);
    ck_assert_msg(!func_parse(&t.c, "t.qir", w->text), "accepted: %s", w->text);
    const char *text = case_said(&t);
    ck_assert_msg(t.d.errors == 1, "%d errors:\n%s%s", t.d.errors, text, w->text);
    ck_assert_msg(strstr(text, w->says) != NULL, "'%s' is not in: %s", w->says, text);
    ck_assert_msg(strncmp(text, arena_printf(t.a, "t.qir: %d: error: ", w->line), 16 + (w->line > 9)) == 0, "line %d: %s", w->line, text);
    case_close(&t);
}
END_TEST
START_TEST(test_all_errors) { /* one bad line does not hide or invent others */
    Case t;
    case_open(&t);
    ck_assert_ptr_null(func_parse(&t.c, "t.qir",
                                  "func f(x: float32[4]) -> writes y: float32[4]\n"
                                  "  for i in 0...4\n"
                                  "    y[i] = 1\n"
                                  "    let v: float32 = x[\n"
                                  "    y[i] = v\n"
                                  "  if y\n"
                                  "    y[0] = z\n"
                                  "  else\n"
                                  "    y[1] = 2\n"));
    const char *text = case_said(&t);
    ck_assert_int_eq(t.d.errors, 4);
    for (int i = 0; i < 4; i++) ck_assert_msg(strstr(text, arena_printf(t.a, "t.qir: %d: ", (int[]){2, 4, 6, 7}[i])) != NULL, "%s", text);
    case_close(&t);
}
END_TEST

/* ---- printing what is not well-formed, large or deep */
START_TEST(test_prints_broken) {
    Case t;
    case_open(&t);
    Func *f = func_new(t.a, "2 words");
    Var *v = var_new(f, "i", DT_INT64), *w = var_new(f, "i", DT_INT64);
    Stmt *s = s_for(t.a, v, NULL, e_var(t.a, w)), *inner = s_for(t.a, w, e_int(t.a, 0), e_var(t.a, v));
    s_append(t.a, f->body, s);
    s_append(t.a, s->u.loop.body, inner);
    s_append(t.a, inner->u.loop.body, NULL);
    s_append(t.a, f->body, s_let(t.a, var_new(f, "a-b", DT_NONE), NULL));
    ck_assert_str_eq(case_print(&t, f), "func _2_words()\n"
                                        "  for i in <null>..i\n"
                                        "    for i_1 in 0..i\n"
                                        "      <null>\n"
                                        "  let a_b: undefined = <null>\n");
    case_close(&t);
}
END_TEST
START_TEST(test_shared_nodes) { /* 2^200 nodes as a tree */
    Case t;
    case_open(&t);
    Func *f = func_new(t.a, "f");
    Buf *y = func_param(f, "y", DT_FLOAT32, 1, (int64_t[]){1});
    Expr *zero = e_int(t.a, 0), *e = e_load(t.a, y, &zero);
    for (int i = 0; i < 200; i++) e = e_mul(t.a, e, e);
    s_append(t.a, f->body, s_store(t.a, y, &zero, e, RED_NONE));
    ck_assert(func_verify(&t.c, f));
    const char *text = case_print(&t, f);
    ck_assert_uint_lt(strlen(text), 2000000);
    ck_assert_ptr_nonnull(strstr(text, "..."));
    case_close(&t);
}
END_TEST
static char *repeat(Case *t, const char *head, const char *piece, int n, const char *tail) {
    Text out = {0};
    text_puts(&out, head);
    for (int i = 0; i < n; i++) text_puts(&out, piece);
    text_puts(&out, tail);
    char *s = arena_strndup(t->a, out.s, out.n);
    text_free(&out);
    return s;
}
START_TEST(test_depth) {
    static const char head[] = "func f() -> writes y: float32\n  y[] = ";
    Case t;
    case_open(&t);
    char *chain = repeat(&t, head, "y[] + ", 20000, "y[]\n"); /* as long as one likes */
    ck_assert_str_eq(case_print(&t, case_parse(&t, chain)), chain);
    char *calls = repeat(&t, head, "exp(", 400, "y[]");
    calls = repeat(&t, calls, ")", 400, "\n");
    ck_assert_str_eq(case_print(&t, case_parse(&t, calls)), calls);
    static const char *const hostile[] = {"(", "-", "exp(", "!", "y[", "select("};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        ck_assert_ptr_null(func_parse(&t.c, "t.qir", repeat(&t, head, hostile[i], 1000000, "y[]\n")));
        ck_assert_ptr_nonnull(strstr(case_said(&t), i == 4 ? "takes 0 indices" : "nested more than 500 deep"));
        t.d.errors = t.d.list.n = 0;
    }
    Text nest = {0};
    text_puts(&nest, "func f() -> writes y: float32\n");
    for (int i = 1; i <= 300; i++) {
        for (int k = 0; k < i; k++) text_puts(&nest, "  ");
        text_puts(&nest, "block\n");
        if (i != 255) continue;
        ck_assert_str_eq(case_print(&t, case_parse(&t, nest.s)), nest.s);
    }
    ck_assert_ptr_null(func_parse(&t.c, "t.qir", nest.s));
    ck_assert_ptr_nonnull(strstr(case_said(&t), "t.qir: 257: error: blocks are nested more than 256 deep"));
    text_free(&nest);
    case_close(&t);
}
END_TEST

Suite *loop_text_suite(void) {
    Suite *s = suite_create("loop_text");
    TCase *c = tcase_create("loop_text");
    tcase_add_loop_test(c, test_prints_the_same, 0, sizeof same / sizeof *same);
    tcase_add_loop_test(c, test_expressions, 0, sizeof exprs / sizeof *exprs);
    tcase_add_loop_test(c, test_errors, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(c, test_all_errors);
    tcase_add_test(c, test_prints_broken);
    tcase_add_test(c, test_shared_nodes);
    tcase_add_test(c, test_depth);
    suite_add_tcase(s, c);
    return s;
}
