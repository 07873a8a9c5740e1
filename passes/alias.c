/* SPDX-License-Identifier: Apache-2.0 */
/* alias.c: tensors that are windows of other tensors' storage. Two walks. Backwards, storage is handed up: the operands of a
 * Concat are windows of its result, and what is reshaped into a tensor with a fixed place is written there at once. Forwards, what
 * is left of the reshapes, slices, splits and expansions become windows of their operand. A node without anything to compute gets
 * Node.kernel = -1. Inputs are never written; a graph output has storage of its own, so an output that is an input or a
 * constant is copied. A window makes its base live longer: it is refused where more would be alive than the model needs
 * anyway.
 *
 *   a = Conv(x, w); b = Relu(x); c = Concat(a, b)      --->     a: window of c at 0; b: window of c at a's size; no copy
 */
#include "internal.h"
#include "ir/extent.h"
#include <stdlib.h>
#include <string.h>

typedef struct Alias {
    Graph *g;
    Arena *tmp;
    int *at; /* by node order: kernel position */
    int nkernel;
    int *first, *last; /* by tensor id (bases): first and last position of its storage */
    int64_t *bytes;    /* by tensor id: in the arena; 0 for inputs, outputs, constants and values inside a kernel */
    int64_t *live;     /* by position */
    int64_t peak;
    int64_t budget; /* steps that interval updates may still take */
    int ntensor;
} Alias;

/* ---- which nodes */
static bool const_steps(const Node *n, int64_t *start, int64_t *step); /* of a Slice, per axis */
bool viewable(const Node *n) {
    int64_t a[QN_MAX_RANK], b[QN_MAX_RANK];
    if (n->op->flags & OPF_VIEW) return true;
    if (node_dynamic(n)) return op_is(n, "Identity");
    if (op_is(n, "Identity") || op_is(n, "Split") || op_is(n, "Concat") || op_is(n, "Expand")) return true;
    if (op_is(n, "Slice")) return const_steps(n, a, b);
    return op_is(n, "Gather") && n->in[1]->data && tensor_elements(n->in[1]) == 1;
}

static bool const_steps(const Node *n, int64_t *start, int64_t *step) {
    const Type *t = &n->in[0]->type;
    Arena *tmp = arena_new();
    int64_t ns, na = t->rank, nt, axes_all[QN_MAX_RANK];
    bool ok = n->nin >= 3;
    for (int i = 0; i < t->rank; i++) start[i] = 0, step[i] = 1, axes_all[i] = i;
    const int64_t *s = ok ? const_i64s(tmp, n->in[1], &ns) : NULL, *axes = axes_all, *st = NULL;
    if (ok && n->nin > 3 && n->in[3]) axes = const_i64s(tmp, n->in[3], &na);
    if (ok && n->nin > 4 && n->in[4]) st = const_i64s(tmp, n->in[4], &nt), ok = st != NULL && nt == ns;
    ok = ok && s && axes && (axes == axes_all ? ns <= na : ns == na);
    for (int64_t i = 0; ok && i < ns; i++) {
        int64_t a = axes[i] < 0 ? axes[i] + t->rank : axes[i];
        if (a < 0 || a >= t->rank || (st && st[i] <= 0)) {
            ok = false;
            break;
        }
        step[a] = st ? st[i] : 1;
        int64_t from = s[i] < 0 ? (s[i] < -t->dim[a] ? 0 : s[i] + t->dim[a]) : s[i];
        start[a] = min_i64(from, t->dim[a]);
    }
    arena_free(tmp);
    return ok;
}

