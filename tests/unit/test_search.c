/* SPDX-License-Identifier: Apache-2.0 */
/* test_search.c: what the search finds, against every mapping of random small problems on random small machines. The enumerator shares
 * nothing with the search but the cost of one mapping and the rules of a dataflow: it makes each dim's loops from the definition of a
 * ragged loop, every order of a level's loops, every choice of what levels keep.
 *   QUERN_SEARCH_CASES=5000 QUERN_SEARCH_SEED=1 unit_tests search   ->  a campaign; each case that fails is printed, and
 * QUERN_SEARCH_ONLY=NUMBER repeats it */
#include "cli/explore.h"
#include "codegen/target_yaml.h"
#include "passes/explore.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;
static int pick(int n) { /* less than n */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (int)((state >> 33) % (uint64_t)n);
}
static bool chance(int percent) { return pick(100) < percent; }

/* ---- every mapping */
enum { MAX_WAYS = 4000, MAX_LOOPS = 2 * QN_MAX_LEVELS };
typedef struct Way { /* the loops of one dim */
    int n;
    bool ragged;
    struct {
        int level;
        MapLoop loop;
    } at[MAX_LOOPS];
} Way;
typedef struct All {
    const Problem *p;
    const Target *t;
    const SearchSpec *spec;
    bool ragged; /* those with ragged loops, else those without */
    long limit;  /* of mappings; it becomes negative when there are more */
    int nway[QN_MAX_DIMS];
    Way *way[QN_MAX_DIMS];
    Mapping m, best;
    double value;
} All;
static void add_way(All *x, int d, Way *w) {
    if (x->nway[d] < MAX_WAYS) x->way[d][x->nway[d]++] = *w;
    else x->limit = -1;
}
/* A loop of the dim in a slot: whole, or ragged if none outside it is. slot: 4 a level: temporal, ragged along x or y, x, y. */
static void dim_ways(All *x, int d, int slot, int64_t left, unsigned used, Way *w) {
    int level = slot / 4, kind = slot % 4;
    if (level == x->t->nlevel) {
        if (left == 1) add_way(x, d, w);
        return;
    }
    if (kind == 0) used = 0;
    dim_ways(x, d, slot + 1, left, used, w);
    for (int64_t f = 2; f <= left; f++)
        for (int axis = kind == 3 ? 2 : kind; axis <= (kind == 1 ? 2 : kind - (kind == 3)); axis++) {
            char name = axis == 0 || kind == 0 ? 0 : "xy"[(kind == 1 ? axis : kind - 1) - 1];
            unsigned bit = name == 'x' ? 1 : name == 'y' ? 2 : 0;
            if (used & bit) continue;
            for (int64_t step = 1; step < left; step++) { /* extent of an iteration */
                bool whole = f * step == left, ragged = !whole && f * step > left && (f - 1) * step < left;
                if (whole ? kind == 1 : !ragged || kind > 1 || w->ragged || !x->ragged) continue;
                Way more = *w;
                more.at[more.n].level = level, more.at[more.n++].loop = (MapLoop){d, f, name, ragged};
                more.ragged |= ragged;
                dim_ways(x, d, slot + 1, step, used | bit, &more);
            }
        }
}
static void score(All *x) {
    MappingCounts k;
    if (x->limit < 0 || x->limit-- == 0) return;
    if (!mapping_legal(&x->m) || (x->spec->flow && !dataflow_allows(x->spec->flow, &x->m)) ||
        (x->spec->rules && rules_faults(x->spec->rules, &x->m)))
        return;
    mapping_counts_as(&x->m, x->spec->counting, &k);
    double v = spec_value(x->spec, &k);
    if (v < x->value) x->value = v, x->best = x->m;
}
static void all_orders(All *x, int level, int fixed) {
    if (x->limit < 0) return;
    if (level == x->t->nlevel) {
        score(x);
        return;
    }
    MapLevel *v = &x->m.level[level];
    if (fixed >= v->ntemporal - 1) {
        all_orders(x, level + 1, 0);
        return;
    }
    for (int i = fixed; i < v->ntemporal; i++) {
        MapLoop swap = v->temporal[fixed];
        v->temporal[fixed] = v->temporal[i], v->temporal[i] = swap;
        all_orders(x, level, fixed + 1);
        swap = v->temporal[fixed], v->temporal[fixed] = v->temporal[i], v->temporal[i] = swap;
    }
}
static void all_keeps(All *x, int level, int tensor) {
    if (tensor == x->p->ntensor) level++, tensor = 0;
    if (level >= x->t->nlevel) {
        Mapping saved = x->m;
        all_orders(x, 0, 0);
        x->m = saved;
        return;
    }
    unsigned bit = 1u << tensor;
    all_keeps(x, level, tensor + 1);
    if (!x->spec->bypass || x->spec->flow || x->t->level[level].kind == LEVEL_CACHE || !(x->m.level[level].keep & bit)) return;
    x->m.level[level].keep &= ~bit;
    all_keeps(x, level, tensor + 1);
    x->m.level[level].keep |= bit;
}
static void all_dims(All *x, int d, bool ragged) {
    if (x->limit < 0) return;
    if (d == x->p->ndim) {
        if (ragged == x->ragged) all_keeps(x, 1, 0);
        return;
    }
    for (int i = 0; i < x->nway[d]; i++) {
        const Way *w = &x->way[d][i];
        bool fits = true;
        for (int k = 0; k < w->n; k++) {
            MapLevel *v = &x->m.level[w->at[k].level];
            const TargetLevel *t = &x->t->level[w->at[k].level];
            if (!w->at[k].loop.axis) {
                v->temporal[v->ntemporal++] = w->at[k].loop;
                continue;
            }
            int at = w->at[k].loop.ragged ? 0 : v->nspatial; /* ragged ones come first */
            memmove(&v->spatial[at + 1], &v->spatial[at], (size_t)(v->nspatial++ - at) * sizeof *v->spatial);
            v->spatial[at] = w->at[k].loop;
            int64_t along = 1;
            for (int s = 0; s < v->nspatial; s++)
                if (v->spatial[s].axis == w->at[k].loop.axis) along *= v->spatial[s].factor;
            fits &= along <= (w->at[k].loop.axis == 'x' ? t->fan_x : t->fan_y);
        }
        if (fits) all_dims(x, d + 1, ragged || w->ragged);
        for (int k = w->n - 1; k >= 0; k--) {
            MapLevel *v = &x->m.level[w->at[k].level];
            if (!w->at[k].loop.axis) v->ntemporal--;
            else if (w->at[k].loop.ragged) memmove(&v->spatial[0], &v->spatial[1], (size_t)--v->nspatial * sizeof *v->spatial);
            else v->nspatial--;
        }
    }
}
/* The best of all, INFINITY if none is legal; negative: there are more than `limit`. */
static double best_of_all(All *x, const Problem *p, const Target *t, const SearchSpec *spec, bool ragged, long limit) {
    x->p = p, x->t = t, x->spec = spec, x->ragged = ragged, x->limit = limit, x->value = INFINITY;
    memset(&x->m, 0, sizeof x->m);
    x->m.problem = p, x->m.target = t;
    mapping_default_keep(&x->m);
    if (spec->flow) dataflow_keep(spec->flow, &x->m);
    if (spec->rules) rules_keep(spec->rules, &x->m);
    for (int d = 0; d < p->ndim; d++) {
        Way none = {0};
        x->nway[d] = 0;
        dim_ways(x, d, 0, p->extent[d], 0, &none);
    }
    all_dims(x, 0, false);
    return x->limit < 0 ? -1 : x->value;
}

