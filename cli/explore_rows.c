/* SPDX-License-Identifier: Apache-2.0 */
/* explore_rows.c: the cases of a file one by one. Of a JSON list only the text and one case are in memory at a time, so that a hundred
 * thousand of them take little more than their file; a list in YAML is read at once.
 *   [{"case": "a", …}, {"case": "b", …}]   ->   the object of a, then that of b */
#include "explore.h"
#include <ctype.h>
#include <string.h>

static void step(RowText *t) {
    if (t->text[t->at++] == '\n') t->line++, t->column = 1;
    else t->column++;
}
static void blanks(RowText *t) {
    while (t->at < t->bytes && isspace((unsigned char)t->text[t->at])) step(t);
}
bool row_text_open(RowText *t, const char *text, size_t bytes) {
    *t = (RowText){.text = text, .bytes = bytes, .line = 1, .column = 1};
    blanks(t);
    if (t->at == bytes || text[t->at] != '[') return false;
    step(t);
    return true;
}
/* The end of a value: of what its brackets enclose, or the next comma. */
static void skip_value(RowText *t) {
    int depth = 0;
    for (bool quoted = false; t->at < t->bytes; step(t)) {
        char c = t->text[t->at];
        if (quoted) {
            if (c == '\\' && t->at + 1 < t->bytes) step(t);
            quoted = c != '"';
        } else if (c == '"') quoted = true;
        else if (c == '{' || c == '[') depth++;
        else if ((c == '}' || c == ']') && depth > 0) {
            if (--depth > 0) continue;
            step(t);
            return;
        } else if (depth == 0 && (c == ',' || c == ']')) return;
    }
}
bool row_text_next(RowText *t, RowText *row) {
    blanks(t);
    if (t->at == t->bytes || (t->text[t->at] == ']' && !t->rows)) return false;
    if (t->rows) {
        if (t->text[t->at] != ',') return false;
        step(t), blanks(t);
    }
    *row = (RowText){.text = t->text + t->at, .line = t->line, .column = t->column};
    size_t from = t->at;
    skip_value(t);
    row->bytes = t->at - from;
    t->rows++;
    return true;
}
/* After the last row: the bracket, and nothing else. */
static bool closed(RowText *t) {
    if (t->at == t->bytes || t->text[t->at] != ']') return false;
    step(t), blanks(t);
    return t->at == t->bytes;
}

bool rows_open(Ctx *c, const char *file, Rows *r) {
    size_t bytes;
    *r = (Rows){.c = c, .file = file};
    char *text = file_read_whole(c, file, 1 << 28, &bytes);
    if (!text) return false;
    if (row_text_open(&r->text, text, bytes)) return true;
    r->all = explore_parse(c, file, text, bytes);
    if (r->all && json_is_array(r->all)) return true;
    if (r->all) diag_error(c->d, (Loc){file, -1, NULL, NULL}, "expected a list of cases");
    json_decref(r->all);
    return false;
}
json_t *rows_next(Rows *r) {
    RowText row;
    json_error_t err;
    if (r->bad) return NULL;
    if (r->all) return r->n < json_array_size(r->all) ? json_incref(json_array_get(r->all, r->n++)) : NULL;
    if (!row_text_next(&r->text, &row)) {
        if (closed(&r->text)) return NULL;
        r->bad = true;
        diag_error(r->c->d, (Loc){r->file, loc_place(r->text.line, r->text.column), NULL, NULL},
                   "found %s, expected ',' or ']' after a case", r->text.at == r->text.bytes ? "the end of the file" : "something else");
        return NULL;
    }
    json_t *j = json_loadb(row.text, row.bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &err);
    if (j) return r->n++, j;
    r->bad = true;
    int64_t line = err.line > 0 ? err.line : 1, column = err.column > 0 ? err.column : 1;
    diag_error(r->c->d, (Loc){r->file, loc_place(row.line + line - 1, column + (line == 1 ? row.column - 1 : 0)), NULL, NULL}, "%s",
               err.text);
    return NULL;
}
void rows_close(Rows *r) { json_decref(r->all); }
