/* SPDX-License-Identifier: Apache-2.0 */
/* rules_simple.c: guards and builders of the rules which remove nodes that do nothing, and merge data movement.
 *
 *   a = Transpose(x) {perm=[0,2,1]}; b = Transpose(a) {perm=[0,2,1]}     --->     b is x
 */
#include "rules.h"
#include <string.h>

/* ---- attributes by name */
static const Attr *attr_of(const Node *n, const char *name) {
    int k = op_attr_index(n->op, name);
    return k >= 0 && attr_has(n, k) ? &n->attr[k] : NULL;
}
int64_t get_i(const Node *n, const char *name, int64_t def) {
    const Attr *a = attr_of(n, name);
    return a ? a->i : def;
}
float get_f(const Node *n, const char *name, float def) {
    const Attr *a = attr_of(n, name);
    return a ? a->f : def;
}
const char *get_s(const Node *n, const char *name, const char *def) {
    const Attr *a = attr_of(n, name);
    return a && a->s ? a->s : def;
}
const int64_t *get_is(const Node *n, const char *name, int64_t *count) {
    const Attr *a = attr_of(n, name);
    *count = a ? a->n : 0;
    return a ? a->is : NULL;
}
void put_is(Graph *g, Node *n, const char *name, const int64_t *v, int64_t count) {
    int k = op_attr_index(n->op, name);
    if (k < 0) BUG("op '%s' has no attribute '%s'", n->op->name, name);
    node_set_is(g, n, k, v, count);
}
void put_i(Node *n, const char *name, int64_t v) {
    int k = op_attr_index(n->op, name);
    if (k < 0) BUG("op '%s' has no attribute '%s'", n->op->name, name);
    node_set_i(n, k, v);
}

/* ---- guards */
GUARD(always) { return m != NULL; }
GUARD(same_as_x) { return type_same(&VAR(m, 'x')->type, &m->node[0]->out[0]->type); }
static bool all_ints(Arena *a, const Tensor *t, int64_t want) { /* absent counts as `want` */
    int64_t n;
    if (!t) return true;
    const int64_t *v = const_i64s(a, t, &n);
    for (int64_t i = 0; v && i < n; i++)
        if (v[i] != want) return false;
    return v != NULL;
}
GUARD(pads_zero) { return guard_same_as_x(m) && all_ints(m->g->a, VAR(m, 'p'), 0); }
GUARD(whole_slice) { return guard_same_as_x(m) && all_ints(m->g->a, VAR(m, 't'), 1); }
static bool c_is(const Match *m, double want) {
    double v;
    return guard_same_as_x(m) && const_f(VAR(m, 'c'), &v) && v == want;
}
GUARD(c_is_zero) { return c_is(m, 0); }
GUARD(c_is_one) { return c_is(m, 1); }
GUARD(c_is_two) { return c_is(m, 2) && dtype_is_float(VAR(m, 'x')->type.dt); }

static int perm_of(const Node *n, int64_t *perm) { /* the default reverses the axes */
    int rank = n->in[0]->type.rank;
    int64_t count;
    const int64_t *p = get_is(n, "perm", &count);
    for (int i = 0; i < rank; i++) perm[i] = p && count == rank ? p[i] : rank - 1 - i;
    return rank;
}
GUARD(keeps_order) {
    int64_t perm[QN_MAX_RANK], last = -1;
    int rank = perm_of(m->node[0], perm);
    for (int i = 0; i < rank; i++) {
        if (VAR(m, 'x')->type.dim[perm[i]] == 1) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

/* ---- builders */
BUILD(take_x) { return VAR(m, 'x'); }
BUILD(take_inner) { return m->node[1]->out[0]; }
BUILD(reshape_x) {
    Tensor *x = VAR(m, 'x'), *y = m->node[0]->out[0];
    if (type_same(&x->type, &y->type)) return x;
    Tensor *shape = tensor_i64s(m->g, y->type.dim, y->type.rank);
    Node *n = build_node(m->g, m->node[0], "Reshape", 2, (Tensor *[]){x, shape}, 1);
    put_i(n, "allowzero", 1); /* the shape is literal */
    return n->out[0];
}
BUILD(compose_perm) {
    int64_t outer[QN_MAX_RANK], inner[QN_MAX_RANK], perm[QN_MAX_RANK];
    int rank = perm_of(m->node[0], outer);
    bool same = true;
    perm_of(m->node[1], inner);
    for (int i = 0; i < rank; i++) perm[i] = inner[outer[i]], same &= perm[i] == i;
    if (same) return VAR(m, 'x');
    Node *n = build_node(m->g, m->node[0], "Transpose", 1, &m->t['x' - 'a'], 1);
    put_is(m->g, n, "perm", perm, rank);
    return n->out[0];
}
BUILD(square_x) { return build(m->g, m->node[0], "Mul", 2, (Tensor *[]){VAR(m, 'x'), VAR(m, 'x')}); }
