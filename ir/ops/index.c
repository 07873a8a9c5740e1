/* SPDX-License-Identifier: Apache-2.0 */
/* index.c: ops whose indices are data: gathers, scatters, OneHot, and running sums. A negative index counts from the end; one
 * that is out of range is brought to the nearest end, so that no access leaves its tensor.
 *
 *   Gather(x: float32[5,4], i: int64[3])   ->   out[a,b] = x[clamp(i[a] < 0 ? i[a]+5 : i[a], 0, 4), b]
 */
#include "../extent.h"
#include <string.h>

/* Whether every value of a constant index operand is already in [0, extent). */
static bool indices_plain(const Tensor *t, int64_t extent) {
    int64_t n;
    if (!t->data || !type_elements(&t->type, &n)) return false;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = dtype_get_i(t->type.dt, t->data, i);
        if (v < 0 || v >= extent) return false;
    }
    return true;
}
static Expr *wrap_index(Lower *L, Expr *i, Expr *extent) {
    Arena *a = L->a;
    i = e_cast(a, DT_INT64, i);
    i = e_select(a, e_lt(a, i, e_int(a, 0)), e_add(a, i, extent), i);
    return e_max(a, e_int(a, 0), e_min(a, i, e_sub(a, extent, e_int(a, 1))));
}
/* Element `at` of index operand `input`, fit for an axis of extent d. The test of all values is made only for small operands. */
static Expr *index_at(Lower *L, Node *n, int input, Expr *const *at, Expr *d) {
    int64_t count, c;
    if (e_is_int(d, &c) && c == 1) return e_int(L->a, 0); /* the only place there is */
    Expr *i = lower_load(L, n, input, at);
    if (e_is_int(d, &c) && n->in[input]->data && type_elements(&n->in[input]->type, &count) && count > 1 && count <= 65536 &&
        indices_plain(n->in[input], c))
        return e_cast(L->a, DT_INT64, i);
    return wrap_index(L, i, d);
}
static bool check_not_empty(Infer *x, int64_t extent, int axis) {
    int64_t n;
    if (extent > 0 || (x->n->out[0] && type_elements(&x->n->out[0]->type, &n) && n == 0)) return true;
    return infer_error(x, "axis %d has no elements to take", axis);
}

/* ---- Gather */
bool infer_gather(Infer *x) {
    const Type *t = &x->n->in[0]->type, *i = &x->n->in[1]->type;
    Expr *dim[QN_MAX_RANK];
    int axis, rank = 0;
    if (t->rank < 1) return infer_error(x, "input 0 '%s' is a scalar; at least one axis is expected", x->n->in[0]->name);
    if (!infer_axis(x, attr_i(x->n, 0), t->rank, &axis)) return false;
    if (t->rank + i->rank - 1 > QN_MAX_RANK)
        return infer_error(x, "the output would have rank %d; at most %d is supported", t->rank + i->rank - 1, QN_MAX_RANK);
    for (int k = 0; k < axis; k++) dim[rank++] = type_extent(x->g, t, (int)(k));
    for (int k = 0; k < i->rank; k++) dim[rank++] = type_extent(x->g, i, (int)(k));
    for (int k = axis + 1; k < t->rank; k++) dim[rank++] = type_extent(x->g, t, (int)(k));
    return infer_extents(x, 0, t->dt, rank, dim) && check_not_empty(x, t->dim[axis], axis);
}
Expr *compute_gather(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    const Type *t = &n->in[0]->type;
    int axis = (int)(attr_i(n, 0) < 0 ? attr_i(n, 0) + t->rank : attr_i(n, 0)), ri = n->in[1]->type.rank;
    Expr *at[QN_MAX_RANK];
    for (int k = 0; k < axis; k++) at[k] = idx[k];
    at[axis] = index_at(L, n, 1, idx + axis, lower_dim(L, t, (int)(axis)));
    for (int k = axis + 1; k < t->rank; k++) at[k] = idx[k - 1 + ri];
    return lower_load(L, n, 0, at);
}

