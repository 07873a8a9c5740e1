/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_fuzz.c: random functions of the loop IR print, parse to the same structure and print to the same bytes; names that
 * clash or are words of the language included. Mutated texts never crash the parser. Seeds are fixed. */
#include "ir/loop.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <string.h>

/* ---- structure: two functions equal but for the identity of variables and local buffers */
typedef struct Match {
    const Var *var[4096];
    const Buf *buf[4096];
} Match;
static bool same_expr(const Match *m, const Expr *x, const Expr *y) {
    if (x->k != y->k || x->t != y->t || x->op != y->op || x->narg != y->narg || x->to != y->to) return false;
    int n = x->k == E_UN || x->k == E_CAST ? 1 : x->k == E_BIN ? 2 : x->k == E_SELECT ? 3 : 0;
    for (int i = 0; i < n; i++)
        if (!same_expr(m, x->u.a[i], y->u.a[i])) return false;
    switch (x->k) {
    case E_INT: return x->u.i == y->u.i;
    case E_FLT: return (isnan(x->u.f) && isnan(y->u.f)) || memcmp(&x->u.f, &y->u.f, sizeof x->u.f) == 0;
    case E_VAR: return m->var[x->u.v->id] == y->u.v;
    case E_LOAD:
        for (int i = 0; i < x->narg; i++)
            if (!same_expr(m, x->u.ld.idx[i], y->u.ld.idx[i])) return false;
        return m->buf[x->u.ld.buf->id] == y->u.ld.buf;
    case E_CALL:
        for (int i = 0; i < x->narg; i++)
            if (!same_expr(m, x->u.arg[i], y->u.arg[i])) return false;
        return true;
    default: return true;
    }
}
static bool same_buf(Match *m, const Buf *x, const Buf *y) {
    m->buf[x->id] = y;
    return x->dt == y->dt && x->rank == y->rank && x->offset == y->offset && x->space == y->space && x->level == y->level &&
           x->written == y->written && memcmp(x->dim, y->dim, sizeof *x->dim * (size_t)x->rank) == 0 &&
           memcmp(x->stride, y->stride, sizeof *x->stride * (size_t)x->rank) == 0;
}
static bool same_var(Match *m, const Var *x, const Var *y) {
    m->var[x->id] = y;
    return x->t == y->t;
}
static bool same_stmt(Match *m, const Stmt *x, const Stmt *y) {
    if (x->k != y->k) return false;
    switch (x->k) {
    case S_FOR:
        return same_expr(m, x->u.loop.lo, y->u.loop.lo) && same_expr(m, x->u.loop.hi, y->u.loop.hi) &&
               same_var(m, x->u.loop.v, y->u.loop.v) && x->u.loop.mode == y->u.loop.mode && x->u.loop.level == y->u.loop.level &&
               x->u.loop.axis == y->u.loop.axis && same_stmt(m, x->u.loop.body, y->u.loop.body);
    case S_STORE:
        for (int i = 0; i < x->u.st.buf->rank; i++)
            if (!same_expr(m, x->u.st.idx[i], y->u.st.idx[i])) return false;
        return m->buf[x->u.st.buf->id] == y->u.st.buf && x->u.st.red == y->u.st.red && same_expr(m, x->u.st.val, y->u.st.val);
    case S_LET: return same_expr(m, x->u.let.val, y->u.let.val) && same_var(m, x->u.let.v, y->u.let.v);
    case S_IF:
        return same_expr(m, x->u.cond.cond, y->u.cond.cond) && same_stmt(m, x->u.cond.then, y->u.cond.then) &&
               !x->u.cond.other == !y->u.cond.other && (!x->u.cond.other || same_stmt(m, x->u.cond.other, y->u.cond.other));
    case S_ALLOC: return same_buf(m, x->u.alloc, y->u.alloc);
    case S_CALL:
        for (int i = 0; i < x->u.call.narg && i < y->u.call.narg; i++)
            if (!same_expr(m, x->u.call.arg[i], y->u.call.arg[i])) return false;
        for (int i = 0; i < x->u.call.nbuf && i < y->u.call.nbuf; i++)
            if (m->buf[x->u.call.buf[i]->id] != y->u.call.buf[i]) return false;
        return x->u.call.narg == y->u.call.narg && x->u.call.nbuf == y->u.call.nbuf && x->u.call.writes == y->u.call.writes &&
               strcmp(x->u.call.name, y->u.call.name) == 0;
    case S_BLOCK:
        if (x->u.block.n != y->u.block.n) return false;
        for (int i = 0; i < x->u.block.n; i++)
            if (!same_stmt(m, x->u.block.v[i], y->u.block.v[i])) return false;
        return true;
    }
    return false;
}
static bool same_func(const Func *x, const Func *y) {
    static Match m;
    memset(&m, 0, sizeof m);
    if (x->param.n != y->param.n || strcmp(x->name, y->name) != 0 || x->schedule.n != y->schedule.n) return false;
    if (!x->comment != !y->comment || (x->comment && strcmp(x->comment, y->comment) != 0)) return false;
    for (int i = 0; i < x->schedule.n; i++)
        if (strcmp(x->schedule.v[i], y->schedule.v[i]) != 0) return false;
    for (int i = 0; i < x->param.n; i++)
        if (!same_buf(&m, x->param.v[i], y->param.v[i])) return false;
    return same_stmt(&m, x->body, y->body);
}

