/* SPDX-License-Identifier: Apache-2.0 */
/* model.c: the road from a model file to a program and to emitted C, shared by the commands.
 *
 *   Program *p = model_build(c, o, "net.onnx");   model_emit(c, o, p, "net", "out", &e);
 */
#include "bench.h"
#include <ctype.h>
#include <string.h>

enum { MAX_THREADS = 128 };

const char *model_id(Ctx *c, const Options *o) {
    if (o->name) return c_name(c->a, map_new(c->a), o->name, "model");
    const char *slash = strrchr(o->model, '/'), *base = slash ? slash + 1 : o->model;
    const char *dot = strrchr(base, '.');
    return c_name(c->a, map_new(c->a), arena_strndup(c->a, base, dot && dot != base ? (size_t)(dot - base) : strlen(base)), "model");
}

Program *model_build(Ctx *c, Options *o, const char *path) {
    if (!target_option(c, o)) return NULL;
    if (o->threads > MAX_THREADS)
        return diag_error(c->d, NO_LOC, "--threads %d: expected 1 to %d, for which the state in the arena has room", o->threads,
                          MAX_THREADS),
               NULL;
    o->pass.threads = o->threads;
    if (o->x.mapping && o->command != 'x' && !model_mappings(c, o)) return NULL;
    Graph *g = onnx_import(c, path, &o->import);
    if (!g || !tune_begin(c, o)) return NULL;
    Program *p = passes_run(c, g, &o->pass);
    return tune_end(o) ? p : NULL;
}

bool model_emit(Ctx *c, const Options *o, const Program *p, const char *id, const char *dir, Emitted *e) {
    EmitOptions eo = {.id = id,
                      .precise = o->pass.precise,
                      .version = QUERN_VERSION,
                      .emit_main = o->emit_main,
                      .profile = o->per_layer,
                      .threads = o->threads};
    if (o->half_error && o->half_error->known) {
        eo.half = true, eo.half_abs = o->half_error->abs, eo.half_rel = o->half_error->rel;
        eo.half_inputs = o->half_error->data ? "data" : "seeded";
    }
    if (o->weights) eo.weights = *o->weights == 'c' ? WEIGHTS_C : *o->weights == 'a' ? WEIGHTS_ASM : WEIGHTS_FILE;
    return emit_model(c, p, &eo, dir, e);
}

static void bind(Ctx *c, Options *o, const char *name, int64_t v) {
    vec_push(c->a, &o->import.dims, ((DimBinding){.name = name, .value = v, .used = false}));
}
/* The length of a sequence or map, and the extents of its elements: of all together where they agree. */
static void bind_list(Ctx *c, Options *o, const char *name, const Type *t, const Type *v) {
    const Wrap *w = t->wrap, *got = v->wrap;
    if (w->kind == WRAP_OPTIONAL && w->of.wrap) w = w->of.wrap, got = got && got->hi ? got->of.wrap : NULL;
    int64_t n = got ? got->hi : 0;
    if (w->kind != WRAP_OPTIONAL && w->hi < 0) bind(c, o, arena_printf(c->a, "%s[]", name), n);
    const Type *first = got && n ? wrap_item(got, 0) : NULL;
    const char *all = w->kind == WRAP_OPTIONAL ? name : arena_printf(c->a, "%s[]", name);
    bool same = true;
    if (w->kind == WRAP_MAP || w->of.wrap || (!first && w->kind != WRAP_OPTIONAL)) return;
    for (int i = 1; i < n; i++) same &= type_same(wrap_item(got, i), first);
    for (int i = 0; i < (same ? 1 : n); i++) {
        const Type *e = first ? wrap_item(got, i) : NULL;
        int rank = w->of.rank >= 0 ? w->of.rank : e ? e->rank : 0;
        for (int k = 0; k < rank && (!e || k < e->rank); k++)
            if (w->of.rank < 0 || w->of.dim[k] < 0)
                bind(c, o, arena_printf(c->a, "%s[%d]", same ? all : arena_printf(c->a, "%s[%d]", name, i), k), e ? e->dim[k] : 1);
    }
}
/* A free axis of input i takes the extent that the data has. Bindings are by axis, so that two data sets cannot clash by name. */
bool model_bind_dims(Ctx *c, Options *o, const char *path, const Value *in, int nin) {
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = onnx_import(c, path, &probe);
    if (!g) return false;
    for (int i = 0; i < g->in.n && i < nin; i++) {
        const Tensor *t = g->in.v[i];
        if (t->type.wrap && (in[i].data || !in[i].type.wrap)) bind_list(c, o, t->name, &t->type, &in[i].type);
        for (int k = 0; k < t->type.rank && k < in[i].type.rank; k++)
            if (t->type.dim[k] < 0)
                vec_push(c->a, &o->import.dims,
                         ((DimBinding){.name = arena_printf(c->a, "%s[%d]", t->name, k), .value = in[i].type.dim[k], .used = false}));
    }
    return true;
}

/* An extent of an output which nothing else bounds is bounded by what the data hold. */
bool model_bind_outputs(Ctx *c, Options *o, const char *path, const Value *out, int nout) {
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = onnx_import(c, path, &probe);
    if (!g) return false;
    for (int i = 0; i < g->out.n && i < nout; i++) {
        const Type *t = &g->out.v[i]->type;
        for (int k = 0; !t->wrap && !out[i].type.wrap && k < out[i].type.rank && (t->rank < 0 || t->rank == out[i].type.rank); k++)
            if (t->rank < 0 || t->dim[k] < 0) bind(c, o, arena_printf(c->a, "%s[%d]", g->out.v[i]->name, k), out[i].type.dim[k]);
    }
    return true;
}

/* Integers that extents may follow from are bounded by the largest one in the data, where the user gave no --max. */
enum { FEW = 64 };
static int64_t largest(const Value *v, int64_t n) {
    int64_t most = 0;
    for (int64_t e = 0; e < n; e++) most = max_i64(most, dtype_get_i(v->type.dt, v->data, e));
    return most;
}
bool model_bind_values(Ctx *c, Options *o, const char *path, const Value *in, int nin) {
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = onnx_import(c, path, &probe);
    for (int i = 0; g && i < g->in.n && i < nin; i++) {
        const char *name = g->in.v[i]->name;
        int64_t n;
        bool given = in[i].type.wrap || !in[i].data || !dtype_is_int(in[i].type.dt) || !type_elements(&in[i].type, &n) || n > FEW;
        for (int k = 0; k < o->import.max.n && !given; k++) given = strcmp(o->import.max.v[k].name, name) == 0;
        if (!given) vec_push(c->a, &o->import.max, ((MaxBinding){name, largest(&in[i], n)}));
    }
    return g != NULL;
}
bool model_values_fit(const Graph *g, const Value *in, int nin) {
    int64_t n;
    for (int i = 0; i < g->in.n && i < nin; i++)
        if (g->in.v[i]->has_max && in[i].data && type_elements(&in[i].type, &n) && largest(&in[i], n) > g->in.v[i]->max) return false;
    return true;
}
bool model_bind_set(Ctx *c, Options *o, const DataSet *set) {
    return model_bind_dims(c, o, o->model, set->in.v, set->in.n) && model_bind_values(c, o, o->model, set->in.v, set->in.n) &&
           model_bind_outputs(c, o, o->model, set->out.v, set->out.n);
}
