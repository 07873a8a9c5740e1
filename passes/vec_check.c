/* SPDX-License-Identifier: Apache-2.0 */
/* vec_check.c: whether the iterations of a loop can run as lanes of a vector: what differs between them is loaded from and stored to
 * neighbouring places, or summed up in a place that all share, and no iteration needs what another one stores. Assumes flat buffers.
 *
 *   y[i*8 + j] = x[j] * s[i]    along j: yes    along i: no, for y is stored 8 apart         s[] += x[j]   along j: a reduction
 */
#include "vectorise.h"
#include <string.h>

bool vec_uses(const Expr *e, const Var *v) {
    switch (e->k) {
    case E_VAR: return e->u.v == v;
    case E_LOAD:
        for (int i = 0; i < e->narg; i++)
            if (vec_uses(e->u.ld.idx[i], v)) return true;
        return false;
    case E_UN:
    case E_CAST: return vec_uses(e->u.a[0], v);
    case E_BIN: return vec_uses(e->u.a[0], v) || vec_uses(e->u.a[1], v);
    case E_SELECT: return vec_uses(e->u.a[0], v) || vec_uses(e->u.a[1], v) || vec_uses(e->u.a[2], v);
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (vec_uses(e->u.arg[i], v)) return true;
        return false;
    default: return false;
    }
}
bool vec_coefficient(const Expr *e, const Var *v, int64_t *k) {
    int64_t x, y, c;
    *k = 0;
    if (e->k == E_VAR) {
        *k = e->u.v == v;
        return true;
    }
    if (e->k == E_BIN && (e->op == BIN_ADD || e->op == BIN_SUB)) {
        if (!vec_coefficient(e->u.a[0], v, &x) || !vec_coefficient(e->u.a[1], v, &y)) return false;
        return e->op == BIN_ADD ? add_ok(x, y, k) : !__builtin_sub_overflow(x, y, k);
    }
    if (e->k == E_BIN && e->op == BIN_MUL) {
        const Expr *a = e->u.a[0], *b = e->u.a[1];
        if (e_is_int(b, &c) && vec_coefficient(a, v, &x)) return mul_ok(x, c, k);
        if (e_is_int(a, &c) && vec_coefficient(b, v, &x)) return mul_ok(x, c, k);
    }
    return !vec_uses(e, v);
}

typedef struct Place { /* an access to a buffer that all lanes can reach */
    const Buf *buf;
    const Expr *at;
    bool store, red;
} Place;
typedef struct Check {
    Arena *a;
    const Var *v;
    bool *let; /* by variable id: differs between lanes */
    bool *own; /* by buffer id: one for each lane */
    Vec(Place) place;
    LoopShape *s;
    int64_t extent; /* 0: unknown */
} Check;

/* ---- what differs between lanes */
static bool varies(const Check *c, const Expr *e) {
    switch (e->k) {
    case E_VAR: return e->u.v == c->v || c->let[e->u.v->id];
    case E_LOAD:
        if (c->own[e->u.ld.buf->id]) return true;
        for (int i = 0; i < e->narg; i++)
            if (varies(c, e->u.ld.idx[i])) return true;
        return false;
    case E_UN:
    case E_CAST: return varies(c, e->u.a[0]);
    case E_BIN: return varies(c, e->u.a[0]) || varies(c, e->u.a[1]);
    case E_SELECT: return varies(c, e->u.a[0]) || varies(c, e->u.a[1]) || varies(c, e->u.a[2]);
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (varies(c, e->u.arg[i])) return true;
        return false;
    default: return false;
    }
}
static bool element(Check *c, DType t) {
    int bits = dtype_info[t].bits;
    if (t == DT_BOOL || dtype_compute(t) != t || bits < 8 || bits > 64 || !(dtype_is_float(t) || dtype_is_int(t))) return false;
    if (bits > c->s->max_bits) c->s->max_bits = bits;
    if (!c->s->min_bits || bits < c->s->min_bits) c->s->min_bits = bits;
    return true;
}
/* An index that steps by k from lane to lane and depends on nothing else that differs between them. */
static bool steps(const Check *c, const Expr *e, int64_t *k) {
    if (!vec_coefficient(e, c->v, k)) return false;
    switch (e->k) {
    case E_VAR: return e->u.v == c->v || !c->let[e->u.v->id];
    case E_BIN: {
        int64_t x;
        if (e->op == BIN_ADD || e->op == BIN_SUB || e->op == BIN_MUL) return steps(c, e->u.a[0], &x) && steps(c, e->u.a[1], &x);
        return !varies(c, e);
    }
    default: return !varies(c, e);
    }
}
static int mask_bits(Check *c, const Expr *e) { /* of the elements that were compared; 0: no mask */
    if (e->t != DT_BOOL || !varies(c, e)) return 0;
    if (e->k == E_UN && e->op == UN_NOT) return mask_bits(c, e->u.a[0]);
    if (e->k != E_BIN) return 0;
    if (e->op >= BIN_LT && e->op <= BIN_NE) return e->u.a[0]->t == DT_BOOL ? 0 : dtype_info[e->u.a[0]->t].bits;
    int x = mask_bits(c, e->u.a[0]), y = mask_bits(c, e->u.a[1]);
    return x == y ? x : 0;
}

