/* SPDX-License-Identifier: Apache-2.0 */
/* recurrent.c: RNN, GRU, LSTM: all directions, initial states, peepholes, sequence lengths, layouts, activations, clipping.
 * The three share one nest: per direction and step the gates' sums, then the cell's formula per hidden unit.
 *
 *   for d, t:  for b, g, h: z[b,g,h] = Wb + Rb + sum x*W + sum hs*R;   for b, h: new state from z;   Y[t,d,b,h] = hs[b,h]
 *
 * RecurrentPanel is the same behind one product for all steps' inputs: X is that product with the biases, W and R are panels of the
 * recurrent weights (R: of GRU's last gate, where it is applied to r .* h), B is the bias that r scales.
 */
#include "panel.h"
#include "../extent.h"
#include <string.h>

enum {
    A_ACT,
    A_ALPHA,
    A_BETA,
    A_CLIP,
    A_DIR,
    A_HIDDEN,
    A_LAYOUT,
    A_EXTRA, /* linear_before_reset or input_forget */
    A_KIND,
    A_ROWS,
    A_LANES,
    A_CHAINS
}; /* of RecurrentPanel */
enum { I_X, I_W, I_R, I_B, I_LENS, I_H0, I_C0, I_P };

typedef struct Kind {
    const char *name;
    int gates, nact;
    const char *act[3];
} Kind;
static const Kind kinds[] = {{"RNN", 1, 1, {"Tanh"}}, {"GRU", 3, 2, {"Sigmoid", "Tanh"}}, {"LSTM", 4, 3, {"Sigmoid", "Tanh", "Tanh"}}};
static bool is_panel(const Node *n) { return n->op->domain[0] != 0; }
static const Kind *kind_of(const Node *n) {
    char c = is_panel(n) ? attr_s(n, A_KIND)[0] : n->op->name[0];
    return &kinds[c == 'R' ? 0 : c == 'G' ? 1 : 2];
}
static int ndir(const Node *n) { return strcmp(attr_s(n, A_DIR), "bidirectional") == 0 ? 2 : 1; }
static Tensor *in(const Node *n, int i) { return i < n->nin ? n->in[i] : NULL; }

static const struct Act {
    const char *name, *formula; /* of x, alpha, beta */
    float alpha, beta;
} acts[] = {{"Sigmoid", "1/(1 + exp(-x))", 0, 0},
            {"Tanh", "tanh(x)", 0, 0},
            {"Relu", "max(x, 0)", 0, 0},
            {"Affine", "alpha*x + beta", 1, 0},
            {"LeakyRelu", "x >= 0 ? x : alpha*x", 0.01f, 0},
            {"ThresholdedRelu", "x > alpha ? x : 0", 1, 0},
            {"ScaledTanh", "alpha*tanh(beta*x)", 1, 1},
            {"HardSigmoid", "clamp(alpha*x + beta, 0, 1)", 0.2f, 0.5f},
            {"Elu", "x > 0 ? x : alpha*(exp(x) - 1)", 1, 0},
            {"Softsign", "x/(1 + abs(x))", 0, 0},
            {"Softplus", "max(x, 0) + log1p(exp(-abs(x)))", 0, 0}};
static int act_find(const char *name) {
    for (int i = 0; i < (int)(sizeof acts / sizeof *acts); i++) {
        const char *p = name, *q = acts[i].name;
        while (*p && *q && (*p | 32) == (*q | 32)) p++, q++; /* names are compared without case */
        if (!*p && !*q) return i;
    }
    return -1;
}
static const char *act_name(const Node *n, int dir, int k) {
    const Attr *a = &n->attr[A_ACT];
    int i = dir * kind_of(n)->nact + k;
    return a->kind == ATTR_STRINGS && i < a->n ? a->ss[i] : kind_of(n)->act[k];
}

