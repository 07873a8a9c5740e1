/* SPDX-License-Identifier: Apache-2.0 */
/* blocked.c: internal operators on channel-blocked tensors [N, ceil(C/L), H, W, L], made by the layout pass for targets with vectors.
 * Lanes beyond C in the last block are zero, or what elementwise operators make of zero.
 * Here: inference, conversions from and to the usual order, and operators on one channel at a time; blocked_conv.c has convolutions.
 *
 *   DepthwiseBlocked(x, w, b):  for cb, e, fo:  acc[i,l] = b;  for r in valid(e), s: acc[i,l] += x[cb,e+r,fo*F+i+s,l] * w[cb,r,s,l]; y =
 * acc
 */
#include "blocked_site.h"

/* ---- inference: shapes were computed when the node was made */
bool infer_blocked_lists(Infer *x) {
    const Node *n = x->n;
    if (n->attr[BLK_OUT].n != 2 || n->attr[BLK_KERNEL].n != 2 || n->attr[BLK_STRIDES].n != 2 || n->attr[BLK_DILATIONS].n != 2 ||
        (n->attr[BLK_PADS].n != 2 && n->attr[BLK_PADS].n != 4) || n->attr[BLK_TILE].n != 3)
        return infer_error(x, "out, kernel, strides, dilations and pads need 2 values each, tile 3");
    return true;
}
bool infer_blocked_result(Infer *x, int64_t blocks, int64_t lanes) {
    const Node *n = x->n;
    const int64_t *out = n->attr[BLK_OUT].is;
    if (!infer_blocked_lists(x)) return false;
    const Type *t = &n->in[0]->type;
    int h = n->op->nattr > BLK_SOURCE && attr_i(n, BLK_SOURCE) == BLK_SOURCE_NHWC ? 1 : 2;
    const Attr *pad = &n->attr[BLK_PADS];
    Expr *plane[2];
    for (int i = 0; i < 2; i++) {
        int64_t k = n->attr[BLK_KERNEL].is[i], d = n->attr[BLK_DILATIONS].is[i], u = n->attr[BLK_STRIDES].is[i], add, reach;
        plane[i] = e_int(x->g->a, out[i]);
        if (!t->ext || !t->ext[h + i]) continue;
        if (pad->n != 4 || u < 1 || k < 1 || !mul_ok(k - 1, d, &reach) || !add_ok(pad->is[i], pad->is[2 + i], &add) ||
            !add_ok(add, -reach - 1, &add))
            return infer_error(x, "an extent that is known at run time needs 4 pads and strides of at least 1");
        plane[i] = extent_add(x->g, t->ext[h + i], e_int(x->g->a, add));
        plane[i] = extent_add(x->g, extent_floor_div(x->g, plane[i], u), e_int(x->g->a, 1));
    }
    return infer_blocked_out(x, t->dt, blocks, plane, lanes);
}
bool infer_blocked_out(Infer *x, DType dt, int64_t blocks, Expr *const *plane, int64_t lanes) {
    Arena *a = x->g->a;
    Expr *e[] = {type_extent(x->g, &x->n->in[0]->type, 0), e_int(a, blocks), plane[0], plane[1], e_int(a, lanes)};
    return infer_extents(x, 0, dt, 5, e);
}
bool infer_conv_blocked(Infer *x) {
    const Node *n = x->n;
    const Type *w = &n->in[1]->type;
    int rank = attr_i(n, BLK_SOURCE) == BLK_SOURCE_BLOCKED ? 5 : 4;
    if (w->rank != 7 || n->in[0]->type.rank != rank)
        return infer_error(x, "the weights have %d dims, expected 7, and the input %d, expected %d", w->rank, n->in[0]->type.rank, rank);
    return infer_blocked_result(x, ceil_div(attr_i(n, BLK_FEATURES), w->dim[6]), w->dim[6]);
}
bool infer_channelwise_blocked(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (t->rank != 5) return infer_error(x, "the input has %d dims, expected 5", t->rank);
    return infer_blocked_result(x, t->dim[1], t->dim[4]);
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
    Expr *plane[] = {type_extent(x->g, t, last ? 1 : 2), type_extent(x->g, t, last ? 2 : 3)};
    return infer_blocked_out(x, t->dt, ceil_div(c, lanes), plane, lanes);
}
bool infer_from_blocked(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t lanes = attr_i(x->n, TOB_LANES), c = attr_i(x->n, TOB_CHANNELS);
    if (t->rank != 5 || t->dim[4] != lanes || t->dim[1] != ceil_div(c, lanes))
        return infer_error(x, "the input is not blocked by %lld", (long long)lanes);
    Expr *n = type_extent(x->g, t, 0), *h = type_extent(x->g, t, 2), *w = type_extent(x->g, t, 3), *all = e_int(x->g->a, c);
    if (attr_i(x->n, TOB_NHWC)) return infer_extents(x, 0, t->dt, 4, (Expr *[]){n, h, w, all});
    return infer_extents(x, 0, t->dt, 4, (Expr *[]){n, all, h, w});
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

/* ---- channels picked from several tensors */
enum { PICK_OPERAND, PICK_CHANNEL };
bool infer_channels_blocked(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type;
    const Attr *op = &n->attr[PICK_OPERAND], *ch = &n->attr[PICK_CHANNEL];
    if (t->rank != 5 || op->n != ch->n || op->n < 1)
        return infer_error(x, "the input has %d dims, expected 5, and two lists of a length", t->rank);
    int64_t lanes = t->dim[4];
    for (int i = 0; i < n->nin; i++) {
        const Type *s = &n->in[i]->type;
        if (s->rank != 5 || s->dim[0] != t->dim[0] || s->dim[2] != t->dim[2] || s->dim[3] != t->dim[3] || s->dim[4] != lanes)
            return infer_error(x, "operand %d has another plane than the first", i);
    }
    for (int64_t i = 0; i < op->n; i++)
        if (op->is[i] >= n->nin || op->is[i] < -1 || ch->is[i] < 0 ||
            (op->is[i] >= 0 && ch->is[i] >= n->in[op->is[i]]->type.dim[1] * lanes))
            return infer_error(x, "channel %lld is picked from outside an operand", (long long)i);
    Expr *plane[] = {type_extent(x->g, t, 2), type_extent(x->g, t, 3)};
    return infer_blocked_out(x, t->dt, ceil_div(op->n, lanes), plane, lanes);
}
/* Lanes [from, to) of a block of the result: consecutive ones of an operand's block, or zeros (k < 0). */
static void pick_run(Site *s, Expr *const *at, int64_t from, int64_t to, int64_t k, int64_t channel) {
    Arena *a = s->L->a;
    Expr *lane = to - from == s->lanes ? site_lane(s) : NULL;
    for (int64_t i = from; i < (lane ? from + 1 : to); i++) {
        Expr *l = lane ? lane : e_int(a, i), *source = lane ? lane : e_int(a, channel % s->lanes + i - from), *v;
        Expr *x[] = {at[0], e_int(a, channel / s->lanes), at[2], at[3], source}, *y[] = {at[0], at[1], at[2], at[3], l};
        if (k < 0) v = e_lit(a, dtype_compute(s->n->out[0]->type.dt), 0);
        else v = lower_load(s->L, s->n, (int)k, x);
        lower_store(s->L, s->n, 0, y, v);
    }
    if (lane) lower_end(s->L);
}
bool lower_channels_blocked(Lower *L, Node *n) {
    const Type *o = &n->out[0]->type;
    const Attr *op = &n->attr[PICK_OPERAND], *ch = &n->attr[PICK_CHANNEL];
    Site s = {.L = L, .n = n, .lanes = o->dim[4]};
    Expr *at[5] = {lower_loop_to(L, "n", lower_dim(L, o, 0))};
    for (int64_t b = 0; b < o->dim[1]; b++) {
        at[1] = e_int(L->a, b), at[2] = lower_loop_to(L, "h", lower_dim(L, o, 2)), at[3] = lower_loop_to(L, "w", lower_dim(L, o, 3));
        for (int64_t from = 0, to; from < s.lanes; from = to) {
            int64_t c = b * s.lanes + from, k = c < op->n ? op->is[c] : -1, first = c < op->n ? ch->is[c] : 0;
            for (to = from + 1; to < s.lanes; to++) {
                int64_t d = b * s.lanes + to, next = d < op->n ? op->is[d] : -1;
                if (next != k) break;
                if (k >= 0 && (ch->is[d] != first + to - from || ch->is[d] % s.lanes == 0)) break;
            }
            pick_run(&s, at, from, to, k, first);
        }
        lower_ends(L, 2);
    }
    lower_end(L);
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
    if (s->edge) edge_range(&s->w, s->col0, s->cols, t, &from, &to);
    if (from >= to) return;
    site_open_acc(s, from, to);
    Expr *ih = window_at(L, &s->h, site_out_row(s), r), *iw = window_at(L, &s->w, site_out_col(s), e_int(a, t)), *v;
    if (s->in) v = site_staged(s, e_int(a, t), s->i[3]);
    else v = lower_load(L, s->n, 0, (Expr *[]){s->at_n, c->block, ih, iw, s->i[3]});
    if (s->n->nin > 1) v = e_mul(a, v, lower_load(L, s->n, 1, (Expr *[]){c->block, r, e_int(a, t), s->i[3]}));
    lower_put(L, s->acc, s->i, v, c->red);
    site_close(s);
}
static void channel_stage(Site *s, const Channel *c, Expr *r) {
    Expr *to[2], *iw;
    site_open_stage(s, to, &iw);
    Expr *at[] = {s->at_n, c->block, window_at(s->L, &s->h, s->row, r), iw, to[1]};
    lower_put(s->L, s->in, to, lower_load(s->L, s->n, 0, at), RED_NONE);
    lower_ends(s->L, 2);
}
static void channel_sums(Site *s, Channel *c) {
    Lower *L = s->L;
    site_make_acc(s);
    site_open_acc(s, 0, s->cols);
    lower_put(L, s->acc, s->i, s->n->nin > 2 ? lower_load(L, s->n, 2, (Expr *[]){c->block, s->i[3]}) : c->start, RED_NONE);
    site_close(s);
    window_taps(L, &s->h, s->row, &c->lo, &c->hi);
    if (s->n->nin == 1) c->lo = lower_let(L, "from", c->lo), c->hi = lower_let(L, "to", c->hi);
    Expr *r = lower_loop_range(L, "r", c->lo, c->hi);
    if (s->in) channel_stage(s, c, r);
    for (int64_t t = 0; t < s->w.k; t++) channel_tap(s, c, r, t);
    lower_end(L);
}
static void channel_place(Site *s, void *user, Expr *const *i, Expr **at) {
    const Channel *c = user;
    at[0] = s->at_n, at[1] = c->block, at[2] = e_add(s->L->a, s->row, i[0]), at[3] = e_add(s->L->a, s->col, i[1]), at[4] = i[3];
}
static void depthwise_block(Site *s, void *user) {
    channel_sums(s, user);
    site_store(s, channel_place, user);
}
static bool channel_nests(Lower *L, Node *n, RedOp red, BlockFn fn) {
    Site s;
    const Type *o = &n->out[0]->type;
    site_init(&s, L, n, o->dim[4]);
    DType t = dtype_compute(o->dt);
    Channel c = {.red = red, .start = red == RED_MAX ? e_lower_bound(L->a, t) : e_lit(L->a, t, 0)};
    s.fill = c.start;
    s.at_n = lower_loop_to(L, "n", lower_dim(L, o, 0));
    c.block = lower_loop(L, "cb", o->dim[1]);
    site_rows(&s, e_int(L->a, 0), s.high, fn, &c);
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
    if (s->in) { /* padding of columns counts, or there is none */
        Expr *n = lower_let(L, "taps", e_cast(a, t, e_mul(a, high, e_int(a, s->w.k))));
        site_open_acc(s, 0, s->cols);
        lower_put(L, s->acc, s->i, e_div(a, lower_get(L, s->acc, s->i), n), RED_NONE);
        site_close(s);
        site_store(s, channel_place, c);
        return;
    }
    for (int64_t i = 0; i < s->cols; i++) {
        int64_t wide = 0, to = s->edge ? i + 1 : s->cols;
        for (int64_t k = 0; k < s->w.k; k++) wide += padded || !s->edge || reads_inside(&s->w, s->col0 + i, k);
        Expr *n = lower_let(L, "taps", e_cast(a, t, e_mul(a, high, e_int(a, wide))));
        site_open_acc(s, i, to);
        lower_store(L, s->n, 0, (Expr *[]){s->at_n, c->block, site_out_row(s), site_out_col(s), s->i[3]},
                    e_div(a, lower_get(L, s->acc, s->i), n));
        site_close(s);
        i = to - 1;
    }
}
bool lower_pool_blocked(Lower *L, Node *n) {
    bool largest = attr_i(n, BLK_MODE) == BLK_POOL_MAX;
    return channel_nests(L, n, largest ? RED_MAX : RED_ADD, largest ? depthwise_block : average_block);
}
