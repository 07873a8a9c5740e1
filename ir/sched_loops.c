/* SPDX-License-Identifier: Apache-2.0 */
/* sched_loops.c: the steps that touch nothing but loops: split, reorder, fuse, peel and the modes. Split, fuse and peel keep
 * the order of the iterations, so they are always legal; the others ask sched_dep.c.
 *
 *   reorder i j:    for i in 0..8: for j in 0..4: y[i,j] = x[j,i]
 *   --->            for j in 0..4: for i in 0..8: y[i,j] = x[j,i]
 */
#include "sched_internal.h"
#include <string.h>

static Stmt *only_child(const Stmt *loop) {
    const Stmt *b = loop->u.loop.body;
    while (b->u.block.n == 1 && b->u.block.v[0]->k == S_BLOCK) b = b->u.block.v[0];
    return b->u.block.n == 1 && b->u.block.v[0]->k == S_FOR ? b->u.block.v[0] : NULL;
}
static Expr *extent(Sched *s, const Stmt *loop) { return expr_simplify(s->a, e_sub(s->a, loop->u.loop.hi, loop->u.loop.lo), NULL); }

/* ---- split */
bool step_split(Sched *s) {
    LoopAt at;
    Arena *a = s->a;
    int64_t factor, n;
    if (!sched_find_loop(s, s->arg[0], &at) || !sched_number(s, "the factor", s->arg[1], 1, &factor)) return false;
    Stmt *l = at.loop;
    Var *old = l->u.loop.v;
    /* the loop's own name may go on as one of the two */
    for (int i = 2; i < 4; i++)
        if (strcmp(s->arg[i], old->name) && !sched_name_free(s, s->arg[i])) return false;
    if (strcmp(s->arg[2], s->arg[3]) == 0) return sched_fail(s, "both loops would be called '%s', expected two names", s->arg[2]);
    Var *vo = var_new(s->f, s->arg[2], DT_INT64), *vi = var_new(s->f, s->arg[3], DT_INT64);
    Expr *N = extent(s, l), *F = e_int(a, factor), *o = e_var(a, vo), *i = e_var(a, vi);
    bool even = e_is_int(N, &n) && n % factor == 0;
    Expr *no = even ? e_int(a, n / factor) : e_div(a, e_add(a, N, e_int(a, factor - 1)), F);
    Stmt *outer = s_for(a, vo, e_int(a, 0), no);
    Stmt *inner = s_for(a, vi, e_int(a, 0), even ? F : e_min(a, F, e_sub(a, N, e_mul(a, o, F))));
    if (l->u.loop.mode == LOOP_PAR) outer->u.loop.mode = LOOP_PAR;
    outer->u.loop.level = l->u.loop.level, outer->u.loop.axis = l->u.loop.axis;
    stmt_subst(a, l->u.loop.body, old, e_add(a, l->u.loop.lo, e_add(a, e_mul(a, o, F), i)));
    inner->u.loop.body = l->u.loop.body;
    s_append(a, outer->u.loop.body, inner);
    at.block->u.block.v[at.at] = outer;
    return true;
}

