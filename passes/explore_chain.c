/* SPDX-License-Identifier: Apache-2.0 */
/* explore_chain.c: one chain of simulated annealing over the points of a space. A move hands a prime factor from slot to slot, exchanges
 * two, exchanges two slots of a dim, moves a loop among the loops of its level, or changes what a level keeps.
 *   DRAM[M6 C16] GLB[M4 ...]  --move 2 of M from DRAM to GLB-->  DRAM[M3 C16] GLB[M8 ...] */
#include "explore_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t space_random(uint64_t *state, uint32_t n) { /* xorshift* */
    *state ^= *state >> 12, *state ^= *state << 25, *state ^= *state >> 27;
    return (uint32_t)(((*state * 0x2545F4914F6CDD1Dull >> 32) * n) >> 32);
}
static double uniform(uint64_t *state) { return (space_random(state, 1u << 30) + 0.5) / (double)(1u << 30); }

typedef struct Where { /* slot of each prime */
    unsigned char slot[MAX_PRIMES];
} Where;
static void hand(const Space *s, Point *x, Where *w, int prime, int to) {
    int d = s->prime[prime].dim, from = w->slot[prime];
    x->factor[d][from] /= s->prime[prime].f, x->factor[d][to] *= s->prime[prime].f;
    w->slot[prime] = (unsigned char)to;
}
/* Moves a dim's loop next to another loop of the level; false: there is no other. */
static bool shift(const Space *s, Point *x, int level, int dim, uint64_t *r) {
    int other[QN_MAX_DIMS], n = 0, from = 0, to = 0, slot = s->temporal[level], ndim = s->problem->ndim;
    unsigned char *o = x->order[level];
    for (int d = 0; d < ndim; d++)
        if (d != dim && x->factor[d][slot] > 1) other[n++] = d;
    if (!n || (level == 0 && s->spec->fix_outer)) return false;
    int beside = other[space_random(r, (uint32_t)n)];
    for (int i = 0; i < ndim; i++) {
        if (o[i] == dim) from = i;
        if (o[i] == beside) to = i;
    }
    bool inside = from < to; /* to the other side of it */
    for (; from < to; from++) o[from] = o[from + 1];
    for (; from > to; from--) o[from] = o[from - 1];
    o[to] = (unsigned char)dim;
    if (n > 1 && space_random(r, 2)) { /* or to this side */
        int next = inside ? to - 1 : to + 1;
        o[to] = o[next], o[next] = (unsigned char)dim;
    }
    return true;
}
static bool reorder(const Space *s, Point *x, uint64_t *r) {
    int nlevel = s->target->nlevel, level = (int)space_random(r, (uint32_t)nlevel);
    for (int k = 0; k < nlevel; k++, level = (level + 1) % nlevel) {
        int active[QN_MAX_DIMS], n = 0;
        for (int d = 0; d < s->problem->ndim; d++)
            if (x->factor[d][s->temporal[level]] > 1) active[n++] = d;
        if (n > 1 && shift(s, x, level, active[space_random(r, (uint32_t)n)], r)) return true;
    }
    return false;
}
/* A level that is free to starts or ceases to keep an operand. */
static void toggle(const Space *s, Point *x, uint64_t *r) {
    int nth = (int)space_random(r, (uint32_t)s->nfree);
    for (int l = 1; l < s->target->nlevel; l++)
        for (unsigned f = s->free[l]; f; f &= f - 1)
            if (nth-- == 0) x->keep[l] ^= (unsigned char)(f & (0 - f));
}
/* Exchanges what a dim has in two slots. */
static bool swap_slots(const Space *s, Point *x, Where *w, uint64_t *r) {
    int d = s->prime[space_random(r, (uint32_t)s->nprime)].dim, n = s->nmay[d];
    if (n < 2) return false;
    int a = s->may[d][space_random(r, (uint32_t)n)], b = s->may[d][space_random(r, (uint32_t)n)];
    int64_t f = x->factor[d][a];
    if (f == x->factor[d][b]) return false;
    x->factor[d][a] = x->factor[d][b], x->factor[d][b] = f;
    for (int i = 0; i < s->nprime; i++)
        if (s->prime[i].dim == d) w->slot[i] = w->slot[i] == a ? (unsigned char)b : w->slot[i] == b ? (unsigned char)a : w->slot[i];
    return true;
}
static int other_slot(const Space *s, int dim, int from, uint64_t *r) { /* -1: there is none */
    int n = s->nmay[dim];
    if (n < 2) return -1;
    int to = s->may[dim][space_random(r, (uint32_t)n - 1)];
    return to == from ? s->may[dim][n - 1] : to;
}
static int random_axis_slot(const Space *s, uint64_t *r) {
    int axes[MAX_SLOTS], n = 0;
    for (int i = 0; i < s->nslot; i++)
        if (s->slot[i].axis) axes[n++] = i;
    return n ? axes[space_random(r, (uint32_t)n)] : -1;
}
static bool room_for(const Space *s, const Point *x, int slot, int64_t more) {
    const TargetLevel *v = &s->target->level[s->slot[slot].level];
    int64_t all = more;
    for (int d = 0; d < s->problem->ndim; d++) all *= x->factor[d][slot];
    return all <= (s->slot[slot].axis == 'x' ? v->fan_x : v->fan_y);
}
/* Empties an axis of the array and fills it anew, as far as random factors fit. */
static bool refill(const Space *s, Point *x, Where *w, int slot, uint64_t *r) {
    if (slot < 0) return false;
    for (int i = 0; i < s->nprime; i++) {
        int d = s->prime[i].dim, to = s->may[d][space_random(r, (uint32_t)s->nmay[d])];
        if (w->slot[i] == slot && !s->slot[to].axis) hand(s, x, w, i, to);
    }
    for (int tries = 0; tries < 2 * s->nprime; tries++) {
        int i = (int)space_random(r, (uint32_t)s->nprime), d = s->prime[i].dim;
        if (w->slot[i] == slot || !s->allowed[d][slot]) continue;
        if (s->slot[w->slot[i]].axis && space_random(r, 4)) continue; /* seldom from the other axis */
        if (room_for(s, x, slot, s->prime[i].f)) hand(s, x, w, i, slot);
    }
    return true;
}
static bool move(const Space *s, bool toggles, Point *x, Where *w, uint64_t *r) {
    if (toggles && space_random(r, 100) < 8) return toggle(s, x, r), true;
    uint32_t kind = space_random(r, 100);
    if (!s->nprime || kind < 25) return reorder(s, x, r);
    if (kind < 32) return swap_slots(s, x, w, r);
    if (kind < 37) return refill(s, x, w, random_axis_slot(s, r), r);
    int a = (int)space_random(r, (uint32_t)s->nprime), d = s->prime[a].dim, from = w->slot[a], to = other_slot(s, d, from, r);
    if (to < 0) return false;
    hand(s, x, w, a, to);
    if (kind >= 65) { /* another prime goes the other way, or to a third slot */
        int b = (int)space_random(r, (uint32_t)s->nprime);
        for (int i = 0; i < s->nprime && (w->slot[b] != to || b == a); i++) b = (b + 1) % s->nprime;
        int back = kind < 90 ? from : (int)space_random(r, (uint32_t)s->nslot);
        if (b != a && s->allowed[s->prime[b].dim][back]) hand(s, x, w, b, back);
    }
    if (!s->slot[to].axis && space_random(r, 2)) shift(s, x, s->slot[to].level, d, r);
    return true;
}
/* The slot where a dataflow wants a prime of a dim: the dim that it spreads whole on one axis of the array, chosen at random, as much of
 * the one beside it as fits on the other; -1: no wish. */
