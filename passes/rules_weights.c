/* SPDX-License-Identifier: Apache-2.0 */
/* rules_weights.c: rules which fold arithmetic into the weights and padding of a convolution, pooling or matrix product. The
 * new weights are built as ordinary nodes over constants; the matcher evaluates them at once.
 *
 *   c = Conv(x, w, b); y = Mul(c, k: float32[64,1,1])     --->     y = Conv(x, w*k, b*k)
 */
#include "rules.h"
#include <math.h>
#include <string.h>

/* ---- padding */
enum { SPATIAL = QN_MAX_RANK };
/* The zeros a Pad puts around the spatial axes, begins then ends; false if it does anything else. */
static bool spatial_pads(const Match *m, const Node *pad, int64_t *out) {
    const Tensor *x = pad->in[0];
    int rank = x->type.rank, ns = rank - 2;
    int64_t np, na = rank, axes_all[QN_MAX_RANK];
    double v = 0;
    const int64_t *p = const_i64s(m->g->a, VAR(m, 'p'), &np), *axes = axes_all;
    for (int i = 0; i < rank; i++) axes_all[i] = i;
    if (VAR(m, 'a')) axes = const_i64s(m->g->a, VAR(m, 'a'), &na);
    if (!p || !axes || rank < 3 || np != 2 * na || strcmp(get_s(pad, "mode", "constant"), "constant") != 0) return false;
    if (VAR(m, 'v') && tensor_elements(VAR(m, 'v')) && (!const_f(VAR(m, 'v'), &v) || v != 0)) return false;
    memset(out, 0, sizeof *out * 2 * (size_t)ns);
    for (int64_t i = 0; i < na; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (p[i] < 0 || p[na + i] < 0 || axis < 0 || axis >= rank || (axis < 2 && (p[i] || p[na + i]))) return false;
        if (axis >= 2) out[axis - 2] = p[i], out[ns + axis - 2] = p[na + i];
    }
    return true;
}
/* The consumer's own padding; false where it is computed from the shape. */
static bool own_pads(const Node *n, int ns, int64_t *out) {
    int64_t count;
    const int64_t *p = get_is(n, "pads", &count);
    const char *mode = get_s(n, "auto_pad", "NOTSET");
    memset(out, 0, sizeof *out * 2 * (size_t)ns);
    if (strcmp(mode, "VALID") == 0) return true;
    if (strcmp(mode, "NOTSET") != 0 && *mode) return false;
    for (int i = 0; p && count == 2 * ns && i < 2 * ns; i++) out[i] = p[i];
    return !p || count == 2 * ns || count == 0;
}
GUARD(pad_to_conv) {
    int64_t pad[2 * SPATIAL], own[2 * SPATIAL];
    return spatial_pads(m, m->node[1], pad) && own_pads(m->node[0], VAR(m, 'x')->type.rank - 2, own);
}
GUARD(pad_to_pool) {
    int64_t pad[2 * SPATIAL], own[2 * SPATIAL], nk;
    int ns = VAR(m, 'x')->type.rank - 2;
    const Node *pool = m->node[0];
    const int64_t *kernel = get_is(pool, "kernel_shape", &nk);
    if (!spatial_pads(m, m->node[1], pad) || !own_pads(pool, ns, own) || get_i(pool, "ceil_mode", 0) || !kernel || nk != ns) return false;
    bool counts = get_i(pool, "count_include_pad", 0);
    for (int i = 0; i < 2 * ns; i++) {
        if (own[i] && !counts) return false;                 /* zeros count, the pool's own padding does not: one flag cannot say both */
        if (pad[i] + own[i] >= kernel[i % ns]) return false; /* a window of padding alone */
    }
    return true;
}
static Node *copy_before(const Match *m, const Node *n, int nin, Tensor *const *in) { /* the same op and attributes on other operands */
    Node *k = build_node(m->g, m->node[0], n->op->name, nin, in, 1);
    for (int i = 0; i < n->op->nattr; i++) k->attr[i] = n->attr[i];
    k->loc = n->loc;
    return k;
}
BUILD(move_pads) {
    const Node *n = m->node[0];
    int ns = VAR(m, 'x')->type.rank - 2;
    int64_t pad[2 * SPATIAL], own[2 * SPATIAL];
    spatial_pads(m, m->node[1], pad), own_pads(n, ns, own);
    for (int i = 0; i < 2 * ns; i++) pad[i] += own[i];
    Tensor *in[3] = {VAR(m, 'x'), VAR(m, 'w'), VAR(m, 'b')};
    Node *k = copy_before(m, n, op_is(n, "Conv") ? 3 : 1, in);
    put_is(m->g, k, "pads", pad, 2 * ns);
    node_set_s(k, op_attr_index(k->op, "auto_pad"), "NOTSET");
    if (!op_is(n, "Conv")) put_i(k, "count_include_pad", 1);
    return k->out[0];
}

