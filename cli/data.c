/* SPDX-License-Identifier: Apache-2.0 */
/* data.c: tensors in files (.npy, .pb), ONNX test data sets, and the comparison of outputs.
 *
 *   DIR/input_0.pb, input_1.pb …, output_0.pb …   (in the order of the graph's inputs and outputs; or .npy)
 */
#define _GNU_SOURCE
#include "cli.h"
#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}
static bool exists(const char *path) { return access(path, F_OK) == 0; }

bool dataset_same_shapes(const DataSet *a, const DataSet *b) {
    if (a->in.n != b->in.n) return false;
    for (int i = 0; i < a->in.n; i++)
        if (!type_same(&a->in.v[i].type, &b->in.v[i].type) || !list_same_shape(&a->in.v[i], &b->in.v[i])) return false;
    return true;
}
/* Extents that are known at run time only may be anything up to their bound. */
static bool fits_shape(const Type *t, const Type *want) {
    bool ok = t->rank == want->rank;
    for (int i = 0; ok && i < t->rank; i++) ok = want->ext && want->ext[i] ? t->dim[i] <= want->dim[i] : t->dim[i] == want->dim[i];
    return ok;
}
bool value_fit(Value *v, const Type *want) {
    if (v->type.wrap || want->wrap) return list_fit(&v->type, want);
    bool bits = dtype_is_float(want->dt) && dtype_compute(want->dt) != want->dt &&
                dtype_info[want->dt].bits == dtype_info[v->type.dt].bits && dtype_info[v->type.dt].cls == CLS_UINT;
    if (bits && fits_shape(&v->type, want)) v->type.dt = want->dt;
    return v->type.dt == want->dt && fits_shape(&v->type, want);
}
int64_t **dims_new(Arena *a, int n, Tensor *const *t) {
    int64_t **dims = NEW_ARRAY(a, int64_t *, n + 1), words;
    for (int i = 0; i < n; i++) {
        dims[i] = t[i]->packed ? wrap_dims(a, t[i]->packed, &words) : NEW_ARRAY(a, int64_t, t[i]->type.rank + 1);
        if (!t[i]->packed) memcpy(dims[i], t[i]->type.dim, (size_t)t[i]->type.rank * sizeof *dims[i]);
    }
    return dims;
}
Type type_with_dims(const Type *t, const int64_t *dims) {
    Type r = {.dt = t->dt, .rank = t->rank};
    memcpy(r.dim, dims, (size_t)t->rank * sizeof *dims);
    return r;
}
bool dataset_read(Ctx *c, const char *dir, const Graph *g, DataSet *out) {
    bool ok = true;
    out->dir = dir;
    for (int side = 0; side < 2; side++)
        for (int i = 0;; i++) {
            char *path = arena_printf(c->a, "%s/%s_%d.pb", dir, side ? "output" : "input", i);
            char *npy = arena_printf(c->a, "%s/%s_%d.npy", dir, side ? "output" : "input", i);
            if (!exists(path) && !exists(npy)) break;
            Value v = {0};
            const Type *like = !g            ? NULL
                               : side        ? (i < g->out.n ? port_type(g->out.v[i]) : NULL)
                               : i < g->in.n ? port_type(g->in.v[i])
                                             : NULL;
            if (exists(path) ? !onnx_read_value(c, path, like, &v) : !npy_read(c, npy, &v)) {
                ok = false;
                continue;
            }
            if (side) vec_push(c->a, &out->out, v);
            else vec_push(c->a, &out->in, v);
        }
    return ok;
}

