/* SPDX-License-Identifier: Apache-2.0 */
/* cost.c: access counts of a mapping in closed form. The tile of a level is a box that the loops outside it move. Each time an
 * outer loop j steps, all loops between it and the level fall back to their start, so the box moves by one vector that
 * depends on j alone, and what arrives is the box minus its overlap with the moved one; j steps (f_j - 1) times per
 * iteration of the loops outside it. Instances of a level run in step, shifted by their spatial index: those with the same
 * shift get the same words, and one read serves them all.
 *   for M 4 / for N 8 / tile of A[m]  ->  A moves when M steps: 1 + 3 tiles; it stays while N steps
 * Checked against a walk of the nest in tests/unit/test_mapping.c. Parashar et al., Timeloop (ISPASS 2019), for the terms. */
#include "cost_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_LOOPS = QN_MAX_LEVELS * 2 * QN_MAX_LEVEL_LOOPS };
typedef struct Loop {
    int level, dim;
    int64_t factor, step; /* step: change of the dim's index when the loop advances */
    int64_t outside;      /* iterations of the temporal loops outside it */
    bool spatial;
} Loop;
typedef struct Nest {
    const Mapping *m;
    Counting how;
    bool floor;                      /* arrivals are the different words instead */
    int n, first[QN_MAX_LEVELS + 1]; /* loops; the first of each level */
    Loop loop[MAX_LOOPS];            /* outermost first, factors of 1 left out */
    int64_t tile[QN_MAX_LEVELS + 1][QN_MAX_DIMS];
} Nest;

const char *const counting_name[2] = {"timeloop", "survey"};

static void nest_build(const Mapping *m, Nest *k) {
    int nlevel = m->target->nlevel;
    int64_t outside = 1;
    k->m = m, k->n = 0;
    for (int l = 0; l < nlevel; l++) {
        const MapLevel *v = &m->level[l];
        k->first[l] = k->n;
        for (int i = 0; i < v->ntemporal + v->nspatial; i++) {
            bool spatial = i >= v->ntemporal;
            const MapLoop *x = spatial ? &v->spatial[i - v->ntemporal] : &v->temporal[i];
            if (x->factor < 2) continue;
            k->loop[k->n++] = (Loop){l, x->dim, x->factor, 1, outside, spatial};
            if (!spatial) outside *= x->factor;
        }
    }
    k->first[nlevel] = k->n;
    for (int d = 0; d < m->problem->ndim; d++) k->tile[nlevel][d] = 1;
    for (int l = nlevel - 1; l >= 0; l--) {
        memcpy(k->tile[l], k->tile[l + 1], sizeof k->tile[l]);
        for (int i = k->first[l + 1] - 1; i >= k->first[l]; i--) {
            k->loop[i].step = k->tile[l][k->loop[i].dim];
            k->tile[l][k->loop[i].dim] *= k->loop[i].factor;
        }
    }
}

/* How far the tensor's box moves along an axis when the loop advances once. */
static int64_t axis_step(const ProblemAxis *a, const Loop *l) {
    int64_t s = 0;
    for (int i = 0; i < a->n; i++)
        if (a->dim[i] == l->dim) s += a->coef[i] * l->step;
    return s;
}
static int64_t axis_length(const ProblemAxis *a, const int64_t *extent) {
    int64_t len = 1;
    for (int i = 0; i < a->n; i++) len += (extent[a->dim[i]] - 1) * a->coef[i];
    return len;
}

/* At least so many different words pass through one instance of `level`: of a sum of dims at least one less than the values of
 * all its dims together differ. */
static int64_t different_words(const Nest *k, int level, int tensor) {
    const ProblemTensor *t = &k->m->problem->tensor[tensor];
    int64_t values[QN_MAX_DIMS], words = 1;
    for (int d = 0; d < k->m->problem->ndim; d++) values[d] = k->m->problem->extent[d];
    for (int i = 0; i < k->first[level]; i++)
        if (k->loop[i].spatial) values[k->loop[i].dim] /= k->loop[i].factor;
    for (int a = 0; a < t->rank; a++) {
        int64_t sum = 1;
        for (int i = 0; i < t->axis[a].n; i++) sum += values[t->axis[a].dim[i]] - 1;
        words *= sum;
    }
    return words;
}

/* Words that arrive in one instance of `level`, whose tile has `box` of them, over the whole run. */
static int64_t arrivals(const Nest *k, int level, int tensor, int64_t box) {
    const ProblemTensor *t = &k->m->problem->tensor[tensor];
    int64_t len[QN_MAX_AXES], back[QN_MAX_AXES] = {0}, total = box;
    for (int a = 0; a < t->rank; a++) len[a] = axis_length(&t->axis[a], k->tile[level]);
    for (int i = k->first[level] - 1; i >= 0; i--) { /* innermost first; `back` is the fall-back of the loops inside loop i */
        const Loop *l = &k->loop[i];
        if (l->spatial) continue;
        int64_t overlap = 1;
        for (int a = 0; a < t->rank; a++) {
            int64_t s = axis_step(&t->axis[a], l);
            int64_t moved = s - back[a];
            overlap *= max_i64(0, len[a] - (moved < 0 ? -moved : moved));
            back[a] += s * (l->factor - 1);
        }
        total += l->outside * (l->factor - 1) * (box - overlap);
    }
    return total;
}

