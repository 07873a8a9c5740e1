/* SPDX-License-Identifier: Apache-2.0 */
/* fold.c: one forward walk which infers types, expands rewrite rows and evaluates nodes whose operands are constants.
 * Shape arithmetic folds here: Shape of a known type is a constant, and what follows from it is too. Evaluation is the
 * interpreter on the op's own loop nest; there is no second evaluator. Afterwards every tensor's type is known.
 *
 *   s = Shape(x: float32[2,3,4])                          y = Reshape(x, [2,12])
 *   h = Gather(s, 0); r = Concat(h, [-1])          --->
 *   y = Reshape(x, r)
 */
#include "internal.h"
#include "ir/list.h"
#include <string.h>

enum { TMP_KEEP = 4 << 20 };
static const int64_t FOLD_BYTES = (int64_t)64 << 20; /* what all results may take, beside three times the model's own constants */
static const int64_t FOLD_SLACK = (int64_t)1 << 20;  /* a result may have this many elements whatever the operands */
static const int64_t FOLD_GROWTH = 16;               /* and else this many per operand element */
static const int64_t FOLD_MACS = (int64_t)1 << 31;   /* more work than this is left to run time */

void folder_init(Folder *f, Ctx *c, Graph *g) {
    *f = (Folder){.c = c, .g = g, .tmp = arena_new()};
    f->nbad = g->tensors.n;
    f->bad = NEW_ARRAY(g->a, int, f->nbad);
    f->budget = FOLD_BYTES;
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.v[i]->data) f->budget += 3 * tensor_bytes(g->tensors.v[i]);
}
void folder_done(Folder *f) { arena_free(f->tmp); }

static bool is_bad(const Folder *f, const Tensor *t) { return t && t->id < f->nbad && f->bad[t->id]; }
static void mark_bad(Folder *f, const Tensor *t, int why) {
    if (!t) return;
    if (t->id >= f->nbad) { /* made by a rewrite: double, so that growing stays linear */
        int n = t->id * 2 + 64;
        int *b = NEW_ARRAY(f->g->a, int, n);
        memcpy(b, f->bad, sizeof *b * (size_t)f->nbad);
        f->bad = b, f->nbad = n;
    }
    f->bad[t->id] = why;
}

static bool foldable_type(const Type *t) {
    DClass k = t->dt > 0 && t->dt < DT_COUNT ? dtype_info[t->dt].cls : CLS_NONE;
    if (t->ext) return false; /* the extents are only bounds */
    return type_known(t) && k != CLS_STR && k != CLS_CPLX && k != CLS_NONE;
}
/* Whether a node may be evaluated now: constants only, and a result in proportion to them. */
static bool may_fold(Folder *f, const Node *n) {
    int64_t in = 0, out = 0, bytes = 0, k;
    if (n->op->flags & (OPF_RANDOM | OPF_KEEP)) return false;
    if (op_is(n, "DequantizeLinear") && (f->hold || (f->narrow && attr_i(n, op_attr_index(n->op, "block_size")) > 0))) return false;
    if (op_is(n, "Identity") && n->out[0] && n->out[0]->is_output) return false; /* what fold itself leaves at an output */
    for (int i = 0; i < n->nin; i++) {
        if (!n->in[i]) continue;
        if (!n->in[i]->data || !foldable_type(&n->in[i]->type)) return false;
        in += tensor_elements(n->in[i]);
    }
    for (int i = 0; i < n->op->nattr; i++)
        if (n->attr[i].kind == ATTR_GRAPH) return false;
    for (int i = 0; i < n->nout; i++) {
        if (!n->out[i]) continue;
        if (n->out[i]->kept) return false; /* an extent: what it is computed from is no operand */
        if (!foldable_type(&n->out[i]->type) || !type_elements(&n->out[i]->type, &k) || !add_ok(out, k, &out)) return false;
        if (!dtype_bytes(n->out[i]->type.dt, k, &k) || !add_ok(bytes, k, &bytes)) return false;
    }
    bool big = bytes > f->budget || out > in * FOLD_GROWTH + FOLD_SLACK;
    if (!big && n->op->macs) {
        int64_t macs = n->op->macs(n);
        big = macs < 0 || macs > FOLD_MACS;
    }
    f->refused += big;
    if (!big) f->budget -= bytes;
    return !big;
}

