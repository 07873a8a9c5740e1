/* SPDX-License-Identifier: Apache-2.0 */
/* test_values.c: tests/values/<case>.qir, one operator each with operands and the expected outputs, computed by NumPy or ONNX Runtime
 * (make.py and attention.py there).
 * Each is run twice through all passes and the interpreter: with its operands as inputs of the graph, and as constants, so that
 * folding computes it (in the first run weights of few bits stay so). Integers must be equal, floats nearly so.
 *
 *   x: uint8[2] = [1, 2]    want0: int32[2] = […]    y0: ? = Op(x)    constants k_… stay constants in both runs
 */
#include "passes/passes.h"
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 1000, MAX_VALUES = 32 };
static char *files[MAX_FILES];
static int nfile;

typedef struct Run {
    Arena *a;
    Diags d;
    Ctx c;
    const char *path;
    Graph *g;
    const void *in[MAX_VALUES];
    Tensor *want[MAX_VALUES];
    int nin, nwant;
} Run;

static void sort_values(Run *r, bool as_inputs) {
    for (int i = 0; i < r->g->tensors.n; i++) {
        Tensor *t = r->g->tensors.v[i];
        if (!t->data || strncmp(t->name, "k_", 2) == 0) continue;
        if (strncmp(t->name, "want", 4) == 0) {
            ck_assert_int_lt(r->nwant, MAX_VALUES);
            r->want[r->nwant++] = t;
        } else if (as_inputs) {
            ck_assert_int_lt(r->nin, MAX_VALUES);
            r->in[r->nin++] = t->data;
            t->data = NULL;
            t->is_input = true;
            vec_push(r->a, &r->g->in, t);
        }
    }
    ck_assert_msg(r->nwant == r->g->out.n && r->nwant > 0, "%s: %d outputs are expected, there are %d", r->path, r->nwant, r->g->out.n);
}
static void compare(const Run *r, int i, const Tensor *got, const int64_t *dims, const void *data) {
    const Tensor *want = r->want[i];
    bool same_type = want->type.dt == got->type.dt && want->type.rank == got->type.rank;
    for (int k = 0; k < want->type.rank && same_type; k++) same_type = want->type.dim[k] == dims[k];
    ck_assert_msg(same_type, "%s: output %d has another type or shape", r->path, i);
    double top = 0;
    for (int64_t k = 0; k < tensor_elements(want); k++) {
        double w = fabs(dtype_get_f(want->type.dt, want->data, k));
        if (isfinite(w)) top = fmax(top, w);
    }
    double room = dtype_is_float(want->type.dt) ? 1e-6 + 1e-5 * top : 0;
    for (int64_t k = 0; k < tensor_elements(want); k++) {
        double w = dtype_get_f(want->type.dt, want->data, k), v = dtype_get_f(got->type.dt, data, k);
        bool same = w == v || (isnan(w) && isnan(v));
        ck_assert_msg(same || fabs(w - v) <= room, "%s: output %d, element %lld is %g, expected %g", r->path, i, (long long)k, v, w);
    }
}
static void run_file(const char *path, bool as_inputs) {
    Run r = {.a = arena_new(), .path = path};
    size_t n;
    r.d.a = r.a;
    r.c = (Ctx){r.a, &r.d};
    ops_init();
    const char *text = file_read_whole(&r.c, path, 1 << 20, &n);
    ck_assert_msg(text != NULL, "cannot read %s", path);
    r.g = graph_parse(&r.c, path, arena_strndup(r.a, text, n));
    if (!r.g) diag_print_all(&r.d, false);
    ck_assert_msg(r.g != NULL, "%s does not parse", path);
    sort_values(&r, as_inputs);
    Program *p = passes_run(&r.c, r.g, &(PassOptions){.verify = true, .narrow_weights = as_inputs});
    if (!p) diag_print_all(&r.d, false);
    ck_assert_msg(p != NULL, "%s does not compile", path);
    void *out[MAX_VALUES];
    int64_t *dims[MAX_VALUES];
    for (int i = 0; i < r.nwant; i++) {
        out[i] = arena_alloc(r.a, (size_t)tensor_bytes(p->g->out.v[i]) + 64);
        dims[i] = NEW_ARRAY(r.a, int64_t, QN_MAX_RANK);
    }
    ck_assert(program_interpret_dims(&r.c, p, r.in, NULL, out, dims));
    for (int i = 0; i < r.nwant; i++) compare(&r, i, p->g->out.v[i], dims[i], out[i]);
    arena_free(r.a);
}
START_TEST(test_inputs) { run_file(files[_i], true); }
END_TEST
START_TEST(test_constants) { run_file(files[_i], false); }
END_TEST
/* Forms that are refused: the operands, the node, part of the error. */
#define MS      "\"com.microsoft\"::"
#define GROUPED MS "GroupQueryAttention(q, k, k, "
#define TREE(weights, modes)                                                                                                               \
    "\"ai.onnx.ml\"::TreeEnsemble(x) {leaf_targetids=[0,0], leaf_weights=" weights                                                         \
    ", n_targets=1, nodes_falseleafs=[1], nodes_falsenodeids=[1], "                                                                        \
    "nodes_featureids=[0], nodes_modes=" modes                                                                                             \
    ", nodes_splits=float32[1]{0.5}, nodes_trueleafs=[1], nodes_truenodeids=[0], tree_roots=[0]}"
