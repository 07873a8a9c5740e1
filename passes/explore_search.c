/* SPDX-License-Identifier: Apache-2.0 */
/* explore_search.c: simulated annealing over mappings. A point is, for each dim, one factor per slot (a slot: the loops of a level, or
 * one axis of the array below it), and for each level an order of the dims. A move hands a prime factor from slot to slot, exchanges two,
 * or moves a loop in its order. Chains are independent and seeded by their number, so that the result does not depend on threads.
 * First short chains try which extents to round up (explore_pad.c), then long ones search, and the last quarter starts from the best.
 *   DRAM[M6 C16] GLB[M4 …]  --move 2 of M from DRAM to GLB-->  DRAM[M3 C16] GLB[M8 …] */
#include "cost_internal.h"
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
double objective_value(Objective o, const MappingCounts *n) {
    double cycles = (double)n->cycles;
    return o == OBJ_ENERGY ? n->energy : o == OBJ_DELAY ? cycles : n->energy * cycles;
}
double objective_floor(const Problem *p, const Target *t, Objective o) {
    double energy, cycles;
    price_floor(p, t, &energy, &cycles);
    return o == OBJ_ENERGY ? energy : o == OBJ_DELAY ? cycles : energy * cycles;
}

/* ---- the space */
void space_init(Space *s, const Problem *p, const Target *t, const SearchSpec *spec) {
    memset(s, 0, sizeof *s);
    s->problem = s->real = p, s->target = t, s->spec = spec, s->scale = 1;
    for (int l = 0; l < t->nlevel; l++) {
        s->slot[s->nslot++] = (Slot){l, 0};
        if (t->level[l].fan_x > 1) s->slot[s->nslot++] = (Slot){l, 'x'};
        if (t->level[l].fan_y > 1) s->slot[s->nslot++] = (Slot){l, 'y'};
    }
    s->shape.problem = p, s->shape.target = t;
    mapping_default_keep(&s->shape);
    if (spec->flow) dataflow_keep(spec->flow, &s->shape);
    if (spec->rules) rules_keep(spec->rules, &s->shape);
    for (int l = 1; l < t->nlevel && spec->bypass && !spec->flow; l++) {
        if (t->level[l].kind == LEVEL_CACHE || l == spec->keeper) continue; /* what passes a cache stays in it */
        s->free[l] = s->shape.level[l].keep;
        if (spec->rules) s->free[l] &= ~spec->rules->keep[l];
        for (unsigned f = s->free[l]; f; f &= f - 1) s->nfree++;
    }
    for (int d = 0; d < p->ndim; d++) {
        int64_t rest = spec->fix_outer ? p->extent[d] / spec->outer[d] : p->extent[d];
        for (int64_t f = 2; f * f <= rest; f++)
            for (; rest % f == 0; rest /= f) s->prime[s->nprime++] = (Prime){d, f};
        if (rest > 1) s->prime[s->nprime++] = (Prime){d, rest};
    }
    int pe = mapping_pe_level(t);
    for (int d = 0; d < p->ndim; d++)
        for (int i = 0; i < s->nslot; i++)
            s->allowed[d][i] = (!spec->fix_outer || s->slot[i].level || s->slot[i].axis) &&
                               (!spec->rules || rules_slot(spec->rules, d, s->slot[i].level, s->slot[i].axis)) &&
                               (!spec->flow || dataflow_slot(spec->flow, p, d, s->slot[i].level, s->slot[i].axis, pe));
}
void point_mapping(const Space *s, const Point *x, Mapping *m) {
    m->problem = s->problem, m->target = s->target;
    for (int l = 0; l < s->target->nlevel; l++) m->level[l].ntemporal = m->level[l].nspatial = 0, m->level[l].keep = x->keep[l];
    for (int i = 0; i < s->nslot; i++) {
        MapLevel *v = &m->level[s->slot[i].level];
        char axis = s->slot[i].axis;
        for (int k = 0; k < s->problem->ndim; k++) {
            int d = axis || (i == 0 && s->spec->fix_outer) ? k : x->order[s->slot[i].level][k];
            if (x->factor[d][i] > 1)
                *(axis ? &v->spatial[v->nspatial++] : &v->temporal[v->ntemporal++]) = (MapLoop){d, x->factor[d][i], axis, false};
        }
    }
}
double point_illegal(const Space *s, const Point *x) {
    int64_t tile[QN_MAX_DIMS], below = 1;
    double over = 0;
    MapFit fit = {0};
    for (int d = 0; d < s->problem->ndim; d++) tile[d] = 1;
    for (int i = s->nslot - 1; i >= 0; i--) {
        const TargetLevel *v = &s->target->level[s->slot[i].level];
        int64_t spread = 1;
        for (int d = 0; d < s->problem->ndim; d++) tile[d] *= x->factor[d][i], spread *= x->factor[d][i];
        if (s->slot[i].axis) {
            int64_t have = s->slot[i].axis == 'x' ? v->fan_x : v->fan_y;
            if (spread > have) over += (double)spread / (double)have;
            below *= spread;
            continue;
        }
        if (v->fan && below > v->fan) over += (double)below / (double)v->fan;
        below = 1; /* the temporal slot of a level comes last here: its tile is whole */
        map_fit_level(&fit, s->problem, s->target, s->slot[i].level, x->keep[s->slot[i].level], tile);
    }
    return over + map_fit_over(&fit, s->problem, s->target, NULL, NULL);
}
double point_value(const Space *s, const Point *x, Mapping *m) {
    double over = point_illegal(s, x);
    if (over > 0) return NOT_LEGAL * (2 + over);
    MappingCounts n;
    if (s->real != s->problem && !pad_possible(s, x)) return NOT_LEGAL * 1.9;
    point_mapping(s, x, m);
    int faults = s->spec->flow ? dataflow_faults(s->spec->flow, m) : 0;
    if (s->spec->rules) faults += rules_faults(s->spec->rules, m);
    if (faults) return NOT_LEGAL * (1 + 0.01 * min_i64(faults, 50));
    mapping_counts_as(m, s->spec->counting, &n);
    n.energy *= s->scale;
    return objective_value(s->spec->objective, &n);
}

