/* SPDX-License-Identifier: Apache-2.0 */
/* apart.c: do the iterations of a loop write elements of their own? The address of each access, in elements, is a sum of terms
 * k*v. Terms larger than the loop's own step move by multiples of their greatest common divisor M; what is left must stay below
 * the step, and all steps together below M: then the loop's variable is a digit of the address. This sees through buffers that
 * were flattened, which a test of one subscript at a time does not.
 *
 *   for e in 0..112: for u in 0..2: for x in 0..112: y[u*12544 + e*112 + x]      M 12544, step 112, the rest 0 to 111: apart
 */
#include "parallel.h"
#include <string.h>

typedef struct Term {
    int64_t k, lo, hi;
} Term;
typedef struct Access {
    const Buf *b;
    int64_t c, step; /* step: of the loop in question */
    Vec(Term) term;
} Access;
typedef struct Look {
    Arena *tmp;
    const Var *v;
    uint8_t *skip, *written; /* by buffer id: private or local; stored to in the loop */
    uint8_t *kind;           /* by variable id: 0 unknown, 1 loop, 2 let */
    int64_t *lo, *hi;        /* of a loop */
    Affine *let;             /* in terms of loops */
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
        if (w->kind[f->v[i]->id] != 1) return false;
        int at = 0;
        while (at < sum->n && sum->v[at] != f->v[i]) at++;
        if (at == 16) return false;
        if (at == sum->n) sum->v[sum->n] = f->v[i], sum->k[sum->n++] = 0;
        if (!add_ok(sum->k[at], k, &sum->k[at])) return false;
    }
    return true;
}
static void note(Look *w, const Buf *b, Expr *const *idx, bool store) {
    Affine sum = {0}, f;
    if (w->skip[b->id]) return;
    if (store) w->written[b->id] = 1;
    Access x = {.b = b};
    bool known = true;
    for (int d = 0; known && d < b->rank; d++) known = expr_affine(idx[d], &f) && add_affine(w, &sum, &f, b->stride[d]);
    for (int i = 0; known && i < sum.n; i++) {
        const int id = sum.v[i]->id;
        if (sum.v[i] == w->v) x.step = sum.k[i];
        else if (w->lo[id] == w->hi[id]) sum.c += sum.k[i] * w->lo[id];
        else vec_push(w->tmp, &x.term, ((Term){sum.k[i], w->lo[id], w->hi[id]}));
    }
    x.c = sum.c;
    if (!known) x.step = 0; /* nothing is known: refused if the buffer is written */
    vec_push(w->tmp, &w->access, x);
}
static Expr *look_load(void *user, Expr *e) {
    if (e->k == E_LOAD) note(user, e->u.ld.buf, e->u.ld.idx, false);
    return e;
}
static void look_expr(Look *w, Expr *e) { expr_map(w->tmp, e, look_load, w); }
static void look(Look *w, Stmt *s);
static void look_loop(Look *w, Stmt *s) {
    int64_t lo, hi, unused;
    const int id = s->u.loop.v->id;
    look_expr(w, s->u.loop.lo), look_expr(w, s->u.loop.hi);
    if (!expr_bounds(s->u.loop.lo, &w->r, &lo, &unused) || !expr_bounds(s->u.loop.hi, &w->r, &unused, &hi)) {
        w->ok = false;
        return;
    }
    if (hi <= lo) return;
    Range one = {s->u.loop.v, lo, hi - 1};
    vec_push(w->tmp, &w->r, one);
    w->kind[id] = 1, w->lo[id] = lo, w->hi[id] = hi - 1;
    look(w, s->u.loop.body);
    w->r.n--;
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
        look_expr(w, s->u.let.val);
        w->let[id] = (Affine){0};
        w->kind[id] = s->u.let.v->t == DT_INT64 && expr_affine(s->u.let.val, &f) && add_affine(w, &w->let[id], &f, 1) ? 2 : 0;
        break;
    }
    case S_IF:
        look_expr(w, s->u.cond.cond);
        look(w, s->u.cond.then);
        if (s->u.cond.other) look(w, s->u.cond.other);
        break;
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
/* The accesses to one buffer, n iterations. */
static bool buffer_apart(const Look *w, const Buf *b, int64_t n) {
    enum { LARGE = 1 << 30 };
    int64_t step = 0, period = 0, lo = INT64_MAX, hi = INT64_MIN;
    for (int i = 0; i < w->access.n; i++) {
        const Access *x = &w->access.v[i];
        if (x->b != b) continue;
        if (x->step == 0 || (step && x->step != step)) return false;
        step = x->step;
        for (int j = 0; j < x->term.n; j++) {
            if (size_of(x->term.v[j].k) > LARGE || size_of(x->term.v[j].lo) > LARGE || size_of(x->term.v[j].hi) > LARGE) return false;
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
        lo = min_i64(lo, from), hi = max_i64(hi, to);
    }
    int64_t reach;
    return hi - lo < size_of(step) && (!period || (mul_ok(size_of(step), n - 1, &reach) && reach + hi - lo < period));
}
bool iterations_apart(Arena *tmp, const Func *f, Stmt *loop, const Privates *p) {
    Look w = {
        .tmp = tmp, .v = loop->u.loop.v, .skip = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1), .written = NEW_ARRAY(tmp, uint8_t, f->nbuf + 1)};
    w.kind = NEW_ARRAY(tmp, uint8_t, f->nvar + 1), w.let = NEW_ARRAY(tmp, Affine, f->nvar + 1);
    w.lo = NEW_ARRAY(tmp, int64_t, f->nvar + 1), w.hi = NEW_ARRAY(tmp, int64_t, f->nvar + 1), w.ok = true;
    for (int i = 0; p && i < p->scratch.n; i++) w.skip[p->scratch.v[i]->id] = 1;
    for (int i = 0; p && i < p->local.n; i++) w.skip[p->local.v[i]->id] = 1;
    int64_t lo, hi;
    if (!e_is_int(loop->u.loop.lo, &lo) || !e_is_int(loop->u.loop.hi, &hi)) return false;
    look(&w, loop);
    for (int i = 0; i < w.access.n && w.ok; i++) {
        const Buf *b = w.access.v[i].b;
        if (w.written[b->id] != 1) continue;
        w.ok = buffer_apart(&w, b, hi - lo);
        w.written[b->id] = 2; /* looked at */
    }
    return w.ok;
}
