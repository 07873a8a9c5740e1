/* SPDX-License-Identifier: Apache-2.0 */
/* blocked_site.h: nests over blocks of outputs of channel-blocked operators. The sums of a block are in registers; which rows and
 * columns a block has, and which taps read outside there, is worked out here once for convolutions, depthwise ones and pools.
 *
 *   site_rows(s, 0, 7, fn)   --->   for eo: for fo: [fn: sums of 2 x 7 outputs]; and such nests for what is left and for the edges
 */
#ifndef QN_BLOCKED_SITE_H
#define QN_BLOCKED_SITE_H
#include "blocked.h"
#include "window.h"

typedef struct Site { /* where code is being made for one block of outputs */
    Lower *L;
    Node *n;
    Window h, w;
    Expr *high, *wide;      /* extents of the result */
    Expr *at_n, *row, *col; /* the block's first output */
    int64_t rows, cols, vecs, lanes;
    int64_t row0, col0;  /* at an edge: the numbers that row and col stand for */
    bool row_edge, edge; /* some taps read outside: above or below; left or right */
    Expr *part;          /* the block's number among those of a panel, of which there are `parts` */
    int64_t parts;
    Buf *acc;   /* [rows][cols][vecs][lanes] */
    Buf *total; /* NULL, or what is stored: sums of short sums */
    Expr *i[4]; /* indices of acc in open loops */
    /* Where the columns are known at run time only and some of a block's lie outside: */
    Buf *in, *out;       /* what the block reads of a row of the input [columns][in_lanes], `fill` around; its results. NULL: all inside */
    Expr *from, *to;     /* columns of `in` that the input has */
    Expr *first, *valid; /* where column 0 of `in` is in the input; how many columns of the block the result has */
    int64_t in_lanes;    /* values of a column in `in`: those of a vector, or all channels of an input that is not blocked */
    Expr *fill;
} Site;
typedef struct Part { /* of a block's outputs: those for which a tap reads inside */
    int64_t top, bottom, from, to;
} Part;

/* The lengths of the attributes that all share; the result [N, blocks, out, lanes] as well. */
bool infer_blocked_lists(Infer *x);
/* The result [N of input 0, blocks, plane, lanes]. */
bool infer_blocked_out(Infer *x, DType dt, int64_t blocks, Expr *const *plane, int64_t lanes);
bool infer_blocked_result(Infer *x, int64_t blocks, int64_t lanes);
void site_init(Site *s, Lower *L, Node *n, int64_t lanes);
Part site_whole(const Site *s);
/* A temporary of the block's extents, in registers; loops over a part of its elements, whose indices are s->i then. */
void site_make_acc(Site *s);
void site_open(Site *s, int64_t top, int64_t bottom, int64_t from, int64_t to);
void site_open_acc(Site *s, int64_t from, int64_t to);
void site_close(Site *s);
/* Into s->in: opens the loops over its columns that the input has, which end with lower_ends(L, 2). *iw: the column of the input. */
void site_open_stage(Site *s, Expr **to, Expr **iw);
/* What tap t of the element s->i reads from s->in. */
Expr *site_staged(Site *s, Expr *t, Expr *lane);
Expr *site_out_row(const Site *s); /* of the element s->i */
Expr *site_out_col(const Site *s);
/* Stores the block's sums as output 0; at: where element (row, column, vector, lane) of the block goes. Where float64 follows, of which a
 * vector holds half as many, by way of memory and a vector at a time. */
typedef void (*PlaceFn)(Site *s, void *user, Expr *const *i, Expr **at);
void site_store(Site *s, PlaceFn place, void *user);
Expr *site_lane(Site *s); /* opens the loop over lanes */
bool reads_inside(const Window *w, int64_t o, int64_t tap);
/* Outputs of an edge block, of which there are n from the first on, whose tap reads inside. */
void edge_range(const Window *w, int64_t first, int64_t n, int64_t tap, int64_t *from, int64_t *to);
typedef void (*BlockFn)(Site *s, void *user);
/* Calls fn for every block of outputs in rows [lo, hi): nests over the rows and over equal blocks of columns. */
void site_rows(Site *s, Expr *lo, Expr *hi, BlockFn fn, void *user);
#endif
