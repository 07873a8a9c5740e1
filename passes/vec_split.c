/* SPDX-License-Identifier: Apache-2.0 */
/* vec_split.c: a loop in which a comparison, a minimum, a maximum or an absolute value has another outcome from one iteration on becomes
 * two loops, in each of which the outcome is known. So borders are told apart once per loop, not once per element. Leaves loops that sum
 * up as they are (another loop adds in another order), and bodies so large that copies cost more than tests.
 *
 *   for i in 0..18: y[i] = select(1 <= i && i < 17, x[i - 1], 0)   --->   for i in 0..1: y[i] = 0;  for i in 1..17: y[i] = x[i - 1];
 *                                                                         for i in 17..18: y[i] = 0
 */
#include "vectorise.h"

enum { COPIES = 32, BODY = 300 };
typedef struct Split {
    Func *f;
    Arena *a, *tmp;
    int left;    /* copies that may still be made */
    bool *bound; /* by variable id: bound inside of the loop that is looked at */
    const Stmt *loop;
    Expr *found; /* what changes its outcome, */
    Expr *at;    /* from which iteration on, */
    bool first;  /* and whether its test holds in the iterations before */
} Split;

/* ---- what may be split */
static int nodes_of(const Expr *e, int most) {
    int n, sum = 1;
    Expr **v = e_operands(e, &n);
    for (int i = 0; i < n && sum < most; i++) sum += nodes_of(v[i], most - sum);
    return sum;
}
/* Nodes of the expressions of a body; BODY or more: too many, or it holds something else than maps. */
static int weight(Split *x, const Stmt *s) {
    int sum = 0;
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n && sum < BODY; i++) sum += weight(x, s->u.block.v[i]);
        return sum;
    case S_FOR:
        if (s->u.loop.mode != LOOP_SEQ) return BODY;
        x->bound[s->u.loop.v->id] = true;
        return weight(x, s->u.loop.body);
    case S_LET: x->bound[s->u.let.v->id] = true; return nodes_of(s->u.let.val, BODY);
    case S_STORE:
        if (s->u.st.red != RED_NONE) return BODY;
        for (int i = 0; i < s->u.st.buf->rank; i++) sum += nodes_of(s->u.st.idx[i], BODY);
        return sum + nodes_of(s->u.st.val, BODY);
    case S_IF: return weight(x, s->u.cond.then) + (s->u.cond.other ? weight(x, s->u.cond.other) : 0) + nodes_of(s->u.cond.cond, BODY);
    default: return BODY;
    }
}

/* ---- where an outcome changes */
static int64_t div_down(int64_t n, int64_t d) { return n / d - (n % d != 0 && (n < 0) != (d < 0)); }
/* The test p < q (or p <= q): from which iteration on it has another value. */
static bool turning(Split *x, Expr *p, Expr *q, bool or_equal, Expr **at, bool *first) {
    Affine d;
    const Var *v = x->loop->u.loop.v;
    int64_t k = 0;
    if (p->t != DT_INT64 || !expr_affine(e_sub(x->tmp, p, q), &d)) return false;
    Expr *rest = e_int(x->a, d.c);
    for (int i = 0; i < d.n; i++) {
        if (d.v[i] == v) k = d.k[i];
        else if (x->bound[d.v[i]->id]) return false;
        else rest = e_add(x->a, rest, e_mul(x->a, e_var(x->a, d.v[i]), e_int(x->a, d.k[i])));
    }
    if (k == 0 || k == INT64_MIN || d.c == INT64_MIN) return false;
    int64_t c, by = k < 0 ? -k : k;
    bool known = e_is_int(rest, &c);
    if (by > 1 && !known) return false;
    *first = k > 0;
    /* k*v + rest < 0 is v < -rest/k for positive k, and v > rest/-k for negative k */
    if (known) {
        if (k > 0) *at = e_int(x->a, or_equal ? div_down(-c, by) + 1 : -div_down(c, by));
        else *at = e_int(x->a, or_equal ? -div_down(-c, by) : div_down(c, by) + 1);
    } else if (k > 0) *at = e_sub(x->a, e_int(x->a, or_equal), rest);
    else *at = e_add(x->a, rest, e_int(x->a, !or_equal));
    return true;
}
static bool test_of(Split *x, Expr *e, Expr **at, bool *first) {
    if (e->k == E_BIN && (e->op == BIN_LT || e->op == BIN_LE)) return turning(x, e->u.a[0], e->u.a[1], e->op == BIN_LE, at, first);
    if (e->k == E_BIN && e->op == BIN_MIN) return turning(x, e->u.a[1], e->u.a[0], false, at, first);
    if (e->k == E_BIN && e->op == BIN_MAX) return turning(x, e->u.a[0], e->u.a[1], false, at, first);
    if (e->k == E_UN && e->op == UN_ABS) return turning(x, e->u.a[0], e_int(x->a, 0), false, at, first);
    return false;
}
static Expr *outcome(Arena *a, const Expr *e, bool holds) {
    if (e->k == E_UN) return holds ? e_un(a, UN_NEG, e->u.a[0]) : e->u.a[0];
    if (e->op == BIN_MIN || e->op == BIN_MAX) return e->u.a[holds];
    return e_lit_i(a, DT_BOOL, holds);
}
static Expr *find_one(void *user, Expr *e) {
    Split *x = user;
    if (!x->found && test_of(x, e, &x->at, &x->first)) x->found = e;
    return e;
}
static Expr *find(void *user, Expr *e) {
    Split *x = user;
    return x->found ? e : expr_map(x->tmp, e, find_one, x);
}

