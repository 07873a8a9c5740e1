/* SPDX-License-Identifier: Apache-2.0 */
/* microsoft_group_query.c: GroupQueryAttention and RotaryEmbedding of ONNX Runtime (domain com.microsoft). The cache is a buffer
 * into which each sample's new keys are written behind its own past ones; seqlens_k says how many those are. A prompt (as many
 * queries as keys in all) starts at 0.
 *
 *   GroupQueryAttention(q, k, v, pk, pv, seqlens, total)
 *     ->   start = seqlens + 1 - queries;  K = TensorScatter(pk, k, start);  V = …;  Attention(q, K, V) {is_causal=1}
 */
#include "microsoft_attention.h"
#include <math.h>
#include <string.h>

enum { QUERY, KEY, VALUE, PAST_KEY, PAST_VALUE, LENGTHS, TOTAL, COSINE, SINE, POSITIONS, BIAS, SINK, K_SCALE, V_SCALE, Q_NORM, K_NORM };
static const struct {
    const char *attr;
    int64_t supported;
    const char *what;
} limits[] = {{"causal", 1, "causal=0 is not supported; MultiHeadAttention sees all keys"},
              {"qk_output", 0, "qk_output is not supported; the scores cannot be an output"},
              {"sliding_window_cache", 0, "sliding_window_cache is not supported; a cache of full length with local_window_size is"}};

