/* SPDX-License-Identifier: Apache-2.0 */
/* panel.h: the nests of one block of rows times one panel of a packed matrix, for operators that are made of such products. Loops and
 * sums are named as passes/tile_gemm.c expects: sum, mi ni (cleared), ma na (summed), mr nr (what is left of the depth), with the
 * part's number behind. Few rows and columns leave the adders waiting for each other: then several sums take turns along the depth. */
#ifndef QN_OPS_PANEL_H
#define QN_OPS_PANEL_H
#include "../ops.h"

typedef struct PanelPart {
    Lower *L;
    int number;
    int64_t rows, width, depth, splits;
    DType t;
    void *user;
    Expr *(*x)(void *user, Expr *row, Expr *k);
    Expr *(*w)(void *user, Expr *k, Expr *column);
    void (*step)(void *user, Expr *k, int64_t steps);    /* NULL, or in front of the products of so many steps */
    Expr *(*start)(void *user, Expr *row, Expr *column); /* what sums begin with, only with one split; NULL: 0 */
    const CallFn *dot;                                   /* of the values of x and w, words of four bytes; NULL: their product */
} PanelPart;
enum { CHAINS_MAX = 32 };
/* So many sums that with so many vectors of each at least `chains` additions do not wait for each other; a power of two. */
int64_t panel_splits(int64_t chains, int64_t vectors, int64_t depth);
const char *panel_name(Lower *L, const char *stem, int part);
Buf *panel_sums(const PanelPart *p);
Expr *panel_total(const PanelPart *p, Buf *sum, Expr *row, Expr *column);
#endif
