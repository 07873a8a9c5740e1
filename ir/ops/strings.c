/* SPDX-License-Identifier: Apache-2.0 */
/* strings.c: operators on strings. The model's own (StringConcat, StringNormalizer, StringFind, which label encoders become) are replaced
 * by internal ones in the pass `strings`: there a string is a reference, int64, and what is behind it are pools (runtime/ops/qn_strings.h).
 * Internal nodes have the pools that they may meet as their last operands, and the numbers of these as the attribute `pools`.
 *
 *   StringConcat(x, y)   ->   refs, own = StringJoin(x refs, y refs, pool 1, pool 2) {pools=[1,2], pool=3, room=…}
 */
#include "../extent.h"
#include "regex.h"
#include "rewrite.h"
#include <string.h>

enum { NUMBER_MOST = 32 }; /* bytes of a number as text */

/* ---- the model's own */
bool infer_string_concat(Infer *x) { return infer_broadcast(x); }
enum { NORM_CHANGE, NORM_EXACT, NORM_LOCALE, NORM_STOP };
bool infer_string_normalizer(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type;
    const char *change = attr_s(n, NORM_CHANGE);
    if (strcmp(change, "NONE") != 0 && strcmp(change, "LOWER") != 0 && strcmp(change, "UPPER") != 0)
        return infer_error(x, "case_change_action is '%s'; NONE, LOWER or UPPER is expected", change);
    if (t->rank < 1 || t->rank > 2 || (t->rank == 2 && t->dim[0] != 1))
        return infer_error(x, "strings of the shape [C] or [1,C] are expected");
    if (!attr_has(n, NORM_STOP) || n->attr[NORM_STOP].n == 0) return infer_same(x);
    Expr *e[2] = {e_int(x->g->a, 1), NULL};
    e[t->rank - 1] = infer_found(x, 1, max_i64(t->dim[t->rank - 1], 1));
    return e[t->rank - 1] && infer_extents(x, 0, DT_STRING, t->rank, e);
}
/* Bytes of the longest element there can be. */
static int64_t longest(const Graph *g, const Tensor *t) {
    int64_t most = 0, at[2];
    if (t->has_max) return t->max;
    if (!t->data) return g->max_string;
    for (int64_t i = 0; i < tensor_elements(t); i++) {
        memcpy(at, (const char *)t->data + 8 * i, sizeof at);
        most = max_i64(most, at[1] - at[0]);
    }
    return most;
}
void strings_bound(Infer *x) {
    int64_t most = 0, sum = 0;
    for (int i = 0; i < x->n->nin; i++) {
        int64_t v = !x->n->in[i] ? 0 : x->n->in[i]->type.dt == DT_STRING ? longest(x->g, x->n->in[i]) : NUMBER_MOST;
        most = max_i64(most, v), sum = min_i64(sum + v, INT32_MAX);
    }
    if (strcmp(x->n->op->name, "StringConcat") == 0) most = sum;
    for (int i = 0; i < x->n->nout; i++)
        if (x->n->out[i] && x->n->out[i]->type.dt == DT_STRING) x->n->out[i]->max = most, x->n->out[i]->has_max = true;
}
enum { SPLIT_BY, SPLIT_MOST };
bool infer_string_split(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type;
    int64_t by = attr_has(n, SPLIT_BY) ? n->attr[SPLIT_BY].n : 0, most = longest(x->g, n->in[0]),
            parts = by ? most / by + 1 : (most + 1) / 2;
    Expr *e[QN_MAX_RANK + 1];
    if (attr_has(n, SPLIT_MOST) && attr_i(n, SPLIT_MOST) >= 0 && attr_i(n, SPLIT_MOST) < parts) parts = attr_i(n, SPLIT_MOST) + 1;
    type_extents(x->g, t, e);
    if (n->nout > 1 && n->out[1] && !infer_like(x, 1, DT_INT64, t)) return false;
    e[t->rank] = infer_found(x, 2, parts);
    return e[t->rank] && infer_extents(x, 0, DT_STRING, t->rank + 1, e);
}
bool infer_regex(Infer *x) {
    Regex r;
    int64_t at;
    const Attr *p = &x->n->attr[0];
    const char *why = regex_compile(x->c->a, p->s, p->n, &r, &at);
    if (why) return infer_error(x, "the pattern '%s' at byte %lld: %s", p->s, (long long)at, why);
    return infer_like(x, 0, DT_BOOL, &x->n->in[0]->type);
}
bool infer_string_find(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (x->n->in[1]->type.rank != 1 || !x->n->in[1]->data) return infer_error(x, "a constant list of keys is expected");
    return infer_like(x, 0, DT_INT64, t);
}
bool lower_no_string(Lower *L, Node *n) {
    return diag_error(L->c->d, n->loc, "strings are not known to what follows; the pass 'strings' has to run");
}

