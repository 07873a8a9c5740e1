/* SPDX-License-Identifier: Apache-2.0 */
/* explore_search.c: the search for a mapping. Small spaces are walked to the end (explore_exact.c). Others are searched by rounds of
 * annealing chains (explore_chain.c): the first ones start from nothing, with extents as they are or rounded up (explore_pad.c), the later
 * ones from the best mappings so far that differ in kind, from crossings of two of them, and again from nothing. When nothing better comes
 * for some rounds all begins anew; the best of before join when that comes to rest too. A chain is seeded by its number in the search, so
 * that the result does not depend on threads or ranks.
 *   C4x E2y ... crossed with C2x E7x ...  ->  C as in the first, E as in the second, repaired by the chain that starts there */
#include "explore_internal.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double search_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { ROUND = 16, ELITES = 16, ARCHIVE = 4, STALE = 6 };
typedef struct Job {
    uint64_t seed;
    bool starts; /* from `start`; else from nothing */
    Point start;
    double hot;
    bool toggles, pads;
    int64_t length;
} Job;
typedef struct Crew {
    const Space *s;
    pthread_mutex_t lock;
    int next, n, shows; /* chains of the round */
    Job job[ROUND];
    Chain done[ROUND];
    int nelite; /* the best ones of their kind, best first */
    Chain elite[ELITES];
    int narchive, stale; /* the best of earlier beginnings, the last ones; rounds without anything better */
    Chain archive[ARCHIVE];
    bool joined; /* they are among the elite */
    Chain best;
    bool pads; /* chains may round extents up */
    int fresh; /* how many chains started from nothing */
    uint64_t random;
    int64_t length, evals;
    double begin, deadline, shown; /* 0: none */
} Crew;

/* ---- progress */
void search_progress(const SearchSpec *s, double begin, double *last, int64_t evals, double value) {
    double now = s->progress ? search_now() : 0;
    if (!s->progress || now < *last + 0.5) return;
    if (*last > 0) s->progress(s->user, evals, now - begin, value);
    *last = now;
}
static void crew_progress(void *user, const Chain *now) {
    Crew *c = user;
    pthread_mutex_lock(&c->lock);
    int64_t evals = c->evals + now->evals;
    pthread_mutex_unlock(&c->lock);
    search_progress(c->s->spec, c->begin, &c->shown, evals, fmin(c->best.value, now->value));
}

/* ---- what is kept between rounds */
/* The same extents, spread loops and kept operands. */
static bool same_kind(const Space *s, const Chain *a, const Chain *b) {
    if (memcmp(a->best.keep, b->best.keep, sizeof a->best.keep) != 0) return false;
    for (int d = 0; d < s->problem->ndim; d++)
        for (int i = 0; i < s->nslot; i++)
            if (s->slot[i].axis && a->best.factor[d][i] != b->best.factor[d][i]) return false;
    return true;
}
static void add_elite(Crew *c, const Chain *x) {
    int at = c->nelite;
    for (int i = 0; i < c->nelite; i++)
        if (same_kind(c->s, &c->elite[i], x)) {
            if (c->elite[i].value <= x->value) return;
            at = i;
            break;
        }
    if (at == ELITES && x->value >= c->elite[--at].value) return;
    if (at == c->nelite) c->nelite++;
    for (; at > 0 && c->elite[at - 1].value > x->value; at--) c->elite[at] = c->elite[at - 1];
    c->elite[at] = *x;
}

