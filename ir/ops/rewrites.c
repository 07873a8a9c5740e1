/* SPDX-License-Identifier: Apache-2.0 */
/* rewrites.c: ops that are expanded into others, once, when their inputs' types are known.
 *
 *   y = Mean(a, b, c)   ->   s = Sum(a, b, c); y = Div(s, 3)
 */
#include "../ops.h"
#include <string.h>

bool rewrite_mean(Ctx *c, Graph *g, Node *n) {
    (void)c;
    Tensor *sum = build(g, n, "Sum", n->nin, n->in);
    Tensor *count = tensor_scalar(g, n->in[0]->type.dt, n->nin);
    tensor_replace(g, n->out[0], n->nin == 1 ? sum : build(g, n, "Div", 2, (Tensor *[]){sum, count}), true);
    return true;
}

/* Without training nothing is dropped. The mask, if asked for, is true everywhere. */
bool rewrite_dropout(Ctx *c, Graph *g, Node *n) {
    double training = 0, ratio = 0.5;
    const Tensor *r = n->nin > 1 ? n->in[1] : NULL, *t = n->nin > 2 ? n->in[2] : NULL;
    if (t && !const_f(t, &training))
        return diag_error(c->d, n->loc, "training_mode is computed at run time; export the model for inference");
    if (r && training != 0 && !const_f(r, &ratio)) ratio = 0.5;
    if (training != 0 && ratio != 0)
        return diag_error(c->d, n->loc, "training_mode is true with a ratio of %g; only inference is supported: export the model for inference", ratio);
    if (n->out[0]) tensor_replace(g, n->out[0], build(g, n, "Identity", 1, n->in), true);
    if (n->nout < 2 || !n->out[1]) return true;
    const Type *x = &n->in[0]->type;
    Tensor *yes = tensor_scalar(g, DT_BOOL, 1), *shape = tensor_i64s(g, x->dim, x->rank);
    tensor_replace(g, n->out[1], build(g, n, "Expand", 2, (Tensor *[]){yes, shape}), true);
    return true;
}
