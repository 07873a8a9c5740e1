/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: graphs through the whole compiler: without optimisation and with it, interpreted and as emitted C, against the values that the
 * nodes gave one by one. Many graphs share one call of the C compiler. Emitted code runs in a process of its own.
 */
#include "cli/cli.h"
#include "fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VARIANTS = 2, BATCH_MOST = 64 };
static const char *const variant_name[VARIANTS] = {"plain", "optimised"};
static const char *const targets[] = {"c99", "x86_avx2", "c99", "x86_avx512"};

typedef struct Built {
    Program *p;
    Emitted e;
    char id[24];
} Built;
typedef struct Job {
    Fuzz *f;
    Ctx c;
    Diags d;
    Built b[VARIANTS];
    const char *why;
    int *in, *out, nin, nout; /* values */
} Job;

static const char *first_error(Job *j) {
    for (int i = 0; i < j->d.list.n; i++)
        if (j->d.list.v[i].severity == DIAG_ERROR) {
            Text t = {0};
            diag_format(&j->d.list.v[i], &t);
            const char *s = arena_strdup(j->f->a, t.s);
            text_free(&t);
            return s;
        }
    return "no message";
}
static void blame(Job *j, int variant, const char *step, const char *more) {
    if (!j->why) j->why = arena_printf(j->f->a, "%s, %s: %s", variant_name[variant], step, more);
}
static double value_number(const Value1 *v, const void *data, int64_t i) {
    return v->dt == DT_STRING || dtype_info[v->dt].cls == CLS_CPLX ? 0 : dtype_get_f(v->dt, data, i);
}
/* Outputs of one way to compute them, against the values of the nodes. */
static void compare(Job *j, int variant, const char *step, void *const *out, int64_t *const *dims) {
    for (int i = 0; i < j->nout && !j->why; i++) {
        const Value1 *v = &j->f->v.v[j->out[i]];
        const Type *t = &j->b[variant].p->g->out.v[i]->type;
        bool shape = t->dt == v->dt && t->rank == v->rank;
        for (int k = 0; k < v->rank && shape; k++) shape = dims[i][k] == v->dim[k];
        if (!shape) blame(j, variant, step, arena_printf(j->f->a, "v%d has another type or shape", j->out[i]));
        for (int64_t k = 0; k < v->n && !j->why; k++)
            if (!value_close(v->dt, out[i], v->data, v->moved, k))
                blame(j, variant, step,
                      arena_printf(j->f->a, "v%d[%lld] of %s is %.9g; %.9g is expected", j->out[i], (long long)k, dtype_name(v->dt),
                                   value_number(v, out[i], k), value_number(v, v->data, k)));
    }
}
typedef bool RunFn(Job *j, const Built *b, const char *so, const void *const *in, const int64_t *const *in_dims, void *const *out,
                   int64_t *const *out_dims);
static bool interpreted(Job *j, const Built *b, const char *so, const void *const *in, const int64_t *const *in_dims, void *const *out,
                        int64_t *const *out_dims) {
    (void)so;
    return program_interpret_dims(&j->c, b->p, in, in_dims, out, out_dims);
}
static bool called(Job *j, const Built *b, const char *so, const void *const *in, const int64_t *const *in_dims, void *const *out,
                   int64_t *const *out_dims) {
    return exec_call(&j->c, so, b->id, b->p, in, in_dims, out, out_dims);
}
static void run(Job *j, int variant, const char *step, RunFn *fn, const char *so) {
    const Graph *g = j->b[variant].p->g;
    const void **in = NEW_ARRAY(j->c.a, const void *, j->nin + 1);
    const int64_t **in_dims = NEW_ARRAY(j->c.a, const int64_t *, j->nin + 1);
    void **out = NEW_ARRAY(j->c.a, void *, j->nout + 1);
    int64_t **dims = NEW_ARRAY(j->c.a, int64_t *, j->nout + 1);
    if (j->why) return;
    for (int i = 0; i < j->nin; i++) in[i] = j->f->v.v[j->in[i]].data, in_dims[i] = j->f->v.v[j->in[i]].dim;
    for (int i = 0; i < j->nout; i++) {
        out[i] = arena_alloc(j->c.a, (size_t)tensor_bytes(g->out.v[i]) + 64);
        dims[i] = NEW_ARRAY(j->c.a, int64_t, QN_MAX_RANK);
    }
    if (!fn(j, &j->b[variant], so, in, in_dims, out, dims)) blame(j, variant, step, first_error(j));
    else compare(j, variant, step, out, dims);
}