/* ---- GatherElements */
bool infer_gather_elements(Infer *x) {
    const Type *t = &x->n->in[0]->type, *i = &x->n->in[1]->type;
    int axis;
    if (t->rank != i->rank || t->rank < 1)
        return infer_error(x, "data and indices have ranks %d and %d; the same rank is expected", t->rank, i->rank);
    if (!infer_axis(x, attr_i(x->n, 0), t->rank, &axis)) return false;
    for (int k = 0; k < t->rank; k++)
        if (k != axis && !infer_require(x, e_le(x->g->a, type_extent(x->g, i, k), type_extent(x->g, t, k))))
            return infer_error(x, "indices have the extent %lld in axis %d, but data have %lld", (long long)i->dim[k], k,
                               (long long)t->dim[k]);
    return infer_like(x, 0, t->dt, i) && check_not_empty(x, t->dim[axis], axis);
}
Expr *compute_gather_elements(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    const Type *t = &n->in[0]->type;
    int axis = (int)(attr_i(n, 0) < 0 ? attr_i(n, 0) + t->rank : attr_i(n, 0));
    Expr *at[QN_MAX_RANK];
    for (int k = 0; k < t->rank; k++) at[k] = idx[k];
    at[axis] = index_at(L, n, 1, idx, lower_dim(L, t, (int)(axis)));
    return lower_load(L, n, 0, at);
}

/* ---- GatherND: the last axis of indices holds index tuples */
bool infer_gather_nd(Infer *x) {
    const Type *t = &x->n->in[0]->type, *i = &x->n->in[1]->type;
    int64_t b = attr_i(x->n, 0);
    Expr *dim[2 * QN_MAX_RANK];
    int rank = 0;
    if (i->rank < 1 || t->rank < 1)
        return infer_error(x, "data and indices have ranks %d and %d; at least 1 is expected", t->rank, i->rank);
    int64_t len = i->dim[i->rank - 1];
    if (b < 0 || b >= i->rank || b + len > t->rank)
        return infer_error(x, "batch_dims %lld and index tuples of length %lld do not fit data of rank %d", (long long)b, (long long)len,
                           t->rank);
    for (int64_t k = 0; k < b; k++)
        if (!infer_require(x, e_eq(x->g->a, type_extent(x->g, t, (int)k), type_extent(x->g, i, (int)k))))
            return infer_error(x, "batch axis %lld has the extents %lld and %lld", (long long)k, (long long)t->dim[k],
                               (long long)i->dim[k]);
    for (int k = 0; k < i->rank - 1; k++) dim[rank++] = type_extent(x->g, i, (int)(k));
    for (int64_t k = b + len; k < t->rank; k++) dim[rank++] = type_extent(x->g, t, (int)(k));
    if (rank > QN_MAX_RANK) return infer_error(x, "the output would have rank %d; at most %d is supported", rank, QN_MAX_RANK);
    if (!infer_extents(x, 0, t->dt, rank, dim)) return false;
    for (int64_t k = b; k < b + len; k++)
        if (!check_not_empty(x, t->dim[k], (int)k)) return false;
    return true;
}
Expr *compute_gather_nd(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    const Type *t = &n->in[0]->type, *it = &n->in[1]->type;
    int64_t b = attr_i(n, 0), len = it->dim[it->rank - 1];
    int lead = it->rank - 1;
    Expr *at[QN_MAX_RANK], *tuple[QN_MAX_RANK];
    for (int k = 0; k < lead; k++) tuple[k] = idx[k];
    for (int64_t k = 0; k < b; k++) at[k] = idx[k];
    for (int64_t k = 0; k < len; k++) {
        tuple[lead] = e_int(L->a, k);
        at[b + k] = index_at(L, n, 1, tuple, lower_dim(L, t, (int)(b + k)));
    }
    for (int64_t k = b + len; k < t->rank; k++) at[k] = idx[lead + k - b - len];
    return lower_load(L, n, 0, at);
}

