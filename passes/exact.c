/* SPDX-License-Identifier: Apache-2.0 */
/* exact.c: products of integers with constant weights become what a target with vectors does fast. Where it has dot products of bytes
 * (ir/dot.h) they stay products of integers: the weights int8 without zero point, the activations of the type that the instruction
 * wants. What is computed in the other type is computed in this one instead, its zero point moved by 128.
 *
 *   y: int32 = ConvInteger(x: int8, $w: uint8, -3, 120)
 *   --->  y = ConvInteger(x': uint8, $(w - 120): int8, 125)              where w - 120 fits
 *
 * Elsewhere: layouts, panels and blocks are made for float32, and a product whose sums all stay below 2^24 is the same number computed
 * on float32: no partial sum rounds, whatever its order.
 *
 *   y: int32 = ConvInteger(x: uint8, $w: int8, zx, $zw)
 *   --->  y = Cast(Conv(DequantizeLinear(x, 1, zx), $(w - zw)))          if max |x - zx| * sum |w - zw| < 2^24 in each channel
 */
#include "internal.h"
#include "ir/dot.h"
#include "layout.h"
#include "qdq.h"
#include <stdlib.h>
#include <string.h>

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

/* ---- dot products */
static Tensor *typed(Tensor *t, DType dt, const Type *shape) {
    t->type = *shape;
    t->type.dt = dt;
    return t;
}
Tensor *times_zero(Graph *g, Node *before, Tensor *sums, Tensor *zero) {
    if (!is_const(zero)) {
        Tensor *z = typed(build(g, before, "Cast", 1, &zero), DT_INT32, &zero->type);
        node_set_i(z->def, op_attr_index(z->def->op, "to"), DT_INT32);
        Tensor *one = build(g, before, "Reshape", 2, (Tensor *[]){z, tensor_i64s(g, (int64_t[]){1}, 0)});
        typed(one, DT_INT32, &(Type){.rank = 0});
        return typed(build(g, before, "Mul", 2, (Tensor *[]){sums, one}), DT_INT32, &sums->type);
    }
    int64_t by = dtype_get_i(zero->type.dt, zero->data, 0), n = tensor_elements(sums);
    int32_t *v = NEW_ARRAY(g->a, int32_t, n);
    if (!by) return NULL;
    for (int64_t i = 0; i < n; i++) v[i] = (int32_t)((uint32_t)((const int32_t *)sums->data)[i] * (uint32_t)by);
    return tensor_const(g, NULL, DT_INT32, sums->type.rank, sums->type.dim, v);
}
typedef struct Dots {
    Run *r;
    Graph *g;
    DType want; /* of activations */
    int lanes;
    double cycles;       /* of a vector of dot products */
    Vec(Tensor *) moved; /* by tensor id: the tensor in that type, once it is known */
} Dots;
static bool fits_byte(const Site *s) {
    for (int64_t i = 0, n = tensor_elements(s->w); i < n; i++) {
        int64_t v = dtype_get_i(s->w->type.dt, s->w->data, i) - zero_at(s->zw, i / s->inner % s->channels);
        if (v < INT8_MIN || v > INT8_MAX) return false;
    }
    return true;
}
static bool takes_dots(const Dots *d, const Site *s) {
    const Type *w = &s->w->type;
    if (!d->lanes || dtype_info[s->x->type.dt].bits != 8 || dtype_info[w->dt].bits != 8 || node_dynamic(s->n)) return false;
    if (tensor_elements(s->w) < 1 || tensor_elements(s->n->out[0]) < 1) return false;
    if (op_is(s->n, "ConvInteger") ? !layout_takes_integers(s->n, d->lanes) : w->rank != 2 || w->dim[1] < 4) return false;
    return fits_byte(s);
}
/* A dot product that is made of several instructions can take longer than four multiply-adds of floats, even with the conversions of the
 * activations and, once or for each row, of the weights; words that the channels do not fill are as dear as full ones. */