/* Storage of a constant at the alignment its elements need (raw data of a file may stand anywhere). */
static void *aligned_data(Arena *a, const Tensor *t) {
    int bytes = dtype_info[t->type.dt].bits / 8;
    if (bytes <= 1 || ((uintptr_t)t->data & (uintptr_t)(bytes - 1)) == 0) return (void *)t->data;
    void *copy = arena_alloc(a, (size_t)tensor_bytes(t));
    memcpy(copy, t->data, (size_t)tensor_bytes(t));
    return copy;
}

/* Runs the node's nest. *data per output; false: it has no value now (an error was reported, or a run-time check failed). */
static bool evaluate(Folder *f, Node *n, void **data) {
    Ctx tc = {f->tmp, f->c->d};
    Tensor **arg;
    Func *fn = lower_node(&tc, f->g, n, &arg);
    if (!fn) return false;
    void **param = NEW_ARRAY(f->tmp, void *, fn->param.n + 1);
    for (int i = 0; i < fn->param.n; i++) {
        Buf *b = fn->param.v[i];
        if (!arg[i]) { /* scratch */
            int64_t count = 1, bytes;
            for (int k = 0; k < b->rank; k++) count *= b->dim[k];
            if (!dtype_bytes(b->dt, count, &bytes)) BUG("scratch of '%s' overflows", n->op->name);
            param[i] = arena_alloc(f->tmp, (size_t)bytes);
        } else if (arg[i]->data) {
            param[i] = aligned_data(f->tmp, arg[i]);
        } else {
            int o = arg[i]->def_index;
            if (!data[o]) data[o] = arena_alloc(f->g->a, (size_t)tensor_bytes(arg[i]));
            param[i] = data[o];
        }
    }
    return interp_run(&tc, fn, param, NULL);
}

/* The output becomes a constant; a graph output stays the output of a node, an Identity of that constant. */
static void replace_by_const(Folder *f, Node *n, int o, const void *data) {
    Tensor *old = n->out[o];
    Tensor *k = tensor_const(f->g, old->is_output ? NULL : old->name, old->type.dt, old->type.rank, old->type.dim, data);
    tensor_replace(f->g, old, k, false);
    if (!old->is_output) return;
    Node *copy = node_new(f->g, op_find("", "Identity"), n, n->loc, 1, &k, 1);
    n->out[o] = NULL;
    node_set_out(copy, 0, old);
}

/* Shape and Size look at the type alone. */
static bool fold_shape(Folder *f, Node *n) {
    bool shape = op_is(n, "Shape");
    const Type *t = n->nin && n->in[0] ? &n->in[0]->type : NULL;
    if (!t || !n->out[0] || (!shape && !op_is(n, "Size")) || !type_known(t) || t->ext) return false;
    int64_t count;
    if (!shape) {
        if (!type_elements(t, &count)) return false;
        int64_t *v = NEW(f->g->a, int64_t);
        *v = count;
        replace_by_const(f, n, 0, v);
        return true;
    }
    int ks = op_attr_index(n->op, "start"), ke = op_attr_index(n->op, "end");
    int64_t lo = ks >= 0 && attr_has(n, ks) ? attr_i(n, ks) : 0, hi = ke >= 0 && attr_has(n, ke) ? attr_i(n, ke) : t->rank;
    lo = max_i64(0, min_i64(lo < 0 ? lo + t->rank : lo, t->rank));
    hi = max_i64(lo, min_i64(hi < 0 ? hi + t->rank : hi, t->rank));
    int64_t *v = NEW_ARRAY(f->g->a, int64_t, hi - lo);
    for (int64_t i = lo; i < hi; i++) v[i - lo] = t->dim[i];
    replace_by_const(f, n, 0, v);
    return true;
}

