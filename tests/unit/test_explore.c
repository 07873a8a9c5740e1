/* SPDX-License-Identifier: Apache-2.0 */
/* test_explore.c: quern explore as its users call it: the reference cases of Timeloop (the small copies of tests/data/timeloop, and all
 * of $QUERN_SHARED/reference/timeloop where it is), forms of mappings, messages for bad input. */
#include "cli/cli.h"
#include "codegen/target_yaml.h"
#include "passes/explore.h"
#include "folder.h"
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA QUERN_SOURCE_DIR "/tests/data/timeloop/"
static char dir[64];
static void setup(void) { test_folder(dir, sizeof dir); }
static void teardown(void) { remove_dir(dir); }
/* Exit status; `out` gets the end of what was printed: on both streams, with --json on stdout alone. */
static int quern(char *out, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int quern(char *out, size_t cap, const char *fmt, ...) {
    char cmd[2000], args[1500], line[1 << 16];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof args, fmt, ap);
    va_end(ap);
    snprintf(cmd, sizeof cmd, "%s explore %s 2>%s", QUERN_BINARY, args, strstr(args, "--json") ? "/dev/null" : "&1");
    FILE *f = popen(cmd, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = 0;
    for (size_t k; (k = fread(line, 1, sizeof line, f)) > 0;) {
        size_t take = k < cap - 1 ? k : cap - 1;
        if (n + take > cap - 1) memmove(out, out + (n + take - (cap - 1)), cap - 1 - take), n = cap - 1 - take;
        memcpy(out + n, line + k - take, take);
        n += take;
    }
    out[n] = 0;
    int status = pclose(f);
    ck_assert_msg(WIFEXITED(status), "%s", cmd);
    return WEXITSTATUS(status);
}
static const char *file(const char *name, const char *text) {
    static char path[8][200];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, 200, "%s/%s", dir, name);
    FILE *f = fopen(p, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    return p;
}

START_TEST(test_reference) {
    char out[4096], shared[600];
    int status = quern(out, sizeof out, "--check " DATA "small_mappings.json --check " DATA "fixed_mappings.json");
    ck_assert_msg(status == 0 && strstr(out, " passed, 0 failed"), "%s", out);
    const char *root = getenv("QUERN_SHARED");
    if (!root) root = QUERN_SOURCE_DIR "/../shared";
    snprintf(shared, sizeof shared, "%s/reference/timeloop/mapper_best.json", root);
    if (access(shared, R_OK) != 0) return;
    snprintf(shared, sizeof shared, "%s/reference/timeloop", root);
    status = quern(out, sizeof out, "--check %s/small_mappings.json --check %s/fixed_mappings.json --check %s/mapper_best.json", shared,
                   shared, shared);
    ck_assert_msg(status == 0 && strstr(out, "54 passed, 0 failed"), "%s", out);
}
END_TEST
START_TEST(test_check_finds_a_difference) {
    char out[4096];
    const char *bad =
        file("bad.json", "[{\"case\": \"a\", \"layer\": {\"M\": 4}, \"arch\": \"single_pe\", \"mapping\": [{\"level\": \"DRAM\", "
                         "\"temporal_outer_to_inner\": [[\"M\", 4]]}], \"expected\": {\"cycles\": 5}}]");
    ck_assert_int_eq(quern(out, sizeof out, "--check %s --arch " DATA "architectures.json", bad), 1);
    ck_assert_msg(strstr(out, "a: cycles is 4, expected 5\n0 passed, 1 failed"), "%s", out);
}
END_TEST

static json_t *one(const char *layer, const char *machine, const char *mapping, int want) {
    static char out[1 << 18];
    int status = quern(out, sizeof out, "%s --arch " DATA "architectures.json#%s --mapping %s --json", file("layer.yaml", layer), machine,
                       file("mapping.txt", mapping));
    ck_assert_msg(status == want, "status %d: %s", status, out);
    json_t *j = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
    if (want == 0) ck_assert_msg(j != NULL, "%s", out);
    return j;
}
static long long at(const json_t *j, const char *path) {
    char part[64];
    for (; *path; path += *path == '.') {
        size_t n = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        j = json_object_get(j, part), path += n;
    }
    ck_assert_msg(json_is_number(j), "no number");
    return (long long)json_number_value(j);
}
static const char conv3[] = "name: c3\nM: 384\nC: 256\nE: 13\nF: 13\nR: 3\nS: 3\n";
START_TEST(test_forms_agree) {
    const char *line = "DRAM[M6 C16] SPM[M4 R3 S3] Acc[E13 F13 | C16y M16x] WReg[]\n";
    json_t *a = one(conv3, "ws_16x16", line, 0);
    json_t *b = one(conv3, "ws_16x16", "DRAM: for M 6, C 16\nSPM: for M 4, R 3, S 3\nAcc: for E 13, F 13; spread C 16 y, M 16 x\n", 0);
    json_t *d =
        one(conv3, "ws_16x16",
            "- level: DRAM\n  temporal_outer_to_inner: [[M, 6], [C, 16]]\n- level: SPM\n  temporal_outer_to_inner: [[M, 4], [R, 3], "
            "[S, 3]]\n- level: Acc\n  temporal_outer_to_inner: [[E, 13], [F, 13]]\n  spatial: [[C, 16, Y], [M, 16, X]]\n",
            0);
    ck_assert(json_equal(a, b) && json_equal(a, d));
    ck_assert_str_eq(json_string_value(json_object_get(a, "mapping_text")), "DRAM[M6 C16] SPM[M4 R3 S3] Acc[E13 F13 | C16y M16x] WReg[]");
    ck_assert_int_eq(at(a, "result.cycles"), 584064);
    /* weights stay in the PEs while the outermost loops stand still */
    ck_assert_int_eq(at(a, "result.dataflow.W.fills"), at(a, "result.dataflow.W.distinct"));
    ck_assert_int_eq(at(a, "result.dataflow.I.distinct"), 0);
    json_decref(a), json_decref(b), json_decref(d);
}
END_TEST
/* Eyeriss folds the 27 rows of AlexNet's second layer into 14 and 13: 135 PEs. Its first layer: 154 at most, 151.25 on average. */
START_TEST(test_ragged) {
    json_t *j = one("N: 4\nM: 256\nC: 48\nE: 27\nF: 27\nR: 5\nS: 5\n", "eyeriss_168",
                    "DRAM[N4 M4 C24] GLB[M4 F27 | E14x E2y~ R5y] SpadI[] SpadW[] SpadO[C2 S5 M16]", 0);
    ck_assert_int_eq(at(j, "result.pes_used"), 135);
    json_decref(j);
    j = one("N: 4\nM: 96\nC: 3\nE: 55\nF: 55\nR: 11\nS: 11\nU: 4\n", "eyeriss_168",
            "DRAM[N4 E8~ C3] GLB[M3 F55 | M2x E7x R11y] SpadI[] SpadW[] SpadO[S11 M16]", 0);
    ck_assert_int_eq(at(j, "result.pes_used"), 154);
    ck_assert(json_real_value(json_object_get(json_object_get(j, "result"), "pes_mean")) == 151.25);
    ck_assert_str_eq(json_string_value(json_object_get(j, "mapping_text")),
                     "DRAM[N4 E8~ C3] GLB[M3 F55 | M2x E7x R11y] SpadI[] SpadW[] SpadO[S11 M16]");
    json_decref(j);
}
END_TEST
START_TEST(test_violations) {
    json_t *j = one("M: 64\nC: 64\n", "single_pe", "DRAM[] GLB[] RF[M64 C64]", 1);
    const json_t *v = json_array_get(json_object_get(j, "violations"), 0);
    ck_assert(json_is_false(json_object_get(j, "legal")));
    ck_assert_str_eq(json_string_value(json_object_get(v, "level")), "GLB");
    ck_assert_int_eq(at(v, "need_words"), 64 * 64 + 64 + 64);
    ck_assert_int_eq(at(v, "capacity_words"), 4096);
    json_decref(j);
}
END_TEST
START_TEST(test_survey_counting) {
    char out[1 << 16];
    int status = quern(out, sizeof out, "%s --arch " DATA "architectures.json#rf512B_16x16 --mapping %s --counting survey --json",
                       file("l.yaml", conv3), file("m.txt", "DRAM[M6 C16] GLB[M4 E13 | C16y M16x] RF[F13 R3 S3]"));
    ck_assert_msg(status == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_int_eq(at(j, "result.energy_by_level.RF"), 4 * at(j, "result.energy_by_level.MAC"));
    json_decref(j);
}
END_TEST

static const struct {
    const char *layer, *mapping, *message;
} bad[] = {
    {"M: 8\n", "DRAM[M4]", "mapping.txt:1:1: error: the factors of M multiply to 4; its extent is 8"},
    {"M: 8\nC: 3\n", "DRAM[M8]\nGLB[C2]", "mapping.txt:2:1: error: the factors of C multiply to 2; its extent is 3"},
    {"M: 8\n", "DRAM: for M 2\n  RF: for M 2\n", "mapping.txt:1:1: error: the factors of M multiply to 4"},
    {"M: 64\nC: 64\n", "DRAM[]\n  GLB[] RF[M64 C64]",
     "mapping.txt:2:3: error: the tiles of level GLB need 4224 words; it has 4096, 128 too few"},
    {"M: 64\nC: 64\n", "DRAM:\nGLB:\n  RF: for M 64, C 64\n", "mapping.txt:3:3: error: the tiles of level RF need 4224 words; it has"},
    {"M: 64\nC: 64\n", "- level: DRAM\n- level: RF\n  temporal_outer_to_inner: [[M, 64], [C, 64]]\n",
     "mapping.txt:2:3: error: the tiles of level RF need 4224 words; it has"},
    {"M: 8\n", "DRAM[M5~] RF[M2]",
     "mapping.txt:1:1: error: the factors of M (together 10) do not cover its extent 8 exactly, or leave an iteration empty"},
    {"M: 8\n", "DRAM[M3~] RF[M2]", "do not cover its extent 8"},
    {"M: 99999999\n", "DRAM[M100000000~]", "at most 4194304"},
    {"M: 8\n", "DRAM[Q8]", "mapping.txt:1:6: error: found 'Q8]', expected a dim of the problem and its factor"},
    {"M: 8\n", "DRAM[M8 | C1]", "mapping.txt:1:11: error: found 'C1]', expected an axis x or y after the factor"},
    {"M: 8\n", "DRUM[M8]", "mapping.txt:1:1: error: found 'DRUM[M8]', expected a level of the target"},
    {"M: 8\n", "# by hand\nDRAM[M8] # all\n  GLB[X2]", "mapping.txt:3:7: error: found 'X2]'"},
    {"name: x\nlayer:\n  M: 8\n  E: two\n", "DRAM[M8]", "layer.yaml:4:6: error: E is"},
    {"M: 8\ndensity: {W: 3}\n", "DRAM[M8]", "layer.yaml:2:10: error: density is not"},
    {"M: 8\n", "- level: DRAM\n- level: GLB\n  spatial: 3\n", "mapping.txt:3:12: error: mapping[1]: spatial is 3"},
    {"name: q\ndims: {i: 4}\neinsum: O[i] += A[j]\n", "DRAM[i4]", "layer.yaml:3:9: error: in 'O[i] += A[j]'"},
    {"M: 8\n", "DRAM[M8", "expected a dim of the problem"},
    {"M: 8\n", "DRAM[M8] GLB[] GLB[]", "the levels once each"},
    {"M: 8\n", "GLB:Q[M8]", "expected an operand of the problem"},
    {"M: 8\n", "DRAM[| M8x]", "level DRAM spreads over 8 units along x; it has 1"},
    {"M: 8\n", "- level: DRAM\n  loops: []\n", "mapping.txt:2:3: error: mapping[0]: unknown key 'loops'"},
    {"M: 8\n", "- level: DRAM\n  spatial: [[M, 8]]\n", "expected [dim, factor, \"X\" or \"Y\"]"},
    {"M: 8\n", "- &a [*a]\n", "found an alias"},
    {"M: 0\n", "DRAM[M8]", "layer.yaml:1:4: error: M is 0, expected a whole number, at least 1"},
    {"M: x\n", "DRAM[M8]", "M is \"x\""},
    {"Mm: 4\n", "DRAM[M8]", "layer.yaml:1:1: error: unknown key 'Mm'"},
    {"[3]\n", "DRAM[M8]", "expected a layer"},
    {"{\"M\": 4,\n \"C\" 5}\n", "DRAM[M8]", "layer.yaml:2:6: error: "},
    {"M: 4\nM: 5\n", "DRAM[M8]", "a key for the second time"},
    {"kind: pool\nM: 4\n", "DRAM[M8]", "a layer of kind pool has neither M"},
    {"M: 1099511627776\nC: 1099511627776\n", "DRAM[M8]", "more than 2^50"},
};
START_TEST(test_bad_input) {
    char out[4096];
    const char *layer = file("layer.yaml", bad[_i].layer), *mapping = file("mapping.txt", bad[_i].mapping);
    int status = quern(out, sizeof out, "%s --arch " DATA "architectures.json#single_pe --mapping %s", layer, mapping);
    ck_assert_msg(status == 1 && strstr(out, bad[_i].message), "status %d, expected '%s', found: %s", status, bad[_i].message, out);
}
END_TEST
/* Cases one by one: each wrong one is named with its place, the others are scored; a broken end is found after what stands before it. */
static const struct {
    const char *text, *message;
} rows[] = {
    {"[{\"layer\": {\"M\": 4}, \"mapping\": \"DRAM[M4]\"},\n {\"case\": \"b\", \"layer\": {\"M\": 4},\n  \"mapping\": \"DRAM[M2]\"}]",
     "cases.json:3:14: error: case 'b': mapping: the factors of M multiply to 2; its extent is 4"},
    {"[{\"layer\": {\"M\": 4}, \"mapping\": \"DRAM[M4]\"}, 7]", "cases.json:1:46: error: case '1': expected an object"},
    {"[{\"layer\": {\"M\": 4}, \"mapping\": \"DRAM[M4]\"},\n {\"case\": \"b\", \"layer\": {\"M\": [\"]\", {}]}, \"mapping\": "
     "\"DRAM[M4]\"}]",
     "cases.json:2:31: error: case 'b': layer: M is [\"]\",{}], expected a whole number"},
    {"[{\"layer\": {\"M\": 4}, \"mapping\": \"DRAM[M4]\"}\n", "cases.json:2:1: error: found the end of the file, expected ',' or ']'"},
    {"[{\"layer\": {\"M\": 4}, \"mapping\": \"DRAM[M4]\"},\n {\"layer\": 4 4}]", "cases.json:2:14: error: '}' expected near '4'"},
    {"- {layer: {M: 4}, mapping: 'DRAM[M4]'}\n- {case: b, layer: {M: 4}, mapping: 'DRAM[M3]'}\n",
     "cases.json:2:37: error: case 'b': mapping: the factors of M multiply to 3"},
};
START_TEST(test_batch) {
    char out[4096];
    int status = quern(out, sizeof out, "--batch %s --arch " DATA "architectures.json#single_pe", file("cases.json", rows[_i].text));
    ck_assert_msg(status == 1 && strstr(out, rows[_i].message) && strstr(out, "energy 1933, 4 cycles"), "expected '%s', found: %s",
                  rows[_i].message, out);
}
END_TEST
static const char *const sweeps[][2] = {
    {"buffer=0..4", "found 'buffer=0..4', expected buffer=LOW..HIGH with bytes"},
    {"pe=8x8..16x4", "found 'pe=8x8..16x4', expected pe=LOW..HIGH with columns x rows"},
    {"buffer=1k..2k,GLB=4k", "buffer and GLB are the same parameter"},
    {"foo=1", "'foo' is no level inside the outermost of eyeriss"},
    {"buffer=4..8", "warning: --sweep: buffer=4 is left out: level GLB has 25 banks"},
};
START_TEST(test_bad_sweep) {
    char out[4096];
    int status = quern(out, sizeof out, "%s --target eyeriss --evals 100 --sweep %s", file("layer.yaml", "M: 8\n"), sweeps[_i][0]);
    ck_assert_msg(status == 1 && strstr(out, sweeps[_i][1]), "%s", out);
}
END_TEST
START_TEST(test_bad_machine) {
    char out[4096];
    const char *layer = file("l.yaml", "M: 8\n"), *m = file("m.txt", "DRAM[M8]");
    ck_assert_int_eq(quern(out, sizeof out, "%s --mapping %s --arch " DATA "architectures.json", layer, m), 1);
    ck_assert_msg(strstr(out, "several machines; expected FILE#NAME with one of eyeriss_168"), "%s", out);
    ck_assert_int_eq(quern(out, sizeof out, "%s --mapping %s --arch " DATA "architectures.json#nobody", layer, m), 1);
    ck_assert_msg(strstr(out, "no machine is called 'nobody'"), "%s", out);
    ck_assert_int_eq(quern(out, sizeof out, "%s --mapping %s", layer, m), 1);
    ck_assert_msg(strstr(out, "no machine was given"), "%s", out);
}
END_TEST

/* ---- search */
static Target *machine(Ctx *c, int n, const TargetLevel *levels) {
    Target *t = NEW(c->a, Target);
    t->name = "small", t->nlevel = n, t->mac_energy = 1;
    memcpy(t->level, levels, (size_t)n * sizeof *levels);
    ck_assert(target_check(c->d, NO_LOC, t));
    return t;
}
/* Every mapping of a problem onto two levels without an array: each factor of each dim inside, the rest outside in every order. */
static double best_of_all(const Problem *p, const Target *t, Objective o) {
    int64_t f[QN_MAX_DIMS];
    double best = INFINITY;
    for (int d = 0; d < p->ndim; d++) f[d] = 1;
    for (;;) {
        int perm[QN_MAX_DIMS], n = 0, c[QN_MAX_DIMS] = {0};
        for (int d = 0; d < p->ndim; d++)
            if (f[d] < p->extent[d]) perm[n++] = d;
        for (bool more = true; more;) {
            Mapping m = {.problem = p, .target = t};
            MappingCounts k;
            mapping_default_keep(&m);
            for (int i = 0; i < n; i++)
                m.level[0].temporal[m.level[0].ntemporal++] = (MapLoop){perm[i], p->extent[perm[i]] / f[perm[i]], 0, false};
            for (int d = 0; d < p->ndim; d++) m.level[1].temporal[m.level[1].ntemporal++] = (MapLoop){d, f[d], 0, false};
            if (mapping_legal(&m)) {
                mapping_counts(&m, &k);
                if (objective_value(o, &k) < best) best = objective_value(o, &k);
            }
            more = false; /* Heap's algorithm, without recursion */
            for (int i = 0; i < n && !more;) {
                if (c[i] >= i) {
                    c[i++] = 0;
                    continue;
                }
                int a = i % 2 ? c[i] : 0, swap = perm[a];
                perm[a] = perm[i], perm[i] = swap;
                c[i]++, more = true;
            }
        }
        int d = 0;
        for (; d < p->ndim; d++) {
            do f[d]++;
            while (f[d] <= p->extent[d] && p->extent[d] % f[d]);
            if (f[d] <= p->extent[d]) break;
            f[d] = 1;
        }
        if (d == p->ndim) return best;
    }
}
START_TEST(test_optimal) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    static const TargetLevel levels[] = {{.name = "DRAM",
                                          .kind = LEVEL_DRAM,
                                          .word_bits = 16,
                                          .keeps = ROLE_ALL,
                                          .fan_x = 1,
                                          .fan_y = 1,
                                          .read_energy = 200,
                                          .write_energy = 200},
                                         {.name = "RF",
                                          .kind = LEVEL_REGS,
                                          .words = 40,
                                          .word_bits = 16,
                                          .keeps = ROLE_ALL,
                                          .fan_x = 1,
                                          .fan_y = 1,
                                          .read_energy = 1,
                                          .write_energy = 1}};
    static const ConvShape shapes[] = {
        {.m = 4, .c = 6, .e = 4, .r = 3}, {.m = 2, .c = 2, .e = 4, .f = 6, .r = 3, .s = 2, .stride_e = 2}, {.n = 8, .m = 12, .c = 9}};
    const Target *t = machine(&c, 2, levels);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int o = 0; o < 3; o++) {
            const Problem *p = problem_conv(a, "small", &shapes[i]);
            SearchSpec spec = {.objective = (Objective)o, .evals = 4000000, .threads = 2};
            Mapping *m = NEW(a, Mapping);
            SearchResult r;
            ck_assert(mapping_search(p, t, &spec, m, &r));
            ck_assert_msg(r.optimal, "case %zu", i);
            double want = best_of_all(p, t, (Objective)o);
            ck_assert_msg(r.value == want, "case %zu, %s: %.10g, but %.10g is possible", i, objective_name[o], r.value, want);
        }
    arena_free(a);
}
END_TEST
/* Extents that suit the array badly: the search rounds them up, and its mapping is better than any in whole factors. */
START_TEST(test_ragged_is_found) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    const Target *t = target_load(&c, "eyeriss");
    const Problem *p =
        problem_conv(a, "c1", &(ConvShape){.n = 4, .m = 96, .c = 3, .e = 55, .f = 55, .r = 11, .s = 11, .stride_e = 4, .stride_f = 4});
    const Mapping *hand = mapping_parse_line(&c, "m", "DRAM[N4 E8~ C3] GLB[M3 F55 | E7x R11y M2x] SpadI[] SpadW[] SpadO[S11 M16]", p, t);
    SearchSpec spec = {.objective = OBJ_EDP, .evals = 300000, .threads = 2};
    Mapping *m = NEW(a, Mapping);
    MappingCounts n, k;
    SearchResult r;
    ck_assert(hand && mapping_search(p, t, &spec, m, &r) && mapping_legal(m) && mapping_ragged(m) && !r.optimal);
    mapping_counts(m, &n), mapping_counts(hand, &k);
    ck_assert(r.value == objective_value(OBJ_EDP, &n) && r.value < objective_value(OBJ_EDP, &k));
    arena_free(a);
}
END_TEST
/* Prime extents: no whole factor fits the array, ragged loops do. The best in whole factors is not called optimal then. */
START_TEST(test_primes) {
    char out[1 << 16];
    int status =
        quern(out, sizeof out, "%s --arch " DATA "architectures.json#rf512B_16x16 --evals 400000 --json", file("p.yaml", "M: 97\nC: 59\n"));
    ck_assert_msg(status == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_int_le(at(j, "result.cycles"), 32); /* of 5723; 7 * 4 with whole rows and columns */
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "search"), "status")), "best");
    json_decref(j);
}
END_TEST
START_TEST(test_own_dataflow) {
    char out[1 << 16];
    const char *flow = file("flow.yaml", "dataflows:\n  - {name: mine, spatial: [M], pe_keep: [W, O], innermost: F}\n");
    int status = quern(out, sizeof out, "%s --target survey_rs --dataflow %s#mine --evals 20000 --json",
                       file("l.yaml", "M: 64\nC: 32\nE: 14\nF: 14\nR: 3\nS: 3\n"), flow);
    ck_assert_msg(status == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL);
    const char *text = json_string_value(json_object_get(j, "mapping_text")), *bar = strchr(text, '|');
    ck_assert_msg(bar && strncmp(bar, "| M", 3) == 0 && strstr(text, "RF:W,O["), "%s", text);
    json_decref(j);
    ck_assert_int_eq(quern(out, sizeof out, "%s --target survey_rs --dataflow %s#nobody", file("l.yaml", "M: 64\n"), flow), 1);
    ck_assert_msg(strstr(out, "no dataflow is called 'nobody'; expected any, mine"), "%s", out);
}
END_TEST
START_TEST(test_threads_do_not_matter) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    const Target *t = target_load(&c, "eyeriss");
    const Problem *p = problem_conv(a, "c", &(ConvShape){.m = 96, .c = 48, .e = 27, .f = 27, .r = 5, .s = 5});
    Text first = {0};
    for (int threads = 1; threads <= 3; threads++) {
        SearchSpec spec = {.objective = OBJ_EDP, .evals = 30000, .threads = threads, .seed = 7};
        Mapping *m = NEW(a, Mapping);
        SearchResult r;
        Text text = {0};
        ck_assert(mapping_search(p, t, &spec, m, &r) && mapping_legal(m));
        mapping_print_line(m, &text);
        if (threads == 1) first = text;
        else {
            ck_assert_str_eq(text.s, first.s);
            text_free(&text);
        }
        ck_assert(r.value >= r.lower_bound);
    }
    text_free(&first);
    arena_free(a);
}
END_TEST
/* What each dataflow promises, on the machine made for it. */
static const struct {
    const char *flow, *target;
    unsigned keep;
    int stationary; /* tensor of problem_conv: W I O */
} flows[] = {{"ws", "survey_ws", ROLE_W, 0},   {"os", "survey_os", ROLE_O, 2},    {"os_a", "survey_os", ROLE_O, 2},
             {"os_b", "survey_os", ROLE_O, 2}, {"os_c", "survey_os", ROLE_O, 2},  {"is", "survey_is", ROLE_I, 1},
             {"nlr", "survey_nlr", 0, -1},     {"rs", "survey_rs", ROLE_ALL, -1}, {"rs", "eyeriss", ROLE_ALL, -1}};
