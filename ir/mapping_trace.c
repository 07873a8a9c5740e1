/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_trace.c: the nest of a mapping as the machine would run it, with a call for every word that moves. Time is the temporal
 * loops of all levels; a tile is filled at the start of the innermost of them that moves it, and only with words that were not in
 * it before; sums leave at the end of that loop's body, those of instances that hold the same outputs together. What instances get
 * alike in one step is read once, for the last of them.
 *
 *   DRAM[E4] RF[E2 S3]   --->   for e0: fill RF's window of I, but for the two words that stay; zero RF's two sums;
 *                               for e1, s: O += I * W;   send the two sums up
 *
 * Where a ragged loop ends early an instance may skip steps; its tiles stay meanwhile. What is in a tile is therefore remembered per
 * instance (state: start and, with ragged loops, length along each axis), not derived from the loops.  */
#include "mapping_trace.h"
#include <string.h>

/* ---- filling */
/* The place in T->time of the innermost loop that moves a level's tile; -1: none. */
static int mover(const Trace *T, int level, int tensor) {
    int at = -1;
    for (int k = 0; k < T->ntime; k++)
        if (T->w.loop[T->time[k]].level < level && walk_uses(&T->w, tensor, T->w.loop[T->time[k]].dim)) at = k;
    return at;
}
/* Can a tile keep a part of its words when it moves? */
static bool slides(const Trace *T, int level, int tensor) {
    for (int a = 0; a < rank(T, tensor); a++) {
        const ProblemAxis *x = &T->p->tensor[tensor].axis[a];
        if (T->w.ragged && x->n > 1) return true;
        for (int k = 0; k < T->ntime; k++)
            for (int i = 0; i < x->n; i++) {
                const WalkLoop *l = &T->w.loop[T->time[k]];
                if (l->level < level && l->dim == x->dim[i] && x->coef[i] * l->step % T->w.len[level][tensor][a]) return true;
            }
    }
    return false;
}
/* This is the first of the instances of [from, to) that each send a sum for the same output. NULL: there is only one. */
static Expr *sends_first(Trace *T, int from, int to) {
    Expr *all = NULL;
    for (int i = 0; i < T->w.n; i++)
        if (spatial(T, i, from, to, OWN, T->output) && !walk_uses(&T->w, T->output, T->w.loop[i].dim))
            all = both(T, all, eq(T, T->value[i], num(T, 0)));
    return all;
}
/* No loop outside of this place that is summed over has stepped. NULL: there is none. */
static Expr *sums_are_new(Trace *T, int place) {
    Expr *all = NULL;
    for (int k = 0; k < place; k++)
        if (!walk_uses(&T->w, T->output, T->w.loop[T->time[k]].dim)) all = both(T, all, eq(T, T->value[T->time[k]], num(T, 0)));
    return all;
}
static void put_fill(Trace *T, Stmt *block, int level, int tensor) {
    int outer = T->outer[level][tensor], place = mover(T, level, tensor), n = rank(T, tensor);
    if (T->key[level][tensor]) trace_put_keys(T, block, level, tensor);
    Stmt *in = trace_open_spatial(T, block, 0, level, ALL, 0);
    in = trace_put_if(T, in, walk_present(&T->w, level, ~0u, T->value));
    Expr *instance = walk_instance(&T->w, level, T->value), *moved = NULL, *outside = NULL, *reads = NULL, *index[MAX_RANK];
    Tile t = trace_open_tile(T, in, level, tensor, T->state[level][tensor] ? instance : NULL);
    for (int a = 0; a < n; a++) {
        if (!t.was[a]) continue;
        moved = either(T, moved, e_bin(T->a, BIN_NE, t.start[a], t.was[a]));
        if (T->w.ragged) moved = either(T, moved, e_bin(T->a, BIN_NE, t.len[a], t.was_len[a]));
    }
    in = trace_put_if(T, in, moved);
    if (tensor != T->output) reads = trace_reader(T, in, outer, level, tensor);
    if (reads) { /* once, not for each word */
        Var *v = var_new(T->f, "reads", DT_BOOL);
        s_append(T->a, in, s_let(T->a, v, reads));
        reads = e_var(T->a, v);
    }
    Stmt *word = trace_open_words(T, in, level, tensor, &t, index);
    bool slide = tensor != T->output && slides(T, level, tensor);
    for (int a = 0; a < n && slide; a++) {
        if (!t.was[a]) continue;
        outside = either(T, outside, e_lt(T->a, index[a], t.was[a]));
        outside = either(T, outside, e_le(T->a, e_add(T->a, t.was[a], t.was_len[a]), index[a]));
    }
    word = trace_put_if(T, word, outside);
    Place to = trace_place(T, level, tensor, index);
    if (tensor != T->output) {
        Place from = trace_place(T, outer, tensor, index);
        trace_put_access(T, trace_put_if(T, word, reads), outer, tensor, ACCESS_READ, from.instance, from.offset);
        trace_store(T, word, &to, trace_load(T, &from), RED_NONE);
    } else trace_store(T, word, &to, e_lit(T->a, DT_FLOAT32, 0), RED_NONE);
    trace_put_access(T, word, level, tensor, ACCESS_FILL, to.instance, to.offset);
    for (int a = 0; a < n; a++) {
        if (!t.was[a]) continue;
        trace_set_state(T, in, level, tensor, instance, a, t.start[a]);
        if (T->w.ragged) trace_set_state(T, in, level, tensor, instance, length_column(T, tensor, a), t.len[a]);
    }
    if (T->state[level][tensor] && tensor == T->output) {
        Expr *fresh = sums_are_new(T, place);
        fresh = fresh ? e_select(T->a, fresh, num(T, 1), num(T, 0)) : num(T, 1);
        trace_set_state(T, in, level, tensor, instance, new_column(T, tensor), fresh);
    }
    trace_close_spatial(T);
}