static int by_number(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    size_t n = strlen(x), m = strlen(y);
    return n != m ? (n < m ? -1 : 1) : strcmp(x, y);
}
bool dataset_find(Ctx *c, const char *dir, char ***sets, int *n) {
    Vec(char *) found = {0};
    Loc l = {dir, -1, NULL, NULL};
    if (!is_dir(dir))
        return diag_error(c->d, l, "is not a folder; give a test data set (input_0.pb, output_0.pb) or a folder of test_data_set_N");
    if (exists(arena_printf(c->a, "%s/output_0.pb", dir)) || exists(arena_printf(c->a, "%s/output_0.npy", dir))) {
        vec_push(c->a, &found, arena_strdup(c->a, dir));
    } else {
        DIR *d = opendir(dir);
        for (struct dirent *e; d && (e = readdir(d));)
            if (strncmp(e->d_name, "test_data_set_", 14) == 0) vec_push(c->a, &found, arena_printf(c->a, "%s/%s", dir, e->d_name));
        if (d) closedir(d);
        if (found.n) qsort(found.v, (size_t)found.n, sizeof *found.v, by_number);
    }
    *sets = found.v, *n = found.n;
    return found.n || diag_error(c->d, l, "holds neither output_0.pb nor a test_data_set_N folder; nothing can be compared");
}

/* ---- .npy (format 1.0 and 2.0, C order; no pickled objects) */
static const struct {
    char kind;
    int bytes;
    DType dt;
} npy_types[] = {{'f', 4, DT_FLOAT32}, {'f', 8, DT_FLOAT64}, {'f', 2, DT_FLOAT16}, {'i', 1, DT_INT8},
                 {'i', 2, DT_INT16},   {'i', 4, DT_INT32},   {'i', 8, DT_INT64},   {'u', 1, DT_UINT8},
                 {'u', 2, DT_UINT16},  {'u', 4, DT_UINT32},  {'u', 8, DT_UINT64},  {'b', 1, DT_BOOL}};
enum { NPY_TYPES = sizeof npy_types / sizeof *npy_types };

static const char *npy_field(const char *head, const char *key) {
    const char *p = strstr(head, key);
    if (!p) return NULL;
    p += strlen(key);
    while (*p == '\'' || *p == ':' || *p == ' ') p++;
    return p;
}
static bool npy_shape(const char *p, Type *t) {
    t->rank = 0;
    if (*p++ != '(') return false;
    while (*p && *p != ')') {
        char *end;
        long long v = strtoll(p, &end, 10);
        if (end == p || v < 0 || t->rank == QN_MAX_RANK) return false;
        t->dim[t->rank++] = v;
        for (p = end; *p == ',' || *p == ' ' || *p == 'L';) p++;
    }
    return *p == ')';
}
bool npy_read(Ctx *c, const char *path, Value *v) {
    size_t n;
    Loc l = {path, -1, NULL, NULL};
    const unsigned char *b = file_read_whole(c, path, (size_t)4 << 30, &n);
    if (!b) return false;
    if (n < 12 || memcmp(b, "\x93NUMPY", 6)) return diag_error(c->d, l, "does not start like a .npy file; save it with numpy.save");
    size_t head =
        b[6] == 1 ? (size_t)b[8] | (size_t)b[9] << 8 : (size_t)b[8] | (size_t)b[9] << 8 | (size_t)b[10] << 16 | (size_t)b[11] << 24;
    size_t at = b[6] == 1 ? 10 : 12;
    if (head > n - at) return diag_error(c->d, l, "its header of %zu bytes is longer than the file", head);
    char *h = arena_strndup(c->a, (const char *)b + at, head);
    const char *descr = npy_field(h, "'descr'"), *order = npy_field(h, "'fortran_order'"), *shape = npy_field(h, "'shape'");
    if (!descr || !order || !shape || !npy_shape(shape, &v->type))
        return diag_error(c->d, l, "its header lacks descr, fortran_order or a valid shape");
    if (strncmp(order, "False", 5)) return diag_error(c->d, l, "is in Fortran order; save numpy.ascontiguousarray of it");
    v->type.dt = DT_NONE;
    for (int i = 0; i < NPY_TYPES; i++)
        if ((*descr == '<' || *descr == '|') && descr[1] == npy_types[i].kind && atoi(descr + 2) == npy_types[i].bytes)
            v->type.dt = npy_types[i].dt;
    if (v->type.dt == DT_NONE)
        return diag_error(c->d, l, "has element type '%.8s'; expected a little-endian float, int, uint or bool", descr);
    int64_t count, bytes;
    if (!type_elements(&v->type, &count) || !dtype_bytes(v->type.dt, count, &bytes) || (uint64_t)bytes != n - at - head)
        return diag_error(c->d, l, "holds %zu bytes of data, which its shape does not explain", n - at - head);
    v->data = arena_alloc(c->a, (size_t)bytes + 1);
    memcpy(v->data, b + at + head, (size_t)bytes);
    v->bytes = bytes;
    return true;
}
bool npy_write(Ctx *c, const char *path, const Value *v) {
    const char *descr = NULL;
    for (int i = 0; i < NPY_TYPES; i++)
        if (npy_types[i].dt == v->type.dt)
            descr = arena_printf(c->a, "%c%c%d", npy_types[i].bytes == 1 ? '|' : '<', npy_types[i].kind, npy_types[i].bytes);
    if (!descr) return diag_error(c->d, (Loc){path, -1, NULL, NULL}, "%s has no .npy form; use a .pb file", dtype_name(v->type.dt));
    Text t = {0};
    text_printf(&t, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < v->type.rank; i++)
        text_printf(&t, "%lld%s", (long long)v->type.dim[i], v->type.rank == 1 || i + 1 < v->type.rank ? ", " : "");
    text_puts(&t, "), }");
    while ((t.n + 11) % 64) text_puts(&t, " ");
    text_puts(&t, "\n");
    Text file = {0};
    text_putn(&file, "\x93NUMPY\x01\x00", 8);
    text_putn(&file, (char[]){(char)(t.n & 255), (char)(t.n >> 8)}, 2);
    text_putn(&file, t.s, t.n);
    text_putn(&file, v->data, (size_t)v->bytes);
    bool ok = file_write_whole(c, path, file.s, file.n);
    text_free(&t), text_free(&file);
    return ok;
}

