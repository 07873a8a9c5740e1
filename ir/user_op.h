/* SPDX-License-Identifier: Apache-2.0 */
/* user_op.h: operators that a user brings along (--op), beside those of ops.def. Three forms:
 *   FILE.qir with `graph NAME(x: ?, …) -> (y)`                        the operator is these other operators
 *   FILE.qir with `func NAME(x: float32[64]) -> writes y: …`          its meaning is this loop nest, for these shapes
 *   NAME=function   int function(const int64_t *arg, void *const *buf)   a C function that the user links; arg: the number of inputs, of
 *                   outputs, then rank and extents of each; buf: inputs, then outputs, dense. 0 = done, else what ID_invoke returns.
 *                   Its outputs have the types that the model declares (value_info), else that of input 0.
 * NAME may have a domain, `com.example::NAME`; without one it serves every domain. A row of ops.def comes first. */
#ifndef QN_USER_OP_H
#define QN_USER_OP_H
#include "ops.h"

typedef struct UserOp {
    OpDef def; /* first: an operator's row leads to the rest */
    Graph *graph;
    Func *func;
    const char *symbol;
} UserOp;
typedef Vec(UserOp *) UserOps;

bool user_op_read(Ctx *c, const char *spec, UserOps *ops); /* adds the one that `spec` describes; false after an error */
const OpDef *user_op_find(const UserOps *ops, const char *domain, const char *name); /* NULL: there is none */
#endif
