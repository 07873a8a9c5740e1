/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c: for a target with vectors, products with a constant matrix become MatMulPanel (ir/ops/panel.c): the matrix is packed
 * here into panels of some vectors of columns, so that each step of the innermost loop reads one line of a panel from its start
 * to its end. Width of the panels and height of the blocks of rows come from the number of vector registers.
 *
 *   y = MatMul(x, w: float32[768,1000])   --->   y = MatMulPanel(x, float32[15,768,64], float32[1,768,48]) {cols=1000}
 */
#include "internal.h"
#include <string.h>

/* Rows of a block: sums, the vectors of a panel's line and one broadcast fill the registers, and few rows are left over. */
static int64_t block_rows(int64_t regs, int64_t rows, int64_t vectors) {
    int64_t most = (regs - 1 - vectors) / vectors, blocks;
    if (most < 1) most = 1;
    if (rows <= most) return rows;
    blocks = ceil_div(rows, most);
    return ceil_div(rows, blocks);
}
/* One row: as many sums as the adders need, lest they wait; a step of the depth costs a broadcast more. */
static int64_t most_vectors(int64_t regs, int64_t rows) { return rows == 1 ? PANEL_CHAINS : regs >= 32 ? 4 : 2; }
/* The time that columns take, in units of one vector at full speed: one vector wide blocks are bound by their loads. */
static double panel_cost(int64_t rows, int64_t vectors) {
    if (rows == 1) return (double)vectors + 1;
    return vectors == 1 ? 1.33 : vectors == 2 ? 2.04 : (double)vectors;
}
/* The narrower last panel takes the columns that do not fill one of the others. */
static PanelChoice choose(const Target *t, int64_t rows, int64_t cols) {
    PanelChoice best = {.lanes = target_lanes(t, 32)};
    double least = 0;
    int64_t total = ceil_div(cols, best.lanes);
    for (int64_t v = most_vectors(t->vector_regs, rows); v >= 1; v--) {
        int64_t full = total / v, rest = total % v;
        double cost = (double)full * panel_cost(rows, v) + (rest ? panel_cost(rows, rest) : 0);
        if (cols < v * best.lanes && total < v) continue;
        if (best.width && cost >= least) continue;
        least = cost;
        bool ragged = cols % best.lanes && rest == 0 && full > 1; /* the last panel alone has columns that are none */
        best.width = v * best.lanes;
        best.tail = ragged ? best.width : rest * best.lanes;
        best.block = block_rows(t->vector_regs, rows, v);
    }
    return best;
}
PanelChoice panel_equal(const Target *t, int64_t rows, int64_t cols) {
    PanelChoice best = {.lanes = target_lanes(t, 32)};
    double least = 0;
    for (int64_t v = most_vectors(t->vector_regs, rows); v >= 1; v--) {
        double cost = (double)ceil_div(cols, v * best.lanes) * panel_cost(rows, v);
        if (best.width && cost >= least) continue;
        least = cost;
        best.width = v * best.lanes, best.block = block_rows(t->vector_regs, rows, v);
    }
    return best;
}

/* Columns [from, from + panels*width) of w, zeros behind the last one, as [panels][depth][width]. */
static Tensor *pack(Graph *g, const Tensor *w, const char *what, int64_t from, int64_t panels, int64_t width) {
    int64_t depth = w->type.dim[0], cols = w->type.dim[1], dim[3] = {panels, depth, width}, all;
    if (!mul_ok(panels * width, depth, &all)) return NULL;
    float *to = NEW_ARRAY(g->a, float, all);
    const char *src = w->data;
    for (int64_t p = 0; p < panels; p++)
        for (int64_t k = 0; k < depth; k++) {
            int64_t c = from + p * width, n = min_i64(width, cols - c);
            memcpy(to + (p * depth + k) * width, src + (size_t)(k * cols + c) * sizeof *to, (size_t)n * sizeof *to);
        }
    return tensor_const(g, arena_printf(g->a, "%s.%s%d", w->name, what, g->tensors.n), w->type.dt, 3, dim, to);
}

