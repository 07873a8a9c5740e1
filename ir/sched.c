/* SPDX-License-Identifier: Apache-2.0 */
/* sched.c: the table of schedule steps, how one is read and applied, and what the steps share: loops found by name, free names,
 * copies of nests. A step works on a copy of the statements, which takes the place of the original only if all went well:
 * a refused step changes nothing. After each step the Func is simplified, and every parallel or vector loop must still be one.
 *
 *   split i 8 io ii:   for i in 0..20: y[i] = x[i]
 *   --->               for io in 0..3: for ii in 0..min(8, 20 - io*8): y[io*8 + ii] = x[io*8 + ii]
 */
#include "loop_text.h"
#include "sched_internal.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct Step {
    const char *name;
    int min, max; /* arguments; max -1: any number */
    StepFn fn;
    const char *usage;
} Step;
static const Step steps[] = {
    {"split", 4, 4, step_split, "split LOOP FACTOR OUTER INNER"},
    {"reorder", 2, -1, step_reorder, "reorder LOOP LOOP..."},
    {"fuse", 3, 3, step_fuse, "fuse OUTER INNER NAME"},
    {"peel", 1, 2, step_peel, "peel LOOP [ITERATIONS]"},
    {"unroll", 1, 1, step_mode, "unroll LOOP"},
    {"vectorise", 1, 1, step_mode, "vectorise LOOP"},
    {"parallelise", 1, 1, step_mode, "parallelise LOOP"},
    {"stage", 4, -1, step_stage, "stage BUFFER LOOP NAME reg|stack|scratch|pad [tile AXIS:FACTOR]... [order AXIS...]"},
    {"inline", 1, 1, step_inline, "inline BUFFER"},
    {"compute_at", 2, 2, step_compute_at, "compute_at BUFFER LOOP"},
    {"prefetch", 3, 3, step_prefetch, "prefetch BUFFER LOOP ITERATIONS"},
    {"tensorise", 2, 2, step_tensorise, "tensorise LOOP INSTRUCTION"},
};

/* ---- messages and arguments */
bool sched_fail(const Sched *s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    Text t = {0};
    text_vprintf(&t, fmt, ap);
    va_end(ap);
    diag_error(s->c->d, s->loc, "step '%s': %s", s->text, t.s ? t.s : "");
    text_free(&t);
    return false;
}
bool sched_number(const Sched *s, const char *what, const char *text, int64_t lo, int64_t *v) {
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < lo || n > INT32_MAX)
        return sched_fail(s, "%s is '%s', expected a whole number from %lld to %d", what, text, (long long)lo, INT32_MAX);
    *v = n;
    return true;
}

/* ---- loops by name */
static bool find_in(const char *name, Stmt *block, Arena *a, LoopAt *out) {
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *t = block->u.block.v[i];
        if (t->k == S_FOR) {
            if (strcmp(t->u.loop.v->name, name) == 0) {
                out->loop = t, out->block = block, out->at = i;
                return true;
            }
            vec_push(a, &out->outer, t);
            if (find_in(name, t->u.loop.body, a, out)) return true;
            out->outer.n--;
        } else if (t->k == S_BLOCK) {
            if (find_in(name, t, a, out)) return true;
        } else if (t->k == S_IF) {
            if (find_in(name, t->u.cond.then, a, out)) return true;
            if (t->u.cond.other && find_in(name, t->u.cond.other, a, out)) return true;
        }
    }
    return false;
}
static void list_loops(const Stmt *s, Text *out, int *n) {
    switch (s->k) {
    case S_FOR:
        if ((*n)++ < 40) text_printf(out, "%s%s", *n == 1 ? "" : ", ", s->u.loop.v->name);
        list_loops(s->u.loop.body, out, n);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) list_loops(s->u.block.v[i], out, n);
        break;
    case S_IF:
        list_loops(s->u.cond.then, out, n);
        if (s->u.cond.other) list_loops(s->u.cond.other, out, n);
        break;
    default: break;
    }
}
bool sched_find_loop(const Sched *s, const char *name, LoopAt *out) {
    *out = (LoopAt){0};
    if (find_in(name, s->f->body, s->a, out)) return true;
    Text t = {0};
    int n = 0;
    list_loops(s->f->body, &t, &n);
    sched_fail(s, "there is no loop '%s'; the loops are %s%s", name, t.s ? t.s : "none", n > 40 ? "..." : "");
    text_free(&t);
    return false;
}

