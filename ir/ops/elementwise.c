/* SPDX-License-Identifier: Apache-2.0 */
/* elementwise.c: the elementwise ops which a formula alone does not describe: conversions, quantisation, mixed types.
 * Each function gives out[idx] as an expression of the inputs at idx, so these fuse like any formula.
 *
 *   QuantizeLinear(x, 0.5, zp: int8 = 3)   ->   int8(min(max(rint(x/0.5) + 3, -128), 127))
 */
#include "../extent.h"
#include <math.h>
#include <string.h>

static Expr *x_at(Lower *L, Node *n, Expr *const *idx) { return lower_load_b(L, n, 0, &n->out[0]->type, idx); }
static DType out_type(const Node *n) { return n->out[0]->type.dt; }

Expr *compute_gelu(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    const char *exact = "0.5*x*(1 + erf(x*0.70710678118654752))";
    const char *by_tanh = "0.5*x*(1 + tanh(0.79788456080286536*(x + 0.044715*x*x*x)))";
    Expr *x = x_at(L, n, idx);
    return lower_formula(L, strcmp(attr_s(n, 0), "tanh") == 0 ? by_tanh : exact, 1, (const char *[]){"x"}, &x);
}

Expr *compute_bit_shift(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Expr *x = x_at(L, n, idx), *y = lower_load_b(L, n, 1, &n->out[0]->type, idx);
    return e_bin(L->a, strcmp(attr_s(n, 0), "LEFT") == 0 ? BIN_SHL : BIN_SHR, x, y);
}

/* ---- Pow: the result has the type of the base, whatever the exponent's is */
bool infer_pow(Infer *x) { return infer_broadcast(x); }
Expr *compute_pow(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    Expr *x = x_at(L, n, idx), *y = lower_load_b(L, n, 1, &n->out[0]->type, idx);
    bool xf = dtype_is_float(x->t), yf = dtype_is_float(y->t);
    if (!xf && !yf) return e_call2(a, CALL_IPOW, x, e_cast(a, x->t, y));
    if (!xf) return e_cast(a, x->t, e_call2(a, CALL_POW, e_cast(a, DT_FLOAT64, x), e_cast(a, DT_FLOAT64, y)));
    double k = y->k == E_FLT ? y->u.f : y->k == E_INT && y->t != DT_UINT64 ? (double)y->u.i : 0.5;
    const char *small = k == 2 ? "x*x" : k == 3 ? "x*x*x" : k == 1 ? "x" : k == -1 ? "1/x" : NULL; /* exact or nearly */
    if (small) return lower_formula(L, small, 1, (const char *[]){"x"}, &x);
    return e_call2(a, CALL_POW, x, e_cast(a, x->t, y));
}

/* ---- conversions */
static bool infer_as(Infer *x, DType dt) { return infer_like(x, 0, dt, &x->n->in[0]->type); }
static bool castable(Infer *x, DType to) {
    DClass k = dtype_info[to].cls;
    if (k == CLS_CPLX || k == CLS_NONE) return infer_error(x, "conversion to %s is not supported", dtype_name(to));
    const char *mode = x->n->attr[op_attr_index(x->n->op, "round_mode")].s;
    if (to == DT_FLOAT8E8M0 && mode && strcmp(mode, "up") != 0) return infer_error(x, "round_mode is '%s'; only 'up' is supported", mode);
    return infer_as(x, to);
}
bool infer_cast(Infer *x) {
    int64_t to = attr_i(x->n, 0);
    if (to <= 0 || to >= (x->g->halves ? DT_COUNT : DT_HALF))
        return infer_error(x, "attribute 'to' is %lld, which is no element type", (long long)to);
    return castable(x, (DType)to);
}
bool infer_cast_like(Infer *x) { return castable(x, x->n->in[1]->type.dt); }

/* 8-bit floats saturate when stored; with saturate = 0 what is out of range becomes NaN or infinity first. */
static const struct {
    DType t;
    double limit; /* the first value beyond the largest finite one */
    bool tie;     /* whether the limit itself still rounds down */
    bool inf;
    double max;
} fp8[] = {{DT_FLOAT8E4M3FN, 464, true, false, 448},
           {DT_FLOAT8E4M3FNUZ, 248, false, false, 240},
           {DT_FLOAT8E5M2, 61440, false, true, 57344},
           {DT_FLOAT8E5M2FNUZ, 61440, false, false, 57344}};