typedef struct Packed { /* what was made of a constant that several products share */
    PanelChoice c;
    Tensor *w, *tail;
} Packed;

static bool packable(const Tensor *w) {
    return is_const(w) && w->type.dt == DT_FLOAT32 && w->type.rank == 2 && w->type.dim[0] > 0 && w->type.dim[1] >= 4;
}
static void replace(Run *r, Map *done, Node *n, Tensor *x, const Tensor *w) {
    Graph *g = r->g;
    const Type *o = &n->out[0]->type;
    int64_t rows = 1, cols = w->type.dim[1];
    for (int d = 0; d < o->rank - 1; d++) rows = max_i64(rows, o->dim[d]);
    if (o->rank >= 2 && o->dim[o->rank - 2] >= 6) rows = o->dim[o->rank - 2];
    PanelChoice c = choose(r->o->target, rows, cols);
    const char *key = arena_printf(r->tmp, "%d %lld %lld", w->id, (long long)c.width, (long long)c.tail);
    Packed *p = map_get(done, key);
    if (!p) {
        p = NEW(r->tmp, Packed);
        int64_t panels = c.tail ? (cols - 1) / c.width : ceil_div(cols, c.width);
        p->w = pack(g, w, "panels", 0, panels, c.width);
        p->tail = c.tail && p->w ? pack(g, w, "panel", panels * c.width, 1, c.tail) : NULL;
        map_set(done, key, p);
    }
    if (!p->w || (c.tail && !p->tail)) return;
    const OpDef *op = op_find("quern", "MatMulPanel");
    Tensor *in[3] = {x, p->w, p->tail};
    Node *k = node_new(g, op, n, n->loc, p->tail ? 3 : 2, in, 1);
    node_set_i(k, op_attr_index(op, "cols"), cols);
    node_set_i(k, op_attr_index(op, "rows"), c.block);
    node_set_i(k, op_attr_index(op, "lanes"), c.lanes);
    node_set_i(k, op_attr_index(op, "chains"), PANEL_CHAINS);
    Tensor *y = tensor_new(g, NULL, o->dt, o->rank, o->dim), *old = n->out[0];
    node_set_out(k, 0, y);
    if (op_is(n, "Gemm") && n->nin > 2 && n->in[2]) {
        Node *add = node_new(g, op_find("", "Add"), n, n->loc, 2, (Tensor *[]){y, n->in[2]}, 1);
        y = tensor_new(g, NULL, o->dt, o->rank, o->dim);
        node_set_out(add, 0, y);
    }
    tensor_replace(g, old, y, true);
    y->name = old->name;
    old->name = arena_printf(g->a, "t%d", old->id);
    node_remove(g, n);
}
static float attr_float(const Node *n, const char *name) { return attr_f(n, op_attr_index(n->op, name)); }
static bool plain_gemm(const Node *n) {
    if (!op_is(n, "Gemm") || attr_i(n, op_attr_index(n->op, "transA")) || attr_i(n, op_attr_index(n->op, "transB"))) return false;
    return attr_float(n, "alpha") == 1 && (n->nin < 3 || !n->in[2] || attr_float(n, "beta") == 1);
}
bool pass_panel(Run *r) {
    if (!r->o || !r->o->target || r->o->target->vector_bits < 128) return true;
    Map *done = map_new(r->tmp);
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        Node *before = n->prev;
        if (panel_recurrent(r, n)) { /* goes on with the product it has put there */
            next = before ? before->next : r->g->first;
            continue;
        }
        if ((!op_is(n, "MatMul") && !plain_gemm(n)) || !packable(n->in[1])) continue;
        int64_t all = tensor_elements(n->out[0]);
        if (n->in[0]->type.rank >= 1 && n->in[0]->type.dt == DT_FLOAT32 && all > 0) replace(r, done, n, n->in[0], n->in[1]);
    }
    return true;
}
