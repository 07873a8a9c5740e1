/* SPDX-License-Identifier: Apache-2.0 */
/* emit_shuffle.c: a choice between elements of register buffers that depends on nothing but the lane is a shuffle of one or two
 * vectors. Which ones is found by computing the expression for each lane.
 *
 *   vec l in 0..4: t[l] = select(l % 2 == 0, a[l / 2], b[l / 2])   --->   t = QN_SHUFFLE(int32_t, 16, a, b, 0, 4, 1, 5);
 */
#include "internal.h"

bool vec_shuffle(const Emit *E, const Expr *e, Shuffle *s) {
    *s = (Shuffle){.n = 0};
    if (!E->vec || e->k != E_SELECT || e->t == DT_BOOL || E->lanes > 64 || !expr_uses(e->u.a[0], E->vec)) return false;
    const Expr *arm = e->u.a[1];
    if (arm->k != E_LOAD || arm->narg != 1 || arm->u.ld.buf->space != MEM_REG) return false;
    for (int l = 0; l < E->lanes; l++) {
        const Expr *x = e_subst(E->a, (Expr *)e, E->vec, e_int(E->a, E->vec_lo + l));
        int64_t at;
        if (x->k != E_LOAD || x->narg != 1 || x->u.ld.buf->space != MEM_REG || !e_is_int(x->u.ld.idx[0], &at) || at < 0) return false;
        const Buf *b = x->u.ld.buf;
        if (b->stride[0] != 1 || b->dim[0] % E->lanes || at >= b->dim[0]) return false;
        int k = 0;
        while (k < s->n && (s->buf[k] != b || s->first[k] != at / E->lanes * E->lanes)) k++;
        if (k == 2) return false;
        if (k == s->n) s->buf[s->n] = (Buf *)b, s->first[s->n++] = at / E->lanes * E->lanes;
        s->lane[l] = (uint8_t)(k * E->lanes + (int)(at % E->lanes));
    }
    for (int k = 0; k < s->n; k++) { /* vector k as a load of neighbours */
        Expr *at = e_add(E->a, e_int(E->a, s->first[k] - E->vec_lo), e_var(E->a, E->vec));
        s->load[k] = e_load(E->a, s->buf[k], &at);
    }
    return true;
}
void put_shuffle(Emit *E, Text *t, const Shuffle *s) {
    int bits = dtype_info[s->buf[0]->dt].bits;
    E->shuffles = true;
    text_printf(t, "QN_SHUFFLE(int%d_t, %d, ", bits, bits / 8 * E->lanes);
    put_vec(E, t, s->load[0], P_COND);
    text_puts(t, ", ");
    put_vec(E, t, s->load[s->n - 1], P_COND);
    for (int l = 0; l < E->lanes; l++) text_printf(t, ", %d", s->lane[l]);
    text_puts(t, ")");
}
