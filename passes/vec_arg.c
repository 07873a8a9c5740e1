/* SPDX-License-Identifier: Apache-2.0 */
/* vec_arg.c: loops that keep the best element so far and where it stands. Along the elements: each lane keeps its own best and the block
 * it is from, and reductions over the lanes find the best of these and its place. Across lanes that each have a best of their own: the
 * test becomes choices. Assumes that nothing but the test's body stores.
 *
 *   for j in 0..640: if top[] < x[j]: {top[] = x[j]; at[] = j}
 *   --->  t = top[];  b = 2^31-1 / 64;  for o in 0..10: vec l in 0..64: b[l] = select(t[l] < x[o*64+l], o, b[l]);  t[l] max= x[o*64+l]
 *         m[] = -inf;  for l: m[] max= t[l];
 *         hit[] = 2^31-1;  for l: hit[] min= select(t[l] == m[], b[l]*64 + l, 2^31-1);  if hit[] < 640: {top[] = m[];  at[] = hit[]}
 */
#include "vectorise.h"

enum { VECTORS = 4 };
typedef struct Best {
    Func *f;
    Arena *a;
    const Stmt *loop;
    Expr *v, *place; /* what is compared; what is kept of the loop's variable */
    Buf *top, *at;
    bool max, last; /* of equal ones the last */
} Best;

static bool reads(const Expr *e, const Buf *b) {
    int n;
    Expr **v = e_operands(e, &n);
    if (e->k == E_LOAD && e->u.ld.buf == b) return true;
    for (int i = 0; i < n; i++)
        if (reads(v[i], b)) return true;
    return false;
}
static bool is_cell(const Expr *e, const Buf *b) { return e->k == E_LOAD && e->narg == 0 && e->u.ld.buf == b; }

