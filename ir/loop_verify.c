/* SPDX-License-Identifier: Apache-2.0 */
/* loop_verify.c: is a Func well-formed? Scopes and unique binding, types, index ranks, memory spaces, written flags, and
 * indices that are certain to leave their buffer. All problems are reported. Linear in the number of distinct nodes: an
 * expression is a DAG, so a node that was checked is not looked into again.
 *
 *   for m in 0..4: y[m + 1] = 0.0, y: float32[4]   ->   error: index 0 of 'y' is 1..4, the dimension is 4
 *
 * Why one innermost binding per node is enough to check scopes again: bindings nest. When everything a node uses was bound
 * at its first visit and the innermost of these bindings is still open, so are all outside of it.
 */
#include "loop_text.h"
#include <string.h>

enum { MAX_DEPTH = 1000, MAX_REG = 1 << 16, MAX_STACK = 16 << 10, BOUNDS_NODES = 2000, BOUNDS_DEPTH = 200 };

typedef struct Binding { /* of a variable or a buffer, an entry of the scope stack */
    int height;          /* position in the scope stack while open, from 1; 0: closed */
    bool exact;          /* a variable that takes every value of its range, whatever the others are */
} Binding;
typedef struct Seen { /* what is known of one expression node */
    const Expr *e;
    Binding *inner; /* innermost binding it uses; NULL: none */
    int tree;       /* nodes of it as a tree, saturating */
    int depth;
    bool open;    /* operands are being visited */
    bool certain; /* visited where evaluation is certain: its loads were checked strictly */
} Seen;
typedef struct Verifier {
    Ctx *c;
    Arena *a; /* of this verification */
    const Func *f;
    bool ok;
    Binding **var, **buf;          /* by id; NULL: not bound yet */
    const void **var_of, **buf_of; /* whose id it is */
    Vec(Binding *) scope;
    Map *live; /* names of buffers in scope */
    Seen *table;
    int nseen, cap;
    Ranges ranges;
    int64_t stack; /* bytes of MEM_STACK buffers in scope */
    int unsure;    /* enclosing ifs, selects and loops that may not run */
    int depth;
} Verifier;

#define FAIL(v, ...) ((v)->ok = false, diag_error((v)->c->d, (Loc){NULL, -1, (v)->f->name, "func"}, __VA_ARGS__))