START_TEST(test_dataflows) {
    char out[1 << 16];
    int status = quern(out, sizeof out, "%s --target %s --dataflow %s --evals 20000 --json",
                       file("l.yaml", "M: 64\nC: 32\nE: 14\nF: 14\nR: 3\nS: 3\n"), flows[_i].target, flows[_i].flow);
    ck_assert_msg(status == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL), *result = json_object_get(j, "result");
    static const char *const name[] = {"W", "I", "O"};
    for (int t = 0; t < 3; t++) {
        const json_t *x = json_object_get(json_object_get(result, "dataflow"), name[t]);
        if (!(flows[_i].keep >> t & 1)) ck_assert_int_eq(at(x, "fills"), 0);
        if (flows[_i].stationary == t) ck_assert(at(x, "fills") == at(x, "distinct") && at(x, "distinct") > 0);
    }
    const char *text = json_string_value(json_object_get(j, "mapping_text"));
    if (strcmp(flows[_i].flow, "rs") == 0) ck_assert_msg(strstr(text, "R3x") || strstr(text, "R3y"), "%s", text);
    json_decref(j);
}
END_TEST
START_TEST(test_beats_given_mappings) {
    char out[8192];
    int status = quern(out, sizeof out, "--beat " DATA "small_mappings.json --evals 20000");
    ck_assert_msg(status == 0 && strstr(out, ", 0 worse"), "%s", out);
}
END_TEST
START_TEST(test_model) {
    char out[1 << 18];
    const char *page = file("page.html", "");
    int status =
        quern(out, sizeof out,
              QUERN_SOURCE_DIR
              "/tests/data/networks/alexnet_survey.onnx --target survey_rs --dataflow rs --images 16 --evals 20000 --json --html %s",
              page);
    ck_assert_msg(status == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "layers")), 8);
    ck_assert_int_eq(at(j, "total.macs"), 16 * 724406816ll);
    /* the survey's ALU energies per layer at batch 16, in units of 10^7 */
    static const int alu[] = {169, 358, 239, 179, 120, 60, 27, 7};
    for (size_t i = 0; i < 8; i++) {
        const json_t *l = json_array_get(json_object_get(j, "layers"), i);
        ck_assert_int_eq((at(l, "result.energy_by_level.MAC") + 5000000) / 10000000, alu[i]);
    }
    json_decref(j);
    ck_assert_int_eq(quern(out, sizeof out, "--json x.onnx --target eyeriss"), 1);
    status = quern(out, sizeof out,
                   QUERN_SOURCE_DIR
                   "/tests/data/networks/lenet_survey.onnx --target eyeriss --evals 2000 --sweep buffer=16k..64k,pe=8x8..16x16");
    ck_assert_msg(status == 0 && strstr(out, "buffer=65536 pe=16x16") && strstr(out, "\n* "), "%s", out);
}
END_TEST

