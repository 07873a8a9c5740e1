/* SPDX-License-Identifier: Apache-2.0 */
/* exact.c: vector units multiply float32 fast, and layouts, panels and blocks are made for it. An integer product with constant weights
 * whose sums all stay below 2^24 is the same number computed on float32: no partial sum rounds, whatever its order.
 *
 *   y: int32 = ConvInteger(x: uint8, $w: int8, zx, $zw)
 *   --->  y = Cast(Conv(DequantizeLinear(x, 1, zx), $(w - zw)))          if max |x - zx| * sum |w - zw| < 2^24 in each channel
 */
#include "internal.h"
#include "ir/target.h"
#include <stdlib.h>

typedef struct Site {
    Node *n;
    Tensor *x, *w, *zx, *zw; /* zero points may be NULL */
    int axis;                /* of the weights: the output channels; -1: a vector */
    int64_t channels, inner; /* their number, and elements of the weights behind that axis */
} Site;
static int64_t elements_of(const Tensor *t) { return t ? tensor_elements(t) : 1; }
static int64_t zero_at(const Tensor *z, int64_t i) { return z ? dtype_get_i(z->type.dt, z->data, tensor_elements(z) == 1 ? 0 : i) : 0; }
static bool site_of(Node *n, Site *s) {
    bool conv = op_is(n, "ConvInteger");
    *s = (Site){.n = n, .x = n->in[0], .w = n->in[1], .zx = n->nin > 2 ? n->in[2] : NULL, .zw = n->nin > 3 ? n->in[3] : NULL, .inner = 1};
    if ((!conv && !op_is(n, "MatMulInteger")) || !is_const(s->w) || elements_of(s->zx) != 1 || (s->zw && !is_const(s->zw))) return false;
    const Type *w = &s->w->type;
    if (dtype_info[s->x->type.dt].bits > 16 || dtype_info[w->dt].bits > 16) return false;
    s->axis = conv ? 0 : w->rank > 1 ? w->rank - 1 : -1;
    s->channels = s->axis < 0 ? 1 : max_i64(w->dim[s->axis], 1);
    for (int i = s->axis + 1; i < w->rank && s->axis >= 0; i++) s->inner *= w->dim[i];
    if (s->axis < 0) s->inner = max_i64(tensor_elements(s->w), 1);
    return elements_of(s->zw) == 1 || (s->zw->type.rank == 1 && elements_of(s->zw) == s->channels);
}
static bool sums_are_exact(const Run *r, const Site *s) {
    DType dt = s->x->type.dt;
    int64_t lo = dtype_min(dt), hi = dtype_max(dt), top = hi - lo;
    if (!s->zx) top = max_i64(hi, -lo);
    else if (is_const(s->zx)) top = max_i64(hi - zero_at(s->zx, 0), zero_at(s->zx, 0) - lo);
    int64_t *sum = NEW_ARRAY(r->tmp, int64_t, s->channels + 1);
    for (int64_t i = 0, n = tensor_elements(s->w); i < n; i++) { /* a stack of matrices: the bound is for all of them together */
        int64_t c = i / s->inner % s->channels;
        sum[c] += llabs((long long)(dtype_get_i(s->w->type.dt, s->w->data, i) - zero_at(s->zw, c)));
        if (sum[c] > ((int64_t)1 << 24) / max_i64(top, 1)) return false;
    }
    return true;
}
static void replace(Run *r, const Site *s) {
    Graph *g = r->g;
    Node *n = s->n;
    int64_t count = tensor_elements(s->w);
    float *v = NEW_ARRAY(g->a, float, count + 1), *one = NEW(g->a, float);
    *one = 1;
    for (int64_t i = 0; i < count; i++)
        v[i] = (float)(dtype_get_i(s->w->type.dt, s->w->data, i) - zero_at(s->zw, i / s->inner % s->channels));
    Tensor *w = tensor_const(g, NULL, DT_FLOAT32, s->w->type.rank, s->w->type.dim, v),
           *unit = tensor_const(g, NULL, DT_FLOAT32, 0, NULL, one);
    Tensor *x = build(g, n, "DequantizeLinear", s->zx ? 3 : 2, (Tensor *[]){s->x, unit, s->zx});
    Tensor *y = build(g, n, op_is(n, "ConvInteger") ? "Conv" : "MatMul", 2, (Tensor *[]){x, w});
    for (int i = 0; i < n->op->nattr; i++) {
        int k = op_attr_index(y->def->op, n->op->attr[i].name);
        if (k >= 0) y->def->attr[k] = n->attr[i];
    }
    for (Use *u = n->out[0]->uses, *next; u; u = next) { /* whole numbers: as good as the int32 for who wants floats anyway */
        next = u->next;
        int to = op_is(u->node, "Cast") ? (int)attr_i(u->node, op_attr_index(u->node->op, "to")) : 0;
        if (to == DT_FLOAT32 || to == DT_FLOAT64) node_set_in(u->node, 0, y);
    }
    /* The limits are never reached: they say that the conversion is plain. */
    Tensor *low = tensor_scalar(g, DT_FLOAT32, -16777216.0), *high = tensor_scalar(g, DT_FLOAT32, 16777216.0);
    Tensor *whole = build(g, n, "Cast", 1, (Tensor *[]){build(g, n, "Clip", 3, (Tensor *[]){y, low, high})});
    node_set_i(whole->def, op_attr_index(whole->def->op, "to"), DT_INT32);
    tensor_replace(g, n->out[0], whole, true);
    node_remove(g, n);
}

bool pass_exact(Run *r) {
    if (!r->o->target || r->o->target->vector_bits == 0) return true;
    bool any = false;
    Site s;
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        if (site_of(n, &s) && sums_are_exact(r, &s)) replace(r, &s), any = true;
    }
    return !any || fold_all(r, false);
}
