/* SPDX-License-Identifier: Apache-2.0 */
/* control.c: If, expanded in place once types and constants are known, and what the expansion of any body needs. A branch that a constant
 * chooses stands alone; else both are there and Select takes one's results: kernels which only one of them needs run under its
 * condition (passes/guard.c).
 *
 *   y = If(c) {then: y = f(x), else: y = g(x)}   --->   a = f(x);  b = g(x);  y = Select(c, a, b)
 */
#include "../list.h"
#include "control.h"
#include <string.h>

bool body_demands(const Graph *body) {
    for (const Node *n = body->first; n; n = n->next) {
        if (n->op->flags & OPF_LISTS && n->op->kind == OP_REWRITE) return true;
        for (int i = 0; i < n->op->nattr; i++)
            if (n->attr[i].kind == ATTR_GRAPH && body_demands(n->attr[i].g)) return true;
    }
    return false;
}
Expr *both(Arena *a, Expr *p, Expr *q) { return !p ? q : !q ? p : e_bin(a, BIN_LAND, p, q); }
Expr *infer_when(Infer *x) {
    Expr *all = x->n->when;
    for (const Branch *b = x->n->branch; b; b = b->outer) {
        Expr *v = e_bin(x->g->a, BIN_NE, infer_value_of(x, b->cond, 0), e_int(x->g->a, 0));
        all = both(x->g->a, b->then ? v : e_un(x->g->a, UN_NOT, v), all);
    }
    return all;
}

