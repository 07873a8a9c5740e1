/* SPDX-License-Identifier: Apache-2.0 */
/* emit_rows.c: vector operations that a target has an instruction for. A row with `value` gives the C expression of one operation on
 * all lanes; its meaning is the loop `y[l] = a[l] op b[l]`. It is used where the compilers do not find the instruction themselves.
 *
 *   most = max(x, y) on 16 lanes   --->   _mm512_max_ps(y, x)
 */
#include "internal.h"
#include "ir/target.h"
#include <string.h>

/* The operation of `for l in 0..n: y[l] = a[l] op b[l]`, or NULL. */
static const Expr *meaning(const Func *f, int64_t *lanes) {
    if (f->body->u.block.n != 1 || f->param.n != 3) return NULL;
    const Stmt *loop = f->body->u.block.v[0];
    if (loop->k != S_FOR || !e_is_int(loop->u.loop.hi, lanes) || loop->u.loop.body->u.block.n != 1) return NULL;
    const Stmt *store = loop->u.loop.body->u.block.v[0];
    const Expr *e = store->k == S_STORE ? store->u.st.val : NULL;
    if (!e || e->k != E_BIN) return NULL;
    for (int i = 0; i < 2; i++)
        if (e->u.a[i]->k != E_LOAD || e->u.a[i]->u.ld.buf != f->param.v[i]) return NULL;
    return e;
}
static void load_rows(Emit *E) {
    const Target *target = E->style.target;
    E->rows_loaded = true;
    for (int i = 0; target && i < target->ninstr; i++) {
        const TargetInstr *r = &target->instr[i];
        if (!r->value || r->needs) continue;
        Diags d = {.a = E->a};
        Ctx c = {E->a, &d};
        Func *f = func_parse(&c, target->name, r->means);
        int64_t lanes;
        const Expr *e = f ? meaning(f, &lanes) : NULL;
        if (!e) BUG("target %s: the meaning of value row %s is not `y[l] = a[l] op b[l]`", target->name, r->name);
        VecRow row = {e->op, e->t, (int)lanes, r->emit, {f->param.v[0]->name, f->param.v[1]->name}};
        vec_push(E->a, &E->rows, row);
    }
}
bool put_row(Emit *E, Text *t, const Expr *e) {
    if (!E->rows_loaded) load_rows(E);
    for (int i = 0; i < E->rows.n; i++) {
        const VecRow *r = &E->rows.v[i];
        if (r->op != e->op || r->t != e->t || r->lanes != E->lanes) continue;
        for (const char *s = r->text; *s; s++) {
            int k = 0;
            size_t n = 0;
            for (; *s == '{' && k < 2; k++) {
                n = strlen(r->operand[k]);
                if (strncmp(s + 1, r->operand[k], n) == 0 && s[1 + n] == '}') break;
            }
            if (*s == '{' && k < 2) {
                put_lanes(E, t, e->u.a[k]);
                s += n + 1;
            } else text_putn(t, s, 1);
        }
        return true;
    }
    return false;
}
