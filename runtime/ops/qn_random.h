/* SPDX-License-Identifier: 0BSD */
/* qn_random.h: random numbers that depend on a key and an element's number only (Philox4x32-10, Salmon et al. 2011): every call, machine
 * and number of threads gives the same.
 *
 *   qn_random({elements, key, kind, wide}, {y})      kind 0: uniform in [0, 1); 1: normal with mean 0 and variance 1
 */
#ifndef QN_RANDOM_H
#define QN_RANDOM_H
#include <stdint.h>
#include <math.h>

/* @helper qn_philox deps: */
static void qn_philox(uint64_t counter, uint64_t key, uint32_t out[4]) {
    uint32_t c[4], k[2];
    int i;
    c[0] = (uint32_t)counter, c[1] = (uint32_t)(counter >> 32), c[2] = 0, c[3] = 0;
    k[0] = (uint32_t)key, k[1] = (uint32_t)(key >> 32);
    for (i = 0; i < 10; i++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k[0];
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k[1];
        c[1] = (uint32_t)b, c[3] = (uint32_t)a;
        k[0] += 0x9E3779B9u, k[1] += 0xBB67AE85u;
    }
    for (i = 0; i < 4; i++) out[i] = c[i];
}
/* 53 bits of two words as a number in [0, 1). */
/* @helper qn_unit deps: */
static double qn_unit(uint32_t hi, uint32_t lo) { return ((double)(hi >> 5) * 67108864.0 + (double)(lo >> 6)) / 9007199254740992.0; }
/* @helper qn_random deps: qn_philox qn_unit */
static int qn_random(const int64_t *arg, void *const *buf) {
    int64_t i;
    for (i = 0; i < arg[0]; i++) {
        uint32_t w[4];
        double v;
        qn_philox((uint64_t)i, (uint64_t)arg[1], w);
        if (arg[2]) v = sqrt(-2 * log(1 - qn_unit(w[0], w[1]))) * cos(6.283185307179586 * qn_unit(w[2], w[3]));
        else v = arg[3] ? qn_unit(w[0], w[1]) : (double)(w[0] >> 8) / 16777216.0; /* a float's 24 bits: never rounded up to 1 */
        if (arg[3]) ((double *)buf[0])[i] = v;
        else ((float *)buf[0])[i] = (float)v;
    }
    return 0;
}
#endif
