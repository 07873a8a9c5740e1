/* SPDX-License-Identifier: Apache-2.0 */
/* interp.c: runs the bytecode of interp_compile.c. Reductions happen in the order of the nest, so results are those of the plain
 * nest bit by bit. An access outside its buffer is a bug of ours and ends the process with a message.
 *
 *   interp_run(c, add, {x, y, out}, NULL)   --->   out holds x + y
 */
#include "interp.h"
#include <stdlib.h>
#include <string.h>

/* ---- memory */
static int64_t element(const InterpFrame *I, const Addr *ad) {
    int64_t e = ad->base;
    for (int i = 0; i < ad->nterm; i++) {
        int64_t v;
        if (ad->term[i].slot >= 0) v = I->env[ad->term[i].slot];
        else memcpy(&v, I->reg[~ad->term[i].slot], 8);
        e += ad->term[i].k * v;
    }
    return e;
}
static _Noreturn void outside(const InterpFrame *I, const Addr *ad, int64_t e) {
    BUG("kernel '%s' reaches element %lld of '%s', which has elements %lld to %lld", I->f->name, (long long)e, ad->buf->name,
        (long long)ad->min, (long long)ad->max);
}
static void check(const InterpFrame *I, const Addr *ad, int64_t e) {
    if (e < ad->min || e > ad->max) outside(I, ad, e);
}
static void load_one(const Ins *in, char *d, const char *data, int64_t e) {
    if (in->dt == in->val) memcpy(d, data + e * in->size, in->size);
    else if (in->val == DT_FLOAT32) memcpy(d, &(float){(float)dtype_get_f(in->dt, data, e)}, 4);
    else *(uint8_t *)d = (uint8_t)dtype_get_i(in->dt, data, e);
}
static void store_one(const Ins *in, char *data, int64_t e, const char *v) {
    if (in->dt == in->val) memcpy(data + e * in->size, v, in->size);
    else if (in->val == DT_FLOAT32) {
        float f;
        memcpy(&f, v, 4);
        dtype_set_f(in->dt, data, e, (double)f);
    } else dtype_set_i(in->dt, data, e, *(const uint8_t *)v);
}
#define STRIDED(bits)                                                                                                                      \
    static void copy_##bits(int64_t n, char *d_, int64_t ds, const char *s_, int64_t ss) {                                                 \
        uint##bits##_t *d = (uint##bits##_t *)d_;                                                                                          \
        const uint##bits##_t *s = (const uint##bits##_t *)s_;                                                                              \
        if (ds == 1)                                                                                                                       \
            for (int64_t i = 0; i < n; i++) d[i] = s[i * ss];                                                                              \
        else                                                                                                                               \
            for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];                                                                         \
    }
