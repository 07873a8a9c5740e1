/* SPDX-License-Identifier: Apache-2.0 */
/* vectorise.c: loops become vector loops. A map runs in blocks of vectors, then single vectors, then ever shorter ones; nothing is
 * computed twice and nothing masked. A reduction gets a few vectors of sums, which are added up in a fixed order at the end, so that
 * the result depends on the extent and the target only. Where no innermost loop will do, a loop around others is taken.
 *
 *   for i in 0..100: s[] += x[i]   --->   vec l: a[l] = 0;  for o in 0..6: vec l: a[l] += x[o*16+l];  a's halves added up into s[];
 *                                         vec l in 0..4: b[l] += x[96+l] …
 */
#include "vectorise.h"
#include <string.h>

enum { HEAVY = 24, LIGHT = 8, LARGE = 400, SUMS = 8, JAM_WEIGHT = 32 };

typedef struct Vectorise {
    Func *f;
    Arena *a, *tmp;
    const Target *t, *own;
} Vectorise;

/* ---- copies of a body: declarations are renewed, so that each has its own lanes */
typedef struct Renew {
    Func *f;
    Arena *a;
    Expr **var; /* by id: what stands for it */
    Buf **buf;  /* by id */
    int nvar, nbuf;
    const Stmt **red; /* reductions whose place becomes a register: by position in the text */
    Buf **sum;
    Expr *sum_at;
    int nred, at_red;
    Buf **many; /* by id: places of the body's that have lanes of several vectors now; NULL: none has */
    Expr *many_at;
} Renew;
static Expr *renew_one(void *user, Expr *e) {
    Renew *r = user;
    if (e->k == E_VAR && e->u.v->id < r->nvar && r->var[e->u.v->id]) return r->var[e->u.v->id];
    if (e->k == E_LOAD && r->many && e->u.ld.buf->id < r->nbuf && r->many[e->u.ld.buf->id])
        return e_load(r->a, r->many[e->u.ld.buf->id], &r->many_at);
    if (e->k == E_LOAD && e->u.ld.buf->id < r->nbuf && r->buf[e->u.ld.buf->id]) return e_load(r->a, r->buf[e->u.ld.buf->id], e->u.ld.idx);
    return e;
}
static Expr *renew_expr(Renew *r, Expr *e) { return expr_map(r->a, e, renew_one, r); }
static Var *renew_var(Renew *r, const Var *v) {
    Var *n = var_new(r->f, v->name, v->t);
    r->var[v->id] = e_var(r->a, n);
    return n;
}
static void renew_stmt(Renew *r, Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) renew_stmt(r, s->u.block.v[i]);
        break;
    case S_STORE: {
        Buf *b = s->u.st.buf, *own = b->id < r->nbuf ? r->buf[b->id] : NULL;
        for (int i = 0; i < b->rank; i++) s->u.st.idx[i] = renew_expr(r, s->u.st.idx[i]);
        s->u.st.val = renew_expr(r, s->u.st.val);
        if (own) s->u.st.buf = own;
        if (r->many && b->id < r->nbuf && r->many[b->id]) {
            s->u.st.buf = r->many[b->id];
            s->u.st.idx = NEW_ARRAY(r->a, Expr *, 1);
            s->u.st.idx[0] = r->many_at;
        }
        if (r->at_red < r->nred && r->red[r->at_red]->u.st.buf == b && s->u.st.red != RED_NONE) {
            s->u.st.buf = r->sum[r->at_red++];
            s->u.st.idx = NEW_ARRAY(r->a, Expr *, 1);
            s->u.st.idx[0] = r->sum_at;
        }
        break;
    }
    case S_LET:
        s->u.let.val = renew_expr(r, s->u.let.val);
        s->u.let.v = renew_var(r, s->u.let.v);
        break;
    case S_FOR:
        s->u.loop.lo = renew_expr(r, s->u.loop.lo), s->u.loop.hi = renew_expr(r, s->u.loop.hi);
        s->u.loop.v = renew_var(r, s->u.loop.v);
        renew_stmt(r, s->u.loop.body);
        break;
    case S_IF:
        s->u.cond.cond = renew_expr(r, s->u.cond.cond);
        renew_stmt(r, s->u.cond.then);
        if (s->u.cond.other) renew_stmt(r, s->u.cond.other);
        break;
    case S_ALLOC: {
        Buf *old = s->u.alloc, *b = NEW(r->a, Buf);
        *b = *old;
        b->id = r->f->nbuf++;
        b->name = arena_printf(r->a, "%s_%d", old->name, b->id);
        s->u.alloc = r->buf[old->id] = b;
        break;
    }
    case S_CALL: break;
    }
}
/* A copy of the loop's body for the iteration `at`, appended to `into`. With nred, the reductions go to sum[i][sum_at] instead. */
static void put_body(Vectorise *x, Stmt *into, const Stmt *loop, Expr *at, int nred, const Stmt **red, Buf **sum, Expr *sum_at) {
    Renew r = {.f = x->f, .a = x->a, .nvar = x->f->nvar, .nbuf = x->f->nbuf, .red = red, .sum = sum, .sum_at = sum_at, .nred = nred};
    r.var = NEW_ARRAY(x->tmp, Expr *, r.nvar + 1);
    r.buf = NEW_ARRAY(x->tmp, Buf *, r.nbuf + 1);
    r.var[loop->u.loop.v->id] = at;
    Stmt *body = s_copy(x->a, loop->u.loop.body);
    renew_stmt(&r, body);
    for (int i = 0; i < body->u.block.n; i++) s_append(x->a, into, body->u.block.v[i]);
}

