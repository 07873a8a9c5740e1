/* SPDX-License-Identifier: Apache-2.0 */
/* roi.c: pooling over regions that are data (MaxRoiPool, RoiAlign), and MaxUnpool, which puts elements back where MaxPool found them.
 * Regions may reach beyond the image; batch indices out of range are brought to the nearest.
 *
 *   RoiAlign:  for r, ph, pw:  for each sample of the bin:  for c: acc[c] += bilinear(x[batch[r],c], y, x);  store acc / samples
 */
#include "../extent.h"
#include <string.h>

static Expr *clamp_int(Lower *L, Expr *i, Expr *n) { return e_max(L->a, e_min(L->a, i, e_sub(L->a, n, e_int(L->a, 1))), e_int(L->a, 0)); }
static Expr *real(Lower *L, DType t, Expr *n) {
    int64_t v;
    return e_is_int(n, &v) ? e_lit(L->a, t, (double)v) : e_cast(L->a, t, n);
}
static Expr *named(Lower *L, const char *name, const char *formula, int n, const char *const *names, Expr *const *v) {
    return lower_let(L, name, lower_formula(L, formula, n, names, v));
}
static bool check_image(Infer *x, int columns) {
    const Type *t = &x->n->in[0]->type, *r = &x->n->in[1]->type;
    if (t->rank != 4) return infer_error(x, "the input has rank %d; 4 is expected", t->rank);
    if (r->rank != 2 || r->dim[1] != columns) return infer_error(x, "the regions are expected to be a matrix of %d columns", columns);
    for (int i = 0; i < 4; i++)
        if (!infer_some(x, type_extent(x->g, t, i), type_extent(x->g, r, 0)))
            return infer_error(x, "axis %d of the input has no elements", i);
    return true;
}

static bool regions_out(Infer *x, int64_t h, int64_t w) {
    const Type *t = &x->n->in[0]->type;
    Expr *e[4] = {type_extent(x->g, &x->n->in[1]->type, 0), type_extent(x->g, t, 1), e_int(x->g->a, h), e_int(x->g->a, w)};
    return infer_extents(x, 0, t->dt, 4, e);
}