/* ---- expressions */
static bool value_ok(Check *c, const Expr *e);
static bool note(Check *c, const Buf *b, const Expr *at, bool store, bool red) {
    Place p = {b, at, store, red};
    vec_push(c->a, &c->place, p);
    return true;
}
static bool load_ok(Check *c, const Expr *e) {
    const Buf *b = e->u.ld.buf;
    int64_t k;
    if (c->own[b->id]) return element(c, b->dt);
    if (e->narg > 1) return false;
    const Expr *at = e->narg ? e->u.ld.idx[0] : NULL;
    if (at && !value_ok(c, at) && !steps(c, at, &k)) return false;
    note(c, b, at, false, false);
    if (!at || !varies(c, at)) return true;
    return steps(c, at, &k) && k == 1 && element(c, b->dt);
}
static bool bin_ok(Check *c, const Expr *e) {
    DType t = e->u.a[0]->t;
    int64_t n;
    if (!value_ok(c, e->u.a[0]) || !value_ok(c, e->u.a[1])) return false;
    if (e->op == BIN_LAND || e->op == BIN_LOR || (t == DT_BOOL && e->op >= BIN_AND && e->op <= BIN_XOR)) return mask_bits(c, e) > 0;
    if (e->op == BIN_MOD || (e->op == BIN_DIV && !dtype_is_float(t))) return false;
    if (e->op == BIN_SHL || e->op == BIN_SHR) {
        if (!e_is_int(e->u.a[1], &n) || n < 0 || n >= dtype_info[t].bits) return false;
    }
    return element(c, t);
}
static bool plain(const Expr *e) { return e->k == E_LOAD || e->k == E_VAR || e->k == E_INT || e->k == E_FLT; }
static bool select_ok(Check *c, const Expr *e) {
    for (int i = 0; i < 3; i++)
        if (!value_ok(c, e->u.a[i])) return false;
    if (!element(c, e->t)) return false;
    if (!varies(c, e->u.a[0])) return plain(e->u.a[1]) && plain(e->u.a[2]);
    return mask_bits(c, e->u.a[0]) == dtype_info[e->t].bits;
}
static bool clamped(const Expr *e, DType to) {
    if (e->k != E_BIN || e->op != BIN_MIN || e->u.a[1]->k != E_FLT) return false;
    const Expr *m = e->u.a[0];
    if (m->k != E_BIN || m->op != BIN_MAX || m->u.a[1]->k != E_FLT || dtype_info[to].bits > 32 || to == DT_BOOL) return false;
    double lo = m->u.a[1]->u.f, hi = e->u.a[1]->u.f;
    return lo >= (double)dtype_min(to) && lo >= -2147483648.0 && hi <= (double)dtype_max(to) && hi < 2147483647.0;
}
static bool cast_ok(Check *c, const Expr *e) {
    DType from = e->u.a[0]->t;
    int64_t k;
    if (from == DT_INT64 && e->to == DT_INT32 && steps(c, e->u.a[0], &k) && k == 1) return element(c, e->to); /* the number of the lane */
    if (!value_ok(c, e->u.a[0]) || from == DT_BOOL || !element(c, from) || !element(c, e->to)) return false;
    return dtype_is_float(e->to) || !dtype_is_float(from) || ((from == DT_FLOAT32 || from == DT_FLOAT64) && clamped(e->u.a[0], e->to));
}
/* Notes the loads of what is the same in all lanes too. */
static bool value_ok(Check *c, const Expr *e) {
    if (e->k == E_INT || e->k == E_FLT) return true;
    c->s->weight++;
    if (!varies(c, e)) {
        int n = e->k == E_CALL ? e->narg : e->k == E_LOAD ? 0 : e->k == E_BIN ? 2 : e->k == E_SELECT ? 3 : e->k == E_VAR ? 0 : 1;
        for (int i = 0; i < n; i++)
            if (!value_ok(c, e->k == E_CALL ? e->u.arg[i] : e->u.a[i])) return false;
        return e->k != E_LOAD || load_ok(c, e);
    }
    switch (e->k) {
    case E_VAR: return e->u.v != c->v;
    case E_LOAD: return load_ok(c, e);
    case E_UN:
        if (!value_ok(c, e->u.a[0])) return false;
        if (e->op == UN_NOT) return mask_bits(c, e) > 0;
        return element(c, e->t) && !(e->op == UN_ABS && dtype_info[e->t].cls == CLS_UINT) && !(e->op == UN_INV && dtype_is_float(e->t));
    case E_BIN: return bin_ok(c, e);
    case E_SELECT: return select_ok(c, e);
    case E_CAST: return cast_ok(c, e);
    case E_CALL: {
        char kind = call_info[e->op].kind;
        for (int i = 0; i < e->narg; i++)
            if (!value_ok(c, e->u.arg[i]) || !element(c, e->u.arg[i]->t)) return false;
        c->s->weight += kind == 'f' ? 20 : 0;
        return strchr("dftu", kind) != NULL;
    }
    default: return false;
    }
}