/* The loops from place `from` to before `to`, of one kind and of some levels (a bit each), that move an axis, smallest step first. */
static int sorted_steps(const Nest *k, int from, int to, unsigned levels, const ProblemAxis *a, bool spatial, int64_t *step,
                        int64_t *factor) {
    int n = 0;
    for (int i = to - 1; i >= from; i--) {
        const Loop *l = &k->loop[i];
        if (l->spatial != spatial || !(levels >> l->level & 1)) continue;
        int64_t s = axis_step(a, l);
        if (!s) continue;
        int at = n++;
        for (; at > 0 && step[at - 1] > s; at--) step[at] = step[at - 1], factor[at] = factor[at - 1];
        step[at] = s, factor[at] = l->factor;
    }
    return n;
}
/* Different sums of the multiples of steps, smallest first. */
static int64_t distinct_sums(const int64_t *step, const int64_t *factor, int n) {
    enum { LIMIT = 1 << 14 };
    int64_t total = 1, reach = 0, count = 0;
    bool dense = true; /* every multiple of the first step up to the reach */
    for (int i = 0; i < n; i++) reach += step[i] * (factor[i] - 1);
    for (; n > 0; n--) { /* the largest, if it exceeds the reach of all smaller ones, multiplies what these make */
        int64_t smaller = reach - step[n - 1] * (factor[n - 1] - 1);
        if (step[n - 1] <= smaller) break;
        total *= factor[n - 1], reach = smaller;
    }
    if (n == 0) return total;
    for (int64_t i = 0, up_to = 0; i < n; up_to += step[i] * (factor[i] - 1), i++)
        if (step[i] % step[0] || step[i] > up_to + step[0]) dense = false;
    if (dense) return total * (reach / step[0] + 1);
    unsigned char near[LIMIT], *set = reach < LIMIT ? near : malloc((size_t)reach + 1);
    if (!set) BUG("out of memory");
    memset(set, 0, (size_t)reach + 1);
    set[0] = 1;
    for (int i = 0; i < n; i++)
        for (int64_t v = reach; v >= 0; v--)
            for (int64_t q = 1; set[v] && q < factor[i] && v + q * step[i] <= reach; q++) set[v + q * step[i]] = 1;
    for (int64_t v = 0; v <= reach; v++) count += set[v];
    if (set != near) free(set);
    return total * count;
}

/* Instances of `inner` below one instance of `outer` that hold different words of the tensor in the same step. Each dim is in
 * at most one axis of a tensor, so the axes are independent; the loops of one dim make different indices. */
static int64_t distinct_below(const Nest *k, int outer, int inner, int tensor) {
    const ProblemTensor *t = &k->m->problem->tensor[tensor];
    int64_t total = 1, of[QN_MAX_DIMS];
    unsigned moved = 0, sharing = 0; /* dims, levels */
    for (int i = k->first[outer]; i < k->first[inner]; i++) {
        const Loop *l = &k->loop[i];
        if (!l->spatial) continue;
        if (no_sharing(k->m, l->level, tensor)) {
            total *= l->factor;
            continue;
        }
        of[l->dim] = moved >> l->dim & 1 ? of[l->dim] * l->factor : l->factor;
        moved |= 1u << l->dim, sharing |= 1u << l->level;
    }
    for (int a = 0; a < t->rank; a++) {
        const ProblemAxis *x = &t->axis[a];
        int64_t step[MAX_LOOPS], factor[MAX_LOOPS];
        int dims = 0, one = 0;
        for (int i = 0; i < x->n; i++)
            if (moved >> x->dim[i] & 1) one = x->dim[i], dims++;
        if (dims == 1) total *= of[one];
        if (dims < 2) continue;
        total *= distinct_sums(step, factor, sorted_steps(k, k->first[outer], k->first[inner], sharing, x, true, step, factor));
    }
    return total;
}

/* Different output words that one instance of `level` ever holds: each axis of an output is one dim, and only spatial loops
 * outside the level restrict what comes by. */
static int64_t outputs_of_instance(const Nest *k, int level, int tensor) {
    const ProblemTensor *t = &k->m->problem->tensor[tensor];
    int64_t words = 1, spread = 1;
    unsigned dims = 0;
    for (int a = 0; a < t->rank; a++) words *= k->m->problem->extent[t->axis[a].dim[0]], dims |= 1u << t->axis[a].dim[0];
    for (int i = 0; i < k->first[level]; i++)
        if (k->loop[i].spatial && dims >> k->loop[i].dim & 1) spread *= k->loop[i].factor;
    return words / spread;
}

/* Values of one axis that the boxes of one instance cover: blocks of `len` at all sums of the temporal steps outside the level. -1: they
 * interleave. */
