/* SPDX-License-Identifier: Apache-2.0 */
/* deform.c: DeformConv, a convolution in two dimensions whose taps are moved by offsets that are data. A tap between pixels is
 * interpolated from its four neighbours; those outside of the image are 0. A sample serves all output channels of its group.
 *
 *   for n, e, f:  acc[m] = b[m];  for r, s, c:  v = sample(x[n,c], e+r+offset, f+s+offset) * mask;  acc[m] += w[m,c,r,s]*v;  store acc
 */
#include "window.h"

enum { DILATIONS, GROUP, KERNEL_SHAPE, OFFSET_GROUP, PADS, STRIDES };
static const WindowAttrs attrs = {-1, DILATIONS, PADS, STRIDES, -1};
enum { IN_X, IN_W, IN_OFFSET, IN_B, IN_MASK };

bool infer_deform_conv(Infer *x) {
    const Type *in = &x->n->in[IN_X]->type, *w = &x->n->in[IN_W]->type, *o = &x->n->in[IN_OFFSET]->type;
    int64_t group = attr_i(x->n, GROUP), og = attr_i(x->n, OFFSET_GROUP);
    Window win[2];
    if (in->rank != 4 || w->rank != 4 || o->rank != 4)
        return infer_error(x, "input, weight and offset have %d, %d and %d dims; only two spatial dimensions, 4 dims each, are supported",
                           in->rank, w->rank, o->rank);
    if (group < 1 || w->dim[0] % group || in->dim[1] % group || w->dim[1] != in->dim[1] / group)
        return infer_error(x, "the weight is for %lld input channels a group, the input has %lld in %lld groups", (long long)w->dim[1],
                           (long long)in->dim[1], (long long)group);
    if (og < 1 || in->dim[1] % og)
        return infer_error(x, "offset_group is %lld, which does not divide %lld input channels", (long long)og, (long long)in->dim[1]);
    const Attr *k = &x->n->attr[KERNEL_SHAPE];
    for (int i = 0; k->kind != ATTR_NONE && i < 2; i++)
        if (k->n != 2 || k->is[i] != w->dim[2 + i]) return infer_error(x, "kernel_shape disagrees with the weight's shape");
    if (!window_infer(x, &attrs, 2, in->dim + 2, w->dim + 2, win)) return false;
    int64_t taps = og * w->dim[2] * w->dim[3];
    if ((in->ext && in->ext[1]) || w->ext)
        return infer_error(x, "channels or weights have extents that are known at run time only; fix them with --dim");
    Expr *dim[4] = {type_extent(x->g, in, 0), e_int(x->g->a, w->dim[0])};
    for (int i = 0; i < 2; i++)
        if (!(dim[2 + i] = window_extent(x, &attrs, i, &win[i], type_extent(x->g, in, 2 + i)))) return false;
    const struct {
        int input;
        int64_t channels;
    } per_tap[] = {{IN_OFFSET, 2 * taps}, {IN_MASK, taps}};
    for (int i = 0; i < 2; i++) {
        const Tensor *t = per_tap[i].input < x->n->nin ? x->n->in[per_tap[i].input] : NULL;
        Expr *want[4] = {dim[0], e_int(x->g->a, per_tap[i].channels), dim[2], dim[3]};
        bool fits = !t || t->type.rank == 4;
        for (int d = 0; t && fits && d < 4; d++) fits = infer_same_extent(x, type_extent(x->g, &t->type, d), want[d]);
        if (!fits)
            return infer_error(x, "input %d is expected to be %lld x %lld x %lld x %lld", per_tap[i].input, (long long)in->dim[0],
                               (long long)per_tap[i].channels, (long long)win[0].out, (long long)win[1].out);
    }
    const Tensor *b = IN_B < x->n->nin ? x->n->in[IN_B] : NULL;
    if (b && (b->type.rank != 1 || b->type.dim[0] != w->dim[0]))
        return infer_error(x, "the bias is not a vector of %lld elements", (long long)w->dim[0]);
    return infer_extents(x, 0, in->dt, 4, dim);
}

