/* SPDX-License-Identifier: Apache-2.0 */
/* test_frontend.c: models built in memory go through the import; hostile ones must end with located errors and nothing else.
 * Expected bytes and types are written out by hand from the ONNX specification. */
#define _GNU_SOURCE
#include "frontend/frontend.h"
#include "frontend_run.h"
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

START_TEST(imports_small_model) {
    Run r;
    run_init(&r);
    run_model(&r, small_model(r.a));
    ck_ok(&r);
    ck_assert_int_eq(r.g->nnode, 2);
    ck_assert_int_eq(r.g->in.n, 1);
    ck_assert_str_eq(r.g->in.v[0]->name, "x");
    ck_assert_str_eq(r.g->out.v[0]->name, "y");
    ck_assert_str_eq(r.g->first->op->name, "Add");
    ck_assert_str_eq(r.g->first->loc.name, "adding");
    const float *w = r.g->first->in[1]->data;
    ck_assert(w[0] == 1 && w[1] == 2 && w[2] == 3);
    Node *l = r.g->last;
    ck_assert(l->attr[op_attr_index(l->op, "alpha")].f == 0.5f);
    ck_assert(graph_verify(&r.c, r.g, false));
    run_free(&r);
}
END_TEST

/* ---- damaged graphs: each builder spoils a good model, and the error must say so */
typedef void (*Spoil)(Arena *a, OnnxModel *m);
static void bad_version(Arena *a, OnnxModel *m) { (void)a, m->m.ir_version = 2; }
static void bad_opset(Arena *a, OnnxModel *m) { (void)a, m->opset.v[0]->version = 0; }
static void no_opset(Arena *a, OnnxModel *m) { (void)a, m->opset.n = 0; }
static void two_opsets(Arena *a, OnnxModel *m) { (void)a, om_opset(m, "ai.onnx", 9); }
static void raw_short(Arena *a, OnnxModel *m) { (void)a, m->g.init.v[0]->raw_data.len = 11; }
static void dim_negative(Arena *a, OnnxModel *m) { (void)a, m->g.init.v[0]->dims[0] = -3; }
static void dim_input_negative(Arena *a, OnnxModel *m) { (void)a, m->g.in.v[0]->type->tensor_type->shape->dim[1]->dim_value = -7; }
static void dim_overflow(Arena *a, OnnxModel *m) {
    om_init(&m->g, "big", DT_FLOAT32, 2, DIMS((int64_t)1 << 32, (int64_t)1 << 32), "", 0);
    (void)a;
}
static void dim_huge(Arena *a, OnnxModel *m) { (void)a, om_init(&m->g, "huge", DT_FLOAT32, 1, DIMS((int64_t)1 << 62), "abcd", 4); }
static void rank_large(Arena *a, OnnxModel *m) {
    int64_t d[65];
    for (int i = 0; i < 65; i++) d[i] = 1;
    om_init(&m->g, "deep", DT_FLOAT32, 65, d, "abcd", 4);
    (void)a;
}
static void dtype_unknown(Arena *a, OnnxModel *m) { (void)a, m->g.init.v[0]->data_type = 99; }
static void dtype_none(Arena *a, OnnxModel *m) { (void)a, m->g.init.v[0]->data_type = 0; }
static void dtype_input(Arena *a, OnnxModel *m) { (void)a, m->g.in.v[0]->type->tensor_type->elem_type = 77; }
static void dup_output(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Relu", "x", "s"); }
static void dup_input(Arena *a, OnnxModel *m) { (void)a, om_input(&m->g, "x", DT_FLOAT32, 1, DIMS(1), NULL); }
static void dup_init(Arena *a, OnnxModel *m) { (void)a, om_init(&m->g, "w", DT_FLOAT32, 1, DIMS(1), "abcd", 4); }
static void output_is_input(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Relu", "y", "x"); }
static void missing_input(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Relu", "nowhere", "r"); }
static void cycle(Arena *a, OnnxModel *m) {
    om_node(&m->g, "Relu", "c2", "c1"), om_node(&m->g, "Relu", "c1", "c2");
    (void)a;
}
static void self_loop(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Add", "x loop", "loop"); }
static void dangling(Arena *a, OnnxModel *m) { (void)a, om_output(&m->g, "gone", DT_FLOAT32, 0, NULL, NULL); }
static void no_op_type(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "-", "x", "r"); }
static void attr_unknown(Arena *a, OnnxModel *m) { om_attr_i(a, m->g.node.v[1], "colour", 3); }
static void attr_kind(Arena *a, OnnxModel *m) {
    m->g.node.v[1]->attribute = NULL, m->g.node.v[1]->n_attribute = 0, om_attr_s(a, m->g.node.v[1], "alpha", "x");
}
static void attr_twice(Arena *a, OnnxModel *m) { om_attr_f(a, m->g.node.v[1], "alpha", 3); }
static void attr_tag(Arena *a, OnnxModel *m) { (void)a, m->g.node.v[1]->attribute[0]->type = 2; }
static void attr_type_77(Arena *a, OnnxModel *m) { (void)a, m->g.node.v[1]->attribute[0]->type = 77; }
static void attr_missing(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Concat", "x y", "cc"); }
static void arity(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Relu", "x y", "rr"); }
static void left_out(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "Add", "- x", "rr"); }
static void by_product(Arena *a, OnnxModel *m) { (void)a, om_node(&m->g, "NonZero", "x", "rr count"); }
static void unsupported(Arena *a, OnnxModel *m) {
    om_node(&m->g, "NoSuchOp", "x", "u1")->name = "odd";
    om_node(&m->g, "NoSuchOp", "x", "u2");
    om_opset(m, "my.domain", 1);
    om_node(&m->g, "Other", "u1", "u3")->domain = "my.domain";
    (void)a;
}
static void beam_search(Arena *a, OnnxModel *m) {
    Onnx__NodeProto *n = om_node(&m->g, "BeamSearch", "x", "u1");
    om_opset(m, "com.microsoft", 1);
    n->domain = "com.microsoft", n->name = "search";
    (void)a;
}
static void data_twice(Arena *a, OnnxModel *m) {
    m->g.init.v[0]->n_float_data = 3;
    m->g.init.v[0]->float_data = NEW_ARRAY(a, float, 3);
}
static void wrong_field(Arena *a, OnnxModel *m) {
    Onnx__TensorProto *t = om_init(&m->g, "wf", DT_FLOAT32, 1, DIMS(1), NULL, 0);
    t->n_int32_data = 1;
    t->int32_data = NEW_ARRAY(a, int32_t, 1);
}
static void typed_short(Arena *a, OnnxModel *m) {
    Onnx__TensorProto *t = om_init(&m->g, "ts", DT_FLOAT32, 1, DIMS(3), NULL, 0);
    t->n_float_data = 2;
    t->float_data = NEW_ARRAY(a, float, 2);
}
static void typed_range(Arena *a, OnnxModel *m) {
    Onnx__TensorProto *t = om_init(&m->g, "tr", DT_INT8, 1, DIMS(1), NULL, 0);
    t->n_int32_data = 1;
    t->int32_data = NEW_ARRAY(a, int32_t, 1);
    t->int32_data[0] = 300;
}
static void no_outputs(Arena *a, OnnxModel *m) { (void)a, m->g.out.n = 0; }
static void free_dim(Arena *a, OnnxModel *m) {
    om_input(&m->g, "z", DT_FLOAT32, 3, DIMS(0, 3, -1), (const char *const[]){"batch", NULL, NULL});
    (void)a;
}
START_TEST(damaged_graphs) {
    static const struct {
        Spoil spoil;
        const char *says;
    } t[] = {
        {bad_version, "IR version 2"},
        {bad_opset, "versions start at 1"},
        {no_opset, "imports no opset"},
        {two_opsets, "versions 17 and 9"},
        {raw_short, "initializer 'w': raw_data has 11 bytes, but the shape and element type float32 want 12"},
        {dim_negative, "extent of axis 0 is -3"},
        {dim_input_negative, "input 'x': extent of axis 1 is -7"},
        {dim_overflow, "initializer 'big': the product of its extents overflows"},
        {dim_huge, "initializer 'huge'"},
        {rank_large, "has 65 axes"},
        {dtype_unknown, "element type 99 is unknown"},
        {dtype_none, "element type 0 is unknown"},
        {dtype_input, "element type 77 is unknown"},
        {dup_output, "node 2 (Relu): error: output 's' is already an output of node 0"},
        {dup_input, "input 'x' is declared twice"},
        {dup_init, "initializer 'w' is defined twice"},
        {output_is_input, "output 'x' is also an input"},
        {missing_input, "node 2 (Relu): error: input 'nowhere' is neither"},
        {cycle, "input 'c2' is computed only later, by node 3"},
        {self_loop, "input 'loop' is the node's own output"},
        {dangling, "graph output 'gone' is not computed"},
        {no_op_type, "no op_type"},
        {attr_unknown, "attribute 'colour' is unknown; LeakyRelu has: alpha"},
        {attr_kind, "attribute 'alpha' is a string; a float is expected"},
        {attr_twice, "attribute 'alpha' is given twice"},
        {attr_tag, "declared as int, but its value is float"},
        {attr_type_77, "unknown type 77"},
        {attr_missing, "attribute 'axis' is missing"},
        {arity, "node 2 (Relu): error: 2 inputs; 1 are expected"},
        {left_out, "input 0 is left out"},
        {by_product, "2 outputs; at most 1 are expected"},
        {unsupported, "2 operators are not supported: NoSuchOp (2 nodes, first 2 'odd'), my.domain.Other (1 node, first 4)"},
        {beam_search,
         "'search' (BeamSearch): error: the operator is not supported: it calls a whole model for each token; export the decoder step"},
        {data_twice, "more than one field"},
        {wrong_field, "kept in float_data or raw_data, but the data are in int32_data"},
        {typed_short, "float_data has 2 values"},
        {typed_range, "value 300 of int32_data does not fit"},
        {no_outputs, "no outputs"},
        {free_dim, "input 'z' has free dimensions 'batch' (axis 0), (axis 2); add --dim batch=1 --dim 'z[2]=1'"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        Run r;
        run_init(&r);
        OnnxModel *m = small_model(r.a);
        t[i].spoil(r.a, m);
        run_model(&r, m);
        ck_refused(&r);
        ck_said(&r, t[i].says);
        run_free(&r);
    }
}
END_TEST
START_TEST(all_errors_are_reported) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    missing_input(r.a, m), attr_unknown(r.a, m), dangling(r.a, m), raw_short(r.a, m), unsupported(r.a, m);
    run_model(&r, m);
    ck_refused(&r);
    ck_assert_int_eq(r.d.errors, 5);
    run_free(&r);
}
END_TEST

/* ---- constants */
static const uint8_t *const_bytes(Run *r, OnnxModel *m, const char *name) {
    run_model(r, m);
    ck_ok(r);
    Tensor *t = tensor_named(r->g, name);
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_nonnull(t->data);
    return t->data;
}
static void int32_case(int dt, int64_t n, int count, const int32_t *v, const uint8_t *want, size_t bytes) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    Onnx__TensorProto *t = om_init(&m->g, "k", dt, 1, DIMS(n), NULL, 0);
    t->n_int32_data = (size_t)count;
    t->int32_data = (int32_t *)v;
    ck_assert_mem_eq(const_bytes(&r, m, "k"), want, bytes);
    run_free(&r);
}
START_TEST(typed_data_is_packed) {
    int32_case(DT_INT8, 2, 2, (int32_t[]){-1, 127}, (uint8_t[]){0xff, 0x7f}, 2);
    int32_case(DT_UINT16, 1, 1, (int32_t[]){0xabcd}, (uint8_t[]){0xcd, 0xab}, 2);
    int32_case(DT_FLOAT16, 1, 1, (int32_t[]){0x3c00}, (uint8_t[]){0x00, 0x3c}, 2);
    int32_case(DT_BOOL, 3, 3, (int32_t[]){0, 1, 7}, (uint8_t[]){0, 1, 1}, 3);
    int32_case(DT_INT4, 3, 2, (int32_t[]){0x21, 0xff}, (uint8_t[]){0x21, 0x0f}, 2); /* the unused half is cleared */
    int32_case(DT_UINT2, 5, 2, (int32_t[]){0xe4, 0xff}, (uint8_t[]){0xe4, 0x03}, 2);
    int32_case(DT_INT32, 1, 1, (int32_t[]){-2}, (uint8_t[]){0xfe, 0xff, 0xff, 0xff}, 4);
}
END_TEST
START_TEST(strings_have_offsets) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    Onnx__TensorProto *t = om_init(&m->g, "k", DT_STRING, 1, DIMS(2), NULL, 0);
    ProtobufCBinaryData s[] = {{2, (uint8_t *)"ab"}, {3, (uint8_t *)"c\0d"}};
    t->n_string_data = 2;
    t->string_data = s;
    const uint8_t *b = const_bytes(&r, m, "k");
    int64_t off[3];
    memcpy(off, b, 24);
    ck_assert(off[0] == 24 && off[1] == 26 && off[2] == 29);
    ck_assert_mem_eq(b + 24, "abc\0d", 5);
    run_free(&r);
}
END_TEST
START_TEST(sparse_becomes_dense) {
    for (int linear = 0; linear < 2; linear++) {
        Run r;
        run_init(&r);
        OnnxModel *m = small_model(r.a);
        Onnx__SparseTensorProto *s = NEW(r.a, Onnx__SparseTensorProto);
        onnx__sparse_tensor_proto__init(s);
        s->values = om_tensor(r.a, "sp", DT_FLOAT32, 1, DIMS(2), (float[]){5, 7}, 8);
        s->indices = linear ? om_tensor(r.a, "", DT_INT64, 1, DIMS(2), DIMS(1, 5), 16)
                            : om_tensor(r.a, "", DT_INT64, 2, DIMS(2, 2), DIMS(0, 1, 1, 2), 32);
        s->n_dims = 2;
        s->dims = (int64_t[]){2, 3};
        vec_push(r.a, &m->g.sparse, s);
        ck_assert_mem_eq(const_bytes(&r, m, "sp"), ((float[]){0, 5, 0, 0, 0, 7}), 24);
        run_free(&r);
    }
}
END_TEST
START_TEST(sparse_bad_index) {
    const int64_t bad[][2] = {{1, 6}, {-1, 2}, {3, 3}, {4, 2}};
    for (size_t i = 0; i < 4; i++) {
        Run r;
        run_init(&r);
        OnnxModel *m = small_model(r.a);
        Onnx__SparseTensorProto *s = NEW(r.a, Onnx__SparseTensorProto);
        onnx__sparse_tensor_proto__init(s);
        s->values = om_tensor(r.a, "sp", DT_FLOAT32, 1, DIMS(2), (float[]){5, 7}, 8);
        s->indices = om_tensor(r.a, "", DT_INT64, 1, DIMS(2), bad[i], 16);
        s->n_dims = 2;
        s->dims = (int64_t[]){2, 3};
        vec_push(r.a, &m->g.sparse, s);
        run_model(&r, m);
        ck_refused(&r);
        ck_said(&r, "initializer 'sp'");
        run_free(&r);
    }
}
END_TEST
START_TEST(constant_forms) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    om_attr_i(r.a, om_node(&m->g, "Constant", "", "ci"), "value_int", 7);
    om_attr_is(r.a, om_node(&m->g, "Constant", "", "cis"), "value_ints", 2, DIMS(4, 5));
    om_attr_f(r.a, om_node(&m->g, "Constant", "", "cf"), "value_float", 1.5f);
    om_attr_fs(r.a, om_node(&m->g, "Constant", "", "cfs"), "value_floats", 2, (float[]){1, 2});
    om_attr_s(r.a, om_node(&m->g, "Constant", "", "cs"), "value_string", "hey");
    run_model(&r, m);
    ck_ok(&r);
    ck_assert_int_eq(r.g->nnode, 2);
    Tensor *t = tensor_named(r.g, "ci");
    ck_assert(t->type.dt == DT_INT64 && t->type.rank == 0 && *(const int64_t *)t->data == 7);
    t = tensor_named(r.g, "cis");
    ck_assert(t->type.rank == 1 && t->type.dim[0] == 2 && ((const int64_t *)t->data)[1] == 5);
    t = tensor_named(r.g, "cf");
    ck_assert(t->type.dt == DT_FLOAT32 && *(const float *)t->data == 1.5f);
    t = tensor_named(r.g, "cfs");
    ck_assert(t->type.dim[0] == 2 && ((const float *)t->data)[1] == 2);
    t = tensor_named(r.g, "cs");
    ck_assert(t->type.dt == DT_STRING && memcmp((const char *)t->data + 16, "hey", 3) == 0);
    run_free(&r);
}
END_TEST

/* ---- inputs, outputs, dimensions */
START_TEST(outputs_are_made_distinct) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    om_output(&m->g, "x", DT_FLOAT32, 2, DIMS(2, 3), NULL); /* an input */
    om_output(&m->g, "w", DT_FLOAT32, 1, DIMS(3), NULL);    /* a constant */
    om_output(&m->g, "y", DT_FLOAT32, 2, DIMS(2, 3), NULL); /* again */
    run_model(&r, m);
    ck_ok(&r);
    ck_assert_int_eq(r.g->out.n, 4);
    const char *want[] = {"y", "x", "w", "y"};
    for (int i = 0; i < 4; i++) {
        Tensor *t = r.g->out.v[i];
        ck_assert_str_eq(t->name, want[i]);
        ck_assert(t->def && t->is_output && !t->data && !t->is_input);
        for (int k = 0; k < i; k++) ck_assert_ptr_ne(t, r.g->out.v[k]);
    }
    run_free(&r);
}
END_TEST
START_TEST(input_with_initializer_is_constant) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    om_input(&m->g, "w", DT_FLOAT32, 1, DIMS(3), NULL);
    run_model(&r, m);
    ck_ok(&r);
    ck_assert_int_eq(r.g->in.n, 1);
    run_free(&r);
}
END_TEST
static OnnxModel *symbolic_model(Arena *a) {
    OnnxModel *m = om_new(a, 8, 17);
    om_input(&m->g, "p", DT_FLOAT32, 2, DIMS(0, -1), (const char *const[]){"batch", NULL});
    om_input(&m->g, "q", DT_FLOAT32, 2, DIMS(0, 4), (const char *const[]){"batch", NULL});
    om_node(&m->g, "Add", "p q", "y");
    om_output(&m->g, "y", DT_FLOAT32, 2, DIMS(0, 4), (const char *const[]){"batch", NULL});
    return m;
}
START_TEST(dims_are_bound) {
    Run r;
    run_init(&r);
    vec_push(r.a, &r.o.dims, ((DimBinding){.name = "batch", .value = 5}));
    vec_push(r.a, &r.o.dims, ((DimBinding){.name = "p[1]", .value = 4}));
    run_model(&r, symbolic_model(r.a));
    ck_ok(&r);
    ck_assert(r.g->in.v[0]->type.dim[0] == 5 && r.g->in.v[0]->type.dim[1] == 4);
    ck_assert(r.g->in.v[1]->type.dim[0] == 5);
    ck_assert(r.g->out.v[0]->type.dim[0] == 5);
    run_free(&r);
}
END_TEST
START_TEST(dims_unused_or_contrary) {
    Run r;
    run_init(&r);
    vec_push(r.a, &r.o.dims, ((DimBinding){.name = "nothing", .value = 5}));
    run_model(&r, symbolic_model(r.a));
    ck_refused(&r);
    ck_said(&r, "--dim nothing=5: no tensor has such a dimension; still free: 'p[0]' (batch), 'p[1]', 'q[0]' (batch)");
    ck_said(&r, "input 'q' has free dimension 'batch' (axis 0); add --dim batch=1");
    run_free(&r);
    run_init(&r);
    r.o.free_dims = true;
    vec_push(r.a, &r.o.dims, ((DimBinding){.name = "q[1]", .value = 5}));
    run_model(&r, symbolic_model(r.a));
    ck_refused(&r);
    ck_said(&r, "has the fixed extent 4");
    run_free(&r);
    run_init(&r);
    r.o.free_dims = true;
    run_model(&r, symbolic_model(r.a));
    ck_ok(&r);
    ck_assert(r.g->in.v[0]->type.dim[0] == DIM_UNKNOWN);
    ck_assert_str_eq(r.g->in.v[0]->type.sym[0], "batch");
    run_free(&r);
}
END_TEST

