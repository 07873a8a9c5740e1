/* SPDX-License-Identifier: Apache-2.0 */
/* passes.h: graph -> graph, graph -> program. A pass is a row of passes.def; each row gives --dump-after, --time-passes,
 * --passes and `quern passes` for free. The verifier runs after each pass in debug builds and tests. */
#ifndef QN_PASSES_H
#define QN_PASSES_H
#include "ir/ir.h"

/* A mapping that a user gave for one layer of a model, by the name of its node. Its problem is layer_shape's. */
struct Mapping;
typedef struct LayerMapping {
    const char *layer;
    Loc loc; /* where it was read */
    const struct Mapping *m;
} LayerMapping;
typedef struct PassOptions {
    const char *list; /* --passes: comma separated names to run instead of the default list; "-name" leaves one out; NULL: default */
    Vec(const char *) no_rule;          /* --no-rule */
    Vec(const char *) dump_after;       /* --dump-after; "all" for every pass. Dumps go to stdout as graph or loop text */
    bool time;                          /* --time-passes: a table on stderr */
    bool verify;                        /* run the verifiers after each pass */
    const struct Target *target;        /* what layouts are chosen for; NULL: any C99 compiler */
    Vec(const struct Target *) variant; /* code for each of these, best first; none: for `target` */
    Vec(LayerMapping) mapping;          /* of --mapping: layers that are computed as these say */
    bool precise;                       /* the same bits from every target: one order of sums, exact operations */
    bool fast_f16;                      /* products and what stands around them in half precision */
    bool narrow_weights;                /* what is scaled in blocks is not folded */
    int threads;                        /* loops are shared by up to so many; 0 and 1: by none */
    bool any_weights;                   /* weights may grow without bound: a part of a model is measured */
    const struct Tuner *tuner;          /* answers which mapping to take (tune.h); NULL: the estimate's */
    int64_t max_string;                 /* bytes of an input's strings, each; 0: 256 */
    int64_t state_bytes;                /* reserved at the arena's start */
} PassOptions;

/* Runs the graph passes, lowers and plans. NULL after errors. */
Program *passes_run(Ctx *c, Graph *g, const PassOptions *o);
void passes_markdown(Text *out);  /* the pass and rule tables, for `quern passes --markdown` */
const char *pass_optional(int i); /* name of the i-th pass that may be left out, in the order in which they run; NULL behind the last */
const char *rule_name(int i);     /* of rules.def; NULL behind the last */
void passes_list(Text *out);      /* for `quern passes` */

/* One pass alone, for tests. */
bool pass_run_one(Ctx *c, Graph *g, const char *name, const PassOptions *o);
/* Lowers one node of a typed graph (no fusion) into a Func whose params are its inputs then its outputs; used by folding and tests. */
Func *lower_node(Ctx *c, Graph *g, Node *n, Tensor ***args /* per param */);
/* One contraction by its mapping, without a model: passes/mapped.c. trace: with a call for each word that moves. NULL after errors. */
Program *mapping_program(Ctx *c, Loc loc, const struct Mapping *m, bool trace, const PassOptions *o);
/* A convolution or matrix product as a layer in the survey's letters; padding is part of its input. images multiply the batch. Of a node
 * that is neither, or not of such a form: false. */
struct ConvShape;
bool layer_shape(const Node *n, int64_t images, struct ConvShape *s);
/* Interprets a whole program: inputs and outputs in graph order, buffers of tensor_bytes() each. */
bool program_interpret(Ctx *c, const Program *p, const void *const *inputs, void *const *outputs);
/* The same with run-time extents: dims (of inputs: may be NULL, the bounds) in graph order. */
bool program_interpret_dims(Ctx *c, const Program *p, const void *const *inputs, const int64_t *const *in_dims, void *const *outputs,
                            int64_t *const *out_dims);
/* The same; `watch`, if not NULL, is called after each kernel with the storage of its parameters. */
typedef void ProgramWatch(void *user, int kernel, void *const *param);
bool program_watch(Ctx *c, const Program *p, const void *const *inputs, const int64_t *const *in_dims, void *const *outputs,
                   int64_t *const *out_dims, ProgramWatch *watch, void *user);
#endif
