/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: runs random graphs and prints which operators they had in which element types.
 *
 *   fuzz --seed 1 --count 2000          run graphs; failures are printed, shrunk, as test cases
 *   fuzz --seed 1 --count 1 --index 17  one of them again
 *   fuzz … --print                      only print them
 *   fuzz … --write DIR                  also writes those for ONNX Runtime (ort.js); --compare DIR reads its answers
 *   fuzz --probe DIR, --probed DIR      single nodes for it, and which of them it has kernels for: ort.txt
 */
#include "fuzz.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 12, PAIRS_MOST = 6000, PROBES = 5, WANTED = 5, BATCH_SECONDS = 600 };
typedef struct Shared { /* by the parent and the processes that run batches */
    int cover[PAIRS_MOST];
    int graphs, nodes, failed, crashed, wild, empty, symbolic, agree, differ;
} Shared;
static Shared *sum;
static void add(int *p, int n) { __atomic_fetch_add(p, n, __ATOMIC_RELAXED); }
static struct {
    long seed, count, index, jobs;
    const char *work, *table, *write, *compare, *probe, *probed;
    bool coverage, all, print;
} o = {.seed = 1, .count = 100, .jobs = 2, .work = "/tmp/quern-fuzz"};

static Fuzz *graph_new_of(int index) {
    Arena *a = arena_new();
    Fuzz *f = NEW(a, Fuzz);
    f->a = a;
    graph_generate(f, (uint64_t)o.seed, index);
    if (o.all)
        for (int i = 0; i < f->v.n; i++) f->v.v[i].shown = true;
    return f;
}
static void count(const Fuzz *f) {
    add(&sum->graphs, 1), add(&sum->nodes, f->n.n), add(&sum->wild, f->wild), add(&sum->empty, f->empty), add(&sum->symbolic, f->symbolic);
    for (int i = 0; i < f->n.n; i++) {
        int k = pair_find(f->n.v[i].op, node_type(f, &f->n.v[i]));
        if (k >= 0) add(&sum->cover[k], 1);
    }
}
static void report(Fuzz *f, int index, const char *what) {
    printf("graph %d of seed %ld: %s\n", index, o.seed, what);
    graph_shrink(f, o.work, what);
    const char *now = NULL;
    graphs_run(&f, 1, o.work, &now);
    printf("%s# %s\n\n", graph_qir(f, f->a), now ? now : what);
    fflush(stdout);
}
static char folder[1024];
static const char *folder_of(const char *dir, int index) {
    snprintf(folder, sizeof folder, "%s/g%05d", dir, index);
    return folder;
}
/* What ONNX Runtime answered; with --all the first node that differs stands alone. */
static void compare(Fuzz *f, int index) {
    const char *why = ort_compare(f, folder_of(o.compare, index));
    if (!why) add(&sum->agree, 1);
    else if (*why == '-') printf("graph %d: not run: %s\n", index, why + 1);
    else {
        add(&sum->differ, 1);
        printf("graph %d of seed %ld: ONNX Runtime: %s\n", index, o.seed, why);
        int value = atoi(why + 1);
        for (int i = 0; i < f->n.n && o.all; i++) f->n.v[i].gone = i != f->v.v[value].def;
        if (o.all) printf("%s\n", graph_qir(f, f->a));
    }
}
static void batch(int first, int n) {
    Fuzz *f[BATCH];
    const char *what[BATCH] = {NULL};
    for (int i = 0; i < n; i++) f[i] = graph_new_of(first + i);
    for (int i = 0; i < n && o.print; i++) printf("%s\n", graph_qir(f[i], f[i]->a));
    if (!o.compare && !o.print) graphs_run(f, n, o.work, what);
    for (int i = 0; i < n; i++) {
        count(f[i]);
        if (what[i]) add(&sum->failed, 1), report(f[i], first + i, what[i]);
        if (o.write && f[i]->ort) ort_write(f[i], folder_of(o.write, first + i));
        if (o.compare && f[i]->ort) compare(f[i], first + i);
        arena_free(f[i]->a);
    }
}
static pid_t start(int first, int n) {
    static char replay[128];
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0) return pid;
    snprintf(replay, sizeof replay, "fuzz --seed %ld --index %d --count %d", o.seed, first, n);
    bug_replay = replay;
    snprintf(folder, sizeof folder, "%s/%d", o.work, first);
    char *own = strdup(folder);
    mkdir(own, 0777);
    o.work = own;
    alarm(BATCH_SECONDS);
    batch(first, n);
    fflush(NULL);
    snprintf(folder, sizeof folder, "rm -rf '%s'", own);
    _exit(system(folder) != 0);
}
static bool died(int status) { return !WIFEXITED(status) || WEXITSTATUS(status) != 0; }
static void run_all(void) {
    long next = o.index, end = o.index + o.count;
    struct {
        pid_t pid;
        long first, n;
    } running[64];
    int now = 0;
    while (next < end || now) {
        while (now < o.jobs && next < end) {
            long n = end - next < BATCH ? end - next : BATCH;
            running[now].pid = start((int)next, (int)n);
            running[now].first = next, running[now++].n = n;
            next += n;
        }
        int status, k = 0;
        pid_t pid = wait(&status);
        if (pid < 0 && errno == EINTR) continue;
        while (k < now && running[k].pid != pid) k++;
        if (k == now) continue;
        for (long i = 0; i < running[k].n && died(status); i++) { /* which of them was it? */
            int one;
            pid_t p = start((int)(running[k].first + i), 1);
            while (waitpid(p, &one, 0) < 0 && errno == EINTR) {}
            if (!died(one)) continue;
            sum->crashed++;
            printf("graph %ld of seed %ld: the compiler died (%s %d)\n", running[k].first + i, o.seed,
                   WIFSIGNALED(one) ? "signal" : "status", WIFSIGNALED(one) ? WTERMSIG(one) : WEXITSTATUS(one));
        }
        running[k] = running[--now];
    }
}

