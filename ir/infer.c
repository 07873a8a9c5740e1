/* SPDX-License-Identifier: Apache-2.0 */
/* infer.c: types of a node's outputs. Checks arity and operand types against the row, then asks the row's infer function; an
 * EXPR row without one broadcasts its operands. What a model declares is checked against what follows from the operands:
 * another element type is an error, another shape a warning, and what was inferred holds.
 *
 *   Add(float32[2,1,4], float32[3,1])   ->   float32[2,3,4]
 */
#include "extent.h"
#include <stdio.h>
#include <string.h>

bool infer_error(Infer *x, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char small[512];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    char *s = small;
    if (n >= (int)sizeof small) {
        s = arena_alloc(x->c->a, (size_t)n + 1);
        vsnprintf(s, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return diag_error(x->c->d, x->n->loc, "%s", s);
}

static const char *type_words(Arena *a, const Type *t) {
    Text out = {0};
    type_print(t, &out);
    char *s = arena_strdup(a, out.s);
    text_free(&out);
    return s;
}

/* ---- operand types against the row's column */
bool class_takes(char c, DType t) {
    DClass k = dtype_info[t].cls;
    switch (c) {
    case 'f': return k == CLS_FLOAT;
    case 'i': return dtype_is_int(t);
    case 'n': return k == CLS_FLOAT || dtype_is_int(t);
    case 'b': return k == CLS_BOOL;
    case 'I': return t == DT_INT32 || t == DT_INT64;
    case 's': return k == CLS_STR;
    case 'r': return k == CLS_FLOAT || dtype_is_int(t) || k == CLS_BOOL;
    case 'o': return k != CLS_CPLX;
    case 'q': return dtype_is_int(t) && dtype_info[t].bits <= 16;
    default: return true;
    }
}
static const char *class_words(char c) {
    switch (c) {
    case 'f': return "a float type";
    case 'i': return "an integer type";
    case 'n': return "a numeric type";
    case 'b': return "bool";
    case 'I': return "int32 or int64";
    case 's': return "string";
    case 'r': return "a numeric type or bool";
    case 'o': return "a type without complex numbers";
    case 'q': return "an integer type of at most 16 bits";
    default: return "any type";
    }
}
static char token_class(const char *token, size_t n, char *group) {
    char c = 'a';
    *group = 0;
    for (size_t k = 0; k < n; k++)
        if (token[k] >= 'T' && token[k] <= 'Z') *group = token[k];
        else c = token[k];
    return c;
}
static const char *next_token(const char *s, size_t n) { return s[n] ? s + n + 1 : s; } /* the last one serves all that follow */
char op_operand_class(const OpDef *op, int input, char *group) {
    const char *s = op->types;
    for (; input > 0; input--) s = next_token(s, strcspn(s, " "));
    return token_class(s, strcspn(s, " "), group);
}
static bool check_operand(Infer *x, int i, char class, char letter, DType *group) {
    const Tensor *t = x->n->in[i];
    DType *g = letter ? &group[letter - 'T'] : NULL;
    if (g && *g == DT_NONE) *g = t->type.dt;
    if (g && *g != t->type.dt)
        return infer_error(x, "input %d '%s' is %s where %s is expected, as in the inputs before it; add a Cast", i, t->name,
                           dtype_name(t->type.dt), dtype_name(*g));
    return class_takes(class, t->type.dt) ||
           infer_error(x, "input %d '%s' is %s; %s is expected", i, t->name, dtype_name(t->type.dt), class_words(class));
}
static bool check_operands(Infer *x) {
    const char *s = x->n->op->types;
    DType group['Z' - 'T' + 1] = {DT_NONE};
    for (int i = 0; i < x->n->nin; i++) {
        size_t n = strcspn(s, " ");
        const Tensor *t = x->n->in[i];
        if (t && !(t->type.wrap && (x->n->op->flags & OPF_LISTS))) {
            char letter, class = token_class(s, n, &letter);
            if (t->type.dt == DT_NONE || t->type.rank < 0) return infer_error(x, "the type of input %d '%s' is not known", i, t->name);
            if (!check_operand(x, i, class, letter, group)) return false;
        }
        s = next_token(s, n);
    }
    return true;
}
static bool check_arity(Infer *x) {
    const Node *n = x->n;
    const OpDef *op = n->op;
    if (n->nin < op->min_in || (op->max_in >= 0 && n->nin > op->max_in))
        return infer_error(x, "%d inputs were found; %d to %d are expected", n->nin, op->min_in, op->max_in);
    if (op->max_out >= 0 && n->nout > op->max_out)
        return infer_error(x, "%d outputs were found; at most %d are expected", n->nout, op->max_out);
    for (int i = 0; i < (op->max_in < 0 ? n->nin : op->min_in); i++)
        if (!n->in[i]) return infer_error(x, "input %d is left out; it is required", i);
    for (int i = 0; i < op->nattr; i++)
        if (op->attr[i].required && n->attr[i].kind == ATTR_NONE)
            return infer_error(x, "attribute '%s' is missing; it is required", op->attr[i].name);
    return true;
}

/* ---- results */
bool infer_out(Infer *x, int i, DType dt, int rank, const int64_t *dim) {
    Tensor *t = i < x->n->nout ? x->n->out[i] : NULL;
    int64_t count, bytes;
    if (!t) return true;
    Type got = {.dt = dt, .rank = rank};
    if (rank > QN_MAX_RANK) return infer_error(x, "output %d has rank %d; at most %d is supported", i, rank, QN_MAX_RANK);
    for (int k = 0; k < rank; k++) {
        got.dim[k] = dim[k];
        if (dim[k] < 0)
            return infer_error(x, "axis %d of output %d would have the extent %lld; extents are at least 0", k, i, (long long)dim[k]);
    }
    if (!type_elements(&got, &count) || !dtype_bytes(dt, count, &bytes))
        return infer_error(x, "output %d of type %s has more elements than fit in 63 bits", i, type_words(x->c->a, &got));
    Type *old = &t->type;
    if (old->dt != DT_NONE && old->dt != dt)
        return infer_error(x, "output %d '%s' is declared as %s, but it is %s", i, t->name, dtype_name(old->dt), dtype_name(dt));
    bool differs = old->rank >= 0 && old->rank != rank;
    for (int k = 0; !differs && old->rank >= 0 && k < rank; k++) differs = old->dim[k] >= 0 && old->dim[k] != dim[k];
    if (differs && old->dt != DT_NONE)
        diag_warn(x->c->d, x->n->loc, "output %d '%s' is declared as %s, but it is %s; the latter is used", i, t->name,
                  type_words(x->c->a, old), type_words(x->c->a, &got));
    t->type = got;
    return true;
}
/* Output i has the type of an operand, with another element type. */
bool infer_like(Infer *x, int i, DType dt, const Type *t) {
    if (!t->ext) return infer_out(x, i, dt, t->rank, t->dim);
    Expr *e[QN_MAX_RANK];
    type_extents(x->g, t, e);
    if (!infer_extents(x, i, dt, t->rank, e)) return false;
    if (i < x->n->nout && x->n->out[i]) x->n->out[i]->type.cap = t->cap;
    return true;
}
bool infer_same(Infer *x) {
    const Type *t = &x->n->in[0]->type;
    for (int i = 0; i < x->n->nout; i++)
        if (!infer_like(x, i, t->dt, t)) return false;
    return true;
}
bool broadcast_dims(int nshape, const Type *const *t, int *rank, int64_t *dim) {
    int r = 0;
    for (int i = 0; i < nshape; i++) r = t[i]->rank > r ? t[i]->rank : r;
    for (int k = 0; k < r; k++) dim[k] = 1;
    for (int i = 0; i < nshape; i++)
        for (int k = 0; k < t[i]->rank; k++) {
            int64_t *d = &dim[k + r - t[i]->rank], e = t[i]->dim[k];
            if (e == 1 || e == *d) continue;
            if (*d != 1) return false;
            *d = e;
        }
    *rank = r;
    return true;
}
/* The same with run-time extents among them. */
static bool broadcast_extents(Infer *x, int n, const Type *const *t, int *rank, Expr **e) {
    int r = 0;
    for (int i = 0; i < n; i++) r = t[i]->rank > r ? t[i]->rank : r;
    for (int k = 0; k < r; k++) e[k] = e_int(x->g->a, 1);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < t[i]->rank; k++) {
            Expr **d = &e[k + r - t[i]->rank];
            if (!(*d = infer_broadcast_extent(x, *d, type_extent(x->g, t[i], k)))) return false;
        }
    *rank = r;
    return true;
}
bool infer_broadcast_of(Infer *x, int out, DType dt, int m, const Type *const *v) {
    int rank;
    int64_t dim[QN_MAX_RANK];
    Expr *e[QN_MAX_RANK];
    bool dynamic = false;
    for (int i = 0; i < m; i++) dynamic |= type_dynamic(v[i]);
    if (dynamic ? !broadcast_extents(x, m, v, &rank, e) : !broadcast_dims(m, v, &rank, dim)) {
        Text s = {0};
        for (int i = 0; i < m && i < 8; i++) text_puts(&s, i ? " and " : ""), type_print(v[i], &s);
        infer_error(x, "inputs %s do not broadcast; extents must be equal or 1, aligned at the last axis", s.s);
        text_free(&s);
        return false;
    }
    return dynamic ? infer_extents(x, out, dt, rank, e) : infer_out(x, out, dt, rank, dim);
}
static bool broadcast_to(Infer *x, DType dt) {
    const Node *n = x->n;
    const Type *t[8], **v = n->nin <= 8 ? t : NEW_ARRAY(x->c->a, const Type *, n->nin);
    int m = 0;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]) v[m++] = &n->in[i]->type;
    return infer_broadcast_of(x, 0, dt, m, v);
}
bool infer_broadcast(Infer *x) { return broadcast_to(x, x->n->in[0]->type.dt); }
static bool infer_expr(Infer *x) {
    const Node *n = x->n;
    int k = n->op->result;
    return broadcast_to(x, k < 0 ? DT_BOOL : n->in[k < n->nin && n->in[k] ? k : 0]->type.dt);
}

