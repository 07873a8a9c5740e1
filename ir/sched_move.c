/* SPDX-License-Identifier: Apache-2.0 */
/* sched_move.c: temporaries that need not be stored whole: inline puts the expression of their one elementwise nest where they
 * are read, compute_at moves the nests that produce them into a loop of the consumer and keeps only what is used there.
 * Both ask that nothing the producer reads is written between it and the consumer.
 *
 *   compute_at t io:   for i in 0..64: t[i] = x[i]*2;   for io in 0..8: for ii in 0..8: y[io*8+ii] = t[io*8+ii]
 *   --->               for io in 0..8: { alloc t[8]; for i in 0..8: t[i] = x[io*8+i]*2;  for ii in 0..8: y[io*8+ii] = t[ii] }
 */
#include "sched_internal.h"
#include <string.h>

/* ---- what both look for */
static bool is_scratch_param(const Func *f, const Buf *b, int *at) {
    for (*at = 0; *at < f->param.n; ++*at)
        if (f->param.v[*at] == b) return b->space == MEM_SCRATCH && !b->tensor;
    *at = -1;
    return true; /* allocated inside */
}
static Buf *find_temporary(const Sched *s, const char *name) {
    int at;
    Buf *b = sched_find_buf(s, name);
    if (b && !is_scratch_param(s->f, b, &at)) {
        sched_fail(s, "buffer '%s' is a parameter, expected a temporary of this kernel", name);
        return NULL;
    }
    return b;
}
/* The buffer goes: so do its declaration and the hints about it. */
static void drop_buffer(Arena *a, Stmt *s, const Buf *b) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = s->u.block.n - 1; i >= 0; i--) {
            const Stmt *t = s->u.block.v[i];
            bool hint = t->k == S_CALL && strcmp(t->u.call.name, SCHED_PREFETCH) == 0 && t->u.call.buf[0] == b;
            if (hint || (t->k == S_ALLOC && t->u.alloc == b)) sched_replace(a, s, i, 1, NULL, 0);
            else drop_buffer(a, s->u.block.v[i], b);
        }
        break;
    case S_FOR: drop_buffer(a, s->u.loop.body, b); break;
    case S_IF:
        drop_buffer(a, s->u.cond.then, b);
        if (s->u.cond.other) drop_buffer(a, s->u.cond.other, b);
        break;
    default: break;
    }
}
static bool listed(const BufVec *v, const Buf *b) {
    for (int i = 0; i < v->n; i++)
        if (v->v[i] == b) return true;
    return false;
}
/* A buffer of `read` that one of the statements [from, to) of the block writes; those marked in `skip` do not count. */
static const Buf *overwritten(Sched *s, const Stmt *block, int from, int to, const bool *skip, const BufVec *read) {
    for (int i = from; i < to; i++) {
        AccessVec acc = {0};
        if (skip && skip[i]) continue;
        Stmt one = {.k = S_BLOCK};
        vec_push(s->a, &one.u.block, block->u.block.v[i]);
        sched_accesses(s, &one, &acc);
        for (int k = 0; k < acc.n; k++)
            if (acc.v[k].write && listed(read, acc.v[k].buf)) return acc.v[k].buf;
    }
    return NULL;
}
static void accesses_of(Sched *s, Stmt *stmt, AccessVec *out) {
    Stmt one = {.k = S_BLOCK};
    vec_push(s->a, &one.u.block, stmt);
    sched_accesses(s, &one, out);
}
static int count_accesses(Sched *s, Stmt *stmt, const Buf *b, bool write) {
    AccessVec acc = {0};
    int n = 0;
    accesses_of(s, stmt, &acc);
    for (int i = 0; i < acc.n; i++) n += acc.v[i].buf == b && acc.v[i].write == write;
    return n;
}
/* Is the subscript v + c with one of the loops? NULL otherwise. */
static Stmt *unit_loop(const Expr *e, const StmtVec *loops, int64_t *c) {
    Affine f;
    if (!expr_affine(e, &f) || f.n != 1 || f.k[0] != 1) return NULL;
    *c = f.c;
    for (int i = 0; i < loops->n; i++)
        if (loops->v[i]->u.loop.v == f.v[0]) return loops->v[i];
    return NULL;
}

