/* SPDX-License-Identifier: Apache-2.0 */
/* parallel.c: which loops are shared by threads. Of each nest in a kernel with enough work the outermost loop whose iterations are
 * independent is marked, after fusing it with loops inside when its extent does not divide well, or in strips of an inner loop when
 * the outer ones depend on themselves. Whether a step is legal is for ir/sched.h to say: here steps are tried in order of preference.
 * No sum is cut, so that results are the same bits for every number of threads.
 *
 *   for n in 0..1: for c in 0..3: for h in 0..32: …   --->   fuse c h c_h; parallelise c_h      (3 does not divide well by 2)
 */
#include "ir/sched.h"
#include "parallel.h"
#include <string.h>

enum { MAX_CHAIN = 8, EXPR_NODES = 400 };
/* Estimates in nanoseconds: one scalar operation, one of a vector, and what a nest must take to be worth two threads. */
static const double SCALAR_NS = 0.25, VECTOR_NS = 0.1, WORTH_NS = 10000;

/* ---- how much a statement does */
static int expr_nodes(const Expr *e, int *left) {
    if (--*left <= 0) return 0;
    switch (e->k) {
    case E_LOAD: return 1;
    case E_UN:
    case E_CAST: return 1 + expr_nodes(e->u.a[0], left);
    case E_BIN: return 1 + expr_nodes(e->u.a[0], left) + expr_nodes(e->u.a[1], left);
    case E_SELECT: return 1 + expr_nodes(e->u.a[0], left) + expr_nodes(e->u.a[1], left) + expr_nodes(e->u.a[2], left);
    case E_CALL: {
        int n = 10;
        for (int i = 0; i < e->narg; i++) n += expr_nodes(e->u.arg[i], left);
        return n;
    }
    default: return 0;
    }
}
static double value_ns(const Expr *e, bool vec) {
    int left = EXPR_NODES;
    return (1 + expr_nodes(e, &left)) * (vec ? VECTOR_NS : SCALAR_NS);
}
/* One after another in `r`: ranges of the loops around. A bound that varies counts with its largest value. */
static double stmt_ns(Arena *tmp, const Stmt *s, Ranges *r, bool vec) {
    switch (s->k) {
    case S_FOR: {
        int64_t lo, hi, unused;
        if (!expr_bounds(s->u.loop.lo, r, &lo, &unused) || !expr_bounds(s->u.loop.hi, r, &unused, &hi) || hi <= lo) return 0;
        bool lanes = s->u.loop.mode == LOOP_VEC;
        Range range = {s->u.loop.v, lo, hi - 1};
        vec_push(tmp, r, range);
        double body = stmt_ns(tmp, s->u.loop.body, r, vec || lanes);
        r->n--;
        return (lanes ? 1.0 : (double)(hi - lo)) * body;
    }
    case S_STORE: return value_ns(s->u.st.val, vec);
    case S_LET: return value_ns(s->u.let.val, vec);
    case S_IF: return stmt_ns(tmp, s->u.cond.then, r, vec) + (s->u.cond.other ? stmt_ns(tmp, s->u.cond.other, r, vec) : 0);
    case S_BLOCK: {
        double sum = 0;
        for (int i = 0; i < s->u.block.n; i++) sum += stmt_ns(tmp, s->u.block.v[i], r, vec);
        return sum;
    }
    default: return 0;
    }
}

/* ---- names: steps name loops by their variables */
static void name_loops(Arena *a, Map *names, Stmt *s) {
    switch (s->k) {
    case S_FOR: {
        const char *base = s->u.loop.v->name, *name = base;
        for (int i = 2; map_get(names, name); i++) name = arena_printf(a, "%s_%d", base, i);
        map_set(names, name, s);
        s->u.loop.v->name = name;
        name_loops(a, names, s->u.loop.body);
        break;
    }
    case S_IF:
        name_loops(a, names, s->u.cond.then);
        if (s->u.cond.other) name_loops(a, names, s->u.cond.other);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) name_loops(a, names, s->u.block.v[i]);
        break;
    default: break;
    }
}

