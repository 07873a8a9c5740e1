/* SPDX-License-Identifier: Apache-2.0 */
/* layout_transpose.c: transposed convolutions on channel-blocked tensors. With stride s, the outputs whose row and column have the same
 * remainders modulo s are a convolution of their own with every s-th tap: each such phase gets its own packed weights, and no
 * product with a zero between the inputs is made.
 *
 *   ConvTranspose(x[1,64,8,8], w[64,32,2,2]) {strides=[2,2]}  --->  ConvTransposeBlocked(x'[1,4,8,8,16], b', four w'[1,4,1,1,16,2,16])
 */
#include "layout.h"
#include "rules.h"
#include <string.h>

enum { MAX_PHASES = 16, MAX_TAPS = 16 };
typedef struct Axis {
    int64_t k, stride, in, out, pad;
} Axis;

static int64_t at(const Node *n, const char *name, int i, int64_t def) {
    int64_t count;
    const int64_t *v = get_is(n, name, &count);
    return v && i < count ? v[i] : def;
}
/* What is cut off before the result's first element, by the rules of auto_pad and output_shape; inference found all well formed. */
static bool axis_of(const Node *n, int i, Axis *x) {
    int64_t count = 0;
    const char *mode = get_s(n, "auto_pad", "NOTSET");
    *x = (Axis){n->in[1]->type.dim[2 + i], at(n, "strides", i, 1), n->in[0]->type.dim[2 + i], n->out[0]->type.dim[2 + i], 0};
    if (at(n, "dilations", i, 1) != 1 || x->k > MAX_TAPS) return false;
    bool given = get_is(n, "output_shape", &count) != NULL && count > 0, same = strncmp(mode, "SAME", 4) == 0;
    int64_t full = (x->in - 1) * x->stride + x->k + at(n, "output_padding", i, 0), cut = max_i64(full - x->out, 0);
    if (same) x->pad = strcmp(mode, "SAME_UPPER") == 0 ? cut / 2 : cut - cut / 2;
    else if (given) x->pad = cut / 2;
    else x->pad = strcmp(mode, "NOTSET") == 0 ? at(n, "pads", i, 0) : 0;
    return x->in > 0 && x->out > 0 && x->pad >= 0;
}
/* The weights [C, M/group, kh, kw] of one phase as those of a convolution, [M, C/group, taps, taps]. */
static Tensor *phase_weights(Layout *l, const Node *n, const Axis *x, const int64_t *phase, int64_t group) {
    const Type *t = &n->in[1]->type;
    int64_t c = t->dim[0], mg = t->dim[1], cg = c / group, dim[4] = {mg * group, cg}, first[2];
    for (int i = 0; i < 2; i++) {
        first[i] = (phase[i] + x[i].pad) % x[i].stride;
        dim[2 + i] = transposed_window(x[i].in, x[i].out, x[i].k, x[i].stride, x[i].pad, phase[i]).k;
    }
    const int64_t size = dtype_info[n->in[1]->type.dt].bits / 8;
    char *v = NEW_ARRAY(l->g->a, char, dim[0] * dim[1] * dim[2] * dim[3] * size), *to = v;
    const char *from = n->in[1]->data;
    for (int64_t m = 0; m < dim[0]; m++)
        for (int64_t j = 0; j < cg; j++)
            for (int64_t r = 0; r < dim[2]; r++)
                for (int64_t s = 0; s < dim[3]; s++, to += size) {
                    int64_t y = first[0] + (dim[2] - 1 - r) * x[0].stride, z = first[1] + (dim[3] - 1 - s) * x[1].stride;
                    if (y < x[0].k && z < x[1].k)
                        memcpy(to, from + ((((m / mg * cg + j) * mg + m % mg) * x[0].k + y) * x[1].k + z) * size, (size_t)size);
                }
    return tensor_const(l->g, NULL, n->in[1]->type.dt, 4, dim, v);
}
bool layout_conv_transpose(Layout *l, Node *n) {
    Axis x[2];
    if (!op_is(n, "ConvTranspose")) return false;
    const Type *t = &n->in[0]->type;
    if (t->rank != 4 || !layout_type(t->dt) || !is_const(n->in[1]) || t->dim[0] < 1) return false;
    bool bias = n->nin > 2 && n->in[2];
    if ((t->dt == DT_FLOAT32 && (uintptr_t)n->in[1]->data % sizeof(float)) || (bias && !is_const(n->in[2]))) return false;
    if (layout_of(l, n->in[0])->b && layout_of(l, n->in[0])->nhwc) return false;
    int64_t group = get_i(n, "group", 1), c = t->dim[1], features = n->in[1]->type.dim[1] * group;
    int64_t merge = merge_groups(group, c, features, l->lanes);
    if (!merge || !axis_of(n, 0, &x[0]) || !axis_of(n, 1, &x[1]) || x[0].stride * x[1].stride > MAX_PHASES) return false;
    int64_t source, phases = x[0].stride * x[1].stride;
    Window h = transposed_window(x[0].in, x[0].out, x[0].k, x[0].stride, x[0].pad, 0);
    Window w = transposed_window(x[1].in, x[1].out, x[1].k, x[1].stride, x[1].pad, 0);
    ConvExtents e = {c, features, group / merge, h.in, w.in, h.out, w.out, h.k, w.k, 1, true, t->dt == DT_HALF, t->dim[0]};
    ConvBlock b = conv_block_of(block_target(l, e.half), l->lanes, &e, 0);
    if (t->ext && t->ext[3]) { /* blocks of one row that fit in a small buffer */
        b.cols = min_i64(b.rows * b.cols, w.out), b.rows = 1;
        if ((b.cols + w.k + 1) * l->lanes * (int64_t)sizeof(float) > STAGE_MOST) return false;
    }
    Tensor **in = NEW_ARRAY(l->r->tmp, Tensor *, 2 + phases), *none = n->in[1];
    in[0] = conv_source(l, n, &source);
    if (bias) none = n->in[2];
    else none = tensor_const(l->g, NULL, t->dt, 1, &features, NEW_ARRAY(l->g->a, float, features));
    in[1] = pack_vector(l, none, features);
    Pack p = {features, c / group, group, group / merge, l->lanes, source ? c : min_i64(c, l->lanes), b.vecs};
    for (int64_t i = 0; i < phases; i++)
        in[2 + i] = pack_weights(l, phase_weights(l, n, x, (int64_t[]){i / x[1].stride, i % x[1].stride}, group), &p);
    Node *m = layout_node(l, "ConvTransposeBlocked", n, 2 + (int)phases, in);
    node_set_i(m, BLK_CHANNELS, c), node_set_i(m, BLK_FEATURES, features), node_set_i(m, BLK_GROUP, group / merge);
    node_set_is(l->g, m, BLK_KERNEL, (int64_t[]){x[0].k, x[1].k}, 2), node_set_is(l->g, m, BLK_DILATIONS, (int64_t[]){1, 1}, 2);
    node_set_is(l->g, m, BLK_STRIDES, (int64_t[]){x[0].stride, x[1].stride}, 2);
    node_set_is(l->g, m, BLK_PADS, (int64_t[]){x[0].pad, x[1].pad}, 2);
    node_set_is(l->g, m, BLK_OUT, (int64_t[]){x[0].out, x[1].out}, 2);
    node_set_is(l->g, m, BLK_TILE, (int64_t[]){b.rows, b.cols, b.vecs}, 3);
    node_set_i(m, BLK_SOURCE, source);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], false);
    return true;
}
