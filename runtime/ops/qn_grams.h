/* SPDX-License-Identifier: 0BSD */
/* qn_grams.h: TfIdfVectorizer on numbers: how often sequences of a pool occur in rows, also with gaps between their words.
 *
 *   qn_grams({rows, columns, outputs, shortest, longest, most skipped, mode}, {x, start, grams, weights, y})
 * grams of a length n are n numbers and the place in the output, in ascending order; those of length shortest + k are start[2k + 1] many
 * and stand from start[2k] on. mode: 0 counts, 1 weights of those that occur, 2 counts times weights.
 */
#ifndef QN_GRAMS_H
#define QN_GRAMS_H
#include <stdint.h>

/* The output of the gram at x[0], x[step] …; -1: none. */
/* @helper qn_gram_find deps: */
static int64_t qn_gram_find(const int64_t *gram, int64_t count, const int64_t *x, int64_t step, int64_t n) {
    int64_t lo = 0, hi = count, k;
    while (lo < hi) {
        const int64_t mid = (lo + hi) / 2, *g = gram + mid * (n + 1);
        for (k = 0; k < n && x[k * step] == g[k];) k++;
        if (k == n) return g[n];
        if (x[k * step] < g[k]) hi = mid;
        else lo = mid + 1;
    }
    return -1;
}
/* @helper qn_grams deps: qn_gram_find */
static int qn_grams(const int64_t *arg, void *const *buf) {
    const int64_t rows = arg[0], columns = arg[1], outputs = arg[2];
    const int64_t *x = (const int64_t *)buf[0], *start = (const int64_t *)buf[1], *gram = (const int64_t *)buf[2];
    const float *weight = (const float *)buf[3];
    float *y = (float *)buf[4];
    int64_t r, n, gap, i, k;
    for (r = 0; r < rows; r++, x += columns, y += outputs) {
        for (k = 0; k < outputs; k++) y[k] = 0;
        for (n = arg[3]; n <= arg[4]; n++)
            for (gap = 0; gap <= (n > 1 ? arg[5] : 0) && (n - 1) * (gap + 1) < columns; gap++)
                for (i = 0; i + (n - 1) * (gap + 1) < columns; i++) {
                    const int64_t *s = start + 2 * (n - arg[3]);
                    k = qn_gram_find(gram + s[0], s[1], x + i, gap + 1, n);
                    if (k >= 0) y[k] += 1;
                }
        for (k = 0; k < outputs && arg[6]; k++) y[k] = arg[6] == 2 ? y[k] * weight[k] : y[k] > 0 ? weight[k] : 0;
    }
    return 0;
}
#endif
