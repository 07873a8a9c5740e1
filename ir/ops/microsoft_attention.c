/* SPDX-License-Identifier: Apache-2.0 */
/* microsoft_attention.c: Attention, QAttention and MultiHeadAttention of ONNX Runtime (domain com.microsoft) as ai.onnx's Attention.
 * Masks of every form become one tensor which is added to the scores: 0 or mask_filter_value. (GroupQueryAttention and
 * RotaryEmbedding: microsoft_group_query.c.)
 *
 *   Attention(x, w, b, mask)   ->   q, k, v = Split(MatMul(x, w) + b);  Attention(q, k, v, Where(mask > 0, 0, -10000))
 */
#include "microsoft_attention.h"
#include <math.h>
#include <string.h>

bool ma_fails(Ctx *c, R r, const char *what) { return diag_error(c->d, r.n->loc, "%s", what); }
/* Operand i is absent, or has `rank` dims with known extents. */
bool ma_has_rank(Ctx *c, R r, int i, int rank, const char *what) {
    const Tensor *t = r_in(r, i);
    if (!t || (t->type.rank == rank && type_known(&t->type))) return true;
    return diag_error(c->d, r.n->loc, "%s has %d dims, expected %d with known extents", what, t->type.rank, rank);
}
/* An attribute or operand whose form is not supported: what it is and what to do instead. */
bool ma_refuse(Ctx *c, R r, bool bad, const char *what) { return !bad || ma_fails(c, r, what); }

static Tensor *elements(R r, Tensor *x, Expr *from, Expr *to) { /* of a vector */
    return r_op3(r, "Slice", x, extents_tensor(r.g, r.n, 1, &from), extents_tensor(r.g, r.n, 1, &to));
}
/* [batch, length, heads*size] as [batch, heads, length, size], and back. */
Tensor *ma_apart(R r, Tensor *x, Expr *batch, Expr *length, int64_t heads, int64_t size) {
    x = r_reshaped(r, x, 4, (Expr *[]){batch, length, e_int(r.g->a, heads), e_int(r.g->a, size)});
    return r_transpose(r, x, 4, (int64_t[]){0, 2, 1, 3});
}
Tensor *ma_together(R r, Tensor *x, Expr *batch, Expr *length, int64_t width) {
    return r_reshaped(r, r_transpose(r, x, 4, (int64_t[]){0, 2, 1, 3}), 3, (Expr *[]){batch, length, e_int(r.g->a, width)});
}

