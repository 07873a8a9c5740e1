/* SPDX-License-Identifier: Apache-2.0 */
/* emit_bound.c: the range of an integer expression, so that arithmetic which cannot overflow prints as plain C and the rest
 * through unsigned types. Ranges are of the value an expression has, that is after wrapping.
 *
 *   h in 0..55:  h * 56 + 3   --->   3 … 3083
 */
#include "internal.h"

Memo *memo_of(const Emit *E, const Expr *e) {
    MemoTable *m = E->memo;
    if (2 * (m->n + 1) > m->cap) {
        MemoTable old = *m;
        m->cap = old.cap ? 2 * old.cap : 256;
        m->v = NEW_ARRAY(E->a, Memo, m->cap);
        m->n = 0;
        for (int i = 0; i < old.cap; i++)
            if (old.v[i].e) *memo_of(E, old.v[i].e) = old.v[i];
    }
    size_t at = ((uintptr_t)e >> 4) * 0x9E3779B97F4A7C15u >> 20 & (size_t)(m->cap - 1);
    while (m->v[at].e && m->v[at].e != e) at = (at + 1) & (size_t)(m->cap - 1);
    if (!m->v[at].e) m->v[at] = (Memo){.e = e, .bound_gen = -1, .shape_gen = -1}, m->n++;
    return &m->v[at];
}

static Bound unknown(void) { return (Bound){0}; }
static Bound of_type(DType t) {
    if (t == DT_BOOL) return (Bound){true, 0, 1};
    if (!dtype_is_int(t) || dtype_info[t].bits > 32) return unknown();
    return (Bound){true, dtype_min(t), dtype_max(t)};
}
bool bound_in(Bound b, DType t) {
    if (!b.ok) return false;
    if (t == DT_INT64) return true;
    if (t == DT_UINT64) return b.lo >= 0;
    Bound r = of_type(t);
    return r.ok && b.lo >= r.lo && b.hi <= r.hi;
}
bool bound_32(Bound b) { return b.ok && b.lo >= INT32_MIN && b.hi <= INT32_MAX; }

static Bound corners(Bound a, Bound b, BinOp op) {
    int64_t v[4];
    for (int i = 0; i < 4; i++) {
        int64_t x = i & 1 ? a.hi : a.lo, y = i & 2 ? b.hi : b.lo;
        if (op == BIN_MUL ? !mul_ok(x, y, &v[i]) : (y == 0 || (y == -1 && x == INT64_MIN))) return unknown();
        if (op == BIN_DIV) v[i] = x / y;
    }
    Bound r = {true, v[0], v[0]};
    for (int i = 1; i < 4; i++) r.lo = min_i64(r.lo, v[i]), r.hi = max_i64(r.hi, v[i]);
    return r;
}
/* Of the exact result, before it wraps. */
static Bound arithmetic(BinOp op, Bound a, Bound b) {
    Bound r = {true, 0, 0};
    if (op >= BIN_LT && op <= BIN_LOR) return (Bound){true, 0, 1};
    if (!a.ok || !b.ok) {
        if (op == BIN_MOD && b.ok && b.lo > 0) return (Bound){true, 1 - b.hi, b.hi - 1};
        if (op == BIN_AND && b.ok && b.lo >= 0) return (Bound){true, 0, b.hi};
        if (op == BIN_AND && a.ok && a.lo >= 0) return (Bound){true, 0, a.hi};
        return unknown();
    }
    switch (op) {
    case BIN_ADD: return add_ok(a.lo, b.lo, &r.lo) && add_ok(a.hi, b.hi, &r.hi) ? r : unknown();
    case BIN_SUB: return !__builtin_sub_overflow(a.lo, b.hi, &r.lo) && !__builtin_sub_overflow(a.hi, b.lo, &r.hi) ? r : unknown();
    case BIN_MUL: return corners(a, b, op);
    case BIN_DIV: return b.lo > 0 || b.hi < -1 ? corners(a, b, op) : unknown();
    case BIN_MOD:
        if (b.lo <= 0) return unknown();
        return (Bound){true, a.lo >= 0 ? 0 : max_i64(a.lo, 1 - b.hi), a.hi <= 0 ? 0 : min_i64(a.hi, b.hi - 1)};
    case BIN_MIN: return (Bound){true, min_i64(a.lo, b.lo), min_i64(a.hi, b.hi)};
    case BIN_MAX: return (Bound){true, max_i64(a.lo, b.lo), max_i64(a.hi, b.hi)};
    case BIN_AND: return a.lo >= 0 && b.lo >= 0 ? (Bound){true, 0, min_i64(a.hi, b.hi)} : unknown();
    case BIN_SHR: return a.lo >= 0 && b.lo == b.hi && b.lo >= 0 && b.lo < 32 ? (Bound){true, a.lo >> b.lo, a.hi >> b.lo} : unknown();
    default: return unknown();
    }
}
Bound e_bound_exact(const Emit *E, const Expr *e) {
    if (e->k == E_BIN) return arithmetic((BinOp)e->op, e_bound(E, e->u.a[0]), e_bound(E, e->u.a[1]));
    if (e->k == E_UN) return arithmetic(BIN_SUB, (Bound){true, 0, 0}, e_bound(E, e->u.a[0]));
    return e_bound(E, e);
}
static Bound node_bound(const Emit *E, const Expr *e) {
    Bound r = unknown(), x;
    switch (e->k) {
    case E_BIN: r = e_bound_exact(E, e); break;
    case E_UN:
        x = e_bound(E, e->u.a[0]);
        if (e->op == UN_NEG) r = e_bound_exact(E, e);
        if (e->op == UN_NOT) r = (Bound){true, 0, 1};
        if (e->op == UN_ABS && x.ok && x.lo > INT64_MIN) r = (Bound){true, x.lo >= 0 ? x.lo : x.hi <= 0 ? -x.hi : 0, max_i64(x.hi, -x.lo)};
        break;
    case E_SELECT: {
        Bound y = e_bound(E, e->u.a[2]);
        x = e_bound(E, e->u.a[1]);
        if (x.ok && y.ok) r = (Bound){true, min_i64(x.lo, y.lo), max_i64(x.hi, y.hi)};
        break;
    }
    case E_CAST:
        if (dtype_is_int(e->u.a[0]->t) || e->u.a[0]->t == DT_BOOL) r = e_bound(E, e->u.a[0]);
        if (e->to == DT_BOOL) r = (Bound){true, 0, 1};
        if (dtype_packed(e->to)) r = of_type(e->to);
        break;
    case E_LOAD: r = of_type(e->u.ld.buf->dt); break;
    default: break;
    }
    return bound_in(r, e->t) ? r : of_type(e->t);
}
Bound e_bound(const Emit *E, const Expr *e) {
    if (e->k == E_INT) return e->t == DT_UINT64 && e->u.i < 0 ? unknown() : (Bound){true, e->u.i, e->u.i};
    if (!dtype_is_int(e->t) && e->t != DT_BOOL) return unknown();
    if (e->k == E_VAR) {
        const VarInfo *v = &E->var[e->u.v->id];
        return v->b.ok ? v->b : of_type(e->t);
    }
    Memo *m = memo_of(E, e);
    if (m->bound_gen == E->memo->bound_gen) return m->b;
    Bound b = node_bound(E, e);
    m = memo_of(E, e); /* the table may have grown */
    m->b = b, m->bound_gen = E->memo->bound_gen;
    return b;
}
