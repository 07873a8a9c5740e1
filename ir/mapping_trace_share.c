/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_trace_share.c: of several instances that get the same words in one step, which one reads them for all: the last. Instances get
 * the same where their spatial loops make the same start along every axis; with ragged loops, where what arrives is the same box.
 *   E 3 x, R 3 y, I[e+r]   ->   (e, r) reads if there is no (e+1, r-1) */
#include "mapping_trace.h"
#include <string.h>

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
        in = trace_put_for(T, in, "other", num(T, 0), num(T, s->factor[k]), &other[s->loop[k]]);
        sum = e_add(T->a, sum, e_mul(T->a, num(T, s->step[k]), e_sub(T->a, other[s->loop[k]], T->value[s->loop[k]])));
    }
    for (int k = s->n - 1; k >= 0; k--) {
        Expr *x = T->value[s->loop[k]], *y = other[s->loop[k]], *more = e_lt(T->a, x, y);
        later = later ? either(T, more, both(T, eq(T, x, y), later)) : more;
    }
    Expr *hit = both(T, both(T, later, eq(T, sum, num(T, 0))), same_tile(T, level, tensor, axis, other));
    s_append(T->a, trace_put_if(T, in, hit), s_store(T->a, flag, NULL, num(T, 1), RED_NONE));
    flag->written = true;
    return eq(T, e_load(T->a, flag, NULL), num(T, 1));
}

/* ---- keys: with ragged loops over an axis of several dims instances may have stood at different places before. They get the same if their
 * keys are the same. A key is, for each axis, the box that arrives; if what arrives is no box, that of the tile and of what it keeps. */
static bool shares(const Trace *T, int i, int from, int to, int tensor) { /* a loop of the tensor's dims over instances that may share */
    return spatial(T, i, from, to, OWN, tensor) && walk_uses(&T->w, tensor, T->w.loop[i].dim) && !alone(T, T->w.loop[i].level, tensor);
}
bool trace_needs_key(const Trace *T, int level, int tensor) {
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
void trace_put_keys(Trace *T, Stmt *block, int level, int tensor) {
    Arena *a = T->a;
    int n = rank(T, tensor);
    Stmt *in = trace_open_spatial(T, block, 0, level, ALL, 0);
    Expr *instance = walk_instance(&T->w, level, T->value), *empty = NULL, *changed = num(T, 0), *differs[MAX_RANK], *hi[MAX_RANK],
         *from[MAX_RANK], *to[MAX_RANK], *end[MAX_RANK], *box = NULL;
    set_key(T, in, level, tensor, instance, KEY_FLAG, num(T, 0));
    in = trace_put_if(T, in, walk_present(&T->w, level, ~0u, T->value));
    set_key(T, in, level, tensor, instance, KEY_FLAG, num(T, 1));
    Tile t = trace_open_tile(T, in, level, tensor, T->state[level][tensor] ? instance : NULL);
    for (int x = 0; x < n; x++) {
        from[x] = t.start[x], to[x] = hi[x] = trace_put_let(T, in, "hi", e_add(a, t.start[x], t.len[x]));
        differs[x] = NULL;
        if (!t.was[x]) continue;
        from[x] = trace_put_let(T, in, "from", e_bin(a, BIN_MAX, t.start[x], t.was[x]));
        to[x] = trace_put_let(T, in, "to", e_bin(a, BIN_MIN, hi[x], e_add(a, t.was[x], t.was_len[x])));
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
    trace_close_spatial(T);
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
        if (shares(T, i, outer, level, tensor)) in = trace_put_for(T, in, "other", num(T, 0), num(T, T->w.loop[i].factor), &other[i]);
    for (int i = T->w.n - 1; i >= 0; i--) {
        if (!shares(T, i, outer, level, tensor)) continue;
        Expr *x = T->value[i], *y = other[i], *more = e_lt(T->a, x, y);
        later = later ? either(T, more, both(T, eq(T, x, y), later)) : more;
    }
    Expr *mine = walk_instance(&T->w, level, T->value), *its = trace_put_let(T, in, "its", walk_instance(&T->w, level, other)),
         *hit = later;
    for (int k = 0; k < rank(T, tensor) * KEY_AXIS + 1; k++)
        hit = both(T, hit, eq(T, e_load(T->a, key, (Expr *[]){its, num(T, k)}), e_load(T->a, key, (Expr *[]){mine, num(T, k)})));
    s_append(T->a, trace_put_if(T, in, hit), s_store(T->a, flag, NULL, num(T, 1), RED_NONE));
    flag->written = true;
    return eq(T, e_load(T->a, flag, NULL), num(T, 1));
}
/* Does this instance of `inner` read for those under the same instance of `outer`, in this step? NULL: yes. */
Expr *trace_reader(Trace *T, Stmt *block, int outer, int inner, int tensor) {
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
