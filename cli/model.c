/* SPDX-License-Identifier: Apache-2.0 */
/* model.c: the road from a model file to a program and to emitted C, shared by the commands.
 *
 *   Program *p = model_build(c, o, "net.onnx");   model_emit(c, o, p, "net", "out", &e);
 */
#include "cli.h"
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
    if (o->weights) eo.weights = *o->weights == 'c' ? WEIGHTS_C : *o->weights == 'a' ? WEIGHTS_ASM : WEIGHTS_FILE;
    return emit_model(c, p, &eo, dir, e);
}

/* A free axis of input i takes the extent that the data has. Bindings are by axis, so that two data sets cannot clash by name. */
bool model_bind_dims(Ctx *c, Options *o, const char *path, const Value *in, int nin) {
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = onnx_import(c, path, &probe);
    if (!g) return false;
    for (int i = 0; i < g->in.n && i < nin; i++) {
        const Tensor *t = g->in.v[i];
        for (int k = 0; k < t->type.rank && k < in[i].type.rank; k++)
            if (t->type.dim[k] < 0)
                vec_push(c->a, &o->import.dims,
                         ((DimBinding){.name = arena_printf(c->a, "%s[%d]", t->name, k), .value = in[i].type.dim[k], .used = false}));
    }
    return true;
}
