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
/* One of the matrices of input 0, copied, within loops over the `lead` other axes: indices of its places, of which the last two are open.
 */
typedef struct Matrix {
    Buf *m;
    DType t;
    int64_t size;
    int lead;
    Expr *idx[QN_MAX_RANK];
} Matrix;
static Matrix each_matrix(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    Matrix x = {.t = dtype_compute(t->dt), .size = t->dim[t->rank - 1], .lead = t->rank - 2};
    for (int q = 0; q < x.lead; q++) x.idx[q] = lower_loop_to(L, arena_printf(L->a, "b%d", q), lower_dim(L, t, q));
    x.m = lower_temp(L, "m", x.t, 2, (int64_t[]){x.size, x.size});
    x.idx[x.lead] = lower_loop(L, "i", x.size), x.idx[x.lead + 1] = lower_loop(L, "j", x.size);
    lower_put(L, x.m, x.idx + x.lead, lower_load(L, n, 0, x.idx), RED_NONE);
    lower_ends(L, 2);
    return x;
}
bool lower_det(Lower *L, Node *n) {
    Arena *a = L->a;
    Matrix x = each_matrix(L, n);
    const DType ct = x.t;
    const int64_t size = x.size;
    Buf *m = x.m, *det = lower_temp(L, "det", ct, 0, NULL);
    Expr *i, *j;
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
    lower_store(L, n, 0, x.idx, lower_get(L, det, NULL));
    lower_ends(L, x.lead);
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
    Matrix x = each_matrix(L, n);
    const DType ct = x.t;
    const int64_t size = x.size;
    Buf *b[] = {x.m, lower_temp(L, "v", ct, 2, x.m->dim)};
    Expr *i, *j;
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
    i = x.idx[x.lead] = lower_loop(L, "i", size), j = x.idx[x.lead + 1] = lower_loop(L, "j", size);
    lower_store(L, n, 0, x.idx, lower_get(L, b[1], (Expr *[]){i, j}));
    lower_ends(L, 2 + x.lead);
    return true;
}
