/* SPDX-License-Identifier: Apache-2.0 */
/* norm.c: normalisations over a block of axes: LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization, and LRN,
 * LpNormalization. Mean and variance are taken in one pass, in the computing type: the sums of x and of its squares. Where the mean is so
 * large against the deviation that too much would cancel, squares of what is above the mean are summed up in a second pass.
 *
 *   for each block:  mean = sum x / n;  var = sum x^2 / n - mean^2;  if !(mean^2 <= 16 var): var = sum (x-mean)^2 / n;
 *                    y = (x-mean) / sqrt(var+eps) * scale + bias
 */
#include "../extent.h"
#include <string.h>

enum { LN_AXIS, LN_EPSILON, LN_STASH };

enum { CANCEL = 16 }; /* mean^2 / var up to which so little of the variance cancels that one pass will do */

/* What one mean is of: the axes [first, rank), or, with a group, `per` channels and the axes behind them. */
typedef struct Block {
    Node *n;
    const Type *t;
    int first;
    Expr *group;
    int64_t per;
    Expr *count;
    Expr *idx[QN_MAX_RANK];
} Block;
static void block_loops(Lower *L, Block *b) {
    if (b->group) b->idx[1] = e_add(L->a, e_mul(L->a, b->group, e_int(L->a, b->per)), lower_loop(L, "c", b->per));
    for (int i = b->group ? 2 : b->first; i < b->t->rank; i++)
        b->idx[i] = lower_loop_to(L, arena_printf(L->a, "k%d", i), lower_dim(L, b->t, i));
}
static void block_ends(Lower *L, const Block *b) { lower_ends(L, b->t->rank - b->first); }
static Buf *new_sum(Lower *L, const Block *b, const char *name) {
    DType t = dtype_compute(b->t->dt);
    Buf *sum = lower_temp(L, name, t, 0, NULL);
    lower_put(L, sum, NULL, e_lit(L->a, t, 0), RED_NONE);
    return sum;
}
static Expr *mean_of(Lower *L, const Block *b, Buf *sum) { return e_div(L->a, lower_get(L, sum, NULL), e_cast(L->a, sum->dt, b->count)); }
/* The mean of the squares of x, or of x - centre. */
static Expr *mean_square(Lower *L, Block *b, Expr *centre) {
    Buf *sum = new_sum(L, b, "sum");
    block_loops(L, b);
    Expr *x = lower_load(L, b->n, 0, b->idx);
    x = lower_let(L, "d", centre ? e_sub(L->a, x, centre) : x);
    lower_put(L, sum, NULL, e_mul(L->a, x, x), RED_ADD);
    block_ends(L, b);
    return mean_of(L, b, sum);
}
static Expr *mean_and_variance(Lower *L, Block *b, Expr **var) {
    Arena *a = L->a;
    Buf *sum = new_sum(L, b, "sum"), *square = new_sum(L, b, "square"), *spread = lower_temp(L, "spread", sum->dt, 0, NULL);
    block_loops(L, b);
    Expr *x = lower_let(L, "v", lower_load(L, b->n, 0, b->idx));
    lower_put(L, sum, NULL, x, RED_ADD);
    lower_put(L, square, NULL, e_mul(a, x, x), RED_ADD);
    block_ends(L, b);
    Expr *mean = lower_let(L, "mean", mean_of(L, b, sum)), *high = lower_let(L, "high", e_mul(a, mean, mean));
    Expr *near = lower_let(L, "near", e_sub(a, mean_of(L, b, square), high));
    lower_put(L, spread, NULL, near, RED_NONE);
    lower_if(L, e_un(a, UN_NOT, e_le(a, high, e_mul(a, near, e_lit(a, near->t, CANCEL)))));
    lower_put(L, spread, NULL, mean_square(L, b, mean), RED_NONE);
    lower_end(L);
    *var = lower_let(L, "var", lower_get(L, spread, NULL));
    return mean;
}
static Expr *inverse_root(Lower *L, Expr *var, float eps) {
    Expr *s = e_call1(L->a, CALL_SQRT, e_add(L->a, var, e_lit(L->a, var->t, eps)));
    return lower_let(L, "inv", e_div(L->a, e_lit(L->a, var->t, 1), s));
}

