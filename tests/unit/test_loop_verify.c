/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_verify.c: the verifier of the loop IR accepts what is well-formed and names what is not. What the text form can say
 * is written as text; the rest is broken by hand. Whether an index leaves its buffer is worked out by hand. */
#include "ir/loop.h"
#include "case.h"
#include <check.h>
#include <string.h>
#include <time.h>

/* The verifier answers with exactly this error, or with none when `says` is NULL. */
static void expect(Case *t, const Func *f, const char *says) {
    bool ok = func_verify(&t->c, f);
    ck_assert_int_eq(ok, t->d.errors == 0);
    if (!says) ck_assert_msg(ok, "refused: %s", case_said(t));
    else
        ck_assert_msg(t->d.errors == 1 && strstr(case_said(t), says), "%d errors, expected one with '%s': %s", t->d.errors, says,
                      case_said(t));
    t->d.errors = t->d.list.n = 0;
}

/* ---- from text. All with: func f(x: float32[8], scratch s: float32[8]) -> writes y: float32[4,8] */
static const struct Row {
    const char *says, *text; /* says NULL: well-formed */
} rows[] = {
    {NULL, "  for i in 0..4\n    for j in 0..8\n      y[i, j] = x[j]\n"},
    {"index 1 of 'y', `j + 1`, is 1..8", "  for i in 0..4\n    for j in 0..8\n      y[i, j + 1] = x[j]\n"},
    {"index 0 of 'x', `j - 1`, is -1..6", "  for j in 0..8\n    y[0, j] = x[j - 1]\n"},
    {"index 0 of 'x', `2 * i + j`, is 0..8", "  for i in 0..4\n    for j in 0..3\n      y[i, j] = x[2 * i + j]\n"},
    {NULL, "  for i in 0..4\n    for j in 0..2\n      y[i, j] = x[2 * i + j]\n"},
    {NULL, "  for i in 0..4\n    for j in 0..2\n      y[3 - i, 7 - j] = x[7 - 2 * i - j]\n"},
    {"index 0 of 'y', `4`, is 4..4", "  y[4, 0] = 0.0\n"},
    {"index 0 of 'x', `-1`, is -1..-1", "  s[0] = x[-1]\n"},
    {"index 0 of 'x', `i`, is 0..8", "  for i in 0..9 vec\n    s[0] += x[i]\n"},
    /* what may not be evaluated may be outside: tests of padding */
    {NULL, "  for j in 0..9\n    if j < 8\n      y[0, j] = x[j]\n"},
    {NULL, "  for j in 0..9\n    y[0, 0] += select(j < 8, x[j], 0.0)\n"},
    {NULL, "  for j in 0..9\n    let b: bool = j < 8 && x[j] < 1.0\n"},
    {"index 0 of 'x', `j`, is 0..8", "  for j in 0..9\n    let b: bool = x[j] < 1.0 && j < 8\n"},
    {"index 0 of 'x', `j`, is 0..8", "  for j in 0..9\n    y[0, 0] = select(x[j] < 1.0, 0.0, 1.0)\n"},
    {NULL, "  for i in 0..0\n    y[9, 9] = 0.0\n"}, /* a loop that does not run */
    {NULL, "  for i in 3..1\n    y[9, 9] = 0.0\n"},
    /* unknown is fine: bounds that depend, division, loaded indices */
    {NULL, "  for i in 0..4\n    for j in i..min(8, i + 3)\n      y[i, j] = x[j]\n"},
    {NULL, "  for i in 0..9\n    for j in i..9\n      s[0] += x[j - i]\n"},
    {NULL, "  for i in 0..16\n    s[0] += x[i / 2]\n    s[0] += x[i % 8]\n"},
    {NULL, "  for i in 0..8\n    let k: int64 = int64(x[i])\n    s[0] += x[k]\n"},
    {"index 0 of 'x', `k`, is 8..10", "  for i in 0..3\n    let k: int64 = i + 8\n    s[0] += x[k]\n"},
    {"index 0 of 'x', `j`, is 8..12", "  for i in 0..2\n    for j in i + 8..i + 12\n      s[0] += x[j]\n"},
    /* written flags */
    {"buffer 'x' is stored to but not marked as written", "  x[0] = 0.0\n"},
    {"buffer 'x' is written by a call but not marked", "  call qn_f()(y, out x)\n"},
    {NULL, "  call qn_f(1, 2)(x, out s, out y)\n"},
    {NULL, "  alloc r: reg float32\n  r[] = 0.0\n  alloc k: stack int8[4]\n  k[0] = 1:int8\n"},
    /* sizes */
    {"register buffer 'r' has 1048576 elements", "  alloc r: reg float32[1024,1024]\n"},
    {"stack buffers are larger than 16384 bytes in all at 'c'", "  alloc b: stack float32[2048]\n  alloc c: stack float32[2049]\n"},
    {NULL, "  block\n    alloc b: stack float32[4096]\n  alloc c: stack float32[4096]\n"},
    {"buffer 'r' reaches 2 elements before its start", "  alloc r: pad float32[3] strides [-1] level 1\n"},
    {NULL, "  alloc r: pad float32[3] strides [-1] offset 2 level 1\n"},
    {"buffer 'r' is in a memory space that a local buffer cannot have", "  alloc r: param float32[3]\n"},
    {"a store to 'y' has a reduction that float32 has not", "  y[0, 0] ^= 1.0\n"},
};
START_TEST(test_text) {
    Case t;
    case_open(&t);
    char *text = arena_printf(t.a, "func f(x: float32[8], scratch s: float32[8]) -> writes y: float32[4,8]\n%s", rows[_i].text);
    expect(&t, case_parse(&t, text), rows[_i].says);
    case_close(&t);
}
END_TEST