bool infer_declared(Infer *x, int i, DType dt, const char *why) {
    const Tensor *t = x->n->out[i];
    Type known = t ? t->type : (Type){.rank = 0};
    known.dt = dt;
    if (!type_known(&known))
        return infer_error(
            x, "the shape of output %d depends on %s, which is not constant; declare the output's shape in the model or make it constant",
            i, why);
    return infer_out(x, i, dt, known.rank, known.dim);
}

bool infer_one(Infer *x, int i, const char *what) {
    const Tensor *t = i < x->n->nin ? x->n->in[i] : NULL;
    int64_t count;
    if (!t) return true;
    if (t->type.ext ? infer_require(x, e_eq(x->g->a, type_count(x->g, &t->type, 0, t->type.rank), e_int(x->g->a, 1)))
                    : type_elements(&t->type, &count) && count == 1)
        return true;
    return infer_error(x, "%s, input %d '%s', is %s; one element is expected", what, i, t->name, type_words(x->c->a, &t->type));
}
bool infer_some(Infer *x, Expr *n, Expr *wanted) {
    Arena *a = x->g->a;
    return infer_require(x, e_bin(a, BIN_LOR, e_lt(a, e_int(a, 0), n), e_le(a, wanted, e_int(a, 0))));
}
bool infer_axis(Infer *x, int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank)
        return infer_error(x, "axis %lld is out of range; for rank %d it is expected to be from %d to %d", (long long)axis, rank, -rank,
                           rank - 1);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}