/* ---- masks */
/* Which keys a query sees, as bool [batch, 1, 1 or queries, keys]. NULL after an error. */
static Tensor *seen_by_lengths(Ctx *c, R r, Tensor *m, const Call *k) {
    Arena *a = r.g->a;
    Expr *d = type_extent(r.g, &m->type, 0), *two = extent_mul(r.g, e_int(a, 2), k->batch);
    Expr *three = extent_add(r.g, extent_mul(r.g, e_int(a, 3), k->batch), e_int(a, 2));
    bool ends = e_equal(d, k->batch), both = !ends && e_equal(d, extent_simplify(r.g, two));
    if (!ends && !both && !e_equal(d, extent_simplify(r.g, three))) {
        ma_fails(c, r, "a mask with 1 dim is expected to have one, two or (plus 2) three elements a sample, known when compiling");
        return NULL;
    }
    Tensor *at = r_range(r, k->total), *end = ends ? m : elements(r, m, e_int(a, 0), k->batch);
    int64_t axes[] = {1, 2, 3};
    Tensor *seen = r_op2(r, "Less", at, r_unsqueezed(r, r_cast(r, end, DT_INT64), axes, 3));
    if (!both) return seen;
    Tensor *start = r_cast(r, elements(r, m, k->batch, two), DT_INT64);
    return r_op2(r, "And", seen, r_op2(r, "GreaterOrEqual", at, r_unsqueezed(r, start, axes, 3)));
}
static Tensor *seen_by(Ctx *c, R r, Tensor *m, const Call *k) {
    Infer x = {c, r.g, r.n};
    const Type *t = &m->type;
    if (t->rank == 1 && type_known(t)) return seen_by_lengths(c, r, m, k);
    if ((t->rank != 2 && t->rank != 3) || !type_known(t)) {
        diag_error(c->d, r.n->loc,
                   "the mask has %d dims; lengths (1 dim), batch by keys (2) and batch by queries by keys (3) are supported", t->rank);
        return NULL;
    }
    if (!infer_same_extent(&x, type_extent(r.g, t, 0), k->batch) || !infer_same_extent(&x, type_extent(r.g, t, t->rank - 1), k->total) ||
        (t->rank == 3 && !infer_same_extent(&x, type_extent(r.g, t, 1), k->queries))) {
        ma_fails(
            c, r,
            "the mask is expected to have an element for each sample (and query, where it has 3 dims) and each key, past ones included");
        return NULL;
    }
    Tensor *seen = r_op2(r, "Greater", m, tensor_scalar(r.g, t->dt, 0));
    return r_unsqueezed(r, seen, (int64_t[]){1, 2}, t->rank == 2 ? 2 : 1);
}
bool ma_check_bias(Ctx *c, R r, const Tensor *bias, const Call *k) {
    Infer x = {c, r.g, r.n};
    const Type *t = &bias->type;
    bool ok = t->rank == 4 && type_known(t) && infer_broadcasts(&x, type_extent(r.g, t, 0), k->batch) &&
              infer_broadcasts(&x, type_extent(r.g, t, 1), e_int(r.g->a, k->heads)) &&
              infer_same_extent(&x, type_extent(r.g, t, 2), k->queries) && infer_same_extent(&x, type_extent(r.g, t, 3), k->total);
    return ok || ma_fails(c, r, "attention_bias is expected to be (batch or 1, heads or 1, queries, keys with the past ones)");
}
/* Mask and attention_bias, either may be NULL, as k->mask. */
static bool set_mask(Ctx *c, R r, Call *k, Tensor *mask, Tensor *bias, DType dt) {
    if (bias && !ma_check_bias(c, r, bias, k)) return false;
    k->mask = bias;
    if (!mask) return true;
    Tensor *seen = seen_by(c, r, mask, k);
    if (!seen) return false;
    double filter = fmax(r_float(r, "mask_filter_value"), dt == DT_FLOAT16 ? -65504.0 : -3.4028234663852886e38);
    Tensor *add = r_op3(r, "Where", seen, tensor_scalar(r.g, dt, 0), tensor_scalar(r.g, dt, filter));
    k->mask = bias ? r_op2(r, "Add", add, bias) : add;
    return true;
}

Node *ma_attend(R r, const Call *k, int nout) {
    Node *y = build_node(r.g, r.n, "Attention", 7, (Tensor *[]){k->q, k->k, k->v, k->mask, k->past_k, k->past_v, k->nonpad}, nout);
    double scale = r_float(r, "scale");
    r_set_i(y->out[0], "is_causal", k->causal);
    if (!k->whole) r_set_i(y->out[0], "q_num_heads", k->heads), r_set_i(y->out[0], "kv_num_heads", k->groups);
    if (scale != 0) r_set_f(y->out[0], "scale", (float)scale);
    return y;
}
static bool set_heads(Ctx *c, R r, Call *k) {
    k->heads = k->groups = r_int(r, "num_heads");
    return k->heads > 0 || diag_error(c->d, r.n->loc, "num_heads is %lld, expected 1 or more", (long long)k->heads);
}
static bool set_causal(Ctx *c, R r, Call *k) {
    Infer x = {c, r.g, r.n};
    k->causal = r_int(r, "unidirectional") != 0;
    return !k->causal || infer_same_extent(&x, k->queries, k->keys) ||
           ma_fails(c, r, "unidirectional with another number of keys than queries");
}