/* ---- reorder */
/* The named loops as they stand, outermost first: a chain without gaps. */
static bool named_chain(Sched *s, LoopAt *top, StmtVec *old_order, StmtVec *new_order) {
    for (int i = 0; i < s->narg; i++) {
        LoopAt at;
        if (!sched_find_loop(s, s->arg[i], &at)) return false;
        for (int j = 0; j < i; j++)
            if (new_order->v[j] == at.loop) return sched_fail(s, "the loop '%s' is named twice", s->arg[i]);
        if (i == 0 || at.outer.n < top->outer.n) *top = at;
        vec_push(s->a, new_order, at.loop);
    }
    for (int i = 0; i < s->narg; i++) {
        LoopAt at;
        sched_find_loop(s, s->arg[i], &at);
        bool inside = at.loop == top->loop;
        for (int j = 0; j < at.outer.n; j++) inside |= at.outer.v[j] == top->loop;
        if (!inside) return sched_fail(s, "the loop '%s' does not stand inside '%s'", s->arg[i], top->loop->u.loop.v->name);
    }
    Stmt *l = top->loop;
    for (int i = 0; i < s->narg; i++) {
        bool named = false;
        for (int j = 0; l && j < s->narg; j++) named |= new_order->v[j] == l;
        const char *above = i ? old_order->v[i - 1]->u.loop.v->name : "";
        if (!l)
            return sched_fail(s, "the body of the loop '%s' is more than one loop, expected nothing but the next named loop in it", above);
        if (!named)
            return sched_fail(s, "the loop '%s' stands inside '%s' and is not named, expected all loops of the chain", l->u.loop.v->name,
                              above);
        vec_push(s->a, old_order, l);
        l = only_child(l);
    }
    return true;
}
bool step_reorder(Sched *s) {
    LoopAt top = {0};
    StmtVec was = {0}, want = {0};
    if (!named_chain(s, &top, &was, &want)) return false;
    for (int i = 0; i < want.n; i++)
        for (int j = i + 1; j < want.n; j++)
            if (expr_uses_var(want.v[i]->u.loop.lo, want.v[j]->u.loop.v) || expr_uses_var(want.v[i]->u.loop.hi, want.v[j]->u.loop.v))
                return sched_fail(s, "the bounds of '%s' depend on '%s', expected '%s' to stay outside it (peel the ragged part first)",
                                  want.v[i]->u.loop.v->name, want.v[j]->u.loop.v->name, want.v[j]->u.loop.v->name);
    const char *buf = sched_reorder_conflict(s, &top.outer, &was, &want);
    if (buf) return sched_fail(s, "iterations that depend on each other through buffer '%s' would change their order", buf);
    /* each place of the chain gets its new loop: the bodies stay where they are */
    Arena *a = s->a;
    Stmt *head = NEW_ARRAY(a, Stmt, want.n), *inside = was.v[was.n - 1]->u.loop.body;
    for (int i = 0; i < want.n; i++) head[i] = *want.v[i];
    for (int i = 0; i < want.n; i++) {
        head[i].u.loop.body = inside;
        if (i + 1 < want.n) {
            head[i].u.loop.body = s_block(a);
            s_append(a, head[i].u.loop.body, &head[i + 1]);
        }
    }
    top.block->u.block.v[top.at] = &head[0];
    return true;
}

/* ---- fuse */
bool step_fuse(Sched *s) {
    LoopAt at;
    Arena *a = s->a;
    int64_t alo, ahi, blo, bhi, n;
    if (!sched_find_loop(s, s->arg[0], &at)) return false;
    Stmt *x = at.loop, *y = only_child(x);
    if (!y || strcmp(y->u.loop.v->name, s->arg[1]))
        return sched_fail(s, "the body of '%s' is %s%s, expected nothing but the loop '%s'", s->arg[0],
                          y ? "the loop " : "more than one loop", y ? y->u.loop.v->name : "", s->arg[1]);
    if (!sched_const_loop(x, &alo, &ahi) || !sched_const_loop(y, &blo, &bhi))
        return sched_fail(s, "the bounds of '%s' and '%s' are not both constant", s->arg[0], s->arg[1]);
    if (strcmp(s->arg[2], s->arg[0]) && strcmp(s->arg[2], s->arg[1]) && !sched_name_free(s, s->arg[2])) return false;
    int64_t na = max_i64(ahi - alo, 0), nb = max_i64(bhi - blo, 0);
    if (!mul_ok(na, nb, &n)) return sched_fail(s, "the extents %lld and %lld multiply to more than 2^63", (long long)na, (long long)nb);
    Var *v = var_new(s->f, s->arg[2], DT_INT64);
    Expr *e = e_var(a, v), *N = e_int(a, nb);
    Stmt *l = s_for(a, v, e_int(a, 0), e_int(a, n));
    if (x->u.loop.mode == LOOP_PAR && y->u.loop.mode == LOOP_PAR) l->u.loop.mode = LOOP_PAR;
    l->u.loop.body = y->u.loop.body;
    stmt_subst(a, l->u.loop.body, x->u.loop.v, e_add(a, e_div(a, e, N), e_int(a, alo)));
    stmt_subst(a, l->u.loop.body, y->u.loop.v, e_add(a, e_mod(a, e, N), e_int(a, blo)));
    at.block->u.block.v[at.at] = l;
    return true;
}