/* ---- sending sums up */
/* At the end of the body of the loop at `place`: does the tile stay, because the next step in which this instance has work is
 * one of the same outputs? Only with ragged loops: then loops that move the tile may have a single iteration for it. NULL: no. */
static Expr *tile_stays(Trace *T, int level, int place) {
    Expr *stays = NULL, *still = NULL; /* still: no loop up to here goes on */
    for (int k = place; T->w.ragged && k >= 0; k--) {
        int i = T->time[k], d = T->w.loop[i].dim;
        Expr *next[WALK_LOOPS], *v = T->value[i];
        bool moves = walk_uses(&T->w, T->output, d);
        memcpy(next, T->value, sizeof next);
        for (int j = k + 1; j < T->ntime; j++) next[T->time[j]] = NULL;
        next[i] = e_add(T->a, v, num(T, 1));
        Expr *present = walk_present(&T->w, level, 1u << d, next);
        Expr *goes_on = both(T, e_lt(T->a, next[i], num(T, T->w.loop[i].factor)), present);
        if (!moves) stays = either(T, stays, both(T, still, goes_on));
        if (moves && !present) break;
        still = both(T, still, e_un(T->a, UN_NOT, goes_on));
        if (moves) still = both(T, still, eq(T, v, num(T, 0)));
    }
    return stays;
}
static void put_drain(Trace *T, Stmt *block, int level) {
    int t = T->output, outer = T->outer[level][t], place = mover(T, level, t);
    Stmt *in = trace_open_spatial(T, block, 0, outer, ALL, 0);
    in = trace_open_spatial(T, in, outer, level, OWN, t);
    Expr *leaves = walk_present(&T->w, level, ~0u, T->value), *stays = tile_stays(T, level, place), *index[MAX_RANK];
    if (stays) leaves = both(T, leaves, e_un(T->a, UN_NOT, stays));
    in = trace_put_if(T, in, leaves);
    Expr *fresh = sums_are_new(T, place);
    if (place >= 0 && T->w.ragged)
        fresh = eq(T, trace_state(T, level, t, walk_instance(&T->w, level, T->value), new_column(T, t)), num(T, 1));
    fresh = both(T, fresh, sends_first(T, outer, level));
    Tile tile = trace_open_tile(T, in, level, t, NULL);
    Stmt *word = trace_open_words(T, in, level, t, &tile, index);
    Place to = trace_place(T, outer, t, index), from = trace_place(T, level, t, index);
    Expr *v = trace_load(T, &from);
    bool several = false;
    for (int i = 0; i < T->w.n; i++) several |= spatial(T, i, outer, level, SHARED, t);
    if (several) { /* added up on the way; what was sent is no longer there */
        Buf *sum = buf_new(T->f, "sum", DT_FLOAT32, 0, NULL, MEM_REG);
        s_append(T->a, word, s_alloc(T->a, sum));
        s_append(T->a, word, s_store(T->a, sum, NULL, e_lit(T->a, DT_FLOAT32, 0), RED_NONE));
        Stmt *each = trace_open_spatial(T, word, outer, level, SHARED, t);
        from = trace_place(T, level, t, index);
        s_append(T->a, each, s_store(T->a, sum, NULL, trace_load(T, &from), RED_ADD));
        trace_store(T, each, &from, e_lit(T->a, DT_FLOAT32, 0), RED_NONE);
        sum->written = true;
        v = e_load(T->a, sum, NULL);
    }
    trace_close_spatial(T);
    trace_put_update(T, word, outer, t, &to, v, fresh);
}

