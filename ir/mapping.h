/* SPDX-License-Identifier: Apache-2.0 */
/* mapping.h: a contraction as a Problem (dimensions, operands, affine projections) and a Mapping of its loops onto the memory
 * levels and parallel units of a Target. One mapping is scored (passes/cost.h), becomes a schedule (mapping_schedule) and is
 * what accelerator commands are made from.
 *
 * Text form, one line a level, outermost first; `for` are the loops that run at the level, outermost first, each iteration
 * handing a tile to the next inner level; `spread` are the loops over parallel units below it:
 *   mapping gemm_512 on x86_avx512
 *   DRAM keeps A B C: for N 16, M 64
 *   L1 keeps A B C:
 *   regs keeps C: for K 512, M 8, N 2; spread N 16 x */
#ifndef QN_MAPPING_H
#define QN_MAPPING_H
#include "target.h"

enum { QN_MAX_DIMS = 12, QN_MAX_TENSORS = 4, QN_MAX_AXES = 8, QN_MAX_TERMS = 3, QN_MAX_LEVEL_LOOPS = 16 };

/* ---- problem: for every point of the dims, one multiply-add: out[...] += product of the inputs */
typedef struct ProblemAxis { /* index = sum of coef * dim; always >= 0 */
    int n;
    int dim[QN_MAX_TERMS];
    int64_t coef[QN_MAX_TERMS]; /* > 0 */
} ProblemAxis;
typedef struct ProblemTensor {
    const char *name;
    unsigned role; /* one ROLE_ bit; exactly one tensor has ROLE_O, and each of its axes is one dim with coefficient 1 */
    int rank;
    ProblemAxis axis[QN_MAX_AXES];
    int bits;       /* of a word; 0: a word of whatever level holds it */
    double density; /* part that is not zero, 0: not stated, all of it */
    bool apart;     /* neighbours in a block of sums lie in lines far apart, which nothing asks for ahead: rows of a matrix */
    bool on_chip;   /* a fused neighbour makes or uses it: nothing of it crosses the outermost level */
} ProblemTensor;
typedef struct Problem {
    const char *name;
    int ndim, ntensor;
    const char *dim[QN_MAX_DIMS]; /* names */
    int64_t extent[QN_MAX_DIMS];
    ProblemTensor tensor[QN_MAX_TENSORS];
    const char *dtype; /* what is multiplied, as in a target's `compute`; NULL: not stated */
} Problem;

/* C[m,n] += A[m,k] * B[k,n]; roles O, I, W. */
Problem *problem_gemm(Arena *a, const char *name, int64_t m, int64_t n, int64_t k);
/* A convolution in the survey's letters: O[n,g,m,e,f] += I[n,g,c,UE*e+DR*r,UF*f+DS*s] * W[g,m,c,r,s]; input padding is part
 * of I; m and c are per group, and without groups there is no dim G. Depthwise: O[n,c,e,f] += I[n,c,…] * W[c,r,s], no M. What is
 * counted as a multiply-add is one such step, whatever it computes. */
typedef struct ConvShape {
    int64_t n, g, m, c, e, f, r, s;           /* 0 means 1 */
    int64_t stride_e, stride_f, dil_r, dil_s; /* 0 means 1 */
    bool depthwise;
    bool pool;  /* depthwise without weights: each output is made of R x S inputs of its channel */
    bool pairs; /* a pool of one input each with a second operand W[n,c,e,f]: additions and products of two tensors */
} ConvShape;
Problem *problem_conv(Arena *a, const char *name, const ConvShape *s);
struct Node;
Problem *mapped_problem(Arena *a, const struct Node *n); /* of a node MappedSum (ops/mapped.c) */
bool problem_check(Diags *d, Loc loc, const Problem *p); /* extents and products in range, projections well formed */
int problem_dim(const Problem *p, const char *name);     /* index, or -1 */
int problem_tensor(const Problem *p, const char *name);
int64_t problem_macs(const Problem *p);
/* Words of the box that a tensor's projection touches when each dim has the given extent. */
int64_t problem_box(const Problem *p, int tensor, const int64_t *extent);

/* ---- mapping */
typedef struct MapLoop {
    int dim;
    int64_t factor;
    char axis;   /* 0 temporal, 'x' or 'y' spatial */
    bool ragged; /* the last iteration may be short */
} MapLoop;
typedef struct MapLevel {
    int ntemporal, nspatial;
    MapLoop temporal[QN_MAX_LEVEL_LOOPS]; /* outermost first */
    MapLoop spatial[QN_MAX_LEVEL_LOOPS];
    unsigned keep; /* bit i: tensor i of the problem has a tile here */
    int64_t place; /* in its file, for messages (loc_place); 0: none */
} MapLevel;
typedef struct Mapping {
    const Problem *problem;
    const Target *target;
    MapLevel level[QN_MAX_LEVELS]; /* target->nlevel of them */
} Mapping;
/* Everything kept where the target can, all loops at the outermost level in the problem's order. Always legal but for capacity. */
Mapping *mapping_new(Arena *a, const Problem *p, const Target *t);
void mapping_default_keep(Mapping *m);

