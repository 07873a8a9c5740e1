/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.c: constant operands of products whose float32 values are those of a few bits, times a scale for each output channel (or for
 * some rows of it), are kept as bytes and become floats where they are read. Such are the weights of quantised models that are
 * computed in float32. The values are found again in the constants as they are now, whatever folding, scaling and packing has
 * done to them, and the floats that are read are those that were there, but for the last
 * bit of some that had been rounded twice.
 *
 *   y = MatMulPanel(x, $w: float32[2,64,32])   --->   y = MatMulPanel(x, Unpacked($q: int8[2,64,32], $s: float32[2,1,32]))
 *
 * Where a target has vectors a value in memory costs less than converting one each time, unless each is read only once or twice in a
 * call: there constants become bytes, those with the fewest products a byte first, until the model is no larger than it may be.
 */
#include "internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_LEAST = 1024 }; /* a smaller constant is not worth it */
/* What a model's weights may grow to, by conversion to what is computed in. */
static const double MOST_WEIGHTS = 1.95;

/* The axes of a packed operand that output channels are counted along; the others share a scale. */
typedef struct Row {
    const char *domain, *op;
    int input, last; /* operands input … last */
    unsigned axes;   /* a bit each */
    int depth;       /* the axis that may have a scale for some rows each; -1: none */
} Row;
#define AXES(a, b, c) (1u << (a) | 1u << (b) | 1u << (c))
static const Row rows[] = {
    {"quern", "ConvBlocked", 1, 1, AXES(0, 5, 6), -1},
    {"quern", "ConvTransposeBlocked", 2, 99, AXES(0, 5, 6), -1},
    {"quern", "DepthwiseBlocked", 1, 1, AXES(0, 0, 3), -1},
    {"quern", "MatMulPanel", 1, 2, AXES(0, 0, 2), 1},
    {"", "Conv", 1, 1, AXES(0, 0, 0), -1},
    {"", "ConvTranspose", 1, 1, AXES(1, 1, 1), -1},
    {"", "Gather", 0, 0, AXES(0, 0, 0), -1},
    {"quern", "RecurrentPanel", 1, 2, AXES(0, 0, 2), -1},
    {"", "LSTM", 1, 2, AXES(0, 1, 1), -1},
    {"", "GRU", 1, 2, AXES(0, 1, 1), -1},
    {"", "RNN", 1, 2, AXES(0, 1, 1), -1},
};
static bool row_of(const Node *n, int i, Row *out) {
    const Type *t = &n->in[i]->type;
    if ((op_is(n, "MatMul") || op_is(n, "Gemm")) && i == 1 && t->rank >= 2) {
        int at = op_attr_index(n->op, "transB"), turned = at >= 0 && attr_i(n, at) != 0, last = t->rank - 1;
        *out = (Row){"", n->op->name, 1, 1, (1u << t->rank) - 1, turned ? last : last - 1};
        out->axes &= ~(1u << out->depth);
        return true;
    }
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        *out = rows[k];
        if (strcmp(n->op->domain, out->domain) == 0 && strcmp(n->op->name, out->op) == 0 && i >= out->input && i <= out->last) return true;
    }
    return false;
}

/* ---- one group of values that share a scale */
enum { Q_MOST = 255, SPAN = 255, ULPS = 4 };
static const double NEAR = 1e-4, /* what rounding leaves of a whole number */
    LAST_BITS = 1.0 / (1 << 22); /* of a value that was rounded twice on its way, as by the folding of a normalisation */
