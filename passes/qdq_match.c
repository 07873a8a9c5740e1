/* SPDX-License-Identifier: Apache-2.0 */
/* qdq_match.c: which parts of a graph between DequantizeLinear and QuantizeLinear can be computed on integers. Nothing is changed here.
 *
 *   DequantizeLinear(x, 0.1, 3) -> Transpose -> Conv with DequantizeLinear($w, …)    a Product: x behind a movement, $w a channel's scale
 */
#include "qdq.h"
#include <math.h>
#include <string.h>

enum { DEPTH = 24 };
static int64_t get_i(const Node *n, const char *name, int64_t def) {
    int k = op_attr_index(n->op, name);
    return k >= 0 && attr_has(n, k) ? attr_i(n, k) : def;
}
static bool named(const Node *n, const char *const *list) {
    for (; *list; list++)
        if (op_is(n, *list)) return true;
    return false;
}
bool qdq_one(const Tensor *t) {
    int64_t n;
    return is_const(t) && type_elements(&t->type, &n) && n == 1;
}
double qdq_scale(const Quant *u, int64_t i) { return dtype_get_f(u->scale->type.dt, u->scale->data, qdq_one(u->scale) ? 0 : i); }
int64_t qdq_zero(const Quant *u, int64_t i) { return u->zero ? dtype_get_i(u->zero->type.dt, u->zero->data, qdq_one(u->zero) ? 0 : i) : 0; }

bool qdq_dequant(Tensor *t, Quant *u) {
    Node *n = t->def;
    if (!n || !op_is(n, "DequantizeLinear") || t->type.dt != DT_FLOAT32 || get_i(n, "block_size", 0)) return false;
    Tensor *zero = n->nin > 2 ? n->in[2] : NULL;
    if (!is_const(n->in[1]) || n->in[1]->type.dt != DT_FLOAT32 || (zero && !is_const(zero)) || !dtype_is_int(n->in[0]->type.dt))
        return false;
    *u = (Quant){.q = n->in[0], .scale = n->in[1], .zero = zero, .node = n, .axis = get_i(n, "axis", 1)};
    if (u->axis < 0) u->axis += t->type.rank;
    return true;
}
bool qdq_same(const Quant *a, const Quant *b) {
    return qdq_one(a->scale) && qdq_one(b->scale) && a->q->type.dt == b->q->type.dt && qdq_scale(a, 0) == qdq_scale(b, 0) &&
           qdq_zero(a, 0) == qdq_zero(b, 0);
}

/* ---- movements */
bool qdq_moves(const Node *n) {
    static const char *const list[] = {"Identity", "Transpose",    "Slice",        "Split",          "Expand",   "Tile",
                                       "Gather",   "DepthToSpace", "SpaceToDepth", "GatherElements", "GatherND", NULL};
    if (n->op->domain[0]) return false;
    if (op_is(n, "MaxPool")) return n->nout < 2 || !n->out[1];
    if (op_is(n, "Resize")) return strcmp(n->attr[op_attr_index(n->op, "mode")].s, "nearest") == 0;
    return (n->op->flags & OPF_VIEW) || named(n, list);
}
bool qdq_border(const Node *pad, const Quant *u, int64_t *q) {
    Tensor *v = pad->nin > 2 ? pad->in[2] : NULL;
    if ((v && !qdq_one(v)) || !qdq_one(u->scale) || (u->zero && !qdq_one(u->zero))) return false;
    double s = qdq_scale(u, 0), x = v ? dtype_get_f(v->type.dt, v->data, 0) : 0, at = rint(x / s);
    if (!(fabs(at) < 1e9) || at * s != x) return false; /* the border is not a quantised value */
    *q = (int64_t)at + qdq_zero(u, 0);
    return *q >= dtype_min(u->q->type.dt) && *q <= dtype_max(u->q->type.dt);
}
bool qdq_source(Tensor *t, Quant *u, int depth) {
    int64_t q;
    if (qdq_dequant(t, u)) return true;
    if (!t->def || depth > DEPTH || !t->def->nin || !t->def->in[0]) return false;
    if (op_is(t->def, "Pad")) return qdq_source(t->def->in[0], u, depth + 1) && qdq_border(t->def, u, &q);
    if (!qdq_moves(t->def) || !qdq_source(t->def->in[0], u, depth + 1)) return false;
    if (qdq_one(u->scale) && (!u->zero || qdq_one(u->zero))) return true;
    if (!op_is(t->def, "Transpose")) return false;
    int k = op_attr_index(t->def->op, "perm"), rank = t->type.rank; /* the axis of the scales moves along */
    for (int i = 0; i < rank; i++)
        if ((attr_has(t->def, k) ? t->def->attr[k].is[i] : rank - 1 - i) == u->axis) return u->axis = i, true;
    return false;
}
bool qdq_constant(Tensor *t, double *v, int64_t i) {
    Quant u;
    if (is_const(t) && dtype_is_float(t->type.dt)) return *v = dtype_get_f(t->type.dt, t->data, i), true;
    if (!qdq_dequant(t, &u) || !is_const(u.q) || (!qdq_one(u.scale) && t->type.rank != 1)) return false;
    *v = (double)(dtype_get_i(u.q->type.dt, u.q->data, i) - qdq_zero(&u, i)) * qdq_scale(&u, i);
    return true;
}

