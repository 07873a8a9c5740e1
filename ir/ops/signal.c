/* SPDX-License-Identifier: Apache-2.0 */
/* signal.c: window functions, MelWeightMatrix, DFT and STFT. The transforms are direct sums with a table of the N-th roots of unity;
 * lengths, steps and the axis may be computed at run time when the output's shape is declared.
 *
 *   DFT:  for others, k:  re = im = 0, r = 0;  for j: re += x[j]*cos[r], im -= x[j]*sin[r], r = (r + k) mod N;  y[k] = re, im
 */
#include "../extent.h"
#include <string.h>

static Expr *scalar_f64(Lower *L, Node *n, int input) {
    Expr *zero[QN_MAX_RANK];
    for (int i = 0; i < QN_MAX_RANK; i++) zero[i] = e_int(L->a, 0);
    return e_cast(L->a, DT_FLOAT64, lower_load(L, n, input, zero));
}
static Expr *scalar_int(Lower *L, Node *n, int input) {
    Expr *zero[QN_MAX_RANK];
    for (int i = 0; i < QN_MAX_RANK; i++) zero[i] = e_int(L->a, 0);
    return e_cast(L->a, DT_INT64, lower_load(L, n, input, zero));
}
static Tensor *operand(const Node *n, int i) { return i < n->nin ? n->in[i] : NULL; }
/* Input i as one number. false with *known false: it is computed at run time; with *known true after an error. */
static bool constant(Infer *x, int i, int64_t *v, bool *known) {
    const Tensor *t = operand(x->n, i);
    int64_t count;
    *known = true;
    if (!type_elements(&t->type, &count) || count != 1) return infer_error(x, "input %d is expected to have one element", i);
    *known = t->data != NULL;
    if (*known) *v = dtype_get_i(t->type.dt, t->data, 0);
    return *known;
}
static bool output_type(Infer *x, int attr, DType *t) {
    int64_t v = attr_i(x->n, attr);
    *t = v > 0 && v < DT_HALF ? (DType)v : DT_NONE;
    DClass k = *t ? dtype_info[*t].cls : CLS_NONE;
    return k == CLS_FLOAT || k == CLS_SINT || k == CLS_UINT ||
           infer_error(x, "output_datatype is %lld, which is no numeric type", (long long)v);
}

/* ---- HannWindow, HammingWindow, BlackmanWindow */
enum { W_TYPE, W_PERIODIC };
bool infer_window(Infer *x) {
    int64_t size;
    bool known;
    DType t;
    if (!output_type(x, W_TYPE, &t)) return false;
    if (constant(x, 0, &size, &known))
        return size >= 0 ? infer_out(x, 0, t, 1, &size) : infer_error(x, "the size is %lld; at least 0 is expected", (long long)size);
    return !known && infer_declared(x, 0, t, "size") &&
           (x->n->out[0]->type.rank == 1 || infer_error(x, "the output is declared with another rank than 1"));
}
Expr *compute_window(Lower *L, Node *n, int out, Expr *const *idx) {
    static const struct {
        const char *name, *formula;
    } rows[] = {{"HannWindow", "0.5 - 0.5*cos(p)"},
                {"HammingWindow", "25.0/46.0 - 21.0/46.0*cos(p)"},
                {"BlackmanWindow", "0.42 - 0.5*cos(p) + 0.08*cos(2*p)"}};
    Arena *a = L->a;
    Expr *len = scalar_f64(L, n, 0);
    (void)out;
    if (!attr_i(n, W_PERIODIC)) len = e_max(a, e_sub(a, len, e_lit(a, DT_FLOAT64, 1)), e_lit(a, DT_FLOAT64, 1));
    Expr *p = e_div(a, e_mul(a, e_cast(a, DT_FLOAT64, idx[0]), e_lit(a, DT_FLOAT64, 6.283185307179586)), len);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, n->op->name) == 0) return lower_formula(L, rows[i].formula, 1, (const char *const[]){"p"}, &p);
    BUG("no window row for %s", n->op->name);
}

