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

/* ---- dataflows */
static bool among(const char *list, const char *name) { /* words separated by blanks */
    size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at++)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return true;
    return false;
}
static bool named(const Problem *p, int dim, const char *name) { return name && strcmp(p->dim[dim], name) == 0; }
void dataflow_keep(const Dataflow *f, Mapping *m) {
    for (int l = mapping_pe_level(m->target); f->limits_keep && l < m->target->nlevel; l++)
        for (int t = 0; t < m->problem->ntensor; t++)
            if (!(m->problem->tensor[t].role & f->pe_keep)) m->level[l].keep &= ~(1u << t);
}
bool dataflow_slot(const Dataflow *f, const Problem *p, int dim, int level, char axis, int pe) {
    if (named(p, dim, f->whole)) return axis != 0;
    if (axis) return !f->spatial || among(f->spatial, p->dim[dim]);
    return !named(p, dim, f->inside) || level >= pe;
}
/* The dim of the innermost loop outside the array that steps; -1: none. */
static int last_outside(const Mapping *m, int pe) {
    for (int l = pe - 1; l >= 0; l--)
        for (int i = m->level[l].ntemporal - 1; i >= 0; i--)
            if (m->level[l].temporal[i].factor > 1) return m->level[l].temporal[i].dim;
    return -1;
}
/* The whole dim along one axis; part of the dim beside it along the other, if any factor of it fits there. */
static bool axes_fit(const Dataflow *f, const Mapping *m) {
    const Problem *p = m->problem;
    int whole = f->whole ? problem_dim(p, f->whole) : -1, beside = f->beside ? problem_dim(p, f->beside) : -1;
    char axis = 0;
    bool spread = false, could = false;
    for (int l = 0; l < m->target->nlevel; l++)
        for (int i = 0; i < m->level[l].nspatial; i++) {
            const MapLoop *x = &m->level[l].spatial[i];
            if (x->dim != whole || x->factor < 2) continue;
            if (axis && axis != x->axis) return false;
            axis = x->axis;
        }
    for (int l = 0; beside >= 0 && l < m->target->nlevel; l++) {
        int64_t have = axis == 'x'   ? m->target->level[l].fan_y
                       : axis == 'y' ? m->target->level[l].fan_x
                                     : max_i64(m->target->level[l].fan_x, m->target->level[l].fan_y);
        for (int64_t q = 2; q <= have && !could; q++) could = p->extent[beside] % q == 0;
        for (int i = 0; i < m->level[l].nspatial; i++) {
            const MapLoop *x = &m->level[l].spatial[i];
            if (x->dim != beside || x->factor < 2) continue;
            if (x->axis == axis && !mapping_ragged(m)) return false; /* folding puts part of it along both */
            spread = true;
        }
    }
    return spread || !could;
}
int dataflow_faults(const Dataflow *f, const Mapping *m) {
    const Problem *p = m->problem;
    int pe = mapping_pe_level(m->target), faults = 0, inner = f->innermost ? problem_dim(p, f->innermost) : -1;
    for (int l = 0; l < m->target->nlevel; l++) {
        const MapLevel *v = &m->level[l];
        for (int i = 0; i < v->ntemporal + v->nspatial; i++) {
            const MapLoop *x = i < v->ntemporal ? &v->temporal[i] : &v->spatial[i - v->ntemporal];
            faults += x->factor > 1 && !dataflow_slot(f, p, x->dim, l, x->axis, pe);
        }
        for (int t = 0; l >= pe && f->limits_keep && t < p->ntensor; t++) faults += v->keep >> t & 1 && !(p->tensor[t].role & f->pe_keep);
    }
    for (int t = 0; t < p->ntensor; t++) {
        bool kept = !(p->tensor[t].role & f->pe_must);
        for (int l = pe; l < m->target->nlevel; l++) kept |= m->level[l].keep >> t & 1;
        faults += !kept;
    }
    faults += !axes_fit(f, m);
    if (inner >= 0 && p->extent[inner] > 1) faults += last_outside(m, pe) != inner;
    if (!f->stationary) return faults;
    Stationary s;
    mapping_stationary(m, &s);
    for (int t = 0; t < p->ntensor; t++)
        if (p->tensor[t].role == f->stationary) faults += s.fills[t] != s.distinct[t] || !s.distinct[t];
    return faults;
}
bool dataflow_allows(const Dataflow *f, const Mapping *m) { return dataflow_faults(f, m) == 0; }
