/* SPDX-License-Identifier: Apache-2.0 */
/* cost_cpu.c: cycles that a processor's core takes for a mapping: its steps, and the words that move between its memories.
 *
 * A step is one pass through the loops at the registers. It takes as long as the slowest of its multiply-adds (`compute`), its loads
 * (each vector or broadcast is an access of a vector's width to the level above), and the `latency` of the sums it adds to; `step_cycles`
 * on top. Blocks at the ends of dims are smaller: each size is a case of its own, as often as it occurs. Words between memories are
 * those of mapping_counts; a level's time is hidden behind the steps but for its `exposed` part, and nothing is faster than the slowest.
 *
 *   regs[F14 M2 | M16x] of 64 x 9 steps, two multiply-adds a cycle   ->   14.35 cycles a step; at F 56: 4 such blocks in a row
 *
 * Not seen: associativity (block lists keep to it), translation of addresses, and how a compiler orders what is inside a step.
 */
#include "cost.h"
#include <string.h>

enum { MAX_SIZES = 6 };
typedef struct Sizes { /* of a dim's part in a block, and how many blocks have it */
    int n;
    int64_t size[MAX_SIZES];
    double count[MAX_SIZES];
} Sizes;

static double larger(double a, double b) { return a > b ? a : b; }
static void add_size(Sizes *s, int64_t size, double count) {
    int i = 0;
    while (i < s->n && s->size[i] != size) i++;
    if (i == MAX_SIZES) s->count[MAX_SIZES - 1] += count; /* the smallest ones together */
    else if (i < s->n) s->count[i] += count;
    else s->size[i] = size, s->count[i] = count, s->n++;
}
/* What the loops outside the registers leave of a dim. */
static void sizes_of(const Mapping *m, int dim, int regs, bool evened, Sizes *out) {
    MapChain c;
    *out = (Sizes){1, {m->problem->extent[dim]}, {1}};
    if (!mapping_chain(m, dim, &c)) return;
    for (int i = 0; i < c.n && c.link[i].level < regs; i++) {
        Sizes next = {0};
        int64_t step = c.link[i].step, f = c.link[i].loop.factor;
        bool last = i + 1 == c.n || c.link[i + 1].level >= regs;
        for (int k = 0; evened && last && k < out->n; k++) {
            int64_t blocks = min_i64(ceil_div(out->size[k], step), f), base = out->size[k] / blocks, wider = out->size[k] % blocks;
            if (wider) add_size(&next, base + 1, out->count[k] * (double)wider);
            add_size(&next, base, out->count[k] * (double)(blocks - wider));
        }
        for (int k = 0; !(evened && last) && k < out->n; k++) {
            if (out->size[k] / step) add_size(&next, step, out->count[k] * (double)(out->size[k] / step));
            if (out->size[k] % step) add_size(&next, out->size[k] % step, out->count[k]);
        }
        *out = next;
    }
}
static bool uses(const ProblemTensor *t, int dim) {
    for (int a = 0; a < t->rank; a++)
        for (int i = 0; i < t->axis[a].n; i++)
            if (t->axis[a].dim[i] == dim) return true;
    return false;
}
static double rate_of(const Problem *p, const Target *t) {
    for (int i = 0; i < t->ncompute; i++)
        if (strcmp(t->compute[i].dtype, p->dtype ? p->dtype : "float32") == 0) return t->compute[i].macs_per_cycle;
    return 1;
}
typedef struct Steps {
    const Mapping *m;
    int regs, output;
    int64_t lanes[QN_MAX_DIMS], width; /* of the loops that are spread below the registers; their product */
    double rate, ports;                /* vectors of multiply-adds, and loads, in a cycle; ports 0: any number */
    Sizes of[QN_MAX_DIMS];
} Steps;
/* A step with so many elements of each dim. */
static double step_cycles(const Steps *s, const int64_t *size) {
    const Problem *p = s->m->problem;
    double macs = 1, loads = 0, chain = s->m->target->latency;
    for (int d = 0; d < p->ndim; d++) {
        double vectors = (double)ceil_div(size[d], s->lanes[d]);
        macs *= vectors;
        if (!uses(&p->tensor[s->output], d)) chain *= vectors;
    }
    for (int t = 0; t < p->ntensor; t++) {
        double n = 1;
        if (t == s->output) continue;
        for (int d = 0; d < p->ndim; d++)
            if (uses(&p->tensor[t], d)) n *= (double)ceil_div(size[d], s->lanes[d]);
        loads += n;
    }
    double time = macs / s->rate;
    if (s->ports > 0) time = larger(time, loads / s->ports);
    return larger(time, chain) + s->m->target->step_cycles;
}
/* Over all combinations of sizes. */
static double all_steps(const Steps *s, int dim, int64_t *size, double count) {
    const Problem *p = s->m->problem;
    if (dim == p->ndim) return count * step_cycles(s, size);
    double sum = 0;
    for (int i = 0; i < s->of[dim].n; i++) {
        size[dim] = s->of[dim].size[i];
        sum += all_steps(s, dim + 1, size, count * s->of[dim].count[i]);
    }
    return sum;
}
/* Cycles between the steps of one block of sums and of the next: those are stored, these loaded. It begins as often as there are
 * iterations of the loops outside the registers down to the innermost one that moves it. */
