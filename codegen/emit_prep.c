/* SPDX-License-Identifier: Apache-2.0 */
/* emit_prep.c: what is decided about a nest before it is printed. A private copy is made in which unrolled loops are written
 * out and loops of one iteration vanish; then vector loops that C cannot express become ordinary ones, register buffers get
 * their variables, and every variable its range.
 *
 *   unroll i in 0..2: acc[i] += x[i]     --->     acc[0] += x[0]; acc[1] += x[1];     acc: two scalars, acc0 and acc1
 */
#include "internal.h"
#include <string.h>

enum { MAX_UNROLL = 1024, MAX_REGISTERS = 1024 };

/* ---- the expanded copy */
static void expand_into(Arena *a, Stmt *out, Stmt *s);

static Stmt *expand_block(Arena *a, Stmt *s) {
    Stmt *b = s_block(a);
    if (s->k == S_BLOCK)
        for (int i = 0; i < s->u.block.n; i++) expand_into(a, b, s->u.block.v[i]);
    else expand_into(a, b, s);
    return b;
}
static bool has_declaration(const Stmt *block) {
    for (int i = 0; i < block->u.block.n; i++)
        if (block->u.block.v[i]->k == S_LET || block->u.block.v[i]->k == S_ALLOC) return true;
    return false;
}
static void splice(Arena *a, Stmt *out, Stmt *block) {
    for (int i = 0; i < block->u.block.n; i++) s_append(a, out, block->u.block.v[i]);
}
/* One iteration with the variable a number. Declarations keep a scope of their own when there are several copies. */
static void expand_iteration(Arena *a, Stmt *out, const Stmt *loop, int64_t at, bool alone) {
    Stmt *body = s_copy(a, loop->u.loop.body);
    stmt_subst(a, body, loop->u.loop.v, e_int(a, at));
    Stmt *b = expand_block(a, body);
    if (!alone && has_declaration(b)) s_append(a, out, b);
    else splice(a, out, b);
}
static void expand_loop(Arena *a, Stmt *out, Stmt *s) {
    int64_t lo, hi;
    if (e_is_int(s->u.loop.lo, &lo) && e_is_int(s->u.loop.hi, &hi)) {
        if (hi <= lo) return;
        if (hi - lo == 1) {
            expand_iteration(a, out, s, lo, true);
            return;
        }
        if (s->u.loop.mode == LOOP_UNROLL && hi - lo <= MAX_UNROLL) {
            for (int64_t i = lo; i < hi; i++) expand_iteration(a, out, s, i, false);
            return;
        }
    }
    Stmt *l = NEW(a, Stmt);
    *l = *s;
    l->u.loop.body = expand_block(a, s->u.loop.body);
    if (l->u.loop.body->u.block.n) s_append(a, out, l);
}
static void expand_if(Arena *a, Stmt *out, Stmt *s) {
    int64_t c;
    if (e_is_int(s->u.cond.cond, &c)) {
        Stmt *arm = c ? s->u.cond.then : s->u.cond.other;
        if (arm) {
            Stmt *b = expand_block(a, arm);
            if (has_declaration(b)) s_append(a, out, b);
            else splice(a, out, b);
        }
        return;
    }
    Stmt *n = NEW(a, Stmt);
    *n = *s;
    n->u.cond.then = expand_block(a, s->u.cond.then);
    n->u.cond.other = s->u.cond.other ? expand_block(a, s->u.cond.other) : NULL;
    if (n->u.cond.other && n->u.cond.other->u.block.n == 0) n->u.cond.other = NULL;
    if (n->u.cond.then->u.block.n == 0 && !n->u.cond.other) return;
    s_append(a, out, n);
}
static void expand_into(Arena *a, Stmt *out, Stmt *s) {
    switch (s->k) {
    case S_FOR: expand_loop(a, out, s); break;
    case S_IF: expand_if(a, out, s); break;
    case S_BLOCK: {
        Stmt *b = expand_block(a, s);
        if (has_declaration(b)) s_append(a, out, b);
        else splice(a, out, b);
        break;
    }
    default: s_append(a, out, s); break;
    }
}
/* Hints that are not printed, lest what they alone use is. */
static void drop_hints(Stmt *s) {
    switch (s->k) {
    case S_BLOCK: {
        int n = 0;
        for (int i = 0; i < s->u.block.n; i++) {
            Stmt *t = s->u.block.v[i];
            if (t->k == S_CALL && strcmp(t->u.call.name, "qn_prefetch") == 0) continue;
            drop_hints(t);
            s->u.block.v[n++] = t;
        }
        s->u.block.n = n;
        break;
    }
    case S_FOR: drop_hints(s->u.loop.body); break;
    case S_IF:
        drop_hints(s->u.cond.then);
        if (s->u.cond.other) drop_hints(s->u.cond.other);
        break;
    default: break;
    }
}
Func *emit_expand(Arena *a, const Func *f, bool hints) {
    Func *g = NEW(a, Func);
    *g = *f;
    g->a = a;
    Stmt *body = s_copy(a, f->body);
    if (!hints) drop_hints(body);
    g->body = expand_block(a, body);
    emit_trim(g);
    return g;
}

