/* SPDX-License-Identifier: Apache-2.0 */
/* user_op.c: operators that a user brings along, as rows like those of ops.def.
 *
 *   graph Twice(x: ?) -> (y)
 *     y: ? = Add(x, x)                 y = Twice(a)   --->   y = Add(a, a)
 */
#include "user_op.h"
#include <ctype.h>
#include <string.h>

enum { FILE_MOST = 16 << 20, CALL_OPERANDS = 16, CALL_NUMBERS = 64 };

static const char any_domain[] = "*";

/* ---- a graph */
static bool other_type(Ctx *c, const Node *n, int i, const Type *got, const Type *want, const char *what) {
    Text g = {0}, w = {0};
    type_print(got, &g), type_print(want, &w);
    diag_error(c->d, n->loc, "input %d is %s; the %s given with --op takes %s", i, g.s, what, w.s);
    text_free(&g), text_free(&w);
    return false;
}
/* What a file says of its inputs holds; what it leaves open (?) may be anything. */
static bool takes(const Type *want, const Type *got) {
    if (want->dt != DT_NONE && want->dt != got->dt) return false;
    if (want->rank >= 0 && want->rank != got->rank) return false;
    for (int i = 0; i < want->rank; i++)
        if (!want->ext && want->dim[i] >= 0 && ((got->ext && got->ext[i]) || want->dim[i] != got->dim[i])) return false;
    return true;
}
static bool rewrite_graph(Ctx *c, Graph *g, Node *n) {
    const Graph *b = ((const UserOp *)n->op)->graph;
    for (int i = 0; i < b->in.n && i < n->nin; i++)
        if (n->in[i] && !takes(&b->in.v[i]->type, &n->in[i]->type)) return other_type(c, n, i, &n->in[i]->type, &b->in.v[i]->type, "graph");
    Tensor **to = NEW_ARRAY(c->a, Tensor *, b->tensors.n + 1);
    for (int i = 0; i < b->in.n; i++) to[b->in.v[i]->id] = i < n->nin ? n->in[i] : NULL;
    for (int i = 0; i < b->tensors.n; i++) {
        const Tensor *t = b->tensors.v[i];
        if (t->data) to[t->id] = tensor_const(g, NULL, t->type.dt, t->type.rank, t->type.dim, t->data);
    }
    for (const Node *m = b->first; m; m = m->next) {
        Tensor **in = NEW_ARRAY(c->a, Tensor *, m->nin + 1);
        for (int i = 0; i < m->nin; i++) in[i] = m->in[i] ? to[m->in[i]->id] : NULL;
        Node *k = node_new(g, m->op, n, n->loc, m->nin, in, m->nout);
        if (m->op->nattr) memcpy(k->attr, m->attr, sizeof *m->attr * (size_t)m->op->nattr);
        for (int i = 0; i < m->nout; i++)
            if (m->out[i]) node_set_out(k, i, to[m->out[i]->id] = tensor_new(g, NULL, DT_NONE, -1, NULL));
    }
    for (int i = 0; i < b->out.n && i < n->nout; i++)
        if (n->out[i]) tensor_replace(g, n->out[i], to[b->out.v[i]->id], true);
    return true;
}

/* ---- a loop nest */
static void buf_type(const Buf *b, Type *t) {
    *t = (Type){.dt = b->dt, .rank = b->rank};
    memcpy(t->dim, b->dim, sizeof t->dim);
}
static bool infer_func(Infer *x) {
    const Func *f = ((const UserOp *)x->n->op)->func;
    for (int i = 0, in = 0, out = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        Type want;
        buf_type(b, &want);
        if (b->written) {
            if (x->n->out[out] && !infer_out(x, out, want.dt, want.rank, want.dim)) return false;
            out++;
            continue;
        }
        const Type *got = &x->n->in[in]->type;
        if (!type_same(got, &want)) return other_type(x->c, x->n, in, got, &want, "nest");
        in++;
    }
    return true;
}
static bool lower_func(Lower *L, Node *n) {
    const Func *f = ((const UserOp *)n->op)->func;
    Buf **param = NEW_ARRAY(L->a, Buf *, f->param.n + 1);
    for (int i = 0, in = 0, out = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        Tensor *t = b->written ? n->out[out++] : n->in[in++];
        param[i] = t ? lower_tensor(L, t) : lower_temp(L, b->name, b->dt, b->rank, b->dim); /* an output that nobody asked for */
        if (b->written) param[i]->written = true;
    }
    s_append(L->a, L->open.v[L->open.n - 1], func_inline(L->f, f, param));
    return true;
}

