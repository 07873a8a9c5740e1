/* SPDX-License-Identifier: Apache-2.0 */
/* interp.h: what the interpreter's files share: the bytecode of a Func and the functions its instructions call.
 *
 * A register holds one value (straight code) or a strip of up to STRIP values, one per iteration of an innermost loop.
 *   for i in 0..n: y[i] = x[i] + b   --->   loop { load r0, x stride 1; splat r1, b; fn r2 = add(r0, r1); store y stride 1, r2 }
 */
#ifndef QN_INTERP_H
#define QN_INTERP_H
#include "loop.h"

enum { STRIP = 512 };

/* d, a, b, c: n elements each of the instruction's types; a function uses as many operands as its operation has. */
typedef void (*InterpFn)(int64_t n, void *d, const void *a, const void *b, const void *c);
InterpFn interp_bin_fn(BinOp op, DType t);
InterpFn interp_un_fn(UnOp op, DType t);
InterpFn interp_cast_fn(DType from, DType to); /* NULL: the value goes through the storage type `to` */
InterpFn interp_call_fn(CallFn f, DType t);
InterpFn interp_select_fn(DType t);           /* a: bool */
InterpFn interp_reduce_fn(BinOp op, DType t); /* d: one element, d = d op a[0] op a[1] … in this order */
bool interp_red_op(RedOp r, BinOp *op);       /* false: RED_NONE */

/* Where an access goes: element = base + sum k*env[slot] + sum k*register + lane*lane number */
typedef struct AddrTerm {
    int64_t k;
    int slot; /* >= 0: variable; else register ~slot */
} AddrTerm;
typedef struct Addr {
    Buf *buf;
    char *data;
    int64_t base, lane, min, max; /* min, max: elements that exist, inclusive */
    int nterm;
    AddrTerm *term;
} Addr;

typedef enum InsKind {
    I_FN,      /* d = fn(a, b, c) */
    I_LOAD,    /* d = memory at addr; a: mask or -1 */
    I_GATHER,  /* d = memory at element b; a: mask or -1 */
    I_STORE,   /* memory at addr = a */
    I_SCATTER, /* memory at element b = a, or op= a with fn */
    I_REDUCE,  /* one element op= a[0] op a[1] … */
    I_CONST,   /* d = imm */
    I_ENV,     /* d = variable */
    I_SETENV,  /* variable = a */
    I_SPLAT,   /* d = a in every lane */
    I_IOTA,    /* d = loop variable + lane number */
    I_CAST,    /* d = a through the storage type dt */
    I_JUMP,    /* to imm */
    I_JZERO,   /* to imm if a is false */
    I_JNONE,   /* to imm if no lane of a is true */
} InsKind;
typedef struct Ins {
    uint8_t kind;
    uint8_t size; /* bytes of a value */
    bool one;     /* on one value whatever the strip's length */
    bool direct;  /* I_LOAD: the register may stand for the memory itself */
    bool flop;
    DType dt;  /* storage type; I_CAST: the type to go through */
    DType val; /* computing type */
    int d, a, b, c;
    int64_t imm;
    InterpFn fn;
    Addr *addr;
} Ins;

typedef enum CodeKind { C_SEG, C_LOOP, C_STRIPS, C_IF, C_CALL } CodeKind;
typedef struct Code Code;
typedef Vec(Code *) CodeList;
struct Code {
    CodeKind k;
    Vec(Ins) ins;    /* C_SEG, C_STRIPS; else what computes the operands below */
    int nreg, strip; /* registers; iterations per strip */
    int slot;        /* loops: variable */
    int lo, hi;      /* registers of the bounds; C_IF: lo is the condition */
    Code *bounds;    /* loops, C_IF, C_CALL: computes the operands, one value each */
    CodeList body, other;
    const Stmt *call;
    int *arg; /* registers of the arguments */
};
typedef struct InterpFrame {
    Ctx *c;
    Arena *a;
    const Func *f;
    char **data;  /* per buffer id: memory of its element 0 minus offset, as handed in */
    bool overlap; /* a written parameter shares memory with another */
    InterpStats *stats;
    int max_nreg;
    char *regs;
    char **reg;   /* where each register's values are just now */
    int64_t *env; /* values of variables, 8 bytes each */
} InterpFrame;
void interp_compile(InterpFrame *I, CodeList *out);
#endif
