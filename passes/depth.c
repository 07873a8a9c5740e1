/* SPDX-License-Identifier: Apache-2.0 */
/* depth.c: for a target with vectors, convolutions along three axes become ones along two, which have fast kernels (layout.c). A tensor
 * [N,C,D,H,W] has a twin [N*D,C,H,W]. The taps along the depth are put side by side as channels; a transposed convolution whose taps do
 * not overlap there makes one slice per tap. Elementwise operators, joined channels and pools of one slice between them compute twins too.
 *
 *   y: [1,8,6,9,9] = Conv(x: [1,4,6,9,9], w: [8,4,3,3,3]) {pads=[1,1,1,1,1,1]}
 *   --->  p = Pad(twin of x, one slice in front and behind); u: [6,12,9,9] = Concat(p[0:6], p[1:7], p[2:8]) along the channels
 *         twin of y: [6,8,9,9] = Conv(u, w as [8,12,3,3]) {pads=[1,1,1,1]}
 */
#include "twins.h"
#include "ir/extent.h"
#include <string.h>

enum { TAPS_MOST = 16 };
typedef struct Depth {
    Run *r;
    Graph *g;
    Node *at; /* where nodes are put */
    Twins twins;
} Depth;
static bool is_native(const Depth *d, const Tensor *t) { return twin_native(&d->twins, t); }
static Tensor *typed(Depth *d, Tensor *t) {
    if (!node_infer(d->r->c, d->g, t->def)) BUG("a node of a convolution along the depth has no type");
    return t;
}
static Tensor *ints(Depth *d, const int64_t *v, int64_t n) { return tensor_i64s(d->g, v, n); }
static Tensor *reshaped(Depth *d, Tensor *t, int rank, const int64_t *dim) {
    if (is_const(t)) return tensor_const(d->g, arena_printf(d->g->a, "%s.flat", t->name), t->type.dt, rank, dim, t->data);
    return typed(d, build(d->g, d->at, "Reshape", 2, (Tensor *[]){t, ints(d, dim, rank)}));
}
/* [a,b,rest] as [b,a,rest]: between [N,C,D,H,W] and [N,D,C,H,W]. */
static Tensor *swapped(Depth *d, Tensor *t) {
    Tensor *y = build(d->g, d->at, "Transpose", 1, &t);
    node_set_is(d->g, y->def, op_attr_index(y->def->op, "perm"), (int64_t[]){0, 2, 1, 3, 4}, 5);
    return typed(d, y);
}
static Tensor *joined(Depth *d, Tensor *const *v, int n, int64_t axis) {
    if (n == 1) return v[0];
    Tensor *y = build(d->g, d->at, "Concat", n, v);
    node_set_i(y->def, op_attr_index(y->def->op, "axis"), axis);
    return typed(d, y);
}
static Tensor *twin_of(Depth *d, Tensor *t) {
    if (twin_get(&d->twins, t)) return twin_get(&d->twins, t);
    const int64_t *k = t->type.dim, flat[] = {k[0] * k[2], k[1], k[3], k[4]};
    Node *at = d->at;
    if (!is_const(t)) d->at = t->def ? t->def->next : d->g->first; /* for all readers */
    Tensor *y = reshaped(d, k[1] == 1 || k[2] == 1 ? t : swapped(d, t), 4, flat);
    d->at = at;
    return twin_set(&d->twins, t, y, false);
}
/* y is the twin of n's result; others read it through a Transpose. */
static void replace(Depth *d, Node *n, Tensor *twin) {
    Tensor *old = n->out[0], *y;
    const int64_t *k = old->type.dim, back[] = {k[0], k[2], k[1], k[3], k[4]};
    if (k[1] == 1 || k[2] == 1) y = reshaped(d, twin, 5, k);
    else y = swapped(d, reshaped(d, twin, 5, back));
    twin_replace(&d->twins, d->g, n, y, twin);
}