/* ---- functions and branches */
START_TEST(function_is_inlined) {
    Run r;
    run_init(&r);
    run_model(&r, model_with_everything(r.a));
    ck_ok(&r);
    Node *n = r.g->first->next->next; /* Add, LeakyRelu, then the body */
    ck_assert_str_eq(n->op->name, "LeakyRelu");
    ck_assert(n->attr[0].f == 0.25f);
    ck_assert_str_eq(n->loc.name, "Leak/");
    run_free(&r);
}
END_TEST
START_TEST(function_recursion_and_growth) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    om_opset(m, "local", 1);
    OnnxGraph ping = {.a = r.a}, pong = {.a = r.a};
    om_node(&ping, "Pong", "p", "q")->domain = "local";
    om_node(&pong, "Ping", "p", "q")->domain = "local";
    om_function(m, "local", "Ping", "p", "q", &ping, 17);
    om_function(m, "local", "Pong", "p", "q", &pong, 17);
    om_node(&m->g, "Ping", "y", "z")->domain = "local";
    run_model(&r, m);
    ck_refused(&r);
    ck_said(&r, "calls itself");
    run_free(&r);

    run_init(&r); /* 10^20 nodes in a few kilobytes */
    m = small_model(r.a);
    om_opset(m, "local", 1);
    for (int i = 0; i < 20; i++) {
        OnnxGraph *body = NEW(r.a, OnnxGraph);
        body->a = r.a;
        for (int k = 0; k < 10; k++) {
            Onnx__NodeProto *n = om_node(body, arena_printf(r.a, "F%d", i + 1), "p", arena_printf(r.a, k ? "t%d" : "q", k));
            n->domain = "local";
        }
        om_function(m, "local", arena_printf(r.a, "F%d", i), "p", "q", body, 17);
    }
    OnnxGraph leaf = {.a = r.a};
    om_node(&leaf, "Relu", "p", "q");
    om_function(m, "local", "F20", "p", "q", &leaf, 17);
    om_node(&m->g, "F0", "y", "z")->domain = "local";
    double t = seconds();
    run_model(&r, m);
    ck_assert_double_lt(seconds() - t, 5);
    ck_refused(&r);
    ck_said(&r, "inlining functions gives more than");
    run_free(&r);
}
END_TEST
START_TEST(function_uses_its_own_opset) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    om_opset(m, "local", 1);
    OnnxGraph body = {.a = r.a};
    om_attr_is(r.a, om_node(&body, "Squeeze", "p", "q"), "axes", 1, DIMS(0)); /* the form before opset 13 */
    om_function(m, "local", "Old", "p", "q", &body, 11);
    om_input(&m->g, "v", DT_FLOAT32, 2, DIMS(1, 3), NULL);
    om_node(&m->g, "Old", "v", "z")->domain = "local";
    om_output(&m->g, "z", DT_FLOAT32, 1, DIMS(3), NULL);
    run_model(&r, m);
    ck_ok(&r);
    Node *n = node_of(r.g, "Squeeze");
    ck_assert(n && n->nin == 2 && *(const int64_t *)n->in[1]->data == 0);
    ck_assert_str_eq(r.g->out.v[1]->name, "z");
    run_free(&r);
}
END_TEST
START_TEST(nodes_are_sorted) { /* as converters to half precision leave them; a branch reads a later value too */
    Run r;
    run_init(&r);
    OnnxModel *m = om_new(r.a, 8, 17);
    OnnxGraph one = {.a = r.a}, two = {.a = r.a};
    om_input(&m->g, "x", DT_FLOAT32, 1, DIMS(3), NULL);
    om_input(&m->g, "c", DT_BOOL, 0, NULL, NULL);
    om_node(&one, "Relu", "late", "o"), om_output(&one, "o", DT_NONE, -1, NULL, NULL);
    om_node(&two, "Neg", "x", "o"), om_output(&two, "o", DT_NONE, -1, NULL, NULL);
    om_node(&m->g, "Add", "i late", "y");
    Onnx__NodeProto *n = om_node(&m->g, "If", "c", "i");
    om_attr_g(r.a, n, "then_branch", &one);
    om_attr_g(r.a, n, "else_branch", &two);
    om_node(&m->g, "Sqrt", "first", "late"), om_node(&m->g, "Abs", "x", "first");
    om_output(&m->g, "y", DT_FLOAT32, 1, DIMS(3), NULL);
    run_model(&r, m);
    ck_ok(&r);
    const char *order = "";
    for (Node *k = r.g->first; k; k = k->next) order = arena_printf(r.a, "%s%s ", order, k->op->name);
    ck_assert_str_eq(order, "Abs Sqrt If Add ");
    run_free(&r);
}
END_TEST
START_TEST(constant_if_is_taken) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    OnnxGraph yes = {.a = r.a}, no = {.a = r.a};
    om_node(&yes, "Relu", "y", "a"), om_output(&yes, "a", DT_FLOAT32, 2, DIMS(2, 3), NULL);
    om_node(&no, "Tanh", "y", "a"), om_output(&no, "a", DT_FLOAT32, 2, DIMS(2, 3), NULL);
    om_init(&m->g, "cond", DT_BOOL, 0, NULL, "\0", 1);
    Onnx__NodeProto *n = om_node(&m->g, "If", "cond", "z");
    om_attr_g(r.a, n, "then_branch", &yes);
    om_attr_g(r.a, n, "else_branch", &no);
    om_output(&m->g, "z", DT_FLOAT32, 2, DIMS(2, 3), NULL);
    run_model(&r, m);
    ck_ok(&r);
    ck_assert(node_of(r.g, "Tanh") && !node_of(r.g, "Relu"));
    ck_assert_ptr_eq(r.g->out.v[1]->def, node_of(r.g, "Tanh"));
    ck_assert_str_eq(r.g->out.v[1]->name, "z");
    run_free(&r);
}
END_TEST

