/* SPDX-License-Identifier: Apache-2.0 */
/* onnx_build.h: small ONNX models for tests, built in memory. Names are space-separated; "-" is an empty (absent) name.
 *
 *   OnnxModel *m = om_new(a, 8, 17);
 *   om_input(&m->g, "x", DT_FLOAT32, 2, (int64_t[]){1, 3}, NULL);
 *   Onnx__NodeProto *n = om_node(&m->g, "LeakyRelu", "x", "y");   om_attr_f(a, n, "alpha", 0.5f);
 *   om_output(&m->g, "y", DT_FLOAT32, 2, (int64_t[]){1, 3}, NULL);
 *   size_t size;  void *bytes = om_pack(m, &size);
 */
#ifndef QN_TEST_ONNX_BUILD_H
#define QN_TEST_ONNX_BUILD_H
#include "ir/ir.h"
#include "onnx.pb-c.h"

typedef struct OnnxGraph { /* also a branch or a function body */
    Arena *a;
    const char *name;
    Vec(Onnx__NodeProto *) node;
    Vec(Onnx__TensorProto *) init;
    Vec(Onnx__SparseTensorProto *) sparse;
    Vec(Onnx__ValueInfoProto *) in;
    Vec(Onnx__ValueInfoProto *) out;
    Vec(Onnx__ValueInfoProto *) info;
} OnnxGraph;
typedef struct OnnxModel {
    OnnxGraph g;
    Onnx__ModelProto m; /* fields set by hand are kept */
    Vec(Onnx__OperatorSetIdProto *) opset;
    Vec(Onnx__FunctionProto *) function;
} OnnxModel;

OnnxModel *om_new(Arena *a, int ir, int opset); /* opset 0: none imported */
void om_opset(OnnxModel *m, const char *domain, int64_t version);
Onnx__NodeProto *om_node(OnnxGraph *g, const char *op, const char *in, const char *out);
/* dim: -1 is unnamed and free; sym (may be NULL): per axis NULL or a name. rank -1: no shape. */
Onnx__ValueInfoProto *om_value(Arena *a, const char *name, int dt, int rank, const int64_t *dim, const char *const *sym);
void om_input(OnnxGraph *g, const char *name, int dt, int rank, const int64_t *dim, const char *const *sym);
void om_output(OnnxGraph *g, const char *name, int dt, int rank, const int64_t *dim, const char *const *sym);
Onnx__TensorProto *om_tensor(Arena *a, const char *name, int dt, int rank, const int64_t *dim, const void *raw, size_t bytes);
Onnx__TensorProto *om_init(OnnxGraph *g, const char *name, int dt, int rank, const int64_t *dim, const void *raw, size_t bytes);
void om_external(Arena *a, Onnx__TensorProto *t, const char *key, const char *value); /* also makes t external */
Onnx__AttributeProto *om_attr(Arena *a, Onnx__NodeProto *n, const char *name, int type);
void om_attr_i(Arena *a, Onnx__NodeProto *n, const char *name, int64_t v);
void om_attr_f(Arena *a, Onnx__NodeProto *n, const char *name, float v);
void om_attr_s(Arena *a, Onnx__NodeProto *n, const char *name, const char *v);
void om_attr_is(Arena *a, Onnx__NodeProto *n, const char *name, int64_t count, const int64_t *v);
void om_attr_fs(Arena *a, Onnx__NodeProto *n, const char *name, int64_t count, const float *v);
void om_attr_t(Arena *a, Onnx__NodeProto *n, const char *name, Onnx__TensorProto *t);
void om_attr_g(Arena *a, Onnx__NodeProto *n, const char *name, OnnxGraph *g);
void om_attr_ref(Arena *a, Onnx__NodeProto *n, const char *name, int type, const char *of);
/* The function's nodes are those of `body` when the model is packed. */
Onnx__FunctionProto *om_function(OnnxModel *m, const char *domain, const char *name, const char *in, const char *out, OnnxGraph *body,
                                 int opset);
Onnx__GraphProto *om_graph(OnnxGraph *g);
void *om_pack(OnnxModel *m, size_t *bytes); /* in the arena */
#endif