/* ---- types */
static bool is_value_type(DType t) {
    return t > 0 && t < DT_COUNT && dtype_compute(t) == t && (dtype_is_float(t) || dtype_is_int(t) || t == DT_BOOL);
}
static bool is_storage_type(DType t) { return t > 0 && t < DT_COUNT && is_value_type(dtype_compute(t)); }
static bool no(Text *why, const char *what, DType found, const char *expected) {
    text_printf(why, "%s has type %s, expected %s", what, dtype_name(found), expected);
    return false;
}
static bool bin_type_ok(const Expr *e, Text *why) {
    const Expr *x = e->u.a[0], *y = e->u.a[1];
    const char *op = bin_text[e->op].text;
    bool compare = e->op >= BIN_LT && e->op <= BIN_NE, logic = e->op == BIN_LAND || e->op == BIN_LOR;
    if (x->t != y->t) {
        text_printf(why, "operands of '%s' have types %s and %s; cast one of them", op, dtype_name(x->t), dtype_name(y->t));
        return false;
    }
    if (logic && x->t != DT_BOOL) return no(why, "an operand of && or ||", x->t, "bool");
    if (e->op >= BIN_AND && e->op <= BIN_SHR && dtype_is_float(x->t))
        return no(why, "an operand of a bit operation", x->t, "an integer type");
    if (e->op == BIN_MOD && x->t == DT_HALF) return no(why, "an operand of %", x->t, "a cast to float32");
    DType t = compare || logic ? DT_BOOL : x->t;
    return e->t == t || no(why, "the result of a binary operation", e->t, dtype_name(t));
}
static bool call_type_ok(const Expr *e, Text *why) {
    const CallInfo *ci = &call_info[e->op];
    DType t = e->u.arg[0]->t;
    for (int i = 0; i < e->narg; i++) {
        if (e->u.arg[i]->t != t) {
            text_printf(why, "arguments of %s have types %s and %s", ci->name, dtype_name(t), dtype_name(e->u.arg[i]->t));
            return false;
        }
        bool ok = ci->kind == 'i'   ? dtype_is_int(t)
                  : ci->kind == 'd' ? t == DT_INT32
                  : ci->kind == 't' ? t == DT_FLOAT32
                  : ci->kind == 'u' ? t == DT_UINT32
                                    : dtype_is_float(t) && t != DT_HALF;
        if (!ok) {
            text_printf(why, "an argument of %s has type %s, expected %s", ci->name, dtype_name(t),
                        ci->kind == 'i'   ? "an integer"
                        : ci->kind == 'd' ? "int32"
                        : ci->kind == 't' ? "float32"
                        : ci->kind == 'u' ? "uint32"
                        : t == DT_HALF    ? "a cast to float32"
                                          : "a float");
            return false;
        }
    }
    DType r = call_result((CallFn)e->op, t);
    return e->t == r || no(why, "the result of a call", e->t, dtype_name(r));
}
bool expr_type_ok(const Expr *e, Text *why) {
    if (!is_value_type(e->t)) return no(why, "an expression", e->t, "a type of values");
    const Expr *x = e->u.a[0];
    switch (e->k) {
    case E_INT: return !dtype_is_float(e->t) || no(why, "an integer literal", e->t, "an integer or bool type");
    case E_FLT: return dtype_is_float(e->t) || no(why, "a floating literal", e->t, "a floating type");
    case E_VAR: return e->t == e->u.v->t || no(why, "a use of a variable", e->t, dtype_name(e->u.v->t));
    case E_LOAD: {
        DType t = is_storage_type(e->u.ld.buf->dt) ? dtype_compute(e->u.ld.buf->dt) : DT_NONE;
        for (int i = 0; i < e->narg; i++)
            if (e->u.ld.idx[i]->t != DT_INT64) return no(why, "an index", e->u.ld.idx[i]->t, "int64");
        return e->t == t || no(why, "a load", e->t, dtype_name(t));
    }
    case E_UN:
        if (e->op == UN_NOT) {
            if (x->t != DT_BOOL) return no(why, "the operand of !", x->t, "bool");
            return e->t == DT_BOOL || no(why, "the result of !", e->t, "bool");
        }
        if (e->op == UN_INV && dtype_is_float(x->t)) return no(why, "the operand of ~", x->t, "an integer type");
        return e->t == x->t || no(why, "the result of a unary operation", e->t, dtype_name(x->t));
    case E_BIN: return bin_type_ok(e, why);
    case E_SELECT:
        if (x->t != DT_BOOL) return no(why, "the condition of select", x->t, "bool");
        if (e->u.a[1]->t != e->u.a[2]->t) {
            text_printf(why, "branches of select have types %s and %s; cast one of them", dtype_name(e->u.a[1]->t),
                        dtype_name(e->u.a[2]->t));
            return false;
        }
        return e->t == e->u.a[1]->t || no(why, "the result of select", e->t, dtype_name(e->u.a[1]->t));
    case E_CAST:
        if (!is_storage_type(e->to)) return no(why, "the target of a cast", e->to, "a type of elements");
        if ((x->t == DT_HALF && e->to != DT_FLOAT32 && e->to != DT_HALF) || (e->to == DT_HALF && x->t != DT_FLOAT32 && x->t != DT_HALF))
            return no(why, x->t == DT_HALF ? "a cast from half" : "a cast to half, of a value that", x->t == DT_HALF ? e->to : x->t,
                      "float32 between");
        return e->t == dtype_compute(e->to) || no(why, "the result of a cast", e->t, dtype_name(dtype_compute(e->to)));
    case E_CALL: return call_type_ok(e, why);
    }
    return false;
}

