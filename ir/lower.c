/* SPDX-License-Identifier: Apache-2.0 */
/* lower.c: a group of nodes becomes one loop nest. An op appends loops and statements at the current place and reads and
 * writes tensors only through lower_load and lower_store; what is inlined into it and what follows each of its stores is
 * decided here, from the roles of fusion.h.
 *
 *   a = Transpose(x) INLINE; y = Add(a, b) ANCHOR; z = Relu(y) POINT
 *   --->  for i0: for i1: z[i0,i1] = max(x[i1,i0] + b[i1], 0)
 */
#include "extent.h"
#include "fusion.h"
#include <ctype.h>
#include <string.h>

enum { STACK_MAX = 8 << 10, STACK_ONE = 4 << 10, NAME_MAX_LEN = 40 };

/* ---- names: a variable may share its name with one in another scope (the printer sees to that), never with a buffer */
static const char *const reserved[] = {"auto",   "break",    "case",     "char",     "const", "continue", "default", "do",     "double",
                                       "else",   "enum",     "extern",   "float",    "for",   "goto",     "if",      "inline", "int",
                                       "long",   "register", "restrict", "return",   "short", "signed",   "sizeof",  "static", "struct",
                                       "switch", "typedef",  "union",    "unsigned", "void",  "volatile", "while",   "bool",   "true",
                                       "false",  "class",    "new",      "delete",   "this",  "template", "arena",   "main"};
static const char buf_mark, var_mark;

static bool is_reserved(const char *s) {
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(reserved[i], s) == 0) return true;
    for (int i = 0; i < CALL_COUNT; i++)
        if (strcmp(call_info[i].name, s) == 0 || strcmp(call_info[i].cf, s) == 0) return true;
    return false;
}
/* The end of a model's name as an identifier: what follows the last slashes tells tensors apart. */
static const char *identifier(Arena *a, const char *s) {
    size_t n = strlen(s);
    if (n > NAME_MAX_LEN) s += n - NAME_MAX_LEN;
    char *r = arena_alloc(a, NAME_MAX_LEN + 4), *w = r;
    bool gap = false;
    for (; *s; s++) {
        if (!isalnum((unsigned char)*s) || ((unsigned char)*s & 0x80)) {
            gap = w > r;
            continue;
        }
        if (gap) *w++ = '_';
        *w++ = *s, gap = false;
    }
    *w = 0;
    if (!*r || isdigit((unsigned char)*r) || is_reserved(r)) return arena_printf(a, "t_%s", r);
    return r;
}
static const char *buf_name(Lower *L, const char *base) {
    const char *stem = identifier(L->a, base), *name = stem;
    for (int i = 2; map_get(L->names, name); i++) name = arena_printf(L->a, "%s_%d", stem, i);
    map_set(L->names, name, (void *)&buf_mark);
    return name;
}
static Var *new_var(Lower *L, const char *name, DType t) {
    while (map_get(L->names, name) == &buf_mark) name = arena_printf(L->a, "%s_", name);
    map_set(L->names, name, (void *)&var_mark);
    return var_new(L->f, name, t);
}

/* ---- statements */
static Stmt *block(Lower *L) { return L->open.v[L->open.n - 1]; }
static void append(Lower *L, Stmt *s) { s_append(L->a, block(L), s); }
static void open_block(Lower *L, Stmt *b) { vec_push(L->a, &L->open, b); }

