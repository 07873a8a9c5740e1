/* SPDX-License-Identifier: Apache-2.0 */
/* lp.c: normalisations and pools that are a few reductions and elementwise steps: LpNormalization, MeanVarianceNormalization,
 * GlobalLpPool. All are rewrites. 16-bit floats are computed in float32 throughout, since a sum of squares soon leaves their range.
 *
 *   y = LpNormalization(x, p = 2)   ->   n = ReduceL2(x, axis);  y = x / (n == 0 ? 1 : n)
 */
#include "../ops.h"

static Tensor *build1(Graph *g, Node *n, const char *op, Tensor *x) { return build(g, n, op, 1, &x); }
static Tensor *build2(Graph *g, Node *n, const char *op, Tensor *x, Tensor *y) { return build(g, n, op, 2, (Tensor *[]){x, y}); }
static Tensor *cast(Graph *g, Node *n, Tensor *x, DType from, DType to) {
    if (from == to) return x;
    Tensor *y = build1(g, n, "Cast", x);
    node_set_i(y->def, op_attr_index(y->def->op, "to"), to);
    return y;
}
static DType wide(DType t) { return dtype_compute(t); }

bool rewrite_lp_normalization(Ctx *c, Graph *g, Node *n) {
    enum { AXIS, P };
    Infer x = {c, g, n};
    const Type *t = &n->in[0]->type;
    int64_t p = attr_i(n, P);
    int axis;
    if (!infer_axis(&x, attr_i(n, AXIS), t->rank, &axis)) return false;
    if (p != 1 && p != 2) return infer_error(&x, "p is %lld; 1 or 2 is expected", (long long)p);
    DType w = wide(t->dt);
    Tensor *v = cast(g, n, n->in[0], t->dt, w);
    Tensor *norm = build2(g, n, p == 1 ? "ReduceL1" : "ReduceL2", v, tensor_i64s(g, (int64_t[]){axis}, 1));
    Tensor *zero = build2(g, n, "Equal", norm, tensor_scalar(g, w, 0));
    norm = build(g, n, "Where", 3, (Tensor *[]){zero, tensor_scalar(g, w, 1), norm});
    tensor_replace(g, n->out[0], cast(g, n, build2(g, n, "Div", v, norm), w, t->dt), true);
    return true;
}

bool rewrite_mean_variance(Ctx *c, Graph *g, Node *n) {
    enum { AXES };
    Infer x = {c, g, n};
    const Type *t = &n->in[0]->type;
    const Attr *a = &n->attr[AXES];
    for (int64_t i = 0; i < a->n; i++) {
        int axis;
        if (!infer_axis(&x, a->is[i], t->rank, &axis)) return false;
    }
    DType w = wide(t->dt);
    Tensor *v = cast(g, n, n->in[0], t->dt, w), *axes = tensor_i64s(g, a->is, a->n);
    Tensor *d = build2(g, n, "Sub", v, build2(g, n, "ReduceMean", v, axes));
    Tensor *var = build2(g, n, "ReduceMean", build2(g, n, "Mul", d, d), axes);
    Tensor *dev = build2(g, n, "Add", build1(g, n, "Sqrt", var), tensor_scalar(g, w, 1e-9));
    tensor_replace(g, n->out[0], cast(g, n, build2(g, n, "Div", d, dev), w, t->dt), true);
    return true;
}

bool rewrite_global_lp(Ctx *c, Graph *g, Node *n) {
    enum { P };
    Infer x = {c, g, n};
    const Type *t = &n->in[0]->type;
    int64_t p = attr_i(n, P), axes[QN_MAX_RANK];
    if (p < 1) return infer_error(&x, "p is %lld; at least 1 is expected", (long long)p);
    if (t->rank < 2) return infer_error(&x, "the input has rank %d; at least 2 is expected", t->rank);
    for (int i = 2; i < t->rank; i++) axes[i - 2] = i;
    DType w = wide(t->dt);
    Tensor *v = build1(g, n, "Abs", cast(g, n, n->in[0], t->dt, w)), *y = v;
    if (t->rank > 2) {
        const char *op = p == 1 ? "ReduceL1" : p == 2 ? "ReduceL2" : "ReduceSum";
        if (p > 2) v = build2(g, n, "Pow", v, tensor_scalar(g, w, (double)p));
        y = build2(g, n, op, v, tensor_i64s(g, axes, t->rank - 2));
        if (p > 2) y = build2(g, n, "Pow", y, tensor_scalar(g, w, 1.0 / (double)p));
    } /* else nothing is summed, and the norm of one element is its absolute value */
    tensor_replace(g, n->out[0], cast(g, n, y, w, t->dt), true);
    return true;
}