/* ---- scaling weights */
static bool all_finite(const Tensor *t, bool not_zero) {
    int64_t n = tensor_elements(t);
    for (int64_t i = 0; i < n; i++) {
        double v = dtype_get_f(t->type.dt, t->data, i);
        if (!isfinite(v) || (not_zero && v == 0)) return false;
    }
    return true;
}
static int64_t channels(const Match *m) { /* of the inner node's output */
    return m->node[1]->out[0]->type.dim[1];
}
/* Whether t is one value, or one per channel (axis 1 of the result), and does not broadcast the result. */
static bool per_channel(const Match *m, const Tensor *t) {
    const Type *y = &m->node[0]->out[0]->type;
    int off = y->rank - t->type.rank;
    if (off < 0 || !type_same(y, &m->node[1]->out[0]->type)) return false;
    for (int i = 0; i < t->type.rank; i++)
        if (t->type.dim[i] != 1 && i + off != 1) return false;
    return tensor_elements(t) > 0;
}
static bool constants_float(const Match *m) {
    DType dt = m->node[0]->out[0]->type.dt;
    const char *const all = "wbcsomv";
    for (const char *s = all; *s; s++)
        if (VAR(m, *s) && VAR(m, *s)->type.dt != dt) return false;
    return dtype_is_float(dt);
}
static bool weights_float(const Match *m) { return constants_float(m) && tensor_elements(VAR(m, 'w')) > 0; }
GUARD(per_channel) { return weights_float(m) && per_channel(m, VAR(m, 'c')) && all_finite(VAR(m, 'c'), false); }
GUARD(per_channel_not_zero) { return guard_per_channel(m) && all_finite(VAR(m, 'c'), true); }
/* Gemm with alpha = beta = 1 and a bias that is one value or one per column. */
static bool plain_gemm(const Match *m) {
    const Node *n = m->node[1];
    const Tensor *b = VAR(m, 'b');
    if (get_f(n, "alpha", 1) != 1 || (b && get_f(n, "beta", 1) != 1)) return false;
    return !b || (b->type.rank <= 1 || (b->type.rank == 2 && b->type.dim[0] == 1));
}
GUARD(gemm_plain) { return guard_per_channel(m) && plain_gemm(m); }
GUARD(trans_b) { return get_i(m->node[0], "transB", 0) != 0 && VAR(m, 'w')->type.rank == 2; }

static bool bn_plain(const Match *m) {
    const Node *bn = m->node[0];
    double eps = get_f(bn, "epsilon", 1e-5f);
    if (get_i(bn, "training_mode", 0) || !constants_float(m)) return false;
    const Tensor *v = VAR(m, 'v');
    for (int64_t i = 0, n = tensor_elements(v); i < n; i++)
        if (!(dtype_get_f(v->type.dt, v->data, i) + eps > 0)) return false;
    return all_finite(VAR(m, 's'), false) && all_finite(VAR(m, 'o'), false) && all_finite(VAR(m, 'm'), false) && all_finite(v, false);
}
GUARD(bn_conv) { return weights_float(m) && bn_plain(m); }
GUARD(bn_convt) { return weights_float(m) && bn_plain(m) && get_i(m->node[1], "group", 1) == 1; }
GUARD(bn_gemm) { return weights_float(m) && bn_plain(m) && plain_gemm(m); }
GUARD(bn_alone) { return bn_plain(m) && VAR(m, 'x')->type.rank >= 2 && m->node[0]->out[0]->type.dt == VAR(m, 'x')->type.dt; }

