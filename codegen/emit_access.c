/* SPDX-License-Identifier: Apache-2.0 */
/* emit_access.c: elements of buffers as C: names of those that live in registers, subscripts, loads and stores of scalars.
 *
 *   x[i, j, 3] of a float32[8, 56, 64] parameter   --->   x[(i * 56 + j) * 64 + 3]        acc[2] of registers   --->   acc2
 */
#include "internal.h"

/* ---- registers */
int64_t reg_element(const Emit *E, const Buf *b, Expr *const *idx) {
    const BufInfo *i = &E->buf[b->id];
    int64_t at = 0, c;
    for (int d = 0; d < b->rank; d++) {
        bool last = d == b->rank - 1;
        if (e_is_int(idx[d], &c)) {
            at += c * b->stride[d];
            continue;
        }
        if (!last || i->kind != REG_VECTORS) return -1;
        if (E->vec && expr_uses(idx[d], E->vec)) {
            if (!e_is_int(e_subst(E->a, idx[d], E->vec, e_int(E->a, E->vec_lo)), &c)) return -1;
            at += c;
        } /* else the lane is chosen at run time; the vector is the one of lane 0 */
    }
    return i->kind == REG_VECTORS && b->rank ? at / i->lanes : at;
}
void put_reg_name(const Emit *E, Text *t, const Buf *b, int64_t element) {
    const BufInfo *i = &E->buf[b->id];
    text_puts(t, i->name);
    if (b->rank == 0) return;
    int64_t part[QN_MAX_RANK];
    int n = b->rank;
    if (i->kind == REG_VECTORS) {
        int64_t groups = b->dim[b->rank - 1] / i->lanes;
        part[n - 1] = element % groups;
        element /= groups;
        for (int d = n - 2; d >= 0; d--) part[d] = element % b->dim[d], element /= b->dim[d];
        if (groups == 1) n--;
    } else
        for (int d = n - 1; d >= 0; d--) part[d] = element % b->dim[d], element /= b->dim[d];
    bool any = false;
    for (int d = 0; d < n; d++) {
        if (b->dim[d] == 1 && !(d == b->rank - 1 && i->kind == REG_VECTORS)) continue;
        text_printf(t, any ? "_%lld" : "%lld", (long long)part[d]);
        any = true;
    }
}
static Expr *times(Arena *a, Expr *e, int64_t k) { /* (x * c) * k is x * (c*k) */
    int64_t c;
    if (e->k == E_BIN && e->op == BIN_MUL && e_is_int(e->u.a[1], &c) && mul_ok(c, k, &c)) return e_mul(a, e->u.a[0], e_int(a, c));
    return e_mul(a, e, e_int(a, k));
}
static Expr *without_constant(Arena *a, Expr *e, int64_t *c) {
    int64_t v;
    if (e_is_int(e, &v)) {
        *c += v;
        return e_int(a, 0);
    }
    if (e->k != E_BIN || e->op != BIN_ADD) return e;
    return e_add(a, without_constant(a, e->u.a[0], c), without_constant(a, e->u.a[1], c));
}
/* Horner's form where the strides allow: (i * 56 + j) * 64 + k; constant indices are one number at the end. */
Expr *flat_index(Emit *E, const Buf *b, Expr *const *idx) {
    Arena *a = E->a;
    Expr *sum = NULL, *acc = NULL;
    bool skip = E->no_offset && (b->space == MEM_PARAM || b->space == MEM_SCRATCH) && !dtype_packed(b->dt);
    int64_t cur = 0, c, tail = skip ? 0 : b->offset;
    for (int d = 0; d < b->rank; d++) {
        Expr *e = idx[d];
        int64_t s = b->stride[d];
        if (s == 0) continue;
        if (e_is_int(e, &c)) {
            tail += c * s;
            continue;
        }
        if (E->style.vectors) { /* unrolled rows differ by a number only */
            c = 0;
            e = without_constant(a, e, &c);
            tail += c * s;
            if (e_is_int(e, &c)) continue;
        }
        if (acc && s > 0 && cur >= s && cur % s == 0) acc = e_add(a, times(a, acc, cur / s), e);
        else {
            if (acc) acc = times(a, acc, cur), sum = sum ? e_add(a, sum, acc) : acc;
            acc = e;
        }
        cur = s;
    }
    if (acc) acc = times(a, acc, cur), sum = sum ? e_add(a, sum, acc) : acc;
    return sum ? e_add(a, sum, e_int(a, tail)) : e_int(a, tail);
}
void put_index(Emit *E, Text *t, const Expr *e, int prec) {
    E->in_index++;
    put_expr(E, t, e, prec);
    E->in_index--;
}
void put_access(Emit *E, Text *t, const Buf *b, Expr *const *idx) {
    const BufInfo *i = &E->buf[b->id];
    if (i->kind == REG_MEMORY) {
        bool half = b->dt == DT_HALF && E->half;
        E->halves[1] |= half;
        text_printf(t, half ? "*(qn_half_u *)&%s[" : "%s[", i->name);
        put_index(E, t, flat_index(E, b, idx), P_TOP);
        text_puts(t, "]");
        return;
    }
    put_reg_name(E, t, b, reg_element(E, b, idx));
    int64_t c;
    if (i->kind != REG_VECTORS || b->rank == 0) return;
    const Expr *last = idx[b->rank - 1];
    if (E->vec && expr_uses(last, E->vec)) return;
    text_puts(t, "[");
    if (e_is_int(last, &c)) text_printf(t, "%d", (int)(c % i->lanes));
    else put_index(E, t, last, P_TOP);
    text_puts(t, "]");
}
void put_load(Emit *E, Text *t, const Buf *b, Expr *const *idx, int prec) {
    bool reg = E->buf[b->id].kind != REG_MEMORY;
    if (dtype_packed(b->dt)) {
        Storage s = storage_of(b->dt);
        need(E, s.load);
        text_printf(t, "%s(%s", s.load_name, reg ? "&" : "");
        if (reg) put_reg_name(E, t, b, 0);
        else text_puts(t, E->buf[b->id].name);
        text_puts(t, ", ");
        put_index(E, t, flat_index(E, b, idx), P_TOP);
        text_puts(t, ")");
    } else if (stored_otherwise(E, b->dt) && !(b->dt == DT_HALF && reg)) {
        Storage s = storage_of(b->dt);
        need(E, s.load);
        text_printf(t, "%s(", s.load_name);
        put_access(E, t, b, idx);
        text_puts(t, ")");
    } else if (b->dt == DT_HALF && !reg) {
        bool p = par(t, prec, P_UNARY);
        E->halves[1] = true;
        text_printf(t, "*(const qn_half_u *)&%s[", E->buf[b->id].name);
        put_index(E, t, flat_index(E, b, idx), P_TOP);
        text_puts(t, "]");
        unpar(t, p);
    } else put_access(E, t, b, idx);
}

