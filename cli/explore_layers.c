/* SPDX-License-Identifier: Apache-2.0 */
/* explore_layers.c: the layers of a model that are contractions, as problems of the explorer: convolutions (groups, strides, dilations,
 * depthwise), Gemm, MatMul. Looked at after folding, as `inspect` does. Padding is part of the input, as the survey has it.
 *   Conv X[1,3,227,227] W[96,3,11,11] strides 4  ->  N 1, M 96, C 3, E 55, F 55, R 11, S 11, U 4 */
#include "explore.h"
#include <string.h>

static int64_t dim_of(const Tensor *t, int axis) { return axis >= 0 && axis < t->type.rank ? t->type.dim[axis] : 1; }
static int64_t list_item(const Node *n, const char *attr, int i) {
    int k = op_attr_index(n->op, attr);
    return k >= 0 && attr_has(n, k) && i < n->attr[k].n ? n->attr[k].is[i] : 1;
}
/* Rows of a tensor as a layer of channels: the last two axes are E and F. */
static void planes(const Tensor *y, int64_t images, ConvShape *s) {
    int r = y->type.rank;
    *s = (ConvShape){.n = images, .e = r > 2 ? dim_of(y, r - 2) : 1, .f = r > 1 ? dim_of(y, r - 1) : 1, .c = r > 1 ? 1 : dim_of(y, 0)};
    if (r > 1) s->n *= dim_of(y, 0);
    for (int i = 1; i < r - 2; i++) s->c *= dim_of(y, i);
}
static bool pool_shape(const Node *n, int64_t images, ConvShape *s) {
    const Tensor *x = n->in[0], *y = n->out[0];
    int k = op_attr_index(n->op, "kernel_shape");
    if (x->type.rank != 4) return false;
    planes(y, images, s);
    s->pool = true;
    s->r = k < 0 ? dim_of(x, 2) : list_item(n, "kernel_shape", 0), s->s = k < 0 ? dim_of(x, 3) : list_item(n, "kernel_shape", 1);
    s->stride_e = list_item(n, "strides", 0), s->stride_f = list_item(n, "strides", 1);
    s->dil_r = list_item(n, "dilations", 0), s->dil_s = list_item(n, "dilations", 1);
    return true;
}
static bool pair_shape(const Node *n, int64_t images, ConvShape *s) {
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type;
    if (n->in[0]->data || n->in[1]->data || a->rank < 1 || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    planes(n->out[0], images, s);
    s->pairs = true;
    return true;
}
static const struct { /* with --all, pools with --fuse too */
    const char *op;
    bool (*shape)(const Node *, int64_t, ConvShape *);
} rows[] = {{"MaxPool", pool_shape},       {"AveragePool", pool_shape}, {"GlobalAveragePool", pool_shape},
            {"GlobalMaxPool", pool_shape}, {"Add", pair_shape},         {"Sub", pair_shape},
            {"Mul", pair_shape},           {"Max", pair_shape}};
/* Layers that run depth first take pools between them along. */
static bool extra_shape(const Options *o, const Node *n, int64_t images, ConvShape *s) {
    size_t i = 0, count = sizeof rows / sizeof *rows;
    while (i < count && strcmp(rows[i].op, n->op->name) != 0) i++;
    return i < count && (o->x.all || (o->x.fuse && rows[i].shape == pool_shape)) && rows[i].shape(n, images, s);
}

static bool same_problem(const Problem *a, const Problem *b) {
    if (a->ndim != b->ndim || a->ntensor != b->ntensor || strcmp(a->dtype ? a->dtype : "", b->dtype ? b->dtype : "") != 0) return false;
    for (int d = 0; d < a->ndim; d++)
        if (strcmp(a->dim[d], b->dim[d]) != 0 || a->extent[d] != b->extent[d]) return false;
    for (int t = 0; t < a->ntensor; t++) {
        const ProblemTensor *x = &a->tensor[t], *y = &b->tensor[t];
        if (x->rank != y->rank || x->role != y->role || x->density != y->density || x->bits != y->bits) return false;
        for (int i = 0; i < x->rank; i++) {
            if (x->axis[i].n != y->axis[i].n) return false;
            for (int k = 0; k < x->axis[i].n; k++)
                if (x->axis[i].dim[k] != y->axis[i].dim[k] || x->axis[i].coef[k] != y->axis[i].coef[k]) return false;
        }
    }
    return true;
}
int explore_same(const ExploreLayers *layers, int i) {
    for (int k = 0; k < i; k++)
        if (same_problem(layers->list.v[k].problem, layers->list.v[i].problem)) return k;
    return i;
}
static bool add_layer(Ctx *c, const Options *o, const Node *n, const ConvShape *s, ExploreLayers *out) {
    const char *name = n->loc.name && *n->loc.name ? n->loc.name : n->out[0]->name;
    Problem *p = problem_conv(c->a, name, s);
    ExploreLayer l = {name, n->op->name, p, out->list.n, explore_before(n, out), n};
    if (!explore_words_option(c, o, p) || !problem_check(c->d, n->loc, p)) return false;
    vec_push(c->a, &out->list, l);
    out->list.v[out->list.n - 1].same = explore_same(out, out->list.n - 1);
    return true;
}
bool explore_layers(Ctx *c, const Options *o, ExploreLayers *out) {
    Graph *g = onnx_import(c, o->model, &o->import);
    PassOptions pass = o->pass;
    int64_t images = o->x.images ? o->x.images : 1;
    if (!g || !pass_run_one(c, g, "fold", &pass) || !pass_run_one(c, g, "dce", &pass)) return false;
    for (const Node *n = g->first; n; n = n->next) {
        ConvShape s;
        const char *name = n->loc.name ? n->loc.name : "";
        int64_t macs = n->op->macs ? n->op->macs(n) : 0;
        if (o->x.layer && strcmp(o->x.layer, name) != 0 && strcmp(o->x.layer, n->out[0] ? n->out[0]->name : "") != 0) continue;
        if (layer_shape(n, images, &s) || extra_shape(o, n, images, &s)) {
            if (!add_layer(c, o, n, &s, out)) return false;
        } else if (macs > 0) out->left_out++, out->macs_left_out += macs * images;
    }
    if (out->list.n) return true;
    if (o->x.layer) return diag_error(c->d, (Loc){o->model, -1, NULL, NULL}, "no convolution or product is called '%s'", o->x.layer);
    return diag_error(c->d, (Loc){o->model, -1, NULL, NULL}, "the model has no convolution or matrix product");
}
