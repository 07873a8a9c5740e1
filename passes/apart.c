/* SPDX-License-Identifier: Apache-2.0 */
/* apart.c: do the iterations of a loop write elements of their own? The address of each access, in elements, is a sum of terms
 * k*v. Terms larger than the loop's own step move by multiples of their greatest common divisor M; what is left must stay below
 * the step, and all steps together below M: then the loop's variable is a digit of the address, whatever the values of larger terms. This
 * sees through buffers that were flattened, which a test of one subscript at a time does not.
 *
 *   for e in 0..112: for u in 0..2: for x in 0..112: y[u*12544 + e*112 + x]      M 12544, step 112, the rest 0 to 111: apart
 */
#include "parallel.h"
#include <string.h>

typedef struct Term {
    int64_t k, lo, hi;
    bool any; /* of a value that nobody knows: lo and hi do not count */
} Term;
typedef struct Access {
    const Buf *b;
    int64_t c, step; /* step: of the loop in question */
    int64_t only;    /* the iteration it belongs to, if `pinned` */
    int64_t last;    /* iteration that a condition around it lets happen */
    int64_t slack;   /* by how much strips that are cut off at the end stay below what their terms say */
    bool pinned;
    Vec(Term) term;
} Access;
typedef struct Look {
    Arena *tmp;
    const Var *v;
    uint8_t *skip, *written; /* by buffer id: private or local; stored to in the loop */
    uint8_t *kind;           /* by variable id: 0 outside the loop, 1 loop, 2 let, 3 loop counted from its first iteration, 4 unknown */
    int64_t *lo, *hi;        /* of a loop */
    int64_t *most, *over;    /* kind 3: iterations; by how much the last iteration of the loop in question would exceed the end */
    Affine *let;             /* in terms of loops; kind 3: the lower bound */
    Affine *outside;         /* by buffer id: what variables outside add, the same for every access; c: seen */
    int64_t last;            /* iteration of the loop in question */
    Ranges r;
    Vec(Access) access;
    bool ok;
} Look;

