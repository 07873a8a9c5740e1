/* SPDX-License-Identifier: Apache-2.0 */
/* vectorise.h: the default schedule of kernels for targets with vectors, for which tile.def has no better one. */
#ifndef QN_PASSES_VECTORISE_H
#define QN_PASSES_VECTORISE_H
#include "internal.h"
#include "ir/target.h"

/* vectorise.c: loops over neighbouring elements become vector loops, reductions get one sum per lane. */
/* t decides which loops and in what order sums are added; transposes go through the registers of `own`. */
void vectorise(Func *f, const Target *t, const Target *own);

/* vec_flat.c: buffers become one-dimensional and loops that run over neighbours of each other one loop. */
void vec_flatten(Func *f);

/* vec_raw.c: elements that are only moved are integers of their size. */
void vec_raw(Func *f);

/* vec_split.c: loops part where the outcome of a test changes. */
void vec_split(Func *f);

/* vec_transpose.c: a nest that loads along one loop and stores along another, through squares of registers; NULL: it is none. */
Stmt *vec_transpose(Func *f, Arena *tmp, const Target *t, Stmt *loops);

/* vec_arg.c */
Stmt *vec_arg(Func *f, const Stmt *loop, int vector_bits); /* a loop that looks for the best element, as reductions; NULL: it is none */
Stmt *vec_choices(Arena *a, const Stmt *loop);             /* tests in it as choices of what its lanes keep; NULL: there are none such */

/* vec_table.c: a map that loads from places which are known but no neighbours, by shuffles; NULL: it is none. */
Stmt *vec_table(Func *f, Arena *tmp, const Target *t, const Stmt *loop);

/* vec_check.c: what a vector loop may hold; codegen/emit_vec.c prints no more than that. */
typedef struct LoopShape {
    int max_bits, min_bits; /* of the elements that differ between lanes */
    int weight;             /* operations in the body */
    int nred;               /* reductions into places that all iterations share; 0 for a map */
    bool inner;             /* no loops in the body */
} LoopShape;
bool vec_loop_shape(Arena *tmp, const Func *f, const Stmt *loop, LoopShape *out); /* false: the loop has to stay as it is */
bool vec_coefficient(const Expr *e, const Var *v, int64_t *k);                    /* e = k*v + something without v */
bool vec_uses(const Expr *e, const Var *v);
#endif
