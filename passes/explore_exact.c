/* SPDX-License-Identifier: Apache-2.0 */
/* explore_exact.c: walks a whole space of mappings. Dims get their factors one after the other; a partial choice whose tiles or fan-outs
 * are already too large is dropped, and so is a complete one whose cost could not beat the best known even if every word arrived
 * once. What is left is scored in every order of its loops, with every choice of what levels keep where that is free.
 *   8 x 4 on two levels  ->  4 * 3 = 12 factorisations, up to 2 orders each */
#include "explore_internal.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHOICES = 1 << 16 };
typedef struct Choices { /* every way to put one dim's extent into the slots */
    int n;
    int64_t (*factor)[MAX_SLOTS];
} Choices;
typedef struct Walk { /* of one chunk: a choice for each of the first `split` dims */
    const Space *s;
    Mapping *scratch;
    const Choices *of;
    int64_t evals, used;
    double begin, deadline, shown;
    Point now, best;
    double value;
    bool stopped;
} Walk;

/* Ways to write the extent as an ordered product over the allowed slots. */
static double ways(const Space *s, int d) {
    int slots = 0;
    double n = 1;
    for (int i = 0; i < s->nslot; i++) slots += s->allowed[d][i];
    for (int i = 0; i < s->nprime;) {
        int k = 0, at = i;
        for (; i < s->nprime && s->prime[i].dim == s->prime[at].dim && s->prime[i].f == s->prime[at].f; i++) k++;
        if (s->prime[at].dim != d) continue;
        for (int j = 1; j <= k; j++) n = n * (slots - 1 + j) / j; /* k equal things into the slots */
    }
    return slots || s->problem->extent[d] == 1 ? n : 0;
}
double space_size(const Space *s) {
    double n = 1;
    for (int l = 0; l < s->target->nlevel; l++)
        for (unsigned free = s->free[l]; free; free &= free - 1) n *= 2;
    for (int d = 0; d < s->problem->ndim; d++) n *= ways(s, d);
    return n;
}
static void choices_fill(const Space *s, int d, int slot, int64_t left, int64_t *f, Choices *c) {
    if (slot == s->nslot) {
        if (left == 1) memcpy(c->factor[c->n++], f, sizeof c->factor[0]);
        return;
    }
    for (int64_t q = 1; q <= left; q++) {
        if (left % q || (q > 1 && !s->allowed[d][slot])) continue;
        f[slot] = q;
        choices_fill(s, d, slot + 1, left / q, f, c);
    }
}
static bool choices_of(const Space *s, int d, Choices *c) {
    double n = ways(s, d);
    int64_t f[MAX_SLOTS] = {0};
    if (n > MAX_CHOICES || s->problem->extent[d] > 1 << 22) return false;
    c->factor = calloc((size_t)n + 1, sizeof c->factor[0]);
    if (!c->factor) BUG("out of memory");
    choices_fill(s, d, 0, s->problem->extent[d], f, c);
    return true;
}

