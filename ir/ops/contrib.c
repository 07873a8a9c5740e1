/* SPDX-License-Identifier: Apache-2.0 */
/* contrib.c: operators of com.microsoft which differ little from one of the default domain, and small sums of others.
 *
 *   GroupNorm(x, gamma, beta) {activation=1, groups=32}   ->   Swish(Transpose(GroupNormalization(Transpose(x), gamma, beta)))
 */
#include "rewrite.h"
#include <string.h>

/* The operator of the same name */
bool rewrite_twin(Ctx *c, Graph *g, Node *n) {
    (void)c;
    Tensor *y = build(g, n, n->op->name, n->nin, n->in);
    r_copy_attrs((R){g, n}, y);
    r_done((R){g, n}, 0, y);
    return true;
}
bool rewrite_contrib_range(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    r_done(r, 0, r_op3(r, "Range", n->in[0], n->in[1], r_in(r, 2) ? n->in[2] : tensor_scalar(g, n->in[0]->type.dt, 1)));
    return true;
}
bool rewrite_contrib_pad(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    int64_t all = -1;
    Tensor *pads = n->in[1]->type.rank == 1 ? n->in[1] : r_reshape(r, n->in[1], 1, &all); /* [1, 2*rank] is allowed */
    Tensor *value = r_in(r, 2) ? r_param(r, n->in[2], 0) : NULL;
    Tensor *y = value ? r_op3(r, "Pad", n->in[0], pads, value) : r_op2(r, "Pad", n->in[0], pads);
    r_copy_attrs(r, y);
    r_done(r, 0, y);
    return true;
}
bool rewrite_expand_dims(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    int64_t one = 1;
    r_done(r, 0, r_op2(r, "Unsqueeze", n->in[0], r_reshape(r, n->in[1], 1, &one)));
    return true;
}
/* In the order in which they first occur; where each went, how often each occurs. */
bool rewrite_contrib_unique(Ctx *c, Graph *g, Node *n) {
    static const int from[] = {0, 2, 3};
    R r = {g, n};
    if (n->in[0]->type.rank != 1) return diag_error(c->d, n->loc, "x has %d dims, expected 1", n->in[0]->type.rank);
    Node *y = build_node(g, n, "Unique", 1, n->in, 4);
    r_set_i(y->out[0], "sorted", 0);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) r_done(r, i, y->out[from[i]]);
    return true;
}
bool rewrite_contrib_grid_sample(Ctx *c, Graph *g, Node *n) {
    enum { ALIGN, MODE };
    static const char *const mode[][2] = {{"bilinear", "linear"}, {"nearest", "nearest"}, {"bicubic", "cubic"}};
    R r = {g, n};
    if (n->in[0]->type.rank != 4) return diag_error(c->d, n->loc, "X has %d dims, expected 4", n->in[0]->type.rank);
    for (size_t i = 0; i < sizeof mode / sizeof *mode; i++) {
        if (strcmp(attr_s(n, MODE), mode[i][0]) != 0) continue;
        Tensor *y = r_op2(r, "GridSample", n->in[0], n->in[1]);
        r_copy_attrs(r, y);
        r_set_s(y, "mode", mode[i][1]);
        r_done(r, 0, y);
        return true;
    }
    return diag_error(c->d, n->loc, "mode is '%s', expected bilinear, nearest or bicubic", attr_s(n, MODE));
}

/* ---- of transformers and diffusion models */
bool rewrite_bias_softmax(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor *y = r_op1(r, "Softmax", r_op2(r, "Add", n->in[0], n->in[1]));
    r_set_i(y, "axis", attr_i(n, 0)), r_set_i(y, "flatten", 1);
    r_done(r, 0, y);
    return true;
}
bool rewrite_bias_add(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    r_done(r, 0, r_op2(r, "Add", r_op2(r, "Add", n->in[0], n->in[1]), n->in[2]));
    return true;
}
bool rewrite_bias_split_gelu(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor *x = r_op2(r, "Add", n->in[0], n->in[1]);
    Node *half = build_node(g, n, "Split", 1, &x, 2);
    for (int i = 0; i < 2; i++) r_set_i(half->out[i], "axis", -1);
    r_set_i(half->out[0], "num_outputs", 2);
    r_done(r, 0, r_op2(r, "Mul", half->out[0], r_op1(r, "Gelu", half->out[1])));
    return true;
}
bool rewrite_bias_dropout(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Node *kept =
        build_node(g, n, "Dropout", 3, (Tensor *[]){r_op2(r, "Add", n->in[0], n->in[1]), r_in(r, 3), r_in(r, 4)}, r_out(r, 1) ? 2 : 1);
    r_copy_attrs(r, kept->out[0]);
    if (r_out(r, 1)) r_done(r, 1, kept->out[1]);
    r_done(r, 0, r_in(r, 2) ? r_op2(r, "Add", kept->out[0], n->in[2]) : kept->out[0]);
    return true;
}

/* ---- GroupNorm, channels last; the activation is Swish or none */
static Tensor *group_norm(R r, Tensor *x) {
    enum { ACTIVATION, LAST, EPSILON, GROUPS };
    static const int64_t to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
    Node *n = r.n;
    bool last = attr_i(n, LAST) != 0;
    DType t = n->in[0]->type.dt;
    if (last) x = r_transpose(r, x, 4, to_first);
    Tensor *y = r_op3(r, "GroupNormalization", x, r_cast(r, n->in[1], t), r_cast(r, n->in[2], t));
    r_set_f(y, "epsilon", attr_f(n, EPSILON)), r_set_i(y, "num_groups", attr_i(n, GROUPS));
    if (attr_i(n, ACTIVATION)) y = r_op1(r, "Swish", y);
    return last ? r_transpose(r, y, 4, to_last) : y;
}
static bool group_norm_fits(Ctx *c, const Node *n) {
    if (n->in[0]->type.rank != 4) return diag_error(c->d, n->loc, "X has %d dims, expected 4", n->in[0]->type.rank);
    if (attr_i(n, 0) != 0 && attr_i(n, 0) != 1)
        return diag_error(c->d, n->loc, "activation is %lld, expected 0 (none) or 1 (SiLU)", (long long)attr_i(n, 0));
    return true;
}
bool rewrite_group_norm(Ctx *c, Graph *g, Node *n) {
    if (!group_norm_fits(c, n)) return false;
    r_done((R){g, n}, 0, group_norm((R){g, n}, n->in[0]));
    return true;
}
/* X, gamma, beta, skip [N,H,W,C], [N,1,1,C] or [N,C], bias [C]; the sum is the second output. */
bool rewrite_skip_group_norm(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    if (!group_norm_fits(c, n)) return false;
    if (!attr_i(n, 1)) return diag_error(c->d, n->loc, "channels_last is 0; the skipped sum is defined for channels that stand last");
    Tensor *skip = n->in[3];
    if (skip->type.rank == 2) skip = r_op2(r, "Unsqueeze", skip, tensor_i64s(g, (int64_t[]){1, 2}, 2));
    Tensor *sum = r_op2(r, "Add", n->in[0], skip);
    if (r_in(r, 4)) sum = r_op2(r, "Add", sum, n->in[4]);
    Tensor *y = group_norm(r, sum);
    if (r_out(r, 1)) r_done(r, 1, sum);
    r_done(r, 0, y);
    return true;
}
