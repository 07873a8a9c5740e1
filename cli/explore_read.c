/* SPDX-License-Identifier: Apache-2.0 */
/* explore_read.c: machines, layers and mappings from files, in the form of the reference of Timeloop counts. YAML files with the same
 * keys are read against a schema and become the same JSON values, so there is one reader of each object.
 *   {"level": "GLB", "temporal_outer_to_inner": [["M", 3]], "spatial": [["E", 11, "X"]]}  ->  for M 3; spread E 11 x
 * A ragged loop has "~" as its last entry: ["E", 8, "~"]. Unknown keys are errors. */
#define _GNU_SOURCE /* memmem */
#include "import.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(Ctx *c, const char *file, const char *where, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static bool wrong(Ctx *c, const char *file, const char *where, const char *fmt, ...) {
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return diag_error(c->d, explore_place(c, file, where, text), "%s%s%s", where, *where ? ": " : "", text);
}
/* What was found, as short text for a message. */
static const char *found(Ctx *c, const json_t *j) {
    if (!j) return "nothing";
    char *s = json_dumps(j, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *r =
        s ? arena_strndup(c->a, s, min_i64((int64_t)strlen(s), 60) > 0 ? (size_t)min_i64((int64_t)strlen(s), 60) : 0) : "a value";
    free(s);
    return r;
}
static bool known_keys(Ctx *c, const char *file, const char *where, const json_t *j, const char *keys) {
    const char *k;
    json_t *v;
    bool ok = true;
    json_object_foreach((json_t *)j, k, v) {
        const char *at = keys;
        size_t n = strlen(k);
        while ((at = strstr(at, k)) && (at[-1] != ' ' || at[n] != ' ')) at++;
        if (!at || !n) ok = wrong(c, file, where, "unknown key '%.60s'; expected one of%s", k, keys);
    }
    return ok;
}

/* ---- layers */
static bool extent_of(Ctx *c, const char *file, const char *where, const json_t *layer, const char *key, int64_t *out) {
    const json_t *v = json_object_get(layer, key);
    *out = 1;
    if (!v) return true;
    if (!json_is_integer(v) || json_integer_value(v) < 1)
        return wrong(c, file, where, "%s is %s, expected a whole number, at least 1", key, found(c, v));
    *out = json_integer_value(v);
    return true;
}
/* {"name", "einsum": "O[m,e] += W[m,r] * I[e+r]", "dims": {"m": 4, …}} */
static Problem *einsum_layer(Ctx *c, const char *file, const char *where, const json_t *layer) {
    const json_t *dims = json_object_get(layer, "dims"), *text = json_object_get(layer, "einsum"), *name = json_object_get(layer, "name");
    Einsum e = {.name = json_is_string(name) ? arena_strdup(c->a, json_string_value(name)) : "layer"};
    const char *k;
    json_t *v;
    if (!known_keys(c, file, where, layer, " name einsum dims density bits dtype ")) return NULL;
    if (!json_is_string(text) || !json_is_object(dims))
        return wrong(c, file, where, "expected einsum, a text, and dims, an object of extents"), NULL;
    json_object_foreach((json_t *)dims, k, v) {
        if (e.ndim == QN_MAX_DIMS) return wrong(c, file, where, "more than %d dims", QN_MAX_DIMS), NULL;
        if (!text_is_ident(k)) return wrong(c, file, where, "dims: '%.60s' is no name", k), NULL;
        if (!extent_of(c, file, where, dims, k, &e.dim[e.ndim].extent)) return NULL;
        e.dim[e.ndim++].name = arena_strdup(c->a, k);
    }
    YamlFile f = {c, file, NULL};
    e.text = arena_strdup(c->a, json_string_value(text));
    Loc loc = explore_place(c, file, where, "einsum");
    YamlNode at = {.line = (int)(loc.index & INT32_MAX), .column = (int)(loc.index >> 32)};
    Problem *p = einsum_problem(&f, loc.index < 0 ? NULL : &at, &e);
    return p && explore_words(c, file, where, layer, p) ? p : NULL;
}
Problem *explore_layer(Ctx *c, const char *file, const char *where, const json_t *layer) {
    ConvShape s = {0};
    int64_t u, p;
    struct {
        const char *key;
        int64_t *to;
    } rows[] = {{"N", &s.n}, {"G", &s.g}, {"M", &s.m},         {"C", &s.c},         {"E", &s.e}, {"F", &s.f},      {"R", &s.r},
                {"S", &s.s}, {"U", &u},   {"UE", &s.stride_e}, {"UF", &s.stride_f}, {"D", &p},   {"DR", &s.dil_r}, {"DS", &s.dil_s}};
    if (!json_is_object(layer))
        return wrong(c, file, where, "found %s, expected a layer {name, N, M, C, E, F, R, S, U}", found(c, layer)), NULL;
    if (json_object_get(layer, "einsum")) return einsum_layer(c, file, where, layer);
    bool ok = known_keys(c, file, where, layer, " name kind N G M C E F R S U UE UF D DR DS density bits dtype d_W d_I d_O ");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) ok &= extent_of(c, file, where, layer, rows[i].key, rows[i].to);
    if (!ok) return NULL;
    if (!json_object_get(layer, "UE")) s.stride_e = u;
    if (!json_object_get(layer, "UF")) s.stride_f = u;
    if (!json_object_get(layer, "DR")) s.dil_r = p;
    if (!json_object_get(layer, "DS")) s.dil_s = p;
    const json_t *kind = json_object_get(layer, "kind"), *name = json_object_get(layer, "name");
    const char *word = kind && json_is_string(kind) ? json_string_value(kind) : "";
    if (strcmp(word, "depthwise") == 0) s.depthwise = true;
    else if (strcmp(word, "pool") == 0) s.pool = true;
    else if (strcmp(word, "unary") == 0) s.pool = true, s.r = s.s = 1;
    else if (strcmp(word, "binary") == 0) s.pairs = true, s.r = s.s = 1;
    else if (kind && (!json_is_string(kind) || strcmp(json_string_value(kind), "conv") != 0))
        return wrong(c, file, where, "kind is %s, expected \"conv\", \"depthwise\", \"pool\", \"unary\" or \"binary\"", found(c, kind)),
               NULL;
    if ((s.depthwise || s.pool || s.pairs) && (s.m > 1 || s.g > 1))
        return wrong(c, file, where, "a layer of kind %s has neither M nor G", word), NULL;
    if (*word && (strcmp(word, "unary") == 0 || s.pairs) &&
        (json_object_get(layer, "R") || json_object_get(layer, "S") || json_object_get(layer, "U")))
        return wrong(c, file, where, "a layer of kind %s has no R, S or U", word), NULL;
    if (name && !json_is_string(name)) return wrong(c, file, where, "name is %s, expected a text", found(c, name)), NULL;
    Problem *r = problem_conv(c->a, name ? json_string_value(name) : "layer", &s);
    if (!explore_words(c, file, where, layer, r)) return NULL;
    Diags own = {.a = c->a};
    if (problem_check(&own, NO_LOC, r)) return r;
    for (int i = 0; i < own.list.n; i++) wrong(c, file, where, "%s", own.list.v[i].text);
    return NULL;
}

