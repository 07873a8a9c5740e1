/* SPDX-License-Identifier: Apache-2.0 */
/* test_emit_diff.c: emitted C computes what the interpreter computes, bit for bit. Nests that hold every kind of expression, every
 * operator on every type, every cast, call and reduction, and random trees of them, run on edge values (extremes, NaN,
 * infinities, -0, shifts by the width, division by 0). All are compiled in one call, as plain loops and as vector types.
 *
 *   for i: o_add[i] = x[i] + y[i]    interpreter: INT_MIN    C: INT_MIN    and not undefined
 */
#include "codegen/codegen.h"
#include "codegen/target_yaml.h"
#include <check.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif
#include <dlfcn.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 256, EDGES = 16 };

static const DType computing[] = {DT_FLOAT32, DT_FLOAT64, DT_INT8,  DT_UINT8,  DT_INT16, DT_UINT16,
                                  DT_INT32,   DT_UINT32,  DT_INT64, DT_UINT64, DT_BOOL,  DT_HALF};
enum { ALL_COMPUTING = sizeof computing / sizeof *computing };
static int ncomputing; /* halves are among them or not */
static bool usable(int t) {
    return (dtype_valid(t) || (t == DT_HALF && ncomputing == ALL_COMPUTING)) && dtype_info[t].cls != CLS_STR &&
           dtype_info[t].cls != CLS_CPLX;
}

typedef struct Note { /* what a buffer is stored from, for messages */
    const Buf *buf;
    const Expr *e;
} Note;
typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Vec(Func *) nests;
    Vec(Note) notes;
} Case;
static void case_open(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
}

/* ---- building */
static Func *nest(Case *t, const char *what, DType of) {
    Func *f = func_new(t->a, arena_printf(t->a, "%s_%s_%d", what, dtype_name(of), t->nests.n));
    vec_push(t->a, &t->nests, f);
    return f;
}
static Buf *vector(Func *f, const char *name, DType dt, int64_t n) { return func_param(f, arena_strdup(f->a, name), dt, 1, &n); }
typedef struct Loop {
    Func *f;
    Stmt *body;
    Expr *i, *j, *k; /* i = 8 j + k */
} Loop;
static Loop loop(Func *f, int64_t n) {
    Var *j = var_new(f, "j", DT_INT64), *k = var_new(f, "k", DT_INT64);
    Stmt *outer = s_for(f->a, j, e_int(f->a, 0), e_int(f->a, n / 8)), *inner = s_for(f->a, k, e_int(f->a, 0), e_int(f->a, 8));
    inner->u.loop.mode = LOOP_VEC;
    s_append(f->a, f->body, outer);
    s_append(f->a, outer->u.loop.body, inner);
    Loop l = {f, inner->u.loop.body, NULL, e_var(f->a, j), e_var(f->a, k)};
    l.i = e_add(f->a, e_mul(f->a, l.j, e_int(f->a, 8)), l.k);
    return l;
}
static Expr *at(const Loop *l, Buf *b) { return e_load(l->f->a, b, &l->i); }
static void store(Case *t, const Loop *l, Buf *b, Expr *val, RedOp red) {
    s_append(l->f->a, l->body, s_store(l->f->a, b, &l->i, val, red));
    vec_push(t->a, &t->notes, ((Note){b, val}));
}
/* One output vector of the value's type. */
static void out(Case *t, const Loop *l, const char *name, Expr *val) {
    store(t, l, vector(l->f, arena_printf(t->a, "o_%s", name), val->t, N), val, RED_NONE);
}

/* ---- operators */
static const struct {
    BinOp op;
    const char *name;
    bool fl, in, bo; /* on floats, integers, bool */
} bins[] = {{BIN_ADD, "add", 1, 1, 0},   {BIN_SUB, "sub", 1, 1, 0}, {BIN_MUL, "mul", 1, 1, 0}, {BIN_DIV, "div", 1, 1, 0},
            {BIN_MOD, "mod", 1, 1, 0},   {BIN_MIN, "min", 1, 1, 1}, {BIN_MAX, "max", 1, 1, 1}, {BIN_AND, "and", 0, 1, 1},
            {BIN_OR, "or", 0, 1, 1},     {BIN_XOR, "xor", 0, 1, 1}, {BIN_SHL, "shl", 0, 1, 0}, {BIN_SHR, "shr", 0, 1, 0},
            {BIN_LT, "lt", 1, 1, 1},     {BIN_LE, "le", 1, 1, 1},   {BIN_EQ, "eq", 1, 1, 1},   {BIN_NE, "ne", 1, 1, 1},
            {BIN_LAND, "land", 0, 0, 1}, {BIN_LOR, "lor", 0, 0, 1}};
