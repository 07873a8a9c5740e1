/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c: MaxPool (with indices), AveragePool, LpPool. A row of outputs is accumulated at a time; ranges are clamped outside the loops,
 * and the outputs whose windows lie inside take all taps of a row at once.
 *
 *   for n, c, e:  acc[f] = -inf;  for r in valid(e): {for f inside: acc[f] = max(acc[f], x[e+r,f], x[e+r,f+1] …);  for the other f,
 *                 s in valid(f): acc[f] = max(acc[f], x[e+r,f+s])};  store acc
 */
#include "window.h"
#include <string.h>

enum { AUTO_PAD, CEIL_MODE, DILATIONS, KERNEL_SHAPE, PADS, STRIDES, EXTRA }; /* EXTRA: storage_order, count_include_pad or p */
static const WindowAttrs attrs = {AUTO_PAD, DILATIONS, PADS, STRIDES, CEIL_MODE};
enum { ROW = 256, MOST_TAPS = 16 };

bool infer_pool(Infer *x) {
    const Type *in = &x->n->in[0]->type;
    int rank = in->rank - 2;
    Window w[WIN_SPATIAL];
    const Attr *k = &x->n->attr[KERNEL_SHAPE];
    if (rank < 1 || rank > WIN_SPATIAL) return infer_error(x, "the input has %d dims, expected 3 to 5", in->rank);
    if (k->n != rank) return infer_error(x, "kernel_shape has %lld values, expected %d", (long long)k->n, rank);
    if (!window_infer(x, &attrs, rank, in->dim + 2, k->is, w)) return false;
    Expr *dim[QN_MAX_RANK] = {type_extent(x->g, in, 0), type_extent(x->g, in, 1)};
    for (int i = 0; i < rank; i++)
        if (!(dim[2 + i] = window_extent(x, &attrs, i, &w[i], type_extent(x->g, in, 2 + i)))) return false;
    if (x->n->nout > 1 && x->n->out[1] && !infer_extents(x, 1, DT_INT64, in->rank, dim)) return false;
    return infer_extents(x, 0, in->dt, in->rank, dim);
}