/* ---- layouts: a window of some base */
static View layout_of(const Tensor *t) {
    if (t->view) return *t->view;
    View v = {.base = (Tensor *)t};
    type_strides(&t->type, v.stride);
    return v;
}
static bool is_dense(const Type *t, const View *v) {
    int64_t s[QN_MAX_RANK];
    if (t->ext) return true; /* nothing else is made of those */
    type_strides(t, s);
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] > 1 && s[i] != v->stride[i]) return false;
    return true;
}
/* The strides under which the elements of `from` laid out by *v are, in row-major order, a tensor of type `to`; false: none. */
static bool reshape_layout(const Type *from, const Type *to, View *v) {
    int64_t fd[QN_MAX_RANK], fs[QN_MAX_RANK], out[QN_MAX_RANK];
    int nf = 0, j = 0;
    type_strides(to, out);
    if (from->ext || to->ext) { /* dense ones only, and the storage holds as many elements */
        int64_t a, b;
        memcpy(v->stride, out, sizeof out);
        return type_elements(from, &a) && type_elements(to, &b) && b <= a;
    }
    for (int i = 0; i < from->rank; i++) {
        if (from->dim[i] == 0) {
            memcpy(v->stride, out, sizeof out);
            return true; /* no elements: any strides do */
        }
        if (from->dim[i] != 1) fd[nf] = from->dim[i], fs[nf++] = v->stride[i];
    }
    for (int i = 0; i < nf;) { /* groups of axes with equal products; inside one, the old axes must be nested densely */
        int64_t pf = fd[i], pt = 1;
        int i1 = i + 1, j0 = j;
        while (j < to->rank && (pt == 1 || pt != pf)) {
            if (pt < pf) pt *= to->dim[j++];
            else if (i1 < nf) pf *= fd[i1++];
            else return false;
        }
        while (pt != pf) {
            if (i1 == nf || pf > pt) return false;
            pf *= fd[i1++];
        }
        for (int k = i; k + 1 < i1; k++)
            if (fs[k] != fs[k + 1] * fd[k + 1]) return false;
        int64_t s = fs[i1 - 1];
        for (int k = j - 1; k >= j0; k--) out[k] = s, s *= to->dim[k];
        i = i1;
    }
    memcpy(v->stride, out, sizeof out);
    return true;
}

/* The window of its operand that output `o` of a viewable node is. */
static bool window_of_operand(const Node *n, int o, View *v) {
    const Tensor *x = n->in[0], *y = n->out[o];
    const Type *xt = &x->type, *yt = &y->type;
    *v = layout_of(x);
    if (op_is(n, "Identity")) return true;
    if (xt->ext ? false : yt->ext && !is_dense(xt, v)) return false;
    if (n->op->flags & OPF_VIEW) return reshape_layout(xt, yt, v);
    if (op_is(n, "Slice")) {
        int64_t start[QN_MAX_RANK], step[QN_MAX_RANK];
        if (!const_steps(n, start, step)) return false;
        for (int i = 0; i < xt->rank; i++) {
            if (yt->dim[i] > 0 && start[i] + (yt->dim[i] - 1) * step[i] >= xt->dim[i]) return false;
            v->offset += yt->dim[i] > 0 ? start[i] * v->stride[i] : 0;
            v->stride[i] *= step[i];
        }
        return true;
    }
    int k = op_attr_index(n->op, "axis");
    int axis = k >= 0 && attr_has(n, k) ? (int)attr_i(n, k) : 0;
    if (axis < 0) axis += xt->rank;
    if (op_is(n, "Split")) {
        for (int i = 0; i < o; i++) {
            if (!n->out[i]) return false;
            v->offset += n->out[i]->type.dim[axis] * v->stride[axis];
        }
        return true;
    }
    if (op_is(n, "Expand")) {
        int64_t s[QN_MAX_RANK];
        for (int i = 0, d = yt->rank - xt->rank; i < yt->rank; i++)
            s[i] = i < d || (xt->dim[i - d] == 1 && yt->dim[i] != 1) ? 0 : v->stride[i - d];
        memcpy(v->stride, s, sizeof *s * (size_t)yt->rank);
        return true;
    }
    if (op_is(n, "Gather")) {
        int64_t at = dtype_get_i(n->in[1]->type.dt, n->in[1]->data, 0);
        if (at < 0) at += xt->dim[axis];
        if (at < 0 || at >= xt->dim[axis]) return false;
        v->offset += at * v->stride[axis];
        View w = *v;
        int rank = n->in[1]->type.rank; /* that many axes of extent 1 stand for the gathered one */
        for (int i = 0; i < yt->rank; i++) v->stride[i] = i < axis ? w.stride[i] : i < axis + rank ? 1 : w.stride[i - rank + 1];
        return true;
    }
    return false;
}