/* ---- multiply-adds */
static void put_macs(Trace *T, Stmt *block) {
    int o = T->output, keeper = T->outer[T->nlevel][o], n = rank(T, o);
    Stmt *group = trace_open_spatial(T, block, 0, keeper, ALL, 0);
    group = trace_open_spatial(T, group, keeper, T->nlevel, OWN, o);
    Expr *index[MAX_RANK], *product = NULL, *there = walk_present(&T->w, T->nlevel, ~0u, T->value);
    bool several = false;
    for (int i = 0; i < T->w.n; i++) several |= spatial(T, i, keeper, T->nlevel, SHARED, o);
    for (int a = 0; a < n; a++) index[a] = walk_start(&T->w, T->nlevel, o, a, T->value);
    Place to = trace_place(T, keeper, o, index);
    Buf *sum = several ? buf_new(T->f, "sum", DT_FLOAT32, 0, NULL, MEM_REG) : NULL;
    if (several) {
        s_append(T->a, group, s_alloc(T->a, sum));
        s_append(T->a, group, s_store(T->a, sum, NULL, e_lit(T->a, DT_FLOAT32, 0), RED_NONE));
        sum->written = true;
    }
    Stmt *each = trace_open_spatial(T, group, keeper, T->nlevel, SHARED, o);
    each = trace_put_if(T, each, walk_present(&T->w, T->nlevel, ~0u, T->value));
    for (int t = 0; t < T->p->ntensor; t++) {
        Expr *at[MAX_RANK];
        int from = T->outer[T->nlevel][t];
        if (t == o) continue;
        for (int a = 0; a < rank(T, t); a++) at[a] = walk_start(&T->w, T->nlevel, t, a, T->value);
        Place p = trace_place(T, from, t, at);
        trace_put_access(T, trace_put_if(T, each, trace_reader(T, each, from, T->nlevel, t)), from, t, ACCESS_READ, p.instance, p.offset);
        product = product ? e_mul(T->a, product, trace_load(T, &p)) : trace_load(T, &p);
    }
    if (several) {
        s_append(T->a, each, s_store(T->a, sum, NULL, product, RED_ADD));
        each = trace_put_if(T, group, there), product = e_load(T->a, sum, NULL);
    }
    trace_put_update(T, each, keeper, o, &to, product, both(T, sums_are_new(T, T->ntime), sends_first(T, keeper, T->nlevel)));
    trace_close_spatial(T);
}

