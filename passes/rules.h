/* SPDX-License-Identifier: Apache-2.0 */
/* rules.h: what guards and builders of rules.def get. Only rules*.c include it. */
#ifndef QN_PASSES_RULES_H
#define QN_PASSES_RULES_H
#include "internal.h"

typedef struct Match {
    Ctx *c;
    Graph *g;
    Node *node[4]; /* the pattern's nodes, outermost first; new nodes go before node[0] */
    Tensor *t[26]; /* by variable letter; NULL when absent */
} Match;
typedef bool (*GuardFn)(const Match *m);    /* looks, changes nothing */
typedef Tensor *(*BuildFn)(const Match *m); /* what replaces the root's output 0 */
#define VAR(m, letter) ((m)->t[(letter) - 'a'])

/* attributes by name; `def` when the op has none such */
int64_t get_i(const Node *n, const char *name, int64_t def);
float get_f(const Node *n, const char *name, float def);
const char *get_s(const Node *n, const char *name, const char *def);
const int64_t *get_is(const Node *n, const char *name, int64_t *count); /* NULL, 0 when absent */
void put_is(Graph *g, Node *n, const char *name, const int64_t *v, int64_t count);
void put_i(Node *n, const char *name, int64_t v);

#define GUARD(name) bool guard_##name(const Match *m)
#define BUILD(name) Tensor *build_##name(const Match *m)
#define RULE(name, pattern, guard, builder, doc)                                                                                           \
    GUARD(guard);                                                                                                                          \
    BUILD(builder);
#include "rules.def"
#undef RULE
#endif
