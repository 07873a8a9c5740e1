/* SPDX-License-Identifier: Apache-2.0 */
/* text.c: what the printer and the parser of the text form must agree on: names, numbers, pseudo-random constants.
 *
 *   text_element of float16 0x3c00 -> "1";   text_element_parse("1") -> 0x3c00
 */
#include "text.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const text_roles[3] = {[ROLE_ANCHOR] = "anchor", [ROLE_POINT] = "point", [ROLE_INLINE] = "inline"};

bool text_name_bare(const char *s) {
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/";
    if (!*s || !strchr(first, *s) || strcmp(s, "_") == 0) return false;
    while (*s && (strchr(first, *s) || strchr("0123456789.", *s))) s++;
    return !*s;
}
bool text_has_literals(DType dt) {
    DClass k = dtype_info[dt].cls;
    return k == CLS_FLOAT || k == CLS_SINT || k == CLS_UINT || k == CLS_BOOL;
}

void text_element(Text *out, DType dt, const void *data, int64_t i) {
    if (dtype_is_float(dt)) {
        text_float(out, dtype_get_f(dt, data, i), dt == DT_FLOAT64 ? 64 : 32);
        if (out->n > 2 && strcmp(out->s + out->n - 2, ".0") == 0) out->n -= 2, out->s[out->n] = 0;
    } else if (dt == DT_BOOL) {
        text_puts(out, dtype_get_i(dt, data, i) ? "true" : "false");
    } else if (dt == DT_UINT64) {
        text_printf(out, "%llu", (unsigned long long)dtype_get_i(dt, data, i));
    } else {
        text_printf(out, "%lld", (long long)dtype_get_i(dt, data, i));
    }
}

static bool int_element(DType dt, const char *s, void *data, int64_t i, const char **why) {
    char *end;
    errno = 0;
    int64_t v = dt == DT_UINT64 ? (int64_t)strtoull(s, &end, 10) : strtoll(s, &end, 10);
    if (end == s || *end) return *why = "is not an integer", false;
    if (errno || (dt == DT_UINT64 ? *s == '-' : v < dtype_min(dt) || v > dtype_max(dt)))
        return *why = "does not fit the element type", false;
    dtype_set_i(dt, data, i, v);
    return true;
}
bool text_element_parse(DType dt, const char *s, size_t n, void *data, int64_t i, const char **why) {
    char b[512], *end;
    if (n == 0 || n >= sizeof b) return *why = n ? "is too long for a number" : "is not a number", false;
    memcpy(b, s, n);
    b[n] = 0;
    bool yes = strcmp(b, "true") == 0, no = strcmp(b, "false") == 0;
    if (dt == DT_BOOL && (yes || no)) {
        dtype_set_i(dt, data, i, yes);
        return true;
    }
    if (!dtype_is_float(dt)) return int_element(dt, b, data, i, why);
    /* float32 by strtof: by way of double it would be rounded twice */
    double x = dt == DT_FLOAT64 ? strtod(b, &end) : (double)strtof(b, &end);
    if (end == b || *end) return *why = "is not a number", false;
    dtype_set_f(dt, data, i, x);
    if (isinf(dtype_get_f(dt, data, i)) && !strpbrk(b, "iI")) return *why = "does not fit the element type", false;
    return true;
}

void text_rand(DType dt, uint64_t seed, int64_t n, void *data) {
    for (int64_t i = 0; i < n; i++) {
        uint64_t h = (seed << 32) + (uint64_t)i + 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
        h = (h ^ h >> 27) * 0x94d049bb133111ebu;
        h ^= h >> 31;
        if (dtype_is_float(dt)) dtype_set_f(dt, data, i, (double)(h >> 40) / 8388608.0 - 1);
        else if (dt == DT_BOOL) dtype_set_i(dt, data, i, (int64_t)(h >> 63));
        else dtype_set_i(dt, data, i, (int64_t)(h >> 60) - (dtype_info[dt].cls == CLS_SINT ? 8 : 0));
    }
}
