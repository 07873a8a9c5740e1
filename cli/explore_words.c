/* SPDX-License-Identifier: Apache-2.0 */
/* explore_words.c: what the words of a layer are: how many are not zero, how wide they are, which type is multiplied; and what the
 * machine does about zeros. From a layer's keys (density, bits, dtype, also d_W d_I d_O) or from options, which go before.
 *   --density W=0.4,I=0.6 --bits 8 --sparsity gate=I,rlc=IO   ->   fields of the problem's tensors and of the target */
#include "explore.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(Ctx *c, const char *file, const char *where, const char *key, const char *want) {
    Loc loc = explore_place(c, file, where, key);
    return diag_error(c->d, loc, "%s%s%s is not %s", where, *where ? ": " : "", key, want);
}
static ProblemTensor *tensor_of(Problem *p, const char *role, size_t n) {
    static const char letters[] = "WIO";
    const char *at = n == 1 ? strchr(letters, *role) : NULL;
    for (int i = 0; at && *at && i < p->ntensor; i++)
        if (p->tensor[i].role == 1u << (at - letters)) return &p->tensor[i];
    return NULL;
}
static bool set_density(ProblemTensor *t, double v) {
    if (!isfinite(v) || v <= 0 || v > 1) return false;
    t->density = v;
    return true;
}
static bool set_bits(ProblemTensor *t, double v) {
    if (v != floor(v) || v < 1 || v > 512) return false;
    t->bits = (int)v;
    return true;
}
static const struct {
    const char *key, *want;
    bool (*set)(ProblemTensor *, double);
} rows[] = {{"density", "{W, I, O: more than 0, at most 1}", set_density}, {"bits", "{W, I, O: whole numbers, 1 to 512}", set_bits}};

/* ---- keys of a layer */
static bool from_object(Ctx *c, const char *file, const char *where, const json_t *j, int row, Problem *p) {
    const char *k;
    json_t *v;
    if (json_is_number(j)) {
        for (int i = 0; i < p->ntensor; i++)
            if (!rows[row].set(&p->tensor[i], json_number_value(j))) return wrong(c, file, where, rows[row].key, rows[row].want);
        return true;
    }
    if (!json_is_object(j)) return wrong(c, file, where, rows[row].key, rows[row].want);
    json_object_foreach((json_t *)j, k, v) {
        ProblemTensor *t = tensor_of(p, k, strlen(k));
        if (!t && strlen(k) == 1 && strchr("WIO", *k)) continue; /* a layer without weights */
        if (!t || !json_is_number(v) || !rows[row].set(t, json_number_value(v)))
            return wrong(c, file, where, rows[row].key, rows[row].want);
    }
    return true;
}
bool explore_words(Ctx *c, const char *file, const char *where, const json_t *layer, Problem *p) {
    static const char *const single[] = {"d_W", "d_I", "d_O"};
    for (int row = 0; row < 2; row++) {
        const json_t *j = json_object_get(layer, rows[row].key);
        if (j && !from_object(c, file, where, j, row, p)) return false;
    }
    for (int i = 0; i < 3; i++) {
        const json_t *j = json_object_get(layer, single[i]);
        ProblemTensor *t = tensor_of(p, single[i] + 2, 1);
        if (j && t && (!json_is_number(j) || !set_density(t, json_number_value(j))))
            return wrong(c, file, where, single[i], "a number more than 0, at most 1");
    }
    const json_t *type = json_object_get(layer, "dtype");
    if (type && !json_is_string(type)) return wrong(c, file, where, "dtype", "a text");
    if (type) p->dtype = arena_strdup(c->a, json_string_value(type));
    return true;
}

