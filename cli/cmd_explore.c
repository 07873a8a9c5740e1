/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_explore.c: quern explore. Scores given mappings (one, a batch, or cases with expected values).
 *   quern explore conv.yaml --arch machines.json#ws_16x16 --mapping m.json --json   ->   one object of the contract, status 1 if illegal */
#define _GNU_SOURCE
#include "import.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Counting counting_of(const Options *o) {
    return o->x.counting && strcmp(o->x.counting, "survey") == 0 ? COUNT_SURVEY : COUNT_TIMELOOP;
}

/* ---- machines: each file and name is read once */
typedef struct Machines {
    Ctx *home; /* they live as long as the command */
    Map *by_key;
    const char *file; /* of --arch, without #NAME; NULL: --target */
    const char *name; /* after the # */
} Machines;
static Machines machines_of(Ctx *c, const Options *o, const char *beside) {
    Machines m = {c, map_new(c->a), o->x.arch, NULL};
    const char *hash = o->x.arch ? strrchr(o->x.arch, '#') : NULL;
    if (hash) m.file = arena_strndup(c->a, o->x.arch, (size_t)(hash - o->x.arch)), m.name = hash + 1;
    if (!m.file && !o->target && beside) { /* architectures.json beside the cases */
        const char *slash = strrchr(beside, '/');
        m.file = arena_printf(c->a, "%.*sarchitectures.json", slash ? (int)(slash - beside) + 1 : 0, beside);
    }
    return m;
}
static const Target *machine(Ctx *c, const Options *o, Machines *m, const char *name) {
    const char *key = name ? name : m->name ? m->name : "";
    Target *t = map_get(m->by_key, key);
    if (t) return t;
    c = m->home;
    if (m->file) t = explore_arch(c, m->file, *key ? key : NULL);
    else if (o->target) t = explore_target(c, o->target);
    else diag_error(c->d, NO_LOC, "no machine was given; add --target NAME or --arch FILE#NAME");
    t = (Target *)explore_zeros_option(c, o, t);
    if (t && o->x.ert && !import_tables(c, o->x.ert, t)) return NULL;
    if (t) map_set(m->by_key, arena_strdup(c->a, key), t);
    return t;
}

/* ---- one case of a file: {case, layer, arch, mapping, …} */
static bool check_quietly(Ctx *c, const char *file, const char *where, ExploreCase *x) {
    Diags own = {.a = c->a};
    x->legal = mapping_check(&(Ctx){c->a, &own}, NO_LOC, x->mapping, &x->violations);
    for (int i = 0; i < own.list.n; i++) diag_error(c->d, explore_place(c, file, where, ""), "%s: %s", where, own.list.v[i].text);
    return x->legal;
}
static bool case_read(Ctx *c, const Options *o, Machines *m, const char *file, size_t index, const json_t *j, ExploreCase *x) {
    const char *id = json_string_value(json_object_get(j, "case")), *arch = json_string_value(json_object_get(j, "arch"));
    *x = (ExploreCase){.counting = counting_of(o)};
    x->id = id ? id : arena_printf(c->a, "%zu", index);
    x->arch = arch ? arch : m->name ? m->name : o->target ? o->target : "";
    const char *where = arena_printf(c->a, "case '%s'", x->id);
    if (!json_is_object(j))
        return diag_error(c->d, explore_place(c, file, where, ""), "%s: expected an object {case, layer, arch, mapping}", where);
    x->target = machine(c, o, m, arch && !(m->name && !o->x.batch) ? arch : NULL);
    Problem *p = explore_layer(c, file, arena_printf(c->a, "%s: layer", where), json_object_get(j, "layer"));
    x->problem = p;
    if (!x->target || !p || !explore_words_option(c, o, p)) return false;
    where = arena_printf(c->a, "%s: mapping", where);
    x->mapping = explore_mapping(c, file, where, json_object_get(j, "mapping"), x->problem, x->target);
    return x->mapping && check_quietly(c, file, where, x);
}

