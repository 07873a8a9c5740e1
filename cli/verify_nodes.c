/* SPDX-License-Identifier: Apache-2.0 */
/* verify_nodes.c: --per-node. Every tensor that a kernel of the compiled C stores is looked at right after that kernel and compared with
 * the interpreter on the same nests, with the graph before any optional pass (tensors of the same name), and with a folder of reference
 * tensors if one is given. The first that is out of tolerance ends it: if C and interpreter differ, the C is to blame, else the first pass
 * with which the interpreter's value leaves that of the untouched graph.
 *
 *   conv1 (Conv+Relu) -> relu1: interpreter 1.2e-07 abs 2e-06 rel 12 ulp; unoptimised 3e-07 abs 5e-06 rel 31 ulp
 */
#include "bench.h"
#include "verify.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct Stored { /* one tensor that a kernel stores */
    int kernel, param;
    const Tensor *t;
    int64_t n;    /* elements, dense */
    int64_t at;   /* of c in the shared memory */
    char *c, *ir; /* what the compiled C and the interpreter stored */
} Stored;
typedef struct Nodes {
    Ctx *c;
    const Options *user;
    const DataSet *set;
    const Program *p;
    Vec(Stored) s;
    int referred;  /* tensors that were compared with a reference */
    int64_t shift; /* the emitted code's state is this much larger than the plan's */
} Nodes;
typedef struct Seen { /* values by name */
    Ctx *c;
    const Program *p;
    Map *by_name;     /* -> Value */
    const char *only; /* NULL: every tensor */
} Seen;

/* ---- elements of a parameter, dense */
static size_t element_bytes(const Tensor *t) { return (size_t)(dtype_info[t->type.dt].bits / 8); }
static int64_t count_of(const Buf *b) {
    int64_t n = 1;
    for (int i = 0; i < b->rank; i++) n *= b->dim[i];
    return n;
}
/* The states of a loop are looked at where they are done, at its end. */
static bool watched(const Kernel *k, int i) {
    const Tensor *t = k->arg.v[i];
    return t && !k->loop && k->f->param.v[i]->written && dtype_info[t->type.dt].bits >= 8 && dtype_info[t->type.dt].cls != CLS_STR;
}
static void gather(const Buf *b, const Tensor *t, const char *from, char *to) {
    size_t size = element_bytes(t);
    int64_t n = count_of(b), idx[QN_MAX_RANK] = {0};
    for (int64_t e = 0; e < n; e++) {
        int64_t at = b->offset;
        for (int k = 0; k < b->rank; k++) at += idx[k] * b->stride[k];
        memcpy(to + (size_t)e * size, from + at * (int64_t)size, size);
        for (int k = b->rank - 1; k >= 0 && ++idx[k] == b->dim[k]; k--) idx[k] = 0;
    }
}

