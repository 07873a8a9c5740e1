/* SPDX-License-Identifier: Apache-2.0 */
/* blocks_conv.c: the mappings that the nests of ConvBlocked, DepthwiseBlocked and WinogradBlocked can have (ir/ops/blocked_conv.c,
 * winograd.c), and the choice among them. Block sizes stand for mappings one to one: a nest is made from its block, its block is what
 * the factors at the registers, of strips and of chunks are.
 *
 *   64 channels, 56 x 56, 64 filters of 3 x 3   --->   L2[M2 E56 F4] L1[C64 R3 S3] regs[F14 M2 | M16x]
 *
 * A nest evens out the blocks of a row: 10 9 9 where the mapping says 10 10 8. Filters fill whole vectors in memory; groups that are
 * merged into one are a problem of fewer groups.
 */
#include "blocks.h"
#include "layout.h"
#include <math.h>
#include <string.h>

enum { MAX_BLOCK_TAPS = 9 }; /* blocks of several rows at the upper and lower edge write out their taps: not too many */
static const double MORE_LOOPS = 1.01, SOME_LOOPS = 1.005; /* what sums that wait in memory, and strips, have to gain */
enum { MAX_VECS = 8, MAX_ROWS = 8, MAX_COLS = 32 };

static int64_t most1(int64_t n) { return n > 1 ? n : 1; }
/* ---- direct */
static Problem *conv_problem(Arena *a, const ConvExtents *e) {
    ConvShape s = {.n = e->images,
                   .g = e->group,
                   .m = e->features / e->group,
                   .c = e->channels / e->group,
                   .e = e->out_h,
                   .f = e->out_w,
                   .r = e->k_h,
                   .s = e->k_w,
                   .stride_e = e->stride,
                   .stride_f = e->stride};
    return problem_conv(a, "conv", &s);
}
static void conv_nest(const Target *t, const Problem *p, int64_t lanes, const ConvBlock *b, BlockNest *out) {
    int N = problem_dim(p, "N"), G = problem_dim(p, "G"), M = problem_dim(p, "M"), C = problem_dim(p, "C"), E = problem_dim(p, "E"),
        F = problem_dim(p, "F");
    int64_t rows = p->extent[E], strip = b->strip > 0 && b->strip < rows ? b->strip : rows, c = p->extent[C], blocks = ceil_div(c, lanes);
    int64_t own = level_fan(&t->level[t->nlevel - 1]), width = b->vecs * lanes,
            chunk = b->chunk > 0 && b->chunk < blocks ? b->chunk : blocks;
    *out = (BlockNest){.p = p, .t = t, .lane_dim = M, .evened = 1u << E | 1u << F};
    nest_loop(out, N, p->extent[N]);
    if (G >= 0) nest_loop(out, G, p->extent[G]);
    nest_loop(out, E, ceil_div(rows, strip));
    nest_loop(out, M, ceil_div(p->extent[M], width));
    nest_loop(out, C, ceil_div(blocks, chunk));
    nest_loop(out, E, ceil_div(strip, b->rows));
    nest_loop(out, F, ceil_div(p->extent[F], b->cols));
    nest_loop(out, C, chunk);
    nest_loop(out, problem_dim(p, "R"), p->extent[problem_dim(p, "R")]);
    nest_loop(out, problem_dim(p, "S"), p->extent[problem_dim(p, "S")]);
    nest_loop(out, C, min_i64(lanes, c));
    nest_regs(out, E, b->rows), nest_regs(out, F, b->cols);
    nest_regs(out, M, ceil_div(min_i64(width, p->extent[M]), own));
}
Mapping *conv_mapping(Arena *a, const Target *t, int64_t lanes, const ConvExtents *e, const ConvBlock *b) {
    BlockNest n;
    conv_nest(t, conv_problem(a, e), lanes, b, &n);
    return choice_mapping(a, &n);
}
/* Even blocks only: as few as hold the extent, none larger than the others need. */
static bool even(int64_t extent, int64_t block) { return ceil_div(extent, ceil_div(extent, block)) == block; }
static ConvBlock numbered(int which) {
    return (ConvBlock){.rows = which / (MAX_COLS * MAX_VECS) + 1, .cols = which / MAX_VECS % MAX_COLS + 1, .vecs = which % MAX_VECS + 1};
}
/* The second level of cache has room for the input of an image: strips gain nothing. */
static bool whole_input(const Target *t, const Problem *p) {
    int64_t extent[QN_MAX_DIMS], words = 0;
    for (int d = 0; d < p->ndim; d++) extent[d] = p->extent[d];
    extent[problem_dim(p, "N")] = 1;
    if (problem_dim(p, "G") >= 0) extent[problem_dim(p, "G")] = 1;
    for (int i = 0; i < p->ntensor; i++)
        if (p->tensor[i].role == ROLE_I) words = problem_box(p, i, extent);
    const TargetLevel *l2 = &t->level[t->nlevel > 3 ? t->nlevel - 3 : 0];
    return 2 * words <= l2->words;
}
/* Words of a panel's weights for one block of channels, of the first level of cache. */
static double block_part(const Target *t, const Problem *p, int64_t lanes, const ConvBlock *b) {
    double words = (double)(b->vecs * lanes * min_i64(lanes, p->extent[problem_dim(p, "C")]));
    words *= (double)(p->extent[problem_dim(p, "R")] * p->extent[problem_dim(p, "S")]);
    return words / (double)most1(t->level[t->nlevel - 2].words);
}
/* Strips of rows, and chunks of channels whose part of a panel stays in the first level of cache. */
typedef Vec(ConvBlock) ConvBlocks;
static void around(Arena *a, Choice *c, const Target *t, const Problem *p, int64_t lanes, ConvBlock b, bool halves,
                   ConvBlocks *all) { /* halves: their sums are cut in another way (ir/ops/blocked_conv.c) */
    BlockNest n;
    Choice one = {.most = 1}; /* the best strip of this block */
    int first = all->n;
    int64_t rows = p->extent[problem_dim(p, "E")], blocks = ceil_div(p->extent[problem_dim(p, "C")], lanes), last = 0;
    bool near = whole_input(t, p);
    for (int64_t strips = 1; strips <= rows; strips += most1(strips / 4)) {
        if (strips > 1 && (near || b.rows > 1 || ceil_div(rows, strips) == last || ceil_div(rows, strips) < 2)) continue;
        last = ceil_div(rows, strips);
        b.strip = strips > 1 ? last : 0;
        vec_push(a, all, b);
        conv_nest(t, p, lanes, &b, &n);
        choice_offer(&one, &n, strips > 1 ? SOME_LOOPS : 1, 0);
        choice_offer(c, &n, strips > 1 ? SOME_LOOPS : 1, 0);
    }
    double part = block_part(t, p, lanes, &b), usable = t->level[t->nlevel - 2].usable;
    if (!one.n || halves || part * (double)blocks <= (usable > 0 ? usable : 1)) return; /* the panel stays near as it is */
    b.strip = all->v[first + one.which[0]].strip, last = 0;
    for (int64_t chunk = 1; chunk < blocks; chunk += most1(chunk / 2)) {
        if (ceil_div(blocks, ceil_div(blocks, chunk)) == last || 2 * part * (double)chunk > 1) continue; /* the next one comes meanwhile */
        b.chunk = last = ceil_div(blocks, ceil_div(blocks, chunk));                                      /* as even as they can be */
        vec_push(a, all, b);
        conv_nest(t, p, lanes, &b, &n);
        choice_offer(c, &n, MORE_LOOPS, 0);
    }
}
int conv_blocks_of(const Target *t, int64_t lanes, const ConvExtents *e, int64_t given, int most, ConvBlock *out) {
    const Question q = {'c',
                        t,
                        {lanes, given, most, e->channels, e->features, e->group, e->in_h, e->in_w, e->out_h, e->out_w, e->k_h, e->k_w,
                         e->stride, e->padded_rows, e->half, e->images}};
    int known;
    if (choice_known(&q, out, sizeof *out, &known)) return known;
    Arena *a = arena_new();
    const Problem *p = conv_problem(a, e);
    Shortlist list = {0};
    Choice c = {.most = most};
    ConvBlocks all = {0};
    BlockNest n;
    int64_t vectors = given ? given : min_i64(MAX_VECS, ceil_div(e->features / e->group, lanes));
    for (int64_t vecs = given ? given : 1; vecs <= vectors; vecs++)
        for (int64_t cols = 1; cols <= min_i64(e->out_w, MAX_COLS); cols++)
            for (int64_t rows = 1; rows <= (e->padded_rows && e->k_h * e->k_w > MAX_BLOCK_TAPS ? 1 : min_i64(e->out_h, MAX_ROWS)); rows++) {
                if (rows > 1 && cols < e->out_w) break;
                if (!even(e->out_w, cols) || !even(e->out_h, rows)) continue;
                ConvBlock b = {.rows = rows, .cols = cols, .vecs = vecs};
                conv_nest(t, p, lanes, &b, &n);
                short_offer(&list, &n, (int)(((rows - 1) * MAX_COLS + cols - 1) * MAX_VECS + vecs - 1));
            }
    for (int i = 0; i < list.n; i++) around(a, &c, t, p, lanes, numbered(list.which[i]), e->half, &all);
    for (int i = 0; i < c.n; i++) out[i] = all.v[c.which[i]], out[i].cycles = c.cycles[i];
    choice_remember(&q, out, sizeof *out, c.n);
    arena_free(a);
    return c.n;
}
ConvBlock conv_block_of(const Target *t, int64_t lanes, const ConvExtents *e, int64_t given) {
    ConvBlock b = {.rows = 1, .cols = 1, .vecs = given ? given : 1};
    conv_blocks_of(t, lanes, e, given, 1, &b);
    return b;
}