STRIDED(8)
STRIDED(16)
STRIDED(32)
STRIDED(64)
/* n values of `size` bytes; steps in values */
static void copy(int size, int64_t n, char *d, int64_t ds, const char *s, int64_t ss) {
    if (ds == 1 && ss == 1) memcpy(d, s, (size_t)n * (size_t)size);
    else if (size == 4) copy_32(n, d, ds, s, ss);
    else if (size == 8) copy_64(n, d, ds, s, ss);
    else if (size == 1) copy_8(n, d, ds, s, ss);
    else copy_16(n, d, ds, s, ss);
}
static void load(InterpFrame *I, const Ins *in, int64_t n) {
    const Addr *ad = in->addr;
    int64_t e = element(I, ad), step = n > 1 ? ad->lane : 0;
    char *d = I->reg[in->d];
    if (in->a >= 0) {
        const uint8_t *mask = (const uint8_t *)I->reg[in->a];
        memset(d, 0, (size_t)n * in->size);
        for (int64_t i = 0; i < n; i++)
            if (mask[i]) {
                check(I, ad, e + i * ad->lane);
                load_one(in, d + i * in->size, ad->data, e + i * ad->lane);
            }
        return;
    }
    check(I, ad, e), check(I, ad, e + step * (n - 1));
    if (in->direct && n > 1) I->reg[in->d] = ad->data + e * in->size;
    else if (in->dt == in->val) copy(in->size, n, d, 1, ad->data + e * in->size, ad->lane);
    else
        for (int64_t i = 0; i < n; i++) load_one(in, d + i * in->size, ad->data, e + i * ad->lane);
}
static void gather(InterpFrame *I, const Ins *in, int64_t n) {
    const int64_t *at = (const int64_t *)I->reg[in->b];
    const uint8_t *mask = in->a >= 0 ? (const uint8_t *)I->reg[in->a] : NULL;
    char *d = I->reg[in->d];
    for (int64_t i = 0; i < n; i++, d += in->size)
        if (mask && !mask[i]) memset(d, 0, in->size);
        else {
            check(I, in->addr, at[i]);
            load_one(in, d, in->addr->data, at[i]);
        }
}
static void store(InterpFrame *I, const Ins *in, int64_t n) {
    const Addr *ad = in->addr;
    int64_t e = element(I, ad);
    const char *v = I->reg[in->a];
    check(I, ad, e), check(I, ad, e + ad->lane * (n - 1));
    if (in->dt == in->val) copy(in->size, n, ad->data + e * in->size, ad->lane, v, 1);
    else
        for (int64_t i = 0; i < n; i++) store_one(in, ad->data, e + i * ad->lane, v + i * in->size);
}
static void scatter(InterpFrame *I, const Ins *in, int64_t n) {
    const int64_t *at = (const int64_t *)I->reg[in->b];
    const char *v = I->reg[in->a];
    for (int64_t i = 0; i < n; i++, v += in->size) {
        check(I, in->addr, at[i]);
        if (in->fn) {
            char old[8], sum[8];
            load_one(in, old, in->addr->data, at[i]);
            in->fn(1, sum, old, v, NULL);
            store_one(in, in->addr->data, at[i], sum);
        } else store_one(in, in->addr->data, at[i], v);
    }
}
static void through_storage(const Ins *in, char *d, const char *a, int64_t n) {
    int from = dtype_info[in->val].bits / 8;
    for (int64_t i = 0; i < n; i++, d += in->size, a += from) {
        uint8_t word[8] = {0};
        if (dtype_is_float(in->dt) || dtype_is_float(in->val)) dtype_set_f(in->dt, word, 0, dtype_get_f(in->val, a, 0));
        else dtype_set_i(in->dt, word, 0, dtype_get_i(in->val, a, 0));
        if (dtype_is_float(in->dt)) memcpy(d, &(float){(float)dtype_get_f(in->dt, word, 0)}, 4);
        else *d = (char)dtype_get_i(in->dt, word, 0);
    }
}

