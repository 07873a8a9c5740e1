/* SPDX-License-Identifier: Apache-2.0 */
/* tensors.c: TensorProto <-> packed bytes. Whatever field the data came in, a constant's memory is ONNX's raw_data: little
 * endian (as is the host), sub-byte elements packed from the low bits, strings as n+1 offsets and then the bytes.
 *
 *   int4 [3], int32_data {0x21, 0x0f}   ->   21 0f        bool [2], int32_data {1, 7}   ->   01 01
 */
#include <string.h>
#include "frontend/import.h"
#include <stdio.h>

bool budget_take(Importer *im, Loc loc, const char *what, int64_t bytes) {
    if (bytes <= im->budget) return im->budget -= bytes, true;
    return diag_error(im->c->d, loc, "%s takes %lld bytes, far more than the file holds; it is damaged or hostile", what, (long long)bytes);
}

void *strings_pack(Arena *a, int64_t n, const char *const *s, const int64_t *len, int64_t *bytes) {
    int64_t head = 8 * (n + 1), total = head;
    for (int64_t i = 0; i < n; i++) total += len[i];
    char *r = arena_alloc(a, (size_t)total);
    int64_t at = head;
    memcpy(r, &at, 8);
    for (int64_t i = 0; i < n; i++) {
        if (len[i]) memcpy(r + at, s[i], (size_t)len[i]);
        at += len[i];
        memcpy(r + 8 * (i + 1), &at, 8);
    }
    *bytes = total;
    return r;
}

/* ---- which field holds the elements of a type */
typedef enum Field { F_FLOAT, F_INT32, F_STRING, F_INT64, F_DOUBLE, F_UINT64, F_NONE } Field;
static const char *const field_name[] = {"float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data"};
static Field field_of(DType t) {
    switch (t) {
    case DT_FLOAT32:
    case DT_COMPLEX64: return F_FLOAT;
    case DT_FLOAT64:
    case DT_COMPLEX128: return F_DOUBLE;
    case DT_STRING: return F_STRING;
    case DT_INT64: return F_INT64;
    case DT_UINT32:
    case DT_UINT64: return F_UINT64;
    default: return F_INT32;
    }
}
static size_t field_count(const Onnx__TensorProto *p, Field f) {
    const size_t n[] = {p->n_float_data, p->n_int32_data, p->n_string_data, p->n_int64_data, p->n_double_data, p->n_uint64_data};
    return n[f];
}
static const void *field_data(const Onnx__TensorProto *p, Field f) {
    const void *d[] = {p->float_data, p->int32_data, p->string_data, p->int64_data, p->double_data, p->uint64_data};
    return d[f];
}

typedef struct Reader {
    Importer *im;
    const Onnx__TensorProto *p;
    const char *what;
    Loc loc;
    bool once;
    DType dt;
    int64_t n, bytes;
} Reader;
#define READ_ERROR(r, ...) diag_error((r)->im->c->d, (r)->loc, __VA_ARGS__)