/* ---- scatters: the data are copied, then updated in the order of the updates */
static const struct {
    const char *name;
    RedOp op;
} reductions[] = {{"none", RED_NONE}, {"add", RED_ADD}, {"mul", RED_MUL}, {"max", RED_MAX}, {"min", RED_MIN}};
static bool reduction_of(const Node *n, int attr, RedOp *op) {
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (strcmp(attr_s(n, attr), reductions[i].name) == 0) return *op = reductions[i].op, true;
    return false;
}
static void update(Lower *L, Node *n, int attr, Buf *y, Expr *const *at, Expr *v) {
    RedOp op = RED_NONE;
    reduction_of(n, attr, &op);
    if (v->t == DT_BOOL && op != RED_NONE) op = op == RED_ADD || op == RED_MAX ? RED_OR : RED_AND; /* as sums and products of bits */
    lower_put(L, y, at, v, op);
}
static Buf *copy_data(Lower *L, Node *n) {
    Buf *y = lower_tensor(L, n->out[0]);
    Expr *idx[QN_MAX_RANK], *flat;
    lower_loops(L, NULL, &n->out[0]->type, idx);
    lower_put(L, y, lower_buffer_index(L, n->out[0], idx, &flat), lower_load(L, n, 0, idx), RED_NONE);
    lower_ends(L, n->out[0]->type.rank);
    return y;
}
bool infer_scatter_elements(Infer *x) {
    const Type *t = &x->n->in[0]->type, *i = &x->n->in[1]->type, *u = &x->n->in[2]->type;
    int axis;
    RedOp op;
    int64_t count;
    if (!reduction_of(x->n, 1, &op)) return infer_error(x, "reduction is '%s'; none, add, mul, max or min is expected", attr_s(x->n, 1));
    if (t->rank != i->rank || t->rank != u->rank || t->rank < 1)
        return infer_error(x, "data, indices and updates have ranks %d, %d and %d; the same rank is expected", t->rank, i->rank, u->rank);
    if (!infer_axis(x, attr_i(x->n, 0), t->rank, &axis)) return false;
    for (int k = 0; k < t->rank; k++) {
        if (!infer_require(x, e_eq(x->g->a, type_extent(x->g, i, k), type_extent(x->g, u, k))))
            return infer_error(x, "indices and updates have the extents %lld and %lld in axis %d", (long long)i->dim[k],
                               (long long)u->dim[k], k);
        if (k != axis && !infer_require(x, e_le(x->g->a, type_extent(x->g, i, k), type_extent(x->g, t, k))))
            return infer_error(x, "indices have the extent %lld in axis %d, but data have %lld", (long long)i->dim[k], k,
                               (long long)t->dim[k]);
    }
    if (t->dim[axis] == 0 && type_elements(i, &count) && count > 0) return infer_error(x, "axis %d has no elements to update", axis);
    return infer_like(x, 0, t->dt, t);
}
bool lower_scatter_elements(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    int axis = (int)(attr_i(n, 0) < 0 ? attr_i(n, 0) + t->rank : attr_i(n, 0));
    Expr *idx[QN_MAX_RANK], *at[QN_MAX_RANK];
    Buf *y = copy_data(L, n);
    lower_loops(L, NULL, &n->in[1]->type, idx);
    for (int k = 0; k < t->rank; k++) at[k] = idx[k];
    at[axis] = lower_let(L, "at", index_at(L, n, 1, idx, lower_dim(L, t, (int)(axis))));
    Expr *flat;
    update(L, n, 1, y, lower_buffer_index(L, n->out[0], at, &flat), lower_load(L, n, 2, idx));
    lower_ends(L, t->rank);
    return true;
}
bool infer_scatter_nd(Infer *x) {
    const Type *t = &x->n->in[0]->type, *i = &x->n->in[1]->type, *u = &x->n->in[2]->type;
    RedOp op;
    int64_t count;
    if (!reduction_of(x->n, 0, &op)) return infer_error(x, "reduction is '%s'; none, add, mul, max or min is expected", attr_s(x->n, 0));
    if (i->rank < 1 || t->rank < 1)
        return infer_error(x, "data and indices have ranks %d and %d; at least 1 is expected", t->rank, i->rank);
    int64_t len = i->dim[i->rank - 1];
    if (len > t->rank) return infer_error(x, "index tuples have length %lld, but data have rank %d", (long long)len, t->rank);
    bool ok = u->rank == i->rank - 1 + t->rank - len;
    for (int k = 0; ok && k < u->rank; k++) {
        Expr *want = k < i->rank - 1 ? type_extent(x->g, i, k) : type_extent(x->g, t, (int)len + k - (i->rank - 1));
        ok = infer_require(x, e_eq(x->g->a, type_extent(x->g, u, k), want));
    }
    if (!ok)
        return infer_error(x, "the shape of updates is expected to be that of indices without its last axis, then data's axes from %lld on",
                           (long long)len);
    for (int64_t k = 0; k < len; k++)
        if (t->dim[k] == 0 && type_elements(u, &count) && count > 0)
            return infer_error(x, "axis %lld has no elements to update", (long long)k);
    return infer_like(x, 0, t->dt, t);
}
bool lower_scatter_nd(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type, *it = &n->in[1]->type, *ut = &n->in[2]->type;
    int lead = it->rank - 1;
    int64_t len = it->dim[lead], count;
    Expr *idx[QN_MAX_RANK], *tuple[QN_MAX_RANK], *at[QN_MAX_RANK];
    Buf *y = copy_data(L, n);
    if (type_elements(ut, &count) && count == 0) return true;
    for (int k = 0; k < lead; k++) idx[k] = tuple[k] = lower_loop_to(L, arena_printf(L->a, "i%d", k), lower_dim(L, it, k));
    for (int64_t k = 0; k < len; k++) { /* once per tuple, outside the loops over the slice */
        tuple[lead] = e_int(L->a, k);
        at[k] = lower_let(L, "at", index_at(L, n, 1, tuple, lower_dim(L, t, (int)(k))));
    }
    for (int k = lead; k < ut->rank; k++) {
        idx[k] = lower_loop_to(L, arena_printf(L->a, "i%d", k), lower_dim(L, ut, k));
        at[len + k - lead] = idx[k];
    }
    Expr *flat;
    update(L, n, 0, y, lower_buffer_index(L, n->out[0], at, &flat), lower_load(L, n, 2, idx));
    lower_ends(L, ut->rank);
    return true;
}

