/* SPDX-License-Identifier: Apache-2.0 */
/* cost_ragged.c: access counts of mappings with ragged loops, whose last iteration is short. Each dim's loops are digits of its index;
 * a digit is valid if what it starts at is inside what is left of the dim. An instance skips iterations that are empty for it and
 * keeps its tile meanwhile. The dims are independent, so sums over the whole nest are products of sums over one axis each, and these
 * are taken by walking the digits of the axis.
 *   E 8~ outside, E 7 spread, extent 55  ->  8 steps, 7 instances in 7 of them and 6 in the last: 55 tiles, not 56 */
#include "cost_internal.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_AXIS_LINKS = QN_MAX_TERMS * QN_MAX_CHAIN };
typedef enum Part {
    STEP,  /* digit of the walk: a loop outside the one that advances, or an instance of the outer level */
    CHILD, /* one of the instances that are served in the same step */
    RESET, /* a loop inside the one that advances: at its first iteration, before at its last */
    INSIDE /* part of the tile */
} Part;
typedef struct Digit {
    int64_t factor, step, value;
    Part part;
    bool advances; /* value - 1 before */
} Digit;
typedef struct AxisDim {
    int first, n; /* digits */
    int64_t coef, extent;
} AxisDim;
typedef struct Axis {
    int ndim, ndigit;
    AxisDim dim[QN_MAX_TERMS];
    Digit digit[MAX_AXIS_LINKS];
} Axis;
typedef struct Span { /* of an instance on one axis, now and before */
    int64_t lo, len, lo0, len0;
} Span;
typedef struct Sums { /* over all steps, equal spans of one step once */
    int64_t len, overlap;
} Sums;
/* A question to the walk: the words that one tensor's tiles of level `inner` get in the steps in which one temporal loop advances. */
typedef struct Query {
    const Mapping *m;
    const MapChain *chain; /* of each dim */
    int outer, inner;      /* instances of inner under one of outer share; outer == inner: none share */
    int level, at;         /* the temporal loop that advances; level -1: none, the very first step */
    bool all;              /* every step counts, and nothing is kept from before: the multiply-adds */
    unsigned alone;        /* bit l: the network below level l does not share the tensor's words */
} Query;

/* The order of temporal loops in the nest: level, then place in the level. */
static bool outside(const Query *q, int level, int at) { return level < q->level || (level == q->level && at < q->at); }
static int place(const Mapping *m, int level, int dim, int64_t nth) { /* of a dim's nth temporal loop that steps at a level */
    const MapLevel *v = &m->level[level];
    for (int i = 0; i < v->ntemporal; i++)
        if (v->temporal[i].dim == dim && v->temporal[i].factor > 1 && nth-- == 0) return i;
    BUG("a loop of the chain is not in the mapping");
}
static void axis_dim(const Query *q, int dim, int64_t coef, Axis *a) {
    const MapChain *c = &q->chain[dim];
    AxisDim *x = &a->dim[a->ndim++];
    *x = (AxisDim){a->ndigit, c->n, coef, q->m->problem->extent[dim]};
    int64_t nth = 0;
    for (int i = 0; i < c->n; i++) {
        Digit *d = &a->digit[a->ndigit++];
        int level = c->link[i].level;
        bool spatial = c->link[i].loop.axis != 0;
        nth = i && c->link[i - 1].level == level && !spatial ? nth + 1 : 0;
        *d = (Digit){c->link[i].loop.factor, c->link[i].step, 0, INSIDE, false};
        if (level >= q->inner) continue;
        if (spatial) {
            d->part = level < q->outer || q->alone >> level & 1 ? STEP : CHILD;
            continue;
        }
        int at = place(q->m, level, dim, nth);
        d->advances = !q->all && level == q->level && at == q->at;
        d->part = q->all || d->advances || outside(q, level, at) ? STEP : RESET;
        if (d->advances) d->value = 1;
    }
}
/* Start and extent of the dim's part of the tile, from digit i on with `left` of the dim; false: there is none. Before, a loop that is
 * reset stood at the last iteration that had work for this instance: its last one or, if that is too short, the one before. */