enum { NBIN = sizeof bins / sizeof *bins };
static bool bin_on(int k, DType t) { return t == DT_BOOL ? bins[k].bo : dtype_is_float(t) ? bins[k].fl : bins[k].in; }
static const struct {
    UnOp op;
    const char *name;
    bool fl, in, bo;
} uns[] = {{UN_NEG, "neg", 1, 1, 0}, {UN_NOT, "not", 0, 0, 1}, {UN_INV, "inv", 0, 1, 0}, {UN_ABS, "abs", 1, 1, 0}};
static bool un_on(int k, DType t) { return t == DT_BOOL ? uns[k].bo : dtype_is_float(t) ? uns[k].fl : uns[k].in; }

static void build_operators(Case *t, DType dt) {
    Func *f = nest(t, "op", dt);
    Buf *x = vector(f, "x", dt, N), *y = vector(f, "y", dt, N), *c = vector(f, "c", DT_BOOL, N);
    for (int k = 0; k < NBIN; k++) {
        if (!bin_on(k, dt)) continue;
        Loop l = loop(f, N);
        out(t, &l, bins[k].name, e_bin(t->a, bins[k].op, at(&l, x), at(&l, y)));
    }
    for (int k = 0; k < 4; k++) {
        if (!un_on(k, dt)) continue;
        Loop l = loop(f, N);
        out(t, &l, uns[k].name, e_un(t->a, uns[k].op, at(&l, x)));
    }
    Loop l = loop(f, N);
    out(t, &l, "select", e_select(t->a, at(&l, c), at(&l, x), at(&l, y)));
    l = loop(f, N);
    out(t, &l, "select_lt", e_select(t->a, e_lt(t->a, at(&l, x), at(&l, y)), at(&l, y), e_lit(t->a, dt, 0)));
    l = loop(f, N); /* nothing is read where the test fails */
    Expr *beyond = e_add(t->a, l.i, e_int(t->a, 100)), *inside = e_lt(t->a, l.i, e_int(t->a, N - 100));
    out(t, &l, "guarded", e_select(t->a, inside, e_load(t->a, x, &beyond), at(&l, y)));
}
/* One side a literal. */
static void build_literals(Case *t, DType dt) {
    static const double some[] = {0, 1, -1, -3, 7};
    Func *f = nest(t, "lit", dt);
    Buf *x = vector(f, "r", dt, N);
    for (int v = 0; v < 7; v++) {
        Expr *lit = v == 5 ? e_lower_bound(t->a, dt) : v == 6 ? e_upper_bound(t->a, dt) : e_lit_i(t->a, dt, (int64_t)some[v]);
        for (int k = 0; k < NBIN; k++) {
            if (!bin_on(k, dt)) continue;
            Loop l = loop(f, N);
            out(t, &l, arena_printf(t->a, "%s_%dr", bins[k].name, v), e_bin(t->a, bins[k].op, at(&l, x), lit));
            l = loop(f, N);
            out(t, &l, arena_printf(t->a, "%s_%dl", bins[k].name, v), e_bin(t->a, bins[k].op, lit, at(&l, x)));
        }
    }
}
/* To every type as a value, and rounded by the store. */
static void build_casts(Case *t, DType from) {
    Func *f = nest(t, "cast", from);
    Buf *x = vector(f, "r", from, N);
    for (int to = 1; to < DT_COUNT; to++) {
        if (!usable(to)) continue;
        Loop l = loop(f, N);
        out(t, &l, dtype_name((DType)to), e_cast(t->a, (DType)to, at(&l, x)));
        l = loop(f, N);
        store(t, &l, vector(f, arena_printf(t->a, "s_%s", dtype_name((DType)to)), (DType)to, N),
              e_cast(t->a, dtype_compute((DType)to), at(&l, x)), RED_NONE);
    }
}
/* Every pattern of a storage type, loaded, used, copied. */
static void build_storage(Case *t, DType dt) {
    int64_t n = dtype_info[dt].bits == 16 ? 65536 : N;
    Func *f = nest(t, "storage", dt);
    Buf *p = vector(f, "p", dt, n), *v = vector(f, "o_value", dtype_compute(dt), n), *copy = vector(f, "s_copy", dt, n),
        *twice = vector(f, "s_twice", dt, n);
    Loop l = loop(f, n);
    store(t, &l, v, at(&l, p), RED_NONE);
    l = loop(f, n);
    store(t, &l, copy, at(&l, p), RED_NONE);
    l = loop(f, n);
    store(t, &l, twice, e_add(t->a, at(&l, p), at(&l, p)), RED_NONE);
}
static void build_calls(Case *t, DType dt) {
    Func *f = nest(t, "call", dt);
    Buf *x = vector(f, "x", dt, N), *y = vector(f, "y", dt, N);
    for (int k = 0; k < CALL_COUNT; k++) {
        char kind = call_info[k].kind;
        if (kind == 't'   ? dt != DT_FLOAT32
            : kind == 'd' ? dt != DT_INT32
            : kind == 'u' ? dt != DT_UINT32
                          : (kind == 'i') == dtype_is_float(dt))
            continue;
        Loop l = loop(f, N);
        out(t, &l, call_info[k].name,
            call_info[k].arity == 1 ? e_call1(t->a, (CallFn)k, at(&l, x)) : e_call2(t->a, (CallFn)k, at(&l, x), at(&l, y)));
    }
}
/* Each reduction: lane by lane, along the lanes into one element per row, into a register, into an element chosen by the data. */
static void build_reductions(Case *t, DType dt) {
    static const char *const name[] = {"", "add", "mul", "min", "max", "and", "or", "xor"};
    DType c = dtype_compute(dt);
    Func *f = nest(t, "red", dt);
    Buf *x = vector(f, "r", c, N);
    for (int r = RED_ADD; r <= RED_XOR; r++) {
        if (r >= RED_AND ? dtype_is_float(c) : r < RED_MIN && c == DT_BOOL) continue;
        Loop l = loop(f, N);
        store(t, &l, vector(f, arena_printf(t->a, "q_%s", name[r]), dt, N), at(&l, x), (RedOp)r);
        Buf *row = vector(f, arena_printf(t->a, "q_row_%s", name[r]), dt, N / 8),
            *pick = vector(f, arena_printf(t->a, "q_pick_%s", name[r]), dt, 8);
        l = loop(f, N);
        s_append(t->a, l.body, s_store(t->a, row, &l.j, at(&l, x), (RedOp)r));
        l = loop(f, N);
        Expr *where = e_mod(t->a, e_add(t->a, l.i, e_mul(t->a, l.j, e_int(t->a, 3))), e_int(t->a, 8));
        s_append(t->a, l.body, s_store(t->a, pick, &where, at(&l, x), (RedOp)r));
        Buf *one = func_param(f, arena_printf(t->a, "q_one_%s", name[r]), dt, 0, NULL),
            *acc = buf_new(f, arena_printf(t->a, "acc_%s", name[r]), dt, 0, NULL, MEM_REG);
        s_append(t->a, f->body, s_alloc(t->a, acc));
        s_append(t->a, f->body, s_store(t->a, acc, NULL, e_lit(t->a, c, 1), RED_NONE));
        l = loop(f, N);
        s_append(t->a, l.body, s_store(t->a, acc, NULL, at(&l, x), (RedOp)r));
        s_append(t->a, f->body, s_store(t->a, one, NULL, e_load(t->a, acc, NULL), RED_NONE));
    }
}

