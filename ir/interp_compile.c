/* SPDX-License-Identifier: Apache-2.0 */
/* interp_compile.c: a Func becomes bytecode (interp.h). Innermost loops without branches run as strips where that cannot be told
 * from running them one iteration after the other; everything else runs on one value at a time. Addresses are affine in
 * variables wherever they can be.
 *
 *   for k in 0..n: acc[0] += a[k]*b[k]   --->   strips { load r0, a; load r1, b; fn r2 = mul(r0, r1); reduce acc, r2 }
 *
 * Strips are legal when each buffer that the body writes is touched by one store alone, or by accesses at one and the same
 * element which differs between iterations.
 */
#include "interp.h"
#include <string.h>

typedef struct Known { /* what is known of an expression in the segment being compiled */
    const Expr *e;
    int gen, scope, reg;
    uint8_t traits; /* bit 7: known */
} Known;
enum { T_LOAD = 1, T_LANE = 2, T_KNOWN = 128 };

typedef struct Compiler {
    InterpFrame *I;
    Arena *a;
    Code *code;       /* the segment that instructions go to */
    const Var *lane;  /* variable of the strip loop, or NULL */
    uint8_t *vec_let; /* per variable id: a let inside the strip loop: register + 1 … */
    int *let_reg;     /* … that register */
    uint8_t *written; /* per buffer id: the strip loop's body writes it */
    Known *known;
    int cap, count, gen;
    Vec(int) scopes; /* open scopes of values; a branch of a select opens one */
    int next_scope;
    uint8_t *one; /* per register of the segment: one value for all lanes */
    int one_cap;
    int mask; /* register, or -1 */
} Compiler;

/* ---- what is known of expressions */
static Known *known_slot(Compiler *C, const Expr *e) {
    if (C->count * 2 >= C->cap) {
        Known *old = C->known;
        int n = C->cap;
        C->cap = n ? n * 2 : 128;
        C->known = NEW_ARRAY(C->a, Known, C->cap);
        C->count = 0;
        for (int i = 0; i < n; i++)
            if (old[i].e && old[i].gen == C->gen) *known_slot(C, old[i].e) = old[i];
    }
    size_t i = (uintptr_t)e / 16 * 0x9E3779B97F4A7C15u >> 24;
    for (;; i++) {
        Known *k = &C->known[i & (size_t)(C->cap - 1)];
        if (k->e == e && k->gen == C->gen) return k;
        if (!k->e || k->gen != C->gen) {
            *k = (Known){.e = e, .gen = C->gen, .reg = -1};
            C->count++;
            return k;
        }
    }
}
static void forget(Compiler *C) { C->gen++, C->count = 0; }

static int traits(Compiler *C, const Expr *e) {
    int t = 0;
    if (e->k == E_INT || e->k == E_FLT) return 0;
    if (e->k == E_VAR) return e->u.v == C->lane || C->vec_let[e->u.v->id] ? T_LANE : 0;
    Known *k = known_slot(C, e);
    if (k->traits & T_KNOWN) return k->traits & ~T_KNOWN;
    switch (e->k) {
    case E_LOAD:
        t = T_LOAD | (C->written[e->u.ld.buf->id] && C->lane ? T_LANE : 0);
        for (int i = 0; i < e->narg; i++) t |= traits(C, e->u.ld.idx[i]);
        break;
    case E_UN:
    case E_CAST: t = traits(C, e->u.a[0]); break;
    case E_BIN: t = traits(C, e->u.a[0]) | traits(C, e->u.a[1]); break;
    case E_SELECT: t = traits(C, e->u.a[0]) | traits(C, e->u.a[1]) | traits(C, e->u.a[2]); break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) t |= traits(C, e->u.arg[i]);
        break;
    default: break;
    }
    known_slot(C, e)->traits = (uint8_t)(t | T_KNOWN);
    return t;
}

