/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c: MatMulPanel, a matrix product whose right operand is a constant, packed in panels of columns. The pass `panel` makes
 * it for targets with vectors. Naive nests per block of rows and panel (sums set, summed, stored) over a temporary; the pass `tile`
 * brings the temporary into registers. What follows the product is part of the nest that stores.
 *
 *   w: [panels][K][width];   for panel, block:  for m,n: s = 0;  for k,m,n: s[m,n] += x[m,k]*w[panel,k,n];  for m,n: y[m,panel*width+n] = …
 *
 * Rows that do not fill a block are a second set of nests behind the loop over blocks, columns that do not fill a panel a narrower
 * one. A strip of rows goes through all panels before the next one, so that it stays near. A deep product is cut in chunks of the depth,
 * one behind another in w; all but the last leave their sums in a temporary.
 * MatMulIntegerPanel is the same on words of four elements along the depth (dot.h), without zero points.
 */
#include "panel.h"
#include "../extent.h"
#include "ir/dot.h"

enum { COLS, ROWS, LANES, CHAINS, CHUNKS, STRIP };
enum { IN_X, IN_W, IN_TAIL };

/* The axis of the result that blocks of rows run along: the last one, unless it is short and another is longer. */
static int row_axis(const Type *o, int64_t rows) {
    int best = o->rank - 2;
    if (best < 0 || o->dim[best] >= rows) return best;
    for (int d = 0; d < o->rank - 1; d++)
        if (o->dim[d] > o->dim[best]) best = d;
    return best;
}
/* Elements of the left operand in a step of the depth: a word of bytes, or one float. */
static int64_t step_of(const Node *n) { return n->in[IN_W]->type.dt == DT_INT32 ? WORD_BYTES : 1; }
bool infer_matmul_panel(Infer *x) {
    const Node *n = x->n;
    const Type *a = &n->in[IN_X]->type, *w = &n->in[IN_W]->type, *t = n->nin > IN_TAIL && n->in[IN_TAIL] ? &n->in[IN_TAIL]->type : NULL;
    Expr *dim[QN_MAX_RANK];
    int64_t cols = attr_i(n, COLS), lanes = attr_i(n, LANES), full;
    if (a->rank < 1 || w->rank != 3 || (t && t->rank != 3))
        return infer_error(x, "the operands have %d and %d dims, expected at least 1 and 3 (of the last panel as well)", a->rank, w->rank);
    int64_t k = a->dim[a->rank - 1] / step_of(n), chunks = attr_i(n, CHUNKS), depth;
    if (a->dim[a->rank - 1] % step_of(n)) return infer_error(x, "the depth is %lld, expected whole words", (long long)a->dim[a->rank - 1]);
    if (chunks < 1 || chunks > w->dim[0] || w->dim[0] % chunks || (t && t->dim[0] != chunks))
        return infer_error(x, "the panels are expected to be of %lld chunks", (long long)chunks);
    if (!mul_ok(w->dim[1], chunks, &depth) || depth != k || (t && t->dim[1] != w->dim[1]))
        return infer_error(x, "the panels have %lld rows in %lld chunks, expected %lld", (long long)w->dim[1], (long long)chunks,
                           (long long)k);
    if (lanes < 1 || w->dim[2] % lanes || (t && t->dim[2] % lanes))
        return infer_error(x, "panels are expected to be whole vectors of %lld", (long long)lanes);
    if (!mul_ok(w->dim[0] / chunks, w->dim[2], &full)) return infer_error(x, "the panels are too large");
    bool fits =
        t ? cols > full && cols - full <= t->dim[2] : cols > full - w->dim[2] && cols <= full && (w->dim[0] == chunks || cols == full);
    if (!fits || attr_i(n, ROWS) < 1 || attr_i(n, STRIP) < 0 || attr_i(n, CHAINS) < 1 || attr_i(n, CHAINS) > CHAINS_MAX)
        return infer_error(x, "%lld columns and blocks of %lld rows do not fit the panels", (long long)cols, (long long)attr_i(n, ROWS));
    type_extents(x->g, a, dim);
    dim[a->rank - 1] = e_int(x->g->a, cols);
    return infer_extents(x, 0, w->dt, a->rank, dim);
}
int64_t macs_matmul_panel(const Node *n) {
    int64_t m;
    const Type *a = &n->in[IN_X]->type;
    return type_elements(&n->out[0]->type, &m) && mul_ok(m, a->dim[a->rank - 1], &m) ? m : -1;
}