typedef struct Size {
    Expr *seq, *batch;
    int64_t hidden, dirs;
} Size;
/* What all kinds share: the small operands and the results. */
static bool infer_common(Infer *x, Size z, int64_t bias) {
    Node *n = x->n;
    const Kind *kd = kind_of(n);
    bool layout = attr_i(n, A_LAYOUT) != 0;
    Arena *a = x->g->a;
    Expr *dirs = e_int(a, z.dirs), *hidden = e_int(a, z.hidden), *first = layout ? z.batch : dirs, *second = layout ? dirs : z.batch;
    const struct {
        int input, rank;
        Expr *dim[3];
        const char *name;
    } rows[] = {{I_B, 2, {dirs, e_int(a, bias)}, "B"},
                {I_LENS, 1, {z.batch}, "sequence_lens"},
                {I_H0, 3, {first, second, hidden}, "initial_h"},
                {I_C0, 3, {first, second, hidden}, "initial_c"},
                {I_P, 2, {dirs, e_int(a, 3 * z.hidden)}, "P"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const Tensor *v = in(n, rows[i].input);
        bool ok = !v || v->type.rank == rows[i].rank;
        for (int k = 0; v && ok && k < rows[i].rank; k++) ok = infer_same_extent(x, type_extent(x->g, &v->type, k), rows[i].dim[k]);
        if (!ok) return infer_error(x, "%s has another shape than the other operands ask for", rows[i].name);
    }
    for (int d = 0; d < z.dirs; d++)
        for (int k = 0; k < kd->nact; k++)
            if (act_find(act_name(n, d, k)) < 0) return infer_error(x, "activation '%s' is unknown", act_name(n, d, k));
    Expr *y[4] = {z.seq, dirs, z.batch, hidden}, *y1[4] = {z.batch, z.seq, dirs, hidden}, *s[3] = {first, second, hidden};
    DType t = n->in[I_X]->type.dt;
    if (n->nout > 0 && n->out[0] && !infer_extents(x, 0, t, 4, layout ? y1 : y)) return false;
    for (int o = 1; o < n->nout; o++)
        if (n->out[o] && !infer_extents(x, o, t, 3, s)) return false;
    return true;
}
bool infer_recurrent(Infer *x) {
    Node *n = x->n;
    const Kind *kd = kind_of(n);
    const Type *t = &n->in[I_X]->type, *w = &n->in[I_W]->type, *r = &n->in[I_R]->type;
    int64_t dirs = ndir(n), layout = attr_i(n, A_LAYOUT);
    if (t->rank != 3 || w->rank != 3 || r->rank != 3)
        return infer_error(x, "X, W and R have %d, %d and %d dims, expected 3 each", t->rank, w->rank, r->rank);
    Size z = {type_extent(x->g, t, layout ? 1 : 0), type_extent(x->g, t, layout ? 0 : 1), r->dim[2], dirs};
    if ((t->ext && t->ext[2]) || w->ext || r->ext) return infer_error(x, "the input size, W and R are expected to have constant extents");
    if (layout != 0 && layout != 1) return infer_error(x, "layout is %lld, expected 0 or 1", (long long)layout);
    if (attr_has(n, A_HIDDEN) && attr_i(n, A_HIDDEN) != z.hidden)
        return infer_error(x, "hidden_size is %lld, but R has %lld columns", (long long)attr_i(n, A_HIDDEN), (long long)z.hidden);
    if (strcmp(attr_s(n, A_DIR), "forward") && strcmp(attr_s(n, A_DIR), "reverse") && dirs != 2)
        return infer_error(x, "direction is '%s', expected forward, reverse or bidirectional", attr_s(n, A_DIR));
    if (w->dim[0] != dirs || r->dim[0] != dirs || w->dim[1] != kd->gates * z.hidden || r->dim[1] != kd->gates * z.hidden ||
        w->dim[2] != t->dim[2])
        return infer_error(x, "the shapes of W and R do not fit %lld direction(s), hidden size %lld and input size %lld", (long long)dirs,
                           (long long)z.hidden, (long long)t->dim[2]);
    return infer_common(x, z, 2 * kd->gates * z.hidden);
}
/* GRU's last gate has panels of its own when it is applied to r .* h. */
static bool apart(const Node *n) { return kind_of(n)->gates == 3 && attr_i(n, A_EXTRA) == 0; }
static bool panels_fit(const Node *n, int input, int64_t dirs, int64_t hidden, int64_t cols) {
    const Tensor *w = in(n, input);
    int64_t all;
    if (!w || w->type.rank != 3 || w->type.dim[1] != hidden || w->type.dim[0] % dirs || w->type.dim[2] % attr_i(n, A_LANES)) return false;
    return mul_ok(w->type.dim[0] / dirs, w->type.dim[2], &all) && all >= cols && all - cols < w->type.dim[2];
}
bool infer_recurrent_panel(Infer *x) {
    Node *n = x->n;
    const Type *t = &n->in[I_X]->type;
    const Kind *kd = kind_of(n);
    int64_t layout = attr_i(n, A_LAYOUT), hidden = attr_i(n, A_HIDDEN), dirs = ndir(n), own = apart(n) ? 2 : kd->gates, cols;
    bool ok = t->rank == 3 && hidden > 0 && hidden < INT32_MAX && attr_i(n, A_ROWS) > 0 && attr_i(n, A_LANES) > 0 &&
              attr_i(n, A_CHAINS) > 0 && attr_i(n, A_CHAINS) <= CHAINS_MAX && strcmp(attr_s(n, A_KIND), kd->name) == 0 &&
              mul_ok(dirs * kd->gates, hidden, &cols) && t->dim[2] == cols && panels_fit(n, I_W, dirs, hidden, own * hidden) &&
              (!apart(n) || panels_fit(n, I_R, dirs, hidden, hidden));
    if (!ok) return infer_error(x, "the attributes do not describe the operands");
    return infer_common(x, (Size){type_extent(x->g, t, layout ? 1 : 0), type_extent(x->g, t, layout ? 0 : 1), hidden, dirs}, hidden);
}
int64_t macs_recurrent_panel(const Node *n) {
    int64_t m;
    return type_elements(&n->in[I_X]->type, &m) && mul_ok(m, attr_i(n, A_HIDDEN), &m) ? m : -1;
}

typedef struct Cell {
    Node *n;
    const Kind *kd;
    DType t;
    int64_t batch, hidden, input; /* batch: its bound */
    Expr *steps, *samples;        /* extents of this run */
    bool layout;
    int dir;               /* which direction is being built */
    Expr *d, *step;        /* its number; the time step */
    Expr *b, *h;           /* batch, hidden unit */
    Buf *z, *zr, *hs, *cs; /* gate sums; GRU: the recurrent part of the last gate; states */
    Buf *hq;               /* what is multiplied by R: hs, or hs as uint8 values and back */
    Buf *rz;               /* RecurrentPanel, the last gate of GRU: R (r .* h) */
    Expr *alive;           /* step < sequence_lens[b], NULL: always */
    int part;              /* RecurrentPanel: number of the next product */
} Cell;
static struct Act act_of(const Node *n, int dir, int k) {
    struct Act a = acts[act_find(act_name(n, dir, k))];
    int i = dir * kind_of(n)->nact + k;
    if (n->attr[A_ALPHA].n > i) a.alpha = n->attr[A_ALPHA].fs[i];
    if (n->attr[A_BETA].n > i) a.beta = n->attr[A_BETA].fs[i];
    return a;
}
/* Two directions that compute the same are the iterations of one loop. */
static bool directions_alike(const Node *n) {
    if (ndir(n) != 2) return false;
    for (int k = 0; k < kind_of(n)->nact; k++) {
        struct Act a = act_of(n, 0, k), b = act_of(n, 1, k);
        if (a.name != b.name || a.alpha != b.alpha || a.beta != b.beta) return false;
    }
    return true;
}
static Expr *act(Lower *L, const Cell *c, int k, Expr *x) {
    static const char *const names[] = {"x", "alpha", "beta"};
    const struct Act a = act_of(c->n, c->dir, k);
    if (attr_has(c->n, A_CLIP) && attr_f(c->n, A_CLIP) > 0) {
        float clip = attr_f(c->n, A_CLIP);
        x = e_min(L->a, e_max(L->a, x, e_lit(L->a, c->t, -clip)), e_lit(L->a, c->t, clip));
    }
    Expr *v[] = {lower_let(L, "a", x), e_lit(L->a, c->t, a.alpha), e_lit(L->a, c->t, a.beta)};
    return lower_formula(L, a.formula, 3, names, v);
}
static Expr *gate_row(Lower *L, const Cell *c, int g, Expr *h) { return e_add(L->a, e_int(L->a, g * c->hidden), h); }
static Expr *x_at(Lower *L, const Cell *c, int g) { /* RecurrentPanel: the input's part of a gate */
    Expr *col = e_add(L->a, e_mul(L->a, c->d, e_int(L->a, c->kd->gates * c->hidden)), gate_row(L, c, g, c->h));
    return lower_load(L, c->n, I_X, c->layout ? (Expr *[]){c->b, c->step, col} : (Expr *[]){c->step, c->b, col});
}
static Expr *r_at(Lower *L, const Cell *c, Buf *r, int g) { return lower_get(L, r, (Expr *[]){c->b, gate_row(L, c, g, c->h)}); }
static Expr *z_at(Lower *L, const Cell *c, int g) {
    if (is_panel(c->n)) return e_add(L->a, x_at(L, c, g), r_at(L, c, c->z, g));
    return lower_get(L, c->z, (Expr *[]){c->b, e_int(L->a, g), c->h});
}
static Expr *bias(Lower *L, const Cell *c, Expr *row, bool recurrent) {
    if (!in(c->n, I_B)) return e_lit(L->a, c->t, 0);
    return lower_load(L, c->n, I_B, (Expr *[]){c->d, recurrent ? e_add(L->a, row, e_int(L->a, c->kd->gates * c->hidden)) : row});
}
static Expr *state_index(Lower *L, const Cell *c, int input) {
    return lower_load(L, c->n, input, c->layout ? (Expr *[]){c->b, c->d, c->h} : (Expr *[]){c->d, c->b, c->h});
}
/* acc += sum over k of load(k)*weight(k) for one gate row, as a dot product */
static Expr *dot_x(Lower *L, const Cell *c, Expr *row, Expr *start) {
    Buf *acc = lower_temp(L, "acc", c->t, 0, NULL);
    lower_put(L, acc, NULL, start, RED_NONE);
    Expr *k = lower_loop(L, "k", c->input);
    Expr *x = lower_load(L, c->n, I_X, c->layout ? (Expr *[]){c->b, c->step, k} : (Expr *[]){c->step, c->b, k});
    lower_put(L, acc, NULL, e_mul(L->a, x, lower_load(L, c->n, I_W, (Expr *[]){c->d, row, k})), RED_ADD);
    lower_end(L);
    return lower_get(L, acc, NULL);
}
static Expr *dot_h(Lower *L, const Cell *c, Buf *state, Expr *row, Expr *start) {
    Buf *acc = lower_temp(L, "acc", c->t, 0, NULL);
    lower_put(L, acc, NULL, start, RED_NONE);
    Expr *k = lower_loop(L, "k", c->hidden);
    lower_put(L, acc, NULL, e_mul(L->a, lower_get(L, state, (Expr *[]){c->b, k}), lower_load(L, c->n, I_R, (Expr *[]){c->d, row, k})),
              RED_ADD);
    lower_end(L);
    return lower_get(L, acc, NULL);
}
/* LSTM's quantized, for DynamicQuantizeLSTM: h is quantised by its own range before each product. */
static bool quantised(const Node *n) {
    int k = op_attr_index(n->op, "quantized");
    return k >= 0 && attr_i(n, k);
}
/* hq: hs rounded as DynamicQuantizeLinear rounds all samples' states together */
static void put_quantised(Lower *L, Cell *c) {
    static const char *const names[] = {"lo", "hi", "x", "scale", "zero"};
    Buf *range[2];
    Expr *v[5], *idx[2];
    for (int i = 0; i < 2; i++)
        range[i] = lower_temp(L, i ? "most" : "least", c->t, 0, NULL), lower_put(L, range[i], NULL, e_lit(L->a, c->t, 0), RED_NONE);
    idx[0] = lower_loop_to(L, "b", c->samples), idx[1] = lower_loop(L, "h", c->hidden);
    v[2] = lower_get(L, c->hs, idx);
    for (int i = 0; i < 2; i++) lower_put(L, range[i], NULL, v[2], i ? RED_MAX : RED_MIN);
    lower_ends(L, 2);
    for (int i = 0; i < 2; i++) v[i] = lower_let(L, i ? "hi" : "lo", lower_get(L, range[i], NULL));
    v[3] = lower_let(L, "scale", lower_formula(L, "hi > lo ? (hi - lo)/255 : 1", 2, names, v));
    v[4] = lower_let(L, "zero", lower_formula(L, "rint(clamp(0 - lo/scale, 0, 255))", 4, names, v));
    idx[0] = lower_loop_to(L, "b", c->samples), idx[1] = lower_loop(L, "h", c->hidden);
    v[2] = lower_get(L, c->hs, idx);
    lower_put(L, c->hq, idx, lower_formula(L, "(clamp(rint(x/scale) + zero, 0, 255) - zero)*scale", 5, names, v), RED_NONE);
    lower_ends(L, 2);
}
static void put_z(Lower *L, Cell *c, bool lbr) {
    c->b = lower_loop_to(L, "b", c->samples);
    for (int g = 0; g < c->kd->gates; g++) {
        c->h = lower_loop(L, "h", c->hidden);
        Expr *row = gate_row(L, c, g, c->h);
        bool apart = c->kd->gates == 3 && g == 2; /* GRU's last gate: its recurrent part is scaled by r */
        Expr *start = apart && lbr ? bias(L, c, row, false) : e_add(L->a, bias(L, c, row, false), bias(L, c, row, true));
        Expr *v = dot_x(L, c, row, start);
        if (!apart) v = dot_h(L, c, c->hq, row, v);
        lower_put(L, c->z, (Expr *[]){c->b, e_int(L->a, g), c->h}, v, RED_NONE);
        if (apart && lbr) lower_put(L, c->zr, (Expr *[]){c->b, c->h}, dot_h(L, c, c->hs, row, bias(L, c, row, true)), RED_NONE);
        lower_end(L);
    }
    lower_end(L);
}
/* ---- RecurrentPanel: to[b, column] = sum over k of state[b, k] * the panels of an operand */
typedef struct Product {
    Lower *L;
    Cell *c;
    int input;
    Buf *state;
    Expr *row, *panel;
} Product;
static Expr *product_x(void *user, Expr *row, Expr *k) {
    const Product *p = user;
    return lower_get(p->L, p->state, (Expr *[]){e_add(p->L->a, p->row, row), k});
}
static Expr *product_w(void *user, Expr *k, Expr *column) {
    const Product *p = user;
    return lower_load(p->L, p->c->n, p->input, (Expr *[]){p->panel, k, column});
}
static void put_block(Product *p, Buf *to, Expr *panel, Expr *row, int64_t rows) {
    Lower *L = p->L;
    Cell *c = p->c;
    int64_t width = c->n->in[p->input]->type.dim[2];
    p->row = row;
    PanelPart one = {L, c->part++, rows, width, c->hidden, 1, c->t, p, product_x, product_w, NULL, NULL, NULL};
    one.splits = panel_splits(attr_i(c->n, A_CHAINS), rows * width / attr_i(c->n, A_LANES), c->hidden);
    Buf *sum = panel_sums(&one);
    Expr *i = lower_loop(L, panel_name(L, "m", one.number), rows), *j = lower_loop(L, panel_name(L, "n", one.number), width);
    lower_put(L, to, (Expr *[]){e_add(L->a, row, i), e_add(L->a, e_mul(L->a, panel, e_int(L->a, width)), j)}, panel_total(&one, sum, i, j),
              RED_NONE);
    lower_ends(L, 2);
}
/* As many samples as there are at run time: in blocks, the rest one by one. */
static void some_blocks(Product *p, Buf *to, Expr *panel, int64_t rows) {
    Lower *L = p->L;
    Cell *c = p->c;
    Arena *a = L->a;
    Expr *from = e_int(a, 0);
    for (int64_t size = rows;; size = 1) {
        Expr *count = lower_let(L, panel_name(L, "count", c->part), e_div(a, e_sub(a, c->samples, from), e_int(a, size)));
        Expr *block = lower_loop_to(L, panel_name(L, "mo", c->part), count);
        put_block(p, to, panel, e_add(a, from, e_mul(a, block, e_int(a, size))), size);
        lower_end(L);
        if (size == 1) return;
        from = lower_let(L, panel_name(L, "from", c->part), e_mul(a, count, e_int(a, size)));
    }
}
static void put_products(Lower *L, Cell *c, int input, Buf *state, Buf *to) {
    Product p = {L, c, input, state, NULL, NULL};
    int64_t rows = min_i64(attr_i(c->n, A_ROWS), c->batch), panels = c->n->in[input]->type.dim[0] / ndir(c->n);
    Expr *panel = lower_loop(L, panel_name(L, "p", c->part), panels);
    p.panel = e_add(L->a, panel, e_mul(L->a, c->d, e_int(L->a, panels)));
    if (c->samples->k == E_INT) {
        Expr *block = lower_loop(L, panel_name(L, "mo", c->part), c->batch / rows);
        put_block(&p, to, panel, e_mul(L->a, block, e_int(L->a, rows)), rows);
        lower_end(L);
        if (c->batch % rows) put_block(&p, to, panel, e_int(L->a, c->batch / rows * rows), c->batch % rows);
    } else some_blocks(&p, to, panel, rows);
    lower_end(L);
}
static Expr *bias_r(Lower *L, const Cell *c) {
    return in(c->n, I_B) ? lower_load(L, c->n, I_B, (Expr *[]){c->d, c->h}) : e_lit(L->a, c->t, 0);
}

static Expr *peephole(Lower *L, const Cell *c, int k, Expr *state) {
    if (!in(c->n, I_P)) return NULL;
    return e_mul(L->a, lower_load(L, c->n, I_P, (Expr *[]){c->d, gate_row(L, c, k, c->h)}), state);
}
static Expr *plus(Lower *L, Expr *x, Expr *y) { return y ? e_add(L->a, x, y) : x; }
static Expr *if_alive(Lower *L, const Cell *c, Expr *fresh, Expr *old) { return c->alive ? e_select(L->a, c->alive, fresh, old) : fresh; }
static void units_open(Lower *L, Cell *c) {
    c->b = lower_loop_to(L, "b", c->samples);
    c->alive =
        in(c->n, I_LENS) ? lower_let(L, "alive", e_lt(L->a, c->step, e_cast(L->a, DT_INT64, lower_load(L, c->n, I_LENS, &c->b)))) : NULL;
    c->h = lower_loop(L, "h", c->hidden);
}
/* The new h becomes the state; Y gets it, or 0 behind the sequence's end. */
static void put_state(Lower *L, const Cell *c, Expr *fresh) {
    Expr *old = lower_get(L, c->hs, (Expr *[]){c->b, c->h}), *v = lower_let(L, "hn", fresh);
    lower_put(L, c->hs, (Expr *[]){c->b, c->h}, if_alive(L, c, v, old), RED_NONE);
    if (c->n->nout == 0 || !c->n->out[0]) return;
    Expr *y = if_alive(L, c, v, e_lit(L->a, c->t, 0));
    lower_store(L, c->n, 0, c->layout ? (Expr *[]){c->b, c->step, c->d, c->h} : (Expr *[]){c->step, c->d, c->b, c->h}, y);
}
static void cell_lstm(Lower *L, Cell *c) {
    units_open(L, c);
    Expr *at[] = {c->b, c->h}, *old = lower_let(L, "c0", lower_get(L, c->cs, at));
    Expr *i = lower_let(L, "gi", act(L, c, 0, plus(L, z_at(L, c, 0), peephole(L, c, 0, old))));
    Expr *f = attr_i(c->n, A_EXTRA) ? e_sub(L->a, e_lit(L->a, c->t, 1), i) : act(L, c, 0, plus(L, z_at(L, c, 2), peephole(L, c, 2, old)));
    f = lower_let(L, "gf", f);
    Expr *g = lower_let(L, "gc", act(L, c, 1, z_at(L, c, 3)));
    Expr *cell = lower_let(L, "c1", e_add(L->a, e_mul(L->a, f, old), e_mul(L->a, i, g)));
    Expr *o = lower_let(L, "go", act(L, c, 0, plus(L, z_at(L, c, 1), peephole(L, c, 1, cell))));
    Expr *fresh = lower_let(L, "h1", e_mul(L->a, o, act(L, c, 2, cell)));
    put_state(L, c, fresh);
    lower_put(L, c->cs, at, if_alive(L, c, cell, old), RED_NONE);
    lower_ends(L, 2);
}
static void cell_gru(Lower *L, Cell *c) {
    bool lbr = attr_i(c->n, A_EXTRA) != 0;
    Arena *a = L->a;
    if (!lbr) { /* zr = r .* h, then its product with R */
        c->b = lower_loop_to(L, "b", c->samples), c->h = lower_loop(L, "h", c->hidden);
        Expr *at[] = {c->b, c->h};
        lower_put(L, c->zr, at, e_mul(a, act(L, c, 0, z_at(L, c, 1)), lower_get(L, c->hs, at)), RED_NONE);
        lower_ends(L, 2);
        if (is_panel(c->n)) put_products(L, c, I_R, c->zr, c->rz);
    }
    units_open(L, c);
    Expr *at[] = {c->b, c->h}, *old = lower_get(L, c->hs, at);
    Expr *z = lower_let(L, "gz", act(L, c, 0, z_at(L, c, 0)));
    Expr *r = lbr ? lower_let(L, "gr", act(L, c, 0, z_at(L, c, 1))) : NULL, *sum;
    if (is_panel(c->n) && lbr) sum = e_add(a, x_at(L, c, 2), e_mul(a, r, e_add(a, r_at(L, c, c->z, 2), bias_r(L, c))));
    else if (is_panel(c->n)) sum = e_add(a, x_at(L, c, 2), r_at(L, c, c->rz, 0));
    else if (lbr) sum = e_add(a, z_at(L, c, 2), e_mul(a, r, lower_get(L, c->zr, at)));
    else sum = dot_h(L, c, c->zr, gate_row(L, c, 2, c->h), z_at(L, c, 2));
    Expr *h = lower_let(L, "gh", act(L, c, 1, sum));
    put_state(L, c, e_add(a, e_mul(a, e_sub(a, e_lit(a, c->t, 1), z), h), e_mul(a, z, old)));
    lower_ends(L, 2);
}
static void cell_rnn(Lower *L, Cell *c) {
    units_open(L, c);
    put_state(L, c, act(L, c, 0, z_at(L, c, 0)));
    lower_ends(L, 2);
}
static void states(Lower *L, Cell *c, bool start) {
    c->b = lower_loop_to(L, "b", c->samples), c->h = lower_loop(L, "h", c->hidden);
    Expr *at[] = {c->b, c->h}, *out[] = {c->layout ? c->b : c->d, c->layout ? c->d : c->b, c->h};
    Buf *const buf[] = {c->hs, c->cs};
    for (int i = 0; i < 2; i++) {
        if (!buf[i]) continue;
        if (start) lower_put(L, buf[i], at, in(c->n, I_H0 + i) ? state_index(L, c, I_H0 + i) : e_lit(L->a, c->t, 0), RED_NONE);
        else if (c->n->nout > 1 + i && c->n->out[1 + i]) lower_store(L, c->n, 1 + i, out, lower_get(L, buf[i], at));
    }
    lower_ends(L, 2);
}
static Buf *panel_temp(Lower *L, const Cell *c, const char *name, int input) {
    const Type *w = &c->n->in[input]->type;
    return lower_temp(L, name, c->t, 2, (int64_t[]){c->batch, w->dim[0] / ndir(c->n) * w->dim[2]});
}
/* One direction, or both as a loop; its temporaries are its own. */
static void put_direction(Lower *L, Cell *c, bool both) {
    Arena *a = L->a;
    int64_t state[2] = {c->batch, c->hidden}, gates[3] = {c->batch, c->kd->gates, c->hidden};
    bool panel = is_panel(c->n), lstm = c->kd->gates == 4, gru = c->kd->gates == 3, lbr = gru && attr_i(c->n, A_EXTRA);
    c->d = both ? lower_loop(L, "d", 2) : e_int(a, c->dir);
    c->z = panel ? panel_temp(L, c, "z", I_W) : lower_temp(L, "z", c->t, 3, gates);
    c->hs = lower_temp(L, "hs", c->t, 2, state);
    c->hq = quantised(c->n) ? lower_temp(L, "hq", c->t, 2, state) : c->hs;
    if (lstm) c->cs = lower_temp(L, "cs", c->t, 2, state);
    if (gru && !(panel && lbr)) c->zr = lower_temp(L, "zr", c->t, 2, state);
    if (gru && panel && !lbr) c->rz = panel_temp(L, c, "rz", I_R);
    states(L, c, true);
    Expr *t = lower_loop_to(L, "t", c->steps), *back = e_sub(a, e_sub(a, c->steps, e_int(a, 1)), t);
    if (both) c->step = lower_let(L, "step", e_select(a, e_lt(a, c->d, e_int(a, 1)), t, back));
    else c->step = c->dir == 1 || strcmp(attr_s(c->n, A_DIR), "reverse") == 0 ? back : t;
    if (c->hq != c->hs) put_quantised(L, c);
    if (panel) put_products(L, c, I_W, c->hq, c->z);
    else put_z(L, c, lbr);
    if (lstm) cell_lstm(L, c);
    else if (gru) cell_gru(L, c);
    else cell_rnn(L, c);
    lower_end(L);
    states(L, c, false);
    if (both) lower_end(L);
}
bool lower_recurrent(Lower *L, Node *n) {
    const Type *t = &n->in[I_X]->type;
    bool panel = is_panel(n);
    L->affine = panel;
    Cell c = {.n = n,
              .kd = kind_of(n),
              .t = dtype_compute(t->dt),
              .layout = attr_i(n, A_LAYOUT) != 0,
              .hidden = panel ? attr_i(n, A_HIDDEN) : n->in[I_R]->type.dim[2],
              .input = t->dim[2]};
    c.steps = lower_dim(L, t, c.layout), c.samples = lower_dim(L, t, !c.layout), c.batch = t->dim[!c.layout];
    const bool both = directions_alike(n);
    for (; c.dir < (both ? 1 : ndir(n)); c.dir++) put_direction(L, &c, both);
    return true;
}
