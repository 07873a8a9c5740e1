/* SPDX-License-Identifier: Apache-2.0 */
/* winograd_error.c: what Winograd's algorithm on tiles of 4 x 4 loses of a convolution with given weights, by trying it: some tiles of
 * seeded inputs, once of both signs and once of none below zero, as activations leave them; some of the features, from the first to the
 * last. Transforms and sums in float32, the order of the kernel's; the convolution itself in float64.
 *
 *   largest difference of a result / largest result, 2e-6 of usual weights, above 1e-5 where a layer should not be computed so
 */
#include "layout.h"
#include <math.h>

enum { M = 4, SIDE = 6, POS = SIDE * SIDE, TILES = 4, FEATURES = 12 };
static float next_value(uint32_t *s, bool both_signs) {
    *s = *s * 1664525u + 1013904223u;
    float v = (float)(*s >> 8) / (float)(1 << 24);
    return both_signs ? 2 * v - 1 : v;
}
/* y = k x k', k: rows x SIDE, x: SIDE x SIDE */
static void both_sides(const double *k, int rows, const float *x, float *y) {
    float t[POS];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < SIDE; j++) {
            float sum = 0;
            for (int i = 0; i < SIDE; i++) sum += (float)k[r * SIDE + i] * x[i * SIDE + j];
            t[r * SIDE + j] = sum;
        }
    for (int r = 0; r < rows; r++)
        for (int q = 0; q < rows; q++) {
            float sum = 0;
            for (int j = 0; j < SIDE; j++) sum += (float)k[q * SIDE + j] * t[r * SIDE + j];
            y[r * rows + q] = sum;
        }
}
static void exact_sums(const float *w, const float *d, double *y) {
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++)
            for (int t = 0; t < 9; t++) y[i * M + j] += (double)w[t] * d[(i + t / 3) * SIDE + j + t % 3];
}
/* w: [features, channels, 3, 3] */
double winograd_error(Arena *tmp, const float *w, int64_t features, int64_t channels) {
    double error = 0;
    int64_t count = min_i64(features, FEATURES);
    float *d = NEW_ARRAY(tmp, float, channels *POS), *v = NEW_ARRAY(tmp, float, channels *POS);
    uint32_t seed = 1;
    for (int kind = 0; kind < 2; kind++) {
        double worst = 0, largest = 0;
        for (int tile = 0; tile < TILES; tile++) {
            for (int64_t i = 0; i < channels * POS; i++) d[i] = next_value(&seed, kind == 0);
            for (int64_t c = 0; c < channels; c++) both_sides(winograd_matrix(M, 'B'), SIDE, d + c * POS, v + c * POS);
            for (int64_t n = 0; n < count; n++) {
                const float *of = w + (count > 1 ? n * (features - 1) / (count - 1) : 0) * channels * 9;
                float s[POS] = {0}, y[M * M];
                double want[M * M] = {0}, u[POS];
                for (int64_t c = 0; c < channels; c++) {
                    winograd_filter(of + c * 9, M, u);
                    for (int p = 0; p < POS; p++) s[p] += (float)u[p] * v[c * POS + p];
                    exact_sums(of + c * 9, d + c * POS, want);
                }
                both_sides(winograd_matrix(M, 'A'), M, s, y);
                for (int i = 0; i < M * M; i++) {
                    double off = fabs(want[i] - y[i]);
                    if (!(off < INFINITY)) return INFINITY; /* a transformed weight is none any more */
                    worst = off > worst ? off : worst, largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
                }
            }
        }
        if (worst > largest * error) error = largest > 0 ? worst / largest : INFINITY;
    }
    return error;
}
