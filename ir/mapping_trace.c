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
#include "mapping_nest.h"
#include "ir.h"
#include <string.h>

enum { MAX_RANK = QN_MAX_AXES };
typedef struct Trace {
    Arena *a;
    Func *f;
    Walk w;
    const Problem *p;
    int nlevel, output;
    Buf *param[QN_MAX_TENSORS];
    Buf *data[QN_MAX_LEVELS];                     /* [instances, capacity] */
    Buf *state[QN_MAX_LEVELS][QN_MAX_TENSORS];    /* [instances, columns]; NULL: the tile never moves */
    Buf *key[QN_MAX_LEVELS][QN_MAX_TENSORS];      /* [instances, columns]: what arrives in this step; NULL: it follows from the loops */
    int64_t base[QN_MAX_LEVELS][QN_MAX_TENSORS];  /* where the operand's words start in an instance */
    int outer[QN_MAX_LEVELS + 1][QN_MAX_TENSORS]; /* the next outer keeper of the level; the last row: of the multiply-adds */
    int ntime, time[WALK_LOOPS];                  /* temporal loops, outermost first */
    Expr *value[WALK_LOOPS];                      /* of each loop that is open, else NULL */
} Trace;
typedef struct Tile { /* of one instance, where its loops stand */
    Expr *start[MAX_RANK], *len[MAX_RANK], *was[MAX_RANK], *was_len[MAX_RANK];
} Tile;

static bool kept(const Trace *T, int level, int tensor) { return T->w.m->level[level].keep >> tensor & 1; }
static int rank(const Trace *T, int tensor) { return T->p->tensor[tensor].rank; }
static Expr *num(const Trace *T, int64_t v) { return e_int(T->a, v); }
static Expr *both(const Trace *T, Expr *x, Expr *y) { return !x ? y : !y ? x : e_bin(T->a, BIN_LAND, x, y); }
static Expr *either(const Trace *T, Expr *x, Expr *y) { return !x ? y : !y ? x : e_bin(T->a, BIN_LOR, x, y); }
static Expr *eq(const Trace *T, Expr *x, Expr *y) { return e_bin(T->a, BIN_EQ, x, y); }

/* ---- statements */
static Stmt *put_if(Trace *T, Stmt *block, Expr *cond) { /* the block that it guards; cond NULL: always */
    if (!cond) return block;
    Stmt *s = s_if(T->a, cond);
    s_append(T->a, block, s);
    return s->u.cond.then;
}
static Stmt *put_else(Trace *T, Stmt *block) { return block->u.block.v[block->u.block.n - 1]->u.cond.other = s_block(T->a); }
static Stmt *put_for(Trace *T, Stmt *block, const char *name, Expr *lo, Expr *hi, Expr **value) {
    Var *v = var_new(T->f, name, DT_INT64);
    Stmt *s = s_for(T->a, v, lo, hi);
    s_append(T->a, block, s);
    *value = e_var(T->a, v);
    return s->u.loop.body;
}
static Expr *put_let(Trace *T, Stmt *block, const char *name, Expr *e) {
    Var *v = var_new(T->f, name, DT_INT64);
    s_append(T->a, block, s_let(T->a, v, e));
    return e_var(T->a, v);
}
static void put_access(Trace *T, Stmt *block, int level, int tensor, int kind, Expr *instance, Expr *offset) {
    Expr *arg[5] = {num(T, level), num(T, tensor), num(T, kind), instance, offset};
    Stmt *s = NEW(T->a, Stmt);
    s->k = S_CALL;
    s->u.call.name = LOOP_ACCESS;
    s->u.call.narg = 5, s->u.call.arg = NEW_ARRAY(T->a, Expr *, 5);
    memcpy(s->u.call.arg, arg, sizeof arg);
    s_append(T->a, block, s);
}
static Stmt *open_loop(Trace *T, Stmt *block, int i) {
    const WalkLoop *x = &T->w.loop[i];
    return put_for(T, block, walk_name(&T->w, i), num(T, 0), num(T, x->factor), &T->value[i]);
}
/* Opens the spatial loops of levels [from, to); which: all, those whose instances hold words of their own (of dims of the tensor, or
 * below a network that does not share), or those that share words. */
