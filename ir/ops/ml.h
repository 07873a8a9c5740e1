/* SPDX-License-Identifier: Apache-2.0 */
/* ml.h: what the operators of ai.onnx.ml share. */
#ifndef QN_ML_H
#define QN_ML_H
#include "rewrite.h"

typedef enum Post { POST_NONE, POST_SOFTMAX, POST_LOGISTIC, POST_SOFTMAX_ZERO, POST_PROBIT } Post;
/* The attribute `post_transform`, a name or (TreeEnsemble) a number; false after an error. */
bool ml_post(Ctx *c, const Node *n, Post *p);
Tensor *ml_transform(R r, Tensor *scores, Post p); /* along the last axis */

const Attr *ml_attr(const Node *n, const char *name); /* NULL: absent */
int64_t ml_count(const Node *n, const char *name);    /* elements of a list or tensor; 0: absent */
/* A list attribute, or the tensor `NAME_as_tensor` in its place, as values; NULL and *count 0 when absent. */
const double *ml_floats(Ctx *c, const Node *n, const char *name, int64_t *count);
Tensor *ml_build(R r, const char *op, int nin, Tensor *const *in); /* an internal operator */
Tensor *ml_strings(Graph *g, int64_t n, const char *const *v);
Tensor *ml_const(Graph *g, DType dt, int rank, const int64_t *dim, const double *v);
Tensor *ml_const_floats(Graph *g, int64_t n, const float *v, int rank, const int64_t *dim);
/* Operand i as a float matrix: rows x features. *rows, *features are set; NULL after an error. */
Tensor *ml_matrix(Ctx *c, R r, int i, DType dt, int64_t *rows, int64_t *features);
/* Class labels: how many, and the label tensor (int64, or string) of them; NULL after an error. */
Tensor *ml_labels(Ctx *c, R r, const char *ints, const char *strings, int64_t *n);
/* labels[index], for an int64 index of any shape. */
Tensor *ml_pick(R r, Tensor *labels, Tensor *index);
Tensor *ml_best(R r, Tensor *scores);               /* the first largest of each row, as int64[rows] */
Tensor *ml_above(R r, Tensor *score, double limit); /* int64[rows]: 1 where a column [rows,1] is above */
Tensor *ml_columns(R r, Tensor *x, Tensor *y);      /* side by side */
#endif
