/* SPDX-License-Identifier: Apache-2.0 */
/* test_simplify.c: simplified index expressions have the value they had, at every point of small ranges; bounds hold and are met
 * where they should be. Random expressions come from a fixed seed; their values from an evaluator written here.
 *
 *   (i * 4 + j) / 4, j in 0..3   --->   i
 */
#include "ir/loop.h"
#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { VARS = 4 };
typedef struct Case {
    Arena *a;
    Func *f;
    Var *v[VARS];
    Expr *e[VARS];
    Ranges r;
    Range range[VARS];
    int64_t at[VARS]; /* where the expression is evaluated */
} Case;
static void case_open(Case *t) {
    static const char *const name[] = {"i", "j", "k", "n"};
    memset(t, 0, sizeof *t);
    t->a = arena_new();
    t->f = func_new(t->a, "f");
    for (int i = 0; i < VARS; i++) t->v[i] = var_new(t->f, name[i], DT_INT64), t->e[i] = e_var(t->a, t->v[i]);
    t->r = (Ranges){t->range, VARS, VARS};
}
static void ranges(Case *t, const int64_t (*lohi)[2], int n) {
    for (int i = 0; i < n; i++) t->range[i] = (Range){t->v[i], lohi[i][0], lohi[i][1]};
    t->r.n = n;
}
static const char *print(Case *t, const Expr *e) {
    Text out = {0};
    expr_print(e, &out);
    const char *s = arena_strdup(t->a, out.s);
    text_free(&out);
    return s;
}

/* ---- the value, as docs/ir.md says */
static int64_t eval(const Case *t, const Expr *e) {
    if (e->k == E_INT) return e->u.i;
    if (e->k == E_VAR) return t->at[e->u.v->id];
    if (e->k == E_SELECT) return eval(t, e->u.a[0]) ? eval(t, e->u.a[1]) : eval(t, e->u.a[2]);
    int64_t x = eval(t, e->u.a[0]);
    if (e->k == E_UN) return e->op == UN_NEG ? (int64_t)(0 - (uint64_t)x) : e->op == UN_NOT ? !x : e->op == UN_ABS ? (x < 0 ? -x : x) : ~x;
    ck_assert_int_eq(e->k, E_BIN);
    int64_t y = eval(t, e->u.a[1]);
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    switch ((BinOp)e->op) {
    case BIN_ADD: return (int64_t)(ux + uy);
    case BIN_SUB: return (int64_t)(ux - uy);
    case BIN_MUL: return (int64_t)(ux * uy);
    case BIN_DIV: return y == 0 ? 0 : y == -1 ? (int64_t)(0 - ux) : x / y;
    case BIN_MOD: return y == 0 || y == -1 ? 0 : x % y;
    case BIN_MIN: return y < x ? y : x;
    case BIN_MAX: return x < y ? y : x;
    case BIN_LT: return x < y;
    case BIN_LE: return x <= y;
    case BIN_EQ: return x == y;
    case BIN_NE: return x != y;
    case BIN_LAND: return x && y;
    case BIN_LOR: return x || y;
    default: ck_abort_msg("operator %d", e->op);
    }
    return 0;
}
/* At every point of the ranges: same value, inside the bounds. Returns whether the bounds are met exactly. */
static void compare(Case *t, const Expr *e, const Expr *s) {
    int64_t lo[2] = {0}, hi[2] = {0};
    const Expr *both[] = {e, s};
    bool known[2];
    for (int k = 0; k < 2; k++) known[k] = expr_bounds(both[k], &t->r, &lo[k], &hi[k]);
    int n = t->r.n;
    for (int i = 0; i < n; i++) t->at[i] = t->range[i].lo;
    for (;;) {
        int64_t x = eval(t, e), y = eval(t, s);
        ck_assert_msg(x == y, "%s is %lld, but %s is %lld at i %lld j %lld k %lld", print(t, e), (long long)x, print(t, s), (long long)y,
                      (long long)t->at[0], (long long)t->at[1], (long long)t->at[2]);
        for (int k = 0; k < 2; k++)
            ck_assert_msg(!known[k] || (x >= lo[k] && x <= hi[k]), "%s is %lld, outside its bounds %lld … %lld", print(t, both[k]),
                          (long long)x, (long long)lo[k], (long long)hi[k]);
        int i = 0;
        while (i < n && ++t->at[i] > t->range[i].hi) t->at[i] = t->range[i].lo, i++;
        if (i == n) return;
    }
}
static int nodes(const Expr *e) {
    int n = 1, k = e->k == E_BIN ? 2 : e->k == E_UN ? 1 : e->k == E_SELECT ? 3 : 0;
    for (int i = 0; i < k; i++) n += nodes(e->u.a[i]);
    return n;
}

