/* SPDX-License-Identifier: Apache-2.0 */
/* fuse.c: groups nodes into kernels (roles and rules of a group: ir/fusion.h). One walk in list order. An elementwise node joins
 * the group of the operand that is computed last; a producer with a single reader is inlined where that repeats no work.
 * A group is computed at its anchor's place in the list. Each edge leads from a place to a later one or stays inside a group, so
 * regrouping cannot make a cycle. A node which would be computed earlier than it stands is moved only when the bytes alive on
 * the way stay below what the model needs anyway.
 *
 *   c = Conv(x, w); s = Sigmoid(c); m = Mul(c, s); t = Add(m, x)     --->     one kernel: anchor c, points s, m, t
 */
#include "internal.h"
#include "ir/target.h"
#include "ir/extent.h"
#include <stdlib.h>
#include <string.h>

enum { GROUP_MAX = 32, EXPR_MAX = 200, LOOK = 256 };
typedef struct Group {
    Node *anchor;
    int place; /* the anchor's order */
    int n;
    Node *member[GROUP_MAX];
    int points; /* members that are not inlined, the anchor included */
} Group;
typedef struct Fuse {
    Graph *g;
    const Target *target; /* NULL: any */
    Arena *tmp;
    Node **node;      /* by order */
    Group **group;    /* by order */
    int *size;        /* by order: operations of its inlined expression */
    int64_t *live;    /* by order: bytes alive while the node runs */
    int64_t peak;     /* their maximum before any fusion */
    int *mark, stamp; /* by order: a set of nodes */
} Fuse;

static bool plain_type(const Tensor *t) {
    DClass k = dtype_info[t->type.dt].cls;
    return k != CLS_STR && k != CLS_CPLX && k != CLS_NONE;
}
static bool same_dims(const Type *a, const Type *b) { return types_same_shape(a, b); }
static Group *group_of(const Fuse *f, const Tensor *t) { return t && t->def ? f->group[t->def->order] : NULL; }
static int64_t bytes_of(const Tensor *t) { return align64(tensor_bytes(t)); }

/* Constants that are kept small (bytes.c): converted wherever the product reads them, never stored. */
static bool unpacks(const Node *n) { return strcmp(n->op->name, "Unpacked") == 0 && n->out[0]->nuse == 1; }

/* ---- bytes alive per node, before fusion; an elementwise result counts as stored in place of an operand that ends there */
static int last_use(const Tensor *t, int end) {
    if (t->is_output) return end;
    int last = t->def ? t->def->order : 0;
    for (const Use *u = t->uses; u; u = u->next) last = u->node->order > last ? u->node->order : last;
    return last;
}
static void profile(Fuse *f, int n) {
    int *last = NEW_ARRAY(f->tmp, int, f->g->tensors.n);
    int64_t *change = NEW_ARRAY(f->tmp, int64_t, n + 2), sum = 0;
    for (int o = 0; o < n; o++)
        for (int i = 0; i < f->node[o]->nout; i++) {
            Tensor *t = f->node[o]->out[i];
            if (!t || t->is_output || unpacks(f->node[o])) continue; /* outputs have storage of their own */
            last[t->id] = last_use(t, n - 1);
            change[o] += bytes_of(t), change[last[t->id] + 1] -= bytes_of(t);
        }
    for (int o = 0; o < n; o++) {
        const Node *d = f->node[o];
        f->live[o] = sum += change[o];
        for (int i = 0; i < d->nin && (d->op->kind == OP_EXPR || viewable(d)); i++) {
            const Tensor *t = d->in[i];
            if (!t || !t->def || t->is_output || d->out[0]->is_output || last[t->id] != o || bytes_of(t) != bytes_of(d->out[0])) continue;
            f->live[o] -= bytes_of(t);
            break;
        }
        f->peak = max_i64(f->peak, f->live[o]);
    }
}
/* Whether `more` bytes may be added to the nodes lo <= order < hi; if so they are. */
static bool room(Fuse *f, int lo, int hi, int64_t more) {
    if (more > 0 && hi - lo > LOOK) return false;
    for (int o = lo; more > 0 && o < hi; o++)
        if (f->live[o] + more > f->peak) return false;
    for (int o = lo; o < hi && hi - lo <= LOOK; o++) f->live[o] += more;
    return true;
}

