/* SPDX-License-Identifier: Apache-2.0 */
/* simplify.c: index arithmetic. Integer sums are brought into a linear form over atoms (c + sum k*atom); quotients, remainders,
 * minima and comparisons are decided with the ranges of the loops around them. Floats are never touched.
 *
 *   for i in 0..8, for j in 0..4:  x[(i*4 + j)/4, (i*4 + j)%4]   --->   x[i, j]
 *
 * Ranges are inclusive. An overflow anywhere leaves the expression as it is.
 */
#include "loop.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS = 24, BUDGET = 4000 };

/* ---- bounds */
typedef struct Interval {
    int64_t lo, hi;
} Interval;
static bool bounds(const Expr *e, const Ranges *r, Interval *out, int *budget);

static bool bounds_product(Interval x, Interval y, Interval *out) {
    int64_t p[4];
    if (!mul_ok(x.lo, y.lo, &p[0]) || !mul_ok(x.lo, y.hi, &p[1]) || !mul_ok(x.hi, y.lo, &p[2]) || !mul_ok(x.hi, y.hi, &p[3])) return false;
    out->lo = min_i64(min_i64(p[0], p[1]), min_i64(p[2], p[3]));
    out->hi = max_i64(max_i64(p[0], p[1]), max_i64(p[2], p[3]));
    return true;
}
/* Of a float: finite, and such that no step on the way is NaN. Each step is monotonous, so its ends are those of its operands. */
static bool bounds_float(const Expr *e, const Ranges *r, double *lo, double *hi, int *budget);
static bool bounds_int(const Expr *e, const Ranges *r, Interval *out, int *budget) { /* of narrower types too, where nothing wraps */
    if (e->t == DT_INT64 || e->t == DT_BOOL) return bounds(e, r, out, budget);
    if (e->k == E_INT) *out = (Interval){e->u.i, e->u.i};
    else if (e->k != E_CAST || dtype_is_float(e->u.a[0]->t) || !bounds_int(e->u.a[0], r, out, budget)) return false;
    return dtype_info[e->t].bits < 64 && out->lo >= dtype_min(e->t) && (double)out->hi <= (double)dtype_max(e->t);
}
static bool float_binary(const Expr *e, const Ranges *r, double *lo, double *hi, int *budget) {
    double x[2], y[2], v[4];
    if (!bounds_float(e->u.a[0], r, &x[0], &x[1], budget) || !bounds_float(e->u.a[1], r, &y[0], &y[1], budget)) return false;
    if (e->op == BIN_DIV && y[0] <= 0 && y[1] >= 0) return false;
    for (int i = 0; i < 4; i++) {
        double a = x[i / 2], b = y[i % 2];
        switch ((BinOp)e->op) {
        case BIN_ADD: v[i] = a + b; break;
        case BIN_SUB: v[i] = a - b; break;
        case BIN_MUL: v[i] = a * b; break;
        case BIN_DIV: v[i] = a / b; break;
        case BIN_MIN: v[i] = b < a ? b : a; break;
        case BIN_MAX: v[i] = a < b ? b : a; break;
        default: return false;
        }
    }
    *lo = *hi = v[0];
    for (int i = 1; i < 4; i++) *lo = v[i] < *lo ? v[i] : *lo, *hi = v[i] > *hi ? v[i] : *hi;
    return true;
}
static bool bounds_float(const Expr *e, const Ranges *r, double *lo, double *hi, int *budget) {
    Interval n;
    double x, y;
    bool ok = false;
    if (--*budget < 0) return false;
    switch (e->k) {
    case E_INT: *lo = *hi = (double)e->u.i, ok = true; break;
    case E_FLT: *lo = *hi = e->u.f, ok = true; break;
    case E_CAST:
        if (dtype_is_float(e->u.a[0]->t)) ok = bounds_float(e->u.a[0], r, lo, hi, budget);
        else if (bounds_int(e->u.a[0], r, &n, budget)) *lo = (double)n.lo, *hi = (double)n.hi, ok = true;
        break;
    case E_UN:
        ok = e->op == UN_NEG && bounds_float(e->u.a[0], r, &x, &y, budget);
        if (ok) *lo = -y, *hi = -x;
        break;
    case E_BIN: ok = float_binary(e, r, lo, hi, budget); break;
    case E_SELECT:
        ok = bounds_float(e->u.a[1], r, lo, hi, budget) && bounds_float(e->u.a[2], r, &x, &y, budget);
        if (ok) *lo = x < *lo ? x : *lo, *hi = y > *hi ? y : *hi;
        break;
    case E_CALL: {
        double (*fn)(double) = e->op == CALL_CEIL    ? ceil
                               : e->op == CALL_FLOOR ? floor
                               : e->op == CALL_TRUNC ? trunc
                               : e->op == CALL_RINT  ? rint
                                                     : NULL;
        ok = fn && bounds_float(e->u.arg[0], r, lo, hi, budget);
        if (ok) *lo = fn(*lo), *hi = fn(*hi);
        break;
    }
    default: break;
    }
    if (ok && dtype_is_float(e->t)) *lo = dtype_round(e->t, *lo), *hi = dtype_round(e->t, *hi);
    return ok && isfinite(*lo) && isfinite(*hi);
}
static bool bounds_binary(const Expr *e, const Ranges *r, Interval *out, int *budget) {
    Interval x, y;
    if (e->t == DT_BOOL) {
        *out = (Interval){0, 1};
        return true;
    }
    if (!bounds(e->u.a[0], r, &x, budget) || !bounds(e->u.a[1], r, &y, budget)) return false;
    switch ((BinOp)e->op) {
    case BIN_ADD: return add_ok(x.lo, y.lo, &out->lo) && add_ok(x.hi, y.hi, &out->hi);
    case BIN_SUB: return !__builtin_sub_overflow(x.lo, y.hi, &out->lo) && !__builtin_sub_overflow(x.hi, y.lo, &out->hi);
    case BIN_MUL: return bounds_product(x, y, out);
    case BIN_DIV:
        if (y.lo <= 0) return false;
        out->lo = x.lo >= 0 ? x.lo / y.hi : x.lo / y.lo;
        out->hi = x.hi >= 0 ? x.hi / y.lo : x.hi / y.hi;
        return true;
    case BIN_MOD:
        if (y.lo <= 0) return false;
        out->lo = x.lo >= 0 ? 0 : max_i64(x.lo, 1 - y.hi);
        out->hi = x.hi <= 0 ? 0 : min_i64(x.hi, y.hi - 1);
        return true;
    case BIN_MIN: *out = (Interval){min_i64(x.lo, y.lo), min_i64(x.hi, y.hi)}; return true;
    case BIN_MAX: *out = (Interval){max_i64(x.lo, y.lo), max_i64(x.hi, y.hi)}; return true;
    default: return false;
    }
}
static bool bounds(const Expr *e, const Ranges *r, Interval *out, int *budget) {
    Interval y;
    if (--*budget < 0 || (e->t != DT_INT64 && e->t != DT_BOOL)) return false;
    switch (e->k) {
    case E_INT: *out = (Interval){e->u.i, e->u.i}; return true;
    case E_VAR:
        for (int i = r ? r->n - 1 : -1; i >= 0; i--)
            if (r->v[i].v == e->u.v) {
                *out = (Interval){r->v[i].lo, r->v[i].hi};
                return out->lo <= out->hi;
            }
        return false;
    case E_UN:
        if (e->op != UN_NEG || !bounds(e->u.a[0], r, &y, budget) || y.lo == INT64_MIN) return false;
        *out = (Interval){-y.hi, -y.lo};
        return true;
    case E_BIN: return bounds_binary(e, r, out, budget);
    case E_CAST: {
        double lo, hi;
        if (dtype_is_float(e->u.a[0]->t) && e->to == DT_INT64) {
            if (!bounds_float(e->u.a[0], r, &lo, &hi, budget) || lo < -9e18 || hi > 9e18) return false;
            *out = (Interval){(int64_t)lo, (int64_t)hi};
            return true;
        }
        if (e->u.a[0]->t != DT_BOOL) return false;
        *out = (Interval){0, 1};
        return true;
    }
    case E_SELECT:
        if (!bounds(e->u.a[1], r, out, budget) || !bounds(e->u.a[2], r, &y, budget)) return false;
        *out = (Interval){min_i64(out->lo, y.lo), max_i64(out->hi, y.hi)};
        return true;
    default: return false;
    }
}
bool expr_bounds(const Expr *e, const Ranges *r, int64_t *lo, int64_t *hi) {
    Interval x;
    int budget = BUDGET;
    if (!bounds(e, r, &x, &budget)) return false;
    *lo = x.lo, *hi = x.hi;
    return true;
}

