/* SPDX-License-Identifier: Apache-2.0 */
/* quant.c: kernels on integers: ConvInteger, MatMulInteger, DynamicQuantizeLinear. Operands stay in 8 bits in memory; zero points are
 * taken away as values are read, sums are int32 and wrap. Padding stands for the zero point, so what is outside adds nothing.
 *
 *   ConvInteger(x: uint8, w: int8, zx, zw)   ->   for …:  acc += (int32(w[m,c,r]) - zw[m]) * (int32(x[c,e+r]) - zx)
 */
#include "window.h"

enum { AUTO_PAD, DILATIONS, GROUP, KERNEL_SHAPE, PADS, STRIDES };
static const WindowAttrs attrs = {AUTO_PAD, DILATIONS, PADS, STRIDES, -1};
enum { CONV_ROW = 256, MM_COLS = 128, MM_ROWS = 4 };
enum { ZERO_X = 2, ZERO_W = 3 }; /* inputs: zero points of inputs 0 and 1 */

static const Type *zero_type(const Node *n, int i) { return i < n->nin && n->in[i] ? &n->in[i]->type : NULL; }
static bool one_element(const Type *t) {
    int64_t n;
    return type_elements(t, &n) && n == 1;
}
/* v, an integer of few bits, less zero point `input` at idx (ignored when there is one for all). */
static Expr *centred(Lower *L, Node *n, int input, Expr *v, Expr *const *idx) {
    v = e_cast(L->a, DT_INT32, v);
    const Type *z = zero_type(n, input);
    if (!z) return v;
    Expr *none[QN_MAX_RANK];
    for (int i = 0; i < z->rank; i++) none[i] = e_int(L->a, 0);
    return e_sub(L->a, v, e_cast(L->a, DT_INT32, lower_load(L, n, input, one_element(z) ? none : idx)));
}

