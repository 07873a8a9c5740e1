/* SPDX-License-Identifier: Apache-2.0 */
/* explore_json.c: results of the explorer as JSON: the object of the contract, one a case. Rounded where the reference is (six
 * decimals of the two ratios), so that the same mapping gives the same text.
 *   {"case": "x", …, "legal": true, "violations": [], "result": {"cycles": 288, …}, "search": null} */
#include "page.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *number(double x) { /* whole numbers print as integers */
    return fabs(x) < 9e15 && x == floor(x) ? json_integer((json_int_t)x) : json_real(x);
}
static json_t *rounded(double x) { /* as Python's round(x, 6): halves that are exact go to the even digit */
    char s[64];
    snprintf(s, sizeof s, "%.6f", x);
    return json_real(strtod(s, NULL));
}

static json_t *totals_json(const Mapping *m, const MappingCounts *n) {
    json_t *all = json_object();
    for (int l = m->target->nlevel - 1; l >= 0; l--) {
        json_t *level = json_object();
        for (int t = 0; t < m->problem->ntensor; t++) {
            const Access *a = &n->at[l][t];
            if (m->level[l].keep >> t & 1)
                json_object_set_new(level, m->problem->tensor[t].name,
                                    json_pack("{s:I, s:I, s:I, s:I, s:I}", "reads", (json_int_t)a->reads, "fills", (json_int_t)a->fills,
                                              "updates", (json_int_t)a->updates, "tile_words", (json_int_t)a->tile_words, "instances_used",
                                              (json_int_t)n->instances[l]));
        }
        json_object_set_new(all, m->target->level[l].name, level);
    }
    return all;
}
static json_t *dataflow_json(const Mapping *m) {
    Stationary s;
    mapping_stationary(m, &s);
    json_t *all = json_object();
    for (int t = 0; t < m->problem->ntensor; t++)
        json_object_set_new(all, m->problem->tensor[t].name,
                            json_pack("{s:I, s:I}", "fills", (json_int_t)s.fills[t], "distinct", (json_int_t)s.distinct[t]));
    return all;
}
static json_t *operands_json(const Mapping *m, const MappingCounts *n, Counting how) {
    double e[QN_MAX_TENSORS];
    json_t *j = json_object();
    explore_operand_energy(m, n, how, e);
    json_object_set_new(j, "MAC", number(n->energy_macs));
    for (int t = 0; t < m->problem->ntensor; t++) json_object_set_new(j, m->problem->tensor[t].name, number(e[t]));
    if (n->energy_network > 0) json_object_set_new(j, "network", number(n->energy_network));
    return j;
}
Roof explore_roof(const Problem *p, const Target *t, const MappingCounts *n) {
    const TargetLevel *v = &t->level[0];
    double rate = 1, words = n->outer_bits / v->word_bits;
    for (int i = 0; p->dtype && i < t->ncompute; i++)
        if (strcmp(t->compute[i].dtype, p->dtype) == 0) rate = t->compute[i].macs_per_cycle;
    return (Roof){(double)n->macs / (words > 1 ? words : 1), (double)n->macs / (double)max_i64(1, n->cycles),
                  rate * (double)target_instances(t, t->nlevel), v->read_bw + v->write_bw};
}
static json_t *roofline_json(const Mapping *m, const MappingCounts *n) {
    Roof r = explore_roof(m->problem, m->target, n);
    return json_pack("{s:f, s:f, s:f, s:f}", "macs_per_word", r.per_word, "macs_per_cycle", r.per_cycle, "peak_macs_per_cycle", r.peak,
                     "words_per_cycle", r.words);
}
static json_t *array_json(const Mapping *m) {
    int64_t used[2], have[2];
    for (int y = 0; y < 2; y++) page_extent(m, y ? 'y' : 'x', &used[y], &have[y]);
    return json_pack("{s:I, s:I, s:I, s:I}", "x", (json_int_t)have[0], "y", (json_int_t)have[1], "used_x", (json_int_t)used[0], "used_y",
                     (json_int_t)used[1]);
}
json_t *explore_result_json(const Mapping *m, const MappingCounts *n) {
    json_t *energy = json_object(), *r = json_object();
    json_object_set_new(energy, "MAC", number(n->energy_macs));
    for (int l = m->target->nlevel - 1; l >= 0; l--) json_object_set_new(energy, m->target->level[l].name, number(n->energy_level[l]));
    if (n->energy_network > 0) json_object_set_new(energy, "network", number(n->energy_network));
    json_object_set_new(r, "cycles", json_integer(n->cycles));
    json_object_set_new(r, "cycles_compute", json_integer(n->cycles_compute));
    json_object_set_new(r, "macs", json_integer(n->macs));
    json_object_set_new(r, "pes_used", json_integer(n->units));
    json_object_set_new(r, "pes_mean", number(n->units_mean));
    json_object_set_new(r, "utilisation", rounded(n->utilisation));
    json_object_set_new(r, "access_totals", totals_json(m, n));
    json_object_set_new(r, "energy_by_level", energy);
    json_object_set_new(r, "energy_total", number(n->energy));
    json_object_set_new(r, "energy_per_mac", rounded(n->energy / (double)n->macs));
    json_object_set_new(r, "edp", number(n->energy * (double)n->cycles));
    json_object_set_new(r, "dram_words", json_integer(n->outer_words));
    json_object_set_new(r, "dram_bytes", number(n->outer_bits / 8));
    if (m->target->clock_mhz > 0) json_object_set_new(r, "milliseconds", json_real((double)n->cycles / m->target->clock_mhz / 1e3));
    json_object_set_new(r, "array_endpoint_words", json_integer(n->array_words));
    json_object_set_new(r, "energy_total_with_array_cost_2", number(counts_energy_with_array(n, 2)));
    json_object_set_new(r, "area", number(target_area(m->target)));
    json_object_set_new(r, "dataflow", dataflow_json(m));
    json_object_set_new(r, "roofline", roofline_json(m, n));
    json_object_set_new(r, "array", array_json(m));
    return r;
}

