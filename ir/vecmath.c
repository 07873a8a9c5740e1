/* SPDX-License-Identifier: Apache-2.0 */
/* vecmath.c: calls of transcendental functions in float32 become the lines of vecmath.def. Every name of a line is a let in front of
 * the statement, so that nothing is written out twice; the last line is the value.
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
#include "vecmath.def"
};
static const char *const near[CALL_COUNT] = {
#define ROW(fn, bound, text)
#define NEAR(fn, text) [CALL_##fn] = text,
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
Expr *vecmath_call(Func *f, Stmt *block, CallFn fn, Expr *x) {
    if (!rows[fn].known || x->t != DT_FLOAT32) return NULL;
    const char *name[NAMES] = {"x"}, *err;
    Expr *value[NAMES] = {let(f, block, "x_v", x)};
    int n = 1;
    for (const char *s = near[fn] && is_near(x) ? near[fn] : rows[fn].lines;; n++) {
        while (*s == ' ') s++;
        const char *eq = strstr(s, " = "), *end = strchr(s, ';');
        if (n == NAMES || !eq || (end && eq > end)) BUG("vecmath.def: a line of %s is not 'name = value'", call_info[fn].name);
        name[n] = arena_strndup(f->a, s, (size_t)(eq - s));
        const char *text = end ? arena_strndup(f->a, eq + 3, (size_t)(end - eq - 3)) : eq + 3;
        Expr *e = formula_build(f->a, text, n, name, value, &err);
        if (!e) BUG("vecmath.def: %s, '%s': %s", call_info[fn].name, text, err);
        if (!end) return e;
        value[n] = let(f, block, arena_printf(f->a, "%s_v", name[n]), e);
        s = end + 1;
    }
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
static bool is_row(const Expr *e) { return e->k == E_CALL && rows[e->op].known && e->u.arg[0]->t == DT_FLOAT32; }
/* Marks what is always evaluated; says whether there is anything to do. */
static bool mark(Expand *x, const Expr *e) {
    Slot *s = slot_of(x, e);
    if (s->free) return false;
    s->free = true;
    int n;
    Expr **v = e_operands(e, &n);
    bool any = is_row(e);
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
    bool any = is_row(e);
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
    if (e->k == E_LOAD || e->k == E_VAR || e->k == E_INT || e->k == E_FLT) return e;
    Slot *s = slot_of(x, e);
    if (s->to) return s->to;
    Arena *a = x->f->a;
    int n;
    Expr **v = e_operands(e, &n), *o[3];
    bool change = false, free = s->free;
    if (n > 3) return e;
    for (int i = 0; i < n; i++) o[i] = expand(x, v[i]), change |= o[i] != v[i];
    Expr *r = e;
    if (is_row(e) && (free || movable(x, e))) {
        x->count++;
        r = vecmath_call(x->f, x->block, (CallFn)e->op, o[0]);
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
static void expand_block(Expand *x, Stmt *block) {
    Stmt *out = s_block(x->f->a);
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *s = block->u.block.v[i];
        x->block = out;
        switch (s->k) {
        case S_STORE: s->u.st.val = expand_value(x, s->u.st.val); break;
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
int vecmath_expand(Func *f) {
    Expand x = {.f = f, .tmp = arena_new()};
    expand_block(&x, f->body);
    arena_free(x.tmp);
    return x.count;
}