/* ---- OneHot: indices, depth, values [off, on] */
bool infer_one_hot(Infer *x) {
    const Type *i = &x->n->in[0]->type, *v = &x->n->in[2]->type;
    int64_t count;
    int axis;
    if (v->rank != 1 || v->dim[0] != 2) return infer_error(x, "values is expected to be one axis of 2: off and on");
    if (!type_elements(&x->n->in[1]->type, &count) || count != 1) return infer_error(x, "depth is expected to have one element");
    if (i->rank + 1 > QN_MAX_RANK)
        return infer_error(x, "the output would have rank %d; at most %d is supported", i->rank + 1, QN_MAX_RANK);
    if (!infer_axis(x, attr_i(x->n, 0), i->rank + 1, &axis)) return false;
    Expr *dim[QN_MAX_RANK], **depth, *d;
    const Tensor *dt = x->n->in[1];
    if (dt->data) d = e_int(x->g->a, dtype_get_i(dt->type.dt, dt->data, 0));
    else if (dtype_is_int(dt->type.dt) && infer_values(x, 1, &depth, &count)) d = depth[0];
    else if (dtype_is_float(dt->type.dt)) d = infer_value_of(x, infer_build(x, "Cast", 1, &x->n->in[1], DT_INT64), 0);
    else return false;
    for (int k = 0; k <= i->rank; k++) dim[k] = k < axis ? type_extent(x->g, i, k) : k > axis ? type_extent(x->g, i, k - 1) : d;
    return infer_extents(x, 0, v->dt, i->rank + 1, dim);
}
Expr *compute_one_hot(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    const Type *o = &n->out[out]->type;
    int axis = (int)(attr_i(n, 0) < 0 ? attr_i(n, 0) + o->rank : attr_i(n, 0));
    Expr *at[QN_MAX_RANK], *zero = e_int(a, 0), *one = e_int(a, 1);
    for (int k = 0; k + 1 < o->rank; k++) at[k] = idx[k < axis ? k : k + 1];
    Expr *i = e_cast(a, DT_INT64, lower_load(L, n, 0, at)), *depth = lower_dim(L, o, axis);
    i = e_select(a, e_lt(a, i, zero), e_add(a, i, depth), i);
    return e_select(a, e_eq(a, i, idx[axis]), lower_load(L, n, 2, &one), lower_load(L, n, 2, &zero));
}