/* ---- a C function */
static bool infer_call(Infer *x) {
    for (int i = 0; i < x->n->nout; i++) {
        Tensor *t = x->n->out[i];
        if (!t || type_known(&t->type)) continue;
        if (!x->n->nin || !x->n->in[0])
            return infer_error(x, "output %d has no declared type and there is no input 0 to take one from; declare it in the model", i);
        const Type *like = &x->n->in[0]->type;
        if (!infer_out(x, i, like->dt, like->rank, like->dim)) return false;
    }
    return true;
}
static bool lower_user_call(Lower *L, Node *n) {
    Expr *arg[CALL_NUMBERS];
    Buf *buf[CALL_OPERANDS];
    int narg = 0, nbuf = 0;
    arg[narg++] = e_int(L->a, n->nin), arg[narg++] = e_int(L->a, n->nout);
    for (int i = 0; i < n->nin + n->nout; i++) {
        Tensor *t = i < n->nin ? n->in[i] : n->out[i - n->nin];
        if (!t) return diag_error(L->c->d, n->loc, "operand %d is left out; '%s' takes all of them", i, n->op->name);
        if (nbuf == CALL_OPERANDS || narg + 1 + t->type.rank > CALL_NUMBERS)
            return diag_error(L->c->d, n->loc, "too many operands or axes for one C function (at most %d and %d)", CALL_OPERANDS,
                              CALL_NUMBERS);
        arg[narg++] = e_int(L->a, t->type.rank);
        for (int k = 0; k < t->type.rank; k++) arg[narg++] = e_int(L->a, t->type.dim[k]);
        buf[nbuf++] = lower_tensor(L, t);
    }
    lower_call(L, ((const UserOp *)n->op)->symbol, narg, arg, nbuf, buf, (uint32_t)(((1u << n->nout) - 1) << n->nin));
    return true;
}

/* ---- reading */
static int64_t no_macs(const Node *n) { return (void)n, 0; }
static void name_row(Ctx *c, UserOp *u, const char *name) {
    const char *sep = strstr(name, "::");
    u->def.domain = sep ? arena_strndup(c->a, name, (size_t)(sep - name)) : any_domain;
    u->def.name = sep ? sep + 2 : name;
    u->def.since = 1, u->def.macs = no_macs, u->def.attr_spec = "", u->def.types = "", u->def.doc = "Given with --op.";
}
static bool c_identifier(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    return true;
}
static bool read_call(Ctx *c, const char *spec, const char *eq, UserOp *u) {
    const char *name = arena_strndup(c->a, spec, (size_t)(eq - spec));
    if (!*name || !c_identifier(eq + 1) || strncmp(eq + 1, "qn_", 3) == 0)
        return diag_error(c->d, NO_LOC, "--op %s: expected NAME=function, with a C identifier that does not begin with qn_", spec);
    name_row(c, u, name);
    u->symbol = eq + 1;
    u->def.min_in = 0, u->def.max_in = -1, u->def.min_out = 1, u->def.max_out = -1;
    u->def.kind = OP_OPAQUE, u->def.flags = OPF_RANDOM; /* nothing is known of it, so it is neither folded nor merged */
    u->def.infer = infer_call, u->def.lower = lower_user_call;
    return true;
}
static bool read_file(Ctx *c, const char *file, UserOp *u) {
    size_t n;
    const char *bytes = file_read_whole(c, file, FILE_MOST, &n);
    if (!bytes) return false;
    const char *text = arena_strndup(c->a, bytes, n), *s = text;
    while (isspace((unsigned char)*s) || *s == '#') s += *s == '#' ? strcspn(s, "\n") : 1;
    int in = 0, out = 0;
    if (strncmp(s, "graph", 5) == 0) {
        u->graph = graph_parse(c, file, text);
        if (!u->graph) return false;
        name_row(c, u, u->graph->name);
        in = u->graph->in.n, out = u->graph->out.n;
        u->def.kind = OP_REWRITE, u->def.rewrite = rewrite_graph;
    } else if (strncmp(s, "func", 4) == 0) {
        u->func = func_parse(c, file, text);
        if (!u->func || !func_verify(c, u->func)) return false;
        name_row(c, u, u->func->name);
        for (int i = 0; i < u->func->param.n; i++) {
            if (u->func->param.v[i]->space != MEM_PARAM)
                return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "the nest of an operator has no scratch; alloc it inside");
            u->func->param.v[i]->written ? out++ : in++;
        }
        u->def.kind = OP_KERNEL, u->def.infer = infer_func, u->def.lower = lower_func;
    } else return diag_error(c->d, (Loc){file, -1, NULL, NULL}, "expected `graph NAME(…)` or `func NAME(…)` at the beginning");
    u->def.min_in = u->def.max_in = in, u->def.min_out = u->def.max_out = out;
    return out > 0 || diag_error(c->d, (Loc){file, -1, NULL, NULL}, "the operator has no output");
}
bool user_op_read(Ctx *c, const char *spec, UserOps *ops) {
    UserOp *u = NEW(c->a, UserOp);
    const char *eq = strchr(spec, '=');
    size_t n = strlen(spec);
    ops_init();
    bool ok = eq && !(n > 4 && strcmp(spec + n - 4, ".qir") == 0) ? read_call(c, spec, eq, u) : read_file(c, spec, u);
    if (!ok) return false;
    const char *domain = u->def.domain == any_domain ? "" : u->def.domain;
    if (op_find(domain, u->def.name))
        return diag_error(c->d, NO_LOC, "--op %s: operator '%s' is built in; give it a domain of its own", spec, u->def.name);
    for (int i = 0; i < ops->n; i++)
        if (strcmp(ops->v[i]->def.name, u->def.name) == 0 && strcmp(ops->v[i]->def.domain, u->def.domain) == 0)
            return diag_error(c->d, NO_LOC, "--op %s: operator '%s' is given twice", spec, u->def.name);
    vec_push(c->a, ops, u);
    return true;
}
const OpDef *user_op_find(const UserOps *ops, const char *domain, const char *name) {
    for (int i = 0; ops && i < ops->n; i++) {
        const OpDef *d = &ops->v[i]->def;
        if (strcmp(d->name, name) == 0 && (d->domain == any_domain || strcmp(d->domain, domain) == 0)) return d;
    }
    return NULL;
}