/* ---- broken by hand */
typedef struct Nest { /* for i in 0..8: y[i] = x[i] */
    Arena *a;
    Func *f;
    Buf *x, *y;
    Var *i;
    Stmt *loop, *store;
    Expr *ix;
} Nest;
static Nest nest(Case *t) {
    Nest n = {.a = t->a, .f = func_new(t->a, "f")};
    n.x = func_param(n.f, "x", DT_FLOAT32, 1, (int64_t[]){8});
    n.y = func_param(n.f, "y", DT_FLOAT32, 1, (int64_t[]){8});
    n.i = var_new(n.f, "i", DT_INT64);
    n.ix = e_var(t->a, n.i);
    n.loop = s_for(t->a, n.i, e_int(t->a, 0), e_int(t->a, 8));
    n.store = s_store(t->a, n.y, &n.ix, e_load(t->a, n.x, &n.ix), RED_NONE);
    s_append(t->a, n.loop->u.loop.body, n.store);
    s_append(t->a, n.f->body, n.loop);
    return n;
}
static Expr *typed(Arena *a, Expr *e, DType to) { /* a node that lies about its type */
    Expr *c = NEW(a, Expr);
    *c = *e;
    c->t = to;
    return c;
}
static void break_nothing(Nest *n) { (void)n; }
static void break_no_name(Nest *n) { n->f->name = "2f"; }
static void break_no_body(Nest *n) { n->f->body = n->store; }
static void break_null_stmt(Nest *n) { s_append(n->a, n->f->body, NULL); }
static void break_null_param(Nest *n) { vec_push(n->a, &n->f->param, NULL); }
static void break_null_bound(Nest *n) { n->loop->u.loop.hi = NULL; }
static void break_null_value(Nest *n) { n->store->u.st.val = NULL; }
static void break_null_operand(Nest *n) {
    n->store->u.st.val = e_un(n->a, UN_ABS, n->store->u.st.val);
    n->store->u.st.val->u.a[0] = NULL;
}
static void break_null_index(Nest *n) { n->store->u.st.idx[0] = NULL; }
static void break_null_indices(Nest *n) { n->store->u.st.idx = NULL; }
static void break_null_load(Nest *n) { n->store->u.st.val->u.ld.idx = NULL; }
static void break_null_variable(Nest *n) {
    n->store->u.st.idx[0] = typed(n->a, n->ix, DT_INT64);
    n->store->u.st.idx[0]->u.v = NULL;
}
static void break_rank(Nest *n) { n->store->u.st.val->narg = 2; }
static void break_cycle(Nest *n) {
    n->store->u.st.val = e_un(n->a, UN_ABS, n->store->u.st.val);
    n->store->u.st.val->u.a[0] = n->store->u.st.val;
}
static void break_bound_twice(Nest *n) { s_append(n->a, n->loop->u.loop.body, s_for(n->a, n->i, e_int(n->a, 0), e_int(n->a, 1))); }
static void break_loop_twice(Nest *n) { s_append(n->a, n->f->body, n->loop); }
static void break_alloc_twice(Nest *n) {
    Buf *a = buf_new(n->f, "a", DT_INT8, 0, NULL, MEM_REG);
    for (int k = 0; k < 2; k++) {
        Stmt *s = s_block(n->a);
        s_append(n->a, n->f->body, s);
        s_append(n->a, s, s_alloc(n->a, a));
    }
}
static void break_same_id(Nest *n) {
    Var *j = var_new(n->f, "j", DT_INT64);
    j->id = n->i->id;
    s_append(n->a, n->loop->u.loop.body, s_let(n->a, j, e_int(n->a, 1)));
}
static void break_bad_id(Nest *n) {
    n->y->id = 7;
    n->loop->u.loop.body = s_block(n->a);
}
static void break_same_name(Nest *n) { s_append(n->a, n->f->body, s_alloc(n->a, buf_new(n->f, "x", DT_INT8, 0, NULL, MEM_REG))); }
static void break_bad_name(Nest *n) { n->i->name = "a b"; }
static void break_outside(Nest *n) { s_append(n->a, n->f->body, s_let(n->a, var_new(n->f, "v", DT_INT64), e_add(n->a, n->ix, n->ix))); }
static void break_outside_shared(Nest *n) { /* seen inside before */
    s_append(n->a, n->f->body, s_let(n->a, var_new(n->f, "v", DT_FLOAT32), n->store->u.st.val));
}
static void break_outside_store(Nest *n) {
    s_append(n->a, n->f->body, s_store(n->a, buf_new(n->f, "a", DT_INT8, 0, NULL, MEM_REG), NULL, e_lit_i(n->a, DT_INT8, 1), RED_NONE));
}
static void break_outside_load(Nest *n) {
    s_append(n->a, n->f->body, s_let(n->a, var_new(n->f, "v", DT_INT8), e_load(n->a, buf_new(n->f, "a", DT_INT8, 0, NULL, MEM_REG), NULL)));
}
static void break_before_let(Nest *n) {
    Var *v = var_new(n->f, "v", DT_INT64);
    s_append(n->a, n->f->body, s_let(n->a, v, e_add(n->a, e_var(n->a, v), e_int(n->a, 1))));
}
static void break_let_type(Nest *n) { s_append(n->a, n->f->body, s_let(n->a, var_new(n->f, "v", DT_INT32), e_int(n->a, 1))); }
static void break_loop_type(Nest *n) { n->loop->u.loop.hi = e_lit_i(n->a, DT_INT32, 8); }
static void break_var_type(Nest *n) { n->store->u.st.val = e_cast(n->a, DT_FLOAT32, typed(n->a, n->ix, DT_INT32)); }
static void break_load_type(Nest *n) { n->store->u.st.val = e_cast(n->a, DT_FLOAT32, typed(n->a, n->store->u.st.val, DT_FLOAT64)); }
static void break_bin_type(Nest *n) {
    n->store->u.st.val = e_add(n->a, n->store->u.st.val, n->store->u.st.val);
    n->store->u.st.val->u.a[1] = n->ix;
}
static void break_compare_type(Nest *n) {
    n->store->u.st.val = e_cast(n->a, DT_FLOAT32, typed(n->a, e_lt(n->a, n->ix, e_int(n->a, 3)), DT_INT64));
}
static void break_cond_type(Nest *n) { s_append(n->a, n->loop->u.loop.body, s_if(n->a, n->ix)); }
static void break_store_type(Nest *n) { n->store->u.st.val = e_lit(n->a, DT_FLOAT64, 1); }
static void break_index_type(Nest *n) { n->store->u.st.idx[0] = e_lit_i(n->a, DT_INT32, 1); }
static void break_literal_type(Nest *n) { n->store->u.st.val = typed(n->a, e_int(n->a, 1), DT_FLOAT32); }
static void break_cast_target(Nest *n) {
    n->store->u.st.val = e_cast(n->a, DT_FLOAT32, n->ix);
    n->store->u.st.val->to = DT_COMPLEX64;
}
static void break_complex(Nest *n) { func_param(n->f, "s", DT_COMPLEX64, 1, (int64_t[]){8}); }
static void break_param_space(Nest *n) { vec_push(n->a, &n->f->param, buf_new(n->f, "r", DT_INT8, 0, NULL, MEM_REG)); }
static void break_negative(Nest *n) { func_param(n->f, "u", DT_INT8, 1, (int64_t[]){DIM_UNKNOWN}); }
static void break_huge(Nest *n) {
    Buf *u = func_param(n->f, "u", DT_INT8, 2, (int64_t[]){8, 8});
    u->dim[0] = u->dim[1] = INT64_MAX;
}
static void break_mode(Nest *n) { n->loop->u.loop.mode = (LoopMode)9; }
static void break_axis(Nest *n) { n->loop->u.loop.axis = 'z'; }

