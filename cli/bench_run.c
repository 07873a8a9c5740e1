/* SPDX-License-Identifier: Apache-2.0 */
/* bench_run.c: the child process of `quern bench`: loads the model, runs it until the figures are steady, writes them into
 * memory shared with the parent. A run too short for the clock is timed in groups. With --per-layer the model was emitted with
 * calls of ID_profile(i) before kernel i and after the last one; the shared object holds a definition that calls us.
 */
#define _GNU_SOURCE
#include "bench.h"
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

enum { BENCH_SECONDS = 1200, STATE_MOST = 4096 /* the emitter may add so much to the plan's arena */ };
static const double sample_least = 50e-6, wanted_seconds = 2, layer_seconds = 2;

static double read_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double now(void) { return read_clock(CLOCK_MONOTONIC); }
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool bench_hook_write(Ctx *c, const char *dir, const char *id, const char *file) {
    Text t = {0};
    text_printf(&t,
                "void (*%s_profile_hook)(int);\nvoid %s_profile(int kernel);\nvoid %s_profile(int kernel) {\n    if (%s_profile_hook) "
                "%s_profile_hook(kernel);\n}\n",
                id, id, id, id, id);
    bool ok = file_write_whole(c, arena_printf(c->a, "%s/%s", dir, file), t.s, t.n);
    text_free(&t);
    return ok;
}

/* ---- the child */
typedef int InvokeFn(void *arena, const void *const *in, const int64_t *const *in_dims, void *const *out, int64_t *const *out_dims);
typedef int BindFn(void *arena, const void *weights, size_t bytes);
typedef int ThreadsFn(void *arena, int n);
typedef void ReleaseFn(void *arena);
typedef struct Loaded {
    void *lib, *arena;
    InvokeFn *invoke;
    void **out;
} Loaded;

static _Noreturn void child_fail(const char *what, const char *detail) {
    fprintf(stderr, "quern: bench: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    _exit(120);
}
static void *symbol(const Loaded *l, const char *id, const char *name) {
    char s[300];
    snprintf(s, sizeof s, "%s_%s", id, name);
    return dlsym(l->lib, s);
}
static void *memory(int64_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, bytes >= 4 << 20 ? 2 << 20 : bytes >= 1 << 20 ? 4096 : 64, (size_t)bytes + 64))
        child_fail("out of memory", NULL);
    return memset(p, 0, (size_t)bytes + 64);
}
static void bind_weights(const BenchJob *j, Loaded *l) {
    BindFn *bind;
    char path[4200];
    *(void **)&bind = symbol(l, j->id, "bind");
    if (!bind) return;
    snprintf(path, sizeof path, "%s/%s.weights", j->dir, j->id);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) child_fail("cannot read", path);
    long n = ftell(f);
    void *w = memory(n);
    rewind(f);
    if (n < 0 || fread(w, 1, (size_t)n, f) != (size_t)n || bind(l->arena, w, (size_t)n)) child_fail("weights were refused", path);
    fclose(f);
}
static void load(const BenchJob *j, Loaded *l) {
    const Graph *g = j->p->g;
    l->lib = dlopen(j->so, RTLD_NOW | RTLD_LOCAL);
    if (!l->lib) child_fail("cannot load", dlerror());
    *(void **)&l->invoke = symbol(l, j->id, "invoke");
    if (!l->invoke) child_fail("no ID_invoke in the emitted code", NULL);
    l->arena = memory(j->p->arena_bytes + STATE_MOST);
    l->out = memory((int64_t)sizeof *l->out * (g->out.n + 1));
    for (int i = 0; i < g->out.n; i++) l->out[i] = memory(tensor_bytes(g->out.v[i]));
    bind_weights(j, l);
    ThreadsFn *set;
    *(void **)&set = symbol(l, j->id, "set_threads");
    if (j->threads > 1 && set && set(l->arena, j->threads)) fprintf(stderr, "quern: bench: no kernel of this model uses threads\n");
}
static void call(const BenchJob *j, const Loaded *l) {
    int r = l->invoke(l->arena, j->in, j->in_dims, l->out, j->out_dims);
    char text[16];
    snprintf(text, sizeof text, "%d", r);
    if (r) child_fail("invoke returned", text);
}
static double sample(const BenchJob *j, const Loaded *l, int calls) {
    double t0 = now();
    for (int i = 0; i < calls; i++) call(j, l);
    return (now() - t0) / calls;
}
static int fit(double seconds, double each, int least, int most) {
    double n = seconds / each;
    return n < least ? least : n > most ? most : (int)n;
}
static void whole_runs(const BenchJob *j, const Loaded *l, BenchResult *r) {
    double one = sample(j, l, 1);
    if (one < 1) one = sample(j, l, 1);
    r->calls = one >= sample_least ? 1 : fit(sample_least, one, 1, 1000000);
    if (r->calls > 1) one = sample(j, l, r->calls);
    r->runs = j->runs ? j->runs : fit(wanted_seconds, one * r->calls, 5, 2000);
    double *t = memory((int64_t)sizeof *t * r->runs), *cpu = memory((int64_t)sizeof *cpu * r->runs);
    for (int i = 0; i < r->runs; i++) {
        double c0 = read_clock(CLOCK_THREAD_CPUTIME_ID);
        t[i] = sample(j, l, r->calls);
        cpu[i] = (read_clock(CLOCK_THREAD_CPUTIME_ID) - c0) / r->calls;
    }
    qsort(t, (size_t)r->runs, sizeof *t, by_value);
    qsort(cpu, (size_t)r->runs, sizeof *cpu, by_value);
    r->median = t[r->runs / 2], r->least = t[0], r->cpu = cpu[r->runs / 2];
    free(t), free(cpu);
}

