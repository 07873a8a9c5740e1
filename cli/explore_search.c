/* SPDX-License-Identifier: Apache-2.0 */
/* explore_search.c: a search as the command line runs it: answers of earlier runs are taken from the cache, and on a terminal a line
 * says how far it is. The key of an answer is everything it depends on, as text.
 *   conv1 on eyeriss, edp, 100000 evals  ->  the second time nothing is searched */
#include "explore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- keys */
static void key_target(const Target *t, Text *k) {
    text_printf(k, "%.17g %u %u %u\n", t->mac_energy, t->gate, t->skip, t->run_length);
    for (int i = 0; i < t->ncompute; i++)
        text_printf(k, "compute %s %.17g %.17g\n", t->compute[i].dtype, t->compute[i].macs_per_cycle, t->compute[i].energy);
    for (int i = 0; i < t->nlevel; i++) {
        const TargetLevel *v = &t->level[i];
        text_printf(k, "%s %d %lld %d %u %lld %lld %lld %.17g %.17g %.17g %.17g %d %d %lld %lld %lld %d %.17g %u\n", v->name, (int)v->kind,
                    (long long)v->words, v->word_bits, v->keeps, (long long)v->fan_x, (long long)v->fan_y, (long long)v->fan,
                    v->read_energy, v->write_energy, v->read_bw, v->write_bw, v->buffers, v->banks, (long long)v->part[0],
                    (long long)v->part[1], (long long)v->part[2], v->shares, v->network_energy, v->no_multicast);
    }
}
static void key_problem(const Problem *p, Text *k) {
    for (int d = 0; d < p->ndim; d++) text_printf(k, "%s%lld ", p->dim[d], (long long)p->extent[d]);
    for (int i = 0; i < p->ntensor; i++) {
        const ProblemTensor *t = &p->tensor[i];
        text_printf(k, "\n%u %d %.17g", t->role, t->bits, t->density);
        for (int a = 0; a < t->rank; a++)
            for (int n = 0; n < t->axis[a].n; n++)
                text_printf(k, "%s%d*%lld", n ? "+" : " ", t->axis[a].dim[n], (long long)t->axis[a].coef[n]);
    }
    text_printf(k, "\n%s\n", p->dtype ? p->dtype : "");
}
static void key_flow(const Dataflow *f, Text *k) {
    const char *const words[] = {f->spatial, f->whole, f->beside, f->inside, f->innermost};
    text_printf(k, "flow %u %d %u %u", f->pe_keep, f->limits_keep, f->pe_must, f->stationary);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) text_printf(k, " (%s)", words[i] ? words[i] : "any");
}
static void key_rules(const MapRules *r, int nlevel, Text *k) {
    for (int l = 0; l < nlevel; l++) {
        text_printf(k, "\nrules %u %u", r->keep[l], r->bypass[l]);
        for (int i = 0; i < 2; i++)
            for (int d = 0; d < QN_MAX_DIMS; d++)
                text_printf(k, " %lld %lld %lld %lld %lld %lld %lld %d %d", (long long)r->level[l][i].factor[d],
                            (long long)r->level[l][i].least[d], (long long)r->level[l][i].most[d], (long long)r->level[l][i].least_on[0][d],
                            (long long)r->level[l][i].most_on[0][d], (long long)r->level[l][i].least_on[1][d],
                            (long long)r->level[l][i].most_on[1][d], r->level[l][i].not_axis[d],
                            d < r->level[l][i].norder ? r->level[l][i].order[d] : -1);
    }
}
static const char *key_of(Ctx *c, const Problem *p, const Target *t, const SearchSpec *s) {
    Text k = {0};
    key_target(t, &k), key_problem(p, &k);
    if (s->flow) key_flow(s->flow, &k);
    if (s->rules) key_rules(s->rules, t->nlevel, &k);
    if (s->bypass) text_puts(&k, "\nbypass");
    text_printf(&k, "\n%d %d %lld %.17g %llu", (int)s->objective, (int)s->counting, s->seconds > 0 ? 0LL : (long long)s->evals, s->seconds,
                (unsigned long long)s->seed);
    if (s->seconds > 0) text_printf(&k, " %d", s->threads);
    if (s->energy_weight > 0) text_printf(&k, " weights %.17g %.17g", s->energy_weight, s->cycles_weight);
    const char *r = arena_strndup(c->a, k.s, k.n);
    text_free(&k);
    return r;
}

/* ---- answers */
static bool recall(Ctx *c, const char *text, const Problem *p, const Target *t, const SearchSpec *s, Mapping *best, SearchResult *r) {
    Diags quiet = {.a = c->a};
    Ctx q = {c->a, &quiet};
    json_t *j = text ? json_loads(text, 0, NULL) : NULL;
    const char *line = json_string_value(json_object_get(j, "mapping"));
    Mapping *m = line ? mapping_parse_line(&q, "", line, p, t) : NULL;
    bool ok = m && mapping_legal(m) && (!s->flow || dataflow_allows(s->flow, m)) && (!s->rules || !rules_faults(s->rules, m));
    if (ok) {
        MappingCounts n;
        mapping_counts_as(m, s->counting, &n);
        *best = *m;
        *r = (SearchResult){.found = true,
                            .optimal = json_is_true(json_object_get(j, "optimal")),
                            .cached = true,
                            .evals = json_integer_value(json_object_get(j, "evals")),
                            .seconds = json_number_value(json_object_get(j, "seconds")),
                            .value = spec_value(s, &n),
                            .lower_bound = json_number_value(json_object_get(j, "lower_bound")),
                            .seed = s->seed};
    }
    json_decref(j);
    return ok;
}
static void remember(Ctx *c, const char *key, const Mapping *m, const SearchResult *r) {
    Text line = {0};
    mapping_print_line(m, &line);
    json_t *j = json_pack("{s:s, s:b, s:I, s:f, s:f}", "mapping", line.s, "optimal", r->optimal, "evals", (json_int_t)r->evals, "seconds",
                          r->seconds, "lower_bound", r->lower_bound);
    char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text) cache_put(c, "explore", key, text);
    free(text), json_decref(j), text_free(&line);
}

/* ---- progress */
static void show(void *user, int64_t evals, double seconds, double value) {
    const Problem *p = user;
    if (value < 1e200) fprintf(stderr, "\r%-32.32s %10lld mappings, %6.1f s, best %-12.6g", p->name, (long long)evals, seconds, value);
    else fprintf(stderr, "\r%-32.32s %10lld mappings, %6.1f s, none legal yet  ", p->name, (long long)evals, seconds);
}
bool explore_search(Ctx *c, const Problem *p, const Target *t, const SearchSpec *spec, Mapping *best, SearchResult *r) {
    SearchSpec s = *spec;
    s.bypass &= !t->keeps_all;
    const char *key = s.start ? NULL : key_of(c, p, t, &s);
    if (key && s.ranks < 2 && recall(c, cache_get(c, "explore", key), p, t, &s, best, r)) return true;
    if (isatty(2) && s.rank == 0) s.progress = show, s.user = (void *)p;
    bool ok = mapping_search(p, t, &s, best, r);
    if (s.progress) fputs("\r\033[K", stderr);
    if (ok && key && s.rank == 0) remember(c, key, best, r);
    return ok;
}
