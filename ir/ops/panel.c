/* SPDX-License-Identifier: Apache-2.0 */
/* panel.c: MatMulPanel, a matrix product whose right operand is a constant, packed in panels of columns. The pass `panel` makes
 * it for targets with vectors. Naive nests per block of rows and panel (sums set, summed, stored) over a temporary; the pass `tile`
 * brings the temporary into registers. What follows the product is part of the nest that stores.
 *
 *   w: [panels][K][width];   for panel, block:  for m,n: s = 0;  for k,m,n: s[m,n] += x[m,k]*w[panel,k,n];  for m,n: y[m,panel*width+n] =
 * s[m,n] Rows that do not fill a block are a second set of nests behind the loop over blocks, columns that do not fill a panel a narrower
 * one.
 */
#include "panel.h"

enum { COLS, ROWS, LANES, CHAINS };
enum { IN_X, IN_W, IN_TAIL };

/* The axis of the result that blocks of rows run along: the last one, unless it is short and another is longer. */
static int row_axis(const Type *o, int64_t rows) {
    int best = o->rank - 2;
    if (best < 0 || o->dim[best] >= rows) return best;
    for (int d = 0; d < o->rank - 1; d++)
        if (o->dim[d] > o->dim[best]) best = d;
    return best;
}
bool infer_matmul_panel(Infer *x) {
    const Node *n = x->n;
    const Type *a = &n->in[IN_X]->type, *w = &n->in[IN_W]->type, *t = n->nin > IN_TAIL && n->in[IN_TAIL] ? &n->in[IN_TAIL]->type : NULL;
    int64_t dim[QN_MAX_RANK], cols = attr_i(n, COLS), lanes = attr_i(n, LANES), full;
    if (a->rank < 1 || w->rank != 3 || (t && (t->rank != 3 || t->dim[0] != 1)))
        return infer_error(x, "the operands have %d and %d dims, expected at least 1 and 3 (of the last panel: 1 x K x columns)", a->rank,
                           w->rank);
    int64_t k = a->dim[a->rank - 1];
    if (w->dim[1] != k || (t && t->dim[1] != k))
        return infer_error(x, "a panel has %lld rows, expected %lld", (long long)w->dim[1], (long long)k);
    if (lanes < 1 || w->dim[2] % lanes || (t && t->dim[2] % lanes))
        return infer_error(x, "panels are expected to be whole vectors of %lld", (long long)lanes);
    if (!mul_ok(w->dim[0], w->dim[2], &full)) return infer_error(x, "the panels are too large");
    bool fits = t ? cols > full && cols - full <= t->dim[2] : cols > full - w->dim[2] && cols <= full && (w->dim[0] == 1 || cols == full);
    if (!fits || attr_i(n, ROWS) < 1 || attr_i(n, CHAINS) < 1 || attr_i(n, CHAINS) > CHAINS_MAX)
        return infer_error(x, "%lld columns and blocks of %lld rows do not fit the panels", (long long)cols, (long long)attr_i(n, ROWS));
    for (int i = 0; i < a->rank - 1; i++) dim[i] = a->dim[i];
    dim[a->rank - 1] = cols;
    return infer_out(x, 0, a->dt, a->rank, dim);
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
static void products(const PanelPart *p, Buf *sum, const char *const *names, int64_t count, Expr *from) {
    Lower *L = p->L;
    Arena *a = L->a;
    Expr *s = lower_loop(L, panel_name(L, names[0], p->number), count), *i = lower_loop(L, panel_name(L, names[1], p->number), p->rows),
         *j = lower_loop(L, panel_name(L, names[2], p->number), p->width), *k = e_add(a, from, s);
    lower_put(L, sum, (Expr *[]){s, i, j}, e_mul(a, p->x(p->user, i, k), p->w(p->user, k, j)), RED_ADD);
    lower_ends(L, 3);
}
Buf *panel_sums(const PanelPart *p) {
    Lower *L = p->L;
    Arena *a = L->a;
    Buf *sum = lower_temp(L, panel_name(L, "sum", p->number), p->t, 3, (int64_t[]){p->splits, p->rows, p->width});
    Expr *s = lower_loop(L, panel_name(L, "si", p->number), p->splits), *i = lower_loop(L, panel_name(L, "mi", p->number), p->rows),
         *j = lower_loop(L, panel_name(L, "ni", p->number), p->width);
    lower_put(L, sum, (Expr *[]){s, i, j}, e_lit(a, p->t, 0), RED_NONE);
    lower_ends(L, 3);
    int64_t whole = p->depth / p->splits, rest = p->depth % p->splits;
    Expr *k = lower_loop(L, panel_name(L, "k", p->number), whole), *from = e_mul(a, k, e_int(a, p->splits));
    if (p->step) p->step(p->user, from);
    products(p, sum, (const char *const[]){"sa", "ma", "na"}, p->splits, from);
    lower_end(L);
    if (rest) products(p, sum, (const char *const[]){"sr", "mr", "nr"}, rest, e_int(a, whole * p->splits));
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
    int input, axis;             /* which operand the panel is of; the axis of the rows, -1: there is one row */
    int64_t rows, width, blocks; /* blocks of rows in all */
    int64_t cols;                /* of the panel, those that are results */
    Expr *row, *block;           /* the first row; the number of the block */
    Expr *panel, *first;         /* number of the panel; the column it starts at */
    Expr *lead[QN_MAX_RANK];     /* indices of the result's other axes */
} Part;
static void store_part(Lower *L, const Part *p, int part, Buf *from) {
    Arena *a = L->a;
    Expr *idx[QN_MAX_RANK];
    int rank = p->n->out[0]->type.rank;
    for (int d = 0; d < rank - 1; d++) idx[d] = p->lead[d];
    Expr *i = lower_loop(L, panel_name(L, "m", part), p->rows), *j = lower_loop(L, panel_name(L, "n", part), p->cols);
    if (p->axis >= 0) idx[p->axis] = e_add(a, p->row, i);
    idx[rank - 1] = e_add(a, p->first, j);
    lower_store(L, p->n, 0, idx, lower_get(L, from, (Expr *[]){i, j}));
    lower_ends(L, 2);
}
/* Each block of rows brings its share of the next panel nearer, a line at a time. */
static void fetch_next(void *user, Expr *k) {
    enum { LINE = 16, FEW = 4 };
    const Part *p = user;
    Lower *L = p->L;
    Arena *a = L->a;
    const Type *w = &p->n->in[p->input]->type;
    int64_t depth = w->dim[1], lines = depth * p->width / LINE;
    if (p->blocks < FEW || w->dim[0] < 2 || p->width % LINE) return;
    Expr *line = e_div(a, e_mul(a, e_add(a, e_mul(a, p->block, e_int(a, depth)), k), e_int(a, p->width / LINE)), e_int(a, p->blocks));
    Expr *at = e_mul(a, e_add(a, e_mul(a, e_add(a, p->panel, e_int(a, 1)), e_int(a, lines)), line), e_int(a, LINE));
    at = e_min(a, at, e_int(a, w->dim[0] * lines * LINE - 1));
    lower_call(L, "qn_prefetch", 1, &at, 1, (Buf *[]){lower_tensor(L, p->n->in[p->input])}, 0);
}
static Expr *part_x(void *user, Expr *row, Expr *k) {
    const Part *p = user;
    const Type *x = &p->n->in[IN_X]->type;
    Expr *at[QN_MAX_RANK];
    for (int d = 0; d < x->rank - 1; d++) at[d] = p->lead[d];
    if (p->axis >= 0) at[p->axis] = e_add(p->L->a, p->row, row);
    at[x->rank - 1] = k;
    return lower_load(p->L, p->n, IN_X, at);
}
static Expr *part_w(void *user, Expr *k, Expr *column) {
    const Part *p = user;
    return lower_load(p->L, p->n, p->input, (Expr *[]){p->panel, k, column});
}
static void lower_part(Lower *L, Part *p, int part) {
    const Type *x = &p->n->in[IN_X]->type;
    int64_t depth = x->dim[x->rank - 1];
    PanelPart one = {L,
                     part,
                     p->rows,
                     p->width,
                     depth,
                     panel_splits(attr_i(p->n, CHAINS), p->rows * p->width / attr_i(p->n, LANES), depth),
                     dtype_compute(p->n->out[0]->type.dt),
                     p,
                     part_x,
                     part_w,
                     fetch_next};
    Buf *sum = panel_sums(&one);
    Buf *edge = lower_temp(L, panel_name(L, "edge", part), one.t, 2,
                           (int64_t[]){p->rows, p->width}); /* for what vectors cannot store; else inlined */
    Expr *i = lower_loop(L, panel_name(L, "me", part), p->rows), *j = lower_loop(L, panel_name(L, "ne", part), p->width);
    lower_put(L, edge, (Expr *[]){i, j}, panel_total(&one, sum, i, j), RED_NONE);
    lower_ends(L, 2);
    store_part(L, p, part, edge);
}
/* All rows of the panels of one operand. */
static void lower_panels(Lower *L, Part *p, int64_t first, int64_t cols, int *part) {
    Arena *a = L->a;
    const Type *w = &p->n->in[p->input]->type, *o = &p->n->out[0]->type;
    p->width = w->dim[2];
    p->cols = min_i64(cols, p->width);
    p->panel = lower_loop(L, panel_name(L, "p", *part), w->dim[0]);
    p->first = e_add(a, e_mul(a, p->panel, e_int(a, p->width)), e_int(a, first));
    for (int d = 0; d < o->rank - 1; d++)
        if (d != p->axis) p->lead[d] = lower_loop(L, arena_printf(a, "b%d_%d", d, *part), o->dim[d]);
    int64_t all = p->axis >= 0 ? o->dim[p->axis] : 1, block = min_i64(attr_i(p->n, ROWS), all);
    p->rows = block, p->blocks = ceil_div(all, block);
    p->block = lower_loop(L, panel_name(L, "mo", *part), all / block);
    p->row = e_mul(a, p->block, e_int(a, block));
    lower_part(L, p, (*part)++);
    lower_end(L);
    if (all % block) {
        p->rows = all % block, p->block = e_int(a, all / block), p->row = e_int(a, all / block * block);
        lower_part(L, p, (*part)++);
    }
    lower_ends(L, 1 + o->rank - 1 - (p->axis >= 0));
}
bool lower_matmul_panel(Lower *L, Node *n) {
    const Type *w = &n->in[IN_W]->type;
    int part = 0;
    Part p = {.L = L, .n = n, .input = IN_W, .axis = row_axis(&n->out[0]->type, attr_i(n, ROWS))};
    int64_t full = w->dim[0] * w->dim[2], cols = attr_i(n, COLS);
    lower_panels(L, &p, 0, min_i64(cols, full), &part);
    if (cols <= full) return true;
    p.input = IN_TAIL;
    lower_panels(L, &p, full, cols - full, &part);
    return true;
}
