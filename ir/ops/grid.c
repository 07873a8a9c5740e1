/* SPDX-License-Identifier: Apache-2.0 */
/* grid.c: GridSample in two or three spatial dimensions, and AffineGrid, which makes the grid from an affine map. Positions are computed
 * in the grid's type, once for all channels; what lies outside counts as zero, as the border element or as its reflection.
 *
 *   GridSample(x, grid, linear):  for n, oh, ow:  y0 = floor(y), wy = y - y0 … (likewise x);
 *                                     for c: out[n,c,oh,ow] = (1-wy)*((1-wx)*x[n,c,y0,x0] + wx*x[n,c,y0,x0+1]) + wy*(…)
 */
#include "../ops.h"
#include <string.h>

enum { CORNERS, MODE, PADDING };
enum { SPATIAL = 3, TAPS = 4 };

static int word_index(const char *s, const char *const *word, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(s, word[i]) == 0) return i;
    return -1;
}
enum { NEAREST, LINEAR, CUBIC };
static int mode_of(const Node *n) { return word_index(attr_s(n, MODE), (const char *const[]){"nearest", "linear", "cubic"}, 3); }
enum { ZEROS, BORDER, REFLECTION };
static int padding_of(const Node *n) { return word_index(attr_s(n, PADDING), (const char *const[]){"zeros", "border", "reflection"}, 3); }

bool infer_grid_sample(Infer *x) {
    const Type *t = &x->n->in[0]->type, *g = &x->n->in[1]->type;
    int64_t dim[QN_MAX_RANK], count;
    int r = t->rank - 2;
    if (r < 2 || r > SPATIAL) return infer_error(x, "the input has rank %d; 4 or 5 is expected", t->rank);
    if (g->rank != t->rank || g->dim[0] != t->dim[0] || g->dim[g->rank - 1] != r)
        return infer_error(x, "the grid is expected to have rank %d, the batch extent %lld and the last extent %d", t->rank,
                           (long long)t->dim[0], r);
    if (mode_of(x->n) < 0) return infer_error(x, "mode is '%s'; nearest, linear or cubic is expected", attr_s(x->n, MODE));
    if (padding_of(x->n) < 0) return infer_error(x, "padding_mode is '%s'; zeros, border or reflection is expected", attr_s(x->n, PADDING));
    dim[0] = t->dim[0], dim[1] = t->dim[1];
    for (int i = 0; i < r; i++) dim[2 + i] = g->dim[1 + i];
    if (!infer_out(x, 0, t->dt, t->rank, dim)) return false;
    for (int i = 0; i < r; i++)
        if (t->dim[2 + i] == 0 && (!type_elements(g, &count) || count > 0))
            return infer_error(x, "axis %d has no elements to sample", 2 + i);
    return true;
}

typedef struct Axis {                    /* the taps of one spatial axis */
    Expr *at[TAPS], *w[TAPS], *ok[TAPS]; /* ok NULL: always inside */
} Axis;
static const char *const denormal[] = {"((p + 1)*n - 1)/2", "(p + 1)/2*(n - 1)"};
/* Back and forth between the outer edges of the first and the last element, or between their centres. */
static const char *const reflect[] = {"fmod(abs(p + 0.5), 2*n) > n ? 2*n - fmod(abs(p + 0.5), 2*n) - 0.5 : fmod(abs(p + 0.5), 2*n) - 0.5",
                                      "fmod(abs(p), 2*n - 2) > n - 1 ? 2*n - 2 - fmod(abs(p), 2*n - 2) : fmod(abs(p), 2*n - 2)"};
