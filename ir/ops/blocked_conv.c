/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_conv.c: ConvBlocked's nest. A panel of weights, for some vectors of features, is used by all blocks of outputs before the
 * next one; while it is, the next one is asked for.
 *
 *   ConvBlocked(x, w, b):  for mo, e, fo:  acc[i,v,l] = b;  for cb, r in valid(e), s, c: acc[i,v,l] += x[cb,e+r,fo*F+i+s,c] *
 * w[mo,cb,r,s,c,v,l]; y[mo*V+v,e,fo*F+i,l] = acc[i,v,l]
 */
#include "blocked_site.h"

enum { FAR_WEIGHTS = 8192 }; /* elements which are not worth asking for in advance */
typedef struct ConvSite {
    Expr *panel, *block, *group; /* of weights; of outputs, the first of the panel; NULL: one group */
    int64_t channels, in_lanes;  /* per group; in a block of the input */
    int64_t ahead;               /* elements from a part of the weights to the one that is asked for while it is in use; 0: none is */
    int64_t chunk;               /* blocks of channels of a part */
    Buf *sums;                   /* with chunks: [row of the strip][column][vector][lane] */
    Expr *from, *first;          /* the chunk's first block; the strip's first row */
} ConvSite;
static void conv_tap(Site *s, const ConvSite *c, Expr *cb, Expr *r, Expr *t, const Part *p) {
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
    site_open(s, p->top, p->bottom, p->from, p->to);
    Expr *ih = window_at(L, &s->h, site_out_row(s), r), *iw = window_at(L, &s->w, site_out_col(s), t);
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
    site_close(s);
    lower_end(L);
}
/* The taps of row r. */
static void conv_row(Site *s, const ConvSite *c, Expr *cb, Expr *r, Part p) {
    if (s->edge) {
        for (int64_t t = 0; t < s->w.k; t++) {
            edge_range(&s->w, s->col0, s->cols, t, &p.from, &p.to);
            if (p.from < p.to) conv_tap(s, c, cb, r, e_int(s->L->a, t), &p);
        }
        return;
    }
    Expr *t = lower_loop(s->L, "s", s->w.k);
    conv_tap(s, c, cb, r, t, &p);
    lower_end(s->L);
}
static Expr *conv_start(Site *s, const ConvSite *c, Expr *v, Expr *lane) {
    if (s->n->nin <= 2) return e_lit(s->L->a, dtype_compute(s->n->out[0]->type.dt), 0);
    return lower_load(s->L, s->n, 2, (Expr *[]){e_add(s->L->a, c->block, v), lane});
}
static void conv_block(Site *s, void *user) {
    const ConvSite *c = user;
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *lo, *hi, *cb;
    int64_t blocks = ceil_div(c->channels, c->in_lanes);
    site_make_acc(s);
    site_open_acc(s, 0, s->cols);
    Expr *kept[] = {e_sub(a, site_out_row(s), c->first), site_out_col(s), s->i[2], s->i[3]};
    lower_put(L, s->acc, s->i, c->sums ? lower_get(L, c->sums, kept) : conv_start(s, c, s->i[2], s->i[3]), RED_NONE);
    site_close(s);
    if (c->sums) cb = lower_loop_range(L, "cb", c->from, e_min(a, e_add(a, c->from, e_int(a, c->chunk)), e_int(a, blocks)));
    else cb = lower_loop(L, "cb", blocks);
    Part p = site_whole(s);
    if (s->row_edge) {
        for (int64_t r = 0; r < s->h.k; r++) {
            edge_range(&s->h, s->row0, s->rows, r, &p.top, &p.bottom);
            if (p.top < p.bottom) conv_row(s, c, cb, e_int(a, r), p);
        }
    } else {
        window_taps(L, &s->h, s->row, &lo, &hi);
        bool all = s->rows > 1 || (s->h.k == 1 && reads_inside(&s->h, 0, 0) && reads_inside(&s->h, s->h.out - 1, 0));
        conv_row(s, c, cb, all ? lower_loop(L, "r", s->h.k) : lower_loop_range(L, "r", lo, hi), p);
        lower_end(L);
    }
    lower_end(L);
    site_open_acc(s, 0, s->cols);
    Expr *sum = lower_get(L, s->acc, s->i);
    if (c->sums) {
        Expr *to[] = {e_sub(a, site_out_row(s), c->first), site_out_col(s), s->i[2], s->i[3]};
        lower_put(L, c->sums, to, sum, RED_NONE);
    } else {
        Expr *to[] = {s->at_n, e_add(a, c->block, s->i[2]), site_out_row(s), site_out_col(s), s->i[3]};
        lower_store(L, s->n, 0, to, sum);
    }
    site_close(s);
}
/* The sums in memory are set (store = false), or go where the results go. */
static void conv_sums(Site *s, const ConvSite *c, Expr *end, bool store) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *row = lower_loop_range(L, "e", c->first, end), *f = lower_loop(L, "f", s->w.out), *v = lower_loop(L, "v", s->vecs);
    Expr *lane = site_lane(s), *at[] = {e_sub(a, row, c->first), f, v, lane};
    if (store) lower_store(L, s->n, 0, (Expr *[]){s->at_n, e_add(a, c->block, v), row, f, lane}, lower_get(L, c->sums, at));
    else lower_put(L, c->sums, at, conv_start(s, c, v, lane), RED_NONE);
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
    c.chunk = attr_i(n, BLK_CHUNK);
    if (c.chunk > 0 && c.chunk < w->dim[1]) {
        c.sums = lower_temp(L, "sums", dtype_compute(o->dt), 4, (int64_t[]){strip, s.w.out, vecs, s.lanes});
        if (c.ahead) c.ahead = c.ahead / w->dim[1] * c.chunk;
    }
    s.at_n = lower_loop(L, "n", o->dim[0]);
    c.group = group > 1 ? lower_loop(L, "g", group) : NULL;
    c.first = e_mul(a, lower_loop(L, "ro", ceil_div(s.h.out, strip)), e_int(a, strip));
    Expr *end = strip == s.h.out ? e_int(a, strip) : e_min(a, e_add(a, c.first, e_int(a, strip)), e_int(a, s.h.out));
    for (int part = 0; part < 2; part++) { /* whole panels, and the one that is left */
        int64_t count = part ? blocks > full * vecs : full;
        if (!count) continue;
        s.vecs = part ? blocks - full * vecs : vecs;
        Expr *p = part ? e_int(a, full) : lower_loop(L, "mo", count);
        c.panel = c.group ? e_add(a, e_mul(a, c.group, e_int(a, panels)), p) : p;
        c.block = e_mul(a, p, e_int(a, vecs));
        if (c.group) c.block = e_add(a, e_mul(a, c.group, e_int(a, blocks)), c.block);
        conv_panel(&s, &c, end);
        if (!part) lower_end(L);
    }
    lower_ends(L, group > 1 ? 3 : 2);
    return true;
}
