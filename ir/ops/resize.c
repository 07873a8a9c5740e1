/* SPDX-License-Identifier: Apache-2.0 */
/* resize.c: Resize, taken apart into one step per axis. Where the positions are quotients of integers, nearest is an index map
 * (ResizeNearest). Else a small table per axis says where to read and with which weights (ResizeTable, which folds when scales or sizes
 * are constant); Gather reads by it for nearest, ResizeAxis for linear and cubic. Positions are computed in float64; a scale within
 * rounding of output extent / input extent counts as that quotient.
 *
 *   Resize(x: [1,8,4,4], scales [1,1,2,2], nearest)   ->   y[i,c,h,w] = x[i,c,h/2,w/2]
 *   Resize(x: [1,8,4,4], sizes [1,8,4,7], linear)     ->   at[7], w[7,2] (constant);  y[i,c,h,o] = w[o,0]*x[i,c,h,at[o]] +
 * w[o,1]*x[i,c,h,at[o]+1]
 */
#include "../extent.h"
#include <math.h>
#include <string.h>

enum { ANTIALIAS, AXES, COORD, CUBIC_A, EXCLUDE, EXTRAPOLATION, POLICY, MODE, NEAREST };
enum { IN_X, IN_ROI, IN_SCALES, IN_SIZES };
typedef enum Coord { HALF_PIXEL, HALF_PIXEL_SYMMETRIC, PYTORCH_HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC, TF_HALF_PIXEL, CROP, COORDS } Coord;
static const char *const coords[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                     "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"};
typedef enum Mode { M_NEAREST, M_LINEAR, M_CUBIC, MODES } Mode;
static const char *const modes[] = {"nearest", "linear", "cubic"};
typedef enum Round { ROUND_FLOOR_HALF, ROUND_CEIL_HALF, ROUND_FLOOR, ROUND_CEIL, ROUNDS } Round;
static const char *const rounds[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
typedef enum Policy { STRETCH, NOT_LARGER, NOT_SMALLER, POLICIES } Policy;
static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};

static bool choose(Infer *x, int attr, const char *const *word, int n, int *out) {
    for (*out = 0; *out < n; ++*out)
        if (strcmp(attr_s(x->n, attr), word[*out]) == 0) return true;
    return infer_error(x, "%s is '%s', which is not one of its values", x->n->op->attr[attr].name, attr_s(x->n, attr));
}
static Tensor *operand(const Node *n, int i) { return i < n->nin ? n->in[i] : NULL; }
static int64_t count_of(const Tensor *t) {
    int64_t n;
    return t && type_elements(&t->type, &n) ? n : 0;
}

typedef struct Plan {
    Infer x;
    Graph *g;
    const Type *t;
    int coord, mode, round, policy;
    int n, axis[QN_MAX_RANK];   /* the axes that scales and sizes speak of, in their order */
    int64_t out[QN_MAX_RANK];   /* extents after, by axis; bounds where they are known at run time only */
    Expr *ext[QN_MAX_RANK];     /* extents after */
    int64_t times[QN_MAX_RANK]; /* by axis: 0, or how often a run-time extent is repeated exactly */
    bool rational[QN_MAX_RANK]; /* by axis: positions follow from the two extents alone */
    Tensor *scales, *sizes, *roi;
} Plan;

static bool plan_axes(Plan *p) {
    const Attr *axes = &p->x.n->attr[AXES];
    bool seen[QN_MAX_RANK] = {false};
    p->n = attr_has(p->x.n, AXES) ? (int)axes->n : p->t->rank;
    if (p->n > p->t->rank) return infer_error(&p->x, "axes has %d entries, but the input has rank %d", p->n, p->t->rank);
    for (int i = 0; i < p->n; i++) {
        p->axis[i] = i;
        if (attr_has(p->x.n, AXES) && !infer_axis(&p->x, axes->is[i], p->t->rank, &p->axis[i])) return false;
        if (seen[p->axis[i]]) return infer_error(&p->x, "axes names axis %d twice", p->axis[i]);
        seen[p->axis[i]] = true;
    }
    return true;
}
static bool plan_operands(Plan *p) {
    Node *n = p->x.n;
    p->roi = p->coord == CROP ? operand(n, IN_ROI) : NULL;
    p->scales = operand(n, IN_SCALES), p->sizes = operand(n, IN_SIZES);
    if (p->scales && p->scales->type.rank == 1 && p->scales->type.dim[0] == 0) p->scales = NULL;
    if (p->sizes && p->sizes->type.rank == 1 && p->sizes->type.dim[0] == 0) p->sizes = NULL;
    if (p->sizes) p->scales = NULL;
    if (!p->scales && !p->sizes) return infer_error(&p->x, "neither scales nor sizes is given; one of them is expected");
    const Tensor *given = p->sizes ? p->sizes : p->scales;
    if (given->type.rank != 1 || (p->roi && p->roi->type.rank != 1))
        return infer_error(&p->x, "%s has %d dims; 1 is expected", given->type.rank != 1 ? p->sizes ? "sizes" : "scales" : "roi",
                           given->type.rank != 1 ? given->type.rank : p->roi->type.rank);
    if (count_of(given) != p->n)
        return infer_error(&p->x, "%s has %lld entries; %d are expected", p->sizes ? "sizes" : "scales", (long long)count_of(given), p->n);
    if (p->coord == CROP && count_of(p->roi) != 2 * p->n)
        return infer_error(&p->x, "roi has %lld entries; tf_crop_and_resize expects %d", (long long)count_of(p->roi), 2 * p->n);
    return true;
}
static double value(const Tensor *t, int64_t i) { return dtype_get_f(t->type.dt, t->data, i); }

