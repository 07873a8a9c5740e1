/* SPDX-License-Identifier: Apache-2.0 */
/* control.h: what the files that expand If, Loop, Scan and SequenceMap share. */
#ifndef QN_IR_OPS_CONTROL_H
#define QN_IR_OPS_CONTROL_H
#include "rewrite.h"

enum { TRIPS_MOST = 1024, UNROLLED_NODES = 40000 };
enum { LOOP_BODY, LOOP_INPUTS, LOOP_AT, LOOP_MASKED, LOOP_MOST }; /* attributes of Loop and LoopRest */

Expr *both(Arena *a, Expr *p, Expr *q); /* p and q; NULL: always */

/* Whether a body asks for things that only hold where it runs: operators on lists do. */
bool body_demands(const Graph *body);
/* The nodes of a body again, before `before`, with `in` for its inputs. out[i]: what its output i is. when, branch: as in Node. */
void body_copy(Graph *g, Node *before, const Graph *body, Tensor *const *in, Tensor **out, Expr *when, const Branch *branch);
bool has_body(Ctx *c, const Node *n, int attr); /* else an error */
bool bool_const(const Tensor *t, bool *v);      /* false: not known */
Tensor *select_of(Graph *g, Node *n, Tensor *cond, Tensor *a, Tensor *b);
void finish(Graph *g, Node *n, int o, Tensor *t); /* t is output o of the node that is expanded */
#endif
