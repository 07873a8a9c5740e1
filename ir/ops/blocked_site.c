/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_site.c: see blocked_site.h. Padding costs no tests: where some taps of a block read outside, the block has a nest of its own
 * in which each tap has its own range of outputs. A block of one row may also have its rows of taps clamped at run time.
 *
 *   3 x 3, pad 1, 28 columns in blocks of 14  --->  columns 0..14 (left edge), 14..28 (right edge), rows of taps clamped
 */
#include "blocked_site.h"
#include "../fusion.h"

void site_init(Site *s, Lower *L, Node *n, int64_t lanes) {
    *s = (Site){.L = L, .n = n, .lanes = lanes, .vecs = 1};
    const Type *in = &n->in[0]->type;
    int64_t source = n->op->nattr > BLK_SOURCE ? attr_i(n, BLK_SOURCE) : 0;
    int h = source == BLK_SOURCE_NHWC ? 1 : 2;
    Window *w[2] = {&s->h, &s->w};
    const Type *o = &n->out[0]->type;
    L->affine = true;
    s->in_lanes = source ? in->dim[source == BLK_SOURCE_NHWC ? 3 : 1] : lanes;
    s->fill = e_lit(L->a, dtype_compute(o->dt), 0);
    s->high = lower_let(L, "high", lower_dim(L, o, 2)), s->wide = lower_let(L, "wide", lower_dim(L, o, 3));
    for (int k = 0; k < 2; k++)
        *w[k] = (Window){.in = in->dim[h + k],
                         .out = n->attr[BLK_OUT].is[k],
                         .k = n->attr[BLK_KERNEL].is[k],
                         .stride = n->attr[BLK_STRIDES].is[k],
                         .dil = n->attr[BLK_DILATIONS].is[k],
                         .lo = n->attr[BLK_PADS].is[k]};
    for (int k = 0; k < 2; k++) {
        if (!in->ext || !in->ext[h + k]) continue;
        w[k]->run_in = lower_let(L, k ? "in_wide" : "in_high", lower_dim(L, in, h + k)), w[k]->run_out = k ? s->wide : s->high;
        w[k]->hi = n->attr[BLK_PADS].n > 2 ? n->attr[BLK_PADS].is[2 + k] : 0;
        w[k]->inside = w[k]->lo == 0 && w[k]->hi == 0;
    }
}
/* Names tell the tile pass what a loop is for: u1, u2 … are written out, vl1, vl2 … are the lanes. */
static Expr *unrolled(Site *s, int64_t from, int64_t to) {
    if (to - from == 1) {
        lower_loop(s->L, "u", 1);
        return e_int(s->L->a, from);
    }
    return lower_loop_range(s->L, arena_printf(s->L->a, "u%d", s->L->f->nvar), e_int(s->L->a, from), e_int(s->L->a, to));
}
Expr *site_lane(Site *s) { return lower_loop(s->L, arena_printf(s->L->a, "vl%d", s->L->f->nvar), s->lanes); }
Part site_whole(const Site *s) { return (Part){0, s->rows, 0, s->cols}; }
void site_open(Site *s, int64_t top, int64_t bottom, int64_t from, int64_t to) {
    s->i[0] = unrolled(s, top, bottom), s->i[1] = unrolled(s, from, to), s->i[2] = unrolled(s, 0, s->vecs), s->i[3] = site_lane(s);
}
void site_open_acc(Site *s, int64_t from, int64_t to) { site_open(s, 0, s->rows, from, to); }
void site_close(Site *s) { lower_ends(s->L, 4); }
void site_make_acc(Site *s) {
    int64_t dim[] = {s->rows, s->cols, s->vecs, s->lanes};
    DType t = dtype_compute(s->n->out[0]->type.dt);
    s->acc = buf_new(s->L->f, arena_printf(s->L->a, "acc%d", s->L->f->nbuf), t, 4, dim, MEM_REG);
    s_append(s->L->a, s->L->open.v[s->L->open.n - 1], s_alloc(s->L->a, s->acc));
}
Expr *site_out_row(const Site *s) { return e_add(s->L->a, s->row, s->i[0]); }
Expr *site_out_col(const Site *s) { return e_add(s->L->a, s->col, s->i[1]); }
static bool wide(const Lower *L) {
    for (int i = 0; L->fusion && i < L->fusion->nnode; i++) {
        const Node *n = L->fusion->node[i];
        if (n->role == ROLE_POINT && n->out[0] && n->out[0]->type.dt == DT_FLOAT64) return true;
    }
    return false;
}
/* ---- blocks of which some columns lie outside */
static Buf *stack(Site *s, const char *name, DType t, int rank, const int64_t *dim) {
    Buf *b = buf_new(s->L->f, arena_printf(s->L->a, "%s%d", name, s->L->f->nbuf), t, rank, dim, MEM_STACK);
    s_append(s->L->a, s->L->open.v[s->L->open.n - 1], s_alloc(s->L->a, b));
    return b;
}
static Expr *values(Site *s) { return s->in_lanes == s->lanes ? site_lane(s) : lower_loop(s->L, "c", s->in_lanes); }
static int64_t span(const Site *s, int64_t cols) { return (cols - 1) * s->w.stride + (s->w.k - 1) * s->w.dil + 1; }
void site_open_stage(Site *s, Expr **to, Expr **iw) {
    to[0] = lower_loop_range(s->L, "ej", s->from, s->to), to[1] = values(s);
    *iw = e_add(s->L->a, s->first, to[0]);
}
Expr *site_staged(Site *s, Expr *t, Expr *lane) {
    Arena *a = s->L->a;
    Expr *at = e_add(a, e_mul(a, s->i[1], e_int(a, s->w.stride)), e_mul(a, t, e_int(a, s->w.dil)));
    return lower_get(s->L, s->in, (Expr *[]){at, lane});
}
static void fill(Site *s, Expr *from, Expr *to) {
    Expr *at[] = {lower_loop_range(s->L, "ej", from, to), values(s)};
    lower_put(s->L, s->in, at, s->fill, RED_NONE);
    lower_ends(s->L, 2);
}
static void staged_block(Site *s, Buf *in, Buf *out, BlockFn fn, void *user) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *all = e_int(a, span(s, s->cols)), *zero = e_int(a, 0);
    s->from = lower_let(L, "lo", e_min(a, e_max(a, e_sub(a, zero, s->first), zero), all));
    s->to = lower_let(L, "hi", e_max(a, e_min(a, e_sub(a, s->w.run_in, s->first), all), s->from));
    s->valid = lower_let(L, "valid", e_min(a, e_sub(a, s->wide, s->col), e_int(a, s->cols)));
    s->in = in, s->out = out;
    fill(s, zero, s->from), fill(s, s->to, all);
    fn(s, user);
    s->in = s->out = NULL;
}
static void open_column(Site *s, Expr *col, int64_t cols) {
    Arena *a = s->L->a;
    s->col = lower_let(s->L, "col", col), s->cols = cols, s->edge = false;
    s->first = lower_let(s->L, "first", e_sub(a, e_mul(a, s->col, e_int(a, s->w.stride)), e_int(a, s->w.lo)));
}
/* As many columns as there are at run time: blocks, those that read outside by way of s->in, and half a block where that is enough. */
static void some_columns(Site *s, int64_t width, Expr *nth_row, BlockFn fn, void *user) {
    Lower *L = s->L;
    Arena *a = L->a;
    int64_t half = width > 1 ? ceil_div(width, 2) : 0;
    Expr *blocks = lower_let(L, "blocks", e_div(a, e_add(a, s->wide, e_int(a, width - half - 1)), e_int(a, width)));
    DType t = dtype_compute(s->n->out[0]->type.dt);
    Buf *in = stack(s, "in", dtype_compute(s->n->in[0]->type.dt), 2, (int64_t[]){span(s, width), s->in_lanes});
    Buf *out = stack(s, "out", t, 4, (int64_t[]){1, width, s->vecs, s->lanes});
    Expr *fo = lower_loop_to(L, "fo", blocks);
    open_column(s, e_mul(a, fo, e_int(a, width)), width);
    s->part = e_add(a, e_mul(a, nth_row, blocks), fo);
    Expr *inside = e_bin(a, BIN_LAND, e_le(a, e_add(a, s->first, e_int(a, span(s, width))), s->w.run_in),
                         e_le(a, e_add(a, s->col, e_int(a, width)), s->wide));
    lower_if(L, s->w.lo ? e_bin(a, BIN_LAND, e_le(a, e_int(a, 0), s->first), inside) : inside);
    fn(s, user);
    lower_else(L);
    staged_block(s, in, out, fn, user);
    lower_ends(L, 2);
    if (!half) return;
    open_column(s, e_mul(a, blocks, e_int(a, width)), half);
    s->part = e_mul(a, e_add(a, nth_row, e_int(a, 1)), blocks);
    lower_if(L, e_lt(a, s->col, s->wide));
    staged_block(s, in, out, fn, user);
    lower_end(L);
}
static void store_staged(Site *s, PlaceFn place, void *user) {
    Lower *L = s->L;
    Expr *at[5];
    site_open_acc(s, 0, s->cols);
    lower_put(L, s->out, s->i, lower_get(L, s->total ? s->total : s->acc, s->i), RED_NONE);
    site_close(s);
    Expr *i[] = {e_int(L->a, 0), lower_loop_to(L, "j", s->valid), lower_loop(L, "v", s->vecs), site_lane(s)};
    place(s, user, i, at);
    lower_store(L, s->n, 0, at, lower_get(L, s->out, i));
    lower_ends(L, 3);
}
void site_store(Site *s, PlaceFn place, void *user) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *at[5];
    Buf *from = s->total ? s->total : s->acc;
    DType t = dtype_compute(s->n->out[0]->type.dt);
    if (s->out) {
        store_staged(s, place, user);
        return;
    }
    if (!wide(L)) {
        site_open_acc(s, 0, s->cols);
        place(s, user, s->i, at);
        lower_store(L, s->n, 0, at, e_cast(a, t, lower_get(L, from, s->i)));
        site_close(s);
        return;
    }
    Buf *stage = buf_new(L->f, arena_printf(a, "stage%d", L->f->nbuf), from->dt, 4, s->acc->dim, MEM_STACK);
    s_append(a, L->open.v[L->open.n - 1], s_alloc(a, stage));
    site_open_acc(s, 0, s->cols);
    lower_put(L, stage, s->i, lower_get(L, from, s->i), RED_NONE);
    site_close(s);
    Expr *i[] = {lower_loop(L, "i", s->rows), lower_loop(L, "j", s->cols), lower_loop(L, "v", s->vecs), site_lane(s)};
    place(s, user, i, at);
    lower_store(L, s->n, 0, at, e_cast(a, t, lower_get(L, stage, i)));
    lower_ends(L, 4);
}
bool reads_inside(const Window *w, int64_t o, int64_t tap) {
    int64_t p = o * w->stride + tap * w->dil - w->lo;
    return p >= 0 && p < w->in;
}
static bool inside(const Window *w, int64_t from, int64_t to) { return reads_inside(w, from, 0) && reads_inside(w, to - 1, w->k - 1); }
void edge_range(const Window *w, int64_t first, int64_t n, int64_t tap, int64_t *from, int64_t *to) {
    for (*from = 0; *from < n && !reads_inside(w, first + *from, tap);) ++*from;
    for (*to = *from; *to < n && reads_inside(w, first + *to, tap);) ++*to;
}

