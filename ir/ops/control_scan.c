/* SPDX-License-Identifier: Apache-2.0 */
/* control_scan.c: SequenceMap and Scan, which run a body for each element or slice.
 *
 *   Scan(s, x) {body: s', y = f(s, x_i)}   --->   s1, y0 = f(s, x[0]);  s2, y1 = f(s1, x[1]);  y = [y0, y1]
 */
#include "../list.h"
#include "control.h"
#include <string.h>

/* ---- SequenceMap: a body for each element; the other operands are sequences as long, or tensors that every element gets */
enum { MAP_BODY, MAP_INPUTS };
bool rewrite_sequence_map(Ctx *c, Graph *g, Node *n) {
    if (!has_body(c, n, MAP_BODY)) return false;
    const Graph *body = n->attr[MAP_BODY].g;
    int formal = (int)attr_i(n, MAP_INPUTS), captured = body->in.n - formal;
    List *l = NEW_ARRAY(g->a, List, formal + 1);
    Infer x = {c, g, n};
    Expr *len = NULL;
    for (int i = 0; i < formal; i++) {
        bool list = list_of(n->in[i], &l[i]) && l[i].kind == WRAP_SEQUENCE && !l[i].rows;
        if (!list && (i == 0 || n->in[i]->type.wrap))
            return diag_error(c->d, n->loc, "input %d '%s' is expected to be a sequence%s", i, n->in[i]->name, i ? " or a tensor" : "");
        if (!list) l[i].n = -1;
        else if (l[i].n != l[0].n && !l[i].length && !l[0].length)
            return diag_error(c->d, n->loc, "input %d has %d elements, input 0 has %d; the same number is expected", i, l[i].n, l[0].n);
        if (!list || (!l[i].length && !l[0].length)) continue;
        Expr *own = l[i].length ? infer_value_of(&x, l[i].length, 0) : e_int(g->a, l[i].n);
        if (i == 0) len = own;
        else infer_require(&x, e_eq(g->a, own, len));
    }
    if (!len) len = e_int(g->a, l[0].n);
    if (captured < 0 || n->nout > body->out.n)
        return diag_error(c->d, n->loc, "the body has %d inputs and %d outputs for %d and %d of the node", body->in.n, body->out.n, formal,
                          n->nout);
    int trips = l[0].n;
    for (int i = 0; i < formal; i++)
        if (l[i].n >= 0 && l[i].n < trips) trips = l[i].n;
    if (trips > TRIPS_MOST || (int64_t)trips * body->nnode > UNROLLED_NODES)
        return diag_error(c->d, n->loc,
                          "the sequence may have %d elements, which are unrolled: at most %d of them, and %d nodes, are supported", trips,
                          TRIPS_MOST, UNROLLED_NODES);
    Tensor **in = NEW_ARRAY(g->a, Tensor *, body->in.n + 1), **out = NEW_ARRAY(g->a, Tensor *, body->out.n + 1);
    Tensor **made = NEW_ARRAY(g->a, Tensor *, (int64_t)trips * body->out.n + 1);
    for (int k = 0; k < trips; k++) {
        for (int i = 0; i < formal; i++) in[i] = l[i].n >= 0 ? l[i].v[k] : n->in[i];
        for (int i = 0; i < captured; i++) in[formal + i] = n->in[formal + i];
        body_copy(g, n, body, in, out, k >= l[0].lo && l[0].length && body_demands(body) ? e_lt(g->a, e_int(g->a, k), len) : NULL, NULL);
        for (int o = 0; o < body->out.n; o++) made[o * trips + k] = out[o];
    }
    for (int o = 0; o < n->nout; o++) {
        if (!n->out[o]) continue;
        List y = {.kind = WRAP_SEQUENCE, .dt = body->out.v[o]->type.dt, .n = trips, .v = made + o * trips, .lo = min_i64(l[0].lo, trips)};
        y.length = l[0].length;
        tensor_replace(g, n->out[o], list_new(g, n, &y), true);
    }
    return true;
}

