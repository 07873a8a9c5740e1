/* SPDX-License-Identifier: Apache-2.0 */
/* parallel.c: which loops are shared by threads. Of each nest in a kernel with enough work the outermost loop whose iterations are
 * independent is marked, after fusing it with loops inside when its extent does not divide well, or in strips of an inner loop when
 * the outer ones depend on themselves or the operands are dealt out so (affinity.c). Where that leaves threads idle, the nests in a
 * loop's body become tasks of one loop (tasks.c), or are shared one by one while the loop around them stays sequential: the plan that
 * an estimate of time finds best. Whether a step is legal is for ir/sched.h to say: here steps are tried in order of preference. No
 * sum is cut, so that results are the same bits for every number of threads.
 *
 *   for n in 0..1: for c in 0..3: for h in 0..32: …   --->   fuse c h c_h; parallelise c_h      (3 does not divide well by 2)
 */
#include "ir/sched.h"
#include "parallel.h"
#include <math.h>
#include <string.h>

enum { MAX_CHAIN = 8, EXPR_NODES = 400, MAX_DEPTH = 3 };
/* Estimates in nanoseconds: one scalar operation, one of a vector, a byte from memory, and what a nest must take to be worth two
 * threads. */
static const double SCALAR_NS = 0.25, VECTOR_NS = 0.1, STREAM_NS = 0.05, WORTH_NS = 8000;
/* A loop is shared well above this use of the threads; what iterations of different length leave of it; starting and joining. */
static const double GOOD_USE = 0.95, RAGGED_USE = 0.85, REGION_NS = 1000;

/* ---- how much a statement does */
static double larger(double a, double b) { return a > b ? a : b; }
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

/* Constants and what comes from outside are seldom in a near cache: the bytes of the parameters that a nest mentions. */
static double stream_ns(Arena *tmp, const Func *f, Stmt *s) {
    uint8_t *mentioned = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1);
    double bytes = 0;
    mentions(tmp, s, mentioned);
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        double n = dtype_info[b->dt].bits / 8.0;
        for (int d = 0; d < b->rank; d++) n *= (double)b->dim[d];
        if (mentioned[b->id]) bytes += n;
    }
    return bytes * STREAM_NS;
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
    Kernel *k;
    Spans *spans;
    Func *f;
    int n;
    const char *name[MAX_CHAIN]; /* loops with nothing but the next in each body, outermost first; those of one iteration left out */
    int64_t extent[MAX_CHAIN];
    bool free[MAX_CHAIN]; /* iterations are independent */
    bool leaf;            /* there is no loop in the last one's body */
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
        if (n > 1) q->name[q->n] = s->u.loop.v->name, q->extent[q->n++] = n, q->leaf = true;
        for (int i = 0; i < s->u.loop.body->u.block.n; i++) q->leaf &= s->u.loop.body->u.block.v[i]->k != S_FOR;
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
static void mark_shared(Func *f, Stmt *loop) {
    loop->u.loop.mode = LOOP_PAR;
    vec_push(f->a, &f->schedule, arena_printf(f->a, "parallelise %s", loop->u.loop.v->name));
}
/* Marks a loop whose iterations are independent, by its addresses or by the tests of a step. */
static bool mark(Nest *q, const char *name, bool keep) {
    Stmt *loop = find_loop(q->f->body, name);
    if (!loop || !iterations_apart(q->r->tmp, q->f, loop, NULL)) return try_steps(q, arena_printf(q->r->tmp, "parallelise %s", name), keep);
    if (keep) mark_shared(q->f, loop);
    return true;
}
/* How much of the threads' time is used when n equal iterations are dealt out. */
static double use_of(int64_t n, int threads) { return (double)n / (double)(ceil_div(n, threads) * threads); }

typedef struct Choice {
    int first, count; /* loops fused, from q->name[first] on */
    double use;
} Choice;
/* The loop with which a nest of `ns` is done first, alone or fused with the next ones; an innermost loop stays for the body. One
 * further in must gain something: it changes the order of the loops. */
