/* SPDX-License-Identifier: Apache-2.0 */
/* explore_pad.c: mappings with short last iterations, for extents whose factors suit the array badly. A point whose factors of a dim
 * multiply to more than its extent is a mapping with a ragged loop of that dim: loops from the outermost in are whole as long as that is
 * possible, then comes the ragged one. A chain values it as a point of the problem with the extents rounded up, where every loop is whole
 * and counting is quick; what it finds is counted exactly.
 *   E 55 on 14 columns: 56 = 4 * 14  ->  E4~ outside, E14x: the last strip has 13 rows
 *   C 10 as C2, C6x: 12               ->  C2 outside, C6x~: 5 of 6 units twice, and no tile of more than 5 */
#include "explore_internal.h"
#include <string.h>

static int64_t extent_of(const Space *s, const Point *x, int d) {
    int64_t n = 1;
    for (int i = 0; i < s->nslot; i++) n *= x->factor[d][i];
    return n;
}
bool space_of(const Space *base, const Point *x, PadSpace *out) {
    Space *s = &out->s;
    double points = 1;
    *s = *base, out->problem = *base->problem;
    s->nprime = 0;
    for (int d = 0; d < base->problem->ndim; d++) {
        int64_t n = out->problem.extent[d] = extent_of(base, x, d);
        s->scale *= (double)base->problem->extent[d] / (double)n, points *= (double)n;
        if (n != base->problem->extent[d]) s->problem = &out->problem;
        if (!space_primes(s, d, base->spec->fix_outer ? n / base->spec->outer[d] : n)) return false;
    }
    return points < 4e18;
}
/* The outermost loop of a dim; the number of slots: it has none. */
static int outermost(const Space *s, const Point *x, int d) {
    int i = 0;
    while (i < s->nslot && x->factor[d][i] == 1) i++;
    return i;
}
/* From slot i in, where `left` of the dim and loops over `inside` are left. A ragged loop along an axis is outside the other axis of its
 * level. An iteration of it must not be empty. */
