/* SPDX-License-Identifier: Apache-2.0 */
/* extent.c: the table of run-time extents, types that have them, and what inference functions need to compute with them.
 *
 *   x: float32[batch<=8,3]   Reshape(x, [-1])   --->   float32[3 * batch<=24]
 */
#include "extent.h"
#include <string.h>

/* ---- the table */
Extent *extent_new(Graph *g, const char *name, int64_t lo, int64_t hi, Tensor *t) {
    Extent *x = NEW(g->a, Extent);
    Var *v = NEW(g->a, Var);
    *v = (Var){name, DT_INT64, g->extent.n};
    *x = (Extent){.v = v, .name = name, .lo = lo, .hi = hi, .t = t};
    vec_push(g->a, &g->extent, x);
    return x;
}
Expr *extent_symbol(Graph *g, const char *name, int64_t lo, int64_t hi, Tensor *input, int axis) {
    for (int i = 0; i < g->extent.n; i++) {
        Extent *x = g->extent.v[i];
        if (!x->input || strcmp(x->name, name) != 0) continue;
        x->lo = max_i64(x->lo, lo), x->hi = min_i64(x->hi, hi);
        return e_var(g->a, x->v);
    }
    Extent *x = extent_new(g, name, lo, hi, tensor_new(g, name, DT_INT64, 0, NULL));
    x->input = input, x->axis = axis, x->check = true;
    x->t->kept = true;
    x->t->val = NEW_ARRAY(g->a, Expr *, 1);
    x->t->val[0] = e_var(g->a, x->v);
    return e_var(g->a, x->v);
}
Extent *extent_find(const Graph *g, const Var *v) {
    return v->id >= 0 && v->id < g->extent.n && g->extent.v[v->id]->v == v ? g->extent.v[v->id] : NULL;
}
static Ranges ranges_of(const Graph *g) {
    Ranges r = {0};
    for (int i = 0; i < g->extent.n; i++) vec_push(g->a, &r, ((Range){g->extent.v[i]->v, g->extent.v[i]->lo, g->extent.v[i]->hi}));
    return r;
}
Expr *extent_simplify(Graph *g, Expr *e) {
    if (e->k == E_INT || e->k == E_VAR) return e;
    Ranges r = ranges_of(g);
    return expr_simplify(g->a, e, &r);
}
bool extent_bounds(const Graph *g, const Expr *e, int64_t *lo, int64_t *hi) {
    if (e_is_int(e, lo)) return *hi = *lo, true;
    Ranges r = ranges_of(g);
    return expr_bounds(e, &r, lo, hi);
}
typedef struct Sources {
    const Graph *g;
    bool late;
} Sources;
static Expr *on_source(void *user, Expr *e) {
    Sources *s = user;
    const Extent *x = e->k == E_VAR ? extent_find(s->g, e->u.v) : NULL;
    s->late |= x && !x->input && !(x->e && extent_static(s->g, x->e));
    return e;
}
bool extent_static(const Graph *g, const Expr *e) {
    Sources s = {g, false};
    expr_map(g->a, (Expr *)e, on_source, &s);
    return !s.late;
}

/* ---- types */
bool type_flat(const Type *t) {
    bool wide = false;
    int64_t n = 1;
    for (int i = 0; t->ext && i < t->rank; i++) {
        if (wide && t->ext[i]) return true;
        wide |= t->dim[i] != 1;
        if (t->cap && (!mul_ok(n, t->dim[i], &n) || n > t->cap)) return true;
    }
    return false;
}
Expr *type_extent(const Graph *g, const Type *t, int axis) { return t->ext && t->ext[axis] ? t->ext[axis] : e_int(g->a, t->dim[axis]); }
void type_extents(const Graph *g, const Type *t, Expr **e) {
    for (int i = 0; i < t->rank; i++) e[i] = type_extent(g, t, i);
}
Expr *type_count(Graph *g, const Type *t, int from, int to) {
    Expr *e = e_int(g->a, 1);
    for (int i = from; i < to; i++) e = extent_mul(g, e, type_extent(g, t, i));
    return e;
}
bool extent_same(const Type *a, int i, const Type *b, int j) {
    const Expr *x = a->ext ? a->ext[i] : NULL, *y = b->ext ? b->ext[j] : NULL;
    return x && y ? e_equal(x, y) : !x && !y && a->dim[i] == b->dim[j];
}
bool types_same_shape(const Type *a, const Type *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (!extent_same(a, i, b, i)) return false;
    return true;
}
bool node_dynamic(const Node *n) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && n->in[i]->type.ext) return true;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && n->out[i]->type.ext) return true;
    return false;
}

