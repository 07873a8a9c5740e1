/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c: the tensor graph and its few mutators. Use lists are kept exact by them, so replacing a tensor costs its
 * uses, never the graph.
 *
 *   Tensor *y = build(g, n, "Relu", 1, (Tensor *[]){x});   tensor_replace(g, n->out[0], y, true);   node_remove(g, n);
 */
#include "ops.h"
#include <string.h>

enum { STRING_MOST = 256 };
Graph *graph_new(Arena *a, const char *name) {
    Graph *g = NEW(a, Graph);
    g->a = a;
    g->name = name;
    g->max_string = STRING_MOST;
    return g;
}

Tensor *tensor_new(Graph *g, const char *name, DType dt, int rank, const int64_t *dim) {
    Tensor *t = NEW(g->a, Tensor);
    t->id = g->tensors.n;
    t->name = name ? name : arena_printf(g->a, "t%d", t->id);
    t->type.dt = dt;
    t->type.rank = rank;
    for (int i = 0; i < rank; i++) t->type.dim[i] = dim ? dim[i] : DIM_UNKNOWN;
    vec_push(g->a, &g->tensors, t);
    return t;
}
Tensor *tensor_const(Graph *g, const char *name, DType dt, int rank, const int64_t *dim, const void *data) {
    Tensor *t = tensor_new(g, name, dt, rank, dim);
    t->data = data;
    return t;
}
Tensor *tensor_i64s(Graph *g, const int64_t *v, int64_t n) {
    int64_t count = n < 0 ? 1 : n;
    int64_t *data = NEW_ARRAY(g->a, int64_t, count);
    if (count) memcpy(data, v, (size_t)count * sizeof *v);
    return tensor_const(g, NULL, DT_INT64, n < 0 ? 0 : 1, &count, data);
}
Tensor *tensor_scalar(Graph *g, DType dt, double v) {
    void *data = arena_alloc(g->a, 16);
    dtype_set_f(dt, data, 0, v);
    return tensor_const(g, NULL, dt, 0, NULL, data);
}

/* ---- use lists */
static void use_link(Node *n, int i, Tensor *t) {
    n->in[i] = t;
    if (!t) return;
    Use *u = &n->use[i];
    *u = (Use){n, i, NULL, t->uses};
    if (t->uses) t->uses->prev = u;
    t->uses = u;
    t->nuse++;
}
static void use_unlink(Node *n, int i) {
    Tensor *t = n->in[i];
    if (!t) return;
    Use *u = &n->use[i];
    if (u->prev) u->prev->next = u->next;
    else t->uses = u->next;
    if (u->next) u->next->prev = u->prev;
    t->nuse--;
    n->in[i] = NULL;
}
void node_set_in(Node *n, int i, Tensor *t) {
    use_unlink(n, i);
    use_link(n, i, t);
}
void node_set_out(Node *n, int i, Tensor *t) {
    n->out[i] = t;
    if (t) t->def = n, t->def_index = i;
}

static void list_insert(Graph *g, Node *n, Node *before) {
    n->next = before;
    n->prev = before ? before->prev : g->last;
    if (n->prev) n->prev->next = n;
    else g->first = n;
    if (before) before->prev = n;
    else g->last = n;
    g->nnode++;
}
static void list_remove(Graph *g, Node *n) {
    if (n->prev) n->prev->next = n->next;
    else g->first = n->next;
    if (n->next) n->next->prev = n->prev;
    else g->last = n->prev;
    g->nnode--;
}

