/* SPDX-License-Identifier: Apache-2.0 */
/* softmax.c: Softmax, LogSoftmax, Hardmax along one axis; with `flatten` (opsets before 13) along all axes from `axis` on.
 *
 *   for each row:  top = max x;  e[k] = exp(x[k]-top), sum += e[k];  y[k] = e[k]/sum
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
bool lower_softmax(Lower *L, Node *n) {
    Arena *a = L->a;
    Axes s = {.t = &n->out[0]->type};
    DType t = dtype_compute(s.t->dt);
    int64_t axis = attr_i(n, AXIS), len = 1;
    s.first = (int)(axis < 0 ? axis + s.t->rank : axis);
    s.last = s.t->rank == 0 ? s.first : attr_i(n, FLATTEN) ? s.t->rank : s.first + 1;
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
