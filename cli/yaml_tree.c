/* SPDX-License-Identifier: Apache-2.0 */
/* yaml_tree.c: YAML as a tree of nodes that know their place and tag. An alias is the anchored node itself; its expansion counts
 * against the limit as if it were written out, so that a few lines cannot become a billion. Merge keys (`<<`) are resolved.
 *   a: &x {b: 1}   c: *x   ->   {a: {b: 1}, c: the same node} */
#include "import.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 48, MAX_NODES = 1000000, MAX_BYTES = 1 << 26 };
typedef Vec(YamlNode *) NodeList;
typedef struct Open { /* a list or map that is being read */
    YamlNode *node;
    NodeList key, item;
    YamlNode *pending; /* the key whose value comes next */
    const char *anchor;
    int64_t size;
} Open;
typedef struct Anchor {
    const char *name;
    YamlNode *node;
    int64_t size;
} Anchor;
typedef struct Build {
    YamlFile *f;
    Arena *a;
    yaml_parser_t parser;
    int depth;
    Open open[MAX_DEPTH];
    Vec(Anchor) anchors;
    int64_t size; /* of everything, aliases written out */
    bool bad;
} Build;

bool yaml_wrong(const YamlFile *f, const YamlNode *at, const char *fmt, ...) {
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return diag_error(f->c->d, (Loc){f->name, at ? loc_place(at->line, at->column) : -1, NULL, NULL}, "%s", text);
}
static bool fail(Build *b, const yaml_mark_t *m, const char *fmt, const char *what) {
    YamlNode at = {.line = (int)m->line + 1, .column = (int)m->column + 1};
    if (!b->bad) yaml_wrong(b->f, &at, fmt, what);
    b->bad = true;
    return false;
}
static YamlNode *tree_node(Build *b, YamlKind kind, const yaml_event_t *e, const yaml_char_t *tag) {
    YamlNode *n = NEW(b->a, YamlNode);
    n->kind = kind, n->line = (int)e->start_mark.line + 1, n->column = (int)e->start_mark.column + 1;
    n->tag = tag ? arena_strdup(b->a, (const char *)tag) : NULL;
    return n;
}
static bool same_name(const char *x, const char *y) {
    for (; *x && *y; x++, y++)
        if (*x != *y && !((*x == '-' || *x == '_') && (*y == '-' || *y == '_'))) return false;
    return *x == *y;
}
YamlNode *yaml_get(const YamlNode *map, const char *key) {
    for (int i = 0; map && map->kind == YAML_IS_MAP && i < map->n; i++)
        if (same_name(map->key[i]->text, key)) return map->item[i];
    return NULL;
}
static bool has_key(const Open *o, const char *key) {
    for (int i = 0; i < o->key.n; i++)
        if (strcmp(o->key.v[i]->text, key) == 0) return true;
    return false;
}
static void put_pair(Build *b, Open *o, YamlNode *key, YamlNode *item) {
    vec_push(b->a, &o->key, key);
    vec_push(b->a, &o->item, item);
}
/* Puts a finished node where the parser is. */
static bool put(Build *b, YamlNode *n, int64_t size, const yaml_mark_t *m) {
    b->size += size;
    if (b->size > MAX_NODES) return fail(b, m, "the file expands to more than a million values%s", "");
    if (!b->depth) {
        if (b->f->root) return fail(b, m, "found a second document, expected one%s", "");
        b->f->root = n;
        return true;
    }
    Open *o = &b->open[b->depth - 1];
    o->size += size;
    if (o->node->kind == YAML_IS_LIST) {
        vec_push(b->a, &o->item, n);
        return true;
    }
    if (!o->pending) {
        if (n->kind != YAML_IS_TEXT) return fail(b, m, "found a key that is no text%s", "");
        if (has_key(o, n->text)) return fail(b, m, "found key '%.60s' for the second time", n->text);
        o->pending = n;
        return true;
    }
    if (strcmp(o->pending->text, "<<") == 0) {
        if (n->kind != YAML_IS_MAP) return fail(b, m, "`<<` merges a map, found something else%s", "");
        for (int i = 0; i < n->n; i++)
            if (!has_key(o, n->key[i]->text)) put_pair(b, o, n->key[i], n->item[i]);
    } else put_pair(b, o, o->pending, n);
    o->pending = NULL;
    return true;
}
static void remember(Build *b, const char *name, YamlNode *n, int64_t size) {
    if (name) vec_push(b->a, &b->anchors, ((Anchor){name, n, size}));
}
static const char *copy(Build *b, const yaml_char_t *s) { return s ? arena_strdup(b->a, (const char *)s) : NULL; }
static bool open_node(Build *b, YamlKind kind, const yaml_event_t *e, const yaml_char_t *tag, const yaml_char_t *anchor) {
    if (b->depth == MAX_DEPTH) return fail(b, &e->start_mark, "more than 48 nested levels%s", "");
    b->open[b->depth++] = (Open){.node = tree_node(b, kind, e, tag), .anchor = copy(b, anchor), .size = 1};
    return true;
}
static bool close_node(Build *b, const yaml_event_t *e) {
    Open *o = &b->open[--b->depth];
    o->node->n = o->item.n, o->node->item = o->item.v, o->node->key = o->key.v;
    remember(b, o->anchor, o->node, o->size);
    return put(b, o->node, o->size - (b->depth >= 0 ? o->size - 1 : 0), &e->start_mark);
}
static bool alias(Build *b, const yaml_event_t *e) {
    const char *name = (const char *)e->data.alias.anchor;
    for (int i = b->anchors.n - 1; i >= 0; i--)
        if (strcmp(b->anchors.v[i].name, name) == 0) return put(b, b->anchors.v[i].node, b->anchors.v[i].size, &e->start_mark);
    return fail(b, &e->start_mark, "alias '%.60s' has no anchor before it", name);
}
static bool event(Build *b, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_ALIAS_EVENT: return alias(b, e);
    case YAML_SCALAR_EVENT: {
        YamlNode *n = tree_node(b, YAML_IS_TEXT, e, e->data.scalar.tag);
        n->text = copy(b, e->data.scalar.value);
        if (strlen(n->text) != e->data.scalar.length) return fail(b, &e->start_mark, "found a zero byte%s", "");
        remember(b, copy(b, e->data.scalar.anchor), n, 1);
        return put(b, n, 1, &e->start_mark);
    }
    case YAML_SEQUENCE_START_EVENT: return open_node(b, YAML_IS_LIST, e, e->data.sequence_start.tag, e->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT: return open_node(b, YAML_IS_MAP, e, e->data.mapping_start.tag, e->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return close_node(b, e);
    default: return true;
    }
}
bool yaml_tree(Ctx *c, const char *name, const char *text, size_t bytes, YamlFile *out) {
    Build *b = NEW(c->a, Build);
    *out = (YamlFile){c, name, NULL};
    b->f = out, b->a = c->a;
    if (!yaml_parser_initialize(&b->parser)) BUG("libyaml does not start");
    yaml_parser_set_input_string(&b->parser, (const unsigned char *)text, bytes);
    for (bool done = false; !done && !b->bad;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&b->parser, &e)) {
            fail(b, &b->parser.problem_mark, "%s", b->parser.problem ? b->parser.problem : "no YAML");
            break;
        }
        done = e.type == YAML_STREAM_END_EVENT;
        event(b, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&b->parser);
    if (!b->bad && !out->root) diag_error(c->d, (Loc){name, -1, NULL, NULL}, "the file is empty"), b->bad = true;
    return !b->bad;
}
bool yaml_open(Ctx *c, const char *name, YamlFile *out) {
    size_t bytes;
    char *text = file_read_whole(c, name, MAX_BYTES, &bytes);
    return text && yaml_tree(c, name, text, bytes, out);
}

