/* SPDX-License-Identifier: Apache-2.0 */
/* test_bytes.c: weights that are a few bits times a scale stay bytes (passes/bytes.c): a model's constants take at most twice what its
 * file has, on every target, and the results are those of float weights to the last bit, unless these were rounded twice. */
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <string.h>

static const char *const models[] = {
    /* scales for each channel, a normalisation folded into them, and none */
    "graph conv(x: float32[1,24,9,9]) -> (y)\n"
    "  q: int8[48,24,3,3] = rand(1)\n"
    "  s: float32[48] = rand(2)\n"
    "  w: ? = DequantizeLinear(q, s) {axis=0}\n"
    "  y: ? = Conv(x, w) {pads=[1,1,1,1]}\n",
    "graph depthwise(x: float32[1,200,7,7]) -> (y)\n"
    "  q: uint8[200,1,3,3] = rand(3)\n"
    "  z: uint8[] = [128]\n"
    "  s: float32[] = [0.0123]\n"
    "  w: ? = DequantizeLinear(q, s, z)\n"
    "  y: ? = Conv(x, w) {group=200, strides=[2,2]}\n",
    "graph transposed(x: float32[1,32,5,5]) -> (y)\n"
    "  q: int8[32,16,2,2] = rand(4)\n"
    "  s: float32[16] = rand(5)\n"
    "  w: ? = DequantizeLinear(q, s) {axis=1}\n"
    "  y: ? = ConvTranspose(x, w) {strides=[2,2]}\n",
    "graph gemm(x: float32[3,128]) -> (y)\n"
    "  q: int8[40,128] = rand(6)\n"
    "  s: float32[40] = rand(7)\n"
    "  w: ? = DequantizeLinear(q, s) {axis=0}\n"
    "  y: ? = Gemm(x, w) {transB=1}\n",
    "graph matmul(x: float32[70,128]) -> (y)\n"
    "  q: int8[128,96] = rand(8)\n"
    "  s: float32[4,96] = rand(9)\n"
    "  w: ? = DequantizeLinear(q, s) {axis=0, block_size=32}\n"
    "  y: ? = MatMul(x, w)\n",
    "graph asymmetric(x: float32[40,128]) -> (y)\n"
    "  q: uint8[128,96] = rand(10)\n"
    "  z: uint8[96] = rand(11)\n"
    "  s: float32[96] = rand(12)\n"
    "  w: ? = DequantizeLinear(q, s, z) {axis=1}\n"
    "  y: ? = MatMul(x, w)\n",
    "graph normalised(x: float32[1,64,13,13]) -> (y)\n" /* where transforms would make floats of them */
    "  q: int8[64,64,3,3] = rand(13)\n"
    "  s: float32[64] = rand(14)\n"
    "  w: ? = DequantizeLinear(q, s) {axis=0}\n"
    "  c: ? = Conv(x, w)\n"
    "  k: float32[64,1,1] = rand(15)\n"
    "  y: ? = Mul(c, k)\n",
    "graph rows(x: float32[6,1,32]) -> (y)\n"
    "  q: int8[1,128,32] = rand(16)\n"
    "  u: int8[1,128,32] = rand(17)\n"
    "  s: float32[] = [0.003]\n"
    "  w: ? = DequantizeLinear(q, s)\n"
    "  r: ? = DequantizeLinear(u, s)\n"
    "  y: ? = LSTM(x, w, r) {hidden_size=32}\n",
    "graph row(x: float32[1,128]) -> (y)\n"
    "  q: int4[128,96] = rand(8)\n"
    "  s: float32[4,96] = rand(9)\n"
    "  w: ? = DequantizeLinear(q, s) {axis=0, block_size=32}\n"
    "  y: ? = MatMul(x, w)\n",
};
static const char *const targets[] = {NULL, "x86_avx2", "x86_avx512", "aarch64_neon", "riscv64_v"};

static int64_t file_bytes(const Graph *g) {
    int64_t sum = 0;
    for (int i = 0; i < g->tensors.n; i++) sum += g->tensors.v[i]->data ? tensor_bytes(g->tensors.v[i]) : 0;
    return sum;
}
/* The result, and the constants' bytes as a part of the file's. */
static float *run(Case *t, const char *text, const char *target, const char *passes, double *part, int64_t *bytes) {
    case_open(t);
    Graph *g = graph_parse(&t->c, "bytes", text);
    ck_assert(g != NULL);
    double given = (double)file_bytes(g);
    PassOptions o = {.verify = true, .list = passes, .target = target ? target_load(&t->c, target) : NULL};
    Program *p = passes_run(&t->c, g, &o);
    ck_assert(p != NULL);
    *part = (double)p->weights_bytes / given, *bytes = tensor_bytes(g->out.v[0]);
    int64_t n = tensor_elements(g->in.v[0]);
    float *x = NEW_ARRAY(t->a, float, n), *y = NEW_ARRAY(t->a, float, tensor_elements(g->out.v[0]));
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1009) / 512 - 1;
    ck_assert(program_interpret(&t->c, p, (const void *const[]){x}, (void *const[]){y}));
    return y;
}
START_TEST(test_weights_stay_bytes) {
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (size_t k = 0; k < sizeof targets / sizeof *targets; k++) {
            Case small, wide;
            double part, floats;
            int64_t bytes;
            const float *y = run(&small, models[m], targets[k], NULL, &part, &bytes);
            const float *want = run(&wide, models[m], targets[k], "-bytes", &floats, &bytes);
            const char *name = targets[k] ? targets[k] : "c99";
            ck_assert_msg(part <= 2 && floats > 2, "%s of %.20s: %.2f times the file's bytes, as floats %.2f", name, models[m], part,
                          floats);
            bool twice = strncmp(models[m], "graph normalised", 16) == 0; /* weights that were rounded twice */
            for (int64_t i = 0; i < bytes / 4; i++)
                ck_assert_msg(y[i] == want[i] || (twice && fabsf(y[i] - want[i]) <= 4e-6F * fmaxf(fabsf(want[i]), 16)),
                              "%s of %.20s: %g, expected %g", name, models[m], (double)y[i], (double)want[i]);
            case_close(&small), case_close(&wide);
        }
}
END_TEST

Suite *bytes_suite(void) {
    Suite *s = suite_create("bytes");
    TCase *c = tcase_create("bytes");
    tcase_add_test(c, test_weights_stay_bytes);
    suite_add_tcase(s, c);
    return s;
}
