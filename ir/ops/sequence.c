/* SPDX-License-Identifier: Apache-2.0 */
/* sequence.c: operators on sequences and optionals. They say which tensors a list has and where they come from; only a place or a
 * length that is known at run time costs anything: elements that may be in it are chosen by Select.
 *
 *   t = SequenceInsert(List(a, b), x, 1)   --->   t = List(a, x, b)
 *   t = SequenceInsert(List(a, b), x, p)   --->   t = List(Select(p == 0, x, a), Select(p == 1, x, Select(p < 1, a, b)), Select(p == 2, x,
 * b))
 */
#include "../list.h"
#include "rewrite.h"
#include <string.h>

typedef struct Seq { /* a rewrite at work */
    Ctx *c;
    R r;
    Infer x;
    List s;    /* its first operand */
    Expr *len; /* of s */
} Seq;
static bool seq_error(const Seq *q, const char *what) {
    Text t = {0};
    const Tensor *in = q->r.n->nin ? q->r.n->in[0] : NULL;
    if (in) type_print(&in->type, &t);
    diag_error(q->c->d, q->r.n->loc, "input 0 '%s' is %s; %s is expected", in ? in->name : "", t.s ? t.s : "left out", what);
    text_free(&t);
    return false;
}
static bool seq_begin(Seq *q, Ctx *c, Graph *g, Node *n) {
    *q = (Seq){.c = c, .r = {g, n}, .x = {c, g, n}};
    if (!list_of(r_in(q->r, 0), &q->s) || q->s.kind != WRAP_SEQUENCE || q->s.rows) return seq_error(q, "a sequence of tensors");
    q->len = q->s.length ? infer_value_of(&q->x, q->s.length, 0) : e_int(g->a, q->s.n);
    if (q->len->t != DT_INT64) q->len = e_cast(g->a, DT_INT64, q->len);
    if (!q->s.length) q->s.lo = q->s.n;
    return true;
}
static Tensor *seq_list(Seq *q, int n, Tensor **v, int64_t lo, Tensor *length) {
    List l = {.kind = WRAP_SEQUENCE, .dt = q->s.dt, .n = n, .v = v, .lo = lo, .length = length};
    return list_new(q->r.g, q->r.n, &l);
}
static bool too_long(const Seq *q, int64_t n) {
    return n > LIST_MOST &&
           !diag_error(q->c->d, q->r.n->loc, "the sequence may have %lld elements; at most %d are supported", (long long)n, LIST_MOST);
}
static Tensor *i64(Seq *q, int64_t v) { return tensor_i64s(q->r.g, &v, -1); }
static Tensor *plus(Seq *q, Tensor *t, int64_t v) {
    int64_t n;
    const int64_t *k = const_i64s(q->c->a, t, &n);
    return k && n == 1 ? i64(q, k[0] + v) : r_op2(q->r, "Add", t, i64(q, v));
}
static Tensor *choose(Seq *q, Tensor *cond, Tensor *a, Tensor *b) {
    if (a == b) return a;
    Node *s = node_new(q->r.g, op_find("quern", "Select"), q->r.n, q->r.n->loc, 3, (Tensor *[]){cond, a, b}, 1);
    node_set_out(s, 0, tensor_new(q->r.g, NULL, DT_NONE, -1, NULL));
    return s->out[0];
}
/* A relation that has to hold where the node's result is used. */
static bool demand(Seq *q, Expr *ok, const char *what) {
    Graph *g = q->r.g;
    ok = extent_simplify(g, ok);
    if (ok->k == E_INT && ok->u.i) return true;
    if (ok->k == E_INT && !infer_when(&q->x)) return false;
    infer_bounded(&q->x, e_select(g->a, ok, e_int(g->a, 0), e_int(g->a, 1)), 0, 0, what, false);
    return true;
}