static const struct {
    const char *operands, *node, *error;
} refused[] = {
    {"x: float32[2,3]", TREE("complex64[2]{hex(\"00000000000000000000000000000000\")}", "uint8[1]{0}"), "a tensor of complex64; floats"},
    {"x: float32[2,3]", TREE("float32[2]{1, 2}", "float32[1]{0}"), "a tensor of float32; uint8"},
    {"x: float32[2,3,4], w: float32[4,12]", MS "Attention(x, w) {num_heads=2, do_rotary=1}", "do_rotary is not supported"},
    {"x: float32[2,3,4], w: float32[4,12]", MS "Attention(x, w) {num_heads=2, past_present_share_buffer=1}",
     "share_buffer is not supported"},
    {"x: float32[2,3,4], w: float32[4,12]", MS "Attention(x, w) {num_heads=3}", "12 columns, which are not those"},
    {"x: float32[2,3,4], w: float32[4,12]", MS "Attention(x, w) {num_heads=2, qkv_hidden_sizes=[4,4]}", "has 2 elements, expected 3"},
    {"x: float32[2,3,4], w: float32[4,12], m: int32[2,1,3,3]", MS "Attention(x, w, _, m) {num_heads=2}", "the mask has 4 dims"},
    {"x: float32[2,3,4], w: float32[4,12], m: int32[5]", MS "Attention(x, w, _, m) {num_heads=2}", "a mask with 1 dim is expected"},
    {"x: float32[2,3,4], w: float32[4,12], m: int32[2,2]", MS "Attention(x, w, _, m) {num_heads=2}", "and each key, past ones included"},
    {"x: float32[2,3,4], w: float32[4,12], p: float32[2,2,2,5,3]", MS "Attention(x, w, _, _, p) {num_heads=2}", "past is expected to be"},
    {"x: uint8[2,3,4], w: int8[4,12], b: float32[11], s: float32[]", MS "QAttention(x, w, b, s, s) {num_heads=2}",
     "a vector of 12 elements"},
    {"q: float32[2,3,4]", MS "MultiHeadAttention(q) {num_heads=2}", "query and key are expected"},
    {"q: float32[2,3,4], k: float32[2,5,4]", MS "MultiHeadAttention(q, k, k) {num_heads=2, unidirectional=1}", "another number of keys"},
    {"q: float32[2,3,4], k: float32[3,5,4]", MS "MultiHeadAttention(q, k, k) {num_heads=2}", "another number of samples"},
    {"q: float32[2,3,4], n: int32[1]", MS "MultiHeadAttention(q, q, q, _, _, _, _, _, n) {num_heads=2}", "past_sequence_length"},
    {"q: float32[2,3,4], b: float32[2,3,3,3]", MS "MultiHeadAttention(q, q, q, _, _, b) {num_heads=2}", "attention_bias is expected"},
    {"q: float32[2,3,4], p: float32[2,2,1,2]", MS "MultiHeadAttention(q, q, q, _, _, _, p) {num_heads=2}", "are expected both"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[]", GROUPED "_, _, l) {num_heads=4, kv_num_heads=2}", "is left out"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[]", GROUPED "_, _, l, t) {num_heads=4, kv_num_heads=3}", "a multiple of"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[] = [4]", GROUPED "_, _, l, t) {num_heads=4, kv_num_heads=2}",
     "at most 0 past"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[]", GROUPED "_, _, l, t) {num_heads=4, kv_num_heads=2, do_rotary=1}",
     "cos_cache and sin_cache are expected"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[]", GROUPED "_, _, l, t) {num_heads=4, kv_num_heads=2, causal=0}",
     "causal=0"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[], p: int8[2,2,5,2]", GROUPED "p, p, l, t) {num_heads=4, kv_num_heads=2}",
     "a quantised cache"},
    {"q: float32[2,3,8], k: float32[2,3,4], l: int32[2], t: int32[], s: float32[3]",
     GROUPED "_, _, l, t, _, _, _, _, s) {num_heads=4, kv_num_heads=2}", "a vector of 4 elements"},
    {"x: float32[2,3,4], p: int64[1], t: float32[5,1]", MS "RotaryEmbedding(x, p, t, t) {scale=2}", "a scale other than 1"},
    {"x: float32[2,3,5], p: int64[1], t: float32[5,1]", MS "RotaryEmbedding(x, p, t, t)", "5 columns are not those of heads"},
    {"x: float32[2,3,4], p: int64[2], t: float32[5,1]", MS "RotaryEmbedding(x, p, t, t)", "position_ids are expected"},
    {"a: float32[2,16], b: uint8[1,1,8], s: float32[1]", MS "MatMulNBits(a, b, s) {K=16, N=1, block_size=16}",
     "B is computed of uint8; a constant"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1]", MS "MatMulNBits(a, b, s) {K=16, N=1, block_size=16, bits=3}",
     "bits is 3"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1]", MS "MatMulNBits(a, b, s) {K=16, N=1, block_size=24}",
     "block_size is 24"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1]", MS "MatMulNBits(a, b, s) {K=16, N=2, block_size=16}",
     "B has 8 bytes, expected N = 2 times 1 blocks of 8"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[3]", MS "MatMulNBits(a, b, s) {K=16, N=1, block_size=16}",
     "there are 3 scales"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1], z: uint8[2] = [1,2]",
     MS "MatMulNBits(a, b, s, z) {K=16, N=1, block_size=16}", "zero_points has 2 bytes"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1], i: int32[16]",
     MS "MatMulNBits(a, b, s, _, i) {K=16, N=1, block_size=16}", "g_idx is expected to be a constant"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1], i: int32[16] = [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1]",
     MS "MatMulNBits(a, b, s, _, i) {K=16, N=1, block_size=16}", "element 15 of g_idx is 1, expected 0 to 0"},
    {"a: float32[2,16], b: uint8[1,1,8] = [1,2,3,4,5,6,7,8], s: float32[1]",
     MS "MatMulNBits(a, b, s) {K=16, N=1, block_size=16, weight_prepacked=1}", "weight_prepacked"},
    {"a: float32[2,16], b: uint8[8] = [1,2,3,4,5,6,7,8], s: float32[1]", MS "MatMulBnb4(a, b, s) {K=16, N=1, block_size=16, quant_type=2}",
     "quant_type is 2"},
    {"a: float32[2,16], b: uint8[8] = [1,2,3,4,5,6,7,8], s: float32[1]", MS "MatMulBnb4(a, b, s) {K=16, N=2, block_size=16, quant_type=1}",
     "B has 8 bytes, expected 16"},
    {"i: int64[2], b: uint8[1,8] = [1,2,3,4,5,6,7,8], s: float32[2,1]", MS "GatherBlockQuantized(b, i, s) {block_size=16}",
     "do not fit 4 bits"},
    {"i: int64[2], b: uint8[1,8] = [1,2,3,4,5,6,7,8], s: float32[1,1]", MS "GatherBlockQuantized(b, i, s) {block_size=16, quantize_axis=0}",
     "no two axes"},
    {"x: float32[3,1,2], w: int8[1,2,4], r: int8[1,1,4]", MS "DynamicQuantizeLSTM(x, w, r) {hidden_size=1}",
     "a scale or zero point of the weights, is left out"},
    {"x: uint8[3,4]", MS "NhwcMaxPool(x) {kernel_shape=[2]}", "2 dims, expected at least 3"},
    {"x: float32[1,2,2,4], g: float32[4]", MS "GroupNorm(x, g, g) {groups=2, activation=2}", "activation is 2"},
    {"x: float32[1,2,2,4], g: float32[1,2,2,2]", MS "GridSample(x, g) {mode=\"area\"}", "mode is 'area'"},
    {"b: float32[1,2,4], s: float32[1,1,2], k: int64[0]", "NonMaxSuppression(b, s, k)", "is int64[0]; one element is expected"},
    {"x: float32[1,1,4,4], s: float32[4,1]", "Resize(x, _, s)", "scales has 2 dims"},
    {"x: uint8[2,3], s: float32[2], z: uint8[]", MS "QLinearSigmoid(x, s, z, s, z)", "input 1 's', a scale or zero point"},
    {"x: float32[2,2], s: float32[], z: int8[]", "QLinearMatMul(x, s, z, x, s, z, s, z)", "is float32; a type of 8 bits"},
    {"x: uint8[1,1,3,3], w: uint8[2,1,2,2], s: float32[], v: float32[0], z: uint8[]", "QLinearConv(x, s, z, w, v, z, s, z)",
     "w_scale has 0"},
    {"n: int64[] = [4], r: int64[] = [0], f: float32[]", "MelWeightMatrix(n, n, r, f, f)", "sample_rate is 0"},
    {"x: float32[3,2,4]", MS "Inverse(x)", "a square matrix"},
    {"x: float32[3,3], w: float32[3,2]", MS "ComplexMul(x, w)", "a real and an imaginary part"},
    {"x: float32[3,8]", MS "Rfft(x) {signal_ndim=2}", "signal_ndim is 2"},
    {"x: float32[1,1,3,3], r: float32[2,4], b: int32[3], k: int32[2] = [2,2]", MS "CropAndResize(x, r, b, k)", "one a region"},
    {"x: int8[2,3], s: float32[]", MS "DequantizeWithOrder(x, s) {order_input=0, order_output=1}", "order_input is 0"},
    {"x: float32[5,4], w: float32[4,12], b: float32[12], o: int32[2,3], e: int32[3], p: float32[2,2,3,3]",
     MS "PackedAttention(x, w, b, o, e, p) {num_heads=2}", "attention_bias is not supported here"},
    {"q: float32[2,1,4], p: float32[2,2,5,2]",
     MS "DecoderMaskedMultiHeadAttention(q, q, q, _, _, p, p) {num_heads=2, past_present_share_buffer=1}",
     "past_sequence_length is expected"},
};
START_TEST(test_refused) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    ops_init();
    char *operand = arena_strdup(a, refused[_i].operands), *inputs = "", *constants = "";
    for (char *next; operand; operand = next) { /* what has a value is a constant */
        next = strstr(operand, ", ");
        if (next) *next = 0, next += 2;
        if (strchr(operand, '=')) constants = arena_printf(a, "%s  %s\n", constants, operand);
        else inputs = arena_printf(a, "%s%s%s", inputs, *inputs ? ", " : "", operand);
    }
    Graph *g = graph_parse(&c, "refused.qir", arena_printf(a, "graph g(%s) -> (y)\n%s  y: ? = %s\n", inputs, constants, refused[_i].node));
    ck_assert_msg(g != NULL, "case %d does not parse: %s", _i, d.list.n ? d.list.v[0].text : "");
    ck_assert_ptr_null(passes_run(&c, g, &(PassOptions){.verify = true}));
    bool found = d.list.n == 1 && strstr(d.list.v[0].text, refused[_i].error); /* and nothing else is said */
    ck_assert_msg(found, "case %d: '%s' is expected, found: %s", _i, refused[_i].error, d.list.n ? d.list.v[0].text : "nothing");
    arena_free(a);
}
END_TEST
START_TEST(test_there_are_files) { ck_assert_int_gt(nfile, 0); }
END_TEST

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static void find_files(const char *folder) {
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[1024];
        size_t n = strlen(e->d_name);
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".qir") == 0 && nfile < MAX_FILES) files[nfile++] = strdup(path);
    }
    if (d) closedir(d);
}
Suite *values_suite(void) {
    Suite *s = suite_create("values");
    TCase *c = tcase_create("files");
    if (!nfile) find_files(QUERN_SOURCE_DIR "/tests/values");
    qsort(files, (size_t)nfile, sizeof *files, by_name);
    tcase_add_test(c, test_there_are_files);
    tcase_add_loop_test(c, test_inputs, 0, nfile);
    tcase_add_loop_test(c, test_constants, 0, nfile);
    tcase_add_loop_test(c, test_refused, 0, (int)(sizeof refused / sizeof *refused));
    suite_add_tcase(s, c);
    return s;
}