/* ---- expression sizes: how much an inlined node repeats */
static int occurrences(const char *formula, int operand) {
    int n = 0;
    if (!formula || operand > 2) return 1;
    char name = (char)('x' + operand);
    for (const char *s = formula; *s; s++) {
        bool before = s > formula &&
                      (s[-1] == '_' || (s[-1] >= 'a' && s[-1] <= 'z') || (s[-1] >= 'A' && s[-1] <= 'Z') || (s[-1] >= '0' && s[-1] <= '9'));
        bool after = s[1] == '_' || (s[1] >= 'a' && s[1] <= 'z') || (s[1] >= 'A' && s[1] <= 'Z') || (s[1] >= '0' && s[1] <= '9');
        n += *s == name && !before && !after;
    }
    return n ? n : 1;
}
static int own_size(const Node *n) { return n->op->kind == OP_EXPR && n->op->meaning ? 1 + (int)strlen(n->op->meaning) / 4 : 4; }

/* ---- groups */
static bool takes_points(const Group *g) {
    const Node *a = g->anchor;
    if (g->n >= GROUP_MAX || viewable(a) || !a->out[0] || !plain_type(a->out[0])) return false;
    return a->op->kind == OP_EXPR || a->op->kind == OP_COMPUTE || (a->op->kind == OP_KERNEL && (a->op->flags & OPF_ONCE));
}
static bool fusible(const Node *n) { /* as a point or inlined */
    if (n->nout < 1 || !n->out[0] || (n->op->flags & OPF_RANDOM) || viewable(n) || !plain_type(n->out[0])) return false;
    for (int i = 1; i < n->nout; i++)
        if (n->out[i]) return false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !plain_type(n->in[i])) return false;
    return tensor_elements(n->out[0]) > 0;
}
static void add_member(Fuse *f, Group *g, Node *n, NodeRole role) {
    g->member[g->n++] = n;
    g->points += role != ROLE_INLINE;
    n->role = role;
    f->group[n->order] = g;
}

/* Bytes of the values of a set of nodes (those marked) which somebody outside it needs. */
static int64_t stored_bytes(const Fuse *f, Node *const *set, int n) {
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        const Tensor *t = set[i]->out[0];
        if (!t || t->is_output) continue;
        bool outside = t->nuse > LOOK;
        for (const Use *u = t->uses; u && !outside; u = u->next) outside = f->mark[u->node->order] != f->stamp;
        if (outside) sum += bytes_of(t);
    }
    return sum;
}
/* Whether u could be a point of g once the marked nodes are in it. */
static bool could_join(const Fuse *f, const Group *g, const Node *u) {
    if (f->mark[u->order] == f->stamp || f->group[u->order] || u->op->kind != OP_EXPR || !fusible(u)) return false;
    if (!same_dims(&u->out[0]->type, &g->anchor->out[0]->type)) return false;
    for (int i = 0; i < u->nin; i++) {
        const Tensor *t = u->in[i];
        if (!t || !t->def) continue;
        const Group *h = f->group[t->def->order];
        if (f->mark[t->def->order] != f->stamp && (!h || h->place >= g->place)) return false;
    }
    return true;
}
/* How many bytes more the group stores with n in it, when everything that can follow n follows: in c * sigmoid(c) the sigmoid
 * alone is a second value to store, but once the product is computed here too neither is. */
static int64_t growth(Fuse *f, const Group *g, Node *n) {
    Node *set[GROUP_MAX + 1];
    int m = 0;
    f->stamp++;
    for (int i = 0; i < g->n; i++) {
        f->mark[g->member[i]->order] = f->stamp;
        if (g->member[i]->role != ROLE_INLINE) set[m++] = g->member[i];
    }
    int64_t before = stored_bytes(f, set, m);
    f->mark[n->order] = f->stamp, set[m++] = n;
    int64_t alone = stored_bytes(f, set, m) - before;
    for (int i = 0, last = 0; alone > 0 && m < GROUP_MAX && i < m; i++) {
        const Tensor *t = set[i]->out[0];
        for (const Use *u = t && t->nuse <= GROUP_MAX ? t->uses : NULL; u && m < GROUP_MAX; u = u->next)
            if (could_join(f, g, u->node)) f->mark[u->node->order] = f->stamp, set[m++] = u->node;
        if (i + 1 == m && m > last) last = m, i = -1; /* again: a node may have waited for its other operand */
    }
    return min_i64(alone, stored_bytes(f, set, m) - before);
}
/* A vector of the kernel's lanes would not hold as many float64: it goes into a nest of its own, with half the lanes. Some nests keep
 * their sums in memory for that themselves; half the lanes must be worth it, for bytes as well. */