/* ---- windows */
static int64_t listed(const Node *n, const char *name, int i, int64_t def) {
    int k = op_attr_index(n->op, name);
    return k >= 0 && attr_has(n, k) && n->attr[k].n > i ? n->attr[k].is[i] : def;
}
static const char *auto_pad(const Node *n) {
    int k = op_attr_index(n->op, "auto_pad");
    return k >= 0 && attr_has(n, k) ? n->attr[k].s : "NOTSET";
}
/* n's operator on twins: its lists lose what they say of the depth. */
static Tensor *flat_window(Depth *d, const Node *n, int nin, Tensor *const *in) {
    static const char *const lists[] = {"kernel_shape", "strides", "dilations", "output_padding", "pads"};
    Tensor *y = build(d->g, d->at, n->op->name, nin, in);
    Node *m = y->def;
    m->loc = n->loc;
    for (int i = 0; i < n->op->nattr; i++) m->attr[i] = n->attr[i];
    for (int i = 0; i < 5; i++) {
        int k = op_attr_index(n->op, lists[i]);
        if (k < 0 || !attr_has(n, k)) continue;
        const int64_t *v = n->attr[k].is;
        if (n->attr[k].n == 3) node_set_is(d->g, m, k, v + 1, 2);
        else if (n->attr[k].n == 6) node_set_is(d->g, m, k, (int64_t[]){v[1], v[2], v[4], v[5]}, 4);
    }
    return typed(d, y);
}
/* Weights [M,C,k,kh,kw]: those of tap t as [M,C,kh,kw] (one), or all as [M,k*C,kh,kw]. */
static Tensor *flat_weights(Depth *d, const Tensor *w, int64_t t, bool one) {
    const int64_t *k = w->type.dim;
    int64_t area = k[3] * k[4], taps = one ? 1 : k[2], dim[] = {k[0], taps * k[1], k[3], k[4]};
    float *v = NEW_ARRAY(d->g->a, float, dim[0] * dim[1] * area), *to = v;
    const float *from = w->data;
    for (int64_t m = 0; m < k[0]; m++)
        for (int64_t q = one ? t : 0; q < (one ? t + 1 : k[2]); q++)
            for (int64_t c = 0; c < k[1]; c++, to += area) memcpy(to, from + ((m * k[1] + c) * k[2] + q) * area, sizeof *v * (size_t)area);
    return tensor_const(d->g, arena_printf(d->g->a, "%s.flat", w->name), w->type.dt, 4, dim, v);
}
static bool fits(const Node *n) {
    const Type *x = &n->in[0]->type;
    return x->rank == 5 && x->dt == DT_FLOAT32 && !(n->nout > 1 && n->out[1]) && tensor_elements(n->in[0]) > 0 &&
           tensor_elements(n->out[0]) > 0;
}
static bool weights_fit(const Node *n) {
    const Tensor *w = n->in[1];
    return is_const(w) && w->type.dim[2] <= TAPS_MOST && (uintptr_t)w->data % sizeof(float) == 0;
}
static bool conv(Depth *d, Node *n) {
    if (!op_is(n, "Conv") || !fits(n) || !weights_fit(n)) return false;
    const int64_t *k = n->in[0]->type.dim, N = k[0], C = k[1], D = k[2], H = k[3], W = k[4];
    int64_t taps = n->in[1]->type.dim[2], out = n->out[0]->type.dim[2], step = listed(n, "strides", 0, 1);
    int64_t far = listed(n, "dilations", 0, 1), front = listed(n, "pads", 0, 0), G = C / n->in[1]->type.dim[1];
    int64_t span = (out - 1) * step + (taps - 1) * far + 1, more = max_i64(span - D, 0);
    const char *mode = auto_pad(n);
    if (strcmp(mode, "NOTSET") != 0) front = strcmp(mode, "SAME_UPPER") == 0 ? more / 2 : strcmp(mode, "VALID") == 0 ? 0 : more - more / 2;
    if (front < 0 || listed(n, "pads", 3, 0) < 0) return false;
    if (tensor_elements(n->in[1]) == n->in[1]->type.dim[0] * C && G == 1 && !is_native(d, n->in[0])) return false; /* a product already */
    Tensor *x = twin_of(d, n->in[0]), *part[TAPS_MOST];
    if (taps > 1 || step > 1 || front > 0 || out != D) {
        int64_t behind = max_i64(span - D - front, 0);
        x = reshaped(d, x, 6, (int64_t[]){N, D, G, C / G, H, W});
        if (front || behind) {
            const int64_t pads[] = {0, front, 0, 0, 0, 0, 0, behind, 0, 0, 0, 0};
            x = typed(d, build(d->g, d->at, "Pad", 2, (Tensor *[]){x, ints(d, pads, 12)}));
        }
        for (int64_t t = 0; t < taps; t++) {
            int64_t first = t * far, last = first + (out - 1) * step + 1, axis = 1;
            Tensor *in[] = {x, ints(d, &first, 1), ints(d, &last, 1), ints(d, &axis, 1), ints(d, &step, 1)};
            part[t] = typed(d, build(d->g, d->at, "Slice", 5, in));
        }
        x = reshaped(d, joined(d, part, (int)taps, 3), 4, (int64_t[]){N * out, taps * C, H, W});
    }
    Tensor *in[] = {x, flat_weights(d, n->in[1], 0, false), n->nin > 2 ? n->in[2] : NULL};
    replace(d, n, flat_window(d, n, n->nin, in));
    return true;
}
static bool conv_transpose(Depth *d, Node *n) {
    if (!op_is(n, "ConvTranspose") || !fits(n) || !weights_fit(n)) return false;
    const int64_t *k = n->out[0]->type.dim;
    int64_t taps = n->in[1]->type.dim[2], in_depth = n->in[0]->type.dim[2];
    int shape = op_attr_index(n->op, "output_shape");
    if (strcmp(auto_pad(n), "NOTSET") != 0 || (attr_has(n, shape) && n->attr[shape].n) || listed(n, "strides", 0, 1) != taps) return false;
    if (listed(n, "pads", 0, 0) || listed(n, "pads", 3, 0) || listed(n, "dilations", 0, 1) != 1 || k[2] != in_depth * taps) return false;
    Tensor *x = twin_of(d, n->in[0]), *part[TAPS_MOST];
    for (int64_t t = 0; t < taps; t++) {
        Tensor *in[] = {x, flat_weights(d, n->in[1], t, true), n->nin > 2 ? n->in[2] : NULL};
        part[t] = reshaped(d, flat_window(d, n, n->nin, in), 5, (int64_t[]){k[0] * in_depth, 1, k[1], k[3], k[4]});
    }
    replace(d, n, reshaped(d, joined(d, part, (int)taps, 1), 4, (int64_t[]){k[0] * k[2], k[1], k[3], k[4]}));
    return true;
}
static bool pool(Depth *d, Node *n) {
    if (!op_is(n, "MaxPool") && !op_is(n, "AveragePool")) return false;
    if (!fits(n) || !is_native(d, n->in[0]) || listed(n, "kernel_shape", 0, 0) != 1 || listed(n, "strides", 0, 1) != 1) return false;
    if (n->out[0]->type.dim[2] != n->in[0]->type.dim[2] || listed(n, "pads", 0, 0) || listed(n, "pads", 3, 0)) return false;
    Tensor *x = twin_of(d, n->in[0]);
    replace(d, n, flat_window(d, n, 1, &x));
    return true;
}