/* ---- Attention and QAttention: queries, keys and values by one product */
static bool projected_sizes(Ctx *c, R r, int64_t width, int64_t *size, int64_t heads) {
    int at = op_attr_index(r.n->op, "qkv_hidden_sizes");
    bool given = at >= 0 && attr_has(r.n, at) && r.n->attr[at].n > 0;
    if (given && r.n->attr[at].n != 3)
        return diag_error(c->d, r.n->loc, "qkv_hidden_sizes has %lld elements, expected 3", (long long)r.n->attr[at].n);
    int64_t left = width;
    bool ok = given || width % 3 == 0;
    for (int i = 0; i < 3 && ok; i++) {
        size[i] = given ? r.n->attr[at].is[i] : width / 3;
        ok = size[i] > 0 && size[i] <= left && size[i] % heads == 0;
        left -= size[i];
    }
    if (ok && left == 0 && size[0] == size[1]) return true;
    return diag_error(c->d, r.n->loc, "the weights have %lld columns, which are not those of queries, keys and values with %lld heads each",
                      (long long)width, (long long)heads);
}
/* y: [batch, queries, all sizes]. Operands `mask`, `past`, `bias` by number; -1: the operator has none. */
static bool attend_projected(Ctx *c, R r, Call *k, Tensor *y, int64_t width, DType dt, int mask, int past, int bias) {
    Infer x = {c, r.g, r.n};
    Graph *g = r.g;
    int64_t size[3];
    if (!projected_sizes(c, r, width, size, k->heads)) return false;
    k->size = size[0] / k->heads, k->value_size = size[2] / k->heads;
    Tensor **part = r_parts(r, y, 2, size, 3), *p = r_in(r, past);
    k->q = part[0], k->k = part[1], k->v = part[2], k->past = e_int(g->a, 0);
    if ((p || r_out(r, 1)) && size[2] != size[0]) return ma_fails(c, r, "past or present with values of another size than keys");
    if (p) {
        const Type *t = &p->type;
        bool ok = ma_has_rank(c, r, past, 5, "past") && t->dim[0] == 2 && ma_fixed(t, 0) &&
                  infer_same_extent(&x, type_extent(g, t, 1), k->batch) &&
                  infer_same_extent(&x, type_extent(g, t, 2), e_int(g->a, k->heads)) &&
                  infer_same_extent(&x, type_extent(g, t, 4), e_int(g->a, k->size));
        if (!ok) return ma_fails(c, r, "past is expected to be (2, batch, heads, past keys, size of a head)");
        k->past = type_extent(g, t, 3);
        k->past_k = r_op2(r, "Gather", p, tensor_scalar(g, DT_INT64, 0)), k->past_v = r_op2(r, "Gather", p, tensor_scalar(g, DT_INT64, 1));
    }
    k->total = extent_simplify(g, extent_add(g, k->past, k->keys));
    if (!set_causal(c, r, k) || !set_mask(c, r, k, r_in(r, mask), bias < 0 ? NULL : r_in(r, bias), dt)) return false;
    Node *a = ma_attend(r, k, 3);
    if (r_out(r, 1)) {
        int64_t first = 0;
        Tensor *both = r_op2(r, "Concat", r_unsqueezed(r, a->out[1], &first, 1), r_unsqueezed(r, a->out[2], &first, 1));
        r_set_i(both, "axis", 0);
        r_done(r, 1, both);
    }
    r_done(r, 0, a->out[0]);
    return true;
}
/* What both refuse, and the extents of input and weights. */
static bool projected_input(Ctx *c, R r, Call *k) {
    if (!ma_refuse(c, r, r_int(r, "do_rotary") != 0, "do_rotary is not supported here; use RotaryEmbedding or GroupQueryAttention") ||
        !ma_refuse(c, r, r_int(r, "past_present_share_buffer") != 0,
                   "past_present_share_buffer is not supported; past and present as tensors of their own are") ||
        !set_heads(c, r, k) || !ma_has_rank(c, r, 0, 3, "the input") || !ma_has_rank(c, r, 1, 2, "the weights"))
        return false;
    k->batch = type_extent(r.g, &r.n->in[0]->type, 0), k->queries = k->keys = type_extent(r.g, &r.n->in[0]->type, 1);
    return ma_fixed(&r.n->in[1]->type, 1) || ma_fails(c, r, "the columns of the weights are known at run time only; fix them with --dim");
}
static bool bias_fits(Ctx *c, R r, int i, int64_t width) {
    const Tensor *b = r_in(r, i);
    return !b || (b->type.rank == 1 && ma_fixed(&b->type, 0) && b->type.dim[0] == width) ||
           diag_error(c->d, r.n->loc, "the bias is expected to be a vector of %lld elements", (long long)width);
}
bool rewrite_ms_attention(Ctx *c, Graph *g, Node *n) {
    enum { IN, WEIGHTS, BIAS, MASK, PAST, ATTENTION_BIAS, PAST_LENGTH };
    R r = {g, n};
    Call k = {0};
    if (!projected_input(c, r, &k)) return false;
    int64_t width = n->in[WEIGHTS]->type.dim[1];
    if (!ma_refuse(c, r, r_in(r, PAST_LENGTH) != NULL,
                   "past_sequence_length is given; buffers shared by past and present are not supported") ||
        !bias_fits(c, r, BIAS, width))
        return false;
    Tensor *y = r_op2(r, "MatMul", n->in[IN], n->in[WEIGHTS]);
    if (r_in(r, BIAS)) y = r_op2(r, "Add", y, n->in[BIAS]);
    return attend_projected(c, r, &k, y, width, n->in[IN]->type.dt, MASK, PAST, ATTENTION_BIAS);
}
bool rewrite_qattention(Ctx *c, Graph *g, Node *n) {
    enum { IN, WEIGHTS, BIAS, IN_SCALE, WEIGHT_SCALE, MASK, IN_ZERO, WEIGHT_ZERO, PAST };
    R r = {g, n};
    Call k = {0};
    if (!projected_input(c, r, &k)) return false;
    int64_t width = n->in[WEIGHTS]->type.dim[1];
    DType dt = n->in[IN_SCALE]->type.dt;
    if (!bias_fits(c, r, BIAS, width)) return false;
    Tensor *y = build(g, n, "MatMulInteger", 4,
                      (Tensor *[]){n->in[IN], n->in[WEIGHTS], r_param(r, r_in(r, IN_ZERO), 0), r_param(r, r_in(r, WEIGHT_ZERO), 0)});
    y = r_op2(r, "Mul", r_cast(r, y, dt), r_op2(r, "Mul", r_param(r, n->in[IN_SCALE], 0), r_param(r, n->in[WEIGHT_SCALE], 0)));
    return attend_projected(c, r, &k, r_op2(r, "Add", y, n->in[BIAS]), width, dt, MASK, PAST, -1);
}