/* ---- the chains of a round */
static const Chain *pick(Crew *c) { /* better ones more often */
    double u = space_random(&c->random, 1 << 20) / (double)(1 << 20);
    return &c->elite[(int)(u * u * c->nelite)];
}
static void cross(Crew *c, const Chain *other, Job *j) {
    for (int d = 0; d < c->s->problem->ndim; d++) {
        if (space_random(&c->random, 2)) continue;
        memcpy(j->start.factor[d], other->best.factor[d], sizeof j->start.factor[d]);
    }
    for (int l = 0; l < c->s->target->nlevel; l++)
        if (space_random(&c->random, 2)) memcpy(j->start.order[l], other->best.order[l], sizeof j->start.order[l]);
    if (space_random(&c->random, 2)) memcpy(j->start.keep, other->best.keep, sizeof j->start.keep);
}
static void plan_round(Crew *c, bool first) {
    for (int i = 0; i < c->n; i++) {
        Job *j = &c->job[i];
        *j = (Job){.length = c->length, .toggles = true};
        j->seed = ((uint64_t)space_random(&c->random, 1u << 31) << 32 | space_random(&c->random, 1u << 31)) | 1;
        if (first || i % 4 == 3) {
            j->hot = c->fresh % 2 ? 0.3 : 1, j->toggles = c->fresh / 2 % 2 != 0, j->pads = c->pads && c->fresh % 3;
            c->fresh++;
            continue;
        }
        const Chain *from = pick(c);
        j->starts = true, j->start = from->best, j->hot = i % 4 ? 0.1 : 0.03, j->pads = c->pads && i % 8 < 4;
        if (i % 4 == 1) cross(c, pick(c), j);
    }
}
static void crew_work(Crew *c, bool shows) {
    const SearchSpec *spec = c->s->spec;
    int ranks = spec->ranks > 1 ? spec->ranks : 1;
    for (;;) {
        pthread_mutex_lock(&c->lock);
        int i = c->next++;
        pthread_mutex_unlock(&c->lock);
        if (i >= c->n) break;
        if (i % ranks != spec->rank || (c->deadline > 0 && i && search_now() > c->deadline)) continue;
        const Job *j = &c->job[i];
        ChainSpec run = {.seed = j->seed,
                         .start = j->starts ? &j->start : NULL,
                         .hot = j->hot,
                         .toggles = j->toggles,
                         .pads = j->pads,
                         .evals = j->length,
                         .deadline = c->deadline,
                         .show = shows && spec->progress ? crew_progress : NULL,
                         .user = c};
        chain_run(c->s, &run, &c->done[i]);
        pthread_mutex_lock(&c->lock);
        c->evals += c->done[i].evals;
        pthread_mutex_unlock(&c->lock);
    }
}
static void *work(void *arg) {
    Crew *c = arg;
    pthread_mutex_lock(&c->lock);
    bool shows = c->shows++ == 0; /* one of them */
    pthread_mutex_unlock(&c->lock);
    crew_work(c, shows);
    return NULL;
}
/* The chains of all ranks, on each of them. */
static void join_ranks(Crew *c, int64_t before) {
    int ranks = c->s->spec->ranks;
    Chain *all = malloc((size_t)ranks * sizeof c->done);
    if (!all) BUG("out of memory");
    if (!c->s->spec->gather(c->done, sizeof c->done, all)) BUG("MPI does not deliver");
    c->evals = before;
    for (int i = 0; i < c->n; i++) {
        c->done[i] = all[(size_t)(i % ranks) * ROUND + (size_t)i];
        c->evals += c->done[i].evals;
    }
    free(all);
}
void run_threads(int threads, void *(*work)(void *), void *arg) {
    enum { MAX_THREADS = 256 };
    pthread_t id[MAX_THREADS];
    int started = 0;
    for (; started < threads - 1 && started < MAX_THREADS; started++)
        if (pthread_create(&id[started], NULL, work, arg) != 0) break;
    work(arg);
    for (int i = 0; i < started; i++) pthread_join(id[i], NULL);
}
static void run_round(Crew *c, bool first) {
    int64_t before = c->evals;
    plan_round(c, first);
    c->next = 0, c->shows = 0;
    memset(c->done, 0, sizeof c->done);
    run_threads(c->s->spec->threads, work, c);
    if (c->s->spec->ranks > 1) join_ranks(c, before);
    double known = c->nelite ? c->elite[0].value : INFINITY;
    for (int i = 0; i < c->n; i++)
        if (c->done[i].evals) add_elite(c, &c->done[i]);
    c->stale = c->elite[0].value < known ? 0 : c->stale + 1;
    if (c->elite[0].value < c->best.value) c->best = c->elite[0];
}
/* After rounds without anything better: true if the next one starts from nothing. */
static bool begin_anew(Crew *c) {
    if (c->stale < STALE) return false;
    c->stale = 0;
    if (!c->joined && c->narchive) {
        for (int i = 0; i < min_i64(c->narchive, ARCHIVE); i++) add_elite(c, &c->archive[i]);
        c->joined = true;
        return false;
    }
    c->archive[c->narchive++ % ARCHIVE] = c->elite[0];
    c->nelite = 0, c->joined = false;
    return true;
}
/* Chains for so many scores, after those that `c` has from before. false: the deadline (0: none) came first. */
static bool anneal(Crew *c, int64_t evals, bool pads, double deadline) {
    int64_t begin = c->evals, end = begin + evals;
    c->deadline = deadline, c->pads = pads;
    c->length = max_i64(1, min_i64(evals, max_i64(1000, min_i64(6000, evals / 64))));
    c->nelite = c->narchive = c->stale = 0, c->joined = false;
    if (c->best.value < NOT_LEGAL) add_elite(c, &c->best);
    for (bool first = true;; first = begin_anew(c)) {
        int64_t left = (end - c->evals) / c->length;
        c->n = (int)min_i64(left, ROUND);
        if (c->evals > begin && (c->n < 1 || c->evals >= end)) return true;
        if (c->evals > begin && deadline > 0 && search_now() > deadline) return false;
        c->n = c->n < 1 ? 1 : c->n;
        run_round(c, first);
    }
}
static void start_from(const Space *s, const Mapping *start, double *value, Mapping *out) {
    MappingCounts n;
    if (!start || mapping_ragged(start) || !mapping_legal(start) || (s->spec->flow && !dataflow_allows(s->spec->flow, start)) ||
        (s->spec->rules && rules_faults(s->spec->rules, start)))
        return;
    mapping_counts_as(start, s->spec->counting, &n);
    double v = spec_value(s->spec, &n);
    if (v < *value) *value = v, *out = *start;
}
static bool any_pads(const Space *s) {
    bool any = false;
    for (int d = 0; d < s->problem->ndim; d++) any |= s->may_pad[d];
    return any;
}
static void best_mapping(const Space *s, const Chain *x, Mapping *best) {
    PadSpace *own = malloc(sizeof *own);
    if (!own) BUG("out of memory");
    space_of(s, &x->best, own);
    pad_mapping(&own->s, &x->best, best);
    free(own);
}
bool mapping_search(const Problem *p, const Target *t, const SearchSpec *spec, Mapping *best, SearchResult *r) {
    static const double walkable = 2e7; /* factorisations */
    Space *s = calloc(1, sizeof *s);
    Crew *c = calloc(1, sizeof *c);
    if (!s || !c) BUG("out of memory");
    double begin = search_now(), deadline = spec->seconds > 0 ? begin + spec->seconds : 0;
    space_init(s, p, t, spec);
    bool small = !spec->fix_outer && space_size(s) <= walkable;
    *r = (SearchResult){.seed = spec->seed, .lower_bound = spec_floor(spec, p, t)};
    memset(best, 0, sizeof *best);
    *c = (Crew){.s = s,
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .begin = begin,
                .best = {.value = INFINITY},
                .random = (spec->seed + 1) * 0x9E3779B97F4A7C15ull | 1};
    if (small) { /* up to a quarter for a good bound, half for the walk */
        int64_t used = 0;
        anneal(c, spec->seconds > 0 ? 100000 : min_i64(100000, spec->evals / 4), false, deadline);
        r->optimal = space_walk(s, spec->seconds > 0 ? INT64_MAX : spec->evals / 2, begin,
                                spec->seconds > 0 ? begin + 0.75 * spec->seconds : 0, &c->best.best, &c->best.value, &used);
        c->evals += used;
    }
    if (r->optimal) { /* in whole factors; do extents that are rounded up allow for more? */
        double whole = c->best.value;
        int64_t most = spec->seconds > 0 ? 300000 : min_i64(300000, spec->evals - c->evals);
        if (any_pads(s)) r->optimal = anneal(c, most, true, deadline) && most >= 20000; /* fewer say nothing */
        r->optimal &= c->best.value >= whole;
    } else anneal(c, spec->seconds > 0 ? INT64_MAX / 4 : spec->evals - c->evals, true, deadline);
    r->evals = c->evals;
    r->value = c->best.value, r->found = r->value < NOT_LEGAL;
    if (r->found) best_mapping(s, &c->best, best);
    start_from(s, spec->start, &r->value, best);
    r->found = r->value < NOT_LEGAL;
    if (r->optimal) r->lower_bound = r->value;
    r->seconds = search_now() - begin;
    free(s), free(c);
    return r->found;
}
