/* SPDX-License-Identifier: Apache-2.0 */
/* tune_measure.c: times the mappings of one kernel. Each becomes a model of its own, with the one operator; all are built into one shared
 * object, and a child process runs them in turns, each call after other memory has been read, so that weights are as far away as they
 * are within a whole model. The fastest call of each counts; the estimate's choice wins ties.
 *
 *   Conv with 5 choices   --->   t0_invoke … t4_invoke;   0.61 0.54 0.58 0.75 0.55 ms   --->   1
 */
#define _GNU_SOURCE
#include "tune.h"
#include "ir/ops.h"
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHILD_SECONDS = 120, STATE_MOST = 4096, MOST_ROUNDS = 60, SWEEP = 6 << 20, CANNOT_RUN = 3 };
static const double enough_seconds = 0.1, worth = 0.98; /* of a choice's own calls; what a change must bring */

/* ---- the model of one operator */
static Graph *graph_of(Ctx *c, const Node *n) {
    Graph *g = graph_new(c->a, "tune");
    Tensor **in = NEW_ARRAY(c->a, Tensor *, n->nin + 1);
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = n->in[i];
        if (!t) continue;
        const char *name = arena_printf(c->a, "x%d", i);
        if (t->data) in[i] = tensor_const(g, name, t->type.dt, t->type.rank, t->type.dim, t->data);
        else {
            in[i] = tensor_new(g, name, t->type.dt, t->type.rank, t->type.dim);
            in[i]->is_input = true;
            vec_push(c->a, &g->in, in[i]);
        }
    }
    Node *k = node_new(g, n->op, NULL, NO_LOC, n->nin, in, 1);
    for (int i = 0; i < n->op->nattr; i++) k->attr[i] = n->attr[i];
    const Type *o = &n->out[0]->type;
    Tensor *y = tensor_new(g, "y", o->dt, o->rank, o->dim);
    node_set_out(k, 0, y);
    y->is_output = true;
    vec_push(c->a, &g->out, y);
    return g;
}
typedef struct Forced {
    const TuneAsk *ask;
    int choice;
} Forced;
static int forced(void *user, const TuneAsk *ask) {
    const Forced *f = user;
    if (strcmp(ask->kernel, f->ask->kernel) != 0) return 0;
    for (int i = 0; i < ask->n; i++)
        if (strcmp(ask->choice[i], f->ask->choice[f->choice]) == 0) return i;
    return 0;
}
static Program *program_of(Tuning *t, const TuneAsk *ask, int choice) {
    Forced f = {ask, choice};
    Tuner tuner = {&f, forced};
    PassOptions o = t->o->pass;
    o.tuner = &tuner, o.any_weights = true, o.time = false, o.dump_after.n = 0;
    return passes_run(t->c, graph_of(t->c, ask->node), &o);
}

