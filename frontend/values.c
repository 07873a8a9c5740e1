/* SPDX-License-Identifier: Apache-2.0 */
/* values.c: files of data sets whose values are no tensors (SequenceProto, OptionalProto, MapProto), as the bytes and the dims list that
 * a compiled model takes.
 *
 *   sequence of float[2] {1, 2} and float[1] {3}   <->   dims 2, 1,2, 1,1   data 0000803f 00000040, 8 zeros, 00004040
 */
#include <string.h>
#include "frontend/import.h"

/* ---- reading */
typedef struct Build {
    Importer im;
    Vec(int64_t) dims;
    Text data;
} Build;
static void word(Build *b, int64_t v) { vec_push(b->im.c->a, &b->dims, v); }
static void bytes_add(Build *b, const void *data, int64_t n) {
    static const char zero[16];
    text_putn(&b->data, zero, (16 - b->data.n % 16) % 16);
    if (n) text_putn(&b->data, data, (size_t)n);
}
static bool tensor_add(Build *b, const Onnx__TensorProto *p, Type *t) {
    void *data;
    int64_t n;
    if (!tensor_read(&b->im, p, "tensor", file_loc(&b->im), t, &data, &n)) return false;
    word(b, t->rank);
    for (int k = 0; k < t->rank; k++) word(b, t->dim[k]);
    bytes_add(b, data, n);
    return true;
}
static bool map_add(Build *b, const Onnx__MapProto *p, Wrap *w) {
    Importer *im = &b->im;
    bool strings = p->key_type == DT_STRING;
    size_t n = strings ? p->n_string_keys : p->n_keys, got = 0;
    int64_t bytes;
    DType dt = DT_NONE;
    Text values = {0};
    if (!dtype_valid(p->key_type) || (!strings && !dtype_is_int((DType)p->key_type)))
        return diag_error(im->c->d, file_loc(im), "key type %d of a map is neither an integer type nor string", (int)p->key_type);
    for (size_t i = 0; p->values && i < p->values->n_tensor_values; i++) { /* one value each, or all at once */
        Type t;
        void *data;
        int64_t count, size;
        if (!tensor_read(im, p->values->tensor_values[i], "value of a map", file_loc(im), &t, &data, &size)) return false;
        if (!type_elements(&t, &count) || t.dt == DT_STRING || (dt && dt != t.dt))
            return diag_error(im->c->d, file_loc(im), "the values of a map are expected to be numbers of one type");
        dt = t.dt, got += (size_t)count;
        text_putn(&values, data, (size_t)size);
    }
    if (got != n) return diag_error(im->c->d, file_loc(im), "a map has %zu keys and %zu values", n, got);
    word(b, (int64_t)n);
    if (strings) {
        const char **s = NEW_ARRAY(im->tmp, const char *, n + 1);
        int64_t *len = NEW_ARRAY(im->tmp, int64_t, n + 1);
        for (size_t i = 0; i < n; i++) s[i] = (const char *)p->string_keys[i].data, len[i] = (int64_t)p->string_keys[i].len;
        void *packed = strings_pack(im->tmp, (int64_t)n, s, len, &bytes);
        bytes_add(b, packed, bytes);
    } else {
        DType kt = (DType)p->key_type;
        dtype_bytes(kt, (int64_t)n, &bytes);
        void *keys = arena_alloc(im->tmp, (size_t)bytes + 8);
        for (size_t i = 0; i < n; i++) dtype_set_i(kt, keys, (int64_t)i, p->keys[i]);
        bytes_add(b, keys, bytes);
    }
    bytes_add(b, values.s, (int64_t)values.n);
    text_free(&values);
    *w = (Wrap){.kind = WRAP_MAP, .key = (DType)p->key_type, .lo = (int64_t)n, .hi = (int64_t)n, .of = {.dt = dt, .rank = 0}};
    return true;
}
static bool sequence_add(Build *b, const Onnx__SequenceProto *p, const Type *like, Wrap *w) {
    Arena *a = b->im.c->a;
    size_t n = p->n_tensor_values + p->n_map_values;
    if (p->n_sequence_values || (p->n_tensor_values && p->n_map_values))
        return diag_error(b->im.c->d, file_loc(&b->im), "a sequence of tensors or of maps is expected");
    *w = (Wrap){.kind = WRAP_SEQUENCE, .lo = (int64_t)n, .hi = (int64_t)n, .of = like && like->wrap ? like->wrap->of : (Type){.rank = -1}};
    w->of.sym = NULL;
    Type *each = NEW_ARRAY(a, Type, n + 1);
    word(b, (int64_t)n);
    for (size_t i = 0; i < n; i++) {
        each[i] = (Type){.dt = DT_NONE, .rank = -1};
        if (p->n_tensor_values ? !tensor_add(b, p->tensor_values[i], &each[i])
                               : !(each[i].wrap = NEW(a, Wrap), map_add(b, p->map_values[i], (Wrap *)(uintptr_t)each[i].wrap)))
            return false;
        if (!each[i].wrap && each[i].dt != each[0].dt)
            return diag_error(b->im.c->d, file_loc(&b->im), "element %zu of the sequence has another element type than element 0", i);
    }
    if (n) w->of = each[0], w->each = each;
    return true;
}
static bool optional_add(Build *b, const Onnx__OptionalProto *p, const Type *like, Wrap *w) {
    bool some = p->tensor_value || p->sequence_value;
    *w = (Wrap){.kind = WRAP_OPTIONAL, .hi = some, .lo = some, .of = like && like->wrap ? like->wrap->of : (Type){.rank = -1}};
    if (p->map_value) return diag_error(b->im.c->d, file_loc(&b->im), "an optional map is not supported");
    word(b, some);
    if (p->tensor_value) return tensor_add(b, p->tensor_value, &w->of);
    if (!p->sequence_value) return true;
    Wrap *in = NEW(b->im.c->a, Wrap);
    w->of = (Type){.dt = DT_NONE, .rank = -1, .wrap = in};
    return sequence_add(b, p->sequence_value, like && like->wrap ? &like->wrap->of : NULL, in);
}
bool onnx_read_value(Ctx *c, const char *path, const Type *like, Value *out) {
    if (!like || !like->wrap) return onnx_read_tensor(c, path, out);
    static const ProtobufCMessageDescriptor *const what[] = {&onnx__sequence_proto__descriptor, &onnx__optional_proto__descriptor,
                                                             &onnx__map_proto__descriptor};
    WrapKind kind = like->wrap->kind;
    Arena *tmp = arena_new();
    Ctx ct = {tmp, c->d};
    size_t n;
    *out = (Value){0};
    void *bytes = file_read_whole(&ct, path, (size_t)INT32_MAX, &n);
    ProtobufCMessage *m;
    Parsed *p = bytes ? parsed_new(c, path, what[kind], bytes, n, 0, &m) : NULL;
    bool ok = false;
    if (p) {
        Build b = {.im = {.c = c, .tmp = tmp, .file = path, .parsed = p}};
        Wrap *w = NEW(c->a, Wrap);
        out->type = (Type){.dt = DT_NONE, .rank = -1, .wrap = w};
        if (kind == WRAP_SEQUENCE) ok = sequence_add(&b, (const Onnx__SequenceProto *)m, like, w);
        else if (kind == WRAP_OPTIONAL) ok = optional_add(&b, (const Onnx__OptionalProto *)m, like, w);
        else ok = map_add(&b, (const Onnx__MapProto *)m, w);
        out->dims = b.dims.v, out->ndims = b.dims.n, out->bytes = (int64_t)b.data.n, out->name = "";
        out->data = arena_alloc(c->a, b.data.n + 16);
        if (b.data.n) memcpy(out->data, b.data.s, b.data.n);
        text_free(&b.data);
    }
    parsed_free(p);
    arena_free(tmp);
    return ok;
}

