/* SPDX-License-Identifier: Apache-2.0 */
/* winograd.c: 3 x 3 convolutions with stride 1 on channel-blocked tensors by Winograd's minimal filtering, F(2x2) and F(4x4). Some rows of
 * tiles are in work at once, so that what lies between the three steps stays near the second level of cache. A tile at the border
 * reads zeros outside the input: those have a variant with tests. Results outside the output are not stored.
 *
 *   for strip:  for cb, tile:  v[pos,cb,tile] = B' d B
 *               for mo:  for pos, tiles: s[pos,tile] = sum over cb, c of v[pos,cb,tile,c] * u[mo,pos,cb,c]
 *                        for tile: y[mo,…] = A' s A + b
 */
#include "blocked_site.h"

/* F(4x4) interpolates at 0, 3/4, -3/4, 3/2, -3/2 and infinity: with 1, -1, 2 and -2 factors are shorter, but differences three times as
 * large. All factors of B and A are exact in float32. */
const double *winograd_matrix(int64_t m, char which) {
    static const double b4[] = {81. / 64, 0,        -45. / 16, 0,       1, 0, 0, -27. / 16, -9. / 4,  3. / 4,    1, 0,
                                0,        27. / 16, -9. / 4,   -3. / 4, 1, 0, 0, -27. / 32, -9. / 16, 3. / 2,    1, 0,
                                0,        27. / 32, -9. / 16,  -3. / 2, 1, 0, 0, 81. / 64,  0,        -45. / 16, 0, 1};
    static const double a4[] = {1, 1,       1,       1,      1,      0, 0, 3. / 4,   -3. / 4,   3. / 2,  -3. / 2,  0,
                                0, 9. / 16, 9. / 16, 9. / 4, 9. / 4, 0, 0, 27. / 64, -27. / 64, 27. / 8, -27. / 8, 1};
    static const double g4[] = {64. / 81,  0,        0,       -128. / 243, -32. / 81, -8. / 27, -128. / 243, 32. / 81, -8. / 27,
                                32. / 243, 16. / 81, 8. / 27, 32. / 243,   -16. / 81, 8. / 27,  0,           0,        1};
    static const double b2[] = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1};
    static const double a2[] = {1, 1, 1, 0, 0, 1, -1, -1};
    static const double g2[] = {1, 0, 0, .5, .5, .5, .5, -.5, .5, 0, 0, 1};
    if (m == 4) return which == 'B' ? b4 : which == 'A' ? a4 : g4;
    return which == 'B' ? b2 : which == 'A' ? a2 : g2;
}

bool infer_winograd(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type, *u = &n->in[1]->type;
    if (t->rank != 5 || u->rank != 6 || n->attr[WGD_OUT].n != 2 || n->attr[WGD_PADS].n != 2 || n->attr[WGD_TILE].n != 4)
        return infer_error(x, "the input has %d dims, expected 5, the weights %d, expected 6; out and pads need 2 values, tile 4", t->rank,
                           u->rank);
    Expr *plane[2];
    for (int i = 0; i < 2; i++) { /* what is known at run time only: the input's extent, and as much as the others gain */
        int64_t more;
        if (!add_ok(n->attr[WGD_OUT].is[i], -t->dim[2 + i], &more)) return infer_error(x, "the extents overflow");
        plane[i] = extent_add(x->g, type_extent(x->g, t, 2 + i), e_int(x->g->a, more));
    }
    return infer_blocked_out(x, t->dt, ceil_div(attr_i(n, WGD_FEATURES), u->dim[5]), plane, u->dim[5]);
}
int64_t macs_winograd(const Node *n) { /* those of the convolution */
    const int64_t *o = n->attr[WGD_OUT].is;
    int64_t m = 9, factor[] = {n->in[0]->type.dim[0], attr_i(n, WGD_FEATURES), attr_i(n, WGD_CHANNELS), o[0], o[1]};
    for (size_t i = 0; i < sizeof factor / sizeof *factor; i++)
        if (!mul_ok(m, factor[i], &m)) return -1;
    return m;
}

