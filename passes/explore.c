/* SPDX-License-Identifier: Apache-2.0 */
/* explore.c: what the explorer asks of a mapping beyond its cost: which operands stay in the array.
 *   ws: one weight a PE, loops over N E F inside the outermost level  ->  W: fills = distinct; I: none kept */
#include "explore.h"
#include <string.h>

const char *const objective_name[3] = {"energy", "delay", "edp"};

int mapping_pe_level(const Target *t) {
    for (int l = 0; l < t->nlevel; l++)
        if (t->level[l].fan_x * t->level[l].fan_y > 1) return l + 1;
    return t->nlevel;
}
void mapping_stationary(const Mapping *m, Stationary *out) {
    int pe = mapping_pe_level(m->target);
    memset(out, 0, sizeof *out);
    /* the same mapping without the outermost level's temporal loops, of the smaller problem that is one of their iterations */
    Problem part = *m->problem;
    Mapping inner = *m;
    int64_t extent[QN_MAX_DIMS];
    inner.problem = &part;
    for (int d = 0; d < part.ndim; d++) extent[d] = part.extent[d];
    for (int i = 0; i < m->level[0].ntemporal; i++) {
        const MapLoop *l = &m->level[0].temporal[i];
        extent[l->dim] = l->ragged ? ceil_div(extent[l->dim], l->factor) : extent[l->dim] / l->factor;
    }
    if (mapping_ragged(m)) /* a ragged loop's iteration is what the loops inside it cover */
        for (int d = 0; d < part.ndim; d++) {
            MapChain c;
            mapping_chain(m, d, &c);
            for (int i = 0; i < c.n && c.link[i].level == 0 && !c.link[i].loop.axis; i++) extent[d] = c.link[i].step;
        }
    memcpy(part.extent, extent, sizeof extent);
    inner.level[0].ntemporal = 0;
    MappingCounts n;
    mapping_counts(&inner, &n);
    for (int t = 0; t < part.ntensor; t++)
        for (int l = pe; l < m->target->nlevel; l++) {
            if (!(m->level[l].keep >> t & 1)) continue;
            out->fills[t] = n.at[l][t].fills;
            out->distinct[t] = mapping_distinct_words(&inner, l, t);
            break;
        }
}
