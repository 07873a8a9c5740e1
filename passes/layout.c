/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c: for a target with vectors, chains of convolutions, pools, elementwise operators, concatenations and spatial means are
 * computed on channel-blocked tensors [N, ceil(C/L), H, W, L], L being the lanes of a vector. One walk in list order: each node that
 * can take its operands blocked does, its result is known in both forms, and a conversion back is made for those readers who want
 * the usual one; conversions that nobody reads are removed at the end. A tensor may stand for [N,C,H,W] or [N,H,W,C]: a Transpose
 * between the two changes nothing but that note.
 *
 *   c = Conv(x, w); r = Relu(c); d = Conv(r, v); t = Transpose(d, 0 2 3 1)
 *   --->  c' = ConvBlocked(ToBlocked(x), w'); r' = Relu(c'); d' = ConvBlocked(r', v'); t = FromBlocked(d', nhwc)
 */
#include "blocks.h"
#include "layout.h"
#include "ir/extent.h"
#include "rules.h"
#include <string.h>

Blocked *layout_of(Layout *l, const Tensor *t) {
    while (l->of.n <= t->id) vec_push(l->r->tmp, &l->of, (Blocked){0});
    return &l->of.v[t->id];
}
int64_t layout_channels(const Tensor *t, bool nhwc) { return t->type.dim[nhwc ? 3 : 1]; }
Node *layout_node(Layout *l, const char *op, Node *before, int nin, Tensor *const *in) {
    const OpDef *d = op_find("quern", op);
    if (!d) d = op_find("", op);
    if (!d) BUG("layout builds unknown op '%s'", op);
    Node *n = node_new(l->g, d, before, before->loc, nin, in, 1);
    node_set_out(n, 0, tensor_new(l->g, NULL, DT_NONE, -1, NULL));
    return n;
}
bool layout_infer(Layout *l, Node *n) {
    if (node_infer(l->r->c, l->g, n)) return true;
    diag_print_all(l->r->c->d, false);
    BUG("layout built a %s that is not well formed", n->op->name);
}
static void conversion(Layout *l, Node *n, int64_t channels, bool nhwc) {
    node_set_i(n, TOB_CHANNELS, channels);
    node_set_i(n, TOB_LANES, l->lanes);
    node_set_i(n, TOB_NHWC, nhwc);
}
Tensor *layout_block(Layout *l, Tensor *t, bool nhwc, Node *before) {
    Blocked *k = layout_of(l, t);
    if (k->b) return k->b;
    Tensor *picked = nhwc ? NULL : layout_pick(l, t, before);
    if (picked) {
        *layout_of(l, t) = (Blocked){picked, false, false};
        return picked;
    }
    Node *n = layout_node(l, "ToBlocked", t->def ? t->def->next : l->g->first, 1, &t);
    n->loc = before->loc;
    conversion(l, n, layout_channels(t, nhwc), nhwc);
    layout_infer(l, n);
    *layout_of(l, t) = (Blocked){n->out[0], nhwc, false};
    return n->out[0];
}
/* For Reshape: the first axis may be one that is known at run time only, and is the operand's. */
static Tensor *shape_of(Layout *l, const Tensor *t) {
    int64_t dim[QN_MAX_RANK];
    memcpy(dim, t->type.dim, sizeof dim);
    if (type_dynamic(&t->type)) dim[0] = 0;
    return tensor_i64s(l->g, dim, t->type.rank);
}
static bool images_alone(const Type *t) {
    for (int i = 1; t->ext && i < t->rank; i++)
        if (t->ext[i]) return false;
    return true;
}
static void layout_back(Layout *l, Node *n, int out, Tensor *b, bool nhwc) {
    Tensor *y = n->out[out];
    int64_t c = layout_channels(y, nhwc);
    Node *back;
    if (c % l->lanes == 0 && b->type.dim[2] * b->type.dim[3] == 1 && images_alone(&y->type)) {
        Tensor *in[] = {b, shape_of(l, y)};
        back = node_new(l->g, op_find("", "Reshape"), n, n->loc, 2, in, 1);
    } else {
        back = node_new(l->g, op_find("quern", "FromBlocked"), n, n->loc, 1, &b, 1);
        conversion(l, back, c, nhwc);
    }
    n->out[out] = NULL;
    node_set_out(back, 0, y);
    layout_infer(l, back);
    *layout_of(l, y) = (Blocked){b, nhwc, true};
}
void layout_result(Layout *l, Node *n, Tensor *b, bool nhwc) {
    layout_back(l, n, 0, b, nhwc);
    node_remove(l->g, n);
}

