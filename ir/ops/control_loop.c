/* SPDX-License-Identifier: Apache-2.0 */
/* control_loop.c: Loop. Small ones are unrolled iteration by iteration, each body folded before the next one is made, so that an end
 * which shapes or constants decide is seen; an end that values decide masks the iterations behind it. Others stay loops (LoopBegin,
 * LoopEnd).
 *
 *   Loop(M=2, c, s) {body: c', s' = f(i, c, s)}   --->   c1, s1 = f(0, c, s);  a = c and c1;  s2 = Select(a, f(1, c1, s1), s1)
 */
#include "../list.h"
#include "control.h"
#include <string.h>

/* ---- Loop: M, condition, states, captured values; then (of LoopRest) what each iteration so far gave for each scan output, and whether
 * each ran. Attributes of LoopRest: body, inputs (formal ones), iteration, scans */
typedef struct Loop {
    Ctx *c;
    Graph *g;
    Node *n;
    const Graph *body;
    int formal, states, captured, scans;
    int64_t at;
    Tensor **piece;  /* of scan k in iteration i: piece[i * (scans + 1) + k]; the last: whether it ran (masked loops) */
    Tensor **result; /* of state i, should this have been the last iteration. A list goes on unmasked: what it holds behind the last
                      * iteration is never looked at, and its length stays known inside the loop */
    bool masked;     /* an iteration so far may not have run */
    bool ended;      /* … as its condition says, and not only the trip count, which iterations behind it exceed all the more */
} Loop;
static Tensor *stacked(Loop *l, int k, Tensor *const *piece, int64_t n) {
    Graph *g = l->g;
    Tensor **v = NEW_ARRAY(g->a, Tensor *, n + 1), *zero = tensor_i64s(g, (int64_t[]){0}, 1);
    const Type *t = &l->body->out.v[1 + l->states + k]->type;
    if (n == 0) { /* no iteration: nothing, of the declared shape */
        int64_t dim[QN_MAX_RANK + 1] = {0};
        Tensor *shape;
        const Type *o = &l->n->out[l->states + k]->type;
        for (int i = 0; i < t->rank; i++)
            dim[i + 1] = t->dim[i] >= 0 ? t->dim[i] : o->rank == t->rank + 1 && o->dim[i + 1] >= 0 ? o->dim[i + 1] : 0;
        if (t->rank < 0 || t->dt == DT_NONE)
            return diag_error(l->c->d, l->n->loc, "the loop runs no iteration, and scan output %d has no declared type; declare it", k),
                   NULL;
        shape = tensor_i64s(g, dim, t->rank + 1);
        Tensor *y = build(g, l->n, "ConstantOfShape", 1, &shape);
        Tensor *fill = tensor_scalar(g, t->dt, 0);
        fill->type.rank = 1, fill->type.dim[0] = 1;
        y->def->attr[0] = (Attr){.kind = ATTR_TENSOR, .t = fill};
        return y;
    }
    for (int64_t i = 0; i < n; i++) v[i] = build(g, l->n, "Unsqueeze", 2, (Tensor *[]){piece[i * (l->scans + 1) + k], zero});
    Tensor *y = build(g, l->n, "Concat", (int)n, v);
    node_set_i(y->def, 0, 0);
    if (!l->masked) return y;
    Tensor *count = NULL; /* only the iterations that ran */
    for (int64_t i = 0; i < n; i++) {
        Tensor *ran = build(g, l->n, "Cast", 1, &piece[i * (l->scans + 1) + l->scans]);
        node_set_i(ran->def, op_attr_index(ran->def->op, "to"), DT_INT64);
        ran = build(g, l->n, "Reshape", 2, (Tensor *[]){ran, tensor_i64s(g, (int64_t[]){1}, 1)});
        count = count ? build(g, l->n, "Add", 2, (Tensor *[]){count, ran}) : ran;
    }
    return build(g, l->n, "Slice", 4, (Tensor *[]){y, zero, count, zero});
}
static bool loop_end(Loop *l) {
    for (int i = 0; i < l->states; i++) finish(l->g, l->n, i, l->result[i]);
    for (int k = 0; k < l->scans; k++) {
        if (l->states + k >= l->n->nout || !l->n->out[l->states + k]) continue;
        Tensor *y = stacked(l, k, l->piece, l->at);
        if (!y) return false;
        finish(l->g, l->n, l->states + k, y);
    }
    return true;
}
/* Whether a loop that was entered goes on for ever, or as long as its trip count says: its condition is handed on, or true. */
static bool goes_on(const Graph *body) {
    const Tensor *t = body->out.v[0];
    while (t->def && strcmp(t->def->op->name, "Identity") == 0) t = t->def->in[0];
    bool v = false;
    return t == body->in.v[1] || (bool_const(t, &v) && v);
}
/* Room for a scan output of the iterations from `l->at` to `most`, of the type which it had in the iteration before. NULL after an error.
 */
