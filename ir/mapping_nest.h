/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_nest.h: mappings as loop nests over float32 tensors, one parameter per tensor of the problem in its order.
 *
 * mapping_naive: the three nests that mapping_schedule's steps are for. mapping_nest: those, scheduled.
 * mapping_trace: every level of the target is an array, and each word that moves is announced by a call. */
#ifndef QN_MAPPING_NEST_H
#define QN_MAPPING_NEST_H
#include "loop.h"
#include "mapping.h"

/* The target with what C has no registers for as arrays: registers of many units, or too many. */
const Target *mapping_soft_target(Arena *a, const Target *t);
Func *mapping_nest(Ctx *c, const Mapping *m, const char *name); /* NULL after errors */

/* The nest of a mapping as the machine would run it: time is the temporal loops, and in every step the instances of a level are
 * loops. A level is one scratch array [used instances, capacity]; the words of its operands lie side by side, a word of a tile at
 * its index modulo the tile's extents, so that words that stay do not move. S_CALL LOOP_ACCESS (loop.h) says what moves:
 * level, operand, kind, instance, offset in the instance's array (at the outermost level: in the tensor). Counts are those of
 * mapping_counts. NULL after errors. */
enum { ACCESS_READ, ACCESS_FILL, ACCESS_UPDATE };
Func *mapping_trace(Ctx *c, Loc loc, const Mapping *m, const char *name);

/* ---- mapping_walk.c: where the loops of a mapping are, as expressions. The values of its loops are given in the order of `loop`;
 * NULL stands for 0. Only loops of levels outside `level` count: the rest is inside the tile. */
enum { WALK_LOOPS = QN_MAX_LEVELS * 2 * QN_MAX_LEVEL_LOOPS };
typedef struct WalkLoop {
    int level, dim;
    int64_t factor, step;
    bool spatial;
} WalkLoop;
typedef struct Walk {
    Arena *a;
    const Mapping *m;
    bool ragged;
    int n;
    WalkLoop loop[WALK_LOOPS];                                 /* outermost first, factors of 1 left out */
    int nchain[QN_MAX_DIMS], chain[QN_MAX_DIMS][QN_MAX_CHAIN]; /* a dim's loops, outermost first */
    int64_t covers[WALK_LOOPS];                                /* extent of a loop's dim outside it, if the loop is ragged; else 0 */
    int64_t tile[QN_MAX_LEVELS + 1][QN_MAX_DIMS];              /* extents of the tiles; the last row: 1 */
    int64_t len[QN_MAX_LEVELS + 1][QN_MAX_TENSORS][QN_MAX_AXES];
} Walk;
bool walk_init(Walk *w, Arena *a, const Mapping *m); /* false: the factors do not fit */
const char *walk_name(const Walk *w, int loop);      /* for its variable: the dim and the place in its chain */
char *walk_lower(Arena *a, const char *name);        /* a name of a level, operand or dim as a part of identifiers */
bool walk_uses(const Walk *w, int tensor, int dim);
Expr *walk_start(const Walk *w, int level, int tensor, int axis, Expr *const *value);  /* index at which the tile starts */
Expr *walk_length(const Walk *w, int level, int tensor, int axis, Expr *const *value); /* of the tile; less at ragged ends */
/* Has the instance work at these values? Of dims with a bit in `dims` only; NULL: always. */
Expr *walk_present(const Walk *w, int level, unsigned dims, Expr *const *value);
Expr *walk_instance(const Walk *w, int level, Expr *const *value); /* its number among the used ones */
int64_t walk_instances(const Walk *w, int level);
#endif
