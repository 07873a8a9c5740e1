/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c: ops that look at shapes, make tensors from them, or give elements another shape. All are index maps. A shape operand
 * which is not constant leaves the declared output shape in force; its values are taken to agree with it.
 *
 *   Reshape(x: float32[2,12]) -> [2,3,4]:   out[i,j,k] = x[i, 4*j + k]
 */
#include "../ops.h"
#include <math.h>
#include <string.h>

/* ---- Shape and Size: constants as a rule; folding reads them off the type */
static void shape_range(const Node *n, int64_t *lo, int64_t *hi) {
    int rank = n->in[0]->type.rank;
    *lo = attr_i(n, 0), *hi = attr_has(n, 1) ? attr_i(n, 1) : rank;
    *lo = max_i64(0, min_i64(*lo < 0 ? *lo + rank : *lo, rank));
    *hi = max_i64(*lo, min_i64(*hi < 0 ? *hi + rank : *hi, rank));
}
bool infer_shape(Infer *x) {
    int64_t lo, hi;
    shape_range(x->n, &lo, &hi);
    return infer_out(x, 0, DT_INT64, 1, (int64_t[]){hi - lo});
}
Expr *compute_shape(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    int64_t lo, hi;
    shape_range(n, &lo, &hi);
    Expr *e = e_int(L->a, hi > lo ? n->in[0]->type.dim[hi - 1] : 0);
    for (int64_t i = hi - 2; i >= lo; i--)
        e = e_select(L->a, e_eq(L->a, idx[0], e_int(L->a, i - lo)), e_int(L->a, n->in[0]->type.dim[i]), e);
    return e;
}
bool infer_size(Infer *x) { return infer_out(x, 0, DT_INT64, 0, NULL); }
Expr *compute_size(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out, (void)idx;
    return e_int(L->a, tensor_elements(n->in[0]));
}

/* ---- made from shapes and numbers */
/* A constant shape operand; *rank = -1 and true when it is not constant. */
static bool const_shape(Infer *x, int input, int *rank, int64_t *dim) {
    const int64_t *v;
    int64_t n;
    *rank = -1;
    if (!infer_ints(x, input, &v, &n)) return true;
    if (n > QN_MAX_RANK) return infer_error(x, "the shape has %lld axes; at most %d are supported", (long long)n, QN_MAX_RANK);
    *rank = (int)n;
    for (int i = 0; i < n; i++) dim[i] = v[i];
    return true;
}
bool infer_constant_of_shape(Infer *x) {
    int rank;
    int64_t dim[QN_MAX_RANK], count;
    const Tensor *v = attr_has(x->n, 0) ? x->n->attr[0].t : NULL;
    if (v && (!type_elements(&v->type, &count) || count != 1)) return infer_error(x, "attribute 'value' is expected to have one element");
    DType dt = v ? v->type.dt : DT_FLOAT32;
    if (!const_shape(x, 0, &rank, dim)) return false;
    return rank < 0 ? infer_declared(x, 0, dt, "the input") : infer_out(x, 0, dt, rank, dim);
}
static Expr *literal_of(Lower *L, const Tensor *t) {
    DType ct = dtype_compute(t->type.dt);
    return dtype_is_float(ct) ? e_lit(L->a, ct, dtype_get_f(t->type.dt, t->data, 0))
                              : e_lit_i(L->a, ct, dtype_get_i(t->type.dt, t->data, 0));
}
Expr *compute_constant_of_shape(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out, (void)idx;
    return attr_has(n, 0) ? literal_of(L, n->attr[0].t) : e_lit(L->a, DT_FLOAT32, 0);
}

bool infer_range(Infer *x) {
    Tensor *const *in = x->n->in;
    DType dt = in[0]->type.dt;
    for (int i = 0; i < 3; i++) {
        int64_t count;
        if (!type_elements(&in[i]->type, &count) || count != 1)
            return infer_error(x, "input %d '%s' is expected to have one element", i, in[i]->name);
        if (!in[i]->data) return infer_declared(x, 0, dt, "the inputs");
    }
    double n;
    if (dtype_is_float(dt)) {
        double v[3];
        for (int i = 0; i < 3; i++) v[i] = dtype_get_f(dt, in[i]->data, 0);
        if (v[2] == 0) return infer_error(x, "delta is 0; a step up or down is expected");
        n = ceil((v[1] - v[0]) / v[2]);
    } else {
        int64_t v[3];
        for (int i = 0; i < 3; i++) v[i] = dtype_get_i(dt, in[i]->data, 0);
        if (v[2] == 0) return infer_error(x, "delta is 0; a step up or down is expected");
        __int128 span = (__int128)v[1] - v[0], d = v[2], q = span / d + (span % d != 0 && (span < 0) == (d < 0));
        n = (double)q;
    }
    if (!(n > 0)) n = 0;
    if (n > 9e15) return infer_error(x, "the range has %g elements, which is too many", n);
    return infer_out(x, 0, dt, 1, (int64_t[]){(int64_t)n});
}
Expr *compute_range(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Expr *zero[QN_MAX_RANK];
    for (int i = 0; i < QN_MAX_RANK; i++) zero[i] = e_int(L->a, 0);
    Expr *start = lower_load(L, n, 0, zero), *delta = lower_load(L, n, 2, zero);
    return e_add(L->a, start, e_mul(L->a, e_cast(L->a, start->t, idx[0]), delta));
}

