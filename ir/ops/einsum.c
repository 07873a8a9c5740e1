/* SPDX-License-Identifier: Apache-2.0 */
/* einsum.c: Einsum. A product of two operands whose letters sort into batch, rows, columns and depth is a MatMul between transposed
 * operands; one operand whose axes only change places is a Transpose. All else is EinsumLoops: every letter is a loop, those that the
 * result does not have are summed over. A letter that an operand has twice takes its diagonal; the axes behind an ellipsis are aligned
 * at the last one and broadcast.
 *
 *   "bihd,bjhd->bhij"   ->   MatMul(Transpose(x, [b,h,i,d]), Transpose(y, [b,h,d,j]))
 *   "ii,j->ij"          ->   for i, j:  out[i,j] = x[i,i]*y[j]
 */
#include "../extent.h"
#include <string.h>

enum { ELLIPSIS = 52, LABELS = ELLIPSIS + QN_MAX_RANK }; /* a-z, A-Z, then the axes of the ellipsis, numbered from the last one */
typedef struct Term {
    int rank;
    int label[QN_MAX_RANK];
} Term;
typedef struct Sum {
    Term *in, out;
    int nin;
    int64_t dim[LABELS]; /* the extent or its bound; -1: not used */
    Expr *ext[LABELS];   /* the extent */
} Sum;

