/* SPDX-License-Identifier: Apache-2.0 */
/* qdq.c: what stands between DequantizeLinear and QuantizeLinear is computed on integers where the numbers allow, so that the
 * QuantizeLinear is the pattern's only rounding. Four forms, the first that fits:
 *   - movements of one tensor with the parameters of the result: the same movements of the integers;
 *   - elementwise operators on one tensor of 8 bits: a table of 256 results, made at compile time;
 *   - a convolution or matrix product, then clamps and constants: exact sums, one multiplication by the combined scale;
 *   - anything else of qdq_fits: float64, with products as above inside. Integers of 16 bits times a float32 are exact there.
 *
 *   y = QuantizeLinear(Relu(Conv(DequantizeLinear(x, sx, zx), DequantizeLinear($w, sw))), sy, zy)
 *   --->  y = QuantizeLinear(Relu(Mul(Cast(ConvInteger(x, $w, zx)), sx*sw/sy)), 1, zy)
 *
 * Float nodes that nobody reads any more go with `dce`.
 */
#include "qdq.h"
#include <string.h>

enum { PATTERN_NODES = 200 };
typedef struct Qdq {
    Run *r;
    Graph *g;
    Node *at;               /* the QuantizeLinear: new nodes go before it */
    Tensor *from, *instead; /* while a table is made: this integer tensor is read as that constant */
    struct {
        Tensor *t, *v;
    } made[PATTERN_NODES]; /* values in float64 */
    int nmade;
} Qdq;

static Tensor *op(Qdq *s, const char *name, int nin, Tensor *const *in) { return build(s->g, s->at, name, nin, in); }
static Tensor *doubles(Qdq *s, int rank, const int64_t *dim, const double *v) { return tensor_const(s->g, NULL, DT_FLOAT64, rank, dim, v); }
static Tensor *one_double(Qdq *s, double v) {
    double *d = NEW(s->g->a, double);
    *d = v;
    return doubles(s, 0, NULL, d);
}
/* A float constant times 1/den in float64. */
static Tensor *constant(Qdq *s, Tensor *t, double den) {
    int64_t n = tensor_elements(t);
    double *d = NEW_ARRAY(s->g->a, double, n + 1);
    for (int64_t i = 0; i < n; i++) d[i] = dtype_get_f(t->type.dt, t->data, i) / den;
    return doubles(s, t->type.rank, t->type.dim, d);
}
static Tensor *copy_of(Qdq *s, const Node *n, Tensor *const *in, int out) {
    Node *k = node_new(s->g, n->op, s->at, n->loc, n->nin, in, n->nout);
    memcpy(k->attr, n->attr, sizeof *n->attr * (size_t)n->op->nattr);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) node_set_out(k, i, tensor_new(s->g, NULL, DT_NONE, -1, NULL));
    return k->out[out];
}