/* ---- instructions */
static int new_reg(Compiler *C, bool one) {
    int r = C->code->nreg++;
    if (r >= C->one_cap) {
        int cap = C->one_cap ? C->one_cap * 2 : 64;
        uint8_t *v = NEW_ARRAY(C->a, uint8_t, cap);
        if (r) memcpy(v, C->one, (size_t)r);
        C->one = v, C->one_cap = cap;
    }
    C->one[r] = one;
    return r;
}
static uint8_t size_of(DType t) { return (uint8_t)(dtype_info[t].bits / 8); }
static Ins *put(Compiler *C, Ins in) {
    vec_push(C->a, &C->code->ins, in);
    return &C->code->ins.v[C->code->ins.n - 1];
}
static int put_value(Compiler *C, Ins in, bool one) {
    in.one = one;
    in.d = new_reg(C, one);
    put(C, in);
    return in.d;
}
static int put_jump(Compiler *C, InsKind k, int a) {
    put(C, (Ins){.kind = (uint8_t)k, .a = a});
    return C->code->ins.n - 1;
}
static void land(Compiler *C, int jump) { C->code->ins.v[jump].imm = C->code->ins.n; }
static int compile(Compiler *C, Expr *e);
/* The value in every lane. */
static int lanes(Compiler *C, int r, DType t) {
    if (!C->lane || !C->one[r]) return r;
    return put_value(C, (Ins){.kind = I_SPLAT, .size = size_of(t), .a = r}, false);
}
static int put_const(Compiler *C, const Expr *e) {
    int64_t bits = e->u.i;
    if (e->k == E_FLT && e->t == DT_FLOAT32) {
        float f = (float)e->u.f;
        bits = 0;
        memcpy(&bits, &f, 4);
    } else if (e->k == E_FLT && e->t == DT_HALF) {
        uint16_t h = 0;
        dtype_set_f(DT_HALF, &h, 0, e->u.f);
        bits = h;
    } else if (e->k == E_FLT) memcpy(&bits, &e->u.f, 8);
    return put_value(C, (Ins){.kind = I_CONST, .imm = bits}, true);
}

/* ---- addresses */
static bool addr_add(Compiler *C, Addr *ad, Expr *e, int64_t k) {
    int64_t c;
    if (e->k == E_INT) return mul_ok(e->u.i, k, &c) && add_ok(ad->base, c, &ad->base);
    if (e->k == E_VAR && e->u.v == C->lane) ad->lane += k; /* and the first lane's value, below */
    if (e->k == E_BIN && (e->op == BIN_ADD || e->op == BIN_SUB))
        return addr_add(C, ad, e->u.a[0], k) && addr_add(C, ad, e->u.a[1], e->op == BIN_ADD ? k : -k);
    if (e->k == E_BIN && e->op == BIN_MUL && e->u.a[1]->k == E_INT && mul_ok(k, e->u.a[1]->u.i, &c)) return addr_add(C, ad, e->u.a[0], c);
    if (e->k == E_UN && e->op == UN_NEG) return addr_add(C, ad, e->u.a[0], -k);
    if (e->k != E_VAR || e->u.v != C->lane)
        if (C->lane && traits(C, e) & T_LANE) return false;
    AddrTerm t = {k, e->k == E_VAR ? e->u.v->id : 0};
    if (e->k != E_VAR) t.slot = ~compile(C, e);
    AddrTerm *grown = NEW_ARRAY(C->a, AddrTerm, ad->nterm + 1);
    if (ad->nterm) memcpy(grown, ad->term, (size_t)ad->nterm * sizeof t);
    grown[ad->nterm++] = t;
    ad->term = grown;
    return true;
}
static Expr *flat_index(Compiler *C, const Buf *b, Expr *const *idx) {
    Expr *flat = e_int(C->a, b->offset);
    for (int i = 0; i < b->rank; i++) flat = e_add(C->a, flat, e_mul(C->a, idx[i], e_int(C->a, b->stride[i])));
    return flat;
}
/* The affine address, or NULL and the element's number in *reg (one per lane). */
static Addr *address(Compiler *C, Buf *b, Expr *const *idx, int *reg) {
    Addr *ad = NEW(C->a, Addr);
    ad->buf = b;
    ad->data = C->I->data[b->id];
    ad->min = b->offset, ad->max = b->offset;
    for (int i = 0; i < b->rank; i++) {
        int64_t span = (b->dim[i] - 1) * b->stride[i];
        if (b->dim[i] == 0) ad->max = ad->min - 1;
        if (ad->max >= ad->min) *(span < 0 ? &ad->min : &ad->max) += span;
    }
    ad->base = b->offset;
    *reg = -1;
    bool affine = true;
    for (int i = 0; i < b->rank && affine; i++) affine = addr_add(C, ad, idx[i], b->stride[i]);
    if (affine) return ad;
    *reg = lanes(C, compile(C, flat_index(C, b, idx)), DT_INT64);
    return ad;
}
static int compile_load(Compiler *C, Expr *e) {
    int at;
    Buf *b = e->u.ld.buf;
    Addr *ad = address(C, b, e->u.ld.idx, &at);
    Ins in = {.kind = I_LOAD, .dt = b->dt, .val = e->t, .size = size_of(e->t), .addr = ad, .a = C->mask, .b = at};
    if (at >= 0) {
        in.kind = I_GATHER;
        return put_value(C, in, false);
    }
    if (!C->lane || !ad->lane) { /* a mask guards it by a jump */
        in.a = -1;
        return put_value(C, in, true);
    }
    in.direct = C->mask < 0 && ad->lane == 1 && b->dt == e->t;
    return put_value(C, in, false);
}

