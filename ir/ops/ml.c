/* SPDX-License-Identifier: Apache-2.0 */
/* ml.c: the small operators of ai.onnx.ml, as others, and what the larger ones share.
 *
 *   Scaler(x) {offset=[1], scale=[2]}   ->   (x - 1) * 2         LinearRegressor(x)   ->   Gemm(x, coefficients', intercepts)
 */
#include "../extent.h"
#include "ml.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- attributes */
const Attr *ml_attr(const Node *n, const char *name) {
    int k = op_attr_index(n->op, name);
    return k >= 0 && n->attr[k].kind != ATTR_NONE ? &n->attr[k] : NULL;
}
int64_t ml_count(const Node *n, const char *name) {
    const Attr *a = ml_attr(n, name);
    int64_t count = 0;
    if (!a) return 0;
    return a->kind == ATTR_TENSOR ? (a->t && a->t->data && type_elements(&a->t->type, &count) ? count : 0) : a->n;
}
const double *ml_floats(Ctx *c, const Node *n, const char *name, int64_t *count) {
    const Attr *a = ml_attr(n, name);
    if (!a || (a->kind != ATTR_TENSOR && a->n == 0)) a = ml_attr(n, arena_printf(c->a, "%s_as_tensor", name));
    *count = 0;
    if (!a || (a->kind == ATTR_TENSOR && (!a->t || !a->t->data || !type_elements(&a->t->type, count)))) return NULL;
    if (a->kind != ATTR_TENSOR) *count = a->n;
    double *v = NEW_ARRAY(c->a, double, *count + 1);
    for (int64_t i = 0; i < *count; i++) v[i] = a->kind == ATTR_TENSOR ? dtype_get_f(a->t->type.dt, a->t->data, i) : (double)a->fs[i];
    return v;
}
Tensor *ml_const(Graph *g, DType dt, int rank, const int64_t *dim, const double *v) {
    Type t;
    int64_t n, bytes;
    type_set(&t, dt, rank, dim);
    if (!type_elements(&t, &n) || !dtype_bytes(dt, n, &bytes)) BUG("a constant of an impossible size");
    void *data = arena_alloc(g->a, (size_t)bytes + 1);
    for (int64_t i = 0; i < n; i++) dtype_set_f(dt, data, i, v[i]);
    return tensor_const(g, NULL, dt, rank, dim, data);
}
Tensor *ml_const_floats(Graph *g, int64_t n, const float *v, int rank, const int64_t *dim) {
    float *data = NEW_ARRAY(g->a, float, n + 1);
    for (int64_t i = 0; i < n; i++) data[i] = v[i];
    return tensor_const(g, NULL, DT_FLOAT32, rank, dim, data);
}

Tensor *ml_build(R r, const char *op, int nin, Tensor *const *in) {
    Node *n = node_new(r.g, op_find("quern", op), r.n, r.n->loc, nin, in, 1);
    node_set_out(n, 0, tensor_new(r.g, NULL, DT_NONE, -1, NULL));
    return n->out[0];
}

Tensor *ml_strings(Graph *g, int64_t n, const char *const *v) {
    int64_t at = 8 * (n + 1), bytes = at;
    for (int64_t i = 0; i < n; i++) bytes += (int64_t)strlen(v[i]);
    char *data = arena_alloc(g->a, (size_t)bytes + 1);
    memcpy(data, &at, 8);
    for (int64_t i = 0; i < n; i++) {
        memcpy(data + at, v[i], strlen(v[i]));
        at += (int64_t)strlen(v[i]);
        memcpy(data + 8 * (i + 1), &at, 8);
    }
    return tensor_const(g, NULL, DT_STRING, 1, &n, data);
}