/* ---- the table */
static int print_coverage(void) {
    int few = 0;
    printf("\noperator: element types, how often (x: never)\n");
    for (int i = 0; i < pair_count();) {
        const OpDef *op = pair_op(i);
        printf("%s%s%s:", op->domain, *op->domain ? "::" : "", op->name);
        for (; i < pair_count() && pair_op(i) == op; i++) {
            if (sum->cover[i]) printf(" %s %d%s", dtype_name(pair_type(i)), sum->cover[i], sum->cover[i] < WANTED ? "!" : "");
            else printf(" %s x", dtype_name(pair_type(i)));
            few += sum->cover[i] < WANTED;
        }
        printf("\n");
    }
    printf("with values that are no tensors, or bounds of their own (tests/data/lists, tests/data/images):");
    for (int i = 0; i < op_count(); i++) {
        bool has = strcmp(op_at(i)->domain, "quern") == 0 || strncmp(op_at(i)->doc, "Internal", 8) == 0;
        for (int k = 0; k < row_count() && !has; k++) has = row_at(k)->op == op_at(i);
        if (!has) printf(" %s", op_at(i)->name);
    }
    printf("\n%d of %d pairs of operator and type less than %d times\n", few, pair_count(), WANTED);
    return few;
}

/* ---- which kernels ONNX Runtime has */
static void probe_pair(const char *dir, int i) {
    for (int k = 0; k < PROBES; k++) {
        Arena *a = arena_new();
        Fuzz *f = NEW(a, Fuzz);
        *f = (Fuzz){.a = a, .state = (uint64_t)(i * PROBES + k) * 77, .ort = true};
        bool made = false;
        for (int tries = 0; tries < 20 && !made; tries++) {
            const Row *row = row_at((int)pick(f, 0, row_count() - 1));
            for (int r = 0; r < row_count() && row->op != pair_op(i); r++) row = row_at((int)pick(f, 0, row_count() - 1));
            for (int r = 0; r < row_count() && row->op != pair_op(i); r++) row = row_at(r);
            f->v.n = f->n.n = 0;
            made = !strchr(row->flags, 'N') && node_make(f, row, pair_type(i));
        }
        if (made) ort_write(f, folder_of(dir, i * PROBES + k));
        arena_free(a);
    }
}
static void probe(const char *dir) {
    for (int i = 0; i < pair_count(); i++) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) probe_pair(dir, i), _exit(0);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        if (died(status)) printf("%s of %s: the compiler died\n", pair_op(i)->name, dtype_name(pair_type(i)));
    }
}
static void probed(const char *dir) {
    for (int i = 0; i < pair_count();) {
        const OpDef *op = pair_op(i);
        Text t = {0};
        for (; i < pair_count() && pair_op(i) == op; i++) {
            int ran = 0, made = 0;
            char path[1100];
            for (int k = 0; k < PROBES; k++) {
                snprintf(path, sizeof path, "%s/in.json", folder_of(dir, i * PROBES + k)), made += access(path, R_OK) == 0;
                snprintf(path, sizeof path, "%s/out.json", folder_of(dir, i * PROBES + k)), ran += access(path, R_OK) == 0;
            }
            if (ran && ran + 1 >= made) text_printf(&t, " %s", dtype_name(pair_type(i)));
        }
        if (t.n) printf("%s:%s%s\n", op->domain, op->name, t.s);
        text_free(&t);
    }
}

