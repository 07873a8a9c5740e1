/* SPDX-License-Identifier: Apache-2.0 */
/* frontend.h: ONNX bytes <-> graph. The only folder that knows protobuf. */
#ifndef QN_FRONTEND_H
#define QN_FRONTEND_H
#include "ir/ir.h"

typedef struct DimBinding { /* --dim NAME=V, NAME=LO..V or 'INPUT[AXIS]=…' */
    const char *name;       /* symbol, or "INPUT[AXIS]" */
    int64_t value;
    bool used;
    bool range; /* known at run time only, from lo to value */
    int64_t lo;
} DimBinding;
typedef struct MaxBinding { /* --max INPUT=V */
    const char *name;
    int64_t value;
} MaxBinding;

typedef struct ImportOptions {
    Vec(DimBinding) dims;
    Vec(MaxBinding) max; /* no element of that integer input is larger */
    size_t max_bytes;    /* of the file; 0: 2 GiB */
    size_t max_memory;   /* of the parsed message and its graph; 0: max(240 MiB, 16 x file) */
    bool free_dims;      /* leave unbound dims as DIM_UNKNOWN with sym set instead of refusing (inspect, run, verify bind later) */
    const UserOps *ops;  /* operators that the user brings along, or NULL */
} ImportOptions;

/* Reads, checks and converts a model. All errors are collected in c->d; NULL if there was any. Unsupported ops are
 * listed together. The graph has canonical ops only; tensor types are the declared ones (node_infer completes them).
 * Every graph output is the output of a node and of no other graph output (Identity nodes are added where needed). */
Graph *onnx_import(Ctx *c, const char *path, const ImportOptions *o);
Graph *onnx_import_bytes(Ctx *c, const void *bytes, size_t n, const char *file, const char *dir /* for external data; NULL: none allowed */,
                         const ImportOptions *o);

/* One tensor as data sets hold it (TensorProto file). */
typedef struct Value {
    const char *name;
    Type type;
    void *data; /* packed like raw_data; strings: see DESIGN section 5 */
    int64_t bytes;
    int64_t *dims; /* of what is no tensor (type.wrap): its dims list, of ndims words; data are as DESIGN section 5 says */
    int64_t ndims;
} Value;
bool onnx_read_tensor(Ctx *c, const char *path, Value *out);
bool onnx_write_tensor(Ctx *c, const char *path, const Value *v);
/* The same for a value that may be no tensor: `like` is its type in the model (NULL: a tensor). */
bool onnx_read_value(Ctx *c, const char *path, const Type *like, Value *out);
bool onnx_write_value(Ctx *c, const char *path, const Value *v);
/* The tensors of a value that is none, in order: views into its data. Their names say where they are: NAME[1], NAME.keys. */
typedef Vec(Value) Values;
void value_tensors(Arena *a, const Value *v, Values *out);
#endif