/* The loop's parts, with the named values of its body put in; false: it is none. */
static bool recognise(Best *x, const Stmt *loop) {
    const Stmt *body = loop->u.loop.body, *test = body->u.block.n ? body->u.block.v[body->u.block.n - 1] : NULL;
    if (loop->u.loop.mode != LOOP_SEQ || !test || test->k != S_IF || test->u.cond.other || test->u.cond.then->u.block.n != 2) return false;
    Expr *cond = test->u.cond.cond, *val[2];
    const Stmt *st[2];
    for (int i = 0; i < 2; i++) {
        st[i] = test->u.cond.then->u.block.v[i];
        if (st[i]->k != S_STORE || st[i]->u.st.red != RED_NONE || st[i]->u.st.buf->rank || st[i]->u.st.buf->space != MEM_REG) return false;
        val[i] = st[i]->u.st.val;
    }
    for (int i = body->u.block.n - 2; i >= 0; i--) {
        const Stmt *s = body->u.block.v[i];
        if (s->k != S_LET) return false;
        cond = e_subst(x->a, cond, s->u.let.v, s->u.let.val);
        for (int k = 0; k < 2; k++) val[k] = e_subst(x->a, val[k], s->u.let.v, s->u.let.val);
    }
    if (cond->k != E_BIN || (cond->op != BIN_LT && cond->op != BIN_LE)) return false;
    for (int i = 0; i < 2; i++)
        for (int side = 0; side < 2; side++) {
            if (!is_cell(cond->u.a[side], st[i]->u.st.buf) || !e_equal(cond->u.a[1 - side], val[i])) continue;
            x->top = st[i]->u.st.buf, x->v = val[i], x->max = side == 0;
            x->at = st[1 - i]->u.st.buf, x->place = val[1 - i];
        }
    if (!x->top || x->top == x->at || reads(x->v, x->top) || reads(x->v, x->at)) return false;
    x->loop = loop, x->last = cond->op == BIN_LE;
    int bits = dtype_info[x->v->t].bits;
    return x->top->dt == x->v->t && (bits == 32 || bits == 64) && !reads(x->place, x->top) && !reads(x->place, x->at);
}
static Buf *local(Best *x, Stmt *block, const char *name, DType t, int64_t n, MemSpace space) { /* n 0: a scalar */
    Buf *b = buf_new(x->f, arena_printf(x->a, "%s_%d", name, x->f->nbuf), t, n > 0, &n, space);
    s_append(x->a, block, s_alloc(x->a, b));
    return b;
}
static void put(Best *x, Stmt *block, Buf *b, Expr *at, Expr *val, RedOp red) {
    s_append(x->a, block, s_store(x->a, b, b->rank ? &at : NULL, val, red));
}
static Expr *get(Best *x, Buf *b, Expr *at) { return e_load(x->a, b, b->rank ? &at : NULL); }
static Expr *times(Best *x, Expr *e, int64_t k, Expr *plus) { return e_add(x->a, e_mul(x->a, e, e_int(x->a, k)), plus); }
static Expr *compare(Best *x, Expr *best, Expr *v) { return e_bin(x->a, x->last ? BIN_LE : BIN_LT, x->max ? best : v, x->max ? v : best); }
/* Block o of the loop, its first `count` vectors: what the lanes keep. */
static void put_block(Best *x, Stmt *block, Expr *o, int64_t lo, int64_t count, int64_t vectors, int64_t lanes, Buf *top, Buf *from) {
    Expr *u = s_open_loop(x->f, &block, "u", count, LOOP_UNROLL), *l = s_open_loop(x->f, &block, "l", lanes, LOOP_VEC),
         *at = times(x, u, lanes, l);
    Expr *j = e_add(x->a, e_int(x->a, lo), times(x, o, vectors * lanes, at)), *v = e_subst(x->a, x->v, x->loop->u.loop.v, j);
    Expr *better = compare(x, get(x, top, at), v);
    put(x, block, from, at, e_select(x->a, better, e_cast(x->a, from->dt, o), get(x, from, at)), RED_NONE);
    put(x, block, top, at, v, x->max ? RED_MAX : RED_MIN);
}
/* The best of the lanes and its place, if any element of the `all` was better than what there was. */
static void put_merge(Best *x, Stmt *block, int64_t lo, int64_t all, int64_t n, Buf *top, Buf *from) {
    Arena *a = x->a;
    DType pt = from->dt;
    const char *name = x->loop->u.loop.v->name;
    Buf *best = local(x, block, "best", top->dt, 0, MEM_REG);
    put(x, block, best, NULL, x->max ? e_lower_bound(a, top->dt) : e_upper_bound(a, top->dt), RED_NONE);
    Stmt *in = block;
    Expr *l = s_open_loop(x->f, &in, name, n, LOOP_SEQ);
    put(x, in, best, NULL, get(x, top, l), x->max ? RED_MAX : RED_MIN);
    Buf *hit = local(x, block, "hit", pt, 0, MEM_REG);
    Expr *none = e_lit_i(a, pt, x->last ? -1 : INT32_MAX), *found = get(x, hit, NULL);
    put(x, block, hit, NULL, none, RED_NONE);
    in = block;
    l = s_open_loop(x->f, &in, name, n, LOOP_SEQ);
    Expr *place = e_add(a, e_mul(a, get(x, from, l), e_lit_i(a, pt, n)), e_cast(a, pt, e_cast(a, DT_INT32, l)));
    put(x, in, hit, NULL, e_select(a, e_eq(a, get(x, top, l), get(x, best, NULL)), place, none), x->last ? RED_MAX : RED_MIN);
    Expr *any = x->last ? e_le(a, e_lit_i(a, pt, 0), found) : e_lt(a, found, e_lit_i(a, pt, all));
    Expr *at = e_subst(a, x->place, x->loop->u.loop.v, e_add(a, e_int(a, lo), e_cast(a, DT_INT64, found)));
    put(x, block, x->at, NULL, e_select(a, any, at, get(x, x->at, NULL)), RED_NONE);
    put(x, block, x->top, NULL, e_select(a, any, get(x, best, NULL), get(x, x->top, NULL)), RED_NONE);
}
Stmt *vec_arg(Func *f, const Stmt *loop, int vector_bits) {
    Best x = {.f = f, .a = f->a};
    int64_t lo, hi;
    if (!e_is_int(loop->u.loop.lo, &lo) || !e_is_int(loop->u.loop.hi, &hi) || !recognise(&x, loop)) return NULL;
    int64_t bits = dtype_info[x.v->t].bits, lanes = vector_bits / bits, all = (hi - lo) / lanes, vectors = VECTORS;
    if (all < 2 || hi - lo > INT32_MAX / 2) return NULL;
    while (vectors > all) vectors /= 2;
    Stmt *out = s_block(f->a), *in = out;
    DType pt = bits == 64 ? DT_INT64 : DT_INT32;
    int64_t n = vectors * lanes;
    Buf *buf[2][2]; /* in registers, then in memory: best, block */
    for (int k = 0; k < 4; k++)
        buf[k / 2][k % 2] = local(&x, out, k % 2 ? "block" : "tops", k % 2 ? pt : x.v->t, n, k / 2 ? MEM_STACK : MEM_REG);
    Expr *u = s_open_loop(x.f, &in, "u", vectors, LOOP_UNROLL), *at = times(&x, u, lanes, s_open_loop(x.f, &in, "l", lanes, LOOP_VEC));
    put(&x, in, buf[0][0], at, get(&x, x.top, NULL), RED_NONE);
    put(&x, in, buf[0][1], at, e_lit_i(f->a, pt, x.last ? -1 : INT32_MAX / n), RED_NONE);
    in = out;
    Expr *o = s_open_loop(x.f, &in, arena_printf(f->a, "%s_o", loop->u.loop.v->name), all / vectors, LOOP_SEQ);
    put_block(&x, in, o, lo, vectors, vectors, lanes, buf[0][0], buf[0][1]);
    if (all % vectors) put_block(&x, out, e_int(f->a, all / vectors), lo, all % vectors, vectors, lanes, buf[0][0], buf[0][1]);
    in = out;
    u = s_open_loop(x.f, &in, "u", vectors, LOOP_UNROLL), at = times(&x, u, lanes, s_open_loop(x.f, &in, "l", lanes, LOOP_VEC));
    for (int k = 0; k < 2; k++) put(&x, in, buf[1][k], at, get(&x, buf[0][k], at), RED_NONE);
    put_merge(&x, out, lo, all * lanes, n, buf[1][0], buf[1][1]);
    if ((hi - lo) % lanes) { /* the rest one by one */
        Stmt *rest = s_copy(f->a, loop);
        rest->u.loop.lo = e_int(f->a, lo + all * lanes);
        s_append(f->a, out, rest);
    }
    return out;
}

