/* SPDX-License-Identifier: Apache-2.0 */
/* pass.c: the pass manager. Runs the rows of passes.def in their order (or those that --passes names, and the needed ones),
 * verifies after each, and gives every row its dump, its time and its line in `quern passes`.
 */
#include "internal.h"
#include "ir/target.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const PassRow rows[] = {
#define PASS(name, fn, kind, doc) {#name, fn, kind, doc},
#define AFTER(a, b, why)
#include "passes.def"
#undef PASS
#undef AFTER
};
enum { ROWS = sizeof rows / sizeof *rows };
static const struct After {
    const char *later, *earlier, *why;
} after[] = {
#define PASS(name, fn, kind, doc)
#define AFTER(a, b, why) {#a, #b, why},
#include "passes.def"
#undef PASS
#undef AFTER
};

static int row_find(const char *name, size_t n) {
    for (int i = 0; i < ROWS; i++)
        if (strlen(rows[i].name) == n && memcmp(rows[i].name, name, n) == 0) return i;
    return -1;
}
/* The rows stand in an order which keeps every AFTER. */
static void check_order(void) {
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        int later = row_find(after[i].later, strlen(after[i].later)), earlier = row_find(after[i].earlier, strlen(after[i].earlier));
        if (later < 0 || earlier < 0) BUG("AFTER(%s, %s) names a pass that has no row", after[i].later, after[i].earlier);
        if (later < earlier) BUG("pass '%s' must run after '%s': %s", after[i].later, after[i].earlier, after[i].why);
    }
}

static bool unknown_pass(Ctx *c, const char *name, size_t n) {
    Text all = {0};
    for (int i = 0; i < ROWS; i++) text_printf(&all, "%s%s", i ? ", " : "", rows[i].name);
    diag_error(c->d, NO_LOC, "there is no pass '%.*s'; the passes are %s", (int)n, name, all.s);
    text_free(&all);
    return false;
}
/* Which rows run: all, all but "-name"s, or the named ones and the needed ones. */
static bool choose(Ctx *c, const char *list, bool *run) {
    bool named = false, ok = true;
    for (int i = 0; i < ROWS; i++) run[i] = true;
    for (const char *s = list; s && *s;) {
        size_t n = strcspn(s, ",");
        bool minus = *s == '-';
        int k = row_find(s + minus, n - minus);
        if (k < 0 && n > 0) ok = unknown_pass(c, s, n);
        if (k >= 0 && !minus && !named) {
            named = true;
            for (int i = 0; i < ROWS; i++) run[i] = rows[i].kind == PASS_NEED;
        }
        if (k >= 0 && minus && rows[k].kind == PASS_NEED)
            ok = diag_error(c->d, NO_LOC, "pass '%s' cannot be left out: later passes rely on it; remove '-%s' from --passes", rows[k].name,
                            rows[k].name);
        if (k >= 0) run[k] = !minus;
        s += n + (s[n] == ',');
    }
    return ok;
}

bool pass_runs(const Run *r, PassFn fn) {
    for (int i = 0; i < ROWS; i++)
        if (rows[i].fn == fn) return !r->run || r->run[i];
    BUG("a pass that passes.def does not list");
}

