/* SPDX-License-Identifier: Apache-2.0 */
/* dtype.c: element access in packed storage. Conversions are those of runtime/qn_num.h, which emitted code uses too.
 *
 *   dtype_get_f(DT_FLOAT16, (uint16_t[]){0x3c00}, 0) -> 1.0;   dtype_get_i(DT_INT4, "\x2f", 1) -> 2
 */
#include "dtype.h"
#include "runtime/qn_num.h"
#include <math.h>
#include <string.h>

const DTypeInfo dtype_info[DT_COUNT] = {
#define DT(e, id, name, bits, cls, ctype, comp) [DT_##e] = {name, bits, CLS_##cls, ctype, DT_##comp},
#include "dtype.def"
#undef DT
};

DType dtype_parse(const char *name) {
    for (int t = 1; t < DT_COUNT; t++)
        if (dtype_info[t].name && strcmp(dtype_info[t].name, name) == 0) return (DType)t;
    return DT_NONE;
}
bool dtype_bytes(DType t, int64_t n, int64_t *bytes) {
    int64_t bits;
    if (n < 0 || !mul_ok(n, dtype_info[t].bits, &bits) || !add_ok(bits, 7, &bits)) return false;
    *bytes = bits / 8;
    return true;
}
int64_t dtype_min(DType t) {
    const DTypeInfo *d = &dtype_info[t];
    if (d->cls != CLS_SINT) return 0;
    return d->bits == 64 ? INT64_MIN : -((int64_t)1 << (d->bits - 1));
}
int64_t dtype_max(DType t) {
    const DTypeInfo *d = &dtype_info[t];
    if (d->cls == CLS_BOOL) return 1;
    if (d->bits == 64) return INT64_MAX;
    return ((int64_t)1 << (d->bits - (d->cls == CLS_SINT))) - 1;
}

/* Bits of element i of a sub-byte type; element 0 is in the low bits. */
static unsigned sub_get(int bits, const void *data, int64_t i) {
    int per = 8 / bits;
    return ((const uint8_t *)data)[i / per] >> (bits * (int)(i % per)) & ((1u << bits) - 1);
}
static void sub_set(int bits, void *data, int64_t i, unsigned v) {
    int per = 8 / bits, shift = bits * (int)(i % per);
    unsigned mask = ((1u << bits) - 1) << shift;
    uint8_t *p = (uint8_t *)data + i / per;
    *p = (uint8_t)((*p & ~mask) | (v << shift & mask));
}
static uint16_t get16(const void *data, int64_t i) {
    uint16_t v;
    memcpy(&v, (const char *)data + i * 2, 2);
    return v;
}

double dtype_get_f(DType t, const void *data, int64_t i) {
    const uint8_t *u8 = data;
    switch (t) {
    case DT_FLOAT32: {
        float v;
        memcpy(&v, u8 + i * 4, 4);
        return v;
    }
    case DT_FLOAT64: {
        double v;
        memcpy(&v, u8 + i * 8, 8);
        return v;
    }
    case DT_HALF:
    case DT_FLOAT16: return qn_f16_to_f32(get16(data, i));
    case DT_BFLOAT16: return qn_bf16_to_f32(get16(data, i));
    case DT_FLOAT8E4M3FN: return qn_f8e4m3fn_to_f32(u8[i]);
    case DT_FLOAT8E4M3FNUZ: return qn_f8e4m3fnuz_to_f32(u8[i]);
    case DT_FLOAT8E5M2: return qn_f8e5m2_to_f32(u8[i]);
    case DT_FLOAT8E5M2FNUZ: return qn_f8e5m2fnuz_to_f32(u8[i]);
    case DT_FLOAT8E8M0: return qn_f8e8m0_to_f32(u8[i]);
    case DT_FLOAT4E2M1: return qn_f4e2m1_to_f32((uint8_t)sub_get(4, data, i));
    case DT_UINT64: {
        uint64_t v;
        memcpy(&v, u8 + i * 8, 8);
        return (double)v;
    }
    case DT_COMPLEX64: return dtype_get_f(DT_FLOAT32, data, 2 * i); /* the real part */
    case DT_COMPLEX128: return dtype_get_f(DT_FLOAT64, data, 2 * i);
    default: return (double)dtype_get_i(t, data, i);
    }
}

