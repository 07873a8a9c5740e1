/* SPDX-License-Identifier: 0BSD */
/* qn_trees.h: decision trees. A node is four numbers: feature, kind of test (0 to 6: <= < >= > == != member; + 8: NaN counts as true),
 * where to go if true, and if false; a negative one is the leaf -1 - it. Leaf k has the entries from first[k] to first[k + 1].
 *
 *   qn_trees({rows, features, trees, targets, aggregate, wide}, {x, roots, nodes, splits, members, first, target, weight, sums, y})
 */
#ifndef QN_TREES_H
#define QN_TREES_H
#include <stdint.h>
#include <math.h>

/* Element i of floats, or of doubles when wide. */
/* @helper qn_real deps: */
static double qn_real(const void *p, int64_t wide, int64_t i) { return wide ? ((const double *)p)[i] : (double)((const float *)p)[i]; }
/* @helper qn_tree_test deps: qn_real */
static int qn_tree_test(int32_t kind, double v, double split, const void *members, int64_t wide) {
    int64_t i;
    if ((kind & 8) && v != v) return 1;
    switch (kind & 7) {
    case 0: return v <= split;
    case 1: return v < split;
    case 2: return v >= split;
    case 3: return v > split;
    case 4: return v == split;
    case 5: return v != split;
    default: break;
    }
    for (i = (int64_t)split; qn_real(members, wide, i) == qn_real(members, wide, i); i++) /* a NaN ends the list */
        if (qn_real(members, wide, i) == v) return 1;
    return 0;
}
/* aggregate: 0 mean, 1 sum, 2 smallest, 3 largest; what no leaf mentions is 0. */
/* @helper qn_trees deps: qn_tree_test qn_real */
static int qn_trees(const int64_t *arg, void *const *buf) {
    const int64_t rows = arg[0], features = arg[1], trees = arg[2], targets = arg[3], how = arg[4], wide = arg[5];
    const int32_t *root = (const int32_t *)buf[1], *node = (const int32_t *)buf[2], *first = (const int32_t *)buf[5];
    const int32_t *target = (const int32_t *)buf[6];
    double *sum = (double *)buf[8];
    int64_t r, t, k;
    for (r = 0; r < rows; r++) {
        for (k = 0; k < targets; k++) sum[k] = how == 2 ? (double)INFINITY : how == 3 ? -(double)INFINITY : 0;
        for (t = 0; t < trees; t++) {
            int32_t at = root[t];
            while (at >= 0) {
                const int32_t *n = node + 4 * (int64_t)at;
                const double v = qn_real(buf[0], wide, r * features + n[0]);
                at = qn_tree_test(n[1], v, qn_real(buf[3], wide, at), buf[4], wide) ? n[2] : n[3];
            }
            for (k = first[-1 - at]; k < first[-at]; k++) {
                const double w = qn_real(buf[7], wide, k);
                double *s = sum + target[k];
                *s = how == 2 ? (w < *s ? w : *s) : how == 3 ? (w > *s ? w : *s) : *s + w;
            }
        }
        for (k = 0; k < targets; k++) {
            double v = how == 0 ? sum[k] / (double)trees : sum[k];
            if (how >= 2 && isinf(v)) v = 0;
            if (wide) ((double *)buf[9])[r * targets + k] = v;
            else ((float *)buf[9])[r * targets + k] = (float)v;
        }
    }
    return 0;
}
#endif
