/* SPDX-License-Identifier: Apache-2.0 */
/* values.c: values that are no tensors, as the commands handle them: a type of the model, bytes, a dims list.
 *
 *   list_fit: seq[2](float32[3], float32[5]) fits seq[0..4](float32[1..8])
 */
#include "cli.h"
#include <string.h>

Value output_value(const Tensor *t, void *data, int64_t *dims) {
    Value v = {.name = t->name, .data = data};
    int64_t n;
    if (t->packed) {
        v.type = *t->packed, v.dims = dims, v.bytes = tensor_bytes(t);
        return v;
    }
    v.type = type_with_dims(&t->type, dims);
    if (!type_elements(&v.type, &n) || !dtype_bytes(v.type.dt, n, &v.bytes)) BUG("output '%s' has no size", v.name);
    return v;
}
const int64_t *value_dims(const Value *v) { return v->type.wrap ? v->dims : v->type.dim; }

static bool tensor_fits(const Type *got, const Type *want, const int64_t *low) {
    bool ok = got->rank == want->rank && got->dt == want->dt;
    for (int k = 0; ok && k < got->rank; k++) ok = got->dim[k] <= want->dim[k] && got->dim[k] >= (low ? low[k] : want->dim[k]);
    return ok;
}
bool list_fit(const Type *got, const Type *want) {
    if (!got->wrap || !want->wrap) return false;
    const Wrap *x = got->wrap, *w = want->wrap;
    if (x->kind != w->kind || x->key != w->key || x->hi < w->lo || (w->hi >= 0 && x->hi > w->hi)) return false;
    if (x->kind == WRAP_MAP) return x->of.dt == w->of.dt || x->hi == 0;
    for (int i = 0; i < x->hi; i++) {
        const Type *g = wrap_item(x, i), *t = wrap_item(w, i);
        if (g->wrap || t->wrap ? !list_fit(g, t) : !tensor_fits(g, t, w->each ? NULL : w->low)) return false;
    }
    return true;
}
bool list_same_shape(const Value *x, const Value *y) {
    if (!x->type.wrap || !y->type.wrap) return !x->type.wrap == !y->type.wrap;
    return x->ndims == y->ndims && memcmp(x->dims, y->dims, (size_t)x->ndims * sizeof *x->dims) == 0;
}
const char *list_type_words(Arena *a, const Value *v) {
    Text t = {0};
    type_print(&v->type, &t);
    const char *s = arena_strdup(a, t.s);
    text_free(&t);
    return s;
}
int64_t strings_differ(int64_t n, const void *x, const void *y) {
    for (int64_t i = 0; i < n; i++) {
        int64_t p[2], q[2];
        memcpy(p, (const char *)x + 8 * i, sizeof p), memcpy(q, (const char *)y + 8 * i, sizeof q);
        if (p[1] - p[0] != q[1] - q[0] || memcmp((const char *)x + p[0], (const char *)y + q[0], (size_t)(p[1] - p[0])) != 0) return i;
    }
    return -1;
}
