/* SPDX-License-Identifier: Apache-2.0 */
/* sched.h: schedules. A schedule is a text, one step per line, which rewrites the loops of a Func and leaves what it computes
 * as it is (floating sums and products may be reassociated). Each step checks that it is legal; policy is elsewhere.
 *
 *   split V F OUT IN              V becomes OUT*F+IN; if F does not divide the extent N, IN runs to min(F, N-OUT*F)
 *   reorder A B C …               loops with nothing but the next loop in each body take this order
 *   fuse A B NAME                 two such loops with constant extents become one; A and B are its quotient and remainder
 *   peel V N                      [lo,hi) becomes [lo,hi-N) and [hi-N,hi); the front is split off if N is negative
 *   peel V                        as many iterations as it takes for the `min` of ragged bounds to go from the main part
 *   unroll V | vectorise V | parallelise V
 *   stage BUF V NAME SPACE [tile AXIS:F]… [order AXIS…]
 *                                 the box of BUF which one iteration of V touches is copied into the new buffer NAME (SPACE is
 *                                 reg, stack, scratch or pad) at the start of V's body, used there and written back at its end.
 *                                 tile: the axis becomes its quotient, in place, and its remainder by F, as a new last axis;
 *                                 order: the axes that NAME has after that, outermost first
 *   inline BUF                    a temporary is replaced by its one elementwise expression
 *   compute_at BUF V              the nests that produce temporary BUF move into loop V of its consumer, shrunk to what is used
 *   prefetch BUF V D              hint: the element of BUF that will be touched D iterations of V later
 *   tensorise V NAME              the nest at V, equal to the meaning of instruction NAME, becomes a call of it
 *
 * Loops are named by their variable. Names are unique within the Func: of several equal ones the first in the text keeps it,
 * the others become v_2, v_3 …; loops that a step adds are named after those they copy, `NAME_v` for the copies of stage.
 * MEM_SCRATCH buffers are appended to Func.param (and removed from it by `inline`); all others get an S_ALLOC.
 */
#ifndef QN_SCHED_H
#define QN_SCHED_H
#include "loop.h"

/* The S_CALL of a prefetch: buf[0] and arg[0], the index of the element in elements from the buffer's element 0. */
#define SCHED_PREFETCH "qn_prefetch"

/* Applies one step. false after a diag_error that names the step, what was found and what is legal: then f is unchanged.
 * The statements of f are replaced by new ones: pointers to statements do not survive a step, parameters do. */
bool sched_apply(Ctx *c, Func *f, const char *step);
/* Steps line by line; `#` starts a comment. Stops at the first that is refused; those before it stay applied. */
bool sched_run(Ctx *c, Func *f, const char *steps);

/* Registers an instruction: its meaning is one nest over parameters. Both must live as long as schedules are applied; a
 * second registration of a name replaces the first. false: the table is full.
 * `tensorise` makes S_CALL name: arg[i] is where the tile starts in buf[i], in elements from its element 0; the buffers come in
 * the order of the meaning's parameters and have the parameters' strides along every axis the nest moves on. */
bool sched_instr_add(const char *name, const Func *meaning);
bool expr_uses_var(const Expr *e, const Var *v);
#endif
