/* SPDX-License-Identifier: Apache-2.0 */
/* softmax.c: Softmax, LogSoftmax, Hardmax along one axis; with `flatten` (opsets before 13) along all axes from `axis` on.
 *
 *   for each row:  top = max x;  e[k] = exp(x[k]-top), sum += e[k];  y[k] = e[k]/sum
 *
 * Along another axis than the last one rows lie side by side: some of the last axis go together, and e is computed twice.
 */
#include "../extent.h"
#include <string.h>

enum { AXIS, FLATTEN };

bool infer_softmax(Infer *x) {
    int axis, rank = x->n->in[0]->type.rank;
    if (rank > 0 && !(attr_i(x->n, FLATTEN) && attr_i(x->n, AXIS) == rank) && !infer_axis(x, attr_i(x->n, AXIS), rank, &axis)) return false;
    return infer_same(x);
}
typedef struct Axes {
    const Type *t;
    int first, last; /* normalised together: [first, last) */
    Expr *idx[QN_MAX_RANK];
} Axes;
static Expr *row_loops(Lower *L, Axes *s) { /* returns the position within the row */
    Expr *flat = e_int(L->a, 0);
    for (int i = s->first; i < s->last; i++) {
        s->idx[i] = lower_loop_to(L, arena_printf(L->a, "k%d", i), lower_dim(L, s->t, i));
        flat = e_add(L->a, e_mul(L->a, flat, lower_dim(L, s->t, i)), s->idx[i]);
    }
    return flat;
}
static void row_ends(Lower *L, const Axes *s) { lower_ends(L, s->last - s->first); }

