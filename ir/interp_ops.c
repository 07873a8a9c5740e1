/* SPDX-License-Identifier: Apache-2.0 */
/* interp_ops.c: the typed functions that the interpreter's instructions call: one loop per operation and type, made by macros so
 * that the host compiler vectorises each. The arithmetic is that of emitted C: both use runtime/qn_arith.h.
 *
 *   add, float32   --->   for i < n: d[i] = a[i] + b[i]
 */
#include "interp.h"
#include "runtime/qn_num.h"
#include "runtime/qn_arith.h"
#include <math.h>

/* the types that are computed in: suffix, C type, the unsigned type that wraps, suffix of qn_ functions, dtype */
#define SMALL_INTS(X)                                                                                                                      \
    X(i8, int8_t, uint32_t, 32, i32, INT8)                                                                                                 \
    X(u8, uint8_t, uint32_t, 32, u32, UINT8)                                                                                               \
    X(i16, int16_t, uint32_t, 32, i32, INT16)                                                                                              \
    X(u16, uint16_t, uint32_t, 32, u32, UINT16)
#define INTS(X)                                                                                                                            \
    SMALL_INTS(X)                                                                                                                          \
    X(i32, int32_t, uint32_t, 32, i32, INT32)                                                                                              \
    X(u32, uint32_t, uint32_t, 32, u32, UINT32)                                                                                            \
    X(i64, int64_t, uint64_t, 64, i64, INT64)                                                                                              \
    X(u64, uint64_t, uint64_t, 64, u64, UINT64)
#define FLOATS(X)                                                                                                                          \
    X(f32, float, float, 32, f32, FLOAT32)                                                                                                 \
    X(f64, double, double, 64, f64, FLOAT64)
#define BOOLS(X) X(b, uint8_t, uint32_t, 32, u32, BOOL)

#define FN2(name, R, T, expr)                                                                                                              \
    static void name(int64_t n, void *d_, const void *a_, const void *b_, const void *c_) {                                                \
        R *d = d_;                                                                                                                         \
        const T *a = a_, *b = b_;                                                                                                          \
        (void)c_;                                                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const T x = a[i], y = b[i];                                                                                                    \
            d[i] = (R)(expr);                                                                                                              \
        }                                                                                                                                  \
    }
#define FN1(name, R, T, expr)                                                                                                              \
    static void name(int64_t n, void *d_, const void *a_, const void *b_, const void *c_) {                                                \
        R *d = d_;                                                                                                                         \
        const T *a = a_;                                                                                                                   \
        (void)b_, (void)c_;                                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const T x = a[i];                                                                                                              \
            d[i] = (R)(expr);                                                                                                              \
        }                                                                                                                                  \
    }
/* one after the other: reductions are exact in their order */
#define RED(name, T, expr)                                                                                                                 \
    static void name(int64_t n, void *d_, const void *a_, const void *b_, const void *c_) {                                                \
        const T *a = a_;                                                                                                                   \
        T x = *(T *)d_;                                                                                                                    \
        (void)b_, (void)c_;                                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const T y = a[i];                                                                                                              \
            x = (T)(expr);                                                                                                                 \
        }                                                                                                                                  \
        *(T *)d_ = x;                                                                                                                      \
    }
#define BOTH(op, s, T, expr) FN2(op##_##s, T, T, expr) RED(red_##op##_##s, T, expr)

