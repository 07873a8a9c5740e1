/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c: Gemm and MatMul. Rows of the result are accumulated in a small block, the innermost loop runs along a row of B.
 *
 *   for m0, n0:  acc[i][j] = 0;  for k: for i, j: acc[i][j] += a[m0+i,k]*b[k,n0+j];  store alpha*acc + beta*c
 * A transposed constant operand is transposed by folding, so that rows are contiguous.
 */
#include "../extent.h"

enum { ALPHA, BETA, TRANS_A, TRANS_B };
enum { COLS = 128, ROWS = 4 };

/* One block of rows by columns. The operands are read by callbacks' index builders: row i, column j, depth k. */
typedef struct Product {
    Node *n;
    Expr *M, *N, *K;
    int64_t rows, cols; /* of a block */
    int rank_a, rank_b;
    Expr **lead_a, **lead_b; /* indices of the leading axes */
    int nlead_a, nlead_b;
    bool ta, tb, vec_a, vec_b; /* transposed; a vector instead of a matrix */
} Product;
static Expr *load_a(Lower *L, const Product *p, Expr *i, Expr *k) {
    Expr *idx[QN_MAX_RANK];
    int r = 0;
    for (int q = 0; q < p->nlead_a; q++) idx[r++] = p->lead_a[q];
    if (p->vec_a) idx[r++] = k;
    else idx[r] = p->ta ? k : i, idx[r + 1] = p->ta ? i : k;
    return lower_load(L, p->n, 0, idx);
}
static Expr *load_b(Lower *L, const Product *p, Expr *k, Expr *j) {
    Expr *idx[QN_MAX_RANK];
    int r = 0;
    for (int q = 0; q < p->nlead_b; q++) idx[r++] = p->lead_b[q];
    if (p->vec_b) idx[r++] = k;
    else idx[r] = p->tb ? j : k, idx[r + 1] = p->tb ? k : j;
    return lower_load(L, p->n, 1, idx);
}
typedef void (*StoreFn)(Lower *L, void *user, Expr *i, Expr *j, Expr *v);
static Expr *blocks_of(Arena *a, Expr *n, int64_t size) { return e_div(a, e_add(a, n, e_int(a, size - 1)), e_int(a, size)); }
static Expr *block_end(Arena *a, Expr *n, int64_t size, Expr *from) {
    int64_t c;
    return e_is_int(n, &c) && c % size == 0 ? e_int(a, size) : e_min(a, e_int(a, size), e_sub(a, n, from));
}
static void product(Lower *L, const Product *p, DType acc_type, StoreFn store, void *user) {
    Arena *a = L->a;
    int64_t rows = p->rows, cols = p->cols;
    Expr *m0 = e_mul(a, lower_loop_to(L, "mo", blocks_of(a, p->M, rows)), e_int(a, rows));
    Expr *n0 = e_mul(a, lower_loop_to(L, "no", blocks_of(a, p->N, cols)), e_int(a, cols));
    Expr *mend = block_end(a, p->M, rows, m0), *nend = block_end(a, p->N, cols, n0);
    Buf *acc = lower_temp(L, "acc", acc_type, 2, (int64_t[]){rows, cols});
    Expr *i = lower_loop(L, "i", rows), *j = lower_loop(L, "j", cols);
    lower_put(L, acc, (Expr *[]){i, j}, e_lit(a, acc_type, 0), RED_NONE);
    lower_ends(L, 2);
    Expr *k = lower_loop_to(L, "k", p->K);
    i = lower_loop_range(L, "i", e_int(a, 0), mend);
    Expr *x = lower_let(L, "x", e_cast(a, acc_type, load_a(L, p, e_add(a, m0, i), k)));
    j = lower_loop_range(L, "j", e_int(a, 0), nend);
    lower_put(L, acc, (Expr *[]){i, j}, e_mul(a, x, e_cast(a, acc_type, load_b(L, p, k, e_add(a, n0, j)))), RED_ADD);
    lower_ends(L, 3);
    i = lower_loop_range(L, "i", e_int(a, 0), mend), j = lower_loop_range(L, "j", e_int(a, 0), nend);
    store(L, user, e_add(a, m0, i), e_add(a, n0, j), e_cast(a, dtype_compute(p->n->out[0]->type.dt), lower_get(L, acc, (Expr *[]){i, j})));
    lower_ends(L, 4);
}