/* ---- linear form over atoms */
typedef struct Lin {
    int64_t c;
    int n;
    Expr *at[TERMS];
    int64_t k[TERMS];
} Lin;
static bool lin_atom(Lin *l, Expr *e, int64_t k) {
    for (int i = 0; i < l->n; i++)
        if (e_equal(l->at[i], e)) return add_ok(l->k[i], k, &l->k[i]);
    if (l->n == TERMS) return false;
    l->at[l->n] = e, l->k[l->n++] = k;
    return true;
}
/* l += k * e */
static bool lin_add(Lin *l, Expr *e, int64_t k, int depth) {
    int64_t c;
    if (depth > 64) return lin_atom(l, e, k);
    if (e->k == E_INT) return mul_ok(e->u.i, k, &c) && add_ok(l->c, c, &l->c);
    if (e->k == E_UN && e->op == UN_NEG) return mul_ok(k, -1, &c) && lin_add(l, e->u.a[0], c, depth + 1);
    if (e->k == E_BIN && e->op == BIN_ADD) return lin_add(l, e->u.a[0], k, depth + 1) && lin_add(l, e->u.a[1], k, depth + 1);
    if (e->k == E_BIN && e->op == BIN_SUB)
        return lin_add(l, e->u.a[0], k, depth + 1) && mul_ok(k, -1, &c) && lin_add(l, e->u.a[1], c, depth + 1);
    if (e->k == E_BIN && e->op == BIN_MUL && e->u.a[1]->k == E_INT)
        return mul_ok(k, e->u.a[1]->u.i, &c) && lin_add(l, e->u.a[0], c, depth + 1);
    if (e->k == E_BIN && e->op == BIN_MUL && e->u.a[0]->k == E_INT)
        return mul_ok(k, e->u.a[0]->u.i, &c) && lin_add(l, e->u.a[1], c, depth + 1);
    return lin_atom(l, e, k);
}
static void lin_compact(Lin *l) {
    int n = 0;
    for (int i = 0; i < l->n; i++)
        if (l->k[i]) l->at[n] = l->at[i], l->k[n++] = l->k[i];
    l->n = n;
}
/* x/c*c + x%c is x */
static bool lin_join(Lin *l) {
    for (int i = 0; i < l->n; i++) {
        Expr *m = l->at[i];
        if (m->k != E_BIN || m->op != BIN_MOD || m->u.a[1]->k != E_INT) continue;
        int64_t c = m->u.a[1]->u.i, want;
        if (!mul_ok(l->k[i], c, &want)) continue;
        for (int j = 0; j < l->n; j++) {
            Expr *d = l->at[j];
            if (l->k[j] != want || d->k != E_BIN || d->op != BIN_DIV || d->u.a[1]->k != E_INT || d->u.a[1]->u.i != c ||
                !e_equal(d->u.a[0], m->u.a[0]))
                continue;
            Expr *x = m->u.a[0];
            int64_t k = l->k[i];
            l->k[i] = l->k[j] = 0;
            lin_compact(l);
            return lin_add(l, x, k, 0);
        }
    }
    return false;
}
static bool lin_of(Lin *l, Expr *e) {
    l->c = 0, l->n = 0;
    if (!lin_add(l, e, 1, 0)) return false;
    lin_compact(l);
    for (int i = 0; i < 8 && lin_join(l); i++) lin_compact(l);
    return true;
}
static bool lin_bounds(const Lin *l, const Ranges *r, Interval *out) {
    *out = (Interval){l->c, l->c};
    int budget = BUDGET;
    for (int i = 0; i < l->n; i++) {
        Interval x;
        if (!bounds(l->at[i], r, &x, &budget) || !bounds_product(x, (Interval){l->k[i], l->k[i]}, &x)) return false;
        if (!add_ok(out->lo, x.lo, &out->lo) || !add_ok(out->hi, x.hi, &out->hi)) return false;
    }
    return true;
}
/* Positive terms first, in order of appearance; the constant last. */
static Expr *lin_build(Arena *a, const Lin *l) {
    Expr *e = NULL;
    for (int i = 0; i < l->n; i++)
        if (l->k[i] > 0) {
            Expr *t = e_mul(a, l->at[i], e_int(a, l->k[i]));
            e = e ? e_add(a, e, t) : t;
        }
    if (!e) e = l->c && l->n ? e_int(a, l->c) : NULL;
    bool constant = !e || e->k != E_INT;
    for (int i = 0; i < l->n; i++)
        if (l->k[i] < 0) {
            if (l->k[i] == INT64_MIN) return NULL;
            Expr *t = e_mul(a, l->at[i], e_int(a, -l->k[i]));
            e = e ? e_sub(a, e, t) : e_un(a, UN_NEG, t);
        }
    if (!constant || l->c == 0) return e ? e : e_int(a, 0);
    if (!e) return e_int(a, l->c);
    return l->c < 0 && l->c != INT64_MIN ? e_sub(a, e, e_int(a, -l->c)) : e_add(a, e, e_int(a, l->c));
}