/* ---- expressions */
static int open_scope(Compiler *C) {
    int mark = C->scopes.n;
    vec_push(C->a, &C->scopes, ++C->next_scope);
    return mark;
}
static bool in_scope(const Compiler *C, int scope) {
    if (scope == 0) return true;
    for (int i = C->scopes.n - 1; i >= 0; i--)
        if (C->scopes.v[i] == scope) return true;
    return false;
}
static int move_to(Compiler *C, int d, int r, DType t) {
    bool one = C->one[d];
    if (!one) r = lanes(C, r, t);
    Ins in = {.kind = I_SPLAT, .size = size_of(t), .a = r, .d = d, .one = one};
    if (!one) in = (Ins){.kind = I_FN, .fn = interp_cast_fn(t, t), .a = r, .b = -1, .c = -1, .d = d};
    put(C, in);
    return d;
}
/* The condition has one value: a branch. */
static int compile_branch(Compiler *C, Expr *cond, Expr *x, Expr *y) {
    int mark, c = compile(C, cond);
    bool one = !C->lane || !((traits(C, x) | traits(C, y)) & T_LANE);
    int d = new_reg(C, one), skip, end;
    skip = put_jump(C, I_JZERO, c);
    mark = open_scope(C);
    move_to(C, d, compile(C, x), x->t);
    C->scopes.n = mark;
    end = put_jump(C, I_JUMP, 0);
    land(C, skip);
    mark = open_scope(C);
    move_to(C, d, compile(C, y), y->t);
    C->scopes.n = mark;
    land(C, end);
    return d;
}
static int under_mask(Compiler *C, int cond, Expr *x) {
    if (!(traits(C, x) & T_LOAD)) return lanes(C, compile(C, x), x->t);
    int old = C->mask, d = new_reg(C, false);
    if (old >= 0) cond = put_value(C, (Ins){.kind = I_FN, .fn = interp_bin_fn(BIN_AND, DT_BOOL), .a = old, .b = cond, .c = -1}, false);
    int skip = put_jump(C, I_JNONE, cond), mark = open_scope(C);
    C->mask = cond;
    move_to(C, d, compile(C, x), x->t);
    C->mask = old;
    C->scopes.n = mark;
    land(C, skip);
    return d;
}
static int compile_select(Compiler *C, Expr *cond, Expr *x, Expr *y) {
    if (!C->lane || !(traits(C, cond) & T_LANE)) return compile_branch(C, cond, x, y);
    int c = lanes(C, compile(C, cond), DT_BOOL);
    int not_c = traits(C, y) & T_LOAD
                    ? put_value(C, (Ins){.kind = I_FN, .fn = interp_un_fn(UN_NOT, DT_BOOL), .a = c, .b = -1, .c = -1}, false)
                    : -1;
    int vx = under_mask(C, c, x), vy = under_mask(C, not_c, y);
    return put_value(C, (Ins){.kind = I_FN, .fn = interp_select_fn(x->t), .a = c, .b = vx, .c = vy}, false);
}
static int compile_fn(Compiler *C, InterpFn fn, int n, Expr *const *arg, DType result) {
    int r[3] = {-1, -1, -1};
    bool one = true;
    for (int i = 0; i < n; i++) r[i] = compile(C, arg[i]), one &= C->one[r[i]];
    if (!one)
        for (int i = 0; i < n; i++) r[i] = lanes(C, r[i], arg[i]->t);
    return put_value(C, (Ins){.kind = I_FN, .fn = fn, .a = r[0], .b = r[1], .c = r[2], .flop = dtype_is_float(result)}, one);
}
static int compile_cast(Compiler *C, Expr *e) {
    Expr *x = e->u.a[0];
    InterpFn fn = interp_cast_fn(x->t, e->to);
    if (fn) return compile_fn(C, fn, 1, &x, e->t);
    int r = compile(C, x);
    return put_value(C, (Ins){.kind = I_CAST, .dt = e->to, .val = x->t, .size = size_of(e->t), .a = r}, C->one[r]);
}
static int compile_new(Compiler *C, Expr *e) {
    Arena *a = C->a;
    switch (e->k) {
    case E_INT:
    case E_FLT: return put_const(C, e);
    case E_VAR:
        if (e->u.v == C->lane) return put_value(C, (Ins){.kind = I_IOTA, .imm = e->u.v->id}, false);
        if (C->vec_let[e->u.v->id]) return C->let_reg[e->u.v->id];
        return put_value(C, (Ins){.kind = I_ENV, .imm = e->u.v->id}, true);
    case E_LOAD: return compile_load(C, e);
    case E_UN: return compile_fn(C, interp_un_fn((UnOp)e->op, e->u.a[0]->t), 1, e->u.a, e->t);
    case E_BIN:
        if (e->op == BIN_LAND && traits(C, e->u.a[1]) & T_LOAD) return compile_select(C, e->u.a[0], e->u.a[1], e_lit_i(a, DT_BOOL, 0));
        if (e->op == BIN_LOR && traits(C, e->u.a[1]) & T_LOAD) return compile_select(C, e->u.a[0], e_lit_i(a, DT_BOOL, 1), e->u.a[1]);
        return compile_fn(C, interp_bin_fn((BinOp)e->op, e->u.a[0]->t), 2, e->u.a, e->t);
    case E_SELECT: return compile_select(C, e->u.a[0], e->u.a[1], e->u.a[2]);
    case E_CAST: return compile_cast(C, e);
    case E_CALL: return compile_fn(C, interp_call_fn((CallFn)e->op, e->u.arg[0]->t), e->narg, e->u.arg, e->t);
    }
    BUG("unknown expression kind %d", (int)e->k);
}
static int compile(Compiler *C, Expr *e) {
    Known *k = known_slot(C, e);
    if (k->reg >= 0 && in_scope(C, k->scope)) return k->reg;
    int r = compile_new(C, e);
    k = known_slot(C, e);
    k->reg = r, k->scope = C->scopes.n ? C->scopes.v[C->scopes.n - 1] : 0;
    return r;
}