/* ---- products */
static int64_t reach(DType dt, int64_t zero) { return max_i64(dtype_max(dt) - zero, zero - dtype_min(dt)); }
/* Whether no sum of `terms` products can leave 31 bits: whatever the integers are, or with the weights as they are. */
static bool sums_fit(const Product *p, int64_t terms) {
    int64_t x = reach(p->x.q->type.dt, qdq_zero(&p->x, 0)), w = 0, one, all;
    for (int64_t i = 0; i < p->wide; i++) w = max_i64(w, reach(p->w.q->type.dt, qdq_zero(&p->w, i)));
    if (mul_ok(x, w, &one) && (one == 0 || terms <= INT32_MAX / one)) return true;
    const Tensor *q = p->w.q;
    if (!op_is(p->n, "Conv") || !is_const(q) || q != p->n->in[1]->def->in[0] || !type_elements(&q->type, &all) || q->type.dim[0] < 1)
        return false;
    for (int64_t i = 0, each = all / q->type.dim[0], sum = 0; i < all; i++) {
        if (i % each == 0) sum = 0;
        int64_t v = dtype_get_i(q->type.dt, q->data, i) - qdq_zero(&p->w, i / each);
        sum += v < 0 ? -v : v;
        if (sum > INT32_MAX / max_i64(x, 1)) return false;
    }
    return true;
}
bool qdq_product(Node *n, Product *p) {
    bool conv = op_is(n, "Conv"), gemm = op_is(n, "Gemm");
    *p = (Product){.n = n, .factor = 1, .bias_by = 1, .wide = 1};
    if ((!conv && !gemm && !op_is(n, "MatMul")) || !qdq_source(n->in[0], &p->x, 0) || !qdq_source(n->in[1], &p->w, 0)) return false;
    const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
    if (dtype_info[p->x.q->type.dt].bits > 16 || dtype_info[p->w.q->type.dt].bits > 16) return false;
    if (!qdq_one(p->x.scale) || (p->x.zero && !qdq_one(p->x.zero)) || x->rank < 1 || w->rank < 1) return false;
    int axis = conv ? 0 : gemm && get_i(n, "transB", 0) ? 0 : w->rank - 1;
    int64_t channels = w->rank == 1 && !conv ? 1 : w->dim[axis], total;
    if (!type_elements(w, &total)) return false;
    if (!qdq_one(p->w.scale) || (p->w.zero && !qdq_one(p->w.zero))) {
        if (p->w.axis != axis || w->rank < 2 || p->w.scale->type.rank != 1 || p->w.scale->type.dim[0] != channels) return false;
        p->wide = channels;
    }
    if (gemm) {
        p->factor = (double)n->attr[op_attr_index(n->op, "alpha")].f, p->bias_by = (double)n->attr[op_attr_index(n->op, "beta")].f;
    }
    p->after = conv ? x->rank - 2 : 0;
    p->bias = n->nin > 2 ? n->in[2] : NULL;
    double v;
    if (p->bias && (!qdq_constant(p->bias, &v, 0))) return false;
    return sums_fit(p, conv ? total / max_i64(channels, 1) : w->dim[w->rank == 1 ? 0 : w->rank - 1 - (axis == w->rank - 1)]);
}

