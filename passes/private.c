/* SPDX-License-Identifier: Apache-2.0 */
/* private.c: temporaries that the iterations of a loop use one after another, though no value passes between them: blocks of a
 * Winograd transform, the scores of one head. Threads need a copy each. Whether an iteration reads only what it has written is
 * found by walking through it with the loops' numbers; loops that move no address and no condition are walked once.
 *
 *   scratch s[8]; for i: { for k: s[k] = x[i, k]; … s[k] … }  --->  scratch s[2, 8]; for i_strip in 0..2: for i_row: { s[i_strip, k] = … }
 */
#include "ir/sched.h"
#include "parallel.h"
#include <string.h>

enum { MAX_STEPS = 16000000 };

typedef struct Tracked {
    const Buf *b;
    uint8_t *written; /* per element, in the current iteration */
    int64_t count;
} Tracked;
typedef struct Walk {
    Arena *tmp;
    Tracked *of;    /* by buffer id; b NULL: not of interest */
    int64_t *value; /* by variable id */
    uint8_t *known;
    uint8_t *matters; /* by variable id: an index of a tracked buffer or a condition depends on it */
    uint8_t *idle;    /* by the variable of a loop: no tracked buffer is mentioned in it */
    int nbuf;
    int64_t left; /* steps */
    bool ok;
} Walk;

/* ---- integer expressions with known variables */
static bool eval(const Walk *w, const Expr *e, int64_t *v) {
    int64_t x, y;
    switch (e->k) {
    case E_INT: return *v = e->u.i, true;
    case E_VAR: return *v = w->value[e->u.v->id], w->known[e->u.v->id];
    case E_SELECT: return eval(w, e->u.a[0], &x) && eval(w, e->u.a[x ? 1 : 2], v);
    case E_BIN: break;
    default: return false;
    }
    if (e->u.a[0]->t == DT_FLOAT32 || !eval(w, e->u.a[0], &x) || !eval(w, e->u.a[1], &y)) return false;
    switch ((BinOp)e->op) {
    case BIN_ADD: return add_ok(x, y, v);
    case BIN_SUB: return !__builtin_sub_overflow(x, y, v);
    case BIN_MUL: return mul_ok(x, y, v);
    case BIN_DIV: return y > 0 && (*v = x / y, true);
    case BIN_MOD: return y > 0 && (*v = x % y, true);
    case BIN_MIN: return *v = y < x ? y : x, true;
    case BIN_MAX: return *v = x < y ? y : x, true;
    case BIN_LT: return *v = x < y, true;
    case BIN_LE: return *v = x <= y, true;
    case BIN_EQ: return *v = x == y, true;
    case BIN_NE: return *v = x != y, true;
    case BIN_LAND: return *v = x && y, true;
    case BIN_LOR: return *v = x || y, true;
    default: return false;
    }
}

/* ---- which variables matter: through conditions, bounds, indices of tracked buffers, and lets that those use */
static void mark(Walk *w, const Expr *e) {
    switch (e->k) {
    case E_VAR: w->matters[e->u.v->id] = 1; break;
    case E_UN:
    case E_CAST: mark(w, e->u.a[0]); break;
    case E_BIN: mark(w, e->u.a[0]), mark(w, e->u.a[1]); break;
    case E_SELECT: mark(w, e->u.a[0]), mark(w, e->u.a[1]), mark(w, e->u.a[2]); break;
    case E_LOAD:
        for (int i = 0; i < e->narg; i++) mark(w, e->u.ld.idx[i]);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) mark(w, e->u.arg[i]);
        break;
    default: break;
    }
}
static void mark_loads(Walk *w, const Expr *e) {
    switch (e->k) {
    case E_LOAD:
        for (int i = 0; i < e->narg; i++)
            if (w->of[e->u.ld.buf->id].b) mark(w, e->u.ld.idx[i]);
            else mark_loads(w, e->u.ld.idx[i]);
        break;
    case E_UN:
    case E_CAST: mark_loads(w, e->u.a[0]); break;
    case E_BIN: mark_loads(w, e->u.a[0]), mark_loads(w, e->u.a[1]); break;
    case E_SELECT:
        for (int i = 0; i < 3; i++) mark_loads(w, e->u.a[i]);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) mark_loads(w, e->u.arg[i]);
        break;
    default: break;
    }
}
static bool tracks(const Walk *w, const Stmt *s) {
    uint8_t *buf = NEW_ARRAY(w->tmp, uint8_t, w->nbuf + 1);
    bool any = false;
    mentions(w->tmp, s, buf);
    for (int i = 0; i < w->nbuf; i++) any |= buf[i] && w->of[i].b;
    return any;
}
static void mark_stmt(Walk *w, const Stmt *s) { /* backwards: uses before the lets */
    switch (s->k) {
    case S_FOR:
        w->idle[s->u.loop.v->id] = !tracks(w, s);
        if (w->idle[s->u.loop.v->id]) break;
        mark_stmt(w, s->u.loop.body);
        mark(w, s->u.loop.lo), mark(w, s->u.loop.hi);
        break;
    case S_IF:
        mark_stmt(w, s->u.cond.then);
        if (s->u.cond.other) mark_stmt(w, s->u.cond.other);
        mark(w, s->u.cond.cond), mark_loads(w, s->u.cond.cond);
        break;
    case S_BLOCK:
        for (int i = s->u.block.n - 1; i >= 0; i--) mark_stmt(w, s->u.block.v[i]);
        break;
    case S_STORE:
        mark_loads(w, s->u.st.val);
        for (int i = 0; w->of[s->u.st.buf->id].b && i < s->u.st.buf->rank; i++) mark(w, s->u.st.idx[i]);
        break;
    case S_LET:
        mark_loads(w, s->u.let.val);
        if (w->matters[s->u.let.v->id]) mark(w, s->u.let.val);
        break;
    default: break;
    }
}