/* ---- --check: every number of `expected` against ours */
typedef struct Tally {
    const char *id;
    bool print;
    int bad;
} Tally;
static void compare(Tally *y, const char *path, const json_t *want, const json_t *got) {
    char here[300];
    if (json_is_object(want)) {
        const char *k;
        json_t *v;
        json_object_foreach((json_t *)want, k, v) {
            snprintf(here, sizeof here, "%s%s%s", path, *path ? "." : "", k);
            compare(y, here, v, json_object_get(got, k));
        }
        return;
    }
    double a = json_number_value(got), b = json_number_value(want);
    bool same = json_is_integer(want) && json_is_integer(got) ? json_integer_value(want) == json_integer_value(got)
                                                              : json_is_number(got) && fabs(a - b) <= 1e-9 * fabs(b);
    if (same || !json_is_number(want)) return;
    y->bad++;
    if (!y->print) return;
    if (json_is_number(got)) printf("%s: %s is %.10g, expected %.10g\n", y->id, path, a, b);
    else printf("%s: %s is missing, expected %.10g\n", y->id, path, b);
}
/* The values under the keys that `expected` uses. */
static json_t *same_keys(const json_t *want, json_t *got) {
    if (!json_is_object(want) || !json_is_object(got)) return json_incref(got);
    json_t *r = json_object(), *v;
    const char *k;
    json_object_foreach((json_t *)want, k, v) {
        json_t *x = json_object_get(got, k);
        if (x) json_object_set_new(r, k, same_keys(v, x));
    }
    return r;
}
static void print_json(json_t *j, bool *first) {
    fputs(*first ? "[" : ",", stdout), *first = false;
    puts("");
    json_dumpf(j, stdout, JSON_COMPACT);
    json_decref(j);
}
typedef struct Counts {
    int passed, failed, evaluated;
    bool first;
} Counts;
static void check_case(Ctx *c, const Options *o, Machines *m, const char *file, size_t i, const json_t *row, Counts *n) {
    ExploreCase x;
    bool ok = case_read(c, o, m, file, i, row, &x);
    const json_t *want = json_object_get(row, "expected");
    MappingCounts counts;
    Tally y = {x.id, !o->json, 0};
    json_t *got = NULL;
    if (ok) mapping_counts_as(x.mapping, x.counting, &counts), got = explore_result_json(x.mapping, &counts);
    else if (!o->json) printf("%s: the case is not legal\n", x.id);
    if (ok && want) compare(&y, "", want, got);
    *(!ok || y.bad ? &n->failed : want ? &n->passed : &n->evaluated) += 1;
    if (o->json)
        print_json(json_pack("{s:s, s:b, s:o}", "case", x.id, "equal", ok && !y.bad, "result",
                             ok ? want ? same_keys(want, got) : json_incref(got) : json_null()),
                   &n->first);
    else if (ok && !want) {
        char *s = json_dumps(got, JSON_INDENT(1));
        printf("%s: %s\n", x.id, s);
        free(s);
    }
    json_decref(got);
}
static int check(Ctx *c, Options *o) {
    Counts n = {.first = true};
    for (int f = 0; f < o->x.check.n; f++) {
        const char *file = o->x.check.v[f];
        Rows rows;
        json_t *row;
        if (!rows_open(c, file, &rows)) return EXIT_REFUSED;
        Machines m = machines_of(c, o, file);
        while ((row = rows_next(&rows))) {
            Ctx one = {arena_new(), c->d};
            check_case(&one, o, &m, file, rows.n - 1, row, &n);
            json_decref(row);
            arena_free(one.a);
        }
        n.failed += rows.bad;
        rows_close(&rows);
    }
    if (o->json) puts(n.first ? "[]" : "\n]");
    else printf("%d passed, %d failed\n", n.passed, n.failed);
    return n.failed ? EXIT_REFUSED : EXIT_DONE;
}

