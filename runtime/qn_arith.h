/* SPDX-License-Identifier: 0BSD */
/* qn_arith.h: the small functions which printed expressions call and which the interpreter uses. Each follows its @helper line
 * and is copied into an emitted model only when needed. Include qn_num.h before it. Results are defined for every operand: integers wrap, x
 * / 0 is 0, a conversion from float saturates. Minimum and maximum keep a NaN of the first operand.
 */
#include <stdint.h>
/* @helper qn_min_f32 deps: */
static inline float qn_min_f32(float a, float b) { return b < a ? b : a; }
/* @helper qn_min_f64 deps: */
static inline double qn_min_f64(double a, double b) { return b < a ? b : a; }
/* @helper qn_min_i32 deps: */
static inline int32_t qn_min_i32(int32_t a, int32_t b) { return b < a ? b : a; }
/* @helper qn_min_u32 deps: */
static inline uint32_t qn_min_u32(uint32_t a, uint32_t b) { return b < a ? b : a; }
/* @helper qn_min_i64 deps: */
static inline int64_t qn_min_i64(int64_t a, int64_t b) { return b < a ? b : a; }
/* @helper qn_min_u64 deps: */
static inline uint64_t qn_min_u64(uint64_t a, uint64_t b) { return b < a ? b : a; }
/* @helper qn_max_f32 deps: */
static inline float qn_max_f32(float a, float b) { return a < b ? b : a; }
/* @helper qn_max_f64 deps: */
static inline double qn_max_f64(double a, double b) { return a < b ? b : a; }
/* @helper qn_max_i32 deps: */
static inline int32_t qn_max_i32(int32_t a, int32_t b) { return a < b ? b : a; }
/* @helper qn_max_u32 deps: */
static inline uint32_t qn_max_u32(uint32_t a, uint32_t b) { return a < b ? b : a; }
/* @helper qn_max_i64 deps: */
static inline int64_t qn_max_i64(int64_t a, int64_t b) { return a < b ? b : a; }
/* @helper qn_max_u64 deps: */
static inline uint64_t qn_max_u64(uint64_t a, uint64_t b) { return a < b ? b : a; }
/* @helper qn_div_i32 deps: */
static inline int32_t qn_div_i32(int32_t a, int32_t b) { return b == 0 ? 0 : b == -1 ? (int32_t)(0u - (uint32_t)a) : a / b; }
/* @helper qn_div_u32 deps: */
static inline uint32_t qn_div_u32(uint32_t a, uint32_t b) { return b == 0 ? 0 : a / b; }
/* @helper qn_div_i64 deps: */
static inline int64_t qn_div_i64(int64_t a, int64_t b) { return b == 0 ? 0 : b == -1 ? (int64_t)(0u - (uint64_t)a) : a / b; }
/* @helper qn_div_u64 deps: */
static inline uint64_t qn_div_u64(uint64_t a, uint64_t b) { return b == 0 ? 0 : a / b; }
/* @helper qn_mod_i32 deps: */
static inline int32_t qn_mod_i32(int32_t a, int32_t b) { return b == 0 || b == -1 ? 0 : a % b; }
/* @helper qn_mod_u32 deps: */
static inline uint32_t qn_mod_u32(uint32_t a, uint32_t b) { return b == 0 ? 0 : a % b; }
/* @helper qn_mod_i64 deps: */
static inline int64_t qn_mod_i64(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
/* @helper qn_mod_u64 deps: */
static inline uint64_t qn_mod_u64(uint64_t a, uint64_t b) { return b == 0 ? 0 : a % b; }
/* @helper qn_shl_u32 deps: */
static inline uint32_t qn_shl_u32(uint32_t a, uint64_t n) { return n < 32 ? a << n : 0; }
/* @helper qn_shl_u64 deps: */
static inline uint64_t qn_shl_u64(uint64_t a, uint64_t n) { return n < 64 ? a << n : 0; }
/* @helper qn_shr_i32 deps: */
static inline int32_t qn_shr_i32(int32_t a, uint64_t n) { return n < 32 ? a >> n : a < 0 ? -1 : 0; }
/* @helper qn_shr_u32 deps: */
static inline uint32_t qn_shr_u32(uint32_t a, uint64_t n) { return n < 32 ? a >> n : 0; }
/* @helper qn_shr_i64 deps: */
static inline int64_t qn_shr_i64(int64_t a, uint64_t n) { return n < 64 ? a >> n : a < 0 ? -1 : 0; }
/* @helper qn_shr_u64 deps: */
static inline uint64_t qn_shr_u64(uint64_t a, uint64_t n) { return n < 64 ? a >> n : 0; }
/* @helper qn_abs_i32 deps: */
static inline int32_t qn_abs_i32(int32_t a) { return a < 0 ? (int32_t)(0u - (uint32_t)a) : a; }
/* @helper qn_abs_i64 deps: */
static inline int64_t qn_abs_i64(int64_t a) { return a < 0 ? (int64_t)(0u - (uint64_t)a) : a; }
/* @helper qn_to_range deps: */
static inline int32_t qn_to_range(double x, int32_t lo, int32_t hi) { return x != x ? 0 : x <= lo ? lo : x >= hi ? hi : (int32_t)x; }
/* @helper qn_to_i8 deps: qn_to_range */
static inline int8_t qn_to_i8(double x) { return (int8_t)qn_to_range(x, -128, 127); }
/* @helper qn_to_u8 deps: qn_to_range */
static inline uint8_t qn_to_u8(double x) { return (uint8_t)qn_to_range(x, 0, 255); }
/* @helper qn_to_i16 deps: qn_to_range */
static inline int16_t qn_to_i16(double x) { return (int16_t)qn_to_range(x, -32768, 32767); }
/* @helper qn_to_u16 deps: qn_to_range */
static inline uint16_t qn_to_u16(double x) { return (uint16_t)qn_to_range(x, 0, 65535); }
/* @helper qn_to_i32 deps: qn_to_range */
static inline int32_t qn_to_i32(double x) { return qn_to_range(x, INT32_MIN, INT32_MAX); }
/* @helper qn_to_u32 deps: */
static inline uint32_t qn_to_u32(double x) { return !(x > 0) ? 0 : x >= 4294967295.0 ? UINT32_MAX : (uint32_t)x; }
/* @helper qn_to_i64 deps: */
static inline int64_t qn_to_i64(double x) {
    return x != x ? 0 : x <= -9223372036854775808.0 ? INT64_MIN : x >= 9223372036854775808.0 ? INT64_MAX : (int64_t)x;
}
/* @helper qn_to_u64 deps: */
static inline uint64_t qn_to_u64(double x) { return !(x > 0) ? 0 : x >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)x; }
/* @helper qn_ipow deps: */
static inline int64_t qn_ipow(int64_t base, int64_t n) { /* wraps; negative exponents give 0 but for 1 and -1 */
    uint64_t r = 1, b = (uint64_t)base;
    if (n < 0) return base == 1 ? 1 : base == -1 ? (n % 2 ? -1 : 1) : 0;
    for (; n; n >>= 1, b *= b)
        if (n & 1) r *= b;
    return (int64_t)r;
}
/* @helper qn_popcount deps: */
static inline int32_t qn_popcount(uint64_t x) {
    int32_t n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}