/* ---- buffers and names */
typedef void (*DeclFn)(void *user, const char *name, Buf *b);
static void each_decl(const Stmt *s, DeclFn fn, void *user) {
    switch (s->k) {
    case S_FOR:
        fn(user, s->u.loop.v->name, NULL);
        each_decl(s->u.loop.body, fn, user);
        break;
    case S_LET: fn(user, s->u.let.v->name, NULL); break;
    case S_ALLOC: fn(user, s->u.alloc->name, s->u.alloc); break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) each_decl(s->u.block.v[i], fn, user);
        break;
    case S_IF:
        each_decl(s->u.cond.then, fn, user);
        if (s->u.cond.other) each_decl(s->u.cond.other, fn, user);
        break;
    default: break;
    }
}
typedef struct Lookup {
    const char *name;
    bool taken;
    Buf *buf;
} Lookup;
static void lookup_decl(void *user, const char *name, Buf *b) {
    Lookup *l = user;
    if (strcmp(name, l->name)) return;
    l->taken = true;
    if (b && !l->buf) l->buf = b;
}
static Lookup lookup(const Func *f, const char *name) {
    Lookup l = {.name = name};
    for (int i = 0; i < f->param.n; i++) lookup_decl(&l, f->param.v[i]->name, f->param.v[i]);
    each_decl(f->body, lookup_decl, &l);
    return l;
}
Buf *sched_find_buf(const Sched *s, const char *name) {
    Buf *b = lookup(s->f, name).buf;
    if (!b) sched_fail(s, "there is no buffer '%s' among the parameters and local buffers of '%s'", name, s->f->name);
    return b;
}
bool sched_name_free(const Sched *s, const char *name) {
    const char *p = name;
    while (isalnum((unsigned char)*p) || *p == '_') p++;
    if (*p || !*name || isdigit((unsigned char)*name))
        return sched_fail(s, "'%s' cannot be a name, expected letters, digits and '_'", name);
    if (text_is_reserved(name, strlen(name))) return sched_fail(s, "'%s' is a word of the loop IR, expected another name", name);
    if (lookup(s->f, name).taken) return sched_fail(s, "the name '%s' is taken, expected a new one", name);
    return true;
}
const char *sched_fresh(const Sched *s, const char *base) {
    const char *name = base;
    for (int i = 2; lookup(s->f, name).taken; i++) name = arena_printf(s->a, "%s_%d", base, i);
    return name;
}
Var *sched_var(Sched *s, const char *base) { return var_new(s->f, sched_fresh(s, base), DT_INT64); }

/* ---- names that several loops share. Declarations are renewed one by one in the order of the text. */
typedef struct Renamer {
    Sched *s;
    Map *names; /* name -> non-NULL once it was given */
    bool all;   /* a copy: every declaration is renewed, not just loops whose name was given before */
} Renamer;
static const char *renamer_name(Renamer *r, const char *base) {
    const char *name = base;
    for (int i = 2; map_get(r->names, name); i++) name = arena_printf(r->s->a, "%s_%d", base, i);
    map_set(r->names, name, r);
    return name;
}
static Var *renewed(Renamer *r, const Var *v) {
    Var *n = NEW(r->s->a, Var);
    *n = (Var){.name = renamer_name(r, v->name), .t = v->t, .id = r->s->f->nvar++};
    return n;
}
static void rename_tail(Renamer *r, Stmt *block, int from, const Var *old, const Var *v) {
    for (int j = from; j < block->u.block.n; j++) stmt_subst(r->s->a, block->u.block.v[j], old, e_var(r->s->a, v));
}
static void rename_decls(Renamer *r, Stmt *s) {
    Arena *a = r->s->a;
    if (s->k == S_FOR) {
        const Var *old = s->u.loop.v;
        if (r->all || map_get(r->names, old->name)) {
            s->u.loop.v = renewed(r, old);
            stmt_subst(a, s->u.loop.body, old, e_var(a, s->u.loop.v));
        } else map_set(r->names, old->name, r);
        rename_decls(r, s->u.loop.body);
    } else if (s->k == S_IF) {
        rename_decls(r, s->u.cond.then);
        if (s->u.cond.other) rename_decls(r, s->u.cond.other);
    } else if (s->k == S_BLOCK)
        for (int i = 0; i < s->u.block.n; i++) {
            Stmt *t = s->u.block.v[i];
            if (t->k == S_LET && r->all) {
                const Var *old = t->u.let.v;
                t->u.let.v = renewed(r, old);
                rename_tail(r, s, i + 1, old, t->u.let.v);
            } else if (t->k == S_ALLOC && r->all) {
                Buf *b = NEW(a, Buf);
                *b = *t->u.alloc;
                b->name = renamer_name(r, b->name), b->id = r->s->f->nbuf++;
                for (int j = i + 1; j < s->u.block.n; j++) stmt_move_buf(a, s->u.block.v[j], t->u.alloc, b, NULL);
                t->u.alloc = b;
            } else rename_decls(r, t);
        }
}
static void note_name(void *user, const char *name, Buf *b) {
    Renamer *r = user;
    (void)b;
    map_set(r->names, name, r);
}
static void note_buf(void *user, const char *name, Buf *b) {
    if (b) note_name(user, name, b);
}
Stmt *sched_clone(Sched *s, const Stmt *from) {
    Renamer r = {s, map_new(s->a), true};
    for (int i = 0; i < s->f->param.n; i++) note_name(&r, s->f->param.v[i]->name, NULL);
    each_decl(s->f->body, note_name, &r);
    Stmt *block = s_block(s->a);
    s_append(s->a, block, s_copy(s->a, from));
    rename_decls(&r, block);
    return block->u.block.v[0];
}
static void unique_names(Sched *s) {
    Renamer r = {s, map_new(s->a), false};
    for (int i = 0; i < s->f->param.n; i++) note_name(&r, s->f->param.v[i]->name, NULL);
    each_decl(s->f->body, note_buf, &r);
    rename_decls(&r, s->f->body);
}