/* ---- --batch */
static int batch(Ctx *c, Options *o) {
    Rows rows;
    json_t *row;
    bool ok = true, first = true;
    if (!rows_open(c, o->x.batch, &rows)) return EXIT_REFUSED;
    Machines m = machines_of(c, o, o->x.batch);
    while ((row = rows_next(&rows))) {
        ExploreCase x;
        Ctx one = {arena_new(), c->d}; /* a hundred thousand cases do not add up */
        ok &= case_read(&one, o, &m, o->x.batch, rows.n - 1, row, &x);
        if (o->json) print_json(explore_case_json(&one, &x), &first);
        else if (x.legal) {
            MappingCounts n;
            mapping_counts_as(x.mapping, x.counting, &n);
            printf("%-24s energy %.6g, %lld cycles, edp %.6g, %lld units (%.4g), DRAM %.4g MB", x.id, n.energy, (long long)n.cycles,
                   n.energy * (double)n.cycles, (long long)n.units, n.units_mean, n.outer_bits / 8e6);
            if (x.target->clock_mhz > 0) printf(", %.4g ms", (double)n.cycles / x.target->clock_mhz / 1e3);
            puts("");
        } else printf("%-40s not legal\n", x.id);
        json_decref(row);
        arena_free(one.a);
    }
    if (o->json) puts(first ? "[]" : "\n]");
    rows_close(&rows);
    return ok && !rows.bad ? EXIT_DONE : EXIT_REFUSED;
}

/* ---- one mapping of one layer */
static void print_counts(const ExploreCase *x) {
    MappingCounts n;
    Text line = {0};
    mapping_counts_as(x->mapping, x->counting, &n);
    mapping_print_line(x->mapping, &line);
    printf("%s on %s\n%s\n", x->problem->name, x->target->name, line.s);
    text_free(&line);
    printf("%lld MACs, %lld cycles, %lld units (%.4g on average), utilisation %.4f\n", (long long)n.macs, (long long)n.cycles,
           (long long)n.units, n.units_mean, n.utilisation);
    printf("energy %.6g (%.4f per MAC), edp %.6g\n\n%-10s %-4s %16s %16s %16s %12s %14s\n", n.energy, n.energy / (double)n.macs,
           n.energy * (double)n.cycles, "level", "", "reads", "fills", "updates", "tile words", "energy");
    for (int l = 0; l < x->target->nlevel; l++)
        for (int t = 0, some = 0; t < x->problem->ntensor; t++) {
            const Access *a = &n.at[l][t];
            if (!(x->mapping->level[l].keep >> t & 1)) continue;
            printf("%-10s %-4s %16lld %16lld %16lld %12lld", some ? "" : x->target->level[l].name, x->problem->tensor[t].name,
                   (long long)a->reads, (long long)a->fills, (long long)a->updates, (long long)a->tile_words);
            if (some++) puts("");
            else printf(" %14.6g\n", n.energy_level[l]);
        }
}
/* The page of a mapping that was given: a model of one layer. */
static bool page_of(Ctx *c, const Options *o, ExploreCase *x) {
    ExploreLayers layers = {0};
    MappingCounts n;
    SearchSpec spec = {.counting = x->counting};
    vec_push(c->a, &layers.list, ((ExploreLayer){.name = x->id, .op = "layer", .problem = x->problem, .before = -1}));
    mapping_counts_as(x->mapping, x->counting, &n);
    ModelRun r = {.options = o, .layers = &layers, .target = x->target, .spec = &spec, .found = x, .counts = &n};
    r.sum = (ModelCost){.energy = n.energy, .macs = n.macs, .cycles = n.cycles, .dram_words = n.outer_words};
    return explore_html(c, o->x.html, x->id, &r);
}
static int one_mapping(Ctx *c, Options *o, const Problem *p, const Target *t) {
    ExploreCase x = {.id = p->name, .problem = p, .target = t, .counting = counting_of(o)};
    const char *hash = o->x.arch ? strrchr(o->x.arch, '#') : NULL;
    x.arch = hash ? hash + 1 : t->name;
    x.mapping = explore_mapping_file(c, o->x.mapping, p, t);
    if (!x.mapping) return EXIT_REFUSED;
    x.legal = mapping_check(c, (Loc){o->x.mapping, -1, NULL, NULL}, x.mapping, &x.violations);
    if (x.legal && o->x.export_dir && !timeloop_export(c, o->x.export_dir, x.mapping)) return EXIT_REFUSED;
    if (x.legal && o->x.html && !page_of(c, o, &x)) return EXIT_REFUSED;
    if (o->json) {
        json_t *j = explore_case_json(c, &x);
        json_dumpf(j, stdout, JSON_INDENT(1));
        puts("");
        json_decref(j);
    } else if (x.legal) print_counts(&x);
    return x.legal ? EXIT_DONE : EXIT_REFUSED;
}

