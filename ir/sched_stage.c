/* SPDX-License-Identifier: Apache-2.0 */
/* sched_stage.c: the box of a buffer that an iteration touches; copying it into a buffer of its own (stage); prefetch.
 * Subscripts must be affine. The base of the box is what depends on the loop and those around it, its extents come from the
 * loops inside. Where all accesses run over the same elements, the copies repeat their loops, ragged bounds and modes included:
 * then exactly what was touched is copied. Else the whole box is, clipped to the buffer.
 *
 *   stage x io t stack:   for io in 0..4: for ii in 0..8: y[io*8+ii] = x[io*8+ii]
 *   --->   for io in 0..4: { alloc t[8]; for t_ii in 0..8: t[t_ii] = x[io*8+t_ii];  for ii in 0..8: y[io*8+ii] = t[ii] }
 */
#include "sched_internal.h"
#include <string.h>

enum { STACK_BYTES = 16 << 10, REGISTERS = 4096 };

/* ---- the box */
static int64_t coefficient_of(const Affine *f, const Var *v) {
    for (int i = 0; i < f->n; i++)
        if (f->v[i] == v) return f->k[i];
    return 0;
}
static bool no_box(const Sched *s, const Buf *b, int d, const char *why) {
    return sched_fail(s, "index %d of an access to '%s' %s, expected an affine one", d, b->name, why);
}
/* Does the expression use a variable that the statement binds? */
static bool uses_bound(const Expr *e, const Stmt *s) {
    switch (s->k) {
    case S_FOR: return expr_uses_var(e, s->u.loop.v) || uses_bound(e, s->u.loop.body);
    case S_LET: return expr_uses_var(e, s->u.let.v);
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (uses_bound(e, s->u.block.v[i])) return true;
        return false;
    case S_IF: return uses_bound(e, s->u.cond.then) || (s->u.cond.other && uses_bound(e, s->u.cond.other));
    default: return false;
    }
}
/* One subscript: the part that no loop inside reaches, and the bounds of the rest. */
static bool subscript_span(Sched *s, const Access *x, int d, const Ranges *outer, const Stmt *body, Expr **base, int64_t *lo, int64_t *hi) {
    Arena *a = s->a;
    Ranges all = {0};
    for (int i = 0; i < outer->n; i++) vec_push(a, &all, outer->v[i]);
    sched_ranges(a, &all, &x->loops);
    Expr *e = expr_simplify(a, x->idx[d], &all);
    *lo = *hi = 0;
    for (int i = x->loops.n - 1; i >= 0; i--) {
        const Stmt *l = x->loops.v[i];
        const Var *v = l->u.loop.v;
        Affine f, g;
        int64_t n0, n1, k, x0, x1;
        if (!expr_affine(e, &f)) return no_box(s, x->buf, d, "is not affine");
        if ((k = coefficient_of(&f, v)) == 0) continue;
        bool shift = expr_affine(l->u.loop.lo, &g); /* v = lo + t */
        Expr *from = shift ? l->u.loop.lo : e_int(a, 0);
        if (!expr_bounds(expr_simplify(a, e_sub(a, l->u.loop.hi, from), &all), &all, &x0, &n1) ||
            (!shift && !expr_bounds(l->u.loop.lo, &all, &n0, &x1)))
            return no_box(s, x->buf, d, "runs over a loop whose extent is not known");
        if (shift) n0 = 0;
        if (!mul_ok(k, n0, &x0) || !mul_ok(k, max_i64(n1 - 1, n0), &x1)) return no_box(s, x->buf, d, "is too large");
        *lo += min_i64(x0, x1), *hi += max_i64(x0, x1);
        e = expr_simplify(a, e_subst(a, e, v, from), &all);
    }
    Affine f;
    if (!expr_affine(e, &f)) return no_box(s, x->buf, d, "is not affine");
    if (uses_bound(e, body)) return no_box(s, x->buf, d, "depends on a value that is not known at the start of the body");
    *base = e;
    return true;
}
bool sched_box(Sched *s, const Buf *b, const AccessVec *acc, const Ranges *outer, const Stmt *body, Box *box) {
    Arena *a = s->a;
    int64_t lo[QN_MAX_RANK] = {0}, hi[QN_MAX_RANK] = {0};
    bool first = true;
    for (int i = 0; i < acc->n; i++) {
        const Access *x = &acc->v[i];
        if (x->buf != b) continue;
        if (!x->idx) return sched_fail(s, "buffer '%s' is handed to a call, expected loads and stores only", b->name);
        for (int d = 0; d < b->rank; d++) {
            Expr *e = NULL;
            int64_t l, h, shift = 0;
            if (!subscript_span(s, x, d, outer, body, &e, &l, &h)) return false;
            if (!first && !e_is_int(expr_simplify(a, e_sub(a, e, box->base[d]), outer), &shift))
                return sched_fail(s, "the accesses to '%s' start at different places along axis %d, expected a constant distance", b->name,
                                  d);
            if (first) box->base[d] = e, lo[d] = l, hi[d] = h;
            lo[d] = min_i64(lo[d], l + shift), hi[d] = max_i64(hi[d], h + shift);
        }
        first = false;
    }
    if (first) return sched_fail(s, "buffer '%s' is not accessed there", b->name);
    for (int d = 0; d < b->rank; d++) {
        box->ext[d] = hi[d] - lo[d] + 1;
        box->base[d] = expr_simplify(a, e_add(a, box->base[d], e_int(a, lo[d])), outer);
        if (box->ext[d] >= b->dim[d]) box->base[d] = e_int(a, 0), box->ext[d] = b->dim[d];
    }
    return true;
}

