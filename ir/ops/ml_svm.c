/* SPDX-License-Identifier: Apache-2.0 */
/* ml_svm.c: support vector machines as matrix products. A kernel value for each support vector, then weighted sums of them: one for a
 * regression, one for each pair of classes for a classification, whose coefficients are laid out as libsvm has them.
 *
 *   SVMRegressor(x) {RBF}   ->   Exp(-gamma * |x - v|^2) @ coefficients + rho
 */
#include "../extent.h"
#include "ml.h"
#include <math.h>
#include <string.h>

/* Kernel values of x [rows, features] and vectors [count, features]: [rows, count]. */
static Tensor *kernel(Ctx *c, R r, Tensor *x, const float *vectors, int64_t count, int64_t features, const char *type, double extra) {
    const Attr *p = ml_attr(r.n, "kernel_params"); /* gamma, coef0, degree */
    double gamma = p && p->n > 0 ? (double)p->fs[0] : 0, coef0 = p && p->n > 1 ? (double)p->fs[1] : 0,
           degree = p && p->n > 2 ? (double)p->fs[2] : 0;
    Tensor *v = ml_const_floats(r.g, count * features, vectors, 2, (int64_t[]){count, features});
    if (strcmp(type, "RBF") == 0) {
        Tensor *d = r_op2(r, "Sub", r_op2(r, "Unsqueeze", x, tensor_i64s(r.g, (int64_t[]){1}, 1)), v);
        d = r_op2(r, "ReduceSumSquare", d, tensor_i64s(r.g, (int64_t[]){2}, 1));
        r_set_i(d, "keepdims", 0);
        return r_op1(r, "Exp", r_op2(r, "Mul", d, r_f32(r, -gamma)));
    }
    Tensor *dot = r_op2(r, "MatMul", x, r_swap_last(r, v, 2));
    if (strcmp(type, "LINEAR") == 0) return extra != 0 ? r_op2(r, "Add", dot, r_f32(r, extra)) : dot;
    dot = r_op2(r, "Add", r_op2(r, "Mul", dot, r_f32(r, gamma)), r_f32(r, coef0));
    if (strcmp(type, "POLY") == 0) return r_op2(r, "Pow", dot, r_f32(r, degree));
    if (strcmp(type, "SIGMOID") == 0) return r_op1(r, "Tanh", dot);
    diag_error(c->d, r.n->loc, "kernel_type is '%s'; LINEAR, POLY, RBF or SIGMOID is expected", type);
    return NULL;
}
static const char *kernel_type(const Node *n) { return attr_s(n, op_attr_index(n->op, "kernel_type")); }

bool rewrite_svm_regressor(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Post p;
    const Attr *w = ml_attr(n, "coefficients"), *v = ml_attr(n, "support_vectors"), *rho = ml_attr(n, "rho");
    int64_t count = ml_attr(n, "n_supports")->i, rows, features, want;
    Tensor *x = ml_post(c, n, &p) ? ml_matrix(c, r, 0, DT_FLOAT32, &rows, &features) : NULL;
    if (!x) return false;
    if (count < 0 || !w || !rho || rho->n < 1)
        return diag_error(c->d, n->loc, "coefficients and rho are expected, and n_supports of at least 0");
    if (count > 0 && (!mul_ok(count, features, &want) || !v || v->n != want || w->n != count))
        return diag_error(c->d, n->loc,
                          "there are %lld elements of support_vectors and %lld coefficients for %lld vectors of %lld features",
                          v ? (long long)v->n : 0LL, (long long)w->n, (long long)count, (long long)features);
    if (count == 0 && w->n != features)
        return diag_error(c->d, n->loc, "there are %lld coefficients for %lld features", (long long)w->n, (long long)features);
    Tensor *y;
    if (count == 0) {
        y = kernel(c, r, x, w->fs, 1, features, "LINEAR", (double)rho->fs[0]);
    } else {
        Tensor *k = kernel(c, r, x, v->fs, count, features, kernel_type(n), 0);
        if (!k) return false;
        y = r_op2(r, "Add", r_op2(r, "MatMul", k, ml_const_floats(g, count, w->fs, 2, (int64_t[]){count, 1})),
                  r_f32(r, (double)rho->fs[0]));
    }
    if (ml_attr(n, "one_class")->i) y = r_op3(r, "Where", r_op2(r, "Greater", y, r_f32(r, 0)), r_f32(r, 1), r_f32(r, -1));
    r_done(r, 0, y);
    return true;
}

