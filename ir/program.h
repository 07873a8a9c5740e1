/* SPDX-License-Identifier: Apache-2.0 */
/* program.h: a lowered and planned model: kernels in order, and where every tensor lives. */
#ifndef QN_PROGRAM_H
#define QN_PROGRAM_H
#include "loop.h"

typedef struct Guard { /* a bool scalar, and what it has to be */
    Tensor *cond;
    bool want;
} Guard;

typedef struct Kernel {
    Func *f;
    Vec(Node *) nodes;    /* the graph nodes it computes, in order */
    Vec(Tensor *) arg;    /* per f->param: the tensor whose *base* storage is handed over (NULL: scratch) */
    Vec(int64_t) scratch; /* per f->param: arena byte offset of scratch (else -1) */
    Vec(int) inplace;     /* pairs y, x of parameters: y may take over x's storage (found on the nest before scheduling: a
                           * schedule must not compute an element of y twice) */
    int64_t macs;
    Tensor *loop;       /* of the first kernel of a loop: what says after it, and after `loop_end`, whether an iteration runs */
    bool loop_end;      /* the last kernel of a loop */
    const char *strips; /* its outermost loop, if iterations need nothing of one another and all scratch is for one of them; or NULL */
    Vec(Guard) guard;   /* it runs only where all of these say so */
} Kernel;

static inline bool kernel_writes(const Kernel *k, const Tensor *t) {
    for (int i = 0; i < k->arg.n; i++)
        if (k->arg.v[i] == t && k->f->param.v[i]->written) return true;
    return false;
}

/* One program a target; those after the first differ in nothing but kernels: the same nodes in each, and places for their scratch. */
typedef struct Program Program;
struct Program {
    Graph *g;
    const struct Target *target; /* NULL: any C99 compiler */
    Program *next;               /* for the next target, or NULL */
    Vec(Kernel *) k;
    Vec(Tensor *) consts;  /* base tensors with ST_CONST, in order of addr */
    int64_t weights_bytes; /* the constants' image, each aligned to 64 */
    int64_t arena_bytes;   /* state + tensors + scratch, multiple of 64 */
    int64_t state_bytes;   /* at the arena's start */
    int64_t lower_bound;   /* largest sum of bytes live during one kernel, its scratch and the state included */
    int64_t scratch_bytes; /* largest scratch of one kernel */
    int64_t macs;
};
#endif