/* ---- MelWeightMatrix: triangles over the frequency bins, at equal distances on the mel scale */
enum { MEL_BINS, MEL_DFT, MEL_RATE, MEL_LOW, MEL_HIGH };
bool infer_mel(Infer *x) {
    int64_t bins = 0, len = 0, count;
    bool known;
    DType t;
    if (!output_type(x, 0, &t)) return false;
    for (int i = MEL_RATE; i <= MEL_HIGH; i++)
        if (!type_elements(&x->n->in[i]->type, &count) || count != 1) return infer_error(x, "input %d is expected to have one element", i);
    const Tensor *rate = x->n->in[MEL_RATE];
    if (rate->data && dtype_get_i(rate->type.dt, rate->data, 0) < 1)
        return infer_error(x, "sample_rate is %lld; a positive number is expected", (long long)dtype_get_i(rate->type.dt, rate->data, 0));
    if (constant(x, MEL_BINS, &bins, &known) && constant(x, MEL_DFT, &len, &known)) {
        if (bins < 0 || len < 0) return infer_error(x, "num_mel_bins is %lld and dft_length %lld", (long long)bins, (long long)len);
        return infer_out(x, 0, t, 2, (int64_t[]){len / 2 + 1, bins});
    }
    return !known && infer_declared(x, 0, t, "num_mel_bins and dft_length") &&
           (x->n->out[0]->type.rank == 2 || infer_error(x, "the output is declared with another rank than 2"));
}
Expr *compute_mel(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    Expr *f[3], *v[7] = {scalar_f64(L, n, MEL_BINS), scalar_f64(L, n, MEL_DFT), scalar_f64(L, n, MEL_RATE), scalar_f64(L, n, MEL_LOW),
                         scalar_f64(L, n, MEL_HIGH)};
    (void)out;
    for (int k = 0; k < 2; k++) /* ln rather than the logarithm to base ten: the factor is in the step and taken back by exp */
        v[5 + k] = lower_formula(L, "log(1 + f/700)", 1, (const char *const[]){"f"}, &v[MEL_LOW + k]);
    for (int k = 0; k < 3; k++) {
        Expr *i = e_add(a, e_cast(a, DT_FLOAT64, idx[1]), e_lit(a, DT_FLOAT64, k));
        f[k] = lower_formula(L, "floor((dft + 1)*(700*(exp(i*((high - low)/(bins + 2)) + low) - 1))/rate)", 6,
                             (const char *const[]){"i", "bins", "dft", "rate", "low", "high"},
                             (Expr *const[]){i, v[0], v[1], v[2], v[5], v[6]});
    }
    return lower_formula(L, "j >= c && j < h ? (h - j)/(h - c) : j >= l && j <= c ? (c == l ? 1 : (j - l)/(c - l)) : 0", 4,
                         (const char *const[]){"j", "l", "c", "h"}, (Expr *const[]){e_cast(a, DT_FLOAT64, idx[0]), f[0], f[1], f[2]});
}

/* ---- the sums that DFT and STFT share */
typedef struct Roots { /* cos and sin of 2 pi i / len */
    Buf *cos, *sin;
    Expr *len;
} Roots;
static Roots roots(Lower *L, Expr *len, int64_t most, DType t) {
    Arena *a = L->a;
    Roots r = {lower_temp(L, "cosines", t, 1, &most), lower_temp(L, "sines", t, 1, &most), lower_let(L, "len", len)};
    Expr *i = lower_loop_range(L, "i", e_int(a, 0), e_min(a, r.len, e_int(a, most)));
    Expr *angle = e_div(a, e_mul(a, e_cast(a, DT_FLOAT64, i), e_lit(a, DT_FLOAT64, 6.283185307179586)), e_cast(a, DT_FLOAT64, r.len));
    angle = lower_let(L, "angle", angle);
    lower_put(L, r.cos, &i, e_call1(a, CALL_COS, angle), RED_NONE);
    lower_put(L, r.sin, &i, e_call1(a, CALL_SIN, angle), RED_NONE);
    lower_end(L);
    return r;
}
typedef void (*SampleFn)(Lower *L, void *user, Expr *j, Expr **re, Expr **im); /* im NULL: real */
/* Sum over j < count of sample(j) times the root k*j, or its conjugate. */
static void spectrum(Lower *L, const Roots *r, Expr *k, Expr *count, bool conjugate, SampleFn sample, void *user, Expr **re, Expr **im) {
    Arena *a = L->a;
    DType t = r->cos->dt;
    Buf *acc[2] = {lower_temp(L, "re", t, 0, NULL), lower_temp(L, "im", t, 0, NULL)}, *at = lower_temp(L, "turn", DT_INT64, 0, NULL);
    for (int i = 0; i < 2; i++) lower_put(L, acc[i], NULL, e_lit(a, t, 0), RED_NONE);
    lower_put(L, at, NULL, e_int(a, 0), RED_NONE);
    Expr *j = lower_loop_range(L, "j", e_int(a, 0), count), *xr, *xi = NULL;
    sample(L, user, j, &xr, &xi);
    Expr *turn = lower_let(L, "turned", lower_get(L, at, NULL));
    Expr *c = lower_let(L, "c", lower_get(L, r->cos, &turn)), *s = lower_get(L, r->sin, &turn);
    s = lower_let(L, "s", conjugate ? e_un(a, UN_NEG, s) : s);
    lower_put(L, acc[0], NULL, xi ? e_sub(a, e_mul(a, xr, c), e_mul(a, xi, s)) : e_mul(a, xr, c), RED_ADD);
    lower_put(L, acc[1], NULL, xi ? e_add(a, e_mul(a, xi, c), e_mul(a, xr, s)) : e_mul(a, xr, s), RED_ADD);
    Expr *next = lower_let(L, "next", e_add(a, turn, k));
    lower_put(L, at, NULL, e_select(a, e_le(a, r->len, next), e_sub(a, next, r->len), next), RED_NONE);
    lower_end(L);
    *re = lower_get(L, acc[0], NULL), *im = lower_get(L, acc[1], NULL);
}

