/* SPDX-License-Identifier: Apache-2.0 */
/* stream_nest.c: loops around one store in a form that can be compared: sizes, and for each operand an address that is affine in
 * the loops, and the value as postfix code. Two nests do the same if codes and types are equal and loops move the same operands;
 * the order of the loops, their sizes and the strides may differ, for these are part of a command.
 *   for m in 0..4: for k in 0..8: y[m] += x[m,k]   --->   sizes 4 8; y +1 +0, x +8 +1; reduction ADD, code LOAD 1
 */
#include "stream_internal.h"
#include <string.h>

int stream_type(DType dt) {
    switch (dt) {
    case DT_INT8: return QN_SIM_I8;
    case DT_UINT8: return QN_SIM_U8;
    case DT_INT16: return QN_SIM_I16;
    case DT_UINT16: return QN_SIM_U16;
    case DT_INT32: return QN_SIM_I32;
    case DT_UINT32: return QN_SIM_U32;
    case DT_INT64: return QN_SIM_I64;
    case DT_FLOAT32: return QN_SIM_F32;
    default: return -1;
    }
}

/* ---- affine values */
static bool is_const(const Lin *x) {
    for (int i = 0; i < QN_SIM_LOOPS; i++)
        if (x->k[i]) return false;
    return true;
}
static bool lin_scale(const Lin *x, int64_t by, Lin *out) {
    bool ok = mul_ok(x->c, by, &out->c);
    for (int i = 0; i < QN_SIM_LOOPS; i++) ok &= mul_ok(x->k[i], by, &out->k[i]);
    return ok;
}
static bool lin_add(const Lin *x, const Lin *y, Lin *out) {
    bool ok = add_ok(x->c, y->c, &out->c);
    for (int i = 0; i < QN_SIM_LOOPS; i++) ok &= add_ok(x->k[i], y->k[i], &out->k[i]);
    return ok;
}
static bool bin_const(int op, int64_t x, int64_t y, int64_t *r) {
    switch (op) {
    case BIN_DIV:
        if (y == 0 || y == -1) return false;
        *r = x / y;
        return true;
    case BIN_MOD:
        if (y == 0 || y == -1) return false;
        *r = x % y;
        return true;
    case BIN_MIN: *r = min_i64(x, y); return true;
    case BIN_MAX: *r = max_i64(x, y); return true;
    case BIN_LT: *r = x < y; return true;
    case BIN_LE: *r = x <= y; return true;
    case BIN_EQ: *r = x == y; return true;
    case BIN_NE: *r = x != y; return true;
    case BIN_LAND: *r = x && y; return true;
    case BIN_LOR: *r = x || y; return true;
    default: return false;
    }
}
bool stream_lin(const Env *env, const Expr *e, Lin *out) {
    Lin x, y;
    memset(out, 0, sizeof *out);
    if (e->t != DT_INT64 && e->t != DT_BOOL) return false;
    switch (e->k) {
    case E_INT: out->c = e->u.i; return true;
    case E_VAR: {
        int is = env->is[e->u.v->id];
        if (is == ENV_FREE) return false;
        out->c = is == ENV_KNOWN ? env->value[e->u.v->id] : env->from[is];
        if (is >= 0) out->k[is] = 1;
        return true;
    }
    case E_UN:
        if (!stream_lin(env, e->u.a[0], &x)) return false;
        if (e->op == UN_NEG) return lin_scale(&x, -1, out);
        out->c = !x.c;
        return e->op == UN_NOT && is_const(&x);
    case E_BIN:
        if (!stream_lin(env, e->u.a[0], &x) || !stream_lin(env, e->u.a[1], &y)) return false;
        if (e->op == BIN_ADD) return lin_add(&x, &y, out);
        if (e->op == BIN_SUB) return lin_scale(&y, -1, &y) && lin_add(&x, &y, out);
        if (e->op == BIN_MUL) return is_const(&x) ? lin_scale(&y, x.c, out) : is_const(&y) && lin_scale(&x, y.c, out);
        return is_const(&x) && is_const(&y) && bin_const(e->op, x.c, y.c, &out->c);
    case E_SELECT:
        if (!stream_lin(env, e->u.a[0], &x) || !is_const(&x)) return false;
        return stream_lin(env, e->u.a[x.c ? 1 : 2], out);
    default: return false;
    }
}

