/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c: for a target with vectors, the chain of an attention becomes FusedAttention (ir/ops/fused_attention.c). Q, K and V are
 * followed through transposes, reshapes, splits and slices back to the tensor that holds them, as a start and strides; what they went
 * through is dropped by `dce`. A transpose that brings the heads side by side again becomes part of the store.
 *
 *   q, k, v = Split(Transpose(Reshape(x)));  Transpose(MatMul(Softmax(MatMul(q, Transpose(k)) / 8 + mask), v))
 *   --->  FusedAttention(x, x, x, mask) {q=[0,0,64,384,1] …}
 */
#include "internal.h"
#include "ir/extent.h"
#include "ir/target.h"
#include <string.h>

enum { AXES = 4, STEPS = 16, MASK_MAX = 1 << 20 }; /* batch, head, row, element */
typedef struct Where {                             /* an operand's element: t[start + sum of index * stride], t dense */
    Tensor *t;
    int64_t start, ext[AXES], stride[AXES];
    double scale;
} Where;
typedef struct Chain {
    Node *pv, *last; /* the second product; the node whose result is replaced */
    Tensor *mask[2]; /* both are constant if there are two */
    Where q, k, v;
    bool swapped;
    bool direct; /* extents are known at run time only: the operands of the products are read as they are */
} Chain;

/* ---- where an operand comes from */
/* t is a part of `in`: its axis a is axis map[a] there, from `from[a]` on, and `more` elements are before all of it. */
static bool part_of(Where *w, Tensor *in, const int *map, const int64_t *from, int64_t more) {
    int64_t so[QN_MAX_RANK], si[QN_MAX_RANK], index[QN_MAX_RANK], rest = w->start, start = more;
    const Type *o = &w->t->type;
    Where r = *w;
    if (!type_known(&in->type)) return false;
    type_strides(o, so), type_strides(&in->type, si);
    for (int a = 0; a < o->rank; a++) {
        index[a] = rest / so[a], rest %= so[a];
        start += (index[a] + from[a]) * si[map[a]];
    }
    for (int x = 0; x < AXES; x++) {
        int a = 0;
        if (w->ext[x] == 1) r.stride[x] = 0;
        if (w->ext[x] == 1) continue;
        while (a < o->rank && (o->dim[a] == 1 || so[a] > w->stride[x])) a++; /* the axis whose stride is the largest not above it */
        if (a == o->rank || w->stride[x] % so[a]) return false;
        int64_t step = w->stride[x] / so[a];
        if ((index[a] += step * (w->ext[x] - 1)) >= o->dim[a]) return false; /* runs on along another axis */
        r.stride[x] = step * si[map[a]];
    }
    r.t = in, r.start = start;
    *w = r;
    return true;
}
static bool through_split(Where *w, const Node *d, int out) {
    int rank = d->in[0]->type.rank, map[QN_MAX_RANK];
    int64_t from[QN_MAX_RANK] = {0}, axis = attr_i(d, op_attr_index(d->op, "axis"));
    if (axis < 0) axis += rank;
    for (int a = 0; a < rank; a++) map[a] = a;
    for (int i = 0; i < out; i++) {
        if (!d->out[i]) return false;
        from[axis] += d->out[i]->type.dim[axis];
    }
    return part_of(w, d->in[0], map, from, 0);
}
static bool through_gather(Where *w, const Node *d) {
    int rank = d->in[0]->type.rank, map[QN_MAX_RANK];
    int64_t from[QN_MAX_RANK] = {0}, axis = attr_i(d, op_attr_index(d->op, "axis")), si[QN_MAX_RANK];
    if (axis < 0) axis += rank;
    if (!is_const(d->in[1]) || d->in[1]->type.rank != 0) return false;
    int64_t i = dtype_get_i(d->in[1]->type.dt, d->in[1]->data, 0);
    if (i < 0) i += d->in[0]->type.dim[axis];
    type_strides(&d->in[0]->type, si);
    for (int a = 0; a < rank - 1; a++) map[a] = a < axis ? a : a + 1;
    return i >= 0 && i < d->in[0]->type.dim[axis] && part_of(w, d->in[0], map, from, i * si[axis]);
}
static bool through_transpose(Where *w, const Node *d) {
    const Attr *perm = &d->attr[op_attr_index(d->op, "perm")];
    int rank = d->in[0]->type.rank, map[QN_MAX_RANK];
    int64_t from[QN_MAX_RANK] = {0};
    for (int a = 0; a < rank; a++) map[a] = perm->kind == ATTR_NONE ? rank - 1 - a : (int)perm->is[a];
    return part_of(w, d->in[0], map, from, 0);
}
static bool scalar(const Tensor *t, double *v) {
    return is_const(t) && t->type.dt == DT_FLOAT32 && tensor_elements(t) == 1 && const_f(t, v);
}
/* One step back; a factor may be taken out where the operand allows. */
static bool step_back(Where *w, bool scaled) {
    const Node *d = w->t->def;
    double c;
    if (!d || node_dynamic(d)) return false;
    if ((d->op->flags & OPF_VIEW) || op_is(d, "Identity")) {
        w->t = d->in[0];
        return true;
    }
    if (op_is(d, "Transpose")) return through_transpose(w, d);
    if (op_is(d, "Split")) return through_split(w, d, w->t->def_index);
    if (op_is(d, "Gather")) return through_gather(w, d);
    bool mul = op_is(d, "Mul"), div = op_is(d, "Div");
    if (!scaled || (!mul && !div)) return false;
    int other = mul && scalar(d->in[0], &c) ? 0 : 1;
    if (!scalar(d->in[other], &c) || (div && c == 0) || !type_same(&d->in[!other]->type, &w->t->type)) return false;
    w->scale *= mul ? c : 1 / c;
    w->t = d->in[!other];
    return true;
}
static Where locate(Tensor *t, bool scaled, bool crossed) { /* crossed: rows are the last axis */
    Where w = {.t = t, .scale = 1};
    int64_t s[QN_MAX_RANK];
    int rank = t->type.rank;
    type_strides(&t->type, s);
    for (int x = 0; x < AXES; x++) {
        int a = rank - AXES + x;
        if (crossed && x >= 2) a = rank - 1 - (x - 2);
        w.ext[x] = a < 0 ? 1 : t->type.dim[a], w.stride[x] = a < 0 ? 0 : s[a];
    }
    for (int i = 0; i < STEPS && step_back(&w, scaled); i++) continue;
    for (int x = 0; x < AXES; x++)
        if (w.ext[x] == 1) w.stride[x] = 0;
    return w;
}

