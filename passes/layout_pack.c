/* SPDX-License-Identifier: Apache-2.0 */
/* layout_pack.c: operands of convolutions on channel-blocked tensors. Weights are packed in the order in which the inner loops read
 * them: [panel][block of input channels][row][column][input channel][output vector][lane], zeros where channels end. Small groups
 * are merged: a block of 16 channels with groups of 4 is one dense 16 x 16 product with zeros outside the groups.
 *
 *   w[64,64,3,3]  --->  w'[2,4,3,3,16,2,16]
 */
#include "ir/dot.h"
#include "layout.h"
#include "rules.h"
#include <string.h>

enum { MAX_MERGE = 8 };
/* Where in the model's weights it is; -1: nowhere, it is zero. c: within the merged group. */
static int64_t weight_at(const Pack *p, int64_t taps, int64_t m, int64_t c, int64_t tap) {
    int64_t per = p->group / p->merged, mg = p->features / p->group, g = m / mg, first = g % per * p->channels;
    return c < first || c >= first + p->channels ? -1 : (m * p->channels + c - first) * taps + tap;
}
Tensor *pack_weights(Layout *l, const Tensor *w, const Pack *p) {
    int64_t kh = w->type.dim[2], kw = w->type.dim[3], taps = kh * kw, mg = p->features / p->merged,
            cg = p->channels * (p->group / p->merged);
    int64_t panels = ceil_div(ceil_div(mg, p->lanes), p->vecs), blocks = ceil_div(cg, p->in_lanes), width = p->vecs * p->lanes;
    int64_t dim[] = {p->merged * panels, blocks, kh, kw, p->in_lanes, p->vecs, p->lanes};
    const int64_t size = dtype_info[w->type.dt].bits / 8;
    char *v = NEW_ARRAY(l->g->a, char, dim[0] * blocks * taps * p->in_lanes * width * size), *to = v;
    const char *from = w->data;
    for (int64_t panel = 0; panel < dim[0]; panel++)
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t t = 0; t < taps; t++)
                for (int64_t c = b * p->in_lanes; c < (b + 1) * p->in_lanes; c++, to += width * size) {
                    int64_t first = panel % panels * width, count = c < cg ? min_i64(width, mg - first) : 0;
                    for (int64_t j = 0; j < count; j++) {
                        int64_t k = weight_at(p, taps, panel / panels * mg + first + j, c, t);
                        if (k >= 0) memcpy(to + j * size, from + k * size, (size_t)size);
                    }
                }
    return tensor_const(l->g, NULL, w->type.dt, 7, dim, v);
}
Tensor *pack_words(Layout *l, const Tensor *w, const Pack *p) {
    int64_t kh = w->type.dim[2], kw = w->type.dim[3], taps = kh * kw, mg = p->features / p->merged,
            cg = p->channels * (p->group / p->merged), words = ceil_div(min_i64(cg, p->in_lanes), WORD_BYTES);
    int64_t panels = ceil_div(ceil_div(mg, p->lanes), p->vecs), blocks = ceil_div(cg, p->in_lanes), width = p->vecs * p->lanes;
    int64_t dim[] = {p->merged * panels, blocks, kh, kw, words, p->vecs, p->lanes}, n = dim[0] * blocks * taps * words * width;
    int32_t *v = NEW_ARRAY(l->g->a, int32_t, n);
    const int8_t *from = w->data;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = i % width, word = i / width % words, t = i / width / words % taps, b = i / width / words / taps % blocks,
                panel = i / width / words / taps / blocks, m = panel % panels * width + j;
        uint32_t sum = 0;
        for (int64_t k = 0; k < WORD_BYTES && m < mg; k++) {
            int64_t c = b * p->in_lanes + word * WORD_BYTES + k, at = c < cg ? weight_at(p, taps, panel / panels * mg + m, c, t) : -1;
            if (at >= 0) sum |= (uint32_t)(uint8_t)from[at] << 8 * k;
        }
        v[i] = (int32_t)sum;
    }
    return tensor_const(l->g, NULL, DT_INT32, 7, dim, v);
}
Tensor *pack_zero(Layout *l, Node *n, const Tensor *w, Tensor *zero, bool back) {
    int64_t features = w->type.dim[0], channels = w->type.dim[1], taps = w->type.dim[2] * w->type.dim[3],
            blocks = ceil_div(features, l->lanes);
    int32_t *v = NEW_ARRAY(l->g->a, int32_t, blocks * l->lanes * (back ? taps : 1));
    const int8_t *from = w->data;
    for (int64_t m = 0; m < features; m++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t t = 0; t < taps; t++) {
                int32_t k = from[(m * channels + c) * taps + t];
                int64_t block = m / l->lanes, at = back ? block * taps + t : block;
                v[at * l->lanes + m % l->lanes] += back ? k : -k;
            }
    int64_t each[] = {blocks, w->type.dim[2], w->type.dim[3], l->lanes}, all[] = {blocks, l->lanes};
    return times_zero(l->g, n, tensor_const(l->g, NULL, DT_INT32, back ? 4 : 2, back ? each : all, v), zero);
}
Tensor *pack_vector(Layout *l, const Tensor *b, int64_t count) { /* [blocks, lanes] */
    int64_t blocks = ceil_div(count, l->lanes);
    const int64_t size = dtype_info[b->type.dt].bits / 8;
    char *v = NEW_ARRAY(l->g->a, char, blocks * l->lanes * size);
    memcpy(v, b->data, (size_t)(count * size));
    return tensor_const(l->g, NULL, b->type.dt, 2, (int64_t[]){blocks, l->lanes}, v);
}
int64_t merge_groups(int64_t group, int64_t channels, int64_t features, int64_t lanes) {
    if (group == 1) return 1;
    for (int64_t q = 1; q <= MAX_MERGE && q <= group; q++)
        if (group % q == 0 && q * (channels / group) % lanes == 0 && q * (features / group) % lanes == 0) return q;
    return 0;
}

bool is_to_nchw(const Node *n) {
    int64_t count;
    const int64_t *p = n && op_is(n, "Transpose") ? get_is(n, "perm", &count) : NULL;
    return p && count == 4 && p[0] == 0 && p[1] == 3 && p[2] == 1 && p[3] == 2;
}
Tensor *conv_source(Layout *l, Node *n, int64_t *source) {
    Tensor *x = n->in[0];
    bool turned = is_to_nchw(x->def);
    *source = BLK_SOURCE_BLOCKED;
    if (layout_of(l, x)->b) return layout_of(l, x)->b;
    if (x->type.dim[1] < l->lanes) {
        *source = turned ? BLK_SOURCE_NHWC : BLK_SOURCE_NCHW;
        return turned ? x->def->in[0] : x;
    }
    return turned ? layout_block(l, x->def->in[0], true, n) : layout_block(l, x, false, n);
}