/* ---- the three sources of values */
static void on_interpreted(void *user, int kernel, void *const *param) {
    Nodes *w = user;
    for (int i = 0; i < w->s.n; i++) {
        Stored *s = &w->s.v[i];
        if (s->kernel == kernel) gather(w->p->k.v[kernel]->f->param.v[s->param], s->t, param[s->param], s->ir);
    }
}
static void on_compiled(void *user, int kernel, const char *arena, void *const *out) { /* in the child */
    Nodes *w = user;
    for (int i = 0; i < w->s.n; i++) {
        Stored *s = &w->s.v[i];
        const Tensor *base = tensor_base(s->t);
        if (s->kernel != kernel || (base->store != ST_ARENA && base->store != ST_OUTPUT)) continue;
        const char *from = base->store == ST_OUTPUT ? out[base->addr] : arena + base->addr + w->shift;
        gather(w->p->k.v[kernel]->f->param.v[s->param], s->t, from, s->c);
    }
}
static void on_reference(void *user, int kernel, void *const *param) {
    Seen *s = user;
    const Kernel *k = s->p->k.v[kernel];
    for (int i = 0; i < k->arg.n; i++) {
        const Tensor *t = k->arg.v[i];
        if (!watched(k, i) || (s->only && strcmp(t->name, s->only) != 0)) continue;
        int64_t n = count_of(k->f->param.v[i]);
        char *data = arena_alloc(s->c->a, (size_t)n * element_bytes(t) + 16);
        gather(k->f->param.v[i], t, param[i], data);
        Value *v = NEW(s->c->a, Value);
        *v = (Value){.name = t->name, .type = t->type, .data = data, .bytes = n * (int64_t)element_bytes(t)};
        map_set(s->by_name, t->name, v);
    }
}
static const void **inputs_of(Ctx *c, const Program *p, const DataSet *set) {
    const void **in = NEW_ARRAY(c->a, const void *, p->g->in.n + 1);
    for (int i = 0; i < p->g->in.n && i < set->in.n; i++) in[i] = set->in.v[i].data;
    return in;
}
/* Dims lists of inputs that are no tensors; the others have the shapes that were compiled for. NULL: there are none. */
static const int64_t **dims_of(Ctx *c, const Program *p, const DataSet *set) {
    const int64_t **dims = NEW_ARRAY(c->a, const int64_t *, p->g->in.n + 1);
    bool any = false;
    for (int i = 0; i < p->g->in.n && i < set->in.n; i++)
        if (p->g->in.v[i]->packed) dims[i] = set->in.v[i].dims, any = true;
    return any ? dims : NULL;
}
static void **outputs_of(Ctx *c, const Program *p) {
    void **out = NEW_ARRAY(c->a, void *, p->g->out.n + 1);
    for (int i = 0; i < p->g->out.n; i++) out[i] = arena_alloc(c->a, (size_t)tensor_bytes(p->g->out.v[i]) + 64);
    return out;
}
/* The data's extents: a range that --dim gives is left out, so that the data bind it. */
static bool bind(Ctx *c, Options *o, const DataSet *set) {
    ImportOptions import = o->import;
    import.dims.v = NULL, import.dims.n = import.dims.cap = 0;
    for (int i = 0; i < o->import.dims.n; i++)
        if (!o->import.dims.v[i].range) vec_push(c->a, &import.dims, o->import.dims.v[i]);
    o->import = import;
    return model_bind_set(c, o, set);
}
/* All tensors (or one) of the program that these passes make, interpreted. NULL: it could not be built. */
static Map *interpret_with(Ctx *c, const Options *user, const DataSet *set, const char *passes, bool plain, const char *only) {
    Options o = *user;
    o.pass.list = passes, o.pass.dump_after.n = 0, o.pass.time = false;
    if (plain) o.target = "c99", o.x.mapping = NULL, o.pass.mapping.n = 0;
    if (!bind(c, &o, set)) return NULL;
    Program *p = model_build(c, &o, o.model);
    Seen s = {c, p, map_new(c->a), only};
    return p && program_watch(c, p, inputs_of(c, p, set), dims_of(c, p, set), outputs_of(c, p), NULL, on_reference, &s) ? s.by_name : NULL;
}

/* ---- the folder of reference tensors */
static const char *file_name(Ctx *c, const char *tensor) {
    char *s = arena_strdup(c->a, tensor);
    for (char *p = s; *p; p++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p)) *p = '_';
    return s;
}
static bool read_reference(Ctx *c, const char *dir, const Tensor *t, Value *v) {
    static const char *const ends[] = {"npy", "pb"};
    for (int i = 0; i < 2; i++) {
        const char *path = arena_printf(c->a, "%s/%s.%s", dir, file_name(c, t->name), ends[i]);
        FILE *f = fopen(path, "rb");
        if (!f) continue;
        fclose(f);
        return i ? onnx_read_tensor(c, path, v) : npy_read(c, path, v);
    }
    return false;
}