/* ---- one nest */
typedef struct Nest {
    Run *r;
    Func *f;
    int n;
    const char *name[MAX_CHAIN]; /* loops with nothing but the next in each body, outermost first; those of one iteration left out */
    int64_t extent[MAX_CHAIN];
    bool free[MAX_CHAIN]; /* iterations are independent */
} Nest;
static bool const_extent(const Stmt *loop, int64_t *n) {
    int64_t lo, hi;
    if (loop->k != S_FOR || loop->u.loop.mode != LOOP_SEQ || !e_is_int(loop->u.loop.lo, &lo) || !e_is_int(loop->u.loop.hi, &hi))
        return false;
    *n = hi - lo;
    return *n > 0;
}
static void find_chain(Nest *q, const Stmt *s) {
    int64_t n;
    q->n = 0;
    while (q->n < MAX_CHAIN && const_extent(s, &n)) {
        if (n > 1) q->name[q->n] = s->u.loop.v->name, q->extent[q->n++] = n;
        if (s->u.loop.body->u.block.n != 1) break;
        s = s->u.loop.body->u.block.v[0];
    }
}
/* Tries steps; what they refuse is nothing that a user should see. On refusal, or when only asked, the nest stays as it was. */
static bool try_steps(Nest *q, const char *steps, bool keep) {
    Diags quiet = {.a = q->r->tmp};
    Ctx c = {q->r->c->a, &quiet};
    Func before = *q->f;
    bool ok = sched_run(&c, q->f, steps);
    if (!ok || !keep) *q->f = before;
    return ok;
}
/* Marks a loop whose iterations are independent, by its addresses or by the tests of a step. */
static bool mark(Nest *q, const char *name, bool keep) {
    Stmt *loop = find_loop(q->f->body, name);
    if (!loop || !iterations_apart(q->r->tmp, q->f, loop, NULL)) return try_steps(q, arena_printf(q->r->tmp, "parallelise %s", name), keep);
    if (keep) {
        loop->u.loop.mode = LOOP_PAR;
        vec_push(q->f->a, &q->f->schedule, arena_printf(q->f->a, "parallelise %s", name));
    }
    return true;
}
/* How much of the threads' time is used when n equal iterations are dealt out. */
static double use_of(int64_t n, int threads) { return (double)n / (double)(ceil_div(n, threads) * threads); }