static Choice choose(const Nest *q, int threads, double ns) {
    Choice best = {0};
    double least = HUGE_VAL;
    for (int i = 0; i < q->n; i++) {
        int64_t n = 1;
        const double waits = q->free[i] ? operands_ns(q->r->tmp, q->spans, q->k, find_loop(q->f->body, q->name[i])) : 0;
        for (int k = i; k < q->n && q->free[k]; k++) {
            if (k > i && k + 1 == q->n && q->leaf) break; /* the innermost keeps its plain index */
            if (!mul_ok(n, q->extent[k], &n) || n > INT32_MAX) break;
            double use = use_of(n, threads), t = ns / (use * threads) + waits;
            if (t < least * 0.97) best = (Choice){i, k - i + 1, use}, least = t;
            if (use >= GOOD_USE) break;
        }
    }
    return best;
}
static void put_names(Text *t, const Nest *q, int from, int to) {
    for (int i = from; i < to; i++) text_printf(t, " %s", q->name[i]);
}
/* Each of the fused loops has independent iterations, so the fused one has. */
static bool share(Nest *q, Choice w, int threads, bool keep) {
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
    bool ok = !t.n || try_steps(q, t.s, true);
    Stmt *loop = ok ? find_loop(q->f->body, name) : NULL;
    if (loop && keep) mark_shared(q->f, loop);
    else *q->f = before;
    text_free(&t);
    return loop != NULL;
}
/* Temporaries outside the nest stand in the way: one strip for each thread, with copies of its own. */
static bool find_strips(Nest *q, Privates *p) {
    return find_privates(q->r->tmp, q->f, q->name[0], p) && iterations_apart(q->r->tmp, q->f, find_loop(q->f->body, q->name[0]), p);
}
static bool share_strips(Nest *q, const Privates *p, int threads) {
    int64_t rows = ceil_div(q->extent[0], threads), strips = ceil_div(q->extent[0], rows);
    const char *name = q->name[0];
    const char *strip = arena_printf(q->f->a, "%s_strip", name), *row = arena_printf(q->f->a, "%s_row", name);
    if (!try_steps(q, arena_printf(q->r->tmp, "split %s %lld %s %s", name, (long long)rows, strip, row), true)) return false;
    make_private(q->f, p, strip, row, strips);
    find_loop(q->f->body, strip)->u.loop.mode = LOOP_PAR;
    vec_push(q->f->a, &q->f->schedule, arena_printf(q->f->a, "parallelise %s, with temporaries of its own", strip));
    return true;
}

/* ---- plans: the best way to share a loop, by an estimate of what it takes then */
typedef enum PlanKind { PLAN_NONE, PLAN_SHARE, PLAN_STRIPS, PLAN_TASKS, PLAN_INSIDE } PlanKind;
typedef struct Plan {
    PlanKind kind;
    double ns;
    Choice choice;
    Privates privates;
} Plan;
static Plan plan_loop(Run *r, Spans *s, Kernel *k, const char *name, int depth);

