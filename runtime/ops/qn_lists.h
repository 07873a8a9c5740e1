/* SPDX-License-Identifier: 0BSD */
/* qn_lists.h: sequences, optionals and maps as a model's interface has them: a list of dims, and the bytes of the tensors inside, each of
 * which starts at a multiple of 16. Inside the model the list of an input is complete: what is absent stands there with its least extents.
 *
 *   form: whether optional, kind, bits of an element, bits of a key (0 bits: strings); kind 0: a tensor, 1: a sequence, 2: a map, 3: a
 *   sequence of maps with the same keys
 */
#ifndef QN_LISTS_H
#define QN_LISTS_H
#include <stdint.h>
#include <string.h>

/* The dims list of an input, as it was given: whether it is right, and into `to`, unless that is NULL, completed. `want`: whether optional,
 * kind (0 to 2), least and largest length; per element the rank, and per axis the least and the largest extent. have: there are bytes. 0,
 * or 1: more than there may be, 2: bytes are missing, 3: not what is expected. */
/* @helper qn_list_take deps: */
static int qn_list_take(const int64_t *want, const int64_t *given, int have, int64_t *to) {
    const int64_t optional = want[0], kind = want[1], least = want[2], most = want[3];
    int64_t here = 1, n = 1, total = 0;
    if (!given) return 3;
    want += 4;
    if (optional) {
        here = *given++;
        if (here != 0 && here != 1) return 3;
        if (to) *to++ = here;
    }
    if (kind) {
        n = here ? *given++ : least;
        if (n < least || (n > most && least == most)) return 3;
        if (n > most) return 1;
        if (to) *to++ = n;
    }
    if (kind == 2 && here) total = n;
    for (int64_t i = 0; i < most && kind < 2; i++) {
        const int there = here && i < n;
        const int64_t rank = *want++;
        int64_t count = 1;
        if (there && *given++ != rank) return 3;
        if (to) *to++ = rank;
        for (int64_t k = 0; k < rank; k++) {
            const int64_t lo = *want++, hi = *want++, v = there ? *given++ : lo;
            if (v < lo || (v > hi && lo == hi)) return 3;
            if (v > hi) return 1;
            if (to) *to++ = v;
            count *= v;
        }
        if (there) total += count;
    }
    return total && !have ? 2 : 0;
}

/* The bytes of a tensor of n elements; of strings the last offset, which is where they end. */
/* @helper qn_list_bytes deps: */
static int64_t qn_list_bytes(int64_t bits, int64_t n, const char *at) {
    int64_t end;
    if (bits) return (n * bits + 7) / 8;
    memcpy(&end, at + 8 * n, 8);
    return end;
}

/* Where tensor `leaf` is, given its dims list: at[0] its first byte, at[1] the end of what is before it, at[2] its elements. 0: it is
 * there, 1: it is not, 2: strings end where they cannot; most: bytes of one, or -1 where that is sure. */
/* @helper qn_list_find deps: qn_list_bytes */
static int qn_list_find(const int64_t *form, int64_t leaf, int64_t most, const int64_t *dims, const char *data, int64_t *at) {
    int64_t here = 1, n = 1;
    at[0] = at[1] = 0;
    if (form[0]) here = *dims++;
    if (form[1]) n = *dims++;
    for (int64_t i = 0;; i++) {
        const int64_t bits = form[1] >= 2 && i % 2 == 0 ? form[3] : form[2];
        int64_t rank = form[1] >= 2 ? 0 : *dims++;
        at[2] = form[1] == 2 ? n : form[1] == 3 ? dims[i / 2] : 1;
        while (rank-- > 0) at[2] *= *dims++;
        if (i == leaf) return !here || (form[1] == 1 && i >= n);
        if (here && (form[1] != 1 || i < n)) {
            const int64_t bytes = qn_list_bytes(bits, at[2], data + at[0]), head = 8 * (at[2] + 1);
            if (!bits && most >= 0 && (bytes < head || bytes > head + at[2] * most)) return 2;
            at[1] = at[0] + bytes;
            at[0] = (at[1] + 15) / 16 * 16;
        }
    }
}

/* One tensor out of an input: arg form, leaf, most bytes of a string, bytes that the result has room for; buf data, dims, result. */
/* @helper qn_list_get deps: qn_list_find qn_list_bytes */
static int qn_list_get(const int64_t *arg, void *const *buf) {
    const int64_t bits = arg[1] >= 2 && arg[4] % 2 == 0 ? arg[3] : arg[2];
    int64_t at[3], bytes;
    char *to = buf[2];
    switch (qn_list_find(arg, arg[4], arg[5], buf[1], buf[0], at)) {
    case 0:
        bytes = qn_list_bytes(bits, at[2], (const char *)buf[0] + at[0]);
        if (bytes < (bits ? 0 : 8 * (at[2] + 1)) || bytes > arg[6]) return 2;
        if (bytes) memcpy(to, (const char *)buf[0] + at[0], (size_t)bytes);
        return 0;
    case 1:
        bytes = 8 * (at[2] + 1);
        if (bits) memset(to, 0, (size_t)arg[6]);
        for (int64_t i = 0; !bits && i <= at[2]; i++) memcpy(to + 8 * i, &bytes, 8);
        return 0;
    default: return 2;
    }
}

/* One tensor into an output: arg form, leaf; buf dims, tensor, data. */
/* @helper qn_list_put deps: qn_list_find qn_list_bytes */
static int qn_list_put(const int64_t *arg, void *const *buf) {
    const int64_t bits = arg[1] >= 2 && arg[4] % 2 == 0 ? arg[3] : arg[2];
    int64_t at[3], bytes;
    char *to = buf[2];
    if (qn_list_find(arg, arg[4], -1, buf[0], to, at)) return 0;
    bytes = qn_list_bytes(bits, at[2], buf[1]);
    if (at[0] > at[1]) memset(to + at[1], 0, (size_t)(at[0] - at[1]));
    if (bytes) memcpy(to + at[0], buf[1], (size_t)bytes);
    if (bits && at[2] * bits % 8) to[at[0] + bytes - 1] = (char)(to[at[0] + bytes - 1] & ((1 << (at[2] * bits % 8)) - 1));
    return 0;
}

/* A sequence of maps with the same keys: arg form, bytes of the keys; buf dims, keys, values (a row for each map), data. */
/* @helper qn_list_rows deps: */
static int qn_list_rows(const int64_t *arg, void *const *buf) {
    const int64_t *dims = buf[0], maps = dims[0], keys = arg[4];
    int64_t at = 0;
    char *to = buf[3];
    for (int64_t i = 0; i < maps; i++)
        for (int k = 0; k < 2; k++) {
            const int64_t n = k ? dims[1 + i] * arg[2] / 8 : keys, start = (at + 15) / 16 * 16;
            if (start > at) memset(to + at, 0, (size_t)(start - at));
            if (n) memcpy(to + start, k ? (const char *)buf[2] + i * n : (const char *)buf[1], (size_t)n);
            at = start + n;
        }
    return 0;
}
#endif
