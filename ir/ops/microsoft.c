/* SPDX-License-Identifier: Apache-2.0 */
/* microsoft.c: ONNX Runtime's fused operators (domain com.microsoft), taken apart again; what is fused here is decided by our passes.
 *
 *   FusedConv(x, w, b, z; activation Relu)   ->   Relu(Conv(x, w, b) + z)
 */
#include "../extent.h"
#include "rewrite.h"
#include <math.h>
#include <string.h>

/* ---- activations by name; up to two parameters */
typedef struct Activation {
    const char *name;
    const char *param[2]; /* attributes of the op */
} Activation;
static const Activation activations[] = {{"Relu", {0}},
                                         {"Tanh", {0}},
                                         {"Sigmoid", {0}},
                                         {"Softplus", {0}},
                                         {"Softsign", {0}},
                                         {"LeakyRelu", {"alpha"}},
                                         {"Elu", {"alpha"}},
                                         {"ThresholdedRelu", {"alpha"}},
                                         {"HardSigmoid", {"alpha", "beta"}},
                                         {"Selu", {"alpha", "gamma"}}};
static Tensor *clip(R r, Tensor *x, const float *p, int np) {
    double lo = np > 0 ? (double)p[0] : -INFINITY, hi = np > 1 ? (double)p[1] : INFINITY;
    return r_op3(r, "Clip", x, tensor_scalar(r.g, r.n->in[0]->type.dt, lo), tensor_scalar(r.g, r.n->in[0]->type.dt, hi));
}
/* NULL after an error. */
static Tensor *activate(Ctx *c, R r, Tensor *x, const char *name, const float *p, int np) {
    if (!name || !*name) return x;
    if (strcmp(name, "Clip") == 0) return clip(r, x, p, np);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        const Activation *f = &activations[i];
        if (strcmp(f->name, name) != 0) continue;
        x = r_op1(r, name, x);
        for (int k = 0; k < np && k < 2 && f->param[k]; k++) r_set_f(x, f->param[k], p[k]);
        return x;
    }
    diag_error(c->d, r.n->loc, "activation '%s' is not known; Relu, Tanh, Sigmoid, LeakyRelu, Clip, HardSigmoid and Elu are", name);
    return NULL;
}

