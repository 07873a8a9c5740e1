/* SPDX-License-Identifier: Apache-2.0 */
/* emit_helpers.c: the small functions that stand before the kernels of an emitted model. Their text is embedded in the binary;
 * a line `@helper NAME deps: A B` in a comment starts each one. Only what is needed is printed, what it needs before it.
 *
 *   {qn_f32_to_f16}   --->   static uint32_t qn_f32_bits … static uint32_t qn_f32_small … static uint16_t qn_f32_to_f16 …
 */
#include "internal.h"
#include "embedded.h"
#include <string.h>

const Embedded *embedded_find(const char *name) {
    for (const Embedded *e = embedded_files; e->name; e++)
        if (!strcmp(e->name, name)) return e;
    return NULL;
}

void helper_add(HelperSet *s, Helper h) { *(h < 64 ? &s->bits : &s->more[h / 64 - 1]) |= (uint64_t)1 << (h % 64); }
bool helper_has(const HelperSet *s, Helper h) { return (h < 64 ? s->bits : s->more[h / 64 - 1]) >> (h % 64) & 1; }
static const char *const helper_name[HELP_COUNT] = {
#define HELPER(e, name) name,
#include "helpers.def"
#undef HELPER
};

typedef struct Piece {
    const char *text, *deps; /* deps: words up to the end of the line */
    size_t n, ndeps;
    bool math; /* its file includes <math.h> */
    int state; /* 1: being printed, 2: printed */
} Piece;
struct HelperText {
    Arena *a;
    Map *piece;
    bool math, string;
};

static const char mark[] = "/* @helper ";
/* From behind the marker's line to the end of the last function before the next marker; the comment above the marker belongs to it. */
static void index_file(HelperText *h, const Embedded *f) {
    bool math = strstr(f->data, "#include <math.h>") != NULL;
    const char *end_of_last = f->data;
    for (const char *m = strstr(f->data, mark); m;) {
        const char *name = m + sizeof mark - 1, *name_end = strpbrk(name, " \n"), *line = strchr(name, '\n');
        const char *next = strstr(name, mark), *stop = next ? next : f->data + f->bytes;
        const char *deps = strstr(name, "deps:"), *close = strstr(name, "*/");
        if (!name_end || !line || !close || !deps || deps > line || close > line) BUG("a helper marker of %s is malformed", f->name);
        const char *lead = end_of_last;
        while (lead < m && (*lead == '\n' || *lead == ' ')) lead++;
        if (end_of_last == f->data || memchr(lead, '#', (size_t)(m - lead))) lead = m; /* the file's head */
        const char *last = stop;
        while (last > line && last[-1] != '}' && last[-1] != ';') last--;
        const char *brace = stop;
        while (brace > line && brace[-1] != '}') brace--;
        if (brace > line) last = brace;
        const char *tail = memchr(last, '\n', (size_t)(stop - last));
        if (tail) last = tail; /* a comment behind the brace, or the ; of a type */
        Piece *p = NEW(h->a, Piece);
        *p = (Piece){.deps = deps + 5, .ndeps = (size_t)(close - deps - 5), .math = math};
        p->text = arena_printf(h->a, "%.*s%.*s\n", (int)(m - lead), lead, (int)(last - line - 1), line + 1);
        p->n = strlen(p->text);
        const char *key = arena_strndup(h->a, name, (size_t)(name_end - name));
        if (!map_get(h->piece, key)) map_set(h->piece, key, p);
        end_of_last = last;
        m = next;
    }
}
static bool starts(const char *s, const char *with) { return !strncmp(s, with, strlen(with)); }
HelperText *helper_text_new(Arena *a) {
    HelperText *h = NEW(a, HelperText);
    h->a = a;
    h->piece = map_new(a);
    for (const Embedded *e = embedded_files; e->name; e++)
        if (starts(e->name, "runtime/")) index_file(h, e);
    return h;
}
static void put_piece(HelperText *h, Text *out, const Piece *p) {
    const char *s = p->text;
    while (*s == '/' || *s == ' ' || *s == '\n') { /* comments stay in front */
        const char *end = *s == '/' ? strstr(s, "*/") : s - 1;
        end = end ? end + 2 : s + strlen(s);
        text_putn(out, s, (size_t)(end - s));
        s = end;
    }
    static const char *const own[] = {"static", "typedef", "struct", "enum", "union", "#"};
    bool keep = false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) keep |= starts(s, own[i]);
    text_printf(out, "%s%s", keep ? "" : "static ", s);
    h->math |= p->math;
    h->string |= strstr(p->text, "memcpy(") || strstr(p->text, "memset(") || strstr(p->text, "memmove(") || strstr(p->text, "memcmp(");
}
bool helper_text_put(HelperText *h, Text *out, const char *name) {
    Piece *p = map_get(h->piece, name);
    if (!p) return false;
    if (p->state) return true;
    p->state = 1;
    char *deps = arena_strndup(h->a, p->deps, p->ndeps);
    for (char *save = NULL, *w = strtok_r(deps, " ", &save); w; w = strtok_r(NULL, " ", &save))
        if (!helper_text_put(h, out, w)) BUG("helper '%s' needs '%s', which no embedded file defines", name, w);
    put_piece(h, out, p);
    p->state = 2;
    return true;
}
void helper_text_set(HelperText *h, Text *out, const HelperSet *set) {
    for (int i = 0; i < HELP_COUNT; i++)
        if (helper_has(set, (Helper)i) && !helper_text_put(h, out, helper_name[i]))
            BUG("no embedded file defines helper '%s'", helper_name[i]);
}
bool helper_text_math(const HelperText *h) { return h->math; }
bool helper_text_string(const HelperText *h) { return h->string; }

void emit_helpers(Text *out, const HelperSet *set) {
    Arena *a = arena_new();
    helper_text_set(helper_text_new(a), out, set);
    arena_free(a);
}
