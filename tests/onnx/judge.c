/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c: one data set through a compiled model, and whether the outputs are right. ONNX's data have one tolerance: 1e-6 and a
 * thousandth of each expected element for floats of 16 to 64 bits; everything else, and casts and quantisation, bit for bit. Models
 * of other folders have that of `quern verify`.
 *
 *   float32 expected 2.0, got 2.0019   ->   right         int8 expected 3, got 4   ->   wrong
 */
#include "corpus.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- exceptions: every one is here, by the name that ONNX gave it */
static const struct {
    const char *name;
    bool prefix;
    ExemptKind kind;
    const char *why;
} exemptions[] = {
    {"test_bernoulli", true, EXEMPT_RANDOM, "the stored values are draws of NumPy's generator: judged by shape, domain and frequency"},
    {"test_training_dropout", false, EXEMPT_RANDOM,
     "the stored mask was drawn by NumPy's generator: judged by shape, domain and frequency"},
    {"test_training_dropout_mask", false, EXEMPT_RANDOM,
     "the stored mask was drawn by NumPy's generator: judged by shape, domain and frequency"},
    {"test_training_dropout_default", false, EXEMPT_RANDOM,
     "the stored mask was drawn by NumPy's generator: judged by shape, domain and frequency"},
    {"test_training_dropout_default_mask", false, EXEMPT_RANDOM,
     "the stored mask was drawn by NumPy's generator: judged by shape, domain and frequency"},
    {"test_gradient_of_add", true, EXEMPT_REFUSED, "Gradient asks for a derivative of the graph around it; it is refused by name"},
    {"test_image_decoder_decode_jpeg2k_rgb", false, EXEMPT_EMPTY,
     "JPEG 2000 is not among the formats that are decoded: an empty picture, as ONNX says"},
    {"test_image_decoder_decode_webp_rgb", false, EXEMPT_EMPTY,
     "WebP is not among the formats that are decoded: an empty picture, as ONNX says"},
};
static bool is_models(const Case *k) { return strcmp(k->corpus, "models") == 0; }
ExemptKind exempt(const Case *k, const char **why) {
    for (size_t i = 0; i < sizeof exemptions / sizeof *exemptions && !is_models(k); i++) {
        size_t n = strlen(exemptions[i].name);
        if (strncmp(k->name, exemptions[i].name, n) != 0 || (!exemptions[i].prefix && k->name[n])) continue;
        *why = exemptions[i].why;
        return exemptions[i].kind;
    }
    return EXEMPT_NONE;
}

/* ---- comparison */
static bool exact(const Case *k, DType t) {
    return !dtype_is_float(t) || dtype_info[t].bits < 16 || strncmp(k->name, "test_cast", 9) == 0 || strstr(k->name, "quantize");
}
static bool element_ok(DType t, const void *got, const void *want, int64_t i, bool bits) {
    if (!dtype_is_float(t)) return dtype_get_i(t, got, i) == dtype_get_i(t, want, i);
    double x = dtype_get_f(t, got, i), w = dtype_get_f(t, want, i);
    if (isnan(x) || isnan(w)) return isnan(x) && isnan(w);
    if (x == w) return signbit(x) == signbit(w) || !bits;
    return !bits && isfinite(w) && fabs(x - w) <= 1e-6 + 1e-3 * fabs(w);
}
static Compared compare_strict(const Case *k, DType t, int64_t n, const void *got, const void *want) {
    Compared r = {.ok = true, .at = -1};
    for (int64_t i = 0; i < n; i++) {
        if (element_ok(t, got, want, i, exact(k, t))) continue;
        if (r.at < 0) r.at = i;
        r.bad++, r.ok = false;
    }
    return r;
}
static Compared compare_lax(const Case *k, const json_t *m, DType t, int64_t n, const void *got, const void *want) {
    Tolerance tol = tolerance_default(&(Graph){0}, t, -1, -1);
    bool recurrent =
        strstr(k->dir, "lstm") || strstr(k->dir, "gru") || strstr(k->dir, "rnn") || json_is_true(json_object_get(m, "recurrent"));
    if (k->within > 0) tol = (Tolerance){k->within, 0};
    if (recurrent && tol.atol == 1e-4) tol = (Tolerance){1e-3, 1e-3};
    return compare_values(t, n, got, want, tol);
}
static const char *string_at(Ctx *c, const void *data, int64_t i) {
    const int64_t *off = data;
    return arena_printf(c->a, "\"%.*s\"", (int)(off[i + 1] - off[i]), (const char *)data + off[i]);
}
static const char *compare_strings(Ctx *c, int64_t n, const void *got, const void *want) {
    const int64_t *x = got, *w = want;
    for (int64_t i = 0; i < n; i++) {
        bool same = x[i + 1] - x[i] == w[i + 1] - w[i] &&
                    memcmp((const char *)got + x[i], (const char *)want + w[i], (size_t)(w[i + 1] - w[i])) == 0;
        if (!same) return arena_printf(c->a, "[%lld] %s, expected %s", (long long)i, string_at(c, got, i), string_at(c, want, i));
    }
    return NULL;
}

