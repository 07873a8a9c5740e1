/* SPDX-License-Identifier: Apache-2.0 */
/* layout_conv.c: convolutions and pools on channel-blocked tensors.
 *
 *   Conv(x[1,64,56,56], w[64,64,3,3])  --->  ConvBlocked(x'[1,4,56,56,16], w'[2,4,3,3,16,2,16]) tile 1 14 2
 */
#include "blocks.h"
#include "layout.h"
#include "ir/dot.h"
#include "ir/extent.h"
#include "rules.h"
#include "tune.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EDGE_TAPS = 96 };
typedef struct Site { /* a window over the plane, its padding explicit */
    int64_t k[2], stride[2], dil[2], pad[2], in[2], out[2];
    int64_t behind[2]; /* padding there */
    bool run[2];       /* the extents are known at run time only: in and out are bounds */
} Site;

static int64_t at(const Node *n, const char *name, int i, int64_t def) {
    int64_t count;
    const int64_t *v = get_is(n, name, &count);
    return v && i < count ? v[i] : def;
}
static bool site_of(const Node *n, const int64_t *k, Site *s) {
    const char *mode = get_s(n, "auto_pad", "NOTSET");
    for (int i = 0; i < 2; i++) {
        s->k[i] = k[i], s->in[i] = n->in[0]->type.dim[2 + i], s->out[i] = n->out[0]->type.dim[2 + i];
        s->stride[i] = at(n, "strides", i, 1), s->dil[i] = at(n, "dilations", i, 1);
        s->pad[i] = strcmp(mode, "NOTSET") == 0 ? at(n, "pads", i, 0) : 0;
        if (s->in[i] < 1 || s->out[i] < 1) return false;
        int64_t need = max_i64((s->out[i] - 1) * s->stride[i] + (s->k[i] - 1) * s->dil[i] + 1 - s->in[i], 0);
        if (strcmp(mode, "SAME_UPPER") == 0) s->pad[i] = need / 2;
        if (strcmp(mode, "SAME_LOWER") == 0) s->pad[i] = need - need / 2;
        s->behind[i] = strcmp(mode, "NOTSET") == 0 ? at(n, "pads", i + 2, 0) : strncmp(mode, "SAME", 4) == 0 ? need - s->pad[i] : 0;
        s->run[i] = n->in[0]->type.ext && n->in[0]->type.ext[2 + i];
    }
    return true;
}
static bool run_time(const Site *s) { return s->run[0] || s->run[1]; }
/* A block whose columns are known at run time only: one row, and what it reads of the input's fits in a small buffer. */
static bool stage_fits(const Site *s, int64_t values, ConvBlock *b) {
    if (!s->run[1]) return true;
    b->cols = min_i64(b->rows * b->cols, s->out[1]), b->rows = 1;
    return ((b->cols - 1) * s->stride[1] + (s->k[1] - 1) * s->dil[1] + 1) * values * (int64_t)sizeof(float) <= STAGE_MOST;
}
static bool taps_fit(const Site *s) { /* taps of edge columns are written out: not too many */
    if (s->run[1]) return true;
    int64_t reach = (s->k[1] - 1) * s->dil[1];
    return (ceil_div(reach, 4) + 2) * s->k[1] <= MAX_EDGE_TAPS * 2 && s->k[1] <= 31;
}
static int64_t columns_right(const Site *s) { /* that the last output reads behind the input */
    return max_i64((s->out[1] - 1) * s->stride[1] + (s->k[1] - 1) * s->dil[1] + 1 - s->in[1] - s->pad[1], 0);
}
static bool padded_rows(const Site *s) {
    return s->pad[0] > 0 || (s->out[0] - 1) * s->stride[0] + (s->k[0] - 1) * s->dil[0] - s->pad[0] >= s->in[0];
}

