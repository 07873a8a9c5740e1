/* SPDX-License-Identifier: Apache-2.0 */
/* emit_vec.c: the body of a vector loop as GNU vector types: unit-stride accesses become vector loads and stores through an
 * unaligned, may_alias type, what does not depend on the lane stays scalar and is broadcast by C's vector-scalar arithmetic,
 * register buffers are named vector variables. Functions of C's library are called lane by lane. A body with anything else (gathers,
 * integer division) stays a loop.
 *
 *   vec j in 0..16: acc[2,j] += a[i] * b[k,j]   --->   acc2 += a[i] * *(const v16f_u *)&b[k * 16];
 */
#include "internal.h"
#include "ir/dot.h"
#include <string.h>

bool expr_uses(const Expr *e, const Var *v) {
    switch (e->k) {
    case E_VAR: return e->u.v == v;
    case E_LOAD:
        for (int i = 0; i < e->narg; i++)
            if (expr_uses(e->u.ld.idx[i], v)) return true;
        return false;
    case E_UN:
    case E_CAST: return expr_uses(e->u.a[0], v);
    case E_BIN: return expr_uses(e->u.a[0], v) || expr_uses(e->u.a[1], v);
    case E_SELECT: return expr_uses(e->u.a[0], v) || expr_uses(e->u.a[1], v) || expr_uses(e->u.a[2], v);
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (expr_uses(e->u.arg[i], v)) return true;
        return false;
    default: return false;
    }
}
bool lane_coefficient(const Expr *e, const Var *v, int64_t *k) {
    int64_t x, y, c;
    *k = 0;
    if (e->k == E_VAR) {
        *k = e->u.v == v;
        return true;
    }
    if (e->k == E_BIN && (e->op == BIN_ADD || e->op == BIN_SUB)) {
        if (!lane_coefficient(e->u.a[0], v, &x) || !lane_coefficient(e->u.a[1], v, &y)) return false;
        return e->op == BIN_ADD ? add_ok(x, y, k) : !__builtin_sub_overflow(x, y, k);
    }
    if (e->k == E_BIN && e->op == BIN_MUL) {
        const Expr *a = e->u.a[0], *b = e->u.a[1];
        if (e_is_int(b, &c) && lane_coefficient(a, v, &x)) return mul_ok(x, c, k);
        if (e_is_int(a, &c) && lane_coefficient(b, v, &x)) return mul_ok(x, c, k);
    }
    return !expr_uses(e, v);
}
/* Elements between neighbouring lanes; false: not a constant distance. */
static bool lane_stride(const Emit *E, const Buf *b, Expr *const *idx, int64_t *stride) {
    *stride = 0;
    for (int d = 0; d < b->rank; d++) {
        int64_t k;
        if (!lane_coefficient(idx[d], E->vec, &k) || !mul_ok(k, b->stride[d], &k) || !add_ok(*stride, k, stride)) return false;
    }
    return true;
}

/* ---- types */
static const DType vec_elem[] = {DT_FLOAT32, DT_FLOAT64, DT_INT8,  DT_UINT8,  DT_INT16, DT_UINT16,
                                 DT_INT32,   DT_UINT32,  DT_INT64, DT_UINT64, DT_HALF};