/* ---- random values: in their domain, and as frequent as asked for within six standard deviations */
static const char *check_bernoulli(Ctx *c, DType t, int64_t n, const void *got, const Value *p) {
    double ones = 0, mean = 0, var = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = dtype_get_f(t, got, i), q = dtype_get_f(p->type.dt, p->data, i);
        if (v != 0 && v != 1) return arena_printf(c->a, "[%lld] %g; 0 or 1 is expected", (long long)i, v);
        ones += v, mean += q, var += q * (1 - q);
    }
    return fabs(ones - mean) <= 6 * sqrt(var) + 1 ? NULL
                                                  : arena_printf(c->a, "%g ones of %lld; about %g are expected", ones, (long long)n, mean);
}
static const char *check_dropout(Ctx *c, const Type *t, int64_t n, const void *got, const DataSet *set) {
    double ratio = set->in.n > 1 ? dtype_get_f(set->in.v[1].type.dt, set->in.v[1].data, 0) : 0.5, dropped = 0;
    const Value *x = &set->in.v[0];
    for (int64_t i = 0; i < n; i++) {
        double v = dtype_get_f(t->dt, got, i), keep = t->dt == DT_BOOL ? 1 : dtype_get_f(x->type.dt, x->data, i) / (1 - ratio);
        if (v != 0 && fabs(v - keep) > 1e-6 + 1e-3 * fabs(keep))
            return arena_printf(c->a, "[%lld] %g; 0 or %g is expected", (long long)i, v, keep);
        dropped += v == 0;
    }
    return fabs(dropped - ratio * (double)n) <= 6 * sqrt((double)n * ratio * (1 - ratio)) + 1
               ? NULL
               : arena_printf(c->a, "%g of %lld dropped", dropped, (long long)n);
}