/* Shape arithmetic on run-time extents: values become expressions, or constants after all. */
static bool fold_symbolic(Folder *f, Node *n) {
    bool known = f->g->extent.n > 0, shape = op_is(n, "Shape") || op_is(n, "Size");
    for (int i = 0; known && !shape && i < n->nin; i++) known = !n->in[i] || n->in[i]->data || n->in[i]->val;
    if (!known || n->op->kind == OP_OPAQUE || strcmp(n->op->domain, "quern") == 0) return false;
    for (int o = 0; o < n->nout; o++) {
        DType t = n->out[o] ? n->out[o]->type.dt : DT_INT64;
        if (!dtype_is_int(t) && t != DT_BOOL && t != DT_FLOAT32 && t != DT_FLOAT64) return false;
    }
    Expr ***val = NEW_ARRAY(f->g->a, Expr **, n->nout);
    if (!symbolic_values(f->c, f->g, n, val)) return false;
    bool all = true;
    for (int o = 0; o < n->nout; o++) {
        Tensor *t = n->out[o];
        if (!t) continue;
        int64_t count = tensor_elements(t);
        DType dt = t->type.dt;
        bool constant = true;
        for (int64_t k = 0; k < count; k++) constant &= val[o][k]->k == E_INT || val[o][k]->k == E_FLT;
        t->val = val[o];
        all &= constant;
        if (!constant) continue;
        char *data = arena_alloc(f->g->a, (size_t)tensor_bytes(t) + 16);
        for (int64_t k = 0; k < count; k++) {
            if (val[o][k]->k == E_FLT) dtype_set_f(dt, data, k, val[o][k]->u.f);
            else dtype_set_i(dt, data, k, val[o][k]->u.i);
        }
        t->val = NULL;
        replace_by_const(f, n, o, data);
    }
    return all;
}
/* What is known as expressions of extents is computed from them at once where its values are needed at run time. */
static void materialise(Graph *g) {
    for (Node *n = g->first, *next; n; n = next) {
        next = n->next;
        bool known = n->nout > 0 && strcmp(n->op->domain, "quern") != 0;
        for (int o = 0; known && o < n->nout; o++) known = n->out[o] && n->out[o]->val && !n->out[o]->read;
        if (!known) continue;
        for (int o = 0; o < n->nout; o++) {
            Tensor *t = n->out[o];
            Node *m = node_new(g, op_find("quern", "Extents"), n, n->loc, 0, NULL, 1);
            n->out[o] = NULL;
            node_set_out(m, 0, t);
        }
        node_remove(g, n);
    }
}

static bool outputs_bad(Folder *f, Node *n, int why) {
    for (int i = 0; i < n->nout; i++) mark_bad(f, n->out[i], why);
    return why > 0;
}
/* ---- branches that the shapes at hand do not allow, such as the one for another sampling rate. Their error waits: a Select between such a
 * branch and one that is well formed takes the latter, and a call whose condition asks for the former ends with an error of shapes.
 *
 *   c ? LSTM(Unsqueeze(x)) : y   --->   y, where not c; otherwise E_SHAPE */