/* ---- random expressions */
static uint64_t rnd_state;
static uint64_t rnd(void) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return rnd_state * 0x2545F4914F6CDD1DULL >> 16;
}
static int pick(int n) { return (int)(rnd() % (uint64_t)n); }
static int64_t literal(void) {
    static const int64_t odd[] = {INT64_MAX, INT64_MIN, INT64_MAX / 3, -(INT64_MAX / 2), (int64_t)1 << 62, (int64_t)1 << 32, 1000003};
    return pick(60) == 0 ? odd[pick(7)] : pick(3) ? pick(17) : pick(33) - 16;
}
static Expr *random_bool(Case *t, int depth);
static Expr *random_int(Case *t, int depth) {
    Arena *a = t->a;
    if (depth <= 0 || pick(10) == 0) return pick(4) ? t->e[pick(t->r.n)] : e_int(a, literal());
    Expr *x = random_int(t, depth - 1);
    switch (pick(12)) {
    case 0:
    case 1:
    case 2: return e_add(a, x, random_int(t, depth - 1));
    case 3: return e_sub(a, x, random_int(t, depth - 1));
    case 4:
    case 5: return e_mul(a, x, e_int(a, literal()));
    case 6: return e_div(a, x, pick(8) ? e_int(a, 1 + pick(12)) : random_int(t, depth - 1));
    case 7: return e_mod(a, x, pick(8) ? e_int(a, 1 + pick(12)) : random_int(t, depth - 1));
    case 8: return e_min(a, x, random_int(t, depth - 1));
    case 9: return e_max(a, x, random_int(t, depth - 1));
    case 10: return pick(3) ? e_mul(a, x, random_int(t, depth - 2)) : e_un(a, UN_NEG, x);
    default: return e_select(a, random_bool(t, depth - 1), x, random_int(t, depth - 1));
    }
}
static Expr *random_bool(Case *t, int depth) {
    static const BinOp order[] = {BIN_LT, BIN_LE, BIN_EQ, BIN_NE};
    Arena *a = t->a;
    if (depth <= 0 || pick(4)) return e_bin(a, order[pick(4)], random_int(t, depth - 1), random_int(t, depth - 1));
    Expr *x = random_bool(t, depth - 1);
    return pick(4) == 0 ? e_un(a, UN_NOT, x) : e_bin(a, pick(2) ? BIN_LAND : BIN_LOR, x, random_bool(t, depth - 1));
}
START_TEST(test_random) { /* _i: the seed */
    Case t;
    case_open(&t);
    rnd_state = 0x9E3779B97F4A7C15ULL * (uint64_t)(_i + 1);
    int before = 0, after = 0;
    for (int round = 0; round < 1000; round++) {
        if (round % 50 == 49) arena_free(t.a), case_open(&t); /* memory that is used again is already mapped */
        int64_t lohi[3][2];
        for (int i = 0; i < 3; i++) {
            lohi[i][0] = pick(3) ? 0 : pick(9) - 6;
            lohi[i][1] = lohi[i][0] + pick(7);
        }
        ranges(&t, (const int64_t(*)[2])lohi, 1 + pick(3));
        int depth = 2 + pick(4);
        Expr *e = pick(5) ? random_int(&t, depth) : random_bool(&t, depth), *s = expr_simplify(t.a, e, &t.r);
        ck_assert_int_eq(s->t, e->t);
        compare(&t, e, s);
        compare(&t, e, expr_simplify(t.a, e, NULL)); /* nothing known of the variables */
        before += nodes(e), after += nodes(s);
        Affine f;
        if (!expr_affine(e, &f)) continue;
        for (int p = 0; p < 5; p++) {
            uint64_t sum = (uint64_t)f.c;
            for (int i = 0; i < VARS; i++) t.at[i] = pick(100) - 50;
            for (int i = 0; i < f.n; i++) sum += (uint64_t)f.k[i] * (uint64_t)t.at[f.v[i]->id];
            ck_assert_msg((int64_t)sum == eval(&t, e), "the affine form of %s", print(&t, e));
        }
    }
    ck_assert_int_lt(after, before);
    arena_free(t.a);
}
END_TEST

