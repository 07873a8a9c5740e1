/* SPDX-License-Identifier: Apache-2.0 */
/* model_run.c: the body of ID.c: the table of arena offsets, one C function per distinct kernel, and the entry points. Kernels
 * whose nests print alike (up to the names and offsets of their operands) share one function.
 *
 *   conv1(x, ID_weights.conv1_w, (float *)(a + AT_conv1));   relu(…)   …
 */
#include "model.h"
#include "ir/list.h"
#include "ir/target.h"
#include <string.h>

static Tensor *base_of(Tensor *t) { return t->view ? t->view->base : t; }

/* ---- names: the interface first, so that it does not depend on what the kernels are called */
void run_names(Model *m) {
    static const char *const own[] = {"arena",       "a",         "w",         "weights", "state",  "inputs", "input_dims", "outputs",
                                      "output_dims", "bytes",     "n",         "p",       "word",   "hash",   "i",          "r",
                                      "KERNEL",      "same_dims", "copy_dims", "f",       "size_t", "char"};
    const Graph *g = m->p->g;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) map_set(m->used, own[i], (void *)(intptr_t)1);
    if (m->threads > 1) map_set(m->used, "pool", (void *)(intptr_t)1);
    m->in = NEW_ARRAY(m->a, const char *, g->in.n + 1);
    m->out = NEW_ARRAY(m->a, const char *, g->out.n + 1);
    m->arena_name = NEW_ARRAY(m->a, const char *, g->tensors.n + 1);
    m->const_name = NEW_ARRAY(m->a, const char *, g->tensors.n + 1);
    for (int i = 0; i < g->in.n; i++) m->in[i] = c_name(m->a, m->used, g->in.v[i]->name, "x");
    for (int i = 0; i < g->out.n; i++) m->out[i] = c_name(m->a, m->used, g->out.v[i]->name, "y");
    m->extent = NEW_ARRAY(m->a, const char *, g->extent.n + 1);
    m->dims = NEW_ARRAY(m->a, const char *, g->out.n + 1);
    m->in_dims = NEW_ARRAY(m->a, const char *, g->in.n + 1);
    for (int i = 0; i < g->in.n; i++)
        if (g->in.v[i]->packed) m->in_dims[i] = c_name(m->a, m->used, arena_printf(m->a, "%.50s_dims", m->in[i]), "dims");
    for (int i = 0; i < g->extent.n; i++)
        if (g->extent.v[i]->input) m->extent[i] = c_name(m->a, m->used, g->extent.v[i]->name, "n");
    for (int i = 0; i < g->out_dims.n; i++)
        if (g->out_dims.v[i]) m->dims[i] = c_name(m->a, m->used, arena_printf(m->a, "%.50s_dims", m->out[i]), "dims");
    Map *members = map_new(m->a);
    for (int i = 0; i < 4; i++) map_set(members, ((const char *[]){"pad", "pad0", "pad1", "pad2"})[i], (void *)(intptr_t)1);
    for (int i = 0; i < m->p->consts.n; i++) {
        const Tensor *k = m->p->consts.v[i];
        const char *name = c_name(m->a, members, k->name, "constant");
        m->const_name[k->id] = strncmp(name, "pad", 3) ? name : c_name(m->a, members, arena_printf(m->a, "w_%.60s", name), "constant");
    }
}

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
    const Tensor *t = base_of(k->arg.v[i]);
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

/* ---- the arena */
static void table_row(Text *t, const char *name, int64_t at, const Tensor *k) {
    Text what = {0}, safe = {0};
    type_print(&k->type, &what);
    text_printf(&what, " %.64s", k->name);
    put_comment(&safe, what.s, 0);
    text_printf(t, "#define AT_%-24s %10lld %s", name, (long long)at, safe.s);
    text_free(&what), text_free(&safe);
}
void run_table(Model *m, Text *t) {
    const Program *p = m->p;
    Map *names = map_new(m->a);
    bool any = false;
    for (int i = 0; i < p->k.n; i++) /* the same tensors in the programs of all targets */
        for (int j = 0; j < p->k.v[i]->arg.n; j++) {
            Tensor *k = p->k.v[i]->arg.v[j];
            if (!k) continue;
            k = base_of(k);
            if (k->store != ST_ARENA || m->arena_name[k->id]) continue;
            if (!any) text_puts(t, "/* Where tensors live in the arena, in bytes. Those whose lifetimes do not meet share storage. */\n");
            any = true;
            m->arena_name[k->id] = c_name(m->a, names, k->name, "t");
            table_row(t, m->arena_name[k->id], k->addr + m->shift, k);
        }
    if (any) text_puts(t, "\n");
}