/* ---- one chain */
uint32_t space_random(uint64_t *state, uint32_t n) { /* xorshift* */
    *state ^= *state >> 12, *state ^= *state << 25, *state ^= *state >> 27;
    return (uint32_t)(((*state * 0x2545F4914F6CDD1Dull >> 32) * n) >> 32);
}
static double uniform(uint64_t *state) { return (space_random(state, 1u << 30) + 0.5) / (double)(1u << 30); }

typedef struct Where { /* slot of each prime */
    unsigned char slot[MAX_PRIMES];
} Where;
static bool hand(const Space *s, Point *x, Where *w, int prime, int to) {
    int d = s->prime[prime].dim, from = w->slot[prime];
    if (!s->allowed[d][to]) return false;
    x->factor[d][from] /= s->prime[prime].f, x->factor[d][to] *= s->prime[prime].f;
    w->slot[prime] = (unsigned char)to;
    return true;
}
static void reorder(const Space *s, Point *x, uint64_t *r) {
    int l = (int)space_random(r, (uint32_t)s->target->nlevel), n = s->problem->ndim, from = (int)space_random(r, (uint32_t)n),
        to = (int)space_random(r, (uint32_t)n);
    unsigned char *o = x->order[l], d = o[from];
    for (; from < to; from++) o[from] = o[from + 1];
    for (; from > to; from--) o[from] = o[from - 1];
    o[to] = d;
}
/* A level that is free to starts or ceases to keep an operand. */
static void toggle(const Space *s, Point *x, uint64_t *r) {
    int nth = (int)space_random(r, (uint32_t)s->nfree);
    for (int l = 1; l < s->target->nlevel; l++)
        for (unsigned f = s->free[l]; f; f &= f - 1)
            if (nth-- == 0) x->keep[l] ^= (unsigned char)(f & (0 - f));
}
static bool move(const Space *s, bool toggles, Point *x, Where *w, uint64_t *r) {
    if (toggles && space_random(r, 100) < 8) return toggle(s, x, r), true;
    uint32_t kind = space_random(r, 100);
    if (kind < 30 || !s->nprime) return reorder(s, x, r), true;
    int a = (int)space_random(r, (uint32_t)s->nprime), to = (int)space_random(r, (uint32_t)s->nslot), from = w->slot[a];
    if (to == from || !hand(s, x, w, a, to)) return false;
    if (kind >= 65) { /* another prime goes the other way, or to a third slot */
        int b = (int)space_random(r, (uint32_t)s->nprime);
        for (int i = 0; i < s->nprime && (w->slot[b] != to || b == a); i++) b = (b + 1) % s->nprime;
        if (b != a) hand(s, x, w, b, kind < 90 ? from : (int)space_random(r, (uint32_t)s->nslot));
    }
    if (kind % 3 == 0) reorder(s, x, r);
    return true;
}
/* The slot where a dataflow wants a prime of a dim: the dim that it spreads whole on one axis of the array, chosen at random, as much of
 * the one beside it as fits on the other; -1: no wish. */