/* ---- inputs, as the reference writes them */
/* Is it a problem in the survey's letters? Others are written as an einsum. */
static bool is_conv(const Problem *p) {
    static const char *const letters[] = {"N", "G", "M", "C", "E", "F", "R", "S"};
    for (int d = 0; d < p->ndim; d++) {
        size_t i = 0;
        while (i < 8 && strcmp(letters[i], p->dim[d]) != 0) i++;
        if (i == 8) return false;
    }
    return p->ntensor == 3 && problem_tensor(p, "W") == 0 && problem_tensor(p, "I") == 1 && problem_tensor(p, "O") == 2;
}
static void put_tensor(Text *t, const Problem *p, const ProblemTensor *x) {
    text_printf(t, "%s[", x->name);
    for (int a = 0; a < x->rank; a++)
        for (int i = 0; i < x->axis[a].n; i++) {
            text_puts(t, i ? "+" : a ? "," : "");
            if (x->axis[a].coef[i] != 1) text_printf(t, "%lld*", (long long)x->axis[a].coef[i]);
            text_puts(t, p->dim[x->axis[a].dim[i]]);
        }
    text_puts(t, "]");
}
static json_t *einsum_json(const Problem *p) {
    Text t = {0};
    json_t *dims = json_object();
    int out = p->ntensor - 1;
    put_tensor(&t, p, &p->tensor[out]);
    for (int i = 0; i < out; i++) text_puts(&t, i ? " * " : " += "), put_tensor(&t, p, &p->tensor[i]);
    for (int d = 0; d < p->ndim; d++) json_object_set_new(dims, p->dim[d], json_integer(p->extent[d]));
    json_t *j = json_pack("{s:s, s:s, s:o}", "name", p->name, "einsum", t.s, "dims", dims);
    text_free(&t);
    return j;
}
static json_t *layer_json(const Problem *p) {
    if (!is_conv(p)) return einsum_json(p);
    json_t *j = json_object();
    json_object_set_new(j, "name", json_string(p->name));
    if (problem_dim(p, "M") < 0) {
        int w = problem_tensor(p, "W");
        bool pairs = w >= 0 && p->tensor[w].rank && strcmp(p->dim[p->tensor[w].axis[0].dim[0]], "N") == 0;
        json_object_set_new(j, "kind", json_string(w < 0 ? "pool" : pairs ? "binary" : "depthwise"));
    }
    for (int d = 0; d < p->ndim; d++) json_object_set_new(j, p->dim[d], json_integer(p->extent[d]));
    int in = problem_tensor(p, "I");
    for (int a = 0; in >= 0 && a < p->tensor[in].rank; a++) {
        const ProblemAxis *x = &p->tensor[in].axis[a];
        if (x->n != 2) continue;
        json_object_set_new(j, *p->dim[x->dim[0]] == 'E' ? "UE" : "UF", json_integer(x->coef[0]));
        json_object_set_new(j, *p->dim[x->dim[1]] == 'R' ? "DR" : "DS", json_integer(x->coef[1]));
    }
    json_t *e = json_object_get(j, "UE"), *f = json_object_get(j, "UF");
    if (e && f && json_integer_value(e) == json_integer_value(f)) json_object_set(j, "U", e);
    json_t *density = explore_words_json(p, false), *bits = explore_words_json(p, true);
    if (density) json_object_set_new(j, "density", density);
    if (bits) json_object_set_new(j, "bits", bits);
    if (p->dtype) json_object_set_new(j, "dtype", json_string(p->dtype));
    return j;
}
static json_t *loops_json(const Problem *p, const MapLoop *l, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *x = json_pack("[s, I]", p->dim[l[i].dim], (json_int_t)l[i].factor);
        if (l[i].axis) json_array_append_new(x, json_string(l[i].axis == 'x' ? "X" : "Y"));
        if (l[i].ragged) json_array_append_new(x, json_string("~"));
        json_array_append_new(list, x);
    }
    return list;
}
static json_t *mapping_json(const Mapping *m) {
    json_t *all = json_array();
    Mapping usual = {.problem = m->problem, .target = m->target};
    mapping_default_keep(&usual);
    for (int i = 0; i < m->target->nlevel; i++) {
        const MapLevel *v = &m->level[i];
        json_t *l =
            json_pack("{s:s, s:o, s:o}", "level", m->target->level[i].name, "temporal_outer_to_inner",
                      loops_json(m->problem, v->temporal, v->ntemporal), "spatial", loops_json(m->problem, v->spatial, v->nspatial));
        if (v->keep != usual.level[i].keep) {
            json_t *keeps = json_array();
            for (int t = 0; t < m->problem->ntensor; t++)
                if (v->keep >> t & 1) json_array_append_new(keeps, json_string(m->problem->tensor[t].name));
            json_object_set_new(l, "keeps", keeps);
        }
        json_array_append_new(all, l);
    }
    return all;
}
static json_t *violations_json(const ExploreCase *x) {
    json_t *list = json_array();
    for (int i = 0; i < x->violations.list.n; i++) {
        const MapViolation *v = &x->violations.list.v[i];
        int tensor = v->tensor;
        unsigned keep = x->mapping->level[v->level].keep;
        if (tensor < 0 && keep && !(keep & (keep - 1))) tensor = __builtin_ctz(keep); /* only one is kept there */
        json_array_append_new(list, json_pack("{s:s, s:s?, s:I, s:I}", "level", x->target->level[v->level].name, "tensor",
                                              tensor < 0 ? NULL : x->problem->tensor[tensor].name, "need_words", (json_int_t)v->need_words,
                                              "capacity_words", (json_int_t)v->capacity_words));
    }
    return list;
}
static json_t *search_json(const SearchResult *s) {
    if (!s) return json_null();
    return json_pack("{s:s, s:I, s:f, s:I, s:o, s:b}", "status", s->optimal ? "optimal" : "best", "evals", (json_int_t)s->evals, "seconds",
                     s->seconds, "seed", (json_int_t)s->seed, "lower_bound", number(s->lower_bound), "cached", s->cached);
}
json_t *explore_case_json(Ctx *c, const ExploreCase *x) {
    json_t *j = json_object();
    (void)c;
    json_object_set_new(j, "case", json_string(x->id));
    json_object_set_new(j, "layer", x->problem ? layer_json(x->problem) : json_null());
    json_object_set_new(j, "arch", json_string(x->arch));
    json_object_set_new(j, "counting", json_string(counting_name[x->counting]));
    json_object_set_new(j, "mapping", x->mapping ? mapping_json(x->mapping) : json_null());
    Text line = {0};
    if (x->mapping) mapping_print_line(x->mapping, &line);
    json_object_set_new(j, "mapping_text", x->mapping ? json_stringn(line.s, line.n) : json_null());
    text_free(&line);
    json_object_set_new(j, "legal", json_boolean(x->legal));
    json_object_set_new(j, "violations", x->mapping ? violations_json(x) : json_array());
    MappingCounts n;
    if (x->legal) mapping_counts_as(x->mapping, x->counting, &n);
    json_t *result = x->legal ? explore_result_json(x->mapping, &n) : json_null();
    if (x->legal) json_object_set_new(result, "energy_by_operand", operands_json(x->mapping, &n, x->counting));
    json_object_set_new(j, "result", result);
    json_object_set_new(j, "search", search_json(x->search));
    return j;
}
