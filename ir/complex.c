/* SPDX-License-Identifier: Apache-2.0 */
/* complex.c: complex numbers, which ONNX only moves. Inside the graph one is the output of a node `Complex` of two tensors of floats; what
 * moves its elements is done to both while `fold` walks. At the model's interface the two stand side by side.
 *
 *   y = Transpose(x: complex64[2,3])   --->   r = ComplexPart(x) {part=0}; i = ComplexPart(x) {part=1}
 *                                             y = Complex(Transpose(r), Transpose(i))
 */
#include "list.h"
#include <string.h>

static bool is_complex(const Tensor *t) { return t && !t->type.wrap && dtype_info[t->type.dt].cls == CLS_CPLX; }
static DType part_type(DType t) { return t == DT_COMPLEX64 ? DT_FLOAT32 : DT_FLOAT64; }
static bool standard(const Node *n, const char *name) { return !*n->op->domain && strcmp(n->op->name, name) == 0; }
static bool ours(const Node *n, const char *name) { return *n->op->domain && strcmp(n->op->name, name) == 0; }

static Tensor *constant_part(Graph *g, const Tensor *t, int part) {
    size_t size = (size_t)dtype_info[t->type.dt].bits / 16, n = (size_t)tensor_elements(t);
    char *v = arena_alloc(g->a, n * size + 16);
    for (size_t i = 0; i < n; i++) memcpy(v + i * size, (const char *)t->data + (2 * i + (size_t)part) * size, size);
    return tensor_const(g, NULL, part_type(t->type.dt), t->type.rank, t->type.dim, v);
}
static Tensor *part_of(Graph *g, Node *before, Tensor *t, int part) {
    if (!is_complex(t)) return t;
    if (t->data) return constant_part(g, t, part);
    if (t->def && ours(t->def, "Complex")) return t->def->in[part];
    Node *n = node_new(g, op_find("quern", "ComplexPart"), before, before->loc, 1, &t, 1);
    node_set_i(n, 0, part);
    node_set_out(n, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    return n->out[0];
}
static Tensor *joined(Graph *g, Node *before, Tensor *re, Tensor *im) {
    Node *n = node_new(g, op_find("quern", "Complex"), before, before->loc, 2, (Tensor *[]){re, im}, 1);
    node_set_out(n, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    return n->out[0];
}
static Node *copy_node(Graph *g, Node *n, int nin, Tensor *const *in, int nout) {
    Node *m = node_new(g, n->op, n, n->loc, nin, in, nout);
    memcpy(m->attr, n->attr, sizeof(Attr) * (size_t)n->op->nattr);
    for (int i = 0; i < nout; i++) node_set_out(m, i, tensor_new(g, NULL, DT_NONE, -1, NULL));
    return m;
}
static void hand_over(Graph *g, Node *n, int i, Tensor *t) {
    if (i < n->nout && n->out[i]) tensor_replace(g, n->out[i], t, true);
}

static void on_both(Graph *g, Node *n) {
    Node *m[2];
    Tensor **in = NEW_ARRAY(g->a, Tensor *, n->nin + 1);
    for (int part = 0; part < 2; part++) {
        for (int i = 0; i < n->nin; i++) in[i] = part_of(g, n, n->in[i], part);
        m[part] = copy_node(g, n, n->nin, in, n->nout);
    }
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) hand_over(g, n, i, joined(g, n, m[0]->out[i], m[1]->out[i]));
}
static void on_shape(Graph *g, Node *n) {
    Tensor **in = NEW_ARRAY(g->a, Tensor *, n->nin + 1);
    for (int i = 0; i < n->nin; i++) in[i] = part_of(g, n, n->in[i], 0);
    Node *m = copy_node(g, n, n->nin, in, n->nout);
    for (int i = 0; i < n->nout; i++) hand_over(g, n, i, m->out[i]);
}
/* States of a loop: two for one. What enters the loop and what it becomes stand in the same places of LoopBegin and LoopEnd. */
static void in_loop(Graph *g, Node *n) {
    Tensor **in = NEW_ARRAY(g->a, Tensor *, 2 * n->nin + 1);
    int k = 0, nout = 0;
    for (int i = 0; i < n->nin; i++) {
        in[k++] = part_of(g, n, n->in[i], 0);
        if (is_complex(n->in[i])) in[k++] = part_of(g, n, n->in[i], 1);
    }
    for (int i = 0; i < n->nout; i++) nout += is_complex(n->in[i]) ? 2 : 1;
    Node *m = copy_node(g, n, k, in, nout);
    for (int i = 0, o = 0; i < n->nout; i++) {
        bool two = is_complex(n->in[i]);
        if (n->out[i]) hand_over(g, n, i, two ? joined(g, n, m->out[o], m->out[o + 1]) : m->out[o]);
        o += two ? 2 : 1;
    }
}
static void nonzero(Graph *g, Node *n) { /* one of the two is not zero */
    Tensor *part[2];
    for (int i = 0; i < 2; i++) {
        part[i] = part_of(g, n, n->in[0], i);
        Tensor *zero = tensor_scalar(g, part_type(n->in[0]->type.dt), 0);
        part[i] = build(g, n, "Equal", 2, (Tensor *[]){part[i], zero});
    }
    Tensor *none = build(g, n, "And", 2, part), *some = build(g, n, "Not", 1, &none);
    hand_over(g, n, 0, build(g, n, "NonZero", 1, &some));
}
/* Unique, which compares pairs (the real parts first), and Compress: how many they find is one number. */
static void on_pairs(Graph *g, Node *n) {
    int axis = op_attr_index(n->op, "axis");
    int64_t last = -1, shape[] = {-1, 2};
    Tensor *part[2], *y[2];
    for (int i = 0; i < 2; i++) part[i] = build(g, n, "Unsqueeze", 2, (Tensor *[]){part_of(g, n, n->in[0], i), tensor_i64s(g, &last, 1)});
    Tensor *x = build(g, n, "Concat", 2, part);
    node_set_i(x->def, op_attr_index(x->def->op, "axis"), n->in[0]->type.rank);
    if (!attr_has(n, axis)) x = build(g, n, "Reshape", 2, (Tensor *[]){x, tensor_i64s(g, shape, 2)});
    Node *u = copy_node(g, n, n->nin, n->in, n->nout);
    node_set_in(u, 0, x);
    int64_t k = attr_has(n, axis) ? attr_i(n, axis) : 0;
    node_set_i(u, axis, k < 0 ? k + n->in[0]->type.rank : k);
    for (int64_t i = 0; i < 2; i++) {
        y[i] = build(g, n, "Gather", 2, (Tensor *[]){u->out[0], tensor_i64s(g, &i, -1)});
        node_set_i(y[i]->def, op_attr_index(y[i]->def->op, "axis"), -1);
    }
    hand_over(g, n, 0, joined(g, n, y[0], y[1]));
    for (int i = 1; i < n->nout; i++) hand_over(g, n, i, u->out[i]);
}

static const char *const moves[] = {"Identity",      "Where",         "Reshape",   "Flatten",        "Squeeze",
                                    "Unsqueeze",     "Expand",        "Concat",    "Split",          "Slice",
                                    "Pad",           "Transpose",     "Tile",      "Trilu",          "Gather",
                                    "OneHot",        "GatherND",      "Resize",    "GatherElements", "DepthToSpace",
                                    "SpaceToDepth",  "Select",        "Col2Im",    "GridSample",     "ReverseSequence",
                                    "CenterCropPad", "TensorScatter", "ExpandDims"};
/* Writing at places, and adding there, is the same for both; a product or the larger of two is not. */
static bool scatters(const Node *n) {
    int k = op_attr_index(n->op, "reduction");
    bool is = strcmp(n->op->name, "ScatterElements") == 0 || strcmp(n->op->name, "ScatterND") == 0;
    return is && (strcmp(attr_s(n, k), "none") == 0 || strcmp(attr_s(n, k), "add") == 0);
}
bool complex_node(Ctx *c, Graph *g, Node *n, bool *done) {
    int at = -1;
    *done = false;
    for (int i = 0; i < n->nin && at < 0; i++)
        if (is_complex(n->in[i])) at = i;
    if (at < 0 || (n->op->flags & OPF_LISTS) || ours(n, "Complex") || ours(n, "ComplexPart") || ours(n, "ListPack")) return true;
    *done = true;
    if (ours(n, "LoopBegin") || ours(n, "LoopEnd")) return in_loop(g, n), true;
    if (standard(n, "NonZero")) return nonzero(g, n), true;
    if (standard(n, "Unique") || standard(n, "Compress")) return on_pairs(g, n), true;
    bool ok = scatters(n), shape = strcmp(n->op->name, "Shape") == 0 || strcmp(n->op->name, "Size") == 0 || strstr(n->op->name, "Random");
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) ok |= strcmp(n->op->name, moves[i]) == 0;
    if (ok) return on_both(g, n), true;
    if (shape) return on_shape(g, n), true;
    *done = false;
    return diag_error(c->d, n->loc, "input %d '%s' is %s, which this operator does not support", at, n->in[at]->name,
                      dtype_name(n->in[at]->type.dt));
}

/* ---- the two operators */
bool infer_complex(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (!types_same_shape(t, &x->n->in[1]->type)) return infer_error(x, "the two parts have different shapes");
    return infer_like(x, 0, t->dt == DT_FLOAT64 ? DT_COMPLEX128 : DT_COMPLEX64, t);
}
bool infer_complex_part(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (dtype_info[t->dt].cls != CLS_CPLX) return infer_error(x, "%s has no parts", dtype_name(t->dt));
    return infer_like(x, 0, part_type(t->dt), t);
}
/* The buffer of a complex tensor is a matrix of two columns (lower_tensor). */
static Expr *const *part_index(Lower *L, const Tensor *t, Expr *const *idx, int part) {
    Expr **e = NEW_ARRAY(L->a, Expr *, 2);
    e[0] = t->type.rank ? idx[0] : e_int(L->a, 0), e[1] = e_int(L->a, part);
    for (int i = 1; i < t->type.rank; i++) e[0] = e_add(L->a, e_mul(L->a, e[0], lower_dim(L, &t->type, i)), idx[i]);
    return e;
}
Expr *compute_complex_part(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    return e_load(L->a, lower_tensor(L, n->in[0]), part_index(L, n->in[0], idx, (int)attr_i(n, 0) != 0));
}
bool lower_complex(Lower *L, Node *n) {
    Expr *idx[QN_MAX_RANK];
    const Type *t = &n->out[0]->type;
    Buf *b = lower_tensor(L, n->out[0]);
    lower_loops(L, NULL, t, idx);
    for (int part = 0; part < 2; part++) lower_put(L, b, part_index(L, n->out[0], idx, part), lower_load(L, n, part, idx), RED_NONE);
    lower_ends(L, t->rank);
    return true;
}
