/* SPDX-License-Identifier: Apache-2.0 */
/* fused_attention.c: FusedAttention, Softmax(Q K' * scale + mask) V in one nest. The pass `attention` makes it for targets with
 * vectors. Q, K and V are flat tensors with a start and strides, so that heads are read where a projection left them. Keys of a head
 * are packed in panels; then, for each block of rows: scores into a block of their own, softmax in place, times V, divided by the
 * sums. The pass `tile` brings the sums into registers.
 *
 *   for head: keys[p][d][j] = scale*k;  for block: s = q*keys + mask; e = exp(s - max); y[m,d] = sum e*v / sum e
 */
#include "../extent.h"

enum { DIMS, Q_MAP, K_MAP, V_MAP, SCALE, SWAPPED, ROWS, WIDTH, COLS, LANES };
enum { BATCH, HEADS, QUERIES, KEYS, HEAD, VALUE, NDIMS };
enum { START, AT_BATCH, AT_HEAD, AT_ROW, AT_ELEM, NMAP };
enum { IN_Q, IN_K, IN_V, IN_MASK };

/* Without maps the operands are Q [.., H, M, D], K' [.., H, D, N] and V [.., H, N, E] themselves, whose extents may be known at run time
 * only; dims are bounds then. */
static bool direct(const Node *n) { return n->attr[Q_MAP].n == 0; }
static int64_t dim_of(const Node *n, int d) { return n->attr[DIMS].is[d]; }
static bool map_ok(const Node *n, int attr, int input, int64_t rows, int64_t size) {
    const Attr *m = &n->attr[attr];
    const Type *t = &n->in[input]->type;
    int64_t ext[NMAP] = {2, dim_of(n, BATCH), dim_of(n, HEADS), rows, size}, last = 0, step;
    if (m->n != NMAP || t->rank != 1) return false;
    for (int i = 0; i < NMAP; i++)
        if (m->is[i] < 0 || !mul_ok(m->is[i], ext[i] - 1, &step) || !add_ok(last, step, &last)) return false;
    return last < t->dim[0];
}
static bool infer_direct(Infer *x) {
    const Node *n = x->n;
    const Type *q = &n->in[IN_Q]->type, *k = &n->in[IN_K]->type, *v = &n->in[IN_V]->type;
    int r = q->rank;
    bool swap = attr_i(n, SWAPPED) != 0;
    if (r < 3 || r > 4 || k->rank != r || v->rank != r || (swap && r != 4)) return false;
    if (q->dim[r - 1] != dim_of(n, HEAD) || k->dim[r - 2] != dim_of(n, HEAD) || k->dim[r - 1] > dim_of(n, KEYS) ||
        v->dim[r - 2] > dim_of(n, KEYS) || v->dim[r - 1] != dim_of(n, VALUE) || q->dim[r - 2] > dim_of(n, QUERIES))
        return false;
    Expr *e[4], *t;
    type_extents(x->g, q, e);
    e[r - 1] = e_int(x->g->a, dim_of(n, VALUE));
    if (swap) t = e[1], e[1] = e[2], e[2] = t;
    return infer_extents(x, 0, q->dt, r, e);
}
bool infer_fused_attention(Infer *x) {
    const Node *n = x->n;
    bool ok = n->attr[DIMS].n == NDIMS && attr_i(n, ROWS) > 0 && attr_i(n, LANES) > 0 && attr_i(n, WIDTH) > 0 && attr_i(n, COLS) > 0;
    for (int i = 0; ok && i < NDIMS; i++) ok = dim_of(n, i) > 0 && dim_of(n, i) < INT32_MAX;
    ok = ok && attr_i(n, WIDTH) % attr_i(n, LANES) == 0 && attr_i(n, COLS) % attr_i(n, LANES) == 0 &&
         dim_of(n, VALUE) % attr_i(n, COLS) == 0;
    if (ok && direct(n)) return infer_direct(x) || infer_error(x, "the attributes do not describe the operands");
    ok = ok && map_ok(n, Q_MAP, IN_Q, dim_of(n, QUERIES), dim_of(n, HEAD)) && map_ok(n, K_MAP, IN_K, dim_of(n, KEYS), dim_of(n, HEAD)) &&
         map_ok(n, V_MAP, IN_V, dim_of(n, KEYS), dim_of(n, VALUE));
    if (ok && n->nin > IN_MASK && n->in[IN_MASK]) {
        const Type *m = &n->in[IN_MASK]->type;
        ok = m->rank <= 4;
        for (int d = 0; ok && d < m->rank; d++) ok = m->dim[d] == 1 || m->dim[d] == dim_of(n, d + 4 - m->rank);
    }
    if (!ok) return infer_error(x, "the attributes do not describe the operands");
    bool swap = attr_i(n, SWAPPED) != 0;
    int64_t dim[4] = {dim_of(n, BATCH), dim_of(n, swap ? QUERIES : HEADS), dim_of(n, swap ? HEADS : QUERIES), dim_of(n, VALUE)};
    return infer_out(x, 0, n->in[IN_Q]->type.dt, 4, dim);
}
int64_t macs_fused_attention(const Node *n) {
    int64_t m, size;
    bool ok = add_ok(dim_of(n, HEAD), dim_of(n, VALUE), &size) && mul_ok(dim_of(n, BATCH), dim_of(n, HEADS), &m) &&
              mul_ok(m, dim_of(n, QUERIES), &m) && mul_ok(m, dim_of(n, KEYS), &m) && mul_ok(m, size, &m);
    return ok ? m : -1;
}

