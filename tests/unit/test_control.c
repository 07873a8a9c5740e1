/* SPDX-License-Identifier: Apache-2.0 */
/* test_control.c: If, Loop and Scan that cannot be compiled: each is refused with the node and what is wrong, none hangs.
 *
 *   Loop(no trip count, condition true) {condition' = condition}   --->   error: the loop does not end
 */
#include "frontend_run.h"
#include "passes/passes.h"
#include <stdlib.h>

Suite *control_suite(void);

typedef struct Case {
    Run r;
    OnnxModel *m;
    OnnxGraph one, two; /* bodies */
} Case;
static void begin(Case *t, int opset) {
    run_init(&t->r);
    t->m = om_new(t->r.a, 8, opset);
    t->one = t->two = (OnnxGraph){.a = t->r.a};
    om_input(&t->m->g, "x", DT_FLOAT32, 2, DIMS(2, 3), NULL);
    om_input(&t->m->g, "c", DT_BOOL, 0, NULL, NULL);
}
/* Imports and compiles; the program, or NULL. */
static Program *finish(Case *t) {
    om_output(&t->m->g, "y", DT_NONE, -1, NULL, NULL);
    return run_model(&t->r, t->m) ? passes_run(&t->r.c, t->r.g, &(PassOptions){.verify = true}) : NULL;
}
static void refused(Case *t, const char *why) {
    Program *p = finish(t);
    ck_assert_msg(!p, "accepted, but '%s' was expected", why);
    ck_said(&t->r, why);
    run_free(&t->r);
}
static Onnx__NodeProto *branches(Case *t) {
    Onnx__NodeProto *n = om_node(&t->m->g, "If", "c", "y");
    om_attr_g(t->r.a, n, "then_branch", &t->one);
    om_attr_g(t->r.a, n, "else_branch", &t->two);
    return n;
}
static void branch(OnnxGraph *g, const char *op, const char *in) {
    om_node(g, op, in, "o");
    om_output(g, "o", DT_NONE, -1, NULL, NULL);
}

START_TEST(branch_without_capture) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "Relu", "nowhere");
    branch(&t.two, "Relu", "x");
    branches(&t);
    refused(&t, "'nowhere'");
}
END_TEST
START_TEST(branch_is_missing) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "Relu", "x");
    om_attr_g(t.r.a, om_node(&t.m->g, "If", "c", "y"), "then_branch", &t.one);
    refused(&t, "attribute 'else_branch' is missing");
}
END_TEST
START_TEST(branches_with_an_operand) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "Relu", "x"), branch(&t.two, "Relu", "x");
    Onnx__NodeProto *n = om_node(&t.m->g, "If", "c x", "y");
    om_attr_g(t.r.a, n, "then_branch", &t.one);
    om_attr_g(t.r.a, n, "else_branch", &t.two);
    refused(&t, "2 inputs; the condition alone is expected");
}
END_TEST
START_TEST(map_without_a_sequence) {
    Case t;
    begin(&t, 17);
    om_input(&t.one, "p", DT_FLOAT32, -1, NULL, NULL), om_input(&t.one, "q", DT_FLOAT32, -1, NULL, NULL);
    branch(&t.one, "Add", "p q");
    om_node(&t.m->g, "SequenceConstruct", "x", "s");
    Onnx__NodeProto *n = om_node(&t.m->g, "SequenceMap", "s -", "y");
    om_attr_g(t.r.a, n, "body", &t.one);
    refused(&t, "input 1 is left out");
}
END_TEST
START_TEST(branches_of_other_types) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "Relu", "x");
    branch(&t.two, "Shape", "x");
    branches(&t);
    refused(&t, "the branches give float32[2,3] and int64[2]");
}
END_TEST
START_TEST(branches_of_other_ranks) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "Relu", "x");
    om_node(&t.two, "ReduceMax", "x", "o");
    om_attr_i(t.r.a, t.two.node.v[0], "keepdims", 0);
    om_output(&t.two, "o", DT_NONE, -1, NULL, NULL);
    branches(&t);
    refused(&t, "the same element type and rank are expected");
}
END_TEST
START_TEST(branch_of_an_unknown_domain) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "Magic", "x");
    t.one.node.v[0]->domain = "who.knows";
    branch(&t.two, "Relu", "x");
    branches(&t);
    refused(&t, "who.knows");
}
END_TEST
START_TEST(single_elements_of_other_ranks) { /* these broadcast alike */
    Case t;
    begin(&t, 17);
    const int64_t axes[] = {0}, shape[] = {1};
    om_init(&t.m->g, "k", DT_INT64, 1, DIMS(1), axes, 8);
    om_init(&t.m->g, "s", DT_INT64, 1, DIMS(1), shape, 8);
    om_input(&t.m->g, "v", DT_FLOAT32, 1, DIMS(1), NULL);
    om_node(&t.one, "Squeeze", "v k", "o"), om_output(&t.one, "o", DT_NONE, -1, NULL, NULL);
    om_node(&t.two, "Reshape", "v s", "o"), om_output(&t.two, "o", DT_NONE, -1, NULL, NULL);
    om_node(&t.m->g, "Add", "i x", "y");
    Onnx__NodeProto *n = om_node(&t.m->g, "If", "c", "i");
    om_attr_g(t.r.a, n, "then_branch", &t.one);
    om_attr_g(t.r.a, n, "else_branch", &t.two);
    Onnx__NodeProto *add = t.m->g.node.v[0];
    t.m->g.node.v[0] = n, t.m->g.node.v[1] = add;
    Program *p = finish(&t);
    ck_assert_msg(p != NULL, "refused:\n%s", said_all(&t.r));
    run_free(&t.r);
}
END_TEST

