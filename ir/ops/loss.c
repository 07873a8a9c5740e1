/* SPDX-License-Identifier: Apache-2.0 */
/* loss.c: NegativeLogLikelihoodLoss as loops, and SoftmaxCrossEntropyLoss as LogSoftmax followed by it. A target out of range is
 * brought to the nearest class; one equal to ignore_index counts for nothing.
 *
 *   for n, d:  t = target[n,d];  w = weight[t];  loss[n,d] = -x[n,t,d]*w;      mean: sum(loss) / sum(w)
 */
#include "../extent.h"
#include <string.h>

enum { IGNORE, REDUCTION };

static bool mean_of(const Node *n) { return strcmp(attr_s(n, REDUCTION), "mean") == 0; }
static bool none_of(const Node *n) { return strcmp(attr_s(n, REDUCTION), "none") == 0; }
static bool check_loss(Infer *x) {
    const Type *t = &x->n->in[0]->type, *l = &x->n->in[1]->type;
    const char *r = attr_s(x->n, REDUCTION);
    if (strcmp(r, "mean") != 0 && strcmp(r, "sum") != 0 && strcmp(r, "none") != 0)
        return infer_error(x, "reduction is '%s'; none, sum or mean is expected", r);
    if (t->rank < 2 || l->rank != t->rank - 1)
        return infer_error(x,
                           "scores and labels have ranks %d and %d; the labels are expected to have one axis less, the scores at least 2",
                           t->rank, l->rank);
    if (t->ext && t->ext[1]) return infer_error(x, "the number of classes is known at run time only; fix it with --dim");
    for (int i = 0; i < l->rank; i++)
        if (!infer_same_extent(x, type_extent(x->g, l, i), type_extent(x->g, t, i ? i + 1 : 0)))
            return infer_error(x, "axis %d of the labels has extent %lld; %lld is expected", i, (long long)l->dim[i],
                               (long long)t->dim[i ? i + 1 : 0]);
    const Tensor *w = x->n->nin > 2 ? x->n->in[2] : NULL;
    if (w && (w->type.rank != 1 || w->type.dim[0] != t->dim[1]))
        return infer_error(x, "the weights are expected to be %lld, one a class", (long long)t->dim[1]);
    if (t->dim[1] == 0) return infer_error(x, "there are no classes");
    return true;
}
bool infer_nll_loss(Infer *x) {
    const Type *l = &x->n->in[1]->type;
    Expr *e[QN_MAX_RANK];
    if (!check_loss(x)) return false;
    type_extents(x->g, l, e);
    return infer_extents(x, 0, x->n->in[0]->type.dt, none_of(x->n) ? l->rank : 0, e);
}
bool lower_nll_loss(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *l = &n->in[1]->type;
    DType ct = dtype_compute(t->dt);
    bool none = none_of(n), weighted = n->nin > 2 && n->in[2];
    Buf *sum = NULL, *total = NULL;
    Expr *idx[QN_MAX_RANK], *at[QN_MAX_RANK];
    if (!none) {
        sum = lower_temp(L, "sum", ct, 0, NULL);
        if (mean_of(n)) total = lower_temp(L, "total", ct, 0, NULL);
        lower_put(L, sum, NULL, e_lit(a, ct, 0), RED_NONE);
        if (total) lower_put(L, total, NULL, e_lit(a, ct, 0), RED_NONE);
    }
    lower_loops(L, NULL, l, idx);
    Expr *target = lower_let(L, "target", e_cast(a, DT_INT64, lower_load(L, n, 1, idx)));
    Expr *cls = lower_let(L, "cls", e_max(a, e_int(a, 0), e_min(a, target, e_int(a, t->dim[1] - 1))));
    for (int i = 0; i < t->rank; i++) at[i] = i == 0 ? idx[0] : i == 1 ? cls : idx[i - 1];
    Expr *w = weighted ? lower_load(L, n, 2, &cls) : e_lit(a, ct, 1), *loss;
    if (attr_has(n, IGNORE)) {
        Expr *skip = lower_let(L, "skip", e_eq(a, target, e_int(a, attr_i(n, IGNORE))));
        w = lower_let(L, "w", e_select(a, skip, e_lit(a, ct, 0), w));
        loss = e_select(a, skip, e_lit(a, ct, 0), e_mul(a, e_un(a, UN_NEG, lower_load(L, n, 0, at)), w));
    } else {
        w = lower_let(L, "w", w);
        loss = e_mul(a, e_un(a, UN_NEG, lower_load(L, n, 0, at)), w);
    }
    if (none) {
        lower_store(L, n, 0, idx, loss);
    } else {
        lower_put(L, sum, NULL, loss, RED_ADD);
        if (total) lower_put(L, total, NULL, w, RED_ADD);
    }
    lower_ends(L, l->rank);
    if (none) return true;
    Expr *v = lower_get(L, sum, NULL);
    lower_store(L, n, 0, NULL, mean_of(n) ? e_div(a, v, lower_get(L, total, NULL)) : v);
    return true;
}

bool rewrite_cross_entropy(Ctx *c, Graph *g, Node *n) {
    Infer x = {c, g, n};
    if (!check_loss(&x)) return false;
    DType t = n->in[0]->type.dt, w = dtype_compute(t); /* 16-bit floats: the logarithms in float32 */
    Tensor *in = n->in[0];
    if (w != t) in = build(g, n, "Cast", 1, &in), node_set_i(in->def, op_attr_index(in->def->op, "to"), w);
    Tensor *logs = build(g, n, "LogSoftmax", 1, &in);
    node_set_i(logs->def, op_attr_index(logs->def->op, "axis"), 1);
    if (w != t) logs = build(g, n, "Cast", 1, &logs), node_set_i(logs->def, op_attr_index(logs->def->op, "to"), t);
    if (n->out[0]) {
        Tensor *loss = build(g, n, "NegativeLogLikelihoodLoss", n->nin, (Tensor *[]){logs, n->in[1], n->nin > 2 ? n->in[2] : NULL});
        loss->def->attr[IGNORE] = n->attr[IGNORE], loss->def->attr[REDUCTION] = n->attr[REDUCTION];
        tensor_replace(g, n->out[0], loss, true);
    }
    if (n->nout > 1 && n->out[1]) tensor_replace(g, n->out[1], logs, true);
    return true;
}
