/* SPDX-License-Identifier: Apache-2.0 */
/* widen.c: for a target with vectors, convolutions and pools along one axis, and the elementwise operators between them, get a second
 * spatial axis of extent 1 in front, so that what comes next (layout.c) need not know of them. A tensor [N,C,W] has a twin [N,C,1,W],
 * a view; readers that stay as they are read the twin through a Reshape.
 *
 *   c: [1,64,128] = Conv(x, w: [64,8,3]) {pads=[1,1]}; y = Relu(c)
 *   --->  c: [1,64,1,128] = Conv(Reshape(x), w: [64,8,1,3]) {pads=[0,1,0,1]}; y = Reshape(Relu(c))
 */
#include "twins.h"
#include "ir/extent.h"
#include <string.h>

typedef struct Widen {
    Run *r;
    Graph *g;
    Twins twins;
} Widen;
static bool is_native(const Widen *w, const Tensor *t) { return twin_native(&w->twins, t); }
static void wide_type(const Widen *w, const Type *t, Type *out) {
    int64_t dim[4] = {t->dim[0], t->dim[1], 1, t->dim[2]};
    type_set(out, t->dt, 4, dim);
    out->cap = t->cap, out->ext = NULL;
    if (t->ext) memcpy(out->ext = NEW_ARRAY(w->g->a, Expr *, 4), (Expr *[]){t->ext[0], t->ext[1], NULL, t->ext[2]}, 4 * sizeof(Expr *));
}
static Tensor *reshaped(Widen *w, Node *before, Tensor *t, const Type *to) {
    int64_t axis = 2;
    const char *op = !to->ext ? "Reshape" : to->rank == 4 ? "Unsqueeze" : "Squeeze";
    Tensor *how = to->ext ? tensor_i64s(w->g, &axis, 1) : tensor_i64s(w->g, to->dim, to->rank);
    Tensor *y = build(w->g, before, op, 2, (Tensor *[]){t, how});
    y->type = *to;
    return y;
}
static Tensor *twin_of(Widen *w, Tensor *t) {
    Type wide;
    if (twin_get(&w->twins, t)) return twin_get(&w->twins, t);
    wide_type(w, &t->type, &wide);
    Tensor *y = is_const(t) ? tensor_const(w->g, arena_printf(w->g->a, "%s.wide", t->name), t->type.dt, 4, wide.dim, t->data)
                            : reshaped(w, t->def ? t->def->next : w->g->first, t, &wide);
    return twin_set(&w->twins, t, y, false);
}
/* m computes the twin of n's result; others read it through a Reshape. */
static void replace(Widen *w, Node *n, Node *m) {
    Type wide;
    Tensor *old = n->out[0], *y;
    wide_type(w, &old->type, &wide);
    Tensor *t = tensor_new(w->g, arena_printf(w->g->a, "%s.wide", old->name), wide.dt, 4, wide.dim);
    t->type = wide;
    node_set_out(m, 0, t);
    y = reshaped(w, n, t, &old->type);
    twin_replace(&w->twins, w->g, n, y, t);
}

/* ---- windows */
/* A list attribute for one axis becomes one for two: `first` for the new axis in front, for pads at both ends. */
static void widen_list(Widen *w, Node *m, const char *name, int64_t first) {
    int k = op_attr_index(m->op, name);
    int64_t v[4], n = k < 0 || m->attr[k].kind == ATTR_NONE ? 0 : m->attr[k].n;
    if (n < 1 || n > 2) return;
    for (int64_t i = 0; i < n; i++) v[2 * i] = first, v[2 * i + 1] = m->attr[k].is[i];
    node_set_is(w->g, m, k, v, 2 * n);
}
static bool window(Widen *w, Node *n) {
    bool conv = op_is(n, "Conv") || op_is(n, "ConvTranspose");
    if (!conv && !op_is(n, "MaxPool") && !op_is(n, "AveragePool")) return false;
    const Type *x = &n->in[0]->type;
    if (x->rank != 3 || (x->dt != DT_FLOAT32 && x->dt != DT_HALF) || (n->nout > 1 && n->out[1]) || tensor_elements(n->out[0]) == 0)
        return false;
    if (conv ? !is_const(n->in[1]) : !is_native(w, n->in[0])) return false;
    Tensor *in[3] = {twin_of(w, n->in[0]), conv ? twin_of(w, n->in[1]) : NULL, n->nin > 2 ? n->in[2] : NULL};
    Node *m = node_new(w->g, n->op, n, n->loc, n->nin, in, 1);
    for (int i = 0; i < n->op->nattr; i++) m->attr[i] = n->attr[i];
    static const char *const ones[] = {"kernel_shape", "strides", "dilations", "output_shape"}, *const zeros[] = {"pads", "output_padding"};
    for (int i = 0; i < 4; i++) widen_list(w, m, ones[i], 1);
    for (int i = 0; i < 2; i++) widen_list(w, m, zeros[i], 0);
    replace(w, n, m);
    return true;
}

/* ---- elementwise operators next to them */
static bool point(Widen *w, Node *n) {
    bool any = false;
    const Tensor *o = n->nout == 1 ? n->out[0] : NULL;
    Tensor *in[8];
    if (n->op->kind != OP_EXPR || !o || o->type.rank != 3 || n->nin > 8 || op_is(n, "BatchNormalization")) return false;
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = n->in[i];
        if (!t) continue;
        if (t->type.rank > 1 && t->type.rank != 3 && !(is_const(t) && t->type.rank == 2)) return false;
        any |= t->type.rank == 3 && is_native(w, t) && type_same(&t->type, &o->type);
    }
    if (!any || op_is(n, "QuantizeLinear") || op_is(n, "DequantizeLinear")) return false;
    for (int i = 0; i < n->nin; i++) {
        Tensor *t = in[i] = n->in[i];
        if (!t || t->type.rank < 2) continue;
        int64_t dim[3] = {t->type.dim[0], 1, t->type.dim[1]}; /* per channel: [C,1] */
        if (t->type.rank == 3) in[i] = twin_of(w, t);
        else in[i] = tensor_const(w->g, arena_printf(w->g->a, "%s.wide", t->name), t->type.dt, 3, dim, t->data);
    }
    Node *m = node_new(w->g, n->op, n, n->loc, n->nin, in, 1);
    for (int i = 0; i < n->op->nattr; i++) m->attr[i] = n->attr[i];
    replace(w, n, m);
    return true;
}
static bool channels_known(const Node *n) {
    for (int i = 0; i < n->nin + n->nout; i++) {
        const Tensor *t = i < n->nin ? n->in[i] : n->out[i - n->nin];
        if (t && t->type.ext && (t->type.rank != 3 || t->type.ext[1])) return false;
    }
    return true;
}
bool pass_widen(Run *r) {
    if (!r->o || !r->o->target || r->o->target->vector_bits == 0) return true;
    Widen w = {.r = r, .g = r->g, .twins.tmp = r->tmp};
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        if (n->nin && n->in[0] && channels_known(n) && !window(&w, n)) point(&w, n);
    }
    return pass_dce(r);
}