/* ---- ConvInteger */
bool infer_conv_integer(Infer *x) {
    const Type *in = &x->n->in[0]->type, *w = &x->n->in[1]->type;
    int rank = in->rank - 2;
    Window win[WIN_SPATIAL];
    int64_t group = attr_i(x->n, GROUP);
    Expr *e[QN_MAX_RANK];
    if (rank < 1 || rank > WIN_SPATIAL)
        return infer_error(x, "the input has %d dims, expected 3 to 5 (N, C and one to three spatial ones)", in->rank);
    if (w->ext || (in->ext && in->ext[1])) return infer_error(x, "the channels and the weight are expected to have constant extents");
    if (w->rank != in->rank) return infer_error(x, "the weight has %d dims, the input %d; expected the same", w->rank, in->rank);
    if (group < 1 || w->dim[0] % group || in->dim[1] % group || w->dim[1] != in->dim[1] / group)
        return infer_error(x, "the weight is for %lld input channels a group, the input has %lld in %lld groups", (long long)w->dim[1],
                           (long long)in->dim[1], (long long)group);
    const Attr *k = &x->n->attr[KERNEL_SHAPE];
    for (int i = 0; k->kind != ATTR_NONE && i < rank; i++)
        if (k->n != rank || k->is[i] != w->dim[2 + i]) return infer_error(x, "kernel_shape disagrees with the weight's shape");
    const Type *zx = zero_type(x->n, ZERO_X), *zw = zero_type(x->n, ZERO_W);
    if (zx && !one_element(zx)) return infer_error(x, "the zero point of the input has more than one element");
    if (zw && !one_element(zw) && (zw->rank != 1 || zw->dim[0] != w->dim[0]))
        return infer_error(x, "the zero point of the weight is expected to have 1 element or %lld, one an output channel",
                           (long long)w->dim[0]);
    if (!window_infer(x, &attrs, rank, in->dim + 2, w->dim + 2, win)) return false;
    e[0] = type_extent(x->g, in, 0), e[1] = e_int(x->g->a, w->dim[0]);
    for (int i = 0; i < rank; i++)
        if (!(e[2 + i] = window_extent(x, &attrs, i, &win[i], type_extent(x->g, in, 2 + i)))) return false;
    return infer_extents(x, 0, DT_INT32, in->rank, e);
}
static Expr *blocks(Lower *L, Expr *n, int64_t size) { /* as many as cover n */
    int64_t v;
    return e_is_int(n, &v) ? e_int(L->a, ceil_div(v, size)) : e_div(L->a, e_add(L->a, n, e_int(L->a, size - 1)), e_int(L->a, size));
}
typedef struct Conv {
    Node *n;
    const Type *in, *wt, *ot;
    int last; /* spatial axes before the innermost one */
    Window win[WIN_SPATIAL];
    Expr *vn, *vg, *m0, *pos[WIN_SPATIAL], *from, *to; /* sample, group, first channel, outer position, range of the row */
    int64_t mb, tile, cg;
    Buf *acc;
} Conv;
static void conv_taps(Lower *L, Conv *p) {
    static const char *const tap[] = {"q", "r", "s"};
    Arena *a = L->a;
    Expr *xi[QN_MAX_RANK], *wi[QN_MAX_RANK], *lo, *hi;
    Expr *c = lower_loop(L, "c", p->cg);
    xi[0] = p->vn, xi[1] = e_add(a, e_mul(a, p->vg, e_int(a, p->cg)), c);
    wi[1] = c;
    for (int i = 0; i < p->last; i++) {
        window_taps(L, &p->win[i], p->pos[i], &lo, &hi);
        wi[2 + i] = lower_loop_range(L, tap[i + 2 - p->last], lo, hi);
        xi[2 + i] = window_at(L, &p->win[i], p->pos[i], wi[2 + i]);
    }
    const Window *row = &p->win[p->last];
    wi[2 + p->last] = lower_loop(L, "s", row->k);
    window_outputs(L, row, wi[2 + p->last], &lo, &hi);
    lo = lower_let(L, "from", e_max(a, lo, p->from)), hi = lower_let(L, "to", e_min(a, hi, p->to));
    Expr *j = lower_loop(L, "j", p->mb);
    wi[0] = e_add(a, p->m0, j);
    Expr *w = lower_let(L, "w", centred(L, p->n, ZERO_W, lower_load(L, p->n, 1, wi), wi));
    Expr *f = lower_loop_range(L, "f", lo, hi);
    xi[2 + p->last] = window_at(L, row, f, wi[2 + p->last]);
    Expr *x = centred(L, p->n, ZERO_X, lower_load(L, p->n, 0, xi), NULL);
    lower_put(L, p->acc, (Expr *[]){j, e_sub(a, f, p->from)}, e_mul(a, w, x), RED_ADD);
    lower_ends(L, 2 + 1 + p->last + 1);
}
bool lower_conv_integer(Lower *L, Node *n) {
    static const char *const outer[] = {"d", "e"};
    Arena *a = L->a;
    Conv p = {.n = n, .in = &n->in[0]->type, .wt = &n->in[1]->type, .ot = &n->out[0]->type};
    int64_t group = attr_i(n, GROUP), mg = p.wt->dim[0] / group;
    p.last = p.in->rank - 3, p.cg = p.wt->dim[1];
    window_of(n, &attrs, p.last + 1, p.in->dim + 2, p.wt->dim + 2, p.ot->dim + 2, p.win);
    window_run_time(L, n, &attrs, p.last + 1, p.in, p.ot, p.win);
    Expr *width = lower_dim(L, p.ot, 2 + p.last);
    p.tile = max_i64(min_i64(p.win[p.last].out, CONV_ROW), 1);
    p.mb = mg % 4 == 0 ? 4 : mg % 2 == 0 ? 2 : 1; /* output channels that share the loads of x */
    p.vn = lower_loop_to(L, "n", lower_dim(L, p.in, 0));
    p.vg = lower_loop(L, "g", group);
    Expr *mo = lower_loop(L, "mo", mg / p.mb);
    p.m0 = e_add(a, e_mul(a, p.vg, e_int(a, mg)), e_mul(a, mo, e_int(a, p.mb)));
    for (int i = 0; i < p.last; i++) p.pos[i] = lower_loop_to(L, outer[i + (p.last == 1)], lower_dim(L, p.ot, 2 + i));
    p.from = e_mul(a, lower_loop_to(L, "ft", blocks(L, width, p.tile)), e_int(a, p.tile));
    p.to = e_min(a, e_add(a, p.from, e_int(a, p.tile)), width);
    p.acc = lower_temp(L, "acc", DT_INT32, 2, (int64_t[]){p.mb, p.tile});
    Expr *j = lower_loop(L, "j", p.mb), *f = lower_loop(L, "f", p.tile);
    lower_put(L, p.acc, (Expr *[]){j, f}, e_lit_i(a, DT_INT32, 0), RED_NONE);
    lower_ends(L, 2);
    conv_taps(L, &p);
    Expr *idx[QN_MAX_RANK];
    j = lower_loop(L, "j", p.mb);
    f = lower_loop_range(L, "f", p.from, p.to);
    idx[0] = p.vn, idx[1] = e_add(a, p.m0, j);
    for (int i = 0; i < p.last; i++) idx[2 + i] = p.pos[i];
    idx[2 + p.last] = f;
    lower_store(L, n, 0, idx, lower_get(L, p.acc, (Expr *[]){j, e_sub(a, f, p.from)}));
    lower_ends(L, 2 + 1 + p.last + 3);
    return true;
}