/* Called before a kernel runs, and after the last one: branches leave kernels out, loops run them again. */
static struct {
    double *spent, since; /* of this call: seconds per kernel; when the current one began */
    int *times, current, end;
} profile;
static void on_kernel(int k) {
    double t = now();
    if (profile.current >= 0) profile.spent[profile.current] += t - profile.since;
    profile.current = k < profile.end ? k : -1;
    profile.since = t;
    profile.times[k]++;
}
static void layers(const BenchJob *j, const Loaded *l, BenchResult *r) {
    int n = j->p->k.n, runs = fit(layer_seconds, r->median, 3, 200);
    if (j->runs && runs > j->runs) runs = j->runs;
    void *hook = symbol(l, j->id, "profile_hook");
    if (!hook) child_fail("no ID_profile_hook in the emitted code", NULL);
    double *t = memory((int64_t)sizeof *t * n * runs), *one = memory((int64_t)sizeof *one * runs);
    profile.spent = memory((int64_t)sizeof *profile.spent * (n + 1));
    profile.times = memory((int64_t)sizeof *profile.times * (n + 1));
    profile.current = -1, profile.end = n;
    *(void (**)(int))hook = on_kernel;
    for (int i = 0; i < runs; i++) {
        memset(profile.spent, 0, sizeof *profile.spent * (size_t)n);
        memset(profile.times, 0, sizeof *profile.times * (size_t)n);
        call(j, l);
        for (int k = 0; k < n; k++) t[(size_t)k * (size_t)runs + (size_t)i] = profile.spent[k];
    }
    for (int k = 0; k < n; k++) {
        memcpy(one, t + (size_t)k * (size_t)runs, (size_t)runs * sizeof *one);
        qsort(one, (size_t)runs, sizeof *one, by_value);
        r->layer[3 * k] = one[0], r->layer[3 * k + 1] = one[runs / 2], r->layer[3 * k + 2] = profile.times[k];
    }
    r->layer_runs = runs;
}
static _Noreturn void child(const BenchJob *j, BenchResult *r) {
    Loaded l = {0};
    ReleaseFn *release;
    alarm(BENCH_SECONDS);
    load(j, &l);
    whole_runs(j, &l, r);
    if (j->per_layer) layers(j, &l, r);
    *(void **)&release = symbol(&l, j->id, "release");
    if (release) release(l.arena);
    if (!bench_machine_measure(j->machine_so, j->target, j->threads, &r->machine)) child_fail("the machine could not be measured", NULL);
    _exit(0);
}

BenchResult *bench_run(Ctx *c, const BenchJob *j) {
    size_t bytes = sizeof(BenchResult) + 3 * sizeof(double) * (size_t)(j->p->k.n + 1);
    BenchResult *r = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED) return diag_error(c->d, NO_LOC, "out of memory: %s", strerror(errno)), NULL;
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) return diag_error(c->d, NO_LOC, "cannot start a process: %s", strerror(errno)), NULL;
    if (pid == 0) child(j, r);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return diag_error(c->d, NO_LOC, "the emitted code did not finish in %d s; give fewer --runs", BENCH_SECONDS), NULL;
    if (WIFSIGNALED(status)) return diag_error(c->d, NO_LOC, "the emitted code died of signal %d", WTERMSIG(status)), NULL;
    if (WEXITSTATUS(status)) return diag_error(c->d, NO_LOC, "the emitted code failed (see above)"), NULL;
    return r;
}