enum { ALL, OWN, SHARED };
static bool alone(const Trace *T, int level, int tensor) {
    return (T->w.m->target->level[level].no_multicast & T->p->tensor[tensor].role) != 0;
}
static bool spatial(const Trace *T, int i, int from, int to, int which, int tensor) {
    const WalkLoop *x = &T->w.loop[i];
    if (!x->spatial || x->level < from || x->level >= to) return false;
    return which == ALL || (walk_uses(&T->w, tensor, x->dim) || alone(T, x->level, tensor)) == (which == OWN);
}
static Stmt *open_spatial(Trace *T, Stmt *block, int from, int to, int which, int tensor) {
    for (int i = 0; i < T->w.n; i++)
        if (spatial(T, i, from, to, which, tensor)) block = open_loop(T, block, i);
    return block;
}
static void close_spatial(Trace *T) {
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
typedef struct Place {
    Buf *buf;
    Expr *index[MAX_RANK];
    Expr *instance, *offset; /* as told to the access function */
} Place;
static Place place_of(Trace *T, int level, int tensor, Expr *const *index) {
    Place p = {.instance = walk_instance(&T->w, level, T->value), .offset = offset_of(T, level, tensor, index)};
    p.buf = level ? T->data[level] : T->param[tensor];
    if (level) p.index[0] = p.instance, p.index[1] = p.offset;
    else memcpy(p.index, index, (size_t)rank(T, tensor) * sizeof *index);
    return p;
}
static Expr *load(Trace *T, const Place *p) { return e_load(T->a, p->buf, p->index); }
static void store(Trace *T, Stmt *block, const Place *p, Expr *v, RedOp red) {
    s_append(T->a, block, s_store(T->a, p->buf, p->index, v, red));
    p->buf->written = true;
}
/* Sums that go up. first: nothing was there yet; NULL: always so. */
static void put_update(Trace *T, Stmt *block, int level, int tensor, const Place *p, Expr *v, Expr *first) {
    if (first) {
        store(T, put_if(T, block, first), p, v, RED_NONE);
        Stmt *other = put_else(T, block);
        put_access(T, other, level, tensor, ACCESS_READ, p->instance, p->offset);
        store(T, other, p, v, RED_ADD);
    } else store(T, block, p, v, RED_NONE);
    put_access(T, block, level, tensor, ACCESS_UPDATE, p->instance, p->offset);
}

/* ---- state: columns are the starts of each axis, the lengths if loops are ragged, for outputs whether the sums are new */
/* Does a loop of time move the level's tile along the axis? */
static bool axis_moves(const Trace *T, int level, int tensor, int axis) {
    const ProblemAxis *x = &T->p->tensor[tensor].axis[axis];
    for (int k = 0; k < T->ntime; k++)
        for (int i = 0; i < x->n; i++)
            if (T->w.loop[T->time[k]].level < level && T->w.loop[T->time[k]].dim == x->dim[i]) return true;
    return false;
}
/* Whole loops over an axis of one dim always bring words that are all new. */
static bool needs_state(const Trace *T, int level, int tensor) {
    bool any = false;
    for (int a = 0; a < rank(T, tensor); a++) any |= axis_moves(T, level, tensor, a) && (T->w.ragged || T->p->tensor[tensor].axis[a].n > 1);
    return any;
}
static int length_column(const Trace *T, int tensor, int axis) { return rank(T, tensor) + axis; }
static int new_column(const Trace *T, int tensor) { return rank(T, tensor) * (T->w.ragged ? 2 : 1); }
static Expr *state(Trace *T, int level, int tensor, Expr *instance, int column) {
    return e_load(T->a, T->state[level][tensor], (Expr *[]){instance, num(T, column)});
}
static void set_state(Trace *T, Stmt *block, int level, int tensor, Expr *instance, int column, Expr *v) {
    Buf *b = T->state[level][tensor];
    s_append(T->a, block, s_store(T->a, b, (Expr *[]){instance, num(T, column)}, v, RED_NONE));
    b->written = true;
}

/* ---- which of the instances that get the same words reads them */
/* Has the instance at `other` work, and is its tile as long along the axis as that of the one at T->value? NULL: yes. */
static Expr *same_tile(Trace *T, int level, int tensor, int axis, Expr *const *other) {
    const ProblemAxis *x = &T->p->tensor[tensor].axis[axis];
    unsigned dims = 0;
    if (!T->w.ragged) return NULL;
    for (int i = 0; i < x->n; i++) dims |= 1u << x->dim[i];
    Expr *same = walk_present(&T->w, level, dims, other);
    return both(T, same, eq(T, walk_length(&T->w, level, tensor, axis, other), walk_length(&T->w, level, tensor, axis, T->value)));
}
typedef struct Sharers { /* spatial loops that move a tile along one axis */
    int n, loop[WALK_LOOPS];
    int64_t step[WALK_LOOPS], factor[WALK_LOOPS];
} Sharers;
static void sharers(const Trace *T, int from, int to, int tensor, int axis, Sharers *s) {
    const ProblemAxis *x = &T->p->tensor[tensor].axis[axis];
    s->n = 0;
    for (int i = 0; i < T->w.n; i++)
        for (int k = 0; k < x->n && spatial(T, i, from, to, ALL, 0) && !alone(T, T->w.loop[i].level, tensor); k++)
            if (x->dim[k] == T->w.loop[i].dim)
                s->loop[s->n] = i, s->step[s->n] = x->coef[k] * T->w.loop[i].step, s->factor[s->n++] = T->w.loop[i].factor;
}
/* Does every combination give another start? Smallest step first, each must exceed the reach of those before. */
static bool all_differ(const Sharers *s) {
    bool used[WALK_LOOPS] = {false};
    int64_t reach = 0;
    for (int k = 0; k < s->n; k++) {
        int least = -1;
        for (int i = 0; i < s->n; i++)
            if (!used[i] && (least < 0 || s->step[i] < s->step[least])) least = i;
        if (k && s->step[least] <= reach) return false;
        used[least] = true, reach += s->step[least] * (s->factor[least] - 1);
    }
    return true;
}
static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }
/* Of two loops the next instance with the same start is `up` further along the first and `down` back along the second. */
static Expr *repeated_pair(Trace *T, int level, int tensor, int axis, const Sharers *s) {
    int64_t g = gcd(s->step[0], s->step[1]), up = s->step[1] / g, down = s->step[0] / g;
    if (up >= s->factor[0] || down >= s->factor[1]) return NULL;
    Expr *v0 = T->value[s->loop[0]], *v1 = T->value[s->loop[1]], *other[WALK_LOOPS];
    memcpy(other, T->value, sizeof other);
    other[s->loop[0]] = e_bin(T->a, BIN_MIN, e_add(T->a, v0, num(T, up)), num(T, s->factor[0] - 1));
    other[s->loop[1]] = e_bin(T->a, BIN_MAX, e_sub(T->a, v1, num(T, down)), num(T, 0));
    Expr *exists = both(T, e_lt(T->a, v0, num(T, s->factor[0] - up)), e_le(T->a, num(T, down), v1));
    return both(T, exists, same_tile(T, level, tensor, axis, other));
}
/* Of more loops: all later instances are looked at. */
static Expr *repeated_any(Trace *T, Stmt *block, int level, int tensor, int axis, const Sharers *s) {
    Buf *flag = buf_new(T->f, "repeated", DT_INT64, 0, NULL, MEM_REG);
    Expr *other[WALK_LOOPS], *later = NULL, *sum = num(T, 0);
    memcpy(other, T->value, sizeof other);
    s_append(T->a, block, s_alloc(T->a, flag));
    s_append(T->a, block, s_store(T->a, flag, NULL, num(T, 0), RED_NONE));
    Stmt *in = block;
    for (int k = 0; k < s->n; k++) {
        in = put_for(T, in, "other", num(T, 0), num(T, s->factor[k]), &other[s->loop[k]]);
        sum = e_add(T->a, sum, e_mul(T->a, num(T, s->step[k]), e_sub(T->a, other[s->loop[k]], T->value[s->loop[k]])));
    }
    for (int k = s->n - 1; k >= 0; k--) {
        Expr *x = T->value[s->loop[k]], *y = other[s->loop[k]], *more = e_lt(T->a, x, y);
        later = later ? either(T, more, both(T, eq(T, x, y), later)) : more;
    }
    Expr *hit = both(T, both(T, later, eq(T, sum, num(T, 0))), same_tile(T, level, tensor, axis, other));
    s_append(T->a, put_if(T, in, hit), s_store(T->a, flag, NULL, num(T, 1), RED_NONE));
    flag->written = true;
    return eq(T, e_load(T->a, flag, NULL), num(T, 1));
}