static Tensor *two(const Match *m, const char *op, Tensor *x, Tensor *y) { return build(m->g, m->node[0], op, 2, (Tensor *[]){x, y}); }
static Tensor *shaped(const Match *m, Tensor *t, int rank, const int64_t *dim) {
    return two(m, "Reshape", t, tensor_i64s(m->g, dim, rank));
}
/* One value per channel as a vector of all channels. */
static Tensor *channel_vector(const Match *m, Tensor *t) {
    int64_t n = tensor_elements(t), c = channels(m);
    Tensor *v = shaped(m, t, 1, &n);
    return n == c ? v : two(m, "Expand", v, tensor_i64s(m->g, &c, 1));
}
/* A vector over output channels, shaped so that it broadcasts along that axis of the weights. */
static Tensor *along_weights(const Match *m, Tensor *vec) {
    const Node *n = m->node[1];
    int rank = VAR(m, 'w')->type.rank, axis = op_is(n, "Conv") ? 0 : 1;
    if (op_is(n, "Gemm") && get_i(n, "transB", 0)) axis = 0;
    int64_t dim[QN_MAX_RANK];
    for (int i = 0; i < rank; i++) dim[i] = i == axis ? channels(m) : 1;
    return shaped(m, vec, rank, dim);
}
static Tensor *rebuild(const Match *m, Tensor *w, Tensor *b) {
    return copy_before(m, m->node[1], 3, (Tensor *[]){VAR(m, 'x'), w, b})->out[0];
}

BUILD(fold_bn) {
    Tensor *b = VAR(m, 'b'), *eps = tensor_scalar(m->g, VAR(m, 'v')->type.dt, get_f(m->node[0], "epsilon", 1e-5f));
    Tensor *scale = two(m, "Div", VAR(m, 's'), build(m->g, m->node[0], "Sqrt", 1, (Tensor *[]){two(m, "Add", VAR(m, 'v'), eps)}));
    Tensor *w = two(m, "Mul", VAR(m, 'w'), along_weights(m, scale));
    Tensor *shift = b ? two(m, "Sub", channel_vector(m, b), VAR(m, 'm')) : build(m->g, m->node[0], "Neg", 1, (Tensor *[]){VAR(m, 'm')});
    return rebuild(m, w, two(m, "Add", two(m, "Mul", shift, scale), VAR(m, 'o')));
}
/* One value per channel in the shape in which it is broadcast along the other axes. */
static Tensor *along_channels(const Match *m, Tensor *t) {
    int64_t dim[QN_MAX_RANK], rank = VAR(m, 'x')->type.rank - 1;
    for (int64_t d = 0; d < rank; d++) dim[d] = d ? 1 : tensor_elements(VAR(m, 's'));
    return shaped(m, t, (int)rank, dim);
}
BUILD(scale_shift) {
    Tensor *eps = tensor_scalar(m->g, VAR(m, 'v')->type.dt, get_f(m->node[0], "epsilon", 1e-5f));
    Tensor *scale = two(m, "Div", VAR(m, 's'), build(m->g, m->node[0], "Sqrt", 1, (Tensor *[]){two(m, "Add", VAR(m, 'v'), eps)}));
    Tensor *shift = two(m, "Sub", VAR(m, 'o'), two(m, "Mul", VAR(m, 'm'), scale));
    Tensor *product = two(m, "Mul", VAR(m, 'x'), along_channels(m, scale));
    return two(m, "Add", product, along_channels(m, shift));
}
BUILD(fold_add) { /* or a subtraction */
    Tensor *b = VAR(m, 'b'), *c = channel_vector(m, VAR(m, 'c'));
    bool sub = op_is(m->node[0], "Sub");
    if (!b) return rebuild(m, VAR(m, 'w'), sub ? build(m->g, m->node[0], "Neg", 1, &c) : c);
    return rebuild(m, VAR(m, 'w'), two(m, sub ? "Sub" : "Add", channel_vector(m, b), c));
}
BUILD(fold_mul) { /* or a division */
    const char *op = m->node[0]->op->name;
    Tensor *b = VAR(m, 'b'), *c = channel_vector(m, VAR(m, 'c'));
    Tensor *bias = b ? two(m, op, channel_vector(m, b), c) : NULL; /* one after the other: names must not depend on the C compiler */
    return rebuild(m, two(m, op, VAR(m, 'w'), along_weights(m, c)), bias);
}
BUILD(transpose_w) {
    Node *t = build_node(m->g, m->node[0], "Transpose", 1, (Tensor *[]){VAR(m, 'w')}, 1);
    put_is(m->g, t, "perm", (int64_t[]){1, 0}, 2);
    Node *k = copy_before(m, m->node[0], 3, (Tensor *[]){VAR(m, 'x'), t->out[0], VAR(m, 'b')});
    put_i(k, "transB", 0);
    return k->out[0];
}
