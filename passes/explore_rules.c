/* SPDX-License-Identifier: Apache-2.0 */
/* explore_rules.c: constraints that a user gives for one problem and machine: factors, orders, axes, and what levels keep.
 *   GLB: temporal factor of C is 1, innermost are E then F   ->   C has no loop at GLB; GLB[M4 F2 E7] is right, GLB[E7 F2] breaks one */
#include "explore.h"

bool rules_slot(const MapRules *r, int dim, int level, char axis) {
    unsigned not = axis == 'x' ? 1 : axis == 'y' ? 2 : 0;
    return r->level[level][axis != 0].factor[dim] != 1 && !(r->level[level][1].not_axis[dim] & not );
}
void rules_keep(const MapRules *r, Mapping *m) {
    for (int l = 0; l < m->target->nlevel; l++) m->level[l].keep = (m->level[l].keep | r->keep[l]) & ~r->bypass[l];
}
static int64_t factor_of(const MapLoop *l, int n, int dim, char axis) { /* axis 0: all */
    int64_t f = 1;
    for (int i = 0; i < n; i++)
        if (l[i].dim == dim && (!axis || l[i].axis == axis)) f *= l[i].factor;
    return f;
}
/* From the innermost loop out: the listed dims in their order, then others. */
static int order_faults(const MapRules *r, const MapLevel *v, int level) {
    int faults = 0, at = 0, n = r->level[level][0].norder;
    const int *order = r->level[level][0].order;
    for (int i = v->ntemporal - 1; i >= 0; i--) {
        if (v->temporal[i].factor < 2) continue;
        int k = 0;
        while (k < n && order[k] != v->temporal[i].dim) k++;
        faults += k < at;
        if (k > at) at = k;
    }
    return faults;
}
static int outside(int64_t f, int64_t least, int64_t most) { return (least && f < least) + (most && f > most); }
static int factor_faults(const MapRules *r, const MapLoop *loops, int n, int level, int spatial, int dim) {
    int64_t f = factor_of(loops, n, dim, 0), want = r->level[level][spatial].factor[dim];
    int faults = (want && f != want) + outside(f, r->level[level][spatial].least[dim], r->level[level][spatial].most[dim]);
    for (int y = 0; spatial && y < 2; y++) {
        int64_t least = r->level[level][1].least_on[y][dim], most = r->level[level][1].most_on[y][dim];
        if (least || most) faults += outside(factor_of(loops, n, dim, "xy"[y]), least, most);
    }
    return faults;
}
int rules_faults(const MapRules *r, const Mapping *m) {
    int faults = 0;
    for (int l = 0; l < m->target->nlevel; l++) {
        const MapLevel *v = &m->level[l];
        for (int d = 0; d < m->problem->ndim; d++)
            faults += factor_faults(r, v->temporal, v->ntemporal, l, 0, d) + factor_faults(r, v->spatial, v->nspatial, l, 1, d);
        for (int i = 0; i < v->nspatial; i++)
            faults += v->spatial[i].factor > 1 && !rules_slot(r, v->spatial[i].dim, l, v->spatial[i].axis);
        faults += order_faults(r, v, l);
        faults += (r->keep[l] & ~v->keep) != 0 || (r->bypass[l] & v->keep) != 0;
    }
    return faults;
}
