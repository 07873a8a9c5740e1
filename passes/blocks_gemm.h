/* SPDX-License-Identifier: Apache-2.0 */
/* blocks_gemm.h: how a matrix is cut into panels of columns, for rows that are multiplied with it in blocks. */
#ifndef QN_PASSES_BLOCKS_GEMM_H
#define QN_PASSES_BLOCKS_GEMM_H
#include "blocks.h"
#include "internal.h"

typedef struct PanelCase {
    int64_t lanes, outer, rows, cols, depth; /* outer: how many matrices of `rows` rows */
    bool equal;                              /* no narrower last panel, no chunks, no strips */
} PanelCase;
typedef struct PanelCut {
    PanelChoice c;
    int64_t chunks, strip; /* of the depth; pieces (matrices, or blocks of rows) that go through all panels before the next ones, 0: all */
} PanelCut;
PanelCut panel_best(const Target *t, const PanelCase *k);
int panels_best(const Target *t, const PanelCase *k, int most, PanelCut *out); /* the best first; returns how many there are */
Mapping *panel_mapping(Arena *a, const Target *t, const PanelCase *k, const PanelCut *c);
#endif