/* ---- one set */
/* The kinds of a manifest's type, such as seq(tensor(float32)); what is behind it. */
static const char *wrapped_type(Ctx *c, const char *s, Type *t) {
    static const char *const word[] = {"seq(", "optional(", "map("};
    for (int k = 0; k < 3; k++) {
        size_t n = strlen(word[k]);
        if (strncmp(s, word[k], n) != 0) continue;
        Wrap *w = NEW(c->a, Wrap);
        *w = (Wrap){.kind = (WrapKind)k, .hi = DIM_UNKNOWN, .of = {.dt = DT_NONE, .rank = -1}};
        *t = (Type){.dt = DT_NONE, .rank = -1, .wrap = w};
        s += n;
        if (k < 2) return (s = wrapped_type(c, s, &w->of)) && *s == ')' ? s + 1 : NULL;
        const char *comma = strchr(s, ','), *end = strchr(s, ')');
        if (!comma || !end || end < comma) return NULL;
        w->key = dtype_parse(arena_strndup(c->a, s, (size_t)(comma - s)));
        w->of.dt = dtype_parse(arena_strndup(c->a, comma + 1, (size_t)(end - comma - 1)));
        return end + 1;
    }
    const char *end = strchr(s, ')');
    if (strncmp(s, "tensor(", 7) != 0 || !end) return NULL;
    t->dt = dtype_parse(arena_strndup(c->a, s + 7, (size_t)(end - s - 7)));
    return end + 1;
}
/* What data sets are read by: inputs and outputs that are no tensors. */
static Graph *manifest_types(Ctx *c, const json_t *m) {
    static const char *const side[] = {"inputs", "outputs"};
    Graph *g = NEW(c->a, Graph);
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < json_array_size(json_object_get(m, side[s])); i++) {
            const char *type = json_string_value(json_object_get(json_array_get(json_object_get(m, side[s]), i), "type"));
            Tensor *t = NEW(c->a, Tensor);
            if (type && !wrapped_type(c, type, &t->type)) return NULL;
            if (s) vec_push(c->a, &g->out, t);
            else vec_push(c->a, &g->in, t);
        }
    return g;
}
static bool entry_type(const json_t *e, Type *t) {
    const json_t *shape = json_object_get(e, "shape");
    const char *dt = json_string_value(json_object_get(e, "dtype"));
    t->dt = dtype_parse(dt ? dt : "");
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank && i < QN_MAX_RANK; i++) t->dim[i] = json_integer_value(json_array_get(shape, (size_t)i));
    return t->dt != DT_NONE;
}
static int64_t entry_bytes(const json_t *e) { return json_integer_value(json_object_get(e, "max_bytes")); }
static const char *type_text(Ctx *c, const Type *t) {
    Text s = {0};
    type_print(t, &s);
    const char *r = arena_strdup(c->a, s.s);
    text_free(&s);
    return r;
}
static bool light_read(Ctx *c, const json_t *ins, const char *path, DataSet *set) {
    Value out = {0};
    for (size_t i = 0; i < json_array_size(ins); i++) {
        Value v = {0};
        int64_t n, bytes;
        if (!entry_type(json_array_get(ins, i), &v.type) || !type_elements(&v.type, &n) || !dtype_bytes(v.type.dt, n, &bytes)) return false;
        v.data = arena_alloc(c->a, (size_t)bytes + 1);
        for (int64_t k = 0; k < n; k++) dtype_set_f(v.type.dt, v.data, k, (double)k / (double)n);
        vec_push(c->a, &set->in, v);
    }
    if (!onnx_read_tensor(c, path, &out)) return false;
    vec_push(c->a, &set->out, out);
    return true;
}
static const char *judge_tensor(Ctx *c, const Case *k, const json_t *m, size_t i, DType dt, int64_t n, const void *got, const void *want) {
    if (dt == DT_STRING) return compare_strings(c, n, got, want);
    if (dtype_info[dt].cls == CLS_CPLX) dt = dt == DT_COMPLEX64 ? DT_FLOAT32 : DT_FLOAT64, n *= 2;
    Compared r = is_models(k) ? compare_lax(k, m, dt, n, got, want) : compare_strict(k, dt, n, got, want);
    if (r.ok) return NULL;
    return arena_printf(c->a, "output %zu: %lld of %lld differ, e.g. [%lld] %.7g, expected %.7g", i, (long long)r.bad, (long long)n,
                        (long long)r.at, dtype_get_f(dt, got, r.at), dtype_get_f(dt, want, r.at));
}
/* The dims lists are equal, then all tensors inside, then the zeros between them. */
static const char *judge_list(Ctx *c, const Case *k, const json_t *m, size_t i, const void *got, const int64_t *dims, const Value *want) {
    Value v = *want;
    Values x = {0}, y = {0};
    v.data = (void *)(uintptr_t)got, v.dims = (int64_t *)(uintptr_t)dims;
    for (int64_t w = 0; w < want->ndims; w++)
        if (dims[w] != want->dims[w])
            return arena_printf(c->a, "output %zu: word %lld of the dims list is %lld, expected %lld", i, (long long)w, (long long)dims[w],
                                (long long)want->dims[w]);
    value_tensors(c->a, &v, &x), value_tensors(c->a, want, &y);
    for (int e = 0; e < y.n; e++) {
        int64_t n = 0;
        type_elements(&y.v[e].type, &n);
        const char *why = judge_tensor(c, k, m, i, y.v[e].type.dt, n, x.v[e].data, y.v[e].data);
        if (why) return why;
        const char *end = (const char *)x.v[e].data + x.v[e].bytes, *next = e + 1 < y.n ? x.v[e + 1].data : end;
        for (; end < next; end++)
            if (*end) return arena_printf(c->a, "output %zu: bytes between its tensors are not 0", i);
    }
    return NULL;
}
static const char *judge_output(Ctx *c, const Case *k, const json_t *m, size_t i, const void *got, const int64_t *dims,
                                const DataSet *set) {
    const json_t *e = json_array_get(json_object_get(m, "outputs"), i);
    Type t = {0};
    Value *want = &set->out.v[i];
    int64_t n;
    const char *why;
    if (want->type.wrap) return judge_list(c, k, m, i, got, dims, want);
    bool typed = entry_type(e, &t);
    for (int d = 0; d < t.rank; d++) t.dim[d] = dims[d];
    if (typed && exempt(k, &why) == EXEMPT_EMPTY && type_elements(&t, &n) && n == 0) return NULL;
    if (!typed || !value_fit(want, &t))
        return arena_printf(c->a, "output %zu is %s, stored is %s", i, type_text(c, &t), type_text(c, &want->type));
    type_elements(&t, &n);
    if (exempt(k, &why) == EXEMPT_RANDOM)
        return strstr(k->name, "dropout") ? check_dropout(c, &t, n, got, set) : check_bernoulli(c, t.dt, n, got, &set->in.v[0]);
    return judge_tensor(c, k, m, i, t.dt, n, got, want->data);
}
Stage judge_set(Ctx *c, const Case *k, InvokeFn *invoke, const json_t *m, const char *dir, const char **why) {
    DataSet set = {0};
    const json_t *ins = json_object_get(m, "inputs"), *outs = json_object_get(m, "outputs");
    size_t nin = json_array_size(ins), nout = json_array_size(outs),
           arena_bytes = (size_t)json_integer_value(json_object_get(m, "arena_bytes"));
    void *arena = NULL;
    const Graph *types = manifest_types(c, m);
    if (!types) return *why = "a type of the manifest is not readable", RUN;
    if (!(k->light ? light_read(c, ins, dir, &set) : dataset_read(c, dir, types, &set))) return *why = "data not readable", RUN;
    if ((size_t)set.in.n < nin) return *why = "fewer stored inputs than the manifest has", RUN;
    const void **in = NEW_ARRAY(c->a, const void *, nin + 1);
    void **out = NEW_ARRAY(c->a, void *, nout + 1);
    for (size_t i = 0; i < nin; i++) {
        Type t = {0};
        in[i] = set.in.v[i].data;
        if (set.in.v[i].type.wrap) continue; /* the entry point checks its dims list */
        bool typed = entry_type(json_array_get(ins, i), &t);
        const json_t *symbols = json_object_get(json_array_get(ins, i), "symbols");
        for (int d = 0; d < t.rank && d < set.in.v[i].type.rank; d++) /* the manifest has bounds */
            if (json_is_string(json_array_get(symbols, (size_t)d))) t.dim[d] = min_i64(t.dim[d], set.in.v[i].type.dim[d]);
        if (!typed || !value_fit(&set.in.v[i], &t)) return *why = "stored input has another type than the manifest says", RUN;
    }
    for (size_t i = 0; i < nout; i++) out[i] = arena_alloc(c->a, (size_t)entry_bytes(json_array_get(outs, i)) + 1);
    if (posix_memalign(&arena, 64, arena_bytes + 1)) return *why = "no memory", RUN;
    memset(arena, 0xa5, arena_bytes);
    memset(arena, 0, (size_t)json_integer_value(json_object_get(m, "state_bytes")));
    int64_t **out_dims = NEW_ARRAY(c->a, int64_t *, nout + 1);
    const int64_t **in_dims = NEW_ARRAY(c->a, const int64_t *, nin + 1);
    for (size_t i = 0; i < nout; i++) {
        int64_t words = json_integer_value(json_object_get(json_array_get(outs, i), "max_dims"));
        out_dims[i] = NEW_ARRAY(c->a, int64_t, max_i64(words, QN_MAX_RANK));
    }
    for (size_t i = 0; i < nin; i++) in_dims[i] = value_dims(&set.in.v[i]);
    int r = invoke(arena, in, in_dims, out, out_dims);
    if (r) return *why = arena_printf(c->a, "invoke returned %d", r), RUN;
    for (size_t i = 0; i < nout && i < (size_t)set.out.n; i++)
        if ((*why = judge_output(c, k, m, i, out[i], out_dims[i], &set))) return WRONG;
    free(arena);
    return PASS;
}
