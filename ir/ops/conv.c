/* SPDX-License-Identifier: Apache-2.0 */
/* conv.c: Conv in one to three spatial dimensions. A row of outputs is held in a small accumulator for several output channels, so that
 * the innermost loop runs along the row: contiguous, and free of padding tests, for the ranges are clamped outside.
 *
 *   for n, g, m0, e:  acc[j][f] = b;  for c, r in valid(e), s:  for f in valid(s): acc[j][f] += x[c,e+r,f+s]*w[m0+j,c,r,s];  store acc
 */
#include "window.h"

enum { AUTO_PAD, DILATIONS, GROUP, KERNEL_SHAPE, PADS, STRIDES };
static const WindowAttrs attrs = {AUTO_PAD, DILATIONS, PADS, STRIDES, -1};
enum { ROW = 256 };

bool infer_conv(Infer *x) {
    const Type *in = &x->n->in[0]->type, *w = &x->n->in[1]->type;
    int rank = in->rank - 2;
    Window win[WIN_SPATIAL];
    int64_t group = attr_i(x->n, GROUP);
    Expr *dim[QN_MAX_RANK];
    if (rank < 1 || rank > WIN_SPATIAL)
        return infer_error(x, "the input has %d dims, expected 3 to 5 (N, C and one to three spatial ones)", in->rank);
    if (w->rank != in->rank) return infer_error(x, "the weight has %d dims, the input %d; expected the same", w->rank, in->rank);
    if (group < 1 || w->dim[0] % group || in->dim[1] % group)
        return infer_error(x, "group is %lld, which does not divide %lld input and %lld output channels", (long long)group,
                           (long long)in->dim[1], (long long)w->dim[0]);
    if (w->dim[1] != in->dim[1] / group)
        return infer_error(x, "the weight has %lld channels, expected %lld (%lld input channels, group %lld)", (long long)w->dim[1],
                           (long long)(in->dim[1] / group), (long long)in->dim[1], (long long)group);
    const Attr *k = &x->n->attr[KERNEL_SHAPE];
    for (int i = 0; k->kind != ATTR_NONE && i < rank; i++)
        if (k->n != rank || k->is[i] != w->dim[2 + i]) return infer_error(x, "kernel_shape disagrees with the weight's shape");
    if (x->n->nin > 2 && x->n->in[2] && (x->n->in[2]->type.rank != 1 || x->n->in[2]->type.dim[0] != w->dim[0]))
        return infer_error(x, "the bias is not a vector of %lld elements", (long long)w->dim[0]);
    if (!window_infer(x, &attrs, rank, in->dim + 2, w->dim + 2, win)) return false;
    if ((in->ext && in->ext[1]) || w->ext)
        return infer_error(x, "channels or weights have extents that are known at run time only; fix them with --dim");
    dim[0] = type_extent(x->g, in, 0), dim[1] = e_int(x->g->a, w->dim[0]);
    for (int i = 0; i < rank; i++)
        if (!(dim[2 + i] = window_extent(x, &attrs, i, &win[i], type_extent(x->g, in, 2 + i)))) return false;
    return infer_extents(x, 0, in->dt, in->rank, dim);
}
int64_t macs_conv(const Node *n) {
    const Type *w = &n->in[1]->type, *out = &n->out[0]->type;
    int64_t m, k = 1;
    if (!type_elements(out, &m)) return -1;
    for (int i = 1; i < w->rank; i++)
        if (!mul_ok(k, w->dim[i], &k)) return -1;
    return mul_ok(m, k, &m) ? m : -1;
}

