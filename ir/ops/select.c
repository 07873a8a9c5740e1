/* SPDX-License-Identifier: Apache-2.0 */
/* select.c: ops whose results are as long as the values say: NonZero, Compress, Unique, NonMaxSuppression. Each has one output more than
 * ONNX's, a scalar with the number that was found; it is the extent of the others, bounded by the op itself.
 *
 *   NonZero(x: float32[2,3]) -> int64[2,n<=6]:   count n; then for each x[i,j] != 0: y[0,k] = i, y[1,k] = j, k += 1
 */
#include "../extent.h"
#include <string.h>

Expr *infer_found(Infer *x, int o, int64_t hi) {
    Node *n = x->n;
    Graph *g = x->g;
    if (n->nout <= o) {
        Tensor **out = NEW_ARRAY(g->a, Tensor *, o + 1);
        memcpy(out, n->out, sizeof *out * (size_t)n->nout);
        n->out = out, n->nout = o + 1;
    }
    if (!n->out[o]) node_set_out(n, o, tensor_new(g, NULL, DT_NONE, -1, NULL));
    Tensor *t = n->out[o];
    if (!t->val) {
        const char *name = n->out[0] ? n->out[0]->name : n->op->name;
        Extent *e = extent_new(g, arena_printf(g->a, "%s_count", name), 0, hi, t);
        t->kept = t->read = true;
        t->val = NEW_ARRAY(g->a, Expr *, 1);
        t->val[0] = e_var(g->a, e->v);
    }
    return infer_out(x, o, DT_INT64, 0, NULL) ? t->val[0] : NULL;
}
/* From here on the number is known inside the nest: where outputs stand may depend on it. */
static Expr *found(Lower *L, Node *n, int o, Buf *count) {
    Expr *e = lower_let(L, "found", lower_get(L, count, NULL));
    lower_store(L, n, o, NULL, e);
    lower_knows_extent(L, n->out[o]->val[0]->u.v, e);
    return e;
}
static Buf *counter(Lower *L, const char *name) {
    Buf *b = lower_temp(L, name, DT_INT64, 0, NULL);
    lower_put(L, b, NULL, e_int(L->a, 0), RED_NONE);
    return b;
}
static void count_one(Lower *L, Buf *b) { lower_put(L, b, NULL, e_int(L->a, 1), RED_ADD); }
static Expr *is_set(Lower *L, Expr *v) { return v->t == DT_BOOL ? v : e_bin(L->a, BIN_NE, v, e_lit(L->a, v->t, 0)); }

/* ---- NonZero */
bool infer_nonzero(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t most;
    if (!type_elements(t, &most)) return infer_error(x, "the input has too many elements");
    Expr *n = infer_found(x, 1, most);
    return n && infer_extents(x, 0, DT_INT64, 2, (Expr *[]){e_int(x->g->a, t->rank), n});
}
bool lower_nonzero(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    Expr *idx[QN_MAX_RANK];
    Buf *count = counter(L, "count"), *at = counter(L, "at");
    lower_loops(L, NULL, t, idx);
    lower_put(L, count, NULL, e_cast(L->a, DT_INT64, is_set(L, lower_load(L, n, 0, idx))), RED_ADD);
    lower_ends(L, t->rank);
    found(L, n, 1, count);
    lower_loops(L, NULL, t, idx);
    lower_if(L, is_set(L, lower_load(L, n, 0, idx)));
    for (int k = 0; k < t->rank; k++) lower_store(L, n, 0, (Expr *[]){e_int(L->a, k), lower_get(L, at, NULL)}, idx[k]);
    count_one(L, at);
    lower_ends(L, t->rank + 1);
    return true;
}

