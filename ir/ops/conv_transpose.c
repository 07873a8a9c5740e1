/* SPDX-License-Identifier: Apache-2.0 */
/* conv_transpose.c: ConvTranspose in one to three spatial dimensions. Each input element is scattered into a plane of outputs; which
 * inputs fall inside for a tap is clamped outside the innermost loop.
 *
 *   for n, m:  plane = b[m];  for c, r, s: for h in valid(r), w in valid(s): plane[h*U+r-P, w*V+s-Q] += x[c,h,w]*k[c,m,r,s];  store plane
 */
#include "window.h"
#include <string.h>

enum { AUTO_PAD, DILATIONS, GROUP, KERNEL_SHAPE, OUTPUT_PADDING, OUTPUT_SHAPE, PADS, STRIDES };

static int64_t at(const Node *n, int a, int i, int64_t def) { return attr_has(n, a) && n->attr[a].n > i ? n->attr[a].is[i] : def; }
/* Here `in` and `out` of a window are those of the operator: the roles of a convolution are swapped. */
static void window_resolve(const Node *n, int rank, int i, Window *w) {
    const char *mode = attr_s(n, AUTO_PAD);
    int64_t extra = at(n, OUTPUT_PADDING, i, 0), full = (w->in - 1) * w->stride + (w->k - 1) * w->dil + 1 + extra;
    bool same = strncmp(mode, "SAME", 4) == 0;
    if (attr_has(n, OUTPUT_SHAPE) || same) {
        w->out = attr_has(n, OUTPUT_SHAPE) ? n->attr[OUTPUT_SHAPE].is[n->attr[OUTPUT_SHAPE].n - rank + i] : w->in * w->stride;
        int64_t total = max_i64(full - w->out, 0);
        w->lo = strcmp(mode, "SAME_UPPER") == 0 ? total / 2 : same ? total - total / 2 : total - total / 2;
        if (!same) w->lo = total / 2;
        w->hi = total - w->lo;
        return;
    }
    w->lo = strcmp(mode, "NOTSET") ? 0 : at(n, PADS, i, 0), w->hi = strcmp(mode, "NOTSET") ? 0 : at(n, PADS, i + rank, 0);
    w->out = full - w->lo - w->hi;
}
static void windows(const Node *n, int rank, Window *w) {
    for (int i = 0; i < rank; i++) {
        w[i] = (Window){
            .in = n->in[0]->type.dim[2 + i], .k = n->in[1]->type.dim[2 + i], .stride = at(n, STRIDES, i, 1), .dil = at(n, DILATIONS, i, 1)};
        window_resolve(n, rank, i, &w[i]);
    }
}
bool infer_conv_transpose(Infer *x) {
    const Type *in = &x->n->in[0]->type, *k = &x->n->in[1]->type;
    int rank = in->rank - 2;
    int64_t group = attr_i(x->n, GROUP), dim[QN_MAX_RANK];
    Expr *e[QN_MAX_RANK];
    Window w[WIN_SPATIAL];
    if (k->ext || (in->ext && in->ext[1])) return infer_error(x, "the channels and the weight are expected to have constant extents");
    if (rank < 1 || rank > WIN_SPATIAL || k->rank != in->rank)
        return infer_error(x, "the input has %d dims and the weight %d, expected the same, 3 to 5", in->rank, k->rank);
    if (group < 1 || in->dim[1] % group || k->dim[0] != in->dim[1])
        return infer_error(x, "group %lld, %lld input channels and a weight of %lld do not fit", (long long)group, (long long)in->dim[1],
                           (long long)k->dim[0]);
    const struct {
        int attr;
        int64_t len, least;
        const char *name;
    } rows[] = {{STRIDES, rank, 1, "strides"},
                {DILATIONS, rank, 1, "dilations"},
                {PADS, 2 * rank, INT32_MIN, "pads"},
                {OUTPUT_PADDING, rank, 0, "output_padding"}};
    for (int i = 0; i < 4; i++) {
        const Attr *t = &x->n->attr[rows[i].attr];
        for (int64_t j = 0; t->kind != ATTR_NONE && j < max_i64(t->n, 1); j++)
            if (t->n != rows[i].len || t->is[j] < rows[i].least || t->is[j] > INT32_MAX / 64)
                return infer_error(x, "%s is not %lld values of at least %lld", rows[i].name, (long long)rows[i].len,
                                   (long long)rows[i].least);
    }
    const Attr *shape = &x->n->attr[OUTPUT_SHAPE];
    if (shape->kind != ATTR_NONE && shape->n < rank) return infer_error(x, "output_shape has too few values");
    for (int64_t i = 0; shape->kind != ATTR_NONE && i < shape->n; i++)
        if (shape->is[i] < 0 || shape->is[i] > INT32_MAX)
            return infer_error(x, "output_shape has the extent %lld", (long long)shape->is[i]);
    for (int i = 0; i < rank; i++)
        if (in->dim[2 + i] > INT32_MAX / 64 || k->dim[2 + i] > INT32_MAX / 64) return infer_error(x, "the extents overflow");
    windows(x->n, rank, w);
    dim[0] = in->dim[0];
    if (!mul_ok(k->dim[1], group, &dim[1])) return infer_error(x, "the output channels overflow");
    for (int i = 0; i < rank; i++)
        if ((dim[2 + i] = w[i].out) < 1)
            return infer_error(x, "the output extent of axis %d is %lld, expected at least 1", i, (long long)w[i].out);
    if (x->n->nin > 2 && x->n->in[2] && (x->n->in[2]->type.rank != 1 || x->n->in[2]->type.dim[0] != dim[1]))
        return infer_error(x, "the bias is not a vector of %lld elements", (long long)dim[1]);
    e[0] = type_extent(x->g, in, 0), e[1] = e_int(x->g->a, dim[1]);
    for (int i = 0; i < rank; i++) {
        e[2 + i] = e_int(x->g->a, dim[2 + i]);
        if (!in->ext || !in->ext[2 + i]) continue;
        if (attr_has(x->n, OUTPUT_SHAPE))
            return infer_error(x, "output_shape is given, and axis %d of the input is known at run time only; fix it with --dim", 2 + i);
        Expr *more = e_int(x->g->a, w[i].out - w[i].in * w[i].stride); /* the same whatever the extent is */
        e[2 + i] = extent_add(x->g, extent_mul(x->g, in->ext[2 + i], e_int(x->g->a, w[i].stride)), more);
    }
    return infer_extents(x, 0, in->dt, in->rank, e);
}
int64_t macs_conv_transpose(const Node *n) {
    const Type *k = &n->in[1]->type;
    int64_t m;
    if (!type_elements(&n->in[0]->type, &m)) return -1;
    for (int i = 1; i < k->rank; i++)
        if (!mul_ok(m, k->dim[i], &m)) return -1;
    return m;
}
/* Inputs h for which tap r lands inside: 0 <= h*U + r*D - P < out. */
static void inputs_inside(Lower *L, const Window *w, Expr *in, Expr *out, Expr *r, Expr **lo, Expr **hi) {
    Arena *a = L->a;
    Expr *tap = e_mul(a, r, e_int(a, w->dil)), *zero = e_int(a, 0), *u = e_int(a, w->stride);
    *lo = e_div(a, e_max(a, e_sub(a, e_int(a, w->lo + w->stride - 1), tap), zero), u);
    *hi = e_min(a, in, e_div(a, e_max(a, e_sub(a, e_add(a, out, e_int(a, w->lo + w->stride - 1)), tap), zero), u));
}
bool lower_conv_transpose(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *in = &n->in[0]->type, *k = &n->in[1]->type, *ot = &n->out[0]->type;
    int rank = in->rank - 2;
    int64_t group = attr_i(n, GROUP), mg = k->dim[1], cg = in->dim[1] / group;
    Window w[WIN_SPATIAL];
    Expr *idx[QN_MAX_RANK], *pos[WIN_SPATIAL], *xi[QN_MAX_RANK], *ki[QN_MAX_RANK], *lo, *hi;
    windows(n, rank, w);
    DType t = dtype_sum(ot->dt);
    Expr *vn = lower_loop_to(L, "n", lower_dim(L, in, 0)), *vg = lower_loop(L, "g", group), *vm = lower_loop(L, "m", mg);
    Expr *m = e_add(a, e_mul(a, vg, e_int(a, mg)), vm);
    Buf *plane = lower_temp(L, "plane", t, rank, ot->dim + 2);
    Expr *b = n->nin > 2 && n->in[2] ? lower_let(L, "b", lower_load(L, n, 2, &m)) : e_lit(a, t, 0);
    for (int i = 0; i < rank; i++) pos[i] = lower_loop_to(L, arena_printf(a, "o%d", i), lower_dim(L, ot, 2 + i));
    lower_put(L, plane, pos, b, RED_NONE);
    lower_ends(L, rank);
    Expr *c = lower_loop(L, "c", cg);
    xi[0] = vn, xi[1] = ki[0] = e_add(a, e_mul(a, vg, e_int(a, cg)), c);
    ki[1] = vm;
    for (int i = 0; i < rank; i++) ki[2 + i] = lower_loop_to(L, arena_printf(a, "r%d", i), lower_dim(L, k, 2 + i));
    Expr *weight = lower_let(L, "w", e_cast(a, t, lower_load(L, n, 1, ki)));
    for (int i = 0; i < rank; i++) {
        inputs_inside(L, &w[i], lower_dim(L, in, 2 + i), lower_dim(L, ot, 2 + i), ki[2 + i], &lo, &hi);
        xi[2 + i] = lower_loop_range(L, arena_printf(a, "h%d", i), lo, hi);
        pos[i] = e_sub(a, e_add(a, e_mul(a, xi[2 + i], e_int(a, w[i].stride)), e_mul(a, ki[2 + i], e_int(a, w[i].dil))), e_int(a, w[i].lo));
    }
    lower_put(L, plane, pos, e_mul(a, weight, e_cast(a, t, lower_load(L, n, 0, xi))), RED_ADD);
    lower_ends(L, 1 + 2 * rank);
    idx[0] = vn, idx[1] = m;
    for (int i = 0; i < rank; i++) idx[2 + i] = lower_loop_to(L, arena_printf(a, "o%d", i), lower_dim(L, ot, 2 + i));
    lower_store(L, n, 0, idx, e_cast(a, dtype_compute(ot->dt), lower_get(L, plane, idx + 2)));
    lower_ends(L, rank + 3);
    return true;
}