/* ---- every access to one buffer goes to another */
typedef struct Reindex {
    Sched *s;
    Buf *from, *to;
    ReindexFn fn;
    void *user;
    Vec(const Stmt *) lets;
} Reindex;
static void new_index(Reindex *r, Expr *const *idx, Expr **out) {
    Expr *full[QN_MAX_RANK];
    for (int d = 0; d < r->from->rank; d++) { /* integer lets stand for their values, so that the base cancels */
        full[d] = idx[d];
        for (int i = r->lets.n - 1; i >= 0; i--) full[d] = e_subst(r->s->a, full[d], r->lets.v[i]->u.let.v, r->lets.v[i]->u.let.val);
    }
    r->fn(r->user, full, out);
}
static Expr *reindex_load(void *user, Expr *e) {
    Reindex *r = user;
    if (e->k != E_LOAD || e->u.ld.buf != r->from) return e;
    Expr *idx[QN_MAX_RANK];
    new_index(r, e->u.ld.idx, idx);
    return e_load(r->s->a, r->to, idx);
}
static Expr *reindex_expr(Reindex *r, Expr *e) { return expr_map(r->s->a, e, reindex_load, r); }
static void reindex_stmt(Reindex *r, Stmt *s) {
    switch (s->k) {
    case S_FOR:
        s->u.loop.lo = reindex_expr(r, s->u.loop.lo), s->u.loop.hi = reindex_expr(r, s->u.loop.hi);
        reindex_stmt(r, s->u.loop.body);
        break;
    case S_BLOCK: {
        int n = r->lets.n;
        for (int i = 0; i < s->u.block.n; i++) reindex_stmt(r, s->u.block.v[i]);
        r->lets.n = n;
        break;
    }
    case S_IF:
        s->u.cond.cond = reindex_expr(r, s->u.cond.cond);
        reindex_stmt(r, s->u.cond.then);
        if (s->u.cond.other) reindex_stmt(r, s->u.cond.other);
        break;
    case S_LET:
        s->u.let.val = reindex_expr(r, s->u.let.val);
        if (s->u.let.v->t == DT_INT64) vec_push(r->s->a, &r->lets, s);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = reindex_expr(r, s->u.call.arg[i]);
        break;
    case S_STORE: {
        Buf *b = s->u.st.buf;
        for (int d = 0; d < b->rank; d++) s->u.st.idx[d] = reindex_expr(r, s->u.st.idx[d]);
        s->u.st.val = reindex_expr(r, s->u.st.val);
        if (b != r->from) break;
        Expr *idx[QN_MAX_RANK];
        new_index(r, s->u.st.idx, idx);
        *s = *s_store(r->s->a, r->to, idx, s->u.st.val, s->u.st.red);
        break;
    }
    case S_ALLOC: break;
    }
}
void sched_reindex(Sched *s, Stmt *root, Buf *from, Buf *to, ReindexFn fn, void *user) {
    Reindex r = {.s = s, .from = from, .to = to, .fn = fn, .user = user};
    reindex_stmt(&r, root);
}

