/* SPDX-License-Identifier: Apache-2.0 */
/* grid.c: GridSample in two or three spatial dimensions, and AffineGrid, which makes the grid from an affine map. Positions are computed
 * in the grid's type, once for all channels; what lies outside counts as zero, as the border element or as its reflection.
 *
 *   GridSample(x, grid, linear):  for n, oh, ow:  y0 = floor(y), wy = y - y0 … (likewise x);
 *                                     for c: out[n,c,oh,ow] = (1-wy)*((1-wx)*x[n,c,y0,x0] + wx*x[n,c,y0,x0+1]) + wy*(…)
 */
#include "../extent.h"
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
    int64_t count;
    Expr *e[QN_MAX_RANK];
    int r = t->rank - 2;
    if (r < 2 || r > SPATIAL) return infer_error(x, "the input has rank %d; 4 or 5 is expected", t->rank);
    if (g->rank != t->rank || g->dim[g->rank - 1] != r || (g->ext && g->ext[g->rank - 1]) ||
        !infer_same_extent(x, type_extent(x->g, g, 0), type_extent(x->g, t, 0)))
        return infer_error(x, "the grid is expected to have rank %d, the batch extent %lld and the last extent %d", t->rank,
                           (long long)t->dim[0], r);
    if (mode_of(x->n) < 0) return infer_error(x, "mode is '%s'; nearest, linear or cubic is expected", attr_s(x->n, MODE));
    if (padding_of(x->n) < 0) return infer_error(x, "padding_mode is '%s'; zeros, border or reflection is expected", attr_s(x->n, PADDING));
    if (t->dt == DT_STRING && mode_of(x->n) != NEAREST)
        return infer_error(x, "mode is '%s'; strings have no weighted sums", attr_s(x->n, MODE));
    for (int i = 0; i < 2; i++) e[i] = type_extent(x->g, t, i);
    for (int i = 0; i < r; i++) e[2 + i] = type_extent(x->g, g, 1 + i);
    if (!infer_extents(x, 0, t->dt, t->rank, e)) return false;
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
static Expr *real(Lower *L, DType t, Expr *n) {
    int64_t v;
    return e_is_int(n, &v) ? e_lit(L->a, t, (double)v) : e_cast(L->a, t, n);
}
static Expr *of_position(Lower *L, const char *formula, Expr *p, Expr *n) {
    return lower_let(L, "p", lower_formula(L, formula, 2, (const char *const[]){"p", "n"}, (Expr *const[]){p, real(L, p->t, n)}));
}
static Expr *reflected(Lower *L, bool corners, Expr *p, Expr *n) {
    int64_t v;
    bool known = e_is_int(n, &v);
    if (corners && known && v == 1) return e_lit(L->a, p->t, 0);
    Expr *q = of_position(L, reflect[corners], p, n);
    return corners && !known ? lower_let(L, "p", e_select(L->a, e_eq(L->a, n, e_int(L->a, 1)), e_lit(L->a, p->t, 0), q)) : q;
}
static Expr *into(Lower *L, Expr *p, Expr *n) {
    return e_max(L->a, e_min(L->a, p, real(L, p->t, e_sub(L->a, n, e_int(L->a, 1)))), e_lit(L->a, p->t, 0));
}
/* p: a whole number, where one tap reads. */
static void place_tap(Lower *L, Axis *x, int t, Expr *p, Expr *n, int padding, bool corners) {
    Arena *a = L->a;
    Expr *last = e_sub(a, n, e_int(a, 1));
    p = lower_let(L, "p", p);
    x->ok[t] = NULL;
    if (padding == ZEROS) x->ok[t] = lower_let(L, "ok", e_bin(a, BIN_LAND, e_le(a, e_lit(a, p->t, 0), p), e_le(a, p, real(L, p->t, last))));
    if (padding == REFLECTION) p = reflected(L, corners, p, n);
    x->at[t] = lower_let(L, "at", e_max(a, e_min(a, e_cast(a, DT_INT64, into(L, p, n)), last), e_int(a, 0)));
}
static void axis_taps(Lower *L, Axis *x, Expr *p, Expr *n, int mode, int padding, bool corners, DType ct) {
    static const int first[] = {[NEAREST] = 0, [LINEAR] = 0, [CUBIC] = -1}, count[] = {[NEAREST] = 1, [LINEAR] = 2, [CUBIC] = 4};
    Arena *a = L->a;
    p = of_position(L, denormal[corners], p, n);
    if (mode == NEAREST) /* halves to even */
        p = lower_let(L, "p", e_call1(a, CALL_RINT, p));
    if (padding == BORDER && mode == CUBIC && !corners) { /* up to the outer edges of the outer elements positions stay */
        Expr *half = e_lit(a, p->t, 0.5), *low = e_lt(a, p, e_lit(a, p->t, -0.5)), *high = e_lt(a, e_sub(a, real(L, p->t, n), half), p);
        p = lower_let(L, "p", e_select(a, e_bin(a, BIN_LOR, low, high), into(L, p, n), p));
    } else if (padding == BORDER) p = lower_let(L, "p", into(L, p, n));
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
        if (axis[k].ok[t]) v = e_select(a, axis[k].ok[t], v, v->t == DT_BOOL ? e_lit_i(a, DT_BOOL, 0) : e_lit(a, v->t, 0));
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
        axis_taps(L, &axis[k], lower_let(L, "p", lower_load(L, n, 1, pos)), lower_dim(L, t, 2 + k), mode, padding_of(n),
                  attr_i(n, CORNERS) != 0, ct);
    }
    at[0] = idx[0], at[1] = idx[1] = lower_loop_to(L, "c", lower_dim(L, o, 1));
    lower_store(L, n, 0, idx, taps_sum(L, n, axis, 0, r, count[mode], at, ct));
    lower_ends(L, r + 2);
    return true;
}