static Tensor *room_for(Loop *l, int k, int64_t most) {
    Graph *g = l->g;
    const Type *t = &l->piece[(l->at - 1) * (l->scans + 1) + k]->type;
    int64_t dim[QN_MAX_RANK] = {most - l->at};
    if (t->wrap || t->dt == DT_STRING || !type_known(t) || t->ext || t->rank >= QN_MAX_RANK) {
        diag_error(
            l->c->d, l->n->loc,
            "the loop may run %lld times, and what it gives for scan output %d has no constant extents; bound its trip count (at most "
            "%d) with --max INPUT=V",
            (long long)most, k, TRIPS_MOST);
        return NULL;
    }
    for (int i = 0; i < t->rank; i++) dim[i + 1] = t->dim[i];
    Node *room = node_new(g, op_find("quern", "LoopRoom"), l->n, l->n->loc, 0, NULL, 1); /* no constant: it would stand in the file */
    node_set_out(room, 0, tensor_new(g, NULL, DT_NONE, -1, NULL));
    node_set_is(g, room, 0, dim, t->rank + 1);
    node_set_i(room, 1, t->dt);
    return room->out[0];
}
bool infer_loop_room(Infer *x) {
    const Attr *d = &x->n->attr[0];
    int64_t to = attr_i(x->n, 1);
    if (to <= DT_NONE || to >= DT_COUNT || d->n > QN_MAX_RANK) return infer_error(x, "the type is none");
    return infer_out(x, 0, (DType)to, (int)d->n, d->is);
}
bool lower_loop_room(Lower *L, Node *n) {
    const Type *t = &n->out[0]->type;
    Expr *idx[QN_MAX_RANK];
    lower_loops(L, NULL, t, idx);
    lower_store(L, n, 0, idx, e_lit(L->a, dtype_compute(t->dt), 0));
    lower_ends(L, t->rank);
    return true;
}
static Tensor *as_scalar(Loop *l, Tensor *t) { return build(l->g, l->n, "Reshape", 2, (Tensor *[]){t, tensor_i64s(l->g, NULL, 0)}); }
/* What scan output k is: of the iterations that were unrolled, then those of the loop; only as many as ran. ran: how many of the loop */
static Tensor *scanned(Loop *l, int k, Tensor *rest, Tensor *ran) {
    Graph *g = l->g;
    Tensor **v = NEW_ARRAY(g->a, Tensor *, l->at + 1), *zero = tensor_i64s(g, (int64_t[]){0}, 1), *one = tensor_i64s(g, (int64_t[]){1}, 1);
    for (int64_t i = 0; i < l->at; i++) v[i] = build(g, l->n, "Unsqueeze", 2, (Tensor *[]){l->piece[i * (l->scans + 1) + k], zero});
    v[l->at] = rest;
    Tensor *y = build(g, l->n, "Concat", (int)l->at + 1, v);
    node_set_i(y->def, 0, 0);
    if (!ran) return y;
    Tensor *count = build(g, l->n, "Reshape", 2, (Tensor *[]){ran, one});
    for (int64_t i = 0; i < l->at; i++) {
        Tensor *did = build(g, l->n, "Cast", 1, &l->piece[i * (l->scans + 1) + l->scans]);
        node_set_i(did->def, op_attr_index(did->def->op, "to"), DT_INT64);
        count = build(g, l->n, "Add", 2, (Tensor *[]){count, build(g, l->n, "Reshape", 2, (Tensor *[]){did, one})});
    }
    return build(g, l->n, "Slice", 4, (Tensor *[]){y, zero, count, zero});
}
/* Too long to unroll: a loop of the program. LoopBegin gives the iteration, whether it runs, and the states; LoopEnd their successors,
 * which are stored in the same places. What stands between and depends on them is repeated. A scan output is a state too, of which
 * each iteration stores one slice; its type shows in the iterations before, `l->at` of which are unrolled. */