/* ---- MaxRoiPool: regions are (batch, x1, y1, x2, y2), rounded to whole elements */
enum { MR_SHAPE, MR_SCALE };
bool infer_max_roi_pool(Infer *x) {
    const Attr *s = &x->n->attr[MR_SHAPE];
    if (!check_image(x, 5)) return false;
    if (s->n != 2 || s->is[0] < 1 || s->is[1] < 1) return infer_error(x, "pooled_shape is expected to be two positive numbers");
    return regions_out(x, s->is[0], s->is[1]);
}
typedef struct Span {
    Expr *start, *bin; /* first element; elements per bin */
} Span;
static Span roi_span(Lower *L, Node *n, Expr *r, int lo, int64_t bins) {
    static const char *const names[] = {"v", "s"};
    static const char round[] = "v*s >= 0 ? floor(v*s + 0.5) : ceil(v*s - 0.5)";
    Arena *a = L->a;
    DType ct = dtype_compute(n->in[1]->type.dt);
    Expr *scale = e_lit(a, ct, attr_f(n, MR_SCALE));
    Expr *from = named(L, "from", round, 2, names, (Expr *[]){lower_load(L, n, 1, (Expr *[]){r, e_int(a, lo)}), scale});
    Expr *to = named(L, "to", round, 2, names, (Expr *[]){lower_load(L, n, 1, (Expr *[]){r, e_int(a, lo + 2)}), scale});
    Expr *len = e_max(a, e_add(a, e_sub(a, to, from), e_lit(a, ct, 1)), e_lit(a, ct, 1));
    return (Span){from, lower_let(L, "bin", e_div(a, len, e_lit(a, ct, (double)bins)))};
}
/* Elements [*lo, *hi) of bin p, inside the image. */
static void roi_range(Lower *L, const Span *s, Expr *p, Expr *n, Expr **lo, Expr **hi) {
    static const char *const names[] = {"p", "bin", "start", "n"};
    Arena *a = L->a;
    Expr *v[] = {e_cast(a, s->bin->t, p), s->bin, s->start, real(L, s->bin->t, n)};
    *lo = lower_let(L, "lo", e_cast(a, DT_INT64, lower_formula(L, "clamp(floor(p*bin) + start, 0, n)", 4, names, v)));
    *hi = lower_let(L, "hi", e_cast(a, DT_INT64, lower_formula(L, "clamp(ceil((p + 1)*bin) + start, 0, n)", 4, names, v)));
}
bool lower_max_roi_pool(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    DType ct = dtype_compute(t->dt);
    Expr *r = lower_loop_to(L, "r", lower_dim(L, o, 0)), *y0, *y1, *x0, *x1;
    Expr *batch =
        lower_let(L, "batch", clamp_int(L, e_cast(a, DT_INT64, lower_load(L, n, 1, (Expr *[]){r, e_int(a, 0)})), lower_dim(L, t, 0)));
    Span sw = roi_span(L, n, r, 1, o->dim[3]), sh = roi_span(L, n, r, 2, o->dim[2]);
    Expr *c = lower_loop_to(L, "c", lower_dim(L, o, 1)), *ph = lower_loop_to(L, "ph", lower_dim(L, o, 2));
    roi_range(L, &sh, ph, lower_dim(L, t, 2), &y0, &y1);
    Expr *pw = lower_loop_to(L, "pw", lower_dim(L, o, 3));
    roi_range(L, &sw, pw, lower_dim(L, t, 3), &x0, &x1);
    Buf *top = lower_temp(L, "top", ct, 0, NULL);
    lower_put(L, top, NULL, e_lower_bound(a, ct), RED_NONE);
    Expr *y = lower_loop_range(L, "y", y0, y1), *x = lower_loop_range(L, "x", x0, x1);
    lower_put(L, top, NULL, lower_load(L, n, 0, (Expr *[]){batch, c, y, x}), RED_MAX);
    lower_ends(L, 2);
    Expr *some = e_bin(a, BIN_LAND, e_lt(a, y0, y1), e_lt(a, x0, x1));
    lower_store(L, n, 0, (Expr *[]){r, c, ph, pw}, e_select(a, some, lower_get(L, top, NULL), e_lit(a, ct, 0)));
    lower_ends(L, 4);
    return true;
}