static bool dim_span(const Axis *a, int i, int end, bool before, int64_t left, int64_t *lo, int64_t *extent) {
    *extent = left;
    for (; i < end; i++) {
        const Digit *d = &a->digit[i];
        if (d->part == INSIDE) break;
        int64_t v = d->value - (before && d->advances), last = min_i64(d->factor, ceil_div(left, d->step)) - 1;
        if (before && d->part == RESET) {
            int64_t start = *lo + last * d->step;
            *lo = start;
            if (dim_span(a, i + 1, end, before, min_i64(d->step, left - last * d->step), lo, extent)) return true;
            if (last == 0) return false;
            v = last - 1, *lo = start - last * d->step;
        }
        if (v > last) return false;
        *lo += v * d->step, left = *extent = min_i64(d->step, left - v * d->step);
    }
    return true;
}
static bool axis_span(const Query *q, const Axis *a, Span *s) {
    *s = (Span){0, 1, 0, 1};
    for (int i = 0; i < a->ndim; i++) {
        const AxisDim *x = &a->dim[i];
        int64_t lo = 0, extent;
        if (!dim_span(a, x->first, x->first + x->n, false, x->extent, &lo, &extent)) return false;
        s->lo += lo * x->coef, s->len += (extent - 1) * x->coef;
        if (q->all || q->level < 0) continue;
        lo = 0;
        if (!dim_span(a, x->first, x->first + x->n, true, x->extent, &lo, &extent)) return false;
        s->lo0 += lo * x->coef, s->len0 += (extent - 1) * x->coef;
    }
    if (q->all || q->level < 0) s->lo0 = s->len0 = 0;
    return true;
}
static bool next_digits(Axis *a, Part part) {
    for (int i = a->ndigit - 1; i >= 0; i--) {
        Digit *d = &a->digit[i];
        if (d->part != part) continue;
        if (++d->value < d->factor) return true;
        d->value = d->advances;
    }
    return false;
}
static int by_span(const void *x, const void *y) { return memcmp(x, y, sizeof(Span)); }
static Sums axis_sums(const Query *q, Axis *a) {
    Sums sum = {0, 0};
    int64_t children = 1;
    for (int i = 0; i < a->ndigit; i++)
        if (a->digit[i].part == CHILD) children *= a->digit[i].factor;
    Span *seen = malloc((size_t)children * sizeof *seen);
    if (!seen) BUG("out of memory");
    do {
        size_t n = 0;
        do n += axis_span(q, a, &seen[n]);
        while (next_digits(a, CHILD));
        qsort(seen, n, sizeof *seen, by_span);
        for (size_t i = 0; i < n; i++) {
            const Span *s = &seen[i];
            if (i && by_span(s, s - 1) == 0) continue;
            sum.len += s->len;
            sum.overlap += max_i64(0, min_i64(s->lo + s->len, s->lo0 + s->len0) - max_i64(s->lo, s->lo0));
        }
    } while (next_digits(a, STEP));
    free(seen);
    return sum;
}
/* Steps of a dim that the tensor does not have. */
static int64_t dim_steps(const Query *q, int dim) {
    Axis a = {0};
    Span s;
    int64_t n = 0;
    axis_dim(q, dim, 1, &a);
    do n += axis_span(q, &a, &s); /* children at 0: if any has work, that one has */
    while (next_digits(&a, STEP));
    return n;
}
static int64_t query_words(const Query *q, int tensor) {
    const ProblemTensor *t = &q->m->problem->tensor[tensor];
    int64_t len = 1, overlap = 1, other = 1;
    bool used[QN_MAX_DIMS] = {false};
    for (int i = 0; i < t->rank; i++) {
        Axis a = {0};
        for (int k = 0; k < t->axis[i].n; k++) axis_dim(q, t->axis[i].dim[k], t->axis[i].coef[k], &a), used[t->axis[i].dim[k]] = true;
        Sums s = axis_sums(q, &a);
        len *= s.len, overlap *= s.overlap;
    }
    for (int d = 0; d < q->m->problem->ndim; d++)
        if (!used[d]) other *= dim_steps(q, d);
    return other * (len - (q->all || q->level < 0 ? 0 : overlap));
}
/* Words that the instances of `inner` get over the whole run, equal deltas of one step under one instance of `outer` once. */
static int64_t traffic(const Mapping *m, const MapChain *chain, int outer, int inner, int tensor) {
    Query q = {m, chain, outer, inner, -1, -1, inner == m->target->nlevel, 0};
    for (int l = outer; l < inner; l++) q.alone |= (unsigned)no_sharing(m, l, tensor) << l;
    int64_t words = query_words(&q, tensor);
    for (q.level = 0; !q.all && q.level < inner; q.level++)
        for (q.at = 0; q.at < m->level[q.level].ntemporal; q.at++)
            if (m->level[q.level].temporal[q.at].factor > 1) words += query_words(&q, tensor);
    return words;
}
/* Instances of a level (of multiply-adds: nlevel) that ever have work, along the given dims only. */
static int64_t instances(const Mapping *m, const MapChain *chain, int level, const bool *skip) {
    int64_t n = 1;
    for (int d = 0; d < m->problem->ndim; d++) {
        Query q = {m, chain, level, level, -1, -1, false, 0};
        if (!skip || !skip[d]) n *= dim_steps(&q, d);
    }
    return n;
}
void ragged_counts(const Mapping *m, Counting how, MappingCounts *c) {
    MapChain chain[QN_MAX_DIMS];
    const Problem *p = m->problem;
    int nlevel = m->target->nlevel;
    for (int d = 0; d < p->ndim; d++) mapping_chain(m, d, &chain[d]);
    for (int l = 0; l < nlevel; l++) c->instances[l] = instances(m, chain, l, NULL);
    c->units = instances(m, chain, nlevel, NULL);
    c->units_mean = (double)c->macs / (double)c->cycles_compute;
    for (int t = 0; t < p->ntensor; t++) {
        bool output = p->tensor[t].role == ROLE_O, has[QN_MAX_DIMS] = {false};
        int64_t whole = 1;
        for (int a = 0; output && a < p->tensor[t].rank; a++)
            has[p->tensor[t].axis[a].dim[0]] = true, whole *= p->extent[p->tensor[t].axis[a].dim[0]];
        for (int l = nlevel - 1, inner = nlevel; l >= 0; l--) {
            if (!(m->level[l].keep >> t & 1)) continue;
            Access *x = &c->at[l][t];
            int64_t extent[QN_MAX_DIMS], words = traffic(m, chain, l, inner, t);
            mapping_tile(m, l, extent);
            x->tile_words = problem_box(p, t, extent);
            if (l) x->fills = traffic(m, chain, l, l, t);
            if (output) x->updates = words;
            x->reads = words;
            if (output && !(how == COUNT_SURVEY && inner == nlevel)) x->reads -= whole * instances(m, chain, l, has);
            inner = l;
        }
    }
}