/* ---- the internal ones: attributes by position */
enum { S_POOLS, S_POOL, S_ROOM, S_CHANGE, S_EXACT };
enum { S_SPLITS = S_CHANGE }; /* of StringParts */
static bool refs(Infer *x, int first, int count) {
    for (int i = first; i < first + count; i++)
        if (i >= x->n->nin || x->n->in[i]->type.dt != DT_INT64)
            return infer_error(x, "operand %d is expected to hold references, int64", i);
    int64_t pools = x->n->attr[S_POOLS].n;
    if (x->n->nin != first + count + pools) return infer_error(x, "%lld pools are named for %d operands", (long long)pools, x->n->nin);
    for (int i = first + count; i < x->n->nin; i++)
        if (x->n->in[i]->type.dt != DT_UINT8 && x->n->in[i]->type.dt != DT_STRING)
            return infer_error(x, "operand %d is expected to be a pool", i);
    return true;
}
static bool room_ok(Infer *x) {
    int64_t room = attr_i(x->n, S_ROOM);
    return (room >= 8 && room <= INT32_MAX) ||
           infer_error(x, "%lld bytes of strings are asked for; at most 2 GiB are possible: give a smaller --max-string", (long long)room);
}
bool infer_string_open(Infer *x) { return infer_like(x, 0, DT_INT64, &x->n->in[0]->type); }
bool infer_string_pack(Infer *x) { return refs(x, 0, 1) && room_ok(x) && infer_like(x, 0, DT_STRING, &x->n->in[0]->type); }
bool infer_string_equal(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (!refs(x, 0, 2)) return false;
    return types_same_shape(t, &x->n->in[1]->type) ? infer_like(x, 0, DT_BOOL, t) : infer_error(x, "the operands have different shapes");
}
bool infer_string_search(Infer *x) { return refs(x, 0, 2) && infer_like(x, 0, DT_INT64, &x->n->in[0]->type); }
bool infer_string_rank(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    Expr *n = type_count(x->g, t, 0, t->rank);
    return refs(x, 0, 1) && infer_like(x, 0, DT_INT64, t) && infer_extents(x, 1, DT_INT64, 1, &n);
}
bool infer_string_join(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (!refs(x, 0, 2) || !room_ok(x)) return false;
    if (!types_same_shape(t, &x->n->in[1]->type)) return infer_error(x, "the operands have different shapes");
    return infer_like(x, 0, DT_INT64, t) && infer_out(x, 1, DT_UINT8, 1, &x->n->attr[S_ROOM].i);
}
/* The first output's type was set by the pass. */
static bool references_out(Infer *x) { return type_known(&x->n->out[0]->type) || infer_error(x, "the output's type is not known"); }
bool infer_string_case(Infer *x) {
    return refs(x, 0, 2) && room_ok(x) && references_out(x) && infer_out(x, 1, DT_UINT8, 1, &x->n->attr[S_ROOM].i) &&
           infer_out(x, 2, DT_INT64, 0, NULL);
}
bool infer_string_parts(Infer *x) {
    return refs(x, 0, 2) && room_ok(x) && references_out(x) && infer_out(x, 1, DT_UINT8, 1, &x->n->attr[S_ROOM].i) &&
           infer_like(x, 2, DT_INT64, &x->n->in[0]->type) && infer_out(x, 3, DT_INT64, 0, NULL);
}
bool infer_string_match(Infer *x) {
    const Node *n = x->n;
    int64_t pools = n->attr[S_POOLS].n;
    if (n->nin != 3 + pools || n->in[0]->type.dt != DT_INT64 || n->in[1]->type.dt != DT_UINT8 || n->in[2]->type.dt != DT_UINT16)
        return infer_error(x, "references, kinds of bytes, states and %lld pools are expected", (long long)pools);
    return infer_like(x, 0, DT_BOOL, &n->in[0]->type);
}
static int64_t number_kind(DType t) {
    switch (t) {
    case DT_INT64: return 0;
    case DT_UINT64: return 1;
    case DT_FLOAT32: return 2;
    case DT_FLOAT64: return 3;
    case DT_BOOL: return 4;
    default: return -1;
    }
}
bool infer_string_print(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (number_kind(t->dt) < 0) return infer_error(x, "%s cannot be printed; a Cast to int64 or float32 is expected", dtype_name(t->dt));
    return room_ok(x) && infer_like(x, 0, DT_INT64, t) && infer_out(x, 1, DT_UINT8, 1, &x->n->attr[S_ROOM].i);
}
bool infer_string_parse(Infer *x) {
    int64_t to = attr_i(x->n, S_POOL);
    if (to != DT_INT64 && to != DT_FLOAT64) return infer_error(x, "int64 or float64 is expected");
    return refs(x, 0, 1) && infer_like(x, 0, (DType)to, &x->n->in[0]->type);
}

