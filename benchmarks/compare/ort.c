/* SPDX-License-Identifier: Apache-2.0 */
/* ort.c: runs an ONNX file with the ONNX Runtime library that the npm package ships. The package has no C header; its C interface
 * is a table of functions whose order never changes (entries are only appended), so the few that are needed are named by their
 * place here. Settings: all graph optimisations, sequential execution, outputs in buffers that are kept from the first run.
 * QUERN_ORT_LIBRARY names the library.
 */
#define _GNU_SOURCE
#include "child.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_OPTIMIZATION_LEVEL = 23,
    SET_INTRA_THREADS = 24,
    SET_INTER_THREADS = 25,
    INPUT_COUNT = 30,
    OUTPUT_COUNT = 31,
    INPUT_NAME = 36,
    OUTPUT_NAME = 37,
    CREATE_TENSOR_WITH_DATA = 49,
    IS_TENSOR = 50,
    GET_DATA = 51,
    ELEMENT_TYPE = 60,
    ELEMENT_COUNT = 64,
    TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    DEFAULT_ALLOCATOR = 78
};
enum { LEVEL_ALL = 99, ALLOCATOR_ARENA = 1, MEMORY_DEFAULT = 0, LOG_ERROR = 3, TYPE_STRING = 8 };
typedef void *Status, *Handle;
typedef struct ApiBase {
    const Handle *(*get_api)(uint32_t version);
    const char *(*version)(void);
} ApiBase;

static const Handle *api;
static Handle session, in_value[MAX_TENSORS], out_value[MAX_TENSORS];
static const char *in_name[MAX_TENSORS], *out_name[MAX_TENSORS];

static void check(Status s) {
    const char *(*message)(Status);
    if (!s) return;
    memcpy(&message, &api[GET_ERROR_MESSAGE], sizeof message);
    const char *text = message(s);
    fail("onnxruntime: %.*s", (int)strcspn(text, "\n"), text);
}
/* Calls entry N with the given parameter types. */
#define CALL(n, types, ...)                                                                                                                \
    do {                                                                                                                                   \
        Status(*fn_) types;                                                                                                                \
        memcpy(&fn_, &api[n], sizeof fn_);                                                                                                 \
        check(fn_(__VA_ARGS__));                                                                                                           \
    } while (0)

static size_t element_bytes(int type) { /* by TensorProto.DataType, which ONNX Runtime's numbers follow up to bfloat16 */
    static const unsigned char bytes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2};
    return type > 0 && type < (int)sizeof bytes ? bytes[type] : 0;
}
static void find_outputs(Model *m) {
    for (int i = 0; i < m->nout; i++) {
        Handle info;
        size_t n;
        int type, tensor;
        CALL(IS_TENSOR, (Handle, int *), out_value[i], &tensor);
        if (!tensor) fail("output %d is no tensor", i);
        CALL(TYPE_AND_SHAPE, (Handle, Handle *), out_value[i], &info);
        CALL(ELEMENT_TYPE, (Handle, int *), info, &type);
        CALL(ELEMENT_COUNT, (Handle, size_t *), info, &n);
        CALL(GET_DATA, (Handle, void **), out_value[i], &m->out[i].data);
        if (!element_bytes(type)) fail("output %d has element type %d", i, type);
        m->out[i].type = type, m->out[i].bytes = n * element_bytes(type);
    }
}
static void run(Model *m) {
    CALL(RUN, (Handle, Handle, const char *const *, const Handle *, size_t, const char *const *, size_t, Handle *), session, NULL, in_name,
         in_value, (size_t)m->nin, out_name, (size_t)m->nout, out_value);
}
static void open_model(Model *m) {
    const char *path = getenv("QUERN_ORT_LIBRARY"), *isa = getenv("QUERN_ORT_ISA");
    if (isa && strcmp(isa, "avx2") != 0) fail("QUERN_ORT_ISA is '%s', expected avx2", isa);
    if (isa) narrow_to_avx2();
    void *lib = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!lib) fail("%s", path ? dlerror() : "QUERN_ORT_LIBRARY is not set");
    const ApiBase *(*base)(void);
    void *f = dlsym(lib, "OrtGetApiBase");
    memcpy(&base, &f, sizeof f);
    api = base()->get_api(16);
    Handle env, options, allocator, cpu;
    size_t nin, nout;
    CALL(CREATE_ENV, (int, const char *, Handle *), LOG_ERROR, "compare", &env);
    CALL(CREATE_SESSION_OPTIONS, (Handle *), &options);
    CALL(SET_OPTIMIZATION_LEVEL, (Handle, int), options, LEVEL_ALL);
    CALL(SET_INTRA_THREADS, (Handle, int), options, m->threads);
    CALL(SET_INTER_THREADS, (Handle, int), options, 1);
    CALL(CREATE_SESSION, (Handle, const char *, Handle, Handle *), env, m->file, options, &session);
    CALL(DEFAULT_ALLOCATOR, (Handle *), &allocator);
    CALL(CREATE_CPU_MEMORY_INFO, (int, int, Handle *), ALLOCATOR_ARENA, MEMORY_DEFAULT, &cpu);
    CALL(INPUT_COUNT, (Handle, size_t *), session, &nin);
    CALL(OUTPUT_COUNT, (Handle, size_t *), session, &nout);
    if ((int)nin != m->nin || nout > MAX_TENSORS) fail("the model has %zu inputs, the data %d", nin, m->nin);
    m->nout = (int)nout;
    for (size_t i = 0; i < nin; i++) {
        Tensor *t = &m->in[i];
        CALL(INPUT_NAME, (Handle, size_t, Handle, const char **), session, i, allocator, &in_name[i]);
        CALL(CREATE_TENSOR_WITH_DATA, (Handle, void *, size_t, const int64_t *, size_t, int, Handle *), cpu, t->data, t->bytes, t->dim,
             (size_t)t->rank, t->type, &in_value[i]);
    }
    for (size_t i = 0; i < nout; i++) CALL(OUTPUT_NAME, (Handle, size_t, Handle, const char **), session, i, allocator, &out_name[i]);
    run(m);
    find_outputs(m);
}
const Runner runner_ort = {"ort", open_model, run};
