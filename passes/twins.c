/* SPDX-License-Identifier: Apache-2.0 */
/* twins.c: see twins.h. */
#include "twins.h"

Tensor *twin_get(const Twins *w, const Tensor *t) { return t->id < w->of.n ? w->of.v[t->id] : NULL; }
bool twin_native(const Twins *w, const Tensor *t) { return t->id < w->native.n && w->native.v[t->id]; }
Tensor *twin_set(Twins *w, const Tensor *t, Tensor *twin, bool native) {
    while (w->of.n <= t->id) {
        vec_push(w->tmp, &w->of, (Tensor *)NULL);
        vec_push(w->tmp, &w->native, false);
    }
    w->native.v[t->id] = native;
    return w->of.v[t->id] = twin;
}
void twin_replace(Twins *w, Graph *g, Node *n, Tensor *y, Tensor *twin) {
    Tensor *old = n->out[0];
    tensor_replace(g, old, y, true);
    y->name = old->name;
    old->name = arena_printf(g->a, "t%d", old->id);
    node_remove(g, n);
    twin_set(w, y, twin, true);
}