bool infer_ints(Infer *x, int i, const int64_t **v, int64_t *n) {
    *v = NULL, *n = 0;
    if (i >= x->n->nin || !x->n->in[i]) return true;
    *v = const_i64s(x->c->a, x->n->in[i], n);
    if (!*v) *n = -1;
    return *v != NULL;
}

/* Operators are asked one by one whether they can do with extents that are known at run time only. */
static bool check_extents(Infer *x) {
    const OpDef *op = x->n->op;
    if ((op->flags & OPF_EXTENTS) || (op->kind == OP_EXPR && !op->infer)) return true;
    for (int i = 0; i < x->n->nin; i++) {
        const Type *t = x->n->in[i] ? &x->n->in[i]->type : NULL;
        if (!type_dynamic(t)) continue;
        return infer_error(x,
                           "input %d '%s' is %s: this operator does not take extents that are known at run time only; fix them with --dim",
                           i, x->n->in[i]->name, type_words(x->c->a, t));
    }
    return true;
}
bool node_infer(Ctx *c, Graph *g, Node *n) {
    Infer x = {c, g, n};
    if (!check_arity(&x) || !check_operands(&x)) return false;
    const OpDef *op = n->op;
    if (!check_extents(&x)) return false;
    if (op->infer ? !op->infer(&x) : op->kind == OP_EXPR && !infer_expr(&x)) return false;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && n->out[i]->type.dt == DT_STRING && !n->out[i]->has_max) strings_bound(&x);
    return true;
}