Expr *lower_loop_range(Lower *L, const char *name, Expr *lo, Expr *hi) {
    Var *v = new_var(L, name, DT_INT64);
    Stmt *s = s_for(L->a, v, lo, hi);
    append(L, s);
    open_block(L, s->u.loop.body);
    return e_var(L->a, v);
}
Expr *lower_loop(Lower *L, const char *name, int64_t extent) {
    if (extent == 1) {
        open_block(L, block(L));
        return e_int(L->a, 0);
    }
    return lower_loop_range(L, name, e_int(L->a, 0), e_int(L->a, extent));
}
Expr *lower_loop_to(Lower *L, const char *name, Expr *extent) {
    int64_t n;
    return e_is_int(extent, &n) ? lower_loop(L, name, n) : lower_loop_range(L, name, e_int(L->a, 0), extent);
}
void lower_if(Lower *L, Expr *cond) {
    Stmt *s = s_if(L->a, cond);
    append(L, s);
    open_block(L, s->u.cond.then);
}
void lower_else(Lower *L) {
    lower_end(L);
    const Stmt *b = block(L);
    Stmt *s = b->u.block.n ? b->u.block.v[b->u.block.n - 1] : NULL;
    if (!s || s->k != S_IF || s->u.cond.other) BUG("lower_else without lower_if");
    s->u.cond.other = s_block(L->a);
    open_block(L, s->u.cond.other);
}
void lower_end(Lower *L) {
    if (L->open.n <= 1) BUG("lower_end without a loop");
    L->open.n--;
}
void lower_loops(Lower *L, const char *const *names, const Type *t, Expr **idx) {
    for (int i = 0; i < t->rank; i++) idx[i] = lower_loop_to(L, names ? names[i] : arena_printf(L->a, "i%d", i), lower_dim(L, t, i));
}
void lower_ends(Lower *L, int n) {
    while (n-- > 0) lower_end(L);
}
static bool simple(const Expr *e) { return e->k == E_VAR || e->k == E_INT || e->k == E_FLT; }
Expr *lower_let(Lower *L, const char *name, Expr *e) {
    if (simple(e)) return e;
    Var *v = new_var(L, name, e->t);
    append(L, s_let(L->a, v, e));
    return e_var(L->a, v);
}
Expr *lower_get(Lower *L, Buf *b, Expr *const *idx) { return e_load(L->a, b, idx); }

/* A value as the computing type of dt. */
static Expr *fit(Lower *L, DType dt, Expr *e) {
    DType t = dtype_compute(dt);
    if (e->t == t) return e;
    if (e->k == E_INT) return e_lit_i(L->a, t, e->u.i);
    if (e->k == E_FLT) return e_lit(L->a, t, e->u.f);
    return e_cast(L->a, t, e);
}
/* …as a reader of stored dt would see it: rounded to it. */
static Expr *fit_stored(Lower *L, DType dt, Expr *e) {
    e = fit(L, dt, e);
    if (dtype_compute(dt) == dt || (e->k == E_LOAD && e->u.ld.buf->dt == dt) || (e->k == E_CAST && e->to == dt)) return e;
    return e_cast(L->a, dt, e);
}
void lower_put(Lower *L, Buf *b, Expr *const *idx, Expr *val, RedOp red) { append(L, s_store(L->a, b, idx, fit(L, b->dt, val), red)); }

Buf *lower_temp(Lower *L, const char *name, DType dt, int rank, const int64_t *dim) {
    int64_t count = 1, bytes = 0;
    for (int i = 0; i < rank; i++)
        if (!mul_ok(count, dim[i], &count)) BUG("temporary '%s' is too large", name);
    if (!dtype_bytes(dt, count, &bytes)) BUG("temporary '%s' is too large", name);
    MemSpace space = rank == 0 ? MEM_REG : bytes <= STACK_ONE && L->stack + bytes <= STACK_MAX ? MEM_STACK : MEM_SCRATCH;
    Buf *b = buf_new(L->f, buf_name(L, name), dt, rank, dim, space);
    if (space == MEM_STACK) L->stack += bytes;
    if (space == MEM_SCRATCH) vec_push(L->a, &L->scratch, b);
    else append(L, s_alloc(L->a, b));
    return b;
}
void lower_call(Lower *L, const char *name, int narg, Expr *const *arg, int nbuf, Buf *const *buf, uint32_t writes) {
    Stmt *s = NEW(L->a, Stmt);
    s->k = S_CALL;
    s->u.call.name = name;
    s->u.call.narg = narg, s->u.call.nbuf = nbuf, s->u.call.writes = writes;
    s->u.call.arg = NEW_ARRAY(L->a, Expr *, narg);
    s->u.call.buf = NEW_ARRAY(L->a, Buf *, nbuf);
    for (int i = 0; i < narg; i++) s->u.call.arg[i] = arg[i];
    for (int i = 0; i < nbuf; i++) {
        s->u.call.buf[i] = buf[i];
        if (writes >> i & 1) buf[i]->written = true;
    }
    append(L, s);
}

