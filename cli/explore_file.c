/* SPDX-License-Identifier: Apache-2.0 */
/* explore_file.c: the text of a file of layers, machines or mappings, as JSON values: JSON, or YAML, which becomes the
 * same values: a plain scalar that reads as a number is one. Aliases are refused, depth and size are bounded.
 *   N: 1 / M: 8   ->   {"N": 1, "M": 8} */
#include "import.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 32, MAX_BYTES = 1 << 28 };

/* ---- YAML */
typedef struct Build {
    json_t *stack[MAX_DEPTH], *root;
    char *key[MAX_DEPTH]; /* of an object: the key whose value comes next, or NULL */
    int depth;
} Build;
static json_t *scalar(const yaml_event_t *e) {
    const char *s = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    char *end;
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && n) {
        long long v = strtoll(s, &end, 10);
        if (!*end && n < 19) return json_integer(v);
        double x = strtod(s, &end);
        if (!*end && (isdigit((unsigned char)*s) || *s == '-' || *s == '.')) return json_real(x);
        if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) return json_boolean(*s == 't');
        if (strcmp(s, "null") == 0 || strcmp(s, "~") == 0) return *s == '~' ? json_string("~") : json_null();
    }
    return json_stringn(s, n);
}
/* Puts a value where the parser is. NULL, or what is wrong. */
static const char *put(Build *b, json_t *v) {
    if (!v) return "text that is not UTF-8";
    if (!b->depth) return b->root ? json_decref(v), "a second document" : ((b->root = v), NULL);
    json_t *in = b->stack[b->depth - 1];
    char **key = &b->key[b->depth - 1];
    if (json_is_array(in)) return json_array_append_new(in, v), NULL;
    if (!*key) {
        char number[32];
        const char *k = json_string_value(v);
        if (json_is_integer(v)) snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v)), k = number;
        if (k) *key = strdup(k);
        json_decref(v);
        return !*key ? "a key that is no text" : json_object_get(in, *key) ? "a key for the second time" : NULL;
    }
    json_object_set_new(in, *key, v);
    free(*key);
    *key = NULL;
    return NULL;
}
static const char *event(Build *b, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_ALIAS_EVENT: return "an alias";
    case YAML_SCALAR_EVENT: return put(b, scalar(e));
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: {
        json_t *v = e->type == YAML_SEQUENCE_START_EVENT ? json_array() : json_object();
        if (b->depth == MAX_DEPTH) return json_decref(v), "more than 32 nested levels";
        if (b->depth && json_is_object(b->stack[b->depth - 1]) && !b->key[b->depth - 1]) return json_decref(v), "a key that is no text";
        const char *err = put(b, v);
        if (!err) b->key[b->depth] = NULL, b->stack[b->depth++] = v;
        return err;
    }
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: b->depth--; return NULL;
    default: return NULL;
    }
}
static json_t *yaml_load(Ctx *c, const char *file, const char *text, size_t bytes) {
    yaml_parser_t p;
    yaml_event_t e;
    Build b = {0};
    const char *err = NULL;
    size_t line = 0, column = 0;
    if (!yaml_parser_initialize(&p)) BUG("libyaml does not start");
    yaml_parser_set_input_string(&p, (const unsigned char *)text, bytes);
    for (bool done = false; !done && !err;) {
        if (!yaml_parser_parse(&p, &e)) {
            err = p.problem ? p.problem : "no YAML", line = p.problem_mark.line, column = p.problem_mark.column;
            break;
        }
        done = e.type == YAML_STREAM_END_EVENT;
        err = event(&b, &e), line = e.start_mark.line, column = e.start_mark.column;
        yaml_event_delete(&e);
    }
    for (int i = 0; i < b.depth; i++) free(b.key[i]);
    yaml_parser_delete(&p);
    if (!err && b.root) return b.root;
    json_decref(b.root);
    diag_error(c->d, (Loc){file, err ? loc_place((int64_t)line + 1, (int64_t)column + 1) : -1, NULL, NULL},
               "found %s, expected an object or a list", err ? err : "nothing");
    return NULL;
}