/* ---- rules */
typedef struct Simplifier {
    Arena *a;
    const Ranges *r;
    struct Slot {
        const Expr *from;
        Expr *to;
        int gen;
    } * memo;
    int cap, count, gen;
} Simplifier;
static Expr *simplify(Simplifier *s, Expr *e);

/* (A*c + R) / c = A + R/c and (A*c + R) % c = R % c, where both R and the whole are not negative */
static Expr *simplify_div(Simplifier *s, BinOp op, Expr *x, int64_t c) {
    Lin l;
    Interval all, rest;
    Arena *a = s->a;
    if (c <= 0 || !lin_of(&l, x) || !lin_bounds(&l, s->r, &all) || all.lo < 0) return NULL;
    if (all.hi < c) return op == BIN_DIV ? e_int(a, 0) : x;
    Lin q = {0}, m = {0};
    for (int i = 0; i < l.n; i++) {
        Lin *to = l.k[i] % c == 0 ? &q : &m;
        to->at[to->n] = l.at[i];
        to->k[to->n++] = to == &q ? l.k[i] / c : l.k[i];
    }
    q.c = l.c / c, m.c = l.c % c;
    if (m.c < 0) q.c--, m.c += c;
    if ((q.n || q.c) && lin_bounds(&m, s->r, &rest) && rest.lo >= 0) {
        Expr *R = lin_build(a, &m), *A = lin_build(a, &q);
        if (!R || !A) return NULL;
        Expr *part = rest.hi < c ? (op == BIN_DIV ? e_int(a, 0) : R) : e_bin(a, op, R, e_int(a, c));
        return op == BIN_DIV ? e_add(a, A, part) : part;
    }
    int64_t c2;
    if (op == BIN_DIV && x->k == E_BIN && x->op == BIN_DIV && x->u.a[1]->k == E_INT && x->u.a[1]->u.i > 0 &&
        mul_ok(x->u.a[1]->u.i, c, &c2)) {
        Interval in;
        int budget = BUDGET;
        if (bounds(x->u.a[0], s->r, &in, &budget) && in.lo >= 0) return e_div(a, x->u.a[0], e_int(a, c2));
    }
    if (op == BIN_MOD && x->k == E_BIN && x->op == BIN_MOD && x->u.a[1]->k == E_INT && x->u.a[1]->u.i > 0 && x->u.a[1]->u.i % c == 0) {
        Interval in;
        int budget = BUDGET;
        if (bounds(x->u.a[0], s->r, &in, &budget) && in.lo >= 0) return e_mod(a, x->u.a[0], e_int(a, c));
    }
    return NULL;
}
/* Minimum, maximum and comparisons by the sign of x - y, which says nothing of their order where one of them wraps. */
static Expr *simplify_order(Simplifier *s, const Expr *e, Expr *x, Expr *y) {
    Lin d = {0};
    Interval b;
    Arena *a = s->a;
    if (!lin_add(&d, x, 1, 0) || !lin_add(&d, y, -1, 0)) return NULL;
    lin_compact(&d);
    if (!lin_bounds(&d, s->r, &b)) return NULL;
    int budget = BUDGET;
    Interval side;
    if (e->op != BIN_EQ && e->op != BIN_NE && (!bounds(x, s->r, &side, &budget) || !bounds(y, s->r, &side, &budget))) return NULL;
    switch ((BinOp)e->op) {
    case BIN_MIN: return b.hi <= 0 ? x : b.lo >= 0 ? y : NULL;
    case BIN_MAX: return b.hi <= 0 ? y : b.lo >= 0 ? x : NULL;
    case BIN_LT: return b.hi < 0 ? e_lit_i(a, DT_BOOL, 1) : b.lo >= 0 ? e_lit_i(a, DT_BOOL, 0) : NULL;
    case BIN_LE: return b.hi <= 0 ? e_lit_i(a, DT_BOOL, 1) : b.lo > 0 ? e_lit_i(a, DT_BOOL, 0) : NULL;
    case BIN_EQ: return b.lo == 0 && b.hi == 0 ? e_lit_i(a, DT_BOOL, 1) : b.lo > 0 || b.hi < 0 ? e_lit_i(a, DT_BOOL, 0) : NULL;
    case BIN_NE: return b.lo == 0 && b.hi == 0 ? e_lit_i(a, DT_BOOL, 0) : b.lo > 0 || b.hi < 0 ? e_lit_i(a, DT_BOOL, 1) : NULL;
    default: return NULL;
    }
}
static Expr *simplify_one(Simplifier *s, Expr *e) {
    Arena *a = s->a;
    if (e->k == E_BIN && e->u.a[0]->t == DT_INT64) {
        Expr *x = e->u.a[0], *y = e->u.a[1], *r = NULL;
        Lin l;
        switch ((BinOp)e->op) {
        case BIN_ADD:
        case BIN_SUB:
        case BIN_MUL:
            if (lin_of(&l, e)) r = lin_build(a, &l);
            break;
        case BIN_DIV:
        case BIN_MOD:
            if (y->k == E_INT) r = simplify_div(s, (BinOp)e->op, x, y->u.i);
            break;
        case BIN_MIN:
        case BIN_MAX:
        case BIN_LT:
        case BIN_LE:
        case BIN_EQ:
        case BIN_NE: r = simplify_order(s, e, x, y); break;
        default: break;
        }
        if (r) return r;
    }
    return e;
}
/* One level: simplified operands, then the rules at the root. */
static Expr *simplify_operands(Simplifier *s, Expr *e) {
    Expr *o[QN_MAX_RANK];
    Arena *a = s->a;
    switch (e->k) {
    case E_LOAD: {
        bool changed = false;
        for (int i = 0; i < e->narg; i++) {
            o[i] = simplify(s, e->u.ld.idx[i]);
            changed |= o[i] != e->u.ld.idx[i];
        }
        return changed ? e_load(a, e->u.ld.buf, o) : e;
    }
    case E_UN: o[0] = simplify(s, e->u.a[0]); return o[0] == e->u.a[0] ? e : e_un(a, (UnOp)e->op, o[0]);
    case E_BIN:
        o[0] = simplify(s, e->u.a[0]), o[1] = simplify(s, e->u.a[1]);
        return o[0] == e->u.a[0] && o[1] == e->u.a[1] ? e : e_bin(a, (BinOp)e->op, o[0], o[1]);
    case E_SELECT:
        for (int i = 0; i < 3; i++) o[i] = simplify(s, e->u.a[i]);
        return o[0] == e->u.a[0] && o[1] == e->u.a[1] && o[2] == e->u.a[2] ? e : e_select(a, o[0], o[1], o[2]);
    case E_CAST: o[0] = simplify(s, e->u.a[0]); return o[0] == e->u.a[0] ? e : e_cast(a, e->to, o[0]);
    case E_CALL: {
        bool changed = false;
        for (int i = 0; i < e->narg; i++) {
            o[i] = simplify(s, e->u.arg[i]);
            changed |= o[i] != e->u.arg[i];
        }
        return changed ? e_call(a, (CallFn)e->op, o) : e;
    }
    default: return e;
    }
}
/* Expressions are DAGs: each node is done once. */
static struct Slot *memo_slot(Simplifier *s, const Expr *e) {
    size_t i = (uintptr_t)e / sizeof(void *) * 0x9E3779B97F4A7C15u >> 20;
    for (;; i++) {
        struct Slot *p = &s->memo[i & (size_t)(s->cap - 1)];
        if (!p->from || p->gen != s->gen || p->from == e) return p;
    }
}
static void memo_put(Simplifier *s, const Expr *e, Expr *to) {
    if (s->count * 2 >= s->cap) {
        int old_cap = s->cap;
        struct Slot *old = s->memo;
        s->cap = old_cap ? old_cap * 2 : 256;
        s->memo = calloc((size_t)s->cap, sizeof *s->memo);
        if (!s->memo) BUG("out of memory");
        s->count = 0;
        for (int i = 0; i < old_cap; i++)
            if (old[i].from && old[i].gen == s->gen) {
                *memo_slot(s, old[i].from) = old[i];
                s->count++;
            }
        free(old);
    }
    struct Slot *p = memo_slot(s, e);
    if (!p->from || p->gen != s->gen) s->count++;
    *p = (struct Slot){e, to, s->gen};
}
static Expr *simplify(Simplifier *s, Expr *e) {
    if (e->k == E_INT || e->k == E_FLT) return e;
    if (e->k == E_VAR) { /* a variable with one possible value is that value */
        Interval x;
        int budget = 1;
        return bounds(e, s->r, &x, &budget) && x.lo == x.hi && e->t == DT_INT64 ? e_int(s->a, x.lo) : e;
    }
    if (s->cap) {
        struct Slot *p = memo_slot(s, e);
        if (p->from && p->gen == s->gen) return p->to;
    }
    Expr *r = simplify_one(s, simplify_operands(s, e));
    memo_put(s, e, r);
    return r;
}
Expr *expr_simplify(Arena *a, Expr *e, const Ranges *r) {
    Simplifier s = {.a = a, .r = r};
    Expr *out = simplify(&s, e);
    free(s.memo);
    return out;
}

