/* SPDX-License-Identifier: Apache-2.0 */
/* child.h: what the child process that is timed knows of its model: one Model, filled from the spec file by child.c, and the
 * two ways of running it (emitted.c, ort.c). */
#ifndef COMPARE_CHILD_H
#define COMPARE_CHILD_H
#include <stddef.h>
#include <stdint.h>

enum { MAX_TENSORS = 256, MAX_RANK = 8 };

typedef struct Tensor {
    int type; /* the number of ONNX's TensorProto.DataType */
    int rank; /* inputs only */
    int64_t dim[MAX_RANK];
    size_t bytes;
    void *data;
} Tensor;
typedef struct Model {
    const char *file, *prefix; /* the shared object and its symbols' prefix, or the ONNX file */
    int threads;
    size_t arena_bytes, state_bytes;
    int nin, nout;
    Tensor in[MAX_TENSORS], out[MAX_TENSORS]; /* outputs: filled by the first run where the spec does not say */
} Model;
typedef struct Runner {
    const char *name;
    void (*open)(Model *m);
    void (*run)(Model *m); /* once */
} Runner;
extern const Runner runner_emitted, runner_ort;

/* Prints "error TEXT" for the parent and ends. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *memory(size_t bytes); /* zeros at a multiple of 64 */
void narrow_to_avx2(void);  /* narrow.c: from here on CPUID shows no AVX-512 */
#endif