static bool run_time(const Plan *p, int k) { return p->t->ext && p->t->ext[k]; }
/* Extents after, from constants. false: not constant, or an error. */
static bool plan_constant(Plan *p) {
    const Tensor *given = p->sizes ? p->sizes : p->scales;
    if (!given->data || (p->scales && p->coord == CROP && !p->roi->data)) return false;
    double common = p->policy == NOT_LARGER ? INFINITY : 0;
    for (int i = 0; p->sizes && i < p->n; i++) {
        double s = value(p->sizes, i) / (double)p->t->dim[p->axis[i]];
        if (p->policy != STRETCH && run_time(p, p->axis[i])) return false;
        common = p->policy == NOT_LARGER ? fmin(common, s) : fmax(common, s);
    }
    for (int i = 0; i < p->n; i++) {
        int k = p->axis[i];
        double in = (double)p->t->dim[k], v = value(given, i);
        if (p->scales && run_time(p, k)) {
            if (p->coord == CROP) return false;
            Arena *a = p->g->a;
            Expr *n = p->t->ext[k], *f = e_mul(a, e_cast(a, DT_FLOAT64, n), e_lit(a, DT_FLOAT64, v));
            p->times[k] = v >= 1 && v <= 1024 && v == floor(v) ? (int64_t)v : 0;
            if (!(v > 0)) return infer_error(&p->x, "the scale of axis %d is %g", k, v), false;
            p->ext[k] =
                p->times[k]
                    ? extent_mul(p->g, n, e_int(a, p->times[k]))
                    : infer_named(&p->x, e_cast(a, DT_INT64, e_call1(a, CALL_FLOOR, e_cast(a, DT_FLOAT64, e_cast(a, DT_FLOAT32, f)))),
                                  "resized");
            p->rational[k] = p->times[k] > 0;
            continue;
        }
        if (p->scales) { /* as a float32 product, as exporters do */
            double part = p->coord == CROP ? value(p->roi, p->n + i) - value(p->roi, i) : 1;
            v = floor((double)(float)(in * v * part));
            p->rational[k] = fabs(in * value(given, i) - v) <= 1e-6 * v;
        } else {
            p->rational[k] = p->policy == STRETCH;
            if (p->policy != STRETCH) v = floor(common * in + 0.5);
        }
        if (!(v >= 0) || v > 1e15) return infer_error(&p->x, "axis %d would have the extent %g", k, v), false;
        p->ext[k] = e_int(p->g->a, (int64_t)v);
    }
    return true;
}
/* Sizes which are computed at run time. */
static bool plan_sizes(Plan *p) {
    Expr **v;
    int64_t n;
    if (!p->sizes || p->sizes->data || p->policy != STRETCH || p->coord == CROP || attr_i(p->x.n, ANTIALIAS)) return false;
    if (!infer_values(&p->x, IN_SIZES, &v, &n)) return false;
    for (int i = 0; i < p->n; i++) p->ext[p->axis[i]] = v[i], p->rational[p->axis[i]] = true;
    return true;
}
static bool plan_extents(Plan *p) {
    int errors = p->x.c->d->errors;
    for (int i = 0; i < p->t->rank; i++) p->ext[i] = type_extent(p->g, p->t, i);
    if (!plan_constant(p) && !plan_sizes(p)) {
        if (p->x.c->d->errors > errors) return false;
        for (int i = 0; i < p->n; i++)
            if (run_time(p, p->axis[i]))
                return infer_error(&p->x,
                                   "scales, a region or an aspect ratio are given for axis %d, which is known at run time only; fix it "
                                   "with --dim",
                                   p->axis[i]);
        if (!infer_declared(&p->x, 0, p->t->dt, p->sizes ? "sizes" : "scales")) return false;
        const Type *o = &p->x.n->out[0]->type;
        if (o->rank != p->t->rank) return infer_error(&p->x, "the output is declared with rank %d; %d is expected", o->rank, p->t->rank);
        for (int i = 0; i < p->n; i++) {
            p->ext[p->axis[i]] = e_int(p->g->a, o->dim[p->axis[i]]);
            p->rational[p->axis[i]] = p->sizes && p->policy == STRETCH;
        }
    }
    if (!infer_extents(&p->x, 0, p->t->dt, p->t->rank, p->ext)) return false;
    const Type *o = &p->x.n->out[0]->type;
    for (int i = 0; i < p->t->rank; i++) p->out[i] = o->dim[i], p->ext[i] = type_extent(p->g, o, i);
    for (int i = 0; i < p->n; i++) {
        int k = p->axis[i];
        if (p->coord == CROP) p->rational[k] = false;
        if (!infer_some(&p->x, type_extent(p->g, p->t, k), p->ext[k])) return infer_error(&p->x, "axis %d has no elements to resize", k);
    }
    return true;
}

