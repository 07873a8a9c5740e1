/* SPDX-License-Identifier: Apache-2.0 */
/* extents.c: internal operators that give run-time extents their values: one number, read from a tensor or computed from other
 * extents, and vectors of them.
 *
 *   n = Extent(k) {extent=3}      n[] = k[0]           s = Extents() {}      s[0] = batch; s[1] = 3 * batch
 */
#include "../extent.h"

enum { EXTENT, ELEMENT };
bool infer_extent(Infer *x) {
    int64_t k = attr_i(x->n, EXTENT);
    if (k < 0 || k >= x->g->extent.n) return infer_error(x, "there is no extent %lld", (long long)k);
    return infer_out(x, 0, DT_INT64, 0, NULL);
}
bool lower_extent_node(Lower *L, Node *n) {
    Arena *a = L->a;
    const Extent *x = L->g->extent.v[attr_i(n, EXTENT)];
    Expr *v;
    if (n->nin > 0 && n->in[0]) {
        Expr *idx[QN_MAX_RANK];
        int64_t rest = attr_i(n, ELEMENT);
        for (int i = n->in[0]->type.rank - 1; i >= 0; i--)
            idx[i] = e_int(a, rest % max_i64(n->in[0]->type.dim[i], 1)), rest /= max_i64(n->in[0]->type.dim[i], 1);
        v = e_cast(a, DT_INT64, lower_load(L, n, 0, idx));
        if (!x->check) v = e_min(a, e_max(a, v, e_int(a, x->lo)), e_int(a, x->hi));
    } else {
        v = lower_extent(L, x->e);
    }
    lower_store(L, n, 0, NULL, v);
    return true;
}

/* A small tensor whose elements are known: its values stand in Tensor.val. */
bool infer_extents_node(Infer *x) {
    const Tensor *t = x->n->out[0];
    return (t && t->val && type_known(&t->type)) || infer_error(x, "its output has no values");
}
bool lower_extents_node(Lower *L, Node *n) {
    const Tensor *t = n->out[0];
    int64_t count = tensor_elements(t);
    for (int64_t k = 0; k < count; k++) {
        Expr *idx[QN_MAX_RANK];
        int64_t rest = k, to = k + 1;
        while (t->type.rank == 1 && to < count && e_equal(t->val[to], t->val[k])) to++;
        if (to - k > 4) { /* the same many times */
            Expr *v = lower_extent(L, t->val[k]);
            idx[0] = lower_loop_range(L, "i", lower_int(L, k), lower_int(L, to));
            lower_store(L, n, 0, idx, e_cast(L->a, dtype_compute(t->type.dt), v));
            lower_end(L);
            k = to - 1;
            continue;
        }
        for (int i = t->type.rank - 1; i >= 0; i--) idx[i] = e_int(L->a, rest % t->type.dim[i]), rest /= t->type.dim[i];
        Expr *v = lower_extent(L, t->val[k]);
        lower_store(L, n, 0, idx, e_cast(L->a, dtype_compute(t->type.dt), v));
    }
    return true;
}
