/* SPDX-License-Identifier: Apache-2.0 */
/* vec_transpose.c: nests that store along one loop what they load along another. Squares of it go through vector registers: rows are
 * loaded whole, interleaved pairwise until they are columns, and stored whole; what does not fill squares stays as it is. Assumes
 * flat buffers and loops with constant bounds around one body.
 *
 *   for q: for p: y[q*S + p] = x[p*T + q]   --->   t[k,l] = x[(p+k)*T + q+l];  4 times: t'[2k+h,l] = t[k + l%2*8, h*8 + l/2];
 *                                                  y[(q+k)*S + p+l] = t[k,l]
 */
#include "vectorise.h"

enum { CHAIN = 8, WRITE_BYTES = 128, READ_BYTES = 512 }; /* of a row, before the next row is turned to */
typedef struct Nest {
    Func *f;
    Arena *a, *tmp;
    Stmt *loop[CHAIN];
    int n, p, q; /* loops by which stores and the turned load step by 1 */
    const Expr *turned;
    bool bad;
    Buf *tile; /* what stands for the turned load */
    Expr *tile_at;
} Nest;

static bool constant_loop(const Stmt *s, int64_t *n) {
    int64_t lo;
    return s->k == S_FOR && s->u.loop.mode == LOOP_SEQ && e_is_int(s->u.loop.lo, &lo) && lo == 0 && e_is_int(s->u.loop.hi, n) && *n > 0;
}
static bool collect(Nest *x, Stmt *s) {
    int64_t n;
    for (;; s = s->u.loop.body->u.block.v[0]) {
        if (x->n == CHAIN || !constant_loop(s, &n)) return false;
        x->loop[x->n++] = s;
        const Stmt *b = s->u.loop.body;
        if (b->u.block.n != 1 || b->u.block.v[0]->k != S_FOR) break;
    }
    const Stmt *b = x->loop[x->n - 1]->u.loop.body;
    for (int i = 0; i < b->u.block.n; i++)
        if (b->u.block.v[i]->k != S_LET && b->u.block.v[i]->k != S_STORE) return false;
    return x->n > 1;
}
static const Var *var_of(const Nest *x, int i) { return x->loop[i]->u.loop.v; }
static Stmt *body_of(const Nest *x) { return x->loop[x->n - 1]->u.loop.body; }
/* The loop along which a place steps by 1; -1: none. */
static int unit_loop(const Nest *x, const Expr *at) {
    for (int i = 0; i < x->n; i++) {
        int64_t k;
        if (vec_coefficient(at, var_of(x, i), &k) && k == 1) return i;
    }
    return -1;
}
static Expr *find_turned(void *user, Expr *e) {
    Nest *x = user;
    int64_t k;
    if (e->k != E_LOAD || e->narg == 0) return e;
    const Buf *b = e->u.ld.buf;
    const Expr *at = e->u.ld.idx[0];
    if (e->narg > 1) x->bad = true;
    else if (vec_coefficient(at, var_of(x, x->p), &k) && (k == 0 || k == 1)) return e;
    else if ((x->turned && !e_equal(x->turned, e)) || dtype_info[b->dt].bits < 8 || dtype_compute(b->dt) != b->dt || b->written ||
             b->space != MEM_PARAM)
        x->bad = true;
    else x->turned = e;
    return e;
}
static Expr *swap_turned(void *user, Expr *e) {
    Nest *x = user;
    return e->k == E_LOAD && e_equal(e, x->turned) ? e_load(x->a, x->tile, &x->tile_at) : e;
}
static Expr *find_expr(void *user, Expr *e) { return expr_map(((Nest *)user)->tmp, e, find_turned, user); }
static Expr *swap_expr(void *user, Expr *e) { return expr_map(((Nest *)user)->a, e, swap_turned, user); }

/* A load that stands behind a test only may be outside its buffer where the test fails; squares are loaded whole. */
static bool untested(const Expr *e, const Expr *load) {
    switch (e->k) {
    case E_LOAD: return e_equal(e, load);
    case E_UN:
    case E_CAST:
    case E_SELECT: return untested(e->u.a[0], load);
    case E_BIN: return untested(e->u.a[0], load) || (e->op != BIN_LAND && e->op != BIN_LOR && untested(e->u.a[1], load));
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (untested(e->u.arg[i], load)) return true;
        return false;
    default: return false;
    }
}
static bool always_inside(Nest *x) {
    Ranges r = {0};
    int64_t n, lo, hi;
    for (int i = 0; i < body_of(x)->u.block.n; i++) {
        const Stmt *s = body_of(x)->u.block.v[i];
        if (untested(s->k == S_LET ? s->u.let.val : s->u.st.val, x->turned)) return true;
    }
    for (int i = 0; i < x->n; i++)
        if (constant_loop(x->loop[i], &n)) vec_push(x->tmp, &r, ((Range){var_of(x, i), 0, n - 1}));
    return expr_bounds(x->turned->u.ld.idx[0], &r, &lo, &hi) && lo >= 0 && hi < x->turned->u.ld.buf->dim[0];
}