/* ---- nearest as (o*mul + add) / div, clamped */
enum { EXTENT_MAX = 1 << 28 }; /* so that products of two extents and a small number fit in 63 bits */
static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b, b = r;
    }
    return a;
}
static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static bool nearest_map(const Plan *p, int k, int64_t *mul, int64_t *add, int64_t *div) {
    int64_t n = p->t->dim[k], m = p->out[k], u, q, d; /* position = (o*u + q) / d */
    if (p->ext[k]->k != E_INT || run_time(p, k)) {    /* a whole multiple of whatever it is */
        if (!p->times[k] || p->coord == ALIGN_CORNERS || p->coord == PYTORCH_HALF_PIXEL) return false;
        n = 1, m = p->times[k];
    }
    if (!p->rational[k] || n > EXTENT_MAX || m > EXTENT_MAX || n < 1 || m < 1) return false;
    switch (p->coord) {
    case ASYMMETRIC: u = n, q = 0, d = m; break;
    case TF_HALF_PIXEL: u = 2 * n, q = n, d = 2 * m; break;
    case ALIGN_CORNERS: u = m > 1 ? n - 1 : 0, q = 0, d = m > 1 ? m - 1 : 1; break;
    case PYTORCH_HALF_PIXEL: u = m > 1 ? 2 * n : 0, q = m > 1 ? n - m : 0, d = 2 * m; break;
    case CROP: return false;
    default: u = 2 * n, q = n - m, d = 2 * m; break;
    }
    switch (p->round) {
    case ROUND_FLOOR: *mul = u, *add = q, *div = d; break;
    case ROUND_CEIL: *mul = u, *add = q + d - 1, *div = d; break;
    case ROUND_CEIL_HALF: *mul = 2 * u, *add = 2 * q + d, *div = 2 * d; break;
    default: *mul = 2 * u, *add = 2 * q + d - 1, *div = 2 * d; break;
    }
    int64_t g = gcd(*div, *mul);
    *mul /= g, *div /= g, *add = floor_div(*add, g);
    return true;
}
bool infer_resize_nearest(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    const Attr *dims = &x->n->attr[0];
    Expr *e[QN_MAX_RANK];
    for (int i = 0; i < 4; i++)
        if (x->n->attr[i].n != t->rank)
            return infer_error(x, "attribute %s has %lld entries; %d are expected", x->n->op->attr[i].name, (long long)x->n->attr[i].n,
                               t->rank);
    for (int i = 0; i < t->rank; i++) {
        int64_t mul = x->n->attr[1].is[i], add = x->n->attr[2].is[i], most;
        bool run = t->ext && t->ext[i];
        if (run != (dims->is[i] < 0) || (run && dims->is[i] < -1024)) return infer_error(x, "axis %d is constant or known at run time", i);
        e[i] = run ? extent_mul(x->g, t->ext[i], e_int(x->g->a, -dims->is[i])) : e_int(x->g->a, dims->is[i]);
        if (run) continue;
        if (mul < 0 || x->n->attr[3].is[i] < 1 || add < INT64_MIN / 2 || !mul_ok(mul, dims->is[i], &most) || !add_ok(most, add, &most))
            return infer_error(x, "axis %d has the index map (i*%lld + %lld)/%lld, which is out of range", i, (long long)mul,
                               (long long)add, (long long)x->n->attr[3].is[i]);
        if (t->dim[i] == 0 && dims->is[i] > 0) return infer_error(x, "axis %d has no elements to resize", i);
    }
    return infer_extents(x, 0, t->dt, t->rank, e);
}
Expr *compute_resize_nearest(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[out]->type;
    const int64_t *mul = n->attr[1].is, *add = n->attr[2].is, *div = n->attr[3].is;
    Expr *at[QN_MAX_RANK];
    for (int k = 0; k < t->rank; k++) {
        at[k] = e_div(a, e_add(a, e_mul(a, idx[k], e_int(a, mul[k])), e_int(a, add[k])), e_int(a, div[k]));
        if (add[k] < 0) at[k] = e_max(a, at[k], e_int(a, 0));
        if (t->ext && t->ext[k]) at[k] = add[k] == 0 && mul[k] == 1 ? at[k] : e_min(a, at[k], e_sub(a, lower_dim(L, t, k), e_int(a, 1)));
        else if (((o->dim[k] - 1) * mul[k] + add[k]) / div[k] >= t->dim[k]) at[k] = e_min(a, at[k], e_int(a, t->dim[k] - 1));
    }
    return lower_load(L, n, 0, at);
}

