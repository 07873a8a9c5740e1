/* SPDX-License-Identifier: Apache-2.0 */
/* list.c: the node `List` and what passes through operators that only hand values on (Identity, Select).
 *
 *   s = List(a, b); t = List(c); y = Select(k, s, t)   --->   y = List(Select(k, a, c), b, Select(k, 2, 1)) {elements=2, least=1}
 */
#include "list.h"
#include <string.h>

enum { L_ELEMENTS, L_KIND, L_LEAST, L_DT, L_KEY, L_ROWS };
static bool is_list(const Node *d) { return d && strcmp(d->op->name, "List") == 0 && strcmp(d->op->domain, "quern") == 0; }
bool list_of(const Tensor *t, List *l) {
    const Node *d = t ? t->def : NULL;
    if (!is_list(d)) return false;
    *l = (List){.kind = (WrapKind)attr_i(d, L_KIND), .dt = (DType)attr_i(d, L_DT), .key = (DType)attr_i(d, L_KEY)};
    l->n = (int)attr_i(d, L_ELEMENTS), l->lo = attr_i(d, L_LEAST), l->rows = attr_i(d, L_ROWS), l->v = d->in;
    l->length = d->nin > l->n ? d->in[l->n] : NULL;
    return true;
}
Tensor *list_new(Graph *g, Node *before, const List *l) {
    Tensor **in = NEW_ARRAY(g->a, Tensor *, l->n + 2);
    if (l->n) memcpy(in, l->v, sizeof *in * (size_t)l->n);
    in[l->n] = l->length;
    Node *n = node_new(g, op_find("quern", "List"), before, before ? before->loc : NO_LOC, l->n + (l->length != NULL), in, 1);
    node_set_i(n, L_ELEMENTS, l->n), node_set_i(n, L_KIND, l->kind), node_set_i(n, L_LEAST, l->length ? l->lo : l->n);
    node_set_i(n, L_DT, l->dt), node_set_i(n, L_KEY, l->key), node_set_i(n, L_ROWS, l->rows);
    node_set_out(n, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    return n->out[0];
}
Tensor *list_copy(Graph *g, Node *before, const Tensor *list) {
    List l;
    if (!list_of(list, &l)) BUG("'%s' is no list", list->name);
    return list_new(g, before, &l);
}
Tensor *list_length(Graph *g, const List *l) { return l->length ? l->length : tensor_i64s(g, (int64_t[]){l->n}, -1); }

bool infer_list(Infer *x) {
    List l;
    Tensor *t = x->n->out[0];
    if (!list_of(t, &l) || l.n < 0 || l.n > x->n->nin || x->n->nin > l.n + 1 || (int)l.dt < 0 || l.dt >= DT_COUNT || (l.rows && l.n != 2) ||
        (int)l.kind < 0 || l.kind > WRAP_MAP || (l.kind == WRAP_MAP && l.n != 2) || (l.kind == WRAP_OPTIONAL && l.n > 1))
        return infer_error(x, "the attributes of this list do not fit its operands");
    Wrap *w = NEW(x->g->a, Wrap);
    *w = (Wrap){.kind = l.kind, .key = l.key, .of = {.dt = l.dt, .rank = -1}, .lo = l.lo, .hi = l.n};
    if (l.kind == WRAP_OPTIONAL && l.n && l.v[0]->type.wrap) w->of = l.v[0]->type;
    if (l.rows) {
        Wrap *m = NEW(x->g->a, Wrap);
        *m = (Wrap){.kind = WRAP_MAP, .key = l.key, .hi = DIM_UNKNOWN, .of = w->of};
        w->hi = DIM_UNKNOWN, w->of = (Type){.dt = DT_NONE, .rank = -1, .wrap = m};
    }
    t->type = (Type){.dt = DT_NONE, .rank = -1, .wrap = w};
    return true;
}
bool lower_no_list(Lower *L, Node *n) { return diag_error(L->c->d, n->loc, "a sequence, optional or map was not resolved"); }

/* ---- Select */
typedef struct Pick {
    Ctx *c;
    Graph *g;
    Node *n;
    Tensor *cond;
} Pick;
static Tensor *pick_list(const Pick *p, Tensor *a, Tensor *b);
static Tensor *pick(const Pick *p, Tensor *a, Tensor *b) {
    List l;
    if (a == b || !a || !b) return a ? a : b;
    if (list_of(a, &l) || list_of(b, &l)) return pick_list(p, a, b);
    Node *s = node_new(p->g, op_find("quern", "Select"), p->n, p->n->loc, 3, (Tensor *[]){p->cond, a, b}, 1);
    node_set_out(s, 0, tensor_new(p->g, NULL, DT_NONE, -1, NULL));
    return s->out[0];
}
static const char *words(Arena *a, const Type *t) {
    Text s = {0};
    type_print(t, &s);
    const char *r = arena_strdup(a, s.s);
    text_free(&s);
    return r;
}
/* Where one side is an optional and the other is not: what is inside. */
static Tensor *bare(Tensor *t) {
    List l;
    return list_of(t, &l) && l.kind == WRAP_OPTIONAL && l.n ? l.v[0] : t;
}
static Tensor *pick_list(const Pick *p, Tensor *a, Tensor *b) {
    List x, y, r;
    bool xl = list_of(a, &x), yl = list_of(b, &y);
    if (xl && (!yl || y.kind != WRAP_OPTIONAL) && x.kind == WRAP_OPTIONAL) return pick(p, bare(a), b);
    if (yl && (!xl || x.kind != WRAP_OPTIONAL) && y.kind == WRAP_OPTIONAL) return pick(p, a, bare(b));
    bool fit = xl && yl && x.kind == y.kind && x.rows == y.rows && (x.dt == y.dt || x.dt == DT_NONE || y.dt == DT_NONE) && x.key == y.key;
    if (!fit)
        return diag_error(p->c->d, p->n->loc,
                          "the branches give %s and %s, and which one is taken shows at run time; the same type is expected",
                          words(p->c->a, &a->type), words(p->c->a, &b->type)),
               NULL;
    r = x;
    if (r.dt == DT_NONE) r.dt = y.dt;
    r.n = x.n > y.n ? x.n : y.n;
    r.lo = min_i64(x.length ? x.lo : x.n, y.length ? y.lo : y.n);
    r.v = NEW_ARRAY(p->g->a, Tensor *, r.n + 1);
    for (int i = 0; i < r.n; i++) {
        r.v[i] = pick(p, i < x.n ? x.v[i] : NULL, i < y.n ? y.v[i] : NULL);
        if (!r.v[i]) return NULL;
    }
    r.length = !x.length && !y.length && x.n == y.n ? NULL : pick(p, list_length(p->g, &x), list_length(p->g, &y));
    if (x.kind == WRAP_MAP) r.length = NULL;
    return list_new(p->g, p->n, &r);
}

bool list_node(Ctx *c, Graph *g, Node *n, bool *done) {
    int at = -1;
    *done = false;
    for (int i = 0; i < n->nin && at < 0; i++)
        if (n->in[i] && n->in[i]->type.wrap) at = i;
    if (at < 0 || (n->op->flags & OPF_LISTS)) return true;
    Tensor *y = NULL;
    double v;
    if (strcmp(n->op->name, "Identity") == 0 && !n->op->domain[0]) {
        y = n->in[0];
    } else if (strcmp(n->op->name, "Select") == 0 && n->op->domain[0]) {
        Pick p = {c, g, n, n->in[0]};
        y = const_f(n->in[0], &v) ? n->in[v != 0 ? 1 : 2] : pick(&p, n->in[1], n->in[2]);
        if (!y) return false;
    } else {
        return diag_error(c->d, n->loc, "input %d '%s' is %s; this operator takes tensors", at, n->in[at]->name,
                          words(c->a, &n->in[at]->type));
    }
    if (y->type.wrap && !is_list(y->def)) return diag_error(c->d, n->loc, "input '%s' has no value", y->name);
    if (n->out[0]->is_output && (y->is_output || !is_list(y->def)))
        y = is_list(y->def) ? list_copy(g, n, y) : build(g, n, "Identity", 1, &y);
    tensor_replace(g, n->out[0], y, true);
    return *done = true;
}
