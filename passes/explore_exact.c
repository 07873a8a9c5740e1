/* SPDX-License-Identifier: Apache-2.0 */
/* explore_exact.c: walks a whole space of mappings. Dims get their factors one after the other; a partial choice whose tiles or fan-outs
 * are already too large is dropped, and so is a complete one whose cost could not beat the best known even if every word arrived
 * once. What is left is scored in every order of its loops.
 *   8 x 4 on two levels  ->  4 * 3 = 12 factorisations, up to 2 orders each */
#include "explore_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_CHOICES = 1 << 16 };
typedef struct Choices { /* every way to put one dim's extent into the slots */
    int n;
    int64_t (*factor)[MAX_SLOTS];
} Choices;
typedef struct Walk {
    const Space *s;
    Mapping *scratch;
    Choices of[QN_MAX_DIMS];
    int64_t evals, used;
    double begin, deadline, shown;
    Point now, *best;
    double *value;
    bool stopped;
} Walk;

/* Ways to write the extent as an ordered product over the allowed slots. */
static double ways(const Space *s, int d) {
    int slots = 0;
    double n = 1;
    for (int i = 0; i < s->nslot; i++) slots += s->allowed[d][i];
    for (int i = 0; i < s->nprime;) {
        int k = 0, at = i;
        for (; i < s->nprime && s->prime[i].dim == s->prime[at].dim && s->prime[i].f == s->prime[at].f; i++) k++;
        if (s->prime[at].dim != d) continue;
        for (int j = 1; j <= k; j++) n = n * (slots - 1 + j) / j; /* k equal things into the slots */
    }
    return slots || s->problem->extent[d] == 1 ? n : 0;
}
double space_size(const Space *s) {
    double n = 1;
    for (int d = 0; d < s->problem->ndim; d++) n *= ways(s, d);
    return n;
}
static void choices_fill(const Space *s, int d, int slot, int64_t left, int64_t *f, Choices *c) {
    if (slot == s->nslot) {
        if (left == 1) memcpy(c->factor[c->n++], f, sizeof c->factor[0]);
        return;
    }
    for (int64_t q = 1; q <= left; q++) {
        if (left % q || (q > 1 && !s->allowed[d][slot])) continue;
        f[slot] = q;
        choices_fill(s, d, slot + 1, left / q, f, c);
    }
}
static bool choices_of(const Space *s, int d, Choices *c) {
    double n = ways(s, d);
    int64_t f[MAX_SLOTS] = {0};
    if (n > MAX_CHOICES || s->problem->extent[d] > 1 << 22) return false;
    c->factor = calloc((size_t)n + 1, sizeof c->factor[0]);
    if (!c->factor) BUG("out of memory");
    choices_fill(s, d, 0, s->problem->extent[d], f, c);
    return true;
}

static bool out_of_budget(Walk *w) {
    if (++w->used >= w->evals) w->stopped = true;
    if (w->used % 256 == 0) search_progress(w->s->spec, w->begin, &w->shown, w->used, *w->value);
    if (w->deadline > 0 && w->used % 256 == 0 && search_now() > w->deadline) w->stopped = true;
    return w->stopped;
}
/* An order matters only if a deeper level keeps something, and only among loops that step. */
static bool order_matters(const Space *s, int level) {
    for (int l = level + 1; l < s->target->nlevel; l++)
        if (s->shape.level[l].keep) return true;
    return false;
}
static void score(Walk *w) {
    if (out_of_budget(w)) return;
    double v = point_value(w->s, &w->now, w->scratch);
    if (v < *w->value) *w->value = v, *w->best = w->now;
}
static void next_level(Walk *w, int level);
/* Permutes the first n entries of a level's order in place, from position k on. */
static void permute(Walk *w, int level, int k, int n) {
    unsigned char *o = w->now.order[level], swap;
    if (w->stopped) return;
    if (k >= n - 1) {
        next_level(w, level + 1);
        return;
    }
    for (int i = k; i < n; i++) {
        swap = o[k], o[k] = o[i], o[i] = swap;
        permute(w, level, k + 1, n);
        swap = o[k], o[k] = o[i], o[i] = swap;
    }
}
static void next_level(Walk *w, int level) {
    const Space *s = w->s;
    if (level == s->target->nlevel) {
        score(w);
        return;
    }
    int slot = 0, n = 0;
    while (s->slot[slot].level != level || s->slot[slot].axis) slot++;
    unsigned char *o = w->now.order[level];
    for (int d = 0; d < s->problem->ndim; d++)
        if (w->now.factor[d][slot] > 1) o[n++] = (unsigned char)d;
    for (int d = 0, at = n; d < s->problem->ndim; d++)
        if (w->now.factor[d][slot] == 1) o[at++] = (unsigned char)d;
    permute(w, level, 0, order_matters(s, level) ? n : 0);
}
static void leaf(Walk *w) {
    MappingCounts n;
    for (int l = 0; l < w->s->target->nlevel; l++)
        for (int d = 0; d < w->s->problem->ndim; d++) w->now.order[l][d] = (unsigned char)d;
    if (out_of_budget(w)) return;
    point_mapping(w->s, &w->now, w->scratch);
    mapping_counts_floor(w->scratch, w->s->spec->counting, &n);
    if (objective_value(w->s->spec->objective, &n) < *w->value) next_level(w, 0);
}
static void assign(Walk *w, int d) {
    const Space *s = w->s;
    if (d == s->problem->ndim) {
        leaf(w);
        return;
    }
    for (int i = 0; i < w->of[d].n && !w->stopped; i++) {
        memcpy(w->now.factor[d], w->of[d].factor[i], sizeof w->now.factor[d]);
        if (point_illegal(s, &w->now) == 0) assign(w, d + 1);
    }
    for (int i = 0; i < s->nslot; i++) w->now.factor[d][i] = 1;
}
bool space_walk(const Space *s, int64_t evals, double begin, double deadline, Point *best, double *value, int64_t *used) {
    Walk *w = calloc(1, sizeof *w);
    Mapping *scratch = calloc(1, sizeof *scratch);
    bool whole = true;
    if (!w || !scratch) BUG("out of memory");
    w->s = s, w->scratch = scratch, w->evals = evals, w->begin = begin, w->deadline = deadline, w->best = best, w->value = value;
    for (int d = 0; d < s->problem->ndim; d++) {
        for (int i = 0; i < s->nslot; i++) w->now.factor[d][i] = 1;
        whole = whole && choices_of(s, d, &w->of[d]);
    }
    if (whole) assign(w, 0);
    *used = w->used;
    whole &= !w->stopped;
    for (int d = 0; d < s->problem->ndim; d++) free(w->of[d].factor);
    free(scratch), free(w);
    return whole;
}