/* ---- DFT */
enum { DFT_INVERSE, DFT_ONESIDED };
static bool dft_to_real(const Node *n) { return attr_i(n, DFT_INVERSE) && attr_i(n, DFT_ONESIDED); }
/* The extent of the transformed axis, for a signal of `len` elements. */
static int64_t dft_extent(const Node *n, int64_t len) { return attr_i(n, DFT_ONESIDED) && !attr_i(n, DFT_INVERSE) ? len / 2 + 1 : len; }
static int64_t dft_length(const Node *n, int64_t extent) { return dft_to_real(n) ? 2 * (extent - 1) : extent; } /* without dft_length */
bool infer_dft(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type;
    int64_t axis = -2, len = 0, count;
    Expr *e[QN_MAX_RANK];
    bool known = true, fixed = true;
    int k = 0;
    if (t->rank < 2 || t->dim[t->rank - 1] < 1 || t->dim[t->rank - 1] > 2)
        return infer_error(x, "the input is expected to have at least two axes, the last one of extent 1 or 2");
    if (attr_i(n, DFT_ONESIDED) && t->dim[t->rank - 1] != (attr_i(n, DFT_INVERSE) ? 2 : 1))
        return infer_error(x, "a one-sided transform expects %s input", attr_i(n, DFT_INVERSE) ? "complex" : "real");
    if (operand(n, 2) && !constant(x, 2, &axis, &known) && known) return false;
    fixed = known;
    if (operand(n, 1) && !constant(x, 1, &len, &known) && known) return false;
    fixed = fixed && known;
    if (fixed) {
        if (!infer_axis(x, axis, t->rank, &k)) return false;
        if (k == t->rank - 1) return infer_error(x, "the axis is the last one, which holds the real and imaginary parts");
        if (!operand(n, 1)) len = dft_length(n, t->dim[k]);
        if (len < 1 || len > INT32_MAX) return infer_error(x, "the length is %lld; 1 to %d is expected", (long long)len, INT32_MAX);
        type_extents(x->g, t, e);
        Arena *a = x->g->a;
        Expr *whole = operand(n, 1) ? e_int(a, len) : dft_to_real(n) ? e_mul(a, e_sub(a, e[k], e_int(a, 1)), e_int(a, 2)) : e[k];
        bool half = attr_i(n, DFT_ONESIDED) && !attr_i(n, DFT_INVERSE);
        e[k] = half ? extent_add(x->g, extent_floor_div(x->g, extent_simplify(x->g, whole), 2), e_int(a, 1)) : whole;
        e[t->rank - 1] = e_int(a, 2 - dft_to_real(n));
        return infer_extents(x, 0, t->dt, t->rank, e);
    }
    if (!infer_declared(x, 0, t->dt, "the axis or dft_length")) return false;
    const Type *o = &n->out[0]->type;
    if (o->rank != t->rank || o->dim[o->rank - 1] != 2 - dft_to_real(n))
        return infer_error(x, "the output is declared with another rank or last extent");
    for (int i = 0; i < o->rank; i++)
        if (o->dim[i] > INT32_MAX / 2)
            return infer_error(x, "axis %d of the output has the extent %lld, which is too long", i, (long long)o->dim[i]);
    return (type_elements(t, &count) && count > 0) || infer_error(x, "the input has no elements");
}
typedef struct DftRow {
    Node *n;
    Expr **idx;
    int axis, rank;
    Roots roots;
    bool half; /* only one half of the spectrum is given */
} DftRow;
static void dft_sample(Lower *L, void *user, Expr *j, Expr **re, Expr **im) {
    const DftRow *r = user;
    Arena *a = L->a;
    Expr *at[QN_MAX_RANK], *v[2] = {NULL, NULL};
    for (int i = 0; i < r->rank; i++) at[i] = r->idx[i];
    at[r->axis] = j;
    for (int i = 0; i < r->n->in[0]->type.dim[r->rank - 1]; i++) {
        at[r->rank - 1] = e_int(a, i);
        v[i] = lower_load(L, r->n, 0, at);
    }
    if (r->half) { /* every element but the first and, of an even length, the middle one stands for its conjugate too */
        Expr *once = e_bin(a, BIN_LOR, e_eq(a, j, e_int(a, 0)), e_eq(a, e_mul(a, j, e_int(a, 2)), r->roots.len));
        Expr *times = lower_let(L, "times", e_select(a, once, e_lit(a, v[0]->t, 1), e_lit(a, v[0]->t, 2)));
        for (int i = 0; i < 2; i++) v[i] = v[i] ? e_mul(a, v[i], times) : NULL;
    }
    for (int i = 0; i < 2; i++) v[i] = v[i] ? lower_let(L, i ? "xi" : "xr", v[i]) : NULL;
    *re = v[0], *im = v[1];
}
static void dft_along(Lower *L, Node *n, int axis) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    int last = t->rank - 1;
    bool inverse = attr_i(n, DFT_INVERSE), real = dft_to_real(n), half = attr_i(n, DFT_ONESIDED) && !inverse;
    DType ct = dtype_compute(t->dt);
    int64_t most = half ? 2 * o->dim[axis] : o->dim[axis];
    Expr *in = lower_dim(L, t, axis), *len = operand(n, 1) ? scalar_int(L, n, 1)
                                             : real        ? e_mul(a, e_sub(a, in, e_int(a, 1)), e_int(a, 2))
                                                           : in;
    if (operand(n, 1) && !operand(n, 1)->data) len = e_max(a, e_min(a, len, e_int(a, most)), e_int(a, 1));
    Roots r = roots(L, len, max_i64(most, 1), ct);
    Expr *idx[QN_MAX_RANK], *count = e_min(a, real ? e_add(a, e_div(a, r.len, e_int(a, 2)), e_int(a, 1)) : r.len, in), *v[2];
    count = lower_let(L, "count", count);
    for (int i = 0; i < last; i++) idx[i] = lower_loop_to(L, arena_printf(a, "i%d", i), lower_dim(L, o, i));
    DftRow row = {n, idx, axis, t->rank, r, real};
    spectrum(L, &r, idx[axis], count, !inverse, dft_sample, &row, &v[0], &v[1]);
    for (int i = 0; i < o->dim[last]; i++) {
        idx[last] = e_int(a, i);
        lower_store(L, n, 0, idx, inverse ? e_div(a, v[i], e_cast(a, ct, r.len)) : v[i]);
    }
    lower_ends(L, last);
}
bool lower_dft(Lower *L, Node *n) {
    const Tensor *axis = operand(n, 2);
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    int rank = t->rank;
    if (!axis || axis->data) {
        int64_t k = axis ? dtype_get_i(axis->type.dt, axis->data, 0) : -2;
        return dft_along(L, n, (int)(k < 0 ? k + rank : k)), true;
    }
    Expr *k = scalar_int(L, n, 2);
    k = lower_let(L, "axis", e_select(L->a, e_lt(L->a, k, e_int(L->a, 0)), e_add(L->a, k, e_int(L->a, rank)), k));
    for (int i = 0; i + 1 < rank; i++) { /* one nest for each axis that the declared shape allows */
        bool fits = operand(n, 1) || o->dim[i] == dft_extent(n, dft_length(n, t->dim[i]));
        for (int j = 0; j + 1 < rank; j++) fits = fits && (j == i || o->dim[j] == t->dim[j]);
        if (!fits) continue;
        lower_if(L, e_eq(L->a, k, e_int(L->a, i)));
        dft_along(L, n, i);
        lower_end(L);
    }
    return true;
}

