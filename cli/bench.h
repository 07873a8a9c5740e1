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
    double peak, half;           /* float32 multiply-adds per second, all threads; those of halves, 0: there are none */
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

/* cmd_bench.c: what a model is run on: the first data set of --data, whose dimensions are bound, or noise from a seed. NULL after errors.
 */
bool bench_data(Ctx *c, Options *o, DataSet *set);
const void **bench_inputs(Ctx *c, const Graph *g, DataSet *set);

/* half_error.c */
typedef struct HalfError {
    bool known, data; /* it was measured; on a data set */
    double abs, rel;  /* largest difference of an output from float32's, and as a part of that output's largest value */
    int64_t lost;     /* values that are numbers in one of the two only */
} HalfError;
bool half_error(Ctx *c, Options *o, const Program *p, HalfError *e); /* false after an error */
void half_error_print(Text *t, const HalfError *e);

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