int main(int argc, char **argv) {
    const struct {
        const char *name;
        const char **text;
        long *number;
    } opts[] = {{"--seed", NULL, &o.seed},   {"--count", NULL, &o.count},  {"--index", NULL, &o.index}, {"--jobs", NULL, &o.jobs},
                {"--work", &o.work, NULL},   {"--table", &o.table, NULL},  {"--write", &o.write, NULL}, {"--compare", &o.compare, NULL},
                {"--probe", &o.probe, NULL}, {"--probed", &o.probed, NULL}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        if (strcmp(argv[i], "--coverage") == 0 && (o.coverage = true)) continue;
        if (strcmp(argv[i], "--print") == 0 && (o.print = true)) continue;
        if (strcmp(argv[i], "--all") == 0 && (o.all = true)) continue;
        while (k < sizeof opts / sizeof *opts && strcmp(argv[i], opts[k].name) != 0) k++;
        if (k == sizeof opts / sizeof *opts || i + 1 == argc) return fprintf(stderr, "fuzz: unknown argument '%s'\n", argv[i]), 2;
        if (opts[k].text) *opts[k].text = argv[++i];
        else *opts[k].number = atol(argv[++i]);
    }
    if (o.jobs < 1 || o.jobs > 64) o.jobs = 2;
    ops_init();
    sum = mmap(NULL, sizeof *sum, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sum == MAP_FAILED) return perror("fuzz"), 1;
    pairs_make(o.table ? o.table : QUERN_SOURCE_DIR "/tests/fuzz/ort.txt");
    const char *const dirs[] = {o.work, o.write, o.probe};
    for (int i = 0; i < 3; i++)
        if (dirs[i] && mkdir(dirs[i], 0777) && errno != EEXIST) return perror(dirs[i]), 1;
    if (o.probe) return probe(o.probe), 0;
    if (o.probed) return probed(o.probed), 0;
    printf("fuzz: seed %ld, graphs %ld to %ld\n", o.seed, o.index, o.index + o.count - 1);
    run_all();
    if (o.coverage) print_coverage();
    printf("%d graphs, %d nodes; %d with run-time extents, %d with empty tensors, %d with NaN, infinities and extreme integers\n",
           sum->graphs, sum->nodes, sum->symbolic, sum->empty, sum->wild);
    if (o.compare)
        printf("ONNX Runtime: %d agree, %d differ, %d have no kernel there\n", sum->agree, sum->differ,
               sum->graphs - sum->agree - sum->differ);
    int bad = sum->failed + sum->crashed + sum->differ;
    printf("fuzz: %d passed, %d failed\n", sum->graphs + sum->crashed - bad, bad);
    return bad != 0;
}