/* ---- Winograd's: a product for each of the (m + 2)^2 positions, of all tiles of a strip; what it reads and makes stays on chip */
static Problem *winograd_problem(Arena *a, const WinogradExtents *e, int64_t rows) { /* all strips are whole */
    ConvShape s = {
        .g = (e->m + 2) * (e->m + 2), .n = e->images * ceil_div(e->high, rows) * rows * e->wide, .m = e->features, .c = e->channels};
    Problem *p = problem_conv(a, "winograd", &s);
    for (int i = 0; i < p->ntensor; i++) p->tensor[i].on_chip = p->tensor[i].role != ROLE_W;
    return p;
}
typedef Vec(WinogradBlock) WinogradBlocks;
static void winograd_nest(const Target *t, const Problem *p, const WinogradExtents *e, int64_t lanes, const WinogradBlock *b,
                          BlockNest *out) {
    int N = problem_dim(p, "N"), M = problem_dim(p, "M"), C = problem_dim(p, "C");
    int64_t width = b->vecs * lanes, tiles = b->rows * e->wide;
    *out = (BlockNest){.p = p, .t = t, .lane_dim = M, .evened = 1u << N};
    nest_loop(out, N, e->images), nest_loop(out, N, ceil_div(e->high, b->rows));
    nest_loop(out, M, ceil_div(p->extent[M], width));
    nest_loop(out, problem_dim(p, "G"), p->extent[problem_dim(p, "G")]);
    nest_loop(out, N, ceil_div(tiles, b->points));
    nest_loop(out, C, ceil_div(p->extent[C], lanes)), nest_loop(out, C, min_i64(lanes, p->extent[C]));
    nest_regs(out, N, b->points), nest_regs(out, M, ceil_div(min_i64(width, p->extent[M]), level_fan(&t->level[t->nlevel - 1])));
}
Mapping *winograd_mapping(Arena *a, const Target *t, int64_t lanes, const WinogradExtents *e, const WinogradBlock *b) {
    BlockNest n;
    winograd_nest(t, winograd_problem(a, e, b->rows), e, lanes, b, &n);
    return choice_mapping(a, &n);
}
/* Additions and products of a matrix of `rows` on a square of `side` columns, twice; entries of 0 cost nothing. */
static double matrix_work(int64_t m, char which, int64_t rows, int64_t side) {
    const double *v = winograd_matrix(m, which);
    double n = 0;
    for (int64_t i = 0; i < rows * side; i++) n += v[i] != 0;
    return n * (double)(side + rows);
}
/* Cycles of the transforms: their multiply-adds, and their words to and from the second level of cache. */
static double transform_cycles(const Target *t, int64_t lanes, const WinogradExtents *e) {
    int64_t side = e->m + 2, own = level_fan(&t->level[t->nlevel - 1]), l = t->nlevel - 3;
    double tiles = (double)(e->images * e->high * e->wide), square = (double)(side * side), outputs = (double)(e->m * e->m), rate = 1;
    double in = (double)(ceil_div(e->channels, lanes) * lanes), out = (double)(ceil_div(e->features, lanes) * lanes);
    for (int i = 0; i < t->ncompute; i++)
        if (strcmp(t->compute[i].dtype, "float32") == 0) rate = t->compute[i].macs_per_cycle;
    double work = (matrix_work(e->m, 'B', side, side) * in + matrix_work(e->m, 'A', e->m, side) * out) / (double)own / rate;
    double reads = square * in + square * out, writes = square * in + outputs * out;
    if (l > 0 && t->level[l].read_bw > 0) work += reads / t->level[l].read_bw;
    if (l > 0 && t->level[l].write_bw > 0) work += writes / t->level[l].write_bw;
    return tiles * work;
}
/* What lies between the steps leaves the second level of cache for the next one where it is too large: inputs are read again for each
 * panel. Cycles, as a part of all. */
