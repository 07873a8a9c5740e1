/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_model.c: compile, run, verify. */
#define _GNU_SOURCE
#include "ir/list.h"
#include "bench.h"
#include "verify.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cmd_compile(Ctx *c, Options *o) {
    double t0 = now();
    if (o->x.mapping && (o->x.layer || o->instrument || !mappings_of_model(c, o->x.mapping))) return compile_mapping(c, o);
    if (o->instrument || o->x.layer || o->x.arch)
        return diag_error(c->d, NO_LOC, "--instrument, --layer and --arch are for one layer by its mapping; add --mapping FILE"),
               EXIT_USAGE;
    DataSet set = {0}; /* binds dimensions */
    if (o->data.n && !bench_data(c, o, &set)) return EXIT_REFUSED;
    Program *p = model_build(c, o, o->model);
    Emitted e = {0};
    HalfError error = {0};
    const char *id = model_id(c, o);
    if (!p || (o->pass.fast_f16 && !half_error(c, o, p, &error))) return EXIT_REFUSED;
    o->half_error = &error;
    if (!model_emit(c, o, p, id, o->output, &e)) return EXIT_REFUSED;
    fprintf(stderr,
            "%s: %d kernels, %lld MACs; C text %lld bytes, weights %lld bytes, arena %lld bytes (lower bound %lld, largest scratch %lld); "
            "%.2f s\n",
            id, p->k.n, (long long)p->macs, (long long)e.text_bytes, (long long)p->weights_bytes, (long long)p->arena_bytes,
            (long long)p->lower_bound, (long long)p->scratch_bytes, now() - t0);
    if (o->pass.fast_f16) {
        Text t = {0};
        half_error_print(&t, &error);
        fprintf(stderr, "%s: %s\n", id, t.s);
        text_free(&t);
    }
    return EXIT_DONE;
}

bool runner_open(Ctx *c, Options *o, Runner *r) {
    r->id = model_id(c, o);
    r->p = model_build(c, o, o->model);
    if (!r->p || o->interpret) return r->p != NULL;
    Emitted e = {0};
    r->dir = temp_dir(c);
    if (!r->dir) return false;
    r->so = arena_printf(c->a, "%s/model.so", r->dir);
    return model_emit(c, o, r->p, r->id, r->dir, &e) && exec_build(c, o, r->dir, &e, &r->id, 1, r->so);
}
void runner_close(Runner *r) {
    if (r->dir) remove_dir(r->dir);
    r->dir = NULL;
}
bool runner_call(Ctx *c, const Options *o, const Runner *r, const void *const *in, int64_t *const *in_dims, void *const *out,
                 int64_t *const *out_dims) {
    const int64_t *const *dims = (const int64_t *const *)in_dims;
    return o->interpret ? program_interpret_dims(c, r->p, in, dims, out, out_dims)
                        : exec_call(c, r->so, r->id, r->p, in, dims, out, out_dims);
}
int64_t **runner_dims(Ctx *c, const Graph *g, const Value *in) {
    int64_t **dims = dims_new(c->a, g->in.n, g->in.v), *known = NEW_ARRAY(c->a, int64_t, g->extent.n + 1);
    for (int i = 0; i < g->extent.n; i++) known[i] = g->extent.v[i]->hi;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < g->in.n; i++) {
            const Type *t = &g->in.v[i]->type;
            if (in[i].type.wrap && in[i].data) dims[i] = in[i].dims;
            for (int k = 0; t->ext && k < t->rank; k++) {
                const Extent *x = t->ext[k] ? extent_find(g, t->ext[k]->u.v) : NULL;
                if (x && in[i].data && pass == 0) known[x->v->id] = dims[i][k] = in[i].type.dim[k];
                else if (x && !in[i].data) dims[i][k] = known[x->v->id];
            }
        }
    return dims;
}
void **runner_outputs(Ctx *c, const Graph *g) {
    void **out = NEW_ARRAY(c->a, void *, g->out.n + 1);
    for (int i = 0; i < g->out.n; i++) out[i] = arena_alloc(c->a, (size_t)tensor_bytes(g->out.v[i]) + 64);
    return out;
}

