/* SPDX-License-Identifier: Apache-2.0 */
/* explore_place.c: where in a file of layers, machines or mappings something stands that is wrong. Its values are read without places; once
 * there is an error the file is read again, as a tree, and the words that say where (`case 'x': layer`, `mapping[2]`) lead to it.
 *   "case 'b': layer", "M is -3, expected …"   ->   cases.json:17:42, the value of M */
#define _GNU_SOURCE /* memmem */
#include "import.h"
#include <stdlib.h>
#include <string.h>

enum { MOST = 20 }; /* a large file is not read again for each of its errors */
static const YamlNode *item(const YamlNode *n, long i) { return n->kind == YAML_IS_LIST && i >= 0 && i < n->n ? n->item[i] : n; }
/* The element of a list that is called so, or has that number. */
static const YamlNode *named(const YamlNode *n, const char *name) {
    char *end;
    for (int i = 0; n->kind == YAML_IS_LIST && i < n->n; i++) {
        const YamlNode *id = yaml_get(n->item[i], "case");
        if (id && id->text && strcmp(id->text, name) == 0) return n->item[i];
    }
    long number = strtol(name, &end, 10);
    if (*name && !*end) return item(n, number);
    const YamlNode *own = yaml_get(n, name);
    return own ? own : n;
}
static const YamlNode *step(Arena *a, const YamlNode *n, const char *word, size_t len) {
    const char *quote = memchr(word, '\'', len), *bracket = memchr(word, '[', len);
    if (quote) return named(n, arena_strndup(a, quote + 1, (size_t)(word + len - quote) > 2 ? (size_t)(word + len - quote) - 2 : 0));
    if (len > 6 && strncmp(word, "level ", 6) == 0) {
        const YamlNode *levels = yaml_get(n, "levels_outer_to_inner");
        return levels ? item(levels, strtol(word + 6, NULL, 10)) : n;
    }
    const YamlNode *v = yaml_get(n, arena_strndup(a, word, bracket ? (size_t)(bracket - word) : len));
    if (v) n = v;
    return bracket ? item(n, strtol(bracket + 1, NULL, 10)) : n;
}
/* The key that a message is about: the one that it begins with, or the one that it calls unknown. */
static const YamlNode *key_of(Arena *a, const YamlNode *n, const char *text) {
    bool unknown = strncmp(text, "unknown key '", 13) == 0;
    const char *word = unknown ? text + 13 : text;
    const char *key = arena_strndup(a, word, strcspn(word, unknown ? "'" : " :"));
    for (int i = 0; n->kind == YAML_IS_MAP && i < n->n; i++)
        if (n->key[i]->text && strcmp(n->key[i]->text, key) == 0) return unknown ? n->key[i] : n->item[i];
    return n;
}
/* The case of a list that is called so: its text alone, so that a long file is not made a tree. */
static bool case_text(const char *text, size_t bytes, const char *name, size_t len, RowText *out) {
    RowText list, row;
    int64_t number = strspn(name, "0123456789") >= len ? strtoll(name, NULL, 10) : -1;
    bool found = false;
    if (!row_text_open(&list, text, bytes)) return false;
    for (int64_t i = 0; row_text_next(&list, &row); i++) {
        const char *key = memmem(row.text, row.bytes, "\"case\"", 6), *end = row.text + row.bytes;
        if (i == number) *out = row, found = true;
        if (!key) continue;
        for (key += 6; key < end && (*key == ':' || *key == ' ' || *key == '\n' || *key == '\t' || *key == '\r');) key++;
        if ((size_t)(end - key) < len + 2 || *key != '"' || memcmp(key + 1, name, len) != 0 || key[len + 1] != '"') continue;
        *out = row;
        return true;
    }
    return found;
}
Loc explore_place(Ctx *c, const char *file, const char *where, const char *text) {
    Diags none = {.a = c->a};
    Ctx quiet = {c->a, &none};
    YamlFile f;
    RowText row = {.line = 1, .column = 1};
    size_t bytes;
    if (c->d->errors >= MOST) return (Loc){file, -1, NULL, NULL};
    char *all = file_read_whole(&quiet, file, 1 << 28, &bytes);
    if (!all) return (Loc){file, -1, NULL, NULL};
    const char *name = strncmp(where, "case '", 6) == 0 ? where + 6 : NULL, *quote = name ? strstr(name, "': ") : NULL;
    if (name && !quote && *name && name[strlen(name) - 1] == '\'') quote = name + strlen(name) - 1;
    if (quote && case_text(all, bytes, name, (size_t)(quote - name), &row)) {
        all = (char *)row.text, bytes = row.bytes;
        where = quote + (quote[1] ? 3 : 1);
    }
    if (!yaml_tree(&quiet, file, all, bytes, &f) || !f.root) return (Loc){file, -1, NULL, NULL};
    const YamlNode *n = f.root, *inner = yaml_get(n, "layer");
    if (!*where && inner && !quote) n = inner;
    while (*where) {
        const char *end = strstr(where, ": ");
        size_t len = end ? (size_t)(end - where) : strlen(where);
        n = step(c->a, n, where, len);
        where += len + (end ? 2 : 0);
    }
    n = key_of(c->a, n, text);
    return (Loc){file, loc_place(row.line + n->line - 1, n->column + (n->line == 1 ? row.column - 1 : 0)), NULL, NULL};
}
