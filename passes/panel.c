/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c: for a target with vectors, products with a constant matrix become MatMulPanel (ir/ops/panel.c): the matrix is packed
 * here into panels of some vectors of columns, so that each step of the innermost loop reads one line of a panel from its start
 * to its end. Width of the panels and height of the blocks of rows come from the number of vector registers.
 *
 *   y = MatMul(x, w: float32[768,1000])   --->   y = MatMulPanel(x, float32[15,768,64], float32[1,768,48]) {cols=1000}
 *
 * MatMulInteger as passes/exact.c leaves it for targets with dot products: words of four rows (ir/dot.h), the zero point's part added.
 */
#include "blocks_gemm.h"
#include "ir/dot.h"
#include "ir/extent.h"
#include "tune.h"
#include <string.h>

/* ---- how a product is cut */
PanelChoice panel_equal(const Target *t, int64_t rows, int64_t cols, int64_t depth) {
    return panel_best(t, &(PanelCase){target_lanes(t, 32), 1, rows, cols, depth, true}).c;
}
/* The best by the model, or one of the next ones that was measured to be faster. */
static PanelCut cut_of(Run *r, const Target *t, const Node *n, const PanelCase *p) {
    PanelCut all[CHOICES], best = panel_best(t, p);
    if (!r->o->tuner) return best;
    TuneAsk ask = {.node = n};
    bool half = n->in[0]->type.dt == DT_HALF;
    ask.kernel = arena_printf(r->c->a, "%s%s of %lld rows, %lld deep, %lld columns", n->op->name, half ? " in halves" : "",
                              (long long)(p->outer * p->rows), (long long)p->depth, (long long)p->cols);
    int count = panels_best(t, p, CHOICES, all);
    for (int i = 0; i < count; i++)
        tune_add(&ask,
                 arena_printf(r->c->a, "panels of %lld columns, blocks of %lld rows, %lld chunks, strips of %lld",
                              (long long)all[i].c.width, (long long)all[i].c.block, (long long)all[i].chunks, (long long)all[i].strip));
    const char *answer = ask.n ? tune_answer(r->o->tuner, &ask) : NULL;
    for (int i = 0; i < ask.n; i++)
        if (answer == ask.choice[i]) best = all[i];
    return best;
}

/* Columns [from, from + panels*width) of w, of floats or of words, zeros behind the last one, as [chunk, panel][depth][width]. */
static Tensor *pack(Graph *g, const Tensor *w, const char *what, int64_t from, int64_t panels, int64_t width, int64_t chunks) {
    int64_t depth = w->type.dim[0] / chunks, cols = w->type.dim[1], dim[3] = {chunks * panels, depth, width}, all;
    if (!mul_ok(panels * width, w->type.dim[0], &all)) return NULL;
    const size_t size = (size_t)dtype_info[w->type.dt].bits / 8;
    char *to = NEW_ARRAY(g->a, char, all *(int64_t)size);
    const char *src = w->data;
    for (int64_t h = 0; h < chunks; h++)
        for (int64_t p = 0; p < panels; p++)
            for (int64_t k = 0; k < depth; k++) {
                int64_t c = from + p * width, n = min_i64(width, cols - c);
                memcpy(to + (size_t)(((h * panels + p) * depth + k) * width) * size, src + (size_t)((h * depth + k) * cols + c) * size,
                       (size_t)n * size);
            }
    return tensor_const(g, arena_printf(g->a, "%s.%s%d", w->name, what, g->tensors.n), w->type.dt, 3, dim, to);
}

typedef struct Packed { /* what was made of a constant that several products share */
    PanelChoice c;
    Tensor *w, *tail;
} Packed;