static int wanted_slot(const Space *s, const Point *x, int prime, int axis_slot) {
    const Dataflow *f = s->spec->flow;
    const char *dim = s->problem->dim[s->prime[prime].dim];
    if (!f || axis_slot < 0) return -1;
    if (f->whole && strcmp(f->whole, dim) == 0) return axis_slot;
    if (!f->beside || strcmp(f->beside, dim) != 0) return -1;
    for (int i = 0; i < s->nslot; i++) {
        const TargetLevel *v = &s->target->level[s->slot[i].level];
        bool other = s->slot[i].axis && s->slot[i].axis != s->slot[axis_slot].axis && s->slot[i].level == s->slot[axis_slot].level;
        if (other && x->factor[s->prime[prime].dim][i] * s->prime[prime].f <= (s->slot[i].axis == 'x' ? v->fan_x : v->fan_y)) return i;
    }
    return -1;
}
static int random_axis_slot(const Space *s, uint64_t *r) {
    int axes[MAX_SLOTS], n = 0;
    for (int i = 0; i < s->nslot; i++)
        if (s->slot[i].axis) axes[n++] = i;
    return n ? axes[space_random(r, (uint32_t)n)] : -1;
}
/* A first point: everything at the outermost level where the dataflow lets it, else at the first slot that it allows. */
static void first_point(const Space *s, Point *x, Where *w, uint64_t *r) {
    int axis = s->spec->flow && s->spec->flow->whole ? random_axis_slot(s, r) : -1;
    memset(x, 0, sizeof *x);
    for (int d = 0; d < s->problem->ndim; d++)
        for (int i = 0; i < s->nslot; i++) x->factor[d][i] = i || !s->spec->fix_outer ? 1 : s->spec->outer[d];
    for (int i = 0; i < s->nprime; i++) {
        int d = s->prime[i].dim, to = 0, wanted = wanted_slot(s, x, i, axis);
        while (to < s->nslot - 1 && !s->allowed[d][to]) to++;
        if (wanted >= 0 && s->allowed[d][wanted]) to = wanted;
        x->factor[d][to] *= s->prime[i].f, w->slot[i] = (unsigned char)to;
    }
    for (int l = 0; l < s->target->nlevel; l++) {
        x->keep[l] = (unsigned char)s->shape.level[l].keep;
        for (int d = 0; d < s->problem->ndim; d++) x->order[l][d] = (unsigned char)d;
        for (int d = s->problem->ndim - 1; d > 0; d--) {
            int k = (int)space_random(r, (uint32_t)d + 1);
            unsigned char swap = x->order[l][d];
            x->order[l][d] = x->order[l][k], x->order[l][k] = swap;
        }
    }
}
/* The slot of each prime of a given point. */
static void where_of(const Space *s, const Point *x, Where *w) {
    Point left = *x;
    for (int d = 0; d < s->problem->ndim && s->spec->fix_outer; d++) left.factor[d][0] = 1; /* given, not made of primes */
    for (int i = 0; i < s->nprime; i++) {
        int slot = 0;
        while (left.factor[s->prime[i].dim][slot] % s->prime[i].f) slot++;
        left.factor[s->prime[i].dim][slot] /= s->prime[i].f, w->slot[i] = (unsigned char)slot;
    }
}
typedef struct Chain {
    Point best;
    int64_t extent[QN_MAX_DIMS]; /* of the space that it searched */
    double value;
    int64_t evals;
} Chain;
/* Between two legal points the usual rule; a point that is not legal is left for any that is nearer to it. */
static bool accept(double from, double to, double t, uint64_t *r) {
    if (to <= from) return true;
    if (to >= NOT_LEGAL) return false;
    return uniform(r) < exp(-log(to / from) / t);
}
typedef struct Crew Crew;
static void crew_progress(Crew *w, const Chain *now);
static void chain_run(const Space *s, int number, int64_t evals, double deadline, const Point *start, Crew *show, Chain *out) {
    uint64_t r = (s->spec->seed + 1) * 0x9E3779B97F4A7C15ull ^ (uint64_t)(number + 1) * 0xBF58476D1CE4E5B9ull;
    Mapping *m = calloc(1, sizeof *m);
    Point now, next;
    Where w, wn;
    double hot = number % 2 ? 0.3 : 1.0, cold = 0.002, t = hot;
    bool toggles = s->nfree && (start || number % 2); /* the other half of the chains has a smaller space */
    if (!m) BUG("out of memory");
    for (int i = 0; i < 8; i++) space_random(&r, 2);
    first_point(s, &now, &w, &r);
    if (start) now = *start, where_of(s, &now, &w), hot = number % 2 ? 0.02 : 0.1;
    double value = point_value(s, &now, m);
    *out = (Chain){.best = now, .value = value, .evals = 1};
    memcpy(out->extent, s->problem->extent, sizeof out->extent);
    for (int64_t i = 1; i < evals; i++, out->evals++) {
        if (i % 256 == 0) {
            t = hot * pow(cold / hot, (double)i / (double)evals);
            if (show) crew_progress(show, out);
            if (deadline > 0 && search_now() > deadline) break;
        }
        next = now, wn = w;
        if (!move(s, toggles, &next, &wn, &r)) continue;
        double v = point_value(s, &next, m);
        if (!accept(value, v, t, &r)) continue;
        now = next, w = wn, value = v;
        if (v < out->value) out->value = v, out->best = now;
    }
    if (s->real != s->problem && out->value < NOT_LEGAL) out->value = pad_value(s, &out->best, m);
    free(m);
}