typedef struct Pool {
    Node *n;
    const Type *in;
    int rank, last;
    Window w[WIN_SPATIAL];
    Expr *at[QN_MAX_RANK]; /* n, c, outer output positions */
    Expr *from, *to;       /* of the row's tile */
    int64_t tile;
} Pool;
static void pool_open(Lower *L, Node *n, Pool *p) {
    static const char *const names[] = {"n", "c"}, *const outer[] = {"d", "e"};
    *p = (Pool){.n = n, .in = &n->in[0]->type};
    const Type *o = &n->out[0]->type;
    p->rank = p->in->rank - 2, p->last = p->rank - 1;
    window_of(n, &attrs, p->rank, p->in->dim + 2, n->attr[KERNEL_SHAPE].is, o->dim + 2, p->w);
    window_run_time(L, n, &attrs, p->rank, p->in, o, p->w);
    Expr *width = lower_dim(L, o, 2 + p->last);
    p->tile = max_i64(1, min_i64(p->w[p->last].out, ROW));
    for (int i = 0; i < 2; i++) p->at[i] = lower_loop_to(L, names[i], lower_dim(L, o, i));
    for (int i = 0; i < p->last; i++) p->at[2 + i] = lower_loop_to(L, outer[i + (p->last == 1)], lower_dim(L, o, 2 + i));
    p->from = e_mul(L->a, lower_loop_to(L, "ft", e_div(L->a, e_add(L->a, width, e_int(L->a, p->tile - 1)), e_int(L->a, p->tile))),
                    e_int(L->a, p->tile));
    p->to = e_min(L->a, e_add(L->a, p->from, e_int(L->a, p->tile)), width);
}
static void pool_close(Lower *L, const Pool *p) { lower_ends(L, 2 + p->last + 1); }
static Expr *fill(Lower *L, const Pool *p, Buf *b, Expr *v) {
    Expr *f = lower_loop(L, "f", p->tile);
    lower_put(L, b, &f, v, RED_NONE);
    lower_end(L);
    return v;
}
/* Opens the loops over taps of all axes but the last. */
static void rows_open(Lower *L, const Pool *p, Expr **xi) {
    static const char *const tap[] = {"q", "r"};
    Expr *lo, *hi, *r;
    xi[0] = p->at[0], xi[1] = p->at[1];
    for (int i = 0; i < p->last; i++) {
        window_taps(L, &p->w[i], p->at[2 + i], &lo, &hi);
        r = lower_loop_range(L, tap[i + (p->last == 1)], lo, hi);
        xi[2 + i] = window_at(L, &p->w[i], p->at[2 + i], r);
    }
}
/* Opens the loops over taps and the row; xi: where to read, local: the accumulator's index. Closed by lower_ends(rank + 1). */
static void taps_open(Lower *L, const Pool *p, Expr **xi, Expr **local) {
    Expr *lo, *hi;
    rows_open(L, p, xi);
    Expr *s = lower_loop(L, "s", p->w[p->last].k);
    window_outputs(L, &p->w[p->last], s, &lo, &hi);
    Expr *f = lower_loop_range(L, "f", e_max(L->a, lo, p->from), e_min(L->a, hi, p->to));
    xi[2 + p->last] = window_at(L, &p->w[p->last], f, s);
    *local = e_sub(L->a, f, p->from);
}
/* Outputs of a row: those before, of, and behind the windows that lie inside. One part if their number is known at run time only. */
typedef struct Part {
    Expr *from, *to;
    bool inside;
} Part;
static int parts_of(Lower *L, const Pool *p, Part *part) {
    const Window *w = &p->w[p->last];
    int n = 0;
    if (w->run_in || w->k > MOST_TAPS) return part[0] = (Part){p->from, p->to, false}, 1;
    int64_t first = min_i64(ceil_div(w->lo, w->stride), w->out), room = w->in - 1 - (w->k - 1) * w->dil + w->lo;
    int64_t end = room < 0 ? first : max_i64(first, min_i64(room / w->stride + 1, w->out)), edge[] = {0, first, end, w->out};
    for (int i = 0; i < 3; i++)
        if (edge[i] < edge[i + 1])
            part[n++] = (Part){e_max(L->a, p->from, e_int(L->a, edge[i])), e_min(L->a, p->to, e_int(L->a, edge[i + 1])), i == 1};
    return n;
}
/* acc[f] takes what `value` makes of each tap's element, in the order of the taps. */
typedef Expr *TapValue(Lower *L, const Pool *p, Expr *x);
static void accumulate(Lower *L, const Pool *p, Buf *acc, RedOp red, TapValue *value) {
    Expr *xi[QN_MAX_RANK], *local, *lo, *hi;
    const Window *w = &p->w[p->last];
    Part part[3];
    if (w->run_in || w->k > MOST_TAPS) {
        taps_open(L, p, xi, &local);
        lower_put(L, acc, &local, value(L, p, lower_load(L, p->n, 0, xi)), red);
        lower_ends(L, p->rank + 1);
        return;
    }
    rows_open(L, p, xi);
    for (int i = 0, n = parts_of(L, p, part); i < n; i++) {
        Expr *f = lower_loop_range(L, "f", part[i].from, part[i].to);
        local = e_sub(L->a, f, p->from);
        if (part[i].inside) {
            Expr *sum = lower_get(L, acc, &local);
            for (int64_t s = 0; s < w->k; s++) {
                xi[2 + p->last] = window_at(L, w, f, e_int(L->a, s));
                sum = lower_let(L, "sum", e_bin(L->a, red == RED_MAX ? BIN_MAX : BIN_ADD, sum, value(L, p, lower_load(L, p->n, 0, xi))));
            }
            lower_put(L, acc, &local, sum, RED_NONE);
        } else {
            window_taps(L, w, f, &lo, &hi);
            xi[2 + p->last] = window_at(L, w, f, lower_loop_range(L, "s", lo, hi));
            lower_put(L, acc, &local, value(L, p, lower_load(L, p->n, 0, xi)), red);
            lower_end(L);
        }
        lower_end(L);
    }
    lower_ends(L, p->last);
}
static Expr *store_open(Lower *L, const Pool *p, const Part *part, Expr **idx) {
    for (int i = 0; i < 2 + p->last; i++) idx[i] = p->at[i];
    idx[2 + p->last] = lower_loop_range(L, "f", part->from, part->to);
    return e_sub(L->a, idx[2 + p->last], p->from);
}
static Expr *same_value(Lower *L, const Pool *p, Expr *x) {
    (void)L, (void)p;
    return x;
}

