/* SPDX-License-Identifier: Apache-2.0 */
/* cost_internal.h: the counts of ragged mappings (cost_ragged.c), which cost.c prices like all others. */
#ifndef QN_COST_INTERNAL_H
#define QN_COST_INTERNAL_H
#include "cost.h"

/* Fills accesses, instances and units; macs and cycles_compute are set before. */
void ragged_counts(const Mapping *m, Counting how, MappingCounts *c);
#endif