/* ---- integers */
static Tensor *integer(Qdq *s, DType dt, int64_t v) {
    void *data = arena_alloc(s->g->a, 16);
    dtype_set_i(dt, data, 0, v);
    return tensor_const(s->g, NULL, dt, 0, NULL, data);
}
/* A Pad of integers: its border is the integer that stands for the real border. */
static Tensor *padded(Qdq *s, Tensor *t, Tensor *const *in) {
    Quant u;
    int64_t q = 0;
    if (!qdq_source(t->def->in[0], &u, 0) || !qdq_border(t->def, &u, &q)) BUG("qdq: a border was accepted before");
    Tensor *with[4] = {in[0], in[1], integer(s, u.q->type.dt, q), t->def->nin > 3 ? in[3] : NULL};
    Node *n = node_new(s->g, t->def->op, s->at, t->def->loc, with[3] ? 4 : 3, with, 1);
    memcpy(n->attr, t->def->attr, sizeof *n->attr * (size_t)n->op->nattr);
    node_set_out(n, 0, tensor_new(s->g, NULL, DT_NONE, -1, NULL));
    return n->out[0];
}
/* The integers behind t's movements. */
static Tensor *moved(Qdq *s, Tensor *t) {
    Quant u;
    if (qdq_dequant(t, &u)) return u.q == s->from && s->from ? s->instead : u.q;
    Tensor **in = NEW_ARRAY(s->r->tmp, Tensor *, t->def->nin);
    for (int i = 0; i < t->def->nin; i++) in[i] = i ? t->def->in[i] : moved(s, t->def->in[0]);
    if (op_is(t->def, "Pad")) return padded(s, t, in);
    return copy_of(s, t->def, in, t->def_index);
}
static Tensor *swapped(Qdq *s, Tensor *t) {
    Tensor *y = op(s, "Transpose", 1, &t);
    node_set_is(s->g, y->def, op_attr_index(y->def->op, "perm"), (int64_t[]){1, 0}, 2);
    return y;
}
static Tensor *zero_point(Qdq *s, const Quant *u, DType dt) {
    bool zero = true;
    int64_t n = u->zero ? tensor_elements(u->zero) : 0;
    for (int64_t i = 0; i < n; i++) zero &= dtype_get_i(u->zero->type.dt, u->zero->data, i) == 0;
    if (zero) return NULL;
    void *data = arena_alloc(s->g->a, (size_t)n * 2 + 16);
    for (int64_t i = 0; i < n; i++) dtype_set_i(dt, data, i, dtype_get_i(u->zero->type.dt, u->zero->data, i));
    return tensor_const(s->g, NULL, dt, n == 1 ? 0 : 1, &n, data);
}
static Tensor *cast(Qdq *s, Tensor *t, DType to) {
    Tensor *y = op(s, "Cast", 1, &t);
    node_set_i(y->def, op_attr_index(y->def->op, "to"), to);
    return y;
}
static DType byte_type(DType t) { return dtype_info[t].bits >= 8 ? t : dtype_min(t) ? DT_INT8 : DT_UINT8; }
static Tensor *as_bytes(Qdq *s, Tensor *t, const Quant *u) { /* 4- and 2-bit constants are widened once, at compile time */
    DType dt = byte_type(u->q->type.dt);
    return dt == u->q->type.dt ? t : cast(s, t, dt);
}
/* A border of zeros (in integers: of zero points) around a convolution's input becomes the convolution's own padding: true, and x, pads. */
static bool own_border(Qdq *s, const Product *p, Tensor **x, int64_t *pads) {
    Node *pad = (*x)->def, *n = p->n;
    int rank = n->in[0]->type.rank, k = op_attr_index(n->op, "pads"), mode = op_attr_index(n->op, "auto_pad");
    int64_t count;
    if (!op_is(n, "Conv") || !pad || !op_is(pad, "Pad") || pad->nin < 3 || (pad->nin > 3 && pad->in[3]) || !qdq_one(pad->in[2]))
        return false;
    const int64_t *v = const_i64s(s->r->tmp, pad->in[1], &count);
    if (strcmp(attr_s(pad, 0), "constant") != 0 || strcmp(attr_s(n, mode), "NOTSET") != 0 || !v || count != 2 * rank) return false;
    if (dtype_get_i(pad->in[2]->type.dt, pad->in[2]->data, 0) != qdq_zero(&p->x, 0) || v[0] || v[1] || v[rank] || v[rank + 1]) return false;
    for (int i = 0; i < 2 * (rank - 2); i++) {
        int64_t more = v[i < rank - 2 ? 2 + i : 4 + i];
        if (more < 0) return false;
        pads[i] = more + (attr_has(n, k) ? n->attr[k].is[i] : 0);
    }
    *x = pad->in[0];
    return true;
}
/* The exact sums of the product, in float64. */
static Tensor *sums(Qdq *s, const Product *p) {
    Node *n = p->n;
    bool conv = op_is(n, "Conv"), gemm = op_is(n, "Gemm");
    Tensor *x = moved(s, n->in[0]), *w = moved(s, n->in[1]);
    int64_t pads[2 * QN_MAX_RANK];
    bool border = own_border(s, p, &x, pads);
    x = as_bytes(s, x, &p->x), w = as_bytes(s, w, &p->w);
    if (gemm && attr_i(n, op_attr_index(n->op, "transA"))) x = swapped(s, x);
    if (gemm && attr_i(n, op_attr_index(n->op, "transB"))) w = swapped(s, w);
    Tensor *zx = zero_point(s, &p->x, byte_type(p->x.q->type.dt)), *zw = zero_point(s, &p->w, byte_type(p->w.q->type.dt));
    Tensor *y = op(s, conv ? "ConvInteger" : "MatMulInteger", 4, (Tensor *[]){x, w, zx, zw});
    for (int i = 0; i < n->op->nattr; i++) {
        int k = op_attr_index(y->def->op, n->op->attr[i].name);
        if (k >= 0) y->def->attr[k] = n->attr[i];
    }
    if (border) node_set_is(s->g, y->def, op_attr_index(y->def->op, "pads"), pads, 2 * (n->in[0]->type.rank - 2));
    return cast(s, y, DT_FLOAT64);
}
/* The product times 1/den in float64: sums * (sx*sw/den) + bias/den. */
static Tensor *product(Qdq *s, const Product *p, double den) {
    bool conv = op_is(p->n, "Conv");
    int64_t dim[QN_MAX_RANK] = {p->wide, 1, 1, 1};
    double *f = NEW_ARRAY(s->g->a, double, p->wide);
    for (int64_t i = 0; i < p->wide; i++) f[i] = qdq_scale(&p->x, 0) * qdq_scale(&p->w, i) * p->factor / den;
    Tensor *y = op(s, "Mul", 2, (Tensor *[]){sums(s, p), doubles(s, p->wide == 1 ? 0 : 1 + p->after, dim, f)});
    if (!p->bias) return y;
    const Type *bt = &p->bias->type;
    int64_t count = tensor_elements(p->bias), bd[QN_MAX_RANK] = {count, 1, 1, 1};
    double *b = NEW_ARRAY(s->g->a, double, count + 1);
    for (int64_t i = 0; i < count; i++) qdq_constant(p->bias, &b[i], i), b[i] = b[i] * p->bias_by / den;
    return op(s, "Add", 2, (Tensor *[]){y, conv ? doubles(s, 1 + p->after, bd, b) : doubles(s, bt->rank, bt->dim, b)});
}