/* ---- statements of straight code */
static void compile_store(Compiler *C, const Stmt *s) {
    Buf *b = s->u.st.buf;
    BinOp op;
    DType t = dtype_compute(b->dt);
    int at, v = compile(C, s->u.st.val);
    Addr *ad = address(C, b, s->u.st.idx, &at);
    bool red = interp_red_op(s->u.st.red, &op), one = !C->lane || (at < 0 && ad->lane == 0);
    Ins in = {.dt = b->dt, .val = t, .size = size_of(t), .addr = ad, .b = at, .fn = red ? interp_bin_fn(op, t) : NULL, .flop = red};
    if (at >= 0) in.kind = I_SCATTER, in.a = lanes(C, v, t);
    else if (red && C->lane && ad->lane == 0) in.kind = I_REDUCE, in.a = lanes(C, v, t), in.fn = interp_reduce_fn(op, t);
    else {
        if (red) {
            int old = put_value(C, (Ins){.kind = I_LOAD, .dt = b->dt, .val = t, .size = size_of(t), .addr = ad, .a = -1, .b = -1}, one);
            if (!one) v = lanes(C, v, t);
            v = put_value(C, (Ins){.kind = I_FN, .fn = in.fn, .a = old, .b = v, .c = -1, .flop = dtype_is_float(t)}, one);
        }
        in.kind = I_STORE, in.a = C->lane ? lanes(C, v, t) : v;
    }
    put(C, in);
    forget(C);
}
static void compile_let(Compiler *C, const Stmt *s) {
    const Var *v = s->u.let.v;
    int r = compile(C, s->u.let.val);
    if (C->lane) { /* a copy: memory may change before the value is used */
        int d = new_reg(C, C->one[r]);
        C->let_reg[v->id] = move_to(C, d, r, v->t);
        C->vec_let[v->id] = 1;
    } else put(C, (Ins){.kind = I_SETENV, .a = r, .imm = v->id, .size = size_of(v->t)});
    forget(C);
}
static Code *code_new(Compiler *C, CodeKind k) {
    Code *c = NEW(C->a, Code);
    c->k = k;
    return c;
}
static void open_segment(Compiler *C, Code *c) {
    C->code = c;
    C->scopes.n = 0;
    C->mask = -1;
    forget(C);
}
static void close_segment(Compiler *C) {
    Code *c = C->code;
    c->strip = c->nreg <= 16 ? STRIP : c->nreg >= 128 ? 64 : STRIP * 16 / c->nreg;
    if (c->nreg > C->I->max_nreg) C->I->max_nreg = c->nreg;
    C->code = NULL;
}

