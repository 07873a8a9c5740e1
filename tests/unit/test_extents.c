/* SPDX-License-Identifier: Apache-2.0 */
/* test_extents.c: extents that are known at run time. One program is run at several extents; results and their extents are compared with
 * what follows from the operator's definition.
 *
 *   y = Concat(Relu(x: float32[n<=4,3]), Relu(z: float32[m<=5,3]))    at n = 2, m = 3   --->   y: float32[5,3]
 */
#include "ir/extent.h"
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <check.h>
#include <math.h>
#include <string.h>

Suite *extents_suite(void);

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Program *p;
} Case;
/* Axis 0 of each input is a free dimension of the given bounds. */
static void case_open_for(Case *t, const char *text, int64_t lo, int64_t hi, const char *target) {
    t->a = arena_new();
    t->d = (Diags){.a = t->a};
    t->c = (Ctx){t->a, &t->d};
    Graph *g = graph_parse(&t->c, "t.qir", text);
    ck_assert_ptr_nonnull(g);
    for (int i = 0; i < g->in.n; i++) {
        Type *y = &g->in.v[i]->type;
        y->ext = NEW_ARRAY(g->a, Expr *, y->rank);
        y->ext[0] = extent_symbol(g, g->in.v[i]->name, lo, hi, g->in.v[i], 0);
        y->dim[0] = hi;
    }
    t->p = passes_run(&t->c, g, &(PassOptions){.verify = true, .target = target ? target_load(&t->c, target) : NULL});
    if (!t->p) diag_print_all(&t->d, false);
    ck_assert_ptr_nonnull(t->p);
}
static void case_open(Case *t, const char *text, int64_t lo, int64_t hi) { case_open_for(t, text, lo, hi, NULL); }
static void case_close(Case *t) { arena_free(t->a); }

