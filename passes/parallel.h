/* SPDX-License-Identifier: Apache-2.0 */
/* parallel.h: what parallel.c, private.c, apart.c and tasks.c share. */
#ifndef QN_PASSES_PARALLEL_H
#define QN_PASSES_PARALLEL_H
#include "internal.h"

/* The temporaries of f which live outside the loop named `loop`, which each iteration of it writes before it reads, and of which
 * nobody reads what the loop leaves. false: there are none, or one of them carries values between iterations. */
typedef struct Privates {
    Vec(Buf *) scratch, local; /* parameters; allocated in the function's outermost block */
} Privates;
bool find_privates(Arena *tmp, const Func *f, const char *loop, Privates *out);
/* After `split loop F strip …`: strips get a copy of each scratch buffer, iterations declare the local ones. */
void make_private(Func *f, const Privates *p, const char *strip, const char *row, int64_t strips);
Stmt *find_loop(Stmt *s, const char *name);

/* apart.c: whether two iterations of the loop, at whatever depth of f, never meet at an element that one of them writes; p: buffers
 * that do not count, or NULL. A refusal means nothing was found. */
bool iterations_apart(Arena *tmp, const Func *f, Stmt *loop, const Privates *p);
/* By buffer id: by how many elements the accesses move with each iteration of the loop (0: not with it, or nobody knows). */
#define STEP_NONE  INT64_MIN /* not accessed */
#define STEP_MIXED INT64_MAX
int64_t *loop_steps(Arena *tmp, const Func *f, Stmt *loop);
/* Adds the ranges of the loops in s that stand around `inner`. false: it is not in s. */
bool ranges_around(Arena *tmp, const Stmt *s, const Stmt *inner, Ranges *r);

/* affinity.c: where operands are. By tensor id: bytes from what a thread writes of it first to what the next one does; 0: one thread
 * writes all of it, or nobody has. */
typedef struct Spans {
    int64_t *of;
    int threads;
} Spans;
Spans spans_new(Arena *a, const Graph *g, int threads);
/* What threads that share the loop wait for: lines that others have written, constants that all of them read. Nanoseconds. */
double operands_ns(Arena *tmp, const Spans *s, const Kernel *k, Stmt *loop);
/* What one iteration costs whose nests are shared one by one: what some write into scratch, others read. */
double scratch_ns(const Spans *s, const Kernel *k);
/* The loop is going to be shared. */
void spans_note(Arena *tmp, Spans *s, const Kernel *k, Stmt *loop);

/* tasks.c: the body of the loop becomes one loop, *task, of *n independent iterations. false: it is not such a body, f is as it was. */
bool make_tasks(Arena *tmp, Func *f, const char *loop, const char **task, int64_t *n);
/* private.c: marks, by id, the buffers that a statement loads, stores or hands to a routine. */
void mentions(Arena *tmp, const Stmt *s, uint8_t *buf);
#endif