/* ---- all chains: short and long, cool and hot ones in turn; which is best differs from problem to problem */
static int64_t chain_length(int64_t base, int number) { return number % 4 < 2 ? base : base / 4; }
struct Crew {
    const Space *s;
    pthread_mutex_t lock;
    int next, chains, shows;
    int variants, order[MAX_VARIANTS]; /* extents to search with, the most promising ones first */
    int64_t variant[MAX_VARIANTS][QN_MAX_DIMS];
    double score[MAX_VARIANTS];
    bool scout;  /* chain n is the first one of variant n */
    bool polish; /* chains start from the best so far */
    Chain from;
    int64_t length, evals, before; /* before: the evals of earlier phases, which all ranks know */
    double begin, deadline, shown; /* 0: none */
    Chain best;
    int best_number;
};
void search_progress(const SearchSpec *s, double begin, double *last, int64_t evals, double value) {
    double now = s->progress ? search_now() : 0;
    if (!s->progress || now < *last + 0.5) return;
    if (*last > 0) s->progress(s->user, evals, now - begin, value);
    *last = now;
}
static void crew_progress(Crew *w, const Chain *now) {
    if (!w->s->spec->progress) return;
    pthread_mutex_lock(&w->lock);
    int64_t evals = w->evals + now->evals;
    double value = w->best_number >= 0 && w->best.value < now->value ? w->best.value : now->value;
    pthread_mutex_unlock(&w->lock);
    search_progress(w->s->spec, w->begin, &w->shown, evals, value);
}
static void join_chain(Crew *c, const Chain *x, int number) { /* the smaller number of equal ones, whoever comes first */
    c->evals += x->evals;
    if (c->best_number < 0 || x->value < c->best.value || (x->value == c->best.value && number < c->best_number))
        c->best = *x, c->best_number = number;
}
enum { SCOUTS = 1 << 20 }; /* their numbers come after all others */
static int variant_of(const Crew *c, int number) {
    static const unsigned char turn[8] = {0, 1, 0, 3, 0, 2, 1, 2}; /* long chains for the first ones */
    return c->scout ? number : c->order[turn[number % 8] % c->variants];
}
static void crew_work(Crew *c, bool shows) {
    int rank = c->s->spec->rank, ranks = c->s->spec->ranks > 1 ? c->s->spec->ranks : 1;
    Chain *mine = malloc(sizeof *mine);
    Space *padded = malloc(sizeof *padded);
    Problem problem;
    if (!mine || !padded) BUG("out of memory");
    for (;;) {
        pthread_mutex_lock(&c->lock);
        int turn = c->next++, number = turn * ranks + rank;
        pthread_mutex_unlock(&c->lock);
        if (c->deadline > 0 ? turn && search_now() > c->deadline : number >= c->chains) break;
        int variant = variant_of(c, number);
        const Space *s = c->s;
        const int64_t *extent = c->polish ? c->from.extent : c->variant[variant];
        if (c->polish || variant) space_pad(c->s, extent, padded, &problem), s = padded;
        number += c->scout ? SCOUTS : c->polish ? 2 * SCOUTS : 0;
        chain_run(s, number, c->scout ? c->length : chain_length(c->length, number), c->deadline, c->polish ? &c->from.best : NULL,
                  shows ? c : NULL, mine);
        pthread_mutex_lock(&c->lock);
        join_chain(c, mine, number);
        if (c->scout) c->score[variant] = mine->value;
        pthread_mutex_unlock(&c->lock);
    }
    free(mine), free(padded);
}
static void *work(void *arg) {
    Crew *c = arg;
    pthread_mutex_lock(&c->lock);
    bool shows = c->shows++ == 0; /* one of them */
    pthread_mutex_unlock(&c->lock);
    crew_work(c, shows);
    return NULL;
}
/* The best of all ranks, on each of them. */
static void join_ranks(Crew *c) {
    typedef struct Block {
        Chain best;
        int number;
        int64_t evals;
        double score[MAX_VARIANTS];
    } Block;
    const SearchSpec *s = c->s->spec;
    Block *all = malloc((size_t)s->ranks * sizeof *all), mine;
    if (!all) BUG("out of memory");
    memset(&mine, 0, sizeof mine);
    mine.best = c->best, mine.number = c->best_number, mine.evals = c->evals - c->before;
    memcpy(mine.score, c->score, sizeof mine.score);
    if (!s->gather(&mine, sizeof mine, all)) BUG("MPI does not deliver");
    c->evals = c->before, c->best_number = -1;
    for (int i = 0; i < s->ranks; i++) {
        for (int v = 0; v < c->variants; v++) c->score[v] = fmin(c->score[v], all[i].score[v]);
        all[i].best.evals = all[i].evals;
        if (all[i].number >= 0) join_chain(c, &all[i].best, all[i].number);
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
static void crew_run(Crew *c) {
    c->next = 0, c->before = c->evals, c->shows = 0;
    run_threads(c->s->spec->threads, work, c);
    if (c->s->spec->ranks > 1) join_ranks(c);
}
/* A short chain for each variant of the extents; a fifth of the work at most. */
static void scout(Crew *c, int64_t evals) {
    double until = c->deadline, left = until > 0 ? until - search_now() : 0;
    c->variants = pad_variants(c->s, c->variant);
    for (int i = 0; i < MAX_VARIANTS; i++) c->score[i] = INFINITY, c->order[i] = i;
    if (c->variants == 1) return;
    c->length = until > 0 ? 20000 : max_i64(500, evals / 5 / c->variants);
    c->scout = true, c->chains = c->variants;
    if (until > 0) c->deadline = until - 0.8 * left;
    crew_run(c);
    c->scout = false, c->chains = 0, c->deadline = until;
    for (int i = 1; i < c->variants; i++)
        for (int k = i; k > 0 && c->score[c->order[k]] < c->score[c->order[k - 1]]; k--) {
            int swap = c->order[k];
            c->order[k] = c->order[k - 1], c->order[k - 1] = swap;
        }
}
static void run_chains(Crew *c, int64_t evals) {
    c->length = c->deadline > 0 ? 200000 : max_i64(4000, min_i64(200000, evals / 5));
    if (c->polish) c->length = min_i64(c->length, 50000);
    c->chains = 0;
    for (int64_t sum = 0; c->deadline == 0 && c->chains < SCOUTS; c->chains++)
        if ((sum += chain_length(c->length, c->chains)) > evals && c->chains) break;
    crew_run(c);
}
/* Chains for so many scores or up to the deadline, after those that `c` has from before. */
static void anneal(Crew *c, int64_t evals, bool pads, double deadline) {
    c->deadline = deadline, c->chains = 0, c->variants = 1, c->order[0] = 0;
    memcpy(c->variant[0], c->s->problem->extent, sizeof c->variant[0]);
    if (pads) {
        int64_t before = c->evals;
        scout(c, evals);
        evals -= c->evals - before;
    }
    double left = deadline > 0 ? deadline - search_now() : 0;
    if (deadline > 0) c->deadline = deadline - 0.25 * left;
    run_chains(c, evals - evals / 4);
    if (c->best.value >= NOT_LEGAL) return;
    c->polish = true, c->from = c->best, c->deadline = deadline;
    run_chains(c, evals / 4);
    c->polish = false;
}
static void start_from(const Space *s, const Mapping *start, double *value, Mapping *out) {
    MappingCounts n;
    if (!start || mapping_ragged(start) || !mapping_legal(start) || (s->spec->flow && !dataflow_allows(s->spec->flow, start)) ||
        (s->spec->rules && rules_faults(s->spec->rules, start)))
        return;
    mapping_counts_as(start, s->spec->counting, &n);
    double v = objective_value(s->spec->objective, &n);
    if (v < *value) *value = v, *out = *start;
}
static void best_mapping(const Space *s, const Chain *x, Mapping *best) {
    Space *padded = malloc(sizeof *padded);
    Problem problem;
    if (!padded) BUG("out of memory");
    space_pad(s, x->extent, padded, &problem);
    pad_mapping(padded, &x->best, best);
    free(padded);
}
bool mapping_search(const Problem *p, const Target *t, const SearchSpec *spec, Mapping *best, SearchResult *r) {
    static const double walkable = 2e7; /* factorisations */
    Space *s = calloc(1, sizeof *s);
    Crew *c = calloc(1, sizeof *c);
    if (!s || !c) BUG("out of memory");
    double begin = search_now(), deadline = spec->seconds > 0 ? begin + spec->seconds : 0;
    space_init(s, p, t, spec);
    bool small = !spec->fix_outer && space_size(s) <= walkable;
    *r = (SearchResult){.seed = spec->seed, .lower_bound = objective_floor(p, t, spec->objective)};
    memset(best, 0, sizeof *best);
    *c = (Crew){.s = s, .lock = PTHREAD_MUTEX_INITIALIZER, .begin = begin, .best_number = -1};
    if (small) { /* a quarter for a good bound, half for the walk */
        int64_t used = 0;
        anneal(c, spec->evals / 4, false, spec->seconds > 0 ? begin + spec->seconds / 4 : 0);
        r->optimal = space_walk(s, spec->seconds > 0 ? INT64_MAX : spec->evals / 2, begin,
                                spec->seconds > 0 ? begin + 0.75 * spec->seconds : 0, &c->best.best, &c->best.value, &used);
        c->evals += used;
    }
    if (!r->optimal) anneal(c, spec->evals - c->evals, true, deadline);
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
