/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.h: short words for rewrites which build many nodes. An R is the graph and the node which is replaced; everything is
 * built before that node.
 *
 *   R r = {g, n};  r_done(r, 0, r_op2(r, "Add", r_cast(r, r_in(r, 0), DT_FLOAT32), r_f32(r, 1)));
 */
#ifndef QN_REWRITE_H
#define QN_REWRITE_H
#include "../ops.h"

typedef struct R {
    Graph *g;
    Node *n;
} R;
static inline Tensor *r_in(R r, int i) { return i < r.n->nin ? r.n->in[i] : NULL; } /* NULL: absent */
static inline Tensor *r_out(R r, int i) { return i < r.n->nout ? r.n->out[i] : NULL; }
static inline Tensor *r_op1(R r, const char *op, Tensor *x) { return build(r.g, r.n, op, 1, (Tensor *[]){x}); }
static inline Tensor *r_op2(R r, const char *op, Tensor *x, Tensor *y) { return build(r.g, r.n, op, 2, (Tensor *[]){x, y}); }
static inline Tensor *r_op3(R r, const char *op, Tensor *x, Tensor *y, Tensor *z) { return build(r.g, r.n, op, 3, (Tensor *[]){x, y, z}); }
/* Output i of the replaced node becomes t. */
static inline void r_done(R r, int i, Tensor *t) { tensor_replace(r.g, r.n->out[i], t, true); }
static inline int64_t r_int(R r, const char *attr) { return attr_i(r.n, op_attr_index(r.n->op, attr)); } /* of the replaced node */
static inline double r_float(R r, const char *attr) { return (double)attr_f(r.n, op_attr_index(r.n->op, attr)); }
static inline Tensor *r_f32(R r, double v) { return tensor_scalar(r.g, DT_FLOAT32, v); }

void r_set_i(Tensor *t, const char *attr, int64_t v); /* of the node that defines t */
void r_set_f(Tensor *t, const char *attr, float v);
void r_set_s(Tensor *t, const char *attr, const char *v);
/* Attributes which both nodes have, by name. */
void r_copy_attrs(R r, Tensor *to);

Tensor *r_cast(R r, Tensor *x, DType to); /* x itself when its type is known to be `to` */
Tensor *r_reshape(R r, Tensor *x, int rank, const int64_t *dim);
Tensor *r_transpose(R r, Tensor *x, int rank, const int64_t *perm);
Tensor *r_swap_last(R r, Tensor *x, int rank);                /* the last two axes exchanged */
Tensor *r_reshaped(R r, Tensor *x, int rank, Expr *const *e); /* extents that may be known at run time only */
Tensor *r_unsqueezed(R r, Tensor *x, const int64_t *axes, int n);
Tensor *r_range(R r, Expr *n);                                          /* int64 0, 1 … n - 1 */
Tensor **r_parts(R r, Tensor *x, int axis, const int64_t *size, int n); /* x cut along an axis into parts of these sizes */
/* A parameter with one element becomes a scalar; a vector gets `after` axes of extent 1 behind it. Of other ranks: as it is. */
Tensor *r_param(R r, Tensor *x, int after);
Tensor *r_dequantize(R r, Tensor *x, Tensor *scale, Tensor *zero); /* zero may be NULL */
Tensor *r_quantize(R r, Tensor *x, Tensor *scale, Tensor *zero);   /* zero may be NULL: uint8 */
/* Integers (int32) times a float32 scale, rounded half to even, plus a zero point, saturated to its type. */
Tensor *r_requantize(R r, Tensor *x, Tensor *scale, Tensor *zero, int zero_after);
#endif
