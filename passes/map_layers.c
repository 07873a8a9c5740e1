/* SPDX-License-Identifier: Apache-2.0 */
/* map_layers.c: layers that a user has given a mapping for become nodes MappedSum, whose nests have the form that mappings are applied to
 * (tile_mapped.c). Padding is made explicit; leading axes of a product become one. Every mapping must find its layer.
 *
 *   y = Conv(x, w, b) {pads=[1,1,1,1]}   --->   y = MappedSum(Pad(x), w, b) {shape, mapping}
 */
#include "internal.h"
#include "ir/extent.h"
#include "ir/mapping.h"
#include "rules.h"
#include <string.h>

enum { NO_ROWS = 1, TURN_X = 2, TURN_W = 4, MATRIX = 8, BATCH = 16 }; /* ops/mapped.c */

static const char *why_not(const Node *n, const ConvShape *s, const Mapping *m) {
    for (int i = 0; i < 2; i++)
        if (n->in[i]->type.dt != DT_FLOAT32) return "its operands are not float32";
    if (node_dynamic(n)) return "its extents are known at run time only";
    if (op_is(n, "Gemm") &&
        (attr_f(n, op_attr_index(n->op, "alpha")) != 1 || (n->nin > 2 && n->in[2] && attr_f(n, op_attr_index(n->op, "beta")) != 1)))
        return "its alpha or beta is not 1";
    if (op_is(n, "MatMul") && s->g > 1 &&
        (n->in[0]->type.rank != n->in[1]->type.rank ||
         memcmp(n->in[0]->type.dim, n->in[1]->type.dim, (size_t)(n->in[0]->type.rank - 2) * sizeof(int64_t)) != 0))
        return "the leading axes of one operand are broadcast to those of the other";
    Arena *a = arena_new();
    const Problem *p = problem_conv(a, "layer", s);
    bool same = p->ndim == m->problem->ndim && memcmp(p->extent, m->problem->extent, (size_t)p->ndim * sizeof *p->extent) == 0;
    arena_free(a);
    return same ? NULL : "an earlier pass has changed its shape";
}
static int64_t item(const Node *n, const char *name, int i, int64_t def) {
    int64_t count;
    const int64_t *v = get_is(n, name, &count);
    return v && i < count ? v[i] : def;
}
/* The input with the border that the window reads. */
static Tensor *padded(Graph *g, Node *n, const ConvShape *s) {
    Tensor *x = n->in[0];
    const char *mode = get_s(n, "auto_pad", "NOTSET");
    int spatial = x->type.rank - 2;
    int64_t pads[8] = {0}, dim[4] = {x->type.dim[0], x->type.dim[1]};
    bool any = false;
    for (int i = 0; i < spatial; i++) {
        bool rows = spatial == 2 && i == 0;
        int64_t need = rows ? (s->e - 1) * max_i64(1, s->stride_e) + (s->r - 1) * max_i64(1, s->dil_r) + 1
                            : (s->f - 1) * max_i64(1, s->stride_f) + (s->s - 1) * max_i64(1, s->dil_s) + 1;
        int64_t more = max_i64(0, need - x->type.dim[2 + i]), before = strcmp(mode, "NOTSET") == 0 ? item(n, "pads", i, 0) : 0;
        if (strcmp(mode, "SAME_UPPER") == 0) before = more / 2;
        if (strcmp(mode, "SAME_LOWER") == 0) before = more - more / 2;
        pads[2 + i] = before, pads[x->type.rank + 2 + i] = max_i64(0, need - x->type.dim[2 + i] - before);
        dim[2 + i] = x->type.dim[2 + i] + before + pads[x->type.rank + 2 + i];
        any |= dim[2 + i] != x->type.dim[2 + i];
    }
    if (!any) return x;
    Tensor *y = build(g, n, "Pad", 2, (Tensor *[]){x, tensor_i64s(g, pads, 2 * x->type.rank)});
    type_set(&y->type, x->type.dt, x->type.rank, dim);
    return y;
}
static Tensor *reshaped(Graph *g, Node *before, Tensor *t, int rank, const int64_t *dim) {
    bool same = t->type.rank == rank && memcmp(t->type.dim, dim, (size_t)rank * sizeof *dim) == 0;
    if (same) return t;
    Tensor *y = build(g, before, "Reshape", 2, (Tensor *[]){t, tensor_i64s(g, dim, rank)});
    type_set(&y->type, t->type.dt, rank, dim);
    return y;
}
static int64_t turned(const Node *n, const char *name) {
    int k = op_attr_index(n->op, name);
    return k >= 0 && attr_i(n, k);
}
static void replace(Run *r, Node *n, const ConvShape *s, int number) {
    Graph *g = r->g;
    bool conv = op_is(n, "Conv"), batch = !conv && s->g > 1;
    int64_t one = 1, kind = conv ? (n->in[0]->type.rank == 3 ? NO_ROWS : 0) : MATRIX | (batch ? BATCH : 0);
    const int64_t shape[] = {s->n, s->g, s->m, s->c, s->e, s->f, s->r, s->s, s->stride_e, s->stride_f, s->dil_r, s->dil_s, s->depthwise};
    int64_t whole[13], dim[4];
    for (int i = 0; i < 13; i++) whole[i] = i < 12 ? max_i64(one, shape[i]) : shape[i];
    Tensor *in[3] = {NULL, NULL, conv && n->nin > 2 ? n->in[2] : NULL}, *old = n->out[0];
    int rank = 0;
    if (conv) in[0] = padded(g, n, s), in[1] = n->in[1];
    else {
        bool tx = turned(n, "transA"), tw = turned(n, "transB");
        kind |= (tx ? TURN_X : 0) | (tw ? TURN_W : 0);
        if (batch) dim[rank++] = s->g;
        dim[rank] = tx ? s->c : s->n, dim[rank + 1] = tx ? s->n : s->c;
        in[0] = reshaped(g, n, n->in[0], rank + 2, dim);
        dim[rank] = tw ? s->m : s->c, dim[rank + 1] = tw ? s->c : s->m;
        in[1] = reshaped(g, n, n->in[1], rank + 2, dim);
        dim[rank++] = s->n, dim[rank++] = s->m;
    }
    const OpDef *op = op_find("quern", "MappedSum");
    Node *k = node_new(g, op, n, n->loc, in[2] ? 3 : 2, in, 1);
    node_set_is(g, k, op_attr_index(op, "shape"), whole, 13);
    node_set_i(k, op_attr_index(op, "kind"), kind), node_set_i(k, op_attr_index(op, "mapping"), number);
    Tensor *y = tensor_new(g, NULL, old->type.dt, conv ? old->type.rank : rank, conv ? old->type.dim : dim);
    node_set_out(k, 0, y);
    y = reshaped(g, n, y, old->type.rank, old->type.dim);
    if (op_is(n, "Gemm") && n->nin > 2 && n->in[2]) {
        y = build(g, n, "Add", 2, (Tensor *[]){y, n->in[2]});
        type_set(&y->type, old->type.dt, old->type.rank, old->type.dim);
    }
    tensor_replace(g, old, y, true);
    y->name = old->name;
    old->name = arena_printf(g->a, "t%d", old->id);
    node_remove(g, n);
}
bool pass_mapped(Run *r) {
    if (!r->o) return true;
    bool ok = true;
    for (int i = 0; i < r->o->mapping.n; i++) {
        const LayerMapping *x = &r->o->mapping.v[i];
        Node *n = r->g->first;
        ConvShape s;
        while (n && !((n->loc.name && strcmp(n->loc.name, x->layer) == 0) || (n->out[0] && strcmp(n->out[0]->name, x->layer) == 0)
                          ? layer_shape(n, 1, &s)
                          : false))
            n = n->next;
        const char *why = n ? why_not(n, &s, x->m) : "an earlier pass has taken it into another one (--passes leaves passes out)";
        if (why)
            ok = diag_error(r->c->d, x->loc, "layer '%s' cannot be computed by its mapping: %s; leave it out of the file", x->layer, why);
        else replace(r, n, &s, i);
    }
    return ok;
}
