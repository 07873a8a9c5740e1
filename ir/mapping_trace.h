/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_trace.h: what the files of mapping_trace share: the function that is being built, small expressions, statements. */
#ifndef QN_MAPPING_TRACE_H
#define QN_MAPPING_TRACE_H
#include "ir.h"
#include "mapping_nest.h"

enum { MAX_RANK = QN_MAX_AXES };
typedef struct Trace {
    Arena *a;
    Func *f;
    Walk w;
    const Problem *p;
    int nlevel, output;
    Buf *param[QN_MAX_TENSORS];
    Buf *data[QN_MAX_LEVELS];                     /* [instances, capacity] */
    Buf *state[QN_MAX_LEVELS][QN_MAX_TENSORS];    /* [instances, columns]; NULL: the tile never moves */
    Buf *key[QN_MAX_LEVELS][QN_MAX_TENSORS];      /* [instances, columns]: what arrives in this step; NULL: it follows from the loops */
    int64_t base[QN_MAX_LEVELS][QN_MAX_TENSORS];  /* where the operand's words start in an instance */
    int outer[QN_MAX_LEVELS + 1][QN_MAX_TENSORS]; /* the next outer keeper of the level; the last row: of the multiply-adds */
    int ntime, time[WALK_LOOPS];                  /* temporal loops, outermost first */
    Expr *value[WALK_LOOPS];                      /* of each loop that is open, else NULL */
} Trace;
typedef struct Tile { /* of one instance, where its loops stand */
    Expr *start[MAX_RANK], *len[MAX_RANK], *was[MAX_RANK], *was_len[MAX_RANK];
} Tile;

typedef struct Place {
    Buf *buf;
    Expr *index[MAX_RANK];
    Expr *instance, *offset; /* as told to the access function */
} Place;
/* Columns of a key (mapping_trace_share.c), the last four once for each axis. */
enum { KEY_FLAG, KEY_LO = 1, KEY_LEN, KEY_HAD, KEY_HAD_LEN, KEY_AXIS = 4 };
/* Which spatial loops of levels [from, to): all, those whose instances hold words of their own (of dims of the tensor, or
 * below a network that does not share), or those that share words. */
enum { ALL, OWN, SHARED };
static inline bool kept(const Trace *T, int level, int tensor) { return T->w.m->level[level].keep >> tensor & 1; }
static inline int rank(const Trace *T, int tensor) { return T->p->tensor[tensor].rank; }
static inline Expr *num(const Trace *T, int64_t v) { return e_int(T->a, v); }
static inline Expr *both(const Trace *T, Expr *x, Expr *y) { return !x ? y : !y ? x : e_bin(T->a, BIN_LAND, x, y); }
static inline Expr *either(const Trace *T, Expr *x, Expr *y) { return !x ? y : !y ? x : e_bin(T->a, BIN_LOR, x, y); }
static inline Expr *eq(const Trace *T, Expr *x, Expr *y) { return e_bin(T->a, BIN_EQ, x, y); }

static inline bool alone(const Trace *T, int level, int tensor) {
    return (T->w.m->target->level[level].no_multicast & T->p->tensor[tensor].role) != 0;
}
static inline bool spatial(const Trace *T, int i, int from, int to, int which, int tensor) {
    const WalkLoop *x = &T->w.loop[i];
    if (!x->spatial || x->level < from || x->level >= to) return false;
    return which == ALL || (walk_uses(&T->w, tensor, x->dim) || alone(T, x->level, tensor)) == (which == OWN);
}
static inline int length_column(const Trace *T, int tensor, int axis) { return rank(T, tensor) + axis; }
static inline int new_column(const Trace *T, int tensor) { return rank(T, tensor) * (T->w.ragged ? 2 : 1); }

/* ---- statements, places of words, what is remembered of tiles (mapping_trace_words.c) */
Stmt *trace_put_if(Trace *T, Stmt *block, Expr *cond);
Stmt *trace_put_else(Trace *T, Stmt *block);
Stmt *trace_put_for(Trace *T, Stmt *block, const char *name, Expr *lo, Expr *hi, Expr **value);
Expr *trace_put_let(Trace *T, Stmt *block, const char *name, Expr *e);
void trace_put_access(Trace *T, Stmt *block, int level, int tensor, int kind, Expr *instance, Expr *offset);
Stmt *trace_open_loop(Trace *T, Stmt *block, int i);
Stmt *trace_open_spatial(Trace *T, Stmt *block, int from, int to, int which, int tensor);
void trace_close_spatial(Trace *T);
Place trace_place(Trace *T, int level, int tensor, Expr *const *index);
Expr *trace_load(Trace *T, const Place *p);
void trace_store(Trace *T, Stmt *block, const Place *p, Expr *v, RedOp red);
void trace_put_update(Trace *T, Stmt *block, int level, int tensor, const Place *p, Expr *v, Expr *first);
bool trace_axis_moves(const Trace *T, int level, int tensor, int axis);
bool trace_needs_state(const Trace *T, int level, int tensor);
Expr *trace_state(Trace *T, int level, int tensor, Expr *instance, int column);
void trace_set_state(Trace *T, Stmt *block, int level, int tensor, Expr *instance, int column, Expr *v);
Tile trace_open_tile(Trace *T, Stmt *block, int level, int tensor, Expr *instance);
Stmt *trace_open_words(Trace *T, Stmt *block, int level, int tensor, const Tile *t, Expr **index);

/* ---- who reads what several get (mapping_trace_share.c) */
bool trace_needs_key(const Trace *T, int level, int tensor);
void trace_put_keys(Trace *T, Stmt *block, int level, int tensor);
Expr *trace_reader(Trace *T, Stmt *block, int outer, int inner, int tensor);
#endif
