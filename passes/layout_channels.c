/* SPDX-License-Identifier: Apache-2.0 */
/* layout_channels.c: a tensor whose planes are all planes of channel-blocked tensors, picked by Concat, Split, Slice, Gather, Reshape and
 * Transpose in any mixture (channel shuffles, concatenations that do not end at a block, zeros put behind the channels), is made
 * from those in one step, and never in the usual order of axes. Each plane is followed back through the nodes that move it whole.
 *
 *   s = Concat(a, b); t = Reshape(s, 24 2 1936); u = Transpose(t, 1 0 2); v = Gather(u, 1)      (a', b' are known)
 *   --->  v' = ChannelsBlocked(a', b') {operand=[0,0,…,1], channel=[1,3,…,23]}
 */
#include "layout.h"
#include "rules.h"
#include <string.h>

enum { MAX_CHANNELS = 1024, MAX_SOURCES = 16, MAX_STEPS = 64 };
typedef struct Trace {
    Layout *l;
    int64_t plane; /* elements of a plane */
    Tensor *t;     /* the plane is elements [at, at + plane) of t */
    int64_t at;
    int64_t idx[QN_MAX_RANK]; /* of `at` in t */
    int lead;                 /* axes in front of those that the plane covers */
} Trace;

static bool decode(Trace *x) {
    const Type *t = &x->t->type;
    int64_t inner = 1, rest = x->at;
    if (t->rank > QN_MAX_RANK) return false;
    for (x->lead = t->rank; x->lead > 0 && inner < x->plane;) inner *= t->dim[--x->lead];
    for (int d = t->rank - 1; d >= 0; d--) x->idx[d] = rest % t->dim[d], rest /= t->dim[d];
    return inner == x->plane && x->at % x->plane == 0;
}
static void go(Trace *x, Tensor *t, const int64_t *idx) { /* on to operand t, at idx */
    x->at = 0;
    for (int d = 0; d < t->type.rank; d++) x->at = x->at * t->type.dim[d] + idx[d];
    x->t = t;
}
static int axis_of(const Node *n, int rank, int64_t def) {
    int64_t axis = get_i(n, "axis", def);
    return (int)(axis < 0 ? axis + rank : axis);
}
static bool through_transpose(Trace *x, const Node *n) {
    int64_t count, idx[QN_MAX_RANK];
    const int64_t *perm = get_is(n, "perm", &count);
    int rank = n->in[0]->type.rank;
    for (int i = 0; i < rank; i++) {
        int64_t p = perm && count == rank ? perm[i] : rank - 1 - i;
        if (i >= x->lead && p != i) return false;
        idx[p] = x->idx[i];
    }
    go(x, n->in[0], idx);
    return true;
}
static bool through_concat(Trace *x, const Node *n) {
    int axis = axis_of(n, x->t->type.rank, 0);
    if (axis >= x->lead) return false;
    for (int i = 0; i < n->nin; i++) {
        int64_t len = n->in[i]->type.dim[axis];
        if (x->idx[axis] < len) return go(x, n->in[i], x->idx), true;
        x->idx[axis] -= len;
    }
    return false;
}
static bool through_split(Trace *x, const Node *n) {
    int axis = axis_of(n, x->t->type.rank, 0);
    if (axis >= x->lead) return false;
    for (int i = 0; i < x->t->def_index; i++) {
        if (!n->out[i]) return false;
        x->idx[axis] += n->out[i]->type.dim[axis];
    }
    go(x, n->in[0], x->idx);
    return true;
}
static bool through_gather(Trace *x, const Node *n) {
    int64_t count, idx[QN_MAX_RANK];
    const int64_t *pick = const_i64s(x->l->r->tmp, n->in[1], &count);
    int rank = n->in[0]->type.rank, axis = axis_of(n, rank, 0), picks = n->in[1]->type.rank;
    if (!pick || picks > 1 || axis + picks > x->lead) return false;
    for (int i = 0; i < rank; i++) idx[i] = i < axis ? x->idx[i] : i > axis ? x->idx[i - 1 + picks] : pick[picks ? x->idx[axis] : 0];
    if (idx[axis] < 0) idx[axis] += n->in[0]->type.dim[axis];
    go(x, n->in[0], idx);
    return true;
}
static bool through_slice(Trace *x, const Node *n) {
    int64_t count[4] = {0};
    const int64_t *v[4] = {NULL}; /* starts, ends, axes, steps */
    const Type *in = &n->in[0]->type;
    for (int i = 0; i < 4; i++) {
        if (i + 1 >= n->nin || !n->in[i + 1]) continue;
        v[i] = const_i64s(x->l->r->tmp, n->in[i + 1], &count[i]);
        if (!v[i]) return false;
    }
    for (int64_t i = 0; i < count[0]; i++) {
        int64_t axis = v[2] ? v[2][i] : i, step = v[3] ? v[3][i] : 1, from = v[0][i];
        if (axis < 0) axis += in->rank;
        int64_t len = in->dim[axis];
        if (from < 0) from = from < -len ? 0 : from + len;
        from = min_i64(from, step < 0 ? len - 1 : len);
        if (axis >= x->lead && (from || step != 1 || x->t->type.dim[axis] != len)) return false;
        x->idx[axis] = from + x->idx[axis] * step;
    }
    go(x, n->in[0], x->idx);
    return true;
}
static bool all_zero(const Tensor *t, int64_t from, int64_t n) {
    const char *p = t->data;
    int64_t size = dtype_info[t->type.dt].bits / 8;
    for (int64_t i = from * size; i < (from + n) * size; i++)
        if (p[i]) return false;
    return true;
}
static const struct {
    const char *op;
    bool (*fn)(Trace *x, const Node *n);
} rows[] = {{"Transpose", through_transpose},
            {"Concat", through_concat},
            {"Split", through_split},
            {"Gather", through_gather},
            {"Slice", through_slice}};
