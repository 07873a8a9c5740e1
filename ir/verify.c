/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c: what every pass may assume of a graph, checked: SSA in topological order, exact use lists, arity and attributes as the
 * op's row says, sized constants, types (once inference ran), groups of kernels in one piece with one anchor, views inside
 * their bases. All problems are reported; time is linear in nodes and uses.
 *
 *   b = Relu(a) before a = Abs(x)   ->   net.qir: 2: error: operand 0 'a' is used before its definition
 */
#include "extent.h"
#include "text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KERNEL_ALIAS = -1 }; /* nothing to compute: the views of its tensors do it */
typedef struct Verifier {
    Ctx *c;
    const Graph *g;
    bool typed;
    Arena *a;
    bool *defined;    /* by tensor id: has a value where the walk stands */
    bool *seen;       /* by tensor id: its own checks are done */
    int64_t operands; /* operand slots in use */
    int kernel, anchors;
    Map *kernels; /* those which ended */
} Verifier;

static Loc graph_loc(const Verifier *v) { return (Loc){v->g->file, -1, NULL, NULL}; }
static bool known_tensor(const Verifier *v, const Tensor *t) {
    return t->id >= 0 && t->id < v->g->tensors.n && v->g->tensors.v[t->id] == t;
}

/* ---- tensors */
static const char *type_words(Verifier *v, const Type *t) {
    Text out = {0};
    type_print(t, &out);
    const char *s = arena_strdup(v->c->a, out.s);
    text_free(&out);
    return s;
}
static void check_type(Verifier *v, Loc loc, const Tensor *t, bool needed) {
    const Type *y = &t->type;
    int64_t n, bytes;
    Diags *d = v->c->d;
    if ((int)y->dt < 0 || y->dt >= DT_COUNT || y->rank < -1 || y->rank > QN_MAX_RANK) {
        diag_error(d, loc, "tensor '%s' has element type %d and rank %d; expected a known type and a rank from -1 to %d", t->name,
                   (int)y->dt, y->rank, QN_MAX_RANK);
        return;
    }
    for (int i = 0; i < y->rank; i++)
        if (y->dim[i] < DIM_UNKNOWN)
            diag_error(d, loc, "tensor '%s' has the negative extent %" PRId64 " on axis %d", t->name, y->dim[i], i);
    if (!type_known(y)) {
        if (needed) diag_error(d, loc, "the type %s of tensor '%s' is not fully known", type_words(v, y), t->name);
    } else if (!type_elements(y, &n) || !dtype_bytes(y->dt, n, &bytes)) {
        diag_error(d, loc, "the size of tensor '%s' of type %s overflows", t->name, type_words(v, y));
    }
}
/* The window [lowest, highest] of elements that a view touches lies inside its base. */
static void check_view(Verifier *v, Loc loc, const Tensor *t) {
    const View *w = t->view;
    int64_t lo = w->offset, hi = w->offset, n = 0, step;
    bool ok = true;
    if (!w->base || !known_tensor(v, w->base)) {
        diag_error(v->c->d, loc, "the view '%s' has a base that is not in the graph", t->name);
        return;
    }
    if (w->base->view) {
        diag_error(v->c->d, loc, "the base '%s' of view '%s' is itself a view", w->base->name, t->name);
        return;
    }
    if (!type_known(&t->type) || !type_known(&w->base->type) || !type_elements(&w->base->type, &n)) {
        diag_error(v->c->d, loc, "the view '%s' or its base '%s' has no full type", t->name, w->base->name);
        return;
    }
    if (type_flat(&t->type)) { /* dense, wherever it begins */
        ok = type_elements(&t->type, &step) && add_ok(w->offset, step - 1, &hi);
    }
    for (int i = 0; i < t->type.rank && !type_flat(&t->type); i++) {
        if (t->type.dim[i] == 0) return; /* touches nothing */
        ok = ok && mul_ok(t->type.dim[i] - 1, w->stride[i], &step) && add_ok(step < 0 ? lo : hi, step, step < 0 ? &lo : &hi);
    }
    if (!ok || lo < 0 || hi >= n)
        diag_error(v->c->d, loc, "the view '%s' reaches from element %" PRId64 " to %" PRId64 " of its base '%s', which has %" PRId64,
                   t->name, lo, hi, w->base->name, n);
}
/* The links of t's use list, each of which must be an operand slot that reads t. Returns their number. */
static int64_t check_uses(Verifier *v, const Tensor *t) {
    const Use *prev = NULL;
    int64_t n = 0;
    for (const Use *u = t->uses; u; prev = u, u = u->next, n++) {
        const Node *m = u->node;
        if (n >= t->nuse || u->prev != prev || !m || u->index < 0 || u->index >= m->nin || u != &m->use[u->index] || m->in[u->index] != t) {
            diag_error(v->c->d, graph_loc(v), "the use list of tensor '%s' is damaged at link %" PRId64 " (%d uses counted)", t->name, n,
                       t->nuse);
            return n;
        }
    }
    if (n != t->nuse) diag_error(v->c->d, graph_loc(v), "tensor '%s' has %" PRId64 " uses in its list and counts %d", t->name, n, t->nuse);
    return n;
}
/* Once per tensor that the graph reaches. */
static void check_tensor(Verifier *v, Loc loc, const Tensor *t) {
    if (v->seen[t->id]) return;
    v->seen[t->id] = true;
    if (t->type.wrap && !v->typed) return; /* no tensor: resolved with the types */
    check_type(v, loc, t, t->data || (v->typed && !t->is_input) || (v->typed && t->nuse));
    if (t->view) check_view(v, loc, t);
}
static void define(Verifier *v, Loc loc, const Tensor *t) {
    if (v->defined[t->id]) diag_error(v->c->d, loc, "tensor '%s' is defined twice", t->name);
    v->defined[t->id] = true;
    check_tensor(v, loc, t);
}