static Where as_it_is(Tensor *t, bool crossed) {
    Where w = {.t = t, .scale = 1, .stride = {[AXES - 1] = 1}};
    int r = t->type.rank;
    const int64_t *d = t->type.dim;
    int64_t ext[AXES] = {d[0], r == 4 ? d[1] : 1, d[crossed ? r - 1 : r - 2], d[crossed ? r - 2 : r - 1]};
    memcpy(w.ext, ext, sizeof ext);
    return w;
}

/* ---- the chain */
static Node *only_user(const Tensor *t) { return t->nuse == 1 && !t->is_output ? t->uses->node : NULL; }
static bool product(const Node *n) {
    if (!n || !op_is(n, "MatMul") || is_const(n->in[0]) || is_const(n->in[1])) return false;
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type, *o = &n->out[0]->type;
    if (o->dt != DT_FLOAT32 || a->rank < 3 || a->rank > 4 || b->rank != a->rank) return false;
    for (int d = 0; d < a->rank - 2; d++)
        if (!extent_same(a, d, b, d)) return false;
    return tensor_elements(n->out[0]) > 0 && a->dim[a->rank - 1] > 0;
}
static bool same_but_ones(const Type *a, const Type *b) { /* one has more axes in front, of extent 1 */
    for (int d = 1; d <= a->rank || d <= b->rank; d++)
        if ((d <= a->rank ? a->dim[a->rank - d] : 1) != (d <= b->rank ? b->dim[b->rank - d] : 1)) return false;
    return true;
}
/* From the operand of Softmax back to the first product: factors, and additions outside them. */
static Node *first_product(Tensor *t, double *scale, Tensor **mask) {
    mask[0] = mask[1] = NULL, *scale = 1;
    for (int i = 0; i < 8; i++) {
        Node *d = t->def;
        double c;
        if (!d || !only_user(t)) return NULL;
        if (product(d)) return d;
        if ((d->op->flags & OPF_VIEW) && !node_dynamic(d) && same_but_ones(&d->in[0]->type, &t->type)) {
            t = d->in[0];
            continue;
        }
        bool add = op_is(d, "Add"), mul = op_is(d, "Mul"), div = op_is(d, "Div");
        if (!add && !mul && !div) return NULL;
        int side = 0;
        if (add || mul) { /* the operand that the product is behind: computed and of full shape */
            const Node *p = d->in[1]->def;
            bool second =
                type_same(&d->in[1]->type, &t->type) && p && (op_is(p, "MatMul") || op_is(p, "Mul") || op_is(p, "Div") || op_is(p, "Add"));
            bool first = type_same(&d->in[0]->type, &t->type) && d->in[0]->def && !scalar(d->in[0], &c);
            side = !first || (second && add && op_is(p, "MatMul"));
        }
        Tensor *other = d->in[!side];
        if (!type_same(&d->in[side]->type, &t->type)) return NULL;
        if (add) {
            if (mask[1] || *scale != 1 || other->type.dt != DT_FLOAT32) return NULL;
            if (mask[0] && (!is_const(mask[0]) || !is_const(other))) return NULL;
            mask[mask[0] != NULL] = other;
        } else {
            if (!scalar(other, &c) || (div && c == 0)) return NULL;
            *scale *= mul ? c : 1 / c;
        }
        t = d->in[side];
    }
    return NULL;
}
static bool match(Node *soft, Chain *c) {
    const Tensor *s = soft->out[0];
    int rank = s->type.rank;
    int64_t axis = attr_i(soft, op_attr_index(soft->op, "axis"));
    if (!op_is(soft, "Softmax") || rank < 3 || (axis != -1 && axis != rank - 1)) return false;
    c->pv = only_user(s);
    double scale;
    Node *qk;
    if (!product(c->pv) || c->pv->in[0] != s || !(qk = first_product(soft->in[0], &scale, c->mask))) return false;
    const Tensor *m = c->mask[0]; /* of three dims the first is the heads: there a mask has none of its own */
    if (m && (rank == 3 ? c->mask[1] || m->type.rank > 2 : !c->mask[1] && m->type.rank > rank)) return false;
    if (c->mask[1] && tensor_elements(s) > MASK_MAX) return false;
    c->direct = node_dynamic(qk) || node_dynamic(c->pv);
    if (c->direct) {
        if (c->mask[1]) return false;
        c->q = as_it_is(qk->in[0], false), c->k = as_it_is(qk->in[1], true), c->v = as_it_is(c->pv->in[1], false);
        c->q.scale = scale;
    } else c->q = locate(qk->in[0], true, false), c->k = locate(qk->in[1], true, true), c->v = locate(c->pv->in[1], false, false);
    if (!c->direct) c->q.scale *= scale * c->k.scale;
    c->last = c->pv;
    Node *u = only_user(c->pv->out[0]);
    const Attr *perm = u && op_is(u, "Transpose") ? &u->attr[op_attr_index(u->op, "perm")] : NULL;
    c->swapped = perm && perm->n == 4 && memcmp(perm->is, (int64_t[]){0, 2, 1, 3}, 4 * sizeof(int64_t)) == 0;
    if (c->swapped) c->last = u;
    return true;
}

