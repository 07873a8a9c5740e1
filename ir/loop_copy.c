/* SPDX-License-Identifier: Apache-2.0 */
/* loop_copy.c: what rewrites a tree of statements in place (its expressions, its buffers) and what copies one. Expressions are
 * immutable and shared between copies; statements, loop variables and local buffers belong to one function.
 *
 *   t[i] = x[i];   moved from t to u[strip][...]   --->   u[s, i] = x[i];
 */
#include "loop.h"

void stmt_each(Stmt *s, void (*fn)(void *user, Stmt *s), void *user) {
    fn(user, s);
    if (s->k == S_FOR) stmt_each(s->u.loop.body, fn, user);
    if (s->k == S_IF) stmt_each(s->u.cond.then, fn, user);
    if (s->k == S_IF && s->u.cond.other) stmt_each(s->u.cond.other, fn, user);
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n; i++) stmt_each(s->u.block.v[i], fn, user);
}
void stmt_map_exprs(Stmt *s, ExprFn fn, void *user) {
    switch (s->k) {
    case S_FOR:
        s->u.loop.lo = fn(user, s->u.loop.lo);
        s->u.loop.hi = fn(user, s->u.loop.hi);
        stmt_map_exprs(s->u.loop.body, fn, user);
        break;
    case S_STORE:
        for (int i = 0; i < s->u.st.buf->rank; i++) s->u.st.idx[i] = fn(user, s->u.st.idx[i]);
        s->u.st.val = fn(user, s->u.st.val);
        break;
    case S_LET: s->u.let.val = fn(user, s->u.let.val); break;
    case S_IF:
        s->u.cond.cond = fn(user, s->u.cond.cond);
        stmt_map_exprs(s->u.cond.then, fn, user);
        if (s->u.cond.other) stmt_map_exprs(s->u.cond.other, fn, user);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = fn(user, s->u.call.arg[i]);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) stmt_map_exprs(s->u.block.v[i], fn, user);
        break;
    case S_ALLOC: break;
    }
}
typedef struct StmtSubst {
    Arena *a;
    const Var *v;
    Expr *by;
} StmtSubst;
static Expr *stmt_subst_fn(void *user, Expr *e) {
    StmtSubst *s = user;
    return e_subst(s->a, e, s->v, s->by);
}
void stmt_subst(Arena *a, Stmt *s, const Var *v, Expr *by) {
    StmtSubst u = {a, v, by};
    stmt_map_exprs(s, stmt_subst_fn, &u);
}

Stmt *s_copy(Arena *a, const Stmt *s) {
    Stmt *c = NEW(a, Stmt);
    *c = *s;
    switch (s->k) {
    case S_FOR: c->u.loop.body = s_copy(a, s->u.loop.body); break;
    case S_STORE:
        c->u.st.idx = NEW_ARRAY(a, Expr *, s->u.st.buf->rank);
        for (int i = 0; i < s->u.st.buf->rank; i++) c->u.st.idx[i] = s->u.st.idx[i];
        break;
    case S_IF:
        c->u.cond.then = s_copy(a, s->u.cond.then);
        if (s->u.cond.other) c->u.cond.other = s_copy(a, s->u.cond.other);
        break;
    case S_CALL:
        c->u.call.arg = NEW_ARRAY(a, Expr *, s->u.call.narg);
        for (int i = 0; i < s->u.call.narg; i++) c->u.call.arg[i] = s->u.call.arg[i];
        break;
    case S_BLOCK:
        c->u.block.v = NEW_ARRAY(a, Stmt *, s->u.block.n);
        c->u.block.cap = s->u.block.n;
        for (int i = 0; i < s->u.block.n; i++) c->u.block.v[i] = s_copy(a, s->u.block.v[i]);
        break;
    default: break;
    }
    return c;
}

