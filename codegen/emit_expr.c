/* SPDX-License-Identifier: Apache-2.0 */
/* emit_expr.c: scalar expressions as C. Parentheses only where C (or a compiler's warning) wants them; arithmetic whose range
 * is known to fit is plain, other integer arithmetic wraps through an unsigned type.
 *
 *   (h*2 + kh - 1)   --->  h * 2 + kh - 1            acc + x (int32)   --->   (int32_t)((uint32_t)acc + (uint32_t)x)
 */
#include "internal.h"
#include "ir/dot.h"
#include <math.h>
#include <string.h>

const char *c_type(Emit *E, DType t) {
    if (t == DT_HALF) {
        E->halves[0] |= E->half;
        return E->half ? "qn_half" : "float";
    }
    if (t == DT_STRING || dtype_info[t].cls == CLS_CPLX) BUG("an expression of type %s reached the C printer", dtype_name(t));
    return dtype_info[t].ctype;
}
static void need(Emit *E, Helper h) { helper_add(E->helpers, h); }
static bool is_int_type(DType t) { return dtype_is_int(t) || t == DT_BOOL; }
/* The type whose helper serves t: 32 or 64 bits. */
static int helper_kind(Emit *E, DType t, bool wide) {
    (void)E;
    switch (t) {
    case DT_HALF: /* it fits */
    case DT_FLOAT32: return 0;
    case DT_FLOAT64: return 1;
    case DT_INT64: return wide ? 4 : 2;
    case DT_UINT64: return 5;
    case DT_UINT32: return 3;
    default: return 2;
    }
}

/* ---- literals */
static void put_float(Emit *E, Text *t, double x, DType type, int prec) {
    if (type == DT_HALF && E->half) {
        text_printf(t, "%s(%s)", prec > P_UNARY ? "(" : "", c_type(E, type));
        put_float(E, t, x, DT_FLOAT32, P_UNARY + 1);
        if (prec > P_UNARY) text_puts(t, ")");
        return;
    }
    if (type == DT_HALF) type = DT_FLOAT32;
    bool paren = prec > P_UNARY && signbit(x) && x == x;
    if (paren) text_puts(t, "(");
    if (isnan(x)) E->math = true, text_puts(t, "NAN");
    else if (isinf(x)) E->math = true, text_puts(t, x < 0 ? "-INFINITY" : "INFINITY");
    else {
        text_float(t, x, type == DT_FLOAT32 ? 32 : 64);
        if (type == DT_FLOAT32) text_puts(t, "f");
    }
    if (paren) text_puts(t, ")");
}
static void put_int(Text *t, DType type, int64_t v, int prec) {
    bool neg = v < 0 && type != DT_UINT64;
    if (neg && prec > P_UNARY) text_puts(t, "(");
    if (type == DT_UINT64 || type == DT_UINT32) {
        uint64_t u = (uint64_t)v;
        text_printf(t, type == DT_UINT32 ? "%lluu" : "UINT64_C(%llu)", (unsigned long long)u);
    } else if (v == INT64_MIN) text_puts(t, "INT64_MIN");
    else if (v == INT32_MIN) text_puts(t, "INT32_MIN");
    else
        text_printf(t,
                    v >= INT32_MIN && v <= INT32_MAX ? "%lld"
                    : v < 0                          ? "-INT64_C(%lld)"
                                                     : "INT64_C(%lld)",
                    (long long)(v < INT32_MIN ? -v : v));
    if (neg && prec > P_UNARY) text_puts(t, ")");
}
void put_literal(Emit *E, Text *t, const Expr *e, int prec) {
    if (e->k == E_FLT) put_float(E, t, e->u.f, e->t, prec);
    else put_int(t, e->t, e->u.i, prec);
}

