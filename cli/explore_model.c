/* SPDX-License-Identifier: Apache-2.0 */
/* explore_model.c: a whole model on a machine: the best mapping of every layer (equal layers are searched once), sums, and sweeps of
 * the machine's parameters with their Pareto front.
 *   --sweep GLB=32k..128k,pe=8x8..16x16   ->   3 * 2 machines, each with the sums of energy, cycles and area; * marks the front */
#include "import.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One search a layer; with several ranks and enough layers each rank takes its share, and all get all answers. */
typedef struct Answer {
    bool legal;
    Mapping mapping;
    SearchResult search;
} Answer;
static void search_layers(Ctx *c, const ModelRun *r, const SearchSpec *spec, Answer *to) {
    int n = r->layers->list.n, turn = 0, ranks = spec->ranks, distinct = 0;
    SearchSpec s = *spec;
    for (int i = 0; i < n; i++) distinct += r->layers->list.v[i].same == i;
    bool share = ranks > 1 && distinct >= ranks;
    s.seconds /= (double)(share ? ceil_div(distinct, ranks) : distinct); /* of all layers together */
    if (share) s.rank = 0, s.ranks = 1;
    for (int i = 0; i < n; i++) {
        const ExploreLayer *l = &r->layers->list.v[i];
        if (l->same != i || (share && turn++ % ranks != spec->rank)) continue;
        to[i].legal = import_rules(c, r->options, l->problem, r->target, &s.rules) &&
                      explore_search(c, l->problem, r->target, &s, &to[i].mapping, &to[i].search);
    }
    if (!share) return;
    Answer *all = NEW_ARRAY(c->a, Answer, n * ranks);
    if (!spec->gather(to, (size_t)n * sizeof *to, all)) BUG("MPI does not deliver");
    turn = 0;
    for (int i = 0; i < n; i++) {
        if (r->layers->list.v[i].same != i) continue;
        to[i] = all[(int64_t)(turn++ % ranks) * n + i];
        to[i].mapping.problem = r->layers->list.v[i].problem, to[i].mapping.target = r->target;
    }
}
/* Sums over the layers. false, with an error: one has no mapping. */
static bool take_answers(Ctx *c, ModelRun *r, Answer *answer) {
    r->sum = (ModelCost){0};
    for (int i = 0; i < r->layers->list.n; i++) {
        const ExploreLayer *l = &r->layers->list.v[i];
        ExploreCase *x = &r->found[i];
        if (l->same < i) *x = r->found[l->same], r->counts[i] = r->counts[l->same];
        *x = (ExploreCase){l->name, r->target->name, l->problem, r->target, x->mapping, x->legal, {{0}}, r->spec->counting, x->search};
        if (l->same == i) {
            x->mapping = &answer[i].mapping, x->legal = answer[i].legal, x->search = &answer[i].search;
            if (!x->legal)
                return diag_error(c->d, NO_LOC, "layer '%s' on %s: no legal mapping was found%s%s", l->name, r->target->name,
                                  r->spec->flow ? " of dataflow " : "", r->spec->flow ? r->spec->flow->name : "");
            mapping_counts_as(x->mapping, r->spec->counting, &r->counts[i]);
        }
        const MappingCounts *k = &r->counts[i];
        r->sum.energy += k->energy, r->sum.energy_macs += k->energy_macs, r->sum.energy_with_array += counts_energy_with_array(k, 2);
        r->sum.macs += k->macs, r->sum.cycles += k->cycles, r->sum.dram_words += k->outer_words;
        for (int v = 0; v < r->target->nlevel; v++) r->sum.energy_level[v] += k->energy_level[v];
    }
    return true;
}
/* The product of the sums is not the sum of the products: a layer with little of both may give up one for the other. Around the mappings
 * that are best alone the product is least where the parts of both in their sums, added up, are; (a + b)^2 >= 4ab, so it only gets less. */
