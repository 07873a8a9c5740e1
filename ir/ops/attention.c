/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c: Attention, taken apart into two matrix products and a Softmax, and the operators around it: RotaryEmbedding and
 * TensorScatter. Heads that share keys and values are laid side by side as rows of one product, so no key is repeated in memory.
 *
 *   Attention(q, k, v)   ->   s = MatMul(q*scale, k');  y = MatMul(Softmax(AttentionMask(s)), v)
 */
#include "../extent.h"
#include "rewrite.h"
#include <math.h>
#include <string.h>

/* ---- AttentionMask: scores with what a query must not see at minus infinity. Inputs: scores [batch, head, query, key], mask?
 * (bool, or a float that is added; keys it does not reach are not seen), number of keys per sample? */
enum { MASK_CAUSAL, MASK_PAST };
bool infer_attention_mask(Infer *x) {
    const Type *s = &x->n->in[0]->type, *m = x->n->nin > 1 && x->n->in[1] ? &x->n->in[1]->type : NULL;
    if (s->rank != 4) return infer_error(x, "the scores have %d dims, expected 4", s->rank);
    if (attr_i(x->n, MASK_PAST) < 0 || attr_i(x->n, MASK_PAST) > INT32_MAX)
        return infer_error(x, "past is %lld, expected 0 to %d", (long long)attr_i(x->n, MASK_PAST), INT32_MAX);
    if (m && m->dt != DT_BOOL && m->dt != s->dt)
        return infer_error(x, "the mask is %s, expected bool or %s", dtype_name(m->dt), dtype_name(s->dt));
    if (m && (m->rank < 1 || m->rank > 4)) return infer_error(x, "the mask has %d dims, expected 1 to 4", m->rank);
    for (int k = 0; m && k < m->rank; k++) {
        int64_t d = m->dim[m->rank - 1 - k], want = s->dim[3 - k];
        Expr *p = type_extent(x->g, m, m->rank - 1 - k), *to = type_extent(x->g, s, 3 - k);
        if (k == 0 ? !infer_require(x, e_le(x->g->a, p, e_max(x->g->a, to, e_int(x->g->a, 1)))) : !infer_broadcasts(x, p, to))
            return infer_error(x, "axis %d of the mask has %lld elements, expected %lld or 1", m->rank - 1 - k, (long long)d,
                               (long long)want);
    }
    if (x->n->nin > 2 && x->n->in[2] &&
        (x->n->in[2]->type.rank != 1 || !infer_same_extent(x, type_extent(x->g, &x->n->in[2]->type, 0), type_extent(x->g, s, 0))))
        return infer_error(x, "nonpad_kv_seqlen is expected to have one element a sample");
    return infer_same(x);
}
static Expr *both(Lower *L, Expr *x, Expr *y) { return x ? e_bin(L->a, BIN_LAND, x, y) : y; }
Expr *compute_attention_mask(Lower *L, Node *n, int out, Expr *const *idx) {
    (void)out;
    Arena *a = L->a;
    const Type *s = &n->in[0]->type, *m = n->nin > 1 && n->in[1] ? &n->in[1]->type : NULL;
    Expr *v = lower_load(L, n, 0, idx), *seen = NULL, *limit = NULL;
    if (n->nin > 2 && n->in[2]) {
        limit = e_cast(a, DT_INT64, lower_load(L, n, 2, idx));
        limit = e_max(a, e_int(a, 0), e_min(a, limit, lower_dim(L, s, 3))); /* data: what follows must not overflow */
        seen = e_lt(a, idx[3], limit);
    }
    if (attr_i(n, MASK_CAUSAL)) {
        Expr *past = n->nin > 3 && n->in[3] ? lower_load(L, n, 3, (Expr *[]){e_int(a, 0)}) : e_int(a, attr_i(n, MASK_PAST));
        Expr *shift = limit ? e_sub(a, limit, lower_dim(L, s, 2)) : past;
        seen = both(L, seen, e_le(a, idx[3], e_add(a, idx[2], shift)));
    }
    if (m) {
        Expr *at[4];
        int last = m->rank - 1;
        for (int k = 0; k < m->rank; k++) at[k] = lower_broadcast(L, m, k, s, k + 4 - m->rank, idx[k + 4 - m->rank]);
        if (!extent_same(m, last, s, 3) && (m->ext || s->ext || m->dim[last] < s->dim[3])) {
            Expr *reach = lower_dim(L, m, last);
            seen = both(L, seen, e_lt(a, idx[3], reach));
            at[last] = e_min(a, idx[3], e_sub(a, reach, e_int(a, 1)));
        }
        Expr *value = lower_load(L, n, 1, at);
        if (m->dt == DT_BOOL) seen = both(L, seen, value);
        else v = e_add(a, v, value);
    }
    return seen ? e_select(a, seen, v, e_lit(a, v->t, -INFINITY)) : v;
}

/* ---- Attention */
enum { IS_CAUSAL, KV_HEADS, Q_HEADS, QK_MODE, SCALE, SOFTCAP, PRECISION };
enum { IN_Q, IN_K, IN_V, IN_MASK, IN_PAST_K, IN_PAST_V, IN_NONPAD };
typedef struct Shape { /* of the whole operator */
    int64_t heads, groups, head, value_head;
    Expr *batch, *queries, *keys, *past;
    bool flat; /* 3-D operands, heads side by side in the last axis */
} Shape;

/* The last extent of an operand: constant, as that of the heads. */
static bool heads_known(const Type *t, bool flat) { return !t->ext || (!t->ext[t->rank - 1] && (flat || !t->ext[1])); }
static bool attention_shape(Ctx *c, Graph *g, Node *n, Shape *s) {
    Infer x = {c, g, n};
    const Type *q = &n->in[IN_Q]->type, *k = &n->in[IN_K]->type, *v = &n->in[IN_V]->type;
    if (q->rank != k->rank || q->rank != v->rank || (q->rank != 3 && q->rank != 4))
        return diag_error(c->d, n->loc, "query, key and value have %d, %d and %d dims; expected 3 or 4 each", q->rank, k->rank, v->rank);
    if (!type_known(q) || !type_known(k) || !type_known(v))
        return diag_error(c->d, n->loc, "the extents of query, key or value are not known");
    s->flat = q->rank == 3;
    if (!heads_known(q, s->flat) || !heads_known(k, s->flat) || !heads_known(v, s->flat))
        return diag_error(c->d, n->loc, "the number of heads or their size is known at run time only; fix it with --dim");
    int seq = s->flat ? 1 : 2;
    s->batch = type_extent(g, q, 0), s->queries = type_extent(g, q, seq), s->keys = type_extent(g, k, seq);
    s->heads = s->flat ? attr_i(n, Q_HEADS) : q->dim[1], s->groups = s->flat ? attr_i(n, KV_HEADS) : k->dim[1];
    if (s->heads < 1 || s->groups < 1 || s->heads % s->groups)
        return diag_error(c->d, n->loc,
                          "there are %lld heads of queries and %lld of keys; expected a multiple of the latter (3-D operands need "
                          "q_num_heads and kv_num_heads)",
                          (long long)s->heads, (long long)s->groups);
    if (s->flat && (q->dim[2] % s->heads || k->dim[2] % s->groups || v->dim[2] % s->groups))
        return diag_error(c->d, n->loc, "the last axis of query, key or value is not divisible by the number of heads");
    s->head = s->flat ? q->dim[2] / s->heads : q->dim[3], s->value_head = s->flat ? v->dim[2] / s->groups : v->dim[3];
    int64_t key_head = s->flat ? k->dim[2] / s->groups : k->dim[3];
    bool ok = key_head == s->head && infer_same_extent(&x, type_extent(g, k, 0), s->batch) &&
              infer_same_extent(&x, type_extent(g, v, 0), s->batch) && infer_same_extent(&x, type_extent(g, v, seq), s->keys) &&
              (s->flat || v->dim[1] == s->groups);
    if (!ok) return diag_error(c->d, n->loc, "the shapes of query, key and value do not fit together");
    const Tensor *pk = n->nin > IN_PAST_K ? n->in[IN_PAST_K] : NULL, *pv = n->nin > IN_PAST_V ? n->in[IN_PAST_V] : NULL;
    if (!pk != !pv) return diag_error(c->d, n->loc, "of past_key and past_value one is given, expected both or none");
    if (pk && (pk->type.rank != 4 || pv->type.rank != 4 || pk->type.dim[2] < 0 ||
               !infer_same_extent(&x, type_extent(g, &pk->type, 2), type_extent(g, &pv->type, 2))))
        return diag_error(c->d, n->loc, "past_key and past_value are expected to have 4 dims and the same length");
    s->past = pk ? type_extent(g, &pk->type, 2) : e_int(g->a, 0);
    return true;
}
static Tensor *reshaped4(R r, Tensor *x, Expr *b, int64_t heads, Expr *length, Expr *size) {
    return r_reshaped(r, x, 4, (Expr *[]){b, e_int(r.g->a, heads), length, size});
}
/* As [batch, heads, sequence, size]. */
static Tensor *split_heads(R r, const Shape *s, Tensor *x, int64_t heads, Expr *length, int64_t size) {
    if (!s->flat) return x;
    x = r_reshaped(r, x, 4, (Expr *[]){s->batch, length, e_int(r.g->a, heads), e_int(r.g->a, size)});
    return r_transpose(r, x, 4, (int64_t[]){0, 2, 1, 3});
}
/* The new keys or values behind the past ones; also output `out`. */
static Tensor *with_past(R r, Tensor *x, int past, int out) {
    if (r_in(r, past)) {
        x = r_op2(r, "Concat", r.n->in[past], x);
        r_set_i(x, "axis", 2);
    }
    if (r_out(r, out)) r_done(r, out, r_in(r, past) ? x : r_op1(r, "Identity", x));
    return x;
}
static Tensor *softcapped(R r, Tensor *s, DType dt, double cap) {
    if (cap <= 0) return s;
    return r_op2(r, "Mul", r_op1(r, "Tanh", r_op2(r, "Div", s, tensor_scalar(r.g, dt, cap))), tensor_scalar(r.g, dt, cap));
}
/* Softmax along the keys in the precision asked for; where no key is seen, the weights are 0. */
static Tensor *weights(R r, Tensor *s, DType dt, int64_t want, bool masked) {
    bool other = dtype_valid((int)want) && dtype_is_float((DType)want) && (DType)want != dt;
    Tensor *w = other ? r_cast(r, r_op1(r, "Softmax", r_cast(r, s, (DType)want)), dt) : r_op1(r, "Softmax", s);
    if (!masked) return w;
    return r_op3(r, "Where", r_op2(r, "Equal", s, tensor_scalar(r.g, dt, -INFINITY)), tensor_scalar(r.g, dt, 0), w);
}
bool rewrite_attention(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Shape s = {0};
    if (!attention_shape(c, g, n, &s)) return false;
    DType dt = n->in[IN_Q]->type.dt;
    int64_t mode = attr_i(n, QK_MODE), past;
    Expr *rows = extent_mul(g, e_int(g->a, s.heads / s.groups), s.queries), *total = extent_add(g, s.past, s.keys);
    Expr *head = e_int(g->a, s.head), *value_head = e_int(g->a, s.value_head);
    bool masked = attr_i(n, IS_CAUSAL) || r_in(r, IN_MASK) || r_in(r, IN_NONPAD);
    if (mode < 0 || mode > 3) return diag_error(c->d, n->loc, "qk_matmul_output_mode is %lld, expected 0 to 3", (long long)mode);
    Tensor *q = split_heads(r, &s, n->in[IN_Q], s.heads, s.queries, s.head);
    Tensor *k = with_past(r, split_heads(r, &s, n->in[IN_K], s.groups, s.keys, s.head), IN_PAST_K, 1);
    Tensor *v = with_past(r, split_heads(r, &s, n->in[IN_V], s.groups, s.keys, s.value_head), IN_PAST_V, 2);
    double scale = attr_has(n, SCALE) ? (double)attr_f(n, SCALE) : 1 / sqrt((double)s.head);
    q = r_op2(r, "Mul", q, tensor_scalar(g, dt, scale));
    if (s.groups != s.heads) q = reshaped4(r, q, s.batch, s.groups, rows, head);
    Tensor *x = r_op2(r, "MatMul", q, r_swap_last(r, k, 4)), *at[4];
    if (s.groups != s.heads) x = reshaped4(r, x, s.batch, s.heads, s.queries, total);
    at[0] = x;
    at[1] = x = softcapped(r, x, dt, (double)attr_f(n, SOFTCAP));
    if (masked) {
        Tensor *mask = r_in(r, IN_MASK);
        if (mask && mask->type.dt != DT_BOOL) mask = r_cast(r, mask, dt);
        bool known = e_is_int(s.past, &past);
        Tensor *run = known || !attr_i(n, IS_CAUSAL) ? NULL : extents_tensor(g, n, 1, &s.past);
        x = build(g, n, "AttentionMask", run ? 4 : 3, (Tensor *[]){x, mask, r_in(r, IN_NONPAD), run});
        r_set_i(x, "causal", attr_i(n, IS_CAUSAL) != 0);
        r_set_i(x, "past", known ? past : 0);
    }
    at[2] = x;
    at[3] = x = weights(r, x, dt, attr_i(n, PRECISION), masked);
    if (r_out(r, 3)) r_done(r, 3, at[mode]);
    if (s.groups != s.heads) x = reshaped4(r, x, s.batch, s.groups, rows, total);
    x = r_op2(r, "MatMul", x, v);
    if (s.groups != s.heads) x = reshaped4(r, x, s.batch, s.heads, s.queries, value_head);
    if (s.flat)
        x = r_reshaped(r, r_transpose(r, x, 4, (int64_t[]){0, 2, 1, 3}), 3,
                       (Expr *[]){s.batch, s.queries, e_int(g->a, s.heads * s.value_head)});
    r_done(r, 0, x);
    return true;
}

bool rewrite_flex_attention(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    Tensor *y = r_op3(r, "Attention", n->in[0], n->in[1], n->in[2]);
    r_copy_attrs(r, y);
    r_done(r, 0, y);
    return true;
}

/* Its three parts, where functions stand between them: every operand has 4 dims, [batch, head, position, size]. */
static bool flex_parts(Ctx *c, Graph *g, Node *n, int with) {
    const Type *x = &n->in[0]->type, *y = &n->in[1]->type;
    Infer i = {c, g, n};
    bool ok = x->rank == 4 && y->rank == 4 && type_known(x) && type_known(y) && y->dim[1] > 0 && x->dim[1] % y->dim[1] == 0 &&
              !(x->ext && x->ext[1]) && !(y->ext && y->ext[1]) && infer_same_extent(&i, type_extent(g, x, 0), type_extent(g, y, 0)) &&
              infer_same_extent(&i, type_extent(g, x, 3), type_extent(g, y, with));
    return ok || diag_error(c->d, n->loc, "the shapes of queries, keys or values do not fit together; 4 dims each are expected");
}
/* MatMul of x and y, which several heads of x share. */
static Tensor *shared_product(R r, Tensor *x, const Type *xt, Tensor *y, int64_t groups, Expr *cols) {
    bool shared = groups != xt->dim[1];
    Expr *e[4], *rows = extent_mul(r.g, e_int(r.g->a, xt->dim[1] / groups), type_extent(r.g, xt, 2));
    type_extents(r.g, xt, e);
    if (shared) x = reshaped4(r, x, e[0], groups, rows, e[3]);
    x = r_op2(r, "MatMul", x, y);
    return shared ? reshaped4(r, x, e[0], xt->dim[1], e[2], cols) : x;
}
bool rewrite_flex_scores(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *q = &n->in[0]->type, *k = &n->in[1]->type;
    if (!flex_parts(c, g, n, 3)) return false;
    double scale = attr_has(n, 0) ? (double)attr_f(n, 0) : 1 / sqrt((double)q->dim[3]);
    Tensor *x = r_op2(r, "Mul", n->in[0], tensor_scalar(g, q->dt, scale));
    r_done(r, 0, shared_product(r, x, q, r_swap_last(r, n->in[1], 4), k->dim[1], type_extent(g, k, 2)));
    return true;
}
bool rewrite_flex_weights(Ctx *c, Graph *g, Node *n) {
    (void)c;
    R r = {g, n};
    r_done(r, 0, weights(r, n->in[0], n->in[0]->type.dt, attr_i(n, 0), true));
    return true;
}
bool rewrite_flex_values(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *v = &n->in[1]->type;
    if (!flex_parts(c, g, n, 2)) return false;
    r_done(r, 0, shared_product(r, n->in[0], &n->in[0]->type, n->in[1], v->dim[1], type_extent(g, v, 3)));
    return true;
}

/* ---- RotaryEmbedding: pairs of a head turned by an angle that depends on the position */
enum { ROT_INTERLEAVED, ROT_HEADS, ROT_DIM };
static int64_t head_size(const Node *n) {
    const Type *t = &n->in[0]->type;
    return t->rank == 4 ? t->dim[3] : attr_i(n, ROT_HEADS) > 0 ? t->dim[2] / attr_i(n, ROT_HEADS) : 0;
}
static int64_t turned(const Node *n) { return attr_i(n, ROT_DIM) ? attr_i(n, ROT_DIM) : head_size(n); }
bool infer_rotary(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type, *p = n->nin > 3 && n->in[3] ? &n->in[3]->type : NULL;
    if (t->rank != 3 && t->rank != 4) return infer_error(x, "the input has %d dims, expected 3 or 4", t->rank);
    if (t->rank == 3 && (attr_i(n, ROT_HEADS) < 1 || t->dim[2] % attr_i(n, ROT_HEADS)))
        return infer_error(x, "num_heads is %lld, which does not divide %lld", (long long)attr_i(n, ROT_HEADS), (long long)t->dim[2]);
    if (!heads_known(t, t->rank == 3)) return infer_error(x, "the heads or their size are known at run time only; fix them with --dim");
    int64_t dim = turned(n);
    Expr *batch = type_extent(x->g, t, 0), *length = type_extent(x->g, t, t->rank == 4 ? 2 : 1);
    if (dim < 2 || dim % 2 || dim > head_size(n))
        return infer_error(x, "%lld elements of a head are to be turned, expected an even number up to %lld", (long long)dim,
                           (long long)head_size(n));
    if (p &&
        (p->rank != 2 || !infer_same_extent(x, type_extent(x->g, p, 0), batch) || !infer_same_extent(x, type_extent(x->g, p, 1), length)))
        return infer_error(x, "position_ids are expected to be one for each position of each sample");
    for (int i = 1; i < 3; i++) {
        const Type *k = &n->in[i]->type;
        bool ok = p ? k->rank == 2 && k->dim[0] > 0 && k->dim[1] == dim / 2
                    : k->rank == 3 && infer_same_extent(x, type_extent(x->g, k, 0), batch) &&
                          infer_same_extent(x, type_extent(x->g, k, 1), length) && k->dim[2] == dim / 2;
        if (!ok)
            return infer_error(x, "the table in input %d is expected to end in %lld columns and to have %s", i, (long long)(dim / 2),
                               p ? "2 dims" : "a row for each position of each sample");
    }
    return infer_same(x);
}
/* Cosine or sine number k at position s of sample b. `row` is used when positions are given. */
static Expr *table(Lower *L, Node *n, int input, Expr *b, Expr *s, Expr *row, Expr *k) {
    return row ? lower_load(L, n, input, (Expr *[]){row, k}) : lower_load(L, n, input, (Expr *[]){b, s, k});
}
static void head_index(Lower *L, const Node *n, Expr *b, Expr *h, Expr *s, Expr *d, Expr **idx) {
    bool flat = n->in[0]->type.rank == 3;
    idx[0] = b, idx[1] = flat ? s : h, idx[2] = flat ? e_add(L->a, e_mul(L->a, h, e_int(L->a, head_size(n))), d) : s, idx[3] = d;
}
bool lower_rotary(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    int64_t size = head_size(n), half = turned(n) / 2, heads = t->rank == 4 ? t->dim[1] : attr_i(n, ROT_HEADS);
    bool pairs = attr_i(n, ROT_INTERLEAVED) != 0;
    Expr *i1[4], *i2[4], *row = NULL;
    Expr *b = lower_loop_to(L, "b", lower_dim(L, t, 0));
    Expr *s = lower_loop_to(L, "s", lower_dim(L, t, t->rank == 4 ? 2 : 1));
    if (n->nin > 3 && n->in[3]) {
        Expr *last = e_sub(a, e_min(a, lower_dim(L, &n->in[1]->type, 0), lower_dim(L, &n->in[2]->type, 0)), e_int(a, 1));
        row = e_cast(a, DT_INT64, lower_load(L, n, 3, (Expr *[]){b, s}));
        row = lower_let(L, "row", e_max(a, e_int(a, 0), e_min(a, row, last)));
    }
    Expr *h = lower_loop(L, "h", heads);
    Expr *k = lower_loop(L, "k", half);
    head_index(L, n, b, h, s, pairs ? e_mul(a, k, e_int(a, 2)) : k, i1);
    head_index(L, n, b, h, s, pairs ? e_add(a, e_mul(a, k, e_int(a, 2)), e_int(a, 1)) : e_add(a, k, e_int(a, half)), i2);
    Expr *x1 = lower_let(L, "x1", lower_load(L, n, 0, i1)), *x2 = lower_let(L, "x2", lower_load(L, n, 0, i2));
    Expr *cosine = lower_let(L, "cosine", table(L, n, 1, b, s, row, k)), *sine = lower_let(L, "sine", table(L, n, 2, b, s, row, k));
    lower_store(L, n, 0, i1, e_sub(a, e_mul(a, cosine, x1), e_mul(a, sine, x2)));
    lower_store(L, n, 0, i2, e_add(a, e_mul(a, sine, x1), e_mul(a, cosine, x2)));
    lower_end(L);
    if (2 * half < size) { /* the rest of the head stays */
        Expr *d = lower_loop_range(L, "d", e_int(a, 2 * half), e_int(a, size));
        head_index(L, n, b, h, s, d, i1);
        lower_store(L, n, 0, i1, lower_load(L, n, 0, i1));
        lower_end(L);
    }
    lower_ends(L, 3);
    return true;
}

/* ---- TensorScatter: new rows written into a cache, from a position of each sample on */
enum { TS_AXIS, TS_MODE };
bool infer_tensor_scatter(Infer *x) {
    const Type *t = &x->n->in[0]->type, *u = &x->n->in[1]->type, *w = x->n->nin > 2 && x->n->in[2] ? &x->n->in[2]->type : NULL;
    const char *mode = attr_s(x->n, TS_MODE);
    int axis;
    if (strcmp(mode, "linear") && strcmp(mode, "circular")) return infer_error(x, "mode is '%s', expected linear or circular", mode);
    if (!infer_axis(x, attr_i(x->n, TS_AXIS), t->rank, &axis)) return false;
    if (axis == 0) return infer_error(x, "axis is 0, the axis of the samples");
    bool ok = u->rank == t->rank;
    for (int k = 0; ok && k < t->rank; k++) {
        Expr *p = type_extent(x->g, u, k), *q = type_extent(x->g, t, k);
        ok = k == axis ? infer_require(x, e_le(x->g->a, p, q)) : infer_same_extent(x, p, q);
    }
    if (!ok)
        return infer_error(x, "the update is expected to have the shape of the cache, with at most %lld elements in axis %d",
                           (long long)t->dim[axis], axis);
    if (w && (w->rank != 1 || !infer_same_extent(x, type_extent(x->g, w, 0), type_extent(x->g, t, 0))))
        return infer_error(x, "write_indices are expected to be %lld, one a sample", (long long)t->dim[0]);
    return infer_same(x);
}
bool lower_tensor_scatter(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type, *u = &n->in[1]->type;
    int axis = (int)(attr_i(n, TS_AXIS) < 0 ? attr_i(n, TS_AXIS) + t->rank : attr_i(n, TS_AXIS));
    bool circular = strcmp(attr_s(n, TS_MODE), "circular") == 0;
    Expr *idx[QN_MAX_RANK], *size = lower_dim(L, t, axis), *last = e_max(a, e_sub(a, size, e_int(a, 1)), e_int(a, 0)), *first = e_int(a, 0);
    Buf *y = lower_tensor(L, n->out[0]);
    lower_loops(L, NULL, t, idx);
    Expr *flat;
    lower_put(L, y, lower_buffer_index(L, n->out[0], idx, &flat), lower_load(L, n, 0, idx), RED_NONE);
    lower_ends(L, t->rank);
    for (int k = 0; k < u->rank; k++) {
        if (k == 1 && n->nin > 2 && n->in[2]) { /* data: brought into the cache, so that nothing leaves it or overflows */
            first = e_cast(a, DT_INT64, lower_load(L, n, 2, idx));
            first = circular ? e_mod(a, e_add(a, e_mod(a, first, size), size), size) : e_max(a, e_int(a, 0), e_min(a, first, last));
            first = lower_let(L, "first", first);
        }
        idx[k] = lower_loop_to(L, arena_printf(a, "i%d", k), lower_dim(L, u, k));
    }
    Expr *v = lower_load(L, n, 1, idx), *at = e_add(a, first, idx[axis]);
    idx[axis] = circular ? e_mod(a, at, size) : e_min(a, at, last);
    lower_put(L, y, lower_buffer_index(L, n->out[0], idx, &flat), v, RED_NONE);
    lower_ends(L, u->rank);
    return true;
}
