/* SPDX-License-Identifier: Apache-2.0 */
/* corpus.c: compiles, builds and runs every model below the given folders and compares with the stored data.
 * A case is a folder with model.onnx and test_data_set_N, or NAME.onnx with NAME_output_0.pb. Each case is imported and emitted, twice with
 * equal bytes, in a child process (a crash is one failed case), many cases share one call of the C compiler, and each is called in a child
 * of its own through the manifest alone.
 *
 *   corpus [--work DIR] [--cc CC] [--cflags FLAGS] [--every N] [--status FILE] [--report FILE] [--conformance FILE] [--only TEXT]
 *          [--target NAME] NAME=FOLDER …      newer data first
 *
 * NAME is the table's first column; folders below FOLDER/<category>/<case> give `NAME/category`, FOLDER/<case> gives NAME. A case that
 * has the same bytes as one of the same category and name in an earlier FOLDER is not run again. Exit 1 if a case failed or none ran.
 */
#define _GNU_SOURCE
#include "corpus.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 24, COMPILE_SECONDS = 600, RUN_SECONDS = 120, WORKERS = 2 };

/* ---- finding cases */
static int by_name(const void *x, const void *y) { return strcmp(*(char *const *)x, *(char *const *)y); }
static char **subdirs(Arena *a, const char *dir, int *n) {
    Vec(char *) v = {0};
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char *path = arena_printf(a, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) vec_push(a, &v, arena_strdup(a, e->d_name));
    }
    if (d) closedir(d);
    if (v.n) qsort(v.v, (size_t)v.n, sizeof *v.v, by_name);
    *n = v.n;
    return v.v;
}
static uint64_t fnv(uint64_t h, const void *p, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
    return (h ^ n) * 0x100000001b3u;
}
/* Of the model and all files of its data sets, names included. */
static uint64_t files_hash(Ctx *c, uint64_t h, const char *dir, int depth) {
    Vec(char *) names = {0};
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') vec_push(c->a, &names, arena_strdup(c->a, e->d_name));
    if (d) closedir(d);
    if (names.n) qsort(names.v, (size_t)names.n, sizeof *names.v, by_name);
    for (int i = 0; i < names.n; i++) {
        struct stat st;
        size_t n = 0;
        char *path = arena_printf(c->a, "%s/%s", dir, names.v[i]);
        h = fnv(h, names.v[i], strlen(names.v[i]));
        if (stat(path, &st) != 0) continue;
        const void *bytes = S_ISDIR(st.st_mode) ? NULL : file_read_whole(c, path, SIZE_MAX / 2, &n);
        h = S_ISDIR(st.st_mode) && depth ? files_hash(c, h, path, depth - 1) : fnv(h, bytes, bytes ? n : 0);
    }
    return h;
}
static void case_add(Corpus *q, Case k) {
    const char *rest = strchr(k.category, '/');
    for (int i = 0; i < q->c.n && strcmp(k.corpus, "models") != 0; i++) {
        const char *other = strchr(q->c.v[i].category, '/');
        if (strcmp(q->c.v[i].name, k.name) == 0 && strcmp(q->c.v[i].corpus, k.corpus) != 0 &&
            strcmp(other ? other : "", rest ? rest : "") == 0)
            k.newer_at = i + 1;
    }
    k.same = k.newer_at && q->c.v[k.newer_at - 1].hash == k.hash;
    if (k.same) vec_push(q->a, &q->same, k);
    else vec_push(q->a, &q->c, k);
}
/* Data sets of other shapes (a free batch) make further cases, NAME@1 …: each needs a build of its own. */
static void add_cases(Corpus *q, const char *corpus, const char *category, char *name, char *path) {
    Diags d = {.a = arena_new()};
    Ctx c = {d.a, &d}, keep = {q->a, &d};
    char **sets;
    int n, nmade = 0;
    if (dataset_find(&keep, path, &sets, &n)) {
        DataSet *data = NEW_ARRAY(c.a, DataSet, n);
        Case *made = NEW_ARRAY(c.a, Case, n);
        uint64_t hash = strcmp(corpus, "models") == 0 ? 0 : files_hash(&c, 0xcbf29ce484222325u, path, 1);
        ImportOptions probe = {.free_dims = true};
        ops_init();
        Graph *g = n > 1 ? onnx_import(&c, arena_printf(c.a, "%s/model.onnx", path), &probe) : NULL;
        for (int i = 0; i < n; i++) {
            int at = 0;
            if (n > 1) dataset_read(&c, sets[i], g, &data[i]);
            while (at < nmade && i > 0 && !dataset_same_shapes(&data[i], &data[made[at].first])) at++;
            if (at == nmade)
                made[nmade++] = (Case){.corpus = corpus,
                                       .category = arena_strdup(q->a, category),
                                       .name = i ? arena_printf(q->a, "%s@%d", name, i) : name,
                                       .dir = path,
                                       .model = arena_printf(q->a, "%s/model.onnx", path),
                                       .set = NEW_ARRAY(q->a, char *, n),
                                       .hash = hash,
                                       .first = i};
            made[at].set[made[at].nset++] = sets[i];
        }
        for (int i = 0; i < nmade; i++) case_add(q, made[i]);
    }
    arena_free(d.a);
}
/* NAME.onnx beside NAME_output_0.pb, without a folder. */
static void add_light(Corpus *q, const char *corpus, const char *category, const char *dir) {
    static const char tail[] = "_output_0.pb";
    Vec(char *) names = {0};
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n >= sizeof tail && strcmp(e->d_name + n - (sizeof tail - 1), tail) == 0)
            vec_push(q->a, &names, arena_strndup(q->a, e->d_name, n - (sizeof tail - 1)));
    }
    if (d) closedir(d);
    if (names.n) qsort(names.v, (size_t)names.n, sizeof *names.v, by_name);
    for (int i = 0; i < names.n; i++) {
        Case k = {.corpus = corpus, .category = arena_strdup(q->a, category), .name = names.v[i], .nset = 1, .light = true};
        k.dir = k.model = arena_printf(q->a, "%s/%s.onnx", dir, names.v[i]);
        k.set = NEW_ARRAY(q->a, char *, 1);
        k.set[0] = arena_printf(q->a, "%s/%s%s", dir, names.v[i], tail);
        if (access(k.model, R_OK) == 0 && (!q->only || strstr(k.model, q->only))) case_add(q, k);
    }
}
static void find_cases(Corpus *q, const char *corpus, const char *category, const char *dir, int depth) {
    int n;
    char **sub = subdirs(q->a, dir, &n);
    for (int deeper = 0; deeper < 2; deeper++) /* a folder's own cases first: the table has one line per category */
        for (int i = 0; i < n; i++) {
            char *path = arena_printf(q->a, "%s/%s", dir, sub[i]);
            bool is_case = access(arena_printf(q->a, "%s/model.onnx", path), R_OK) == 0 &&
                           access(arena_printf(q->a, "%s/test_data_set_0", path), R_OK) == 0;
            if (is_case && !deeper && (!q->only || strstr(path, q->only))) add_cases(q, corpus, category, sub[i], path);
            if (!is_case && deeper && depth < 1) find_cases(q, corpus, arena_printf(q->a, "%s/%s", category, sub[i]), path, depth + 1);
        }
    add_light(q, corpus, category, dir);
}

