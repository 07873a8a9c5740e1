/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c: a graph in files that ort.js runs in ONNX Runtime, and its answers.
 *
 *   DIR/g00012/model.onnx in.json in_0.bin …   ->   out.json out_0.bin …   or error.txt
 */
#include "fuzz.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void put(const char *dir, const char *name, const void *data, size_t n) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *t = fopen(path, "wb");
    if (!t || fwrite(data, 1, n, t) != n) BUG("cannot write %s", path);
    fclose(t);
}
static void *get(Arena *a, const char *dir, const char *name, size_t *n) {
    Diags d = {.a = a};
    return file_read_whole(&(Ctx){a, &d}, arena_printf(a, "%s/%s", dir, name), 1 << 24, n);
}
enum { ORT_OPSET = 26 };
void ort_write(const Fuzz *f, const char *dir) {
    Arena *a = arena_new();
    size_t bytes;
    void *model = graph_onnx(f, a, ORT_OPSET, &bytes);
    int *list = NEW_ARRAY(a, int, f->v.n + 1), n = values_list(f, value_is_input, list);
    mkdir(dir, 0777);
    put(dir, "model.onnx", model, bytes);
    Text t = {0};
    text_puts(&t, "[");
    for (int i = 0; i < n; i++) {
        const Value1 *v = &f->v.v[list[i]];
        int64_t size = 0;
        dtype_bytes(v->dt, v->n, &size);
        put(dir, arena_printf(a, "in_%d.bin", i), v->data, (size_t)size);
        text_printf(&t, "%s{\"name\":\"v%d\",\"type\":\"%s\",\"dims\":[", i ? "," : "", list[i], dtype_name(v->dt));
        for (int k = 0; k < v->rank; k++) text_printf(&t, "%s%lld", k ? "," : "", (long long)v->dim[k]);
        text_puts(&t, "]}");
    }
    text_puts(&t, "]\n");
    put(dir, "in.json", t.s, t.n);
    text_free(&t);
    arena_free(a);
}
const char *ort_compare(Fuzz *f, const char *dir) {
    Arena *a = f->a;
    size_t bytes;
    const char *error = get(a, dir, "error.txt", &bytes);
    if (error) return arena_printf(a, "-%.*s", (int)strcspn(arena_strndup(a, error, bytes), "\n"), error);
    json_error_t je;
    json_t *meta = json_load_file(arena_printf(a, "%s/out.json", dir), 0, &je);
    if (!meta) return "-it was not run";
    int *list = NEW_ARRAY(a, int, f->v.n + 1), n = values_list(f, value_is_output, list);
    for (int i = 0; i < n; i++) {
        const Value1 *v = &f->v.v[list[i]];
        const json_t *o = json_object_get(meta, arena_printf(a, "v%d", list[i])), *dims = json_object_get(o, "dims");
        bool same = o && (int)json_array_size(dims) == v->rank;
        for (int k = 0; k < v->rank && same; k++) same = json_integer_value(json_array_get(dims, (size_t)k)) == v->dim[k];
        if (!same) return arena_printf(a, "v%d has another shape", list[i]);
        const void *data = get(a, dir, arena_printf(a, "v%d.bin", list[i]), &bytes);
        int64_t size = 0;
        dtype_bytes(v->dt, v->n, &size);
        if (size && (!data || (size_t)size != bytes))
            return arena_printf(a, "v%d has %zu bytes, not %lld", list[i], bytes, (long long)size);
        for (int64_t k = 0; k < v->n; k++)
            if (!value_close(v->dt, data, v->data, v->moved, k))
                return arena_printf(a, "v%d[%lld] of %s is %.9g; here it is %.9g", list[i], (long long)k, dtype_name(v->dt),
                                    dtype_get_f(v->dt, data, k), dtype_get_f(v->dt, v->data, k));
    }
    return NULL;
}