/* ---- ranges of variables */
static Bound loop_bound(const Emit *E, const Stmt *s) {
    Bound lo = e_bound(E, s->u.loop.lo), hi = e_bound(E, s->u.loop.hi);
    if (!lo.ok || !hi.ok || hi.hi == INT64_MIN) return (Bound){0};
    return (Bound){true, lo.lo, max_i64(lo.lo, hi.hi - 1)};
}
/* Unrolled copies share their variables: a range covers all of them. */
static void cover(Bound *b, Bound x, bool first) {
    if (first) *b = x;
    else *b = b->ok && x.ok ? (Bound){true, min_i64(b->lo, x.lo), max_i64(b->hi, x.hi)} : (Bound){0};
}
static void note_loop(Emit *E, const Stmt *s) {
    VarInfo *v = &E->var[s->u.loop.v->id];
    E->memo->bound_gen++;
    cover(&v->b, loop_bound(E, s), v->wide == 0);
    v->wide = v->b.ok && v->b.lo >= INT32_MIN && v->b.hi < INT32_MAX ? 32 : 64;
}
static void note_let(Emit *E, const Stmt *s) {
    VarInfo *v = &E->var[s->u.let.v->id];
    DType t = s->u.let.v->t;
    E->memo->bound_gen++;
    cover(&v->b, e_bound(E, s->u.let.val), v->wide == 0);
    bool narrow = dtype_info[t].bits <= 32;
    v->wide = narrow || (t == DT_INT64 && v->b.ok && v->b.lo >= INT32_MIN && v->b.hi <= INT32_MAX) ? 32 : 64;
}

/* ---- visiting each expression node of a statement once, shared or not */
typedef struct Seen {
    const Expr **v;
    int n, cap;
} Seen;
static bool seen_before(Arena *a, Seen *s, const Expr *e) {
    if (2 * (s->n + 1) > s->cap) {
        Seen old = *s;
        s->cap = old.cap ? 2 * old.cap : 64;
        s->v = NEW_ARRAY(a, const Expr *, s->cap);
        s->n = 0;
        for (int i = 0; i < old.cap; i++)
            if (old.v[i]) seen_before(a, s, old.v[i]);
    }
    size_t at = ((uintptr_t)e >> 4) * 0x9E3779B1u & (size_t)(s->cap - 1);
    while (s->v[at] && s->v[at] != e) at = (at + 1) & (size_t)(s->cap - 1);
    if (s->v[at]) return true;
    s->v[at] = e;
    s->n++;
    return false;
}
typedef void (*Visit)(Emit *E, const Expr *e);
static void visit(Emit *E, Seen *s, const Expr *e, Visit fn) {
    if (e->k == E_INT || e->k == E_FLT) return;
    if (seen_before(E->a, s, e)) return;
    Shuffle shuffle;
    if (vec_shuffle(E, e, &shuffle)) { /* whole vectors are used */
        for (int i = 0; i < shuffle.n; i++) visit(E, s, shuffle.load[i], fn);
        return;
    }
    fn(E, e);
    switch (e->k) {
    case E_LOAD:
        for (int i = 0; i < e->narg; i++) visit(E, s, e->u.ld.idx[i], fn);
        break;
    case E_UN:
    case E_CAST: visit(E, s, e->u.a[0], fn); break;
    case E_BIN:
        visit(E, s, e->u.a[0], fn);
        visit(E, s, e->u.a[1], fn);
        break;
    case E_SELECT:
        for (int i = 0; i < 3; i++) visit(E, s, e->u.a[i], fn);
        break;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) visit(E, s, e->u.arg[i], fn);
        break;
    default: break;
    }
}
static void visit_stmt(Emit *E, const Stmt *s, Visit fn) {
    Seen seen = {0};
    switch (s->k) {
    case S_FOR:
        visit(E, &seen, s->u.loop.lo, fn);
        visit(E, &seen, s->u.loop.hi, fn);
        break;
    case S_STORE:
        for (int i = 0; i < s->u.st.buf->rank; i++) visit(E, &seen, s->u.st.idx[i], fn);
        visit(E, &seen, s->u.st.val, fn);
        break;
    case S_LET: visit(E, &seen, s->u.let.val, fn); break;
    case S_IF: visit(E, &seen, s->u.cond.cond, fn); break;
    case S_CALL:
        for (int i = 0; i < s->u.call.narg; i++) visit(E, &seen, s->u.call.arg[i], fn);
        break;
    default: break;
    }
}

