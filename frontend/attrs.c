/* SPDX-License-Identifier: Apache-2.0 */
/* attrs.c: AttributeProto -> Attr, and from the file's order to the canonical op's. Also Constant nodes, which are nothing
 * but attributes.
 *
 *   Conv {strides=[2,2]}   ->   attr[] in the order of Conv's spec, the others at their defaults
 */
#include <string.h>
#include "frontend/import.h"

static const char *const type_name[AP_COUNT] = {"undefined",      "float", "int",     "string",  "tensor", "graph",
                                                "floats",         "ints",  "strings", "tensors", "graphs", "sparse tensor",
                                                "sparse tensors", "type",  "types"};
static const char *const kind_name[] = {
    "none", "an int", "a float", "a string", "a list of ints", "a list of floats", "a list of strings", "a tensor", "a graph"};

const Onnx__AttributeProto *attr_resolve(const Scope *sc, const Onnx__AttributeProto *p) {
    const char *ref = pb_str(p->ref_attr_name);
    if (!*ref) return p;
    return sc->call ? map_get(sc->call->attr, ref) : NULL;
}

/* Does the field of `type` say anything? Writers that add zero or empty fields, or leave them out, are accepted. */
static bool has_content(const Onnx__AttributeProto *p, int type) {
    switch (type) {
    case AP_FLOAT: return p->has_f && p->f != 0;
    case AP_INT: return p->has_i && p->i != 0;
    case AP_STRING: return p->has_s && p->s.len;
    case AP_TENSOR: return p->t;
    case AP_GRAPH: return p->g;
    case AP_FLOATS: return p->n_floats;
    case AP_INTS: return p->n_ints;
    case AP_STRINGS: return p->n_strings;
    case AP_TENSORS: return p->n_tensors;
    case AP_GRAPHS: return p->n_graphs;
    case AP_SPARSE_TENSOR: return p->sparse_tensor;
    case AP_SPARSE_TENSORS: return p->n_sparse_tensors;
    case AP_TYPE_PROTO: return p->tp;
    case AP_TYPE_PROTOS: return p->n_type_protos;
    default: return false;
    }
}
/* The declared type, checked against what is there. */
static bool attr_type(Importer *im, const Onnx__AttributeProto *p, const char *name, Loc loc, int *type) {
    *type = p->type;
    if (p->type < 0 || p->type >= AP_COUNT) return diag_error(im->c->d, loc, "attribute '%s' has the unknown type %d", name, (int)p->type);
    for (int k = 1; k < AP_COUNT; k++) {
        if (k == *type || !has_content(p, k)) continue;
        if (*type != AP_UNDEFINED)
            return diag_error(im->c->d, loc, "attribute '%s' is declared as %s, but its value is %s", name, type_name[*type], type_name[k]);
        *type = k;
    }
    if (*type == AP_UNDEFINED) *type = p->has_i ? AP_INT : p->has_f ? AP_FLOAT : p->has_s ? AP_STRING : AP_UNDEFINED;
    if (*type == AP_UNDEFINED) return diag_error(im->c->d, loc, "attribute '%s' has neither type nor value", name);
    bool may_be_empty = *type <= AP_STRING || (*type >= AP_FLOATS && *type <= AP_STRINGS);
    return may_be_empty || has_content(p, *type) ||
           diag_error(im->c->d, loc, "attribute '%s' is declared as %s but has no value", name, type_name[*type]);
}