static void hardmax_row(Lower *L, Node *n, Axes *s, Expr *top) {
    DType t = top->t;
    Buf *found = lower_temp(L, "found", DT_INT64, 0, NULL);
    lower_put(L, found, NULL, e_int(L->a, 0), RED_NONE);
    row_loops(L, s);
    Expr *hit = lower_let(
        L, "hit",
        e_bin(L->a, BIN_LAND, e_eq(L->a, lower_load(L, n, 0, s->idx), top), e_eq(L->a, lower_get(L, found, NULL), e_int(L->a, 0))));
    lower_put(L, found, NULL, e_cast(L->a, DT_INT64, hit), RED_ADD);
    lower_store(L, n, 0, s->idx, e_select(L->a, hit, e_lit(L->a, t, 1), e_lit(L->a, t, 0)));
    row_ends(L, s);
}
/* Rows beside each other: a tile of the last axis takes each step along the softmax's axis together. */
typedef struct Beside {
    Node *n;
    Axes *s;
    Expr *from, *to, *local; /* of the tile; the place within it */
} Beside;
static Expr *beside_open(Lower *L, Beside *b) { /* the element at the open place */
    int last = b->s->t->rank - 1;
    b->s->idx[last] = lower_loop_range(L, "f", b->from, b->to);
    b->local = e_sub(L->a, b->s->idx[last], b->from);
    return lower_load(L, b->n, 0, b->s->idx);
}
static void softmax_beside(Lower *L, Node *n, Axes *s) {
    enum { TILE = 256 };
    Arena *a = L->a;
    DType t = dtype_compute(s->t->dt);
    int last = s->t->rank - 1;
    bool log = strcmp(n->op->name, "LogSoftmax") == 0;
    Expr *width = lower_dim(L, s->t, last);
    int64_t tile = max_i64(1, min_i64(s->t->dim[last], TILE));
    for (int i = 0; i < last; i++)
        if (i != s->first) s->idx[i] = lower_loop_to(L, arena_printf(a, "i%d", i), lower_dim(L, s->t, i));
    Expr *count = e_div(a, e_add(a, width, e_int(a, tile - 1)), e_int(a, tile));
    Beside b = {.n = n, .s = s, .from = e_mul(a, lower_loop_to(L, "ft", count), e_int(a, tile))};
    b.to = e_min(a, e_add(a, b.from, e_int(a, tile)), width);
    Buf *top = lower_temp(L, "top", t, 1, &tile), *sum = lower_temp(L, "sum", t, 1, &tile);
    Expr *f = lower_loop(L, "f", tile);
    lower_put(L, top, &f, e_lower_bound(a, t), RED_NONE);
    lower_put(L, sum, &f, e_lit(a, t, 0), RED_NONE);
    lower_end(L);
    row_loops(L, s);
    Expr *x = beside_open(L, &b);
    lower_put(L, top, &b.local, x, RED_MAX);
    lower_ends(L, 2);
    row_loops(L, s);
    x = beside_open(L, &b);
    lower_put(L, sum, &b.local, e_call1(a, CALL_EXP, lower_let(L, "d", e_sub(a, x, lower_get(L, top, &b.local)))), RED_ADD);
    lower_ends(L, 2);
    f = lower_loop(L, "f", tile);
    Expr *all = lower_get(L, sum, &f);
    lower_put(L, sum, &f, log ? e_call1(a, CALL_LOG, all) : e_div(a, e_lit(a, t, 1), all), RED_NONE);
    lower_end(L);
    row_loops(L, s);
    x = beside_open(L, &b);
    Expr *d = lower_let(L, "d", e_sub(a, x, lower_get(L, top, &b.local))), *total = lower_get(L, sum, &b.local);
    lower_store(L, n, 0, s->idx, log ? e_sub(a, d, total) : e_mul(a, e_call1(a, CALL_EXP, d), total));
    lower_ends(L, 2 + 1 + last - 1);
}
bool lower_softmax(Lower *L, Node *n) {
    Arena *a = L->a;
    Axes s = {.t = &n->out[0]->type};
    DType t = dtype_compute(s.t->dt);
    int64_t axis = attr_i(n, AXIS), len = 1;
    s.first = (int)(axis < 0 ? axis + s.t->rank : axis);
    s.last = s.t->rank == 0 ? s.first : attr_i(n, FLATTEN) ? s.t->rank : s.first + 1;
    if (s.t->rank > 0 && s.last < s.t->rank && strcmp(n->op->name, "Hardmax") != 0) {
        softmax_beside(L, n, &s);
        return true;
    }
    for (int i = 0; i < s.t->rank; i++) {
        if (i < s.first || i >= s.last) s.idx[i] = lower_loop_to(L, arena_printf(a, "i%d", i), lower_dim(L, s.t, i));
        else len *= s.t->dim[i];
    }
    Buf *top = lower_temp(L, "top", t, 0, NULL);
    lower_put(L, top, NULL, e_lower_bound(a, t), RED_NONE);
    row_loops(L, &s);
    lower_put(L, top, NULL, lower_load(L, n, 0, s.idx), RED_MAX);
    row_ends(L, &s);
    Expr *max = lower_let(L, "peak", lower_get(L, top, NULL));
    if (strcmp(n->op->name, "Hardmax") == 0) {
        hardmax_row(L, n, &s, max);
    } else {
        bool log = strcmp(n->op->name, "LogSoftmax") == 0;
        Buf *sum = lower_temp(L, "sum", t, 0, NULL), *row = lower_temp(L, "row", t, 1, &len);
        lower_put(L, sum, NULL, e_lit(a, t, 0), RED_NONE);
        Expr *k = row_loops(L, &s);
        Expr *d = lower_let(L, "d", e_sub(a, lower_load(L, n, 0, s.idx), max));
        Expr *e = lower_let(L, "e", e_call1(a, CALL_EXP, d));
        lower_put(L, row, &k, log ? d : e, RED_NONE);
        lower_put(L, sum, NULL, e, RED_ADD);
        row_ends(L, &s);
        Expr *total =
            lower_let(L, "total", log ? e_call1(a, CALL_LOG, lower_get(L, sum, NULL)) : e_div(a, e_lit(a, t, 1), lower_get(L, sum, NULL)));
        k = row_loops(L, &s);
        Expr *v = lower_get(L, row, &k);
        lower_store(L, n, 0, s.idx, log ? e_sub(a, v, total) : e_mul(a, v, total));
        row_ends(L, &s);
    }
    for (int i = 0; i < s.t->rank; i++)
        if (i < s.first || i >= s.last) lower_end(L);
    return true;
}