/* ---- stores */
bool red_bin(RedOp r, BinOp *op) {
    static const BinOp of[] = {[RED_ADD] = BIN_ADD, [RED_MUL] = BIN_MUL, [RED_MIN] = BIN_MIN, [RED_MAX] = BIN_MAX,
                               [RED_AND] = BIN_AND, [RED_OR] = BIN_OR,   [RED_XOR] = BIN_XOR};
    *op = of[r];
    return r != RED_NONE;
}
/* Where C's compound assignment means the same. */
static bool compound(const Emit *E, DType t, RedOp red) {
    if (dtype_compute(t) != t || stored_otherwise(E, t)) return false;
    if (dtype_is_float(t)) return red == RED_ADD || red == RED_MUL;
    if (t == DT_UINT32 || t == DT_UINT64) return red != RED_MIN && red != RED_MAX;
    return red == RED_AND || red == RED_OR || red == RED_XOR;
}
void put_store(Emit *E, Text *t, const Buf *b, Expr *const *idx, const Expr *val, RedOp red, bool declare) {
    BinOp op;
    if (red_bin(red, &op) && !compound(E, b->dt, red)) {
        val = e_bin(E->a, op, e_load(E->a, (Buf *)b, idx), (Expr *)val);
        red = RED_NONE;
    }
    if (val->k == E_CAST && val->to == b->dt && converted(b->dt) && val->u.a[0]->t == val->t && !shared_name(E, val)) val = val->u.a[0];
    if (dtype_packed(b->dt)) {
        Storage s = storage_of(b->dt);
        need(E, s.store);
        bool reg = E->buf[b->id].kind != REG_MEMORY;
        text_printf(t, "%s(%s%s, ", s.store_name, reg ? "&" : "", E->buf[b->id].name);
        put_index(E, t, flat_index(E, b, idx), P_TOP);
        text_puts(t, ", ");
        put_expr(E, t, val, P_TOP);
        text_puts(t, ");");
        return;
    }
    if (declare) text_printf(t, "%s ", c_type(E, b->dt));
    put_access(E, t, b, idx);
    text_printf(t, " %s= ", red ? c_operator(op) : "");
    if (stored_otherwise(E, b->dt) && !(b->dt == DT_HALF && E->buf[b->id].kind != REG_MEMORY)) {
        Storage s = storage_of(b->dt);
        need(E, s.store);
        text_printf(t, "%s(", s.store_name);
        put_expr(E, t, val, P_TOP);
        text_puts(t, ");");
        return;
    }
    put_expr(E, t, val, P_TOP);
    text_puts(t, ";");
}
