/* SPDX-License-Identifier: Apache-2.0 */
/* frontend_run.h: one import in memory and what it said, for the tests of the frontend. */
#ifndef QN_FRONTEND_RUN_H
#define QN_FRONTEND_RUN_H
#include "frontend/frontend.h"
#include "onnx_build.h"
#include <check.h>
#include <string.h>
#include <time.h>

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})
typedef struct Run { /* one import and what it said */
    Arena *a;
    Diags d;
    Ctx c;
    ImportOptions o;
    Graph *g;
    const char *dir;
} Run;
static inline void run_init(Run *r) {
    *r = (Run){.a = arena_new()};
    r->d.a = r->a;
    r->c = (Ctx){r->a, &r->d};
}
static inline void run_free(Run *r) { arena_free(r->a); }
static inline Graph *run_bytes(Run *r, const void *b, size_t n) {
    r->g = onnx_import_bytes(&r->c, b, n, "m.onnx", r->dir, &r->o);
    return r->g;
}
static inline Graph *run_model(Run *r, OnnxModel *m) {
    size_t n;
    void *b = om_pack(m, &n);
    return run_bytes(r, b, n);
}
static inline char *said_all(Run *r) {
    Text t = {0};
    for (int i = 0; i < r->d.list.n; i++) diag_format(&r->d.list.v[i], &t), text_puts(&t, "\n");
    char *s = arena_strdup(r->a, t.s ? t.s : "");
    text_free(&t);
    return s;
}
#define ck_said(r, part) ck_assert_msg(strstr(said_all(r), part) != NULL, "expected '%s' in:\n%s", part, said_all(r))
#define ck_ok(r)         ck_assert_msg((r)->g && (r)->d.errors == 0, "unexpected errors:\n%s", said_all(r))
#define ck_refused(r)    ck_assert_msg(!(r)->g && (r)->d.errors > 0, "the model was accepted")

/* y = LeakyRelu(x + w): small, yet with an input, an initializer, attributes and two nodes. */
static inline OnnxModel *small_model(Arena *a) {
    OnnxModel *m = om_new(a, 8, 17);
    const float w[] = {1, 2, 3};
    om_input(&m->g, "x", DT_FLOAT32, 2, DIMS(2, 3), NULL);
    om_init(&m->g, "w", DT_FLOAT32, 1, DIMS(3), w, sizeof w);
    om_node(&m->g, "Add", "x w", "s")->name = "adding";
    om_attr_f(a, om_node(&m->g, "LeakyRelu", "s", "y"), "alpha", 0.5f);
    om_output(&m->g, "y", DT_FLOAT32, 2, DIMS(2, 3), NULL);
    return m;
}
static inline Tensor *tensor_named(Graph *g, const char *name) {
    for (int i = 0; i < g->tensors.n; i++)
        if (strcmp(g->tensors.v[i]->name, name) == 0) return g->tensors.v[i];
    return NULL;
}
static inline Node *node_of(Graph *g, const char *op) {
    for (Node *n = g->first; n; n = n->next)
        if (strcmp(n->op->name, op) == 0) return n;
    return NULL;
}
static inline OnnxModel *model_with_everything(Arena *a) {
    OnnxModel *m = small_model(a);
    OnnxGraph body = {.a = a};
    om_attr_ref(a, om_node(&body, "LeakyRelu", "p", "q"), "alpha", 1, "slope");
    Onnx__FunctionProto *f = om_function(m, "local", "Leak", "p", "q", &body, 17);
    f->attribute = NEW_ARRAY(a, char *, 1);
    f->attribute[0] = "slope";
    f->n_attribute = 1;
    Onnx__NodeProto *call = om_node(&m->g, "Leak", "y", "z");
    call->domain = "local";
    om_attr_f(a, call, "slope", 0.25f);
    om_opset(m, "local", 1);
    om_attr_is(a, om_node(&m->g, "Transpose", "z", "zt"), "perm", 2, DIMS(1, 0));
    om_attr_t(a, om_node(&m->g, "Constant", "", "c"), "value", om_tensor(a, "", DT_INT64, 1, DIMS(1), DIMS(6), 8));
    om_node(&m->g, "Reshape", "zt c", "flat");
    om_output(&m->g, "flat", DT_FLOAT32, 1, DIMS(6), NULL);
    return m;
}
static inline double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
#endif