#define COMPARE(s, T)                                                                                                                      \
    FN2(lt_##s, uint8_t, T, x < y)                                                                                                         \
    FN2(le_##s, uint8_t, T, x <= y)                                                                                                        \
    FN2(eq_##s, uint8_t, T, x == y)                                                                                                        \
    FN2(ne_##s, uint8_t, T, x != y)                                                                                                        \
    BOTH(mn, s, T, y < x ? y : x)                                                                                                          \
    BOTH(mx, s, T, x < y ? y : x)
#define INT_OPS(s, T, U, w, q, D)                                                                                                          \
    COMPARE(s, T)                                                                                                                          \
    BOTH(add, s, T, (U)x + (U)y)                                                                                                           \
    BOTH(mul, s, T, (U)x *(U)y)                                                                                                            \
    BOTH(and, s, T, x &y)                                                                                                                  \
    BOTH(or, s, T, x | y)                                                                                                                  \
    BOTH(xor, s, T, x ^ y)                                                                                                                 \
    FN2(sub_##s, T, T, (U)x - (U)y)                                                                                                        \
    FN2(div_##s, T, T, qn_div_##q(x, y))                                                                                                   \
    FN2(mod_##s, T, T, qn_mod_##q(x, y))                                                                                                   \
    FN2(shl_##s, T, T, qn_shl_u##w((U)x, (uint64_t)y))                                                                                     \
    FN2(shr_##s, T, T, qn_shr_##q(x, (uint64_t)y))                                                                                         \
    FN1(neg_##s, T, T, 0 - (U)x)                                                                                                           \
    FN1(inv_##s, T, T, ~(U)x)                                                                                                              \
    FN1(abs_##s, T, T, x < (T)1 && x != 0 ? (T)(0 - (U)x) : x)                                                                             \
    FN2(call_IPOW_##s, T, T, qn_ipow((int64_t)x, (int64_t)y))                                                                              \
    FN1(call_POPCNT_##s, T, T, qn_popcount((uint64_t)x &(UINT64_MAX >> (64 - 8 * (int)sizeof(T)))))
INTS(INT_OPS)
#define FLOAT_OPS(s, T, U, w, q, D)                                                                                                        \
    COMPARE(s, T)                                                                                                                          \
    BOTH(add, s, T, x + y)                                                                                                                 \
    BOTH(mul, s, T, x *y)                                                                                                                  \
    FN2(sub_##s, T, T, x - y)                                                                                                              \
    FN2(div_##s, T, T, x / y)                                                                                                              \
    FN1(neg_##s, T, T, -x)
FLOATS(FLOAT_OPS)
FN2(mod_f32, float, float, fmodf(x, y))
FN2(mod_f64, double, double, fmod(x, y))
FN1(abs_f32, float, float, fabsf(x))
FN1(abs_f64, double, double, fabs(x))
/* half: every operation is that of float32, rounded; of two halves that is the result rounded once. */
#define HALF2(name, R, back, expr)                                                                                                         \
    static void name(int64_t n, void *d_, const void *a_, const void *b_, const void *c_) {                                                \
        R *d = d_;                                                                                                                         \
        const uint16_t *a = a_, *b = b_;                                                                                                   \
        (void)c_;                                                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const float x = qn_f16_to_f32(a[i]), y = qn_f16_to_f32(b[i]);                                                                  \
            d[i] = back(expr);                                                                                                             \
        }                                                                                                                                  \
    }
#define HALFR(name, expr)                                                                                                                  \
    static void name(int64_t n, void *d_, const void *a_, const void *b_, const void *c_) {                                                \
        const uint16_t *a = a_;                                                                                                            \
        float x = qn_f16_to_f32(*(uint16_t *)d_);                                                                                          \
        (void)b_, (void)c_;                                                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            const float y = qn_f16_to_f32(a[i]);                                                                                           \
            x = qn_f16_to_f32(qn_f32_to_f16(expr));                                                                                        \
        }                                                                                                                                  \
        *(uint16_t *)d_ = qn_f32_to_f16(x);                                                                                                \
    }
#define HALF_BOTH(op, expr) HALF2(op##_h, uint16_t, qn_f32_to_f16, expr) HALFR(red_##op##_h, expr)
HALF_BOTH(add, x + y)
HALF_BOTH(mul, x *y)
HALF_BOTH(mn, y < x ? y : x)
HALF_BOTH(mx, x < y ? y : x)
HALF2(sub_h, uint16_t, qn_f32_to_f16, x - y)
HALF2(div_h, uint16_t, qn_f32_to_f16, x / y)
HALF2(lt_h, uint8_t, (uint8_t), x < y)
HALF2(le_h, uint8_t, (uint8_t), x <= y)
HALF2(eq_h, uint8_t, (uint8_t), x == y)
HALF2(ne_h, uint8_t, (uint8_t), x != y)
FN1(neg_h, uint16_t, uint16_t, x ^ 0x8000u)
FN1(abs_h, uint16_t, uint16_t, x & 0x7fffu)
FN1(h_of_f32, uint16_t, float, qn_f32_to_f16(x))
FN1(f32_of_h, float, uint16_t, qn_f16_to_f32(x))
COMPARE(b, uint8_t)
BOTH(and, b, uint8_t, x &y)
BOTH(or, b, uint8_t, x | y)
BOTH(xor, b, uint8_t, x ^ y)
FN1(not_b, uint8_t, uint8_t, !x)

/* ---- tables by type */
typedef struct Row {
    InterpFn bin[BIN_LOR + 1], red[BIN_LOR + 1], un[UN_ABS + 1];
} Row;
#define COMPARED(s)                                                                                                                        \
    .bin[BIN_LT] = lt_##s, .bin[BIN_LE] = le_##s, .bin[BIN_EQ] = eq_##s, .bin[BIN_NE] = ne_##s, .bin[BIN_MIN] = mn_##s,                    \
    .bin[BIN_MAX] = mx_##s, .red[BIN_MIN] = red_mn_##s, .red[BIN_MAX] = red_mx_##s
#define BITWISE(s)                                                                                                                         \
    .bin[BIN_AND] = and_##s, .bin[BIN_OR] = or_##s, .bin[BIN_XOR] = xor_##s, .red[BIN_AND] = red_and_##s, .red[BIN_OR] = red_or_##s,       \
    .red[BIN_XOR] = red_xor_##s
#define ARITHMETIC(s)                                                                                                                      \
    .bin[BIN_ADD] = add_##s, .bin[BIN_SUB] = sub_##s, .bin[BIN_MUL] = mul_##s, .bin[BIN_DIV] = div_##s, .bin[BIN_MOD] = mod_##s,           \
    .red[BIN_ADD] = red_add_##s, .red[BIN_MUL] = red_mul_##s, .un[UN_NEG] = neg_##s, .un[UN_ABS] = abs_##s
#define INT_ROW(s, T, U, w, q, D)                                                                                                          \
    [DT_##D] = {COMPARED(s), BITWISE(s), ARITHMETIC(s), .bin[BIN_SHL] = shl_##s, .bin[BIN_SHR] = shr_##s, .un[UN_INV] = inv_##s},
#define FLOAT_ROW(s, T, U, w, q, D) [DT_##D] = {COMPARED(s), ARITHMETIC(s)},
static const Row rows[DT_COUNT] = {
    INTS(INT_ROW) FLOATS(FLOAT_ROW)[DT_HALF] = {COMPARED(h), .bin[BIN_ADD] = add_h, .bin[BIN_SUB] = sub_h, .bin[BIN_MUL] = mul_h,
                                                .bin[BIN_DIV] = div_h, .red[BIN_ADD] = red_add_h, .red[BIN_MUL] = red_mul_h,
                                                .un[UN_NEG] = neg_h, .un[UN_ABS] = abs_h},
    [DT_BOOL] = {COMPARED(b), BITWISE(b), .bin[BIN_LAND] = and_b, .bin[BIN_LOR] = or_b, .un[UN_NOT] = not_b, .un[UN_INV] = not_b}};
static InterpFn must(InterpFn f, const char *what, int op, DType t) {
    if (!f) BUG("the interpreter has no %s operation %d on %s", what, op, dtype_name(t));
    return f;
}
InterpFn interp_bin_fn(BinOp op, DType t) { return must(rows[t].bin[op], "binary", op, t); }
InterpFn interp_un_fn(UnOp op, DType t) { return must(rows[t].un[op], "unary", op, t); }
InterpFn interp_reduce_fn(BinOp op, DType t) { return must(rows[t].red[op], "reduction", op, t); }
bool interp_red_op(RedOp r, BinOp *op) {
    static const BinOp of[] = {[RED_ADD] = BIN_ADD, [RED_MUL] = BIN_MUL, [RED_MIN] = BIN_MIN, [RED_MAX] = BIN_MAX,
                               [RED_AND] = BIN_AND, [RED_OR] = BIN_OR,   [RED_XOR] = BIN_XOR};
    *op = of[r];
    return r != RED_NONE;
}

/* ---- casts */
#define FROM_INT(s, T, U, w, q, D)                                                                                                         \
    FN1(i8_of_##s, int8_t, T, x)                                                                                                           \
    FN1(u8_of_##s, uint8_t, T, x)                                                                                                          \
    FN1(i16_of_##s, int16_t, T, x)                                                                                                         \
    FN1(u16_of_##s, uint16_t, T, x)                                                                                                        \
    FN1(i32_of_##s, int32_t, T, x)                                                                                                         \
    FN1(u32_of_##s, uint32_t, T, x)                                                                                                        \
    FN1(i64_of_##s, int64_t, T, x)                                                                                                         \
    FN1(u64_of_##s, uint64_t, T, x) FN1(f32_of_##s, float, T, x) FN1(f64_of_##s, double, T, x) FN1(b_of_##s, uint8_t, T, x != 0)
#define FROM_FLOAT(s, T, U, w, q, D)                                                                                                       \
    FN1(i8_of_##s, int8_t, T, qn_to_i8(x))                                                                                                 \
    FN1(u8_of_##s, uint8_t, T, qn_to_u8(x))                                                                                                \
    FN1(i16_of_##s, int16_t, T, qn_to_i16(x))                                                                                              \
    FN1(u16_of_##s, uint16_t, T, qn_to_u16(x))                                                                                             \
    FN1(i32_of_##s, int32_t, T, qn_to_i32(x))                                                                                              \
    FN1(u32_of_##s, uint32_t, T, qn_to_u32(x))                                                                                             \
    FN1(i64_of_##s, int64_t, T, qn_to_i64(x))                                                                                              \
    FN1(u64_of_##s, uint64_t, T, qn_to_u64(x)) FN1(f32_of_##s, float, T, x) FN1(f64_of_##s, double, T, x) FN1(b_of_##s, uint8_t, T, x != 0)
INTS(FROM_INT)
BOOLS(FROM_INT)
FLOATS(FROM_FLOAT)
#define TO_ROW(s, T, U, w, q, D)                                                                                                           \
    [DT_##D] = {[DT_INT8] = i8_of_##s,     [DT_UINT8] = u8_of_##s,    [DT_INT16] = i16_of_##s, [DT_UINT16] = u16_of_##s,                   \
                [DT_INT32] = i32_of_##s,   [DT_UINT32] = u32_of_##s,  [DT_INT64] = i64_of_##s, [DT_UINT64] = u64_of_##s,                   \
                [DT_FLOAT32] = f32_of_##s, [DT_FLOAT64] = f64_of_##s, [DT_BOOL] = b_of_##s},
static const InterpFn casts[DT_COUNT][DT_COUNT] = {INTS(TO_ROW) BOOLS(TO_ROW) FLOATS(TO_ROW)};
InterpFn interp_cast_fn(DType from, DType to) {
    if (from == DT_HALF || to == DT_HALF) return from == to ? u16_of_u16 : from == DT_HALF ? f32_of_h : h_of_f32;
    return casts[from][to];
}

/* ---- calls */
#define CALLF1(e, cf, cd)  FN1(call_##e##_f32, float, float, cf(x)) FN1(call_##e##_f64, double, double, cd(x))
#define CALLF2(e, cf, cd)  FN2(call_##e##_f32, float, float, cf(x, y)) FN2(call_##e##_f64, double, double, cd(x, y))
#define CALLB1(e, cf, cd)  FN1(call_##e##_f32, uint8_t, float, cf(x) != 0) FN1(call_##e##_f64, uint8_t, double, cd(x) != 0)
#define KIND_f1(e, cf, cd) CALLF1(e, cf, cd)
#define KIND_f2(e, cf, cd) CALLF2(e, cf, cd)
#define KIND_b1(e, cf, cd) CALLB1(e, cf, cd)
#define KIND_t1(e, cf, cd) FN1(call_##e, uint32_t, float, cf(x))
#define KIND_u1(e, cf, cd) FN1(call_##e, float, uint32_t, cf(x))
#define KIND_d2(e, cf, cd) FN2(call_##e, int32_t, int32_t, cf(x, y))
#define KIND_i1(e, cf, cd)
#define KIND_i2(e, cf, cd)
#define CALL(e, name, arity, cf, cd, kind) KIND_##kind##arity(e, cf, cd)
#include "calls.def"
#undef CALL
#define ROW_f(e) [CALL_##e] = {[DT_FLOAT32] = call_##e##_f32, [DT_FLOAT64] = call_##e##_f64},
#define ROW_b(e) ROW_f(e)
#define ROW_i(e)                                                                                                                           \
    [CALL_##e] = {[DT_INT8] = call_##e##_i8,   [DT_UINT8] = call_##e##_u8,   [DT_INT16] = call_##e##_i16, [DT_UINT16] = call_##e##_u16,    \
                  [DT_INT32] = call_##e##_i32, [DT_UINT32] = call_##e##_u32, [DT_INT64] = call_##e##_i64, [DT_UINT64] = call_##e##_u64},
#define ROW_d(e)                           [CALL_##e] = {[DT_INT32] = call_##e},
#define ROW_t(e)                           [CALL_##e] = {[DT_FLOAT32] = call_##e},
#define ROW_u(e)                           [CALL_##e] = {[DT_UINT32] = call_##e},
#define CALL(e, name, arity, cf, cd, kind) ROW_##kind(e)
static const InterpFn calls[CALL_COUNT][DT_COUNT] = {
#include "calls.def"
};
#undef CALL
InterpFn interp_call_fn(CallFn f, DType t) { return must(calls[f][t], call_info[f].name, (int)f, t); }

/* ---- select, by size */
#define SELECT(bits)                                                                                                                       \
    static void select_##bits(int64_t n, void *d_, const void *a_, const void *b_, const void *c_) {                                       \
        uint##bits##_t *d = d_;                                                                                                            \
        const uint8_t *a = a_;                                                                                                             \
        const uint##bits##_t *b = b_, *c = c_;                                                                                             \
        for (int64_t i = 0; i < n; i++) d[i] = a[i] ? b[i] : c[i];                                                                         \
    }
SELECT(8)
SELECT(16)
SELECT(32)
SELECT(64)
InterpFn interp_select_fn(DType t) {
    int bits = dtype_info[t].bits;
    return bits == 8 ? select_8 : bits == 16 ? select_16 : bits == 32 ? select_32 : select_64;
}