/* ---- the table of one axis: at[o]: first element read (nearest: the one), w[o,t]: weights, inside[o]: not beyond the input */
enum {
    RT_DIMS,
    RT_POS,
    RT_OUT,
    RT_TAPS,
    RT_MODE,
    RT_COORD,
    RT_ROUND,
    RT_POLICY,
    RT_RATIONAL,
    RT_A,
    RT_ANTIALIAS,
    RT_EXCLUDE,
    RT_DOUBLE,
    RT_ALONG
};
/* Its first input is roi for tf_crop_and_resize, else scales (floats) or sizes (integers), and absent where the extents say all. The
 * second one is there where an extent is known at run time only: what is resized, along axis RT_ALONG; the output's type is given then. */
bool infer_resize_table(Infer *x) {
    const Node *n = x->n;
    int64_t out = attr_i(n, RT_OUT), pos = attr_i(n, RT_POS), axes = n->attr[RT_DIMS].n, taps = attr_i(n, RT_TAPS);
    static const struct {
        int attr;
        int64_t most;
    } ranges[] = {{RT_TAPS, INT32_MAX},   {RT_OUT, INT32_MAX},    {RT_MODE, MODES - 1},
                  {RT_COORD, COORDS - 1}, {RT_ROUND, ROUNDS - 1}, {RT_POLICY, POLICIES - 1}};
    if (pos < 0 || pos >= axes || n->attr[RT_DIMS].is[pos] < 1 || n->attr[RT_DIMS].is[pos] > INT64_MAX / 4 || taps < 1)
        return infer_error(x, "the table has no such axis");
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        int64_t v = attr_i(n, ranges[i].attr);
        if (v < 0 || v > ranges[i].most)
            return infer_error(x, "%s is %lld; 0 to %lld is expected", n->op->attr[ranges[i].attr].name, (long long)v,
                               (long long)ranges[i].most);
    }
    const Tensor *given = operand(n, 0);
    bool crop = attr_i(n, RT_COORD) == CROP;
    if (!given && (crop || !attr_i(n, RT_RATIONAL))) return infer_error(x, "neither scales, sizes nor roi is given");
    if (given && (count_of(given) != (crop ? 2 * axes : axes) || (crop && !dtype_is_float(given->type.dt))))
        return infer_error(x, "the input has %lld entries of %s", (long long)count_of(given), dtype_name(given->type.dt));
    DType t = attr_i(n, RT_DOUBLE) ? DT_FLOAT64 : DT_FLOAT32;
    int64_t width = min_i64(taps, n->attr[RT_DIMS].is[pos]), along = attr_i(n, RT_ALONG);
    const Tensor *of = operand(n, 1);
    if (of) {
        if (along < 0 || along >= of->type.rank || n->out[0]->type.rank != 1) return infer_error(x, "the table has no such axis");
        bool run = of->type.ext && of->type.ext[along];
        Expr *e[2] = {type_extent(x->g, &n->out[0]->type, 0), e_int(x->g->a, run ? taps : min_i64(taps, of->type.dim[along]))};
        return infer_extents(x, 0, DT_INT64, 1, e) && infer_extents(x, 1, t, 2, e) && infer_extents(x, 2, DT_BOOL, 1, e);
    }
    return infer_out(x, 0, DT_INT64, 1, &out) && infer_out(x, 1, t, 2, (int64_t[]){out, width}) && infer_out(x, 2, DT_BOOL, 1, &out);
}
static Expr *num(Lower *L, double v) { return e_lit(L->a, DT_FLOAT64, v); }
static Expr *entry(Lower *L, Node *n, int64_t i) {
    Expr *at = e_int(L->a, i);
    return e_cast(L->a, DT_FLOAT64, lower_load(L, n, 0, &at));
}
static Expr *out_extent(Lower *L, const Node *n) {
    return operand(n, 1) ? lower_dim(L, &n->out[0]->type, 0) : e_int(L->a, attr_i(n, RT_OUT));
}
static Expr *in_extent(Lower *L, const Node *n) {
    const Tensor *of = operand(n, 1);
    return of ? lower_dim(L, &of->type, (int)attr_i(n, RT_ALONG)) : e_int(L->a, n->attr[RT_DIMS].is[attr_i(n, RT_POS)]);
}
static Expr *real(Lower *L, Expr *e) {
    int64_t v;
    return e_is_int(e, &v) ? num(L, (double)v) : lower_let(L, "m", e_cast(L->a, DT_FLOAT64, e));
}
/* The length of the output as a real number: input extent times scale. */
static Expr *real_length(Lower *L, Node *n) {
    Arena *a = L->a;
    const int64_t *dims = n->attr[RT_DIMS].is, pos = attr_i(n, RT_POS);
    Expr *out = real(L, out_extent(L, n)), *in = real(L, in_extent(L, n)), *s;
    if (attr_i(n, RT_RATIONAL) || attr_i(n, RT_COORD) == CROP) return out;
    if (!dtype_is_float(n->in[0]->type.dt)) {
        s = NULL;
        for (int64_t i = 0; i < n->attr[RT_DIMS].n; i++) {
            Expr *q = e_div(a, entry(L, n, i), num(L, (double)dims[i]));
            s = !s ? q : attr_i(n, RT_POLICY) == NOT_LARGER ? e_min(a, s, q) : e_max(a, s, q);
        }
    } else {
        s = entry(L, n, pos);
    }
    Expr *len = lower_let(L, "len", e_mul(a, in, s));
    return lower_let(
        L, "len",
        lower_formula(L, "abs(len - out) <= out*1e-6 ? out : len", 2, (const char *const[]){"len", "out"}, (Expr *const[]){len, out}));
}
static const char *const position[] = {
    [HALF_PIXEL] = "(o + 0.5)*n/len - 0.5",
    [HALF_PIXEL_SYMMETRIC] = "n/2*(1 - m/len) + (o + 0.5)*n/len - 0.5",
    [PYTORCH_HALF_PIXEL] = "len > 1 ? (o + 0.5)*n/len - 0.5 : len*0",
    [ALIGN_CORNERS] = "len == 1 ? len*0 : o*(n - 1)/(len - 1)",
    [ASYMMETRIC] = "o*n/len",
    [TF_HALF_PIXEL] = "(o + 0.5)*n/len", /* until opset 12 */
    [CROP] = "(m == 1 ? (e - b)*(n - 1)/2 : o*(e - b)*(n - 1)/(m - 1)) + b*(n - 1)",
};
static const char *const nearest[] = {
    [ROUND_FLOOR_HALF] = "r <= 0.5 ? f : f + 1",
    [ROUND_CEIL_HALF] = "r < 0.5 ? f : f + 1",
    [ROUND_FLOOR] = "f",
    [ROUND_CEIL] = "r > 0 ? f + 1 : f",
};
static const char *const weight[] = {
    [M_LINEAR] = "max(1 - abs(t), 0)",
    [M_CUBIC] = "abs(t) <= 1 ? ((a + 2)*abs(t) - (a + 3))*t*t + 1 : abs(t) < 2 ? ((a*abs(t) - 5*a)*abs(t) + 8*a)*abs(t) - 4*a : t*0",
};
static Expr *clamp_index(Lower *L, Expr *e, Expr *hi) { return e_max(L->a, e_min(L->a, e, hi), e_int(L->a, 0)); }

