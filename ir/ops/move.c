/* SPDX-License-Identifier: Apache-2.0 */
/* move.c: ops that put elements elsewhere: transposes, slices, pads, tiles, blocks. Where possible an op is an index map, so that
 * it vanishes into its reader. Parameters that are not constant are read at run time and clamped: no index leaves its tensor.
 *
 *   Slice(x: float32[10], start 2, end 9, step 3)   ->   out[i] = x[2 + 3*i]
 */
#include "../extent.h"
#include <string.h>

static Expr *in_bounds(Lower *L, Expr *i, Expr *extent) { /* 0 <= i < extent */
    return e_bin(L->a, BIN_LAND, e_le(L->a, e_int(L->a, 0), i), e_lt(L->a, i, extent));
}
static Expr *clamp_to(Lower *L, Expr *i, Expr *extent) {
    return e_max(L->a, e_int(L->a, 0), e_min(L->a, i, e_sub(L->a, extent, e_int(L->a, 1))));
}
/* Element k of a 1-D (or 0-D) integer operand, as int64: a literal when it is constant. */
static Expr *int_at(Lower *L, Node *n, int input, int64_t k) {
    Tensor *t = n->in[input];
    int64_t count;
    const int64_t *v = const_i64s(L->a, t, &count);
    if (v) return e_int(L->a, v[k]);
    if (t->val) return lower_extent(L, t->val[k]->t == DT_INT64 ? t->val[k] : e_cast(L->a, DT_INT64, t->val[k]));
    Expr *i = e_int(L->a, k);
    return e_cast(L->a, DT_INT64, lower_load(L, n, input, &i));
}
/* The remainder with the sign of the divisor, for a positive one. */
static Expr *mod_up(Lower *L, Expr *i, Expr *n) { return e_mod(L->a, e_add(L->a, e_mod(L->a, i, n), n), n); }

/* ---- Transpose */
bool infer_transpose(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    const Attr *p = &x->n->attr[0];
    int64_t seen = 0;
    Expr *dim[QN_MAX_RANK];
    if (p->kind != ATTR_NONE && p->n != t->rank)
        return infer_error(x, "perm has %lld entries, but the input has rank %d", (long long)p->n, t->rank);
    for (int i = 0; i < t->rank; i++) {
        int axis = t->rank - 1 - i;
        if (p->kind != ATTR_NONE && (p->is[i] < 0 || p->is[i] >= t->rank))
            return infer_error(x, "perm names axis %lld; 0 to %d are expected", (long long)p->is[i], t->rank - 1);
        if (p->kind != ATTR_NONE) axis = (int)p->is[i];
        if (seen >> axis & 1) return infer_error(x, "perm names axis %d twice", axis);
        seen |= (int64_t)1 << axis;
        dim[i] = type_extent(x->g, t, axis);
    }
    if (!infer_extents(x, 0, t->dt, t->rank, dim)) return false;
    if (x->n->out[0]) x->n->out[0]->type.cap = t->cap;
    return true;
}
Expr *compute_transpose(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Expr *at[QN_MAX_RANK];
    int rank = n->in[0]->type.rank;
    for (int i = 0; i < rank; i++) { at[attr_has(n, 0) ? n->attr[0].is[i] : rank - 1 - i] = idx[i]; }
    return lower_load(L, n, 0, at);
}