static const struct Broken {
    void (*how)(Nest *);
    const char *says;
} broken[] = {
    {break_nothing, NULL},
    {break_no_name, "the name of a function is no identifier"},
    {break_no_body, "the body of the function is no block"},
    {break_null_stmt, "a statement is missing"},
    {break_null_param, "a parameter is missing"},
    {break_null_bound, "an expression is missing"},
    {break_null_value, "an expression is missing"},
    {break_null_operand, "an expression is missing"},
    {break_null_index, "an expression is missing"},
    {break_null_indices, "has no indices, expected 1"},
    {break_null_load, "right number of indices is missing"},
    {break_null_variable, "right number of indices is missing"},
    {break_rank, "right number of indices is missing"},
    {break_cycle, "an expression contains itself"},
    {break_bound_twice, "variable 'i' is bound twice"},
    {break_loop_twice, "variable 'i' is bound twice"},
    {break_alloc_twice, "buffer 'a' is bound twice"},
    {break_same_id, "variable 'j' has the number of another one"},
    {break_bad_id, "buffer 'y' has number 7 of 2"},
    {break_same_name, "two buffers in scope have the name 'x'"},
    {break_bad_name, "'a b' is no identifier that a variable can have"},
    {break_outside, "in `i`: a variable or buffer is used outside its scope"},
    {break_outside_shared, "in `x[i]`: a variable or buffer is used outside its scope"},
    {break_outside_store, "buffer 'a' is stored to outside its scope"},
    {break_outside_load, "buffer 'a' is loaded outside its scope"},
    {break_before_let, "variable 'v' is used outside the scope"},
    {break_let_type, "variable 'v' has type int32, its value int64"},
    {break_loop_type, "the upper bound of a loop has type int32, expected int64"},
    {break_var_type, "a use of a variable has type int32, expected int64"},
    {break_load_type, "a load has type float64, expected float32"},
    {break_bin_type, "operands of '+' have types float32 and int64"},
    {break_compare_type, "the result of a binary operation has type int64, expected bool"},
    {break_cond_type, "the condition of an if has type int64, expected bool"},
    {break_store_type, "a value of type float64 is stored to 'y' of float32"},
    {break_index_type, "the index of a store has type int32, expected int64"},
    {break_literal_type, "an integer literal has type float32"},
    {break_cast_target, "the target of a cast has type complex64"},
    {break_complex, "buffer 's' has element type complex64"},
    {break_param_space, "buffer 'r' is in a memory space that a parameter cannot have"},
    {break_negative, "dimension 0 of buffer 'u' is -1"},
    {break_huge, "the size of buffer 'u' overflows"},
    {break_mode, "a loop has mode 9"},
    {break_axis, "a loop has axis"},
};
START_TEST(test_broken) {
    Case t;
    case_open(&t);
    Nest n = nest(&t);
    broken[_i].how(&n);
    expect(&t, n.f, broken[_i].says);
    case_close(&t);
}
END_TEST