int64_t dtype_get_i(DType t, const void *data, int64_t i) {
    const uint8_t *p = data;
    switch (t) {
    case DT_BOOL: return p[i] != 0;
    case DT_STRING:
    case DT_UINT8: return p[i];
    case DT_INT8: return (int8_t)p[i];
    case DT_UINT16: return get16(data, i);
    case DT_INT16: return (int16_t)get16(data, i);
    case DT_UINT32: {
        uint32_t v;
        memcpy(&v, p + i * 4, 4);
        return v;
    }
    case DT_INT32: {
        int32_t v;
        memcpy(&v, p + i * 4, 4);
        return v;
    }
    case DT_UINT64:
    case DT_INT64: {
        int64_t v;
        memcpy(&v, p + i * 8, 8);
        return v;
    }
    case DT_UINT4: return sub_get(4, data, i);
    case DT_INT4: return (int)(sub_get(4, data, i) ^ 8u) - 8;
    case DT_UINT2: return sub_get(2, data, i);
    case DT_INT2: return (int)(sub_get(2, data, i) ^ 2u) - 2;
    default: {
        double x = dtype_get_f(t, data, i);
        if (x != x) return 0;
        return x <= -9223372036854775808.0 ? INT64_MIN : x >= 9223372036854775808.0 ? INT64_MAX : (int64_t)x;
    }
    }
}

void dtype_set_i(DType t, void *data, int64_t i, int64_t x) {
    uint8_t *p = data;
    switch (t) {
    case DT_BOOL: p[i] = x != 0; break;
    case DT_STRING:
    case DT_UINT8:
    case DT_INT8: p[i] = (uint8_t)x; break;
    case DT_UINT16:
    case DT_INT16: memcpy(p + i * 2, &(uint16_t){(uint16_t)x}, 2); break;
    case DT_UINT32:
    case DT_INT32: memcpy(p + i * 4, &(uint32_t){(uint32_t)x}, 4); break;
    case DT_UINT64:
    case DT_INT64: memcpy(p + i * 8, &x, 8); break;
    case DT_UINT4:
    case DT_INT4: sub_set(4, data, i, (unsigned)x & 15u); break;
    case DT_UINT2:
    case DT_INT2: sub_set(2, data, i, (unsigned)x & 3u); break;
    default: dtype_set_f(t, data, i, (double)x); break;
    }
}

void dtype_set_f(DType t, void *data, int64_t i, double x) {
    uint8_t *p = data;
    float f = (float)x;
    switch (t) {
    case DT_FLOAT32: memcpy(p + i * 4, &f, 4); break;
    case DT_FLOAT64: memcpy(p + i * 8, &x, 8); break;
    case DT_HALF:
    case DT_FLOAT16: memcpy(p + i * 2, &(uint16_t){qn_f32_to_f16(f)}, 2); break;
    case DT_BFLOAT16: memcpy(p + i * 2, &(uint16_t){qn_f32_to_bf16(f)}, 2); break;
    case DT_FLOAT8E4M3FN: p[i] = qn_f32_to_f8e4m3fn(f); break;
    case DT_FLOAT8E4M3FNUZ: p[i] = qn_f32_to_f8e4m3fnuz(f); break;
    case DT_FLOAT8E5M2: p[i] = qn_f32_to_f8e5m2(f); break;
    case DT_FLOAT8E5M2FNUZ: p[i] = qn_f32_to_f8e5m2fnuz(f); break;
    case DT_FLOAT8E8M0: p[i] = qn_f32_to_f8e8m0(f); break;
    case DT_FLOAT4E2M1: sub_set(4, data, i, qn_f32_to_f4e2m1(f)); break;
    case DT_BOOL: p[i] = x != 0; break;
    case DT_UINT64: {
        uint64_t v = !(x > 0) ? 0 : x >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)x;
        memcpy(p + i * 8, &v, 8);
        break;
    }
    default: { /* integers: truncated and saturated */
        int64_t lo = dtype_min(t), hi = dtype_max(t);
        dtype_set_i(t, data, i, x != x ? 0 : x <= (double)lo ? lo : x >= (double)hi ? hi : (int64_t)x);
        break;
    }
    }
}
double dtype_round(DType t, double x) {
    if (t == DT_FLOAT64) return x;
    return t == DT_HALF ? (double)qn_f16_to_f32(qn_f32_to_f16((float)x)) : (double)(float)x;
}