/* ---- keys: with ragged loops over an axis of several dims instances may have stood at different places before. They get the same if their
 * keys are the same. A key is, for each axis, the box that arrives; if what arrives is no box, that of the tile and of what it keeps. */
enum { KEY_FLAG, KEY_LO = 1, KEY_LEN, KEY_HAD, KEY_HAD_LEN, KEY_AXIS = 4 };
static bool shares(const Trace *T, int i, int from, int to, int tensor) { /* a loop of the tensor's dims over instances that may share */
    return spatial(T, i, from, to, OWN, tensor) && walk_uses(&T->w, tensor, T->w.loop[i].dim) && !alone(T, T->w.loop[i].level, tensor);
}
static bool needs_key(const Trace *T, int level, int tensor) {
    if (!T->w.ragged || tensor == T->output) return false;
    for (int a = 0; a < rank(T, tensor); a++) {
        const ProblemAxis *x = &T->p->tensor[tensor].axis[a];
        for (int i = 0; i < T->w.n && x->n > 1; i++)
            for (int k = 0; k < x->n; k++)
                if (x->dim[k] == T->w.loop[i].dim && shares(T, i, T->outer[level][tensor], level, tensor)) return true;
    }
    return false;
}
static Expr *put_flag(Trace *T, Stmt *block, const char *name, Expr *e) {
    Var *v = var_new(T->f, name, DT_BOOL);
    s_append(T->a, block, s_let(T->a, v, e));
    return e_var(T->a, v);
}
static void set_key(Trace *T, Stmt *block, int level, int tensor, Expr *instance, int column, Expr *v) {
    Buf *b = T->key[level][tensor];
    s_append(T->a, block, s_store(T->a, b, (Expr *[]){instance, num(T, column)}, v, RED_NONE));
    b->written = true;
}
static Tile open_tile(Trace *T, Stmt *block, int level, int tensor, Expr *instance);
static void put_keys(Trace *T, Stmt *block, int level, int tensor) {
    Arena *a = T->a;
    int n = rank(T, tensor);
    Stmt *in = open_spatial(T, block, 0, level, ALL, 0);
    Expr *instance = walk_instance(&T->w, level, T->value), *empty = NULL, *changed = num(T, 0), *differs[MAX_RANK], *hi[MAX_RANK],
         *from[MAX_RANK], *to[MAX_RANK], *end[MAX_RANK], *box = NULL;
    set_key(T, in, level, tensor, instance, KEY_FLAG, num(T, 0));
    in = put_if(T, in, walk_present(&T->w, level, ~0u, T->value));
    set_key(T, in, level, tensor, instance, KEY_FLAG, num(T, 1));
    Tile t = open_tile(T, in, level, tensor, T->state[level][tensor] ? instance : NULL);
    for (int x = 0; x < n; x++) {
        from[x] = t.start[x], to[x] = hi[x] = put_let(T, in, "hi", e_add(a, t.start[x], t.len[x]));
        differs[x] = NULL;
        if (!t.was[x]) continue;
        from[x] = put_let(T, in, "from", e_bin(a, BIN_MAX, t.start[x], t.was[x]));
        to[x] = put_let(T, in, "to", e_bin(a, BIN_MIN, hi[x], e_add(a, t.was[x], t.was_len[x])));
        empty = either(T, empty, e_le(a, to[x], from[x]));
        differs[x] = put_flag(T, in, "differs", either(T, e_lt(a, t.start[x], from[x]), e_lt(a, to[x], hi[x])));
        changed = e_add(a, changed, e_select(a, differs[x], num(T, 1), num(T, 0)));
    }
    if (!T->state[level][tensor]) empty = eq(T, num(T, 0), num(T, 0)); /* it is filled once */
    for (int x = 0; x < n; x++) {                                      /* one end of this axis arrives, all of the others was there */
        end[x] = NULL;
        if (!differs[x]) continue;
        Expr *one_side = e_un(a, UN_NOT, both(T, e_lt(a, t.start[x], from[x]), e_lt(a, to[x], hi[x])));
        end[x] = both(T, both(T, differs[x], eq(T, changed, num(T, 1))), both(T, one_side, e_un(a, UN_NOT, empty)));
        box = either(T, box, end[x] = put_flag(T, in, "end", end[x]));
    }
    box = put_flag(T, in, "box", either(T, empty, box));
    for (int x = 0; x < n; x++) {
        Expr *lo = t.start[x], *len = t.len[x], *had = from[x], *had_len = e_sub(a, to[x], from[x]);
        if (end[x]) {
            Expr *lower = e_lt(a, t.start[x], from[x]);
            lo = e_select(a, end[x], e_select(a, lower, lo, to[x]), lo);
            len = e_select(a, end[x], e_select(a, lower, e_sub(a, from[x], t.start[x]), e_sub(a, hi[x], to[x])), len);
        }
        set_key(T, in, level, tensor, instance, KEY_LO + x * KEY_AXIS, lo);
        set_key(T, in, level, tensor, instance, KEY_LEN + x * KEY_AXIS, len);
        set_key(T, in, level, tensor, instance, KEY_HAD + x * KEY_AXIS, e_select(a, box, num(T, 0), had));
        set_key(T, in, level, tensor, instance, KEY_HAD_LEN + x * KEY_AXIS, e_select(a, box, num(T, 0), had_len));
    }
    close_spatial(T);
}
/* Is there a later instance with this one's key? */
static Expr *repeated_key(Trace *T, Stmt *block, int outer, int level, int tensor) {
    Buf *flag = buf_new(T->f, "repeated", DT_INT64, 0, NULL, MEM_REG), *key = T->key[level][tensor];
    Expr *other[WALK_LOOPS], *later = NULL;
    memcpy(other, T->value, sizeof other);
    s_append(T->a, block, s_alloc(T->a, flag));
    s_append(T->a, block, s_store(T->a, flag, NULL, num(T, 0), RED_NONE));
    Stmt *in = block;
    for (int i = 0; i < T->w.n; i++)
        if (shares(T, i, outer, level, tensor)) in = put_for(T, in, "other", num(T, 0), num(T, T->w.loop[i].factor), &other[i]);
    for (int i = T->w.n - 1; i >= 0; i--) {
        if (!shares(T, i, outer, level, tensor)) continue;
        Expr *x = T->value[i], *y = other[i], *more = e_lt(T->a, x, y);
        later = later ? either(T, more, both(T, eq(T, x, y), later)) : more;
    }
    Expr *mine = walk_instance(&T->w, level, T->value), *its = put_let(T, in, "its", walk_instance(&T->w, level, other)), *hit = later;
    for (int k = 0; k < rank(T, tensor) * KEY_AXIS + 1; k++)
        hit = both(T, hit, eq(T, e_load(T->a, key, (Expr *[]){its, num(T, k)}), e_load(T->a, key, (Expr *[]){mine, num(T, k)})));
    s_append(T->a, put_if(T, in, hit), s_store(T->a, flag, NULL, num(T, 1), RED_NONE));
    flag->written = true;
    return eq(T, e_load(T->a, flag, NULL), num(T, 1));
}
/* Does this instance of `inner` read for those under the same instance of `outer`, in this step? NULL: yes. */
static Expr *reader(Trace *T, Stmt *block, int outer, int inner, int tensor) {
    Expr *yes = NULL;
    for (int i = 0; i < T->w.n; i++)
        if (spatial(T, i, outer, inner, SHARED, tensor)) yes = both(T, yes, eq(T, T->value[i], num(T, 0)));
    if (inner < T->nlevel && T->key[inner][tensor]) return both(T, yes, e_un(T->a, UN_NOT, repeated_key(T, block, outer, inner, tensor)));
    for (int a = 0; a < rank(T, tensor); a++) {
        Sharers s;
        sharers(T, outer, inner, tensor, a, &s);
        if (s.n < 2 || all_differ(&s)) continue;
        Expr *no = s.n == 2 ? repeated_pair(T, inner, tensor, a, &s) : repeated_any(T, block, inner, tensor, a, &s);
        if (no) yes = both(T, yes, e_un(T->a, UN_NOT, no));
    }
    return yes;
}

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
static Tile open_tile(Trace *T, Stmt *block, int level, int tensor, Expr *instance) {
    Tile t = {{NULL}, {NULL}, {NULL}, {NULL}};
    for (int a = 0; a < rank(T, tensor); a++) {
        t.start[a] = put_let(T, block, "start", walk_start(&T->w, level, tensor, a, T->value));
        t.len[a] = walk_length(&T->w, level, tensor, a, T->value);
        if (T->w.ragged) t.len[a] = put_let(T, block, "len", t.len[a]);
        if (!instance || !axis_moves(T, level, tensor, a)) continue;
        t.was[a] = put_let(T, block, "was", state(T, level, tensor, instance, a));
        t.was_len[a] =
            T->w.ragged ? put_let(T, block, "was_len", state(T, level, tensor, instance, length_column(T, tensor, a))) : t.len[a];
    }
    return t;
}
static Stmt *open_words(Trace *T, Stmt *block, int level, int tensor, const Tile *t, Expr **index) {
    for (int a = 0; a < rank(T, tensor); a++)
        if (T->w.len[level][tensor][a] == 1) index[a] = t->start[a];
        else block = put_for(T, block, arena_printf(T->a, "w%d", a), t->start[a], e_add(T->a, t->start[a], t->len[a]), &index[a]);
    return block;
}
static void put_fill(Trace *T, Stmt *block, int level, int tensor) {
    int outer = T->outer[level][tensor], place = mover(T, level, tensor), n = rank(T, tensor);
    if (T->key[level][tensor]) put_keys(T, block, level, tensor);
    Stmt *in = open_spatial(T, block, 0, level, ALL, 0);
    in = put_if(T, in, walk_present(&T->w, level, ~0u, T->value));
    Expr *instance = walk_instance(&T->w, level, T->value), *moved = NULL, *outside = NULL, *reads = NULL, *index[MAX_RANK];
    Tile t = open_tile(T, in, level, tensor, T->state[level][tensor] ? instance : NULL);
    for (int a = 0; a < n; a++) {
        if (!t.was[a]) continue;
        moved = either(T, moved, e_bin(T->a, BIN_NE, t.start[a], t.was[a]));
        if (T->w.ragged) moved = either(T, moved, e_bin(T->a, BIN_NE, t.len[a], t.was_len[a]));
    }
    in = put_if(T, in, moved);
    if (tensor != T->output) reads = reader(T, in, outer, level, tensor);
    if (reads) { /* once, not for each word */
        Var *v = var_new(T->f, "reads", DT_BOOL);
        s_append(T->a, in, s_let(T->a, v, reads));
        reads = e_var(T->a, v);
    }
    Stmt *word = open_words(T, in, level, tensor, &t, index);
    bool slide = tensor != T->output && slides(T, level, tensor);
    for (int a = 0; a < n && slide; a++) {
        if (!t.was[a]) continue;
        outside = either(T, outside, e_lt(T->a, index[a], t.was[a]));
        outside = either(T, outside, e_le(T->a, e_add(T->a, t.was[a], t.was_len[a]), index[a]));
    }
    word = put_if(T, word, outside);
    Place to = place_of(T, level, tensor, index);
    if (tensor != T->output) {
        Place from = place_of(T, outer, tensor, index);
        put_access(T, put_if(T, word, reads), outer, tensor, ACCESS_READ, from.instance, from.offset);
        store(T, word, &to, load(T, &from), RED_NONE);
    } else store(T, word, &to, e_lit(T->a, DT_FLOAT32, 0), RED_NONE);
    put_access(T, word, level, tensor, ACCESS_FILL, to.instance, to.offset);
    for (int a = 0; a < n; a++) {
        if (!t.was[a]) continue;
        set_state(T, in, level, tensor, instance, a, t.start[a]);
        if (T->w.ragged) set_state(T, in, level, tensor, instance, length_column(T, tensor, a), t.len[a]);
    }
    if (T->state[level][tensor] && tensor == T->output) {
        Expr *fresh = sums_are_new(T, place);
        fresh = fresh ? e_select(T->a, fresh, num(T, 1), num(T, 0)) : num(T, 1);
        set_state(T, in, level, tensor, instance, new_column(T, tensor), fresh);
    }
    close_spatial(T);
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
    Stmt *in = open_spatial(T, block, 0, outer, ALL, 0);
    in = open_spatial(T, in, outer, level, OWN, t);
    Expr *leaves = walk_present(&T->w, level, ~0u, T->value), *stays = tile_stays(T, level, place), *index[MAX_RANK];
    if (stays) leaves = both(T, leaves, e_un(T->a, UN_NOT, stays));
    in = put_if(T, in, leaves);
    Expr *fresh = sums_are_new(T, place);
    if (place >= 0 && T->w.ragged) fresh = eq(T, state(T, level, t, walk_instance(&T->w, level, T->value), new_column(T, t)), num(T, 1));
    fresh = both(T, fresh, sends_first(T, outer, level));
    Tile tile = open_tile(T, in, level, t, NULL);
    Stmt *word = open_words(T, in, level, t, &tile, index);
    Place to = place_of(T, outer, t, index), from = place_of(T, level, t, index);
    Expr *v = load(T, &from);
    bool several = false;
    for (int i = 0; i < T->w.n; i++) several |= spatial(T, i, outer, level, SHARED, t);
    if (several) { /* added up on the way; what was sent is no longer there */
        Buf *sum = buf_new(T->f, "sum", DT_FLOAT32, 0, NULL, MEM_REG);
        s_append(T->a, word, s_alloc(T->a, sum));
        s_append(T->a, word, s_store(T->a, sum, NULL, e_lit(T->a, DT_FLOAT32, 0), RED_NONE));
        Stmt *each = open_spatial(T, word, outer, level, SHARED, t);
        from = place_of(T, level, t, index);
        s_append(T->a, each, s_store(T->a, sum, NULL, load(T, &from), RED_ADD));
        store(T, each, &from, e_lit(T->a, DT_FLOAT32, 0), RED_NONE);
        sum->written = true;
        v = e_load(T->a, sum, NULL);
    }
    close_spatial(T);
    put_update(T, word, outer, t, &to, v, fresh);
}

