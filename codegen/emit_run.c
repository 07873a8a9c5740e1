/* SPDX-License-Identifier: Apache-2.0 */
/* emit_run.c: runs of products that vector variables gather, as unrolled blocks have them. An operand that occurs more than once in a
 * run is named: C compilers find repeated ones too, but only after they have looked at a load, and at a broadcast of all its lanes,
 * for every product, which is a good part of the time that they take. Variables that begin with the same value are copies of the first.
 *
 *   acc0_0 += a[c] * *(const v16f_u *)&b[k];        const v16f x = a[c] - (v16f){0}; const v16f w = *(const v16f_u *)&b[k];
 *   acc1_0 += a[c + 16] * *(const v16f_u *)&b[k];   acc0_0 += x * w;
 *   acc0_1 += a[c] * *(const v16f_u *)&b[k + 16];   acc1_0 += a[c + 16] * w; …
 *
 * Assumes that only the gathering variables are written in a run: what is named keeps its value to the end of it.
 */
#include "internal.h"
#include <string.h>

enum { MIN_RUN = 4 };
typedef struct Operand {
    const char *text, *name; /* name: NULL until it has one */
    int uses;
} Operand;
typedef struct Run {
    Vec(Operand) operand;
    Map *by_text; /* text -> index + 1 */
} Run;

/* A load from memory whose index is no more than a sum of a variable, the lane and a number. */
static bool plain_load(const Emit *E, const Expr *e, const Var *lane) {
    Affine sum;
    if (e->k != E_LOAD || E->buf[e->u.ld.buf->id].kind != REG_MEMORY || dtype_info[e->t].bits < 8) return false;
    int others = 0;
    for (int i = 0; i < e->narg; i++) {
        if (!expr_affine(e->u.ld.idx[i], &sum)) return false;
        for (int k = 0; k < sum.n; k++) others += sum.v[k] != lane;
    }
    return others <= 1;
}
/* `acc[lane] += x * y` of a variable that is a vector. */
static bool gathers(Emit *E, const Stmt *s, const Var *lane) {
    if (s->k != S_STORE || s->u.st.red != RED_ADD) return false;
    const Buf *b = s->u.st.buf;
    const Expr *e = s->u.st.val;
    if (E->buf[b->id].kind != REG_VECTORS || E->buf[b->id].lane_private || !dtype_is_float(b->dt)) return false;
    if (e->k != E_BIN || e->op != BIN_MUL || has_row(E, e) || !plain_load(E, e->u.a[0], lane) || !plain_load(E, e->u.a[1], lane))
        return false;
    return expr_uses(s->u.st.idx[b->rank - 1], lane);
}
/* Stores of a statement that may be part of a run: one, or those of a loop over lanes; 0: it is not part of any. */
static int stores_of(Emit *E, const Stmt *s) {
    if (E->vec) return gathers(E, s, E->vec);
    if (s->k != S_FOR || s->u.loop.mode != LOOP_VEC || !E->style.vectors) return 0;
    const Stmt *body = s->u.loop.body;
    int64_t lo = 0, hi = 0;
    e_is_int(s->u.loop.lo, &lo), e_is_int(s->u.loop.hi, &hi);
    E->lanes = (int)(hi - lo);
    int n = 0;
    while (n < body->u.block.n && gathers(E, body->u.block.v[n], s->u.loop.v)) n++;
    E->lanes = 0;
    return n == body->u.block.n ? n : 0;
}
static Operand *operand_of(Emit *E, Run *r, const Expr *e) {
    Text t = {0};
    put_vec(E, &t, e, P_TOP);
    intptr_t at = (intptr_t)map_get(r->by_text, t.s);
    if (!at) {
        vec_push(E->a, &r->operand, ((Operand){.text = arena_strdup(E->a, t.s)}));
        at = r->operand.n;
        map_set(r->by_text, r->operand.v[at - 1].text, (void *)at);
    }
    text_free(&t);
    return &r->operand.v[at - 1];
}
static void count(Emit *E, Run *r, const Stmt *s) {
    for (int i = 0; i < 2; i++) operand_of(E, r, s->u.st.val->u.a[i])->uses++;
}
static void name_operands(Emit *E, Run *r, const Stmt *s) {
    for (int i = 0; i < 2; i++) {
        Operand *o = operand_of(E, r, s->u.st.val->u.a[i]);
        if (o->uses < 2 || o->name) continue;
        o->name = scope_name(E, vec_shape(E, s->u.st.val->u.a[i]) ? "w" : "x");
        put_line(E, arena_printf(E->a, "const %s %s = %s;", vec_type(E, s->u.st.val->t, false), o->name, o->text));
    }
}
static void print(Emit *E, Run *r, const Stmt *s) {
    Text t = {0};
    name_operands(E, r, s);
    put_reg_name(E, &t, s->u.st.buf, reg_element(E, s->u.st.buf, s->u.st.idx));
    for (int i = 0; i < 2; i++) {
        const Expr *e = s->u.st.val->u.a[i];
        const Operand *o = operand_of(E, r, e);
        text_puts(&t, i ? " * " : " += ");
        if (o->name) text_puts(&t, o->name);
        else put_operand(E, &t, e, P_MUL + i);
    }
    text_puts(&t, ";");
    put_line(E, t.s);
    text_free(&t);
}
static void each_store(Emit *E, Run *r, const Stmt *s, void (*fn)(Emit *, Run *, const Stmt *)) {
    if (E->vec) {
        fn(E, r, s);
        return;
    }
    vec_open(E, s);
    for (int i = 0; i < s->u.loop.body->u.block.n; i++) fn(E, r, s->u.loop.body->u.block.v[i]);
    vec_close(E);
}
static bool same_lanes(const Stmt *x, const Stmt *y) {
    int64_t lo[2], hi[2];
    return x->k != S_FOR || (e_is_int(x->u.loop.lo, &lo[0]) && e_is_int(y->u.loop.lo, &lo[1]) && e_is_int(x->u.loop.hi, &hi[0]) &&
                             e_is_int(y->u.loop.hi, &hi[1]) && lo[0] == lo[1] && hi[0] == hi[1]);
}
int put_products(Emit *E, const Stmt *block, int at) {
    int n = 0, stores = 0;
    const Stmt *const *v = (const Stmt *const *)&block->u.block.v[at];
    for (int k; at + n < block->u.block.n && (k = stores_of(E, v[n])) > 0 && same_lanes(v[n], v[0]); n++) stores += k;
    if (stores < MIN_RUN) return 0;
    Run r = {.by_text = map_new(E->a)};
    for (int i = 0; i < n; i++) each_store(E, &r, v[i], count);
    for (int i = 0; i < n; i++) each_store(E, &r, v[i], print);
    return n;
}

const char *held_value(Emit *E, const char *value, const char *name) {
    if (!E->held || E->held_line != E->lines) E->held = map_new(E->a);
    const char *holder = map_get(E->held, value);
    if (!holder) map_set(E->held, arena_strdup(E->a, value), (void *)arena_strdup(E->a, name));
    E->held_line = E->lines + 1;
    return holder;
}