json_t *explore_parse(Ctx *c, const char *file, const char *text, size_t bytes) {
    size_t at = 0;
    json_error_t err;
    while (at < bytes && isspace((unsigned char)text[at])) at++;
    if (at < bytes && text[at] != '{' && text[at] != '[') return yaml_load(c, file, text, bytes);
    json_t *j = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &err);
    if (!j) { /* YAML may begin with a bracket too: {name: conv, M: 8} */
        Diags none = {.a = c->a};
        j = yaml_load(&(Ctx){c->a, &none}, file, text, bytes);
    }
    if (!j) diag_error(c->d, (Loc){file, err.line > 0 ? loc_place(err.line, err.column) : -1, NULL, NULL}, "%s", err.text);
    return j;
}
json_t *explore_load(Ctx *c, const char *file) {
    size_t bytes;
    char *text = file_read_whole(c, file, MAX_BYTES, &bytes);
    return text ? explore_parse(c, file, text, bytes) : NULL;
}

/* The first line that is neither empty nor a comment. */
static const char *first_line(const char *s) {
    for (;; s++) {
        while (isspace((unsigned char)*s)) s++;
        if (*s != '#') return s;
        s += strcspn(s, "\n");
        if (!*s) return s;
    }
}
Mapping *explore_mapping_file(Ctx *c, const char *file, const Problem *p, const Target *t) {
    size_t bytes;
    char *raw = file_read_whole(c, file, 1 << 20, &bytes);
    if (!raw) return NULL;
    if (memchr(raw, 0, bytes))
        return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "found a zero byte, expected the text of a mapping"), NULL;
    char *text = arena_strndup(c->a, raw, bytes);
    if (!*first_line(text)) return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "the file is empty, expected a mapping"), NULL;
    const char *s = first_line(text), *stop = s + strcspn(s, "\n[:"), *colon = s + strcspn(s, "[\n");
    bool mine; /* another tool's file may hold more than the mapping, and before it */
    Mapping *theirs = import_mapping(c, file, text, bytes, p, t, &mine);
    if (mine) return theirs;
    bool levels = *s == '-' || *s == '[' || *s == '{' || strncmp(s, "mapping:", 8) == 0;
    if (!levels && *colon == '[' && strncmp(s, "mapping ", 8) != 0 && *stop) return mapping_parse_line(c, file, text, p, t);
    if (!levels) return mapping_parse(c, file, text, p, t);
    json_t *j = explore_parse(c, file, text, bytes);
    if (!j) return NULL;
    const json_t *inner = json_object_get(j, "mapping");
    Mapping *m = explore_mapping(c, file, inner ? "mapping" : "", inner ? inner : j, p, t);
    json_decref(j);
    return m;
}

/* A problem or a list of layers of another tool, a layer of ours, or a file that holds one under `layer`. */
bool explore_problems(Ctx *c, const Options *o, ExploreLayers *out) {
    size_t bytes;
    bool mine;
    char *text = file_read_whole(c, o->model, MAX_BYTES, &bytes);
    if (!text) return false;
    bool ok = import_layers(c, o->model, text, bytes, o->x.layer, out, &mine);
    if (!mine) {
        json_t *file = explore_parse(c, o->model, text, bytes);
        const json_t *inner = json_object_get(file, "layer");
        Problem *p = file ? explore_layer(c, o->model, "", inner ? inner : file) : NULL;
        json_decref(file);
        ok = p != NULL;
        if (ok && o->x.layer && strcmp(o->x.layer, p->name) != 0)
            return diag_error(c->d, (Loc){o->model, -1, NULL, NULL}, "--layer %s: the file's only layer is called '%s'", o->x.layer,
                              p->name);
        if (ok) vec_push(c->a, &out->list, ((ExploreLayer){.name = p->name, .op = "layer", .problem = p}));
    }
    for (int i = 0; ok && i < out->list.n; i++) ok = explore_words_option(c, o, (Problem *)out->list.v[i].problem);
    for (int i = 0; i < out->list.n; i++) out->list.v[i].same = explore_same(out, i), out->list.v[i].before = -1;
    return ok;
}