/* ---- Concat: one nest per operand, so that nothing is tested per element */
bool infer_concat(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Expr *dim[QN_MAX_RANK];
    int axis;
    if (!infer_axis(x, attr_i(x->n, 0), t->rank, &axis)) return false;
    type_extents(x->g, t, dim);
    for (int i = 1; i < x->n->nin; i++) {
        if (!x->n->in[i]) return infer_error(x, "input %d is left out; it is required", i);
        const Type *u = &x->n->in[i]->type;
        bool same = u->rank == t->rank;
        for (int k = 0; same && k < t->rank; k++) same = k == axis || infer_require(x, e_eq(x->g->a, type_extent(x->g, u, k), dim[k]));
        if (!same) {
            Text s = {0};
            type_print(u, &s), text_puts(&s, ", but the first is "), type_print(t, &s);
            infer_error(x, "input %d is %s; only axis %d may differ", i, s.s, axis);
            text_free(&s);
            return false;
        }
        dim[axis] = extent_add(x->g, dim[axis], type_extent(x->g, u, axis));
    }
    return infer_extents(x, 0, t->dt, t->rank, dim);
}
bool lower_concat(Lower *L, Node *n) {
    int rank = n->out[0]->type.rank;
    int64_t axis = attr_i(n, 0) < 0 ? attr_i(n, 0) + rank : attr_i(n, 0);
    Expr *at = e_int(L->a, 0);
    for (int i = 0; i < n->nin; i++) {
        const Type *t = &n->in[i]->type;
        Expr *idx[QN_MAX_RANK], *to[QN_MAX_RANK];
        int64_t count;
        if (type_elements(t, &count) && count == 0) continue;
        lower_loops(L, NULL, t, idx);
        memcpy(to, idx, sizeof to);
        to[axis] = e_add(L->a, idx[axis], at);
        lower_store(L, n, 0, to, lower_load(L, n, i, idx));
        lower_ends(L, rank);
        at = e_add(L->a, at, lower_dim(L, t, (int)axis));
    }
    return true;
}

/* ---- Split */
enum { SPLIT_AXIS, SPLIT_PARTS };
bool infer_split(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type;
    Graph *g = x->g;
    Arena *a = g->a;
    Expr **v, *dim[QN_MAX_RANK], *whole, *sum = e_int(a, 0);
    int64_t count, parts = attr_has(n, SPLIT_PARTS) ? attr_i(n, SPLIT_PARTS) : n->nout, p, total;
    int axis;
    if (!infer_axis(x, attr_i(n, SPLIT_AXIS), t->rank, &axis) || !infer_values(x, 1, &v, &count)) return false;
    if (v && count != n->nout) return infer_error(x, "split has %lld entries, but there are %d outputs", (long long)count, n->nout);
    if (!v && (parts < 1 || parts < n->nout))
        return infer_error(x, "num_outputs is %lld, but there are %d outputs", (long long)parts, n->nout);
    type_extents(g, t, dim);
    whole = dim[axis];
    parts = min_i64(parts, max_i64(t->dim[axis], max_i64(n->nout, 1))); /* more make no smaller ones */
    Expr *each = v ? NULL : extent_floor_div(g, extent_add(g, whole, e_int(a, parts - 1)), parts);
    for (int i = 0; i < n->nout; i++) {
        Expr *part = v ? v[i] /* the last one may be smaller */
                       : extent_simplify(g, e_max(a, e_int(a, 0), e_min(a, each, e_sub(a, whole, e_mul(a, each, e_int(a, i))))));
        if (e_is_int(part, &p) && e_is_int(sum, &total) && (p < 0 || !add_ok(total, p, &total) || total > t->dim[axis]))
            return infer_error(x, "the parts add up to more than the extent %lld of axis %d", (long long)t->dim[axis], axis);
        if (v) part = infer_bounded(x, part, 0, t->dim[axis], n->out[i] ? n->out[i]->name : "part", false);
        sum = extent_add(g, sum, part);
        dim[axis] = part;
        if (!infer_extents(x, i, t->dt, t->rank, dim)) return false;
    }
    if (v && !infer_require(x, e_eq(a, sum, whole)))
        return infer_error(x, "the parts do not add up to the extent of axis %d, which is %lld", axis, (long long)t->dim[axis]);
    return true;
}
Expr *compute_split(Lower *L, Node *n, int out, Expr *const *idx) {
    const Type *t = &n->in[0]->type;
    int64_t axis = attr_i(n, SPLIT_AXIS), parts = attr_has(n, SPLIT_PARTS) ? attr_i(n, SPLIT_PARTS) : n->nout;
    if (axis < 0) axis += t->rank;
    parts = min_i64(parts, max_i64(t->dim[axis], max_i64(n->nout, 1)));
    Expr *at[QN_MAX_RANK], *from = e_int(L->a, 0), *whole = lower_dim(L, t, (int)axis);
    Expr *each = e_div(L->a, e_add(L->a, whole, e_int(L->a, parts - 1)), e_int(L->a, parts));
    for (int i = 0; i < out; i++) from = e_add(L->a, from, n->nin > 1 && n->in[1] ? int_at(L, n, 1, i) : each);
    memcpy(at, idx, sizeof(Expr *) * (size_t)t->rank);
    at[axis] = e_add(L->a, idx[axis], from);
    if (n->nin > 1 && n->in[1] && !n->in[1]->data) at[axis] = clamp_to(L, at[axis], whole);
    return lower_load(L, n, 0, at);
}