static int wanted_slot(const Space *s, const Point *x, int prime, int axis_slot) {
    const Dataflow *f = s->spec->flow;
    const char *dim = s->problem->dim[s->prime[prime].dim];
    if (!f || axis_slot < 0) return -1;
    if (f->whole && strcmp(f->whole, dim) == 0) return axis_slot;
    if (!f->beside || strcmp(f->beside, dim) != 0) return -1;
    for (int i = 0; i < s->nslot; i++) {
        const TargetLevel *v = &s->target->level[s->slot[i].level];
        bool other = s->slot[i].axis && s->slot[i].axis != s->slot[axis_slot].axis && s->slot[i].level == s->slot[axis_slot].level;
        if (other && x->factor[s->prime[prime].dim][i] * s->prime[prime].f <= (s->slot[i].axis == 'x' ? v->fan_x : v->fan_y)) return i;
    }
    return -1;
}
/* A first point: everything at the outermost level where the dataflow lets it, else at the first slot that it allows. */
static void first_point(const Space *s, Point *x, Where *w, uint64_t *r) {
    int axis = s->spec->flow && s->spec->flow->whole ? random_axis_slot(s, r) : -1;
    memset(x, 0, sizeof *x);
    for (int d = 0; d < s->problem->ndim; d++)
        for (int i = 0; i < s->nslot; i++) x->factor[d][i] = i || !s->spec->fix_outer ? 1 : s->spec->outer[d];
    for (int i = 0; i < s->nprime; i++) {
        int d = s->prime[i].dim, to = 0, wanted = wanted_slot(s, x, i, axis);
        while (to < s->nslot - 1 && !s->allowed[d][to]) to++;
        if (wanted >= 0 && s->allowed[d][wanted]) to = wanted;
        x->factor[d][to] *= s->prime[i].f, w->slot[i] = (unsigned char)to;
    }
    for (int l = 0; l < s->target->nlevel; l++) {
        x->keep[l] = (unsigned char)s->shape.level[l].keep;
        for (int d = 0; d < s->problem->ndim; d++) x->order[l][d] = (unsigned char)d;
        for (int d = s->problem->ndim - 1; d > 0; d--) {
            int k = (int)space_random(r, (uint32_t)d + 1);
            unsigned char swap = x->order[l][d];
            x->order[l][d] = x->order[l][k], x->order[l][k] = swap;
        }
    }
}
/* A dataflow that wants a dim spread whole has its axes filled already. */
static void fill_axes(const Space *s, Point *x, Where *w, uint64_t *r) {
    if (!s->nprime || (s->spec->flow && s->spec->flow->whole)) return;
    for (int i = 0; i < s->nslot; i++)
        if (s->slot[i].axis) refill(s, x, w, i, r);
}
/* The slot of each prime of a given point. */
static void where_of(const Space *s, const Point *x, Where *w) {
    Point left = *x;
    for (int d = 0; d < s->problem->ndim && s->spec->fix_outer; d++) left.factor[d][0] = 1; /* given, not made of primes */
    for (int i = 0; i < s->nprime; i++) {
        int slot = 0;
        while (left.factor[s->prime[i].dim][slot] % s->prime[i].f) slot++;
        left.factor[s->prime[i].dim][slot] /= s->prime[i].f, w->slot[i] = (unsigned char)slot;
    }
}
/* Between two legal points the usual rule; a point that is not legal is left for any that is nearer to it. */
static bool accept(double from, double to, double t, uint64_t *r) {
    if (to <= from) return true;
    if (to >= NOT_LEGAL) return false;
    return uniform(r) < exp(-log(to / from) / t);
}
/* Takes what is better than all so far. The value of a point with extents rounded up is not exact: it is compared with those of its kind,
 * and the exact one with the best of all. */
