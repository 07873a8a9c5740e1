/* SPDX-License-Identifier: Apache-2.0 */
/* retarget.c: one graph, several targets. Layouts and packed weights are chosen once, for the target with the longest vectors; what is
 * left to each target is how large a block of sums it holds in registers, an attribute of some operators. Here these attributes are
 * set for a target before its nests are built. Its registers count in units of the layout's vectors: 16 registers of 8 lanes are
 * 8 of 16 lanes.
 *
 *   ConvBlocked … tile 1 14 2 (AVX-512)   --->   ConvBlocked … tile 1 6 2 for AVX2
 */
#include "internal.h"
#include "ir/ops/blocked.h"
#include "layout.h"
#include <string.h>

enum { SCALAR_REGS = 8 }; /* blocks of targets without vectors stay small: their sums are an array */

static void panel_rows(Run *r, Node *n, const Target *t) {
    const Type *w = &n->in[1]->type, *o = &n->out[0]->type;
    int64_t vectors = w->dim[2] / attr_i(n, op_attr_index(n->op, "lanes")), rows = 1;
    for (int d = 0; d < o->rank - 1; d++) rows = max_i64(rows, o->dim[d]);
    if (o->rank >= 2 && o->dim[o->rank - 2] >= 6) rows = o->dim[o->rank - 2];
    int64_t regs = t->vector_regs * t->vector_bits / r->o->target->vector_bits, most = max_i64((regs - 1 - vectors) / vectors, 1);
    node_set_i(n, op_attr_index(n->op, "rows"), ceil_div(rows, ceil_div(rows, most)));
}
static ConvExtents extents_of(const Node *n, bool nhwc) {
    const Type *x = &n->in[0]->type;
    const int64_t *out = n->attr[BLK_OUT].is, *k = n->attr[BLK_KERNEL].is, *dil = n->attr[BLK_DILATIONS].is, *pad = n->attr[BLK_PADS].is,
                  *stride = n->attr[BLK_STRIDES].is;
    int h = nhwc ? 1 : 2;
    int64_t step = conv_step(x->dt);
    return (ConvExtents){.images = x->dim[0],
                         .channels = ceil_div(attr_i(n, BLK_CHANNELS) / attr_i(n, BLK_GROUP), step) * attr_i(n, BLK_GROUP),
                         .features = attr_i(n, BLK_FEATURES),
                         .group = attr_i(n, BLK_GROUP),
                         .in_h = x->dim[h],
                         .in_w = x->dim[h + 1],
                         .out_h = out[0],
                         .out_w = out[1],
                         .k_h = k[0],
                         .k_w = k[1],
                         .stride = stride[1],
                         .padded_rows = pad[0] > 0 || (out[0] - 1) * stride[0] + (k[0] - 1) * dil[0] - pad[0] >= x->dim[h],
                         .half = x->dt == DT_HALF};
}
static void conv_tile(Run *r, Node *n, const Target *t) {
    const Type *w = &n->in[1]->type;
    ConvExtents e = extents_of(n, attr_i(n, BLK_SOURCE) == BLK_SOURCE_NHWC);
    ConvBlock b = conv_block_of(t, w->dim[6], &e, w->dim[5]);
    node_set_is(r->g, n, BLK_TILE, (int64_t[]){b.rows, b.cols, w->dim[5]}, 3);
    if (!attr_i(n, BLK_CHUNK)) node_set_i(n, BLK_STRIP, b.strip); /* else sums of a strip wait in memory, which all targets share */
}
static void transposed_tile(Run *r, Node *n, const Target *t) {
    const Type *w = &n->in[2]->type;
    ConvExtents e = extents_of(n, attr_i(n, BLK_SOURCE) == BLK_SOURCE_NHWC);
    const int64_t *stride = n->attr[BLK_STRIDES].is;
    e.out_h = ceil_div(e.out_h, stride[0]), e.out_w = ceil_div(e.out_w, stride[1]);
    e.k_h = w->dim[2], e.k_w = w->dim[3], e.stride = 1, e.padded_rows = true;
    ConvBlock b = conv_block_of(t, w->dim[6], &e, w->dim[5]);
    node_set_is(r->g, n, BLK_TILE, (int64_t[]){b.rows, b.cols, w->dim[5]}, 3);
}
static void channel_tile(Run *r, Node *n, const Target *t) {
    ConvExtents e = extents_of(n, false);
    ConvBlock b = channel_block_of(t, &e);
    node_set_is(r->g, n, BLK_TILE, (int64_t[]){b.rows, b.cols, b.vecs}, 3);
    node_set_i(n, BLK_STRIP, b.strip);
}
static void winograd_tile(Run *r, Node *n, const Target *t) {
    const int64_t *tile = n->attr[WGD_TILE].is;
    const Type *u = &n->in[1]->type;
    const int64_t *out = n->attr[WGD_OUT].is;
    WinogradExtents e = {tile[0],
                         attr_i(n, WGD_CHANNELS),
                         attr_i(n, WGD_FEATURES),
                         ceil_div(out[0], tile[0]),
                         ceil_div(out[1], tile[0]),
                         n->in[0]->type.dim[0]};
    WinogradBlock b = winograd_block_of(t, u->dim[5], &e, tile[1], u->dim[4]);
    node_set_is(r->g, n, WGD_TILE, (int64_t[]){tile[0], tile[1], b.points, u->dim[4]}, 4);
}
/* Nothing of the model's is packed in panels here: keys are, at run time. One vector at once fits the registers of any target. */
static void attention_rows(Run *r, Node *n, const Target *t) {
    int64_t regs = t->vector_regs * t->vector_bits / r->o->target->vector_bits;
    int64_t lanes = attr_i(n, op_attr_index(n->op, "lanes")), queries = n->attr[op_attr_index(n->op, "dims")].is[2];
    int64_t rows = min_i64(max_i64(regs - 2, 1), queries);
    node_set_i(n, op_attr_index(n->op, "rows"), ceil_div(queries, ceil_div(queries, rows)));
    node_set_i(n, op_attr_index(n->op, "width"), lanes), node_set_i(n, op_attr_index(n->op, "cols"), lanes);
}