bool yaml_known(const YamlFile *f, const YamlNode *map, const char *what, const char *known) {
    bool ok = true;
    if (!map || map->kind != YAML_IS_MAP) return yaml_wrong(f, map, "%s: expected a map with keys among%s", what, known);
    for (int i = 0; i < map->n; i++) {
        char key[80];
        snprintf(key, sizeof key, " %.70s ", map->key[i]->text);
        for (char *s = key; *s; s++) *s = (char)(*s == '-' ? '_' : *s);
        if (!strstr(known, key))
            ok = yaml_wrong(f, map->key[i], "%s: key '%.60s' is not supported; expected one of%s", what, map->key[i]->text, known);
    }
    return ok;
}
bool yaml_word(const YamlFile *f, const YamlNode *n, const char **out) {
    if (!n) return true;
    if (n->kind != YAML_IS_TEXT) return yaml_wrong(f, n, "found a %s, expected a word", n->kind == YAML_IS_LIST ? "list" : "map");
    *out = n->text;
    return true;
}
bool yaml_int(const YamlFile *f, const YamlNode *n, int64_t lo, int64_t hi, int64_t *out) {
    const char *s = "";
    char *end;
    if (!n) return true;
    if (!yaml_word(f, n, &s)) return false;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (!*s || *end || errno || v < lo || v > hi)
        return yaml_wrong(f, n, "found '%.60s', expected a whole number from %lld to %lld", s, (long long)lo, (long long)hi);
    *out = v;
    return true;
}
bool yaml_number(const YamlFile *f, const YamlNode *n, double *out) {
    const char *s = "";
    char *end;
    if (!n) return true;
    if (!yaml_word(f, n, &s)) return false;
    double v = strtod(s, &end);
    if (!*s || *end || !(v >= 0 && v < 1e30)) return yaml_wrong(f, n, "found '%.60s', expected a number, at least 0", s);
    *out = v;
    return true;
}
