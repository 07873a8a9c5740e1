/* SPDX-License-Identifier: Apache-2.0 */
/* emit_trim.c: what is known of the values of a nest before it is printed. Numbers that come from integers, from constants of the
 * model and out of clamps lie between bounds and are no NaN: clamps outside those bounds do nothing and go, conversions to an
 * integer type that holds them are marked (E_CAST with op CAST_FITS), so that they are printed without a test. Nor are places
 * printed that are read along an axis of stride 0.
 *
 *   int8(min(max(rint(min(max(float64(s)*k[c], 0.0), 254.0)) - 128.0, -128.0), 127.0))
 *   --->  int8(rint(min(max(float64(s)*k[c], 0.0), 254.0)) - 128.0), marked
 */
#include "internal.h"
#include <math.h>
#include <string.h>

typedef struct Limits {
    bool ok; /* a number from lo to hi */
    double lo, hi;
    bool or_nan; /* not ok: such a number, or none */
} Limits;
typedef struct Known { /* of an expression of the statement at hand: expressions are DAGs */
    const Expr *from;
    int gen;
    Expr *to; /* trimmed */
    Limits l; /* of that */
} Known;
typedef struct Trim {
    Arena *a;
    Limits *var; /* by id */
    Limits *buf; /* by id: of a constant's elements */
    bool *seen;
    Known *known; /* a hash table */
    int cap, count, gen;
} Trim;
static Known *trim(Trim *x, Expr *e);
static Limits limits_of(Trim *x, const Expr *e) { return trim(x, (Expr *)e)->l; }

static Limits limits(double lo, double hi) { return (Limits){isfinite(lo) && isfinite(hi), lo, hi, false}; }
/* In the expression's own type. Rounding keeps the order of numbers, and sums and products of float32 are rounded from float64 as they
 * are from the exact value. Products may also stay unrounded inside of a sum, hence the little more. */
static Limits rounded(DType t, bool product, double lo, double hi) {
    if (t == DT_HALF) return (Limits){0};
    double eps = !product ? 0 : t == DT_FLOAT32 ? 1e-6 : 1e-15, most = t == DT_FLOAT32 ? 3.4e38 : 1.7e308;
    lo -= fabs(lo) * eps, hi += fabs(hi) * eps;
    if (t == DT_FLOAT32) lo = (float)lo, hi = (float)hi;
    return lo < -most || hi > most ? (Limits){0} : limits(lo, hi);
}
static Limits constant_limits(Trim *x, const Buf *b) {
    enum { MOST = 1 << 16 };
    Limits *l = &x->buf[b->id];
    if (x->seen[b->id]) return *l;
    x->seen[b->id] = true;
    const Tensor *t = b->tensor;
    int64_t n = t && t->data && !t->is_input && t->type.dt == b->dt && !t->view ? tensor_elements(t) : 0;
    for (int64_t i = 0; i < n && n <= MOST; i++) {
        double v = dtype_get_f(b->dt, t->data, i);
        if (!isfinite(v)) return *l = (Limits){0};
        if (!i) *l = (Limits){true, v, v, false};
        l->lo = fmin(l->lo, v), l->hi = fmax(l->hi, v);
    }
    return *l;
}
static Limits bin_limits(Trim *x, const Expr *e) {
    Limits a = limits_of(x, e->u.a[0]), b = limits_of(x, e->u.a[1]);
    const Expr *m = e->u.a[0];
    if (!a.ok && e->op == BIN_MIN && b.ok && m->k == E_BIN && m->op == BIN_MAX) { /* of min(max(x, lo), hi), where x may be no number */
        Limits low = limits_of(x, m->u.a[1]);
        if (low.ok && low.hi <= b.lo) return (Limits){false, low.lo, b.hi, true};
    }
    if (!a.ok || !b.ok) return (Limits){0};
    switch (e->op) {
    case BIN_ADD: return rounded(e->t, false, a.lo + b.lo, a.hi + b.hi);
    case BIN_SUB: return rounded(e->t, false, a.lo - b.hi, a.hi - b.lo);
    case BIN_MUL: {
        double p = a.lo * b.lo, q = a.lo * b.hi, r = a.hi * b.lo, s = a.hi * b.hi;
        return rounded(e->t, true, fmin(fmin(p, q), fmin(r, s)), fmax(fmax(p, q), fmax(r, s)));
    }
    case BIN_MIN: return limits(fmin(a.lo, b.lo), fmin(a.hi, b.hi));
    case BIN_MAX: return limits(fmax(a.lo, b.lo), fmax(a.hi, b.hi));
    default: return (Limits){0};
    }
}
/* Of an expression whose operands are trimmed. */
static Limits own_limits(Trim *x, const Expr *e) {
    if (e->k == E_CAST && (e->to == DT_FLOAT32 || e->to == DT_FLOAT64)) {
        DType from = e->u.a[0]->t;
        if (dtype_is_int(from) && from != DT_UINT64) return rounded(e->to, false, (double)dtype_min(from), (double)dtype_max(from));
        if (from != DT_FLOAT32 && from != DT_FLOAT64) return (Limits){0};
        Limits l = limits_of(x, e->u.a[0]);
        return l.ok ? rounded(e->to, false, l.lo, l.hi) : l;
    }
    if (!dtype_is_float(e->t)) return (Limits){0};
    switch (e->k) {
    case E_FLT: return limits(e->u.f, e->u.f);
    case E_VAR: return x->var[e->u.v->id];
    case E_LOAD: return constant_limits(x, e->u.ld.buf);
    case E_BIN: return bin_limits(x, e);
    case E_CALL: {
        if (e->op != CALL_RINT && e->op != CALL_FLOOR && e->op != CALL_CEIL && e->op != CALL_TRUNC) return (Limits){0};
        Limits l = limits_of(x, e->u.arg[0]);
        double (*fn)(double) = e->op == CALL_RINT ? rint : e->op == CALL_FLOOR ? floor : e->op == CALL_CEIL ? ceil : trunc;
        return l.ok ? limits(fn(l.lo), fn(l.hi)) : l;
    }
    case E_SELECT: {
        Limits a = limits_of(x, e->u.a[1]), b = limits_of(x, e->u.a[2]);
        return a.ok && b.ok ? limits(fmin(a.lo, b.lo), fmax(a.hi, b.hi)) : (Limits){0};
    }
    default: return (Limits){0};
    }
}