/* ---- the child */
typedef int InvokeFn(void *arena, const void *const *in, const int64_t *const *in_dims, void *const *out, int64_t *const *out_dims);
static double now(void) {
    struct timespec s;
    clock_gettime(CLOCK_MONOTONIC, &s);
    return (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
}
static void *filled(const Tensor *t) {
    size_t bytes = (size_t)tensor_bytes(t);
    char *p = NULL;
    if (posix_memalign((void **)&p, 64, bytes + 64)) _exit(1);
    memset(p, 0, bytes + 64);
    if (t->type.dt == DT_FLOAT32)
        for (size_t i = 0; i < bytes / 4; i++) ((float *)p)[i] = (float)((i * 37) % 101) / 50 - 1;
    return p;
}
static long touched(const void *p, int64_t bytes) { /* inputs are near: a kernel has just written them */
    const char *s = p;
    long sum = 0;
    for (int64_t i = 0; i < bytes; i += 64) sum += s[i];
    return sum;
}
static _Noreturn void child(const char *so, Program *const *p, int n, double *best) {
    InvokeFn *invoke[TUNE_MOST];
    void *arena[TUNE_MOST], *out = filled(p[0]->g->out.v[0]);
    const void *in[8] = {0};
    double sum[TUNE_MOST] = {0};
    char *sweep = malloc(SWEEP), name[32];
    volatile long sink = 0;
    (void)sink;
    alarm(CHILD_SECONDS);
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!lib || !sweep) _exit(1);
    memset(sweep, 1, SWEEP);
    for (int i = 0; i < p[0]->g->in.n && i < 8; i++) in[i] = filled(p[0]->g->in.v[i]);
    for (int i = 0; i < n; i++) {
        size_t bytes = (size_t)p[i]->arena_bytes + STATE_MOST;
        snprintf(name, sizeof name, "t%d_invoke", i);
        *(void **)&invoke[i] = dlsym(lib, name);
        if (!invoke[i] || posix_memalign(&arena[i], 64, bytes)) _exit(1);
        memset(arena[i], 0, bytes);
        if (invoke[i](arena[i], in, NULL, &out, NULL)) _exit(CANNOT_RUN);
    }
    for (int round = 0, going = 1; round < MOST_ROUNDS && going; round++) {
        going = round < 5;
        for (int i = 0; i < n; i++) {
            for (int k = 0; k < SWEEP; k += 64) sink += sweep[k];
            for (int j = 0; j < p[0]->g->in.n && j < 8; j++) sink += touched(in[j], tensor_bytes(p[0]->g->in.v[j]));
            double begin = now();
            invoke[i](arena[i], in, NULL, &out, NULL);
            double took = now() - begin;
            if (!best[i] || took < best[i]) best[i] = took;
            sum[i] += took;
            going |= sum[i] < enough_seconds;
        }
    }
    _exit(0);
}
static int run_child(const char *so, Program *const *p, int n, double *best) {
    pid_t pid = fork();
    int status;
    if (pid < 0) return 1;
    if (pid == 0) child(so, p, n, best);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool build_all(Tuning *t, const TuneAsk *ask, const char *dir, const char *so, Program **p) {
    Emitted all = {0};
    const char *ids[TUNE_MOST];
    Options o = *t->o;
    o.per_layer = false, o.emit_main = false, o.weights = NULL;
    if (!o.cflags) o.cflags = "-O3";
    for (int i = 0; i < ask->n; i++) {
        Emitted one = {0};
        ids[i] = arena_printf(t->c->a, "t%d", i);
        p[i] = program_of(t, ask, i);
        if (!p[i] || !model_emit(t->c, &o, p[i], ids[i], dir, &one)) return false;
        for (int k = 0; k < one.sources.n; k++) vec_push(t->c->a, &all.sources, one.sources.v[k]);
    }
    return exec_build(t->c, &o, dir, &all, ids, ask->n, so);
}
int tune_measure(Tuning *t, const TuneAsk *ask) {
    Ctx *c = t->c;
    Program *p[TUNE_MOST];
    Diags quiet = {.a = c->a}, *loud = c->d;
    if (t->gave_up) return -1;
    double *best = mmap(NULL, sizeof(double) * TUNE_MOST, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    c->d = &quiet;
    const char *dir = temp_dir(c), *so = dir ? arena_printf(c->a, "%s/tune.so", dir) : NULL;
    int r = dir && best != MAP_FAILED && build_all(t, ask, dir, so, p) ? run_child(so, p, ask->n, best) : 1, found = 0;
    c->d = loud;
    if (dir) remove_dir(dir);
    if (r) {
        t->gave_up = true;
        diag_warn(c->d, NO_LOC, "--tune: %s; the estimate's choices are taken",
                  r == CANNOT_RUN ? "this machine cannot run code for the target" : "the candidates could not be built and run");
    }
    for (int i = 1; i < ask->n && !r; i++)
        if (best[i] < best[found] * (found ? 1 : worth)) found = i;
    if (best != MAP_FAILED) munmap(best, sizeof(double) * TUNE_MOST);
    return r ? -1 : found;
}
