/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c: a graph in files that ort.js runs in ONNX Runtime, and its answers.
 *
 *   DIR/g00012/model.onnx in.json in_0.bin …   ->   out.json out_0.bin …   or error.txt
 */
#include "fuzz.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void put(const char *dir, const char *name, const void *data, size_t n) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *t = fopen(path, "wb");
    if (!t || fwrite(data, 1, n, t) != n) BUG("cannot write %s", path);
    fclose(t);
}
static void *get(Arena *a, const char *dir, const char *name, size_t *n) {
    Diags d = {.a = a};
    return file_read_whole(&(Ctx){a, &d}, arena_printf(a, "%s/%s", dir, name), 1 << 24, n);
}
/* ---- where ONNX Runtime 1.30 does other than the specification says, or is not bound by it: such nodes are not compared */
/* Of operand 0: no axes, float16, float16 that nodes before have computed, integers, integers whose product leaves 31 bits; of any operand:
 * NaN or infinity, float16 that is infinite, floats whose squares leave float32, no elements, integers above a million; of operand 1: a
 * place outside of [-1, 1]; of operand 2: factors other than 1 that keep all extents
 */
typedef enum Where { SCALAR, HALF, ROUNDED, INTEGER, PRODUCT, WILD, BEYOND, VAST, EMPTY, LARGE, OUTSIDE, SAME, ALWAYS } Where;
static const struct {
    const char *op;
    Where where;
    const char *attr; /* NULL, or one that is neither absent nor 0; "name=text": one with this text */
    const char *why;
} known[] = {
    {"NonZero", SCALAR, NULL, "a scalar gives one row of indices; the specification says (0, N)"},
    {"Pad", SCALAR, NULL, "scalars are refused"},
    {"ThresholdedRelu", HALF, NULL, "an element equal to alpha is kept; the specification says x > alpha"},
    {"Resize", INTEGER, NULL, "integers are rounded, in fixed point, or truncated below what is an integer; the reference truncates"},
    {"RNN", WILD, NULL, "the product with an absent initial state is left out, so infinity times 0 is not NaN"},
    {"GRU", WILD, NULL, "as RNN"},
    {"LSTM", WILD, NULL, "as RNN"},
    {"FusedConv", WILD, NULL, "weights are multiplied by the padding's zeros"},
    {"Conv", WILD, NULL, "as FusedConv"},
    {"ScatterND", WILD, NULL, "max and min keep what is not NaN"},
    {"ScatterElements", WILD, NULL, "as ScatterND"},
    {"MaxPool", WILD, NULL, "NaN is kept or left out, by element type and size"},
    {"GlobalMaxPool", WILD, NULL, "as MaxPool"},
    {"ReduceMax", WILD, NULL, "as MaxPool"},
    {"ReduceMin", WILD, NULL, "as MaxPool"},
    {"Hardmax", WILD, NULL, "as MaxPool"},
    {"GridSample", WILD, NULL, "a position that is infinite or NaN is converted to an integer"},
    {"Einsum", WILD, NULL, "infinities meet in another order of products"},
    {"Attention", WILD, NULL, "what a mask hides is multiplied by 0"},
    {"Resize", WILD, NULL, "as Attention: some weights are 0"},
    {"Sign", WILD, NULL, "the sign of NaN is 0"},
    {"TopK", WILD, NULL, "the order of NaN depends on the algorithm"},
    {"NonMaxSuppression", WILD, NULL, "as TopK"},
    {"Clip", WILD, NULL, "infinities are cut to the largest finite number without bounds"},
    {"Asinh", WILD, NULL, "a formula that cancels"},
    {"LRN", WILD, NULL, "the sum of squares is carried on, and with it infinity"},
    {"DeformConv", WILD, NULL, "samples outside are left out before they are multiplied"},
    {"GroupNormalization", WILD, NULL, "the variance is a difference of squares, which overflow"},
    {"Floor", ROUNDED, NULL, "float16 is kept in float32 between nodes, so that 0.9999 is not 1"},
    {"Ceil", ROUNDED, NULL, "as Floor"},
    {"Round", ROUNDED, NULL, "as Floor"},
    {"Sign", ROUNDED, NULL, "as Floor"},
    {"Mod", ROUNDED, NULL, "as Floor"},
    {"ConvTranspose", ROUNDED, NULL, "as Floor, where sums cancel"},
    {"Div", BEYOND, NULL, "as Floor: what is infinite in float16 is a number there, and inf/inf is not NaN"},
    {"Softsign", WILD, NULL, "as Floor: what is infinite in float16 is 65536 there, and inf/inf is not NaN"},
    {"Mod", LARGE, "fmod", "integers are converted to double: 2^64 - 1 modulo 3 is 1 there"},
    {"LogSoftmax", WILD, NULL, "the largest element is found without NaN"},
    {"Softmax", WILD, NULL, "as LogSoftmax"},
    {"Sinh", HALF, NULL, "exponentials that cancel: sinh(-0.001675) is -0.001679"},
    {"Asin", HALF, NULL, "a polynomial that is off near 1"},
    {"Acos", HALF, NULL, "as Asin"},
    {"LayerNormalization", WILD, NULL, "the mean of what has an infinity is NaN, not infinite"},
    {"GroupNormalization", VAST, NULL, "as with infinities"},
    {"LRN", VAST, NULL, "as with infinities: the square of 1e30 stays in the sum"},
    {"Normalizer", VAST, NULL, "doubles are squared as float32"},
    {"Resize", SAME, NULL, "where all extents stay what they are, nothing is resampled, whatever the factors are"},
    {"GridSample", VAST, NULL, "as infinite positions: how often 1e30 is reflected is no integer"},
    {"GridSample", OUTSIDE, "mode=cubic", "a place outside of the border is not moved to it first; the reference does so"},
    {"ReduceProd", PRODUCT, NULL, "as ReduceL1"},
    {"MatMul", EMPTY, NULL, "a sum of nothing is not set to 0"},
    {"Gemm", EMPTY, NULL, "as MatMul: C is not multiplied by beta"},
    {"ConvTranspose", EMPTY, NULL, "as MatMul"},
    {"ArgMax", EMPTY, NULL, "the shape is not the specification's"},
    {"ArgMin", EMPTY, NULL, "as ArgMax"},
    {"ReduceSum", EMPTY, NULL, "as ArgMax, with several axes"},
    {"ReduceSumSquare", LARGE, NULL, "as ReduceL1"},
    {"ReduceProd", LARGE, NULL, "as ReduceL1"},
    {"ReduceMean", LARGE, NULL, "as ReduceL1"},
    {"Resize", LARGE, NULL, "as Shrink"},
    {"ScatterND", HALF, NULL, "float16 is refused"},
    {"ReduceLogSumExp", INTEGER, NULL, "the logarithm is truncated before the largest element is added"},
    {"ReduceL1", LARGE, NULL, "sums of integers saturate; they wrap elsewhere"},
    {"ReduceL2", LARGE, NULL, "as ReduceL1"},
    {"ReduceSum", LARGE, NULL, "sums of int64 lose their low bits"},
    {"Normalizer", LARGE, NULL, "sums of integers wrap, although the result is of floats"},
    {"Shrink", LARGE, NULL, "float to integer out of range is undefined in C++"},
    {"MeanVarianceNormalization", ALWAYS, NULL, "the variance is a difference of squares: below 0 where all are equal"},
};
static bool is_wild(const Value1 *v) {
    for (int64_t i = 0; i < v->n && dtype_is_float(v->dt); i++)
        if (!isfinite(dtype_get_f(v->dt, v->data, i))) return true;
    return false;
}
static bool is_large(const Value1 *v) {
    for (int64_t i = 0; i < v->n && dtype_is_int(v->dt); i++)
        if (fabs(dtype_get_f(v->dt, v->data, i)) > 1e6) return true;
    return false;
}
static bool is_vast(const Value1 *v) { /* 1.8e19 is the root of the largest float32 */
    for (int64_t i = 0; i < v->n && dtype_is_float(v->dt); i++)
        if (fabs(dtype_get_f(v->dt, v->data, i)) > 1e18) return true;
    return false;
}
static bool is_outside(const Value1 *v) {
    for (int64_t i = 0; i < v->n; i++)
        if (!(fabs(dtype_get_f(v->dt, v->data, i)) <= 1)) return true;
    return false;
}
static bool product_overflows(const Value1 *v) {
    double p = 1;
    for (int64_t i = 0; i < v->n && dtype_is_int(v->dt); i++) p *= fmax(1, fabs(dtype_get_f(v->dt, v->data, i)));
    return p > 2147483647;
}
static bool keeps_extents(const Node1 *n, const Value1 *x, const Value1 *factors) {
    int k = op_attr_index(n->op, "axes");
    const Attr *axes = k >= 0 && n->attr[k].kind == ATTR_INTS ? &n->attr[k] : NULL;
    for (int64_t i = 0; i < factors->n; i++) {
        int64_t axis = axes && i < axes->n ? axes->is[i] : i, d = x->dim[axis < 0 ? axis + x->rank : axis];
        if ((int64_t)floor((double)d * dtype_get_f(factors->dt, factors->data, i)) != d) return false;
    }
    return factors->n > 0;
}
static bool is_there(const Fuzz *f, const Node1 *n, Where w) {
    const Value1 *x = n->nin && n->in[0] >= 0 ? &f->v.v[n->in[0]] : NULL;
    bool any = w == ALWAYS;
    for (int i = 0; i < n->nin; i++) {
        const Value1 *v = n->in[i] >= 0 ? &f->v.v[n->in[i]] : NULL;
        any |= v && ((w == WILD && is_wild(v)) || (w == BEYOND && v->dt == DT_FLOAT16 && is_wild(v)) || (w == EMPTY && v->n == 0) ||
                     (w == LARGE && is_large(v)) || (w == VAST && is_vast(v)));
    }
    if (w == PRODUCT) return x && product_overflows(x);
    if (w == OUTSIDE) return n->nin > 1 && is_outside(&f->v.v[n->in[1]]);
    if (w == SAME) return n->nin > 2 && n->in[2] >= 0 && keeps_extents(n, x, &f->v.v[n->in[2]]);
    if (w == ROUNDED) return x && x->dt == DT_FLOAT16 && x->moved;
    return any || (x && ((w == SCALAR && x->rank == 0) || (w == HALF && x->dt == DT_FLOAT16) || (w == INTEGER && dtype_is_int(x->dt))));
}
static bool attr_is(const Node1 *n, const char *attr) {
    char name[32];
    size_t length = attr ? strcspn(attr, "=") : 0;
    if (!attr || length >= sizeof name) return true;
    memcpy(name, attr, length), name[length] = 0;
    int k = op_attr_index(n->op, name);
    if (k < 0 || !attr[length]) return k < 0 || (n->attr[k].kind != ATTR_NONE && n->attr[k].i != 0);
    return n->attr[k].kind == ATTR_STRING && strcmp(n->attr[k].s, attr + length + 1) == 0;
}
const char *ort_differs(const Fuzz *f, const Node1 *n) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].op, n->op->name) != 0 || !is_there(f, n, known[i].where)) continue;
        if (attr_is(n, known[i].attr)) return known[i].why;
    }
    return NULL;
}

