/* SPDX-License-Identifier: Apache-2.0 */
/* dot.c: words of four bytes and their products, see dot.h.
 *
 *   x[4k] | x[4k+1]<<8 | x[4k+2]<<16 | x[4k+3]<<24   --->   found as the word at &x[4k], which C loads at once
 */
#include "dot.h"
#include <string.h>

/* ---- instruction rows */
enum { PARTS_REGS = 4 }; /* of even and odd bytes of both operands */
static const Stmt *only(const Stmt *block, StmtKind k) {
    return block->u.block.n == 1 && block->u.block.v[0]->k == k ? block->u.block.v[0] : NULL;
}
static bool runs(const Stmt *loop, int64_t n) {
    int64_t lo, hi;
    return loop && e_is_int(loop->u.loop.lo, &lo) && e_is_int(loop->u.loop.hi, &hi) && lo == 0 && hi == n;
}
static bool byte_at(const Expr *e, const Buf *b, int n, const Var *const *at) { /* int32(b[at…]) */
    if (e->k != E_CAST || e->to != DT_INT32 || e->u.a[0]->k != E_LOAD || e->u.a[0]->u.ld.buf != b || b->rank != n) return false;
    for (int i = 0; i < n; i++) {
        const Expr *x = e->u.a[0]->u.ld.idx[i];
        if (x->k != E_VAR || x->u.v != at[i]) return false;
    }
    return true;
}
bool dot_row(Arena *a, const Target *t, const TargetInstr *r, DotRow *out) {
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Func *f = r->value && !r->needs ? func_parse(&c, t->name, r->means) : NULL;
    if (!f || f->param.n != 3) return false;
    const Buf *x = f->param.v[0], *w = f->param.v[1], *sum = f->param.v[2];
    if (x->rank != 1 || x->dim[0] != WORD_BYTES || w->rank != 2 || w->dim[1] != WORD_BYTES || sum->rank != 1 || w->dim[0] != sum->dim[0])
        return false;
    if ((x->dt != DT_UINT8 && x->dt != DT_INT8) || w->dt != DT_INT8 || sum->dt != DT_INT32) return false;
    const Stmt *l = only(f->body, S_FOR), *k = l && runs(l, sum->dim[0]) ? only(l->u.loop.body, S_FOR) : NULL;
    const Stmt *s = k && runs(k, WORD_BYTES) ? only(k->u.loop.body, S_STORE) : NULL;
    if (!s || s->u.st.buf != sum || s->u.st.red != RED_ADD || s->u.st.idx[0]->k != E_VAR || s->u.st.idx[0]->u.v != l->u.loop.v)
        return false;
    const Expr *v = s->u.st.val;
    const Var *at[2] = {l->u.loop.v, k->u.loop.v};
    if (v->k != E_BIN || v->op != BIN_MUL || !byte_at(v->u.a[0], x, 1, at + 1) || !byte_at(v->u.a[1], w, 2, at)) return false;
    *out = (DotRow){x->dt == DT_UINT8 ? CALL_DOT_US : CALL_DOT_SS,
                    (int)sum->dim[0],
                    r->cycles > 1 ? PARTS_REGS : 0,
                    r->cycles,
                    r->emit,
                    {sum->name, x->name, w->name}};
    return true;
}
bool target_dot(Arena *a, const Target *t, int lanes, DotRow *out) {
    for (int i = 0; t && i < t->ninstr; i++)
        if (dot_row(a, t, &t->instr[i], out) && out->lanes == lanes) return true;
    return false;
}

/* ---- words */
Expr *e_word(Arena *a, Expr *const *byte, int n) {
    Expr *word = NULL;
    for (int i = 0; i < n; i++) {
        Expr *b = e_cast(a, DT_INT32, e_cast(a, DT_UINT8, byte[i]));
        if (i) b = e_bin(a, BIN_SHL, b, e_lit_i(a, DT_INT32, 8 * i));
        word = word ? e_bin(a, BIN_OR, word, b) : b;
    }
    return word;
}
static const Expr *byte_of(const Expr *e) { /* the load behind the conversions */
    while (e->k == E_CAST && dtype_is_int(e->to)) e = e->u.a[0];
    return e->k == E_LOAD && dtype_info[e->u.ld.buf->dt].bits == 8 ? e : NULL;
}
static bool follows(const Expr *x, const Expr *y, int64_t by) { /* y is `by` elements behind x */
    const Buf *b = x->u.ld.buf;
    Affine p, q;
    if (y->u.ld.buf != b || b->rank < 1 || b->stride[b->rank - 1] != 1) return false;
    for (int i = 0; i < b->rank - 1; i++)
        if (x->u.ld.idx[i] != y->u.ld.idx[i] && !e_equal(x->u.ld.idx[i], y->u.ld.idx[i])) return false;
    if (!expr_affine(x->u.ld.idx[b->rank - 1], &p) || !expr_affine(y->u.ld.idx[b->rank - 1], &q) || p.n != q.n || q.c - p.c != by)
        return false;
    for (int i = 0; i < p.n; i++) {
        int k = 0;
        while (k < q.n && q.v[k] != p.v[i]) k++;
        if (k == q.n || q.k[k] != p.k[i]) return false;
    }
    return true;
}
bool e_is_word(const Expr *e, const Expr **first) {
    const Expr *part[WORD_BYTES];
    for (int i = WORD_BYTES - 1; i > 0; i--) {
        int64_t by;
        if (e->k != E_BIN || e->op != BIN_OR || e->t != DT_INT32) return false;
        const Expr *high = e->u.a[1];
        if (high->k != E_BIN || high->op != BIN_SHL || !e_is_int(high->u.a[1], &by) || by != 8 * i) return false;
        part[i] = byte_of(high->u.a[0]);
        if (!part[i]) return false;
        e = e->u.a[0];
    }
    *first = part[0] = byte_of(e);
    for (int i = 1; part[0] && i < WORD_BYTES; i++)
        if (!follows(part[0], part[i], i)) return false;
    return part[0] != NULL;
}
static Expr *byte_at_top(Arena *a, Expr *e, int i) { /* byte i in the highest place */
    return i == WORD_BYTES - 1 ? e : e_bin(a, BIN_SHL, e, e_lit_i(a, DT_INT32, 8 * (WORD_BYTES - 1 - i)));
}
Expr *e_dot_expand(Arena *a, const Expr *e) {
    Expr *sum = NULL, *top = e_lit_i(a, DT_INT32, 8 * (WORD_BYTES - 1));
    for (int i = 0; i < WORD_BYTES; i++) {
        Expr *w = e_bin(a, BIN_SHR, byte_at_top(a, e->u.arg[1], i), top);
        Expr *x = e->op == CALL_DOT_SS
                      ? e_bin(a, BIN_SHR, byte_at_top(a, e->u.arg[0], i), top)
                      : e_bin(a, BIN_AND, e_bin(a, BIN_SHR, e->u.arg[0], e_lit_i(a, DT_INT32, 8 * i)), e_lit_i(a, DT_INT32, 255));
        Expr *p = e_mul(a, x, w);
        sum = sum ? e_add(a, sum, p) : p;
    }
    return sum;
}