static double blocks_of(const Steps *s) {
    double all = 1, blocks = 1;
    for (int l = 0; l < s->regs; l++)
        for (int i = 0; i < s->m->level[l].ntemporal; i++) {
            const MapLoop *x = &s->m->level[l].temporal[i];
            all *= (double)x->factor;
            if (uses(&s->m->problem->tensor[s->output], x->dim)) blocks = all;
        }
    double sums = 1, store = s->m->target->level[s->regs - 1].write_bw / (double)s->width;
    for (int d = 0; d < s->m->problem->ndim; d++)
        if (uses(&s->m->problem->tensor[s->output], d)) sums *= (double)ceil_div(s->of[d].size[0], s->lanes[d]);
    double time = s->m->target->block_cycles + (s->ports > 0 ? sums / s->ports : 0) + (store > 0 ? sums / store : 0);
    return blocks * time;
}
static bool steps_init(const Mapping *m, unsigned evened, Steps *s) {
    const Target *t = m->target;
    memset(s, 0, sizeof *s);
    s->m = m, s->regs = t->nlevel - 1, s->width = 1;
    if (s->regs < 1) return false;
    for (int d = 0; d < m->problem->ndim; d++) s->lanes[d] = 1, sizes_of(m, d, s->regs, evened >> d & 1, &s->of[d]);
    const MapLevel *v = &m->level[s->regs];
    for (int i = 0; i < v->nspatial; i++) s->lanes[v->spatial[i].dim] *= v->spatial[i].factor;
    for (int i = 0; i < m->problem->ntensor; i++)
        if (m->problem->tensor[i].role == ROLE_O) s->output = i;
    s->width = level_fan(&t->level[s->regs]);
    s->rate = rate_of(m->problem, t), s->ports = t->level[s->regs - 1].read_bw / (double)s->width;
    return true;
}
double mapping_steps(const Mapping *m, unsigned evened) {
    Steps s;
    int64_t size[QN_MAX_DIMS];
    return steps_init(m, evened, &s) ? all_steps(&s, 0, size, 1) + blocks_of(&s) : 0;
}
/* Cycles in which the words between a level and the next one move, and how many of them stay open. One unit of several below a level has
 * its share of the bandwidth. */
static double level_time(const Mapping *m, const MappingCounts *c, int l, double *open) {
    const TargetLevel *v = &m->target->level[l];
    double all = 0, used = (double)c->instances[l + 1] / (double)level_fan(v);
    for (int t = 0; t < m->problem->ntensor; t++) {
        double time = v->read_bw > 0 ? (double)c->at[l][t].reads / (v->read_bw * used) : 0;
        if (v->write_bw > 0) time += (double)c->at[l][t].updates / (v->write_bw * used);
        all += time, *open += time * (m->problem->tensor[t].apart ? v->apart : v->exposed);
    }
    return all;
}
double mapping_cycles(const Mapping *m, unsigned evened) {
    MappingCounts c;
    int regs = m->target->nlevel - 1;
    double time = mapping_steps(m, evened), open = 0;
    mapping_words_outside(m, regs - 1, &c);
    for (int l = 0; l + 1 < regs; l++) {
        double moved = level_time(m, &c, l, &open);
        time = larger(time, moved);
    }
    return time + open;
}
/* Products in blocks share what a step takes beside them; what remains, with blocks that are not full, is about half of it for each. */
double step_price(const Target *t, bool products) {
    const int regs = t->nlevel - 1;
    const Problem p = {0};
    const double rate = rate_of(&p, t), loads = regs > 0 ? t->level[regs - 1].read_bw / (double)level_fan(&t->level[regs]) : 0;
    if (products) return (1 + t->step_cycles / 2) / rate;
    return larger(1 / rate, loads > 0 ? 1 / loads : 0) + t->step_cycles;
}
static double per_word(double words) { return words > 0 ? 1 / words : 0; }
/* A line is loaded before a part of it is stored. */
double store_price(const Target *t, int level, bool products) {
    const TargetLevel *v = &t->level[level];
    return products ? per_word(v->read_bw) + per_word(v->write_bw) : v->alone * per_word(v->read_bw);
}
double load_price(const Target *t, int level, bool products) {
    return (products ? 1 : t->level[level].alone) * per_word(t->level[level].read_bw);
}