/* ---- loops */
static Expr *open_loop(Vectorise *x, Stmt **block, const char *base, const char *part, Expr *n, LoopMode mode) {
    Var *v = var_new(x->f, arena_printf(x->a, "%s_%s", base, part), DT_INT64);
    Stmt *s = s_for(x->a, v, e_int(x->a, 0), n);
    s->u.loop.mode = mode;
    s_append(x->a, *block, s);
    *block = s->u.loop.body;
    return e_var(x->a, v);
}
static Expr *constant(Vectorise *x, int64_t n) { return e_int(x->a, n); }
static int64_t floor_pow2(int64_t n) {
    int64_t p = 1;
    while (p <= n / 2) p *= 2;
    return p;
}
/* The shortest vectors worth having: 16 bytes of the widest elements, 8 of the narrowest, 4 beside elements of 8 bytes. */
static int64_t least_lanes(const LoopShape *s) { return max_i64(128 / s->max_bits, (s->max_bits == 64 ? 32 : 64) / s->min_bits); }
static int64_t most_lanes(const Vectorise *x, const LoopShape *s) { return min_i64(x->t->vector_bits / s->max_bits, 64); }

typedef struct Plan { /* how often what runs: blocks of `unroll` vectors, then vectors, then shorter ones, then the rest one by one */
    int64_t lanes, least, unroll, blocks, vectors;
} Plan;
static void put_vectors(Vectorise *x, Stmt *block, const Stmt *loop, Expr *from, Expr *count, int64_t unroll, int64_t lanes) {
    const char *name = loop->u.loop.v->name;
    Stmt *at = block;
    Expr *o = open_loop(x, &at, name, "o", count, LOOP_SEQ), *pos = e_add(x->a, from, e_mul(x->a, o, constant(x, unroll * lanes)));
    if (unroll > 1) {
        Expr *u = open_loop(x, &at, name, "u", constant(x, unroll), LOOP_UNROLL);
        pos = e_add(x->a, pos, e_mul(x->a, u, constant(x, lanes)));
    }
    Expr *l = open_loop(x, &at, name, "l", constant(x, lanes), LOOP_VEC);
    put_body(x, at, loop, e_add(x->a, pos, l), 0, NULL, NULL, NULL);
}
static void put_rest(Vectorise *x, Stmt *block, const Stmt *loop, Expr *from) {
    Stmt *at = block;
    Var *v = var_new(x->f, loop->u.loop.v->name, DT_INT64);
    Stmt *s = s_for(x->a, v, from, loop->u.loop.hi);
    s_append(x->a, at, s);
    put_body(x, s->u.loop.body, loop, e_var(x->a, v), 0, NULL, NULL, NULL);
}
static Buf *new_buf(Vectorise *x, Stmt *block, const char *name, DType t, int64_t n, MemSpace space) {
    Buf *b = buf_new(x->f, arena_printf(x->a, "%s_%d", name, x->f->nbuf), t, 1, &n, space);
    s_append(x->a, block, s_alloc(x->a, b));
    return b;
}
/* A loop around reductions whose sums are places of its body: several vectors of them take each step of a reduction together, so that
 * whole lines are read and the additions need not wait for each other.
 *
 *   vec l: {a[]; a = 0; for r: a += x[r,l]; y[l] = a}  --->  a[4*L]; unroll u: vec l: a[u*L+l] = 0;  for r: unroll u: vec l: … */