bool infer_layer_norm(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int axis;
    Expr *dim[QN_MAX_RANK];
    if (!infer_axis(x, attr_i(x->n, LN_AXIS), t->rank, &axis)) return false;
    for (int i = 0; i < t->rank; i++) dim[i] = i < axis ? type_extent(x->g, t, i) : e_int(x->g->a, 1);
    int64_t stash = attr_i(x->n, LN_STASH); /* what mean and deviation are computed in, at least */
    if (!dtype_valid((int)stash) || !dtype_is_float((DType)stash) || dtype_info[stash].bits < 16)
        return infer_error(x, "stash_type is %lld; the number of a float type is expected: 1 for float32", (long long)stash);
    for (int o = 1; o < x->n->nout; o++)
        if (x->n->out[o] && !infer_extents(x, o, (DType)stash, t->rank, dim)) return false;
    for (int i = 1; i < x->n->nin; i++) {
        const Type *s = x->n->in[i] ? &x->n->in[i]->type : t;
        bool fits = s->rank <= t->rank;
        for (int k = 0; fits && k < s->rank; k++)
            fits = (s->dim[k] == 1 && !(s->ext && s->ext[k])) ||
                   infer_same_extent(x, type_extent(x->g, s, k), type_extent(x->g, t, k + t->rank - s->rank));
        if (!fits) return infer_error(x, "input %d '%s' does not broadcast to the shape of input 0", i, x->n->in[i]->name);
    }
    bool rms = strcmp(x->n->op->name, "RMSNormalization") == 0;
    return infer_like(x, 0, rms ? x->n->in[1]->type.dt : t->dt, t);
}
/* LayerNormalization and, without mean and bias, RMSNormalization. */
bool lower_layer_norm(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    bool rms = strcmp(n->op->name, "RMSNormalization") == 0;
    int64_t axis = attr_i(n, LN_AXIS);
    Block b = {.n = n, .t = t, .first = (int)(axis < 0 ? axis + t->rank : axis), .count = e_int(L->a, 1)};
    for (int i = b.first; i < t->rank; i++) b.count = e_mul(L->a, b.count, lower_dim(L, t, i));
    for (int i = 0; i < b.first; i++) b.idx[i] = lower_loop_to(L, arena_printf(L->a, "i%d", i), lower_dim(L, t, i));
    Expr *var, *mean = rms ? (var = mean_square(L, &b, NULL), NULL) : mean_and_variance(L, &b, &var);
    Expr *inv = inverse_root(L, var, attr_f(n, LN_EPSILON));
    Expr *stat[QN_MAX_RANK];
    for (int i = 0; i < t->rank; i++) stat[i] = i < b.first ? b.idx[i] : e_int(L->a, 0);
    for (int o = 1; o < n->nout; o++)
        if (n->out[o]) lower_store(L, n, o, stat, e_cast(L->a, dtype_compute(n->out[o]->type.dt), o == 1 ? mean : inv));
    block_loops(L, &b);
    Expr *x = lower_load(L, n, 0, b.idx);
    if (mean) x = e_sub(L->a, x, mean);
    x = e_mul(L->a, e_mul(L->a, x, inv), e_cast(L->a, x->t, lower_load_b(L, n, 1, t, b.idx)));
    if (n->nin > 2 && n->in[2]) x = e_add(L->a, x, e_cast(L->a, x->t, lower_load_b(L, n, 2, t, b.idx)));
    lower_store(L, n, 0, b.idx, e_cast(L->a, dtype_compute(n->out[0]->type.dt), x));
    block_ends(L, &b);
    lower_ends(L, b.first);
    return true;
}