static bool build_variant(Job *j, int variant, const char *work, int number) {
    Built *b = &j->b[variant];
    Options o = {.atol = -1, .rtol = -1, .threads = 1, .target = "c99"};
    o.pass.verify = true;
    if (variant == 0) o.pass.list = plain_passes(j->c.a);
    else o.target = targets[j->f->state % 4];
    snprintf(b->id, sizeof b->id, "g%05d%c", number, variant_name[variant][0]);
    Graph *g = target_option(&j->c, &o) ? graph_import(j->f, &j->c) : NULL;
    if (!g || !(b->p = passes_run(&j->c, g, &o.pass))) return false;
    run(j, variant, "interpreted", interpreted, NULL);
    return j->why || model_emit(&j->c, &o, b->p, b->id, work, &b->e);
}
/* Not every operator takes extents that are known at run time only: then they are fixed. */
static void job_open(Job *j, Fuzz *f, const char *work, int number) {
    for (bool again = true; again;) {
        again = false;
        memset(j, 0, sizeof *j);
        j->f = f;
        j->c.a = j->d.a = arena_new();
        j->c.d = &j->d;
        j->in = NEW_ARRAY(j->c.a, int, f->v.n + 1), j->out = NEW_ARRAY(j->c.a, int, f->v.n + 1);
        j->nin = values_list(f, value_is_input, j->in), j->nout = values_list(f, value_is_output, j->out);
        for (int v = 0; v < VARIANTS && !j->why && !again; v++) {
            if (build_variant(j, v, work, number) || j->why) continue;
            if (f->symbolic) f->symbolic = false, again = true;
            else blame(j, v, "compiled", first_error(j));
        }
        if (again) arena_free(j->c.a);
    }
}
static bool compile(Job *const *j, int n, const char *work, const char *so) {
    Text t = {0};
    const char *cc = getenv("CC") && *getenv("CC") ? getenv("CC") : "cc";
    text_printf(&t, "cd '%s' && %s -std=c99 -O1 -Wall -Wextra -Werror -pedantic %s -shared -fPIC -o '%s' -I.", work, cc,
                getenv("FUZZ_CFLAGS") ? getenv("FUZZ_CFLAGS") : "", so);
    for (int i = 0; i < n; i++)
        for (int v = 0; v < VARIANTS; v++)
            for (int s = 0; s < j[i]->b[v].e.sources.n; s++) text_printf(&t, " %s", j[i]->b[v].e.sources.v[s]);
    text_printf(&t, " -lm 2> '%s.err'", so);
    bool ok = system(t.s) == 0;
    text_free(&t);
    return ok;
}
static void job_call(Job *j, const char *so) {
    for (int v = 0; v < VARIANTS; v++) run(j, v, "emitted", called, so);
}
void graphs_run(Fuzz *const *f, int n, const char *work, const char **what) {
    static int number;
    Arena *a = arena_new();
    Job *all = NEW_ARRAY(a, Job, n), *good[BATCH_MOST];
    int ngood = 0;
    char *so = arena_printf(a, "%s/batch%d.so", work, number);
    for (int i = 0; i < n; i++) {
        job_open(&all[i], f[i], work, number++);
        if (!all[i].why) good[ngood++] = &all[i];
    }
    if (ngood && compile(good, ngood, work, so))
        for (int i = 0; i < ngood; i++) job_call(good[i], so);
    else
        for (int i = 0; i < ngood; i++) {
            char *own = arena_printf(a, "%s/%s.so", work, good[i]->b[0].id);
            if (compile(&good[i], 1, work, own)) job_call(good[i], own);
            else blame(good[i], 1, "C compiler", arena_printf(f[0]->a, "see %s.err", own));
        }
    for (int i = 0; i < n; i++) {
        what[i] = all[i].why;
        for (int v = 0; v < VARIANTS; v++)
            for (int s = 0; s < all[i].b[v].e.sources.n && !all[i].why; s++)
                unlink(arena_printf(a, "%s/%s", work, all[i].b[v].e.sources.v[s]));
        arena_free(all[i].c.a);
    }
    unlink(so);
    arena_free(a);
}

/* ---- a smaller graph with the same failure: nodes are left out as long as something fails in the same step */
static bool fails(Fuzz *f, const char *work, const char *step) {
    const char *why = NULL;
    graphs_run(&f, 1, work, &why);
    return why && strncmp(why, step, strcspn(step, ":")) == 0;
}
static int nodes_left(const Fuzz *f) {
    int n = 0;
    for (int i = 0; i < f->n.n; i++) n += !f->n.v[i].gone;
    return n;
}
void graph_shrink(Fuzz *f, const char *work, const char *what) {
    for (int i = 0; i < f->v.n; i++) f->v.v[i].shown = false;
    if (!fails(f, work, what))
        for (int i = 0; i < f->v.n; i++) f->v.v[i].shown = true; /* then every value is looked at */
    for (int part = f->n.n / 2; part >= 1; part /= 2)
        for (int at = f->n.n - part; at > -part; at -= part) {
            bool was[256];
            int changed = 0;
            for (int i = 0; i < f->n.n && i < 256; i++) {
                was[i] = f->n.v[i].gone;
                if (i >= at && i < at + part && !was[i]) f->n.v[i].gone = true, changed++;
            }
            if (changed && (nodes_left(f) == 0 || !fails(f, work, what)))
                for (int i = 0; i < f->n.n && i < 256; i++) f->n.v[i].gone = was[i];
        }
}