/* ---- stage */
typedef struct Stage {
    Sched *s;
    Buf *from, *to;
    const char *name;
    LoopAt at;
    Ranges outer;  /* of the loops around the body */
    AccessVec acc; /* to `from`, inside the body */
    Box box;
    MemSpace space;
    int64_t tile[QN_MAX_RANK];     /* per axis of `from`; 0: none */
    int tiled[QN_MAX_RANK], ntile; /* tiled axes, in the order given */
    int order[QN_MAX_RANK], norder;
} Stage;

static bool read_tile(Stage *g, const char *text) {
    Sched *s = g->s;
    const char *colon = strchr(text, ':');
    int64_t axis, factor;
    if (!colon) return sched_fail(s, "found tile '%s', expected AXIS:FACTOR", text);
    if (!sched_number(s, "the tiled axis", arena_strndup(s->a, text, (size_t)(colon - text)), 0, &axis) ||
        !sched_number(s, "the tile's factor", colon + 1, 1, &factor))
        return false;
    if (axis >= g->from->rank) return sched_fail(s, "axis %d is tiled, but '%s' has %d axes", (int)axis, g->from->name, g->from->rank);
    if (g->tile[axis]) return sched_fail(s, "axis %d is tiled twice", (int)axis);
    if (g->from->rank + g->ntile >= QN_MAX_RANK) return sched_fail(s, "the new buffer would have more than %d axes", QN_MAX_RANK);
    g->tile[axis] = factor;
    g->tiled[g->ntile++] = (int)axis;
    return true;
}
static bool read_order(Stage *g, int first) {
    Sched *s = g->s;
    int rank = g->from->rank + g->ntile;
    bool seen[QN_MAX_RANK] = {0};
    if (s->narg - first != rank) return sched_fail(s, "the order names %d axes, but '%s' has %d", s->narg - first, g->name, rank);
    for (int i = first; i < s->narg; i++) {
        int64_t axis;
        if (!sched_number(s, "an axis of the order", s->arg[i], 0, &axis)) return false;
        if (axis >= rank || seen[axis]) return sched_fail(s, "the order is no permutation of the axes 0 to %d", rank - 1);
        seen[axis] = true;
        g->order[g->norder++] = (int)axis;
    }
    return true;
}
static bool read_stage(Stage *g) {
    static const struct {
        const char *name;
        MemSpace space;
    } spaces[] = {{"reg", MEM_REG}, {"stack", MEM_STACK}, {"scratch", MEM_SCRATCH}, {"pad", MEM_PAD}};
    Sched *s = g->s;
    bool known = false;
    if (!(g->from = sched_find_buf(s, s->arg[0])) || !sched_find_loop(s, s->arg[1], &g->at)) return false;
    g->name = s->arg[2];
    if (!sched_name_free(s, g->name)) return false;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (strcmp(spaces[i].name, s->arg[3]) == 0) g->space = spaces[i].space, known = true;
    if (!known) return sched_fail(s, "the space is '%s', expected reg, stack, scratch or pad", s->arg[3]);
    for (int i = 4; i < s->narg; i++) {
        if (strcmp(s->arg[i], "order") == 0) return read_order(g, i + 1);
        if (strcmp(s->arg[i], "tile") || i + 1 == s->narg)
            return sched_fail(s, "found '%s', expected 'tile AXIS:FACTOR' or 'order AXIS...'", s->arg[i]);
        if (!read_tile(g, s->arg[++i])) return false;
    }
    for (int i = 0; i < g->from->rank + g->ntile; i++) g->order[g->norder++] = i;
    return true;
}
static void stage_index(void *user, Expr *const *from, Expr **to) {
    Stage *g = user;
    Arena *a = g->s->a;
    Expr *axis[QN_MAX_RANK];
    int n = g->from->rank;
    for (int d = 0; d < n; d++) {
        Expr *e = expr_simplify(a, e_sub(a, from[d], g->box.base[d]), NULL);
        axis[d] = g->tile[d] ? e_div(a, e, e_int(a, g->tile[d])) : e;
        for (int t = 0; g->tile[d] && t < g->ntile; t++)
            if (g->tiled[t] == d) axis[n + t] = e_mod(a, e, e_int(a, g->tile[d]));
    }
    for (int i = 0; i < g->norder; i++) to[i] = axis[g->order[i]];
}
static int64_t local_bytes(const Stmt *s, MemSpace space) {
    int64_t n = 0, bytes;
    switch (s->k) {
    case S_FOR: return local_bytes(s->u.loop.body, space);
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) n += local_bytes(s->u.block.v[i], space);
        return n;
    case S_IF: return local_bytes(s->u.cond.then, space) + (s->u.cond.other ? local_bytes(s->u.cond.other, space) : 0);
    case S_ALLOC:
        if (s->u.alloc->space != space) return 0;
        n = 1;
        for (int d = 0; d < s->u.alloc->rank; d++) n *= max_i64(s->u.alloc->dim[d], 1);
        return dtype_bytes(s->u.alloc->dt, n, &bytes) ? bytes : STACK_BYTES;
    default: return 0;
    }
}
static bool make_buffer(Stage *g) {
    Sched *s = g->s;
    int64_t dim[QN_MAX_RANK], axis[QN_MAX_RANK], n = 1, bytes;
    int rank = g->from->rank;
    for (int d = 0; d < rank; d++) {
        axis[d] = g->tile[d] ? ceil_div(g->box.ext[d], g->tile[d]) : g->box.ext[d];
        for (int t = 0; t < g->ntile; t++)
            if (g->tiled[t] == d) axis[rank + t] = g->tile[d];
    }
    for (int i = 0; i < g->norder; i++)
        if (dim[i] = axis[g->order[i]], !mul_ok(n, dim[i], &n)) n = INT64_MAX;
    if (n == INT64_MAX || !dtype_bytes(g->from->dt, n, &bytes)) return sched_fail(s, "the new buffer is too large");
    if (g->space == MEM_REG && n > REGISTERS)
        return sched_fail(s, "%lld elements do not fit into registers, expected at most %d", (long long)n, REGISTERS);
    if (g->space == MEM_STACK && bytes + local_bytes(s->f->body, MEM_STACK) > STACK_BYTES)
        return sched_fail(s, "%lld bytes do not fit on the stack, which has %d in all", (long long)bytes, STACK_BYTES);
    g->to = buf_new(s->f, g->name, g->from->dt, g->norder, dim, g->space);
    return true;
}

