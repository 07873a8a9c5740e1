/* SPDX-License-Identifier: Apache-2.0 */
/* arg.c: where the largest or smallest elements along an axis are: ArgMax, ArgMin, TopK. A NaN counts as larger than every number in
 * TopK; in ArgMax and ArgMin it is passed over. Of equal elements the one with the lowest index comes first.
 *
 *   ArgMax(x, axis 1):  for i:  top = x[i,0], at = 0;  for j = 1…: if top < x[i,j]: at = j, top = x[i,j];  y[i] = at
 */
#include "../extent.h"
#include <string.h>

enum { AXIS, KEEPDIMS, LAST };

bool infer_arg(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t count;
    Expr *dim[QN_MAX_RANK];
    int axis, rank = 0;
    if (t->rank == 0) return infer_error(x, "the input is a scalar; at least one axis is expected");
    if (!infer_axis(x, attr_i(x->n, AXIS), t->rank, &axis)) return false;
    for (int i = 0; i < t->rank; i++)
        if (i != axis || attr_i(x->n, KEEPDIMS)) dim[rank++] = i == axis ? e_int(x->g->a, 1) : type_extent(x->g, t, i);
    if (!infer_extents(x, 0, DT_INT64, rank, dim)) return false;
    if (t->dim[axis] == 0 && (!x->n->out[0] || !type_elements(&x->n->out[0]->type, &count) || count > 0))
        return infer_error(x, "axis %d has no elements to choose from", axis);
    return true;
}
/* The place of the best element along an axis, counted in the width of the elements so that both can be lanes of a vector. With `nan` NaN
 * is larger than every number. */
static Expr *best_value(Lower *L, Node *n, Expr *const *idx, bool nan) {
    Arena *a = L->a;
    Expr *v = lower_load(L, n, 0, idx);
    int bits = dtype_info[v->t].bits;
    if (dtype_is_int(v->t) && bits < 32) v = e_cast(a, DT_INT32, v);
    if (nan && dtype_is_float(v->t)) {
        v = lower_let(L, "x", v);
        v = e_select(a, e_bin(a, BIN_NE, v, v), e_upper_bound(a, v->t), v);
    }
    return v;
}
static Expr *find_best(Lower *L, Node *n, Expr **idx, int axis, bool max, bool last, bool nan) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    idx[axis] = e_int(a, 0);
    Expr *v = best_value(L, n, idx, nan);
    DType pt = dtype_info[v->t].bits == 32 && t->dim[axis] <= INT32_MAX ? DT_INT32 : DT_INT64;
    Buf *top = lower_temp(L, "top", v->t, 0, NULL), *at = lower_temp(L, "at", pt, 0, NULL);
    lower_put(L, top, NULL, v, RED_NONE);
    lower_put(L, at, NULL, e_lit_i(a, pt, 0), RED_NONE);
    Expr *j = idx[axis] = lower_loop_to(L, "j", lower_dim(L, t, axis)), *best = lower_get(L, top, NULL);
    v = lower_let(L, "v", best_value(L, n, idx, nan));
    BinOp op = last ? BIN_LE : BIN_LT;
    lower_if(L, max ? e_bin(a, op, best, v) : e_bin(a, op, v, best));
    lower_put(L, at, NULL, e_cast(a, pt, j), RED_NONE);
    lower_put(L, top, NULL, v, RED_NONE);
    lower_ends(L, 2);
    return e_cast(a, DT_INT64, lower_get(L, at, NULL));
}
bool lower_arg(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    bool max = strcmp(n->op->name, "ArgMax") == 0;
    int axis = (int)(attr_i(n, AXIS) < 0 ? attr_i(n, AXIS) + t->rank : attr_i(n, AXIS)), rank = 0;
    Expr *idx[QN_MAX_RANK], *out[QN_MAX_RANK];
    for (int i = 0; i < t->rank; i++) {
        if (i != axis) out[rank++] = idx[i] = lower_loop_to(L, arena_printf(a, "i%d", i), lower_dim(L, t, i));
        else if (attr_i(n, KEEPDIMS)) out[rank++] = e_int(a, 0);
    }
    Expr *at = find_best(L, n, idx, axis, max, attr_i(n, LAST) != 0, false);
    lower_store(L, n, 0, out, at);
    lower_ends(L, t->rank - 1);
    return true;
}