static const char *const weights[][TAPS] = {
    [NEAREST] = {NULL},
    [LINEAR] = {"1 - r", "r"},
    [CUBIC] = {"((a*(r + 1) - 5*a)*(r + 1) + 8*a)*(r + 1) - 4*a", "((a + 2)*r - (a + 3))*r*r + 1",
               "((a + 2)*(1 - r) - (a + 3))*(1 - r)*(1 - r) + 1", "((a*(2 - r) - 5*a)*(2 - r) + 8*a)*(2 - r) - 4*a"},
};
static Expr *of_position(Lower *L, const char *formula, Expr *p, int64_t n) {
    return lower_let(L, "p",
                     lower_formula(L, formula, 2, (const char *const[]){"p", "n"}, (Expr *const[]){p, e_lit(L->a, p->t, (double)n)}));
}
static Expr *reflected(Lower *L, bool corners, Expr *p, int64_t n) {
    if (corners && n == 1) return e_lit(L->a, p->t, 0);
    return of_position(L, reflect[corners], p, n);
}
static Expr *into(Lower *L, Expr *p, int64_t n) {
    return e_max(L->a, e_min(L->a, p, e_lit(L->a, p->t, (double)(n - 1))), e_lit(L->a, p->t, 0));
}
/* p: a whole number, where one tap reads. */
static void place_tap(Lower *L, Axis *x, int t, Expr *p, int64_t n, int padding, bool corners) {
    Arena *a = L->a;
    p = lower_let(L, "p", p);
    x->ok[t] = NULL;
    if (padding == ZEROS)
        x->ok[t] = lower_let(L, "ok", e_bin(a, BIN_LAND, e_le(a, e_lit(a, p->t, 0), p), e_le(a, p, e_lit(a, p->t, (double)(n - 1)))));
    if (padding == REFLECTION) p = reflected(L, corners, p, n);
    x->at[t] = lower_let(L, "at", e_max(a, e_min(a, e_cast(a, DT_INT64, into(L, p, n)), e_int(a, n - 1)), e_int(a, 0)));
}
static void axis_taps(Lower *L, Axis *x, Expr *p, int64_t n, int mode, int padding, bool corners, DType ct) {
    static const int first[] = {[NEAREST] = 0, [LINEAR] = 0, [CUBIC] = -1}, count[] = {[NEAREST] = 1, [LINEAR] = 2, [CUBIC] = 4};
    Arena *a = L->a;
    p = of_position(L, denormal[corners], p, n);
    if (mode == NEAREST) /* halves to even */
        p = lower_let(L, "p", e_call1(a, CALL_RINT, p));
    if (padding == BORDER) p = lower_let(L, "p", into(L, p, n));
    if (padding == REFLECTION) p = reflected(L, corners, p, n);
    Expr *f = mode == NEAREST ? p : lower_let(L, "f", e_call1(a, CALL_FLOOR, p)), *frac = lower_let(L, "r", e_cast(a, ct, e_sub(a, p, f)));
    for (int t = 0; t < count[mode]; t++) {
        place_tap(L, x, t, e_add(a, f, e_lit(a, f->t, first[mode] + t)), n, padding, corners);
        x->w[t] = NULL;
        if (mode != NEAREST)
            x->w[t] = lower_let(
                L, "w", lower_formula(L, weights[mode][t], 2, (const char *const[]){"r", "a"}, (Expr *const[]){frac, e_lit(a, ct, -0.75)}));
    }
}
/* The weighted sum over the taps of axis k and those behind it. */
static Expr *taps_sum(Lower *L, Node *n, const Axis *axis, int k, int r, int taps, Expr **at, DType ct) {
    Arena *a = L->a;
    if (k == r || k >= SPATIAL) {
        Expr *v = lower_load(L, n, 0, at);
        return taps == 1 || v->t == ct ? v : e_cast(a, ct, v);
    }
    Expr *sum = NULL;
    for (int t = 0; t < taps; t++) {
        at[2 + k] = axis[k].at[t];
        Expr *v = taps_sum(L, n, axis, k + 1, r, taps, at, ct);
        if (axis[k].w[t]) v = e_mul(a, axis[k].w[t], v);
        if (axis[k].ok[t]) v = e_select(a, axis[k].ok[t], v, e_lit(a, v->t, 0));
        sum = sum ? e_add(a, sum, v) : v;
    }
    return sum;
}
bool lower_grid_sample(Lower *L, Node *n) {
    static const int count[] = {[NEAREST] = 1, [LINEAR] = 2, [CUBIC] = 4};
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type, *g = &n->in[1]->type;
    int r = t->rank - 2, mode = mode_of(n);
    DType ct = dtype_is_float(t->dt) ? dtype_compute(t->dt) : dtype_compute(g->dt);
    Expr *idx[QN_MAX_RANK], *pos[QN_MAX_RANK], *at[QN_MAX_RANK];
    Axis axis[SPATIAL];
    pos[0] = idx[0] = lower_loop_to(L, "n", lower_dim(L, o, 0));
    for (int k = 0; k < r; k++) pos[1 + k] = idx[2 + k] = lower_loop_to(L, arena_printf(a, "o%d", k), lower_dim(L, o, 2 + k));
    for (int k = 0; k < r; k++) { /* the grid names the last axis first */
        pos[1 + r] = e_int(a, r - 1 - k);
        axis_taps(L, &axis[k], lower_let(L, "p", lower_load(L, n, 1, pos)), t->dim[2 + k], mode, padding_of(n), attr_i(n, CORNERS) != 0,
                  ct);
    }
    at[0] = idx[0], at[1] = idx[1] = lower_loop_to(L, "c", lower_dim(L, o, 1));
    lower_store(L, n, 0, idx, taps_sum(L, n, axis, 0, r, count[mode], at, ct));
    lower_ends(L, r + 2);
    return true;
}