static void lead(Chain *best, double *rounded, const Space *s, const Point *x, double value, Mapping *m) {
    if (s->problem != s->real) {
        if (value >= *rounded) return;
        *rounded = value;
        if (value < NOT_LEGAL) value = pad_value(s, x, m);
    }
    if (value < best->value) best->value = value, best->best = *x;
}
static void chain_begin(const Space *base, const ChainSpec *c, PadSpace *space, Point *now, Where *w, uint64_t *r) {
    if (c->start) *now = *c->start;
    else {
        first_point(base, now, w, r), fill_axes(base, now, w, r);
        for (int i = 0; i < base->nslot && c->pads; i++)
            if (base->slot[i].axis && space_random(r, 2)) pad_fill(base, now, i, r);
    }
    if (!space_of(base, now, space)) BUG("a point of too many factors");
    where_of(&space->s, now, w);
}
void chain_run(const Space *base, const ChainSpec *c, Chain *out) {
    static const double cold = 0.002;
    uint64_t r = c->seed;
    Mapping *m = calloc(1, sizeof *m);
    PadSpace *space = malloc(2 * sizeof *space); /* of the point that the chain is at; of the one that it may go to */
    Point now, next;
    Where w, wn;
    double t = c->hot, rounded = INFINITY;
    int at = 0;
    if (!m || !space) BUG("out of memory");
    for (int i = 0; i < 8; i++) space_random(&r, 2);
    chain_begin(base, c, &space[at], &now, &w, &r);
    double value = point_value(&space[at].s, &now, m);
    *out = (Chain){.value = INFINITY, .evals = 1};
    lead(out, &rounded, &space[at].s, &now, value, m);
    for (int64_t i = 1; i < c->evals; i++, out->evals++) {
        if (i % 256 == 0) {
            t = c->hot * pow(cold / c->hot, (double)i / (double)c->evals);
            if (c->show) c->show(c->user, out);
            if (c->deadline > 0 && search_now() > c->deadline) break;
        }
        next = now, wn = w;
        int to = at;
        if (c->pads && space_random(&r, 100) < 8) {
            if (!pad_change(base, &next, &r) || !space_of(base, &next, &space[to = !at])) continue;
            where_of(&space[to].s, &next, &wn);
        } else if (!move(&space[at].s, c->toggles && base->nfree, &next, &wn, &r)) continue;
        double v = point_value(&space[to].s, &next, m);
        if (!accept(value, v, t, &r)) continue;
        now = next, w = wn, value = v, at = to;
        lead(out, &rounded, &space[at].s, &now, v, m);
    }
    free(m), free(space);
}