/* ---- values in float64 */
static Tensor *value(Qdq *s, Tensor *t);
static Tensor *make_value(Qdq *s, Tensor *t) {
    Quant u;
    Product p;
    if (is_const(t)) return s->from ? one_double(s, dtype_get_f(t->type.dt, t->data, 0)) : constant(s, t, 1);
    if (qdq_source(t, &u, 0)) {
        Tensor *scale = constant(s, (Tensor *)u.scale, 1);
        Tensor *y = op(s, "DequantizeLinear", u.zero ? 3 : 2, (Tensor *[]){moved(s, t), scale, (Tensor *)u.zero});
        node_set_i(y->def, op_attr_index(y->def->op, "axis"), u.axis);
        return y;
    }
    if (qdq_product(t->def, &p)) return product(s, &p, 1);
    Tensor **in = NEW_ARRAY(s->r->tmp, Tensor *, t->def->nin);
    for (int i = 0; i < t->def->nin; i++) {
        Tensor *x = t->def->in[i];
        bool float_param = x && i > 0 && op_is(t->def, "Resize"); /* roi and scales are parameters, not values */
        in[i] = x && dtype_is_float(x->type.dt) && !float_param ? value(s, x) : x;
    }
    return copy_of(s, t->def, in, t->def_index);
}
static Tensor *value(Qdq *s, Tensor *t) {
    for (int i = 0; i < s->nmade; i++)
        if (s->made[i].t == t) return s->made[i].v;
    Tensor *v = make_value(s, t);
    if (s->nmade < PATTERN_NODES) s->made[s->nmade].t = t, s->made[s->nmade++].v = v;
    return v;
}
/* A qdq_chain times 1/den. */
static Tensor *scaled(Qdq *s, Tensor *t, double den) {
    Node *n = t->def;
    Product p;
    if (qdq_product(n, &p)) return product(s, &p, den);
    Tensor *in[3] = {scaled(s, n->in[0], den), NULL, NULL};
    for (int i = 1; i < n->nin; i++)
        if (n->in[i]) in[i] = constant(s, n->in[i], den);
    return copy_of(s, n, in, t->def_index);
}