/* The weights of output o, whose taps stand at first + j; those beyond the ends go to the end elements. */
static void table_weights(Lower *L, Node *n, Expr *o, Expr *first, Expr *frac, Expr *len) {
    Arena *a = L->a;
    int64_t taps = attr_i(n, RT_TAPS), width = n->out[1]->type.dim[1], start = 1 - taps / 2;
    Expr *in = in_extent(L, n);
    Buf *at = lower_tensor(L, n->out[0]), *w = lower_tensor(L, n->out[1]);
    Buf *c = lower_temp(L, "c", DT_FLOAT64, 1, &taps), *total = lower_temp(L, "total", DT_FLOAT64, 0, NULL);
    Expr *base = lower_let(L, "base", clamp_index(L, first, e_sub(a, in, e_int(a, width))));
    lower_put(L, at, &o, base, RED_NONE);
    Expr *scale = num(L, 1);
    if (attr_i(n, RT_ANTIALIAS)) scale = lower_let(L, "scale", e_min(a, e_div(a, len, real(L, in)), num(L, 1)));
    lower_put(L, total, NULL, num(L, 0), RED_NONE);
    Expr *j = lower_loop(L, "j", taps);
    Expr *t = lower_let(L, "t", e_mul(a, e_sub(a, e_cast(a, DT_FLOAT64, e_add(a, j, e_int(a, start))), frac), scale));
    Expr *v = lower_formula(L, weight[attr_i(n, RT_MODE)], 2, (const char *const[]){"t", "a"},
                            (Expr *const[]){t, num(L, (double)attr_f(n, RT_A))});
    if (attr_i(n, RT_EXCLUDE)) {
        Expr *pos = e_add(a, first, j);
        v = e_select(a, e_bin(a, BIN_LAND, e_le(a, e_int(a, 0), pos), e_lt(a, pos, in)), v, num(L, 0));
    }
    v = lower_let(L, "v", v);
    lower_put(L, c, &j, v, RED_NONE);
    lower_put(L, total, NULL, v, RED_ADD);
    lower_end(L);
    Expr *k = lower_loop(L, "k", width);
    lower_put(L, w, (Expr *[]){o, k}, num(L, 0), RED_NONE);
    lower_end(L);
    Expr *sum = lower_let(L, "sum", lower_get(L, total, NULL));
    j = lower_loop(L, "j", taps);
    Expr *slot = e_sub(a, clamp_index(L, e_add(a, first, j), e_sub(a, in, e_int(a, 1))), base);
    lower_put(L, w, (Expr *[]){o, slot}, e_div(a, lower_get(L, c, &j), sum), RED_ADD);
    lower_end(L);
}
bool lower_resize_table(Lower *L, Node *n) {
    Arena *a = L->a;
    int64_t pos = attr_i(n, RT_POS), axes = n->attr[RT_DIMS].n, taps = attr_i(n, RT_TAPS);
    Expr *in = in_extent(L, n), *last = e_sub(a, in, e_int(a, 1));
    bool crop = attr_i(n, RT_COORD) == CROP;
    Buf *at = lower_tensor(L, n->out[0]);
    Expr *len = real_length(L, n), *nin = real(L, in), *nout = real(L, out_extent(L, n));
    Expr *b = crop ? lower_let(L, "b", entry(L, n, pos)) : num(L, 0), *e = crop ? lower_let(L, "e", entry(L, n, axes + pos)) : num(L, 1);
    Expr *o = lower_loop_to(L, "o", out_extent(L, n));
    Expr *x = lower_formula(L, position[attr_i(n, RT_COORD)], 6, (const char *const[]){"o", "n", "m", "len", "b", "e"},
                            (Expr *const[]){e_cast(a, DT_FLOAT64, o), nin, nout, len, b, e});
    x = lower_let(L, "x", x);
    Expr *floor_x = lower_let(L, "f", e_call1(a, CALL_FLOOR, x)), *frac = lower_let(L, "r", e_sub(a, x, floor_x));
    Expr *far = real(L, e_add(a, in, e_int(a, taps + 1)));
    Expr *near = attr_i(n, RT_MODE) == M_NEAREST
                     ? lower_formula(L, nearest[attr_i(n, RT_ROUND)], 2, (const char *const[]){"r", "f"}, (Expr *const[]){frac, floor_x})
                     : floor_x;
    Expr *first = e_cast(a, DT_INT64, e_max(a, e_min(a, near, far), e_un(a, UN_NEG, far)));
    if (n->nout > 2 && n->out[2]) {
        Expr *inside = crop ? e_bin(a, BIN_LAND, e_le(a, num(L, 0), x), e_le(a, x, real(L, last))) : e_lit_i(a, DT_BOOL, 1);
        lower_put(L, lower_tensor(L, n->out[2]), &o, inside, RED_NONE);
    }
    if (attr_i(n, RT_MODE) == M_NEAREST) lower_put(L, at, &o, clamp_index(L, first, last), RED_NONE);
    else table_weights(L, n, o, lower_let(L, "first", e_add(a, first, e_int(a, 1 - taps / 2))), frac, len);
    lower_end(L);
    return true;
}

