/* SPDX-License-Identifier: Apache-2.0 */
/* fusion.h: the contract between passes/fuse.c (which groups nodes) and ir/lower.c (which builds one nest per group).
 *
 * A group is a run of nodes, contiguous in the list, with the same Node.kernel > 0. Each node has a role:
 *   ROLE_ANCHOR  exactly one: its own loops are built. An EXPR or COMPUTE anchor gets one loop per axis of output 0.
 *   ROLE_POINT   evaluated, in list order, right after each lower_store of the anchor's output 0, at that store's indices;
 *                its outputs have exactly the shape of the anchor's output 0. EXPR: operands that are ANCHOR or POINT
 *                values have that shape too and are the values at hand, all others are loaded (broadcast) or inlined.
 *                COMPUTE: none of its operands is an ANCHOR or POINT value.
 *   ROLE_INLINE  EXPR or COMPUTE; never stored: its expression is built anew wherever the group reads it.
 *
 *   c = Conv(x, w)  ANCHOR          for oc, oh, ow:  acc = …
 *   s = Sigmoid(c)  POINT    --->       let c = acc
 *   y = Mul(c, s)   POINT               y[oc,oh,ow] = c * (1/(1+exp(-c)))
 */
#ifndef QN_FUSION_H
#define QN_FUSION_H
#include "ops.h"

typedef enum NodeRole { ROLE_ANCHOR, ROLE_POINT, ROLE_INLINE } NodeRole; /* Node.role */

/* A tensor of the group is stored iff it is ANCHOR's or POINT's and somebody else needs it: it is a graph output, has no
 * use at all, or is used by a node outside. A node on its own (kernel 0) stores all its non-NULL outputs. */
static inline bool fusion_inside(const Tensor *t, int kernel) { return kernel > 0 && t && t->def && t->def->kernel == kernel; }
static inline bool fusion_stored(const Tensor *t, int kernel) {
    if (kernel == 0 || t->is_output || t->nuse == 0) return true;
    for (const Use *u = t->uses; u; u = u->next)
        if (u->node->kernel != kernel) return true;
    return false;
}

typedef struct Fusion { /* L->fusion; lower.c's own book-keeping */
    int kernel;
    Node *const *node;
    int nnode;
    Node *anchor;
    Vec(Tensor *) have; /* ANCHOR and POINT tensors whose value at the current indices is known, and */
    Vec(Expr *) value;  /* … that value: a variable, a literal or (used once) an expression */
} Fusion;

/* Builds the nest of nodes v[0..n) (one group, or one single node). lower_load of an INLINE tensor builds its expression and
 * never appends a statement (it may stand behind a select's condition); only POINT values, and operands that a POINT's
 * formula names more than once, are bound with lower_let.
 * Parameters: each outside tensor that is read, in order of first use and once each; then each stored tensor in node order;
 * then scratch. Buf.tensor is the tensor; its strides and offset follow t->view (the pointer handed in is the base's), dense
 * without view. *args: per param the tensor, NULL for scratch. NULL after an error. */
Func *lower_kernel(Ctx *c, Graph *g, int n, Node *const *v, const char *name, Tensor ***args);
#endif