bool infer_eye_like(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t want = attr_has(x->n, 0) ? attr_i(x->n, 0) : t->dt;
    if (t->rank != 2) return infer_error(x, "the input has rank %d; 2 is expected", t->rank);
    DClass k = want > 0 && want < DT_COUNT ? dtype_info[want].cls : CLS_NONE;
    if (k == CLS_NONE || k == CLS_STR || k == CLS_CPLX)
        return infer_error(x, "the output would have element type %lld, which is no numeric type; set attribute 'dtype'", (long long)want);
    return infer_out(x, 0, (DType)want, 2, t->dim);
}
Expr *compute_eye_like(Lower *L, Node *n, int out, Expr *const *idx) {
    DType t = dtype_compute(n->out[out]->type.dt);
    Expr *on = e_eq(L->a, idx[1], e_add(L->a, idx[0], e_int(L->a, attr_i(n, 1))));
    return e_select(L->a, on, e_lit(L->a, t, 1), e_lit(L->a, t, 0));
}

/* ---- the reshape family: the same elements in the same order */
static bool same_count(Infer *x, const Type *t, int rank, const int64_t *dim) {
    Type to = {.dt = t->dt, .rank = rank};
    int64_t a, b;
    for (int i = 0; i < rank; i++) to.dim[i] = dim[i];
    if (type_elements(t, &a) && type_elements(&to, &b) && a == b) return true;
    Text s = {0};
    type_print(t, &s), text_puts(&s, " into "), type_print(&to, &s);
    infer_error(x, "%s cannot be reshaped: the numbers of elements differ", s.s);
    text_free(&s);
    return false;
}
static bool reshape_declared(Infer *x, const char *why) {
    const Type *t = &x->n->in[0]->type;
    if (!infer_declared(x, 0, t->dt, why)) return false;
    const Type *o = &x->n->out[0]->type;
    return same_count(x, t, o->rank, o->dim);
}
bool infer_reshape(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t dim[QN_MAX_RANK], known = 1, count;
    int rank, free_axis = -1;
    if (!const_shape(x, 1, &rank, dim)) return false;
    if (rank < 0) return reshape_declared(x, "the shape input");
    for (int i = 0; i < rank; i++) {
        if (dim[i] == 0 && !attr_i(x->n, 0)) {
            if (i >= t->rank)
                return infer_error(x, "axis %d of the shape is 0, which copies an extent, but the input has rank %d", i, t->rank);
            dim[i] = t->dim[i];
        }
        if (dim[i] == -1) {
            if (free_axis >= 0) return infer_error(x, "axes %d and %d of the shape are both -1; at most one may be", free_axis, i);
            free_axis = i;
        } else if (dim[i] < 0 || !mul_ok(known, dim[i], &known)) {
            return infer_error(x, "axis %d of the shape is %lld; an extent, 0 or -1 is expected", i, (long long)dim[i]);
        }
    }
    if (!type_elements(t, &count)) return infer_error(x, "the input has too many elements");
    if (free_axis >= 0) {
        if (known == 0 ? count != 0 : count % known != 0)
            return infer_error(x, "%lld elements cannot be divided into the shape's other extents, whose product is %lld", (long long)count,
                               (long long)known);
        dim[free_axis] = known == 0 ? 0 : count / known;
    }
    return same_count(x, t, rank, dim) && infer_out(x, 0, t->dt, rank, dim);
}
bool infer_flatten(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t axis = attr_i(x->n, 0), dim[2] = {1, 1};
    if (axis < -t->rank || axis > t->rank) return infer_error(x, "axis %lld is out of range for rank %d", (long long)axis, t->rank);
    if (axis < 0) axis += t->rank;
    for (int i = 0; i < t->rank; i++)
        if (!mul_ok(dim[i >= axis], t->dim[i], &dim[i >= axis])) return infer_error(x, "the input has too many elements");
    return infer_out(x, 0, t->dt, 2, dim);
}
/* The axes of input 1 as a bit mask for rank `rank`; *mask = -1: not constant. */
static bool axes_mask(Infer *x, int rank, int64_t *mask) {
    const int64_t *v;
    int64_t n;
    *mask = -1;
    if (!infer_ints(x, 1, &v, &n)) return true;
    *mask = 0;
    for (int64_t i = 0; i < n; i++) {
        int axis;
        if (!infer_axis(x, v[i], rank, &axis)) return false;
        if (*mask >> axis & 1) return infer_error(x, "axis %d is given twice", axis);
        *mask |= (int64_t)1 << axis;
    }
    return true;
}
bool infer_squeeze(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t mask, dim[QN_MAX_RANK];
    int rank = 0;
    if (!axes_mask(x, t->rank, &mask)) return false;
    if (mask < 0) return reshape_declared(x, "the axes input");
    bool all = x->n->nin < 2 || !x->n->in[1];
    for (int i = 0; i < t->rank; i++) {
        bool out = all ? t->dim[i] == 1 : mask >> i & 1;
        if (out && t->dim[i] != 1)
            return infer_error(x, "axis %d has the extent %lld; only an axis of extent 1 can be removed", i, (long long)t->dim[i]);
        if (!out) dim[rank++] = t->dim[i];
    }
    return infer_out(x, 0, t->dt, rank, dim);
}
bool infer_unsqueeze(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t mask, dim[QN_MAX_RANK];
    int64_t n = x->n->in[1]->type.rank == 0 ? 1 : x->n->in[1]->type.dim[0];
    if (n > QN_MAX_RANK - t->rank)
        return infer_error(x, "the output would have rank %lld; at most %d is supported", (long long)(t->rank + n), QN_MAX_RANK);
    int rank = t->rank + (int)n, k = 0;
    if (!axes_mask(x, rank, &mask)) return false;
    if (mask < 0) return reshape_declared(x, "the axes input");
    for (int i = 0; i < rank; i++) dim[i] = mask >> i & 1 ? 1 : t->dim[k++];
    return infer_out(x, 0, t->dt, rank, dim);
}