/* ---- MultiHeadAttention */
enum { QUERY, KEY, VALUE, BIAS, PADDING, ATTENTION_BIAS, PAST_KEY, PAST_VALUE, PAST_LENGTH, INDIRECTION };
/* Parts of [batch, length, heads, parts, size] as [batch, length, heads*size]. */
static void unpack(R r, Tensor *x, const Type *t, int64_t count, Tensor **to) {
    int64_t one[] = {1, 1, 1};
    Tensor **part = r_parts(r, x, 3, one, (int)count);
    Expr *e[] = {type_extent(r.g, t, 0), type_extent(r.g, t, 1), e_int(r.g->a, t->dim[2] * t->dim[4])};
    for (int64_t i = 0; i < count; i++) to[i] = r_reshaped(r, part[i], 3, e);
}
static bool packed(const Tensor *t, int64_t count, int64_t heads) {
    const Type *y = &t->type;
    return y->rank == 5 && ma_fixed(y, 2) && ma_fixed(y, 3) && ma_fixed(y, 4) && y->dim[2] == heads && y->dim[3] == count;
}
bool ma_set_size(Ctx *c, R r, const Type *t, int64_t heads, int64_t *size) {
    *size = t->dim[2] / heads;
    if (ma_fixed(t, 2) && *size > 0 && t->dim[2] % heads == 0) return true;
    return diag_error(c->d, r.n->loc, "%lld columns are not those of %lld heads", (long long)t->dim[2], (long long)heads);
}
/* Queries, keys and values in every form they may come in. */
static bool multi_head_operands(Ctx *c, R r, Call *k) {
    Graph *g = r.g;
    Infer x = {c, g, r.n};
    Tensor *q = r.n->in[QUERY], *key = r_in(r, KEY), *value = r_in(r, VALUE), *t[3];
    for (int i = QUERY; i <= VALUE; i++)
        if (r_in(r, i) && !type_known(&r.n->in[i]->type)) return ma_fails(c, r, "the extents of query, key or value are not known");
    k->batch = q->type.rank > 2 ? type_extent(g, &q->type, 0) : NULL;
    if (!key && !value && packed(q, 3, k->heads)) {
        k->queries = k->keys = type_extent(g, &q->type, 1), k->size = k->value_size = q->type.dim[4];
        unpack(r, q, &q->type, 3, t);
        k->q = t[0], k->k = t[1], k->v = t[2];
        return true;
    }
    if (q->type.rank != 3 || !key)
        return ma_fails(c, r, "query and key are expected with 3 dims, or a query packed as (batch, length, heads, 3, size) alone");
    if (!ma_set_size(c, r, &q->type, k->heads, &k->size)) return false;
    k->q = q, k->queries = type_extent(g, &q->type, 1);
    if (!infer_same_extent(&x, type_extent(g, &key->type, 0), k->batch))
        return ma_fails(c, r, "query and key have another number of samples");
    if (!value && packed(key, 2, k->heads) && key->type.dim[4] == k->size) {
        k->keys = type_extent(g, &key->type, 1), k->value_size = k->size;
        unpack(r, key, &key->type, 2, t);
        k->k = t[0], k->v = t[1];
        return true;
    }
    if (!value || value->type.rank != key->type.rank || (key->type.rank != 3 && key->type.rank != 4))
        return ma_fails(c, r, "key and value are expected with 3 or 4 dims each, or a key packed as (batch, length, heads, 2, size) alone");
    k->k = key, k->v = value, k->whole = key->type.rank == 4;
    k->keys = type_extent(g, &key->type, k->whole ? 2 : 1);
    if (!infer_same_extent(&x, type_extent(g, &value->type, 0), k->batch) ||
        !infer_same_extent(&x, type_extent(g, &value->type, k->whole ? 2 : 1), k->keys))
        return ma_fails(c, r, "key and value have another number of samples or positions");
    if (!k->whole) {
        int64_t key_size;
        return ma_set_size(c, r, &key->type, k->heads, &key_size) && ma_set_size(c, r, &value->type, k->heads, &k->value_size) &&
               (key_size == k->size || ma_fails(c, r, "query and key have heads of another size"));
    }
    const Type *a = &key->type, *b = &value->type;
    k->value_size = b->dim[3];
    return (ma_fixed(a, 1) && ma_fixed(b, 1) && ma_fixed(a, 3) && ma_fixed(b, 3) && a->dim[1] == k->heads && b->dim[1] == k->heads &&
            a->dim[3] == k->size) ||
           ma_fails(c, r, "key and value with 4 dims are expected to be (batch, heads, length, size)");
}
bool rewrite_multi_head_attention(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Infer x = {c, g, n};
    Call k = {0};
    if (!set_heads(c, r, &k) || !multi_head_operands(c, r, &k) ||
        !ma_refuse(c, r, r_in(r, PAST_LENGTH) || r_in(r, INDIRECTION),
                   "past_sequence_length or cache_indirection is given; buffers shared by past and present are not supported"))
        return false;
    int64_t size[] = {k.heads * k.size, k.heads * k.size, k.heads * k.value_size};
    if (!bias_fits(c, r, BIAS, size[0] + size[1] + size[2])) return false;
    if (r_in(r, BIAS)) { /* keys and values with 4 dims are those of an encoder: theirs is in them */
        Tensor **b = r_parts(r, n->in[BIAS], 0, size, 3);
        k.q = r_op2(r, "Add", k.q, b[0]);
        if (!k.whole) k.k = r_op2(r, "Add", k.k, b[1]), k.v = r_op2(r, "Add", k.v, b[2]);
    }
    k.past = e_int(g->a, 0), k.past_k = r_in(r, PAST_KEY), k.past_v = r_in(r, PAST_VALUE);
    if (k.past_k || k.past_v) {
        if (!ma_has_rank(c, r, PAST_KEY, 4, "past_key") || !ma_has_rank(c, r, PAST_VALUE, 4, "past_value")) return false;
        bool ok = k.past_k && k.past_v && !k.whole;
        for (int i = 0; i < 2 && ok; i++) {
            const Type *t = &n->in[PAST_KEY + i]->type;
            ok = infer_same_extent(&x, type_extent(g, t, 0), k.batch) &&
                 infer_same_extent(&x, type_extent(g, t, 1), e_int(g->a, k.heads)) &&
                 infer_same_extent(&x, type_extent(g, t, 2), type_extent(g, &k.past_k->type, 2)) &&
                 infer_same_extent(&x, type_extent(g, t, 3), e_int(g->a, i ? k.value_size : k.size));
        }
        if (!ok) return ma_fails(c, r, "past_key and past_value are expected both, (batch, heads, past keys, size), with a key of 3 dims");
        k.past = type_extent(g, &k.past_k->type, 2);
    }
    k.total = extent_simplify(g, extent_add(g, k.past, k.keys));
    if (!set_causal(c, r, &k) || !set_mask(c, r, &k, r_in(r, PADDING), r_in(r, ATTENTION_BIAS), n->in[QUERY]->type.dt)) return false;
    if (!ma_refuse(c, r, r_out(r, 3) && (k.mask || k.causal), "output 3, the scores, is supported without masks and attention_bias only"))
        return false;
    if (k.whole) k.q = ma_apart(r, k.q, k.batch, k.queries, k.heads, k.size);
    Node *y = ma_attend(r, &k, r_out(r, 3) ? 4 : 3);
    for (int i = 1; i < 4; i++)
        if (r_out(r, i)) r_done(r, i, y->out[i]);
    r_done(r, 0, k.whole ? ma_together(r, y->out[0], k.batch, k.queries, size[2]) : y->out[0]);
    return true;
}