/* ---- bindings */
static bool fail_at(Verifier *v, const Expr *e, const char *what) {
    Text t = {0};
    expr_print_some(e, &t, 20);
    FAIL(v, "in `%s`: %s", t.s, what);
    text_free(&t);
    return false;
}
/* `again`: the binding of the same thing before, an error; going on with it gives no errors that follow from that one. */
static Binding *bind(Verifier *v, Binding *again) {
    Binding *b = again ? again : NEW(v->a, Binding);
    vec_push(v->a, &v->scope, b);
    b->height = v->scope.n;
    return b;
}
static Binding *bind_var(Verifier *v, const Var *x, bool exact) {
    if (!x) {
        FAIL(v, "a loop or let has no variable");
        return NULL;
    }
    if (!text_is_ident(x->name)) FAIL(v, "'%s' is no identifier that a variable can have", x->name ? x->name : "(null)");
    if (!is_value_type(x->t)) FAIL(v, "variable '%s' has type %s, expected a type of values", x->name, dtype_name(x->t));
    if (x->id < 0 || x->id >= v->f->nvar) {
        FAIL(v, "variable '%s' has number %d of %d", x->name, x->id, v->f->nvar);
        return NULL;
    }
    Binding *again = v->var_of[x->id] == x ? v->var[x->id] : NULL;
    if (v->var[x->id]) FAIL(v, again ? "variable '%s' is bound twice" : "variable '%s' has the number of another one", x->name);
    v->var_of[x->id] = x;
    v->var[x->id] = bind(v, again);
    v->var[x->id]->exact = exact;
    return v->var[x->id];
}
static void check_buf(Verifier *v, const Buf *b) {
    int64_t n = 1, bytes, lo = b->offset, step;
    if (!is_storage_type(b->dt) && !(b->dt == DT_STRING && b->space == MEM_PARAM))
        FAIL(v, "buffer '%s' has element type %s", b->name, dtype_name(b->dt));
    if (b->rank < 0 || b->rank > QN_MAX_RANK) {
        FAIL(v, "buffer '%s' has %d dimensions, expected at most %d", b->name, b->rank, QN_MAX_RANK);
        return;
    }
    for (int i = 0; i < b->rank; i++) {
        if (b->dim[i] < 0) FAIL(v, "dimension %d of buffer '%s' is %lld", i, b->name, (long long)b->dim[i]);
        if (b->dim[i] > 0 &&
            (!mul_ok(n, b->dim[i], &n) || !mul_ok(b->dim[i] - 1, b->stride[i], &step) || !add_ok(lo, step < 0 ? step : 0, &lo))) {
            FAIL(v, "the size of buffer '%s' overflows", b->name);
            return;
        }
    }
    if (lo < 0 && n > 0) FAIL(v, "buffer '%s' reaches %lld elements before its start", b->name, (long long)-lo);
    if (b->space == MEM_REG && n > MAX_REG)
        FAIL(v, "register buffer '%s' has %lld elements, expected at most %d", b->name, (long long)n, MAX_REG);
    if (b->space != MEM_STACK) return;
    if (!is_storage_type(b->dt) || !dtype_bytes(b->dt, n, &bytes) || !add_ok(v->stack, bytes, &v->stack) || v->stack > MAX_STACK)
        FAIL(v, "stack buffers are larger than %d bytes in all at '%s'", MAX_STACK, b->name);
}
static void bind_buf(Verifier *v, const Buf *b, bool param) {
    if (!b) {
        FAIL(v, param ? "a parameter is missing" : "an alloc has no buffer");
        return;
    }
    if (!text_is_ident(b->name)) FAIL(v, "'%s' is no identifier that a buffer can have", b->name ? b->name : "(null)");
    if (b->id < 0 || b->id >= v->f->nbuf) {
        FAIL(v, "buffer '%s' has number %d of %d", b->name, b->id, v->f->nbuf);
        return;
    }
    Binding *again = v->buf_of[b->id] == b ? v->buf[b->id] : NULL;
    if (v->buf[b->id]) FAIL(v, again ? "buffer '%s' is bound twice" : "buffer '%s' has the number of another one", b->name);
    if ((unsigned)b->space > MEM_PAD || (!param && b->space == MEM_PARAM) || (param && b->space != MEM_PARAM && b->space != MEM_SCRATCH))
        FAIL(v, "buffer '%s' is in a memory space that %s cannot have", b->name, param ? "a parameter" : "a local buffer");
    check_buf(v, b);
    v->buf_of[b->id] = b;
    v->buf[b->id] = bind(v, again);
    if (!b->name) return;
    if (map_get(v->live, b->name)) FAIL(v, "two buffers in scope have the name '%s'", b->name);
    map_set(v->live, b->name, (void *)(uintptr_t)1);
}
static void leave(Verifier *v, int height) {
    while (v->scope.n > height) v->scope.v[--v->scope.n]->height = 0;
}
static Binding *open_buf(const Verifier *v, const Buf *b) {
    if (!b || b->id < 0 || b->id >= v->f->nbuf || v->buf_of[b->id] != b) return NULL;
    return v->buf[b->id]->height ? v->buf[b->id] : NULL;
}