/* ---- may a loop run as strips? */
typedef struct Access {
    Buf *b;
    Expr **idx;
    bool store, red;
} Access;
typedef struct Accesses {
    Compiler *C;
    Vec(Access) v;
    bool ok;
} Accesses;
static void loads_of(Accesses *A, Expr *e) {
    Compiler *C = A->C;
    if (!(traits(C, e) & T_LOAD)) return;
    Known *k = known_slot(C, e);
    if (k->scope == -1) return; /* seen */
    k->scope = -1;
    if (e->k == E_LOAD) {
        for (int i = 0; i < e->narg; i++) loads_of(A, e->u.ld.idx[i]);
        if (C->written[e->u.ld.buf->id]) vec_push(C->a, &A->v, ((Access){e->u.ld.buf, e->u.ld.idx, false, false}));
        return;
    }
    int n = e->k == E_CALL ? e->narg : e->k == E_BIN ? 2 : e->k == E_SELECT ? 3 : 1;
    for (int i = 0; i < n; i++) loads_of(A, e->k == E_CALL ? e->u.arg[i] : e->u.a[i]);
}
static void accesses_of(Accesses *A, const Stmt *s) {
    Compiler *C = A->C;
    if (s->k == S_BLOCK) {
        for (int i = 0; i < s->u.block.n; i++) accesses_of(A, s->u.block.v[i]);
    } else if (s->k == S_LET) {
        C->vec_let[s->u.let.v->id] = 1; /* while looking */
        loads_of(A, s->u.let.val);
    } else if (s->k == S_STORE) {
        for (int i = 0; i < s->u.st.buf->rank; i++) loads_of(A, s->u.st.idx[i]);
        loads_of(A, s->u.st.val);
        vec_push(C->a, &A->v, ((Access){s->u.st.buf, s->u.st.idx, true, s->u.st.red != RED_NONE}));
    }
}
/* Lets and stores only; marks what is written. */
static bool simple_body(Compiler *C, const Stmt *s, int *stores) {
    if (s->k == S_BLOCK) {
        for (int i = 0; i < s->u.block.n; i++)
            if (!simple_body(C, s->u.block.v[i], stores)) return false;
        return true;
    }
    if (s->k == S_STORE) {
        C->written[s->u.st.buf->id] = 1;
        ++*stores;
    }
    return s->k == S_LET || s->k == S_STORE;
}
/* 0: the element's number depends on the loop otherwise than linearly; else *k is its step */
static bool lane_step(Compiler *C, const Expr *e, int64_t k, int64_t *step) {
    int64_t c;
    if (!(traits(C, e) & T_LANE)) return true;
    if (e->k == E_VAR && e->u.v == C->lane) return add_ok(*step, k, step);
    if (e->k == E_BIN && (e->op == BIN_ADD || e->op == BIN_SUB))
        return lane_step(C, e->u.a[0], k, step) && lane_step(C, e->u.a[1], e->op == BIN_ADD ? k : -k, step);
    if (e->k == E_BIN && e->op == BIN_MUL && e->u.a[1]->k == E_INT)
        return mul_ok(k, e->u.a[1]->u.i, &c) && lane_step(C, e->u.a[0], c, step);
    if (e->k == E_UN && e->op == UN_NEG) return lane_step(C, e->u.a[0], -k, step);
    return false;
}
static bool same_element(const Access *x, const Access *y) {
    for (int i = 0; i < x->b->rank; i++)
        if (!e_equal(x->idx[i], y->idx[i])) return false;
    return true;
}
static bool accesses_fit(Compiler *C, const Accesses *A) {
    for (int i = 0; i < A->v.n; i++) {
        const Access *x = &A->v.v[i];
        if (!x->store) continue;
        int64_t step = 0;
        bool linear = true, alone = true;
        for (int d = 0; d < x->b->rank; d++) linear = linear && lane_step(C, x->idx[d], x->b->stride[d], &step);
        for (int j = 0; j < A->v.n; j++) {
            const Access *y = &A->v.v[j];
            if (j == i || y->b != x->b) continue;
            alone = false;
            if (!linear || step == 0 || !same_element(x, y)) return false;
        }
        DType t = dtype_compute(x->b->dt);
        if (alone && x->red && linear && step == 0 && (t != x->b->dt)) return false;
        if (!alone && dtype_packed(x->b->dt)) return false;
    }
    return true;
}
static bool strips_ok(Compiler *C, const Stmt *loop) {
    int stores = 0;
    if (C->lane) return false;
    if (!simple_body(C, loop->u.loop.body, &stores) || (stores > 1 && C->I->overlap)) {
        memset(C->written, 0, (size_t)C->I->f->nbuf);
        return false;
    }
    forget(C);
    C->lane = loop->u.loop.v;
    Accesses A = {.C = C};
    accesses_of(&A, loop->u.loop.body);
    bool ok = accesses_fit(C, &A);
    memset(C->vec_let, 0, (size_t)C->I->f->nvar); /* the marks of accesses_of */
    if (!ok) {
        C->lane = NULL;
        memset(C->written, 0, (size_t)C->I->f->nbuf);
    }
    forget(C);
    return ok;
}