typedef struct Over { /* the loops an access runs over: those its subscripts and their bounds use */
    StmtVec loops;
} Over;
static void over_of(Arena *a, const Access *x, Over *o) {
    int n = x->loops.n;
    bool *used = NEW_ARRAY(a, bool, n + 1);
    for (int i = n - 1; i >= 0; i--) {
        const Var *v = x->loops.v[i]->u.loop.v;
        for (int d = 0; d < x->buf->rank; d++) used[i] |= expr_uses_var(x->idx[d], v);
        for (int j = i + 1; j < n; j++)
            if (used[j]) used[i] |= expr_uses_var(x->loops.v[j]->u.loop.lo, v) || expr_uses_var(x->loops.v[j]->u.loop.hi, v);
    }
    for (int i = 0; i < n; i++)
        if (used[i]) vec_push(a, &o->loops, x->loops.v[i]);
}
static bool depends_on_loads(const Expr *e) {
    if (e->k == E_LOAD || e->k == E_CALL) return true;
    int n = e->k == E_BIN ? 2 : e->k == E_SELECT ? 3 : e->k == E_UN || e->k == E_CAST ? 1 : 0;
    for (int i = 0; i < n; i++)
        if (depends_on_loads(e->u.a[i])) return true;
    return false;
}
/* Do the two accesses run over the same elements in every iteration of the loops they share? */
static bool same_elements(Sched *s, const Access *x, const Access *y) {
    Arena *a = s->a;
    Over p = {0}, q = {0};
    over_of(a, x, &p);
    over_of(a, y, &q);
    if (p.loops.n != q.loops.n) return false;
    Expr *lo[64], *hi[64], *idx[QN_MAX_RANK];
    if (q.loops.n > 64) return false;
    for (int i = 0; i < q.loops.n; i++) lo[i] = q.loops.v[i]->u.loop.lo, hi[i] = q.loops.v[i]->u.loop.hi;
    for (int d = 0; d < y->buf->rank; d++) idx[d] = y->idx[d];
    for (int i = 0; i < q.loops.n; i++) {
        const Var *from = q.loops.v[i]->u.loop.v, *to = p.loops.v[i]->u.loop.v;
        if (from == to) continue;
        for (int j = 0; j < x->loops.n && j < y->loops.n && x->loops.v[j] == y->loops.v[j]; j++) /* a shared loop pairs with itself */
            if (x->loops.v[j]->u.loop.v == from || x->loops.v[j]->u.loop.v == to) return false;
        for (int j = 0; j < q.loops.n; j++) lo[j] = e_subst(a, lo[j], from, e_var(a, to)), hi[j] = e_subst(a, hi[j], from, e_var(a, to));
        for (int d = 0; d < y->buf->rank; d++) idx[d] = e_subst(a, idx[d], from, e_var(a, to));
    }
    for (int i = 0; i < p.loops.n; i++)
        if (!e_equal(lo[i], p.loops.v[i]->u.loop.lo) || !e_equal(hi[i], p.loops.v[i]->u.loop.hi)) return false;
    for (int d = 0; d < y->buf->rank; d++)
        if (!e_equal(expr_simplify(a, idx[d], NULL), expr_simplify(a, x->idx[d], NULL))) return false;
    return true;
}
/* Loops that the access does not move with may keep it from happening at all, if they can be empty. */
static bool sure_to_happen(const Stage *g, const Access *x) {
    Arena *a = g->s->a;
    Over o = {0};
    Ranges r = {0};
    over_of(a, x, &o);
    for (int i = 0; i < g->outer.n; i++) vec_push(a, &r, g->outer.v[i]);
    for (int i = 0; i < x->loops.n; i++) {
        const Stmt *l = x->loops.v[i];
        bool moves = false;
        int64_t lo, hi;
        for (int j = 0; j < o.loops.n; j++) moves |= o.loops.v[j] == l;
        if (!moves && (!expr_bounds(expr_simplify(a, e_sub(a, l->u.loop.hi, l->u.loop.lo), &r), &r, &lo, &hi) || lo < 1)) return false;
        sched_enter(a, &r, l);
    }
    return !x->cond;
}
/* Copies that repeat the loops of the accesses: exact, if all accesses happen and each element is met once. */
static bool can_mirror(const Stage *g) {
    const Access *x = &g->acc.v[0];
    Over o = {0};
    int64_t points = 1, elements = 1, lo, hi;
    over_of(g->s->a, x, &o);
    for (int i = 0; i < g->acc.n; i++)
        if (!sure_to_happen(g, &g->acc.v[i]) || !same_elements(g->s, x, &g->acc.v[i])) return false;
    Ranges r = {0};
    for (int i = 0; i < g->outer.n; i++) vec_push(g->s->a, &r, g->outer.v[i]);
    for (int i = 0; i < o.loops.n; i++) {
        const Stmt *l = o.loops.v[i];
        if (depends_on_loads(l->u.loop.lo) || depends_on_loads(l->u.loop.hi)) return false;
        if (!expr_bounds(e_sub(g->s->a, l->u.loop.hi, l->u.loop.lo), &r, &lo, &hi) || !mul_ok(points, max_i64(hi, 1), &points))
            return false;
        sched_enter(g->s->a, &r, l);
    }
    for (int d = 0; d < g->from->rank; d++)
        if (!mul_ok(elements, g->box.ext[d], &elements)) return false;
    return points == elements;
}
/* Is the first access a plain store? Where copies mirror, it reaches every element before anything else does. */
static bool written_first(const Stage *g) { return g->acc.v[0].write && !g->acc.v[0].red; }
static Stmt *copy_stmt(Stage *g, Expr *const *idx, bool in) {
    Arena *a = g->s->a;
    Expr *to[QN_MAX_RANK];
    stage_index(g, idx, to);
    return in ? s_store(a, g->to, to, e_load(a, g->from, idx), RED_NONE) : s_store(a, g->from, idx, e_load(a, g->to, to), RED_NONE);
}
static Stmt *copy_mirror(Stage *g, bool in) {
    Sched *s = g->s;
    Arena *a = s->a;
    const Access *x = &g->acc.v[0];
    Over o = {0};
    over_of(a, x, &o);
    Expr *idx[QN_MAX_RANK];
    for (int d = 0; d < g->from->rank; d++) idx[d] = x->idx[d];
    Stmt *top = s_block(a), *block = top;
    Vec(Var *) fresh = {0};
    for (int i = 0; i < o.loops.n; i++) {
        const Stmt *l = o.loops.v[i];
        Expr *lo = l->u.loop.lo, *hi = l->u.loop.hi;
        for (int j = 0; j < i; j++)
            lo = e_subst(a, lo, o.loops.v[j]->u.loop.v, e_var(a, fresh.v[j])),
            hi = e_subst(a, hi, o.loops.v[j]->u.loop.v, e_var(a, fresh.v[j]));
        Var *v = sched_var(s, arena_printf(a, "%s_%s", g->name, l->u.loop.v->name));
        vec_push(a, &fresh, v);
        Stmt *c = s_for(a, v, lo, hi);
        c->u.loop.mode = l->u.loop.mode == LOOP_PAR ? LOOP_SEQ : l->u.loop.mode;
        s_append(a, block, c);
        block = c->u.loop.body;
        for (int d = 0; d < g->from->rank; d++) idx[d] = e_subst(a, idx[d], l->u.loop.v, e_var(a, v));
    }
    s_append(a, block, copy_stmt(g, idx, in));
    return top;
}
/* The box, clipped to the buffer where it may reach over its edge. */
static Stmt *copy_box(Stage *g, bool in) {
    Sched *s = g->s;
    Arena *a = s->a;
    Stmt *top = s_block(a), *block = top;
    Expr *idx[QN_MAX_RANK];
    for (int d = 0; d < g->from->rank; d++) {
        Expr *base = g->box.base[d];
        int64_t n0, n1;
        if (g->box.ext[d] == 1 && expr_bounds(base, &g->outer, &n0, &n1) && n0 >= 0 && n1 < g->from->dim[d]) {
            idx[d] = base;
            continue;
        }
        Var *v = sched_var(s, arena_printf(a, "%s_%d", g->name, d));
        Expr *lo = e_max(a, e_int(a, 0), e_un(a, UN_NEG, base));
        Expr *hi = e_min(a, e_int(a, g->box.ext[d]), e_sub(a, e_int(a, g->from->dim[d]), base));
        Stmt *l = s_for(a, v, expr_simplify(a, lo, &g->outer), expr_simplify(a, hi, &g->outer));
        if (g->space == MEM_REG && sched_const_loop(l, &n0, &n1)) l->u.loop.mode = LOOP_UNROLL;
        s_append(a, block, l);
        block = l->u.loop.body;
        idx[d] = e_add(a, base, e_var(a, v));
    }
    s_append(a, block, copy_stmt(g, idx, in));
    return top;
}
static bool collect_stage(Stage *g) {
    Sched *s = g->s;
    AccessVec all = {0};
    BufVec local = {0};
    sched_ranges(s->a, &g->outer, &g->at.outer);
    sched_enter(s->a, &g->outer, g->at.loop);
    sched_accesses(s, g->at.loop->u.loop.body, &all);
    sched_privates(s->a, g->at.loop->u.loop.body, &local);
    for (int i = 0; i < local.n; i++)
        if (local.v[i] == g->from) return sched_fail(s, "buffer '%s' lives inside the loop '%s' already", g->from->name, s->arg[1]);
    for (int i = 0; i < all.n; i++)
        if (all.v[i].buf == g->from) vec_push(s->a, &g->acc, all.v[i]);
    return sched_box(s, g->from, &g->acc, &g->outer, g->at.loop->u.loop.body, &g->box);
}
bool step_stage(Sched *s) {
    Arena *a = s->a;
    Stage st = {.s = s}, *g = &st;
    if (!read_stage(g) || !collect_stage(g) || !make_buffer(g)) return false;
    bool mirror = can_mirror(g), written = false;
    for (int i = 0; i < g->acc.n; i++) written |= g->acc.v[i].write;
    bool copy_in = !(mirror && written_first(g));
    Stmt *in = copy_in ? (mirror ? copy_mirror(g, true) : copy_box(g, true)) : s_block(a);
    StmtVec body = {0};
    if (g->space == MEM_SCRATCH) vec_push(a, &s->f->param, g->to);
    else vec_push(a, &body, s_alloc(a, g->to));
    for (int i = 0; i < in->u.block.n; i++) vec_push(a, &body, in->u.block.v[i]);
    int before = body.n;
    Stmt *old = g->at.loop->u.loop.body;
    for (int i = 0; i < old->u.block.n; i++) vec_push(a, &body, old->u.block.v[i]);
    int after = body.n;
    sched_replace(a, old, 0, old->u.block.n, body.v, body.n);
    if (written) { /* named while the copies in are in place */
        Stmt *out = mirror ? copy_mirror(g, false) : copy_box(g, false);
        sched_replace(a, old, after, 0, out->u.block.v, out->u.block.n);
    }
    Stmt inner = {.k = S_BLOCK};
    for (int i = before; i < after; i++) vec_push(a, &inner.u.block, old->u.block.v[i]);
    sched_reindex(s, &inner, g->from, g->to, stage_index, g);
    return true;
}

