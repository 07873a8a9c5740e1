/* SPDX-License-Identifier: Apache-2.0 */
/* rewrites.c: ops that are expanded into others, once, when their inputs' types are known.
 *
 *   y = Mean(a, b, c)   ->   s = Sum(a, b, c); y = Div(s, 3)
 */
#include "rewrite.h"
#include <string.h>

bool rewrite_mean(Ctx *c, Graph *g, Node *n) {
    (void)c;
    Tensor *sum = build(g, n, "Sum", n->nin, n->in);
    Tensor *count = tensor_scalar(g, n->in[0]->type.dt, n->nin);
    tensor_replace(g, n->out[0], n->nin == 1 ? sum : build(g, n, "Div", 2, (Tensor *[]){sum, count}), true);
    return true;
}

/* mean and var over all axes but the channels'; y = (x - mean)/sqrt(var + epsilon)*scale + bias */
bool rewrite_batchnorm_training(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int rank = n->in[0]->type.rank, na = 0;
    int64_t axes[QN_MAX_RANK];
    if (rank < 2) return diag_error(c->d, n->loc, "input 0 has %d axes, expected the batch and the channels at least", rank);
    for (int i = 0; i < rank; i++)
        if (i != 1) axes[na++] = i;
    DType t = n->in[0]->type.dt, s = n->in[3]->type.dt;
    Tensor *over = tensor_i64s(g, axes, na), *x = r_in(r, 0), *flat = tensor_i64s(g, (int64_t[]){-1}, 1);
    Tensor *mean = r_op2(r, "ReduceMean", x, over), *d = r_op2(r, "Sub", x, mean);
    Tensor *var = r_op2(r, "ReduceMean", r_op2(r, "Mul", d, d), over);
    Tensor *root = r_op1(r, "Sqrt", r_op2(r, "Add", var, tensor_scalar(g, t, (double)attr_f(n, 0))));
    Tensor *y = r_op2(r, "Mul", r_op2(r, "Div", d, root), r_cast(r, r_param(r, r_in(r, 1), rank - 2), t));
    r_done(r, 0, r_op2(r, "Add", y, r_cast(r, r_param(r, r_in(r, 2), rank - 2), t)));
    for (int o = 1; o < 3; o++) {
        if (!r_out(r, o)) continue;
        double keep = (double)attr_f(n, 1);
        Tensor *now = r_cast(r, r_op2(r, "Reshape", o == 1 ? mean : var, flat), s);
        Tensor *old = r_op2(r, "Mul", r_in(r, o + 2), tensor_scalar(g, s, keep));
        r_done(r, o, r_op2(r, "Add", old, r_op2(r, "Mul", now, tensor_scalar(g, s, 1 - keep))));
    }
    return true;
}
