/* SPDX-License-Identifier: Apache-2.0 */
/* test_upgrade.c: old operator forms and what they must become, one line each. The right-hand sides follow ONNX's change log.
 * Graph inputs are x [1,2,4,4] and v [2]; constants print as their elements, attributes (in alphabetical order) when they differ
 * from the default. */
#include "frontend/frontend.h"
#include "onnx_build.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

/* "k:i=2 scales:fs=1,2 mode:s=x axes:is=0,1" */
static void add_attrs(Arena *a, Onnx__NodeProto *n, const char *spec) {
    char *s = arena_strdup(a, spec), *save = NULL;
    for (char *t = strtok_r(s, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
        char *kind = strchr(t, ':'), *value = strchr(t, '=');
        *kind++ = *value++ = 0;
        int64_t is[8], count = 0;
        float fs[8];
        for (char *p = value; *kind != 's' && *p && count < 8; count++) {
            char *end;
            fs[count] = strtof(p, &end);
            is[count] = (int64_t)fs[count];
            p = *end == ',' ? end + 1 : end;
        }
        if (strcmp(kind, "i") == 0) om_attr_i(a, n, t, is[0]);
        if (strcmp(kind, "f") == 0) om_attr_f(a, n, t, fs[0]);
        if (strcmp(kind, "s") == 0) om_attr_s(a, n, t, value);
        if (strcmp(kind, "is") == 0) om_attr_is(a, n, t, count, is);
        if (strcmp(kind, "fs") == 0) om_attr_fs(a, n, t, count, fs);
    }
}
static void put_tensor(Text *t, const Tensor *v) {
    if (!v) {
        text_puts(t, "-");
    } else if (v->data) {
        text_puts(t, v->type.rank ? "[" : "");
        int64_t n = tensor_elements(v);
        for (int64_t i = 0; i < n; i++) text_printf(t, "%s%g", i ? "," : "", dtype_get_f(v->type.dt, v->data, i));
        text_puts(t, v->type.rank ? "]" : "");
        if (v->type.rank > 1) text_printf(t, "@%d", v->type.rank);
    } else {
        text_puts(t, v->is_input || v->is_output ? v->name : "t");
    }
}
static const char *attr_text(Arena *a, const AttrSpec *s, const Attr *v) {
    bool any = s->def.kind == ATTR_NONE;
    if (v->kind == ATTR_INT && (any || v->i != s->def.i)) return arena_printf(a, " %s=%lld", s->name, (long long)v->i);
    if (v->kind == ATTR_FLOAT && (any || v->f != s->def.f)) return arena_printf(a, " %s=%g", s->name, (double)v->f);
    if (v->kind == ATTR_STRING && (any || strcmp(v->s, s->def.s))) return arena_printf(a, " %s=%s", s->name, v->s);
    return NULL;
}
static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }
static void put_attrs(Arena *a, Text *t, const Node *n) {
    Vec(const char *) v = {0};
    for (int k = 0; k < n->op->nattr; k++) {
        const char *s = attr_text(a, &n->op->attr[k], &n->attr[k]);
        if (s) vec_push(a, &v, s);
    }
    if (v.n) qsort(v.v, (size_t)v.n, sizeof *v.v, by_text);
    for (int k = 0; k < v.n; k++) text_puts(t, v.v[k]);
}
static char *put_graph(Arena *a, const Graph *g) {
    Text t = {0};
    for (const Node *n = g->first; n; n = n->next) {
        text_printf(&t, "%s%s(", t.n ? "; " : "", n->op->name);
        for (int i = 0; i < n->nin; i++) text_puts(&t, i ? " " : ""), put_tensor(&t, n->in[i]);
        text_puts(&t, ")");
        put_attrs(a, &t, n);
    }
    char *s = arena_strdup(a, t.s ? t.s : "");
    text_free(&t);
    return s;
}

