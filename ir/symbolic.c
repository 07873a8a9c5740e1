/* SPDX-License-Identifier: Apache-2.0 */
/* symbolic.c: shape arithmetic on expressions. A node's own loop nest is run on small tensors whose elements are expressions in the
 * graph's extents; loops and addresses must come out constant. So every operator that has a nest follows shapes, without a rule
 * of its own.
 *
 *   Mul([batch, 3], 2)   --->   [2 * batch, 6]
 */
#include "extent.h"
#include "fusion.h"
#include <string.h>

enum { STEPS = 20000, ELEMENTS = 1024 };
typedef struct Slot { /* what a variable is */
    const Var *v;
    Expr *e;
} Slot;
typedef struct Symbolic {
    Arena *a;
    Graph *g;
    Expr ***buf; /* by buffer id: elements, NULL: not written */
    Vec(Slot) slot;
    int steps;
    bool stuck;
} Symbolic;

static int64_t buffer_size(const Buf *b) {
    int64_t n = 1;
    for (int i = 0; i < b->rank; i++)
        if (!mul_ok(n, b->dim[i], &n)) return -1;
    return n;
}
static Expr **element(Symbolic *s, const Buf *b, Expr *const *idx) {
    int64_t at = 0, k;
    for (int i = 0; i < b->rank; i++) {
        if (!idx[i] || !e_is_int(idx[i], &k) || k < 0 || k >= b->dim[i]) return NULL;
        at = at * b->dim[i] + k;
    }
    return s->buf[b->id] ? &s->buf[b->id][at] : NULL;
}
static Expr *get_stuck(Symbolic *s) {
    s->stuck = true;
    return e_int(s->a, 0);
}
static Expr *value(Symbolic *s, Expr *e) {
    Expr *v[4], *r;
    if (s->stuck || --s->steps < 0) return get_stuck(s);
    switch (e->k) {
    case E_INT:
    case E_FLT: return e;
    case E_VAR:
        for (int i = s->slot.n - 1; i >= 0; i--)
            if (s->slot.v[i].v == e->u.v) return s->slot.v[i].e;
        return extent_find(s->g, e->u.v) ? e : get_stuck(s);
    case E_LOAD: {
        Expr *idx[QN_MAX_RANK];
        for (int i = 0; i < e->u.ld.buf->rank; i++) idx[i] = value(s, e->u.ld.idx[i]);
        Expr **p = s->stuck ? NULL : element(s, e->u.ld.buf, idx);
        return p && *p ? *p : get_stuck(s);
    }
    case E_UN: return e_un(s->a, (UnOp)e->op, value(s, e->u.a[0]));
    case E_BIN:
        v[0] = value(s, e->u.a[0]);
        if ((e->op == BIN_LAND || e->op == BIN_LOR) && v[0]->k == E_INT && (v[0]->u.i != 0) == (e->op == BIN_LOR)) return v[0];
        v[1] = value(s, e->u.a[1]);
        r = e_bin(s->a, (BinOp)e->op, v[0], v[1]);
        return r->t == DT_INT64 || r->t == DT_BOOL ? extent_simplify(s->g, r) : r;
    case E_SELECT:
        v[0] = value(s, e->u.a[0]);
        if (v[0]->k == E_INT) return value(s, e->u.a[v[0]->u.i ? 1 : 2]);
        v[1] = value(s, e->u.a[1]), v[2] = value(s, e->u.a[2]);
        return s->stuck ? v[1] : e_select(s->a, v[0], v[1], v[2]);
    case E_CAST: return e_cast(s->a, e->to, value(s, e->u.a[0]));
    case E_CALL:
        for (int i = 0; i < e->narg && i < 4; i++) v[i] = value(s, e->u.arg[i]);
        return s->stuck ? get_stuck(s) : e_call(s->a, (CallFn)e->op, v);
    }
    return get_stuck(s);
}
static void run(Symbolic *s, Stmt *st);
static void run_loop(Symbolic *s, Stmt *st) {
    int64_t lo, hi;
    Expr *from = value(s, st->u.loop.lo), *to = value(s, st->u.loop.hi);
    if (s->stuck || !e_is_int(from, &lo) || !e_is_int(to, &hi)) {
        s->stuck = true;
        return;
    }
    int at = s->slot.n;
    for (int64_t i = lo; i < hi && !s->stuck; i++) {
        s->slot.n = at;
        vec_push(s->a, &s->slot, ((Slot){st->u.loop.v, e_int(s->a, i)}));
        run(s, st->u.loop.body);
    }
    s->slot.n = at;
}
static void run_store(Symbolic *s, Stmt *st) {
    static const BinOp op[] = {[RED_ADD] = BIN_ADD, [RED_MUL] = BIN_MUL, [RED_MIN] = BIN_MIN, [RED_MAX] = BIN_MAX,
                               [RED_AND] = BIN_AND, [RED_OR] = BIN_OR,   [RED_XOR] = BIN_XOR};
    Expr *idx[QN_MAX_RANK], *v = value(s, st->u.st.val);
    for (int i = 0; i < st->u.st.buf->rank; i++) idx[i] = value(s, st->u.st.idx[i]);
    Expr **p = s->stuck ? NULL : element(s, st->u.st.buf, idx);
    if (!p || (st->u.st.red != RED_NONE && !*p)) {
        s->stuck = true;
        return;
    }
    if (st->u.st.red != RED_NONE) v = e_bin(s->a, op[st->u.st.red], *p, v);
    *p = v->t == DT_INT64 ? extent_simplify(s->g, v) : v;
}
static void run(Symbolic *s, Stmt *st) {
    if (s->stuck || --s->steps < 0) {
        s->stuck = true;
        return;
    }
    switch (st->k) {
    case S_FOR: run_loop(s, st); break;
    case S_STORE: run_store(s, st); break;
    case S_LET: {
        Expr *v = value(s, st->u.let.val);
        vec_push(s->a, &s->slot, ((Slot){st->u.let.v, v}));
        break;
    }
    case S_IF: {
        Expr *c = value(s, st->u.cond.cond);
        if (s->stuck || c->k != E_INT) s->stuck = true;
        else if (c->u.i) run(s, st->u.cond.then);
        else if (st->u.cond.other) run(s, st->u.cond.other);
        break;
    }
    case S_ALLOC: {
        int64_t n = buffer_size(st->u.alloc);
        if (n < 0 || n > ELEMENTS) s->stuck = true;
        else s->buf[st->u.alloc->id] = NEW_ARRAY(s->a, Expr *, n + 1);
        break;
    }
    case S_CALL: s->stuck = true; break;
    case S_BLOCK: {
        int at = s->slot.n;
        for (int i = 0; i < st->u.block.n && !s->stuck; i++) run(s, st->u.block.v[i]);
        s->slot.n = at;
        break;
    }
    }
}
static Expr **operand(Symbolic *s, const Tensor *t, int64_t n) {
    if (t->val) return t->val;
    DType ct = dtype_compute(t->type.dt);
    if (!t->data || !(dtype_is_float(ct) || dtype_is_int(ct) || ct == DT_BOOL)) return NULL;
    Expr **v = NEW_ARRAY(s->a, Expr *, n + 1);
    for (int64_t i = 0; i < n; i++)
        v[i] = dtype_is_float(ct) ? e_lit(s->a, ct, dtype_get_f(t->type.dt, t->data, i))
                                  : e_lit_i(s->a, ct, dtype_get_i(t->type.dt, t->data, i));
    return v;
}
static bool shape_values(Graph *g, Node *n, Expr ***val) {
    const Type *t = &n->in[0]->type;
    if (strcmp(n->op->name, "Size") == 0) {
        val[0] = NEW_ARRAY(g->a, Expr *, 1);
        val[0][0] = type_count(g, t, 0, t->rank);
        return true;
    }
    int64_t lo = attr_i(n, 0), hi = attr_has(n, 1) ? attr_i(n, 1) : t->rank;
    lo = max_i64(0, min_i64(lo < 0 ? lo + t->rank : lo, t->rank));
    hi = max_i64(lo, min_i64(hi < 0 ? hi + t->rank : hi, t->rank));
    val[0] = NEW_ARRAY(g->a, Expr *, hi - lo + 1);
    for (int64_t i = lo; i < hi; i++) val[0][i - lo] = type_extent(g, t, (int)i);
    return true;
}
bool symbolic_values(Ctx *c, Graph *g, Node *n, Expr ***val) {
    int64_t count;
    if (!n->op->domain[0] && (strcmp(n->op->name, "Shape") == 0 || strcmp(n->op->name, "Size") == 0)) return shape_values(g, n, val);
    if (n->op->kind == OP_REWRITE || (n->op->flags & OPF_RANDOM)) return false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] &&
            (n->in[i]->type.ext || !type_elements(&n->in[i]->type, &count) || count > ELEMENTS || !(n->in[i]->data || n->in[i]->val)))
            return false;
    for (int o = 0; o < n->nout; o++)
        if (n->out[o] && (n->out[o]->type.ext || !type_elements(&n->out[o]->type, &count) || count > VALUES_MOST)) return false;
    Ctx tc = {g->a, c->d};
    Tensor **arg;
    Func *f = lower_kernel(&tc, g, 1, &n, "symbolic", &arg);
    if (!f) return false;
    Symbolic s = {.a = g->a, .g = g, .buf = NEW_ARRAY(g->a, Expr **, f->nbuf + 1), .steps = STEPS};
    for (int o = 0; o < n->nout; o++) val[o] = n->out[o] ? NEW_ARRAY(g->a, Expr *, tensor_elements(n->out[o]) + 1) : NULL;
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        int64_t size = buffer_size(b);
        if (size < 0 || size > ELEMENTS) return false;
        if (!arg[i]) s.buf[b->id] = NEW_ARRAY(g->a, Expr *, size + 1);
        else if (arg[i]->def == n) s.buf[b->id] = val[arg[i]->def_index];
        else if (!(s.buf[b->id] = operand(&s, arg[i], size))) return false;
    }
    run(&s, f->body);
    for (int o = 0; o < n->nout && !s.stuck; o++)
        for (int64_t k = 0; n->out[o] && k < tensor_elements(n->out[o]); k++) s.stuck |= !val[o][k];
    return !s.stuck;
}
