/* SPDX-License-Identifier: Apache-2.0 */
/* explore_flow.c: dataflows from codegen/targets/dataflows.yaml, which the binary carries, or from a user's file of the same form.
 *   - {name: ws, spatial: [M, C, R, S], pe_keep: [W], stationary: W}   ->   a Dataflow */
#include "codegen/embedded.h"
#include "explore.h"
#include <string.h>

static bool wrong(Ctx *c, const char *file, const char *name, const char *key, const char *want) {
    return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "dataflow '%s': %s is not %s", name, key, want);
}
static bool words(Ctx *c, const char *file, const char *name, const json_t *j, const char *key, const char **out) {
    const json_t *list = json_object_get(j, key), *v;
    size_t i;
    if (!list) return true;
    if (!json_is_array(list)) return wrong(c, file, name, key, "a list of dims");
    *out = "";
    json_array_foreach((json_t *)list, i, v) {
        if (!json_is_string(v)) return wrong(c, file, name, key, "a list of dims");
        *out = arena_printf(c->a, "%s%s%s", *out, i ? " " : "", json_string_value(v));
    }
    return true;
}
static bool role(const char *s, unsigned *out) {
    static const char letters[] = "WIO";
    const char *at = s && strlen(s) == 1 ? strchr(letters, *s) : NULL;
    if (at) *out |= 1u << (at - letters);
    return at != NULL;
}
static bool roles(Ctx *c, const char *file, const char *name, const json_t *j, const char *key, unsigned *out) {
    const json_t *list = json_object_get(j, key), *v;
    size_t i;
    if (list && !json_is_array(list)) return wrong(c, file, name, key, "a list of W, I, O");
    json_array_foreach((json_t *)list, i, v) {
        if (!role(json_string_value(v), out)) return wrong(c, file, name, key, "a list of W, I, O");
    }
    return true;
}
static bool one_word(Ctx *c, const char *file, const char *name, const json_t *j, const char *key, const char **out) {
    const json_t *v = json_object_get(j, key);
    if (!v) return true;
    if (!json_is_string(v)) return wrong(c, file, name, key, "a text");
    *out = arena_strdup(c->a, json_string_value(v));
    return true;
}
static bool fill(Ctx *c, const char *file, const json_t *j, Dataflow *f) {
    static const char *const known[] = {"name",       "about", "spatial", "pe_keep", "pe_must",
                                        "stationary", "whole", "beside",  "inside",  "innermost"};
    json_t *v;
    const char *k, *stationary = NULL;
    json_object_foreach((json_t *)j, k, v) {
        bool found = false;
        for (size_t n = 0; n < sizeof known / sizeof *known; n++) found |= strcmp(k, known[n]) == 0;
        if (!found) return wrong(c, file, f->name, k, "a key of a dataflow");
    }
    f->limits_keep = json_object_get(j, "pe_keep") != NULL;
    if (!roles(c, file, f->name, j, "pe_keep", &f->pe_keep) || !roles(c, file, f->name, j, "pe_must", &f->pe_must)) return false;
    if (!one_word(c, file, f->name, j, "stationary", &stationary)) return false;
    if (stationary && !role(stationary, &f->stationary)) return wrong(c, file, f->name, "stationary", "W, I or O");
    return words(c, file, f->name, j, "spatial", &f->spatial) && one_word(c, file, f->name, j, "about", &f->about) &&
           one_word(c, file, f->name, j, "whole", &f->whole) && one_word(c, file, f->name, j, "beside", &f->beside) &&
           one_word(c, file, f->name, j, "inside", &f->inside) && one_word(c, file, f->name, j, "innermost", &f->innermost);
}
/* NAME of the built-in file or FILE#NAME. "any" is no constraint: *out is NULL. */
bool explore_dataflow(Ctx *c, const char *name, const Dataflow **out) {
    const char *hash = strrchr(name, '#'),
               *file = hash ? arena_strndup(c->a, name, (size_t)(hash - name)) : "codegen/targets/dataflows.yaml";
    *out = NULL;
    if (strcmp(name, "any") == 0) return true;
    if (hash) name = hash + 1;
    const Embedded *e = hash ? NULL : embedded_find(file);
    json_t *j = e ? explore_parse(c, file, e->data, e->bytes) : explore_load(c, file), *row;
    const json_t *list = json_object_get(j, "dataflows");
    Text names = {0};
    size_t i;
    json_array_foreach((json_t *)list, i, row) {
        const char *n = json_string_value(json_object_get(row, "name"));
        text_printf(&names, ", %s", n ? n : "?");
        if (!n || strcmp(n, name) != 0) continue;
        Dataflow *f = NEW(c->a, Dataflow);
        f->name = arena_strdup(c->a, name);
        if (fill(c, file, row, f)) *out = f;
        break;
    }
    if (j && !*out)
        diag_error(c->d, (Loc){file, -1, NULL, NULL}, "no dataflow is called '%s'; expected any%s", name, names.s ? names.s : "");
    text_free(&names);
    json_decref(j);
    return *out != NULL;
}
