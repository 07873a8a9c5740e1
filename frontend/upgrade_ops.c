/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade_ops.c: rows of upgrade.def that belong to one operator.
 *
 *   Add(x, b) {broadcast=1, axis=1} of opset 6, x of rank 4, b of rank 1   ->   Add(x, Unsqueeze(b, [1,2]))
 *   Upsample(x) {scales=[1,1,2,2]} of opset 7   ->   Resize(x, -, [1,1,2,2]) {coordinate_transformation_mode="asymmetric", ...}
 */
#include "frontend/upgrade.h"

/* t with `n` axes of extent 1 behind its own. */
static Tensor *append_axes(RawNode *r, Tensor *t, int rank, int n) {
    Graph *g = r->im->g;
    if (t->data && rank + n <= QN_MAX_RANK) {
        int64_t dim[QN_MAX_RANK];
        for (int i = 0; i < rank + n; i++) dim[i] = i < rank ? t->type.dim[i] : 1;
        return tensor_const(g, NULL, t->type.dt, rank + n, dim, t->data);
    }
    int64_t axes[QN_MAX_RANK];
    for (int i = 0; i < n; i++) axes[i] = rank + i;
    return raw_build(r, "Unsqueeze", 2, (Tensor *[]){t, tensor_i64s(g, axes, n)});
}
bool up_broadcast(RawNode *r, const char *arg) {
    (void)arg;
    Attr on, axis;
    bool wanted = raw_take(r, "broadcast", &on) && on.i != 0;
    if (!raw_take(r, "axis", &axis) || !wanted) return true; /* without axis: the trailing axes, as today */
    if (!raw_kind(r, "axis", &axis, ATTR_INT)) return false;
    Tensor *a = raw_in(r, 0), *b = raw_in(r, 1);
    if (!a || !b) return true; /* the arity check tells */
    int ra = hint_of(r->im, a).rank, rb = hint_of(r->im, b).rank;
    if (ra < 0 || rb < 0)
        return RAW_ERROR(r,
                         "broadcasting along axis %lld (opset 6) needs the ranks of both inputs, which this model does not declare; "
                         "convert it to opset 7",
                         (long long)axis.i);
    int64_t at = axis.i < 0 ? axis.i + ra : axis.i;
    if (at < 0 || at + rb > ra) return RAW_ERROR(r, "axis %lld does not place %d axes within %d", (long long)axis.i, rb, ra);
    int more = ra - (int)at - rb;
    if (more) raw_set_in(r, 1, append_axes(r, b, rb, more));
    return true;
}
bool up_prelu(RawNode *r, const char *arg) {
    (void)arg;
    Tensor *x = raw_in(r, 0), *s = raw_in(r, 1);
    int64_t n;
    if (!x || !s || (type_known(&s->type) && type_elements(&s->type, &n) && n == 1)) return true;
    int rx = hint_of(r->im, x).rank, rs = hint_of(r->im, s).rank;
    if (rx < 0 || rs < 0) return RAW_ERROR(r, "a slope per channel (opset 6) needs the ranks of both inputs; convert the model to opset 7");
    if (rs == 1 && rx > 2) raw_set_in(r, 1, append_axes(r, s, 1, rx - 2));
    return true;
}

bool up_tile(RawNode *r, const char *arg) {
    (void)arg;
    int64_t nt, na, repeats[QN_MAX_RANK];
    Tensor *x = raw_in(r, 0);
    if (r->in.n != 3) return r->in.n == 2 || RAW_ERROR(r, "%d inputs; 3 are expected in opset 1", r->in.n);
    Tensor *tt = raw_in(r, 1), *ta = raw_in(r, 2);
    if (!x || !tt || !ta || !tt->data || !ta->data || tensor_elements(tt) != 1 || tensor_elements(ta) != 1)
        return RAW_ERROR(r, "tiles and axis (opset 1) must be constants of one element");
    nt = dtype_get_i(tt->type.dt, tt->data, 0), na = dtype_get_i(ta->type.dt, ta->data, 0);
    int rank = hint_of(r->im, x).rank;
    if (rank < 0 || rank > QN_MAX_RANK || na < 0 || na >= rank)
        return RAW_ERROR(r, "axis %lld needs an input of known, larger rank (opset 1)", (long long)na);
    for (int i = 0; i < rank; i++) repeats[i] = i == na ? nt : 1;
    r->in.n = 1;
    raw_set_in(r, 1, tensor_i64s(r->im->g, repeats, rank));
    return true;
}
bool up_split_input(RawNode *r, const char *arg) {
    (void)arg;
    Tensor *s = raw_in(r, 1);
    if (!s || s->type.dt == DT_INT64) return true;
    if (!s->data || s->type.rank != 1) return RAW_ERROR(r, "lengths of parts given as an input (opset 1) must be a constant list");
    int64_t n = tensor_elements(s), *v = NEW_ARRAY(r->im->tmp, int64_t, n);
    for (int64_t i = 0; i < n; i++) v[i] = dtype_get_i(s->type.dt, s->data, i);
    raw_set_in(r, 1, tensor_i64s(r->im->g, v, n));
    return true;
}
bool up_split_count(RawNode *r, const char *arg) {
    (void)arg;
    if (!raw_in(r, 1)) raw_put(r, "num_outputs", (Attr){.kind = ATTR_INT, .i = r->nout});
    return true;
}
bool up_dft(RawNode *r, const char *arg) {
    (void)arg;
    Attr a = {.kind = ATTR_INT, .i = 1};
    if (raw_take(r, "axis", &a) && !raw_kind(r, "axis", &a, ATTR_INT)) return false;
    if (!raw_in(r, 2)) raw_set_in(r, 2, tensor_i64s(r->im->g, &a.i, -1));
    return true;
}