/* ---- PackedAttention: samples one after the other, without padding; tokens of one sample see each other */
bool rewrite_packed_attention(Ctx *c, Graph *g, Node *n) {
    enum { IN, WEIGHTS, BIAS, OFFSET, ENDS, ATTENTION_BIAS };
    R r = {g, n};
    Call k = {.past = e_int(g->a, 0), .batch = e_int(g->a, 1)};
    int64_t size[3], zero = 0, one = 1, last = -1;
    if (!set_heads(c, r, &k) || !ma_has_rank(c, r, IN, 2, "the input") || !ma_has_rank(c, r, WEIGHTS, 2, "the weights") ||
        !ma_has_rank(c, r, ENDS, 1, "cumulative_sequence_length") ||
        !ma_refuse(c, r, r_in(r, ATTENTION_BIAS) != NULL, "attention_bias is not supported here; use Attention with padded samples"))
        return false;
    const Type *w = &n->in[WEIGHTS]->type;
    if (!ma_fixed(w, 1)) return ma_fails(c, r, "the columns of the weights are known at run time only; fix them with --dim");
    if (!projected_sizes(c, r, w->dim[1], size, k.heads) || !bias_fits(c, r, BIAS, w->dim[1])) return false;
    k.size = size[0] / k.heads, k.value_size = size[2] / k.heads;
    k.queries = k.keys = k.total = type_extent(g, &n->in[IN]->type, 0);
    Tensor *y = r_unsqueezed(r, r_op2(r, "Add", r_op2(r, "MatMul", n->in[IN], n->in[WEIGHTS]), n->in[BIAS]), &zero, 1);
    Tensor **part = r_parts(r, y, 2, size, 3);
    k.q = part[0], k.k = part[1], k.v = part[2];
    /* a token's sample: how many start at or before it */
    Tensor *at = r_unsqueezed(r, r_range(r, k.queries), &one, 1);
    Tensor *sample = r_cast(r, r_op2(r, "GreaterOrEqual", at, r_cast(r, n->in[ENDS], DT_INT64)), DT_INT32);
    sample = r_op2(r, "ReduceSum", sample, tensor_i64s(g, &last, 1));
    r_set_i(sample, "keepdims", 0);
    Tensor *seen = r_op2(r, "Equal", r_unsqueezed(r, sample, &one, 1), r_unsqueezed(r, sample, &zero, 1));
    k.mask = r_unsqueezed(r, seen, (int64_t[]){0, 1}, 2);
    Tensor *out = r_op2(r, "Squeeze", ma_attend(r, &k, 1)->out[0], tensor_i64s(g, &zero, 1));
    r_done(r, 0, out);
    return true;
}