/* ---- options */
static bool from_text(Ctx *c, const char *option, const char *s, int row, Problem *p) {
    char *end;
    if (!strchr(s, '=')) {
        double v = strtod(s, &end);
        bool ok = end != s && !*end;
        for (int i = 0; ok && i < p->ntensor; i++) ok = rows[row].set(&p->tensor[i], v);
        return ok || diag_error(c->d, NO_LOC, "--%s: found '%s', expected %s, as W=1,I=1", option, s, rows[row].want);
    }
    while (*s) {
        size_t n = strcspn(s, "=");
        ProblemTensor *t = tensor_of(p, s, n);
        double v = strtod(s + n + (s[n] == '='), &end);
        bool known = n == 1 && strchr("WIO", *s), number = s[n] == '=' && end != s + n + 1 && (!*end || *end == ',');
        if (!known || !number || (t && !rows[row].set(t, v)))
            return diag_error(c->d, NO_LOC, "--%s: found '%s', expected %s, as W=1,I=1", option, s, rows[row].want);
        s = end + (*end == ',');
    }
    return true;
}
/* A file with a row for each layer: {conv1: {W: 0.9, I: 0.5}}. */
static bool from_file(Ctx *c, const char *file, Problem *p) {
    json_t *j = explore_load(c, file);
    const json_t *row = json_object_get(j, p->name);
    bool ok = j && (!row || from_object(c, file, p->name, row, 0, p));
    if (j && !json_is_object(j)) ok = wrong(c, file, "", "the file", "an object {LAYER: {W, I, O}}");
    json_decref(j);
    return ok;
}
bool explore_words_option(Ctx *c, const Options *o, Problem *p) {
    const char *d = o->x.density;
    if (o->x.dtype) p->dtype = o->x.dtype;
    if (o->x.bits && !from_text(c, "bits", o->x.bits, 1, p)) return false;
    if (!d) return true;
    bool value = strchr(d, '=') || strspn(d, "0123456789.eE+-") == strlen(d);
    return value ? from_text(c, "density", d, 0, p) : from_file(c, d, p);
}
/* The machine, with --sparsity in place of what its file says. NULL after an error. */
const Target *explore_zeros_option(Ctx *c, const Options *o, const Target *t) {
    static const struct {
        const char *name;
        size_t at;
    } to[] = {{"gate", offsetof(Target, gate)}, {"skip", offsetof(Target, skip)}, {"rlc", offsetof(Target, run_length)}};
    if (!o->x.sparsity || !t) return t;
    Target *r = NEW(c->a, Target);
    *r = *t;
    r->gate = r->skip = r->run_length = 0;
    if (strcmp(o->x.sparsity, "none") == 0) return r;
    for (const char *s = o->x.sparsity; *s;) {
        size_t n = strcspn(s, "="), i = 0;
        while (i < 3 && (strlen(to[i].name) != n || strncmp(s, to[i].name, n) != 0)) i++;
        size_t letters = s[n] == '=' ? strspn(s + n + 1, "WIO") : 0;
        if (i == 3 || !letters || !strchr(",", s[n + 1 + letters])) {
            diag_error(c->d, NO_LOC, "--sparsity: found '%s', expected none or a list as gate=I,skip=WI,rlc=IO", s);
            return NULL;
        }
        unsigned *mask = (unsigned *)((char *)r + to[i].at);
        for (size_t k = 0; k < letters; k++) *mask |= s[n + 1 + k] == 'W' ? ROLE_W : s[n + 1 + k] == 'I' ? ROLE_I : ROLE_O;
        s += n + 1 + letters;
        s += *s == ',';
    }
    return target_check(c->d, NO_LOC, r) ? r : NULL;
}
json_t *explore_words_json(const Problem *p, bool bits) { /* {W, I, O} of what is stated; NULL: nothing is */
    json_t *j = NULL;
    for (int i = 0; i < p->ntensor; i++) {
        const ProblemTensor *t = &p->tensor[i];
        const char *role = t->role == ROLE_W ? "W" : t->role == ROLE_I ? "I" : "O";
        if (bits ? !t->bits : t->density == 0) continue;
        if (!j) j = json_object();
        json_object_set_new(j, role, bits ? json_integer(t->bits) : json_real(t->density));
    }
    return j;
}
