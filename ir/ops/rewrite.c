/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c: what rewrites of rewrite.h share.
 *
 *   r_requantize(x: int32, s, z: int8)   ->   QuantizeLinear(Cast(x, float32) * s, 1, z)
 */
#include "rewrite.h"
#include "../extent.h"
#include <string.h>

static Attr *attr_of(Tensor *t, const char *name) {
    int k = op_attr_index(t->def->op, name);
    if (k < 0) BUG("op %s has no attribute '%s'", t->def->op->name, name);
    return &t->def->attr[k];
}
void r_set_i(Tensor *t, const char *attr, int64_t v) { *attr_of(t, attr) = (Attr){.kind = ATTR_INT, .i = v}; }
void r_set_f(Tensor *t, const char *attr, float v) { *attr_of(t, attr) = (Attr){.kind = ATTR_FLOAT, .f = v}; }
void r_set_s(Tensor *t, const char *attr, const char *v) {
    *attr_of(t, attr) = (Attr){.kind = ATTR_STRING, .s = v, .n = (int64_t)strlen(v)};
}
void r_copy_attrs(R r, Tensor *to) {
    for (int i = 0; i < r.n->op->nattr; i++) {
        int k = op_attr_index(to->def->op, r.n->op->attr[i].name);
        if (k >= 0 && to->def->op->attr[k].kind == r.n->op->attr[i].kind) to->def->attr[k] = r.n->attr[i];
    }
}

Tensor *r_cast(R r, Tensor *x, DType to) {
    if (x->type.dt == to) return x;
    Tensor *y = r_op1(r, "Cast", x);
    r_set_i(y, "to", to);
    return y;
}
Tensor *r_reshape(R r, Tensor *x, int rank, const int64_t *dim) { return r_op2(r, "Reshape", x, tensor_i64s(r.g, dim, rank)); }
Tensor *r_transpose(R r, Tensor *x, int rank, const int64_t *perm) {
    Tensor *y = r_op1(r, "Transpose", x);
    node_set_is(r.g, y->def, op_attr_index(y->def->op, "perm"), perm, rank);
    return y;
}
Tensor *r_swap_last(R r, Tensor *x, int rank) {
    int64_t perm[QN_MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return r_transpose(r, x, rank, perm);
}
Tensor *r_reshaped(R r, Tensor *x, int rank, Expr *const *e) { return r_op2(r, "Reshape", x, extents_tensor(r.g, r.n, rank, e)); }
Tensor *r_unsqueezed(R r, Tensor *x, const int64_t *axes, int n) { return r_op2(r, "Unsqueeze", x, tensor_i64s(r.g, axes, n)); }
Tensor *r_range(R r, Expr *n) {
    Tensor *end = r_reshape(r, extents_tensor(r.g, r.n, 1, &n), 0, (int64_t[]){0});
    return r_op3(r, "Range", tensor_scalar(r.g, DT_INT64, 0), end, tensor_scalar(r.g, DT_INT64, 1));
}
Tensor **r_parts(R r, Tensor *x, int axis, const int64_t *size, int n) {
    Node *s = build_node(r.g, r.n, "Split", 2, (Tensor *[]){x, tensor_i64s(r.g, size, n)}, n);
    r_set_i(s->out[0], "axis", axis);
    return s->out;
}
Tensor *r_param(R r, Tensor *x, int after) {
    int64_t n, dim[QN_MAX_RANK] = {0};
    if (!x || x->type.rank == 0 || !type_elements(&x->type, &n)) return x;
    if (n == 1) return r_reshape(r, x, 0, dim);
    if (x->type.rank != 1 || after == 0) return x;
    dim[0] = n;
    for (int i = 1; i <= after; i++) dim[i] = 1;
    return r_reshape(r, x, after + 1, dim);
}
Tensor *r_dequantize(R r, Tensor *x, Tensor *scale, Tensor *zero) {
    return zero ? r_op3(r, "DequantizeLinear", x, r_param(r, scale, 0), r_param(r, zero, 0))
                : r_op2(r, "DequantizeLinear", x, r_param(r, scale, 0));
}
Tensor *r_quantize(R r, Tensor *x, Tensor *scale, Tensor *zero) {
    return zero ? r_op3(r, "QuantizeLinear", x, r_param(r, scale, 0), r_param(r, zero, 0))
                : r_op2(r, "QuantizeLinear", x, r_param(r, scale, 0));
}
Tensor *r_requantize(R r, Tensor *x, Tensor *scale, Tensor *zero, int zero_after) {
    Tensor *v = r_op2(r, "Mul", r_cast(r, x, DT_FLOAT32), scale);
    int64_t n;
    if (!zero || (type_elements(&zero->type, &n) && n == 1)) return r_quantize(r, v, r_f32(r, 1), zero);
    DType to = zero->type.dt;
    v = r_op2(r, "Add", r_op1(r, "Round", v), r_cast(r, r_param(r, zero, zero_after), DT_FLOAT32));
    return r_cast(r, r_op3(r, "Clip", v, r_f32(r, (double)dtype_min(to)), r_f32(r, (double)dtype_max(to))), to);
}