static const char *const vec_letter[] = {"f", "d", "c", "uc", "s", "us", "i", "u", "l", "ul", "h"};
enum { NELEM = sizeof vec_elem / sizeof *vec_elem };
static int elem_index(DType t) {
    for (int i = 0; i < NELEM; i++)
        if (vec_elem[i] == t) return i;
    return -1;
}
static int lanes_index(int lanes) {
    for (int i = 0; i < 6; i++)
        if (lanes == 2 << i) return i;
    return -1;
}
static DType mask_type(DType of) {
    int bits = dtype_info[of].bits;
    return bits == 8 ? DT_INT8 : bits == 16 ? DT_INT16 : bits == 32 ? DT_INT32 : DT_INT64;
}
const char *vec_type(Emit *E, DType t, bool memory) {
    int e = elem_index(t), l = lanes_index(E->lanes);
    if (e < 0 || l < 0) BUG("no vector type of %d %s", E->lanes, dtype_name(t));
    E->vtypes[memory][e] |= (uint8_t)(1 << l);
    E->halves[0] |= t == DT_HALF;
    if (E->lanes * dtype_info[t].bits == 512) E->wide_vectors = true;
    return arena_printf(E->a, "v%d%s%s", E->lanes, vec_letter[e], memory ? "_u" : "");
}
void put_vec_typedefs(const Emit *E, Text *t, int indent) {
    if (E->shuffles)
        text_puts(
            t,
            "#ifndef QN_SHUFFLE\n#if defined(__clang__) || __GNUC__ >= 12\n"
            "#define QN_SHUFFLE(type, bytes, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)\n#else\n"
            "#define QN_SHUFFLE(type, bytes, a, b, ...) __builtin_shuffle(a, b, (type __attribute__((vector_size(bytes)))){__VA_ARGS__})\n"
            "#endif\n#endif\n");
    for (int mem = 0; mem < 2; mem++)
        if (E->halves[mem])
            text_printf(t, "%*s__extension__ typedef _Float16 %s;\n", indent * 4, "",
                        mem ? "qn_half_u __attribute__((may_alias))" : "qn_half");
    for (int mem = 0; mem < 2; mem++)
        for (int e = 0; e < NELEM; e++)
            for (int l = 0; l < 6; l++) {
                if (!(E->vtypes[mem][e] >> l & 1)) continue;
                int lanes = 2 << l, bytes = dtype_info[vec_elem[e]].bits / 8;
                text_printf(t, "%*stypedef %s v%d%s%s __attribute__((vector_size(%d)", indent * 4, "",
                            vec_elem[e] == DT_HALF ? "qn_half" : dtype_info[vec_elem[e]].ctype, lanes, vec_letter[e], mem ? "_u" : "",
                            lanes * bytes);
                if (mem) text_printf(t, ", aligned(%d), may_alias", bytes);
                text_puts(t, "));\n");
            }
}