/* ---- all of it */
static void put_time(Trace *T, Stmt *block, int place) { /* what happens in the body of the loop at `place` of T->time */
    for (int l = 1; l < T->nlevel; l++)
        for (int t = 0; t < T->p->ntensor; t++)
            if (kept(T, l, t) && mover(T, l, t) == place) put_fill(T, block, l, t);
    if (place + 1 < T->ntime) {
        int i = T->time[place + 1];
        put_time(T, trace_open_loop(T, block, i), place + 1);
        T->value[i] = NULL;
    } else put_macs(T, block);
    for (int l = T->nlevel - 1; l > 0; l--)
        if (kept(T, l, T->output) && mover(T, l, T->output) == place) put_drain(T, block, l);
}
static Buf *scratch(Trace *T, const char *name, DType dt, int64_t rows, int64_t columns) {
    Buf *b = buf_new(T->f, name, dt, 2, (int64_t[]){rows, columns}, MEM_SCRATCH);
    vec_push(T->a, &T->f->param, b);
    return b;
}
static void clear(Trace *T, Stmt *block, Buf *b, int64_t column, int64_t columns, Expr *v) {
    Expr *at[2];
    Stmt *in = trace_put_for(T, block, "i", num(T, 0), num(T, b->dim[0]), &at[0]);
    if (columns > 1) in = trace_put_for(T, in, "j", num(T, column), num(T, column + columns), &at[1]);
    else at[1] = num(T, column);
    s_append(T->a, in, s_store(T->a, b, at, v, RED_NONE));
    b->written = true;
}
static bool make_levels(Trace *T, Ctx *c, Loc loc) {
    int64_t all = 0, bytes;
    for (int l = 1; l < T->nlevel; l++) {
        const TargetLevel *v = &T->w.m->target->level[l];
        int64_t words = 0, instances = walk_instances(&T->w, l);
        for (int t = 0; t < T->p->ntensor; t++) {
            if (!kept(T, l, t)) continue;
            T->base[l][t] = words, words += problem_box(T->p, t, T->w.tile[l]);
            const char *what = arena_printf(T->a, "%s_%s", walk_lower(T->a, v->name), walk_lower(T->a, T->p->tensor[t].name)),
                       *name = arena_printf(T->a, "at_%s", what);
            if (trace_needs_key(T, l, t))
                T->key[l][t] = scratch(T, arena_printf(T->a, "key_%s", what), DT_INT64, instances, rank(T, t) * KEY_AXIS + 1);
            if (!trace_needs_state(T, l, t)) continue;
            T->state[l][t] = scratch(T, name, DT_INT64, instances, new_column(T, t) + 1);
        }
        if (!words) continue;
        if (v->words && words > v->words)
            return diag_error(
                c->d, loc,
                "the tiles of level %s are %lld words of less than its %d bits; instrumented code has one word of the level for "
                "each, and it has %lld; leave the widths (`bits`) out",
                v->name, (long long)words, v->word_bits, (long long)v->words);
        if (v->words) words = v->words;
        if (!mul_ok(words, instances, &words) || !add_ok(all, words, &all) || !mul_ok(all, 4, &bytes) || bytes > (int64_t)1 << 33)
            return diag_error(c->d, loc, "the levels up to %s need more than 2^33 bytes as arrays; give it less capacity", v->name);
        T->data[l] = scratch(T, arena_printf(T->a, "words_%s", walk_lower(T->a, v->name)), DT_FLOAT32, instances, words / instances);
    }
    return true;
}
/* Zeros change how many words move; code that counts them does not know which words are zero. */
static bool dense(const Trace *T, Ctx *c, Loc loc) {
    const Target *t = T->w.m->target;
    for (int i = 0; i < T->p->ntensor; i++) {
        const ProblemTensor *x = &T->p->tensor[i];
        if (x->density > 0 && x->density < 1 && (t->gate | t->skip) & x->role)
            return diag_error(
                c->d, loc,
                "%s has a density of %g and machine %s %s its zeros; instrumented code moves every word; leave the density out "
                "or add --sparsity none",
                x->name, x->density, t->name, t->skip & x->role ? "skips" : "gates");
    }
    return true;
}
static void put_start(Trace *T, Stmt *block) {
    for (int l = 1; l < T->nlevel; l++)
        for (int t = 0; t < T->p->ntensor; t++) {
            if (!kept(T, l, t)) continue;
            if (t == T->output && T->w.ragged && T->data[l]) /* instances without work never fill their sums */
                clear(T, block, T->data[l], T->base[l][t], problem_box(T->p, t, T->w.tile[l]), e_lit(T->a, DT_FLOAT32, 0));
            for (int a = 0; T->state[l][t] && a < rank(T, t); a++) {
                if (!trace_axis_moves(T, l, t, a)) continue;
                clear(T, block, T->state[l][t], a, 1, num(T, -T->w.len[l][t][a]));
                if (T->w.ragged) clear(T, block, T->state[l][t], length_column(T, t, a), 1, num(T, 0));
            }
        }
}
Func *mapping_trace(Ctx *c, Loc loc, const Mapping *m, const char *name) {
    Arena *a = c->a;
    Trace *T = NEW(a, Trace);
    T->a = a, T->p = m->problem, T->nlevel = m->target->nlevel, T->f = func_new(a, name);
    if (!walk_init(&T->w, a, m)) return diag_error(c->d, loc, "the factors do not fit the extents"), NULL;
    for (int t = 0; t < T->p->ntensor; t++) {
        const ProblemTensor *x = &T->p->tensor[t];
        if (x->role == ROLE_O) T->output = t;
        T->param[t] = func_param(T->f, walk_lower(T->a, x->name), DT_FLOAT32, x->rank, T->w.len[0][t]);
        for (int l = 0, last = 0; l <= T->nlevel; l++) {
            T->outer[l][t] = last;
            if (l < T->nlevel && kept(T, l, t)) last = l;
        }
    }
    for (int i = 0; i < T->w.n; i++)
        if (!T->w.loop[i].spatial) T->time[T->ntime++] = i;
    if (!dense(T, c, loc) || !make_levels(T, c, loc)) return NULL;
    Stmt *body = T->f->body;
    put_start(T, body);
    put_time(T, body, -1);
    func_simplify(T->f);
    Text line = {0};
    mapping_print_line(m, &line);
    T->f->comment = arena_printf(a, "%s on %s, instrumented: %s", T->p->name, m->target->name, line.s);
    text_free(&line);
    return T->f;
}
