/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h: what the files of the layout pass share, and the block sizes that blocks_conv.c chooses for it. */
#ifndef QN_PASSES_LAYOUT_H
#define QN_PASSES_LAYOUT_H
#include "internal.h"
#include "ir/ops/blocked.h"
#include "ir/target.h"

/* A tensor that also exists channel-blocked. */
typedef struct Blocked {
    Tensor *b;   /* [N, ceil(C/L), H, W, L]; NULL: it does not */
    bool nhwc;   /* the tensor's own order of axes: [N, H, W, C], else [N, C, H, W] */
    bool native; /* computed blocked, not converted for a reader */
} Blocked;
typedef struct Tried { /* weights of F(4x4), and what it loses: winograd_error.c */
    const Tensor *w;
    double error;
} Tried;
typedef struct Layout {
    Run *r;
    Graph *g;
    const Target *target, *wide; /* wide: for types of which a block takes two vectors */
    int64_t lanes;
    Vec(Blocked) of;         /* by tensor id */
    Map *consts;             /* constants per channel that were blocked before */
    Vec(const Node *) small; /* convolutions that may not have the weights of F(4x4) */
    Vec(Tried) tried;
    const Target *half; /* the target in half precision, for blocks_conv.c */
    bool bytes;         /* the weights came as integers */
    Map *chosen;        /* blocks by what they depend on, and their cycles: layers of one shape are common */
} Layout;

static inline bool layout_type(DType t) { return t == DT_FLOAT32 || t == DT_HALF; } /* what convolutions are computed in */
static inline const Target *layout_target(const Layout *l, DType t) {
    return l->lanes * dtype_info[t].bits > l->target->vector_bits ? l->wide : l->target;
}
static inline const Target *block_target(const Layout *l, bool half) { return half ? l->half : l->target; }
Blocked *layout_of(Layout *l, const Tensor *t); /* never NULL; valid until the next call */
int64_t layout_channels(const Tensor *t, bool nhwc);
/* The tensor blocked: as it is known, or through a new ToBlocked before `before`. */
Tensor *layout_block(Layout *l, Tensor *t, bool nhwc, Node *before);
/* layout_channels.c: t blocked, its channels picked from tensors that are; NULL: they are not all. */
Tensor *layout_pick(Layout *l, Tensor *t, Node *before);
/* Blocked result b stands for n's output: n is removed, readers get a FromBlocked which vanishes when nobody needs it. */
void layout_result(Layout *l, Node *n, Tensor *b, bool nhwc);
Node *layout_node(Layout *l, const char *op, Node *before, int nin, Tensor *const *in);
bool layout_infer(Layout *l, Node *n);
bool layout_pad(Layout *l, Node *n); /* a Pad of the plane of a tensor that is blocked: true if it was rewritten */
/* layout_conv.c: true if the node was rewritten. */
bool layout_conv(Layout *l, Node *n);
bool layout_conv_integer(Layout *l, Node *n);
bool layout_takes_integers(const Node *conv, int64_t lanes); /* layout_conv_integer will, once zero points are as it wants them */
void layout_budget(Layout *l);                               /* before the walk: which convolutions may have larger weights */
bool layout_pool(Layout *l, Node *n);

/* blocks_conv.c: the block of sums in registers and the strip of rows, for a convolution or a window over channels. */
typedef struct ConvBlock {
    int64_t rows, cols, vecs, strip, chunk;
    double cycles; /* of the whole layer */
} ConvBlock;
typedef struct ConvExtents {
    int64_t channels, features, group; /* in all; group after merging */
    int64_t in_h, in_w, out_h, out_w, k_h, k_w, stride;
    bool padded_rows; /* taps above or below the input */
    bool half;
    int64_t images; /* 0: one */
} ConvExtents;
/* Channels in one step of a sum: a word of bytes, or one float. */
static inline int64_t conv_step(DType x) { return dtype_info[x].bits == 8 ? 4 : 1; }
ConvBlock conv_block_of(const Target *t, int64_t lanes, const ConvExtents *e, int64_t vecs); /* vecs: of a block that is settled; 0: any */
int conv_blocks_of(const Target *t, int64_t lanes, const ConvExtents *e, int64_t vecs, int most, ConvBlock *out); /* the best first */
struct Mapping *conv_mapping(Arena *a, const Target *t, int64_t lanes, const ConvExtents *e, const ConvBlock *b); /* that of a block */
typedef struct WinogradBlock {
    int64_t rows, points, vecs; /* rows of tiles at once; tiles and vectors of a block of sums */
    double cycles;
} WinogradBlock;
typedef struct WinogradExtents {
    int64_t m, channels, features, high, wide, images; /* outputs of a tile's side; tiles of the map */
} WinogradExtents;
WinogradBlock winograd_block_of(const Target *t, int64_t lanes, const WinogradExtents *e, int64_t rows, int64_t vecs); /* 0: any */
int winograd_blocks_of(const Target *t, int64_t lanes, const WinogradExtents *e, int64_t rows, int64_t vecs, int most, WinogradBlock *out);
struct Mapping *winograd_mapping(Arena *a, const Target *t, int64_t lanes, const WinogradExtents *e, const WinogradBlock *b);
void winograd_filter(const float *w, int64_t m, double *u); /* G w G', [m + 2][m + 2] */
/* Of tiles of 4 x 4: the largest difference of a result, as a part of the largest result; weights [features, channels, 3, 3]. */
double winograd_error(Arena *tmp, const float *w, int64_t features, int64_t channels);
ConvBlock channel_block_of(const Target *t, const ConvExtents *e);

/* layout_pack.c: weights [features, channels of a group, rows, columns] in panels for in_lanes input channels at a time. */
typedef struct Pack {
    int64_t features, channels, group;     /* as in the model: channels per group */
    int64_t merged, lanes, in_lanes, vecs; /* groups after merging */
} Pack;
Tensor *pack_weights(Layout *l, const Tensor *w, const Pack *p);
Tensor *pack_vector(Layout *l, const Tensor *b, int64_t count); /* [blocks, lanes] */
/* The same of int8 weights, in words of four channels (ir/dot.h). What the input's zero point makes of the sums, taken away by all taps
 * together [blocks, lanes], or given back by each of them [blocks, rows, columns, lanes]. */
Tensor *pack_words(Layout *l, const Tensor *w, const Pack *p);
Tensor *pack_zero(Layout *l, Node *n, const Tensor *w, Tensor *zero, bool back);
/* How many groups become one so that groups are whole blocks; 0: none does. */
int64_t merge_groups(int64_t group, int64_t channels, int64_t features, int64_t lanes);
bool is_to_nchw(const Node *n); /* a Transpose from NHWC; n may be NULL */
/* A convolution's input in the form that it is read in; source: that form (blocked.h). */
Tensor *conv_source(Layout *l, Node *n, int64_t *source);
/* layout_transpose.c */
bool layout_conv_transpose(Layout *l, Node *n);
#endif