/* ---- AffineGrid: theta applied to the evenly spaced grid of an image */
bool infer_affine_grid(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Expr **size, *e[QN_MAX_RANK];
    int64_t n;
    if (!infer_values(x, 1, &size, &n)) return false;
    if (n != 4 && n != 5) return infer_error(x, "size has %lld entries; 4 or 5 are expected", (long long)n);
    if (t->rank != 3 || t->dim[1] != n - 2 || t->dim[2] != n - 1 || !infer_same_extent(x, type_extent(x->g, t, 0), size[0]))
        return infer_error(x, "theta is expected to have the shape N x %lld x %lld, N as in size", (long long)n - 2, (long long)n - 1);
    e[0] = type_extent(x->g, t, 0);
    for (int64_t i = 2; i < n; i++) e[i - 1] = size[i];
    e[n - 1] = e_int(x->g->a, n - 2);
    return infer_extents(x, 0, t->dt, (int)n, e);
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
        Expr *i = e_cast(a, ct, idx[k]), *p, *step = e_lit(a, ct, attr_i(n, 0) ? 2 / (d - 1) : 2 / d), *one = NULL;
        if (o->ext && o->ext[k]) {
            Expr *m = lower_dim(L, o, k), *gaps = attr_i(n, 0) ? e_sub(a, m, e_int(a, 1)) : m;
            step = e_cast(a, ct, e_div(a, e_lit(a, DT_FLOAT64, 2), e_cast(a, DT_FLOAT64, gaps)));
            one = attr_i(n, 0) ? e_eq(a, m, e_int(a, 1)) : NULL;
        }
        if (attr_i(n, 0)) p = !one && o->dim[k] == 1 ? e_lit(a, ct, 0) : e_sub(a, e_mul(a, i, step), e_lit(a, ct, 1));
        else p = e_sub(a, e_mul(a, e_add(a, i, e_lit(a, ct, 0.5)), step), e_lit(a, ct, 1));
        if (one) p = e_select(a, one, e_lit(a, ct, 0), p);
        at[2] = e_int(a, j);
        sum = e_add(a, sum, e_mul(a, lower_load(L, n, 0, at), p));
    }
    return sum;
}