enum { CACHE_LINE = 64, FEW_HINTS = 3 };
Tensor *lower_stored(Lower *L, const Node *n, int i) {
    Tensor *t = n->in[i];
    while (fusion_inside(t, L->fusion ? L->fusion->kernel : 0) && t->def->role == ROLE_INLINE) t = t->def->in[0];
    return t;
}
Expr *lower_flat(Lower *L, Node *n, int i, Expr *const *at) {
    const Buf *b = lower_tensor(L, lower_stored(L, n, i));
    Expr *flat = e_int(L->a, 0);
    for (int d = 0; d < b->rank; d++) flat = e_add(L->a, flat, e_mul(L->a, at[d], e_int(L->a, b->stride[d])));
    return flat;
}
/* Many hints at once fill the buffers that loads wait in: those are spread over the turns of the loop that follows. */
Hints lower_prefetch(Lower *L, Node *n, int i, const HintPlan *p) {
    Arena *a = L->a;
    Hints h = {.b = lower_tensor(L, lower_stored(L, n, i))};
    int64_t line = CACHE_LINE * 8 / dtype_info[h.b->dt].bits, all = tensor_elements(n->in[i]);
    if (p->parts < 1 || p->lines < 1) return h;
    h.share = ceil_div(p->lines, p->parts);
    if (all < h.share * line) return h;
    Expr *part = p->parts > p->lines ? e_div(a, e_mul(a, p->part, e_int(a, p->lines)), e_int(a, p->parts)) : p->part;
    Expr *nth = e_mul(a, e_add(a, e_mul(a, part, e_int(a, p->steps)), p->step), e_int(a, h.share * line));
    h.at = lower_let(L, "next", e_min(a, e_add(a, p->from, nth), e_int(a, all - h.share * line))); /* nothing is behind the last part */
    h.turns = h.share > FEW_HINTS ? p->turns : 0;
    for (int64_t k = 0; h.turns == 0 && k < h.share; k++) {
        Expr *e = e_add(a, h.at, e_int(a, k * line));
        lower_call(L, "qn_prefetch", 1, &e, 1, &h.b, 0);
    }
    return h;
}
void lower_hints(Lower *L, const Hints *h, Expr *k) {
    Arena *a = L->a;
    int64_t line = CACHE_LINE * 8 / dtype_info[h->b->dt].bits;
    for (int64_t i = 0; h->turns && i < ceil_div(h->share, h->turns); i++) {
        Expr *e = e_add(a, h->at, e_add(a, e_mul(a, k, e_int(a, ceil_div(h->share * line, h->turns))), e_int(a, i * line)));
        lower_call(L, "qn_prefetch", 1, &e, 1, &h->b, 0);
    }
}

/* ---- tensors. Where strides depend on run-time extents the buffer is a vector of the most elements there can be, and addresses are
 * computed: the elements stand densely, as callers of the model lay them out and as reshaping needs them. */