/* ---- indices */
/* Variables take all values of their ranges independently, so that an affine form takes its bounds too. */
static bool is_tight(const Verifier *v, const Expr *e) {
    Affine f;
    if (!expr_affine(e, &f)) return false;
    for (int i = 0; i < f.n; i++)
        if (f.v[i]->id < 0 || f.v[i]->id >= v->f->nvar || v->var_of[f.v[i]->id] != f.v[i] || !v->var[f.v[i]->id]->exact) return false;
    return true;
}
static Seen *seen_slot(Verifier *v, const Expr *e);
static void check_index(Verifier *v, const Buf *b, int i, const Expr *e) {
    int64_t lo, hi;
    Seen *s = seen_slot(v, e);
    if (v->unsure || s->tree > BOUNDS_NODES || s->depth > BOUNDS_DEPTH || !expr_bounds(e, &v->ranges, &lo, &hi) || lo > hi) return;
    bool out = hi < 0 || lo >= b->dim[i] || ((lo < 0 || hi >= b->dim[i]) && is_tight(v, e));
    if (!out) return;
    Text t = {0};
    expr_print_some(e, &t, 20);
    FAIL(v, "index %d of '%s', `%s`, is %lld..%lld (inclusive), but the dimension is %lld", i, b->name, t.s, (long long)lo, (long long)hi,
         (long long)b->dim[i]);
    text_free(&t);
}