static Expr *saturating(Lower *L, DType to, bool saturate, Expr *x) {
    Arena *a = L->a;
    for (size_t i = 0; i < sizeof fp8 / sizeof *fp8; i++) {
        if (fp8[i].t != to) continue;
        x = e_cast(a, DT_FLOAT32, x);
        if (saturate && !fp8[i].inf) return x;
        if (saturate) return e_min(a, e_max(a, x, e_lit(a, x->t, -fp8[i].max)), e_lit(a, x->t, fp8[i].max));
        Expr *m = e_lit(a, x->t, fp8[i].limit), *size = e_un(a, UN_ABS, x);
        Expr *beyond = fp8[i].tie ? e_lt(a, m, size) : e_le(a, m, size);
        if (!fp8[i].inf) return e_select(a, beyond, e_lit(a, x->t, NAN), x);
        Expr *inf = e_select(a, e_lt(a, x, e_lit(a, x->t, 0)), e_lit(a, x->t, -INFINITY), e_lit(a, x->t, INFINITY));
        return e_select(a, beyond, inf, x);
    }
    return x;
}
Expr *compute_cast(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    DType to = n->out[out]->type.dt;
    Expr *x = x_at(L, n, idx);
    if (x->t == DT_BOOL || to == DT_BOOL)
        return to == DT_BOOL && x->t != DT_BOOL ? e_bin(a, BIN_NE, x, e_lit_i(a, x->t, 0)) : e_cast(a, dtype_compute(to), x);
    int64_t saturate = attr_i(n, op_attr_index(n->op, "saturate"));
    x = saturating(L, to, saturate != 0, x);
    if (dtype_is_float(x->t) && dtype_is_int(to) && dtype_packed(to)) x = e_cast(a, DT_INT32, x); /* what is out of range wraps */
    return e_cast(a, x->t == DT_FLOAT64 ? to : dtype_compute(to), x);
}

/* ---- BitCast: bytes are copied; what is computed with would have been converted */
bool infer_bit_cast(Infer *x) {
    int64_t to = attr_i(x->n, 0);
    DType from = x->n->in[0]->type.dt;
    if (to <= 0 || to >= DT_HALF || dtype_info[to].cls == CLS_STR || dtype_info[to].cls == CLS_CPLX ||
        dtype_info[to].bits != dtype_info[from].bits)
        return infer_error(x, "%s cannot be seen as %s; a type of %d bits is expected", dtype_name(from), dtype_name((DType)to),
                           dtype_info[from].bits);
    return infer_as(x, (DType)to);
}
bool lower_bit_cast(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    Arena *a = L->a;
    Expr *bytes = e_int(a, tensor_bytes(n->in[0]));
    if (t->ext) {
        Expr *bits = e_int(a, dtype_info[t->dt].bits);
        for (int i = 0; i < t->rank; i++) bits = e_mul(a, bits, lower_dim(L, t, i));
        bytes = e_div(a, e_add(a, bits, e_int(a, 7)), e_int(a, 8));
    }
    lower_call(L, "qn_copy_bytes", 1, &bytes, 2, (Buf *[]){lower_tensor(L, n->in[0]), lower_tensor(L, n->out[0])}, 2);
    return true;
}

/* ---- quantisation. The scale is one value, one per index of an axis, or one per block along it. */
enum { Q_AXIS, Q_BLOCK, Q_TYPE };
static bool check_scale(Infer *x) {
    const Type *t = &x->n->in[0]->type, *s = &x->n->in[1]->type;
    int64_t block = attr_i(x->n, Q_BLOCK), n;
    int axis;
    const Type *zero = x->n->nin > 2 && x->n->in[2] ? &x->n->in[2]->type : NULL;
    bool same = !zero || (type_elements(zero, &n) && n == 1) || zero->rank == s->rank;
    for (int i = 0; same && zero && n != 1 && i < s->rank; i++)
        same = infer_same_extent(x, type_extent(x->g, zero, i), type_extent(x->g, s, i));
    if (!same) return infer_error(x, "the zero point has another shape than the scale; the same, or one element, is expected");
    if (type_elements(s, &n) && n == 1) return true;
    if (!infer_axis(x, attr_i(x->n, Q_AXIS), t->rank, &axis)) return false;
    if (block < 0) return infer_error(x, "block_size is %lld; it is expected to be positive, or 0 for none", (long long)block);
    if (block == 0 && (s->rank != 1 || !infer_same_extent(x, type_extent(x->g, s, 0), type_extent(x->g, t, axis))))
        return infer_error(x, "the scale is expected to have 1 element or the %lld of axis %d", (long long)t->dim[axis], axis);
    if (block == 0) return true;
    bool ok = s->rank == t->rank;
    for (int i = 0; ok && i < t->rank; i++) ok = s->dim[i] == (i == axis ? ceil_div(t->dim[i], block) : t->dim[i]);
    return ok ||
           infer_error(x, "the scale's shape does not follow from the input's with axis %d in blocks of %lld", axis, (long long)block);
}
/* Input i (scale or zero point) as it applies at idx. */
static Expr *param_at(Lower *L, Node *n, int i, Expr *const *idx) {
    const Type *t = &n->in[0]->type, *s = &n->in[i]->type;
    int64_t axis = attr_i(n, Q_AXIS), block = attr_i(n, Q_BLOCK), count;
    Expr *at[QN_MAX_RANK];
    if (axis < 0) axis += t->rank;
    bool one = type_elements(s, &count) && count == 1;
    for (int k = 0; k < s->rank; k++) {
        at[k] = one ? e_int(L->a, 0) : block == 0 ? idx[axis] : k == axis ? e_div(L->a, idx[k], e_int(L->a, block)) : idx[k];
    }
    return lower_load(L, n, i, at);
}
static bool quantised_type(DType t) { return t > 0 && t < DT_HALF && (dtype_is_int(t) || (dtype_is_float(t) && dtype_info[t].bits <= 8)); }

