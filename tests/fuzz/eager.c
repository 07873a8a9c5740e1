/* SPDX-License-Identifier: Apache-2.0 */
/* eager.c: one node, compiled by itself without any optimisation and interpreted: on its operands, and on operands that stand for all
 * that others may compute instead. See fuzz.h.
 */
#include "fuzz.h"
#include <float.h>
#include <math.h>
#include "ir/list.h"
#include <string.h>

/* One step in the last place, or what stands for the rounding of a few operations. */
static double step_of(DType dt, bool ort) { /* which computes some of float64 in float32 */
    return dt == DT_FLOAT64 && !ort               ? ldexp(1, -40)
           : dt == DT_FLOAT32 || dt == DT_FLOAT64 ? ldexp(1, -19)
           : dt == DT_FLOAT16                     ? ldexp(1, -10)
                                                  : ldexp(1, -7);
}
static bool has_steps(DType dt) { return dtype_is_float(dt) && dtype_info[dt].bits >= 16; }
bool value_same(const Value1 *v, const void *x, const void *y, int64_t i) {
    if (v->dt == DT_STRING) {
        const int64_t *a = x, *b = y;
        int64_t n = a[i + 1] - a[i];
        return n == b[i + 1] - b[i] && memcmp((const char *)x + a[i], (const char *)y + b[i], (size_t)n) == 0;
    }
    size_t size = (size_t)dtype_info[v->dt].bits / 8;
    if (dtype_info[v->dt].cls == CLS_CPLX) return memcmp((const char *)x + (size_t)i * size, (const char *)y + (size_t)i * size, size) == 0;
    return dtype_get_i(v->dt, x, i) == dtype_get_i(v->dt, y, i);
}
/* What comparisons allow is in tests/onnx/judge.c; narrow types may differ by what their own rounding does. */
bool value_close(DType dt, const void *got, const void *want, const void *moved, int64_t i) {
    if (!dtype_is_float(dt)) return value_same(&(Value1){.dt = dt}, got, want, i);
    double x = dtype_get_f(dt, got, i), w = dtype_get_f(dt, want, i);
    if (isnan(x) || isnan(w)) return isnan(x) && isnan(w);
    if (x == w) return true;
    if (!isfinite(w) || dtype_info[dt].bits < 16) return false;
    double room = 1e-6 + 1e-3 * fabs(w);
    if (dtype_info[dt].bits == 16) {
        double spread = moved ? fabs(dtype_get_f(dt, moved, i) - w) : 0;
        room += 2 * spread + step_of(dt, false) * fabs(w);
    }
    return fabs(x - w) <= room;
}
/* Whether an element may be handed on although it depends on how sums are rounded. */
static bool steady(DType dt, const void *data, const void *moved, int64_t i) {
    if (!dtype_is_float(dt)) return value_same(&(Value1){.dt = dt}, data, moved, i);
    double w = dtype_get_f(dt, data, i), x = dtype_get_f(dt, moved, i);
    if (isnan(x) || isnan(w)) return isnan(x) && isnan(w);
    if (x == w) return true;
    if (!has_steps(dt)) return false;
    double room = dtype_info[dt].bits == 16 ? 8 * step_of(dt, false) * fabs(w) + 1e-6 : 0.25e-6 + 0.25e-3 * fabs(w);
    return fabs(x - w) <= room;
}
/* The sums' errors are relative to the largest element. */
static void move(Fuzz *f, Value1 *v, bool sums) {
    double top = 0, step = step_of(v->dt, f->ort);
    for (int64_t i = 0; i < v->n && sums; i++) {
        double x = fabs(dtype_get_f(v->dt, v->data, i));
        if (isfinite(x) && x > top) top = x;
    }
    for (int64_t i = 0; i < v->n; i++) {
        double x = dtype_get_f(v->dt, v->moved, i), sign = rnd(f) & 1 ? 1 : -1;
        if (x != 0 || sums)
            dtype_set_f(v->dt, v->moved, i, x + sign * step * (fabs(x) + (dtype_info[v->dt].bits > 16 ? top / 8 : top / 2)));
    }
}