/* ---- RoiAlign: regions are (x1, y1, x2, y2), sampled bilinearly */
enum { RA_COORD, RA_MODE, RA_HEIGHT, RA_WIDTH, RA_SAMPLING, RA_SCALE };
enum { SAMPLES_MAX = 1 << 16 };
bool infer_roi_align(Infer *x) {
    const Node *n = x->n;
    const Type *r = &n->in[1]->type, *b = &n->in[2]->type;
    const char *c = attr_s(n, RA_COORD), *m = attr_s(n, RA_MODE);
    if (!check_image(x, 4)) return false;
    if (b->rank != 1 || !infer_same_extent(x, type_extent(x->g, b, 0), type_extent(x->g, r, 0)))
        return infer_error(x, "there are expected to be %lld batch indices, one a region", (long long)r->dim[0]);
    if (strcmp(c, "half_pixel") != 0 && strcmp(c, "output_half_pixel") != 0)
        return infer_error(x, "coordinate_transformation_mode is '%s'; half_pixel or output_half_pixel is expected", c);
    if (strcmp(m, "avg") != 0 && strcmp(m, "max") != 0) return infer_error(x, "mode is '%s'; avg or max is expected", m);
    if (attr_i(n, RA_HEIGHT) < 1 || attr_i(n, RA_WIDTH) < 1 || attr_i(n, RA_SAMPLING) < 0 || attr_i(n, RA_SAMPLING) > SAMPLES_MAX)
        return infer_error(x, "output_height, output_width or sampling_ratio is out of range");
    return regions_out(x, attr_i(n, RA_HEIGHT), attr_i(n, RA_WIDTH));
}
typedef struct Align {         /* one axis of a region */
    Expr *start, *bin, *count; /* position, elements per bin, samples per bin */
} Align;
static Align align_axis(Lower *L, Node *n, Expr *r, int lo, int64_t bins) {
    Arena *a = L->a;
    DType ct = dtype_compute(n->in[1]->type.dt);
    bool half = strcmp(attr_s(n, RA_COORD), "half_pixel") == 0;
    Expr *v[2];
    for (int i = 0; i < 2; i++) {
        v[i] = e_mul(a, lower_load(L, n, 1, (Expr *[]){r, e_int(a, lo + 2 * i)}), e_lit(a, ct, attr_f(n, RA_SCALE)));
        if (half) v[i] = e_sub(a, v[i], e_lit(a, ct, 0.5));
        v[i] = lower_let(L, i ? "to" : "from", v[i]);
    }
    Expr *len = e_sub(a, v[1], v[0]);
    if (!half) len = e_max(a, len, e_lit(a, ct, 1));
    Align x = {v[0], lower_let(L, "bin", e_div(a, len, e_lit(a, ct, (double)bins))), e_int(a, attr_i(n, RA_SAMPLING))};
    if (attr_i(n, RA_SAMPLING) == 0) {
        Expr *many = e_cast(a, DT_INT64, e_call1(a, CALL_CEIL, x.bin));
        x.count = lower_let(L, "count", e_max(a, e_min(a, many, e_int(a, SAMPLES_MAX)), e_int(a, 0)));
    }
    return x;
}
typedef struct Tap {
    Expr *inside, *lo, *hi, *w; /* reads (1-w)*[lo] + w*[hi] */
} Tap;
static Tap align_tap(Lower *L, const Align *x, Expr *p, Expr *i, Expr *n) {
    static const char *const names[] = {"start", "bin", "p", "i", "count"};
    Arena *a = L->a;
    DType t = x->start->t;
    Tap r;
    Expr *pos = named(L, "pos", "start + p*bin + (i + 0.5)*bin/count", 5, names,
                      (Expr *[]){x->start, x->bin, e_cast(a, t, p), e_cast(a, t, i), e_cast(a, t, x->count)});
    r.inside = e_bin(a, BIN_LAND, e_le(a, e_lit(a, t, -1), pos), e_le(a, pos, real(L, t, n)));
    pos = lower_let(L, "pos", e_max(a, e_min(a, pos, real(L, t, e_sub(a, n, e_int(a, 1)))), e_lit(a, t, 0)));
    r.lo = lower_let(L, "low", clamp_int(L, e_cast(a, DT_INT64, pos), n));
    r.hi = lower_let(L, "high", e_min(a, e_add(a, r.lo, e_int(a, 1)), e_sub(a, n, e_int(a, 1))));
    r.w = lower_let(L, "part", e_sub(a, pos, e_cast(a, t, r.lo)));
    return r;
}
/* Adds one sample to acc[c] of every channel. */
static void add_sample(Lower *L, Node *n, Buf *acc, Expr *batch, const Tap *y, const Tap *x, bool max) {
    Arena *a = L->a;
    DType ct = acc->dt;
    Expr *one = e_lit(a, y->w->t, 1), *inside = lower_let(L, "inside", e_bin(a, BIN_LAND, y->inside, x->inside)), *w[4], *v[4];
    for (int i = 0; i < 4; i++) {
        Expr *q = e_mul(a, i & 2 ? y->w : e_sub(a, one, y->w), i & 1 ? x->w : e_sub(a, one, x->w));
        w[i] = lower_let(L, "w", e_cast(a, ct, e_select(a, inside, q, e_lit(a, q->t, 0))));
    }
    Expr *c = lower_loop_to(L, "c", lower_dim(L, &n->in[0]->type, 1));
    for (int i = 0; i < 4; i++)
        v[i] = e_mul(a, w[i], lower_load(L, n, 0, (Expr *[]){batch, c, i & 2 ? y->hi : y->lo, i & 1 ? x->hi : x->lo}));
    if (max) lower_put(L, acc, &c, e_max(a, e_max(a, v[0], v[1]), e_max(a, v[2], v[3])), RED_MAX);
    else lower_put(L, acc, &c, e_add(a, e_add(a, v[0], v[1]), e_add(a, v[2], v[3])), RED_ADD);
    lower_end(L);
}
bool lower_roi_align(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    DType ct = dtype_compute(t->dt);
    bool max = strcmp(attr_s(n, RA_MODE), "max") == 0;
    Expr *r = lower_loop_to(L, "r", lower_dim(L, o, 0));
    Expr *batch = lower_let(L, "batch", clamp_int(L, e_cast(a, DT_INT64, lower_load(L, n, 2, &r)), lower_dim(L, t, 0)));
    Align ax = align_axis(L, n, r, 0, o->dim[3]), ay = align_axis(L, n, r, 1, o->dim[2]);
    Expr *samples = lower_let(L, "samples", e_max(a, e_mul(a, ax.count, ay.count), e_int(a, 1)));
    Expr *ph = lower_loop_to(L, "ph", lower_dim(L, o, 2)), *pw = lower_loop_to(L, "pw", lower_dim(L, o, 3));
    Buf *acc = lower_temp(L, "acc", ct, 1, &o->dim[1]);
    Expr *c = lower_loop_to(L, "c", lower_dim(L, o, 1));
    Expr *start = e_lit(a, ct, 0);
    if (max) start = e_select(a, e_lt(a, e_int(a, 0), e_mul(a, ax.count, ay.count)), e_lower_bound(a, ct), start);
    lower_put(L, acc, &c, start, RED_NONE);
    lower_end(L);
    Expr *iy = lower_loop_range(L, "iy", e_int(a, 0), ay.count);
    Tap y = align_tap(L, &ay, ph, iy, lower_dim(L, t, 2));
    Expr *ix = lower_loop_range(L, "ix", e_int(a, 0), ax.count);
    Tap x = align_tap(L, &ax, pw, ix, lower_dim(L, t, 3));
    add_sample(L, n, acc, batch, &y, &x, max);
    lower_ends(L, 2);
    c = lower_loop_to(L, "c", lower_dim(L, o, 1));
    Expr *v = lower_get(L, acc, &c);
    lower_store(L, n, 0, (Expr *[]){r, c, ph, pw}, max ? v : e_div(a, v, e_cast(a, ct, samples)));
    lower_ends(L, 4);
    return true;
}