static bool can_jam(const Stmt *loop) {
    const Stmt *body = loop->u.loop.body;
    int loops = 0;
    for (int i = 0; i < body->u.block.n; i++) {
        const Stmt *s = body->u.block.v[i];
        if (s->k == S_STORE || (s->k == S_ALLOC && s->u.alloc->rank == 0)) continue;
        if (s->k != S_FOR || vec_uses(s->u.loop.lo, loop->u.loop.v) || vec_uses(s->u.loop.hi, loop->u.loop.v)) return false;
        for (int k = 0; k < s->u.loop.body->u.block.n; k++)
            if (s->u.loop.body->u.block.v[k]->k != S_STORE && s->u.loop.body->u.block.v[k]->k != S_LET) return false;
        loops++;
    }
    return loops > 0;
}
static void put_jammed(Vectorise *x, Stmt *block, const Stmt *loop, int64_t lo, int64_t count, int64_t unroll, int64_t lanes) {
    Arena *a = x->a;
    const char *name = loop->u.loop.v->name;
    const Stmt *body = loop->u.loop.body;
    Stmt *in = block;
    Expr *o = open_loop(x, &in, name, "o", constant(x, count), LOOP_SEQ);
    Buf **many = NEW_ARRAY(x->tmp, Buf *, x->f->nbuf + 1);
    int nbuf = x->f->nbuf;
    for (int i = 0; i < body->u.block.n; i++) {
        const Buf *b = body->u.block.v[i]->k == S_ALLOC ? body->u.block.v[i]->u.alloc : NULL;
        if (b) many[b->id] = new_buf(x, in, b->name, b->dt, unroll * lanes, MEM_REG), many[b->id]->written = b->written;
    }
    for (int i = 0; i < body->u.block.n; i++) {
        const Stmt *s = body->u.block.v[i];
        Stmt *at = in;
        if (s->k == S_ALLOC) continue;
        Renew r = {.f = x->f, .a = a, .nvar = x->f->nvar, .nbuf = nbuf, .many = many};
        r.var = NEW_ARRAY(x->tmp, Expr *, r.nvar + 1), r.buf = NEW_ARRAY(x->tmp, Buf *, r.nbuf + 1);
        if (s->k == S_FOR) {
            Var *v = var_new(x->f, s->u.loop.v->name, DT_INT64);
            Stmt *k = s_for(a, v, s->u.loop.lo, s->u.loop.hi);
            s_append(a, at, k);
            at = k->u.loop.body, r.var[s->u.loop.v->id] = e_var(a, v);
        }
        Expr *u = open_loop(x, &at, name, "u", constant(x, unroll), LOOP_UNROLL),
             *l = open_loop(x, &at, name, "l", constant(x, lanes), LOOP_VEC);
        r.many_at = e_add(a, e_mul(a, u, constant(x, lanes)), l);
        r.var[loop->u.loop.v->id] = e_add(a, e_add(a, constant(x, lo), e_mul(a, o, constant(x, unroll * lanes))), r.many_at);
        Stmt *copy = s_copy(a, s->k == S_FOR ? s->u.loop.body : s);
        renew_stmt(&r, copy);
        if (copy->k != S_BLOCK) s_append(a, at, copy);
        for (int k = 0; copy->k == S_BLOCK && k < copy->u.block.n; k++) s_append(a, at, copy->u.block.v[k]);
    }
}
static void map_constant(Vectorise *x, Stmt *block, const Stmt *loop, const LoopShape *s, int64_t lo, int64_t n) {
    int64_t lanes = min_i64(most_lanes(x, s), floor_pow2(n)), least = least_lanes(s), at = 0;
    int64_t unroll = !s->inner || s->weight > HEAVY ? 1 : s->weight > LIGHT ? 2 : 4;
    if (!s->inner && s->weight <= JAM_WEIGHT && n >= 2 * lanes && can_jam(loop)) {
        int64_t most = min_i64(floor_pow2(n / lanes), 4), part = n / (lanes * most);
        put_jammed(x, block, loop, lo, part, most, lanes);
        at = part * most * lanes;
    }
    int64_t blocks = at ? 0 : n / (lanes * unroll);
    if (blocks) put_vectors(x, block, loop, constant(x, lo), constant(x, blocks), unroll, lanes), at = blocks * lanes * unroll;
    if (n - at >= lanes && (unroll > 1 || at)) {
        int64_t more = (n - at) / lanes;
        put_vectors(x, block, loop, constant(x, lo + at), constant(x, more), 1, lanes);
        at += more * lanes;
    }
    for (int64_t w = lanes / 2; w >= least && s->weight <= LARGE; w /= 2)
        if (n - at >= w) put_vectors(x, block, loop, constant(x, lo + at), constant(x, 1), 1, w), at += w;
    if (at < n) put_rest(x, block, loop, constant(x, lo + at));
}
static void map_unknown(Vectorise *x, Stmt *block, const Stmt *loop, const LoopShape *s) {
    Arena *a = x->a;
    int64_t lanes = most_lanes(x, s), least = max_i64(least_lanes(s), lanes / 4);
    Expr *from = loop->u.loop.lo;
    for (int64_t w = lanes; w >= least; w /= 4) {
        Expr *count = e_div(a, e_sub(a, loop->u.loop.hi, from), constant(x, w));
        Var *v = var_new(x->f, arena_printf(a, "%s_n", loop->u.loop.v->name), DT_INT64);
        s_append(a, block, s_let(a, v, count));
        put_vectors(x, block, loop, from, e_var(a, v), 1, w);
        Var *next = var_new(x->f, arena_printf(a, "%s_at", loop->u.loop.v->name), DT_INT64);
        s_append(a, block, s_let(a, next, e_add(a, from, e_mul(a, e_var(a, v), constant(x, w)))));
        from = e_var(a, next);
    }
    put_rest(x, block, loop, from);
}