/* Do bounds inside depend on the loop? Then its iterations differ. */
static bool ragged(const Stmt *s, const Var *v) {
    bool any = false;
    if (s->k == S_FOR) any = s->u.loop.mode != LOOP_VEC && (expr_uses_var(s->u.loop.hi, v) || ragged(s->u.loop.body, v));
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n && !any; i++) any = ragged(s->u.block.v[i], v);
    return any;
}
static double shared_ns(const Stmt *loop, const char *name, double ns, double use, int threads) {
    const Stmt *s = find_loop((Stmt *)loop, name);
    if (use * threads < 1.2) return ns;
    if (s && ragged(s->u.loop.body, s->u.loop.v)) use *= RAGGED_USE;
    return ns / (use * threads) + REGION_NS;
}
/* Sequentially through the loop, its nests shared one by one. */
static double inside_ns(Run *r, Spans *spans, Kernel *k, const Stmt *loop, int depth) {
    Ranges around = {0};
    int64_t n;
    double sum = 0;
    const Stmt *body = loop->u.loop.body;
    if (!const_extent(loop, &n)) return HUGE_VAL;
    ranges_around(r->tmp, k->f->body, body, &around);
    for (int i = 0; i < body->u.block.n; i++) {
        const Stmt *s = body->u.block.v[i];
        if (s->k == S_FOR) sum += plan_loop(r, spans, k, s->u.loop.v->name, depth + 1).ns;
        else sum += stmt_ns(r->tmp, s, &around, false);
    }
    return (sum + scratch_ns(spans, k)) * (double)n;
}
/* The nests in the last loop's body as tasks, together with the loops around that are free. */
static bool share_tasks(Nest *q, int threads, bool keep, double *use) {
    Func before = *q->f;
    Text t = {0};
    const char *name;
    int64_t n;
    bool ok = !q->leaf && make_tasks(q->r->tmp, q->f, q->name[q->n - 1], &name, &n);
    int first = q->n;
    while (ok && first > 0 && q->free[first - 1] && mul_ok(n, q->extent[first - 1], &n) && n < INT32_MAX) first--;
    for (int i = q->n - 1; ok && i >= first; i--) {
        const char *fused = arena_printf(q->r->tmp, "%s_%s", q->name[i], name);
        text_printf(&t, "fuse %s %s %s\n", q->name[i], name, fused);
        name = fused;
    }
    *use = use_of(n, threads);
    if (ok && keep) ok = !t.n || try_steps(q, t.s, true);
    if (ok && keep) mark_shared(q->f, find_loop(q->f->body, name));
    if (!ok || !keep) *q->f = before;
    text_free(&t);
    return ok;
}
/* The loop was made with scratch that is for one iteration: whoever made it says so (strips.c). */
static bool in_strips(const Kernel *k, const Stmt *loop) { return k->strips && strcmp(loop->u.loop.v->name, k->strips) == 0; }
static Nest nest_at(Run *r, Spans *s, Kernel *k, const Stmt *loop) {
    Nest q = {.r = r, .k = k, .spans = s, .f = k->f};
    find_chain(&q, loop);
    if (in_strips(k, loop)) return q;
    for (int i = 0; i < q.n; i++) q.free[i] = mark(&q, q.name[i], false);
    return q;
}
static Plan plan_loop(Run *r, Spans *s, Kernel *k, const char *name, int depth) {
    Ranges around = {0};
    const Stmt *loop = find_loop(k->f->body, name);
    const int threads = r->o->threads;
    double ns = loop && ranges_around(r->tmp, k->f->body, loop, &around) ? stmt_ns(r->tmp, loop, &around, false) : 0;
    const double stream = loop && depth == 0 ? stream_ns(r->tmp, k->f, find_loop(k->f->body, name)) : 0;
    const double beyond = larger(stream - ns, 0); /* waits for memory */
    ns += beyond;
    Plan best = {.kind = PLAN_NONE, .ns = ns};
    if (ns < WORTH_NS || loop->u.loop.mode != LOOP_SEQ) return best;
    Nest q = nest_at(r, s, k, loop);
    if (!q.n) return best;
    if (in_strips(k, loop)) {
        best = (Plan){.kind = PLAN_STRIPS, .ns = ns / (use_of(q.extent[0], threads) * threads) + REGION_NS};
        for (int i = 0; i < k->f->param.n; i++)
            if (k->f->param.v[i]->space == MEM_SCRATCH) vec_push(r->tmp, &best.privates.scratch, k->f->param.v[i]);
        return best;
    }
    Choice c = choose(&q, threads, ns);
    if (c.first + c.count > 1 && !share(&q, c, threads, false)) c = (Choice){0, q.free[0], use_of(q.extent[0], threads)};
    double t = c.count ? shared_ns(loop, q.name[c.first], ns, c.use, threads) : ns;
    if (t < best.ns) best.kind = PLAN_SHARE, best.ns = t, best.choice = c;
    if (!q.free[0]) {
        Privates p;
        t = shared_ns(loop, q.name[0], ns, use_of(q.extent[0], threads), threads) + operands_ns(r->tmp, s, k, find_loop(k->f->body, name));
        if (t < best.ns * 0.95 && find_strips(&q, &p)) best.kind = PLAN_STRIPS, best.ns = t, best.privates = p;
    }
    double well = ns / threads / GOOD_USE + REGION_NS;
    if (best.ns <= well) return best;
    double use;
    t = share_tasks(&q, threads, false, &use) ? shared_ns(loop, q.name[0], ns, use, threads) : ns;
    if (t < best.ns * 0.95) best.kind = PLAN_TASKS, best.ns = t;
    if (best.ns <= well || depth >= MAX_DEPTH) return best;
    t = inside_ns(r, s, k, loop, depth) + beyond;
    if (t < best.ns * 0.95) best.kind = PLAN_INSIDE, best.ns = t;
    return best;
}
static void share_loop(Run *r, Spans *spans, Kernel *k, const char *name, int depth) {
    Plan p = plan_loop(r, spans, k, name, depth);
    if (p.kind == PLAN_NONE) return;
    const Stmt *loop = find_loop(k->f->body, name);
    Nest q = nest_at(r, spans, k, loop);
    if (p.kind == PLAN_SHARE || p.kind == PLAN_STRIPS) spans_note(r->tmp, spans, k, find_loop(k->f->body, q.name[p.choice.first]));
    if (p.kind == PLAN_SHARE && !share(&q, p.choice, r->o->threads, true)) BUG("a plan for loop '%s' cannot be carried out", name);
    if (p.kind == PLAN_STRIPS) share_strips(&q, &p.privates, r->o->threads);
    double use;
    if (p.kind == PLAN_TASKS) share_tasks(&q, r->o->threads, true, &use);
    if (p.kind != PLAN_INSIDE) return;
    Vec(const char *) inner = {0};
    for (int i = 0; i < loop->u.loop.body->u.block.n; i++) {
        const Stmt *s = loop->u.loop.body->u.block.v[i];
        if (s->k == S_FOR) vec_push(r->tmp, &inner, s->u.loop.v->name);
    }
    for (int i = 0; i < inner.n; i++) share_loop(r, spans, k, inner.v[i], depth + 1);
}

