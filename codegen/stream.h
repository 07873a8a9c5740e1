/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h: command streams of accelerators. A mapping becomes a schedule with explicit copies into scratchpads, the scheduled
 * nest a list of commands: copies, fills, and the instruction rows of the target. runtime/qn_sim.h says what a stream looks like
 * and runs one; docs/adding-an-accelerator.md goes through an example.
 *   Mapping --stream_nest--> Func --stream_schedule, sched_run--> Func --stream_encode--> bytes --stream_disassemble--> text */
#ifndef QN_STREAM_H
#define QN_STREAM_H
#include "ir/loop.h"
#include "ir/mapping.h"

/* The naive nest of a contraction for an accelerator. extent: of each dim, NULL for those of the problem; smaller ones leave the
 * last tiles ragged. Inputs have type `in`; sums and the result have type `sum`. If the sums of a tile are complete before the
 * tile leaves the innermost scratchpad that keeps them, they are a buffer of this scratchpad; else they go to the result and
 * come back. Parameters are the problem's tensors in their order, in small letters. NULL after an error. */
Func *stream_nest(Ctx *c, const Mapping *m, const int64_t *extent, DType in, DType sum);
/* Schedule steps (ir/sched.h) which make the mapped nest of what stream_nest made from the same mapping: each operand is copied
 * into each scratchpad or register array that keeps it, where the innermost temporal loop outside the level moves its tile. */
char *stream_schedule(Arena *a, const Mapping *m);

/* The commands of a Func, in binary, appended to `out`. Loops around the commands are unrolled. A nest becomes a command if it
 *   - copies between DRAM (parameters) and a scratchpad, or sets elements to one number;
 *   - is the meaning of an instruction row whose emission is an opcode, with any strides and with the row's extents or less;
 *     where its extents are more, it is cut into several;
 *   - or is a call of such a row, made by `tensorise`.
 * Buffers of MEM_PAD lie in the level they give or, if that is 0, in the one whose name theirs is or ends with (`b_pad`). A
 * parameter of a row's meaning that is named after a level must lie there. Instructions do not reach DRAM. */
bool stream_encode(Ctx *c, const Func *f, const Target *t, Text *out);

/* One line a level, buffer, instruction and command. false after an error if the stream is damaged; what could be read is there. */
bool stream_disassemble(Ctx *c, const void *stream, size_t bytes, Text *out);
#endif