/* ---- old forms */
static Graph *old_node(Run *r, int opset, const char *op, const char *in, Onnx__NodeProto **node, OnnxModel **model) {
    (void)r;
    OnnxModel *m = *model = om_new(r->a, 7, opset);
    om_input(&m->g, "x", DT_FLOAT32, 4, DIMS(1, 2, 4, 4), NULL);
    *node = om_node(&m->g, op, in, "y");
    om_output(&m->g, "y", DT_FLOAT32, -1, NULL, NULL);
    return NULL;
}
static const int64_t *input_i64s(const Node *n, int i, int64_t *count) {
    static Arena *none;
    return n->nin > i && n->in[i] ? const_i64s(none, n->in[i], count) : NULL;
}
START_TEST(old_reduce_and_clip) {
    Run r;
    OnnxModel *m;
    Onnx__NodeProto *p;
    int64_t n;
    run_init(&r);
    old_node(&r, 11, "ReduceMean", "x", &p, &m);
    om_attr_is(r.a, p, "axes", 2, DIMS(2, 3));
    om_attr_i(r.a, p, "keepdims", 0);
    run_model(&r, m);
    ck_ok(&r);
    const int64_t *v = input_i64s(node_of(r.g, "ReduceMean"), 1, &n);
    ck_assert(v && n == 2 && v[0] == 2 && v[1] == 3);
    run_free(&r);
    run_init(&r);
    old_node(&r, 6, "Clip", "x", &p, &m);
    om_attr_f(r.a, p, "max", 6);
    run_model(&r, m);
    ck_ok(&r);
    Node *c = node_of(r.g, "Clip");
    double max;
    ck_assert(c->nin == 3 && !c->in[1] && const_f(c->in[2], &max) && max == 6);
    run_free(&r);
}
END_TEST
START_TEST(old_broadcast_axis) {
    Run r;
    OnnxModel *m;
    Onnx__NodeProto *p;
    run_init(&r);
    old_node(&r, 6, "Add", "x b", &p, &m);
    om_init(&m->g, "b", DT_FLOAT32, 1, DIMS(2), (float[]){1, 2}, 8);
    om_attr_i(r.a, p, "axis", 1);
    om_attr_i(r.a, p, "broadcast", 1);
    run_model(&r, m);
    ck_ok(&r);
    const Type *t = &node_of(r.g, "Add")->in[1]->type;
    ck_assert(t->rank == 3 && t->dim[0] == 2 && t->dim[1] == 1 && t->dim[2] == 1);
    run_free(&r);
}
END_TEST
START_TEST(old_upsample) {
    Run r;
    OnnxModel *m;
    Onnx__NodeProto *p;
    run_init(&r);
    old_node(&r, 7, "Upsample", "x", &p, &m);
    om_attr_fs(r.a, p, "scales", 4, (float[]){1, 1, 2, 2});
    run_model(&r, m);
    ck_ok(&r);
    Node *n = node_of(r.g, "Resize");
    ck_assert(n && n->nin == 3 && !n->in[1] && ((const float *)n->in[2]->data)[3] == 2);
    ck_assert_str_eq(n->attr[op_attr_index(n->op, "coordinate_transformation_mode")].s, "asymmetric");
    ck_assert_str_eq(n->attr[op_attr_index(n->op, "nearest_mode")].s, "floor");
    run_free(&r);
}
END_TEST
START_TEST(old_softmax) {
    Run r;
    OnnxModel *m;
    Onnx__NodeProto *p;
    run_init(&r);
    old_node(&r, 11, "Softmax", "x", &p, &m); /* axis 1 of 4: a matrix 1 x 32 */
    run_model(&r, m);
    ck_ok(&r);
    Node *n = node_of(r.g, "Softmax");
    ck_assert_int_eq(n->attr[op_attr_index(n->op, "flatten")].i, 1);
    ck_assert_int_eq(n->attr[op_attr_index(n->op, "axis")].i, 1);
    run_free(&r);
    run_init(&r);
    old_node(&r, 11, "Softmax", "x", &p, &m);
    om_attr_i(r.a, p, "axis", 3);
    run_model(&r, m);
    ck_ok(&r);
    n = node_of(r.g, "Softmax");
    ck_assert_int_eq(n->attr[op_attr_index(n->op, "flatten")].i, 0);
    run_free(&r);
}
END_TEST