/* ---- functions */
typedef struct Walk {
    Simplifier s;
    Ranges r;
    uint8_t *seen; /* per variable id: a loop or let of it was entered */
} Walk;
static void enter(Walk *w, const Var *v, Interval x) {
    if (w->seen[v->id]) w->s.gen++, w->s.count = 0; /* known under other ranges */
    w->seen[v->id] = 1;
    Range one = {v, x.lo, x.hi};
    vec_push(w->s.a, &w->r, one);
}
static void walk_block(Walk *w, Stmt *block);
/* false: the statement does nothing */
static bool walk_for(Walk *w, Stmt *s) {
    s->u.loop.lo = simplify(&w->s, s->u.loop.lo);
    s->u.loop.hi = simplify(&w->s, s->u.loop.hi);
    Interval lo, hi;
    int budget = BUDGET, n = w->r.n;
    bool known = bounds(s->u.loop.lo, &w->r, &lo, &budget) && bounds(s->u.loop.hi, &w->r, &hi, &budget);
    if (known && hi.hi <= lo.lo) return false;
    if (known) enter(w, s->u.loop.v, (Interval){lo.lo, hi.hi - 1});
    else enter(w, s->u.loop.v, (Interval){1, 0});
    walk_block(w, s->u.loop.body);
    w->r.n = n;
    return true;
}
static bool walk_stmt(Walk *w, Stmt **at) {
    Stmt *s = *at;
    switch (s->k) {
    case S_FOR: return walk_for(w, s);
    case S_STORE:
        for (int i = 0; i < s->u.st.buf->rank; i++) s->u.st.idx[i] = simplify(&w->s, s->u.st.idx[i]);
        s->u.st.val = simplify(&w->s, s->u.st.val);
        return true;
    case S_LET: {
        s->u.let.val = simplify(&w->s, s->u.let.val);
        Interval x;
        int budget = BUDGET;
        if (!bounds(s->u.let.val, &w->r, &x, &budget) || s->u.let.v->t != DT_INT64) x = (Interval){1, 0};
        enter(w, s->u.let.v, x);
        return true;
    }
    case S_IF:
        s->u.cond.cond = simplify(&w->s, s->u.cond.cond);
        if (s->u.cond.cond->k == E_INT) { /* decided: the branch stands for it */
            *at = s->u.cond.cond->u.i ? s->u.cond.then : s->u.cond.other;
            return *at && walk_stmt(w, at);
        }
        walk_block(w, s->u.cond.then);
        if (s->u.cond.other) walk_block(w, s->u.cond.other);
        return true;
    case S_CALL:
        for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = simplify(&w->s, s->u.call.arg[i]);
        return true;
    case S_BLOCK: walk_block(w, s); return s->u.block.n > 0;
    default: return true;
    }
}
static void walk_block(Walk *w, Stmt *block) {
    int n = 0, mark = w->r.n;
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *s = block->u.block.v[i];
        if (walk_stmt(w, &s)) block->u.block.v[n++] = s;
    }
    block->u.block.n = n;
    w->r.n = mark;
}
void func_simplify(Func *f) {
    Walk w = {.s = {.a = f->a}};
    w.s.r = &w.r;
    w.seen = calloc((size_t)f->nvar + 1, 1);
    if (!w.seen) BUG("out of memory");
    walk_block(&w, f->body);
    free(w.seen);
    free(w.s.memo);
}