/* ---- Gemm: Y = alpha A' B' + beta C */
bool infer_gemm(Infer *x) {
    const Type *a = &x->n->in[0]->type, *b = &x->n->in[1]->type;
    if (a->rank != 2 || b->rank != 2) return infer_error(x, "the operands have %d and %d dims, expected 2 each", a->rank, b->rank);
    int ta = attr_i(x->n, TRANS_A) != 0, tb = attr_i(x->n, TRANS_B) != 0;
    Graph *g = x->g;
    if (!infer_require(x, e_eq(g->a, type_extent(g, a, !ta), type_extent(g, b, tb))))
        return infer_error(x, "the inner extents are %lld and %lld, expected the same", (long long)a->dim[!ta], (long long)b->dim[tb]);
    Expr *e[2] = {type_extent(g, a, ta), type_extent(g, b, !tb)};
    int64_t dim[2] = {a->dim[ta], b->dim[!tb]};
    if (x->n->nin > 2 && x->n->in[2]) {
        const Type *c = &x->n->in[2]->type;
        for (int i = 0; i < c->rank; i++)
            if (c->rank > 2 || !infer_broadcasts(x, type_extent(g, c, c->rank - 1 - i), e[1 - i]))
                return infer_error(x, "C does not broadcast to %lld x %lld", (long long)dim[0], (long long)dim[1]);
    }
    return infer_extents(x, 0, a->dt, 2, e);
}
int64_t macs_gemm(const Node *n) {
    const Type *o = &n->out[0]->type, *a = &n->in[0]->type;
    int64_t m;
    return type_elements(o, &m) && mul_ok(m, a->dim[!attr_i(n, TRANS_A)], &m) ? m : -1;
}
static void store_gemm(Lower *L, void *user, Expr *i, Expr *j, Expr *v) {
    Node *n = user;
    Expr *idx[2] = {i, j};
    if (attr_f(n, ALPHA) != 1) v = e_mul(L->a, v, e_lit(L->a, v->t, attr_f(n, ALPHA)));
    if (n->nin > 2 && n->in[2] && attr_f(n, BETA) != 0) {
        Expr *c = lower_load_b(L, n, 2, &n->out[0]->type, idx);
        v = e_add(L->a, v, attr_f(n, BETA) == 1 ? c : e_mul(L->a, c, e_lit(L->a, c->t, attr_f(n, BETA))));
    }
    lower_store(L, n, 0, idx, v);
}
bool lower_gemm(Lower *L, Node *n) {
    const Type *o = &n->out[0]->type, *a = &n->in[0]->type;
    bool ta = attr_i(n, TRANS_A), tb = attr_i(n, TRANS_B);
    Product p = {.n = n, .M = lower_dim(L, o, 0), .N = lower_dim(L, o, 1), .K = lower_dim(L, a, !ta), .ta = ta, .tb = tb};
    p.rows = max_i64(1, min_i64(o->dim[0], ROWS)), p.cols = max_i64(1, min_i64(o->dim[1], COLS));
    product(L, &p, dtype_sum(o->dt), store_gemm, n);
    return true;
}

