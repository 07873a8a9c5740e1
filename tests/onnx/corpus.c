/* SPDX-License-Identifier: Apache-2.0 */
/* corpus.c: compiles, builds and runs every model below the given folders and compares with the stored data.
 * A case is a folder with model.onnx and test_data_set_N. Each case is imported and emitted, twice with equal bytes, in a child process (a
 * crash is one failed case), many cases share one call of the C compiler, and each is called in a child of its own through the manifest
 * alone.
 *
 *   corpus [--work DIR] [--cc CC] [--cflags FLAGS] [--every N] [--status FILE] [--report FILE] [--only TEXT] [--target NAME] NAME=FOLDER …
 *
 * NAME is the table's first column; folders below FOLDER/<category>/<case> give `NAME/category`, FOLDER/<case> gives NAME.
 * The status file lists cases known to fail, one `NAME/…/case reason` a line: they count as skipped, and a listed case that
 * passes is a failure, so that the list can only shrink. Exit 1 if a case failed or none ran.
 */
#define _GNU_SOURCE
#include "cli/cli.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
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

enum { BATCH = 24, COMPILE_SECONDS = 60, RUN_SECONDS = 120, WORKERS = 2 };
typedef enum Stage { PASS, UNSUPPORTED, REFUSED, CRASH, CC, RUN, WRONG, STAGES } Stage;
static const char *const stage_name[STAGES] = {"pass", "unsupported", "refused", "crash", "cc", "run", "wrong"};