/* ---- inline */
typedef struct Inline {
    Sched *s;
    Buf *buf;
    Stmt *block; /* that holds the producer, */
    int at;      /* … here */
    Stmt *store;
    StmtVec loops, lets;
    const Var *var[QN_MAX_RANK]; /* per axis: the loop, NULL: none (extent 1) */
    int64_t shift[QN_MAX_RANK];  /* subscript = var + shift */
    Expr *val;
} Inline;
/* The outermost statement that writes the buffer and does not read it. */
static bool find_producer(Inline *n, Stmt *block) {
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *t = block->u.block.v[i];
        if (!count_accesses(n->s, t, n->buf, true)) continue;
        if (!count_accesses(n->s, t, n->buf, false)) {
            n->block = block, n->at = i;
            return true;
        }
        if (t->k == S_FOR) return find_producer(n, t->u.loop.body);
        if (t->k == S_BLOCK) return find_producer(n, t);
        return false;
    }
    return false;
}
/* Loops around lets and one store, nothing else. */
static bool one_store(Inline *n, Stmt *t) {
    Arena *a = n->s->a;
    if (t->k == S_STORE) {
        n->store = t;
        return t->u.st.buf == n->buf && !t->u.st.red;
    }
    if (t->k != S_FOR && t->k != S_BLOCK) return false;
    if (t->k == S_FOR) vec_push(a, &n->loops, t);
    Stmt *b = t->k == S_FOR ? t->u.loop.body : t;
    for (int i = 0; i + 1 < b->u.block.n; i++) {
        if (b->u.block.v[i]->k != S_LET) return false;
        vec_push(a, &n->lets, b->u.block.v[i]);
    }
    return b->u.block.n && one_store(n, b->u.block.v[b->u.block.n - 1]);
}
static Expr *without_lets(Inline *n, Expr *e) {
    for (int i = n->lets.n - 1; i >= 0; i--) e = e_subst(n->s->a, e, n->lets.v[i]->u.let.v, n->lets.v[i]->u.let.val);
    return e;
}
static bool elementwise(Inline *n) {
    const Buf *b = n->buf;
    bool used[64] = {0};
    if (n->loops.n > 64) return false;
    for (int d = 0; d < b->rank; d++) {
        int64_t lo, hi, zero;
        Expr *e = without_lets(n, n->store->u.st.idx[d]);
        if (b->dim[d] == 1 && e_is_int(e, &zero)) continue;
        const Stmt *l = unit_loop(e, &n->loops, &n->shift[d]);
        if (!l || !sched_const_loop(l, &lo, &hi) || lo + n->shift[d] != 0 || hi + n->shift[d] != b->dim[d]) return false;
        for (int i = 0; i < n->loops.n; i++)
            if (n->loops.v[i] == l) {
                if (used[i]) return false;
                used[i] = true;
            }
        n->var[d] = l->u.loop.v;
    }
    for (int i = 0; i < n->loops.n; i++) { /* a loop of one iteration has vanished from the subscripts */
        int64_t lo, hi;
        if (!used[i] && (!sched_const_loop(n->loops.v[i], &lo, &hi) || hi - lo != 1)) return false;
        if (!used[i] && expr_uses_var(n->val, n->loops.v[i]->u.loop.v))
            n->val = e_subst(n->s->a, n->val, n->loops.v[i]->u.loop.v, e_int(n->s->a, lo));
    }
    return true;
}
static Expr *inline_load(void *user, Expr *e) {
    Inline *n = user;
    if (e->k != E_LOAD || e->u.ld.buf != n->buf) return e;
    Arena *a = n->s->a;
    Expr *v = n->val;
    for (int d = 0; d < n->buf->rank; d++)
        if (n->var[d]) v = e_subst(a, v, n->var[d], e_sub(a, e->u.ld.idx[d], e_int(a, n->shift[d])));
    return v;
}
static Expr *inline_expr(void *user, Expr *e) { return expr_map(((Inline *)user)->s->a, e, inline_load, user); }
bool step_inline(Sched *s) {
    Arena *a = s->a;
    Inline n = {.s = s, .buf = find_temporary(s, s->arg[0])};
    Buf *b = n.buf;
    if (!b) return false;
    int writes = count_accesses(s, s->f->body, b, true), loads = count_accesses(s, s->f->body, b, false);
    if (writes != 1) return sched_fail(s, "%d statements write buffer '%s', expected one", writes, b->name);
    if (!find_producer(&n, s->f->body) || !one_store(&n, n.block->u.block.v[n.at]))
        return sched_fail(s, "buffer '%s' has no nest of its own with nothing but one plain store", b->name);
    n.val = without_lets(&n, n.store->u.st.val);
    if (dtype_compute(b->dt) != b->dt) { /* what a reader of the buffer would see */
        if (b->dt != DT_FLOAT16 && b->dt != DT_BFLOAT16)
            return sched_fail(s, "values of type %s cannot be rounded in place", dtype_name(b->dt));
        n.val = e_cast(a, b->dt, n.val);
    }
    if (!elementwise(&n))
        return sched_fail(s, "the nest that writes '%s' does not run over its elements one loop per axis, each element once", b->name);
    AccessVec acc = {0};
    BufVec read = {0};
    accesses_of(s, n.block->u.block.v[n.at], &acc);
    for (int i = 0; i < acc.n; i++)
        if (!acc.v[i].write) vec_push(a, &read, acc.v[i].buf);
    const Buf *w = overwritten(s, n.block, n.at + 1, n.block->u.block.n, NULL, &read);
    if (w) return sched_fail(s, "buffer '%s', which '%s' is computed from, is written after that", w->name, b->name);
    int after = 0;
    for (int i = n.at + 1; i < n.block->u.block.n; i++) after += count_accesses(s, n.block->u.block.v[i], b, false);
    if (after != loads) return sched_fail(s, "buffer '%s' is read where its nest has not run in the same iteration", b->name);
    for (int i = n.at + 1; i < n.block->u.block.n; i++) stmt_map_exprs(n.block->u.block.v[i], inline_expr, &n);
    sched_replace(a, n.block, n.at, 1, NULL, 0);
    drop_buffer(a, s->f->body, b);
    int at;
    if (is_scratch_param(s->f, b, &at) && at >= 0) {
        for (int i = at; i + 1 < s->f->param.n; i++) s->f->param.v[i] = s->f->param.v[i + 1];
        s->f->param.n--;
    }
    return true;
}

