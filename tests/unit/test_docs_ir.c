/* SPDX-License-Identifier: Apache-2.0 */
/* test_docs_ir.c: docs/ir.md tells the truth: each ```qir block parses, verifies and prints the same again, the kernel shown is
 * what the graph shown lowers to, every word of the loop language is mentioned, and
 * arithmetic is as it says. */
#include "ir/loop_text.h"
#include "passes/passes.h"
#include <check.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    char *doc;
} Case;
static void case_open(Case *t) {
    size_t n;
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
    ops_init();
    char *bytes = file_read_whole(&t->c, QUERN_SOURCE_DIR "/docs/ir.md", 1 << 20, &n);
    ck_assert_ptr_nonnull(bytes);
    t->doc = arena_strndup(t->a, bytes, n);
}
static void case_close(Case *t) { arena_free(t->a); }
static const char *taken(Case *t, Text *text) { /* into the arena */
    const char *s = arena_strndup(t->a, text->s, text->n);
    text_free(text);
    return s;
}
static void no_errors(Case *t, const char *block) {
    if (!t->d.errors) return;
    Text said = {0};
    diag_format(&t->d.list.v[0], &said);
    ck_abort_msg("docs/ir.md: %s in\n%s", taken(t, &said), block);
}
static const char *print_graph(Case *t, const Graph *g) {
    Text out = {0};
    graph_print(g, &out);
    return taken(t, &out);
}
static const char *print_func(Case *t, const Func *f) {
    Text out = {0};
    func_print(f, &out);
    return taken(t, &out);
}
/* The block behind the k-th ```qir, or NULL. */
static const char *block_at(Case *t, int k) {
    static const char fence[] = "\n```qir\n";
    const char *s = t->doc;
    for (int i = 0; s && i <= k; i++) {
        s = strstr(s, fence);
        if (s) s += strlen(fence);
    }
    return s ? arena_strndup(t->a, s, (size_t)(strstr(s, "\n```\n") + 1 - s)) : NULL;
}
static Graph *read_graph(Case *t, const char *text) {
    Graph *g = graph_parse(&t->c, "ir.md", text);
    no_errors(t, text);
    return g;
}
static Func *read_func(Case *t, const char *text) {
    Func *f = func_parse(&t->c, "ir.md", text);
    no_errors(t, text);
    return f;
}

START_TEST(test_examples) {
    Case t;
    case_open(&t);
    int graphs = 0, funcs = 0;
    const char *text;
    for (int k = 0; (text = block_at(&t, k)); k++) {
        if (strncmp(text, "graph ", 6) == 0) {
            Graph *g = read_graph(&t, text);
            graph_verify(&t.c, g, true);
            no_errors(&t, text);
            const char *out = print_graph(&t, g);
            ck_assert_str_eq(print_graph(&t, read_graph(&t, out)), out);
            graphs++;
        } else {
            ck_assert_msg(strncmp(text, "func ", 5) == 0, "a block starts neither with graph nor with func:\n%s", text);
            Func *f = read_func(&t, text);
            func_verify(&t.c, f);
            no_errors(&t, text);
            const char *out = print_func(&t, f);
            ck_assert_str_eq(print_func(&t, read_func(&t, out)), out);
            funcs++;
        }
    }
    ck_assert_int_ge(graphs, 2);
    ck_assert_int_ge(funcs, 2);
    case_close(&t);
}
END_TEST

/* "The kernel above after lowering": the first function is what the first graph becomes, but for the comment. */
START_TEST(test_lowering) {
    Case t;
    case_open(&t);
    Graph *g = read_graph(&t, block_at(&t, 0));
    PassOptions o = {.list = "fold,fuse,lower,plan", .verify = true};
    Program *p = passes_run(&t.c, g, &o);
    no_errors(&t, "the first graph");
    ck_assert_int_eq(p->k.n, 1);
    Func *shown = read_func(&t, block_at(&t, 2)), *made = p->k.v[0]->f;
    shown->comment = made->comment = NULL;
    ck_assert_str_eq(print_func(&t, shown), print_func(&t, made));
    case_close(&t);
}
END_TEST