/* An expression whose operands are trimmed. */
static Expr *trim_one(Trim *x, Expr *e) {
    if (e->k == E_BIN && (e->op == BIN_MIN || e->op == BIN_MAX) && dtype_is_float(e->t)) {
        Limits a = limits_of(x, e->u.a[0]), b = limits_of(x, e->u.a[1]);
        if (a.ok && b.ok && (e->op == BIN_MIN ? a.hi <= b.lo : a.lo >= b.hi)) return e->u.a[0];
    }
    if (e->k == E_CAST && dtype_is_int(e->to) && dtype_info[e->to].bits >= 8 && dtype_is_float(e->u.a[0]->t)) {
        Limits l = limits_of(x, e->u.a[0]);
        if ((!l.ok && !l.or_nan) || l.lo < (double)dtype_min(e->to) || l.hi > (double)dtype_max(e->to) || dtype_info[e->to].bits > 32)
            return e;
        Expr *marked = NEW(x->a, Expr);
        *marked = *e;
        marked->op = l.ok ? CAST_FITS : CAST_FITS_OR_NAN;
        return marked;
    }
    return e;
}
static Known *slot(Trim *x, const Expr *e) {
    for (size_t i = (uintptr_t)e / sizeof(void *) * 0x9E3779B97F4A7C15u >> 20;; i++) {
        Known *k = &x->known[i & (size_t)(x->cap - 1)];
        if (!k->from || k->gen != x->gen || k->from == e) return k;
    }
}
static void remember(Trim *x, const Expr *e, Expr *to, Limits l) {
    if (x->count * 2 >= x->cap) {
        Known *old = x->known;
        int n = x->cap;
        x->cap = n ? 2 * n : 256, x->known = NEW_ARRAY(x->a, Known, x->cap);
        for (int i = 0; i < n; i++)
            if (old[i].from && old[i].gen == x->gen) *slot(x, old[i].from) = old[i];
    }
    Known *k = slot(x, e);
    x->count += k->from == NULL || k->gen != x->gen;
    *k = (Known){e, x->gen, to, l};
}
/* A load without the places along axes of stride 0, which no subscript mentions: what they alone use is not used. */
static Expr *without_places(Trim *x, Expr *e) {
    const Buf *b = e->u.ld.buf;
    for (int d = 0; d < b->rank; d++) {
        if (b->stride[d] != 0 || !e_has_load(e->u.ld.idx[d])) continue;
        Expr *idx[QN_MAX_RANK];
        memcpy(idx, e->u.ld.idx, sizeof *idx * (size_t)b->rank);
        idx[d] = e_int(x->a, 0);
        e = e_load(x->a, e->u.ld.buf, idx);
    }
    return e;
}
static Known *trim(Trim *x, Expr *e) {
    if (x->cap && slot(x, e)->from == e && slot(x, e)->gen == x->gen) return slot(x, e);
    Expr *n = e;
    int count = e->k == E_UN || e->k == E_CAST ? 1 : e->k == E_BIN ? 2 : e->k == E_SELECT ? 3 : e->k == E_CALL ? e->narg : 0;
    for (int i = 0; i < count; i++) {
        Expr *old = e->k == E_CALL ? e->u.arg[i] : e->u.a[i], *to = trim(x, old)->to;
        if (to == old) continue;
        if (n == e) {
            n = NEW(x->a, Expr);
            *n = *e;
            if (e->k == E_CALL) n->u.arg = NEW_ARRAY(x->a, Expr *, e->narg), memcpy(n->u.arg, e->u.arg, sizeof *e->u.arg * (size_t)e->narg);
        }
        *(e->k == E_CALL ? &n->u.arg[i] : &n->u.a[i]) = to;
    }
    n = n->k == E_LOAD ? without_places(x, n) : trim_one(x, n);
    Limits l = own_limits(x, n);
    remember(x, n, n, l);
    remember(x, e, n, l);
    return slot(x, e);
}
static void trim_stmt(Trim *x, Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) trim_stmt(x, s->u.block.v[i]);
        break;
    case S_FOR: trim_stmt(x, s->u.loop.body); break;
    case S_IF:
        trim_stmt(x, s->u.cond.then);
        if (s->u.cond.other) trim_stmt(x, s->u.cond.other);
        break;
    case S_LET: {
        x->gen++, x->count = 0;
        const Known *k = trim(x, s->u.let.val);
        s->u.let.val = k->to, x->var[s->u.let.v->id] = k->l;
        break;
    }
    case S_STORE:
        x->gen++, x->count = 0;
        s->u.st.val = trim(x, s->u.st.val)->to;
        break;
    default: break;
    }
}
void emit_trim(Func *f) {
    Trim x = {.a = f->a, .var = NEW_ARRAY(f->a, Limits, f->nvar + 1), .buf = NEW_ARRAY(f->a, Limits, f->nbuf + 1)};
    x.seen = NEW_ARRAY(f->a, bool, f->nbuf + 1);
    trim_stmt(&x, f->body);
}