/* ---- the walk */
static bool element(Walk *w, const Tracked *t, Expr *const *idx, int64_t *at) {
    *at = 0;
    for (int d = 0; d < t->b->rank; d++) {
        int64_t i;
        if (!eval(w, idx[d], &i) || i < 0 || i >= t->b->dim[d]) return w->ok = false;
        *at = *at * t->b->dim[d] + i;
    }
    w->ok = w->ok && --w->left > 0;
    return w->ok;
}
static void reads(Walk *w, const Expr *e) {
    int64_t at, cond;
    switch (e->k) {
    case E_LOAD: {
        const Tracked *t = &w->of[e->u.ld.buf->id];
        for (int i = 0; i < e->narg && !t->b; i++) reads(w, e->u.ld.idx[i]);
        if (t->b && element(w, t, e->u.ld.idx, &at) && !t->written[at]) w->ok = false;
        break;
    }
    case E_UN:
    case E_CAST: reads(w, e->u.a[0]); break;
    case E_BIN: reads(w, e->u.a[0]), reads(w, e->u.a[1]); break;
    case E_SELECT:
        reads(w, e->u.a[0]);
        bool known = eval(w, e->u.a[0], &cond);
        if (!known || cond) reads(w, e->u.a[1]);
        if (!known || !cond) reads(w, e->u.a[2]);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) reads(w, e->u.arg[i]);
        break;
    default: break;
    }
}
static void walk(Walk *w, const Stmt *s);
static void walk_loop(Walk *w, const Stmt *s) {
    const int id = s->u.loop.v->id;
    int64_t lo, hi;
    if (!eval(w, s->u.loop.lo, &lo) || !eval(w, s->u.loop.hi, &hi)) {
        w->ok = false;
        return;
    }
    if (!w->matters[id] && hi > lo) hi = lo + 1;
    w->known[id] = 1;
    for (int64_t i = lo; i < hi && w->ok; i++) {
        w->value[id] = i;
        w->ok = --w->left > 0;
        walk(w, s->u.loop.body);
    }
    w->known[id] = 0;
}
static void walk(Walk *w, const Stmt *s) {
    int64_t v, at;
    switch (s->k) {
    case S_FOR:
        if (!w->idle[s->u.loop.v->id]) walk_loop(w, s);
        break;
    case S_STORE: {
        const Tracked *t = &w->of[s->u.st.buf->id];
        reads(w, s->u.st.val);
        if (!t->b || !element(w, t, s->u.st.idx, &at)) break;
        if (s->u.st.red != RED_NONE && !t->written[at]) w->ok = false;
        t->written[at] = 1;
        break;
    }
    case S_LET:
        reads(w, s->u.let.val);
        w->known[s->u.let.v->id] = w->matters[s->u.let.v->id] && eval(w, s->u.let.val, &w->value[s->u.let.v->id]);
        break;
    case S_IF:
        reads(w, s->u.cond.cond);
        if (!eval(w, s->u.cond.cond, &v)) w->ok = false;
        else if (v) walk(w, s->u.cond.then);
        else if (s->u.cond.other) walk(w, s->u.cond.other);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.nbuf; i++)
            if (w->of[s->u.call.buf[i]->id].b && !call_is_hint(s->u.call.name)) w->ok = false;
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n && w->ok; i++) walk(w, s->u.block.v[i]);
        break;
    case S_ALLOC: break;
    }
}

