/* SPDX-License-Identifier: 0BSD */
/* qn_strings.h: strings. A pool is n + 1 offsets of 64 bits from its own start, then the bytes. Inside a model a string is a reference:
 * the pool's number in the upper 24 bits, its place there in the lower 40. The routines get the numbers of the pools they may meet.
 *
 *   qn_string_pack({1, room, 1, 3}, {{3 << 40}, out, pool 3})   ->   out: 16, 21, "hello"
 * A routine returns 1 when a bound is exceeded and 2 when an input is not valid.
 */
#ifndef QN_STRINGS_H
#define QN_STRINGS_H
#include <stdint.h>
#include <string.h>
#include <math.h>
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* @helper qn_string_offset deps: */
static int64_t qn_string_offset(const void *pool, int64_t i) {
    int64_t v;
    memcpy(&v, (const char *)pool + 8 * i, 8);
    return v;
}
/* id: how many pools, then their numbers. */
/* @helper qn_string_at deps: qn_string_offset */
static const char *qn_string_at(const int64_t *id, void *const *pool, int64_t ref, int64_t *len) {
    const int64_t at = ref & (((int64_t)1 << 40) - 1);
    int64_t i;
    for (i = 0; i < id[0]; i++)
        if (id[1 + i] == ref >> 40) {
            const int64_t from = qn_string_offset(pool[i], at);
            *len = qn_string_offset(pool[i], at + 1) - from;
            return (const char *)pool[i] + from;
        }
    *len = 0;
    return "";
}
/* Negative, 0 or positive, by bytes. */
/* @helper qn_string_compare deps: */
static int qn_string_compare(const char *x, int64_t nx, const char *y, int64_t ny) {
    const int64_t n = nx < ny ? nx : ny;
    const int c = n ? memcmp(x, y, (size_t)n) : 0;
    return c ? c : nx < ny ? -1 : nx > ny;
}
/* String number i of a pool that is being written, whose strings before it end at *at. */
/* @helper qn_string_put deps: */
static int qn_string_put(void *pool, int64_t i, int64_t n, int64_t room, int64_t *at, const char *s, int64_t len) {
    if (i == 0) {
        *at = 8 * (n + 1);
        memcpy(pool, at, 8);
    }
    if (len > room - *at) return 1;
    if (len > 0) memcpy((char *)pool + *at, s, (size_t)len);
    *at += len;
    memcpy((char *)pool + 8 * (i + 1), at, 8);
    return 0;
}
/* @helper qn_string_open deps: qn_string_offset */
static int qn_string_open(const int64_t *arg, void *const *buf) { /* {n, pool, longest}, {x, refs} */
    int64_t i, before = 8 * (arg[0] + 1);
    if (qn_string_offset(buf[0], 0) != before) return 2;
    for (i = 0; i < arg[0]; i++) {
        const int64_t end = qn_string_offset(buf[0], i + 1);
        if (end < before || end - before > arg[2]) return 2;
        before = end;
        ((int64_t *)buf[1])[i] = arg[1] << 40 | i;
    }
    return 0;
}
/* @helper qn_string_pack deps: qn_string_at qn_string_put */
static int qn_string_pack(const int64_t *arg, void *const *buf) { /* {n, room, pools…}, {refs, out, pools…} */
    int64_t i, at = 8, len;
    memcpy(buf[1], &at, 8);
    for (i = 0; i < arg[0]; i++) {
        const char *s = qn_string_at(arg + 2, buf + 2, ((const int64_t *)buf[0])[i], &len);
        if (qn_string_put(buf[1], i, arg[0], arg[1], &at, s, len)) return 1;
    }
    return 0;
}
/* @helper qn_string_equal deps: qn_string_at qn_string_compare */
static int qn_string_equal(const int64_t *arg, void *const *buf) { /* {n, pools…}, {x, y, equal, pools…} */
    int64_t i, nx, ny;
    for (i = 0; i < arg[0]; i++) {
        const char *x = qn_string_at(arg + 1, buf + 3, ((const int64_t *)buf[0])[i], &nx);
        const char *y = qn_string_at(arg + 1, buf + 3, ((const int64_t *)buf[1])[i], &ny);
        ((uint8_t *)buf[2])[i] = qn_string_compare(x, nx, y, ny) == 0;
    }
    return 0;
}
/* The place of each string among ascending keys; their number if it is none of them. */
/* @helper qn_string_find deps: qn_string_at qn_string_compare */
static int qn_string_find(const int64_t *arg, void *const *buf) { /* {n, keys, pools…}, {x, keys, place, pools…} */
    int64_t i, nx, nk;
    for (i = 0; i < arg[0]; i++) {
        const char *x = qn_string_at(arg + 2, buf + 3, ((const int64_t *)buf[0])[i], &nx);
        int64_t lo = 0, hi = arg[1], found = arg[1];
        while (lo < hi) {
            const int64_t mid = (lo + hi) / 2;
            const char *k = qn_string_at(arg + 2, buf + 3, ((const int64_t *)buf[1])[mid], &nk);
            const int c = qn_string_compare(x, nx, k, nk);
            if (c == 0) found = mid;
            if (c == 0) break;
            if (c < 0) hi = mid;
            else lo = mid + 1;
        }
        ((int64_t *)buf[2])[i] = found;
    }
    return 0;
}
/* Strings i and j of references, by bytes. */
/* @helper qn_string_order deps: qn_string_at qn_string_compare */
static int qn_string_order(const int64_t *id, void *const *pool, const int64_t *ref, int64_t i, int64_t j) {
    int64_t nx, ny;
    const char *x = qn_string_at(id, pool, ref[i], &nx), *y = qn_string_at(id, pool, ref[j], &ny);
    return qn_string_compare(x, nx, y, ny);
}
/* A heap sort: how many strings stand before each; equal ones have equal numbers. */
/* @helper qn_string_rank deps: qn_string_order */
static int qn_string_rank(const int64_t *arg, void *const *buf) { /* {n, pools…}, {x, rank, order, pools…} */
    const int64_t *ref = (const int64_t *)buf[0], n = arg[0];
    int64_t *rank = (int64_t *)buf[1], *order = (int64_t *)buf[2], i, from = n / 2, end = n;
    for (i = 0; i < n; i++) order[i] = i;
    while (end > 1) {
        int64_t at, child, v;
        if (from > 0) v = order[--from];
        else {
            v = order[--end];
            order[end] = order[0];
        }
        for (at = from; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && qn_string_order(arg + 1, buf + 3, ref, order[child], order[child + 1]) < 0) child++;
            if (qn_string_order(arg + 1, buf + 3, ref, v, order[child]) >= 0) break;
            order[at] = order[child];
        }
        order[at] = v;
    }
    for (i = 0; i < n; i++) {
        const int same = i && qn_string_order(arg + 1, buf + 3, ref, order[i - 1], order[i]) == 0;
        rank[order[i]] = same ? rank[order[i - 1]] : i;
    }
    return 0;
}
/* @helper qn_string_concat deps: qn_string_at */
static int qn_string_concat(const int64_t *arg, void *const *buf) { /* {n, pool, room, pools…}, {x, y, refs, own, pools…} */
    int64_t i, nx, ny, at = 8 * (arg[0] + 1);
    char *own = (char *)buf[3];
    memcpy(own, &at, 8);
    for (i = 0; i < arg[0]; i++) {
        const char *x = qn_string_at(arg + 3, buf + 4, ((const int64_t *)buf[0])[i], &nx);
        const char *y = qn_string_at(arg + 3, buf + 4, ((const int64_t *)buf[1])[i], &ny);
        if (nx + ny > arg[2] - at) return 1;
        if (nx) memcpy(own + at, x, (size_t)nx);
        if (ny) memcpy(own + at + nx, y, (size_t)ny);
        at += nx + ny;
        memcpy(own + 8 * (i + 1), &at, 8);
        ((int64_t *)buf[2])[i] = arg[1] << 40 | i;
    }
    return 0;
}