static ConvExtents extents_of(const Node *n, const Site *s, int64_t channels, int64_t features, int64_t group) {
    return (ConvExtents){channels,
                         features,
                         group,
                         s->in[0],
                         s->in[1],
                         s->out[0],
                         s->out[1],
                         s->k[0],
                         s->k[1],
                         s->stride[1],
                         padded_rows(s),
                         n->in[0]->type.dt == DT_HALF,
                         n->in[0]->type.dim[0]};
}
static bool never_outside(const Site *s) { /* no tap of any output reads outside */
    return !padded_rows(s) && s->pad[1] <= 0 && (s->out[1] - 1) * s->stride[1] + (s->k[1] - 1) * s->dil[1] - s->pad[1] < s->in[1];
}
static void window_attributes(Layout *l, Node *n, const Site *s, int64_t channels, int64_t features, int64_t group, const ConvBlock *b) {
    node_set_i(n, BLK_CHANNELS, channels), node_set_i(n, BLK_FEATURES, features), node_set_i(n, BLK_GROUP, group);
    node_set_is(l->g, n, BLK_KERNEL, s->k, 2), node_set_is(l->g, n, BLK_STRIDES, s->stride, 2),
        node_set_is(l->g, n, BLK_DILATIONS, s->dil, 2);
    node_set_is(l->g, n, BLK_PADS, (int64_t[]){s->pad[0], s->pad[1], s->behind[0], s->behind[1]}, run_time(s) ? 4 : 2);
    node_set_is(l->g, n, BLK_OUT, s->out, 2);
    node_set_is(l->g, n, BLK_TILE, (int64_t[]){b->rows, b->cols, b->vecs}, 3);
    node_set_i(n, BLK_STRIP, b->strip), node_set_i(n, BLK_CHUNK, b->chunk);
}