static const struct {
    const char *op;
    void (*fn)(Run *r, Node *n, const Target *t);
} rows[] = {{"ConvTransposeBlocked", transposed_tile},
            {"MatMulPanel", panel_rows},
            {"ConvBlocked", conv_tile},
            {"MatMulIntegerPanel", panel_rows},
            {"ConvIntegerBlocked", conv_tile},
            {"DepthwiseBlocked", channel_tile},
            {"PoolBlocked", channel_tile},
            {"WinogradBlocked", winograd_tile},
            {"FusedAttention", attention_rows}};

void retarget(Run *r, const Target *own, SavedAttrs *saved) {
    Target t = *own;
    if (!own->vector_bits) { /* as the layout's, with a few registers */
        t = *r->o->target;
        t.vector_regs = SCALAR_REGS;
    }
    for (Node *n = r->g->first; n; n = n->next)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (strcmp(n->op->domain, "quern") != 0 || strcmp(n->op->name, rows[i].op) != 0) continue;
            Attr *attr = NEW_ARRAY(r->tmp, Attr, n->op->nattr + 1);
            memcpy(attr, n->attr, sizeof *attr * (size_t)n->op->nattr);
            vec_push(r->tmp, &saved->node, n);
            vec_push(r->tmp, &saved->attr, attr);
            rows[i].fn(r, n, &t);
        }
}
void retarget_undo(const SavedAttrs *saved) {
    for (int i = 0; i < saved->node.n; i++)
        memcpy(saved->node.v[i]->attr, saved->attr.v[i], sizeof(Attr) * (size_t)saved->node.v[i]->op->nattr);
}