bool infer_quantize(Infer *x) {
    int64_t want = attr_i(x->n, Q_TYPE);
    DType dt = x->n->nin > 2 && x->n->in[2] ? x->n->in[2]->type.dt : want ? (DType)want : DT_UINT8;
    if (want < 0 || want >= DT_HALF || !quantised_type(dt)) return infer_error(x, "quantisation to %s is not supported", dtype_name(dt));
    if (want && (DType)want != dt)
        return infer_error(x, "output_dtype is %s, but the zero point is %s", dtype_name((DType)want), dtype_name(dt));
    return check_scale(x) && infer_as(x, dt);
}
Expr *compute_quantize(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    DType to = out_type(n);
    Expr *s = param_at(L, n, 1, idx), *x = x_at(L, n, idx);
    bool wide = x->t == DT_FLOAT64 || s->t == DT_FLOAT64 || (dtype_is_int(x->t) && dtype_is_int(s->t));
    DType t = wide ? DT_FLOAT64 : DT_FLOAT32;
    Expr *q = e_div(a, e_cast(a, t, x), e_cast(a, t, s));
    Expr *zp = n->nin > 2 && n->in[2] ? param_at(L, n, 2, idx) : NULL;
    if (dtype_is_float(to)) return saturating(L, to, attr_i(n, 4) != 0, zp ? e_add(a, q, e_cast(a, t, zp)) : q);
    q = e_call1(a, CALL_RINT, q);
    if (zp && !(zp->k == E_INT && zp->u.i == 0)) q = e_add(a, q, e_cast(a, t, zp));
    if (dtype_info[to].bits <= 16) q = e_min(a, e_max(a, q, e_lit(a, t, (double)dtype_min(to))), e_lit(a, t, (double)dtype_max(to)));
    return e_cast(a, dtype_compute(to), q);
}

bool infer_dequantize(Infer *x) {
    int64_t want = attr_i(x->n, Q_TYPE);
    DType dt = want > 0 && want < DT_HALF ? (DType)want : x->n->in[1]->type.dt;
    if (want < 0 || want >= DT_HALF || !dtype_is_float(dt))
        return infer_error(x, "output_dtype is %lld; a float type is expected", (long long)want);
    return check_scale(x) && infer_as(x, dt);
}
Expr *compute_dequantize(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    Expr *s = param_at(L, n, 1, idx), *x = x_at(L, n, idx);
    Expr *zp = n->nin > 2 && n->in[2] ? param_at(L, n, 2, idx) : NULL;
    if (zp && zp->k == E_INT && zp->u.i == 0) zp = NULL;
    if (zp && dtype_is_float(x->t)) x = e_sub(a, x, zp);
    if (zp && !dtype_is_float(x->t)) { /* differences need a sign, and those of 8- and 16-bit values more bits */
        DType wide = dtype_info[x->t].bits < 32 ? DT_INT32 : x->t == DT_UINT32 ? DT_INT64 : x->t == DT_UINT64 ? DT_FLOAT64 : x->t;
        x = e_sub(a, e_cast(a, wide, x), e_cast(a, wide, zp));
    }
    DType t = s->t == DT_FLOAT64 ? DT_FLOAT64 : DT_FLOAT32;
    return e_mul(a, e_cast(a, t, x), s);
}

/* ---- BatchNormalization with given statistics. What does not depend on the pixel stands in one factor and one term. */
enum { BN_EPSILON, BN_MOMENTUM, BN_TRAINING };
bool infer_batchnorm(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (attr_i(x->n, BN_TRAINING))
        return infer_error(x, "training_mode is set; only inference is supported: export the model for inference");
    int64_t channels = t->rank > 1 ? t->dim[1] : 1;
    for (int i = 1; i < 5; i++) {
        const Type *s = &x->n->in[i]->type;
        if (s->rank != 1 || s->dim[0] != channels)
            return infer_error(x, "input %d '%s' is expected to have one axis of the %lld channels", i, x->n->in[i]->name,
                               (long long)channels);
    }
    return infer_same(x);
}
Expr *compute_batchnorm(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    Expr *x = x_at(L, n, idx), *v[5];
    Expr *c = n->in[0]->type.rank > 1 ? idx[1] : e_int(a, 0);
    v[0] = x;
    for (int i = 1; i < 5; i++) v[i] = e_cast(a, x->t, lower_load(L, n, i, &c));
    Expr *value[] = {v[0], v[1], v[2], v[3], v[4], e_lit(a, DT_FLOAT32, (double)attr_f(n, BN_EPSILON))};
    static const char *const name[] = {"x", "scale", "bias", "mean", "var", "epsilon"};
    return lower_formula(L, "(x - mean)*(scale/sqrt(var + epsilon)) + bias", 6, name, value);
}