/* Adds factor * e to the sum, lets replaced by what they stand for. */
static bool add_affine(const Look *w, Affine *sum, const Affine *f, int64_t factor) {
    int64_t k;
    if (!mul_ok(f->c, factor, &k) || !add_ok(sum->c, k, &sum->c)) return false;
    for (int i = 0; i < f->n; i++) {
        if (!mul_ok(f->k[i], factor, &k)) return false;
        if (w->kind[f->v[i]->id] == 2) {
            if (!add_affine(w, sum, &w->let[f->v[i]->id], k)) return false;
            continue;
        }
        if (w->kind[f->v[i]->id] == 3 && !add_affine(w, sum, &w->let[f->v[i]->id], k)) return false;
        if (w->kind[f->v[i]->id] == 4 && f->v[i]->t != DT_INT64) return false;
        int at = 0;
        while (at < sum->n && sum->v[at] != f->v[i]) at++;
        if (at == 16) return false;
        if (at == sum->n) sum->v[sum->n] = f->v[i], sum->k[sum->n++] = 0;
        if (!add_ok(sum->k[at], k, &sum->k[at])) return false;
    }
    return true;
}
static bool same_outside(Look *w, const Buf *b, const Affine *x) {
    Affine *first = &w->outside[b->id];
    if (first->c == 0) *first = *x, first->c = 1; /* c: seen */
    bool same = first->n == x->n;
    for (int i = 0; same && i < x->n; i++) {
        int at = 0;
        while (at < x->n && first->v[at] != x->v[i]) at++;
        same = at < x->n && first->k[at] == x->k[i];
    }
    return same;
}
static void note(Look *w, const Buf *b, Expr *const *idx, bool store) {
    Affine sum = {0}, f;
    if (w->skip[b->id]) return;
    if (store) w->written[b->id] = 1;
    Access x = {.b = b};
    bool known = true;
    for (int d = 0; known && d < b->rank; d++) known = expr_affine(idx[d], &f) && add_affine(w, &sum, &f, b->stride[d]);
    Affine outside = {0};
    for (int i = 0; known && i < sum.n; i++) {
        const int id = sum.v[i]->id;
        if (w->kind[id] == 0) outside.v[outside.n] = sum.v[i], outside.k[outside.n++] = sum.k[i];
        else if (sum.v[i] == w->v) x.step = sum.k[i], x.pinned = w->lo[id] == w->hi[id], x.only = w->lo[id];
        else if (w->kind[id] == 4) vec_push(w->tmp, &x.term, ((Term){sum.k[i], 0, 0, true}));
        else if (w->lo[id] == w->hi[id]) sum.c += sum.k[i] * w->lo[id];
        else vec_push(w->tmp, &x.term, ((Term){sum.k[i], w->lo[id], w->hi[id], false}));
    }
    known = known && same_outside(w, b, &outside);
    int64_t through = 0; /* the part of the step that comes from where strips begin */
    for (int i = 0; known && i < sum.n; i++) {
        const int id = sum.v[i]->id;
        if (w->kind[id] != 3 || sum.k[i] <= 0 || !w->over[id]) continue;
        through += sum.k[i] * w->let[id].k[0];
        x.slack += max_i64(w->over[id] - (w->most[id] - 1 - w->hi[id]), 0) * sum.k[i];
    }
    if (through != x.step) x.slack = 0;
    if (known && x.step == 0 && w->lo[w->v->id] == w->hi[w->v->id]) x.pinned = true, x.only = w->lo[w->v->id];
    x.c = sum.c, x.last = w->hi[w->v->id];
    if (!known) x.step = 0, x.pinned = false; /* nothing is known: refused if the buffer is written */
    vec_push(w->tmp, &w->access, x);
}
static Expr *look_load(void *user, Expr *e) {
    if (e->k == E_LOAD) note(user, e->u.ld.buf, e->u.ld.idx, false);
    return e;
}
static void look_expr(Look *w, Expr *e) { expr_map(w->tmp, e, look_load, w); }
static void look(Look *w, Stmt *s);
/* Most iterations of a loop whose bounds move together, as those of strips do; 0: not known. */
static int64_t most_iterations(Look *w, const Expr *lo, const Expr *hi) {
    Affine d;
    if (hi->k == E_BIN && hi->op == BIN_MIN) {
        int64_t x = most_iterations(w, lo, hi->u.a[0]), y = most_iterations(w, lo, hi->u.a[1]);
        return x && y ? min_i64(x, y) : x + y;
    }
    return expr_affine(e_sub(w->tmp, (Expr *)hi, (Expr *)lo), &d) && d.n == 0 && d.c > 0 ? d.c : 0;
}
static void look_loop(Look *w, Stmt *s) {
    int64_t lo, hi, unused;
    Affine first;
    const int id = s->u.loop.v->id;
    look_expr(w, s->u.loop.lo), look_expr(w, s->u.loop.hi);
    if (!expr_bounds(s->u.loop.lo, &w->r, &lo, &unused) || !expr_bounds(s->u.loop.hi, &w->r, &unused, &hi)) {
        w->ok = false;
        return;
    }
    if (hi <= lo) return;
    Range one = {s->u.loop.v, lo, hi - 1};
    const int outer = w->r.n;
    vec_push(w->tmp, &w->r, one);
    w->kind[id] = 1, w->lo[id] = lo, w->hi[id] = hi - 1;
    int64_t most = s->u.loop.lo->k == E_INT ? 0 : most_iterations(w, s->u.loop.lo, s->u.loop.hi);
    w->let[id] = (Affine){0};
    if (most && expr_affine(s->u.loop.lo, &first) && add_affine(w, &w->let[id], &first, 1)) {
        const Affine *at = &w->let[id];
        w->kind[id] = 3, w->lo[id] = 0, w->hi[id] = most - 1, w->most[id] = most, w->over[id] = 0;
        if (at->n == 1 && at->v[0] == w->v && at->k[0] > 0) w->over[id] = max_i64(at->c + at->k[0] * w->last + most - hi, 0);
    }
    look(w, s->u.loop.body);
    w->r.n = outer;
}
/* Where a condition holds, a loop that it bounds has fewer iterations: tiles at an edge store less. `kept` takes what was before. */
typedef struct Kept {
    int id;
    int64_t lo, hi;
} Kept;
typedef Vec(Kept) KeptList;
static void restore(Look *w, const KeptList *kept) {
    for (int i = kept->n - 1; i >= 0; i--) w->lo[kept->v[i].id] = kept->v[i].lo, w->hi[kept->v[i].id] = kept->v[i].hi;
}
static const Expr *negated(Arena *tmp, const Expr *c) { /* one that says nothing, if the condition is not a single comparison */
    if (c->k != E_BIN || (c->op != BIN_LT && c->op != BIN_LE)) return e_int(tmp, 1);
    return (c->op == BIN_LT ? e_le : e_lt)(tmp, c->u.a[1], c->u.a[0]);
}
static bool empty(const Look *w, const KeptList *kept) {
    for (int i = 0; i < kept->n; i++)
        if (w->lo[kept->v[i].id] > w->hi[kept->v[i].id]) return true;
    return false;
}
static void narrow(Look *w, const Expr *c, KeptList *kept) {
    Affine f, sum = {0};
    if (c->k != E_BIN) return;
    if (c->op == BIN_LAND) {
        narrow(w, c->u.a[0], kept), narrow(w, c->u.a[1], kept);
        return;
    }
    if ((c->op != BIN_LT && c->op != BIN_LE) || c->u.a[0]->t != DT_INT64) return;
    if (!expr_affine(e_sub(w->tmp, c->u.a[1], c->u.a[0]), &f) || !add_affine(w, &sum, &f, 1) || sum.n != 1 || sum.k[0] == 0) return;
    const int id = sum.v[0]->id;
    if (w->kind[id] == 4) return;
    int64_t at_least = c->op == BIN_LT ? 1 : 0, k = sum.k[0], bound; /* k * v + sum.c >= at_least */
    if (__builtin_sub_overflow(at_least, sum.c, &bound)) return;
    vec_push(w->tmp, kept, ((Kept){id, w->lo[id], w->hi[id]}));
    if (k > 0 && bound > 0) w->lo[id] = max_i64(w->lo[id], ceil_div(bound, k));
    if (k < 0) w->hi[id] = min_i64(w->hi[id], bound <= 0 ? -bound / -k : -1);
}
static void look(Look *w, Stmt *s) {
    switch (s->k) {
    case S_FOR: look_loop(w, s); break;
    case S_STORE:
        for (int i = 0; i < s->u.st.buf->rank; i++) look_expr(w, s->u.st.idx[i]);
        look_expr(w, s->u.st.val);
        note(w, s->u.st.buf, s->u.st.idx, true);
        break;
    case S_LET: {
        Affine f;
        const int id = s->u.let.v->id;
        int64_t lo, hi;
        look_expr(w, s->u.let.val);
        w->let[id] = (Affine){0};
        if (s->u.let.v->t == DT_INT64 && expr_bounds(s->u.let.val, &w->r, &lo, &hi))
            vec_push(w->tmp, &w->r, ((Range){s->u.let.v, lo, hi})); /* it may bound a loop */
        w->kind[id] = s->u.let.v->t == DT_INT64 && expr_affine(s->u.let.val, &f) && add_affine(w, &w->let[id], &f, 1) ? 2 : 4;
        break;
    }
    case S_IF: {
        KeptList kept = {0};
        look_expr(w, s->u.cond.cond);
        narrow(w, s->u.cond.cond, &kept);
        if (!empty(w, &kept)) look(w, s->u.cond.then);
        restore(w, &kept);
        if (!s->u.cond.other) break;
        kept.n = 0;
        narrow(w, negated(w->tmp, s->u.cond.cond), &kept);
        if (!empty(w, &kept)) look(w, s->u.cond.other);
        restore(w, &kept);
        break;
    }
    case S_CALL: w->ok &= call_is_hint(s->u.call.name); break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n && w->ok; i++) look(w, s->u.block.v[i]);
        break;
    case S_ALLOC: w->skip[s->u.alloc->id] = 1; break;
    }
}

