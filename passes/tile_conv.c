/* SPDX-License-Identifier: Apache-2.0 */
/* tile_conv.c: block sizes of convolutions, and the schedule of their nests. The block of sums is chosen by an estimate of cycles: two
 * multiply-adds or two loads a cycle, four cycles from one sum to the next, a panel streamed from the second level of cache.
 * Whole panels are outermost, so that each weight is fetched once; when the input is larger than half of that cache, strips of
 * rows go outside. The nests come with loops over blocks, whose names say what they are: u… is written out, vl… are lanes.
 *
 *   64 channels, 56 x 56, 32 registers  --->  14 columns x 2 vectors;  unroll u3, u4, …; vectorise vl5, …
 */
#include "layout.h"
#include "tile.h"
#include <math.h>
#include <string.h>

enum { MAX_BLOCK_TAPS = 9 };           /* blocks of several rows at the upper and lower edge write out their taps: not too many */
enum { FAR_RATE = 5, NEAR_RATE = 40 }; /* bytes a cycle from behind the second level of cache, and from it */
static int64_t level_bytes(const Target *t, const char *name, int64_t def) {
    int i = target_level(t, name);
    return i >= 0 ? t->level[i].words * t->level[i].word_bits / 8 : def;
}
static int64_t cache_bytes(const Target *t) { return level_bytes(t, "L2", 512 << 10); }
static int64_t bytes(const ConvExtents *e) { return e->half ? 2 : 4; }
static double larger(double a, double b) { return a > b ? a : b; }
/* Cycles of one step of the sum for a block; far: the panel comes from the second level of cache. */
static double step_cycles(int64_t points, int64_t vecs, bool far) {
    double fma = 0.5 * (double)(points * vecs), loads = 0.5 * (double)(points + (vecs > 1 ? vecs : 1));
    double t = larger(fma, loads * 1.05);
    if (vecs == 1) t = larger(t, fma * 1.3);
    t = larger(t, 4.0);
    if (far) t += 0.3 * (double)vecs;
    return larger(t, 1.6 * (double)vecs) + 0.25;
}
static double columns_cycles(int64_t out_w, int64_t cols, int64_t rows, int64_t vecs, bool far) {
    int64_t blocks = ceil_div(out_w, cols), base = out_w / blocks, wider = out_w % blocks;
    return (double)wider * step_cycles(rows * (base + 1), vecs, far) + (double)(blocks - wider) * step_cycles(rows * base, vecs, far);
}
static double plane_cycles(const ConvExtents *e, int64_t rows, int64_t cols, int64_t vecs, bool far) {
    int64_t blocks = ceil_div(e->out_h, rows), base = e->out_h / blocks, wider = e->out_h % blocks;
    double t = (double)(blocks - wider) * columns_cycles(e->out_w, cols, base, vecs, far);
    return wider ? t + (double)wider * columns_cycles(e->out_w, cols, base + 1, vecs, far) : t;
}
static double conv_cycles(const Target *t, int64_t lanes, const ConvExtents *e, int64_t rows, int64_t cols, int64_t vecs) {
    int64_t blocks = ceil_div(e->features / e->group, lanes), full = blocks / vecs, rest = blocks % vecs;
    int64_t panel = e->channels / e->group * e->k_h * e->k_w * vecs * lanes * bytes(e);
    bool far = panel > 24 << 10;
    double c = (double)full * plane_cycles(e, rows, cols, vecs, far) + (rest ? plane_cycles(e, rows, cols, rest, far) : 0);
    if (panel > cache_bytes(t) * 3 / 4 && vecs > 1) c *= 1.15;
    return c * (1 + 0.002 * (double)(full + (rest > 0))); /* each panel reads the whole input again */
}
/* Weights come from behind the second level of cache while the products run; most of that is not hidden: measured. */
static double with_stream(double products, double weights) { return products + 0.7 * weights / FAR_RATE; }
/* Blocks of channels whose weights fill half of the first level of cache, where all blocks of outputs find them while the next ones are
 * asked for; 0: a panel stays there anyway, or the sums, which wait in memory, would not. */