/* ---- iterations like the one before: the loop's variable moves no address of interest and decides each comparison for good */
typedef struct Settled {
    const Walk *w;
    Vec(const Var *) moving; /* the loop's variable, and values that depend on it and on more */
    Ranges r;                /* of v, and of the loops around */
    uint64_t answer;         /* of the comparisons, in order */
    bool ok;
} Settled;
static bool moves(const Settled *t, const Expr *e) {
    for (int i = 0; i < t->moving.n; i++)
        if (expr_uses_var(e, t->moving.v[i])) return true;
    return false;
}
static void settle_cond(Settled *t, const Expr *c) {
    int64_t lo, hi;
    if (!moves(t, c)) return;
    if (c->k == E_BIN && (c->op == BIN_LAND || c->op == BIN_LOR)) {
        settle_cond(t, c->u.a[0]), settle_cond(t, c->u.a[1]);
        return;
    }
    const bool less = c->k == E_BIN && (c->op == BIN_LT || c->op == BIN_LE) && c->u.a[0]->t == DT_INT64;
    if (!less || !expr_bounds(e_sub(t->w->tmp, c->u.a[1], c->u.a[0]), &t->r, &lo, &hi)) {
        t->ok = false;
        return;
    }
    const int64_t least = c->op == BIN_LT ? 1 : 0;
    if (lo < least && hi >= least) t->ok = false;
    t->answer = t->answer * 3 + (lo >= least) + 1;
}
static void settle_index(Settled *t, const Buf *b, Expr *const *idx, int n) {
    for (int i = 0; t->w->of[b->id].b && i < n; i++) t->ok &= !moves(t, idx[i]);
}
static void settle_expr(Settled *t, const Expr *e) {
    switch (e->k) {
    case E_UN:
    case E_CAST: settle_expr(t, e->u.a[0]); break;
    case E_BIN: settle_expr(t, e->u.a[0]), settle_expr(t, e->u.a[1]); break;
    case E_SELECT:
        settle_cond(t, e->u.a[0]);
        settle_expr(t, e->u.a[1]), settle_expr(t, e->u.a[2]);
        break;
    case E_LOAD:
        settle_index(t, e->u.ld.buf, e->u.ld.idx, e->narg);
        for (int i = 0; i < e->narg; i++) settle_expr(t, e->u.ld.idx[i]);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) settle_expr(t, e->u.arg[i]);
        break;
    default: break;
    }
}
/* A bound may depend on v if nothing else is in doubt: where it is the same number, the loop is the same. */
static void settle_bound(Settled *t, const Expr *e, int64_t *lo, int64_t *hi) {
    t->ok = t->ok && expr_bounds(e, &t->r, lo, hi);
    if (!t->ok || !moves(t, e)) return;
    t->ok = *lo == *hi;
    t->answer = t->answer * 31 + (uint64_t)*lo;
}
static void settle_stmt(Settled *t, const Stmt *s) {
    switch (s->k) {
    case S_FOR: {
        int64_t lo, hi, unused;
        if (t->w->idle[s->u.loop.v->id]) break;
        settle_bound(t, s->u.loop.lo, &lo, &unused), settle_bound(t, s->u.loop.hi, &unused, &hi);
        if (!t->ok || hi <= lo) break;
        const int outer = t->r.n;
        vec_push(t->w->tmp, &t->r, ((Range){s->u.loop.v, lo, hi - 1}));
        settle_stmt(t, s->u.loop.body);
        t->r.n = outer;
        break;
    }
    case S_IF:
        settle_cond(t, s->u.cond.cond);
        settle_stmt(t, s->u.cond.then);
        if (s->u.cond.other) settle_stmt(t, s->u.cond.other);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n && t->ok; i++) settle_stmt(t, s->u.block.v[i]);
        break;
    case S_STORE:
        settle_index(t, s->u.st.buf, s->u.st.idx, s->u.st.buf->rank);
        settle_expr(t, s->u.st.val);
        break;
    case S_LET: {
        int64_t lo, hi;
        const bool known = s->u.let.val->t == DT_INT64 && expr_bounds(s->u.let.val, &t->r, &lo, &hi);
        if (known) vec_push(t->w->tmp, &t->r, ((Range){s->u.let.v, lo, hi}));
        if (moves(t, s->u.let.val)) {
            if (known && lo == hi) t->answer = t->answer * 31 + (uint64_t)lo;
            else vec_push(t->w->tmp, &t->moving, s->u.let.v);
        }
        settle_expr(t, s->u.let.val);
        break;
    }
    default: break;
    }
}

