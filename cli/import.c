/* SPDX-License-Identifier: Apache-2.0 */
/* import.c: tells other tools' files from our own by the keys that begin their lines, and hands them to their readers.
 *   architecture: {version: 0.3, …}   ->   timeloop_target      memories: {…}   ->   zigzag_target */
#include "import.h"
#include <string.h>

/* Does a line begin with the key? */
static bool has_line(const char *text, size_t n, const char *key) {
    size_t k = strlen(key);
    for (const char *s = text, *end = text + n; s && s + k <= end;) {
        if (memcmp(s, key, k) == 0) return true;
        s = memchr(s, '\n', (size_t)(end - s));
        if (s) s++;
    }
    return false;
}
static bool workload(const char *text, size_t n) {
    return has_line(text, n, "- id:") || (has_line(text, n, "- ") && has_line(text, n, "  equation:"));
}

bool import_layers(Ctx *c, const char *file, const char *text, size_t n, const char *only, ExploreLayers *out, bool *mine) {
    YamlFile f;
    bool timeloop = has_line(text, n, "problem:"), zigzag = !timeloop && workload(text, n);
    *mine = timeloop || zigzag;
    if (!*mine || !yaml_tree(c, file, text, n, &f)) return false;
    if (zigzag)
        return zigzag_is_workload(&f) ? zigzag_layers(&f, only, out) : yaml_wrong(&f, f.root, "expected a list of layers with an equation");
    Problem *p = timeloop_problem(&f);
    if (p) vec_push(c->a, &out->list, ((ExploreLayer){.name = p->name, .op = "problem", .problem = p}));
    return p != NULL;
}
Target *import_target(Ctx *c, const char *file, const char *text, size_t n, bool *mine) {
    YamlFile f;
    bool timeloop = has_line(text, n, "architecture:"), zigzag = !timeloop && has_line(text, n, "memories:");
    *mine = timeloop || zigzag;
    if (!*mine || !yaml_tree(c, file, text, n, &f)) return NULL;
    Target *t = zigzag ? zigzag_target(&f) : timeloop_target(&f);
    if (t && timeloop && (timeloop_has(&f, "ERT") || timeloop_has(&f, "ART")) && !accelergy_tables(&f, t)) return NULL;
    return t;
}
Mapping *import_mapping(Ctx *c, const char *file, const char *text, size_t n, const Problem *p, const Target *t, bool *mine) {
    YamlFile f;
    *mine = has_line(text, n, "mapping:");
    if (!*mine || !yaml_tree(c, file, text, n, &f)) return NULL;
    const YamlNode *list = yaml_get(f.root, "mapping");
    *mine = list && list->kind == YAML_IS_LIST && (!list->n || yaml_get(list->item[0], "target")); /* our own have `level` */
    return *mine ? timeloop_mapping(&f, p, t) : NULL;
}
bool import_tables(Ctx *c, const char *file, Target *t) {
    YamlFile f;
    return yaml_open(c, file, &f) && accelergy_tables(&f, t);
}
/* Files of --constraints, and of the machine if it is Timeloop's. */
bool import_rules(Ctx *c, const Options *o, const Problem *p, const Target *t, const MapRules **out) {
    const char *files[] = {o->x.arch ? o->x.arch : o->target, o->x.constraints};
    MapRules *r = NEW(c->a, MapRules);
    *out = NULL;
    for (int i = 0; i < 2; i++) {
        size_t n = files[i] ? strlen(files[i]) : 0, bytes;
        YamlFile f;
        if (!n || (i == 0 && (n < 6 || strcmp(files[i] + n - 5, ".yaml") != 0))) continue;
        char *text = file_read_whole(c, files[i], 1 << 26, &bytes);
        if (!text) return false;
        if (i == 0 && !has_line(text, bytes, "architecture:")) continue;
        if (!yaml_tree(c, files[i], text, bytes, &f) || !timeloop_rules(&f, p, t, r)) return false;
        *out = r;
    }
    return true;
}
