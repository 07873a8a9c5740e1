/* SPDX-License-Identifier: Apache-2.0 */
/* sched_internal.h: what the files of the schedule primitives share. Nothing outside ir/sched*.c includes it. */
#ifndef QN_SCHED_INTERNAL_H
#define QN_SCHED_INTERNAL_H
#include "sched.h"

typedef Vec(Stmt *) StmtVec;
typedef Vec(Buf *) BufVec;

typedef struct Sched { /* one step being applied to a working copy */
    Ctx *c;
    Func *f; /* the working copy: a refused step leaves the caller's as it was */
    Arena *a;
    Loc loc;
    const char *text; /* the step, for messages and Func.schedule */
    const char *verb; /* its name */
    const char **arg; /* what follows the name */
    int narg;
} Sched;
typedef bool (*StepFn)(Sched *s);

typedef struct LoopAt { /* where a loop stands */
    Stmt *loop;
    Stmt *block;   /* that holds it, */
    int at;        /* … at this place */
    StmtVec outer; /* loops around it, outermost first */
} LoopAt;

/* One access to a buffer inside a subtree. Integer lets are substituted into idx. */
typedef struct Access {
    Buf *buf;
    Expr **idx; /* NULL: anywhere in the buffer (calls) */
    bool write;
    RedOp red;     /* a store that is buf[idx] = buf[idx] op …, in either form: reads and writes */
    bool cond;     /* under an if */
    StmtVec loops; /* around it within the subtree, outermost first; shared, not to be changed */
    int top;       /* which statement of the subtree's outermost block */
} Access;
typedef Vec(Access) AccessVec;

/* sched.c */
bool sched_fail(const Sched *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sched_number(const Sched *s, const char *what, const char *text, int64_t lo, int64_t *v);
bool sched_find_loop(const Sched *s, const char *name, LoopAt *out);
Buf *sched_find_buf(const Sched *s, const char *name);  /* NULL after an error */
bool sched_name_free(const Sched *s, const char *name); /* false after an error: not an identifier, or taken */
Var *sched_var(Sched *s, const char *base);             /* a loop variable with a free name */
const char *sched_fresh(const Sched *s, const char *base);
Stmt *sched_clone(Sched *s, const Stmt *from);           /* variables and local buffers renewed, with free names */
void sched_enter(Arena *a, Ranges *r, const Stmt *loop); /* adds the range of the loop's variable, if it is known */
void sched_ranges(Arena *a, Ranges *r, const StmtVec *loops);
void sched_replace(Arena *a, Stmt *block, int at, int remove, Stmt *const *with, int n);
bool sched_const_loop(const Stmt *loop, int64_t *lo, int64_t *hi);
bool stmt_uses_buf(const Stmt *s, const Buf *b);

/* sched_dep.c */
void sched_accesses(Sched *s, Stmt *root, AccessVec *out); /* of every buffer, in the order of the text; loads before their store */
void sched_privates(Arena *a, const Stmt *root, BufVec *out);
bool sched_store_red(const Stmt *s, RedOp *red, Expr **rest); /* a plain store that is a reduction in disguise too */
/* Would running the perfectly nested loops in the new order (a permutation) change the result? NULL: no; else the buffer's name. */
const char *sched_reorder_conflict(Sched *s, const StmtVec *outer, const StmtVec *old_order, const StmtVec *new_order);
/* Do two iterations of the loop meet at an element that one of them writes? NULL: no; else the buffer's name. */
const char *sched_iteration_conflict(Sched *s, const StmtVec *outer, Stmt *loop);

/* sched_stage.c */
typedef struct Box { /* elements of a buffer: base[d] + [0, ext[d]) */
    Expr *base[QN_MAX_RANK];
    int64_t ext[QN_MAX_RANK];
} Box;
bool sched_box(Sched *s, const Buf *b, const AccessVec *acc, const Ranges *outer, const Stmt *body, Box *box);
typedef void (*ReindexFn)(void *user, Expr *const *from, Expr **to);
void sched_reindex(Sched *s, Stmt *root, Buf *from, Buf *to, ReindexFn fn, void *user); /* every access to `from` goes to `to` */

/* The steps. */
bool step_split(Sched *s), step_reorder(Sched *s), step_fuse(Sched *s), step_peel(Sched *s), step_mode(Sched *s); /* sched_loops.c */
bool step_stage(Sched *s), step_prefetch(Sched *s);                                                               /* sched_stage.c */
bool step_inline(Sched *s), step_compute_at(Sched *s);                                                            /* sched_move.c */
bool step_tensorise(Sched *s);                                                                                    /* sched_tensor.c */
#endif
