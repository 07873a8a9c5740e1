/* SPDX-License-Identifier: Apache-2.0 */
/* emit_base.c: many accesses of one straight piece of code differ by a constant only, once loops are unrolled. What their places have
 * in common is computed once: less text, and far less work for the C compiler, which would look at each product of each index.
 *
 *   acc0 += x[c * 80 + k] * w[k]; acc1 += x[c * 80 + k + 16] * w[k];
 *   --->  const int32_t at = c * 80 + k;  acc0 += x[at] * w[k]; acc1 += x[at + 16] * w[k];
 */
#include "internal.h"
#include <string.h>

typedef struct Base { /* a sum of multiples of variables */
    Affine sum;
    int uses, first; /* first: the statement of the block in which it is used first */
    Expr *var;
} Base;
typedef struct Region { /* statements of a block, in which nothing is repeated but lanes */
    Arena *a;
    Func *f;
    Vec(Base) base;
    bool *inner; /* by variable id: bound in a block of its own */
    int at;
    const Var *lane;
    bool count; /* else accesses are rewritten */
} Region;

/* What the place of an access is but for a constant and the lane. */
static bool split(const Region *r, const Buf *b, Expr *const *idx, Affine *sum, bool *lane) {
    bool reg = b->space == MEM_REG || b->rank == 0;
    if (reg || dtype_packed(b->dt) || b->stride[b->rank - 1] != 1) return false;
    Expr *flat = e_int(r->a, 0);
    for (int d = 0; d < b->rank; d++) flat = e_add(r->a, flat, e_mul(r->a, idx[d], e_int(r->a, b->stride[d])));
    if (!expr_affine(flat, sum)) return false;
    *lane = false;
    int n = 0;
    for (int i = 0; i < sum->n; i++) {
        if (sum->v[i] == r->lane && sum->k[i] == 1) *lane = true;
        else if (sum->v[i] == r->lane || r->inner[sum->v[i]->id]) return false;
        else sum->v[n] = sum->v[i], sum->k[n++] = sum->k[i];
    }
    sum->n = n;
    return n > 1 || (n == 1 && sum->k[0] != 1);
}
static bool same(const Affine *x, const Affine *y) {
    if (x->n != y->n) return false;
    for (int i = 0; i < x->n; i++) {
        int j = 0;
        while (j < y->n && y->v[j] != x->v[i]) j++;
        if (j == y->n || y->k[j] != x->k[i]) return false;
    }
    return true;
}
static Base *base_of(Region *r, const Affine *sum) {
    for (int i = 0; i < r->base.n; i++)
        if (same(&r->base.v[i].sum, sum)) return &r->base.v[i];
    if (!r->count) return NULL;
    vec_push(r->a, &r->base, ((Base){.sum = *sum, .first = r->at}));
    return &r->base.v[r->base.n - 1];
}
/* The place of an access as an index of the last axis alone; false: it stays as it is. */
static bool access(Region *r, const Buf *b, Expr *const *idx, Expr **place) {
    Affine sum;
    bool lane;
    if (!split(r, b, idx, &sum, &lane)) return false;
    Base *k = base_of(r, &sum);
    if (r->count) k->uses++;
    if (r->count || !k || !k->var) return false;
    Expr *e = lane ? e_add(r->a, k->var, e_var(r->a, (Var *)r->lane)) : k->var;
    *place = e_add(r->a, e, e_int(r->a, sum.c));
    return true;
}
static Expr **along_last(Arena *a, int rank, Expr *place) {
    Expr **idx = NEW_ARRAY(a, Expr *, rank);
    for (int d = 0; d < rank; d++) idx[d] = d == rank - 1 ? place : e_int(a, 0);
    return idx;
}
static Expr *visit_expr(void *user, Expr *e) {
    Region *r = user;
    Expr *place;
    if (e->k != E_LOAD || !access(r, e->u.ld.buf, e->u.ld.idx, &place)) return e;
    return e_load(r->a, e->u.ld.buf, along_last(r->a, e->u.ld.buf->rank, place));
}
static Expr *through(Region *r, Expr *e) { return expr_map(r->a, e, visit_expr, r); }
static void visit(Region *r, Stmt *s) {
    Expr *place;
    switch (s->k) {
    case S_STORE: {
        Buf *b = s->u.st.buf;
        Expr *val = through(r, s->u.st.val);
        for (int d = 0; d < b->rank; d++) s->u.st.idx[d] = through(r, s->u.st.idx[d]);
        if (access(r, b, s->u.st.idx, &place)) s->u.st.idx = along_last(r->a, b->rank, place);
        if (!r->count) s->u.st.val = val;
        break;
    }
    case S_LET: {
        Expr *val = through(r, s->u.let.val);
        if (!r->count) s->u.let.val = val;
        break;
    }
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) {
            const Stmt *t = s->u.block.v[i];
            if (t->k == S_LET) r->inner[t->u.let.v->id] = true;
            visit(r, s->u.block.v[i]);
        }
        break;
    case S_FOR: /* of lanes; others are regions of their own */
        if (s->u.loop.mode != LOOP_VEC || r->lane) break;
        r->lane = s->u.loop.v;
        visit(r, s->u.loop.body);
        r->lane = NULL;
        break;
    default: break;
    }
}
static Expr *value_of(Arena *a, const Affine *sum) {
    Expr *e = NULL;
    for (int i = 0; i < sum->n; i++) {
        Expr *term = e_mul(a, e_var(a, (Var *)sum->v[i]), e_int(a, sum->k[i]));
        e = e ? e_add(a, e, term) : term;
    }
    return e;
}
static void block_bases(Func *f, Stmt *block) {
    Region r = {.a = f->a, .f = f, .inner = NEW_ARRAY(f->a, bool, f->nvar + 1), .count = true};
    for (; r.at < block->u.block.n; r.at++) visit(&r, block->u.block.v[r.at]);
    Stmt *out = s_block(f->a);
    bool any = false;
    for (int i = 0; i < r.base.n; i++) {
        Base *b = &r.base.v[i];
        if (b->uses > 1) b->var = e_var(f->a, var_new(f, "at", DT_INT64)), any = true;
    }
    if (!any) return;
    r.count = false;
    for (r.at = 0; r.at < block->u.block.n; r.at++) {
        for (int i = 0; i < r.base.n; i++)
            if (r.base.v[i].var && r.base.v[i].first == r.at)
                s_append(f->a, out, s_let(f->a, (Var *)r.base.v[i].var->u.v, value_of(f->a, &r.base.v[i].sum)));
        visit(&r, block->u.block.v[r.at]);
        s_append(f->a, out, block->u.block.v[r.at]);
    }
    block->u.block = out->u.block;
}
/* Blocks whose loops are those of lanes belong to the region around them. */
static void regions(Func *f, Stmt *s, bool own) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) regions(f, s->u.block.v[i], false);
        if (own) block_bases(f, s);
        break;
    case S_FOR: regions(f, s->u.loop.body, s->u.loop.mode != LOOP_VEC); break;
    case S_IF:
        regions(f, s->u.cond.then, true);
        if (s->u.cond.other) regions(f, s->u.cond.other, true);
        break;
    default: break;
    }
}
void emit_bases(Func *f) { regions(f, f->body, true); }
