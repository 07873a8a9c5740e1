/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_conv.c: ConvBlocked's nest. A panel of weights, for some vectors of features, is used by all blocks of outputs before the
 * next one; while it is, the next one is asked for.
 *
 *   ConvBlocked(x, w, b):  for mo, e, fo:  acc[i,v,l] = b;  for cb, r in valid(e), s, c: acc[i,v,l] += x[cb,e+r,fo*F+i+s,c] *
 * w[mo,cb,r,s,c,v,l]; y[mo*V+v,e,fo*F+i,l] = acc[i,v,l]
 *
 * ConvIntegerBlocked's is the same on words of four channels (dot.h). Its input is not centred: b takes the zero point away as if all
 * taps read inside, and where one does not, what it took is given back (operand `border`: one number for each tap and feature).
 */
#include "blocked_site.h"
#include "ir/dot.h"

enum { FAR_WEIGHTS = 8192 }; /* elements which are not worth asking for in advance */
typedef struct ConvSite {
    int weight, bias;                             /* operands; bias -1: there is none */
    int border;                                   /* 0: there is none */
    bool words;                                   /* of four channels of integers; else one float at a time */
    Expr *panel, *block, *group;                  /* of weights; of outputs, the first of the panel; NULL: one group */
    int64_t channels, in_lanes;                   /* per group; in a block of the input */
    int64_t steps;                                /* of the sum for a block and a tap: lines of weights */
    bool ahead;                                   /* the next part of the weights is asked for while one is in use */
    int64_t chunk;                                /* blocks of channels of a part; without sums all */
    Buf *sums;                                    /* with chunks: [row of the strip][column][vector][lane] */
    int64_t step[2], phase[2];                    /* rows and columns of the result: every step-th from phase on */
    Expr *from, *first;                           /* the chunk's first block; the strip's first row */
    Buf *copy;                                    /* of halves: their sums on the way to those of float32 */
    enum { RUN_TAPS, RUN_ROWS, RUN_BLOCKS } runs; /* what is added up as halves: a tap's, a row of taps, some blocks */
    int64_t run;                                  /* blocks */
    Buf *floats;                                  /* NULL, or the panel's weights, which are kept as bytes: [as a panel is] */
} ConvSite;
/* A run of products begins; it ends in the sums of float32. */
static void open_run(Site *s) {
    site_open_acc(s, 0, s->cols);
    lower_put(s->L, s->acc, s->i, e_lit(s->L->a, DT_HALF, 0), RED_NONE);
    site_close(s);
}
static void close_run(Site *s, const ConvSite *c) {
    site_open_acc(s, 0, s->cols);
    lower_put(s->L, c->copy, s->i, lower_get(s->L, s->acc, s->i), RED_NONE);
    site_close(s);
    site_open_acc(s, 0, s->cols);
    lower_put(s->L, s->total, s->i, lower_get(s->L, c->copy, s->i), RED_ADD);
    site_close(s);
}
static void choose_runs(Site *s, ConvSite *c) {
    int64_t row = s->w.k * min_i64(c->channels, c->in_lanes), block = s->h.k * row, blocks = ceil_div(c->channels, c->in_lanes);
    s->total = c->copy = NULL;
    if (s->n->out[0]->type.dt != DT_HALF || blocks * block <= HALF_SUM) return;
    const int64_t *tile = s->n->attr[BLK_TILE].is, dim[] = {tile[0], tile[1], s->n->in[c->weight]->type.dim[5], s->lanes};
    s->total = lower_temp(s->L, "total", DT_FLOAT32, 4, dim), c->copy = lower_temp(s->L, "halves", DT_HALF, 4, dim);
    c->runs = block <= HALF_SUM ? RUN_BLOCKS : row <= 2 * HALF_SUM ? RUN_ROWS : RUN_TAPS;
    c->run = max_i64(HALF_SUM / block, 1);
}
/* A panel of bytes that many blocks of outputs use becomes one of floats first. */
enum { FEW_BLOCKS = 3 };
static void unpack_panel(Site *s, ConvSite *c) {
    Lower *L = s->L;
    const Type *w = &s->n->in[c->weight]->type;
    Expr *at[7] = {c->panel};
    c->floats = NULL;
    if (lower_stored(L, s->n, c->weight) == s->n->in[c->weight] || (s->parts < FEW_BLOCKS && !s->h.run_in && !s->w.run_in)) return;
    c->floats = lower_temp(L, "floats", w->dt, 6, w->dim + 1);
    for (int d = 1; d < 6; d++) at[d] = lower_loop(L, "i", w->dim[d]);
    at[6] = site_lane(s);
    lower_put(L, c->floats, at + 1, lower_load(L, s->n, c->weight, at), RED_NONE);
    lower_ends(L, 6);
}
static Expr *weight_at(Site *s, const ConvSite *c, Expr *const *at) {
    return c->floats ? lower_get(s->L, c->floats, at + 1) : lower_load(s->L, s->n, c->weight, at);
}
/* The next chunk of the panel or the next panel, which lies behind it. */
static Hints conv_ahead(Site *s, const ConvSite *c, Expr *cb, Expr *r, Expr *t) {
    Lower *L = s->L;
    Arena *a = L->a;
    const Type *w = &s->n->in[c->weight]->type;
    Expr *zero = e_int(a, 0), *from = c->from ? c->from : zero;
    Expr *behind = c->from ? e_min(a, e_add(a, from, e_int(a, c->chunk)), e_int(a, w->dim[1])) : e_int(a, w->dim[1]);
    Expr *tap = e_add(a, e_mul(a, e_add(a, e_mul(a, e_sub(a, cb, from), e_int(a, s->h.k)), r), e_int(a, s->w.k)), t);
    HintPlan p = {.from = lower_flat(L, s->n, c->weight, (Expr *[]){c->panel, behind, zero, zero, zero, zero, zero}),
                  .part = s->part,
                  .step = tap,
                  .lines = c->steps * w->dim[5] * s->lanes * dtype_info[lower_stored(L, s->n, c->weight)->type.dt].bits / 512,
                  .parts = s->parts,
                  .steps = (c->from ? c->chunk : w->dim[1]) * s->h.k * s->w.k,
                  .turns = c->steps};
    return lower_prefetch(L, s->n, c->weight, &p);
}
/* Four channels of x from channel 4*k of the block on. */
static Expr *conv_word(Site *s, Expr **x, Expr *k) {
    Arena *a = s->L->a;
    Expr *byte[WORD_BYTES], *from = e_mul(a, k, e_int(a, WORD_BYTES));
    for (int i = 0; i < WORD_BYTES; i++) {
        x[4] = e_add(a, from, e_int(a, i));
        byte[i] = lower_load(s->L, s->n, 0, x);
    }
    return e_word(a, byte, WORD_BYTES);
}
/* Where channel ch of block cb lies in the input. */
static void conv_source_at(Site *s, const ConvSite *c, Expr *cb, Expr *ih, Expr *iw, Expr *ch, Expr **x) {
    Arena *a = s->L->a;
    int64_t source = attr_i(s->n, BLK_SOURCE), blocks = ceil_div(c->channels, c->in_lanes);
    x[0] = s->at_n;
    if (source == BLK_SOURCE_BLOCKED) {
        x[1] = c->group ? e_add(a, e_mul(a, c->group, e_int(a, blocks)), cb) : cb;
        x[2] = ih, x[3] = iw, x[4] = ch;
    } else if (source == BLK_SOURCE_NCHW) x[1] = ch, x[2] = ih, x[3] = iw;
    else x[1] = ih, x[2] = iw, x[3] = ch;
}
static void conv_stage(Site *s, const ConvSite *c, Expr *cb, Expr *r) {
    Expr *to[2], *iw, *x[5];
    site_open_stage(s, to, &iw);
    conv_source_at(s, c, cb, window_at(s->L, &s->h, s->row, r), iw, to[1], x);
    lower_put(s->L, s->in, to, lower_load(s->L, s->n, 0, x), RED_NONE);
    lower_ends(s->L, 2);
}
static void conv_tap(Site *s, const ConvSite *c, Expr *cb, Expr *r, Expr *t, const Part *p) {
    Lower *L = s->L;
    Arena *a = L->a;
    int64_t each = c->words ? WORD_BYTES : 1, all = ceil_div(c->channels, each), per = c->in_lanes / each;
    Expr *end = e_int(a, min_i64(per, all)), *x[5];
    if (all > per && all % per) end = e_min(a, end, e_sub(a, e_int(a, all), e_mul(a, cb, e_int(a, per))));
    Hints next = {0};
    if (c->ahead) next = conv_ahead(s, c, cb, r, t);
    bool run = s->total && c->runs == RUN_TAPS;
    if (run) open_run(s);
    Expr *ch = lower_loop_range(L, "c", e_int(a, 0), end);
    if (next.turns) lower_hints(L, &next, ch);
    site_open(s, p->top, p->bottom, p->from, p->to);
    Expr *ih = window_at(L, &s->h, site_out_row(s), r), *iw = window_at(L, &s->w, site_out_col(s), t);
    conv_source_at(s, c, cb, ih, iw, ch, x);
    Expr *v = s->in ? site_staged(s, t, ch) : c->words ? conv_word(s, x, ch) : lower_load(L, s->n, 0, x);
    Expr *w = weight_at(s, c, (Expr *[]){c->panel, cb, r, t, ch, s->i[2], s->i[3]});
    CallFn dot = s->n->in[0]->type.dt == DT_UINT8 ? CALL_DOT_US : CALL_DOT_SS;
    lower_put(L, s->acc, s->i, c->words ? e_call2(a, dot, v, w) : e_mul(a, v, w), RED_ADD);
    site_close(s);
    lower_end(L);
    if (run) close_run(s, c);
}
/* The taps of row r. */
static void conv_taps(Site *s, const ConvSite *c, Expr *cb, Expr *r, Part p) {
    if (s->edge) {
        for (int64_t t = 0; t < s->w.k; t++) {
            edge_range(&s->w, s->col0, s->cols, t, &p.from, &p.to);
            if (c->words && t)
                lower_call(s->L, "qn_fence", 0, NULL, 0, NULL, 0); /* or words that taps share would take the sums' registers */
            if (p.from < p.to) conv_tap(s, c, cb, r, e_int(s->L->a, t), &p);
        }
        return;
    }
    if (s->in) conv_stage(s, c, cb, r);
    Expr *t = lower_loop(s->L, "s", s->w.k);
    conv_tap(s, c, cb, r, t, &p);
    lower_end(s->L);
}
static void conv_row(Site *s, const ConvSite *c, Expr *cb, Expr *r, Part p) {
    bool run = s->total && c->runs == RUN_ROWS;
    if (run) open_run(s);
    conv_taps(s, c, cb, r, p);
    if (run) close_run(s, c);
}
/* What the zero point stands for at tap (r, t), given back to outputs of a part, for which that tap reads outside. */
static void border_part(Site *s, const ConvSite *c, Expr *r, Expr *t, Part p) {
    if (p.top >= p.bottom || p.from >= p.to) return;
    site_open(s, p.top, p.bottom, p.from, p.to);
    Expr *at[] = {e_add(s->L->a, c->block, s->i[2]), r, t, s->i[3]};
    lower_put(s->L, s->acc, s->i, lower_load(s->L, s->n, c->border, at), RED_ADD);
    site_close(s);
}
static void border_taps(Site *s, const ConvSite *c, Expr *lo, Expr *hi) { /* of rows that all outputs miss */
    Expr *r = lower_loop_range(s->L, "r", lo, hi);
    for (int64_t t = 0; t < s->w.k; t++) border_part(s, c, r, e_int(s->L->a, t), site_whole(s));
    lower_end(s->L);
}
static void border_columns(Site *s, const ConvSite *c, Expr *r, int64_t top, int64_t bottom) {
    for (int64_t t = 0; t < s->w.k && s->edge; t++) {
        int64_t from, to;
        edge_range(&s->w, s->col0, s->cols, t, &from, &to);
        border_part(s, c, r, e_int(s->L->a, t), (Part){top, bottom, 0, from});
        border_part(s, c, r, e_int(s->L->a, t), (Part){top, bottom, to, s->cols});
    }
}
static void conv_border(Site *s, const ConvSite *c, bool all_rows, Expr *lo, Expr *hi) {
    Lower *L = s->L;
    Arena *a = L->a;
    for (int64_t r = 0; r < s->h.k && s->row_edge; r++) {
        int64_t top, bottom;
        edge_range(&s->h, s->row0, s->rows, r, &top, &bottom);
        for (int64_t t = 0; t < s->w.k; t++) {
            border_part(s, c, e_int(a, r), e_int(a, t), (Part){0, top, 0, s->cols});
            border_part(s, c, e_int(a, r), e_int(a, t), (Part){bottom, s->rows, 0, s->cols});
        }
        border_columns(s, c, e_int(a, r), top, bottom);
    }
    if (s->row_edge) return;
    if (!all_rows) {
        border_taps(s, c, e_int(a, 0), e_min(a, lo, e_int(a, s->h.k)));
        border_taps(s, c, e_max(a, hi, e_int(a, 0)), e_int(a, s->h.k));
    }
    if (!s->edge) return;
    Expr *r = all_rows ? lower_loop(L, "r", s->h.k) : lower_loop_range(L, "r", lo, hi);
    border_columns(s, c, r, 0, s->rows);
    lower_end(L);
}
static Expr *conv_start(Site *s, const ConvSite *c, Expr *v, Expr *lane) {
    if (c->bias < 0) return e_lit(s->L->a, dtype_compute(s->n->out[0]->type.dt), 0);
    return lower_load(s->L, s->n, c->bias, (Expr *[]){e_add(s->L->a, c->block, v), lane});
}
/* Where output i of the window's lies in the result. */
static Expr *placed(const ConvSite *c, Arena *a, int axis, Expr *i) {
    return e_add(a, e_mul(a, i, e_int(a, c->step[axis])), e_int(a, c->phase[axis]));
}
static void conv_place(Site *s, void *user, Expr *const *i, Expr **at) {
    const ConvSite *c = user;
    Arena *a = s->L->a;
    at[0] = s->at_n, at[1] = e_add(a, c->block, i[2]), at[4] = i[3];
    at[2] = placed(c, a, 0, e_add(a, s->row, i[0])), at[3] = placed(c, a, 1, e_add(a, s->col, i[1]));
}
static void conv_block(Site *s, void *user) {
    ConvSite *c = user;
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *lo, *hi, *cb;
    int64_t blocks = ceil_div(c->channels, c->in_lanes);
    bool runs = s->total && c->runs == RUN_BLOCKS;
    site_make_acc(s);
    site_open_acc(s, 0, s->cols);
    Expr *kept[] = {e_sub(a, site_out_row(s), c->first), site_out_col(s), s->i[2], s->i[3]};
    lower_put(L, s->total ? s->total : s->acc, s->i, c->sums ? lower_get(L, c->sums, kept) : conv_start(s, c, s->i[2], s->i[3]), RED_NONE);
    site_close(s);
    window_taps(L, &s->h, s->row, &lo, &hi);
    bool fits = s->h.run_in ? s->h.inside : reads_inside(&s->h, 0, 0) && reads_inside(&s->h, s->h.out - 1, 0);
    bool all = s->rows > 1 || (s->h.k == 1 && fits);
    if (c->border) conv_border(s, c, all, lo, hi);
    if (c->sums) cb = lower_loop_range(L, "cb", c->from, e_min(a, e_add(a, c->from, e_int(a, c->chunk)), e_int(a, blocks)));
    else if (runs) {
        Expr *run = e_mul(a, lower_loop(L, "cr", ceil_div(blocks, c->run)), e_int(a, c->run)), *end = e_add(a, run, e_int(a, c->run));
        open_run(s);
        cb = lower_loop_range(L, "cb", run, blocks % c->run ? e_min(a, end, e_int(a, blocks)) : end);
    } else cb = lower_loop(L, "cb", blocks);
    Part p = site_whole(s);
    if (s->row_edge) {
        for (int64_t r = 0; r < s->h.k; r++) {
            edge_range(&s->h, s->row0, s->rows, r, &p.top, &p.bottom);
            if (p.top < p.bottom) conv_row(s, c, cb, e_int(a, r), p);
        }
    } else {
        conv_row(s, c, cb, all ? lower_loop(L, "r", s->h.k) : lower_loop_range(L, "r", lo, hi), p);
        lower_end(L);
    }
    lower_end(L);
    if (runs) {
        close_run(s, c);
        lower_end(L);
    }
    if (!c->sums) {
        site_store(s, conv_place, c);
        return;
    }
    site_open_acc(s, 0, s->cols);
    Expr *to[] = {e_sub(a, site_out_row(s), c->first), site_out_col(s), s->i[2], s->i[3]};
    lower_put(L, c->sums, to, lower_get(L, s->acc, s->i), RED_NONE);
    site_close(s);
}
/* The sums in memory are set (store = false), or go where the results go. */
static void conv_sums(Site *s, const ConvSite *c, Expr *end, bool store) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *row = lower_loop_range(L, "e", c->first, end), *f = lower_loop_to(L, "f", s->wide), *v = lower_loop(L, "v", s->vecs);
    Expr *lane = site_lane(s), *at[] = {e_sub(a, row, c->first), f, v, lane};
    if (store) {
        Expr *to[] = {s->at_n, e_add(a, c->block, v), placed(c, a, 0, row), placed(c, a, 1, f), lane};
        lower_store(L, s->n, 0, to, lower_get(L, c->sums, at));
    } else lower_put(L, c->sums, at, conv_start(s, c, v, lane), RED_NONE);
    lower_ends(L, 4);
}
/* All outputs of a panel, chunk by chunk or at once. */
static void conv_panel(Site *s, ConvSite *c, Expr *end) {
    Lower *L = s->L;
    if (!c->sums) {
        site_rows(s, c->first, end, conv_block, c);
        return;
    }
    conv_sums(s, c, end, false);
    int64_t blocks = ceil_div(c->channels, c->in_lanes);
    c->from = e_mul(L->a, lower_loop(L, "ko", ceil_div(blocks, c->chunk)), e_int(L->a, c->chunk));
    site_rows(s, c->first, end, conv_block, c);
    lower_end(L);
    conv_sums(s, c, end, true);
}
/* The outputs of one image that the site's windows have. */
static void conv_nest(Site *s, ConvSite *c) {
    Lower *L = s->L;
    Arena *a = L->a;
    Node *n = s->n;
    const Type *w = &n->in[c->weight]->type, *o = &n->out[0]->type;
    int64_t group = attr_i(n, BLK_GROUP), strip = attr_i(n, BLK_STRIP), vecs = w->dim[5], panels = w->dim[0] / group;
    c->channels = attr_i(n, BLK_CHANNELS) / group, c->steps = w->dim[4], c->words = w->dt == DT_INT32;
    c->in_lanes = c->words ? n->in[0]->type.dim[4] : w->dim[4];
    int64_t blocks = o->dim[1] / group, full = blocks / vecs;
    if (strip <= 0 || strip >= s->h.out) strip = s->h.out;
    s->parts = strip * ceil_div(s->w.out, n->attr[BLK_TILE].is[1]);
    c->ahead = w->dim[0] > 1 && tensor_elements(n->in[c->weight]) >= FAR_WEIGHTS;
    c->chunk = attr_i(n, BLK_CHUNK);
    int64_t room = s->w.run_in ? n->attr[BLK_TILE].is[1] : 0; /* for columns of the last block that are none */
    if (c->chunk > 0 && c->chunk < w->dim[1])
        c->sums = lower_temp(L, "sums", dtype_compute(o->dt), 4, (int64_t[]){strip, s->w.out + room, vecs, s->lanes});
    choose_runs(s, c);
    c->group = group > 1 ? lower_loop(L, "g", group) : NULL;
    Expr *strips = e_div(a, e_add(a, s->high, e_int(a, strip - 1)), e_int(a, strip));
    c->first =
        strip == s->h.out ? e_mul(a, lower_loop(L, "ro", 1), e_int(a, strip)) : e_mul(a, lower_loop_to(L, "ro", strips), e_int(a, strip));
    Expr *end = strip == s->h.out ? s->high : e_min(a, e_add(a, c->first, e_int(a, strip)), s->high);
    for (int part = 0; part < 2; part++) { /* whole panels, and the one that is left */
        int64_t count = part ? blocks > full * vecs : full;
        if (!count) continue;
        s->vecs = part ? blocks - full * vecs : vecs;
        Expr *p = part ? e_int(a, full) : lower_loop(L, "mo", count);
        c->panel = c->group ? e_add(a, e_mul(a, c->group, e_int(a, panels)), p) : p;
        c->block = e_mul(a, p, e_int(a, vecs));
        if (c->group) c->block = e_add(a, e_mul(a, c->group, e_int(a, blocks)), c->block);
        unpack_panel(s, c);
        conv_panel(s, c, end);
        if (!part) lower_end(L);
    }
    lower_ends(L, group > 1 ? 2 : 1);
}
bool infer_conv_integer_blocked(Infer *x) {
    const Node *n = x->n;
    const Type *in = &n->in[0]->type, *w = &n->in[1]->type;
    const int64_t *out = n->attr[BLK_OUT].is;
    if (w->rank != 7 || in->rank != 5 || in->dim[4] % WORD_BYTES || dtype_info[in->dt].bits != 8 || w->dt != DT_INT32)
        return infer_error(x, "expected an input of 5 dims, the last one whole words of bytes, and weights of 7");
    if (!infer_blocked_lists(x)) return false;
    Expr *plane[] = {e_int(x->g->a, out[0]), e_int(x->g->a, out[1])};
    return infer_blocked_out(x, DT_INT32, ceil_div(attr_i(n, BLK_FEATURES), w->dim[6]), plane, w->dim[6]);
}
bool lower_conv_blocked(Lower *L, Node *n) {
    Site s;
    ConvSite c = {.weight = 1, .bias = n->nin > 2 ? 2 : -1, .border = n->nin > 3 ? 3 : 0, .step = {1, 1}};
    site_init(&s, L, n, n->in[1]->type.dim[6]);
    s.at_n = lower_loop_to(L, "n", lower_dim(L, &n->out[0]->type, 0));
    conv_nest(&s, &c);
    lower_end(L);
    return true;
}

