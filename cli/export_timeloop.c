/* SPDX-License-Identifier: Apache-2.0 */
/* export_timeloop.c: a machine, a problem and a mapping as Timeloop's files of version 0.3, with the energies and areas as Accelergy's
 * tables, so that the same case can be run there. Spatial loops along y come after the split. What has no counterpart and would change a
 * number is refused: ragged loops, networks without multicast, partitions, levels in another's memory, zeros, widths of operands. The
 * energy of a word on a network has none either (there it goes by hops): it is the attribute network_energy, which Timeloop passes over and
 * we read back. GLB: for C 4, M 2; spread E 7 x   ->   {target: GLB, type: temporal, factors: C=4 M=2, permutation: "M C"}, {…, type:
 * spatial, …} */
#include "import.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A dim that is spread along both axes below a level: Timeloop has one factor of it there, so the rows get a level of their own, which
 * keeps nothing (its frontend does the same with containers). */
static bool has_rows(const Mapping *m, int level) {
    const MapLevel *v = &m->level[level];
    unsigned on[2] = {0, 0};
    for (int i = 0; i < v->nspatial; i++)
        if (v->spatial[i].factor > 1) on[v->spatial[i].axis == 'y'] |= 1u << v->spatial[i].dim;
    return (on[0] & on[1]) != 0;
}
/* Columns of the array below a level: where its shape is open, as many as the mapping needs; 0: no shape has room for it. */
static int64_t columns(const Mapping *m, int level) {
    const TargetLevel *v = &m->target->level[level];
    int64_t x = 1, y = 1;
    if (!v->fan) return v->fan_x;
    for (int i = 0; i < m->level[level].nspatial; i++)
        *(m->level[level].spatial[i].axis == 'x' ? &x : &y) *= m->level[level].spatial[i].factor;
    while (x <= v->fan && v->fan % x) x++;
    return x <= v->fan && y <= v->fan / x ? x : 0;
}
static void put_architecture(const Mapping *m, Text *s) {
    const Target *t = m->target;
    text_printf(s, "architecture:\n  version: 0.3\n  subtree:\n  - name: system\n");
    if (t->clock_mhz > 0) text_printf(s, "    attributes: {global_cycle_seconds: %.17g}\n", 1e-6 / t->clock_mhz);
    text_puts(s, "    local:\n");
    int64_t mesh = 1;
    for (int l = 0; l < t->nlevel; l++) {
        const TargetLevel *v = &t->level[l];
        int64_t n = target_instances(t, l);
        text_printf(s, "    - name: %s", v->name);
        if (n > 1) text_printf(s, "[0..%lld]", (long long)n - 1);
        text_printf(s, "\n      class: %s\n      attributes: {word-bits: %d, width: %d, ", l ? "SRAM" : "DRAM", v->word_bits, v->word_bits);
        if (v->words) text_printf(s, "depth: %lld, ", (long long)v->words);
        if (v->read_bw > 0) text_printf(s, "read_bandwidth: %.9g, ", v->read_bw);
        if (v->write_bw > 0) text_printf(s, "write_bandwidth: %.9g, ", v->write_bw);
        if (v->buffers > 1) text_printf(s, "multiple_buffering: %d, ", v->buffers);
        if (v->banks > 1) text_printf(s, "n_banks: %d, ", v->banks);
        if (v->network_energy != 0) text_printf(s, "network_energy: %.17g, ", v->network_energy);
        text_printf(s, "meshX: %lld}\n", (long long)mesh);
        mesh *= columns(m, l);
        if (has_rows(m, l))
            text_printf(s,
                        "    - name: %s_rows[0..%lld]\n      class: dummy_storage\n      attributes: {word-bits: 1, width: 1, depth: 1, "
                        "meshX: %lld}\n",
                        v->name, (long long)(n * columns(m, l)) - 1, (long long)mesh);
    }
    text_printf(s, "    - name: MAC[0..%lld]\n      class: intmac\n      attributes: {meshX: %lld}\n",
                (long long)target_instances(t, t->nlevel) - 1, (long long)mesh);
}
static void put_table(const Target *t, Text *s) {
    text_puts(s, "ERT:\n  version: 0.3\n  tables:\n");
    for (int l = 0; l < t->nlevel; l++)
        text_printf(s,
                    "  - name: system.%s\n    actions:\n    - {name: read, energy: %.17g}\n    - {name: write, energy: %.17g}\n    - "
                    "{name: update, energy: %.17g}\n",
                    t->level[l].name, t->level[l].read_energy, t->level[l].write_energy, t->level[l].write_energy);
    text_printf(s, "  - name: system.MAC\n    actions:\n    - {name: compute, energy: %.17g}\n", t->mac_energy);
    text_puts(s, "ART:\n  version: 0.3\n  tables:\n");
    for (int l = 0; l < t->nlevel; l++)
        if (t->level[l].words)
            text_printf(s, "  - {name: system.%s, area: %.17g}\n", t->level[l].name, t->level[l].area_per_word * (double)t->level[l].words);
    text_printf(s, "  - {name: system.MAC, area: %.17g}\n", t->area_per_pe);
}
/* What the levels may keep, for a search there. */
static void put_constraints(const Mapping *m, Text *s) {
    text_puts(s, "architecture_constraints:\n  version: 0.3\n  targets:\n");
    for (int l = 0; l < m->target->nlevel; l++) {
        bool first = true;
        for (int t = 0; t < m->problem->ntensor; t++) {
            if (m->target->level[l].keeps & m->problem->tensor[t].role) continue;
            if (first) text_printf(s, "  - {target: %s, type: bypass, bypass: [", m->target->level[l].name);
            text_printf(s, "%s%s", first ? "" : ", ", m->problem->tensor[t].name), first = false;
        }
        if (!first) text_puts(s, "]}\n");
    }
}
static void put_problem(const Problem *p, Text *s) {
    text_printf(s, "problem:\n  version: 0.3\n  shape:\n    name: %s\n    dimensions: [", text_is_ident(p->name) ? p->name : "layer");
    for (int d = 0; d < p->ndim; d++) text_printf(s, "%s%s", d ? ", " : "", p->dim[d]);
    text_puts(s, "]\n    data-spaces:\n");
    for (int t = 0; t < p->ntensor; t++) {
        const ProblemTensor *x = &p->tensor[t];
        text_printf(s, "    - name: %s\n      projection: [", x->name);
        for (int a = 0; a < x->rank; a++) {
            text_puts(s, a ? ", [" : "[");
            for (int i = 0; i < x->axis[a].n; i++) {
                text_printf(s, "%s[%s", i ? ", " : "", p->dim[x->axis[a].dim[i]]);
                if (x->axis[a].coef[i] != 1) text_printf(s, ", %lld", (long long)x->axis[a].coef[i]);
                text_puts(s, "]");
            }
            text_puts(s, "]");
        }
        text_puts(s, x->role == ROLE_O ? "]\n      read-write: True\n" : "]\n");
    }
    text_puts(s, "  instance: {");
    for (int d = 0; d < p->ndim; d++) text_printf(s, "%s%s: %lld", d ? ", " : "", p->dim[d], (long long)p->extent[d]);
    text_puts(s, "}\n");
}
/* Loops of one kind at a level: Timeloop has one factor a dim there, so equal dims of neighbours are one loop. axis: 0 both. */
static bool put_loops(Ctx *c, const Mapping *m, int level, bool spatial, char axis_only, Text *s) {
    const MapLevel *v = &m->level[level];
    const MapLoop *x = spatial ? v->spatial : v->temporal;
    int n = spatial ? v->nspatial : v->ntemporal, order[QN_MAX_DIMS], k = 0, ny = 0;
    int64_t factor[QN_MAX_DIMS];
    char axis[QN_MAX_DIMS] = {0};
    for (int d = 0; d < m->problem->ndim; d++) factor[d] = 1;
    for (int pass = spatial ? 0 : 1; pass < 2; pass++) /* inner first: x before y */
        for (int i = n - 1; i >= 0; i--) {
            if (x[i].factor == 1 || (spatial && (x[i].axis == 'y') != (pass == 1)) || (axis_only && x[i].axis != axis_only)) continue;
            if (x[i].ragged)
                return diag_error(c->d, NO_LOC, "Timeloop has no ragged loops: %s %lld at %s", m->problem->dim[x[i].dim],
                                  (long long)x[i].factor, m->target->level[level].name);
            int d = x[i].dim;
            if (factor[d] > 1 && (spatial ? axis[d] != x[i].axis : order[k - 1] != d))
                return diag_error(c->d, NO_LOC, "Timeloop has one loop of a dimension at a level; %s has several of %s",
                                  m->target->level[level].name, m->problem->dim[d]);
            if (factor[d] == 1) order[k++] = d, ny += x[i].axis == 'y';
            factor[d] *= x[i].factor, axis[d] = x[i].axis;
        }
    if (spatial && !k) return true;
    text_printf(s, "- target: %s%s\n  type: %s\n  factors: ", m->target->level[level].name, axis_only == 'y' ? "_rows" : "",
                spatial ? "spatial" : "temporal");
    for (int d = 0; d < m->problem->ndim; d++) text_printf(s, "%s%s=%lld", d ? " " : "", m->problem->dim[d], (long long)factor[d]);
    text_puts(s, "\n  permutation: [");
    for (int i = 0; i < k; i++) text_printf(s, "%s%s", i ? ", " : "", m->problem->dim[order[i]]);
    for (int d = 0, first = !k; d < m->problem->ndim; d++)
        if (factor[d] == 1) text_printf(s, "%s%s", first ? "" : ", ", m->problem->dim[d]), first = 0;
    text_puts(s, "]\n");
    if (spatial) text_printf(s, "  split: %d\n", k - ny);
    return true;
}
static bool put_mapping(Ctx *c, const Mapping *m, Text *s) {
    text_puts(s, "mapping:\n");
    for (int l = 0; l < m->target->nlevel; l++) {
        for (int keep = 1; keep >= 0; keep--) {
            bool first = true;
            if (keep) text_printf(s, "- target: %s\n  type: bypass\n", m->target->level[l].name);
            text_printf(s, "  %s: [", keep ? "keep" : "bypass");
            for (int t = 0; t < m->problem->ntensor; t++)
                if ((int)(m->level[l].keep >> t & 1) == keep)
                    text_printf(s, "%s%s", first ? "" : ", ", m->problem->tensor[t].name), first = false;
            text_puts(s, "]\n");
        }
        bool rows = has_rows(m, l);
        if (!put_loops(c, m, l, false, 0, s) || !put_loops(c, m, l, true, rows ? 'x' : 0, s)) return false;
        if (!rows) continue;
        text_printf(s, "- target: %s_rows\n  type: bypass\n  keep: []\n  bypass: [", m->target->level[l].name);
        for (int t = 0; t < m->problem->ntensor; t++) text_printf(s, "%s%s", t ? ", " : "", m->problem->tensor[t].name);
        text_puts(s, "]\n");
        if (!put_loops(c, m, l, true, 'y', s)) return false;
    }
    return true;
}
/* What Timeloop's files cannot say of this case. */
static bool sayable(Ctx *c, const Mapping *m) {
    const Target *t = m->target;
    int before = c->d->errors;
    for (int l = 0; l < t->nlevel; l++) {
        const TargetLevel *v = &t->level[l];
        if (v->no_multicast) diag_error(c->d, NO_LOC, "the export to Timeloop has no network without multicast, as that below %s", v->name);
        if (v->part[0] || v->part[1] || v->part[2] || v->shares || v->banks > 1)
            diag_warn(c->d, NO_LOC,
                      "the export to Timeloop has no %s: the counts of this mapping are the same there, but others may fit that do not "
                      "here, at %s",
                      v->shares      ? "level in another's memory"
                      : v->banks > 1 ? "banks of one operand"
                                     : "partitions",
                      v->name);
        if (!columns(m, l))
            diag_error(c->d, NO_LOC, "the units below %s are %lld in no stated shape, and none has room for the mapping's loops", v->name,
                       (long long)v->fan);
    }
    for (int i = 0; i < m->problem->ntensor; i++)
        if (m->problem->tensor[i].bits || m->problem->tensor[i].density > 0)
            diag_error(c->d, NO_LOC, "the export to Timeloop has no widths and densities of operands, as that of %s",
                       m->problem->tensor[i].name);
    if (m->problem->dtype) diag_error(c->d, NO_LOC, "the export to Timeloop has one kind of arithmetic; leave out the dtype");
    return c->d->errors == before;
}
bool timeloop_export(Ctx *c, const char *dir, const Mapping *m) {
    static const char *const names[] = {"arch.yaml", "ERT.yaml", "problem.yaml", "constraints.yaml", "mapping.yaml"};
    enum { FILES = sizeof names / sizeof *names };
    Text s[FILES] = {{0}};
    put_architecture(m, &s[0]), put_table(m->target, &s[1]), put_problem(m->problem, &s[2]), put_constraints(m, &s[3]);
    bool ok = sayable(c, m) && put_mapping(c, m, &s[4]);
    if (ok && mkdir(dir, 0777) && errno != EEXIST)
        ok = diag_error(c->d, (Loc){dir, -1, NULL, NULL}, "cannot create the folder: %s", strerror(errno));
    for (int i = 0; i < FILES; i++) {
        ok = ok && file_write_whole(c, arena_printf(c->a, "%s/%s", dir, names[i]), s[i].s, s[i].n);
        text_free(&s[i]);
    }
    return ok;
}
