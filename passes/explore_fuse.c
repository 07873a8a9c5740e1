/* SPDX-License-Identifier: Apache-2.0 */
/* explore_fuse.c: layers that run depth first, strip by strip of output rows, so that what is between them stays on the chip. One level
 * holds the first input's strip, the rows between each two layers that the next strip needs again, and the weights of all; each layer
 * has a mapping of its own below that, searched with what the others leave of the memory.
 *   conv1 and conv2 in 7 strips of GLB  ->  DRAM[E7] for both; DRAM words: input of conv1 + weights + output of conv2
 * Alwani et al., Fused-layer CNN accelerators (MICRO 2016). */
#include "explore.h"
#include <stdlib.h>
#include <string.h>

int fuse_level(const Target *t) {
    for (int l = 1; l < t->nlevel && target_instances(t, l) == 1; l++)
        if ((t->level[l].keeps & (ROLE_I | ROLE_O)) == (ROLE_I | ROLE_O)) return l;
    return -1;
}
static int tensor_of(const Problem *p, unsigned role) {
    for (int i = 0; i < p->ntensor; i++)
        if (p->tensor[i].role == role) return i;
    return -1;
}
static int64_t extent_of(const Problem *p, const char *dim) {
    int d = problem_dim(p, dim);
    return d < 0 ? 1 : p->extent[d];
}
/* Words of one strip of a tensor: one image, E / strips rows of output. */
static int64_t strip_words(const Problem *p, unsigned role, int64_t strips) {
    int64_t extent[QN_MAX_DIMS];
    int t = tensor_of(p, role);
    for (int d = 0; d < p->ndim; d++) extent[d] = p->extent[d];
    if (problem_dim(p, "N") >= 0) extent[problem_dim(p, "N")] = 1;
    if (problem_dim(p, "E") >= 0) extent[problem_dim(p, "E")] /= strips;
    return t < 0 ? 0 : problem_box(p, t, extent);
}
/* What layer i must leave free in the level: what the others keep there while it runs. */
static int64_t reserved_words(const FusedStack *s, const Target *t, int i) {
    int64_t words = 0;
    bool weights = t->level[s->level].keeps & ROLE_W;
    for (int k = 0; k < s->n; k++) {
        const Problem *p = s->layer[k].problem;
        int64_t in = strip_words(p, ROLE_I, s->strips);
        if (k == i) continue; /* its own tiles are counted with its mapping */
        if (weights) words += strip_words(p, ROLE_W, s->strips);
        if (k != i + 1) words += in;
        else words += max_i64(0, in - strip_words(s->layer[i].problem, ROLE_O, s->strips)); /* rows kept beyond its output tile */
    }
    return words;
}
/* The layers as parts of a stack: nothing between them crosses the outermost level. */
static Problem *inner_problem(const FusedStack *s, int i, Problem *p) {
    *p = *s->layer[i].problem;
    int in = tensor_of(p, ROLE_I), out = tensor_of(p, ROLE_O);
    if (i > 0) p->tensor[in].on_chip = true;
    if (i < s->n - 1) p->tensor[out].on_chip = true;
    return p;
}
static bool map_layer(FusedStack *s, const Target *t, const SearchSpec *spec, int i) {
    FusedLayer *x = &s->layer[i];
    SearchSpec own = *spec;
    Target *left = malloc(sizeof *left);
    SearchResult r;
    if (!left) BUG("out of memory");
    *left = *t;
    left->level[s->level].words -= reserved_words(s, t, i);
    inner_problem(s, i, &x->inner);
    bool ok = left->level[s->level].words > 0;
    for (int d = 0; d < x->inner.ndim; d++) own.outer[d] = 1;
    if (problem_dim(&x->inner, "N") >= 0) own.outer[problem_dim(&x->inner, "N")] = extent_of(&x->inner, "N");
    if (problem_dim(&x->inner, "E") >= 0) own.outer[problem_dim(&x->inner, "E")] = s->strips;
    own.fix_outer = true, own.keeper = s->level;
    ok = ok && mapping_search(&x->inner, left, &own, &x->mapping, &r);
    x->mapping.target = t;
    if (ok) mapping_counts_as(&x->mapping, spec->counting, &x->counts);
    free(left);
    return ok;
}
bool fuse_map(FusedStack *s, const Target *t, const SearchSpec *spec) {
    s->energy = 0, s->cycles = s->dram_words = 0;
    for (int i = 0; i < s->n; i++)
        if (s->strips < 1 || extent_of(s->layer[i].problem, "E") % s->strips) return false;
    for (int i = 0; i < s->n; i++)
        if (reserved_words(s, t, i) >= t->level[s->level].words) return false;
    for (int i = 0; i < s->n; i++) {
        if (!map_layer(s, t, spec, i)) return false;
        s->energy += s->layer[i].counts.energy, s->cycles += s->layer[i].counts.cycles, s->dram_words += s->layer[i].counts.outer_words;
    }
    return true;
}
int64_t fuse_next_strips(const FusedStack *s) { /* the next number that divides the rows of all layers; 0: no more */
    int64_t rows = extent_of(s->layer[0].problem, "E");
    for (int64_t k = s->strips + 1; k <= rows; k++) {
        bool all = true;
        for (int i = 0; i < s->n && all; i++) all = extent_of(s->layer[i].problem, "E") % k == 0;
        if (all) return k;
    }
    return 0;
}