/* ---- MatMulInteger: numpy's rules. Zero points: one, one per row of A or column of B, or a tensor that broadcasts */
static bool zero_fits(Infer *x, int input, const Type *t, int axis) {
    const Type *z = zero_type(x->n, input);
    if (!z || one_element(z)) return true;
    bool ok = z->rank == 1 ? t->rank > 1 && infer_same_extent(x, type_extent(x->g, z, 0), type_extent(x->g, t, axis)) : z->rank == t->rank;
    for (int i = 0; ok && z->rank > 1 && i < z->rank; i++) ok = infer_broadcasts(x, type_extent(x->g, z, i), type_extent(x->g, t, i));
    return ok ||
           infer_error(x, "the zero point in input %d is expected to have 1 element, %lld, or a shape that broadcasts to its operand's",
                       input, (long long)(t->rank > 1 ? t->dim[axis] : 1));
}
bool infer_matmul_integer(Infer *x) {
    const Type *a = &x->n->in[0]->type, *b = &x->n->in[1]->type;
    Expr *e[QN_MAX_RANK];
    if (a->rank < 1 || b->rank < 1) return infer_error(x, "an operand is a scalar, expected at least one dim");
    int ka = a->rank - 1, kb = b->rank > 1 ? b->rank - 2 : 0, la = max_i64(a->rank - 2, 0), lb = max_i64(b->rank - 2, 0),
        rank = la > lb ? la : lb;
    if (!infer_same_extent(x, type_extent(x->g, a, ka), type_extent(x->g, b, kb)))
        return infer_error(x, "the inner extents are %lld and %lld, expected the same", (long long)a->dim[ka], (long long)b->dim[kb]);
    if (!zero_fits(x, ZERO_X, a, a->rank - 2) || !zero_fits(x, ZERO_W, b, b->rank - 1)) return false;
    for (int k = 0; k < rank; k++) {
        Expr *p = k < rank - la ? NULL : type_extent(x->g, a, k - rank + la),
             *q = k < rank - lb ? NULL : type_extent(x->g, b, k - rank + lb);
        if (!(e[k] = p && q ? infer_broadcast_extent(x, p, q) : p ? p : q)) return infer_error(x, "the leading extents do not broadcast");
    }
    if (a->rank > 1) e[rank++] = type_extent(x->g, a, a->rank - 2);
    if (b->rank > 1) e[rank++] = type_extent(x->g, b, b->rank - 1);
    return infer_extents(x, 0, DT_INT32, rank, e);
}
/* Element (i, k) of an operand under the leading indices of the result. `axis`: the one whose index picks a vector's zero point. */
static Expr *mm_load(Lower *L, Node *n, int input, int nlead, Expr *const *lead, Expr *i, Expr *k, int axis) {
    const Type *t = &n->in[input]->type, *z = zero_type(n, ZERO_X + input);
    Expr *idx[QN_MAX_RANK], *zi[QN_MAX_RANK];
    int r = t->rank > 2 ? t->rank - 2 : 0;
    for (int q = 0; q < r; q++) idx[q] = lower_broadcast(L, t, q, &n->out[0]->type, q + nlead - r, lead[q + nlead - r]);
    if (t->rank > 1) idx[r++] = i;
    idx[r++] = t->rank > 1 ? k : input ? i : k;
    for (int q = 0; z && q < z->rank; q++) zi[q] = z->rank == 1 ? idx[max_i64(axis, 0)] : z->dim[q] == 1 ? e_int(L->a, 0) : idx[q];
    return centred(L, n, ZERO_X + input, lower_load(L, n, input, idx), zi);
}
static bool whole(const Expr *n, int64_t size) { /* sure to consist of blocks */
    int64_t v;
    return e_is_int(n, &v) && v % size == 0;
}
bool lower_matmul_integer(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *ta = &n->in[0]->type, *tb = &n->in[1]->type, *o = &n->out[0]->type;
    bool row = ta->rank > 1, col = tb->rank > 1;
    Expr *M = row ? lower_dim(L, ta, ta->rank - 2) : e_int(a, 1), *N = col ? lower_dim(L, tb, tb->rank - 1) : e_int(a, 1);
    int64_t rows = row ? max_i64(min_i64(ta->dim[ta->rank - 2], MM_ROWS), 1) : 1;
    int64_t cols = col ? max_i64(min_i64(tb->dim[tb->rank - 1], MM_COLS), 1) : 1;
    int nlead = o->rank - row - col;
    Expr *lead[QN_MAX_RANK], *idx[QN_MAX_RANK];
    for (int i = 0; i < nlead; i++) lead[i] = lower_loop_to(L, arena_printf(a, "b%d", i), lower_dim(L, o, i));
    Expr *m0 = e_mul(a, lower_loop_to(L, "mo", blocks(L, M, rows)), e_int(a, rows));
    Expr *n0 = e_mul(a, lower_loop_to(L, "no", blocks(L, N, cols)), e_int(a, cols));
    Expr *mend = whole(M, rows) ? e_int(a, rows) : e_min(a, e_int(a, rows), e_sub(a, M, m0));
    Expr *nend = whole(N, cols) ? e_int(a, cols) : e_min(a, e_int(a, cols), e_sub(a, N, n0));
    Buf *acc = lower_temp(L, "acc", DT_INT32, 2, (int64_t[]){rows, cols});
    Expr *i = lower_loop(L, "i", rows), *j = lower_loop(L, "j", cols);
    lower_put(L, acc, (Expr *[]){i, j}, e_lit_i(a, DT_INT32, 0), RED_NONE);
    lower_ends(L, 2);
    Expr *k = lower_loop_to(L, "k", lower_dim(L, ta, ta->rank - 1));
    i = lower_loop_range(L, "i", e_int(a, 0), mend);
    Expr *x = lower_let(L, "x", mm_load(L, n, 0, nlead, lead, e_add(a, m0, i), k, ta->rank - 2));
    j = lower_loop_range(L, "j", e_int(a, 0), nend);
    Expr *at = e_add(a, n0, j);
    lower_put(L, acc, (Expr *[]){i, j},
              e_mul(a, x, col ? mm_load(L, n, 1, nlead, lead, k, at, tb->rank - 1) : mm_load(L, n, 1, nlead, lead, k, k, 0)), RED_ADD);
    lower_ends(L, 3);
    i = lower_loop_range(L, "i", e_int(a, 0), mend), j = lower_loop_range(L, "j", e_int(a, 0), nend);
    int r = 0;
    for (; r < nlead; r++) idx[r] = lead[r];
    if (row) idx[r++] = e_add(a, m0, i);
    if (col) idx[r++] = e_add(a, n0, j);
    lower_store(L, n, 0, idx, lower_get(L, acc, (Expr *[]){i, j}));
    lower_ends(L, 4 + nlead);
    return true;
}