typedef struct Case {
    char *category, *name, *dir; /* dir holds model.onnx */
    char **set;                  /* folders with data for one build, */
    int nset, first;             /* whose inputs have the same shapes */
    char id[24];
    Stage stage;
    char *why;
    bool known;
} Case;
typedef struct Corpus {
    Arena *a;
    Vec(Case) c;
    const char *work, *cc, *cflags, *only, *report, *target;
    int every;
    Map *known;
} Corpus;

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
/* Data sets of other shapes (a free batch) make further cases, NAME@1 …: each needs a build of its own. */
static void add_cases(Corpus *q, const char *category, char *name, char *path) {
    Diags d = {.a = arena_new()};
    Ctx c = {d.a, &d}, keep = {q->a, &d};
    char **sets;
    int n;
    if (dataset_find(&keep, path, &sets, &n)) {
        DataSet *data = NEW_ARRAY(c.a, DataSet, n);
        int first = q->c.n;
        for (int i = 0; i < n; i++) {
            int at = first;
            if (n > 1) dataset_read(&c, sets[i], &data[i]);
            while (at < q->c.n && i > 0 && !dataset_same_shapes(&data[i], &data[q->c.v[at].first])) at++;
            if (at == q->c.n) {
                Case k = {.category = arena_strdup(q->a, category),
                          .name = i ? arena_printf(q->a, "%s@%d", name, i) : name,
                          .dir = path,
                          .first = i};
                k.set = NEW_ARRAY(q->a, char *, n);
                vec_push(q->a, &q->c, k);
            }
            Case *k = &q->c.v[at];
            k->set[k->nset++] = sets[i];
        }
    }
    arena_free(d.a);
}
static void find_cases(Corpus *q, const char *category, const char *dir, int depth) {
    int n;
    char **sub = subdirs(q->a, dir, &n);
    for (int deeper = 0; deeper < 2; deeper++) /* a folder's own cases first: the table has one line per category */
        for (int i = 0; i < n; i++) {
            char *path = arena_printf(q->a, "%s/%s", dir, sub[i]);
            bool is_case = access(arena_printf(q->a, "%s/model.onnx", path), R_OK) == 0 &&
                           access(arena_printf(q->a, "%s/test_data_set_0", path), R_OK) == 0;
            if (is_case && !deeper && (!q->only || strstr(path, q->only))) add_cases(q, category, sub[i], path);
            if (!is_case && deeper && depth < 1) find_cases(q, arena_printf(q->a, "%s/%s", category, sub[i]), path, depth + 1);
        }
}
static void read_status(Corpus *q, const char *path) {
    FILE *f = fopen(path, "r");
    char line[1024];
    while (f && fgets(line, sizeof line, f)) {
        char *end = line + strcspn(line, " \t\n");
        if (line[0] == '#' || end == line) continue;
        char *why = end + strspn(end, " \t\n");
        why[strcspn(why, "\n")] = 0;
        map_set(q->known, arena_strndup(q->a, line, (size_t)(end - line)), arena_strdup(q->a, why));
    }
    if (f) fclose(f);
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
    Options o = {
        .atol = -1, .rtol = -1, .threads = 1, .model = arena_printf(c->a, "%s/model.onnx", k->dir), .name = k->id, .target = q->target};
    DataSet set = {0};
    Emitted e = {0};
    o.pass.verify = true;
    ops_init();
    if (!dataset_read(c, k->set[0], &set)) return UNSUPPORTED;
    if (!model_bind_dims(c, &o, o.model, set.in.v, set.in.n)) return REFUSED;
    Program *p = model_build(c, &o, o.model);
    return p && model_emit(c, &o, p, k->id, q->work, &e) ? PASS : REFUSED;
}
static Stage emit_case(Corpus *q, Case *k, int fd) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Stage r = emit_once(&c, q, k);
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
        const char *at = strstr(t.s, "model.onnx: ");
        if (strstr(t.s, "nsupported")) r = UNSUPPORTED;
        say(fd, at ? at + 12 : t.s);
        break;
    }
    return r;
}
typedef int InvokeFn(void *, const void *const *, const int64_t *const *, void *const *, int64_t *const *);
static const char *entry_str(const json_t *e, const char *key) { return json_string_value(json_object_get(e, key)); }
static bool entry_type(const json_t *e, Type *t) {
    const json_t *shape = json_object_get(e, "shape");
    t->dt = dtype_parse(entry_str(e, "dtype") ? entry_str(e, "dtype") : "");
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank && i < QN_MAX_RANK; i++) t->dim[i] = json_integer_value(json_array_get(shape, (size_t)i));
    return t->dt != DT_NONE;
}
static Stage run_set(Ctx *c, Case *k, InvokeFn *invoke, const json_t *m, const char *dir, int fd) {
    DataSet set = {0};
    const json_t *ins = json_object_get(m, "inputs"), *outs = json_object_get(m, "outputs");
    size_t nin = json_array_size(ins), nout = json_array_size(outs);
    char why[300];
    void *arena = NULL;
    if (!dataset_read(c, dir, &set)) return say(fd, "data not readable"), RUN;
    if ((size_t)set.in.n < nin) return say(fd, "fewer stored inputs than the manifest has"), RUN;
    const void **in = NEW_ARRAY(c->a, const void *, nin + 1);
    void **out = NEW_ARRAY(c->a, void *, nout + 1);
    for (size_t i = 0; i < nin; i++) {
        Type t = {0};
        if (!entry_type(json_array_get(ins, i), &t) || !value_fit(&set.in.v[i], &t))
            return say(fd, "stored input has another type than the manifest says"), RUN;
        in[i] = set.in.v[i].data;
    }
    for (size_t i = 0; i < nout; i++)
        out[i] = arena_alloc(c->a, (size_t)json_integer_value(json_object_get(json_array_get(outs, i), "max_bytes")) + 1);
    if (posix_memalign(&arena, 64, (size_t)json_integer_value(json_object_get(m, "arena_bytes")) + 1)) return say(fd, "no memory"), RUN;
    memset(arena, 0xa5, (size_t)json_integer_value(json_object_get(m, "arena_bytes")));
    memset(arena, 0, (size_t)json_integer_value(json_object_get(m, "state_bytes")));
    int r = invoke(arena, in, NULL, out, NULL);
    if (r) return snprintf(why, sizeof why, "invoke returned %d", r), say(fd, why), RUN;
    (void)k;
    for (size_t i = 0; i < nout && i < (size_t)set.out.n; i++) {
        Type t = {0};
        Value *want = &set.out.v[i];
        bool recurrent =
            strstr(k->dir, "lstm") || strstr(k->dir, "gru") || strstr(k->dir, "rnn") || json_is_true(json_object_get(m, "recurrent"));
        if (!entry_type(json_array_get(outs, i), &t) || !value_fit(want, &t)) {
            Text x = {0}, y = {0};
            type_print(&t, &x), type_print(&want->type, &y);
            snprintf(why, sizeof why, "output %zu is %s, stored is %s", i, x.s, y.s);
            return say(fd, why), WRONG;
        }
        int64_t n;
        type_elements(&t, &n);
        Tolerance tol = tolerance_default(&(Graph){0}, t.dt, -1, -1);
        if (recurrent && tol.atol == 1e-4) tol = (Tolerance){1e-3, 1e-3};
        Compared cmp = compare_values(t.dt, n, out[i], want->data, tol);
        if (!cmp.ok) {
            snprintf(why, sizeof why, "output %zu: %lld of %lld differ, e.g. [%lld] %.7g, expected %.7g", i, (long long)cmp.bad,
                     (long long)n, (long long)cmp.at, dtype_get_f(t.dt, out[i], cmp.at), dtype_get_f(t.dt, want->data, cmp.at));
            return say(fd, why), WRONG;
        }
    }
    free(arena);
    return PASS;
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
    for (int i = 0; i < k->nset && r == PASS; i++) r = run_set(&c, k, invoke, m, k->set[i], fd);
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

static void print_table(const Corpus *q) {
    printf("%-28s %7s", "category", "cases");
    for (int s = 0; s < STAGES; s++) printf(" %11s", stage_name[s]);
    puts("");
    for (int i = 0; i < q->c.n;) {
        int count[STAGES] = {0}, n = 0;
        const char *cat = q->c.v[i].category;
        for (; i < q->c.n && strcmp(q->c.v[i].category, cat) == 0; i++, n++) count[q->c.v[i].stage]++;
        printf("%-28s %7d", cat, n);
        for (int s = 0; s < STAGES; s++) printf(" %11d", count[s]);
        puts("");
    }
}
static int finish(Corpus *q) {
    int passed = 0, failed = 0, skipped = 0;
    FILE *rep = q->report ? fopen(q->report, "w") : NULL;
    for (int i = 0; i < q->c.n; i++) {
        Case *k = &q->c.v[i];
        char *full = arena_printf(q->a, "%s/%s", k->category, k->name);
        const char *known = map_get(q->known, full);
        if (rep) fprintf(rep, "%s %s %s\n", full, stage_name[k->stage], k->why ? k->why : "");
        if (k->stage == PASS && known)
            printf("FAIL %s: passes, but is listed as known to fail (%s); remove the line\n", full, known), failed++;
        else if (k->stage == PASS) passed++;
        else if (known) skipped++;
        else printf("FAIL %s: %s: %s\n", full, stage_name[k->stage], k->why), failed++;
    }
    if (rep) fclose(rep);
    print_table(q);
    printf("corpus: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed || !passed;
}

int main(int argc, char **argv) {
    Corpus q = {
        .a = arena_new(), .work = "/tmp/quern-corpus", .cc = "cc", .cflags = "-std=c99 -O1 -Wall -Wextra -Werror -pedantic", .every = 1};
    q.known = map_new(q.a);
    const struct {
        const char *name;
        const char **to;
    } opts[] = {{"--work", &q.work}, {"--cc", &q.cc},         {"--cflags", &q.cflags},
                {"--only", &q.only}, {"--report", &q.report}, {"--target", &q.target}};
    for (int i = 1; i < argc; i++) {
        bool used = false;
        for (size_t k = 0; k < sizeof opts / sizeof *opts && i + 1 < argc; k++)
            if (strcmp(argv[i], opts[k].name) == 0) *opts[k].to = argv[++i], used = true;
        if (used) continue;
        if (strcmp(argv[i], "--every") == 0 && i + 1 < argc) q.every = atoi(argv[++i]);
        else if (strcmp(argv[i], "--status") == 0 && i + 1 < argc) read_status(&q, argv[++i]);
        else if (strchr(argv[i], '=')) {
            char *eq = strchr(argv[i], '=');
            find_cases(&q, arena_strndup(q.a, argv[i], (size_t)(eq - argv[i])), eq + 1, 0);
        } else return fprintf(stderr, "corpus: unknown argument '%s'\n", argv[i]), 2;
    }
    int n = 0;
    for (int i = 0; i < q.c.n; i++)
        if (i % (q.every > 0 ? q.every : 1) == 0) q.c.v[n++] = q.c.v[i];
    q.c.n = n;
    for (int i = 0; i < n; i++) snprintf(q.c.v[i].id, sizeof q.c.v[i].id, "m%05d", i);
    if (mkdir(q.work, 0777) && errno != EEXIST) return perror(q.work), 1;
    run_all(&q);
    return finish(&q);
}
