/* SPDX-License-Identifier: Apache-2.0 */
/* quant_rewrites.c: quantised ops of the QOperator form as integer kernels, elementwise arithmetic and QuantizeLinear. Sums are
 * int32; the scales are combined in float32 in the order in which ONNX Runtime combines them; results are rounded half to even,
 * the zero point is added, and they saturate.
 *
 *   QLinearConv(x, xs, xz, w, ws, wz, ys, yz, b)
 *     ->  a = ConvInteger(x, w, xz, wz) + b;  y = QuantizeLinear(float32(a) * (xs*ws/ys), 1, yz)
 */
#include "../extent.h"
#include "rewrite.h"
#include <string.h>

/* a*b/y; y may be absent. */
static Tensor *scale_of(R r, Tensor *a, Tensor *b, Tensor *y) {
    Tensor *s = r_op2(r, "Mul", r_cast(r, a, DT_FLOAT32), r_cast(r, b, DT_FLOAT32));
    return y ? r_op2(r, "Div", s, r_cast(r, y, DT_FLOAT32)) : s;
}
static Tensor *integer_product(R r, const char *op, Tensor *a, Tensor *b, Tensor *za, Tensor *zb) {
    return build(r.g, r.n, op, 4, (Tensor *[]){a, b, za, zb});
}

/* Scales and zero points that hold for a whole tensor: the operands whose bits are set have one element. */
static bool single(Ctx *c, const Node *n, unsigned operands) {
    for (int i = 0; i < n->nin; i++) {
        int64_t count;
        if (!(operands >> i & 1) || !n->in[i] || (type_elements(&n->in[i]->type, &count) && count == 1)) continue;
        return diag_error(c->d, n->loc, "input %d '%s', a scale or zero point, has more or less than the one element that is expected", i,
                          n->in[i]->name);
    }
    return true;
}
enum { UNARY_PARAMS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4, BINARY_PARAMS = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 };

bool rewrite_qlinear_conv(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int spatial = n->in[0]->type.rank - 2;
    int64_t count;
    if (spatial < 1 || spatial > 3) return diag_error(c->d, n->loc, "the input has %d dims, expected 3 to 5", spatial + 2);
    if (!single(c, n, 1 << 1 | 1 << 2 | 1 << 6 | 1 << 7)) return false;
    if (!type_elements(&n->in[4]->type, &count) || (count != 1 && count != n->in[3]->type.dim[0]))
        return diag_error(c->d, n->loc, "w_scale has %lld elements, expected one or one an output channel", (long long)count);
    Tensor *acc = integer_product(r, "ConvInteger", n->in[0], n->in[3], n->in[2], n->in[5]), *b = r_in(r, 8);
    r_copy_attrs(r, acc);
    if (b && (b->type.rank != 1 || !type_elements(&b->type, &count) || count != n->in[3]->type.dim[0]))
        return diag_error(c->d, n->loc, "the bias is not a vector with one element an output channel");
    if (b) {
        int64_t dim[4] = {count, 1, 1, 1};
        acc = r_op2(r, "Add", acc, r_reshape(r, b, spatial + 1, dim));
    }
    Tensor *s = scale_of(r, r_param(r, n->in[1], 0), r_param(r, n->in[4], spatial), r_param(r, n->in[6], 0));
    r_done(r, 0, r_requantize(r, acc, s, n->in[7], 0));
    return true;
}
/* (x - zero)*scale; vectors stand before `after` axes. */
static Tensor *float_value(R r, Tensor *x, Tensor *scale, Tensor *zero, int after) {
    Tensor *v = r_op2(r, "Sub", r_cast(r, x, DT_FLOAT32), r_cast(r, r_param(r, zero, after), DT_FLOAT32));
    return r_op2(r, "Mul", v, r_cast(r, r_param(r, scale, after), DT_FLOAT32));
}
bool rewrite_qlinear_matmul(Ctx *c, Graph *g, Node *n) {
    static const int values[] = {0, 3, 7};
    R r = {g, n};
    for (int i = 0; i < 3; i++)
        if (dtype_info[n->in[values[i]]->type.dt].bits > 8)
            return diag_error(c->d, n->loc, "input %d '%s' is %s; a type of 8 bits is expected", values[i], n->in[values[i]]->name,
                              dtype_name(n->in[values[i]]->type.dt));
    if (dtype_is_float(n->in[0]->type.dt) || dtype_is_float(n->in[3]->type.dt)) { /* of 8 bits */
        Tensor *y = r_op2(r, "MatMul", float_value(r, n->in[0], n->in[1], n->in[2], 1), float_value(r, n->in[3], n->in[4], n->in[5], 0));
        int64_t one;
        y = r_op2(r, "Div", y, r_cast(r, r_param(r, n->in[6], 1), DT_FLOAT32));
        bool scalar = type_elements(&n->in[7]->type, &one) && one == 1;
        r_done(r, 0, r_quantize(r, y, r_f32(r, 1), scalar ? n->in[7] : tensor_scalar(g, n->in[7]->type.dt, 0)));
        return true;
    }
    Tensor *acc = integer_product(r, "MatMulInteger", n->in[0], n->in[3], n->in[2], n->in[5]);
    Tensor *s = scale_of(r, r_param(r, n->in[1], 1), r_param(r, n->in[4], 0), r_param(r, n->in[6], 1));
    r_done(r, 0, r_requantize(r, acc, s, n->in[7], 1));
    return true;
}
/* alpha A' B' + C; C is quantised with the scale of the product. Without an output scale the result is float. */
bool rewrite_qgemm(Ctx *c, Graph *g, Node *n) {
    enum { ALPHA, TRANS_A, TRANS_B };
    R r = {g, n};
    Tensor *a = n->in[0], *b = n->in[3], *bias = r_in(r, 6), *ys = r_in(r, 7), *yz = r_in(r, 8);
    if (a->type.rank != 2 || b->type.rank != 2)
        return diag_error(c->d, n->loc, "the operands have %d and %d dims, expected 2 each", a->type.rank, b->type.rank);
    if (attr_i(n, TRANS_A)) a = r_swap_last(r, a, 2);
    if (attr_i(n, TRANS_B)) b = r_swap_last(r, b, 2);
    Tensor *acc = integer_product(r, "MatMulInteger", a, b, n->in[2], n->in[5]);
    if (bias) acc = r_op2(r, "Add", acc, bias);
    Tensor *s = scale_of(r, r_param(r, n->in[1], 0), r_param(r, n->in[4], 0), NULL);
    if (attr_f(n, ALPHA) != 1) s = r_op2(r, "Mul", r_f32(r, (double)attr_f(n, ALPHA)), s);
    if (ys) s = r_op2(r, "Div", s, r_param(r, ys, 0));
    if (!yz) yz = tensor_scalar(g, n->in[0]->type.dt, 0);
    r_done(r, 0, ys ? r_requantize(r, acc, s, yz, 0) : r_op2(r, "Mul", r_cast(r, acc, DT_FLOAT32), s));
    return true;
}