/* The survey's comparison of dataflows: energies of a network's convolutions and of its other layers, in multiply-adds. */
typedef struct Split {
    double conv, fc;
} Split;
static Split energies(const char *net, const char *target, const char *flow, const char *more, double *rf_lo, double *rf_hi) {
    char out[1 << 18];
    int status =
        quern(out, sizeof out, QUERN_SOURCE_DIR "/tests/data/networks/%s.onnx --target %s --dataflow %s --objective energy --json %s", net,
              target, flow, more);
    ck_assert_msg(status == 0, "%s", out);
    json_t *j = json_loads(out, 0, NULL), *l;
    Split s = {0, 0};
    size_t i;
    *rf_lo = INFINITY, *rf_hi = 0;
    json_array_foreach(json_object_get(j, "layers"), i, l) {
        const json_t *r = json_object_get(l, "result"), *by = json_object_get(r, "energy_by_level");
        double rf = json_number_value(json_object_get(by, "RF")) / json_number_value(json_object_get(by, "MAC"));
        *(strncmp(json_string_value(json_object_get(l, "case")), "conv", 4) == 0 ? &s.conv : &s.fc) +=
            json_number_value(json_object_get(r, "energy_total"));
        *rf_lo = fmin(*rf_lo, rf), *rf_hi = fmax(*rf_hi, rf);
    }
    json_decref(j);
    return s;
}
START_TEST(test_survey_comparison) {
    static const char *const others[][2] = {{"survey_ws", "ws"}, {"survey_os", "os"}, {"survey_is", "is"}, {"survey_nlr", "nlr"}};
    double lo, hi;
    Split rs = energies("alexnet_survey", "survey_rs", "rs", "--images 16 --evals 12000", &lo, &hi);
    ck_assert_msg(lo >= 4 && hi <= 4.6, "registers take %.3f to %.3f of the multiply-adds", lo, hi);
    double share = rs.conv / (rs.conv + rs.fc);
    ck_assert_msg(share >= 0.7 && share <= 0.9, "convolutions are %.3f", share);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        Split x = energies("alexnet_survey", others[i][0], others[i][1], "--images 16 --evals 12000", &lo, &hi);
        ck_assert_msg(x.conv >= 1.15 * rs.conv && x.conv <= 2.8 * rs.conv, "%s: %.3f in convolutions", others[i][1], x.conv / rs.conv);
        ck_assert_msg(x.fc >= rs.fc && x.fc <= 1.6 * rs.fc, "%s: %.3f in others", others[i][1], x.fc / rs.fc);
    }
    Split squeeze = energies("squeezenet_survey", "survey_rs", "rs", "--images 16 --evals 12000", &lo, &hi);
    ck_assert(squeeze.conv > rs.conv + rs.fc);
    /* one image: fully connected layers dominate, and SqueezeNet needs less */
    rs = energies("alexnet_survey", "survey_rs", "rs", "--evals 12000", &lo, &hi);
    squeeze = energies("squeezenet_survey", "survey_rs", "rs", "--evals 12000", &lo, &hi);
    ck_assert(rs.fc > rs.conv && squeeze.conv < rs.conv + rs.fc);
    energies("alexnet_survey", "survey_rs", "rs", "--images 16 --evals 20000 --counting survey", &lo, &hi);
    ck_assert(lo == 4 && hi == 4);
}
END_TEST

