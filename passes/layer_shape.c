/* SPDX-License-Identifier: Apache-2.0 */
/* layer_shape.c: convolutions (groups, strides, dilations, depthwise) and matrix products (Gemm, MatMul) as layers in the survey's letters.
 * Padding is part of the input, as the survey has it.
 *   Conv X[1,3,227,227] W[96,3,11,11] strides 4  ->  N 1, M 96, C 3, E 55, F 55, R 11, S 11, U 4 */
#include "internal.h"
#include "ir/mapping.h"
#include <string.h>

static int64_t dim_of(const Tensor *t, int axis) { return axis >= 0 && axis < t->type.rank ? t->type.dim[axis] : 1; }
static int64_t list_item(const Node *n, const char *attr, int i) {
    int k = op_attr_index(n->op, attr);
    return k >= 0 && attr_has(n, k) && i < n->attr[k].n ? n->attr[k].is[i] : 1;
}
static bool conv_shape(const Node *n, int64_t images, ConvShape *s) {
    const Tensor *x = n->in[0], *w = n->in[1], *y = n->out[0];
    int spatial = x->type.rank - 2, g = op_attr_index(n->op, "group");
    if (spatial < 1 || spatial > 2) return false;
    int64_t groups = g >= 0 ? attr_i(n, g) : 1, m = dim_of(w, 0), c = dim_of(w, 1);
    bool rows = spatial == 2; /* one dimension: F and S */
    *s = (ConvShape){.n = dim_of(x, 0) * images, .f = dim_of(y, spatial + 1), .s = dim_of(w, spatial + 1)};
    if (rows) s->e = dim_of(y, 2), s->r = dim_of(w, 2), s->stride_e = list_item(n, "strides", 0), s->dil_r = list_item(n, "dilations", 0);
    s->stride_f = list_item(n, "strides", rows), s->dil_s = list_item(n, "dilations", rows);
    if (groups > 1 && c == 1 && m == groups) s->depthwise = true, s->c = groups;
    else s->g = groups, s->m = m / groups, s->c = c;
    return true;
}
static bool matmul_shape(const Node *n, int64_t images, ConvShape *s) {
    const Tensor *a = n->in[0], *b = n->in[1];
    if (a->type.rank < 1 || b->type.rank < 1) return false;
    int ra = a->type.rank, rb = b->type.rank, ta = op_attr_index(n->op, "transA"), tb = op_attr_index(n->op, "transB");
    bool turn_a = ta >= 0 && attr_i(n, ta), turn_b = tb >= 0 && attr_i(n, tb);
    *s = (ConvShape){.n = ra > 1 ? dim_of(a, turn_a ? ra - 1 : ra - 2) : 1,
                     .c = dim_of(a, turn_a ? ra - 2 : ra - 1),
                     .m = rb > 1 ? dim_of(b, turn_b ? rb - 2 : rb - 1) : 1};
    int64_t batch = 1, shared = 1;
    for (int i = 0; i + 2 < ra; i++) batch *= dim_of(a, i);
    for (int i = 0; i + 2 < rb; i++) shared *= dim_of(b, i);
    if (shared == 1) s->n *= batch * images; /* the same weights for all */
    else s->g = max_i64(batch, shared) * images;
    return true;
}
bool layer_shape(const Node *n, int64_t images, ConvShape *s) {
    static const struct {
        const char *op;
        bool (*shape)(const Node *, int64_t, ConvShape *);
    } rows[] = {{"Conv", conv_shape},
                {"ConvInteger", conv_shape},
                {"Gemm", matmul_shape},
                {"MatMul", matmul_shape},
                {"MatMulInteger", matmul_shape}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (op_is(n, rows[i].op)) return rows[i].shape(n, images, s);
    return false;
}