/* Text form. Errors name file and line. Levels that are not mentioned have no loops and the target's keeps. */
Mapping *mapping_parse(Ctx *c, const char *file, const char *text, const Problem *p, const Target *t);
void mapping_print(const Mapping *m, Text *out);
/* The form on one line, without line end; `~` marks a ragged loop, `:W,I` what a level keeps if that is not all it can:
 *   DRAM[N4 M2 E8~ C3] GLB[M3 F55 | E7x R11y M2y] SpadI[] SpadW[] SpadO[S11 M16]
 * Ragged loops come first among the spatial ones of a level. */
Mapping *mapping_parse_line(Ctx *c, const char *file, const char *text, const Problem *p, const Target *t);
void mapping_print_line(const Mapping *m, Text *out);

/* What is wrong with a mapping. */
typedef struct MapViolation {
    int level, tensor; /* tensor -1: all kept tensors together */
    int64_t need_words, capacity_words;
} MapViolation;
typedef struct MapViolations {
    Vec(MapViolation) list;
} MapViolations;
/* Legal: factors multiply to the extents, spatial factors fit the fan-outs, tiles fit the capacities, only tensors that a level
 * can keep are kept, the outermost keeps all. Every problem is reported at loc, with the place of the level where it has one; `v`, if not
 * NULL, lists the capacity ones. */
bool mapping_check(Ctx *c, Loc loc, const Mapping *m, MapViolations *v);
/* The same without words, for search: true if legal. */
bool mapping_legal(const Mapping *m);

/* ---- capacities (mapping_fit.c). Levels are added one by one with the extents of their tiles; levels that share a memory add up. */
typedef struct MapFit {
    int64_t used[QN_MAX_LEVELS];                   /* words of the level that owns the memory */
    int64_t tensor[QN_MAX_LEVELS][QN_MAX_TENSORS]; /* words that one tensor takes in a level, all buffers */
} MapFit;
void map_fit_level(MapFit *f, const Problem *p, const Target *t, int level, unsigned keep, const int64_t *extent);
/* By how much the memories are too small: 0 if all fits, else the sum of need / capacity of those that overflow. `v`, if not NULL,
 * lists them (arena a). */
double map_fit_over(const MapFit *f, const Problem *p, const Target *t, Arena *a, MapViolations *v);

/* A dim's loops, outermost first, each with the extent it covers and that of one iteration. Without ragged loops these are
 * products of factors; a ragged loop covers what is left with the product of the factors inside it, the last time less. false: the
 * factors do not fit the extent, or an iteration would be empty. */
enum { QN_MAX_CHAIN = 2 * QN_MAX_LEVELS * 4 };
typedef struct MapChain {
    int n;
    struct {
        int level;
        MapLoop loop;
        int64_t covers, step;
    } link[QN_MAX_CHAIN];
} MapChain;
bool mapping_chain(const Mapping *m, int dim, MapChain *out);
bool mapping_ragged(const Mapping *m);        /* has a ragged loop */
bool mapping_may_be_ragged(const Problem *p); /* its axes are short enough to be walked */

/* Extent of each dim inside one tile of a level (its own loops and all inside it). level == nlevel: all 1. */
void mapping_tile(const Mapping *m, int level, int64_t *extent);

/* ---- mapping -> schedule: the steps, one a line (grammar: ir/sched.h), that turn the naive nests of a contraction into the
 * mapped one. The naive form is three nests in one block, over a temporary that holds the sums:
 *   for m_i, n_i: acc[m_i,n_i] = bias[n_i]          init
 *   for m_a, n_a, k: acc[m_a,n_a] += a * b          sum
 *   for m, n: c[m,n] = max(acc[m,n], 0)             store
 * The loops outside the innermost tile of sums go to `store`, the other two nests move into it and run at that tile. */
typedef struct MapNames {
    const char *sum[QN_MAX_DIMS];       /* loop of each dim in the nest that sums; NULL: there is none, the extent is 1 */
    const char *init[QN_MAX_DIMS];      /* in the nest that sets the sums; output dims only */
    const char *store[QN_MAX_DIMS];     /* in the nest that stores the result; output dims only */
    const char *tensor[QN_MAX_TENSORS]; /* buffers; the output's is the temporary */
} MapNames;
/* The names above: dim M is m in `store`, m_a in `sum`, m_i in `init`; a dim that is summed over is k in `sum`. */
void mapping_names(Arena *a, const Problem *p, MapNames *out);
/* Where the temporary is to live: true if its tile is one of registers (MEM_REG), else it is MEM_SCRATCH. */
bool mapping_sums_in_regs(const Mapping *m);
char *mapping_schedule(Arena *a, const Mapping *m, const MapNames *names);
#endif