/* ---- which loops can be vectors */
bool vec_shape(const Emit *E, const Expr *e) {
    if (!E->vec || e->k == E_INT || e->k == E_FLT) return false;
    if (e->k == E_VAR) return e->u.v == E->vec || E->var[e->u.v->id].lanes > 0;
    Memo *m = memo_of(E, e);
    if (m->shape_gen == E->memo->shape_gen) return m->vec;
    bool r = false;
    switch (e->k) {
    case E_LOAD:
        r = E->buf[e->u.ld.buf->id].lane_private;
        for (int i = 0; i < e->narg; i++) r |= vec_shape(E, e->u.ld.idx[i]);
        break;
    case E_UN:
    case E_CAST: r = vec_shape(E, e->u.a[0]); break;
    case E_BIN:
        r = vec_shape(E, e->u.a[0]);
        r |= vec_shape(E, e->u.a[1]);
        break;
    case E_SELECT:
        for (int i = 0; i < 3; i++) r |= vec_shape(E, e->u.a[i]);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) r |= vec_shape(E, e->u.arg[i]);
        break;
    default: break;
    }
    m = memo_of(E, e);
    m->vec = r, m->shape_gen = E->memo->shape_gen;
    return r;
}
static bool elem_ok(const Emit *E, DType t) {
    return elem_index(t) >= 0 && (t != DT_HALF || E->half) && E->lanes * dtype_info[t].bits <= 512 && E->lanes * dtype_info[t].bits >= 32;
}
/* Comparisons: the type of the operands decides the mask. DT_NONE: not a mask. */
static DType mask_elem(const Emit *E, const Expr *e) {
    if (e->t != DT_BOOL || !vec_shape(E, e)) return DT_NONE;
    if (e->k == E_UN && e->op == UN_NOT) return mask_elem(E, e->u.a[0]);
    if (e->k != E_BIN) return DT_NONE;
    if (e->op >= BIN_LT && e->op <= BIN_NE) return e->u.a[0]->t == DT_BOOL ? DT_NONE : mask_type(e->u.a[0]->t);
    DType x = mask_elem(E, e->u.a[0]), y = mask_elem(E, e->u.a[1]);
    return x == y ? x : DT_NONE;
}
static bool vec_ok(const Emit *E, const Expr *e);
/* A conversion to an integer that cannot be out of range: of min(max(x, lo), hi). Only NaN is left to be thought of. */
static bool clamped(const Expr *e, DType to) {
    double lo, hi;
    if (e->k != E_BIN || e->op != BIN_MIN || e->u.a[1]->k != E_FLT) return false;
    const Expr *m = e->u.a[0];
    if (m->k != E_BIN || m->op != BIN_MAX || m->u.a[1]->k != E_FLT || dtype_info[to].bits > 32 || to == DT_BOOL) return false;
    lo = m->u.a[1]->u.f, hi = e->u.a[1]->u.f;
    return lo >= (double)dtype_min(to) && lo >= -2147483648.0 && hi <= (double)dtype_max(to) && hi < 2147483647.0;
}
/* The same, known by other means (emit_trim.c). */
static bool in_range(const Expr *cast) { return cast->op == CAST_FITS && (dtype_info[cast->to].bits < 32 || cast->to == DT_INT32); }
/* Printed without a statement before it: it may stand under a condition. */
static bool plain_arm(const Expr *e) { return e->k == E_LOAD || e->k == E_VAR || e->k == E_INT || e->k == E_FLT; }
/* int32(k + lane) */
static bool is_lane_number(const Emit *E, const Expr *e) {
    int64_t k;
    if (e->k != E_CAST || e->to != DT_INT32 || e->u.a[0]->t != DT_INT64) return false;
    return lane_coefficient(e->u.a[0], E->vec, &k) && k == 1 && !vec_shape(E, e_subst(E->a, e->u.a[0], E->vec, e_int(E->a, E->vec_lo)));
}
static bool bin_ok(const Emit *E, const Expr *e) {
    DType t = e->u.a[0]->t;
    bool fl = dtype_is_float(t);
    int64_t n;
    if (!vec_ok(E, e->u.a[0]) || !vec_ok(E, e->u.a[1])) return false;
    switch (e->op) {
    case BIN_ADD:
    case BIN_SUB:
    case BIN_MUL:
    case BIN_MIN:
    case BIN_MAX: return elem_ok(E, t);
    case BIN_DIV: return fl && elem_ok(E, t);
    case BIN_AND:
    case BIN_OR:
    case BIN_XOR: return t == DT_BOOL ? mask_elem(E, e) != DT_NONE : elem_ok(E, t);
    case BIN_LAND:
    case BIN_LOR: return mask_elem(E, e) != DT_NONE;
    case BIN_SHL:
    case BIN_SHR: return elem_ok(E, t) && e_is_int(e->u.a[1], &n) && n >= 0 && n < dtype_info[t].bits;
    case BIN_LT:
    case BIN_LE:
    case BIN_EQ:
    case BIN_NE: return elem_ok(E, t);
    default: return false;
    }
}
/* An expression of vector shape that the printer below covers. */
static bool vec_ok(const Emit *E, const Expr *e) {
    int64_t s;
    Shuffle shuffle;
    if (!vec_shape(E, e)) return true;
    if (vec_shuffle(E, e, &shuffle)) return elem_ok(E, e->t);
    switch (e->k) {
    case E_VAR: return e->u.v != E->vec;
    case E_LOAD: {
        const Buf *b = e->u.ld.buf;
        if (!elem_ok(E, b->dt)) return false;
        if (E->buf[b->id].lane_private) return true;
        for (int i = 0; i < e->narg; i++)
            if (!expr_uses(e->u.ld.idx[i], E->vec) && vec_shape(E, e->u.ld.idx[i])) return false;
        return lane_stride(E, b, e->u.ld.idx, &s) && s == 1;
    }
    case E_UN:
        if (!vec_ok(E, e->u.a[0])) return false;
        if (e->op == UN_NOT) return mask_elem(E, e) != DT_NONE;
        if (e->op == UN_ABS) return elem_ok(E, e->t) && dtype_info[e->t].cls != CLS_UINT;
        return elem_ok(E, e->t) && !(e->op == UN_INV && dtype_is_float(e->t));
    case E_BIN: return bin_ok(E, e);
    case E_SELECT: {
        if (!elem_ok(E, e->t)) return false;
        for (int i = 0; i < 3; i++)
            if (!vec_ok(E, e->u.a[i])) return false;
        if (!vec_shape(E, e->u.a[0])) return plain_arm(e->u.a[1]) && plain_arm(e->u.a[2]);
        return mask_elem(E, e->u.a[0]) == mask_type(e->t);
    }
    case E_CAST: {
        DType from = e->u.a[0]->t;
        if (is_lane_number(E, e)) return elem_ok(E, e->to);
        if (!vec_ok(E, e->u.a[0]) || !elem_ok(E, from) || !elem_ok(E, e->to) || from == DT_BOOL) return false;
        return dtype_is_float(e->to) || !dtype_is_float(from) ||
               ((from == DT_FLOAT32 || from == DT_FLOAT64) &&
                (clamped(e->u.a[0], e->to) || in_range(e) || (e->op == CAST_FITS_OR_NAN && e->to != DT_UINT32)));
    }
    case E_CALL: {
        char kind = call_info[e->op].kind;
        for (int i = 0; i < e->narg; i++)
            if (!vec_ok(E, e->u.arg[i]) || !elem_ok(E, e->u.arg[i]->t)) return false;
        return strchr("dftu", kind) != NULL;
    }
    default: return false;
    }
}
static bool store_ok(const Emit *E, const Stmt *s) {
    const Buf *b = s->u.st.buf;
    int64_t k;
    if (!vec_ok(E, s->u.st.val) || s->u.st.val->t == DT_BOOL) return false;
    for (int i = 0; i < b->rank; i++)
        if (!expr_uses(s->u.st.idx[i], E->vec) && vec_shape(E, s->u.st.idx[i])) return false;
    if (E->buf[b->id].lane_private) return elem_ok(E, b->dt);
    if (!lane_stride(E, b, s->u.st.idx, &k)) return false;
    if (k == 1) return elem_ok(E, b->dt);
    return k == 0 && s->u.st.red == RED_NONE && !vec_shape(E, s->u.st.val);
}
static bool body_ok(Emit *E, Stmt *s, bool mark) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (!body_ok(E, s->u.block.v[i], mark)) return false;
        return true;
    case S_STORE: return !mark || store_ok(E, s);
    case S_LET:
        if (!mark) return true;
        E->var[s->u.let.v->id].lanes = vec_shape(E, s->u.let.val) ? E->lanes : 0;
        return vec_ok(E, s->u.let.val) && s->u.let.val->t != DT_BOOL && (!vec_shape(E, s->u.let.val) || elem_ok(E, s->u.let.val->t));
    case S_IF:
        return (!mark || !vec_shape(E, s->u.cond.cond)) && body_ok(E, s->u.cond.then, mark) &&
               (!s->u.cond.other || body_ok(E, s->u.cond.other, mark));
    case S_FOR:
        if (mark && (vec_shape(E, s->u.loop.lo) || vec_shape(E, s->u.loop.hi))) return false;
        return body_ok(E, s->u.loop.body, mark);
    case S_ALLOC:
        if (s->u.alloc->rank) return false;
        E->buf[s->u.alloc->id].lane_private = true;
        return elem_ok(E, s->u.alloc->dt);
    case S_CALL: return false;
    }
    return false;
}
static void forget(Emit *E, Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) forget(E, s->u.block.v[i]);
        break;
    case S_LET: E->var[s->u.let.v->id].lanes = 0; break;
    case S_IF:
        forget(E, s->u.cond.then);
        if (s->u.cond.other) forget(E, s->u.cond.other);
        break;
    case S_FOR: forget(E, s->u.loop.body); break;
    case S_ALLOC: E->buf[s->u.alloc->id].lane_private = false; break;
    default: break;
    }
}
bool vec_loop_ok(Emit *E, const Stmt *loop) {
    int64_t lo, hi;
    if (!e_is_int(loop->u.loop.lo, &lo) || !e_is_int(loop->u.loop.hi, &hi) || hi - lo > 64 || lanes_index((int)(hi - lo)) < 0) return false;
    E->vec = loop->u.loop.v, E->lanes = (int)(hi - lo), E->vec_lo = lo;
    E->memo->shape_gen++;
    bool ok = body_ok(E, loop->u.loop.body, false);
    E->memo->shape_gen++;
    ok = ok && body_ok(E, loop->u.loop.body, true);
    if (!ok) forget(E, loop->u.loop.body);
    E->vec = NULL, E->lanes = 0;
    E->memo->shape_gen++;
    return ok;
}