/* The largest of each window, and where it is: its flat position in the whole tensor, in column order when storage_order is 1. */
static void best_of_taps(Lower *L, const Pool *p, Buf *acc, Buf *best) {
    Arena *a = L->a;
    Expr *xi[QN_MAX_RANK], *f;
    taps_open(L, p, xi, &f);
    Expr *v = lower_load(L, p->n, 0, xi);
    Expr *flat = e_add(a, e_mul(a, xi[0], lower_dim(L, p->in, 1)), xi[1]), *inner = e_int(a, 0);
    Expr *plane = e_int(a, 1);
    for (int i = 0; i < p->rank; i++) {
        int k = attr_i(p->n, EXTRA) ? p->rank - 1 - i : i;
        inner = e_add(a, e_mul(a, inner, lower_dim(L, p->in, 2 + k)), xi[2 + k]);
        plane = e_mul(a, plane, lower_dim(L, p->in, 2 + i));
    }
    flat = e_add(a, e_mul(a, flat, plane), inner);
    v = lower_let(L, "v", v);
    Expr *was = lower_get(L, best, &f), *more = e_bin(a, BIN_LOR, e_lt(a, was, e_int(a, 0)), e_lt(a, lower_get(L, acc, &f), v));
    lower_put(L, best, &f, e_select(a, more, flat, was), RED_NONE);
    lower_put(L, acc, &f, v, RED_MAX);
    lower_ends(L, p->rank + 1);
}
bool lower_max_pool(Lower *L, Node *n) {
    Pool p;
    Expr *idx[QN_MAX_RANK], *f;
    Arena *a = L->a;
    pool_open(L, n, &p);
    DType t = dtype_compute(p.in->dt);
    Buf *acc = lower_temp(L, "acc", t, 1, &p.tile), *best = NULL;
    bool want = n->nout > 1 && n->out[1];
    fill(L, &p, acc, e_lower_bound(a, t));
    if (want) {
        best = lower_temp(L, "best", DT_INT64, 1, &p.tile);
        fill(L, &p, best, e_int(a, -1)); /* the first of a window stands for it where none is larger than minus infinity */
    }
    if (want) best_of_taps(L, &p, acc, best);
    else accumulate(L, &p, acc, RED_MAX, same_value);
    f = store_open(L, &p, &(Part){p.from, p.to, false}, idx);
    if (want) lower_store(L, n, 1, idx, lower_get(L, best, &f));
    lower_store(L, n, 0, idx, lower_get(L, acc, &f));
    lower_end(L);
    pool_close(L, &p);
    return true;
}

/* How many taps of output o count: those inside, or, with the padding included, those up to the padded end. */
static Expr *tap_count(Lower *L, const Window *w, Expr *o, bool with_pad) {
    Arena *a = L->a;
    Window v = *w;
    if (with_pad && v.run_in)
        v.run_in = e_add(a, v.run_in, e_int(a, v.lo + v.hi)), v.inside = false; /* the last window may still reach out */
    if (with_pad) v.in += v.lo + v.hi, v.lo = 0;
    Expr *lo, *hi;
    window_taps(L, &v, o, &lo, &hi);
    return e_sub(a, hi, lo);
}
static Expr *divisor(Lower *L, const Pool *p, const Part *part, Expr *const *idx, DType t, bool with_pad) {
    Expr *n = e_int(L->a, 1);
    for (int i = 0; i < p->rank; i++)
        n = e_mul(L->a, n, part->inside && i == p->last ? e_int(L->a, p->w[i].k) : tap_count(L, &p->w[i], idx[2 + i], with_pad));
    return e_cast(L->a, t, n);
}
bool lower_average_pool(Lower *L, Node *n) {
    Pool p;
    Part part[3];
    Expr *idx[QN_MAX_RANK];
    pool_open(L, n, &p);
    DType t = dtype_compute(p.in->dt);
    Buf *acc = lower_temp(L, "acc", t, 1, &p.tile);
    fill(L, &p, acc, e_lit(L->a, t, 0));
    accumulate(L, &p, acc, RED_ADD, same_value);
    for (int i = 0, parts = parts_of(L, &p, part); i < parts; i++) {
        Expr *f = store_open(L, &p, &part[i], idx);
        lower_store(L, n, 0, idx, e_div(L->a, lower_get(L, acc, &f), divisor(L, &p, &part[i], idx, t, attr_i(n, EXTRA) != 0)));
        lower_end(L);
    }
    pool_close(L, &p);
    return true;
}
static Expr *power_value(Lower *L, const Pool *p, Expr *x) {
    int64_t power = attr_i(p->n, EXTRA);
    Expr *v = lower_let(L, "v", e_un(L->a, UN_ABS, x));
    return power == 1 ? v : power == 2 ? e_mul(L->a, v, v) : e_call2(L->a, CALL_POW, v, e_lit(L->a, v->t, (double)power));
}
bool lower_lp_pool(Lower *L, Node *n) {
    Pool p;
    Arena *a = L->a;
    Expr *idx[QN_MAX_RANK];
    pool_open(L, n, &p);
    DType t = dtype_compute(p.in->dt);
    int64_t power = attr_i(n, EXTRA);
    Buf *acc = lower_temp(L, "acc", t, 1, &p.tile);
    fill(L, &p, acc, e_lit(a, t, 0));
    accumulate(L, &p, acc, RED_ADD, power_value);
    Expr *f = store_open(L, &p, &(Part){p.from, p.to, false}, idx), *v = lower_get(L, acc, &f);
    lower_store(L, n, 0, idx,
                power == 1   ? v
                : power == 2 ? e_call1(a, CALL_SQRT, v)
                             : e_call2(a, CALL_POW, v, e_lit(a, t, 1.0 / (double)power)));
    lower_end(L);
    pool_close(L, &p);
    return true;
}
