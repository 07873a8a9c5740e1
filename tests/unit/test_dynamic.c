/* SPDX-License-Identifier: Apache-2.0 */
/* test_dynamic.c: operators with extents that are known at run time only. Each graph is compiled with bounds for its extents N and T, for
 * portable C and for vectors, and run at several sizes; the same graph compiled for just those sizes has to give the same.
 *
 *   GlobalAveragePool(x: float32[N,3,T,5]), N <= 3, T <= 6   at N = 2, T = 4   ==   GlobalAveragePool(x: float32[2,3,4,5])
 */
#include "ir/extent.h"
#include "codegen/target_yaml.h"
#include "passes/passes.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *dynamic_suite(void);
enum { N_MOST = 3, T_MOST = 9, ELEMENTS = 1 << 15, PORTS = 8 };

static const struct {
    const char *name, *text; /* inputs are float32, or int64 with values below 3 */
} rows[] = {
#include "test_dynamic.def"
};

/* N and T behind a bracket or comma stand for numbers. */
static char *with_extents(Arena *a, const char *text, int64_t n, int64_t t) {
    Text out = {0};
    for (const char *s = text; *s; s++) {
        bool extent = (*s == 'N' || *s == 'T') && s > text && (s[-1] == '[' || s[-1] == ',') && (s[1] == ']' || s[1] == ',');
        if (extent) text_printf(&out, "%lld", (long long)(*s == 'N' ? n : t));
        else text_putn(&out, s, 1);
    }
    char *r = arena_strdup(a, out.s);
    text_free(&out);
    return r;
}
/* Marks the axes of the inputs that are N or T. */
static void mark_extents(Graph *g, const char *text) {
    const char *s = strchr(text, '(');
    for (int i = 0, k = 0; *s != ')'; s++) {
        Type *y = i < g->in.n ? &g->in.v[i]->type : NULL;
        bool n = *s == 'N' && (s[-1] == '[' || s[-1] == ','), t = *s == 'T' && (s[-1] == '[' || s[-1] == ',');
        if (*s == '[') k = 0;
        if (*s == ',') k++;
        if (*s == ']') i++;
        if (!y || (!n && !t)) continue;
        if (!y->ext) y->ext = NEW_ARRAY(g->a, Expr *, y->rank);
        y->ext[k] = extent_symbol(g, n ? "N" : "T", 1, n ? N_MOST : T_MOST, g->in.v[i], k);
        y->dim[k] = n ? N_MOST : T_MOST;
    }
}
static Program *program(Ctx *c, const char *text, int64_t n, int64_t t, bool dynamic, const char *target) {
    Graph *g = graph_parse(c, "t.qir", with_extents(c->a, text, n, t));
    if (g && dynamic) mark_extents(g, text);
    Program *p = g ? passes_run(c, g, &(PassOptions){.verify = true, .target = target ? target_load(c, target) : NULL}) : NULL;
    if (!p) diag_print_all(c->d, false);
    return p;
}
typedef struct Outputs {
    void *data[PORTS];
    int64_t dims[PORTS][QN_MAX_RANK];
} Outputs;
static bool run(Ctx *c, Program *p, void *const *in, int64_t n, int64_t t, Outputs *o) {
    const int64_t *dims[PORTS];
    int64_t *out_dims[PORTS];
    for (int i = 0; i < p->g->in.n; i++) {
        const Type *y = &p->g->in.v[i]->type;
        int64_t *d = NEW_ARRAY(c->a, int64_t, y->rank + 1);
        for (int k = 0; k < y->rank; k++)
            d[k] = !y->ext || !y->ext[k] ? y->dim[k] : *extent_find(p->g, y->ext[k]->u.v)->name == 'N' ? n : t;
        dims[i] = d;
    }
    for (int i = 0; i < p->g->out.n; i++) {
        const Type *y = &p->g->out.v[i]->type;
        o->data[i] = arena_alloc(c->a, (size_t)tensor_bytes(p->g->out.v[i]) + 64);
        out_dims[i] = o->dims[i];
        memcpy(o->dims[i], y->dim, sizeof y->dim);
    }
    return program_interpret_dims(c, p, (const void *const *)in, dims, o->data, out_dims);
}
START_TEST(test_row) {
    const char *name = rows[_i / 2].name, *text = rows[_i / 2].text, *target = _i % 2 ? "x86_avx512" : NULL;
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Program *p = program(&c, text, N_MOST, T_MOST, true, target);
    ck_assert_msg(p != NULL, "%s is refused", name);
    void *in[PORTS];
    unsigned seed = 7;
    for (int i = 0; i < p->g->in.n; i++) {
        const Tensor *x = p->g->in.v[i];
        int64_t count = tensor_elements(x);
        ck_assert_int_lt(count, ELEMENTS);
        in[i] = arena_alloc(a, (size_t)tensor_bytes(x) + 64);
        for (int64_t k = 0; k < count; k++) {
            seed = seed * 1103515245u + 12345u;
            if (dtype_is_float(x->type.dt)) dtype_set_f(x->type.dt, in[i], k, (double)((seed >> 8) % 2001) / 1000.0 - 1);
            else dtype_set_i(x->type.dt, in[i], k, x->type.dt == DT_INT64 || x->type.dt == DT_INT32 ? (seed >> 8) % 3 : (seed >> 8) % 200);
        }
    }
    static const int64_t sizes[][2] = {{1, 1}, {1, 5}, {2, 4}, {3, 9}, {2, 7}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int64_t n = sizes[s][0], t = sizes[s][1];
        Outputs got = {.data = {NULL}}, want = {.data = {NULL}};
        if (!strchr(strchr(text, '('), 'T') && s > 2) break;
        Program *q = program(&c, text, n, t, false, NULL);
        ck_assert_msg(q != NULL, "%s is refused for N = %d, T = %d", name, (int)n, (int)t);
        ck_assert_msg(run(&c, p, in, n, t, &got), "%s fails at N = %d, T = %d", name, (int)n, (int)t);
        ck_assert_msg(run(&c, q, in, n, t, &want), "%s compiled for N = %d, T = %d fails", name, (int)n, (int)t);
        for (int i = 0; i < p->g->out.n; i++) {
            const Type *y = &p->g->out.v[i]->type;
            int64_t count = 1;
            for (int k = 0; k < y->rank; k++) {
                ck_assert_msg(got.dims[i][k] == want.dims[i][k], "%s: axis %d of output %d is %d, not %d, at N = %d, T = %d", name, k, i,
                              (int)got.dims[i][k], (int)want.dims[i][k], (int)n, (int)t);
                count *= want.dims[i][k];
            }
            for (int64_t k = 0; k < count; k++) {
                double x = dtype_get_f(y->dt, got.data[i], k), w = dtype_get_f(y->dt, want.data[i], k);
                ck_assert_msg((isnan(x) && isnan(w)) || fabs(x - w) <= 2e-5 + 1e-5 * fabs(w),
                              "%s: element %d of output %d is %g, not %g, at N = %d, T = %d", name, (int)k, i, x, w, (int)n, (int)t);
            }
        }
    }
    arena_free(a);
}
END_TEST

Suite *dynamic_suite(void) {
    Suite *s = suite_create("dynamic");
    TCase *c = tcase_create("dynamic");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, test_row, 0, 2 * (int)(sizeof rows / sizeof *rows));
    suite_add_tcase(s, c);
    return s;
}