static bool out_of_budget(Walk *w) {
    if (w->used >= w->evals) return w->stopped = true;
    if (++w->used % 256) return w->stopped;
    if (w->shown >= 0) search_progress(w->s->spec, w->begin, &w->shown, w->used, w->value);
    if (w->deadline > 0 && search_now() > w->deadline) w->stopped = true;
    return w->stopped;
}
/* An order matters only if a deeper level keeps something, and only among loops that step. */
static bool order_matters(const Walk *w, int level) {
    for (int l = level + 1; l < w->s->target->nlevel; l++)
        if (w->now.keep[l]) return true;
    return false;
}
static void score(Walk *w) {
    if (out_of_budget(w)) return;
    double v = point_value(w->s, &w->now, w->scratch);
    if (v < w->value) w->value = v, w->best = w->now;
}
static void next_level(Walk *w, int level);
/* Permutes the first n entries of a level's order in place, from position k on. */
static void permute(Walk *w, int level, int k, int n) {
    unsigned char *o = w->now.order[level], swap;
    if (w->stopped) return;
    if (k >= n - 1) {
        next_level(w, level + 1);
        return;
    }
    for (int i = k; i < n; i++) {
        swap = o[k], o[k] = o[i], o[i] = swap;
        permute(w, level, k + 1, n);
        swap = o[k], o[k] = o[i], o[i] = swap;
    }
}
static void next_level(Walk *w, int level) {
    const Space *s = w->s;
    if (level == s->target->nlevel) {
        score(w);
        return;
    }
    int slot = 0, n = 0;
    while (s->slot[slot].level != level || s->slot[slot].axis) slot++;
    unsigned char *o = w->now.order[level];
    for (int d = 0; d < s->problem->ndim; d++)
        if (w->now.factor[d][slot] > 1) o[n++] = (unsigned char)d;
    for (int d = 0, at = n; d < s->problem->ndim; d++)
        if (w->now.factor[d][slot] == 1) o[at++] = (unsigned char)d;
    permute(w, level, 0, order_matters(w, level) ? n : 0);
}
static void leaf(Walk *w) {
    MappingCounts n;
    for (int l = 0; l < w->s->target->nlevel; l++)
        for (int d = 0; d < w->s->problem->ndim; d++) w->now.order[l][d] = (unsigned char)d;
    if (out_of_budget(w)) return;
    point_mapping(w->s, &w->now, w->scratch);
    mapping_counts_floor(w->scratch, w->s->spec->counting, &n);
    if (spec_value(w->s->spec, &n) < w->value) next_level(w, 0);
}
/* What the levels keep, where they are free to: on entry nothing of that. */
static void keeps(Walk *w, int level, int tensor) {
    const Space *s = w->s;
    if (w->stopped) return;
    if (tensor == s->problem->ntensor) level++, tensor = 0;
    if (level == s->target->nlevel) {
        leaf(w);
        return;
    }
    unsigned bit = 1u << tensor;
    keeps(w, level, tensor + 1);
    if (!(s->free[level] & bit)) return;
    w->now.keep[level] |= (unsigned char)bit;
    if (point_illegal(s, &w->now) == 0) keeps(w, level, tensor + 1);
    w->now.keep[level] &= (unsigned char)~bit;
}
static bool choose(Walk *w, int d, int i) {
    memcpy(w->now.factor[d], w->of[d].factor[i], sizeof w->now.factor[d]);
    return point_illegal(w->s, &w->now) == 0;
}
static void assign(Walk *w, int d) {
    const Space *s = w->s;
    if (d == s->problem->ndim) {
        keeps(w, 0, 0);
        return;
    }
    for (int i = 0; i < w->of[d].n && !w->stopped; i++)
        if (choose(w, d, i)) assign(w, d + 1);
    for (int i = 0; i < s->nslot; i++) w->now.factor[d][i] = 1;
}

/* ---- chunks. A round of them starts from the best that was known before it, so that neither what it finds nor what it costs depends
 * on who walks which: threads, and ranks, take them in turn. */
