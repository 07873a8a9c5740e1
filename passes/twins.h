/* SPDX-License-Identifier: Apache-2.0 */
/* twins.h: for passes that compute tensors in another form (another rank, another type) side by side with the graph as it stands. Each
 * tensor may have a twin in that form, made where a reader first asks for it, or native: computed in that form, the tensor itself being
 * read off it.
 *
 *   y = Conv(x)   --->   t = Conv(twin of x); y = Reshape(t)      t is the native twin of y
 */
#ifndef QN_PASSES_TWINS_H
#define QN_PASSES_TWINS_H
#include "internal.h"

typedef struct Twins {
    Arena *tmp;
    Vec(Tensor *) of; /* by tensor id */
    Vec(bool) native;
} Twins;
Tensor *twin_get(const Twins *w, const Tensor *t);                      /* NULL: none yet */
Tensor *twin_set(Twins *w, const Tensor *t, Tensor *twin, bool native); /* returns twin */
bool twin_native(const Twins *w, const Tensor *t);
/* y, which is read off the native twin of n's only result, takes that one's place and name; n goes. */
void twin_replace(Twins *w, Graph *g, Node *n, Tensor *y, Tensor *twin);
#endif