/* Indices of a tensor of type `from` at which element idx of its reshaping to `to` stands. Axes are matched in groups of equal
 * products, so that an axis which stays costs nothing. */
static void reshape_index(Arena *a, const Type *from, const Type *to, Expr *const *idx, Expr **res) {
    int fa[QN_MAX_RANK + 1], ta[QN_MAX_RANK + 1], nf = 0, nt = 0, j = 0;
    for (int i = 0; i < from->rank; i++) {
        res[i] = e_int(a, 0);
        if (from->dim[i] != 1) fa[nf++] = i;
    }
    for (int i = 0; i < from->rank; i++)
        if (from->dim[i] == 0) return;
    for (int i = 0; i < to->rank; i++)
        if (to->dim[i] != 1) ta[nt++] = i;
    for (int i = 0; i < nf && j < nt; i++, j++) {
        int i0 = i, j0 = j;
        int64_t pf = from->dim[fa[i]], pt = to->dim[ta[j]];
        while (pf != pt) {
            if (pf < pt && i + 1 < nf) pf *= from->dim[fa[++i]];
            else if (pt < pf && j + 1 < nt) pt *= to->dim[ta[++j]];
            else return;
        }
        Expr *flat = idx[ta[j0]];
        for (int k = j0 + 1; k <= j; k++) flat = e_add(a, e_mul(a, flat, e_int(a, to->dim[ta[k]])), idx[ta[k]]);
        int64_t stride = 1;
        for (int k = i; k >= i0; k--) {
            Expr *q = e_div(a, flat, e_int(a, stride));
            res[fa[k]] = k == i0 ? q : e_mod(a, q, e_int(a, from->dim[fa[k]]));
            stride *= from->dim[fa[k]];
        }
    }
}
Expr *compute_reshape(Lower *L, Node *n, int out, Expr *const *idx) {
    Expr *at[QN_MAX_RANK];
    reshape_index(L->a, &n->in[0]->type, &n->out[out]->type, idx, at);
    return lower_load(L, n, 0, at);
}

/* ---- Expand */
bool infer_expand(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Type shape = {.dt = t->dt};
    int rank;
    int64_t dim[QN_MAX_RANK];
    if (!const_shape(x, 1, &shape.rank, shape.dim)) return false;
    if (shape.rank < 0) {
        if (!infer_declared(x, 0, t->dt, "the shape input")) return false;
        shape = x->n->out[0]->type;
    }
    if (!broadcast_dims(2, (const Type *[]){t, &shape}, &rank, dim) || rank < t->rank) {
        Text s = {0};
        type_print(t, &s), text_puts(&s, " does not broadcast with "), type_print(&shape, &s);
        infer_error(x, "%s; extents must be equal or 1, aligned at the last axis", s.s);
        text_free(&s);
        return false;
    }
    return infer_out(x, 0, t->dt, rank, dim);
}
Expr *compute_expand(Lower *L, Node *n, int out, Expr *const *idx) { return lower_load_b(L, n, 0, &n->out[out]->type, idx); }