/* ---- run */
static bool read_named_inputs(Ctx *c, Options *o, Value *in, const Graph *g) {
    for (int i = 0; i < o->input.n; i++) {
        const Named *nv = &o->input.v[i];
        int at = -1;
        for (int k = 0; k < g->in.n; k++)
            if (strcmp(g->in.v[k]->name, nv->name) == 0) at = k;
        if (at < 0) {
            diag_error(c->d, NO_LOC, "--input %s: the model has no input of that name; `quern inspect` lists them", nv->name);
            continue;
        }
        size_t n = strlen(nv->value);
        bool npy = n > 4 && strcmp(nv->value + n - 4, ".npy") == 0;
        if (npy) npy_read(c, nv->value, &in[at]);
        else onnx_read_value(c, nv->value, port_type(g->in.v[at]), &in[at]);
    }
    return c->d->errors == 0;
}
static bool check_input(Ctx *c, const Tensor *t, Value *v, const char *where) {
    if (value_fit(v, port_type(t))) return true;
    Text got = {0}, want = {0};
    type_print(&v->type, &got), type_print(port_type(t), &want);
    diag_error(c->d, (Loc){where, -1, NULL, NULL}, "input '%s' is %s, the model expects %s", t->name, got.s, want.s);
    text_free(&got), text_free(&want);
    return false;
}
static void print_value(Ctx *c, const Value *v) {
    Text t = {0};
    if (v->type.wrap) {
        Values parts = {0};
        value_tensors(c->a, v, &parts);
        type_print(&v->type, &t);
        printf("%s: %s", v->name, t.s);
        text_free(&t);
        if (v->type.wrap->kind == WRAP_OPTIONAL) puts(v->dims[0] ? " with a value" : " without a value");
        else printf(" of %lld\n", (long long)v->dims[0]);
        for (int i = 0; i < parts.n && i < 32; i++) print_value(c, &parts.v[i]);
        if (parts.n > 32) puts("...");
        return;
    }
    type_print(&v->type, &t);
    printf("%s: %s =", v->name, t.s);
    int64_t n;
    type_elements(&v->type, &n);
    for (int64_t i = 0; i < n && i < 32; i++) {
        t.n = 0;
        if (v->type.dt == DT_STRING) {
            const char *b = v->data;
            int64_t at[2];
            memcpy(at, b + 8 * i, sizeof at);
            text_printf(&t, "\"%.*s\"", (int)(at[1] - at[0]), b + at[0]);
        } else if (dtype_is_float(v->type.dt)) text_float(&t, dtype_get_f(v->type.dt, v->data, i), v->type.dt == DT_FLOAT64 ? 64 : 32);
        else text_printf(&t, "%lld", (long long)dtype_get_i(v->type.dt, v->data, i));
        printf(" %s", t.s);
    }
    puts(n > 32 ? " ..." : "");
    text_free(&t);
}
int cmd_run(Ctx *c, Options *o) {
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = onnx_import(c, o->model, &probe);
    if (!g) return EXIT_REFUSED;
    Value *in = NEW_ARRAY(c->a, Value, g->in.n + 1);
    if (!read_named_inputs(c, o, in, g) || !model_bind_dims(c, o, o->model, in, g->in.n) || !model_bind_values(c, o, o->model, in, g->in.n))
        return EXIT_REFUSED;
    Runner r = {0};
    int status = EXIT_REFUSED;
    if (!runner_open(c, o, &r)) goto done;
    g = r.p->g;
    const void **data = NEW_ARRAY(c->a, const void *, g->in.n + 1);
    bool ok = true;
    for (int i = 0; i < g->in.n; i++) {
        if (in[i].data && !check_input(c, g->in.v[i], &in[i], o->model)) ok = false;
        data[i] = in[i].data ? in[i].data : arena_alloc(c->a, (size_t)tensor_bytes(g->in.v[i]) + 64);
    }
    void **out = runner_outputs(c, g);
    int64_t **out_dims = dims_new(c->a, g->out.n, g->out.v);
    if (!ok || !runner_call(c, o, &r, data, runner_dims(c, g, in), out, out_dims)) goto done;
    if (o->output_dir && mkdir(o->output_dir, 0777) && errno != EEXIST) {
        diag_error(c->d, (Loc){o->output_dir, -1, NULL, NULL}, "cannot create the folder: %s", strerror(errno));
        goto done;
    }
    status = EXIT_DONE;
    Map *used = map_new(c->a);
    for (int i = 0; i < g->out.n; i++) {
        Value v = output_value(g->out.v[i], out[i], out_dims[i]);
        const char *stem = o->output_dir ? arena_printf(c->a, "%s/%s", o->output_dir, c_name(c->a, used, v.name, "output")) : NULL;
        if (!stem) print_value(c, &v);
        else if (v.type.wrap ? !onnx_write_value(c, arena_printf(c->a, "%s.pb", stem), &v)
                             : !npy_write(c, arena_printf(c->a, "%s.npy", stem), &v))
            status = EXIT_REFUSED;
    }
done:
    runner_close(&r);
    return status;
}