static int64_t chunk_of(const Target *t, int64_t lanes, const ConvExtents *e, const ConvBlock *b) {
    int64_t l1 = level_bytes(t, "L1", 32 << 10), near = l1 * 3 / 4, width = b->vecs * lanes * bytes(e);
    int64_t channels = e->channels / e->group, blocks = ceil_div(channels, lanes), one = e->k_h * e->k_w * lanes * width;
    int64_t sums = (b->strip ? b->strip : e->out_h) * e->out_w * width, chunk = max_i64(l1 / 2 / one, 1);
    if (e->half) return 0; /* sums are shorter than that anyway */
    if (channels < lanes || chunk >= blocks || blocks * one <= near || e->out_h * e->out_w <= b->rows * b->cols || sums > near) return 0;
    return ceil_div(blocks, ceil_div(blocks, chunk));
}
static ConvBlock best_block(const Target *t, int64_t lanes, const ConvExtents *e, int64_t given) {
    int64_t regs = t->vector_regs > 4 ? t->vector_regs : 16, max_vecs = given ? given : min_i64(8, ceil_div(e->features / e->group, lanes));
    ConvBlock best = {1, 1, 1, 0, 0};
    double least = -1;
    for (int64_t vecs = given ? given : 1; vecs <= max_vecs; vecs++)
        for (int64_t cols = 1; cols <= min_i64(e->out_w, regs); cols++)
            for (int64_t rows = 1; rows <= (e->padded_rows && e->k_h * e->k_w > MAX_BLOCK_TAPS ? 1 : min_i64(e->out_h, 8)); rows++) {
                if (rows > 1 && cols < e->out_w) break;
                if (rows * cols * vecs + vecs + 1 > regs) break;
                double c = conv_cycles(t, lanes, e, rows, cols, vecs);
                if (least >= 0 && c >= least) continue;
                least = c;
                best = (ConvBlock){rows, cols, vecs, 0, 0};
            }
    int64_t in_w = e->k_w < e->stride ? e->out_w * e->k_w : e->in_w; /* columns, and below rows, that are read: a stride may skip some */
    int64_t in_row = e->channels / e->group * in_w * bytes(e) * min_i64(e->k_h, e->stride), budget = cache_bytes(t) / 2;
    int64_t panel = e->channels / e->group * e->k_h * e->k_w * best.vecs * lanes * bytes(e);
    int64_t panels = ceil_div(ceil_div(e->features / e->group, lanes), best.vecs);
    if (best.rows == 1 && panels > 1 && in_row * e->out_h > budget) {
        int64_t rows = max_i64((budget - panel) / max_i64(in_row, 1), 4);
        int64_t strips = ceil_div(e->out_h, rows);
        best.strip = ceil_div(e->out_h, strips);
    }
    best.chunk = chunk_of(t, lanes, e, &best);
    return best;
}
ConvBlock conv_block_of(const Target *t, int64_t lanes, const ConvExtents *e) { return best_block(t, lanes, e, 0); }
ConvBlock conv_block_given(const Target *t, int64_t lanes, const ConvExtents *e, int64_t vecs) { return best_block(t, lanes, e, vecs); }
double conv_best_cycles(const Target *t, int64_t lanes, const ConvExtents *e) {
    ConvBlock b = conv_block_of(t, lanes, e);
    double c = (double)(e->channels / e->group * e->k_h * e->k_w), f = (double)e->features;
    return with_stream(c * (double)e->group * conv_cycles(t, lanes, e, b.rows, b.cols, b.vecs), (double)bytes(e) * c * f);
}
/* Cycles that strips of `rows` rows of tiles take: products; weights, which each strip reads again from the level that holds them; what
 * lies between the steps, where it leaves the second level of cache. */