Buf *lower_tensor(Lower *L, Tensor *t) {
    for (int i = L->tensor_buf.n - 1; i >= 0; i--)
        if (L->tensor_buf.v[i]->tensor == t) return L->tensor_buf.v[i];
    DType dt = t->type.dt, part = dt == DT_COMPLEX64 ? DT_FLOAT32 : dt == DT_COMPLEX128 ? DT_FLOAT64 : dt;
    bool flat = type_flat(&t->type) || part != dt;
    int64_t count[] = {flat ? tensor_elements(t) : 0, 2};
    int rank = part != dt ? 2 : flat ? 1 : t->type.rank; /* a complex number is two others (complex.c) */
    Buf *b = buf_new(L->f, buf_name(L, t->name), part, rank, flat ? count : t->type.dim, MEM_PARAM);
    b->tensor = t;
    if (t->view) {
        b->offset = t->view->offset;
        for (int i = 0; i < b->rank && !flat; i++) b->stride[i] = t->view->stride[i];
    }
    vec_push(L->a, &L->tensor_buf, b);
    return b;
}
/* ---- names for products, in the outermost of the open blocks that know all their variables */
static bool bound_in(const Lower *L, int depth, const Var *v) { /* in the open block of that depth, or by the loop that it is the body of */
    const Stmt *b = L->open.v[depth], *above = depth ? L->open.v[depth - 1] : NULL;
    const Stmt *last = above && above != b && above->u.block.n ? above->u.block.v[above->u.block.n - 1] : NULL;
    if (last && last->k == S_FOR && last->u.loop.body == b && last->u.loop.v == v) return true;
    for (int i = 0; i < b->u.block.n; i++)
        if (b->u.block.v[i]->k == S_LET && b->u.block.v[i]->u.let.v == v) return true;
    return false;
}
static int depth_of(const Lower *L, const Expr *e) { /* -1: it is not made of whole numbers that are in scope */
    int x, y;
    if (e->k == E_INT) return 0;
    if (e->k == E_VAR) {
        for (int d = L->open.n - 1; d >= 0; d--)
            if (bound_in(L, d, e->u.v)) return d;
        return -1;
    }
    if (e->k != E_BIN) return -1;
    x = depth_of(L, e->u.a[0]), y = depth_of(L, e->u.a[1]);
    return x < 0 || y < 0 ? -1 : x > y ? x : y;
}
static Expr *place_name(Lower *L, Expr *e) {
    int d = depth_of(L, e);
    if (d < 0) return e;
    Stmt *b = L->open.v[d];
    bool nested = L->open.v[L->open.n - 1] != b; /* its last statement is the one that is open */
    int end = b->u.block.n - nested;
    for (int i = 0; i < end; i++)
        if (b->u.block.v[i]->k == S_LET && e_equal(b->u.block.v[i]->u.let.val, e)) return e_var(L->a, b->u.block.v[i]->u.let.v);
    Var *v = new_var(L, "base", DT_INT64);
    s_append(L->a, b, s_let(L->a, v, e));
    for (int i = b->u.block.n - 1; i > end; i--) {
        Stmt *t = b->u.block.v[i];
        b->u.block.v[i] = b->u.block.v[i - 1], b->u.block.v[i - 1] = t;
    }
    return e_var(L->a, v);
}
/* The indices of an element in the buffer of its tensor. */
Expr *const *lower_buffer_index(Lower *L, const Tensor *t, Expr *const *idx, Expr **flat) {
    if (!type_flat(&t->type)) return idx;
    *flat = idx[0];
    for (int i = 1; i < t->type.rank; i++) {
        Expr *dim = lower_dim(L, &t->type, i), *from = e_mul(L->a, *flat, dim);
        if (L->affine && dim->k != E_INT && (*flat)->k != E_INT) from = place_name(L, from);
        *flat = e_add(L->a, from, idx[i]);
    }
    return flat;
}