typedef struct Wino {
    Lower *L;
    Node *n;
    int64_t m, side, rows, high, panel, vecs, lanes, out[2];
    Expr *wide, *tiles, *here; /* tiles of a row; of the strip; its rows */
    Expr *in[2], *run_out[2];  /* extents; run_out: NULL where they are constant */
    Expr *at_n, *first;        /* the strip's first row of tiles */
    Buf *v, *s;                /* [side*side][blocks * tiles][lanes], [side*side][tiles * vecs][lanes], and padding: see spread */
    DType t;
} Wino;
/* A tile's (m+2)^2 values are that many rows apart: an odd number, or all would fall into a few sets of the first cache. */
static int64_t spread(int64_t rows) { return rows | 1; }
static Expr *input_row(Wino *w, Expr *cb, Expr *tile) {
    Arena *a = w->L->a;
    return e_add(a, e_mul(a, cb, w->tiles), tile);
}
static Expr *sum_row(Wino *w, Expr *tile, Expr *v) {
    Arena *a = w->L->a;
    return e_add(a, e_mul(a, tile, e_int(a, w->panel)), v);
}
static Expr *lane(Wino *w) { return lower_loop(w->L, arena_printf(w->L->a, "vl%d", w->L->f->nvar), w->lanes); }
static Buf *registers(Wino *w, const char *name, int64_t rows, int64_t cols) {
    Lower *L = w->L;
    Buf *b = buf_new(L->f, arena_printf(L->a, "%s%d", name, L->f->nbuf), w->t, 3, (int64_t[]){rows, cols, w->lanes}, MEM_REG);
    s_append(L->a, L->open.v[L->open.n - 1], s_alloc(L->a, b));
    return b;
}
/* sum of k[i] * x[i], terms with factor 0 left out: those that need no product first, so that others are added to them, then positive ones
 */
static Expr *combine(Wino *w, const double *k, Expr *const *x, int64_t n) {
    Arena *a = w->L->a;
    Expr *sum = NULL;
    for (int pass = 0; pass < 3; pass++)
        for (int64_t i = 0; i < n; i++) {
            if (k[i] == 0 || pass != (k[i] == 1 ? 0 : k[i] > 0 ? 1 : 2)) continue;
            double f = k[i] < 0 ? -k[i] : k[i];
            Expr *term = f == 1 ? x[i] : e_mul(a, x[i], e_lit(a, w->t, f));
            sum = !sum ? term : k[i] < 0 ? e_sub(a, sum, term) : e_add(a, sum, term);
        }
    return sum;
}
static bool same_but_signs(const double *p, const double *q, int64_t n) { /* two rows, of n factors; 0: there are no two */
    bool same = n > 0, some = false;
    for (int64_t i = 0; i < n && same; i++) same = p[i] == q[i] || p[i] == -q[i], some |= p[i] != q[i];
    return same && some;
}
static Expr *named(Wino *w, Expr *e) { return e && e->k != E_VAR ? lower_let(w->L, "s", e) : e; }
/* The part of a row that it has in common with the next one, and the other one, as factor * sum. */
static void shared_parts(Wino *w, const double *p, const double *q, Expr *const *x, Expr **same, Expr **other, double *factor) {
    double s[6] = {0}, o[6] = {0};
    *factor = 1;
    for (int64_t i = 0; i < w->side; i++) {
        if (p[i] == q[i]) s[i] = p[i];
        else o[i] = p[i], *factor = p[i] < 0 ? -p[i] : p[i];
    }
    for (int64_t i = 0; i < w->side; i++) o[i] /= *factor;
    *same = named(w, combine(w, s, x, w->side)), *other = named(w, combine(w, o, x, w->side));
}
/* y[r] = sum of m[r][i] * x[i]. Rows that differ in signs alone share their sums, and columns do:
 *
 *   y1, y2 = 1/2 x1 + x2, -1/2 x1 + x2     --->   s = 1/2 x1; y1 = x2 + s; y2 = x2 - s */