/* ---- children: the message comes back through a pipe, the stage as exit status */
static void limits(int seconds) {
    alarm((unsigned)seconds);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}
static void say(int fd, const char *text) {
    if (write(fd, text, strlen(text)) < 0) _exit(CRASH);
}
/* FNV-1a over the files that were written. */
static uint64_t emitted_hash(Ctx *c, const Corpus *q, const Case *k) {
    static const char *const suffix[] = {".c", ".h", ".json", ".weights", "_weights.S"};
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        char *path = arena_printf(c->a, "%s/%s%s", q->work, k->id, suffix[i]);
        size_t n = 0;
        const uint8_t *s = access(path, R_OK) == 0 ? file_read_whole(c, path, SIZE_MAX / 2, &n) : NULL;
        for (size_t b = 0; s && b < n; b++) h = (h ^ s[b]) * 0x100000001b3u;
        h = (h ^ n) * 0x100000001b3u;
    }
    return h;
}
/* The whole road once. */
static Stage emit_once(Ctx *c, Corpus *q, Case *k) {
    Options o = {.atol = -1, .rtol = -1, .threads = 1, .model = k->model, .name = k->id, .target = q->target};
    DataSet set = {0};
    Emitted e = {0};
    o.pass.verify = true;
    ops_init();
    ImportOptions probe = {.free_dims = true};
    Graph *g = k->light ? NULL : onnx_import(c, o.model, &probe);
    if (!k->light && (!g || !dataset_read(c, k->set[0], g, &set))) return g ? UNSUPPORTED : REFUSED;
    if (!model_bind_dims(c, &o, o.model, set.in.v, set.in.n) || (k->bounded && !model_bind_values(c, &o, o.model, set.in.v, set.in.n)) ||
        (k->bounded > 1 && !model_bind_outputs(c, &o, o.model, set.out.v, set.out.n)))
        return REFUSED;
    Program *p = model_build(c, &o, o.model);
    return p && model_emit(c, &o, p, k->id, q->work, &e) ? PASS : REFUSED;
}
/* A case whose shapes have no bound is compiled again, as a user would: with the largest stored element of each integer input, then with
 * the extents of the stored outputs too. */