/* ---- search */
static bool spec_of(Ctx *c, const Options *o, SearchSpec *s) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *s = (SearchSpec){
        .objective = OBJ_EDP, .counting = counting_of(o), .evals = o->x.evals ? o->x.evals : 2000000, .bypass = !o->x.no_bypass};
    for (int i = 0; i < 3; i++)
        if (o->x.objective && strcmp(o->x.objective, objective_name[i]) == 0) s->objective = (Objective)i;
    s->seconds = o->x.evals ? 0 : o->x.time, s->seed = (uint64_t)o->x.seed;
    s->threads = o->threads_given ? o->threads : cores > 0 ? (int)cores : 1;
    s->rank = o->x.ranks.rank, s->ranks = o->x.ranks.ranks, s->gather = o->x.ranks.gather;
    return !o->x.dataflow || explore_dataflow(c, o->x.dataflow, &s->flow);
}
static bool search_case(Ctx *c, const SearchSpec *spec, ExploreCase *x) {
    SearchResult *r = NEW(c->a, SearchResult);
    x->mapping = NEW(c->a, Mapping), x->counting = spec->counting;
    x->legal = explore_search(c, x->problem, x->target, spec, x->mapping, r);
    if (x->legal) x->search = r;
    else x->mapping = NULL;
    return x->legal || diag_error(c->d, NO_LOC, "%s on %s: no legal mapping was found%s%s in %lld tries", x->problem->name, x->target->name,
                                  spec->flow ? " of dataflow " : "", spec->flow ? spec->flow->name : "", (long long)r->evals);
}
static int search_one(Ctx *c, Options *o, const Problem *p, const Target *t) {
    SearchSpec spec;
    const char *hash = o->x.arch ? strrchr(o->x.arch, '#') : NULL;
    ExploreCase x = {.id = p->name, .problem = p, .target = t, .arch = hash ? hash + 1 : t->name};
    if (!spec_of(c, o, &spec) || !import_rules(c, o, p, t, &spec.rules)) return EXIT_REFUSED;
    bool ok = search_case(c, &spec, &x);
    if (ok && o->x.export_dir && !timeloop_export(c, o->x.export_dir, x.mapping)) return EXIT_REFUSED;
    if (o->json) {
        json_t *j = explore_case_json(c, &x);
        json_dumpf(j, stdout, JSON_INDENT(1));
        puts("");
        json_decref(j);
    } else if (ok) {
        print_counts(&x);
        printf("\n%s by %s of %lld mappings in %.2f s; nothing can be below %.6g\n", x.search->optimal ? "optimal" : "best",
               objective_name[spec.objective], (long long)x.search->evals, x.search->seconds, x.search->lower_bound);
    }
    return ok ? EXIT_DONE : EXIT_REFUSED;
}
/* ---- --beat: each layer of a file searched; the objective against the file's own mapping */
static int beat(Ctx *c, Options *o) {
    Rows rows;
    json_t *row;
    Machines m = machines_of(c, o, o->x.beat);
    SearchSpec spec;
    int n = 0, better = 0, equal = 0;
    double product = 1;
    bool first = true;
    if (!rows_open(c, o->x.beat, &rows) || !spec_of(c, o, &spec)) return EXIT_REFUSED;
    while ((row = rows_next(&rows))) {
        ExploreCase given, x;
        if (!case_read(c, o, &m, o->x.beat, rows.n - 1, row, &given)) return EXIT_REFUSED;
        x = given;
        if (!search_case(c, &spec, &x)) return EXIT_REFUSED;
        MappingCounts a, b;
        mapping_counts_as(given.mapping, spec.counting, &a), mapping_counts_as(x.mapping, spec.counting, &b);
        double theirs = objective_value(spec.objective, &a), ours = objective_value(spec.objective, &b);
        n++, better += ours < theirs * (1 - 1e-12), equal += fabs(ours - theirs) <= theirs * 1e-12, product *= theirs / ours;
        if (o->json) print_json(explore_case_json(c, &x), &first);
        else
            printf("%-44s %s %.6g, was %.6g: %.3f times as good (%lld mappings, %.2f s, %s)\n", x.id, objective_name[spec.objective], ours,
                   theirs, theirs / ours, (long long)x.search->evals, x.search->seconds, x.search->optimal ? "optimal" : "best");
    }
    rows_close(&rows);
    if (o->json) puts(first ? "[]" : "\n]");
    else printf("%d better, %d equal, %d worse; geometric mean %.3f\n", better, equal, n - better - equal, n ? pow(product, 1.0 / n) : 1.0);
    return !rows.bad && better + equal == n ? EXIT_DONE : EXIT_REFUSED;
}