static void transform(Wino *w, const double *m, int64_t rows, Expr *const *x, Expr **y) {
    Arena *a = w->L->a;
    int64_t n = w->side;
    double k[36];
    Expr *v[6];
    for (int64_t i = 0; i < rows * n; i++) k[i] = m[i];
    for (int64_t i = 0; i < n; i++) v[i] = x[i];
    for (int64_t i = 0; i + 1 < n; i++) { /* columns */
        double p[6], q[6];
        for (int64_t r = 0; r < rows; r++) p[r] = m[r * n + i], q[r] = m[r * n + i + 1];
        if (!same_but_signs(p, q, rows)) continue;
        int64_t sums = 0, differences = 0;
        for (int64_t r = 0; r < rows; r++) sums += p[r] != 0 && p[r] == q[r], differences += p[r] != q[r];
        if (sums + differences < 3) continue; /* nothing would be shared */
        v[i] = named(w, e_add(a, x[i], x[i + 1])), v[i + 1] = named(w, e_sub(a, x[i], x[i + 1]));
        for (int64_t r = 0; r < rows; r++) k[r * n + i] = p[r] == q[r] ? p[r] : 0, k[r * n + i + 1] = p[r] == q[r] ? 0 : p[r];
        i++;
    }
    for (int64_t r = 0; r < rows; r++) {
        Expr *same, *other;
        double f;
        if (r + 1 == rows || !same_but_signs(k + r * n, k + (r + 1) * n, n)) {
            y[r] = combine(w, k + r * n, v, n);
            continue;
        }
        shared_parts(w, k + r * n, k + (r + 1) * n, v, &same, &other, &f);
        Expr *more = f == 1 ? other : e_mul(a, other, e_lit(a, w->t, f));
        y[r] = e_add(a, same, more), y[r + 1] = e_sub(a, same, more); /* no row is the negative of another */
        r++;
    }
}