static int64_t covered(const Nest *k, int level, const ProblemAxis *a, int64_t len) {
    int64_t step[MAX_LOOPS], factor[MAX_LOOPS], blocks = 1, span = len;
    int n = sorted_steps(k, 0, k->first[level], ~0u, a, false, step, factor);
    for (int i = 0; i < n; i++) { /* smallest step first */
        if (blocks == 1 && step[i] <= span) len += step[i] * (factor[i] - 1);
        else if (step[i] < span) return -1;
        else blocks *= factor[i];
        span += step[i] * (factor[i] - 1);
    }
    return blocks * len;
}
int64_t mapping_distinct_words(const Mapping *m, int level, int tensor) {
    Nest k;
    if (mapping_ragged(m)) return walked_distinct(m, level, tensor);
    nest_build(m, &k);
    const ProblemTensor *t = &m->problem->tensor[tensor];
    int64_t words = 1;
    for (int a = 0; a < t->rank; a++) {
        int64_t len = covered(&k, level, &t->axis[a], axis_length(&t->axis[a], k.tile[level]));
        if (len < 0) return walked_distinct(m, level, tensor);
        words *= len;
    }
    for (int i = 0; i < k.n; i++)
        if (k.loop[i].spatial && k.loop[i].level < level) words *= k.loop[i].factor;
    return words;
}

static void count_tensor(const Nest *k, int tensor, MappingCounts *c) {
    const Mapping *m = k->m;
    int nlevel = m->target->nlevel, inner = nlevel; /* next inner keeper; nlevel: the multiply-adds */
    bool output = m->problem->tensor[tensor].role == ROLE_O;
    int64_t down = c->cycles_compute; /* words that one instance of `inner` gets */
    for (int l = nlevel - 1; l >= 0; l--) {
        if (!(m->level[l].keep >> tensor & 1)) continue;
        Access *x = &c->at[l][tensor];
        int64_t traffic = c->instances[l] * distinct_below(k, l, inner, tensor) * down;
        x->tile_words = problem_box(m->problem, tensor, k->tile[l]);
        down = k->floor ? max_i64(different_words(k, l, tensor), x->tile_words) : arrivals(k, l, tensor, x->tile_words);
        if (l) x->fills = c->instances[l] * down;
        if (output && k->how == COUNT_SURVEY && inner == nlevel) x->updates = x->reads = traffic;
        else if (output) x->updates = traffic, x->reads = traffic - c->instances[l] * outputs_of_instance(k, l, tensor);
        else x->reads = traffic;
        inner = l;
    }
}

/* The outermost level that has several instances; nlevel: the multiply-adds, if any. */
static int array_level(const Target *t) {
    for (int l = 0; l < t->nlevel; l++)
        if (level_fan(&t->level[l]) > 1) return l + 1;
    return t->nlevel;
}
/* Words that cross the array's network for one tensor. */
static int64_t array_words(const Mapping *m, const MappingCounts *c, int array, int tensor) {
    for (int l = array; l < m->target->nlevel; l++)
        if (m->level[l].keep >> tensor & 1) return c->at[l][tensor].fills;
    return c->macs;
}
/* outside: counts of levels outside that one are enough. */
static void count(const Mapping *m, Counting how, bool floor, int outside, MappingCounts *c) {
    Nest k;
    nest_build(m, &k);
    k.how = how, k.floor = floor;
    memset(c, 0, sizeof *c);
    const Target *t = m->target;
    c->macs = problem_macs(m->problem);
    c->units = c->cycles_compute = 1;
    for (int i = 0; i < k.n; i++) *(k.loop[i].spatial ? &c->units : &c->cycles_compute) *= k.loop[i].factor;
    for (int l = 0; l < t->nlevel; l++) c->instances[l] = 1;
    for (int i = 0; i < k.n; i++)
        for (int l = k.loop[i].level + 1; k.loop[i].spatial && l < t->nlevel; l++) c->instances[l] *= k.loop[i].factor;
    c->units_mean = (double)c->units;
    bool ragged = mapping_ragged(m);
    if (ragged) ragged_counts(m, how, outside, c);
    if (ragged && outside < t->nlevel) return;
    c->utilisation = (double)c->units / (double)target_instances(t, t->nlevel);
    for (int i = 0, array = array_level(t); i < m->problem->ntensor; i++) {
        if (!ragged) count_tensor(&k, i, c);
        c->array_words += array_words(m, c, array, i);
    }
    price_counts(m, how, c);
}
void mapping_counts(const Mapping *m, MappingCounts *out) { count(m, COUNT_TIMELOOP, false, m->target->nlevel, out); }
void mapping_counts_as(const Mapping *m, Counting how, MappingCounts *out) { count(m, how, false, m->target->nlevel, out); }
void mapping_counts_floor(const Mapping *m, Counting how, MappingCounts *out) { count(m, how, true, m->target->nlevel, out); }
void mapping_words_outside(const Mapping *m, int level, MappingCounts *out) { count(m, COUNT_TIMELOOP, false, level, out); }