/* ---- width in C of int64 expressions */
bool is_wide(const Emit *E, const Expr *e) {
    if (e->t != DT_INT64) return e->t == DT_UINT64;
    switch (e->k) {
    case E_INT: return e->u.i < INT32_MIN || e->u.i > INT32_MAX;
    case E_VAR: return E->var[e->u.v->id].wide == 64;
    case E_LOAD:
    case E_FLT:
    case E_CALL: return true;
    case E_SELECT: return is_wide(E, e->u.a[1]) || is_wide(E, e->u.a[2]);
    case E_CAST: {
        DType from = e->u.a[0]->t;
        return !is_int_type(from) || from == DT_UINT32 || from == DT_UINT64;
    }
    case E_UN: return e->op == UN_NOT ? false : is_wide(E, e->u.a[0]) || (e->op != UN_INV && !bound_32(e_bound_exact(E, e)));
    case E_BIN:
        if (e->op == BIN_SHL || (e->op == BIN_SHR && (e->u.a[1]->k != E_INT || (uint64_t)e->u.a[1]->u.i > 63))) return true;
        if (e->op >= BIN_AND && e->op <= BIN_SHR) return is_wide(E, e->u.a[0]) || (e->op < BIN_SHL && is_wide(E, e->u.a[1]));
        if (!bound_32(e_bound_exact(E, e))) return true;
        return is_wide(E, e->u.a[0]) || is_wide(E, e->u.a[1]);
    }
    return true;
}

static bool par(Text *t, int prec, int mine) {
    if (prec > mine) text_puts(t, "(");
    return prec > mine;
}
static void unpar(Text *t, bool p) {
    if (p) text_puts(t, ")");
}

/* ---- integer arithmetic */
static const char *const bin_text[] = {
    [BIN_ADD] = "+", [BIN_SUB] = "-", [BIN_MUL] = "*",   [BIN_DIV] = "/",  [BIN_MOD] = "%", [BIN_AND] = "&",
    [BIN_OR] = "|",  [BIN_XOR] = "^", [BIN_SHL] = "<<",  [BIN_SHR] = ">>", [BIN_LT] = "<",  [BIN_LE] = "<=",
    [BIN_EQ] = "==", [BIN_NE] = "!=", [BIN_LAND] = "&&", [BIN_LOR] = "||"};
static const int8_t bin_prec[] = {
    [BIN_ADD] = P_ADD, [BIN_SUB] = P_ADD, [BIN_MUL] = P_MUL,   [BIN_DIV] = P_MUL,   [BIN_MOD] = P_MUL, [BIN_AND] = P_AND,
    [BIN_OR] = P_OR,   [BIN_XOR] = P_XOR, [BIN_SHL] = P_SHIFT, [BIN_SHR] = P_SHIFT, [BIN_LT] = P_REL,  [BIN_LE] = P_REL,
    [BIN_EQ] = P_EQ,   [BIN_NE] = P_EQ,   [BIN_LAND] = P_LAND, [BIN_LOR] = P_LOR};
