/* SPDX-License-Identifier: Apache-2.0 */
/* tune.h: where a pass has several mappings of one kernel to choose from, all right, it asks; whoever compiles may know the answer
 * from a measurement. Without a tuner the first choice, the one that the estimate finds best, is taken. */
#ifndef QN_PASSES_TUNE_H
#define QN_PASSES_TUNE_H
#include "ir/graph.h"

enum { TUNE_MOST = 12 };
typedef struct TuneAsk {
    const char *kernel;            /* what is computed, and everything that the choices depend on beside the target: a key */
    const Node *node;              /* the operator, before it is rewritten: with constant weights and typed operands */
    int n;                         /* choices */
    const char *choice[TUNE_MOST]; /* as text, none twice; the first is the estimate's */
} TuneAsk;
typedef struct Tuner {
    void *user;
    int (*choose)(void *user, const TuneAsk *ask); /* index of a choice */
} Tuner;

static inline void tune_add(TuneAsk *ask, const char *choice) {
    for (int i = 0; i < ask->n; i++)
        if (!__builtin_strcmp(ask->choice[i], choice)) return;
    if (ask->n < TUNE_MOST) ask->choice[ask->n++] = choice;
}
static inline const char *tune_answer(const Tuner *t, const TuneAsk *ask) {
    return ask->choice[t && ask->n > 1 ? t->choose(t->user, ask) : 0];
}
#endif