/* Neighbours in a byte would be written by two threads. */
static bool packed_stores(const Func *f) {
    for (int i = 0; i < f->param.n; i++)
        if (f->param.v[i]->written && dtype_packed(f->param.v[i]->dt)) return true;
    return false;
}
static void share_nests(Run *r, Spans *spans, Kernel *k, Stmt *block) {
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *s = block->u.block.v[i];
        const int before = block->u.block.n;
        if (s->k == S_BLOCK) share_nests(r, spans, k, s);
        if (s->k == S_FOR) share_loop(r, spans, k, s->u.loop.v->name, 0);
        i -= before - block->u.block.n; /* declarations that moved into the nest */
    }
}
static void parallel_kernel(Run *r, Spans *spans, Kernel *k) {
    Ranges none = {0};
    if (packed_stores(k->f) || larger(stmt_ns(r->tmp, k->f->body, &none, false), stream_ns(r->tmp, k->f, k->f->body)) < WORTH_NS) return;
    Func *own = func_copy(r->c->a, k->f); /* variables are renamed */
    own->param = k->f->param, own->schedule = k->f->schedule;
    name_loops(r->c->a, map_new(r->tmp), own->body);
    *k->f = *own;
    share_nests(r, spans, k, k->f->body);
}
bool pass_parallel(Run *r) {
    if (!r->o || r->o->threads < 2) return true;
    for (Program *p = r->p; p; p = p->next) {
        Spans spans = spans_new(r->tmp, p->g, r->o->threads);
        for (int i = 0; i < p->k.n; i++) parallel_kernel(r, &spans, p->k.v[i]);
    }
    return true;
}