static bool wraps_op(const Expr *e) {
    return (e->k == E_BIN && (e->op == BIN_ADD || e->op == BIN_SUB || e->op == BIN_MUL)) || (e->k == E_UN && e->op == UN_NEG);
}
static bool fits_exactly(const Emit *E, const Expr *e) {
    Bound b = e_bound_exact(E, e);
    return bound_in(b, e->t);
}
/* e modulo 2^bits as an unsigned value. */
static void put_unsigned(Emit *E, Text *t, const Expr *e, DType type, int bits, int prec) {
    const char *u = bits == 64 ? "(uint64_t)" : "(uint32_t)";
    if (e->k == E_INT) {
        bool wide = bits == 64 && (e->u.i < 0 || e->u.i > UINT32_MAX); /* the other side is wide if this one need not be */
        put_int(t, wide ? DT_UINT64 : DT_UINT32, bits == 64 ? e->u.i : (int64_t)(uint32_t)e->u.i, prec);
        return;
    }
    if (!shared_name(E, e) && e->t == type && wraps_op(e) && dtype_info[type].bits >= 32 && !fits_exactly(E, e)) {
        if (e->k == E_UN) {
            bool p = par(t, prec, P_ADD);
            text_puts(t, "0u - ");
            put_unsigned(E, t, e->u.a[0], type, bits, P_MUL);
            unpar(t, p);
            return;
        }
        int mine = bin_prec[e->op];
        bool p = par(t, prec, mine);
        put_unsigned(E, t, e->u.a[0], type, bits, mine);
        text_printf(t, " %s ", bin_text[e->op]);
        put_unsigned(E, t, e->u.a[1], type, bits, mine + 1);
        unpar(t, p);
        return;
    }
    bool already = (bits == 64 && e->t == DT_UINT64) || (bits == 32 && e->t == DT_UINT32);
    if (already) {
        put_expr(E, t, e, prec);
        return;
    }
    bool p = par(t, prec, P_UNARY);
    text_puts(t, u);
    put_expr(E, t, e, P_UNARY);
    unpar(t, p);
}
static void put_wrapped(Emit *E, Text *t, const Expr *e, int prec) {
    int bits = dtype_info[e->t].bits;
    if (e->t == DT_UINT32 || e->t == DT_UINT64) {
        put_unsigned(E, t, e, e->t, bits, prec);
        return;
    }
    bool p = par(t, prec, P_UNARY);
    text_printf(t, "(%s)(", c_type(E, e->t));
    if (bits >= 32) put_unsigned(E, t, e, e->t, bits, P_TOP);
    else if (e->k == E_UN) {
        text_puts(t, "-");
        put_expr(E, t, e->u.a[0], P_UNARY);
    } else if (e->t == DT_UINT16 && e->op == BIN_MUL) { /* 65535 * 65535 does not fit int */
        text_puts(t, "(uint32_t)");
        put_expr(E, t, e->u.a[0], P_UNARY);
        text_puts(t, " * ");
        put_expr(E, t, e->u.a[1], P_UNARY);
    } else {
        int mine = bin_prec[e->op];
        put_expr(E, t, e->u.a[0], mine);
        text_printf(t, " %s ", bin_text[e->op]);
        put_expr(E, t, e->u.a[1], mine + 1);
    }
    text_puts(t, ")");
    unpar(t, p);
}
/* a + -3 reads a - 3 */
static bool negative_literal(const Expr *e) {
    if (e->t == DT_HALF) return false;
    if (e->k == E_INT) return e->u.i < 0 && e->u.i > INT32_MIN && e->t != DT_UINT64;
    return e->k == E_FLT && e->u.f < 0 && !isinf(e->u.f);
}
static void put_negated_literal(Emit *E, Text *t, const Expr *e) {
    if (e->k == E_INT) put_int(t, e->t, -e->u.i, P_MUL);
    else put_float(E, t, -e->u.f, e->t, P_MUL);
}
static bool small(const Emit *E, const Expr *e) { /* sums of a few such never overflow, whatever their order */
    Bound b = e_bound(E, e);
    if (e->k == E_BIN && (e->op == BIN_ADD || e->op == BIN_SUB) && (!small(E, e->u.a[0]) || !small(E, e->u.a[1]))) return false;
    return b.ok && b.lo > -(1 << 28) && b.hi < 1 << 28;
}
static void put_infix(Emit *E, Text *t, const Expr *e, int prec) {
    const Expr *x = e->u.a[0], *y = e->u.a[1];
    int mine = bin_prec[e->op], left = mine, right = mine + 1;
    if (e->op >= BIN_AND && e->op <= BIN_NE)
        left = right = e->op <= BIN_XOR ? P_MUL : P_ADD; /* readers and -Wparentheses want these clear */
    if (e->op == BIN_LAND || e->op == BIN_LOR) left = right = P_OR;
    if ((e->op == BIN_LAND && x->k == E_BIN && x->op == BIN_LAND) || (e->op == BIN_LOR && x->k == E_BIN && x->op == BIN_LOR)) left = mine;
    if (e->op == BIN_ADD && x->k == E_BIN && x->op == BIN_ADD) left = mine;
    if (e->op == BIN_ADD && y->k == E_BIN && (y->op == BIN_ADD || y->op == BIN_SUB) && is_int_type(e->t) && small(E, x) && small(E, y))
        right = mine;
    bool p = par(t, prec, mine);
    if (e->t == DT_INT64 && e->op <= BIN_MOD && !is_wide(E, x) && !is_wide(E, y) && is_wide(E, e)) {
        text_puts(t, "(int64_t)");
        left = P_UNARY;
    }
    put_expr(E, t, x, left);
    bool sum = e->op == BIN_ADD || e->op == BIN_SUB;
    if (sum && negative_literal(y)) {
        text_puts(t, e->op == BIN_ADD ? " - " : " + ");
        put_negated_literal(E, t, y);
    } else {
        text_printf(t, " %s ", bin_text[e->op]);
        put_expr(E, t, y, right);
    }
    unpar(t, p);
}