/* ---- what is mentioned where */
static Expr *mention_load(void *user, Expr *e) {
    if (e->k == E_LOAD) ((uint8_t *)user)[e->u.ld.buf->id] = 1;
    return e;
}
typedef struct Mention {
    Arena *tmp;
    uint8_t *buf;
} Mention;
static Expr *mention_expr(void *user, Expr *e) { return expr_map(((Mention *)user)->tmp, e, mention_load, ((Mention *)user)->buf); }
static void mention_written(void *user, Stmt *s) {
    uint8_t *buf = user;
    if (s->k == S_STORE) buf[s->u.st.buf->id] = 1;
    for (int i = 0; s->k == S_CALL && i < s->u.call.nbuf; i++) buf[s->u.call.buf[i]->id] = 1;
}
void mentions(Arena *tmp, const Stmt *s, uint8_t *buf) {
    Mention m = {tmp, buf};
    stmt_each((Stmt *)s, mention_written, buf);
    stmt_map_exprs((Stmt *)s, mention_expr, &m);
}
static bool track(Walk *w, const Buf *b) {
    int64_t n = 1;
    for (int d = 0; d < b->rank; d++)
        if (!mul_ok(n, b->dim[d], &n) || n > MAX_STEPS) return false;
    w->of[b->id] = (Tracked){b, NEW_ARRAY(w->tmp, uint8_t, n + 1), n};
    return true;
}
static Walk walk_new(Arena *tmp, const Func *f) {
    Walk w = {.tmp = tmp,
              .of = NEW_ARRAY(tmp, Tracked, f->nbuf + 1),
              .value = NEW_ARRAY(tmp, int64_t, f->nvar + 1),
              .nbuf = f->nbuf,
              .left = MAX_STEPS,
              .ok = true};
    w.known = NEW_ARRAY(tmp, uint8_t, f->nvar + 1), w.matters = NEW_ARRAY(tmp, uint8_t, f->nvar + 1);
    w.idle = NEW_ARRAY(tmp, uint8_t, f->nvar + 1);
    return w;
}
/* ---- where the loop stands: from the function's body inwards, the block and the statement of it that holds the loop */
typedef struct Level {
    const Stmt *block;
    int at;
} Level;
typedef Vec(Level) Levels;
static const Stmt *find_levels(Arena *tmp, const Stmt *block, const char *name, Levels *out) {
    for (int i = 0; i < block->u.block.n; i++) {
        const Stmt *s = block->u.block.v[i];
        if (s->k != S_FOR) continue;
        vec_push(tmp, out, ((Level){block, i}));
        const Stmt *found = strcmp(s->u.loop.v->name, name) == 0 ? s : find_levels(tmp, s->u.loop.body, name, out);
        if (found) return found;
        out->n--;
    }
    return NULL;
}
/* Statements from … to-1 of a block read nothing of the temporary that they have not written. */
static bool starts_anew(Arena *tmp, const Func *f, const Buf *b, const Stmt *block, int from, int to) {
    Walk w = walk_new(tmp, f);
    if (!track(&w, b)) return false;
    for (int i = to - 1; i >= from; i--) mark_stmt(&w, block->u.block.v[i]);
    for (int i = from; i < to && w.ok; i++) walk(&w, block->u.block.v[i]);
    return w.ok;
}
/* Whether nobody reads what the loop leaves in the temporary: neither those behind it nor, a round later, those before. */
static bool left_alone(Arena *tmp, const Func *f, const Buf *b, const Levels *l) {
    for (int i = 0; i < l->n; i++)
        if (!starts_anew(tmp, f, b, l->v[i].block, l->v[i].at + 1, l->v[i].block->u.block.n) ||
            (i > 0 && !starts_anew(tmp, f, b, l->v[i].block, 0, l->v[i].at)))
            return false;
    return true;
}
bool find_privates(Arena *tmp, const Func *f, const char *name, Privates *out) {
    const Stmt *top = f->body;
    Levels level = {0};
    const Stmt *loop = find_levels(tmp, top, name, &level);
    uint8_t *here = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1), *elsewhere = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1);
    uint8_t *written = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1);
    Walk w = walk_new(tmp, f);
    *out = (Privates){{0}, {0}};
    if (!loop) return false;
    mentions(tmp, loop, here), stmt_each((Stmt *)loop, mention_written, written);
    for (int i = 0; i < level.n; i++)
        for (int k = 0; k < level.v[i].block->u.block.n; k++)
            if (k != level.v[i].at) mentions(tmp, level.v[i].block->u.block.v[k], elsewhere);
    for (int i = 0; i < f->param.n; i++) {
        Buf *b = f->param.v[i];
        if (b->space != MEM_SCRATCH || b->tensor || !here[b->id] || !written[b->id]) continue;
        if (elsewhere[b->id] && !left_alone(tmp, f, b, &level)) continue;
        if (b->rank == QN_MAX_RANK || b->offset || !track(&w, b)) return false;
        vec_push(tmp, &out->scratch, b);
    }
    for (int i = 0; i < top->u.block.n; i++) {
        const Stmt *s = top->u.block.v[i];
        if (s->k != S_ALLOC || !here[s->u.alloc->id] || elsewhere[s->u.alloc->id]) continue;
        if (!track(&w, s->u.alloc)) return false;
        vec_push(tmp, &out->local, s->u.alloc);
    }
    if (!out->scratch.n && !out->local.n) return false;
    mark_stmt(&w, loop->u.loop.body);
    int64_t lo, hi;
    if (!e_is_int(loop->u.loop.lo, &lo) || !e_is_int(loop->u.loop.hi, &hi)) return false;
    if (!w.matters[loop->u.loop.v->id]) hi = min_i64(hi, lo + 1);
    w.known[loop->u.loop.v->id] = 1;
    Settled before = {.ok = false};
    for (int64_t i = lo; i < hi && w.ok; i++) {
        Settled now = {.w = &w, .ok = true};
        vec_push(tmp, &now.moving, loop->u.loop.v);
        vec_push(tmp, &now.r, ((Range){loop->u.loop.v, i, i}));
        settle_stmt(&now, loop->u.loop.body);
        const bool same = now.ok && before.ok && now.answer == before.answer;
        before = now;
        if (same) continue;
        for (int b = 0; b < f->nbuf; b++)
            if (w.of[b].b) memset(w.of[b].written, 0, (size_t)w.of[b].count);
        w.value[loop->u.loop.v->id] = i;
        walk(&w, loop->u.loop.body);
    }
    return w.ok;
}

