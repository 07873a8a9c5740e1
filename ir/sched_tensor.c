/* SPDX-License-Identifier: Apache-2.0 */
/* sched_tensor.c: a nest that does what an instruction does becomes a call of it. The instruction's meaning is a Func; the nest
 * must be equal to it statement by statement, with other names. A parameter of the meaning stands for the part of a buffer that
 * starts at some element: the distance between the two addresses must be the same in every access and must not depend on the
 * loops of the nest. So strides have to agree along the axes that move, and extents and ranks need not.
 *
 *   meaning: func dot(acc: int32[1], a: int8[4], b: int8[4]) { for k in 0..4: acc[0] += a[k] * b[k] }
 *   for n in 0..64: for kk in 0..4: y[n] += x[8+kk] * w[n,kk]   --->   for n in 0..64: dot(args n, 8, n*4; y, x, w)
 */
#include "sched_internal.h"
#include <string.h>

enum { MAX_INSTRS = 512, MAX_OPERANDS = 32, MAX_VARS = 64 };
static struct Instr {
    const char *name;
    const Func *meaning;
} instrs[MAX_INSTRS];
static int ninstr;

bool sched_instr_add(const char *name, const Func *meaning) {
    int i = 0;
    while (i < ninstr && strcmp(instrs[i].name, name)) i++;
    if (i == MAX_INSTRS) return false;
    instrs[i] = (struct Instr){name, meaning};
    if (i == ninstr) ninstr++;
    return true;
}

typedef struct Match {
    Sched *s;
    const Func *f; /* the meaning */
    const Var *theirs[MAX_VARS], *ours[MAX_VARS];
    int nvar;
    const Buf *local_theirs[MAX_OPERANDS], *local_ours[MAX_OPERANDS];
    int nlocal;
    Buf *buf[MAX_OPERANDS];   /* per parameter of the meaning */
    Expr *base[MAX_OPERANDS]; /* … where it starts in that buffer, in elements */
    uint32_t writes;
    const char *why; /* the first difference */
} Match;

static bool differ(Match *m, const char *why) {
    if (!m->why) m->why = why;
    return false;
}
static bool match_expr(Match *m, Expr *x, Expr *y);

