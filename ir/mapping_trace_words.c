/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_trace_words.c: statements of the nest of mapping_trace, where a word of an operand is in an instance of a level, and the state of
 * tiles: where each stood, and how long it was, when it was filled last.
 *   I[5] in RF, whose tile has 4 words   ->   rf[instance, base + 5 % 4] */
#include "mapping_trace.h"
#include <string.h>

/* ---- statements */
Stmt *trace_put_if(Trace *T, Stmt *block, Expr *cond) { /* the block that it guards; cond NULL: always */
    if (!cond) return block;
    Stmt *s = s_if(T->a, cond);
    s_append(T->a, block, s);
    return s->u.cond.then;
}
Stmt *trace_put_else(Trace *T, Stmt *block) { return block->u.block.v[block->u.block.n - 1]->u.cond.other = s_block(T->a); }
Stmt *trace_put_for(Trace *T, Stmt *block, const char *name, Expr *lo, Expr *hi, Expr **value) {
    Var *v = var_new(T->f, name, DT_INT64);
    Stmt *s = s_for(T->a, v, lo, hi);
    s_append(T->a, block, s);
    *value = e_var(T->a, v);
    return s->u.loop.body;
}
Expr *trace_put_let(Trace *T, Stmt *block, const char *name, Expr *e) {
    Var *v = var_new(T->f, name, DT_INT64);
    s_append(T->a, block, s_let(T->a, v, e));
    return e_var(T->a, v);
}
void trace_put_access(Trace *T, Stmt *block, int level, int tensor, int kind, Expr *instance, Expr *offset) {
    Expr *arg[5] = {num(T, level), num(T, tensor), num(T, kind), instance, offset};
    Stmt *s = NEW(T->a, Stmt);
    s->k = S_CALL;
    s->u.call.name = LOOP_ACCESS;
    s->u.call.narg = 5, s->u.call.arg = NEW_ARRAY(T->a, Expr *, 5);
    memcpy(s->u.call.arg, arg, sizeof arg);
    s_append(T->a, block, s);
}
Stmt *trace_open_loop(Trace *T, Stmt *block, int i) {
    const WalkLoop *x = &T->w.loop[i];
    return trace_put_for(T, block, walk_name(&T->w, i), num(T, 0), num(T, x->factor), &T->value[i]);
}
Stmt *trace_open_spatial(Trace *T, Stmt *block, int from, int to, int which, int tensor) {
    for (int i = 0; i < T->w.n; i++)
        if (spatial(T, i, from, to, which, tensor)) block = trace_open_loop(T, block, i);
    return block;
}
void trace_close_spatial(Trace *T) {
    for (int i = 0; i < T->w.n; i++)
        if (T->w.loop[i].spatial) T->value[i] = NULL;
}

/* ---- words */
/* Where a word is in an instance of a level; at the outermost level: in the tensor. */
static Expr *offset_of(Trace *T, int level, int tensor, Expr *const *index) {
    Expr *sum = num(T, level ? T->base[level][tensor] : 0);
    int64_t stride = 1;
    for (int a = rank(T, tensor) - 1; a >= 0; a--) {
        int64_t len = T->w.len[level][tensor][a];
        Expr *at = len == T->w.len[0][tensor][a] ? index[a] : e_mod(T->a, index[a], num(T, len));
        sum = e_add(T->a, stride == 1 ? at : e_mul(T->a, num(T, stride), at), sum);
        stride *= len;
    }
    return sum;
}
Place trace_place(Trace *T, int level, int tensor, Expr *const *index) {
    Place p = {.instance = walk_instance(&T->w, level, T->value), .offset = offset_of(T, level, tensor, index)};
    p.buf = level ? T->data[level] : T->param[tensor];
    if (level) p.index[0] = p.instance, p.index[1] = p.offset;
    else memcpy(p.index, index, (size_t)rank(T, tensor) * sizeof *index);
    return p;
}
Expr *trace_load(Trace *T, const Place *p) { return e_load(T->a, p->buf, p->index); }
void trace_store(Trace *T, Stmt *block, const Place *p, Expr *v, RedOp red) {
    s_append(T->a, block, s_store(T->a, p->buf, p->index, v, red));
    p->buf->written = true;
}
/* Sums that go up. first: nothing was there yet; NULL: always so. */
void trace_put_update(Trace *T, Stmt *block, int level, int tensor, const Place *p, Expr *v, Expr *first) {
    if (first) {
        trace_store(T, trace_put_if(T, block, first), p, v, RED_NONE);
        Stmt *other = trace_put_else(T, block);
        trace_put_access(T, other, level, tensor, ACCESS_READ, p->instance, p->offset);
        trace_store(T, other, p, v, RED_ADD);
    } else trace_store(T, block, p, v, RED_NONE);
    trace_put_access(T, block, level, tensor, ACCESS_UPDATE, p->instance, p->offset);
}

