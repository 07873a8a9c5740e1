/* SPDX-License-Identifier: Apache-2.0 */
/* corpus.h: what the files of the conformance driver share: cases, how one was judged (judge.c), what is said about all (report.c). */
#ifndef QN_CORPUS_H
#define QN_CORPUS_H
#include "cli/cli.h"
#include <jansson.h>

typedef enum Stage { PASS, UNSUPPORTED, REFUSED, CRASH, CC, RUN, WRONG, STAGES } Stage;
extern const char *const stage_name[STAGES];

typedef struct Case {
    const char *corpus; /* the table's first column */
    char *category, *name, *dir, *model;
    char **set;               /* folders with data for one build, */
    int nset, first;          /* whose inputs have the same shapes */
    int bounded;              /* compiled with --max of the stored inputs; 2: with the extents of the stored outputs too */
    bool light;               /* no folder: NAME.onnx and NAME_output_0.pb; element k of n of each input is k/n */
    const struct Case *newer; /* the case of the same name in a corpus that was given before this one; valid once all are found */
    int newer_at;             /* its index + 1; 0: none */
    bool same;                /* … which has the same bytes: this one is not run again */
    uint64_t hash;            /* of all its files */
    char id[24];
    double within; /* what outputs of a model may differ by, if the status file says so; 0: the usual */
    Stage stage;
    char *why;
} Case;
typedef struct Corpus {
    Arena *a;
    Vec(Case) c, same; /* same: cases whose bytes another one has */
    const char *work, *cc, *cflags, *only, *report, *target, *conformance;
    int every;
    Map *known, *within; /* of the status file: reasons; double */
} Corpus;

/* judge.c: runs one data set through a model's entry point and compares; a message when the stage is not PASS. */
typedef int InvokeFn(void *, const void *const *, const int64_t *const *, void *const *, int64_t *const *);
Stage judge_set(Ctx *c, const Case *k, InvokeFn *invoke, const json_t *manifest, const char *dir, const char **why);
/* Cases whose stored values cannot be reproduced, with the reason: judged by other means (random), or not at all. */
typedef enum ExemptKind { EXEMPT_NONE, EXEMPT_RANDOM, EXEMPT_REFUSED, EXEMPT_EMPTY } ExemptKind;
ExemptKind exempt(const Case *k, const char **why);

/* report.c */
void status_read(Corpus *q, const char *path);
void status_apply(Corpus *q); /* to the cases, once they are known */
int corpus_finish(Corpus *q); /* prints the table and writes what was asked for; the exit status */
#endif