static bool pair_vars(Match *m, const Var *x, const Var *y) {
    if (m->nvar == MAX_VARS) return differ(m, "too many variables");
    m->ours[m->nvar] = x, m->theirs[m->nvar++] = y;
    return x->t == y->t || differ(m, "a variable's type");
}
static bool moves(const Match *m, const Expr *e) {
    for (int i = 0; i < m->nvar; i++)
        if (expr_uses_var(e, m->ours[i])) return true;
    return false;
}
static Expr *flat(Arena *a, const Buf *b, Expr *const *idx) {
    Expr *e = e_int(a, 0);
    for (int d = 0; d < b->rank; d++) e = e_add(a, e, e_mul(a, idx[d], e_int(a, b->stride[d])));
    return e;
}
static bool match_local(Match *m, const Buf *x, Expr *const *xi, const Buf *y, Expr *const *yi) {
    for (int i = 0; i < m->nlocal; i++) {
        if (m->local_theirs[i] != y && m->local_ours[i] != x) continue;
        if (m->local_theirs[i] != y || m->local_ours[i] != x) return differ(m, "a local buffer");
        for (int d = 0; d < x->rank; d++)
            if (!match_expr(m, xi[d], yi[d])) return differ(m, "an index of a local buffer");
        return true;
    }
    return differ(m, "a buffer");
}
static bool match_access(Match *m, Buf *x, Expr *const *xi, const Buf *y, Expr *const *yi, bool write) {
    Arena *a = m->s->a;
    int p = 0;
    while (p < m->f->param.n && m->f->param.v[p] != y) p++;
    if (p == m->f->param.n) return match_local(m, x, xi, y, yi);
    if (m->buf[p] && m->buf[p] != x) return differ(m, "which buffer is accessed");
    if (x->dt != y->dt) return differ(m, "the element type of a buffer");
    Expr *theirs = flat(a, y, yi);
    for (int i = 0; i < m->nvar; i++) theirs = e_subst(a, theirs, m->theirs[i], e_var(a, m->ours[i]));
    Expr *base = expr_simplify(a, e_sub(a, flat(a, x, xi), theirs), NULL);
    int64_t zero;
    if (moves(m, base)) return differ(m, "the index or the strides of an access");
    if (m->buf[p] && (!e_is_int(expr_simplify(a, e_sub(a, base, m->base[p]), NULL), &zero) || zero))
        return differ(m, "the distance of two accesses");
    m->buf[p] = x, m->base[p] = base;
    if (write) m->writes |= (uint32_t)1 << p;
    return true;
}
static bool match_expr(Match *m, Expr *x, Expr *y) {
    if (x->k != y->k || x->t != y->t || x->op != y->op || x->to != y->to) return differ(m, "an expression");
    int n = 0;
    switch (x->k) {
    case E_INT: return x->u.i == y->u.i || differ(m, "an integer");
    case E_FLT: return memcmp(&x->u.f, &y->u.f, sizeof x->u.f) == 0 || differ(m, "a number");
    case E_VAR:
        for (int i = 0; i < m->nvar; i++)
            if (m->theirs[i] == y->u.v) return m->ours[i] == x->u.v || differ(m, "a variable");
        return differ(m, "a variable");
    case E_LOAD: return match_access(m, x->u.ld.buf, x->u.ld.idx, y->u.ld.buf, y->u.ld.idx, false);
    case E_CALL:
        for (int i = 0; i < x->narg; i++)
            if (!match_expr(m, x->u.arg[i], y->u.arg[i])) return false;
        return true;
    case E_UN:
    case E_CAST: n = 1; break;
    case E_BIN: n = 2; break;
    case E_SELECT: n = 3; break;
    }
    for (int i = 0; i < n; i++)
        if (!match_expr(m, x->u.a[i], y->u.a[i])) return false;
    return true;
}
static bool match_store(Match *m, Stmt *x, const Stmt *y) {
    RedOp rx, ry;
    Expr *vx, *vy;
    sched_store_red(x, &rx, &vx);
    sched_store_red(y, &ry, &vy);
    if (rx != ry) return differ(m, "the reduction of a store");
    return match_access(m, x->u.st.buf, x->u.st.idx, y->u.st.buf, y->u.st.idx, true) && match_expr(m, vx, vy);
}
static bool match_stmt(Match *m, Stmt *x, const Stmt *y) {
    int64_t xl, xh, yl, yh;
    if (x->k != y->k) return differ(m, "the kind of a statement");
    switch (x->k) {
    case S_FOR:
        if (!sched_const_loop(x, &xl, &xh) || !sched_const_loop(y, &yl, &yh) || xl != yl || xh != yh)
            return differ(m, "the bounds of a loop");
        return pair_vars(m, x->u.loop.v, y->u.loop.v) && match_stmt(m, x->u.loop.body, y->u.loop.body);
    case S_BLOCK:
        if (x->u.block.n != y->u.block.n) return differ(m, "the number of statements in a block");
        for (int i = 0; i < x->u.block.n; i++)
            if (!match_stmt(m, x->u.block.v[i], y->u.block.v[i])) return false;
        return true;
    case S_STORE: return match_store(m, x, y);
    case S_LET: return match_expr(m, x->u.let.val, y->u.let.val) && pair_vars(m, x->u.let.v, y->u.let.v);
    case S_IF:
        if (!match_expr(m, x->u.cond.cond, y->u.cond.cond) || !match_stmt(m, x->u.cond.then, y->u.cond.then)) return false;
        if (!x->u.cond.other != !y->u.cond.other) return differ(m, "an else");
        return !x->u.cond.other || match_stmt(m, x->u.cond.other, y->u.cond.other);
    case S_ALLOC: {
        const Buf *p = x->u.alloc, *q = y->u.alloc;
        bool same = p->dt == q->dt && p->rank == q->rank && m->nlocal < MAX_OPERANDS;
        for (int d = 0; same && d < p->rank; d++) same = p->dim[d] == q->dim[d];
        if (!same) return differ(m, "a local buffer");
        m->local_ours[m->nlocal] = p, m->local_theirs[m->nlocal++] = q;
        return true;
    }
    case S_CALL: return differ(m, "a call");
    }
    return false;
}

bool step_tensorise(Sched *s) {
    LoopAt at;
    Arena *a = s->a;
    const char *name = s->arg[1];
    int i = 0;
    if (!sched_find_loop(s, s->arg[0], &at)) return false;
    while (i < ninstr && strcmp(instrs[i].name, name)) i++;
    if (i == ninstr) return sched_fail(s, "there is no instruction '%s' among the %d known", name, ninstr);
    Match m = {.s = s, .f = instrs[i].meaning};
    int n = m.f->param.n;
    if (n > MAX_OPERANDS || m.f->body->u.block.n != 1 || m.f->body->u.block.v[0]->k != S_FOR)
        return sched_fail(s, "the meaning of '%s' is not one nest over at most %d buffers", name, MAX_OPERANDS);
    if (!match_stmt(&m, at.loop, m.f->body->u.block.v[0]))
        return sched_fail(s, "the nest at '%s' is not what '%s' means: %s differs", s->arg[0], name, m.why ? m.why : "a statement");
    for (int p = 0; p < n; p++) {
        if (!m.buf[p]) return sched_fail(s, "the meaning of '%s' does not access its parameter '%s'", name, m.f->param.v[p]->name);
        if (m.buf[p]->space == MEM_REG) return sched_fail(s, "buffer '%s' is in registers, expected one in memory", m.buf[p]->name);
        for (int q = 0; q < n; q++)
            if (q != p && (m.writes >> p & 1) && m.buf[q] == m.buf[p])
                return sched_fail(s, "buffer '%s' would be two operands of '%s', one of them written", m.buf[p]->name, name);
    }
    Stmt *call = NEW(a, Stmt);
    call->k = S_CALL;
    call->u.call.name = name;
    call->u.call.narg = call->u.call.nbuf = n;
    call->u.call.writes = m.writes;
    call->u.call.arg = NEW_ARRAY(a, Expr *, n);
    call->u.call.buf = NEW_ARRAY(a, Buf *, n);
    for (int p = 0; p < n; p++) call->u.call.arg[p] = m.base[p], call->u.call.buf[p] = m.buf[p];
    at.block->u.block.v[at.at] = call;
    return true;
}
