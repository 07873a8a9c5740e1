/* SPDX-License-Identifier: Apache-2.0 */
/* mapped.c: MappedSum, a convolution or matrix product that a user gave a mapping for (passes/mapped.c makes it). Three naive nests, with
 * the names that the steps of a mapping expect (ir/mapping.h); the pass `tile` schedules them as the mapping says.
 *
 *   for m_i, e_i: acc[m_i,e_i] = b;  for m_a, c, e_a: acc[m_a,e_a] += x[c,e_a]*w[m_a,c];  for m, e: y[m,e] = acc[m,e]
 *
 * `shape` has the fields of a ConvShape, then `kind`: which axes the operands have. Inputs are padded already. */
#include "../mapping.h"
#include "../ops.h"
#include <string.h>

enum { SHAPE, KIND, MAPPING };
enum {
    NO_ROWS = 1,
    TURN_X = 2,
    TURN_W = 4,
    MATRIX = 8,
    BATCH = 16
}; /* bits of `kind`: one spatial axis; transposed; no spatial axes; of G too */
enum { FIELDS = 13 };

static bool shape_of(const Node *n, ConvShape *s) {
    const int64_t *v = n->attr[SHAPE].is;
    if (n->attr[SHAPE].n != FIELDS) return false;
    for (int i = 0; i < 12; i++)
        if (v[i] < 1) return false;
    *s = (ConvShape){v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12] != 0, false, false};
    return true;
}
Problem *mapped_problem(Arena *a, const Node *n) {
    ConvShape s;
    return shape_of(n, &s) ? problem_conv(a, n->loc.name ? n->loc.name : "layer", &s) : NULL;
}
/* Extents of the result. */
static int result_dims(const Node *n, const ConvShape *s, int64_t *dim) {
    int kind = (int)attr_i(n, KIND), r = 0;
    if (kind & MATRIX) {
        if (kind & BATCH) dim[r++] = s->g;
        dim[r++] = s->n, dim[r++] = s->m;
        return r;
    }
    dim[r++] = s->n, dim[r++] = s->depthwise ? s->c : s->g * s->m;
    if (!(kind & NO_ROWS)) dim[r++] = s->e;
    dim[r++] = s->f;
    return r;
}
bool infer_mapped(Infer *x) {
    ConvShape s;
    int64_t dim[QN_MAX_RANK];
    if (!shape_of(x->n, &s)) return infer_error(x, "the shape is not %d positive numbers", FIELDS);
    int rank = result_dims(x->n, &s, dim);
    return infer_out(x, 0, x->n->in[0]->type.dt, rank, dim);
}
int64_t macs_mapped(const Node *n) {
    ConvShape s;
    int64_t m = 1;
    if (!shape_of(n, &s)) return -1;
    for (int i = 0; i < 8; i++)
        if (!mul_ok(m, n->attr[SHAPE].is[i], &m)) return -1;
    return m;
}