/* ---- transposed: the outputs of each phase (their row and column modulo the strides) are a convolution with every stride-th tap */
Window transposed_window(int64_t in, int64_t out, int64_t k, int64_t stride, int64_t pad, int64_t phase) {
    int64_t first = (phase + pad) % stride, taps = first < k ? ceil_div(k - first, stride) : 1; /* no tap: one of zeros */
    return (Window){.in = in,
                    .out = phase < out ? ceil_div(out - phase, stride) : 0,
                    .k = taps,
                    .stride = 1,
                    .dil = 1,
                    .lo = taps - 1 - (phase + pad) / stride};
}
bool infer_conv_transpose_blocked(Infer *x) {
    const Node *n = x->n;
    const Type *w = &n->in[2]->type;
    int rank = attr_i(n, BLK_SOURCE) == BLK_SOURCE_BLOCKED ? 5 : 4;
    if (w->rank != 7 || n->in[0]->type.rank != rank)
        return infer_error(x, "the weights have %d dims, expected 7, and the input %d, expected %d", w->rank, n->in[0]->type.rank, rank);
    if (!infer_blocked_lists(x)) return false;
    const int64_t *u = n->attr[BLK_STRIDES].is, *out = n->attr[BLK_OUT].is;
    const Type *t = &n->in[0]->type;
    Expr *plane[2];
    for (int i = 0, h = attr_i(n, BLK_SOURCE) == BLK_SOURCE_NHWC ? 1 : 2; i < 2; i++) { /* stride times the input's, and a constant */
        int64_t times, more;
        if (!mul_ok(t->dim[h + i], u[i], &times) || !add_ok(out[i], -times, &more)) return infer_error(x, "the extents overflow");
        plane[i] = extent_add(x->g, extent_mul(x->g, type_extent(x->g, t, h + i), e_int(x->g->a, u[i])), e_int(x->g->a, more));
    }
    if (!infer_blocked_out(x, t->dt, ceil_div(attr_i(n, BLK_FEATURES), w->dim[6]), plane, w->dim[6])) return false;
    if (u[0] < 1 || u[1] < 1 || u[0] * u[1] != n->nin - 2)
        return infer_error(x, "%d operands, expected 2 and one for each of %lld x %lld phases", n->nin, (long long)u[0], (long long)u[1]);
    return true;
}
int64_t macs_conv_transpose_blocked(const Node *n) {
    const int64_t *k = n->attr[BLK_KERNEL].is;
    const Type *t = &n->in[0]->type;
    int h = attr_i(n, BLK_SOURCE) == BLK_SOURCE_NHWC ? 1 : 2;
    int64_t m = t->dim[0],
            factor[] = {attr_i(n, BLK_FEATURES), attr_i(n, BLK_CHANNELS) / attr_i(n, BLK_GROUP), k[0], k[1], t->dim[h], t->dim[h + 1]};
    for (size_t i = 0; i < sizeof factor / sizeof *factor; i++)
        if (!mul_ok(m, factor[i], &m)) return -1;
    return m;
}
/* How many of the outputs from `phase` on, `stride` apart, there are. */
static Expr *phase_extent(Lower *L, Expr *all, int64_t phase, int64_t stride) {
    Arena *a = L->a;
    return e_div(a, e_max(a, e_add(a, all, e_int(a, stride - 1 - phase)), e_int(a, 0)), e_int(a, stride));
}
bool lower_conv_transpose_blocked(Lower *L, Node *n) {
    Site s;
    const int64_t *k = n->attr[BLK_KERNEL].is, *u = n->attr[BLK_STRIDES].is, *pad = n->attr[BLK_PADS].is, *out = n->attr[BLK_OUT].is;
    site_init(&s, L, n, n->in[2]->type.dim[6]);
    int64_t in[2] = {s.h.in, s.w.in};
    Expr *run[2] = {s.h.run_in, s.w.run_in}, *extent[2] = {s.high, s.wide};
    s.at_n = lower_loop_to(L, "n", lower_dim(L, &n->out[0]->type, 0));
    for (int64_t p = 0; p < u[0] * u[1]; p++) {
        ConvSite c = {.weight = 2 + (int)p, .bias = 1, .step = {u[0], u[1]}, .phase = {p / u[1], p % u[1]}};
        s.h = transposed_window(in[0], out[0], k[0], u[0], pad[0], c.phase[0]);
        s.w = transposed_window(in[1], out[1], k[1], u[1], pad[1], c.phase[1]);
        Window *win[2] = {&s.h, &s.w};
        Expr **now[2] = {&s.high, &s.wide};
        for (int i = 0; i < 2; i++) {
            *now[i] = lower_let(L, "phase", phase_extent(L, extent[i], c.phase[i], u[i]));
            win[i]->run_in = run[i], win[i]->run_out = run[i] ? *now[i] : NULL;
        }
        if (s.h.out > 0 && s.w.out > 0) conv_nest(&s, &c);
    }
    lower_end(L);
    return true;
}