static bool floats_are_faster(const Dots *d, const Site *s) {
    static const double CONVERT_X = 1.25, CONVERT_W = 0.4; /* cycles for an element, on vectors of 8 */
    const Target *t = d->r->o->target;
    const Type *w = &s->w->type, *y = &s->n->out[0]->type;
    bool conv = op_is(s->n, "ConvInteger");
    int64_t depth = w->dim[conv ? 1 : 0], macs = s->n->op->macs(s->n), columns = max_i64(w->dim[conv ? 0 : 1], 1), uses = 1;
    if (t->ncompute < 1 || macs < 0 || d->cycles <= 1) return false;
    int64_t places = tensor_elements(s->n->out[0]) / columns;
    if (!conv && (y->rank < 2 || places < 3)) uses = places;
    double words = (double)(ceil_div(depth, WORD_BYTES) * WORD_BYTES) / (double)depth, all = (double)macs, lanes = d->lanes;
    double more = CONVERT_X * (double)tensor_elements(s->x) + CONVERT_W * (double)(tensor_elements(s->w) * uses);
    return all * words / WORD_BYTES * d->cycles / lanes > all / lanes / t->compute[0].macs_per_cycle + more * 8 / lanes;
}
static Tensor *cast(Dots *d, Node *before, Tensor *t, DType to) {
    Tensor *y = typed(build(d->g, before, "Cast", 1, &t), to, &t->type);
    node_set_i(y->def, op_attr_index(y->def->op, "to"), to);
    return y;
}
/* t, of the one type of bytes, in the other: less or more by 128. */
static Tensor *converted(Dots *d, Node *before, Tensor *t, DType to) {
    Tensor *in[] = {cast(d, before, t, DT_INT32), tensor_scalar(d->g, DT_INT32, to == DT_UINT8 ? 128 : -128)};
    return cast(d, before, typed(build(d->g, before, "Add", 2, in), DT_INT32, &t->type), to);
}
static Tensor *constant_moved(Dots *d, const Tensor *t) {
    int64_t n = tensor_elements(t), by = d->want == DT_UINT8 ? 128 : -128;
    void *v = arena_alloc(d->g->a, (size_t)n + 1);
    for (int64_t i = 0; i < n; i++) dtype_set_i(d->want, v, i, dtype_get_i(t->type.dt, t->data, i) + by);
    return tensor_const(d->g, NULL, d->want, t->type.rank, t->type.dim, v);
}
static Tensor *renewed(Dots *d, Node *n, int nin, Tensor *const *in, DType dt) { /* n on other operands; its only result */
    Node *k = node_new(d->g, n->op, n, n->loc, nin, in, 1);
    memcpy(k->attr, n->attr, sizeof *n->attr * (size_t)n->op->nattr);
    node_set_out(k, 0, typed(tensor_new(d->g, NULL, DT_NONE, -1, NULL), dt, &n->out[0]->type));
    return k->out[0];
}
/* Operand 2 of n, a zero point for integers of type dt, moved; absent it is 0. NULL: it is not known. */
static Tensor *zero_moved(Dots *d, const Node *n, DType dt) {
    Tensor *zero = n->nin > 2 ? n->in[2] : NULL;
    if (!zero) zero = tensor_scalar(d->g, dt, 0);
    return is_const(zero) ? constant_moved(d, zero) : NULL;
}
static void remember(Dots *d, const Tensor *t, Tensor *m) {
    while (d->moved.n <= t->id) vec_push(d->r->tmp, &d->moved, (Tensor *)NULL);
    d->moved.v[t->id] = m;
}
/* Readers of t read m instead. */
static void settle(Dots *d, Tensor *t, Tensor *m) {
    for (Use *u = t->uses, *next; u; u = next) {
        next = u->next;
        Node *k = u->node;
        Tensor *zero = op_is(k, "DequantizeLinear") && u->index == 0 ? zero_moved(d, k, t->type.dt) : NULL;
        if (!zero) continue;
        if (k->nin > 2) node_set_in(k, 2, zero);
        else tensor_replace(d->g, k->out[0], renewed(d, k, 3, (Tensor *[]){m, k->in[1], zero}, k->out[0]->type.dt), true);
        node_set_in(k, 0, m);
    }
    if (!t->nuse) return;
    Tensor *back = converted(d, t->def->next, m, t->type.dt);
    remember(d, back, m);
    tensor_replace(d->g, t, back, true);
}
static Tensor *moved(Dots *d, Tensor *t, int depth);
/* t computed in the other type; NULL: it cannot be. */
static Tensor *computed(Dots *d, Tensor *t, int depth) {
    enum { DEPTH = 32, OPERANDS = 16 };
    Node *n = t->def;
    Tensor *in[OPERANDS];
    if (!n || n->nout != 1 || n->nin > OPERANDS || depth > DEPTH || t->is_output) return NULL;
    for (int i = 0; i < n->nin; i++) in[i] = n->in[i];
    if (op_is(n, "QuantizeLinear") && !attr_i(n, op_attr_index(n->op, "output_dtype"))) {
        in[2] = zero_moved(d, n, t->type.dt);
        return in[2] ? renewed(d, n, 3, in, d->want) : NULL;
    }
    if (op_is(n, "Concat")) {
        for (int i = 0; i < n->nin; i++) in[i] = moved(d, in[i], depth + 1);
        return renewed(d, n, n->nin, in, d->want);
    }
    if (op_is(n, "Pad") && n->nin > 2 && in[2] && is_const(in[2])) {
        in[0] = moved(d, in[0], depth + 1), in[2] = constant_moved(d, in[2]);
        return renewed(d, n, n->nin, in, d->want);
    }
    if (!qdq_moves(n)) return NULL;
    in[0] = moved(d, in[0], depth + 1);
    return renewed(d, n, n->nin, in, d->want);
}
static Tensor *moved(Dots *d, Tensor *t, int depth) {
    if (t->type.dt == d->want) return t;
    if (is_const(t)) return constant_moved(d, t);
    Tensor *m = t->id < d->moved.n ? d->moved.v[t->id] : NULL;
    if (m) return m;
    m = computed(d, t, depth);
    if (m) settle(d, t, m);
    else m = converted(d, t->def ? t->def->next : d->g->first, t, d->want);
    remember(d, t, m);
    return m;
}
static void make_dots(Dots *d, Site *s) {
    Node *n = s->n;
    int64_t count = tensor_elements(s->w);
    int8_t *v = NEW_ARRAY(d->g->a, int8_t, count);
    for (int64_t i = 0; i < count; i++)
        v[i] = (int8_t)(dtype_get_i(s->w->type.dt, s->w->data, i) - zero_at(s->zw, i / s->inner % s->channels));
    Tensor *w = tensor_const(d->g, NULL, DT_INT8, s->w->type.rank, s->w->type.dim, v), *zx = s->zx;
    if (s->x->type.dt != d->want) {
        if (!zx) zx = tensor_scalar(d->g, s->x->type.dt, 0);
        zx = is_const(zx) ? constant_moved(d, zx) : converted(d, n, zx, d->want);
    }
    Tensor *in[] = {moved(d, s->x, 0), w, zx, NULL};
    for (int i = 0; i < n->nin; i++) node_set_in(n, i, in[i]);
    if (n->nin < 3 && zx) {
        Node *k = node_new(d->g, n->op, n, n->loc, 3, in, 1);
        memcpy(k->attr, n->attr, sizeof *n->attr * (size_t)n->op->nattr);
        node_set_out(k, 0, tensor_new(d->g, NULL, DT_INT32, n->out[0]->type.rank, n->out[0]->type.dim));
        tensor_replace(d->g, n->out[0], k->out[0], true);
        node_remove(d->g, n);
    }
}

bool pass_exact(Run *r) {
    if (!r->o->target || r->o->target->vector_bits == 0) return true;
    bool any = false;
    Site s;
    DotRow row;
    Dots d = {.r = r, .g = r->g};
    int lanes = target_lanes(r->o->target, 32);
    if (target_dot(r->tmp, r->o->target, lanes, &row)) d.lanes = lanes, d.want = dot_bytes(row.fn), d.cycles = row.cycles;
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        if (!site_of(n, &s)) continue;
        bool dots = takes_dots(&d, &s);
        if (dots && (!floats_are_faster(&d, &s) || !sums_are_exact(r, &s))) make_dots(&d, &s), any = true;
        else if (sums_are_exact(r, &s)) replace(r, &s), any = true;
    }
    return !any || fold_all(r, false);
}