START_TEST(test_concat) { /* its operands cannot be windows of the result: where they begin shows at run time */
    Case t;
    case_open(&t, "graph g(x: float32[4,3], z: float32[4,3]) -> (y)\n  a: ? = Relu(x)\n  b: ? = Relu(z)\n  y: ? = Concat(a, b) {axis=0}\n",
              1, 4);
    float x[12], z[12], y[24];
    for (int i = 0; i < 12; i++) x[i] = (float)(i + 1), z[i] = (float)(-5 + i);
    for (int64_t n = 1; n <= 4; n++)
        for (int64_t m = 1; m <= 4; m++) {
            int64_t out[2] = {0};
            ck_assert(program_interpret_dims(&t.c, t.p, (const void *[]){x, z}, (const int64_t *[]){(int64_t[]){n, 3}, (int64_t[]){m, 3}},
                                             (void *[]){y}, (int64_t *[]){out}));
            ck_assert_int_eq(out[0], n + m);
            for (int64_t i = 0; i < (n + m) * 3; i++) ck_assert_float_eq(y[i], i < n * 3 ? x[i] : z[i - n * 3] > 0 ? z[i - n * 3] : 0);
        }
    case_close(&t);
}
END_TEST
START_TEST(test_product) { /* rows in blocks, those left over in fours and one by one; columns that fill no panel */
    enum { MOST = 31, DEPTH = 21, COLS = 70 };
    static const char *const text = "graph g(x: float32[31,21]) -> (y)\n  w: float32[21,70] = rand(1)\n  b: float32[70] = rand(2)\n"
                                    "  p: ? = MatMul(x, w)\n  y: ? = Add(p, b)\n";
    static const char *const targets[] = {"x86_avx512", "x86_avx2"};
    float x[MOST * DEPTH], y[MOST * COLS], want[MOST * COLS];
    for (int i = 0; i < MOST * DEPTH; i++) x[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int k = 0; k < 2; k++) {
        Case t, plain;
        case_open_for(&t, text, 1, MOST, targets[k]);
        case_open(&plain, text, 1, MOST);
        bool panel = false;
        for (int i = 0; i < t.p->k.n; i++)
            for (int j = 0; j < t.p->k.v[i]->nodes.n; j++) panel |= strcmp(t.p->k.v[i]->nodes.v[j]->op->name, "MatMulPanel") == 0;
        ck_assert(panel);
        for (int64_t n = 1; n <= MOST; n++) {
            const int64_t *dims[] = {(int64_t[]){n, DEPTH}};
            ck_assert(program_interpret_dims(&plain.c, plain.p, (const void *[]){x}, dims, (void *[]){want}, NULL));
            ck_assert(program_interpret_dims(&t.c, t.p, (const void *[]){x}, dims, (void *[]){y}, NULL));
            for (int64_t i = 0; i < n * COLS; i++) ck_assert_msg(fabsf(y[i] - want[i]) < 1e-4f, "%d rows, element %d", (int)n, (int)i);
        }
        case_close(&t), case_close(&plain);
    }
}
END_TEST
START_TEST(test_bounds) { /* what is outside is refused before anything is written */
    Case t;
    case_open(&t, "graph g(x: float32[4]) -> (y)\n  y: ? = Neg(x)\n", 2, 4);
    float x[5] = {1, 2, 3, 4, 5}, y[5] = {9, 9, 9, 9, 9};
    for (int64_t n = 0; n <= 5; n++) {
        bool ok = program_interpret_dims(&t.c, t.p, (const void *[]){x}, (const int64_t *[]){&n}, (void *[]){y}, NULL);
        ck_assert_int_eq(ok, n >= 2 && n <= 4);
        if (n < 2) ck_assert_float_eq(y[0], 9);
    }
    ck_assert_float_eq(y[4], 9);
    case_close(&t);
}
END_TEST
START_TEST(test_nothing_to_repeat) { /* a border of an axis that turns out to have no elements */
    Case t;
    case_open(&t, "graph g(x: float32[4]) -> (y)\n  p: int64[2] = [2,3]\n  y: ? = Pad(x, p) {mode=\"reflect\"}\n", 0, 4);
    float x[4] = {1, 2, 3, 4}, y[9];
    for (int64_t n = 0; n <= 4; n++)
        ck_assert_int_eq(program_interpret_dims(&t.c, t.p, (const void *[]){x}, (const int64_t *[]){&n}, (void *[]){y}, NULL), n > 0);
    ck_assert(y[0] == 3 && y[1] == 2 && y[6] == 3 && y[8] == 1);
    case_close(&t);
}
END_TEST
START_TEST(test_nothing_to_sample) { /* an image that turns out to have no rows; [4] is the extent of a run */
    static const char *const texts[] = {
        "graph g(x: float32[4,1,2,2]) -> (y)\n  k: int64[4] = [1,2,2,9]\n  t: ? = Transpose(x) {perm=[1,2,3,0]}\n"
        "  y: ? = Resize(t, _, _, k) {mode=\"linear\"}\n",
        "graph g(x: float32[4,1,2,2]) -> (y)\n  r: float32[1,4] = [0,0,1,1]\n  i: int64[1] = [0]\n  t: ? = Transpose(x) {perm=[1,2,3,0]}\n"
        "  y: ? = RoiAlign(t, r, i) {output_height=2, output_width=2}\n"};
    float x[16] = {1}, y[64];
    for (int k = 0; k < 2; k++) {
        Case t;
        case_open(&t, texts[k], 0, 4);
        for (int64_t n = 0; n <= 4; n++) {
            const int64_t *dims[] = {(int64_t[]){n, 1, 2, 2}};
            ck_assert_int_eq(program_interpret_dims(&t.c, t.p, (const void *[]){x}, dims, (void *[]){y}, NULL), n > 0);
        }
        case_close(&t);
    }
}
END_TEST
START_TEST(test_count) { /* as long as the values say */
    Case t;
    case_open(&t, "graph g(x: float32[6]) -> (y, s)\n  y: ? = NonZero(x)\n  s: ? = Shape(y)\n", 1, 6);
    float x[6] = {0, 1, 0, 2, 3, 0};
    int64_t y[6], s[2];
    for (int64_t n = 1; n <= 6; n++) {
        int64_t dims[2] = {0}, count = 0;
        ck_assert(program_interpret_dims(&t.c, t.p, (const void *[]){x}, (const int64_t *[]){&n}, (void *[]){y, s},
                                         (int64_t *[]){dims, (int64_t[]){0}}));
        for (int64_t i = 0; i < n; i++)
            if (x[i] != 0) ck_assert_int_eq(y[count++], i);
        ck_assert_int_eq(dims[1], count);
        ck_assert_int_eq(s[1], count);
    }
    case_close(&t);
}
END_TEST
/* Strings one after the other in the packed form; returns where they end. */
static int64_t pack(int64_t *to, int64_t n, const char *const *s) {
    int64_t at = 8 * (n + 1);
    to[0] = at;
    for (int64_t i = 0; i < n; i++) {
        memcpy((char *)to + at, s[i], strlen(s[i]));
        to[i + 1] = at += (int64_t)strlen(s[i]);
    }
    return at;
}
START_TEST(test_strings) {
    static const char *const in[] = {"a-b", "", "-x-y", "tea"}, *const parts[] = {"a", "b", "", "", "x", "y", "tea"};
    static const int64_t many[] = {2, 1, 3, 1};
    Case t;
    case_open(&t,
              "graph g(x: string[4]) -> (p, n, r, j, f)\n  p: ?, n: ? = StringSplit(x) {delimiter=\"-\"}\n"
              "  r: ? = RegexFullMatch(x) {pattern=\"[a-z]*\"}\n  j: ? = StringConcat(x, x)\n"
              "  f: ? = TfIdfVectorizer(x) {max_gram_length=2, max_skip_count=1, min_gram_length=1, mode=\"TFIDF\", ngram_counts=[0,2], "
              "ngram_indexes=[2,0,1], pool_strings=[\"tea\", \"a-b\", \"a-b\", \"-x-y\"], weights=[1.0,2.0,0.5]}\n",
              1, 4);
    for (int64_t n = 1; n <= 4; n++) {
        static int64_t x[200], p[2000], j[2000], want[2000], lengths[4];
        uint8_t r[4];
        float f[3];
        int64_t dims[5][2] = {{0}}, at = pack(x, n, in), columns = n > 2 ? 3 : 2;
        ck_assert_int_gt(at, 0);
        ck_assert(program_interpret_dims(&t.c, t.p, (const void *[]){x}, (const int64_t *[]){&n}, (void *[]){p, lengths, r, j, f},
                                         (int64_t *[]){dims[0], dims[1], dims[2], dims[3], dims[4]}));
        ck_assert(dims[0][0] == n && dims[0][1] == columns && dims[1][0] == n && dims[2][0] == n && dims[3][0] == n && dims[4][0] == 3);
        const char *split[12], *twice[4], *doubled[] = {"a-ba-b", "", "-x-y-x-y", "teatea"};
        for (int64_t i = 0, k = 0; i < n; i++) {
            ck_assert_int_eq(lengths[i], many[i]);
            ck_assert_int_eq(r[i], i == 1 || i == 3);
            for (int64_t c = 0; c < columns; c++) split[i * columns + c] = c < many[i] ? parts[k++] : "";
            twice[i] = doubled[i];
        }
        int64_t bytes = pack(want, n * columns, split);
        ck_assert_int_eq(memcmp(p, want, (size_t)bytes), 0);
        bytes = pack(want, n, twice);
        ck_assert_int_eq(memcmp(j, want, (size_t)bytes), 0);
        ck_assert(f[0] == 1 && f[1] == (n > 2 ? 2 : 0) && f[2] == (n > 3 ? 0.5f : 0)); /* a-b -x-y with one between; weights by output */
    }
    case_close(&t);
}
END_TEST
START_TEST(test_stop_words) {
    static const char *const in[] = {"The", "end", "AND"}, *const left[] = {"END"}, *const none[] = {""};
    Case t;
    case_open(&t,
              "graph g(x: string[3]) -> (y)\n  y: ? = StringNormalizer(x) {case_change_action=\"UPPER\", stopwords=[\"the\", \"and\"]}\n",
              1, 3);
    for (int64_t n = 1; n <= 3; n++) {
        int64_t x[20], y[200], want[20], dim = 0;
        pack(x, n, in);
        ck_assert(program_interpret_dims(&t.c, t.p, (const void *[]){x}, (const int64_t *[]){&n}, (void *[]){y}, (int64_t *[]){&dim}));
        ck_assert_int_eq(dim, 1);
        ck_assert_int_eq(memcmp(y, want, (size_t)pack(want, 1, n > 1 ? left : none)), 0);
    }
    case_close(&t);
}
END_TEST

Suite *extents_suite(void) {
    Suite *s = suite_create("extents");
    TCase *c = tcase_create("run time");
    tcase_add_test(c, test_concat);
    tcase_add_test(c, test_product);
    tcase_add_test(c, test_bounds);
    tcase_add_test(c, test_nothing_to_repeat);
    tcase_add_test(c, test_nothing_to_sample);
    tcase_add_test(c, test_count);
    tcase_add_test(c, test_strings);
    tcase_add_test(c, test_stop_words);
    suite_add_tcase(s, c);
    return s;
}
