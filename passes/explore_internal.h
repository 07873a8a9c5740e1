/* SPDX-License-Identifier: Apache-2.0 */
/* explore_internal.h: the space (explore_space.c) that annealing (explore_chain.c, explore_search.c) and enumeration (explore_exact.c)
 * share. */
#ifndef QN_EXPLORE_INTERNAL_H
#define QN_EXPLORE_INTERNAL_H
#include "explore.h"

enum { MAX_SLOTS = 3 * QN_MAX_LEVELS, MAX_PRIMES = 64 };
typedef struct Slot { /* the temporal loops of a level, or one axis of what it spreads over */
    int level;
    char axis; /* 0 temporal, 'x', 'y' */
} Slot;
typedef struct Prime {
    int dim;
    int64_t f;
} Prime;
typedef struct Space {
    const Problem *problem;
    const Target *target;
    const SearchSpec *spec;
    int nslot, nprime;
    Slot slot[MAX_SLOTS];        /* by level; the temporal one of a level before its axes */
    Prime prime[MAX_PRIMES];     /* of all extents */
    int temporal[QN_MAX_LEVELS]; /* slot of a level's own loops */
    bool allowed[QN_MAX_DIMS][MAX_SLOTS];
    int nmay[QN_MAX_DIMS], may[QN_MAX_DIMS][MAX_SLOTS]; /* the same as lists */
    Mapping shape;                                      /* what the levels keep, at most */
    unsigned free[QN_MAX_LEVELS];                       /* tensors (a bit each) that a level need not keep */
    int nfree;
    const Problem *real;       /* not the same as `problem`: extents are rounded up (explore_pad.c) */
    bool may_pad[QN_MAX_DIMS]; /* a dim's extent may be */
    double scale;              /* multiply-adds of the real problem / of the padded one */
} Space;
typedef struct Point {
    int64_t factor[QN_MAX_DIMS][MAX_SLOTS];
    unsigned char order[QN_MAX_LEVELS][QN_MAX_DIMS]; /* dims, outermost first */
    unsigned char keep[QN_MAX_LEVELS];
} Point;

/* Values from here on are of mappings that are not legal: the larger, the further from it. */
#define NOT_LEGAL 1e200

void space_init(Space *s, const Problem *p, const Target *t, const SearchSpec *spec);
bool space_primes(Space *s, int dim, int64_t extent);                 /* adds those of a dim; false: there are too many */
void point_mapping(const Space *s, const Point *x, Mapping *scratch); /* scratch: zeroed once */
double point_illegal(const Space *s, const Point *x);                 /* 0: capacities and fan-outs are kept to, no iteration is empty */
double point_value(const Space *s, const Point *x, Mapping *scratch);
double search_now(void);
double spec_floor(const SearchSpec *s, const Problem *p, const Target *t);

/* ---- one chain (explore_chain.c) */
typedef struct Chain { /* what became of it */
    Point best;
    double value; /* exact */
    int64_t evals;
} Chain;
typedef struct ChainSpec {
    uint64_t seed;      /* not 0 */
    const Point *start; /* NULL: everything at the outermost level, in an order that the seed gives */
    double hot;         /* temperature at the start */
    bool toggles;       /* what levels keep changes, where it is free */
    bool pads;          /* extents are rounded up */
    int64_t evals;
    double deadline;                            /* 0: none */
    void (*show)(void *user, const Chain *now); /* NULL: none; now and then */
    void *user;
} ChainSpec;
void chain_run(const Space *s, const ChainSpec *c, Chain *out);
uint32_t space_random(uint64_t *state, uint32_t n); /* less than n > 0 */

/* ---- extents rounded up (explore_pad.c) */
typedef struct PadSpace { /* the space of points of the same extents; it points into itself: not to be copied */
    Space s;
    Problem problem;
} PadSpace;
bool space_of(const Space *base, const Point *x, PadSpace *out); /* false: the extents have too many factors */
bool pad_change(const Space *s, Point *x, uint64_t *random);     /* a move: another extent of a dim; false: none */
void pad_fill(const Space *s, Point *x, int slot, uint64_t *random);
typedef struct Ragged { /* slot -1: none */
    int slot;
    int64_t left; /* of the dim at that loop */
} Ragged;
bool ragged_slot(const Space *s, const Point *x, int d, Ragged *r); /* false: an iteration would be empty */
void pad_mapping(const Space *s, const Point *x, Mapping *m);       /* of the real problem */
double pad_value(const Space *s, const Point *x, Mapping *m);       /* exact; m: zeroed once */

/* At most twice a second. `last`: when it was shown. */
void search_progress(const SearchSpec *s, double begin, double *last, int64_t evals, double value);
/* True if the dataflow lets the dim have a factor at this level and axis. */
bool dataflow_slot(const Dataflow *f, const Problem *p, int dim, int level, char axis, int pe);

/* Walks the whole space with bounds. `best` and `value` are the best known on entry. false: `evals` or the deadline (0: none) ran out. */
bool space_walk(const Space *s, int64_t evals, double begin, double deadline, Point *best, double *value, int64_t *used);
double space_size(const Space *s);                               /* factorisations and what is kept, orders left out */
void run_threads(int threads, void *(*work)(void *), void *arg); /* the caller is one of them */
#endif