/* ---- inputs */
static Expr *in_place(Wino *w, Expr *tile, int axis, int64_t i) {
    Arena *a = w->L->a;
    return e_add(a, e_mul(a, tile, e_int(a, w->m)), e_int(a, i - w->n->attr[WGD_PADS].is[axis]));
}
static Expr *all_of(Arena *a, Expr *const *c, int n) {
    Expr *e = c[0];
    for (int i = 1; i < n; i++) e = e_bin(a, BIN_LAND, e, c[i]);
    return e;
}
static Expr *in_range(Wino *w, Expr *tile, int axis, int64_t first, int64_t last) {
    Arena *a = w->L->a;
    Expr *c[] = {e_le(a, e_int(a, 0), in_place(w, tile, axis, first)), e_lt(a, in_place(w, tile, axis, last), w->in[axis])};
    return all_of(a, c, 2);
}
/* Where a tile reaches over the border: the part of it that lies inside, zeros around. */
static void tile_range(Wino *w, Expr *tile, int axis, Expr **lo, Expr **hi) {
    Arena *a = w->L->a;
    Expr *first = in_place(w, tile, axis, 0);
    *lo = lower_let(w->L, "lo", e_max(a, e_int(a, 0), e_sub(a, e_int(a, 0), first)));
    *hi = lower_let(w->L, "hi", e_min(a, e_int(a, w->side), e_sub(a, w->in[axis], first)));
}
static Buf *edge_tile(Wino *w, Expr *cb, Expr *ty, Expr *tx) {
    Lower *L = w->L;
    Arena *a = L->a;
    Expr *lo[2], *hi[2];
    Buf *d = lower_temp(L, "in", w->t, 3, (int64_t[]){w->side, w->side, w->lanes});
    Expr *i = lower_loop(L, "i", w->side), *j = lower_loop(L, "j", w->side), *l = lane(w);
    lower_put(L, d, (Expr *[]){i, j, l}, e_lit(a, w->t, 0), RED_NONE);
    lower_ends(L, 3);
    tile_range(w, ty, 0, &lo[0], &hi[0]), tile_range(w, tx, 1, &lo[1], &hi[1]);
    i = lower_loop_range(L, "i", lo[0], hi[0]), j = lower_loop_range(L, "j", lo[1], hi[1]), l = lane(w);
    Expr *at[] = {w->at_n, cb, e_add(a, in_place(w, ty, 0, 0), i), e_add(a, in_place(w, tx, 1, 0), j), l};
    lower_put(L, d, (Expr *[]){i, j, l}, lower_load(L, w->n, 0, at), RED_NONE);
    lower_ends(L, 3);
    return d;
}
/* Rows first .. first + count of B'd, then of B'dB. */
static void transform_rows(Wino *w, const Buf *edge, Expr *cb, Expr *ty, Expr *tx, Expr *tile, int64_t first, int64_t count) {
    Lower *L = w->L;
    Arena *a = L->a;
    const double *B = winograd_matrix(w->m, 'B');
    int64_t side = w->side;
    Expr *x[6], *y[6], *l;
    Buf *t = registers(w, "row", count, side);
    for (int64_t j = 0; j < side; j++) {
        l = lane(w);
        for (int64_t i = 0; i < side; i++) {
            x[i] = NULL;
            for (int64_t r = first; r < first + count; r++)
                if (B[r * side + i] != 0 && !x[i])
                    x[i] =
                        lower_let(L, "d",
                                  edge ? lower_get(L, (Buf *)edge, (Expr *[]){e_int(a, i), e_int(a, j), l})
                                       : lower_load(L, w->n, 0, (Expr *[]){w->at_n, cb, in_place(w, ty, 0, i), in_place(w, tx, 1, j), l}));
        }
        transform(w, B + first * side, count, x, y);
        for (int64_t r = 0; r < count; r++) lower_put(L, t, (Expr *[]){e_int(a, r), e_int(a, j), l}, y[r], RED_NONE);
        lower_end(L);
    }
    for (int64_t r = 0; r < count; r++) {
        l = lane(w);
        for (int64_t j = 0; j < side; j++) x[j] = lower_let(L, "d", lower_get(L, t, (Expr *[]){e_int(a, r), e_int(a, j), l}));
        transform(w, B, side, x, y);
        for (int64_t j = 0; j < side; j++)
            lower_put(L, w->v, (Expr *[]){e_int(a, (first + r) * side + j), input_row(w, cb, tile), l}, y[j], RED_NONE);
        lower_end(L);
    }
}
/* Tiles whose values do not fit into registers are transformed by rows that share sums; a fence keeps compilers from loading the tile once
 * and keeping it in memory instead. */
static void transform_input(Wino *w, Expr *cb, Expr *ty, Expr *tx, Expr *tile, bool edge) {
    const Buf *d = edge ? edge_tile(w, cb, ty, tx) : NULL;
    const double *B = winograd_matrix(w->m, 'B');
    for (int64_t i = 0, n; i < w->side; i += n) {
        n = w->m == 2 ? w->side : 1 + same_but_signs(B + i * w->side, B + (i + 1) * w->side, i + 1 < w->side ? w->side : 0);
        if (i) lower_call(w->L, "qn_fence", 0, NULL, 0, NULL, 0);
        transform_rows(w, d, cb, ty, tx, tile, i, n);
    }
}
static void inputs(Wino *w) {
    Lower *L = w->L;
    Arena *a = L->a;
    Expr *cb = lower_loop(L, "cb", w->n->in[0]->type.dim[1]), *y = lower_loop_to(L, "ty", w->here), *tx = lower_loop_to(L, "tx", w->wide);
    Expr *ty = lower_let(L, "th", e_add(a, w->first, y)), *tile = lower_let(L, "tile", e_add(a, e_mul(a, y, w->wide), tx));
    Expr *c[] = {in_range(w, ty, 0, 0, w->side - 1), in_range(w, tx, 1, 0, w->side - 1)};
    lower_if(L, all_of(a, c, 2));
    transform_input(w, cb, ty, tx, tile, false);
    lower_else(L);
    transform_input(w, cb, ty, tx, tile, true);
    lower_end(L);
    lower_ends(L, 3);
}