/* The sum of the products of the bytes of two words: those of w signed, those of x unsigned or signed. */
/* @helper qn_dot_us deps: */
static inline int32_t qn_dot_us(int32_t x, int32_t w) {
    int32_t sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (int32_t)((uint32_t)x >> i & 255) * (int8_t)(w >> i & 255);
    return sum;
}
/* @helper qn_dot_ss deps: */
static inline int32_t qn_dot_ss(int32_t x, int32_t w) {
    int32_t sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (int8_t)(x >> i & 255) * (int8_t)(w >> i & 255);
    return sum;
}
/* Four neighbouring bytes as a word, the first one lowest. */
/* @helper qn_word deps: */
static inline int32_t qn_word(const void *p) {
    const uint8_t *b = p;
    uint32_t w = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return (int32_t)w;
}
/* Packed elements: element 0 in the low bits of byte 0. */
/* @helper qn_load_u4 deps: */
static inline uint8_t qn_load_u4(const uint8_t *p, int64_t i) { return (uint8_t)(p[i >> 1] >> (i & 1) * 4 & 15); }
/* @helper qn_store_u4 deps: */
static inline void qn_store_u4(uint8_t *p, int64_t i, int32_t v) {
    int32_t at = (int32_t)(i & 1) * 4;
    p[i >> 1] = (uint8_t)((p[i >> 1] & ~(15 << at)) | (v & 15) << at);
}
/* @helper qn_load_i4 deps: qn_load_u4 */
static inline int8_t qn_load_i4(const uint8_t *p, int64_t i) { return (int8_t)((qn_load_u4(p, i) ^ 8) - 8); }
/* @helper qn_store_i4 deps: qn_store_u4 */
static inline void qn_store_i4(uint8_t *p, int64_t i, int32_t v) { qn_store_u4(p, i, v); }
/* @helper qn_load_u2 deps: */
static inline uint8_t qn_load_u2(const uint8_t *p, int64_t i) { return (uint8_t)(p[i >> 2] >> (i & 3) * 2 & 3); }
/* @helper qn_store_u2 deps: */
static inline void qn_store_u2(uint8_t *p, int64_t i, int32_t v) {
    int32_t at = (int32_t)(i & 3) * 2;
    p[i >> 2] = (uint8_t)((p[i >> 2] & ~(3 << at)) | (v & 3) << at);
}
/* @helper qn_load_i2 deps: qn_load_u2 */
static inline int8_t qn_load_i2(const uint8_t *p, int64_t i) { return (int8_t)((qn_load_u2(p, i) ^ 2) - 2); }
/* @helper qn_store_i2 deps: qn_store_u2 */
static inline void qn_store_i2(uint8_t *p, int64_t i, int32_t v) { qn_store_u2(p, i, v); }
/* @helper qn_load_f4 deps: qn_load_u4 qn_f4e2m1_to_f32 */
static inline float qn_load_f4(const uint8_t *p, int64_t i) { return qn_f4e2m1_to_f32(qn_load_u4(p, i)); }
/* @helper qn_store_f4 deps: qn_store_u4 qn_f32_to_f4e2m1 */
static inline void qn_store_f4(uint8_t *p, int64_t i, float v) { qn_store_u4(p, i, qn_f32_to_f4e2m1(v)); }