/* ---- DecoderMaskedMultiHeadAttention: one query. With a shared buffer its key and value are written behind the past ones. */
enum {
    DM_QUERY,
    DM_KEY,
    DM_VALUE,
    DM_MASK,
    DM_ATTENTION_BIAS,
    DM_PAST_KEY,
    DM_PAST_VALUE,
    DM_PAST_LENGTH,
    DM_BEAMS,
    DM_INDIRECTION,
    DM_BIAS
};
static bool decode_shared(Ctx *c, R r) {
    Graph *g = r.g;
    Node *n = r.n;
    Call k = {.past = e_int(g->a, 0), .whole = true};
    int64_t one = 1;
    if (!ma_refuse(c, r, r_in(r, DM_MASK) || r_in(r, DM_ATTENTION_BIAS) || r_out(r, 3),
                   "past_present_share_buffer with a mask, attention_bias or output 3 is not supported; past and present apart are"))
        return false;
    for (int i = DM_QUERY; i <= DM_VALUE; i++)
        if (!r_in(r, i) || !ma_has_rank(c, r, i, 3, "query, key or value"))
            return ma_fails(c, r, "query, key and value are expected with 3 dims");
    for (int i = DM_PAST_KEY; i <= DM_PAST_VALUE; i++)
        if (!r_in(r, i) || !ma_has_rank(c, r, i, 4, "past_key or past_value"))
            return ma_fails(c, r, "past_present_share_buffer is set; past_key and past_value are expected");
    if (!r_in(r, DM_PAST_LENGTH)) return ma_fails(c, r, "past_present_share_buffer is set; past_sequence_length is expected");
    const Type *q = &n->in[DM_QUERY]->type;
    if (!set_heads(c, r, &k) || !ma_set_size(c, r, q, k.heads, &k.size) ||
        !ma_set_size(c, r, &n->in[DM_VALUE]->type, k.heads, &k.value_size))
        return false;
    int64_t size[] = {k.heads * k.size, k.heads * k.size, k.heads * k.value_size};
    Tensor *in[3] = {n->in[DM_QUERY], n->in[DM_KEY], n->in[DM_VALUE]};
    if (!bias_fits(c, r, DM_BIAS, size[0] + size[1] + size[2])) return false;
    if (r_in(r, DM_BIAS)) {
        Tensor **b = r_parts(r, n->in[DM_BIAS], 0, size, 3);
        for (int i = 0; i < 3; i++) in[i] = r_op2(r, "Add", in[i], b[i]);
    }
    k.batch = type_extent(g, q, 0), k.queries = type_extent(g, q, 1);
    Tensor *past = r_reshape(r, r_cast(r, n->in[DM_PAST_LENGTH], DT_INT64), 1, &one);
    past = r_op2(r, "Expand", past, extents_tensor(g, n, 1, &k.batch));
    Tensor *cache[2];
    for (int i = 0; i < 2; i++) {
        Tensor *x = ma_apart(r, in[1 + i], k.batch, k.queries, k.heads, i ? k.value_size : k.size);
        cache[i] = r_op3(r, "TensorScatter", n->in[DM_PAST_KEY + i], x, past);
        r_set_i(cache[i], "axis", 2);
        if (r_out(r, 1 + i)) r_done(r, 1 + i, r_op1(r, "Identity", cache[i]));
    }
    k.q = ma_apart(r, in[0], k.batch, k.queries, k.heads, k.size), k.k = cache[0], k.v = cache[1];
    k.nonpad = r_op2(r, "Add", past, extents_tensor(g, n, 1, &k.queries));
    r_done(r, 0, ma_together(r, ma_attend(r, &k, 1)->out[0], k.batch, k.queries, size[2]));
    return true;
}
bool rewrite_decoder_attention(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    int64_t beams = 1;
    const int64_t *width = r_in(r, DM_BEAMS) ? const_i64s(c->a, n->in[DM_BEAMS], &beams) : NULL;
    if (!ma_refuse(c, r, r_in(r, DM_INDIRECTION) != NULL && (!width || beams != 1 || *width != 1),
                   "cache_indirection, for several beams, is not supported; search in the program that calls the model") ||
        !ma_refuse(c, r, r_int(r, "output_qk") == 0 && r_out(r, 3) != NULL, "output 3 is asked for, but output_qk is 0"))
        return false;
    if (r_int(r, "past_present_share_buffer")) return decode_shared(c, r);
    Tensor *v[] = {n->in[DM_QUERY],      r_in(r, DM_KEY),       r_in(r, DM_VALUE),
                   r_in(r, DM_BIAS),     r_in(r, DM_MASK),      r_in(r, DM_ATTENTION_BIAS),
                   r_in(r, DM_PAST_KEY), r_in(r, DM_PAST_VALUE)};
    Node *y = node_new(g, op_find("com.microsoft", "MultiHeadAttention"), n, n->loc, 8, v, n->nout);
    for (int i = 0; i < n->nout; i++) node_set_out(y, i, tensor_new(g, NULL, DT_NONE, -1, NULL));
    r_copy_attrs(r, y->out[0]);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) r_done(r, i, y->out[i]);
    return true;
}