/* ---- random functions */
static uint64_t rnd_state;
static uint32_t rnd(uint32_t n) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return (uint32_t)(rnd_state >> 20) % n;
}
typedef struct Gen {
    Func *f;
    Vec(Var *) vars; /* in scope */
    Vec(Buf *) bufs;
} Gen;
static const DType value_types[] = {DT_FLOAT32, DT_FLOAT64, DT_INT64, DT_INT32, DT_BOOL, DT_UINT8, DT_UINT64};
static DType any_type(void) { return value_types[rnd(sizeof value_types / sizeof *value_types)]; }
static Expr *any_expr(Gen *g, DType t, int depth);
static Expr *raw(Gen *g, ExprKind k, int op, DType t, Expr *x, Expr *y, Expr *z) { /* no folding */
    Expr *e = NEW(g->f->a, Expr);
    e->k = k, e->op = (int8_t)op, e->t = t;
    e->u.a[0] = x, e->u.a[1] = y, e->u.a[2] = z;
    return e;
}
static Expr *any_leaf(Gen *g, DType t) {
    for (int k = 0; k < 4 && g->vars.n; k++) {
        const Var *v = g->vars.v[rnd((uint32_t)g->vars.n)];
        if (v->t == t) return e_var(g->f->a, v);
    }
    if (!dtype_is_float(t)) return e_lit_i(g->f->a, t, rnd(8) ? (int64_t)rnd(100) - 50 : (int64_t)(rnd_state * 3));
    static const double odd[] = {INFINITY, -INFINITY, NAN, -0.0, 1e30, -1e-40, 0.1};
    return e_lit(g->f->a, t, rnd(2) ? (double)rnd(1000) / 7 : odd[rnd(7)]);
}
static Expr *any_load(Gen *g, DType t, int depth) {
    Expr *idx[QN_MAX_RANK];
    for (int k = 0; k < 4; k++) {
        Buf *b = g->bufs.v[rnd((uint32_t)g->bufs.n)];
        if (dtype_compute(b->dt) != t) continue;
        for (int i = 0; i < b->rank; i++) idx[i] = any_expr(g, DT_INT64, depth - 2);
        return e_load(g->f->a, b, idx);
    }
    return any_leaf(g, t);
}
static Expr *any_bool(Gen *g, int depth) {
    DType t = any_type();
    if (rnd(2)) return raw(g, E_BIN, (int)(BIN_LAND + rnd(2)), DT_BOOL, any_expr(g, DT_BOOL, depth), any_expr(g, DT_BOOL, depth), NULL);
    if (rnd(4) == 0) return raw(g, E_UN, UN_NOT, DT_BOOL, any_expr(g, DT_BOOL, depth), NULL, NULL);
    return raw(g, E_BIN, (int)(BIN_LT + rnd(4)), DT_BOOL, any_expr(g, t, depth), any_expr(g, t, depth), NULL);
}
static Expr *any_expr(Gen *g, DType t, int depth) {
    if (depth <= 0 || rnd(6) == 0) return rnd(2) ? any_leaf(g, t) : depth < 0 ? any_leaf(g, t) : any_load(g, t, depth);
    depth--;
    if (t == DT_BOOL && rnd(3)) return any_bool(g, depth);
    bool fl = dtype_is_float(t);
    switch (rnd(6)) {
    case 0: return raw(g, E_UN, (int[]){UN_NEG, UN_ABS, fl ? UN_NEG : UN_INV}[rnd(3)], t, any_expr(g, t, depth), NULL, NULL);
    case 1: return raw(g, E_SELECT, 0, t, any_expr(g, DT_BOOL, depth), any_expr(g, t, depth), any_expr(g, t, depth));
    case 2: {
        Expr *e = raw(g, E_CAST, 0, t, any_expr(g, any_type(), depth), NULL, NULL);
        e->to = t == DT_FLOAT32 && rnd(2) ? DT_BFLOAT16 : t;
        return e;
    }
    case 3:
        if (t == DT_BOOL) break;
        if (fl)
            return rnd(2) ? e_call1(g->f->a, CALL_EXP, any_expr(g, t, depth))
                          : e_call2(g->f->a, CALL_POW, any_expr(g, t, depth), any_leaf(g, t));
        return e_call2(g->f->a, CALL_IPOW, any_expr(g, t, depth), any_expr(g, t, depth));
    default: break;
    }
    return raw(g, E_BIN, (int)rnd(fl ? BIN_MAX + 1 : BIN_SHR + 1), t, any_expr(g, t, depth), any_expr(g, t, depth), NULL);
}
static const char *any_name(void) { /* often taken already, sometimes a word of the language */
    static const char *const names[] = {"i", "j", "k", "acc", "t", "i_1", "i_2", "for", "exp", "float32", "x", "level"};
    return names[rnd(12)];
}
static Buf *any_buf(Gen *g, MemSpace space) {
    static const DType storage[] = {DT_FLOAT32, DT_FLOAT64, DT_INT64, DT_BFLOAT16, DT_UINT4, DT_BOOL, DT_INT32};
    int64_t dim[3] = {rnd(9), 1 + rnd(5), 1 + rnd(3)};
    Buf *b = buf_new(g->f, any_name(), storage[rnd(7)], (int)rnd(4), dim, space);
    if (b->rank && rnd(4) == 0) b->stride[rnd((uint32_t)b->rank)] = (int64_t)rnd(100) - 20;
    if (rnd(4) == 0) b->offset = rnd(1000);
    if (rnd(4) == 0 || space == MEM_PAD) b->level = (int)rnd(4);
    vec_push(g->f->a, &g->bufs, b);
    return b;
}
static void fill(Gen *g, Stmt *block, int depth);
static Stmt *any_store(Gen *g) {
    Buf *b = g->bufs.v[rnd((uint32_t)g->bufs.n)];
    DType t = dtype_compute(b->dt);
    Expr *idx[QN_MAX_RANK];
    for (int i = 0; i < b->rank; i++) idx[i] = any_expr(g, DT_INT64, 2);
    return s_store(g->f->a, b, idx, any_expr(g, t, 5), (RedOp)rnd(dtype_is_float(t) ? RED_MAX + 1 : RED_XOR + 1));
}
static Stmt *any_call(Gen *g) {
    Stmt *s = NEW(g->f->a, Stmt);
    s->k = S_CALL;
    s->u.call.name = "qn_routine";
    s->u.call.narg = (int)rnd(4);
    s->u.call.nbuf = (int)rnd(4);
    s->u.call.arg = NEW_ARRAY(g->f->a, Expr *, 4);
    s->u.call.buf = NEW_ARRAY(g->f->a, Buf *, 4);
    for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = any_expr(g, DT_INT64, 2);
    for (int i = 0; i < s->u.call.nbuf; i++) {
        s->u.call.buf[i] = g->bufs.v[rnd((uint32_t)g->bufs.n)];
        if (!rnd(2)) continue;
        s->u.call.writes |= 1u << i;
        s->u.call.buf[i]->written = true;
    }
    return s;
}
static Stmt *any_stmt(Gen *g, int depth) {
    Arena *a = g->f->a;
    int vars = g->vars.n;
    switch (rnd(depth > 0 ? 8 : 4)) {
    case 0: return any_call(g);
    case 1: return s_alloc(a, any_buf(g, (MemSpace)(MEM_STACK + rnd(3))));
    case 2: {
        DType t = any_type();
        Expr *val = any_expr(g, t, 4);
        Var *v = var_new(g->f, any_name(), t);
        vec_push(a, &g->vars, v);
        return s_let(a, v, val);
    }
    case 4: {
        Stmt *s = s_if(a, any_expr(g, DT_BOOL, 3));
        fill(g, s->u.cond.then, depth - 1);
        if (rnd(2)) fill(g, s->u.cond.other = s_block(a), depth - 1);
        return s;
    }
    case 5: {
        Stmt *s = s_block(a);
        fill(g, s, depth - 1);
        return s;
    }
    case 6:
    case 7: {
        Expr *lo = any_expr(g, DT_INT64, 2), *hi = any_expr(g, DT_INT64, 2);
        Var *v = var_new(g->f, any_name(), DT_INT64);
        Stmt *s = s_for(a, v, lo, hi);
        vec_push(a, &g->vars, v);
        s->u.loop.mode = (LoopMode)rnd(4);
        if (rnd(3) == 0) s->u.loop.level = (int)rnd(3);
        if (rnd(4) == 0) s->u.loop.axis = rnd(2) ? 'x' : 'y';
        fill(g, s->u.loop.body, depth - 1);
        g->vars.n = vars;
        return s;
    }
    default: return any_store(g);
    }
}
static void fill(Gen *g, Stmt *block, int depth) {
    int vars = g->vars.n, bufs = g->bufs.n;
    for (int n = (int)rnd(5); n > 0; n--) s_append(g->f->a, block, any_stmt(g, depth));
    g->vars.n = vars, g->bufs.n = bufs;
}
static Func *any_func(Arena *a) {
    Gen g = {.f = func_new(a, "f")};
    int n = 1 + (int)rnd(5);
    for (int i = 0; i < n; i++) {
        Buf *b = any_buf(&g, rnd(4) ? MEM_PARAM : MEM_SCRATCH);
        b->written = b->space == MEM_PARAM && rnd(2);
        vec_push(a, &g.f->param, b);
    }
    if (rnd(2)) g.f->comment = "what it does\n  and how";
    if (rnd(2)) vec_push(a, &g.f->schedule, "split oc 16");
    fill(&g, g.f->body, 4);
    return g.f;
}
START_TEST(test_random_functions) {
    rnd_state = 88172645463325252u + (uint64_t)_i;
    for (int round = 0; round < 400; round++) {
        Case t;
        case_open(&t);
        Func *f = any_func(t.a);
        const char *text = case_print(&t, f);
        Func *g = case_parse(&t, text);
        ck_assert_msg(same_func(f, g), "another structure after printing and parsing:\n%s", text);
        ck_assert_str_eq(case_print(&t, g), text);
        case_close(&t);
    }
}
END_TEST

