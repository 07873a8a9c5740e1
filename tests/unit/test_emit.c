/* SPDX-License-Identifier: Apache-2.0 */
/* test_emit.c: the C printer. Each file of tests/golden/emit holds a small nest and the C it prints; all of them compile without a
 * warning. (What the C computes is test_emit_diff.c's matter.)
 *
 *   # run: emit vectors     plain loops, or vector types; `helpers`: what must stand before the function
 */
#include "codegen/codegen.h"
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Text all;      /* every function, for the C compiler */
    HelperSet set; /* what they need */
} Case;
static void case_open(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
}
static void case_close(Case *t) {
    text_free(&t->all);
    arena_free(t->a);
}
static Func *parse(Case *t, const char *path, const char *text) {
    Func *f = func_parse(&t->c, path, text);
    if (f) func_verify(&t->c, f);
    if (t->d.errors) diag_print_all(&t->d, false);
    ck_assert_msg(f != NULL && t->d.errors == 0, "%s", path);
    return f;
}
static void golden_file(Case *t, const char *path) {
    size_t n;
    char *bytes = file_read_whole(&t->c, path, 1 << 20, &n);
    ck_assert_msg(bytes != NULL, "%s", path);
    char *text = arena_strndup(t->a, bytes, n), *cut = strstr(text, "\n---\n"), *run = strstr(text, "# run: ");
    ck_assert_msg(run != NULL, "%s has no '# run:' line", path);
    const char *input = arena_strndup(t->a, text, cut ? (size_t)(cut + 1 - text) : strlen(text)), *nest = strstr(input, "\nfunc ");
    ck_assert_msg(nest != NULL, "%s has no function", path);
    Func *f = parse(t, path, nest + 1);
    Text out = {0};
    HelperSet set = {0};
    emit_helpers_of(f, &set);
    emit_helpers_of(f, &t->set);
    if (strncmp(run + 7, "helpers", 7) == 0) emit_helpers(&out, &set);
    else {
        emit_func(&out, f, &(EmitStyle){.vectors = strncmp(run + 7, "emit vectors", 12) == 0}, false, NULL);
        size_t head = strcspn(out.s, "{");
        const char *name = strstr(out.s, arena_printf(t->a, " %s(", f->name)), *line = name;
        while (line > out.s && line[-1] != '\n') line--;
        text_printf(&t->all, "%.*s;\n%s", (int)(out.s + head - line), line, out.s);
    }
    if (getenv("QUERN_BLESS")) {
        const char *whole = arena_printf(t->a, "%s---\n%s", input, out.s);
        ck_assert(file_write_whole(&t->c, path, whole, strlen(whole)));
    } else ck_assert_msg(cut && strcmp(out.s, cut + 5) == 0, "%s: run with QUERN_BLESS=1 and read the difference; now:\n%s", path, out.s);
    text_free(&out);
}
static void compiles(Case *t, const char *flags) {
    char path[] = "/tmp/quern_emit_XXXXXX.c";
    int fd = mkstemps(path, 2);
    ck_assert_int_ge(fd, 0);
    close(fd);
    Text file = {0};
    text_puts(&file, "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n");
    emit_helpers(&file, &t->set);
    text_putn(&file, t->all.s, t->all.n);
    ck_assert(file_write_whole(&t->c, path, file.s, file.n));
    text_free(&file);
    const char *cc = getenv("CC"), *cmd = arena_printf(t->a, "%s -Wall -Wextra -Werror -pedantic -Wno-psabi %s -c -o /dev/null %s",
                                                       cc ? cc : "cc", flags, path);
    ck_assert_msg(system(cmd) == 0, "%s", cmd);
    unlink(path);
}
static int by_name(const void *x, const void *y) { return strcmp(*(const char *const *)x, *(const char *const *)y); }
START_TEST(test_golden) {
    Case t;
    case_open(&t);
    const char *names[256], *folder = QUERN_SOURCE_DIR "/tests/golden/emit";
    int n = 0;
    DIR *d = opendir(folder);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) && n < 256;)
        if (strstr(e->d_name, ".qir")) names[n++] = arena_strdup(t.a, e->d_name);
    closedir(d);
    ck_assert_int_gt(n, 10);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) golden_file(&t, arena_printf(t.a, "%s/%s", folder, names[i]));
    compiles(&t, "-std=c99 -O2");
    case_close(&t);
}
END_TEST