/* ---- the tree */
static void compile_block(Compiler *C, const Stmt *block, CodeList *out);
static void compile_straight(Compiler *C, const Stmt *s) {
    if (s->k == S_BLOCK) {
        for (int i = 0; i < s->u.block.n; i++) compile_straight(C, s->u.block.v[i]);
    } else if (s->k == S_STORE) compile_store(C, s);
    else compile_let(C, s);
}
static Code *compile_for(Compiler *C, const Stmt *s) {
    Code *c = code_new(C, C_LOOP);
    c->slot = s->u.loop.v->id;
    c->bounds = code_new(C, C_SEG);
    open_segment(C, c->bounds);
    c->lo = compile(C, s->u.loop.lo), c->hi = compile(C, s->u.loop.hi);
    close_segment(C);
    if (strips_ok(C, s)) {
        c->k = C_STRIPS;
        open_segment(C, c);
        compile_straight(C, s->u.loop.body);
        close_segment(C);
        memset(C->vec_let, 0, (size_t)C->I->f->nvar);
        memset(C->written, 0, (size_t)C->I->f->nbuf);
        C->lane = NULL;
    } else compile_block(C, s->u.loop.body, &c->body);
    return c;
}
static Code *compile_if(Compiler *C, const Stmt *s) {
    Code *c = code_new(C, C_IF);
    c->bounds = code_new(C, C_SEG);
    open_segment(C, c->bounds);
    c->lo = compile(C, s->u.cond.cond);
    close_segment(C);
    compile_block(C, s->u.cond.then, &c->body);
    if (s->u.cond.other) compile_block(C, s->u.cond.other, &c->other);
    return c;
}
static Code *compile_call(Compiler *C, const Stmt *s) {
    Code *c = code_new(C, C_CALL);
    c->call = s;
    c->bounds = code_new(C, C_SEG);
    c->arg = NEW_ARRAY(C->a, int, s->u.call.narg);
    open_segment(C, c->bounds);
    for (int i = 0; i < s->u.call.narg; i++) c->arg[i] = compile(C, s->u.call.arg[i]);
    close_segment(C);
    return c;
}
static void compile_block(Compiler *C, const Stmt *block, CodeList *out) {
    for (int i = 0; i < block->u.block.n; i++) {
        const Stmt *s = block->u.block.v[i];
        Code *c = NULL;
        switch (s->k) {
        case S_FOR: c = compile_for(C, s); break;
        case S_IF: c = compile_if(C, s); break;
        case S_CALL: c = compile_call(C, s); break;
        case S_BLOCK: compile_block(C, s, out); break;
        case S_ALLOC: break;
        default: /* a run of lets and stores */
            c = code_new(C, C_SEG);
            open_segment(C, c);
            for (; i < block->u.block.n && (block->u.block.v[i]->k == S_LET || block->u.block.v[i]->k == S_STORE); i++)
                compile_straight(C, block->u.block.v[i]);
            i--;
            close_segment(C);
        }
        if (c) vec_push(C->a, out, c);
    }
}
void interp_compile(InterpFrame *I, CodeList *out) {
    Compiler C = {.I = I, .a = I->a, .mask = -1, .gen = 1};
    C.vec_let = NEW_ARRAY(I->a, uint8_t, I->f->nvar + 1);
    C.let_reg = NEW_ARRAY(I->a, int, I->f->nvar + 1);
    C.written = NEW_ARRAY(I->a, uint8_t, I->f->nbuf + 1);
    compile_block(&C, I->f->body, out);
}