/* ---- Scan: states, then tensors that are read slice by slice */
static Tensor *stack(Graph *g, Node *n, Tensor *const *piece, int64_t count, int64_t axis) {
    Tensor **v = NEW_ARRAY(g->a, Tensor *, count), *at = tensor_i64s(g, &axis, 1);
    for (int64_t k = 0; k < count; k++) v[k] = build(g, n, "Unsqueeze", 2, (Tensor *[]){piece[k], at});
    Tensor *y = build(g, n, "Concat", (int)count, v);
    node_set_i(y->def, 0, axis);
    return y;
}
static Tensor *slice(Graph *g, Node *n, Tensor *x, int64_t axis, int64_t at) {
    Tensor *y = build(g, n, "Gather", 2, (Tensor *[]){x, tensor_i64s(g, &at, -1)});
    node_set_i(y->def, 0, axis);
    return y;
}
enum { SCAN_BODY, SCAN_COUNT, SCAN_IN_AXES, SCAN_IN_REVERSE, SCAN_OUT_AXES, SCAN_OUT_REVERSE, SCAN_INPUTS, SCAN_OPSET };
static int64_t listed(const Node *n, int attr, int i) {
    return n->attr[attr].kind == ATTR_INTS && n->attr[attr].n > i ? n->attr[attr].is[i] : 0;
}
/* Opset 8: the lengths of the sequences or nothing, states [batch, …], sequences [batch, time, …]. */
static bool scan_batched(Ctx *c, Graph *g, Node *n) {
    const Graph *body = n->attr[SCAN_BODY].g;
    int formal = (int)attr_i(n, SCAN_INPUTS) - 1, scans = (int)attr_i(n, SCAN_COUNT), states = formal - scans;
    int captured = body->in.n - formal, results = body->out.n - states;
    if (states < 0 || scans < 1 || results < 0 || captured < 0 || n->nout > body->out.n)
        return diag_error(c->d, n->loc, "num_scan_inputs is %d; the node has %d inputs behind the lengths and the body %d outputs", scans,
                          formal, body->out.n);
    int64_t batch = -1, trips = -1;
    for (int i = 0; i < formal; i++) {
        const Type *t = n->in[1 + i] ? &n->in[1 + i]->type : NULL;
        bool ok = t && !t->ext && t->rank >= (i < states ? 1 : 2) && (batch < 0 || batch == t->dim[0]);
        if (!ok || (i > states && trips != t->dim[1]))
            return diag_error(c->d, n->loc, "states [batch, …] and sequences [batch, time, …] of equal and constant extents are expected");
        batch = t->dim[0];
        if (i >= states) trips = t->dim[1];
    }
    if (batch < 1 || trips < 1 || batch > TRIPS_MOST || batch * trips > TRIPS_MOST || batch * trips * body->nnode > UNROLLED_NODES)
        return diag_error(c->d, n->loc,
                          "the scan has %lld x %lld iterations, which are unrolled: 1 to %d, and at most %d nodes, are supported",
                          (long long)batch, (long long)trips, TRIPS_MOST, UNROLLED_NODES);
    Tensor **in = NEW_ARRAY(g->a, Tensor *, body->in.n + 1), **out = NEW_ARRAY(g->a, Tensor *, body->out.n + 1);
    Tensor **last = NEW_ARRAY(g->a, Tensor *, batch * (states + 1)), **all = NEW_ARRAY(g->a, Tensor *, batch * (results + 1));
    Tensor **piece = NEW_ARRAY(g->a, Tensor *, trips * (results + 1));
    for (int i = 0; i < captured; i++) in[formal + i] = n->in[1 + formal + i];
    for (int64_t b = 0; b < batch; b++) {
        Tensor *len = n->in[0] ? slice(g, n, n->in[0], 0, b) : NULL;
        for (int i = 0; i < states; i++) in[i] = slice(g, n, n->in[1 + i], 0, b);
        for (int64_t k = 0; k < trips; k++) {
            Tensor *runs = len ? build(g, n, "Greater", 2, (Tensor *[]){len, tensor_scalar(g, DT_INT64, (double)k)}) : NULL;
            for (int i = 0; i < scans; i++)
                in[states + i] =
                    slice(g, n, slice(g, n, n->in[1 + states + i], 0, b), 0, listed(n, SCAN_IN_REVERSE, i) ? trips - 1 - k : k);
            body_copy(g, n, body, in, out, NULL, NULL);
            for (int i = 0; i < states; i++) in[i] = runs ? select_of(g, n, runs, out[i], in[i]) : out[i];
            for (int r = 0; r < results; r++) {
                Tensor *y = out[states + r];
                if (runs) { /* behind the end of a sequence stand zeros */
                    Tensor *shape = build(g, n, "Shape", 1, &y), *zero = build(g, n, "ConstantOfShape", 1, &shape);
                    y = select_of(g, n, runs, y, build(g, n, "CastLike", 2, (Tensor *[]){zero, y}));
                }
                piece[r * trips + k] = y;
            }
        }
        for (int i = 0; i < states; i++) last[i * batch + b] = in[i];
        for (int r = 0; r < results; r++) all[r * batch + b] = stack(g, n, piece + r * trips, trips, 0);
    }
    for (int i = 0; i < states && i < n->nout; i++) finish(g, n, i, stack(g, n, last + i * batch, batch, 0));
    for (int r = 0; r < results && states + r < n->nout; r++) finish(g, n, states + r, stack(g, n, all + r * batch, batch, 0));
    return true;
}
/* A Scan whose length is known at run time only, is nothing or too much to unroll, as a Loop that reads its slices. */
static bool scan_as_loop(Ctx *c, Graph *g, Node *n, int states, int scans) {
    const Graph *body = n->attr[SCAN_BODY].g;
    int captured = body->in.n - states - scans, results = body->out.n - states, nin = 2 + states + scans + captured + 1;
    Graph *b = graph_new(g->a, "scan");
    Tensor **inner = NEW_ARRAY(g->a, Tensor *, nin), **outer = NEW_ARRAY(g->a, Tensor *, nin);
    Tensor **in = NEW_ARRAY(g->a, Tensor *, body->in.n + 1), **out = NEW_ARRAY(g->a, Tensor *, body->out.n + 1);
    Infer x = {c, g, n};
    Expr *len = NULL;
    for (int i = 0; i < scans; i++) {
        const Type *t = &n->in[states + i]->type;
        int64_t axis = listed(n, SCAN_IN_AXES, i);
        Expr *e = type_extent(g, t, (int)(axis < 0 ? axis + t->rank : axis));
        if (len && !infer_same_extent(&x, len, e)) return diag_error(c->d, n->loc, "scan inputs have other lengths; the same is expected");
        if (!len) len = e;
    }
    Expr *last = extent_add(g, len, e_int(g->a, -1));
    outer[0] = extents_tensor(g, n, 1, &len), outer[1] = NULL;
    for (int i = 0; i < states; i++) outer[2 + i] = n->in[i];
    for (int i = 0; i < scans; i++) outer[2 + states + i] = n->in[states + i];
    for (int i = 0; i < captured; i++) outer[2 + states + scans + i] = n->in[states + scans + i];
    outer[nin - 1] = build(g, n, "Reshape", 2, (Tensor *[]){extents_tensor(g, n, 1, &last), tensor_i64s(g, NULL, 0)});
    for (int i = 0; i < nin; i++) {
        inner[i] = tensor_new(b, NULL, i == 0 ? DT_INT64 : i == 1 ? DT_BOOL : DT_NONE, i < 2 ? 0 : -1, NULL);
        inner[i]->is_input = true;
        vec_push(g->a, &b->in, inner[i]);
    }
    Node *end = node_new(b, op_find("", "Identity"), NULL, n->loc, 1, &inner[1], 1);
    node_set_out(end, 0, tensor_new(b, NULL, DT_BOOL, 0, NULL));
    for (int i = 0; i < states; i++) in[i] = inner[2 + i];
    for (int i = 0; i < scans; i++) {
        Tensor *at = listed(n, SCAN_IN_REVERSE, i) ? build(b, end, "Sub", 2, (Tensor *[]){inner[nin - 1], inner[0]}) : inner[0];
        in[states + i] = build(b, end, "Gather", 2, (Tensor *[]){inner[2 + states + i], at});
        node_set_i(in[states + i]->def, 0, listed(n, SCAN_IN_AXES, i));
    }
    for (int i = 0; i < captured; i++) in[states + scans + i] = inner[2 + states + scans + i];
    body_copy(b, end, body, in, out, NULL, NULL);
    vec_push(g->a, &b->out, end->out[0]);
    for (int i = 0; i < body->out.n; i++) {
        if (out[i]->type.rank < 0) out[i]->type = body->out.v[i]->type;
        vec_push(g->a, &b->out, out[i]);
    }
    Node *loop = node_new(g, op_find("", "Loop"), n, n->loc, nin, outer, body->out.n);
    for (int i = 0; i < body->out.n; i++) node_set_out(loop, i, tensor_new(g, NULL, DT_NONE, -1, NULL));
    loop->attr[LOOP_BODY] = (Attr){.kind = ATTR_GRAPH, .g = b};
    node_set_i(loop, LOOP_INPUTS, 2 + states);
    for (int i = 0; i < states && i < n->nout; i++) finish(g, n, i, loop->out[i]);
    for (int r = 0; r < results && states + r < n->nout; r++) {
        if (!n->out[states + r]) continue;
        Tensor *y = loop->out[states + r];
        int64_t axis = listed(n, SCAN_OUT_AXES, r), rank = body->out.v[states + r]->type.rank + 1, back = -1, begin = INT64_MIN, zero = 0;
        if (listed(n, SCAN_OUT_REVERSE, r)) {
            Tensor *step = tensor_i64s(g, &back, 1);
            y = build(g, n, "Slice", 5, (Tensor *[]){y, step, tensor_i64s(g, &begin, 1), tensor_i64s(g, &zero, 1), step});
        }
        if (axis && (rank < 1 || axis < -rank || axis >= rank))
            return diag_error(c->d, n->loc, "axis %lld of scan output %d is none of its %lld; declare the output's shape in the body",
                              (long long)axis, r, (long long)max_i64(rank, 0));
        if (axis < 0) axis += rank;
        if (axis) {
            int64_t perm[QN_MAX_RANK + 1];
            for (int64_t i = 0; i < rank; i++) perm[i] = i < axis ? i + 1 : i == axis ? 0 : i;
            y = build(g, n, "Transpose", 1, &y);
            node_set_is(g, y->def, op_attr_index(y->def->op, "perm"), perm, rank);
        }
        finish(g, n, states + r, y);
    }
    return true;
}
bool rewrite_scan(Ctx *c, Graph *g, Node *n) {
    if (!has_body(c, n, SCAN_BODY)) return false;
    const Graph *body = n->attr[SCAN_BODY].g;
    int formal = (int)attr_i(n, SCAN_INPUTS), scans = (int)attr_i(n, SCAN_COUNT), states = formal - scans;
    if (attr_i(n, SCAN_OPSET) < 9) return scan_batched(c, g, n);
    for (int i = 0; i < formal; i++)
        if (!n->in[i]) return diag_error(c->d, n->loc, "input %d is left out; it is required", i);
    int captured = body->in.n - formal, results = body->out.n - states;
    if (states < 0 || scans < 1 || results < 0 || n->nout > body->out.n)
        return diag_error(c->d, n->loc, "num_scan_inputs is %d; the node has %d inputs and the body %d outputs", scans, formal,
                          body->out.n);
    int64_t trips = -1;
    bool dynamic = false;
    for (int i = 0; i < formal && i < n->nin; i++)
        if (n->in[i]->type.wrap)
            return diag_error(c->d, n->loc, "input %d '%s' is no tensor; states and scan inputs are tensors", i, n->in[i]->name);
    for (int i = 0; i < scans; i++) {
        const Type *t = &n->in[states + i]->type;
        int64_t axis = listed(n, SCAN_IN_AXES, i);
        if (axis < 0) axis += t->rank;
        if (axis < 0 || axis >= t->rank)
            return diag_error(c->d, n->loc, "scan input %d has rank %d; its axis is %lld", i, t->rank, (long long)axis);
        if (t->ext && t->ext[axis]) {
            dynamic = true;
            continue;
        }
        if (trips >= 0 && trips != t->dim[axis])
            return diag_error(c->d, n->loc, "scan inputs have the lengths %lld and %lld; the same is expected", (long long)trips,
                              (long long)t->dim[axis]);
        trips = t->dim[axis];
    }
    if (captured < 0) return diag_error(c->d, n->loc, "the body has %d inputs for %d of the node", body->in.n, formal);
    if (dynamic || trips == 0 || trips > TRIPS_MOST || trips * body->nnode > UNROLLED_NODES) return scan_as_loop(c, g, n, states, scans);
    Tensor **in = NEW_ARRAY(g->a, Tensor *, body->in.n + 1), **out = NEW_ARRAY(g->a, Tensor *, body->out.n + 1);
    Tensor **piece = NEW_ARRAY(g->a, Tensor *, trips * max_i64(results, 1) + 1);
    for (int i = 0; i < states; i++) in[i] = n->in[i];
    for (int i = 0; i < captured; i++) in[formal + i] = n->in[formal + i];
    for (int64_t k = 0; k < trips; k++) {
        for (int i = 0; i < scans; i++) {
            int64_t at = listed(n, SCAN_IN_REVERSE, i) ? trips - 1 - k : k;
            in[states + i] = slice(g, n, n->in[states + i], listed(n, SCAN_IN_AXES, i), at);
        }
        body_copy(g, n, body, in, out, NULL, NULL);
        for (int i = 0; i < states; i++) in[i] = out[i];
        for (int r = 0; r < results; r++) piece[r * trips + (listed(n, SCAN_OUT_REVERSE, r) ? trips - 1 - k : k)] = out[states + r];
    }
    for (int i = 0; i < states; i++) finish(g, n, i, in[i]);
    for (int r = 0; r < results; r++) {
        if (states + r >= n->nout || !n->out[states + r]) continue;
        int64_t axis = listed(n, SCAN_OUT_AXES, r);
        finish(g, n, states + r, stack(g, n, piece + r * trips, trips, axis));
    }
    return true;
}