enum { REPORTED = -1 };
/* What was said since `from` about a node that failed: stays said, or is held. */
static int reason(Folder *f, const Node *n, int from, int errors) {
    Diags *d = f->c->d;
    int first = from;
    while (first < d->list.n && d->list.v[first].severity != DIAG_ERROR) first++;
    if (!f->branches || !n->branch || first == d->list.n) return REPORTED;
    vec_push(f->c->a, &f->held, d->list.v[first]);
    d->list.n = from, d->errors = errors;
    return f->held.n;
}
static bool branch_left_out(Folder *f, Node *n, Node **next) {
    if (n->op != op_find("quern", "Select") || is_bad(f, n->in[0]) || is_bad(f, n->in[1]) == is_bad(f, n->in[2])) return false;
    int k = is_bad(f, n->in[1]) ? 1 : 2, why = f->bad[n->in[k]->id];
    Infer x = {f->c, f->g, n};
    if (why < 0 || !n->out[0]) return false;
    Diag *g = &f->held.v[why - 1];
    Expr *zero = e_int(f->g->a, 0), *cond = infer_value_of(&x, n->in[0], 0);
    if (!infer_require(&x, k == 1 ? e_eq(f->g->a, cond, zero) : e_bin(f->g->a, BIN_NE, cond, zero))) return false;
    if (g->severity == DIAG_ERROR)
        diag_warn(f->c->d, g->loc, "%s; this branch of an If is left out, and a call whose condition takes it ends with E_SHAPE", g->text);
    g->severity = DIAG_WARNING;
    Tensor *y = build(f->g, n, "Identity", 1, &n->in[3 - k]);
    *next = y->def;
    tensor_replace(f->g, n->out[0], y, true);
    node_remove(f->g, n);
    return true;
}
/* Removes the branches that were left out. What something needs all the same is an error now. */
static bool branches_end(Folder *f) {
    bool ok = true;
    for (int i = 0; i < f->g->out.n; i++) {
        const Tensor *t = f->g->out.v[i];
        if (!is_bad(f, t) || f->bad[t->id] < 0) continue;
        Diag *g = &f->held.v[f->bad[t->id] - 1];
        if (g->severity == DIAG_ERROR) diag_error(f->c->d, g->loc, "%s", g->text);
        g->severity = DIAG_WARNING, ok = false;
    }
    for (Node *n = f->g->last, *prev; ok && f->held.n && n; n = prev) {
        prev = n->prev;
        bool dead = n->nout > 0;
        for (int i = 0; i < n->nout; i++) dead &= !n->out[i] || (is_bad(f, n->out[i]) && !n->out[i]->uses);
        if (dead) node_remove(f->g, n);
    }
    return ok;
}

bool fold_node(Folder *f, Node *n, Node **next) {
    *next = n->next;
    for (int i = 0; i < n->nin; i++)
        if (is_bad(f, n->in[i])) {
            if (!branch_left_out(f, n, next)) outputs_bad(f, n, f->bad[n->in[i]->id]);
            return true; /* its own error was reported already, or waits */
        }
    Node *before = n->prev;
    bool gone;
    int said = f->c->d->list.n, errors = f->c->d->errors;
    if (!list_node(f->c, f->g, n, &gone) || (!gone && !complex_node(f->c, f->g, n, &gone)) || (!gone && !node_infer(f->c, f->g, n)))
        return outputs_bad(f, n, reason(f, n, said, errors));
    if (!gone) before = n->prev;
    if (gone || n->op->kind == OP_REWRITE) {
        if (!gone && !n->op->rewrite(f->c, f->g, n)) { /* what it built before it failed has no types; its error says it all */
            int why = reason(f, n, said, errors);
            for (Node *m = n->prev; m != before; m = m->prev) outputs_bad(f, m, why);
            return outputs_bad(f, n, why);
        }
        *next = before ? before->next : f->g->first;
        for (Node *m = *next; m != n; m = m->next) m->when = m->when ? m->when : n->when, m->branch = m->branch ? m->branch : n->branch;
        *next = *next == n ? n->next : *next;
        node_remove(f->g, n);
        return true;
    }
    bool done = fold_shape(f, n) || fold_symbolic(f, n);
    if (!done && may_fold(f, n)) {
        void **data = NEW_ARRAY(f->tmp, void *, n->nout);
        done = evaluate(f, n, data);
        if (f->c->d->errors > errors) return outputs_bad(f, n, reason(f, n, said, errors));
        for (int i = 0; done && i < n->nout; i++)
            if (n->out[i]) replace_by_const(f, n, i, data[i] ? data[i] : arena_alloc(f->g->a, 16));
        if (arena_used(f->tmp) > TMP_KEEP) arena_free(f->tmp), f->tmp = arena_new();
    }
    if (done) {
        f->folded++;
        node_remove(f->g, n);
    }
    return true;
}