static const struct Row {
    int opset;
    const char *op, *in, *out, *attrs, *want;
} rows[] = {
    {11, "ReduceMean", "x", "y", "axes:is=2,3 keepdims:i=0", "ReduceMean(x [2,3]) keepdims=0"},
    {17, "ReduceMax", "x", "y", "axes:is=1", "ReduceMax(x [1])"},
    {12, "ReduceSum", "x", "y", "axes:is=1", "ReduceSum(x [1])"},
    {12, "Squeeze", "x", "y", "axes:is=0", "Squeeze(x [0])"},
    {12, "Squeeze", "x", "y", "", "Squeeze(x)"},
    {11, "Unsqueeze", "x", "y", "axes:is=0,5", "Unsqueeze(x [0,5])"},
    {1, "Reshape", "x", "y", "shape:is=2,16 consumed_inputs:is=0", "Reshape(x [2,16])"},
    {9, "Slice", "x", "y", "starts:is=1 ends:is=3 axes:is=2", "Slice(x [1] [3] [2])"},
    {9, "Slice", "x", "y", "starts:is=0,1 ends:is=1,2", "Slice(x [0,1] [1,2])"},
    {9, "TopK", "x", "y,i", "k:i=3 axis:i=1", "TopK(x [3]) axis=1"},
    {10, "Clip", "x", "y", "min:f=0 max:f=6", "Clip(x 0 6)"},
    {10, "Clip", "x", "y", "max:f=6", "Clip(x - 6)"},
    {10, "Pad", "x", "y", "pads:is=0,0,1,1,0,0,1,1", "Pad(x [0,0,1,1,0,0,1,1])"},
    {1, "Pad", "x", "y", "paddings:is=0,0,1,1,0,0,1,1 value:f=2 mode:s=constant", "Pad(x [0,0,1,1,0,0,1,1] 2)"},
    {11, "Split", "x", "y,z", "split:is=1,3 axis:i=2", "Split(x [1,3]) axis=2"},
    {11, "Split", "x", "y,z", "axis:i=2", "Split(x) axis=2 num_outputs=2"},
    {13, "Split", "x", "y,z", "axis:i=2", "Split(x) axis=2 num_outputs=2"},
    {6, "Add", "x v", "y", "", "Add(x v)"},
    {6, "Add", "x v", "y", "broadcast:i=1", "Add(x v)"},
    {6, "Add", "x v", "y", "broadcast:i=1 axis:i=1", "Unsqueeze(v [1,2]); Add(x t)"},
    {6, "Mul", "x c2", "y", "broadcast:i=1 axis:i=-3", "Mul(x [1,2]@3)"},
    {6, "Add", "x v", "y", "broadcast:i=1 axis:i=3", "Add(x v)"},
    {6, "PRelu", "x c2", "y", "", "PRelu(x [1,2]@3)"},
    {7, "PRelu", "x v", "y", "", "PRelu(x v)"},
    {1, "Tile", "x three two", "y", "", "Tile(x [1,1,3,1])"},
    {3, "Concat", "x x", "y", "", "Concat(x x) axis=1"},
    {11, "Softmax", "x", "y", "", "Softmax(x) axis=1 flatten=1"},
    {11, "Softmax", "x", "y", "axis:i=3", "Softmax(x)"},
    {11, "LogSoftmax", "v", "y", "axis:i=0", "LogSoftmax(v)"},
    {13, "Softmax", "x", "y", "axis:i=1", "Softmax(x) axis=1"},
    {7, "Upsample", "x", "y", "scales:fs=1,1,2,2 mode:s=nearest",
     "Resize(x - [1,1,2,2]) coordinate_transformation_mode=asymmetric nearest_mode=floor"},
    {1, "Upsample", "x", "y", "height_scale:f=2 width_scale:f=3 mode:s=bilinear",
     "Resize(x - [1,1,2,3]) coordinate_transformation_mode=asymmetric mode=linear nearest_mode=floor"},
    {9, "Upsample", "x half", "y", "", "Resize(x - [1,1,0.5,0.5]) coordinate_transformation_mode=asymmetric nearest_mode=ceil"},
    {10, "Resize", "x half", "y", "mode:s=linear",
     "Resize(x - [1,1,0.5,0.5]) coordinate_transformation_mode=asymmetric mode=linear nearest_mode=ceil"},
    {11, "Resize", "x none half", "y", "", "Resize(x - [1,1,0.5,0.5])"},
    {9, "Dropout", "x", "y", "ratio:f=0.3", "Dropout(x)"},
    {9, "Dropout", "x", "y,k", "", "Dropout(x); CastLike(t x)"},
    {5, "Cast", "x", "y", "to:s=INT64", "Cast(x) to=7"},
    {10, "Scatter", "x i4 x", "y", "axis:i=1", "ScatterElements(x [0]@4 x) axis=1"},
    {1, "GlobalLpPool", "x", "y", "p:f=3", "GlobalLpPool(x) p=3"},
    {6, "Gemm", "m m v4", "y", "broadcast:i=1 transA:i=1", "Gemm(m m v4) transA=1"},
    {8, "BatchNormalization", "x v v v v", "y", "spatial:i=1 epsilon:f=0.5", "BatchNormalization(x v v v v) epsilon=0.5"},
    {6, "BatchNormalization", "x v v v v", "y,-,-,-,-", "is_test:i=1 epsilon:f=0.5", "BatchNormalization(x v v v v) epsilon=0.5"},
    {19, "GridSample", "x g", "y", "mode:s=bilinear", "GridSample(x g)"},
    {1, "Affine", "x", "y", "alpha:f=2 beta:f=3", "Mul(x 2); Add(t 3); Identity(t)"},
};