/* ---- AffineGrid: theta applied to the evenly spaced grid of an image */
bool infer_affine_grid(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    const int64_t *size;
    int64_t n, dim[QN_MAX_RANK], known[QN_MAX_RANK];
    if (!infer_ints(x, 1, &size, &n)) {
        if (!infer_declared(x, 0, t->dt, "size")) return false;
        n = x->n->out[0]->type.rank;
        known[0] = t->dim[0], known[1] = 1;
        for (int64_t i = 2; i < n; i++) known[i] = x->n->out[0]->type.dim[i - 1];
        size = known;
    }
    if (n != 4 && n != 5) return infer_error(x, "size has %lld entries; 4 or 5 are expected", (long long)n);
    if (t->rank != 3 || t->dim[0] != size[0] || t->dim[1] != n - 2 || t->dim[2] != n - 1)
        return infer_error(x, "theta is expected to have the shape %lld x %lld x %lld", (long long)size[0], (long long)n - 2,
                           (long long)n - 1);
    dim[0] = size[0];
    for (int64_t i = 2; i < n; i++) dim[i - 1] = size[i];
    dim[n - 1] = n - 2;
    return infer_out(x, 0, t->dt, (int)n, dim);
}
Expr *compute_affine_grid(Lower *L, Node *n, int out, Expr *const *idx) {
    Arena *a = L->a;
    const Type *o = &n->out[out]->type;
    int r = o->rank - 2;
    DType ct = dtype_compute(o->dt);
    Expr *at[3] = {idx[0], idx[o->rank - 1], e_int(a, r)}, *sum = lower_load(L, n, 0, at);
    for (int j = 0; j < r; j++) { /* x, y, z: the last axis first */
        int k = r - j;
        double d = (double)o->dim[k];
        Expr *i = e_cast(a, ct, idx[k]), *p;
        if (attr_i(n, 0)) p = o->dim[k] == 1 ? e_lit(a, ct, 0) : e_sub(a, e_mul(a, i, e_lit(a, ct, 2 / (d - 1))), e_lit(a, ct, 1));
        else p = e_sub(a, e_mul(a, e_add(a, i, e_lit(a, ct, 0.5)), e_lit(a, ct, 2 / d)), e_lit(a, ct, 1));
        at[2] = e_int(a, j);
        sum = e_add(a, sum, e_mul(a, lower_load(L, n, 0, at), p));
    }
    return sum;
}
