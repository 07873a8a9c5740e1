/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: constructors and substitution of the loop IR. Expressions are immutable: constructors fold what is
 * constant and drop identities, so `e_add(a, e_mul(a, i, e_int(a, 1)), e_int(a, 0))` is `i` itself.
 * Floating arithmetic is folded only where it is exact in every rounding mode (x+0 is not: -0+0).
 */
#include "loop.h"
#include <float.h>
#include <math.h>
#include <string.h>

const CallInfo call_info[CALL_COUNT] = {
#define CALL(e, name, arity, cf, cd, kind) [CALL_##e] = {name, arity, #cf, #cd, #kind[0]},
#include "calls.def"
#undef CALL
};

static Expr *expr_new(Arena *a, ExprKind k, DType t) {
    Expr *e = NEW(a, Expr);
    e->k = k;
    e->t = t;
    return e;
}
/* An integer brought into the range of t: two's complement wrap. */
static int64_t wrap_to(DType t, int64_t v) {
    switch (t) {
    case DT_INT8: return (int8_t)(uint8_t)v;
    case DT_UINT8: return (uint8_t)v;
    case DT_INT16: return (int16_t)(uint16_t)v;
    case DT_UINT16: return (uint16_t)v;
    case DT_INT32: return (int32_t)(uint32_t)v;
    case DT_UINT32: return (uint32_t)v;
    case DT_BOOL: return v != 0;
    default: return v;
    }
}
Expr *e_lit_i(Arena *a, DType t, int64_t v) {
    if (dtype_is_float(t)) return e_lit(a, t, (double)v);
    Expr *e = expr_new(a, E_INT, t);
    e->u.i = wrap_to(t, v);
    return e;
}
Expr *e_int(Arena *a, int64_t v) { return e_lit_i(a, DT_INT64, v); }
static int64_t saturate(DType t, double v) {
    if (v != v) return 0;
    if (t == DT_UINT64) return v <= 0 ? 0 : v >= 18446744073709551616.0 ? -1 : (int64_t)(uint64_t)v;
    int64_t lo = dtype_min(t), hi = dtype_max(t);
    if (v <= (double)lo) return lo;
    if (v >= (double)hi) return hi;
    return (int64_t)v;
}
Expr *e_lit(Arena *a, DType t, double v) {
    if (!dtype_is_float(t)) return e_lit_i(a, t, t == DT_BOOL ? v != 0 : saturate(t, v));
    Expr *e = expr_new(a, E_FLT, t);
    e->u.f = dtype_round(t, v);
    return e;
}
Expr *e_var(Arena *a, const Var *v) {
    Expr *e = expr_new(a, E_VAR, v->t);
    e->u.v = v;
    return e;
}
Expr *e_load(Arena *a, Buf *b, Expr *const *idx) {
    Expr *e = expr_new(a, E_LOAD, dtype_compute(b->dt));
    e->narg = (int8_t)b->rank;
    e->u.ld.buf = b;
    e->u.ld.idx = NEW_ARRAY(a, Expr *, b->rank);
    for (int i = 0; i < b->rank; i++) e->u.ld.idx[i] = idx[i];
    return e;
}
bool e_is_int(const Expr *e, int64_t *v) {
    if (e->k != E_INT) return false;
    *v = e->u.i;
    return true;
}
static bool is_lit(const Expr *e) { return e->k == E_INT || e->k == E_FLT; }
static bool is_lit_of(const Expr *e, int v) { return (e->k == E_INT && e->u.i == v) || (e->k == E_FLT && e->u.f == v); }
/* A literal written with another type: exact for integers, rounded for floats. */
static Expr *lit_as(Arena *a, Expr *e, DType t) {
    if (e->t == t) return e;
    return e->k == E_INT ? e_lit_i(a, t, e->u.i) : e_lit(a, t, e->u.f);
}

