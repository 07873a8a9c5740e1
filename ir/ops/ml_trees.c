/* SPDX-License-Identifier: Apache-2.0 */
/* ml_trees.c: tree ensembles. The three operators' attributes become the same tables, which one routine walks; what is done with the
 * scores is left to other operators. The tables are checked where the routine's node gets its type: every walk ends in a leaf.
 *
 *   TreeEnsembleRegressor(x)   ->   y = Trees(x, roots, nodes, splits, members, first, target, weight); Add(y, base)
 */
#include "../extent.h"
#include "ml.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, LEAF, MODES };
static const char *const mode_name[MODES] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                             "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};

typedef struct Trees {
    int64_t trees, nodes, leaves, entries, members, targets;
    int32_t *root, *node; /* node: feature, test, if true, if false */
    double *split, *member, *weight;
    int32_t *first, *target;
    int64_t features; /* one more than the largest that is asked for */
} Trees;
typedef struct Build {
    Ctx *c;
    Graph *g;
    Node *n;
} Build;
#define BAD(b, ...) diag_error((b)->c->d, (b)->n->loc, __VA_ARGS__)

static const int64_t *ints(const Node *n, const char *name, int64_t want) { /* NULL: absent or of another length */
    const Attr *a = ml_attr(n, name);
    return a && a->kind == ATTR_INTS && a->n == want ? a->is : NULL;
}
static int32_t *indices(Build *b, int64_t n) { return NEW_ARRAY(b->g->a, int32_t, n + 1); }

/* ---- TreeEnsembleRegressor and TreeEnsembleClassifier: nodes are named by tree and number */
typedef struct Id {
    int64_t tree, node, at;
} Id;
static int by_id(const void *x, const void *y) {
    const Id *a = x, *b = y;
    if (a->tree != b->tree) return a->tree < b->tree ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}
static int64_t find(const Id *v, int64_t n, int64_t tree, int64_t node) {
    Id key = {tree, node, 0}, *r = bsearch(&key, v, (size_t)n, sizeof *v, by_id);
    return r ? r->at : -1;
}
static int mode_of(const char *s) {
    for (int i = 0; i < MODES; i++)
        if (i != MEMBER && strcmp(s, mode_name[i]) == 0) return i;
    return -1;
}
typedef struct Entry {
    int64_t leaf, target;
    double weight;
    int64_t order;
} Entry;
static int by_leaf(const void *x, const void *y) {
    const Entry *a = x, *b = y;
    if (a->leaf != b->leaf) return a->leaf < b->leaf ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}