/* ---- mappings */
static bool loop_of(Ctx *c, const char *file, const char *where, const json_t *j, bool spatial, const Problem *p, MapLoop *l) {
    size_t n = json_array_size(j), want = spatial ? 3 : 2;
    const json_t *dim = json_array_get(j, 0), *factor = json_array_get(j, 1), *axis = json_array_get(j, 2),
                 *tail = json_array_get(j, n - 1);
    *l = (MapLoop){0, 0, 0, n == want + 1 && json_is_string(tail) && strcmp(json_string_value(tail), "~") == 0};
    if (!json_is_array(j) || n != want + l->ragged || !json_is_string(dim) || !json_is_integer(factor))
        return wrong(c, file, where, "found %s, expected %s", found(c, j), spatial ? "[dim, factor, \"X\" or \"Y\"]" : "[dim, factor]");
    l->dim = problem_dim(p, json_string_value(dim));
    if (l->dim < 0 && json_integer_value(factor) == 1) return l->factor = 1, true; /* a dim of extent 1 may be left out of the problem */
    if (l->dim < 0) return wrong(c, file, where, "the problem has no dim %s", found(c, dim));
    l->factor = json_integer_value(factor);
    if (l->factor < 1) return wrong(c, file, where, "a factor of %s is %lld, expected at least 1", found(c, dim), (long long)l->factor);
    const char *x = spatial && json_is_string(axis) ? json_string_value(axis) : "";
    if (spatial && strcmp(x, "X") && strcmp(x, "Y") && strcmp(x, "x") && strcmp(x, "y"))
        return wrong(c, file, where, "the axis is %s, expected \"X\" or \"Y\"", found(c, axis));
    if (spatial) l->axis = (char)(*x | 32);
    return true;
}
static bool loops_of(Ctx *c, const char *file, const char *where, const json_t *level, const char *key, const Problem *p, MapLoop *out,
                     int *n) {
    const json_t *list = json_object_get(level, key), *j;
    bool spatial = key[0] == 's';
    size_t i;
    if (!list) return true;
    if (!json_is_array(list)) return wrong(c, file, where, "%s is %s, expected a list", key, found(c, list));
    if (json_array_size(list) > QN_MAX_LEVEL_LOOPS) return wrong(c, file, where, "%s has more than %d loops", key, QN_MAX_LEVEL_LOOPS);
    json_array_foreach((json_t *)list, i, j) {
        MapLoop l;
        if (!loop_of(c, file, where, j, spatial, p, &l)) return false;
        int at = *n;
        if (l.dim < 0) continue;
        for (; spatial && l.ragged && at > 0 && !out[at - 1].ragged; at--) out[at] = out[at - 1];
        out[at] = l, ++*n;
    }
    return true;
}
static bool keeps_of(Ctx *c, const char *file, const char *where, const json_t *level, const Problem *p, unsigned *keep) {
    const json_t *list = json_object_get(level, "keeps"), *j;
    size_t i;
    if (!list) return true;
    if (!json_is_array(list)) return wrong(c, file, where, "keeps is %s, expected a list of operands", found(c, list));
    *keep = 0;
    json_array_foreach((json_t *)list, i, j) {
        int t = json_is_string(j) ? problem_tensor(p, json_string_value(j)) : -1;
        if (t < 0) return wrong(c, file, where, "keeps has %s, expected an operand of the problem", found(c, j));
        *keep |= 1u << t;
    }
    return true;
}
Mapping *explore_mapping(Ctx *c, const char *file, const char *where, const json_t *levels, const Problem *p, const Target *t) {
    Mapping *m = NEW(c->a, Mapping);
    int last = -1;
    size_t i;
    json_t *j;
    m->problem = p, m->target = t;
    mapping_default_keep(m);
    if (json_is_string(levels)) { /* places in it are those in the text, not in the file */
        Diags own = {.a = c->a};
        m = mapping_parse_line(&(Ctx){c->a, &own}, file, json_string_value(levels), p, t);
        const Diag *first = m ? NULL : &own.list.v[0];
        for (int l = 0; m && l < t->nlevel; l++) m->level[l].place = 0;
        return m ? m : (wrong(c, file, where, "column %lld: %s", (long long)(first->loc.index >> 32), first->text), NULL);
    }
    bool alone = !*where || strcmp(where, "mapping") == 0; /* in its file, which is read again for the places */
    if (!json_is_array(levels)) return wrong(c, file, where, "found %s, expected a list of levels", found(c, levels)), NULL;
    json_array_foreach((json_t *)levels, i, j) {
        const char *here = arena_printf(c->a, "%s%s[%zu]", where, *where ? "" : "mapping", i);
        const json_t *name = json_object_get(j, "level");
        int l = json_is_string(name) ? target_level(t, json_string_value(name)) : -1;
        if (l < 0) return wrong(c, file, here, "level is %s, expected a level of machine %s", found(c, name), t->name), NULL;
        if (l <= last)
            return wrong(c, file, here, "level %s is out of order; expected the levels once each, from the outermost in", t->level[l].name),
                   NULL;
        MapLevel *v = &m->level[last = l];
        if (alone) v->place = explore_place(c, file, here, "").index;
        if (!known_keys(c, file, here, j, " level temporal_outer_to_inner spatial keeps ") ||
            !loops_of(c, file, here, j, "temporal_outer_to_inner", p, v->temporal, &v->ntemporal) ||
            !loops_of(c, file, here, j, "spatial", p, v->spatial, &v->nspatial) || !keeps_of(c, file, here, j, p, &v->keep))
            return NULL;
    }
    return m;
}

