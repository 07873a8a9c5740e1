/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.c: the nests in a loop's body, one after the other, become the iterations of one loop, so that threads can share them all at
 * once, and so that this loop can be fused with those around. They must be independent of one another.
 *
 *   for p in 0..3: { for mo in 0..32: A; B }   --->   for p in 0..3: for t in 0..33: if t < 32: A (mo = t) else: B
 */
#include "parallel.h"

typedef struct Group {
    int from, to; /* statements of the body */
    int64_t n;    /* tasks: the iterations of a single loop, or one */
} Group;
typedef Vec(Group) Groups;

/* What follows a declaration belongs to it. false: there is something else than loops and declarations. */
static bool find_groups(Arena *tmp, const Func *f, const Stmt *body, Groups *out) {
    for (int i = 0; i < body->u.block.n; i++) {
        Stmt *s = body->u.block.v[i];
        Group *last = out->n ? &out->v[out->n - 1] : NULL;
        const bool declared = last && body->u.block.v[last->from]->k == S_ALLOC;
        int64_t lo, hi, n = 1;
        if (s->k != S_FOR && s->k != S_ALLOC) return false;
        if (declared && (s->k == S_FOR || body->u.block.v[i - 1]->k == S_ALLOC)) {
            last->to = i + 1;
            continue;
        }
        if (s->k == S_FOR && s->u.loop.mode == LOOP_SEQ && e_is_int(s->u.loop.lo, &lo) && e_is_int(s->u.loop.hi, &hi) && hi - lo > 1 &&
            iterations_apart(tmp, f, s, NULL))
            n = hi - lo;
        vec_push(tmp, out, ((Group){i, i + 1, n}));
    }
    return out->n > 1;
}
static Stmt *task_body(Func *f, const Stmt *body, const Group *g, const Var *t, int64_t first) {
    Arena *a = f->a;
    Stmt *out = s_block(a), *only = body->u.block.v[g->from];
    if (g->n == 1) {
        for (int i = g->from; i < g->to; i++) s_append(a, out, body->u.block.v[i]);
        return out;
    }
    int64_t lo = 0;
    e_is_int(only->u.loop.lo, &lo);
    Expr *value = e_var(a, t);
    if (lo != first) value = e_add(a, value, e_int(a, lo - first));
    stmt_subst(a, only->u.loop.body, only->u.loop.v, value);
    return only->u.loop.body;
}
bool make_tasks(Arena *tmp, Func *f, const char *name, const char **task, int64_t *n) {
    Func before = *f;
    Arena *a = f->a;
    Groups g = {0};
    f->body = s_copy(a, f->body);
    Stmt *loop = find_loop(f->body, name);
    const Stmt *body = loop->u.loop.body;
    *n = 0;
    if (!find_groups(tmp, f, body, &g)) return *f = before, false;
    for (int i = 0; i < g.n; i++) *n += g.v[i].n;
    Var *t = var_new(f, arena_printf(a, "%s_task", name), DT_INT64);
    Stmt *tasks = s_for(a, t, e_int(a, 0), e_int(a, *n)), *rest = NULL;
    int64_t end = *n;
    for (int i = g.n - 1; i >= 0; i--) { /* from the last: what is left becomes the else */
        Stmt *branch = task_body(f, body, &g.v[i], t, end - g.v[i].n);
        if (rest) {
            Stmt *cond = s_if(a, e_lt(a, e_var(a, t), e_int(a, end)));
            cond->u.cond.then = branch, cond->u.cond.other = rest;
            branch = s_block(a);
            s_append(a, branch, cond);
        }
        rest = branch;
        end -= g.v[i].n;
    }
    tasks->u.loop.body = rest;
    loop->u.loop.body = s_block(a);
    s_append(a, loop->u.loop.body, tasks);
    *task = t->name;
    if (!iterations_apart(tmp, f, tasks, NULL)) return *f = before, false;
    vec_push(a, &f->schedule, arena_printf(a, "the nests in %s as tasks %s", name, t->name));
    return true;
}