static void put_call2(Emit *E, Text *t, Helper h, const char *name, const Expr *x, const Expr *y) {
    need(E, h);
    text_printf(t, "%s(", name);
    put_expr(E, t, x, P_TOP);
    text_puts(t, ", ");
    put_expr(E, t, y, P_TOP);
    text_puts(t, ")");
}
static bool is_atom(const Emit *E, const Expr *e) {
    if (e->k == E_INT || e->k == E_FLT || e->k == E_VAR || shared_name(E, e)) return true;
    return e->k == E_LOAD && E->buf[e->u.ld.buf->id].kind == REG_SCALARS && dtype_compute(e->u.ld.buf->dt) == e->u.ld.buf->dt;
}
static const char *const min_name[] = {"qn_min_f32", "qn_min_f64", "qn_min_i32", "qn_min_u32", "qn_min_i64", "qn_min_u64"};
static const char *const max_name[] = {"qn_max_f32", "qn_max_f64", "qn_max_i32", "qn_max_u32", "qn_max_i64", "qn_max_u64"};
static void put_min_max(Emit *E, Text *t, const Expr *e, int prec) {
    const Expr *x = e->u.a[0], *y = e->u.a[1];
    if (is_atom(E, x) && is_atom(E, y)) {
        bool p = par(t, prec, P_COND);
        put_expr(E, t, e->op == BIN_MIN ? y : x, P_SHIFT + 1);
        text_puts(t, " < ");
        put_expr(E, t, e->op == BIN_MIN ? x : y, P_SHIFT + 1);
        text_puts(t, " ? ");
        put_expr(E, t, y, P_COND + 1);
        text_puts(t, " : ");
        put_expr(E, t, x, P_COND + 1);
        unpar(t, p);
        return;
    }
    int k = helper_kind(E, e->t, is_wide(E, e));
    bool back = e->t == DT_HALF && E->half, p = back && par(t, prec, P_UNARY);
    if (back) text_printf(t, "(%s)", c_type(E, e->t));
    put_call2(E, t, (Helper)((e->op == BIN_MIN ? HELP_MIN_F32 : HELP_MAX_F32) + k), (e->op == BIN_MIN ? min_name : max_name)[k], x, y);
    unpar(t, p);
}
/* Division and remainder are defined for every operand: a helper unless the divisor is a harmless literal. */
static void put_division(Emit *E, Text *t, const Expr *e, int prec) {
    static const char *const div_name[] = {"qn_div_i32", "qn_div_u32", "qn_div_i64", "qn_div_u64"};
    static const char *const mod_name[] = {"qn_mod_i32", "qn_mod_u32", "qn_mod_i64", "qn_mod_u64"};
    Bound d = e_bound(E, e->u.a[1]);
    bool lit = e->u.a[1]->k == E_INT && e->u.a[1]->u.i != 0 && (e->u.a[1]->u.i != -1 || e->t == DT_UINT64);
    if (lit || (d.ok && (d.lo > 0 || d.hi < -1))) {
        put_infix(E, t, e, prec);
        return;
    }
    int k = helper_kind(E, e->t, is_wide(E, e)) - 2, bits = dtype_info[e->t].bits;
    bool p = bits < 32 && par(t, prec, P_UNARY);
    if (bits < 32) text_printf(t, "(%s)", c_type(E, e->t));
    put_call2(E, t, (Helper)((e->op == BIN_DIV ? HELP_DIV_I32 : HELP_MOD_I32) + k), (e->op == BIN_DIV ? div_name : mod_name)[k], e->u.a[0],
              e->u.a[1]);
    unpar(t, p);
}
static void put_shift(Emit *E, Text *t, const Expr *e, int prec) {
    int bits = dtype_info[e->t].bits;
    bool is_signed = dtype_info[e->t].cls == CLS_SINT, left = e->op == BIN_SHL, wide = bits == 64;
    int64_t n;
    bool known = e_is_int(e->u.a[1], &n) && n >= 0 && n < bits;
    if (known && !left && e->t == DT_INT64 && !is_wide(E, e)) n = min_i64(n, 31); /* of an int in C */
    bool cast = left ? is_signed || bits < 32 : !known && !is_signed && bits < 32, p = cast && par(t, prec, P_UNARY);
    if (cast) text_printf(t, "(%s)%s", c_type(E, e->t), known ? "(" : "");
    if (known) {
        bool q = !cast && par(t, prec, P_SHIFT);
        if (left && is_signed) put_unsigned(E, t, e->u.a[0], DT_NONE, wide ? 64 : 32, P_UNARY);
        else put_expr(E, t, e->u.a[0], P_MUL);
        text_printf(t, " %s %d", left ? "<<" : ">>", (int)n);
        unpar(t, q);
        if (cast) text_puts(t, ")");
    } else {
        Helper h = left        ? (wide ? HELP_SHL_U64 : HELP_SHL_U32)
                   : is_signed ? (wide ? HELP_SHR_I64 : HELP_SHR_I32)
                               : (wide ? HELP_SHR_U64 : HELP_SHR_U32);
        need(E, h);
        text_printf(t, "qn_%s_%c%d(", left ? "shl" : "shr", left || !is_signed ? 'u' : 'i', wide ? 64 : 32);
        if (left && is_signed) put_unsigned(E, t, e->u.a[0], DT_NONE, wide ? 64 : 32, P_TOP);
        else put_expr(E, t, e->u.a[0], P_TOP);
        text_puts(t, ", (uint64_t)");
        put_expr(E, t, e->u.a[1], P_UNARY);
        text_puts(t, ")");
    }
    unpar(t, p);
}
static void put_bin(Emit *E, Text *t, const Expr *e, int prec) {
    DType t0 = e->u.a[0]->t;
    if (dtype_is_float(t0)) {
        if (e->op == BIN_MIN || e->op == BIN_MAX) put_min_max(E, t, e, prec);
        else if (e->op == BIN_MOD) {
            E->math = true;
            text_puts(t, t0 == DT_FLOAT64 ? "fmod(" : "fmodf(");
            put_expr(E, t, e->u.a[0], P_TOP);
            text_puts(t, ", ");
            put_expr(E, t, e->u.a[1], P_TOP);
            text_puts(t, ")");
        } else put_infix(E, t, e, prec);
        return;
    }
    switch (e->op) {
    case BIN_ADD:
    case BIN_SUB:
    case BIN_MUL:
        if (fits_exactly(E, e) || (E->in_index && e->t == DT_INT64 && !e_bound_exact(E, e).ok)) put_infix(E, t, e, prec);
        else put_wrapped(E, t, e, prec);
        break;
    case BIN_MIN:
    case BIN_MAX: put_min_max(E, t, e, prec); break;
    case BIN_DIV:
    case BIN_MOD: put_division(E, t, e, prec); break;
    case BIN_SHL:
    case BIN_SHR: put_shift(E, t, e, prec); break;
    case BIN_AND:
    case BIN_OR: {
        Expr logical = *e; /* compilers distrust (a < b) & (c < d); loads stay free of branches */
        bool values = (e->u.a[0]->k == E_LOAD || is_atom(E, e->u.a[0])) && (e->u.a[1]->k == E_LOAD || is_atom(E, e->u.a[1]));
        if (e->t == DT_BOOL && !values) logical.op = e->op == BIN_AND ? BIN_LAND : BIN_LOR;
        put_infix(E, t, &logical, prec);
        break;
    }
    default: put_infix(E, t, e, prec); break;
    }
}
static bool int_like(const Emit *E, const Expr *x) { /* its C type is int or promotes to it */
    return x->t != DT_UINT32 && x->t != DT_UINT64 && (x->t != DT_INT64 || !is_wide(E, x));
}
static void put_un(Emit *E, Text *t, const Expr *e, int prec) {
    const Expr *x = e->u.a[0];
    bool fl = dtype_is_float(e->t);
    if (e->op == UN_ABS) {
        if (fl) {
            E->math = true;
            if (e->t == DT_HALF && E->half) text_printf(t, "(%s)", c_type(E, e->t));
            text_puts(t, e->t == DT_FLOAT64 ? "fabs(" : "fabsf(");
        } else {
            if (dtype_info[e->t].cls != CLS_SINT) {
                put_expr(E, t, x, prec);
                return;
            }
            bool wide = is_wide(E, e);
            need(E, wide ? HELP_ABS_I64 : HELP_ABS_I32);
            if (dtype_info[e->t].bits < 32) text_printf(t, "(%s)", c_type(E, e->t));
            text_puts(t, wide ? "qn_abs_i64(" : "qn_abs_i32(");
        }
        put_expr(E, t, x, P_TOP);
        text_puts(t, ")");
        return;
    }
    if (e->op == UN_NEG && !fl && !fits_exactly(E, e)) {
        put_wrapped(E, t, e, prec);
        return;
    }
    const Expr *truth = x;
    while (truth->k == E_CAST && dtype_is_int(truth->t) && !shared_name(E, truth)) truth = truth->u.a[0];
    if (e->op == UN_INV && truth != x && truth->t == DT_BOOL) { /* compilers distrust ~(a < b) */
        bool p = par(t, prec, P_COND);
        put_expr(E, t, truth, P_EQ);
        for (int i = 0; i < 2; i++) {
            text_puts(t, i ? " : " : " ? ");
            put_literal(E, t, e_lit_i(E->a, e->t, i ? -1 : -2), P_COND + 1);
        }
        unpar(t, p);
        return;
    }
    bool p = par(t, prec, e->op == UN_NOT ? P_SHIFT : P_UNARY); /* !x & y wants parentheses */
    if (e->op == UN_INV && !fl && dtype_info[e->t].cls == CLS_UINT && dtype_info[e->t].bits < 32) text_printf(t, "(%s)", c_type(E, e->t));
    if (e->op == UN_NEG && e->t == DT_INT64 && is_wide(E, e) && !is_wide(E, x)) text_puts(t, "-(int64_t)");
    else text_puts(t, e->op == UN_NEG ? "-" : e->op == UN_NOT ? "!" : "~");
    bool minus = e->op == UN_NEG && (x->k == E_UN || negative_literal(x));
    put_expr(E, t, x, minus ? P_POST : P_UNARY);
    unpar(t, p);
}

