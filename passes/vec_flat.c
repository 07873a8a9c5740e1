/* SPDX-License-Identifier: Apache-2.0 */
/* vec_flat.c: every buffer becomes one-dimensional, and two nested loops become one where each access steps from the last iteration
 * of the inner loop to the next one of the outer loop as from any iteration to the next. Assumes constant, dense loops from 0.
 *
 *   for i in 0..8: for j in 0..4: y[i,j] = x[i,j] * s[]    --->    for j in 0..32: y[j] = x[j] * s[]
 */
#include "vectorise.h"

/* ---- one dimension */
typedef struct Flat {
    Func *f;
    bool *flat; /* by buffer id: to be rewritten */
} Flat;
static bool span_of(const Buf *b, int64_t *span) {
    *span = 1;
    for (int d = 0; d < b->rank; d++) {
        int64_t k;
        if (b->dim[d] < 1 || b->stride[d] < 0 || !mul_ok(b->dim[d] - 1, b->stride[d], &k) || !add_ok(*span, k, span)) return false;
    }
    return true;
}
static Expr *flat_index(Arena *a, const Buf *b, Expr *const *idx) {
    Expr *at = e_int(a, 0);
    for (int d = 0; d < b->rank; d++) at = e_add(a, at, e_mul(a, idx[d], e_int(a, b->stride[d])));
    return at;
}
static Expr *flat_load(void *user, Expr *e) {
    const Flat *x = user;
    if (e->k != E_LOAD || !x->flat[e->u.ld.buf->id]) return e;
    Expr *n = NEW(x->f->a, Expr); /* the buffer still has its old shape */
    *n = *e;
    n->narg = 1;
    n->u.ld.idx = NEW_ARRAY(x->f->a, Expr *, 1);
    n->u.ld.idx[0] = flat_index(x->f->a, e->u.ld.buf, e->u.ld.idx);
    return n;
}
static Expr *flat_expr(Flat *x, Expr *e) { return expr_map(x->f->a, e, flat_load, x); }
static void flat_stmt(Flat *x, Stmt *s) {
    switch (s->k) {
    case S_STORE: {
        Buf *b = s->u.st.buf;
        for (int i = 0; i < b->rank; i++) s->u.st.idx[i] = flat_expr(x, s->u.st.idx[i]);
        s->u.st.val = flat_expr(x, s->u.st.val);
        if (!x->flat[b->id]) break;
        Expr *at = flat_index(x->f->a, b, s->u.st.idx);
        s->u.st.idx = NEW_ARRAY(x->f->a, Expr *, 1);
        s->u.st.idx[0] = at;
        break;
    }
    case S_LET: s->u.let.val = flat_expr(x, s->u.let.val); break;
    case S_FOR:
        s->u.loop.lo = flat_expr(x, s->u.loop.lo), s->u.loop.hi = flat_expr(x, s->u.loop.hi);
        flat_stmt(x, s->u.loop.body);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) flat_stmt(x, s->u.block.v[i]);
        break;
    case S_IF:
        s->u.cond.cond = flat_expr(x, s->u.cond.cond);
        flat_stmt(x, s->u.cond.then);
        if (s->u.cond.other) flat_stmt(x, s->u.cond.other);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = flat_expr(x, s->u.call.arg[i]);
        break;
    case S_ALLOC: break;
    }
}
typedef Vec(Buf *) Bufs;
static void collect(Arena *a, const Stmt *s, Bufs *out) {
    switch (s->k) {
    case S_ALLOC: vec_push(a, out, s->u.alloc); break;
    case S_FOR: collect(a, s->u.loop.body, out); break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) collect(a, s->u.block.v[i], out);
        break;
    case S_IF:
        collect(a, s->u.cond.then, out);
        if (s->u.cond.other) collect(a, s->u.cond.other, out);
        break;
    default: break;
    }
}
static void flatten_buffers(Func *f, Arena *tmp) {
    Flat x = {f, NEW_ARRAY(tmp, bool, f->nbuf + 1)};
    Bufs all = {0};
    for (int i = 0; i < f->param.n; i++) vec_push(tmp, &all, f->param.v[i]);
    collect(tmp, f->body, &all);
    int64_t span;
    for (int i = 0; i < all.n; i++) {
        const Buf *b = all.v[i];
        x.flat[b->id] = b->rank > 0 && b->space != MEM_REG && (b->rank > 1 || b->stride[0] != 1) && span_of(b, &span);
    }
    flat_stmt(&x, f->body);
    for (int i = 0; i < all.n; i++) { /* loads know their buffer's shape while they are rewritten, so it changes last */
        Buf *b = all.v[i];
        if (!x.flat[b->id] || !span_of(b, &span)) continue;
        b->rank = 1, b->dim[0] = span, b->stride[0] = 1;
    }
}