/* ---- Slice: data, starts, ends, axes, steps */
static int64_t operand_count(const Node *n, int i) {
    if (i >= n->nin || !n->in[i]) return -1;
    return n->in[i]->type.rank == 0 ? 1 : n->in[i]->type.dim[0];
}
/* Start, step and number of elements of one axis of extent d, as ONNX says: negative ones count from the end, then all is clamped. */
static Expr *slice_wrap(Arena *a, Expr *v, Expr *d) { return e_select(a, e_lt(a, v, e_int(a, 0)), e_add(a, v, d), v); }
static Expr *slice_from(Arena *a, Expr *s, Expr *d, Expr *step) {
    Expr *zero = e_int(a, 0), *back = e_lt(a, step, zero);
    Expr *top = e_select(a, back, e_sub(a, d, e_int(a, 1)), d);
    return e_max(a, zero, e_min(a, slice_wrap(a, s, d), top));
}
static Expr *slice_count(Arena *a, Expr *s, Expr *e, Expr *d, Expr *step) {
    Expr *zero = e_int(a, 0), *one = e_int(a, 1), *from = slice_from(a, s, d, step);
    e = slice_wrap(a, e, d);
    Expr *up = e_sub(a, e_min(a, e_max(a, e, zero), d), from);
    Expr *down = e_sub(a, from, e_max(a, e_min(a, e, e_sub(a, d, one)), e_int(a, -1)));
    Expr *forward = e_lt(a, zero, step), *span = e_select(a, forward, up, down);
    Expr *size = e_max(a, one, e_select(a, forward, step, e_sub(a, zero, step)));
    Expr *n = e_div(a, e_add(a, e_max(a, span, zero), e_sub(a, size, one)), size);
    return e_max(a, zero, e_min(a, n, d)); /* never more than there are, which bounds it whatever the numbers are */
}
bool infer_slice(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Arena *a = x->g->a;
    Expr **v[5] = {NULL}, *dim[QN_MAX_RANK];
    int64_t c[5], seen = 0, k, n = operand_count(x->n, 1);
    for (int i = 2; i < 5; i++)
        if (operand_count(x->n, i) >= 0 && operand_count(x->n, i) != n)
            return infer_error(x, "input %d has %lld entries, but starts has %lld", i, (long long)operand_count(x->n, i), (long long)n);
    if (n > t->rank) return infer_error(x, "%lld axes are sliced, but the input has rank %d", (long long)n, t->rank);
    for (int i = 1; i < 5; i++)
        if (!infer_values(x, i, &v[i], &c[i])) return false;
    type_extents(x->g, t, dim);
    for (int64_t i = 0; i < n; i++) {
        int axis = (int)i;
        Expr *step = v[4] ? v[4][i] : e_int(a, 1);
        if (e_is_int(step, &k) && k == 0) return infer_error(x, "the step of axis %d is 0", axis);
        if (v[3] && !e_is_int(v[3][i], &k)) { /* which axis it is shows at run time */
            for (int r = 0; r < t->rank; r++) {
                Expr *d = type_extent(x->g, t, r),
                     *here = e_bin(a, BIN_LOR, e_eq(a, v[3][i], e_int(a, r)), e_eq(a, v[3][i], e_int(a, r - t->rank)));
                dim[r] = extent_simplify(x->g, e_min(a, d, e_select(a, here, slice_count(a, v[1][i], v[2][i], d, step), dim[r])));
            }
            continue;
        }
        if (v[3] && !infer_axis(x, k, t->rank, &axis)) return false;
        if (seen >> axis & 1) return infer_error(x, "axis %d is given twice", axis);
        seen |= (int64_t)1 << axis;
        Expr *d = type_extent(x->g, t, axis);
        int64_t cs, ce, cd, ct;
        if (e_is_int(v[1][i], &cs) && e_is_int(v[2][i], &ce) && e_is_int(d, &cd) && e_is_int(step, &ct)) {
            if (cs < 0) cs = cs < -cd ? -1 : cs + cd;
            if (ce < 0) ce = ce < -cd ? -1 : ce + cd;
            if (ct > 0) {
                cs = max_i64(0, min_i64(cs, cd)), ce = max_i64(0, min_i64(ce, cd));
                dim[axis] = e_int(a, ce > cs ? (ce - cs - 1) / ct + 1 : 0);
            } else {
                cs = max_i64(0, min_i64(cs, cd - 1)), ce = max_i64(-1, min_i64(ce, cd - 1));
                dim[axis] = e_int(a, cd > 0 && cs > ce ? (int64_t)((uint64_t)(cs - ce - 1) / (0 - (uint64_t)ct)) + 1 : 0);
            }
        } else { /* numbers beyond every extent, which stand for an end, stay clear of overflow */
            Expr *big = e_int(a, EXTENT_MOST), *small = e_int(a, -EXTENT_MOST);
            Expr *s = e_max(a, small, e_min(a, v[1][i], big)), *e = e_max(a, small, e_min(a, v[2][i], big));
            dim[axis] = extent_simplify(x->g, slice_count(a, s, e, d, e_max(a, small, e_min(a, step, big))));
        }
    }
    if (!infer_extents(x, 0, t->dt, t->rank, dim)) return false;
    if (x->n->out[0] && x->n->out[0]->type.ext) x->n->out[0]->type.cap = t->cap;
    return true;
}
Expr *compute_slice(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    int64_t count = operand_count(n, 1), nax = 0;
    bool has_axes = n->nin > 3 && n->in[3], has_steps = n->nin > 4 && n->in[4], known = n->in[1]->data && (!has_steps || n->in[4]->data);
    const int64_t *axes = has_axes ? const_i64s(a, n->in[3], &nax) : NULL;
    Expr *at[QN_MAX_RANK];
    (void)out;
    for (int k = 0; k < t->rank; k++) at[k] = idx[k];
    for (int64_t j = 0; j < count; j++) {
        Expr *step = has_steps ? int_at(L, n, 4, j) : e_int(a, 1);
        for (int k = 0; k < t->rank; k++) {
            if (!has_axes ? k != j : axes && k != (axes[j] < 0 ? axes[j] + t->rank : axes[j])) continue;
            Expr *d = lower_dim(L, t, k);
            Expr *i = e_add(a, slice_from(a, int_at(L, n, 1, j), d, step), e_mul(a, idx[k], step));
            if (!known || (has_axes && !axes)) i = clamp_to(L, i, d);
            if (has_axes && !axes) { /* which axis it is shows at run time */
                Expr *ax = int_at(L, n, 3, j);
                Expr *here = e_bin(a, BIN_LOR, e_eq(a, ax, e_int(a, k)), e_eq(a, ax, e_int(a, k - t->rank)));
                i = e_select(a, here, i, at[k]);
            }
            at[k] = i;
        }
    }
    return lower_load(L, n, 0, at);
}

