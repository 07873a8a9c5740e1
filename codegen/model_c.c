/* SPDX-License-Identifier: Apache-2.0 */
/* model_c.c: a planned program -> ID.c, ID.h, ID.json and, where the weights are not in ID.c, ID.weights and ID_weights.S.
 * All text is made first; the files appear together or not at all. Nothing depends on time, place or addresses.
 *
 *   emit_model(c, p, &(EmitOptions){.id = "net"}, "out", &e)   --->   out/net.c  out/net.h  out/net.json
 */
#include "model.h"
#include "ir/target.h"
#include <string.h>

static void put_source(Model *m, Text *t) {
    Text body = {0}, kernels = {0};
    const Program *p = m->p;
    run_names(m);
    target_names(m);
    run_kernels(m, &kernels); /* first: what they need is declared before them */
    weights_struct(m, &body);
    pool_state(m, &body);
    run_table(m, &body);

    text_puts(t, "/* SPDX-License-Identifier: 0BSD */\n");
    Text head = {0};
    text_printf(&head, "%s.c: a neural network compiled to C by Quern %s.\n", m->id, m->o->version ? m->o->version : "");
    text_printf(&head, "%d kernels, %lld multiply-accumulates, %lld bytes of weights, %lld bytes of working memory.", p->k.n,
                (long long)p->macs, (long long)p->weights_bytes, (long long)m->arena_bytes);
    put_comment(t, head.s, 0);
    text_free(&head);
    target_pragmas(m, t);
    pool_switches(m, t);
    text_printf(t, "#include \"%s.h\"\n", m->id);
    target_includes(m, t);
    if (m->needs.math || m->math || helper_text_math(m->helpers)) text_puts(t, "#include <math.h>\n");
    if (helper_text_string(m->helpers) || m->weights == WEIGHTS_FILE) text_puts(t, "#include <string.h>\n");
    pool_runtime(m, t);
    target_macros(m, t);
    text_puts(t, "\n");
    if (body.n) text_putn(t, body.s, body.n);
    if (kernels.n) text_putn(t, kernels.s, kernels.n);
    text_free(&body), text_free(&kernels);
    run_entries(m, t);
}
static WeightsMode weights_mode(const EmitOptions *o, const Program *p) {
    if (o->weights == WEIGHTS_FILE) return WEIGHTS_FILE;
    bool any = false;
    for (int i = 0; i < p->consts.n; i++) any |= tensor_bytes(p->consts.v[i]) > 0;
    if (!any) return WEIGHTS_C;
    if (o->weights != WEIGHTS_AUTO) return o->weights;
    return p->weights_bytes <= C_WEIGHTS_LIMIT ? WEIGHTS_C : WEIGHTS_ASM;
}
static bool write_all(Model *m, OutSet *s, Emitted *out) {
    Ctx *c = m->c;
    const char *id = m->id;
    Text source = {0}, header = {0}, manifest = {0}, extra = {0};
    put_source(m, &source);
    model_header(m, &header);
    out->text_bytes = (int64_t)(source.n + header.n);
    vec_push(c->a, &out->sources, arena_printf(c->a, "%s.c", id));
    if (m->weights == WEIGHTS_ASM) vec_push(c->a, &out->sources, arena_printf(c->a, "%s_weights.S", id));
    model_manifest(m, out, &manifest);
    bool ok = out_text(s, arena_printf(c->a, "%s.c", id), &source);
    ok = ok && out_text(s, arena_printf(c->a, "%s.h", id), &header);
    ok = ok && out_text(s, arena_printf(c->a, "%s.json", id), &manifest);
    text_free(&source), text_free(&header), text_free(&manifest);
    if (ok && m->weights == WEIGHTS_ASM) {
        weights_asm(m, &extra);
        ok = out_text(s, arena_printf(c->a, "%s_weights.S", id), &extra);
    }
    if (ok && m->weights != WEIGHTS_C) ok = out_open(s, arena_printf(c->a, "%s.weights", id)) && weights_write(m->p, m->hash, out_put, s);
    if (ok && m->o->emit_main) {
        model_main(m, &extra);
        ok = out_text(s, arena_printf(c->a, "%s_main.c", id), &extra);
    }
    if (!ok || !out_commit(s)) return false;
    if (m->weights != WEIGHTS_ASM) out_forget(s, arena_printf(c->a, "%s_weights.S", id));
    if (m->weights == WEIGHTS_C) out_forget(s, arena_printf(c->a, "%s.weights", id));
    return true;
}
/* Before anything is printed: the state's size is part of every offset. A marked loop that is printed as a loop costs its bytes. */
static bool has_parallel_loop(const Stmt *s) {
    if (s->k == S_FOR) return s->u.loop.mode == LOOP_PAR || has_parallel_loop(s->u.loop.body);
    if (s->k == S_IF) return has_parallel_loop(s->u.cond.then) || (s->u.cond.other && has_parallel_loop(s->u.cond.other));
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n; i++)
        if (has_parallel_loop(s->u.block.v[i])) return true;
    return false;
}
static bool threads_useful(const Program *p, int threads) {
    for (; p; p = p->next)
        for (int i = 0; i < p->k.n && threads > 1; i++)
            if (has_parallel_loop(p->k.v[i]->f->body)) return true;
    return false;
}
bool emit_model(Ctx *c, const Program *p, const EmitOptions *o, const char *dir, Emitted *out) {
    Arena *a = arena_new();
    Model m = {.c = c, .a = a, .p = p, .o = o, .id = o->id, .weights = weights_mode(o, p), .threads = o->threads > 1 ? o->threads : 1};
    target_variants(&m);
    m.image = m.weights != WEIGHTS_FILE && p->weights_bytes >= IMAGE_LIMIT;
    m.pages = p->arena_bytes >= PAGES_LIMIT;
    int64_t state = m.weights == WEIGHTS_FILE || m.image || m.pages ? 64 : 0;
    if (threads_useful(p, m.threads)) state = 64 + pool_bytes(m.threads);
    m.shift = max_i64(0, state - p->state_bytes);
    m.state_bytes = p->state_bytes + m.shift;
    m.arena_bytes = max_i64(p->arena_bytes + m.shift, 64);
    m.used = map_new(a);
    m.helpers = helper_text_new(a);
    if (m.weights != WEIGHTS_C) m.hash = weights_hash(p);
    *out = (Emitted){0};
    OutSet s;
    bool ok = out_begin(&s, c, dir) && write_all(&m, &s, out);
    if (!ok) out_fail(&s);
    arena_free(a);
    return ok;
}
