/* SPDX-License-Identifier: Apache-2.0 */
/* det.c: Det, the determinant of the last two axes, by elimination with the largest pivot of each column.
 *
 *   copy m;  det = 1;  for k:  swap rows k and pivot (det = -det);  det *= m[k,k];  for i > k: m[i] -= m[i,k]/m[k,k] * m[k]
 */
#include "../extent.h"

bool infer_det(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (t->rank < 2 || t->dim[t->rank - 1] != t->dim[t->rank - 2])
        return infer_error(x, "the last two axes are expected to be a square matrix");
    Expr *e[QN_MAX_RANK];
    if (t->ext && (t->ext[t->rank - 1] || t->ext[t->rank - 2]))
        return infer_error(x, "the size of the matrices is known at run time only; fix it with --dim");
    type_extents(x->g, t, e);
    return infer_extents(x, 0, t->dt, t->rank - 2, e);
}
int64_t macs_det(const Node *n) {
    const Type *t = &n->in[0]->type;
    int64_t m;
    return type_elements(t, &m) && mul_ok(m, t->dim[t->rank - 1], &m) ? m / 3 : -1;
}
/* The row of the largest element of column k, from row k on. */
static Expr *find_pivot(Lower *L, Buf *m, Expr *k, int64_t size) {
    Arena *a = L->a;
    Buf *top = lower_temp(L, "top", m->dt, 0, NULL), *at = lower_temp(L, "at", DT_INT64, 0, NULL);
    lower_put(L, top, NULL, e_lit(a, m->dt, -1), RED_NONE);
    lower_put(L, at, NULL, k, RED_NONE);
    Expr *i = lower_loop_range(L, "i", k, e_int(a, size));
    Expr *v = lower_let(L, "v", e_un(a, UN_ABS, lower_get(L, m, (Expr *[]){i, k})));
    lower_if(L, e_lt(a, lower_get(L, top, NULL), v));
    lower_put(L, top, NULL, v, RED_NONE);
    lower_put(L, at, NULL, i, RED_NONE);
    lower_ends(L, 2);
    return lower_let(L, "pivot", lower_get(L, at, NULL));
}
/* Opens loops over the matrices of input 0, as many as its other axes, and copies one to the buffer that is returned. */
static Buf *each_matrix(Lower *L, Node *n, Expr **idx) {
    const Type *t = &n->in[0]->type;
    int lead = t->rank - 2;
    for (int q = 0; q < lead; q++) idx[q] = lower_loop_to(L, arena_printf(L->a, "b%d", q), lower_dim(L, t, q));
    Buf *m = lower_temp(L, "m", dtype_compute(t->dt), 2, &t->dim[lead]);
    idx[lead] = lower_loop(L, "i", m->dim[0]), idx[lead + 1] = lower_loop(L, "j", m->dim[1]);
    lower_put(L, m, idx + lead, lower_load(L, n, 0, idx), RED_NONE);
    lower_ends(L, 2);
    return m;
}
bool lower_det(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    int lead = t->rank - 2;
    int64_t size = t->dim[lead];
    DType ct = dtype_compute(t->dt);
    Expr *idx[QN_MAX_RANK], *i, *j;
    Buf *m = each_matrix(L, n, idx), *det = lower_temp(L, "det", ct, 0, NULL);
    lower_put(L, det, NULL, e_lit(a, ct, 1), RED_NONE);
    Expr *k = lower_loop(L, "k", size), *pivot = find_pivot(L, m, k, size);
    lower_if(L, e_lt(a, k, pivot));
    lower_put(L, det, NULL, e_lit(a, ct, -1), RED_MUL);
    j = lower_loop(L, "j", size);
    Expr *upper = lower_let(L, "upper", lower_get(L, m, (Expr *[]){k, j}));
    lower_put(L, m, (Expr *[]){k, j}, lower_get(L, m, (Expr *[]){pivot, j}), RED_NONE);
    lower_put(L, m, (Expr *[]){pivot, j}, upper, RED_NONE);
    lower_ends(L, 2);
    Expr *d = lower_let(L, "d", lower_get(L, m, (Expr *[]){k, k}));
    lower_put(L, det, NULL, d, RED_MUL);
    lower_if(L, e_bin(a, BIN_NE, d, e_lit(a, ct, 0)));
    i = lower_loop_range(L, "i", e_add(a, k, e_int(a, 1)), e_int(a, size));
    Expr *f = lower_let(L, "f", e_div(a, lower_get(L, m, (Expr *[]){i, k}), d));
    j = lower_loop_range(L, "j", e_add(a, k, e_int(a, 1)), e_int(a, size));
    lower_put(L, m, (Expr *[]){i, j}, e_un(a, UN_NEG, e_mul(a, f, lower_get(L, m, (Expr *[]){k, j}))), RED_ADD);
    lower_ends(L, 4);
    lower_store(L, n, 0, idx, lower_get(L, det, NULL));
    lower_ends(L, lead);
    return true;
}