Expr *e_un(Arena *a, UnOp op, Expr *x) {
    if (x->k == E_INT && op == UN_NEG) return e_lit_i(a, x->t, (int64_t)(0 - (uint64_t)x->u.i));
    if (x->k == E_FLT && op == UN_NEG) return e_lit(a, x->t, -x->u.f);
    if (x->k == E_FLT && op == UN_ABS) return e_lit(a, x->t, fabs(x->u.f));
    if (x->k == E_INT && op == UN_INV && x->t != DT_BOOL) return e_lit_i(a, x->t, ~x->u.i);
    if (x->k == E_INT && op == UN_NOT) return e_lit_i(a, DT_BOOL, !x->u.i);
    if (op == UN_NOT && x->k == E_UN && x->op == UN_NOT && x->u.a[0]->t == DT_BOOL) return x->u.a[0];
    Expr *e = expr_new(a, E_UN, op == UN_NOT ? DT_BOOL : x->t);
    e->op = (int8_t)op;
    e->u.a[0] = x;
    return e;
}

Expr **e_operands(const Expr *e, int *n) {
    switch (e->k) {
    case E_LOAD: *n = e->narg; return e->u.ld.idx;
    case E_UN:
    case E_CAST: *n = 1; return (Expr **)e->u.a;
    case E_BIN: *n = 2; return (Expr **)e->u.a;
    case E_SELECT: *n = 3; return (Expr **)e->u.a;
    case E_CALL: *n = e->narg; return e->u.arg;
    default: *n = 0; return NULL;
    }
}
bool e_has_load(const Expr *e) {
    int n;
    Expr **v = e_operands(e, &n);
    for (int i = 0; i < n && e->k != E_LOAD; i++)
        if (e_has_load(v[i])) return true;
    return e->k == E_LOAD;
}
/* budget: how many nodes may be looked at, for DAGs can be exponentially large; NULL: all */
static bool equal_within(const Expr *x, const Expr *y, int *budget) {
    if (x == y) return true;
    if (x->k != y->k || x->t != y->t || x->op != y->op || x->narg != y->narg || x->to != y->to) return false;
    if (budget && --*budget < 0) return false;
    if (x->k == E_INT) return x->u.i == y->u.i;
    if (x->k == E_FLT) return memcmp(&x->u.f, &y->u.f, sizeof x->u.f) == 0;
    if (x->k == E_VAR) return x->u.v == y->u.v;
    if (x->k == E_LOAD && x->u.ld.buf != y->u.ld.buf) return false;
    int n;
    Expr **p = e_operands(x, &n), **q = e_operands(y, &n);
    for (int i = 0; i < n; i++)
        if (!equal_within(p[i], q[i], budget)) return false;
    return true;
}
bool e_equal(const Expr *x, const Expr *y) { return equal_within(x, y, NULL); }

