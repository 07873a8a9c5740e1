/* SPDX-License-Identifier: Apache-2.0 */
/* child.c: a process that loads one model and runs it when told to, so that two of them can be timed in turns.
 *
 *   child emitted|ort SPEC        SPEC: lines "file PATH", "prefix ID", "threads N", "arena BYTES STATE", "in TYPE RANK DIM… FILE",
 *                                 "out BYTES"
 *   stdin                         stdout
 *                                 ready
 *   run 20                        t 1234567 1230000        wall and thread time of the 20 runs in nanoseconds
 *   out /tmp/y                    o 4000 16                writes /tmp/y.0, /tmp/y.1; their sizes
 *   rss                           r 123456                 the largest resident set so far, in KiB
 */
#define _GNU_SOURCE
#include "child.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn void fail(const char *format, ...) {
    va_list v;
    va_start(v, format);
    fputs("error ", stdout);
    vprintf(format, v);
    va_end(v);
    puts("");
    fflush(stdout);
    exit(1);
}
void *memory(size_t bytes) {
    void *p = NULL;
    if (posix_memalign(&p, bytes >= (4 << 20) ? 2 << 20 : bytes >= (1 << 20) ? 4096 : 64, bytes + 64))
        fail("out of memory: %zu bytes", bytes);
    return memset(p, 0, bytes + 64);
}
static void read_input(Tensor *t, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    t->bytes = (size_t)ftell(f);
    rewind(f);
    t->data = memory(t->bytes);
    if (fread(t->data, 1, t->bytes, f) != t->bytes) fail("cannot read %s", path);
    fclose(f);
}
static void read_spec(Model *m, const char *path) {
    FILE *f = fopen(path, "r");
    char line[8192], *save = NULL;
    if (!f) fail("cannot open %s", path);
    while (fgets(line, sizeof line, f)) {
        const char *key = strtok_r(line, " \n", &save);
        if (!key) continue;
        char *rest = strtok_r(NULL, "\n", &save);
        if (!rest) fail("%s: '%s' without a value", path, key);
        if (!strcmp(key, "file")) m->file = strdup(rest);
        if (!strcmp(key, "prefix")) m->prefix = strdup(rest);
        if (!strcmp(key, "threads")) m->threads = atoi(rest);
        if (!strcmp(key, "arena") && sscanf(rest, "%zu %zu", &m->arena_bytes, &m->state_bytes) != 2) fail("%s: arena", path);
        if (m->nin == MAX_TENSORS || m->nout == MAX_TENSORS) fail("more than %d tensors", MAX_TENSORS);
        if (!strcmp(key, "out")) {
            Tensor *t = &m->out[m->nout++];
            t->bytes = (size_t)strtoull(rest, NULL, 10);
            t->data = memory(t->bytes);
        }
        if (strcmp(key, "in") != 0) continue;
        Tensor *t = &m->in[m->nin++];
        char *at = rest;
        t->type = (int)strtol(at, &at, 10);
        t->rank = (int)strtol(at, &at, 10);
        if (t->rank > MAX_RANK) fail("an input has rank %d", t->rank);
        for (int i = 0; i < t->rank; i++) t->dim[i] = strtoll(at, &at, 10);
        read_input(t, at + 1);
    }
    fclose(f);
}
static long long nanoseconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}
static void write_outputs(const Model *m, const char *prefix) {
    printf("o");
    for (int i = 0; i < m->nout; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s.%d", prefix, i);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(m->out[i].data, 1, m->out[i].bytes, f) != m->out[i].bytes || fclose(f)) fail("cannot write %s", path);
        printf(" %zu", m->out[i].bytes);
    }
    puts("");
}
static long resident(void) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &kib);
    if (f) fclose(f);
    return kib;
}

int main(int argc, char **argv) {
    static Model m = {.threads = 1};
    const Runner *all[] = {&runner_emitted, &runner_ort}, *r = NULL;
    for (int i = 0; i < 2 && argc == 3; i++)
        if (!strcmp(argv[1], all[i]->name)) r = all[i];
    if (!r) return fprintf(stderr, "usage: child emitted|ort SPEC\n"), 2;
    read_spec(&m, argv[2]);
    r->open(&m);
    puts("ready");
    fflush(stdout);
    for (char line[4096]; fgets(line, sizeof line, stdin); fflush(stdout)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "run ", 4)) {
            long n = atol(line + 4);
            long long wall = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
            for (long i = 0; i < n; i++) r->run(&m);
            cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu, wall = nanoseconds(CLOCK_MONOTONIC) - wall;
            printf("t %lld %lld\n", wall, cpu);
        } else if (!strncmp(line, "out ", 4)) write_outputs(&m, line + 4);
        else if (!strcmp(line, "rss")) printf("r %ld\n", resident());
        else fail("unknown command '%s'", line);
    }
    return 0;
}