/* ---- places */
typedef struct Place {
    bool known;
    int64_t k; /* known: from the front */
    Tensor *t; /* else: an int64 scalar, from the front; inside where its check passed */
    int64_t lo, hi;
} Place;
/* Operand i as a place among `n` (Expr) = `most` (at most) elements; `end`: the place behind the last one is one too. */
static bool place_of(Seq *q, int i, bool end, Place *p) {
    Graph *g = q->r.g;
    Arena *a = g->a;
    Tensor *t = r_in(q->r, i);
    Expr **v;
    int64_t count, k, most = q->s.n + end;
    *p = (Place){0};
    if (!t) { /* at the end */
        Expr *at = end ? q->len : extent_simplify(g, e_sub(a, q->len, e_int(a, 1)));
        p->known = !q->s.length, p->k = q->s.n - !end;
        p->t = p->known ? NULL : end ? q->s.length : plus(q, q->s.length, -1);
        p->lo = max_i64(q->s.lo - !end, 0), p->hi = most - 1;
        return (p->known ? p->k >= 0 : demand(q, e_le(a, e_int(a, 0), at), "position")) ||
               diag_error(q->c->d, q->r.n->loc, "the sequence is empty; there is nothing to take out");
    }
    if (!type_elements(&t->type, &count) || count != 1 || t->type.rank > 1)
        return diag_error(q->c->d, q->r.n->loc, "the position is expected to be one integer");
    if (!infer_values(&q->x, i, &v, &count)) return false;
    Expr *e = extent_simplify(g, v[0]), *n = end ? extent_simplify(g, e_add(a, q->len, e_int(a, 1))) : q->len;
    /* places from the end count to the last element; -0 is 0 */
    Expr *in = e_bin(a, BIN_LAND, e_le(a, e_sub(a, e_int(a, 0), q->len), e), e_lt(a, e, n));
    if (!demand(q, in, "position")) {
        Text s = {0};
        expr_print(e, &s);
        diag_error(q->c->d, q->r.n->loc, "position %s is outside of a sequence of %d elements", s.s, q->s.n);
        text_free(&s);
        return false;
    }
    if (e_is_int(e, &k) && (k >= 0 || !q->s.length)) {
        p->known = true, p->k = k < 0 ? k + q->s.n : k;
        if (p->k >= 0 && p->k < most) return true;
        p->k = 0; /* never used: its iteration does not run */
        return q->s.n > 0 || diag_error(q->c->d, q->r.n->loc, "the sequence is empty");
    }
    int64_t lo, hi;
    if (!extent_bounds(g, e, &lo, &hi)) lo = INT64_MIN, hi = INT64_MAX;
    Tensor *flat = r_cast(q->r, r_reshape(q->r, t, 0, NULL), DT_INT64), *length = list_length(g, &q->s);
    p->t = lo >= 0 ? flat : r_op3(q->r, "Where", r_op2(q->r, "Less", flat, i64(q, 0)), r_op2(q->r, "Add", flat, length), flat);
    p->lo = lo >= 0 ? min_i64(lo, most - 1) : 0, p->hi = lo >= 0 ? min_i64(hi, most - 1) : most - 1;
    return q->s.n > 0 || end || diag_error(q->c->d, q->r.n->loc, "the sequence is empty; there is nothing to take out");
}
static Tensor *is_place(Seq *q, const Place *p, int64_t i) { return r_op2(q->r, "Equal", p->t, i64(q, i)); }
static Tensor *before_place(Seq *q, const Place *p, int64_t i) { return r_op2(q->r, "Less", i64(q, i), p->t); } /* i < p */

