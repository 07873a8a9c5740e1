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

/* A dataflow as constraints on mappings; every field is optional. "PE" are the levels inside the spatial loops. */
typedef struct Dataflow {
    const char *name, *about;
    const char *spatial;   /* names of dims that may be spread over the array, separated by blanks; NULL: any */
    unsigned pe_keep;      /* ROLE_ bits that PE levels may keep */
    bool limits_keep;      /* pe_keep counts */
    unsigned pe_must;      /* ROLE_ bits that some PE level must keep */
    unsigned stationary;   /* ROLE_ bit whose fills at the PE equal its different words while the outermost loops stand still; 0: none */
    const char *whole;     /* a dim that is all spread, along one axis; NULL: none */
    const char *beside;    /* a dim of which part is along the other axis; NULL: none */
    const char *inside;    /* a dim that is all inside the PE; NULL: none */
    const char *innermost; /* the dim of the innermost loop outside the array, if it has a loop there; NULL: any */
} Dataflow;
/* Sets what levels keep as the dataflow wants it. */
void dataflow_keep(const Dataflow *f, Mapping *m);
int dataflow_faults(const Dataflow *f, const Mapping *m);  /* how many of its rules the mapping breaks */
bool dataflow_allows(const Dataflow *f, const Mapping *m); /* the mapping is of this dataflow */

/* What a user asks of mappings of one problem on one machine (explore_rules.c). */
typedef struct MapRules {
    struct {
        int64_t factor[QN_MAX_DIMS];                               /* 0: any */
        int64_t least[QN_MAX_DIMS], most[QN_MAX_DIMS];             /* bounds of it; 0: none */
        int64_t least_on[2][QN_MAX_DIMS], most_on[2][QN_MAX_DIMS]; /* spatial: of the part along x, along y */
        int norder, order[QN_MAX_DIMS];      /* temporal loops of these dims are the innermost, in this order, the innermost first */
        unsigned char not_axis[QN_MAX_DIMS]; /* spatial: 1: not along x, 2: not along y */
    } level[QN_MAX_LEVELS][2];               /* temporal, spatial */
    unsigned keep[QN_MAX_LEVELS], bypass[QN_MAX_LEVELS];
} MapRules;
bool rules_slot(const MapRules *r, int dim, int level, char axis); /* may the dim have a factor there? */
void rules_keep(const MapRules *r, Mapping *m);
int rules_faults(const MapRules *r, const Mapping *m); /* how many of them the mapping breaks */

typedef struct SearchSpec {
    Objective objective;
    double energy_weight, cycles_weight; /* not 0: their weighted sum is the objective instead */
    Counting counting;
    const Dataflow *flow;  /* NULL: any mapping */
    const MapRules *rules; /* NULL: none */
    bool bypass;           /* levels but caches may pass by what they could keep, where neither flow nor rules say more */
    int keeper;            /* > 0: but this level, which keeps all that it can */
    int64_t evals;         /* how many mappings to score; the result is the same for any number of threads */
    double seconds;        /* > 0: so long instead */
    uint64_t seed;
    int threads;
    const Mapping *start;       /* NULL: none; a mapping to improve on */
    bool fix_outer;             /* the outermost level has just these loops: `outer` of each dim, in their order */
    int64_t outer[QN_MAX_DIMS]; /* divisors of the extents */
    /* With several ranks each runs every ranks-th chain, and `gather` hands all of them the blocks of all; the result is the same for any
     * number. */
    int rank, ranks;
    int (*gather)(const void *block, size_t bytes, void *all);
    void (*progress)(void *user, int64_t evals, double seconds, double value); /* NULL: none; twice a second, by one thread */
    void *user;
} SearchSpec;
typedef struct SearchResult {
    bool found;   /* a legal mapping was found */
    bool optimal; /* no other mapping of the space is better */
    bool cached;  /* found by an earlier run */
    int64_t evals;
    double seconds, value, lower_bound; /* of the objective */
    uint64_t seed;
} SearchResult;

/* The space: whole factors of the extents at every level and along every axis, every order of the loops; levels keep what the target
 * can hold, less what the dataflow forbids, with `bypass` any part of it. Small spaces are searched to the end; in others some extents are
 * also rounded up, and the outermost loop of such a dim is ragged. false: no legal mapping was found. */
bool mapping_search(const Problem *p, const Target *t, const SearchSpec *s, Mapping *best, SearchResult *r);
/* ---- fused layers (explore_fuse.c) */
enum { QN_MAX_STACK = 4 };
typedef struct FusedLayer {
    const Problem *problem; /* the whole layer, alone */
    Problem inner;          /* the same as part of the stack */
    Mapping mapping;        /* of `inner` */
    MappingCounts counts;
} FusedLayer;
typedef struct FusedStack {
    int n, level;   /* the level that holds what is between the layers */
    int64_t strips; /* of the rows of every layer */
    FusedLayer layer[QN_MAX_STACK];
    double energy;
    int64_t cycles, dram_words;
} FusedStack;
int fuse_level(const Target *t);               /* the outermost shared level inside the outermost that keeps inputs and outputs; -1: none */
int64_t fuse_next_strips(const FusedStack *s); /* the next larger number of strips that is possible; 0: none */
/* Mappings of all layers for the given strips. false: they do not fit. */
bool fuse_map(FusedStack *s, const Target *t, const SearchSpec *spec);

double objective_value(Objective o, const MappingCounts *n);
double spec_value(const SearchSpec *s, const MappingCounts *n);
/* Nothing in the space is below it: the work over all units, each word moved once. */
double objective_floor(const Problem *p, const Target *t, Objective o);
#endif