/* ---- texts to mutate; they hold every statement */
static const char *const seeds[] = {
    "func conv1(x: float32[1,3,8,8], w: float32[4,3,3,3] strides [27,9,3,1] offset 0, scratch tmp: float32[64]) -> writes y: "
    "float32[1,4,6,6]\n"
    "  # comment text\n"
    "  # schedule: split oc 16\n"
    "  alloc acc: reg float32[4]\n"
    "  for m in 0..4 unroll        # of four\n"
    "    for k in max(0, m-1)..min(8, m+1) level 2 x\n"
    "      let t: float32 = x[0, k, 0, 0] * 2\n"
    "      acc[m] += t\n"
    "      if k < 3 && m != 2\n"
    "        y[0, m, 0, 0] = select(k < 2, t, acc[m])\n"
    "      else\n"
    "        block\n"
    "          tmp[m] max= exp(-0.5) + float16(t)\n"
    "  call qn_topk(1, 2, 3)(x, w, out y)\n",
    "func f(x: bool) -> writes y: float16[2,3] strides [1,-2] offset 4 level 3, scratch t: uint4[8], writes z: float64\n"
    "  alloc p: pad int8[16] level 2\n"
    "  for i in -3..2 level -1 y\n"
    "    let v: int32 = -5:int32\n"
    "    p[0] = int8(v) & ~3\n",
};
/* ---- no bytes crash the parser */
START_TEST(test_mutations) {
    static const char bits[] = "()[],:=+-*/%&|^~!<> .#\n0123456789abcexfor\t\r\"\\\xff";
    rnd_state = 1234567 + (uint64_t)_i;
    for (int round = 0; round < 1500; round++) {
        Case t;
        case_open(&t);
        const char *from = rnd(2) ? seeds[rnd(2)] : case_print(&t, any_func(t.a));
        size_t n = strlen(from);
        char *s = arena_alloc(t.a, 2 * n + 64);
        memcpy(s, from, n + 1);
        for (int k = 1 + (int)rnd(8); k > 0; k--) {
            size_t at = rnd((uint32_t)n), len = rnd(12), to = rnd((uint32_t)n);
            switch (rnd(4)) {
            case 0: s[at] = (char)(1 + rnd(255)); break;
            case 1: s[at] = bits[rnd(sizeof bits - 1)]; break;
            case 2: /* a piece copied over another place */
                if (at + len < n && to + len < n) memmove(s + to, s + at, len);
                break;
            case 3: /* a piece taken out */
                if (at + len >= n || n < 20) break;
                memmove(s + at, s + at + len, n - at - len + 1);
                n -= len;
                break;
            }
        }
        Func *f = func_parse(&t.c, "t.qir", s);
        ck_assert_int_eq(f == NULL, t.d.errors > 0);
        if (f) { /* what is accepted prints and parses again; the verifier answers */
            const char *text = case_print(&t, f);
            ck_assert_str_eq(case_print(&t, case_parse(&t, text)), text);
            func_verify(&t.c, f);
        }
        case_close(&t);
    }
}
END_TEST

Suite *loop_fuzz_suite(void) {
    Suite *s = suite_create("loop_fuzz");
    TCase *c = tcase_create("loop_fuzz");
    tcase_add_loop_test(c, test_random_functions, 0, 4);
    tcase_add_loop_test(c, test_mutations, 0, 4);
    suite_add_tcase(s, c);
    return s;
}