/* "What arithmetic is", interpreted. The values follow from the sentences there, by hand; z is -2, -1, 0, 1. */
static const char arithmetic[] = "func f(x: float32[4], z: int32[4]) -> writes y: float32[6], writes m: int32[14], writes n: int64[3]\n"
                                 "  m[0] = z[0] / z[2]\n"
                                 "  m[1] = z[0] % z[2]\n"
                                 "  m[2] = (z[0] - 2147483646) / z[1]\n"
                                 "  m[3] = z[3] * -7 % 3\n"
                                 "  m[4] = z[3] * -7 / 2\n"
                                 "  m[5] = z[0] >> z[3] + 31\n"
                                 "  m[6] = z[3] << z[3] + 31\n"
                                 "  m[7] = z[3] + 2147483647\n"
                                 "  m[8] = int32(x[1] * 1e20)\n"
                                 "  m[9] = int32(x[1] * -1e20)\n"
                                 "  m[10] = int32(x[0] / x[0])\n"
                                 "  m[11] = int32(int8(x[3] * 100))\n"
                                 "  m[12] = int32(uint8(x[3] * -5))\n"
                                 "  m[13] = int32(x[3] * -0.9)\n"
                                 "  n[0] = int64(x[3] * 1e30)\n"
                                 "  n[1] = int64(isnan(min(x[0] / x[0], 1.0)) && isnan(max(x[0] / x[0], 1.0)))\n"
                                 "  n[2] = int64(min(1.0 * x[1], nan) == 1.0 && max(1.0 * x[1], nan) == 1.0)\n"
                                 "  for i in 0..6\n"
                                 "    y[i] = select(i < 4, x[i], 7.0)\n"
                                 "    if i < 4 && x[i] == 1.0\n"
                                 "      y[i] = float16(2049.0)\n";
START_TEST(test_arithmetic) {
    Case t;
    case_open(&t);
    float x[4] = {0, 1, 2, 3}, y[6];
    int32_t z[4] = {-2, -1, 0, 1}, m[14];
    int64_t n[3];
    const Func *f = read_func(&t, arithmetic);
    ck_assert(func_verify(&t.c, f));
    ck_assert(interp_run(&t.c, f, (void *[]){x, z, y, m, n}, NULL));
    static const int32_t m_is[14] = {0, 0, INT32_MIN, -1, -3, -1, 0, INT32_MIN, INT32_MAX, INT32_MIN, 0, 127, 0, -2};
    static const float y_is[6] = {0, 2048, 2, 3, 7, 7};
    for (int i = 0; i < 14; i++) ck_assert_msg(m[i] == m_is[i], "m[%d] is %d, expected %d", i, m[i], m_is[i]);
    for (int i = 0; i < 6; i++) ck_assert_msg(y[i] == y_is[i], "y[%d] is %g, expected %g", i, (double)y[i], (double)y_is[i]);
    ck_assert_int_eq(n[0], INT64_MAX);
    ck_assert_int_eq(n[1], 1);
    ck_assert_int_eq(n[2], 1);
    case_close(&t);
}
END_TEST

static void mentions(const Case *t, const char *word) {
    ck_assert_msg(strstr(t->doc, word) != NULL, "docs/ir.md does not mention '%s'", word);
}
START_TEST(test_words) {
    Case t;
    case_open(&t);
    for (int i = 0; i < CALL_COUNT; i++) mentions(&t, call_info[i].name);
    for (int i = 0; i <= BIN_LOR; i++) mentions(&t, bin_text[i].text);
    for (int i = MEM_SCRATCH; i <= MEM_PAD; i++) mentions(&t, space_text[i]);
    for (int i = LOOP_PAR; i <= LOOP_UNROLL; i++) mentions(&t, mode_text[i]);
    for (int i = 0; i <= RED_XOR; i++)
        if (i != RED_OR) mentions(&t, red_text[i]); /* |= is escaped in a table */
    case_close(&t);
}
END_TEST

Suite *docs_ir_suite(void) {
    Suite *s = suite_create("docs_ir");
    TCase *c = tcase_create("docs_ir");
    tcase_add_test(c, test_examples);
    tcase_add_test(c, test_lowering);
    tcase_add_test(c, test_words);
    tcase_add_test(c, test_arithmetic);
    suite_add_tcase(s, c);
    return s;
}
