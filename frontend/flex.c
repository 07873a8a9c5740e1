/* SPDX-License-Identifier: Apache-2.0 */
/* flex.c: FlexAttention with functions that change its scores or its weights. They are graphs of one input and one output, and take
 * their place between the parts of the attention.
 *
 *   FlexAttention(q, k, v) {score_mod = f, prob_mod = g}   ->   FlexValues(g(FlexWeights(f(FlexScores(q, k)))), v)
 */
#include "frontend/upgrade.h"

static const Onnx__GraphProto *graph_attr(const Scope *sc, const Onnx__NodeProto *p, const char *name) {
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *q = attr_resolve(sc, p->attribute[i]);
        if (q && strcmp(pb_str(p->attribute[i]->name), name) == 0) return q->g;
    }
    return NULL;
}
static Tensor *apply(Importer *im, Scope *sc, const Onnx__GraphProto *g, Tensor *x, const char *what, Loc loc) {
    if (!g) return x;
    if (g->n_input != 1 || g->n_output != 1) {
        diag_error(im->c->d, loc, "%s takes %zu inputs and gives %zu outputs; one each is expected", what, g->n_input, g->n_output);
        return x;
    }
    if (!may_nest(im, sc, g->n_node, loc)) return x;
    Scope in = {.outer = sc,
                .opset = sc->opset,
                .call = sc->call,
                .at = loc,
                .prefix = arena_printf(im->tmp, "%s%s/", sc->prefix, what),
                .depth = sc->depth + 1};
    scope_init(im, &in);
    map_set(in.value, pb_str(g->input[0]->name), x);
    constants_import(im, &in, g);
    scope_declare(&in, g->n_value_info, g->value_info);
    nodes_import(im, &in, g->n_node, g->node);
    Tensor *y = value_find(&in, pb_str(g->output[0]->name));
    if (!y) diag_error(im->c->d, loc, "output '%s' of %s is not computed by any of its nodes", pb_str(g->output[0]->name), what);
    return y ? y : x;
}
/* One of the three parts, with the node's own attributes where it has them. */
static Tensor *part(RawNode *r, const char *op, Tensor *x, Tensor *y) {
    const OpDef *d = op_find("quern", op);
    Node *n = node_new(r->im->g, d, NULL, r->loc, y ? 2 : 1, (Tensor *[]){x, y}, 1);
    Tensor *out = tensor_new(r->im->g, NULL, DT_NONE, -1, NULL);
    node_set_out(n, 0, out);
    for (int i = 0; i < d->nattr; i++) {
        const Attr *a = raw_attr(r, d->attr[i].name);
        if (a && raw_kind(r, d->attr[i].name, a, d->attr[i].kind)) n->attr[i] = *a;
    }
    hint_node(r->im, n);
    return out;
}
bool flex_inline(Importer *im, Scope *sc, const Onnx__NodeProto *p, Loc loc) {
    const Onnx__GraphProto *score = graph_attr(sc, p, "score_mod"), *prob = graph_attr(sc, p, "prob_mod");
    if ((!score && !prob) || p->n_input != 3 || p->n_output != 1 || map_get(sc->value, pb_str(p->output[0]))) return false;
    RawNode r = {.im = im, .sc = sc, .loc = loc, .op = pb_str(p->op_type), .domain = dom_str(p->domain)};
    Onnx__NodeProto plain = *p;
    plain.attribute = NEW_ARRAY(im->tmp, Onnx__AttributeProto *, p->n_attribute);
    plain.n_attribute = 0;
    for (size_t i = 0; i < p->n_attribute; i++)
        if (strcmp(pb_str(p->attribute[i]->name), "score_mod") != 0 && strcmp(pb_str(p->attribute[i]->name), "prob_mod") != 0)
            plain.attribute[plain.n_attribute++] = p->attribute[i];
    Tensor *in[3];
    for (int i = 0; i < 3; i++)
        if (!(in[i] = value_find(sc, pb_str(p->input[i]))) || in[i] == &absent_tensor) return false; /* told with the plain node */
    if (!attrs_import(&r, &plain)) return false;
    Tensor *x = apply(im, sc, score, part(&r, "FlexScores", in[0], in[1]), "score_mod", loc);
    x = apply(im, sc, prob, part(&r, "FlexWeights", x, NULL), "prob_mod", loc);
    map_set(sc->value, p->output[0], part(&r, "FlexValues", x, in[2]));
    return true;
}