bool lower_conv(Lower *L, Node *n) {
    static const char *const outer[] = {"d", "e"}, *const tap[] = {"q", "r", "s"};
    Arena *a = L->a;
    const Type *in = &n->in[0]->type, *wt = &n->in[1]->type, *ot = &n->out[0]->type;
    int rank = in->rank - 2, last = rank - 1;
    int64_t group = attr_i(n, GROUP), mg = wt->dim[0] / group, cg = wt->dim[1];
    Window win[WIN_SPATIAL];
    window_of(n, &attrs, rank, in->dim + 2, wt->dim + 2, ot->dim + 2, win);
    window_run_time(L, n, &attrs, rank, in, ot, win);
    Expr *width = lower_dim(L, ot, 2 + last);
    int64_t tile = min_i64(win[last].out, ROW);
    int64_t mb = mg % 4 == 0 ? 4 : mg % 2 == 0 ? 2 : 1; /* output channels that share the loads of x */
    Buf *acc;
    Expr *pos[WIN_SPATIAL], *idx[QN_MAX_RANK], *xi[QN_MAX_RANK], *wi[QN_MAX_RANK], *lo, *hi;
    Expr *vn = lower_loop_to(L, "n", lower_dim(L, in, 0));
    Expr *vg = lower_loop(L, "g", group);
    Expr *vm = lower_loop(L, "mo", mg / mb);
    Expr *m0 = e_add(a, e_mul(a, vg, e_int(a, mg)), e_mul(a, vm, e_int(a, mb)));
    for (int i = 0; i < last; i++) pos[i] = lower_loop_to(L, outer[i + (last == 1)], lower_dim(L, ot, 2 + i));
    Expr *ft = e_mul(a, lower_loop_to(L, "ft", e_div(a, e_add(a, width, e_int(a, tile - 1)), e_int(a, tile))), e_int(a, tile));
    Expr *end = e_min(a, e_add(a, ft, e_int(a, tile)), width);
    acc = lower_temp(L, "acc", dtype_sum(ot->dt), 2, (int64_t[]){mb, tile});
    /* bias */
    Expr *j = lower_loop(L, "j", mb);
    Expr *m = e_add(a, m0, j);
    bool bias = n->nin > 2 && n->in[2];
    Expr *b = bias ? lower_let(L, "b", lower_load(L, n, 2, &m)) : e_lit(a, acc->dt, 0);
    Expr *f = lower_loop(L, "f", tile);
    lower_put(L, acc, (Expr *[]){j, f}, b, RED_NONE);
    lower_ends(L, 2);
    /* taps */
    Expr *c = lower_loop(L, "c", cg);
    xi[0] = vn, xi[1] = e_add(a, e_mul(a, vg, e_int(a, cg)), c);
    wi[1] = c;
    for (int i = 0; i < last; i++) {
        window_taps(L, &win[i], pos[i], &lo, &hi);
        wi[2 + i] = lower_loop_range(L, tap[i + 2 - last], lo, hi);
        xi[2 + i] = window_at(L, &win[i], pos[i], wi[2 + i]);
    }
    wi[2 + last] = lower_loop(L, "s", win[last].k);
    window_outputs(L, &win[last], wi[2 + last], &lo, &hi);
    lo = lower_let(L, "from", e_max(a, lo, ft)), hi = lower_let(L, "to", e_min(a, hi, end));
    j = lower_loop(L, "j", mb);
    wi[0] = e_add(a, m0, j);
    Expr *w = lower_let(L, "w", e_cast(a, acc->dt, lower_load(L, n, 1, wi)));
    f = lower_loop_range(L, "f", lo, hi);
    xi[2 + last] = window_at(L, &win[last], f, wi[2 + last]);
    lower_put(L, acc, (Expr *[]){j, e_sub(a, f, ft)}, e_mul(a, w, e_cast(a, acc->dt, lower_load(L, n, 0, xi))), RED_ADD);
    lower_ends(L, 2 + 1 + last + 1);
    /* results */
    j = lower_loop(L, "j", mb);
    f = lower_loop_range(L, "f", ft, end);
    idx[0] = vn, idx[1] = e_add(a, m0, j);
    for (int i = 0; i < last; i++) idx[2 + i] = pos[i];
    idx[2 + last] = f;
    lower_store(L, n, 0, idx, e_cast(a, dtype_compute(ot->dt), lower_get(L, acc, (Expr *[]){j, e_sub(a, f, ft)})));
    lower_ends(L, 2 + 1 + last + 3);
    return true;
}