/* ---- nodes */
static void check_operands(Verifier *v, const Node *n) {
    Diags *d = v->c->d;
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = n->in[i];
        if (!t) {
            if (i < n->op->min_in)
                diag_error(d, n->loc, "operand %d of %s is absent; at least %d are needed", i, n->op->name, n->op->min_in);
            continue;
        }
        v->operands++;
        if (!known_tensor(v, t)) {
            diag_error(d, n->loc, "operand %d '%s' is not in the graph's list of tensors", i, t->name);
            continue;
        }
        if (n->use[i].node != n || n->use[i].index != i) diag_error(d, n->loc, "the use link of operand %d '%s' is damaged", i, t->name);
        if (!v->defined[t->id] && !t->data)
            diag_error(d, n->loc, "operand %d '%s' is %s", i, t->name, t->def ? "used before its definition" : "never defined");
        check_tensor(v, n->loc, t);
    }
}
static void check_outputs(Verifier *v, const Node *n) {
    for (int i = 0; i < n->nout; i++) {
        const Tensor *t = n->out[i];
        if (!t) continue;
        if (!known_tensor(v, t)) {
            diag_error(v->c->d, n->loc, "output %d '%s' is not in the graph's list of tensors", i, t->name);
            continue;
        }
        if (t->def != n || t->def_index != i) diag_error(v->c->d, n->loc, "output %d '%s' names another definition", i, t->name);
        if (t->data || t->is_input)
            diag_error(v->c->d, n->loc, "output %d '%s' is also %s", i, t->name, t->data ? "a constant" : "a graph input");
        define(v, n->loc, t);
    }
}
static void check_attr_tensor(Verifier *v, const Node *n, const char *name, const Tensor *t) {
    if (!t || !t->data) diag_error(v->c->d, n->loc, "attribute '%s' of %s holds no tensor data", name, n->op->name);
    else check_type(v, n->loc, t, true);
}
static void check_attrs(Verifier *v, const Node *n) {
    static const char *const word[] = {"absent", "an int", "a float", "a string", "ints", "floats", "strings", "a tensor", "a graph"};
    for (int i = 0; i < n->op->nattr; i++) {
        const AttrSpec *s = &n->op->attr[i];
        const Attr *a = &n->attr[i];
        if (a->kind == ATTR_NONE) {
            if (s->required) diag_error(v->c->d, n->loc, "%s needs the attribute '%s' (%s)", n->op->name, s->name, word[s->kind]);
            continue;
        }
        bool list = a->kind == ATTR_INTS || a->kind == ATTR_FLOATS || a->kind == ATTR_STRINGS;
        if (a->kind != s->kind)
            diag_error(v->c->d, n->loc, "attribute '%s' of %s is %s; expected %s", s->name, n->op->name,
                       a->kind <= ATTR_GRAPH ? word[a->kind] : "damaged", word[s->kind]);
        else if (a->kind == ATTR_TENSOR) check_attr_tensor(v, n, s->name, a->t);
        else if (a->n < 0 || (a->kind == ATTR_STRING && !a->s) || (list && a->n > 0 && !a->is && !a->fs && !a->ss))
            diag_error(v->c->d, n->loc, "attribute '%s' of %s has no value", s->name, n->op->name);
    }
}
static void check_arity(Verifier *v, const Node *n) {
    const OpDef *op = n->op;
    if (n->nin < op->min_in || (op->max_in >= 0 && n->nin > op->max_in))
        diag_error(v->c->d, n->loc, "%s has %d operands; expected %d to %d", op->name, n->nin, op->min_in,
                   op->max_in < 0 ? INT32_MAX : op->max_in);
    if (n->nout < op->min_out || (op->max_out >= 0 && n->nout > op->max_out))
        diag_error(v->c->d, n->loc, "%s has %d outputs; expected %d to %d", op->name, n->nout, op->min_out,
                   op->max_out < 0 ? INT32_MAX : op->max_out);
}

