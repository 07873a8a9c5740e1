/* SPDX-License-Identifier: Apache-2.0 */
/* microsoft_small.c: operators of com.microsoft that a few of ai.onnx's say in other words.
 *
 *   ComplexMul(x, y)   ->   Concat(Unsqueeze(xr*yr - xi*yi), Unsqueeze(xr*yi + xi*yr))
 */
#include "microsoft_attention.h"
#include <math.h>
#include <string.h>

/* An operator of the default domain with the same operands and attributes, under another name */
bool rewrite_renamed(Ctx *c, Graph *g, Node *n) {
    static const char *const names[][2] = {{"TorchEmbedding", "Gather"}, {"MatMulInteger16", "MatMulInteger"}, {"GatherND", "GatherND"}};
    (void)c;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(n->op->name, names[i][0]) != 0) continue;
        r_done((R){g, n}, 0, build(g, n, names[i][1], n->nin < 2 ? n->nin : 2, n->in));
        return true;
    }
    BUG("operator %s is not in the table", n->op->name);
}

/* ---- complex numbers, whose parts are the last axis */
static Tensor *element(R r, Tensor *x, int axis, int64_t at) {
    Tensor *y = r_op2(r, "Gather", x, tensor_i64s(r.g, &at, -1));
    r_set_i(y, "axis", axis);
    return y;
}
static Tensor *pair(R r, Tensor *re, Tensor *im) {
    int64_t last = -1;
    Tensor *y = r_op2(r, "Concat", r_unsqueezed(r, re, &last, 1), r_unsqueezed(r, im, &last, 1));
    r_set_i(y, "axis", -1);
    return y;
}
bool rewrite_complex_mul(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    bool conj = strcmp(n->op->name, "ComplexMulConj") == 0;
    Tensor *v[2][2], *p[2][2];
    for (int i = 0; i < 2; i++) {
        const Type *t = &n->in[i]->type;
        if (t->rank < 1 || !ma_fixed(t, t->rank - 1) || t->dim[t->rank - 1] != 2)
            return diag_error(c->d, n->loc, "the last axis of input %d is expected to hold a real and an imaginary part", i);
        for (int k = 0; k < 2; k++) v[i][k] = element(r, n->in[i], -1, k);
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) p[i][k] = r_op2(r, "Mul", v[0][i], v[1][k]);
    Tensor *re = r_op2(r, conj ? "Add" : "Sub", p[0][0], p[1][1]);
    r_done(r, 0, pair(r, re, r_op2(r, conj ? "Sub" : "Add", p[1][0], p[0][1])));
    return true;
}
/* Rfft: [..., n] to [..., n/2 + 1, 2]; Irfft back, to an even length. */
static bool transform_fits(Ctx *c, const Node *n) {
    enum { NORMALIZED, ONESIDED, DIMS };
    if (attr_i(n, DIMS) == 1 && attr_i(n, ONESIDED) && !attr_i(n, NORMALIZED)) return true;
    return diag_error(c->d, n->loc,
                      "signal_ndim is %lld, onesided %lld and normalized %lld; 1, 1 and 0 are supported: use one transform an axis, or DFT",
                      (long long)attr_i(n, DIMS), (long long)attr_i(n, ONESIDED), (long long)attr_i(n, NORMALIZED));
}
bool rewrite_rfft(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int64_t last = -1;
    int rank = n->in[0]->type.rank;
    if (!transform_fits(c, n)) return false;
    if (rank < 1) return diag_error(c->d, n->loc, "a scalar has no transform; at least 1 dim is expected");
    if (rank == 1) { /* DFT wants a batch */
        int64_t first = 0;
        Tensor *x = r_unsqueezed(r, r_unsqueezed(r, n->in[0], &first, 1), &last, 1);
        Tensor *y = r_op3(r, "DFT", x, NULL, tensor_i64s(g, (int64_t[]){1}, -1));
        r_set_i(y, "onesided", 1);
        r_done(r, 0, element(r, y, 0, 0));
        return true;
    }
    Tensor *y = r_op3(r, "DFT", r_unsqueezed(r, n->in[0], &last, 1), NULL, tensor_i64s(g, (int64_t[]){rank - 1}, -1));
    r_set_i(y, "onesided", 1);
    r_done(r, 0, y);
    return true;
}
/* The half that is left out is the conjugate of what is there, backwards. */
bool rewrite_irfft(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    int axis = t->rank - 2;
    if (!transform_fits(c, n)) return false;
    if (t->rank < 2 || t->ext || t->dim[t->rank - 1] != 2 || t->dim[axis] < 2)
        return diag_error(c->d, n->loc, "the last axes are expected to be 2 or more complex numbers, of constant extents");
    int64_t half = t->dim[axis], *back = NEW_ARRAY(g->a, int64_t, half), zero = 0;
    for (int64_t i = 0; i < half - 2; i++) back[i] = half - 2 - i;
    Tensor *x = t->rank == 2 ? r_unsqueezed(r, n->in[0], &zero, 1) : n->in[0];
    if (t->rank == 2) axis++;
    Tensor *rest = r_op2(r, "Gather", x, tensor_i64s(g, back, half - 2));
    r_set_i(rest, "axis", axis);
    float *sign = NEW_ARRAY(g->a, float, 2);
    sign[0] = 1, sign[1] = -1;
    Tensor *minus = r_cast(r, tensor_const(g, NULL, DT_FLOAT32, 1, (int64_t[]){2}, sign), t->dt);
    Tensor *all = r_op2(r, "Concat", x, r_op2(r, "Mul", rest, minus));
    r_set_i(all, "axis", axis);
    Tensor *y = r_op3(r, "DFT", all, NULL, tensor_i64s(g, (int64_t[]){axis}, -1));
    r_set_i(y, "inverse", 1);
    y = element(r, y, axis + 1, 0);
    r_done(r, 0, t->rank == 2 ? element(r, y, 0, 0) : y);
    return true;
}

