/* SPDX-License-Identifier: Apache-2.0 */
/* vecmath.c: calls of transcendental functions in float32, and what reads, rounds to or stores shorter floats, become the lines of
 * vecmath.def. Every name of a line is a let in front of the statement, so that nothing is written out twice; the last line is the value.
 * Buffers of shorter floats become ones of their bits.
 *
 *   y[i] = exp(x[i])   --->   let x_v = x[i]; let c = min(max(x_v, -104), 89); let t = …; y[i] = bits_f32(…)*bits_f32(…) + c*0
 */
#include "vecmath.h"
#include "ops.h"
#include <string.h>

static const struct Row {
    const char *lines;
    double ulp;
    bool known;
} rows[CALL_COUNT] = {
#define ROW(fn, bound, text) [CALL_##fn] = {.lines = text, .ulp = bound, .known = true},
#define NEAR(fn, text)
#define SHORT(type, read, rounded, bits)
#include "vecmath.def"
};
static const char *const near[CALL_COUNT] = {
#define ROW(fn, bound, text)
#define NEAR(fn, text) [CALL_##fn] = text,
#define SHORT(type, read, rounded, bits)
#include "vecmath.def"
};
static const struct Short {
    const char *read, *rounded, *bits;
} shorts[DT_COUNT] = {
#define ROW(fn, bound, text)
#define NEAR(fn, text)
#define SHORT(type, r, v, b) [DT_##type] = {r, v, b},
#include "vecmath.def"
};
enum { NEAR_LEAST = -80 };
static bool is_near(const Expr *x) { return x->k == E_BIN && x->op == BIN_MAX && x->u.a[1]->k == E_FLT && x->u.a[1]->u.f >= NEAR_LEAST; }
double vecmath_ulp(CallFn fn) { return rows[fn].known ? rows[fn].ulp : -1; }

/* ---- one call */
enum { NAMES = 24 };
static Expr *let(Func *f, Stmt *block, const char *name, Expr *e) {
    if (e->k == E_VAR || e->k == E_INT || e->k == E_FLT) return e;
    Var *v = var_new(f, name, e->t);
    s_append(f->a, block, s_let(f->a, v, e));
    return e_var(f->a, v);
}
/* Lines of a function of x. block NULL: no lets, for x is not to be evaluated before it is asked for. */
static Expr *lines(Func *f, Stmt *block, const char *what, const char *text, Expr *x) {
    const char *name[NAMES] = {"x"}, *err;
    Expr *value[NAMES] = {block ? let(f, block, "x_v", x) : x};
    int n = 1;
    for (const char *s = text;; n++) {
        while (*s == ' ') s++;
        const char *eq = strstr(s, " = "), *end = strchr(s, ';');
        if (n == NAMES || !eq || (end && eq > end)) BUG("vecmath.def: a line of %s is not 'name = value'", what);
        name[n] = arena_strndup(f->a, s, (size_t)(eq - s));
        const char *line = end ? arena_strndup(f->a, eq + 3, (size_t)(end - eq - 3)) : eq + 3;
        Expr *e = formula_build(f->a, line, n, name, value, &err);
        if (!e) BUG("vecmath.def: %s, '%s': %s", what, line, err);
        if (!end) return e;
        value[n] = block ? let(f, block, arena_printf(f->a, "%s_v", name[n]), e) : e;
        s = end + 1;
    }
}
Expr *vecmath_call(Func *f, Stmt *block, CallFn fn, Expr *x) {
    if (!rows[fn].known || x->t != DT_FLOAT32) return NULL;
    return lines(f, block, call_info[fn].name, near[fn] && is_near(x) ? near[fn] : rows[fn].lines, x);
}