typedef struct Group {
    const float *v;
    int64_t n;
    int16_t *q; /* whole numbers, and */
    float scale;
    int lo, hi; /* … their range */
} Group;
static bool multiples(Group *g, float s, double within) {
    g->lo = INT16_MAX, g->hi = INT16_MIN;
    for (int64_t i = 0; i < g->n; i++) {
        float r = rintf(g->v[i] / s), at = r * s;
        if (!(fabsf(r) <= Q_MOST) || !(fabs((double)at - (double)g->v[i]) <= within * fabs((double)g->v[i]))) return false;
        g->q[i] = (int16_t)r;
        g->lo = r < (float)g->lo ? (int)r : g->lo, g->hi = r > (float)g->hi ? (int)r : g->hi;
    }
    g->scale = s;
    return g->hi - g->lo <= SPAN;
}
static bool nearly(const Group *g, double s) {
    for (int64_t i = 0; i < g->n; i++) {
        double r = g->v[i] / s;
        if (!(fabs(r) < Q_MOST + NEAR) || fabs(r - rint(r)) > NEAR) return false;
    }
    return true;
}
/* The largest scale that they are multiples of: to the last bit, or else `within` a part of each. */
static bool scale_of(Group *g, double within) {
    double most = 0;
    for (int64_t i = 0; i < g->n; i++) most = fabs((double)g->v[i]) > most ? fabs((double)g->v[i]) : most;
    if (most == 0 || multiples(g, 1, 0)) return multiples(g, 1, 0); /* whole numbers need no scale */
    if (!(most < 1e30) || !(most > 1e-30)) return false;            /* neither infinite nor so small that bits are lost */
    for (int top = 1; top <= Q_MOST; top++) {
        if (!nearly(g, most / top)) continue;
        float s = (float)(most / top), up = s, down = s;
        for (int k = 0; k <= ULPS; k++) {
            if (multiples(g, up, 0) || multiples(g, down, 0)) return true;
            up = nextafterf(up, INFINITY), down = nextafterf(down, 0);
        }
        if (within > 0 && multiples(g, s, within)) return true;
    }
    return false;
}

