/* SPDX-License-Identifier: Apache-2.0 */
/* sched_dep.c: do iterations of loops depend on each other. Every pair of accesses to one buffer, at least one of them a write,
 * is tested subscript by subscript: with i, i' the iterations of the first and the second, is f(i) = g(i') possible for a given
 * direction (<, =, >) per loop? It is not if zero lies outside the bounds of f(i) - g(i') (Banerjee) or the GCD of its
 * coefficients does not divide the constant. A subscript that is not affine proves nothing. Quotients and remainders, which
 * fused loops leave, become affine when the loop is taken as two digits: v = q*B + r, with q before r in the order.
 *
 *   for i in 1..9: for j in 0..8: y[i,j] = y[i-1,j+1]     the pair (store, load) is possible for (<, >) only: no exchange
 */
#include "sched_internal.h"
#include <string.h>

/* ---- accesses */
typedef struct LetVal {
    const Var *v;
    Expr *val;
} LetVal;
typedef struct Collect {
    Sched *s;
    AccessVec *out;
    StmtVec loops;
    Vec(LetVal) lets;
    int cond, top;
} Collect;
static Expr *with_lets(Collect *c, Expr *e) {
    for (int i = c->lets.n - 1; i >= 0; i--) e = e_subst(c->s->a, e, c->lets.v[i].v, c->lets.v[i].val);
    return e;
}
static void add_access(Collect *c, Buf *b, Expr *const *idx, bool write, RedOp red) {
    Access x = {.buf = b, .write = write, .red = red, .cond = c->cond > 0, .loops = c->loops, .top = c->top};
    if (idx) {
        x.idx = NEW_ARRAY(c->s->a, Expr *, b->rank + 1);
        for (int d = 0; d < b->rank; d++) x.idx[d] = with_lets(c, idx[d]);
    }
    vec_push(c->s->a, c->out, x);
}
/* A load behind a select's condition may be meant not to happen: what it touches is not sure to be in bounds. */
static void collect_expr(Collect *c, const Expr *e) {
    switch (e->k) {
    case E_LOAD:
        for (int i = 0; i < e->narg; i++) collect_expr(c, e->u.ld.idx[i]);
        add_access(c, e->u.ld.buf, e->u.ld.idx, false, RED_NONE);
        break;
    case E_UN:
    case E_CAST: collect_expr(c, e->u.a[0]); break;
    case E_BIN:
        collect_expr(c, e->u.a[0]);
        c->cond += e->op == BIN_LAND || e->op == BIN_LOR;
        collect_expr(c, e->u.a[1]);
        c->cond -= e->op == BIN_LAND || e->op == BIN_LOR;
        break;
    case E_SELECT:
        collect_expr(c, e->u.a[0]);
        c->cond++;
        collect_expr(c, e->u.a[1]);
        collect_expr(c, e->u.a[2]);
        c->cond--;
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) collect_expr(c, e->u.arg[i]);
        break;
    default: break;
    }
}
bool sched_store_red(const Stmt *s, RedOp *red, Expr **rest) {
    static const RedOp of[] = {[BIN_ADD] = RED_ADD, [BIN_MUL] = RED_MUL, [BIN_AND] = RED_AND, [BIN_OR] = RED_OR, [BIN_XOR] = RED_XOR};
    Expr *v = s->u.st.val;
    *red = s->u.st.red, *rest = v;
    if (s->u.st.red) return true;
    if (v->k != E_BIN || (size_t)v->op >= sizeof of / sizeof *of || !of[v->op]) return false;
    for (int i = 0; i < 2; i++) {
        const Expr *l = v->u.a[i];
        bool same = l->k == E_LOAD && l->u.ld.buf == s->u.st.buf;
        for (int d = 0; same && d < l->narg; d++) same = e_equal(l->u.ld.idx[d], s->u.st.idx[d]);
        if (!same) continue;
        *red = of[v->op], *rest = v->u.a[1 - i];
        return true;
    }
    return false;
}
static void collect(Collect *c, Stmt *s, int depth);
static void collect_block(Collect *c, Stmt *s, int depth) {
    int lets = c->lets.n;
    for (int i = 0; i < s->u.block.n; i++) {
        if (depth == 0) c->top = i;
        collect(c, s->u.block.v[i], depth + 1);
    }
    c->lets.n = lets;
}
static void collect_for(Collect *c, Stmt *s, int depth) {
    StmtVec outer = c->loops;
    collect_expr(c, s->u.loop.lo);
    collect_expr(c, s->u.loop.hi);
    c->loops = (StmtVec){NEW_ARRAY(c->s->a, Stmt *, outer.n + 1), outer.n + 1, outer.n + 1};
    for (int i = 0; i < outer.n; i++) c->loops.v[i] = outer.v[i];
    c->loops.v[outer.n] = s;
    collect_block(c, s->u.loop.body, depth);
    c->loops = outer;
}
static void collect(Collect *c, Stmt *s, int depth) {
    switch (s->k) {
    case S_FOR: collect_for(c, s, depth); break;
    case S_BLOCK: collect_block(c, s, depth); break;
    case S_IF:
        collect_expr(c, s->u.cond.cond);
        c->cond++;
        collect_block(c, s->u.cond.then, depth);
        if (s->u.cond.other) collect_block(c, s->u.cond.other, depth);
        c->cond--;
        break;
    case S_LET:
        collect_expr(c, s->u.let.val);
        if (s->u.let.v->t == DT_INT64 && !e_has_load(s->u.let.val)) {
            LetVal l = {s->u.let.v, with_lets(c, s->u.let.val)};
            vec_push(c->s->a, &c->lets, l);
        }
        break;
    case S_STORE: {
        RedOp red;
        Expr *rest;
        for (int i = 0; i < s->u.st.buf->rank; i++) collect_expr(c, s->u.st.idx[i]);
        sched_store_red(s, &red, &rest);
        collect_expr(c, rest);
        add_access(c, s->u.st.buf, s->u.st.idx, true, red);
        break;
    }
    case S_CALL:
        if (strcmp(s->u.call.name, SCHED_PREFETCH) == 0) break; /* means nothing to the values */
        for (int i = 0; i < s->u.call.narg; i++) collect_expr(c, s->u.call.arg[i]);
        for (int i = 0; i < s->u.call.nbuf; i++) add_access(c, s->u.call.buf[i], NULL, s->u.call.writes >> i & 1, RED_NONE);
        break;
    case S_ALLOC: break;
    }
}
void sched_accesses(Sched *s, Stmt *root, AccessVec *out) {
    Collect c = {.s = s, .out = out};
    collect(&c, root, 0);
}
void sched_privates(Arena *a, const Stmt *s, BufVec *out) {
    switch (s->k) {
    case S_FOR: sched_privates(a, s->u.loop.body, out); break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) sched_privates(a, s->u.block.v[i], out);
        break;
    case S_IF:
        sched_privates(a, s->u.cond.then, out);
        if (s->u.cond.other) sched_privates(a, s->u.cond.other, out);
        break;
    case S_ALLOC: vec_push(a, out, s->u.alloc); break;
    default: break;
    }
}

