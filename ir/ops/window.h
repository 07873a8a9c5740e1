/* SPDX-License-Identifier: Apache-2.0 */
/* window.h: sliding windows of convolutions and pools: the attributes, the output extents, and loop ranges without padding tests. */
#ifndef QN_WINDOW_H
#define QN_WINDOW_H
#include "../extent.h"

enum { WIN_SPATIAL = 3 };
typedef struct Window {                      /* one spatial axis */
    int64_t in, out, k, stride, dil, lo, hi; /* extents, kernel, stride, dilation, padding before and after */
    Expr *run_in, *run_out;                  /* NULL, or the extents where they are known at run time only; then in and out are bounds */
    bool inside;                             /* then: no window reaches into padding */
} Window;
/* Positions in the node's attributes, -1: it has none such. */
typedef struct WindowAttrs {
    int auto_pad, dilations, pads, strides, ceil_mode;
} WindowAttrs;
/* Fills w[0..rank) for an input of the given spatial extents and kernel; checks everything. */
bool window_infer(Infer *x, const WindowAttrs *a, int rank, const int64_t *in, const int64_t *k, Window *w);
/* The same for a node whose inference succeeded. */
void window_of(const Node *n, const WindowAttrs *a, int rank, const int64_t *in, const int64_t *k, const int64_t *out, Window *w);
/* The output's extent of axis i for an input extent that may be known at run time only. NULL after an error. */
Expr *window_extent(Infer *x, const WindowAttrs *a, int i, const Window *w, Expr *in);
/* After window_of, in lowering: run-time extents of the axes from 2 on. */
void window_run_time(Lower *L, const Node *n, const WindowAttrs *a, int rank, const Type *in, const Type *out, Window *w);
/* Taps r of output position o that read inside the input: r in [*lo, *hi). */
void window_taps(Lower *L, const Window *w, Expr *o, Expr **lo, Expr **hi);
/* Outputs o for which tap r reads inside the input: o in [*lo, *hi). */
void window_outputs(Lower *L, const Window *w, Expr *r, Expr **lo, Expr **hi);
/* Where tap r of output o reads. */
Expr *window_at(Lower *L, const Window *w, Expr *o, Expr *r);
#endif