/* ---- casts and storage types */
typedef struct Storage {
    Helper load, store;
    const char *load_name, *store_name;
} Storage;
static Storage storage_of(DType t) {
    switch (t == DT_HALF ? DT_FLOAT16 : t) {
#define STORAGE(e, load, store)                                                                                                            \
    case DT_##e:                                                                                                                           \
        return (Storage){HELP_##e##_LOAD, HELP_##e##_STORE, load, store};
#include "storage.def"
#undef STORAGE
    default: BUG("type %s has no storage helpers", dtype_name(t));
    }
}
static bool packed(DType t) { return dtype_info[t].bits < 8; }
static bool converted(DType t) { return dtype_compute(t) != t && !packed(t); }
/* In memory something else than its values are. */
static bool stored_otherwise(const Emit *E, DType t) { return t == DT_HALF ? !E->half : converted(t); }

static void put_to_integer(Emit *E, Text *t, DType to, const Expr *x, int prec) {
    static const char *const name[] = {"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"};
    static const DType type[] = {DT_INT8, DT_UINT8, DT_INT16, DT_UINT16, DT_INT32, DT_UINT32, DT_INT64, DT_UINT64};
    if (packed(to)) {
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
    if (packed(to)) {
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
static void put_cast(Emit *E, Text *t, const Expr *e, int prec) {
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
    } else if (dtype_is_float(x->t) && e->op) { /* in range */
        bool p = par(t, prec, P_UNARY);
        text_printf(t, "(%s)", c_type(E, to));
        put_expr(E, t, x, P_UNARY);
        unpar(t, p);
    } else if (dtype_is_float(x->t)) put_to_integer(E, t, to, x, prec);
    else put_cast_int(E, t, e, prec);
}
static void put_call(Emit *E, Text *t, const Expr *e, int prec) {
    const CallInfo *ci = &call_info[e->op];
    DType arg = e->u.arg[0]->t;
    bool p = false;
    if (ci->kind == 'i') {
        need(E, e->op == CALL_IPOW ? HELP_IPOW : HELP_POPCNT);
        p = par(t, prec, P_UNARY);
        text_printf(t, "(%s)", c_type(E, e->t));
    } else if (ci->kind == 'd') {
        need(E, e->op == CALL_DOT_US ? HELP_DOT_US : HELP_DOT_SS);
    } else if (ci->kind == 't' || ci->kind == 'u') {
        need(E, ci->kind == 't' ? HELP_F32_BITS : HELP_BITS_F32);
    } else {
        E->math = true;
        if (ci->kind == 'b') p = par(t, prec, P_EQ);
    }
    text_printf(t, "%s(", arg == DT_FLOAT32 || arg == DT_UINT32 ? ci->cf : ci->cd);
    for (int i = 0; i < e->narg; i++) {
        if (i) text_puts(t, ", ");
        if (e->op == CALL_POPCNT) { /* bits of the type only, not of its sign extension */
            text_printf(t, "(uint%d_t)", dtype_info[arg].bits);
            put_expr(E, t, e->u.arg[i], P_UNARY);
        } else put_expr(E, t, e->u.arg[i], P_TOP);
    }
    text_puts(t, ")");
    if (ci->kind == 'b') text_puts(t, " != 0");
    unpar(t, p);
}

/* ---- buffers */
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
    bool skip = E->no_offset && (b->space == MEM_PARAM || b->space == MEM_SCRATCH) && !packed(b->dt);
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
    if (packed(b->dt)) {
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

/* Four neighbouring bytes in one load. */
static bool put_word(Emit *E, Text *t, const Expr *e) {
    const Expr *first;
    if (e->op != BIN_OR || !e_is_word(e, &first) || E->buf[first->u.ld.buf->id].kind != REG_MEMORY) return false;
    need(E, HELP_WORD);
    text_puts(t, "qn_word(&");
    put_access(E, t, first->u.ld.buf, first->u.ld.idx);
    text_puts(t, ")");
    return true;
}
void put_expr(Emit *E, Text *t, const Expr *e, int prec) {
    const char *name = shared_name(E, e);
    if (name) {
        text_puts(t, name);
        return;
    }
    switch (e->k) {
    case E_INT:
    case E_FLT: put_literal(E, t, e, prec); break;
    case E_VAR: text_puts(t, E->var[e->u.v->id].name ? E->var[e->u.v->id].name : e->u.v->name); break;
    case E_LOAD: put_load(E, t, e->u.ld.buf, e->u.ld.idx, prec); break;
    case E_UN: put_un(E, t, e, prec); break;
    case E_BIN:
        if (!put_word(E, t, e)) put_bin(E, t, e, prec);
        break;
    case E_SELECT: {
        bool p = par(t, prec, P_COND);
        put_expr(E, t, e->u.a[0], P_EQ);
        text_puts(t, " ? ");
        put_expr(E, t, e->u.a[1], P_COND + 1);
        text_puts(t, " : ");
        put_expr(E, t, e->u.a[2], P_COND);
        unpar(t, p);
        break;
    }
    case E_CAST: put_cast(E, t, e, prec); break;
    case E_CALL: put_call(E, t, e, prec); break;
    }
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
    if (packed(b->dt)) {
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
    text_printf(t, " %s= ", red ? bin_text[op] : "");
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
