/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.h: element types, from the table dtype.def. Numbers are ONNX's (TensorProto.DataType).
 * Storage and computation differ: float16, bfloat16 and the 8- and 4-bit floats are bit patterns in memory and
 * float32 in expressions (HALF is the float16 that stays one); 4- and 2-bit integers are packed in memory (element 0 in the low bits) and
 * (u)int8 in expressions. */
#ifndef QN_DTYPE_H
#define QN_DTYPE_H
#include "base.h"

typedef enum DType {
    DT_NONE = 0,
#define DT(e, id, name, bits, cls, ctype, comp) DT_##e = (id),
#include "dtype.def"
#undef DT
    DT_COUNT
} DType;
typedef enum DClass { CLS_NONE, CLS_FLOAT, CLS_SINT, CLS_UINT, CLS_BOOL, CLS_STR, CLS_CPLX } DClass;
typedef struct DTypeInfo {
    const char *name; /* as in the manifest */
    int bits;         /* per element in memory */
    DClass cls;
    const char *ctype; /* C type of the storage word in emitted code */
    DType compute;     /* type of a loaded value in an expression */
} DTypeInfo;
extern const DTypeInfo dtype_info[DT_COUNT];

static inline const char *dtype_name(DType t) { return t > 0 && t < DT_COUNT ? dtype_info[t].name : "undefined"; }
static inline DType dtype_compute(DType t) { return dtype_info[t].compute; }
static inline DType dtype_sum(DType t) { return t == DT_HALF ? DT_FLOAT32 : dtype_info[t].compute; } /* what long sums are made in */
static inline bool dtype_is_float(DType t) { return dtype_info[t].cls == CLS_FLOAT; }
static inline bool dtype_packed(DType t) { return dtype_info[t].bits < 8; } /* several elements in a byte */
static inline bool dtype_is_int(DType t) { return dtype_info[t].cls == CLS_SINT || dtype_info[t].cls == CLS_UINT; }
static inline bool dtype_valid(int onnx) { return onnx > 0 && onnx < DT_HALF; } /* a model may have it */
DType dtype_parse(const char *name);                                            /* DT_NONE if unknown */
bool dtype_bytes(DType t, int64_t n, int64_t *bytes); /* storage of n elements, sub-byte types packed; false: overflow */
int64_t dtype_min(DType t), dtype_max(DType t);       /* of integer types; uint64's maximum is INT64_MAX here */
/* Element i of packed storage, as double or int64 (exact for every type but int64/uint64 as double). */
double dtype_get_f(DType t, const void *data, int64_t i);
int64_t dtype_get_i(DType t, const void *data, int64_t i);   /* floats are truncated, saturating; uint64 keeps its bits */
void dtype_set_f(DType t, void *data, int64_t i, double x);  /* rounds to nearest even; integers saturate; fp8 saturates */
double dtype_round(DType t, double x);                       /* to a float type that is computed in */
void dtype_set_i(DType t, void *data, int64_t i, int64_t x); /* integers wrap */
#endif
