/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h: what the commands share. One table of options (options.def) drives parsing, --help and docs/options.md. */
#ifndef QN_CLI_H
#define QN_CLI_H
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"

#define QUERN_VERSION "0.1.0"

typedef struct Named { /* NAME=FILE */
    const char *name, *value;
} Named;

typedef struct Ranks { /* the runs that mpirun started together */
    int rank, ranks;
    int (*gather)(const void *block, size_t bytes, void *all); /* all: the blocks of all ranks in order; NULL for one rank */
} Ranks;

typedef struct Options {
    char command;
    const char *model;
    const struct Target *machine; /* of --target */
    const char *output, *name, *target, *backend, *weights, *output_dir, *cc, *cflags;
    int threads, runs; /* runs 0: bench chooses */
    bool tune;
    const char *tune_from, *tune_export;
    struct Tuning *tuning; /* between tune_begin and tune_end */
    const char *reference; /* of verify: a folder of tensors by name */
    bool per_node, bisect, quiet;
    bool interpret, json, markdown, emit_main, per_layer, threads_given;
    bool instrument, show_mapping; /* of compile --mapping; inspect --mapping */
    double atol, rtol;             /* negative: default */
    struct {                       /* of explore */
        const char *arch, *mapping, *batch, *counting, *dataflow, *objective, *layer, *beat, *html, *ert, *export_dir, *save, *constraints,
            *sweep, *density, *bits, *dtype, *sparsity;
        bool fuse, all, no_bypass;
        int64_t evals, seed, images;
        double time;
        Vec(const char *) check;
        Ranks ranks;
    } x;
    Vec(Named) input;
    Vec(const char *) data;
    const struct HalfError *half_error; /* of compile --fast-f16, for the manifest */
    UserOps ops;                        /* of --op */
    ImportOptions import;
    PassOptions pass;
} Options;

/* Exit statuses of DESIGN section 5. */
enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_BUG = 3 };

/* Fills `o`; returns -1 to go on, else the exit status (help printed: 0, wrong usage: 2). */
int options_parse(Ctx *c, int argc, char **argv, Options *o);
void options_markdown(Text *out);

int cmd_compile(Ctx *c, Options *o);
int compile_mapping(Ctx *c, Options *o); /* of cmd_compile: --mapping of one layer */
/* model_mappings.c: a file of mappings for layers of a model, and reading it into o->pass */
bool mappings_of_model(Ctx *c, const char *file);
bool model_mappings(Ctx *c, Options *o);
int inspect_mapping(Ctx *c, Options *o); /* of cmd_inspect: --mapping */
int cmd_run(Ctx *c, Options *o);
int cmd_verify(Ctx *c, Options *o);
int cmd_bench(Ctx *c, Options *o);
int cmd_inspect(Ctx *c, Options *o);
/* ---- cache.c: answers kept between runs. NULL: none. */
bool cache_check(Ctx *c); /* a warning if there is a file that cannot be used */
const char *cache_get(Ctx *c, const char *kind, const char *key);
void cache_put(Ctx *c, const char *kind, const char *key, const char *value);

/* ---- ranks.c */
bool ranks_find(Ctx *c, Ranks *r);

int cmd_explore(Ctx *c, Options *o);
int cmd_targets(Ctx *c, Options *o);
int cmd_ops(Ctx *c, Options *o);
int cmd_passes(Ctx *c, Options *o);

/* target.c: loads what --target names into o->machine (the best) and o->pass */
bool target_option(Ctx *c, Options *o);
bool target_half_here(const struct Target *t);         /* this machine runs its code in half precision */
struct Target *target_named(Ctx *c, const char *name); /* one name of --target: built in, without its family, `host`, or a file of ours */

/* model.c */
const char *model_id(Ctx *c, const Options *o);
Program *model_build(Ctx *c, Options *o, const char *path); /* import, passes, plan */
bool model_emit(Ctx *c, const Options *o, const Program *p, const char *id, const char *dir, Emitted *e);
/* Binds free input dimensions from values (in order of the graph inputs). */
bool model_bind_dims(Ctx *c, Options *o, const char *path, const Value *in, int nin);
bool model_bind_outputs(Ctx *c, Options *o, const char *path, const Value *out, int nout);
bool model_bind_values(Ctx *c, Options *o, const char *path, const Value *in, int nin);
bool model_values_fit(const Graph *g, const Value *in, int nin); /* in the bounds that were given for the elements of inputs */

/* exec.c: emitted code runs in a child process, so a crash there is a message here. */
typedef struct Exec {
    const char *dir; /* holds the sources */
    void *lib;       /* path of the shared object */
} Exec;
bool exec_build(Ctx *c, const Options *o, const char *dir, const Emitted *e, const char *const *ids, int n, const char *so);
/* out_dims: per output, filled with its extents. */
bool exec_call(Ctx *c, const char *so, const char *id, const Program *p, const void *const *in, const int64_t *const *in_dims,
               void *const *out, int64_t *const *out_dims);
char *temp_dir(Ctx *c);
void remove_dir(const char *dir);

/* tune.c: answers of measurements and files for the passes of this model */
bool tune_begin(Ctx *c, Options *o);
bool tune_end(Options *o); /* writes --tune-export */

/* data.c */
typedef struct DataSet {
    Vec(Value) in, out;
    const char *dir;
} DataSet;
bool model_bind_set(Ctx *c, Options *o, const DataSet *set);              /* model.c: all that a data set says about extents */
bool dataset_read(Ctx *c, const char *dir, const Graph *g, DataSet *out); /* g: the model's types; NULL: tensors */
bool dataset_same_shapes(const DataSet *a, const DataSet *b);             /* of the inputs: the two share one build */
bool dataset_find(Ctx *c, const char *dir, char ***sets, int *n);         /* DIR itself or DIR/test_data_set_N */
/* Older files hold the bits of bfloat16 and 8-bit floats as unsigned integers: such a value takes the wanted element type.
 * false: the types differ. */
bool value_fit(Value *v, const Type *want);
int64_t **dims_new(Arena *a, int n, Tensor *const *t); /* per tensor its extents, or their bounds */
Type type_with_dims(const Type *t, const int64_t *dims);
/* values.c: values that are no tensors. An output after a call, or an input as it was read; its dims list. */
Value output_value(const Tensor *t, void *data, int64_t *dims);
const int64_t *value_dims(const Value *v);
bool list_fit(const Type *got, const Type *want); /* of value_fit */
bool list_same_shape(const Value *x, const Value *y);
int64_t strings_differ(int64_t n, const void *x, const void *y); /* the first string that differs; -1: none */
const char *list_type_words(Arena *a, const Value *v);           /* with the lengths and extents that it has */
bool npy_read(Ctx *c, const char *path, Value *v);
bool npy_write(Ctx *c, const char *path, const Value *v);
/* One output against its expected value. The worst element is reported. */
typedef struct Tolerance {
    double atol, rtol;
} Tolerance;
typedef struct Compared {
    bool ok;
    double max_abs, max_allowed, largest; /* largest: value that is expected */
    int64_t at, bad;
} Compared;
Tolerance tolerance_default(const Graph *g, DType dt, double atol, double rtol);
Compared compare_values(DType dt, int64_t n, const void *got, const void *want, Tolerance t);
#endif