Node *node_new(Graph *g, const OpDef *op, Node *before, Loc loc, int nin, Tensor *const *in, int nout) {
    Node *n = NEW(g->a, Node);
    n->op = op;
    n->loc = loc;
    n->nin = nin, n->nout = nout;
    n->in = NEW_ARRAY(g->a, Tensor *, nin);
    n->use = NEW_ARRAY(g->a, Use, nin);
    n->out = NEW_ARRAY(g->a, Tensor *, nout);
    for (int i = 0; i < nin; i++) use_link(n, i, in ? in[i] : NULL);
    n->attr = NEW_ARRAY(g->a, Attr, op->nattr);
    for (int i = 0; i < op->nattr; i++) n->attr[i] = op->attr[i].def;
    list_insert(g, n, before);
    return n;
}
void node_remove(Graph *g, Node *n) {
    for (int i = 0; i < n->nin; i++) use_unlink(n, i);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && n->out[i]->def == n) {
            if (n->out[i]->nuse)
                BUG("removing node '%s' (%s), whose output '%s' is still used", n->loc.name ? n->loc.name : "", n->op->name,
                    n->out[i]->name);
            n->out[i]->def = NULL;
        }
    list_remove(g, n);
}
void node_move_before(Graph *g, Node *n, Node *where) {
    if (n == where || n->next == where) return;
    list_remove(g, n);
    list_insert(g, n, where);
}
void tensor_replace(Graph *g, Tensor *old, Tensor *t, bool outputs) {
    while (old->uses) node_set_in(old->uses->node, old->uses->index, t);
    if (!outputs || !old->is_output) return;
    for (int i = 0; i < g->out.n; i++)
        if (g->out.v[i] == old) {
            g->out.v[i] = t;
            t->is_output = true;
            t->name = old->name; /* the model's output keeps its name */
        }
    old->is_output = false;
}
void graph_number(Graph *g) {
    int i = 0;
    for (Node *n = g->first; n; n = n->next) n->order = i++;
}

Node *build_node(Graph *g, Node *before, const char *op, int nin, Tensor *const *in, int nout) {
    const OpDef *d = op_find("", op);
    if (!d) BUG("rewrite builds unknown op '%s'", op);
    Node *n = node_new(g, d, before, before ? before->loc : NO_LOC, nin, in, nout);
    for (int i = 0; i < nout; i++) node_set_out(n, i, tensor_new(g, NULL, DT_NONE, -1, NULL));
    return n;
}
Tensor *build(Graph *g, Node *before, const char *op, int nin, Tensor *const *in) { return build_node(g, before, op, nin, in, 1)->out[0]; }

void node_set_i(Node *n, int k, int64_t v) { n->attr[k] = (Attr){.kind = ATTR_INT, .i = v}; }
void node_set_f(Node *n, int k, float v) { n->attr[k] = (Attr){.kind = ATTR_FLOAT, .f = v}; }
void node_set_s(Node *n, int k, const char *v) { n->attr[k] = (Attr){.kind = ATTR_STRING, .s = v, .n = (int64_t)strlen(v)}; }
void node_set_is(Graph *g, Node *n, int k, const int64_t *v, int64_t count) {
    int64_t *copy = NEW_ARRAY(g->a, int64_t, count);
    if (count) memcpy(copy, v, (size_t)count * sizeof *v);
    n->attr[k] = (Attr){.kind = ATTR_INTS, .is = copy, .n = count};
}