/* ---- one axis by a table: x, at[o], w[o,t] */
bool infer_resize_axis(Infer *x) {
    const Type *t = &x->n->in[0]->type, *at = &x->n->in[1]->type, *w = &x->n->in[2]->type;
    int axis;
    if (!infer_axis(x, attr_i(x->n, 0), t->rank, &axis)) return false;
    if (at->rank != 1 || w->rank != 2 || !extent_same(w, 0, at, 0) || (w->dim[1] > t->dim[axis] && !(t->ext && t->ext[axis])))
        return infer_error(x, "the table does not fit axis %d", axis);
    Expr *e[QN_MAX_RANK];
    for (int i = 0; i < t->rank; i++) e[i] = i == axis ? type_extent(x->g, at, 0) : type_extent(x->g, t, i);
    return infer_extents(x, 0, t->dt, t->rank, e);
}
int64_t macs_resize_axis(const Node *n) {
    int64_t m;
    return type_elements(&n->out[0]->type, &m) && mul_ok(m, n->in[2]->type.dim[1], &m) ? m : -1;
}
enum { UNROLL = 4 };
bool lower_resize_axis(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    int axis = (int)(attr_i(n, 0) < 0 ? attr_i(n, 0) + t->rank : attr_i(n, 0));
    int64_t taps = n->in[2]->type.dim[1];
    DType ct = dtype_compute(t->dt);
    Expr *idx[QN_MAX_RANK], *from[QN_MAX_RANK], *w[UNROLL] = {NULL}, *first = NULL, *in = lower_dim(L, t, axis);
    int64_t least, most;
    bool fits =
        extent_bounds(L->g, type_extent(L->g, t, axis), &least, &most) && least >= taps; /* else a tap without weight may be outside */
    for (int i = 0; i < t->rank; i++) {
        from[i] = idx[i] = lower_loop_to(L, arena_printf(a, "i%d", i), lower_dim(L, o, i));
        if (i != axis) continue;
        first = lower_let(L, "first", clamp_index(L, lower_load(L, n, 1, &idx[i]), e_sub(a, in, e_int(a, taps))));
        for (int k = 0; taps <= UNROLL && k < taps; k++)
            w[k] = lower_let(L, arena_printf(a, "w%d", k), e_cast(a, ct, lower_load(L, n, 2, (Expr *[]){idx[i], e_int(a, k)})));
    }
    Expr *sum = NULL;
    for (int k = 0; taps <= UNROLL && k < taps; k++) {
        from[axis] = e_add(a, first, e_int(a, k));
        if (!fits && k) from[axis] = e_min(a, from[axis], e_sub(a, in, e_int(a, 1)));
        Expr *v = e_mul(a, w[k], lower_load(L, n, 0, from));
        sum = sum ? e_add(a, sum, v) : v;
    }
    if (!sum) {
        Buf *acc = lower_temp(L, "acc", ct, 0, NULL);
        lower_put(L, acc, NULL, e_lit(a, ct, 0), RED_NONE);
        Expr *k = lower_loop(L, "k", taps);
        from[axis] = fits ? e_add(a, first, k) : e_min(a, e_add(a, first, k), e_sub(a, in, e_int(a, 1)));
        Expr *v = e_mul(a, e_cast(a, ct, lower_load(L, n, 2, (Expr *[]){idx[axis], k})), lower_load(L, n, 0, from));
        lower_put(L, acc, NULL, v, RED_ADD);
        lower_end(L);
        sum = lower_get(L, acc, NULL);
    }
    lower_store(L, n, 0, idx, sum);
    lower_ends(L, t->rank);
    return true;
}