/* ---- comparison */
static int64_t ordered(float x) { /* floats in order as integers: neighbours differ by one */
    int32_t i;
    memcpy(&i, &x, sizeof i);
    return i < 0 ? -(int64_t)(i & INT32_MAX) : i;
}
static void measure(DType dt, int64_t n, const char *got, const char *want, double *rel, double *ulp) {
    *rel = *ulp = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = dtype_get_f(dt, got, i), w = dtype_get_f(dt, want, i);
        if (x == w || isnan(x) || isnan(w) || isinf(w)) continue;
        if (w != 0) *rel = fmax(*rel, fabs((x - w) / w));
        if (dt == DT_FLOAT32) *ulp = fmax(*ulp, fabs((double)(ordered((float)x) - ordered((float)w))));
    }
}
/* Appends what the comparison found to the line; whether it is within tolerance. */
static bool put(Text *line, const Nodes *w, const char *with, const Stored *s, const char *got, const char *want) {
    Compared r = compare_values(s->t->type.dt, s->n, got, want, tolerance_default(w->p->g, s->t->type.dt, w->user->atol, w->user->rtol));
    double rel, ulp;
    measure(s->t->type.dt, s->n, got, want, &rel, &ulp);
    text_printf(line, "%s %s %.3g abs %.3g rel", line->n ? ";" : "", with, r.max_abs, rel);
    if (s->t->type.dt == DT_FLOAT32) text_printf(line, " %.0f ulp", ulp);
    if (!r.ok) text_printf(line, " WRONG (allowed %.3g)", r.max_allowed);
    return r.ok;
}
static const char *kernel_ops(Ctx *c, const Kernel *k) {
    const char *s = "";
    for (int i = 0; i < k->nodes.n && i < 6; i++) s = arena_printf(c->a, "%s%s%s", s, i ? "+" : "", i == 5 ? "…" : k->nodes.v[i]->op->name);
    return s;
}
/* The first optional pass with which the interpreter's value of the tensor leaves the one before any pass. */
static const char *culprit(const Nodes *w, const Stored *s, const Value *want) {
    const char *list = "fold";
    for (int i = 0; pass_optional(i); i++) {
        Arena *a = arena_new();
        Diags d = {.a = a};
        Ctx c = {a, &d};
        list = arena_printf(w->c->a, "%s,%s", list, pass_optional(i));
        Map *seen = interpret_with(&c, w->user, w->set, list, false, s->t->name);
        const Value *v = seen ? map_get(seen, s->t->name) : NULL;
        bool wrong =
            v && v->type.dt == want->type.dt && v->bytes == want->bytes &&
            !compare_values(v->type.dt, s->n, v->data, want->data, tolerance_default(w->p->g, v->type.dt, w->user->atol, w->user->rtol)).ok;
        arena_free(a);
        if (wrong) return pass_optional(i);
    }
    return NULL;
}
static bool report(Nodes *w, const Stored *s, bool same, bool unchanged, const Value *want) {
    const Kernel *k = w->p->k.v[s->kernel];
    Loc at = k->nodes.n ? k->nodes.v[0]->loc : NO_LOC;
    const char *ops = kernel_ops(w->c, k), *pass = !same ? NULL : unchanged ? NULL : culprit(w, s, want);
    if (!same)
        return diag_error(w->c->d, at,
                          "tensor '%s' of kernel %d (%s) differs between the compiled C and the interpreter on the same loops: code "
                          "generation or the C compiler is to blame; try --cflags -O0",
                          s->t->name, s->kernel, ops);
    if (!unchanged && pass)
        return diag_error(
            w->c->d, at,
            "tensor '%s' of kernel %d (%s) differs from the graph before any pass, first after pass '%s'; --dump-after %s shows its result",
            s->t->name, s->kernel, ops, pass, pass);
    if (!unchanged)
        return diag_error(w->c->d, at, "tensor '%s' of kernel %d (%s) differs from the graph before any pass", s->t->name, s->kernel, ops);
    return diag_error(w->c->d, at, "tensor '%s' of kernel %d (%s) is as the operators say, but differs from the reference", s->t->name,
                      s->kernel, ops);
}
static bool compare_all(Nodes *w, Map *plain) {
    for (int i = 0; i < w->s.n; i++) {
        const Stored *s = &w->s.v[i];
        Text line = {0};
        bool same = put(&line, w, "interpreter", s, s->c, s->ir), unchanged = true, known = true;
        const Value *want = map_get(plain, s->t->name);
        if (want && want->type.dt == s->t->type.dt && want->bytes == s->n * (int64_t)element_bytes(s->t))
            unchanged = put(&line, w, "unoptimised", s, s->c, want->data);
        Value v = {0};
        if (w->user->reference && read_reference(w->c, w->user->reference, s->t, &v) && value_fit(&v, &s->t->type) &&
            v.bytes == s->n * (int64_t)element_bytes(s->t))
            known = put(&line, w, "reference", s, s->c, v.data), w->referred++;
        printf("%s (%s) -> %s:%s\n", w->p->k.v[s->kernel]->f->name, kernel_ops(w->c, w->p->k.v[s->kernel]), s->t->name, line.s);
        text_free(&line);
        if (!same || !unchanged || !known) return report(w, s, same, unchanged, want);
    }
    return true;
}