/* ---- elementwise */
/* Operators whose value at zero (and slope or factor zero) is a number, so that the lanes beyond C stay finite. */
static bool tame(const Node *n) {
    static const char *const names[] = {"Add",
                                        "Sub",
                                        "Mul",
                                        "Max",
                                        "Min",
                                        "Sum",
                                        "Relu",
                                        "LeakyRelu",
                                        "PRelu",
                                        "Clip",
                                        "Sigmoid",
                                        "HardSigmoid",
                                        "HardSwish",
                                        "Tanh",
                                        "Elu",
                                        "Selu",
                                        "Celu",
                                        "Softplus",
                                        "Softsign",
                                        "Erf",
                                        "Gelu",
                                        "Mish",
                                        "Swish",
                                        "Abs",
                                        "Neg",
                                        "Exp",
                                        "Identity",
                                        "ThresholdedRelu",
                                        "Sqrt",
                                        "Cast",
                                        "QuantizeLinear",
                                        "DequantizeLinear"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (op_is(n, names[i])) return true;
    return false;
}
typedef enum Operand { OPERAND_NO, OPERAND_KEEP, OPERAND_CHANNEL, OPERAND_BLOCK } Operand;
static Operand operand_of(Layout *l, const Tensor *t, const Type *out, bool nhwc) {
    if (!t || tensor_elements(t) == 1) return t && t->type.rank > 4 ? OPERAND_NO : OPERAND_KEEP;
    int64_t c = out->dim[nhwc ? 3 : 1], dim[4] = {1, 1, 1, 1};
    if (t->type.rank > 4) return OPERAND_NO;
    for (int i = 0; i < t->type.rank; i++) dim[4 - t->type.rank + i] = t->type.dim[i];
    if (dim[nhwc ? 3 : 1] != c) return OPERAND_NO;
    int h = nhwc ? 1 : 2;
    bool point = dim[h] == 1 && dim[h + 1] == 1;
    if (t->data && dim[0] == 1 && point) return OPERAND_CHANNEL;
    if (t->type.rank != 4 || (layout_of(l, t)->b && layout_of(l, t)->nhwc != nhwc)) return OPERAND_NO;
    if (!point && (dim[h] != out->dim[h] || dim[h + 1] != out->dim[h + 1])) return OPERAND_NO;
    return OPERAND_BLOCK;
}
static Tensor *channel_const(Layout *l, Tensor *t, float fill) {
    int64_t c = tensor_elements(t), blocks = ceil_div(c, l->lanes);
    void *v = arena_alloc(l->g->a, (size_t)(blocks * l->lanes) * sizeof(double));
    for (int64_t i = 0; i < blocks * l->lanes; i++) dtype_set_f(t->type.dt, v, i, i < c ? dtype_get_f(t->type.dt, t->data, i) : fill);
    return tensor_const(l->g, NULL, t->type.dt, 4, (int64_t[]){blocks, 1, 1, l->lanes}, v);
}
static bool any_native(Layout *l, const Node *n, bool *nhwc) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && layout_of(l, n->in[i])->native) {
            *nhwc = layout_of(l, n->in[i])->nhwc;
            return true;
        }
    return false;
}
/* A table of values by integers, as passes/qdq.c makes them. */
static bool look_up(const Node *n) {
    return op_is(n, "Gather") && is_const(n->in[0]) && n->in[0]->type.rank == 1 && n->in[1]->type.rank == 4;
}
static bool point_type(DType t) { /* what quantised networks keep between convolutions, too */
    return t == DT_FLOAT32 || t == DT_HALF || t == DT_FLOAT64 || t == DT_INT8 || t == DT_UINT8 || t == DT_INT32;
}
static bool point_node(Layout *l, Node *n) {
    bool nhwc, table = look_up(n);
    const Type *o = n->out[0] ? &n->out[0]->type : NULL;
    if ((n->op->kind != OP_EXPR && !table) || n->nout != 1 || !o || o->rank != 4 || !point_type(o->dt) || n->nin > 8 ||
        !any_native(l, n, &nhwc))
        return false;
    int64_t c = layout_channels(n->out[0], nhwc);
    if (c % l->lanes && !table && !tame(n) && !op_is(n, "Div")) return false;
    if ((op_is(n, "QuantizeLinear") || op_is(n, "DequantizeLinear")) && tensor_elements(n->in[1]) != 1) return false;
    Operand kind[8];
    bool blocked = false;
    for (int i = 0; i < n->nin; i++) {
        if (n->in[i] && !point_type(n->in[i]->type.dt)) return false;
        kind[i] = table && i == 0 ? OPERAND_KEEP : operand_of(l, n->in[i], o, nhwc);
        if (kind[i] == OPERAND_NO) return false;
        if (op_is(n, "Div") && i == 1 && c % l->lanes && kind[i] == OPERAND_BLOCK) return false;
        blocked |= kind[i] == OPERAND_BLOCK;
    }
    if (!blocked) return false; /* one element alone is no block */
    Tensor *in[8];
    for (int i = 0; i < n->nin; i++)
        in[i] = kind[i] == OPERAND_KEEP      ? n->in[i]
                : kind[i] == OPERAND_CHANNEL ? channel_const(l, n->in[i], op_is(n, "Div") ? 1.0f : 0.0f)
                                             : layout_block(l, n->in[i], nhwc, n);
    Node *m = node_new(l->g, n->op, n, n->loc, n->nin, in, 1);
    node_set_out(m, 0, tensor_new(l->g, NULL, DT_NONE, -1, NULL));
    memcpy(m->attr, n->attr, sizeof *m->attr * (size_t)n->op->nattr);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], nhwc);
    return true;
}

