/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_bench.c: builds a model with the host's compiler, times it in a child process, and says how that compares with what this
 * machine can do: multiply-adds at the measured peak, bytes at the measured bandwidth of the level that holds them.
 *
 *   quern bench net.onnx --target host   ->   time: median 35.2 ms … 51.3 GMAC/s, 93 % of the peak; roofline 28.1 ms, 80 % reached
 *
 * Roofline of a kernel: the larger of MACs / peak (those that it does: Winograd's algorithm has fewer) and bytes / bandwidth. Read bytes go
 * at the read bandwidth of their level, written ones at what the triad leaves for its writes. Operands are in the level that holds those of
 * the kernel together. Constants are read once per run, so what a cache smaller than all constants and the arena together can hold of them
 * at best counts at that cache's bandwidth, the rest at the next one's; of a table only the rows that are looked up count. Times of
 * kernels are the fastest of all runs. Kernels of a branch that is not taken do not count, those of a loop as often as they run.
 */
#define _GNU_SOURCE
#include "bench.h"
#include "ir/ops/blocked.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_name[] = {"L1", "L2", "L3", "DRAM"};

/* ---- data: from a test data set, else seeded noise */
static uint32_t next_random(uint32_t *s) { return *s = *s * 1664525u + 1013904223u, *s >> 8; }
/* Whole numbers are 0 or 1: valid as indices, masks and token numbers alike. */
static void fill(void *data, DType dt, int64_t n, uint32_t *seed) {
    if (dtype_info[dt].cls == CLS_CPLX) return;
    if (dt == DT_STRING) { /* empty ones */
        for (int64_t i = 0, end = 8 * (n + 1); i <= n; i++) memcpy((char *)data + 8 * i, &end, 8);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint32_t r = next_random(seed);
        if (dtype_is_float(dt)) dtype_set_f(dt, data, i, (double)r / (1 << 23) - 1);
        else if (dtype_info[dt].bits >= 8) dtype_set_i(dt, data, i, r & 1);
    }
}
static void *seeded(Ctx *c, const Tensor *t, uint32_t *seed) {
    char *data = arena_alloc(c->a, (size_t)tensor_bytes(t) + 64);
    memset(data, 0, (size_t)tensor_bytes(t) + 64);
    if (!t->packed) fill(data, t->type.dt, tensor_elements(t), seed);
    Leaves leaf = {0};
    int64_t words, n, bytes, at = 0;
    if (t->packed && !wrap_leaves(c->a, t->packed, &leaf, &words, &bytes)) BUG("the type of '%s' is not known", t->name);
    for (int i = 0; i < leaf.n; i++) { /* of the largest value, one after the other */
        const Type *y = &leaf.v[i].type;
        if (!type_elements(y, &n) || !dtype_bytes(y->dt, n, &bytes)) BUG("the type of '%s' is not known", t->name);
        fill(data + at, y->dt, n, seed);
        at = (at + (y->dt == DT_STRING ? 8 * (n + 1) : bytes) + 15) / 16 * 16;
    }
    return data;
}
bool bench_data(Ctx *c, Options *o, DataSet *set) {
    char **dirs;
    int n;
    ImportOptions probe = o->import;
    probe.free_dims = true;
    Graph *g = o->data.n ? onnx_import(c, o->model, &probe) : NULL;
    if (!g) return !o->data.n;
    return dataset_find(c, o->data.v[0], &dirs, &n) && dataset_read(c, dirs[0], g, set) && model_bind_set(c, o, set);
}
const void **bench_inputs(Ctx *c, const Graph *g, DataSet *set) {
    const void **in = NEW_ARRAY(c->a, const void *, g->in.n + 1);
    uint32_t seed = 1;
    bool ok = true;
    if (set->dir && set->in.n < g->in.n)
        ok = diag_error(c->d, (Loc){set->dir, -1, NULL, NULL}, "holds %d inputs, the model has %d", set->in.n, g->in.n);
    for (int i = 0; i < g->in.n && ok; i++) {
        in[i] = set->dir ? set->in.v[i].data : seeded(c, g->in.v[i], &seed);
        if (set->dir && !value_fit(&set->in.v[i], port_type(g->in.v[i])))
            ok = diag_error(c->d, (Loc){set->dir, -1, NULL, NULL}, "input '%s' has another type or shape than the model expects",
                            g->in.v[i]->name);
    }
    return ok ? in : NULL;
}

/* ---- build */
static bool bench_build(Ctx *c, const Options *o, BenchJob *j) {
    Emitted e = {0}, machine = {0};
    Options probe = *o;
    Text t = {0};
    j->so = arena_printf(c->a, "%s/model.so", j->dir), j->machine_so = arena_printf(c->a, "%s/machine.so", j->dir);
    if (!model_emit(c, o, j->p, j->id, j->dir, &e)) return false;
    if (j->per_layer) {
        const char *hook = arena_printf(c->a, "%s_bench_hook.c", j->id);
        if (!bench_hook_write(c, j->dir, j->id, hook)) return false;
        vec_push(c->a, &e.sources, hook);
    }
    bench_machine_text(&t, j->target);
    bool ok = file_write_whole(c, arena_printf(c->a, "%s/quern_machine.c", j->dir), t.s, t.n);
    text_free(&t);
    vec_push(c->a, &machine.sources, "quern_machine.c");
    probe.cflags = "-O3 -ffp-contract=fast";
    return ok && exec_build(c, o, j->dir, &e, &j->id, 1, j->so) && exec_build(c, &probe, j->dir, &machine, &j->id, 1, j->machine_so);
}

/* ---- what a kernel could need */
typedef struct Layer {
    const Kernel *k;
    int64_t macs, done;     /* of the operators, and those that the kernel does: fewer by Winograd's algorithm */
    int64_t read, written;  /* bytes of tensors; scratch is not counted */
    int level;              /* of most of its bytes */
    double compute, memory; /* seconds at the peak, and at the bandwidths */
} Layer;

static int level_for(const BenchMachine *m, int64_t bytes) {
    int l = BENCH_L1;
    while (l < BENCH_DRAM && bytes > m->bytes[l]) l++;
    return l;
}
/* Seconds per written byte: the triad's time less that of its two reads, at least a read's. */
static double write_cost(const BenchMachine *m, int l) {
    double w = 3 / m->triad[l] - 2 / m->read[l];
    return w > 1 / m->read[l] ? w : 1 / m->read[l];
}
static int64_t touched(const Buf *b, const Tensor *base) {
    int64_t n = dtype_info[b->dt].bits, most = tensor_bytes(base);
    for (int d = 0; d < b->rank; d++)
        if (!b->stride[d] || !mul_ok(n, b->dim[d], &n)) n = b->stride[d] ? INT64_MAX : n;
    return (n + 7) / 8 < most ? (n + 7) / 8 : most;
}
/* A tile of m x m outputs takes (m+2)^2 products instead of 9 m^2; tiles at the edge are whole. */
static int64_t macs_done(const Kernel *k) {
    int64_t macs = k->macs > 0 ? k->macs : 0;
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.v[i];
        if (strcmp(n->op->name, "WinogradBlocked") != 0) continue;
        const int64_t *out = n->attr[WGD_OUT].is, m = n->attr[WGD_TILE].is[0], side = m + 2;
        int64_t own = n->op->macs(n), tiles = ((out[0] + m - 1) / m) * ((out[1] + m - 1) / m);
        if (own > 0) macs -= own - (int64_t)((double)own * (double)(side * side * tiles) / (9.0 * (double)(out[0] * out[1])));
    }
    return macs;
}
/* Of a table whose rows are looked up: as many as the result has. */
static int64_t looked_up(const Kernel *k, const Tensor *base) {
    for (int i = 0; i < k->nodes.n; i++) {
        const Node *n = k->nodes.v[i];
        const Tensor *t = strncmp(n->op->name, "Gather", 6) == 0 ? n->in[0] : NULL;
        if (t && tensor_base(t) == base) return tensor_elements(n->out[0]) * dtype_info[t->type.dt].bits / 8;
    }
    return INT64_MAX;
}
static bool in_halves(const Kernel *k) {
    return k->nodes.n && k->nodes.v[0]->nin && k->nodes.v[0]->in[0] && k->nodes.v[0]->in[0]->type.dt == DT_HALF;
}
static Layer layer_of(const BenchJob *j, const BenchMachine *m, const Kernel *k, double times) {
    Layer l = {.k = k, .macs = k->macs > 0 ? k->macs : 0, .done = macs_done(k)};
    int64_t constant = 0, all = j->p->weights_bytes + j->p->arena_bytes;
    for (int i = 0; i < k->f->param.n; i++) {
        const Buf *b = k->f->param.v[i];
        const Tensor *t = tensor_base(k->arg.v[i]);
        if (!t) continue;
        int64_t n = min_i64(touched(b, t), looked_up(k, t));
        if (b->written) l.written += n;
        else if (t->store == ST_CONST) constant += n;
        else l.read += n;
    }
    int near = level_for(m, l.read + l.written), far = level_for(m, all);
    l.compute = (double)l.done / (m->half > 0 && in_halves(k) ? m->half : m->peak);
    l.memory = (double)l.read / m->read[near] + (double)l.written * write_cost(m, near);
    double kept = far > BENCH_L1 ? (double)m->bytes[far - 1] / (double)all : 0;
    l.memory += (double)constant * (kept / m->read[far > BENCH_L1 ? far - 1 : far] + (1 - kept) / m->read[far]);
    l.level = constant > l.read + l.written ? far : near;
    l.read += constant;
    l.compute *= times, l.memory *= times;
    l.macs = (int64_t)((double)l.macs * times), l.done = (int64_t)((double)l.done * times);
    l.read = (int64_t)((double)l.read * times), l.written = (int64_t)((double)l.written * times);
    return l;
}
static double roofline(const Layer *l) { return l->compute > l->memory ? l->compute : l->memory; }