/* ---- letters: those of the Latin, Greek and Cyrillic alphabets whose two cases take equally many bytes */
/* @helper qn_other_case deps: */
static uint32_t qn_other_case(uint32_t c, int up) {
    const uint32_t shift = up ? (uint32_t)-32 : 32u, to = up ? 32u : 0u;
    if (c >= 'A' + to && c <= 'Z' + to) return c + shift;
    if (c >= 0xC0 + to && c <= 0xDE + to && c != 0xD7 + to) return c + shift;
    if (c >= 0x391 + to && c <= 0x3A9 + to && c != 0x3A2 + to) return c + shift;
    if (c >= 0x410 + to && c <= 0x42F + to) return c + shift;
    if (up ? c >= 0x450 && c <= 0x45F : c >= 0x400 && c <= 0x40F) return up ? c - 80 : c + 80;
    if ((c >= 0x100 && c <= 0x12F) || (c >= 0x132 && c <= 0x137) || (c >= 0x14A && c <= 0x177)) return up ? c & ~1u : c | 1u;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return up ? (c - 1) | 1u : (c + 1) & ~1u;
    return c;
}
/* @helper qn_change_case deps: qn_other_case */
static void qn_change_case(char *s, int64_t n, int up) {
    unsigned char *p = (unsigned char *)s;
    int64_t i;
    for (i = 0; i < n; i++) {
        if (p[i] < 0x80) p[i] = (unsigned char)qn_other_case(p[i], up);
        else if (p[i] >= 0xC3 && p[i] <= 0xD1 && i + 1 < n && (p[i + 1] & 0xC0) == 0x80) {
            const uint32_t c = qn_other_case((uint32_t)(p[i] & 31) << 6 | (p[i + 1] & 63u), up);
            p[i] = (unsigned char)(0xC0 | c >> 6);
            p[i + 1] = (unsigned char)(0x80 | (c & 63u));
            i++;
        }
    }
}
/* Equal, in any case unless `exact`. */
/* @helper qn_same_word deps: qn_other_case */
static int qn_same_word(const char *x, int64_t nx, const char *y, int64_t ny, int exact) {
    const unsigned char *p = (const unsigned char *)x, *q = (const unsigned char *)y;
    int64_t i;
    if (nx != ny) return 0;
    for (i = 0; i < nx; i++) {
        uint32_t a = p[i], b = q[i];
        if (!exact && a >= 0xC3 && a <= 0xD1 && i + 1 < nx) {
            a = qn_other_case((a & 31u) << 6 | (p[i + 1] & 63u), 0);
            b = qn_other_case((b & 31u) << 6 | (q[i + 1] & 63u), 0);
            i++;
        } else if (!exact && a < 0x80) {
            a = qn_other_case(a, 0), b = qn_other_case(b, 0);
        }
        if (a != b) return 0;
    }
    return 1;
}
/* @helper qn_is_stop deps: qn_string_at qn_same_word */
static int qn_is_stop(const int64_t *arg, void *const *buf, const char *s, int64_t len) {
    int64_t k, nk;
    for (k = 0; k < arg[5]; k++) {
        const char *w = qn_string_at(arg + 6, buf + 5, ((const int64_t *)buf[1])[k], &nk);
        if (qn_same_word(s, len, w, nk, (int)arg[4])) return 1;
    }
    return 0;
}
/* What is no stop word, in another case: {n, pool, room, change (1 lower, 2 upper), exact, stop words, pools…},
 * {x, stop words, refs, own, count, pools…}. Where nothing is left, one empty string. */