static bool refused_bound(const Diags *d) {
    for (int i = 0; i < d->list.n; i++)
        if (strstr(d->list.v[i].text, "no upper bound")) return true;
    return false;
}
static Stage emit_case(Corpus *q, Case *k, int fd) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Stage r = emit_once(&c, q, k);
    if (r == REFUSED && k->bounded < 2 && refused_bound(&d)) return k->bounded++, emit_case(q, k, fd);
    if (r == PASS) { /* a second time, with everything at other addresses */
        uint64_t first = emitted_hash(&c, q, k);
        Arena *b = arena_new();
        Diags d2 = {.a = b};
        Ctx c2 = {b, &d2};
        arena_alloc(b, 12345 * 16);
        if (emit_once(&c2, q, k) != PASS || emitted_hash(&c, q, k) != first) r = (say(fd, "two runs wrote different files"), WRONG);
        arena_free(b);
        return r;
    }
    for (int i = 0; i < d.list.n && r != PASS; i++) {
        Text t = {0};
        if (d.list.v[i].severity != DIAG_ERROR) continue;
        diag_format(&d.list.v[i], &t);
        const char *at = strncmp(t.s, k->model, strlen(k->model)) == 0 ? t.s + strlen(k->model) + 2 : NULL;
        if (strstr(t.s, "nsupported")) r = UNSUPPORTED;
        say(fd, at ? at : t.s);
        break;
    }
    return r;
}
static Stage run_case(Corpus *q, Case *k, const char *so, int fd) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    json_error_t je;
    json_t *m = json_load_file(arena_printf(a, "%s/%s.json", q->work, k->id), 0, &je);
    if (!m) return say(fd, "manifest is not JSON: "), say(fd, je.text), RUN;
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return say(fd, dlerror()), RUN;
    InvokeFn *invoke;
    *(void **)&invoke = dlsym(lib, arena_printf(a, "%s_invoke", k->id));
    if (!invoke) return say(fd, "no invoke function"), RUN;
    Stage r = PASS;
    for (int i = 0; i < k->nset && r == PASS; i++) {
        const char *why = "";
        r = judge_set(&c, k, invoke, m, k->set[i], &why);
        if (r != PASS) say(fd, why);
    }
    json_decref(m);
    return r;
}