static void weigh(Ctx *c, const ModelRun *r, const SearchSpec *spec, Answer *answer) {
    int n = r->layers->list.n;
    Answer *other = NEW_ARRAY(c->a, Answer, n);
    SearchSpec s = *spec;
    s.energy_weight = 1 / r->sum.energy, s.cycles_weight = 1 / (double)r->sum.cycles;
    search_layers(c, r, &s, other);
    for (int i = 0; i < n; i++) {
        MappingCounts k;
        if (r->layers->list.v[i].same != i || !other[i].legal) continue;
        mapping_counts_as(&other[i].mapping, s.counting, &k);
        answer[i].search.evals += other[i].search.evals, answer[i].search.seconds += other[i].search.seconds;
        answer[i].search.cached &= other[i].search.cached;
        if (spec_value(&s, &k) >= spec_value(&s, &r->counts[i])) continue;
        answer[i].mapping = other[i].mapping, answer[i].search.optimal = false;
        answer[i].search.value = objective_value(s.objective, &k);
    }
}
bool explore_model(Ctx *c, ModelRun *r) {
    int n = r->layers->list.n;
    Answer *answer = NEW_ARRAY(c->a, Answer, n);
    SearchSpec s = *r->spec;
    bool product = s.objective == OBJ_EDP && n > 1;
    if (product) s.evals = max_i64(1, s.evals / 2), s.seconds /= 2;
    r->found = NEW_ARRAY(c->a, ExploreCase, n), r->counts = NEW_ARRAY(c->a, MappingCounts, n);
    search_layers(c, r, &s, answer);
    if (!take_answers(c, r, answer)) return false;
    if (!product) return true;
    weigh(c, r, &s, answer);
    return take_answers(c, r, answer);
}
static json_t *sum_json(const ModelRun *r) {
    json_t *by = json_object();
    json_object_set_new(by, "MAC", json_real(r->sum.energy_macs));
    for (int l = r->target->nlevel - 1; l >= 0; l--) json_object_set_new(by, r->target->level[l].name, json_real(r->sum.energy_level[l]));
    return json_pack("{s:I, s:I, s:f, s:f, s:f, s:I, s:o, s:f}", "macs", (json_int_t)r->sum.macs, "cycles", (json_int_t)r->sum.cycles,
                     "energy_total", r->sum.energy, "energy_total_with_array_cost_2", r->sum.energy_with_array, "edp",
                     r->sum.energy * (double)r->sum.cycles, "dram_words", (json_int_t)r->sum.dram_words, "energy_by_level", by, "area",
                     target_area(r->target));
}
static int print_json(Ctx *c, const Options *o, const ModelRun *r) {
    json_t *layers = json_array();
    for (int i = 0; i < r->layers->list.n; i++) json_array_append_new(layers, explore_case_json(c, &r->found[i]));
    json_t *j = json_pack("{s:s, s:s, s:s, s:o, s:o, s:I}", "model", o->model, "arch", r->target->name, "counting",
                          counting_name[r->spec->counting], "layers", layers, "total", sum_json(r), "macs_left_out",
                          (json_int_t)r->layers->macs_left_out);
    if (r->npoint) json_object_set_new(j, "pareto", explore_points_json(r->points, r->npoint));
    if (o->x.fuse) json_object_set_new(j, "fused", explore_fused(c, r, false));
    json_dumpf(j, stdout, JSON_INDENT(1));
    puts("");
    json_decref(j);
    return EXIT_DONE;
}
static void print_row(const char *name, double macs, double cycles, double energy, double with_array, double mac_part, const double *level,
                      int n, double dram) {
    printf("%-24.24s %12.4g %12.4g %12.4g %12.4g %6.3f |%5.1f", name, macs, cycles, energy, with_array, energy / macs,
           100 * mac_part / energy);
    for (int l = n - 1; l >= 0; l--) printf(" %7.1f", 100 * level[l] / energy);
    printf(" | %12.0f\n", dram);
}
int explore_model_print(Ctx *c, const Options *o, const ModelRun *r) {
    if (o->json) return print_json(c, o, r);
    int n = r->target->nlevel;
    printf("%-24s %12s %12s %12s %12s %6s |%5s", "layer", "MACs", "cycles", "energy", "with array", "/MAC", "MAC%");
    for (int l = n - 1; l >= 0; l--) printf(" %6.6s%%", r->target->level[l].name);
    printf(" | %12s\n", "DRAM words");
    for (int i = 0; i < r->layers->list.n; i++) {
        const MappingCounts *k = &r->counts[i];
        print_row(r->layers->list.v[i].name, (double)k->macs, (double)k->cycles, k->energy, counts_energy_with_array(k, 2), k->energy_macs,
                  k->energy_level, n, (double)k->outer_words);
    }
    print_row("total", (double)r->sum.macs, (double)r->sum.cycles, r->sum.energy, r->sum.energy_with_array, r->sum.energy_macs,
              r->sum.energy_level, n, (double)r->sum.dram_words);
    if (r->layers->left_out)
        printf("%d more layers with %lld multiply-adds are no convolution or matrix product and are left out\n", r->layers->left_out,
               (long long)r->layers->macs_left_out);
    if (o->x.fuse) json_decref(explore_fused(c, r, true));
    return EXIT_DONE;
}