/* ---- branches that the shapes do not allow */
static bool choose(Case *t, Program *p, bool c, float *y) {
    static const float x[] = {-1, 2, -3, 4, -5, 6};
    return program_interpret(&t->r.c, p, (const void *[]){x, &c}, (void *[]){y});
}
START_TEST(branch_that_cannot_be_taken) {
    Case t;
    float y[6] = {0};
    begin(&t, 17);
    branch(&t.one, "Relu", "x");
    om_node(&t.two, "MatMul", "x x", "m"), om_node(&t.two, "Neg", "m", "o"); /* float32[2,3] times itself */
    om_output(&t.two, "o", DT_NONE, -1, NULL, NULL);
    branches(&t);
    Program *p = finish(&t);
    ck_assert_msg(p != NULL, "refused:\n%s", said_all(&t.r));
    ck_said(&t.r, "(MatMul): warning");
    ck_said(&t.r, "a call whose condition takes it ends with E_SHAPE");
    ck_assert(choose(&t, p, true, y));
    ck_assert(y[0] == 0 && y[1] == 2 && y[5] == 6);
    ck_assert(!choose(&t, p, false, y));
    run_free(&t.r);
}
END_TEST
START_TEST(branches_that_cannot_be_taken) {
    Case t;
    begin(&t, 17);
    branch(&t.one, "MatMul", "x x");
    om_node(&t.two, "MatMul", "x x", "o"), om_output(&t.two, "o", DT_NONE, -1, NULL, NULL);
    branches(&t);
    refused(&t, "(MatMul): error");
}
END_TEST
/* y = c ? (d ? x x : Neg(x)) : Relu(x): only c and d together end the call. */
START_TEST(inner_branch_that_cannot_be_taken) {
    Case t;
    float y[6] = {0};
    bool d = true;
    begin(&t, 17);
    om_input(&t.m->g, "d", DT_BOOL, 0, NULL, NULL);
    OnnxGraph in[2] = {{.a = t.r.a}, {.a = t.r.a}};
    branch(&in[0], "MatMul", "x x");
    branch(&in[1], "Neg", "x");
    Onnx__NodeProto *n = om_node(&t.one, "If", "d", "o");
    om_attr_g(t.r.a, n, "then_branch", &in[0]);
    om_attr_g(t.r.a, n, "else_branch", &in[1]);
    om_output(&t.one, "o", DT_NONE, -1, NULL, NULL);
    branch(&t.two, "Relu", "x");
    branches(&t);
    Program *p = finish(&t);
    ck_assert_msg(p != NULL, "refused:\n%s", said_all(&t.r));
    static const float x[] = {-1, 2, -3, 4, -5, 6};
    for (int k = 0; k < 4; k++) {
        bool c = k & 1;
        d = k >> 1;
        bool ran = program_interpret(&t.r.c, p, (const void *[]){x, &c, &d}, (void *[]){y});
        ck_assert_msg(ran == (k < 3), "c = %d and d = %d", c, d);
        if (ran) ck_assert(y[0] == (c ? 1.0f : 0.0f));
    }
    run_free(&t.r);
}
END_TEST
/* What a branch asks of extents that only the run shows holds where it is taken: y = c ? x + w : Relu(x) with x: [n,1], w: [k,1]. */
START_TEST(check_of_a_branch) {
    Case t;
    static const float x[4] = {-1, 2, 3, 4}, w[4] = {1, 1, 1, 1};
    float y[16] = {0};
    int64_t got[2];
    DimBinding dims[] = {{.name = "n", .value = 4, .range = true, .lo = 2}, {.name = "k", .value = 4, .range = true, .lo = 2}};
    begin(&t, 17);
    t.m->g.in.n = 0;
    om_input(&t.m->g, "x", DT_FLOAT32, 2, DIMS(0, 1), (const char *[]){"n", NULL});
    om_input(&t.m->g, "w", DT_FLOAT32, 2, DIMS(0, 1), (const char *[]){"k", NULL});
    om_input(&t.m->g, "c", DT_BOOL, 0, NULL, NULL);
    branch(&t.one, "Add", "x w");
    branch(&t.two, "Relu", "x");
    branches(&t);
    t.r.o.dims.v = dims, t.r.o.dims.n = 2;
    Program *p = finish(&t);
    ck_assert_msg(p != NULL, "refused:\n%s", said_all(&t.r));
    for (int k = 0; k < 4; k++) {
        bool c = k & 1;
        const int64_t *in_dims[] = {DIMS(2, 1), k & 2 ? DIMS(3, 1) : DIMS(2, 1), NULL};
        int64_t *out_dims[] = {got};
        bool ran = program_interpret_dims(&t.r.c, p, (const void *[]){x, w, &c}, in_dims, (void *[]){y}, out_dims);
        ck_assert_msg(ran == (k < 3), "c = %d, k = %d", c, (int)in_dims[1][0]);
        if (ran) ck_assert(got[0] == 2 && y[1] == (c ? 3.0f : 2.0f));
    }
    run_free(&t.r);
}
END_TEST