/* ---- building and running */
static bool read_shift(Nodes *w, const char *dir, const char *id) {
    json_error_t e;
    json_t *m = json_load_file(arena_printf(w->c->a, "%s/%s.json", dir, id), 0, &e);
    w->shift = m ? json_integer_value(json_object_get(m, "arena_bytes")) - w->p->arena_bytes : 0;
    json_decref(m);
    return true;
}
static bool list_stored(Nodes *w) {
    int64_t bytes = 0;
    for (int k = 0; k < w->p->k.n; k++)
        for (int i = 0; i < w->p->k.v[k]->arg.n; i++)
            if (watched(w->p->k.v[k], i)) {
                Stored s = {.kernel = k, .param = i, .t = w->p->k.v[k]->arg.v[i], .n = count_of(w->p->k.v[k]->f->param.v[i])};
                s.ir = arena_alloc(w->c->a, (size_t)s.n * element_bytes(s.t) + 16);
                s.at = bytes;
                bytes += (s.n * (int64_t)element_bytes(s.t) + 63) & ~(int64_t)63;
                vec_push(w->c->a, &w->s, s);
            }
    char *shared = mmap(NULL, (size_t)bytes + 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return diag_error(w->c->d, NO_LOC, "out of memory for %lld bytes of intermediate tensors", (long long)bytes);
    for (int i = 0; i < w->s.n; i++) w->s.v[i].c = shared + w->s.v[i].at;
    return true;
}
bool verify_nodes(Ctx *c, const Options *user, const DataSet *set) {
    Options o = *user;
    o.per_layer = true; /* the emitted code calls a hook before each kernel */
    Nodes w = {.c = c, .user = user, .set = set};
    Emitted e = {0};
    if (!bind(c, &o, set)) return false;
    Program *p = model_build(c, &o, o.model);
    const char *id = model_id(c, &o), *dir = p ? temp_dir(c) : NULL, *hook = "probe.c";
    if (!dir) return false;
    w.p = p;
    const char *so = arena_printf(c->a, "%s/model.so", dir);
    bool ok = !p->next || diag_error(c->d, NO_LOC, "--per-node looks at one target; give --target one name");
    ok = ok && list_stored(&w) && model_emit(c, &o, p, id, dir, &e) && bench_hook_write(c, dir, id, hook);
    if (ok) vec_push(c->a, &e.sources, hook);
    ok = ok && read_shift(&w, dir, id) && exec_build(c, &o, dir, &e, &id, 1, so);
    ok = ok && program_watch(c, p, inputs_of(c, p, set), dims_of(c, p, set), outputs_of(c, p), NULL, on_interpreted, &w) &&
         exec_watch(c, so, id, p, inputs_of(c, p, set), dims_of(c, p, set), outputs_of(c, p), on_compiled, &w);
    remove_dir(dir);
    Map *plain = ok ? interpret_with(c, user, set, "fold", true, NULL) : NULL;
    if (!plain || !compare_all(&w, plain)) return false;
    if (user->reference && !w.referred)
        return diag_error(c->d, (Loc){user->reference, -1, NULL, NULL},
                          "holds none of the tensors above; NAME.npy or NAME.pb of the same shape is expected for some of them");
    return true;
}