/* ---- machines */
static double number(const json_t *j, const char *key, double otherwise) {
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}
static int64_t integer(const json_t *j, const char *key, int64_t otherwise) {
    const json_t *v = json_object_get(j, key);
    return json_is_integer(v) ? json_integer_value(v) : otherwise;
}
/* Where a number is given it is one. */
static bool numbers(Ctx *c, const char *file, const char *where, const json_t *j, const char *const *keys, bool whole) {
    for (; *keys; keys++) {
        const json_t *v = json_object_get(j, *keys);
        if (!v || (json_is_null(v) && strncmp(*keys, "capacity", 8) == 0)) continue;
        if (whole ? !json_is_integer(v) || json_integer_value(v) < 1 : !json_is_number(v) || !(json_number_value(v) >= 0))
            return wrong(c, file, where, "%s is %s, expected a %s", *keys, found(c, v),
                         whole ? "whole number, at least 1" : "number, at least 0");
    }
    return true;
}
#define NUMBERS(j, whole, ...) numbers(c, file, where, j, (const char *const[]){__VA_ARGS__, NULL}, whole)
static bool level_of(Ctx *c, const char *file, const char *where, const json_t *l, TargetLevel *out) {
    static const char *const role = "WIO";
    const json_t *name = json_object_get(l, "name"), *keeps = json_object_get(l, "keeps"), *k;
    size_t i;
    if (!json_is_object(l) || !json_is_string(name)) return wrong(c, file, where, "found %s, expected a level with a name", found(c, l));
    if (!known_keys(c, file, where, l,
                    " name instances capacity_words_per_instance keeps energy_per_access read_energy write_energy"
                    " read_bandwidth write_bandwidth area_per_word word_bits ") ||
        !NUMBERS(l, true, "instances", "capacity_words_per_instance", "word_bits") ||
        !NUMBERS(l, false, "energy_per_access", "read_energy", "write_energy", "read_bandwidth", "write_bandwidth", "area_per_word"))
        return false;
    out->name = arena_strdup(c->a, json_string_value(name));
    out->words = integer(l, "capacity_words_per_instance", 0);
    out->word_bits = (int)integer(l, "word_bits", 16);
    double e = number(l, "energy_per_access", 0);
    out->read_energy = number(l, "read_energy", e), out->write_energy = number(l, "write_energy", e);
    out->read_bw = number(l, "read_bandwidth", 0), out->write_bw = number(l, "write_bandwidth", 0);
    out->area_per_word = number(l, "area_per_word", 0);
    out->keeps = keeps ? 0 : ROLE_ALL;
    json_array_foreach((json_t *)keeps, i, k) {
        const char *s = json_is_string(k) ? json_string_value(k) : "?", *at = strlen(s) == 1 ? strchr(role, *s) : NULL;
        if (!at || !*at) return wrong(c, file, where, "keeps has %s, expected W, I or O", found(c, k));
        out->keeps |= 1u << (at - role);
    }
    return true;
}
/* The mesh is below the one level whose next inner level (or the multiply-adds) has more instances. */
static bool fan_out(Ctx *c, const char *file, const char *where, const json_t *arch, const json_t *levels, Target *t) {
    const json_t *mesh = json_object_get(arch, "pe_mesh");
    int64_t pes = integer(arch, "pe_count", 1), x = integer(mesh, "X", pes), y = integer(mesh, "Y", 1), outside = 1;
    for (int i = 0; i < t->nlevel; i++) {
        const json_t *next = json_array_get(levels, (size_t)i + 1);
        int64_t inside = next ? integer(next, "instances", 0) : pes;
        if (inside < 1 || inside % outside)
            return wrong(c, file, where, "below level %s are %lld instances, expected a multiple of its own %lld", t->level[i].name,
                         (long long)inside, (long long)outside);
        bool whole = inside / outside == x * y;
        t->level[i].fan_x = whole ? x : inside / outside, t->level[i].fan_y = whole ? y : inside / outside;
        if (!whole && inside > outside) t->level[i].fan = inside / outside; /* of one row or several: not said */
        outside = inside;
    }
    return true;
}
static Target *arch_of(Ctx *c, const char *file, const char *name, const json_t *j) {
    const json_t *levels = json_object_get(j, "levels_outer_to_inner");
    const char *where = arena_printf(c->a, "machine '%s'", name);
    Target *t = NEW(c->a, Target);
    size_t n = json_array_size(levels);
    if (n < 1 || n > QN_MAX_LEVELS)
        return wrong(c, file, where, "levels_outer_to_inner has %zu levels, expected 1 to %d", n, QN_MAX_LEVELS), NULL;
    if (!known_keys(c, file, where, j, " name pe_count pe_mesh mac_energy levels_outer_to_inner area_per_pe ") ||
        !NUMBERS(j, true, "pe_count") || !NUMBERS(j, false, "mac_energy", "area_per_pe"))
        return NULL;
    const json_t *mesh = json_object_get(j, "pe_mesh");
    if (mesh && (!known_keys(c, file, where, mesh, " X Y ") || !NUMBERS(mesh, true, "X", "Y"))) return NULL;
    t->name = arena_strdup(c->a, name), t->nlevel = (int)n, t->keeps_all = true;
    t->mac_energy = number(j, "mac_energy", 1), t->area_per_pe = number(j, "area_per_pe", 0);
    for (int i = 0; i < t->nlevel; i++) {
        t->level[i].kind = i ? LEVEL_PAD : LEVEL_DRAM;
        if (!level_of(c, file, arena_printf(c->a, "%s: level %d", where, i), json_array_get(levels, (size_t)i), &t->level[i])) return NULL;
    }
    return fan_out(c, file, where, j, levels, t) && target_check(c->d, (Loc){file, -1, NULL, NULL}, t) ? t : NULL;
}
static Target *pick_arch(Ctx *c, const char *file, const char *name, const json_t *j) {
    if (json_object_get(j, "levels_outer_to_inner")) {
        const char *own = json_string_value(json_object_get(j, "name"));
        return arch_of(c, file, name ? name : own ? own : "machine", j);
    }
    const json_t *one = name                       ? json_object_get(j, name)
                        : json_object_size(j) == 1 ? json_object_iter_value(json_object_iter((json_t *)j))
                                                   : NULL;
    if (!name && one) name = json_object_iter_key(json_object_iter((json_t *)j));
    if (one) return arch_of(c, file, name, one);
    Text names = {0};
    const char *k;
    json_t *v;
    json_object_foreach((json_t *)j, k, v) text_printf(&names, "%s%s", names.n ? ", " : "", k);
    wrong(c, file, "", "%s%s%s; expected FILE#NAME with one of %s", name ? "no machine is called '" : "several machines", name ? name : "",
          name ? "'" : "", names.s ? names.s : "(none)");
    text_free(&names);
    return NULL;
}
Target *explore_arch(Ctx *c, const char *file, const char *name) {
    size_t bytes;
    char *text = file_read_whole(c, file, 1 << 24, &bytes);
    if (!text) return NULL;
    if (!memmem(text, bytes, "levels_outer_to_inner", 21)) {
        bool mine;
        Target *t = import_target(c, file, text, bytes, &mine);
        if (mine) return t;
        t = target_parse(c, file, text, bytes);
        if (t && name && strcmp(name, t->name) != 0) return wrong(c, file, "", "holds machine '%s', not '%s'", t->name, name), NULL;
        return t;
    }
    json_t *j = explore_parse(c, file, text, bytes);
    Target *t = j ? pick_arch(c, file, name, j) : NULL;
    json_decref(j);
    return t;
}
Target *explore_target(Ctx *c, const char *name) {
    size_t n = strlen(name);
    bool file = strchr(name, '/') || (n > 5 && (strcmp(name + n - 5, ".yaml") == 0 || strcmp(name + n - 5, ".json") == 0));
    return file ? explore_arch(c, name, NULL) : target_named(c, name);
}