/* ---- random trees */
static uint64_t rnd_state;
static uint64_t rnd(void) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return rnd_state * 0x2545F4914F6CDD1DULL >> 16;
}
static int pick(int n) { return (int)(rnd() % (uint64_t)n); }
static double edge_f(DType t, int i);
static int64_t edge_i(DType t, int i);
typedef struct Tree {
    const Loop *l;
    Buf *in[3];
    Vec(Expr *) pool;
    Vec(const Var *) lets;
} Tree;
static Expr *tree(Tree *r, DType t, int depth);
static Expr *leaf(Tree *r, DType t) {
    Arena *a = r->l->f->a;
    int k = pick(6);
    if (k == 0) return dtype_is_float(t) ? e_lit(a, t, edge_f(t, pick(EDGES))) : e_lit_i(a, t, edge_i(t, pick(EDGES)));
    if (k == 1) return dtype_is_float(t) ? e_lit(a, t, 0.5 * pick(9)) : e_lit_i(a, t, pick(9) - 4);
    if (k <= 3 && r->lets.n) {
        const Var *v = r->lets.v[pick(r->lets.n)];
        return e_cast(a, t, e_var(a, v));
    }
    if (t == DT_INT64 && k >= 4) return k == 4 ? r->l->j : r->l->i;
    return e_cast(a, t, at(r->l, r->in[pick(3)]));
}
static Expr *tree_new(Tree *r, DType t, int depth) {
    static const CallFn exact[] = {CALL_SQRT, CALL_CEIL, CALL_FLOOR, CALL_TRUNC, CALL_RINT};
    Arena *a = r->l->f->a;
    if (depth <= 0 || pick(12) == 0) return leaf(r, t);
    int k = pick(10);
    if (k == 0) return e_select(a, tree(r, DT_BOOL, depth - 1), tree(r, t, depth - 1), tree(r, t, depth - 1));
    if (k <= 2) {
        DType to = t;
        do to = (DType)(1 + pick(DT_COUNT - 1));
        while (k == 1 ? to != t : !usable(to) || dtype_compute(to) != t);
        return e_cast(a, to, tree(r, computing[pick(ncomputing)], depth - 1));
    }
    if (k == 3) {
        if (dtype_is_float(t)) return e_call1(a, exact[pick(5)], tree(r, t, depth - 1));
        if (t != DT_BOOL)
            return pick(2) ? e_call1(a, CALL_POPCNT, tree(r, t, depth - 1)) : e_call2(a, CALL_IPOW, tree(r, t, depth - 1), leaf(r, t));
        DType f = pick(2) ? DT_FLOAT32 : DT_FLOAT64;
        return e_call1(a, pick(2) ? CALL_ISNAN : CALL_ISINF, tree(r, f, depth - 1));
    }
    if (k == 4) {
        int u = pick(4);
        if (un_on(u, t)) return e_un(a, uns[u].op, tree(r, t, depth - 1));
    }
    int b = pick(NBIN);
    bool compare = bins[b].op >= BIN_LT && bins[b].op <= BIN_NE;
    DType of = t == DT_BOOL && compare ? computing[pick(ncomputing)] : t;
    bool order_of_bools = of == DT_BOOL && (bins[b].op == BIN_LT || bins[b].op == BIN_LE); /* compilers warn where one is constant */
    if (!bin_on(b, of) || (compare && t != DT_BOOL) || order_of_bools) return tree_new(r, t, depth);
    return e_bin(a, bins[b].op, tree(r, of, depth - 1), tree(r, of, depth - 1));
}
static Expr *tree(Tree *r, DType t, int depth) {
    for (int i = 0; r->pool.n && i < 2; i++) { /* expressions are DAGs */
        Expr *old = r->pool.v[pick(r->pool.n)];
        if (old->t == t && pick(3) == 0) return old;
    }
    Expr *e = tree_new(r, t, depth);
    vec_push(r->l->f->a, &r->pool, e);
    return e;
}
static void build_random(Case *t, int seed) {
    rnd_state = 0x9E3779B97F4A7C15ULL * (uint64_t)(seed + 1);
    Func *f = nest(t, "tree", computing[seed % ncomputing]);
    Tree r = {0};
    static const char *const name[] = {"x", "y", "r"};
    for (int i = 0; i < 3; i++) {
        DType dt;
        do dt = (DType)(1 + pick(DT_COUNT - 1));
        while (!usable(dt));
        r.in[i] = vector(f, name[i], i == 0 ? computing[seed % ncomputing] : dt, N);
    }
    for (int k = 0; k < 12; k++) {
        Loop l = loop(f, N);
        DType of = pick(3) ? computing[seed % ncomputing] : computing[pick(ncomputing)];
        r.l = &l, r.pool.n = r.lets.n = 0;
        for (int n = pick(3); n > 0; n--) {
            DType lt = pick(2) ? DT_INT64 : computing[pick(ncomputing)];
            Expr *val = tree(&r, lt, 3);
            Var *v = var_new(f, arena_printf(t->a, "v%d", n), lt);
            s_append(t->a, l.body, s_let(t->a, v, val));
            r.pool.n = 0;
            vec_push(t->a, &r.lets, v);
        }
        out(t, &l, arena_printf(t->a, "tree%d", k), tree(&r, of, 2 + pick(4)));
    }
}