static bool read_strings(Reader *r, void **data) {
    const ProtobufCBinaryData *s = r->p->string_data;
    const char **ptr = NEW_ARRAY(r->im->tmp, const char *, r->n);
    int64_t *len = NEW_ARRAY(r->im->tmp, int64_t, r->n);
    for (int64_t i = 0; i < r->n; i++) ptr[i] = (const char *)s[i].data, len[i] = (int64_t)s[i].len;
    *data = strings_pack(r->im->c->a, r->n, ptr, len, &r->bytes);
    return true;
}
/* int32_data: one element per entry, or one packed byte for sub-byte types. */
static bool read_int32(Reader *r, uint8_t *out) {
    const int32_t *v = r->p->int32_data;
    int bits = dtype_info[r->dt].bits, width = bits < 8 ? 8 : bits;
    int64_t count = (int64_t)r->p->n_int32_data;
    int64_t lo = -((int64_t)1 << (width - 1)), hi = ((int64_t)1 << width) - 1;
    for (int64_t i = 0; i < count; i++) {
        if (r->dt != DT_INT32 && r->dt != DT_BOOL && (v[i] < lo || v[i] > hi))
            return READ_ERROR(r, "%s: value %d of int32_data does not fit element type %s", r->what, v[i], dtype_name(r->dt));
        if (r->dt == DT_BOOL) out[i] = v[i] != 0;
        else if (width == 8) out[i] = (uint8_t)v[i];
        else if (width == 16) memcpy(out + 2 * i, &(uint16_t){(uint16_t)v[i]}, 2);
        else memcpy(out + 4 * i, &v[i], 4);
    }
    return true;
}
static bool read_typed(Reader *r, Field f, void **data) {
    int bits = dtype_info[r->dt].bits;
    size_t have = field_count(r->p, f);
    int64_t want = r->n;
    if (bits < 8) want = r->bytes;
    if (dtype_info[r->dt].cls == CLS_CPLX && !mul_ok(want, 2, &want)) want = -1;
    if (want < 0 || have != (uint64_t)want)
        return READ_ERROR(r, "%s: %s has %zu values, but the shape and element type %s want %lld", r->what, field_name[f], have,
                          dtype_name(r->dt), (long long)want);
    if (f == F_STRING) return read_strings(r, data);
    uint8_t *out = *data = arena_alloc(r->im->c->a, (size_t)r->bytes);
    const void *in = field_data(r->p, f);
    if (f == F_INT32 && !read_int32(r, out)) return false;
    if (f == F_UINT64 && r->dt == DT_UINT32) {
        for (int64_t i = 0; i < r->n; i++) {
            uint64_t v = r->p->uint64_data[i];
            if (v > UINT32_MAX) return READ_ERROR(r, "%s: value %llu of uint64_data does not fit uint32", r->what, (unsigned long long)v);
            memcpy(out + 4 * i, &(uint32_t){(uint32_t)v}, 4);
        }
    } else if (f != F_INT32 && r->bytes) {
        memcpy(out, in, (size_t)r->bytes);
    }
    if (r->once) parsed_release(r->im->parsed, in);
    return true;
}
static bool read_raw(Reader *r, void **data) {
    const ProtobufCBinaryData *raw = &r->p->raw_data;
    if (r->dt == DT_STRING) return READ_ERROR(r, "%s: strings cannot be in raw_data; string_data is expected", r->what);
    if (raw->len != (uint64_t)r->bytes)
        return READ_ERROR(r, "%s: raw_data has %zu bytes, but the shape and element type %s want %lld", r->what, raw->len,
                          dtype_name(r->dt), (long long)r->bytes);
    *data = arena_alloc(r->im->c->a, raw->len);
    if (raw->len) memcpy(*data, raw->data, raw->len);
    if (r->once) parsed_release(r->im->parsed, raw->data);
    return true;
}
/* Bools become 0 or 1, and unused bits of the last byte 0: what all later code relies on. */
static void tidy(const Reader *r, void *data) {
    uint8_t *b = data;
    int bits = dtype_info[r->dt].bits;
    if (r->dt == DT_BOOL)
        for (int64_t i = 0; i < r->n; i++) b[i] = b[i] != 0;
    if (bits < 8 && r->n * bits % 8) b[r->bytes - 1] &= (uint8_t)((1 << (r->n * bits % 8)) - 1);
}

static bool shape_import(Reader *r, const int64_t *dims, size_t rank, Type *t) {
    if (rank > QN_MAX_RANK) return READ_ERROR(r, "%s has %zu axes; at most %d are supported", r->what, rank, QN_MAX_RANK);
    r->n = 1;
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0) return READ_ERROR(r, "%s: extent of axis %zu is %lld; extents cannot be negative", r->what, i, (long long)dims[i]);
        if (dims[i] && !mul_ok(r->n, dims[i], &r->n)) return READ_ERROR(r, "%s: the product of its extents overflows", r->what);
    }
    type_set(t, r->dt, (int)rank, dims);
    if (!type_elements(t, &r->n) || !dtype_bytes(r->dt, r->n, &r->bytes)) return READ_ERROR(r, "%s: its size in bytes overflows", r->what);
    return true;
}