/* ---- concatenation along the channels, reductions over the plane, transposes */
/* Channels that do not end at a block: for a reader which only looks at native operands they are put together now, others pick them. */
static bool ragged_concat(Layout *l, Node *n) {
    bool wanted = false;
    for (const Use *u = n->out[0]->uses; u; u = u->next) wanted |= u->node->op->kind == OP_EXPR || op_is(u->node, "MaxPool");
    Tensor *b = wanted ? layout_pick(l, n->out[0], n) : NULL;
    if (b) layout_result(l, n, b, false);
    return b != NULL;
}
static bool concat_node(Layout *l, Node *n) {
    bool nhwc;
    if (!op_is(n, "Concat") || n->out[0]->type.rank != 4 || !layout_type(n->out[0]->type.dt) || !any_native(l, n, &nhwc)) return false;
    int64_t axis = get_i(n, "axis", 0);
    if ((axis < 0 ? axis + 4 : axis) != (nhwc ? 3 : 1)) return false;
    for (int i = 0; i < n->nin; i++) {
        const Blocked *k = layout_of(l, n->in[i]);
        if (k->b && k->nhwc != nhwc) return false;
        if (i + 1 < n->nin && layout_channels(n->in[i], nhwc) % l->lanes) return !nhwc && ragged_concat(l, n);
    }
    Tensor **in = NEW_ARRAY(l->r->tmp, Tensor *, n->nin);
    for (int i = 0; i < n->nin; i++) in[i] = layout_block(l, n->in[i], nhwc, n);
    Node *m = layout_node(l, "Concat", n, n->nin, in);
    put_i(m, "axis", 1);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], nhwc);
    return true;
}
static bool plane_axes(Layout *l, const Node *n, bool nhwc) {
    int64_t count, seen = 0;
    const int64_t *v = n->nin > 1 ? const_i64s(l->r->tmp, n->in[1], &count) : NULL;
    for (int64_t i = 0; v && i < count; i++) seen |= 1 << (v[i] < 0 ? v[i] + 4 : v[i]);
    return v && seen == (nhwc ? 6 : 12);
}
static bool reduce_node(Layout *l, Node *n) {
    bool nhwc;
    bool known = op_is(n, "ReduceMean") || op_is(n, "ReduceSum") || op_is(n, "ReduceMax");
    if (!known || !any_native(l, n, &nhwc) || n->in[0]->type.rank != 4 || !layout_type(n->in[0]->type.dt) || !plane_axes(l, n, nhwc))
        return false;
    int64_t c = layout_channels(n->in[0], nhwc);
    bool keep = get_i(n, "keepdims", 1) != 0;
    if (!keep && c % l->lanes) return false;
    Tensor *in[] = {layout_of(l, n->in[0])->b, tensor_i64s(l->g, (int64_t[]){2, 3}, 2)};
    Node *m = layout_node(l, n->op->name, n, 2, in);
    put_i(m, "keepdims", 1);
    layout_infer(l, m);
    if (keep) {
        layout_result(l, n, m->out[0], nhwc);
        return true;
    }
    Tensor *y = n->out[0], *rin[] = {m->out[0], shape_of(l, y)};
    Node *back = node_new(l->g, op_find("", "Reshape"), n, n->loc, 2, rin, 1);
    n->out[0] = NULL;
    node_set_out(back, 0, y);
    layout_infer(l, back);
    node_remove(l->g, n);
    return true;
}
static bool transpose_node(Layout *l, Node *n) {
    int64_t count;
    const int64_t *p = op_is(n, "Transpose") ? get_is(n, "perm", &count) : NULL;
    if (!p || count != 4 || !layout_of(l, n->in[0])->native) return false;
    Blocked k = *layout_of(l, n->in[0]);
    const int64_t want[2][4] = {{0, 2, 3, 1}, {0, 3, 1, 2}};
    if (memcmp(p, want[k.nhwc], sizeof want[0]) != 0) return false;
    layout_result(l, n, k.b, !k.nhwc);
    return true;
}