/* ---- data */
static double edge_f(DType t, int i) {
    static const double v[EDGES] = {0,        -0.0,      1,       -1,       0.5,     -2.5,         3,      127.5, NAN,
                                    INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 1.4e-45, 2147483648.0, -9.3e18};
    static const double more[EDGES] = {
        0, -0.0, 1, -1, 1.5, -2.5, 3, 1e17, NAN, INFINITY, -INFINITY, DBL_MAX, -DBL_MAX, 4.9e-324, 18446744073709551616.0, -0.1};
    return t == DT_FLOAT64 ? more[i] : v[i];
}
static int64_t edge_i(DType t, int i) {
    static const int64_t v[EDGES] = {0, 1, -1, 2, -2, 3, 7, 8, 16, 31, 32, 63, 64, 100, 0, 0};
    if (t == DT_BOOL) return i & 1;
    int64_t top = t == DT_UINT64 ? -1 : dtype_max(t);
    return i == 14 ? dtype_min(t) : i == 15 ? top : v[i];
}
static double random_f(int i) {
    static const double v[] = {0,
                               -0.0,
                               NAN,
                               INFINITY,
                               -INFINITY,
                               127,
                               127.5,
                               128,
                               -128,
                               -128.9,
                               -129,
                               255,
                               255.9,
                               256,
                               32767.5,
                               32768,
                               -32769,
                               65535,
                               65536,
                               2147483647,
                               2147483648.0,
                               -2147483649.0,
                               4294967295.0,
                               4294967296.0,
                               9223372036854775807.0,
                               -9223372036854775808.0,
                               18446744073709551615.0,
                               1e20,
                               -1e20,
                               0.25,
                               0.75,
                               1.25,
                               1.75,
                               2.5,
                               3.5,
                               5,
                               5.1,
                               6,
                               7,
                               448,
                               464,
                               480,
                               240,
                               57344,
                               61440,
                               65519,
                               65520,
                               1e-8,
                               5.9e-8,
                               1e-40,
                               1.5,
                               -0.5,
                               -1,
                               3.4028235677973366e38};
    enum { FIXED = sizeof v / sizeof *v };
    if (i < FIXED) return v[i];
    return ldexp((double)rnd() / 281474976710656.0 - 0.5, pick(i % 2 ? 300 : 24) - (i % 2 ? 150 : 8));
}
static void fill(const Buf *b, void *p, int64_t n) {
    rnd_state = 88172645463325252ULL;
    for (int64_t i = 0; i < n; i++) {
        char kind = b->name[0];
        int edge = kind == 'x' ? (int)(i / EDGES) % EDGES : (int)(i % EDGES);
        if (kind == 'p') /* patterns */
            if (dtype_info[b->dt].bits == 16) ((uint16_t *)p)[i] = (uint16_t)i;
            else if (dtype_info[b->dt].bits == 8) ((uint8_t *)p)[i] = (uint8_t)i;
            else dtype_set_i(dtype_is_float(b->dt) ? DT_UINT4 : b->dt, p, i, i * 7);
        else if (b->dt == DT_BOOL) dtype_set_i(b->dt, p, i, kind == 'x' || kind == 'y' ? edge & 1 : pick(2));
        else if (dtype_is_float(b->dt)) dtype_set_f(b->dt, p, i, kind == 'x' || kind == 'y' ? edge_f(b->dt, edge) : random_f((int)i));
        else if (kind == 'x' || kind == 'y' || i < EDGES) dtype_set_i(b->dt, p, i, edge_i(b->dt, edge));
        else dtype_set_i(b->dt, p, i, (int64_t)(rnd() << 16 ^ rnd()) >> pick(64));
    }
}

