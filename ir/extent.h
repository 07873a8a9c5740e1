/* SPDX-License-Identifier: Apache-2.0 */
/* extent.h: extents that are known only at run time. Each is an Extent of the graph, an int64 scalar with bounds, for which
 * a variable stands in Type.ext and Tensor.val. Inference computes with expressions: of constants they are constants again, so
 * one path serves both. See docs/ir.md. */
#ifndef QN_EXTENT_H
#define QN_EXTENT_H
#include "ops.h"

#define EXTENT_MOST  ((int64_t)1 << 50) /* values of unknown size are cut to +-this; an extent that may get there has no bound */
#define EXTENT_LIMIT ((int64_t)1 << 33) /* what is larger than this counts as unbounded */
enum { VALUES_MOST = 64 };              /* elements of a tensor that are followed one by one */

Extent *extent_new(Graph *g, const char *name, int64_t lo, int64_t hi, Tensor *t);
/* A free dimension of an input. The same name is the same extent; its bounds are those which all agree on. */
Expr *extent_symbol(Graph *g, const char *name, int64_t lo, int64_t hi, Tensor *input, int axis);
Extent *extent_find(const Graph *g, const Var *v); /* NULL: v is none of them */
/* Element `element` of an int64 vector, which is from lo to hi for sure, read in front of `before`. */
Extent *extent_element(Graph *g, Node *before, const char *name, int64_t lo, int64_t hi, Tensor *from, int64_t element);
Expr *extent_simplify(Graph *g, Expr *e);
bool extent_bounds(const Graph *g, const Expr *e, int64_t *lo, int64_t *hi);
bool extent_static(const Graph *g, const Expr *e); /* only free dimensions occur: known before anything is computed */

static inline bool type_dynamic(const Type *t) { return t && t->ext; }
bool type_flat(const Type *t); /* strides depend on run-time extents, or storage is smaller than the bounds: stored as a vector */
Expr *type_extent(const Graph *g, const Type *t, int axis);  /* constant or not */
void type_extents(const Graph *g, const Type *t, Expr **e);  /* all of them */
Expr *type_count(Graph *g, const Type *t, int from, int to); /* product of the extents of axes [from, to) */
bool extent_same(const Type *a, int i, const Type *b, int j);
bool types_same_shape(const Type *a, const Type *b);
bool node_dynamic(const Node *n); /* an operand or result has a run-time extent */

/* Arithmetic of extents: constants saturate instead of wrapping, so that a product which is too large is seen to be. */
Expr *extent_mul(Graph *g, Expr *x, Expr *y);
Expr *extent_add(Graph *g, Expr *x, Expr *y);
Expr *extent_floor_div(Graph *g, Expr *x, int64_t y); /* towards minus infinity */

void extent_outputs(Graph *g); /* after inference: Graph.out_dims; checks move to where they belong */

/* ---- in inference functions */
/* Output i has these extents. One without a bound takes the declared extent as its bound, else is an error that says what to give. */
bool infer_extents(Infer *x, int i, DType dt, int rank, Expr *const *e);
/* The integers of input i: constants, expressions, or new extents that are read at run time. Absent: *n = 0 and *v = NULL.
 * false after an error: not a short vector of integers. */
bool infer_values(Infer *x, int i, Expr ***v, int64_t *n);
Expr *infer_bounded(Infer *x, Expr *e, int64_t lo, int64_t hi, const char *name,
                    bool shape);          /* checked at run time; e itself where it is sure */
Expr *infer_when(Infer *x);               /* ops/control.c: when the results of x->n are used; NULL: always. Checks hold only then */
bool infer_require(Infer *x, Expr *cond); /* a relation of shapes, checked at run time unless it is sure; false: sure to fail */
/* The extent that operands with extents p and q broadcast to; NULL: they do not. */
Expr *infer_broadcast_extent(Infer *x, Expr *p, Expr *q);
bool infer_broadcasts(Infer *x, Expr *p, Expr *to); /* an operand with extent p broadcasts to `to`; checked at run time where needed */

/* For inference that needs numbers which only nodes can compute: one more node before x->n, and an element of a tensor as an extent. */
Tensor *infer_build(Infer *x, const char *op, int nin, Tensor *const *in, int to /* of a Cast */);
Expr *infer_value_of(Infer *x, Tensor *t, int64_t element);
Expr *infer_named(Infer *x, Expr *e, const char *name); /* an extent of its own for what is long, so that it is computed once */
/* A shape as a tensor: constant, or computed at run time. */
Tensor *extents_tensor(Graph *g, Node *before, int rank, Expr *const *e);
/* Whether extents of operands agree: sure, or checked at run time. false: sure not to. */
bool infer_same_extent(Infer *x, Expr *p, Expr *q);
/* The extra output `o` of the node being inferred, a scalar that it computes, as an extent of at most `hi`. */
Expr *infer_found(Infer *x, int o, int64_t hi);
void strings_bound(Infer *x); /* ops/strings.c: how long the strings of a node's outputs may be */
void loop_views(Graph *g);    /* ops/control_loop.c: the states of a loop are stored where they were */

/* symbolic.c: values of n's outputs as expressions, by running its nest on expressions. val per output: NULL or that many
 * elements. false: something is not known. */
bool symbolic_values(Ctx *c, Graph *g, Node *n, Expr ***val);
#endif