/* ---- one pattern */
/* The QuantizeLinear's result becomes t. */
static void take(Qdq *s, Tensor *t) {
    if (s->at->out[0]->is_output) t = op(s, "Identity", 1, &t);
    tensor_replace(s->g, s->at->out[0], t, true);
    node_remove(s->g, s->at);
}
static void by_table(Qdq *s, const Quant *u) {
    DType dt = u->q->type.dt;
    int64_t n = 256;
    uint8_t *all = arena_alloc(s->g->a, 256); /* element i is the value whose byte is i, so that Gather's negative indices find theirs */
    for (int i = 0; i < 256; i++) all[i] = (uint8_t)i;
    s->from = u->q, s->instead = tensor_const(s->g, NULL, dt, 1, &n, all);
    Node *q = s->at;
    Tensor *in[] = {value(s, q->in[0]), constant(s, q->in[1], 1), q->nin > 2 ? q->in[2] : NULL};
    Tensor *table = copy_of(s, q, in, 0), *index = cast(s, u->q, DT_INT32);
    take(s, op(s, "Gather", 2, (Tensor *[]){table, index}));
}
static void pattern(Qdq *s) {
    Node *q = s->at;
    Tensor *x = q->in[0], *scale = q->in[1], *zero = q->nin > 2 ? q->in[2] : NULL;
    Quant u = {0}, own = {.q = q->out[0], .scale = scale, .zero = zero};
    bool products = false;
    int left = PATTERN_NODES;
    if (!is_const(scale) || scale->type.dt != DT_FLOAT32 || (zero && !is_const(zero)) || !dtype_is_int(q->out[0]->type.dt)) return;
    if (x->type.dt != DT_FLOAT32 || is_const(x) || attr_i(q, op_attr_index(q->op, "block_size"))) return;
    if (qdq_source(x, &u, 0) && qdq_same(&u, &own)) {
        take(s, moved(s, x));
        return;
    }
    u = (Quant){0};
    if (qdq_one(scale) && dtype_info[own.q->type.dt].bits == 8 && qdq_table(x, &u, 0)) {
        by_table(s, &u);
        return;
    }
    if (!qdq_fits(x, &left, &products)) return;
    if (qdq_one(scale) && qdq_scale(&own, 0) > 0 && qdq_chain(x, 0)) {
        node_set_in(q, 0, scaled(s, x, qdq_scale(&own, 0)));
        node_set_in(q, 1, one_double(s, 1));
    } else {
        node_set_in(q, 0, value(s, x));
        node_set_in(q, 1, constant(s, scale, 1));
    }
}

bool pass_qdq(Run *r) {
    Folder f;
    bool any = false, ok = true;
    folder_init(&f, r->c, r->g);
    f.hold = true, f.narrow = r->o->narrow_weights;
    for (Node *n = r->g->first, *next; n; n = next) {
        Node *before = n->prev;
        next = n->next;
        any |= op_is(n, "DequantizeLinear");
        if (!op_is(n, "QuantizeLinear")) continue;
        Qdq s = {.r = r, .g = r->g, .at = n};
        pattern(&s);
        for (Node *k = before ? before->next : r->g->first, *then; k && k != next; k = then) ok &= fold_node(&f, k, &then); /* types */
    }
    folder_done(&f);
    return ok && (!any || fold_all(r, false));
}
