/* SPDX-License-Identifier: Apache-2.0 */
/* codegen.h: programs and loop nests -> C. The only code that prints C. */
#ifndef QN_CODEGEN_H
#define QN_CODEGEN_H
#include "ir/ir.h"

typedef enum WeightsMode { WEIGHTS_AUTO, WEIGHTS_C, WEIGHTS_ASM, WEIGHTS_FILE } WeightsMode;
typedef struct EmitOptions {
    const char *id; /* C identifier, prefix of every external symbol */
    bool precise;   /* one order of operations on every target: none may be fused */
    const char *version;
    WeightsMode weights;
    bool emit_main;
    bool profile; /* ID_run calls ID_profile(i), which the caller links in, before kernel i and once after the last */
    int threads;
    bool half; /* it was measured what half precision costs: the largest difference, and as a part of the largest value */
    double half_abs, half_rel;
    const char *half_inputs; /* on what */
} EmitOptions;
/* What was written: relative names, for the driver and the manifest. */
typedef struct Emitted {
    Vec(const char *) sources; /* to compile, relative to DIR */
    int64_t text_bytes;        /* of C */
} Emitted;
/* Writes ID.c, ID.h, ID.json and what they need into dir (created if absent): all of them or none. */
bool emit_model(Ctx *c, const Program *p, const EmitOptions *o, const char *dir, Emitted *out);
/* Removes the temporary files of an unfinished emit_model; async-signal-safe, for the driver's handlers. */
void emit_cleanup_temps(void);

/* How one Func is printed. */
typedef struct EmitStyle {
    bool vectors;                /* LOOP_VEC prints GNU vector types; else plain loops */
    const char *attribute;       /* before each function, or NULL */
    const struct Target *target; /* whose instruction rows may be used, or NULL */
    const char *access;          /* what LOOP_ACCESS is called; NULL: it is left out */
} EmitStyle;
void emit_func(Text *out, const Func *f, const EmitStyle *s, bool is_static, const bool *restrict_ok /* per param, NULL: all */);
/* The helper functions (conversions, wrapping integer division …) that `f` needs are added to `set`; print them first. */
typedef struct HelperSet {
    uint64_t bits;
    uint64_t more[3];
} HelperSet;
void emit_helpers_of(const Func *f, HelperSet *set);
void emit_helpers(Text *out, const HelperSet *set);
/* C identifier from any model string: sanitised, cut to 64, never a keyword or a libc name. Unique within `used`. */
const char *c_name(Arena *a, Map *used, const char *model_name, const char *fallback);
#endif