/* ---- matrices */
bool rewrite_gemm_fast_gelu(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor *y = r_op2(r, "MatMul", n->in[0], n->in[1]);
    if (r_in(r, 2)) y = r_op2(r, "Add", y, n->in[2]);
    y = r_op1(r, "Gelu", y);
    r_set_s(y, "approximate", "tanh");
    r_done(r, 0, y);
    return true;
}
/* Distances between the rows of two matrices */
bool rewrite_cdist(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const char *metric = attr_s(n, 0);
    bool root = strcmp(metric, "euclidean") == 0;
    int64_t zero = 0, one = 1, two = 2;
    if (!root && strcmp(metric, "sqeuclidean") != 0)
        return diag_error(c->d, n->loc, "metric is '%s', expected euclidean or sqeuclidean", metric);
    if (n->in[0]->type.rank != 2 || n->in[1]->type.rank != 2)
        return diag_error(c->d, n->loc, "A and B have %d and %d dims, expected 2 each", n->in[0]->type.rank, n->in[1]->type.rank);
    Tensor *d = r_op2(r, "Sub", r_unsqueezed(r, n->in[0], &one, 1), r_unsqueezed(r, n->in[1], &zero, 1));
    d = r_op2(r, "ReduceSumSquare", d, tensor_i64s(g, &two, 1));
    r_set_i(d, "keepdims", 0);
    r_done(r, 0, root ? r_op1(r, "Sqrt", d) : d);
    return true;
}
/* Windows along an axis, their elements as a last axis */
bool rewrite_unfold(Ctx *c, Graph *g, Node *n) {
    enum { DIM, SIZE, STEP };
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    int64_t axis = attr_i(n, DIM), size = attr_i(n, SIZE), step = attr_i(n, STEP), perm[QN_MAX_RANK];
    if (axis < 0) axis += t->rank;
    if (axis < 0 || axis >= t->rank || t->rank >= QN_MAX_RANK)
        return diag_error(c->d, n->loc, "dim %lld is out of range for rank %d", (long long)attr_i(n, DIM), t->rank);
    if (!ma_fixed(t, (int)axis) || size < 1 || step < 1 || size > t->dim[axis])
        return diag_error(c->d, n->loc,
                          "size is %lld and step %lld, expected positive numbers and a window within the constant extent %lld",
                          (long long)size, (long long)step, (long long)t->dim[axis]);
    int64_t count = (t->dim[axis] - size) / step + 1, all;
    if (!mul_ok(count, size, &all) || all > INT32_MAX) return diag_error(c->d, n->loc, "the windows have more than 2^31 elements");
    int64_t *at = NEW_ARRAY(g->a, int64_t, all);
    for (int64_t i = 0; i < all; i++) at[i] = i / size * step + i % size;
    Tensor *y = r_op2(r, "Gather", n->in[0], tensor_const(g, NULL, DT_INT64, 2, (int64_t[]){count, size}, at));
    r_set_i(y, "axis", axis);
    for (int i = 0; i <= t->rank; i++) perm[i] = i <= axis ? i : i < t->rank ? i + 1 : axis + 1;
    r_done(r, 0, r_transpose(r, y, t->rank + 1, perm));
    return true;
}

