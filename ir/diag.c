/* SPDX-License-Identifier: Apache-2.0 */
/* diag.c: diagnostics are collected and printed at the end; bugs of ours stop at once with status 3.
 *
 *   diag_error(d, n->loc, "weight has %d dims, expected %d; ...", 3, 4)
 *   -> net.onnx: node 12 'conv1' (Conv): error: weight has 3 dims, expected 4; ...
 */
#include "base.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP = 1000, SHOW = 50, NAME_MAX_SHOWN = 80, TEXT_MAX_SHOWN = 4000 };
const char *bug_replay;

static void diag_add(Diags *d, Severity severity, Loc loc, const char *fmt, va_list ap) {
    if (severity == DIAG_ERROR) d->errors++;
    if (severity == DIAG_WARNING) d->warnings++;
    if (d->list.n >= KEEP) return;
    Text t = {0};
    text_vprintf(&t, fmt, ap);
    vec_push(d->a, &d->list, ((Diag){severity, loc, arena_strndup(d->a, t.s, t.n)}));
    text_free(&t);
}
bool diag_error(Diags *d, Loc loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    diag_add(d, DIAG_ERROR, loc, fmt, ap);
    va_end(ap);
    return false;
}
void diag_warn(Diags *d, Loc loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    diag_add(d, DIAG_WARNING, loc, fmt, ap);
    va_end(ap);
}
void diag_note(Diags *d, Loc loc, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    diag_add(d, DIAG_NOTE, loc, fmt, ap);
    va_end(ap);
}

/* Model strings may hold terminal escapes and line breaks; none reaches the terminal. */
static void put_escaped(Text *out, const char *s, size_t limit) {
    for (size_t n = 0; *s; s++, n++) {
        if (n >= limit) {
            text_puts(out, "...");
            return;
        }
        unsigned char c = (unsigned char)*s;
        if (c < 32 || c == 127) text_printf(out, "\\x%02x", c);
        else text_putn(out, s, 1);
    }
}
void diag_format(const Diag *g, Text *out) {
    static const char *const word[] = {"note", "warning", "error"};
    const Loc *l = &g->loc;
    bool column = !l->op && !l->name && l->index >> 32 > 0;
    if (l->file) put_escaped(out, l->file, 400), text_puts(out, column ? ":" : ": ");
    if (l->op || l->name) {
        if (l->index >= 0) text_printf(out, "node %lld ", (long long)l->index);
        if (l->name && *l->name) text_puts(out, "'"), put_escaped(out, l->name, NAME_MAX_SHOWN), text_puts(out, "' ");
        if (l->op) text_puts(out, "("), put_escaped(out, l->op, NAME_MAX_SHOWN), text_puts(out, ")");
        while (out->n && out->s[out->n - 1] == ' ') out->s[--out->n] = 0;
        text_puts(out, ": ");
    } else if (column) {
        text_printf(out, "%lld:%lld: ", (long long)loc_line(l->index), (long long)(l->index >> 32));
    } else if (l->index >= 0) {
        text_printf(out, "%lld: ", (long long)l->index);
    }
    text_printf(out, "%s: ", word[g->severity]);
    put_escaped(out, g->text, TEXT_MAX_SHOWN);
}
void diag_print_all(const Diags *d, bool colour) {
    static const char *const paint[] = {"\033[36m", "\033[35m", "\033[31m"};
    int shown = 0;
    for (int i = 0; i < d->list.n; i++) {
        const Diag *g = &d->list.v[i];
        if (g->severity == DIAG_ERROR && ++shown > SHOW) continue;
        Text t = {0};
        diag_format(g, &t);
        fprintf(stderr, "%s%s%s\n", colour ? paint[g->severity] : "", t.s, colour ? "\033[0m" : "");
        text_free(&t);
    }
    if (d->errors > SHOW) fprintf(stderr, "and %d more errors\n", d->errors - SHOW);
}

void bug_exit(const char *file, int line, const char *fmt, ...) {
    const char *slash = strrchr(file, '/');
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "quern: internal error at %s:%d: ", slash ? slash + 1 : file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nquern: this is a bug of ours; please report it with the model and this command:\n  %s\n",
            bug_replay ? bug_replay : "(unknown command)");
    exit(3);
}