/* ---- register buffers */
static bool may_be_register(const Buf *b) { return b->space == MEM_REG || (b->space == MEM_STACK && b->rank == 0); }
/* The last index of an access inside a vector loop: its constant part, when it is that plus the lane. */
static bool lane_index(Emit *E, const Expr *e, int64_t *base) {
    int64_t k;
    if (!E->vec || !expr_uses(e, E->vec) || !lane_coefficient(e, E->vec, &k) || k != 1) return false;
    return e_is_int(e_subst(E->a, (Expr *)e, E->vec, e_int(E->a, E->vec_lo)), base);
}
static void note_access(Emit *E, const Buf *b, Expr *const *idx) {
    BufInfo *i = &E->buf[b->id];
    int64_t c;
    if (!may_be_register(b)) return;
    if (b->rank == 0) {
        if (i->lane_private) i->lanes = E->lanes;
        return;
    }
    for (int d = 0; d + 1 < b->rank; d++)
        if (!e_is_int(idx[d], &c)) i->lanes = -1;
    const Expr *last = idx[b->rank - 1];
    if (e_is_int(last, &c)) return;
    if (lane_index(E, last, &c)) {
        bool fits = c >= 0 && c % E->lanes == 0 && b->dim[b->rank - 1] % E->lanes == 0 && b->stride[b->rank - 1] == 1;
        if (i->lanes == 0 && fits) i->lanes = E->lanes;
        else if (i->lanes != E->lanes || !fits) i->lanes = -1;
        return;
    }
    i->subscript = true;
}
static void count_node(Emit *E, const Expr *e) {
    if (e->k == E_VAR) E->var[e->u.v->id].uses++;
    if (e->k == E_LOAD) {
        E->buf[e->u.ld.buf->id].loads++;
        note_access(E, e->u.ld.buf, e->u.ld.idx);
    }
}
static void mark_element(Emit *E, const Buf *b, Expr *const *idx, int bits) {
    BufInfo *i = &E->buf[b->id];
    if (i->kind == REG_MEMORY) return;
    int64_t k = reg_element(E, b, idx);
    if (k < 0 || k >= i->count) BUG("an index of register buffer '%s' is outside", b->name);
    i->used[k] |= (uint8_t)bits;
}
static void mark_node(Emit *E, const Expr *e) {
    if (e->k == E_LOAD) mark_element(E, e->u.ld.buf, e->u.ld.idx, 9);
}
static void decide_buffer(Emit *E, const Buf *b) {
    BufInfo *i = &E->buf[b->id];
    int64_t n = 1;
    i->kind = REG_MEMORY;
    if (!may_be_register(b) || i->calls || i->lanes < 0) return;
    for (int d = 0; d < b->rank; d++)
        if (b->dim[d] <= 0 || !mul_ok(n, b->dim[d], &n) || n > 64 * MAX_REGISTERS) return;
    if (i->lanes > 0) {
        if (i->subscript && b->dim[b->rank - 1] != i->lanes) return;
        i->kind = REG_VECTORS;
        i->count = b->rank ? n / i->lanes : 1;
    } else if (!i->subscript) {
        i->kind = REG_SCALARS;
        i->count = n;
    }
    if (i->count > MAX_REGISTERS) i->kind = REG_MEMORY;
    if (dtype_packed(b->dt)) i->kind = b->rank ? REG_MEMORY : i->kind;
    if (i->kind != REG_MEMORY) i->used = NEW_ARRAY(E->a, uint8_t, i->count);
}