/* ---- CumSum and CumProd: one running value along an axis. An axis known only at run time gives one nest per axis. */
bool infer_cumulate(Infer *x) {
    const Tensor *k = x->n->in[1];
    int axis;
    int64_t count;
    if (!type_elements(&k->type, &count) || count != 1) return infer_error(x, "axis is expected to have one element");
    if (k->data && !infer_axis(x, dtype_get_i(k->type.dt, k->data, 0), x->n->in[0]->type.rank, &axis)) return false;
    return infer_same(x);
}
static void cumulate_along(Lower *L, Node *n, int axis, BinOp op) {
    const Type *t = &n->out[0]->type;
    bool exclusive = attr_i(n, 0), reverse = attr_i(n, 1);
    DType ct = dtype_compute(t->dt);
    Expr *idx[QN_MAX_RANK];
    for (int k = 0; k < t->rank; k++)
        if (k != axis) idx[k] = lower_loop_to(L, arena_printf(L->a, "i%d", k), lower_dim(L, t, k));
    Buf *acc = lower_temp(L, "acc", ct, 0, NULL);
    lower_put(L, acc, NULL, e_lit(L->a, ct, op == BIN_MUL), RED_NONE);
    Expr *i = lower_loop_to(L, arena_printf(L->a, "i%d", axis), lower_dim(L, t, axis));
    idx[axis] = reverse ? e_sub(L->a, e_sub(L->a, lower_dim(L, t, axis), e_int(L->a, 1)), i) : i;
    if (exclusive) {
        Expr *x = lower_let(L, "x", lower_load(L, n, 0, idx)); /* the output may take over the input's storage */
        lower_store(L, n, 0, idx, lower_get(L, acc, NULL));
        lower_put(L, acc, NULL, x, op == BIN_MUL ? RED_MUL : RED_ADD);
    } else {
        lower_put(L, acc, NULL, lower_load(L, n, 0, idx), op == BIN_MUL ? RED_MUL : RED_ADD);
        lower_store(L, n, 0, idx, lower_get(L, acc, NULL));
    }
    lower_ends(L, t->rank);
}
static bool lower_cumulate(Lower *L, Node *n, BinOp op) {
    const Tensor *k = n->in[1];
    int rank = n->in[0]->type.rank;
    if (k->data) {
        int64_t axis = dtype_get_i(k->type.dt, k->data, 0);
        cumulate_along(L, n, (int)(axis < 0 ? axis + rank : axis), op);
        return true;
    }
    Expr *zero[QN_MAX_RANK];
    for (int i = 0; i < QN_MAX_RANK; i++) zero[i] = e_int(L->a, 0);
    Expr *axis = lower_let(L, "axis", wrap_index(L, lower_load(L, n, 1, zero), e_int(L->a, rank)));
    for (int i = 0; i < rank; i++) {
        lower_if(L, e_eq(L->a, axis, e_int(L->a, i)));
        cumulate_along(L, n, i, op);
        lower_end(L);
    }
    return true;
}
bool lower_cumsum(Lower *L, Node *n) { return lower_cumulate(L, n, BIN_ADD); }
bool lower_cumprod(Lower *L, Node *n) { return lower_cumulate(L, n, BIN_MUL); }