/* ---- describing */
typedef struct Describe {
    Env env;
    Nest *n;
    const char *why;
    int stack; /* values on it after the code so far */
} Describe;
static bool fail(Describe *d, const char *why) {
    d->why = why;
    return false;
}
static bool address(Describe *d, const Buf *b, Expr *const *idx, Lin *out) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < b->rank; i++) {
        Lin x;
        if (!stream_lin(&d->env, idx[i], &x)) return fail(d, "an index is not affine");
        if (!lin_scale(&x, b->stride[i], &x) || !lin_add(out, &x, out)) return fail(d, "an index is too large");
    }
    return true;
}
static bool operand(Describe *d, Buf *b, Expr *const *idx, int *k) {
    Nest *n = d->n;
    Lin at;
    if (!address(d, b, idx, &at)) return false;
    for (*k = 0; *k < n->nop; ++*k)
        if (n->buf[*k] == b && memcmp(&n->at[*k], &at, sizeof at) == 0) return true;
    if (n->nop > 0 && b == n->buf[0]) return fail(d, "the buffer that is written is also read at another place");
    if (n->nop == QN_SIM_OPERANDS) return fail(d, "there are more than 4 operands");
    int type = stream_type(b->dt);
    if (type < 0) return fail(d, "an element type that commands do not have");
    n->buf[n->nop] = b, n->at[n->nop] = at, n->type[n->nop++] = (uint8_t)type;
    return true;
}
static bool put(Describe *d, int op, int arg) {
    if (d->n->ncode + 2 > QN_SIM_CODE) return fail(d, "the value is too long");
    d->n->code[d->n->ncode++] = (uint8_t)op, d->n->code[d->n->ncode++] = (uint8_t)arg;
    d->stack += op == QN_SIM_OP_LOAD ? 1 : op == QN_SIM_OP_CAST ? 0 : -1;
    return d->stack <= QN_SIM_STACK || fail(d, "the value needs more than 8 intermediate results");
}
/* The code's length ends the recursion: it grows with every leaf, and `depth` with every level that waits. */
static bool value(Describe *d, const Expr *e, int depth) {
    static const int8_t op_of[] = {[BIN_ADD] = QN_SIM_OP_ADD,
                                   [BIN_SUB] = QN_SIM_OP_SUB,
                                   [BIN_MUL] = QN_SIM_OP_MUL,
                                   [BIN_MIN] = QN_SIM_OP_MIN,
                                   [BIN_MAX] = QN_SIM_OP_MAX};
    int k, type = stream_type(e->k == E_CAST ? e->to : e->t);
    if (depth > 32) return fail(d, "the value is too long");
    if (type < 0) return fail(d, "an element type that commands do not have");
    switch (e->k) {
    case E_LOAD: return operand(d, e->u.ld.buf, e->u.ld.idx, &k) && put(d, QN_SIM_OP_LOAD, k);
    case E_CAST: return value(d, e->u.a[0], depth + 1) && put(d, QN_SIM_OP_CAST, type);
    case E_BIN:
        if (e->op != BIN_ADD && (e->op >= (int)sizeof op_of || !op_of[e->op])) break;
        return value(d, e->u.a[0], depth + 1) && value(d, e->u.a[1], depth + 1) && put(d, op_of[e->op], type);
    default: break;
    }
    return fail(d, "the value is more than loads, casts, +, -, *, min and max");
}
/* buf[i] = buf[i] + x is the reduction buf[i] += x. */
static int reduction(Describe *d, const Stmt *s, const Expr **val) {
    static const int8_t of_red[] = {[RED_ADD] = QN_SIM_RED_ADD, [RED_MIN] = QN_SIM_RED_MIN, [RED_MAX] = QN_SIM_RED_MAX};
    const Expr *e = *val = s->u.st.val;
    Lin at;
    if (s->u.st.red != RED_NONE) return s->u.st.red < sizeof of_red && of_red[s->u.st.red] ? of_red[s->u.st.red] : -1;
    if (e->k != E_BIN || e->u.a[0]->k != E_LOAD || e->u.a[0]->u.ld.buf != s->u.st.buf) return QN_SIM_SET;
    int red = e->op == BIN_ADD ? QN_SIM_RED_ADD : e->op == BIN_MIN ? QN_SIM_RED_MIN : e->op == BIN_MAX ? QN_SIM_RED_MAX : QN_SIM_SET;
    if (!address(d, s->u.st.buf, e->u.a[0]->u.ld.idx, &at) || memcmp(&at, &d->n->at[0], sizeof at)) return QN_SIM_SET;
    if (red) *val = e->u.a[1];
    return red;
}
static bool literal(Describe *d, const Expr *e, DType dt) {
    if (e->k == E_CAST && e->to == dt && e->u.a[0]->k == E_INT && dtype_is_int(dt)) e = e->u.a[0];
    if (e->k != E_INT && e->k != E_FLT) return false;
    d->n->constant = true;
    if (e->k == E_INT) d->n->value = (uint64_t)e->u.i;
    else {
        float f = (float)e->u.f;
        uint32_t bits;
        if (dt != DT_FLOAT32) return false;
        memcpy(&bits, &f, sizeof bits);
        d->n->value = bits;
    }
    return true;
}
static bool describe_store(Describe *d, const Stmt *s) {
    const Expr *val;
    int k;
    if (!operand(d, s->u.st.buf, s->u.st.idx, &k)) return false;
    if ((d->n->red = reduction(d, s, &val)) < 0) return fail(d, "the reduction is not +, min or max");
    if (d->n->red == QN_SIM_SET && literal(d, val, s->u.st.buf->dt)) return true;
    return value(d, val, 0);
}
static const Stmt *only(const Stmt *block) { return block->u.block.n == 1 ? block->u.block.v[0] : NULL; }