/* ---- external data */
static char work_dir[] = "/tmp/qn_frontend_XXXXXX";
static char *in_dir(Run *r, const char *name) { return arena_printf(r->a, "%s/%s", work_dir, name); }
static void write_file(Run *r, const char *name, const void *b, size_t n) {
    FILE *f = fopen(in_dir(r, name), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(b, 1, n, f), n);
    fclose(f);
}
static void external_setup(void) {
    memcpy(work_dir + sizeof work_dir - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(work_dir));
}
static void external_teardown(void) {
    char cmd[100];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", work_dir);
    ck_assert_int_eq(system(cmd), 0);
}
static Graph *external_run(Run *r, const char *location, const char *offset, const char *length) {
    run_init(r);
    r->dir = work_dir;
    write_file(r, "w.bin", "\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40", 16); /* 0 1 2 3 */
    OnnxModel *m = small_model(r->a);
    Onnx__TensorProto *t = m->g.init.v[0];
    t->has_raw_data = false;
    t->raw_data.len = 0;
    if (location) om_external(r->a, t, "location", location);
    if (offset) om_external(r->a, t, "offset", offset);
    if (length) om_external(r->a, t, "length", length);
    return run_model(r, m);
}
START_TEST(external_data_is_read) {
    Run r;
    external_run(&r, "w.bin", "4", "12");
    ck_ok(&r);
    const float *w = r.g->first->in[1]->data;
    ck_assert(w[0] == 1 && w[1] == 2 && w[2] == 3);
    run_free(&r);
}
END_TEST
static void external_refused(const char *location, const char *offset, const char *length, const char *says) {
    Run r;
    external_run(&r, location, offset, length);
    ck_refused(&r);
    ck_said(&r, says);
    run_free(&r);
}
START_TEST(external_data_attacks) {
    Run r;
    run_init(&r);
    write_file(&r, "secret", "0123456789abcdef", 16);
    ck_assert_int_eq(mkdir(in_dir(&r, "sub"), 0755), 0);
    ck_assert_int_eq(symlink("secret", in_dir(&r, "link")), 0);
    ck_assert_int_eq(symlink("sub", in_dir(&r, "linkdir")), 0);
    write_file(&r, "sub/w", "0123456789abcdef", 16);
    ck_assert_int_eq(link(in_dir(&r, "secret"), in_dir(&r, "hard")), 0);
    ck_assert_int_eq(mkfifo(in_dir(&r, "fifo"), 0644), 0);
    run_free(&r);
    external_refused("../w.bin", NULL, NULL, "leave the model's folder");
    external_refused("sub/../../w.bin", NULL, NULL, "leave the model's folder");
    external_refused("/etc/passwd", NULL, NULL, "not at a path relative");
    external_refused("C:\\w.bin", NULL, NULL, "not at a path relative");
    external_refused("link", NULL, NULL, "symbolic link");
    external_refused("linkdir/w", NULL, NULL, "symbolic link");
    external_refused("hard", NULL, NULL, "2 hard links");
    external_refused("fifo", NULL, NULL, "not a regular file");
    external_refused("sub", NULL, NULL, "not a regular file");
    external_refused("absent", NULL, NULL, "cannot be opened");
    external_refused(NULL, "4", NULL, "no 'location'");
    external_refused("w.bin", "8", NULL, "past the end of the file (16 bytes)");
    external_refused("w.bin", "8", "12", "past the end of the file (16 bytes)");
    external_refused("w.bin", "9223372036854775807", "12", "past the end");
    external_refused("w.bin", "9223372036854775808", NULL, "not a decimal number");
    external_refused("w.bin", "-4", NULL, "not a decimal number");
    external_refused("w.bin", "0x4", NULL, "not a decimal number");
    external_refused("w.bin", "0", "11", "length 11, but the shape");
}
END_TEST
START_TEST(external_needs_a_folder) {
    Run r;
    run_init(&r);
    OnnxModel *m = small_model(r.a);
    m->g.init.v[0]->has_raw_data = false;
    om_external(r.a, m->g.init.v[0], "location", "w.bin");
    run_model(&r, m);
    ck_refused(&r);
    ck_said(&r, "external data");
    run_free(&r);
}
END_TEST
START_TEST(tensor_file_round_trip) {
    Run r;
    run_init(&r);
    const char *path = in_dir(&r, "t.pb");
    Value v = {.name = "v", .data = (int16_t[]){1, -2, 3, -4, 5, -6}, .bytes = 12}, w;
    type_set(&v.type, DT_INT16, 2, DIMS(2, 3));
    ck_assert(onnx_write_tensor(&r.c, path, &v));
    ck_assert(onnx_read_tensor(&r.c, path, &w));
    ck_assert_str_eq(w.name, "v");
    ck_assert(type_same(&v.type, &w.type) && w.bytes == 12);
    ck_assert_mem_eq(v.data, w.data, 12);
    ck_assert(!onnx_read_tensor(&r.c, in_dir(&r, "absent.pb"), &w));
    run_free(&r);
}
END_TEST