/* @helper qn_string_normalize deps: qn_string_at qn_string_put qn_is_stop qn_change_case */
static int qn_string_normalize(const int64_t *arg, void *const *buf) {
    int64_t i, len, at = 0, count = 0, n = 0;
    char *own = (char *)buf[3];
    for (i = 0; i < arg[0]; i++) {
        const char *s = qn_string_at(arg + 6, buf + 5, ((const int64_t *)buf[0])[i], &len);
        count += !qn_is_stop(arg, buf, s, len);
    }
    if (!count && arg[5]) {
        count = 1;
        if (qn_string_put(own, n++, count, arg[2], &at, "", 0)) return 1;
    }
    for (i = 0; i < arg[0] && n < count; i++) {
        const char *s = qn_string_at(arg + 6, buf + 5, ((const int64_t *)buf[0])[i], &len);
        if (qn_is_stop(arg, buf, s, len)) continue;
        if (qn_string_put(own, n++, count, arg[2], &at, s, len)) return 1;
        if (arg[3]) qn_change_case(own + at - len, len, arg[3] == 2);
    }
    for (i = 0; i < count; i++) ((int64_t *)buf[2])[i] = arg[1] << 40 | i;
    *(int64_t *)buf[4] = count;
    return 0;
}

/* ---- parts */
/* How many bytes of white space stand there: what Unicode calls so. */
/* @helper qn_blank deps: */
static int64_t qn_blank(const char *s, int64_t n) {
    const unsigned char *u = (const unsigned char *)s;
    if (n < 1) return 0;
    if (u[0] == ' ' || (u[0] >= 9 && u[0] <= 13) || (u[0] >= 28 && u[0] <= 31)) return 1;
    if (n > 1 && u[0] == 0xC2 && (u[1] == 0x85 || u[1] == 0xA0)) return 2;
    if (n < 3) return 0;
    if (u[0] == 0xE2 && u[1] == 0x80 && (u[2] <= 0x8A || u[2] == 0xA8 || u[2] == 0xA9 || u[2] == 0xAF)) return 3;
    if ((u[0] == 0xE1 && u[1] == 0x9A && u[2] == 0x80) || (u[0] == 0xE2 && u[1] == 0x81 && u[2] == 0x9F)) return 3;
    return u[0] == 0xE3 && u[1] == 0x80 && u[2] == 0x80 ? 3 : 0;
}
/* The part at *at, which becomes the start of the one behind it: its length; -1: there is none. most: how many may still be split off. */
/* @helper qn_string_part deps: qn_blank */
static int64_t qn_string_part(const char *s, int64_t n, const char *by, int64_t nby, int64_t most, int64_t *at, int64_t *from) {
    int64_t k, b;
    if (!nby)
        while ((b = qn_blank(s + *at, n - *at)) > 0) *at += b;
    if (*at > n || (!nby && *at == n)) return -1;
    *from = *at;
    for (k = *at; most != 0 && k + nby <= n && k < n; k++) {
        if (nby ? memcmp(s + k, by, (size_t)nby) != 0 : !qn_blank(s + k, n - k)) continue;
        *at = k + nby;
        return k - *from;
    }
    *at = n + 1;
    return n - *from;
}
/* Parts of strings, filled up with empty ones: {n, pool, room, most parts, most splits (-1: any number), pools…},
 * {x, delimiter, refs, own, lengths, parts, pools…} */