/* Type and bytes of a TensorProto. */
static bool proto_read(Reader *r, Type *t, void **data) {
    const Onnx__TensorProto *p = r->p;
    *data = NULL;
    if (!dtype_valid(p->data_type))
        return READ_ERROR(r, "%s: element type %d is unknown; ONNX's go from 1 to %d", r->what, (int)p->data_type, DT_HALF - 1);
    if (p->segment) return READ_ERROR(r, "%s is stored in segments, which ONNX dropped; save the model again", r->what);
    r->dt = (DType)p->data_type;
    if (!shape_import(r, p->dims, p->n_dims, t)) return false;
    bool ok;
    int sources = p->has_raw_data && p->raw_data.len;
    Field f = field_of(r->dt), used = F_NONE;
    for (Field k = 0; k < F_NONE; k++)
        if (field_count(p, k)) used = k, sources++;
    if (p->data_location == 1) {
        if (sources) return READ_ERROR(r, "%s says that its data are external, but has data of its own", r->what);
        if (r->dt == DT_STRING) return READ_ERROR(r, "%s: strings cannot be external data", r->what);
        ok = external_read(r->im, p, r->what, r->loc, r->bytes, data);
    } else if (p->data_location != 0) {
        return READ_ERROR(r, "%s: data location %d is unknown; 0 (here) or 1 (external) is expected", r->what, (int)p->data_location);
    } else if (sources > 1) {
        return READ_ERROR(r, "%s has data in more than one field", r->what);
    } else if (used != F_NONE && used != f) {
        return READ_ERROR(r, "%s: element type %s is kept in %s or raw_data, but the data are in %s", r->what, dtype_name(r->dt),
                          field_name[f], field_name[used]);
    } else if (used == F_NONE && (p->has_raw_data || p->n_external_data == 0) && r->dt != DT_STRING) {
        ok = read_raw(r, data);
    } else {
        ok = read_typed(r, f, data);
    }
    if (ok) tidy(r, *data);
    return ok;
}

bool tensor_read(Importer *im, const Onnx__TensorProto *p, const char *what, Loc loc, Type *t, void **data, int64_t *bytes) {
    Reader r = {.im = im, .p = p, .what = what, .loc = loc};
    *t = (Type){0};
    bool ok = proto_read(&r, t, data);
    *bytes = r.bytes;
    return ok;
}
Tensor *tensor_import(Importer *im, const Onnx__TensorProto *p, const char *name, const char *what, Loc loc, bool once) {
    Reader r = {.im = im, .p = p, .what = what, .loc = loc, .once = once};
    Type t;
    void *data;
    char key[32];
    snprintf(key, sizeof key, "%p", (const void *)p);
    const Tensor *same = once ? NULL : map_get(im->shared, key);
    if (same) return tensor_const(im->g, name, same->type.dt, same->type.rank, same->type.dim, same->data);
    if (!proto_read(&r, &t, &data)) return NULL;
    Tensor *c = tensor_const(im->g, name, t.dt, t.rank, t.dim, data);
    if (!once) map_set(im->shared, arena_strdup(im->tmp, key), c);
    return c;
}

/* ---- sparse tensors become dense */
static bool sparse_index(Reader *r, const int64_t *index, bool linear, const Type *t, int64_t nnz) {
    int64_t last = -1;
    for (int64_t i = 0; i < nnz; i++) {
        int64_t at = linear ? index[i] : 0;
        for (int k = 0; !linear && k < t->rank; k++) {
            int64_t v = index[i * t->rank + k];
            if (v < 0 || v >= t->dim[k])
                return READ_ERROR(r, "%s: index %lld of axis %d is outside 0..%lld", r->what, (long long)v, k, (long long)t->dim[k] - 1);
            at = at * t->dim[k] + v;
        }
        if (at < 0 || at >= r->n) return READ_ERROR(r, "%s: index %lld is outside 0..%lld", r->what, (long long)at, (long long)r->n - 1);
        if (at <= last) return READ_ERROR(r, "%s: indices must be ascending and differ; entry %lld does not", r->what, (long long)i);
        last = at;
    }
    return true;
}
Tensor *sparse_import(Importer *im, const Onnx__SparseTensorProto *p, const char *name, const char *what, Loc loc) {
    Reader r = {.im = im, .p = p->values, .what = what, .loc = loc};
    Type tv, ti, t;
    void *values, *data;
    if (!p->values || !p->indices) return READ_ERROR(&r, "%s: a sparse tensor needs values and indices", what), NULL;
    if (!proto_read(&r, &tv, &values)) return NULL;
    Reader ri = {.im = im, .p = p->indices, .what = what, .loc = loc};
    void *raw_index;
    if (!proto_read(&ri, &ti, &raw_index)) return NULL;
    int64_t nnz = r.n;
    bool linear = ti.rank == 1;
    if (ti.dt != DT_INT64 || tv.rank != 1 || r.dt == DT_STRING || dtype_packed(r.dt))
        return READ_ERROR(&r, "%s: a sparse tensor needs 1-D values of a whole-byte type and int64 indices", what), NULL;
    if (!shape_import(&r, p->dims, p->n_dims, &t)) return NULL;
    if (!(linear && ti.dim[0] == nnz) && !(ti.rank == 2 && ti.dim[0] == nnz && ti.dim[1] == t.rank))
        return READ_ERROR(&r, "%s: %lld values want indices of shape [%lld] or [%lld,%d]", what, (long long)nnz, (long long)nnz,
                          (long long)nnz, t.rank),
               NULL;
    if (!budget_take(im, loc, what, r.bytes)) return NULL;
    const int64_t *index = raw_index;
    if (!sparse_index(&r, index, linear, &t, nnz)) return NULL;
    data = arena_alloc(im->c->a, (size_t)r.bytes);
    size_t size = (size_t)dtype_info[r.dt].bits / 8;
    for (int64_t i = 0; i < nnz; i++) {
        int64_t at = linear ? index[i] : 0;
        for (int k = 0; !linear && k < t.rank; k++) at = at * t.dim[k] + index[i * t.rank + k];
        memcpy((char *)data + (size_t)at * size, (const char *)values + (size_t)i * size, size);
    }
    return tensor_const(im->g, name, t.dt, t.rank, t.dim, data);
}