/* ---- elementwise: values, computed in float32, quantised again */
bool rewrite_qlinear_add(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (!single(c, n, BINARY_PARAMS)) return false;
    Tensor *sum = r_op2(r, "Add", r_dequantize(r, n->in[0], n->in[1], n->in[2]), r_dequantize(r, n->in[3], n->in[4], n->in[5]));
    r_done(r, 0, r_quantize(r, sum, n->in[6], r_in(r, 7) ? n->in[7] : tensor_scalar(g, n->in[0]->type.dt, 0)));
    return true;
}
static Tensor *centre(R r, Tensor *x, Tensor *zero) {
    x = r_cast(r, x, DT_INT32);
    return zero ? r_op2(r, "Sub", x, r_cast(r, r_param(r, zero, 0), DT_INT32)) : x;
}
bool rewrite_qlinear_mul(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (!single(c, n, BINARY_PARAMS)) return false;
    Tensor *p = r_op2(r, "Mul", centre(r, n->in[0], n->in[2]), centre(r, n->in[3], n->in[5]));
    Tensor *s = scale_of(r, r_param(r, n->in[1], 0), r_param(r, n->in[4], 0), r_param(r, n->in[6], 0));
    r_done(r, 0, r_requantize(r, p, s, r_in(r, 7) ? n->in[7] : tensor_scalar(g, n->in[0]->type.dt, 0), 0));
    return true;
}
static Tensor *zero_or(R r, int i, const Tensor *like) { return r_in(r, i) ? r_in(r, i) : tensor_scalar(r.g, like->type.dt, 0); }
/* X, X_scale, X_zero, Y_scale, Y_zero through one float op. */
static bool through_float(Ctx *c, R r, const char *op) {
    if (!single(c, r.n, UNARY_PARAMS)) return false;
    Tensor *y = r_op1(r, op, r_dequantize(r, r.n->in[0], r.n->in[1], r_in(r, 2)));
    r_copy_attrs(r, y);
    r_done(r, 0, r_quantize(r, y, r.n->in[3], zero_or(r, 4, r.n->in[0])));
    return true;
}
bool rewrite_qlinear_sigmoid(Ctx *c, Graph *g, Node *n) { return through_float(c, (R){g, n}, "Sigmoid"); }
bool rewrite_qlinear_leaky_relu(Ctx *c, Graph *g, Node *n) { return through_float(c, (R){g, n}, "LeakyRelu"); }
bool rewrite_qlinear_reduce_mean(Ctx *c, Graph *g, Node *n) {
    enum { AXES };
    R r = {g, n};
    if (!single(c, n, UNARY_PARAMS)) return false;
    Tensor *axes = tensor_i64s(g, n->attr[AXES].is, (int)n->attr[AXES].n);
    Tensor *y = r_op2(r, "ReduceMean", r_dequantize(r, n->in[0], n->in[1], r_in(r, 2)), axes);
    r_set_i(y, "keepdims", r_int(r, "keepdims"));
    r_done(r, 0, r_quantize(r, y, n->in[3], zero_or(r, 4, n->in[0])));
    return true;
}
bool rewrite_qlinear_softmax(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (!single(c, n, UNARY_PARAMS)) return false;
    Tensor *y = r_op1(r, "Softmax", r_dequantize(r, n->in[0], n->in[1], r_in(r, 2)));
    r_copy_attrs(r, y);
    if (attr_i(n, op_attr_index(n->op, "opset")) < 13) r_set_i(y, "flatten", 1);
    r_done(r, 0, r_quantize(r, y, n->in[3], zero_or(r, 4, n->in[0])));
    return true;
}

