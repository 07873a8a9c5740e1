/* SPDX-License-Identifier: Apache-2.0 */
/* shape.c: ops that look at shapes, make tensors from them, or give elements another shape. All are index maps. A shape operand
 * which is not constant leaves the declared output shape in force; its values are taken to agree with it.
 *
 *   Reshape(x: float32[2,12]) -> [2,3,4]:   out[i,j,k] = x[i, 4*j + k]
 */
#include "../extent.h"
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
/* Extents given by an integer operand. */
static bool shape_operand(Infer *x, int input, int *rank, Expr **e) {
    Expr **v;
    int64_t n;
    if (!infer_values(x, input, &v, &n)) return false;
    if (n > QN_MAX_RANK) return infer_error(x, "the shape has %lld axes; at most %d are supported", (long long)n, QN_MAX_RANK);
    *rank = (int)n;
    for (int i = 0; i < n; i++) e[i] = v[i];
    return true;
}
bool infer_constant_of_shape(Infer *x) {
    int rank = 0;
    int64_t count;
    Expr *e[QN_MAX_RANK];
    const Tensor *v = attr_has(x->n, 0) ? x->n->attr[0].t : NULL;
    if (v && (!type_elements(&v->type, &count) || count != 1)) return infer_error(x, "attribute 'value' is expected to have one element");
    return shape_operand(x, 0, &rank, e) && infer_extents(x, 0, v ? v->type.dt : DT_FLOAT32, rank, e);
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

/* How many numbers a range has which is not constant: an expression of integers, or computed in float64. */
static Expr *range_count(Infer *x) {
    Arena *a = x->g->a;
    Tensor *const *in = x->n->in;
    Expr **v[3];
    int64_t n, d;
    if (dtype_is_int(in[0]->type.dt) && in[2]->data && (in[0]->type.dt == DT_INT64 || in[0]->type.dt == DT_INT32)) {
        for (int i = 0; i < 3; i++)
            if (!infer_values(x, i, &v[i], &n)) return NULL;
        d = v[2][0]->u.i;
        Expr *span = d > 0 ? e_sub(a, v[1][0], v[0][0]) : e_sub(a, v[0][0], v[1][0]);
        d = d < 0 ? -d : d;
        return e_max(a, e_int(a, 0), extent_floor_div(x->g, e_add(a, span, e_int(a, d - 1)), d));
    }
    Tensor *f[3], *y;
    for (int i = 0; i < 3; i++) f[i] = infer_build(x, "Cast", 1, &in[i], DT_FLOAT64);
    y = infer_build(x, "Div", 2, (Tensor *[]){infer_build(x, "Sub", 2, (Tensor *[]){f[1], f[0]}, 0), f[2]}, 0);
    y = infer_build(x, "Cast", 1, (Tensor *[]){infer_build(x, "Ceil", 1, &y, 0)}, DT_INT64);
    return e_max(a, e_int(a, 0), infer_value_of(x, y, 0));
}
bool infer_range(Infer *x) {
    Tensor *const *in = x->n->in;
    DType dt = in[0]->type.dt;
    bool known = true;
    for (int i = 0; i < 3; i++) {
        int64_t count;
        if (!type_elements(&in[i]->type, &count) || count != 1)
            return infer_error(x, "input %d '%s' is expected to have one element", i, in[i]->name);
        known &= in[i]->data != NULL;
    }
    if (in[2]->data && (dtype_is_float(dt) ? dtype_get_f(dt, in[2]->data, 0) == 0 : dtype_get_i(dt, in[2]->data, 0) == 0))
        return infer_error(x, "delta is 0; a step up or down is expected");
    if (!known) {
        Expr *e = range_count(x);
        return e && infer_extents(x, 0, dt, 1, &e);
    }
    double n;
    if (dtype_is_float(dt)) {
        double v[3];
        for (int i = 0; i < 3; i++) v[i] = dtype_get_f(dt, in[i]->data, 0);
        n = ceil((v[1] - v[0]) / v[2]);
    } else {
        int64_t v[3];
        for (int i = 0; i < 3; i++) v[i] = dtype_get_i(dt, in[i]->data, 0);
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
    DClass k = want > 0 && want < DT_HALF ? dtype_info[want].cls : CLS_NONE;
    if (k == CLS_NONE || k == CLS_STR || k == CLS_CPLX)
        return infer_error(x, "the output would have element type %lld, which is no numeric type; set attribute 'dtype'", (long long)want);
    return infer_like(x, 0, (DType)want, t);
}
Expr *compute_eye_like(Lower *L, Node *n, int out, Expr *const *idx) {
    DType t = dtype_compute(n->out[out]->type.dt);
    Expr *on = e_eq(L->a, idx[1], e_add(L->a, idx[0], e_int(L->a, attr_i(n, 1))));
    return e_select(L->a, on, e_lit(L->a, t, 1), e_lit(L->a, t, 0));
}

/* ---- the reshape family: the same elements in the same order */
static bool cannot_reshape(Infer *x, const Type *t, int rank, Expr *const *e) {
    Text s = {0};
    type_print(t, &s), text_printf(&s, " into %s[", dtype_name(t->dt));
    for (int i = 0; i < rank; i++) {
        if (i) text_puts(&s, ",");
        expr_print(e[i], &s);
    }
    infer_error(x, "%s] cannot be reshaped: the numbers of elements differ", s.s);
    text_free(&s);
    return false;
}
static bool reshaped(Infer *x, int rank, Expr *const *e, bool sure) {
    const Type *t = &x->n->in[0]->type;
    Graph *g = x->g;
    int64_t count;
    Expr *n = e_int(g->a, 1);
    if (!type_elements(t, &count)) return infer_error(x, "the input has too many elements");
    for (int i = 0; i < rank; i++) n = extent_mul(g, n, e[i]);
    if (!sure && !infer_require(x, e_eq(g->a, n, type_count(g, t, 0, t->rank)))) return cannot_reshape(x, t, rank, e);
    if (!infer_extents(x, 0, t->dt, rank, e)) return false;
    Tensor *y = x->n->out[0];
    if (y && y->type.ext) y->type.cap = max_i64(count, 1); /* as many as go in, whatever the bounds of the axes say together */
    return true;
}
/* A product taken apart: a constant and factors that are none. */
typedef struct Factors {
    int64_t c;
    int n;
    Expr *e[4 * QN_MAX_RANK];
} Factors;
static void factors_of(Factors *f, Expr *e) {
    int64_t c;
    if (e_is_int(e, &c) && mul_ok(f->c, c, &f->c)) return;
    if (e->k == E_BIN && e->op == BIN_MUL && f->n < 3 * QN_MAX_RANK) {
        factors_of(f, e->u.a[0]);
        factors_of(f, e->u.a[1]);
    } else if (f->n < 4 * QN_MAX_RANK) {
        f->e[f->n++] = e;
    }
}
/* What the axis of -1 is: elements over the product of the other extents, with common factors left out. */
static Expr *rest_of(Infer *x, const Type *t, int rank, Expr *const *e, int free_axis) {
    Graph *g = x->g;
    Factors up = {.c = 1}, down = {.c = 1};
    for (int i = 0; i < t->rank; i++) factors_of(&up, type_extent(g, t, i));
    for (int i = 0; i < rank; i++)
        if (i != free_axis) factors_of(&down, e[i]);
    int left = 0;
    for (int i = 0; i < down.n; i++) {
        int k = 0;
        while (k < up.n && !e_equal(up.e[k], down.e[i])) k++;
        if (k < up.n) up.e[k] = up.e[--up.n];
        else down.e[left++] = down.e[i];
    }
    down.n = left;
    if (down.c == 0 && !up.n && !down.n) return up.c == 0 ? e_int(g->a, 0) : NULL;
    if (!up.n && !down.n) return up.c % down.c ? NULL : e_int(g->a, up.c / down.c);
    bool exact = down.c > 0 && up.c % down.c == 0;
    Expr *n = e_int(g->a, exact ? up.c / down.c : up.c), *d = e_int(g->a, exact ? 1 : down.c);
    for (int i = 0; i < up.n; i++) n = extent_mul(g, n, up.e[i]);
    for (int i = 0; i < down.n; i++) d = extent_mul(g, d, down.e[i]);
    if (exact && !down.n) return n;
    Expr *one = e_int(g->a, 1), *q = extent_simplify(g, e_div(g->a, n, e_max(g->a, d, one)));
    return infer_require(x, e_eq(g->a, e_mul(g->a, q, d), n)) ? q : NULL;
}
/* An entry of the shape that is not constant: 0 copies an extent, -1 takes what is left. */
static Expr *open_entry(Infer *x, const Type *t, int i, Expr *v, bool *minus) {
    Arena *a = x->g->a;
    int64_t lo, hi;
    bool known = extent_bounds(x->g, v, &lo, &hi);
    if (!attr_i(x->n, 0) && (!known || lo <= 0) && i < t->rank) v = e_select(a, e_eq(a, v, e_int(a, 0)), type_extent(x->g, t, i), v);
    *minus |= !known || lo < 0;
    return v;
}
bool infer_reshape(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Arena *a = x->g->a;
    Expr *e[QN_MAX_RANK];
    int64_t d, count, lo, hi;
    int rank = 0, free_axis = -1;
    bool open = false, minus = false;
    if (!shape_operand(x, 1, &rank, e)) return false;
    if (!type_elements(t, &count)) return infer_error(x, "the input has too many elements");
    for (int i = 0; i < rank; i++) {
        if (!e_is_int(e[i], &d)) {
            e[i] = open_entry(x, t, i, e[i], &minus);
            open = true;
            continue;
        }
        if (d == 0 && !attr_i(x->n, 0)) {
            if (i >= t->rank)
                return infer_error(x, "axis %d of the shape is 0, which copies an extent, but the input has rank %d", i, t->rank);
            e[i] = type_extent(x->g, t, i);
        } else if (d == -1) {
            if (free_axis >= 0) return infer_error(x, "axes %d and %d of the shape are both -1; at most one may be", free_axis, i);
            free_axis = i;
        } else if (d < 0) {
            return infer_error(x, "axis %d of the shape is %lld; an extent, 0 or -1 is expected", i, (long long)d);
        }
    }
    if (minus && free_axis < 0) { /* which axis it is, if any, shows at run time */
        Expr *known = e_int(a, 1), *rest;
        for (int i = 0; i < rank; i++) known = e_mul(a, known, e_select(a, e_eq(a, e[i], e_int(a, -1)), e_int(a, 1), e[i]));
        rest = e_div(a, type_count(x->g, t, 0, t->rank), e_max(a, known, e_int(a, 1)));
        for (int i = 0; i < rank; i++)
            if (!e_is_int(e[i], &d)) e[i] = e_select(a, e_eq(a, e[i], e_int(a, -1)), rest, e[i]);
    }
    for (int i = 0; i < rank && open; i++) { /* no axis is longer than there are elements */
        if (i == free_axis || (extent_bounds(x->g, e[i], &lo, &hi) && hi <= max_i64(count, 1))) continue;
        const Type *o = x->n->out[0] ? &x->n->out[0]->type : t;
        int64_t most = count == 0 && o->rank == rank ? max_i64(o->dim[i], 1) : max_i64(count, 1);
        e[i] = infer_bounded(x, e[i], 0, most, arena_printf(a, "%s_%d", x->n->out[0] ? x->n->out[0]->name : "axis", i), false);
    }
    if (free_axis >= 0 && !(e[free_axis] = rest_of(x, t, rank, e, free_axis)))
        return infer_error(x, "%lld elements cannot be divided into the shape's other extents", (long long)count);
    return reshaped(x, rank, e, free_axis >= 0);
}
bool infer_flatten(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t axis = attr_i(x->n, 0), count;
    if (axis < -t->rank || axis > t->rank) return infer_error(x, "axis %lld is out of range for rank %d", (long long)axis, t->rank);
    if (axis < 0) axis += t->rank;
    if (!type_elements(t, &count)) return infer_error(x, "the input has too many elements");
    return reshaped(x, 2, (Expr *[]){type_count(x->g, t, 0, (int)axis), type_count(x->g, t, (int)axis, t->rank)}, true);
}
/* The axes of input 1 as a bit mask for rank `rank`. */
static bool axes_mask(Infer *x, int rank, int64_t *mask) {
    const int64_t *v;
    int64_t n;
    *mask = 0;
    if (!infer_ints(x, 1, &v, &n)) return infer_error(x, "the axes are computed at run time; make input 1 a constant");
    for (int64_t i = 0; i < n; i++) {
        int axis;
        if (!infer_axis(x, v[i], rank, &axis)) return false;
        if (*mask >> axis & 1) return infer_error(x, "axis %d is given twice", axis);
        *mask |= (int64_t)1 << axis;
    }
    return true;
}
/* Axes that are known at run time only: where the declared shape says which, the rest must be the operand's. */
static bool axes_declared(Infer *x) {
    const Type *t = &x->n->in[0]->type, *o = &x->n->out[0]->type;
    Expr *e[QN_MAX_RANK];
    if (o->rank < 0 || t->ext || !type_known(&(Type){.dt = t->dt, .rank = 0}))
        return infer_error(x, "the axes are computed at run time; make input 1 a constant, or declare the output's shape");
    for (int i = 0; i < o->rank; i++) {
        if (o->dim[i] < 0)
            return infer_error(x, "the axes are computed at run time; make input 1 a constant, or declare the output's shape");
        e[i] = e_int(x->g->a, o->dim[i]);
    }
    return reshaped(x, o->rank, e, false);
}
static bool axes_constant(const Node *n) { return n->nin < 2 || !n->in[1] || n->in[1]->data; }
bool infer_squeeze(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t mask;
    Expr *e[QN_MAX_RANK];
    int rank = 0;
    if (!axes_constant(x->n)) return axes_declared(x);
    if (!axes_mask(x, t->rank, &mask)) return false;
    bool all = x->n->nin < 2 || !x->n->in[1];
    for (int i = 0; i < t->rank; i++) {
        Expr *d = type_extent(x->g, t, i);
        int64_t one;
        bool out = all ? e_is_int(d, &one) && one == 1 : mask >> i & 1;
        if (out && !infer_require(x, e_eq(x->g->a, d, e_int(x->g->a, 1))))
            return infer_error(x, "axis %d has the extent %lld; only an axis of extent 1 can be removed", i, (long long)t->dim[i]);
        if (!out) e[rank++] = d;
    }
    return reshaped(x, rank, e, true);
}
bool infer_unsqueeze(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t mask;
    Expr *e[QN_MAX_RANK];
    int64_t n = x->n->in[1]->type.rank == 0 ? 1 : x->n->in[1]->type.dim[0];
    if (n > QN_MAX_RANK - t->rank)
        return infer_error(x, "the output would have rank %lld; at most %d is supported", (long long)(t->rank + n), QN_MAX_RANK);
    int rank = t->rank + (int)n, k = 0;
    if (!axes_constant(x->n)) return axes_declared(x);
    if (!axes_mask(x, rank, &mask)) return false;
    for (int i = 0; i < rank; i++) e[i] = mask >> i & 1 ? e_int(x->g->a, 1) : type_extent(x->g, t, k++);
    return reshaped(x, rank, e, true);
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
/* With run-time extents: the position in the row-major order, taken apart again. */
static void reshape_run_time(Lower *L, const Type *from, const Type *to, Expr *const *idx, Expr **res) {
    Arena *a = L->a;
    Expr *flat = e_int(a, 0);
    for (int i = 0; i < to->rank; i++) flat = e_add(a, e_mul(a, flat, lower_dim(L, to, i)), idx[i]);
    for (int i = from->rank - 1; i >= 0; i--) {
        Expr *d = lower_dim(L, from, i);
        res[i] = i ? e_mod(a, flat, d) : flat;
        flat = e_div(a, flat, d);
    }
}
Expr *compute_reshape(Lower *L, Node *n, int out, Expr *const *idx) {
    Expr *at[QN_MAX_RANK];
    const Type *from = &n->in[0]->type, *to = &n->out[out]->type;
    if (from->ext || to->ext) reshape_run_time(L, from, to, idx, at);
    else reshape_index(L->a, from, to, idx, at);
    return lower_load(L, n, 0, at);
}

/* ---- Expand */
bool infer_expand(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int rank, r = 0;
    Expr *e[QN_MAX_RANK], *v[QN_MAX_RANK];
    if (!shape_operand(x, 1, &r, v)) return false;
    rank = r > t->rank ? r : t->rank;
    for (int i = 0; i < rank; i++) {
        int k = i - (rank - t->rank), s = i - (rank - r);
        e[i] = k < 0 ? v[s] : s < 0 ? type_extent(x->g, t, k) : infer_broadcast_extent(x, type_extent(x->g, t, k), v[s]);
        if (e[i]) continue;
        Text out = {0};
        type_print(t, &out), text_printf(&out, " does not broadcast with the shape's extent ");
        expr_print(v[s], &out), text_printf(&out, " of axis %d", s);
        infer_error(x, "%s; extents must be equal or 1, aligned at the last axis", out.s);
        text_free(&out);
        return false;
    }
    return infer_extents(x, 0, t->dt, rank, e);
}
Expr *compute_expand(Lower *L, Node *n, int out, Expr *const *idx) { return lower_load_b(L, n, 0, &n->out[out]->type, idx); }