bool stream_describe(const Stmt *s, int64_t *values, int8_t *is, Nest *out, const char **why) {
    int64_t from[QN_SIM_LOOPS] = {0};
    const Var *var[QN_SIM_LOOPS];
    Describe d = {{values, is, from}, out, NULL, 0};
    bool ok = true;
    memset(out, 0, sizeof *out);
    while (ok && s && s->k == S_FOR) {
        Lin lo, hi;
        if (out->nloop == QN_SIM_LOOPS) ok = fail(&d, "there are more than 6 loops");
        else if (!stream_lin(&d.env, s->u.loop.lo, &lo) || !stream_lin(&d.env, s->u.loop.hi, &hi) || !is_const(&lo) || !is_const(&hi))
            ok = fail(&d, "a loop's bounds depend on another loop");
        else if (hi.c <= lo.c || hi.c - lo.c > 1 << 24) ok = fail(&d, "a loop is empty or too long");
        else {
            var[out->nloop] = s->u.loop.v, from[out->nloop] = lo.c, out->size[out->nloop] = hi.c - lo.c;
            is[s->u.loop.v->id] = (int8_t)out->nloop++;
            s = only(s->u.loop.body);
        }
    }
    if (ok && (!s || s->k != S_STORE)) ok = fail(&d, "the loops hold more than one store");
    ok = ok && describe_store(&d, s);
    for (int i = 0; i < out->nloop; i++) is[var[i]->id] = ENV_FREE;
    *why = d.why;
    return ok;
}

/* ---- comparing */
static unsigned moved(const Nest *n, int loop) {
    unsigned m = 0;
    for (int k = 0; k < n->nop && k < QN_SIM_OPERANDS; k++) m |= (unsigned)(n->at[k].k[loop] != 0) << k;
    return m;
}
/* Operands that the two loops move by the same stride. */
static int equal_strides(const Nest *n, int i, const Nest *m, int k) {
    int equal = 0;
    for (int o = 0; o < n->nop; o++) equal += n->at[o].k[i] == m->at[o].k[k];
    return equal;
}
/* Where several loops of the row move the same operands, the one whose strides are most alike is meant. */
static int partner(const Nest *n, int i, const Nest *m, unsigned used) {
    int best = -1;
    for (int k = 0; k < m->nloop; k++) {
        if (used >> k & 1 || moved(n, i) != moved(m, k)) continue;
        if (best < 0 || equal_strides(n, i, m, k) > equal_strides(n, i, m, best)) best = k;
    }
    return best;
}
bool stream_match(const Nest *n, const Row *r, int *loop_of) {
    const Nest *m = &r->nest;
    unsigned used = 0;
    if (n->constant || n->nop != m->nop || n->red != m->red || n->ncode != m->ncode) return false;
    if (memcmp(n->type, m->type, (size_t)n->nop) != 0 || memcmp(n->code, m->code, (size_t)n->ncode) != 0) return false;
    for (int i = 0; i < n->nloop; i++) {
        loop_of[i] = -1;
        if (n->size[i] == 1) continue;
        if ((loop_of[i] = partner(n, i, m, used)) < 0) return false;
        used |= 1u << loop_of[i];
    }
    return true;
}