/* ---- what the end of inference adds: the shapes of the outputs as tensors, and checks where they belong */
void extent_outputs(Graph *g) {
    for (int i = 0; i < g->out.n; i++) {
        const Type *t = &g->out.v[i]->type;
        Tensor *made = i < g->out_dims.n ? g->out_dims.v[i] : NULL; /* types are inferred again after a pass that changed nodes */
        Tensor *dims = made ? made : g->out.v[i]->dims;             /* of what is no tensor */
        if (type_dynamic(t) && made) type_extents(g, t, dims->val);
        else if (type_dynamic(t)) {
            Node *n = node_new(g, op_find("quern", "Extents"), NULL, NO_LOC, 0, NULL, 1);
            dims = tensor_new(g, arena_printf(g->a, "%s_dims", g->out.v[i]->name), DT_INT64, 1, (int64_t[]){t->rank});
            dims->kept = true, dims->val = NEW_ARRAY(g->a, Expr *, t->rank);
            type_extents(g, t, dims->val);
            node_set_out(n, 0, dims);
        }
        if (i < g->out_dims.n) g->out_dims.v[i] = dims;
        else vec_push(g->a, &g->out_dims, dims);
    }
    for (int i = g->extent.n - 1; i >= 0; i--) { /* what needs no values is checked before anything is computed */
        const Extent *x = g->extent.v[i];
        if (x->e && x->t->def && g->first && extent_static(g, x->e)) node_move_before(g, x->t->def, g->first);
    }
}