static bool put_entries(Build *b, Trees *t, Entry *e, int64_t n) {
    if (n) qsort(e, (size_t)n, sizeof *e, by_leaf);
    t->entries = n;
    t->first = indices(b, t->leaves + 1), t->target = indices(b, n);
    t->weight = NEW_ARRAY(b->g->a, double, n + 1);
    for (int64_t i = 0, k = 0; i <= t->leaves; i++) {
        while (k < n && e[k].leaf < i) k++;
        t->first[i] = (int32_t)k;
    }
    for (int64_t i = 0; i < n; i++) {
        if (e[i].target < 0 || e[i].target >= t->targets)
            return BAD(b, "a leaf belongs to target %lld of %lld", (long long)e[i].target, (long long)t->targets);
        t->target[i] = (int32_t)e[i].target, t->weight[i] = e[i].weight;
    }
    return true;
}
static bool read_named(Build *b, Trees *t, const char *what) {
    const Node *n = b->n;
    int64_t count = ml_count(n, "nodes_modes"), nsplit;
    const int64_t *tree = ints(n, "nodes_treeids", count), *id = ints(n, "nodes_nodeids", count),
                  *feature = ints(n, "nodes_featureids", count);
    const int64_t *yes = ints(n, "nodes_truenodeids", count), *no = ints(n, "nodes_falsenodeids", count);
    const int64_t *missing = ints(n, "nodes_missing_value_tracks_true", count);
    const double *split = ml_floats(b->c, n, "nodes_values", &nsplit);
    if (count < 1 || count > INT32_MAX / 4 || !tree || !id || !feature || !yes || !no || nsplit != count)
        return BAD(b, "the attributes nodes_… are expected to have one element per node, %lld", (long long)count);
    Id *ids = NEW_ARRAY(b->c->a, Id, count);
    int32_t *leaf_of = indices(b, count), *place = indices(b, count);
    t->node = indices(b, 4 * count), t->split = NEW_ARRAY(b->g->a, double, count + 1), t->root = indices(b, count);
    for (int64_t i = 0; i < count; i++) {
        int mode = mode_of(n->attr[op_attr_index(n->op, "nodes_modes")].ss[i]);
        if (mode < 0)
            return BAD(b, "the mode '%s' of node %lld is unknown", n->attr[op_attr_index(n->op, "nodes_modes")].ss[i], (long long)i);
        ids[i] = (Id){tree[i], id[i], i};
        leaf_of[i] = -1;
        if (mode == LEAF) leaf_of[i] = (int32_t)t->leaves++;
        else {
            place[i] = (int32_t)t->nodes;
            t->node[4 * t->nodes] = (int32_t)max_i64(0, min_i64(feature[i], INT32_MAX - 1));
            t->node[4 * t->nodes + 1] = mode | (missing && missing[i] ? 8 : 0);
            t->split[t->nodes++] = split[i];
            t->features = max_i64(t->features, feature[i] + 1);
            if (feature[i] < 0) return BAD(b, "node %lld asks for feature %lld", (long long)i, (long long)feature[i]);
        }
    }
    qsort(ids, (size_t)count, sizeof *ids, by_id);
    for (int64_t i = 1; i < count; i++)
        if (by_id(&ids[i - 1], &ids[i]) == 0)
            return BAD(b, "node %lld of tree %lld stands there twice", (long long)ids[i].node, (long long)ids[i].tree);
    uint8_t *child = NEW_ARRAY(b->c->a, uint8_t, count);
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < 2 && leaf_of[i] < 0; k++) {
            int64_t to = find(ids, count, tree[i], k ? no[i] : yes[i]);
            if (to < 0)
                return BAD(b, "node %lld of tree %lld leads to node %lld, which does not exist", (long long)id[i], (long long)tree[i],
                           (long long)(k ? no[i] : yes[i]));
            t->node[4 * place[i] + 2 + k] = leaf_of[to] >= 0 ? -1 - leaf_of[to] : place[to];
            child[to] = 1;
        }
    }
    for (int64_t i = 0, last = 0; i < count; i++) { /* the root of a tree is the node that no other leads to */
        if (child[i]) continue;
        if (t->trees && tree[last] == tree[i]) return BAD(b, "tree %lld has two roots", (long long)tree[i]);
        t->root[t->trees++] = leaf_of[i] >= 0 ? -1 - leaf_of[i] : place[i];
        last = i;
    }
    char name[3][32];
    static const char *const part[] = {"ids", "nodeids", "treeids"};
    for (int i = 0; i < 3; i++) {
        char *s = arena_printf(b->c->a, "%s_%s", what, part[i]);
        memcpy(name[i], s, strlen(s) + 1);
    }
    int64_t nentry;
    const double *w = ml_floats(b->c, n, arena_printf(b->c->a, "%s_weights", what), &nentry);
    const int64_t *target = ints(n, name[0], nentry), *en = ints(n, name[1], nentry), *et = ints(n, name[2], nentry);
    if (nentry < 0 || nentry > INT32_MAX - 1 || (nentry && (!target || !en || !et || !w)))
        return BAD(b, "the attributes %s_… are expected to have one element per weight, %lld", what, (long long)nentry);
    Entry *e = NEW_ARRAY(b->c->a, Entry, nentry + 1);
    for (int64_t i = 0; i < nentry; i++) {
        int64_t at = find(ids, count, et[i], en[i]);
        if (at < 0 || leaf_of[at] < 0)
            return BAD(b, "weight %lld is that of node %lld of tree %lld, which is no leaf", (long long)i, (long long)en[i],
                       (long long)et[i]);
        e[i] = (Entry){leaf_of[at], target[i], w[i], i};
    }
    return put_entries(b, t, e, nentry);
}