/* ---- DynamicQuantizeLinear: the range of the values, widened to hold 0, becomes 0…255 */
bool infer_dynamic_quantize(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    return infer_out(x, 1, DT_FLOAT32, 0, NULL) && infer_out(x, 2, DT_UINT8, 0, NULL) && infer_like(x, 0, DT_UINT8, t);
}
bool lower_dynamic_quantize(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    Expr *idx[QN_MAX_RANK], *none = e_lit(a, DT_FLOAT32, 0);
    Buf *least = lower_temp(L, "least", DT_FLOAT32, 0, NULL), *most = lower_temp(L, "most", DT_FLOAT32, 0, NULL);
    lower_put(L, least, NULL, none, RED_NONE);
    lower_put(L, most, NULL, none, RED_NONE);
    lower_loops(L, NULL, t, idx);
    Expr *x = lower_let(L, "x", e_cast(a, DT_FLOAT32, lower_load(L, n, 0, idx)));
    lower_put(L, least, NULL, x, RED_MIN);
    lower_put(L, most, NULL, x, RED_MAX);
    lower_ends(L, t->rank);
    Expr *lo = lower_let(L, "lo", lower_get(L, least, NULL)), *hi = lower_get(L, most, NULL);
    Expr *scale = lower_let(L, "scale", e_div(a, e_sub(a, hi, lo), e_lit(a, DT_FLOAT32, 255)));
    scale = lower_let(L, "scale", e_select(a, e_eq(a, scale, none), e_lit(a, DT_FLOAT32, 1), scale));
    static const char *const names[] = {"x", "scale", "zero"};
    Expr *zero = lower_let(L, "zero", lower_formula(L, "rint(clamp(0 - x/scale, 0, 255))", 2, names, (Expr *[]){lo, scale}));
    lower_store(L, n, 1, NULL, scale);
    lower_store(L, n, 2, NULL, zero);
    lower_loops(L, NULL, t, idx);
    x = e_cast(a, DT_FLOAT32, lower_load(L, n, 0, idx));
    lower_store(L, n, 0, idx, lower_formula(L, "clamp(rint(x/scale) + zero, 0, 255)", 3, names, (Expr *[]){x, scale, zero}));
    lower_ends(L, t->rank);
    return true;
}