static bool value_import(Importer *im, const Scope *sc, const Onnx__AttributeProto *p, int type, const char *name, Loc loc, Attr *a) {
    Arena *ar = im->c->a;
    switch (type) {
    case AP_INT: *a = (Attr){.kind = ATTR_INT, .i = p->i}; return true;
    case AP_FLOAT: *a = (Attr){.kind = ATTR_FLOAT, .f = p->f}; return true;
    case AP_STRING:
        *a = (Attr){.kind = ATTR_STRING, .s = arena_strndup(ar, p->s.len ? (char *)p->s.data : "", p->s.len), .n = (int64_t)p->s.len};
        return true;
    case AP_INTS: {
        int64_t *v = NEW_ARRAY(ar, int64_t, p->n_ints);
        if (p->n_ints) memcpy(v, p->ints, p->n_ints * sizeof *v);
        *a = (Attr){.kind = ATTR_INTS, .is = v, .n = (int64_t)p->n_ints};
        return true;
    }
    case AP_FLOATS: {
        float *v = NEW_ARRAY(ar, float, p->n_floats);
        if (p->n_floats) memcpy(v, p->floats, p->n_floats * sizeof *v);
        *a = (Attr){.kind = ATTR_FLOATS, .fs = v, .n = (int64_t)p->n_floats};
        return true;
    }
    case AP_STRINGS: {
        const char **v = NEW_ARRAY(ar, const char *, p->n_strings);
        for (size_t i = 0; i < p->n_strings; i++)
            v[i] = arena_strndup(ar, p->strings[i].len ? (char *)p->strings[i].data : "", p->strings[i].len);
        *a = (Attr){.kind = ATTR_STRINGS, .ss = v, .n = (int64_t)p->n_strings};
        return true;
    }
    case AP_TENSOR: {
        *a = (Attr){.kind = ATTR_TENSOR};
        a->t = tensor_import(im, p->t, NULL, arena_printf(im->tmp, "attribute '%s'", name), loc, !sc->call);
        return a->t != NULL;
    }
    case AP_TYPE_PROTO: { /* of an Optional: the element type of what is inside */
        Type t;
        if (!type_import(im, p->tp, arena_printf(im->tmp, "attribute '%s'", name), NULL, &t)) return false;
        *a = (Attr){.kind = ATTR_INT, .i = wrap_inner(&t)->dt};
        return true;
    }
    default: return diag_error(im->c->d, loc, "attribute '%s' of type %s is not supported", name, type_name[type]);
    }
}

bool attrs_import(RawNode *r, const Onnx__NodeProto *p) {
    Importer *im = r->im;
    bool ok = true;
    for (size_t i = 0; i < p->n_attribute; i++) {
        const char *name = pb_str(p->attribute[i]->name);
        const Onnx__AttributeProto *q = attr_resolve(r->sc, p->attribute[i]);
        if (!q) continue;
        bool twice = false;
        for (int k = 0; k < r->attr.n; k++) twice |= strcmp(r->attr.v[k].name, name) == 0;
        if (twice) {
            ok = diag_error(im->c->d, r->loc, "attribute '%s' is given twice", name);
            continue;
        }
        RawAttr ra = {.name = name};
        int type;
        if (!attr_type(im, q, name, r->loc, &type) || !value_import(im, r->sc, q, type, name, r->loc, &ra.a)) {
            ok = false;
            continue;
        }
        vec_push(im->tmp, &r->attr, ra);
    }
    return ok;
}

static void put_attr_names(Text *t, const OpDef *op) {
    for (int i = 0; i < op->nattr; i++) text_printf(t, "%s%s", i ? ", " : "", op->attr[i].name);
    if (!op->nattr) text_puts(t, "none");
}
bool attrs_finish(RawNode *r, Node *n) {
    const OpDef *op = n->op;
    bool ok = true;
    for (int i = 0; i < r->attr.n; i++) {
        RawAttr *ra = &r->attr.v[i];
        int k = op_attr_index(op, ra->name);
        if (k < 0) {
            Text t = {0};
            put_attr_names(&t, op);
            ok = diag_error(r->im->c->d, r->loc, "attribute '%s' is unknown; %s has: %s", ra->name, op->name, t.s);
            text_free(&t);
            continue;
        }
        AttrKind want = op->attr[k].kind;
        /* an empty list carries no element type in old protobuf writers */
        if (ra->a.n == 0 && ra->a.kind >= ATTR_INTS && ra->a.kind <= ATTR_STRINGS && want >= ATTR_INTS && want <= ATTR_STRINGS)
            ra->a.kind = want;
        if (ra->a.kind != want) {
            ok = diag_error(r->im->c->d, r->loc, "attribute '%s' is %s; %s is expected", ra->name, kind_name[ra->a.kind], kind_name[want]);
            continue;
        }
        n->attr[k] = ra->a;
    }
    for (int k = 0; k < op->nattr; k++)
        if (op->attr[k].required && n->attr[k].kind == ATTR_NONE)
            ok = diag_error(r->im->c->d, r->loc, "attribute '%s' is missing; it is required", op->attr[k].name);
    return ok;
}