/* ---- peel */
typedef struct Ragged {
    const Var *v;
    bool found;
} Ragged;
static Expr *ragged_fn(void *user, Expr *e) {
    Ragged *r = user;
    bool choice = e->k == E_SELECT || (e->k == E_BIN && (e->op == BIN_MIN || e->op == BIN_MAX));
    if (choice && expr_uses_var(e, r->v)) r->found = true;
    return e;
}
static bool ragged_expr(Arena *a, Expr *e, const Var *v) {
    Ragged r = {v, false};
    expr_map(a, e, ragged_fn, &r);
    return r.found;
}
/* Does a bound inside depend on v through a min or max? With v's range cut, fewer do. */
static bool ragged_inside(Arena *a, const Stmt *s, const Var *v, Ranges *r) {
    switch (s->k) {
    case S_FOR: {
        if (ragged_expr(a, expr_simplify(a, s->u.loop.lo, r), v) || ragged_expr(a, expr_simplify(a, s->u.loop.hi, r), v)) return true;
        int n = r->n;
        sched_enter(a, r, s);
        bool found = ragged_inside(a, s->u.loop.body, v, r);
        r->n = n;
        return found;
    }
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (ragged_inside(a, s->u.block.v[i], v, r)) return true;
        return false;
    case S_IF: return ragged_inside(a, s->u.cond.then, v, r) || (s->u.cond.other && ragged_inside(a, s->u.cond.other, v, r));
    default: return false;
    }
}
/* The outer loop whose last iterations make this loop's bound ragged: OUT when IN is named. */
static bool ragged_source(Sched *s, LoopAt *at) {
    Ranges r = {0};
    sched_ranges(s->a, &r, &at->outer);
    if (ragged_inside(s->a, at->loop->u.loop.body, at->loop->u.loop.v, &r)) return true;
    for (int i = at->outer.n - 1; i >= 0; i--)
        if (ragged_expr(s->a, at->loop->u.loop.hi, at->outer.v[i]->u.loop.v)) return sched_find_loop(s, at->outer.v[i]->u.loop.v->name, at);
    return sched_fail(s,
                      "no bound inside '%s' depends on it through a min or max: there is no ragged tail, expected a number of iterations",
                      at->loop->u.loop.v->name);
}
static bool tail_length(Sched *s, LoopAt *at, int64_t *n) {
    int64_t lo, hi;
    if (!ragged_source(s, at)) return false;
    const char *name = at->loop->u.loop.v->name;
    if (!sched_const_loop(at->loop, &lo, &hi)) return sched_fail(s, "the bounds of '%s' are not constant", name);
    for (*n = 1; *n < min_i64(hi - lo, 64); ++*n) {
        Ranges r = {0};
        sched_ranges(s->a, &r, &at->outer);
        Range cut = {at->loop->u.loop.v, lo, hi - *n - 1};
        vec_push(s->a, &r, cut);
        if (!ragged_inside(s->a, at->loop->u.loop.body, at->loop->u.loop.v, &r)) return true;
    }
    return sched_fail(s, "however many of the last iterations of '%s' are split off, bounds inside stay ragged", name);
}
bool step_peel(Sched *s) {
    LoopAt at;
    Arena *a = s->a;
    int64_t n;
    if (!sched_find_loop(s, s->arg[0], &at)) return false;
    if (s->narg == 1 ? !tail_length(s, &at, &n) : !sched_number(s, "the number of iterations", s->arg[1], -INT32_MAX, &n)) return false;
    int64_t first, end;
    Stmt *l = at.loop;
    bool known = sched_const_loop(l, &first, &end);
    if (n == 0 || (known && (n < 0 ? -n : n) >= end - first))
        return sched_fail(s, "found %lld iterations, expected at least one and fewer than '%s' has", (long long)n, s->arg[0]);
    Expr *lo = l->u.loop.lo, *hi = l->u.loop.hi;
    Expr *cut = n > 0 ? e_max(a, lo, e_sub(a, hi, e_int(a, n))) : e_min(a, hi, e_add(a, lo, e_int(a, -n)));
    if (n < 0) cut = e_max(a, lo, cut); /* an empty loop stays empty */
    /* the part that was asked for gets new names, the rest keeps them */
    Stmt *part = sched_clone(s, l);
    if (n > 0) l->u.loop.hi = cut, part->u.loop.lo = cut;
    else l->u.loop.lo = cut, part->u.loop.hi = cut;
    sched_replace(a, at.block, at.at, 1, n > 0 ? (Stmt *[]){l, part} : (Stmt *[]){part, l}, 2);
    return true;
}

/* ---- modes */
bool step_mode(Sched *s) {
    static const struct {
        const char *verb;
        LoopMode mode;
    } modes[] = {{"unroll", LOOP_UNROLL}, {"vectorise", LOOP_VEC}, {"parallelise", LOOP_PAR}};
    LoopAt at;
    int64_t lo, hi;
    if (!sched_find_loop(s, s->arg[0], &at)) return false;
    LoopMode mode = LOOP_SEQ;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(modes[i].verb, s->verb) == 0) mode = modes[i].mode;
    if (mode != LOOP_PAR && !sched_const_loop(at.loop, &lo, &hi))
        return sched_fail(s, "the bounds of '%s' are not constant (peel or split first)", s->arg[0]);
    if (mode != LOOP_UNROLL) {
        const char *buf = sched_iteration_conflict(s, &at.outer, at.loop);
        if (buf)
            return sched_fail(s, "two iterations of '%s' may meet at an element of buffer '%s' that one of them writes", s->arg[0], buf);
    }
    at.loop->u.loop.mode = mode;
    return true;
}