static bool internal(const Node *n, const char *name) { return strcmp(n->op->domain, "quern") == 0 && strcmp(n->op->name, name) == 0; }
/* Resizing of the plane: the four lists of ResizeNearest, one entry per axis, get the order of axes of the blocked tensor. */
static bool nearest_node(Layout *l, Node *n) {
    bool nhwc;
    if (!internal(n, "ResizeNearest") || !any_native(l, n, &nhwc) || n->in[0]->type.rank != 4 || !layout_type(n->out[0]->type.dt))
        return false;
    enum { DIMS, MUL, ADD, DIV, LISTS };
    const int axis[3] = {0, nhwc ? 1 : 2, nhwc ? 2 : 3}, c = nhwc ? 3 : 1;
    const int64_t *v[LISTS];
    for (int k = 0; k < LISTS; k++) v[k] = n->attr[k].is;
    if (v[DIMS][c] != n->in[0]->type.dim[c] || v[MUL][c] != 1 || v[ADD][c] != 0 || v[DIV][c] != 1) return false;
    Tensor *b = layout_of(l, n->in[0])->b;
    Node *m = layout_node(l, "ResizeNearest", n, 1, &b);
    for (int k = 0; k < LISTS; k++) {
        int64_t same = k == ADD ? 0 : 1, w[5] = {v[k][axis[0]], same, v[k][axis[1]], v[k][axis[2]], same};
        if (k == DIMS) w[1] = b->type.dim[1], w[4] = l->lanes;
        node_set_is(l->g, m, k, w, 5);
    }
    layout_infer(l, m);
    layout_result(l, n, m->out[0], nhwc);
    return true;
}
static bool resize_axis_node(Layout *l, Node *n) {
    bool nhwc;
    if (!internal(n, "ResizeAxis") || n->in[0]->type.rank != 4 || !layout_type(n->out[0]->type.dt) || !layout_of(l, n->in[0])->native ||
        !any_native(l, n, &nhwc))
        return false;
    int64_t axis = attr_i(n, 0), h = nhwc ? 1 : 2;
    if (axis != h && axis != h + 1) return false;
    Tensor *in[3] = {layout_of(l, n->in[0])->b, n->in[1], n->in[2]};
    Node *m = layout_node(l, "ResizeAxis", n, 3, in);
    node_set_i(m, 0, axis - h + 2);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], nhwc);
    return true;
}
bool layout_pad(Layout *l, Node *n) {
    int64_t count = 0, naxes = 4, all[4] = {0, 1, 2, 3}, pads[10] = {0};
    if (!op_is(n, "Pad") || n->in[0]->type.rank != 4 || !layout_type(n->in[0]->type.dt) || !layout_of(l, n->in[0])->native) return false;
    const Blocked k = *layout_of(l, n->in[0]);
    const int64_t *v = const_i64s(l->r->tmp, n->in[1], &count), *axes = all;
    if (n->nin > 3 && n->in[3]) axes = const_i64s(l->r->tmp, n->in[3], &naxes);
    if (!v || !axes || count != 2 * naxes) return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes[i % naxes], at = (axis < 0 ? axis + 4 : axis) - (k.nhwc ? 1 : 2);
        if (v[i] == 0) continue;
        if (at != 0 && at != 1) return false;
        pads[2 + at + (i < naxes ? 0 : 5)] = v[i];
    }
    Tensor *in[3] = {k.b, tensor_i64s(l->g, pads, 10), n->nin > 2 ? n->in[2] : NULL};
    Node *m = layout_node(l, "Pad", n, in[2] ? 3 : 2, in);
    memcpy(m->attr, n->attr, sizeof *m->attr * (size_t)n->op->nattr);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], k.nhwc);
    return true;
}
/* Split along the channels where each part begins at a block. */
static bool split_node(Layout *l, Node *n) {
    bool nhwc;
    if (!op_is(n, "Split") || n->in[0]->type.rank != 4 || !layout_type(n->in[0]->type.dt) || !any_native(l, n, &nhwc)) return false;
    int64_t axis = get_i(n, "axis", 0), *blocks = NEW_ARRAY(l->r->tmp, int64_t, n->nout);
    if ((axis < 0 ? axis + 4 : axis) != (nhwc ? 3 : 1)) return false;
    for (int i = 0; i < n->nout; i++) {
        if (!n->out[i] || (i + 1 < n->nout && layout_channels(n->out[i], nhwc) % l->lanes)) return false;
        blocks[i] = ceil_div(layout_channels(n->out[i], nhwc), l->lanes);
    }
    Tensor *in[2] = {layout_of(l, n->in[0])->b, tensor_i64s(l->g, blocks, n->nout)};
    Node *m = node_new(l->g, n->op, n, n->loc, 2, in, n->nout);
    for (int i = 0; i < n->nout; i++) node_set_out(m, i, tensor_new(l->g, NULL, DT_NONE, -1, NULL));
    put_i(m, "axis", 1);
    layout_infer(l, m);
    for (int i = 0; i < n->nout; i++) layout_back(l, n, i, m->out[i], nhwc);
    node_remove(l->g, n);
    return true;
}

