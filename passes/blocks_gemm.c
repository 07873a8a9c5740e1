/* SPDX-License-Identifier: Apache-2.0 */
/* blocks_gemm.c: the mappings that the nest of MatMulPanel can have (ir/ops/panel.c), and the choice among them.
 *
 *   128 rows, 768 deep, 768 columns   --->   L2[M24 N11~] L1[C768] regs[N12 M2 | M16x]: panels of 32 columns, blocks of 12 rows
 *
 * Rows whose distance is a multiple of a way of the first level of cache fall into one set of it: blocks have no more of them than the
 * ways that tiles can count on. Which rows a strip has is kept to divisors, as the nest does.
 */
#include "blocks_gemm.h"
#include <string.h>

static const double MORE_LOOPS = 1.01; /* what sums that wait in memory have to gain */
enum { MAX_VECS = 8, MAX_ROWS = 32, MAX_CHUNKS = 8, LEAST_CHUNK = 512 };

static Problem *gemm_problem(Arena *a, const PanelCase *k, int64_t vecs) {
    int64_t width = vecs * k->lanes, cols = k->equal ? ceil_div(k->cols, width) * width : k->cols;
    ConvShape s = {.n = k->outer * k->rows, .m = cols, .c = k->depth};
    Problem *p = problem_conv(a, "product", &s);
    for (int i = 0; i < p->ntensor; i++) p->tensor[i].apart = p->tensor[i].role == ROLE_I;
    return p;
}
static int64_t pieces_of(const PanelCase *k, int64_t block) { return k->outer > 1 ? k->outer : k->rows / block; }
static void gemm_nest(const Target *t, const Problem *p, const PanelCase *k, const PanelCut *c, BlockNest *out) {
    int N = problem_dim(p, "N"), M = problem_dim(p, "M"), C = problem_dim(p, "C");
    int64_t block = c->c.block, pieces = pieces_of(k, block), strip = c->strip > 0 && c->strip < pieces ? c->strip : pieces;
    bool batches = k->outer > 1;
    int64_t rows = batches ? k->rows : min_i64(strip * block, k->rows);
    if (strip == pieces) rows = k->rows;
    *out = (BlockNest){.p = p, .t = t, .lane_dim = M};
    nest_loop(out, N, batches ? ceil_div(pieces, strip) : ceil_div(k->rows, rows));
    nest_loop(out, C, c->chunks);
    nest_loop(out, M, ceil_div(p->extent[M], c->c.width));
    if (batches) nest_loop(out, N, strip);
    nest_loop(out, N, ceil_div(rows, block));
    nest_loop(out, C, ceil_div(k->depth, c->chunks));
    nest_regs(out, N, block), nest_regs(out, M, ceil_div(min_i64(c->c.width, p->extent[M]), level_fan(&t->level[t->nlevel - 1])));
}
Mapping *panel_mapping(Arena *a, const Target *t, const PanelCase *k, const PanelCut *c) {
    BlockNest n;
    gemm_nest(t, gemm_problem(a, k, c->c.width / k->lanes), k, c, &n);
    return choice_mapping(a, &n);
}
/* A panel of so many vectors. The narrower last panel takes the columns that do not fill one of the others; without one the last is
 * filled up. false: there would be no whole panel. */
static bool panel_of(const PanelCase *k, int64_t vecs, PanelChoice *c) {
    int64_t total = ceil_div(k->cols, k->lanes), full = k->equal ? ceil_div(total, vecs) : total / vecs, rest = k->equal ? 0 : total % vecs;
    if (full == 0) return false;
    bool ragged = !k->equal && k->cols % k->lanes && rest == 0 && full > 1; /* the last panel alone has columns that are none */
    *c = (PanelChoice){k->lanes, vecs * k->lanes, ragged ? vecs * k->lanes : rest * k->lanes, 1};
    return true;
}
static int64_t most_rows(const Target *t, const PanelCase *k) {
    const TargetLevel *l1 = &t->level[t->nlevel - 2];
    int64_t most = min_i64(k->rows, MAX_ROWS), way = l1->ways > 0 ? l1->words / l1->ways : 0;
    if (way > 0 && k->depth % way == 0) most = min_i64(most, l1->ways * 3 / 4);
    return most > 1 ? most : 1;
}
/* Chunks of the depth and strips of rows. */
typedef Vec(PanelCut) PanelCuts;
static void around(Arena *a, Choice *c, const Target *t, const Problem *p, const PanelCase *k, PanelCut cut, PanelCuts *all) {
    int64_t pieces = pieces_of(k, cut.c.block);
    BlockNest n;
    for (int64_t chunks = 1; chunks <= MAX_CHUNKS; chunks++) {
        if (chunks > 1 && (k->depth % chunks || k->depth / chunks < LEAST_CHUNK || k->equal)) continue;
        for (int64_t strip = pieces; strip >= 1; strip = strip > 8 ? strip / 2 : strip - 1) {
            if (strip < pieces && (pieces % strip || k->equal)) continue;
            cut.chunks = chunks, cut.strip = strip < pieces ? strip : 0;
            vec_push(a, all, cut);
            gemm_nest(t, p, k, &cut, &n);
            choice_offer(c, &n, chunks > 1 ? MORE_LOOPS : 1, 0);
        }
    }
}
int panels_best(const Target *t, const PanelCase *k, int most, PanelCut *out) {
    const Question q = {'p', t, {k->lanes, k->outer, k->rows, k->cols, k->depth, k->equal, most}};
    int known;
    if (choice_known(&q, out, sizeof *out, &known)) return known;
    Arena *a = arena_new();
    Shortlist list = {0};
    const Problem *p[MAX_VECS + 1];
    PanelCut cut = {.chunks = 1};
    PanelCuts all = {0};
    BlockNest n;
    Choice c = {.most = most};
    for (int64_t vecs = 1; vecs <= MAX_VECS; vecs++) {
        if (!panel_of(k, vecs, &cut.c)) continue;
        p[vecs] = gemm_problem(a, k, vecs);
        for (cut.c.block = 1; cut.c.block <= most_rows(t, k); cut.c.block++) {
            gemm_nest(t, p[vecs], k, &cut, &n);
            short_offer(&list, &n, (int)(cut.c.block * 16 + vecs));
        }
    }
    for (int i = 0; i < list.n; i++) {
        int vecs = list.which[i] % 16;
        if (!panel_of(k, vecs, &cut.c)) continue;
        cut.c.block = list.which[i] / 16;
        around(a, &c, t, p[vecs], k, cut, &all);
    }
    for (int i = 0; i < c.n; i++) out[i] = all.v[c.which[i]];
    choice_remember(&q, out, sizeof *out, c.n);
    arena_free(a);
    return c.n;
}
PanelCut panel_best(const Target *t, const PanelCase *k) {
    PanelCut best = {{k->lanes, k->lanes, 0, 1}, 1, 0};
    panels_best(t, k, 1, &best);
    return best;
}