static bool bin_is_compare(BinOp op) { return op >= BIN_LT && op <= BIN_NE; }
/* Two integer literals of type t. */
static bool fold_int(BinOp op, DType t, int64_t x, int64_t y, int64_t *r) {
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    int bits = dtype_info[t].bits;
    if (t == DT_UINT64) switch (op) { /* where the order of unsigned numbers matters */
        case BIN_DIV: *r = y == 0 ? 0 : (int64_t)(ux / uy); return true;
        case BIN_MOD: *r = y == 0 ? 0 : (int64_t)(ux % uy); return true;
        case BIN_MIN: *r = uy < ux ? y : x; return true;
        case BIN_MAX: *r = ux < uy ? y : x; return true;
        case BIN_SHR: *r = uy >= 64 ? 0 : (int64_t)(ux >> uy); return true;
        case BIN_LT: *r = ux < uy; return true;
        case BIN_LE: *r = ux <= uy; return true;
        default: break;
        }
    switch (op) {
    case BIN_ADD: *r = (int64_t)(ux + uy); break;
    case BIN_SUB: *r = (int64_t)(ux - uy); break;
    case BIN_MUL: *r = (int64_t)(ux * uy); break;
    case BIN_DIV: *r = y == 0 ? 0 : y == -1 ? (int64_t)(0 - ux) : x / y; break;
    case BIN_MOD: *r = y == 0 || y == -1 ? 0 : x % y; break;
    case BIN_MIN: *r = y < x ? y : x; break;
    case BIN_MAX: *r = x < y ? y : x; break;
    case BIN_AND: *r = x & y; break;
    case BIN_OR: *r = x | y; break;
    case BIN_XOR: *r = x ^ y; break;
    case BIN_SHL: *r = uy >= (uint64_t)bits ? 0 : (int64_t)(ux << uy); break;
    case BIN_SHR: *r = uy >= (uint64_t)bits ? (x < 0 ? -1 : 0) : x >> uy; break;
    case BIN_LT: *r = x < y; break;
    case BIN_LE: *r = x <= y; break;
    case BIN_EQ: *r = x == y; break;
    case BIN_NE: *r = x != y; break;
    case BIN_LAND: *r = x && y; break;
    case BIN_LOR: *r = x || y; break;
    }
    return true;
}
/* The smallest or the largest value of its integer type. */
static bool is_extreme(const Expr *e, bool top) {
    if (e->k != E_INT) return false;
    if (e->t == DT_BOOL) return e->u.i == top;
    return e->u.i == (!top ? dtype_min(e->t) : e->t == DT_UINT64 ? -1 : dtype_max(e->t));
}
/* What an integer can be, from types alone. */
static bool type_range(const Expr *e, int64_t *lo, int64_t *hi) {
    DType t = e->k == E_LOAD ? e->u.ld.buf->dt : e->k == E_CAST ? e->to : e->t;
    if (e->k == E_INT) {
        *lo = *hi = e->u.i;
        return t != DT_UINT64 || e->u.i >= 0;
    }
    int64_t l, h;
    bool all = t == DT_UINT64, known = e->k == E_CAST && !dtype_is_float(e->u.a[0]->t) && type_range(e->u.a[0], &l, &h);
    *lo = t == DT_BOOL ? 0 : dtype_min(t), *hi = t == DT_BOOL ? 1 : dtype_max(t);
    if (!known || l < *lo || h > *hi) return !all;
    *lo = l, *hi = h;
    return true;
}
/* A comparison that types decide: 0 or 1, else -1. */
static int decided(BinOp op, const Expr *x, const Expr *y) {
    int64_t xl, xh, yl, yh;
    if (dtype_is_float(x->t)) return -1;
    if (equal_within(x, y, &(int){32})) return op == BIN_LE || op == BIN_EQ;
    if (!type_range(x, &xl, &xh) || !type_range(y, &yl, &yh)) return -1;
    bool below = xh<yl, above = xl> yh;
    switch (op) {
    case BIN_LT: return below ? 1 : xl >= yh ? 0 : -1;
    case BIN_LE: return xh <= yl ? 1 : above ? 0 : -1;
    default: return below || above ? op == BIN_NE : -1;
    }
}
/* Identities of integers and those of floats that hold bit for bit. NULL: none applies. */
static Expr *bin_identity(Arena *a, BinOp op, Expr *x, Expr *y) {
    bool fl = dtype_is_float(x->t);
    switch (op) {
    case BIN_ADD:
        if (fl) break;
        if (is_lit_of(x, 0)) return y;
        if (is_lit_of(y, 0)) return x;
        break;
    case BIN_SUB:
        if (is_lit_of(y, 0) && !(fl && signbit(y->u.f))) return x;
        break;
    case BIN_MUL:
        if (is_lit_of(x, 1)) return y;
        if (is_lit_of(y, 1)) return x;
        if (!fl && (is_lit_of(x, 0) || is_lit_of(y, 0))) return e_lit_i(a, x->t, 0);
        break;
    case BIN_DIV:
        if (is_lit_of(y, 1)) return x;
        break;
    case BIN_MOD:
        if (!fl && is_lit_of(y, 1)) return e_lit_i(a, x->t, 0);
        break;
    case BIN_MIN:
    case BIN_MAX: {
        bool max = op == BIN_MAX;
        if (x == y || is_extreme(y, !max) || is_extreme(x, max)) return x;
        if (is_extreme(x, !max) || is_extreme(y, max)) return y;
        break;
    }
    case BIN_LT: /* nothing is beyond a type's last value: uint64's, which type_range does not know */
        if (is_extreme(y, false) || is_extreme(x, true)) return e_lit_i(a, DT_BOOL, 0);
        break;
    case BIN_LE:
        if (is_extreme(x, false) || is_extreme(y, true)) return e_lit_i(a, DT_BOOL, 1);
        break;
    case BIN_LAND:
        if (x->k == E_INT) return x->u.i ? y : x;
        if (y->k == E_INT && y->u.i) return x;
        break;
    case BIN_LOR:
        if (x->k == E_INT) return x->u.i ? x : y;
        if (y->k == E_INT && !y->u.i) return x;
        break;
    default: break;
    }
    return NULL;
}
Expr *e_bin(Arena *a, BinOp op, Expr *x, Expr *y) {
    if (x->t != y->t) {
        if (is_lit(y)) y = lit_as(a, y, x->t);
        else if (is_lit(x)) x = lit_as(a, x, y->t);
        else BUG("operands of a binary operation have types %s and %s", dtype_name(x->t), dtype_name(y->t));
    }
    if (x->t == DT_HALF && op == BIN_MOD) return e_cast(a, DT_HALF, e_bin(a, op, e_cast(a, DT_FLOAT32, x), e_cast(a, DT_FLOAT32, y)));
    DType t = bin_is_compare(op) || op == BIN_LAND || op == BIN_LOR ? DT_BOOL : x->t;
    if (x->k == E_INT && y->k == E_INT) {
        int64_t r = 0;
        if (fold_int(op, x->t, x->u.i, y->u.i, &r)) return e_lit_i(a, t, r);
    }
    int known = bin_is_compare(op) ? decided(op, x, y) : -1;
    if (known >= 0) return e_lit_i(a, DT_BOOL, known);
    Expr *same = bin_identity(a, op, x, y);
    if (same) return same;
    /* (v + c) + d -> v + (c + d) for integers: keeps index expressions short */
    if (op == BIN_ADD && y->k == E_INT && x->k == E_BIN && x->op == BIN_ADD && x->u.a[1]->k == E_INT)
        return e_bin(a, BIN_ADD, x->u.a[0], e_lit_i(a, x->t, (int64_t)((uint64_t)x->u.a[1]->u.i + (uint64_t)y->u.i)));
    if (op == BIN_ADD && x->k == E_INT && y->k != E_INT) {
        Expr *swap = x;
        x = y, y = swap;
        return e_bin(a, op, x, y);
    }
    Expr *e = expr_new(a, E_BIN, t);
    e->op = (int8_t)op;
    e->u.a[0] = x, e->u.a[1] = y;
    return e;
}
Expr *e_select(Arena *a, Expr *c, Expr *x, Expr *y) {
    if (x->t != y->t) {
        if (is_lit(y)) y = lit_as(a, y, x->t);
        else if (is_lit(x)) x = lit_as(a, x, y->t);
        else BUG("branches of a select have types %s and %s", dtype_name(x->t), dtype_name(y->t));
    }
    if (c->k == E_INT) return c->u.i ? x : y;
    if (x == y) return x;
    Expr *e = expr_new(a, E_SELECT, x->t);
    e->u.a[0] = c, e->u.a[1] = x, e->u.a[2] = y;
    return e;
}
Expr *e_cast(Arena *a, DType to, Expr *x) {
    DType t = dtype_compute(to);
    bool storage_float = dtype_is_float(to) && t != to;
    if (x->t == to) return x;
    /* half and other types meet in float32, which holds every half: one conversion each way */
    if ((x->t == DT_HALF || to == DT_HALF) && x->t != DT_FLOAT32 && to != DT_FLOAT32) return e_cast(a, to, e_cast(a, DT_FLOAT32, x));
    if (x->k == E_INT && !storage_float && (dtype_is_int(to) || to == DT_BOOL) && t == to) return e_lit_i(a, to, x->u.i);
    if (x->k == E_INT && to == DT_FLOAT64 && x->t != DT_UINT64) return e_lit(a, to, (double)x->u.i);
    if (x->k == E_INT && to == DT_FLOAT32 && x->u.i > -(1 << 24) && x->u.i < (1 << 24)) return e_lit(a, to, (double)x->u.i);
    if (x->k == E_FLT && (to == DT_FLOAT32 || to == DT_FLOAT64 || to == DT_HALF)) return e_lit(a, to, x->u.f);
    Expr *e = expr_new(a, E_CAST, t);
    e->to = to;
    e->u.a[0] = x;
    return e;
}
Expr *e_call(Arena *a, CallFn f, Expr *const *arg) {
    const CallInfo *ci = &call_info[f];
    if (arg[0]->t == DT_HALF) { /* functions are those of float32 */
        Expr *wide[4];
        for (int i = 0; i < ci->arity; i++) wide[i] = e_cast(a, DT_FLOAT32, arg[i]);
        Expr *r = e_call(a, f, wide);
        return r->t == DT_FLOAT32 ? e_cast(a, DT_HALF, r) : r;
    }
    Expr *e = expr_new(a, E_CALL, call_result(f, arg[0]->t));
    e->op = (int8_t)f;
    e->narg = (int8_t)ci->arity;
    e->u.arg = NEW_ARRAY(a, Expr *, ci->arity);
    for (int i = 0; i < ci->arity; i++) e->u.arg[i] = i && is_lit(arg[i]) ? lit_as(a, arg[i], arg[0]->t) : arg[i];
    return e;
}
Expr *e_call1(Arena *a, CallFn f, Expr *x) { return e_call(a, f, &x); }
Expr *e_call2(Arena *a, CallFn f, Expr *x, Expr *y) { return e_call(a, f, (Expr *[]){x, y}); }
Expr *e_lower_bound(Arena *a, DType t) { return dtype_is_float(t) ? e_lit(a, t, -INFINITY) : e_lit_i(a, t, dtype_min(t)); }
Expr *e_upper_bound(Arena *a, DType t) {
    return dtype_is_float(t) ? e_lit(a, t, INFINITY) : t == DT_UINT64 ? e_lit_i(a, t, -1) : e_lit_i(a, t, dtype_max(t));
}