static bool loop_real(Loop *l, int64_t most) {
    Graph *g = l->g;
    Node *n = l->n;
    int ns = 2 + l->states + l->scans;
    bool go = true, sure = !n->in[1] || bool_const(n->in[1], &go);
    bool all = n->in[0] ? n->in[0]->data && sure && !l->masked && goes_on(l->body) : false; /* every iteration runs, for sure */
    Tensor **v = NEW_ARRAY(g->a, Tensor *, ns + 2), **in = NEW_ARRAY(g->a, Tensor *, l->body->in.n + 1);
    Tensor **out = NEW_ARRAY(g->a, Tensor *, l->body->out.n + 1), *at = l->at ? tensor_i64s(g, &l->at, -1) : NULL;
    v[0] = n->in[0] ? as_scalar(l, n->in[0]) : tensor_i64s(g, (int64_t[]){INT64_MAX}, -1);
    if (at && n->in[0]) v[0] = build(g, n, "Sub", 2, (Tensor *[]){v[0], at});
    v[1] = n->in[1] ? as_scalar(l, n->in[1]) : tensor_scalar(g, DT_BOOL, 1);
    if (l->masked && at) v[1] = build(g, n, "And", 2, (Tensor *[]){v[1], as_scalar(l, l->piece[(l->at - 1) * (l->scans + 1) + l->scans])});
    for (int i = 0; i < l->states; i++) v[2 + i] = n->in[2 + i];
    for (int k = 0; k < l->scans; k++)
        if (!(v[2 + l->states + k] = room_for(l, k, most))) return false;
    Node *begin = node_new(g, op_find("quern", "LoopBegin"), n, n->loc, ns, v, ns);
    for (int i = 0; i < ns; i++) node_set_out(begin, i, tensor_new(g, NULL, DT_NONE, -1, NULL));
    in[0] = at ? build(g, n, "Add", 2, (Tensor *[]){begin->out[0], at}) : begin->out[0], in[1] = begin->out[1];
    for (int i = 0; i < l->states; i++) in[2 + i] = begin->out[2 + i];
    for (int i = 0; i < l->captured; i++) in[l->formal + i] = n->in[l->formal + i];
    body_copy(g, n, l->body, in, out, NULL, NULL);
    Tensor **w = NEW_ARRAY(g->a, Tensor *, 2 * ns + 1);
    w[0] = v[0], w[1] = as_scalar(l, out[0]);
    for (int i = 0; i < l->states + l->scans; i++) w[2 + i] = out[1 + i];
    for (int i = 0; i < ns; i++) w[ns + i] = begin->out[i];
    Node *end = node_new(g, op_find("quern", "LoopEnd"), n, n->loc, 2 * ns, w, ns);
    for (int i = 0; i < ns; i++) {
        node_set_out(end, i, tensor_new(g, NULL, DT_NONE, -1, NULL));
        end->out[i]->kept = true;
    }
    for (int i = 2; i < ns && i - 2 < n->nout; i++) {
        if (!n->out[i - 2]) continue;
        Tensor *t = i < 2 + l->states ? end->out[i] : scanned(l, i - 2 - l->states, end->out[i], all ? NULL : end->out[0]);
        if (n->out[i - 2]->is_output && i < 2 + l->states) t = build(g, n, "Identity", 1, &t);
        tensor_replace(g, n->out[i - 2], t, true);
    }
    return true;
}
bool infer_loop_begin(Infer *x) {
    bool ok = infer_out(x, 0, DT_INT64, 0, NULL) && infer_out(x, 1, DT_BOOL, 0, NULL);
    for (int i = 2; ok && i < x->n->nin; i++) ok = infer_like(x, i, x->n->in[i]->type.dt, &x->n->in[i]->type);
    return ok;
}
bool lower_loop_begin(Lower *L, Node *n) {
    Arena *a = L->a;
    Expr *zero = e_int(a, 0), *idx[QN_MAX_RANK];
    lower_store(L, n, 0, NULL, zero);
    lower_store(L, n, 1, NULL,
                e_bin(a, BIN_LAND, lower_load(L, n, 1, NULL), e_lt(a, zero, e_cast(a, DT_INT64, lower_load(L, n, 0, NULL)))));
    for (int i = 2; i < n->nin; i++) {
        lower_loops(L, NULL, &n->out[i]->type, idx);
        lower_store(L, n, i, idx, lower_load(L, n, i, idx));
        lower_ends(L, n->out[i]->type.rank);
    }
    return true;
}
/* One slice of a stacked result, and not the whole of a state */
static bool is_slice(const Type *next, const Type *now) {
    if (next->dt != now->dt || next->rank + 1 != now->rank || next->ext || now->ext) return false;
    for (int i = 0; i < next->rank; i++)
        if (next->dim[i] != now->dim[i + 1]) return false;
    return true;
}
bool infer_loop_end(Infer *x) {
    int ns = x->n->nin / 2;
    bool ok = infer_out(x, 0, DT_INT64, 0, NULL) && infer_out(x, 1, DT_BOOL, 0, NULL);
    for (int i = 2; ok && i < ns; i++) {
        const Type *next = &x->n->in[i]->type, *now = &x->n->in[ns + i]->type;
        if (is_slice(next, now)) {
            ok = infer_like(x, i, now->dt, now);
            continue;
        }
        if (next->dt != now->dt || !types_same_shape(next, now)) {
            Text s = {0};
            type_print(now, &s), text_puts(&s, " and becomes "), type_print(next, &s);
            infer_error(
                x,
                "state %d of the loop is %s; a loop that is too long to unroll keeps the types of its states: bound its trip count with "
                "--max INPUT=V",
                i - 2, s.s);
            text_free(&s);
            return false;
        }
        ok = infer_like(x, i, now->dt, now);
    }
    return ok;
}
bool lower_loop_end(Lower *L, Node *n) {
    Arena *a = L->a;
    int ns = n->nin / 2;
    Expr *idx[QN_MAX_RANK], *at = lower_let(L, "at", lower_load(L, n, ns, NULL)), *next = lower_let(L, "next", e_add(a, at, e_int(a, 1)));
    Buf **copy = NEW_ARRAY(a, Buf *, ns);
    for (int i = 2; i < ns; i++) { /* what is itself a state is saved before any is replaced */
        const Tensor *t = n->in[i], *base = tensor_base(t);
        const Type *y = &t->type;
        if (!base->def || strcmp(base->def->op->name, "LoopBegin") != 0) continue;
        copy[i] = lower_temp(L, "copy", y->dt, y->rank, y->dim);
        lower_loops(L, NULL, y, idx);
        lower_put(L, copy[i], idx, lower_load(L, n, i, idx), RED_NONE);
        lower_ends(L, y->rank);
    }
    Expr *more =
        lower_let(L, "more", e_bin(a, BIN_LAND, lower_load(L, n, 1, NULL), e_lt(a, next, e_cast(a, DT_INT64, lower_load(L, n, 0, NULL)))));
    for (int i = 2; i < ns; i++) {
        const Type *t = &n->in[i]->type, *o = &n->out[i]->type;
        bool slice = t->rank < o->rank;
        idx[0] = e_max(a, e_int(a, 0), e_min(a, at, e_int(a, o->dim[0] - 1)));
        lower_loops(L, NULL, t, idx + slice);
        lower_store(L, n, i, idx, copy[i] ? lower_get(L, copy[i], idx + slice) : lower_load(L, n, i, idx + slice));
        lower_ends(L, t->rank);
    }
    lower_store(L, n, 0, NULL, next);
    lower_store(L, n, 1, NULL, more);
    return true;
}
void loop_views(Graph *g) {
    for (Node *n = g->first; n; n = n->next) {
        if (strcmp(n->op->name, "LoopEnd") != 0 || !n->op->domain[0]) continue;
        for (int i = 0; i < n->nout; i++) {
            Tensor *base = n->in[n->nin / 2 + i];
            if (!n->out[i] || n->out[i]->view) continue;
            n->out[i]->view = NEW(g->a, View);
            n->out[i]->view->base = base;
            type_strides(&n->out[i]->type, n->out[i]->view->stride);
        }
    }
}
static bool loop_step(Ctx *c, Graph *g, Node *n, bool first) {
    if (!has_body(c, n, LOOP_BODY)) return false;
    Loop l = {.c = c, .g = g, .n = n, .body = n->attr[LOOP_BODY].g};
    l.formal = (int)attr_i(n, LOOP_INPUTS), l.states = l.formal - 2, l.captured = l.body->in.n - l.formal;
    l.scans = l.body->out.n - 1 - l.states;
    l.at = first ? 0 : attr_i(n, LOOP_AT), l.masked = !first && attr_i(n, LOOP_MASKED) > 0, l.ended = !first && attr_i(n, LOOP_MASKED) > 1;
    l.piece = n->in + l.formal + l.captured;
    l.result = first ? n->in + 2 : n->in + n->nin - l.states;
    if (l.states < 0 || l.scans < 0 || n->nout > l.states + l.scans)
        return diag_error(c->d, n->loc,
                          "the body gives %d outputs for %d states; the condition, the states and one per scan output are expected",
                          l.body->out.n, l.states);
    Infer x = {c, g, n};
    Tensor *M = n->in[0], *cond = n->in[1];
    Expr **m = NULL;
    int64_t nm, lo = INT64_MAX, hi = INT64_MAX;
    bool go = true, sure = !cond || bool_const(cond, &go);
    if (M && !infer_values(&x, 0, &m, &nm)) return false;
    if (m && !extent_bounds(g, m[0], &lo, &hi)) lo = INT64_MIN, hi = INT64_MAX;
    if (first && m && hi >= EXTENT_MOST / 2) /* as long as a stacked result may be */
        for (int k = 0; k < l.scans && hi >= EXTENT_MOST / 2; k++) {
            const Type *t = l.states + k < n->nout && n->out[l.states + k] ? &n->out[l.states + k]->type : NULL;
            if (!t || t->rank < 1 || t->dim[0] < 0) continue;
            hi = t->dim[0];
            m[0] = infer_bounded(&x, m[0], -EXTENT_MOST, hi, "trips", false);
        }
    if (!first && attr_i(n, LOOP_MOST) >= 0) hi = attr_i(n, LOOP_MOST);
    if ((sure && !go) || l.at >= hi) return loop_end(&l);
    for (int i = 0; i < l.states && first && hi > TRIPS_MOST && (M || !sure); i++)
        if (n->in[2 + i]->type.wrap)
            return lo == hi
                       ? diag_error(c->d, n->loc, "the loop runs %lld times and makes a sequence; at most %d times are supported",
                                    (long long)hi, TRIPS_MOST)
                       : diag_error(c->d, n->loc,
                                    "state %d is a sequence or an optional, and the number of iterations has no upper bound; bound it with "
                                    "--max INPUT=V (at most %d)",
                                    i, TRIPS_MOST);
    if (first && hi > TRIPS_MOST && l.scans == 0 && (M || !sure)) return loop_real(&l, hi);
    if (!first && hi > TRIPS_MOST && (l.scans ? M && hi < EXTENT_LIMIT : !M && !sure && !l.masked)) {
        bool lists = false; /* stay unrolled */
        for (int i = 0; i < l.states; i++) lists |= n->in[2 + i]->type.wrap != NULL;
        if (!lists) return loop_real(&l, hi);
    }
    if (hi >= EXTENT_MOST / 2 && sure && !M && l.at >= TRIPS_MOST)
        return diag_error(c->d, n->loc, "the loop does not end: %lld iterations ran with a constant condition", (long long)l.at);
    if (l.at >= TRIPS_MOST || g->nnode > UNROLLED_NODES)
        return diag_error(
            c->d, n->loc,
            "the loop may run %lld iterations or more, which are unrolled: at most %d of them, and %d nodes, are supported; bound the "
            "trip count with --max INPUT=V, or make it a smaller constant",
            (long long)l.at, TRIPS_MOST, UNROLLED_NODES);
    /* whether this iteration runs */
    Tensor *runs = NULL;
    if (m && l.at >= lo) { /* M > at, seen at run time */
        Tensor *at = tensor_scalar(g, M->type.dt, (double)l.at), *shape = tensor_i64s(g, NULL, 0);
        runs = build(g, n, "Greater", 2, (Tensor *[]){build(g, n, "Reshape", 2, (Tensor *[]){M, shape}), at});
    }
    if (!sure) {
        Tensor *flat = build(g, n, "Reshape", 2, (Tensor *[]){cond, tensor_i64s(g, NULL, 0)});
        runs = runs ? build(g, n, "And", 2, (Tensor *[]){flat, runs}) : flat;
    }
    bool masked = l.masked || runs;
    Tensor *before = l.ended && l.at > 0 ? l.piece[(l.at - 1) * (l.scans + 1) + l.scans] : NULL;
    if (before && !before->data) runs = runs ? build(g, n, "And", 2, (Tensor *[]){before, runs}) : before;
    Expr *when = NULL;
    if (runs && body_demands(l.body)) {
        if (m && l.at >= lo) when = e_lt(g->a, e_int(g->a, l.at), m[0]);
        if (!sure) when = both(g->a, when, e_bin(g->a, BIN_NE, infer_value_of(&x, cond, 0), e_int(g->a, 0)));
        if (before && !before->data) when = both(g->a, when, e_bin(g->a, BIN_NE, infer_value_of(&x, before, 0), e_int(g->a, 0)));
    }
    if (!runs) runs = tensor_scalar(g, DT_BOOL, 1);
    /* the body */
    Tensor **in = NEW_ARRAY(g->a, Tensor *, l.body->in.n + 1), **out = NEW_ARRAY(g->a, Tensor *, l.body->out.n + 1);
    in[0] = tensor_i64s(g, &l.at, -1);
    in[1] = cond ? cond : tensor_scalar(g, DT_BOOL, 1);
    for (int i = 2; i < l.formal; i++) in[i] = n->in[i];
    for (int i = 0; i < l.captured; i++) in[l.formal + i] = n->in[l.formal + i];
    body_copy(g, n, l.body, in, out, when, NULL);
    /* and the rest of the loop */
    int old = (int)(l.at * (l.scans + 1)), nin = l.formal + l.captured + old + l.scans + 1 + l.states;
    Tensor **v = NEW_ARRAY(g->a, Tensor *, nin);
    v[0] = M, v[1] = out[0];
    for (int i = 0; i < l.states; i++) {
        bool list = n->in[2 + i]->type.wrap != NULL, mask = masked && !runs->data;
        Tensor *result = mask ? select_of(g, n, runs, out[1 + i], l.result[i]) : out[1 + i];
        v[2 + i] = list ? out[1 + i] : result;
        v[nin - l.states + i] = result;
    }
    for (int i = 0; i < l.captured + old; i++) v[l.formal + i] = n->in[l.formal + i];
    for (int k = 0; k < l.scans; k++) v[l.formal + l.captured + old + k] = out[1 + l.states + k];
    v[l.formal + l.captured + old + l.scans] = runs;
    Node *rest = node_new(g, op_find("quern", "LoopRest"), n, n->loc, nin, v, n->nout);
    rest->attr[LOOP_BODY] = n->attr[LOOP_BODY];
    node_set_i(rest, LOOP_INPUTS, l.formal), node_set_i(rest, LOOP_AT, l.at + 1),
        node_set_i(rest, LOOP_MASKED,
                   !masked            ? 0
                   : l.ended || !sure ? 2
                                      : 1),
        node_set_i(rest, LOOP_MOST, hi < EXTENT_MOST / 2 ? hi : -1);
    for (int o = 0; o < n->nout; o++) {
        if (!n->out[o]) continue;
        Tensor *t = tensor_new(g, NULL, DT_NONE, -1, NULL);
        if (!n->out[o]->is_output) t->name = n->out[o]->name;
        t->type = n->out[o]->type;
        node_set_out(rest, o, t);
        tensor_replace(g, n->out[o], t, true);
    }
    return true;
}
bool rewrite_loop(Ctx *c, Graph *g, Node *n) { return loop_step(c, g, n, true); }
bool rewrite_loop_rest(Ctx *c, Graph *g, Node *n) { return loop_step(c, g, n, false); }
