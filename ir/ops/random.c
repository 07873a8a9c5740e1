/* SPDX-License-Identifier: Apache-2.0 */
/* random.c: random operators, made of one that gives uniform or normal numbers. They depend on the seed, or else on the node's place in
 * the model, and on the element: every run gives the same.
 *
 *   Bernoulli(p)   ->   Cast(Less(RandomUnit(), p))         RandomNormal() {mean=1, scale=2}   ->   RandomUnit() {normal=1} * 2 + 1
 */
#include "../extent.h"
#include "rewrite.h"
#include <string.h>

enum { UNIT_DIMS, UNIT_DOUBLE, UNIT_KEY, UNIT_NORMAL };
bool infer_random_unit(Infer *x) {
    const Node *n = x->n;
    const Attr *d = &n->attr[UNIT_DIMS];
    if (d->n > QN_MAX_RANK) return infer_error(x, "there are %lld extents; at most %d are supported", (long long)d->n, QN_MAX_RANK);
    DType t = attr_i(n, UNIT_DOUBLE) ? DT_FLOAT64 : DT_FLOAT32;
    Type o = n->out[0]->type;
    if (o.ext && o.rank == d->n) return infer_like(x, 0, t, &o); /* as it was made */
    return infer_out(x, 0, t, (int)d->n, d->is);
}
bool lower_random_unit(Lower *L, Node *n) {
    Buf *y = lower_tensor(L, n->out[0]);
    const Type *o = &n->out[0]->type;
    Expr *arg[4] = {lower_extent(L, type_count(L->g, o, 0, o->rank)), lower_int(L, attr_i(n, UNIT_KEY)),
                    lower_int(L, attr_i(n, UNIT_NORMAL) != 0), lower_int(L, n->out[0]->type.dt == DT_FLOAT64)};
    lower_call(L, "qn_random", 4, arg, 1, &y, 1);
    return true;
}

/* The seed's bits, or the node's number in the file and how many drew there before (a function's body has one number). */
static int64_t key_of(R r, int attr) {
    if (attr >= 0 && attr_has(r.n, attr)) {
        float seed = attr_f(r.n, attr);
        uint32_t bits;
        memcpy(&bits, &seed, sizeof bits);
        return (int64_t)bits;
    }
    int64_t before = 0;
    for (const Node *p = r.g->first; p && p != r.n; p = p->next)
        before += strcmp(p->op->name, "RandomUnit") == 0 && p->loc.index == r.n->loc.index;
    return (int64_t)(((uint64_t)(before + 1) << 32) + (uint64_t)(uint32_t)r.n->loc.index);
}
/* Numbers of a shape (that of `like`, where it is given), in float32, or float64 when that is wanted. */
static Tensor *unit(R r, int rank, const int64_t *dim, const Type *like, DType want, bool normal, int seed) {
    Node *u = node_new(r.g, op_find("quern", "RandomUnit"), r.n, r.n->loc, 0, NULL, 1);
    node_set_out(u, 0, tensor_new(r.g, NULL, DT_NONE, -1, NULL));
    node_set_is(r.g, u, UNIT_DIMS, dim, rank);
    if (like && like->ext) u->out[0]->type = *like, u->out[0]->type.dt = want == DT_FLOAT64 ? DT_FLOAT64 : DT_FLOAT32;
    node_set_i(u, UNIT_DOUBLE, want == DT_FLOAT64);
    node_set_i(u, UNIT_KEY, key_of(r, seed));
    node_set_i(u, UNIT_NORMAL, normal);
    return u->out[0];
}
static int attr_named(const Node *n, const char *name) { return op_attr_index(n->op, name); }
static bool wanted_type(Ctx *c, const Node *n, DType other, bool only_float, DType *t) {
    const Attr *a = &n->attr[attr_named(n, "dtype")];
    *t = a->kind == ATTR_NONE ? other : (DType)a->i;
    bool ok = a->kind == ATTR_NONE || dtype_valid((int)a->i);
    if (ok && (dtype_is_float(*t) || (!only_float && (dtype_is_int(*t) || *t == DT_BOOL)))) return true;
    return diag_error(c->d, n->loc, "dtype is %s; a %s type is expected", ok ? dtype_name(*t) : "none", only_float ? "float" : "numeric");
}