/* ---- statements */
static bool store_ok(Check *c, const Stmt *s) {
    const Buf *b = s->u.st.buf;
    RedOp red = s->u.st.red;
    int64_t k;
    c->s->weight++;
    if (!value_ok(c, s->u.st.val) || s->u.st.val->t == DT_BOOL || b->rank > 1) return false;
    if (c->own[b->id]) return element(c, b->dt);
    const Expr *at = b->rank ? s->u.st.idx[0] : NULL;
    bool moves = at && varies(c, at);
    note(c, b, at, true, red != RED_NONE && !moves);
    if (moves) return steps(c, at, &k) && k == 1 && element(c, b->dt);
    if (red < RED_ADD || red > RED_MAX || !c->s->inner || !varies(c, s->u.st.val)) return false;
    c->s->nred++;
    return element(c, b->dt);
}
static bool stmt_ok(Check *c, const Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (!stmt_ok(c, s->u.block.v[i])) return false;
        return true;
    case S_STORE: return store_ok(c, s);
    case S_LET:
        c->let[s->u.let.v->id] = varies(c, s->u.let.val);
        if (!value_ok(c, s->u.let.val)) return false;
        return !c->let[s->u.let.v->id] || (s->u.let.val->t != DT_BOOL && element(c, s->u.let.val->t));
    case S_IF:
        return !varies(c, s->u.cond.cond) && value_ok(c, s->u.cond.cond) && stmt_ok(c, s->u.cond.then) &&
               (!s->u.cond.other || stmt_ok(c, s->u.cond.other)) && c->s->nred == 0;
    case S_FOR:
        if (s->u.loop.mode != LOOP_SEQ && s->u.loop.mode != LOOP_UNROLL) return false;
        return !varies(c, s->u.loop.lo) && !varies(c, s->u.loop.hi) && stmt_ok(c, s->u.loop.body);
    case S_ALLOC: c->own[s->u.alloc->id] = true; return s->u.alloc->rank == 0 && element(c, s->u.alloc->dt);
    case S_CALL: return false;
    }
    return false;
}
static bool has_loop(const Stmt *s) {
    switch (s->k) {
    case S_FOR: return true;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (has_loop(s->u.block.v[i])) return true;
        return false;
    case S_IF: return has_loop(s->u.cond.then) || (s->u.cond.other && has_loop(s->u.cond.other));
    default: return false;
    }
}

/* ---- between lanes */
static int64_t gcd(int64_t x, int64_t y) {
    x = x < 0 ? -x : x, y = y < 0 ? -y : y;
    while (y) {
        int64_t r = x % y;
        x = y, y = r;
    }
    return x;
}
/* Two indices with step 1: the same in each lane, or so far apart that no lane meets another. */
static bool apart(Check *c, const Expr *x, const Expr *y) {
    Affine d;
    if (x == y || e_equal(x, y)) return true;
    if (!expr_affine(expr_simplify(c->a, e_sub(c->a, (Expr *)x, (Expr *)y), NULL), &d)) return false;
    int64_t g = gcd(d.c, 0);
    for (int i = 0; i < d.n; i++) g = gcd(g, d.k[i]);
    return g == 0 || (c->extent > 0 && g >= c->extent);
}
static bool independent(Check *c) {
    for (int i = 0; i < c->place.n; i++) {
        const Place *p = &c->place.v[i];
        if (!p->store) continue;
        for (int k = 0; k < c->place.n; k++) {
            const Place *q = &c->place.v[k];
            if (k == i || q->buf != p->buf) continue;
            if (p->red || q->red || !p->at || !q->at || !varies(c, q->at) || !varies(c, p->at) || !apart(c, p->at, q->at)) return false;
        }
    }
    return true;
}
bool vec_loop_shape(Arena *tmp, const Func *f, const Stmt *loop, LoopShape *out) {
    *out = (LoopShape){.inner = !has_loop(loop->u.loop.body)};
    Check c = {.a = tmp, .v = loop->u.loop.v, .s = out};
    int64_t lo, hi;
    if (loop->u.loop.mode != LOOP_SEQ) return false;
    if (e_is_int(loop->u.loop.lo, &lo) && e_is_int(loop->u.loop.hi, &hi)) c.extent = hi - lo;
    c.let = NEW_ARRAY(tmp, bool, f->nvar + 1);
    c.own = NEW_ARRAY(tmp, bool, f->nbuf + 1);
    return stmt_ok(&c, loop->u.loop.body) && out->max_bits > 0 && c.place.n <= 256 && independent(&c);
}