/* ---- ranges */
void sched_enter(Arena *a, Ranges *r, const Stmt *loop) {
    int64_t lo, hi, x;
    if (!expr_bounds(loop->u.loop.lo, r, &lo, &x) || !expr_bounds(loop->u.loop.hi, r, &x, &hi) || hi <= lo) return;
    Range one = {loop->u.loop.v, lo, hi - 1};
    vec_push(a, r, one);
}
void sched_ranges(Arena *a, Ranges *r, const StmtVec *loops) {
    for (int i = 0; i < loops->n; i++) sched_enter(a, r, loops->v[i]);
}
bool sched_const_loop(const Stmt *loop, int64_t *lo, int64_t *hi) { return e_is_int(loop->u.loop.lo, lo) && e_is_int(loop->u.loop.hi, hi); }

/* ---- small things about trees */
void sched_replace(Arena *a, Stmt *block, int at, int remove, Stmt *const *with, int n) {
    Stmt *b = s_block(a);
    for (int i = 0; i < at; i++) s_append(a, b, block->u.block.v[i]);
    for (int i = 0; i < n; i++) s_append(a, b, with[i]);
    for (int i = at + remove; i < block->u.block.n; i++) s_append(a, b, block->u.block.v[i]);
    *block = *b;
}
typedef struct Uses {
    const Buf *b;
    bool found;
} Uses;
static bool expr_has(const Expr *e, const Var *v, const Buf *b) {
    switch (e->k) {
    case E_VAR: return e->u.v == v;
    case E_LOAD:
        if (e->u.ld.buf == b) return true;
        for (int i = 0; i < e->narg; i++)
            if (expr_has(e->u.ld.idx[i], v, b)) return true;
        return false;
    case E_UN:
    case E_CAST: return expr_has(e->u.a[0], v, b);
    case E_BIN: return expr_has(e->u.a[0], v, b) || expr_has(e->u.a[1], v, b);
    case E_SELECT: return expr_has(e->u.a[0], v, b) || expr_has(e->u.a[1], v, b) || expr_has(e->u.a[2], v, b);
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (expr_has(e->u.arg[i], v, b)) return true;
        return false;
    default: return false;
    }
}
bool expr_uses_var(const Expr *e, const Var *v) { return expr_has(e, v, NULL); }
static Expr *uses_fn(void *user, Expr *e) {
    Uses *u = user;
    u->found |= expr_has(e, NULL, u->b);
    return e;
}
bool stmt_uses_buf(const Stmt *s, const Buf *b) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (stmt_uses_buf(s->u.block.v[i], b)) return true;
        return false;
    case S_FOR: return expr_has(s->u.loop.lo, NULL, b) || expr_has(s->u.loop.hi, NULL, b) || stmt_uses_buf(s->u.loop.body, b);
    case S_IF:
        return expr_has(s->u.cond.cond, NULL, b) || stmt_uses_buf(s->u.cond.then, b) ||
               (s->u.cond.other && stmt_uses_buf(s->u.cond.other, b));
    case S_CALL:
        for (int i = 0; i < s->u.call.nbuf; i++)
            if (s->u.call.buf[i] == b) return true;
        break;
    case S_STORE:
        if (s->u.st.buf == b) return true;
        break;
    default: break;
    }
    Uses u = {.b = b};
    stmt_map_exprs((Stmt *)s, uses_fn, &u);
    return u.found;
}