/* RandomUniform, RandomNormal, and those like another tensor */
bool rewrite_random(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    bool like = n->nin > 0, normal = strstr(n->op->name, "Normal") != NULL;
    const Type *t = like ? &n->in[0]->type : NULL;
    const Attr *shape = like ? NULL : &n->attr[attr_named(n, "shape")];
    DType dt;
    if (!wanted_type(c, n, like && dtype_is_float(t->dt) ? t->dt : DT_FLOAT32, true, &dt)) return false;
    if (like && !type_known(t)) return diag_error(c->d, n->loc, "the extents of the input are not known");
    if (shape && shape->n > QN_MAX_RANK)
        return diag_error(c->d, n->loc, "shape has %lld extents; at most %d are supported", (long long)shape->n, QN_MAX_RANK);
    Tensor *u = unit(r, like ? t->rank : (int)shape->n, like ? t->dim : shape->is, t, dt, normal, attr_named(n, "seed"));
    double a = (double)attr_f(n, attr_named(n, normal ? "mean" : "low")),
           b = (double)attr_f(n, attr_named(n, normal ? "scale" : "high")) - (normal ? 0 : a);
    DType ct = dt == DT_FLOAT64 ? dt : DT_FLOAT32;
    u = r_op2(r, "Add", r_op2(r, "Mul", u, tensor_scalar(g, ct, b)), tensor_scalar(g, ct, a));
    r_done(r, 0, dt == ct ? u : r_cast(r, u, dt));
    return true;
}
bool rewrite_bernoulli(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    DType dt, ct = t->dt == DT_FLOAT64 ? DT_FLOAT64 : DT_FLOAT32;
    if (!wanted_type(c, n, t->dt, false, &dt)) return false;
    if (!type_known(t)) return diag_error(c->d, n->loc, "the extents of the input are not known");
    Tensor *hit = r_op2(r, "Less", unit(r, t->rank, t->dim, t, ct, false, attr_named(n, "seed")), r_cast(r, n->in[0], ct));
    if (dt == DT_BOOL) hit = r_op1(r, "Identity", hit);
    else hit = r_cast(r, hit, dt);
    r_done(r, 0, hit);
    return true;
}
/* The class whose part of [0, 1) the number falls into; the parts are as long as the exponentials of the scores. */
bool rewrite_multinomial(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    int64_t samples = attr_i(n, attr_named(n, "sample_size"));
    DType dt;
    if (!wanted_type(c, n, DT_INT32, false, &dt)) return false;
    if (t->rank != 2 || !type_known(t) || t->dim[1] < 1 || (t->ext && t->ext[1]))
        return diag_error(c->d, n->loc, "scores of samples and at least one class are expected");
    if (samples < 1 || samples > INT32_MAX)
        return diag_error(c->d, n->loc, "sample_size is %lld; at least 1 is expected", (long long)samples);
    Tensor *axis = tensor_i64s(g, (int64_t[]){1}, -1), *last = tensor_i64s(g, (int64_t[]){2}, 1);
    Tensor *upto = r_op2(r, "CumSum", r_op1(r, "Softmax", r_cast(r, n->in[0], DT_FLOAT64)), axis);
    Type drawn;
    type_set(&drawn, DT_FLOAT64, 2, (int64_t[]){t->dim[0], samples});
    drawn.ext = NULL, drawn.cap = 0;
    if (t->ext && t->ext[0]) drawn.ext = NEW_ARRAY(g->a, Expr *, 2), drawn.ext[0] = t->ext[0];
    Tensor *u = unit(r, 2, drawn.dim, &drawn, DT_FLOAT64, false, attr_named(n, "seed"));
    Tensor *above =
        r_op2(r, "GreaterOrEqual", r_op2(r, "Unsqueeze", u, last), r_op2(r, "Unsqueeze", upto, tensor_i64s(g, (int64_t[]){1}, 1)));
    Tensor *count = r_op2(r, "ReduceSum", r_cast(r, above, DT_INT32), last);
    r_set_i(count, "keepdims", 0);
    count = r_op2(r, "Min", count, tensor_scalar(g, DT_INT32, (double)(t->dim[1] - 1)));
    r_done(r, 0, r_cast(r, count, dt == DT_INT32 ? DT_INT32 : dt));
    return true;
}
/* Dropout: what is kept is scaled, so that the mean stays. Without training everything is kept as it is. */
bool rewrite_dropout(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *x = &n->in[0]->type;
    double training = 0, share = 0.5;
    Tensor *mode = r_in(r, 2), *ratio = r_in(r, 1);
    bool known = !mode || const_f(mode, &training), off = known && training == 0;
    if (ratio && const_f(ratio, &share)) off |= share == 0;
    if (!(share >= 0 && share < 1) && !off) return diag_error(c->d, n->loc, "ratio is %g; at least 0 and less than 1 is expected", share);
    if (!off && !type_known(x)) return diag_error(c->d, n->loc, "the extents of the input are not known");
    Expr *e[QN_MAX_RANK];
    type_extents(g, x, e);
    if (off) {
        if (r_out(r, 0)) r_done(r, 0, r_op1(r, "Identity", n->in[0]));
        if (r_out(r, 1)) r_done(r, 1, r_op2(r, "Expand", tensor_scalar(g, DT_BOOL, 1), extents_tensor(g, n, x->rank, e)));
        return true;
    }
    DType ct = x->dt == DT_FLOAT64 ? DT_FLOAT64 : DT_FLOAT32;
    Tensor *p = ratio ? r_cast(r, ratio, ct) : tensor_scalar(g, ct, share), *one = tensor_scalar(g, ct, 1);
    if (ratio && ratio->type.rank) p = r_reshape(r, p, 0, NULL);
    Node *u = unit(r, x->rank, x->dim, x, ct, false, -1)->def;
    if (attr_has(n, 0)) node_set_i(u, UNIT_KEY, (int64_t)(attr_i(n, 0) & INT64_MAX));
    Tensor *keep = r_op2(r, "GreaterOrEqual", u->out[0], p), *scale = r_op2(r, "Div", one, r_op2(r, "Sub", one, p));
    if (!known) {
        if (mode->type.rank) mode = r_reshape(r, mode, 0, NULL);
        keep = r_op2(r, "Or", r_op1(r, "Not", mode), keep);
        scale = r_op3(r, "Where", mode, scale, one);
    }
    Tensor *v = r_op2(r, "Mul", x->dt == ct ? n->in[0] : r_cast(r, n->in[0], ct), scale);
    Tensor *y = r_op3(r, "Where", keep, v, tensor_scalar(g, ct, 0));
    if (r_out(r, 0)) r_done(r, 0, x->dt == ct ? y : r_cast(r, y, x->dt));
    if (r_out(r, 1)) r_done(r, 1, r_op1(r, "Identity", keep));
    return true;
}