static bool ragged_from(const Space *s, const int64_t *factor, int i, int64_t left, int64_t inside, Ragged *r) {
    while (i < s->nslot && factor[i] == 1) i++;
    if (inside == left) return true;
    if (i == s->nslot) return false;
    int64_t f = factor[i], other = 1;
    bool pair = s->slot[i].axis == 'x' && i + 1 < s->nslot && s->slot[i + 1].level == s->slot[i].level && s->slot[i + 1].axis;
    if (pair) other = factor[i + 1];
    if (left % (f * other) == 0 && ragged_from(s, factor, i + 1 + pair, left / (f * other), inside / (f * other), r)) return true;
    for (int k = 0; k <= (other > 1); k++, i++, f = other) {
        if (inside < left || (f - 1) * (inside / f) >= left) continue;
        *r = (Ragged){i, left};
        return true;
    }
    return false;
}
bool ragged_slot(const Space *s, const Point *x, int d, Ragged *r) {
    *r = (Ragged){-1, 0};
    return ragged_from(s, x->factor[d], 0, s->real->extent[d], extent_of(s, x, d), r);
}
/* Units of the slot's axis that a dim could have; for the loops of a level its extent. */
static int64_t room_in(const Space *s, const Point *x, int slot, int d) {
    const TargetLevel *v = &s->target->level[s->slot[slot].level];
    int64_t room = s->slot[slot].axis == 'x' ? v->fan_x : v->fan_y;
    if (!s->slot[slot].axis) return s->real->extent[d];
    for (int k = 0; k < s->problem->ndim; k++)
        if (k != d) room /= x->factor[k][slot];
    return min_i64(room, s->real->extent[d]);
}
/* Gives a slot a factor; `rest` takes what the other slots leave of the dim. false: an iteration would be empty; nothing is changed. */
static bool give(const Space *s, Point *x, int d, int slot, int64_t factor, int rest) {
    int64_t n = s->real->extent[d], others = 1, was = x->factor[d][slot], was_rest = x->factor[d][rest];
    Ragged r;
    x->factor[d][slot] = factor;
    for (int i = 0; i < s->nslot; i++) {
        if (i != rest) others *= x->factor[d][i];
        if (others >= 2 * n) break;
    }
    x->factor[d][rest] = ceil_div(n, others);
    if (others < 2 * n && ragged_slot(s, x, d, &r)) return true;
    x->factor[d][slot] = was, x->factor[d][rest] = was_rest;
    return false;
}
/* The slot that takes the rest of a dim: its outermost loop, or any; -1: there is only one slot. */
static int rest_slot(const Space *s, const Point *x, int d, int slot, uint64_t *r) {
    int i = outermost(s, x, d), n = s->nmay[d];
    if (i == s->nslot || i == slot || !s->allowed[d][i] || !space_random(r, 4)) i = s->may[d][space_random(r, (uint32_t)n)];
    return i == slot ? -1 : i;
}
bool pad_change(const Space *s, Point *x, uint64_t *r) {
    int dims[QN_MAX_DIMS], n = 0;
    for (int d = 0; d < s->problem->ndim; d++)
        if (s->may_pad[d]) dims[n++] = d;
    if (!n) return false;
    int d = dims[space_random(r, (uint32_t)n)], slot = s->may[d][space_random(r, (uint32_t)s->nmay[d])];
    int64_t room = room_in(s, x, slot, d), was = x->factor[d][slot], factor = room;
    uint32_t kind = space_random(r, 4);
    if (kind == 0) factor = was - 1;
    else if (kind == 1) factor = was + 1;
    else if (kind == 2 || !s->slot[slot].axis) factor = 1 + space_random(r, (uint32_t)min_i64(room > 0 ? room : 1, 32));
    int rest = rest_slot(s, x, d, slot, r);
    return factor > 0 && factor <= room && factor != was && rest >= 0 && give(s, x, d, slot, factor, rest);
}
void pad_fill(const Space *s, Point *x, int slot, uint64_t *r) {
    for (int tries = 0; tries < s->problem->ndim; tries++) {
        int d = (int)space_random(r, (uint32_t)s->problem->ndim);
        if (!s->may_pad[d] || !s->allowed[d][slot] || x->factor[d][slot] > 1) continue;
        int64_t room = room_in(s, x, slot, d);
        if (space_random(r, 2)) room = ceil_div(room, 2);
        if (room > 1 && s->may[d][0] != slot) give(s, x, d, slot, room, s->may[d][0]);
    }
}
static void make_ragged(MapLevel *v, int dim, char axis) {
    for (int i = 0; i < v->ntemporal && !axis; i++)
        if (v->temporal[i].dim == dim) v->temporal[i].ragged = true;
    for (int i = 0; i < v->nspatial; i++)
        if (v->spatial[i].dim == dim && v->spatial[i].axis == axis) { /* before those that are whole */
            MapLoop x = v->spatial[i];
            for (; i > 0 && !v->spatial[i - 1].ragged; i--) v->spatial[i] = v->spatial[i - 1];
            x.ragged = true, v->spatial[i] = x;
            return;
        }
}
void pad_mapping(const Space *s, const Point *x, Mapping *m) {
    point_mapping(s, x, m);
    m->problem = s->real;
    for (int d = 0; d < s->problem->ndim; d++) {
        Ragged r;
        if (s->problem->extent[d] == s->real->extent[d]) continue;
        if (!ragged_slot(s, x, d, &r)) BUG("a ragged loop is empty");
        make_ragged(&m->level[s->slot[r.slot].level], d, s->slot[r.slot].axis);
    }
}
double pad_value(const Space *s, const Point *x, Mapping *m) {
    MappingCounts n;
    pad_mapping(s, x, m);
    if (!mapping_legal(m) || (s->spec->flow && !dataflow_allows(s->spec->flow, m)) || (s->spec->rules && rules_faults(s->spec->rules, m)))
        return 2 * NOT_LEGAL;
    mapping_counts_as(m, s->spec->counting, &n);
    return spec_value(s->spec, &n);
}