static bool group_query_supported(Ctx *c, R r) {
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (r_int(r, limits[i].attr) != limits[i].supported) return ma_fails(c, r, limits[i].what);
    for (int i = 0; i < 2; i++) {
        const char *kind = attr_s(r.n, op_attr_index(r.n->op, i ? "v_quant_type" : "k_quant_type"));
        const Tensor *p = r_in(r, PAST_KEY + i);
        if ((*kind && strcmp(kind, "NONE") != 0) || r_in(r, K_SCALE + i) || (p && p->type.dt != r.n->in[QUERY]->type.dt))
            return ma_fails(c, r, "a quantised cache is not supported; past keys and values are expected in the type of the query");
    }
    if (!r_in(r, LENGTHS) || !r_in(r, TOTAL)) return ma_fails(c, r, "seqlens_k or total_sequence_length is left out");
    if (!r_in(r, KEY) != !r_in(r, VALUE) || !r_in(r, PAST_KEY) != !r_in(r, PAST_VALUE) || !r_in(r, Q_NORM) != !r_in(r, K_NORM))
        return ma_fails(c, r, "keys and values (past ones, weights of norms) are expected both or neither");
    return ma_refuse(c, r, r_out(r, 3) != NULL, "output 3, the scores, is not supported");
}
/* Queries, keys and values, packed or not, as [batch, heads, length, size]. */
static bool group_query_operands(Ctx *c, R r, Call *k) {
    Graph *g = r.g;
    Infer x = {c, g, r.n};
    k->heads = r_int(r, "num_heads"), k->groups = r_int(r, "kv_num_heads");
    if (k->groups < 1 || k->heads < k->groups || k->heads > INT32_MAX || k->heads % k->groups)
        return diag_error(c->d, r.n->loc, "num_heads is %lld, expected a multiple of kv_num_heads, %lld", (long long)k->heads,
                          (long long)k->groups);
    for (int i = QUERY; i <= VALUE; i++)
        if (!ma_has_rank(c, r, i, 3, "query, key or value")) return false;
    const Type *q = &r.n->in[QUERY]->type;
    bool packed = !r_in(r, KEY);
    if (!ma_set_size(c, r, q, packed ? k->heads + 2 * k->groups : k->heads, &k->size)) return false;
    k->batch = type_extent(g, q, 0), k->queries = k->keys = type_extent(g, q, 1), k->value_size = k->size;
    k->q = r.n->in[QUERY], k->k = r_in(r, KEY), k->v = r_in(r, VALUE);
    if (packed) {
        int64_t size[] = {k->heads * k->size, k->groups * k->size, k->groups * k->size};
        Tensor **part = r_parts(r, k->q, 2, size, 3);
        k->q = part[0], k->k = part[1], k->v = part[2];
    }
    for (int i = KEY; i <= VALUE && !packed; i++) {
        const Type *t = &r.n->in[i]->type;
        if (!infer_same_extent(&x, type_extent(g, t, 0), k->batch) || !infer_same_extent(&x, type_extent(g, t, 1), k->queries) ||
            !ma_fixed(t, 2) || t->dim[2] != k->groups * k->size)
            return ma_fails(c, r, "key and value are expected with as many samples and positions as queries, and heads of their size");
    }
    k->q = ma_apart(r, k->q, k->batch, k->queries, k->heads, k->size);
    k->k = ma_apart(r, k->k, k->batch, k->keys, k->groups, k->size);
    k->v = ma_apart(r, k->v, k->batch, k->keys, k->groups, k->size);
    k->whole = true;
    return true;
}
static bool check_lengths(Ctx *c, R r, const Call *k) {
    Infer x = {c, r.g, r.n};
    for (int i = PAST_KEY; i <= PAST_VALUE && r_in(r, PAST_KEY); i++) {
        const Type *t = &r.n->in[i]->type;
        bool ok = ma_has_rank(c, r, i, 4, "past_key or past_value") && infer_same_extent(&x, type_extent(r.g, t, 0), k->batch) &&
                  infer_same_extent(&x, type_extent(r.g, t, 1), e_int(r.g->a, k->groups)) &&
                  infer_same_extent(&x, type_extent(r.g, t, 2), type_extent(r.g, &r.n->in[PAST_KEY]->type, 2)) &&
                  infer_same_extent(&x, type_extent(r.g, t, 3), e_int(r.g->a, k->size));
        if (!ok) return ma_fails(c, r, "past_key and past_value are expected to be (batch, kv_num_heads, past keys, size of a head)");
    }
    const Type *t = &r.n->in[LENGTHS]->type;
    return (t->rank == 1 && type_known(t) && infer_same_extent(&x, type_extent(r.g, t, 0), k->batch)) ||
           ma_fails(c, r, "seqlens_k is expected to have one element a sample");
}
/* The cache's extents: k->past as it comes, k->total as total_sequence_length says; *room: by how much it has to grow. */
static bool cache_extents(Ctx *c, R r, Call *k, Expr **room) {
    Graph *g = r.g;
    Arena *a = g->a;
    Infer x = {c, g, r.n};
    Expr **v;
    int64_t n, lo, most, past;
    k->past = r_in(r, PAST_KEY) ? type_extent(g, &r.n->in[PAST_KEY]->type, 2) : e_int(a, 0);
    if (!infer_values(&x, TOTAL, &v, &n)) return false;
    if (n != 1) return diag_error(c->d, r.n->loc, "total_sequence_length has %lld elements, expected 1", (long long)n);
    if (!extent_bounds(g, k->queries, &lo, &most) || !extent_bounds(g, k->past, &lo, &past) || past > EXTENT_LIMIT || most > EXTENT_LIMIT)
        return ma_fails(c, r, "the number of queries or past keys has no bound; give one with --dim");
    if (e_is_int(v[0], &lo) && (lo < 0 || lo > past + most))
        return diag_error(c->d, r.n->loc, "total_sequence_length is %lld, expected at most %lld past keys and %lld new ones", (long long)lo,
                          (long long)past, (long long)most);
    k->total = infer_bounded(&x, v[0], 0, past + most, "total_sequence_length", false);
    if (!infer_require(&x, e_le(a, k->queries, k->total)))
        return ma_fails(c, r, "total_sequence_length is less than the number of queries");
    *room = infer_named(&x, e_max(a, e_int(a, 0), e_sub(a, k->total, k->past)), "room");
    return true;
}
static Tensor *longer(R r, Tensor *x, int axis, Tensor *by) {
    x = r_op2(r, "Concat", x, by);
    r_set_i(x, "axis", axis);
    return x;
}
static Tensor *written(R r, const Call *k, Tensor *past, Expr *room, Tensor *x, Tensor *start) {
    int64_t none;
    if (!e_is_int(room, &none) || none > 0) {
        Expr *e[] = {k->batch, e_int(r.g->a, k->groups), room, e_int(r.g->a, k->size)};
        past = longer(r, past, 2, r_op2(r, "Expand", tensor_scalar(r.g, past->type.dt, 0), extents_tensor(r.g, r.n, 4, e)));
    }
    x = r_op3(r, "TensorScatter", past, x, start);
    r_set_i(x, "axis", 2);
    return x;
}
/* The first element of positions, for a prompt, counts on; otherwise all of them hold. Without positions: from start on. */
static Tensor *positions(R r, const Call *k, Tensor *start, Tensor *later) {
    Tensor *at = r_range(r, k->queries), *given = r_in(r, POSITIONS);
    int64_t one = 1, zero[] = {0, 0}, ones[] = {1, 1};
    Expr *e[] = {k->batch, k->queries};
    if (!given) return r_op2(r, "Add", r_unsqueezed(r, start, &one, 1), at);
    given = r_cast(r, given, DT_INT64);
    Tensor *first = r_op3(r, "Slice", given, tensor_i64s(r.g, zero, 2), tensor_i64s(r.g, ones, 2));
    Tensor *prompt = r_op2(r, "Expand", r_op2(r, "Add", first, at), extents_tensor(r.g, r.n, 2, e));
    return r_op3(r, "Where", r_cast(r, later, DT_BOOL), given, prompt);
}
static Tensor *turned(R r, Tensor *x, Tensor *at) {
    x = build(r.g, r.n, "RotaryEmbedding", 4, (Tensor *[]){x, r.n->in[COSINE], r.n->in[SINE], at});
    r_set_i(x, "interleaved", r_int(r, "rotary_interleaved"));
    r_set_i(x, "rotary_embedding_dim", 2 * r.n->in[COSINE]->type.dim[1]);
    return x;
}
static Tensor *normalised(R r, Tensor *x, int weight) {
    x = r_op2(r, "RMSNormalization", x, r.n->in[weight]);
    r_set_f(x, "epsilon", (float)r_float(r, "qk_norm_epsilon"));
    return x;
}
/* bool [batch, 1, queries, keys]: up to the query itself, the nearest `window` of them if that is not 0 */
static Tensor *keys_seen(R r, const Call *k, Expr *length, Tensor *start, bool causal, int64_t window) {
    int64_t three[] = {1, 2, 3}, one = 1;
    Tensor *at = r_op2(r, "Add", r_unsqueezed(r, start, three, 3), r_unsqueezed(r, r_range(r, k->queries), &one, 1)),
           *key = r_range(r, length);
    Tensor *near = window ? r_op2(r, "Greater", key, r_op2(r, "Sub", at, tensor_scalar(r.g, DT_INT64, (double)window))) : NULL;
    Tensor *before = causal ? r_op2(r, "LessOrEqual", key, at) : NULL;
    return !near ? before : before ? r_op2(r, "And", near, before) : near;
}
/* attention_bias with zeros for the rest of the buffer, which no query sees */
static Tensor *reaching(R r, const Call *k, Expr *length) {
    Expr *none = e_int(r.g->a, 0), *rest = extent_simplify(r.g, e_max(r.g->a, none, e_sub(r.g->a, length, k->total)));
    return r_op2(r, "Pad", k->mask, extents_tensor(r.g, r.n, 8, (Expr *[]){none, none, none, none, none, none, none, rest}));
}
/* One more key and value of zeros, behind all others: its score is what smooth_softmax (0) and head_sink add to the denominator. */
static void add_sink(R r, Call *k, Expr *length, Tensor *seen) {
    Arena *a = r.g->a;
    DType dt = r.n->in[QUERY]->type.dt;
    int64_t heads[] = {1, k->heads, 1, 1};
    Expr *row[] = {k->batch, e_int(a, k->groups), e_int(a, 1), e_int(a, k->size)},
         *all[] = {k->batch, e_int(a, k->heads), k->queries, length};
    Tensor *zero = tensor_scalar(r.g, dt, 0), *sink = r_in(r, SINK) ? r_reshape(r, r.n->in[SINK], 4, heads) : zero;
    Tensor *zeros = r_op2(r, "Expand", zero, extents_tensor(r.g, r.n, 4, row));
    k->k = longer(r, k->k, 2, zeros), k->v = longer(r, k->v, 2, zeros);
    Tensor *mask = r_op3(r, "Where", seen, k->mask ? k->mask : zero, tensor_scalar(r.g, dt, -INFINITY));
    mask = r_op2(r, "Expand", mask, extents_tensor(r.g, r.n, 4, all));
    all[3] = e_int(a, 1);
    k->mask = longer(r, mask, 3, r_op2(r, "Expand", sink, extents_tensor(r.g, r.n, 4, all)));
    k->causal = false, k->nonpad = NULL;
}
bool rewrite_group_query_attention(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Infer x = {c, g, n};
    Arena *a = g->a;
    Call k = {.causal = true};
    Expr *room = NULL, *new_past, *queries;
    int64_t window = r_int(r, "local_window_size"), fixed;
    window = window < 0 ? 0 : window > INT32_MAX ? INT32_MAX : window;
    if (!group_query_supported(c, r) || !group_query_operands(c, r, &k) || !check_lengths(c, r, &k) || !cache_extents(c, r, &k, &room))
        return false;
    if (r_in(r, Q_NORM)) k.q = normalised(r, k.q, Q_NORM), k.k = normalised(r, k.k, K_NORM);
    new_past = extent_simplify(g, e_sub(a, e_int(a, 1), k.queries)), queries = k.queries;
    Expr *is_later = extent_simplify(g, e_select(a, e_eq(a, k.total, k.queries), e_int(a, 0), e_int(a, 1)));
    Tensor *later = extents_tensor(g, n, 1, &is_later); /* 0: a prompt */
    Tensor *start = r_op2(r, "Add", r_cast(r, n->in[LENGTHS], DT_INT64), extents_tensor(g, n, 1, &new_past));
    start = r_op2(r, "Mul", r_op2(r, "Max", start, tensor_scalar(g, DT_INT64, 0)), later);
    if (r_int(r, "do_rotary")) {
        if (!r_in(r, COSINE) || !r_in(r, SINE) || !ma_has_rank(c, r, COSINE, 2, "cos_cache") || !ma_fixed(&n->in[COSINE]->type, 1) ||
            n->in[COSINE]->type.dim[1] > INT32_MAX)
            return ma_fails(c, r, "do_rotary is set; cos_cache and sin_cache are expected, with 2 dims and a constant number of columns");
        Tensor *at = positions(r, &k, start, later);
        k.q = turned(r, k.q, at), k.k = turned(r, k.k, at);
    }
    Expr *length = k.queries;
    if (r_in(r, PAST_KEY) && !(e_is_int(k.past, &fixed) && fixed == 0)) {
        length = infer_named(&x, extent_add(g, k.past, room), "present");
        k.k = written(r, &k, n->in[PAST_KEY], room, k.k, start);
        k.v = written(r, &k, n->in[PAST_VALUE], room, k.v, start);
        k.nonpad = r_op2(r, "Add", start, extents_tensor(g, n, 1, &queries)); /* causal: the last query is at its end */
    } else if (!infer_same_extent(&x, k.total, k.queries)) {
        return ma_fails(c, r, "total_sequence_length is not the number of queries, though there are no past keys");
    } else {
        k.total = k.queries;
    }
    if (r_in(r, SINK) && (n->in[SINK]->type.rank != 1 || !ma_fixed(&n->in[SINK]->type, 0) || n->in[SINK]->type.dim[0] != k.heads))
        return diag_error(c->d, n->loc, "head_sink is expected to be a vector of %lld elements", (long long)k.heads);
    if (r_in(r, BIAS)) {
        if (!ma_check_bias(c, r, n->in[BIAS], &k)) return false;
        k.mask = n->in[BIAS];
    }
    bool sink = r_in(r, SINK) || r_int(r, "smooth_softmax");
    if (r_out(r, 1)) r_done(r, 1, r_op1(r, "Identity", k.k));
    if (r_out(r, 2)) r_done(r, 2, r_op1(r, "Identity", k.v));
    if (sink) {
        if (k.mask && !e_equal(length, k.total)) k.mask = reaching(r, &k, length);
        add_sink(r, &k, length, keys_seen(r, &k, length, start, true, window));
    } else if (window) {
        Tensor *seen = keys_seen(r, &k, r_in(r, BIAS) ? k.total : length, start, false, window);
        k.mask = k.mask ? r_op3(r, "Where", seen, k.mask, tensor_scalar(g, n->in[QUERY]->type.dt, -INFINITY)) : seen;
    }
    Node *y = ma_attend(r, &k, 1);
    r_set_f(y->out[0], "softcap", (float)r_float(r, "softcap"));
    r_done(r, 0, ma_together(r, y->out[0], k.batch, k.queries, k.heads * k.size));
    return true;
}