static bool same_elements(const Node *n) { return op_is(n, "Reshape") || op_is(n, "Identity"); }

/* Follows the plane to a blocked tensor, which x->t and x->at/plane name then, or to zeros: x->t is NULL. */
static bool follow(Trace *x) {
    for (int steps = 0; steps < MAX_STEPS; steps++) {
        const Blocked *k = layout_of(x->l, x->t);
        const Type *t = &x->t->type;
        if (k->native && !k->nhwc && t->dim[0] == 1 && t->dim[2] * t->dim[3] == x->plane) return x->at % x->plane == 0;
        if (x->t->data) {
            if (!layout_type(t->dt) || !all_zero(x->t, x->at, x->plane)) return false;
            x->t = NULL;
            return true;
        }
        const Node *n = x->t->def;
        bool moved = false;
        if (!n || !decode(x)) return false;
        if (same_elements(n)) x->t = n->in[0], moved = true;
        for (size_t i = 0; i < sizeof rows / sizeof *rows && !moved; i++)
            if (op_is(n, rows[i].op)) moved = rows[i].fn(x, n);
        if (!moved) return false;
    }
    return false;
}
static bool moves(const Node *n) {
    if (!n) return false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (op_is(n, rows[i].op)) return true;
    return same_elements(n);
}
Tensor *layout_pick(Layout *l, Tensor *t, Node *before) {
    const Type *type = &t->type;
    if (!moves(t->def) || type->rank != 4 || !layout_type(type->dt) || type->ext || type->dim[0] != 1 || type->dim[1] < 1 ||
        type->dim[1] > MAX_CHANNELS)
        return NULL;
    int64_t c = type->dim[1], plane = type->dim[2] * type->dim[3];
    int64_t *operand = NEW_ARRAY(l->r->tmp, int64_t, c), *channel = NEW_ARRAY(l->r->tmp, int64_t, c);
    Tensor *from[MAX_SOURCES];
    int n = 0, k;
    for (int64_t i = 0; i < c && plane > 0; i++) {
        Trace x = {.l = l, .plane = plane, .t = t, .at = i * plane};
        if (!follow(&x)) return NULL;
        if (!x.t) {
            operand[i] = -1, channel[i] = 0;
            continue;
        }
        Tensor *b = layout_of(l, x.t)->b;
        if (b->type.dim[2] != type->dim[2] || b->type.dim[3] != type->dim[3]) return NULL;
        for (k = 0; k < n && from[k] != b;) k++;
        if (k == MAX_SOURCES) return NULL;
        if (k == n) from[n++] = b;
        operand[i] = k, channel[i] = x.at / plane;
    }
    if (!n) return NULL;
    Node *m = layout_node(l, "ChannelsBlocked", t->def->next ? t->def->next : before, n, from);
    m->loc = before->loc;
    put_is(l->g, m, "operand", operand, c), put_is(l->g, m, "channel", channel, c);
    layout_infer(l, m);
    return m->out[0];
}
