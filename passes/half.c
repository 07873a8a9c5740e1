/* SPDX-License-Identifier: Apache-2.0 */
/* half.c: with --fast-f16, products with constant weights and what stands around them are computed in half precision: weights become
 * halves here, what goes from one such operator to the next stays one, conversions stand where others meet them. Sums of many products
 * are made of short ones (HALF_SUM in ir/ops.h), which are added up as float32. Inputs and outputs of the model keep their types, and so
 * does what needs the range or the bits: normalisations, softmax, reductions, weights beyond 65504 or too small for a half.
 *
 *   y = Softmax(Relu(MatMul(x, w)))   --->   h = Relu(MatMul(Cast(x) {to=half}, w: half)); y = Softmax(Cast(h) {to=float32})
 */
#include "twins.h"
#include "rules.h"
#include <math.h>
#include <string.h>

typedef struct Half {
    Run *r;
    Graph *g;
    Twins twins; /* a tensor in the other of the two types */
} Half;

static const double LARGEST = 65504, SMALLEST = 6.103515625e-05; /* 2^-14: below, halves lose bits */
enum { MOST_MEAN = 16 };                                         /* taps of an average that is summed up as halves */

/* ---- which nodes */
static bool real(const Tensor *t) { return t && t->type.dt == DT_FLOAT32; }
/* Numbers that fit: none too large, and the larger ones not so small that bits are lost. */
static bool fits(const Tensor *t) {
    int64_t n = tensor_elements(t);
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = fabs(dtype_get_f(DT_FLOAT32, t->data, i));
        if (!(v <= LARGEST)) return false;
        most = v > most ? v : most;
    }
    return most == 0 || most >= SMALLEST * 16;
}
static bool product(const Node *n) {
    bool conv = op_is(n, "Conv") || op_is(n, "ConvTranspose"), matmul = op_is(n, "MatMul") || op_is(n, "Gemm");
    if ((!conv && !matmul) || !real(n->in[0]) || !is_const(n->in[1]) || !real(n->in[1]) || tensor_elements(n->out[0]) < 1) return false;
    if (matmul && n->in[1]->type.rank != 2) return false;
    return n->nin < 3 || !n->in[2] || !matmul || is_const(n->in[2]);
}
static bool listed(const Node *n, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (op_is(n, names[i])) return true;
    return false;
}
/* Elementwise ones of a few additions and products. Functions such as Erf are those of float32 anyway. */
static bool point(const Node *n) {
    static const char *const names[] = {"Add",       "Sub",   "Mul",  "Max",         "Min",       "Sum", "Relu",
                                        "LeakyRelu", "PRelu", "Clip", "HardSigmoid", "HardSwish", "Abs", "Neg"};
    return listed(n, names, sizeof names / sizeof *names);
}
/* Those that only move elements, operand 0 or all of Concat's. */
static bool move(const Node *n) {
    static const char *const names[] = {"Reshape", "Transpose", "Concat",  "Slice",    "Split",
                                        "Squeeze", "Unsqueeze", "Flatten", "Identity", "MaxPool"};
    return listed(n, names, sizeof names / sizeof *names) ||
           (strcmp(n->op->domain, "quern") == 0 && strcmp(n->op->name, "ResizeNearest") == 0);
}
static bool small_mean(const Node *n) {
    int64_t count = 0, taps = 1;
    const int64_t *k = op_is(n, "AveragePool") ? get_is(n, "kernel_shape", &count) : NULL;
    for (int64_t i = 0; i < count; i++) taps *= k[i];
    return k && taps <= MOST_MEAN;
}
/* Operands from `from` on are numbers of the operation. */
static int first_other(const Node *n) { return move(n) && !op_is(n, "Concat") ? 1 : n->nin; }
static bool is_half(const Tensor *t) { return t->type.dt == DT_HALF; }
static bool wanted(const Node *n) {
    bool any = false;
    if (n->nout < 1 || !n->out[0]) return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && (!real(n->out[i]) || (i && op_is(n, "MaxPool")))) return false;
    for (int i = 0; i < first_other(n); i++) {
        if (!n->in[i]) continue;
        if (!real(n->in[i]) && !is_half(n->in[i])) return false;
        if (is_const(n->in[i]) && !fits(n->in[i])) return false;
        any |= is_half(n->in[i]);
    }
    return product(n) || (any && (point(n) || move(n) || small_mean(n)));
}

/* ---- types */
static Tensor *like(Half *h, const Tensor *t, DType dt) {
    Tensor *y = tensor_new(h->g, NULL, dt, t->type.rank, t->type.dim);
    y->type = t->type, y->type.dt = dt;
    return y;
}
static Node *cast(Half *h, Tensor *from, Tensor *to, Node *before, Loc loc) {
    const OpDef *op = op_find("", "Cast");
    Node *c = node_new(h->g, op, before, loc, 1, &from, 1);
    node_set_i(c, op_attr_index(op, "to"), to->type.dt);
    node_set_out(c, 0, to);
    return c;
}
/* t in the other of the two types. */
static Tensor *convert(Half *h, Tensor *t, DType dt, Node *reader) {
    Graph *g = h->g;
    if (twin_get(&h->twins, t)) return twin_get(&h->twins, t);
    Tensor *twin;
    if (is_const(t)) {
        int64_t n = tensor_elements(t);
        uint16_t *v = NEW_ARRAY(g->a, uint16_t, n);
        for (int64_t i = 0; i < n; i++) dtype_set_f(DT_HALF, v, i, dtype_get_f(DT_FLOAT32, t->data, i));
        twin = tensor_const(g, t->name, DT_HALF, t->type.rank, t->type.dim, v);
    } else {
        twin = like(h, t, dt);
        cast(h, t, twin, t->def ? t->def->next : g->first, reader->loc);
        twin_set(&h->twins, twin, t, false);
    }
    return twin_set(&h->twins, t, twin, false);
}
static void make_half(Half *h, Node *n) {
    for (int i = 0; i < first_other(n); i++)
        if (n->in[i] && real(n->in[i])) node_set_in(n, i, convert(h, n->in[i], DT_HALF, n));
    for (int i = 0; i < n->nout; i++) {
        Tensor *y = n->out[i];
        if (!y) continue;
        if (!y->is_output) {
            y->type.dt = DT_HALF;
            continue;
        }
        Tensor *mine = like(h, y, DT_HALF);
        n->out[i] = NULL;
        node_set_out(n, i, mine);
        tensor_replace(h->g, y, mine, false);
        cast(h, mine, y, n->next, n->loc);
        twin_set(&h->twins, mine, y, false), twin_set(&h->twins, y, mine, false);
    }
}
static bool quantised(const Graph *g) {
    static const char *const names[] = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"};
    for (const Node *n = g->first; n; n = n->next)
        if (listed(n, names, sizeof names / sizeof *names)) return true;
    return false;
}
bool pass_half(Run *r) {
    Half h = {.r = r, .g = r->g, .twins.tmp = r->tmp};
    if (!r->o || !r->o->fast_f16 || quantised(r->g)) return true;
    r->g->halves = true;
    for (Node *n = r->g->first; n; n = n->next) {
        if (op_is(n, "Cast")) continue; /* from any type */
        if (wanted(n)) make_half(&h, n);
        else
            for (int i = 0; i < n->nin; i++)
                if (n->in[i] && is_half(n->in[i])) node_set_in(n, i, convert(&h, n->in[i], DT_FLOAT32, n));
    }
    return true;
}