typedef struct Choice {
    int first, count; /* loops fused, from q->name[first] on */
    double use;
} Choice;
/* The outermost loop that uses the threads well, alone or fused with the next ones; a loop inside stays for the body. */
static Choice choose(const Nest *q, int threads) {
    Choice best = {0};
    for (int i = 0; i < q->n; i++) {
        int64_t n = 1;
        for (int k = i; k < q->n && q->free[k]; k++) {
            if (k > i && k + 1 == q->n) break; /* the innermost keeps its plain index */
            if (!mul_ok(n, q->extent[k], &n) || n > INT32_MAX) break;
            double use = use_of(n, threads);
            if (use > best.use + 0.02) best = (Choice){i, k - i + 1, use};
            if (best.use >= 0.9) return best;
        }
    }
    return best;
}
static void put_names(Text *t, const Nest *q, int from, int to) {
    for (int i = from; i < to; i++) text_printf(t, " %s", q->name[i]);
}
static bool share(Nest *q, int threads) {
    Choice w = choose(q, threads);
    if (w.count == 0 || w.use * threads < 1.2) return false;
    Text t = {0};
    Arena *tmp = q->r->tmp;
    const char *name = q->name[w.first];
    for (int i = 1; i < w.count; i++) {
        const char *fused = arena_printf(tmp, "%s_%s", name, q->name[w.first + i]);
        text_printf(&t, "fuse %s %s %s\n", name, q->name[w.first + i], fused);
        name = fused;
    }
    if (w.first && w.count == 1 && q->extent[w.first] > threads) { /* strips: what was outside stays outside within each */
        text_printf(&t, "split %s %lld %s_strip %s_row\n", name, (long long)ceil_div(q->extent[w.first], threads), name, name);
        name = arena_printf(tmp, "%s_strip", name);
    }
    if (w.first) {
        text_printf(&t, "reorder %s", name);
        put_names(&t, q, 0, w.first);
        text_puts(&t, "\n");
    }
    Func before = *q->f;
    bool ok = (!t.n || try_steps(q, t.s, true)) && mark(q, name, true);
    if (!ok) *q->f = before;
    text_free(&t);
    return ok;
}
/* Temporaries outside the nest stand in the way: one strip for each thread, with copies of its own. */
static bool share_strips(Nest *q, int at, int threads) {
    Privates p;
    int64_t rows = ceil_div(q->extent[0], threads), strips = ceil_div(q->extent[0], rows);
    const char *name = q->name[0];
    if (strips < 2 || !find_privates(q->r->tmp, q->f, at, name, &p)) return false;
    if (!iterations_apart(q->r->tmp, q->f, find_loop(q->f->body, name), &p)) return false;
    const char *strip = arena_printf(q->f->a, "%s_strip", name), *row = arena_printf(q->f->a, "%s_row", name);
    if (!try_steps(q, arena_printf(q->r->tmp, "split %s %lld %s %s", name, (long long)rows, strip, row), true)) return false;
    make_private(q->f, &p, strip, row, strips);
    find_loop(q->f->body, strip)->u.loop.mode = LOOP_PAR;
    vec_push(q->f->a, &q->f->schedule, arena_printf(q->f->a, "parallelise %s, with temporaries of its own", strip));
    return true;
}
/* Fusing and moving loops is not always possible: then the outermost one alone will do. */
static void share_nest(Nest *q, int at, int threads) {
    bool any = false;
    if (!q->n || share_strips(q, at, threads)) return;
    for (int i = 0; i < q->n; i++) any |= q->free[i] = mark(q, q->name[i], false);
    if (any && share(q, threads)) return;
    if (q->free[0] && use_of(q->extent[0], threads) * threads >= 1.2) mark(q, q->name[0], true);
}

/* Neighbours in a byte would be written by two threads. */
static bool packed_stores(const Func *f) {
    for (int i = 0; i < f->param.n; i++)
        if (f->param.v[i]->written && dtype_info[f->param.v[i]->dt].bits < 8) return true;
    return false;
}
static void parallel_kernel(Run *r, Kernel *k) {
    Ranges none = {0};
    if (packed_stores(k->f) || stmt_ns(r->tmp, k->f->body, &none, false) < WORTH_NS) return;
    Func *own = func_copy(r->c->a, k->f); /* variables are renamed */
    own->param = k->f->param, own->schedule = k->f->schedule;
    name_loops(r->c->a, map_new(r->tmp), own->body);
    *k->f = *own;
    for (int i = 0; i < k->f->body->u.block.n; i++) {
        const Stmt *s = k->f->body->u.block.v[i];
        const int before = k->f->body->u.block.n;
        Nest q = {.r = r, .f = k->f};
        if (s->k != S_FOR || stmt_ns(r->tmp, s, &none, false) < WORTH_NS) continue;
        find_chain(&q, s);
        share_nest(&q, i, r->o->threads);
        i -= before - k->f->body->u.block.n; /* declarations that moved into the nest */
    }
}
bool pass_parallel(Run *r) {
    if (!r->o || r->o->threads < 2) return true;
    for (Program *p = r->p; p; p = p->next)
        for (int i = 0; i < p->k.n; i++) parallel_kernel(r, p->k.v[i]);
    return true;
}