/* A matrix of int8 as words of four rows, zeros behind the last one. */
static Tensor *words_of(Graph *g, const Tensor *w) {
    int64_t depth = w->type.dim[0], cols = w->type.dim[1], dim[2] = {ceil_div(depth, WORD_BYTES), cols};
    uint32_t *to = NEW_ARRAY(g->a, uint32_t, dim[0] * cols);
    const int8_t *from = w->data;
    for (int64_t k = 0; k < depth; k++)
        for (int64_t c = 0; c < cols; c++) to[k / WORD_BYTES * cols + c] |= (uint32_t)(uint8_t)from[k * cols + c] << 8 * (k % WORD_BYTES);
    return tensor_const(g, w->name, DT_INT32, 2, dim, to);
}
/* x with zeros behind its last axis, up to whole words. */
static Tensor *whole_words(Graph *g, Node *n, Tensor *x) {
    const Type *t = &x->type;
    int64_t pads[2 * QN_MAX_RANK] = {0}, last = t->rank - 1;
    Type whole = *t;
    whole.dim[last] = ceil_div(t->dim[last], WORD_BYTES) * WORD_BYTES;
    pads[2 * t->rank - 1] = whole.dim[last] - t->dim[last];
    if (!pads[2 * t->rank - 1]) return x;
    Node *k = node_new(g, op_find("", "Pad"), n, n->loc, 2, (Tensor *[]){x, tensor_i64s(g, pads, 2 * t->rank)}, 1);
    node_set_out(k, 0, tensor_new(g, NULL, t->dt, t->rank, whole.dim));
    k->out[0]->type = whole;
    return k->out[0];
}
/* -zero times the sums of w's columns: what the products with a zero point make of them is taken away. NULL: nothing is. */
static Tensor *less_zero(Graph *g, Node *n, const Tensor *w, Tensor *zero) {
    int64_t depth = w->type.dim[0], cols = w->type.dim[1];
    int32_t *v = NEW_ARRAY(g->a, int32_t, cols);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t c = 0; c < cols; c++) v[c] -= ((const int8_t *)w->data)[k * cols + c];
    return times_zero(g, n, tensor_const(g, NULL, DT_INT32, 1, &cols, v), zero);
}
static bool packable(const Tensor *w) {
    return is_const(w) && (w->type.dt == DT_FLOAT32 || w->type.dt == DT_HALF) && w->type.rank == 2 && w->type.dim[0] > 0 &&
           w->type.dim[1] >= 4;
}
/* Of what is known at run time only the rows may be. */
static bool rows_alone(const Node *n) {
    if (!op_is(n, "MatMul") && !op_is(n, "Gemm") && !op_is(n, "MatMulInteger")) return false;
    const Type *a = &n->in[0]->type, *o = &n->out[0]->type;
    return a->rank >= 2 && !(a->ext && a->ext[a->rank - 1]) && !(o->ext && o->ext[o->rank - 1]);
}
/* Columns that fill half a vector or less get shorter ones: no zeros are kept and read for the others. */
static DotRow few_columns(Run *r, bool integers, bool half, Target *t, PanelCase *q) {
    DotRow dot = {0}, shorter;
    if (integers && target_dot(r->tmp, r->o->target, (int)q->lanes, &dot)) t->vector_regs -= 2 * dot.regs;
    for (; q->lanes / 2 >= q->cols && q->lanes / 2 * (half ? 16 : 32) >= 128; q->lanes /= 2)
        if (dot.text && !target_dot(r->tmp, r->o->target, (int)q->lanes / 2, &shorter)) break;
    return dot;
}
static void replace(Run *r, Map *done, Node *n, Tensor *x, const Tensor *w, Tensor *added) { /* added to the product; may be NULL */
    Graph *g = r->g;
    const Type *o = &n->out[0]->type;
    bool fixed = !node_dynamic(n);
    int64_t rows = 1, cols = w->type.dim[1];
    for (int d = 0; d < o->rank - 1; d++) rows = max_i64(rows, o->dim[d]);
    if (o->rank >= 2 && o->dim[o->rank - 2] >= 6) rows = o->dim[o->rank - 2];
    int64_t outer = 1;
    bool half = w->type.dt == DT_HALF;
    Target t = *r->o->target;
    if (half) blocks_half(r->o->target, &t);
    for (int d = 0; d < o->rank - 2 && outer == 1; d++) outer = o->dim[d];
    PanelCase q = {target_lanes(r->o->target, half ? 16 : 32), outer, rows, cols, w->type.dim[0], false};
    DotRow dot = few_columns(r, w->type.dt == DT_INT32, half, &t, &q);
    PanelCut cut = cut_of(r, &t, n, &q);
    const PanelChoice c = cut.c;
    if (!fixed) cut.chunks = 1, cut.strip = 0;
    int64_t chunks = cut.chunks;
    const char *key = arena_printf(r->tmp, "%d %lld %lld %lld", w->id, (long long)c.width, (long long)c.tail, (long long)chunks);
    Packed *p = map_get(done, key);
    if (!p) {
        p = NEW(r->tmp, Packed);
        int64_t panels = c.tail ? (cols - 1) / c.width : ceil_div(cols, c.width);
        p->w = pack(g, w, "panels", 0, panels, c.width, chunks);
        p->tail = c.tail && p->w ? pack(g, w, "panel", panels * c.width, 1, c.tail, chunks) : NULL;
        map_set(done, key, p);
    }
    if (!p->w || (c.tail && !p->tail)) return;
    const OpDef *op = op_find("quern", w->type.dt == DT_INT32 ? "MatMulIntegerPanel" : "MatMulPanel");
    Tensor *in[3] = {x, p->w, p->tail};
    Node *k = node_new(g, op, n, n->loc, p->tail ? 3 : 2, in, 1);
    node_set_i(k, op_attr_index(op, "cols"), cols);
    node_set_i(k, op_attr_index(op, "rows"), c.block);
    node_set_i(k, op_attr_index(op, "lanes"), c.lanes);
    node_set_i(k, op_attr_index(op, "chains"), dot.regs ? 1 : panel_chains(r)); /* several instructions: only the last one waits */
    node_set_i(k, op_attr_index(op, "chunks"), chunks);
    node_set_i(k, op_attr_index(op, "strip"), cut.strip);
    k->layer = n->loc.name && *n->loc.name ? n->loc.name : n->out[0]->name;
    k->mapped = mapping_line(g->a, panel_mapping(r->tmp, &t, &q, &cut));
    Tensor *y = tensor_new(g, NULL, o->dt, o->rank, o->dim), *old = n->out[0];
    y->type = *o;
    node_set_out(k, 0, y);
    if (op_is(n, "Gemm") && n->nin > 2 && n->in[2]) added = n->in[2];
    if (added) {
        Node *add = node_new(g, op_find("", "Add"), n, n->loc, 2, (Tensor *[]){y, added}, 1);
        y = tensor_new(g, NULL, o->dt, o->rank, o->dim);
        y->type = *o;
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
static bool integers(Run *r, Map *done, Node *n) {
    if (!op_is(n, "MatMulInteger") || !is_const(n->in[1]) || n->in[1]->type.dt != DT_INT8 || n->in[1]->type.rank != 2) return false;
    Tensor *w = n->in[1], *zx = n->nin > 2 ? n->in[2] : NULL, *x = n->in[0];
    if ((n->nin > 3 && n->in[3]) || (zx && tensor_elements(zx) != 1) || dtype_info[x->type.dt].bits != 8) return false;
    if (x->type.rank < 1 || w->type.dim[0] < 1 || w->type.dim[1] < 1 || tensor_elements(n->out[0]) < 1) return false;
    char *key = arena_printf(r->tmp, "words %d", w->id);
    Tensor *words = map_get(done, key);
    if (!words) map_set(done, key, words = words_of(r->g, w));
    replace(r, done, n, whole_words(r->g, n, x), words, zx ? less_zero(r->g, n, w, zx) : NULL);
    return true;
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
        if (node_dynamic(n) && !rows_alone(n)) continue;
        if (integers(r, done, n)) continue;
        if ((!op_is(n, "MatMul") && !plain_gemm(n)) || !packable(n->in[1])) continue;
        int64_t all = tensor_elements(n->out[0]);
        if (n->in[0]->type.rank >= 1 && n->in[0]->type.dt == n->in[1]->type.dt && all > 0) replace(r, done, n, n->in[0], n->in[1], NULL);
    }
    return true;
}