/* ---- run-time extents: read once, at the top of the function */
static Expr *local_extent(Lower *L, const Extent *x) {
    Arena *a = L->a;
    for (int i = 0; i < L->extent.n; i++)
        if (L->extent.v[i] == x->v) return L->extent_local.v[i];
    Buf *b = lower_tensor(L, x->t);
    Expr *e = e_load(a, b, NULL);
    if (x->lo > -EXTENT_MOST) e = e_max(a, e, e_int(a, x->lo)); /* what was checked before, for whoever bounds loops and addresses */
    if (x->hi < EXTENT_MOST) e = e_min(a, e, e_int(a, x->hi));
    Var *v = new_var(L, identifier(a, x->name), DT_INT64);
    Stmt *body = L->f->body, *let = s_let(a, v, e);
    s_append(a, body, let);
    for (int i = body->u.block.n - 1; i > L->extent_lets; i--) body->u.block.v[i] = body->u.block.v[i - 1];
    body->u.block.v[L->extent_lets++] = let;
    vec_push(a, &L->extent, x->v);
    vec_push(a, &L->extent_local, e_var(a, v));
    return e_var(a, v);
}
static Expr *on_extent(void *user, Expr *e) {
    Lower *L = user;
    const Extent *x = e->k == E_VAR ? extent_find(L->g, e->u.v) : NULL;
    return x ? local_extent(L, x) : e;
}
void lower_knows_extent(Lower *L, const Var *v, Expr *e) {
    vec_push(L->a, &L->extent, v);
    vec_push(L->a, &L->extent_local, e);
}
Expr *lower_extent(Lower *L, Expr *e) { return e->k == E_INT ? e : expr_map(L->a, e, on_extent, L); }
Expr *lower_dim(Lower *L, const Type *t, int axis) { return lower_extent(L, type_extent(L->g, t, axis)); }

static int kernel_of(const Lower *L) { return L->fusion ? L->fusion->kernel : 0; }
static Expr *node_value(Lower *L, Node *n, int out, Expr *const *idx);

Expr *lower_load_t(Lower *L, Tensor *t, Expr *const *idx) {
    Fusion *f = L->fusion;
    for (int i = 0; f && i < f->have.n; i++)
        if (f->have.v[i] == t) return f->value.v[i];
    if (fusion_inside(t, kernel_of(L)) && t->def->role == ROLE_INLINE) {
        bool may = L->may_let;
        L->may_let = false;
        Expr *e = fit_stored(L, t->type.dt, node_value(L, t->def, t->def_index, idx));
        L->may_let = may;
        return e;
    }
    int64_t count;
    DType ct = dtype_compute(t->type.dt);
    if (t->data && type_elements(&t->type, &count) && count == 1 && dtype_is_float(ct))
        return e_lit(L->a, ct, dtype_get_f(t->type.dt, t->data, 0));
    if (t->data && type_elements(&t->type, &count) && count == 1 && (dtype_is_int(ct) || ct == DT_BOOL))
        return e_lit_i(L->a, ct, dtype_get_i(t->type.dt, t->data, 0));
    Expr *flat;
    return e_load(L->a, lower_tensor(L, t), lower_buffer_index(L, t, idx, &flat));
}
Expr *lower_load(Lower *L, Node *n, int input, Expr *const *idx) { return lower_load_t(L, n->in[input], idx); }
Expr *lower_broadcast(Lower *L, const Type *t, int k, const Type *as, int o, Expr *idx) {
    if (t->dim[k] == 1) return e_int(L->a, 0);
    if (!t->ext || !t->ext[k] || extent_same(t, k, as, o)) return idx;
    return e_select(L->a, e_eq(L->a, lower_dim(L, t, k), e_int(L->a, 1)), e_int(L->a, 0), idx); /* it may be 1 at run time */
}
Expr *lower_load_b(Lower *L, Node *n, int input, const Type *as, Expr *const *idx) {
    Tensor *t = n->in[input];
    Expr *own[QN_MAX_RANK];
    for (int k = 0; k < t->type.rank; k++) {
        int o = k + as->rank - t->type.rank;
        own[k] = lower_broadcast(L, &t->type, k, as, o, idx[o]);
    }
    return lower_load_t(L, t, own);
}