static bool too_wide(const Fuse *f, const Group *g, const Node *n) {
    static const char *const stores_by_halves[] = {"ConvBlocked", "ConvIntegerBlocked", "DepthwiseBlocked", "MatMulIntegerPanel",
                                                   "MatMulPanel"};
    const Target *t = f->target;
    const Node *a = g->anchor;
    if (!t || t->vector_bits == 0 || n->out[0]->type.dt != DT_FLOAT64 || a->op->kind != OP_KERNEL) return false;
    bool internal = strcmp(a->op->domain, "quern") == 0;
    for (size_t i = 0; i < sizeof stores_by_halves / sizeof *stores_by_halves && t->vector_bits >= 256; i++)
        if (internal && strcmp(a->op->name, stores_by_halves[i]) == 0) return false;
    return a->out[0]->type.dt == DT_FLOAT32 || (internal && a->out[0]->type.dt == DT_INT32);
}
/* A conversion from bytes whose one reader takes each channel once or a few times goes there: what is stored are bytes. */
static bool read_as_bytes(const Node *n) {
    const Tensor *t = n->out[0];
    if (!op_is(n, "DequantizeLinear") || !t || t->nuse != 1 || t->is_output || dtype_info[n->in[0]->type.dt].bits != 8) return false;
    const Use *u = t->uses;
    return u->index == 0 && strcmp(u->node->op->domain, "quern") == 0 && strcmp(u->node->op->name, "DepthwiseBlocked") == 0;
}
/* n becomes a point of the group of the operand that is computed last. */
static bool join(Fuse *f, Node *n) {
    Group *g = NULL;
    for (int i = 0; i < n->nin; i++) {
        Group *h = group_of(f, n->in[i]);
        if (h && (!g || h->place > g->place)) g = h;
    }
    if (!g || n->op->kind != OP_EXPR || !fusible(n) || !takes_points(g)) return false;
    if (!same_dims(&n->out[0]->type, &g->anchor->out[0]->type)) return false;
    if (too_wide(f, g, n) || read_as_bytes(n)) return false;
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = n->in[i];
        if (group_of(f, t) != g) continue;
        if (t->def->role == ROLE_INLINE || t->def_index != 0 || !same_dims(&t->type, &n->out[0]->type)) return false;
    }
    if (!room(f, g->place, n->order, growth(f, g, n))) return false;
    add_member(f, g, n, ROLE_POINT);
    return true;
}

/* Elements of its second operand that a product reads, repeats included: with one row each is read once, and weights of few bits
 * need not become floats in memory. */
static int64_t product_reads(const Node *n) {
    const Type *a = &n->in[0]->type;
    int64_t m;
    return a->rank > 0 && mul_ok(tensor_elements(n->out[0]), a->dim[a->rank - 1], &m) ? m : -1;
}
/* How often n reads each element of operand i; 0: often, but in an order of its own, so a transpose may be inlined; -1: nothing may. */
static int64_t reads(const Node *n, int i) {
    static const char *const once[] = {"ReduceSum",  "ReduceMean",      "ReduceMax", "ReduceMin",
                                       "ReduceProd", "ReduceSumSquare", "ReduceL1",  "ReduceL2"};
    int64_t in = max_i64(tensor_elements(n->in[i]), 1);
    if (n->in[i]->def && unpacks(n->in[i]->def)) return 1;
    switch (n->op->kind) {
    case OP_EXPR:
    case OP_COMPUTE: return viewable(n) ? -1 : ceil_div(tensor_elements(n->out[0]), in);
    case OP_KERNEL:
        for (size_t k = 0; k < sizeof once / sizeof *once; k++)
            if (op_is(n, once[k])) return i == 0 ? 1 : -1;
        if (i == 1 && op_is(n, "MatMul") && n->in[1]->def && op_is(n->in[1]->def, "DequantizeLinear") && in == product_reads(n)) return 1;
        if (i == 0 && n->in[0]->def && read_as_bytes(n->in[0]->def)) return 1;
        return op_is(n, "MatMul") || op_is(n, "Gemm") ? 0 : -1;
    default: return -1;
    }
}
static bool is_index_map(const Node *p) { return p->op->kind == OP_COMPUTE && !(p->op->flags & OPF_COST); }