/* ---- reductions */
typedef struct Reds {
    const Stmt **red;
    int n;
} Reds;
static void find_reds(Vectorise *x, const Stmt *s, const bool *own, Reds *out) {
    if (s->k == S_BLOCK)
        for (int i = 0; i < s->u.block.n; i++) find_reds(x, s->u.block.v[i], own, out);
    if (s->k == S_STORE && s->u.st.red != RED_NONE && !own[s->u.st.buf->id]) out->red[out->n++] = s;
}
static Expr *neutral(Arena *a, RedOp r, DType t) {
    switch (r) {
    case RED_MUL: return e_lit(a, t, 1);
    case RED_MAX: return e_lower_bound(a, t);
    case RED_MIN: return e_upper_bound(a, t);
    default: return e_lit(a, t, 0);
    }
}
static Expr *get(Vectorise *x, Buf *b, Expr *at) { return e_load(x->a, b, &at); }
static void put(Vectorise *x, Stmt *block, Buf *b, Expr *at, Expr *val, RedOp red) {
    s_append(x->a, block, s_store(x->a, b, &at, val, red));
}
static Expr *lane(Vectorise *x, Stmt **at, const Stmt *loop, int64_t lanes) {
    return open_loop(x, at, loop->u.loop.v->name, "l", constant(x, lanes), LOOP_VEC);
}
static RedOp red_of(const Stmt *s) { return s->u.st.red; }
/* `count` vectors of the body from iteration `from` on, the u-th into the u-th vector of sums. */
static void put_sums(Vectorise *x, Stmt *block, const Stmt *loop, Expr *from, int64_t count, int64_t lanes, const Reds *r, Buf **sum) {
    const char *name = loop->u.loop.v->name;
    Expr *u = open_loop(x, &block, name, "u", constant(x, count), LOOP_UNROLL);
    Expr *l = open_loop(x, &block, name, "l", constant(x, lanes), LOOP_VEC);
    Expr *at = e_add(x->a, e_mul(x->a, u, constant(x, lanes)), l);
    put_body(x, block, loop, e_add(x->a, from, at), r->n, r->red, sum, at);
}
static BinOp op_of(const Stmt *s) {
    return red_of(s) == RED_ADD ? BIN_ADD : red_of(s) == RED_MUL ? BIN_MUL : red_of(s) == RED_MIN ? BIN_MIN : BIN_MAX;
}
/* All lanes of a vector into the place they are for: halves change places, then quarters, and so on. */
static void fold_vector(Vectorise *x, Stmt *block, const Stmt *loop, const Stmt *red, Buf *sum, int64_t lanes) {
    Arena *a = x->a;
    DType t = dtype_compute(red->u.st.buf->dt);
    for (int64_t k = lanes / 2; k; k /= 2) {
        Buf *next = new_buf(x, block, "half", t, lanes, MEM_REG);
        Stmt *in = block;
        Expr *l = lane(x, &in, loop, lanes), *low = e_lt(a, e_mod(a, l, constant(x, 2 * k)), constant(x, k));
        Expr *other = e_select(a, low, get(x, sum, e_add(a, l, constant(x, k))), get(x, sum, e_sub(a, l, constant(x, k))));
        put(x, in, next, l, e_bin(a, op_of(red), get(x, sum, l), other), RED_NONE);
        sum = next;
    }
    Buf *all = new_buf(x, block, "all", t, lanes, MEM_STACK);
    Stmt *in = block;
    Expr *l = lane(x, &in, loop, lanes);
    put(x, in, all, l, get(x, sum, l), RED_NONE);
    s_append(a, block, s_store(a, red->u.st.buf, red->u.st.idx, get(x, all, constant(x, 0)), red->u.st.red));
}
/* sum[0..lanes) of each reduction, together with what is left of the iterations, into the place it is for. */
static void fold_lanes(Vectorise *x, Stmt *block, const Stmt *loop, const Reds *r, Buf **sum, int64_t lanes, int64_t least, int64_t at,
                       int64_t end) {
    Arena *a = x->a;
    for (; end - at >= least && lanes > least; lanes /= 2) {
        int64_t w = lanes / 2;
        Buf **half = NEW_ARRAY(x->tmp, Buf *, r->n);
        for (int i = 0; i < r->n; i++) {
            DType t = dtype_compute(r->red[i]->u.st.buf->dt);
            Stmt *in = block;
            Buf *part = new_buf(x, block, "part", t, lanes, MEM_STACK);
            Expr *l = lane(x, &in, loop, lanes);
            put(x, in, part, l, get(x, sum[i], l), RED_NONE);
            in = block;
            half[i] = new_buf(x, block, "half", t, w, MEM_REG);
            l = lane(x, &in, loop, w);
            put(x, in, half[i], l, e_bin(a, op_of(r->red[i]), get(x, part, l), get(x, part, e_add(a, l, constant(x, w)))), RED_NONE);
        }
        sum = half;
        if (end - at >= w) put_sums(x, block, loop, constant(x, at), 1, w, r, sum), at += w;
    }
    for (int i = 0; i < r->n; i++) fold_vector(x, block, loop, r->red[i], sum[i], lanes);
    if (at < end) put_rest(x, block, loop, constant(x, at));
}
static bool reduce_constant(Vectorise *x, Stmt *block, const Stmt *loop, const LoopShape *s, int64_t lo, int64_t n) {
    int64_t lanes = min_i64(most_lanes(x, s), floor_pow2(n)), least = least_lanes(s), vectors = n / lanes;
    int64_t sums = min_i64(floor_pow2(vectors), s->weight > HEAVY || s->nred > 2 ? 2 : s->weight > LIGHT ? 4 : SUMS);
    bool *own = NEW_ARRAY(x->tmp, bool, x->f->nbuf + 1);
    Reds r = {NEW_ARRAY(x->tmp, const Stmt *, s->nred), 0};
    for (int i = 0; i < loop->u.loop.body->u.block.n; i++)
        if (loop->u.loop.body->u.block.v[i]->k == S_ALLOC) own[loop->u.loop.body->u.block.v[i]->u.alloc->id] = true;
    Reds all = {NEW_ARRAY(x->tmp, const Stmt *, loop->u.loop.body->u.block.n + 1), 0};
    find_reds(x, loop->u.loop.body, own, &all);
    for (int i = 0; i < all.n; i++)
        if (!all.red[i]->u.st.buf->rank || !vec_uses(all.red[i]->u.st.idx[0], loop->u.loop.v)) {
            if (r.n == s->nred) return false;
            r.red[r.n++] = all.red[i];
        }
    if (r.n != s->nred || r.n != all.n) return false;
    Buf **sum = NEW_ARRAY(x->tmp, Buf *, r.n);
    for (int i = 0; i < r.n; i++) {
        DType t = dtype_compute(r.red[i]->u.st.buf->dt);
        sum[i] = new_buf(x, block, "sum", t, sums * lanes, MEM_REG);
        Stmt *in = block;
        Expr *u = open_loop(x, &in, loop->u.loop.v->name, "u", constant(x, sums), LOOP_UNROLL), *l = lane(x, &in, loop, lanes);
        put(x, in, sum[i], e_add(x->a, e_mul(x->a, u, constant(x, lanes)), l), neutral(x->a, red_of(r.red[i]), t), RED_NONE);
    }
    int64_t blocks = vectors / sums, at = blocks * sums * lanes, more = vectors % sums;
    Stmt *in = block;
    Expr *o = open_loop(x, &in, loop->u.loop.v->name, "o", constant(x, blocks), LOOP_SEQ);
    put_sums(x, in, loop, e_add(x->a, constant(x, lo), e_mul(x->a, o, constant(x, sums * lanes))), sums, lanes, &r, sum);
    if (more) put_sums(x, block, loop, constant(x, lo + at), more, lanes, &r, sum), at += more * lanes;
    for (int64_t k = sums / 2; k; k /= 2)
        for (int i = 0; i < r.n; i++) {
            in = block;
            Expr *u = open_loop(x, &in, loop->u.loop.v->name, "u", constant(x, k), LOOP_UNROLL), *l = lane(x, &in, loop, lanes);
            Expr *to = e_add(x->a, e_mul(x->a, u, constant(x, lanes)), l);
            put(x, in, sum[i], to, get(x, sum[i], e_add(x->a, to, constant(x, k * lanes))), red_of(r.red[i]));
        }
    fold_lanes(x, block, loop, &r, sum, lanes, least, lo + at, lo + n);
    return true;
}