/* ---- around each pass */
static bool wants_dump(const PassOptions *o, const char *name) {
    for (int i = 0; i < o->dump_after.n; i++)
        if (strcmp(o->dump_after.v[i], name) == 0 || strcmp(o->dump_after.v[i], "all") == 0) return true;
    return false;
}
static bool check_dumps(Ctx *c, const PassOptions *o) {
    bool ok = true;
    for (int i = 0; i < o->dump_after.n; i++) {
        const char *s = o->dump_after.v[i];
        if (strcmp(s, "all") != 0 && row_find(s, strlen(s)) < 0) ok = unknown_pass(c, s, strlen(s));
    }
    return ok;
}
static void dump(const Run *r, const PassRow *row) {
    Text t = {0};
    text_printf(&t, "# after %s\n", row->name);
    if (!r->p) graph_print(r->g, &t);
    else if (row->fn == pass_plan) plan_print(r->p, &t);
    for (const Program *p = row->fn == pass_plan ? NULL : r->p; p; p = p->next) {
        if (r->p->next) text_printf(&t, "# for %s\n", p->target->name);
        for (int i = 0; i < p->k.n; i++) func_print(p->k.v[i]->f, &t);
    }
    fwrite(t.s, 1, t.n, stdout);
    text_free(&t);
}
static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool run_row(Run *r, const PassRow *row) {
    double start = seconds();
    size_t used = arena_used(r->c->a);
    r->tmp = arena_new();
    bool ok = row->fn(r) && r->c->d->errors == 0;
    size_t tmp = arena_used(r->tmp);
    arena_free(r->tmp);
    r->tmp = NULL;
    if (r->o->time)
        fprintf(stderr, "%-8s %9.3f ms  %8d nodes  %9zu KiB kept  %9zu KiB temporary\n", row->name, 1e3 * (seconds() - start), r->g->nnode,
                (arena_used(r->c->a) - used) >> 10, tmp >> 10);
    if (!ok) return false;
    if (r->o->verify && !graph_verify(r->c, r->g, true)) {
        diag_print_all(r->c->d, false);
        BUG("the graph does not verify after pass '%s'", row->name);
    }
    if (wants_dump(r->o, row->name)) dump(r, row);
    return true;
}

Program *passes_run(Ctx *c, Graph *g, const PassOptions *o) {
    static const PassOptions defaults;
    bool run[ROWS];
    check_order();
    ops_init();
    Run r = {.c = c, .g = g, .o = o ? o : &defaults, .run = run};
    if (r.o->max_string) g->max_string = r.o->max_string;
    if (!choose(c, r.o->list, run) || !check_dumps(c, r.o)) return NULL;
    for (int i = 0; i < ROWS; i++)
        if (run[i] && !run_row(&r, &rows[i])) return NULL;
    return r.p;
}

bool pass_run_one(Ctx *c, Graph *g, const char *name, const PassOptions *o) {
    static const PassOptions checked = {.verify = true};
    int k = row_find(name, strlen(name));
    if (k < 0) return unknown_pass(c, name, strlen(name));
    ops_init();
    Run r = {.c = c, .g = g, .o = o ? o : &checked};
    return run_row(&r, &rows[k]);
}

/* ---- the tables */
const char *pass_optional(int i) {
    for (int k = 0; k < ROWS; k++)
        if (rows[k].kind == PASS_OPT && i-- == 0) return rows[k].name;
    return NULL;
}
void passes_list(Text *out) {
    for (int i = 0; i < ROWS; i++) text_printf(out, "%-8s %s%s\n", rows[i].name, rows[i].doc, rows[i].kind == PASS_NEED ? " (always)" : "");
    text_puts(out, "\nrules (--no-rule NAME):\n");
    rules_list(out);
}
void passes_markdown(Text *out) {
    text_puts(out, "# Passes\n\nIn the order in which they run. `--passes LIST` runs the named ones (those marked *always* run anyway); "
                   "`--passes -NAME`"
                   " leaves one out;\n`--dump-after NAME` prints the result; `--time-passes` shows time and memory.\n\n| pass | runs | "
                   "what it does | why there |\n"
                   "|---|---|---|---|\n");
    for (int i = 0; i < ROWS; i++) {
        text_printf(out, "| `%s` | %s | %s | ", rows[i].name, rows[i].kind == PASS_NEED ? "always" : "by default", rows[i].doc);
        const char *sep = "";
        for (size_t k = 0; k < sizeof after / sizeof *after; k++)
            if (strcmp(after[k].later, rows[i].name) == 0) {
                text_printf(out, "%safter `%s`: %s", sep, after[k].earlier, after[k].why);
                sep = "; ";
            }
        text_puts(out, " |\n");
    }
    text_puts(out, "\n# Rules\n\nRewrites of the pass `rules`. In a pattern `x` is any tensor, `$x` a constant, `x?` may be absent, `(Op* "
                   "…)` may have other"
                   " users.\n`--no-rule NAME` leaves one out.\n\n| rule | pattern | what it does |\n|---|---|---|\n");
    rules_markdown(out);
}
