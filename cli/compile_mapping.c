/* SPDX-License-Identifier: Apache-2.0 */
/* compile_mapping.c: quern compile --mapping. One layer, of a problem file or of a model, becomes C as its mapping says: plain, or
 * instrumented so that every word that moves between the machine's levels calls ID_access.
 *   quern compile conv.yaml --target eyeriss --mapping m.map --instrument -o out   ->   out/conv.c, which calls conv_access */
#include "explore.h"
#include <stdio.h>
#include <string.h>

static const Target *machine_of(Ctx *c, const Options *o) {
    const char *hash = o->x.arch ? strrchr(o->x.arch, '#') : NULL;
    if (!o->x.arch) return explore_target(c, o->target ? o->target : "c99");
    const char *file = hash ? arena_strndup(c->a, o->x.arch, (size_t)(hash - o->x.arch)) : o->x.arch;
    return explore_arch(c, file, hash ? hash + 1 : NULL);
}
static const Problem *problem_of(Ctx *c, const Options *o) {
    size_t n = strlen(o->model);
    ExploreLayers layers = {0};
    bool model = n > 5 && strcmp(o->model + n - 5, ".onnx") == 0;
    if (model ? !explore_layers(c, o, &layers) : !explore_problems(c, o, &layers)) return NULL;
    if (layers.list.n == 1) return layers.list.v[0].problem;
    return diag_error(c->d, (Loc){o->model, -1, NULL, NULL}, "%d layers, and --mapping is for one; add --layer NAME", layers.list.n), NULL;
}
/* Instrumented code counts; it runs anywhere. */
static const Target *portable(Ctx *c, const Target *t) {
    Target *x = NEW(c->a, Target);
    *x = *t;
    x->vector_bits = 0, x->ninstr = 0, x->cflags = x->attribute = x->include = x->cpu_test = NULL;
    return x;
}
int compile_mapping(Ctx *c, Options *o) {
    const Target *t = machine_of(c, o);
    const Problem *p = t ? problem_of(c, o) : NULL;
    const Mapping *m = p ? explore_mapping_file(c, o->x.mapping, p, t) : NULL;
    Loc loc = {o->x.mapping, -1, NULL, NULL};
    if (!m || !mapping_check(c, loc, m, NULL)) return EXIT_REFUSED;
    o->machine = o->instrument ? portable(c, t) : t;
    o->pass.target = o->machine;
    Program *r = mapping_program(c, loc, m, o->instrument, &o->pass);
    Emitted e = {0};
    const char *id = model_id(c, o);
    if (!r || !model_emit(c, o, r, id, o->output, &e)) return EXIT_REFUSED;
    fprintf(stderr, "%s: layer %s on %s%s, %lld MACs; C text %lld bytes, arena %lld bytes\n", id, p->name, t->name,
            o->instrument ? ", instrumented" : "", (long long)r->macs, (long long)e.text_bytes, (long long)r->arena_bytes);
    return EXIT_DONE;
}