/* ---- types */
bool type_known(const Type *t) {
    if (t->dt == DT_NONE || t->rank < 0) return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 0) return false;
    return true;
}
bool type_same(const Type *a, const Type *b) {
    if (a->dt != b->dt || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++) {
        const Expr *x = a->ext ? a->ext[i] : NULL, *y = b->ext ? b->ext[i] : NULL;
        if (a->dim[i] != b->dim[i] || !x != !y || (x && !e_equal(x, y))) return false;
    }
    return true;
}
bool type_elements(const Type *t, int64_t *n) {
    *n = 1;
    if (t->rank < 0) return false;
    bool empty = false;
    for (int i = 0; i < t->rank; i++) { /* strides must not overflow, even of what is empty */
        empty |= t->dim[i] == 0;
        if (t->dim[i] < 0) return false;
        if (!mul_ok(*n, max_i64(t->dim[i], 1), n)) {
            if (!t->cap) return false;
            *n = t->cap;
        }
    }
    if (t->cap) *n = min_i64(*n, t->cap);
    if (empty) *n = 0;
    return true;
}
int64_t tensor_elements(const Tensor *t) {
    int64_t n;
    if (!type_elements(&t->type, &n)) BUG("extents of tensor '%s' are not known", t->name);
    return n;
}
int64_t tensor_bytes(const Tensor *t) {
    int64_t b;
    if (t->bytes) return t->bytes;
    if (!dtype_bytes(t->type.dt, tensor_elements(t), &b)) BUG("size of tensor '%s' overflows", t->name);
    return b;
}
Tensor *tensor_base(const Tensor *t) { return t && t->view ? t->view->base : (Tensor *)t; }
void type_set(Type *t, DType dt, int rank, const int64_t *dim) {
    t->dt = dt, t->rank = rank, t->ext = NULL, t->cap = 0, t->wrap = NULL;
    for (int i = 0; i < rank; i++) t->dim[i] = dim ? dim[i] : DIM_UNKNOWN;
}
void type_strides(const Type *t, int64_t *stride) {
    int64_t s = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        stride[i] = s;
        s *= t->dim[i] > 0 ? t->dim[i] : 1;
    }
}
static void tensor_type_print(const Type *t, const int64_t *low, bool inside, Text *out);
static void wrap_print(const Wrap *w, Text *out) {
    static const char *const name[] = {"seq", "optional", "map"};
    text_puts(out, name[w->kind]);
    if (w->kind != WRAP_OPTIONAL && w->hi >= 0 && w->lo == w->hi) text_printf(out, "[%lld]", (long long)w->hi);
    else if (w->kind != WRAP_OPTIONAL && w->hi >= 0) text_printf(out, "[%lld..%lld]", (long long)w->lo, (long long)w->hi);
    text_puts(out, "(");
    if (w->kind == WRAP_MAP) text_printf(out, "%s, ", dtype_name(w->key));
    for (int i = 0; w->each && i < w->hi; i++) {
        if (i) text_puts(out, ", ");
        tensor_type_print(&w->each[i], NULL, true, out);
    }
    if (!w->each) tensor_type_print(&w->of, w->low, true, out);
    text_puts(out, ")");
}
void type_print(const Type *t, Text *out) { tensor_type_print(t, NULL, false, out); }
static void tensor_type_print(const Type *t, const int64_t *low, bool inside, Text *out) {
    if (t->wrap) {
        wrap_print(t->wrap, out);
        return;
    }
    text_puts(out, t->dt == DT_NONE ? "?" : dtype_name(t->dt));
    if (t->rank < 0 && inside && t->dt != DT_NONE) text_puts(out, "[..]");
    if (t->rank < 0) return;
    text_puts(out, "[");
    for (int i = 0; i < t->rank; i++) {
        if (i) text_puts(out, ",");
        if (t->ext && t->ext[i]) expr_print(t->ext[i], out), text_puts(out, "<=");
        if (low && low[i] < t->dim[i]) text_printf(out, "%lld..", (long long)low[i]);
        if (t->dim[i] >= 0) text_printf(out, "%lld", (long long)t->dim[i]);
        else text_puts(out, t->sym && t->sym[i] ? t->sym[i] : "?");
    }
    text_puts(out, "]");
}

const int64_t *const_i64s(Arena *a, const Tensor *t, int64_t *n) {
    if (!t || !t->data || t->type.rank > 1 || !(dtype_is_int(t->type.dt) || t->type.dt == DT_BOOL)) return NULL;
    *n = tensor_elements(t);
    if (t->type.dt == DT_INT64 && ((uintptr_t)t->data & 7) == 0) return t->data;
    int64_t *v = NEW_ARRAY(a, int64_t, *n);
    for (int64_t i = 0; i < *n; i++) v[i] = dtype_get_i(t->type.dt, t->data, i);
    return v;
}
bool const_f(const Tensor *t, double *v) {
    if (!t || !t->data || !(dtype_is_float(t->type.dt) || dtype_is_int(t->type.dt) || t->type.dt == DT_BOOL)) return false;
    int64_t n = tensor_elements(t);
    if (n == 0) return false;
    *v = dtype_get_f(t->type.dt, t->data, 0);
    for (int64_t i = 1; i < n; i++)
        if (dtype_get_f(t->type.dt, t->data, i) != *v) return false;
    return true;
}