/* ---- comparing */
static int64_t elements(const Buf *b) { return b->rank ? b->dim[0] : 1; }
static bool same(const Buf *b, const void *p, const void *q, int64_t i) {
    if (dtype_is_float(b->dt)) {
        double x = dtype_get_f(b->dt, p, i), y = dtype_get_f(b->dt, q, i);
        return (isnan(x) && isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
    }
    return dtype_get_i(b->dt, p, i) == dtype_get_i(b->dt, q, i);
}
static const char *value(Case *t, DType dt, const void *p, int64_t i) {
    return dtype_is_float(dt) ? arena_printf(t->a, "%.17g", dtype_get_f(dt, p, i))
                              : arena_printf(t->a, "%lld", (long long)dtype_get_i(dt, p, i));
}
static int differences(Case *t, const Func *f, void (*fn)(void **), const char *variant) {
    int bad = 0;
    void **p = NEW_ARRAY(t->a, void *, f->param.n), **q = NEW_ARRAY(t->a, void *, f->param.n);
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        int64_t bytes = 0;
        ck_assert(dtype_bytes(b->dt, elements(b), &bytes));
        p[i] = arena_alloc(t->a, (size_t)bytes), q[i] = arena_alloc(t->a, (size_t)bytes);
        fill(b, p[i], elements(b));
        memcpy(q[i], p[i], (size_t)bytes);
    }
    ck_assert(interp_run(&t->c, f, p, NULL));
    fn(q);
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        for (int64_t k = 0; k < elements(b); k++) {
            if (same(b, p[i], q[i], k)) continue;
            Text said = {0};
            text_printf(&said, "%s, %s: %s[%lld] is %s, in C %s;", variant, f->name, b->name, (long long)k, value(t, b->dt, p[i], k),
                        value(t, b->dt, q[i], k));
            for (int j = 0; j < f->param.n && f->param.v[j]->name[1] == 0 && k < elements(f->param.v[j]); j++)
                text_printf(&said, " %s %s", f->param.v[j]->name, value(t, f->param.v[j]->dt, p[j], k));
            text_puts(&said, "; ");
            for (int j = 0; j < t->notes.n; j++)
                if (t->notes.v[j].buf == b) expr_print(t->notes.v[j].e, &said);
            fprintf(stderr, "%s\n", said.s);
            text_free(&said);
            bad++;
            break;
        }
    }
    return bad;
}
/* The file: helpers, each nest under its name, and behind `run_` a function that takes all buffers as one array. */
static void print_all(Case *t, Text *file, const EmitStyle *style) {
    HelperSet set = {0};
    text_puts(file, "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n");
    if (style->target) text_printf(file, "#include <%s>\n", style->target->include);
    for (int i = 0; i < t->nests.n; i++) emit_helpers_of(t->nests.v[i], &set);
    emit_helpers(file, &set);
    for (int i = 0; i < t->nests.n; i++) {
        const Func *f = t->nests.v[i];
        emit_func(file, f, style, true, NULL);
        text_printf(file, "void run_%s(void **p);\nvoid run_%s(void **p) {\n    %s(", f->name, f->name, f->name);
        for (int k = 0; k < f->param.n; k++) text_printf(file, "%sp[%d]", k ? ", " : "", k);
        text_puts(file, ");\n}\n");
    }
}
static void compare_all(Case *t, const char *variant, const EmitStyle *style, const char *flags) {
    char dir[] = "/tmp/quern_emit_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    Text file = {0};
    print_all(t, &file, style);
    if (getenv("QN_FUZZ")) /* wild trees compare what types decide */
        flags = arena_printf(t->a, "%s -Wno-type-limits -Wno-tautological-compare -Wno-bool-compare -Wno-sign-compare", flags);
    const char *source = arena_printf(t->a, "%s/t.c", dir), *so = arena_printf(t->a, "%s/t.so", dir), *cc = getenv("CC");
    ck_assert(file_write_whole(&t->c, source, file.s, file.n));
    text_free(&file);
    const char *cmd =
        arena_printf(t->a, "%s -std=c99 -Wall -Wextra -Werror -pedantic -fPIC -shared %s -o %s %s -lm", cc ? cc : "cc", flags, so, source);
    ck_assert_msg(system(cmd) == 0, "%s", cmd);
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(lib != NULL, "%s", dlerror());
    int bad = 0;
    for (int i = 0; i < t->nests.n; i++) {
        void (*fn)(void **);
        void *sym = dlsym(lib, arena_printf(t->a, "run_%s", t->nests.v[i]->name));
        ck_assert_ptr_nonnull(sym);
        memcpy(&fn, &sym, sizeof fn);
        bad += differences(t, t->nests.v[i], fn, variant);
    }
    dlclose(lib);
    ck_assert_msg(bad == 0, "%d buffers differ; the C code is %s", bad, source);
    unlink(source), unlink(so), rmdir(dir);
}
static void build_all(Case *t, int trees, bool halves) {
    ncomputing = halves ? ALL_COMPUTING : ALL_COMPUTING - 1;
    for (int i = halves ? ncomputing - 1 : 0; i < ncomputing; i++) {
        build_operators(t, computing[i]);
        build_literals(t, computing[i]);
        build_casts(t, computing[i]);
        if (computing[i] != DT_BOOL) build_calls(t, computing[i]);
    }
    for (int dt = halves ? DT_HALF : 1; dt < DT_COUNT; dt++) {
        if (!usable(dt)) continue;
        build_reductions(t, (DType)dt);
        if (dtype_compute((DType)dt) != (DType)dt) build_storage(t, (DType)dt);
    }
    for (int i = 0; i < trees; i++) build_random(t, i);
    for (int i = 0; i < t->nests.n; i++) {
        bool ok = func_verify(&t->c, t->nests.v[i]);
        if (!ok) diag_print_all(&t->d, false);
        ck_assert_msg(ok, "%s", t->nests.v[i]->name);
    }
}
static int trees(void) { return getenv("QN_FUZZ") ? atoi(getenv("QN_FUZZ")) : 11; }
START_TEST(test_plain) {
    Case t;
    case_open(&t);
    build_all(&t, trees(), false);
    compare_all(&t, "plain", &(EmitStyle){0}, "-O1");
    arena_free(t.a);
}
END_TEST
START_TEST(test_vectors) {
    Case t;
    case_open(&t);
    build_all(&t, trees(), false);
    compare_all(&t, "vectors", &(EmitStyle){.vectors = true}, "-O1 -Wno-psabi");
    arena_free(t.a);
}
END_TEST
START_TEST(test_nothing_undefined) {
    Case t;
    case_open(&t);
    build_all(&t, trees(), false);
    compare_all(&t, "undefined", &(EmitStyle){0}, "-O0 -fsanitize=undefined,float-cast-overflow -fsanitize-undefined-trap-on-error");
    arena_free(t.a);
}
END_TEST
/* Half precision, each operation rounded, on machines that have it. */
START_TEST(test_halves) {
    Case t;
    case_open(&t);
    const Target *target = target_load(&t.c, "x86_avx512_fp16");
    ck_assert_ptr_nonnull(target);
    build_all(&t, trees(), true);
#if defined(__x86_64__) && defined(__GNUC__)
    unsigned a, b, c, d;
    bool has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 23 & 1);
    const char *cc = getenv("CC"), *flags = cc && strstr(cc, "clang") ? "-O1 -ffp-contract=off -mavx512fp16" : "-O1 -ffp-contract=off";
    EmitStyle style = {.attribute = target->attribute, .target = target};
    if (has) compare_all(&t, "halves", &style, flags);
    style.vectors = true;
    if (has) compare_all(&t, "vectors of halves", &style, flags);
#endif
    arena_free(t.a);
}
END_TEST

Suite *emit_diff_suite(void);
Suite *emit_diff_suite(void) {
    Suite *s = suite_create("emit_diff");
    TCase *c = tcase_create("emit_diff");
    tcase_add_test(c, test_plain);
    tcase_add_test(c, test_vectors);
    tcase_add_test(c, test_nothing_undefined);
    tcase_add_test(c, test_halves);
    suite_add_tcase(s, c);
    return s;
}
