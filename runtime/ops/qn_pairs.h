/* SPDX-License-Identifier: 0BSD */
/* qn_pairs.h: probabilities of classes from the scores of a machine for each pair of them. A score s says class i against j with
 * the probability 1/(1 + e^(s*a + b)); the probabilities of the classes are those which disagree least with all pairs.
 *
 *   qn_pair_probabilities({rows, classes}, {scores, a, b, room, probabilities})
 */
#ifndef QN_PAIRS_H
#define QN_PAIRS_H
#include <stdint.h>
#include <math.h>

/* @helper qn_pair_probabilities deps: */
static int qn_pair_probabilities(const int64_t *arg, void *const *buf) {
    const int64_t rows = arg[0], k = arg[1], pairs = k * (k - 1) / 2;
    const float *a = (const float *)buf[1], *b = (const float *)buf[2];
    float *r = (float *)buf[3], *q = r + k * k, *qp = q + k * k, *p = (float *)buf[4];
    const float enough = 0.005f / (float)k;
    int64_t n, i, j, at, turn;
    for (n = 0; n < rows; n++, p += k) {
        for (i = 0, at = 0; i < k; i++)
            for (j = i + 1; j < k; j++, at++) {
                const float s = ((const float *)buf[0])[n * pairs + at] * a[at] + b[at];
                float v = s < 0 ? 1 / (1 + expf(s)) : expf(-s) / (1 + expf(-s));
                v = v < 1e-7f ? 1e-7f : v > 1 - 1e-7f ? 1 - 1e-7f : v;
                r[i * k + j] = v;
                r[j * k + i] = 1 - v;
            }
        for (i = 0; i < k; i++) {
            p[i] = 1 / (float)k;
            q[i * k + i] = 0;
            for (j = 0; j < k; j++) {
                if (j == i) continue;
                q[i * k + i] += r[j * k + i] * r[j * k + i];
                q[i * k + j] = -r[j * k + i] * r[i * k + j];
            }
        }
        for (turn = 0; turn < 100; turn++) {
            float pqp = 0, worst = 0;
            for (i = 0; i < k; i++) {
                qp[i] = 0;
                for (j = 0; j < k; j++) qp[i] += q[i * k + j] * p[j];
                pqp += p[i] * qp[i];
            }
            for (i = 0; i < k; i++) {
                const float off = fabsf(qp[i] - pqp);
                worst = off > worst ? off : worst;
            }
            if (worst < enough) break;
            for (i = 0; i < k; i++) {
                const float d = (pqp - qp[i]) / q[i * k + i];
                p[i] += d;
                pqp = (pqp + d * (d * q[i * k + i] + 2 * qp[i])) / (1 + d) / (1 + d);
                for (j = 0; j < k; j++) {
                    qp[j] = (qp[j] + d * q[i * k + j]) / (1 + d);
                    p[j] /= 1 + d;
                }
            }
        }
    }
    return 0;
}
#endif