/* @helper qn_string_split deps: qn_string_at qn_string_put qn_string_part */
static int qn_string_split(const int64_t *arg, void *const *buf) {
    const int64_t *id = arg + 5;
    void *const *pool = buf + 6;
    int64_t i, k, len, nby, at, from = 0, n, parts = 0, end = 0;
    const char *by = qn_string_at(id, pool, *(const int64_t *)buf[1], &nby);
    for (i = 0; i < arg[0]; i++) {
        const char *s = qn_string_at(id, pool, ((const int64_t *)buf[0])[i], &len);
        for (k = 0, at = 0; qn_string_part(s, len, by, nby, arg[4] < 0 ? -1 : arg[4] - k, &at, &from) >= 0;) k++;
        ((int64_t *)buf[4])[i] = k;
        if (k > parts) parts = k;
    }
    if (parts > arg[3]) return 1;
    n = arg[0] * parts, at = 8;
    if (!n) memcpy(buf[3], &at, 8);
    for (i = 0; i < n; i++) {
        static const char none[1] = "";
        const char *s = none;
        k = i % parts, len = 0;
        if (k == 0) at = 0;
        if (k < ((const int64_t *)buf[4])[i / parts]) {
            s = qn_string_at(id, pool, ((const int64_t *)buf[0])[i / parts], &len);
            len = qn_string_part(s, len, by, nby, arg[4] < 0 ? -1 : arg[4] - k, &at, &from);
            s += from;
        }
        if (qn_string_put(buf[3], i, n, arg[2], &end, s, len)) return 1;
        ((int64_t *)buf[2])[i] = arg[1] << 40 | i;
    }
    *(int64_t *)buf[5] = parts;
    return 0;
}
/* Whether texts lead to a state that accepts: {n, kinds, pools…}, {x, kind of each byte, states, matches, pools…} */
/* @helper qn_string_match deps: qn_string_at */
static int qn_string_match(const int64_t *arg, void *const *buf) {
    const uint8_t *kind = (const uint8_t *)buf[1];
    const uint16_t *next = (const uint16_t *)buf[2];
    int64_t i, k, len;
    for (i = 0; i < arg[0]; i++) {
        const char *s = qn_string_at(arg + 2, buf + 4, ((const int64_t *)buf[0])[i], &len);
        int64_t state = 0;
        for (k = 0; k < len && state != 1; k++) state = next[state * (arg[1] + 1) + kind[(unsigned char)s[k]]];
        ((uint8_t *)buf[3])[i] = (uint8_t)next[state * (arg[1] + 1) + arg[1]];
    }
    return 0;
}