/* ---- taking apart */
typedef struct Cut {
    Arena *a;
    const int64_t *dims;
    char *data;
    int64_t at;
    Values *out;
} Cut;
static void cut_tensor(Cut *k, const char *name, Type t) {
    Value v = {.name = name, .type = t};
    int64_t n;
    k->at = (k->at + 15) / 16 * 16;
    v.data = k->data + k->at;
    if (!type_elements(&t, &n) || !dtype_bytes(t.dt, n, &v.bytes)) BUG("a tensor of a value has no size");
    if (t.dt == DT_STRING) memcpy(&v.bytes, (char *)v.data + 8 * n, 8);
    k->at += v.bytes;
    vec_push(k->a, k->out, v);
}
static void cut(Cut *k, const char *name, const Type *t) {
    const Wrap *w = t->wrap;
    Type own = {0};
    if (!w) {
        type_set(&own, t->dt, (int)*k->dims, k->dims + 1);
        k->dims += 1 + own.rank;
        cut_tensor(k, name, own);
        return;
    }
    int64_t n = *k->dims++;
    if (w->kind == WRAP_MAP) {
        type_set(&own, w->key, 1, &n);
        cut_tensor(k, arena_printf(k->a, "%s.keys", name), own);
        own.dt = w->of.dt;
        cut_tensor(k, arena_printf(k->a, "%s.values", name), own);
        return;
    }
    for (int64_t i = 0; i < n; i++) cut(k, w->kind == WRAP_OPTIONAL ? name : arena_printf(k->a, "%s[%lld]", name, (long long)i), &w->of);
}
void value_tensors(Arena *a, const Value *v, Values *out) {
    Cut k = {a, v->dims, v->data, 0, out};
    if (v->type.wrap) cut(&k, v->name ? v->name : "", &v->type);
    else vec_push(a, out, *v);
}