static int64_t get_axis(const Node *n) {
    int64_t axis = attr_i(n, op_attr_index(n->op, "axis"));
    return axis < 0 ? axis + n->out[0]->type.rank : axis;
}
static bool concat(Depth *d, Node *n) {
    bool any = false;
    if (!op_is(n, "Concat") || n->out[0]->type.rank != 5 || get_axis(n) != 1 || n->out[0]->type.dt != DT_FLOAT32) return false;
    for (int i = 0; i < n->nin; i++) any |= is_native(d, n->in[i]);
    if (!any || tensor_elements(n->out[0]) == 0) return false;
    Tensor **in = NEW_ARRAY(d->r->tmp, Tensor *, n->nin);
    for (int i = 0; i < n->nin; i++) in[i] = twin_of(d, n->in[i]);
    replace(d, n, joined(d, in, n->nin, 1));
    return true;
}

/* ---- elementwise operators next to them */
static Tensor *operand_of(Depth *d, Tensor *t, const Type *o) { /* NULL: its shape has no twin */
    const int64_t *k = t->type.dim;
    if (t->type.rank <= 2) return t;
    if (t->type.rank == 5) {
        bool slices = k[0] * k[2] == 1 || (k[0] == o->dim[0] && k[2] == o->dim[2]);
        return slices ? twin_of(d, t) : NULL;
    }
    if (t->type.rank == 4) return k[1] == 1 ? reshaped(d, t, 3, (int64_t[]){k[0], k[2], k[3]}) : NULL; /* per channel */
    return k[0] == 1 ? reshaped(d, t, 2, k + 1) : NULL;
}
static bool point(Depth *d, Node *n) {
    bool any = false;
    const Tensor *o = n->nout == 1 ? n->out[0] : NULL;
    Tensor *in[8];
    if (n->op->kind != OP_EXPR || !o || o->type.rank != 5 || n->nin > 8 || op_is(n, "BatchNormalization")) return false;
    for (int i = 0; i < n->nin; i++)
        any |= n->in[i] && n->in[i]->type.rank == 5 && is_native(d, n->in[i]) && type_same(&n->in[i]->type, &o->type);
    if (!any || op_is(n, "QuantizeLinear") || op_is(n, "DequantizeLinear")) return false;
    for (int i = 0; i < n->nin; i++) {
        in[i] = n->in[i] ? operand_of(d, n->in[i], &o->type) : NULL;
        if (n->in[i] && !in[i]) return false;
    }
    Tensor *y = tensor_new(d->g, NULL, DT_NONE, -1, NULL);
    Node *m = node_new(d->g, n->op, n, n->loc, n->nin, in, 1);
    for (int i = 0; i < n->op->nattr; i++) m->attr[i] = n->attr[i];
    node_set_out(m, 0, y);
    replace(d, n, typed(d, y));
    return true;
}
bool pass_depth(Run *r) {
    if (!r->o || !r->o->target || r->o->target->vector_bits == 0) return true;
    Depth d = {.r = r, .g = r->g, .twins.tmp = r->tmp};
    bool any = false;
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next, d.at = n;
        if (!n->nin || !n->in[0] || node_dynamic(n)) continue;
        any |= conv(&d, n) || conv_transpose(&d, n) || pool(&d, n) || concat(&d, n) || point(&d, n);
    }
    return !any || pass_dce(r);
}