/* ---- the nests: `v` are the values of N G M C E F R S */
enum { N, G, M, C, E, F, R, S, DIMS };
static const char letters[] = "NGMCEFRS";
static Expr *sum(Lower *L, Expr *x, int64_t kx, Expr *y, int64_t ky) {
    return e_add(L->a, e_mul(L->a, e_int(L->a, kx), x), e_mul(L->a, e_int(L->a, ky), y));
}
static Expr *load_x(Lower *L, Node *n, const ConvShape *s, Expr **v) {
    int kind = (int)attr_i(n, KIND), r = 0;
    Expr *idx[QN_MAX_RANK];
    if (kind & MATRIX) {
        if (kind & BATCH) idx[r++] = v[G];
        idx[r] = kind & TURN_X ? v[C] : v[N], idx[r + 1] = kind & TURN_X ? v[N] : v[C];
        return lower_load(L, n, 0, idx);
    }
    idx[r++] = v[N], idx[r++] = s->depthwise ? v[C] : sum(L, v[G], s->c, v[C], 1);
    if (!(kind & NO_ROWS)) idx[r++] = sum(L, v[E], s->stride_e, v[R], s->dil_r);
    idx[r++] = sum(L, v[F], s->stride_f, v[S], s->dil_s);
    return lower_load(L, n, 0, idx);
}
static Expr *load_w(Lower *L, Node *n, const ConvShape *s, Expr **v) {
    int kind = (int)attr_i(n, KIND), r = 0;
    Expr *idx[QN_MAX_RANK];
    if (kind & MATRIX) {
        if (kind & BATCH) idx[r++] = v[G];
        idx[r] = kind & TURN_W ? v[M] : v[C], idx[r + 1] = kind & TURN_W ? v[C] : v[M];
        return lower_load(L, n, 1, idx);
    }
    idx[r++] = s->depthwise ? v[C] : sum(L, v[G], s->m, v[M], 1), idx[r++] = s->depthwise ? e_int(L->a, 0) : v[C];
    if (!(kind & NO_ROWS)) idx[r++] = v[R];
    idx[r++] = v[S];
    return lower_load(L, n, 1, idx);
}
static Expr *channel(Lower *L, const ConvShape *s, Expr **v) { return s->depthwise ? v[C] : sum(L, v[G], s->m, v[M], 1); }
static void store_y(Lower *L, Node *n, const ConvShape *s, Expr **v, Expr *value) {
    int kind = (int)attr_i(n, KIND), r = 0;
    Expr *idx[QN_MAX_RANK];
    if (kind & MATRIX) {
        if (kind & BATCH) idx[r++] = v[G];
        idx[r++] = v[N], idx[r++] = v[M];
    } else {
        idx[r++] = v[N], idx[r++] = channel(L, s, v);
        if (!(kind & NO_ROWS)) idx[r++] = v[E];
        idx[r++] = v[F];
    }
    lower_store(L, n, 0, idx, value);
}
/* Opens the loops of one nest; those that it has not are at 0. */
static int open_nest(Lower *L, const Problem *p, const char *const *name, Expr **v) {
    int open = 0;
    for (int i = 0; i < DIMS; i++) v[i] = e_int(L->a, 0);
    for (int d = 0; d < p->ndim; d++) {
        if (!name[d]) continue;
        v[strchr(letters, *p->dim[d]) - letters] = lower_loop(L, name[d], p->extent[d]);
        open++;
    }
    return open;
}
static void sums_at(const Problem *p, Expr **v, Expr **at) {
    const ProblemTensor *o = &p->tensor[problem_tensor(p, "O")];
    for (int a = 0; a < o->rank; a++) at[a] = v[strchr(letters, *p->dim[o->axis[a].dim[0]]) - letters];
}
bool lower_mapped(Lower *L, Node *n) {
    ConvShape s;
    MapNames names;
    Expr *v[DIMS], *at[QN_MAX_AXES];
    int64_t dim[QN_MAX_AXES];
    if (!shape_of(n, &s)) return false;
    const Problem *p = mapped_problem(L->a, n);
    const ProblemTensor *o = &p->tensor[problem_tensor(p, "O")];
    DType t = dtype_compute(n->out[0]->type.dt);
    for (int a = 0; a < o->rank; a++) dim[a] = p->extent[o->axis[a].dim[0]];
    mapping_names(L->a, p, &names);
    Buf *acc = lower_temp(L, "acc", t, o->rank, dim);
    int open = open_nest(L, p, names.init, v);
    sums_at(p, v, at);
    Expr *c = channel(L, &s, v);
    lower_put(L, acc, at, n->nin > 2 && n->in[2] ? lower_load(L, n, 2, &c) : e_lit(L->a, t, 0), RED_NONE);
    lower_ends(L, open);
    open = open_nest(L, p, names.sum, v);
    sums_at(p, v, at);
    lower_put(L, acc, at, e_mul(L->a, load_x(L, n, &s, v), load_w(L, n, &s, v)), RED_ADD);
    lower_ends(L, open);
    open = open_nest(L, p, names.store, v);
    sums_at(p, v, at);
    store_y(L, n, &s, v, lower_get(L, acc, at));
    lower_ends(L, open);
    return true;
}