/* ---- pools; the channels may stand last */
static Tensor *moved(R r, Tensor *x, bool last_to_first) {
    int rank = r.n->in[0]->type.rank;
    int64_t perm[QN_MAX_RANK];
    for (int i = 1; i < rank; i++) perm[i] = last_to_first ? i - 1 : i + 1;
    perm[0] = 0;
    perm[last_to_first ? 1 : rank - 1] = last_to_first ? rank - 1 : 1;
    return r_transpose(r, x, rank, perm);
}
static Tensor *channels(R r, Tensor *x, bool last_to_first) {
    bool move = attr_i(r.n, op_attr_index(r.n->op, "channels_last")) && r.n->in[0]->type.rank > 2;
    return move ? moved(r, x, last_to_first) : x;
}
bool rewrite_nhwc_max_pool(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int rank = n->in[0]->type.rank;
    if (rank < 3) return diag_error(c->d, n->loc, "the input has %d dims, expected at least 3", rank);
    Tensor *y = r_op1(r, "MaxPool", moved(r, n->in[0], true));
    r_copy_attrs(r, y);
    r_done(r, 0, moved(r, y, false));
    return true;
}
/* x, its scale and zero point, w …: the weights keep their order. */
bool rewrite_nhwc_qlinear_conv(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Tensor *in[9];
    int rank = n->in[0]->type.rank;
    if (rank < 3) return diag_error(c->d, n->loc, "the input has %d dims, expected 3 to 5", rank);
    for (int i = 0; i < n->nin; i++) in[i] = n->in[i];
    in[0] = channels(r, in[0], true);
    Tensor *y = build(g, n, "QLinearConv", n->nin, in);
    r_copy_attrs(r, y);
    r_done(r, 0, channels(r, y, false));
    return true;
}
/* Conv and FusedConv the same way; what is added stands as the result does. */
bool rewrite_nhwc_conv(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int rank = n->in[0]->type.rank;
    bool sum = r_in(r, 3) != NULL;
    if (rank < 3) return diag_error(c->d, n->loc, "the input has %d dims, expected 3 to 5", rank);
    if (sum && n->in[3]->type.rank != rank)
        return diag_error(c->d, n->loc, "Z has %d dims, expected %d as X has", n->in[3]->type.rank, rank);
    Tensor *in[4] = {moved(r, n->in[0], true), n->in[1], r_in(r, 2), sum ? moved(r, n->in[3], true) : NULL};
    Node *y = node_new(g, op_find("com.microsoft", "FusedConv"), n, n->loc, sum ? 4 : r_in(r, 2) ? 3 : 2, in, 1);
    node_set_out(y, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    r_copy_attrs(r, y->out[0]);
    r_done(r, 0, moved(r, y->out[0], false));
    return true;
}
/* condition, X, its scale and zero point, Y, its scale and zero point, those of the result */
bool rewrite_qlinear_where(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (!single(c, n, 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8)) return false;
    Tensor *v[2];
    for (int i = 0; i < 2; i++) v[i] = r_dequantize(r, n->in[1 + 3 * i], n->in[2 + 3 * i], n->in[3 + 3 * i]);
    r_done(r, 0, r_quantize(r, r_op3(r, "Where", n->in[0], v[0], v[1]), n->in[7], n->in[8]));
    return true;
}
bool rewrite_qlinear_average_pool(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (!single(c, n, UNARY_PARAMS)) return false;
    Tensor *y = r_op1(r, "AveragePool", r_dequantize(r, channels(r, n->in[0], true), n->in[1], r_in(r, 2)));
    r_copy_attrs(r, y);
    r_done(r, 0, channels(r, r_quantize(r, y, n->in[3], zero_or(r, 4, n->in[0])), false));
    return true;
}
bool rewrite_qlinear_global_average_pool(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    bool last = attr_i(n, 0) != 0;
    int64_t axes[QN_MAX_RANK], v;
    Expr *count = e_int(g->a, 1);
    if (t->rank < 3) return diag_error(c->d, n->loc, "the input has %d dims, expected at least 3", t->rank);
    if (!single(c, n, UNARY_PARAMS)) return false;
    for (int i = 0; i < t->rank - 2; i++) {
        axes[i] = i + (last ? 1 : 2);
        count = extent_mul(g, count, type_extent(g, t, (int)axes[i]));
    }
    Tensor *elements = e_is_int(count, &v) ? r_f32(r, (double)v) : r_cast(r, extents_tensor(g, n, 1, &count), DT_FLOAT32);
    Tensor *sum = r_op2(r, "ReduceSum", centre(r, n->in[0], r_in(r, 2)), tensor_i64s(g, axes, t->rank - 2));
    Tensor *s = r_op2(r, "Div", r_param(r, n->in[1], 0), r_op2(r, "Mul", r_param(r, n->in[3], 0), elements));
    r_done(r, 0, r_requantize(r, sum, s, zero_or(r, 4, n->in[0]), 0));
    return true;
}

/* ---- QLinearConcat: Y_scale, Y_zero, then a tensor, its scale and its zero point each. Parts are quantised before they are joined. */
static bool same_value(const Tensor *a, const Tensor *b) {
    double x, y;
    return a == b || (const_f(a, &x) && const_f(b, &y) && x == y);
}
bool rewrite_qlinear_concat(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if ((n->nin - 2) % 3) return diag_error(c->d, n->loc, "%d inputs were found; expected 2, and 3 for each part", n->nin);
    int parts = (n->nin - 2) / 3;
    Tensor **v = NEW_ARRAY(g->a, Tensor *, parts);
    for (int i = 0; i < parts; i++) {
        Tensor *x = n->in[2 + 3 * i], *s = n->in[3 + 3 * i], *z = n->in[4 + 3 * i];
        if (!x || !s || !z) return diag_error(c->d, n->loc, "tensor, scale or zero point of part %d is left out", i);
        bool same = x->type.dt == n->in[1]->type.dt && same_value(s, n->in[0]) && same_value(z, n->in[1]);
        v[i] = same ? x : r_quantize(r, r_dequantize(r, x, s, z), n->in[0], n->in[1]);
    }
    Tensor *y = build(g, n, "Concat", parts, v);
    r_copy_attrs(r, y);
    r_done(r, 0, y);
    return true;
}

/* ---- float inputs, integer products */
/* float32(product) * scale + bias */
static void scaled_product(R r, Tensor *product, Tensor *sa, Tensor *sb, Tensor *bias) {
    Tensor *y = r_op2(r, "Mul", r_cast(r, product, DT_FLOAT32), r_op2(r, "Mul", r_param(r, sa, 0), r_param(r, sb, 0)));
    r_done(r, 0, bias ? r_op2(r, "Add", y, bias) : y);
}
bool rewrite_dynamic_quantize_matmul(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor **q = build_node(g, n, "DynamicQuantizeLinear", 1, n->in, 3)->out;
    scaled_product(r, integer_product(r, "MatMulInteger", q[0], n->in[1], q[2], r_in(r, 3)), q[1], n->in[2], r_in(r, 4));
    return true;
}
bool rewrite_matmul_integer_to_float(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor *p = integer_product(r, "MatMulInteger", n->in[0], n->in[1], r_in(r, 4), r_in(r, 5));
    scaled_product(r, p, n->in[2], n->in[3], r_in(r, 6));
    return true;
}

/* ---- DynamicQuantizeLSTM: weights [directions, inputs, 4*hidden], a scale and zero point for each direction or each of its columns */
static Tensor *lstm_weights(Ctx *c, R r, Tensor *w, Tensor *scale, Tensor *zero) {
    Tensor *v[] = {scale, zero};
    for (int i = 0; i < 2; i++) {
        int rank = v[i]->type.rank;
        if (rank != 1 && rank != 2) {
            diag_error(c->d, r.n->loc, "a %s of the weights has %d dims, expected 1 (directions) or 2 (directions, columns)",
                       i ? "zero point" : "scale", rank);
            return NULL;
        }
        v[i] = r_op2(r, "Unsqueeze", v[i], tensor_i64s(r.g, (int64_t[]){1, 2}, rank == 1 ? 2 : 1));
    }
    Tensor *less = r_op2(r, "Sub", r_cast(r, w, DT_INT32), r_cast(r, v[1], DT_INT32));
    return r_swap_last(r, r_op2(r, "Mul", r_cast(r, less, DT_FLOAT32), v[0]), 3);
}
bool rewrite_dynamic_quantize_lstm(Ctx *c, Graph *g, Node *n) {
    enum { X, W, R_, B, LENS, H0, C0, P, W_SCALE, W_ZERO, R_SCALE, R_ZERO };
    R r = {g, n};
    if (n->in[X]->type.dt != DT_FLOAT32) return diag_error(c->d, n->loc, "X is %s, expected float32", dtype_name(n->in[X]->type.dt));
    for (int i = W_SCALE; i <= R_ZERO; i++)
        if (!r_in(r, i)) return diag_error(c->d, n->loc, "input %d, a scale or zero point of the weights, is left out", i);
    if (n->in[W]->type.rank != 3 || n->in[R_]->type.rank != 3)
        return diag_error(c->d, n->loc, "W and R have %d and %d dims, expected 3 each", n->in[W]->type.rank, n->in[R_]->type.rank);
    Tensor **q = build_node(g, n, "DynamicQuantizeLinear", 1, n->in, 3)->out;
    Tensor *in[P + 1] = {r_dequantize(r, q[0], q[1], q[2]), lstm_weights(c, r, n->in[W], n->in[W_SCALE], n->in[W_ZERO]),
                         lstm_weights(c, r, n->in[R_], n->in[R_SCALE], n->in[R_ZERO])};
    if (!in[W] || !in[R_]) return false;
    for (int i = B; i <= P; i++) in[i] = r_in(r, i);
    Node *y = build_node(g, n, "LSTM", P + 1, in, n->nout);
    r_copy_attrs(r, y->out[0]);
    r_set_i(y->out[0], "quantized", 1);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) r_done(r, i, y->out[i]);
    return true;
}

