/* SPDX-License-Identifier: Apache-2.0 */
/* onnx_build.c: see onnx_build.h. Messages live in the given arena; protobuf-c's packer writes them. */
#include "onnx_build.h"
#include <string.h>

static char *dup_name(Arena *a, const char *s) { return arena_strdup(a, strcmp(s, "-") ? s : ""); }
/* "a - b" -> {"a", "", "b"} */
static char **split(Arena *a, const char *names, size_t *n) {
    Vec(char *) v = {0};
    for (const char *s = names; *s;) {
        size_t k = strcspn(s, " ");
        vec_push(a, &v, dup_name(a, arena_strndup(a, s, k)));
        s += k + (s[k] == ' ');
    }
    *n = (size_t)v.n;
    return v.v;
}

OnnxModel *om_new(Arena *a, int ir, int opset) {
    OnnxModel *m = NEW(a, OnnxModel);
    onnx__model_proto__init(&m->m);
    m->m.has_ir_version = true;
    m->m.ir_version = ir;
    m->g.a = a;
    m->g.name = "test";
    if (opset) om_opset(m, "", opset);
    return m;
}
void om_opset(OnnxModel *m, const char *domain, int64_t version) {
    Onnx__OperatorSetIdProto *o = NEW(m->g.a, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(o);
    o->domain = arena_strdup(m->g.a, domain);
    o->has_version = true;
    o->version = version;
    vec_push(m->g.a, &m->opset, o);
}
Onnx__NodeProto *om_node(OnnxGraph *g, const char *op, const char *in, const char *out) {
    Onnx__NodeProto *n = NEW(g->a, Onnx__NodeProto);
    onnx__node_proto__init(n);
    n->op_type = dup_name(g->a, op);
    n->input = split(g->a, in, &n->n_input);
    n->output = split(g->a, out, &n->n_output);
    vec_push(g->a, &g->node, n);
    return n;
}

Onnx__ValueInfoProto *om_value(Arena *a, const char *name, int dt, int rank, const int64_t *dim, const char *const *sym) {
    Onnx__ValueInfoProto *v = NEW(a, Onnx__ValueInfoProto);
    Onnx__TypeProto *t = NEW(a, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *q = NEW(a, Onnx__TypeProto__Tensor);
    onnx__value_info_proto__init(v);
    onnx__type_proto__init(t);
    onnx__type_proto__tensor__init(q);
    v->name = dup_name(a, name);
    v->type = t;
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = q;
    q->has_elem_type = true;
    q->elem_type = dt;
    if (rank < 0) return v;
    q->shape = NEW(a, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(q->shape);
    q->shape->n_dim = (size_t)rank;
    q->shape->dim = NEW_ARRAY(a, Onnx__TensorShapeProto__Dimension *, rank);
    for (int i = 0; i < rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = q->shape->dim[i] = NEW(a, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(d);
        if (sym && sym[i]) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = arena_strdup(a, sym[i]);
        } else if (dim[i] != -1) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = dim[i];
        }
    }
    return v;
}
void om_input(OnnxGraph *g, const char *name, int dt, int rank, const int64_t *dim, const char *const *sym) {
    vec_push(g->a, &g->in, om_value(g->a, name, dt, rank, dim, sym));
}
void om_output(OnnxGraph *g, const char *name, int dt, int rank, const int64_t *dim, const char *const *sym) {
    vec_push(g->a, &g->out, om_value(g->a, name, dt, rank, dim, sym));
}

Onnx__TensorProto *om_tensor(Arena *a, const char *name, int dt, int rank, const int64_t *dim, const void *raw, size_t bytes) {
    Onnx__TensorProto *t = NEW(a, Onnx__TensorProto);
    onnx__tensor_proto__init(t);
    t->name = dup_name(a, name);
    t->has_data_type = true;
    t->data_type = dt;
    t->n_dims = (size_t)rank;
    t->dims = NEW_ARRAY(a, int64_t, rank);
    if (rank) memcpy(t->dims, dim, (size_t)rank * sizeof *dim);
    if (raw) {
        t->has_raw_data = true;
        t->raw_data = (ProtobufCBinaryData){bytes, arena_alloc(a, bytes)};
        memcpy(t->raw_data.data, raw, bytes);
    }
    return t;
}
Onnx__TensorProto *om_init(OnnxGraph *g, const char *name, int dt, int rank, const int64_t *dim, const void *raw, size_t bytes) {
    Onnx__TensorProto *t = om_tensor(g->a, name, dt, rank, dim, raw, bytes);
    vec_push(g->a, &g->init, t);
    return t;
}
void om_external(Arena *a, Onnx__TensorProto *t, const char *key, const char *value) {
    Onnx__StringStringEntryProto **v = NEW_ARRAY(a, Onnx__StringStringEntryProto *, t->n_external_data + 1),
                                 *e = NEW(a, Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(e);
    e->key = arena_strdup(a, key);
    e->value = arena_strdup(a, value);
    if (t->n_external_data) memcpy(v, t->external_data, t->n_external_data * sizeof *v);
    v[t->n_external_data++] = e;
    t->external_data = v;
    t->has_data_location = true;
    t->data_location = 1;
}

Onnx__AttributeProto *om_attr(Arena *a, Onnx__NodeProto *n, const char *name, int type) {
    Onnx__AttributeProto **v = NEW_ARRAY(a, Onnx__AttributeProto *, n->n_attribute + 1), *p = NEW(a, Onnx__AttributeProto);
    onnx__attribute_proto__init(p);
    p->name = arena_strdup(a, name);
    p->has_type = true;
    p->type = type;
    if (n->n_attribute) memcpy(v, n->attribute, n->n_attribute * sizeof *v);
    v[n->n_attribute++] = p;
    n->attribute = v;
    return p;
}
void om_attr_f(Arena *a, Onnx__NodeProto *n, const char *name, float v) {
    Onnx__AttributeProto *p = om_attr(a, n, name, 1);
    p->has_f = true;
    p->f = v;
}
void om_attr_i(Arena *a, Onnx__NodeProto *n, const char *name, int64_t v) {
    Onnx__AttributeProto *p = om_attr(a, n, name, 2);
    p->has_i = true;
    p->i = v;
}
void om_attr_s(Arena *a, Onnx__NodeProto *n, const char *name, const char *v) {
    Onnx__AttributeProto *p = om_attr(a, n, name, 3);
    p->has_s = true;
    p->s = (ProtobufCBinaryData){strlen(v), (uint8_t *)arena_strdup(a, v)};
}
void om_attr_t(Arena *a, Onnx__NodeProto *n, const char *name, Onnx__TensorProto *t) { om_attr(a, n, name, 4)->t = t; }
void om_attr_g(Arena *a, Onnx__NodeProto *n, const char *name, OnnxGraph *g) { om_attr(a, n, name, 5)->g = om_graph(g); }
void om_attr_fs(Arena *a, Onnx__NodeProto *n, const char *name, int64_t count, const float *v) {
    Onnx__AttributeProto *p = om_attr(a, n, name, 6);
    p->n_floats = (size_t)count;
    p->floats = NEW_ARRAY(a, float, count);
    if (count) memcpy(p->floats, v, (size_t)count * sizeof *v);
}
void om_attr_is(Arena *a, Onnx__NodeProto *n, const char *name, int64_t count, const int64_t *v) {
    Onnx__AttributeProto *p = om_attr(a, n, name, 7);
    p->n_ints = (size_t)count;
    p->ints = NEW_ARRAY(a, int64_t, count);
    if (count) memcpy(p->ints, v, (size_t)count * sizeof *v);
}
void om_attr_ref(Arena *a, Onnx__NodeProto *n, const char *name, int type, const char *of) {
    om_attr(a, n, name, type)->ref_attr_name = arena_strdup(a, of);
}

Onnx__FunctionProto *om_function(OnnxModel *m, const char *domain, const char *name, const char *in, const char *out, OnnxGraph *body,
                                 int opset) {
    Arena *a = m->g.a;
    Onnx__FunctionProto *f = NEW(a, Onnx__FunctionProto);
    onnx__function_proto__init(f);
    f->domain = arena_strdup(a, domain);
    f->name = arena_strdup(a, name);
    f->input = split(a, in, &f->n_input);
    f->output = split(a, out, &f->n_output);
    f->node = body->node.v;
    f->n_node = (size_t)body->node.n;
    Onnx__OperatorSetIdProto *o = NEW(a, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(o);
    o->domain = "";
    o->has_version = true;
    o->version = opset;
    f->opset_import = NEW_ARRAY(a, Onnx__OperatorSetIdProto *, 1);
    f->opset_import[0] = o;
    f->n_opset_import = 1;
    vec_push(a, &m->function, f);
    return f;
}
Onnx__GraphProto *om_graph(OnnxGraph *g) {
    Onnx__GraphProto *p = NEW(g->a, Onnx__GraphProto);
    onnx__graph_proto__init(p);
    p->name = arena_strdup(g->a, g->name ? g->name : "");
    p->node = g->node.v, p->n_node = (size_t)g->node.n;
    p->initializer = g->init.v, p->n_initializer = (size_t)g->init.n;
    p->sparse_initializer = g->sparse.v, p->n_sparse_initializer = (size_t)g->sparse.n;
    p->input = g->in.v, p->n_input = (size_t)g->in.n;
    p->output = g->out.v, p->n_output = (size_t)g->out.n;
    p->value_info = g->info.v, p->n_value_info = (size_t)g->info.n;
    return p;
}
void *om_pack(OnnxModel *m, size_t *bytes) {
    m->m.graph = om_graph(&m->g);
    m->m.opset_import = m->opset.v, m->m.n_opset_import = (size_t)m->opset.n;
    m->m.functions = m->function.v, m->m.n_functions = (size_t)m->function.n;
    *bytes = onnx__model_proto__get_packed_size(&m->m);
    uint8_t *b = arena_alloc(m->g.a, *bytes);
    onnx__model_proto__pack(&m->m, b);
    return b;
}
