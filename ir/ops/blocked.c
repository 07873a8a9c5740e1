/* SPDX-License-Identifier: Apache-2.0 */
/* blocked.c: internal operators on channel-blocked tensors [N, ceil(C/L), H, W, L], made by the layout pass for targets with vectors.
 * Lanes beyond C in the last block are zero, or what elementwise operators make of zero. The sums of a block of outputs are a
 * temporary in registers; which block is an attribute. Padding costs no tests: rows of taps are clamped outside the sums, and the
 * first and last columns, where some taps read outside, have nests of their own in which each tap has its own range of outputs.
 *
 *   ConvBlocked(x, w, b):  for mo, e, fo:  acc[i,v,l] = b;  for cb, r in valid(e), s, c: acc[i,v,l] += x[cb,e+r,fo*F+i+s,c] *
 * w[mo,cb,r,s,c,v,l]; y[mo*V+v,e,fo*F+i,l] = acc[i,v,l]
 */
#include "blocked.h"
#include "window.h"

/* ---- inference: shapes were computed when the node was made */
static bool infer_result(Infer *x, int64_t blocks, int64_t lanes) {
    const Node *n = x->n;
    const int64_t *out = n->attr[BLK_OUT].is;
    if (n->attr[BLK_OUT].n != 2 || n->attr[BLK_KERNEL].n != 2 || n->attr[BLK_STRIDES].n != 2 || n->attr[BLK_DILATIONS].n != 2 ||
        n->attr[BLK_PADS].n != 2 || n->attr[BLK_TILE].n != 3)
        return infer_error(x, "out, kernel, strides, dilations and pads need 2 values each, tile 3");
    return infer_out(x, 0, n->in[0]->type.dt, 5, (int64_t[]){n->in[0]->type.dim[0], blocks, out[0], out[1], lanes});
}
bool infer_conv_blocked(Infer *x) {
    const Node *n = x->n;
    const Type *w = &n->in[1]->type;
    int rank = attr_i(n, BLK_SOURCE) == BLK_SOURCE_BLOCKED ? 5 : 4;
    if (w->rank != 7 || n->in[0]->type.rank != rank)
        return infer_error(x, "the weights have %d dims, expected 7, and the input %d, expected %d", w->rank, n->in[0]->type.rank, rank);
    return infer_result(x, ceil_div(attr_i(n, BLK_FEATURES), w->dim[6]), w->dim[6]);
}
bool infer_channelwise_blocked(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (t->rank != 5) return infer_error(x, "the input has %d dims, expected 5", t->rank);
    return infer_result(x, t->dim[1], t->dim[4]);
}
int64_t macs_blocked(const Node *n) {
    const int64_t *k = n->attr[BLK_KERNEL].is, *o = n->attr[BLK_OUT].is;
    int64_t m = n->in[0]->type.dim[0],
            factor[] = {attr_i(n, BLK_FEATURES), attr_i(n, BLK_CHANNELS) / attr_i(n, BLK_GROUP), k[0], k[1], o[0], o[1]};
    for (size_t i = 0; i < sizeof factor / sizeof *factor; i++)
        if (!mul_ok(m, factor[i], &m)) return -1;
    return m;
}