/* ---- STFT: the spectrum of windowed frames, one every frame_step elements */
enum { ST_SIGNAL, ST_STEP, ST_WINDOW, ST_LENGTH };
bool infer_stft(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type, *w = operand(n, ST_WINDOW) ? &operand(n, ST_WINDOW)->type : NULL;
    int64_t step = 0, len = 0;
    bool known, fixed, plain = t->rank == 2; /* real, without the axis of extent 1 */
    if (!plain && (t->rank != 3 || t->dim[2] < 1 || t->dim[2] > 2))
        return infer_error(x, "the signal is expected to have the shape batch x length x 1 or 2");
    if (w && w->rank != 1) return infer_error(x, "the window has rank %d; 1 is expected", w->rank);
    if (!constant(x, ST_STEP, &step, &known) && known) return false;
    fixed = known;
    if (operand(n, ST_LENGTH)) {
        if (!constant(x, ST_LENGTH, &len, &known) && known) return false;
        fixed = fixed && known;
    } else {
        len = w ? w->dim[0] : t->dim[1];
        if (w ? w->ext != NULL : t->ext && t->ext[1])
            return infer_error(x, "the length of a frame is known at run time only; give frame_length");
    }
    bool complex = !plain && t->dim[2] == 2, half = attr_i(n, 0) && !complex;
    if (!fixed) {
        if (!infer_declared(x, 0, t->dt, "frame_step or frame_length")) return false;
        const Type *o = &n->out[0]->type;
        return (o->rank == 4 && o->dim[0] == t->dim[0] && o->dim[2] < INT32_MAX / 2 && o->dim[3] == 2) ||
               infer_error(x, "the output is expected to be declared as batch x frames x bins x 2");
    }
    Arena *a = x->g->a;
    Expr *whole = type_extent(x->g, t, 1);
    if (step < 1 || len < 1 || len > INT32_MAX || !infer_require(x, e_le(a, e_int(a, len), whole)))
        return infer_error(x, "frame_step is %lld and frame_length %lld, for a signal of %lld", (long long)step, (long long)len,
                           (long long)t->dim[1]);
    if (w && w->dim[0] != len)
        return infer_error(x, "the window has %lld elements; %lld are expected", (long long)w->dim[0], (long long)len);
    Expr *frames = extent_add(x->g, extent_floor_div(x->g, extent_add(x->g, whole, e_int(a, -len)), step), e_int(a, 1));
    return infer_extents(x, 0, t->dt, 4, (Expr *[]){type_extent(x->g, t, 0), frames, e_int(a, half ? len / 2 + 1 : len), e_int(a, 2)});
}
typedef struct Frame {
    Node *n;
    Expr *batch, *from;
} Frame;
static void frame_sample(Lower *L, void *user, Expr *j, Expr **re, Expr **im) {
    const Frame *f = user;
    Arena *a = L->a;
    const Type *t = &f->n->in[0]->type;
    const Tensor *window = operand(f->n, ST_WINDOW);
    Expr *at[3] = {f->batch, e_add(a, f->from, j), NULL}, *v[2] = {NULL, NULL}, *w = NULL;
    Expr *inside = e_bin(a, BIN_LAND, e_le(a, e_int(a, 0), at[1]), e_lt(a, at[1], lower_dim(L, t, 1)));
    if (window) inside = e_bin(a, BIN_LAND, inside, e_lt(a, j, e_int(a, window->type.dim[0])));
    if (window) w = lower_load(L, f->n, ST_WINDOW, &j);
    for (int i = 0; i < (t->rank == 2 ? 1 : (int)t->dim[2]); i++) {
        at[2] = e_int(a, i);
        Expr *e = lower_load(L, f->n, 0, at);
        e = w ? e_mul(a, e, w) : e;
        v[i] = lower_let(L, i ? "xi" : "xr", e_select(a, inside, e, e_lit(a, e->t, 0)));
    }
    *re = v[0], *im = v[1];
}
bool lower_stft(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type, *w = operand(n, ST_WINDOW) ? &operand(n, ST_WINDOW)->type : NULL;
    DType ct = dtype_compute(t->dt);
    bool half = attr_i(n, 0) && (t->rank == 2 || t->dim[2] == 1);
    int64_t most = half ? 2 * o->dim[2] : o->dim[2];
    Expr *len = operand(n, ST_LENGTH) ? scalar_int(L, n, ST_LENGTH) : e_int(a, w ? w->dim[0] : t->dim[1]),
         *step = lower_let(L, "step", scalar_int(L, n, ST_STEP)), *v[2];
    len = e_max(a, e_min(a, len, e_int(a, most)), e_int(a, 1));
    Roots r = roots(L, len, max_i64(most, 1), ct);
    Expr *b = lower_loop_to(L, "b", lower_dim(L, o, 0)), *f = lower_loop_to(L, "f", lower_dim(L, o, 1));
    Frame frame = {n, b, lower_let(L, "from", e_mul(a, f, step))};
    Expr *k = lower_loop_to(L, "k", lower_dim(L, o, 2));
    spectrum(L, &r, k, r.len, true, frame_sample, &frame, &v[0], &v[1]);
    for (int i = 0; i < 2; i++) lower_store(L, n, 0, (Expr *[]){b, f, k, e_int(a, i)}, v[i]);
    lower_ends(L, 3);
    return true;
}
