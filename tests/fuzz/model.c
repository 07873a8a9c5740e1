/* SPDX-License-Identifier: Apache-2.0 */
/* model.c: what is left of a graph as an ONNX model, as Quern reads it, and as a test case in text. A value whose node is gone is an input.
 */
#include "fuzz.h"
#include "frontend/frontend.h"
#include "tests/unit/onnx_build.h"
#include <string.h>

static bool computed(const Fuzz *f, int i) { return f->v.v[i].def >= 0 && !f->n.v[f->v.v[i].def].gone; }
static bool read(const Fuzz *f, int i) {
    for (int k = 0; k < f->n.n; k++)
        for (int j = 0; j < f->n.v[k].nin && !f->n.v[k].gone; j++)
            if (f->n.v[k].in[j] == i) return true;
    return false;
}
bool value_is_input(const Fuzz *f, int i) { return !f->v.v[i].constant && !computed(f, i) && read(f, i); }
bool value_is_output(const Fuzz *f, int i) { return computed(f, i) && (f->v.v[i].shown || !read(f, i)); }
static bool is_constant(const Fuzz *f, int i) { return f->v.v[i].constant && read(f, i); }
int values_list(const Fuzz *f, bool (*is)(const Fuzz *, int), int *list) {
    int n = 0;
    for (int i = 0; i < f->v.n; i++)
        if (is(f, i)) list[n++] = i;
    return n;
}

/* A constant: strings are not raw data. */
static void put_constant(OnnxGraph *g, const char *name, const Value1 *v) {
    bool text = v->dt == DT_STRING;
    Onnx__TensorProto *t = om_init(g, name, (int)v->dt, v->rank, v->dim, text ? NULL : v->data, (size_t)v->bytes);
    if (!text) return;
    const int64_t *off = v->data;
    t->n_string_data = (size_t)v->n;
    t->string_data = NEW_ARRAY(g->a, ProtobufCBinaryData, v->n);
    for (int64_t i = 0; i < v->n; i++)
        t->string_data[i] = (ProtobufCBinaryData){(size_t)(off[i + 1] - off[i]), (uint8_t *)v->data + off[i]};
}
static bool same_attr(const Attr *a, const Attr *b) {
    if (a->kind != b->kind || a->i != b->i || a->f != b->f || a->n != b->n || a->t != b->t) return false;
    if (a->kind == ATTR_STRING) return strcmp(a->s, b->s) == 0;
    return a->kind == ATTR_INT || a->kind == ATTR_FLOAT;
}
static void write_attr(Arena *a, Onnx__NodeProto *n, const char *name, const Attr *v) {
    switch (v->kind) {
    case ATTR_INT: om_attr_i(a, n, name, v->i); break;
    case ATTR_FLOAT: om_attr_f(a, n, name, v->f); break;
    case ATTR_STRING: om_attr_s(a, n, name, v->s); break;
    case ATTR_INTS: om_attr_is(a, n, name, v->n, v->is); break;
    case ATTR_FLOATS: om_attr_fs(a, n, name, v->n, v->fs); break;
    case ATTR_TENSOR:
        om_attr_t(a, n, name,
                  om_tensor(a, "t", (int)v->t->type.dt, v->t->type.rank, v->t->type.dim, v->t->data, (size_t)tensor_bytes(v->t)));
        break;
    case ATTR_STRINGS: {
        Onnx__AttributeProto *p = om_attr(a, n, name, 8);
        p->n_strings = (size_t)v->n;
        p->strings = NEW_ARRAY(a, ProtobufCBinaryData, v->n);
        for (int64_t i = 0; i < v->n; i++) p->strings[i] = (ProtobufCBinaryData){strlen(v->ss[i]), (uint8_t *)arena_strdup(a, v->ss[i])};
        break;
    }
    default: break;
    }
}
void *graph_onnx(const Fuzz *f, Arena *a, int opset, size_t *bytes) {
    OnnxModel *m = om_new(a, 10, opset);
    om_opset(m, "com.microsoft", 1), om_opset(m, "ai.onnx.ml", 3), om_opset(m, "ai.onnx.preview.training", 1),
        om_opset(m, "ai.onnx.preview", 1);
    for (int i = 0; i < f->v.n; i++) {
        const Value1 *v = &f->v.v[i];
        char *name = arena_printf(a, "v%d", i);
        const char *sym[QN_MAX_RANK] = {NULL};
        for (int k = 0; k < v->rank && f->symbolic; k++) sym[k] = v->dim[k] == f->extent ? "N" : NULL;
        if (is_constant(f, i)) put_constant(&m->g, name, v);
        if (value_is_input(f, i)) om_input(&m->g, name, (int)v->dt, v->rank, v->dim, sym);
        if (value_is_output(f, i)) om_output(&m->g, name, (int)v->dt, -1, NULL, NULL);
        if (value_is_output(f, i) && v->dt == DT_NONE) m->g.out.v[m->g.out.n - 1]->type = NULL; /* to be inferred */
    }
    for (int i = 0; i < f->n.n; i++) {
        const Node1 *n = &f->n.v[i];
        if (n->gone) continue;
        if (n->macro) {
            macro_write(&m->g, f, n, i);
            continue;
        }
        Text in = {0}, out = {0};
        for (int k = 0; k < n->nin; k++)
            if (n->in[k] < 0) text_puts(&in, k ? " -" : "-");
            else text_printf(&in, "%sv%d", k ? " " : "", n->in[k]);
        for (int k = 0; k < n->nout; k++) text_printf(&out, "%sv%d", k ? " " : "", n->out[k]);
        Onnx__NodeProto *p = om_node(&m->g, n->op->name, in.s ? in.s : "", out.s);
        p->domain = (char *)n->op->domain;
        for (int k = 0; k < n->op->nattr; k++)
            if (n->attr[k].kind != ATTR_NONE && !same_attr(&n->attr[k], &n->op->attr[k].def))
                write_attr(a, p, n->op->attr[k].name, &n->attr[k]);
        text_free(&in), text_free(&out);
    }
    return om_pack(m, bytes);
}
Graph *graph_import(const Fuzz *f, Ctx *c) {
    size_t n;
    void *bytes = graph_onnx(f, c->a, 28, &n);
    ImportOptions o = {0};
    DimBinding b = {.name = "N", .range = true, .lo = 1, .value = f->extent + 3};
    if (f->symbolic) vec_push(c->a, &o.dims, b);
    return onnx_import_bytes(c, bytes, n, "graph.onnx", NULL, &o);
}
/* The interpreter's values of single nodes are what is expected; who mends something puts the right ones there. */
char *graph_qir(const Fuzz *f, Arena *a) {
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Fuzz plain = *f;
    plain.symbolic = false;
    Graph *g = graph_import(&plain, &c);
    if (!g) return arena_strdup(a, d.list.n ? d.list.v[0].text : "not importable");
    int *list = NEW_ARRAY(a, int, f->v.n + 1), n = values_list(f, value_is_input, list);
    for (int i = 0; i < n && i < g->in.n; i++) {
        g->in.v[i]->data = f->v.v[list[i]].data;
        g->in.v[i]->is_input = false;
    }
    g->in.n = 0;
    n = values_list(f, value_is_output, list);
    for (int i = 0; i < n; i++) {
        const Value1 *v = &f->v.v[list[i]];
        tensor_const(g, arena_printf(a, "want%d", i), v->dt, v->rank, v->dim, v->data);
    }
    Text t = {0};
    graph_print(g, &t);
    char *s = arena_strdup(a, t.s);
    text_free(&t);
    return s;
}