/* ---- prefetch */
bool step_prefetch(Sched *s) {
    LoopAt at;
    Arena *a = s->a;
    int64_t ahead;
    Buf *b = sched_find_buf(s, s->arg[0]);
    if (!b || !sched_find_loop(s, s->arg[1], &at) || !sched_number(s, "the number of iterations", s->arg[2], 1, &ahead)) return false;
    if (b->space == MEM_REG) return sched_fail(s, "buffer '%s' is in registers, expected one in memory", b->name);
    AccessVec acc = {0};
    BufVec local = {0};
    sched_accesses(s, at.loop->u.loop.body, &acc);
    sched_privates(a, at.loop->u.loop.body, &local);
    for (int i = 0; i < local.n; i++)
        if (local.v[i] == b) return sched_fail(s, "buffer '%s' lives inside the loop '%s'", b->name, s->arg[1]);
    const Access *x = NULL;
    for (int i = 0; i < acc.n && !x; i++)
        if (acc.v[i].buf == b && acc.v[i].idx) x = &acc.v[i];
    if (!x) return sched_fail(s, "buffer '%s' is not accessed by index in the loop '%s'", b->name, s->arg[1]);
    Ranges r = {0};
    sched_ranges(a, &r, &at.outer);
    sched_enter(a, &r, at.loop);
    Expr *flat = e_int(a, 0), *later = e_add(a, e_var(a, at.loop->u.loop.v), e_int(a, ahead));
    for (int d = 0; d < b->rank; d++) {
        Expr *e = x->idx[d];
        for (int i = x->loops.n - 1; i >= 0; i--) e = e_subst(a, e, x->loops.v[i]->u.loop.v, x->loops.v[i]->u.loop.lo);
        e = expr_simplify(a, e_subst(a, e, at.loop->u.loop.v, later), &r);
        if (depends_on_loads(e) || uses_bound(e, at.loop->u.loop.body))
            return sched_fail(s, "index %d of '%s' is not known at the start of the body", d, b->name);
        e = e_max(a, e_int(a, 0), e_min(a, e, e_int(a, b->dim[d] - 1)));
        flat = e_add(a, flat, e_mul(a, expr_simplify(a, e, &r), e_int(a, b->stride[d])));
    }
    Stmt *call = NEW(a, Stmt);
    call->k = S_CALL;
    call->u.call.name = SCHED_PREFETCH;
    call->u.call.narg = call->u.call.nbuf = 1;
    call->u.call.arg = NEW_ARRAY(a, Expr *, 1);
    call->u.call.buf = NEW_ARRAY(a, Buf *, 1);
    call->u.call.arg[0] = flat, call->u.call.buf[0] = b;
    sched_replace(a, at.loop->u.loop.body, 0, 0, &call, 1);
    return true;
}