/* ---- Compress: data, condition; along an axis, or of the flattened data */
bool infer_compress(Infer *x) {
    const Type *t = &x->n->in[0]->type, *c = &x->n->in[1]->type;
    Expr *e[QN_MAX_RANK];
    int64_t most;
    int axis;
    if (c->rank != 1) return infer_error(x, "the condition has rank %d; a vector is expected", c->rank);
    if (!attr_has(x->n, 0)) {
        if (!type_elements(t, &most)) return infer_error(x, "the input has too many elements");
        Expr *n = infer_found(x, 1, min_i64(most, c->dim[0]));
        return n && infer_extents(x, 0, t->dt, 1, &n);
    }
    if (!infer_axis(x, attr_i(x->n, 0), t->rank, &axis)) return false;
    type_extents(x->g, t, e);
    e[axis] = infer_found(x, 1, min_i64(t->dim[axis], c->dim[0]));
    return e[axis] && infer_extents(x, 0, t->dt, t->rank, e);
}
bool lower_compress(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    bool flat = !attr_has(n, 0);
    int axis = flat ? 0 : (int)(attr_i(n, 0) < 0 ? attr_i(n, 0) + t->rank : attr_i(n, 0));
    Expr *whole = flat ? lower_extent(L, type_count(L->g, t, 0, t->rank)) : lower_dim(L, t, axis), *idx[QN_MAX_RANK], *to[QN_MAX_RANK];
    whole = e_min(a, whole, lower_dim(L, &n->in[1]->type, 0)); /* a shorter condition ends early */
    Buf *count = counter(L, "count"), *at = counter(L, "at");
    Expr *i = lower_loop_to(L, "i", whole);
    lower_put(L, count, NULL, e_cast(a, DT_INT64, lower_load(L, n, 1, &i)), RED_ADD);
    lower_end(L);
    found(L, n, 1, count);
    i = lower_loop_to(L, "i", whole);
    lower_if(L, lower_load(L, n, 1, &i));
    Expr *pos = lower_get(L, at, NULL);
    if (flat) {
        Expr *rest = i;
        for (int k = t->rank - 1; k >= 0; k--) {
            idx[k] = k ? e_mod(a, rest, lower_dim(L, t, k)) : rest;
            rest = e_div(a, rest, lower_dim(L, t, k));
        }
        lower_store(L, n, 0, &pos, lower_load(L, n, 0, idx));
    } else {
        for (int k = 0; k < t->rank; k++) idx[k] = k == axis ? i : lower_loop_to(L, arena_printf(a, "i%d", k), lower_dim(L, t, k));
        memcpy(to, idx, sizeof to);
        to[axis] = pos;
        lower_store(L, n, 0, to, lower_load(L, n, 0, idx));
        lower_ends(L, t->rank - 1);
    }
    count_one(L, at);
    lower_ends(L, 2);
    return true;
}