/* ---- arithmetic */
Expr *extent_mul(Graph *g, Expr *x, Expr *y) {
    int64_t a, b, c;
    if (e_is_int(x, &a) && e_is_int(y, &b)) return e_int(g->a, mul_ok(a, b, &c) ? c : (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN);
    return extent_simplify(g, e_mul(g->a, x, y));
}
Expr *extent_add(Graph *g, Expr *x, Expr *y) {
    int64_t a, b, c;
    if (e_is_int(x, &a) && e_is_int(y, &b)) return e_int(g->a, add_ok(a, b, &c) ? c : a < 0 ? INT64_MIN : INT64_MAX);
    return extent_simplify(g, e_add(g->a, x, y));
}
Expr *extent_floor_div(Graph *g, Expr *x, int64_t y) {
    int64_t a, lo, hi;
    Arena *m = g->a;
    if (y == 1) return x;
    if (e_is_int(x, &a)) return e_int(m, a / y - (a % y < 0));
    if (extent_bounds(g, x, &lo, &hi) && lo >= 0) return extent_simplify(g, e_div(m, x, e_int(m, y)));
    return extent_simplify(g, e_sub(m, e_div(m, x, e_int(m, y)), e_cast(m, DT_INT64, e_lt(m, e_mod(m, x, e_int(m, y)), e_int(m, 0)))));
}

/* ---- run-time extents of inference */
static Node *extent_node(Infer *x, Extent *e, Tensor *from, int64_t element) {
    Node *n = node_new(x->g, op_find("quern", "Extent"), x->n, x->n->loc, from ? 1 : 0, &from, 1);
    node_set_i(n, 0, e->v->id), node_set_i(n, 1, element);
    e->t = tensor_new(x->g, e->name, DT_INT64, 0, NULL);
    node_set_out(n, 0, e->t);
    e->t->kept = true;
    e->t->val = NEW_ARRAY(x->g->a, Expr *, 1);
    e->t->val[0] = e_var(x->g->a, e->v);
    return n;
}
Extent *extent_element(Graph *g, Node *before, const char *name, int64_t lo, int64_t hi, Tensor *from, int64_t element) {
    Extent *e = extent_new(g, name, lo, hi, NULL);
    Infer x = {.g = g, .n = before};
    extent_node(&x, e, from, element);
    return e;
}
Expr *infer_bounded(Infer *x, Expr *e, int64_t lo, int64_t hi, const char *name, bool shape) {
    int64_t l, h;
    e = extent_simplify(x->g, e);
    if (extent_bounds(x->g, e, &l, &h) && l >= lo && h <= hi) return e;
    Expr *when = infer_when(x);
    if (when) e = extent_simplify(x->g, e_select(x->g->a, when, e, e_int(x->g->a, lo)));
    for (int i = 0; i < x->g->extent.n; i++) { /* the same question was asked before */
        const Extent *old = x->g->extent.v[i];
        if (old->e && old->check && old->lo == lo && old->hi == hi && e_equal(old->e, e)) return e_var(x->g->a, old->v);
    }
    Extent *k = extent_new(x->g, name, lo, hi, NULL);
    k->e = e, k->check = true, k->shape = shape;
    extent_node(x, k, NULL, 0);
    return e_var(x->g->a, k->v);
}
bool infer_require(Infer *x, Expr *cond) {
    Arena *a = x->g->a;
    int64_t v;
    cond = extent_simplify(x->g, cond);
    if (cond->k == E_INT && (v = cond->u.i, true)) return v != 0;
    infer_bounded(x, e_select(a, cond, e_int(a, 0), e_int(a, 1)), 0, 0, "mismatch", true);
    return true;
}
bool infer_same_extent(Infer *x, Expr *p, Expr *q) { return e_equal(p, q) || infer_require(x, e_eq(x->g->a, p, q)); }
Tensor *extents_tensor(Graph *g, Node *before, int rank, Expr *const *e) {
    int64_t dim[QN_MAX_RANK + 1];
    bool constant = true;
    for (int i = 0; i < rank; i++) constant &= e_is_int(e[i], &dim[i]);
    if (constant) return tensor_i64s(g, dim, rank);
    Node *n = node_new(g, op_find("quern", "Extents"), before, before->loc, 0, NULL, 1);
    Tensor *t = tensor_new(g, NULL, DT_INT64, 1, (int64_t[]){rank});
    t->val = NEW_ARRAY(g->a, Expr *, rank + 1);
    memcpy(t->val, e, sizeof *e * (size_t)rank);
    node_set_out(n, 0, t);
    return t;
}
Expr *infer_broadcast_extent(Infer *x, Expr *p, Expr *q) {
    Arena *a = x->g->a;
    int64_t c, d, lo, hi;
    bool cp = e_is_int(p, &c), cq = e_is_int(q, &d);
    if ((cq && d == 1) || e_equal(p, q)) return p;
    if (cp && c == 1) return q;
    if (cp && cq) return NULL;
    bool p1 = !extent_bounds(x->g, p, &lo, &hi) || lo <= 1, q1 = !extent_bounds(x->g, q, &lo, &hi) || lo <= 1;
    if (cp) p1 = false;
    if (cq) q1 = false;
    Expr *ok = e_eq(a, p, q), *one = e_int(a, 1);
    if (p1) ok = e_bin(a, BIN_LOR, ok, e_eq(a, p, one));
    if (q1) ok = e_bin(a, BIN_LOR, ok, e_eq(a, q, one));
    if (!infer_require(x, ok)) return NULL;
    if (cp || !p1) return p;
    if (cq || !q1) return q;
    return extent_simplify(x->g, e_select(a, e_eq(a, p, one), q, p));
}

bool infer_broadcasts(Infer *x, Expr *p, Expr *to) {
    Arena *a = x->g->a;
    int64_t c;
    if ((e_is_int(p, &c) && c == 1) || e_equal(p, to)) return true;
    return infer_require(x, e_bin(a, BIN_LOR, e_eq(a, p, to), e_eq(a, p, e_int(a, 1))));
}

static bool unbounded(Infer *x, int i, int axis, const Expr *e) {
    Text s = {0};
    expr_print(e, &s);
    const Tensor *t = i < x->n->nout ? x->n->out[i] : NULL;
    infer_error(x,
                "the extent of axis %d of output %d '%s' is '%s', which has no upper bound; bound the input that it depends on with "
                "--max INPUT=V (or --dim for a free dimension), or declare the output's shape in the model "
                "(or with --dim '%s[%d]=V')",
                axis, i, t ? t->name : "", s.s, t ? t->name : "", axis);
    text_free(&s);
    return false;
}
bool infer_extents(Infer *x, int i, DType dt, int rank, Expr *const *e) {
    Tensor *t = i < x->n->nout ? x->n->out[i] : NULL;
    Graph *g = x->g;
    int64_t dim[QN_MAX_RANK] = {0}, lo, hi;
    Expr *ext[QN_MAX_RANK] = {NULL};
    bool dynamic = false;
    if (!t) return true;
    if (rank > QN_MAX_RANK) return infer_out(x, i, dt, rank, dim); /* says so */
    Type declared = t->type;
    for (int k = 0; k < rank; k++) {
        Expr *v = extent_simplify(g, e[k]);
        if (e_is_int(v, &dim[k])) continue;
        bool known = extent_bounds(g, v, &lo, &hi) && hi <= EXTENT_LIMIT;
        if (!known) {
            bool has = declared.rank < 0 ? declared.dim[k] > 0 /* by --dim */
                                         : declared.rank == rank && declared.dim[k] >= 0 && !(declared.sym && declared.sym[k]);
            if (!has) return unbounded(x, i, k, v);
            lo = 0, hi = declared.dim[k];
            v = infer_bounded(x, v, 0, hi, t->name, false);
        } else if (lo < 0) {
            v = e_max(g->a, v, e_int(g->a, 0)), hi = max_i64(hi, 0);
        }
        if (lo == hi && v->k != E_VAR) {
            dim[k] = hi;
            continue;
        }
        ext[k] = v, dim[k] = hi, dynamic = true;
    }
    if (!dynamic) return infer_out(x, i, dt, rank, dim);
    for (int k = 0; k < declared.rank && k < rank && declared.rank == rank; k++) /* a bound is no contradiction */
        if (ext[k]) t->type.dim[k] = DIM_UNKNOWN;
    if (!infer_out(x, i, dt, rank, dim)) return false;
    t->type.ext = NEW_ARRAY(g->a, Expr *, rank);
    memcpy(t->type.ext, ext, sizeof *ext * (size_t)rank);
    return true;
}

/* ---- values of small integer tensors */
static bool small_ints(const Tensor *t) {
    int64_t n;
    return t && (t->type.dt == DT_INT64 || t->type.dt == DT_INT32 || t->type.dt == DT_BOOL) && !t->type.ext &&
           type_elements(&t->type, &n) && n <= VALUES_MOST;
}
static bool small_floats(const Tensor *t) { /* of which an integer may be made */
    int64_t n;
    return (t->type.dt == DT_FLOAT32 || t->type.dt == DT_FLOAT64) && !t->type.ext && type_elements(&t->type, &n) && n <= VALUES_MOST;
}
static void values_demand(Infer *x, Tensor *t, int depth);
/* Values as expressions, from those that t is computed from. */
static bool values_follow(Infer *x, Tensor *t, int depth) {
    Node *d = t->def;
    if (!d || depth >= 64 || strcmp(d->op->domain, "quern") == 0) return false;
    for (int i = 0; i < d->nin; i++)
        if (d->in[i] && !d->in[i]->data && !d->in[i]->val && !small_ints(d->in[i]) && !small_floats(d->in[i])) return false;
    for (int i = 0; i < d->nin; i++) {
        Tensor *y = d->in[i];
        if (!y || y->data || y->val) continue;
        if (small_ints(y)) values_demand(x, y, depth + 1);
        else if (!values_follow(x, y, depth + 1)) return false;
    }
    Expr ***val = NEW_ARRAY(x->g->a, Expr **, d->nout);
    if (!symbolic_values(x->c, x->g, d, val)) return false;
    for (int o = 0; o < d->nout; o++)
        if (d->out[o]) d->out[o]->val = val[o];
    return true;
}
static void values_demand(Infer *x, Tensor *t, int depth) {
    Node *d = t->def;
    if (t->data || t->val || values_follow(x, t, depth)) return;
    int64_t n = tensor_elements(t);
    t->val = NEW_ARRAY(x->g->a, Expr *, n + 1);
    t->read = true;
    Node *keep = x->n;
    if (d && d->next) x->n = d->next; /* right behind its definition, for all users */
    else if (!d && x->g->first) x->n = x->g->first;
    for (int64_t i = 0; i < n; i++) {
        const char *name = n == 1 ? t->name : arena_printf(x->g->a, "%s_%lld", t->name, (long long)i);
        int64_t hi = t->has_max ? t->max : t->type.dt == DT_BOOL ? 1 : EXTENT_MOST;
        int64_t lo = t->type.dt == DT_BOOL ? 0 : t->type.dt == DT_INT32 ? INT32_MIN : -EXTENT_MOST;
        Extent *e = extent_new(x->g, name, lo, hi, NULL);
        e->check = t->has_max;
        extent_node(x, e, t, i);
        Arena *a = x->g->a;
        Expr *v = e_var(a, e->v);
        t->val[i] = t->type.dt == DT_BOOL ? e_bin(a, BIN_NE, v, e_int(a, 0)) : t->type.dt == DT_INT64 ? v : e_cast(a, t->type.dt, v);
    }
    x->n = keep;
}
/* A value of another integer type or bool; what was made of an int64 is that again. */
static Expr *as_int64(Graph *g, Expr *e) {
    Expr *in = e;
    while (in->k == E_CAST && dtype_is_int(in->u.a[0]->t)) in = in->u.a[0];
    if (in->t == DT_INT64) return in;
    if (e->t == DT_INT64) return e;
    if (e->k == E_BIN && e->op == BIN_NE && e->u.a[0]->k == E_VAR && e->u.a[1]->k == E_INT && e->u.a[1]->u.i == 0) return e->u.a[0];
    return e_cast(g->a, DT_INT64, e);
}
bool infer_values(Infer *x, int i, Expr ***v, int64_t *n) {
    Tensor *t = i < x->n->nin ? x->n->in[i] : NULL;
    Arena *a = x->g->a;
    *v = NULL, *n = 0;
    if (!t) return true;
    if (t->type.rank > 1 || (!small_ints(t) && !(t->data && dtype_is_int(t->type.dt) && type_elements(&t->type, n))))
        return infer_error(x, "input %d '%s' is expected to be a vector of at most %d integers, of constant length", i, t->name,
                           VALUES_MOST);
    *n = tensor_elements(t);
    if (t->data) {
        *v = NEW_ARRAY(a, Expr *, *n + 1);
        for (int64_t k = 0; k < *n; k++) (*v)[k] = e_int(a, dtype_get_i(t->type.dt, t->data, k));
        return true;
    }
    values_demand(x, t, 0);
    *v = NEW_ARRAY(a, Expr *, *n + 1);
    for (int64_t k = 0; k < *n; k++) (*v)[k] = as_int64(x->g, t->val[k]);
    return true;
}

Tensor *infer_build(Infer *x, const char *op, int nin, Tensor *const *in, int to) {
    Node *n = build_node(x->g, x->n, op, nin, in, 1);
    n->loc = x->n->loc;
    if (to) node_set_i(n, op_attr_index(n->op, "to"), to);
    if (!node_infer(x->c, x->g, n)) BUG("a node of inference has no type");
    return n->out[0];
}
Expr *infer_named(Infer *x, Expr *e, const char *name) {
    int64_t lo, hi;
    e = extent_simplify(x->g, e);
    if (e->k == E_VAR || e->k == E_INT || !extent_bounds(x->g, e, &lo, &hi)) return e;
    Extent *k = extent_new(x->g, name, lo, hi, NULL);
    k->e = e;
    extent_node(x, k, NULL, 0);
    return e_var(x->g->a, k->v);
}
Expr *infer_value_of(Infer *x, Tensor *t, int64_t element) {
    values_demand(x, t, 0);
    return infer_named(x, t->val[element], t->name);
}