/* ---- output */
typedef struct Report {
    const BenchJob *j;
    const BenchResult *r;
    bool table; /* of the kernels */
    Layer *layer;
    double roofline; /* seconds of the whole model */
    int64_t macs, done;
    double compute;         /* seconds of all products at the peaks of their types */
    const HalfError *error; /* of --fast-f16, or NULL */
} Report;

static const char *ops_of(Arena *a, const Kernel *k) {
    Text t = {0};
    for (int i = 0; i < k->nodes.n && i < 4; i++) text_printf(&t, "%s%s", i ? "+" : "", k->nodes.v[i]->op->name);
    if (k->nodes.n > 4) text_puts(&t, "+…");
    char *s = arena_strndup(a, t.s ? t.s : "", t.n);
    text_free(&t);
    return s;
}
static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static void print_text(Ctx *c, const Report *p) {
    const BenchResult *r = p->r;
    const BenchMachine *m = &r->machine;
    const Program *g = p->j->p;
    printf("model: %s, %d kernels, %lld MACs, weights %lld bytes, arena %lld bytes; target %s, %d thread%s\n", p->j->id, g->k.n,
           (long long)g->macs, (long long)g->weights_bytes, (long long)g->arena_bytes, p->j->target->name, m->threads,
           m->threads > 1 ? "s" : "");
    printf("machine: %.1f GMAC/s (%d lanes)", m->peak * 1e-9, m->lanes);
    if (m->half > 0) printf(", %.1f in half precision", m->half * 1e-9);
    printf("; GB/s read and triad:");
    for (int l = 0; l < BENCH_LEVELS; l++) printf("%s %s %.1f, %.1f", l ? ";" : "", level_name[l], m->read[l] * 1e-9, m->triad[l] * 1e-9);
    printf("\ntime: median %.6g ms, minimum %.6g ms of %d samples of %d run%s; %.4g GMAC/s, %.1f %% of the peak\n", r->median * 1e3,
           r->least * 1e3, r->runs, r->calls, r->calls > 1 ? "s" : "", (double)p->macs / r->median * 1e-9, percent(p->compute, r->median));
    if (p->done != p->macs)
        printf("multiply-adds done: %lld, with Winograd's algorithm; peak and roofline count these\n", (long long)p->done);
    printf("roofline: %.6g ms; the median reaches %.1f %% of it, the minimum %.1f %%", p->roofline * 1e3, percent(p->roofline, r->median),
           percent(p->roofline, r->least));
    if (m->threads == 1) printf("; processor time: median %.6g ms, %.1f %%", r->cpu * 1e3, percent(p->roofline, r->cpu));
    puts("");
    if (p->error) {
        Text t = {0};
        half_error_print(&t, p->error);
        puts(t.s);
        text_free(&t);
    }
    if (g->g->extent.n) puts("some extents are known at run time only: MACs, bytes and shares are those of the largest");
    if (!p->table) return;
    double sum = 0;
    for (int i = 0; i < g->k.n; i++) sum += r->layer[3 * i];
    printf("\n%-28s %-30s %12s %12s %10s %6s %8s %6s %6s %-4s %10s %6s\n", "kernel", "ops", "MACs", "bytes", "us", "share", "GMAC/s",
           "peak%", "bandw%", "of", "roofline us", "reach%");
    for (int i = 0; i < g->k.n; i++) {
        const Layer *l = &p->layer[i];
        double t = r->layer[3 * i];
        if (r->layer[3 * i + 2] == 0) {
            printf("%-28.28s %-30.30s %12s\n", l->k->f->name, ops_of(c->a, l->k), "not run");
            continue;
        }
        printf("%-28.28s %-30.30s %12lld %12lld %10.2f %5.1f%% %8.2f %6.1f %6.1f %-4s %10.2f %6.1f\n", l->k->f->name, ops_of(c->a, l->k),
               (long long)l->macs, (long long)(l->read + l->written), t * 1e6, percent(t, sum), (double)l->macs / t * 1e-9,
               percent(l->compute, t), percent(l->memory, t), level_name[l->level], roofline(l) * 1e6, percent(roofline(l), t));
    }
    printf("sum of the kernels: %.6g ms (fastest of %d runs), roofline %.6g ms\n", sum * 1e3, r->layer_runs, p->roofline * 1e3);
}
static json_t *text_json(const char *s) {
    json_t *j = json_string(s);
    return j ? j : json_string("?");
}
static json_t *layer_json(Ctx *c, const Layer *l, const double *time) { /* fastest, median, how often */
    double t = time[0], median = time[1];
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:s, s:f, s:f}", "name", text_json(l->k->f->name), "ops",
                     text_json(ops_of(c->a, l->k)), "runs", (json_int_t)time[2], "macs", (json_int_t)l->macs, "macs_done",
                     (json_int_t)l->done, "bytes_read", (json_int_t)l->read, "bytes_written", (json_int_t)l->written, "minimum_ms", t * 1e3,
                     "median_ms", median * 1e3, "macs_per_s", t > 0 ? (double)l->macs / t : 0, "percent_of_peak", percent(l->compute, t),
                     "percent_of_bandwidth", percent(l->memory, t), "level", level_name[l->level], "roofline_ms", roofline(l) * 1e3,
                     "percent_of_roofline", percent(roofline(l), t));
}
static json_t *machine_json(const BenchMachine *m) {
    json_t *levels = json_array();
    for (int l = 0; l < BENCH_LEVELS; l++)
        json_array_append_new(levels, json_pack("{s:s, s:I, s:f, s:f}", "name", level_name[l], "bytes", (json_int_t)m->bytes[l],
                                                "read_bytes_per_s", m->read[l], "triad_bytes_per_s", m->triad[l]));
    json_t *machine = json_pack("{s:i, s:f, s:o}", "lanes", m->lanes, "peak_macs_per_s", m->peak, "levels", levels);
    if (m->half > 0) json_object_set_new(machine, "half_peak_macs_per_s", json_real(m->half));
    return machine;
}
static void print_json(Ctx *c, const Report *p) {
    const BenchResult *r = p->r;
    const Program *g = p->j->p;
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:o}", "name", p->j->id, "quern_version", QUERN_VERSION, "target",
                  p->j->target->name, "threads", r->machine.threads, "kernels", g->k.n, "macs", (json_int_t)g->macs, "weights_bytes",
                  (json_int_t)g->weights_bytes, "arena_bytes", (json_int_t)g->arena_bytes, "machine", machine_json(&r->machine));
    json_t *time = json_pack("{s:I, s:f, s:f, s:f, s:i, s:i, s:f, s:f, s:f, s:f}", "macs_done", (json_int_t)p->done, "median_ms",
                             r->median * 1e3, "minimum_ms", r->least * 1e3, "cpu_median_ms", r->cpu * 1e3, "runs", r->runs, "calls_per_run",
                             r->calls, "macs_per_s", (double)p->macs / r->median, "percent_of_peak", percent(p->compute, r->median),
                             "roofline_ms", p->roofline * 1e3, "percent_of_roofline", percent(p->roofline, r->median));
    json_object_update(root, time);
    json_decref(time);
    if (p->error && p->error->known)
        json_object_set_new(root, "fast_f16",
                            json_pack("{s:f, s:f, s:I, s:s}", "max_abs", p->error->abs, "max_relative", p->error->rel, "lost",
                                      (json_int_t)p->error->lost, "inputs", p->error->data ? "data" : "seeded"));
    if (p->table) {
        json_t *list = json_array();
        for (int i = 0; i < g->k.n; i++) json_array_append_new(list, layer_json(c, &p->layer[i], &r->layer[3 * i]));
        json_object_set_new(root, "layers", list);
    }
    json_dumpf(root, stdout, JSON_INDENT(1));
    puts("");
    json_decref(root);
}

