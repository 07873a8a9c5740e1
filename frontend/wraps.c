/* SPDX-License-Identifier: Apache-2.0 */
/* wraps.c: declared types of values that are no tensors. --dim 'NAME[]=N' is the length of an input that is a sequence or a map,
 * 'NAME[][AXIS]=N' an extent of all its elements, 'NAME[I][AXIS]=N' of element I alone.
 *
 *   x: seq(float[N]) with --dim 'x[]=2' --dim 'x[0][0]=3' --dim 'x[1][0]=4'   ->   seq[2](float32[3], float32[4])
 */
#include <string.h>
#include "frontend/import.h"

/* Extents that a range is given for: the least one, in low. */
static void lows(Importer *im, const Onnx__TensorShapeProto *shape, const char *key, const Type *t, int64_t **low) {
    for (int k = 0; k < t->rank; k++) {
        DimBinding *b = axis_binding(im, key, k);
        const Onnx__TensorShapeProto__Dimension *d = shape && (size_t)k < shape->n_dim ? shape->dim[k] : NULL;
        if (!b && d && d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) b = map_get(im->dims, pb_str(d->dim_param));
        if (!b || !b->range) continue;
        if (!*low) {
            *low = NEW_ARRAY(im->c->a, int64_t, t->rank);
            memcpy(*low, t->dim, (size_t)t->rank * sizeof **low);
        }
        (*low)[k] = b->lo;
    }
}
static bool elements_import(Importer *im, const Onnx__TypeProto *p, const char *what, const char *input, Wrap *w) {
    const char *all = input ? arena_printf(im->tmp, "%s[]", input) : NULL;
    if (!type_import(im, p, what, all, &w->of)) return false;
    if (w->of.wrap || !input) return true;
    const Onnx__TypeProto__Tensor *q = p->tensor_type;
    lows(im, q ? q->shape : NULL, all, &w->of, &w->low);
    bool own = false;
    for (int i = 0; i < w->hi && i < LIST_MOST; i++) own |= axis_binding(im, arena_printf(im->tmp, "%s[%d]", input, i), 0) != NULL;
    if (!own) return true;
    Type *each = NEW_ARRAY(im->c->a, Type, w->hi + 1);
    bool ok = true;
    for (int i = 0; i < w->hi; i++) {
        const char *key = arena_printf(im->tmp, "%s[%d]", input, i);
        ok &= type_tensor_import(im, q, arena_printf(im->tmp, "%s, element %d", what, i), key, &each[i]);
        if (ok && each[i].rank < 0) each[i].rank = 0; /* nothing was said of its axes: a scalar */
    }
    w->each = each, w->low = NULL;
    return ok;
}
bool wrap_import(Importer *im, const Onnx__TypeProto *p, const char *what, const char *input, Type *t) {
    Wrap *w = NEW(im->c->a, Wrap);
    const Onnx__TypeProto *in = NULL;
    DimBinding *b = input ? map_get(im->dims, arena_printf(im->tmp, "%s[]", input)) : NULL;
    *t = (Type){.dt = DT_NONE, .rank = -1, .wrap = w};
    *w = (Wrap){.hi = DIM_UNKNOWN, .of = {.dt = DT_NONE, .rank = -1}};
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: w->kind = WRAP_SEQUENCE, in = p->sequence_type ? p->sequence_type->elem_type : NULL; break;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
        w->kind = WRAP_OPTIONAL, in = p->optional_type ? p->optional_type->elem_type : NULL;
        w->lo = 0, w->hi = 1;
        break;
    default:
        w->kind = WRAP_MAP, in = p->map_type ? p->map_type->value_type : NULL;
        w->key = p->map_type && dtype_valid(p->map_type->key_type) ? (DType)p->map_type->key_type : DT_NONE;
        if (!dtype_is_int(w->key) && w->key != DT_STRING)
            return diag_error(im->c->d, file_loc(im), "%s is a map whose keys are neither integers nor strings", what);
    }
    if (!in) return !input || diag_error(im->c->d, file_loc(im), "%s does not say what it holds", what);
    if (b && w->kind != WRAP_OPTIONAL) {
        b->used = true;
        if (b->value > LIST_MOST && w->kind == WRAP_SEQUENCE)
            return diag_error(im->c->d, file_loc(im), "--dim %s=%lld: at most %d elements are supported", b->name, (long long)b->value,
                              LIST_MOST);
        w->lo = b->range ? b->lo : b->value, w->hi = b->value;
    }
    if (w->kind == WRAP_SEQUENCE) return elements_import(im, in, what, input, w);
    if (w->kind == WRAP_MAP) return type_import(im, in, what, NULL, &w->of) && (w->of.rank = 0, true);
    if (!type_import(im, in, what, input, &w->of)) return false;
    if (input && !w->of.wrap && in->tensor_type) lows(im, in->tensor_type->shape, input, &w->of, &w->low);
    return true;
}

static void free_axes(const Type *t, const char *key, Text *flags) {
    if (t->rank < 0) text_printf(flags, " --dim '%s[0]=1' …", key);
    for (int k = 0; k < t->rank; k++) {
        const char *sym = t->sym ? t->sym[k] : NULL;
        if (t->dim[k] >= 0) continue;
        if (sym) text_printf(flags, " --dim '%s=1'", sym);
        else text_printf(flags, " --dim '%s[%d]=1'", key, k);
    }
}
void wrap_check_free(Importer *im, const Tensor *t) {
    const Wrap *w = t->type.wrap;
    Text flags = {0}, what = {0};
    if (w->kind == WRAP_OPTIONAL && w->of.wrap) w = w->of.wrap;
    bool length = w->kind != WRAP_OPTIONAL && w->hi < 0;
    if (length) text_printf(&flags, " --dim '%s[]=1'", t->name);
    if (w->kind == WRAP_OPTIONAL) free_axes(&w->of, t->name, &flags);
    else if (w->kind == WRAP_SEQUENCE && w->hi != 0 && !w->of.wrap && !w->each)
        free_axes(&w->of, arena_printf(im->tmp, "%s[]", t->name), &flags);
    for (int i = 0; w->each && i < w->hi; i++) free_axes(&w->each[i], arena_printf(im->tmp, "%s[%d]", t->name, i), &flags);
    type_print(&t->type, &what);
    if (flags.n)
        diag_error(im->c->d, file_loc(im), "input '%s' is %s, with %s; add%s", t->name, what.s,
                   length ? "a free length" : "elements of free extents", flags.s);
    text_free(&flags), text_free(&what);
}