/* ---- random cases */
static const char *one_of(const char *const *list, int n) { return list[pick(n)]; }
static const Target *random_target(Ctx *c) {
    static const char *const keeps[] = {"", "", "", "keeps: [W], ", "keeps: [I, O], ", "keeps: [W, O], ", "keeps: [W, I], "};
    static const char *const fans[] = {
        "", "", "fan_out: {x: 2}, ", "fan_out: {x: 4}, ", "fan_out: {x: 2, y: 3}, ", "fan_out: {x: 5, y: 4}, "};
    int inner = 1 + pick(3);
    char *text = arena_printf(c->a, "name: t\nlevels:\n  - {name: D, kind: dram, %s%senergy: 200}\n",
                              chance(30) ? "read_bandwidth: 2, write_bandwidth: 1, " : "", chance(10) ? "fan_out: {x: 2}, " : "");
    for (int l = 0; l < inner; l++) {
        bool last = l == inner - 1;
        text = arena_printf(c->a, "%s  - {name: %c, kind: %s, words: %d, %s%s%senergy: %d}\n", text, "ABC"[l],
                            last && chance(50) ? "regs" : "pad", 2 + pick(last ? 10 : 40), one_of(keeps, 7), one_of(fans, 6),
                            chance(20) ? "read_bandwidth: 3, " : "", last ? 1 + pick(2) : 3 + pick(8));
    }
    Target *t = (Target *)target_parse(c, "t.yaml", text, strlen(text));
    if (!t) return NULL;
    for (int l = 1; l < t->nlevel; l++) {
        TargetLevel *v = &t->level[l];
        if (chance(10)) v->buffers = 2;
        if (chance(10)) v->part[pick(3)] = 1 + pick(8);
        if (chance(10)) v->no_multicast = 1u << pick(3);
        if (chance(10)) v->network_energy = 2;
        if (chance(10)) v->write_energy = v->read_energy * 2;
    }
    return target_check(c->d, NO_LOC, t) ? t : NULL;
}
static const Problem *random_problem(Arena *a) {
    int most = 2 + pick(12);
    ConvShape s = {.n = 1 + pick(2), .m = 1 + pick(most), .c = 1 + pick(most), .e = 1 + pick(most), .f = 1, .r = 1 + pick(3), .s = 1};
    if (chance(30)) s.f = 1 + pick(3), s.s = 1 + pick(3);
    if (chance(30)) s.stride_e = s.stride_f = 2;
    if (chance(20)) s.dil_r = 2;
    switch (pick(7)) {
    case 0: return problem_gemm(a, "gemm", 1 + pick(16), 1 + pick(16), 1 + pick(16));
    case 1: s.g = 2; break;
    case 2: s.depthwise = true, s.m = 1; break;
    case 3: s.depthwise = s.pool = true, s.m = 1; break;
    case 4: s.depthwise = s.pool = s.pairs = true, s.m = s.r = s.s = 1; break;
    default: break;
    }
    return problem_conv(a, "conv", &s);
}
static void print_case(Arena *a, const Problem *p, const Target *t, const SearchSpec *s, const char *what, const Mapping *ours,
                       const Mapping *theirs, double v, double w, long number) {
    Text x = {0}, y = {0};
    if (ours) mapping_print_line(ours, &x);
    if (theirs) mapping_print_line(theirs, &y);
    fprintf(stderr, "case %ld: %s: %.10g, but %.10g is possible (%.3f) objective %d flow %s%s\n  %s\n  %s\n ", number, what, v, w, v / w,
            (int)s->objective, s->flow ? s->flow->name : "any", s->bypass ? " bypass" : "", x.s ? x.s : "none", y.s ? y.s : "");
    for (int d = 0; d < p->ndim; d++) fprintf(stderr, " %s%lld", p->dim[d], (long long)p->extent[d]);
    for (int l = 0; l < t->nlevel; l++)
        fprintf(stderr, " | %s %lldw keeps%u %lldx%lld", t->level[l].name, (long long)t->level[l].words, t->level[l].keeps,
                (long long)t->level[l].fan_x, (long long)t->level[l].fan_y);
    fputs("\n", stderr);
    text_free(&x), text_free(&y);
    (void)a;
}
static long setting(const char *name, long otherwise) { return getenv(name) ? strtol(getenv(name), NULL, 10) : otherwise; }
typedef struct Tally {
    int cases, optimal, wrong, missed, ragged;
} Tally;
static void one_case(All *x, Tally *n, long number, long limit) {
    static const char *const flows[] = {"ws", "os", "os_a", "is", "rs", "nlr"};
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    const Target *t = random_target(&c);
    const Problem *p = random_problem(a);
    SearchSpec spec = {.objective = (Objective)pick(3),
                       .evals = setting("QUERN_SEARCH_EVALS", 100000),
                       .threads = 1,
                       .bypass = chance(50),
                       .seed = (uint64_t)pick(1000)};
    if (chance(15)) spec.energy_weight = 1, spec.cycles_weight = 40;
    if (chance(15)) spec.counting = COUNT_SURVEY;
    if (chance(40)) ck_assert(explore_dataflow(&c, one_of(flows, 6), &spec.flow));
    SearchResult r;
    Mapping *m = NEW(a, Mapping);
    double whole = t ? best_of_all(x, p, t, &spec, false, limit) : -1;
    if (whole < 0) {
        arena_free(a);
        return;
    }
    n->cases++;
    Mapping best = x->best;
    bool found = mapping_search(p, t, &spec, m, &r);
    n->optimal += found && r.optimal;
    if (!found) r.value = INFINITY;
    if (r.value > whole * 1.02) n->missed++, print_case(a, p, t, &spec, "missed", found ? m : NULL, &best, r.value, whole, number);
    if (found && r.optimal && r.value > whole) n->wrong++, print_case(a, p, t, &spec, "not optimal", m, &best, r.value, whole, number);
    double all = best_of_all(x, p, t, &spec, true, limit);
    if (all >= 0 && all < whole) {
        n->ragged++;
        if (r.value > all * 1.02)
            n->missed++, print_case(a, p, t, &spec, "ragged missed", found ? m : NULL, &x->best, r.value, all, number);
        if (found && r.optimal && r.value > all)
            n->wrong++, print_case(a, p, t, &spec, "ragged is better", m, &x->best, r.value, all, number);
    }
    arena_free(a);
}
START_TEST(test_campaign) {
    Tally n = {0};
    All *x = calloc(1, sizeof *x);
    long cases = setting("QUERN_SEARCH_CASES", 60), seed = setting("QUERN_SEARCH_SEED", 7), limit = setting("QUERN_SEARCH_LIMIT", 8000),
         only = setting("QUERN_SEARCH_ONLY", -1);
    for (int d = 0; d < QN_MAX_DIMS; d++) x->way[d] = malloc(MAX_WAYS * sizeof(Way));
    for (long i = only < 0 ? 0 : only; i < (only < 0 ? cases : only + 1); i++) {
        state = (uint64_t)(seed * 1000003 + i + 1) * 0x9E3779B97F4A7C15ull;
        one_case(x, &n, i, limit);
    }
    if (getenv("QUERN_SEARCH_CASES"))
        fprintf(stderr, "%d cases, %d optimal, %d wrong, %d missed, %d where ragged is better\n", n.cases, n.optimal, n.wrong, n.missed,
                n.ragged);
    for (int d = 0; d < QN_MAX_DIMS; d++) free(x->way[d]);
    free(x);
    ck_assert_int_eq(n.wrong + n.missed, 0);
    if (only < 0) ck_assert_int_gt(n.cases, cases / 4);
}
END_TEST

Suite *search_suite(void) {
    Suite *s = suite_create("search");
    TCase *t = tcase_create("search");
    tcase_set_timeout(t, 6000);
    tcase_add_test(t, test_campaign);
    suite_add_tcase(s, t);
    return s;
}
