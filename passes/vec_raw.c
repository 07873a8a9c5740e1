/* SPDX-License-Identifier: Apache-2.0 */
/* vec_raw.c: in a nest that only moves elements of a type which arithmetic has no vectors for (halves as they are stored, small floats,
 * truth values), these are taken as unsigned integers of their size: nothing is converted there and back.
 *
 *   x, y: float16:  y[j, i] = x[i, j]   --->   x, y: uint16:  y[j, i] = x[i, j]
 */
#include "vectorise.h"
#include <string.h>

typedef struct Raw {
    Arena *a;
    DType t, as;
    bool bad;
} Raw;
static bool concerns(const Raw *x, const Buf *b) { return b->dt == x->t; }
static bool uses(const Raw *x, const Expr *e) {
    int n;
    Expr **v = e_operands(e, &n);
    if (e->k == E_LOAD && concerns(x, e->u.ld.buf)) return true;
    for (int i = 0; i < n; i++)
        if (uses(x, v[i])) return true;
    return false;
}
/* An element as it is: loaded, constant, or chosen of such. */
static bool moved(const Raw *x, const Expr *e) {
    if (e->k == E_SELECT) return !uses(x, e->u.a[0]) && moved(x, e->u.a[1]) && moved(x, e->u.a[2]);
    if (e->k != E_LOAD) return e->k == E_FLT || e->k == E_INT;
    for (int i = 0; i < e->narg; i++)
        if (uses(x, e->u.ld.idx[i])) return false;
    return concerns(x, e->u.ld.buf);
}
static Expr *mark(void *user, Expr *e) {
    Raw *x = user;
    x->bad |= uses(x, e);
    return e;
}
static void check(Raw *x, Stmt *s) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) check(x, s->u.block.v[i]);
        break;
    case S_STORE:
        for (int i = 0; i < s->u.st.buf->rank; i++) mark(x, s->u.st.idx[i]);
        if (!concerns(x, s->u.st.buf)) mark(x, s->u.st.val);
        else if (s->u.st.red != RED_NONE || !moved(x, s->u.st.val)) x->bad = true;
        break;
    case S_FOR:
        mark(x, s->u.loop.lo), mark(x, s->u.loop.hi);
        check(x, s->u.loop.body);
        break;
    case S_LET: mark(x, s->u.let.val); break;
    case S_IF:
        mark(x, s->u.cond.cond);
        check(x, s->u.cond.then);
        if (s->u.cond.other) check(x, s->u.cond.other);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.nbuf; i++) x->bad |= concerns(x, s->u.call.buf[i]);
        break;
    case S_ALLOC: break;
    }
}
static Expr *raw(const Raw *x, Expr *e) {
    if (e->k == E_SELECT) return e_select(x->a, e->u.a[0], raw(x, e->u.a[1]), raw(x, e->u.a[2]));
    if (e->k == E_LOAD) {
        Expr *r = NEW(x->a, Expr); /* its buffer gets its type last */
        *r = *e;
        r->t = x->as;
        return r;
    }
    uint64_t bits = 0;
    if (e->k == E_FLT) dtype_set_f(x->t, &bits, 0, e->u.f);
    else dtype_set_i(x->t, &bits, 0, e->u.i);
    return e_lit_i(x->a, x->as, dtype_get_i(x->as, &bits, 0));
}
static void change(void *user, Stmt *s) {
    const Raw *x = user;
    if (s->k == S_STORE && concerns(x, s->u.st.buf)) s->u.st.val = raw(x, s->u.st.val);
}
static void retype(void *user, Stmt *s) {
    const Raw *x = user;
    if (s->k == S_ALLOC && concerns(x, s->u.alloc)) s->u.alloc->dt = x->as;
}
void vec_raw(Func *f) {
    for (int t = DT_NONE + 1; t < DT_COUNT; t++) {
        int bits = dtype_info[t].bits;
        Raw x = {f->a, (DType)t, bits == 8 ? DT_UINT8 : DT_UINT16, false};
        if ((bits != 8 && bits != 16) || (dtype_compute((DType)t) == (DType)t && t != DT_BOOL)) continue;
        bool any = false;
        for (int i = 0; i < f->param.n; i++) any |= concerns(&x, f->param.v[i]);
        if (!any) continue;
        check(&x, f->body);
        if (x.bad) continue;
        stmt_each(f->body, change, &x);
        stmt_each(f->body, retype, &x);
        for (int i = 0; i < f->param.n; i++)
            if (concerns(&x, f->param.v[i])) f->param.v[i]->dt = x.as;
    }
}