/* ---- a constant */
typedef struct Small {
    const Tensor *t;
    Row row;           /* of its first reader */
    Tensor *q, *s, *z; /* NULL: it cannot be; s NULL: no scale; z NULL: no zero point */
    int64_t saved;     /* bytes */
    double products;   /* of a call, for each byte saved */
    bool taken;
} Small;
typedef struct Bytes {
    Run *r;
    Graph *g;
    Vec(Small) of;
} Bytes;
/* Groups of a tensor: those axes that share a scale run inside, `step` rows of the depth at a time. */
static bool grouped(Bytes *b, Small *k, int64_t step) {
    const Type *t = &k->t->type;
    int64_t n = tensor_elements(k->t), scales = 1, dim[QN_MAX_RANK], stride[QN_MAX_RANK], size = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        bool own = k->row.axes >> d & 1;
        dim[d] = own ? t->dim[d] : d == k->row.depth && step ? ceil_div(t->dim[d], step) : 1;
        stride[d] = scales, scales *= dim[d];
        size *= own ? 1 : d == k->row.depth && step ? min_i64(step, t->dim[d]) : t->dim[d];
    }
    int64_t *at = NEW_ARRAY(b->r->tmp, int64_t, size);
    float *v = NEW_ARRAY(b->r->tmp, float, size), *scale = NULL, *zero = NULL;
    int8_t *q = NULL; /* most constants fail at their first group */
    Group group = {.v = v, .q = NEW_ARRAY(b->r->tmp, int16_t, size)};
    const float *from = k->t->data;
    bool scaled = false, moved = false;
    for (int64_t g = 0; g < scales; g++) {
        int64_t idx[QN_MAX_RANK], lo[QN_MAX_RANK], hi[QN_MAX_RANK], count = 0;
        for (int d = 0; d < t->rank; d++) {
            int64_t i = g / stride[d] % dim[d];
            bool own = k->row.axes >> d & 1, cut = d == k->row.depth && step;
            lo[d] = idx[d] = own ? i : cut ? i * step : 0;
            hi[d] = own ? i + 1 : cut ? min_i64(lo[d] + step, t->dim[d]) : t->dim[d];
        }
        for (bool more = true; more;) {
            int64_t e = 0;
            for (int d = 0; d < t->rank; d++) e = e * t->dim[d] + idx[d];
            at[count] = e, v[count++] = from[e];
            int d = t->rank - 1;
            for (; d >= 0 && ++idx[d] == hi[d]; d--) idx[d] = lo[d];
            more = d >= 0;
        }
        group.n = count;
        if (!scale_of(&group, b->r->o->precise ? 0 : LAST_BITS)) return false;
        if (!q) {
            q = arena_alloc(b->g->a, (size_t)n);
            scale = NEW_ARRAY(b->g->a, float, scales), zero = NEW_ARRAY(b->g->a, float, scales);
        }
        int less = group.lo < INT8_MIN || group.hi > INT8_MAX ? group.lo - INT8_MIN : 0;
        for (int64_t i = 0; i < count; i++) q[at[i]] = (int8_t)(group.q[i] - less);
        scale[g] = group.scale, zero[g] = (float)less;
        scaled |= group.scale != 1, moved |= less != 0;
    }
    const char *name = k->t->name;
    k->q = tensor_const(b->g, arena_printf(b->g->a, "%s.bytes", name), DT_INT8, t->rank, t->dim, q);
    if (scaled || moved) k->s = tensor_const(b->g, arena_printf(b->g->a, "%s.scale", name), DT_FLOAT32, t->rank, dim, scale);
    if (moved) k->z = tensor_const(b->g, arena_printf(b->g->a, "%s.zero", name), DT_FLOAT32, t->rank, dim, zero);
    return true;
}
static void find(Bytes *b, Small *k) {
    static const int64_t steps[] = {0, 128, 64, 32, 16};
    int64_t n = tensor_elements(k->t), depth = k->row.depth < 0 ? 0 : k->t->type.dim[k->row.depth];
    if (k->t->type.dt != DT_FLOAT32 || n * 4 < BYTES_LEAST || (uintptr_t)k->t->data % sizeof(float)) return;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !k->q; i++)
        if (!steps[i] || (depth > steps[i] && depth % steps[i] == 0)) grouped(b, k, steps[i]);
    if (k->q) k->saved = 3 * n - (k->s ? tensor_bytes(k->s) : 0) - (k->z ? tensor_bytes(k->z) : 0);
}
static Small *small_of(Bytes *b, const Node *n, int i) {
    Row row;
    if (!n->in[i] || !is_const(n->in[i]) || !row_of(n, i, &row)) return NULL;
    for (int j = 0; j < b->of.n; j++)
        if (b->of.v[j].t == n->in[i]) return b->of.v[j].row.axes == row.axes ? &b->of.v[j] : NULL;
    vec_push(b->r->tmp, &b->of, ((Small){.t = n->in[i], .row = row}));
    find(b, &b->of.v[b->of.n - 1]);
    return &b->of.v[b->of.n - 1];
}
static int fewest_products(const void *x, const void *y) {
    const Small *const *a = x, *const *b = y;
    if ((*a)->products != (*b)->products) return (*a)->products < (*b)->products ? -1 : 1;
    return (*a)->t->id - (*b)->t->id;
}
static void unpack(Bytes *b, Node *n, int i, const Small *k) {
    Tensor *in[] = {k->q, k->s, k->z};
    Node *u = node_new(b->g, op_find("quern", "Unpacked"), n, n->loc, k->z ? 3 : k->s ? 2 : 1, in, 1);
    node_set_out(u, 0, tensor_new(b->g, NULL, DT_NONE, -1, NULL));
    if (!node_infer(b->r->c, b->g, u)) BUG("bytes built an Unpacked that is not well formed");
    node_set_in(n, i, u->out[0]);
}
/* Bytes of all constants in use, as they are now. */
static int64_t constants(const Graph *g) {
    int64_t sum = 0;
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.v[i]->data && g->tensors.v[i]->nuse) sum += align64(tensor_bytes(g->tensors.v[i]));
    return sum;
}
bool pass_bytes(Run *r) {
    Bytes b = {.r = r, .g = r->g};
    if (r->o->fast_f16 || r->o->any_weights) return true;
    for (Node *n = r->g->first; n; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            Small *k = small_of(&b, n, i);
            int64_t macs = n->op->macs ? n->op->macs(n) : 0;
            if (k && k->q) k->products += (double)(macs < 0 ? 0 : macs) / (double)max_i64(k->saved, 1);
        }
    bool vectors = r->o->target && r->o->target->vector_bits > 0;
    int64_t over = constants(r->g) - (int64_t)(MOST_WEIGHTS * (double)r->g->given);
    const Small **by = NEW_ARRAY(r->tmp, const Small *, b.of.n + 1);
    int n = 0;
    for (int i = 0; i < b.of.n; i++)
        if (b.of.v[i].q && b.of.v[i].saved > 0) by[n++] = &b.of.v[i];
    if (n) qsort(by, (size_t)n, sizeof *by, fewest_products);
    for (int i = 0; i < n; i++) {
        Small *k = (Small *)by[i];
        if (vectors && over <= 0 && k->products > 1) break;
        k->taken = true, over -= k->saved;
    }
    for (Node *m = r->g->first; m; m = m->next)
        for (int i = 0; i < m->nin; i++) {
            const Small *k = small_of(&b, m, i);
            if (k && k->taken) unpack(&b, m, i, k);
        }
    return true;
}