/* The layer's mapping, for the comment of its function and for `quern inspect`. */
static void note_mapping(Layout *l, const Node *n, Node *to, const Mapping *m) {
    to->layer = n->loc.name && *n->loc.name ? n->loc.name : n->out[0]->name;
    to->mapped = mapping_line(l->g->a, m);
}
/* ---- weights */
static Tensor *pack_depthwise(Layout *l, const Tensor *w) { /* [blocks, kh, kw, lanes] */
    int64_t c = w->type.dim[0], taps = w->type.dim[2] * w->type.dim[3], blocks = ceil_div(c, l->lanes);
    const int64_t size = dtype_info[w->type.dt].bits / 8;
    char *v = NEW_ARRAY(l->g->a, char, blocks *taps * l->lanes * size);
    const char *from = w->data;
    for (int64_t i = 0; i < c; i++)
        for (int64_t t = 0; t < taps; t++)
            memcpy(v + ((i / l->lanes * taps + t) * l->lanes + i % l->lanes) * size, from + (i * taps + t) * size, (size_t)size);
    return tensor_const(l->g, NULL, w->type.dt, 4, (int64_t[]){blocks, w->type.dim[2], w->type.dim[3], l->lanes}, v);
}
/* ---- nodes */
static bool plain_conv(const Node *n) {
    if (!op_is(n, "Conv") || n->in[0]->type.rank != 4 || !layout_type(n->in[0]->type.dt) || !is_const(n->in[1])) return false;
    if (n->in[1]->type.dt == DT_FLOAT32 && (uintptr_t)n->in[1]->data % sizeof(float)) return false;
    return n->nin < 3 || !n->in[2] || is_const(n->in[2]);
}
/* Windows too wide for edges of their own get columns of zeros around the input, so that there are none. */
static void pad_columns(Layout *l, Node *n, Site *s) {
    int64_t right = columns_right(s), pads[8] = {[3] = s->pad[1], [7] = right};
    if (s->pad[1] == 0 && right == 0) return;
    Tensor *in[2] = {n->in[0], tensor_i64s(l->g, pads, 8)};
    Node *p = layout_node(l, "Pad", n, 2, in);
    layout_infer(l, p);
    Tensor *wide = p->out[0];
    layout_pad(l, p);
    node_set_in(n, 0, wide);
    put_is(l->g, n, "pads",
           (int64_t[]){s->pad[0], 0, max_i64(0, (s->out[0] - 1) * s->stride[0] + (s->k[0] - 1) * s->dil[0] + 1 - s->in[0] - s->pad[0]), 0},
           4);
    node_set_s(n, op_attr_index(n->op, "auto_pad"), "NOTSET");
    s->in[1] += s->pad[1] + right, s->pad[1] = 0;
}
static bool depthwise(Layout *l, Node *n, const Site *s) {
    int64_t c = n->in[0]->type.dim[1];
    ConvExtents e = extents_of(n, s, c, c, c);
    ConvBlock b = channel_block_of(layout_target(l, n->in[0]->type.dt), &e);
    if (!stage_fits(s, l->lanes, &b)) return false;
    Tensor *in[3] = {layout_block(l, n->in[0], false, n), pack_depthwise(l, n->in[1]), NULL};
    bool bias = n->nin > 2 && n->in[2];
    if (bias) in[2] = pack_vector(l, n->in[2], c);
    Node *m = layout_node(l, "DepthwiseBlocked", n, bias ? 3 : 2, in);
    window_attributes(l, m, s, c, c, c, &b);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], false);
    return true;
}
/* ---- Winograd */
/* What a model's weights may grow to, by conversion to other layouts; the rest is for lanes that are filled up. */
static const double MOST_WEIGHTS = 1.95;
enum { MIN_WINOGRAD_CHANNELS = 24, MIN_WINOGRAD_MAP = 100 };
static WinogradExtents winograd_extents(const Site *s, const ConvExtents *e, int64_t m) {
    return (WinogradExtents){m, e->channels, e->features, ceil_div(s->out[0], m), ceil_div(s->out[1], m), e->images};
}
/* Whole numbers: sums of their products with whole numbers are exact (qdq.c relies on it); the transform's fractions would round. */
static bool integral(const Tensor *w) {
    const float *v = w->data;
    for (int64_t i = 0, n = tensor_elements(w); i < n; i++)
        if (v[i] != truncf(v[i])) return false;
    return true;
}
/* How a convolution is computed: directly (m 0), or by Winograd's algorithm on tiles of m x m. */
typedef struct ConvPlan {
    int64_t m;
    WinogradBlock tiles;
    ConvBlock block;
} ConvPlan;
typedef struct ConvCase {
    const Node *n;
    const Site *s;
    ConvExtents e;
    int64_t groups; /* of the model */
} ConvCase;
/* F(4x4) is for layers that it leaves within this part of their largest output. */
static const double MOST_ERROR = 1e-5;
static bool accurate(Layout *l, const ConvCase *k) {
    const Tensor *w = k->n->in[1];
    for (int i = 0; i < l->tried.n; i++)
        if (l->tried.v[i].w == w) return l->tried.v[i].error <= MOST_ERROR;
    Tried t = {w, winograd_error(l->r->tmp, w->data, k->e.features, k->e.channels)};
    vec_push(l->r->tmp, &l->tried, t);
    return t.error <= MOST_ERROR;
}
static int64_t most_winograd(Layout *l, const ConvCase *k) { /* 0: directly alone; F(4x4) loses some bits */
    const Site *s = k->s;
    /* its transforms would cost too many of a half's bits; in blocks for halves its sums fill two registers each */
    if (k->e.half || l->bytes || layout_target(l, DT_FLOAT32) != l->target) return 0;
    if (k->groups > 1 || integral(k->n->in[1]) || s->k[0] != 3 || s->k[1] != 3 || s->stride[0] != 1 || s->stride[1] != 1 ||
        s->dil[0] != 1 || s->dil[1] != 1)
        return 0;
    if (k->e.channels < MIN_WINOGRAD_CHANNELS || k->e.features < MIN_WINOGRAD_CHANNELS || s->out[0] * s->out[1] < MIN_WINOGRAD_MAP)
        return 0;
    for (int i = 0; i < l->small.n; i++)
        if (l->small.v[i] == k->n) return 2;
    return l->r->o->precise || !accurate(l, k) ? 2 : 4;
}
/* Layers of one shape are common: what was chosen before is known. */
static ConvBlock direct_block(Layout *l, const ConvExtents *e) {
    const char *key = arena_printf(l->r->tmp, "%lld %lld %lld, %lld %lld, %lld %lld, %lld %lld, %lld %d %d %lld", (long long)e->channels,
                                   (long long)e->features, (long long)e->group, (long long)e->in_h, (long long)e->in_w, (long long)e->out_h,
                                   (long long)e->out_w, (long long)e->k_h, (long long)e->k_w, (long long)e->stride, e->padded_rows, e->half,
                                   (long long)e->images);
    ConvBlock *b = map_get(l->chosen, key);
    if (!b) {
        b = NEW(l->r->tmp, ConvBlock);
        *b = conv_block_of(block_target(l, e->half), l->lanes, e, 0);
        map_set(l->chosen, key, b);
    }
    return *b;
}
static WinogradBlock tiles_block(Layout *l, const ConvCase *k, int64_t m) {
    const WinogradExtents e = winograd_extents(k->s, &k->e, m);
    const char *key = arena_printf(l->r->tmp, "winograd %d %lld, %lld %lld, %lld %lld, %lld", k->e.half, (long long)m,
                                   (long long)e.channels, (long long)e.features, (long long)e.high, (long long)e.wide, (long long)e.images);
    WinogradBlock *b = map_get(l->chosen, key);
    if (!b) {
        b = NEW(l->r->tmp, WinogradBlock);
        *b = winograd_block_of(block_target(l, k->e.half), l->lanes, &e, 0, 0);
        map_set(l->chosen, key, b);
    }
    return *b;
}
static ConvPlan best_plan(Layout *l, const ConvCase *k) {
    ConvPlan best = {.block = direct_block(l, &k->e)};
    double least = best.block.cycles;
    for (int64_t m = 2, most = most_winograd(l, k); m <= most; m += 2) {
        WinogradBlock b = tiles_block(l, k, m);
        if (b.cycles >= least) continue;
        least = b.cycles, best.m = m, best.tiles = b;
    }
    return best;
}

