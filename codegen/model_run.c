/* SPDX-License-Identifier: Apache-2.0 */
/* model_run.c: the names of ID.c, its table of arena offsets and ID_run, which checks what it is given and calls the kernels in turn.
 *
 *   conv1(x, ID_weights.conv1_w, (float *)(a + AT_conv1));   relu(…)   …
 */
#include "model.h"
#include "ir/list.h"
#include "ir/target.h"
#include <string.h>

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
            k = tensor_base(k);
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
/* The pointer that a kernel gets for its parameter i. */
static void put_argument(const Model *m, Text *t, const Kernel *k, int i) {
    const Buf *b = k->f->param.v[i];
    const char *type = dtype_info[b->dt].ctype;
    int64_t off = dtype_packed(b->dt) ? 0 : b->offset;
    if (!k->arg.v[i]) {
        text_printf(t, "(%s *)(a + %lld)", type, (long long)(k->scratch.v[i] + m->shift));
        return;
    }
    const Tensor *base = tensor_base(k->arg.v[i]);
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
                if (!k->arg.v[j] ? store == ST_ARENA
                                 : (tensor_base(k->arg.v[j])->store == store && tensor_bytes(tensor_base(k->arg.v[j])) > 0))
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
        const Tensor *c = k->guard.v[i].cond, *b = tensor_base(c);
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
        if (k->loop) text_printf(t, "    while (*(const uint8_t *)(a + AT_%s)) {\n", m->arena_name[tensor_base(k->loop)->id]);
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
        if (dtype_packed(k->type.dt) && tensor_elements(k) * dtype_info[k->type.dt].bits % 8)
            text_printf(t, "    %s[%lld] = 0;\n", m->out[i], (long long)(tensor_bytes(k) - 1));
    }
    put_extents(m, t);
    text_puts(t, "\n");
    if (m->several) put_choice(m, t, &s);
    else put_calls(m, t, &m->variant.v[0]);
}
void run_entries(Model *m, Text *t) {
    put_run(m, t);
    run_invoke(m, t);
    pool_entries(m, t);
    if (m->weights == WEIGHTS_FILE) weights_bind(m, t);
    pool_release(m, t);
}