/* The second copy of a tensor x is x_2. */
static const char *copy_name(Graph *g, const char *name) {
    if (!g->copies) g->copies = map_new(g->a);
    intptr_t k = (intptr_t)map_get(g->copies, name) + 1;
    map_set(g->copies, name, (void *)k);
    return k > 1 ? arena_printf(g->a, "%s_%lld", name, (long long)k) : name;
}
void body_copy(Graph *g, Node *before, const Graph *body, Tensor *const *in, Tensor **out, Expr *when, const Branch *branch) {
    Tensor **map = NEW_ARRAY(g->a, Tensor *, body->tensors.n + 1);
    for (int i = 0; i < body->in.n; i++) map[body->in.v[i]->id] = in[i];
    for (int i = 0; i < body->tensors.n; i++) {
        const Tensor *t = body->tensors.v[i];
        if (t->data && !map[i]) map[i] = tensor_const(g, t->name, t->type.dt, t->type.rank, t->type.dim, t->data);
    }
    for (const Node *n = body->first; n; n = n->next) {
        Tensor **operand = NEW_ARRAY(g->a, Tensor *, n->nin + 1);
        for (int i = 0; i < n->nin; i++) operand[i] = n->in[i] ? map[n->in[i]->id] : NULL;
        Node *m = node_new(g, n->op, before, n->loc, n->nin, operand, n->nout);
        memcpy(m->attr, n->attr, sizeof *m->attr * (size_t)n->op->nattr);
        m->when = both(g->a, before->when, when);
        m->branch = branch ? branch : before->branch;
        for (int i = 0; i < n->nout; i++) {
            if (!n->out[i]) continue;
            Tensor *t = tensor_new(g, copy_name(g, n->out[i]->name), DT_NONE, -1, NULL);
            t->type = n->out[i]->type;
            map[n->out[i]->id] = t;
            node_set_out(m, i, t);
        }
    }
    for (int i = 0; i < body->out.n; i++) out[i] = map[body->out.v[i]->id];
}
bool has_body(Ctx *c, const Node *n, int attr) {
    return n->attr[attr].g || diag_error(c->d, n->loc, "attribute '%s' is missing; it is required", n->op->attr[attr].name);
}
bool bool_const(const Tensor *t, bool *v) {
    double d;
    if (!t || !const_f(t, &d)) return false;
    *v = d != 0;
    return true;
}
Tensor *select_of(Graph *g, Node *n, Tensor *cond, Tensor *a, Tensor *b) {
    if (a == b) return a;
    Node *s = node_new(g, op_find("quern", "Select"), n, n->loc, 3, (Tensor *[]){cond, a, b}, 1);
    node_set_out(s, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    return s->out[0];
}
void finish(Graph *g, Node *n, int o, Tensor *t) {
    if (o >= n->nout || !n->out[o]) return;
    if (n->out[o]->is_output && (t->is_output || t->is_input || t->data || !t->def)) t = build(g, n, "Identity", 1, &t);
    tensor_replace(g, n->out[o], t, true);
}

/* ---- If */
enum { IF_ELSE, IF_THEN, IF_INPUTS };
bool rewrite_if(Ctx *c, Graph *g, Node *n) {
    int64_t count;
    bool taken;
    Tensor *cond = n->in[0];
    if (!has_body(c, n, IF_ELSE) || !has_body(c, n, IF_THEN)) return false;
    if (!type_elements(&cond->type, &count) || count != 1) return diag_error(c->d, n->loc, "the condition is expected to have one element");
    Tensor *out[2][64];
    for (int k = 0; k < 2; k++)
        if (n->attr[k].g->out.n > 64)
            return diag_error(c->d, n->loc, "a branch has %d outputs; at most 64 are supported", n->attr[k].g->out.n);
    bool known = bool_const(cond, &taken);
    for (int k = 0; k < 2; k++) {
        Branch *b = known ? NULL : NEW(g->a, Branch);
        if (b) *b = (Branch){cond, k == IF_THEN, n->branch};
        if (!known || k == taken) body_copy(g, n, n->attr[k].g, n->in + 1, out[k], NULL, b);
    }
    for (int o = 0; o < n->nout; o++) {
        if (!n->out[o]) continue;
        finish(g, n, o, known ? out[taken][o] : select_of(g, n, cond, out[IF_THEN][o], out[IF_ELSE][o]));
    }
    return true;
}

/* ---- Select: one of two tensors, which need not have the same shape. Single elements may differ in rank: they are taken to have the
 * higher one, since what follows broadcasts them. */
static bool single(const Type *t) {
    bool ok = t->ext == NULL;
    for (int i = 0; i < t->rank; i++) ok &= t->dim[i] == 1;
    return ok;
}
bool infer_select(Infer *x) {
    const Type *a = &x->n->in[1]->type, *b = &x->n->in[2]->type;
    Arena *m = x->g->a;
    Expr **c, *e[QN_MAX_RANK];
    int64_t n;
    if (a->dt == b->dt && a->rank != b->rank && single(a) && single(b)) return infer_like(x, 0, a->dt, a->rank > b->rank ? a : b);
    if (a->dt != b->dt || a->rank != b->rank) {
        Text s = {0};
        type_print(a, &s), text_puts(&s, " and "), type_print(b, &s);
        infer_error(x, "the branches give %s, and which one is taken shows at run time; the same element type and rank are expected", s.s);
        text_free(&s);
        return false;
    }
    if (types_same_shape(a, b)) return infer_like(x, 0, a->dt, a);
    if (!infer_values(x, 0, &c, &n)) return false;
    for (int i = 0; i < a->rank; i++)
        e[i] = extent_same(a, i, b, i) ? type_extent(x->g, a, i)
                                       : e_select(m, e_bin(m, BIN_NE, c[0], e_int(m, 0)), type_extent(x->g, a, i), type_extent(x->g, b, i));
    return infer_extents(x, 0, a->dt, a->rank, e);
}
bool lower_select(Lower *L, Node *n) {
    Expr *zero[QN_MAX_RANK], *idx[QN_MAX_RANK];
    for (int i = 0; i < QN_MAX_RANK; i++) zero[i] = e_int(L->a, 0);
    lower_if(L, lower_load(L, n, 0, zero));
    for (int k = 1; k < 3; k++) {
        const Type *t = &n->in[k]->type;
        if (k == 2) lower_else(L);
        lower_loops(L, NULL, t, idx);
        lower_store(L, n, 0, t->rank == n->out[0]->type.rank ? idx : zero, lower_load(L, n, k, idx));
        lower_ends(L, t->rank);
    }
    lower_end(L);
    return true;
}
