/* SPDX-License-Identifier: Apache-2.0 */
/* emit_rows.c: vector operations that a target has an instruction for. A row with `value` gives the C expression of one operation on
 * all lanes; its meaning is the loop `y[l] = a[l] op b[l]`, a conversion or four products. It is used where the compilers do not find the
 * instruction themselves.
 *
 *   most = max(x, y) on 16 lanes   --->   _mm512_max_ps(y, x)
 *   acc = acc + dot_us(x, w)       --->   _mm512_dpbusd_epi32(acc, x, w)
 */
#include "internal.h"
#include "ir/dot.h"
#include <string.h>

/* What `for l in 0..n: y[l] = …` stores, or NULL: an operation on loads of the operands. */
static const Expr *meaning(const Func *f, int64_t *lanes) {
    if (f->body->u.block.n != 1 || f->param.n < 2) return NULL;
    const Stmt *loop = f->body->u.block.v[0];
    if (loop->k != S_FOR || !e_is_int(loop->u.loop.hi, lanes) || loop->u.loop.body->u.block.n != 1) return NULL;
    const Stmt *store = loop->u.loop.body->u.block.v[0];
    const Expr *e = store->k == S_STORE ? store->u.st.val : NULL;
    int n = !e ? 0 : e->k == E_BIN ? 2 : e->k == E_CAST ? 1 : 0;
    if (!n || f->param.n != n + 1) return NULL;
    for (int i = 0; i < n; i++)
        if (e->u.a[i]->k != E_LOAD || e->u.a[i]->u.ld.buf != f->param.v[i]) return NULL;
    return e;
}
static void load_row(Emit *E, const TargetInstr *r) {
    const Target *target = E->style.target;
    DotRow dot;
    if (!r->value || r->needs) return;
    if (dot_row(E->a, target, r, &dot)) {
        VecRow row = {ROW_DOT, (int8_t)dot.fn, DT_INT32, DT_INT32, dot.lanes, dot.text, {dot.operand[0], dot.operand[1], dot.operand[2]}};
        vec_push(E->a, &E->rows, row);
        return;
    }
    Diags d = {.a = E->a};
    Ctx c = {E->a, &d};
    Func *f = func_parse(&c, target->name, r->means);
    int64_t lanes;
    const Expr *e = f ? meaning(f, &lanes) : NULL;
    if (!e) BUG("target %s: the meaning of value row %s is no operation, conversion or sum of four products", target->name, r->name);
    bool cast = e->k == E_CAST;
    VecRow row = {cast ? ROW_CAST : ROW_BIN, e->op, cast ? e->to : e->t, e->u.a[0]->t, (int)lanes, r->emit, {f->param.v[0]->name}};
    if (!cast) row.operand[1] = f->param.v[1]->name;
    vec_push(E->a, &E->rows, row);
}
static const VecRow *row_of(Emit *E, RowKind kind, int op, DType t, DType from) {
    const Target *target = E->style.target;
    for (int i = 0; target && i < target->ninstr && !E->rows_loaded; i++) load_row(E, &target->instr[i]);
    E->rows_loaded = true;
    for (int i = 0; i < E->rows.n; i++) {
        const VecRow *r = &E->rows.v[i];
        if (r->kind == kind && r->lanes == E->lanes && r->t == t && (kind == ROW_CAST ? r->from == from : r->op == op)) return r;
    }
    return NULL;
}
static void put_text(Text *t, const VecRow *r, const char *const *operand) {
    for (const char *s = r->text; *s; s++) {
        int k = 0;
        size_t n = 0;
        for (; *s == '{' && k < 3 && r->operand[k]; k++) {
            n = strlen(r->operand[k]);
            if (strncmp(s + 1, r->operand[k], n) == 0 && s[1 + n] == '}') break;
        }
        if (*s == '{' && k < 3 && r->operand[k]) {
            text_puts(t, operand[k]);
            s += n + 1;
        } else text_putn(t, s, 1);
    }
}
static const char *lanes_text(Emit *E, const Expr *e) {
    Text t = {0};
    put_lanes(E, &t, e);
    const char *s = arena_strdup(E->a, t.s);
    text_free(&t);
    return s;
}
bool has_row(Emit *E, const Expr *e) { return row_of(E, ROW_BIN, e->op, e->t, e->t) != NULL; }
bool put_row(Emit *E, Text *t, const Expr *e) {
    const Expr *dot = e->op == BIN_ADD && e->u.a[1]->k == E_CALL && call_info[e->u.a[1]->op].kind == 'd' ? e->u.a[1] : NULL;
    const VecRow *r = dot ? row_of(E, ROW_DOT, dot->op, e->t, e->t) : row_of(E, ROW_BIN, e->op, e->t, e->t);
    if (!r) return false;
    const char *operand[3] = {lanes_text(E, e->u.a[0]), lanes_text(E, dot ? dot->u.arg[0] : e->u.a[1]), NULL};
    if (dot) operand[2] = lanes_text(E, dot->u.arg[1]);
    if (dtype_is_int(e->t)) text_printf(t, "(%s)", vec_type(E, e->t, false)); /* instructions on integers have one type for all of them */
    put_text(t, r, operand);
    return true;
}
/* Compilers convert integers to those of a quarter of their size, or four times as large, lane by lane: through the size between. */
const char *vec_convert(Emit *E, const char *text, DType from, DType to) {
    const VecRow *r = row_of(E, ROW_CAST, 0, to, from);
    Text t = {0};
    int bits = dtype_info[from].bits, into = dtype_info[to].bits;
    if (r) {
        text_printf(&t, "(%s)", vec_type(E, to, false));
        put_text(&t, r, &text);
    } else if (dtype_is_int(from) && dtype_is_int(to) && (bits == 4 * into || into == 4 * bits)) {
        bool is_signed = dtype_info[bits < into ? from : to].cls == CLS_SINT;
        DType between = bits + into == 40 ? (is_signed ? DT_INT16 : DT_UINT16) : is_signed ? DT_INT32 : DT_UINT32;
        text_puts(&t, vec_convert(E, vec_convert(E, text, from, between), between, to));
    } else text_printf(&t, "__builtin_convertvector(%s, %s)", text, vec_type(E, to, false));
    const char *s = arena_strdup(E->a, t.s);
    text_free(&t);
    return s;
}