/* ---- the rewrite */
static Node *inner(Plan *p, const char *op, int nin, Tensor *const *in, int nout) {
    Node *n = node_new(p->g, op_find("quern", op), p->x.n, p->x.n->loc, nin, in, nout);
    for (int i = 0; i < nout; i++) node_set_out(n, i, tensor_new(p->g, NULL, DT_NONE, -1, NULL));
    return n;
}
static int64_t tap_count(const Plan *p, int k) {
    int64_t reach = p->mode == M_CUBIC ? 2 : 1;
    if (p->mode == M_NEAREST) return 1;
    if (attr_i(p->x.n, ANTIALIAS) && (run_time(p, k) || p->ext[k]->k != E_INT)) return -1;
    if (attr_i(p->x.n, ANTIALIAS) && p->out[k] < p->t->dim[k]) { /* as far as the smallest scale this output extent can come from */
        double least = (double)p->out[k] - (p->policy != STRETCH ? 0.5 : 0);
        reach = (int64_t)ceil((double)reach * (double)p->t->dim[k] / fmax(least, 0.25));
    }
    return reach > INT32_MAX ? INT64_MAX : 2 * reach;
}
static Node *table(Plan *p, int i) {
    const Node *n = p->x.n;
    int k = p->axis[i];
    int64_t dims[QN_MAX_RANK];
    bool run = run_time(p, k) || p->ext[k]->k != E_INT;
    for (int j = 0; j < p->n; j++) dims[j] = p->t->dim[p->axis[j]];
    bool exact = p->rational[k] || p->coord == CROP || (p->sizes && p->policy == STRETCH);
    Tensor *given = p->coord == CROP ? p->roi : p->sizes ? p->sizes : p->scales;
    Node *t = inner(p, "ResizeTable", run ? 2 : p->coord == CROP || !exact,
                    (Tensor *[]){run && exact && p->coord != CROP ? NULL : given, n->in[0]}, 3);
    if (run) {
        node_set_i(t, RT_ALONG, k);
        t->out[0]->type = (Type){.dt = DT_INT64, .rank = 1, .dim = {p->out[k]}, .ext = NEW_ARRAY(p->g->a, Expr *, 1)};
        if (p->ext[k]->k == E_INT) t->out[0]->type.ext = NULL;
        else t->out[0]->type.ext[0] = p->ext[k];
    }
    node_set_is(p->g, t, RT_DIMS, dims, p->n);
    node_set_i(t, RT_POS, i), node_set_i(t, RT_OUT, p->out[k]), node_set_i(t, RT_TAPS, tap_count(p, k));
    node_set_i(t, RT_MODE, p->mode), node_set_i(t, RT_COORD, p->coord), node_set_i(t, RT_ROUND, p->round),
        node_set_i(t, RT_POLICY, p->policy);
    node_set_i(t, RT_RATIONAL, exact), node_set_f(t, RT_A, attr_f(n, CUBIC_A));
    node_set_i(t, RT_ANTIALIAS, attr_i(n, ANTIALIAS)), node_set_i(t, RT_EXCLUDE, attr_i(n, EXCLUDE)),
        node_set_i(t, RT_DOUBLE, p->t->dt == DT_FLOAT64);
    return t;
}
static Tensor *cast(Plan *p, Tensor *t, DType to) {
    Tensor *y = build(p->g, p->x.n, "Cast", 1, &t);
    node_set_i(y->def, op_attr_index(y->def->op, "to"), to);
    return y;
}
/* Beyond the input, a given value. */
static Tensor *extrapolate(Plan *p, Tensor *y, Tensor *inside, int axis, DType dt) {
    int64_t axes[QN_MAX_RANK];
    for (int i = axis + 1; i < p->t->rank; i++) axes[i - axis - 1] = i - axis;
    if (axis + 1 < p->t->rank)
        inside = build(p->g, p->x.n, "Unsqueeze", 2, (Tensor *[]){inside, tensor_i64s(p->g, axes, p->t->rank - axis - 1)});
    return build(p->g, p->x.n, "Where", 3, (Tensor *[]){inside, y, tensor_scalar(p->g, dt, (double)attr_f(p->x.n, EXTRAPOLATION))});
}
/* All axes whose nearest positions are quotients of integers, in one index map. */
static Tensor *map_nearest(Plan *p, Tensor *y, bool *done) {
    int64_t v[4][QN_MAX_RANK];
    int r = p->t->rank;
    bool any = false;
    for (int k = 0; k < r; k++) v[0][k] = run_time(p, k) ? -1 : p->t->dim[k], v[1][k] = 1, v[2][k] = 0, v[3][k] = 1;
    for (int i = 0; i < p->n; i++) {
        int k = p->axis[i];
        if (done[i] || !nearest_map(p, k, &v[1][k], &v[2][k], &v[3][k])) continue;
        v[0][k] = run_time(p, k) ? -p->times[k] : p->out[k];
        done[i] = any = true;
    }
    if (!any) return y;
    Node *n = inner(p, "ResizeNearest", 1, &y, 1);
    for (int j = 0; j < 4; j++) node_set_is(p->g, n, j, v[j], r);
    return n->out[0];
}
bool rewrite_resize(Ctx *c, Graph *g, Node *n) {
    Plan p = {.x = {c, g, n}, .g = g, .t = &n->in[0]->type};
    bool done[QN_MAX_RANK] = {false};
    if (!choose(&p.x, COORD, coords, COORDS, &p.coord) || !choose(&p.x, MODE, modes, MODES, &p.mode) ||
        !choose(&p.x, NEAREST, rounds, ROUNDS, &p.round) || !choose(&p.x, POLICY, policies, POLICIES, &p.policy) || !plan_axes(&p) ||
        !plan_operands(&p) || !plan_extents(&p))
        return false;
    Tensor *y = n->in[0];
    DType dt = p.t->dt, work = p.mode == M_NEAREST || dt == DT_FLOAT64 ? dt : DT_FLOAT32;
    for (int i = 0; i < p.n; i++) /* the same extent by the same positions, or nothing to fill */
        done[i] = (p.rational[p.axis[i]] && p.coord != TF_HALF_PIXEL && e_equal(p.ext[p.axis[i]], type_extent(g, p.t, p.axis[i]))) ||
                  p.t->dim[p.axis[i]] == 0;
    if (p.mode == M_NEAREST) y = map_nearest(&p, y, done);
    if (work != dt) y = cast(&p, y, work);
    for (;;) { /* the axis that shrinks most first: less is left for the others */
        int best = -1;
        double ratio = INFINITY;
        for (int i = 0; i < p.n; i++) {
            double q = (double)p.out[p.axis[i]] / (double)p.t->dim[p.axis[i]];
            if (!done[i] && q < ratio) best = i, ratio = q;
        }
        if (best < 0) break;
        done[best] = true;
        if (tap_count(&p, p.axis[best]) < 0)
            return infer_error(
                &p.x, "antialias reaches as far as the extents of axis %d say, which are known at run time only; fix them with --dim",
                p.axis[best]);
        Node *t = table(&p, best);
        if (p.mode == M_NEAREST) y = build(g, n, "Gather", 2, (Tensor *[]){y, t->out[0]});
        else y = inner(&p, "ResizeAxis", 3, (Tensor *[]){y, t->out[0], t->out[1]}, 1)->out[0];
        node_set_i(y->def, 0, p.axis[best]);
        if (p.coord == CROP) y = extrapolate(&p, y, t->out[2], p.axis[best], work);
    }
    if (work != dt) y = cast(&p, y, dt);
    if (y == n->in[0]) y = build(g, n, "Identity", 1, &y);
    tensor_replace(g, n->out[0], y, true);
    return true;
}