/* ---- Pad: data, pads, value, axes */
static const char *const pad_modes[] = {"constant", "reflect", "edge", "wrap"};
static int pad_mode(const Node *n) {
    for (int i = 0; i < 4; i++)
        if (strcmp(attr_s(n, 0), pad_modes[i]) == 0) return i;
    return -1;
}
bool infer_pad(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Arena *a = x->g->a;
    Expr **p, **axes, *dim[QN_MAX_RANK];
    int64_t np, na, seen = 0;
    if (pad_mode(x->n) < 0) return infer_error(x, "mode is '%s'; constant, reflect, edge or wrap is expected", attr_s(x->n, 0));
    int64_t n = operand_count(x->n, 3) >= 0 ? operand_count(x->n, 3) : t->rank;
    if (operand_count(x->n, 1) != 2 * n)
        return infer_error(x, "pads has %lld entries; %lld are expected: a begin and an end per axis", (long long)operand_count(x->n, 1),
                           (long long)(2 * n));
    if (n > t->rank) return infer_error(x, "%lld axes are given, but the input has rank %d", (long long)n, t->rank);
    if (!infer_values(x, 1, &p, &np) || !infer_values(x, 3, &axes, &na)) return false;
    type_extents(x->g, t, dim);
    for (int64_t i = 0; i < n; i++) {
        Expr *both = e_add(a, p[i], p[n + i]);
        int axis = (int)i;
        int64_t k, b, e;
        if (axes && !e_is_int(axes[i], &k)) { /* which axis it is shows at run time */
            for (int r = 0; r < t->rank; r++) {
                Expr *here = e_bin(a, BIN_LOR, e_eq(a, axes[i], e_int(a, r)), e_eq(a, axes[i], e_int(a, r - t->rank)));
                dim[r] = e_add(a, dim[r], e_select(a, here, both, e_int(a, 0)));
            }
            continue;
        }
        if (axes && !infer_axis(x, k, t->rank, &axis)) return false;
        if (seen >> axis & 1) return infer_error(x, "axis %d is given twice", axis);
        seen |= (int64_t)1 << axis;
        if (e_is_int(p[i], &b) && e_is_int(p[n + i], &e) && !t->ext && (!add_ok(t->dim[axis], b, &b) || !add_ok(b, e, &b)))
            return infer_error(x, "the pads of axis %d overflow", axis);
        dim[axis] = extent_add(x->g, dim[axis], both);
        if (pad_mode(x->n) && !infer_some(x, type_extent(x->g, t, axis), dim[axis]))
            return infer_error(x, "axis %d has no elements to repeat", axis);
    }
    return infer_extents(x, 0, t->dt, t->rank, dim);
}
/* Begin and end padding of an axis, 0 where none is given. */
static void pads_of(Lower *L, Node *n, int axis, Expr **begin, Expr **end) {
    Arena *a = L->a;
    int rank = n->in[0]->type.rank;
    int64_t nax, count = operand_count(n, 1) / 2;
    bool has_axes = n->nin > 3 && n->in[3];
    const int64_t *axes = has_axes ? const_i64s(a, n->in[3], &nax) : NULL;
    *begin = *end = e_int(a, 0);
    for (int64_t j = 0; j < count; j++) {
        if (!has_axes ? axis != j : axes && axis != (axes[j] < 0 ? axes[j] + rank : axes[j])) continue;
        Expr *b = int_at(L, n, 1, j), *e = int_at(L, n, 1, count + j);
        if (has_axes && !axes) {
            Expr *ax = int_at(L, n, 3, j);
            Expr *here = e_bin(a, BIN_LOR, e_eq(a, ax, e_int(a, axis)), e_eq(a, ax, e_int(a, axis - rank)));
            b = e_select(a, here, b, *begin), e = e_select(a, here, e, *end);
        }
        *begin = b, *end = e;
    }
}
/* Position i (which may lie outside) brought into axis k of t. */
static Expr *pad_index(Lower *L, int mode, Expr *i, const Type *t, int k, Expr *begin, Expr *end) {
    Arena *a = L->a;
    Expr *one = e_int(a, 1), *d = lower_dim(L, t, k);
    if (mode == 2) return clamp_to(L, i, d);
    if (mode == 3) return mod_up(L, i, d);
    int64_t b, e, c, most;
    bool known = e_is_int(d, &c);
    if (known && c == 1) return e_int(a, 0);
    if (!known && !extent_bounds(L->g, type_extent(L->g, t, k), &c, &most)) c = 0; /* at least that long */
    Expr *top = e_sub(a, d, one);
    if (!e_is_int(begin, &b) || !e_is_int(end, &e) || b >= c || e >= c) { /* back and forth; a division only where it is needed */
        Expr *period = known ? e_int(a, 2 * (c - 1)) : e_max(a, one, e_mul(a, e_int(a, 2), top));
        Expr *near = e_bin(a, BIN_LAND, e_le(a, e_un(a, UN_NEG, top), i), e_le(a, i, e_mul(a, e_int(a, 2), top)));
        i = e_select(a, near, i, mod_up(L, i, period));
    }
    i = e_un(a, UN_ABS, i);
    return e_sub(a, top, e_un(a, UN_ABS, e_sub(a, top, i)));
}
Expr *compute_pad(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    int mode = pad_mode(n);
    Expr *at[QN_MAX_RANK], *inside = e_lit_i(a, DT_BOOL, 1), *zero[QN_MAX_RANK];
    int64_t b, e, count;
    for (int k = 0; k < t->rank; k++) {
        Expr *begin, *end;
        pads_of(L, n, k, &begin, &end);
        at[k] = e_sub(a, idx[k], begin);
        bool fixed = e_is_int(begin, &b) && e_is_int(end, &e);
        if (fixed && b <= 0 && e <= 0) continue;
        if (mode) at[k] = pad_index(L, mode, at[k], t, k, begin, end);
        else if (fixed && b <= 0) /* one comparison where only one end can be left */
            inside = e_bin(a, BIN_LAND, inside, e_lt(a, at[k], lower_dim(L, t, k)));
        else if (fixed && e <= 0) inside = e_bin(a, BIN_LAND, inside, e_le(a, e_int(a, 0), at[k]));
        else inside = e_bin(a, BIN_LAND, inside, in_bounds(L, at[k], lower_dim(L, t, k)));
    }
    DType ct = dtype_compute(o->dt);
    for (int k = 0; k < QN_MAX_RANK; k++) zero[k] = e_int(a, 0);
    Expr *fill = !mode && n->nin > 2 && n->in[2] ? lower_load(L, n, 2, zero) : e_lit(a, ct, 0);
    if (type_elements(t, &count) && count == 0) return fill;
    return e_select(a, inside, lower_load(L, n, 0, at), fill);
}