/* ---- Constant nodes */
static Tensor *constant_strings(Importer *im, const char *name, const ProtobufCBinaryData *s, int64_t n, int rank) {
    const char **ptr = NEW_ARRAY(im->tmp, const char *, n);
    int64_t *len = NEW_ARRAY(im->tmp, int64_t, n), bytes;
    for (int64_t i = 0; i < n; i++) ptr[i] = (const char *)s[i].data, len[i] = (int64_t)s[i].len;
    return tensor_const(im->g, name, DT_STRING, rank, &n, strings_pack(im->c->a, n, ptr, len, &bytes));
}
static Tensor *constant_vector(Importer *im, const char *name, DType dt, const void *v, int64_t n, int rank) {
    size_t bytes = (size_t)n * (size_t)dtype_info[dt].bits / 8;
    void *data = arena_alloc(im->c->a, bytes);
    if (bytes) memcpy(data, v, bytes);
    return tensor_const(im->g, name, dt, rank, &n, data);
}
typedef enum Form { FORM_TENSOR, FORM_SPARSE, FORM_INT, FORM_INTS, FORM_FLOAT, FORM_FLOATS, FORM_STRING, FORM_STRINGS, FORM_NONE } Form;
static const struct {
    const char *name;
    int type;
} forms[FORM_NONE] = {{"value", AP_TENSOR},        {"sparse_value", AP_SPARSE_TENSOR}, {"value_int", AP_INT},
                      {"value_ints", AP_INTS},     {"value_float", AP_FLOAT},          {"value_floats", AP_FLOATS},
                      {"value_string", AP_STRING}, {"value_strings", AP_STRINGS}};

Tensor *constant_import(Importer *im, Scope *sc, const Onnx__NodeProto *p, const char *name, Loc loc) {
    const Onnx__AttributeProto *q = NULL;
    Form form = FORM_NONE;
    for (size_t i = 0; i < p->n_attribute; i++) {
        const char *an = pb_str(p->attribute[i]->name);
        const Onnx__AttributeProto *v = attr_resolve(sc, p->attribute[i]);
        Form f = 0;
        while (f < FORM_NONE && strcmp(forms[f].name, an)) f++;
        if (f == FORM_NONE)
            return diag_error(im->c->d, loc, "attribute '%s' is unknown; a Constant has value, sparse_value or value_...", an), NULL;
        if (!v) continue;
        if (q) return diag_error(im->c->d, loc, "a Constant has one value, this one has '%s' and '%s'", forms[form].name, an), NULL;
        q = v, form = f;
    }
    if (!q) return diag_error(im->c->d, loc, "a Constant without value"), NULL;
    int type;
    if (!attr_type(im, q, forms[form].name, loc, &type)) return NULL;
    if (type != forms[form].type)
        return diag_error(im->c->d, loc, "attribute '%s' is of type %s; %s is expected", forms[form].name, type_name[type],
                          type_name[forms[form].type]),
               NULL;
    switch (form) {
    case FORM_TENSOR: return tensor_import(im, q->t, name, "attribute 'value'", loc, !sc->call);
    case FORM_SPARSE: return sparse_import(im, q->sparse_tensor, name, "attribute 'sparse_value'", loc);
    case FORM_INT: return constant_vector(im, name, DT_INT64, &q->i, 1, 0);
    case FORM_INTS: return constant_vector(im, name, DT_INT64, q->ints, (int64_t)q->n_ints, 1);
    case FORM_FLOAT: return constant_vector(im, name, DT_FLOAT32, &q->f, 1, 0);
    case FORM_FLOATS: return constant_vector(im, name, DT_FLOAT32, q->floats, (int64_t)q->n_floats, 1);
    case FORM_STRING: return constant_strings(im, name, &q->s, 1, 0);
    default: return constant_strings(im, name, q->strings, (int64_t)q->n_strings, 1);
    }
}
