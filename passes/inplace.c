/* SPDX-License-Identifier: Apache-2.0 */
/* inplace.c: which operand's storage a result may take over, read off the loop nest. Parameter y may stand on x's bytes when
 * y is stored by one statement, once per element, and each load of x is at that element's own address in the same iteration,
 * before the store. Then whatever order the iterations run in, no element is overwritten before its last load. It follows
 * that a schedule of such a kernel must not compute an element twice.
 *
 *   for i: for j:  y[i,j] = acc + x[i,j]      yes            y[i,j] = x[j,i]   no            y[i,j] = x[i,0]   no
 */
#include "internal.h"
#include <stdlib.h>

typedef struct Access { /* of one parameter, over the whole nest */
    int loads, stores;
    bool mixed;           /* accesses at different addresses, or not affine, or by a call: no candidate */
    Affine at;            /* the address, in elements from the base */
    int last_load, store; /* positions in the text */
    int depth;            /* loops around the store */
} Access;
typedef struct Walk {
    const Func *f;
    Access *a;           /* per parameter */
    int *param;          /* buffer id -> parameter, or -1 */
    Vec(Stmt *) loops;   /* around the current statement */
    Stmt ***store_loops; /* per parameter: the loops around its store */
    Arena *tmp;
    int pos;
} Walk;

/* The linear address of an access; terms in order of the variables' ids. */
static bool address(const Buf *b, Expr *const *idx, Affine *out) {
    *out = (Affine){.c = b->offset};
    for (int d = 0; d < b->rank; d++) {
        Affine t;
        int64_t k;
        if (!expr_affine(idx[d], &t) || !mul_ok(t.c, b->stride[d], &k) || !add_ok(out->c, k, &out->c)) return false;
        for (int i = 0; i < t.n; i++) {
            if (!mul_ok(t.k[i], b->stride[d], &k)) return false;
            int p = 0;
            while (p < out->n && out->v[p]->id < t.v[i]->id) p++;
            if (p < out->n && out->v[p] == t.v[i]) {
                if (!add_ok(out->k[p], k, &out->k[p])) return false;
                continue;
            }
            if (out->n == 16) return false;
            for (int q = out->n++; q > p; q--) out->v[q] = out->v[q - 1], out->k[q] = out->k[q - 1];
            out->v[p] = t.v[i], out->k[p] = k;
        }
    }
    return true;
}
static bool same_address(const Affine *x, const Affine *y) {
    if (x->c != y->c || x->n != y->n) return false;
    for (int i = 0; i < x->n; i++)
        if (x->v[i] != y->v[i] || x->k[i] != y->k[i]) return false;
    return true;
}
static void note(Walk *w, const Buf *b, Expr *const *idx) {
    Access *a = &w->a[w->param[b->id]];
    Affine at;
    if (!address(b, idx, &at) || (a->loads + a->stores && !same_address(&at, &a->at))) a->mixed = true;
    a->at = at;
}
static Expr *on_expr(void *user, Expr *e) {
    Walk *w = user;
    if (e->k == E_LOAD && w->param[e->u.ld.buf->id] >= 0) {
        Access *a = &w->a[w->param[e->u.ld.buf->id]];
        note(w, e->u.ld.buf, e->u.ld.idx);
        a->loads++, a->last_load = w->pos;
    }
    return e;
}
static void visit(Walk *w, Expr *e) {
    if (e) expr_map(w->tmp, e, on_expr, w);
}
static void on_store(Walk *w, Stmt *s) {
    int p = w->param[s->u.st.buf->id];
    if (p < 0) return;
    Access *a = &w->a[p];
    note(w, s->u.st.buf, s->u.st.idx);
    if (s->u.st.red != RED_NONE) a->mixed = true;
    a->stores++, a->store = w->pos, a->depth = w->loops.n;
    w->store_loops[p] = NEW_ARRAY(w->tmp, Stmt *, w->loops.n + 1);
    for (int i = 0; i < w->loops.n; i++) w->store_loops[p][i] = w->loops.v[i];
}
static void walk(Walk *w, Stmt *s) { /* as deep as the loops are nested */
    w->pos++;
    switch (s->k) {
    case S_FOR:
        visit(w, s->u.loop.lo), visit(w, s->u.loop.hi);
        vec_push(w->tmp, &w->loops, s);
        walk(w, s->u.loop.body);
        w->loops.n--;
        break;
    case S_STORE:
        for (int i = 0; i < s->u.st.buf->rank; i++) visit(w, s->u.st.idx[i]);
        visit(w, s->u.st.val);
        on_store(w, s);
        break;
    case S_LET: visit(w, s->u.let.val); break;
    case S_IF:
        visit(w, s->u.cond.cond);
        walk(w, s->u.cond.then);
        if (s->u.cond.other) walk(w, s->u.cond.other);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.narg; i++) visit(w, s->u.call.arg[i]);
        for (int i = 0; i < s->u.call.nbuf; i++)
            if (w->param[s->u.call.buf[i]->id] >= 0) w->a[w->param[s->u.call.buf[i]->id]].mixed = true;
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) walk(w, s->u.block.v[i]);
        break;
    case S_ALLOC: break;
    }
}