/* ---- the entry points */
static const char *type_of(const Tensor *t) { return dtype_info[t->type.dt].ctype; }
static const char *word_of(const Tensor *t) { return t->packed ? "void" : type_of(t); }
void run_signature(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    Text head = {0};
    text_printf(&head, "int %s_run(", m->id);
    int indent = (int)head.n, column = indent + 11;
    text_puts(&head, "void *arena");
    Vec(const char *) param = {0};
    for (int i = 0; i < g->extent.n; i++)
        if (m->extent[i]) vec_push(m->a, &param, arena_printf(m->a, "int64_t %s", m->extent[i]));
    for (int i = 0; i < g->in.n; i++) {
        vec_push(m->a, &param, arena_printf(m->a, "const %s *%s", word_of(g->in.v[i]), m->in[i]));
        if (m->in_dims[i]) vec_push(m->a, &param, arena_printf(m->a, "const int64_t *%s", m->in_dims[i]));
    }
    for (int i = 0; i < g->out.n; i++) {
        vec_push(m->a, &param, arena_printf(m->a, "%s *%s", word_of(g->out.v[i]), m->out[i]));
        if (m->dims[i]) vec_push(m->a, &param, arena_printf(m->a, "int64_t *%s", m->dims[i]));
    }
    for (int i = 0; i < param.n; i++) {
        const char *one = param.v[i];
        bool wrap = column + (int)strlen(one) > 126;
        if (wrap) text_printf(&head, ",\n%*s%s", indent, "", one);
        else text_printf(&head, ", %s", one);
        column = (wrap ? indent : column + 2) + (int)strlen(one);
    }
    text_puts(&head, ")");
    text_putn(t, head.s, head.n);
    text_free(&head);
}
static bool packed(DType t) { return dtype_info[t].bits < 8; }
/* The pointer that a kernel gets for its parameter i. */
static void put_argument(const Model *m, Text *t, const Kernel *k, int i) {
    const Buf *b = k->f->param.v[i];
    const char *type = dtype_info[b->dt].ctype;
    int64_t off = packed(b->dt) ? 0 : b->offset;
    if (!k->arg.v[i]) {
        text_printf(t, "(%s *)(a + %lld)", type, (long long)(k->scratch.v[i] + m->shift));
        return;
    }
    const Tensor *base = base_of(k->arg.v[i]);
    if (tensor_bytes(base) == 0) {
        text_puts(t, "NULL");
        return;
    }
    const char *cast = strcmp(type, type_of(base)) ? arena_printf(m->a, "(%s%s *)", b->written ? "" : "const ", type) : "";
    switch (base->store) {
    case ST_INPUT: text_printf(t, "%s%s", cast, m->in[base->addr]); break;
    case ST_OUTPUT: text_printf(t, "%s%s", cast, m->out[base->addr]); break;
    case ST_CONST:
        if (m->image) text_printf(t, "%sw->%s", cast, m->const_name[base->id]);
        else if (m->weights == WEIGHTS_C) text_printf(t, "%sweights.%s", cast, m->const_name[base->id]);
        else if (m->weights == WEIGHTS_ASM) text_printf(t, "%s%s_weights.%s", cast, m->id, m->const_name[base->id]);
        else text_printf(t, "%sw->%s", cast, m->const_name[base->id]);
        break;
    case ST_ARENA: text_printf(t, "(%s *)(a + AT_%s)", type, m->arena_name[base->id]); break;
    default: BUG("tensor '%s' was not planned", base->name);
    }
    if (off) text_printf(t, " + %lld", (long long)off);
}
static void put_call(Model *m, Text *t, const Variant *v, int kernel) {
    const Kernel *k = v->p->k.v[kernel];
    const Shared *s = v->of[kernel];
    if (s->count > 1 && k->f->comment) put_comment(t, k->f->comment, 1);
    size_t line = t->n;
    text_printf(t, s->returns ? "    switch (%s(" : "    %s(", s->name); /* 1: a bound is exceeded, 2: an input is not valid */
    int indent = (int)(t->n - line);
    if (s->parts) text_puts(t, k->f->param.n ? "pool, " : "pool");
    for (int i = 0; i < k->f->param.n; i++) {
        Text one = {0};
        put_argument(m, &one, k, i);
        if (i && t->n - line + one.n > 126) {
            text_puts(t, ",\n");
            line = t->n;
            text_printf(t, "%*s", indent, "");
        } else if (i) text_puts(t, ", ");
        text_putn(t, one.s, one.n);
        text_free(&one);
    }
    if (s->returns)
        text_printf(t, ")) {\n    case 0: break;\n    case 2: return %s_E_INPUT;\n    default: return %s_E_BOUND;\n    }\n", m->id, m->id);
    else text_puts(t, ");\n");
}
static bool uses_store(const Model *m, StoreKind store) {
    for (int i = 0; i < m->p->g->in.n && store == ST_ARENA; i++)
        if (m->p->g->in.v[i]->packed && m->arena_name[m->p->g->in.v[i]->dims->id]) return true;
    for (const Program *p = m->p; p; p = p->next)
        for (int i = 0; i < p->k.n; i++) {
            const Kernel *k = p->k.v[i];
            for (int j = 0; j < k->arg.n; j++) {
                if (!k->arg.v[j] ? store == ST_ARENA : (base_of(k->arg.v[j])->store == store && tensor_bytes(base_of(k->arg.v[j])) > 0))
                    return true;
            }
        }
    return false;
}
/* ---- run-time extents: from the caller into the arena, checked; those that kernels compute are checked behind them */
static bool may_be_empty(const Graph *g, const Tensor *k) {
    int64_t lo, hi;
    if (k->packed) return true; /* put_extents says more */
    for (int i = 0; i < k->type.rank && k->type.ext; i++)
        if (k->type.ext[i] && (!extent_bounds(g, k->type.ext[i], &lo, &hi) || lo <= 0)) return true;
    return tensor_bytes(k) == 0;
}
static void put_extents(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    for (int i = 0; i < g->extent.n; i++) {
        const Extent *x = g->extent.v[i];
        if (!x->input) continue;
        text_printf(t, "    if (%s < %lld) return %s_E_SHAPE;\n    if (%s > %lld) return %s_E_BOUND;\n", m->extent[i], (long long)x->lo,
                    m->id, m->extent[i], (long long)x->hi, m->id);
    }
    bool lists = false;
    for (int i = 0; i < g->in.n; i++) lists |= m->in_dims[i] != NULL;
    if (lists) text_puts(t, "    {\n");
    for (int i = 0; i < g->in.n; i++) {
        int64_t n, *want;
        if (!m->in_dims[i]) continue;
        want = wrap_table(m->a, g->in.v[i]->packed, &n);
        text_printf(t, "        static const int64_t want%d[] = {", i);
        for (int64_t k = 0; k < n; k++) text_printf(t, "%s%lld", !k ? "" : k % 20 ? ", " : ",\n            ", (long long)want[k]);
        text_puts(t, "};\n");
    }
    for (int pass = 0; pass < 2; pass++) /* nothing is written before all are known to be right */
        for (int i = 0; i < g->in.n; i++) {
            const char *at = m->in_dims[i] ? m->arena_name[g->in.v[i]->dims->id] : NULL;
            if (m->in_dims[i] && pass == 0)
                text_printf(t,
                            "        switch (qn_list_take(want%d, %s, %s != NULL, NULL)) {\n        case 0: break;\n        case 1: return "
                            "%s_E_BOUND;\n"
                            "        case 2: return %s_E_INPUT;\n        default: return %s_E_SHAPE;\n        }\n",
                            i, m->in_dims[i], m->in[i], m->id, m->id, m->id);
            if (at && pass == 1) text_printf(t, "        qn_list_take(want%d, %s, 1, (int64_t *)(a + AT_%s));\n", i, m->in_dims[i], at);
        }
    if (lists) text_puts(t, "    }\n");
    for (int i = 0; i < g->extent.n; i++)
        if (g->extent.v[i]->input && m->arena_name[g->extent.v[i]->t->id])
            text_printf(t, "    *(int64_t *)(a + AT_%s) = %s;\n", m->arena_name[g->extent.v[i]->t->id], m->extent[i]);
}
static void put_bounds(const Model *m, Text *t, const Kernel *k) {
    const Graph *g = m->p->g;
    for (int i = 0; i < g->extent.n; i++) {
        const Extent *x = g->extent.v[i];
        if (!x->check || x->input || !kernel_writes(k, x->t)) continue;
        const char *at = arena_printf(m->a, "*(const int64_t *)(a + AT_%s)", m->arena_name[x->t->id]);
        if (x->lo > -EXTENT_MOST && x->lo == x->hi) text_printf(t, "    if (%s != %lld", at, (long long)x->lo);
        else if (x->lo > -EXTENT_MOST) text_printf(t, "    if (%s < %lld || %s > %lld", at, (long long)x->lo, at, (long long)x->hi);
        else text_printf(t, "    if (%s > %lld", at, (long long)x->hi);
        text_printf(t, ") return %s_E_%s; /* %s */\n", m->id, x->shape ? "SHAPE" : "BOUND", c_name(m->a, map_new(m->a), x->name, "n"));
    }
}
static void put_out_dims(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    for (int i = 0; i < g->out_dims.n; i++)
        if (g->out_dims.v[i])
            text_printf(t, "    for (int i = 0; %s && i < %d; i++) %s[i] = ((const int64_t *)(a + AT_%s))[i];\n", m->dims[i],
                        (int)tensor_dim_words(g->out.v[i]), m->dims[i], m->arena_name[g->out_dims.v[i]->id]);
}
/* Kernels that run under a condition, those with the same ones together. */
static bool same_guard(const Kernel *x, const Kernel *y) {
    int n = x ? x->guard.n : 0, k = y ? y->guard.n : 0;
    for (int i = 0; n == k && i < n; i++)
        if (x->guard.v[i].cond != y->guard.v[i].cond || x->guard.v[i].want != y->guard.v[i].want) return false;
    return n == k;
}
static void put_guard(Model *m, Text *t, const Kernel *before, const Kernel *k) {
    if (same_guard(before, k)) return;
    if (before && before->guard.n) text_puts(t, "    }\n");
    for (int i = 0; k && i < k->guard.n; i++) {
        const Tensor *c = k->guard.v[i].cond, *b = c->view ? c->view->base : c;
        text_puts(t, i ? " && " : "    if (");
        if (!k->guard.v[i].want) text_puts(t, "!");
        if (b->store == ST_ARENA)
            text_printf(t, "((const uint8_t *)(a + AT_%s))[%lld]", m->arena_name[b->id], (long long)(c->view ? c->view->offset : 0));
        else text_printf(t, "%s[0]", b->store == ST_INPUT ? m->in[b->addr] : m->out[b->addr]);
    }
    if (k && k->guard.n) text_puts(t, ") {\n");
}
static void put_calls(Model *m, Text *t, const Variant *v) {
    for (int i = 0; i < v->p->k.n; i++) {
        const Kernel *k = v->p->k.v[i];
        put_guard(m, t, i ? v->p->k.v[i - 1] : NULL, k);
        if (m->o->profile) text_printf(t, "    %s_profile(%d);\n", m->id, i);
        put_call(m, t, v, i);
        put_bounds(m, t, k);
        if (k->loop) text_printf(t, "    while (*(const uint8_t *)(a + AT_%s)) {\n", m->arena_name[base_of(k->loop)->id]);
        if (k->loop_end) text_puts(t, "    }\n");
    }
    put_guard(m, t, v->p->k.n ? v->p->k.v[v->p->k.n - 1] : NULL, NULL);
    put_out_dims(m, t);
    if (m->o->profile) text_printf(t, "    %s_profile(%d);\n", m->id, v->p->k.n);
    text_printf(t, "    return %s_OK;\n}\n\n", m->id);
}
/* What the calls of kernels may mention, declared or handed on: the arena, weights of a file, the pool, inputs, outputs. */
typedef struct Scope {
    bool arena, weights;
} Scope;
static void put_params(const Model *m, Text *t, const Scope *s, bool types) {
    const Graph *g = m->p->g;
    const char *sep = "";
    if (s->arena) text_puts(t, types ? "char *a" : "a"), sep = ", ";
    if (s->weights) text_printf(t, types ? "%sconst struct weights *w" : "%sw", sep), sep = ", ";
    if (m->pool) text_printf(t, types ? "%sstruct qn_pool *pool" : "%spool", sep), sep = ", ";
    for (int i = 0; i < g->in.n + g->out.n; i++, sep = i % 8 ? ", " : ",\n        ") {
        bool in = i < g->in.n;
        const Tensor *k = in ? g->in.v[i] : g->out.v[i - g->in.n];
        if (types) text_printf(t, "%s%s%s *", sep, in ? "const " : "", type_of(k));
        else text_puts(t, sep);
        text_puts(t, in ? m->in[i] : m->out[i - g->in.n]);
    }
    for (int i = 0; i < g->out.n; i++) {
        if (!m->dims[i]) continue;
        text_printf(t, types ? "%sint64_t *%s" : "%s%s", sep, m->dims[i]);
        sep = ", ";
    }
    if (!*sep && types) text_puts(t, "void");
}
static void put_variants(Model *m, Text *t, const Scope *s) {
    const Graph *g = m->p->g;
    for (int i = 0; i < m->variant.n; i++) {
        const Variant *v = &m->variant.v[i];
        target_guard(m, v, false, t);
        text_printf(t, "static int %s(", v->run);
        put_params(m, t, s, true);
        text_puts(t, ") {\n");
        if (s->arena) text_puts(t, "    (void)a;\n");
        if (s->weights) text_puts(t, "    (void)w;\n");
        if (m->pool) text_puts(t, "    (void)pool;\n");
        for (int k = 0; k < g->in.n; k++) text_printf(t, "    (void)%s;\n", m->in[k]);
        for (int k = 0; k < g->out.n; k++) text_printf(t, "    (void)%s;\n", m->out[k]);
        put_calls(m, t, v);
        target_guard(m, v, true, t);
    }
}
/* The best code that this machine can run. */
static void put_choice(const Model *m, Text *t, const Scope *s) {
    bool any = false;
    for (int i = 0; i < m->variant.n && !any; i++) {
        const Variant *v = &m->variant.v[i];
        target_guard(m, v, false, t);
        any = !v->t->cpu_test;
        if (any) text_printf(t, "    return %s(", v->run);
        else text_printf(t, "    if (%s) return %s(", v->has, v->run);
        put_params(m, t, s, false);
        text_puts(t, ");\n");
        target_guard(m, v, true, t);
    }
    if (!any) text_printf(t, "    return %s_E_TARGET;\n", m->id);
    text_puts(t, "}\n\n");
}
static void put_tests(const Model *m, Text *t) {
    bool any = false;
    for (int i = 0; i < m->variant.n; i++) any |= !m->variant.v[i].t->cpu_test;
    if (any) return;
    text_puts(t, "    if (");
    for (int i = 0; i < m->variant.n; i++) text_printf(t, "%s!%s", i ? " && " : "", m->variant.v[i].has);
    text_printf(t, ") return %s_E_TARGET;\n", m->id);
}
static void put_run(Model *m, Text *t) {
    const Graph *g = m->p->g;
    bool file = m->weights == WEIGHTS_FILE;
    Scope s = {uses_store(m, ST_ARENA), (file || m->image) && uses_store(m, ST_CONST)};
    if (m->o->profile) text_printf(t, "void %s_profile(int kernel); /* defined by whoever measures */\n\n", m->id);
    if (m->several) put_variants(m, t, &s);
    run_signature(m, t);
    text_puts(t, " {\n");
    if (s.arena) text_puts(t, "    char *a = arena;\n");
    if (s.weights) text_puts(t, "    const struct weights *w;\n");
    if (m->pool) text_puts(t, "    struct qn_pool *pool;\n");
    text_printf(t, "    if (!arena || (uintptr_t)arena %% 64) return %s_E_ARENA;\n", m->id);
    put_tests(m, t);
    for (int i = 0; i < g->in.n; i++)
        if (!may_be_empty(g, g->in.v[i])) text_printf(t, "    if (!%s) return %s_E_INPUT;\n", m->in[i], m->id);
        else text_printf(t, "    (void)%s;\n", m->in[i]);
    for (int i = 0; i < g->out.n; i++)
        if (!may_be_empty(g, g->out.v[i])) text_printf(t, "    if (!%s) return %s_E_OUTPUT;\n", m->out[i], m->id);
        else text_printf(t, "    (void)%s;\n", m->out[i]);
    for (int i = 0; i < g->out.n; i++)
        if (g->out.v[i]->packed && tensor_bytes(g->out.v[i]))
            text_printf(t, "    if (!%s || !%s) return %s_E_OUTPUT;\n", m->out[i], m->dims[i], m->id);
        else if (g->out.v[i]->packed) text_printf(t, "    if (!%s) return %s_E_OUTPUT;\n", m->dims[i], m->id);
    if (file) text_printf(t, "    if (!((struct state *)arena)->weights) return %s_E_WEIGHTS;\n", m->id);
    if (s.weights && file) text_puts(t, "    w = ((struct state *)arena)->weights;\n");
    else if (s.weights)
        text_printf(t, "    w = qn_image_get(&((struct state *)arena)->image, &%s, sizeof *w);\n",
                    m->weights == WEIGHTS_C ? "weights" : arena_printf(m->a, "%s_weights", m->id));
    if (m->pages) text_printf(t, "    qn_pages_join(&((struct state *)arena)->pages, arena, %s_ARENA_BYTES);\n", m->id);
    if (m->pool) text_puts(t, "    pool = &((struct state *)arena)->pool;\n    qn_pool_begin(pool);\n");
    for (int i = 0; i < g->out.n; i++) { /* unused bits of the last byte are 0 */
        const Tensor *k = g->out.v[i];
        if (packed(k->type.dt) && tensor_elements(k) * dtype_info[k->type.dt].bits % 8)
            text_printf(t, "    %s[%lld] = 0;\n", m->out[i], (long long)(tensor_bytes(k) - 1));
    }
    put_extents(m, t);
    text_puts(t, "\n");
    if (m->several) put_choice(m, t, &s);
    else put_calls(m, t, &m->variant.v[0]);
}
static void put_dims_tables(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    for (int i = 0; i < g->in.n + g->out.n; i++) {
        const Tensor *k = i < g->in.n ? g->in.v[i] : g->out.v[i - g->in.n];
        if (!k->type.rank || k->type.ext || k->packed) continue;
        text_printf(t, "static const int64_t dims_%s[] = {", i < g->in.n ? m->in[i] : m->out[i - g->in.n]);
        for (int d = 0; d < k->type.rank; d++) text_printf(t, "%s%lld", d ? ", " : "", (long long)k->type.dim[d]);
        text_puts(t, "};\n");
    }
}
/* Inputs with free dimensions: the first that has one says what it is, the others must agree. false: there are none. */
static bool put_given_dims(const Model *m, Text *t, bool really) {
    const Graph *g = m->p->g;
    bool any = false;
    for (int i = 0; i < g->in.n; i++) {
        const Type *y = &g->in.v[i]->type;
        if (!y->ext) continue;
        any = true;
        if (!really) continue;
        text_printf(t, "    if (input_dims && input_dims[%d]) {\n        const int64_t *d = input_dims[%d];\n", i, i);
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < y->rank; k++) {
                const Extent *x = y->ext[k] ? extent_find(g, y->ext[k]->u.v) : NULL;
                bool first = x && x->input == g->in.v[i] && x->axis == k;
                if (first && pass == 0) text_printf(t, "        %s = d[%d];\n", m->extent[x->v->id], k);
                if (!first && pass == 1 && x)
                    text_printf(t, "        if (d[%d] != %s) return %s_E_SHAPE;\n", k, m->extent[x->v->id], m->id);
                if (!x && pass == 1) text_printf(t, "        if (d[%d] != %lld) return %s_E_SHAPE;\n", k, (long long)y->dim[k], m->id);
            }
        text_puts(t, "    }\n");
    }
    return any;
}
static bool plain_dims(const Tensor *k) { return k->type.rank > 0 && !k->type.ext && !k->packed; } /* the same in each call */
static void put_invoke(Model *m, Text *t) {
    const Graph *g = m->p->g;
    bool in_dims = false, out_dims = false, lists = false, params = false;
    for (int i = 0; i < g->in.n; i++) in_dims |= plain_dims(g->in.v[i]), lists |= m->in_dims[i] != NULL;
    for (int i = 0; i < g->out.n; i++) out_dims |= plain_dims(g->out.v[i]), params |= m->dims[i] != NULL;
    put_dims_tables(m, t);
    if (in_dims)
        text_puts(t, "static int same_dims(const int64_t *given, const int64_t *dims, int n) {\n"
                     "    for (int i = 0; given && i < n; i++)\n        if (given[i] != dims[i]) return 0;\n    return 1;\n}\n");
    if (out_dims)
        text_puts(t, "static void copy_dims(int64_t *to, const int64_t *dims, int n) {\n    for (int i = 0; to && i < n; i++) to[i] = "
                     "dims[i];\n}\n");
    text_printf(t,
                "\nint %s_invoke(void *arena, const void *const *inputs, const int64_t *const *input_dims, void *const *outputs,\n"
                "%*sint64_t *const *output_dims) {\n    int r;\n",
                m->id, (int)strlen(m->id) + 12, "");
    for (int i = 0; i < g->extent.n; i++) /* without dims: the manifest's shape */
        if (m->extent[i]) text_printf(t, "    int64_t %s = %lld;\n", m->extent[i], (long long)g->extent.v[i]->hi);
    if (g->in.n) text_printf(t, "    if (!inputs) return %s_E_INPUT;\n", m->id);
    else text_puts(t, "    (void)inputs;\n");
    if (g->out.n) text_printf(t, "    if (!outputs) return %s_E_OUTPUT;\n", m->id);
    else text_puts(t, "    (void)outputs;\n");
    if (in_dims) {
        text_puts(t, "    if (input_dims) {\n");
        for (int i = 0; i < g->in.n; i++)
            if (plain_dims(g->in.v[i]))
                text_printf(t, "        if (!same_dims(input_dims[%d], dims_%s, %d)) return %s_E_SHAPE;\n", i, m->in[i],
                            g->in.v[i]->type.rank, m->id);
        text_puts(t, "    }\n");
    } else if (!put_given_dims(m, t, false) && !lists) text_puts(t, "    (void)input_dims;\n");
    put_given_dims(m, t, true);
    text_printf(t, "    r = %s_run(arena", m->id);
    for (int i = 0; i < g->extent.n; i++)
        if (m->extent[i]) text_printf(t, ", %s", m->extent[i]);
    for (int i = 0; i < g->in.n; i++) {
        text_printf(t, ",%s inputs[%d]", i % 8 == 7 ? "\n       " : "", i);
        if (m->in_dims[i]) text_printf(t, ", input_dims ? input_dims[%d] : NULL", i);
    }
    for (int i = 0; i < g->out.n; i++) {
        text_printf(t, ",%s outputs[%d]", i % 8 == 7 ? "\n       " : "", i);
        if (m->dims[i]) text_printf(t, ", output_dims ? output_dims[%d] : NULL", i);
    }
    text_puts(t, ");\n");
    if (out_dims) {
        text_puts(t, "    if (r == 0 && output_dims) {\n");
        for (int i = 0; i < g->out.n; i++)
            if (plain_dims(g->out.v[i]))
                text_printf(t, "        copy_dims(output_dims[%d], dims_%s, %d);\n", i, m->out[i], g->out.v[i]->type.rank);
        text_puts(t, "    }\n");
    } else if (!params) text_puts(t, "    (void)output_dims;\n");
    text_puts(t, "    return r;\n}\n\n");
}
void run_entries(Model *m, Text *t) {
    put_run(m, t);
    put_invoke(m, t);
    pool_entries(m, t);
    if (m->weights == WEIGHTS_FILE) weights_bind(m, t);
    pool_release(m, t);
}