bool rewrite_fused_conv(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int ka = op_attr_index(n->op, "activation"), kp = op_attr_index(n->op, "activation_params");
    Tensor *y = r_in(r, 2) ? r_op3(r, "Conv", n->in[0], n->in[1], n->in[2]) : r_op2(r, "Conv", n->in[0], n->in[1]);
    r_copy_attrs(r, y);
    if (r_in(r, 3)) y = r_op2(r, "Add", y, n->in[3]);
    y = activate(c, r, y, attr_s(n, ka), n->attr[kp].fs, (int)n->attr[kp].n);
    if (y) r_done(r, 0, y);
    return y != NULL;
}
/* By the attributes activation, activation_alpha and activation_beta */
static bool activated(Ctx *c, R r, Tensor *y) {
    static const char *const param[] = {"activation_alpha", "activation_beta"};
    float p[2];
    int np = 0;
    for (int i = 0; i < 2; i++) {
        int k = op_attr_index(r.n->op, param[i]);
        if (attr_has(r.n, k)) p[np++] = attr_f(r.n, k);
    }
    y = activate(c, r, y, attr_s(r.n, op_attr_index(r.n->op, "activation")), p, np);
    if (y) r_done(r, 0, y);
    return y != NULL;
}
bool rewrite_fused_gemm(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Tensor *y = build(g, n, "Gemm", n->nin, n->in);
    r_copy_attrs(r, y);
    return activated(c, r, y);
}
bool rewrite_fused_matmul_activation(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Node *y = node_new(g, op_find("com.microsoft", "FusedMatMul"), n, n->loc, 2, n->in, 1);
    node_set_out(y, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    r_copy_attrs(r, y->out[0]);
    return activated(c, r, y->out[0]);
}
/* The batch form moves axis 0 behind the other leading ones, then the last two may be exchanged. */
static Tensor *arranged(R r, Tensor *x, bool batch, bool swap) {
    int rank = x->type.rank;
    int64_t perm[QN_MAX_RANK];
    if (rank < 2 || (!swap && (!batch || rank < 3))) return x;
    for (int i = 0; i < rank; i++) perm[i] = i;
    if (batch && rank > 2) {
        for (int i = 0; i < rank - 2; i++) perm[i] = i + 1;
        perm[rank - 2] = 0;
    }
    if (swap) {
        int64_t t = perm[rank - 2];
        perm[rank - 2] = perm[rank - 1], perm[rank - 1] = t;
    }
    return r_transpose(r, x, rank, perm);
}
bool rewrite_fused_matmul(Ctx *c, Graph *g, Node *n) {
    (void)c;
    enum { ALPHA, TRANS_A, TRANS_B, BATCH_A, BATCH_B };
    R r = {g, n};
    Tensor *a = arranged(r, n->in[0], attr_i(n, BATCH_A), attr_i(n, TRANS_A)),
           *b = arranged(r, n->in[1], attr_i(n, BATCH_B), attr_i(n, TRANS_B));
    DType t = n->in[0]->type.dt, in = attr_f(n, ALPHA) != 1 && dtype_info[t].bits < 32 ? DT_FLOAT32 : t; /* rounded once */
    Tensor *y = r_op2(r, "MatMul", r_cast(r, a, in), r_cast(r, b, in));
    if (attr_f(n, ALPHA) != 1) y = r_op2(r, "Mul", y, tensor_scalar(g, in, (double)attr_f(n, ALPHA)));
    r_done(r, 0, in == t ? y : r_cast(r, y, t));
    return true;
}

/* ---- activations */
static bool gelu_of(R r, bool by_tanh) {
    Tensor *x = r_in(r, 1) ? r_op2(r, "Add", r.n->in[0], r.n->in[1]) : r.n->in[0];
    Tensor *y = r_op1(r, "Gelu", x);
    if (by_tanh) r_set_s(y, "approximate", "tanh");
    r_done(r, 0, y);
    return true;
}
bool rewrite_gelu(Ctx *c, Graph *g, Node *n) { return (void)c, gelu_of((R){g, n}, false); }
bool rewrite_fast_gelu(Ctx *c, Graph *g, Node *n) { return (void)c, gelu_of((R){g, n}, true); }
bool rewrite_quick_gelu(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor *y = r_op1(r, "Swish", n->in[0]);
    r_copy_attrs(r, y);
    r_done(r, 0, y);
    return true;
}

/* ---- normalisations */
/* ONNX Runtime adds and normalises 16-bit floats in float32: sums beyond 65504 are none. */
static bool in_16_bits(R r) { return r.n->in[0]->type.dt == DT_FLOAT16 || r.n->in[0]->type.dt == DT_BFLOAT16; }
static Tensor *wide(R r, Tensor *t) { return t && in_16_bits(r) ? r_cast(r, t, DT_FLOAT32) : t; }
static Tensor *as_input(R r, Tensor *t) { return in_16_bits(r) ? r_cast(r, t, r.n->in[0]->type.dt) : t; }
/* 1/sqrt(mean(x*x) + epsilon) over the axes from `axis` on */
static Tensor *inverse_rms(R r, Tensor *x, int axis, int rank, float epsilon) {
    int64_t axes[QN_MAX_RANK];
    for (int i = axis; i < rank; i++) axes[i - axis] = i;
    Tensor *m = r_op2(r, "ReduceMean", r_op2(r, "Mul", x, x), tensor_i64s(r.g, axes, rank - axis));
    return r_op1(r, "Reciprocal", r_op1(r, "Sqrt", r_op2(r, "Add", m, r_f32(r, (double)epsilon))));
}
/* RMSNormalization of x into output 0, the inverse of the root into output `inverse` where asked for. */
static void rms(R r, Tensor *x, Tensor *gamma, Tensor *beta, int axis, float epsilon, int inverse) {
    int rank = r.n->in[0]->type.rank;
    Tensor *y = r_op2(r, "RMSNormalization", x, gamma);
    r_set_i(y, "axis", axis);
    r_set_f(y, "epsilon", epsilon);
    if (beta) y = r_op2(r, "Add", y, beta);
    if (r_out(r, inverse)) r_done(r, inverse, inverse_rms(r, r_cast(r, x, DT_FLOAT32), axis, rank, epsilon));
    r_done(r, 0, as_input(r, y));
}
bool rewrite_simplified_layer_norm(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int64_t axis = attr_i(n, op_attr_index(n->op, "axis")), rank = n->in[0]->type.rank;
    if (axis < -rank || axis >= rank)
        return diag_error(c->d, n->loc, "axis %lld is out of range for rank %lld", (long long)axis, (long long)rank);
    rms(r, n->in[0], n->in[1], NULL, (int)(axis < 0 ? axis + rank : axis), attr_f(n, op_attr_index(n->op, "epsilon")), 1);
    return true;
}
/* LayerNormalization of x over its last axis into outputs 0 to 2. */
static void layer_norm(R r, Tensor *x, Tensor *gamma, Tensor *beta, float epsilon, bool stats) {
    int nout = stats && r_out(r, 2) ? 3 : stats && r_out(r, 1) ? 2 : 1;
    Node *y = build_node(r.g, r.n, "LayerNormalization", beta ? 3 : 2, (Tensor *[]){x, gamma, beta}, nout);
    r_set_f(y->out[0], "epsilon", epsilon);
    for (int i = 0; i < nout; i++)
        if (r_out(r, i)) r_done(r, i, i == 0 && stats ? as_input(r, y->out[i]) : y->out[i]);
}
static Tensor *skip_sum(R r, Tensor *bias) {
    Tensor *x = r_op2(r, "Add", wide(r, r.n->in[0]), wide(r, r.n->in[1]));
    if (bias) x = r_op2(r, "Add", x, wide(r, bias));
    if (r_out(r, 3)) r_done(r, 3, as_input(r, x));
    return x;
}
bool rewrite_skip_layer_norm(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    layer_norm(r, skip_sum(r, r_in(r, 4)), wide(r, n->in[2]), wide(r, r_in(r, 3)), attr_f(n, 0), true);
    return true;
}
bool rewrite_skip_simplified_layer_norm(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (r_out(r, 1)) return diag_error(c->d, n->loc, "output 1, the mean, is asked for; this operator does not compute it");
    rms(r, skip_sum(r, r_in(r, 3)), wide(r, n->in[2]), NULL, n->in[0]->type.rank - 1, attr_f(n, 0), 2);
    return true;
}

/* ids, segments?, word table, position table, segment table?, gamma, beta, mask?, position ids? */
bool rewrite_embed_layer_norm(Ctx *c, Graph *g, Node *n) {
    enum { IDS, SEGMENTS, WORDS, POSITIONS, SEGMENT_TABLE, GAMMA, BETA, MASK, POSITION_IDS };
    R r = {g, n};
    const Type *ids = &n->in[IDS]->type;
    if (ids->rank != 2 || ids->dim[1] < 0)
        return diag_error(c->d, n->loc, "input_ids have %d dims, expected 2 (batch, sequence)", ids->rank);
    if (!r_in(r, WORDS) || !r_in(r, POSITIONS) || !r_in(r, GAMMA) || !r_in(r, BETA))
        return diag_error(c->d, n->loc, "word_embedding, position_embedding, gamma or beta is left out");
    Expr *batch = type_extent(g, ids, 0), *length = type_extent(g, ids, 1);
    Tensor *zero = tensor_i64s(g, (int64_t[]){0}, 1), *pos;
    int64_t one = 1;
    if (r_in(r, POSITION_IDS)) pos = r_op2(r, "Gather", n->in[POSITIONS], n->in[POSITION_IDS]);
    else pos = build(g, n, "Slice", 4, (Tensor *[]){n->in[POSITIONS], zero, extents_tensor(g, n, 1, &length), zero});
    Tensor *x = r_op2(r, "Add", r_op2(r, "Gather", n->in[WORDS], n->in[IDS]), pos);
    if (r_in(r, SEGMENT_TABLE)) { /* without ids all are in segment 0 */
        Tensor *segment = r_in(r, SEGMENTS) ? n->in[SEGMENTS] : tensor_scalar(g, DT_INT64, 0);
        x = r_op2(r, "Add", x, r_op2(r, "Gather", n->in[SEGMENT_TABLE], segment));
    }
    if (r_out(r, 2)) r_done(r, 2, x);
    if (r_out(r, 1)) { /* how many 1s the mask has in each sample */
        Tensor *m = r_in(r, MASK), *count;
        if (m) {
            count =
                r_op2(r, "ReduceSum", r_cast(r, r_op2(r, "Equal", m, tensor_scalar(g, m->type.dt, 1)), DT_INT32), tensor_i64s(g, &one, 1));
            r_set_i(count, "keepdims", 0);
        } else {
            count = r_op2(r, "Expand", tensor_scalar(g, DT_INT32, 0), extents_tensor(g, n, 1, &batch));
        }
        r_done(r, 1, count);
    }
    layer_norm(r, x, n->in[GAMMA], n->in[BETA], attr_f(n, 0), false);
    return true;
}
