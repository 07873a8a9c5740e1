/* SPDX-License-Identifier: Apache-2.0 */
/* cost_price.c: what counted accesses cost: energy, cycles, bits on the outermost level; and what zeros and the widths of operands
 * change. Without densities and widths every factor is 1, and the numbers are those of dense words to the last bit.
 *   gate: [I], density of I 0.4   ->  multiply-adds, reads of W and reads and updates of O in the PE: 0.4 of them */
#include "cost_internal.h"
#include <math.h>
#include <string.h>

static double density_of(const ProblemTensor *t) { return t->density > 0 ? t->density : 1; }

/* What zeros leave of the multiply-adds (*mac), of the cycles, and of what each tensor hands to and from the multiply-adds. */
static void zeros(const Problem *p, const Target *t, double *mac, double *cycles, double *register_part) {
    *mac = *cycles = 1;
    for (int i = 0; i < p->ntensor; i++) register_part[i] = 1;
    unsigned stop = t->gate | t->skip;
    if (!stop) return;
    for (int i = 0; i < p->ntensor; i++) {
        double d = density_of(&p->tensor[i]);
        if (p->tensor[i].role == ROLE_O || !(stop & p->tensor[i].role)) continue;
        *mac *= d;
        if (t->skip & p->tensor[i].role) *cycles *= d;
        for (int k = 0; k < p->ntensor; k++)
            if (k != i) register_part[k] *= d;
    }
}
/* The innermost level that keeps the tensor, if it is inside the array; -1: none. */
static int register_level(const Mapping *m, int tensor) {
    const Target *t = m->target;
    for (int l = t->nlevel - 1; l > 0; l--)
        if (m->level[l].keep >> tensor & 1) return l == 0 || target_instances(t, l) > 1 || t->level[l].kind == LEVEL_REGS ? l : -1;
    return -1;
}
/* Bits of one word of a tensor at the outermost level. */
static double outer_word_bits(const Target *m, const ProblemTensor *t) {
    int bits = t->bits ? t->bits : m->level[0].word_bits;
    double coded = density_of(t) * run_length_bits(bits);
    return m->run_length & t->role && coded < bits ? coded : bits;
}
static const TargetCompute *compute_of(const Problem *p, const Target *t) {
    for (int i = 0; p->dtype && i < t->ncompute; i++)
        if (strcmp(t->compute[i].dtype, p->dtype) == 0) return &t->compute[i];
    return NULL;
}
static int64_t cycles_at(double words, double bw, int64_t instances) {
    return bw > 0 ? (int64_t)ceil(words / (bw * (double)instances)) : 0;
}
static void price_level(const Mapping *m, Counting how, int l, const double *width, MappingCounts *c) {
    const TargetLevel *t = &m->target->level[l];
    double reads = 0, fills = 0, updates = 0;
    for (int i = 0; i < m->problem->ntensor; i++) {
        const Access *x = &c->at[l][i];
        reads += (double)x->reads * width[i], fills += (double)x->fills * width[i], updates += (double)x->updates * width[i];
    }
    double writes = fills + updates, paid = how == COUNT_SURVEY ? updates : writes;
    c->energy_level[l] = reads * t->read_energy + paid * t->write_energy;
    c->energy += c->energy_level[l];
    c->cycles = max_i64(c->cycles, cycles_at(reads, t->read_bw, c->instances[l]));
    c->cycles = max_i64(c->cycles, cycles_at(writes, t->write_bw, c->instances[l]));
}
/* Words that each network carries to and from the units below it. */
static double network_energy(const Mapping *m, const MappingCounts *c) {
    double sum = 0;
    for (int l = 0; l < m->target->nlevel; l++) {
        if (m->target->level[l].network_energy == 0) continue;
        for (int i = 0; i < m->problem->ntensor; i++) {
            int64_t words = c->macs;
            for (int k = l + 1; k < m->target->nlevel; k++)
                if (m->level[k].keep >> i & 1) {
                    words = c->at[k][i].fills;
                    break;
                }
            sum += m->target->level[l].network_energy * (double)words;
        }
    }
    return sum;
}
void price_counts(const Mapping *m, Counting how, MappingCounts *c) {
    const Problem *p = m->problem;
    const Target *t = m->target;
    const TargetCompute *unit = compute_of(p, t);
    double mac, cycles, part[QN_MAX_TENSORS], width[QN_MAX_TENSORS];
    zeros(p, t, &mac, &cycles, part);
    c->outer_words = 0, c->outer_bits = 0;
    for (int i = 0; i < p->ntensor; i++) { /* what a fused neighbour leaves or takes is there already */
        if (!p->tensor[i].on_chip) continue;
        c->at[0][i].reads = c->at[0][i].fills = c->at[0][i].updates = 0;
        for (int l = 1; l < t->nlevel && p->tensor[i].role == ROLE_I; l++)
            if (m->level[l].keep >> i & 1) {
                c->at[l][i].fills = 0;
                break;
            }
    }
    for (int i = 0; i < p->ntensor; i++) {
        int64_t words = c->at[0][i].reads + c->at[0][i].updates;
        c->outer_words += words, c->outer_bits += (double)words * outer_word_bits(t, &p->tensor[i]);
        int l = part[i] == 1 ? -1 : register_level(m, i);
        if (l < 0) continue;
        Access *x = &c->at[l][i];
        x->reads = llround((double)x->reads * part[i]), x->updates = llround((double)x->updates * part[i]);
    }
    c->energy = c->energy_macs = (double)c->macs * (unit ? unit->energy : t->mac_energy) * mac;
    if (unit) cycles /= unit->macs_per_cycle;
    c->cycles = c->cycles_compute = cycles == 1 ? c->cycles_compute : (int64_t)ceil((double)c->cycles_compute * cycles - 1e-9);
    for (int l = 0; l < t->nlevel; l++) {
        for (int i = 0; i < p->ntensor; i++) {
            const ProblemTensor *x = &p->tensor[i];
            width[i] = l ? (x->bits ? (double)x->bits / t->level[l].word_bits : 1) : outer_word_bits(t, x) / t->level[0].word_bits;
        }
        price_level(m, how, l, width, c);
    }
    c->energy_network = network_energy(m, c);
    c->energy += c->energy_network;
}
void price_floor(const Problem *p, const Target *t, double *energy, double *cycles) {
    const TargetCompute *unit = compute_of(p, t);
    double mac, skipped, part[QN_MAX_TENSORS], macs = (double)problem_macs(p);
    zeros(p, t, &mac, &skipped, part);
    *energy = macs * (unit ? unit->energy : t->mac_energy) * mac;
    *cycles = ceil(macs * skipped / (unit ? unit->macs_per_cycle : 1) / (double)target_instances(t, t->nlevel) - 1e-9);
    for (int i = 0; i < p->ntensor; i++) {
        const ProblemTensor *x = &p->tensor[i];
        double words = 1;
        if (x->on_chip) continue;
        for (int a = 0; a < x->rank; a++) { /* strides may skip words */
            int64_t sum = 1;
            for (int k = 0; k < x->axis[a].n; k++) sum += p->extent[x->axis[a].dim[k]] - 1;
            words *= (double)sum;
        }
        words *= outer_word_bits(t, x) / t->level[0].word_bits;
        *energy += words * (x->role == ROLE_O ? t->level[0].write_energy : t->level[0].read_energy);
    }
}