/* ---- Unique: values, first places, where each went, how often */
enum { UNIQUE_AXIS, UNIQUE_SORTED };
bool infer_unique(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Expr *e[QN_MAX_RANK], *all, *n;
    int64_t most;
    int axis = 0;
    if (attr_has(x->n, UNIQUE_AXIS) && !infer_axis(x, attr_i(x->n, UNIQUE_AXIS), t->rank, &axis)) return false;
    bool flat = !attr_has(x->n, UNIQUE_AXIS);
    if (!type_elements(t, &most)) return infer_error(x, "the input has too many elements");
    n = infer_found(x, 4, flat ? most : t->dim[axis]);
    if (!n) return false;
    all = flat ? type_count(x->g, t, 0, t->rank) : type_extent(x->g, t, axis);
    type_extents(x->g, t, e);
    if (!flat) e[axis] = n;
    return infer_extents(x, 0, t->dt, flat ? 1 : t->rank, flat ? &n : e) && infer_extents(x, 1, DT_INT64, 1, &n) &&
           infer_extents(x, 2, DT_INT64, 1, &all) && infer_extents(x, 3, DT_INT64, 1, &n);
}
typedef struct Slices { /* of the input, each compared as a whole */
    Node *n;
    int axis; /* -1: single elements of the flattened input */
    int inner;
    Expr *idx[QN_MAX_RANK];
} Slices;
static Expr *slice_load(Lower *L, Slices *s, Expr *i) {
    const Type *t = &s->n->in[0]->type;
    Expr *idx[QN_MAX_RANK], *rest = i;
    memcpy(idx, s->idx, sizeof idx);
    if (s->axis >= 0) idx[s->axis] = i;
    else
        for (int k = t->rank - 1; k >= 0; k--) {
            idx[k] = k ? e_mod(L->a, rest, lower_dim(L, t, k)) : rest;
            rest = e_div(L->a, rest, lower_dim(L, t, k));
        }
    Expr *x = lower_load(L, s->n, 0, idx);
    return x->t == DT_BOOL ? e_cast(L->a, DT_UINT8, x) : x;
}
static void slice_loops(Lower *L, Slices *s) {
    const Type *t = &s->n->in[0]->type;
    s->inner = 0;
    for (int k = 0; s->axis >= 0 && k < t->rank; k++)
        if (k != s->axis) s->idx[k] = lower_loop_to(L, arena_printf(L->a, "k%d", k), lower_dim(L, t, k)), s->inner++;
}
/* order = -1, 0 or 1 as slice i stands before, at or behind slice j. */
static void slice_order(Lower *L, Slices *s, Buf *order, Expr *i, Expr *j) {
    Arena *a = L->a;
    lower_put(L, order, NULL, e_int(a, 0), RED_NONE);
    slice_loops(L, s);
    Expr *x = lower_let(L, "x", slice_load(L, s, i)), *y = lower_let(L, "y", slice_load(L, s, j));
    Expr *o = e_sub(a, e_cast(a, DT_INT64, e_lt(a, y, x)), e_cast(a, DT_INT64, e_lt(a, x, y))), *old = lower_get(L, order, NULL);
    lower_put(L, order, NULL, e_select(a, e_eq(a, old, e_int(a, 0)), o, old), RED_NONE);
    lower_ends(L, s->inner);
}
bool lower_unique(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    Slices s = {.n = n, .axis = attr_has(n, UNIQUE_AXIS) ? (int)attr_i(n, UNIQUE_AXIS) : -1};
    if (attr_has(n, UNIQUE_AXIS) && s.axis < 0) s.axis += t->rank;
    bool sorted = attr_i(n, UNIQUE_SORTED) != 0;
    int64_t most = s.axis < 0 ? tensor_elements(n->in[0]) : t->dim[s.axis];
    Expr *all = s.axis < 0 ? lower_extent(L, type_count(L->g, t, 0, t->rank)) : lower_dim(L, t, s.axis), *zero = e_int(a, 0);
    Buf *first = lower_temp(L, "first", DT_INT64, 1, &most), *place = lower_temp(L, "place", DT_INT64, 1, &most);
    Buf *order = lower_temp(L, "order", DT_INT64, 0, NULL), *count = counter(L, "count"), *seen = lower_temp(L, "seen", DT_INT64, 0, NULL);
    /* the first slice that equals each */
    Expr *i = lower_loop_to(L, "i", all);
    lower_put(L, first, &i, i, RED_NONE);
    Expr *j = lower_loop_range(L, "j", zero, i);
    lower_if(L, e_bin(a, BIN_LAND, e_eq(a, lower_get(L, first, &i), i), e_eq(a, lower_get(L, first, &j), j)));
    slice_order(L, &s, order, i, j);
    lower_if(L, e_eq(a, lower_get(L, order, NULL), zero));
    lower_put(L, first, &i, j, RED_NONE);
    lower_ends(L, 3);
    lower_put(L, count, NULL, e_cast(a, DT_INT64, e_eq(a, lower_get(L, first, &i), i)), RED_ADD);
    lower_end(L);
    found(L, n, 4, count);
    /* its place: how many different ones stand before it */
    i = lower_loop_to(L, "i", all);
    lower_if(L, e_eq(a, lower_get(L, first, &i), i));
    lower_put(L, place, &i, zero, RED_NONE);
    j = sorted ? lower_loop_to(L, "j", all) : lower_loop_range(L, "j", zero, i);
    lower_if(L, e_eq(a, lower_get(L, first, &j), j));
    if (sorted) slice_order(L, &s, order, j, i);
    else lower_put(L, order, NULL, e_int(a, -1), RED_NONE);
    lower_put(L, place, &i, e_cast(a, DT_INT64, e_lt(a, lower_get(L, order, NULL), zero)), RED_ADD);
    lower_ends(L, 2);
    /* results */
    Expr *p = lower_let(L, "p", lower_get(L, place, &i));
    lower_store(L, n, 1, &p, i);
    lower_put(L, seen, NULL, zero, RED_NONE);
    j = lower_loop_to(L, "j", all);
    lower_put(L, seen, NULL, e_cast(a, DT_INT64, e_eq(a, lower_get(L, first, &j), i)), RED_ADD);
    lower_end(L);
    lower_store(L, n, 3, &p, lower_get(L, seen, NULL));
    slice_loops(L, &s);
    Expr *v = slice_load(L, &s, i), *to[QN_MAX_RANK];
    memcpy(to, s.idx, sizeof to);
    to[s.axis < 0 ? 0 : s.axis] = p;
    lower_store(L, n, 0, to, v);
    lower_ends(L, s.inner);
    lower_ends(L, 2);
    i = lower_loop_to(L, "i", all);
    Expr *from = lower_let(L, "from", lower_get(L, first, &i));
    lower_store(L, n, 2, &i, lower_get(L, place, &from));
    lower_end(L);
    return true;
}

