/* SPDX-License-Identifier: Apache-2.0 */
/* microsoft_attention.h: what the rewrites of ONNX Runtime's attention operators share. */
#ifndef QN_MICROSOFT_ATTENTION_H
#define QN_MICROSOFT_ATTENTION_H
#include "../extent.h"
#include "rewrite.h"

/* One call of ai.onnx's Attention, and what its operands' extents are. */
typedef struct Call {
    Tensor *q, *k, *v, *mask, *past_k, *past_v, *nonpad;
    Expr *batch, *queries, *keys, *past, *total;
    int64_t heads, groups, size, value_size;
    bool causal, whole; /* whole: operands with 4 dims, heads apart */
} Call;

bool ma_fails(Ctx *c, R r, const char *what);            /* a located error; returns false */
bool ma_refuse(Ctx *c, R r, bool bad, const char *what); /* the same if bad, a form that is not supported */
/* Operand i is absent, or has `rank` dims with known extents. */
bool ma_has_rank(Ctx *c, R r, int i, int rank, const char *what);
static inline bool ma_fixed(const Type *t, int axis) { return !t->ext || !t->ext[axis]; }
/* The last of three axes holds `heads` heads of *size elements. */
bool ma_set_size(Ctx *c, R r, const Type *t, int64_t heads, int64_t *size);
/* [batch, length, heads*size] as [batch, heads, length, size], and back. */
Tensor *ma_apart(R r, Tensor *x, Expr *batch, Expr *length, int64_t heads, int64_t size);
Tensor *ma_together(R r, Tensor *x, Expr *batch, Expr *length, int64_t width);
bool ma_check_bias(Ctx *c, R r, const Tensor *bias, const Call *k);
Node *ma_attend(R r, const Call *k, int nout);
#endif
