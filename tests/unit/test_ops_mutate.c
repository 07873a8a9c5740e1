/* SPDX-License-Identifier: Apache-2.0 */
/* test_ops_mutate.c: nodes that work, with a few of their numbers changed: extents, attributes, indices. Each either runs through
 * all passes and the interpreter or is refused with an error that says where; a crash is what this suite looks for. The texts
 * are the table below, tests/values and tests/golden.
 *
 *   y: ? = Conv(x, w) {pads=[1,1,1,1]}   --->   y: ? = Conv(x, w) {pads=[1,-2,1,1]}
 */
#include "passes/passes.h"
#include "case.h"
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *in, *node; /* inputs and constants, the node */
} rows[] = {
    {"t: float32[2,2,3], k: int64[4] = [2,1,4,5]", "AffineGrid(t, k) {align_corners=1}"},
    {"r: float32[], t: int64[] = [3], x: float32[2], g: float32[2], h: float32[2]",
     "\"ai.onnx.preview.training\"::Adagrad(r, t, x, g, h) {decay_factor=0.1}"},
    {"r: float32[], t: int64[] = [3], x: float32[2], g: float32[2], v: float32[2], h: float32[2]",
     "\"ai.onnx.preview.training\"::Adam(r, t, x, g, v, h)"},
    {"r: float32[], t: int64[] = [0], x: float32[2], g: float32[2], v: float32[2]",
     "\"ai.onnx.preview.training\"::Momentum(r, t, x, g, v) {alpha=0.9, beta=1, mode=\"nesterov\", norm_coefficient=0.01}"},
    {"x: float32[2,3]", "BitCast(x) {to=6}"},
    {"q: float32[1,4,3,2], k: float32[1,2,5,2]", "\"quern\"::FlexScores(q, k)"},
    {"p: float32[1,4,3,5], v: float32[1,2,5,2]", "\"quern\"::FlexValues(p, v)"},
    {"x: float32[2,3]", "\"ai.onnx.ml\"::Scaler(x) {offset=[1.0,2.0,0.5], scale=[2.0]}"},
    {"x: float32[2,3]", "\"ai.onnx.ml\"::Normalizer(x) {norm=\"L2\"}"},
    {"x: float32[2,3]", "\"ai.onnx.ml\"::Imputer(x) {imputed_value_floats=[1.0], replaced_value_float=0.5}"},
    {"x: float32[2,3], y: float32[2,1]", "\"ai.onnx.ml\"::FeatureVectorizer(x, y) {inputdimensions=[3,1]}"},
    {"x: int64[2,3]", "\"ai.onnx.ml\"::OneHotEncoder(x) {cats_int64s=[1,2,5]}"},
    {"x: int64[2,3]", "\"ai.onnx.ml\"::LabelEncoder(x) {keys_int64s=[3,1,2], values_floats=[1.0,2.0,3.0]}"},
    {"x: float32[2,3]", "\"ai.onnx.ml\"::LinearRegressor(x) {coefficients=[1.0,2.0,3.0,4.0,5.0,6.0], intercepts=[1.0,2.0], targets=2}"},
    {"x: float32[2,2]",
     "\"ai.onnx.ml\"::LinearClassifier(x) {coefficients=[1.0,2.0,3.0,4.0], intercepts=[1.0,2.0], classlabels_ints=[4,5]}"},
    {"x: float32[2,2]",
     "\"ai.onnx.ml\"::SVMRegressor(x) {coefficients=[1.0,2.0], kernel_params=[0.5,1.0,2.0], kernel_type=\"RBF\", n_supports=2, "
     "rho=[0.5], support_vectors=[1.0,2.0,3.0,4.0]}"},
    {"x: float32[2,2]",
     "\"ai.onnx.ml\"::SVMClassifier(x) {classlabels_ints=[1,2], coefficients=[1.0,2.0], kernel_params=[0.5,1.0,2.0], "
     "kernel_type=\"POLY\", prob_a=[-1.0], prob_b=[0.5], rho=[0.5], support_vectors=[1.0,2.0,3.0,4.0], vectors_per_class=[1,1]}"},
    {"x: float32[2,2]",
     "\"ai.onnx.ml\"::TreeEnsembleClassifier(x) {class_ids=[0,1], class_nodeids=[1,2], class_treeids=[0,0], "
     "class_weights=[0.5,0.25], classlabels_int64s=[7,8], nodes_falsenodeids=[2,0,0], nodes_featureids=[1,0,0], "
     "nodes_modes=[\"BRANCH_LEQ\",\"LEAF\",\"LEAF\"], nodes_nodeids=[0,1,2], nodes_treeids=[0,0,0], nodes_truenodeids=[1,0,0], "
     "nodes_values=[0.5,0.0,0.0]}"},
    {"x: float32[2,2]",
     "\"ai.onnx.ml\"::TreeEnsembleRegressor(x) {n_targets=1, nodes_falsenodeids=[2,0,0], nodes_featureids=[1,0,0], "
     "nodes_modes=[\"BRANCH_GT\",\"LEAF\",\"LEAF\"], nodes_nodeids=[0,1,2], nodes_treeids=[0,0,0], nodes_truenodeids=[1,0,0], "
     "nodes_values=[0.5,0.0,0.0], target_ids=[0,0], target_nodeids=[1,2], target_treeids=[0,0], target_weights=[1.0,2.0]}"},
    {"x: float32[2,2], r: int32[2] = [0,-1], k: int32[2,4] = [1,0,1,-1,0,3,-2,-1], s: float32[2] = [0.5,1], m: float32[1] = [0], f: "
     "int32[3] = [0,1,2], t: int32[2] = "
     "[0,1], w: float32[2] = [1,2]",
     "\"quern\"::Trees(x, r, k, s, m, f, t, w) {targets=2}"},
    {"", "RandomNormal() {mean=1, scale=2, shape=[2,3]}"},
    {"x: float32[2,3]", "RandomUniformLike(x) {dtype=11, high=2, low=1}"},
    {"x: float32[2,3]", "Bernoulli(x) {dtype=9, seed=1}"},
    {"x: float32[2,3]", "Multinomial(x) {sample_size=4, seed=1}"},
    {"x: float32[2,3], r: float32[], t: bool[]", "Dropout(x, r, t) {seed=1}"},
    {"x: float32[2,3,4]", "ArgMax(x) {axis=1, keepdims=0, select_last_index=1}"},
    {"x: float32[2,3,4]", "ArgMin(x) {axis=-1}"},
    {"x: uint8[2,3], y: uint8[2,1]", "BitShift(x, y) {direction=\"LEFT\"}"},
    {"x: float32[1,2,5,5], w: float32[4,2,3,3], b: float32[4]",
     "Conv(x, w, b) {dilations=[1,1], kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]}"},
    {"x: float32[1,4,5,5], w: float32[4,1,3,3]", "Conv(x, w) {auto_pad=\"SAME_UPPER\", group=4}"},
    {"x: float32[1,4,5], w: float32[4,2,3]", "ConvTranspose(x, w) {group=2, output_padding=[1], pads=[1,1], strides=[2]}"},
    {"x: float32[1,2,3,3], w: float32[2,1,2,2]", "ConvTranspose(x, w) {output_shape=[6,6], strides=[2,2]}"},
    {"x: float32[2,3,7], k: int64[2] = [5,4]", "CenterCropPad(x, k) {axes=[0,2]}"},
    {"x: float32[1,12,8], k: int64[2] = [4,5], l: int64[2] = [3,2]", "Col2Im(x, k, l) {dilations=[1,1], pads=[0,0,0,0], strides=[1,1]}"},
    {"k: int64[3] = [2,3,4]", "ConstantOfShape(k)"},
    {"x: float32[2,5], k: int32[] = [1]", "CumSum(x, k) {exclusive=1, reverse=1}"},
    {"x: float32[2,3], y: float32[2,4], z: float32[2,1]", "Concat(x, y, z) {axis=1}"},
    {"x: float32[1,6,1]", "DFT(x) {onesided=1}"},
    {"x: float32[2,8,2], k: int64[] = [6], l: int64[] = [1]", "DFT(x, k, l) {inverse=1}"},
    {"x: float32[1,8,2,3]", "DepthToSpace(x) {blocksize=2, mode=\"CRD\"}"},
    {"x: float32[1,2,4,6]", "SpaceToDepth(x) {blocksize=2}"},
    {"x: float32[2,3,3]", "Det(x)"},
    {"x: float32[1,2,4,4], w: float32[2,2,2,2], o: float32[1,8,3,3], m: float32[1,4,3,3]",
     "DeformConv(x, w, o, _, m) {kernel_shape=[2,2], pads=[0,0,0,0]}"},
    {"x: float32[2,3], y: float32[3,4]", "Einsum(x, y) {equation=\"ij,jk->ki\"}"},
    {"x: float32[2,3,3]", "Einsum(x) {equation=\"bii->ib\"}"},
    {"x: float32[3,4]", "EyeLike(x) {dtype=7, k=1}"},
    {"x: float32[1,3], k: int64[3] = [2,4,3]", "Expand(x, k)"},
    {"x: float32[2,3,4], i: int64[2,2]", "Gather(x, i) {axis=1}"},
    {"x: float32[2,3,4], i: int64[2] = [-1,2]", "Gather(x, i) {axis=1}"},
    {"x: float32[2,3,4], i: int64[2,2,4]", "GatherElements(x, i) {axis=1}"},
    {"x: float32[2,3,4], i: int64[2,2,1]", "GatherND(x, i) {batch_dims=1}"},
    {"x: float32[2,3], y: float32[4,3], z: float32[4]", "Gemm(x, y, z) {alpha=0.5, beta=2, transB=1}"},
    {"x: float32[1,2,4,5], y: float32[1,3,2,2]", "GridSample(x, y) {mode=\"cubic\", padding_mode=\"reflection\"}"},
    {"x: float32[1,2,3,4,5], y: float32[1,2,2,2,3]", "GridSample(x, y) {align_corners=1, mode=\"linear\", padding_mode=\"border\"}"},
    {"x: float32[2,4,3], s: float32[4], b: float32[4]", "GroupNormalization(x, s, b) {num_groups=2}"},
    {"x: float32[2,4,3], s: float32[4], b: float32[4]", "InstanceNormalization(x, s, b)"},
    {"x: float32[3,2,4], w: float32[1,6,4], r: float32[1,6,2], b: float32[1,12]", "GRU(x, w, r, b) {hidden_size=2, linear_before_reset=1}"},
    {"x: float32[3,2,4], w: float32[2,8,4], r: float32[2,8,2], b: float32[2,16], l: int32[2] = [2,3]",
     "LSTM(x, w, r, b, l) {direction=\"bidirectional\", hidden_size=2}"},
    {"x: float32[2,3,4], w: float32[1,2,4], r: float32[1,2,2]",
     "RNN(x, w, r) {activations=[\"Relu\"], direction=\"reverse\", hidden_size=2, layout=1}"},
    {"k: int64[] = [8]", "HannWindow(k) {periodic=0}"},
    {"x: float32[2,3,4]", "Hardmax(x) {axis=1}"},
    {"x: float32[1,5,3]", "LRN(x) {size=3}"},
    {"x: float32[2,3,4], s: float32[3,4], b: float32[4]", "LayerNormalization(x, s, b) {axis=1}"},
    {"x: float16[2,3,4], s: float32[4]", "RMSNormalization(x, s) {axis=-1}"},
    {"q: float32[1,3,4], k: float32[1,3,4], v: float32[1,3,4]",
     "LinearAttention(q, k, v) {kv_num_heads=2, q_num_heads=2, update_rule=\"linear\"}"},
    {"x: float32[2,3,4]", "LogSoftmax(x) {axis=1}"},
    {"x: float32[2,6]", "LpNormalization(x) {axis=1, p=1}"},
    {"x: float32[1,2,5,6]", "LpPool(x) {kernel_shape=[2,3], p=3, pads=[0,1,0,1], strides=[2,2]}"},
    {"x: float32[1,2,7,6]", "MaxPool(x) {ceil_mode=1, dilations=[1,2], kernel_shape=[3,2], pads=[1,0,1,0], strides=[2,2]}"},
    {"x: float32[1,2,7]", "AveragePool(x) {ceil_mode=1, count_include_pad=1, kernel_shape=[3], pads=[1,1], strides=[2]}"},
    {"x: float32[1,1,6,6], r: float32[2,5]", "MaxRoiPool(x, r) {pooled_shape=[2,2]}"},
    {"x: float32[2,1,6,6], r: float32[3,4], i: int64[3]", "RoiAlign(x, r, i) {output_height=2, output_width=2, sampling_ratio=2}"},
    {"x: float32[1,1,2,2], i: int64[1,1,2,2]", "MaxUnpool(x, i) {kernel_shape=[2,2], strides=[2,2]}"},
    {"x: float32[1,1,2,2], i: int64[1,1,2,2], k: int64[4] = [1,1,5,5]", "MaxUnpool(x, i, k) {kernel_shape=[2,2], strides=[2,2]}"},
    {"x: float32[2,3,4], y: float32[4,5]", "MatMul(x, y)"},
    {"x: float32[2,3,4,2]", "MeanVarianceNormalization(x) {axes=[0,2]}"},
    {"a: int64[] = [8], b: int64[] = [16], c: int64[] = [8192], d: float32[] = [0], e: float32[] = [4096]",
     "MelWeightMatrix(a, b, c, d, e)"},
    {"x: float32[3,5,2], i: int64[3,2], w: float32[5]", "NegativeLogLikelihoodLoss(x, i, w) {ignore_index=2}"},
    {"x: float32[3,5], i: int64[3]", "SoftmaxCrossEntropyLoss(x, i) {reduction=\"none\"}"},
    {"i: int64[2,3], k: int64[] = [4], v: float32[2]", "OneHot(i, k, v) {axis=1}"},
    {"x: float32[2,3], k: int64[4] = [1,2,0,-1]", "Pad(x, k) {mode=\"reflect\"}"},
    {"x: float32[2,3], k: int64[4] = [1,2,0,1], v: float32[]", "Pad(x, k, v)"},
    {"a: int64[] = [1], b: int64[] = [9], c: int64[] = [2]", "Range(a, b, c)"},
    {"x: float32[2,3,4], k: int64[2] = [0,-1]", "ReduceLogSumExp(x, k) {keepdims=0}"},
    {"x: int32[2,3,4], k: int64[1] = [1]", "ReduceL2(x, k)"},
    {"x: float32[2,3,4], k: int64[2] = [6,-1]", "Reshape(x, k)"},
    {"x: float32[1,1,3,4], s: float32[4] = [1,1,1.5,0.5]", "Resize(x, _, s) {mode=\"linear\"}"},
    {"x: float32[1,1,3,4], k: int64[4] = [1,1,5,3]", "Resize(x, _, _, k) {antialias=1, cubic_coeff_a=-0.5, mode=\"cubic\"}"},
    {"x: float32[1,1,3,4], k: int64[2] = [5,3]",
     "Resize(x, _, _, k) {axes=[3,2], keep_aspect_ratio_policy=\"not_larger\", nearest_mode=\"ceil\"}"},
    {"x: float32[4,3,2], i: int64[3]", "ReverseSequence(x, i) {batch_axis=1, time_axis=0}"},
    {"x: float32[1,2,3,4], c: float32[5,2], s: float32[5,2], i: int64[1,3]", "RotaryEmbedding(x, c, s, i)"},
    {"x: float32[1,16,1], k: int64[] = [4], w: float32[8]", "STFT(x, k, w)"},
    {"x: float32[3,4], i: int64[2,3], u: float32[2,3]", "ScatterElements(x, i, u) {axis=1, reduction=\"add\"}"},
    {"x: float32[3,4], i: int64[2,1], u: float32[2,4]", "ScatterND(x, i, u) {reduction=\"max\"}"},
    {"x: float32[5,6], a: int64[2] = [4,1], b: int64[2] = [0,5], c: int64[2] = [0,1], d: int64[2] = [-2,3]", "Slice(x, a, b, c, d)"},
    {"x: float32[2,7], k: int64[3] = [2,4,1]", "Split(x, k) {axis=1}"},
    {"x: float32[1,2,1,3], k: int64[2] = [0,-2]", "Squeeze(x, k)"},
    {"x: float32[2,3], k: int64[2] = [0,-1]", "Unsqueeze(x, k)"},
    {"x: float32[2,3], k: int64[2] = [2,3]", "Tile(x, k)"},
    {"x: float32[2,6], k: int64[1] = [3]", "TopK(x, k) {axis=1, largest=0}"},
    {"x: float32[2,3,4]", "Transpose(x) {perm=[2,0,1]}"},
    {"x: float32[2,3,4], k: int64[] = [-1]", "Trilu(x, k) {upper=0}"},
    {"x: float32[4,6], s: float32[2,6], z: int8[2,6]", "QuantizeLinear(x, s, z) {axis=0, block_size=2}"},
    {"x: uint4[4,6], s: float16[4,2]", "DequantizeLinear(x, s) {axis=1, block_size=3}"},
    {"q: float32[1,4,3,2], k: float32[1,2,3,2], v: float32[1,2,3,2], m: bool[3,3]", "Attention(q, k, v, m) {is_causal=1, softcap=2}"},
    {"q: float32[1,3,8], k: float32[1,3,4], v: float32[1,3,4]", "Attention(q, k, v) {kv_num_heads=2, q_num_heads=4}"},
    {"c: float32[2,2,5,3], u: float32[2,2,2,3], i: int64[2]", "TensorScatter(c, u, i) {axis=-2, mode=\"circular\"}"},
    {"x: float32[1,2,5], w: float32[2,1,3], b: float32[2], s: float32[1,2,2]", "CausalConvWithState(x, w, b, s) {activation=\"silu\"}"},
};
enum { ROWS = sizeof rows / sizeof *rows, MAX_FILES = 2000 };