/* ---- tensor files of data sets */
bool onnx_read_tensor(Ctx *c, const char *path, Value *out) {
    *out = (Value){0};
    Arena *tmp = arena_new();
    Ctx ct = {tmp, c->d};
    size_t n;
    void *bytes = file_read_whole(&ct, path, (size_t)INT32_MAX, &n);
    ProtobufCMessage *m;
    Parsed *p = bytes ? parsed_new(c, path, &onnx__tensor_proto__descriptor, bytes, n, 0, &m) : NULL;
    bool ok = false;
    if (p) {
        Importer im = {.c = c, .tmp = tmp, .file = path, .parsed = p};
        const Onnx__TensorProto *t = (const Onnx__TensorProto *)m;
        Reader r = {.im = &im, .p = t, .what = "tensor", .loc = {path, -1, NULL, NULL}, .once = true};
        ok = proto_read(&r, &out->type, &out->data);
        out->name = arena_strdup(c->a, pb_str(t->name));
        out->bytes = r.bytes;
    }
    parsed_free(p);
    arena_free(tmp);
    return ok;
}

static void write_strings(Arena *a, Onnx__TensorProto *t, const Value *v, int64_t n) {
    const char *b = v->data;
    t->string_data = NEW_ARRAY(a, ProtobufCBinaryData, n);
    t->n_string_data = (size_t)n;
    for (int64_t i = 0; i < n; i++) {
        int64_t lo, hi;
        memcpy(&lo, b + 8 * i, 8);
        memcpy(&hi, b + 8 * (i + 1), 8);
        t->string_data[i] = (ProtobufCBinaryData){(size_t)(hi - lo), (uint8_t *)v->data + lo};
    }
}
void tensor_message(Arena *a, const Value *v, Onnx__TensorProto *t) {
    int64_t n = 0;
    onnx__tensor_proto__init(t);
    t->name = arena_strdup(a, v->name ? v->name : "");
    t->has_data_type = true;
    t->data_type = (int32_t)v->type.dt;
    t->n_dims = (size_t)v->type.rank;
    t->dims = NEW_ARRAY(a, int64_t, v->type.rank + 1);
    memcpy(t->dims, v->type.dim, (size_t)v->type.rank * sizeof *t->dims);
    if (v->type.dt == DT_STRING && type_elements(&v->type, &n)) {
        write_strings(a, t, v, n);
    } else {
        t->has_raw_data = true;
        t->raw_data = (ProtobufCBinaryData){(size_t)v->bytes, v->data};
    }
}
bool onnx_write_tensor(Ctx *c, const char *path, const Value *v) {
    int64_t n;
    Loc loc = {path, -1, NULL, NULL};
    if (!type_known(&v->type) || !type_elements(&v->type, &n)) return diag_error(c->d, loc, "a tensor of unknown type cannot be written");
    if (v->bytes > INT32_MAX - 4096)
        return diag_error(c->d, loc, "%lld bytes are more than one tensor file may have (2 GiB)", (long long)v->bytes);
    Arena *tmp = arena_new();
    Onnx__TensorProto t;
    tensor_message(tmp, v, &t);
    size_t size = onnx__tensor_proto__get_packed_size(&t);
    uint8_t *out = arena_alloc(tmp, size);
    onnx__tensor_proto__pack(&t, out);
    bool ok = file_write_whole(c, path, out, size);
    arena_free(tmp);
    return ok;
}
