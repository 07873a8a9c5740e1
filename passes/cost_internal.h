/* SPDX-License-Identifier: Apache-2.0 */
/* cost_internal.h: the counts of ragged mappings (cost_ragged.c), which cost.c prices like all others. */
#ifndef QN_COST_INTERNAL_H
#define QN_COST_INTERNAL_H
#include "cost.h"

/* Fills accesses, instances and units; macs and cycles_compute are set before. */
void ragged_counts(const Mapping *m, Counting how, int outside, MappingCounts *c); /* of levels outside that one */
/* mapping_distinct_words by a walk of each axis's indices: for ragged loops, and tiles that interleave. */
int64_t walked_distinct(const Mapping *m, int level, int tensor);
/* Energies, cycles, bits and the effect of zeros and widths (cost_price.c), from accesses, instances, macs and cycles_compute. */
void price_counts(const Mapping *m, Counting how, MappingCounts *c);
/* What no mapping can go below: the multiply-adds over all units, each word once through the outermost level. */
void price_floor(const Problem *p, const Target *t, double *energy, double *cycles);
/* True if units below the level that need the same word of the tensor each cost an access. */
static inline bool no_sharing(const Mapping *m, int level, int tensor) {
    return (m->target->level[level].no_multicast & m->problem->tensor[tensor].role) != 0;
}
#endif