static double spilled_cycles(const Target *t, int64_t lanes, const WinogradExtents *e, const WinogradBlock *b) {
    int l2 = t->nlevel - 3;
    double square = (double)((e->m + 2) * (e->m + 2)), strip = square * (double)(b->rows * e->wide), width = (double)(b->vecs * lanes);
    double inputs = strip * (double)e->channels, sums = strip * width, panels = ceil((double)e->features / width);
    if (l2 < 2 || inputs + sums <= (double)t->level[l2].words * t->level[l2].usable || t->level[l2 - 1].read_bw <= 0) return 0;
    double words = (double)(e->images * ceil_div(e->high, b->rows)) * (inputs * (1 + panels) + 2 * sums * panels);
    return t->level[l2 - 1].exposed * words * (double)level_fan(&t->level[l2 - 1]) / t->level[l2 - 1].read_bw;
}
/* Blocks of sums for strips of so many rows of tiles. */
static void strip_offers(Arena *a, Choice *c, const Target *t, int64_t lanes, const WinogradExtents *e, WinogradBlock b, int64_t given,
                         WinogradBlocks *all) {
    const Problem *p = winograd_problem(a, e, b.rows);
    Shortlist list = {0};
    BlockNest n;
    int64_t most = given ? given : min_i64(MAX_VECS, ceil_div(e->features, lanes));
    for (b.vecs = given ? given : 1; b.vecs <= most; b.vecs++)
        for (b.points = 1; b.points <= min_i64(b.rows * e->wide, MAX_COLS); b.points++) {
            if (!even(b.rows * e->wide, b.points)) continue;
            winograd_nest(t, p, e, lanes, &b, &n);
            short_offer(&list, &n, (int)((b.points - 1) * 16 + b.vecs));
        }
    for (int i = 0; i < list.n; i++) {
        b.points = list.which[i] / 16 + 1, b.vecs = list.which[i] % 16;
        vec_push(a, all, b);
        winograd_nest(t, p, e, lanes, &b, &n);
        choice_offer(c, &n, 1, spilled_cycles(t, lanes, e, &b));
    }
}
int winograd_blocks_of(const Target *t, int64_t lanes, const WinogradExtents *e, int64_t rows, int64_t vecs, int most, WinogradBlock *out) {
    const Question q = {'w', t, {lanes, rows, vecs, most, e->m, e->channels, e->features, e->high, e->wide, e->images}};
    int known;
    if (choice_known(&q, out, sizeof *out, &known)) return known;
    Arena *a = arena_new();
    Choice c = {.most = most};
    WinogradBlocks all = {0};
    for (int64_t strips = rows ? 1 : e->high; strips >= 1; strips--) {
        WinogradBlock b = {rows ? rows : ceil_div(e->high, strips), 1, 1, 0};
        if (rows || ceil_div(e->high, b.rows) == strips) strip_offers(a, &c, t, lanes, e, b, vecs, &all);
    }
    for (int i = 0; i < c.n; i++) out[i] = all.v[c.which[i]], out[i].cycles = c.cycles[i] + transform_cycles(t, lanes, e);
    choice_remember(&q, out, sizeof *out, c.n);
    arena_free(a);
    return c.n;
}
WinogradBlock winograd_block_of(const Target *t, int64_t lanes, const WinogradExtents *e, int64_t rows, int64_t vecs) {
    WinogradBlock b = {rows ? rows : 1, 1, vecs ? vecs : 1, 0};
    winograd_blocks_of(t, lanes, e, rows, vecs, 1, &b);
    return b;
}

/* ---- windows over channels */
ConvBlock channel_block_of(const Target *t, const ConvExtents *e) {
    int64_t most = t->vector_regs >= 32 ? 7 : 4;
    if (e->out_w <= most + 1) most = e->out_w;
    int64_t blocks = ceil_div(e->out_w, most);
    return (ConvBlock){.rows = 1, .cols = ceil_div(e->out_w, blocks), .vecs = 1};
}
