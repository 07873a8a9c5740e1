/* SPDX-License-Identifier: Apache-2.0 */
/* norms.c: normalisations along the last axes that a model spells out become one operator, whose kernel keeps a row near while it
 * takes mean, variance and result of it. A factor and an addend that are constant join it.
 *
 *   d = Sub(x, ReduceMean(x)); y = Add(Mul(Div(d, Sqrt(Add(ReduceMean(Mul(d, d)), 1e-5))), g), b)
 *   --->  y = LayerNormalization(x, g, b) {epsilon=1e-5}          without the mean: RMSNormalization(x, g)
 */
#include "internal.h"

typedef struct Norm {
    Tensor *x;
    int first;      /* axes [first, rank) are normalised together */
    double epsilon; /* as it was added to the mean of squares */
    bool centred;
} Norm;

static bool scalar(const Tensor *t, double *v) { return is_const(t) && tensor_elements(t) == 1 && const_f(t, v); }
static Node *maker(const Tensor *t, const char *op) { return t && t->def && op_is(t->def, op) ? t->def : NULL; }
static Node *own_maker(const Tensor *t, const char *op) { /* nobody else reads t */
    return t && t->nuse == 1 && !t->is_output ? maker(t, op) : NULL;
}
/* The mean of t along its last axes, which stay with extent 1. */
static bool mean_of_last(Run *r, const Node *n, int *first) {
    int rank = n->in[0]->type.rank;
    int64_t count = 0, seen = 0;
    const int64_t *axes = n->nin > 1 && n->in[1] ? const_i64s(r->tmp, n->in[1], &count) : NULL;
    if (!axes || count < 1 || !attr_i(n, op_attr_index(n->op, "keepdims"))) return false;
    for (int64_t i = 0; i < count; i++) seen |= (int64_t)1 << (axes[i] < 0 ? axes[i] + rank : axes[i]);
    *first = rank - (int)count;
    return seen == (((int64_t)1 << count) - 1) << *first;
}
/* t is 1 / root (inverse) or root: of the mean of squares of d, and epsilon. */
static bool root_of_squares(Run *r, Tensor *t, bool inverse, const Tensor *d, Norm *k) {
    Node *n;
    double one;
    if (inverse) {
        if ((n = own_maker(t, "Reciprocal"))) t = n->in[0];
        else if ((n = own_maker(t, "Div")) && scalar(n->in[0], &one) && one == 1) t = n->in[1];
        else return false;
    }
    if (!(n = own_maker(t, "Sqrt")) || !(n = own_maker(n->in[0], "Add"))) return false;
    int side = scalar(n->in[1], &k->epsilon) ? 0 : 1;
    if (!scalar(n->in[!side], &k->epsilon) || !(n = own_maker(n->in[side], "ReduceMean")) || !mean_of_last(r, n, &k->first)) return false;
    double two;
    Node *square = own_maker(n->in[0], "Mul");
    if (square) return square->in[0] == d && square->in[1] == d;
    return (square = own_maker(n->in[0], "Pow")) && square->in[0] == d && scalar(square->in[1], &two) && two == 2;
}
static bool match(Run *r, const Node *n, Norm *k) {
    bool div = op_is(n, "Div"), second = false;
    bool found = root_of_squares(r, n->in[1], !div, n->in[0], k);
    if (!found && !div) second = found = root_of_squares(r, n->in[0], true, n->in[1], k);
    Tensor *d = n->in[second];
    if (!found || d->type.ext || !type_same(&d->type, &n->out[0]->type) || !dtype_is_float(d->type.dt)) return false;
    if (d->type.rank == 4 && k->first == 2) return false; /* planes of an image: better computed with the channels in blocks */
    int first;
    const Node *sub = maker(d, "Sub"), *mean = sub ? own_maker(sub->in[1], "ReduceMean") : NULL;
    k->centred = mean && mean->in[0] == sub->in[0] && !d->is_output && d->nuse <= 3 && mean_of_last(r, mean, &first) && first == k->first &&
                 type_same(&sub->in[0]->type, &d->type);
    k->x = k->centred ? sub->in[0] : d;
    return true;
}
/* The constant with which t's only reader combines it, if it has at most the extents that are normalised. */
static Node *reader(const Tensor *t, const char *op, int first, Tensor **c) {
    Node *u = t->nuse == 1 && !t->is_output ? t->uses->node : NULL;
    if (!u || !op_is(u, op) || !type_same(&u->out[0]->type, &t->type)) return NULL;
    *c = u->in[u->in[0] == t];
    const Type *s = &(*c)->type;
    for (int i = 0; i < s->rank; i++)
        if (i + t->type.rank - s->rank < first && s->dim[i] != 1) return NULL;
    return is_const(*c) && s->dt == t->type.dt ? u : NULL;
}
static void replace(Run *r, Node *n, const Norm *k) {
    Graph *g = r->g;
    Tensor *scale = NULL, *bias = NULL, *old = n->out[0];
    Node *mul = reader(old, "Mul", k->first, &scale), *last = mul ? mul : n;
    Node *add = k->centred ? reader(last->out[0], "Add", k->first, &bias) : NULL;
    if (add) last = add;
    if (!mul) scale = tensor_scalar(g, old->type.dt, 1);
    const OpDef *op = op_find("", k->centred ? "LayerNormalization" : "RMSNormalization");
    Node *m = node_new(g, op, last, n->loc, add ? 3 : 2, (Tensor *[]){k->x, scale, bias}, 1);
    node_set_i(m, op_attr_index(op, "axis"), k->first);
    node_set_f(m, op_attr_index(op, "epsilon"), (float)k->epsilon);
    old = last->out[0];
    Tensor *y = tensor_new(g, NULL, old->type.dt, old->type.rank, old->type.dim);
    node_set_out(m, 0, y);
    tensor_replace(g, old, y, true);
    y->name = old->name;
    old->name = arena_printf(g->a, "t%d", old->id);
}

bool pass_norms(Run *r) {
    bool any = false;
    for (Node *n = r->g->first; n; n = n->next) {
        Norm k;
        if ((op_is(n, "Div") || op_is(n, "Mul")) && n->out[0] && n->out[0]->nuse + n->out[0]->is_output > 0 && match(r, n, &k))
            replace(r, n, &k), any = true;
    }
    return !any || pass_dce(r);
}