/* ---- text: -inf for every word that would end an n-gram which is there already */
bool rewrite_ngram_repeat_block(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Arena *a = g->a;
    const Type *t = &n->in[0]->type;
    int64_t size = attr_i(n, 0), most = INT64_MAX, one[] = {1}, two[] = {2};
    if (t->rank != 2 || n->in[1]->type.rank != 2) return diag_error(c->d, n->loc, "input_ids and scores are expected with 2 dims each");
    if (size < 1 || size > INT32_MAX) return diag_error(c->d, n->loc, "ngram_size is %lld, expected at least 1", (long long)size);
    Expr *length = type_extent(g, t, 1), *batch = type_extent(g, t, 0);
    Expr *windows = extent_simplify(g, e_max(a, e_int(a, 0), extent_add(g, length, e_int(a, 1 - size))));
    Tensor *ids = n->in[0], *banned = NULL, *words;
    Expr *before = e_int(a, size - 1);
    if (size > 1) { /* the words before each window's last one, against the last ones of all */
        Tensor *start = r_unsqueezed(r, r_range(r, windows), one, 1), *k = r_range(r, before);
        Tensor *there = r_op2(r, "Gather", ids, r_op2(r, "Add", start, k));
        r_set_i(there, "axis", 1);
        Expr *from = extent_add(g, length, e_int(a, 1 - size));
        Tensor *tail = r_op2(r, "Gather", ids, r_op2(r, "Add", extents_tensor(g, n, 1, &from), k));
        r_set_i(tail, "axis", 1);
        Tensor *same = r_cast(r, r_op2(r, "Equal", there, r_unsqueezed(r, tail, one, 1)), DT_INT32);
        same = r_op2(r, "ReduceMin", same, tensor_i64s(g, two, 1));
        r_set_i(same, "keepdims", 0);
        banned = r_cast(r, same, DT_BOOL);
    } else {
        banned = r_op2(r, "Expand", tensor_scalar(g, DT_BOOL, 1), extents_tensor(g, n, 2, (Expr *[]){batch, windows}));
    }
    Tensor *slice[] = {ids, tensor_i64s(g, (int64_t[]){size - 1}, 1), tensor_i64s(g, &most, 1), tensor_i64s(g, one, 1)};
    words = build(g, n, "Slice", 4, slice);
    DType dt = n->in[1]->type.dt;
    Tensor *by = r_op3(r, "Where", banned, tensor_scalar(g, dt, -INFINITY), tensor_scalar(g, dt, INFINITY));
    Tensor *y = r_op3(r, "ScatterElements", n->in[1], words, by);
    r_set_i(y, "axis", 1), r_set_s(y, "reduction", "min");
    r_done(r, 0, y);
    return true;
}

