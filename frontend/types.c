/* SPDX-License-Identifier: Apache-2.0 */
/* types.c: declared types and the binding of free dimensions.
 *
 *   x: float['batch', 3] with --dim batch=2   ->   float32[2,3]
 *   without                                   ->   error: input 'x' has free dimension 'batch' (axis 0); add --dim batch=1
 */
#include <string.h>
#include "frontend/import.h"
#include "ir/extent.h"

/* ---- --dim options */
bool dims_index(Importer *im) {
    bool ok = true;
    im->dims = map_new(im->tmp);
    for (int i = 0; im->o && i < im->o->dims.n; i++) {
        DimBinding *b = &im->o->dims.v[i], *old = map_get(im->dims, b->name);
        if (b->value < 0)
            ok = diag_error(im->c->d, file_loc(im), "--dim %s=%lld: an extent cannot be negative", b->name, (long long)b->value);
        if (b->range && b->lo > b->value)
            ok = diag_error(im->c->d, file_loc(im), "--dim %s=%lld..%lld: the lower bound is above the upper one", b->name,
                            (long long)b->lo, (long long)b->value);
        if (b->range && b->lo == b->value) b->range = false; /* nothing is left for run time */
        if (old && (old->value != b->value || old->range != b->range || old->lo != b->lo))
            ok = diag_error(im->c->d, file_loc(im), "--dim %s is given as %lld and as %lld; give it once", b->name, (long long)old->value,
                            (long long)b->value);
        if (!old) map_set(im->dims, b->name, b);
        if (old) b->used = true;
    }
    return ok;
}
DimBinding *axis_binding(Importer *im, const char *input, int axis) {
    if (!input || map_count(im->dims) == 0) return NULL;
    return map_get(im->dims, arena_printf(im->tmp, "%s[%d]", input, axis));
}
static void put_free_dims(Text *t, const Graph *g) {
    int n = 0;
    for (int i = 0; i < g->in.n; i++)
        for (int k = 0; k < g->in.v[i]->type.rank; k++) {
            const Type *ty = &g->in.v[i]->type;
            if (ty->dim[k] >= 0 || n > 20) continue;
            text_printf(t, "%s'%s[%d]'", n++ ? ", " : "", g->in.v[i]->name, k);
            if (ty->sym && ty->sym[k]) text_printf(t, " (%s)", ty->sym[k]);
        }
    if (!n) text_puts(t, "none");
}
void dims_check_used(Importer *im) {
    for (int i = 0; im->o && i < im->o->dims.n; i++) {
        const DimBinding *b = &im->o->dims.v[i];
        if (b->used) continue;
        Text t = {0};
        put_free_dims(&t, im->g);
        diag_error(im->c->d, file_loc(im), "--dim %s=%lld: no tensor has such a dimension; still free: %s", b->name, (long long)b->value,
                   t.s);
        text_free(&t);
    }
}
/* --dim for what a node computes: what its extents, which values may decide, are bounded by. Of a tensor whose rank is not declared they
 * wait in the type, whose rank stays unknown. */
