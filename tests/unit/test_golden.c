/* SPDX-License-Identifier: Apache-2.0 */
/* test_golden.c: tests/golden/<pass>/<case>.qir, each a graph, the passes to run, and the graph that comes out:
 *
 *   # run: fold,cse
 *   graph g(x: float32[4]) -> (y)
 *     …
 *   ---
 *   graph g(x: float32[4]) -> (y)
 *     …
 *
 * With QUERN_BLESS=1 in the environment what comes out is written below the dashes; read the difference before committing it.
 * Cases that run `lower` or `plan` end in loops or addresses; test_passes.c runs them, here only their graph is read. */
#include "passes/passes.h"
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    const char *path, *input, *expected; /* expected: below the dashes; "" when nothing is there yet */
} Case;

static const char *graph_text(Case *t, const Graph *g) {
    Text out = {0};
    graph_print(g, &out);
    const char *s = arena_strdup(t->a, out.s);
    text_free(&out);
    return s;
}
static Graph *parse(Case *t, const char *text) {
    Graph *g = graph_parse(&t->c, t->path, text);
    if (!g) diag_print_all(&t->d, false);
    ck_assert_msg(g != NULL, "%s does not parse", t->path);
    return g;
}
static void case_open(Case *t, const char *path) {
    size_t n;
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
    t->path = path;
    const char *all = file_read_whole(&t->c, path, 1 << 20, &n);
    ck_assert_msg(all != NULL, "cannot read %s", path);
    all = arena_strndup(t->a, all, n);
    const char *cut = strstr(all, "\n---\n");
    t->input = cut ? arena_strndup(t->a, all, (size_t)(cut + 1 - all)) : all;
    t->expected = cut ? cut + 5 : "";
}

/* Runs the passes of the `# run:` line; false when one of them leaves the graph form. */
static bool run(Case *t, Graph *g) {
    const char *s = strstr(t->input, "# run: ");
    ck_assert_msg(s != NULL, "%s has no line '# run: PASS,…'", t->path);
    for (s += 7; *s && *s != '\n';) {
        size_t n = strcspn(s, ", \n");
        const char *name = arena_strndup(t->a, s, n);
        if (strcmp(name, "lower") == 0 || strcmp(name, "plan") == 0) return false;
        if (!pass_run_one(&t->c, g, name, &(PassOptions){.verify = true})) {
            diag_print_all(&t->d, false);
            ck_abort_msg("%s: pass '%s' fails", t->path, name);
        }
        s += n + strspn(s + n, ", ");
    }
    return true;
}
static void one_file(const char *path) {
    Case t;
    case_open(&t, path);
    Graph *g = parse(&t, t.input);
    const char *once = graph_text(&t, g);
    ck_assert_str_eq(graph_text(&t, parse(&t, once)), once);
    if (run(&t, g)) {
        const char *got = graph_text(&t, g);
        if (getenv("QUERN_BLESS")) {
            const char *all = arena_printf(t.a, "%s---\n%s", t.input, got);
            ck_assert(file_write_whole(&t.c, path, all, strlen(all)));
        } else {
            ck_assert_msg(strcmp(got, t.expected) == 0, "%s: this comes out now:\n%sexpected:\n%s", path, got, t.expected);
        }
        ck_assert_str_eq(graph_text(&t, parse(&t, got)), got);
    }
    arena_free(t.a);
}

/* ---- the files, found once */
enum { MAX_FILES = 1000 };
static char *files[MAX_FILES];
static int nfile;
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static void find_files(const char *folder, int depth) {
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1024];
        size_t n = strlen(e->d_name);
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".qir") == 0 && nfile < MAX_FILES) files[nfile++] = strdup(path);
        else if (depth == 0) find_files(path, 1);
    }
    if (d) closedir(d);
}
START_TEST(test_file) { one_file(files[_i]); }
END_TEST
START_TEST(test_there_are_files) { ck_assert_int_gt(nfile, 0); }
END_TEST

Suite *golden_suite(void) {
    Suite *s = suite_create("golden");
    TCase *c = tcase_create("files");
    if (!nfile) find_files(QUERN_SOURCE_DIR "/tests/golden", 0);
    qsort(files, (size_t)nfile, sizeof *files, by_name);
    tcase_add_test(c, test_there_are_files);
    tcase_add_loop_test(c, test_file, 0, nfile);
    suite_add_tcase(s, c);
    return s;
}