const char *panel_name(Lower *L, const char *stem, int part) { return part ? arena_printf(L->a, "%s%d", stem, part) : stem; }
int64_t panel_splits(int64_t chains, int64_t vectors, int64_t depth) {
    int64_t n = 1;
    while (n * vectors < chains && 4 * n <= depth) n *= 2;
    return n;
}
/* A fence between steps: compilers that mix them run out of registers for the sums. */
static void products(const PanelPart *p, Buf *sum, const char *const *names, int64_t count, Expr *from) {
    Lower *L = p->L;
    Arena *a = L->a;
    Expr *s = lower_loop(L, panel_name(L, names[0], p->number), count), *k = e_add(a, from, s);
    if (count > 1) lower_call(L, "qn_fence", 0, NULL, 0, NULL, 0);
    Expr *i = lower_loop(L, panel_name(L, names[1], p->number), p->rows), *j = lower_loop(L, panel_name(L, names[2], p->number), p->width);
    Expr *x = p->x(p->user, i, k), *w = p->w(p->user, k, j);
    lower_put(L, sum, (Expr *[]){p->splits > 1 ? s : e_int(a, 0), i, j}, p->dot ? e_call2(a, *p->dot, x, w) : e_mul(a, x, w), RED_ADD);
    lower_ends(L, 3);
}
Buf *panel_sums(const PanelPart *p) {
    enum { TURNS = 2 }; /* products of so many steps stand behind each other: fewer operations for the loop */
    Lower *L = p->L;
    Arena *a = L->a;
    Buf *sum = lower_temp(L, panel_name(L, "sum", p->number), p->t, 3, (int64_t[]){p->splits, p->rows, p->width});
    Expr *s = lower_loop(L, panel_name(L, "si", p->number), p->splits), *i = lower_loop(L, panel_name(L, "mi", p->number), p->rows),
         *j = lower_loop(L, panel_name(L, "ni", p->number), p->width);
    lower_put(L, sum, (Expr *[]){s, i, j}, p->start ? p->start(p->user, i, j) : e_lit(a, p->t, 0), RED_NONE);
    lower_ends(L, 3);
    int64_t turn = p->splits > 1 || p->depth < 2 * TURNS ? p->splits : TURNS, whole = p->depth / turn, rest = p->depth % turn;
    Expr *k = lower_loop(L, panel_name(L, "k", p->number), whole), *from = e_mul(a, k, e_int(a, turn));
    if (p->step) p->step(p->user, from, turn);
    products(p, sum, (const char *const[]){"sa", "ma", "na"}, turn, from);
    lower_end(L);
    if (rest) products(p, sum, (const char *const[]){"sr", "mr", "nr"}, rest, e_int(a, whole * turn));
    return sum;
}
Expr *panel_total(const PanelPart *p, Buf *sum, Expr *row, Expr *column) {
    Expr *v[2 * CHAINS_MAX];
    int64_t n = p->splits;
    for (int64_t s = 0; s < n; s++) v[s] = lower_get(p->L, sum, (Expr *[]){e_int(p->L->a, s), row, column});
    for (; n > 1; n /= 2)
        for (int64_t s = 0; s < n / 2; s++) v[s] = e_add(p->L->a, v[s], v[s + n / 2]);
    return v[0];
}