/* Rebuilds through the constructors, so that substituted constants fold. */
static Expr *rebuild(Arena *a, Expr *e, Expr **o) {
    switch (e->k) {
    case E_LOAD: return e_load(a, e->u.ld.buf, o);
    case E_UN: return e_un(a, (UnOp)e->op, o[0]);
    case E_BIN: return e_bin(a, (BinOp)e->op, o[0], o[1]);
    case E_SELECT: return e_select(a, o[0], o[1], o[2]);
    case E_CAST: return e_cast(a, e->to, o[0]);
    case E_CALL: return e_call(a, (CallFn)e->op, o);
    default: return e;
    }
}
Expr *expr_map(Arena *a, Expr *e, ExprFn fn, void *user) {
    int n;
    Expr **p = e_operands(e, &n), *o[QN_MAX_RANK];
    bool changed = false;
    for (int i = 0; i < n; i++) {
        o[i] = expr_map(a, p[i], fn, user);
        changed |= o[i] != p[i];
    }
    return fn(user, changed ? rebuild(a, e, o) : e);
}
typedef struct Subst {
    const Var *v;
    Expr *by;
} Subst;
static Expr *subst_one(void *user, Expr *e) {
    const Subst *s = user;
    return e->k == E_VAR && e->u.v == s->v ? s->by : e;
}
Expr *e_subst(Arena *a, Expr *e, const Var *v, Expr *by) {
    Subst s = {v, by};
    return expr_map(a, e, subst_one, &s);
}

