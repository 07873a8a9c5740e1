/* SPDX-License-Identifier: Apache-2.0 */
/* model_kernels.c: one C function per distinct kernel. Kernels whose nests print alike, up to the names and offsets of their operands
 * and to which of them may share storage, have one function.
 *
 *   relu1: for i: y[i] = max(x[i], 0)    relu2: for i: q[i] = max(p[i], 0)   --->   static void relu1(const float *restrict x, float
 * *restrict y)
 */
#include "model.h"
#include <string.h>

/* ---- which parameters may be `restrict` */
typedef struct Range64 {
    int object;     /* 0 arena, 1 constants, then inputs and outputs */
    int64_t lo, hi; /* bytes */
    bool written;
} Range64;
static Range64 param_range(const Kernel *k, int i) {
    const Buf *b = k->f->param.v[i];
    int64_t first = b->offset, last = b->offset, bits = dtype_info[b->dt].bits;
    for (int d = 0; d < b->rank; d++) {
        if (b->dim[d] <= 0) return (Range64){.object = -1};
        int64_t span = (b->dim[d] - 1) * b->stride[d];
        if (span > 0) last += span;
        else first += span;
    }
    Range64 r = {0, first * bits / 8, ((last + 1) * bits + 7) / 8, b->written};
    if (!k->arg.v[i]) {
        r.lo += k->scratch.v[i], r.hi += k->scratch.v[i];
        return r;
    }
    const Tensor *t = tensor_base(k->arg.v[i]);
    if (t->store == ST_ARENA) r.lo += t->addr, r.hi += t->addr;
    if (t->store == ST_CONST) r.object = 1;
    if (t->store == ST_INPUT) r.object = 2 + 2 * (int)t->addr;
    if (t->store == ST_OUTPUT) r.object = 3 + 2 * (int)t->addr;
    return r;
}
static bool overlap(const Range64 *x, const Range64 *y) {
    return x->object >= 0 && x->object == y->object && x->lo < y->hi && y->lo < x->hi && (x->written || y->written);
}
bool param_overlaps(const Kernel *k, int i, int j) {
    Range64 x = param_range(k, i), y = param_range(k, j);
    return overlap(&x, &y);
}
static bool *restrict_flags(Model *m, const Kernel *k) {
    int n = k->f->param.n;
    bool *ok = NEW_ARRAY(m->a, bool, n + 1);
    Range64 *r = NEW_ARRAY(m->a, Range64, n + 1);
    for (int i = 0; i < n; i++) ok[i] = n <= 512, r[i] = param_range(k, i);
    for (int i = 0; i < n && n <= 512; i++)
        for (int j = i + 1; j < n; j++)
            if (overlap(&r[i], &r[j])) ok[i] = ok[j] = false;
    return ok;
}