/* What is unknown about a type, in words. */
static void say_unknown(const Type *t, Text *out) {
    if (t->dt == DT_NONE) text_puts(out, "its element type");
    if (t->rank < 0) text_printf(out, "%sits rank", out->n ? ", " : "");
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 0)
            text_printf(out, "%sthe extent of axis %d%s%s", out->n ? ", " : "", i, t->sym && t->sym[i] ? " = " : "",
                        t->sym && t->sym[i] ? t->sym[i] : "");
}
static bool check_known(Folder *f, const Tensor *t, Loc loc) {
    if (!t || is_bad(f, t) || type_known(&t->type) || t->type.wrap) return true;
    Text what = {0};
    say_unknown(&t->type, &what);
    diag_error(f->c->d, loc,
               "tensor '%s' has no complete type: %s cannot be derived; declare its type in the model or bind the dimension with --dim",
               t->name, what.s);
    text_free(&what);
    mark_bad(f, t, REPORTED); /* say it once: what follows from it is not said again */
    return false;
}

/* What the model declares of an output is as true of what it is a mere cast or function of, where nothing is declared. */
static void declare_back(Graph *g) {
    for (Node *n = g->last; n; n = n->prev) {
        bool same = n->nin > 0 && n->nout == 1 && ((n->op->kind == OP_EXPR && n->op->max_in == 1) || op_is(n, "CastLike"));
        Tensor *x = same ? n->in[0] : NULL;
        const Type *t = same && n->out[0] ? &n->out[0]->type : NULL;
        if (!x || !t || t->rank < 0 || !x->def || x->type.rank >= 0) continue;
        x->type.rank = t->rank, x->type.sym = t->sym;
        memcpy(x->type.dim, t->dim, sizeof t->dim);
    }
}

bool fold_all(Run *r, bool hold) {
    Folder f;
    declare_back(r->g);
    folder_init(&f, r->c, r->g);
    f.hold = hold, f.narrow = r->o->narrow_weights, f.branches = true;
    Type *declared = NEW_ARRAY(r->tmp, Type, r->g->out.n + 1);
    for (int i = 0; i < r->g->out.n; i++) declared[i] = *port_type(r->g->out.v[i]);
    if (!lists_open(r->c, r->g)) return false;
    bool ok = true, packed = false;
    for (int i = 0; i < r->g->in.n; i++) ok &= check_known(&f, r->g->in.v[i], (Loc){r->g->file, -1, NULL, NULL});
    for (Node *n = r->g->first, *next; n; n = next) {
        if (!fold_node(&f, n, &next)) {
            ok = false;
            continue;
        }
    }
    ok &= branches_end(&f);
    for (Node *n = r->g->first; n; n = n->next)
        for (int i = 0; i < n->nout; i++) ok &= check_known(&f, n->out[i], n->loc);
    folder_done(&f);
    ok = ok && lists_pack(r->c, r->g, declared);
    for (int i = 0; i < r->g->out.n; i++) packed |= r->g->out.v[i]->packed != NULL;
    if (ok && (r->g->extent.n || packed)) materialise(r->g), extent_outputs(r->g);
    return ok && r->c->d->errors == 0;
}
bool pass_fold(Run *r) {
    bool quantised = false;
    for (int i = 0; i < r->g->tensors.n; i++)
        if (r->g->tensors.v[i]->data) r->g->given += tensor_bytes(r->g->tensors.v[i]);
    for (Node *n = r->g->first; n; n = n->next) quantised |= strstr(n->op->name, "QLinear") || strstr(n->op->name, "QuantizeLinear");
    return fold_all(r, quantised);
}