/* ---- the test. Loops in question become digits; all other variables are fixed (loops around) or free (loops inside). */
enum { MAX_LOOPS = 24, MAX_DIGITS = 40, FIXED = 0, FREE = 1, DIGIT = 2, BUDGET = 40000 };
static const int64_t WIDE = (int64_t)1 << 31, STEEP = (int64_t)1 << 26; /* beyond these a sum might overflow: nothing is known */

typedef struct Subscript {
    bool known;
    Affine f;
} Subscript;
typedef struct Deps {
    Sched *s;
    AccessVec acc;
    Subscript **sub; /* per access and axis */
    BufVec privates;
    Ranges r;
    int ngroup;                        /* loops in question, in their old order; */
    Vec(const Var *) group[MAX_LOOPS]; /* … the digits of each, most significant first */
    Vec(const Var *) inside;
    int ndigit;
    const Var *digit[MAX_DIGITS]; /* all groups in the old order */
    int at_new[MAX_DIGITS];       /* the digit at each place of the new order */
    char dir[MAX_DIGITS];         /* '<', '=', '>', or '*': not fixed yet */
    int budget;
} Deps;

static void find_inside(Deps *D, const Stmt *s) {
    switch (s->k) {
    case S_FOR:
        vec_push(D->s->a, &D->inside, s->u.loop.v);
        sched_enter(D->s->a, &D->r, s);
        find_inside(D, s->u.loop.body);
        break;
    case S_LET: vec_push(D->s->a, &D->inside, s->u.let.v); break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) find_inside(D, s->u.block.v[i]);
        break;
    case S_IF:
        find_inside(D, s->u.cond.then);
        if (s->u.cond.other) find_inside(D, s->u.cond.other);
        break;
    default: break;
    }
}
static const Range *range_of(const Ranges *r, const Var *v) {
    for (int i = r->n - 1; i >= 0; i--)
        if (r->v[i].v == v) return &r->v[i];
    return NULL;
}
/* A variable and the radix that would make `e` affine; innermost first. */
static bool find_radix(Deps *D, const Expr *e, const Var **v, int64_t *radix) {
    int64_t c;
    Affine f;
    if (e->k == E_UN) return find_radix(D, e->u.a[0], v, radix);
    if (e->k != E_BIN) return false;
    if (find_radix(D, e->u.a[0], v, radix) || find_radix(D, e->u.a[1], v, radix)) return true;
    if ((e->op != BIN_DIV && e->op != BIN_MOD) || !e_is_int(e->u.a[1], &c) || c <= 0 || !expr_affine(e->u.a[0], &f)) return false;
    for (int i = 0; i < f.n; i++) {
        const Range *r = range_of(&D->r, f.v[i]);
        if (f.k[i] <= 0 || f.k[i] % c == 0 || c % f.k[i] || !r || r->lo < 0 || r->hi < c / f.k[i]) continue;
        *v = f.v[i], *radix = c / f.k[i];
        return true;
    }
    return false;
}
static void split_var(Deps *D, const Var *v, int64_t radix) {
    Arena *a = D->s->a;
    const Range r = *range_of(&D->r, v);
    Var *q = var_new(D->s->f, v->name, DT_INT64), *m = var_new(D->s->f, v->name, DT_INT64);
    Range rq = {q, r.lo / radix, r.hi / radix}, rm = {m, 0, radix - 1};
    vec_push(a, &D->r, rq);
    vec_push(a, &D->r, rm);
    Expr *by = e_add(a, e_mul(a, e_var(a, q), e_int(a, radix)), e_var(a, m));
    for (int i = 0; i < D->acc.n; i++)
        for (int d = 0; D->acc.v[i].idx && d < D->acc.v[i].buf->rank; d++)
            D->acc.v[i].idx[d] = expr_simplify(a, e_subst(a, D->acc.v[i].idx[d], v, by), &D->r);
    for (int i = 0, n = D->inside.n; i < n; i++)
        if (D->inside.v[i] == v) {
            vec_push(a, &D->inside, q);
            vec_push(a, &D->inside, m);
        }
    for (int g = 0; g < D->ngroup; g++)
        for (int i = 0; i < D->group[g].n; i++)
            if (D->group[g].v[i] == v) {
                vec_push(a, &D->group[g], NULL);
                for (int j = D->group[g].n - 1; j > i + 1; j--) D->group[g].v[j] = D->group[g].v[j - 1];
                D->group[g].v[i] = q, D->group[g].v[i + 1] = m;
                i++;
            }
}
static void make_digits(Deps *D) {
    const Var *v;
    int64_t radix;
    for (int round = 0; round < 12; round++) {
        bool found = false;
        for (int i = 0; i < D->acc.n && !found; i++)
            for (int d = 0; D->acc.v[i].idx && d < D->acc.v[i].buf->rank && !found; d++)
                found = find_radix(D, D->acc.v[i].idx[d], &v, &radix);
        if (!found) return;
        split_var(D, v, radix);
    }
}
/* Everything but the new order. */
static bool deps_open(Deps *D, Sched *s, const StmtVec *outer, Stmt *root, const StmtVec *loops) {
    Arena *a = s->a;
    memset(D, 0, sizeof *D);
    D->s = s, D->budget = BUDGET;
    if (loops->n > MAX_LOOPS) return false;
    sched_ranges(a, &D->r, outer);
    find_inside(D, root);
    sched_accesses(s, root, &D->acc);
    sched_privates(a, root, &D->privates);
    D->ngroup = loops->n;
    for (int g = 0; g < loops->n; g++) vec_push(a, &D->group[g], loops->v[g]->u.loop.v);
    int nvar = s->f->nvar;
    make_digits(D);
    s->f->nvar = nvar; /* digits exist in this test only */
    D->sub = NEW_ARRAY(a, Subscript *, D->acc.n);
    for (int i = 0; i < D->acc.n; i++) {
        const Access *x = &D->acc.v[i];
        D->sub[i] = NEW_ARRAY(a, Subscript, x->buf->rank + 1);
        for (int d = 0; x->idx && d < x->buf->rank; d++) D->sub[i][d].known = expr_affine(x->idx[d], &D->sub[i][d].f);
    }
    for (int g = 0; g < D->ngroup; g++)
        for (int i = 0; i < D->group[g].n; i++) {
            if (D->ndigit == MAX_DIGITS) return false;
            D->dir[D->ndigit] = '*';
            D->digit[D->ndigit++] = D->group[g].v[i];
        }
    return true;
}
static int role(const Deps *D, const Var *v) {
    for (int i = 0; i < D->ndigit; i++)
        if (D->digit[i] == v) return DIGIT + i;
    for (int i = 0; i < D->inside.n; i++)
        if (D->inside.v[i] == v) return FREE;
    return FIXED;
}
static int64_t coefficient(const Affine *f, const Var *v) {
    for (int i = 0; i < f->n; i++)
        if (f->v[i] == v) return f->k[i];
    return 0;
}
static int64_t gcd(int64_t x, int64_t y) {
    x = x < 0 ? -x : x, y = y < 0 ? -y : y;
    while (y) {
        int64_t t = x % y;
        x = y, y = t;
    }
    return x;
}
typedef struct Span { /* bounds of f(i) - g(i') so far */
    int64_t lo, hi, g;
    bool wide;
} Span;
/* Adds kx*i - ky*i' for i, i' in [lo,hi] under the direction: the extremes of a linear form are at the corners. */
static void span_add(Span *s, const Range *r, int64_t kx, int64_t ky, char dir) {
    int64_t lo = r ? r->lo : -WIDE, hi = r ? r->hi : WIDE;
    if (dir == '=' && kx == ky) return;
    s->g = dir == '=' ? gcd(s->g, kx - ky) : gcd(gcd(s->g, kx), ky);
    if (lo < -WIDE || hi > WIDE || kx < -STEEP || kx > STEEP || ky < -STEEP || ky > STEEP) {
        s->wide = true;
        return;
    }
    int64_t p[4][2] = {{lo, lo}, {lo, hi}, {hi, lo}, {hi, hi}};
    int n = 4;
    if (dir == '=') p[1][0] = p[1][1] = hi, n = 2;
    if (dir == '<') p[0][0] = lo, p[0][1] = lo + 1, p[1][0] = lo, p[1][1] = hi, p[2][0] = hi - 1, p[2][1] = hi, n = 3;
    if (dir == '>') p[0][0] = lo + 1, p[0][1] = lo, p[1][0] = hi, p[1][1] = lo, p[2][0] = hi, p[2][1] = hi - 1, n = 3;
    int64_t min = INT64_MAX, max = INT64_MIN;
    for (int i = 0; i < n; i++) {
        int64_t t = kx * p[i][0] - ky * p[i][1];
        min = min_i64(min, t), max = max_i64(max, t);
    }
    s->lo += min, s->hi += max;
}
static char direction(const Deps *D, const Var *v) {
    int r = role(D, v);
    return r == FIXED ? '=' : r == FREE ? '*' : D->dir[r - DIGIT];
}
static bool subscripts_meet(const Deps *D, const Subscript *x, const Subscript *y) {
    if (!x->known || !y->known) return true;
    int64_t c;
    if (__builtin_sub_overflow(x->f.c, y->f.c, &c) || c > WIDE * STEEP || c < -WIDE * STEEP) return true;
    Span s = {c, c, 0, false};
    for (int i = 0; i < x->f.n; i++) {
        const Var *v = x->f.v[i];
        span_add(&s, range_of(&D->r, v), x->f.k[i], coefficient(&y->f, v), direction(D, v));
    }
    for (int i = 0; i < y->f.n; i++)
        if (!coefficient(&x->f, y->f.v[i])) span_add(&s, range_of(&D->r, y->f.v[i]), 0, y->f.k[i], direction(D, y->f.v[i]));
    if (s.g ? c % s.g : c) return false;
    return s.wide || (s.lo <= 0 && s.hi >= 0);
}
/* Can the two accesses meet under the directions set so far? */
static bool can_meet(Deps *D, int x, int y) {
    D->budget--;
    for (int i = 0; i < D->ndigit; i++) {
        const Range *r = range_of(&D->r, D->digit[i]);
        if (r && r->lo == r->hi && (D->dir[i] == '<' || D->dir[i] == '>')) return false;
    }
    if (!D->acc.v[x].idx || !D->acc.v[y].idx) return true;
    for (int d = 0; d < D->acc.v[x].buf->rank; d++)
        if (!subscripts_meet(D, &D->sub[x][d], &D->sub[y][d])) return false;
    return true;
}
/* In the new order: '<' or '>' when what comes first is decided, '=' when all are equal, '*' when it is open. */
static char leading(const Deps *D) {
    for (int i = 0; i < D->ndigit; i++) {
        char c = D->dir[D->at_new[i]];
        if (c != '=') return c;
    }
    return '=';
}
/* Is there a dependence from x to y, x's iteration first, that the new order turns round? Tries all directions from digit `at` on. */
static bool turned_round(Deps *D, int x, int y, int at, bool first) {
    char now = leading(D);
    if (now == '<' || (at == D->ndigit && now == '=')) return false;
    if (D->budget < 0) return true;
    if (at == D->ndigit) return true;
    static const char dirs[] = "=<>";
    for (int i = 0; dirs[i]; i++) {
        if (first && dirs[i] == '>') continue; /* x comes first */
        D->dir[at] = dirs[i];
        bool bad = can_meet(D, x, y) && turned_round(D, x, y, at + 1, first && dirs[i] == '=');
        D->dir[at] = '*';
        if (bad) return true;
    }
    return false;
}
static bool carried(Deps *D, int x, int y) {
    bool bad = false;
    for (int i = 0; i < D->ndigit && !bad; i++) {
        D->dir[i] = '<';
        bad = can_meet(D, x, y);
        D->dir[i] = '=';
    }
    for (int i = 0; i < D->ndigit; i++) D->dir[i] = '*';
    return bad;
}
static bool is_private(const Deps *D, const Buf *b) {
    for (int i = 0; i < D->privates.n; i++)
        if (D->privates.v[i] == b) return true;
    return false;
}
static const char *any_pair(Deps *D, bool (*bad)(Deps *D, int x, int y), bool same_red_ok) {
    for (int i = 0; i < D->acc.n; i++)
        for (int j = 0; j < D->acc.n; j++) {
            const Access *x = &D->acc.v[i], *y = &D->acc.v[j];
            if (x->buf != y->buf || !(x->write || y->write) || is_private(D, x->buf)) continue;
            if (same_red_ok && x->red && x->red == y->red) continue;
            if (bad(D, i, j)) return x->buf->name;
        }
    return NULL;
}
static bool pair_turned(Deps *D, int x, int y) { return turned_round(D, x, y, 0, true); }

const char *sched_reorder_conflict(Sched *s, const StmtVec *outer, const StmtVec *old_order, const StmtVec *new_order) {
    Deps D;
    if (!deps_open(&D, s, outer, old_order->v[0], old_order)) return "too many loops";
    int n = 0;
    for (int i = 0; i < new_order->n; i++)
        for (int g = 0, at = 0; g < D.ngroup; at += D.group[g++].n)
            if (old_order->v[g] == new_order->v[i])
                for (int k = 0; k < D.group[g].n; k++) D.at_new[n++] = at + k;
    return any_pair(&D, pair_turned, true);
}
const char *sched_iteration_conflict(Sched *s, const StmtVec *outer, Stmt *loop) {
    Deps D;
    StmtVec one = {&loop, 1, 1};
    if (!deps_open(&D, s, outer, loop, &one)) return "too many loops";
    return any_pair(&D, carried, false);
}