/* ---- the passes over the statements; vector loops set the lane variable around their bodies */
typedef void (*Walker)(Emit *E, Stmt *s);
static void walk(Emit *E, Stmt *s, Walker fn) {
    if (s->k != S_BLOCK) fn(E, s);
    switch (s->k) {
    case S_FOR: {
        bool vec = s->u.loop.mode == LOOP_VEC && E->style.vectors && !E->vec;
        if (vec) {
            int64_t hi = 0;
            e_is_int(s->u.loop.lo, &E->vec_lo), e_is_int(s->u.loop.hi, &hi);
            E->vec = s->u.loop.v, E->lanes = (int)(hi - E->vec_lo);
        }
        walk(E, s->u.loop.body, fn);
        if (vec) E->vec = NULL, E->lanes = 0;
        break;
    }
    case S_IF:
        walk(E, s->u.cond.then, fn);
        if (s->u.cond.other) walk(E, s->u.cond.other, fn);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) walk(E, s->u.block.v[i], fn);
        break;
    default: break;
    }
}
/* Ranges come first; a vector loop that cannot be one is made an ordinary loop before its body is looked at. */
static void pass_ranges(Emit *E, Stmt *s) {
    if (s->k == S_FOR) {
        note_loop(E, s);
        if (s->u.loop.mode == LOOP_VEC && (E->vec || !E->style.vectors)) s->u.loop.mode = LOOP_SEQ;
        if (s->u.loop.mode == LOOP_VEC && !vec_loop_ok(E, s)) s->u.loop.mode = LOOP_SEQ;
    }
    if (s->k == S_LET) {
        note_let(E, s);
        E->var[s->u.let.v->id].lanes = E->vec && vec_shape(E, s->u.let.val) ? E->lanes : 0;
    }
}
static void pass_accesses(Emit *E, Stmt *s) {
    visit_stmt(E, s, count_node);
    if (s->k == S_STORE) {
        E->buf[s->u.st.buf->id].stores++;
        note_access(E, s->u.st.buf, s->u.st.idx);
    }
    if (s->k == S_CALL)
        for (int i = 0; i < s->u.call.nbuf; i++) {
            const Buf *b = s->u.call.buf[i];
            E->buf[b->id].calls++;
            if (s->u.call.writes >> i & 1) E->buf[b->id].stores++;
        }
}
static void pass_decide(Emit *E, Stmt *s) {
    if (s->k == S_ALLOC) decide_buffer(E, s->u.alloc);
}
static void pass_elements(Emit *E, Stmt *s) {
    if (s->k == S_LET && !E->var[s->u.let.v->id].uses) return;
    visit_stmt(E, s, mark_node);
    if (s->k == S_STORE) mark_element(E, s->u.st.buf, s->u.st.idx, s->u.st.red ? 9 : 1);
}
/* A let that nothing reads is not printed, so neither is what only it reads. Uses follow definitions: one walk backwards. */
static void uncount_node(Emit *E, const Expr *e) {
    if (e->k == E_VAR) E->var[e->u.v->id].uses--;
    if (e->k == E_LOAD) E->buf[e->u.ld.buf->id].loads--;
}
static void drop_dead(Emit *E, const Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = s->u.block.n - 1; i >= 0; i--) drop_dead(E, s->u.block.v[i]);
        break;
    case S_FOR: drop_dead(E, s->u.loop.body); break;
    case S_IF:
        drop_dead(E, s->u.cond.then);
        if (s->u.cond.other) drop_dead(E, s->u.cond.other);
        break;
    case S_LET:
        if (!E->var[s->u.let.v->id].uses) visit_stmt(E, s, uncount_node);
        break;
    default: break;
    }
}
void emit_analyse(Emit *E) {
    walk(E, E->f->body, pass_ranges);
    E->memo->bound_gen++;
    walk(E, E->f->body, pass_accesses);
    drop_dead(E, E->f->body);
    walk(E, E->f->body, pass_decide);
    walk(E, E->f->body, pass_elements);
}