/* ---- lifetimes */
static bool inside_kernel(const Tensor *t) { return t->def && t->def->kernel > 0 && !fusion_stored(t, t->def->kernel); }
static bool lives_in_arena(const Tensor *t) { return t->def && !t->data && !t->is_input && !t->is_output && !inside_kernel(t); }
/* Whether `more` bytes may be alive in [lo, hi]; nothing is changed. */
static bool fits(Alias *a, int lo, int hi, int64_t more) {
    if (more <= 0 || lo > hi) return true;
    a->budget -= hi - lo + 1;
    if (a->budget < 0) return false;
    for (int k = lo; k <= hi; k++)
        if (a->live[k] + more > a->peak) return false;
    return true;
}
static void add_live(Alias *a, int lo, int hi, int64_t more) {
    if (more == 0) return;
    a->budget -= max_i64(hi - lo + 1, 0);
    for (int k = lo; k <= hi; k++) a->live[k] += more;
}
/* t's storage moves into base: base lives over both ranges, t's own bytes go. False (and no change) when that needs too much. */
static bool merge_life(Alias *a, Tensor *base, const Tensor *t) {
    int64_t b = a->bytes[base->id], s = a->bytes[t->id];
    int bf = a->first[base->id], bl = a->last[base->id], tf = a->first[t->id], tl = a->last[t->id];
    int lo = tf < bf ? tf : bf, hi = tl > bl ? tl : bl;
    if (!fits(a, lo, bf - 1, b - s) || !fits(a, bl + 1, hi, b - s)) return false;
    if (a->budget < 0) return false;
    add_live(a, lo, bf - 1, b), add_live(a, bl + 1, hi, b), add_live(a, tf, tl, -s);
    a->first[base->id] = lo, a->last[base->id] = hi;
    a->bytes[t->id] = 0;
    return true;
}

static void number_kernels(Alias *a) {
    graph_number(a->g);
    a->at = NEW_ARRAY(a->tmp, int, a->g->nnode + 1);
    int k = -1;
    for (Node *n = a->g->first; n; n = n->next) {
        bool same = n->kernel > 0 && n->prev && n->prev->kernel == n->kernel;
        a->at[n->order] = same ? k : ++k;
    }
    a->nkernel = k + 1;
}
static void set_range(Alias *a, const Tensor *t) {
    int lo = t->def ? a->at[t->def->order] : 0, hi = lo;
    for (const Use *u = t->uses; u; u = u->next) {
        int k = a->at[u->node->order];
        hi = k > hi ? k : hi;
    }
    a->first[t->id] = lo, a->last[t->id] = hi;
}
static void lifetimes(Alias *a) {
    int n = a->ntensor = a->g->tensors.n;
    int64_t *change = NEW_ARRAY(a->tmp, int64_t, a->nkernel + 2), sum = 0;
    a->first = NEW_ARRAY(a->tmp, int, n), a->last = NEW_ARRAY(a->tmp, int, n);
    a->bytes = NEW_ARRAY(a->tmp, int64_t, n);
    a->live = NEW_ARRAY(a->tmp, int64_t, a->nkernel + 1);
    for (int i = 0; i < n; i++) {
        const Tensor *t = a->g->tensors.v[i];
        if (!t->def && !t->nuse) continue;
        set_range(a, t);
        if (!lives_in_arena(t)) continue;
        a->bytes[i] = align64(tensor_bytes(t));
        change[a->first[i]] += a->bytes[i], change[a->last[i] + 1] -= a->bytes[i];
    }
    for (int k = 0; k < a->nkernel; k++) a->live[k] = sum += change[k], a->peak = max_i64(a->peak, sum);
    a->budget = 50 * 1000 * 1000;
}