/* ---- making */
bool rewrite_sequence_construct(Ctx *c, Graph *g, Node *n) {
    List l = {.kind = WRAP_SEQUENCE, .dt = n->in[0]->type.dt, .n = n->nin, .v = n->in};
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]->type.wrap || n->in[i]->type.dt != l.dt)
            return diag_error(c->d, n->loc, "input %d '%s' is not of element type %s, as input 0 is", i, n->in[i]->name, dtype_name(l.dt));
    if (n->nin > LIST_MOST) return diag_error(c->d, n->loc, "%d elements; at most %d are supported", n->nin, LIST_MOST);
    tensor_replace(g, n->out[0], list_new(g, n, &l), true);
    return true;
}
bool rewrite_sequence_empty(Ctx *c, Graph *g, Node *n) {
    int64_t dt = attr_i(n, 0);
    if (!dtype_valid((int)dt)) return diag_error(c->d, n->loc, "dtype %lld is unknown", (long long)dt);
    List l = {.kind = WRAP_SEQUENCE, .dt = (DType)dt};
    tensor_replace(g, n->out[0], list_new(g, n, &l), true);
    return true;
}
bool rewrite_sequence_insert(Ctx *c, Graph *g, Node *n) {
    Seq q;
    Place p;
    if (!seq_begin(&q, c, g, n) || !place_of(&q, 2, true, &p)) return false;
    Tensor *x = n->in[1], **v = NEW_ARRAY(g->a, Tensor *, q.s.n + 2);
    if (x->type.wrap || (q.s.dt && x->type.dt != q.s.dt))
        return diag_error(c->d, n->loc, "input 1 '%s' is %s; the sequence holds %s", x->name,
                          x->type.wrap ? "no tensor" : dtype_name(x->type.dt), dtype_name(q.s.dt));
    q.s.dt = x->type.dt;
    if (too_long(&q, q.s.n + 1)) return false;
    for (int i = 0; i <= q.s.n; i++) {
        Tensor *left = i > 0 ? q.s.v[i - 1] : NULL, *same = i < q.s.n ? q.s.v[i] : NULL;
        if (p.known) {
            v[i] = i < p.k ? same : i == p.k ? x : left;
            continue;
        }
        bool may_be = i >= p.lo && i <= p.hi, may_left = i > p.lo && left, may_same = i < p.hi && same;
        if (!n->nin || !r_in(q.r, 2)) may_left = false; /* at the end: nothing moves */
        Tensor *other = may_left && may_same ? choose(&q, before_place(&q, &p, i), same, left) : may_left ? left : same;
        v[i] = may_be && other ? choose(&q, is_place(&q, &p, i), x, other) : may_be || !other ? x : other;
    }
    tensor_replace(g, n->out[0], seq_list(&q, q.s.n + 1, v, q.s.lo + 1, q.s.length ? plus(&q, q.s.length, 1) : NULL), true);
    return true;
}
bool rewrite_sequence_erase(Ctx *c, Graph *g, Node *n) {
    Seq q;
    Place p;
    if (!seq_begin(&q, c, g, n) || !place_of(&q, 1, false, &p)) return false;
    Tensor **v = NEW_ARRAY(g->a, Tensor *, q.s.n + 1);
    for (int i = 0; i + 1 < q.s.n; i++) {
        if (p.known) v[i] = q.s.v[i < p.k ? i : i + 1];
        else if (!r_in(q.r, 1) || i < p.lo) v[i] = q.s.v[i];
        else if (i >= p.hi) v[i] = q.s.v[i + 1];
        else v[i] = choose(&q, before_place(&q, &p, i), q.s.v[i], q.s.v[i + 1]);
    }
    tensor_replace(g, n->out[0], seq_list(&q, q.s.n - 1, v, max_i64(q.s.lo - 1, 0), q.s.length ? plus(&q, q.s.length, -1) : NULL), true);
    return true;
}

