/* SPDX-License-Identifier: Apache-2.0 */
/* reduce.c: the Reduce family and the global pools. An accumulator per output element; what is done to each element before and to the
 * sum after is a row of the table below.
 *
 *   ReduceL2(x, axes 1):  for i:  acc = 0;  for j: acc += x[i,j]*x[i,j];  y[i] = sqrt(acc)
 */
#include "../extent.h"
#include <math.h>
#include <string.h>

enum { KEEPDIMS, NOOP };
typedef enum Pre { PRE_NONE, PRE_ABS, PRE_SQUARE, PRE_EXP } Pre;
typedef enum Post { POST_NONE, POST_MEAN, POST_SQRT, POST_LOG } Post;
static const struct Row {
    const char *name;
    RedOp red;
    Pre pre;
    Post post;
} rows[] = {{"ReduceSum", RED_ADD, PRE_NONE, POST_NONE},   {"ReduceMean", RED_ADD, PRE_NONE, POST_MEAN},
            {"ReduceProd", RED_MUL, PRE_NONE, POST_NONE},  {"ReduceMax", RED_MAX, PRE_NONE, POST_NONE},
            {"ReduceMin", RED_MIN, PRE_NONE, POST_NONE},   {"ReduceL1", RED_ADD, PRE_ABS, POST_NONE},
            {"ReduceL2", RED_ADD, PRE_SQUARE, POST_SQRT},  {"ReduceSumSquare", RED_ADD, PRE_SQUARE, POST_NONE},
            {"ReduceLogSum", RED_ADD, PRE_NONE, POST_LOG}, {"ReduceLogSumExp", RED_ADD, PRE_EXP, POST_LOG}};
static const struct Row *row_of(const Node *n) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, n->op->name) == 0) return &rows[i];
    BUG("no reduction row for %s", n->op->name);
}

/* Which axes are reduced. false: they are not constant (mask then holds what the output's declared type tells). */
static bool axes_mask(Infer *x, bool *mask, bool *known) {
    const Type *t = &x->n->in[0]->type;
    const int64_t *v;
    int64_t n;
    *known = infer_ints(x, 1, &v, &n);
    if (!*known && tensor_elements(x->n->in[1]) == 0) *known = true, n = 0; /* none are given, whatever is computed */
    memset(mask, 0, sizeof(bool) * QN_MAX_RANK);
    if (!*known) return true;
    bool noop = attr_i(x->n, NOOP) != 0;
    for (int i = 0; n == 0 && !noop && i < t->rank; i++) mask[i] = true;
    for (int64_t i = 0; i < n; i++) {
        int axis;
        if (!infer_axis(x, v[i], t->rank, &axis)) return false;
        mask[axis] = true;
    }
    return true;
}
/* ---- axes that are known at run time only: each axis is asked whether it is among them */
typedef struct RunAxes {
    int rank, out_rank;
    Expr *reduced[QN_MAX_RANK]; /* bool */
    Expr *place[QN_MAX_RANK];   /* where an axis that stays stands in the result */
} RunAxes;
static void run_axes(Arena *a, const Node *n, Expr *const *v, int64_t count, RunAxes *r) {
    bool keep = attr_i(n, KEEPDIMS) != 0;
    r->rank = n->in[0]->type.rank, r->out_rank = keep ? r->rank : r->rank - (int)count;
    Expr *before = e_int(a, 0);
    for (int k = 0; k < r->rank; k++) {
        Expr *in = e_lit_i(a, DT_BOOL, 0);
        for (int64_t i = 0; i < count; i++)
            in = e_bin(a, BIN_LOR, in, e_bin(a, BIN_LOR, e_eq(a, v[i], e_int(a, k)), e_eq(a, v[i], e_int(a, k - r->rank))));
        r->reduced[k] = in;
        r->place[k] = keep ? e_int(a, k) : before;
        before = e_add(a, before, e_cast(a, DT_INT64, e_un(a, UN_NOT, in)));
    }
}
static bool infer_run_time_axes(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Arena *a = x->g->a;
    Expr **v, *e[QN_MAX_RANK], *one = e_int(a, 1);
    int64_t count;
    RunAxes r;
    if (!infer_values(x, 1, &v, &count)) return false;
    if (count > t->rank) return infer_error(x, "there are %lld axes to reduce, but the input has rank %d", (long long)count, t->rank);
    run_axes(a, x->n, v, count, &r);
    for (int j = 0; j < r.out_rank; j++) {
        e[j] = one;
        for (int k = t->rank - 1; k >= 0; k--) {
            if (attr_i(x->n, KEEPDIMS) && k != j) continue;
            Expr *here = e_bin(a, BIN_LAND, e_un(a, UN_NOT, r.reduced[k]), e_eq(a, r.place[k], e_int(a, j)));
            e[j] = e_select(a, here, type_extent(x->g, t, k), e[j]);
        }
    }
    return infer_extents(x, 0, t->dt, r.out_rank, e);
}
bool infer_reduce(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    bool mask[QN_MAX_RANK], known;
    Expr *dim[QN_MAX_RANK];
    int rank = 0;
    DClass k = dtype_info[t->dt].cls;
    if (k == CLS_STR || k == CLS_CPLX) return infer_error(x, "input 0 is %s, which this operator does not support", dtype_name(t->dt));
    if (!axes_mask(x, mask, &known)) return false;
    if (!known) return infer_run_time_axes(x);
    for (int i = 0; i < t->rank; i++) {
        if (!mask[i]) dim[rank++] = type_extent(x->g, t, i);
        else if (attr_i(x->n, KEEPDIMS)) dim[rank++] = e_int(x->g->a, 1);
    }
    return infer_extents(x, 0, t->dt, rank, dim);
}

