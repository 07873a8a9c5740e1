/* SPDX-License-Identifier: Apache-2.0 */
/* blocked.h: attributes of the internal operators on channel-blocked tensors [N, ceil(C/L), H, W, L], for the layout pass which
 * makes them (passes/layout*.c). Their order is that of the rows in ops.def. */
#ifndef QN_BLOCKED_H
#define QN_BLOCKED_H
#include "../ops.h"
#include "window.h"

/* ConvBlocked, DepthwiseBlocked and PoolBlocked share the first ones. channels and features are the true ones, without the lanes that
 * fill the last block; out: the extents H and W of the result, or their bounds; pads: top and left, and bottom and right where these are
 * bounds. tile: rows, columns and vectors of the block of sums in registers; strip: rows of the result for which all panels are computed
 * before the next ones (0: all). chunk: blocks of input channels that all blocks of outputs go through before the next ones, their sums in
 * memory meanwhile (0: all); source: what the input is. */
enum {
    BLK_CHANNELS,
    BLK_CHUNK,
    BLK_DILATIONS,
    BLK_FEATURES,
    BLK_GROUP,
    BLK_KERNEL,
    BLK_OUT,
    BLK_PADS,
    BLK_SOURCE,
    BLK_STRIDES,
    BLK_STRIP,
    BLK_TILE,
    BLK_MODE
};
enum { BLK_SOURCE_BLOCKED, BLK_SOURCE_NCHW, BLK_SOURCE_NHWC };
enum { BLK_POOL_MAX, BLK_POOL_AVERAGE, BLK_POOL_AVERAGE_PADDED }; /* BLK_MODE of PoolBlocked */
enum { TOB_CHANNELS, TOB_LANES, TOB_NHWC };                       /* ToBlocked and FromBlocked */
/* Where columns are known at run time only, the most bytes of an input's row that one block may read (blocked_site.h: Site.in). */
enum { STAGE_MOST = 6 << 10 };
/* ConvTransposeBlocked (x, bias, weights of phase (0,0), (0,1) … (strides[0]-1, strides[1]-1)): the window over its input that the outputs
 * of a phase have; its tap j is tap first + stride * (k - 1 - j) of the operator, first = (phase + pad) % stride. */
Window transposed_window(int64_t in, int64_t out, int64_t k, int64_t stride, int64_t pad, int64_t phase);
/* WinogradBlocked. tile: outputs m of a tile's side (2 or 4), rows of tiles that are in work at once, tiles and vectors of the block of
 * sums in registers. Weights: [panel][(m+2)^2][block][channel][vector][lane], transformed. */
enum { WGD_CHANNELS, WGD_FEATURES, WGD_OUT, WGD_PADS, WGD_TILE };
/* One dimension's transforms, row by row: of inputs and weights m+2 rows, of sums m rows. */
const double *winograd_matrix(int64_t m, char which); /* 'B': (m+2) x (m+2), 'G': (m+2) x 3, 'A': m x (m+2) */
#endif
