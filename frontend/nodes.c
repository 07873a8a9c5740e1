/* SPDX-License-Identifier: Apache-2.0 */
/* nodes.c: the node list becomes graph nodes. Names are resolved once, here; every problem is reported at its node, and a
 * stand-in tensor keeps one problem from being reported by each reader.
 *
 *   node { input: "x" input: "" input: "w" op_type: "Foo" output: "y" }   ->   y = Foo(x, -, w)
 */
#include <string.h>
#include "frontend/import.h"

Tensor absent_tensor; /* only its address is used */

typedef struct Unsupported {
    int64_t count;
    Loc first;
} Unsupported;

void scope_init(Importer *im, Scope *sc) {
    sc->value = map_new(im->tmp);
    sc->pending = map_new(im->tmp);
    sc->declared = map_new(im->tmp);
}
void scope_declare(Scope *sc, size_t n, Onnx__ValueInfoProto *const *v) {
    for (size_t i = 0; i < n; i++)
        if (v[i]->type && *pb_str(v[i]->name)) map_set(sc->declared, v[i]->name, v[i]->type);
}
Tensor *value_find(const Scope *sc, const char *name) {
    Tensor *t = map_get(sc->value, name);
    if (t) return t;
    if (map_get(sc->pending, name)) return NULL;        /* defined here, but later: it hides what is outside */
    t = sc->outer ? value_find(sc->outer, name) : NULL; /* as deep as bodies are nested */
    return t && sc->capture ? capture(sc, name, t) : t;
}
static bool name_taken(const Importer *im, const char *s) {
    return map_get(im->taken, s) || map_get(im->top->pending, s) || map_get(im->top->value, s);
}
/* A tensor name that nobody has yet; kept in the compilation's arena. */
const char *name_unique(Importer *im, const char *prefix, const char *name) {
    char *s = arena_printf(im->c->a, "%s%s", prefix, name);
    if (!name_taken(im, s)) return map_set(im->taken, s, im), s;
    static const int tries = 1000000;
    int *next = map_get(im->taken, arena_printf(im->tmp, "%s\n#", s));
    if (!next) {
        next = NEW(im->tmp, int);
        *next = 2;
        map_set(im->taken, arena_printf(im->tmp, "%s\n#", s), next);
    }
    for (; *next < tries; ++*next) {
        char *t = arena_printf(im->c->a, "%s_%d", s, *next);
        if (name_taken(im, t)) continue;
        map_set(im->taken, t, im);
        return t;
    }
    return s;
}

static Loc node_loc(Importer *im, const Scope *sc, const Onnx__NodeProto *p, int64_t index) {
    const char *name = pb_str(p->name);
    Loc l = {im->file, sc->depth ? sc->at.index : index, NULL, arena_strdup(im->c->a, *pb_str(p->op_type) ? p->op_type : "no op_type")};
    if (*name || *sc->prefix) l.name = arena_printf(im->c->a, "%s%s", sc->prefix, name);
    return l;
}

bool constants_import(Importer *im, Scope *sc, const Onnx__GraphProto *p) {
    bool ok = true;
    for (size_t i = 0; i < p->n_initializer + p->n_sparse_initializer; i++) {
        bool sparse = i >= p->n_initializer;
        const Onnx__SparseTensorProto *s = sparse ? p->sparse_initializer[i - p->n_initializer] : NULL;
        const Onnx__TensorProto *t = sparse ? s->values : p->initializer[i];
        const char *name = t ? pb_str(t->name) : "", *what = arena_printf(im->tmp, "initializer '%s'", name);
        if (!*name) {
            ok = diag_error(im->c->d, file_loc(im), "initializer %zu has no name", i);
            continue;
        }
        if (map_get(sc->value, name)) {
            ok = diag_error(im->c->d, file_loc(im), "initializer '%s' is defined twice", name);
            continue;
        }
        const char *own = name_unique(im, sc->prefix, name);
        Tensor *c = sparse ? sparse_import(im, s, own, what, file_loc(im)) : tensor_import(im, t, own, what, file_loc(im), !sc->call);
        ok &= c != NULL;
        map_set(sc->value, name, c ? c : tensor_new(im->g, own, DT_NONE, -1, NULL));
    }
    return ok;
}