/* ---- the new node */
static Tensor *flat(Graph *g, Node *before, Tensor *t) {
    int64_t n = tensor_elements(t);
    Tensor *f = build(g, before, "Reshape", 2, (Tensor *[]){t, tensor_i64s(g, &n, 1)});
    type_set(&f->type, t->type.dt, 1, &n);
    return f;
}
/* The sum of two constants, in the shape of the scores. */
static float element(const Tensor *t, const Type *all, const int64_t *index) {
    int64_t at = 0;
    for (int d = 0; d < t->type.rank; d++) {
        int from = d + all->rank - t->type.rank;
        at = at * t->type.dim[d] + (t->type.dim[d] == 1 || from < 0 ? 0 : index[from]);
    }
    return (float)dtype_get_f(DT_FLOAT32, t->data, at);
}
static Tensor *mask_of(Graph *g, const Chain *c, const int64_t *dim) {
    Type all;
    int64_t n, index[AXES] = {0};
    if (!c->mask[1]) return c->mask[0];
    type_set(&all, DT_FLOAT32, AXES, dim);
    if (!type_elements(&all, &n)) return NULL;
    float *v = NEW_ARRAY(g->a, float, n);
    for (int64_t i = 0; i < n; i++) {
        v[i] = element(c->mask[0], &all, index) + element(c->mask[1], &all, index);
        for (int d = AXES - 1; d >= 0 && ++index[d] == dim[d]; d--) index[d] = 0;
    }
    return tensor_const(g, NULL, DT_FLOAT32, AXES, dim, v);
}
static void set_map(Graph *g, Node *n, const char *name, const Where *w) {
    node_set_is(g, n, op_attr_index(n->op, name), (int64_t[]){w->start, w->stride[0], w->stride[1], w->stride[2], w->stride[3]}, 5);
}
static void set_i(Node *n, const char *name, int64_t v) { node_set_i(n, op_attr_index(n->op, name), v); }
/* Head sizes are constant, there is a key, and the second product takes as many as the first one gives. */
static bool direct_ok(const Graph *g, const Chain *c) {
    const Type *q = &c->q.t->type, *k = &c->k.t->type, *v = &c->v.t->type;
    int r = q->rank;
    int64_t lo, hi;
    if ((q->ext && q->ext[r - 1]) || (k->ext && k->ext[r - 2]) || (v->ext && v->ext[r - 1])) return false;
    if (!extent_same(k, r - 1, v, r - 2)) return false;
    for (int d = 0; d < r - 2; d++)
        if (!extent_same(q, d, v, d)) return false;
    return extent_bounds(g, type_extent(g, k, r - 1), &lo, &hi) && lo >= 1;
}
static bool replace(Run *r, const Chain *c) {
    Graph *g = r->g;
    const Target *t = r->o->target;
    int64_t lanes = target_lanes(t, 32), regs = t->vector_regs, most = regs >= 32 ? 4 : 2, keys = c->v.ext[2], size = c->v.ext[3];
    if (size % lanes || c->v.stride[3] != 1 || c->q.t->type.dt != DT_FLOAT32 || c->k.t->type.dt != DT_FLOAT32 ||
        c->v.t->type.dt != DT_FLOAT32)
        return false;
    if (c->direct && !direct_ok(r->g, c)) return false;
    int64_t cols = most, width = 1, least = INT64_MAX;
    while ((size / lanes) % cols) cols--;
    for (int64_t v = most; v >= 1; v--) { /* columns of a panel: few beyond the last key; one vector is bound by its loads */
        int64_t cost = ceil_div(ceil_div(keys, lanes), v) * (v == 1 ? 133 : v * 100 + (v == 2) * 4);
        if (cost < least) least = cost, width = v;
    }
    int64_t rows = (regs - 1 - max_i64(cols, width)) / max_i64(cols, width), queries = c->q.ext[2];
    if (rows > queries) rows = queries;
    rows = ceil_div(queries, ceil_div(queries, rows));
    const OpDef *op = op_find("quern", "FusedAttention");
    Node *last = c->last;
    int64_t dims[6] = {c->q.ext[0], c->q.ext[1], queries, keys, c->q.ext[3], size};
    Tensor *mask = mask_of(g, c, dims);
    Tensor *in[4] = {c->q.t, c->k.t, c->v.t, mask};
    for (int i = 0; i < 3 && !c->direct; i++) in[i] = flat(g, last, in[i]);
    Node *n = node_new(g, op, last, c->pv->loc, mask ? 4 : 3, in, 1);
    node_set_is(g, n, op_attr_index(op, "dims"), dims, 6);
    if (!c->direct) set_map(g, n, "q", &c->q), set_map(g, n, "k", &c->k), set_map(g, n, "v", &c->v);
    node_set_f(n, op_attr_index(op, "scale"), (float)c->q.scale);
    set_i(n, "swapped", c->swapped), set_i(n, "rows", rows), set_i(n, "lanes", lanes);
    set_i(n, "width", width * lanes), set_i(n, "cols", cols * lanes);
    Tensor *old = last->out[0];
    int64_t out[4] = {dims[0], dims[c->swapped ? 2 : 1], dims[c->swapped ? 1 : 2], size};
    Tensor *y = tensor_new(g, NULL, DT_FLOAT32, 4, out);
    node_set_out(n, 0, y);
    if (c->direct) y->type = old->type;
    else if (old->type.rank != 4) {
        y = build(g, last, "Reshape", 2, (Tensor *[]){y, tensor_i64s(g, old->type.dim, old->type.rank)});
        type_set(&y->type, DT_FLOAT32, old->type.rank, old->type.dim);
    }
    tensor_replace(g, old, y, true);
    y->name = old->name;
    old->name = arena_printf(g->a, "t%d", old->id);
    return true;
}
bool pass_attention(Run *r) {
    if (!r->o || !r->o->target || r->o->target->vector_bits < 128) return true;
    for (Node *n = r->g->first; n; n = n->next) {
        Chain c = {0};
        if (op_is(n, "Softmax") && n->out[0] && match(n, &c)) replace(r, &c);
    }
    return true;
}