/* ---- taking apart */
static Tensor *hand_on(Node *n, Graph *g, Tensor *t) { /* an output of the model has a tensor of its own */
    return n->out[0]->is_output ? build(g, n, "Identity", 1, &t) : t;
}
bool rewrite_sequence_at(Ctx *c, Graph *g, Node *n) {
    Seq q;
    Place p;
    if (!seq_begin(&q, c, g, n) || !place_of(&q, 1, false, &p)) return false;
    Tensor *y = p.known ? q.s.v[p.k] : q.s.v[p.hi];
    bool same = true;
    for (int64_t i = p.lo; !p.known && i <= p.hi; i++) same &= type_same(&q.s.v[i]->type, &y->type) && !y->type.ext;
    if (!p.known && same && p.hi > p.lo) { /* stacked */
        Tensor **v = NEW_ARRAY(g->a, Tensor *, p.hi - p.lo + 1), *zero = tensor_i64s(g, (int64_t[]){0}, 1);
        for (int64_t i = p.lo; i <= p.hi; i++) v[i - p.lo] = r_op2(q.r, "Unsqueeze", q.s.v[i], zero);
        y = build(g, n, "Concat", (int)(p.hi - p.lo + 1), v);
        r_set_i(y, "axis", 0);
        y = r_op2(q.r, "Gather", y, plus(&q, p.t, -p.lo));
    } else if (!p.known) {
        for (int64_t i = p.hi - 1; i >= p.lo; i--) y = choose(&q, is_place(&q, &p, i), q.s.v[i], y);
    }
    r_done(q.r, 0, hand_on(n, g, y));
    return true;
}
bool rewrite_sequence_length(Ctx *c, Graph *g, Node *n) {
    List l;
    if (!list_of(n->in[0], &l) || l.kind != WRAP_SEQUENCE) {
        Seq q = {.c = c, .r = {g, n}};
        return seq_error(&q, "a sequence");
    }
    Tensor *y = list_length(g, &l);
    if (l.rows) { y = build(g, n, "Gather", 2, (Tensor *[]){build(g, n, "Shape", 1, &l.v[1]), tensor_i64s(g, (int64_t[]){0}, -1)}); }
    tensor_replace(g, n->out[0], hand_on(n, g, y), true);
    return true;
}
/* ends[i]: the sum of the first i sizes along an axis, as one vector */
static Tensor *ends_of(Seq *q, int axis) {
    Graph *g = q->r.g;
    Tensor **v = NEW_ARRAY(g->a, Tensor *, q->s.n + 1), *zero = tensor_i64s(g, (int64_t[]){0}, 1),
           *at = tensor_i64s(g, (int64_t[]){axis}, 1);
    v[0] = zero;
    for (int i = 0; i < q->s.n; i++) v[i + 1] = r_op2(q->r, "Gather", r_op1(q->r, "Shape", q->s.v[i]), at);
    Tensor *y = build(g, q->r.n, "Concat", q->s.n + 1, v);
    r_set_i(y, "axis", 0);
    return r_op2(q->r, "CumSum", y, tensor_i64s(g, (int64_t[]){0}, -1));
}
/* Element i where it may be absent: what takes its place then has extents that fit the others', and is cut off. */
static Tensor *fitting(Seq *q, int i, int axis) {
    Tensor *first = q->s.v[0], *t = q->s.v[i];
    bool same = first->type.rank == t->type.rank;
    for (int k = 0; same && k < t->type.rank; k++) same = k == axis || extent_same(&first->type, k, &t->type, k);
    return same || i < q->s.lo ? t : choose(q, r_op2(q->r, "Less", i64(q, i), q->s.length), t, first);
}
enum { CONCAT_AXIS, CONCAT_NEW };
bool rewrite_concat_from_sequence(Ctx *c, Graph *g, Node *n) {
    Seq q;
    if (!seq_begin(&q, c, g, n)) return false;
    if (q.s.n == 0) return diag_error(c->d, n->loc, "the sequence is empty; nothing says which shape the result has");
    bool fresh = attr_i(n, CONCAT_NEW) != 0;
    int rank = q.s.v[0]->type.rank + fresh, axis;
    if (!infer_axis(&q.x, attr_i(n, CONCAT_AXIS), rank, &axis)) return false;
    if (q.s.length && !demand(&q, e_lt(g->a, e_int(g->a, 0), q.len), "length"))
        return diag_error(c->d, n->loc, "the sequence is empty; nothing says which shape the result has");
    Tensor **v = NEW_ARRAY(g->a, Tensor *, q.s.n), *at = tensor_i64s(g, (int64_t[]){axis}, 1);
    for (int i = 0; i < q.s.n; i++) {
        if (q.s.v[i]->type.rank != rank - fresh)
            return diag_error(c->d, n->loc, "element %d has rank %d, element 0 has rank %d; the same is expected", i, q.s.v[i]->type.rank,
                              rank - fresh);
        v[i] = fitting(&q, i, fresh ? -1 : axis);
        if (fresh) v[i] = r_op2(q.r, "Unsqueeze", v[i], at);
    }
    Tensor *y = build(g, n, "Concat", q.s.n, v);
    r_set_i(y, "axis", axis);
    if (q.s.length) { /* what is behind the length is cut off */
        Tensor *end = r_reshape(q.r, q.s.length, 1, (int64_t[]){1});
        if (!fresh) end = r_op2(q.r, "Gather", ends_of(&q, axis), end);
        y = build(g, n, "Slice", 4, (Tensor *[]){y, tensor_i64s(g, (int64_t[]){0}, 1), end, at});
    }
    r_done(q.r, 0, hand_on(n, g, y));
    return true;
}