/* ---- affine form over variables */
static bool affine_add(Affine *o, const Expr *e, int64_t k, int depth) {
    int64_t c;
    if (depth > 64 || e->t != DT_INT64) return false;
    switch (e->k) {
    case E_INT: return mul_ok(e->u.i, k, &c) && add_ok(o->c, c, &o->c);
    case E_VAR:
        for (int i = 0; i < o->n; i++)
            if (o->v[i] == e->u.v) return add_ok(o->k[i], k, &o->k[i]);
        if (o->n == (int)(sizeof o->v / sizeof *o->v)) return false;
        o->v[o->n] = e->u.v, o->k[o->n++] = k;
        return true;
    case E_UN: return e->op == UN_NEG && mul_ok(k, -1, &c) && affine_add(o, e->u.a[0], c, depth + 1);
    case E_BIN:
        if (e->op == BIN_ADD) return affine_add(o, e->u.a[0], k, depth + 1) && affine_add(o, e->u.a[1], k, depth + 1);
        if (e->op == BIN_SUB) return affine_add(o, e->u.a[0], k, depth + 1) && mul_ok(k, -1, &c) && affine_add(o, e->u.a[1], c, depth + 1);
        if (e->op == BIN_MUL && e->u.a[1]->k == E_INT) return mul_ok(k, e->u.a[1]->u.i, &c) && affine_add(o, e->u.a[0], c, depth + 1);
        if (e->op == BIN_MUL && e->u.a[0]->k == E_INT) return mul_ok(k, e->u.a[0]->u.i, &c) && affine_add(o, e->u.a[1], c, depth + 1);
        return false;
    default: return false;
    }
}
bool expr_affine(const Expr *e, Affine *out) {
    memset(out, 0, sizeof *out);
    if (!affine_add(out, e, 1, 0)) return false;
    int n = 0;
    for (int i = 0; i < out->n; i++)
        if (out->k[i]) out->v[n] = out->v[i], out->k[n++] = out->k[i];
    out->n = n;
    return true;
}
