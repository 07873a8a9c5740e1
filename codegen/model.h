/* SPDX-License-Identifier: Apache-2.0 */
/* model.h: what the files that write one emitted model share. */
#ifndef QN_CODEGEN_MODEL_H
#define QN_CODEGEN_MODEL_H
#include "internal.h"

enum { WEIGHTS_HEADER = 64, C_WEIGHTS_LIMIT = 256 * 1024, IMAGE_LIMIT = 4 << 20, PAGES_LIMIT = 2 << 20 };

typedef struct Shared { /* one C function and the kernels that call it */
    const Kernel *first;
    const char *name;
    bool *restrict_ok;
    bool returns;
    const char **part; /* names of the functions of its parallel loops */
    int parts;
    int count;
    Text also; /* names of the other kernels, the first few */
} Shared;
typedef struct Variant { /* code for one target: its kernels, and how they are printed */
    const Program *p;
    const struct Target *t;
    EmitStyle style;
    const char *has, *run; /* macro, true on a machine that can run it; function of the kernels' calls, where there are several targets */
    Vec(Shared *) fn;
    Shared **of; /* per kernel */
    Text kernels;
} Variant;
typedef struct Model {
    Ctx *c;
    Arena *a;
    const Program *p;
    const EmitOptions *o;
    const char *id;
    Vec(Variant) variant; /* best first */
    bool several;
    WeightsMode weights;                     /* never WEIGHTS_AUTO */
    int threads;                             /* at least 1 */
    int64_t arena_bytes, state_bytes, shift; /* shift: what the state needs beyond the plan's */
    uint64_t hash;                           /* of the weights image */
    Map *used;                               /* names at file scope and of ID_run's parameters */
    const char **in, **out;                  /* parameter names */
    const char **extent, **dims;             /* per extent of an input, per output whose shape is not constant: parameters too; else NULL */
    const char **in_dims;                    /* per input that is no tensor: its dims list; else NULL */
    const char **arena_name;                 /* per tensor id: name in the table of arena offsets, or NULL */
    const char **const_name;                 /* per tensor id: member of the weights */
    EmitNeeds needs;
    HelperText *helpers;
    bool access; /* some kernel calls ID_access */
    bool pool;   /* some kernel has parallel loops */
    bool image;  /* the first call copies the weights into huge pages */
    bool pages;  /* the first call asks for huge pages for the arena */
    bool math;   /* INFINITY or NAN among printed weights */
} Model;

/* model_weights.c */
void weights_struct(Model *m, Text *t); /* struct weights and, in C mode, the data */
uint64_t weights_hash(const Program *p);
bool weights_write(const Program *p, uint64_t hash, bool (*put)(void *user, const void *data, size_t n), void *user); /* header and image */
void weights_asm(const Model *m, Text *t);                                                                            /* ID_weights.S */
void weights_bind(const Model *m, Text *t);                                                                           /* ID_bind */
/* model_kernels.c */
void run_kernels(Model *m, Text *t);
bool param_overlaps(const Kernel *k, int i, int j);
/* model_run.c */
void run_names(Model *m);
void run_table(Model *m, Text *t);           /* the arena's offsets */
void run_entries(Model *m, Text *t);         /* ID_run, ID_invoke, ID_set_threads, ID_release */
void run_signature(const Model *m, Text *t); /* int ID_run(…) without a semicolon */
void run_invoke(const Model *m, Text *t);    /* model_invoke.c: ID_invoke */
/* model_pool.c: what a model with parallel loops, or with a copy of its weights, has beyond others */
int64_t pool_bytes(int threads);             /* of struct qn_pool, or more */
void pool_switches(const Model *m, Text *t); /* before the first #include */
void pool_runtime(const Model *m, Text *t);  /* behind the last */
void pool_state(const Model *m, Text *t);    /* struct state */
void pool_entries(const Model *m, Text *t);  /* ID_set_threads */
void pool_release(const Model *m, Text *t);  /* ID_release */
/* model_target.c: what depends on the target's processor */
void target_variants(Model *m);
void target_names(Model *m);                                            /* macros and functions, once the interface has its names */
void target_pragmas(const Model *m, Text *t);                           /* before the first #include */
void target_includes(const Model *m, Text *t);                          /* behind ID.h */
void target_macros(const Model *m, Text *t);                            /* KERNEL…, ID_HAS_… */
void target_guard(const Model *m, const Variant *v, bool end, Text *t); /* around what only its processors compile */
const char *target_name(const Model *m);                                /* of all, as --target takes it */
/* model_header.c, model_manifest.c, model_main.c */
void model_header(const Model *m, Text *t);
void model_manifest(const Model *m, const Emitted *e, Text *t);
void model_main(const Model *m, Text *t);

/* model_files.c: temporary files which become the real ones together */
typedef struct OutFile {
    const char *name; /* relative */
    const char *path, *temp;
    int fd;
} OutFile;
typedef struct OutSet {
    Ctx *c;
    const char *dir;
    bool made_dir;
    Vec(OutFile) f;
} OutSet;
bool out_begin(OutSet *s, Ctx *c, const char *dir);
bool out_open(OutSet *s, const char *name); /* the file that out_put writes to */
bool out_put(void *set, const void *data, size_t n);
bool out_text(OutSet *s, const char *name, Text *t); /* a whole file; frees t */
bool out_commit(OutSet *s);
bool out_fail(OutSet *s);                     /* removes everything; returns false */
void out_forget(OutSet *s, const char *name); /* a file of an earlier run that this one does not write */
#endif
