/* SPDX-License-Identifier: Apache-2.0 */
/* tile.h: the contract between the tile pass and the functions that choose schedules (tile.def). */
#ifndef QN_PASSES_TILE_H
#define QN_PASSES_TILE_H
#include "internal.h"
#include "ir/sched.h"
#include "ir/target.h"

typedef struct TileJob {
    Ctx *c;
    const Target *target; /* has vectors */
    Kernel *k;            /* its nest as lowered */
    const Node *anchor;
    Text *steps; /* one step a line */
    bool rest;   /* loops that the steps leave become vectors where they can (vectorise.c) */
} TileJob;
/* narrow.c */
void narrow_vectors(Func *f, const Target *t);
typedef bool (*TileFn)(TileJob *job);
#define TILE(domain, op, fn) bool fn(TileJob *job);
#include "tile.def"
#undef TILE
#endif