/* ---- TreeEnsemble: nodes and leaves are counted */
static bool check_types(Build *b) {
    static const char *const name[] = {"nodes_splits", "nodes_hitrates", "membership_values", "leaf_weights", "nodes_modes"};
    for (int i = 0; i < 5; i++) {
        const Tensor *t = b->n->attr[op_attr_index(b->n->op, name[i])].t;
        if (t && (i < 4 ? !dtype_is_float(t->type.dt) : !dtype_is_int(t->type.dt)))
            return BAD(b, "the attribute %s is a tensor of %s; %s", name[i], dtype_name(t->type.dt),
                       i < 4 ? "floats are expected" : "uint8 is expected");
    }
    return true;
}
static bool read_counted(Build *b, Trees *t) {
    const Node *n = b->n;
    if (!check_types(b)) return false;
    int64_t count = ml_count(n, "nodes_modes"), nsplit, nmode, nmember, nweight, ntree = ml_count(n, "tree_roots");
    const int64_t *feature = ints(n, "nodes_featureids", count), *yes = ints(n, "nodes_truenodeids", count),
                  *no = ints(n, "nodes_falsenodeids", count);
    const int64_t *yes_leaf = ints(n, "nodes_trueleafs", count), *no_leaf = ints(n, "nodes_falseleafs", count);
    const int64_t *missing = ints(n, "nodes_missing_value_tracks_true", count), *root = ints(n, "tree_roots", ntree);
    const double *split = ml_floats(b->c, n, "nodes_splits", &nsplit), *mode = ml_floats(b->c, n, "nodes_modes", &nmode);
    const double *member = ml_floats(b->c, n, "membership_values", &nmember), *weight = ml_floats(b->c, n, "leaf_weights", &nweight);
    const int64_t *target = ints(n, "leaf_targetids", nweight);
    if (count < 1 || count > INT32_MAX / 4 || nsplit != count || nmode != count || !feature || !yes || !no || !yes_leaf || !no_leaf)
        return BAD(b, "the attributes nodes_… are expected to have one element per node, %lld", (long long)count);
    if (nweight < 1 || nweight > INT32_MAX - 1 || !target || ntree < 1 || !root)
        return BAD(b, "leaf_targetids and leaf_weights are expected to have one element per leaf, tree_roots one per tree");
    t->node = indices(b, 4 * count), t->split = NEW_ARRAY(b->g->a, double, count + 1), t->root = indices(b, ntree);
    t->nodes = count, t->trees = ntree, t->leaves = nweight, t->members = nmember, t->member = (double *)member;
    int64_t set = 0;
    for (int64_t i = 0; i < count; i++) {
        int m = (int)mode[i];
        int32_t *node = t->node + 4 * i;
        if (!(mode[i] >= 0 && mode[i] <= MEMBER)) return BAD(b, "the mode of node %lld is %g; 0 to 6 is expected", (long long)i, mode[i]);
        if (feature[i] < 0 || feature[i] >= INT32_MAX)
            return BAD(b, "node %lld asks for feature %lld", (long long)i, (long long)feature[i]);
        node[0] = (int32_t)feature[i], node[1] = m | (missing && missing[i] ? 8 : 0);
        t->features = max_i64(t->features, feature[i] + 1);
        t->split[i] = m == MEMBER ? (double)set : split[i];
        for (; m == MEMBER && set < nmember; set++)
            if (isnan(member[set])) {
                set++;
                break;
            }
        if (m == MEMBER && (set == 0 || set > nmember || !isnan(member[set - 1])))
            return BAD(b, "node %lld has no list of members that ends in NaN", (long long)i);
        for (int k = 0; k < 2; k++) {
            int64_t to = k ? no[i] : yes[i], leaf = k ? no_leaf[i] : yes_leaf[i];
            if (to < 0 || to >= (leaf ? nweight : count))
                return BAD(b, "node %lld leads to %s %lld, which does not exist", (long long)i, leaf ? "leaf" : "node", (long long)to);
            node[2 + k] = (int32_t)(leaf ? -1 - to : to);
        }
    }
    for (int64_t i = 0; i < ntree; i++) {
        if (root[i] < 0 || root[i] >= count)
            return BAD(b, "tree %lld starts at node %lld of %lld", (long long)i, (long long)root[i], (long long)count);
        t->root[i] = (int32_t)root[i];
    }
    Entry *e = NEW_ARRAY(b->c->a, Entry, nweight + 1);
    for (int64_t i = 0; i < nweight; i++) e[i] = (Entry){i, target[i], weight[i], i};
    return put_entries(b, t, e, nweight);
}

