/* SPDX-License-Identifier: Apache-2.0 */
/* blocks.c: nests as mappings. Caches are implicit: nothing is copied, so which level a loop belongs to follows from what it touches.
 *
 *   M4 panels / F4 / C64 / block of F14 M2 lanes 16   --->   L2[M4 F4] L1[C64] regs[F14 M2 | M16x]
 */
#include "blocks.h"
#include <string.h>

void nest_loop(BlockNest *b, int dim, int64_t factor) {
    if (dim >= 0 && factor > 1) b->loop[b->n++] = (MapLoop){dim, factor, 0, false};
}
void nest_regs(BlockNest *b, int dim, int64_t factor) {
    if (dim >= 0 && factor > 1) b->regs[b->nregs++] = (MapLoop){dim, factor, 0, false};
}
static int64_t grown(const BlockNest *b, const int64_t *extent, const MapLoop *x) {
    int64_t n;
    return mul_ok(extent[x->dim], x->factor, &n) ? min_i64(n, b->p->extent[x->dim]) : b->p->extent[x->dim];
}
static bool fits(const BlockNest *b, int level, unsigned keep, const int64_t *extent) {
    const TargetLevel *v = &b->t->level[level];
    MapFit fit = {0};
    if (!v->words) return true;
    map_fit_level(&fit, b->p, b->t, level, keep, extent);
    for (int t = 0; t < b->p->ntensor && v->usable > 0; t++)
        if ((double)fit.tensor[level][t] > (double)v->words * v->usable) return false;
    return fit.used[level] <= v->words;
}
/* Loops whose dim they do not divide: the last iteration is short. */
static void mark_ragged(const BlockNest *b, Mapping *m) {
    int64_t left[QN_MAX_DIMS], inside[QN_MAX_DIMS];
    for (int d = 0; d < b->p->ndim; d++) {
        left[d] = b->p->extent[d], inside[d] = 1;
        for (int l = 0; l < b->t->nlevel; l++) {
            for (int i = 0; i < m->level[l].ntemporal; i++)
                if (m->level[l].temporal[i].dim == d) inside[d] *= m->level[l].temporal[i].factor;
            for (int i = 0; i < m->level[l].nspatial; i++)
                if (m->level[l].spatial[i].dim == d) inside[d] *= m->level[l].spatial[i].factor;
        }
    }
    for (int l = 0; l < b->t->nlevel; l++)
        for (int i = 0; i < m->level[l].ntemporal; i++) {
            MapLoop *x = &m->level[l].temporal[i];
            inside[x->dim] /= x->factor;
            x->ragged = inside[x->dim] * x->factor != left[x->dim];
            left[x->dim] = x->ragged ? min_i64(inside[x->dim], left[x->dim]) : left[x->dim] / x->factor;
        }
}
/* levels: false: all loops outside the registers at the outermost level, for mapping_steps alone. */
static void place(const BlockNest *b, Mapping *m, bool levels, unsigned pass) {
    int level[BLOCK_LOOPS], inner = b->t->nlevel - 2, regs = b->t->nlevel - 1;
    int64_t extent[QN_MAX_DIMS], lanes = min_i64(level_fan(&b->t->level[regs]), b->p->extent[b->lane_dim]);
    unsigned all = (1u << b->p->ntensor) - 1;
    memset(m, 0, sizeof *m);
    m->problem = b->p, m->target = b->t;
    for (int l = 0; l <= regs; l++) m->level[l].keep = all;
    for (int t = 0; t < b->p->ntensor; t++) {
        unsigned role = b->p->tensor[t].role;
        for (int l = 1; l < regs - 2 && b->p->tensor[t].on_chip; l++) m->level[l].keep &= ~(1u << t);
        if (regs > 2 && role == ROLE_W && pass & PASS_WEIGHTS) m->level[regs - 2].keep &= ~(1u << t);
        if (role == ROLE_I) m->level[regs > 2 && pass & PASS_INPUTS ? regs - 1 : regs].keep &= ~(1u << t); /* broadcast from memory */
    }
    for (int d = 0; d < b->p->ndim; d++) extent[d] = 1;
    if (lanes > 1) m->level[regs].spatial[m->level[regs].nspatial++] = (MapLoop){b->lane_dim, lanes, 'x', false};
    extent[b->lane_dim] = lanes;
    for (int i = 0; i < b->nregs; i++) {
        m->level[regs].temporal[m->level[regs].ntemporal++] = b->regs[i];
        extent[b->regs[i].dim] = grown(b, extent, &b->regs[i]);
    }
    if (!levels) inner = 0;
    for (int i = b->n - 1; i >= 0; i--) {
        extent[b->loop[i].dim] = grown(b, extent, &b->loop[i]);
        while (inner > 0 && !fits(b, inner, m->level[inner].keep, extent)) inner--;
        level[i] = inner;
    }
    for (int i = 0; i < b->n; i++) {
        MapLevel *v = &m->level[level[i]];
        v->temporal[v->ntemporal++] = b->loop[i];
    }
    mark_ragged(b, m);
}

