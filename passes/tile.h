/* SPDX-License-Identifier: Apache-2.0 */
/* tile.h: the contract between the tile pass and the functions that choose schedules (tile.def). */
#ifndef QN_PASSES_TILE_H
#define QN_PASSES_TILE_H
#include "internal.h"
#include "ir/sched.h"
#include "ir/target.h"

typedef struct TileJob {
    Ctx *c;
    const Target *target; /* has vectors, but for a mapped layer */
    const PassOptions *options;
    Kernel *k; /* its nest as lowered */
    const Node *anchor;
    Text *steps; /* one step a line */
    bool rest;   /* loops that the steps leave become vectors where they can (vectorise.c) */
    bool narrow; /* some vector loops hold wider elements than the lanes were chosen for: they are cut afterwards */
} TileJob;
bool tile_wide(const Kernel *k); /* it holds float64, or halves, which meet float32 */
/* narrow.c */
void narrow_vectors(Func *f, const Target *t);
/* tile_gemm.c: moves a temporary into another space, out of the parameters; NULL: there is none of that name. */
Buf *tile_move_buffer(TileJob *job, const char *name, MemSpace space);
typedef bool (*TileFn)(TileJob *job);
#define TILE(domain, op, fn) bool fn(TileJob *job);
#include "tile.def"
#undef TILE
#endif