/* ---- SplitToSequence */
enum { SPLIT_AXIS, SPLIT_KEEP };
static Tensor *piece(Seq *q, int axis, Tensor *from, Tensor *to) {
    return build(q->r.g, q->r.n, "Slice", 4, (Tensor *[]){q->r.n->in[0], from, to, tensor_i64s(q->r.g, (int64_t[]){axis}, 1)});
}
/* One slice of extent 1 each; keep: with that axis. */
static bool split_ones(Seq *q, int axis, bool keep) {
    const Type *t = &q->r.n->in[0]->type;
    Graph *g = q->r.g;
    if (too_long(q, t->dim[axis])) return false;
    int n = (int)t->dim[axis];
    Tensor **v = NEW_ARRAY(g->a, Tensor *, n + 1), *at = tensor_i64s(g, (int64_t[]){axis}, 1), *length = NULL;
    for (int i = 0; i < n; i++) {
        v[i] = r_op2(q->r, "Gather", q->r.n->in[0], i64(q, i));
        r_set_i(v[i], "axis", axis);
        if (keep) v[i] = r_op2(q->r, "Unsqueeze", v[i], at);
    }
    if (t->ext && t->ext[axis]) {
        length = r_op2(q->r, "Gather", r_op1(q->r, "Shape", q->r.n->in[0]), i64(q, axis));
        if (!extent_bounds(g, t->ext[axis], &q->s.lo, &(int64_t){0}) || q->s.lo < 0) q->s.lo = 0;
    }
    r_done(q->r, 0, seq_list(q, n, v, q->s.lo, length));
    return true;
}
/* Parts of `size` each, the last one the rest. */
static bool split_even(Seq *q, int axis, Expr *size) {
    Graph *g = q->r.g;
    Arena *a = g->a;
    const Type *t = &q->r.n->in[0]->type;
    int64_t lo, hi, least, whole = t->dim[axis];
    Expr *extent = type_extent(g, t, axis);
    if (!demand(q, e_lt(a, e_int(a, 0), size), "split"))
        return diag_error(q->c->d, q->r.n->loc, "parts of less than one element are asked for");
    if (!extent_bounds(g, size, &lo, &hi)) lo = 1, hi = INT64_MAX;
    lo = max_i64(lo, 1), hi = max_i64(hi, 1);
    int64_t most = (whole + lo - 1) / lo;
    if (too_long(q, most)) return false;
    bool fixed = lo == hi && !(t->ext && t->ext[axis]);
    if (!extent_bounds(g, extent, &least, &(int64_t){0}) || least < 0) least = 0;
    q->s.lo = least / hi + (least % hi != 0);
    Tensor **v = NEW_ARRAY(a, Tensor *, most + 1), *length = NULL, *s = NULL;
    if (!fixed) {
        s = r_reshape(q->r, r_cast(q->r, q->r.n->in[1], DT_INT64), 1, (int64_t[]){1});
        s = r_op2(q->r, "Max", s, tensor_i64s(g, (int64_t[]){1}, 1));
        Tensor *d = r_op2(q->r, "Gather", r_op1(q->r, "Shape", q->r.n->in[0]), tensor_i64s(g, (int64_t[]){axis}, 1));
        length = r_op2(q->r, "Div", r_op2(q->r, "Sub", r_op2(q->r, "Add", d, s), tensor_i64s(g, (int64_t[]){1}, 1)), s);
        length = r_reshape(q->r, length, 0, NULL);
    }
    for (int64_t i = 0; i < most; i++) {
        Tensor *k = tensor_i64s(g, &i, 1), *k1 = tensor_i64s(g, (int64_t[]){i + 1}, 1);
        if (fixed)
            v[i] = piece(q, axis, tensor_i64s(g, (int64_t[]){i * lo}, 1), tensor_i64s(g, (int64_t[]){min_i64((i + 1) * lo, whole)}, 1));
        else v[i] = piece(q, axis, r_op2(q->r, "Mul", k, s), r_op2(q->r, "Mul", k1, s));
    }
    r_done(q->r, 0, seq_list(q, (int)most, v, q->s.lo, length));
    return true;
}
bool rewrite_split_to_sequence(Ctx *c, Graph *g, Node *n) {
    Seq q = {.c = c, .r = {g, n}, .x = {c, g, n}};
    const Type *t = &n->in[0]->type;
    Expr **v, *sum = e_int(g->a, 0);
    int64_t count;
    int axis;
    q.s.dt = t->dt, q.s.lo = t->rank > 0 ? INT64_MAX : 0;
    if (!infer_axis(&q.x, attr_i(n, SPLIT_AXIS), t->rank, &axis)) return false;
    if (!r_in(q.r, 1)) return split_ones(&q, axis, attr_i(n, SPLIT_KEEP) != 0);
    if (!infer_values(&q.x, 1, &v, &count)) return false;
    if (n->in[1]->type.rank == 0) return split_even(&q, axis, extent_simplify(g, v[0]));
    if (too_long(&q, count)) return false;
    Tensor **part = NEW_ARRAY(g->a, Tensor *, count + 1), *from = tensor_i64s(g, (int64_t[]){0}, 1),
           *sizes = r_cast(q.r, n->in[1], DT_INT64);
    for (int64_t i = 0; i < count; i++) {
        Tensor *to = r_op2(q.r, "Add", from, r_op2(q.r, "Gather", sizes, tensor_i64s(g, &i, 1)));
        part[i] = piece(&q, axis, from, to);
        from = to;
        if (!demand(&q, e_le(g->a, e_int(g->a, 0), v[i]), "split"))
            return diag_error(c->d, n->loc, "part %lld has a negative size", (long long)i);
        sum = e_add(g->a, sum, v[i]);
    }
    if (!demand(&q, e_eq(g->a, sum, type_extent(g, t, axis)), "split")) {
        Text s = {0};
        expr_print(extent_simplify(g, sum), &s);
        diag_error(c->d, n->loc, "the parts have %s elements together; axis %d of the input has %lld", s.s, axis, (long long)t->dim[axis]);
        text_free(&s);
        return false;
    }
    r_done(q.r, 0, seq_list(&q, (int)count, part, count, NULL));
    return true;
}