/* ---- state: columns are the starts of each axis, the lengths if loops are ragged, for outputs whether the sums are new */
/* Does a loop of time move the level's tile along the axis? */
bool trace_axis_moves(const Trace *T, int level, int tensor, int axis) {
    const ProblemAxis *x = &T->p->tensor[tensor].axis[axis];
    for (int k = 0; k < T->ntime; k++)
        for (int i = 0; i < x->n; i++)
            if (T->w.loop[T->time[k]].level < level && T->w.loop[T->time[k]].dim == x->dim[i]) return true;
    return false;
}
/* Whole loops over an axis of one dim always bring words that are all new. */
bool trace_needs_state(const Trace *T, int level, int tensor) {
    bool any = false;
    for (int a = 0; a < rank(T, tensor); a++)
        any |= trace_axis_moves(T, level, tensor, a) && (T->w.ragged || T->p->tensor[tensor].axis[a].n > 1);
    return any;
}
Expr *trace_state(Trace *T, int level, int tensor, Expr *instance, int column) {
    return e_load(T->a, T->state[level][tensor], (Expr *[]){instance, num(T, column)});
}
void trace_set_state(Trace *T, Stmt *block, int level, int tensor, Expr *instance, int column, Expr *v) {
    Buf *b = T->state[level][tensor];
    s_append(T->a, block, s_store(T->a, b, (Expr *[]){instance, num(T, column)}, v, RED_NONE));
    b->written = true;
}

/* ---- tiles */
Tile trace_open_tile(Trace *T, Stmt *block, int level, int tensor, Expr *instance) {
    Tile t = {{NULL}, {NULL}, {NULL}, {NULL}};
    for (int a = 0; a < rank(T, tensor); a++) {
        t.start[a] = trace_put_let(T, block, "start", walk_start(&T->w, level, tensor, a, T->value));
        t.len[a] = walk_length(&T->w, level, tensor, a, T->value);
        if (T->w.ragged) t.len[a] = trace_put_let(T, block, "len", t.len[a]);
        if (!instance || !trace_axis_moves(T, level, tensor, a)) continue;
        t.was[a] = trace_put_let(T, block, "was", trace_state(T, level, tensor, instance, a));
        t.was_len[a] = T->w.ragged
                           ? trace_put_let(T, block, "was_len", trace_state(T, level, tensor, instance, length_column(T, tensor, a)))
                           : t.len[a];
    }
    return t;
}
Stmt *trace_open_words(Trace *T, Stmt *block, int level, int tensor, const Tile *t, Expr **index) {
    for (int a = 0; a < rank(T, tensor); a++)
        if (T->w.len[level][tensor][a] == 1) index[a] = t->start[a];
        else block = trace_put_for(T, block, arena_printf(T->a, "w%d", a), t->start[a], e_add(T->a, t->start[a], t->len[a]), &index[a]);
    return block;
}