static char *files[MAX_FILES];
static int nfile;
static void find_files(const char *folder) {
    char path[1024];
    snprintf(path, sizeof path, "%s/tests/%s", QUERN_SOURCE_DIR, folder);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) && nfile < MAX_FILES;) {
        if (!strstr(e->d_name, ".qir")) continue;
        files[nfile] = malloc(strlen(path) + strlen(e->d_name) + 2);
        sprintf(files[nfile++], "%s/%s", path, e->d_name);
    }
    if (d) closedir(d);
}

static uint64_t rnd_state;
static uint64_t rnd(void) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return rnd_state * 0x2545F4914F6CDD1DULL >> 16;
}
static int pick(int n) { return (int)(rnd() % (uint64_t)n); }
static char replay[1 << 16];
static void crashed(int sig) {
    if (write(2, replay, strlen(replay)) < 0) _exit(4);
    signal(sig, SIG_DFL);
    raise(sig);
}

/* A number that is no part of a word: of an extent, an attribute or a constant. */
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool wordy(char c) { return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.'; }
static const char *mutate(Arena *a, const char *text) {
    static const char *const odd[] = {
        "0", "-1", "9223372036854775807", "-9223372036854775808", "2147483648", "1099511627776", "40", "-2", "17", "-7", "0", "3"};
    Vec(int) at = {0};
    for (int i = 1; text[i]; i++)
        if (digit(text[i]) && !wordy(text[i - 1])) vec_push(a, &at, i);
    if (!at.n) return text;
    int i = at.v[pick(at.n)], end = i;
    while (digit(text[end])) end++;
    if (text[i - 1] == '-' && pick(2)) i--;
    long v = strtol(text + i, NULL, 10) % 1000000;
    const char *by = pick(8) == 0 ? odd[pick(12)] : arena_printf(a, "%ld", pick(2) ? v + pick(5) - 2 : (long)pick(7) - 1);
    if (text[i - 1] == '-' && *by == '-') by++;
    return arena_printf(a, "%.*s%s%s", i, text, by, text + end);
}
static void fill(const Tensor *t, void *p) {
    int64_t n = tensor_elements(t);
    for (int64_t i = 0; i < n; i++) {
        if (dtype_info[t->type.dt].cls == CLS_STR || dtype_info[t->type.dt].cls == CLS_CPLX) return;
        if (dtype_is_float(t->type.dt)) dtype_set_f(t->type.dt, p, i, pick(30) ? (double)pick(41) / 8 - 2 : pick(2) ? NAN : 1e9);
        else dtype_set_i(t->type.dt, p, i, t->type.dt == DT_BOOL ? pick(2) : pick(30) ? pick(6) - 2 : (int64_t)(rnd() << 20));
    }
}
static void run(Ctx *c, const Program *p) {
    const Graph *g = p->g;
    const void **in = NEW_ARRAY(c->a, const void *, g->in.n + 1);
    void **out = NEW_ARRAY(c->a, void *, g->out.n + 1);
    for (int i = 0; i < g->in.n; i++) {
        void *data = calloc(1, (size_t)tensor_bytes(g->in.v[i]) + 1); /* of its own, so that a sanitizer sees its ends */
        fill(g->in.v[i], data);
        in[i] = data;
    }
    for (int i = 0; i < g->out.n; i++) out[i] = malloc((size_t)tensor_bytes(g->out.v[i]) + 1);
    program_interpret(c, p, in, out);
    for (int i = 0; i < g->in.n; i++) free((void *)in[i]);
    for (int i = 0; i < g->out.n; i++) free(out[i]);
}
/* 0: refused, 1: compiled, 2: ran */
static int attempt(const char *text, const char *what) {
    Diags d = {.a = arena_new()};
    Ctx c = {d.a, &d};
    snprintf(replay, sizeof replay, "%s\n%s\n", what, text);
    bug_replay = replay;
    if (getenv("QN_FUZZ_SAY")) fprintf(stderr, "%s", replay);
    Graph *g = graph_parse(&c, "mutated", text);
    Program *p = NULL;
    if (g && graph_verify(&c, g, false)) {
        PassOptions o = {.verify = true};
        p = passes_run(&c, g, &o);
    }
    ck_assert_msg((p != NULL) == (d.errors == 0), "%d errors, %s program for\n%s", d.errors, p ? "a" : "no", replay);
    for (int i = 0; i < d.list.n; i++)
        if (d.list.v[i].severity == DIAG_ERROR) ck_assert_msg(strlen(d.list.v[i].text) > 15, "'%s' for\n%s", d.list.v[i].text, replay);
    if (!p && strcmp(what, "as it stands") == 0) diag_print_all(&d, false);
    int how = p ? 1 : 0;
    if (p && case_runnable(p)) run(&c, p), how = 2;
    arena_free(d.a);
    return how;
}
static void mutations(const char *text, const char *what, int rounds, int *ran) {
    for (int r = 0; r < rounds; r++) {
        Arena *a = arena_new();
        const char *m = text;
        for (int k = 1 + pick(3); k > 0; k--) m = mutate(a, m);
        *ran += attempt(m, what) == 2;
        arena_free(a);
    }
}
static int rounds_wanted(int usual) { return getenv("QN_FUZZ") ? atoi(getenv("QN_FUZZ")) : usual; }
static const char *row_text(Arena *a, int i, int outputs) {
    Text t = {0}, lines = {0}; /* inputs stand in the head, constants on lines of their own */
    text_puts(&t, "graph g(");
    for (const char *s = rows[i].in, *comma = ""; *s;) {
        size_t n = 0;
        for (int depth = 0; s[n] && (s[n] != ',' || depth); n++) depth += (s[n] == '[') - (s[n] == ']');
        if (memchr(s, '=', n)) text_printf(&lines, "  %.*s\n", (int)n, s);
        else text_printf(&t, "%s%.*s", comma, (int)n, s), comma = ", ";
        s += n + (s[n] == ',');
        s += strspn(s, " ");
    }
    for (int o = 0; o < outputs; o++) text_printf(&t, "%sy%d", o ? ", " : ") -> (", o);
    text_printf(&t, ")\n%s", lines.n ? lines.s : "");
    text_free(&lines);
    for (int o = 0; o < outputs; o++) text_printf(&t, "%sy%d: ?", o ? ", " : "  ", o);
    text_printf(&t, " = %s\n", rows[i].node);
    const char *s = arena_strdup(a, t.s);
    text_free(&t);
    return s;
}
START_TEST(test_rows) { /* _i: the first of a few */
    const char *only = getenv("QN_FUZZ_OP");
    signal(SIGSEGV, crashed), signal(SIGFPE, crashed), signal(SIGABRT, crashed);
    for (int i = _i; i < _i + 8 && i < ROWS; i++) {
        if (only && strncmp(rows[i].node, only, strlen(only)) != 0) continue;
        Arena *a = arena_new();
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(rows[i].node, "("), rows[i].node);
        char *colons = strstr(name, "::"), *domain = name[0] == '"' ? name + 1 : name;
        if (colons) colons[-(name[0] == '"')] = 0;
        const OpDef *op = colons ? op_find(domain, colons + 2) : op_find("", name);
        ck_assert_msg(op != NULL, "%s", name);
        int outputs = strcmp(name, "Split") == 0 ? 3 : op->max_out > 2 || op->max_out < 0 ? 2 : op->max_out, ran = 0;
        if (strcmp(name, "SoftmaxCrossEntropyLoss") == 0) outputs = 1;
        const char *text = row_text(a, i, outputs);
        rnd_state = 0x9E3779B97F4A7C15ULL * (uint64_t)(i + 1);
        ck_assert_msg(attempt(text, "as it stands") == 2, "does not run:\n%s", text);
        mutations(text, name, rounds_wanted(60), &ran);
        if (getenv("QN_FUZZ")) fprintf(stderr, "%s: %d ran\n", name, ran);
        arena_free(a);
    }
}
END_TEST
START_TEST(test_files) {
    signal(SIGSEGV, crashed), signal(SIGFPE, crashed), signal(SIGABRT, crashed);
    for (int i = _i; i < nfile; i += 8) {
        Diags d = {.a = arena_new()};
        Ctx c = {d.a, &d};
        size_t n;
        int ran = 0;
        char *bytes = file_read_whole(&c, files[i], 1 << 20, &n), *text = arena_strndup(d.a, bytes, n), *cut = strstr(text, "\n---\n");
        if (cut) cut[1] = 0;
        if (n < 4000) {
            rnd_state = 0x9E3779B97F4A7C15ULL * (uint64_t)n;
            mutations(text, files[i], rounds_wanted(20), &ran);
        }
        arena_free(d.a);
    }
}
END_TEST

Suite *ops_mutate_suite(void);
Suite *ops_mutate_suite(void) {
    static const char *const folders[] = {"values",       "golden/fold",  "golden/rules", "golden/fuse",
                                          "golden/alias", "golden/lower", "golden/plan",  "golden/cse"};
    Suite *s = suite_create("ops_mutate");
    TCase *c = tcase_create("ops_mutate");
    nfile = 0;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) find_files(folders[i]);
    for (int i = 0; i < ROWS; i += 8) tcase_add_loop_test(c, test_rows, i, i + 1);
    tcase_add_loop_test(c, test_files, 0, 8);
    suite_add_tcase(s, c);
    return s;
}