/* ---- values of EXPR and COMPUTE nodes */
static int mentions(const char *formula, const char *name) {
    int n = 0;
    size_t len = strlen(name);
    for (const char *s = formula; (s = strstr(s, name)); s += len) {
        bool before = s > formula && (isalnum((unsigned char)s[-1]) || s[-1] == '_');
        n += !before && !isalnum((unsigned char)s[len]) && s[len] != '_';
    }
    return n;
}
enum { NAMES = 16, FIXED = 5 };
Expr *lower_formula(Lower *L, const char *formula, int n, const char *const *name, Expr *const *value) {
    const char *err;
    Expr *v[NAMES];
    if (n > NAMES) BUG("formula '%s' has more than %d names", formula, NAMES);
    for (int i = 0; i < n; i++) v[i] = L->may_let && mentions(formula, name[i]) > 1 ? lower_let(L, name[i], value[i]) : value[i];
    Expr *e = formula_build(L->a, formula, n, name, v, &err);
    if (!e) BUG("formula '%s': %s", formula, err);
    return e;
}
static Expr *formula_value(Lower *L, Node *n, Expr *const *operand, int noperand) {
    const OpDef *op = n->op;
    const char *name[NAMES] = {"x", "y", "z", "has_y", "has_z"};
    Expr *value[NAMES];
    int m = FIXED;
    for (int i = 0; i < 3; i++) {
        Expr *e = i < noperand ? operand[i] : NULL;
        if (i) value[2 + i] = e_lit_i(L->a, DT_BOOL, e != NULL);
        value[i] = e ? e : e_lit_i(L->a, operand[0]->t, 0); /* an absent one is named only behind has_y */
    }
    for (int i = 0; i < op->nattr; i++, m++) {
        name[m] = op->attr[i].name;
        value[m] = op->attr[i].kind == ATTR_FLOAT ? e_lit(L->a, DT_FLOAT32, (double)attr_f(n, i)) : e_int(L->a, attr_i(n, i));
    }
    return lower_formula(L, op->meaning, m, name, value);
}
static Expr *node_value(Lower *L, Node *n, int out, Expr *const *idx) {
    if (n->op->compute) return fit(L, n->out[out]->type.dt, n->op->compute(L, n, out, idx));
    if (n->op->kind != OP_EXPR) BUG("op %s is inlined but has no expression", n->op->name);
    const Type *t = &n->out[0]->type;
    Expr *v[3] = {NULL, NULL, NULL};
    if (n->op->max_in < 0) { /* variadic: from left to right */
        v[0] = lower_load_b(L, n, 0, t, idx);
        for (int i = 1; i < n->nin; i++) {
            v[1] = lower_load_b(L, n, i, t, idx);
            v[0] = formula_value(L, n, v, 2);
        }
        return v[0];
    }
    for (int i = 0; i < n->nin && i < 3; i++) v[i] = n->in[i] ? lower_load_b(L, n, i, t, idx) : NULL;
    return fit(L, t->dt, formula_value(L, n, v, n->nin < 3 ? n->nin : 3));
}

/* ---- stores, and what follows them */
static bool used_inside(const Tensor *t, int kernel) {
    for (const Use *u = t->uses; u; u = u->next)
        if (u->node->kernel == kernel) return true;
    return false;
}
static void store_at(Lower *L, Tensor *t, Expr *const *idx, Expr *val) {
    Expr *flat;
    append(L, s_store(L->a, lower_tensor(L, t), lower_buffer_index(L, t, idx, &flat), fit(L, t->type.dt, val), RED_NONE));
}
/* One value of the group at the current indices: bound to a name where it is read again, stored where others need it. */
static void point_value(Lower *L, Tensor *t, Expr *const *idx, Expr *val) {
    Fusion *f = L->fusion;
    bool stored = fusion_stored(t, f->kernel);
    if (used_inside(t, f->kernel)) {
        val = lower_let(L, "v", fit_stored(L, t->type.dt, val));
        vec_push(L->a, &f->have, t);
        vec_push(L->a, &f->value, val);
    }
    if (stored) store_at(L, t, idx, val);
}
void lower_store(Lower *L, Node *n, int output, Expr *const *idx, Expr *val) {
    Fusion *f = L->fusion;
    Tensor *t = output < n->nout ? n->out[output] : NULL;
    if (!t) return;
    if (!f || f->nnode == 1 || n != f->anchor || output != 0) {
        if (fusion_stored(t, kernel_of(L))) store_at(L, t, idx, val);
        return;
    }
    if (f->have.n) BUG("a store inside what follows a store");
    point_value(L, t, idx, val);
    L->may_let = true;
    for (int i = 0; i < f->nnode; i++) {
        Node *p = f->node[i];
        if (p->role == ROLE_POINT && p->out[0]) point_value(L, p->out[0], idx, node_value(L, p, 0, idx));
    }
    L->may_let = false;
    f->have.n = f->value.n = 0;
}