/* ---- which loops */
static bool extent(const Stmt *loop, int64_t *lo, int64_t *n) {
    int64_t hi;
    if (!e_is_int(loop->u.loop.lo, lo) || !e_is_int(loop->u.loop.hi, &hi)) return false;
    *n = hi - *lo;
    return true;
}
static bool shape(Vectorise *x, const Stmt *loop, LoopShape *s) {
    int64_t lo, n;
    if (!vec_loop_shape(x->tmp, x->f, loop, s) || most_lanes(x, s) < least_lanes(s)) return false;
    if (extent(loop, &lo, &n)) return n >= least_lanes(s);
    return s->nred == 0 && s->inner;
}
/* Whether the innermost loops fill vectors by themselves. */
static bool inner_good(Vectorise *x, const Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (!inner_good(x, s->u.block.v[i])) return false;
        return true;
    case S_IF: return inner_good(x, s->u.cond.then) && (!s->u.cond.other || inner_good(x, s->u.cond.other));
    case S_FOR: {
        LoopShape shp;
        int64_t lo, n;
        bool ok = shape(x, s, &shp);
        if (ok && shp.inner) return !extent(s, &lo, &n) || n >= most_lanes(x, &shp);
        return !shp.inner && inner_good(x, s->u.loop.body);
    }
    default: return true;
    }
}
static void note_step(Vectorise *x, const Stmt *loop, const LoopShape *s) {
    const char *step = arena_printf(x->a, "vectorise %s %lld", loop->u.loop.v->name, (long long)most_lanes(x, s));
    vec_push(x->a, &x->f->schedule, step);
}
static void visit_block(Vectorise *x, Stmt *block);
static void visit(Vectorise *x, Stmt *out, Stmt *s) {
    LoopShape shp;
    int64_t lo = 0, n = 0;
    if (s->k == S_FOR) {
        Stmt *turned = x->own->vector_bits >= 128 ? vec_transpose(x->f, x->tmp, x->own, s) : NULL;
        if (turned) {
            s_append(x->a, out, turned);
            return;
        }
        Stmt *best = vec_arg(x->f, s, x->t->vector_bits);
        if (best) {
            visit_block(x, best);
            s_append(x->a, out, best);
            return;
        }
        bool ok = shape(x, s, &shp), known = extent(s, &lo, &n);
        Stmt *chosen = ok ? NULL : vec_choices(x->a, s);
        if (chosen && shape(x, chosen, &shp)) ok = true, s = chosen;
        Stmt *shuffled = ok || x->own->vector_bits < 128 ? NULL : vec_table(x->f, x->tmp, x->own, s);
        if (shuffled) {
            s_append(x->a, out, shuffled);
            return;
        }
        if (ok && (shp.inner || !inner_good(x, s->u.loop.body))) {
            Stmt *b = s_block(x->a);
            if (!known) map_unknown(x, b, s, &shp);
            else if (!shp.nred) map_constant(x, b, s, &shp, lo, n);
            else if (!reduce_constant(x, b, s, &shp, lo, n)) ok = false;
            if (ok) {
                note_step(x, s, &shp);
                s_append(x->a, out, b);
                return;
            }
        }
        visit_block(x, s->u.loop.body);
    } else if (s->k == S_BLOCK) visit_block(x, s);
    else if (s->k == S_IF) {
        visit_block(x, s->u.cond.then);
        if (s->u.cond.other) visit_block(x, s->u.cond.other);
    }
    s_append(x->a, out, s);
}
static void visit_block(Vectorise *x, Stmt *block) {
    Stmt *out = s_block(x->a);
    for (int i = 0; i < block->u.block.n; i++) visit(x, out, block->u.block.v[i]);
    block->u.block = out->u.block;
}
void vectorise(Func *f, const Target *t, const Target *own) {
    Vectorise x = {f, f->a, arena_new(), t, own};
    vec_split(f);
    vec_flatten(f);
    visit_block(&x, f->body);
    func_simplify(f);
    arena_free(x.tmp);
}