/* ---- per instance: every channel, or group of channels, of every sample */
enum { IN_EPSILON, GN_GROUPS };
bool infer_instance_norm(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (t->rank < 2) return infer_error(x, "the input has %d dims, expected at least 2", t->rank);
    if (t->ext && t->ext[1]) return infer_error(x, "the number of channels is known at run time only; fix axis 1 with --dim");
    for (int i = 1; i < 3; i++)
        if (x->n->in[i]->type.rank != 1 || x->n->in[i]->type.dim[0] != t->dim[1])
            return infer_error(x, "input %d is not a vector of %lld elements, one a channel", i, (long long)t->dim[1]);
    if (x->n->op->nattr > GN_GROUPS) {
        int64_t g = attr_i(x->n, GN_GROUPS);
        if (g < 1 || t->dim[1] % g)
            return infer_error(x, "num_groups is %lld, which does not divide %lld channels", (long long)g, (long long)t->dim[1]);
    }
    return infer_same(x);
}
bool lower_instance_norm(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    int64_t groups = n->op->nattr > GN_GROUPS ? attr_i(n, GN_GROUPS) : t->dim[1];
    Block b = {.n = n, .t = t, .first = 1, .per = t->dim[1] / groups};
    b.count = e_int(L->a, b.per);
    for (int i = 2; i < t->rank; i++) b.count = e_mul(L->a, b.count, lower_dim(L, t, i));
    b.idx[0] = lower_loop_to(L, "n", lower_dim(L, t, 0));
    b.group = lower_loop(L, "g", groups);
    Expr *var, *mean = mean_and_variance(L, &b, &var), *inv = inverse_root(L, var, attr_f(n, IN_EPSILON));
    block_loops(L, &b);
    Expr *x = e_mul(L->a, e_sub(L->a, lower_load(L, n, 0, b.idx), mean), inv);
    Expr *scale = e_cast(L->a, x->t, lower_load(L, n, 1, &b.idx[1])), *bias = e_cast(L->a, x->t, lower_load(L, n, 2, &b.idx[1]));
    lower_store(L, n, 0, b.idx, e_add(L->a, e_mul(L->a, x, scale), bias));
    block_ends(L, &b);
    lower_ends(L, 2);
    return true;
}

/* ---- LRN: across channels */
enum { LRN_ALPHA, LRN_BETA, LRN_BIAS, LRN_SIZE };
bool infer_lrn(Infer *x) {
    if (x->n->in[0]->type.rank < 2) return infer_error(x, "the input has %d dims, expected at least 2", x->n->in[0]->type.rank);
    if (attr_i(x->n, LRN_SIZE) < 1) return infer_error(x, "size is %lld, expected at least 1", (long long)attr_i(x->n, LRN_SIZE));
    return infer_same(x);
}
bool lower_lrn(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    Arena *a = L->a;
    DType ct = dtype_compute(t->dt);
    int64_t size = attr_i(n, LRN_SIZE), before = (size - 1) / 2, behind = size - 1 - before;
    Expr *idx[QN_MAX_RANK], *other[QN_MAX_RANK];
    lower_loops(L, NULL, t, idx);
    Buf *acc = lower_temp(L, "acc", ct, 0, NULL);
    lower_put(L, acc, NULL, e_lit(a, ct, 0), RED_NONE);
    for (int i = 0; i < t->rank; i++) other[i] = idx[i];
    other[1] = lower_loop_range(L, "c", e_max(a, e_int(a, 0), e_sub(a, idx[1], e_int(a, before))),
                                e_min(a, lower_dim(L, t, 1), e_add(a, idx[1], e_int(a, behind + 1))));
    Expr *x = lower_let(L, "x", lower_load(L, n, 0, other));
    lower_put(L, acc, NULL, e_mul(a, x, x), RED_ADD);
    lower_end(L);
    Expr *d = e_add(a, e_lit(a, ct, attr_f(n, LRN_BIAS)),
                    e_mul(a, e_lit(a, ct, (double)attr_f(n, LRN_ALPHA) / (double)size), lower_get(L, acc, NULL)));
    lower_store(L, n, 0, idx, e_div(a, lower_load(L, n, 0, idx), e_call2(a, CALL_POW, d, e_lit(a, ct, attr_f(n, LRN_BETA)))));
    lower_ends(L, t->rank);
    return true;
}