/* ---- plans to measure */
typedef struct Plans {
    TuneAsk ask;
    ConvPlan of[TUNE_MOST];
} Plans;
static void offer(Layout *l, Plans *p, const ConvPlan *c) {
    const char *text = c->m ? arena_printf(l->g->a, "winograd %lld, %lld rows of tiles, %lld tiles by %lld vectors", (long long)c->m,
                                           (long long)c->tiles.rows, (long long)c->tiles.points, (long long)c->tiles.vecs)
                            : arena_printf(l->g->a, "direct, %lld rows, %lld columns by %lld vectors, strips of %lld rows, chunks of %lld",
                                           (long long)c->block.rows, (long long)c->block.cols, (long long)c->block.vecs,
                                           (long long)c->block.strip, (long long)c->block.chunk);
    if (p->ask.n < TUNE_MOST) p->of[p->ask.n] = *c;
    tune_add(&p->ask, text);
}
static ConvPlan conv_plan(Layout *l, const ConvCase *k) {
    const Site *s = k->s;
    const ConvExtents *e = &k->e;
    ConvPlan best = best_plan(l, k);
    Plans p = {.ask.node = k->n};
    if (!l->r->o->tuner) return best;
    p.ask.kernel = arena_printf(
        l->g->a,
        "Conv of %lldx%lldx%lld by %lldx%lldx%lld to %lldx%lld, strides %lld %lld, dilations %lld %lld, pads %lld %lld, %lld groups",
        (long long)e->channels, (long long)e->in_h, (long long)e->in_w, (long long)e->features, (long long)e->k_h, (long long)e->k_w,
        (long long)e->out_h, (long long)e->out_w, (long long)s->stride[0], (long long)s->stride[1], (long long)s->dil[0],
        (long long)s->dil[1], (long long)s->pad[0], (long long)s->pad[1], (long long)k->groups);
    offer(l, &p, &best);
    WinogradBlock tiles[CHOICES];
    ConvBlock direct[CHOICES];
    for (int64_t m = 2; m <= most_winograd(l, k); m += 2) {
        WinogradExtents w = winograd_extents(s, e, m);
        int n = winograd_blocks_of(block_target(l, e->half), l->lanes, &w, 0, 0, CHOICES / 3, tiles);
        for (int i = 0; i < n; i++) offer(l, &p, &(ConvPlan){.m = m, .tiles = tiles[i]});
    }
    int n = conv_blocks_of(block_target(l, e->half), l->lanes, e, 0, CHOICES, direct);
    for (int i = 0; i < n; i++) offer(l, &p, &(ConvPlan){.block = direct[i]});
    const char *answer = tune_answer(l->r->o->tuner, &p.ask);
    for (int i = 0; i < p.ask.n; i++)
        if (answer == p.ask.choice[i]) best = p.of[i];
    return best;
}
void winograd_filter(const float *w, int64_t m, double *u) {
    const double *G = winograd_matrix(m, 'G');
    double t[6][3];
    for (int64_t i = 0; i < m + 2; i++)
        for (int k = 0; k < 3; k++) t[i][k] = G[i * 3] * w[k] + G[i * 3 + 1] * w[3 + k] + G[i * 3 + 2] * w[6 + k];
    for (int64_t i = 0; i < m + 2; i++)
        for (int64_t j = 0; j < m + 2; j++) u[i * (m + 2) + j] = t[i][0] * G[j * 3] + t[i][1] * G[j * 3 + 1] + t[i][2] * G[j * 3 + 2];
}
static Tensor *pack_winograd(Layout *l, const Tensor *w, int64_t m, int64_t vecs) {
    int64_t features = w->type.dim[0], channels = w->type.dim[1], lanes = l->lanes, width = vecs * lanes, pos = (m + 2) * (m + 2);
    int64_t blocks = ceil_div(channels, lanes), dim[] = {ceil_div(features, width), pos, blocks, lanes, vecs, lanes};
    float *v = NEW_ARRAY(l->g->a, float, dim[0] * pos * blocks * lanes * width);
    const float *from = w->data;
    double u[36];
    for (int64_t f = 0; f < features; f++)
        for (int64_t c = 0; c < channels; c++) {
            winograd_filter(from + (f * channels + c) * 9, m, u);
            float *to = v + f / width * pos * blocks * lanes * width + c * width + f % width;
            for (int64_t p = 0; p < pos; p++) to[p * blocks * lanes * width] = (float)u[p];
        }
    return tensor_const(l->g, NULL, DT_FLOAT32, 6, dim, v);
}
static void winograd(Layout *l, Node *n, const Site *s, const WinogradExtents *e, WinogradBlock b) {
    int64_t m = e->m, c = n->in[0]->type.dim[1], features = n->in[1]->type.dim[0];
    Tensor *in[3] = {layout_block(l, n->in[0], false, n), pack_winograd(l, n->in[1], m, b.vecs), NULL};
    bool bias = n->nin > 2 && n->in[2];
    if (bias) in[2] = pack_vector(l, n->in[2], features);
    Node *w = layout_node(l, "WinogradBlocked", n, bias ? 3 : 2, in);
    node_set_i(w, WGD_CHANNELS, c), node_set_i(w, WGD_FEATURES, features);
    node_set_is(l->g, w, WGD_OUT, s->out, 2), node_set_is(l->g, w, WGD_PADS, s->pad, 2);
    node_set_is(l->g, w, WGD_TILE, (int64_t[]){m, b.rows, b.points, b.vecs}, 4);
    layout_infer(l, w);
    note_mapping(l, n, w, winograd_mapping(l->g->a, block_target(l, n->in[0]->type.dt == DT_HALF), l->lanes, e, &b));
    layout_result(l, n, w->out[0], false);
}
bool layout_conv(Layout *l, Node *n) {
    Site s;
    if (!plain_conv(n)) return false;
    const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
    int64_t group = get_i(n, "group", 1), c = x->dim[1], features = w->dim[0];
    if (!site_of(n, w->dim + 2, &s) || x->dim[0] < 1 || c < 1) return false;
    if (layout_of(l, n->in[0])->b && layout_of(l, n->in[0])->nhwc) return false;
    if (group > 1 && group == c && features == c) return taps_fit(&s) && depthwise(l, n, &s);
    int64_t merge = merge_groups(group, c, features, l->lanes);
    if (!merge) return false;
    if (!taps_fit(&s)) pad_columns(l, n, &s);
    ConvExtents e = extents_of(n, &s, c, features, group / merge);
    ConvPlan plan = conv_plan(l, &(ConvCase){n, &s, e, group});
    if (plan.m) {
        WinogradExtents tiles = winograd_extents(&s, &e, plan.m);
        winograd(l, n, &s, &tiles, plan.tiles);
        return true;
    }
    int64_t source;
    ConvBlock b = plan.block;
    if (!stage_fits(&s, layout_of(l, n->in[0])->b ? l->lanes : min_i64(c, l->lanes), &b)) return false;
    Tensor *in[3] = {conv_source(l, n, &source), NULL, NULL};
    Pack p = {features, c / group, group, group / merge, l->lanes, source ? c : min_i64(c, l->lanes), b.vecs};
    in[1] = pack_weights(l, n->in[1], &p);
    bool bias = n->nin > 2 && n->in[2];
    if (bias) in[2] = pack_vector(l, n->in[2], features);
    Node *m = layout_node(l, "ConvBlocked", n, bias ? 3 : 2, in);
    window_attributes(l, m, &s, c, features, group / merge, &b);
    node_set_i(m, BLK_SOURCE, source);
    layout_infer(l, m);
    note_mapping(l, n, m, conv_mapping(l->g->a, block_target(l, e.half), l->lanes, &e, &b));
    layout_result(l, n, m->out[0], false);
    return true;
}
/* ---- integers, four channels at a time */
enum { FEW_CHANNELS = 4 };
bool layout_takes_integers(const Node *n, int64_t lanes) {
    Site s;
    const Type *x = &n->in[0]->type, *w = &n->in[1]->type;
    if (x->rank != 4 || lanes % FEW_CHANNELS || x->dim[0] < 1 || x->dim[1] < 1 || w->dim[1] < 1 || w->dim[0] < 1) return false;
    int64_t group = get_i(n, "group", 1);
    bool whole = group == 1 || (x->dim[1] / group % lanes == 0 && w->dim[0] / group % lanes == 0);
    return whole && site_of(n, w->dim + 2, &s) && !run_time(&s) && taps_fit(&s);
}
/* A tensor of few channels becomes blocks of one word, all others of a vector's lanes. */
static Tensor *words_source(Layout *l, Node *n) {
    Tensor *x = n->in[0];
    if (layout_of(l, x)->b) return layout_of(l, x)->b;
    bool turned = is_to_nchw(x->def);
    int64_t channels = x->type.dim[1];
    if (turned) x = x->def->in[0];
    if (channels > FEW_CHANNELS) return layout_block(l, x, turned, n);
    Node *m = layout_node(l, "ToBlocked", n, 1, &x);
    node_set_i(m, TOB_CHANNELS, channels), node_set_i(m, TOB_LANES, FEW_CHANNELS), node_set_i(m, TOB_NHWC, turned);
    layout_infer(l, m);
    return m->out[0];
}
bool layout_conv_integer(Layout *l, Node *n) {
    Site s;
    if (!op_is(n, "ConvInteger") || !is_const(n->in[1]) || n->in[1]->type.dt != DT_INT8 || (n->nin > 3 && n->in[3])) return false;
    Tensor *zx = n->nin > 2 ? n->in[2] : NULL;
    if (dtype_info[n->in[0]->type.dt].bits != 8 || !layout_takes_integers(n, l->lanes)) return false;
    if (!site_of(n, n->in[1]->type.dim + 2, &s) || (layout_of(l, n->in[0])->b && layout_of(l, n->in[0])->nhwc)) return false;
    int64_t group = get_i(n, "group", 1), c = n->in[0]->type.dim[1], features = n->in[1]->type.dim[0];
    int64_t words = ceil_div(c / group, FEW_CHANNELS) * group;
    Target t = *l->target;
    DotRow dot;
    /* some registers are for the numbers of what follows, more where the sum goes on over many words: compilers keep those of both */
    const int kept = t.vector_regs < 32 ? 4 : words > 1 ? 12 : 8;
    t.vector_regs -= kept + (target_dot(l->r->tmp, l->target, l->lanes, &dot) ? dot.regs : 0);
    ConvExtents e = extents_of(n, &s, words, features, group);
    ConvBlock b = conv_block_of(&t, l->lanes, &e, 0);
    b.chunk = 0;
    Tensor *in[4] = {words_source(l, n), NULL, NULL, NULL};
    Pack p = {features, c / group, group, group, l->lanes, in[0]->type.dim[4], b.vecs};
    in[1] = pack_words(l, n->in[1], &p);
    int nin = 2;
    if (zx) in[2] = pack_zero(l, n, n->in[1], zx, false);
    if (in[2]) nin = 3;
    if (in[2] && !never_outside(&s)) in[nin++] = pack_zero(l, n, n->in[1], zx, true);
    Node *m = layout_node(l, "ConvIntegerBlocked", n, nin, in);
    window_attributes(l, m, &s, c, features, group, &b);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], false);
    return true;
}