/* ---- Tile */
bool infer_tile(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Expr **v, *e[QN_MAX_RANK];
    int64_t n, k;
    if (operand_count(x->n, 1) != t->rank)
        return infer_error(x, "repeats has %lld entries, but the input has rank %d", (long long)operand_count(x->n, 1), t->rank);
    if (!infer_values(x, 1, &v, &n)) return false;
    for (int i = 0; i < t->rank; i++) {
        if (e_is_int(v[i], &k) && (k < 0 || !mul_ok(t->dim[i], k, &k)))
            return infer_error(x, "repeats has a number that does not fit, for axis %d", i);
        e[i] = extent_mul(x->g, type_extent(x->g, t, i), v[i]);
    }
    return infer_extents(x, 0, t->dt, t->rank, e);
}
Expr *compute_tile(Lower *L, Node *n, int out, Expr *const *idx) {
    const Type *t = &n->in[0]->type, *o = &n->out[out]->type;
    Expr *at[QN_MAX_RANK];
    for (int k = 0; k < t->rank; k++)
        at[k] = extent_same(t, k, o, k) ? idx[k] : e_mod(L->a, idx[k], e_max(L->a, e_int(L->a, 1), lower_dim(L, t, k)));
    return lower_load(L, n, 0, at);
}

/* ---- DepthToSpace, SpaceToDepth */
bool infer_depth_to_space(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t b = attr_i(x->n, 0), dim[4];
    const char *mode = attr_s(x->n, 1);
    if (t->rank != 4) return infer_error(x, "the input has rank %d; 4 is expected", t->rank);
    if (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0) return infer_error(x, "mode is '%s'; DCR or CRD is expected", mode);
    if (b <= 0 || b > INT32_MAX || t->dim[1] % (b * b))
        return infer_error(x, "the %lld channels are not a multiple of blocksize %lld squared", (long long)t->dim[1], (long long)b);
    if (t->ext && t->ext[1]) return infer_error(x, "the channels are known at run time only; fix axis 1 with --dim");
    if (!mul_ok(t->dim[2], b, &dim[2]) || !mul_ok(t->dim[3], b, &dim[3])) return infer_error(x, "the output's extents overflow");
    Expr *e[4], *k = e_int(x->g->a, b);
    type_extents(x->g, t, e);
    e[1] = e_int(x->g->a, t->dim[1] / (b * b)), e[2] = extent_mul(x->g, e[2], k), e[3] = extent_mul(x->g, e[3], k);
    return infer_extents(x, 0, t->dt, 4, e);
}
Expr *compute_depth_to_space(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    Expr *b = e_int(a, attr_i(n, 0)), *dy = e_mod(a, idx[2], b), *dx = e_mod(a, idx[3], b);
    Expr *depth = e_int(a, n->out[out]->type.dim[1]), *block = e_add(a, e_mul(a, dy, b), dx), *c;
    if (strcmp(attr_s(n, 1), "DCR") == 0) c = e_add(a, e_mul(a, block, depth), idx[1]);
    else c = e_add(a, e_mul(a, idx[1], e_mul(a, b, b)), block);
    return lower_load(L, n, 0, (Expr *[]){idx[0], c, e_div(a, idx[2], b), e_div(a, idx[3], b)});
}
bool infer_space_to_depth(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t b = attr_i(x->n, 0), depth;
    if (t->rank != 4) return infer_error(x, "the input has rank %d; 4 is expected", t->rank);
    if (t->ext && t->ext[1]) return infer_error(x, "the channels are known at run time only; fix axis 1 with --dim");
    Expr *e[4], *zero = e_int(x->g->a, 0), *k = e_int(x->g->a, b);
    type_extents(x->g, t, e);
    if (b <= 0 || b > INT32_MAX || !infer_require(x, e_eq(x->g->a, e_mod(x->g->a, e[2], k), zero)) ||
        !infer_require(x, e_eq(x->g->a, e_mod(x->g->a, e[3], k), zero)))
        return infer_error(x, "height %lld or width %lld is not a multiple of blocksize %lld", (long long)t->dim[2], (long long)t->dim[3],
                           (long long)b);
    if (!mul_ok(t->dim[1], b * b, &depth)) return infer_error(x, "the output's channels overflow");
    e[1] = e_int(x->g->a, depth), e[2] = extent_floor_div(x->g, e[2], b), e[3] = extent_floor_div(x->g, e[3], b);
    return infer_extents(x, 0, t->dt, 4, e);
}
Expr *compute_space_to_depth(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    Expr *b = e_int(a, attr_i(n, 0)), *c = e_int(a, n->in[0]->type.dim[1]), *block = e_div(a, idx[1], c);
    Expr *y = e_add(a, e_mul(a, idx[2], b), e_div(a, block, b)), *x = e_add(a, e_mul(a, idx[3], b), e_mod(a, block, b));
    return lower_load(L, n, 0, (Expr *[]){idx[0], e_mod(a, idx[1], c), y, x});
}