/* x, position or positions, cosines, sines */
bool rewrite_ms_rotary(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type, *p = &n->in[1]->type, *table = &n->in[2]->type;
    int64_t count, turn = r_int(r, "rotary_embedding_dim"), heads = r_int(r, "num_heads");
    if (!ma_refuse(c, r, r_int(r, "is_packed_batching") != 0, "is_packed_batching is not supported; samples of equal length are") ||
        !ma_refuse(c, r, r_float(r, "scale") != 1, "a scale other than 1 is not supported; put it into the tables of cosines and sines"))
        return false;
    if ((t->rank != 3 && t->rank != 4) || !type_known(t) || table->rank != 2 || !type_known(table) || !ma_fixed(table, 1) ||
        table->dim[1] < 1 || !type_known(p))
        return ma_fails(c, r, "an input with 3 or 4 dims and tables with 2 and a constant number of columns are expected");
    if (t->rank == 3 && turn == 0) { /* the tables tell how large a head is */
        int64_t size = 2 * table->dim[1];
        if (!ma_fixed(t, 2) || t->dim[2] % size || (heads && heads != t->dim[2] / size))
            return diag_error(c->d, n->loc, "%lld columns are not those of heads with %lld elements, as the tables have",
                              (long long)t->dim[2], (long long)size);
        heads = t->dim[2] / size;
    }
    Tensor *at = n->in[1];
    if (p->rank < 2) { /* the first position */
        Expr *e[] = {type_extent(g, t, 0), type_extent(g, t, t->rank == 4 ? 2 : 1)};
        if (p->ext || !type_elements(p, &count) || count != 1)
            return ma_fails(c, r, "position_ids are expected to be one, or one for each position of each sample");
        at = r_op2(r, "Expand", r_op2(r, "Add", r_cast(r, at, DT_INT64), r_range(r, e[1])), extents_tensor(g, n, 2, e));
    }
    Tensor *y = build(g, n, "RotaryEmbedding", 4, (Tensor *[]){n->in[0], n->in[2], n->in[3], at});
    r_copy_attrs(r, y);
    if (t->rank == 3) r_set_i(y, "num_heads", heads);
    r_done(r, 0, y);
    return true;
}
