/* SPDX-License-Identifier: Apache-2.0 */
/* explore_space.c: the space of a search. A point is, for each dim, one factor per slot (a slot: the loops of a level, or one axis of the
 * array below it), for each level an order of the dims, and what it keeps. Its value is the objective or, where it is not legal, a number
 * above all of them that says how far from it the point is.
 *   DRAM[M6 C16] GLB[M4 | C16y M16x]  <-  M: 6, 1, 1 | 4, 16, 1; C: 16, 1, 1 | 1, 1, 16 */
#include "cost_internal.h"
#include "explore_internal.h"
#include <string.h>

double objective_value(Objective o, const MappingCounts *n) {
    double cycles = (double)n->cycles;
    return o == OBJ_ENERGY ? n->energy : o == OBJ_DELAY ? cycles : n->energy * cycles;
}
static double weighed(const SearchSpec *s, double energy, double cycles) { return s->energy_weight * energy + s->cycles_weight * cycles; }
double spec_value(const SearchSpec *s, const MappingCounts *n) {
    return s->energy_weight > 0 ? weighed(s, n->energy, (double)n->cycles) : objective_value(s->objective, n);
}
double spec_floor(const SearchSpec *s, const Problem *p, const Target *t) {
    if (s->energy_weight == 0) return objective_floor(p, t, s->objective);
    return weighed(s, objective_floor(p, t, OBJ_ENERGY), objective_floor(p, t, OBJ_DELAY));
}
double objective_floor(const Problem *p, const Target *t, Objective o) {
    double energy, cycles;
    price_floor(p, t, &energy, &cycles);
    return o == OBJ_ENERGY ? energy : o == OBJ_DELAY ? cycles : energy * cycles;
}
bool space_primes(Space *s, int dim, int64_t extent) {
    for (int64_t f = 2; f <= extent; f++) {
        if (f * f > extent) f = extent;
        for (; extent % f == 0; extent /= f) {
            if (s->nprime == MAX_PRIMES) return false;
            s->prime[s->nprime++] = (Prime){dim, f};
        }
    }
    return true;
}
/* May the extent of a dim be rounded up? */
static bool can_pad(const Space *s, int d) {
    const Dataflow *f = s->spec->flow;
    bool whole = f && f->whole && strcmp(f->whole, s->problem->dim[d]) == 0;
    int arrays = 0;
    for (int l = 0; l < s->target->nlevel; l++) arrays += level_fan(&s->target->level[l]) > 1;
    if (s->problem->extent[d] < 3 || s->nmay[d] < 2 || (s->spec->fix_outer && s->spec->outer[d] > 1)) return false;
    return (!whole || arrays > 1) && mapping_may_be_ragged(s->problem); /* all along one axis: of one array that is in whole factors */
}
void space_init(Space *s, const Problem *p, const Target *t, const SearchSpec *spec) {
    memset(s, 0, sizeof *s);
    s->problem = s->real = p, s->target = t, s->spec = spec, s->scale = 1;
    for (int l = 0; l < t->nlevel; l++) {
        s->temporal[l] = s->nslot;
        s->slot[s->nslot++] = (Slot){l, 0};
        if (t->level[l].fan_x > 1) s->slot[s->nslot++] = (Slot){l, 'x'};
        if (t->level[l].fan_y > 1) s->slot[s->nslot++] = (Slot){l, 'y'};
    }
    s->shape.problem = p, s->shape.target = t;
    mapping_default_keep(&s->shape);
    if (spec->flow) dataflow_keep(spec->flow, &s->shape);
    if (spec->rules) rules_keep(spec->rules, &s->shape);
    for (int l = 1; l < t->nlevel && spec->bypass && !spec->flow; l++) {
        if (t->level[l].kind == LEVEL_CACHE || l == spec->keeper) continue; /* what passes a cache stays in it */
        s->free[l] = s->shape.level[l].keep;
        if (spec->rules) s->free[l] &= ~spec->rules->keep[l];
        for (unsigned f = s->free[l]; f; f &= f - 1) s->nfree++;
    }
    for (int d = 0; d < p->ndim; d++)
        if (!space_primes(s, d, spec->fix_outer ? p->extent[d] / spec->outer[d] : p->extent[d])) BUG("more than 2^63 multiply-adds");
    int pe = mapping_pe_level(t);
    for (int d = 0; d < p->ndim; d++)
        for (int i = 0; i < s->nslot; i++)
            s->allowed[d][i] = (!spec->fix_outer || s->slot[i].level || s->slot[i].axis) &&
                               (!spec->rules || rules_slot(spec->rules, d, s->slot[i].level, s->slot[i].axis)) &&
                               (!spec->flow || dataflow_slot(spec->flow, p, d, s->slot[i].level, s->slot[i].axis, pe));
    for (int d = 0; d < p->ndim; d++)
        for (int i = 0; i < s->nslot; i++)
            if (s->allowed[d][i]) s->may[d][s->nmay[d]++] = i;
    for (int d = 0; d < p->ndim; d++) s->may_pad[d] = can_pad(s, d);
}
void point_mapping(const Space *s, const Point *x, Mapping *m) {
    m->problem = s->problem, m->target = s->target;
    for (int l = 0; l < s->target->nlevel; l++) m->level[l].ntemporal = m->level[l].nspatial = 0, m->level[l].keep = x->keep[l];
    for (int i = 0; i < s->nslot; i++) {
        MapLevel *v = &m->level[s->slot[i].level];
        char axis = s->slot[i].axis;
        for (int k = 0; k < s->problem->ndim; k++) {
            int d = axis || (i == 0 && s->spec->fix_outer) ? k : x->order[s->slot[i].level][k];
            if (x->factor[d][i] > 1)
                *(axis ? &v->spatial[v->nspatial++] : &v->temporal[v->ntemporal++]) = (MapLoop){d, x->factor[d][i], axis, false};
        }
    }
}
double point_illegal(const Space *s, const Point *x) {
    int64_t tile[QN_MAX_DIMS], below = 1;
    double over = 0;
    MapFit fit = {0};
    Ragged ragged[QN_MAX_DIMS];
    for (int d = 0; d < s->problem->ndim; d++) tile[d] = 1, ragged[d].slot = -1;
    for (int d = 0; d < s->problem->ndim && s->real != s->problem; d++)
        if (!ragged_slot(s, x, d, &ragged[d])) over++;
    for (int i = s->nslot - 1; i >= 0; i--) {
        const TargetLevel *v = &s->target->level[s->slot[i].level];
        int64_t spread = 1;
        for (int d = 0; d < s->problem->ndim; d++) tile[d] *= x->factor[d][i], spread *= x->factor[d][i];
        if (s->slot[i].axis) {
            int64_t have = s->slot[i].axis == 'x' ? v->fan_x : v->fan_y;
            if (spread > have) over += (double)spread / (double)have;
            below *= spread;
            continue;
        }
        if (v->fan && below > v->fan) over += (double)below / (double)v->fan;
        below = 1;                                   /* the temporal slot of a level comes last here: its tile is whole */
        for (int d = 0; d < s->problem->ndim; d++) { /* what is rounded up is not there */
            int k = ragged[d].slot;
            if (k >= i && s->slot[k].level == s->slot[i].level) tile[d] = ragged[d].left * (k > i ? x->factor[d][i] : 1);
        }
        map_fit_level(&fit, s->problem, s->target, s->slot[i].level, x->keep[s->slot[i].level], tile);
    }
    return over + map_fit_over(&fit, s->problem, s->target, NULL, NULL);
}
double point_value(const Space *s, const Point *x, Mapping *m) {
    double over = point_illegal(s, x);
    if (over > 0) return NOT_LEGAL * (2 + over);
    MappingCounts n;
    int faults = 0;
    bool folds = s->real != s->problem && s->spec->flow && s->spec->flow->beside && !s->spec->flow->stationary;
    if (folds) pad_mapping(s, x, m), faults = dataflow_faults(s->spec->flow, m); /* ragged loops may be along both axes */
    point_mapping(s, x, m);
    if (s->spec->flow && !folds) faults = dataflow_faults(s->spec->flow, m);
    if (s->spec->rules) faults += rules_faults(s->spec->rules, m);
    if (faults) return NOT_LEGAL * (1 + 0.01 * min_i64(faults, 50));
    mapping_counts_as(m, s->spec->counting, &n);
    n.energy *= s->scale;
    return spec_value(s->spec, &n);
}