/* ---- one loop */
typedef struct Join {
    const Var *outer, *inner;
    int64_t extent; /* of the inner loop */
    bool ok;
} Join;
static void join_expr(Join *j, const Expr *e);
static void join_index(Join *j, const Expr *e) {
    int64_t ko, ki;
    if (!vec_coefficient(e, j->outer, &ko) || !vec_coefficient(e, j->inner, &ki) || !mul_ok(ki, j->extent, &ki) || ko != ki) j->ok = false;
}
static void join_expr(Join *j, const Expr *e) {
    if (!j->ok) return;
    switch (e->k) {
    case E_VAR: j->ok &= e->u.v != j->outer && e->u.v != j->inner; break;
    case E_LOAD:
        for (int i = 0; i < e->narg; i++) join_index(j, e->u.ld.idx[i]);
        break;
    case E_UN:
    case E_CAST: join_expr(j, e->u.a[0]); break;
    case E_BIN: join_expr(j, e->u.a[0]), join_expr(j, e->u.a[1]); break;
    case E_SELECT:
        for (int i = 0; i < 3; i++) join_expr(j, e->u.a[i]);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) join_expr(j, e->u.arg[i]);
        break;
    default: break;
    }
}
static void join_stmt(Join *j, const Stmt *s) {
    if (!j->ok) return;
    switch (s->k) {
    case S_STORE:
        if (s->u.st.buf->rank > 1) j->ok = false;
        for (int i = 0; i < s->u.st.buf->rank; i++) join_index(j, s->u.st.idx[i]);
        join_expr(j, s->u.st.val);
        break;
    case S_LET: join_expr(j, s->u.let.val); break;
    case S_FOR:
        join_expr(j, s->u.loop.lo), join_expr(j, s->u.loop.hi);
        join_stmt(j, s->u.loop.body);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) join_stmt(j, s->u.block.v[i]);
        break;
    case S_IF:
        join_expr(j, s->u.cond.cond);
        join_stmt(j, s->u.cond.then);
        if (s->u.cond.other) join_stmt(j, s->u.cond.other);
        break;
    case S_CALL: j->ok = false; break;
    case S_ALLOC: break;
    }
}
static bool from_zero(const Stmt *loop, int64_t *n) {
    int64_t lo;
    return loop->u.loop.mode == LOOP_SEQ && e_is_int(loop->u.loop.lo, &lo) && lo == 0 && e_is_int(loop->u.loop.hi, n);
}
static void join_loops(Func *f, Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) join_loops(f, s->u.block.v[i]);
        break;
    case S_IF:
        join_loops(f, s->u.cond.then);
        if (s->u.cond.other) join_loops(f, s->u.cond.other);
        break;
    case S_FOR: {
        Stmt *body = s->u.loop.body, *in = body->u.block.n == 1 ? body->u.block.v[0] : NULL;
        int64_t outer, inner, n;
        join_loops(f, body);
        if (!in || in->k != S_FOR || !from_zero(s, &outer) || !from_zero(in, &inner) || !mul_ok(outer, inner, &n)) break;
        Join j = {s->u.loop.v, in->u.loop.v, inner, true};
        join_stmt(&j, in->u.loop.body);
        if (!j.ok) break;
        stmt_subst(f->a, in->u.loop.body, s->u.loop.v, e_int(f->a, 0));
        in->u.loop.hi = e_int(f->a, n);
        s->u.loop = in->u.loop;
        break;
    }
    default: break;
    }
}
/* ---- two loops, where quotient and remainder of the variable are what is used */
typedef struct Divisor {
    Arena *tmp;
    const Var *v;
    int64_t by;
} Divisor;
static Expr *find_divisor(void *user, Expr *e) {
    Divisor *d = user;
    int64_t c;
    bool div = e->k == E_BIN && (e->op == BIN_DIV || e->op == BIN_MOD) && e->u.a[0]->k == E_VAR && e->u.a[0]->u.v == d->v;
    if (div && e_is_int(e->u.a[1], &c) && c > 1 && (!d->by || c < d->by)) d->by = c;
    return e;
}
static Expr *find_in(void *user, Expr *e) { return expr_map(((Divisor *)user)->tmp, e, find_divisor, user); }
static void split_loops(Func *f, Arena *tmp, Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) split_loops(f, tmp, s->u.block.v[i]);
        break;
    case S_IF:
        split_loops(f, tmp, s->u.cond.then);
        if (s->u.cond.other) split_loops(f, tmp, s->u.cond.other);
        break;
    case S_FOR: {
        Divisor d = {tmp, s->u.loop.v, 0};
        int64_t n;
        split_loops(f, tmp, s->u.loop.body);
        stmt_map_exprs(s->u.loop.body, find_in, &d);
        if (!d.by || !from_zero(s, &n) || n % d.by || n == d.by) break;
        Var *o = var_new(f, arena_printf(f->a, "%s_q", d.v->name), DT_INT64),
            *r = var_new(f, arena_printf(f->a, "%s_r", d.v->name), DT_INT64);
        Stmt *in = s_for(f->a, r, e_int(f->a, 0), e_int(f->a, d.by));
        in->u.loop.body = s->u.loop.body;
        stmt_subst(f->a, in->u.loop.body, d.v, e_add(f->a, e_mul(f->a, e_var(f->a, o), e_int(f->a, d.by)), e_var(f->a, r)));
        s->u.loop.v = o, s->u.loop.hi = e_int(f->a, n / d.by);
        s->u.loop.body = s_block(f->a);
        s_append(f->a, s->u.loop.body, in);
        break;
    }
    default: break;
    }
}
void vec_flatten(Func *f) {
    Arena *tmp = arena_new();
    flatten_buffers(f, tmp);
    func_simplify(f);
    split_loops(f, tmp, f->body);
    func_simplify(f);
    join_loops(f, f->body);
    func_simplify(f);
    arena_free(tmp);
}