typedef struct Att {
    Node *n;
    Lower *L;
    DType t;
    Expr *b, *h;                        /* of the head */
    int64_t lanes, width, panels, cols; /* of scores: columns of a panel, panels; of results: columns of a block */
    Expr *some, *padded;                /* keys; columns of all their panels */
    Buf *keys;
    int part;
} Att;
static const char *named(const Att *s, const char *stem) { return s->part ? arena_printf(s->L->a, "%s%d", stem, s->part) : stem; }
static Expr *times(const Att *s, Expr *e, int64_t k) { return e_mul(s->L->a, e, e_int(s->L->a, k)); }
static Expr *load_flat(const Att *s, int attr, int input, Expr *row, Expr *elem) {
    Arena *a = s->L->a;
    if (direct(s->n)) {
        Expr *at[4] = {s->b, s->h, row, elem};
        if (attr == K_MAP) at[2] = elem, at[3] = row;
        bool three = s->n->in[input]->type.rank == 3;
        if (three) at[1] = at[2], at[2] = at[3];
        return lower_load(s->L, s->n, input, at);
    }
    const int64_t *m = s->n->attr[attr].is;
    Expr *at = e_add(a, e_add(a, times(s, s->b, m[AT_BATCH]), times(s, s->h, m[AT_HEAD])), e_int(a, m[START]));
    at = e_add(a, at, e_add(a, times(s, row, m[AT_ROW]), times(s, elem, m[AT_ELEM])));
    return lower_load(s->L, s->n, input, &at);
}
/* ---- keys of a head, scaled, as [panel][element][column] */
static void pack_columns(const Att *s, Expr *panel, Expr *from, Expr *to, bool real) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *d = lower_loop(L, "kd", dim_of(s->n, HEAD)), *j = lower_loop_range(L, "kj", from, to);
    Expr *v = e_lit(a, s->t, 0);
    if (real) {
        v = load_flat(s, K_MAP, IN_K, e_add(a, times(s, panel, s->width), j), d);
        if (attr_f(s->n, SCALE) != 1) v = e_mul(a, v, e_lit(a, s->t, attr_f(s->n, SCALE)));
    }
    lower_put(L, s->keys, (Expr *[]){panel, d, j}, v, RED_NONE);
    lower_ends(L, 2);
}
static void pack_keys(const Att *s) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *zero = e_int(a, 0), *width = e_int(a, s->width), *full = lower_let(L, "full", e_div(a, s->some, width));
    Expr *rest = lower_let(L, "rest", e_sub(a, s->some, e_mul(a, full, width)));
    int64_t panels = 1, columns = 1;
    bool known = e_is_int(full, &panels) && e_is_int(rest, &columns);
    if (panels) {
        Expr *p = lower_loop_to(L, "kp", full);
        pack_columns(s, p, zero, width, true);
        lower_end(L);
    }
    if (!columns) return;
    if (!known) lower_if(L, e_lt(a, zero, rest));
    pack_columns(s, full, zero, rest, true);
    pack_columns(s, full, rest, width, false);
    if (!known) lower_end(L);
}
/* ---- a block of rows */
static Buf *zero_sums(const Att *s, const char *name, const char *i_name, const char *j_name, int64_t rows, int64_t cols) {
    Lower *L = s->L;
    Buf *sum = lower_temp(L, named(s, name), s->t, 2, (int64_t[]){rows, cols});
    Expr *i = lower_loop(L, named(s, i_name), rows), *j = lower_loop(L, named(s, j_name), cols);
    lower_put(L, sum, (Expr *[]){i, j}, e_lit(L->a, s->t, 0), RED_NONE);
    lower_ends(L, 2);
    return sum;
}
/* The extents [B, H, M, N] that a mask broadcasts to. */
static void scores_type(const Att *s, Type *all) {
    const Type *q = &s->n->in[IN_Q]->type, *k = &s->n->in[IN_K]->type;
    int r = q->rank;
    Expr **e = all->ext = NEW_ARRAY(s->L->a, Expr *, 4);
    for (int d = 0; q->ext && d < r - 1; d++) e[d + (r == 3 && d > 0)] = q->ext[d];
    e[3] = k->ext ? k->ext[r - 1] : NULL;
}
static void scores(const Att *s, Expr *row, int64_t rows, Buf *block) {
    Lower *L = s->L;
    Arena *a = L->a;
    const Node *n = s->n;
    Type all = {.dt = s->t, .rank = 4};
    for (int d = 0; d < 4; d++) all.dim[d] = dim_of(n, d);
    if (direct(n)) scores_type(s, &all);
    Expr *p = lower_loop_to(L, named(s, "sp"), e_div(a, s->padded, e_int(a, s->width)));
    Buf *sum = zero_sums(s, "dot", "mi", "ni", rows, s->width);
    Expr *d = lower_loop(L, named(s, "sd"), dim_of(n, HEAD)), *i = lower_loop(L, named(s, "ma"), rows),
         *j = lower_loop(L, named(s, "na"), s->width);
    lower_put(L, sum, (Expr *[]){i, j},
              e_mul(a, load_flat(s, Q_MAP, IN_Q, e_add(a, row, i), d), lower_get(L, s->keys, (Expr *[]){p, d, j})), RED_ADD);
    lower_ends(L, 3);
    i = lower_loop(L, named(s, "ms"), rows), j = lower_loop(L, named(s, "ns"), s->width);
    lower_put(L, block, (Expr *[]){i, e_add(a, times(s, p, s->width), j)}, lower_get(L, sum, (Expr *[]){i, j}), RED_NONE);
    lower_ends(L, 3);
    int64_t keys, padded;
    if (n->nin > IN_MASK && n->in[IN_MASK]) {
        i = lower_loop(L, named(s, "mm"), rows), j = lower_loop_to(L, named(s, "nm"), s->some);
        Expr *mask = lower_load_b(L, s->n, IN_MASK, &all, (Expr *[]){s->b, s->h, e_add(a, row, i), j});
        lower_put(L, block, (Expr *[]){i, j}, mask, RED_ADD);
        lower_ends(L, 2);
    }
    if (e_is_int(s->some, &keys) && e_is_int(s->padded, &padded) && keys == padded) return;
    i = lower_loop(L, named(s, "mp"), rows), j = lower_loop_range(L, named(s, "np"), s->some, s->padded);
    lower_put(L, block, (Expr *[]){i, j}, e_lower_bound(a, s->t), RED_NONE);
    lower_ends(L, 2);
}
/* All lanes of v combined, by halves, into each lane of what is returned; tile_gemm.c knows the names. */
static Buf *across(const Att *s, Buf *v, const char *stem, BinOp op) {
    Lower *L = s->L;
    Arena *a = L->a;
    for (int64_t w = s->lanes / 2, k = 0; w; w /= 2, k++) {
        Buf *next = lower_temp(L, named(s, arena_printf(a, "%s_%c", stem, (int)('a' + k))), s->t, 1, &s->lanes);
        Expr *l = lower_loop(L, named(s, arena_printf(a, "l%s_%c", stem, (int)('a' + k))), s->lanes);
        Expr *up = e_add(a, l, e_int(a, w)), *down = e_sub(a, l, e_int(a, s->lanes - w));
        Expr *other = e_select(a, e_lt(a, l, e_int(a, s->lanes - w)), lower_get(L, v, &up), lower_get(L, v, &down));
        lower_put(L, next, &l, e_bin(a, op, lower_get(L, v, &l), other), RED_NONE);
        lower_end(L);
        v = next;
    }
    return v;
}
/* One over the sum of each row goes to `inverse`, the row becomes exp(x - largest). */
static void softmax_rows(const Att *s, int64_t rows, Buf *block, Buf *inverse) {
    Lower *L = s->L;
    Arena *a = L->a;
    int64_t most_vectors = s->panels * s->width / s->lanes;
    Expr *vectors = e_div(a, s->padded, e_int(a, s->lanes));
    Expr *zero = e_int(a, 0), *i = lower_loop(L, named(s, "mr"), rows);
    Buf *most = lower_temp(L, named(s, "most"), s->t, 1, &s->lanes), *total = lower_temp(L, named(s, "total"), s->t, 1, &s->lanes);
    Expr *l = lower_loop(L, named(s, "l0"), s->lanes);
    lower_put(L, most, &l, lower_get(L, block, (Expr *[]){i, l}), RED_NONE);
    lower_put(L, total, &l, e_lit(a, s->t, 0), RED_NONE);
    lower_end(L);
    if (most_vectors > 1) {
        Expr *v = lower_loop_range(L, named(s, "v1"), e_int(a, 1), vectors);
        l = lower_loop(L, named(s, "l1"), s->lanes);
        lower_put(L, most, &l, lower_get(L, block, (Expr *[]){i, e_add(a, times(s, v, s->lanes), l)}), RED_MAX);
        lower_ends(L, 2);
    }
    Expr *top = lower_let(L, "top", lower_get(L, across(s, most, "most", BIN_MAX), &zero));
    Expr *v = lower_loop_to(L, named(s, "v3"), vectors);
    l = lower_loop(L, named(s, "l3"), s->lanes);
    Expr *at[2] = {i, e_add(a, times(s, v, s->lanes), l)};
    /* One of the numbers is 1: what is less than e^-80 is nothing next to it. */
    Expr *x = lower_let(L, "x", e_sub(a, lower_get(L, block, at), top)), *least = e_lit(a, s->t, -80);
    Expr *e = e_select(a, e_lt(a, x, least), e_lit(a, s->t, 0), e_call1(a, CALL_EXP, e_max(a, x, least)));
    e = lower_let(L, "e", e);
    lower_put(L, block, at, e, RED_NONE);
    lower_put(L, total, &l, e, RED_ADD);
    lower_ends(L, 2);
    Expr *sum = lower_get(L, across(s, total, "total", BIN_ADD), &zero);
    lower_put(L, inverse, &i, e_div(a, e_lit(a, s->t, 1), sum), RED_NONE);
    lower_end(L);
}
static void values(const Att *s, Expr *row, int64_t rows, Buf *block, Buf *inverse) {
    Lower *L = s->L;
    Arena *a = L->a;
    bool swap = attr_i(s->n, SWAPPED) != 0;
    Expr *from = times(s, lower_loop(L, named(s, "op"), dim_of(s->n, VALUE) / s->cols), s->cols);
    Buf *sum = zero_sums(s, "out", "mj", "nj", rows, s->cols);
    Expr *k = lower_loop_to(L, named(s, "ok"), s->some), *i = lower_loop(L, named(s, "mb"), rows),
         *j = lower_loop(L, named(s, "nb"), s->cols);
    Expr *v = load_flat(s, V_MAP, IN_V, k, e_add(a, from, j));
    lower_put(L, sum, (Expr *[]){i, j}, e_mul(a, lower_get(L, block, (Expr *[]){i, k}), v), RED_ADD);
    lower_ends(L, 3);
    i = lower_loop(L, named(s, "m"), rows), j = lower_loop(L, named(s, "n"), s->cols);
    Expr *q = e_add(a, row, i), *idx[4] = {s->b, swap ? q : s->h, swap ? s->h : q, e_add(a, from, j)};
    if (s->n->out[0]->type.rank == 3) idx[1] = idx[2], idx[2] = idx[3];
    lower_store(L, s->n, 0, idx, e_mul(a, lower_get(L, sum, (Expr *[]){i, j}), lower_get(L, inverse, &i)));
    lower_ends(L, 3);
}
static void block_of_rows(const Att *s, Expr *row, int64_t rows) {
    Buf *block = lower_temp(s->L, named(s, "block"), s->t, 2, (int64_t[]){rows, s->panels * s->width});
    Buf *inverse = lower_temp(s->L, named(s, "inverse"), s->t, 1, &rows);
    scores(s, row, rows, block);
    softmax_rows(s, rows, block, inverse);
    values(s, row, rows, block, inverse);
}
/* As many rows as there are at run time: in blocks, in half a block, one by one. */
static void some_blocks(Att *s, Expr *all, int64_t most) {
    Lower *L = s->L;
    Arena *a = L->a;
    Expr *from = e_int(a, 0);
    for (int64_t rows = most;; rows = rows == most && rows > 2 ? (rows + 1) / 2 : 1) {
        Expr *count = lower_let(L, named(s, "count"), e_div(a, e_sub(a, all, from), e_int(a, rows)));
        Expr *m = lower_loop_to(L, named(s, "mo"), count);
        block_of_rows(s, e_add(a, from, times(s, m, rows)), rows);
        lower_end(L);
        if (rows == 1) return;
        from = lower_let(L, named(s, "from"), e_add(a, from, times(s, count, rows)));
        s->part++;
    }
}
bool lower_fused_attention(Lower *L, Node *n) {
    Att s = {.n = n,
             .L = L,
             .t = dtype_compute(n->out[0]->type.dt),
             .lanes = attr_i(n, LANES),
             .width = attr_i(n, WIDTH),
             .cols = attr_i(n, COLS)};
    int64_t queries = dim_of(n, QUERIES), rows = min_i64(attr_i(n, ROWS), queries);
    const Type *q = &n->in[IN_Q]->type, *k = &n->in[IN_K]->type;
    Arena *a = L->a;
    int r = q->rank;
    Expr *width = e_int(a, s.width), *all = e_int(a, queries), *batch = e_int(a, dim_of(n, BATCH)), *heads = e_int(a, dim_of(n, HEADS));
    s.some = e_int(a, dim_of(n, KEYS));
    L->affine = true;
    if (direct(n)) {
        batch = lower_dim(L, q, 0), all = lower_let(L, "queries", lower_dim(L, q, r - 2));
        heads = r == 4 ? lower_dim(L, q, 1) : e_int(a, 1), s.some = lower_let(L, "all_keys", lower_dim(L, k, r - 1));
    }
    s.panels = ceil_div(dim_of(n, KEYS), s.width);
    s.padded = lower_let(L, "padded", e_mul(a, e_div(a, e_add(a, s.some, e_int(a, s.width - 1)), width), width));
    s.b = lower_loop_to(L, "b", batch), s.h = lower_loop_to(L, "h", heads);
    s.keys = lower_temp(L, "keys", s.t, 3, (int64_t[]){s.panels, dim_of(n, HEAD), s.width});
    pack_keys(&s);
    if (all->k == E_INT) {
        Expr *m = lower_loop(L, "mo", queries / rows);
        block_of_rows(&s, times(&s, m, rows), rows);
        lower_end(L);
        s.part = 1;
        if (queries % rows) block_of_rows(&s, e_int(a, queries / rows * rows), queries % rows);
    } else some_blocks(&s, all, rows);
    lower_ends(L, 2);
    return true;
}