/* ---- backwards: a tensor gets its place inside another */
static bool opaque_user(const Tensor *t) {
    if (t->def && t->def->op->kind == OP_OPAQUE) return true;
    for (const Use *u = t->uses; u; u = u->next)
        if (u->node->op->kind == OP_OPAQUE) return true;
    return false;
}
static bool in_loop_state(const Tensor *t) {
    return t->def && (strcmp(t->def->op->name, "LoopBegin") == 0 || strcmp(t->def->op->name, "LoopEnd") == 0);
}
static bool may_be_placed(const Alias *a, const Tensor *t) {
    return t && t->id < a->ntensor && !in_loop_state(t) && lives_in_arena(t) && !t->view && t->type.dt != DT_STRING &&
           !op_is(t->def, "Split");
}
static void set_view(Alias *a, Tensor *t, const View *v) {
    t->view = NEW(a->g->a, View);
    *t->view = *v;
}
static bool place(Alias *a, Tensor *t, const View *v) {
    if (!may_be_placed(a, t) || (opaque_user(t) && !is_dense(&t->type, v)) || !merge_life(a, v->base, t)) return false;
    set_view(a, t, v);
    return true;
}
/* A node that only renames, whose result has a fixed place: its operand is computed there. */
static bool hand_up(Alias *a, Node *n) {
    Tensor *x = n->in[0], *y = n->out[0];
    if (!(n->op->flags & OPF_VIEW) && !op_is(n, "Identity")) return false;
    View v = layout_of(y);
    if (!op_is(n, "Identity") && !reshape_layout(&y->type, &x->type, &v)) return false;
    return place(a, x, &v);
}