/* What index expressions of real nests come down to; i in 0..7, j in 0..3, k in 0..2, n in 1..5. */
START_TEST(test_known) {
    Case t;
    case_open(&t);
    Arena *a = t.a;
    Expr *i = t.e[0], *j = t.e[1], *k = t.e[2], *n = t.e[3];
#define I(v)      e_int(a, v)
#define ADD(x, y) e_add(a, x, y)
#define SUB(x, y) e_sub(a, x, y)
#define MUL(x, c) e_mul(a, x, I(c))
#define DIV(x, c) e_div(a, x, I(c))
#define MOD(x, c) e_mod(a, x, I(c))
    const struct {
        Expr *e;
        const char *want;
    } rows[] = {
        {DIV(ADD(MUL(i, 4), j), 4), "i"},
        {MOD(ADD(MUL(i, 4), j), 4), "j"},
        {ADD(MUL(DIV(i, 3), 3), MOD(i, 3)), "i"},
        {DIV(ADD(MUL(i, 12), ADD(MUL(j, 3), k)), 3), "i * 4 + j"},
        {MOD(DIV(ADD(MUL(i, 12), ADD(MUL(j, 3), k)), 3), 4), "j"},
        {DIV(DIV(i, 2), 2), "i / 4"},
        {MOD(MOD(i, 6), 3), "i % 3"},
        {DIV(j, 4), "0"},
        {MOD(j, 4), "j"},
        {MOD(MUL(i, 6), 3), "0"},
        {SUB(ADD(i, j), i), "j"},
        {SUB(ADD(i, I(3)), I(3)), "i"},
        {ADD(ADD(i, i), i), "i * 3"},
        {e_min(a, i, I(7)), "i"},
        {e_min(a, i, I(100)), "i"},
        {e_max(a, SUB(i, I(8)), I(0)), "0"},
        {e_min(a, ADD(MUL(i, 4), I(4)), I(32)), "i * 4 + 4"},
        {e_lt(a, i, I(8)), "true"},
        {e_le(a, I(0), SUB(i, j)), "0 <= i - j"},
        {e_bin(a, BIN_LAND, e_le(a, I(0), i), e_lt(a, ADD(i, k), I(10))), "true"},
        {e_eq(a, ADD(i, I(9)), j), "false"},
        {e_select(a, e_lt(a, j, I(4)), i, k), "i"},
        {e_select(a, e_lt(a, i, I(0)), ADD(i, I(8)), i), "i"},
        {SUB(e_add(a, i, n), n), "i"},
        {e_div(a, i, I(0)), "i / 0"},
        {DIV(SUB(i, I(3)), 2), "(i - 3) / 2"},
    };
    ranges(&t, (const int64_t[][2]){{0, 7}, {0, 3}, {0, 2}, {1, 5}}, 4);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        Expr *s = expr_simplify(a, rows[r].e, &t.r);
        ck_assert_msg(strcmp(print(&t, s), rows[r].want) == 0, "%s gives %s, not %s", print(&t, rows[r].e), print(&t, s), rows[r].want);
        compare(&t, rows[r].e, s);
    }
    arena_free(t.a);
}
END_TEST
/* Bounds that are met exactly. */
START_TEST(test_bounds) {
    Case t;
    case_open(&t);
    Arena *a = t.a;
    Expr *i = t.e[0], *j = t.e[1];
    const struct {
        Expr *e;
        bool known;
        int64_t lo, hi;
    } rows[] = {
        {ADD(MUL(i, 4), j), true, -1, 31},
        {SUB(i, j), true, -3, 8},
        {MUL(j, -2), true, -6, 2},
        {MOD(i, 3), true, 0, 2},
        {MOD(j, 3), true, -1, 2},
        {DIV(j, 2), true, 0, 1},
        {e_min(a, i, I(3)), true, 0, 3},
        {e_max(a, j, I(0)), true, 0, 3},
        {e_un(a, UN_NEG, i), true, -7, 0},
        {e_mul(a, j, j), true, -3, 9},
        {e_lt(a, i, j), true, 0, 1},
        {e_select(a, e_lt(a, i, j), I(-9), i), true, -9, 7},
        {e_div(a, i, j), false, 0, 0},    /* j may be 0 */
        {MUL(i, INT64_MAX), false, 0, 0}, /* wraps */
        {t.e[2], false, 0, 0},            /* not in the ranges */
        {ADD(t.e[3], I(1)), false, 0, 0}, /* an empty range says nothing */
        {e_bin(a, BIN_XOR, i, j), false, 0, 0},
    };
    ranges(&t, (const int64_t[][2]){{0, 7}, {-1, 3}}, 2);
    t.range[2] = (Range){t.v[3], 4, 3}, t.r.n = 3;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        int64_t lo = 0, hi = 0;
        bool known = expr_bounds(rows[r].e, &t.r, &lo, &hi);
        ck_assert_msg(known == rows[r].known && lo == rows[r].lo && hi == rows[r].hi, "%s: %d %lld … %lld", print(&t, rows[r].e), known,
                      (long long)lo, (long long)hi);
    }
    arena_free(t.a);
}
END_TEST
/* Data can be anything: a tensor's x + 1 < x is true where it wraps, and nothing is known of its quotients. */
START_TEST(test_data_wraps) {
    Case t;
    case_open(&t);
    Arena *a = t.a;
    Buf *b = func_param(t.f, "x", DT_INT64, 0, NULL), *out = func_param(t.f, "y", DT_INT64, 1, (int64_t[]){6});
    Expr *x = e_load(a, b, NULL);
    Expr *const e[] = {e_cast(a, DT_INT64, e_lt(a, ADD(x, I(1)), x)),
                       e_min(a, x, ADD(x, I(5))),
                       DIV(ADD(MUL(x, 4), I(8)), 4),
                       MOD(ADD(MUL(x, 4), I(8)), 4),
                       e_cast(a, DT_INT64, e_le(a, MUL(x, 2), ADD(x, x))),
                       SUB(MUL(x, 3), ADD(x, x))};
    static const int64_t at[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX / 2, INT64_MIN / 4, 12345};
    Func *plain = func_new(a, "plain");
    *plain = *t.f;
    plain->body = s_block(a);
    for (int i = 0; i < 6; i++) {
        Expr *idx = I(i);
        s_append(a, plain->body, s_store(a, out, &idx, e[i], RED_NONE));
        s_append(a, t.f->body, s_store(a, out, &idx, e[i], RED_NONE));
    }
    func_simplify(t.f);
    Diags d = {.a = a};
    Ctx c = {a, &d};
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        int64_t v = at[k], p[6], q[6];
        ck_assert(interp_run(&c, plain, (void *[]){&v, p}, NULL) && interp_run(&c, t.f, (void *[]){&v, q}, NULL));
        for (int i = 0; i < 6; i++)
            ck_assert_msg(p[i] == q[i], "x = %lld: %s is %lld, simplified %lld", (long long)v, print(&t, e[i]), (long long)p[i],
                          (long long)q[i]);
    }
    arena_free(t.a);
}
END_TEST
/* Loops give ranges to what is inside, lets too; loops that run never are gone, tests that are decided leave one branch. */
START_TEST(test_function) {
    static const char nest[] = "func f(x: float32[32]) -> writes y: float32[8,4]\n"
                               "  for i in 0..8\n    let base: int64 = i * 4\n    for j in 0..4\n      if j < 4\n        y[(base + j) / 4, "
                               "(i * 4 + j) % 4] = x[min(base + j, 31)]\n"
                               "      else\n        y[i, j] = 0.0\n    for j in 3..2\n      y[i, j] = 1.0\n";
    static const char want[] =
        "func f(x: float32[32]) -> writes y: float32[8,4]\n"
        "  for i in 0..8\n    let base: int64 = i * 4\n    for j in 0..4\n      block\n        y[(base + j) / 4, j] = x[base + j]\n";
    Case t;
    case_open(&t);
    Diags d = {.a = t.a};
    Ctx c = {t.a, &d};
    Func *f = func_parse(&c, "test", nest);
    ck_assert(f != NULL);
    func_simplify(f);
    Text out = {0};
    func_print(f, &out);
    ck_assert_str_eq(out.s, want);
    text_free(&out);
    arena_free(t.a);
}
END_TEST

Suite *simplify_suite(void);
Suite *simplify_suite(void) {
    Suite *s = suite_create("simplify");
    TCase *c = tcase_create("simplify");
    tcase_add_loop_test(c, test_random, 0, getenv("QN_FUZZ") ? atoi(getenv("QN_FUZZ")) : 4);
    tcase_add_test(c, test_known);
    tcase_add_test(c, test_bounds);
    tcase_add_test(c, test_data_wraps);
    tcase_add_test(c, test_function);
    suite_add_tcase(s, c);
    return s;
}
