/* SPDX-License-Identifier: Apache-2.0 */
/* dot.h: products of bytes, four at a time. In the loop IR a word is an int32 made of four neighbouring bytes, the first one lowest,
 * and dot_us(x, w) and dot_ss(x, w) are the sum of the products of their bytes: those of w are signed, those of x as the name says.
 * Instruction rows of a target say that it has one of them; without one both are a few shifts and products. */
#ifndef QN_DOT_H
#define QN_DOT_H
#include "loop.h"
#include "target.h"

enum { WORD_BYTES = 4 };

/* An instruction row that adds dot products to a vector of sums:
 *   for l in 0..LANES: for k in 0..4: acc[l] += int32(a[k]) * int32(b[l,k])       a: uint8[4] (dot_us) or int8[4], b: int8[LANES,4] */
typedef struct DotRow {
    CallFn fn;
    int lanes;
    int regs; /* vector registers for what is between operands and sums: 0 for an instruction of its own, more for several */
    double cycles;
    const char *text;       /* the C expression of the new sums */
    const char *operand[3]; /* names in it: sums, bytes for all lanes, bytes of each lane */
} DotRow;
bool dot_row(Arena *a, const Target *t, const TargetInstr *r, DotRow *out);
/* The target's first row for vectors of so many sums. */
bool target_dot(Arena *a, const Target *t, int lanes, DotRow *out);
static inline DType dot_bytes(CallFn f) { return f == CALL_DOT_US ? DT_UINT8 : DT_INT8; } /* of the first operand */

/* The word of n loads of 8-bit elements, 1 to 4; zeros behind them. */
Expr *e_word(Arena *a, Expr *const *byte, int n);
/* Whether e is the word of four neighbouring elements of a buffer; the first one. */
bool e_is_word(const Expr *e, const Expr **first);
/* A dot product in shifts, products and sums. */
Expr *e_dot_expand(Arena *a, const Expr *e);
#endif