/* ---- Trilu */
bool infer_trilu(Infer *x) {
    int64_t count;
    if (x->n->in[0]->type.rank < 2) return infer_error(x, "the input has rank %d; at least 2 is expected", x->n->in[0]->type.rank);
    if (x->n->nin > 1 && x->n->in[1] && (!type_elements(&x->n->in[1]->type, &count) || count != 1))
        return infer_error(x, "input 1 '%s' is expected to have one element", x->n->in[1]->name);
    return infer_same(x);
}
Expr *compute_trilu(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    const Type *t = &n->out[out]->type;
    Expr *k = n->nin > 1 && n->in[1] ? int_at(L, n, 1, 0) : e_int(a, 0), *diagonal = e_add(a, idx[t->rank - 2], k);
    Expr *keep = attr_i(n, 0) ? e_le(a, diagonal, idx[t->rank - 1]) : e_le(a, idx[t->rank - 1], diagonal);
    return e_select(a, keep, lower_load(L, n, 0, idx), e_lit(a, dtype_compute(t->dt), 0));
}

/* ---- ReverseSequence */
enum { REV_BATCH, REV_TIME };
bool infer_reverse_sequence(Infer *x) {
    const Type *t = &x->n->in[0]->type, *len = &x->n->in[1]->type;
    int batch, time;
    if (!infer_axis(x, attr_i(x->n, REV_BATCH), t->rank, &batch) || !infer_axis(x, attr_i(x->n, REV_TIME), t->rank, &time)) return false;
    if (batch == time) return infer_error(x, "batch_axis and time_axis are both %d", batch);
    if (len->rank != 1 || !infer_same_extent(x, type_extent(x->g, len, 0), type_extent(x->g, t, batch)))
        return infer_error(x, "sequence_lens is expected to have one axis of %lld", (long long)t->dim[batch]);
    return infer_same(x);
}
Expr *compute_reverse_sequence(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    int rank = n->in[0]->type.rank;
    int64_t batch = attr_i(n, REV_BATCH), time = attr_i(n, REV_TIME);
    if (batch < 0) batch += rank;
    if (time < 0) time += rank;
    Expr *at[QN_MAX_RANK], *t = idx[time];
    memcpy(at, idx, sizeof(Expr *) * (size_t)rank);
    Expr *len = e_min(a, e_cast(a, DT_INT64, lower_load(L, n, 1, &idx[batch])), lower_dim(L, &n->in[0]->type, (int)time));
    at[time] = e_select(a, e_lt(a, t, len), e_sub(a, e_sub(a, len, e_int(a, 1)), t), t);
    return lower_load(L, n, 0, at);
}