/* ---- loops */
static void loop_body(Case *t, bool growing) {
    om_input(&t->one, "i", DT_INT64, 0, NULL, NULL);
    om_input(&t->one, "go", DT_BOOL, 0, NULL, NULL);
    om_input(&t->one, "s", DT_FLOAT32, -1, NULL, NULL);
    om_node(&t->one, "Identity", "go", "on");
    Onnx__NodeProto *n = om_node(&t->one, growing ? "Concat" : "Add", "s s", "s2");
    if (growing) om_attr_i(t->r.a, n, "axis", 0);
    om_output(&t->one, "on", DT_BOOL, 0, NULL, NULL);
    om_output(&t->one, "s2", DT_FLOAT32, -1, NULL, NULL);
}
START_TEST(loop_without_end) {
    Case t;
    begin(&t, 17);
    om_init(&t.m->g, "yes", DT_BOOL, 0, NULL, "\1", 1);
    loop_body(&t, false);
    om_attr_g(t.r.a, om_node(&t.m->g, "Loop", "- yes x", "y"), "body", &t.one);
    refused(&t, "the loop does not end");
}
END_TEST
START_TEST(loop_that_grows_without_end) { /* found before its state has used up the memory */
    Case t;
    begin(&t, 17);
    om_init(&t.m->g, "yes", DT_BOOL, 0, NULL, "\1", 1);
    loop_body(&t, true);
    om_attr_g(t.r.a, om_node(&t.m->g, "Loop", "- yes x", "y"), "body", &t.one);
    refused(&t, "(Concat)");
}
END_TEST
START_TEST(long_loop_that_grows) {
    Case t;
    begin(&t, 17);
    om_input(&t.m->g, "m", DT_INT64, 0, NULL, NULL);
    loop_body(&t, true);
    om_attr_g(t.r.a, om_node(&t.m->g, "Loop", "m c x", "y"), "body", &t.one);
    refused(&t, "keeps the types of its states");
}
END_TEST
/* s = x; 3000 times: s = s + x, y[i] = -s. More iterations than are unrolled: y is stored slice by slice. */
static Program *slices(Case *t, const char *in) {
    static const int64_t many = 3000;
    om_init(&t->m->g, "yes", DT_BOOL, 0, NULL, "\1", 1);
    om_init(&t->m->g, "m", DT_INT64, 0, NULL, &many, 8);
    om_input(&t->one, "i", DT_INT64, 0, NULL, NULL);
    om_input(&t->one, "go", DT_BOOL, 0, NULL, NULL);
    om_input(&t->one, "s", DT_FLOAT32, -1, NULL, NULL);
    om_node(&t->one, "Add", "s x", "s2"), om_node(&t->one, "Neg", "s2", "o");
    om_node(&t->one, "ReduceMax", "s2", "top"), om_attr_i(t->r.a, t->one.node.v[2], "keepdims", 0);
    om_node(&t->one, "Less", "top limit", "on");
    om_output(&t->one, "on", DT_BOOL, 0, NULL, NULL);
    om_output(&t->one, "s2", DT_FLOAT32, -1, NULL, NULL);
    om_output(&t->one, "o", DT_FLOAT32, -1, NULL, NULL);
    om_input(&t->m->g, "limit", DT_FLOAT32, 0, NULL, NULL);
    om_attr_g(t->r.a, om_node(&t->m->g, "Loop", in, "- y"), "body", &t->one);
    return finish(t);
}
static const float slice_x[] = {-1, 2, -3, 4, -5, 6};
START_TEST(loop_of_many_slices) {
    Case t;
    begin(&t, 17);
    Program *p = slices(&t, "m yes x");
    ck_assert_msg(p != NULL, "refused:\n%s", said_all(&t.r));
    float *y = malloc(3000 * 6 * sizeof *y);
    const float limits[] = {1e9f, 70, 1};
    const int64_t trips[] = {3000, 11, 1}; /* 6*(n + 1) reaches the limit */
    for (int k = 0; k < 3; k++) {
        bool c = true;
        int64_t dims[3];
        ck_assert(program_interpret_dims(&t.r.c, p, (const void *[]){slice_x, &c, &limits[k]}, NULL, (void *[]){y}, (int64_t *[]){dims}));
        ck_assert_int_eq(dims[0], trips[k]);
        for (int64_t i = 0; i < trips[k]; i++) ck_assert(y[i * 6 + 3] == (float)(-4 * (i + 2)));
    }
    free(y);
    run_free(&t.r);
}
END_TEST
START_TEST(loop_until_a_value) { /* no trip count, and its condition is true at first */
    Case t;
    float y[6], limit = 12000;
    bool c = true;
    begin(&t, 17);
    om_init(&t.m->g, "yes", DT_BOOL, 0, NULL, "\1", 1);
    om_input(&t.m->g, "limit", DT_FLOAT32, 0, NULL, NULL);
    loop_body(&t, false);
    t.one.node.n = 0;
    om_node(&t.one, "Add", "s x", "s2");
    om_node(&t.one, "ReduceMax", "s2", "top"), om_attr_i(t.r.a, t.one.node.v[1], "keepdims", 0);
    om_node(&t.one, "Less", "top limit", "on");
    om_attr_g(t.r.a, om_node(&t.m->g, "Loop", "- yes x", "y"), "body", &t.one);
    Program *p = finish(&t);
    ck_assert_msg(p != NULL, "refused:\n%s", said_all(&t.r));
    ck_assert(program_interpret(&t.r.c, p, (const void *[]){slice_x, &c, &limit}, (void *[]){y}));
    ck_assert(y[5] == 12000 && y[0] == -2000);
    run_free(&t.r);
}
END_TEST
/* Sums from the last row of x: [n,3] on, the first one in the last row of y. */
static void scan_rows(int64_t most, int64_t rows) {
    Case t;
    float x[9000], y[9000];
    int64_t dims[2], one = 1;
    DimBinding n = {.name = "n", .value = most, .range = true, .lo = 0};
    begin(&t, 17);
    t.m->g.in.n = 0;
    om_input(&t.m->g, "x", DT_FLOAT32, 2, DIMS(0, 3), (const char *[]){"n", NULL});
    om_init(&t.m->g, "z", DT_FLOAT32, 1, DIMS(3), (const float[]){0, 0, 0}, 12);
    om_input(&t.one, "s", DT_FLOAT32, 1, DIMS(3), NULL), om_input(&t.one, "e", DT_FLOAT32, 1, DIMS(3), NULL);
    om_node(&t.one, "Add", "s e", "s2"), om_node(&t.one, "Identity", "s2", "o");
    om_output(&t.one, "s2", DT_FLOAT32, 1, DIMS(3), NULL), om_output(&t.one, "o", DT_FLOAT32, 1, DIMS(3), NULL);
    Onnx__NodeProto *p = om_node(&t.m->g, "Scan", "z x", "- y");
    om_attr_g(t.r.a, p, "body", &t.one);
    om_attr_i(t.r.a, p, "num_scan_inputs", 1);
    om_attr_is(t.r.a, p, "scan_input_directions", 1, &one), om_attr_is(t.r.a, p, "scan_output_directions", 1, &one);
    t.r.o.dims.v = &n, t.r.o.dims.n = 1;
    Program *q = finish(&t);
    ck_assert_msg(q != NULL, "refused:\n%s", said_all(&t.r));
    for (int64_t i = 0; i < 3 * rows; i++) x[i] = (float)(i % 7);
    ck_assert(
        program_interpret_dims(&t.r.c, q, (const void *[]){x}, (const int64_t *[]){DIMS(rows, 3)}, (void *[]){y}, (int64_t *[]){dims}));
    ck_assert(dims[0] == rows && dims[1] == 3);
    float sum = 0;
    for (int64_t i = rows - 1; i >= 0; i--) sum += x[3 * i + 1], ck_assert(y[3 * i + 1] == sum);
    run_free(&t.r);
}
START_TEST(scan_of_run_time_length) { scan_rows(6, 4), scan_rows(6, 6), scan_rows(6, 0); }
END_TEST
START_TEST(scan_of_great_length) { scan_rows(3000, 3000), scan_rows(3000, 2); }
END_TEST
START_TEST(loop_body_of_too_few_outputs) {
    Case t;
    begin(&t, 17);
    loop_body(&t, false);
    t.one.out.n = 1;
    om_attr_g(t.r.a, om_node(&t.m->g, "Loop", "- c x", "y"), "body", &t.one);
    refused(&t, "the condition, the states and one per scan output are expected");
}
END_TEST
START_TEST(loop_body_of_too_few_inputs) {
    Case t;
    begin(&t, 17);
    loop_body(&t, false);
    om_attr_g(t.r.a, om_node(&t.m->g, "Loop", "- c x x", "y"), "body", &t.one);
    refused(&t, "the body takes 3 inputs; the node has 4");
}
END_TEST
static Onnx__NodeProto *scan(Case *t, int opset, const char *in) {
    begin(t, opset);
    om_input(&t->m->g, "w", DT_FLOAT32, 2, DIMS(4, 3), NULL);
    om_input(&t->one, "p", DT_FLOAT32, -1, NULL, NULL), om_input(&t->one, "q", DT_FLOAT32, -1, NULL, NULL);
    branch(&t->one, "Add", "p q");
    Onnx__NodeProto *n = om_node(&t->m->g, "Scan", in, "y");
    om_attr_g(t->r.a, n, "body", &t->one);
    return n;
}
START_TEST(scan_of_other_lengths) {
    Case t;
    Onnx__NodeProto *n = scan(&t, 17, "x w");
    om_attr_i(t.r.a, n, "num_scan_inputs", 2);
    refused(&t, "scan inputs have the lengths 2 and 4");
}
END_TEST
START_TEST(scan_of_too_many_inputs) {
    Case t;
    Onnx__NodeProto *n = scan(&t, 17, "x x");
    om_attr_i(t.r.a, n, "num_scan_inputs", 7);
    refused(&t, "num_scan_inputs is 7");
}
END_TEST
START_TEST(scan_of_opset_8_without_batch) {
    Case t;
    Onnx__NodeProto *n = scan(&t, 8, "- x w");
    om_attr_i(t.r.a, n, "num_scan_inputs", 2);
    refused(&t, "of equal and constant extents are expected");
}
END_TEST