/* ---- Unpacked: constants that are kept as integers, float32 again where they are read. A scale, and a number that is added before, is for
 * one index of an axis, for as many as there are of them for each scale, or for all. */
bool infer_unpacked(Infer *x) {
    const Type *q = &x->n->in[0]->type;
    for (int k = 1; k < x->n->nin; k++) {
        const Type *s = x->n->in[k] ? &x->n->in[k]->type : NULL;
        for (int i = 0; s && i < max_i64(q->rank, s->rank); i++)
            if (s->rank != q->rank || s->dim[i] < 1 || q->dim[i] % s->dim[i])
                return infer_error(
                    x, "input %d is expected to be of the rank of the integers, each value for as many of them along an axis", k);
    }
    return infer_out(x, 0, DT_FLOAT32, q->rank, q->dim);
}
Expr *compute_unpacked(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    const Type *q = &n->in[0]->type;
    Expr *v = e_cast(a, DT_FLOAT32, e_cast(a, DT_INT32, lower_load(L, n, 0, idx))), *at[QN_MAX_RANK];
    for (int k = n->nin - 1; k > 0; k--) { /* first the number that is added */
        if (!n->in[k]) continue;
        for (int i = 0; i < q->rank; i++) {
            int64_t count = n->in[k]->type.dim[i];
            at[i] = count == 1 ? e_int(a, 0) : count == q->dim[i] ? idx[i] : e_div(a, idx[i], e_int(a, q->dim[i] / count));
        }
        v = k == 2 ? e_add(a, v, lower_load(L, n, k, at)) : e_mul(a, v, lower_load(L, n, k, at));
    }
    return v;
}