/* ---- loops whose iterations run at once */
typedef struct Broken {
    const char *loop, *buf;
} Broken;
static void check_modes(Sched *s, Stmt *t, StmtVec *outer, Map *known, Broken *broken) {
    switch (t->k) {
    case S_FOR:
        if (t->u.loop.mode == LOOP_PAR || t->u.loop.mode == LOOP_VEC) {
            const char *b = sched_iteration_conflict(s, outer, t);
            if (b && !broken) map_set(known, t->u.loop.v->name, (void *)b);
            else if (b && !map_get(known, t->u.loop.v->name) && !broken->loop) *broken = (Broken){t->u.loop.v->name, b};
        }
        vec_push(s->a, outer, t);
        check_modes(s, t->u.loop.body, outer, known, broken);
        outer->n--;
        break;
    case S_BLOCK:
        for (int i = 0; i < t->u.block.n; i++) check_modes(s, t->u.block.v[i], outer, known, broken);
        break;
    case S_IF:
        check_modes(s, t->u.cond.then, outer, known, broken);
        if (t->u.cond.other) check_modes(s, t->u.cond.other, outer, known, broken);
        break;
    default: break;
    }
}

/* ---- one step, many steps */
static bool read_words(Sched *s, const char *step) {
    Vec(const char *) w = {0};
    Text t = {0};
    for (const char *p = step; *p;) {
        while (isspace((unsigned char)*p)) p++;
        const char *q = p;
        while (*q && !isspace((unsigned char)*q)) q++;
        if (q > p) {
            const char *word = arena_strndup(s->a, p, (size_t)(q - p));
            vec_push(s->a, &w, word);
            text_printf(&t, "%s%s", w.n > 1 ? " " : "", word);
        }
        p = q;
    }
    s->text = arena_strdup(s->a, t.s ? t.s : "");
    text_free(&t);
    if (!w.n) return sched_fail(s, "found no words, expected a step such as '%s'", steps[0].usage);
    s->verb = w.v[0], s->arg = w.v + 1, s->narg = w.n - 1;
    return true;
}
static const Step *find_step(const Sched *s) {
    Text t = {0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (strcmp(steps[i].name, s->verb) == 0) {
            const Step *p = &steps[i];
            text_free(&t);
            if (s->narg >= p->min && (p->max < 0 || s->narg <= p->max)) return p;
            sched_fail(s, "found %d arguments, expected '%s'", s->narg, p->usage);
            return NULL;
        }
        text_printf(&t, "%s%s", i ? ", " : "", steps[i].name);
    }
    sched_fail(s, "there is no step '%s'; the steps are %s", s->verb, t.s);
    text_free(&t);
    return NULL;
}
static bool apply(Ctx *c, Func *f, const char *step, Loc loc) {
    Func work = *f;
    Sched s = {.c = c, .f = &work, .a = f->a, .loc = loc, .text = step};
    if (!read_words(&s, step)) return false;
    const Step *p = find_step(&s);
    if (!p) return false;
    work.body = s_copy(f->a, f->body);
    work.param.v = NEW_ARRAY(f->a, Buf *, f->param.n + 1);
    work.param.cap = f->param.n + 1;
    for (int i = 0; i < f->param.n; i++) work.param.v[i] = f->param.v[i];
    unique_names(&s);
    func_simplify(&work);

    StmtVec outer = {0};
    Map *known = map_new(f->a);
    Broken broken = {0};
    check_modes(&s, work.body, &outer, known, NULL);
    if (!p->fn(&s)) return false;
    func_simplify(&work);
    check_modes(&s, work.body, &outer, known, &broken);
    if (broken.loop)
        return sched_fail(&s, "iterations of the loop '%s', which run at the same time, would meet in buffer '%s'", broken.loop,
                          broken.buf);
    vec_push(f->a, &work.schedule, s.text);
    *f = work;
    return true;
}
bool sched_apply(Ctx *c, Func *f, const char *step) { return apply(c, f, step, (Loc){f->name, -1, NULL, NULL}); }
bool sched_run(Ctx *c, Func *f, const char *text) {
    int line = 1;
    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n"), m = strcspn(p, "#\n");
        char *step = arena_strndup(f->a, p, m);
        if (step[strspn(step, " \t\r\f\v")] && !apply(c, f, step, (Loc){f->name, line, NULL, NULL})) return false;
        p += n + (p[n] == '\n');
    }
    return true;
}
