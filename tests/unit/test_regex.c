/* SPDX-License-Identifier: Apache-2.0 */
/* test_regex.c: regular expressions as tables of states: what matches as a whole, as RE2's FullMatch says, and what is refused.
 *
 *   a(b|c)*   --->   matches a, abcb; not b, ab!
 */
#include "ir/ops/regex.h"
#include <check.h>
#include <string.h>

Suite *regex_suite(void);

static bool matches(const Regex *r, const char *s, size_t n) {
    int64_t state = 0;
    for (size_t i = 0; i < n; i++) state = r->next[state * (r->kinds + 1) + r->kind[(unsigned char)s[i]]];
    return r->next[state * (r->kinds + 1) + r->kinds];
}
static const struct {
    const char *pattern, *yes[6], *no[6];
} rows[] = {
    {"a(b|c)*", {"a", "abcb"}, {"b", "", "ab!", "aa"}},
    {"", {""}, {"a"}},
    {"www\\.[\\w.-]+\\.\\bcom\\b", {"www.google.com", "www.face-book.com"}, {"www.google.org", "www..com", "wwwxgoogle.com"}},
    {"(\\W|^)[\\w.\\-]{0,25}@(yahoo|gmail)\\.com(\\W|$)",
     {"account@gmail.com", "@yahoo.com!", " x@gmail.com"},
     {"not an email", "a@b.com"}},
    {"x{2,3}", {"xx", "xxx"}, {"x", "xxxx"}},
    {"x{2}y{2,}", {"xxyy", "xxyyyy"}, {"xyy", "xxy"}},
    {"x{,3}", {"x{,3}"}, {"xxx"}},
    {"(?:ab){0,2}c?", {"", "ab", "ababc", "c"}, {"abababc", "abcc"}},
    {"a.c",
     {"abc",
      "a\xc3\xa4"
      "c",
      "a\xf0\x9f\x98\x80"
      "c"},
     {"a\nc", "ac",
      "a\xc3"
      "c",
      "abbc"}},
    {"(?s)a.c", {"a\nc"}, {"ac"}},
    {"[^a-c]+", {"xyz", "\n", "\xe2\x82\xac"}, {"a", "xay", ""}},
    {"[a\\]\\-z]+", {"a]-z"}, {"b"}},
    {"[]a]+", {"]a]"}, {"b"}},
    {"[a-]+", {"a-a"}, {"b"}},
    {"[[:alpha:][:digit:]_]*", {"aZ09_", ""}, {"-", "a b"}},
    {"[[:^space:]]+", {"abc"}, {"a b"}},
    {"\\d+\\D\\s\\S", {"12x y", "7\t\nz"}, {"x2 y", "12 y"}},
    {"(?i)stra\xc3\x9f"
     "e",
     {"STRA\xc3\x9f"
      "E",
      "strA\xc3\x9f"
      "e"},
     {"strasse"}},
    {"(?i)\xc3\xa4\xd0\xb6k", {"\xc3\x84\xd0\x96K", "\xc3\xa4\xd0\xb6\xe2\x84\xaa"}, {"aek"}},
    {"(?i:a)b", {"Ab", "ab"}, {"aB"}},
    {"a(?i)b|c", {"aB", "C"}, {"AB"}},
    {"[\xce\xb1-\xcf\x89]+", {"\xce\xb1\xcf\x80\xcf\x89"}, {"a", "\xce\x91"}},
    {"\\x41\\x{20ac}\\101\\t",
     {"A\xe2\x82\xac"
      "A\t"},
     {"A"}},
    {"\\Qa.b*\\E+", {"a.b*", "a.b**"}, {"axb", "a.b*+"}},
    {"^ab$", {"ab"}, {"ab\n"}},
    {"a^b", {NULL}, {"ab", "a^b"}},
    {"(?m)a$\n^b", {"a\nb"}, {"ab"}},
    {"(?m)(^a$\n?)*", {"a\na", "a", "a\n"}, {"aa"}},
    {"\\bfoo\\b.*", {"foo", "foo bar"}, {"foobar"}},
    {".*\\Bb", {"ab"}, {"b", "a b"}},
    {"\\Aab\\z", {"ab"}, {"ab "}},
    {"(a|ab)(c|bcd)(d*)",
     {"abcd", "acd",
      "ab"
      "bcdd"},
     {"abb"}},
    {"(a*)*b", {"b", "aaab"}, {"aaa"}},
    {"(|a)+b", {"b", "ab", "aab"}, {"a"}},
    {"(?P<name>x)(?<other>y)", {"xy"}, {"x"}},
    {"a+?b*?c??", {"a", "aabbc"}, {"c"}},
    {"\\C", {"\xff", "a"}, {"ab"}},
    {"a\\.b\\\\", {"a.b\\"}, {"axb\\"}},
    {"[\\w-]+@([\\w-]+\\.)+[a-z]{2,4}", {"me@mail.example.org"}, {"me@org", "me@mail.toolong"}},
};
START_TEST(test_match) {
    Arena *a = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Regex r;
        int64_t at;
        const char *err = regex_compile(a, rows[i].pattern, (int64_t)strlen(rows[i].pattern), &r, &at);
        ck_assert_msg(!err, "%s: %s at %d", rows[i].pattern, err, (int)at);
        for (int k = 0; k < 6 && rows[i].yes[k]; k++)
            ck_assert_msg(matches(&r, rows[i].yes[k], strlen(rows[i].yes[k])), "%s does not match '%s'", rows[i].pattern, rows[i].yes[k]);
        for (int k = 0; k < 6 && rows[i].no[k]; k++)
            ck_assert_msg(!matches(&r, rows[i].no[k], strlen(rows[i].no[k])), "%s matches '%s'", rows[i].pattern, rows[i].no[k]);
    }
    arena_free(a);
}
END_TEST
static const struct {
    const char *pattern, *why;
    int at;
} wrong[] = {{"ab(c", "missing", 2},
             {"ab)c", "too many", 2},
             {"*a", "nothing to repeat", 0},
             {"a**", "repeated", 1},
             {"[a", "missing", 0},
             {"[b-a]", "before", 0},
             {"a\\", "backslash", 1},
             {"\\1", "references", 0},
             {"\\pL", "Unicode", 0},
             {"(?=a)", "looking", 0},
             {"(?<!a)b", "looking", 0},
             {"x{1001}", "1000", 1},
             {"x{3,2}", "1000", 1},
             {"\\x{110000}", "10FFFF", 0},
             {"\xff", "UTF-8", 0},
             {"(?P<n", "missing", 0},
             {"\\y", "known", 0},
             {"(((a{100}){100}){100})", "too many states", 0},
             {"(a|b)*a(a|b){20}", "too many states", 0}};
START_TEST(test_refused) {
    Arena *a = arena_new();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Regex r;
        int64_t at;
        const char *err = regex_compile(a, wrong[i].pattern, (int64_t)strlen(wrong[i].pattern), &r, &at);
        ck_assert_msg(err && strstr(err, wrong[i].why), "%s: %s", wrong[i].pattern, err ? err : "is accepted");
        ck_assert_msg(at == wrong[i].at, "%s: at %d", wrong[i].pattern, (int)at);
    }
    char deep[1000];
    memset(deep, '(', sizeof deep);
    Regex r;
    int64_t at;
    ck_assert_ptr_nonnull(regex_compile(a, deep, sizeof deep, &r, &at));
    arena_free(a);
}
END_TEST

Suite *regex_suite(void) {
    Suite *s = suite_create("regex");
    TCase *c = tcase_create("regex");
    tcase_add_test(c, test_match);
    tcase_add_test(c, test_refused);
    suite_add_tcase(s, c);
    return s;
}