/* ---- Inverse (com.microsoft), by Gauss and Jordan with the largest pivot of each column:
 *
 *   copy m;  v = 1;  for k:  swap rows k and pivot of both;  row k /= m[k,k];  for i != k: row i -= m[i,k] * row k */
bool infer_inverse(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    if (t->rank < 2 || t->dim[t->rank - 1] != t->dim[t->rank - 2])
        return infer_error(x, "the last two axes are expected to be a square matrix");
    if (t->ext && (t->ext[t->rank - 1] || t->ext[t->rank - 2]))
        return infer_error(x, "the size of the matrices is known at run time only; fix it with --dim");
    return infer_like(x, 0, t->dt, t);
}
bool lower_inverse(Lower *L, Node *n) {
    Arena *a = L->a;
    const Type *t = &n->in[0]->type;
    int lead = t->rank - 2;
    int64_t size = t->dim[lead];
    DType ct = dtype_compute(t->dt);
    Expr *idx[QN_MAX_RANK], *i, *j;
    Buf *m = each_matrix(L, n, idx), *b[] = {m, lower_temp(L, "v", ct, 2, m->dim)};
    i = lower_loop(L, "i", size), j = lower_loop(L, "j", size);
    lower_put(L, b[1], (Expr *[]){i, j}, e_select(a, e_eq(a, i, j), e_lit(a, ct, 1), e_lit(a, ct, 0)), RED_NONE);
    lower_ends(L, 2);
    Expr *k = lower_loop(L, "k", size), *pivot = find_pivot(L, b[0], k, size), *zero = e_int(a, 0);
    lower_if(L, e_lt(a, k, pivot));
    j = lower_loop(L, "j", size);
    for (int q = 0; q < 2; q++) {
        Expr *upper = lower_let(L, "upper", lower_get(L, b[q], (Expr *[]){k, j}));
        lower_put(L, b[q], (Expr *[]){k, j}, lower_get(L, b[q], (Expr *[]){pivot, j}), RED_NONE);
        lower_put(L, b[q], (Expr *[]){pivot, j}, upper, RED_NONE);
    }
    lower_ends(L, 2);
    Expr *d = lower_let(L, "d", lower_get(L, b[0], (Expr *[]){k, k}));
    j = lower_loop(L, "j", size);
    for (int q = 0; q < 2; q++) lower_put(L, b[q], (Expr *[]){k, j}, e_div(a, lower_get(L, b[q], (Expr *[]){k, j}), d), RED_NONE);
    lower_end(L);
    i = lower_loop_range(L, "i", zero, e_int(a, size));
    lower_if(L, e_bin(a, BIN_NE, i, k));
    Expr *f = lower_let(L, "f", lower_get(L, b[0], (Expr *[]){i, k}));
    j = lower_loop(L, "j", size);
    for (int q = 0; q < 2; q++)
        lower_put(L, b[q], (Expr *[]){i, j}, e_un(a, UN_NEG, e_mul(a, f, lower_get(L, b[q], (Expr *[]){k, j}))), RED_ADD);
    lower_ends(L, 4);
    i = idx[lead] = lower_loop(L, "i", size), j = idx[lead + 1] = lower_loop(L, "j", size);
    lower_store(L, n, 0, idx, lower_get(L, b[1], (Expr *[]){i, j}));
    lower_ends(L, 2 + lead);
    return true;
}
