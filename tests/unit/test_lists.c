/* SPDX-License-Identifier: Apache-2.0 */
/* test_lists.c: values that are no tensors. Programs with sequences and optionals as inputs and outputs are run at all lengths and places
 * and compared with plain C; what is wrong is refused, when the program is made or when it runs.
 *
 *   t = SequenceInsert(s: seq[0..3](float32[2]), x, p)    s = (a, b), p = -1   --->   (a, x, b)
 */
#include "ir/list.h"
#include "passes/passes.h"
#include <check.h>
#include <string.h>

Suite *lists_suite(void);

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Program *p;
} Case;
static void case_read(Case *t, const char *text) {
    ops_init();
    t->a = arena_new();
    t->d = (Diags){.a = t->a};
    t->c = (Ctx){t->a, &t->d};
    Graph *g = graph_parse(&t->c, "t.qir", text);
    t->p = g ? passes_run(&t->c, g, &(PassOptions){.verify = true}) : NULL;
}
static void case_open(Case *t, const char *text) {
    case_read(t, text);
    if (!t->p) diag_print_all(&t->d, false);
    ck_assert_ptr_nonnull(t->p);
}
static void case_close(Case *t) { arena_free(t->a); }
static bool call(Case *t, const void *const *in, const int64_t *const *in_dims, void *const *out, int64_t *const *out_dims) {
    int errors = t->d.errors;
    bool ok = program_interpret_dims(&t->c, t->p, in, in_dims, out, out_dims);
    ck_assert_int_eq(ok, t->d.errors == errors);
    return ok;
}
/* n elements of two floats each, e and e + 0.5, as the interface has them. */
static void sequence(int n, const int *e, float *data, int64_t *dims) {
    dims[0] = n;
    for (int i = 0; i < n; i++) {
        dims[1 + 2 * i] = 1, dims[2 + 2 * i] = 2;
        data[4 * i] = (float)e[i], data[4 * i + 1] = (float)e[i] + 0.5f, data[4 * i + 2] = data[4 * i + 3] = 0;
    }
}
static void check_sequence(int n, const int *e, const float *data, const int64_t *dims) {
    float want[64];
    int64_t list[32];
    sequence(n, e, want, list);
    ck_assert_int_eq(memcmp(list, dims, (size_t)(1 + 2 * n) * sizeof *list), 0);
    if (n) ck_assert_int_eq(memcmp(want, data, (size_t)(4 * n - 2) * sizeof *want), 0);
}