/* Each command of docs/exploring.md prints what the page says, times aside. */
START_TEST(test_page) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    size_t bytes;
    int commands = 0;
    const char *page = file_read_whole(&c, QUERN_SOURCE_DIR "/docs/exploring.md", 1 << 20, &bytes); /* a zero byte follows */
    ck_assert_ptr_nonnull(page);
    const char *at = page;
    static const char prompt[] = "```text\n$ quern ";
    while ((at = strstr(at, prompt))) {
        at += sizeof prompt - 1;
        const char *end = strchr(at, '\n'), *stop = strstr(at, "\n```");
        ck_assert(end && stop);
        const char *command = arena_strndup(a, at, (size_t)(end - at)), *want = arena_strndup(a, end + 1, (size_t)(stop - end));
        FILE *f = popen(arena_printf(a, "cd %s/examples/explore && %s %s | sed 's/ in [0-9.]* s;/ in a while;/'", QUERN_SOURCE_DIR,
                                     QUERN_BINARY, command),
                        "r");
        char got[1 << 14];
        size_t n = fread(got, 1, sizeof got - 1, f);
        got[n] = 0;
        ck_assert_int_eq(pclose(f), 0);
        ck_assert_msg(strcmp(got, want) == 0, "quern %s\nprints\n%s\nbut the page says\n%s", command, got, want);
        commands++, at = stop;
    }
    ck_assert_int_ge(commands, 5);
    arena_free(a);
}
END_TEST

Suite *explore_suite(void) {
    Suite *s = suite_create("explore");
    TCase *t = tcase_create("explore");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_reference);
    tcase_add_test(t, test_check_finds_a_difference);
    tcase_add_test(t, test_forms_agree);
    tcase_add_test(t, test_ragged);
    tcase_add_test(t, test_violations);
    tcase_add_loop_test(t, test_batch, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(t, test_bad_sweep, 0, sizeof sweeps / sizeof *sweeps);
    tcase_add_test(t, test_survey_counting);
    tcase_add_loop_test(t, test_bad_input, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, test_bad_machine);
    tcase_add_test(t, test_optimal);
    tcase_add_test(t, test_ragged_is_found);
    tcase_add_test(t, test_primes);
    tcase_add_test(t, test_own_dataflow);
    tcase_add_test(t, test_threads_do_not_matter);
    tcase_add_loop_test(t, test_dataflows, 0, sizeof flows / sizeof *flows);
    tcase_add_test(t, test_beats_given_mappings);
    tcase_add_test(t, test_model);
    tcase_add_test(t, test_survey_comparison);
    tcase_add_test(t, test_page);
    suite_add_tcase(s, t);
    return s;
}
