/* SPDX-License-Identifier: Apache-2.0 */
/* model_mappings.c: mappings of the layers of a model in one file, as `quern explore MODEL --save FILE` writes them, or as the `layers` of
 * its
 * --json. The model is compiled with them; layers that are not named are compiled as without.
 *   mappings: / conv1: "DRAM[M4] L1[E28 F28 C3] regs[R3 S3 M16]"   ->   o->pass.mapping */
#include "explore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mappings_of_model(Ctx *c, const char *file) { /* one that cannot be read, but has the word, is told about later */
    Diags none = {.a = c->a};
    Ctx quiet = {c->a, &none};
    size_t bytes;
    char *text = file_read_whole(&quiet, file, 1 << 28, &bytes);
    json_t *j = text ? explore_parse(&quiet, file, text, bytes) : NULL;
    bool many = json_object_get(j, "mappings") || json_object_get(j, "layers");
    if (text && !j) many = strncmp(text, "mappings:", 9) == 0 || strstr(text, "\nmappings:") || strstr(text, "\"layers\"");
    json_decref(j);
    return many;
}
static bool add(Ctx *c, Options *o, const ExploreLayers *layers, const char *name, const char *where, const json_t *mapping) {
    Loc loc = explore_place(c, o->x.mapping, where, "");
    const ExploreLayer *l = NULL;
    for (int i = 0; i < layers->list.n && !l; i++)
        if (strcmp(layers->list.v[i].name, name) == 0) l = &layers->list.v[i];
    if (!l) return diag_error(c->d, loc, "%s has no convolution or matrix product called '%s'; `quern inspect` lists them", o->model, name);
    const Mapping *m = explore_mapping(c, o->x.mapping, where, mapping, l->problem, o->machine);
    if (!m || !mapping_check(c, loc, m, NULL)) return false;
    vec_push(c->a, &o->pass.mapping, ((LayerMapping){l->name, loc, m}));
    return true;
}
bool model_mappings(Ctx *c, Options *o) {
    json_t *j = explore_load(c, o->x.mapping), *row;
    ExploreLayers layers = {0};
    Options plain = *o;
    size_t i;
    const char *k;
    plain.x.layer = NULL, plain.x.images = 0, plain.x.all = false;
    bool ok = j && explore_layers(c, &plain, &layers);
    json_t *named = json_object_get(j, "mappings"), *list = json_object_get(j, "layers");
    if (ok && !json_is_object(named) && !json_is_array(list))
        ok = diag_error(c->d, (Loc){o->x.mapping, -1, NULL, NULL}, "found no `mappings`, expected an object {LAYER: MAPPING}");
    o->pass.mapping.n = 0;
    if (ok && json_is_object(named))
        json_object_foreach(named, k, row) ok &= add(c, o, &layers, k, arena_printf(c->a, "mappings: %s", k), row);
    if (ok && !named) json_array_foreach(list, i, row) {
            const char *name = json_string_value(json_object_get(row, "case"));
            ok &= add(c, o, &layers, name ? name : "", arena_printf(c->a, "layers[%zu]: mapping", i), json_object_get(row, "mapping"));
        }
    json_decref(j);
    return ok;
}
bool explore_save(Ctx *c, const char *file, const ModelRun *r) {
    FILE *f = fopen(file, "w");
    if (!f) return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "cannot be written");
    fprintf(f, "# the layers of %s on %s: quern compile MODEL --target %s --mapping FILE\nmappings:\n", r->options->model, r->target->name,
            r->target->name);
    for (int i = 0; i < r->layers->list.n; i++) {
        Text line = {0};
        json_t *name = json_string(r->layers->list.v[i].name);
        char *quoted = json_dumps(name, JSON_ENCODE_ANY);
        mapping_print_line(r->found[i].mapping, &line);
        fprintf(f, "  %s: \"%s\"\n", quoted, line.s);
        free(quoted), json_decref(name), text_free(&line);
    }
    return fclose(f) == 0 || diag_error(c->d, (Loc){file, -1, NULL, NULL}, "cannot be written");
}