START_TEST(test_places) {
    Case t;
    case_open(&t, "graph g(s: seq[0..3](float32[2]), x: float32[2], p: int64[]) -> (i, e, y, n)\n"
                  "  i: ? = SequenceInsert(s, x, p)\n"
                  "  e: ? = SequenceErase(i, p)\n"
                  "  y: ? = SequenceAt(i, p)\n"
                  "  n: ? = SequenceLength(i)\n");
    const int in[3] = {1, 2, 3};
    for (int n = 0; n <= 3; n++)
        for (int64_t p = -5; p <= 4; p++) {
            float data[12], x[2] = {9, 9.5f}, inserted[16], erased[12], y[2];
            int64_t dims[7], idims[9], edims[7], count;
            int k = p < 0 ? (int)p + n : (int)p, all[4], rest[3], at = p < 0 ? (int)p + n + 1 : (int)p;
            sequence(n, in, data, dims);
            bool ok = call(&t, (const void *[]){data, x, &p}, (const int64_t *[]){dims, (int64_t[]){2}, NULL},
                           (void *[]){inserted, erased, y, &count}, (int64_t *[]){idims, edims, (int64_t[]){0}, NULL});
            ck_assert_msg(ok == (k >= 0 && k <= n), "length %d, place %d: %d", n, (int)p, ok);
            if (!ok) continue;
            for (int j = 0; j <= n; j++) all[j] = j < k ? in[j] : j == k ? 9 : in[j - 1];
            for (int j = 0; j < n; j++) rest[j] = all[j < at ? j : j + 1];
            check_sequence(n + 1, all, inserted, idims);
            check_sequence(n, rest, erased, edims);
            ck_assert_float_eq(y[0], (float)all[at]);
            ck_assert_int_eq(count, n + 1);
        }
    case_close(&t);
}
END_TEST
START_TEST(test_ragged) { /* elements of other extents in each call, glued together again */
    Case t;
    case_open(&t, "graph g(s: seq[1..3](int32[0..4])) -> (y, t)\n"
                  "  y: ? = ConcatFromSequence(s) {axis=0}\n"
                  "  k: int64[] = [0]\n"
                  "  r: ? = SequenceErase(s, k)\n"
                  "  t: ? = Identity(r)\n");
    for (int64_t n = 1; n <= 3; n++)
        for (int64_t m = 0; m <= 4; m++) {
            int32_t data[12] = {0}, y[12];
            int64_t dims[7] = {n}, ydims = 0, tdims[7];
            char rest[64];
            int total = 0;
            for (int64_t i = 0, at = 0; i < n; i++) {
                int64_t extent = (m + i) % 5;
                dims[1 + 2 * i] = 1, dims[2 + 2 * i] = extent;
                for (int64_t k = 0; k < extent; k++) data[at + k] = ++total;
                at += (extent + 3) / 4 * 4;
            }
            ck_assert(call(&t, (const void *[]){data}, (const int64_t *[]){dims}, (void *[]){y, rest}, (int64_t *[]){&ydims, tdims}));
            ck_assert_int_eq(ydims, total);
            for (int i = 0; i < total; i++) ck_assert_int_eq(y[i], i + 1);
            ck_assert_int_eq(tdims[0], n - 1);
            for (int64_t i = 1; i < n; i++) ck_assert_int_eq(tdims[2 * i], dims[2 + 2 * i]);
        }
    case_close(&t);
}
END_TEST
START_TEST(test_optional) {
    Case t;
    case_open(&t, "graph g(o: optional(float32[1..2])) -> (has, z)\n"
                  "  has: ? = OptionalHasElement(o)\n"
                  "  z: ? = Identity(o)\n");
    float data[2] = {3, 4}, z[2];
    uint8_t has = 9;
    int64_t zd[3] = {9, 9, 9};
    ck_assert(call(&t, (const void *[]){data}, (const int64_t *[]){(int64_t[]){1, 1, 2}}, (void *[]){&has, z}, (int64_t *[]){NULL, zd}));
    ck_assert(has == 1 && zd[0] == 1 && zd[1] == 1 && zd[2] == 2 && z[1] == 4);
    ck_assert(call(&t, (const void *[]){NULL}, (const int64_t *[]){(int64_t[]){0}}, (void *[]){&has, z}, (int64_t *[]){NULL, zd}));
    ck_assert(has == 0 && zd[0] == 0);
    case_close(&t);
    case_open(
        &t,
        "graph g(o: optional(seq[2](int8[3]))) -> (y)\n  s: ? = OptionalGetElement(o)\n  k: int64[] = [-1]\n  y: ? = SequenceAt(s, k)\n");
    int8_t bytes[19] = {1, 2, 3, [16] = 4, 5, 6}, y[3];
    ck_assert(call(&t, (const void *[]){bytes}, (const int64_t *[]){(int64_t[]){1, 2, 1, 3, 1, 3}}, (void *[]){y}, NULL));
    ck_assert(y[0] == 4 && y[2] == 6);
    ck_assert(!call(&t, (const void *[]){bytes}, (const int64_t *[]){(int64_t[]){0}}, (void *[]){y}, NULL)); /* nothing to get */
    case_close(&t);
}
END_TEST
START_TEST(test_lists_refused) { /* dims lists that do not say what was compiled for */
    static const int64_t bad[][8] = {
        {4, 1, 2, 1, 2, 1, 2},   /* one element too many */
        {-1},                    /* less than nothing */
        {1, 2, 2, 2},            /* another rank */
        {2, 1, 2, 1, 3},         /* another extent */
        {INT64_MAX, 1, 2, 1, 2}, /* absurd */
        {1, INT64_MIN, 2},
        {1, 1, -2},
    };
    Case t;
    float data[16] = {0}, y[16];
    int64_t yd[8];
    case_open(&t, "graph g(s: seq[0..3](float32[2])) -> (y)\n  y: ? = Identity(s)\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!call(&t, (const void *[]){data}, (const int64_t *[]){bad[i]}, (void *[]){y}, (int64_t *[]){yd}), "list %zu", i);
    ck_assert(!call(&t, (const void *[]){data}, NULL, (void *[]){y}, (int64_t *[]){yd}));
    ck_assert(call(&t, (const void *[]){data}, (const int64_t *[]){(int64_t[]){0}}, (void *[]){y}, (int64_t *[]){yd}));
    ck_assert_int_eq(yd[0], 0);
    ck_assert(!call(&t, (const void *[]){NULL}, (const int64_t *[]){(int64_t[]){1, 1, 2}}, (void *[]){y}, (int64_t *[]){yd}));
    ck_assert(
        call(&t, (const void *[]){NULL}, (const int64_t *[]){(int64_t[]){0}}, (void *[]){y}, (int64_t *[]){yd})); /* no bytes needed */
    case_close(&t);
}
END_TEST
START_TEST(test_strings_refused) { /* offsets that lead out of an input's strings */
    static const int64_t bad[][4] = {{24, 24, 1 << 20}, {24, 24, -1}, {24, 25, 8}, {INT64_MAX, INT64_MAX, INT64_MAX}, {24, 30, 26}};
    Case t;
    case_open(&t, "graph g(s: seq[2](string[2])) -> (y)\n  k: int64[] = [1]\n  y: ? = SequenceAt(s, k)\n");
    char data[2000] = {0}, y[2000];
    const int64_t ok[3] = {24, 25, 26}, dims[5] = {2, 1, 2, 1, 2};
    for (int i = -1; i < 5; i++)
        for (int k = 0; k < 2; k++) {
            memcpy(data, i >= 0 && k == 0 ? bad[i] : ok, 24), memcpy(data + 24, "ab", 2);
            memcpy(data + 32, i >= 0 && k == 1 ? bad[i] : ok, 24), memcpy(data + 56, "cd", 2);
            bool fine = call(&t, (const void *[]){data}, (const int64_t *[]){dims}, (void *[]){y}, (int64_t *[]){(int64_t[]){0}});
            if (i < 0) ck_assert(fine && memcmp(y + 24, "cd", 2) == 0);
            else if (k == 1 || bad[i][2] > 600 || bad[i][2] < 24) ck_assert_msg(!fine, "offsets %d of tensor %d", i, k);
        }
    case_close(&t);
}
END_TEST

static const struct {
    const char *text, *error;
} wrong[] = {
    {"graph g(x: float32[2]) -> (y)\n  s: ? = SequenceConstruct(x, x)\n  y: ? = Relu(s)\n", "takes tensors"},
    {"graph g(x: float32[2]) -> (y)\n  k: int64[] = [2]\n  s: ? = SequenceConstruct(x, x)\n  y: ? = SequenceAt(s, k)\n",
     "position 2 is outside"},
    {"graph g(x: float32[2]) -> (y)\n  k: int64[] = [-3]\n  s: ? = SequenceConstruct(x, x)\n  y: ? = SequenceAt(s, k)\n",
     "position -3 is outside"},
    {"graph g(x: float32[2], z: int32[2]) -> (y)\n  s: ? = SequenceConstruct(x, z)\n  y: ? = SequenceLength(s)\n",
     "not of element type float32"},
    {"graph g(x: int32[2]) -> (y)\n  s: ? = SequenceEmpty()\n  t: ? = SequenceInsert(s, x)\n  y: ? = SequenceLength(t)\n",
     "the sequence holds float32"},
    {"graph g(p: int64[]) -> (y)\n  s: ? = SequenceEmpty()\n  y: ? = SequenceAt(s, p)\n", "empty"},
    {"graph g(p: int64[]) -> (y)\n  s: ? = SequenceEmpty()\n  y: ? = SequenceErase(s)\n", "empty"},
    {"graph g(p: int64[]) -> (y)\n  s: ? = SequenceEmpty()\n  y: ? = ConcatFromSequence(s) {axis=0}\n", "empty"},
    {"graph g(x: float32[2]) -> (y)\n  s: ? = SequenceConstruct(x)\n  y: ? = ConcatFromSequence(s) {axis=2, new_axis=1}\n", "axis 2"},
    {"graph g(x: float32[2], z: float32[1,2]) -> (y)\n  s: ? = SequenceConstruct(x, z)\n  y: ? = ConcatFromSequence(s) {axis=0}\n",
     "rank 2"},
    {"graph g(x: float32[2]) -> (y)\n  k: int64[] = [0]\n  y: ? = SequenceAt(x, k)\n", "a sequence of tensors is expected"},
    {"graph g(x: float32[6]) -> (y)\n  k: int64[2] = [2, 3]\n  s: ? = SplitToSequence(x, k)\n  y: ? = SequenceLength(s)\n",
     "5 elements together"},
    {"graph g(x: float32[6]) -> (y)\n  k: int64[2] = [-1, 7]\n  s: ? = SplitToSequence(x, k)\n  y: ? = SequenceLength(s)\n", "negative"},
    {"graph g(x: float32[6]) -> (y)\n  k: int64[] = [0]\n  s: ? = SplitToSequence(x, k)\n  y: ? = SequenceLength(s)\n", "less than one"},
    {"graph g(x: float32[6]) -> (y)\n  s: ? = SplitToSequence(x) {axis=1}\n  y: ? = SequenceLength(s)\n", "axis 1"},
    {"graph g(x: float32[9000]) -> (y)\n  s: ? = SplitToSequence(x)\n  y: ? = SequenceLength(s)\n", "at most 4096"},
    {"graph g(x: float32[2]) -> (y)\n  o: ? = Optional()\n  y: ? = OptionalGetElement(o)\n", "has no element"},
    {"graph g(s: seq(float32[2])) -> (y)\n  y: ? = SequenceLength(s)\n", "bind its length"},
    {"graph g(s: seq[2](seq[2](float32[2]))) -> (y)\n  y: ? = SequenceLength(s)\n", "inside others"},
    {"graph g(s: seq[2](float32[3037000500,3037000500])) -> (y)\n  y: ? = SequenceLength(s)\n", "size"},
    {"graph g(s: seq[4](float32[1099511627776,65536])) -> (y)\n  y: ? = SequenceLength(s)\n", ""},
    {"graph g(x: float32[2,3]) -> (y)\n  y: ? = \"ai.onnx.ml\"::ZipMap(x) {classlabels_int64s=[1,2]}\n", "3 columns; 2 are expected"},
    {"graph g(x: float32[2,3]) -> (y)\n  y: ? = \"ai.onnx.ml\"::ZipMap(x)\n", "labels are expected in one of"},
    {"graph g(x: float32[2,3]) -> (y)\n  y: ? = \"ai.onnx.ml\"::DictVectorizer(x) {int64_vocabulary=[1]}\n", "to be a map"},
    {"graph g(m: map[3](int64, float32[])) -> (y)\n  y: ? = \"ai.onnx.ml\"::DictVectorizer(m) {string_vocabulary=[\"a\"]}\n",
     "keys of the map are int64"},
    {"graph g(m: map[3](int64, float32[])) -> (y)\n  y: ? = \"ai.onnx.ml\"::CastMap(m) {cast_to=\"TO_BOOL\"}\n", "cast_to is 'TO_BOOL'"},
    {"graph g(m: map[3](int64, float32[])) -> (y)\n  y: ? = \"ai.onnx.ml\"::CastMap(m) {map_form=\"SPARSE\", max_map=0}\n", "max_map is 0"},
    {"graph g(m: map[3](float32, float32[])) -> (y)\n  y: ? = Identity(m)\n", "keys are integers or strings"},
};
START_TEST(test_wrong) {
    Case t;
    case_read(&t, wrong[_i].text);
    ck_assert_ptr_null(t.p);
    bool found = false;
    Text all = {0};
    for (int i = 0; i < t.d.list.n; i++) diag_format(&t.d.list.v[i], &all), found |= strstr(t.d.list.v[i].text, wrong[_i].error) != NULL;
    ck_assert_msg(found, "case %d: '%s' is expected in: %s", _i, wrong[_i].error, all.s ? all.s : "nothing");
    text_free(&all);
    case_close(&t);
}
END_TEST
START_TEST(test_cast_map_keys) { /* a key that is no column ends the run */
    Case t;
    case_open(&t, "graph g(m: map[2](int64, float32[])) -> (y)\n"
                  "  y: ? = \"ai.onnx.ml\"::CastMap(m) {map_form=\"SPARSE\", max_map=4}\n");
    struct {
        int64_t keys[2];
        float values[2];
    } m = {{3, 0}, {5, 6}};
    float y[4];
    const int64_t dims[1] = {2};
    ck_assert(call(&t, (const void *[]){&m}, (const int64_t *[]){dims}, (void *[]){y}, NULL));
    ck_assert(y[0] == 6 && y[1] == 0 && y[3] == 5);
    m.keys[0] = 4;
    ck_assert(!call(&t, (const void *[]){&m}, (const int64_t *[]){dims}, (void *[]){y}, NULL));
    m.keys[0] = -1;
    ck_assert(!call(&t, (const void *[]){&m}, (const int64_t *[]){dims}, (void *[]){y}, NULL));
    case_close(&t);
}
END_TEST
START_TEST(test_types_as_text) {
    static const char *const types[] = {"seq(float32[2,?])",
                                        "seq[3](int64[..])",
                                        "seq[0..4](float32[1..8,3])",
                                        "optional(seq[2](string[1]))",
                                        "map[2](string, float32[])",
                                        "seq[2](map[3](int64, float32[]))",
                                        "seq[2](float32[1], float32[2,2])",
                                        "optional(float16[])"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        Case t = {.a = arena_new()};
        t.d = (Diags){.a = t.a}, t.c = (Ctx){t.a, &t.d};
        const char *text = arena_printf(t.a, "graph g(x: %s) -> (y)\n  y: %s = Identity(x)\n", types[i], types[i]);
        Graph *g = graph_parse(&t.c, "t.qir", text);
        if (!g) diag_print_all(&t.d, false);
        ck_assert_ptr_nonnull(g);
        Text out = {0};
        graph_print(g, &out);
        ck_assert_str_eq(out.s, text);
        text_free(&out);
        arena_free(t.a);
    }
}
END_TEST

Suite *lists_suite(void) {
    Suite *s = suite_create("lists");
    TCase *t = tcase_create("lists");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_places);
    tcase_add_test(t, test_ragged);
    tcase_add_test(t, test_optional);
    tcase_add_test(t, test_lists_refused);
    tcase_add_test(t, test_strings_refused);
    tcase_add_loop_test(t, test_wrong, 0, (int)(sizeof wrong / sizeof *wrong));
    tcase_add_test(t, test_cast_map_keys);
    tcase_add_test(t, test_types_as_text);
    suite_add_tcase(s, t);
    return s;
}