/* ---- positions */
/* T5's buckets of distances: near ones have their own, far ones share by logarithm. [1, heads, queries, keys] */
bool rewrite_relative_position_bias(Ctx *c, Graph *g, Node *n) {
    enum { FAR, BOTH };
    R r = {g, n};
    Infer x = {c, g, n};
    const Type *t = &n->in[0]->type;
    bool both = attr_i(n, BOTH) != 0;
    Expr **v[2];
    int64_t count, far = attr_i(n, FAR), one = 1, zero = 0;
    for (int i = 0; i < 2; i++) {
        if (!infer_values(&x, 1 + i, &v[i], &count)) return false;
        if (count != 1) return diag_error(c->d, n->loc, "input %d has %lld elements, expected 1", 1 + i, (long long)count);
    }
    if (t->rank != 2 || t->ext) return diag_error(c->d, n->loc, "bias_table is expected to be (buckets, heads), of constant extents");
    int64_t buckets = both ? t->dim[0] / 2 : t->dim[0], exact = buckets / 2;
    if (exact < 1 || far <= exact)
        return diag_error(c->d, n->loc, "%lld buckets and max_distance %lld are no division of distances", (long long)t->dim[0],
                          (long long)far);
    Tensor *d = r_op2(r, "Sub", r_range(r, v[1][0]), r_unsqueezed(r, r_range(r, v[0][0]), &one, 1)), *none = tensor_i64s(g, &zero, -1);
    Tensor *away = both ? r_op1(r, "Abs", d) : r_op2(r, "Max", r_op1(r, "Neg", d), none);
    Tensor *f = r_op2(r, "Div", r_cast(r, r_op2(r, "Max", away, tensor_i64s(g, &one, -1)), DT_FLOAT32), r_f32(r, (double)exact));
    f = r_op2(r, "Div", r_op1(r, "Log", f), r_op1(r, "Log", r_op2(r, "Div", r_f32(r, (double)far), r_f32(r, (double)exact))));
    f = r_op2(r, "Mul", f, r_f32(r, (double)(buckets - exact)));
    Tensor *shared = r_op2(r, "Add", r_cast(r, f, DT_INT64), tensor_i64s(g, &exact, -1));
    shared = r_op2(r, "Min", shared, tensor_i64s(g, (int64_t[]){buckets - 1}, -1));
    Tensor *bucket = r_op3(r, "Where", r_op2(r, "Less", away, tensor_i64s(g, &exact, -1)), away, shared);
    if (both) bucket = r_op2(r, "Add", bucket, r_op3(r, "Where", r_op2(r, "Greater", d, none), tensor_i64s(g, &buckets, -1), none));
    Tensor *y = r_transpose(r, r_op2(r, "Gather", n->in[0], bucket), 3, (int64_t[]){2, 0, 1});
    r_done(r, 0, r_unsqueezed(r, y, &zero, 1));
    return true;
}
/* query, its bias, rel_pos, weight, its bias, eco_a: gates u and r from the query scale rel_pos by u*(r*eco_a - 1) + 2 */
bool rewrite_gated_relative_position_bias(Ctx *c, Graph *g, Node *n) {
    enum { QUERY, QUERY_BIAS, REL_POS, WEIGHT, BIAS, ECO_A, OFFSET };
    R r = {g, n};
    const Type *q = &n->in[QUERY]->type, *w = &n->in[WEIGHT]->type;
    int64_t heads = attr_i(n, 0), size, last = -1, halves[2];
    if (r_in(r, OFFSET)) return diag_error(c->d, n->loc, "token_offset, for packed samples, is not supported; export without packing");
    if (q->rank != 3 || heads < 1 || !ma_set_size(c, r, q, heads, &size))
        return q->rank == 3 && heads >= 1 ? false : diag_error(c->d, n->loc, "query_layer is expected with 3 dims, and num_heads above 0");
    if (w->rank != 2 || w->ext || w->dim[0] != size || w->dim[1] % 2)
        return diag_error(c->d, n->loc, "weight is expected to be (%lld, an even number)", (long long)size);
    Expr *batch = type_extent(g, q, 0), *length = type_extent(g, q, 1), *e[5];
    Tensor *x = ma_apart(r, r_op2(r, "Add", n->in[QUERY], n->in[QUERY_BIAS]), batch, length, heads, size);
    x = r_op2(r, "Add", r_op2(r, "MatMul", x, n->in[WEIGHT]), n->in[BIAS]);
    e[0] = batch, e[1] = e_int(g->a, heads), e[2] = length, e[3] = e_int(g->a, 2), e[4] = e_int(g->a, w->dim[1] / 2);
    x = r_op2(r, "ReduceSum", r_reshaped(r, x, 5, e), tensor_i64s(g, &last, 1));
    r_set_i(x, "keepdims", 0);
    halves[0] = halves[1] = 1;
    Tensor **gate = r_parts(r, r_op1(r, "Sigmoid", x), 3, halves, 2);
    Tensor *by = r_op2(r, "Sub", r_op2(r, "Mul", gate[1], n->in[ECO_A]), tensor_scalar(g, q->dt, 1));
    by = r_op2(r, "Add", r_op2(r, "Mul", gate[0], by), tensor_scalar(g, q->dt, 2));
    r_done(r, 0, r_op2(r, "Mul", by, n->in[REL_POS]));
    return true;
}