/* ---- from and to the usual order */
bool infer_to_blocked(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t lanes = attr_i(x->n, TOB_LANES), c = attr_i(x->n, TOB_CHANNELS);
    bool last = attr_i(x->n, TOB_NHWC) != 0;
    if (t->rank != 4 || t->dim[last ? 3 : 1] != c)
        return infer_error(x, "the input is not a tensor of rank 4 with %lld channels", (long long)c);
    return infer_out(x, 0, t->dt, 5, (int64_t[]){t->dim[0], ceil_div(c, lanes), t->dim[last ? 1 : 2], t->dim[last ? 2 : 3], lanes});
}
bool infer_from_blocked(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t lanes = attr_i(x->n, TOB_LANES), c = attr_i(x->n, TOB_CHANNELS);
    if (t->rank != 5 || t->dim[4] != lanes || t->dim[1] != ceil_div(c, lanes))
        return infer_error(x, "the input is not blocked by %lld", (long long)lanes);
    if (attr_i(x->n, TOB_NHWC)) return infer_out(x, 0, t->dt, 4, (int64_t[]){t->dim[0], t->dim[2], t->dim[3], c});
    return infer_out(x, 0, t->dt, 4, (int64_t[]){t->dim[0], c, t->dim[2], t->dim[3]});
}
Expr *compute_to_blocked(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    int64_t lanes = attr_i(n, TOB_LANES), channels = attr_i(n, TOB_CHANNELS);
    Expr *c = e_add(a, e_mul(a, idx[1], e_int(a, lanes)), idx[4]), *at = c;
    bool ragged = channels % lanes != 0;
    if (ragged) at = e_min(a, c, e_int(a, channels - 1));
    Expr *i[4] = {idx[0], at, idx[2], idx[3]};
    if (attr_i(n, TOB_NHWC)) i[1] = idx[2], i[2] = idx[3], i[3] = at;
    Expr *v = lower_load(L, n, 0, i);
    return ragged ? e_select(a, e_lt(a, c, e_int(a, channels)), v, e_lit(a, v->t, 0)) : v;
}
Expr *compute_from_blocked(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    Expr *lanes = e_int(a, attr_i(n, TOB_LANES));
    bool last = attr_i(n, TOB_NHWC) != 0;
    Expr *c = idx[last ? 3 : 1];
    return lower_load(L, n, 0, (Expr *[]){idx[0], e_div(a, c, lanes), idx[last ? 1 : 2], idx[last ? 2 : 3], e_mod(a, c, lanes)});
}

/* ---- blocks of outputs */
typedef struct Site { /* where code is being made for one block of outputs */
    Lower *L;
    Node *n;
    Window h, w;
    Expr *at_n, *row, *col; /* the block's first output */
    int64_t rows, cols, vecs, lanes;
    int64_t col0; /* at an edge: the number col stands for */
    bool edge;
    Expr *part; /* the block's number among those of a panel, of which there are `parts` */
    int64_t parts;
    Buf *acc;   /* [rows][cols][vecs][lanes] */
    Expr *i[4]; /* indices of acc in open loops */
} Site;
static void site_init(Site *s, Lower *L, Node *n, int64_t lanes) {
    *s = (Site){.L = L, .n = n, .lanes = lanes, .vecs = 1};
    const Type *in = &n->in[0]->type;
    int64_t source = n->op->nattr > BLK_SOURCE ? attr_i(n, BLK_SOURCE) : 0;
    int h = source == BLK_SOURCE_NHWC ? 1 : 2;
    Window *w[2] = {&s->h, &s->w};
    for (int k = 0; k < 2; k++)
        *w[k] = (Window){.in = in->dim[h + k],
                         .out = n->attr[BLK_OUT].is[k],
                         .k = n->attr[BLK_KERNEL].is[k],
                         .stride = n->attr[BLK_STRIDES].is[k],
                         .dil = n->attr[BLK_DILATIONS].is[k],
                         .lo = n->attr[BLK_PADS].is[k]};
}
/* Names tell the tile pass what a loop is for: u1, u2 … are written out, vl1, vl2 … are the lanes. */
static Expr *unrolled(Site *s, int64_t from, int64_t to) {
    if (to - from == 1) {
        lower_loop(s->L, "u", 1);
        return e_int(s->L->a, from);
    }
    return lower_loop_range(s->L, arena_printf(s->L->a, "u%d", s->L->f->nvar), e_int(s->L->a, from), e_int(s->L->a, to));
}
static Expr *lane(Site *s) { return lower_loop(s->L, arena_printf(s->L->a, "vl%d", s->L->f->nvar), s->lanes); }
static void open_acc(Site *s, int64_t from, int64_t to) {
    s->i[0] = unrolled(s, 0, s->rows), s->i[1] = unrolled(s, from, to), s->i[2] = unrolled(s, 0, s->vecs), s->i[3] = lane(s);
}
static void close_acc(Site *s) { lower_ends(s->L, 4); }
static void make_acc(Site *s) {
    int64_t dim[] = {s->rows, s->cols, s->vecs, s->lanes};
    DType t = dtype_compute(s->n->out[0]->type.dt);
    s->acc = buf_new(s->L->f, arena_printf(s->L->a, "acc%d", s->L->f->nbuf), t, 4, dim, MEM_REG);
    s_append(s->L->a, s->L->open.v[s->L->open.n - 1], s_alloc(s->L->a, s->acc));
}
static Expr *out_row(const Site *s) { return e_add(s->L->a, s->row, s->i[0]); }
static Expr *out_col(const Site *s) { return e_add(s->L->a, s->col, s->i[1]); }
static bool reads_inside(const Window *w, int64_t o, int64_t tap) {
    int64_t p = o * w->stride + tap * w->dil - w->lo;
    return p >= 0 && p < w->in;
}
static bool inside(const Window *w, int64_t from, int64_t to) { return reads_inside(w, from, 0) && reads_inside(w, to - 1, w->k - 1); }
/* Outputs of an edge block whose tap reads inside. */
static void edge_range(const Site *s, int64_t tap, int64_t *from, int64_t *to) {
    for (*from = 0; *from < s->cols && !reads_inside(&s->w, s->col0 + *from, tap);) ++*from;
    for (*to = *from; *to < s->cols && reads_inside(&s->w, s->col0 + *to, tap);) ++*to;
}