/* ---- segments */
static void splat(const Ins *in, char *d, const char *a, int64_t n) {
    switch (in->size) {
    case 1: memset(d, *a, (size_t)n); break;
    case 2: copy_16(n, d, 1, a, 0); break;
    case 4: copy_32(n, d, 1, a, 0); break;
    default: copy_64(n, d, 1, a, 0); break;
    }
}
static bool none(const uint8_t *m, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (m[i]) return false;
    return true;
}
static void count(InterpStats *s, const Ins *in, int64_t n) {
    s->loads += in->kind == I_LOAD || in->kind == I_GATHER ? n : 0;
    s->stores += in->kind == I_STORE || in->kind == I_SCATTER ? n : in->kind == I_REDUCE ? 1 : 0;
    s->flops += in->flop && (in->kind == I_FN || in->kind == I_REDUCE) ? n : 0;
}
static void run_segment(InterpFrame *I, const Code *c, int64_t strip) {
    char **reg = I->reg;
    for (int pc = 0; pc < c->ins.n; pc++) {
        const Ins *in = &c->ins.v[pc];
        int64_t n = in->one ? 1 : strip;
        if (I->stats) count(I->stats, in, n);
        switch ((InsKind)in->kind) {
        case I_FN:
            in->fn(n, reg[in->d], in->a >= 0 ? reg[in->a] : NULL, in->b >= 0 ? reg[in->b] : NULL, in->c >= 0 ? reg[in->c] : NULL);
            break;
        case I_LOAD: load(I, in, n); break;
        case I_GATHER: gather(I, in, n); break;
        case I_STORE: store(I, in, n); break;
        case I_SCATTER: scatter(I, in, n); break;
        case I_REDUCE: {
            int64_t e = element(I, in->addr);
            check(I, in->addr, e);
            in->fn(n, in->addr->data + e * in->size, reg[in->a], NULL, NULL);
            break;
        }
        case I_CONST: memcpy(reg[in->d], &in->imm, 8); break;
        case I_ENV: memcpy(reg[in->d], &I->env[in->imm], 8); break;
        case I_SETENV: memcpy(&I->env[in->imm], reg[in->a], in->size); break;
        case I_SPLAT: splat(in, reg[in->d], reg[in->a], n); break;
        case I_IOTA: {
            int64_t *d = (int64_t *)reg[in->d], first = I->env[in->imm];
            for (int64_t i = 0; i < n; i++) d[i] = first + i;
            break;
        }
        case I_CAST: through_storage(in, reg[in->d], reg[in->a], n); break;
        case I_JUMP: pc = (int)in->imm - 1; break;
        case I_JZERO:
            if (!*reg[in->a]) pc = (int)in->imm - 1;
            break;
        case I_JNONE:
            if (none((const uint8_t *)reg[in->a], strip)) pc = (int)in->imm - 1;
            break;
        }
    }
}
/* Registers of a segment lie `strip` values apart. */
static void place(InterpFrame *I, const Code *c, int64_t strip) {
    for (int i = 0; i < c->nreg; i++) I->reg[i] = I->regs + (size_t)i * (size_t)strip * 8;
}
static int64_t operand(const InterpFrame *I, int r) {
    int64_t v;
    memcpy(&v, I->reg[r], 8);
    return v;
}
static void run_list(InterpFrame *I, const CodeList *l);
static void run_call(InterpFrame *I, const Code *c) {
    const Stmt *s = c->call;
    InterpCall fn = interp_find_call(s->u.call.name);
    if (!fn && strncmp(s->u.call.name, "qn_", 3) != 0) {
        diag_error(I->c->d, NO_LOC, "kernel '%s' calls the C function '%s' of --op, which only compiled code can; leave --interpret out",
                   I->f->name, s->u.call.name);
        return;
    }
    if (!fn) BUG("kernel '%s' calls '%s', which no runtime routine is", I->f->name, s->u.call.name);
    int64_t arg[64];
    void *buf[16];
    if (s->u.call.narg > 64 || s->u.call.nbuf > 16) BUG("call of '%s' has too many operands", s->u.call.name);
    for (int i = 0; i < s->u.call.narg; i++) arg[i] = operand(I, c->arg[i]);
    for (int i = 0; i < s->u.call.nbuf; i++) {
        const Buf *b = s->u.call.buf[i];
        buf[i] = I->data[b->id] ? I->data[b->id] + b->offset * dtype_info[b->dt].bits / 8 : NULL; /* an absent operand has no storage */
    }
    if (fn(arg, buf) != 0) diag_error(I->c->d, NO_LOC, "runtime routine '%s' refused its operands", s->u.call.name);
}
static void run_code(InterpFrame *I, const Code *c) {
    if (c->bounds) {
        place(I, c->bounds, 1);
        run_segment(I, c->bounds, 1);
    }
    switch (c->k) {
    case C_SEG:
        place(I, c, 1);
        run_segment(I, c, 1);
        break;
    case C_IF: run_list(I, *I->reg[c->lo] ? &c->body : &c->other); break;
    case C_CALL: run_call(I, c); break;
    case C_LOOP:
        for (int64_t i = operand(I, c->lo), hi = operand(I, c->hi); i < hi; i++) {
            I->env[c->slot] = i;
            run_list(I, &c->body);
        }
        break;
    case C_STRIPS: {
        int64_t lo = operand(I, c->lo), hi = operand(I, c->hi), n;
        for (int64_t i = lo; i < hi; i += n) {
            n = min_i64(hi - i, c->strip);
            place(I, c, c->strip);
            I->env[c->slot] = i;
            run_segment(I, c, n);
        }
        break;
    }
    }
}
static void run_list(InterpFrame *I, const CodeList *l) {
    for (int i = 0; i < l->n; i++) run_code(I, l->v[i]);
}