/* ---- what else is between the two */
/* Operators whose float64 form is computed as the specification says, with inputs that are values or other constants. */
static bool computes(const Node *n) {
    static const char *const list[] = {"AveragePool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin",     "Softmax",
                                       "LogSoftmax",  "Resize",     "Pad",       "Concat",    "ConvTranspose", NULL};
    if (n->op->domain[0]) return false;
    return (n->op->kind == OP_EXPR && !n->op->compute) || qdq_moves(n) || named(n, list);
}
static bool used_here(const Tensor *t) { /* nobody but this pattern needs the float value of a product */
    for (const Use *u = t->uses; u; u = u->next)
        if (t->nuse > 1 && !op_is(u->node, "QuantizeLinear")) return false;
    return !t->is_output;
}
bool qdq_fits(Tensor *t, int *left, bool *products) {
    Quant u;
    Product p;
    if (--*left < 0) return false;
    if (is_const(t)) return dtype_is_float(t->type.dt) ? t->type.dt == DT_FLOAT32 : true;
    if (qdq_source(t, &u, 0)) return true;
    Node *n = t->def;
    if (!n || t->type.dt != DT_FLOAT32) return false;
    if (qdq_product(n, &p)) return *products = true, used_here(t);
    if (!computes(n)) return false;
    for (int i = 0; i < n->nin; i++) {
        if (!n->in[i]) continue;
        if (!dtype_is_float(n->in[i]->type.dt)) {
            if (!is_const(n->in[i])) return false;
        } else if (!qdq_fits(n->in[i], left, products)) return false;
    }
    return true;
}
bool qdq_chain(Tensor *t, int depth) {
    Node *n = t->def;
    Product p;
    if (!n || depth > DEPTH || t->type.dt != DT_FLOAT32) return false;
    if (qdq_product(n, &p)) return true;
    if (op_is(n, "Add") || op_is(n, "Sub")) return is_const(n->in[1]) && qdq_chain(n->in[0], depth + 1);
    for (int i = 1; op_is(n, "Clip") && i < n->nin; i++)
        if (n->in[i] && !is_const(n->in[i])) return false;
    if (!op_is(n, "Relu") && !op_is(n, "Clip") && (!qdq_moves(n) || n->nin > 1)) return false;
    return qdq_chain(n->in[0], depth + 1);
}
bool qdq_table(Tensor *t, Quant *u, int depth) {
    Node *n = t->def;
    Quant own;
    if (!n || depth > DEPTH) return false;
    if (qdq_dequant(t, &own)) {
        if (dtype_info[own.q->type.dt].bits != 8 || !qdq_one(own.scale) || (own.zero && !qdq_one(own.zero))) return false;
        if (u->q && u->q != own.q) return false;
        return *u = own, true;
    }
    if (n->op->kind != OP_EXPR || n->op->compute || n->op->domain[0]) return false;
    for (int i = 0; i < n->nin; i++) {
        Tensor *x = n->in[i];
        if (x && qdq_one(x) && (dtype_is_float(x->type.dt) || x->type.rank == 0)) continue;
        if (x && (x->type.rank != t->type.rank || !qdq_table(x, u, depth + 1))) return false;
    }
    return u->q != NULL;
}