/* Calls fn for every block of outputs in rows [lo, hi): nests over the rows and over equal blocks of columns. */
typedef void (*BlockFn)(Site *s, void *user);
static void columns(Site *s, int64_t width, Expr *nth_row, BlockFn fn, void *user) {
    Arena *a = s->L->a;
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
static void rows(Site *s, Expr *lo, Expr *hi, BlockFn fn, void *user) {
    Arena *a = s->L->a;
    int64_t height = s->n->attr[BLK_TILE].is[0], width = s->n->attr[BLK_TILE].is[1], end;
    s->rows = 1;
    if (height > 1 && e_is_int(hi, &end)) { /* several rows at once: only without padding above and below, over all rows */
        s->rows = height;
        s->parts = ceil_div(end, height) * ceil_div(s->w.out, width);
        Expr *eo = lower_loop(s->L, "eo", end / height);
        s->row = e_mul(a, eo, e_int(a, height));
        columns(s, width, eo, fn, user);
        lower_end(s->L);
        lo = e_int(a, end / height * height);
        s->rows = end % height;
        s->row = lo;
        if (s->rows) columns(s, width, e_int(a, end / height), fn, user);
        return;
    }
    s->row = lower_loop_range(s->L, "e", lo, hi);
    columns(s, width, e_sub(a, s->row, lo), fn, user);
    lower_end(s->L);
}

/* ---- convolution */
enum { FAR_WEIGHTS = 8192 }; /* elements which are not worth asking for in advance */
typedef struct ConvSite {
    Expr *panel, *block, *group; /* of weights; of outputs, the first of the panel; NULL: one group */
    int64_t channels, in_lanes;  /* per group; in a block of the input */
    int64_t ahead;               /* elements from a panel to the one that is asked for while it is in use; 0: none is */
} ConvSite;
static void conv_tap(Site *s, const ConvSite *c, Expr *cb, Expr *r, Expr *t, int64_t from, int64_t to) {
    Lower *L = s->L;
    Arena *a = L->a;
    int64_t source = attr_i(s->n, BLK_SOURCE);
    Expr *end = e_int(a, min_i64(c->in_lanes, c->channels)), *x[5];
    if (c->channels > c->in_lanes && c->channels % c->in_lanes)
        end = e_min(a, end, e_sub(a, e_int(a, c->channels), e_mul(a, cb, e_int(a, c->in_lanes))));
    if (c->ahead) {
        int64_t lines = c->in_lanes * s->vecs * s->lanes * 4 / 64;
        Expr *first[] = {c->panel, cb, r, t, e_int(a, 0), e_int(a, 0), e_int(a, 0)};
        lower_prefetch(L, s->n, 1, first, c->ahead, lines, e_min(a, s->part, e_int(a, min_i64(lines, s->parts) - 1)), s->parts);
    }
    Expr *ch = lower_loop_range(L, "c", e_int(a, 0), end);
    open_acc(s, from, to);
    Expr *ih = window_at(L, &s->h, out_row(s), r), *iw = window_at(L, &s->w, out_col(s), t);
    x[0] = s->at_n;
    if (source == BLK_SOURCE_BLOCKED) {
        int64_t blocks = ceil_div(c->channels, c->in_lanes);
        x[1] = c->group ? e_add(a, e_mul(a, c->group, e_int(a, blocks)), cb) : cb;
        x[2] = ih, x[3] = iw, x[4] = ch;
    } else if (source == BLK_SOURCE_NCHW) x[1] = ch, x[2] = ih, x[3] = iw;
    else x[1] = ih, x[2] = iw, x[3] = ch;
    Expr *v = lower_load(L, s->n, 0, x);
    Expr *w = lower_load(L, s->n, 1, (Expr *[]){c->panel, cb, r, t, ch, s->i[2], s->i[3]});
    lower_put(L, s->acc, s->i, e_mul(a, v, w), RED_ADD);
    close_acc(s);
    lower_end(L);
}
static void conv_block(Site *s, void *user) {
    const ConvSite *c = user;
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *lo, *hi;
    make_acc(s);
    open_acc(s, 0, s->cols);
    Expr *block = e_add(a, c->block, s->i[2]);
    lower_put(L, s->acc, s->i, s->n->nin > 2 ? lower_load(L, s->n, 2, (Expr *[]){block, s->i[3]}) : e_lit(a, s->acc->dt, 0), RED_NONE);
    close_acc(s);
    Expr *cb = lower_loop(L, "cb", ceil_div(c->channels, c->in_lanes));
    window_taps(L, &s->h, s->row, &lo, &hi);
    if (s->rows > 1) lo = e_int(a, 0), hi = e_int(a, s->h.k);
    Expr *r = s->h.k == 1 && s->rows == 1 && reads_inside(&s->h, 0, 0) && reads_inside(&s->h, s->h.out - 1, 0)
                  ? lower_loop(L, "r", 1)
                  : lower_loop_range(L, "r", lo, hi);
    if (s->edge) {
        for (int64_t t = 0, from, to; t < s->w.k; t++) {
            edge_range(s, t, &from, &to);
            if (from < to) conv_tap(s, c, cb, r, e_int(a, t), from, to);
        }
    } else {
        Expr *t = lower_loop(L, "s", s->w.k);
        conv_tap(s, c, cb, r, t, 0, s->cols);
        lower_end(L);
    }
    lower_ends(L, 2);
    open_acc(s, 0, s->cols);
    block = e_add(a, c->block, s->i[2]);
    lower_store(L, s->n, 0, (Expr *[]){s->at_n, block, out_row(s), out_col(s), s->i[3]}, lower_get(L, s->acc, s->i));
    close_acc(s);
}
bool lower_conv_blocked(Lower *L, Node *n) {
    Arena *a = L->a;
    Site s;
    ConvSite c = {0};
    const Type *w = &n->in[1]->type, *o = &n->out[0]->type;
    int64_t group = attr_i(n, BLK_GROUP), strip = attr_i(n, BLK_STRIP), vecs = w->dim[5], panels = w->dim[0] / group;
    site_init(&s, L, n, w->dim[6]);
    c.channels = attr_i(n, BLK_CHANNELS) / group, c.in_lanes = w->dim[4];
    int64_t blocks = o->dim[1] / group, full = blocks / vecs;
    if (strip <= 0 || strip >= s.h.out) strip = s.h.out;
    s.parts = strip * ceil_div(s.w.out, n->attr[BLK_TILE].is[1]);
    if (w->dim[0] > 1 && tensor_elements(n->in[1]) >= FAR_WEIGHTS) c.ahead = tensor_elements(n->in[1]) / w->dim[0];
    s.at_n = lower_loop(L, "n", o->dim[0]);
    c.group = group > 1 ? lower_loop(L, "g", group) : NULL;
    Expr *first = e_mul(a, lower_loop(L, "ro", ceil_div(s.h.out, strip)), e_int(a, strip));
    Expr *end = strip == s.h.out ? e_int(a, strip) : e_min(a, e_add(a, first, e_int(a, strip)), e_int(a, s.h.out));
    for (int part = 0; part < 2; part++) { /* whole panels, and the one that is left */
        int64_t count = part ? blocks > full * vecs : full;
        if (!count) continue;
        s.vecs = part ? blocks - full * vecs : vecs;
        Expr *p = part ? e_int(a, full) : lower_loop(L, "mo", count);
        c.panel = c.group ? e_add(a, e_mul(a, c.group, e_int(a, panels)), p) : p;
        c.block = e_mul(a, p, e_int(a, vecs));
        if (c.group) c.block = e_add(a, e_mul(a, c.group, e_int(a, blocks)), c.block);
        rows(&s, first, end, conv_block, &c);
        if (!part) lower_end(L);
    }
    lower_ends(L, group > 1 ? 3 : 2);
    return true;
}

/* ---- one channel at a time: depthwise convolution and pools. The taps of a row are written out, so that an element which several of
 * them read is loaded once. */
typedef struct Channel {
    Expr *block, *lo, *hi; /* rows of taps */
    RedOp red;
    Expr *start;
} Channel;
static void channel_tap(Site *s, const Channel *c, Expr *r, int64_t t) {
    Lower *L = s->L;
    Arena *a = L->a;
    int64_t from = 0, to = s->cols;
    if (s->edge) edge_range(s, t, &from, &to);
    if (from >= to) return;
    open_acc(s, from, to);
    Expr *ih = window_at(L, &s->h, out_row(s), r), *iw = window_at(L, &s->w, out_col(s), e_int(a, t));
    Expr *v = lower_load(L, s->n, 0, (Expr *[]){s->at_n, c->block, ih, iw, s->i[3]});
    if (s->n->nin > 1) v = e_mul(a, v, lower_load(L, s->n, 1, (Expr *[]){c->block, r, e_int(a, t), s->i[3]}));
    lower_put(L, s->acc, s->i, v, c->red);
    close_acc(s);
}
static void channel_sums(Site *s, Channel *c) {
    Lower *L = s->L;
    make_acc(s);
    open_acc(s, 0, s->cols);
    lower_put(L, s->acc, s->i, s->n->nin > 2 ? lower_load(L, s->n, 2, (Expr *[]){c->block, s->i[3]}) : c->start, RED_NONE);
    close_acc(s);
    window_taps(L, &s->h, s->row, &c->lo, &c->hi);
    if (s->n->nin == 1) c->lo = lower_let(L, "from", c->lo), c->hi = lower_let(L, "to", c->hi);
    Expr *r = lower_loop_range(L, "r", c->lo, c->hi);
    for (int64_t t = 0; t < s->w.k; t++) channel_tap(s, c, r, t);
    lower_end(L);
}
static void depthwise_block(Site *s, void *user) {
    Channel *c = user;
    channel_sums(s, c);
    open_acc(s, 0, s->cols);
    lower_store(s->L, s->n, 0, (Expr *[]){s->at_n, c->block, out_row(s), out_col(s), s->i[3]}, lower_get(s->L, s->acc, s->i));
    close_acc(s);
}
static bool channel_nests(Lower *L, Node *n, RedOp red, BlockFn fn) {
    Site s;
    const Type *o = &n->out[0]->type;
    site_init(&s, L, n, o->dim[4]);
    DType t = dtype_compute(o->dt);
    Channel c = {.red = red, .start = red == RED_MAX ? e_lower_bound(L->a, t) : e_lit(L->a, t, 0)};
    s.at_n = lower_loop(L, "n", o->dim[0]);
    c.block = lower_loop(L, "cb", o->dim[1]);
    rows(&s, e_int(L->a, 0), e_int(L->a, s.h.out), fn, &c);
    lower_ends(L, 2);
    return true;
}
bool lower_depthwise_blocked(Lower *L, Node *n) { return channel_nests(L, n, RED_ADD, depthwise_block); }

/* The mean: by the taps that read inside, or by all of them. At the edges each column has its own number. */
static void average_block(Site *s, void *user) {
    Channel *c = user;
    Lower *L = s->L;
    Arena *a = L->a;
    channel_sums(s, c);
    bool padded = attr_i(s->n, BLK_MODE) == BLK_POOL_AVERAGE_PADDED;
    DType t = s->acc->dt;
    Expr *high = padded ? e_int(a, s->h.k) : e_sub(a, c->hi, c->lo);
    for (int64_t i = 0; i < s->cols; i++) {
        int64_t wide = 0, to = s->edge ? i + 1 : s->cols;
        for (int64_t k = 0; k < s->w.k; k++) wide += padded || !s->edge || reads_inside(&s->w, s->col0 + i, k);
        Expr *n = lower_let(L, "taps", e_cast(a, t, e_mul(a, high, e_int(a, wide))));
        open_acc(s, i, to);
        lower_store(L, s->n, 0, (Expr *[]){s->at_n, c->block, out_row(s), out_col(s), s->i[3]}, e_div(a, lower_get(L, s->acc, s->i), n));
        close_acc(s);
        i = to - 1;
    }
}
bool lower_pool_blocked(Lower *L, Node *n) {
    bool largest = attr_i(n, BLK_MODE) == BLK_POOL_MAX;
    return channel_nests(L, n, largest ? RED_MAX : RED_ADD, largest ? depthwise_block : average_block);
}