/* Bytes of p's operands which would have ended with p. */
static int64_t ending_at(const Node *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->nin; i++) {
        const Tensor *t = p->in[i];
        if (!t || !t->def || t->is_output) continue;
        bool later = t->nuse > GROUP_MAX;
        for (const Use *u = t->uses; u && !later; u = u->next) later = u->node->order > p->order;
        if (!later) sum += bytes_of(t);
    }
    return sum;
}
/* The producer of operand i of n, a member of g, is inlined into g with all that was inlined into it. */
static void try_inline(Fuse *f, Group *g, Node *n, int i) {
    Tensor *t = n->in[i];
    Node *p = t ? t->def : NULL;
    if (!p || t->nuse != 1 || t->is_output || t->def_index != 0 || (p->op->kind != OP_EXPR && p->op->kind != OP_COMPUTE) || !fusible(p))
        return;
    Group *h = f->group[p->order];
    if (h == g || h->anchor != p || h->points != 1 || h->n + g->n > GROUP_MAX) return;
    int64_t times = reads(n, i);
    if (times < 0 || (times != 1 && !is_index_map(p)) || (times == 0 && !op_is(p, "Transpose"))) return;
    if (times != 1 && h->n > 1) return;
    int repeat = n->op->kind == OP_EXPR ? occurrences(n->op->meaning, i) : 1;
    if (f->size[n->order] + repeat * f->size[p->order] > EXPR_MAX) return;
    int64_t ending = 0;
    for (int k = 0; k < h->n; k++) ending += ending_at(h->member[k]);
    if (!room(f, p->order, g->place, ending - bytes_of(t))) return;
    f->size[n->order] += repeat * f->size[p->order];
    for (int k = 0; k < h->n; k++) add_member(f, g, h->member[k], ROLE_INLINE);
    h->n = 0;
}

static int by_order(const void *x, const void *y) {
    const Node *const *a = x, *const *b = y;
    return (*a)->order - (*b)->order;
}
/* Puts the nodes in the order of their groups and numbers those groups which have more than one. */
static void arrange(Fuse *f, int n) {
    int kernel = 0;
    for (int o = 0; o < n; o++) {
        Group *g = f->group[o];
        if (g->anchor != f->node[o]) continue;
        qsort(g->member, (size_t)g->n, sizeof *g->member, by_order);
        kernel += g->n > 1;
        for (int i = 0; i < g->n; i++) {
            g->member[i]->kernel = g->n > 1 ? kernel : 0;
            node_move_before(f->g, g->member[i], NULL);
        }
    }
}

bool pass_fuse(Run *r) {
    Graph *g = r->g;
    int n = g->nnode, o = 0;
    Fuse f = {.g = g,
              .target = r->o ? r->o->target : NULL,
              .tmp = r->tmp,
              .node = NEW_ARRAY(r->tmp, Node *, n + 1),
              .group = NEW_ARRAY(r->tmp, Group *, n + 1)};
    f.size = NEW_ARRAY(r->tmp, int, n + 1);
    f.live = NEW_ARRAY(r->tmp, int64_t, n + 1);
    f.mark = NEW_ARRAY(r->tmp, int, n + 1);
    graph_number(g);
    for (Node *d = g->first; d; d = d->next) f.node[o++] = d;
    profile(&f, n);
    for (o = 0; o < n; o++) {
        Node *d = f.node[o];
        f.size[o] = own_size(d);
        if (!join(&f, d)) {
            Group *own = NEW(r->tmp, Group);
            own->anchor = d, own->place = o;
            add_member(&f, own, d, ROLE_ANCHOR);
        }
        for (int i = 0; i < d->nin && i < GROUP_MAX; i++) try_inline(&f, f.group[o], d, i);
    }
    arrange(&f, n);
    return true;
}
