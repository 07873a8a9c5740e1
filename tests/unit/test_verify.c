/* SPDX-License-Identifier: Apache-2.0 */
/* test_verify.c: each thing the graph verifier promises is broken once, and must be reported in words that name it. */
#include "ir/fusion.h"
#include <check.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Graph *g;
    Tensor *x, *w, *p, *q, *y; /* p = Relu(x), q = Add(p, w), y = LeakyRelu(q) */
    Node *relu, *add, *leaky;
} Case;
static const char text[] = "graph g(x: float32[4]) -> (y)\n"
                           "  w: float32[4] = [1, 2, 3, 4]\n"
                           "  p: float32[4] = Relu(x)\n"
                           "  q: float32[4] = Add(p, w)\n"
                           "  y: float32[4] = LeakyRelu(q)\n";
static void case_open(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
    t->g = graph_parse(&t->c, "v.qir", text);
    ck_assert(t->g != NULL);
    t->relu = t->g->first, t->add = t->relu->next, t->leaky = t->add->next;
    t->x = t->relu->in[0], t->p = t->relu->out[0], t->w = t->add->in[1], t->q = t->add->out[0], t->y = t->leaky->out[0];
    ck_assert(graph_verify(&t->c, t->g, true) && t->d.errors == 0);
}

/* ---- ways to break it */
static void swap_order(Case *t) { node_move_before(t->g, t->add, t->relu); }
static void define_twice(Case *t) { t->leaky->out[0] = t->q; }
static void define_input(Case *t) { node_set_out(t->leaky, 0, t->x); }
static void define_constant(Case *t) { t->y->data = t->w->data; }
static void wrong_def(Case *t) { t->q->def = t->relu; }
static void wrong_def_index(Case *t) { t->q->def_index = 1; }
static void no_def(Case *t) { node_set_in(t->add, 0, tensor_new(t->g, "loose", DT_FLOAT32, 1, (int64_t[]){4})); }
static void foreign_operand(Case *t) {
    Graph *other = graph_new(t->a, "other");
    node_set_in(t->add, 0, tensor_new(other, "alien", DT_FLOAT32, 1, (int64_t[]){4}));
}
static void operand_behind_the_list(Case *t) { t->add->in[0] = t->x; }
static void absent_operand(Case *t) { node_set_in(t->add, 1, NULL); }
static void use_count(Case *t) { t->p->nuse = 2; }
static void use_back_link(Case *t) { t->p->uses->prev = t->p->uses; }
static void use_circle(Case *t) { t->p->uses->next = t->p->uses; }
static void use_lost(Case *t) { t->p->uses = NULL, t->p->nuse = 0; }
static void use_of_removed_node(Case *t) {
    t->y->is_output = false, t->g->out.v[0] = t->q, t->q->is_output = true;
    t->g->last = t->add, t->add->next = NULL, t->g->nnode--;
}
static void too_many_operands(Case *t) { t->relu = node_new(t->g, t->relu->op, NULL, NO_LOC, 2, (Tensor *[]){t->x, t->x}, 1); }
static void too_few_operands(Case *t) { t->add->nin = 1, node_set_in(t->relu, 0, t->x); }
static void too_many_outputs(Case *t) { node_new(t->g, t->relu->op, NULL, NO_LOC, 1, (Tensor *[]){t->x}, 2); }
static void attr_kind(Case *t) { node_set_i(t->leaky, 0, 1); }
static void attr_missing(Case *t) { node_new(t->g, op_find("", "Concat"), NULL, NO_LOC, 1, (Tensor *[]){t->x}, 1); }
static void attr_without_value(Case *t) {
    Node *n = node_new(t->g, op_find("", "Transpose"), NULL, NO_LOC, 1, (Tensor *[]){t->x}, 1);
    n->attr[0] = (Attr){.kind = ATTR_INTS, .n = 1};
}
static void attr_tensor_without_data(Case *t) {
    Node *n = node_new(t->g, op_find("", "ConstantOfShape"), NULL, NO_LOC, 1, (Tensor *[]){t->x}, 1);
    n->attr[0] = (Attr){.kind = ATTR_TENSOR};
}
static void untyped(Case *t) { t->q->type.dt = DT_NONE; }
static void unknown_extent(Case *t) { t->q->type.dim[0] = DIM_UNKNOWN; }
static void negative_extent(Case *t) { t->q->type.dim[0] = -7; }
static void bad_rank(Case *t) { t->q->type.rank = 13; }
static void huge(Case *t) { t->q->type.rank = 2, t->q->type.dim[0] = t->q->type.dim[1] = INT64_MAX; }
static void constant_without_size(Case *t) { t->w->type.dim[0] = DIM_UNKNOWN; }
static void wrong_id(Case *t) { t->q->id = 0; }
static void node_list_back(Case *t) { t->leaky->prev = t->relu; }
static void node_list_circle(Case *t) { t->leaky->next = t->leaky, t->leaky->prev = t->leaky; }
static void node_count(Case *t) { t->g->nnode = 4; }
static void node_last(Case *t) { t->g->last = t->add; }
static void input_unmarked(Case *t) { t->x->is_input = false; }
static void input_twice(Case *t) { vec_push(t->a, &t->g->in, t->x); }
static void output_unmarked(Case *t) { t->y->is_output = false; }
static void output_marked(Case *t) { t->p->is_output = true; }
static void output_undefined(Case *t) {
    Tensor *z = tensor_new(t->g, "z", DT_FLOAT32, 1, (int64_t[]){4});
    z->is_output = true;
    vec_push(t->a, &t->g->out, z);
}
static void kernel_split(Case *t) { t->relu->kernel = t->leaky->kernel = 1, t->leaky->role = ROLE_POINT; }
static void kernel_without_anchor(Case *t) { t->relu->kernel = 1, t->relu->role = ROLE_POINT; }
static void kernel_two_anchors(Case *t) { t->relu->kernel = t->add->kernel = 1; }
static void kernel_role(Case *t) { t->relu->kernel = 1, t->relu->role = 9; }
static void set_view(Case *t, Tensor *v, Tensor *base, int64_t offset, int64_t stride) {
    v->view = NEW(t->a, View);
    *v->view = (View){base, offset, {stride}};
}
static void view_without_base(Case *t) { set_view(t, t->p, NULL, 0, 1); }
static void view_of_view(Case *t) { set_view(t, t->p, t->q, 0, 1), set_view(t, t->q, t->y, 0, 1); }
static void view_below(Case *t) { set_view(t, t->p, t->y, 2, -1); }
static void view_above(Case *t) { set_view(t, t->p, t->y, 0, 2); }
static void view_overflow(Case *t) { set_view(t, t->p, t->y, 0, INT64_MAX); }

