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

/* ---- integer arithmetic */
static const char *const bin_text[] = {
    [BIN_ADD] = "+", [BIN_SUB] = "-", [BIN_MUL] = "*",   [BIN_DIV] = "/",  [BIN_MOD] = "%", [BIN_AND] = "&",
    [BIN_OR] = "|",  [BIN_XOR] = "^", [BIN_SHL] = "<<",  [BIN_SHR] = ">>", [BIN_LT] = "<",  [BIN_LE] = "<=",
    [BIN_EQ] = "==", [BIN_NE] = "!=", [BIN_LAND] = "&&", [BIN_LOR] = "||"};
static const int8_t bin_prec[] = {
    [BIN_ADD] = P_ADD, [BIN_SUB] = P_ADD, [BIN_MUL] = P_MUL,   [BIN_DIV] = P_MUL,   [BIN_MOD] = P_MUL, [BIN_AND] = P_AND,
    [BIN_OR] = P_OR,   [BIN_XOR] = P_XOR, [BIN_SHL] = P_SHIFT, [BIN_SHR] = P_SHIFT, [BIN_LT] = P_REL,  [BIN_LE] = P_REL,
    [BIN_EQ] = P_EQ,   [BIN_NE] = P_EQ,   [BIN_LAND] = P_LAND, [BIN_LOR] = P_LOR};
const char *c_operator(BinOp op) { return bin_text[op]; }
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
bool int_like(const Emit *E, const Expr *x) { /* its C type is int or promotes to it */
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