Suite *frontend_suite(void) {
    Suite *s = suite_create("frontend");
    TCase *t = tcase_create("models");
    tcase_add_test(t, imports_small_model);
    tcase_add_test(t, damaged_graphs);
    tcase_add_test(t, all_errors_are_reported);
    tcase_add_test(t, typed_data_is_packed);
    tcase_add_test(t, strings_have_offsets);
    tcase_add_test(t, sparse_becomes_dense);
    tcase_add_test(t, sparse_bad_index);
    tcase_add_test(t, constant_forms);
    tcase_add_test(t, outputs_are_made_distinct);
    tcase_add_test(t, input_with_initializer_is_constant);
    tcase_add_test(t, dims_are_bound);
    tcase_add_test(t, dims_unused_or_contrary);
    tcase_add_test(t, function_is_inlined);
    tcase_add_test(t, function_recursion_and_growth);
    tcase_add_test(t, function_uses_its_own_opset);
    tcase_add_test(t, nodes_are_sorted);
    tcase_add_test(t, constant_if_is_taken);
    tcase_add_test(t, old_reduce_and_clip);
    tcase_add_test(t, old_broadcast_axis);
    tcase_add_test(t, old_upsample);
    tcase_add_test(t, old_softmax);
    suite_add_tcase(s, t);
    t = tcase_create("files");
    tcase_add_checked_fixture(t, external_setup, external_teardown);
    tcase_add_test(t, external_data_is_read);
    tcase_add_test(t, external_data_attacks);
    tcase_add_test(t, external_needs_a_folder);
    tcase_add_test(t, tensor_file_round_trip);
    suite_add_tcase(s, t);
    return s;
}