/* ---- NonMaxSuppression: boxes [N,B,4], scores [N,C,B], most per class, overlap and score thresholds */
static bool small_int(const Tensor *t, int64_t *v) {
    int64_t n;
    if (!t || !t->data || !type_elements(&t->type, &n) || n != 1) return false;
    *v = dtype_get_i(t->type.dt, t->data, 0);
    return true;
}
bool infer_nms(Infer *x) {
    const Type *b = &x->n->in[0]->type, *s = &x->n->in[1]->type;
    Graph *g = x->g;
    int64_t each, most, k;
    if (b->rank != 3 || s->rank != 3 || b->dim[2] != 4)
        return infer_error(x, "boxes are expected to be [batches, boxes, 4] and scores [batches, classes, boxes]");
    if (!infer_require(x, e_eq(g->a, type_extent(g, b, 0), type_extent(g, s, 0))) ||
        !infer_require(x, e_eq(g->a, type_extent(g, b, 1), type_extent(g, s, 2))))
        return infer_error(x, "boxes and scores have other numbers of batches or boxes");
    if (!infer_one(x, 2, "max_output_boxes_per_class") || !infer_one(x, 3, "iou_threshold") || !infer_one(x, 4, "score_threshold"))
        return false;
    each = b->dim[1];
    if (x->n->nin > 2 && small_int(x->n->in[2], &k)) each = max_i64(0, min_i64(each, k));
    else if (x->n->nin > 2 && x->n->in[2] && x->n->in[2]->has_max) each = min_i64(each, x->n->in[2]->max);
    if (x->n->nin <= 2 || !x->n->in[2]) each = 0;
    if (!mul_ok(s->dim[0], s->dim[1], &most) || !mul_ok(most, each, &most)) return infer_error(x, "there are too many boxes");
    Expr *n = infer_found(x, 1, most);
    return n && infer_extents(x, 0, DT_INT64, 2, (Expr *[]){n, e_int(g->a, 3)});
}
static Expr *scalar_of(Lower *L, Node *n, int i, Expr *def) {
    if (i >= n->nin || !n->in[i]) return def;
    Expr *zero[QN_MAX_RANK];
    for (int k = 0; k < QN_MAX_RANK; k++) zero[k] = e_int(L->a, 0);
    return lower_load(L, n, i, zero);
}
typedef struct Box {
    Expr *lo[2], *hi[2], *area;
} Box;
static Box box_of(Lower *L, Node *n, Expr *batch, Expr *i, bool centre) {
    Arena *a = L->a;
    Expr *v[4];
    Box b;
    for (int k = 0; k < 4; k++) v[k] = lower_let(L, "v", lower_load(L, n, 0, (Expr *[]){batch, i, e_int(a, k)}));
    for (int d = 0; d < 2; d++) {
        Expr *half = centre ? e_div(a, v[2 + d], e_lit(a, v[0]->t, 2)) : NULL;
        b.lo[d] = lower_let(L, "lo", centre ? e_sub(a, v[d], half) : e_min(a, v[d], v[2 + d]));
        b.hi[d] = lower_let(L, "hi", centre ? e_add(a, v[d], half) : e_max(a, v[d], v[2 + d]));
    }
    b.area = lower_let(L, "area", e_mul(a, e_sub(a, b.hi[0], b.lo[0]), e_sub(a, b.hi[1], b.lo[1])));
    return b;
}
bool lower_nms(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *b = &n->in[0]->type, *s = &n->in[1]->type;
    bool centre = attr_i(n, 0) != 0;
    DType t = dtype_compute(s->dt);
    int64_t boxes = b->dim[1];
    Expr *zero = e_int(a, 0), *one = e_int(a, 1), *N = lower_dim(L, b, 1), *state_one = e_lit_i(a, DT_INT8, 1);
    Expr *limit = lower_let(L, "limit", e_max(a, zero, e_min(a, e_cast(a, DT_INT64, scalar_of(L, n, 2, zero)), N)));
    limit = e_min(a, limit, N);
    Expr *overlap = lower_let(L, "overlap", scalar_of(L, n, 3, e_lit(a, DT_FLOAT32, 0)));
    Buf *gone = lower_temp(L, "gone", DT_INT8, 1, &boxes), *best = lower_temp(L, "best", t, 0, NULL),
        *at = lower_temp(L, "at", DT_INT64, 0, NULL);
    Buf *count = counter(L, "count");
    Expr *vn = lower_loop_to(L, "n", lower_dim(L, s, 0)), *vc = lower_loop_to(L, "c", lower_dim(L, s, 1));
    Expr *i = lower_loop_to(L, "i", N), *low = scalar_of(L, n, 4, NULL);
    Expr *score = lower_load(L, n, 1, (Expr *[]){vn, vc, i});
    Expr *out = low ? e_un(a, UN_NOT, e_lt(a, e_cast(a, t, low), score)) : e_lit_i(a, DT_BOOL, 0);
    lower_put(L, gone, &i, e_cast(a, DT_INT8, out), RED_NONE);
    lower_end(L);
    lower_loop_to(L, "k", limit);
    lower_put(L, at, NULL, e_int(a, -1), RED_NONE);
    lower_put(L, best, NULL, e_lower_bound(a, t), RED_NONE);
    i = lower_loop_to(L, "i", N);
    score = lower_let(L, "score", lower_load(L, n, 1, (Expr *[]){vn, vc, i}));
    Expr *better = e_bin(a, BIN_LOR, e_lt(a, lower_get(L, best, NULL), score), e_lt(a, lower_get(L, at, NULL), zero));
    lower_if(L, e_bin(a, BIN_LAND, e_eq(a, lower_get(L, gone, &i), e_lit_i(a, DT_INT8, 0)), better));
    lower_put(L, at, NULL, i, RED_NONE);
    lower_put(L, best, NULL, score, RED_NONE);
    lower_ends(L, 2);
    lower_if(L, e_le(a, zero, lower_get(L, at, NULL)));
    Expr *chosen = lower_let(L, "chosen", lower_get(L, at, NULL)), *row = lower_let(L, "row", lower_get(L, count, NULL));
    lower_store(L, n, 0, (Expr *[]){row, zero}, vn);
    lower_store(L, n, 0, (Expr *[]){row, one}, vc);
    lower_store(L, n, 0, (Expr *[]){row, e_int(a, 2)}, chosen);
    count_one(L, count);
    lower_put(L, gone, &chosen, state_one, RED_NONE);
    Box p = box_of(L, n, vn, chosen, centre);
    i = lower_loop_to(L, "i", N);
    lower_if(L, e_eq(a, lower_get(L, gone, &i), e_lit_i(a, DT_INT8, 0)));
    Box q = box_of(L, n, vn, i, centre);
    Expr *side[2], *none = e_lit(a, p.area->t, 0);
    for (int d = 0; d < 2; d++) side[d] = lower_let(L, "side", e_sub(a, e_min(a, p.hi[d], q.hi[d]), e_max(a, p.lo[d], q.lo[d])));
    Expr *inter = lower_let(L, "inter", e_mul(a, side[0], side[1]));
    Expr *both = lower_let(L, "both", e_sub(a, e_add(a, p.area, q.area), inter));
    Expr *real = e_bin(a, BIN_LAND, e_lt(a, none, side[0]), e_lt(a, none, side[1]));
    real =
        e_bin(a, BIN_LAND, real, e_bin(a, BIN_LAND, e_lt(a, none, p.area), e_bin(a, BIN_LAND, e_lt(a, none, q.area), e_lt(a, none, both))));
    lower_if(L, e_bin(a, BIN_LAND, real, e_lt(a, e_cast(a, p.area->t, overlap), e_div(a, inter, both))));
    lower_put(L, gone, &i, state_one, RED_NONE);
    lower_ends(L, 3 + 1 + 1 + 2);
    found(L, n, 1, count);
    return true;
}