bool ort_never(const OpDef *op, DType dt) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        Where w = known[i].where;
        bool is = w == ALWAYS || (w == HALF && dt == DT_FLOAT16) || (w == INTEGER && dtype_is_int(dt));
        if (is && !known[i].attr && strcmp(known[i].op, op->name) == 0) return true;
    }
    return false;
}
enum { ORT_OPSET = 26 };
void ort_write(const Fuzz *f, const char *dir) {
    Arena *a = arena_new();
    size_t bytes;
    void *model = graph_onnx(f, a, ORT_OPSET, &bytes);
    int *list = NEW_ARRAY(a, int, f->v.n + 1), n = values_list(f, value_is_input, list);
    mkdir(dir, 0777);
    put(dir, "model.onnx", model, bytes);
    Text t = {0};
    text_puts(&t, "[");
    for (int i = 0; i < n; i++) {
        const Value1 *v = &f->v.v[list[i]];
        int64_t size = v->bytes;
        put(dir, arena_printf(a, "in_%d.bin", i), v->data, (size_t)size);
        text_printf(&t, "%s{\"name\":\"v%d\",\"type\":\"%s\",\"dims\":[", i ? "," : "", list[i], dtype_name(v->dt));
        for (int k = 0; k < v->rank; k++) text_printf(&t, "%s%lld", k ? "," : "", (long long)v->dim[k]);
        text_puts(&t, "]}");
    }
    text_puts(&t, "]\n");
    put(dir, "in.json", t.s, t.n);
    text_free(&t);
    arena_free(a);
}
/* Quotients of scales are rounded there before values are: where the exact value is next to a tie, results are one step off. */
static bool next_to_tie(const Fuzz *f, const Value1 *v, const void *data, int64_t k) {
    const OpDef *op = v->def >= 0 ? f->n.v[v->def].op : NULL;
    if (!op || !*op->domain || strncmp(op->name, "QLinear", 7) != 0 || !dtype_is_int(v->dt)) return false;
    int64_t d = dtype_get_i(v->dt, data, k) - dtype_get_i(v->dt, v->data, k);
    return d >= -1 && d <= 1;
}
const char *ort_compare(Fuzz *f, const char *dir) {
    Arena *a = f->a;
    size_t bytes;
    const char *error = get(a, dir, "error.txt", &bytes);
    if (error) return arena_printf(a, "-%.*s", (int)strcspn(arena_strndup(a, error, bytes), "\n"), error);
    json_error_t je;
    json_t *meta = json_load_file(arena_printf(a, "%s/out.json", dir), 0, &je);
    if (!meta) return "-it was not run";
    int *list = NEW_ARRAY(a, int, f->v.n + 1), n = values_list(f, value_is_output, list);
    for (int i = 0; i < n; i++) {
        const Value1 *v = &f->v.v[list[i]];
        const json_t *o = json_object_get(meta, arena_printf(a, "v%d", list[i])), *dims = json_object_get(o, "dims");
        bool same = o && (int)json_array_size(dims) == v->rank;
        for (int k = 0; k < v->rank && same; k++) same = json_integer_value(json_array_get(dims, (size_t)k)) == v->dim[k];
        if (!same) return arena_printf(a, "v%d has another shape", list[i]);
        const void *data = get(a, dir, arena_printf(a, "v%d.bin", list[i]), &bytes);
        int64_t size = 0;
        dtype_bytes(v->dt, v->n, &size);
        if (size && (!data || (size_t)size != bytes))
            return arena_printf(a, "v%d has %zu bytes, not %lld", list[i], bytes, (long long)size);
        for (int64_t k = 0; k < v->n; k++)
            if (!value_close(v->dt, data, v->data, v->moved, k) && !next_to_tie(f, v, data, k))
                return arena_printf(a, "v%d[%lld] of %s is %.9g; here it is %.9g", list[i], (long long)k, dtype_name(v->dt),
                                    dtype_get_f(v->dt, data, k), dtype_get_f(v->dt, v->data, k));
    }
    return NULL;
}
