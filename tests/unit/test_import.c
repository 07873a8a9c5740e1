/* SPDX-License-Identifier: Apache-2.0 */
/* test_import.c: other tools' files (tests/data/import, written for the tests): Timeloop's architecture, problem and mapping, Accelergy's
 * tables, ZigZag's workload and accelerator, problems as einsums; what is exported reads back as the same case; each thing that is
 * not understood is an error at its line; hostile files end quickly. */
#include "cli/import.h"
#include "folder.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATA QUERN_SOURCE_DIR "/tests/data/import/"
static char dir[64];
static void setup(void) { test_folder(dir, sizeof dir); }
static void teardown(void) { remove_dir(dir); }
/* Exit status; what is printed, the end of it if it is long. */
static int quern(char *out, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int quern(char *out, size_t cap, const char *fmt, ...) {
    char cmd[3000], args[2500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(args, sizeof args, fmt, ap);
    va_end(ap);
    snprintf(cmd, sizeof cmd, "XDG_CACHE_HOME=%s %s %s 2>&1", dir, QUERN_BINARY, args);
    FILE *f = popen(cmd, "r");
    ck_assert_ptr_nonnull(f);
    size_t n = fread(out, 1, cap - 1, f);
    out[n] = 0;
    while (fgetc(f) != EOF) {}
    int status = pclose(f);
    ck_assert_msg(WIFEXITED(status), "%s", cmd);
    return WEXITSTATUS(status);
}
static const char *file(const char *text) {
    static char path[100];
    snprintf(path, sizeof path, "%s/x.yaml", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    return path;
}

START_TEST(test_timeloop) {
    char out[8192], again[8192];
    int status = quern(out, sizeof out,
                       "explore " DATA "timeloop.problem.yaml --arch " DATA "timeloop3.arch.yaml --mapping " DATA
                       "timeloop.mapping.yaml --ert " DATA "accelergy.ert.yaml --export %s/x",
                       dir);
    ck_assert_msg(status == 0, "%s", out);
    /* the buffer holds 4096 lines of 8 words; an access of DRAM moves 8 words for 512 */
    ck_assert_msg(strstr(out, "MainMemory[P2] GLB[K8 P8 | K4x] Buffer:Weights,Outputs[R3]\n") && strstr(out, "energy 50409.2"), "%s", out);
    status = quern(again, sizeof again, "explore %s/x/problem.yaml --arch %s/x/arch.yaml --mapping %s/x/mapping.yaml --ert %s/x/ERT.yaml",
                   dir, dir, dir, dir);
    ck_assert_msg(status == 0, "%s", again);
    ck_assert_str_eq(strchr(out, '\n'), strchr(again, '\n')); /* but for the machine's name */
}
END_TEST
START_TEST(test_timeloop4) {
    char out[8192];
    int status = quern(out, sizeof out, "explore " DATA "timeloop.cnn.yaml --arch " DATA "timeloop4.arch.yaml --evals 3000");
    ck_assert_msg(status == 0 && strstr(out, "903168 MACs") && strstr(out, "weights_spad Weights") && strstr(out, "psum_spad  Outputs"),
                  "%s", out);
    ck_assert_ptr_null(strstr(out, "shared_glb Weights"));
}
END_TEST
/* One file as the frontend writes it, whose containers are dummy storage; and one with nodes, expressions, operands with any names, and
 * a mapping that names containers: the columns' loops are outside the rows'. */
START_TEST(test_timeloop_whole) {
    char out[8192];
    int status = quern(out, sizeof out, "explore %1$s --arch %1$s --mapping %1$s", DATA "timeloop.whole.yaml");
    ck_assert_msg(status == 0 && strstr(out, "Main[| C8x] Buf[C2 K8 R3] Reg[P12]\n"), "%s", out);
    const char *note = strstr(out, "timeloop.whole.yaml:53:1: note: `mapper` is passed over");
    ck_assert_msg(note && !strstr(note + 40, ":53:1: "), "%s", out);
    status = quern(out, sizeof out, "explore %1$s --arch %1$s --mapping %1$s", DATA "timeloop4.gemm.yaml");
    ck_assert_msg(status == 0 && strstr(out, "DRAM[M2] SMEM:A,B[N2 M2 K4 | M4y K16x] LRF:A,Z[N4]\n"), "%s", out);
    status = quern(out, sizeof out, "explore %1$s --arch %1$s --evals 2000", DATA "timeloop4.gemm.yaml");
    ck_assert_msg(status == 0 && strstr(out, "] LRF:A,Z[") && strstr(out, "] SMEM:A,B["), "%s", out);
    status = quern(out, sizeof out, "explore %s --arch %s --evals 2000", DATA "timeloop.problem.yaml", DATA "timeloop2.arch.yaml");
    ck_assert_msg(status == 0 && strstr(out, "component in_NoC of class XY_NoC: networks cost nothing here"), "%s", out);
}
END_TEST
/* Areas, double buffers, dims along both axes and the energy of a network survive; what Timeloop cannot say is refused, or warned of where
 * it only bounds tiles. */
START_TEST(test_export) {
    static const char problem[] = "name: layer\nM: 16\nC: 8\nE: 4\nF: 4\n";
    char out[8192], again[8192], layer[100], map[100];
    snprintf(layer, sizeof layer, "%s/layer.yaml", dir), snprintf(map, sizeof map, "%s/m", dir);
    FILE *f = fopen(layer, "w"), *g = fopen(map, "w");
    ck_assert(f && g);
    fputs(problem, f), fclose(f);
    fputs("DRAM[E4] GLB[F4 | M4x C2x M4y C4y] WReg[]\n", g), fclose(g);
    int status = quern(out, sizeof out, "explore %s --target survey_ws --mapping %s --export %s/x", layer, map, dir);
    ck_assert_msg(status == 0, "%s", out);
    status = quern(again, sizeof again, "explore %s/x/problem.yaml --arch %s/x/arch.yaml --mapping %s/x/mapping.yaml --ert %s/x/ERT.yaml",
                   dir, dir, dir, dir);
    ck_assert_msg(status == 0, "%s", again);
    ck_assert_str_eq(strstr(out, " MACs"), strstr(again, " MACs"));
    ck_assert_ptr_nonnull(strstr(out, "energy "));
    status = quern(again, sizeof again,
                   "explore %s/x/problem.yaml --arch %s/x/arch.yaml --mapping %s/x/mapping.yaml --ert %s/x/ERT.yaml --json | grep -c "
                   "'\"area\": 196608,' && grep -c 'target: WReg, type: bypass, bypass: .I, O' %s/x/constraints.yaml",
                   dir, dir, dir, dir, dir);
    ck_assert_msg(status == 0, "%s", again);
    status = quern(out, sizeof out, "explore " DATA "mttkrp.yaml --target x86_avx2 --evals 100 --no-bypass --export %s/x", dir);
    ck_assert_msg(strstr(out, "the export to Timeloop has no partitions"), "%s", out);
    status = quern(out, sizeof out, "explore %s --target survey_ws --mapping %s --bits 8 --export %s/x", layer, map, dir);
    ck_assert_msg(status == 1 && strstr(out, "no widths and densities of operands, as that of W"), "%s", out);
}
END_TEST
/* S is all spread, along y; K has 4 in the sums' scratchpad; Q, R, S and C have no loop at the buffer. */
START_TEST(test_constraints) {
    char out[8192];
    int status = quern(out, sizeof out,
                       "explore " DATA "timeloop.cnn.yaml --arch " DATA "timeloop4.arch.yaml --constraints " DATA
                       "timeloop.constraints.yaml --evals 30000");
    ck_assert_msg(status == 0 && strstr(out, "S3y") && strstr(out, "psum_spad[K4]"), "%s", out);
    const char *glb = strstr(out, "shared_glb["), *bar = glb ? strchr(glb, '|') : NULL;
    ck_assert_msg(glb && bar && bar < strchr(glb, ']'), "%s", out);
    for (const char *s = glb + 11; s < bar; s++) ck_assert_msg(!strchr("QRSC", *s), "%s", out);
    /* constraints in the nodes: of the rows' container S and C along y, of the columns' Q along x */
    status = quern(out, sizeof out, "explore " DATA "timeloop.cnn.yaml --arch " DATA "timeloop4.constrained.yaml --evals 30000");
    ck_assert_msg(status == 0 && !strstr(out, "Px") && !strstr(out, "C2x") && !strstr(out, "C4x") && !strstr(out, "R3x") &&
                      !strstr(out, "R3y") && !strstr(out, "S3x"),
                  "%s", out);
    status = quern(out, sizeof out, "explore " DATA "timeloop.cnn.yaml --arch " DATA "timeloop4.arch.yaml --evals 3000 --constraints %s",
                   file("constraints:\n- {target: DRAM, type: temporal, factors: \"P<=4 C>1\"}\n"));
    const char *dram = strstr(out, "DRAM["), *p = dram ? strstr(dram, "P") : NULL, *c;
    ck_assert_msg(status == 0 && dram && (!p || p > strchr(dram, ']') || atoi(p + 1) <= 4) && (c = strstr(dram, "C")) && atoi(c + 1) >= 2 &&
                      c < strchr(dram, ']'),
                  "%s", out);
}
END_TEST
START_TEST(test_zigzag) {
    char out[8192];
    int status = quern(out, sizeof out, "explore " DATA "zigzag.workload.yaml --arch " DATA "zigzag.hardware.yaml --evals 2000");
    ck_assert_msg(status == 0 && strstr(out, "Conv_0 ") && strstr(out, "Pooling_2 ") && strstr(out, "1 more layers"), "%s", out);
    status = quern(out, sizeof out, "explore " DATA "zigzag.workload.yaml --layer 0 --arch " DATA "zigzag.hardware.yaml --evals 2000");
    ck_assert_msg(status == 0 && strstr(out, "118013952 MACs"), "%s", out); /* 64 * 3 * 112 * 112 * 49 */
    status = quern(out, sizeof out,
                   "explore " DATA "zigzag.workload.yaml --layer 0 --arch " DATA "zigzag.hardware.yaml --constraints " DATA
                   "zigzag.mapping.yaml --evals 2000");
    ck_assert_msg(status == 0 && strstr(out, "K32x") && strstr(out, "C3y"), "%s", out);
    status =
        quern(out, sizeof out,
              "explore " DATA "zigzag.workload.yaml --arch " DATA "zigzag.hardware.yaml --evals 2000 --html %s/p > /dev/null && grep -c "
              "'the same as Conv_0' %s/p",
              dir, dir);
    ck_assert_msg(status == 0 && strncmp(out, "1\n", 2) == 0, "%s", out);
}
END_TEST
/* The same layer in our letters and as an einsum has the same cost. */
START_TEST(test_einsum) {
    char conv[8192], einsum[8192];
    const char *line = "DRAM[M2 C2] GLB[E3 F5] SpadI[] SpadW[R3] SpadO[M2 S2]";
    char map[100];
    snprintf(map, sizeof map, "%s/m", dir);
    FILE *f = fopen(map, "w");
    ck_assert_ptr_nonnull(f);
    fprintf(f, "%s\n", line);
    fclose(f);
    ck_assert_int_eq(quern(conv, sizeof conv, "explore %s --target eyeriss --mapping %s",
                           file("{name: l, M: 4, C: 2, E: 3, F: 5, R: 3, S: 2, UE: 2, DS: 3}\n"),
                           map), /* YAML though it begins like JSON */
                     0);
    ck_assert_int_eq(
        quern(einsum, sizeof einsum, "explore %s --target eyeriss --mapping %s",
              file("name: l\neinsum: O[M,E,F] += W[M,C,R,S] * I[C, 2*E+R, F+3*S]\ndims: {M: 4, C: 2, E: 3, F: 5, R: 3, S: 2}\n"), map),
        0);
    ck_assert_str_eq(conv, einsum);
    ck_assert_int_eq(quern(conv, sizeof conv, "explore " DATA "mttkrp.yaml --target survey_rs --evals 2000"), 0);
    ck_assert_msg(strstr(conv, "15360 MACs") && strstr(conv, "RF         B"), "%s", conv);
    ck_assert_int_eq(
        quern(conv, sizeof conv, "compile " DATA "mttkrp.yaml --target survey_rs --mapping %s --instrument -o %s/o", "/nowhere", dir), 1);
}
END_TEST
/* A layer of a model, and the name of what is called. */
START_TEST(test_compile) {
    char out[8192], map[100];
    snprintf(map, sizeof map, "%s/m", dir);
    FILE *f = fopen(map, "w");
    ck_assert_ptr_nonnull(f);
    fputs("DRAM[M20 E28 F28] GLB[] SpadI[] SpadW[R5] SpadO[S5]\n", f);
    fclose(f);
    const char *model = QUERN_SOURCE_DIR "/tests/data/networks/lenet_survey.onnx";
    int status = quern(out, sizeof out, "compile %s --target eyeriss --mapping %s --instrument -o %s/o", model, map, dir);
    ck_assert_msg(status == 1 && strstr(out, "add --layer NAME"), "%s", out);
    status = quern(out, sizeof out,
                   "compile " DATA "timeloop.problem.yaml --arch " DATA "timeloop3.arch.yaml --mapping " DATA
                   "timeloop.mapping.yaml --instrument --name net -o %s/o && grep -c net_access %s/o/net.h %s/o/net.c",
                   dir, dir, dir);
    ck_assert_msg(status == 0 && strstr(out, "net.h:1"), "%s", out);
    status = quern(out, sizeof out, "compile " DATA "timeloop.problem.yaml -o %s/o --instrument", dir);
    ck_assert_msg(status == 2 && strstr(out, "add --mapping FILE"), "%s", out);
}
END_TEST

static const char arch_head[] =
    "architecture:\n  version: 0.3\n  subtree:\n  - name: s\n    local:\n    - {name: D, class: DRAM, attributes: {word-bits: 8}}\n";
static const struct {
    const char *option, *text, *message;
} bad[] = {
    {"P", "problem:\n  shape: {name: x, dimensions: [A], data_spaces: []}\n  instance: {A: 2, B: 3}\n",
     "x.yaml:3:20: error: instance: key 'B'"},
    {"P",
     "problem:\n  shape:\n    dimensions: [A]\n    data_spaces:\n    - {name: O, projection: [[[Z]]], read_write: True}\n  instance: {A: "
     "2}\n",
     "x.yaml:5:32: error: projection: 'Z' is no dimension"},
    {"P", "problem:\n  shape: {dimensions: [A], data_spaces: [{name: O, projection: [[[A]]], read_write: True}]}\n  instance: {A: -2}\n",
     "found '-2', expected a whole number from 1"},
    {"P", "problem:\n  shape: {dimensions: [A], ranks: 3}\n  instance: {A: 2}\n", "key 'ranks' is not supported"},
    {"P", "problem: &x\n  shape: *x\n", "alias 'x' has no anchor before it"},
    {"P", "problem: [\n", "x.yaml:"},
    {"P",
     "problem:\n  a: &a [1,1,1,1,1,1,1,1,1,1]\n  b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n  c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
     "  d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n  e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n  f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n  g: &g "
     "[*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
     "expands to more than a million values"},
    {"P", "- id: 0\n  equation: O[b]+=W[b]*I[q]\n  loop_dims: [B]\n  loop_sizes: [4]\n",
     "found 'q]', expected a dim whose extent is given"},
    {"P", "- id: 0\n  equation: O[b]+=W[b]*I[ix]\n  dimension_relations: [ix=2*iy, iy=ix]\n  loop_dims: [B]\n  loop_sizes: [4]\n",
     "lead back to themselves"},
    {"P", "- id: 0\n  equation: O[b]+=W[b]*I[b]\n  loop_dims: [B]\n  loop_sizes: [4, 5]\n", "x.yaml:4:15: error: loop_sizes"},
    {"P", "name: x\neinsum: O[i] += A[i,i]\ndims: {i: 4}\n", "each dim at most once in a tensor"},
    {"P", "name: x\neinsum: O[i] = A[i] + B[i]\ndims: {i: 4}\n", "expected '+='"},
    {"P", "name: x\neinsum: O[i+j] += A[i] * B[j]\ndims: {i: 4, j: 2}\n", "is not one dim"},
    {"A", "architecture:\n  version: 0.9\n  subtree: []\n", "version '0.9' is not supported"},
    {"A", "architecture:\n  nodes:\n  - !Magic {name: x}\n", "x.yaml:3:5: error: node '!Magic' is not supported"},
    {"A", "memories:\n  m: {size: -8, r_bw: 8, w_bw: 8, operands: [O]}\noperational_array: {dimensions: [D1], sizes: [4]}\n",
     "x.yaml:2:13: error: found '-8'"},
    {"A", "architecture: {nodes: []}\nwishes: {}\n", "x.yaml:2:1: error: file: key 'wishes' is not supported"},
    {"A", "architecture: {nodes: []}\nsparse_optimizations: {targets: [{name: x}]}\n", "x.yaml:2:23: error: sparse_optimizations are not"},
    {"A", "{{include_text('x')}}\narchitecture: {nodes: []}\n", "templates are not expanded"},
    {"P",
     "problem:\n  shape: cnn-layer\n  instance: {C: 1, K: 1, N: 1, P: 1, Q: 1, R: 1, S: 1, densities: {Inputs: {density: 1, distribution: "
     "banded}}}\n",
     "x.yaml:3:103: error: densities: distribution 'banded' is not supported"},
    {"A", "memories:\n  m: {size: 8, r_bw: 8, w_bw: 8, operands: [I3]}\noperational_array: {dimensions: [D1], sizes: [4]}\n",
     "expected I1, I2 or O"},
};
START_TEST(test_bad) {
    char out[8192];
    const char *path = file(bad[_i].text);
    int status = *bad[_i].option == 'P' ? quern(out, sizeof out, "explore %s --target eyeriss --evals 100", path)
                                        : quern(out, sizeof out, "explore " DATA "mttkrp.yaml --arch %s --evals 100", path);
    ck_assert_msg(status == 1 && strstr(out, bad[_i].message), "case %d: status %d\n%s\n%s", _i, status, out, bad[_i].text);
}
END_TEST
static const struct {
    const char *tail, *message;
} archs[] = {
    {"    - {name: G, class: SRAM, attributes: {depth: 8, width: 8, colour: red}}\n", "x.yaml:7:63: error: attributes: key 'colour'"},
    {"    - {name: G, class: SRAM, attributes: {width: 8}}\n", "component G has no capacity"},
    {"    - {name: G, class: router}\n", "class 'router' of component G"},
    {"    - {name: 'G[0..9', class: SRAM}\n", "expected NAME or NAME[0..N]"},
    {"    - {name: G, class: SRAM, attributes: {depth: width, width: depth}}\n", "expected a number or an expression"},
    {"    - {name: G, class: SRAM, attributes: {depth: 4 +, width: 8}}\n", "x.yaml:7:50: error: found '4 +', expected a number"},
    {"    - {name: G, class: SRAM, attributes: {depth: 2 * (3 - 2 ** 2), width: 8}}\n", "'2 * (3 - 2 ** 2)' is out of range"},
    {"    - {name: G, class: SRAM, attributes: {depth: 8, width: 8, min_utilization: 0.5}}\n", "min_utilization is supported only as 0"},
    {"    - {name: G, class: SRAM, attributes: {depth: 8, width: 8}, enabled: false}\n", "component G is not enabled"},
    {"    - {name: 'M[0..99999999999]', class: intmac}\n", "expected NAME or NAME[0..N]"},
    {"    subtree: [{name: a}, {name: b}]\n", "two subtrees side by side"},
};
START_TEST(test_bad_architecture) {
    char out[8192], text[2000];
    snprintf(text, sizeof text, "%s%s", arch_head, archs[_i].tail);
    int status = quern(out, sizeof out, "explore " DATA "mttkrp.yaml --arch %s --evals 100", file(text));
    ck_assert_msg(status == 1 && strstr(out, archs[_i].message), "case %d: status %d\n%s\n%s", _i, status, out, text);
}
END_TEST
static const struct {
    const char *text, *message;
} maps[] = {
    {"mapping:\n- {target: Nowhere, type: temporal}\n", "x.yaml:2:3: error: mapping: 'Nowhere' is no level"},
    {"mapping:\n- {target: GLB, type: temporal, factors: Z=4}\n", "does not begin with a dimension"},
    {"mapping:\n- {target: GLB, type: temporal, factors: K=0 R=0}\n- {target: Buffer, type: temporal, factors: K=0}\n",
     "two factors of K are 0"},
    {"mapping:\n- {target: GLB, type: temporal, factors: K=5}\n- {target: Buffer, type: temporal, factors: K=0}\n",
     "do not divide its extent 32"},
    {"mapping:\n- {target: GLB, type: sideways}\n", "type is 'sideways'"},
    {"mapping:\n- {target: GLB, type: temporal, factors: \"K<=4\"}\n", "x.yaml:2:42: error: factors: a mapping has a whole factor of K"},
    {"mapping:\n- {target: GLB, type: temporal, factors: \"P=3,1\"}\n", "residual factors are not supported"},
    {"mapping:\n- {target: GLB, type: temporal, factors: K=2}\n", "the factors of K multiply to 2; its extent is 32"},
    {"mapping:\n- {target: GLB, type: temporal}\n- {target: GLB, type: temporal}\n", "two temporal mappings"},
};
START_TEST(test_bad_mapping) {
    char out[8192];
    int status = quern(out, sizeof out, "explore " DATA "timeloop.problem.yaml --arch " DATA "timeloop3.arch.yaml --mapping %s",
                       file(maps[_i].text));
    ck_assert_msg(status == 1 && strstr(out, maps[_i].message), "case %d: status %d\n%s\n%s", _i, status, out, maps[_i].text);
}
END_TEST

Suite *import_suite(void);
Suite *import_suite(void) {
    Suite *s = suite_create("import");
    TCase *t = tcase_create("import");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_timeloop);
    tcase_add_test(t, test_timeloop4);
    tcase_add_test(t, test_timeloop_whole);
    tcase_add_test(t, test_export);
    tcase_add_test(t, test_constraints);
    tcase_add_test(t, test_zigzag);
    tcase_add_test(t, test_einsum);
    tcase_add_test(t, test_compile);
    tcase_add_loop_test(t, test_bad, 0, sizeof bad / sizeof *bad);
    tcase_add_loop_test(t, test_bad_architecture, 0, sizeof archs / sizeof *archs);
    tcase_add_loop_test(t, test_bad_mapping, 0, sizeof maps / sizeof *maps);
    suite_add_tcase(s, t);
    return s;
}
