/* SPDX-License-Identifier: 0BSD */
/* qn_num.h: number formats and integer arithmetic with defined results, in strict C99. The compiler's interpreter and emitted models use
 * the very same functions; the emitter copies only those that a model needs (each is preceded by its @helper line).
 *
 *   qn_f32_to_f16(1.0f) -> 0x3c00      qn_f32_to_i8(300.0f) -> 127      qn_div_i32(7, 0) -> 0
 */
#ifndef QN_NUM_H
#define QN_NUM_H
#include <stdint.h>
#include <string.h>
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* @helper qn_bits_f32 deps: */
static float qn_bits_f32(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}
/* @helper qn_f32_bits deps: */
static uint32_t qn_f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
/* A small float of `mant` mantissa bits and the given bias, no special values: its magnitude as float. */
/* @helper qn_small_f32 deps: qn_bits_f32 */
static float qn_small_f32(uint32_t code, int mant, int bias) {
    uint32_t e = code >> mant, m = code & ((1u << mant) - 1u);
    float f;
    if (e) return qn_bits_f32((uint32_t)((int)e - bias + 127) << 23 | m << (23 - mant));
    f = (float)m; /* subnormal: m * 2^(1 - bias - mant) */
    return f * qn_bits_f32((uint32_t)(1 - bias - mant + 127) << 23);
}
/* The code of |f| rounded to nearest even, exponent unbounded above. */
/* @helper qn_f32_small deps: qn_f32_bits */
static uint32_t qn_f32_small(float f, int mant, int bias) {
    uint32_t mag = qn_f32_bits(f) & 0x7fffffffu, full, q, rem, half;
    int e = (int)(mag >> 23) - 127 + bias, shift = 23 - mant;
    if (e >= 1) {
        full = ((uint32_t)e << 23) | (mag & 0x7fffffu);
    } else {
        full = (mag & 0x7fffffu) | (mag >> 23 ? 0x800000u : 0u);
        shift += 1 - e;
        if (shift > 25) return 0;
    }
    q = full >> shift, rem = full & ((1u << shift) - 1u), half = 1u << (shift - 1);
    return q + (rem > half || (rem == half && (q & 1u)));
}
/* @helper qn_f16_to_f32 deps: qn_bits_f32 qn_small_f32 */
static float qn_f16_to_f32(uint16_t h) {
    uint32_t m = h & 0x7fffu;
    float f = m >= 0x7c00u ? qn_bits_f32(0x7f800000u | (m & 0x3ffu) << 13) : qn_small_f32(m, 10, 15);
    return h & 0x8000u ? -f : f;
}
/* @helper qn_f32_to_f16 deps: qn_f32_bits qn_f32_small */
static uint16_t qn_f32_to_f16(float f) {
    uint32_t s = qn_f32_bits(f) >> 16 & 0x8000u, q;
    if (f != f) return (uint16_t)(s | 0x7e00u);
    q = qn_f32_small(f, 10, 15);
    return (uint16_t)(s | (q > 0x7c00u ? 0x7c00u : q));
}
/* @helper qn_bf16_to_f32 deps: qn_bits_f32 */
static float qn_bf16_to_f32(uint16_t h) { return qn_bits_f32((uint32_t)h << 16); }
/* @helper qn_f32_to_bf16 deps: qn_f32_bits */
static uint16_t qn_f32_to_bf16(float f) {
    uint32_t u = qn_f32_bits(f);
    if (f != f) return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
/* @helper qn_f8e4m3fn_to_f32 deps: qn_bits_f32 qn_small_f32 */
static float qn_f8e4m3fn_to_f32(uint8_t h) {
    float f = (h & 0x7fu) == 0x7fu ? qn_bits_f32(0x7fc00000u) : qn_small_f32(h & 0x7fu, 3, 7);
    return h & 0x80u ? -f : f;
}
/* @helper qn_f32_to_f8e4m3fn deps: qn_f32_bits qn_f32_small */
static uint8_t qn_f32_to_f8e4m3fn(float f) {
    uint32_t s = qn_f32_bits(f) >> 24 & 0x80u, q;
    if (f != f) return (uint8_t)(s | 0x7fu);
    q = qn_f32_small(f, 3, 7);
    return (uint8_t)(s | (q > 0x7eu ? 0x7eu : q));
}
/* @helper qn_f8e4m3fnuz_to_f32 deps: qn_bits_f32 qn_small_f32 */
static float qn_f8e4m3fnuz_to_f32(uint8_t h) {
    float f = qn_small_f32(h & 0x7fu, 3, 8);
    if (h == 0x80u) return qn_bits_f32(0x7fc00000u);
    return h & 0x80u ? -f : f;
}
/* @helper qn_f32_to_f8e4m3fnuz deps: qn_f32_bits qn_f32_small */
static uint8_t qn_f32_to_f8e4m3fnuz(float f) {
    uint32_t s = qn_f32_bits(f) >> 24 & 0x80u, q;
    if (f != f) return 0x80u;
    q = qn_f32_small(f, 3, 8);
    if (q == 0) return 0;
    return (uint8_t)(s | (q > 0x7fu ? 0x7fu : q));
}
/* @helper qn_f8e5m2_to_f32 deps: qn_f16_to_f32 */
static float qn_f8e5m2_to_f32(uint8_t h) { return qn_f16_to_f32((uint16_t)(h << 8)); }
/* @helper qn_f32_to_f8e5m2 deps: qn_f32_bits qn_f32_small */
static uint8_t qn_f32_to_f8e5m2(float f) {
    uint32_t s = qn_f32_bits(f) >> 24 & 0x80u, q;
    if (f != f) return (uint8_t)(s | 0x7fu);
    if (f - f != 0) return (uint8_t)(s | 0x7cu); /* infinite; what is only too large saturates */
    q = qn_f32_small(f, 2, 15);
    return (uint8_t)(s | (q > 0x7bu ? 0x7bu : q));
}
/* @helper qn_f8e5m2fnuz_to_f32 deps: qn_bits_f32 qn_small_f32 */
static float qn_f8e5m2fnuz_to_f32(uint8_t h) {
    float f = qn_small_f32(h & 0x7fu, 2, 16);
    if (h == 0x80u) return qn_bits_f32(0x7fc00000u);
    return h & 0x80u ? -f : f;
}
/* @helper qn_f32_to_f8e5m2fnuz deps: qn_f32_bits qn_f32_small */
static uint8_t qn_f32_to_f8e5m2fnuz(float f) {
    uint32_t s = qn_f32_bits(f) >> 24 & 0x80u, q;
    if (f != f) return 0x80u;
    q = qn_f32_small(f, 2, 16);
    if (q == 0) return 0;
    return (uint8_t)(s | (q > 0x7fu ? 0x7fu : q));
}
/* @helper qn_f8e8m0_to_f32 deps: qn_bits_f32 */
static float qn_f8e8m0_to_f32(uint8_t h) {
    if (h == 255u) return qn_bits_f32(0x7fc00000u);
    return qn_bits_f32(h ? (uint32_t)h << 23 : 0x400000u);
}
/* Powers of two only: rounded up, as ONNX's Cast does by default. */
/* @helper qn_f32_to_f8e8m0 deps: qn_f32_bits */
static uint8_t qn_f32_to_f8e8m0(float f) {
    uint32_t u = qn_f32_bits(f) & 0x7fffffffu, e = u >> 23;
    if (f != f) return 255u;
    if ((u & 0x7fffffu) > (e ? 0u : 0x400000u)) e++;
    return (uint8_t)(e > 254u ? 254u : e);
}
/* @helper qn_f4e2m1_to_f32 deps: qn_small_f32 */
static float qn_f4e2m1_to_f32(uint8_t h) {
    float f = qn_small_f32(h & 7u, 1, 1);
    return h & 8u ? -f : f;
}
/* @helper qn_f32_to_f4e2m1 deps: qn_f32_bits qn_f32_small */
static uint8_t qn_f32_to_f4e2m1(float f) {
    uint32_t s = qn_f32_bits(f) >> 28 & 8u, q = qn_f32_small(f, 1, 1);
    if (f != f) return 8u; /* there is no NaN: ONNX makes it -0 */
    return (uint8_t)(s | (q > 7u ? 7u : q));
}

#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif
