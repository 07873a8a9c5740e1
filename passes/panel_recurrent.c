/* SPDX-License-Identifier: Apache-2.0 */
/* panel_recurrent.c: for a target with vectors, RNN, GRU and LSTM with constant weights become one product of the inputs of all steps
 * and directions, which `panel` packs in turn, and RecurrentPanel (ir/ops/recurrent.c), whose recurrent weights are packed here.
 *
 *   y = LSTM(x, W, R, B)   --->   z = MatMul(x, W') + (Wb + Rb);   y = RecurrentPanel(z, panels of R) {kind=LSTM}
 */
#include "internal.h"
#include <string.h>

enum { X, W, R, B, LENS, H0, C0, P, OPERANDS };

static Tensor *operand(const Node *n, int i) { return i < n->nin ? n->in[i] : NULL; }
static Tensor *floats(Graph *g, const char *name, int rank, const int64_t *dim, float **v) {
    int64_t all = 1;
    for (int d = 0; d < rank; d++) all *= dim[d];
    *v = NEW_ARRAY(g->a, float, all);
    return tensor_const(g, arena_printf(g->a, "%s.%d", name, g->tensors.n), DT_FLOAT32, rank, dim, *v);
}
/* Gates [from, from + gates) of R, as [direction, panel][hidden][width]. */
static Tensor *pack(Graph *g, const Tensor *r, int64_t hidden, int64_t from, int64_t gates, int64_t width) {
    const float *src = r->data;
    int64_t dirs = r->type.dim[0], all = r->type.dim[1], cols = gates * hidden, panels = ceil_div(cols, width);
    float *to;
    Tensor *t = floats(g, arena_printf(g->a, "%s.panels", r->name), 3, (int64_t[]){dirs * panels, hidden, width}, &to);
    for (int64_t d = 0; d < dirs; d++)
        for (int64_t c = 0; c < cols; c++)
            for (int64_t k = 0; k < hidden; k++)
                to[((d * panels + c / width) * hidden + k) * width + c % width] = src[(d * all + from * hidden + c) * hidden + k];
    return t;
}
static Tensor *product(Graph *g, Node *n, const Tensor *w) { /* of all inputs with W' */
    const float *src = w->data;
    Type of = n->in[X]->type;
    int64_t cols = w->type.dim[0] * w->type.dim[1], depth = w->type.dim[2];
    float *to;
    Tensor *t = floats(g, arena_printf(g->a, "%s.turned", w->name), 2, (int64_t[]){depth, cols}, &to);
    for (int64_t c = 0; c < cols; c++)
        for (int64_t k = 0; k < depth; k++) to[k * cols + c] = src[c * depth + k];
    Tensor *z = build(g, n, "MatMul", 2, (Tensor *[]){n->in[X], t});
    of.dim[2] = cols; /* steps and samples may be known at run time only */
    z->type = of;
    return z;
}
/* The biases of a gate meet in one sum, but for the one that GRU scales: that is *scaled. */
static Tensor *add_bias(Graph *g, Node *n, Tensor *z, int64_t hidden, int64_t gates, bool lbr, Tensor **scaled) {
    const Tensor *b = operand(n, B);
    *scaled = NULL;
    if (!b) return z;
    const float *src = b->data;
    int64_t dirs = b->type.dim[0], cols = gates * hidden;
    float *to, *apart = NULL;
    Tensor *t = floats(g, arena_printf(g->a, "%s.sum", b->name), 1, (int64_t[]){dirs * cols}, &to);
    if (lbr) *scaled = floats(g, arena_printf(g->a, "%s.scaled", b->name), 2, (int64_t[]){dirs, hidden}, &apart);
    for (int64_t d = 0; d < dirs; d++)
        for (int64_t c = 0; c < cols; c++) {
            float own = src[d * 2 * cols + c], rec = src[(d * 2 + 1) * cols + c];
            bool alone = lbr && c >= (gates - 1) * hidden;
            to[d * cols + c] = alone ? own : own + rec;
            if (alone) apart[d * hidden + c - (gates - 1) * hidden] = rec;
        }
    Tensor *y = build(g, n, "Add", 2, (Tensor *[]){z, t});
    y->type = z->type;
    return y;
}
static bool constant(const Tensor *t) { return is_const(t) && t->type.dt == DT_FLOAT32 && tensor_elements(t) > 0; }
bool panel_recurrent(Run *r, Node *n) {
    Graph *g = r->g;
    bool gru = op_is(n, "GRU"), lstm = op_is(n, "LSTM");
    if (!gru && !lstm && !op_is(n, "RNN")) return false;
    if (!constant(operand(n, W)) || !constant(operand(n, R)) || (operand(n, B) && !constant(operand(n, B)))) return false;
    if (n->in[X]->type.dt != DT_FLOAT32 || tensor_elements(n->in[X]) == 0) return false;
    const OpDef *op = op_find("quern", "RecurrentPanel");
    int extra = op_attr_index(op, "extra");
    bool lbr = gru && attr_i(n, extra), apart = gru && !lbr;
    int64_t hidden = n->in[R]->type.dim[2], gates = n->in[R]->type.dim[1] / hidden, own = apart ? 2 : gates;
    bool batch_first = attr_i(n, op_attr_index(op, "layout")) != 0;
    int64_t batch = n->in[X]->type.dim[!batch_first];
    PanelChoice c = panel_equal(r->o->target, batch, own * hidden, hidden), last = panel_equal(r->o->target, batch, hidden, hidden);
    Tensor *scaled, *z = product(g, n, n->in[W]);
    z = add_bias(g, n, z, hidden, gates, lbr, &scaled);
    Tensor *in[OPERANDS] = {z, pack(g, n->in[R], hidden, 0, own, c.width), apart ? pack(g, n->in[R], hidden, 2, 1, last.width) : NULL,
                            scaled};
    for (int i = LENS; i < OPERANDS; i++) in[i] = operand(n, i);
    Node *k = node_new(g, op, n, n->loc, OPERANDS, in, n->nout);
    for (int i = 0; i <= extra && i < n->op->nattr; i++) k->attr[i] = n->attr[i]; /* both rows begin with the same ones */
    node_set_s(k, op_attr_index(op, "kind"), n->op->name);
    if (lstm) node_set_i(k, op_attr_index(op, "quantized"), attr_i(n, op_attr_index(n->op, "quantized")));
    node_set_i(k, op_attr_index(op, "hidden_size"), hidden);
    node_set_i(k, op_attr_index(op, "rows"), apart ? min_i64(c.block, last.block) : c.block);
    node_set_i(k, op_attr_index(op, "lanes"), c.lanes);
    node_set_i(k, op_attr_index(op, "chains"), panel_chains(r));
    for (int i = 0; i < n->nout; i++) {
        Tensor *old = n->out[i];
        if (!old) continue;
        Tensor *y = tensor_new(g, NULL, old->type.dt, old->type.rank, old->type.dim);
        y->type = old->type;
        node_set_out(k, i, y);
        tensor_replace(g, old, y, true);
        y->name = old->name;
        old->name = arena_printf(g->a, "t%d", old->id);
    }
    node_remove(g, n);
    return true;
}
