/* SPDX-License-Identifier: Apache-2.0 */
/* narrow.c: vector loops that were made for longer vectors than a target has become several of its own, written out. Nothing is
 * reordered: lane for lane the same operations, so a sum over lanes keeps its order on every target.
 *
 *   vec l in 0..16: acc[l] += a*w[l]   --->   unroll l_u in 0..2: vec l in 0..8: acc[l_u*8+l] += a*w[l_u*8+l]
 */
#include "tile.h"

static int expr_bits(const Expr *e) {
    int bits = e->k == E_INT || e->k == E_VAR || e->k == E_FLT ? 0 : dtype_info[e->t].bits;
    if (e->k == E_LOAD) return dtype_info[e->u.ld.buf->dt].bits; /* indices are scalars */
    int n = e->k == E_UN || e->k == E_CAST ? 1 : e->k == E_BIN ? 2 : e->k == E_SELECT ? 3 : 0;
    for (int i = 0; i < n; i++) bits = (int)max_i64(bits, expr_bits(e->u.a[i]));
    for (int i = 0; e->k == E_CALL && i < e->narg; i++) bits = (int)max_i64(bits, expr_bits(e->u.arg[i]));
    return bits;
}
/* Of the widest elements that a body works on. */
static int body_bits(const Stmt *s) {
    int bits = 0;
    switch (s->k) {
    case S_STORE: return (int)max_i64(dtype_info[s->u.st.buf->dt].bits, expr_bits(s->u.st.val));
    case S_LET: return expr_bits(s->u.let.val);
    case S_FOR: return body_bits(s->u.loop.body);
    case S_IF: bits = body_bits(s->u.cond.then); return s->u.cond.other ? (int)max_i64(bits, body_bits(s->u.cond.other)) : bits;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) bits = (int)max_i64(bits, body_bits(s->u.block.v[i]));
        return bits;
    default: return 0;
    }
}
static void split(Func *f, Stmt *loop, int64_t lo, int64_t n, int64_t lanes) {
    Arena *a = f->a;
    Var *v = loop->u.loop.v, *u = var_new(f, arena_printf(a, "%s_u", v->name), v->t), *l = var_new(f, v->name, v->t);
    Stmt *inner = s_for(a, l, e_int(a, 0), e_int(a, lanes));
    inner->u.loop.mode = LOOP_VEC, inner->u.loop.body = loop->u.loop.body, inner->u.loop.level = loop->u.loop.level;
    Expr *at = e_add(a, e_mul(a, e_var(a, u), e_int(a, lanes)), e_var(a, l));
    stmt_subst(a, inner->u.loop.body, v, lo ? e_add(a, at, e_int(a, lo)) : at);
    loop->u.loop.v = u, loop->u.loop.lo = e_int(a, 0), loop->u.loop.hi = e_int(a, n / lanes);
    loop->u.loop.mode = LOOP_UNROLL, loop->u.loop.body = s_block(a);
    s_append(a, loop->u.loop.body, inner);
}
static void narrow(Func *f, Stmt *s, int64_t vector_bits) {
    switch (s->k) {
    case S_FOR: {
        int64_t lo, hi, bits = body_bits(s->u.loop.body);
        bool known = e_is_int(s->u.loop.lo, &lo) && e_is_int(s->u.loop.hi, &hi);
        if (s->u.loop.mode != LOOP_VEC) narrow(f, s->u.loop.body, vector_bits);
        else if (known && bits && (hi - lo) * bits > vector_bits && (hi - lo) % (vector_bits / bits) == 0)
            split(f, s, lo, hi - lo, vector_bits / bits);
        break;
    }
    case S_IF:
        narrow(f, s->u.cond.then, vector_bits);
        if (s->u.cond.other) narrow(f, s->u.cond.other, vector_bits);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) narrow(f, s->u.block.v[i], vector_bits);
        break;
    default: break;
    }
}
void narrow_vectors(Func *f, const Target *t) {
    if (t->vector_bits < 128) return; /* plain loops are printed */
    narrow(f, f->body, t->vector_bits);
    func_simplify(f);
}