typedef Stage (*ChildFn)(Corpus *q, Case *k, const char *so, int fd);
static Stage emit_child(Corpus *q, Case *k, const char *so, int fd) {
    (void)so;
    return emit_case(q, k, fd);
}
static void in_child(Corpus *q, Case *k, ChildFn fn, const char *so, int seconds) {
    int p[2], status;
    char buf[2048];
    size_t n = 0;
    if (pipe(p)) abort();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        limits(seconds);
        close(p[0]);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1), dup2(p[1], 2);
        _exit(fn(q, k, so, p[1]));
    }
    close(p[1]);
    for (ssize_t r; n < sizeof buf - 1 && (r = read(p[0], buf + n, sizeof buf - 1 - n)) > 0;) n += (size_t)r;
    close(p[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    buf[n] = 0;
    buf[strcspn(buf, "\n")] = 0;
    if (WIFSIGNALED(status)) {
        k->stage = CRASH;
        k->why = arena_printf(q->a, "signal %d %s", WTERMSIG(status), buf);
    } else {
        k->stage = WEXITSTATUS(status) < STAGES ? (Stage)WEXITSTATUS(status) : CRASH;
        k->why = arena_strdup(q->a, buf);
    }
}

/* ---- the C compiler, for many cases at once */
static bool build_batch(Corpus *q, Case **k, int n, const char *so) {
    Text t = {0};
    text_printf(&t, "cd '%s' && %s %s -shared -fPIC -o '%s' -I.", q->work, q->cc, q->cflags, so);
    for (int i = 0; i < n; i++) {
        text_printf(&t, " %s.c", k[i]->id);
        if (access(arena_printf(q->a, "%s/%s_weights.S", q->work, k[i]->id), R_OK) == 0) text_printf(&t, " %s_weights.S", k[i]->id);
    }
    text_printf(&t, " -lm 2> '%s.err'", so);
    int status = system(t.s);
    text_free(&t);
    return status == 0;
}
static char *first_line(Corpus *q, const char *path) {
    char line[400] = "", *best = NULL;
    FILE *f = fopen(path, "r");
    while (f && !best && fgets(line, sizeof line, f))
        if (strstr(line, "error") || strstr(line, "warning")) best = arena_strdup(q->a, line);
    if (f) fclose(f);
    if (best) best[strcspn(best, "\n")] = 0;
    return best ? best : (char *)"compiler failed";
}
static void run_batch(Corpus *q, Case *first, int n) {
    Case *ok[BATCH];
    int nok = 0;
    char *so = arena_printf(q->a, "%s/%s.so", q->work, first->id);
    for (int i = 0; i < n; i++) {
        in_child(q, &first[i], emit_child, NULL, COMPILE_SECONDS);
        if (first[i].stage == PASS) ok[nok++] = &first[i];
    }
    if (!nok) return;
    if (build_batch(q, ok, nok, so)) {
        for (int i = 0; i < nok; i++) in_child(q, ok[i], run_case, so, RUN_SECONDS);
        return;
    }
    for (int i = 0; i < nok; i++) { /* find the culprits */
        char *own = arena_printf(q->a, "%s/%s_own.so", q->work, ok[i]->id);
        if (build_batch(q, &ok[i], 1, own)) in_child(q, ok[i], run_case, own, RUN_SECONDS);
        else ok[i]->stage = CC, ok[i]->why = first_line(q, arena_printf(q->a, "%s.err", own));
    }
}
/* Batches are dealt to worker processes; results come back as lines of a file each. */
static void run_all(Corpus *q) {
    int nbatch = (q->c.n + BATCH - 1) / BATCH;
    for (int w = 0; w < WORKERS; w++) {
        fflush(NULL);
        if (fork() != 0) continue;
        FILE *f = fopen(arena_printf(q->a, "%s/result.%d", q->work, w), "w");
        for (int b = w; b < nbatch; b += WORKERS) {
            int n = q->c.n - b * BATCH < BATCH ? q->c.n - b * BATCH : BATCH;
            run_batch(q, &q->c.v[b * BATCH], n);
            for (int i = b * BATCH; f && i < b * BATCH + n; i++)
                fprintf(f, "%d %d %s\n", i, q->c.v[i].stage, q->c.v[i].why ? q->c.v[i].why : "");
        }
        if (f) fclose(f);
        _exit(0);
    }
    while (wait(NULL) > 0 || errno == EINTR) {}
    for (int i = 0; i < q->c.n; i++) q->c.v[i].stage = CRASH, q->c.v[i].why = (char *)"no result";
    for (int w = 0; w < WORKERS; w++) {
        char line[2300];
        FILE *f = fopen(arena_printf(q->a, "%s/result.%d", q->work, w), "r");
        while (f && fgets(line, sizeof line, f)) {
            int i, s, at;
            if (sscanf(line, "%d %d %n", &i, &s, &at) < 2 || i < 0 || i >= q->c.n) continue;
            line[strcspn(line, "\n")] = 0;
            q->c.v[i].stage = (Stage)s;
            q->c.v[i].why = arena_strdup(q->a, line + at);
        }
        if (f) fclose(f);
    }
}

/* Every n-th case, and the newer ones of their names. */
static void select_cases(Corpus *q) {
    int n = q->c.n, kept = 0, *to = NEW_ARRAY(q->a, int, n + 1);
    for (int i = n - 1; i >= 0; i--) {
        if (i % (q->every > 0 ? q->every : 1) == 0) to[i] = 1;
        if (to[i] && q->c.v[i].newer_at) to[q->c.v[i].newer_at - 1] = 1;
    }
    for (int i = 0; i < n; i++) {
        if (!to[i]) continue;
        q->c.v[kept] = q->c.v[i];
        to[i] = kept++;
        if (q->c.v[to[i]].newer_at) q->c.v[to[i]].newer = &q->c.v[to[q->c.v[to[i]].newer_at - 1]];
    }
    q->c.n = kept;
}

int main(int argc, char **argv) {
    Corpus q = {
        .a = arena_new(), .work = "/tmp/quern-corpus", .cc = "cc", .cflags = "-std=c99 -O1 -Wall -Wextra -Werror -pedantic", .every = 1};
    q.known = map_new(q.a), q.within = map_new(q.a);
    const struct {
        const char *name;
        const char **to;
    } opts[] = {{"--work", &q.work},     {"--cc", &q.cc},         {"--cflags", &q.cflags},          {"--only", &q.only},
                {"--report", &q.report}, {"--target", &q.target}, {"--conformance", &q.conformance}};
    for (int i = 1; i < argc; i++) {
        bool used = false;
        for (size_t k = 0; k < sizeof opts / sizeof *opts && i + 1 < argc; k++)
            if (strcmp(argv[i], opts[k].name) == 0) *opts[k].to = argv[++i], used = true;
        if (used) continue;
        if (strcmp(argv[i], "--every") == 0 && i + 1 < argc) q.every = atoi(argv[++i]);
        else if (strcmp(argv[i], "--status") == 0 && i + 1 < argc) status_read(&q, argv[++i]);
        else if (strchr(argv[i], '=')) {
            char *eq = strchr(argv[i], '=');
            const char *corpus = arena_strndup(q.a, argv[i], (size_t)(eq - argv[i]));
            find_cases(&q, corpus, corpus, eq + 1, 0);
        } else return fprintf(stderr, "corpus: unknown argument '%s'\n", argv[i]), 2;
    }
    select_cases(&q);
    for (int i = 0; i < q.c.n; i++) snprintf(q.c.v[i].id, sizeof q.c.v[i].id, "m%05d", i);
    status_apply(&q);
    if (mkdir(q.work, 0777) && errno != EEXIST) return perror(q.work), 1;
    run_all(&q);
    return corpus_finish(&q);
}