typedef struct Svm {
    int64_t classes, pairs, vectors, rows, features;
    const int64_t *per; /* vectors of each class */
} Svm;
/* Scores of all pairs i < j: sums over the vectors of i with row j - 1, and of j with row i. */
static Tensor *pair_scores(R r, const Svm *s, Tensor *k) {
    const float *w = ml_attr(r.n, "coefficients")->fs, *rho = ml_attr(r.n, "rho")->fs;
    float *m = NEW_ARRAY(r.g->a, float, s->vectors * s->pairs + 1);
    int64_t *start = NEW_ARRAY(r.g->a, int64_t, s->classes + 1), pair = 0;
    for (int64_t i = 0; i < s->classes; i++) start[i + 1] = start[i] + s->per[i];
    for (int64_t i = 0; i < s->classes; i++)
        for (int64_t j = i + 1; j < s->classes; j++, pair++) {
            for (int64_t v = start[i]; v < start[i + 1]; v++) m[v * s->pairs + pair] = w[(j - 1) * s->vectors + v];
            for (int64_t v = start[j]; v < start[j + 1]; v++) m[v * s->pairs + pair] = w[i * s->vectors + v];
        }
    Tensor *y = r_op2(r, "MatMul", k, ml_const_floats(r.g, s->vectors * s->pairs, m, 2, (int64_t[]){s->vectors, s->pairs}));
    return r_op2(r, "Add", y, ml_const_floats(r.g, s->pairs, rho, 1, &s->pairs));
}
/* How many pairs each class wins: [rows, classes]. */
static Tensor *votes(R r, const Svm *s, Tensor *scores) {
    float *won = NEW_ARRAY(r.g->a, float, s->pairs * s->classes + 1), *lost = NEW_ARRAY(r.g->a, float, s->pairs * s->classes + 1);
    int64_t pair = 0, dim[2] = {s->pairs, s->classes};
    for (int64_t i = 0; i < s->classes; i++)
        for (int64_t j = i + 1; j < s->classes; j++, pair++) won[pair * s->classes + i] = 1, lost[pair * s->classes + j] = 1;
    Tensor *first = r_op3(r, "Where", r_op2(r, "Greater", scores, r_f32(r, 0)), r_f32(r, 1), r_f32(r, 0));
    Tensor *second = r_op2(r, "Sub", r_f32(r, 1), first);
    return r_op2(r, "Add", r_op2(r, "MatMul", first, ml_const_floats(r.g, s->pairs * s->classes, won, 2, dim)),
                 r_op2(r, "MatMul", second, ml_const_floats(r.g, s->pairs * s->classes, lost, 2, dim)));
}
static bool svm_shape(Ctx *c, const Node *n, Svm *s) {
    const Attr *per = ml_attr(n, "vectors_per_class"), *w = ml_attr(n, "coefficients"), *v = ml_attr(n, "support_vectors"),
               *rho = ml_attr(n, "rho");
    const Attr *pa = ml_attr(n, "prob_a"), *pb = ml_attr(n, "prob_b");
    int64_t want, need, sum = 0;
    if (!w || !rho || rho->n < 1) return diag_error(c->d, n->loc, "coefficients and rho are expected");
    if (!per || per->n == 0)
        return (mul_ok(s->classes, s->features, &want) && w->n == want) ||
               diag_error(c->d, n->loc, "there are %lld coefficients for %lld classes of %lld features", (long long)w->n,
                          (long long)s->classes, (long long)s->features);
    for (int64_t i = 0; i < per->n; i++)
        if (per->is[i] < 0 || !add_ok(sum, per->is[i], &sum)) return diag_error(c->d, n->loc, "vectors_per_class has a negative element");
    s->per = per->is, s->vectors = sum, s->pairs = s->classes * (s->classes - 1) / 2;
    bool ok = per->n == s->classes && s->classes >= 2 && s->classes < 4096 && sum > 0 && mul_ok(sum, s->features, &want) && v &&
              v->n == want && mul_ok(sum, s->classes - 1, &need) && w->n == need && rho->n >= s->pairs;
    if (!ok)
        return diag_error(c->d, n->loc,
                          "support_vectors, coefficients, rho and vectors_per_class do not fit %lld classes and %lld features",
                          (long long)s->classes, (long long)s->features);
    if ((pa && pa->n ? pa->n : 0) != (pb && pb->n ? pb->n : 0) || (pa && pa->n && pa->n < s->pairs))
        return diag_error(c->d, n->loc, "prob_a and prob_b are expected to have %lld elements", (long long)s->pairs);
    return true;
}
bool rewrite_svm_classifier(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Svm s = {0};
    Post p;
    Tensor *labels = ml_labels(c, r, "classlabels_ints", "classlabels_strings", &s.classes);
    Tensor *x = labels && ml_post(c, n, &p) ? ml_matrix(c, r, 0, DT_FLOAT32, &s.rows, &s.features) : NULL, *scores, *best;
    if (!x || !svm_shape(c, n, &s)) return false;
    const Attr *w = ml_attr(n, "coefficients"), *pa = ml_attr(n, "prob_a"), *pb = ml_attr(n, "prob_b");
    if (!s.per) { /* linear: one row of coefficients for each class */
        scores = kernel(c, r, x, w->fs, s.classes, s.features, "LINEAR", (double)ml_attr(n, "rho")->fs[0]);
        best = ml_best(r, scores);
        if (s.classes == 2) { /* a positive largest score speaks for the second class */
            bool positive = true;
            for (int64_t i = 0; i < w->n; i++) positive &= w->fs[i] >= 0;
            Tensor *top = r_op2(r, "ReduceMax", scores, tensor_i64s(g, (int64_t[]){1}, 1));
            Tensor *second =
                r_reshape(r, r_op2(r, positive ? "GreaterOrEqual" : "Greater", top, r_f32(r, positive ? 0.5 : 0)), 1, (int64_t[]){-1});
            best = r_op3(r, "Where", second, tensor_i64s(g, (int64_t[]){1}, -1), best);
        }
        scores = ml_transform(r, scores, p);
    } else {
        Tensor *k = kernel(c, r, x, ml_attr(n, "support_vectors")->fs, s.vectors, s.features, kernel_type(n), 0);
        if (!k) return false;
        Tensor *pairs = pair_scores(r, &s, k);
        best = ml_best(r, votes(r, &s, pairs));
        if (pa && pa->n) {
            Tensor *in[3] = {pairs, ml_const_floats(g, s.pairs, pa->fs, 1, &s.pairs), ml_const_floats(g, s.pairs, pb->fs, 1, &s.pairs)};
            scores = ml_build(r, "PairProbabilities", 3, in);
            r_set_i(scores, "classes", s.classes);
            scores = ml_transform(r, scores, p);
        } else if (s.classes == 2) {
            scores =
                p == POST_NONE ? ml_columns(r, r_op1(r, "Neg", pairs), pairs) : ml_columns(r, r_op2(r, "Sub", r_f32(r, 1), pairs), pairs);
        } else {
            scores = ml_transform(r, pairs, p);
        }
    }
    if (r_out(r, 0)) r_done(r, 0, ml_pick(r, labels, best));
    if (r_out(r, 1)) r_done(r, 1, scores);
    return true;
}