/* ---- comparison */
static bool rounds_short(DType t) { return t == DT_FLOAT16 || t == DT_BFLOAT16 || t == DT_HALF; }
Tolerance tolerance_default(const Graph *g, DType dt, double atol, double rtol) {
    double d = 1e-4;
    for (const Node *n = g->first; n; n = n->next)
        if (!strcmp(n->op->name, "LSTM") || !strcmp(n->op->name, "GRU") || !strcmp(n->op->name, "RNN")) d = 1e-3;
    for (const Node *n = g->first; n && d < 1e-2; n = n->next) /* of the model, or of --fast-f16 */
        if ((n->out[0] && rounds_short(n->out[0]->type.dt)) || !strcmp(n->op->name, "AsFloat16") || !strcmp(n->op->name, "AsBfloat16"))
            d = 1e-2;
    if (rounds_short(dt)) d = 1e-2;
    if (dtype_is_float(dt) && dtype_info[dt].bits < 16) d = 0.15; /* one step of an 8-bit float */
    if (!dtype_is_float(dt)) d = 0;
    return (Tolerance){atol >= 0 ? atol : d, rtol >= 0 ? rtol : atol >= 0 ? atol : d};
}
Compared compare_values(DType dt, int64_t n, const void *got, const void *want, Tolerance t) {
    Compared r = {.ok = true, .at = -1};
    bool ints = !dtype_is_float(dt);
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double w = fabs(dtype_get_f(dt, want, i));
        if (isfinite(w) && w > largest) largest = w;
    }
    r.max_allowed = t.atol + t.rtol * largest, r.largest = largest;
    for (int64_t i = 0; i < n; i++) {
        double x = dtype_get_f(dt, got, i), w = dtype_get_f(dt, want, i), diff;
        if (ints && t.atol == 0) diff = dtype_get_i(dt, got, i) == dtype_get_i(dt, want, i) ? 0 : fabs(x - w) > 0 ? fabs(x - w) : 1;
        else diff = (isnan(x) && isnan(w)) || x == w ? 0 : fabs(x - w);
        bool bad = !(diff <= r.max_allowed);
        r.bad += bad;
        if (bad) r.ok = false;
        if (!(diff <= r.max_abs) || r.at < 0) r.max_abs = diff, r.at = i;
    }
    return r;
}
