/* SPDX-License-Identifier: Apache-2.0 */
/* model.c: the road from a model file to a program and to emitted C, shared by the commands.
 *
 *   Program *p = model_build(c, o, "net.onnx");   model_emit(c, o, p, "net", "out", &e);
 */
#include "cli.h"
#include "codegen/target_yaml.h"
#include <ctype.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 128 };

const char *model_id(Ctx *c, const Options *o) {
    if (o->name) return c_name(c->a, map_new(c->a), o->name, "model");
    const char *slash = strrchr(o->model, '/'), *base = slash ? slash + 1 : o->model;
    const char *dot = strrchr(base, '.');
    return c_name(c->a, map_new(c->a), arena_strndup(c->a, base, dot && dot != base ? (size_t)(dot - base) : strlen(base)), "model");
}

/* The widest built-in target that this machine can run. */
static const char *host_target(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return "x86_avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "x86_avx2";
#endif
    return "c99";
}
/* A built-in target has the caches of the smallest cores of its kind; those of this machine's are known. */
static void host_caches(Target *t) {
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
    const struct {
        const char *level;
        int key;
    } row[] = {{"L1", _SC_LEVEL1_DCACHE_SIZE}, {"L2", _SC_LEVEL2_CACHE_SIZE}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int level = target_level(t, row[i].level);
        long bytes = sysconf(row[i].key);
        if (level > 0 && bytes >= 4096 && bytes <= 1 << 28) t->level[level].words = bytes * 8 / t->level[level].word_bits;
    }
#else
    (void)t;
#endif
}
static bool load_target(Ctx *c, Options *o) {
    if (o->machine) return true;
    const char *name = o->target ? o->target : "c99";
    bool host = strcmp(name, "host") == 0;
    Target *t = target_load(c, host ? host_target() : name);
    if (t && host) host_caches(t);
    o->machine = t;
    o->pass.target = o->machine;
    return o->machine != NULL;
}

Program *model_build(Ctx *c, Options *o, const char *path) {
    if (!load_target(c, o)) return NULL;
    if (o->threads > MAX_THREADS)
        return diag_error(c->d, NO_LOC, "--threads %d: expected 1 to %d, for which the state in the arena has room", o->threads,
                          MAX_THREADS),
               NULL;
    o->pass.threads = o->threads;
    Graph *g = onnx_import(c, path, &o->import);
    return g ? passes_run(c, g, &o->pass) : NULL;
}

bool model_emit(Ctx *c, const Options *o, const Program *p, const char *id, const char *dir, Emitted *e) {
    EmitOptions eo = {.id = id,
                      .target = o->machine,
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
                vec_push(c->a, &o->import.dims, ((DimBinding){arena_printf(c->a, "%s[%d]", t->name, k), in[i].type.dim[k], false}));
    }
    return true;
}