void nest_place(const BlockNest *b, unsigned pass, Mapping *m) { place(b, m, true, pass); }
/* Do the sums fit, and weights twice: those of the next step are loaded while these are in use. Vectors are whole ones. */
static bool registers_fit(const BlockNest *b, const Mapping *m) {
    int regs = b->t->nlevel - 1;
    int64_t extent[QN_MAX_DIMS], lanes = level_fan(&b->t->level[regs]), words = 0;
    MapChain c;
    for (int d = 0; d < b->p->ndim; d++)
        if (!mapping_chain(m, d, &c)) return false;
    mapping_tile(m, regs, extent);
    extent[b->lane_dim] = ceil_div(extent[b->lane_dim], lanes) * lanes;
    for (int t = 0; t < b->p->ntensor; t++) {
        int64_t tile = problem_box(b->p, t, extent);
        words += b->p->tensor[t].role == ROLE_O ? tile : b->p->tensor[t].role == ROLE_W ? 2 * tile : 0;
    }
    return words <= b->t->vector_regs * lanes;
}
void short_offer(Shortlist *s, const BlockNest *b, int which) {
    Mapping m;
    place(b, &m, false, 0);
    if (!registers_fit(b, &m)) return;
    double steps = mapping_steps(&m, b->evened);
    int at = s->n < SHORTLIST ? s->n++ : SHORTLIST - 1;
    if (at == SHORTLIST - 1 && s->n == SHORTLIST && s->full && steps >= s->steps[at]) return;
    s->full = s->n == SHORTLIST;
    for (; at > 0 && s->steps[at - 1] > steps; at--) s->steps[at] = s->steps[at - 1], s->which[at] = s->which[at - 1];
    s->steps[at] = steps, s->which[at] = which;
}

static void keep(Choice *c, double cycles, int which) {
    int at = 0;
    while (at < c->n && c->which[at] != which) at++;
    if (at < c->n && c->cycles[at] <= cycles) return; /* the same, with another operand passing by */
    if (at == c->n && c->n < c->most) c->n++;
    else if (at == c->n) at--;
    for (; at > 0 && c->cycles[at - 1] > cycles; at--) c->cycles[at] = c->cycles[at - 1], c->which[at] = c->which[at - 1];
    c->cycles[at] = cycles, c->which[at] = which;
}
void choice_offer(Choice *c, const BlockNest *b, double worth, double extra) {
    int number = c->offered++;
    for (unsigned pass = 0; pass <= (PASS_WEIGHTS | PASS_INPUTS); pass++) {
        Mapping m;
        nest_place(b, pass, &m);
        if (!mapping_legal(&m)) continue;
        bool full = c->n == c->most;
        double last = full ? c->cycles[c->n - 1] : 0;
        if (full && mapping_steps(&m, b->evened) * worth + extra >= last) return;
        double cycles = mapping_cycles(&m, b->evened) * worth + extra;
        if (!full || cycles < last) keep(c, cycles, number);
    }
}
Mapping *choice_mapping(Arena *a, const BlockNest *b) {
    Mapping *best = NEW(a, Mapping), m;
    double least = -1;
    for (unsigned pass = 0; pass <= (PASS_WEIGHTS | PASS_INPUTS); pass++) {
        nest_place(b, pass, &m);
        double cycles = mapping_legal(&m) || pass == 0 ? mapping_cycles(&m, b->evened) : -1;
        if (cycles >= 0 && (least < 0 || cycles < least)) *best = m, least = cycles;
    }
    return best;
}
enum { REMEMBERED = 64, ANSWER = 64 };
typedef struct Answer {
    uint64_t hash;
    int64_t of[16];
    char kind;
    int n;
    unsigned char bytes[CHOICES * ANSWER];
} Answer;
static _Thread_local Answer remembered[REMEMBERED];
static Answer *answer_of(const Question *q, uint64_t *hash) {
    const unsigned char *b = (const unsigned char *)q->t;
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < sizeof *q->t; i++) h = (h ^ b[i]) * 1099511628211u;
    for (int i = 0; i < 16; i++) h = (h ^ (uint64_t)q->of[i]) * 1099511628211u;
    *hash = h ^= h >> 29;
    return &remembered[h % REMEMBERED];
}
bool choice_known(const Question *q, void *answer, size_t size, int *n) {
    uint64_t hash;
    const Answer *x = answer_of(q, &hash);
    if (x->kind != q->kind || x->hash != hash || memcmp(x->of, q->of, sizeof q->of) != 0) return false;
    *n = x->n;
    memcpy(answer, x->bytes, size * (size_t)x->n);
    return true;
}
void choice_remember(const Question *q, const void *answer, size_t size, int n) {
    uint64_t hash;
    Answer *x = answer_of(q, &hash);
    if (size > ANSWER || n > CHOICES) BUG("an answer of %d times %zu bytes is too long to be remembered", n, size);
    x->hash = hash, x->kind = q->kind, x->n = n;
    memcpy(x->of, q->of, sizeof q->of);
    memcpy(x->bytes, answer, size * (size_t)n);
}
void blocks_half(const Target *t, Target *half) {
    *half = *t;
    for (int l = 0; l < t->nlevel; l++) {
        TargetLevel *v = &half->level[l];
        v->words *= 2, v->word_bits /= 2, v->read_bw *= 2, v->write_bw *= 2;
        for (int i = 0; i < 3; i++) v->part[i] *= 2;
        if (l == t->nlevel - 1) v->fan_x *= 2, v->fan *= 2;
    }
}
char *mapping_line(Arena *a, const Mapping *m) {
    Text t = {0};
    mapping_print_line(m, &t);
    char *s = arena_strdup(a, t.s ? t.s : "");
    text_free(&t);
    return s;
}