/* Along one axis: the pixel before the position, and the weights of it and of the next one (0 outside). */
typedef struct Side {
    Expr *i[2], *k[2];
} Side;
static Side side_of(Lower *L, Expr *pos, Expr *extent) {
    Arena *a = L->a;
    Side s;
    Expr *low = lower_let(L, "low", e_call1(a, CALL_FLOOR, pos)), *part = lower_let(L, "part", e_sub(a, pos, low));
    /* far away positions are brought near before they become integers */
    Expr *near = e_min(a, e_max(a, low, e_lit(a, low->t, -2)), e_cast(a, low->t, e_add(a, extent, e_int(a, 1))));
    Expr *at = lower_let(L, "at", e_cast(a, DT_INT64, near)), *none = e_lit(a, low->t, 0);
    for (int j = 0; j < 2; j++) {
        Expr *p = e_add(a, at, e_int(a, j));
        Expr *inside = e_bin(a, BIN_LAND, e_le(a, e_int(a, 0), p), e_lt(a, p, extent));
        s.k[j] = lower_let(L, "k", e_select(a, inside, j ? part : e_sub(a, e_lit(a, part->t, 1), part), none));
        s.i[j] = lower_let(L, "p", e_max(a, e_int(a, 0), e_min(a, p, e_sub(a, extent, e_int(a, 1)))));
    }
    return s;
}
static Expr *sample(Lower *L, Node *n, Expr *vn, Expr *c, const Side *y, const Side *x) {
    Arena *a = L->a;
    Expr *sum = NULL;
    for (int j = 0; j < 4; j++) {
        Expr *v = lower_load(L, n, IN_X, (Expr *[]){vn, c, y->i[j / 2], x->i[j % 2]});
        v = e_mul(a, v, e_mul(a, y->k[j / 2], x->k[j % 2]));
        sum = sum ? e_add(a, sum, v) : v;
    }
    return sum;
}
static Expr *position(Lower *L, Node *n, const Window *w, Expr *o, Expr *tap, Expr *const *at) {
    Expr *shift = lower_load(L, n, IN_OFFSET, at);
    return lower_let(L, "pos", e_add(L->a, e_cast(L->a, shift->t, window_at(L, w, o, tap)), shift));
}
bool lower_deform_conv(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *in = &n->in[IN_X]->type, *w = &n->in[IN_W]->type, *ot = &n->out[0]->type;
    int64_t group = attr_i(n, GROUP), mg = w->dim[0] / group, cg = w->dim[1], og = attr_i(n, OFFSET_GROUP), co = in->dim[1] / og;
    Window win[2];
    window_of(n, &attrs, 2, in->dim + 2, w->dim + 2, ot->dim + 2, win);
    Expr *vn = lower_loop_to(L, "n", lower_dim(L, ot, 0)), *e = lower_loop_to(L, "e", lower_dim(L, ot, 2)),
         *f = lower_loop_to(L, "f", lower_dim(L, ot, 3));
    Buf *acc = lower_temp(L, "acc", dtype_compute(ot->dt), 1, &w->dim[0]);
    Expr *m = lower_loop_to(L, "m", lower_dim(L, w, 0));
    lower_put(L, acc, &m, n->nin > IN_B && n->in[IN_B] ? lower_load(L, n, IN_B, &m) : e_lit(a, acc->dt, 0), RED_NONE);
    lower_end(L);
    Expr *vo = lower_loop(L, "o", og), *r = lower_loop_to(L, "r", lower_dim(L, w, 2)), *s = lower_loop_to(L, "s", lower_dim(L, w, 3));
    Expr *tap = e_add(a, e_mul(a, e_add(a, e_mul(a, vo, e_int(a, w->dim[2])), r), e_int(a, w->dim[3])), s),
         *two = e_mul(a, tap, e_int(a, 2));
    Expr *y = position(L, n, &win[0], e, r, (Expr *[]){vn, two, e, f}),
         *x = position(L, n, &win[1], f, s, (Expr *[]){vn, e_add(a, two, e_int(a, 1)), e, f});
    Side sy = side_of(L, y, lower_dim(L, in, 2)), sx = side_of(L, x, lower_dim(L, in, 3));
    Expr *mask = n->nin > IN_MASK && n->in[IN_MASK] ? lower_let(L, "mask", lower_load(L, n, IN_MASK, (Expr *[]){vn, tap, e, f})) : NULL;
    Expr *c = e_add(a, e_mul(a, vo, e_int(a, co)), lower_loop(L, "c", co));
    Expr *v = sample(L, n, vn, c, &sy, &sx);
    v = lower_let(L, "v", mask ? e_mul(a, v, mask) : v);
    Expr *m0 = e_mul(a, e_div(a, c, e_int(a, cg)), e_int(a, mg));
    m = e_add(a, m0, lower_loop(L, "m", mg));
    lower_put(L, acc, &m, e_mul(a, v, lower_load(L, n, IN_W, (Expr *[]){m, e_mod(a, c, e_int(a, cg)), r, s})), RED_ADD);
    lower_ends(L, 5);
    m = lower_loop_to(L, "m", lower_dim(L, w, 0));
    lower_store(L, n, 0, (Expr *[]){vn, m, e, f}, lower_get(L, acc, &m));
    lower_ends(L, 4);
    return true;
}