/* ---- operands */
Tensor *ml_matrix(Ctx *c, R r, int i, DType dt, int64_t *rows, int64_t *features) {
    const Type *t = &r.n->in[i]->type;
    if (t->rank >= 1 && t->rank <= 2 && t->ext && t->ext[t->rank - 1]) {
        diag_error(c->d, r.n->loc, "the number of features of input %d is known at run time only; fix axis %d with --dim", i, t->rank - 1);
        return NULL;
    }
    if (t->rank < 1 || t->rank > 2 || !type_known(t)) {
        diag_error(c->d, r.n->loc, "input %d has %d axes; rows and features are expected", i, t->rank);
        return NULL;
    }
    *rows = t->rank == 1 ? 1 : t->dim[0], *features = t->dim[t->rank - 1];
    Tensor *x = r_cast(r, r.n->in[i], dt);
    return t->rank == 1 ? r_reshape(r, x, 2, (int64_t[]){1, *features}) : x;
}
Tensor *ml_labels(Ctx *c, R r, const char *ints, const char *strings, int64_t *n) {
    const Attr *a = ml_attr(r.n, ints), *s = ml_attr(r.n, strings);
    bool use_strings = s && s->n > 0;
    if ((a && a->n > 0) == use_strings) {
        diag_error(c->d, r.n->loc, "the labels are expected in one of '%s' and '%s'", ints, strings);
        return NULL;
    }
    *n = use_strings ? s->n : a->n;
    return use_strings ? ml_strings(r.g, s->n, s->ss) : tensor_i64s(r.g, a->is, a->n);
}
Tensor *ml_pick(R r, Tensor *labels, Tensor *index) { return r_op2(r, "Gather", labels, index); }
Tensor *ml_best(R r, Tensor *scores) {
    Tensor *y = r_op1(r, "ArgMax", scores);
    r_set_i(y, "axis", 1);
    r_set_i(y, "keepdims", 0);
    return y;
}
Tensor *ml_above(R r, Tensor *score, double limit) {
    Tensor *flat = r_reshape(r, score, 1, (int64_t[]){-1});
    Tensor *to = r_op1(r, "Cast", r_op2(r, "Greater", flat, r_f32(r, limit)));
    r_set_i(to, "to", DT_INT64);
    return to;
}
Tensor *ml_columns(R r, Tensor *x, Tensor *y) {
    Tensor *t = r_op2(r, "Concat", x, y);
    r_set_i(t, "axis", 1);
    return t;
}

