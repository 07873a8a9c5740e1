/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h: what the files of `quern bench` share. bench_run.c fills a BenchResult in a child process, bench_machine.c measures
 * the machine there, cmd_bench.c says what follows from both. */
#ifndef QN_CLI_BENCH_H
#define QN_CLI_BENCH_H
#include "cli.h"
#include "ir/target.h"

enum { BENCH_L1, BENCH_L2, BENCH_L3, BENCH_DRAM, BENCH_LEVELS };

typedef struct BenchMachine {
    int lanes, threads;
    double peak;                 /* float32 multiply-adds per second, all threads */
    int64_t bytes[BENCH_LEVELS]; /* capacity; DRAM: 0 */
    double read[BENCH_LEVELS];   /* bytes per second, all threads */
    double triad[BENCH_LEVELS];  /* a[i] = b[i] + s * c[i], three streams counted */
} BenchMachine;
typedef struct BenchResult { /* in memory shared with the child */
    BenchMachine machine;
    double median, least; /* seconds of one run */
    double cpu;           /* median of the processor time of the calling thread */
    int runs, calls;      /* samples, and calls in each */
    int layer_runs;
    double layer[]; /* per kernel: fastest and median seconds, how often it ran; only with per_layer */
} BenchResult;

/* bench_machine.c: C text that is compiled into a shared object of its own, and what calls it. */
void bench_machine_text(Text *t, const Target *target);
bool bench_machine_measure(const char *so, const Target *target, int threads, BenchMachine *m);

/* bench_run.c */
typedef struct BenchJob {
    const Program *p;
    const char *id, *dir, *so, *machine_so;
    const Target *target;
    const void *const *in;
    const int64_t *const *in_dims;
    int64_t *const *out_dims;
    int threads, runs; /* runs 0: as many as fit into about two seconds */
    bool per_layer;    /* times of kernels are wanted, or it takes them to know which run */
} BenchJob;
bool bench_hook_write(Ctx *c, const char *dir, const char *id, const char *file); /* C text that defines ID_profile */
BenchResult *bench_run(Ctx *c, const BenchJob *j);
#endif