static int label_of(char c) {
    return c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= 'A' && c <= 'Z' ? c - 'A' : -1;
} /* in order of the alphabet */
/* One term, up to `end`. `hidden`: how many axes the ellipsis stands for; -1: what is left of `rank`. */
static bool parse_term(Infer *x, const char *s, const char *end, int rank, int hidden, Term *t) {
    bool dots = false;
    int letters = 0;
    for (const char *p = s; p < end; p++) letters += label_of(*p) >= 0;
    *t = (Term){0};
    if (hidden < 0) hidden = rank - letters;
    for (; s < end; s++) {
        if (*s == ' ') continue;
        if (*s == '.') {
            if (end - s < 3 || strncmp(s, "...", 3) != 0 || dots) return infer_error(x, "the equation has a stray dot");
            dots = true, s += 2;
            if (hidden < 0 || t->rank + hidden > QN_MAX_RANK)
                return infer_error(x, "a term of the equation names more axes than its input has");
            for (int i = hidden; i-- > 0;) t->label[t->rank++] = ELLIPSIS + i;
            continue;
        }
        int l = label_of(*s);
        if (l < 0) return infer_error(x, "the equation has the character '%c'; letters, dots, commas and one -> are expected", *s);
        if (t->rank >= QN_MAX_RANK) return infer_error(x, "a term of the equation has more than %d axes", QN_MAX_RANK);
        t->label[t->rank++] = l;
    }
    return true;
}
static bool bind_extents(Infer *x, Sum *e, int i) {
    const Type *t = &x->n->in[i]->type;
    if (e->in[i].rank != t->rank)
        return infer_error(x, "term %d of the equation has %d axes, but input %d has %d", i, e->in[i].rank, i, t->rank);
    for (int k = 0; k < t->rank; k++) {
        int64_t *d = &e->dim[e->in[i].label[k]];
        Expr **p = &e->ext[e->in[i].label[k]];
        if (x->g && !t->ext && (!*p || (*p)->k == E_INT)) {
            if (*d < 0 || *d == 1) *d = t->dim[k], *p = e_int(x->g->a, *d);
        } else if (x->g) {
            Expr *q = type_extent(x->g, t, k), *old = *p;
            *p = !old ? q : infer_broadcast_extent(x, old, q);
            if (!*p) return infer_error(x, "axis %d of input %d has another extent than the letter has elsewhere", k, i);
            *d = max_i64(*d, t->dim[k]);
            continue;
        } else {
            *d = max_i64(*d, t->dim[k]);
            continue;
        }
        if (t->dim[k] != *d && t->dim[k] != 1)
            return infer_error(x, "axis %d of input %d has extent %lld; %lld is expected", k, i, (long long)t->dim[k], (long long)*d);
    }
    return true;
}
/* Without an arrow: the ellipsis, then the letters that occur once. */
static bool implicit_result(Infer *x, Sum *e, int hidden) {
    int times[LABELS] = {0};
    for (int i = 0; i < e->nin; i++)
        for (int k = 0; k < e->in[i].rank; k++) times[e->in[i].label[k]]++;
    for (int i = hidden; i-- > 0;) e->out.label[e->out.rank++] = ELLIPSIS + i;
    for (int l = 0; l < ELLIPSIS; l++) {
        if (times[l] != 1) continue;
        if (e->out.rank == QN_MAX_RANK) return infer_error(x, "the result of the equation has more than %d axes", QN_MAX_RANK);
        e->out.label[e->out.rank++] = l;
    }
    return true;
}
static bool parse(Infer *x, Sum *e) {
    const char *s = attr_s(x->n, 0), *arrow = strstr(s, "->"), *end = arrow ? arrow : s + strlen(s);
    int hidden = 0;
    *e = (Sum){.in = NEW_ARRAY(x->c->a, Term, x->n->nin), .nin = x->n->nin};
    for (int l = 0; l < LABELS; l++) e->dim[l] = -1;
    for (int i = 0; i < e->nin; i++) {
        const char *comma = memchr(s, ',', (size_t)(end - s)), *stop = comma ? comma : end;
        if (!parse_term(x, s, stop, x->n->in[i]->type.rank, -1, &e->in[i]) || !bind_extents(x, e, i)) return false;
        if (!comma != (i == e->nin - 1))
            return infer_error(x, "the equation '%s' does not have one term for each of %d inputs", attr_s(x->n, 0), e->nin);
        s = stop + (comma != NULL);
    }
    while (hidden < QN_MAX_RANK && e->dim[ELLIPSIS + hidden] >= 0) hidden++;
    if (!arrow) return implicit_result(x, e, hidden);
    s = arrow + 2;
    if (!parse_term(x, s, s + strlen(s), 0, hidden, &e->out)) return false;
    for (int k = 0; k < e->out.rank; k++) {
        if (e->dim[e->out.label[k]] < 0) return infer_error(x, "the result of the equation has a letter that no input has");
        for (int j = 0; j < k; j++)
            if (e->out.label[j] == e->out.label[k]) return infer_error(x, "the result of the equation has a letter twice");
    }
    return true;
}
bool infer_einsum_loops(Infer *x) {
    Sum e;
    Expr *dim[QN_MAX_RANK];
    if (!parse(x, &e)) return false;
    for (int k = 0; k < e.out.rank; k++) dim[k] = e.ext[e.out.label[k]];
    return infer_extents(x, 0, x->n->in[0]->type.dt, e.out.rank, dim);
}
static bool parsed(Ctx *c, Graph *g, const Node *n, Sum *e) {
    Infer x = {c, g, (Node *)n};
    return parse(&x, e);
}
int64_t macs_einsum_loops(const Node *n) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Sum e;
    int64_t m = n->nin > 1;
    bool ok = parsed(&c, NULL, n, &e);
    for (int l = 0; ok && l < LABELS; l++)
        if (e.dim[l] >= 0) ok = mul_ok(m, e.dim[l], &m);
    arena_free(a);
    return ok ? m : -1;
}
static Expr *einsum_index(Lower *L, const Type *t, int k, const Expr *extent, Expr *idx) {
    Arena *a = L->a;
    if (t->dim[k] == 1) return e_int(a, 0);
    Expr *own = type_extent(L->g, t, k);
    return own->k == E_INT || e_equal(own, extent) ? idx : e_select(a, e_eq(a, lower_extent(L, own), e_int(a, 1)), e_int(a, 0), idx);
}
bool lower_einsum_loops(Lower *L, Node *n) {
    Arena *a = L->a;
    Sum e;
    if (!parsed(L->c, L->g, n, &e)) return false;
    DType ct = dtype_compute(n->in[0]->type.dt);
    Expr *at[LABELS] = {NULL}, *idx[QN_MAX_RANK], *v = NULL;
    int summed = 0;
    for (int k = 0; k < e.out.rank; k++)
        idx[k] = at[e.out.label[k]] = lower_loop_to(L, arena_printf(a, "i%d", k), lower_extent(L, e.ext[e.out.label[k]]));
    Buf *acc = lower_temp(L, "acc", ct, 0, NULL);
    lower_put(L, acc, NULL, e_lit(a, ct, 0), RED_NONE);
    for (int l = 0; l < LABELS; l++)
        if (e.dim[l] >= 0 && !at[l]) at[l] = lower_loop_to(L, arena_printf(a, "k%d", summed++), lower_extent(L, e.ext[l]));
    for (int i = 0; i < e.nin; i++) {
        Expr *own[QN_MAX_RANK];
        for (int k = 0; k < e.in[i].rank; k++) own[k] = einsum_index(L, &n->in[i]->type, k, e.ext[e.in[i].label[k]], at[e.in[i].label[k]]);
        Expr *x = lower_load(L, n, i, own);
        v = v ? e_mul(a, v, x) : x;
    }
    lower_put(L, acc, NULL, v, RED_ADD);
    lower_ends(L, summed);
    lower_store(L, n, 0, idx, lower_get(L, acc, NULL));
    lower_ends(L, e.out.rank);
    return true;
}