/* ---- printing */
static void put_vec_access(Emit *E, Text *t, const Buf *b, Expr *const *idx, bool store) {
    if (E->buf[b->id].kind != REG_MEMORY) {
        put_reg_name(E, t, b, reg_element(E, b, idx));
        return;
    }
    Expr *at = e_subst(E->a, flat_index(E, b, idx), E->vec, e_int(E->a, E->vec_lo));
    int64_t zero;
    text_printf(t, "*(%s%s *)", store ? "" : "const ", vec_type(E, b->dt, true));
    if (e_is_int(at, &zero) && zero == 0) {
        text_puts(t, E->buf[b->id].name);
        return;
    }
    text_printf(t, "&%s[", E->buf[b->id].name);
    put_index(E, t, at, P_TOP);
    text_puts(t, "]");
}
/* A scalar beside a vector: narrow types must be said, for C widens them to int. */
void put_operand(Emit *E, Text *t, const Expr *e, int prec) {
    if (vec_shape(E, e)) {
        put_vec(E, t, e, prec);
        return;
    }
    bool literal = e->k == E_INT || e->k == E_FLT;
    bool say = !literal && dtype_is_int(e->t) && e->k != E_LOAD && (dtype_info[e->t].bits < 32 || e->t == DT_INT64);
    if (!say) {
        put_expr(E, t, e, prec);
        return;
    }
    if (prec > P_UNARY) text_puts(t, "(");
    text_printf(t, "(%s)", c_type(E, e->t));
    put_expr(E, t, e, P_UNARY);
    if (prec > P_UNARY) text_puts(t, ")");
}
/* Always a vector, whatever its shape. x - 0 keeps even -0. */
static void put_broadcast(Emit *E, Text *t, const Expr *e, int prec) {
    if (vec_shape(E, e)) {
        put_vec(E, t, e, prec);
        return;
    }
    const char *v = vec_type(E, e->t, false);
    bool zero = (e->k == E_INT && e->u.i == 0) || (e->k == E_FLT && memcmp(&e->u.f, &(double){0}, sizeof(double)) == 0);
    if (zero) {
        text_printf(t, "(%s){0}", v);
        return;
    }
    if (prec > P_ADD) text_puts(t, "(");
    put_operand(E, t, e, P_ADD);
    text_printf(t, " - (%s){0}", v);
    if (prec > P_ADD) text_puts(t, ")");
}
static const char *vec_constant(Emit *E, const char *want, const Expr *e) { /* a name for e as a vector */
    if (e->k == E_VAR && vec_shape(E, e)) return E->var[e->u.v->id].name;
    const char *name = shared_name(E, e);
    if (name && vec_shape(E, e)) return name;
    if (e->k == E_LOAD && E->buf[e->u.ld.buf->id].kind == REG_VECTORS && vec_shape(E, e)) {
        Text t = {0};
        put_vec_access(E, &t, e->u.ld.buf, e->u.ld.idx, false);
        name = arena_strdup(E->a, t.s);
        text_free(&t);
        return name;
    }
    Text t = {0};
    put_broadcast(E, &t, e, P_TOP);
    name = pre_constant(E, want, vec_type(E, e->t, false), t.s);
    text_free(&t);
    return name;
}
static bool is_zero(const Expr *e) {
    return (e->k == E_INT && e->u.i == 0) || (e->k == E_FLT && memcmp(&e->u.f, &(double){0}, sizeof(double)) == 0);
}
/* mask ? x : y, lane by lane; C has no ?: for vectors everywhere. */
static void put_blend(Emit *E, Text *t, DType type, const char *mask, const Expr *x, const Expr *y, int prec) {
    const char *v = vec_type(E, type, false), *m = vec_type(E, mask_type(type), false);
    if (prec > P_UNARY) text_puts(t, "(");
    text_printf(t, "(%s)(", v);
    if (is_zero(y)) text_printf(t, "%s & (%s)%s", mask, m, vec_constant(E, "x", x));
    else if (is_zero(x)) text_printf(t, "~%s & (%s)%s", mask, m, vec_constant(E, "y", y));
    else {
        const char *xn = vec_constant(E, "x", x), *yn = vec_constant(E, "y", y);
        text_printf(t, "(%s & (%s)%s) | (~%s & (%s)%s)", mask, m, xn, mask, m, yn);
    }
    text_puts(t, ")");
    if (prec > P_UNARY) text_puts(t, ")");
}
/* One element of an operand inside a loop over the lanes. */
static const char *lane_element(Emit *E, const char *want, const Expr *e, const char *lane) {
    if (vec_shape(E, e)) return arena_printf(E->a, "%s[%s]", vec_constant(E, want, e), lane);
    Text t = {0};
    put_expr(E, &t, e, P_REL + 1);
    const char *s = arena_strdup(E->a, t.s);
    text_free(&t);
    return s;
}
/* A vector that a loop over its lanes fills; of two lanes gcc -O1 does not see that both are set. */
static void declare_lanes(Emit *E, const Expr *e, const char *name) {
    text_printf(&E->pre, "%s %s%s;\n", vec_type(E, e->t, false), name, E->lanes == 2 ? " = {0}" : "");
}
/* min(a,b) = b < a ? b : a, as a loop over the lanes: gcc and clang make the machine's minimum of it, while gcc keeps comparison and
 * blend apart where they are written as such. */