static bool raw_string_is(const RawNode *r, const char *name, const char *v) {
    const Attr *a = raw_attr(r, name);
    return a && a->kind == ATTR_STRING && strcmp(a->s, v) == 0;
}
static void raw_put_string(RawNode *r, const char *name, const char *v) {
    raw_put(r, name, (Attr){.kind = ATTR_STRING, .s = v, .n = (int64_t)strlen(v)});
}
bool up_grid_sample(RawNode *r, const char *arg) {
    (void)arg;
    if (raw_string_is(r, "mode", "bilinear")) raw_put_string(r, "mode", "linear");
    if (raw_string_is(r, "mode", "bicubic")) raw_put_string(r, "mode", "cubic");
    return true;
}

/* All axes from `axis` on were one. When that is the last axis anyway, the plain form says the same; else the canonical op's
 * own attribute keeps the old meaning, since only inference knows the shape. */
bool up_flatten_axis(RawNode *r, const char *arg) {
    (void)arg;
    Attr a = {.kind = ATTR_INT, .i = 1};
    if (raw_take(r, "axis", &a) && !raw_kind(r, "axis", &a, ATTR_INT)) return false;
    int rank = raw_in(r, 0) ? hint_of(r->im, raw_in(r, 0)).rank : -1;
    bool last = a.i == -1 || (rank > 0 && a.i == rank - 1);
    raw_put(r, "axis", (Attr){.kind = ATTR_INT, .i = last ? -1 : a.i});
    if (!last) raw_put(r, "flatten", (Attr){.kind = ATTR_INT, .i = 1});
    return true;
}

bool up_dropout_mask(RawNode *r, const char *arg) {
    (void)arg;
    Tensor *mask = raw_out(r, 1), *x = raw_in(r, 0);
    if (!mask || !x) return true;
    r->out[1] = tensor_new(r->im->g, NULL, DT_NONE, -1, NULL);
    node_finish(r);
    raw_build_as(r, "CastLike", 2, (Tensor *[]){r->out[1], x}, mask);
    return r->done = true;
}
bool up_batch_norm(RawNode *r, const char *arg) {
    (void)arg;
    Attr a;
    raw_take(r, "is_test", &a);
    if (raw_take(r, "spatial", &a) && a.i == 0)
        return RAW_ERROR(r, "spatial=0 (statistics per element, dropped in opset 9) is not supported");
    for (int i = 1; i < r->nout; i++)
        if (r->out[i]) diag_warn(r->im->c->d, r->loc, "output '%s' is of training and is left out", r->out[i]->name);
    if (r->nout > 1) r->nout = 1;
    return true;
}
bool up_batch_norm_training(RawNode *r, const char *arg) {
    (void)arg;
    const Attr *a = raw_attr(r, "training_mode");
    Attr dropped;
    if (!a || a->kind != ATTR_INT || a->i == 0) return true;
    raw_take(r, "training_mode", &dropped);
    r->op = "BatchNormTraining", r->domain = "quern";
    return true;
}
/* scale and bias [G] -> [C]: each value C/G times. */
static Tensor *per_channel(RawNode *r, Tensor *t, Tensor *times, Tensor *groups) {
    Graph *g = r->im->g;
    Tensor *column = raw_build(r, "Unsqueeze", 2, (Tensor *[]){t, tensor_i64s(g, (int64_t[]){1}, 1)});
    Tensor *shape = raw_build(r, "Concat", 2, (Tensor *[]){groups, times});
    Node *concat = shape->def;
    if (concat) node_set_i(concat, op_attr_index(concat->op, "axis"), 0);
    Tensor *wide = raw_build(r, "Expand", 2, (Tensor *[]){column, shape});
    return raw_build(r, "Reshape", 2, (Tensor *[]){wide, tensor_i64s(g, (int64_t[]){-1}, 1)});
}
bool up_group_norm(RawNode *r, const char *arg) {
    (void)arg;
    const Attr *a = raw_attr(r, "num_groups");
    Tensor *x = raw_in(r, 0);
    if (!a || a->kind != ATTR_INT || !x || !raw_in(r, 1) || !raw_in(r, 2)) return true; /* later checks tell */
    Graph *g = r->im->g;
    Tensor *groups = tensor_i64s(g, &a->i, 1), *shape = raw_build(r, "Shape", 1, &x);
    Tensor *channels = raw_build(r, "Gather", 2, (Tensor *[]){shape, tensor_i64s(g, (int64_t[]){1}, 1)});
    Tensor *times = raw_build(r, "Div", 2, (Tensor *[]){channels, groups});
    for (int i = 1; i <= 2; i++) raw_set_in(r, i, per_channel(r, raw_in(r, i), times, groups));
    return true;
}