/* ---- what is done with scores at the end */
bool ml_post(Ctx *c, const Node *n, Post *p) {
    static const char *const name[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    const Attr *a = ml_attr(n, "post_transform");
    for (int i = 0; i < 5; i++)
        if (!a || (a->kind == ATTR_INT ? a->i == i : strcmp(a->s, name[i]) == 0)) return *p = a ? (Post)i : POST_NONE, true;
    if (a->kind == ATTR_INT) return diag_error(c->d, n->loc, "post_transform is %lld; 0 to 4 is expected", (long long)a->i);
    return diag_error(c->d, n->loc, "post_transform is '%s'; NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT is expected", a->s);
}
/* The normal distribution's quantile, by Winitzki's approximation of the inverse error function, which ONNX Runtime has too. */
static Tensor *probit(R r, Tensor *x) {
    const double a = 0.147, b = 2 / (3.14159 * a);
    Tensor *s = r_op2(r, "Sub", r_op2(r, "Add", x, x), r_f32(r, 1));
    Tensor *l = r_op1(r, "Log", r_op2(r, "Mul", r_op2(r, "Sub", r_f32(r, 1), s), r_op2(r, "Add", r_f32(r, 1), s)));
    Tensor *v = r_op2(r, "Add", r_op2(r, "Mul", l, r_f32(r, 0.5)), r_f32(r, b));
    Tensor *root = r_op1(r, "Sqrt", r_op2(r, "Sub", r_op2(r, "Mul", v, v), r_op2(r, "Mul", l, r_f32(r, 1 / a))));
    Tensor *size = r_op1(r, "Sqrt", r_op2(r, "Sub", root, v));
    return r_op2(r, "Mul", r_op2(r, "Mul", size, r_op1(r, "Sign", s)), r_f32(r, 1.41421356));
}
Tensor *ml_transform(R r, Tensor *scores, Post p) {
    switch (p) {
    case POST_NONE: return scores;
    case POST_SOFTMAX: return r_op1(r, "Softmax", scores);
    case POST_LOGISTIC: return r_op1(r, "Sigmoid", scores);
    case POST_PROBIT: return probit(r, scores);
    case POST_SOFTMAX_ZERO: break;
    }
    /* exp only of what is not nearly 0; the rest is scaled alike, and all are divided by the sum of the former */
    Tensor *top = r_op2(r, "ReduceMax", scores, tensor_i64s(r.g, (int64_t[]){1}, 1));
    Tensor *some = r_op2(r, "Greater", r_op1(r, "Abs", scores), r_f32(r, 1e-7));
    Tensor *e = r_op1(r, "Exp", r_op2(r, "Sub", scores, top));
    Tensor *sum = r_op2(r, "ReduceSum", r_op3(r, "Where", some, e, r_f32(r, 0)), tensor_i64s(r.g, (int64_t[]){1}, 1));
    Tensor *small = r_op2(r, "Mul", scores, r_op1(r, "Exp", r_op1(r, "Neg", top)));
    return r_op2(r, "Div", r_op3(r, "Where", some, e, small), sum);
}

/* ---- the small ones */
bool rewrite_array_feature_extractor(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    if (t->rank < 1) return diag_error(c->d, n->loc, "the input is a scalar; at least one axis is expected");
    Tensor *x = t->rank == 1 ? r_reshape(r, n->in[0], 2, (int64_t[]){1, -1}) : n->in[0];
    Tensor *y = r_op2(r, "Gather", x, r_reshape(r, n->in[1], 1, (int64_t[]){-1}));
    r_set_i(y, "axis", -1);
    r_done(r, 0, y);
    return true;
}
bool rewrite_scaler(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    int64_t features = t->rank ? t->dim[t->rank - 1] : 1;
    Tensor *x = r_cast(r, n->in[0], DT_FLOAT32);
    for (int i = 0; i < 2; i++) { /* offset, then scale */
        const Attr *a = &n->attr[i];
        if (a->kind == ATTR_NONE || a->n == 0) continue;
        if (a->n != 1 && a->n != features)
            return diag_error(c->d, n->loc, "%s has %lld elements; 1 or %lld are expected", n->op->attr[i].name, (long long)a->n,
                              (long long)features);
        x = r_op2(r, i ? "Mul" : "Sub", x, ml_const_floats(g, a->n, a->fs, 1, (int64_t[]){a->n}));
    }
    r_done(r, 0, x == n->in[0] ? r_op1(r, "Identity", x) : x);
    return true;
}
bool rewrite_normalizer(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const char *norm = attr_s(n, 0);
    int which = strcmp(norm, "MAX") == 0 ? 0 : strcmp(norm, "L1") == 0 ? 1 : strcmp(norm, "L2") == 0 ? 2 : -1;
    if (which < 0) return diag_error(c->d, n->loc, "norm is '%s'; MAX, L1 or L2 is expected", norm);
    static const char *const reduce[] = {"ReduceMax", "ReduceL1", "ReduceL2"};
    DType t = n->in[0]->type.dt == DT_FLOAT64 ? DT_FLOAT64 : DT_FLOAT32; /* squares of doubles may be beyond float32 */
    Tensor *x = r_cast(r, n->in[0], t), *size = r_op2(r, reduce[which], x, tensor_i64s(g, (int64_t[]){-1}, 1));
    size = r_op3(r, "Where", r_op2(r, "Equal", size, tensor_scalar(g, t, 0)), tensor_scalar(g, t, 1), size);
    r_done(r, 0, r_cast(r, r_op2(r, "Div", x, size), DT_FLOAT32));
    return true;
}
enum { IMPUTED_F, IMPUTED_I, REPLACED_F, REPLACED_I };
bool rewrite_imputer(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type;
    bool ints = dtype_is_int(t->dt);
    const Attr *by = &n->attr[ints ? IMPUTED_I : IMPUTED_F];
    int64_t features = t->rank ? t->dim[t->rank - 1] : 1;
    if (by->kind == ATTR_NONE || (by->n != 1 && by->n != features))
        return diag_error(c->d, n->loc, "%s has %lld elements; 1 or %lld are expected", n->op->attr[ints ? IMPUTED_I : IMPUTED_F].name,
                          (long long)by->n, (long long)features);
    double *v = NEW_ARRAY(c->a, double, by->n);
    for (int64_t i = 0; i < by->n; i++) v[i] = ints ? (double)by->is[i] : (double)by->fs[i];
    Tensor *value = ints ? r_cast(r, tensor_i64s(g, by->is, by->n), t->dt) : ml_const(g, t->dt, 1, &by->n, v), *x = n->in[0], *missing;
    if (!ints && isnan(attr_f(n, REPLACED_F))) missing = r_op1(r, "IsNaN", x);
    else if (ints) missing = r_op2(r, "Equal", x, r_cast(r, tensor_i64s(g, &n->attr[REPLACED_I].i, -1), t->dt));
    else missing = r_op2(r, "Equal", x, tensor_scalar(g, t->dt, (double)attr_f(n, REPLACED_F)));
    r_done(r, 0, r_op3(r, "Where", missing, value, x));
    return true;
}
bool rewrite_feature_vectorizer(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Tensor **part = NEW_ARRAY(c->a, Tensor *, n->nin);
    const Attr *want = &n->attr[0];
    if (want->kind != ATTR_NONE && want->n != n->nin)
        return diag_error(c->d, n->loc, "inputdimensions has %lld elements for %d inputs", (long long)want->n, n->nin);
    for (int i = 0; i < n->nin; i++) {
        int64_t rows, features, size;
        if (!(part[i] = ml_matrix(c, r, i, DT_FLOAT32, &rows, &features))) return false;
        size = want->kind == ATTR_NONE ? features : want->is[i];
        if (size > features)
            return diag_error(c->d, n->loc, "input %d has %lld features; %lld are expected", i, (long long)features, (long long)size);
        if (size == features) continue;
        Tensor *in[4] = {part[i], tensor_i64s(g, (int64_t[]){0}, 1), tensor_i64s(g, &size, 1), tensor_i64s(g, (int64_t[]){1}, 1)};
        part[i] = build(g, n, "Slice", 4, in);
    }
    Tensor *y = build(g, n, "Concat", n->nin, part);
    r_set_i(y, "axis", 1);
    r_done(r, 0, y);
    return true;
}
bool rewrite_one_hot_encoder(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Attr *ints = ml_attr(n, "cats_int64s"), *strings = ml_attr(n, "cats_strings");
    bool text = n->in[0]->type.dt == DT_STRING;
    if (text ? !strings : !ints)
        return diag_error(c->d, n->loc, "the categories are expected in '%s'", text ? "cats_strings" : "cats_int64s");
    Tensor *last = tensor_i64s(g, (int64_t[]){-1}, 1), *x = r_op2(r, "Unsqueeze", text ? n->in[0] : r_cast(r, n->in[0], DT_INT64), last);
    Tensor *same = r_op2(r, "Equal", x, text ? ml_strings(g, strings->n, strings->ss) : tensor_i64s(g, ints->is, ints->n)),
           *y = r_op1(r, "Cast", same);
    r_set_i(y, "to", DT_FLOAT32);
    r_done(r, 0, y);
    return true;
}

/* ---- linear models: coefficients are rows of one target each */
static Tensor *linear(Ctx *c, R r, int64_t targets, int64_t *rows) {
    int64_t features, want;
    Tensor *x = ml_matrix(c, r, 0, DT_FLOAT32, rows, &features);
    const Attr *w = ml_attr(r.n, "coefficients"), *b = ml_attr(r.n, "intercepts");
    if (!x) return NULL;
    if (targets < 1 || !w || !mul_ok(targets, features, &want) || w->n != want) {
        diag_error(c->d, r.n->loc, "there are %lld coefficients for %lld targets of %lld features", w ? (long long)w->n : 0LL,
                   (long long)targets, (long long)features);
        return NULL;
    }
    Tensor *y = r_op2(r, "MatMul", x, r_swap_last(r, ml_const_floats(r.g, w->n, w->fs, 2, (int64_t[]){targets, features}), 2));
    if (!b || b->n == 0) return y;
    if (b->n != targets && b->n != 1) {
        diag_error(c->d, r.n->loc, "there are %lld intercepts for %lld targets", (long long)b->n, (long long)targets);
        return NULL;
    }
    return r_op2(r, "Add", y, ml_const_floats(r.g, b->n, b->fs, 1, &b->n));
}
bool rewrite_linear_regressor(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Post p;
    int64_t rows;
    Tensor *y = ml_post(c, n, &p) ? linear(c, r, ml_attr(n, "targets")->i, &rows) : NULL;
    if (y) r_done(r, 0, ml_transform(r, y, p));
    return y != NULL;
}
bool rewrite_linear_classifier(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Post p;
    int64_t rows, nlabel, targets = ml_count(n, "intercepts");
    Tensor *labels = ml_labels(c, r, "classlabels_ints", "classlabels_strings", &nlabel);
    if (!labels || !ml_post(c, n, &p)) return false;
    if (targets == 0) targets = nlabel;
    if (targets > 1 && targets != nlabel)
        return diag_error(c->d, n->loc, "there are %lld labels for %lld targets", (long long)nlabel, (long long)targets);
    Tensor *y = linear(c, r, targets, &rows);
    if (!y) return false;
    Tensor *best = targets == 1 ? ml_above(r, y, 0) : ml_best(r, y);
    if (r_out(r, 0)) r_done(r, 0, targets > 1 || nlabel == 2 ? ml_pick(r, labels, best) : best);
    if (targets == 1 && nlabel == 2) { /* a second class from the one score */
        Tensor *other = r_op2(r, "Sub", r_f32(r, 1), y);
        if (p == POST_LOGISTIC) y = ml_columns(r, ml_transform(r, r_op1(r, "Neg", y), p), ml_transform(r, y, p));
        else y = ml_columns(r, other, y);
    } else {
        y = ml_transform(r, y, p);
    }
    if (r_out(r, 1)) r_done(r, 1, y);
    return true;
}

/* ---- LabelEncoder: a search among sorted keys, then one of the values, the last of which is the default */
typedef struct Side { /* keys or values: numbers or strings */
    int64_t n;
    DType dt;
    double *num;
    const char **str;
} Side;
typedef struct Key {
    double num;
    const char *str;
    int64_t at;
} Key;
static int by_key(const void *x, const void *y) {
    const Key *a = x, *b = y;
    if (a->str) return strcmp(a->str, b->str);
    return a->num < b->num ? -1 : a->num > b->num;
}
static void side_attr(Ctx *c, const Attr *a, Side *s) {
    const Tensor *t = a->kind == ATTR_TENSOR ? a->t : NULL;
    s->n = t ? tensor_elements(t) : a->n;
    s->dt = t ? t->type.dt : a->kind == ATTR_INTS ? DT_INT64 : a->kind == ATTR_FLOATS ? DT_FLOAT32 : DT_STRING;
    s->num = s->dt == DT_STRING ? NULL : NEW_ARRAY(c->a, double, s->n + 2);
    s->str = s->dt == DT_STRING ? NEW_ARRAY(c->a, const char *, s->n + 2) : NULL;
    for (int64_t i = 0; i < s->n; i++) {
        int64_t off[2] = {0, 0};
        if (t && s->str) memcpy(off, (const char *)t->data + 8 * i, 16);
        if (s->str) s->str[i] = t ? arena_strndup(c->a, (const char *)t->data + off[0], (size_t)(off[1] - off[0])) : a->ss[i];
        else s->num[i] = t ? dtype_get_f(t->type.dt, t->data, i) : a->kind == ATTR_INTS ? (double)a->is[i] : (double)a->fs[i];
    }
}
static bool side_read(Ctx *c, const Node *n, const char *what, Side *s) {
    static const char *const form[] = {"int64s", "floats", "strings", "tensor"};
    const Attr *found = NULL;
    for (int k = 0; k < 4; k++) {
        const Attr *a = ml_attr(n, arena_printf(c->a, "%s_%s", what, form[k]));
        if (!a || (a->kind == ATTR_TENSOR ? !a->t || !a->t->data : a->n == 0)) continue;
        if (found) return diag_error(c->d, n->loc, "the %s are given twice", what);
        found = a;
    }
    if (!found) return diag_error(c->d, n->loc, "the attribute %s_… is expected", what);
    side_attr(c, found, s);
    return true;
}
static void side_default(Ctx *c, const Node *n, const Side *v, double *num, const char **str) {
    const Attr *d = ml_attr(n, "default_tensor");
    Side s = {0};
    if (d && d->t && d->t->data) side_attr(c, d, &s);
    *str = s.str && s.n ? s.str[0] : attr_s(n, op_attr_index(n->op, "default_string"));
    *num = s.num && s.n        ? s.num[0]
           : v->dt == DT_INT64 ? (double)attr_i(n, op_attr_index(n->op, "default_int64"))
                               : (double)attr_f(n, op_attr_index(n->op, "default_float"));
}
/* x as a place in `keys`, or behind the last one; then values[place]. order: which key stands where. */
static bool encode(Ctx *c, R r, const Side *keys, const Side *values, double num, const char *str) {
    Tensor *x = r.n->in[0], *found;
    int64_t sorted = 0, nan_at = -1;
    Key *k = NEW_ARRAY(c->a, Key, keys->n + 1);
    if ((keys->dt == DT_STRING) != (x->type.dt == DT_STRING))
        return diag_error(c->d, r.n->loc, "the input is %s, the keys are %s", dtype_name(x->type.dt), dtype_name(keys->dt));
    if (keys->n < 1 || keys->n != values->n)
        return diag_error(c->d, r.n->loc, "there are %lld keys and %lld values", (long long)keys->n, (long long)values->n);
    for (int64_t i = 0; i < keys->n; i++) {
        if (keys->num && isnan(keys->num[i])) nan_at = i;
        else k[sorted++] = (Key){keys->num ? keys->num[i] : 0, keys->str ? keys->str[i] : NULL, i};
    }
    qsort(k, (size_t)sorted, sizeof *k, by_key);
    double *key = NEW_ARRAY(c->a, double, sorted + 1), *value = NEW_ARRAY(c->a, double, sorted + 3);
    const char **text = NEW_ARRAY(c->a, const char *, sorted + 3), **word = NEW_ARRAY(c->a, const char *, sorted + 1);
    for (int64_t i = 0; i < sorted; i++) {
        key[i] = k[i].num, word[i] = k[i].str;
        if (values->num) value[i] = values->num[k[i].at];
        else text[i] = values->str[k[i].at];
    }
    value[sorted] = num, text[sorted] = str;
    int64_t rows = sorted + 1;
    Tensor *miss = tensor_i64s(r.g, &sorted, -1);
    if (keys->str) found = ml_build(r, "StringFind", 2, (Tensor *[]){x, ml_strings(r.g, sorted, word)});
    else if (sorted) found = ml_build(r, "FindKey", 2, (Tensor *[]){x, ml_const(r.g, x->type.dt, 1, &sorted, key)});
    else found = r_op3(r, "Where", r_op1(r, "IsNaN", x), miss, miss);
    if (nan_at >= 0) { /* NaN stands behind the default */
        if (values->num) value[rows] = values->num[nan_at];
        else text[rows] = values->str[nan_at];
        found = r_op3(r, "Where", r_op1(r, "IsNaN", x), tensor_i64s(r.g, &rows, -1), found);
        rows++;
    }
    r_done(r, 0, ml_pick(r, values->str ? ml_strings(r.g, rows, text) : ml_const(r.g, values->dt, 1, &rows, value), found));
    return true;
}
bool rewrite_label_encoder(Ctx *c, Graph *g, Node *n) {
    Side keys, values;
    double num;
    const char *str;
    const Attr *classes = ml_attr(n, "classes_strings");
    if (classes && classes->n) { /* version 1: strings to their places in a list, or back */
        int64_t *place = NEW_ARRAY(c->a, int64_t, classes->n);
        Side word, number;
        for (int64_t i = 0; i < classes->n; i++) place[i] = i;
        side_attr(c, classes, &word);
        side_attr(c, &(Attr){.kind = ATTR_INTS, .is = place, .n = classes->n}, &number);
        bool back = n->in[0]->type.dt != DT_STRING;
        side_default(c, n, back ? &word : &number, &num, &str);
        return encode(c, (R){g, n}, back ? &number : &word, back ? &word : &number, num, str);
    }
    if (!side_read(c, n, "keys", &keys) || !side_read(c, n, "values", &values)) return false;
    side_default(c, n, &values, &num, &str);
    return encode(c, (R){g, n}, &keys, &values, num, str);
}
/* CategoryMapper: strings to integers or back. */
bool rewrite_category_mapper(Ctx *c, Graph *g, Node *n) {
    const Attr *ints = ml_attr(n, "cats_int64s"), *strings = ml_attr(n, "cats_strings");
    Side a, b;
    if (!ints || !strings) return diag_error(c->d, n->loc, "cats_int64s and cats_strings are expected");
    bool back = n->in[0]->type.dt != DT_STRING;
    side_attr(c, back ? ints : strings, &a);
    side_attr(c, back ? strings : ints, &b);
    return encode(c, (R){g, n}, &a, &b, (double)attr_i(n, op_attr_index(n->op, "default_int64")),
                  attr_s(n, op_attr_index(n->op, "default_string")));
}
/* FindKey: the number of each element among ascending keys, or their count if it is none of them. */
bool infer_find_key(Infer *x) {
    const Type *t = &x->n->in[0]->type, *k = &x->n->in[1]->type;
    if (k->rank != 1 || k->dim[0] < 1 || k->dim[0] > INT32_MAX) return infer_error(x, "a list of keys is expected");
    return infer_like(x, 0, DT_INT64, t);
}
bool lower_find_key(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    int64_t count = n->in[1]->type.dim[0], step = 1;
    Expr *idx[QN_MAX_RANK];
    while (step * 2 <= count) step *= 2;
    lower_loops(L, NULL, t, idx);
    Expr *x = lower_let(L, "v", lower_load(L, n, 0, idx));
    Buf *at = lower_temp(L, "at", DT_INT64, 0, NULL);
    lower_put(L, at, NULL, e_int(a, 0), RED_NONE);
    for (; step; step /= 2) {
        Expr *next = lower_let(L, "next", e_add(a, lower_get(L, at, NULL), e_int(a, step)));
        lower_if(L, e_lt(a, next, e_int(a, count)));
        lower_if(L, e_le(a, lower_load(L, n, 1, &next), x));
        lower_put(L, at, NULL, next, RED_NONE);
        lower_ends(L, 2);
    }
    Expr *found = lower_let(L, "found", lower_get(L, at, NULL));
    lower_store(L, n, 0, idx, e_select(a, e_eq(a, lower_load(L, n, 1, &found), x), found, e_int(a, count)));
    lower_ends(L, t->rank);
    return true;
}