int cmd_bench(Ctx *c, Options *o) {
    DataSet set = {0};
    int status = EXIT_REFUSED;
    if (!bench_data(c, o, &set)) return status;
    BenchJob j = {
        .p = model_build(c, o, o->model), .id = model_id(c, o), .threads = o->threads, .runs = o->runs, .per_layer = o->per_layer};
    HalfError error = {0};
    if (!j.p || (o->pass.fast_f16 && !half_error(c, o, j.p, &error))) return status;
    for (int i = 0; i < j.p->k.n; i++) j.per_layer |= j.p->k.v[i]->loop || j.p->k.v[i]->guard.n; /* which kernels run? */
    const bool table = o->per_layer;
    o->per_layer = j.per_layer;
    j.target = o->machine;
    j.in = bench_inputs(c, j.p->g, &set);
    int64_t **dims = dims_new(c->a, j.p->g->in.n, j.p->g->in.v);
    for (int i = 0; set.dir && i < j.p->g->in.n && i < set.in.n; i++) dims[i] = (int64_t *)(uintptr_t)value_dims(&set.in.v[i]);
    j.out_dims = (int64_t *const *)dims_new(c->a, j.p->g->out.n, j.p->g->out.v);
    j.in_dims = (const int64_t *const *)dims;
    j.dir = j.in ? temp_dir(c) : NULL;
    if (!j.dir) return status;
    if (!o->cflags) o->cflags = "-O3";
    BenchResult *r = bench_build(c, o, &j) ? bench_run(c, &j) : NULL;
    remove_dir(j.dir);
    if (!r) return status;
    Report report = {
        .j = &j, .r = r, .table = table, .layer = NEW_ARRAY(c->a, Layer, j.p->k.n + 1), .error = o->pass.fast_f16 ? &error : NULL};
    for (int i = 0; i < j.p->k.n; i++) {
        report.layer[i] = layer_of(&j, &r->machine, j.p->k.v[i], j.per_layer ? r->layer[3 * i + 2] : 1);
        report.roofline += roofline(&report.layer[i]), report.compute += report.layer[i].compute;
        report.macs += report.layer[i].macs;
        report.done += report.layer[i].done;
    }
    if (o->json) print_json(c, &report);
    else print_text(c, &report);
    return EXIT_DONE;
}