typedef struct Term {
    int64_t k, extent;
} Term;
static int by_step(const void *x, const void *y) {
    const Term *a = x, *b = y;
    return a->k < b->k ? -1 : a->k > b->k;
}
/* Whether no two iterations of the loops around a store have the same address: a mixed-radix check. */
static bool once_per_element(const Affine *at, Stmt *const *loops, int depth) {
    Term t[16];
    int n = 0;
    for (int i = 0; i < depth; i++) {
        int64_t lo, hi, k = 0;
        if (!e_is_int(loops[i]->u.loop.lo, &lo) || !e_is_int(loops[i]->u.loop.hi, &hi)) return false;
        if (hi - lo <= 1) continue;
        for (int j = 0; j < at->n; j++)
            if (at->v[j] == loops[i]->u.loop.v) k = at->k[j];
        if (k == 0 || k == INT64_MIN || n == 16) return false;
        t[n++] = (Term){k < 0 ? -k : k, hi - lo};
    }
    for (int j = 0; j < at->n; j++) { /* every variable of the address is one of these loops */
        bool found = false;
        for (int i = 0; i < depth; i++) found |= loops[i]->u.loop.v == at->v[j];
        if (!found) return false;
    }
    qsort(t, (size_t)n, sizeof *t, by_step);
    int64_t span = 0, part;
    for (int i = 0; i < n; i++) {
        if (t[i].k <= span) return false;
        if (!mul_ok(t[i].k, t[i].extent - 1, &part) || !add_ok(span, part, &span)) return false;
    }
    return true;
}

void inplace_pairs(Arena *a, Arena *tmp, Kernel *k) {
    const Func *f = k->f;
    int np = f->param.n;
    Walk w = {.f = f, .tmp = tmp, .a = NEW_ARRAY(tmp, Access, np + 1), .param = NEW_ARRAY(tmp, int, f->nbuf + 1)};
    w.store_loops = NEW_ARRAY(tmp, Stmt **, np + 1);
    for (int i = 0; i < f->nbuf; i++) w.param[i] = -1;
    for (int i = 0; i < np; i++) w.param[f->param.v[i]->id] = i;
    walk(&w, f->body);
    for (int y = 0; y < np; y++) {
        const Access *ay = &w.a[y];
        const Buf *by = f->param.v[y];
        if (ay->mixed || ay->stores != 1 || ay->loads || !k->arg.v[y]) continue;
        if (!once_per_element(&ay->at, w.store_loops[y], ay->depth)) continue;
        for (int x = 0; x < np; x++) {
            const Access *ax = &w.a[x];
            if (x == y || ax->mixed || ax->stores || !ax->loads || !k->arg.v[x] || ax->last_load > ay->store) continue;
            int bits = dtype_info[by->dt].bits;
            if (dtype_info[f->param.v[x]->dt].bits != bits || bits < 8 || !same_address(&ax->at, &ay->at)) continue;
            vec_push(a, &k->inplace, y);
            vec_push(a, &k->inplace, x);
        }
    }
}
