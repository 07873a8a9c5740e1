/* SPDX-License-Identifier: Apache-2.0 */
/* bench_machine.c: what this machine can do: multiply-adds of the target's vectors, and streaming from each level of memory.
 * The loops are printed as C, compiled by the host's compiler like a model, and timed in the process that runs the model. The
 * best of many short bursts counts; with several threads all of them run at once and their rates are added.
 *
 *   bench_fma: twelve independent sums per thread, a = a * x + y      bench_read, bench_triad: on L1/2, L2/2, a part of L3, and beyond it
 */
#define _GNU_SOURCE
#include "bench.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SUMS = 12, BURSTS = 24, MAX_THREADS = 128, MOST_BYTES = 512 << 20, PIECE = 1 << 20, MOST_SAMPLES = 4000 };

typedef float FmaFn(long n, float x, float y);
typedef float ReadFn(const float *b, long n);
typedef void TriadFn(float *a, const float *b, const float *c, float s, long n);

/* A target without vectors is compiled for what every machine of its kind has: 128 bits. */
static int lanes_of(const Target *t) { return t->vector_bits >= 128 ? (int)(t->vector_bits / 32) : 4; }

static void put_fma(Text *t, const char *name, const char *type) { /* by the sum of what the lanes hold */
    text_printf(t, "FN float %s(long n, float x0, float y0) {\n    %s x = (%s1)x0 - (%s){0}, y = (%s1)y0 - (%s){0};\n    %s ", name, type,
                type, type, type, type, type);
    for (int i = 0; i < SUMS; i++) text_printf(t, "%sa%d = y * (%s1)%d", i ? ", " : "", i, type, i);
    text_puts(t, ";\n    for (long i = 0; i < n; i++) {\n");
    for (int i = 0; i < SUMS; i++) text_printf(t, "        a%d = a%d * x + y;\n", i, i);
    text_printf(t, "    }\n    %s all = a0", type);
    for (int i = 1; i < SUMS; i++) text_printf(t, " + a%d", i);
    text_printf(
        t, ";\n    float s = 0;\n    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) s += (float)all[i];\n    return s;\n}\n");
}
void bench_machine_text(Text *t, const Target *target) {
    const char *attribute = target->attribute ? target->attribute : "";
    int lanes = lanes_of(target);
    text_printf(t, "typedef float v1;\ntypedef float v __attribute__((vector_size(%d)));\n#define FN %s __attribute__((noinline))\n",
                lanes * 4, attribute);
    text_printf(t, "FN static float sum(v a) {\n    float s = 0;\n    for (int i = 0; i < %d; i++) s += a[i];\n    return s;\n}\n", lanes);
    put_fma(t, "bench_fma", "v");
    if (target->half) {
        text_printf(t, "typedef _Float16 h1;\ntypedef h1 h __attribute__((vector_size(%d)));\n", lanes * 4);
        put_fma(t, "bench_fma_half", "h");
    }
    text_puts(t, "FN float bench_read(const float *b, long n) {\n    const v *p = (const v *)b;\n    v s[8] = {{0}};\n");
    text_printf(t,
                "    for (long i = 0; i < n / %d; i += 8)\n        for (int k = 0; k < 8; k++) s[k] += p[i + k];\n"
                "    return sum(s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7]);\n}\n",
                lanes);
    text_printf(t,
                "FN void bench_triad(float *a, const float *b, const float *c, float s, long n) {\n"
                "    for (long i = 0; i < n / %d; i++) ((v *)a)[i] = ((const v *)b)[i] + s * ((const v *)c)[i];\n}\n",
                lanes);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- one thread's part; `best` is a rate */
typedef struct Probe {
    FmaFn *fma;
    ReadFn *read;
    TriadFn *triad;
    int lanes;
    int64_t bytes;      /* this thread's working set */
    bool write, beyond; /* beyond: the buffer is larger than all caches */
    double best;
    volatile float sink;
    pthread_barrier_t *start;
} Probe;
static void *probe_fma(void *user) {
    Probe *p = user;
    long n = 20000;
    pthread_barrier_wait(p->start);
    for (int i = 0; i < BURSTS; i++) {
        double t0 = now();
        p->sink = p->fma(n, 0.999f, 1e-3f);
        double t = now() - t0, rate = (double)n * SUMS * p->lanes / t;
        if (rate > p->best) p->best = rate;
        if (t < 5e-4) n *= 2;
    }
    return NULL;
}
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
/* Bursts walk through the buffer in pieces of at most PIECE floats: a burst shorter than a time slice is seldom interrupted. Of a
 * buffer larger than the caches some pieces may still be in one, so there the burst counts that three of four do not exceed. */
static void *probe_stream(void *user) {
    Probe *p = user;
    int streams = p->write ? 3 : 1, samples = 0;
    double rate[MOST_SAMPLES];
    size_t n = (size_t)p->bytes / (size_t)streams / 4 / 1024 * 1024;
    if (n < 1024) n = 1024; /* whole passes of the loops */
    size_t piece = n < PIECE ? n : PIECE, bytes = n * 4 * (size_t)streams;
    float *b = NULL;
    bool ok = posix_memalign((void **)&b, 2 << 20, bytes) == 0;
    if (ok) madvise(b, bytes, MADV_HUGEPAGE), memset(b, 0, bytes);
    pthread_barrier_wait(p->start);
    double begin = now();
    for (size_t at = 0; ok && samples < MOST_SAMPLES && (samples < 16 || now() - begin < 0.06); at = at + 2 * piece <= n ? at + piece : 0) {
        int passes = n < (1 << 13) ? 64 : n < (1 << 17) ? 8 : 1;
        double t0 = now();
        for (int k = 0; k < passes; k++)
            if (p->write) p->triad(b + at, b + n + at, b + 2 * n + at, 0.5f, (long)piece);
            else p->sink = p->read(b + at, (long)piece);
        rate[samples++] = 4.0 * (double)piece * streams * passes / (now() - t0);
    }
    qsort(rate, (size_t)samples, sizeof *rate, by_value);
    if (samples) p->best = rate[p->beyond ? samples * 3 / 4 : samples - 1];
    free(b);
    return NULL;
}
static double measure(const Probe *proto, int threads, void *(*body)(void *)) {
    static Probe part[MAX_THREADS];
    pthread_t id[MAX_THREADS];
    pthread_barrier_t start;
    double sum = 0;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++) {
        part[i] = *proto;
        part[i].start = &start;
        part[i].bytes = proto->bytes;
        if (i && pthread_create(&id[i], NULL, body, &part[i])) return 0;
    }
    body(&part[0]);
    for (int i = 1; i < threads; i++) pthread_join(id[i], NULL);
    for (int i = 0; i < threads; i++) sum += part[i].best;
    pthread_barrier_destroy(&start);
    return sum;
}
/* Linux says what one instance holds; sysconf may add up those of the whole machine. */
static int64_t cache_bytes(int level, int name, int64_t otherwise) {
    for (int i = 0; i < 8; i++) {
        char path[96], type[32] = "", unit = 'K';
        long found = 0, size = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        FILE *f = fopen(path, "r");
        if (!f) break;
        bool ok = fscanf(f, "%ld", &found) == 1 && found == level;
        fclose(f);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        if (!ok || !(f = fopen(path, "r"))) continue;
        ok = fscanf(f, "%31s", type) == 1 && strcmp(type, "Instruction") != 0;
        fclose(f);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (!ok || !(f = fopen(path, "r"))) continue;
        ok = fscanf(f, "%ld%c", &size, &unit) >= 1 && size > 0;
        fclose(f);
        if (ok) return (int64_t)size << (unit == 'M' ? 20 : 10);
    }
    long n = sysconf(name);
    return n > 0 ? n : otherwise;
}
bool bench_machine_measure(const char *so, const Target *target, int threads, BenchMachine *m) {
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return false;
    Probe p = {.lanes = lanes_of(target)};
    *(void **)&p.fma = dlsym(lib, "bench_fma");
    *(void **)&p.read = dlsym(lib, "bench_read");
    *(void **)&p.triad = dlsym(lib, "bench_triad");
    if (!p.fma || !p.read || !p.triad) return false;
    m->lanes = p.lanes, m->threads = threads;
    m->bytes[BENCH_L1] = cache_bytes(1, _SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    m->bytes[BENCH_L2] = cache_bytes(2, _SC_LEVEL2_CACHE_SIZE, 1 << 20);
    m->bytes[BENCH_L3] = cache_bytes(3, _SC_LEVEL3_CACHE_SIZE, 16 << 20);
    m->bytes[BENCH_DRAM] = 0;
    m->peak = measure(&p, threads, probe_fma);
    Probe h = p;
    *(void **)&h.fma = dlsym(lib, "bench_fma_half");
    h.lanes *= 2;
    m->half = h.fma ? measure(&h, threads, probe_fma) : 0;
    /* Half of a private cache; a part of a shared one that no private cache holds; more than all of them. */
    int64_t l1 = m->bytes[BENCH_L1], l2 = m->bytes[BENCH_L2], l3 = m->bytes[BENCH_L3];
    int64_t some = l3 / 2 < 8 * l2 ? l3 / 2 : 8 * l2, all = 4 * l3 < MOST_BYTES ? 4 * l3 : MOST_BYTES;
    const int64_t bytes[BENCH_LEVELS] = {l1 / 2, l2 / 2, some / threads, all / threads};
    for (int l = 0; l < BENCH_LEVELS; l++) {
        p.bytes = bytes[l], p.beyond = l == BENCH_DRAM;
        p.write = false, m->read[l] = measure(&p, threads, probe_stream);
        p.write = true, m->triad[l] = measure(&p, threads, probe_stream);
    }
    double again = measure(&p, threads, probe_fma);
    if (again > m->peak) m->peak = again;
    again = h.fma ? measure(&h, threads, probe_fma) : 0;
    if (again > m->half) m->half = again;
    return m->peak > 0;
}