/* A call: how many elements the first operand has, more numbers, the pools' numbers; operands up to the pools, outputs, pools. */
static Expr *elements(Lower *L, const Node *n) {
    const Type *t = &n->in[0]->type;
    return lower_extent(L, type_count(L->g, t, 0, t->rank));
}
static bool string_call(Lower *L, Node *n, const char *name, int narg, const int64_t *arg, int nin) {
    int pools = n->nin - nin, m = 0;
    Expr **v = NEW_ARRAY(L->a, Expr *, narg + pools + 2);
    Buf **b = NEW_ARRAY(L->a, Buf *, n->nin + n->nout);
    uint32_t writes = 0;
    v[0] = elements(L, n);
    for (int i = 0; i < narg; i++) v[1 + i] = lower_int(L, arg[i]);
    v[1 + narg] = lower_int(L, pools);
    for (int i = 0; i < pools; i++) v[narg + 2 + i] = lower_int(L, n->attr[S_POOLS].is[i]);
    for (int i = 0; i < nin; i++) b[m++] = lower_tensor(L, n->in[i]);
    for (int i = 0; i < n->nout; i++) writes |= 1u << m, b[m++] = lower_tensor(L, n->out[i]);
    for (int i = nin; i < n->nin; i++) b[m++] = lower_tensor(L, n->in[i]);
    lower_call(L, name, narg + 2 + pools, v, m, b, writes);
    return true;
}
bool lower_string_open(Lower *L, Node *n) {
    Expr *arg[3] = {elements(L, n), lower_int(L, attr_i(n, 0)), lower_int(L, attr_i(n, 1))};
    lower_call(L, "qn_string_open", 3, arg, 2, (Buf *[]){lower_tensor(L, n->in[0]), lower_tensor(L, n->out[0])}, 2);
    return true;
}
bool lower_string_pack(Lower *L, Node *n) { return string_call(L, n, "qn_string_pack", 1, (int64_t[]){attr_i(n, S_ROOM)}, 1); }
bool lower_string_equal(Lower *L, Node *n) { return string_call(L, n, "qn_string_equal", 0, NULL, 2); }
bool lower_string_search(Lower *L, Node *n) { return string_call(L, n, "qn_string_find", 1, (int64_t[]){tensor_elements(n->in[1])}, 2); }
bool lower_string_rank(Lower *L, Node *n) { return string_call(L, n, "qn_string_rank", 0, NULL, 1); }
bool lower_string_join(Lower *L, Node *n) {
    return string_call(L, n, "qn_string_concat", 2, (int64_t[]){attr_i(n, S_POOL), attr_i(n, S_ROOM)}, 2);
}
bool lower_string_case(Lower *L, Node *n) {
    int64_t arg[5] = {attr_i(n, S_POOL), attr_i(n, S_ROOM), attr_i(n, S_CHANGE), attr_i(n, S_EXACT), tensor_elements(n->in[1])};
    return string_call(L, n, "qn_string_normalize", 5, arg, 2);
}
bool lower_string_parts(Lower *L, Node *n) {
    const Type *t = &n->out[0]->type;
    int64_t arg[4] = {attr_i(n, S_POOL), attr_i(n, S_ROOM), t->dim[t->rank - 1], attr_i(n, S_SPLITS)};
    return string_call(L, n, "qn_string_split", 4, arg, 2);
}
bool lower_string_match(Lower *L, Node *n) {
    int64_t kinds = 0;
    for (int i = 0; i < 256; i++) kinds = max_i64(kinds, ((const uint8_t *)n->in[1]->data)[i] + 1);
    return string_call(L, n, "qn_string_match", 1, &kinds, 3);
}
bool lower_string_print(Lower *L, Node *n) {
    Expr *arg[4] = {elements(L, n), lower_int(L, attr_i(n, S_POOL)), lower_int(L, attr_i(n, S_ROOM)),
                    lower_int(L, number_kind(n->in[0]->type.dt))};
    Buf *b[3] = {lower_tensor(L, n->in[0]), lower_tensor(L, n->out[0]), lower_tensor(L, n->out[1])};
    lower_call(L, "qn_string_from", 4, arg, 3, b, 6);
    return true;
}
bool lower_string_parse(Lower *L, Node *n) {
    const char *name = n->out[0]->type.dt == DT_INT64 ? "qn_string_to_int" : "qn_string_to_real";
    return string_call(L, n, name, 0, NULL, 1);
}