/* ---- the node that walks them */
static Tensor *walk(Build *b, R r, Trees *t, int how, DType dt) {
    int64_t rows, features, four[2] = {t->nodes, 4}, lists = t->leaves + 1, one = 1;
    Tensor *x = ml_matrix(b->c, r, 0, dt, &rows, &features);
    if (!x) return NULL;
    if (t->features > features) {
        BAD(b, "a node asks for feature %lld; the input has %lld", (long long)t->features - 1, (long long)features);
        return NULL;
    }
    if (t->nodes == 0) four[0] = 1, t->node = indices(b, 4);
    static const double none = NAN;
    const double *member = t->members ? t->member : &none;
    Tensor *in[8] = {x};
    in[1] = tensor_const(r.g, NULL, DT_INT32, 1, &t->trees, t->root);
    in[2] = tensor_const(r.g, NULL, DT_INT32, 2, four, t->node);
    in[3] = ml_const(r.g, dt, 1, four, t->split);
    in[4] = ml_const(r.g, dt, 1, t->members ? &t->members : &one, member);
    in[5] = tensor_const(r.g, NULL, DT_INT32, 1, &lists, t->first);
    in[6] = tensor_const(r.g, NULL, DT_INT32, 1, t->entries ? &t->entries : &one, t->target);
    in[7] = ml_const(r.g, dt, 1, t->entries ? &t->entries : &one, t->weight);
    Tensor *y = ml_build(r, "Trees", 8, in);
    r_set_i(y, "targets", t->targets);
    r_set_i(y, "aggregate", how);
    return y;
}
static bool aggregate_of(Build *b, int *how) {
    static const char *const name[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    const Attr *a = ml_attr(b->n, "aggregate_function");
    for (int i = 0; i < 4; i++)
        if (!a || (a->kind == ATTR_INT ? a->i == i : strcmp(a->s, name[i]) == 0)) return *how = a ? i : 1, true;
    return BAD(b, "aggregate_function is not one of AVERAGE, SUM, MIN and MAX");
}
static DType split_type(const Node *n) {
    DType t = n->in[0]->type.dt;
    return t == DT_FLOAT64 ? t : DT_FLOAT32;
}
static bool known_targets(Build *b, Trees *t, const char *name) {
    const Attr *a = ml_attr(b->n, name);
    t->targets = a ? a->i : 1;
    return (t->targets >= 1 && t->targets <= INT32_MAX) || BAD(b, "%s is %lld; at least 1 is expected", name, (long long)t->targets);
}
/* Base values: one for each target. */
static Tensor *with_base(Build *b, R r, Tensor *y, DType dt, int64_t targets) {
    int64_t n;
    const double *v = ml_floats(b->c, b->n, "base_values", &n);
    return v && n == targets ? r_op2(r, "Add", y, ml_const(r.g, dt, 1, &n, v)) : y;
}
bool rewrite_tree_regressor(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Build b = {c, g, n};
    Trees t = {0};
    Post p;
    int how;
    DType dt = split_type(n);
    if (!ml_post(c, n, &p) || !aggregate_of(&b, &how) || !known_targets(&b, &t, "n_targets") || !read_named(&b, &t, "target")) return false;
    Tensor *y = walk(&b, r, &t, how, dt);
    if (!y) return false;
    y = r_cast(r, with_base(&b, r, y, dt, t.targets), DT_FLOAT32);
    r_done(r, 0, ml_transform(r, y, t.targets == 1 && p != POST_PROBIT ? POST_NONE : p)); /* of one target: as ONNX Runtime does */
    return true;
}
bool rewrite_tree_ensemble(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Build b = {c, g, n};
    Trees t = {0};
    Post p;
    int how;
    DType dt = split_type(n), out = n->in[0]->type.dt;
    if (!ml_post(c, n, &p) || !aggregate_of(&b, &how) || !known_targets(&b, &t, "n_targets") || !read_counted(&b, &t)) return false;
    Tensor *y = walk(&b, r, &t, how, dt);
    if (!y) return false;
    y = ml_transform(r, dt == DT_FLOAT64 && p != POST_NONE ? r_cast(r, y, DT_FLOAT32) : y, p);
    r_done(r, 0, out == DT_FLOAT32 || (out == dt && p == POST_NONE) ? y : r_cast(r, y, out));
    return true;
}

/* Two classes, as ONNX Runtime treats them. If leaves speak of one only, its score decides alone; if that is the first, it makes those of
 * both. If they speak of both, the second score decides between the labels 1 and 0, whatever the classes are called. */
static Tensor *two_classes(Build *b, R r, const Trees *t, Tensor *y, Tensor *labels, Post p, Tensor **scores) {
    int64_t nbase;
    const double *base = ml_floats(b->c, b->n, "base_values", &nbase);
    bool positive = true, one = true;
    for (int64_t i = 0; i < t->entries; i++) positive &= t->weight[i] >= 0, one &= t->target[i] == t->target[0];
    Tensor *cut[2];
    for (int k = 0; k < 2; k++) {
        Tensor *in[4] = {y, tensor_i64s(r.g, (int64_t[]){k}, 1), tensor_i64s(r.g, (int64_t[]){k + 1}, 1),
                         tensor_i64s(r.g, (int64_t[]){1}, 1)};
        cut[k] = build(r.g, r.n, "Slice", 4, in);
        if (base && (nbase == 2 || (nbase == 1 && k == 0))) cut[k] = r_op2(r, "Add", cut[k], r_f32(r, base[k]));
    }
    bool first = one && t->entries && t->target[0] == 0;
    Tensor *s = first ? cut[0] : cut[1], *best = ml_above(r, s, one && positive ? 0.5 : 0);
    if (!first || nbase == 2) *scores = ml_transform(r, ml_columns(r, cut[0], cut[1]), p);
    else if (p == POST_PROBIT) *scores = ml_columns(r, ml_transform(r, r_op2(r, "Sub", r_f32(r, 1), s), p), ml_transform(r, s, p));
    else if (p == POST_LOGISTIC || !positive) *scores = ml_columns(r, r_op1(r, "Neg", s), s);
    else *scores = ml_columns(r, r_op2(r, "Sub", r_f32(r, 1), s), s);
    if (first && nbase != 2 && p == POST_LOGISTIC) *scores = ml_transform(r, *scores, p);
    return one ? ml_pick(r, labels, best) : best;
}
bool rewrite_tree_classifier(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Build b = {c, g, n};
    Trees t = {0};
    Post p;
    Tensor *labels = ml_labels(c, r, "classlabels_int64s", "classlabels_strings", &t.targets), *scores, *best;
    DType dt = split_type(n);
    if (!labels || !ml_post(c, n, &p) || !read_named(&b, &t, "class")) return false;
    Tensor *y = walk(&b, r, &t, 1, dt);
    if (!y) return false;
    if (t.targets == 2) {
        best = two_classes(&b, r, &t, r_cast(r, y, DT_FLOAT32), labels, p, &scores);
    } else {
        y = with_base(&b, r, y, dt, t.targets);
        best = t.targets == 1 ? ml_above(r, r_cast(r, y, DT_FLOAT32), 0) : ml_pick(r, labels, ml_best(r, y));
        scores = ml_transform(r, r_cast(r, y, DT_FLOAT32), p);
    }
    if (r_out(r, 0)) r_done(r, 0, best);
    if (r_out(r, 1)) r_done(r, 1, scores);
    return true;
}

/* ---- Trees */
enum { TREES_AGGREGATE, TREES_TARGETS };
typedef struct Tables { /* the constants of a Trees node */
    const int32_t *root, *node, *first, *target;
    int64_t trees, nodes, leaves, entries, features, targets;
} Tables;
static bool leads_somewhere(const Tables *t, int32_t to) { return to >= 0 ? to < t->nodes : -1 - (int64_t)to < t->leaves; }
/* No node is met twice on the way down. */
static bool walks_end(Arena *a, const Tables *t) {
    int32_t *stack = NEW_ARRAY(a, int32_t, 2 * t->nodes + 2);
    uint8_t *state = NEW_ARRAY(a, uint8_t, t->nodes + 1); /* 1: on the way, 2: done */
    for (int64_t i = 0; i < t->trees; i++) {
        int64_t n = 0;
        if (t->root[i] >= 0 && !state[t->root[i]]) stack[n++] = t->root[i];
        while (n) {
            int32_t at = stack[n - 1];
            if (state[at]) {
                state[at] = 2, n--;
                continue;
            }
            state[at] = 1;
            for (int k = 2; k < 4; k++) {
                int32_t to = t->node[4 * (int64_t)at + k];
                if (to >= 0 && state[to] == 1) return false;
                if (to >= 0 && state[to] == 0) stack[n++] = to;
            }
        }
    }
    return true;
}
static const char *tables_wrong(Arena *a, const Tables *t, const Tensor *split, const Tensor *member) {
    int64_t members = tensor_elements(member);
    bool ends = members > 0 && isnan(dtype_get_f(member->type.dt, member->data, members - 1));
    for (int64_t i = 0; i < t->trees; i++)
        if (!leads_somewhere(t, t->root[i])) return "a tree starts at a node that does not exist";
    for (int64_t i = 0; i < t->nodes; i++) {
        const int32_t *n = t->node + 4 * i;
        double from = dtype_get_f(split->type.dt, split->data, i);
        if (n[0] < 0 || n[0] >= t->features) return "a node asks for a feature that the input does not have";
        if (n[1] < 0 || n[1] > 15 || (n[1] & 7) > MEMBER) return "a node has an unknown test";
        if ((n[1] & 7) == MEMBER && (!ends || !(from >= 0 && from < (double)members))) return "a node's list of members has no end";
        if (!leads_somewhere(t, n[2]) || !leads_somewhere(t, n[3])) return "a node leads to one that does not exist";
    }
    for (int64_t i = 0; i <= t->leaves; i++)
        if (t->first[i] < (i ? t->first[i - 1] : 0) || t->first[i] > t->entries)
            return "the lists of the leaves are not one behind the other";
    for (int64_t i = 0; i < t->entries; i++)
        if (t->target[i] < 0 || t->target[i] >= t->targets) return "a leaf belongs to a target that does not exist";
    return walks_end(a, t) ? NULL : "the nodes of a tree form a cycle";
}
bool infer_trees(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type;
    Tables tab = {.targets = attr_i(n, TREES_TARGETS)};
    int64_t how = attr_i(n, TREES_AGGREGATE);
    bool ok =
        t->rank == 2 && (t->dt == DT_FLOAT32 || t->dt == DT_FLOAT64) && tab.targets > 0 && tab.targets <= INT32_MAX && how >= 0 && how <= 3;
    for (int i = 1; ok && i < 8; i++) {
        const Tensor *c = n->in[i];
        ok = c->data && c->type.rank == (i == 2 ? 2 : 1) && c->type.dt == (i == 3 || i == 4 || i == 7 ? t->dt : DT_INT32);
    }
    ok = ok && n->in[2]->type.dim[1] == 4 && n->in[3]->type.dim[0] == n->in[2]->type.dim[0] && n->in[5]->type.dim[0] > 0 &&
         n->in[6]->type.dim[0] == n->in[7]->type.dim[0];
    if (!ok) return infer_error(x, "the tables of the trees are not of the types and shapes that ensembles are turned into");
    tab.root = n->in[1]->data, tab.node = n->in[2]->data, tab.first = n->in[5]->data, tab.target = n->in[6]->data;
    tab.trees = n->in[1]->type.dim[0], tab.nodes = n->in[2]->type.dim[0], tab.leaves = n->in[5]->type.dim[0] - 1;
    tab.entries = n->in[6]->type.dim[0], tab.features = t->dim[1];
    const char *wrong = tables_wrong(x->c->a, &tab, n->in[3], n->in[4]);
    if (wrong) return infer_error(x, "%s; the input has %lld features", wrong, (long long)tab.features);
    return infer_extents(x, 0, t->dt, 2, (Expr *[]){type_extent(x->g, t, 0), e_int(x->g->a, tab.targets)});
}
bool lower_trees(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    int64_t targets = attr_i(n, TREES_TARGETS);
    Buf *buf[10];
    for (int i = 0; i < 8; i++) buf[i] = lower_tensor(L, n->in[i]);
    buf[8] = lower_temp(L, "sums", DT_FLOAT64, 1, &targets);
    buf[9] = lower_tensor(L, n->out[0]);
    Expr *arg[6] = {lower_dim(L, t, 0),
                    lower_int(L, t->dim[1]),
                    lower_int(L, n->in[1]->type.dim[0]),
                    lower_int(L, targets),
                    lower_int(L, attr_i(n, TREES_AGGREGATE)),
                    lower_int(L, t->dt == DT_FLOAT64)};
    lower_call(L, "qn_trees", 6, arg, 10, buf, 1u << 8 | 1u << 9);
    return true;
}