/* ---- CenterCropPad */
bool infer_center_crop_pad(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    const Attr *axes = &x->n->attr[0];
    Expr **v, *e[QN_MAX_RANK];
    int64_t n;
    if (!infer_values(x, 1, &v, &n)) return false;
    if (n != (axes->kind == ATTR_NONE ? t->rank : axes->n))
        return infer_error(x, "the shape has %lld entries; one per axis is expected", (long long)n);
    type_extents(x->g, t, e);
    for (int64_t i = 0; i < n; i++) {
        int axis = (int)i;
        if (axes->kind != ATTR_NONE && !infer_axis(x, axes->is[i], t->rank, &axis)) return false;
        e[axis] = v[i];
    }
    return infer_extents(x, 0, t->dt, t->rank, e);
}
Expr *compute_center_crop_pad(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[out]->type;
    Expr *at[QN_MAX_RANK], *inside = e_lit_i(a, DT_BOOL, 1);
    for (int k = 0; k < t->rank; k++) {
        Expr *more = e_sub(a, lower_dim(L, o, k), lower_dim(L, t, k));
        int64_t known;
        at[k] = e_sub(a, idx[k], e_div(a, more, e_int(a, 2)));
        if (!e_is_int(more, &known) || known > 0) inside = e_bin(a, BIN_LAND, inside, in_bounds(L, at[k], lower_dim(L, t, k)));
    }
    return e_select(a, inside, lower_load(L, n, 0, at), e_lit(a, dtype_compute(o->dt), 0));
}
