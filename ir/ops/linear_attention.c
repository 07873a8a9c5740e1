/* SPDX-License-Identifier: Apache-2.0 */
/* linear_attention.c: attention without a Softmax, as a recurrence over a matrix per head, and the causal convolution which goes
 * before it in such networks. The state is kept in float32; heads of queries may share one state.
 *
 *   for each head, t:  S *= exp(g[t]);  d = b[t]*(v[t] - S'k[t]);  S += k[t] d';  y[t] = scale * q[t]'S
 */
#include "rewrite.h"
#include "../extent.h"
#include <math.h>
#include <string.h>

enum { CHUNK, KV_HEADS, Q_HEADS, SCALE, RULE };
enum { IN_Q, IN_K, IN_V, IN_PAST, IN_DECAY, IN_BETA };
static const struct Rule {
    const char *name;
    bool decay, delta;
} rules[] = {{"linear", false, false}, {"gated", true, false}, {"delta", false, true}, {"gated_delta", true, true}};
static const struct Rule *rule_of(const Node *n) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].name, attr_s(n, RULE)) == 0) return &rules[i];
    return NULL;
}
static const Type *optional_type(const Node *n, int i) { return i < n->nin && n->in[i] ? &n->in[i]->type : NULL; }

static bool is_shape(Infer *x, const Type *t, int rank, Expr *const *dim) {
    bool ok = t->rank == rank;
    for (int i = 0; ok && i < rank; i++) ok = infer_same_extent(x, type_extent(x->g, t, i), dim[i]);
    return ok;
}
static bool width_known(const Type *t) { return !t->ext || !t->ext[2]; }
bool infer_linear_attention(Infer *x) {
    const Node *n = x->n;
    const Type *q = &n->in[IN_Q]->type, *k = &n->in[IN_K]->type, *v = &n->in[IN_V]->type;
    int64_t hq = attr_i(n, Q_HEADS), hk = attr_i(n, KV_HEADS);
    const struct Rule *rule = rule_of(n);
    if (!rule) return infer_error(x, "update_rule is '%s', expected linear, gated, delta or gated_delta", attr_s(n, RULE));
    if (q->rank != 3 || k->rank != 3 || v->rank != 3)
        return infer_error(x, "query, key and value have %d, %d and %d dims, expected 3 each", q->rank, k->rank, v->rank);
    if (hq < 1 || hk < 1 || hq % hk || q->dim[2] % hq || k->dim[2] % hk || v->dim[2] % hk)
        return infer_error(x,
                           "%lld heads of queries and %lld of keys do not divide the operands, or the former is no multiple of the latter",
                           (long long)hq, (long long)hk);
    Arena *a = x->g->a;
    Expr *batch = type_extent(x->g, q, 0), *length = type_extent(x->g, q, 1);
    int64_t dk = k->dim[2] / hk, dv = v->dim[2] / hk;
    if (!width_known(q) || !width_known(k) || !width_known(v))
        return infer_error(x, "the sizes of heads are known at run time only; fix them with --dim");
    if (q->dim[2] / hq != dk || !is_shape(x, k, 3, (Expr *[]){batch, length, e_int(a, k->dim[2])}) ||
        !is_shape(x, v, 3, (Expr *[]){batch, length, e_int(a, v->dim[2])}))
        return infer_error(x, "the shapes of query, key and value do not fit together");
    const Type *past = optional_type(n, IN_PAST), *g = optional_type(n, IN_DECAY), *b = optional_type(n, IN_BETA);
    Expr *heads = e_int(a, hk), *state[4] = {batch, heads, e_int(a, dk), e_int(a, dv)};
    if (past && !is_shape(x, past, 4, state))
        return infer_error(x, "past_state is expected to be %lld x %lld x %lld x %lld", (long long)q->dim[0], (long long)hk, (long long)dk,
                           (long long)dv);
    int64_t per = g && g->rank == 3 && width_known(g) && g->dim[2] == hk ? hk : hk * dk;
    if (rule->decay && (!g || !is_shape(x, g, 3, (Expr *[]){batch, length, e_int(a, per)})))
        return infer_error(x, "decay is expected, with one value a head or one an element of a key");
    int64_t betas = b && b->rank == 3 && width_known(b) && b->dim[2] == 1 ? 1 : hk;
    if (rule->delta && (!b || !is_shape(x, b, 3, (Expr *[]){batch, length, e_int(a, betas)})))
        return infer_error(x, "beta is expected, with one value a head or one for all");
    if (!infer_extents(x, 0, q->dt, 3, (Expr *[]){batch, length, e_int(a, hq * dv)})) return false;
    return n->nout < 2 || !n->out[1] || infer_extents(x, 1, past ? past->dt : q->dt, 4, state);
}