/* ---- multiply-adds */
static void put_macs(Trace *T, Stmt *block) {
    int o = T->output, keeper = T->outer[T->nlevel][o], n = rank(T, o);
    Stmt *group = open_spatial(T, block, 0, keeper, ALL, 0);
    group = open_spatial(T, group, keeper, T->nlevel, OWN, o);
    Expr *index[MAX_RANK], *product = NULL, *there = walk_present(&T->w, T->nlevel, ~0u, T->value);
    bool several = false;
    for (int i = 0; i < T->w.n; i++) several |= spatial(T, i, keeper, T->nlevel, SHARED, o);
    for (int a = 0; a < n; a++) index[a] = walk_start(&T->w, T->nlevel, o, a, T->value);
    Place to = place_of(T, keeper, o, index);
    Buf *sum = several ? buf_new(T->f, "sum", DT_FLOAT32, 0, NULL, MEM_REG) : NULL;
    if (several) {
        s_append(T->a, group, s_alloc(T->a, sum));
        s_append(T->a, group, s_store(T->a, sum, NULL, e_lit(T->a, DT_FLOAT32, 0), RED_NONE));
        sum->written = true;
    }
    Stmt *each = open_spatial(T, group, keeper, T->nlevel, SHARED, o);
    each = put_if(T, each, walk_present(&T->w, T->nlevel, ~0u, T->value));
    for (int t = 0; t < T->p->ntensor; t++) {
        Expr *at[MAX_RANK];
        int from = T->outer[T->nlevel][t];
        if (t == o) continue;
        for (int a = 0; a < rank(T, t); a++) at[a] = walk_start(&T->w, T->nlevel, t, a, T->value);
        Place p = place_of(T, from, t, at);
        put_access(T, put_if(T, each, reader(T, each, from, T->nlevel, t)), from, t, ACCESS_READ, p.instance, p.offset);
        product = product ? e_mul(T->a, product, load(T, &p)) : load(T, &p);
    }
    if (several) {
        s_append(T->a, each, s_store(T->a, sum, NULL, product, RED_ADD));
        each = put_if(T, group, there), product = e_load(T->a, sum, NULL);
    }
    put_update(T, each, keeper, o, &to, product, both(T, sums_are_new(T, T->ntime), sends_first(T, keeper, T->nlevel)));
    close_spatial(T);
}

/* ---- all of it */
static void put_time(Trace *T, Stmt *block, int place) { /* what happens in the body of the loop at `place` of T->time */
    for (int l = 1; l < T->nlevel; l++)
        for (int t = 0; t < T->p->ntensor; t++)
            if (kept(T, l, t) && mover(T, l, t) == place) put_fill(T, block, l, t);
    if (place + 1 < T->ntime) {
        int i = T->time[place + 1];
        put_time(T, open_loop(T, block, i), place + 1);
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
    Stmt *in = put_for(T, block, "i", num(T, 0), num(T, b->dim[0]), &at[0]);
    if (columns > 1) in = put_for(T, in, "j", num(T, column), num(T, column + columns), &at[1]);
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
            if (needs_key(T, l, t))
                T->key[l][t] = scratch(T, arena_printf(T->a, "key_%s", what), DT_INT64, instances, rank(T, t) * KEY_AXIS + 1);
            if (!needs_state(T, l, t)) continue;
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
                if (!axis_moves(T, l, t, a)) continue;
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