static void row_run(const struct Row *row, bool must) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    ImportOptions o = {0};
    OnnxModel *m = om_new(a, 7, row->opset);
    om_input(&m->g, "x", DT_FLOAT32, 4, DIMS(1, 2, 4, 4), NULL);
    om_input(&m->g, "v", DT_FLOAT32, 1, DIMS(2), NULL);
    om_input(&m->g, "v4", DT_FLOAT32, 1, DIMS(4), NULL);
    om_input(&m->g, "m", DT_FLOAT32, 2, DIMS(4, 4), NULL);
    om_input(&m->g, "g", DT_FLOAT32, 4, DIMS(1, 3, 3, 2), NULL);
    om_init(&m->g, "c2", DT_FLOAT32, 1, DIMS(2), (float[]){1, 2}, 8);
    om_init(&m->g, "half", DT_FLOAT32, 1, DIMS(4), (float[]){1, 1, 0.5f, 0.5f}, 16);
    om_init(&m->g, "none", DT_FLOAT32, 1, DIMS(0), "", 0);
    om_init(&m->g, "two", DT_FLOAT32, 1, DIMS(1), (float[]){2}, 4);
    om_init(&m->g, "three", DT_FLOAT32, 1, DIMS(1), (float[]){3}, 4);
    om_init(&m->g, "i4", DT_INT64, 4, DIMS(1, 1, 1, 1), DIMS(0), 8);
    char *out = arena_strdup(a, row->out);
    for (char *p = out; *p; p++)
        if (*p == ',') *p = ' ';
    add_attrs(a, om_node(&m->g, row->op, row->in, out), row->attrs);
    for (const char *p = out; *p; p++)
        if (*p != ' ' && *p != '-') om_output(&m->g, arena_strndup(a, p, 1), 0, -1, NULL, NULL);
    size_t n;
    void *b = om_pack(m, &n);
    Graph *g = onnx_import_bytes(&c, b, n, "old.onnx", NULL, &o);
    ck_assert_msg(g || !must, "%s of opset %d: %s", row->op, row->opset, d.list.n ? d.list.v[0].text : "");
    if (g) ck_assert_str_eq(put_graph(a, g), row->want);
    arena_free(a);
}
START_TEST(old_form) { row_run(&rows[_i], true); }
END_TEST

/* What cannot be carried over is refused with a reason, not guessed. */
START_TEST(old_form_refused) {
    static const struct Row bad[] = {
        {8, "BatchNormalization", "x v v v v", "y", "spatial:i=0", "spatial=0"},
        {6, "Add", "x v", "y", "broadcast:i=1 axis:i=4", "does not place"},
        {5, "Cast", "x", "y", "to:s=LONG", "'LONG' is unknown"},
        {9, "Slice", "x", "y", "starts:f=1", "another type"},
        {1, "Tile", "x v v", "y", "", "must be constants"},
        {1, "GlobalLpPool", "x", "y", "p:f=2.5", "not a whole number"},
    };
    const struct Row *row = &bad[_i];
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    OnnxModel *m = om_new(a, 7, row->opset);
    om_input(&m->g, "x", DT_FLOAT32, 4, DIMS(1, 2, 4, 4), NULL);
    om_input(&m->g, "v", DT_FLOAT32, 1, DIMS(2), NULL);
    add_attrs(a, om_node(&m->g, row->op, row->in, row->out), row->attrs);
    om_output(&m->g, "y", 0, -1, NULL, NULL);
    size_t n;
    void *b = om_pack(m, &n);
    ck_assert_ptr_null(onnx_import_bytes(&c, b, n, "old.onnx", NULL, &(ImportOptions){0}));
    ck_assert_msg(strstr(d.list.v[0].text, row->want) != NULL, "%s", d.list.v[0].text);
    arena_free(a);
}
END_TEST

Suite *upgrade_suite(void) {
    Suite *s = suite_create("upgrade");
    TCase *t = tcase_create("forms");
    tcase_add_loop_test(t, old_form, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_loop_test(t, old_form_refused, 0, 6);
    suite_add_tcase(s, t);
    return s;
}