/* ---- optionals */
bool rewrite_optional(Ctx *c, Graph *g, Node *n) {
    Tensor *x = n->nin ? n->in[0] : NULL;
    List in, l = {.kind = WRAP_OPTIONAL, .n = x != NULL, .v = &x};
    l.dt = !x ? (DType)attr_i(n, 0) : list_of(x, &in) ? in.dt : x->type.dt;
    if (x && list_of(x, &in) && in.kind != WRAP_SEQUENCE) return diag_error(c->d, n->loc, "a tensor or a sequence is expected");
    tensor_replace(g, n->out[0], list_new(g, n, &l), true);
    return true;
}
bool rewrite_optional_has_element(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    List l;
    Tensor *x = r_in(r, 0);
    bool optional = list_of(x, &l) && l.kind == WRAP_OPTIONAL;
    (void)c;
    Tensor *y = optional && l.n && l.length ? r_cast(r, l.length, DT_BOOL) : tensor_scalar(g, DT_BOOL, x && !(optional && !l.n));
    tensor_replace(g, n->out[0], hand_on(n, g, y), true);
    return true;
}
bool rewrite_optional_get_element(Ctx *c, Graph *g, Node *n) {
    Seq q = {.c = c, .r = {g, n}, .x = {c, g, n}};
    List l;
    Tensor *x = n->in[0];
    if (list_of(x, &l) && l.kind == WRAP_OPTIONAL) {
        bool ok = l.n > 0;
        if (ok && l.length) {
            Expr *has = infer_value_of(&q.x, l.length, 0);
            ok = demand(&q, e_bin(g->a, BIN_NE, has, e_int(g->a, 0)), "element");
        }
        if (!ok) return diag_error(c->d, n->loc, "the optional '%s' has no element; test it with OptionalHasElement", x->name);
        x = l.v[0];
    }
    if (n->out[0]->is_output) x = list_of(x, &l) ? list_copy(g, n, x) : build(g, n, "Identity", 1, &x);
    tensor_replace(g, n->out[0], x, true);
    return true;
}