/* ---- one node */
Tensor *input_find(Importer *im, Scope *sc, const char *name, int64_t index, Loc loc) {
    Tensor *t = value_find(sc, name);
    if (t) return t == &absent_tensor ? NULL : t;
    intptr_t later = (intptr_t)map_get(sc->pending, name) - 1;
    if (later == index) diag_error(im->c->d, loc, "input '%s' is the node's own output", name);
    else if (later > index)
        diag_error(im->c->d, loc, "input '%s' is computed only later, by node %lld; nodes must not make a cycle", name, (long long)later);
    else diag_error(im->c->d, loc, "input '%s' is neither an input of the graph, nor an initializer, nor an output of another node", name);
    t = tensor_new(im->g, NULL, DT_NONE, -1, NULL);
    if (later < 0) map_set(sc->value, name, t); /* told once */
    return t;
}
/* A tensor for each wanted output, with its declared type; the caller makes a node its definition. */
Tensor *output_declare(Importer *im, Scope *sc, const char *name) {
    Type ty = {.dt = DT_NONE, .rank = -1};
    const Onnx__TypeProto *p = map_get(sc->declared, name);
    if (p) type_import(im, p, arena_printf(im->tmp, "value '%s'", name), NULL, &ty);
    Tensor *t = tensor_new(im->g, sc->depth ? name_unique(im, sc->prefix, name) : arena_strdup(im->c->a, name), DT_NONE, -1, NULL);
    t->type = ty;
    dims_bind_output(im, t->name, &t->type);
    map_set(sc->value, name, t);
    return t;
}
static void unsupported_add(RawNode *r, const char *op) {
    Importer *im = r->im;
    const char *key = *r->domain ? arena_printf(im->tmp, "%s.%s", r->domain, op) : arena_strdup(im->tmp, op);
    Unsupported *u = map_get(im->unsupported, key);
    if (!u) {
        u = NEW(im->tmp, Unsupported);
        u->first = r->loc;
        map_set(im->unsupported, key, u);
    }
    u->count++;
}
static void no_operator(RawNode *r) {
    const char *why = op_refused(r->domain, r->op);
    if (why) diag_error(r->im->c->d, r->loc, "the operator is not supported: %s", why);
    else unsupported_add(r, r->op);
}
static bool arity_check(RawNode *r, const OpDef *op) {
    bool ok = true;
    int n = r->in.n;
    if (n < op->min_in || (op->max_in >= 0 && n > op->max_in)) {
        if (op->max_in < 0) ok = diag_error(r->im->c->d, r->loc, "%d inputs; at least %d are expected", n, op->min_in);
        else if (op->min_in == op->max_in) ok = diag_error(r->im->c->d, r->loc, "%d inputs; %d are expected", n, op->min_in);
        else ok = diag_error(r->im->c->d, r->loc, "%d inputs; %d to %d are expected", n, op->min_in, op->max_in);
    }
    for (int i = 0; i < n && i < op->min_in; i++)
        if (!r->in.v[i]) ok = diag_error(r->im->c->d, r->loc, "input %d is left out; it is required", i);
    if (op->max_out >= 0 && r->nout > op_most_out(op))
        ok = diag_error(r->im->c->d, r->loc, "%d outputs; at most %d are expected", r->nout, op_most_out(op));
    return ok;
}
void node_finish(RawNode *r) {
    const OpDef *op = op_find(r->domain, r->op);
    if (!op) op = user_op_find(r->im->o->ops, r->domain, r->op);
    if (!op) {
        no_operator(r);
        return;
    }
    while (r->in.n && !r->in.v[r->in.n - 1]) r->in.n--;
    if (!arity_check(r, op)) return;
    int nout = r->nout;
    if (nout < op->min_out) nout = op->min_out;
    Node *n = node_new(r->im->g, op, NULL, r->loc, r->in.n, r->in.v, nout);
    for (int i = 0; i < r->nout; i++)
        if (r->out[i]) node_set_out(n, i, r->out[i]);
    attrs_finish(r, n);
    hint_node(r->im, n);
}
static int64_t version_of(Importer *im, const Scope *sc, const char *domain, Loc loc) {
    const int64_t *v = map_get(sc->opset, domain);
    if (v) return *v;
    if (!map_get(im->undeclared, domain)) {
        map_set(im->undeclared, domain, im);
        diag_error(im->c->d, loc, "the model uses domain '%s' but imports no opset of it", *domain ? domain : "ai.onnx");
    }
    return ONNX_NEWEST_OPSET;
}

