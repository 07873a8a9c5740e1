/* SPDX-License-Identifier: Apache-2.0 */
/* stream_internal.h: what codegen/stream*.c share: a nest in the one form in which nests and the meanings of rows are compared. */
#ifndef QN_STREAM_INTERNAL_H
#define QN_STREAM_INTERNAL_H
#include "codegen/stream.h"
#include "runtime/qn_sim.h"

typedef struct Lin { /* c + sum k[i] * (iteration of the nest's loop i) */
    int64_t c, k[QN_SIM_LOOPS];
} Lin;
typedef struct Env {      /* values of the variables outside the nest, and which loop of the nest a variable is */
    const int64_t *value; /* by Var.id */
    const int8_t *is;     /* by Var.id: ENV_FREE, ENV_KNOWN, or a loop of the nest */
    const int64_t *from;  /* of the nest's loops */
} Env;
enum { ENV_FREE = -2, ENV_KNOWN = -1 };
/* false: not affine in the nest's loops, or it depends on data. */
bool stream_lin(const Env *env, const Expr *e, Lin *out);

typedef struct Nest { /* loops around one store. Operand 0 is stored to; the others come as the value's postfix code meets them */
    int nloop, nop, red, ncode;
    int64_t size[QN_SIM_LOOPS];
    Buf *buf[QN_SIM_OPERANDS];
    Lin at[QN_SIM_OPERANDS]; /* elements from the buffer's element 0 */
    uint8_t type[QN_SIM_OPERANDS];
    uint8_t code[QN_SIM_CODE];
    bool constant; /* no code: the number `value` is stored */
    uint64_t value;
} Nest;
/* `is` and `value` have room for every variable of the Func; they are as before afterwards. false: *why says what is in the way. */
bool stream_describe(const Stmt *s, int64_t *value, int8_t *is, Nest *out, const char **why);
int stream_type(DType dt); /* the simulator's name of it, or -1 */

typedef struct Row { /* an instruction of the target */
    const TargetInstr *instr;
    const Func *means;
    Nest nest;
    uint16_t opcode;
    int level[QN_SIM_OPERANDS]; /* -1: any scratchpad */
} Row;
/* The nest's loops as loops of the row, -1 for those with one iteration. */
bool stream_match(const Nest *n, const Row *r, int *loop_of);
#endif