/* Several nodes of a model (macro.c), through a model of their own. */
static Graph *graph_of_macro(Fuzz *f, Ctx *c, Node1 *n, const void **data, const void **moved, int *nin, bool *moves) {
    Fuzz one = {.a = c->a};
    Node1 own = *n;
    own.in = NEW_ARRAY(c->a, int, n->nin + 1), own.out = NEW_ARRAY(c->a, int, n->nout);
    for (int i = 0; i < n->nin; i++) {
        own.in[i] = n->in[i];
        for (int k = 0; k < i && n->in[i] >= 0; k++)
            if (n->in[k] == n->in[i]) own.in[i] = own.in[k];
        if (n->in[i] < 0 || own.in[i] != n->in[i]) continue;
        Value1 v = f->v.v[n->in[i]];
        v.def = -1;
        own.in[i] = one.v.n;
        vec_push(c->a, &one.v, v);
        if (v.constant) continue;
        data[*nin] = v.data, moved[(*nin)++] = v.moved ? v.moved : v.data;
        *moves |= v.moved != NULL;
    }
    for (int i = 0; i < n->nout; i++) {
        Value1 v = {.dt = DT_NONE, .def = 0};
        own.out[i] = one.v.n;
        vec_push(c->a, &one.v, v);
    }
    vec_push(c->a, &one.n, own);
    return graph_import(&one, c);
}
static Graph *graph_of(Fuzz *f, Ctx *c, Node1 *n, const void **data, const void **moved, int *nin, bool *moves) {
    Graph *g = graph_new(c->a, "one");
    Tensor **in = NEW_ARRAY(c->a, Tensor *, n->nin + 1);
    for (int i = 0; i < n->nin; i++) {
        const Value1 *v = n->in[i] < 0 ? NULL : &f->v.v[n->in[i]];
        for (int k = 0; v && k < i; k++)
            if (n->in[k] == n->in[i]) in[i] = in[k], v = NULL;
        if (!v) continue;
        if (v->constant) {
            in[i] = tensor_const(g, NULL, v->dt, v->rank, v->dim, v->data);
            continue;
        }
        in[i] = tensor_new(g, arena_printf(c->a, "x%d", i), v->dt, v->rank, v->dim);
        in[i]->is_input = true;
        vec_push(c->a, &g->in, in[i]);
        data[*nin] = v->data, moved[(*nin)++] = v->moved ? v->moved : v->data;
        *moves |= v->moved != NULL;
    }
    Node *node = node_new(g, n->op, NULL, (Loc){"fuzz", f->n.n, NULL, n->op->name}, n->nin, in, n->nout);
    memcpy(node->attr, n->attr, sizeof(Attr) * (size_t)n->op->nattr);
    for (int i = 0; i < n->nout; i++) {
        Tensor *o = tensor_new(g, arena_printf(c->a, "y%d", i), DT_NONE, -1, NULL);
        node_set_out(node, i, o);
        o->is_output = true;
        vec_push(c->a, &g->out, o);
    }
    return g;
}
/* Runs p and keeps its outputs as values; false: an error. */
static bool run(Fuzz *f, Ctx *c, const Program *p, const void *const *in, Value1 *out) {
    void **data = NEW_ARRAY(c->a, void *, p->g->out.n + 1);
    int64_t **dims = NEW_ARRAY(c->a, int64_t *, p->g->out.n + 1);
    for (int i = 0; i < p->g->out.n; i++) {
        data[i] = arena_alloc(f->a, (size_t)tensor_bytes(p->g->out.v[i]) + 16);
        dims[i] = NEW_ARRAY(c->a, int64_t, QN_MAX_RANK);
    }
    if (!program_interpret_dims(c, p, in, NULL, data, dims)) return false;
    for (int i = 0; i < p->g->out.n; i++) {
        const Type *t = port_type(p->g->out.v[i]);
        if (t->wrap) return false;
        out[i] = (Value1){.dt = t->dt, .rank = t->rank, .n = 1, .data = data[i], .dynamic = t->ext != NULL};
        for (int k = 0; k < t->rank; k++) out[i].n *= out[i].dim[k] = dims[i][k];
        dtype_bytes(t->dt, out[i].n, &out[i].bytes);
        if (t->dt == DT_STRING) memcpy(&out[i].bytes, (char *)data[i] + 8 * out[i].n, 8);
    }
    return true;
}
const char *plain_passes(Arena *a) {
    Text t = {0};
    for (int i = 0; pass_optional(i); i++) /* how often quantised operators round is no optimisation */
        if (strcmp(pass_optional(i), "qdq") != 0) text_printf(&t, "%s-%s", t.n ? "," : "", pass_optional(i));
    const char *s = arena_strdup(a, t.s);
    text_free(&t);
    return s;
}
/* What was moved up is moved down. */
static const void *const *mirrored(Ctx *c, const Program *p, int n, const void *const *data, const void *const *moved) {
    const void **m = NEW_ARRAY(c->a, const void *, n + 1);
    for (int i = 0; i < n; i++) {
        const Type *t = port_type(p->g->in.v[i]);
        int64_t count = 0;
        if ((m[i] = moved[i]) == data[i] || !dtype_is_float(t->dt) || !type_elements(t, &count)) continue;
        char *v = arena_alloc(c->a, (size_t)tensor_bytes(p->g->in.v[i]) + 16);
        for (int64_t k = 0; k < count; k++) {
            double x = dtype_get_f(t->dt, data[i], k), y = dtype_get_f(t->dt, moved[i], k);
            dtype_set_f(t->dt, v, k, isfinite(x) && isfinite(y) ? 2 * x - y : y);
        }
        m[i] = v;
    }
    return m;
}
static bool small_enough(const Program *p) {
    for (int i = 0; i < p->g->out.n; i++) {
        int64_t n;
        if (!type_elements(&p->g->out.v[i]->type, &n) || n > 4096 || p->g->out.v[i]->type.rank > 6) return false;
    }
    return p->arena_bytes < 1 << 20;
}
static bool defined_for_ort(const Fuzz *f, const Node1 *n, DType to) { /* conversions out of range are anyone's choice */
    const Value1 *v = &f->v.v[n->in[0]];
    if (!f->ort || !strchr(n->flags, 'C') || !dtype_is_float(v->dt) || dtype_is_float(to) || to == DT_BOOL) return true;
    for (int64_t i = 0; i < v->n; i++) {
        double x = trunc(dtype_get_f(v->dt, v->data, i));
        if (!(x >= (double)dtype_min(to) && x <= (double)dtype_max(to) && fabs(x) < 9e18)) return false;
    }
    return true;
}
/* Operators take such extents or do not; rows whose constants follow from an extent do not. */
static bool takes_extents(const Fuzz *f, const Node1 *n, bool *dynamic) {
    *dynamic = false;
    if (n->macro) {
        for (int i = 0; i < n->nin; i++) *dynamic |= n->in[i] >= 0 && f->v.v[n->in[i]].dynamic;
        return !*dynamic;
    }
    for (int i = 0; i < n->nin; i++) *dynamic |= n->in[i] >= 0 && f->v.v[n->in[i]].dynamic;
    bool op = (n->op->flags & OPF_EXTENTS) || (n->op->kind == OP_EXPR && !n->op->infer);
    return !*dynamic || (op && !strchr(n->flags, 'D'));
}
bool node_evaluate(Fuzz *f, Node1 *n) {
    bool dynamic;
    if (!takes_extents(f, n, &dynamic) || (f->ort && ort_differs(f, n))) return false;
    Diags d = {.a = arena_new()};
    Ctx c = {d.a, &d};
    const void **data = NEW_ARRAY(c.a, const void *, n->nin + 1), **moved = NEW_ARRAY(c.a, const void *, n->nin + 1);
    int nin = 0;
    bool moves = false, ok = false;
    Graph *g = (n->macro ? graph_of_macro : graph_of)(f, &c, n, data, moved, &nin, &moves);
    PassOptions o = {.verify = true, .list = plain_passes(c.a)};
    Program *p = g && graph_verify(&c, g, false) ? passes_run(&c, g, &o) : NULL;
    Value1 *out = NEW_ARRAY(c.a, Value1, n->nout + 1), *other = NEW_ARRAY(c.a, Value1, n->nout + 1);
    Value1 *mirror = NEW_ARRAY(c.a, Value1, n->nout + 1);
    if (p && small_enough(p))
        ok = run(f, &c, p, data, out) &&
             (!moves || (run(f, &c, p, moved, other) && run(f, &c, p, mirrored(&c, p, nin, data, moved), mirror)));
    for (int i = 0; i < d.list.n && !ok; i++)
        if (d.list.v[i].severity == DIAG_ERROR) f->why = arena_strdup(f->a, d.list.v[i].text);
    ok = ok && defined_for_ort(f, n, out[0].dt);
    for (int i = 0; i < n->nin && ok && f->ort && moves && !dtype_is_float(out[0].dt); i++) /* it keeps float16 in float32 */
        ok = n->in[i] < 0 || f->v.v[n->in[i]].dt != DT_FLOAT16 || !f->v.v[n->in[i]].moved;
    for (int i = 0; i < n->nout && ok; i++) {
        Value1 *v = &out[i];
        bool inexact = !strchr(n->flags, 'E') && has_steps(v->dt);
        if (moves) {
            for (int k = 0; k < v->rank; k++) ok &= v->dim[k] == other[i].dim[k] && v->dim[k] == mirror[i].dim[k];
            for (int64_t k = 0; k < v->n && ok; k++) ok = steady(v->dt, v->data, mirror[i].data, k);
            v->moved = ok ? other[i].data : NULL;
        } else if (inexact) {
            int64_t bytes = 0;
            dtype_bytes(v->dt, v->n, &bytes);
            v->moved = memcpy(arena_alloc(f->a, (size_t)bytes + 16), v->data, (size_t)bytes);
        }
        if (inexact && ok) move(f, v, strchr(n->flags, 'S') != NULL);
        for (int64_t k = 0; k < v->n && ok && v->moved; k++) ok = steady(v->dt, v->data, v->moved, k);
        if (!has_steps(v->dt)) v->moved = NULL;
    }
    if (ok) {
        n->out = NEW_ARRAY(f->a, int, n->nout);
        for (int i = 0; i < n->nout; i++) {
            out[i].def = f->n.n, out[i].dynamic |= dynamic;
            n->out[i] = f->v.n;
            vec_push(f->a, &f->v, out[i]);
        }
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] >= 0) f->v.v[n->in[i]].used = true;
        vec_push(f->a, &f->n, *n);
    }
    arena_free(d.a);
    return ok;
}