/* ---- expressions */
static size_t hash_ptr(const void *p) { return (size_t)(((uint64_t)(uintptr_t)p >> 4) * 0x9E3779B97F4A7C15u >> 20); }
static Seen *seen_slot(Verifier *v, const Expr *e) {
    if (2 * v->nseen >= v->cap) {
        Seen *old = v->table;
        int n = v->cap;
        v->cap = n ? 2 * n : 256;
        v->table = NEW_ARRAY(v->a, Seen, v->cap);
        for (int i = 0; i < n; i++)
            if (old[i].e) {
                size_t h = hash_ptr(old[i].e);
                while (v->table[h & (size_t)(v->cap - 1)].e) h++;
                v->table[h & (size_t)(v->cap - 1)] = old[i];
            }
    }
    size_t h = hash_ptr(e);
    while (v->table[h & (size_t)(v->cap - 1)].e && v->table[h & (size_t)(v->cap - 1)].e != e) h++;
    Seen *s = &v->table[h & (size_t)(v->cap - 1)];
    if (!s->e) v->nseen++;
    s->e = e;
    return s;
}
/* Operands of a node; false when their number or their array is broken. */
static bool operands(const Expr *e, Expr *const **v, int *n) {
    *v = (Expr *const *)e->u.a;
    *n = 0;
    switch (e->k) {
    case E_INT:
    case E_FLT: return true;
    case E_VAR: return e->u.v != NULL;
    case E_UN: *n = 1; return e->op >= 0 && e->op <= UN_ABS;
    case E_CAST: *n = 1; return true;
    case E_BIN: *n = 2; return e->op >= 0 && e->op <= BIN_LOR;
    case E_SELECT: *n = 3; return true;
    case E_LOAD:
        *v = e->u.ld.idx, *n = e->narg;
        return e->u.ld.buf && e->narg == e->u.ld.buf->rank && e->narg >= 0 && e->narg <= QN_MAX_RANK && (e->narg == 0 || *v);
    case E_CALL: *v = e->u.arg, *n = e->narg; return e->op >= 0 && e->op < CALL_COUNT && e->narg == call_info[e->op].arity && *v;
    }
    return false;
}
static Binding *inner_of(Binding *x, Binding *y) { return !x ? y : !y ? x : x->height > y->height ? x : y; }
/* A node whose operands are done. */
static bool finish_node(Verifier *v, const Expr *e, Expr *const *o, int n) {
    Seen r = {.e = e, .tree = 1, .certain = v->unsure == 0};
    for (int i = 0; i < n; i++) {
        const Seen *s = seen_slot(v, o[i]);
        r.inner = inner_of(r.inner, s->inner);
        r.tree = r.tree + s->tree > BOUNDS_NODES ? BOUNDS_NODES + 1 : r.tree + s->tree;
        r.depth = s->depth + 1 > r.depth ? s->depth + 1 : r.depth;
    }
    bool ok = true;
    if (e->k == E_VAR) {
        const Var *x = e->u.v;
        bool known = x->id >= 0 && x->id < v->f->nvar && v->var_of[x->id] == x && v->var[x->id]->height;
        r.inner = known ? v->var[x->id] : NULL;
        ok = known || FAIL(v, "variable '%s' is used outside the scope that binds it", x->name ? x->name : "(null)");
    } else if (e->k == E_LOAD) {
        Binding *b = open_buf(v, e->u.ld.buf);
        r.inner = inner_of(r.inner, b);
        ok = b || FAIL(v, "buffer '%s' is loaded outside its scope", e->u.ld.buf->name ? e->u.ld.buf->name : "(null)");
    }
    Text why = {0};
    if (ok && !expr_type_ok(e, &why)) ok = fail_at(v, e, why.s ? why.s : "broken node");
    text_free(&why);
    for (int i = 0; ok && e->k == E_LOAD && i < n; i++) check_index(v, e->u.ld.buf, i, o[i]);
    *seen_slot(v, e) = r;
    return ok;
}
typedef struct Visit {
    const Expr *e;
    Expr *const *o;
    int n, next;
    bool guards; /* operands from the second on may not be evaluated */
} Visit;
/* Is there nothing left to do for e? Also true, with *ok false, for what cannot be entered. */
static bool is_done(Verifier *v, const Expr *e, Visit *visit, bool *ok) {
    if (!e) {
        *ok = FAIL(v, "an expression is missing");
        return true;
    }
    Seen *s = seen_slot(v, e);
    if (s->open) {
        *ok = FAIL(v, "an expression contains itself");
        return true;
    }
    if (s->tree && (s->certain || v->unsure)) {
        if (s->inner && !s->inner->height) *ok = fail_at(v, e, "a variable or buffer is used outside its scope");
        return true;
    }
    *visit = (Visit){e, NULL, 0, 0, e->k == E_SELECT || (e->k == E_BIN && (e->op == BIN_LAND || e->op == BIN_LOR))};
    if (!operands(e, &visit->o, &visit->n)) {
        *ok = fail_at(v, e, "an operand or the right number of indices is missing");
        return true;
    }
    s->open = true;
    return false;
}
/* Depth first with a stack of its own; stops at the first error of this expression. */
static bool check_expr(Verifier *v, const Expr *root) {
    Vec(Visit) todo = {0};
    Visit first;
    bool ok = true;
    int unsure = v->unsure;
    if (is_done(v, root, &first, &ok)) return ok;
    vec_push(v->a, &todo, first);
    while (ok && todo.n) {
        Visit *t = &todo.v[todo.n - 1];
        if (t->next == t->n) {
            if (t->guards && t->n > 1) v->unsure--;
            ok = finish_node(v, t->e, t->o, t->n);
            todo.n--;
            continue;
        }
        if (t->guards && t->next == 1) v->unsure++;
        const Expr *o = t->o[t->next++];
        Visit sub;
        if (!is_done(v, o, &sub, &ok)) vec_push(v->a, &todo, sub);
    }
    for (int i = 0; i < todo.n; i++) seen_slot(v, todo.v[i].e)->open = false; /* after an error */
    v->unsure = unsure;
    return ok;
}
static bool check_typed(Verifier *v, const Expr *e, DType t, const char *what) {
    if (!check_expr(v, e)) return false;
    return e->t == t || FAIL(v, "%s has type %s, expected %s", what, dtype_name(e->t), dtype_name(t));
}

