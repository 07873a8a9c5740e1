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
/* What arrives at an instance is its box less the part that it had before. Two instances get the same if the two boxes are the same, or,
 * the part being empty along some axis, or all but one end of one axis, what arrives is the same box. So along one axis an instance is in
 * one of four states: all is NEW; all is OLD; an END is new (J); else it is MIXED. Over all axes: one NEW makes the box of all; one END,
 * the others OLD, makes a box too; all OLD is nothing. Lengths of different intervals, summed over all steps; W, N, O, J are sets. */
typedef enum Sum {
    WHOLE,         /* W: boxes in any state */
    WHOLE_NOT_NEW, /* W without those of NEW (N) */
    OLD,           /* O: of OLD */
    OLD_NOT_NEW,   /* O without N */
    OLD_ALONE,     /* O without J and N */
    END,           /* J without O */
    END_WHOLE,     /* those of them in W */
    END_NOT_NEW,   /* those of them in W without N */
    STATE_BOX,     /* states but NEW: their boxes */
    STATE_HAD,     /* and what of these was there before */
    STATE_END,     /* states of END: what is new */
    SUMS
} Sum;
typedef struct Sums {
    int64_t of[SUMS];
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
typedef struct Interval {
    int64_t lo, len;
} Interval;
typedef struct Set {
    int n;
    Interval *v;
} Set;
static int by_interval(const void *x, const void *y) { return memcmp(x, y, sizeof(Interval)); }
static void set_sort(Set *s) {
    int n = 0;
    if (s->n < 2) return;
    qsort(s->v, (size_t)s->n, sizeof *s->v, by_interval);
    for (int i = 0; i < s->n; i++)
        if (!i || by_interval(&s->v[i], &s->v[n - 1]) != 0) s->v[n++] = s->v[i];
    s->n = n;
}
static bool set_has(const Set *s, const Interval *x) { return s->n && bsearch(x, s->v, (size_t)s->n, sizeof *x, by_interval); }
typedef struct Step { /* of one axis: the states of its instances, and intervals by what they are */
    size_t n;
    Span *state;
    Set whole, fresh, old, end;
} Step;
static void still_there(Span *x) { /* what was there before becomes what of it is still there */
    int64_t lo = max_i64(x->lo, x->lo0), hi = min_i64(x->lo + x->len, x->lo0 + x->len0);
    x->lo0 = hi > lo ? lo : 0, x->len0 = hi > lo ? hi - lo : 0;
}
static bool at_an_end(const Span *x) { return x->len0 < x->len && (x->lo0 == x->lo || x->lo0 + x->len0 == x->lo + x->len); }
static void step_sets(Step *s) {
    s->whole.n = s->fresh.n = s->old.n = s->end.n = 0;
    for (size_t i = 0; i < s->n; i++) still_there(&s->state[i]);
    if (s->n > 1) qsort(s->state, s->n, sizeof *s->state, by_span);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!i || by_span(&s->state[i], &s->state[n - 1]) != 0) s->state[n++] = s->state[i];
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        const Span *x = &s->state[i];
        Interval box = {x->lo, x->len};
        s->whole.v[s->whole.n++] = box;
        if (!x->len0) s->fresh.v[s->fresh.n++] = box;
        else if (x->len0 == x->len) s->old.v[s->old.n++] = box;
        else if (x->lo0 == x->lo) s->end.v[s->end.n++] = (Interval){x->lo0 + x->len0, x->len - x->len0};
        else if (x->lo0 + x->len0 == x->lo + x->len) s->end.v[s->end.n++] = (Interval){x->lo, x->len - x->len0};
    }
    set_sort(&s->whole), set_sort(&s->fresh), set_sort(&s->old), set_sort(&s->end);
}
static void step_add(const Step *s, Sums *sum) {
    for (int i = 0; i < s->whole.n; i++) {
        const Interval *x = &s->whole.v[i];
        bool fresh = set_has(&s->fresh, x), old = set_has(&s->old, x), end = set_has(&s->end, x);
        sum->of[WHOLE] += x->len;
        if (!fresh) sum->of[WHOLE_NOT_NEW] += x->len;
        if (!old) continue;
        sum->of[OLD] += x->len;
        if (!fresh) sum->of[OLD_NOT_NEW] += x->len;
        if (!end && !fresh) sum->of[OLD_ALONE] += x->len;
    }
    for (int i = 0; i < s->end.n; i++) {
        const Interval *x = &s->end.v[i];
        if (set_has(&s->old, x)) continue;
        bool whole = set_has(&s->whole, x);
        sum->of[END] += x->len;
        if (whole) sum->of[END_WHOLE] += x->len;
        if (whole && !set_has(&s->fresh, x)) sum->of[END_NOT_NEW] += x->len;
    }
    for (size_t i = 0; i < s->n; i++) {
        const Span *x = &s->state[i];
        if (!x->len0) continue;
        sum->of[STATE_BOX] += x->len, sum->of[STATE_HAD] += x->len0;
        if (at_an_end(x)) sum->of[STATE_END] += x->len - x->len0;
    }
}
/* A step with one instance: the sets have one interval at most. */
static void alone_add(Span *x, Sums *sum) {
    still_there(x);
    sum->of[WHOLE] += x->len;
    if (!x->len0) return;
    sum->of[WHOLE_NOT_NEW] += x->len, sum->of[STATE_BOX] += x->len, sum->of[STATE_HAD] += x->len0;
    if (x->len0 == x->len) sum->of[OLD] += x->len, sum->of[OLD_NOT_NEW] += x->len, sum->of[OLD_ALONE] += x->len;
    else if (at_an_end(x)) sum->of[END] += x->len - x->len0, sum->of[STATE_END] += x->len - x->len0;
}
static Sums lone_sums(const Query *q, Axis *a) {
    Sums sum = {{0}};
    Span x;
    do
        if (axis_span(q, a, &x)) alone_add(&x, &sum);
    while (next_digits(a, STEP));
    return sum;
}
static Sums axis_sums(const Query *q, Axis *a) {
    Sums sum = {{0}};
    size_t children = 1;
    for (int i = 0; i < a->ndigit; i++)
        if (a->digit[i].part == CHILD) children *= (size_t)a->digit[i].factor;
    if (children == 1) return lone_sums(q, a);
    Step s = {.state = malloc(children * sizeof *s.state)};
    Interval *room = malloc(4 * children * sizeof *room);
    if (!s.state || !room) BUG("out of memory");
    s.whole.v = room, s.fresh.v = room + children, s.old.v = room + 2 * children, s.end.v = room + 3 * children;
    do {
        s.n = 0;
        do s.n += axis_span(q, a, &s.state[s.n]);
        while (next_digits(a, CHILD));
        step_sets(&s);
        step_add(&s, &sum);
    } while (next_digits(a, STEP));
    free(s.state), free(room);
    return sum;
}
/* Steps of a dim that the tensor does not have. */
static int64_t dim_steps(const Query *q, int dim) {
    Axis a;
    a.ndim = a.ndigit = 0;
    Span s;
    int64_t n = 0;
    axis_dim(q, dim, 1, &a);
    do n += axis_span(q, &a, &s); /* children at 0: if any has work, that one has */
    while (next_digits(&a, STEP));
    return n;
}
static int64_t all_of(const Sums *s, int n, Sum which) {
    int64_t v = 1;
    for (int i = 0; i < n; i++) v *= s[i].of[which];
    return v;
}
static int64_t one_of(const Sums *s, int n, Sum one, Sum others) { /* one axis is `one`, the others are `others` */
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        int64_t v = s[i].of[one];
        for (int k = 0; k < n; k++)
            if (k != i) v *= s[k].of[others];
        sum += v;
    }
    return sum;
}
static int64_t query_words(const Query *q, int tensor) {
    const ProblemTensor *t = &q->m->problem->tensor[tensor];
    Sums s[QN_MAX_AXES];
    int64_t other = 1, n = t->rank, words;
    bool used[QN_MAX_DIMS] = {false};
    for (int i = 0; i < n; i++) {
        Axis a;
        a.ndim = a.ndigit = 0;
        for (int k = 0; k < t->axis[i].n; k++) axis_dim(q, t->axis[i].dim[k], t->axis[i].coef[k], &a), used[t->axis[i].dim[k]] = true;
        s[i] = axis_sums(q, &a);
    }
    for (int d = 0; d < q->m->problem->ndim; d++)
        if (!used[d]) other *= dim_steps(q, d);
    if (n == 0) return q->all || q->level < 0 ? other : 0;
    int r = (int)n;
    /* boxes that are new along some axis; those of one new end, which may be the same ones; what is no box */
    words = all_of(s, r, WHOLE) - all_of(s, r, WHOLE_NOT_NEW);
    words += one_of(s, r, END, OLD) - one_of(s, r, END_WHOLE, OLD) + one_of(s, r, END_NOT_NEW, OLD_NOT_NEW) + all_of(s, r, OLD_NOT_NEW) -
             all_of(s, r, OLD_ALONE);
    words += all_of(s, r, STATE_BOX) - all_of(s, r, STATE_HAD) - one_of(s, r, STATE_END, OLD);
    return other * words;
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
/* Different values of an axis that each instance ever holds, summed over the instances along the axis. */
static int64_t axis_distinct(const Query *q, Axis *a) {
    Span s;
    int64_t span = 1, total = 0;
    for (int i = 0; i < a->ndim; i++) span += (a->dim[i].extent - 1) * a->dim[i].coef;
    unsigned char *seen = malloc((size_t)span);
    if (!seen) BUG("out of memory");
    do {
        memset(seen, 0, (size_t)span);
        do
            if (axis_span(q, a, &s)) memset(seen + s.lo, 1, (size_t)s.len);
        while (next_digits(a, STEP));
        for (int64_t i = 0; i < span; i++) total += seen[i];
    } while (next_digits(a, CHILD));
    free(seen);
    return total;
}
int64_t walked_distinct(const Mapping *m, int level, int tensor) {
    const ProblemTensor *t = &m->problem->tensor[tensor];
    MapChain chain[QN_MAX_DIMS];
    bool has[QN_MAX_DIMS] = {false};
    int64_t words = 1;
    for (int d = 0; d < m->problem->ndim; d++) mapping_chain(m, d, &chain[d]);
    Query q = {m, chain, 0, level, -1, -1, true, 0};
    for (int i = 0; i < t->rank; i++) {
        Axis a;
        a.ndim = a.ndigit = 0;
        for (int k = 0; k < t->axis[i].n; k++) axis_dim(&q, t->axis[i].dim[k], t->axis[i].coef[k], &a), has[t->axis[i].dim[k]] = true;
        words *= axis_distinct(&q, &a);
    }
    return words * instances(m, chain, level, has);
}
void ragged_counts(const Mapping *m, Counting how, int outside, MappingCounts *c) {
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
            if (l >= outside) {
                inner = l;
                continue;
            }
            Access *x = &c->at[l][t];
            int64_t extent[QN_MAX_DIMS], words = traffic(m, chain, l, inner, t);
            mapping_tile(m, l, extent);
            x->tile_words = problem_box(p, t, extent);
            if (l && outside == nlevel) x->fills = traffic(m, chain, l, l, t);
            if (output) x->updates = words;
            x->reads = words;
            if (output && !(how == COUNT_SURVEY && inner == nlevel)) x->reads -= whole * instances(m, chain, l, has);
            inner = l;
        }
    }
}