enum { ROUND = 64, MIN_CHUNKS = 256 };
typedef struct Piece { /* what became of a chunk */
    Point best;
    double value;
    int64_t used;
    bool whole;
} Piece;
typedef struct Round {
    const Space *s;
    const Choices *of;
    int split; /* dims that the number of a chunk is made of */
    int64_t first, quota;
    int n, next; /* chunks of the round; the next one to be taken */
    bool done[ROUND];
    Piece piece[ROUND];
    double begin, deadline, value;
    pthread_mutex_t lock;
} Round;
static void walk_chunk(const Round *r, int i, bool shows, Walk *w) {
    const Space *s = r->s;
    int64_t number = r->first + i;
    bool possible = true;
    *w = (Walk){
        .s = s, .scratch = w->scratch, .of = r->of, .evals = r->quota, .begin = r->begin, .deadline = r->deadline, .value = r->value};
    w->shown = shows ? 0 : -1;
    for (int l = 0; l < QN_MAX_LEVELS; l++) w->now.keep[l] = (unsigned char)(s->shape.level[l].keep & ~s->free[l]);
    for (int d = 0; d < s->problem->ndim; d++)
        for (int k = 0; k < s->nslot; k++) w->now.factor[d][k] = 1;
    for (int d = 0; d < r->split && possible; d++) possible = choose(w, d, (int)(number % r->of[d].n)), number /= r->of[d].n;
    if (possible) assign(w, r->split);
}
static void *walk_work(void *arg) {
    Round *r = arg;
    int rank = r->s->spec->rank, ranks = r->s->spec->ranks > 1 ? r->s->spec->ranks : 1;
    Walk *w = calloc(1, sizeof *w);
    Mapping *scratch = calloc(1, sizeof *scratch);
    if (!w || !scratch) BUG("out of memory");
    for (w->scratch = scratch;;) {
        pthread_mutex_lock(&r->lock);
        int i = r->next++;
        pthread_mutex_unlock(&r->lock);
        if (i >= r->n) break;
        if (r->done[i] || i % ranks != rank) continue;
        walk_chunk(r, i, i == 0, w);
        r->piece[i] = (Piece){w->best, w->value, w->used, !w->stopped};
    }
    free(scratch), free(w);
    return NULL;
}
static void share_pieces(Round *r) {
    int ranks = r->s->spec->ranks;
    Piece *all = ranks > 1 ? malloc((size_t)ranks * sizeof r->piece) : NULL;
    if (ranks < 2) return;
    if (!all) BUG("out of memory");
    if (!r->s->spec->gather(r->piece, sizeof r->piece, all)) BUG("MPI does not deliver");
    for (int i = 0; i < r->n; i++) r->piece[i] = all[(size_t)(i % ranks) * ROUND + (size_t)i];
    free(all);
}
/* Walks the chunks of a round. Those that need more than their part of the evals try again when it is known what the others leave. */
static bool walk_round(Round *r, int64_t evals, Point *best, double *value, int64_t *used) {
    int left = r->n;
    memset(r->done, 0, sizeof r->done);
    for (r->value = *value; left > 0;) {
        r->quota = (evals - *used) / left, r->next = 0;
        if (r->quota < 16) return false;
        run_threads(r->s->spec->threads, walk_work, r);
        share_pieces(r);
        int before = left;
        for (int i = 0; i < r->n; i++) {
            const Piece *p = &r->piece[i];
            if (r->done[i]) continue;
            *used += p->used;
            if (p->value < *value) *value = p->value, *best = p->best;
            if (p->whole) r->done[i] = true, left--;
        }
        if (left && (left == before || r->deadline > 0)) return false;
    }
    return true;
}
bool space_walk(const Space *s, int64_t evals, double begin, double deadline, Point *best, double *value, int64_t *used) {
    Choices of[QN_MAX_DIMS] = {{0}};
    Round *r = calloc(1, sizeof *r);
    bool whole = true;
    int64_t chunks = 1;
    if (!r) BUG("out of memory");
    for (int d = 0; d < s->problem->ndim; d++) whole = whole && choices_of(s, d, &of[d]);
    *r = (Round){.s = s, .of = of, .begin = begin, .deadline = deadline, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (; whole && r->split < s->problem->ndim && chunks < MIN_CHUNKS; r->split++) chunks *= of[r->split].n;
    for (*used = 0; whole && r->first < chunks; r->first += ROUND) {
        r->n = (int)min_i64(ROUND, chunks - r->first);
        whole = walk_round(r, evals, best, value, used);
    }
    for (int d = 0; d < s->problem->ndim; d++) free(of[d].factor);
    free(r);
    return whole;
}
