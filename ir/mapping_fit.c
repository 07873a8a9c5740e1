/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_fit.c: whether the tiles of a mapping fit into the memories: one pool a level, or whole banks, or parts for each operand;
 * every tile twice where a level is double buffered; several levels in one memory.
 *   GLB of 100 words, buffers 2, tiles of 30 and 25 words  ->  110 words needed */
#include "mapping.h"

static int64_t tile_of(const Problem *p, const TargetLevel *v, int tensor, const int64_t *extent) {
    const ProblemTensor *t = &p->tensor[tensor];
    int64_t words = problem_box(p, tensor, extent);
    if (t->bits) words = ceil_div(words * t->bits, v->word_bits);
    if (v->buffers > 1) words *= v->buffers;
    if (v->banks > 1) { /* whole banks */
        int64_t bank = v->words / v->banks;
        words = ceil_div(words, bank) * bank;
    }
    return words;
}
void map_fit_level(MapFit *f, const Problem *p, const Target *t, int level, unsigned keep, const int64_t *extent) {
    const TargetLevel *v = &t->level[level];
    int home = v->shares ? v->shares - 1 : level;
    if (!v->words) return;
    for (int i = 0; i < p->ntensor; i++) {
        int64_t words = keep >> i & 1 ? tile_of(p, v, i, extent) : 0;
        f->tensor[level][i] = words, f->used[home] += words;
    }
}
static int role_index(unsigned role) { return role == ROLE_W ? 0 : role == ROLE_I ? 1 : 2; }
double map_fit_over(const MapFit *f, const Problem *p, const Target *t, Arena *a, MapViolations *v) {
    double over = 0;
    for (int l = 0; l < t->nlevel; l++) {
        const TargetLevel *x = &t->level[l];
        if (!x->words) continue;
        if (!x->shares && f->used[l] > x->words) {
            over += (double)f->used[l] / (double)x->words;
            if (v) vec_push(a, &v->list, ((MapViolation){l, -1, f->used[l], x->words}));
        }
        if (!(x->part[0] | x->part[1] | x->part[2])) continue;
        for (int i = 0; i < p->ntensor; i++) {
            int64_t part = x->part[role_index(p->tensor[i].role)];
            if (!part || f->tensor[l][i] <= part) continue;
            over += (double)f->tensor[l][i] / (double)part;
            if (v) vec_push(a, &v->list, ((MapViolation){l, i, f->tensor[l][i], part}));
        }
    }
    return over;
}