/* ---- MatMul: numpy's rules; leading axes broadcast */
bool infer_matmul(Infer *x) {
    const Type *a = &x->n->in[0]->type, *b = &x->n->in[1]->type;
    Expr *dim[QN_MAX_RANK];
    if (a->rank < 1 || b->rank < 1) return infer_error(x, "an operand is a scalar, expected at least one dim");
    int64_t ka = a->dim[a->rank - 1], kb = b->dim[b->rank > 1 ? b->rank - 2 : 0];
    if (!infer_require(x, e_eq(x->g->a, type_extent(x->g, a, a->rank - 1), type_extent(x->g, b, b->rank > 1 ? b->rank - 2 : 0))))
        return infer_error(x, "the inner extents are %lld and %lld, expected the same", (long long)ka, (long long)kb);
    int na = a->rank > 2 ? a->rank - 2 : 0, nb = b->rank > 2 ? b->rank - 2 : 0, rank = na > nb ? na : nb;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - na), ib = i - (rank - nb);
        dim[i] = ia < 0   ? type_extent(x->g, b, ib)
                 : ib < 0 ? type_extent(x->g, a, ia)
                          : infer_broadcast_extent(x, type_extent(x->g, a, ia), type_extent(x->g, b, ib));
        if (!dim[i]) return infer_error(x, "the leading extents do not broadcast");
    }
    if (a->rank > 1) dim[rank++] = type_extent(x->g, a, a->rank - 2);
    if (b->rank > 1) dim[rank++] = type_extent(x->g, b, b->rank - 1);
    return infer_extents(x, 0, a->dt, rank, dim);
}
int64_t macs_matmul(const Node *n) {
    int64_t m;
    const Type *a = &n->in[0]->type;
    return type_elements(&n->out[0]->type, &m) && mul_ok(m, a->dim[a->rank - 1], &m) ? m : -1;
}
typedef struct MatMulStore {
    Node *n;
    Expr **lead;
    int nlead;
    bool row, col;
} MatMulStore;
static void store_matmul(Lower *L, void *user, Expr *i, Expr *j, Expr *v) {
    const MatMulStore *s = user;
    Expr *idx[QN_MAX_RANK];
    int r = 0;
    for (int q = 0; q < s->nlead; q++) idx[r++] = s->lead[q];
    if (s->row) idx[r++] = i;
    if (s->col) idx[r++] = j;
    lower_store(L, s->n, 0, idx, v);
}
static int leading(Lower *L, const Type *t, const Type *as, int nlead, Expr *const *lead, Expr **own) {
    int n = t->rank > 2 ? t->rank - 2 : 0;
    for (int i = 0; i < n; i++) own[i] = lower_broadcast(L, t, i, as, i + nlead - n, lead[i + nlead - n]);
    return n;
}
bool lower_matmul(Lower *L, Node *n) {
    const Type *a = &n->in[0]->type, *b = &n->in[1]->type, *o = &n->out[0]->type;
    Expr *lead[QN_MAX_RANK], *la[QN_MAX_RANK], *lb[QN_MAX_RANK];
    MatMulStore s = {n, lead, o->rank - (a->rank > 1) - (b->rank > 1), a->rank > 1, b->rank > 1};
    for (int i = 0; i < s.nlead; i++) lead[i] = lower_loop_to(L, arena_printf(L->a, "b%d", i), lower_dim(L, o, i));
    Product p = {.n = n,
                 .M = s.row ? lower_dim(L, a, a->rank - 2) : e_int(L->a, 1),
                 .N = s.col ? lower_dim(L, b, b->rank - 1) : e_int(L->a, 1),
                 .K = lower_dim(L, a, a->rank - 1),
                 .rows = max_i64(1, min_i64(s.row ? a->dim[a->rank - 2] : 1, ROWS)),
                 .cols = max_i64(1, min_i64(s.col ? b->dim[b->rank - 1] : 1, COLS)),
                 .vec_a = !s.row,
                 .vec_b = !s.col,
                 .lead_a = la,
                 .lead_b = lb};
    p.nlead_a = leading(L, a, o, s.nlead, lead, la), p.nlead_b = leading(L, b, o, s.nlead, lead, lb);
    product(L, &p, dtype_sum(o->dt), store_matmul, &s);
    lower_ends(L, s.nlead);
    return true;
}