/* ---- copies */
Stmt *find_loop(Stmt *s, const char *name) {
    if (s->k == S_FOR) return strcmp(s->u.loop.v->name, name) == 0 ? s : find_loop(s->u.loop.body, name);
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n; i++) {
        Stmt *found = find_loop(s->u.block.v[i], name);
        if (found) return found;
    }
    return NULL;
}
void make_private(Func *f, const Privates *p, const char *strip, const char *row, int64_t strips) {
    Arena *a = f->a;
    f->body = s_copy(a, f->body);
    Stmt *outer = find_loop(f->body, strip), *inner = find_loop(f->body, row);
    if (!outer || !inner) BUG("the strips of a split loop are not where they were made");
    Buf **param = NEW_ARRAY(a, Buf *, f->param.n + 1);
    for (int i = 0; i < f->param.n; i++) param[i] = f->param.v[i];
    f->param.v = param, f->param.cap = f->param.n + 1;
    for (int i = 0; i < p->scratch.n; i++) {
        Buf *b = p->scratch.v[i];
        int64_t dim[QN_MAX_RANK] = {strips};
        for (int d = 0; d < b->rank; d++) dim[d + 1] = b->dim[d];
        Buf *own = buf_new(f, b->name, b->dt, b->rank + 1, dim, MEM_SCRATCH);
        own->written = b->written;
        stmt_move_buf(a, outer, b, own, e_var(a, outer->u.loop.v));
        stmt_move_buf(a, f->body, b, own, e_int(a, 0)); /* the nests that start anew take the first copy */
        for (int k = 0; k < f->param.n; k++)
            if (param[k] == b) param[k] = own;
    }
    Stmt *body = s_block(a), *top = s_block(a);
    for (int i = 0; i < p->local.n; i++) s_append(a, body, s_alloc(a, p->local.v[i]));
    for (int i = 0; i < inner->u.loop.body->u.block.n; i++) s_append(a, body, inner->u.loop.body->u.block.v[i]);
    inner->u.loop.body = body;
    for (int i = 0; i < f->body->u.block.n; i++) {
        Stmt *s = f->body->u.block.v[i];
        bool moved = false;
        for (int k = 0; k < p->local.n; k++) moved |= s->k == S_ALLOC && s->u.alloc == p->local.v[k];
        if (!moved) s_append(a, top, s);
    }
    f->body = top;
}