typedef struct State {
    Node *n;
    int64_t hk, dk, dv, group;
    Expr *b, *h, *t; /* sample, head of keys, position */
    Buf *s, *row;    /* [dk, dv], and [dv]: what is written at this position, then what is read */
} State;
/* Element i of head h, of `per` elements, at the current position. */
static Expr *packed(Lower *L, const State *p, int input, Expr *h, int64_t per, Expr *i) {
    Expr *at[3] = {p->b, p->t, e_add(L->a, e_mul(L->a, h, e_int(L->a, per)), i)};
    return e_cast(L->a, DT_FLOAT32, lower_load(L, p->n, input, at));
}
static void clear_row(Lower *L, const State *p) {
    Expr *j = lower_loop(L, "j", p->dv);
    lower_put(L, p->row, &j, e_lit(L->a, DT_FLOAT32, 0), RED_NONE);
    lower_end(L);
}
/* row[j] += f(i) * state[i][j], f being input `input` of head h */
static void read_state(Lower *L, const State *p, int input, Expr *h) {
    clear_row(L, p);
    Expr *i = lower_loop(L, "i", p->dk);
    Expr *x = lower_let(L, "x", packed(L, p, input, h, p->dk, i));
    Expr *j = lower_loop(L, "j", p->dv);
    lower_put(L, p->row, &j, e_mul(L->a, x, lower_get(L, p->s, (Expr *[]){i, j})), RED_ADD);
    lower_ends(L, 2);
}
static void update_state(Lower *L, const State *p, const struct Rule *rule) {
    Arena *a = L->a;
    if (rule->decay) {
        bool each = optional_type(p->n, IN_DECAY)->dim[2] != p->hk;
        Expr *i = lower_loop(L, "i", p->dk);
        Expr *g = each ? packed(L, p, IN_DECAY, p->h, p->dk, i) : packed(L, p, IN_DECAY, p->h, 1, e_int(a, 0));
        g = lower_let(L, "g", e_call1(a, CALL_EXP, g));
        Expr *j = lower_loop(L, "j", p->dv);
        lower_put(L, p->s, (Expr *[]){i, j}, g, RED_MUL);
        lower_ends(L, 2);
    }
    Expr *beta = NULL;
    if (rule->delta) {
        bool one = optional_type(p->n, IN_BETA)->dim[2] == 1;
        beta = lower_let(L, "beta", packed(L, p, IN_BETA, one ? e_int(a, 0) : p->h, 1, e_int(a, 0)));
        read_state(L, p, IN_K, p->h);
    }
    Expr *j = lower_loop(L, "j", p->dv);
    Expr *d = packed(L, p, IN_V, p->h, p->dv, j);
    if (beta) d = e_mul(a, beta, e_sub(a, d, lower_get(L, p->row, &j)));
    lower_put(L, p->row, &j, d, RED_NONE);
    lower_end(L);
    Expr *i = lower_loop(L, "i", p->dk);
    Expr *k = lower_let(L, "k", packed(L, p, IN_K, p->h, p->dk, i));
    j = lower_loop(L, "j", p->dv);
    lower_put(L, p->s, (Expr *[]){i, j}, e_mul(a, k, lower_get(L, p->row, &j)), RED_ADD);
    lower_ends(L, 2);
}
bool lower_linear_attention(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *q = &n->in[IN_Q]->type, *k = &n->in[IN_K]->type, *v = &n->in[IN_V]->type;
    State p = {.n = n, .hk = attr_i(n, KV_HEADS)};
    p.dk = k->dim[2] / p.hk, p.dv = v->dim[2] / p.hk, p.group = attr_i(n, Q_HEADS) / p.hk;
    double scale = attr_f(n, SCALE) != 0 ? (double)attr_f(n, SCALE) : 1 / sqrt((double)p.dk);
    p.s = lower_temp(L, "state", DT_FLOAT32, 2, (int64_t[]){p.dk, p.dv});
    p.row = lower_temp(L, "row", DT_FLOAT32, 1, &p.dv);
    p.b = lower_loop_to(L, "b", lower_dim(L, q, 0)), p.h = lower_loop(L, "h", p.hk);
    Expr *i = lower_loop(L, "i", p.dk), *j = lower_loop(L, "j", p.dv), *zero = e_lit(a, DT_FLOAT32, 0);
    lower_put(L, p.s, (Expr *[]){i, j},
              optional_type(n, IN_PAST) ? e_cast(a, DT_FLOAT32, lower_load(L, n, IN_PAST, (Expr *[]){p.b, p.h, i, j})) : zero, RED_NONE);
    lower_ends(L, 2);
    p.t = lower_loop_to(L, "t", lower_dim(L, q, 1));
    update_state(L, &p, rule_of(n));
    Expr *hq = e_add(a, e_mul(a, p.h, e_int(a, p.group)), lower_loop(L, "o", p.group));
    read_state(L, &p, IN_Q, hq);
    j = lower_loop(L, "j", p.dv);
    Expr *y = e_mul(a, e_lit(a, DT_FLOAT32, scale), lower_get(L, p.row, &j));
    lower_store(L, n, 0, (Expr *[]){p.b, p.t, e_add(a, e_mul(a, hq, e_int(a, p.dv)), j)}, y);
    lower_ends(L, 3);
    if (n->nout > 1 && n->out[1]) {
        i = lower_loop(L, "i", p.dk), j = lower_loop(L, "j", p.dv);
        lower_store(L, n, 1, (Expr *[]){p.b, p.h, i, j}, lower_get(L, p.s, (Expr *[]){i, j}));
        lower_ends(L, 2);
    }
    lower_ends(L, 2);
    return true;
}
int64_t macs_linear_attention(const Node *n) {
    const Type *k = &n->in[IN_K]->type, *o = &n->out[0]->type;
    int64_t m, reads, writes;
    if (!type_elements(o, &m) || !type_elements(&n->in[IN_V]->type, &writes)) return -1;
    int64_t dk = k->dim[2] / max_i64(attr_i(n, KV_HEADS), 1);
    return mul_ok(m, dk, &reads) && mul_ok(writes, dk, &m) && add_ok(reads, m, &m) ? m : -1;
}