/* ---- weights of the whole model: those of F(4x4) are four times as large, so only the convolutions that gain most by the byte have it */
typedef struct Upgrade {
    const Node *n;
    double bytes, gain; /* of F(4x4) over what is best without it */
} Upgrade;
static int by_worth(const void *a, const void *b) {
    const Upgrade *x = a, *y = b;
    double wx = x->gain / x->bytes, wy = y->gain / y->bytes;
    return (wx < wy) - (wx > wy);
}
static double packed_bytes(const Layout *l, const ConvCase *k, int64_t taps) {
    return 4.0 * (double)(taps * k->e.channels * ceil_div(k->e.features, l->lanes) * l->lanes);
}
void layout_budget(Layout *l) {
    Vec(Upgrade) up = {0};
    double total = 0, spare;
    Site s;
    if (l->r->o->any_weights || l->r->o->precise) return;
    for (int i = 0; i < l->g->tensors.n; i++)
        if (l->g->tensors.v[i]->data && l->g->tensors.v[i]->nuse) total += (double)tensor_bytes(l->g->tensors.v[i]);
    spare = total * (MOST_WEIGHTS - 1);
    /* weights of a byte each in the file: bytes.c keeps them so, if nothing is transformed */
    l->bytes = l->g->given > 0 && total > 2 * (double)l->g->given && pass_runs(l->r, pass_bytes);
    for (const Node *n = l->g->first; n; n = n->next) {
        if (!plain_conv(n) || !site_of(n, n->in[1]->type.dim + 2, &s)) continue;
        int64_t c = n->in[0]->type.dim[1], features = n->in[1]->type.dim[0];
        const ConvExtents e = extents_of(n, &s, c, features, 1);
        const ConvCase k = {n, &s, e, get_i(n, "group", 1)};
        if (most_winograd(l, &k) < 4) continue;
        double direct = direct_block(l, &e).cycles, two = tiles_block(l, &k, 2).cycles, four = tiles_block(l, &k, 4).cycles;
        double next = two < direct ? two : direct, bytes = packed_bytes(l, &k, two < direct ? 16 : 9);
        spare -= bytes - packed_bytes(l, &k, 9);
        if (four < next) vec_push(l->r->tmp, &up, ((Upgrade){n, packed_bytes(l, &k, 36) - bytes, next - four}));
    }
    if (up.n) qsort(up.v, (size_t)up.n, sizeof *up.v, by_worth);
    for (int i = 0; i < up.n; i++)
        if (up.v[i].bytes <= spare) spare -= up.v[i].bytes;
        else vec_push(l->r->tmp, &l->small, up.v[i].n);
}
bool layout_pool(Layout *l, Node *n) {
    Site s;
    int64_t count;
    bool largest = op_is(n, "MaxPool");
    if ((!largest && !op_is(n, "AveragePool")) || n->in[0]->type.rank != 4 || !layout_type(n->in[0]->type.dt) || (n->nout > 1 && n->out[1]))
        return false;
    const int64_t *k = get_is(n, "kernel_shape", &count);
    bool with_pad = !largest && get_i(n, "count_include_pad", 0) != 0;
    if (!layout_of(l, n->in[0])->b || layout_of(l, n->in[0])->nhwc || count != 2 || !site_of(n, k, &s) || !taps_fit(&s)) return false;
    bool up = get_i(n, "ceil_mode", 0) != 0;
    if (up && (with_pad || run_time(&s))) return false; /* windows may reach past the padding */
    if (s.run[1] && !largest && !with_pad && (s.pad[1] || s.behind[1])) return false;
    int64_t c = n->in[0]->type.dim[1];
    ConvExtents e = extents_of(n, &s, c, c, c);
    ConvBlock b = channel_block_of(layout_target(l, n->in[0]->type.dt), &e);
    if (!stage_fits(&s, l->lanes, &b)) return false;
    Tensor *x = layout_of(l, n->in[0])->b;
    Node *m = layout_node(l, "PoolBlocked", n, 1, &x);
    window_attributes(l, m, &s, c, c, c, &b);
    node_set_i(m, BLK_MODE, largest ? BLK_POOL_MAX : with_pad ? BLK_POOL_AVERAGE_PADDED : BLK_POOL_AVERAGE);
    layout_infer(l, m);
    layout_result(l, n, m->out[0], false);
    return true;
}