static void columns(Site *s, int64_t width, Expr *nth_row, BlockFn fn, void *user) {
    Arena *a = s->L->a;
    if (s->w.run_in) {
        some_columns(s, width, nth_row, fn, user);
        return;
    }
    int64_t blocks = ceil_div(s->w.out, width), base = s->w.out / blocks, wider = s->w.out % blocks;
    for (int64_t b = 0, at = 0, run; b < blocks; b += run) {
        s->cols = base + (b < wider);
        s->edge = !inside(&s->w, at, at + s->cols);
        for (run = 1; !s->edge && b + run < blocks && base + (b + run < wider) == s->cols &&
                      inside(&s->w, at + run * s->cols, at + (run + 1) * s->cols);)
            run++;
        Expr *fo = lower_loop(s->L, "fo", run);
        s->col = e_add(a, e_int(a, at), e_mul(a, fo, e_int(a, s->cols)));
        s->col0 = at;
        s->part = e_add(a, e_mul(a, nth_row, e_int(a, blocks)), e_add(a, e_int(a, b), fo));
        fn(s, user);
        lower_end(s->L);
        at += run * s->cols;
    }
}
void site_rows(Site *s, Expr *lo, Expr *hi, BlockFn fn, void *user) {
    Arena *a = s->L->a;
    int64_t height = s->n->attr[BLK_TILE].is[0], width = s->n->attr[BLK_TILE].is[1], end;
    s->rows = 1, s->row_edge = false;
    if (height > 1 && !s->w.run_in && e_is_int(hi, &end)) { /* several rows at once: over all rows */
        int64_t blocks = ceil_div(end, height), base = end / blocks, wider = end % blocks;
        s->parts = blocks * ceil_div(s->w.out, width);
        for (int64_t b = 0, at = 0, run; b < blocks; b += run) {
            s->rows = base + (b < wider);
            s->row_edge = !inside(&s->h, at, at + s->rows);
            for (run = 1; !s->row_edge && b + run < blocks && base + (b + run < wider) == s->rows &&
                          inside(&s->h, at + run * s->rows, at + (run + 1) * s->rows);)
                run++;
            Expr *eo = lower_loop(s->L, "eo", run);
            s->row = e_add(a, e_int(a, at), e_mul(a, eo, e_int(a, s->rows)));
            s->row0 = at;
            columns(s, width, e_add(a, e_int(a, b), eo), fn, user);
            lower_end(s->L);
            at += run * s->rows;
        }
        return;
    }
    s->row = lower_loop_range(s->L, "e", lo, hi);
    columns(s, width, e_sub(a, s->row, lo), fn, user);
    lower_end(s->L);
}