void dims_bind_output(Importer *im, const char *name, Type *t) {
    if (t->wrap || !im->o || !im->o->dims.n) return;
    for (int k = 0; t->rank < 0 && k < QN_MAX_RANK; k++) {
        DimBinding *b = axis_binding(im, name, k);
        if (b) b->used = true, t->dim[k] = b->value;
    }
    for (int k = 0; k < t->rank; k++) {
        const char *sym = t->sym ? t->sym[k] : NULL;
        DimBinding *b = axis_binding(im, name, k);
        if (!b && sym) b = map_get(im->dims, sym);
        if (!b || t->dim[k] >= 0) continue;
        b->used = true;
        t->dim[k] = b->value;
        if (sym) t->sym[k] = NULL;
    }
}
/* Axes bound by --dim NAME=LO..HI become extents of the graph; a name is one extent wherever it stands. */
void dims_extents(Importer *im, const Onnx__GraphProto *p) {
    for (int i = 0; i < im->g->in.n; i++) {
        Tensor *t = im->g->in.v[i];
        const Onnx__TensorShapeProto *shape = NULL;
        for (size_t k = 0; k < p->n_input; k++)
            if (strcmp(pb_str(p->input[k]->name), t->name) == 0 && p->input[k]->type &&
                p->input[k]->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
                shape = p->input[k]->type->tensor_type->shape;
        for (int k = 0; k < t->type.rank; k++) {
            const char *sym = NULL;
            if (shape && (size_t)k < shape->n_dim && shape->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
                sym = shape->dim[k]->dim_param;
            DimBinding *b = axis_binding(im, t->name, k);
            if (!b && sym && *sym) b = map_get(im->dims, sym);
            if (!b || !b->range) continue;
            if (!t->type.ext) t->type.ext = NEW_ARRAY(im->g->a, Expr *, t->type.rank);
            t->type.ext[k] = extent_symbol(im->g, arena_strdup(im->g->a, b->name), b->lo, b->value, t, k);
        }
    }
    for (int i = 0; im->o && i < im->o->max.n; i++) {
        const MaxBinding *m = &im->o->max.v[i];
        Tensor *t = NULL;
        for (int k = 0; k < im->g->in.n; k++)
            if (strcmp(im->g->in.v[k]->name, m->name) == 0) t = im->g->in.v[k];
        if (!t || !dtype_is_int(t->type.dt))
            diag_error(im->c->d, file_loc(im), "--max %s=%lld: the model has no integer input of that name", m->name, (long long)m->value);
        else t->max = m->value, t->has_max = true;
    }
}
void inputs_check_free(Importer *im) {
    if (im->o && im->o->free_dims) return;
    for (int i = 0; i < im->g->in.n; i++) {
        const Tensor *t = im->g->in.v[i];
        Text found = {0}, flags = {0};
        int n = 0;
        if (t->type.wrap) {
            wrap_check_free(im, t);
            continue;
        }
        if (t->type.rank < 0)
            diag_error(im->c->d, file_loc(im), "input '%s' has no declared shape; give every extent: --dim '%s[0]=1' --dim '%s[1]=...'",
                       t->name, t->name, t->name);
        for (int k = 0; k < t->type.rank; k++) {
            if (t->type.dim[k] >= 0) continue;
            const char *sym = t->type.sym ? t->type.sym[k] : NULL;
            if (sym) text_printf(&found, "%s'%s' (axis %d)", n ? ", " : "", sym, k);
            else text_printf(&found, "%s(axis %d)", n ? ", " : "", k);
            bool quote = sym && strspn(sym, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != strlen(sym);
            if (!sym) text_printf(&flags, " --dim '%s[%d]=1'", t->name, k);
            else text_printf(&flags, quote ? " --dim '%s=1'" : " --dim %s=1", sym);
            n++;
        }
        if (n) diag_error(im->c->d, file_loc(im), "input '%s' has free dimension%s %s; add%s", t->name, n > 1 ? "s" : "", found.s, flags.s);
        text_free(&found);
        text_free(&flags);
    }
}

/* ---- types */
static bool dim_import(Importer *im, const Onnx__TensorShapeProto__Dimension *p, const char *what, const char *input, int k, Type *t) {
    int64_t v = DIM_UNKNOWN;
    const char *sym = NULL;
    if (p && p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) v = p->dim_value;
    if (p && p->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && *pb_str(p->dim_param)) sym = p->dim_param;
    if (v < DIM_UNKNOWN)
        return diag_error(im->c->d, file_loc(im), "%s: extent of axis %d is %lld; extents cannot be negative", what, k, (long long)v);
    DimBinding *b = axis_binding(im, input, k), *s = sym ? map_get(im->dims, sym) : NULL;
    if (s && !b) b = s;
    if (s) s->used = true;
    if (b) {
        b->used = true;
        if (v >= 0 && v != b->value)
            return diag_error(im->c->d, file_loc(im), "--dim %s=%lld: axis %d of %s has the fixed extent %lld", b->name,
                              (long long)b->value, k, what, (long long)v);
        v = b->value;
        if (b->range && !input) v = DIM_UNKNOWN;
    }
    t->dim[k] = v;
    if (sym && v < 0) {
        if (!t->sym) t->sym = NEW_ARRAY(im->c->a, const char *, QN_MAX_RANK);
        t->sym[k] = arena_strdup(im->c->a, sym);
    }
    return true;
}
/* An input without shape whose axes are all bound gets its rank from the bindings. */
static void rank_from_bindings(Importer *im, const char *input, Type *t) {
    int rank = 0;
    while (rank < QN_MAX_RANK && axis_binding(im, input, rank)) rank++;
    if (!rank) return;
    t->rank = rank;
    for (int k = 0; k < rank; k++) {
        DimBinding *b = axis_binding(im, input, k);
        b->used = true;
        t->dim[k] = b->value;
    }
}
static const char *kind_name(const Onnx__TypeProto *p) {
    switch (p->value_case) {
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: return "a sparse tensor";
    case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE: return "an opaque type";
    default: return "of no declared type";
    }
}
bool type_import(Importer *im, const Onnx__TypeProto *p, const char *what, const char *input, Type *t) {
    Diags *d = im->c->d;
    *t = (Type){.dt = DT_NONE, .rank = -1};
    if (p && (p->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE || p->value_case == ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE ||
              p->value_case == ONNX__TYPE_PROTO__VALUE_MAP_TYPE))
        return wrap_import(im, p, what, input, t);
    if (!p || p->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !p->tensor_type) {
        if (input)
            return diag_error(d, file_loc(im), "%s is %s; tensors, sequences, optionals and maps are supported", what,
                              p ? kind_name(p) : "of no declared type");
        return true; /* of a value inside: its node says more */
    }
    return type_tensor_import(im, p->tensor_type, what, input, t);
}
bool type_tensor_import(Importer *im, const Onnx__TypeProto__Tensor *q, const char *what, const char *input, Type *t) {
    Diags *d = im->c->d;
    *t = (Type){.dt = DT_NONE, .rank = -1};
    if (q->elem_type != 0 && !dtype_valid(q->elem_type))
        return diag_error(d, file_loc(im), "%s: element type %d is unknown; ONNX's go from 1 to %d", what, (int)q->elem_type, DT_HALF - 1);
    if (q->elem_type == 0 && input) return diag_error(d, file_loc(im), "%s has no element type", what);
    t->dt = (DType)q->elem_type;
    if (!q->shape) {
        if (input) rank_from_bindings(im, input, t);
        return true;
    }
    if (q->shape->n_dim > QN_MAX_RANK)
        return diag_error(d, file_loc(im), "%s has %zu axes; at most %d are supported", what, q->shape->n_dim, QN_MAX_RANK);
    t->rank = (int)q->shape->n_dim;
    bool ok = true;
    int64_t n, bytes, count = 1;
    for (int k = 0; k < t->rank; k++) ok &= dim_import(im, q->shape->dim[k], what, input, k, t);
    if (!ok) return false;
    for (int k = 0; k < t->rank; k++)
        if (t->dim[k] > 0 && !mul_ok(count, t->dim[k], &count))
            return diag_error(d, file_loc(im), "%s: the product of its extents overflows", what);
    if (t->dt && type_elements(t, &n) && !dtype_bytes(t->dt, n, &bytes))
        return diag_error(d, file_loc(im), "%s: its size in bytes overflows", what);
    return true;
}