/* ---- buffers */
static void span(const Buf *b, int64_t *lo, int64_t *hi) {
    *lo = *hi = b->offset;
    for (int i = 0; i < b->rank; i++) *((b->dim[i] - 1) * b->stride[i] < 0 ? lo : hi) += (b->dim[i] - 1) * b->stride[i];
}
/* Does a written parameter share bytes with another? */
static bool params_overlap(const Func *f, void *const *param) {
    for (int i = 0; i < f->param.n; i++)
        for (int j = 0; j < f->param.n && f->param.v[i]->written; j++) {
            const Buf *x = f->param.v[i], *y = f->param.v[j];
            int64_t xl, xh, yl, yh;
            if (i == j || !param[i] || !param[j]) continue;
            span(x, &xl, &xh), span(y, &yl, &yh);
            int bx = dtype_info[x->dt].bits, by = dtype_info[y->dt].bits;
            uintptr_t px = (uintptr_t)param[i], py = (uintptr_t)param[j];
            uintptr_t x0 = px + (uintptr_t)(xl * bx / 8), x1 = px + (uintptr_t)(xh * bx / 8), y0 = py + (uintptr_t)(yl * by / 8),
                      y1 = py + (uintptr_t)(yh * by / 8);
            if (x0 <= y1 && y0 <= x1) return true;
        }
    return false;
}
static bool allocate(InterpFrame *I, const Stmt *s) {
    bool ok = true;
    if (s->k == S_BLOCK)
        for (int i = 0; i < s->u.block.n && ok; i++) ok = allocate(I, s->u.block.v[i]);
    else if (s->k == S_FOR) ok = allocate(I, s->u.loop.body);
    else if (s->k == S_IF) ok = allocate(I, s->u.cond.then) && (!s->u.cond.other || allocate(I, s->u.cond.other));
    else if (s->k == S_ALLOC) {
        const Buf *b = s->u.alloc;
        int64_t lo, hi, bytes;
        span(b, &lo, &hi);
        if (I->data[b->id]) return true;
        if (lo < 0 || !dtype_bytes(b->dt, max_i64(hi + 1, 1), &bytes))
            return diag_error(I->c->d, NO_LOC, "buffer '%s' of kernel '%s' is too large", b->name, I->f->name);
        I->data[b->id] = arena_alloc(I->a, (size_t)bytes);
        memset(I->data[b->id], 0xff, (size_t)bytes); /* contents are undefined: NaN shows what is read too early */
    }
    return ok;
}
bool interp_run(Ctx *c, const Func *f, void *const *param, InterpStats *stats) {
    Arena *a = arena_new();
    InterpFrame I = {.c = c, .a = a, .f = f, .stats = stats};
    I.data = NEW_ARRAY(a, char *, f->nbuf + 1);
    for (int i = 0; i < f->param.n; i++) I.data[f->param.v[i]->id] = param[i];
    I.overlap = params_overlap(f, param);
    bool ok = allocate(&I, f->body);
    if (ok) {
        CodeList code = {0};
        interp_compile(&I, &code);
        I.env = NEW_ARRAY(a, int64_t, f->nvar + 1);
        I.reg = NEW_ARRAY(a, char *, I.max_nreg + 1);
        I.regs = arena_alloc(a, 8 * (size_t)max_i64(STRIP * 16, (int64_t)I.max_nreg * 64)); /* strip * nreg is at most that */
        int errors = c->d->errors;
        run_list(&I, &code);
        ok = c->d->errors == errors;
    }
    arena_free(a);
    return ok;
}