/* ---- groups: the nodes of one kernel stand together and one of them is the anchor */
static void end_group(Verifier *v) {
    if (v->kernel && v->anchors != 1) diag_error(v->c->d, graph_loc(v), "kernel %d has %d anchors; expected 1", v->kernel, v->anchors);
    if (v->kernel) map_set(v->kernels, arena_printf(v->a, "%d", v->kernel), v);
    v->anchors = 0;
}
static void check_group(Verifier *v, const Node *n) {
    int kernel = n->kernel == KERNEL_ALIAS ? 0 : n->kernel;
    if (kernel != v->kernel) {
        char key[16];
        snprintf(key, sizeof key, "%d", kernel);
        end_group(v);
        if (kernel < 0 || (kernel && map_get(v->kernels, key))) diag_error(v->c->d, n->loc, "kernel %d is not in one piece", kernel);
        v->kernel = kernel;
    }
    if (!kernel) return;
    if (n->role < ROLE_ANCHOR || n->role > ROLE_INLINE) diag_error(v->c->d, n->loc, "role %d in kernel %d is unknown", n->role, n->kernel);
    v->anchors += n->role == ROLE_ANCHOR;
}

/* ---- the graph */
static void check_interface(Verifier *v) {
    for (int i = 0; i < v->g->in.n; i++) {
        const Tensor *t = v->g->in.v[i];
        if (!known_tensor(v, t)) {
            diag_error(v->c->d, graph_loc(v), "graph input %d is not in the list of tensors", i);
            continue;
        }
        if (!t->is_input || t->def || t->data)
            diag_error(v->c->d, graph_loc(v), "graph input '%s' %s", t->name,
                       !t->is_input ? "is not marked as one" : "has another definition");
        define(v, graph_loc(v), t);
        if (t->packed && t->dims) define(v, graph_loc(v), t->dims);
    }
}
static void check_results(Verifier *v) {
    bool *out = NEW_ARRAY(v->a, bool, v->g->tensors.n + 1);
    int64_t uses = 0;
    for (int i = 0; i < v->g->out.n; i++) {
        const Tensor *t = v->g->out.v[i];
        if (!t || !known_tensor(v, t)) {
            diag_error(v->c->d, graph_loc(v), "graph output %d is not in the list of tensors", i);
            continue;
        }
        out[t->id] = true;
        if (!t->is_output) diag_error(v->c->d, graph_loc(v), "graph output '%s' is not marked as one", t->name);
        if (!t->data && !v->defined[t->id]) diag_error(v->c->d, graph_loc(v), "graph output '%s' has no definition", t->name);
        check_tensor(v, graph_loc(v), t);
    }
    if (v->g->out_dims.n && v->g->out_dims.n != v->g->out.n)
        diag_error(v->c->d, graph_loc(v), "%d outputs have %d shapes", v->g->out.n, v->g->out_dims.n);
    for (int i = 0; i < v->g->tensors.n; i++) {
        const Tensor *t = v->g->tensors.v[i];
        if (t->is_output && !out[i] && (v->seen[i] || t->nuse))
            diag_error(v->c->d, graph_loc(v), "tensor '%s' is marked as a graph output and is none", t->name);
        uses += check_uses(v, t);
    }
    if (uses != v->operands)
        diag_error(v->c->d, graph_loc(v), "%" PRId64 " uses are listed and the nodes have %" PRId64 " operands", uses, v->operands);
}
static bool check_list(Verifier *v) {
    const Graph *g = v->g;
    int count = 0;
    for (const Node *n = g->first, *prev = NULL; n; prev = n, n = n->next)
        if (++count > g->nnode || n->prev != prev || (!n->next && n != g->last))
            return diag_error(v->c->d, n->loc, "the node list is damaged at node %d of %d", count, g->nnode);
    if (count == g->nnode && (g->first || !g->last)) return true;
    return diag_error(v->c->d, graph_loc(v), "%d nodes are counted and %d are in the list", g->nnode, count);
}
static bool check_ids(Verifier *v) {
    for (int i = 0; i < v->g->tensors.n; i++) {
        const Tensor *t = v->g->tensors.v[i];
        if (!t || t->id != i || !t->name)
            return diag_error(v->c->d, graph_loc(v), "tensor %d of the list has the id %d", i, t ? t->id : -1);
    }
    return true;
}
bool graph_verify(Ctx *c, const Graph *g, bool typed) {
    int errors = c->d->errors;
    Verifier v = {.c = c, .g = g, .typed = typed, .a = arena_new()};
    v.defined = NEW_ARRAY(v.a, bool, g->tensors.n + 1);
    v.seen = NEW_ARRAY(v.a, bool, g->tensors.n + 1);
    v.kernels = map_new(v.a);
    if (check_ids(&v) && check_list(&v)) { /* all else goes by them */
        check_interface(&v);
        for (const Node *n = g->first; n; n = n->next) {
            check_arity(&v, n);
            check_operands(&v, n);
            check_attrs(&v, n);
            check_outputs(&v, n);
            check_group(&v, n);
        }
        end_group(&v);
        check_results(&v);
    }
    arena_free(v.a);
    return c->d->errors == errors;
}