static int64_t gcd(int64_t x, int64_t y) {
    while (y) {
        int64_t r = x % y;
        x = y, y = r;
    }
    return x;
}
static int64_t size_of(int64_t k) { return k < 0 ? -k : k; }
/* The accesses to one buffer, in the iterations from the first on. */
static bool buffer_apart(Look *w, const Buf *b, int64_t first) {
    enum { LARGE = 1 << 30 };
    int64_t step = 0, period = 0, lo = INT64_MAX, hi = INT64_MIN, end = INT64_MIN, shift;
    for (int i = 0; i < w->access.n; i++) {
        const Access *x = &w->access.v[i];
        if (x->b != b || x->pinned) continue;
        if (x->step == 0 || (step && x->step != step)) return false;
        step = x->step;
    }
    if (step == 0 || size_of(step) > LARGE) return false;
    for (int i = 0; i < w->access.n; i++) {
        Access *x = &w->access.v[i];
        if (x->b != b) continue;
        if (x->pinned) { /* written with the step of the others it is the same address, in the only iteration there is */
            if (!mul_ok(x->step - step, x->only, &shift) || !add_ok(x->c, shift, &x->c)) return false;
            x->step = step, x->pinned = false;
        }
        for (int j = 0; j < x->term.n; j++) {
            if (size_of(x->term.v[j].k) > LARGE || size_of(x->term.v[j].lo) > LARGE || size_of(x->term.v[j].hi) > LARGE) return false;
            if (x->term.v[j].any && size_of(x->term.v[j].k) <= size_of(step)) return false;
            if (size_of(x->term.v[j].k) > size_of(step)) period = gcd(size_of(x->term.v[j].k), period);
        }
    }
    for (int i = 0; i < w->access.n; i++) {
        const Access *x = &w->access.v[i];
        if (x->b != b) continue;
        int64_t from = period ? (x->c % period + period) % period : x->c, to = from;
        for (int j = 0; j < x->term.n; j++) {
            const Term *t = &x->term.v[j];
            if (size_of(t->k) > size_of(step)) continue;
            from += t->k > 0 ? t->k * t->lo : t->k * t->hi;
            to += t->k > 0 ? t->k * t->hi : t->k * t->lo;
        }
        const int64_t last = step > 0 ? x->last : w->last;
        int64_t reach;
        if (!mul_ok(size_of(step), last - first, &reach)) return false;
        lo = min_i64(lo, from), hi = max_i64(hi, to);
        end = max_i64(end, reach + to - (step > 0 && last == w->last ? x->slack : 0));
    }
    return hi - lo < size_of(step) && (!period || end - lo < period);
}
bool ranges_around(Arena *tmp, const Stmt *s, const Stmt *inner, Ranges *r) {
    if (s == inner) return true;
    if (s->k == S_BLOCK) {
        for (int i = 0; i < s->u.block.n; i++)
            if (ranges_around(tmp, s->u.block.v[i], inner, r)) return true;
    } else if (s->k == S_IF) {
        return ranges_around(tmp, s->u.cond.then, inner, r) || (s->u.cond.other && ranges_around(tmp, s->u.cond.other, inner, r));
    } else if (s->k == S_FOR) {
        int64_t lo, hi, unused;
        const int n = r->n;
        if (expr_bounds(s->u.loop.lo, r, &lo, &unused) && expr_bounds(s->u.loop.hi, r, &unused, &hi) && hi > lo)
            vec_push(tmp, r, ((Range){s->u.loop.v, lo, hi - 1}));
        if (ranges_around(tmp, s->u.loop.body, inner, r)) return true;
        r->n = n;
    }
    return false;
}
static Look look_at(Arena *tmp, const Func *f, Stmt *loop, const Privates *p) {
    Look w = {
        .tmp = tmp, .v = loop->u.loop.v, .skip = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1), .written = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1)};
    w.kind = NEW_ARRAY(tmp, uint8_t, f->nvar + 1), w.let = NEW_ARRAY(tmp, Affine, f->nvar + 1);
    w.lo = NEW_ARRAY(tmp, int64_t, f->nvar + 1), w.hi = NEW_ARRAY(tmp, int64_t, f->nvar + 1);
    w.most = NEW_ARRAY(tmp, int64_t, f->nvar + 1), w.over = NEW_ARRAY(tmp, int64_t, f->nvar + 1);
    for (int i = 0; p && i < p->scratch.n; i++) w.skip[p->scratch.v[i]->id] = 1;
    for (int i = 0; p && i < p->local.n; i++) w.skip[p->local.v[i]->id] = 1;
    int64_t lo, hi;
    w.ok = e_is_int(loop->u.loop.lo, &lo) && e_is_int(loop->u.loop.hi, &hi);
    if (!w.ok) return w;
    w.last = hi - 1, w.outside = NEW_ARRAY(tmp, Affine, f->nbuf + 1);
    ranges_around(tmp, f->body, loop, &w.r);
    look(&w, loop);
    return w;
}
bool iterations_apart(Arena *tmp, const Func *f, Stmt *loop, const Privates *p) {
    Look w = look_at(tmp, f, loop, p);
    int64_t first = 0;
    e_is_int(loop->u.loop.lo, &first);
    for (int i = 0; i < w.access.n && w.ok; i++) {
        const Buf *b = w.access.v[i].b;
        if (w.written[b->id] != 1) continue;
        w.ok = buffer_apart(&w, b, first);
        w.written[b->id] = 2; /* looked at */
    }
    return w.ok;
}
int64_t *loop_steps(Arena *tmp, const Func *f, Stmt *loop) {
    Look w = look_at(tmp, f, loop, NULL);
    int64_t *step = NEW_ARRAY(tmp, int64_t, f->nbuf + 1);
    for (int i = 0; i <= f->nbuf; i++) step[i] = STEP_NONE;
    for (int i = 0; i < w.access.n; i++) {
        const Access *x = &w.access.v[i];
        int64_t *of = &step[x->b->id];
        *of = *of == STEP_NONE || *of == x->step ? x->step : STEP_MIXED;
    }
    return step;
}