Suite *control_suite(void) {
    Suite *s = suite_create("control");
    TCase *c = tcase_create("control");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, branch_without_capture);
    tcase_add_test(c, branch_is_missing);
    tcase_add_test(c, branches_with_an_operand);
    tcase_add_test(c, map_without_a_sequence);
    tcase_add_test(c, branches_of_other_types);
    tcase_add_test(c, branches_of_other_ranks);
    tcase_add_test(c, branch_of_an_unknown_domain);
    tcase_add_test(c, single_elements_of_other_ranks);
    tcase_add_test(c, branch_that_cannot_be_taken);
    tcase_add_test(c, branches_that_cannot_be_taken);
    tcase_add_test(c, inner_branch_that_cannot_be_taken);
    tcase_add_test(c, check_of_a_branch);
    tcase_add_test(c, loop_without_end);
    tcase_add_test(c, loop_that_grows_without_end);
    tcase_add_test(c, long_loop_that_grows);
    tcase_add_test(c, loop_of_many_slices);
    tcase_add_test(c, loop_until_a_value);
    tcase_add_test(c, scan_of_run_time_length);
    tcase_add_test(c, scan_of_great_length);
    tcase_add_test(c, loop_body_of_too_few_outputs);
    tcase_add_test(c, loop_body_of_too_few_inputs);
    tcase_add_test(c, scan_of_other_lengths);
    tcase_add_test(c, scan_of_too_many_inputs);
    tcase_add_test(c, scan_of_opset_8_without_batch);
    suite_add_tcase(s, c);
    return s;
}
