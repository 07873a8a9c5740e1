/* SPDX-License-Identifier: Apache-2.0 */
/* explore.h: looks for the mapping of a problem onto a target that needs the least energy, time, or product of both. */
#ifndef QN_EXPLORE_H
#define QN_EXPLORE_H
#include "cost.h"

typedef enum Objective { OBJ_ENERGY, OBJ_DELAY, OBJ_EDP } Objective;
extern const char *const objective_name[3]; /* energy delay edp */

/* What stays in the array while the outermost level's loops stand still: per operand, words that arrive in the levels inside the
 * spatial loops (at the outermost of them that keeps it) and different words that each instance ever holds, summed over the instances.
 * Equal: the operand is stationary. Both are 0 if no such level keeps it. */
typedef struct Stationary {
    int64_t fills[QN_MAX_TENSORS], distinct[QN_MAX_TENSORS];
} Stationary;
void mapping_stationary(const Mapping *m, Stationary *out);
int mapping_pe_level(const Target *t); /* the outermost level inside the spatial loops; nlevel: none */

typedef struct SearchResult {
    bool found;   /* a legal mapping was found */
    bool optimal; /* no other mapping of the space is better */
    int64_t evals;
    double seconds, value, lower_bound; /* of the objective */
    uint64_t seed;
} SearchResult;
#endif
