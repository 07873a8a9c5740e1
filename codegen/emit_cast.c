/* SPDX-License-Identifier: Apache-2.0 */
/* emit_cast.c: conversions of scalars: between the types of values, and to and from types that memory holds in another form.
 *
 *   cast(x, int8)   --->   qn_to_i8(x), or (int8_t)x where the value is known to fit      cast(x, float16)   --->
 * qn_f16_load(qn_f16_store(x))
 */
#include "internal.h"

Storage storage_of(DType t) {
    switch (t == DT_HALF ? DT_FLOAT16 : t) {
#define STORAGE(e, load, store)                                                                                                            \
    case DT_##e:                                                                                                                           \
        return (Storage){HELP_##e##_LOAD, HELP_##e##_STORE, load, store};
#include "storage.def"
#undef STORAGE
    default: BUG("type %s has no storage helpers", dtype_name(t));
    }
}
bool converted(DType t) { return dtype_compute(t) != t && !dtype_packed(t); }
bool stored_otherwise(const Emit *E, DType t) { return t == DT_HALF ? !E->half : converted(t); }

static void put_to_integer(Emit *E, Text *t, DType to, const Expr *x, int prec) {
    static const char *const name[] = {"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"};
    static const DType type[] = {DT_INT8, DT_UINT8, DT_INT16, DT_UINT16, DT_INT32, DT_UINT32, DT_INT64, DT_UINT64};
    if (dtype_packed(to)) {
        need(E, HELP_TO_RANGE);
        bool p = par(t, prec, P_UNARY);
        text_printf(t, "(%s)qn_to_range(", c_type(E, dtype_compute(to)));
        put_expr(E, t, x, P_TOP);
        text_printf(t, ", %d, %d)", (int)dtype_min(to), (int)dtype_max(to));
        unpar(t, p);
        return;
    }
    for (int i = 0; i < 8; i++)
        if (type[i] == to) {
            need(E, (Helper)(HELP_TO_I8 + i));
            text_printf(t, "qn_to_%s(", name[i]);
            put_expr(E, t, x, P_TOP);
            text_puts(t, ")");
            return;
        }
    BUG("a cast to %s reached the C printer", dtype_name(to));
}
static void put_cast_int(Emit *E, Text *t, const Expr *e, int prec) {
    const Expr *x = e->u.a[0];
    DType to = e->to;
    if (dtype_packed(to)) {
        bool is_signed = dtype_info[to].cls == CLS_SINT;
        int bits = dtype_info[to].bits, mask = (1 << bits) - 1;
        bool say = is_signed || !int_like(E, x), p = par(t, prec, say ? P_UNARY : P_AND);
        if (say) text_puts(t, is_signed ? "(int8_t)(((" : "(uint8_t)(");
        put_expr(E, t, x, P_UNARY);
        text_printf(t, " & %d", mask);
        if (is_signed) text_printf(t, ") ^ %d) - %d", 1 << (bits - 1), 1 << (bits - 1));
        if (say) text_puts(t, ")");
        unpar(t, p);
        return;
    }
    bool plain = int_like(E, x) && bound_in(e_bound(E, x), to) && to != DT_UINT32 && to != DT_UINT64;
    if (to == DT_INT64 && int_like(E, x)) plain = true; /* stays an int; is_wide knows */
    if (plain) {
        put_expr(E, t, x, prec);
        return;
    }
    bool p = par(t, prec, P_UNARY);
    text_printf(t, "(%s)", c_type(E, to));
    put_expr(E, t, x, P_UNARY);
    unpar(t, p);
}
void put_cast(Emit *E, Text *t, const Expr *e, int prec) {
    const Expr *x = e->u.a[0];
    DType to = e->to;
    if (to == DT_BOOL) {
        bool p = par(t, prec, P_EQ);
        put_expr(E, t, x, P_REL);
        text_puts(t, x->t == DT_FLOAT32 || x->t == DT_HALF ? " != 0.0f" : x->t == DT_FLOAT64 ? " != 0.0" : " != 0");
        unpar(t, p);
    } else if (converted(to) || to == DT_FLOAT4E2M1) {
        Storage s = converted(to) ? storage_of(to) : (Storage){HELP_F4_TO_F32, HELP_F32_TO_F4, "qn_f4e2m1_to_f32", "qn_f32_to_f4e2m1"};
        need(E, s.load), need(E, s.store);
        text_printf(t, "%s(%s(", s.load_name, s.store_name);
        if (x->t != DT_FLOAT32) text_puts(t, "(float)");
        put_expr(E, t, x, x->t != DT_FLOAT32 ? P_UNARY : P_TOP);
        text_puts(t, "))");
    } else if (dtype_is_float(to)) {
        bool p = par(t, prec, P_UNARY);
        text_printf(t, "(%s)", c_type(E, to));
        put_expr(E, t, x, P_UNARY);
        unpar(t, p);
    } else if (dtype_is_float(x->t) && e->op == CAST_FITS) {
        bool p = par(t, prec, P_UNARY);
        text_printf(t, "(%s)", c_type(E, to));
        put_expr(E, t, x, P_UNARY);
        unpar(t, p);
    } else if (dtype_is_float(x->t)) put_to_integer(E, t, to, x, prec);
    else put_cast_int(E, t, e, prec);
}