/* ---- verify */
/* One tensor of output i, which may be all of it. */
static bool verify_tensor(Ctx *c, const Options *o, const Graph *g, const DataSet *set, int i, const Value *got, Value *want) {
    Loc l = {set->dir, -1, NULL, NULL};
    int64_t count;
    if (!type_elements(&got->type, &count) || !value_fit(want, &got->type)) {
        Text a = {0}, b = {0};
        type_print(&got->type, &a), type_print(&want->type, &b);
        diag_error(c->d, l, "output '%s' is %s, the stored one is %s", got->name, a.s, b.s);
        text_free(&a), text_free(&b);
        return false;
    }
    DType dt = got->type.dt;
    if (dt == DT_STRING) {
        int64_t at = strings_differ(count, got->data, want->data);
        if (!o->quiet) printf("%s: output %d '%s': %s\n", set->dir, i, got->name, at < 0 ? "ok" : "WRONG");
        return at < 0 || diag_error(c->d, l, "output '%s' differs: string %lld is not the stored one", got->name, (long long)at);
    }
    Compared cmp = compare_values(dt, count, got->data, want->data, tolerance_default(g, dt, o->atol, o->rtol));
    if (!o->quiet)
        printf(o->pass.fast_f16 && cmp.largest > 0
                   ? "%s: output %d '%s': %s, largest difference %.3g (allowed %.3g), %.3g of the largest value\n"
                   : "%s: output %d '%s': %s, largest difference %.3g (allowed %.3g)\n",
               set->dir, i, got->name, cmp.ok ? "ok" : "WRONG", cmp.max_abs, cmp.max_allowed, cmp.max_abs / cmp.largest);
    return cmp.ok ||
           diag_error(c->d, l,
                      "output '%s' differs: element %lld is %.9g, expected %.9g (difference %.3g, allowed %.3g); %lld of %lld elements "
                      "are wrong",
                      got->name, (long long)cmp.at, dtype_get_f(dt, got->data, cmp.at), dtype_get_f(dt, want->data, cmp.at), cmp.max_abs,
                      cmp.max_allowed, (long long)cmp.bad, (long long)count);
}
static bool verify_value(Ctx *c, const Options *o, const Graph *g, const DataSet *set, int i, const Value *got) {
    Value *want = &set->out.v[i];
    Values x = {0}, y = {0};
    bool ok = true;
    if (!got->type.wrap) return verify_tensor(c, o, g, set, i, got, want);
    if (!wrap_same_kind(&got->type, &want->type) || memcmp(got->dims, want->dims, (size_t)want->ndims * sizeof *want->dims) != 0)
        return diag_error(c->d, (Loc){set->dir, -1, NULL, NULL}, "output '%s', %s, has other lengths or extents than the stored %s",
                          got->name, list_type_words(c->a, got), list_type_words(c->a, want));
    value_tensors(c->a, got, &x), value_tensors(c->a, want, &y);
    for (int k = 0; k < x.n && k < y.n; k++) ok &= verify_tensor(c, o, g, set, i, &x.v[k], &y.v[k]);
    return ok;
}
bool verify_set(Ctx *c, const Options *o, const Runner *r, const DataSet *set) {
    Graph *g = r->p->g;
    Loc l = {set->dir, -1, NULL, NULL};
    if (set->in.n < g->in.n) return diag_error(c->d, l, "holds %d inputs, the model has %d", set->in.n, g->in.n);
    const void **data = NEW_ARRAY(c->a, const void *, g->in.n + 1);
    bool ok = true;
    for (int i = 0; i < g->in.n; i++) {
        ok &= check_input(c, g->in.v[i], &set->in.v[i], set->dir);
        data[i] = set->in.v[i].data;
    }
    void **out = runner_outputs(c, g);
    int64_t **out_dims = dims_new(c->a, g->out.n, g->out.v);
    if (!ok || !runner_call(c, o, r, data, runner_dims(c, g, set->in.v), out, out_dims)) return false;
    for (int i = 0; i < set->out.n && i < g->out.n; i++) {
        Value got = output_value(g->out.v[i], out[i], out_dims[i]);
        ok &= verify_value(c, o, g, set, i, &got);
    }
    return ok;
}
/* Whether a model with run-time extents takes the set as it is. */
static bool fits_program(const Runner *r, DataSet *set) {
    const Graph *g = r->p ? r->p->g : NULL;
    bool ok = g && g->extent.n && set->in.n >= g->in.n;
    for (int i = 0; ok && i < g->in.n; i++) ok = value_fit(&set->in.v[i], port_type(g->in.v[i]));
    return ok;
}
/* Whether what extents follow from, and the run-time extents of the outputs, are within the bounds that an earlier set gave. */
static bool bounds_fit(const Runner *r, const DataSet *set) {
    const Graph *g = r->p ? r->p->g : NULL;
    if (g && !model_values_fit(g, set->in.v, set->in.n)) return false;
    for (int i = 0; g && i < g->out.n && i < set->out.n; i++) {
        const Type *t = &g->out.v[i]->type, *v = &set->out.v[i].type;
        for (int k = 0; t->ext && t->rank == v->rank && k < t->rank; k++)
            if (t->ext[k] && v->dim[k] > t->dim[k]) return false;
    }
    return true;
}
int cmd_verify(Ctx *c, Options *o) {
    int passed = 0, failed = 0;
    Runner r = {0};
    DataSet *last = NULL, *first = NULL;
    Options user = *o;
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = onnx_import(c, o->model, &probe);
    if (!g) return EXIT_REFUSED;
    for (int i = 0; i < o->data.n; i++) {
        char **dirs;
        int n;
        if (!dataset_find(c, o->data.v[i], &dirs, &n)) {
            failed++;
            continue;
        }
        for (int k = 0; k < n; k++) {
            DataSet *set = NEW(c->a, DataSet);
            bool ok = dataset_read(c, dirs[k], g, set);
            if (ok && !(last && bounds_fit(&r, set) && (dataset_same_shapes(last, set) || fits_program(&r, set)))) {
                runner_close(&r);
                r = (Runner){0};
                Options mine = user;
                ok = model_bind_set(c, &mine, set) && runner_open(c, &mine, &r);
                last = ok ? set : NULL;
                if (!ok) {
                    runner_close(&r);
                    puts("verify: the model was not built");
                    return EXIT_REFUSED;
                }
            }
            bool same = ok && verify_set(c, o, &r, set);
            if (ok && o->per_node) same &= verify_nodes(c, &user, set);
            if (ok && !same && o->bisect && !first) first = set;
            passed += same, failed += !same;
        }
    }
    runner_close(&r);
    if (o->bisect && !first) printf("bisect: nothing to look for: all data sets agree\n");
    if (first) verify_bisect(c, &user, first);
    printf("verify: %d data sets agree, %d do not\n", passed, failed);
    return failed ? EXIT_REFUSED : EXIT_DONE;
}