/* ---- pieces */
typedef struct Known {
    Arena *a;
    const Expr *e;
    bool holds;
} Known;
static Expr *put_one(void *user, Expr *e) {
    const Known *k = user;
    return e->k == k->e->k && e_equal(e, k->e) ? outcome(k->a, e, k->holds) : e;
}
static Expr *put_known(void *user, Expr *e) { return expr_map(((Known *)user)->a, e, put_one, user); }
static void drop_tests(Arena *a, Stmt *s) { /* of which the outcome is known */
    if (s->k == S_FOR) drop_tests(a, s->u.loop.body);
    if (s->k != S_BLOCK) return;
    for (int i = 0; i < s->u.block.n; i++) {
        Stmt *in = s->u.block.v[i];
        int64_t c;
        if (in->k == S_IF && e_is_int(in->u.cond.cond, &c)) in = c ? in->u.cond.then : in->u.cond.other ? in->u.cond.other : s_block(a);
        drop_tests(a, s->u.block.v[i] = in);
    }
}
/* Variables of a copy get to be its own. */
static void renew(Split *x, Stmt *s) {
    if (s->k == S_IF) {
        renew(x, s->u.cond.then);
        if (s->u.cond.other) renew(x, s->u.cond.other);
    }
    if (s->k == S_FOR) {
        Var *v = var_new(x->f, s->u.loop.v->name, DT_INT64);
        stmt_subst(x->a, s->u.loop.body, s->u.loop.v, e_var(x->a, v));
        s->u.loop.v = v;
        renew(x, s->u.loop.body);
    }
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n; i++) {
        Stmt *in = s->u.block.v[i];
        renew(x, in);
        if (in->k != S_LET) continue;
        Var *v = var_new(x->f, in->u.let.v->name, in->u.let.v->t);
        for (int k = i + 1; k < s->u.block.n; k++) stmt_subst(x->a, s->u.block.v[k], in->u.let.v, e_var(x->a, v));
        in->u.let.v = v;
    }
}
static Stmt *piece(Split *x, const Stmt *loop, Expr *lo, Expr *hi, bool holds) {
    Known k = {x->a, x->found, holds};
    Stmt *s = s_copy(x->a, loop);
    stmt_map_exprs(s->u.loop.body, put_known, &k);
    drop_tests(x->a, s->u.loop.body);
    s->u.loop.lo = lo, s->u.loop.hi = hi;
    renew(x, s);
    return s;
}
static void split_all(Split *x, Stmt *block);
/* The loop's pieces, each split as far as it goes, into `out`. */
static void split_loop(Split *x, Stmt *out, Stmt *loop) {
    Arena *a = x->a;
    int64_t lo, hi, at;
    Expr *l = loop->u.loop.lo, *h = loop->u.loop.hi;
    bool known = e_is_int(l, &lo) && e_is_int(h, &hi);
    if (known && lo >= hi) return;
    x->bound = NEW_ARRAY(x->tmp, bool, x->f->nvar + 1);
    x->loop = loop, x->found = NULL;
    if (loop->u.loop.mode == LOOP_SEQ && x->left > 0 && weight(x, loop->u.loop.body) < BODY) stmt_map_exprs(loop->u.loop.body, find, x);
    if (!x->found) {
        split_all(x, loop->u.loop.body);
        s_append(a, out, loop);
        return;
    }
    Expr *mid = x->at;
    bool first = x->first;
    if (known && e_is_int(mid, &at) && (at <= lo || at >= hi)) { /* the same all along */
        split_loop(x, out, piece(x, loop, l, h, at > lo ? first : !first));
        return;
    }
    mid = e_max(a, l, e_min(a, mid, h));
    Stmt *before = piece(x, loop, l, mid, first), *after = piece(x, loop, mid, h, !first);
    x->left--;
    split_loop(x, out, before);
    split_loop(x, out, after);
}
static void split_all(Split *x, Stmt *block) {
    Stmt *out = s_block(x->a);
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *s = block->u.block.v[i];
        if (s->k == S_FOR) {
            split_loop(x, out, s);
            continue;
        }
        if (s->k == S_BLOCK) split_all(x, s);
        if (s->k == S_IF) {
            split_all(x, s->u.cond.then);
            if (s->u.cond.other) split_all(x, s->u.cond.other);
        }
        s_append(x->a, out, s);
    }
    block->u.block = out->u.block;
}
void vec_split(Func *f) {
    Split x = {.f = f, .a = f->a, .tmp = arena_new(), .left = COPIES};
    split_all(&x, f->body);
    arena_free(x.tmp);
}