static bool is_model(const char *path) {
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".onnx") == 0;
}
/* A model, or one layer as a model of one, where a sweep or a page is wanted. */
static int whole(Ctx *c, Options *o, const Target *t, ExploreLayers *layers) {
    SearchSpec spec;
    ModelRun r = {.options = o, .layers = layers, .target = t, .spec = &spec};
    if (!spec_of(c, o, &spec)) return EXIT_REFUSED;
    if (!o->x.evals) spec.evals = 1600000;
    if (o->x.sweep) return explore_sweep(c, o, &r);
    if (!explore_model(c, &r)) return EXIT_REFUSED;
    if (o->x.save && !explore_save(c, o->x.save, &r)) return EXIT_REFUSED;
    if (o->x.html) explore_objectives(c, &r);
    if (o->x.html && !explore_html(c, o->x.html, o->model, &r)) return EXIT_REFUSED;
    return explore_model_print(c, o, &r);
}
/* One of several ranks prints and writes. */
static bool quiet_ranks(Ctx *c, Options *o) {
    if (!ranks_find(c, &o->x.ranks)) return false;
    if (o->x.ranks.rank == 0) return true;
    o->x.html = o->x.save = NULL;
    return freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr);
}
int cmd_explore(Ctx *c, Options *o) {
    if (!quiet_ranks(c, o)) return EXIT_REFUSED;
    if (o->x.check.n) return check(c, o);
    if (o->x.batch) return batch(c, o);
    if (o->x.beat) return beat(c, o);
    Machines m = machines_of(c, o, NULL);
    const Target *t = machine(c, o, &m, NULL);
    ExploreLayers layers = {0};
    if (!t) return EXIT_REFUSED;
    if (is_model(o->model)) {
        if (!explore_layers(c, o, &layers)) return EXIT_REFUSED;
        if (layers.list.n != 1 || !o->x.layer || o->x.sweep || ((o->x.html || o->x.save) && !o->x.mapping) || o->x.fuse) {
            if (!o->x.mapping) return whole(c, o, t, &layers);
            return diag_error(c->d, NO_LOC, "--mapping is for one layer; add --layer NAME"), EXIT_REFUSED;
        }
        return o->x.mapping ? one_mapping(c, o, layers.list.v[0].problem, t) : search_one(c, o, layers.list.v[0].problem, t);
    }
    if (!explore_problems(c, o, &layers)) return EXIT_REFUSED;
    const Problem *p = layers.list.v[0].problem;
    if (layers.list.n == 1 && o->x.mapping) return one_mapping(c, o, p, t);
    if (o->x.mapping) return diag_error(c->d, NO_LOC, "--mapping is for one layer; add --layer NAME"), EXIT_REFUSED;
    if (layers.list.n == 1 && !o->x.sweep && !o->x.html && !o->x.save) return search_one(c, o, p, t);
    return whole(c, o, t, &layers);
}