/* ---- tests inside of a loop over lanes */
static bool own_cell(const Stmt *block, const Buf *b) {
    for (int i = 0; i < block->u.block.n; i++)
        if (block->u.block.v[i]->k == S_ALLOC && block->u.block.v[i]->u.alloc == b) return b->rank == 0;
    return false;
}
static bool cheap(const Expr *e) { /* can be computed where the test fails as well */
    int n;
    Expr **v = e_operands(e, &n);
    if (e->k == E_LOAD) return e->narg == 0;
    if (e->k != E_INT && e->k != E_FLT && e->k != E_VAR && e->k != E_CAST && e->k != E_UN && e->k != E_BIN) return false;
    for (int i = 0; i < n; i++)
        if (!cheap(v[i])) return false;
    return true;
}
/* Stores of a test's body as choices, what the test reads stored last; false: this cannot be. */
static bool choices(Arena *a, const Stmt *outer, const Stmt *test, Stmt *out) {
    const Stmt *then = test->u.cond.then;
    const Stmt *last = NULL;
    if (test->u.cond.other) return false;
    for (int i = 0; i < then->u.block.n; i++) {
        const Stmt *s = then->u.block.v[i];
        if (s->k != S_STORE || s->u.st.red != RED_NONE || !own_cell(outer, s->u.st.buf) || !cheap(s->u.st.val)) return false;
        for (int k = 0; k < then->u.block.n; k++) /* values as they are before all of the stores */
            if (then->u.block.v[k]->k != S_STORE || (k != i && then->u.block.v[k]->u.st.buf == s->u.st.buf) ||
                reads(then->u.block.v[k]->u.st.val, s->u.st.buf))
                return false;
        if (!reads(test->u.cond.cond, s->u.st.buf)) continue;
        if (last) return false;
        last = s;
    }
    for (int turn = 0; turn < 2; turn++)
        for (int i = 0; i < then->u.block.n; i++) {
            const Stmt *s = then->u.block.v[i];
            if ((s == last) != (turn == 1)) continue;
            Expr *val = e_select(a, test->u.cond.cond, s->u.st.val, e_load(a, s->u.st.buf, NULL));
            s_append(a, out, s_store(a, s->u.st.buf, NULL, val, RED_NONE));
        }
    return true;
}
static bool choose(Arena *a, const Stmt *outer, Stmt *s, bool *any) {
    if (s->k == S_FOR) return choose(a, outer, s->u.loop.body, any);
    if (s->k != S_BLOCK) return s->k != S_IF;
    for (int i = 0; i < s->u.block.n; i++) {
        Stmt *in = s->u.block.v[i];
        if (in->k != S_IF) {
            if (!choose(a, outer, in, any)) return false;
            continue;
        }
        s->u.block.v[i] = s_block(a);
        if (!choices(a, outer, in, s->u.block.v[i])) return false;
        *any = true;
    }
    return true;
}
static void splice(Arena *a, Stmt *s) { /* blocks that are only a sequence into the one around them */
    if (s->k == S_FOR) splice(a, s->u.loop.body);
    if (s->k != S_BLOCK) return;
    Stmt *flat = s_block(a);
    for (int i = 0; i < s->u.block.n; i++) {
        Stmt *in = s->u.block.v[i];
        splice(a, in);
        bool stores = in->k == S_BLOCK;
        for (int k = 0; stores && k < in->u.block.n; k++) stores = in->u.block.v[k]->k == S_STORE;
        if (!stores) s_append(a, flat, in);
        for (int k = 0; stores && k < in->u.block.n; k++) s_append(a, flat, in->u.block.v[k]);
    }
    s->u.block = flat->u.block;
}
Stmt *vec_choices(Arena *a, const Stmt *loop) {
    bool any = false;
    Stmt *copy = s_copy(a, loop);
    if (!choose(a, copy->u.loop.body, copy->u.loop.body, &any) || !any) return NULL;
    splice(a, copy);
    return copy;
}