/* Up to three points of the model on its machine: what each objective finds. */
void explore_objectives(Ctx *c, ModelRun *r) {
    ExplorePoint *p = NEW_ARRAY(c->a, ExplorePoint, 3);
    Diags quiet = {.a = c->a};
    Ctx q = {c->a, &quiet};
    int n = 0;
    for (int i = 0; i < 3; i++) {
        SearchSpec s = *r->spec;
        ModelRun other = *r;
        s.objective = (Objective)i, other.spec = &s;
        if (s.objective != r->spec->objective && !explore_model(&q, &other)) continue;
        snprintf(p[n].label, sizeof p[n].label, "least %s", objective_name[i]);
        p[n].energy = other.sum.energy, p[n].cycles = (double)other.sum.cycles, p[n].area = explore_area(r->target),
        p[n].target = r->target;
        n++;
    }
    explore_front(p, n);
    r->points = p, r->npoint = n;
}

/* ---- sweeps */
typedef struct SweepRange { /* value doubles from lo to hi; for pe both sides do */
    const char *name;
    int level; /* -1: the array */
    int64_t lo, hi, lo_y, hi_y;
} SweepRange;
enum { MAX_RANGES = 4, MAX_POINTS = 256 };
static bool amount(const char **s, int64_t *v) {
    char *end;
    *v = strtoll(*s, &end, 10);
    if (end == *s || *v < 1 || *v > 1 << 30) return false;
    if (*end == 'k') *v *= 1024, end++;
    else if (*end == 'M') *v *= 1024 * 1024, end++;
    *s = end;
    return true;
}
static bool range_parse(Ctx *c, const Target *t, const char **s, SweepRange *r) {
    size_t n = strcspn(*s, "=");
    const char *from = *s;
    r->name = arena_strndup(c->a, *s, n);
    if ((*s)[n] != '=') return diag_error(c->d, NO_LOC, "--sweep: found '%s', expected NAME=LOW..HIGH", *s);
    *s += n + 1;
    bool pe = strcmp(r->name, "pe") == 0;
    r->level = pe ? -1 : strcmp(r->name, "buffer") == 0 ? 1 : target_level(t, r->name);
    if (!pe && (r->level < 1 || r->level >= t->nlevel))
        return diag_error(c->d, NO_LOC, "--sweep: '%s' is no level inside the outermost of %s, `buffer` or `pe`", r->name, t->name);
    bool ok = amount(s, &r->lo);
    if (ok && pe) ok = **s == 'x' && (++*s, amount(s, &r->lo_y));
    r->hi = r->lo, r->hi_y = r->lo_y;
    if (ok && strncmp(*s, "..", 2) == 0) {
        *s += 2;
        ok = amount(s, &r->hi);
        if (ok && pe) ok = **s == 'x' && (++*s, amount(s, &r->hi_y));
    }
    if (**s == ',' && ok) ++*s;
    else if (**s) ok = false;
    if (!ok || r->hi < r->lo || r->hi_y < r->lo_y)
        return diag_error(c->d, NO_LOC, "--sweep: found '%.*s', expected %s=LOW..HIGH with %s", (int)strcspn(from, ","), from, r->name,
                          pe ? "columns x rows from 1 on, as 8x8..32x32" : "bytes from 1 to 1024M, as 32k..256k");
    return true;
}
static Target *apply(Ctx *c, const Target *t, const SweepRange *r, int n, const int64_t *step, char *label, size_t cap) {
    Target *x = NEW(c->a, Target);
    size_t at = 0;
    *x = *t;
    for (int i = 0; i < n; i++) {
        int64_t v = min_i64(r[i].lo << step[i], r[i].hi), y = r[i].level >= 0 ? 0 : min_i64(r[i].lo_y << step[i], r[i].hi_y);
        int array = mapping_pe_level(t) - 1;
        if (r[i].level >= 0) x->level[r[i].level].words = max_i64(1, v * 8 / x->level[r[i].level].word_bits);
        else x->level[array].fan_x = v, x->level[array].fan_y = y, x->level[array].fan = 0;
        if (r[i].level >= 0) at += (size_t)snprintf(label + at, cap - at, "%s%s=%lld", i ? " " : "", r[i].name, (long long)v);
        else at += (size_t)snprintf(label + at, cap - at, "%s%s=%lldx%lld", i ? " " : "", r[i].name, (long long)v, (long long)y);
        if (at >= cap) at = cap - 1;
    }
    return x;
}
double explore_area(const Target *t) { /* words on the chip where the file states no areas */
    double area = target_area(t);
    bool stated = area > 0;
    for (int l = 1; !stated && l < t->nlevel; l++) area += (double)target_instances(t, l) * (double)t->level[l].words;
    return area;
}
void explore_front(ExplorePoint *p, int n) {
    for (int i = 0; i < n; i++) {
        p[i].front = true;
        for (int k = 0; k < n; k++)
            if (k != i && p[k].energy <= p[i].energy && p[k].cycles <= p[i].cycles && p[k].area <= p[i].area &&
                (p[k].energy < p[i].energy || p[k].cycles < p[i].cycles || p[k].area < p[i].area || k < i))
                p[i].front = false;
    }
}
json_t *explore_points_json(const ExplorePoint *p, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:f, s:b}", "machine", p[i].label, "energy_total", p[i].energy, "cycles",
                                              p[i].cycles, "area", p[i].area, "pareto", p[i].front));
    return list;
}
static void print_points(const ExplorePoint *p, int n, bool as_json) {
    if (as_json) {
        json_t *list = explore_points_json(p, n);
        json_dumpf(list, stdout, JSON_INDENT(1)), puts("");
        json_decref(list);
        return;
    }
    printf("  %-40s %14s %14s %14s\n", "machine", "energy", "cycles", "area");
    for (int i = 0; i < n; i++)
        printf("%c %-40s %14.6g %14.6g %14.6g\n", p[i].front ? '*' : ' ', p[i].label, p[i].energy, p[i].cycles, p[i].area);
    puts("* no other machine is as good in energy, cycles and area");
}
int explore_sweep(Ctx *c, const Options *o, ModelRun *r) {
    const Target *base = r->target;
    SweepRange range[MAX_RANGES];
    int n = 0, points = 0;
    int64_t steps[MAX_RANGES] = {0}, at[MAX_RANGES] = {0}, all = 1;
    for (const char *s = o->x.sweep; *s; n++) {
        if (n == MAX_RANGES) return diag_error(c->d, NO_LOC, "--sweep: more than %d ranges", MAX_RANGES), EXIT_REFUSED;
        if (!range_parse(c, base, &s, &range[n])) return EXIT_REFUSED;
        for (int i = 0; i < n; i++)
            if (range[i].level == range[n].level)
                return diag_error(c->d, NO_LOC, "--sweep: %s and %s are the same parameter", range[i].name, range[n].name), EXIT_REFUSED;
        for (steps[n] = 1;
             range[n].lo << (steps[n] - 1) < range[n].hi || (range[n].level < 0 && range[n].lo_y << (steps[n] - 1) < range[n].hi_y);)
            steps[n]++;
        all *= steps[n];
    }
    if (all > MAX_POINTS)
        return diag_error(c->d, NO_LOC, "--sweep: %lld machines; expected at most %d", (long long)all, MAX_POINTS), EXIT_REFUSED;
    ExplorePoint *p = NEW_ARRAY(c->a, ExplorePoint, all);
    for (bool more = true; more;) {
        Diags own = {.a = c->a};
        Ctx one = {c->a, &own};
        Target *t = apply(c, base, range, n, at, p[points].label, sizeof p[points].label);
        r->target = p[points].target = t;
        if (target_check(&own, NO_LOC, t) && explore_model(&one, r)) {
            p[points].energy = r->sum.energy, p[points].cycles = (double)r->sum.cycles, p[points].area = explore_area(t);
            points++;
        } else diag_warn(c->d, NO_LOC, "--sweep: %s is left out: %s", p[points].label, own.list.n ? own.list.v[0].text : "no mapping");
        int k = n - 1;
        for (; k >= 0 && ++at[k] == steps[k]; k--) at[k] = 0;
        more = k >= 0;
    }
    if (!points) return diag_error(c->d, NO_LOC, "--sweep: none of the machines can run the layers"), EXIT_REFUSED;
    explore_front(p, points);
    print_points(p, points, o->json);
    r->points = p, r->npoint = points;
    if (!o->x.html) return EXIT_DONE;
    const Target *best = NULL; /* the page shows the layers on the machine of the least product of energy and cycles */
    double least = 0;
    for (int i = 0; i < points; i++)
        if (!best || p[i].energy * p[i].cycles < least) best = p[i].target, least = p[i].energy * p[i].cycles;
    r->target = best;
    return explore_model(c, r) && explore_html(c, o->x.html, o->model, r) ? EXIT_DONE : EXIT_REFUSED;
}
