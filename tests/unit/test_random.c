/* SPDX-License-Identifier: Apache-2.0 */
/* test_random.c: a million draws of each distribution: mean, variance, and the largest distance between their distribution and the one
 * that was asked for (Kolmogorov-Smirnov). A second run gives the same bytes, another seed other ones.
 *
 *   RandomNormal() {shape=[1000000], mean=1, scale=2, seed=7}   --->   mean 1 +- 0.01, variance 4 +- 0.03, distance < 1.95/1000
 */
#include "passes/passes.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 1000000 };
static float draw[2][DRAWS];

static void run(const char *node, float *out) {
    Diags d = {.a = arena_new()};
    Ctx c = {d.a, &d};
    Graph *g = graph_parse(&c, "test", arena_printf(d.a, "graph g() -> (y)\n%s\n", node));
    PassOptions o = {.verify = true};
    Program *p = g ? passes_run(&c, g, &o) : NULL;
    diag_print_all(&d, false);
    ck_assert(p != NULL);
    ck_assert_int_eq(tensor_elements(g->out.v[0]), DRAWS);
    ck_assert(program_interpret(&c, p, NULL, (void *[]){out}));
    arena_free(d.a);
}
static int by_value(const void *x, const void *y) {
    return (*(const float *)x > *(const float *)y) - (*(const float *)x < *(const float *)y);
}
static double uniform(double x) { return x < 2 ? 0 : x > 5 ? 1 : (x - 2) / 3; }
static double normal(double x) { return 0.5 * erfc(-(x - 1) / (2 * sqrt(2.0))); }
static void moments(const float *v, double *mean, double *var) {
    *mean = *var = 0;
    for (int i = 0; i < DRAWS; i++) *mean += (double)v[i] / DRAWS;
    for (int i = 0; i < DRAWS; i++) *var += ((double)v[i] - *mean) * ((double)v[i] - *mean) / DRAWS;
}
static double distance(float *v, double (*cdf)(double)) {
    double most = 0;
    qsort(v, DRAWS, sizeof *v, by_value);
    for (int i = 0; i < DRAWS; i++) {
        double f = cdf((double)v[i]);
        most = fmax(most, fmax(fabs(f - (double)i / DRAWS), fabs(f - (double)(i + 1) / DRAWS)));
    }
    return most;
}
static const struct {
    const char *node;
    double mean, var;
    double (*cdf)(double);
} rows[] = {{"  y: ? = RandomUniform() {shape=[1000,1000], low=2, high=5, seed=%d}", 3.5, 0.75, uniform},
            {"  y: ? = RandomNormal() {shape=[1000000], mean=1, scale=2, seed=%d}", 1, 4, normal}};
START_TEST(test_distribution) {
    char text[200];
    double mean, var;
    snprintf(text, sizeof text, rows[_i].node, 7);
    run(text, draw[0]), run(text, draw[1]);
    ck_assert(memcmp(draw[0], draw[1], sizeof draw[0]) == 0);
    moments(draw[0], &mean, &var);
    ck_assert_double_eq_tol(mean, rows[_i].mean, 4.5 * sqrt(rows[_i].var / DRAWS));
    ck_assert_double_eq_tol(var, rows[_i].var, 4.5 * rows[_i].var * sqrt(2.0 / DRAWS));
    ck_assert_double_lt(distance(draw[0], rows[_i].cdf), 1.95 / sqrt(DRAWS)); /* exceeded by chance once in a thousand seeds */
    snprintf(text, sizeof text, rows[_i].node, 8);
    run(text, draw[0]);
    ck_assert(memcmp(draw[0], draw[1], sizeof draw[0]) != 0);
}
END_TEST
START_TEST(test_bernoulli) {
    double mean, var;
    run("  p: float32[1000000] = splat(0.3)\n  y: ? = Bernoulli(p) {seed=3}", draw[0]);
    moments(draw[0], &mean, &var);
    ck_assert_double_eq_tol(mean, 0.3, 4.5 * sqrt(0.21 / DRAWS));
    ck_assert_double_eq_tol(var, 0.21, 0.002);
}
END_TEST
START_TEST(test_multinomial) { /* probabilities 1, 2 and 5 eighths */
    double mean, var;
    run("  s: float32[1,3] = [0, 0.6931472, 1.6094379]\n  m: ? = Multinomial(s) {sample_size=1000000, seed=3}\n  y: ? = Cast(m) {to=1}",
        draw[0]);
    int count[3] = {0};
    for (int i = 0; i < DRAWS; i++) count[(int)draw[0][i]]++;
    ck_assert_double_eq_tol(count[0] / (double)DRAWS, 0.125, 0.0016);
    ck_assert_double_eq_tol(count[1] / (double)DRAWS, 0.25, 0.002);
    moments(draw[0], &mean, &var);
    ck_assert_double_eq_tol(mean, 1.5, 0.004);
}
END_TEST
START_TEST(test_dropout) { /* what is kept is doubled; the mean stays */
    double mean, var;
    run("  x: float32[1000,1000] = splat(1)\n  r: float32[] = [0.5]\n  t: bool[] = [true]\n  y: ? = Dropout(x, r, t)", draw[0]);
    moments(draw[0], &mean, &var);
    for (int i = 0; i < DRAWS; i++) ck_assert(draw[0][i] == 0 || draw[0][i] == 2);
    ck_assert_double_eq_tol(mean, 1, 0.0045);
}
END_TEST

Suite *random_suite(void);
Suite *random_suite(void) {
    Suite *s = suite_create("random");
    TCase *c = tcase_create("random");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, test_distribution, 0, 2);
    tcase_add_test(c, test_bernoulli);
    tcase_add_test(c, test_multinomial);
    tcase_add_test(c, test_dropout);
    suite_add_tcase(s, c);
    return s;
}