/* Of what is known at run time only, the number of images may be, and the extents of the plane, but not the channels. */
static bool takes_type(Layout *l, const Tensor *t) {
    const Type *y = &t->type;
    if (y->rank != 4) return images_alone(y);
    int c = layout_of(l, t)->b ? (layout_of(l, t)->nhwc ? 3 : 1) : !y->ext || !y->ext[1] ? 1 : 3;
    return !y->ext || !y->ext[c];
}
static bool takes(Layout *l, const Node *n) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && !takes_type(l, n->in[i])) return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && !takes_type(l, n->out[i])) return false;
    return true;
}

/* Blocks are as long as the longest vector that some of it is computed with. */
static bool halves(const Graph *g) {
    for (const Node *n = g->first; n; n = n->next)
        if (n->out[0] && n->out[0]->type.dt == DT_HALF) return true;
    return false;
}
bool pass_layout(Run *r) {
    if (!r->o || !r->o->target || r->o->target->vector_bits == 0) return true;
    Layout l = {
        .r = r, .g = r->g, .target = r->o->target, .lanes = target_lanes(r->o->target, halves(r->g) ? 16 : 32), .chosen = map_new(r->tmp)};
    Target wide = *l.target;
    wide.vector_regs /= 2;
    l.wide = &wide;
    Target half;
    blocks_half(l.target, &half);
    l.half = &half;
    if (l.lanes < 2) return true;
    layout_budget(&l);
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        if (!takes(&l, n)) continue;
        bool done = layout_conv(&l, n) || layout_conv_integer(&l, n) || layout_conv_transpose(&l, n) || layout_pool(&l, n) ||
                    point_node(&l, n) || concat_node(&l, n) || reduce_node(&l, n) || nearest_node(&l, n) || resize_axis_node(&l, n) ||
                    layout_pad(&l, n) || split_node(&l, n);
        if (!done) transpose_node(&l, n);
    }
    return pass_dce(r);
}