/* ---- all problems, not the first alone */
START_TEST(test_all) {
    Case t;
    case_open(&t);
    Func *f =
        case_parse(&t, "func f(x: float32[8])\n  x[0] = 1.0\n  alloc r: param float32\n  for i in 0..9\n    x[i] = 2.0\n    r[] = x[9]\n");
    ck_assert(!func_verify(&t.c, f));
    ck_assert_int_eq(t.d.errors, 4);
    case_close(&t);
}
END_TEST

/* ---- a DAG of 60000 nodes, 2^20000 as a tree, and a chain of 100000: linear time, no deep recursion */
START_TEST(test_large) {
    Case t;
    case_open(&t);
    Nest n = nest(&t);
    Expr *e = n.store->u.st.val, *k = n.ix;
    for (int i = 0; i < 20000; i++) e = e_add(t.a, e_mul(t.a, e, e), e_un(t.a, UN_ABS, e));
    for (int i = 0; i < 100000; i++) k = e_mod(t.a, e_add(t.a, k, k), e_int(t.a, 8));
    n.store->u.st.val = e;
    n.store->u.st.idx[0] = k;
    for (int i = 0; i < 2000; i++) s_append(t.a, n.loop->u.loop.body, s_copy(t.a, n.store)); /* shares the nodes */
    clock_t start = clock();
    expect(&t, n.f, NULL);
    ck_assert_int_lt((clock() - start) / CLOCKS_PER_SEC, 20);
    case_close(&t);
}
END_TEST

Suite *loop_verify_suite(void) {
    Suite *s = suite_create("loop_verify");
    TCase *c = tcase_create("loop_verify");
    tcase_add_loop_test(c, test_text, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(c, test_broken, 0, sizeof broken / sizeof *broken);
    tcase_add_test(c, test_all);
    tcase_add_test(c, test_large);
    suite_add_tcase(s, c);
    return s;
}