/* ---- CausalConvWithState: what went before stands in front; the last elements are the next state */
bool rewrite_causal_conv(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Type *t = &n->in[0]->type, *w = &n->in[1]->type;
    const char *act = attr_s(n, 0);
    bool silu = strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0;
    if (t->rank != 3 || w->rank != 3 || w->dim[1] != 1 || w->dim[0] != t->dim[1] || w->dim[2] < 1)
        return diag_error(c->d, n->loc, "input and weight are expected to be [batch, channels, length] and [channels, 1, kernel]");
    if (!silu && strcmp(act, "none") != 0) return diag_error(c->d, n->loc, "activation is '%s', expected none, silu or swish", act);
    int64_t keep = w->dim[2] - 1, pads[2] = {0, 0}, axis = 2, start = keep ? -keep : INT64_MAX, end = INT64_MAX;
    if (t->ext && t->ext[1]) return diag_error(c->d, n->loc, "the channels are known at run time only; fix them with --dim");
    Tensor *x = n->in[0], *wide = NULL;
    Expr *none[] = {type_extent(g, t, 0), e_int(g->a, t->dim[1]), e_int(g->a, keep)};
    if (r_in(r, 3)) wide = r_op2(r, "Concat", n->in[3], x);
    else if (r_out(r, 1)) wide = r_op2(r, "Concat", r_op2(r, "Expand", tensor_scalar(g, t->dt, 0), extents_tensor(g, n, 3, none)), x);
    if (wide) r_set_i(wide, "axis", axis);
    if (!r_in(r, 3)) pads[0] = keep;
    Tensor *in = r_in(r, 3) ? wide : x;
    Tensor *y = r_in(r, 2) ? r_op3(r, "Conv", in, n->in[1], n->in[2]) : r_op2(r, "Conv", in, n->in[1]);
    r_set_i(y, "group", t->dim[1]);
    node_set_is(g, y->def, op_attr_index(y->def->op, "pads"), pads, 2);
    if (r_out(r, 1)) {
        Tensor *range[] = {wide, tensor_i64s(g, &start, 1), tensor_i64s(g, &end, 1), tensor_i64s(g, &axis, 1)};
        r_done(r, 1, build(g, n, "Slice", 4, range));
    }
    r_done(r, 0, silu ? r_op1(r, "Swish", y) : y);
    return true;
}
