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

/* What Timeloop's frontend writes into one file may be given as any of its parts. */
bool timeloop_top(const YamlFile *f) {
    static const char *const noted[][2] = {
        {"mapper", "the search goes by --objective, --evals and --time"},
        {"components", "energies come from Accelergy's tables (--ert)"},
        {"compound_components", "energies come from Accelergy's tables (--ert)"},
        {"globals", "Python is not run"},
    };
    bool ok =
        yaml_known(f, f->root, "file",
                   " architecture problem mapping ERT ART constraints mapspace mapspace_constraints architecture_constraints variables "
                   "mapper components compound_components globals sparse_optimizations dumped_by_timeloop_front_end ");
    const YamlNode *sparse = yaml_get(f->root, "sparse_optimizations"), *targets = yaml_get(sparse, "targets");
    if (targets ? targets->n : sparse && sparse->n)
        ok = yaml_wrong(f, sparse, "sparse_optimizations are not supported; --density and --sparsity say what zeros cost");
    for (size_t i = 0; i < sizeof noted / sizeof *noted; i++)
        for (int k = 0; k < f->root->n; k++) {
            const YamlNode *at = f->root->key[k], *v = f->root->item[k], *classes = yaml_get(v, "classes");
            if (strcmp(at->text, noted[i][0]) != 0 || (classes ? !classes->n : v->kind != YAML_IS_TEXT && !v->n)) continue;
            Loc loc = {f->name, loc_place(at->line, at->column), NULL, NULL};
            bool said = false;
            for (int d = 0; d < f->c->d->list.n; d++) {
                const Diag *x = &f->c->d->list.v[d];
                said |= x->loc.file && strcmp(x->loc.file, f->name) == 0 && x->loc.index == loc.index;
            }
            if (!said) diag_note(f->c->d, loc, "`%s` is passed over: %s", at->text, noted[i][1]);
        }
    return ok;
}
bool place_of(const Target *t, const char *name, Place *out) {
    *out = (Place){target_level(t, name), -1, 3};
    if (out->level >= 0) return true;
    for (int l = 0; l < t->nlevel; l++) {
        const char *s = t->level[l].spread;
        for (int box = 0; s && *s; box++) { /* NAME:AXES; Timeloop's frontend calls it inter_NAME_spatial */
            size_t n = strcspn(s, ":"), len = strlen(name), axes = strcspn(s + n, " ");
            bool same = len == n && strncmp(name, s, n) == 0;
            same |=
                len == n + 14 && strncmp(name, "inter_", 6) == 0 && strncmp(name + 6, s, n) == 0 && strcmp(name + 6 + n, "_spatial") == 0;
            if (same) {
                *out = (Place){l, box, (memchr(s + n, 'x', axes) ? 1u : 0) | (memchr(s + n, 'y', axes) ? 2u : 0)};
                return true;
            }
            s += n + axes;
            s += *s == ' ';
        }
    }
    return false;
}

static bool tree(Ctx *c, const char *file, const char *text, size_t n, YamlFile *f) {
    if (has_line(text, n, "{{") || has_line(text, n, "{%"))
        return diag_error(c->d, (Loc){file, -1, NULL, NULL},
                          "templates are not expanded; give the file that Timeloop's frontend writes (parsed-processed-input.yaml)");
    return yaml_tree(c, file, text, n, f);
}

bool import_layers(Ctx *c, const char *file, const char *text, size_t n, const char *only, ExploreLayers *out, bool *mine) {
    YamlFile f;
    bool timeloop = has_line(text, n, "problem:"), zigzag = !timeloop && workload(text, n);
    *mine = timeloop || zigzag;
    if (!*mine || !tree(c, file, text, n, &f)) return false;
    if (zigzag)
        return zigzag_is_workload(&f) ? zigzag_layers(&f, only, out) : yaml_wrong(&f, f.root, "expected a list of layers with an equation");
    Problem *p = timeloop_top(&f) ? timeloop_problem(&f) : NULL;
    if (p) vec_push(c->a, &out->list, ((ExploreLayer){.name = p->name, .op = "problem", .problem = p}));
    return p != NULL;
}
Target *import_target(Ctx *c, const char *file, const char *text, size_t n, bool *mine) {
    YamlFile f;
    bool timeloop = has_line(text, n, "architecture:"), zigzag = !timeloop && has_line(text, n, "memories:");
    *mine = timeloop || zigzag;
    if (!*mine || !tree(c, file, text, n, &f)) return NULL;
    Target *t = zigzag ? zigzag_target(&f) : timeloop_top(&f) ? timeloop_target(&f) : NULL;
    if (t && timeloop && (timeloop_has(&f, "ERT") || timeloop_has(&f, "ART")) && !accelergy_tables(&f, t)) return NULL;
    return t;
}
Mapping *import_mapping(Ctx *c, const char *file, const char *text, size_t n, const Problem *p, const Target *t, bool *mine) {
    YamlFile f;
    *mine = has_line(text, n, "mapping:");
    if (!*mine || !tree(c, file, text, n, &f)) return NULL;
    const YamlNode *list = yaml_get(f.root, "mapping");
    *mine = list && list->kind == YAML_IS_LIST && (!list->n || yaml_get(list->item[0], "target")); /* our own have `level` */
    return *mine && timeloop_top(&f) ? timeloop_mapping(&f, p, t) : NULL;
}
bool import_tables(Ctx *c, const char *file, Target *t) {
    YamlFile f;
    return yaml_open(c, file, &f) && timeloop_top(&f) && accelergy_tables(&f, t);
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
        if (!tree(c, files[i], text, bytes, &f)) return false;
        if (zigzag_is_mapping(&f) ? !zigzag_rules(&f, p, t, r) : !timeloop_top(&f) || !timeloop_rules(&f, p, t, r)) return false;
        *out = r;
    }
    return true;
}