/* The node as it is in the file, with operands resolved. */
static void op_import(Importer *im, Scope *sc, const Onnx__NodeProto *p, int64_t index, Loc loc) {
    RawNode r = {.im = im, .sc = sc, .loc = loc, .op = pb_str(p->op_type), .domain = dom_str(p->domain)};
    int errors = im->c->d->errors;
    size_t nin = p->n_input, nout = p->n_output;
    while (nin && !*pb_str(p->input[nin - 1])) nin--;
    while (nout && !*pb_str(p->output[nout - 1])) nout--;
    r.in.v = NEW_ARRAY(im->tmp, Tensor *, nin);
    r.in.cap = (int)nin;
    for (size_t i = 0; i < nin; i++) vec_push(im->tmp, &r.in, *pb_str(p->input[i]) ? input_find(im, sc, p->input[i], index, loc) : NULL);
    r.out = NEW_ARRAY(im->tmp, Tensor *, nout + 1);
    for (size_t i = 0; i < nout; i++) {
        if (!*pb_str(p->output[i])) continue;
        Tensor *old = map_get(sc->value, p->output[i]);
        if (!old) r.out[i] = output_declare(im, sc, p->output[i]); /* else: a duplicate name, reported before */
    }
    r.nout = (int)nout;
    bool known = map_get(sc->opset, r.domain);
    if (!op_find(r.domain, r.op) && !upgrade_known(r.op) && !user_op_find(im->o->ops, r.domain, r.op)) {
        no_operator(&r);
        return;
    }
    r.version = version_of(im, sc, r.domain, loc);
    if (!known || !attrs_import(&r, p) || im->c->d->errors != errors) return;
    if (nout == 0) {
        diag_warn(im->c->d, loc, "the node has no outputs and is left out");
        return;
    }
    if (upgrade(&r) && !r.done) node_finish(&r);
}

/* Every output name of the list, so that use before definition and duplicates are told apart from missing ones. */
static void outputs_index(Importer *im, Scope *sc, size_t n, Onnx__NodeProto *const *node) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < node[i]->n_output; k++) {
            const char *name = pb_str(node[i]->output[k]);
            if (!*name) continue;
            intptr_t first = (intptr_t)map_get(sc->pending, name);
            if (first) {
                diag_error(im->c->d, node_loc(im, sc, node[i], (int64_t)i),
                           "output '%s' is already an output of node %lld; names must differ", name, (long long)first - 1);
            } else if (map_get(sc->value, name)) {
                diag_error(im->c->d, node_loc(im, sc, node[i], (int64_t)i),
                           "output '%s' is also an input or initializer; names must differ", name);
            } else {
                map_set(sc->pending, name, (void *)(intptr_t)(i + 1));
            }
        }
}
void nodes_import(Importer *im, Scope *sc, size_t n, Onnx__NodeProto *const *node) {
    outputs_index(im, sc, n, node);
    const size_t *order = nodes_order(im, sc, n, node);
    for (size_t k = 0; k < n; k++) {
        size_t i = order ? order[k] : k;
        const Onnx__NodeProto *p = node[i];
        Loc loc = node_loc(im, sc, p, (int64_t)i);
        const char *op = pb_str(p->op_type);
        Function *f = function_find(im, p);
        bool onnx = !*dom_str(p->domain);
        if (f) {
            function_inline(im, sc, f, p, loc);
        } else if (!*op) {
            diag_error(im->c->d, loc, "the node has no op_type");
        } else if (onnx && strcmp(op, "Constant") == 0) {
            const char *name = p->n_output == 1 ? pb_str(p->output[0]) : "";
            if (!*name || p->n_input) {
                diag_error(im->c->d, loc, "a Constant has no input and one output; %zu and %zu were found", p->n_input, p->n_output);
                continue;
            }
            if (map_get(sc->value, name)) continue; /* reported as a duplicate */
            const char *own = sc->depth ? name_unique(im, sc->prefix, name) : arena_strdup(im->c->a, name);
            Tensor *t = constant_import(im, sc, p, own, loc);
            map_set(sc->value, name, t ? t : tensor_new(im->g, own, DT_NONE, -1, NULL));
        } else if (!(onnx && strcmp(op, "If") == 0 && if_inline(im, sc, p, loc)) &&
                   !(strcmp(op, "FlexAttention") == 0 && flex_inline(im, sc, p, loc))) {
            if (!control_import(im, sc, p, (int64_t)i, loc)) op_import(im, sc, p, (int64_t)i, loc);
        }
    }
}

/* One error for all operators that nobody implements. */
void unsupported_report(Importer *im) {
    int n = map_count(im->unsupported);
    if (!n) return;
    Text t = {0};
    for (int i = 0; i < n; i++) {
        const Unsupported *u = map_value(im->unsupported, i);
        text_printf(&t, "%s%s (%lld node%s, first %lld", i ? ", " : "", map_key(im->unsupported, i), (long long)u->count,
                    u->count == 1 ? "" : "s", (long long)u->first.index);
        if (u->first.name && *u->first.name) text_printf(&t, " '%.80s'", u->first.name);
        text_puts(&t, ")");
    }
    diag_error(im->c->d, file_loc(im), "%d operator%s not supported: %s; 'quern ops' lists those that are, --op gives others a meaning", n,
               n == 1 ? " is" : "s are", t.s);
    text_free(&t);
}