/* ---- sharing */
/* A function and a structure of that name, and a function NAME_run. */
static const char *part_name(Model *m, const char *kernel) {
    for (;;) {
        const char *name = c_name(m->a, m->used, arena_printf(m->a, "%.50s_part", kernel), "part");
        const char *run = arena_printf(m->a, "%s_run", name);
        if (map_get(m->used, run)) continue;
        map_set(m->used, run, (void *)(intptr_t)1);
        return name;
    }
}
static void find_shared(Model *m, Variant *v) {
    const Program *p = v->p;
    Map *seen = map_new(m->a);
    bool threaded = m->threads > 1;
    v->of = NEW_ARRAY(m->a, Shared *, p->k.n + 1);
    for (int i = 0; i < p->k.n; i++) {
        const Kernel *k = p->k.v[i];
        bool *ok = restrict_flags(m, k);
        Text t = {0};
        EmitNeeds needs = {0};
        EmitFunc how = {.canonical = true, .is_static = true, .no_offset = true, .restrict_ok = ok, .pool = threaded};
        emit_func_with(&t, k->f, &v->style, &how, &needs);
        Shared *s = map_get(seen, t.s);
        if (!s) {
            s = NEW(m->a, Shared);
            s->first = k, s->restrict_ok = ok, s->returns = needs.returns;
            s->name = c_name(m->a, m->used, k->f->name, "kernel");
            s->parts = needs.parts, s->part = NEW_ARRAY(m->a, const char *, needs.parts + 1);
            for (int j = 0; j < needs.parts; j++) s->part[j] = part_name(m, s->name);
            m->pool |= needs.parts > 0;
            map_set(seen, arena_strdup(m->a, t.s), s);
            vec_push(m->a, &v->fn, s);
        } else if (s->count <= 6) text_printf(&s->also, "%s%s", s->count > 1 ? ", " : "", k->f->name);
        s->count++;
        v->of[i] = s;
        text_free(&t);
    }
}
/* The routines that calls name are helpers like any other. */
static void routines_of(Model *m, Text *t, const Stmt *s) {
    switch (s->k) {
    case S_CALL:
        if (strncmp(s->u.call.name, "qn_", 3) != 0) { /* of --op: the user links it */
            const char *line = arena_printf(m->a, "int %s(const int64_t *arg, void *const *buf);", s->u.call.name);
            if (!t->n || !strstr(t->s, line)) text_printf(t, "%s\n\n", line);
            break;
        }
        if (strcmp(s->u.call.name, LOOP_ACCESS) == 0) m->access = true;
        else if (!call_is_hint(s->u.call.name) && !helper_text_put(m->helpers, t, s->u.call.name))
            BUG("no embedded file defines the routine '%s'", s->u.call.name);
        break;
    case S_FOR: routines_of(m, t, s->u.loop.body); break;
    case S_IF:
        routines_of(m, t, s->u.cond.then);
        if (s->u.cond.other) routines_of(m, t, s->u.cond.other);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) routines_of(m, t, s->u.block.v[i]);
        break;
    default: break;
    }
}
/* The steps that made the nest what it is (ir/sched.h). */
static void put_schedule(Text *t, const Func *f) {
    enum { MOST = 480 };
    const size_t from = t->n;
    for (int i = 0; i < f->schedule.n; i++) {
        if (t->n - from > MOST) {
            text_printf(t, "; %d more", f->schedule.n - i);
            break;
        }
        text_printf(t, i ? "; %s" : "\nSchedule: %s", f->schedule.v[i]);
    }
}
static void variant_kernels(Model *m, Variant *v, Text *helpers) {
    find_shared(m, v);
    for (int i = 0; i < v->fn.n; i++) {
        Shared *s = v->fn.v[i];
        Text comment = {0};
        text_printf(&comment, "%s", s->first->f->comment ? s->first->f->comment : s->first->f->name);
        put_schedule(&comment, s->first->f);
        if (s->count > 1) text_printf(&comment, "\nThe same for %s%s", s->also.s, s->count > 7 ? " and others." : ".");
        emit_func_with(&v->kernels, s->first->f, &v->style,
                       &(EmitFunc){.name = s->name,
                                   .is_static = true,
                                   .no_offset = true,
                                   .restrict_ok = s->restrict_ok,
                                   .comment = comment.s,
                                   .pool = m->threads > 1,
                                   .part_name = s->part},
                       &m->needs);
        text_puts(&v->kernels, "\n");
        text_free(&comment), text_free(&s->also);
        routines_of(m, helpers, s->first->f->body);
    }
}
void run_kernels(Model *m, Text *t) {
    Text helpers = {0};
    for (int i = 0; i < m->variant.n; i++) variant_kernels(m, &m->variant.v[i], &helpers);
    helper_text_set(m->helpers, &helpers, &m->needs.helpers);
    for (int i = 0; i < m->p->g->in.n; i++)
        if (m->in_dims[i] && !helper_text_put(m->helpers, &helpers, "qn_list_take")) BUG("no embedded file reads dims lists");
    if (helpers.n) {
        text_putn(t, helpers.s, helpers.n);
        text_puts(t, "\n");
    }
    for (int i = 0; i < m->variant.n; i++) {
        Variant *v = &m->variant.v[i];
        target_guard(m, v, false, t);
        if (v->kernels.n) text_putn(t, v->kernels.s, v->kernels.n);
        target_guard(m, v, true, t);
        text_free(&v->kernels);
    }
    text_free(&helpers);
}