/* ---- Col2Im: each pixel adds up the columns whose blocks cover it */
enum { C2I_DILATIONS, C2I_PADS, C2I_STRIDES };
static int64_t listed(const Node *n, int attr, int i, int64_t def) {
    return attr_has(n, attr) && n->attr[attr].n > i ? n->attr[attr].is[i] : def;
}
/* Positions of a block along axis k; image and block may be known at run time only. */
static Expr *col2im_count(Graph *g, const Node *n, int k, int ns, Expr *image, Expr *block) {
    Arena *a = g->a;
    Expr *span = extent_mul(g, extent_add(g, block, e_int(a, -1)), e_int(a, listed(n, C2I_DILATIONS, k, 1)));
    Expr *room = extent_add(g, image, e_int(a, listed(n, C2I_PADS, k, 0) + listed(n, C2I_PADS, k + ns, 0) - 1));
    Expr *rest = extent_simplify(g, e_max(a, e_sub(a, room, span), e_int(a, -listed(n, C2I_STRIDES, k, 1))));
    return extent_add(g, extent_floor_div(g, rest, listed(n, C2I_STRIDES, k, 1)), e_int(a, 1));
}
bool infer_col2im(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Graph *g = x->g;
    Arena *a = g->a;
    Expr **image, **block, *e[QN_MAX_RANK], *size = e_int(a, 1), *columns = e_int(a, 1);
    int64_t ni, nb;
    if (t->rank != 3) return infer_error(x, "the input has rank %d; 3 is expected", t->rank);
    if (t->dt == DT_STRING) return infer_error(x, "strings have no sum");
    if (!infer_values(x, 1, &image, &ni) || !infer_values(x, 2, &block, &nb)) return false;
    if (nb < 1 || nb + 2 > QN_MAX_RANK) return infer_error(x, "block_shape has %lld entries", (long long)nb);
    if (ni != nb) return infer_error(x, "image_shape and block_shape have %lld and %lld entries", (long long)ni, (long long)nb);
    for (int i = 0; i < nb; i++) {
        int64_t d = listed(x->n, C2I_DILATIONS, i, 1), s = listed(x->n, C2I_STRIDES, i, 1), v;
        int64_t before = listed(x->n, C2I_PADS, i, 0), behind = listed(x->n, C2I_PADS, i + (int)nb, 0);
        bool bad = (e_is_int(block[i], &v) && (v < 1 || v > INT32_MAX)) || (e_is_int(image[i], &v) && (v < 0 || v > INT32_MAX));
        if (bad || d < 1 || s < 1 || max_i64(d, s) > INT32_MAX)
            return infer_error(x, "axis %d: the block, its dilation and stride are expected to be positive", i);
        if (before < 0 || behind < 0 || before > INT32_MAX || behind > INT32_MAX)
            return infer_error(x, "pads of axis %d are expected to be from 0 to 2^31 - 1", i);
        block[i] = infer_bounded(x, block[i], 1, INT32_MAX, "block", false);
        e[i + 2] = image[i];
        size = extent_mul(g, size, block[i]);
        columns = extent_mul(g, columns, col2im_count(g, x->n, i, (int)nb, image[i], block[i]));
    }
    Expr *rows = type_extent(g, t, 1);
    if (!infer_require(x, e_eq(a, e_mod(a, rows, size), e_int(a, 0))) || !infer_require(x, e_eq(a, type_extent(g, t, 2), columns)))
        return infer_error(
            x, "the input has %lld rows and %lld columns; a multiple of the block's elements and one column per block are expected",
            (long long)t->dim[1], (long long)t->dim[2]);
    e[0] = type_extent(g, t, 0);
    e[1] = infer_bounded(x, e_div(a, rows, size), 0, t->dim[1], "channels", true);
    return infer_extents(x, 0, t->dt, (int)nb + 2, e);
}
bool lower_col2im(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *o = &n->out[0]->type;
    int ns = o->rank - 2;
    Expr *idx[QN_MAX_RANK], *block[QN_MAX_RANK], *counts[QN_MAX_RANK], *row, *col = e_int(a, 0), *ok = e_lit_i(a, DT_BOOL, 1);
    DType ct = o->dt == DT_BOOL ? DT_INT64 : dtype_compute(o->dt); /* whether any is true: how many are, is not 0 */
    for (int k = 0; k < ns; k++) {
        Expr *i = e_int(a, k);
        block[k] = n->in[2]->data ? e_int(a, dtype_get_i(n->in[2]->type.dt, n->in[2]->data, k))
                                  : lower_let(L, "block", e_cast(a, DT_INT64, lower_load(L, n, 2, &i)));
        counts[k] = lower_let(L, "count", col2im_count(L->g, n, k, ns, lower_dim(L, o, k + 2), block[k]));
    }
    lower_loops(L, NULL, o, idx);
    Buf *acc = lower_temp(L, "acc", ct, 0, NULL);
    lower_put(L, acc, NULL, e_lit(a, ct, 0), RED_NONE);
    row = idx[1];
    for (int k = 0; k < ns; k++) {
        int64_t s = listed(n, C2I_STRIDES, k, 1);
        Expr *b = lower_loop_to(L, arena_printf(a, "k%d", k), block[k]);
        Expr *at =
            e_sub(a, e_add(a, idx[k + 2], e_int(a, listed(n, C2I_PADS, k, 0))), e_mul(a, b, e_int(a, listed(n, C2I_DILATIONS, k, 1))));
        Expr *pos = e_div(a, at, e_int(a, s));
        ok = e_bin(a, BIN_LAND, ok, e_bin(a, BIN_LAND, e_le(a, e_int(a, 0), at), e_lt(a, pos, counts[k])));
        if (s > 1) ok = e_bin(a, BIN_LAND, ok, e_eq(a, e_mod(a, at, e_int(a, s)), e_int(a, 0)));
        row = e_add(a, e_mul(a, row, block[k]), b);
        col = e_add(a, e_mul(a, col, counts[k]), pos);
    }
    lower_if(L, ok);
    Expr *v = lower_load(L, n, 0, (Expr *[]){idx[0], row, col});
    lower_put(L, acc, NULL, v->t == DT_BOOL ? e_cast(a, ct, v) : v, RED_ADD);
    lower_end(L);
    lower_ends(L, ns);
    lower_store(L, n, 0, idx, lower_get(L, acc, NULL));
    lower_ends(L, o->rank);
    return true;
}