/* ---- products */
static Expr *unrolled(Wino *w, int64_t n) { return lower_loop(w->L, n == 1 ? "u" : arena_printf(w->L->a, "u%d", w->L->f->nvar), n); }
static void product_block(Wino *w, Expr *panel, Expr *pos, Expr *first, int64_t count, Expr *part, int64_t parts) {
    Lower *L = w->L;
    Arena *a = L->a;
    const Type *u = &w->n->in[1]->type;
    int64_t channels = attr_i(w->n, WGD_CHANNELS), block = u->dim[3];
    Buf *acc = buf_new(L->f, arena_printf(a, "acc%d", L->f->nbuf), w->t, 3, (int64_t[]){count, w->vecs, w->lanes}, MEM_REG);
    s_append(a, L->open.v[L->open.n - 1], s_alloc(a, acc));
    Expr *i = unrolled(w, count), *v = unrolled(w, w->vecs), *l = lane(w);
    lower_put(L, acc, (Expr *[]){i, v, l}, e_lit(a, w->t, 0), RED_NONE);
    lower_ends(L, 3);
    Expr *cb = lower_loop(L, "cb", u->dim[2]), *end = e_int(a, min_i64(block, channels));
    if (channels > block && channels % block) end = e_min(a, end, e_sub(a, e_int(a, channels), e_mul(a, cb, e_int(a, block))));
    Expr *zero = e_int(a, 0), *behind[] = {panel, e_add(a, pos, e_int(a, 1)), zero, zero, zero, zero};
    HintPlan plan = {lower_flat(L, w->n, 1, behind), part, cb, block * u->dim[4] * w->lanes * 4 / 64, parts, u->dim[2], block};
    Hints next = {0};
    if (parts > 1) next = lower_prefetch(L, w->n, 1, &plan);
    Expr *c = lower_loop_range(L, "c", zero, end);
    if (next.turns) lower_hints(L, &next, c);
    i = unrolled(w, count), v = unrolled(w, w->vecs), l = lane(w);
    Expr *x = lower_get(L, w->v, (Expr *[]){pos, input_row(w, cb, e_add(a, first, i)), c});
    lower_put(L, acc, (Expr *[]){i, v, l}, e_mul(a, x, lower_load(L, w->n, 1, (Expr *[]){panel, pos, cb, c, v, l})), RED_ADD);
    lower_ends(L, 5);
    i = unrolled(w, count), v = unrolled(w, w->vecs), l = lane(w);
    lower_put(L, w->s, (Expr *[]){pos, sum_row(w, e_add(a, first, i), v), l}, lower_get(L, acc, (Expr *[]){i, v, l}), RED_NONE);
    lower_ends(L, 3);
}
/* Tiles that are known at run time only: in blocks; the last one may go on behind them, where the buffers have room. */
static void some_products(Wino *w, Expr *panel, int64_t width) {
    Lower *L = w->L;
    Arena *a = L->a;
    int64_t parts = ceil_div(w->rows * ceil_div(w->out[1], w->m), width);
    Expr *blocks = lower_let(L, "blocks", e_div(a, e_add(a, w->tiles, e_int(a, width - 1)), e_int(a, width)));
    Expr *pos = lower_loop(L, "pos", w->side * w->side), *b = lower_loop_to(L, "to", blocks);
    product_block(w, panel, pos, e_mul(a, b, e_int(a, width)), width, b, parts);
    lower_ends(L, 2);
}
static void products(Wino *w, Expr *panel) {
    Lower *L = w->L;
    Arena *a = L->a;
    int64_t width = w->n->attr[WGD_TILE].is[2], tiles;
    if (!e_is_int(w->tiles, &tiles)) {
        some_products(w, panel, width);
        return;
    }
    int64_t blocks = ceil_div(tiles, width), base = tiles / blocks, wider = tiles % blocks;
    Expr *pos = lower_loop(L, "pos", w->side * w->side);
    for (int part = 0; part < 2; part++) {
        int64_t count = part ? blocks - wider : wider, size = part ? base : base + 1;
        if (!count) continue;
        Expr *b = lower_loop(L, "to", count);
        Expr *first = e_add(a, e_int(a, part ? wider * (base + 1) : 0), e_mul(a, b, e_int(a, size)));
        product_block(w, panel, pos, first, size, e_add(a, b, e_int(a, part ? wider : 0)), blocks);
        lower_end(L);
    }
    lower_end(L);
}

