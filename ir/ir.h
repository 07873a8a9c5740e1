/* SPDX-License-Identifier: Apache-2.0 */
/* ir.h: the one public header of ir/. Sections are files: read them in this order. */
#ifndef QN_IR_H
#define QN_IR_H
#include "base.h"    /* arena, vectors, text, maps, diagnostics */
#include "dtype.h"   /* element types */
#include "graph.h"   /* tensors and nodes */
#include "loop.h"    /* loop nests, simplifier, interpreter */
#include "ops.h"     /* the op registry, inference and lowering */
#include "list.h"    /* values that are no tensors */
#include "user_op.h" /* operators that a user brings along */
#include "program.h" /* a planned model */
#endif