/* ---- MaxUnpool: indices are positions in the flattened output, as it would be without output_shape */
enum { MU_KERNEL, MU_PADS, MU_STRIDES };
static int64_t unpooled(const Node *n, int i) { /* extent of spatial axis i without output_shape; -1: overflow */
    const Attr *k = &n->attr[MU_KERNEL], *p = &n->attr[MU_PADS], *s = &n->attr[MU_STRIDES];
    int64_t r = n->in[0]->type.dim[2 + i] - 1;
    bool ok = mul_ok(r, s->n ? s->is[i] : 1, &r) && add_ok(r, k->is[i], &r);
    if (ok && p->n) ok = add_ok(r, -p->is[i], &r) && add_ok(r, -p->is[i + k->n], &r);
    return ok ? r : -1;
}
static bool check_unpool_attrs(Infer *x) {
    const Attr *k = &x->n->attr[MU_KERNEL], *p = &x->n->attr[MU_PADS], *s = &x->n->attr[MU_STRIDES];
    if (x->n->in[0]->type.rank < 3 || k->n != x->n->in[0]->type.rank - 2)
        return infer_error(x, "kernel_shape has %lld values for an input of rank %d", (long long)k->n, x->n->in[0]->type.rank);
    if ((p->n && p->n != 2 * k->n) || (s->n && s->n != k->n))
        return infer_error(x, "pads or strides have %lld or %lld values; %lld or %lld are expected", (long long)p->n, (long long)s->n,
                           2 * (long long)k->n, (long long)k->n);
    for (int64_t i = 0; i < k->n; i++)
        if (k->is[i] < 1 || (s->n && s->is[i] < 1))
            return infer_error(x, "kernel and stride of spatial axis %lld are expected to be positive", (long long)i);
    for (int64_t i = 0; i < p->n; i++)
        if (p->is[i] < 0) return infer_error(x, "pads has %lld; at least 0 is expected", (long long)p->is[i]);
    return true;
}
/* The same of an extent that may be known at run time only. */
static Expr *unpooled_extent(Graph *g, const Node *n, int i, Expr *in) {
    const Attr *s = &n->attr[MU_STRIDES];
    int64_t stride = s->n ? s->is[i] : 1, more = unpooled(n, i) - n->in[0]->type.dim[2 + i] * stride;
    return extent_add(g, extent_mul(g, in, e_int(g->a, stride)), e_int(g->a, more));
}
bool infer_max_unpool(Infer *x) {
    const Type *t = &x->n->in[0]->type, *it = &x->n->in[1]->type;
    const int64_t *shape;
    int64_t dim[QN_MAX_RANK], n;
    if (!check_unpool_attrs(x)) return false;
    bool same = it->rank == t->rank;
    for (int i = 0; same && i < t->rank; i++) same = infer_same_extent(x, type_extent(x->g, it, i), type_extent(x->g, t, i));
    if (!same) return infer_error(x, "the indices are expected to have the shape of the input");
    Expr *e[QN_MAX_RANK];
    type_extents(x->g, t, e);
    for (int i = 0; i < t->rank - 2; i++) {
        dim[2 + i] = unpooled(x->n, i);
        if (dim[2 + i] < 1) return infer_error(x, "spatial axis %d would have the extent %lld", i, (long long)dim[2 + i]);
        e[2 + i] = unpooled_extent(x->g, x->n, i, e[2 + i]);
    }
    if (!infer_ints(x, 2, &shape, &n))
        return infer_declared(x, 0, t->dt, "output_shape") &&
               (x->n->out[0]->type.rank == t->rank || infer_error(x, "the output is declared with another rank"));
    if (n != 0 && n != t->rank) return infer_error(x, "output_shape has %lld entries; %d are expected", (long long)n, t->rank);
    return n ? infer_out(x, 0, t->dt, t->rank, shape) : infer_extents(x, 0, t->dt, t->rank, e);
}
bool lower_max_unpool(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    Buf *y = lower_tensor(L, n->out[0]);
    Expr *idx[QN_MAX_RANK], *at[QN_MAX_RANK], *ok = e_lit_i(a, DT_BOOL, 1);
    lower_loops(L, NULL, o, idx);
    Expr *flat;
    lower_put(L, y, lower_buffer_index(L, n->out[0], idx, &flat), e_lit(a, dtype_compute(o->dt), 0), RED_NONE);
    lower_ends(L, o->rank);
    lower_loops(L, NULL, t, idx);
    Expr *rest = lower_let(L, "flat", lower_load(L, n, 1, idx));
    for (int k = t->rank - 1; k >= 0; k--) {
        Expr *d = k < 2 ? lower_dim(L, t, k) : lower_extent(L, unpooled_extent(L->g, n, k - 2, type_extent(L->g, t, k)));
        at[k] = k ? e_mod(a, rest, d) : rest;
        at[k] = lower_let(L, "at", at[k]);
        if (k) rest = lower_let(L, "rest", e_div(a, rest, d));
        ok = e_bin(a, BIN_LAND, ok, e_bin(a, BIN_LAND, e_le(a, e_int(a, 0), at[k]), e_lt(a, at[k], lower_dim(L, o, k))));
    }
    lower_if(L, ok);
    lower_put(L, y, lower_buffer_index(L, n->out[0], at, &flat), lower_load(L, n, 0, idx), RED_NONE);
    lower_end(L);
    lower_ends(L, t->rank);
    return true;
}
