/* SPDX-License-Identifier: Apache-2.0 */
/* tile_conv.c: the schedule of nests on channel-blocked tensors. They come with loops over blocks as blocks_conv.c chose them, whose
 * names say what they are: u… is written out, vl… are lanes. A nest of many blocks has some hundred of these loops, and each step of a
 * schedule renews the whole nest; so the modes, which are right by the way the nests are made, are set at once.
 *
 *   for u3: for u4: for vl5: …   --->   unroll u*; vectorise vl*
 */
#include "tile.h"
#include <string.h>

static bool numbered(const char *name, const char *stem) {
    size_t n = strlen(stem);
    return strncmp(name, stem, n) == 0 && name[n] >= '0' && name[n] <= '9';
}
static void set_modes(Stmt *s) {
    switch (s->k) {
    case S_FOR:
        if (numbered(s->u.loop.v->name, "u")) s->u.loop.mode = LOOP_UNROLL;
        if (numbered(s->u.loop.v->name, "vl")) s->u.loop.mode = LOOP_VEC;
        set_modes(s->u.loop.body);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) set_modes(s->u.block.v[i]);
        break;
    case S_IF:
        set_modes(s->u.cond.then);
        if (s->u.cond.other) set_modes(s->u.cond.other);
        break;
    default: break;
    }
}
bool tile_blocked(TileJob *job) {
    Func *f = job->k->f;
    set_modes(f->body);
    job->narrow = tile_wide(job->k) || job->options->fast_f16;
    vec_push(f->a, &f->schedule, "unroll u*");
    vec_push(f->a, &f->schedule, "vectorise vl*");
    return true;
}