/* ---- com.microsoft QuantizeLinear and DequantizeLinear: as in the default domain */
static bool default_domain(R r, const char *op, Tensor *zero) {
    Tensor *y = r_op3(r, op, r.n->in[0], r.n->in[1], zero);
    if (attr_has(r.n, 0)) r_set_i(y, "axis", attr_i(r.n, 0));
    r_done(r, 0, y);
    return true;
}
bool rewrite_quantize(Ctx *c, Graph *g, Node *n) { return (void)c, default_domain((R){g, n}, "QuantizeLinear", r_in((R){g, n}, 2)); }
bool rewrite_dequantize(Ctx *c, Graph *g, Node *n) { return (void)c, default_domain((R){g, n}, "DequantizeLinear", r_in((R){g, n}, 2)); }

/* QuantizeWithOrder and DequantizeWithOrder: of rows one after the other, as everywhere else */
bool rewrite_with_order(Ctx *c, Graph *g, Node *n) {
    enum { FROM, TO, ROWS = 1 };
    R r = {g, n};
    if (attr_i(n, FROM) != ROWS || attr_i(n, TO) != ROWS)
        return diag_error(c->d, n->loc, "order_input is %lld and order_output %lld; 1, rows, is supported: other orders are one machine's",
                          (long long)attr_i(n, FROM), (long long)attr_i(n, TO));
    if (!single(c, n, 1 << 1)) return false;
    if (n->op->name[0] == 'D') r_done(r, 0, r_dequantize(r, n->in[0], n->in[1], NULL));
    else r_done(r, 0, r_quantize(r, n->in[0], n->in[1], tensor_scalar(g, DT_INT8, 0)));
    return true;
}
