/* SPDX-License-Identifier: Apache-2.0 */
/* qdq.h: what the two files of the pass share: qdq_match.c looks, qdq.c builds. */
#ifndef QN_PASSES_QDQ_H
#define QN_PASSES_QDQ_H
#include "internal.h"

typedef struct Quant { /* a float tensor that is (q - zero) * scale */
    Tensor *q;
    const Tensor *scale, *zero; /* constants; zero may be NULL: 0 */
    Node *node;                 /* the DequantizeLinear, for its axis */
    int64_t axis;               /* of a scale with more than one element */
} Quant;
typedef struct Product { /* a convolution or matrix product of two quantised tensors */
    Node *n;
    Quant x, w;     /* x has one scale, w one or one an output channel */
    int64_t wide;   /* elements of w's scale */
    int after;      /* axes of the result behind the channels */
    double factor;  /* alpha of Gemm */
    Tensor *bias;   /* a constant, or NULL */
    double bias_by; /* beta of Gemm */
} Product;

bool qdq_one(const Tensor *t);               /* a constant of one element */
double qdq_scale(const Quant *u, int64_t i); /* the scale of channel i */
int64_t qdq_zero(const Quant *u, int64_t i);
bool qdq_dequant(Tensor *t, Quant *u);         /* t is a DequantizeLinear's output, with known parameters */
bool qdq_same(const Quant *a, const Quant *b); /* equal types, scales and zero points, one of each */
bool qdq_moves(const Node *n);                 /* only picks elements of input 0: it works on integers as it does on floats */
bool qdq_border(const Node *pad, const Quant *u, int64_t *q); /* the integer that stands for what Pad adds around u, if there is one */
bool qdq_product(Node *n, Product *p);                        /* n as an integer product, if its sums fit into 32 bits */
bool qdq_source(Tensor *t, Quant *u, int depth);              /* what t has the values of, behind movements; u->q may be of another shape */
bool qdq_constant(Tensor *t, double *v, int64_t i);           /* element i of a constant, or of a dequantised one */
bool qdq_fits(Tensor *t, int *left,
              bool *products);                  /* t can be computed in float64 from integers; *left: nodes that may still be looked at */
bool qdq_chain(Tensor *t, int depth);           /* a product, then clamps and constants added: its factor can take a divisor in */
bool qdq_table(Tensor *t, Quant *u, int depth); /* elementwise from one tensor of 8 bits with one scale, which u gets */
#endif
