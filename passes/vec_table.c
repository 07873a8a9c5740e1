/* SPDX-License-Identifier: Apache-2.0 */
/* vec_table.c: maps that load elsewhere than at neighbouring places, where these places are known when the program is compiled: by a
 * constant table, a stride, backwards. The lanes of a vector are found in one or two vectors of neighbours by a shuffle. Assumes flat
 * buffers; what is loaded is not stored to.
 *
 *   for o in 0..16: y[o] = w[o] * x[at[o]]   with at = 0 0 0 1 1 2 2 3 …
 *   --->  t[l] = x[l];  y[l] = w[l] * t[0 0 0 1 1 2 2 3];  t[l] = x[l + 4]; …
 */
#include "vectorise.h"

enum { MOST_LOADS = 8, MOST_PLACES = 4096, MOST_RUNS = 48 };
typedef struct Load {
    const Expr *e;
    Expr *base;          /* of iteration 0 */
    int64_t *at;         /* by iteration: from base on */
    int64_t least, most; /* of base */
} Load;
typedef struct Window { /* what a load needs for one vector of iterations */
    int64_t from;       /* from base on */
    int vectors;        /* 0: all lanes have the same element */
    uint8_t lane[64];
} Window;
typedef struct Table {
    Func *f;
    Arena *a, *tmp;
    const Var *v;
    int64_t n;
    Stmt *body; /* stores only */
    Load load[MOST_LOADS];
    int nload;
    bool bad;
    Ranges ranges;
    Expr *with[MOST_LOADS]; /* what a load becomes */
} Table;

