/* SPDX-License-Identifier: Apache-2.0 */
/* verify.h: what the files behind `quern verify` share. */
#ifndef QN_CLI_VERIFY_H
#define QN_CLI_VERIFY_H
#include "cli.h"

/* A program ready to be called: by the interpreter, or as a shared object in a temporary folder. */
typedef struct Runner {
    Program *p;
    const char *id, *dir, *so;
} Runner;
bool runner_open(Ctx *c, Options *o, Runner *r);
void **runner_outputs(Ctx *c, const Graph *g);
int64_t **runner_dims(Ctx *c, const Graph *g,
                      const Value *in); /* extents of each input: the data's, else those that follow, else the bounds */
bool runner_call(Ctx *c, const Options *o, const Runner *r, const void *const *in, int64_t *const *in_dims, void *const *out,
                 int64_t *const *out_dims);
void runner_close(Runner *r);
bool verify_set(Ctx *c, const Options *o, const Runner *r, const DataSet *set); /* all outputs agree; o->quiet: says nothing */

/* verify_nodes.c: --per-node. Prints a line per stored tensor; false after the first one that differs, which is reported. */
bool verify_nodes(Ctx *c, const Options *user, const DataSet *set);
/* verify_bisect.c: --bisect. Prints which pass, and which rule, makes the data set differ. */
void verify_bisect(Ctx *c, const Options *user, const DataSet *set);
/* exec.c: calls emitted code that was built with the profile hook; after kernel k the child calls `watch(user, k)` with the arena and
 * the outputs at hand. What it writes into shared memory is seen here. */
typedef void ExecWatch(void *user, int kernel, const char *arena, void *const *out);
bool exec_watch(Ctx *c, const char *so, const char *id, const Program *p, const void *const *in, const int64_t *const *in_dims,
                void *const *out, ExecWatch *watch, void *user);
#endif