/* ---- PairProbabilities: from scores of pairs to one probability for each class (Wu, Lin and Weng 2004, as libsvm does it) */
bool infer_pair_probabilities(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    int64_t k = attr_i(x->n, 0);
    bool ok = k >= 2 && k < 4096 && t->rank == 2 && t->dim[1] == k * (k - 1) / 2;
    for (int i = 1; i < 3; i++) ok = ok && x->n->in[i]->type.rank == 1 && x->n->in[i]->type.dim[0] == t->dim[1];
    for (int i = 0; i < 3; i++) ok = ok && x->n->in[i]->type.dt == DT_FLOAT32;
    if (!ok) return infer_error(x, "scores of all pairs of %lld classes are expected, and two parameters for each", (long long)k);
    return infer_extents(x, 0, DT_FLOAT32, 2, (Expr *[]){type_extent(x->g, t, 0), e_int(x->g->a, k)});
}
bool lower_pair_probabilities(Lower *L, Node *n) {
    int64_t k = attr_i(n, 0), room[2] = {2 * k + 1, k};
    Buf *buf[5] = {lower_tensor(L, n->in[0]), lower_tensor(L, n->in[1]), lower_tensor(L, n->in[2]),
                   lower_temp(L, "room", DT_FLOAT32, 2, room), lower_tensor(L, n->out[0])};
    Expr *arg[2] = {lower_dim(L, &n->in[0]->type, 0), lower_int(L, k)};
    lower_call(L, "qn_pair_probabilities", 2, arg, 5, buf, 1u << 3 | 1u << 4);
    return true;
}
