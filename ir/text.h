/* SPDX-License-Identifier: Apache-2.0 */
/* text.h: the text form of graphs (.qir): its grammar, and what its printer and its parser share.
 *
 *   graph g(x: float32[1,3,N=8], %"odd name": int64[?]) -> (r)
 *     w: float32[4,3] = rand(1)                    # a comment runs to the end of the line
 *     c: float32[1,4,8] = MatMul(w, x) @kernel 1 anchor
 *     r: float32[1,4,8] = LeakyRelu(c) {alpha=0.5} @kernel 1 point
 *
 * One line is one constant or one node, after all lines whose values it reads.
 *   file    graph NAME ( VALUE , … ) -> ( NAME , … )  LINE…
 *   VALUE   NAME : TYPE
 *   NAME    letters, digits, _ . / not starting with a digit or a dot, or %"any bytes but \x00"
 *   TYPE    ? when unknown; float32[..] of unknown rank; else an element type of dtype.def and [DIM,…]
 *           or seq[N](TYPE), seq[LO..HI](TYPE), seq[2](TYPE, TYPE) of elements that differ, optional(TYPE), map[N](int64, float32[]), the
 *           lengths optional; an extent inside may be a range LO..HI
 *   DIM     an extent, ? when unknown, N a symbol, N=4 a symbol with its largest value
 *   LINE    VALUE = CONST, or VALUES = OP ( NAMES ) { name=ATTR , … } KERNEL => VIEWS
 *           with _ for an absent operand or output; the parts from { on, and the types of a node's outputs, are optional
 *   OP      Relu, or "com.microsoft"::QLinearAdd
 *   CONST   [1, -0.5, inf, nan, true] | splat(1) | rand(SEED) | hex("00ff…") of the bytes in storage
 *           | data(BYTES, fnv=…) printed for a large constant; it cannot be read back
 *   ATTR    by its kind: 1 | 0.5 | nan(0x7fc00001) | "text" | [1,2] | ["a","b"] | float32[2]{1, 2} | float32[9]{splat(0)}
 *           | none for an attribute that was taken away although it has a default. Attributes equal to the default do not print.
 *   KERNEL  @kernel NUMBER anchor (or point, inline) for a member of a fused kernel
 *           | @alias for a node that has nothing to compute, as its views say what it does
 *   VIEWS   view of NAME +OFFSET [STRIDE,…]; with more than one output each view starts with `NAME:` of its output
 * Strings escape \" \\ \n \t and \xHH. rand(seed) is text_rand below. */
#ifndef QN_TEXT_H
#define QN_TEXT_H
#include "fusion.h"

enum { TEXT_LITERALS = 16, TEXT_HEX_BYTES = 65536, TEXT_SEEDS = 64 };
#define TEXT_CONST_BYTES ((int64_t)256 << 20) /* all constants of one file */
extern const char *const text_roles[3];       /* by NodeRole */

bool text_name_bare(const char *s); /* prints without %"…" */
bool text_has_literals(DType dt);   /* elements of this type can be written as numbers */
void text_element(Text *out, DType dt, const void *data, int64_t i);
/* The number in s[0..n) as element i of data; false with a reason in *why. */
bool text_element_parse(DType dt, const char *s, size_t n, void *data, int64_t i, const char **why);
/* Element i of rand(seed): h = splitmix64(seed * 2^32 + i); floats (h >> 40) / 2^23 - 1, unsigned h >> 60, signed (h >> 60) - 8,
 * bool h >> 63. Narrower integers wrap. */
void text_rand(DType dt, uint64_t seed, int64_t n, void *data);
#endif
