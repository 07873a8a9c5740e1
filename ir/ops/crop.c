/* SPDX-License-Identifier: Apache-2.0 */
/* crop.c: CropAndResize (com.microsoft): regions (y1, x1, y2, x2) of images, in parts of the image's size less one, stretched to one size.
 * What lies outside of the image gets a constant.
 *
 *   y[r,c,i,j] = x[batch[r], c, at(i), at(j)],  at(i) = y1*(H - 1) + i*(y2 - y1)*(H - 1)/(rows - 1), between rows by their distance
 */
#include "../extent.h"
#include <string.h>

enum { EXTRAPOLATION, MODE };
enum { X, ROIS, BATCH, SIZE };
bool infer_crop_and_resize(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[X]->type, *r = &n->in[ROIS]->type, *b = &n->in[BATCH]->type;
    Expr **v, *e[4];
    int64_t count;
    if (strcmp(attr_s(n, MODE), "bilinear") != 0 && strcmp(attr_s(n, MODE), "nearest") != 0)
        return infer_error(x, "mode is '%s'; bilinear or nearest is expected", attr_s(n, MODE));
    if (t->rank != 4) return infer_error(x, "X has %d dims; 4 are expected", t->rank);
    if (r->rank != 2 || (r->ext && r->ext[1]) || r->dim[1] != 4) return infer_error(x, "rois are expected to be regions of 4 numbers");
    if (b->rank != 1 || !infer_same_extent(x, type_extent(x->g, b, 0), type_extent(x->g, r, 0)))
        return infer_error(x, "there are expected to be %lld batch indices, one a region", (long long)r->dim[0]);
    if (!infer_values(x, SIZE, &v, &count)) return false;
    if (count != 2) return infer_error(x, "crop_size has %lld elements; 2 are expected", (long long)count);
    e[0] = type_extent(x->g, r, 0), e[1] = type_extent(x->g, t, 1), e[2] = v[0], e[3] = v[1];
    return infer_extents(x, 0, t->dt, 4, e);
}
/* Where output position `i` of `count` reads along an axis of extent `size`: from the region's element `lo` to `lo` + 2. */
typedef struct Place {
    Expr *inside, *low, *high, *part;
} Place;
static Place place(Lower *L, Node *n, Expr *r, int lo, Expr *i, Expr *count, Expr *size) {
    static const char *const names[] = {"a", "b", "i", "count", "n"};
    Arena *a = L->a;
    DType t = dtype_compute(n->in[ROIS]->type.dt);
    Expr *last = e_sub(a, size, e_int(a, 1)), *v[5];
    for (int k = 0; k < 2; k++) v[k] = lower_load(L, n, ROIS, (Expr *[]){r, e_int(a, lo + 2 * k)});
    v[2] = e_cast(a, t, i), v[3] = e_cast(a, t, count), v[4] = lower_let(L, "last", e_cast(a, t, last));
    Expr *many = lower_formula(L, "a*n + i*((b - a)*n/(count - 1))", 5, names, v), *one = lower_formula(L, "0.5*(a + b)*n", 5, names, v);
    Expr *at = lower_let(L, "at", e_select(a, e_lt(a, e_int(a, 1), count), many, one));
    Place p = {.inside = e_bin(a, BIN_LAND, e_le(a, e_lit(a, t, 0), at), e_le(a, at, v[4]))};
    bool nearest = strcmp(attr_s(n, MODE), "nearest") == 0;
    Expr *down = e_call1(a, CALL_FLOOR, nearest ? e_add(a, at, e_lit(a, t, 0.5)) : at), *zero = e_int(a, 0);
    p.low = lower_let(L, "low", e_max(a, zero, e_min(a, e_cast(a, DT_INT64, down), last)));
    p.high = nearest ? NULL : lower_let(L, "high", e_max(a, zero, e_min(a, e_add(a, p.low, e_int(a, 1)), last)));
    p.part = nearest ? NULL : lower_let(L, "part", e_sub(a, at, down));
    return p;
}
bool lower_crop_and_resize(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[X]->type, *o = &n->out[0]->type;
    DType ct = dtype_compute(t->dt);
    Expr *r = lower_loop_to(L, "r", lower_dim(L, o, 0)), *images = lower_dim(L, t, 0), *H = lower_dim(L, t, 2), *W = lower_dim(L, t, 3);
    Expr *b = e_cast(a, DT_INT64, lower_load(L, n, BATCH, &r)), *zero = e_int(a, 0);
    b = lower_let(L, "b", e_max(a, zero, e_min(a, b, e_sub(a, images, e_int(a, 1)))));
    Expr *i = lower_loop_to(L, "i", lower_dim(L, o, 2));
    Place y = place(L, n, r, 0, i, lower_dim(L, o, 2), H);
    Expr *j = lower_loop_to(L, "j", lower_dim(L, o, 3));
    Place x = place(L, n, r, 1, j, lower_dim(L, o, 3), W);
    Expr *some = e_bin(a, BIN_LAND, y.inside, x.inside), *v[2];
    some = e_bin(a, BIN_LAND, some, e_lt(a, zero, e_mul(a, images, e_mul(a, H, W))));
    some = lower_let(L, "inside", some);
    Expr *c = lower_loop_to(L, "c", lower_dim(L, o, 1));
    for (int k = 0; k < 2; k++) {
        Expr *row = k ? y.high : y.low;
        if (k && !y.high) break;
        v[k] = lower_load(L, n, X, (Expr *[]){b, c, row, x.low});
        if (!x.high) continue;
        Expr *right = lower_load(L, n, X, (Expr *[]){b, c, row, x.high});
        v[k] = e_add(a, v[k], e_mul(a, e_sub(a, right, v[k]), x.part));
    }
    Expr *at = y.high ? e_add(a, v[0], e_mul(a, e_sub(a, v[1], v[0]), y.part)) : v[0];
    lower_store(L, n, 0, (Expr *[]){r, c, i, j}, e_select(a, some, at, e_lit(a, ct, attr_f(n, EXTRAPOLATION))));
    lower_ends(L, 4);
    return true;
}