static const char *emitted(Case *t, const char *nest, bool is_static, const bool *restrict_ok, const char *attribute) {
    Text out = {0};
    emit_func(&out, parse(t, "test", nest), &(EmitStyle){.attribute = attribute}, is_static, restrict_ok);
    const char *s = arena_strdup(t->a, out.s);
    text_free(&out);
    return s;
}
START_TEST(test_signature) {
    Case t;
    case_open(&t);
    const char *nest = "func f(x: float32[2], y: int8[2]) -> writes z: uint64[2]\n  z[0] = uint64(y[1])\n";
    bool ok[] = {false, true, false};
    const char *s = emitted(&t, nest, true, ok, "__attribute__((noinline))");
    const char *want = "__attribute__((noinline)) static void f(const float *x, const int8_t *restrict y, uint64_t *z) {\n"
                       "    (void)x;\n    z[0] = (uint64_t)y[1];\n}\n";
    ck_assert_str_eq(s, want);
    case_close(&t);
}
END_TEST
START_TEST(test_comment) { /* nothing that a model says ends the comment */
    Case t;
    case_open(&t);
    Func *f = parse(&t, "test", "func f() -> writes z: float32\n  z[] = 1.0\n");
    f->comment = "a */ b \\\n c ?\?/ /* \x80 d";
    Text out = {0};
    emit_func(&out, f, &(EmitStyle){0}, false, NULL);
    ck_assert_msg(strstr(out.s, "*/") == strstr(out.s, " */\nvoid f(") + 1, "%s", out.s);
    ck_assert_ptr_null(strstr(out.s, "\\"));
    ck_assert_ptr_null(strstr(out.s, "?"));
    text_free(&out);
    case_close(&t);
}
END_TEST
/* 2^60 leaves as a tree, sixty nodes as a DAG: the text must not be longer than the DAG. */
START_TEST(test_shared) {
    Case t;
    case_open(&t);
    Func *f = func_new(t.a, "f");
    Buf *x = func_param(f, "x", DT_FLOAT32, 0, NULL), *y = func_param(f, "y", DT_FLOAT32, 0, NULL);
    Expr *e = e_load(t.a, x, NULL);
    for (int i = 0; i < 60; i++) e = e_mul(t.a, e, e);
    s_append(t.a, f->body, s_store(t.a, y, NULL, e, RED_NONE));
    Text out = {0};
    emit_func(&out, f, &(EmitStyle){0}, false, NULL);
    ck_assert_int_lt((int)out.n, 4000);
    ck_assert_msg(strstr(out.s, "const float t_2 = t * t;") != NULL, "%s", out.s);
    text_free(&out);
    case_close(&t);
}
END_TEST
/* A value that only a hint uses is printed where the hint is. */
START_TEST(test_hints) {
    Case t;
    case_open(&t);
    const char *nest = "func f(x: float32[64]) -> writes y: float32[4]\n  for i in 0..4\n    let next: int64 = min(i * 16, 48)\n"
                       "    call qn_prefetch(next)(x)\n    y[i] = x[i]\n";
    for (int vectors = 0; vectors < 2; vectors++) {
        Text out = {0};
        emit_func(&out, parse(&t, "test", nest), &(EmitStyle){.vectors = vectors}, false, NULL);
        ck_assert_msg((strstr(out.s, "next") != NULL) == vectors, "%s", out.s);
        ck_assert_msg((strstr(out.s, "__builtin_prefetch") != NULL) == vectors, "%s", out.s);
        text_free(&out);
    }
    case_close(&t);
}
END_TEST
/* Clamps that cannot do anything are not printed, nor is a test of a number that a conversion holds. */
START_TEST(test_trimmed) {
    static const struct {
        const char *value, *has, *lacks;
    } rows[] = {
        {"int8(min(max(rint(min(max(float64(s[0]) * 0.5:float64, 0.0:float64), 254.0:float64)) - 128.0:float64, -128.0:float64), "
         "127.0:float64))",
         "(int8_t)(", "qn_to_i8"},
        {"int8(min(max(rint(float64(s[0]) * 0.5:float64), -128.0:float64), 127.0:float64))", "(int8_t)", "qn_to_i8"},
        {"int8(min(max(d[0], -128.0:float64), 127.0:float64))", "qn_to_i8(", "(int8_t)("}, /* may be no number */
        {"int8(float64(s[0]))", "qn_to_i8(", "(int8_t)("},
        {"int8(min(max(float64(s[0]), -128.5:float64), 127.0:float64))", "qn_to_i8(", "(int8_t)("},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Case t;
        case_open(&t);
        const char *nest = arena_printf(t.a, "func f(s: int32[1], d: float64[1]) -> writes y: int8[1]\n  y[0] = %s\n", rows[i].value);
        const char *s = emitted(&t, nest, false, NULL, NULL);
        ck_assert_msg(strstr(s, rows[i].has) && !strstr(s, rows[i].lacks), "%s", s);
        case_close(&t);
    }
}
END_TEST
START_TEST(test_names) {
    static const struct {
        const char *model, *want;
    } rows[] = {{"conv1", "conv1"},
                {"conv1", "conv1_"},
                {"a/b.c:0", "a_b_c_0"},
                {"__x__", "x"},
                {"", "x_"},
                {"3d", "t_3d"},
                {"int", "int_"},
                {"exp", "exp_"},
                {"expf", "expf_"},
                {"qn_div_i32", "qn_div_i32_"},
                {"int32_t", "int32_t_"},
                {"v8f", "v8f_"},
                {"\xff\xfe", "x_"},
                {"caf\xc3\xa9 1", "caf_1"},
                {"*/ evil", "evil"}}; /* clashes get a number */
    Case t;
    case_open(&t);
    Map *used = map_new(t.a), *seen = map_new(t.a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *s = c_name(t.a, used, rows[i].model, "x"), *want = rows[i].want;
        ck_assert_msg(strncmp(s, want, strlen(want)) == 0 && strspn(s + strlen(want), "0123456789") == strlen(s + strlen(want)), "%s: %s",
                      want, s);
        ck_assert_ptr_null(map_get(seen, s));
        map_set(seen, s, (void *)s);
    }
    char lengthy[501];
    memset(lengthy, 'a', 500);
    lengthy[500] = 0;
    for (int i = 0; i < 3; i++) { /* cut, and still unique */
        const char *s = c_name(t.a, used, lengthy, "x");
        ck_assert_int_eq((int)strlen(s), 64);
        ck_assert_ptr_null(map_get(seen, s));
        map_set(seen, s, (void *)s);
    }
    case_close(&t);
}
END_TEST

Suite *emit_suite(void);
Suite *emit_suite(void) {
    Suite *s = suite_create("emit");
    TCase *c = tcase_create("emit");
    tcase_add_test(c, test_golden);
    tcase_add_test(c, test_signature);
    tcase_add_test(c, test_comment);
    tcase_add_test(c, test_shared);
    tcase_add_test(c, test_hints);
    tcase_add_test(c, test_trimmed);
    tcase_add_test(c, test_names);
    suite_add_tcase(s, c);
    return s;
}