static double strips_cycles(const Target *t, int64_t lanes, const WinogradExtents *e, int64_t rows, int64_t points, int64_t vecs) {
    double side = (double)((e->m + 2) * (e->m + 2)), cache = (double)cache_bytes(t), strips = (double)ceil_div(e->high, rows);
    double tiles = (double)(rows * e->wide), c = (double)e->channels, f = (double)e->features;
    double inputs = side * tiles * c * 4, sums = side * tiles * (double)(vecs * lanes) * 4, weights = side * c * f * 4;
    double products = strips * side * columns_cycles(rows * e->wide, points, 1, vecs, true) * c * ceil(f / (double)(vecs * lanes));
    double streamed = weights * (inputs + sums + weights > 0.75 * cache ? strips : 1);
    double spilled = inputs + sums > 0.9 * cache ? strips * inputs * ceil(f / (double)(vecs * lanes)) / FAR_RATE : 0;
    return with_stream(products, streamed) + strips * weights / NEAR_RATE + spilled;
}
/* Transforms of a tile of one block of channels, loads and stores included: measured. */
static double transform_cycles(int64_t lanes, const WinogradExtents *e) {
    double tiles = (double)(e->high * e->wide);
    double in = (double)ceil_div(e->channels, lanes), out = (double)ceil_div(e->features, lanes);
    return tiles * (e->m == 4 ? 350 * in + 300 * out : 100 * in + 70 * out);
}
WinogradBlock winograd_block_given(const Target *t, int64_t lanes, const WinogradExtents *e, int64_t rows) {
    ConvExtents p = {e->channels, e->features, 1, 1, rows * e->wide, 1, rows * e->wide, 1, 1, 1, true, false};
    ConvBlock b = conv_block_of(t, lanes, &p);
    return (WinogradBlock){rows, b.cols, b.vecs};
}
WinogradBlock winograd_block_of(const Target *t, int64_t lanes, const WinogradExtents *e, double *cycles) {
    WinogradBlock best = {1, 1, 1};
    double least = -1;
    for (int64_t strips = e->high, rows; strips >= 1; strips--) {
        rows = ceil_div(e->high, strips);
        if (ceil_div(e->high, rows) != strips) continue;
        WinogradBlock b = winograd_block_given(t, lanes, e, rows);
        double c = strips_cycles(t, lanes, e, rows, b.points, b.vecs);
        if (least >= 0 && c >= least) continue;
        least = c;
        best = b;
    }
    *cycles = least + transform_cycles(lanes, e);
    return best;
}
ConvBlock channel_block_of(const Target *t, const ConvExtents *e) {
    int64_t most = t->vector_regs >= 32 ? 7 : 4;
    if (e->out_w <= most + 1) most = e->out_w;
    int64_t blocks = ceil_div(e->out_w, most);
    return (ConvBlock){1, ceil_div(e->out_w, blocks), 1, 0, 0};
}

/* ---- modes: a nest of many blocks has some hundred of these loops, and each step of a schedule renews the whole nest; so the modes,
 * which are right by the way the nests are made, are set at once. */
static bool numbered(const char *name, const char *stem) {
    size_t n = strlen(stem);
    return strncmp(name, stem, n) == 0 && name[n] >= '0' && name[n] <= '9';
}
static void set_modes(Stmt *s) {
    switch (s->k) {
    case S_FOR:
        if (numbered(s->u.loop.v->name, "u")) s->u.loop.mode = LOOP_UNROLL;
        if (numbered(s->u.loop.v->name, "vl")) s->u.loop.mode = LOOP_VEC;
        set_modes(s->u.loop.body);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) set_modes(s->u.block.v[i]);
        break;
    case S_IF:
        set_modes(s->u.cond.then);
        if (s->u.cond.other) set_modes(s->u.cond.other);
        break;
    default: break;
    }
}
bool tile_blocked(TileJob *job) {
    Func *f = job->k->f;
    set_modes(f->body);
    job->narrow = tile_wide(job->k) || job->options->fast_f16;
    vec_push(f->a, &f->schedule, "unroll u*");
    vec_push(f->a, &f->schedule, "vectorise vl*");
    return true;
}