typedef struct Part { /* a block of rows, from `row` on, times one panel */
    Lower *L;
    Node *n;
    int input, axis;                 /* which operand the panel is of; the axis of the rows, -1: there is one row */
    int64_t rows, width, blocks;     /* blocks of rows in a strip */
    int64_t panels, first_col, cols; /* of the operand, per chunk; the column they start at; columns of a panel that are results */
    Expr *row, *block;               /* the first row; the number of the block in its strip */
    Expr *panel, *first;             /* number of the panel; the column it starts at */
    Expr *lead[QN_MAX_RANK];         /* indices of the result's other axes */
    Expr *strip;                     /* NULL: all rows are one */
    int outer;                       /* the axis that strips are cut from */
    Expr *chunk;
    bool some;   /* the number of rows is known at run time only */
    bool last;   /* the last chunk: results are stored */
    Buf *parts;  /* sums so far; NULL: there is one chunk */
    int number;  /* of the next part */
    Buf *floats; /* NULL, or the panel, which is kept as bytes, as floats */
    Expr *shift; /* NULL, or where in the chunk the steps begin: sums of halves are short */
} Part;
static void place(const Part *p, Expr *row, Expr *col, Expr **idx) {
    int rank = p->n->out[0]->type.rank;
    for (int d = 0; d < rank - 1; d++) idx[d] = p->lead[d];
    if (p->axis >= 0) idx[p->axis] = e_add(p->L->a, p->row, row);
    idx[rank - 1] = e_add(p->L->a, p->first, col);
}
/* Each block of rows brings its share of the next panel nearer, a line at a time. */
static void fetch_next(void *user, Expr *k, int64_t steps) {
    const Part *p = user;
    Lower *L = p->L;
    Arena *a = L->a;
    const Type *w = &p->n->in[p->input]->type;
    Tensor *stored = lower_stored(L, p->n, p->input);
    const int64_t LINE = 512 / dtype_info[stored->type.dt].bits;
    int64_t depth = w->dim[1], wide = p->width / LINE, lines = depth * wide;
    if (p->shift) k = e_add(a, p->shift, k);
    if ((p->blocks < 2 && !p->some) || w->dim[0] < 2 || p->width % LINE) return;
    Expr *line = e_div(a, e_mul(a, e_add(a, e_mul(a, p->block, e_int(a, depth)), k), e_int(a, wide)), e_int(a, p->blocks));
    Expr *at = e_mul(a, e_add(a, e_mul(a, e_add(a, p->panel, e_int(a, 1)), e_int(a, lines)), line), e_int(a, LINE));
    int64_t share = ceil_div(wide * steps, p->blocks), end = w->dim[0] * lines * LINE - share * LINE;
    if (end < 0) return;
    at = e_min(a, at, e_int(a, end)); /* behind the last panel there is nothing to ask for */
    if (share > 1) at = lower_let(L, "next", at);
    for (int64_t i = 0; i < share; i++) {
        Expr *e = e_add(a, at, e_int(a, i * LINE));
        lower_call(L, "qn_prefetch", 1, &e, 1, (Buf *[]){lower_tensor(L, stored)}, 0);
    }
}
static Expr *part_x(void *user, Expr *row, Expr *k) {
    const Part *p = user;
    if (p->shift) k = e_add(p->L->a, p->shift, k);
    Expr *at[QN_MAX_RANK];
    place(p, row, k, at);
    Arena *a = p->L->a;
    Expr **last = &at[p->n->in[IN_X]->type.rank - 1], *step = e_add(a, e_mul(a, p->chunk, e_int(a, p->n->in[p->input]->type.dim[1])), k);
    Expr *byte[WORD_BYTES];
    int64_t n = step_of(p->n);
    for (int64_t i = 0; i < n; i++) {
        *last = e_add(a, e_mul(a, step, e_int(a, n)), e_int(a, i));
        byte[i] = lower_load(p->L, p->n, IN_X, at);
    }
    return n == 1 ? byte[0] : e_word(a, byte, WORD_BYTES);
}
static Expr *part_w(void *user, Expr *k, Expr *column) {
    const Part *p = user;
    if (p->shift) k = e_add(p->L->a, p->shift, k);
    if (p->floats) return lower_get(p->L, p->floats, (Expr *[]){k, column});
    return lower_load(p->L, p->n, p->input, (Expr *[]){p->panel, k, column});
}
static Expr *part_start(void *user, Expr *row, Expr *col) {
    const Part *p = user;
    Expr *at[QN_MAX_RANK];
    place(p, row, col, at);
    return lower_get(p->L, p->parts, at);
}
/* A block's sums of halves are short; in `edge` they are added up as float32. */
typedef struct Halves {
    Buf *edge, *copy; /* copy: the sums on their way from vectors of halves to those of float32, which hold half as many */
} Halves;
static void add_halves(Part *p, PanelPart *one, const Halves *h) {
    Lower *L = p->L;
    Buf *sum = panel_sums(one);
    Expr *i = lower_loop(L, panel_name(L, "mh", one->number), one->rows), *j = lower_loop(L, panel_name(L, "nh", one->number), one->width);
    lower_put(L, h->copy, (Expr *[]){i, j}, panel_total(one, sum, i, j), RED_NONE);
    lower_ends(L, 2);
    i = lower_loop(L, panel_name(L, "me", one->number), one->rows), j = lower_loop(L, panel_name(L, "ne", one->number), one->width);
    lower_put(L, h->edge, (Expr *[]){i, j}, lower_get(L, h->copy, (Expr *[]){i, j}), RED_ADD);
    lower_ends(L, 2);
}
static Buf *sum_halves(Part *p, PanelPart *one) {
    Lower *L = p->L;
    Arena *a = L->a;
    int64_t dim[] = {one->rows, one->width}, depth = one->depth, most = HALF_SUM * min_i64(one->splits, 4);
    int64_t runs = ceil_div(depth, most), each = ceil_div(depth, runs), rest = depth - depth / each * each;
    Halves h = {lower_temp(L, panel_name(L, "edge", one->number), DT_FLOAT32, 2, dim),
                lower_temp(L, panel_name(L, "halves", one->number), DT_HALF, 2, dim)};
    Expr *i = lower_loop(L, panel_name(L, "mz", one->number), one->rows), *j = lower_loop(L, panel_name(L, "nz", one->number), one->width);
    lower_put(L, h.edge, (Expr *[]){i, j}, p->parts ? part_start(p, i, j) : e_lit(a, DT_FLOAT32, 0), RED_NONE);
    lower_ends(L, 2);
    one->depth = each;
    p->shift = e_mul(a, lower_loop(L, panel_name(L, "h", one->number), depth / each), e_int(a, each));
    add_halves(p, one, &h);
    lower_end(L);
    if (rest) {
        one->depth = rest, one->number = p->number++;
        p->shift = e_int(a, depth - rest);
        add_halves(p, one, &h);
    }
    p->shift = NULL;
    return h.edge;
}
static void lower_part(Part *p, int64_t rows, Expr *row, Expr *block) {
    Lower *L = p->L;
    int64_t depth = p->n->in[p->input]->type.dim[1];
    int part = p->number++;
    CallFn dot = p->n->in[IN_X]->type.dt == DT_UINT8 ? CALL_DOT_US : CALL_DOT_SS;
    PanelPart one = {L, part, rows, p->width, depth, 1, dtype_compute(p->n->out[0]->type.dt), p, part_x, part_w, fetch_next, NULL, NULL};
    if (step_of(p->n) > 1) one.dot = &dot;
    p->rows = rows, p->row = row, p->block = block;
    bool halves = one.t == DT_HALF && (depth > HALF_SUM || p->parts);
    if (p->parts && !halves) one.start = part_start;
    else one.splits = panel_splits(attr_i(p->n, CHAINS), rows * p->width / attr_i(p->n, LANES), depth);
    Buf *sum = halves ? sum_halves(p, &one) : panel_sums(&one), *from = sum;
    Expr *i, *j, *at[QN_MAX_RANK];
    if (p->last && !halves) { /* for what vectors cannot store; else it is inlined */
        from = lower_temp(L, panel_name(L, "edge", part), one.t, 2, (int64_t[]){rows, p->width});
        i = lower_loop(L, panel_name(L, "me", part), rows), j = lower_loop(L, panel_name(L, "ne", part), p->width);
        lower_put(L, from, (Expr *[]){i, j}, panel_total(&one, sum, i, j), RED_NONE);
        lower_ends(L, 2);
    }
    i = lower_loop(L, panel_name(L, "m", part), rows), j = lower_loop(L, panel_name(L, "n", part), p->last ? p->cols : p->width);
    place(p, i, j, at);
    if (p->last)
        lower_store(L, p->n, 0, at,
                    halves ? e_cast(L->a, DT_HALF, lower_get(L, from, (Expr *[]){i, j})) : lower_get(L, from, (Expr *[]){i, j}));
    else lower_put(L, p->parts, at, halves ? lower_get(L, sum, (Expr *[]){i, j}) : panel_total(&one, sum, i, j), RED_NONE);
    lower_ends(L, 2);
}
/* As many rows as there are at run time: in blocks, those that are left over in fours and one by one. */
static void some_rows(Part *p, Expr *all, int64_t block) {
    enum { FEW = 4 };
    Lower *L = p->L;
    Arena *a = L->a;
    Expr *from = e_int(a, 0);
    p->blocks = 1, p->some = true; /* each block asks for all of the next panel */
    for (int64_t rows = block; rows; rows = rows > FEW ? FEW : rows > 1 ? 1 : 0) {
        Expr *count = lower_let(L, panel_name(L, "count", p->number), e_div(a, e_sub(a, all, from), e_int(a, rows)));
        Expr *m = lower_loop_to(L, panel_name(L, "mo", p->number), count);
        lower_part(p, rows, e_add(a, from, e_mul(a, m, e_int(a, rows))), e_int(a, 0));
        lower_end(L);
        if (rows > 1) from = lower_let(L, panel_name(L, "from", p->number), e_add(a, from, e_mul(a, count, e_int(a, rows))));
    }
}
typedef enum Which { ALL, ONE_STRIP, LAST_ROWS } Which; /* which rows: LAST_ROWS fill no block */
/* The panel that is open, times the rows. */
static void lower_rows(Part *p, Which which) {
    Lower *L = p->L;
    Arena *a = L->a;
    const Type *o = &p->n->out[0]->type;
    int64_t strip = attr_i(p->n, STRIP), loops = 0;
    for (int d = 0; d < o->rank - 1; d++) {
        if (d == p->axis) continue;
        bool cut = which == ONE_STRIP && d == p->outer;
        Expr *i = lower_loop_to(L, arena_printf(a, "b%d_%d", d, p->number), cut ? e_int(a, strip) : lower_dim(L, o, d));
        p->lead[d] = cut ? e_add(a, e_mul(a, p->strip, e_int(a, strip)), i) : i;
        loops++;
    }
    int64_t all = p->axis >= 0 ? o->dim[p->axis] : 1, block = min_i64(attr_i(p->n, ROWS), all), rest = all % block;
    bool cut = which == ONE_STRIP && p->outer == p->axis;
    if (p->axis >= 0 && o->ext && o->ext[p->axis]) {
        some_rows(p, lower_dim(L, o, p->axis), block);
        lower_ends(L, (int)loops);
        return;
    }
    p->blocks = cut ? strip : ceil_div(all, block);
    if (which != LAST_ROWS) {
        Expr *m = lower_loop(L, panel_name(L, "mo", p->number), cut ? strip : all / block);
        Expr *whole = cut ? e_add(a, e_mul(a, p->strip, e_int(a, strip)), m) : m;
        lower_part(p, block, e_mul(a, whole, e_int(a, block)), m);
        lower_end(L);
    }
    if (rest && !cut) lower_part(p, rest, e_int(a, all - rest), e_int(a, all / block));
    lower_ends(L, (int)loops);
}
/* A panel of bytes that many blocks of rows use becomes one of floats first. */
static void unpack_panel(Part *p) {
    enum { FEW_BLOCKS = 3 };
    Lower *L = p->L;
    const Type *w = &p->n->in[p->input]->type, *o = &p->n->out[0]->type;
    int64_t rows = 1;
    p->floats = NULL;
    for (int d = 0; d < o->rank - 1; d++) rows *= o->dim[d];
    if (lower_stored(L, p->n, p->input) == p->n->in[p->input] || rows < FEW_BLOCKS * attr_i(p->n, ROWS)) return;
    p->floats = lower_temp(L, panel_name(L, "floats", p->number), w->dt, 2, w->dim + 1);
    Expr *k = lower_loop(L, panel_name(L, "kf", p->number), w->dim[1]), *j = lower_loop(L, panel_name(L, "nf", p->number), w->dim[2]);
    lower_put(L, p->floats, (Expr *[]){k, j}, lower_load(L, p->n, p->input, (Expr *[]){p->panel, k, j}), RED_NONE);
    lower_ends(L, 2);
}
/* The panels of one operand, from a column on. */
static void lower_panels(Part *p, int input, int64_t first, int64_t cols, Which which) {
    Lower *L = p->L;
    Arena *a = L->a;
    const Type *w = &p->n->in[input]->type;
    int64_t panels = w->dim[0] / attr_i(p->n, CHUNKS);
    p->input = input, p->width = w->dim[2], p->cols = min_i64(cols, w->dim[2]);
    Expr *panel = lower_loop(L, panel_name(L, "p", p->number), panels);
    p->panel = e_add(a, e_mul(a, p->chunk, e_int(a, panels)), panel);
    p->first = e_add(a, e_mul(a, panel, e_int(a, p->width)), e_int(a, first));
    unpack_panel(p);
    lower_rows(p, which);
    lower_end(L);
}
static void lower_all_panels(Part *p, Which which) {
    const Type *w = &p->n->in[IN_W]->type;
    int64_t full = w->dim[0] / attr_i(p->n, CHUNKS) * w->dim[2], cols = attr_i(p->n, COLS);
    lower_panels(p, IN_W, 0, min_i64(cols, full), which);
    if (cols > full) lower_panels(p, IN_TAIL, full, cols - full, which);
}
static void lower_chunks(Part *p, Which which) {
    int64_t chunks = attr_i(p->n, CHUNKS);
    p->last = false;
    if (chunks > 1) {
        p->chunk = lower_loop(p->L, panel_name(p->L, "c", p->number), chunks - 1);
        lower_all_panels(p, which);
        lower_end(p->L);
    }
    p->chunk = e_int(p->L->a, chunks - 1), p->last = true;
    lower_all_panels(p, which);
}
static Buf *clear_parts(Lower *L, Node *n) {
    Type o = n->out[0]->type;
    const Type *w = &n->in[IN_W]->type;
    int64_t chunks = attr_i(n, CHUNKS), width = w->dim[0] / chunks * w->dim[2];
    Expr *idx[QN_MAX_RANK];
    if (chunks == 1) return NULL;
    o.dim[o.rank - 1] = width + (attr_i(n, COLS) > width ? n->in[IN_TAIL]->type.dim[2] : 0);
    Buf *b = lower_temp(L, "parts", o.dt == DT_HALF ? DT_FLOAT32 : dtype_compute(o.dt), o.rank, o.dim);
    lower_loops(L, NULL, &o, idx);
    lower_put(L, b, idx, e_lit(L->a, b->dt, 0), RED_NONE);
    lower_ends(L, o.rank);
    return b;
}
bool lower_matmul_panel(Lower *L, Node *n) {
    const Type *o = &n->out[0]->type;
    Part p = {.L = L, .n = n, .axis = row_axis(o, attr_i(n, ROWS))};
    int64_t strip = attr_i(n, STRIP), block = attr_i(n, ROWS);
    L->affine = true;
    p.outer = p.axis;
    for (int d = o->rank - 2; d >= 0; d--)
        if (d != p.axis && o->dim[d] > 1) p.outer = d;
    int64_t pieces = p.outer < 0 ? 1 : p.outer == p.axis ? o->dim[p.axis] / min_i64(block, o->dim[p.axis]) : o->dim[p.outer];
    p.parts = clear_parts(L, n);
    if (strip < 1 || strip >= pieces || pieces % strip) {
        lower_chunks(&p, ALL);
        return true;
    }
    p.strip = lower_loop(L, "st", pieces / strip);
    lower_chunks(&p, ONE_STRIP);
    lower_end(L);
    if (p.outer == p.axis && o->dim[p.axis] % block) lower_chunks(&p, LAST_ROWS);
    return true;
}