/* ---- statements */
Func *func_new(Arena *a, const char *name) {
    Func *f = NEW(a, Func);
    f->a = a;
    f->name = name;
    f->body = s_block(a);
    return f;
}
Buf *buf_new(Func *f, const char *name, DType dt, int rank, const int64_t *dim, MemSpace space) {
    Buf *b = NEW(f->a, Buf);
    b->name = name;
    b->id = f->nbuf++;
    b->dt = dt, b->rank = rank, b->space = space;
    int64_t s = 1;
    for (int i = rank - 1; i >= 0; i--) {
        b->dim[i] = dim[i];
        b->stride[i] = s;
        s *= dim[i] > 0 ? dim[i] : 1;
    }
    return b;
}
Buf *func_param(Func *f, const char *name, DType dt, int rank, const int64_t *dim) {
    Buf *b = buf_new(f, name, dt, rank, dim, MEM_PARAM);
    vec_push(f->a, &f->param, b);
    return b;
}
Var *var_new(Func *f, const char *name, DType t) {
    Var *v = NEW(f->a, Var);
    v->name = name, v->t = t;
    v->id = f->nvar++;
    return v;
}
static Stmt *stmt_new(Arena *a, StmtKind k) {
    Stmt *s = NEW(a, Stmt);
    s->k = k;
    return s;
}
Stmt *s_block(Arena *a) { return stmt_new(a, S_BLOCK); }
void s_append(Arena *a, Stmt *block, Stmt *s) { vec_push(a, &block->u.block, s); }
Stmt *s_for(Arena *a, Var *v, Expr *lo, Expr *hi) {
    Stmt *s = stmt_new(a, S_FOR);
    s->u.loop.v = v, s->u.loop.lo = lo, s->u.loop.hi = hi;
    s->u.loop.body = s_block(a);
    s->u.loop.level = -1;
    return s;
}
Expr *s_open_loop(Func *f, Stmt **block, const char *name, int64_t n, LoopMode mode) {
    Var *v = var_new(f, name, DT_INT64);
    Stmt *s = s_for(f->a, v, e_int(f->a, 0), e_int(f->a, n));
    s->u.loop.mode = mode;
    s_append(f->a, *block, s);
    *block = s->u.loop.body;
    return e_var(f->a, v);
}
Stmt *s_store(Arena *a, Buf *b, Expr *const *idx, Expr *val, RedOp red) {
    Stmt *s = stmt_new(a, S_STORE);
    DType t = dtype_compute(b->dt);
    if (val->t != t) {
        if (!is_lit(val)) BUG("store of %s into buffer '%s' of %s", dtype_name(val->t), b->name, dtype_name(b->dt));
        val = lit_as(a, val, t);
    }
    s->u.st.buf = b, s->u.st.val = val, s->u.st.red = red;
    s->u.st.idx = NEW_ARRAY(a, Expr *, b->rank);
    for (int i = 0; i < b->rank; i++) s->u.st.idx[i] = idx[i];
    b->written = true;
    return s;
}
Stmt *s_let(Arena *a, Var *v, Expr *val) {
    Stmt *s = stmt_new(a, S_LET);
    s->u.let.v = v, s->u.let.val = val;
    return s;
}
Stmt *s_if(Arena *a, Expr *cond) {
    Stmt *s = stmt_new(a, S_IF);
    s->u.cond.cond = cond;
    s->u.cond.then = s_block(a);
    return s;
}
Stmt *s_alloc(Arena *a, Buf *b) {
    Stmt *s = stmt_new(a, S_ALLOC);
    s->u.alloc = b;
    return s;
}