/* ---- all calls of a function. Expressions are DAGs: each node is visited once per statement. */
typedef struct Slot {
    const Expr *from;
    Expr *to;
    bool free; /* evaluated whatever the conditions say */
} Slot;
typedef struct Expand {
    Func *f;
    Stmt *block; /* new statements */
    Arena *tmp;
    Slot *slot;
    int n, cap;
    int count;
    DType *was; /* by buffer id: the shorter float whose bits it now holds, or DT_NONE */
} Expand;
static Slot *slot_of(Expand *x, const Expr *e) {
    if (2 * (x->n + 1) > x->cap) {
        Slot *old = x->slot;
        int cap = x->cap;
        x->cap = cap ? 2 * cap : 64;
        x->slot = NEW_ARRAY(x->tmp, Slot, x->cap);
        x->n = 0;
        for (int i = 0; i < cap; i++)
            if (old[i].from) *slot_of(x, old[i].from) = old[i];
    }
    size_t at = ((uintptr_t)e >> 4) * 0x9E3779B1u & (size_t)(x->cap - 1);
    while (x->slot[at].from && x->slot[at].from != e) at = (at + 1) & (size_t)(x->cap - 1);
    if (!x->slot[at].from) x->slot[at].from = e, x->n++;
    return &x->slot[at];
}
static bool conditional(const Expr *e, int child) {
    return child > 0 && (e->k == E_SELECT || (e->k == E_BIN && (e->op == BIN_LAND || e->op == BIN_LOR)));
}
static DType bits_of(const Expand *x, const Buf *b) { return x->was[b->id]; }
static bool is_row(const Expand *x, const Expr *e) {
    if (e->k == E_LOAD) return bits_of(x, e->u.ld.buf) != DT_NONE;
    if (e->k == E_CAST) return shorts[e->to].rounded && e->u.a[0]->t == DT_FLOAT32;
    return e->k == E_CALL && rows[e->op].known && e->u.arg[0]->t == DT_FLOAT32;
}
/* Marks what is always evaluated; says whether there is anything to do. */
static bool mark(Expand *x, const Expr *e) {
    Slot *s = slot_of(x, e);
    if (s->free) return false;
    s->free = true;
    int n;
    Expr **v = e_operands(e, &n);
    bool any = is_row(x, e);
    for (int i = 0; i < n; i++)
        if (!conditional(e, i)) any |= mark(x, v[i]);
    return any;
}
static bool has_row(Expand *x, const Expr *e) { /* anywhere */
    Slot *s = slot_of(x, e);
    if (s->to) return false;
    s->to = (Expr *)e;
    int n;
    Expr **v = e_operands(e, &n);
    bool any = is_row(x, e);
    for (int i = 0; i < n && !any; i++) any |= has_row(x, v[i]);
    return any;
}
static bool movable(Expand *x, const Expr *e) {
    if (e->k == E_LOAD) return e->u.ld.buf->rank == 0 || slot_of(x, e)->free;
    if (slot_of(x, e)->free) return true;
    int n;
    Expr **v = e_operands(e, &n);
    for (int i = 0; i < n; i++)
        if (!movable(x, v[i])) return false;
    return true;
}
static Expr *expand(Expand *x, Expr *e) {
    if ((e->k == E_LOAD && !is_row(x, e)) || e->k == E_VAR || e->k == E_INT || e->k == E_FLT) return e;
    Slot *s = slot_of(x, e);
    if (s->to) return s->to;
    Arena *a = x->f->a;
    if (e->k == E_LOAD) {
        const Buf *b = e->u.ld.buf;
        Expr *r = lines(x->f, s->free ? x->block : NULL, "a load", shorts[bits_of(x, b)].read, e_load(a, e->u.ld.buf, e->u.ld.idx));
        slot_of(x, e)->to = r;
        x->count++;
        return r;
    }
    int n;
    Expr **v = e_operands(e, &n), *o[4];
    bool change = false, free = s->free;
    for (int i = 0; i < n; i++) o[i] = expand(x, v[i]), change |= o[i] != v[i];
    Expr *r = e;
    if (is_row(x, e) && (free || movable(x, e))) {
        x->count++;
        r = e->k == E_CAST ? lines(x->f, x->block, "a rounding", shorts[e->to].rounded, o[0])
                           : vecmath_call(x->f, x->block, (CallFn)e->op, o[0]);
    } else if (change) {
        switch (e->k) {
        case E_UN: r = e_un(a, (UnOp)e->op, o[0]); break;
        case E_CAST: r = e_cast(a, e->to, o[0]); break;
        case E_BIN: r = e_bin(a, (BinOp)e->op, o[0], o[1]); break;
        case E_SELECT: r = e_select(a, o[0], o[1], o[2]); break;
        default: r = e_call(a, (CallFn)e->op, o); break;
        }
    }
    slot_of(x, e)->to = r; /* the table may have grown */
    return r;
}
static Expr *expand_value(Expand *x, Expr *e) {
    x->slot = NULL, x->n = x->cap = 0;
    if (!has_row(x, e)) return e;
    x->slot = NULL, x->n = x->cap = 0;
    mark(x, e);
    return expand(x, e);
}
static void expand_store(Expand *x, Stmt *s) {
    DType dt = bits_of(x, s->u.st.buf);
    Expr *v = s->u.st.val;
    if (dt && v->k == E_CAST && v->to == dt && v->u.a[0]->t == DT_FLOAT32) v = v->u.a[0]; /* rounded here */
    v = expand_value(x, v);
    s->u.st.val = dt ? lines(x->f, x->block, "a store", shorts[dt].bits, v) : v;
}
static void expand_block(Expand *x, Stmt *block) {
    Stmt *out = s_block(x->f->a);
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *s = block->u.block.v[i];
        x->block = out;
        switch (s->k) {
        case S_STORE: expand_store(x, s); break;
        case S_LET: s->u.let.val = expand_value(x, s->u.let.val); break;
        case S_FOR: expand_block(x, s->u.loop.body); break;
        case S_BLOCK: expand_block(x, s); break;
        case S_IF:
            expand_block(x, s->u.cond.then);
            if (s->u.cond.other) expand_block(x, s->u.cond.other);
            break;
        default: break;
        }
        s_append(x->f->a, out, s);
    }
    block->u.block = out->u.block;
}
/* ---- buffers of shorter floats, of which single elements are loaded and stored in values */
static void keep_loads(Expand *x, const Expr *e, bool index) { /* loads in an index are not rewritten */
    Slot *s = slot_of(x, e);
    if (s->free && (s->to || !index)) return;
    s->free = true, s->to = index ? (Expr *)e : s->to;
    int n;
    Expr **v = e_operands((Expr *)e, &n);
    if (e->k == E_LOAD && index) x->was[e->u.ld.buf->id] = DT_NONE;
    for (int i = 0; i < n; i++) keep_loads(x, v[i], index || e->k == E_LOAD);
}
static void keep_in(Expand *x, const Expr *e, bool index) {
    x->slot = NULL, x->n = x->cap = 0;
    keep_loads(x, e, index);
}
static void keep_others(void *user, Stmt *s) {
    Expand *x = user;
    switch (s->k) {
    case S_FOR: keep_in(x, s->u.loop.lo, true), keep_in(x, s->u.loop.hi, true); break;
    case S_IF: keep_in(x, s->u.cond.cond, true); break;
    case S_LET: keep_in(x, s->u.let.val, false); break;
    case S_STORE:
        if (s->u.st.red != RED_NONE || s->u.st.val->t != DT_FLOAT32) x->was[s->u.st.buf->id] = DT_NONE;
        for (int i = 0; i < s->u.st.buf->rank; i++) keep_in(x, s->u.st.idx[i], true);
        keep_in(x, s->u.st.val, false);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.nbuf; i++) x->was[s->u.call.buf[i]->id] = DT_NONE;
        break;
    default: break;
    }
}
static void is_short(Expand *x, Buf *b) {
    if (shorts[b->dt].read) x->was[b->id] = b->dt, x->count++;
}
static void allocated_short(void *user, Stmt *s) {
    if (s->k == S_ALLOC) is_short(user, s->u.alloc);
}
static void become_bits(Expand *x, Buf *b) {
    if (x->was[b->id]) b->dt = DT_UINT16;
}
static void allocated_bits(void *user, Stmt *s) {
    if (s->k == S_ALLOC) become_bits(user, s->u.alloc);
}
static void short_buffers(Expand *x) {
    Func *f = x->f;
    for (int i = 0; i < f->param.n; i++) is_short(x, f->param.v[i]);
    stmt_each(f->body, allocated_short, x);
    if (!x->count) return;
    stmt_each(f->body, keep_others, x);
    for (int i = 0; i < f->param.n; i++) become_bits(x, f->param.v[i]);
    stmt_each(f->body, allocated_bits, x);
}
int vecmath_expand(Func *f) {
    Expand x = {.f = f, .tmp = arena_new()};
    x.was = NEW_ARRAY(x.tmp, DType, f->nbuf + 1);
    short_buffers(&x);
    x.count = 0;
    expand_block(&x, f->body);
    arena_free(x.tmp);
    return x.count;
}