/* Operands [lo, hi) of a Concat, which cannot be computed in place, are copied to *v by one node before n. */
static Tensor *copy_run(Alias *a, Node *n, int axis, int lo, int hi, const View *v) {
    Graph *g = a->g;
    Type type = n->in[lo]->type;
    bool one = hi - lo == 1;
    for (int i = lo + 1; i < hi; i++) type.dim[axis] += n->in[i]->type.dim[axis];
    Node *k = node_new(g, one ? op_find("", "Identity") : n->op, n, n->loc, hi - lo, n->in + lo, 1);
    if (!one) k->attr[op_attr_index(n->op, "axis")] = n->attr[op_attr_index(n->op, "axis")];
    k->order = n->order;
    Tensor *t = tensor_new(g, NULL, type.dt, type.rank, type.dim);
    node_set_out(k, 0, t);
    set_view(a, t, v);
    return t;
}
static View part_of(const View *y, int axis, int64_t at) {
    View v = *y;
    v.offset += at * v.stride[axis];
    return v;
}
typedef struct Part { /* one operand of a Concat */
    int i, first;
    int64_t at; /* where along the axis */
    bool placed;
} Part;
static int latest_first(const void *x, const void *y) {
    const Part *p = x, *q = y;
    return p->first != q->first ? (p->first > q->first ? -1 : 1) : q->i - p->i;
}
static int by_index(const void *x, const void *y) { return ((const Part *)x)->i - ((const Part *)y)->i; }
enum { MAX_RUNS = 32 };
/* How many copies the operands which can never be placed would need. */
static int copy_runs(const Alias *a, const Node *n) {
    int runs = 0;
    for (int i = 0; i < n->nin; i++) runs += !may_be_placed(a, n->in[i]) && (i == 0 || may_be_placed(a, n->in[i - 1]));
    return runs;
}
static void dissolve_concat(Alias *a, Node *n) {
    Tensor *y = n->out[0];
    int axis = (int)attr_i(n, op_attr_index(n->op, "axis")), nplaced = 0;
    if (axis < 0) axis += y->type.rank;
    if (y->type.dt == DT_STRING || dtype_packed(y->type.dt) || copy_runs(a, n) > MAX_RUNS) return;
    View yv = layout_of(y);
    Part *part = NEW_ARRAY(a->tmp, Part, n->nin);
    int64_t at = 0;
    for (int i = 0; i < n->nin; i++) {
        part[i] = (Part){i, a->first[n->in[i]->id], at, false};
        at += n->in[i]->type.dim[axis];
    }
    qsort(part, (size_t)n->nin, sizeof *part, latest_first); /* late operands lengthen the result's life least */
    for (int i = 0; i < n->nin; i++) {
        View v = part_of(&yv, axis, part[i].at);
        part[i].placed = place(a, n->in[part[i].i], &v);
        nplaced += part[i].placed;
    }
    if (nplaced == 0) return;
    qsort(part, (size_t)n->nin, sizeof *part, by_index);
    Tensor **in = NEW_ARRAY(a->tmp, Tensor *, n->nin);
    int nin = 0;
    for (int i = 0, j; i < n->nin; i = j) {
        j = i + 1;
        if (part[i].placed) {
            in[nin++] = n->in[i];
            continue;
        }
        while (j < n->nin && !part[j].placed) j++;
        View v = part_of(&yv, axis, part[i].at);
        in[nin++] = copy_run(a, n, axis, i, j, &v);
    }
    Node *d = node_new(a->g, n->op, n, n->loc, nin, in, 1); /* computes nothing: says what the result is made of */
    for (int i = 0; i < n->op->nattr; i++) d->attr[i] = n->attr[i];
    d->order = n->order, d->kernel = -1;
    n->out[0] = NULL;
    node_set_out(d, 0, y);
    node_remove(a->g, n);
}

/* ---- forwards: results become windows of their operand */
static bool whole(const Node *n) { return (n->op->flags & OPF_VIEW) || op_is(n, "Identity"); }
static void dissolve_view(Alias *a, Node *n) {
    View *v = NEW_ARRAY(a->tmp, View, n->nout);
    if (!n->in[0] || n->in[0]->id >= a->ntensor) return;
    for (int o = 0; o < n->nout; o++) {
        Tensor *t = n->out[o];
        if (!t) continue;
        if (!lives_in_arena(t) || t->view || !window_of_operand(n, o, &v[o])) return;
        if (!whole(n) && (dtype_packed(t->type.dt) || t->type.dt == DT_STRING)) return;
        if ((dtype_packed(t->type.dt) || t->type.dt == DT_STRING || opaque_user(t)) && !is_dense(&t->type, &v[o])) return;
    }
    for (int o = 0; o < n->nout; o++)
        if (n->out[o] && !merge_life(a, v[o].base, n->out[o])) return;
    for (int o = 0; o < n->nout; o++)
        if (n->out[o]) set_view(a, n->out[o], &v[o]);
    n->kernel = -1;
}

bool pass_alias(Run *r) {
    loop_views(r->g);
    Alias a = {.g = r->g, .tmp = r->tmp};
    number_kernels(&a);
    lifetimes(&a);
    for (Node *n = r->g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (op_is(n, "Concat") && node_dynamic(n)) continue; /* where parts begin shows at run time */
        if (op_is(n, "Concat")) {
            dissolve_concat(&a, n);
        } else if (whole(n) && n->out[0] && (n->out[0]->is_output || n->out[0]->view) && hand_up(&a, n)) {
            n->kernel = -1;
        }
    }
    for (Node *n = r->g->first; n; n = n->next)
        if (n->kernel == 0 && viewable(n) && !op_is(n, "Concat")) dissolve_view(&a, n);
    return true;
}