/* ---- accesses of other buffers */
typedef struct BufMap {
    Arena *a;
    BufFn fn;
    void *user;
    Expr *lead;
} BufMap;
static Expr **with_lead(const BufMap *m, int rank, Expr **idx) {
    if (!m->lead) return idx;
    Expr **out = NEW_ARRAY(m->a, Expr *, rank + 1);
    out[0] = m->lead;
    for (int d = 0; d < rank; d++) out[d + 1] = idx[d];
    return out;
}
static Expr *map_load(void *user, Expr *e) {
    const BufMap *m = user;
    if (e->k != E_LOAD) return e;
    Buf *from = e->u.ld.buf, *to = m->fn(m->user, from);
    return to == from ? e : e_load(m->a, to, with_lead(m, from->rank, e->u.ld.idx));
}
static Expr *map_loads(void *user, Expr *e) { return expr_map(((BufMap *)user)->a, e, map_load, user); }
static void map_store(void *user, Stmt *s) {
    const BufMap *m = user;
    if (s->k == S_STORE) {
        Buf *from = s->u.st.buf, *to = m->fn(m->user, from);
        if (to != from) s->u.st.idx = with_lead(m, from->rank, s->u.st.idx), s->u.st.buf = to;
    }
    if (s->k != S_CALL) return;
    Buf **b = NEW_ARRAY(m->a, Buf *, s->u.call.nbuf);
    for (int i = 0; i < s->u.call.nbuf; i++) b[i] = m->fn(m->user, s->u.call.buf[i]);
    s->u.call.buf = b;
}
void stmt_map_bufs(Arena *a, Stmt *s, BufFn fn, void *user, Expr *lead) {
    BufMap m = {a, fn, user, lead};
    stmt_map_exprs(s, map_loads, &m);
    stmt_each(s, map_store, &m);
}
static Buf *other_buf(void *user, Buf *b) {
    Buf *const *pair = user;
    return b == pair[0] ? pair[1] : b;
}
void stmt_move_buf(Arena *a, Stmt *s, Buf *from, Buf *to, Expr *lead) { stmt_map_bufs(a, s, other_buf, (Buf *[]){from, to}, lead); }

/* ---- copies of functions */
/* Renews what a copy owns: loop and let variables, local buffers. One pass collects the pairs, one rewrites. */
typedef struct Renew {
    Arena *a;
    Func *f;
    Expr **var; /* by old id */
    Buf **buf;  /* by old id */
    bool moves; /* into another function: ids and names are new, too */
} Renew;
static Expr *renewed_var(void *user, Expr *e) {
    const Renew *r = user;
    return e->k == E_VAR && r->var[e->u.v->id] ? r->var[e->u.v->id] : e;
}
static Expr *renew_expr(void *user, Expr *e) { return expr_map(((Renew *)user)->a, e, renewed_var, user); }
static Buf *renewed_buf(void *user, Buf *b) {
    const Renew *r = user;
    return r->buf[b->id] ? r->buf[b->id] : b;
}
static Var *renew_var(Renew *r, const Var *v) {
    Var *w = NEW(r->a, Var);
    *w = *v;
    if (r->moves) w->id = r->f->nvar++;
    r->var[v->id] = e_var(r->a, w);
    return w;
}
static void renew_decl(void *user, Stmt *s) {
    Renew *r = user;
    if (s->k == S_FOR) s->u.loop.v = renew_var(r, s->u.loop.v);
    if (s->k == S_LET) s->u.let.v = renew_var(r, s->u.let.v);
    if (s->k != S_ALLOC) return;
    Buf *b = NEW(r->a, Buf);
    *b = *s->u.alloc;
    r->buf[b->id] = b;
    if (r->moves) b->id = r->f->nbuf++, b->name = arena_printf(r->a, "%s_%d", b->name, b->id);
    s->u.alloc = b;
}
Func *func_copy(Arena *a, const Func *f) {
    Func *g = NEW(a, Func);
    *g = *f;
    g->a = a;
    g->param.v = NEW_ARRAY(a, Buf *, f->param.n);
    g->param.cap = f->param.n;
    for (int i = 0; i < f->param.n; i++) g->param.v[i] = f->param.v[i];
    g->schedule.v = NEW_ARRAY(a, const char *, f->schedule.n);
    g->schedule.cap = f->schedule.n;
    for (int i = 0; i < f->schedule.n; i++) g->schedule.v[i] = f->schedule.v[i];
    g->body = s_copy(a, f->body);
    Renew r = {a, g, NEW_ARRAY(a, Expr *, f->nvar), NEW_ARRAY(a, Buf *, f->nbuf), false};
    stmt_each(g->body, renew_decl, &r);
    stmt_map_exprs(g->body, renew_expr, &r);
    stmt_map_bufs(a, g->body, renewed_buf, &r, NULL);
    return g;
}
Stmt *func_inline(Func *into, const Func *f, Buf *const *param) {
    Renew r = {into->a, into, NEW_ARRAY(into->a, Expr *, f->nvar + 1), NEW_ARRAY(into->a, Buf *, f->nbuf + 1), true};
    Stmt *body = s_copy(into->a, f->body);
    for (int i = 0; i < f->param.n; i++) r.buf[f->param.v[i]->id] = param[i];
    stmt_each(body, renew_decl, &r);
    stmt_map_exprs(body, renew_expr, &r);
    stmt_map_bufs(into->a, body, renewed_buf, &r, NULL);
    return body;
}
