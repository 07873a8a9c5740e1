/* SPDX-License-Identifier: Apache-2.0 */
/* training.c: one step of an optimiser. Inputs are the rate R and the count T of steps before, then the tensors to train, their
 * gradients, and what the optimiser keeps, each group as long as the first.
 *
 *   x2, v2 = Momentum(R, T, x, g, v)   ->   d = norm*x + g; v2 = alpha*v + (T > 0 ? beta : 1)*d; x2 = x - R*v2
 */
#include "rewrite.h"
#include <string.h>

static Tensor *num(R r, Tensor *like, double v) { return tensor_scalar(r.g, like->type.dt, v); }
static Tensor *add(R r, Tensor *x, Tensor *y) { return r_op2(r, "Add", x, y); }
static Tensor *sub(R r, Tensor *x, Tensor *y) { return r_op2(r, "Sub", x, y); }
static Tensor *mul(R r, Tensor *x, Tensor *y) { return r_op2(r, "Mul", x, y); }
static Tensor *quo(R r, Tensor *x, Tensor *y) { return r_op2(r, "Div", x, y); }
static double attr(const Node *n, const char *name) { return (double)attr_f(n, op_attr_index(n->op, name)); }

/* How many tensors are trained; 0 after an error. */
static int groups(Ctx *c, const Node *n, int per) {
    int k = (n->nin - 2) / per;
    bool ok = k > 0 && (n->nin - 2) % per == 0 && n->nout <= k * (per - 1);
    for (int i = 2; ok && i < n->nin; i++) {
        const Type *x = &n->in[2 + (i - 2) % k]->type, *t = &n->in[i]->type;
        if (!type_same(x, t))
            return diag_error(c->d, n->loc, "input %d has another type than input %d, which it belongs to", i, 2 + (i - 2) % k);
    }
    if (!ok)
        diag_error(c->d, n->loc, "%d inputs and %d outputs; R, T and %d of each tensor are expected, and %d results of each", n->nin,
                   n->nout, per, per - 1);
    return ok ? k : 0;
}
/* The gradient, with what pulls x towards 0. */
static Tensor *gradient(R r, Tensor *x, Tensor *g) { return add(r, mul(r, num(r, x, attr(r.n, "norm_coefficient")), x), g); }
static Tensor *rate(R r, Tensor *x) { return r_cast(r, r_in(r, 0), x->type.dt); }
static Tensor *count(R r, Tensor *x) { return r_cast(r, r_in(r, 1), x->type.dt); }
static Tensor *started(R r) { return r_op2(r, "Greater", r_in(r, 1), tensor_scalar(r.g, r_in(r, 1)->type.dt, 0)); }
static void done(R r, int i, Tensor *t) {
    if (r_out(r, i)) r_done(r, i, t);
}

bool rewrite_adagrad(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int k = groups(c, n, 3);
    for (int i = 0; i < k; i++) {
        Tensor *x = r_in(r, 2 + i), *d = gradient(r, x, r_in(r, 2 + k + i)), *one = num(r, x, 1);
        Tensor *step = quo(r, rate(r, x), add(r, one, mul(r, count(r, x), num(r, x, attr(n, "decay_factor")))));
        Tensor *h = add(r, r_in(r, 2 + 2 * k + i), mul(r, d, d));
        Tensor *root = add(r, r_op1(r, "Sqrt", h), num(r, x, attr(n, "epsilon")));
        done(r, i, sub(r, x, quo(r, mul(r, step, d), root)));
        done(r, k + i, h);
    }
    return k > 0;
}
bool rewrite_adam(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int k = groups(c, n, 4);
    double alpha = attr(n, "alpha"), beta = attr(n, "beta");
    for (int i = 0; i < k; i++) {
        Tensor *x = r_in(r, 2 + i), *d = gradient(r, x, r_in(r, 2 + k + i)), *one = num(r, x, 1), *t = count(r, x);
        Tensor *v = add(r, mul(r, num(r, x, alpha), r_in(r, 2 + 2 * k + i)), mul(r, num(r, x, 1 - alpha), d));
        Tensor *h = add(r, mul(r, num(r, x, beta), r_in(r, 2 + 3 * k + i)), mul(r, num(r, x, 1 - beta), mul(r, d, d)));
        Tensor *root = add(r, r_op1(r, "Sqrt", h), num(r, x, attr(n, "epsilon")));
        Tensor *fresh =
            quo(r, r_op1(r, "Sqrt", sub(r, one, r_op2(r, "Pow", num(r, x, beta), t))), sub(r, one, r_op2(r, "Pow", num(r, x, alpha), t)));
        Tensor *step = r_op3(r, "Where", started(r), mul(r, rate(r, x), fresh), rate(r, x));
        Tensor *moved = sub(r, x, quo(r, mul(r, step, v), root));
        done(r, i, mul(r, num(r, x, 1 - attr(n, "norm_coefficient_post")), moved));
        done(r, k + i, v);
        done(r, 2 * k + i, h);
    }
    return k > 0;
}
bool rewrite_momentum(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int k = groups(c, n, 3);
    const char *mode = attr_s(n, op_attr_index(n->op, "mode"));
    bool nesterov = strcmp(mode, "nesterov") == 0;
    if (!nesterov && strcmp(mode, "standard") != 0)
        return diag_error(c->d, n->loc, "mode is '%s'; 'standard' or 'nesterov' is expected", mode);
    for (int i = 0; i < k; i++) {
        Tensor *x = r_in(r, 2 + i), *d = gradient(r, x, r_in(r, 2 + k + i)), *alpha = num(r, x, attr(n, "alpha"));
        Tensor *share = r_op3(r, "Where", started(r), num(r, x, attr(n, "beta")), num(r, x, 1));
        Tensor *v = add(r, mul(r, alpha, r_in(r, 2 + 2 * k + i)), mul(r, share, d));
        Tensor *along = nesterov ? add(r, d, mul(r, alpha, v)) : v;
        done(r, i, sub(r, x, mul(r, rate(r, x), along)));
        done(r, k + i, v);
    }
    return k > 0;
}