static void put_vec_min_max(Emit *E, Text *t, const Expr *e) {
    const char *lane = scope_name(E, "l"), *x = lane_element(E, "x", e->u.a[0], lane), *y = lane_element(E, "y", e->u.a[1], lane);
    const char *name = scope_name(E, e->op == BIN_MIN ? "least" : "most");
    put_indent(E, &E->pre);
    declare_lanes(E, e, name);
    put_indent(E, &E->pre);
    text_printf(&E->pre, "for (int %s = 0; %s < %d; %s++) %s[%s] = %s < %s ? %s : %s;\n", lane, lane, E->lanes, lane, name, lane,
                e->op == BIN_MIN ? y : x, e->op == BIN_MIN ? x : y, y, x);
    E->nstmt += 2;
    text_puts(t, name);
}
/* A function of C's library, lane by lane; the compilers make one instruction of a square root. */
static void put_vec_call(Emit *E, Text *t, const Expr *e, int prec) {
    const CallInfo *ci = &call_info[e->op];
    if (ci->kind == 'd') {
        put_vec(E, t, e_dot_expand(E->a, e), prec);
        return;
    }
    if (ci->kind != 'f') { /* the same bits as another type */
        if (prec > P_UNARY) text_puts(t, "(");
        text_printf(t, "(%s)", vec_type(E, e->t, false));
        put_vec(E, t, e->u.arg[0], P_UNARY);
        if (prec > P_UNARY) text_puts(t, ")");
        return;
    }
    const char *lane = scope_name(E, "l"), *name, *arg[2] = {NULL, NULL};
    for (int i = 0; i < e->narg; i++) arg[i] = lane_element(E, "x", e->u.arg[i], lane);
    name = scope_name(E, ci->name);
    put_indent(E, &E->pre);
    declare_lanes(E, e, name);
    put_indent(E, &E->pre);
    text_printf(&E->pre, "for (int %s = 0; %s < %d; %s++) %s[%s] = %s(%s", lane, lane, E->lanes, lane, name, lane,
                e->t == DT_FLOAT32 ? ci->cf : ci->cd, arg[0]);
    if (e->narg > 1) text_printf(&E->pre, ", %s", arg[1]);
    text_puts(&E->pre, ");\n");
    E->nstmt += 2;
    E->math = true;
    text_puts(t, name);
}
static void put_lane_number(Emit *E, Text *t, const Expr *e) {
    Expr *first = e_cast(E->a, DT_UINT32, e_subst(E->a, e->u.a[0], E->vec, e_int(E->a, E->vec_lo)));
    text_printf(t, "(%s)(", vec_type(E, DT_INT32, false));
    put_expr(E, t, first, P_ADD);
    text_printf(t, " + (%s){", vec_type(E, DT_UINT32, false));
    for (int l = 0; l < E->lanes; l++) text_printf(t, l ? ", %d" : "%d", l);
    text_puts(t, "})");
}
static void put_vec_cast(Emit *E, Text *t, const Expr *e) {
    const Expr *x = e->u.a[0];
    if (is_lane_number(E, e)) {
        put_lane_number(E, t, e);
        return;
    }
    if (dtype_is_float(x->t) && !dtype_is_float(e->to) && in_range(e)) {
        Text whole = {0};
        text_puts(&whole, "__builtin_convertvector(");
        put_vec(E, &whole, x, P_COND);
        text_printf(&whole, ", %s)", vec_type(E, DT_INT32, false));
        text_puts(t, e->to == DT_INT32 ? whole.s : vec_convert(E, whole.s, DT_INT32, e->to));
        text_free(&whole);
        return;
    }
    if (dtype_is_float(x->t) && !dtype_is_float(e->to)) { /* NaN becomes 0 */
        const char *v = vec_constant(E, "x", x);
        const char *whole = arena_printf(E->a, "__builtin_convertvector((%s)((%s == %s) & (%s)%s), %s)", vec_type(E, x->t, false), v, v,
                                         vec_type(E, mask_type(x->t), false), v, vec_type(E, DT_INT32, false));
        text_puts(t, e->to == DT_INT32 ? whole : vec_convert(E, whole, DT_INT32, e->to));
        return;
    }
    Text operand = {0};
    put_vec(E, &operand, x, P_COND);
    text_puts(t, vec_convert(E, operand.s, x->t, e->to));
    text_free(&operand);
}
static void put_vec_infix(Emit *E, Text *t, const Expr *e, int prec) {
    static const struct {
        const char *text;
        int8_t prec;
    } op[] = {[BIN_ADD] = {"+", P_ADD},    [BIN_SUB] = {"-", P_ADD},  [BIN_MUL] = {"*", P_MUL}, [BIN_DIV] = {"/", P_MUL},
              [BIN_AND] = {"&", P_AND},    [BIN_OR] = {"|", P_OR},    [BIN_XOR] = {"^", P_XOR}, [BIN_SHL] = {"<<", P_SHIFT},
              [BIN_SHR] = {">>", P_SHIFT}, [BIN_LT] = {"<", P_REL},   [BIN_LE] = {"<=", P_REL}, [BIN_EQ] = {"==", P_EQ},
              [BIN_NE] = {"!=", P_EQ},     [BIN_LAND] = {"&", P_AND}, [BIN_LOR] = {"|", P_OR}};
    DType type = e->u.a[0]->t;
    bool is_signed = type != DT_BOOL && dtype_info[type].cls == CLS_SINT;
    bool unsign = is_signed && (e->op <= BIN_MUL || e->op == BIN_SHL); /* overflow wraps */
    int mine = op[e->op].prec, sub = mine;
    if (mine < P_ADD) sub = e->op >= BIN_AND && e->op <= BIN_SHR ? P_MUL : P_SHIFT + 1; /* gcc asks for (a + b) & c */
    bool p = prec > (unsign ? P_UNARY : mine);
    if (p) text_puts(t, "(");
    if (unsign) {
        static const DType flip[] = {[DT_INT8] = DT_UINT8, [DT_INT16] = DT_UINT16, [DT_INT32] = DT_UINT32, [DT_INT64] = DT_UINT64};
        const char *u = vec_type(E, flip[type], false);
        text_printf(t, "(%s)(", vec_type(E, type, false));
        for (int i = 0; i < 2; i++) {
            const Expr *x = e->u.a[i];
            if (i) text_printf(t, " %s ", op[e->op].text);
            if (vec_shape(E, x)) {
                text_printf(t, "(%s)", u);
                put_vec(E, t, x, P_UNARY);
            } else {
                text_printf(t, "(%s)", c_type(E, flip[type]));
                put_expr(E, t, x, P_UNARY);
            }
        }
        text_puts(t, ")");
    } else {
        put_operand(E, t, e->u.a[0], sub);
        text_printf(t, " %s ", op[e->op].text);
        put_operand(E, t, e->u.a[1], sub + 1);
    }
    if (p) text_puts(t, ")");
}
static void put_vec_un(Emit *E, Text *t, const Expr *e, int prec) {
    if (e->op == UN_ABS && dtype_is_float(e->t)) {
        const char *m = vec_type(E, mask_type(e->t), false);
        text_printf(t, "(%s)((%s)", vec_type(E, e->t, false), m);
        put_vec(E, t, e->u.a[0], P_UNARY);
        text_puts(t, e->t == DT_FLOAT64 ? " & INT64_MAX)" : e->t == DT_HALF ? " & INT16_MAX)" : " & INT32_MAX)");
        return;
    }
    if (e->op == UN_ABS || (e->op == UN_NEG && dtype_info[e->t].cls == CLS_SINT)) { /* through unsigned: the smallest value wraps */
        Expr *zero = e_lit_i(E->a, e->t, 0), *neg = NEW(E->a, Expr);
        *neg = (Expr){.k = E_BIN, .t = e->t, .op = BIN_SUB, .u.a = {zero, e->u.a[0], NULL}};
        if (e->op == UN_NEG) {
            put_vec_infix(E, t, neg, prec);
            return;
        }
        const char *x = vec_constant(E, "x", e->u.a[0]);
        const char *mask = pre_constant(E, "mask", vec_type(E, mask_type(e->t), false), arena_printf(E->a, "%s < 0", x));
        text_printf(t, "((%s ^ %s) - %s)", x, mask, mask);
        return;
    }
    if (prec > P_UNARY) text_puts(t, "(");
    text_puts(t, e->op == UN_NEG ? "-" : "~");
    put_vec(E, t, e->u.a[0], P_POST);
    if (prec > P_UNARY) text_puts(t, ")");
}
void put_lanes(Emit *E, Text *t, const Expr *e) {
    if (vec_shape(E, e)) put_vec(E, t, e, P_COND);
    else text_puts(t, vec_constant(E, "k", e));
}
void put_vec(Emit *E, Text *t, const Expr *e, int prec) {
    const char *name = shared_name(E, e);
    if (!vec_shape(E, e)) {
        put_broadcast(E, t, e, prec);
        return;
    }
    if (name) {
        text_puts(t, name);
        return;
    }
    switch (e->k) {
    case E_VAR: text_puts(t, E->var[e->u.v->id].name); break;
    case E_LOAD: put_vec_access(E, t, e->u.ld.buf, e->u.ld.idx, false); break;
    case E_UN: put_vec_un(E, t, e, prec); break;
    case E_BIN:
        if (put_row(E, t, e)) break;
        if (e->op == BIN_MIN || e->op == BIN_MAX) put_vec_min_max(E, t, e);
        else put_vec_infix(E, t, e, prec);
        break;
    case E_SELECT: {
        Text m = {0};
        Shuffle shuffle;
        if (vec_shuffle(E, e, &shuffle)) {
            put_shuffle(E, t, &shuffle);
            break;
        }
        if (!vec_shape(E, e->u.a[0])) {
            if (prec > P_COND) text_puts(t, "(");
            put_expr(E, t, e->u.a[0], P_EQ);
            for (int i = 1; i < 3; i++) {
                text_printf(t, "%s(%s)", i == 1 ? " ? " : " : ", vec_type(E, e->t, false)); /* what is loaded has the type of memory */
                put_broadcast(E, t, e->u.a[i], P_UNARY);
            }
            if (prec > P_COND) text_puts(t, ")");
            break;
        }
        put_vec(E, &m, e->u.a[0], P_TOP);
        const char *mask = pre_constant(E, "mask", vec_type(E, mask_type(e->t), false), m.s);
        text_free(&m);
        put_blend(E, t, e->t, mask, e->u.a[1], e->u.a[2], prec);
        break;
    }
    case E_CAST:
        if (e->to == e->u.a[0]->t) {
            put_vec(E, t, e->u.a[0], prec);
            break;
        }
        put_vec_cast(E, t, e);
        break;
    case E_CALL: put_vec_call(E, t, e, prec); break;
    default: BUG("an expression that is no vector in a vector loop");
    }
}
void put_vec_store(Emit *E, Text *t, const Buf *b, Expr *const *idx, const Expr *val, RedOp red, bool declare) {
    bool whole = E->buf[b->id].lane_private;
    for (int i = 0; i < b->rank; i++) whole |= expr_uses(idx[i], E->vec);
    if (!whole) {
        put_store(E, t, b, idx, val, red, declare);
        return;
    }
    BinOp op;
    static const char *const text[] = {[RED_ADD] = "+", [RED_MUL] = "*", [RED_AND] = "&", [RED_OR] = "|", [RED_XOR] = "^"};
    bool is_signed = dtype_info[b->dt].cls == CLS_SINT;
    if (red_bin(red, &op) && (red == RED_MIN || red == RED_MAX || (is_signed && red <= RED_MUL))) {
        val = e_bin(E->a, op, e_load(E->a, (Buf *)b, idx), (Expr *)val);
        red = RED_NONE;
    }
    Text to = {0}, value = {0};
    put_vec_access(E, &to, b, idx, true);
    if (red) put_operand(E, &value, val, P_TOP);
    else put_broadcast(E, &value, val, P_TOP);
    const char *held = declare && val->k == E_LOAD && !E->pre.n ? held_value(E, value.s, to.s) : NULL;
    if (declare) text_printf(t, "%s ", vec_type(E, b->dt, false));
    text_printf(t, "%s %s= %s;", to.s, red ? text[red] : "", held ? held : value.s);
    text_free(&to), text_free(&value);
}
