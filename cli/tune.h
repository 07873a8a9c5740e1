/* SPDX-License-Identifier: Apache-2.0 */
/* tune.h: what the files of --tune share: tune.c answers, tune_measure.c measures. */
#ifndef QN_CLI_TUNE_H
#define QN_CLI_TUNE_H
#include "cli.h"
#include "ir/target.h"
#include "passes/tune.h"

typedef struct TuneUsed {
    const char *key, *choice;
} TuneUsed;
typedef struct Tuning {
    Ctx *c;
    const Options *o;
    Tuner tuner;
    bool measure;       /* --tune */
    const char *target; /* its name, and the options that choices depend on */
    Map *known, *given; /* key -> choice: of this run, of the file */
    Vec(TuneUsed) used; /* in the order of the questions */
    int measured;
    bool gave_up;     /* nothing can be measured here; said so */
    bool cache;       /* there is one that can be used */
    const char *host; /* what else a measurement depends on: processor, compiler, our version */
} Tuning;

int tune_measure(Tuning *t, const TuneAsk *ask); /* index of the fastest choice; -1: not measured, with a warning */
#endif