static Expr *table_one(void *user, Expr *e) {
    Table *x = user;
    int64_t at, count;
    if (e->k != E_LOAD || e->narg != 1 || !e_is_int(e->u.ld.idx[0], &at)) return e;
    const Buf *b = e->u.ld.buf;
    const Tensor *t = b->tensor;
    if (!t || !t->data || t->def || !dtype_is_int(b->dt) || b->offset || b->stride[0] != 1 || !type_elements(&t->type, &count)) return e;
    return at >= 0 && at < count ? e_lit_i(x->tmp, e->t, dtype_get_i(b->dt, t->data, at)) : e;
}
static bool places(Table *x, Load *l) {
    l->at = NEW_ARRAY(x->tmp, int64_t, x->n);
    for (int64_t o = 0; o < x->n; o++) {
        Expr *at = expr_map(x->tmp, e_subst(x->tmp, l->e->u.ld.idx[0], x->v, e_int(x->tmp, o)), table_one, x);
        if (o == 0) l->base = expr_simplify(x->a, at, &x->ranges);
        if (!e_is_int(expr_simplify(x->tmp, e_sub(x->tmp, at, l->base), &x->ranges), &l->at[o])) return false;
    }
    return expr_bounds(l->base, &x->ranges, &l->least, &l->most);
}
static Expr *find_one(void *user, Expr *e) {
    Table *x = user;
    int64_t k;
    if (e->k != E_LOAD || e->narg == 0 || !vec_uses(e, x->v)) return e;
    if (e->narg > 1) x->bad = true;
    else if (!vec_coefficient(e->u.ld.idx[0], x->v, &k) || (k != 0 && k != 1)) {
        for (int i = 0; i < x->nload; i++)
            if (e_equal(e, x->load[i].e)) return e;
        x->bad |= x->nload == MOST_LOADS || e->u.ld.buf->written || e->u.ld.buf->space != MEM_PARAM;
        if (!x->bad) x->load[x->nload++] = (Load){.e = e};
    }
    return e;
}
static Expr *find(void *user, Expr *e) { return expr_map(((Table *)user)->tmp, e, find_one, user); }
static Expr *put_one(void *user, Expr *e) {
    const Table *x = user;
    for (int i = 0; e->k == E_LOAD && i < x->nload; i++)
        if (e_equal(e, x->load[i].e)) return x->with[i];
    return e;
}
static Expr *put(void *user, Expr *e) { return expr_map(((Table *)user)->a, e, put_one, user); }
static void note_range(void *user, Stmt *s) {
    Table *x = user;
    int64_t lo, hi;
    if (s->k == S_FOR && e_is_int(s->u.loop.lo, &lo) && e_is_int(s->u.loop.hi, &hi) && lo < hi)
        vec_push(x->tmp, &x->ranges, ((Range){s->u.loop.v, lo, hi - 1}));
}
/* The body without names: stores only. */
static bool recognise(Table *x, const Stmt *loop) {
    int64_t lo;
    if (loop->u.loop.mode != LOOP_SEQ || !e_is_int(loop->u.loop.lo, &lo) || lo != 0 || !e_is_int(loop->u.loop.hi, &x->n)) return false;
    if (x->n < 4 || x->n > MOST_PLACES) return false;
    x->v = loop->u.loop.v;
    Stmt *all = s_copy(x->a, loop->u.loop.body);
    x->body = s_block(x->a);
    for (int i = 0; i < all->u.block.n; i++) {
        Stmt *s = all->u.block.v[i];
        if (s->k == S_STORE && s->u.st.red == RED_NONE) s_append(x->a, x->body, s);
        else if (s->k != S_LET || i >= MOST_LOADS) return false;
        for (int k = i + 1; s->k == S_LET && k < all->u.block.n; k++) stmt_subst(x->a, all->u.block.v[k], s->u.let.v, s->u.let.val);
    }
    stmt_map_exprs(x->body, find, x);
    /* loads within the places of others are gone with these */
    return !x->bad && x->nload > 0;
}
/* With loads that step by 1, would it be a vector loop? */
static bool body_ok(Table *x, LoopShape *shape) {
    Var *v = var_new(x->f, "o", DT_INT64);
    Stmt *s = s_for(x->a, v, e_int(x->a, 0), e_int(x->a, x->n));
    Expr *at = e_var(x->a, v);
    for (int i = 0; i < x->nload; i++) x->with[i] = e_load(x->a, x->load[i].e->u.ld.buf, &at);
    s->u.loop.body = s_copy(x->a, x->body);
    stmt_map_exprs(s->u.loop.body, put, x);
    stmt_subst(x->a, s->u.loop.body, x->v, at);
    return vec_loop_shape(x->tmp, x->f, s, shape) && shape->nred == 0 && shape->inner;
}
static bool window(const Load *l, int64_t o, int64_t lanes, Window *w) {
    int64_t lo = l->at[o], hi = lo, size = l->e->u.ld.buf->dim[0];
    for (int64_t k = 1; k < lanes; k++) lo = min_i64(lo, l->at[o + k]), hi = max_i64(hi, l->at[o + k]);
    w->vectors = lo == hi ? 0 : (int)((hi - lo) / lanes) + 1, w->from = lo;
    if (w->vectors > 2) return false;
    if (w->vectors) w->from = min_i64(lo, size - w->vectors * lanes - l->most);
    if (l->least + w->from < 0 || hi - w->from >= max_i64(w->vectors, 1) * lanes || l->most + hi >= size) return false;
    for (int64_t k = 0; k < lanes; k++) w->lane[k] = (uint8_t)(l->at[o + k] - w->from);
    return true;
}
static bool same_window(const Window *p, const Window *q, int64_t lanes) {
    bool same = p->vectors == q->vectors;
    for (int64_t k = 0; same && k < lanes; k++) same = p->lane[k] == q->lane[k];
    return same;
}
static Expr *plus(Table *x, Expr *e, int64_t k) { return e_add(x->a, e, e_int(x->a, k)); }
static Expr *scaled(Table *x, Expr *e, int64_t k) { return e_mul(x->a, e, e_int(x->a, k)); }
/* `many` vectors of iterations from o on, whose windows w are alike and `step[i]` apart for load i. */
static void put_run(Table *x, Stmt *block, int64_t o, int64_t many, const Window *w, const int64_t *step, int64_t lanes) {
    Arena *a = x->a;
    Expr *r = s_open_loop(x->f, &block, "r", many, LOOP_SEQ);
    Buf *near[MOST_LOADS];
    Expr *from[MOST_LOADS];
    for (int i = 0; i < x->nload; i++) {
        Buf *b = x->load[i].e->u.ld.buf;
        from[i] = plus(x, e_add(a, x->load[i].base, scaled(x, r, step[i])), w[i].from);
        if (w[i].vectors == 0) continue;
        int64_t size = w[i].vectors * lanes;
        near[i] = buf_new(x->f, arena_printf(a, "near_%d", x->f->nbuf), x->load[i].e->t, 1, &size, MEM_REG);
        s_append(a, block, s_alloc(a, near[i]));
        Stmt *in = block;
        Expr *u = s_open_loop(x->f, &in, "u", w[i].vectors, LOOP_UNROLL), *l = s_open_loop(x->f, &in, "l", lanes, LOOP_VEC);
        Expr *to = e_add(a, scaled(x, u, lanes), l), *at = e_add(a, from[i], to);
        s_append(a, in, s_store(a, near[i], &to, e_load(a, b, &at), RED_NONE));
    }
    Expr *l = s_open_loop(x->f, &block, "l", lanes, LOOP_VEC);
    for (int i = 0; i < x->nload; i++) {
        x->with[i] = w[i].vectors ? NULL : e_load(a, x->load[i].e->u.ld.buf, &from[i]);
        for (int64_t k = lanes; w[i].vectors && k-- > 0;) {
            Expr *at = e_int(a, w[i].lane[k]), *one = e_load(a, near[i], &at);
            x->with[i] = x->with[i] ? e_select(a, e_eq(a, l, e_int(a, k)), one, x->with[i]) : one;
        }
    }
    Stmt *body = s_copy(a, x->body);
    stmt_map_exprs(body, put, x);
    stmt_subst(a, body, x->v, plus(x, e_add(a, scaled(x, r, lanes), l), o));
    for (int i = 0; i < body->u.block.n; i++) s_append(a, block, body->u.block.v[i]);
}
static Stmt *by_lanes(Table *x, int64_t lanes) {
    int64_t vectors = (x->n + lanes - 1) / lanes, at = 0;
    Window *w = NEW_ARRAY(x->tmp, Window, vectors * x->nload);
    for (int64_t k = 0; k < vectors; k++) /* the last vector does some of the one before again */
        for (int i = 0; i < x->nload; i++)
            if (!window(&x->load[i], min_i64(k * lanes, x->n - lanes), lanes, &w[k * x->nload + i])) return NULL;
    Stmt *out = s_block(x->a);
    for (int runs = 0; at < vectors; runs++) {
        const Window *first = &w[at * x->nload];
        int64_t many = 1, step[MOST_LOADS] = {0};
        for (bool alike = true; alike && at + many < vectors && (at + many + 1) * lanes <= x->n; many += alike)
            for (int i = 0; alike && i < x->nload; i++) {
                const Window *p = &first[(many - 1) * x->nload + i], *q = p + x->nload;
                alike = same_window(p, q, lanes) && (many == 1 || q->from - p->from == step[i]);
                step[i] = many == 1 ? q->from - p->from : step[i];
            }
        if (runs == MOST_RUNS) return NULL;
        put_run(x, out, min_i64(at * lanes, x->n - lanes), many, first, step, lanes);
        at += many;
    }
    return out;
}
Stmt *vec_table(Func *f, Arena *tmp, const Target *t, const Stmt *loop) {
    Table x = {.f = f, .a = f->a, .tmp = tmp};
    LoopShape shape;
    if (!recognise(&x, loop) || !body_ok(&x, &shape)) return NULL;
    stmt_each(f->body, note_range, &x);
    for (int i = 0; i < x.nload; i++)
        if (!places(&x, &x.load[i])) return NULL;
    int64_t lanes = min_i64(64, t->vector_bits / shape.max_bits);
    for (; lanes >= 4 && lanes * shape.min_bits >= 64; lanes /= 2) {
        Stmt *out = lanes <= x.n ? by_lanes(&x, lanes) : NULL;
        if (!out) continue;
        vec_push(f->a, &f->schedule, arena_printf(f->a, "shuffle %s %lld", x.v->name, (long long)lanes));
        return out;
    }
    return NULL;
}