/* ---- statements */
static void check_stmt(Verifier *v, const Stmt *s);
static void check_block(Verifier *v, const Stmt *s, const char *what) {
    if (!s || s->k != S_BLOCK) {
        FAIL(v, "%s is no block", what);
        return;
    }
    if (v->depth >= MAX_DEPTH) {
        FAIL(v, "statements are nested more than %d deep", MAX_DEPTH);
        return;
    }
    int height = v->scope.n, ranges = v->ranges.n;
    int64_t stack = v->stack;
    Vec(const char *) names = {0};
    v->depth++;
    for (int i = 0; i < s->u.block.n; i++) {
        const Stmt *x = s->u.block.v[i];
        check_stmt(v, x);
        if (x && x->k == S_ALLOC && x->u.alloc && x->u.alloc->name) vec_push(v->a, &names, x->u.alloc->name);
    }
    v->depth--;
    leave(v, height);
    v->ranges.n = ranges;
    v->stack = stack;
    for (int i = 0; i < names.n; i++) map_set(v->live, names.v[i], NULL);
}
static void add_range(Verifier *v, const Var *x, int64_t lo, int64_t hi) { vec_push(v->a, &v->ranges, ((Range){x, lo, hi})); }
/* Bounds of an expression that was checked and is not too large to ask. */
static bool bounds(Verifier *v, const Expr *e, int64_t *lo, int64_t *hi) {
    Seen *s = seen_slot(v, e);
    return s->tree <= BOUNDS_NODES && s->depth <= BOUNDS_DEPTH && expr_bounds(e, &v->ranges, lo, hi);
}
static void check_for(Verifier *v, const Stmt *s) {
    const Var *x = s->u.loop.v;
    int64_t lo0, lo1, hi0, hi1, lo, hi;
    bool ok = check_typed(v, s->u.loop.lo, DT_INT64, "the lower bound of a loop");
    ok &= check_typed(v, s->u.loop.hi, DT_INT64, "the upper bound of a loop");
    bool known = ok && bounds(v, s->u.loop.lo, &lo0, &lo1) && bounds(v, s->u.loop.hi, &hi0, &hi1) && hi1 > INT64_MIN;
    bool exact = ok && e_is_int(s->u.loop.lo, &lo) && e_is_int(s->u.loop.hi, &hi);
    bool runs = known && lo1 < hi0;
    int height = v->scope.n, ranges = v->ranges.n;
    if ((unsigned)s->u.loop.mode > LOOP_UNROLL) FAIL(v, "a loop has mode %d", (int)s->u.loop.mode);
    if (s->u.loop.axis && s->u.loop.axis != 'x' && s->u.loop.axis != 'y') FAIL(v, "a loop has axis %d", s->u.loop.axis);
    if (x && x->t != DT_INT64) FAIL(v, "loop variable '%s' has type %s, expected int64", x->name, dtype_name(x->t));
    if (bind_var(v, x, exact) && known && lo0 <= hi1 - 1) add_range(v, x, lo0, hi1 - 1);
    v->unsure += !runs;
    check_block(v, s->u.loop.body, "the body of a loop");
    v->unsure -= !runs;
    leave(v, height);
    v->ranges.n = ranges;
}
static void check_let(Verifier *v, const Stmt *s) {
    int64_t lo, hi;
    const Var *x = s->u.let.v;
    bool ok = check_expr(v, s->u.let.val);
    if (ok && x && x->t != s->u.let.val->t)
        FAIL(v, "variable '%s' has type %s, its value %s", x->name, dtype_name(x->t), dtype_name(s->u.let.val->t));
    bool ranged = ok && s->u.let.val->t == DT_INT64 && bounds(v, s->u.let.val, &lo, &hi) && lo <= hi;
    if (bind_var(v, x, false) && ranged) add_range(v, x, lo, hi);
}
static bool check_written(Verifier *v, const Buf *b, const char *how) {
    if (!b) return FAIL(v, "a buffer that is %s is missing", how);
    if (!open_buf(v, b)) return FAIL(v, "buffer '%s' is %s outside its scope", b->name ? b->name : "(null)", how);
    return b->written || FAIL(v, "buffer '%s' is %s but not marked as written", b->name, how);
}
static void check_store(Verifier *v, const Stmt *s) {
    const Buf *b = s->u.st.buf;
    RedOp red = s->u.st.red;
    if (!check_written(v, b, "stored to") || b->rank < 0 || b->rank > QN_MAX_RANK || !is_storage_type(b->dt)) return;
    if (b->rank && !s->u.st.idx) {
        FAIL(v, "a store to '%s' has no indices, expected %d", b->name, b->rank);
        return;
    }
    for (int i = 0; i < b->rank; i++)
        if (check_typed(v, s->u.st.idx[i], DT_INT64, "the index of a store")) check_index(v, b, i, s->u.st.idx[i]);
    DType t = dtype_compute(b->dt);
    if ((unsigned)red > RED_XOR || (red >= RED_AND && dtype_is_float(t)))
        FAIL(v, "a store to '%s' has a reduction that %s has not", b->name, dtype_name(t));
    if (check_expr(v, s->u.st.val) && s->u.st.val->t != t)
        FAIL(v, "a value of type %s is stored to '%s' of %s", dtype_name(s->u.st.val->t), b->name, dtype_name(b->dt));
}
static void check_call(Verifier *v, const Stmt *s) {
    if (!text_is_ident(s->u.call.name)) FAIL(v, "a call has no name that C can have");
    int n = s->u.call.nbuf, narg = s->u.call.narg;
    if (n < 0 || n > 32 || narg < 0 || (n && !s->u.call.buf) || (narg && !s->u.call.arg)) {
        FAIL(v, "a call has %d arguments and %d buffers, expected at most 32 buffers", narg, n);
        return;
    }
    if (n < 32 && s->u.call.writes >> n) FAIL(v, "a call writes buffers that it does not have");
    for (int i = 0; i < narg; i++) check_typed(v, s->u.call.arg[i], DT_INT64, "an argument of a call");
    for (int i = 0; i < n; i++) {
        const Buf *b = s->u.call.buf[i];
        if (s->u.call.writes >> i & 1) check_written(v, b, "written by a call");
        else if (!open_buf(v, b)) FAIL(v, "buffer '%s' is handed to a call outside its scope", b && b->name ? b->name : "(null)");
    }
}
static void check_stmt(Verifier *v, const Stmt *s) {
    if (!s) {
        FAIL(v, "a statement is missing");
        return;
    }
    switch (s->k) {
    case S_FOR: check_for(v, s); return;
    case S_STORE: check_store(v, s); return;
    case S_LET: check_let(v, s); return;
    case S_IF:
        check_typed(v, s->u.cond.cond, DT_BOOL, "the condition of an if");
        v->unsure++;
        check_block(v, s->u.cond.then, "the body of an if");
        if (s->u.cond.other) check_block(v, s->u.cond.other, "the else of an if");
        v->unsure--;
        return;
    case S_ALLOC: bind_buf(v, s->u.alloc, false); return;
    case S_CALL: check_call(v, s); return;
    case S_BLOCK: check_block(v, s, "a block"); return;
    }
    FAIL(v, "a statement has kind %d", (int)s->k);
}
bool func_verify(Ctx *c, const Func *f) {
    Arena *a = arena_new();
    Verifier v = {.c = c, .a = a, .f = f, .ok = true, .live = map_new(a)};
    int nvar = f->nvar > 0 ? f->nvar : 1, nbuf = f->nbuf > 0 ? f->nbuf : 1;
    v.var = NEW_ARRAY(a, Binding *, nvar), v.var_of = NEW_ARRAY(a, const void *, nvar);
    v.buf = NEW_ARRAY(a, Binding *, nbuf), v.buf_of = NEW_ARRAY(a, const void *, nbuf);
    if (!text_is_ident(f->name)) FAIL(&v, "the name of a function is no identifier");
    for (int i = 0; i < f->param.n; i++) bind_buf(&v, f->param.v[i], true);
    check_block(&v, f->body, "the body of the function");
    arena_free(a);
    return v.ok;
}