/* ---- TopK: the best K so far are kept in order; a better one is put in its place and the rest moves up */
enum { TK_AXIS, TK_LARGEST };
bool infer_topk(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    const Tensor *kt = x->n->in[1];
    Expr *dim[QN_MAX_RANK], **v;
    int64_t count, k;
    int axis;
    if (t->rank == 0) return infer_error(x, "the input is a scalar; at least one axis is expected");
    if (!infer_axis(x, attr_i(x->n, TK_AXIS), t->rank, &axis)) return false;
    if (!type_elements(&kt->type, &count) || count != 1) return infer_error(x, "K is expected to have one element");
    if (!infer_values(x, 1, &v, &count)) return false;
    if (e_is_int(v[0], &k) && (k < 0 || k > t->dim[axis]))
        return infer_error(x, "K is %lld, but axis %d has %lld elements", (long long)k, axis, (long long)t->dim[axis]);
    type_extents(x->g, t, dim);
    Expr *whole = dim[axis];
    dim[axis] = infer_bounded(x, v[0], 0, t->dim[axis], "K", false);
    if (!infer_require(x, e_le(x->g->a, dim[axis], whole))) return false;
    return infer_extents(x, 0, t->dt, t->rank, dim) && infer_extents(x, 1, DT_INT64, t->rank, dim);
}
typedef struct Best { /* the list, best first */
    Buf *key, *at;
    bool largest;
} Best;
/* Whether (v, i) stands before entry p. */
static Expr *before(Lower *L, const Best *b, Expr *v, Expr *i, Expr *p) {
    Arena *a = L->a;
    Expr *key = lower_get(L, b->key, &p), *better = b->largest ? e_lt(a, key, v) : e_lt(a, v, key);
    return e_bin(a, BIN_LOR, better, e_bin(a, BIN_LAND, e_eq(a, v, key), e_lt(a, i, lower_get(L, b->at, &p))));
}
static void insert(Lower *L, const Best *b, Expr *v, Expr *i, Expr *k) {
    Arena *a = L->a;
    Expr *last = e_sub(a, k, e_int(a, 1));
    lower_if(L, before(L, b, v, i, last));
    Buf *cv = lower_temp(L, "cv", v->t, 0, NULL), *ci = lower_temp(L, "ci", DT_INT64, 0, NULL);
    lower_put(L, cv, NULL, v, RED_NONE);
    lower_put(L, ci, NULL, i, RED_NONE);
    Expr *p = lower_loop_to(L, "p", k);
    Expr *pv = lower_let(L, "pv", lower_get(L, cv, NULL)), *pi = lower_let(L, "pi", lower_get(L, ci, NULL));
    lower_if(L, before(L, b, pv, pi, p));
    lower_put(L, cv, NULL, lower_get(L, b->key, &p), RED_NONE);
    lower_put(L, ci, NULL, lower_get(L, b->at, &p), RED_NONE);
    lower_put(L, b->key, &p, pv, RED_NONE);
    lower_put(L, b->at, &p, pi, RED_NONE);
    lower_ends(L, 3);
}
static bool lower_top(Lower *L, Node *n, int axis) { /* K is 1 */
    const Type *t = &n->in[0]->type;
    Expr *idx[QN_MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        if (i != axis) idx[i] = lower_loop_to(L, arena_printf(L->a, "i%d", i), lower_dim(L, t, i));
    Expr *at = idx[axis] = lower_let(L, "from", find_best(L, n, idx, axis, attr_i(n, TK_LARGEST) != 0, false, true));
    Expr *found = lower_load(L, n, 0, idx);
    idx[axis] = e_int(L->a, 0);
    lower_store(L, n, 1, idx, at);
    lower_store(L, n, 0, idx, found);
    lower_ends(L, t->rank - 1);
    return true;
}
bool lower_topk(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = n->nout > 1 && n->out[1] ? &n->out[1]->type : &n->out[0]->type;
    int axis = (int)(attr_i(n, TK_AXIS) < 0 ? attr_i(n, TK_AXIS) + t->rank : attr_i(n, TK_AXIS));
    int64_t most = o->dim[axis];
    Expr *k = lower_dim(L, o, axis);
    DType ct = dtype_compute(t->dt);
    Expr *idx[QN_MAX_RANK];
    int64_t c;
    bool open = !e_is_int(k, &c); /* nothing to do for none */
    if (most == 0) return true;
    if (e_is_int(k, &c) && c == 1) return lower_top(L, n, axis);
    if (open) lower_if(L, e_lt(a, e_int(a, 0), k));
    for (int i = 0; i < t->rank; i++)
        if (i != axis) idx[i] = lower_loop_to(L, arena_printf(a, "i%d", i), lower_dim(L, t, i));
    Best b = {lower_temp(L, "key", ct, 1, &most), lower_temp(L, "at", DT_INT64, 1, &most), attr_i(n, TK_LARGEST) != 0};
    Expr *p = lower_loop_to(L, "p", k);
    lower_put(L, b.key, &p, b.largest ? e_lower_bound(a, ct) : e_upper_bound(a, ct), RED_NONE);
    lower_put(L, b.at, &p, e_int(a, INT64_MAX), RED_NONE);
    lower_end(L);
    Expr *i = idx[axis] = lower_loop_to(L, "j", lower_dim(L, t, axis));
    Expr *v = lower_let(L, "v", lower_load(L, n, 0, idx));
    if (dtype_is_float(ct)) v = lower_let(L, "v", e_select(a, e_call1(a, CALL_ISNAN, v), e_upper_bound(a, ct), v));
    insert(L, &b, v, i, k);
    lower_end(L);
    p = lower_loop_to(L, "p", k);
    Expr *at = idx[axis] = lower_let(L, "from", lower_get(L, b.at, &p));
    Expr *found = lower_load(L, n, 0, idx);
    idx[axis] = p;
    lower_store(L, n, 1, idx, at);
    lower_store(L, n, 0, idx, found);
    lower_ends(L, t->rank + open);
    return true;
}