/* ---- compute_at */
typedef struct Narrow { /* a loop of the producer which runs along an axis of the buffer */
    Stmt *loop;
    int axis;
    int64_t shift; /* subscript = variable + shift */
} Narrow;
typedef struct Move {
    Sched *s;
    Buf *from, *to;
    LoopAt at;
    Stmt *block;    /* common to the producers and the consumer, */
    int consumer;   /* … which is this statement of it */
    bool *producer; /* per statement of the block */
    Ranges outer;
    Box box;
    Vec(Narrow) narrow;
} Move;

static bool holds(const Stmt *s, const Stmt *loop) {
    switch (s->k) {
    case S_FOR: return s == loop || holds(s->u.loop.body, loop);
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (holds(s->u.block.v[i], loop)) return true;
        return false;
    case S_IF: return holds(s->u.cond.then, loop) || (s->u.cond.other && holds(s->u.cond.other, loop));
    default: return false;
    }
}
/* The block around V in which every writer stands before the statement that holds V. */
static bool find_common(Move *m, Stmt *block, int writes) {
    for (int i = 0, before = 0; i < block->u.block.n; i++) {
        Stmt *t = block->u.block.v[i];
        if (!holds(t, m->at.loop)) {
            before += count_accesses(m->s, t, m->from, true);
            continue;
        }
        m->block = block, m->consumer = i;
        if (before == writes) return true;
        if (t == m->at.loop) return false;
        if (t->k == S_FOR) return find_common(m, t->u.loop.body, writes);
        if (t->k == S_BLOCK) return find_common(m, t, writes);
        return find_common(m, holds(t->u.cond.then, m->at.loop) ? t->u.cond.then : t->u.cond.other, writes);
    }
    return false;
}
/* Each loop that an axis runs along must do so for every access inside it, and only there. */
static bool find_narrow(Move *m, const AccessVec *acc) {
    Sched *s = m->s;
    const Buf *b = m->from;
    for (int i = 0; i < acc->n; i++) {
        const Access *x = &acc->v[i];
        if (x->buf != b) continue;
        if (!x->idx) return sched_fail(s, "buffer '%s' is handed to a call, expected loads and stores only", b->name);
        for (int d = 0; d < b->rank; d++) {
            int64_t c, zero;
            if (b->dim[d] == 1 && e_is_int(x->idx[d], &zero)) continue;
            Stmt *l = unit_loop(x->idx[d], &x->loops, &c);
            if (!l)
                return sched_fail(s, "the producer of '%s' does not run along axis %d with one loop (split it after this step)", b->name,
                                  d);
            Narrow n = {l, d, c};
            bool known = false;
            for (int k = 0; k < m->narrow.n; k++) {
                if (m->narrow.v[k].loop != l) continue;
                if (m->narrow.v[k].axis != d || m->narrow.v[k].shift != c)
                    return sched_fail(s, "in the producer of '%s' the loop '%s' reaches different elements", b->name, l->u.loop.v->name);
                known = true;
            }
            if (!known) vec_push(s->a, &m->narrow, n);
        }
    }
    return true;
}
/* Iterations that are dropped must not matter to the others. */
static bool narrow_alone(Move *m, const AccessVec *acc) {
    Sched *s = m->s;
    for (int k = 0; k < m->narrow.n; k++) {
        const Narrow *n = &m->narrow.v[k];
        BufVec local = {0};
        sched_privates(s->a, n->loop, &local);
        for (int i = 0; i < acc->n; i++) {
            const Access *x = &acc->v[i];
            bool inside = false;
            for (int j = 0; j < x->loops.n; j++) inside |= x->loops.v[j] == n->loop;
            if (!inside) continue;
            if (x->buf == m->from ? !expr_uses_var(x->idx[n->axis], n->loop->u.loop.v) : x->write && !listed(&local, x->buf))
                return sched_fail(s, "the iterations of the producer's loop '%s' depend on each other through '%s'",
                                  n->loop->u.loop.v->name, x->buf->name);
        }
    }
    return true;
}
static bool check_producers(Move *m) {
    Sched *s = m->s;
    AccessVec acc = {0};
    BufVec read = {0}, local = {0};
    int first = -1;
    for (int i = 0; i < m->consumer; i++) {
        Stmt *t = m->block->u.block.v[i];
        if (!count_accesses(s, t, m->from, true)) continue;
        if (t->k == S_LET) return sched_fail(s, "a let reads and writes '%s'", m->from->name);
        if (first < 0) first = i;
        m->producer[i] = true;
        accesses_of(s, t, &acc);
        sched_privates(s->a, t, &local);
    }
    for (int i = 0; i < acc.n; i++) {
        const Access *x = &acc.v[i];
        if (x->buf == m->from || listed(&local, x->buf)) continue;
        if (x->write) return sched_fail(s, "the nest that writes '%s' writes '%s' too", m->from->name, x->buf->name);
        vec_push(s->a, &read, x->buf);
    }
    const Buf *w = overwritten(s, m->block, first, m->consumer + 1, m->producer, &read);
    if (w)
        return sched_fail(s, "buffer '%s', which '%s' is computed from, is written before '%s' is used", w->name, m->from->name,
                          m->from->name);
    return find_narrow(m, &acc) && narrow_alone(m, &acc);
}
static void move_index(void *user, Expr *const *from, Expr **to) {
    Move *m = user;
    for (int d = 0; d < m->from->rank; d++) to[d] = expr_simplify(m->s->a, e_sub(m->s->a, from[d], m->box.base[d]), NULL);
}
/* The loop runs over the box only, from 0 if the start of the box is where it begins. */
static void narrow_loop(Move *m, const Narrow *n) {
    Arena *a = m->s->a;
    Stmt *l = n->loop;
    Expr *start = e_sub(a, m->box.base[n->axis], e_int(a, n->shift)), *ext = e_int(a, m->box.ext[n->axis]);
    Expr *lo = expr_simplify(a, e_max(a, l->u.loop.lo, start), &m->outer);
    Affine f;
    int64_t c;
    if (expr_affine(lo, &f)) {
        Expr *end = e_min(a, e_add(a, ext, e_sub(a, start, lo)), e_sub(a, l->u.loop.hi, lo));
        stmt_subst(a, l->u.loop.body, l->u.loop.v, e_add(a, e_var(a, l->u.loop.v), lo));
        l->u.loop.lo = e_int(a, 0), l->u.loop.hi = expr_simplify(a, end, &m->outer);
    } else {
        l->u.loop.hi = expr_simplify(a, e_min(a, l->u.loop.hi, e_add(a, start, ext)), &m->outer);
        l->u.loop.lo = lo;
    }
    bool fixed = e_is_int(l->u.loop.lo, &c) && e_is_int(l->u.loop.hi, &c);
    if (!fixed && (l->u.loop.mode == LOOP_VEC || l->u.loop.mode == LOOP_UNROLL)) l->u.loop.mode = LOOP_SEQ;
}
static bool read_move(Move *m) {
    Sched *s = m->s;
    AccessVec inside = {0}, use = {0};
    if (!(m->from = find_temporary(s, s->arg[0])) || !sched_find_loop(s, s->arg[1], &m->at)) return false;
    int writes = count_accesses(s, s->f->body, m->from, true);
    if (!writes) return sched_fail(s, "nothing writes buffer '%s'", m->from->name);
    if (!find_common(m, s->f->body, writes))
        return sched_fail(s, "the nests that write '%s' do not stand before the nest of '%s' in one block", m->from->name, s->arg[1]);
    m->producer = NEW_ARRAY(s->a, bool, m->block->u.block.n);
    if (!check_producers(m)) return false;
    int loads = count_accesses(s, s->f->body, m->from, false);
    for (int i = 0; i < m->consumer; i++)
        if (m->producer[i]) loads -= count_accesses(s, m->block->u.block.v[i], m->from, false);
    sched_accesses(s, m->at.loop->u.loop.body, &inside);
    for (int i = 0; i < inside.n; i++)
        if (inside.v[i].buf == m->from) vec_push(s->a, &use, inside.v[i]);
    if (!use.n) return sched_fail(s, "the loop '%s' does not read '%s'", s->arg[1], m->from->name);
    if (use.n != loads) return sched_fail(s, "buffer '%s' is read outside the loop '%s' too", m->from->name, s->arg[1]);
    sched_ranges(s->a, &m->outer, &m->at.outer);
    sched_enter(s->a, &m->outer, m->at.loop);
    return sched_box(s, m->from, &use, &m->outer, m->at.loop->u.loop.body, &m->box);
}
bool step_compute_at(Sched *s) {
    Arena *a = s->a;
    Move mv = {.s = s}, *m = &mv;
    int param;
    if (!read_move(m)) return false;
    m->to = buf_new(s->f, m->from->name, m->from->dt, m->from->rank, m->box.ext, m->from->space);
    m->to->level = m->from->level;
    StmtVec moved = {0};
    is_scratch_param(s->f, m->from, &param);
    if (param >= 0) s->f->param.v[param] = m->to;
    else vec_push(a, &moved, s_alloc(a, m->to));
    StmtVec stay = {0};
    for (int i = 0; i < m->block->u.block.n; i++)
        if (m->producer[i]) vec_push(a, &moved, m->block->u.block.v[i]);
        else vec_push(a, &stay, m->block->u.block.v[i]);
    for (int i = 0; i < m->narrow.n; i++) narrow_loop(m, &m->narrow.v[i]);
    sched_replace(a, m->block, 0, m->block->u.block.n, stay.v, stay.n);
    sched_replace(a, m->at.loop->u.loop.body, 0, 0, moved.v, moved.n);
    drop_buffer(a, s->f->body, m->from);
    sched_reindex(s, m->at.loop->u.loop.body, m->from, m->to, move_index, m);
    return true;
}