/* ---- writing */
typedef struct Out {
    Arena *a;
    Values v;
    int next;
    const int64_t *dims;
} Out;
static Onnx__TensorProto *out_tensor(Out *o) {
    Onnx__TensorProto *t = NEW(o->a, Onnx__TensorProto);
    o->dims += 1 + o->v.v[o->next].type.rank;
    tensor_message(o->a, &o->v.v[o->next++], t);
    return t;
}
static Onnx__SequenceProto *out_sequence(Out *o, const Wrap *w);
static Onnx__MapProto *out_map(Out *o, const Wrap *w) {
    Onnx__MapProto *m = NEW(o->a, Onnx__MapProto);
    const Value *keys = &o->v.v[o->next++], *values = &o->v.v[o->next++];
    int64_t n = *o->dims++, size = dtype_info[values->type.dt].bits / 8;
    onnx__map_proto__init(m);
    m->has_key_type = true, m->key_type = (int32_t)w->key;
    if (w->key == DT_STRING) {
        Onnx__TensorProto t;
        tensor_message(o->a, keys, &t);
        m->n_string_keys = t.n_string_data, m->string_keys = t.string_data;
    } else {
        m->n_keys = (size_t)n, m->keys = NEW_ARRAY(o->a, int64_t, n + 1);
        for (int64_t i = 0; i < n; i++) m->keys[i] = dtype_get_i(w->key, keys->data, i);
    }
    m->values = NEW(o->a, Onnx__SequenceProto);
    onnx__sequence_proto__init(m->values);
    m->values->has_elem_type = true, m->values->elem_type = 1; /* tensors */
    m->values->n_tensor_values = (size_t)n, m->values->tensor_values = NEW_ARRAY(o->a, Onnx__TensorProto *, n + 1);
    for (int64_t i = 0; i < n; i++) {
        Value one = {.name = "", .type = {.dt = values->type.dt, .rank = 0}, .data = (char *)values->data + i * size, .bytes = size};
        m->values->tensor_values[i] = NEW(o->a, Onnx__TensorProto);
        tensor_message(o->a, &one, m->values->tensor_values[i]);
    }
    return m;
}
static Onnx__SequenceProto *out_sequence(Out *o, const Wrap *w) {
    Onnx__SequenceProto *s = NEW(o->a, Onnx__SequenceProto);
    size_t n = (size_t)*o->dims++;
    onnx__sequence_proto__init(s);
    s->has_elem_type = true, s->elem_type = w->of.wrap ? 4 : 1; /* maps, tensors */
    if (w->of.wrap) s->n_map_values = n, s->map_values = NEW_ARRAY(o->a, Onnx__MapProto *, n + 1);
    else s->n_tensor_values = n, s->tensor_values = NEW_ARRAY(o->a, Onnx__TensorProto *, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (w->of.wrap) s->map_values[i] = out_map(o, w->of.wrap);
        else s->tensor_values[i] = out_tensor(o);
    }
    return s;
}
bool onnx_write_value(Ctx *c, const char *path, const Value *v) {
    const Wrap *w = v->type.wrap;
    if (!w) return onnx_write_tensor(c, path, v);
    Out o = {.a = arena_new(), .dims = v->dims};
    ProtobufCMessage *m;
    char *name = arena_strdup(o.a, v->name ? v->name : "");
    value_tensors(o.a, v, &o.v);
    if (w->kind == WRAP_SEQUENCE) {
        Onnx__SequenceProto *s = out_sequence(&o, w);
        s->name = name, m = &s->base;
    } else if (w->kind == WRAP_MAP) {
        Onnx__MapProto *s = out_map(&o, w);
        s->name = name, m = &s->base;
    } else {
        Onnx__OptionalProto *s = NEW(o.a, Onnx__OptionalProto);
        onnx__optional_proto__init(s);
        bool some = *o.dims++ != 0;
        s->name = name, s->has_elem_type = true, s->elem_type = some ? w->of.wrap ? 3 : 1 : 0; /* sequence, tensor, nothing */
        if (some && w->of.wrap) s->sequence_value = out_sequence(&o, w->of.wrap);
        else if (some) s->tensor_value = out_tensor(&o);
        m = &s->base;
    }
    size_t size = protobuf_c_message_get_packed_size(m);
    bool ok = size <= INT32_MAX || diag_error(c->d, (Loc){path, -1, NULL, NULL}, "more than one file may have (2 GiB)");
    if (ok) {
        uint8_t *bytes = arena_alloc(o.a, size + 1);
        protobuf_c_message_pack(m, bytes);
        ok = file_write_whole(c, path, bytes, size);
    }
    arena_free(o.a);
    return ok;
}