/* ---- the rewrite */
static bool has(const Term *t, int label) {
    for (int k = 0; k < t->rank; k++)
        if (t->label[k] == label) return true;
    return false;
}
static bool distinct(const Term *t) {
    for (int k = 0; k < t->rank; k++)
        for (int j = 0; j < k; j++)
            if (t->label[j] == t->label[k]) return false;
    return true;
}
/* Appends to `to` the labels of `from` for which both terms answer as asked. */
static int pick(const Term *from, const Term *p, bool in_p, const Term *q, bool in_q, int *to) {
    int n = 0;
    for (int k = 0; k < from->rank; k++)
        if (has(p, from->label[k]) == in_p && has(q, from->label[k]) == in_q) to[n++] = from->label[k];
    return n;
}
/* The tensor, whose axes are labelled by `t`, with its axes in the order of `want`. */
static Tensor *arranged(Graph *g, Node *n, Tensor *x, const Term *t, const int *want) {
    int64_t perm[QN_MAX_RANK];
    bool same = true;
    for (int k = 0; k < t->rank; k++) {
        for (int j = 0; j < t->rank; j++)
            if (t->label[j] == want[k]) perm[k] = j;
        same = same && perm[k] == k;
    }
    if (same) return x;
    Tensor *y = build(g, n, "Transpose", 1, &x);
    node_set_is(g, y->def, op_attr_index(y->def->op, "perm"), perm, t->rank);
    return y;
}
static Expr *extent_in(Graph *g, const Term *t, const Type *type, int label) {
    for (int k = 0; k < t->rank; k++)
        if (t->label[k] == label) return type_extent(g, type, k);
    BUG("an operand lacks a letter");
}
static Tensor *reshaped(Graph *g, Node *n, Tensor *x, Expr *const *dim, int rank) {
    return build(g, n, "Reshape", 2, (Tensor *[]){x, extents_tensor(g, n, rank, dim)});
}
/* An operand as batch axes, then two: the products of groups p and q. */
static Tensor *as_matrix(Graph *g, Node *n, const Sum *e, int i, const int *batch, int nb, const int *p, int np, const int *q, int nq) {
    const Term *t = &e->in[i];
    const Type *type = &n->in[i]->type;
    int want[QN_MAX_RANK], r = 0;
    Expr *dim[QN_MAX_RANK + 2], *count[2] = {e_int(g->a, 1), e_int(g->a, 1)};
    for (int k = 0; k < nb; k++) want[r++] = batch[k], dim[k] = extent_in(g, t, type, batch[k]);
    for (int k = 0; k < np; k++) want[r++] = p[k], count[0] = extent_mul(g, count[0], extent_in(g, t, type, p[k]));
    for (int k = 0; k < nq; k++) want[r++] = q[k], count[1] = extent_mul(g, count[1], extent_in(g, t, type, q[k]));
    Tensor *x = arranged(g, n, n->in[i], t, want);
    if (np == 1 && nq == 1) return x;
    dim[nb] = count[0], dim[nb + 1] = count[1];
    return reshaped(g, n, x, dim, nb + 2);
}
/* NULL: the equation is no matrix product. */
static Tensor *as_matmul(Graph *g, Node *n, const Sum *e) {
    const Term *a = &e->in[0], *b = &e->in[1], *o = &e->out;
    int batch[QN_MAX_RANK], row[QN_MAX_RANK], col[QN_MAX_RANK], deep[QN_MAX_RANK], lone[QN_MAX_RANK];
    int64_t count;
    if (e->nin != 2 || !distinct(a) || !distinct(b)) return NULL;
    int nb = pick(o, a, true, b, true, batch), nr = pick(o, a, true, b, false, row), nc = pick(o, a, false, b, true, col);
    int nd = pick(a, b, true, o, false, deep);
    if (nd == 0 || nb + 2 > QN_MAX_RANK || pick(a, b, false, o, false, lone) || pick(b, a, false, o, false, lone)) return NULL;
    for (int k = 0; k < nd; k++)
        if (!e_equal(extent_in(g, a, &n->in[0]->type, deep[k]), extent_in(g, b, &n->in[1]->type, deep[k]))) return NULL;
    for (int i = 0; i < 2; i++)
        if (!type_elements(&n->in[i]->type, &count) || count == 0) return NULL;
    Tensor *y =
        build(g, n, "MatMul", 2,
              (Tensor *[]){as_matrix(g, n, e, 0, batch, nb, row, nr, deep, nd), as_matrix(g, n, e, 1, batch, nb, deep, nd, col, nc)});
    Term got = {.rank = 0};
    Expr *dim[QN_MAX_RANK];
    for (int k = 0; k < nb; k++) got.label[got.rank++] = batch[k];
    for (int k = 0; k < nr; k++) got.label[got.rank++] = row[k];
    for (int k = 0; k < nc; k++) got.label[got.rank++] = col[k];
    for (int k = 0; k < got.rank; k++) dim[k] = e->ext[got.label[k]];
    if (nr != 1 || nc != 1) y = reshaped(g, n, y, dim, got.rank);
    return arranged(g, n, y, &got, o->label);
}
bool rewrite_einsum(Ctx *c, Graph *g, Node *n) {
    Infer x = {c, g, n};
    Sum e;
    if (!parse(&x, &e)) return false;
    Tensor *y = as_matmul(g, n, &e);
    if (!y && e.nin == 1 && distinct(&e.in[0]) && e.out.rank == e.in[0].rank) {
        y = arranged(g, n, n->in[0], &e.in[0], e.out.label);
        if (y == n->in[0]) y = build(g, n, "Identity", 1, &y);
    }
    if (!y) {
        Node *loops = node_new(g, op_find("quern", "EinsumLoops"), n, n->loc, n->nin, n->in, 1);
        node_set_out(loops, 0, y = tensor_new(g, NULL, DT_NONE, -1, NULL));
        loops->attr[0] = n->attr[0];
    }
    tensor_replace(g, n->out[0], y, true);
    return true;
}