static Expr *before(Lower *L, Pre pre, Expr *e, Expr *shift) {
    switch (pre) {
    case PRE_ABS: return e_un(L->a, UN_ABS, e);
    case PRE_SQUARE: return e = lower_let(L, "x", e), e_mul(L->a, e, e);
    case PRE_EXP: return e_call1(L->a, CALL_EXP, e_sub(L->a, e, shift));
    default: return e;
    }
}
static Expr *as_float_call(Lower *L, CallFn f, Expr *e) {
    if (dtype_is_float(e->t)) return e_call1(L->a, f, e);
    return e_cast(L->a, e->t, e_call1(L->a, f, e_cast(L->a, DT_FLOAT64, e)));
}
static Expr *after(Lower *L, Post post, Expr *e, Expr *count) {
    switch (post) {
    case POST_MEAN: return e_div(L->a, e, e_cast(L->a, e->t, count));
    case POST_SQRT: return as_float_call(L, CALL_SQRT, e);
    case POST_LOG: return as_float_call(L, CALL_LOG, e);
    default: return e;
    }
}
static Expr *neutral(Lower *L, RedOp r, DType t) {
    switch (r) {
    case RED_MUL: return e_lit(L->a, t, 1);
    case RED_MAX: return e_lower_bound(L->a, t);
    case RED_MIN: return e_upper_bound(L->a, t);
    default: return e_lit(L->a, t, 0);
    }
}
static void reduced_loops(Lower *L, const Type *t, const bool *mask, const RunAxes *run, Expr *const *open, Expr **idx, int *count) {
    *count = 0;
    for (int i = 0; run && i < t->rank; i++, ++*count) {
        Expr *r = lower_loop_to(L, arena_printf(L->a, "r%d", i), e_select(L->a, run->reduced[i], lower_dim(L, t, i), e_int(L->a, 1)));
        idx[i] = e_select(L->a, run->reduced[i], r, open[i]);
    }
    for (int i = 0; !run && i < t->rank; i++)
        if (mask[i]) idx[i] = lower_loop_to(L, arena_printf(L->a, "r%d", i), lower_dim(L, t, i)), ++*count;
}
bool lower_reduce(Lower *L, Node *n) {
    const struct Row *row = row_of(n);
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    bool mask[QN_MAX_RANK], known, keep = attr_i(n, KEEPDIMS);
    Infer x = {L->c, L->g, n};
    if (!axes_mask(&x, mask, &known)) return false;
    RunAxes run;
    Expr *open[QN_MAX_RANK];
    if (!known) { /* loops over the result, then over every axis: as long as it is, or once where it stays */
        const Tensor *axes = n->in[1];
        int64_t na = tensor_elements(axes);
        Expr **v = NEW_ARRAY(L->a, Expr *, na + 1);
        for (int64_t i = 0; i < na; i++)
            v[i] = lower_extent(L, axes->val[i]->t == DT_INT64 ? axes->val[i] : e_cast(L->a, DT_INT64, axes->val[i]));
        run_axes(L->a, n, v, na, &run);
        for (int i = 0; i < t->rank; i++) run.reduced[i] = lower_let(L, "reduced", run.reduced[i]);
    }
    Expr *idx[QN_MAX_RANK], *out[QN_MAX_RANK];
    Expr *count = e_int(L->a, 1);
    int r = 0, inner;
    if (!known) {
        lower_loops(L, NULL, o, out);
        for (int i = 0; i < t->rank; i++) {
            mask[i] = true;
            open[i] = e_int(L->a, 0);
            for (int j = 0; j < o->rank; j++) open[i] = e_select(L->a, e_eq(L->a, run.place[i], e_int(L->a, j)), out[j], open[i]);
            count = e_mul(L->a, count, e_select(L->a, run.reduced[i], lower_dim(L, t, i), e_int(L->a, 1)));
        }
    }
    for (int i = 0; known && i < t->rank; i++) {
        if (mask[i]) {
            count = e_mul(L->a, count, lower_dim(L, t, i));
            if (keep) out[r++] = e_int(L->a, 0);
        } else {
            idx[i] = out[r++] = lower_loop_to(L, arena_printf(L->a, "i%d", i), lower_dim(L, t, i));
        }
    }
    DType at = row->pre == PRE_EXP && !dtype_is_float(t->dt) ? DT_FLOAT64 : dtype_compute(t->dt);
    Expr *shift = NULL;
    if (row->pre == PRE_EXP) { /* the largest is taken out, so that exp cannot overflow */
        Buf *top = lower_temp(L, "top", at, 0, NULL);
        lower_put(L, top, NULL, e_lower_bound(L->a, at), RED_NONE);
        reduced_loops(L, t, mask, known ? NULL : &run, open, idx, &inner);
        lower_put(L, top, NULL, e_cast(L->a, at, lower_load(L, n, 0, idx)), RED_MAX);
        lower_ends(L, inner);
        shift = lower_let(L, "shift", lower_get(L, top, NULL));
        shift = lower_let(L, "shift", e_select(L->a, e_call1(L->a, CALL_ISINF, shift), e_lit(L->a, at, 0), shift));
    }
    Buf *acc = lower_temp(L, "acc", at, 0, NULL), *odd = NULL;
    lower_put(L, acc, NULL, neutral(L, row->red, at), RED_NONE);
    if ((row->red == RED_MAX || row->red == RED_MIN) && dtype_is_float(at)) { /* a comparison passes NaN over; it is counted */
        odd = lower_temp(L, "odd", at, 0, NULL);
        lower_put(L, odd, NULL, e_lit(L->a, at, 0), RED_NONE);
    }
    reduced_loops(L, t, mask, known ? NULL : &run, open, idx, &inner);
    Expr *e = e_cast(L->a, at, lower_load(L, n, 0, idx));
    if (odd) {
        e = lower_let(L, "x", e);
        lower_put(L, odd, NULL, e_select(L->a, e_call1(L->a, CALL_ISNAN, e), e_lit(L->a, at, 1), e_lit(L->a, at, 0)), RED_MAX);
    }
    lower_put(L, acc, NULL, before(L, row->pre, e, shift), row->red);
    lower_ends(L, inner);
    if (odd) {
        Expr *none = e_eq(L->a, lower_get(L, odd, NULL), e_lit(L->a, at, 0));
        lower_put(L, acc, NULL, e_select(L->a, none, lower_get(L, acc, NULL), e_lit(L->a, at, NAN)), RED_NONE);
    }
    Expr *v = after(L, row->post, lower_get(L, acc, NULL), count);
    lower_store(L, n, 0, out, e_cast(L->a, dtype_compute(t->dt), shift ? e_add(L->a, v, shift) : v));
    if (!known) lower_ends(L, o->rank);
    for (int i = 0; i < t->rank; i++)
        if (!mask[i]) lower_end(L);
    return true;
}

/* Global pools are reductions over the spatial axes. */
static bool global_pool(Graph *g, Node *n, const char *op) {
    int rank = n->in[0]->type.rank;
    int64_t axes[QN_MAX_RANK] = {0};
    for (int i = 2; i < rank; i++) axes[i - 2] = i;
    Tensor *y = build(g, n, op, 2, (Tensor *[]){n->in[0], tensor_i64s(g, axes, rank > 2 ? rank - 2 : 0)});
    if (rank <= 2) node_set_i(y->def, NOOP, 1);
    tensor_replace(g, n->out[0], y, true);
    return true;
}
bool rewrite_global_average(Ctx *c, Graph *g, Node *n) { return (void)c, global_pool(g, n, "ReduceMean"); }
bool rewrite_global_max(Ctx *c, Graph *g, Node *n) { return (void)c, global_pool(g, n, "ReduceMax"); }