/* ---- results */
/* Element (i, j) of a tile, unless it lies outside the result. */
static void store_result(Wino *w, Buf *row, Expr *ob, Expr *ty, Expr *tx, int64_t i, int64_t j) {
    Lower *L = w->L;
    Arena *a = L->a;
    Expr *oy = e_add(a, e_mul(a, ty, e_int(a, w->m)), e_int(a, i)), *ox = e_add(a, e_mul(a, tx, e_int(a, w->m)), e_int(a, j)), *c[2];
    int tests = 0;
    if (w->run_out[0]) c[tests++] = e_lt(a, oy, w->run_out[0]);
    else if (w->high * w->m > w->out[0] && (w->high * w->m - w->out[0] >= w->m || i >= w->out[0] % w->m))
        c[tests++] = e_lt(a, oy, e_int(a, w->out[0]));
    if (w->run_out[1] && j > 0) c[tests++] = e_lt(a, ox, w->run_out[1]);
    else if (!w->run_out[1] && w->out[1] % w->m && j >= w->out[1] % w->m) c[tests++] = e_lt(a, ox, e_int(a, w->out[1]));
    if (tests) lower_if(L, all_of(a, c, tests));
    Expr *l = lane(w), *sum = lower_get(L, row, (Expr *[]){e_int(a, 0), e_int(a, j), l});
    if (w->n->nin > 2) sum = e_add(a, sum, lower_load(L, w->n, 2, (Expr *[]){ob, l}));
    lower_store(L, w->n, 0, (Expr *[]){w->at_n, ob, oy, ox, l}, sum);
    lower_ends(L, tests ? 2 : 1);
}
static void results(Wino *w, Expr *block) {
    Lower *L = w->L;
    Arena *a = L->a;
    const double *A = winograd_matrix(w->m, 'A');
    int64_t side = w->side;
    Expr *x[6], *value[6], *l;
    Expr *y = lower_loop_to(L, "ty", w->here), *tx = lower_loop_to(L, "tx", w->wide), *v = lower_loop(L, "mv", w->vecs);
    Expr *ty = lower_let(L, "th", e_add(a, w->first, y)), *tile = lower_let(L, "tile", e_add(a, e_mul(a, y, w->wide), tx));
    Expr *ob = e_add(a, block, v);
    Buf *t = registers(w, "row", w->m, side);
    for (int64_t j = 0; j < side; j++) {
        l = lane(w);
        for (int64_t k = 0; k < side; k++)
            x[k] = lower_let(L, "d", lower_get(L, w->s, (Expr *[]){e_int(a, k * side + j), sum_row(w, tile, v), l}));
        transform(w, A, w->m, x, value);
        for (int64_t i = 0; i < w->m; i++) lower_put(L, t, (Expr *[]){e_int(a, i), e_int(a, j), l}, value[i], RED_NONE);
        lower_end(L);
    }
    for (int64_t i = 0; i < w->m; i++) {
        Buf *row = registers(w, "out", 1, w->m);
        l = lane(w);
        for (int64_t k = 0; k < side; k++) x[k] = lower_let(L, "d", lower_get(L, t, (Expr *[]){e_int(a, i), e_int(a, k), l}));
        transform(w, A, w->m, x, value);
        for (int64_t j = 0; j < w->m; j++) lower_put(L, row, (Expr *[]){e_int(a, 0), e_int(a, j), l}, value[j], RED_NONE);
        lower_end(L);
        for (int64_t j = 0; j < w->m; j++) store_result(w, row, ob, ty, tx, i, j);
    }
    lower_ends(L, 3);
}
bool lower_winograd(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *in = &n->in[0]->type, *u = &n->in[1]->type, *o = &n->out[0]->type;
    const int64_t *tile = n->attr[WGD_TILE].is;
    Wino w = {.L = L, .n = n, .m = tile[0], .side = tile[0] + 2, .rows = tile[1], .lanes = u->dim[5], .t = dtype_compute(o->dt)};
    L->affine = true;
    for (int i = 0; i < 2; i++) {
        w.in[i] = lower_let(L, i ? "in_wide" : "in_high", lower_dim(L, in, 2 + i)), w.out[i] = o->dim[2 + i];
        if (o->ext && o->ext[2 + i]) w.run_out[i] = lower_let(L, i ? "wide" : "high", lower_dim(L, o, 2 + i));
    }
    int64_t strips = ceil_div(ceil_div(w.out[0], w.m), w.rows), vecs = u->dim[4], blocks = o->dim[1], full = blocks / vecs;
    w.high = strips * w.rows; /* may be more than the result has: those rows are not stored */
    int64_t most = ceil_div(w.out[1], w.m), room = w.run_out[0] || w.run_out[1] ? tile[2] : 0;
    w.wide = e_int(a, most), w.panel = vecs;
    if (w.run_out[1]) w.wide = lower_let(L, "across", e_div(a, e_add(a, w.run_out[1], e_int(a, w.m - 1)), e_int(a, w.m)));
    w.v = lower_temp(L, "inputs", w.t, 3, (int64_t[]){w.side * w.side, spread(in->dim[1] * w.rows * most + room), w.lanes});
    w.s = lower_temp(L, "sums", w.t, 3, (int64_t[]){w.side * w.side, spread((w.rows * most + room) * vecs), w.lanes});
    w.at_n = lower_loop_to(L, "n", lower_dim(L, in, 0));
    w.here = e_int(a, w.rows);
    if (w.run_out[0]) {
        Expr *down = lower_let(L, "down", e_div(a, e_add(a, w.run_out[0], e_int(a, w.m - 1)), e_int(a, w.m)));
        Expr *ro = lower_loop_to(L, "ro", e_div(a, e_add(a, down, e_int(a, w.rows - 1)), e_int(a, w.rows)));
        w.first = e_mul(a, ro, e_int(a, w.rows));
        w.here = lower_let(L, "here", e_min(a, e_int(a, w.rows), e_sub(a, down, w.first)));
    } else w.first = e_mul(a, lower_loop(L, "ro", strips), e_int(a, w.rows));
    w.tiles = e_mul(a, w.here, w.wide);
    if (room) w.tiles = lower_let(L, "tiles", w.tiles);
    inputs(&w);
    for (int part = 0; part < 2; part++) { /* whole panels, and the one that is left */
        if (part ? blocks == full * vecs : full == 0) continue;
        w.vecs = part ? blocks - full * vecs : vecs;
        Expr *p = part ? e_int(a, full) : lower_loop(L, "mo", full);
        products(&w, p);
        results(&w, e_mul(a, p, e_int(a, vecs)));
        if (!part) lower_end(L);
    }
    lower_ends(L, 2);
    return true;
}