/* Is it such a nest? Then p, q and turned are set. */
static bool recognise(Nest *x) {
    x->p = -1;
    for (int i = 0; i < body_of(x)->u.block.n; i++) {
        const Stmt *s = body_of(x)->u.block.v[i];
        if (s->k != S_STORE) continue;
        int p = s->u.st.buf->rank == 1 && s->u.st.red == RED_NONE ? unit_loop(x, s->u.st.idx[0]) : -1;
        if (p < 0 || (x->p >= 0 && x->p != p)) return false;
        x->p = p;
    }
    if (x->p < 0) return false;
    stmt_map_exprs(body_of(x), find_expr, x);
    if (x->bad || !x->turned) return false;
    x->q = unit_loop(x, x->turned->u.ld.idx[0]);
    int64_t k;
    if (!always_inside(x)) return false;
    return x->q >= 0 && x->q != x->p && vec_coefficient(x->turned->u.ld.idx[0], var_of(x, x->p), &k);
}
static Expr *sum(Nest *x, Expr *base, int64_t k, Expr *v) { return e_add(x->a, e_mul(x->a, base, e_int(x->a, k)), v); }
static Buf *square(Nest *x, Stmt *block, int64_t w, DType t) {
    Buf *b = buf_new(x->f, arena_printf(x->a, "square_%d", x->f->nbuf), t, 1, (int64_t[]){w * w}, MEM_REG);
    s_append(x->a, block, s_alloc(x->a, b));
    return b;
}
/* The body with the loops' variables at values; of the turned load, if there is a tile, its element. */
static Stmt *body_at(Nest *x, Expr *const *at) {
    Stmt *b = s_copy(x->a, body_of(x));
    if (x->tile) stmt_map_exprs(b, swap_expr, x);
    for (int i = 0; i < b->u.block.n; i++) { /* names of their own */
        Stmt *s = b->u.block.v[i];
        if (s->k != S_LET) continue;
        Var *v = var_new(x->f, s->u.let.v->name, s->u.let.v->t);
        for (int k = i + 1; k < b->u.block.n; k++) stmt_subst(x->a, b->u.block.v[k], s->u.let.v, e_var(x->a, v));
        s->u.let.v = v;
    }
    for (int i = 0; i < x->n; i++) stmt_subst(x->a, b, var_of(x, i), at[i]);
    return b;
}
static void put_all(Nest *x, Stmt *into, const Stmt *body) {
    for (int i = 0; i < body->u.block.n; i++) s_append(x->a, into, body->u.block.v[i]);
}
static Expr *load_at(Nest *x, Expr *const *at) {
    Expr *e = (Expr *)x->turned;
    for (int i = 0; i < x->n; i++) e = e_subst(x->a, e, var_of(x, i), at[i]);
    return e;
}
static void put_square(Nest *x, Stmt *block, int64_t w, Expr **at, Expr *p0, Expr *q0) {
    Arena *a = x->a;
    DType t = x->turned->u.ld.buf->dt;
    Buf *from = square(x, block, w, t);
    Stmt *in = block;
    Expr *k = s_open_loop(x->f, &in, "k", w, LOOP_UNROLL), *l = s_open_loop(x->f, &in, "l", w, LOOP_VEC);
    at[x->p] = e_add(a, p0, k), at[x->q] = e_add(a, q0, l);
    Expr *to = sum(x, k, w, l);
    s_append(a, in, s_store(a, from, &to, load_at(x, at), RED_NONE));
    for (int64_t round = w; round > 1; round /= 2) {
        Buf *next = square(x, block, w, t);
        for (int h = 0; h < 2; h++) {
            in = block;
            k = s_open_loop(x->f, &in, "k", w / 2, LOOP_UNROLL), l = s_open_loop(x->f, &in, "l", w, LOOP_VEC);
            Expr *half = e_add(a, e_div(a, l, e_int(a, 2)), e_int(a, h * w / 2)), *x0 = sum(x, k, w, half);
            Expr *x1 = sum(x, e_add(a, k, e_int(a, w / 2)), w, half), *even = e_eq(a, e_mod(a, l, e_int(a, 2)), e_int(a, 0));
            to = sum(x, k, 2 * w, e_add(a, l, e_int(a, h * w)));
            s_append(a, in, s_store(a, next, &to, e_select(a, even, e_load(a, from, &x0), e_load(a, from, &x1)), RED_NONE));
        }
        from = next;
    }
    in = block;
    k = s_open_loop(x->f, &in, "k", w, LOOP_UNROLL), l = s_open_loop(x->f, &in, "l", w, LOOP_VEC);
    at[x->p] = e_add(a, p0, l), at[x->q] = e_add(a, q0, k);
    x->tile = from, x->tile_at = sum(x, k, w, l);
    put_all(x, in, body_at(x, at));
    x->tile = NULL;
}
/* `many` groups of n squares along a loop, from the first-th on */
typedef struct Groups {
    int64_t first, many, n;
} Groups;
/* Groups of squares one after the other, so that lines of memory that are read or written in part are soon read or written whole. */
static void put_groups(Nest *x, Stmt *block, int64_t w, Expr **at, Groups gp, Groups gq) {
    const char *pn = arena_printf(x->a, "%s_o", var_of(x, x->p)->name), *qn = arena_printf(x->a, "%s_o", var_of(x, x->q)->name);
    if (gp.many == 0 || gp.n == 0 || gq.many == 0 || gq.n == 0) return;
    Expr *qo = s_open_loop(x->f, &block, qn, gq.many, LOOP_SEQ), *po = s_open_loop(x->f, &block, pn, gp.many, LOOP_SEQ);
    Expr *q = s_open_loop(x->f, &block, qn, gq.n, LOOP_SEQ), *p = s_open_loop(x->f, &block, pn, gp.n, LOOP_SEQ);
    p = e_add(x->a, e_int(x->a, gp.first), sum(x, po, gp.n, p)), q = e_add(x->a, e_int(x->a, gq.first), sum(x, qo, gq.n, q));
    put_square(x, block, w, at, e_mul(x->a, p, e_int(x->a, w)), e_mul(x->a, q, e_int(x->a, w)));
}
static void put_squares(Nest *x, Stmt *block, int64_t w, Expr **at, int64_t np, int64_t nq, int64_t bytes) {
    int64_t a = min_i64(np, max_i64(1, WRITE_BYTES / (w * bytes))), b = min_i64(nq, max_i64(1, READ_BYTES / (w * bytes)));
    Groups p[2] = {{0, np / a, a}, {np / a * a, 1, np % a}}, q[2] = {{0, nq / b, b}, {nq / b * b, 1, nq % b}};
    for (int i = 0; i < 4; i++) put_groups(x, block, w, at, p[i % 2], q[i / 2]);
}
/* What is left: p from p0 and q from q0 on, one by one. */
static void put_rest(Nest *x, Stmt *block, Expr **at, int64_t p0, int64_t p1, int64_t q0, int64_t q1) {
    if (p0 == p1 || q0 == q1) return;
    Stmt *in = block;
    at[x->q] = e_add(x->a, s_open_loop(x->f, &in, var_of(x, x->q)->name, q1 - q0, LOOP_SEQ), e_int(x->a, q0));
    at[x->p] = e_add(x->a, s_open_loop(x->f, &in, var_of(x, x->p)->name, p1 - p0, LOOP_SEQ), e_int(x->a, p0));
    put_all(x, in, body_at(x, at));
}
/* With a load that steps by 1 instead of the turned one, could p be a vector loop? */
static bool body_ok(Nest *x) {
    Expr *at[CHAIN];
    Var *v = var_new(x->f, "p", DT_INT64);
    Stmt *s = s_for(x->a, v, e_int(x->a, 0), x->loop[x->p]->u.loop.hi);
    for (int i = 0; i < x->n; i++) at[i] = i == x->p ? e_var(x->a, v) : e_var(x->a, var_of(x, i));
    x->tile = x->turned->u.ld.buf, x->tile_at = e_var(x->a, v);
    put_all(x, s->u.loop.body, body_at(x, at));
    x->tile = NULL;
    LoopShape shape;
    return vec_loop_shape(x->tmp, x->f, s, &shape) && shape.nred == 0 && shape.max_bits == shape.min_bits &&
           shape.max_bits == dtype_info[x->turned->u.ld.buf->dt].bits;
}
Stmt *vec_transpose(Func *f, Arena *tmp, const Target *t, Stmt *s) {
    Nest x = {.f = f, .a = f->a, .tmp = tmp};
    if (!collect(&x, s) || !recognise(&x) || !body_ok(&x)) return NULL;
    int64_t np, nq, bits = dtype_info[x.turned->u.ld.buf->dt].bits, w = (bits < 32 ? 128 : t->vector_bits) / bits;
    constant_loop(x.loop[x.p], &np), constant_loop(x.loop[x.q], &nq);
    while (w > np || w > nq) w /= 2;
    if (w < 4 || w * bits < 64) return NULL;
    Stmt *out = s_block(x.a), *in = out;
    Expr *at[CHAIN] = {NULL};
    for (int i = 0; i < x.n; i++) {
        int64_t n = 0;
        constant_loop(x.loop[i], &n);
        if (i != x.p && i != x.q) at[i] = s_open_loop(x.f, &in, var_of(&x, i)->name, n, LOOP_SEQ);
    }
    Stmt *squares = in;
    put_squares(&x, squares, w, at, np / w, nq / w, bits / 8);
    put_rest(&x, in, at, np / w * w, np, 0, nq / w * w);
    put_rest(&x, in, at, 0, np, nq / w * w, nq);
    const char *step = arena_printf(x.a, "transpose %s %s %lld", var_of(&x, x.p)->name, var_of(&x, x.q)->name, (long long)w);
    vec_push(x.a, &f->schedule, step);
    return out;
}