bool up_cast_name(RawNode *r, const char *arg) {
    (void)arg;
    static const char *const name[] = {"FLOAT", "UINT8",   "INT8",   "UINT16", "INT16",  "INT32",     "INT64",     "STRING",
                                       "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64", "COMPLEX64", "COMPLEX128"};
    const Attr *a = raw_attr(r, "to");
    if (!a || a->kind != ATTR_STRING) return true;
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (strcmp(a->s, name[i]) == 0) return raw_put(r, "to", (Attr){.kind = ATTR_INT, .i = (int64_t)i + 1}), true;
    return RAW_ERROR(r, "attribute 'to': element type '%s' is unknown", a->s);
}

/* ---- Upsample and the first Resize */
bool up_upsample_scales(RawNode *r, const char *arg) {
    (void)arg;
    Attr h, w;
    if (!raw_take(r, "height_scale", &h) || !raw_take(r, "width_scale", &w)) return true;
    if (!raw_kind(r, "height_scale", &h, ATTR_FLOAT) || !raw_kind(r, "width_scale", &w, ATTR_FLOAT)) return false;
    float *v = NEW_ARRAY(r->im->c->a, float, 4);
    v[0] = v[1] = 1, v[2] = h.f, v[3] = w.f;
    raw_put(r, "scales", (Attr){.kind = ATTR_FLOATS, .fs = v, .n = 4});
    return true;
}
/* Nearest picks the element at or before the position when enlarging, at or behind it when shrinking. */
static bool shrinks(const Tensor *scales) {
    if (!scales || !scales->data || !dtype_is_float(scales->type.dt)) return false;
    bool less = false;
    for (int64_t i = 0; i < tensor_elements(scales); i++) {
        double s = dtype_get_f(scales->type.dt, scales->data, i);
        if (s > 1) return false;
        less |= s < 1;
    }
    return less;
}
bool up_resize_old(RawNode *r, const char *arg) {
    (void)arg;
    Tensor *scales = raw_in(r, 1);
    r->op = "Resize";
    r->in.n = r->in.n > 1 ? 1 : r->in.n;
    raw_set_in(r, 1, NULL);
    raw_set_in(r, 2, scales);
    if (raw_string_is(r, "mode", "bilinear")) raw_put_string(r, "mode", "linear");
    raw_put_string(r, "coordinate_transformation_mode", "asymmetric");
    raw_put_string(r, "nearest_mode", shrinks(scales) ? "ceil" : "floor");
    return true;
}

/* ---- experimental operators */
static bool take_float(RawNode *r, const char *name, double missing, double *v) {
    Attr a;
    *v = missing;
    if (!raw_take(r, name, &a)) return true;
    if (!raw_kind(r, name, &a, ATTR_FLOAT)) return false;
    *v = (double)a.f;
    return true;
}
static Tensor *scaled(RawNode *r, const char *op, Tensor *x, double v) {
    return raw_build(r, op, 2, (Tensor *[]){x, raw_scalar(r, raw_in(r, 0), v)});
}
static bool replace(RawNode *r, Tensor *t) {
    if (raw_out(r, 0)) raw_build_as(r, "Identity", 1, &t, raw_out(r, 0));
    return r->done = true;
}
bool up_affine(RawNode *r, const char *arg) {
    (void)arg;
    double alpha, beta;
    if (!take_float(r, "alpha", 1, &alpha) || !take_float(r, "beta", 0, &beta) || !raw_in(r, 0)) return false;
    return replace(r, scaled(r, "Add", scaled(r, "Mul", raw_in(r, 0), alpha), beta));
}
bool up_scaled_tanh(RawNode *r, const char *arg) {
    (void)arg;
    double alpha, beta;
    if (!take_float(r, "alpha", 1, &alpha) || !take_float(r, "beta", 1, &beta) || !raw_in(r, 0)) return false;
    Tensor *x = scaled(r, "Mul", raw_in(r, 0), beta);
    return replace(r, scaled(r, "Mul", raw_build(r, "Tanh", 1, &x), alpha));
}
bool up_parametric_softplus(RawNode *r, const char *arg) {
    (void)arg;
    double alpha, beta;
    if (!take_float(r, "alpha", 1, &alpha) || !take_float(r, "beta", 1, &beta) || !raw_in(r, 0)) return false;
    Tensor *x = scaled(r, "Mul", raw_in(r, 0), beta);
    return replace(r, scaled(r, "Mul", raw_build(r, "Softplus", 1, &x), alpha));
}
