/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c: builds emitted C with the host's compiler and calls it in a child process, so that a crash or a hang of
 * emitted code is a message, never ours.
 *
 *   cc -O2 -shared … out/net.c -> net.so;   child: dlopen, net_invoke(arena, inputs, …), outputs in shared memory
 */
#define _GNU_SOURCE
#include "ir/list.h"
#include "verify.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALL_SECONDS = 600, STATE_MOST = 4096 /* the emitter may add so much to the plan's arena */ };

char *temp_dir(Ctx *c) {
    const char *base = getenv("TMPDIR");
    char *dir = arena_printf(c->a, "%s/quern-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(dir)) return dir;
    diag_error(c->d, (Loc){dir, -1, NULL, NULL}, "cannot create a temporary folder: %s; set TMPDIR to a writable one", strerror(errno));
    return NULL;
}
/* Only plain files directly inside: that is all that we put there. */
void remove_dir(const char *dir) {
    DIR *d = opendir(dir);
    char path[4096];
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < (int)sizeof path && unlink(path) != 0) remove_dir(path);
    }
    if (d) closedir(d);
    rmdir(dir);
}

/* Flags are split at blanks. */
static void push_words(Ctx *c, const char *s, char ***v, int *n) {
    Vec(char *) w = {*v, *n, *n};
    for (char *copy = arena_strdup(c->a, s), *save = NULL, *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
        vec_push(c->a, &w, p);
    *v = w.v, *n = w.n;
}
static int run_command(Ctx *c, char *const *argv) {
    pid_t pid = fork();
    if (pid < 0) return diag_error(c->d, NO_LOC, "cannot start '%s': %s", argv[0], strerror(errno)), -1;
    if (pid == 0) {
        dup2(2, 1);
        execvp(argv[0], argv);
        fprintf(stderr, "quern: cannot run '%s': %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool exec_build(Ctx *c, const Options *o, const char *dir, const Emitted *e, const char *const *ids, int n, const char *so) {
    (void)ids, (void)n;
    const char *cc = o->cc ? o->cc : getenv("CC") && *getenv("CC") ? getenv("CC") : "cc";
    char **argv = NULL;
    int argc = 0;
    push_words(c, cc, &argv, &argc);
    push_words(c, o->cflags ? o->cflags : "-O2", &argv, &argc);
    Vec(char *) v = {argv, argc, argc};
    const char *fixed[] = {"-shared", "-fPIC", "-w", "-o", so, "-I", dir};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) vec_push(c->a, &v, (char *)fixed[i]);
    for (int i = 0; i < e->sources.n; i++) vec_push(c->a, &v, arena_printf(c->a, "%s/%s", dir, e->sources.v[i]));
    vec_push(c->a, &v, (char *)"-lm");
    if (o->threads > 1) vec_push(c->a, &v, (char *)"-pthread");
    vec_push(c->a, &v, NULL);
    int status = run_command(c, v.v);
    if (status) return diag_error(c->d, NO_LOC, "the C compiler '%s' failed with status %d on the emitted code", cc, status);
    return true;
}

typedef int InvokeFn(void *arena, const void *const *in, const int64_t *const *in_dims, void *const *out, int64_t *const *out_dims);
typedef int BindFn(void *arena, const void *weights, size_t bytes);

static _Noreturn void child_fail(const char *what, const char *detail) {
    fprintf(stderr, "quern: emitted code: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    _exit(120);
}
/* What the profile hook of emitted code calls, in the child. */
static struct {
    ExecWatch *fn;
    void *user;
    const char *arena;
    void *const *out;
} probe;
static void on_profile(int kernel) { /* before kernel `kernel`, so after the one before it */
    if (kernel > 0) probe.fn(probe.user, kernel - 1, probe.arena, probe.out);
}
static _Noreturn void child_call(const char *so, const char *id, const Program *p, const void *const *in, const int64_t *const *in_dims,
                                 void *const *out, int64_t *const *out_dims) {
    char sym[300];
    alarm(CALL_SECONDS);
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!lib) child_fail("cannot load", dlerror());
    snprintf(sym, sizeof sym, "%s_invoke", id);
    InvokeFn *invoke;
    *(void **)&invoke = dlsym(lib, sym);
    if (!invoke) child_fail("no such function", sym);
    void *arena = NULL;
    if (posix_memalign(&arena, 64, (size_t)p->arena_bytes + STATE_MOST)) child_fail("out of memory for the arena", NULL);
    memset(arena, 0, STATE_MOST);
    snprintf(sym, sizeof sym, "%s_bind", id);
    BindFn *bind;
    *(void **)&bind = dlsym(lib, sym);
    if (bind) {
        char path[4096];
        const char *slash = strrchr(so, '/');
        snprintf(path, sizeof path, "%.*s/%s.weights", (int)(slash ? slash - so : 1), slash ? so : ".", id);
        FILE *f = fopen(path, "rb");
        if (f) {
            fseek(f, 0, SEEK_END);
            long n = ftell(f);
            rewind(f);
            void *w = NULL;
            if (n < 0 || posix_memalign(&w, 64, (size_t)n + 1) || fread(w, 1, (size_t)n, f) != (size_t)n)
                child_fail("cannot read weights", path);
            if (bind(arena, w, (size_t)n)) child_fail("weights were refused", path);
        }
    }
    if (probe.fn) {
        snprintf(sym, sizeof sym, "%s_profile_hook", id);
        void *hook = dlsym(lib, sym);
        if (!hook) child_fail("no such variable", sym);
        *(void (**)(int))hook = on_profile;
        probe.arena = arena, probe.out = out;
    }
    int r = invoke(arena, in, in_dims, out, out_dims);
    if (r) {
        static const char *const why[] = {"",        "arena",
                                          "input",   "shape: an extent is not what the model expects",
                                          "output",  "bound: an extent is larger than what the model was compiled for",
                                          "weights", "threads",
                                          "target"};
        snprintf(sym, sizeof sym, "%d (%s)", r, r > 0 && r < (int)(sizeof why / sizeof *why) ? why[r] : "?");
        child_fail("invoke returned", sym);
    }
    _exit(0);
}

bool exec_watch(Ctx *c, const char *so, const char *id, const Program *p, const void *const *in, const int64_t *const *in_dims,
                void *const *out, ExecWatch *watch, void *user) {
    int64_t **dims = dims_new(c->a, p->g->out.n, p->g->out.v);
    probe.fn = watch, probe.user = user;
    bool ok = exec_call(c, so, id, p, in, in_dims, out, dims);
    probe.fn = NULL;
    return ok;
}
bool exec_call(Ctx *c, const char *so, const char *id, const Program *p, const void *const *in, const int64_t *const *in_dims,
               void *const *out, int64_t *const *out_dims) {
    Graph *g = p->g;
    void **shared = NEW_ARRAY(c->a, void *, g->out.n + 1);
    int64_t **dims = NEW_ARRAY(c->a, int64_t *, g->out.n + 1);
    size_t words = 1;
    for (int i = 0; i < g->out.n; i++) words += (size_t)tensor_dim_words(g->out.v[i]);
    size_t dims_bytes = words * sizeof(int64_t);
    int64_t *all = mmap(NULL, dims_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) return diag_error(c->d, NO_LOC, "out of memory");
    for (int i = 0; i < g->out.n; i++) dims[i] = i ? dims[i - 1] + tensor_dim_words(g->out.v[i - 1]) : all;
    for (int i = 0; i < g->out.n; i++) {
        shared[i] = mmap(NULL, (size_t)tensor_bytes(g->out.v[i]) + 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared[i] == MAP_FAILED) return diag_error(c->d, NO_LOC, "out of memory for output '%s'", g->out.v[i]->name);
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) return diag_error(c->d, NO_LOC, "cannot start a process: %s", strerror(errno));
    if (pid == 0) child_call(so, id, p, in, in_dims, shared, dims);
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    for (int i = 0; i < g->out.n; i++) {
        size_t n = (size_t)tensor_bytes(g->out.v[i]);
        memcpy(out[i], shared[i], n);
        munmap(shared[i], n + 64);
        memcpy(out_dims[i], dims[i], (size_t)tensor_dim_words(g->out.v[i]) * sizeof(int64_t));
    }
    munmap(all, dims_bytes);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return diag_error(c->d, NO_LOC, "the emitted code did not finish in %d s", CALL_SECONDS);
    if (WIFSIGNALED(status)) return diag_error(c->d, NO_LOC, "the emitted code died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status) == 0 || diag_error(c->d, NO_LOC, "the emitted code failed (see above)");
}