static const struct {
    void (*damage)(Case *);
    const char *says;
} rows[] = {
    {swap_order, "v.qir: 4: error: operand 0 'p' is used before its definition"},
    {define_twice, "tensor 'q' is defined twice"},
    {define_input, "output 0 'x' is also a graph input"},
    {define_constant, "output 0 'y' is also a constant"},
    {wrong_def, "output 0 'q' names another definition"},
    {wrong_def_index, "output 0 'q' names another definition"},
    {no_def, "operand 0 'loose' is never defined"},
    {foreign_operand, "operand 0 'alien' is not in the graph's list of tensors"},
    {operand_behind_the_list, "the use list of tensor 'p' is damaged"},
    {absent_operand, "operand 1 of Add is absent; at least 2 are needed"},
    {use_count, "tensor 'p' has 1 uses in its list and counts 2"},
    {use_back_link, "the use list of tensor 'p' is damaged"},
    {use_circle, "the use list of tensor 'p' is damaged"},
    {use_lost, "uses are listed and the nodes have"},
    {use_of_removed_node, "4 uses are listed and the nodes have 3 operands"},
    {too_many_operands, "Relu has 2 operands; expected 1 to 1"},
    {too_few_operands, "Add has 1 operands; expected 2 to 2"},
    {too_many_outputs, "Relu has 2 outputs; expected 1 to 1"},
    {attr_kind, "attribute 'alpha' of LeakyRelu is an int; expected a float"},
    {attr_missing, "Concat needs the attribute 'axis' (an int)"},
    {attr_without_value, "attribute 'perm' of Transpose has no value"},
    {attr_tensor_without_data, "attribute 'value' of ConstantOfShape holds no tensor data"},
    {untyped, "the type ?[4] of tensor 'q' is not fully known"},
    {unknown_extent, "the type float32[?] of tensor 'q' is not fully known"},
    {negative_extent, "tensor 'q' has the negative extent -7 on axis 0"},
    {bad_rank, "tensor 'q' has element type 1 and rank 13"},
    {huge, "the size of tensor 'q'"},
    {constant_without_size, "the type float32[?] of tensor 'w' is not fully known"},
    {wrong_id, "has the id 0"},
    {node_list_back, "the node list is damaged at node 3 of 3"},
    {node_list_circle, "the node list is damaged"},
    {node_count, "4 nodes are counted and 3 are in the list"},
    {node_last, "the node list is damaged"},
    {input_unmarked, "graph input 'x' is not marked as one"},
    {input_twice, "tensor 'x' is defined twice"},
    {output_unmarked, "graph output 'y' is not marked as one"},
    {output_marked, "tensor 'p' is marked as a graph output and is none"},
    {output_undefined, "graph output 'z' has no definition"},
    {kernel_split, "kernel 1 is not in one piece"},
    {kernel_without_anchor, "kernel 1 has 0 anchors; expected 1"},
    {kernel_two_anchors, "kernel 1 has 2 anchors; expected 1"},
    {kernel_role, "role 9 in kernel 1 is unknown"},
    {view_without_base, "the view 'p' has a base that is not in the graph"},
    {view_of_view, "the base 'q' of view 'p' is itself a view"},
    {view_below, "the view 'p' reaches from element -1 to 2 of its base 'y', which has 4"},
    {view_above, "the view 'p' reaches from element 0 to 6 of its base 'y', which has 4"},
    {view_overflow, "the view 'p' reaches from element"},
};
START_TEST(test_damage) {
    Case t;
    case_open(&t);
    rows[_i].damage(&t);
    ck_assert(!graph_verify(&t.c, t.g, true));
    Text said = {0};
    for (int i = 0; i < t.d.list.n; i++) diag_format(&t.d.list.v[i], &said), text_puts(&said, "\n");
    ck_assert_msg(strstr(said.s, rows[_i].says) != NULL, "said:\n%snot: %s", said.s, rows[_i].says);
    text_free(&said);
    arena_free(t.a);
}
END_TEST
START_TEST(test_allowed) { /* what must not be reported */
    Case t;
    case_open(&t);
    t.q->type = (Type){.rank = -1}; /* before inference */
    ck_assert(graph_verify(&t.c, t.g, false));
    type_set(&t.q->type, DT_FLOAT32, 1, (int64_t[]){4});
    tensor_new(t.g, "unused", DT_NONE, -1, NULL); /* left behind by a rewrite */
    vec_push(t.a, &t.g->out, t.w);                /* a constant as output */
    t.w->is_output = true;
    set_view(&t, t.p, t.y, 3, -1);
    t.relu->kernel = 7, t.add->kernel = 2, t.leaky->kernel = 2, t.leaky->role = ROLE_POINT;
    ck_assert(graph_verify(&t.c, t.g, true));
    Graph *empty = graph_new(t.a, "empty");
    ck_assert(graph_verify(&t.c, empty, true));
    arena_free(t.a);
}
END_TEST
START_TEST(test_all_are_reported) {
    Case t;
    case_open(&t);
    attr_kind(&t), untyped(&t), use_count(&t);
    ck_assert(!graph_verify(&t.c, t.g, true));
    ck_assert_int_eq(t.d.errors, 3);
    arena_free(t.a);
}
END_TEST

Suite *verify_suite(void) {
    Suite *s = suite_create("verify");
    TCase *c = tcase_create("graph");
    tcase_add_loop_test(c, test_damage, 0, sizeof rows / sizeof *rows);
    tcase_add_test(c, test_allowed);
    tcase_add_test(c, test_all_are_reported);
    suite_add_tcase(s, c);
    return s;
}
