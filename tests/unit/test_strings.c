/* SPDX-License-Identifier: Apache-2.0 */
/* test_strings.c: the routines behind strings: what inputs are refused, numbers as text and back, letters in another case. Whole models
 * with strings are in tests/data/ml.
 *
 *   offsets 24, 29, 27 of two strings   --->   refused: the second one ends before it starts
 */
#include "runtime/ops/qn_strings.h"
#include "passes/passes.h"
#include <check.h>
#include <stdlib.h>

START_TEST(test_open) {
    int64_t pool[6] = {24, 29, 32, 0, 0, 0}, refs[2], bad;
    memcpy(&pool[3], "helloyou", 8);
    void *buf[2] = {pool, refs};
    ck_assert_int_eq(qn_string_open((int64_t[]){2, 3, 5}, buf), 0);
    ck_assert(refs[0] == (int64_t)3 << 40 && refs[1] == ((int64_t)3 << 40 | 1));
    ck_assert_int_eq(qn_string_open((int64_t[]){2, 3, 4}, buf), 2); /* too long */
    for (bad = 0; bad < 3; bad++) {
        static const int64_t wrong[3] = {16, 40, 27}; /* the first string's start, an end beyond the next one, an end before its start */
        int64_t keep = pool[bad];
        pool[bad] = wrong[bad];
        ck_assert_int_eq(qn_string_open((int64_t[]){2, 3, 8}, buf), 2);
        pool[bad] = keep;
    }
    int64_t out[6];
    ck_assert_int_eq(qn_string_pack((int64_t[]){2, 31, 1, 3}, (void *[]){refs, out, pool}), 1); /* one byte short */
    ck_assert_int_eq(qn_string_pack((int64_t[]){2, 32, 1, 3}, (void *[]){refs, out, pool}), 0);
    ck_assert(memcmp(out, pool, 32) == 0);
}
END_TEST
static const struct {
    double v;
    int wide;
    const char *text;
} numbers[] = {{0.1, 1, "0.1"},
               {0.1, 0, "0.1"},
               {1, 0, "1.0"},
               {-0.0, 1, "-0.0"},
               {1e16, 1, "1e+16"},
               {1.5e-5, 0, "1.5e-05"},
               {5e-324, 1, "5e-324"},
               {100, 0, "100.0"},
               {1e22, 1, "1e+22"},
               {1 / 3.0, 1, "0.3333333333333333"},
               {NAN, 0, "NaN"},
               {INFINITY, 1, "INF"},
               {-INFINITY, 0, "-INF"},
               {16777216, 0, "16777216.0"},
               {1.7976931348623157e308, 1, "1.7976931348623157e+308"}};
START_TEST(test_numbers) {
    char t[48];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        t[qn_real_text(numbers[i].wide ? numbers[i].v : (double)(float)numbers[i].v, numbers[i].wide, t)] = 0;
        ck_assert_str_eq(t, numbers[i].text);
    }
    srand(3);
    for (int i = 0; i < 2000; i++) {
        double d, back;
        uint64_t bits = 0;
        for (int k = 0; k < 5; k++) bits = bits << 15 ^ (uint64_t)rand();
        memcpy(&d, &bits, 8);
        if (isnan(d) || isinf(d)) continue;
        int n = qn_real_text(d, 1, t);
        t[n] = 0;
        ck_assert_msg(memcmp(&(double){strtod(t, NULL)}, &d, 8) == 0, "%s is not %.17g", t, d);
        ck_assert(qn_parse_real(t, n, &back) && fabs(back - d) <= 1e-15 * fabs(d));
    }
    double v;
    ck_assert(!qn_parse_real("", 0, &v) && !qn_parse_real("1x", 2, &v) && !qn_parse_real("e5", 2, &v) && !qn_parse_real("1e", 2, &v));
}
END_TEST
START_TEST(test_case) {
    char s[] = "aBcÄöÜßéЖя€";
    qn_change_case(s, (int64_t)strlen(s), 0);
    ck_assert_str_eq(s, "abcäöüßéжя€");
    qn_change_case(s, (int64_t)strlen(s), 1);
    ck_assert_str_eq(s, "ABCÄÖÜßÉЖЯ€");
    ck_assert(qn_same_word("Ä", 2, "ä", 2, 0) && !qn_same_word("Ä", 2, "ä", 2, 1) && !qn_same_word("a", 1, "ab", 2, 0));
}
END_TEST

Suite *strings_suite(void);
Suite *strings_suite(void) {
    Suite *s = suite_create("strings");
    TCase *c = tcase_create("strings");
    tcase_add_test(c, test_open);
    tcase_add_test(c, test_numbers);
    tcase_add_test(c, test_case);
    suite_add_tcase(s, c);
    return s;
}