/* ---- numbers as text: the fewest digits that give the number back (Burger and Dybvig 1996), with large integers of 40 words */
/* @helper qn_big deps: */
typedef struct qn_big {
    int n;
    uint32_t w[40];
} qn_big;
/* @helper qn_big_scale deps: qn_big */
static void qn_big_scale(qn_big *x, uint32_t by) {
    uint64_t carry = 0;
    int i;
    for (i = 0; i < x->n; i++) {
        carry += (uint64_t)x->w[i] * by;
        x->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && x->n < 40) x->w[x->n++] = (uint32_t)carry;
}
/* @helper qn_big_shift deps: qn_big_scale */
static void qn_big_shift(qn_big *x, int bits) {
    for (; bits >= 16; bits -= 16) qn_big_scale(x, 65536);
    qn_big_scale(x, (uint32_t)1 << bits);
}
/* The sign of x + y - z; y may be NULL. */
/* @helper qn_big_compare deps: qn_big */
static int qn_big_compare(const qn_big *x, const qn_big *y, const qn_big *z) {
    int64_t d = 0;
    int i;
    for (i = 39; i >= 0; i--) {
        d = d * 4294967296 + (int64_t)(i < x->n ? x->w[i] : 0) + (int64_t)(y && i < y->n ? y->w[i] : 0) - (int64_t)(i < z->n ? z->w[i] : 0);
        if (d > 2) return 1;
        if (d < -2) return -1;
    }
    return d > 0 ? 1 : d < 0 ? -1 : 0;
}
/* @helper qn_big_take deps: qn_big */
static void qn_big_take(qn_big *x, const qn_big *y) {
    int64_t d = 0;
    int i;
    for (i = 0; i < x->n; i++) {
        d += (int64_t)x->w[i] - (int64_t)(i < y->n ? y->w[i] : 0);
        x->w[i] = (uint32_t)d;
        d = d < 0 ? -1 : 0; /* what is borrowed */
    }
    while (x->n && !x->w[x->n - 1]) x->n--;
}
/* Digits of a positive mantissa * 2^e into d; the number is 0.d… * 10^*k. edge: the next smaller number is only half as far. */
/* @helper qn_digits deps: qn_big qn_big_scale qn_big_shift qn_big_compare qn_big_take */
static int qn_digits(uint64_t mantissa, int e, int edge, char *d, int *k) {
    qn_big r, s, up, down;
    const int even = !(mantissa & 1);
    int n = 0;
    memset(&r, 0, sizeof r);
    s = r, up = r, down = r;
    r.w[0] = (uint32_t)mantissa, r.w[1] = (uint32_t)(mantissa >> 32), r.n = r.w[1] ? 2 : 1;
    s.w[0] = 1, s.n = 1, up = s, down = s;
    qn_big_shift(&r, 1 + edge + (e > 0 ? e : 0));
    qn_big_shift(&s, 1 + edge + (e < 0 ? -e : 0));
    qn_big_shift(&up, edge + (e > 0 ? e : 0));
    qn_big_shift(&down, e > 0 ? e : 0);
    *k = 0;
    for (; qn_big_compare(&r, &up, &s) >= (even ? 0 : 1); ++*k) qn_big_scale(&s, 10);
    for (;;) {
        qn_big r10 = r, up10 = up;
        qn_big_scale(&r10, 10), qn_big_scale(&up10, 10);
        if (qn_big_compare(&r10, &up10, &s) >= (even ? 0 : 1)) break;
        r = r10, up = up10;
        qn_big_scale(&down, 10);
        --*k;
    }
    for (;;) {
        int digit = 0, low, high;
        qn_big_scale(&r, 10), qn_big_scale(&up, 10), qn_big_scale(&down, 10);
        for (; qn_big_compare(&r, NULL, &s) >= 0; digit++) qn_big_take(&r, &s);
        low = qn_big_compare(&r, NULL, &down) < (even ? 1 : 0);
        high = qn_big_compare(&r, &up, &s) >= (even ? 0 : 1);
        if (low && high) high = qn_big_compare(&r, &r, &s) >= 0;
        d[n++] = (char)('0' + digit + high);
        if (low || high || n == 20) return n;
    }
}
/* A float (wide 0) or double as text; returns its length, at most 32. */
/* @helper qn_real_text deps: qn_digits */
static int qn_real_text(double v, int wide, char *t) {
    char d[24];
    int n, k, i, e, at = 0;
    const int bits = wide ? 53 : 24, least = wide ? -1074 : -149;
    double m;
    if (v != v) return memcpy(t, "NaN", 3), 3;
    if (signbit(v)) t[at++] = '-';
    v = fabs(v);
    if (v > 1.7976931348623157e308) return memcpy(t + at, "INF", 3), at + 3;
    if (!(v > 0)) return memcpy(t + at, "0.0", 3), at + 3;
    m = frexp(v, &e);
    e -= bits;
    if (e < least) n = qn_digits((uint64_t)ldexp(v, -least), least, 0, d, &k);
    else n = qn_digits((uint64_t)ldexp(m, bits), e, m <= 0.5 && e > least, d, &k);
    if (k > -4 && k <= 16) {
        if (k <= 0) t[at++] = '0', t[at++] = '.';
        for (i = k; i < 0; i++) t[at++] = '0';
        for (i = 0; i < n || i < k; i++) {
            if (i == k && i > 0) t[at++] = '.';
            t[at++] = i < n ? d[i] : '0';
        }
        if (k >= n) t[at++] = '.', t[at++] = '0';
        return at;
    }
    t[at++] = d[0];
    if (n > 1) t[at++] = '.';
    for (i = 1; i < n; i++) t[at++] = d[i];
    t[at++] = 'e', t[at++] = k - 1 < 0 ? '-' : '+';
    e = k - 1 < 0 ? 1 - k : k - 1;
    if (e >= 100) t[at++] = (char)('0' + e / 100);
    t[at++] = (char)('0' + e / 10 % 10), t[at++] = (char)('0' + e % 10);
    return at;
}
/* @helper qn_int_text deps: */
static int qn_int_text(uint64_t v, int negative, char *t) {
    char d[24];
    int n = 0, at = 0;
    if (negative) t[at++] = '-';
    do d[n++] = (char)('0' + v % 10);
    while ((v /= 10) != 0);
    while (n) t[at++] = d[--n];
    return at;
}
/* kind: 0 int64, 1 uint64, 2 float, 3 double, 4 bool */
/* @helper qn_string_from deps: qn_string_put qn_real_text qn_int_text */
static int qn_string_from(const int64_t *arg, void *const *buf) { /* {n, pool, room, kind}, {x, refs, own} */
    int64_t i, at = 8;
    memcpy(buf[2], &at, 8);
    for (i = 0; i < arg[0]; i++) {
        char t[48];
        const char *s = t;
        int len;
        if (arg[3] == 0) {
            const int64_t v = ((const int64_t *)buf[0])[i];
            len = qn_int_text(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, t);
        } else if (arg[3] == 1) {
            len = qn_int_text(((const uint64_t *)buf[0])[i], 0, t);
        } else if (arg[3] == 4) {
            s = ((const uint8_t *)buf[0])[i] ? "True" : "False";
            len = ((const uint8_t *)buf[0])[i] ? 4 : 5;
        } else {
            len = arg[3] == 3 ? qn_real_text(((const double *)buf[0])[i], 1, t) : qn_real_text((double)((const float *)buf[0])[i], 0, t);
        }
        if (qn_string_put(buf[2], i, arg[0], arg[2], &at, s, len)) return 1;
        ((int64_t *)buf[1])[i] = arg[1] << 40 | i;
    }
    return 0;
}
/* @helper qn_is_word deps: */
static int qn_is_word(const char *s, int64_t n, const char *lower) { /* in any case */
    int64_t i;
    for (i = 0; i < n && lower[i]; i++)
        if ((s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]) != lower[i]) return 0;
    return i == n && !lower[i];
}
/* A number from text; 0: it is none. Nineteen digits count; powers of ten up to 10^22 are exact. */
/* @helper qn_parse_real deps: qn_is_word */
static int qn_parse_real(const char *s, int64_t n, double *out) {
    static const double ten[] = {1e1, 1e2, 1e4, 1e8, 1e16, 1e32, 1e64, 1e128, 1e256};
    uint64_t m = 0;
    int64_t i = 0, digits = 0, scale = 0, e = 0, k;
    int minus = 0, point = 0, eminus = 0;
    double v;
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\n')) n--;
    while (n && (*s == ' ' || *s == '\t' || *s == '\n')) s++, n--;
    if (n && (*s == '-' || *s == '+')) minus = *s == '-', s++, n--;
    if (qn_is_word(s, n, "nan")) return *out = (double)NAN, 1;
    if (qn_is_word(s, n, "inf") || qn_is_word(s, n, "infinity")) return *out = minus ? -(double)INFINITY : (double)INFINITY, 1;
    for (; i < n && ((s[i] >= '0' && s[i] <= '9') || (s[i] == '.' && !point)); i++) {
        if (s[i] == '.') {
            point = 1;
            continue;
        }
        digits++;
        if (m < (UINT64_MAX - 9) / 10) m = m * 10 + (uint64_t)(s[i] - '0'), scale -= point;
        else scale += !point;
    }
    if (!digits) return 0;
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        if (++i < n && (s[i] == '-' || s[i] == '+')) eminus = s[i++] == '-';
        if (i == n) return 0;
        for (; i < n && s[i] >= '0' && s[i] <= '9'; i++) e = e < 100000 ? e * 10 + (s[i] - '0') : e;
    }
    if (i != n) return 0;
    e = (eminus ? -e : e) + scale;
    v = (double)m;
    if (e < -300 && m) { /* in two steps, so that nothing becomes 0 or infinite on the way */
        v /= 1e256;
        e += 256;
    }
    for (k = 0; k < 9; k++)
        if ((e < 0 ? -e : e) >> k & 1) v = e < 0 ? v / ten[k] : v * ten[k];
    if ((e < 0 ? -e : e) >= 512 && m) v = e < 0 ? 0 : (double)INFINITY;
    *out = minus ? -v : v;
    return 1;
}
/* @helper qn_string_to_real deps: qn_string_at qn_parse_real */
static int qn_string_to_real(const int64_t *arg, void *const *buf) { /* {n, pools…}, {refs, y, pools…} */
    int64_t i, len;
    for (i = 0; i < arg[0]; i++) {
        const char *s = qn_string_at(arg + 1, buf + 2, ((const int64_t *)buf[0])[i], &len);
        if (!qn_parse_real(s, len, (double *)buf[1] + i)) return 2;
    }
    return 0;
}
/* @helper qn_string_to_int deps: qn_string_at qn_parse_real */
static int qn_string_to_int(const int64_t *arg, void *const *buf) { /* as qn_string_to_real; digits alone are exact */
    int64_t i, k, len;
    for (i = 0; i < arg[0]; i++) {
        const char *s = qn_string_at(arg + 1, buf + 2, ((const int64_t *)buf[0])[i], &len);
        const int sign = len && (*s == '-' || *s == '+');
        uint64_t v = 0;
        double x;
        for (k = sign; k < len && s[k] >= '0' && s[k] <= '9'; k++) v = v * 10 + (uint64_t)(s[k] - '0');
        if (k < len || k == sign) {
            if (!qn_parse_real(s, len, &x)) return 2;
            ((int64_t *)buf[1])[i] = x != x                        ? 0
                                     : x >= 9.2233720368547758e18  ? INT64_MAX
                                     : x <= -9.2233720368547758e18 ? INT64_MIN
                                                                   : (int64_t)x;
        } else {
            ((int64_t *)buf[1])[i] = (int64_t)(sign && *s == '-' ? 0 - v : v);
        }
    }
    return 0;
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif
