/* SPDX-License-Identifier: Apache-2.0 */
/* control.c: If, Loop, Scan and SequenceMap. Their bodies become graphs of their own; what a body reads of the values outside is handed to
 * it as further inputs, behind those of the operator. The nodes are expanded when types and constants are known (ir/ops/control.c).
 *
 *   If(c) {then: y = Add(x, w)}   with x, w outside   --->   If(c, x, w) {then_branch = graph (x, w) -> (y)}
 */
#include <string.h>
#include "frontend/import.h"

/* A value from outside a body, as seen inside. */
Tensor *capture(const Scope *sc, const char *name, Tensor *outer) {
    Capture *c = sc->capture;
    Graph *g = c->g;
    Tensor *t;
    if (outer == &absent_tensor) return outer;
    if (outer->data) {
        t = tensor_const(g, outer->name, outer->type.dt, outer->type.rank, outer->type.dim, outer->data);
    } else {
        Hint h = {(int8_t)outer->type.dt, (int8_t)outer->type.rank};
        if (outer->id < c->nhint && h.dt == DT_NONE) h.dt = c->hint[outer->id].dt;
        if (outer->id < c->nhint && h.rank < 0) h.rank = c->hint[outer->id].rank;
        t = tensor_new(g, outer->name, (DType)h.dt, h.rank, NULL);
        t->is_input = true;
        vec_push(g->a, &g->in, t);
        vec_push(c->im->tmp, &c->outer, outer);
    }
    map_set(sc->value, name, t);
    return t;
}

typedef struct Body {
    Graph *g;
    Capture capture;
} Body;
/* The formal inputs of a body come first; captured ones join them while the nodes are read. */
static bool body_import(Importer *im, Scope *sc, const Onnx__GraphProto *p, const char *prefix, Loc loc, Body *b) {
    Graph *outer = im->g;
    int errors = im->c->d->errors;
    if (!may_nest(im, sc, p->n_node, loc)) return false;
    *b = (Body){.g = graph_new(outer->a, arena_strdup(outer->a, pb_str(p->name)))};
    b->g->file = outer->file;
    b->capture = (Capture){.im = im, .g = b->g};
    Scope in = {
        .outer = sc, .opset = sc->opset, .call = sc->call, .at = loc, .prefix = prefix, .depth = sc->depth + 1, .capture = &b->capture};
    scope_init(im, &in);
    im->g = b->g;
    Hint *saved = im->hint.v;
    int n = im->hint.n, cap = im->hint.cap;
    b->capture.hint = saved, b->capture.nhint = n;
    im->hint.v = NULL, im->hint.n = im->hint.cap = 0;
    scope_declare(&in, p->n_value_info, p->value_info);
    scope_declare(&in, p->n_output, p->output);
    for (size_t i = 0; i < p->n_input; i++) {
        Type ty = {.dt = DT_NONE, .rank = -1};
        const char *name = pb_str(p->input[i]->name);
        if (p->input[i]->type) type_import(im, p->input[i]->type, arena_printf(im->tmp, "input '%s' of a body", name), NULL, &ty);
        Tensor *t = tensor_new(b->g, name_unique(im, prefix, name), ty.dt, -1, NULL);
        t->type = ty;
        t->is_input = true;
        vec_push(b->g->a, &b->g->in, t);
        if (map_get(in.value, name)) diag_error(im->c->d, loc, "a body has two inputs named '%s'", name);
        map_set(in.value, name, t);
    }
    constants_import(im, &in, p);
    nodes_import(im, &in, p->n_node, p->node);
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = pb_str(p->output[i]->name);
        Tensor *t = map_get(in.value, name);
        if (!t) t = value_find(&in, name);
        if (!t || t == &absent_tensor) {
            diag_error(im->c->d, loc, "output '%s' of a body is not computed by any of its nodes", name);
            t = tensor_new(b->g, NULL, DT_NONE, -1, NULL);
        }
        vec_push(b->g->a, &b->g->out, t);
    }
    im->g = outer;
    im->hint.v = saved, im->hint.n = n, im->hint.cap = cap;
    return im->c->d->errors == errors;
}
static const Onnx__GraphProto *graph_attr(const Scope *sc, const Onnx__NodeProto *p, const char *name) {
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *q = attr_resolve(sc, p->attribute[i]);
        if (q && strcmp(pb_str(p->attribute[i]->name), name) == 0) return q->g;
    }
    return NULL;
}
/* The captured values of several bodies as one list; each body gets an input for every one. */
static void merge_captures(Importer *im, Body *b, int n, Tensor ***list, int *count) {
    Vec(Tensor *) all = {0};
    for (int k = 0; k < n; k++)
        for (int i = 0; i < b[k].capture.outer.n; i++) {
            int at = 0;
            while (at < all.n && all.v[at] != b[k].capture.outer.v[i]) at++;
            if (at == all.n) vec_push(im->c->a, &all, b[k].capture.outer.v[i]);
        }
    for (int k = 0; k < n; k++) {
        Graph *g = b[k].g;
        int formal = g->in.n - b[k].capture.outer.n;
        Tensor **old = NEW_ARRAY(im->tmp, Tensor *, g->in.n + 1);
        if (g->in.n) memcpy(old, g->in.v, sizeof *old * (size_t)g->in.n);
        g->in.n = formal;
        for (int i = 0; i < all.n; i++) {
            Tensor *t = NULL;
            for (int j = 0; j < b[k].capture.outer.n && !t; j++)
                if (b[k].capture.outer.v[j] == all.v[i]) t = old[formal + j];
            if (!t) {
                t = tensor_new(g, all.v[i]->name, DT_NONE, -1, NULL);
                t->is_input = true;
            }
            vec_push(g->a, &g->in, t);
        }
    }
    *list = all.v, *count = all.n;
}
bool control_import(Importer *im, Scope *sc, const Onnx__NodeProto *p, int64_t index, Loc loc) {
    static const struct {
        const char *op, *body[2];
    } rows[] = {
        {"If", {"else_branch", "then_branch"}}, {"Loop", {"body", NULL}}, {"Scan", {"body", NULL}}, {"SequenceMap", {"body", NULL}}};
    int row = -1, nb = 0, errors = im->c->d->errors;
    for (int i = 0; i < 4; i++)
        if (strcmp(rows[i].op, pb_str(p->op_type)) == 0) row = i;
    if (row < 0 || *dom_str(p->domain)) return false;
    Body b[2];
    for (int i = 0; i < 2 && rows[row].body[i]; i++) {
        const Onnx__GraphProto *g = graph_attr(sc, p, rows[row].body[i]);
        if (!g) diag_error(im->c->d, loc, "attribute '%s' is missing; it is required", rows[row].body[i]);
        else if (row == 0 && (g->n_input || g->n_output < p->n_output))
            diag_error(im->c->d, loc, "%s gives %zu outputs and takes %zu inputs; %zu and 0 are expected", rows[row].body[i], g->n_output,
                       g->n_input, p->n_output);
        else if (body_import(im, sc, g, inner_prefix(im, sc, p), loc, &b[nb])) nb++;
    }
    Vec(Tensor *) in = {0};
    for (size_t i = 0; i < p->n_input; i++)
        vec_push(im->c->a, &in, *pb_str(p->input[i]) ? input_find(im, sc, p->input[i], index, loc) : NULL);
    int formal = in.n;
    if (row == 0 && formal != 1) diag_error(im->c->d, loc, "%d inputs; the condition alone is expected", formal);
    for (int i = row == 1 ? 2 : row == 2; i < formal; i++)
        if (!in.v[i]) diag_error(im->c->d, loc, "input %d is left out; it is required", i);
    if (im->c->d->errors != errors) {
        outputs_placeholder(im, sc, p);
        return true;
    }
    if (row > 0 && b[0].g->in.n - b[0].capture.outer.n != formal && !(row == 2 && *(const int64_t *)map_get(sc->opset, "") < 9)) {
        diag_error(im->c->d, loc, "the body takes %d inputs; the node has %d", b[0].g->in.n - b[0].capture.outer.n, formal);
        outputs_placeholder(im, sc, p);
        return true;
    }
    Tensor **captured;
    int ncaptured;
    merge_captures(im, b, nb, &captured, &ncaptured);
    for (int i = 0; i < ncaptured; i++) vec_push(im->c->a, &in, captured[i]);
    const OpDef *op = op_find("", rows[row].op);
    Node *n = node_new(im->g, op, NULL, loc, in.n, in.v, (int)p->n_output);
    for (size_t i = 0; i < p->n_output; i++) {
        if (!*pb_str(p->output[i]) || map_get(sc->value, p->output[i])) continue;
        node_set_out(n, (int)i, output_declare(im, sc, p->output[i]));
    }
    for (int i = 0; i < nb; i++) n->attr[op_attr_index(op, rows[row].body[i])] = (Attr){.kind = ATTR_GRAPH, .g = b[i].g};
    node_set_i(n, op_attr_index(op, "inputs"), formal);
    for (size_t i = 0; i < p->n_attribute; i++) { /* Scan's lists */
        const Onnx__AttributeProto *q = attr_resolve(sc, p->attribute[i]);
        const char *name = pb_str(p->attribute[i]->name);
        int k = op_attr_index(op, strcmp(name, "directions") == 0 ? "scan_input_directions" : name); /* as opset 8 calls them */
        if (!q || k < 0 || q->g) continue;
        if (q->n_ints) node_set_is(im->g, n, k, q->ints, (int64_t)q->n_ints);
        else if (q->has_i) node_set_i(n, k, q->i);
    }
    if (row == 2) node_set_i(n, op_attr_index(op, "opset"), *(const int64_t *)map_get(sc->opset, ""));
    return true;
}