/* ---- groups */
static void lower_points(Lower *L, Node *n) { /* an EXPR or COMPUTE anchor: one loop per axis of each output */
    for (int o = 0; o < n->nout; o++) {
        Expr *idx[QN_MAX_RANK];
        if (!n->out[o]) continue;
        lower_loops(L, NULL, &n->out[o]->type, idx);
        L->may_let = true;
        Expr *v = node_value(L, n, o, idx);
        L->may_let = false;
        lower_store(L, n, o, idx, v);
        lower_ends(L, n->out[o]->type.rank);
    }
}
static void stored_tensors(Lower *L, int n, Node *const *v) {
    for (int i = 0; i < n; i++)
        for (int o = 0; o < v[i]->nout && (n == 1 || v[i]->role != ROLE_INLINE); o++)
            if (v[i]->out[o] && fusion_stored(v[i]->out[o], L->fusion->kernel)) {
                Buf *b = lower_tensor(L, v[i]->out[o]);
                b->written = true;
                vec_push(L->a, &L->f->param, b);
            }
}
/* Parameters: tensors read, tensors stored, scratch. */
static Tensor **collect_params(Lower *L, int n, Node *const *v) {
    Func *f = L->f;
    for (int i = 0; i < L->tensor_buf.n; i++) {
        Tensor *t = L->tensor_buf.v[i]->tensor;
        bool own = t->def && ((n == 1 && t->def == v[0]) || fusion_inside(t, L->fusion->kernel));
        if (!own) vec_push(L->a, &f->param, L->tensor_buf.v[i]);
    }
    stored_tensors(L, n, v);
    for (int i = 0; i < L->scratch.n; i++) vec_push(L->a, &f->param, L->scratch.v[i]);
    Tensor **args = NEW_ARRAY(L->a, Tensor *, f->param.n);
    for (int i = 0; i < f->param.n; i++) args[i] = f->param.v[i]->tensor;
    return args;
}

/* Whether everything that is stored has no elements: then there is nothing to do, and no loop minds extents of 0 inside huge ones. */
static bool all_empty(const Lower *L, int n, Node *const *v) {
    int64_t count;
    for (int i = 0; i < n; i++)
        for (int o = 0; o < v[i]->nout && (n == 1 || v[i]->role != ROLE_INLINE); o++)
            if (v[i]->out[o] && fusion_stored(v[i]->out[o], L->fusion->kernel) &&
                (!type_elements(&v[i]->out[o]->type, &count) || count || v[i]->out[o]->bytes))
                return false;
    return true;
}
static bool lower_anchor(Lower *L, Node *n) {
    switch (n->op->kind) {
    case OP_EXPR:
    case OP_COMPUTE: lower_points(L, n); return true;
    case OP_KERNEL:
    case OP_OPAQUE: return n->op->lower(L, n);
    case OP_REWRITE: break;
    }
    BUG("op %s was not expanded", n->op->name);
}
Func *lower_kernel(Ctx *c, Graph *g, int n, Node *const *v, const char *name, Tensor ***args) {
    Func *f = func_new(c->a, name);
    Fusion fu = {.kernel = n > 1 ? v[0]->kernel : 0, .node = v, .nnode = n, .anchor = v[0]};
    for (int i = 0; n > 1 && i < n; i++)
        if (v[i]->role == ROLE_ANCHOR) fu.anchor = v[i];
    Lower L = {.c = c, .a = c->a, .g = g, .f = f, .fusion = &fu, .names = map_new(c->a)};
    Node *a = fu.anchor;
    open_block(&L, f->body);
    if (!all_empty(&L, n, v) && !lower_anchor(&L, a)) return NULL;
    if (L.open.n != 1) BUG("op %s left %d loops open", a->op->name, L.open.n - 1);
    *args = collect_params(&L, n, v);
    return f;
}
