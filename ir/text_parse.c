/* SPDX-License-Identifier: Apache-2.0 */
/* text_parse.c: text -> graph (grammar: text.h). One line is one statement, so an error ends its line and the next line is read;
 * all errors are reported. Any bytes end in a graph that verifies or in errors: sizes are bounded, nothing recurses deeply.
 *
 *     r: float32[4] = Relu(q)   ->   net.qir: 7: error: 'q' is not defined above
 */
#include "text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct PendingView { /* a base may be defined later */
    Tensor *t;
    const char *base;
    int64_t line;
} PendingView;
typedef struct Parser {
    Ctx *c;
    Graph *g;
    const char *file, *s; /* what is not yet read */
    int64_t line;
    bool bad;            /* an error in this line */
    bool lost;           /* names of a bad line are unknown: say nothing about undefined ones */
    Map *names;          /* -> Tensor */
    int64_t const_bytes; /* of all constants so far */
    int64_t *low;        /* inside of a type that is no tensor: extents may be ranges, whose lower ends go here */
    int depth;           /* of such types */
    int fresh;           /* tensors from this id on are outputs of this line */
    Vec(PendingView) views;
    Vec(const char *) outs; /* of the graph */
} Parser;
typedef Vec(Tensor *) Tensors;

static Loc here(const Parser *p) { return (Loc){p->file, p->line, NULL, NULL}; }
/* Only the first error of a line: the others follow from it. Always false. */
static bool fail(Parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(Parser *p, const char *fmt, ...) {
    if (p->bad) return false;
    p->bad = true;
    va_list ap;
    va_start(ap, fmt);
    Text t = {0};
    text_vprintf(&t, fmt, ap);
    va_end(ap);
    diag_error(p->c->d, here(p), "%s", t.s);
    text_free(&t);
    return false;
}

/* ---- bytes */
static void space(Parser *p) {
    while (*p->s == ' ' || *p->s == '\t' || *p->s == '\r') p->s++;
    if (*p->s == '#') p->s += strcspn(p->s, "\n");
}
static void next_line(Parser *p) {
    p->s += strcspn(p->s, "\n");
    if (*p->s) p->s++, p->line++;
}
static bool line_end(Parser *p) {
    space(p);
    return !*p->s || *p->s == '\n';
}
static bool take(Parser *p, const char *t) {
    space(p);
    size_t n = strlen(t);
    if (strncmp(p->s, t, n) != 0) return false;
    p->s += n;
    return true;
}
static bool expect_found(Parser *p, const char *what) {
    if (line_end(p)) return fail(p, "the line ends where %s is expected", what);
    return fail(p, "found '%.*s' where %s is expected", (int)min_i64(20, (int64_t)strcspn(p->s, "\r\n")), p->s, what);
}
static bool expect(Parser *p, const char *t) {
    if (take(p, t)) return true;
    char what[24];
    snprintf(what, sizeof what, "'%s'", t);
    return expect_found(p, what);
}
static bool word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }
static size_t word_length(Parser *p) { /* of the word that stands here */
    size_t n = 0;
    space(p);
    while (word_byte(p->s[n])) n++;
    return n;
}
static bool take_word(Parser *p, const char *w) {
    size_t n = word_length(p);
    if (n != strlen(w) || memcmp(p->s, w, n) != 0) return false;
    p->s += n;
    return true;
}
static bool take_absent(Parser *p) {
    size_t n = word_length(p);
    if (n != 1 || *p->s != '_' || p->s[1] == '/' || p->s[1] == '.') return false;
    p->s++;
    return true;
}
static const char *word(Parser *p, const char *what) {
    size_t n = word_length(p);
    if (n == 0) return expect_found(p, what), NULL;
    p->s += n;
    return arena_strndup(p->c->a, p->s - n, n);
}
static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
/* "…" with escapes; its length in *n. NULL after an error. */
static const char *string(Parser *p, int64_t *n) {
    if (!take(p, "\"")) return expect_found(p, "a string"), NULL;
    size_t most = 0;
    while (p->s[most] && p->s[most] != '\n' && p->s[most] != '"') most += p->s[most] == '\\' && p->s[most + 1] ? 2 : 1;
    char *r = arena_alloc(p->c->a, most + 1);
    *n = 0;
    for (; *p->s != '"'; p->s++) {
        char c = *p->s;
        if (!c || c == '\n') return fail(p, "a string does not end in its line; expected '\"'"), NULL;
        if (c == '\\') {
            c = *++p->s;
            if (c == 'x' && hex_digit(p->s[1]) >= 0 && hex_digit(p->s[2]) >= 0) {
                c = (char)(hex_digit(p->s[1]) * 16 + hex_digit(p->s[2]));
                p->s += 2;
            } else if (c == 'n' || c == 't') {
                c = c == 'n' ? '\n' : '\t';
            } else if (c != '"' && c != '\\') {
                return fail(p, "unknown escape in a string; expected \\\" \\\\ \\n \\t or \\xHH"), NULL;
            }
        }
        r[(*n)++] = c;
    }
    p->s++;
    return r;
}
static const char *text_without_nul(Parser *p) {
    int64_t n;
    const char *s = string(p, &n);
    if (s && (int64_t)strlen(s) != n) return fail(p, "\\x00 is not allowed here"), NULL;
    return s;
}
static const char *name(Parser *p) {
    size_t n = 0;
    space(p);
    if (*p->s == '%') {
        p->s++;
        return text_without_nul(p);
    }
    while (word_byte(p->s[n]) || p->s[n] == '/' || p->s[n] == '.') n++;
    const char *s = arena_strndup(p->c->a, p->s, n);
    if (!text_name_bare(s)) return expect_found(p, "a name"), NULL;
    p->s += n;
    return s;
}
static bool integer(Parser *p, int64_t *v) {
    space(p);
    size_t n = *p->s == '-';
    while (p->s[n] >= '0' && p->s[n] <= '9') n++;
    const char *why;
    if (!text_element_parse(DT_INT64, p->s, n, v, 0, &why)) {
        if (n == 0) return expect_found(p, "an integer");
        return fail(p, "'%.*s' %s", (int)min_i64(40, (int64_t)n), p->s, why);
    }
    p->s += n;
    return true;
}
static bool element(Parser *p, DType dt, void *data, int64_t i) {
    space(p);
    size_t n = strspn(p->s, "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    const char *why;
    if (!text_has_literals(dt)) return fail(p, "elements of type %s cannot be written as numbers; use hex(\"…\")", dtype_name(dt));
    if (!text_element_parse(dt, p->s, n, data, i, &why)) {
        if (n == 0) return expect_found(p, "a number");
        return fail(p, "'%.*s' %s (%s)", (int)min_i64(40, (int64_t)n), p->s, why, dtype_name(dt));
    }
    p->s += n;
    return true;
}

/* ---- types */
static bool type(Parser *p, Type *t);
static bool dim(Parser *p, Type *t) {
    if (t->rank == QN_MAX_RANK) return fail(p, "a type with more than %d axes", QN_MAX_RANK);
    int i = t->rank++;
    t->dim[i] = DIM_UNKNOWN;
    if (take(p, "?")) return true;
    if (!(*p->s >= '0' && *p->s <= '9') && *p->s != '-') {
        const char *sym = name(p);
        if (!sym) return false;
        if (!t->sym) t->sym = NEW_ARRAY(p->c->a, const char *, QN_MAX_RANK);
        t->sym[i] = sym;
        if (!take(p, "=")) return true;
    }
    if (!integer(p, &t->dim[i])) return false;
    if (p->low) p->low[i] = t->dim[i];
    if (p->low && take(p, "..") && !integer(p, &t->dim[i])) return false;
    if (p->low && p->low[i] > t->dim[i]) return fail(p, "extents from %" PRId64 " to %" PRId64, p->low[i], t->dim[i]);
    return t->dim[i] >= 0 || fail(p, "extent %" PRId64 " is negative", t->dim[i]);
}
/* Behind the word seq, optional or map: the number of elements, and what they are. */
static bool wrapped(Parser *p, WrapKind kind, Type *t) {
    Wrap *w = NEW(p->c->a, Wrap);
    *w = (Wrap){.kind = kind, .lo = 0, .hi = kind == WRAP_OPTIONAL ? 1 : DIM_UNKNOWN};
    *t = (Type){.rank = -1, .wrap = w};
    if (p->depth > 2) return fail(p, "more than three types inside each other");
    if (kind != WRAP_OPTIONAL && take(p, "[")) {
        if (!integer(p, &w->lo)) return false;
        w->hi = w->lo;
        if (take(p, "..") && !integer(p, &w->hi)) return false;
        if (w->lo < 0 || w->hi < w->lo) return fail(p, "a length from %" PRId64 " to %" PRId64, w->lo, w->hi);
        if (!expect(p, "]")) return false;
    }
    if (!expect(p, "(")) return false;
    if (kind == WRAP_MAP) {
        const char *key = word(p, "the type of the keys");
        w->key = key ? dtype_parse(key) : DT_NONE;
        if (!dtype_is_int(w->key) && w->key != DT_STRING) return fail(p, "keys are integers or strings");
        if (!expect(p, ",")) return false;
    }
    int64_t *outer = p->low;
    p->low = NEW_ARRAY(p->c->a, int64_t, QN_MAX_RANK);
    p->depth++;
    bool ok = type(p, &w->of);
    for (int k = 0; ok && k < w->of.rank; k++)
        if (p->low[k] < w->of.dim[k] && w->of.dim[k] >= 0) w->low = p->low;
    p->low = outer;
    p->depth--;
    Vec(Type) each = {0};
    if (ok) vec_push(p->c->a, &each, w->of);
    while (ok && kind == WRAP_SEQUENCE && each.n < w->hi && take(p, ",")) {
        Type one;
        ok = type(p, &one);
        if (ok) vec_push(p->c->a, &each, one);
    }
    if (ok && each.n > 1) {
        if (each.n != w->hi) return fail(p, "%d types for %" PRId64 " elements", each.n, w->hi);
        w->each = each.v, w->low = NULL;
    }
    return ok && expect(p, ")");
}
static bool type(Parser *p, Type *t) {
    *t = (Type){.rank = -1};
    if (!take(p, "?")) {
        const char *w = word(p, "a type");
        if (!w) return false;
        static const char *const kind[] = {"seq", "optional", "map"};
        for (int k = 0; k < 3; k++)
            if (strcmp(w, kind[k]) == 0) return wrapped(p, (WrapKind)k, t);
        t->dt = dtype_parse(w);
        if (t->dt == DT_NONE) return fail(p, "'%s' is not an element type; expected float32, int64, … or ?", w);
    }
    if (!take(p, "[")) return t->dt == DT_NONE || expect(p, "[");
    if (take(p, "..")) return expect(p, "]");
    t->rank = 0;
    if (take(p, "]")) return true;
    do
        if (!dim(p, t)) return false;
    while (take(p, ","));
    if (!expect(p, "]")) return false;
    int64_t n, bytes;
    if (!type_known(t)) return true;
    return (type_elements(t, &n) && dtype_bytes(t->dt, n, &bytes)) || fail(p, "the size of this type overflows");
}

/* ---- constants */
static bool literals(Parser *p, DType dt, int64_t n, void *data, const char *close) {
    for (int64_t i = 0; i < n; i++)
        if ((i && !expect(p, ",")) || !element(p, dt, data, i)) return false;
    if (take(p, close)) return true;
    return *p->s == ',' ? fail(p, "more than %" PRId64 " elements, which its type asks for", n) : expect(p, close);
}
static bool splat(Parser *p, DType dt, int64_t n, void *data) {
    if (!element(p, dt, data, 0)) return false;
    for (int64_t i = 1; i < n; i++) {
        if (dtype_packed(dt)) dtype_set_i(dt, data, i, dtype_get_i(dt, data, 0));
        else memcpy((char *)data + i * dtype_info[dt].bits / 8, data, (size_t)dtype_info[dt].bits / 8);
    }
    return expect(p, ")");
}
static bool random_data(Parser *p, DType dt, int64_t n, void *data) {
    int64_t seed;
    if (!text_has_literals(dt)) return fail(p, "rand makes no elements of type %s", dtype_name(dt));
    if (!integer(p, &seed)) return false;
    text_rand(dt, (uint64_t)seed, n, data);
    return expect(p, ")");
}
static bool hex_data(Parser *p, int64_t bytes, uint8_t *data) {
    if (!expect(p, "\"")) return false;
    for (int64_t i = 0; i < bytes; i++, p->s += 2) {
        int hi = hex_digit(p->s[0]), lo = hi < 0 ? -1 : hex_digit(p->s[1]);
        if (lo < 0) return fail(p, "byte %" PRId64 " of %" PRId64 " is not two hexadecimal digits", i, bytes);
        data[i] = (uint8_t)(hi * 16 + lo);
    }
    if (*p->s != '"') return fail(p, "more than %" PRId64 " bytes, which its type asks for", bytes);
    p->s++;
    return expect(p, ")");
}
static bool starts_const(Parser *p) {
    size_t n = word_length(p);
    return *p->s == '[' || (n == 5 && memcmp(p->s, "splat", 5) == 0) ||
           (n == 4 && (memcmp(p->s, "rand", 4) == 0 || memcmp(p->s, "data", 4) == 0)) || (n == 3 && memcmp(p->s, "hex", 3) == 0);
}
/* The data of a constant of type t; `list`: literals follow, up to `close`. NULL after an error. */
static const void *constant(Parser *p, const Type *t, bool list, const char *close) {
    int64_t n, bytes;
    bool ok;
    if (!type_known(t)) return fail(p, "a constant needs a full type"), NULL;
    if (!type_elements(t, &n) || !dtype_bytes(t->dt, n, &bytes) || bytes > TEXT_CONST_BYTES - p->const_bytes)
        return fail(p, "the constants of this file need more than %" PRId64 " bytes", TEXT_CONST_BYTES), NULL;
    if (take_word(p, "data"))
        return fail(p, "this constant was left out when the graph was printed (data(…)); take the graph from its model instead"), NULL;
    /* a list has at least two bytes of text per element: nothing is allocated for a list that cannot be there */
    if (list && n > 1 && n > (int64_t)strcspn(p->s, "\n"))
        return fail(p, "less than %" PRId64 " elements, which its type asks for", n), NULL;
    p->const_bytes += bytes;
    uint8_t *data = arena_alloc(p->c->a, (size_t)bytes + 8);
    if (list) ok = literals(p, t->dt, n, data, close);
    else if (take_word(p, "splat")) ok = expect(p, "(") && splat(p, t->dt, n, data);
    else if (take_word(p, "rand")) ok = expect(p, "(") && random_data(p, t->dt, n, data);
    else if (take_word(p, "hex")) ok = expect(p, "(") && hex_data(p, bytes, data);
    else ok = expect_found(p, "[…], splat(…), rand(…) or hex(…)");
    return ok ? data : NULL;
}

/* ---- attributes */
static bool float_attr(Parser *p, float *f) {
    int64_t bits = 0;
    space(p);
    if (strncmp(p->s, "nan(0x", 6) != 0) return element(p, DT_FLOAT32, f, 0);
    for (p->s += 6; hex_digit(*p->s) >= 0 && bits <= UINT32_MAX; p->s++) bits = bits * 16 + hex_digit(*p->s);
    if (bits > UINT32_MAX) return fail(p, "more than 32 bits of a NaN");
    memcpy(f, &(uint32_t){(uint32_t)bits}, 4);
    if (*f == *f) return fail(p, "0x%08" PRIx64 " is not a NaN", bits);
    return expect(p, ")");
}
static bool attr_list(Parser *p, AttrKind kind, Attr *a) {
    Vec(int64_t) is = {0};
    Vec(float) fs = {0};
    Vec(const char *) ss = {0};
    if (!expect(p, "[")) return false;
    if (!take(p, "]")) {
        do {
            int64_t i = 0;
            float f = 0;
            const char *s = NULL;
            if (kind == ATTR_INTS ? !integer(p, &i) : kind == ATTR_FLOATS ? !float_attr(p, &f) : !(s = text_without_nul(p))) return false;
            if (kind == ATTR_INTS) vec_push(p->c->a, &is, i);
            else if (kind == ATTR_FLOATS) vec_push(p->c->a, &fs, f);
            else vec_push(p->c->a, &ss, s);
        } while (take(p, ","));
        if (!expect(p, "]")) return false;
    }
    a->is = is.v, a->fs = fs.v, a->ss = ss.v;
    a->n = kind == ATTR_INTS ? is.n : kind == ATTR_FLOATS ? fs.n : ss.n;
    return true;
}
static bool tensor_attr(Parser *p, Attr *a) {
    Tensor *t = NEW(p->c->a, Tensor);
    t->name = "";
    t->id = -1;
    if (!type(p, &t->type) || !expect(p, "{")) return false;
    bool list = !starts_const(p);
    t->data = constant(p, &t->type, list, "}");
    a->t = t;
    return t->data && (list || expect(p, "}"));
}
static bool attr_value(Parser *p, AttrKind kind, Attr *a) {
    *a = (Attr){0};
    if (take_word(p, "none")) return true;
    a->kind = kind;
    switch (kind) {
    case ATTR_INT: return integer(p, &a->i);
    case ATTR_FLOAT: return float_attr(p, &a->f);
    case ATTR_STRING: return (a->s = string(p, &a->n)) != NULL;
    case ATTR_INTS:
    case ATTR_FLOATS:
    case ATTR_STRINGS: return attr_list(p, kind, a);
    case ATTR_TENSOR: return tensor_attr(p, a);
    default: return fail(p, "an attribute of this kind cannot be written as text");
    }
}
static bool unknown_attr(Parser *p, const OpDef *op, const char *w) {
    Text t = {0};
    for (int i = 0; i < op->nattr; i++) text_printf(&t, "%s%s", i ? ", " : "", op->attr[i].name);
    fail(p, "%s has no attribute '%s'; its attributes: %s", op->name, w, op->nattr ? t.s : "none");
    text_free(&t);
    return false;
}
static bool attrs(Parser *p, Node *n) {
    bool *seen = NEW_ARRAY(p->c->a, bool, n->op->nattr + 1);
    if (!take(p, "{") || take(p, "}")) return true;
    do {
        const char *w = word(p, "an attribute");
        if (!w) return false;
        int k = op_attr_index(n->op, w);
        if (k < 0) return unknown_attr(p, n->op, w);
        if (seen[k]) return fail(p, "attribute '%s' is given twice", w);
        seen[k] = true;
        if (!expect(p, "=") || !attr_value(p, n->op->attr[k].kind, &n->attr[k])) return false;
    } while (take(p, ","));
    return expect(p, "}");
}

/* ---- annotations */
static bool kernel(Parser *p, Node *n) {
    int64_t k;
    if (take(p, "@alias")) n->kernel = -1;
    if (!take(p, "@kernel")) return true;
    if (!integer(p, &k)) return false;
    if (k < 1 || k > INT32_MAX) return fail(p, "kernel %" PRId64 "; expected a number from 1 to %d", k, INT32_MAX);
    n->kernel = (int)k;
    for (n->role = 0; n->role < 3; n->role++)
        if (take_word(p, text_roles[n->role])) return true;
    n->role = 0;
    return expect_found(p, "anchor, point or inline");
}
static bool view(Parser *p, const Tensors *outs) {
    Tensor *t = outs->n == 1 ? outs->v[0] : NULL;
    if (outs->n > 1) {
        const char *w = name(p);
        if (!w) return false;
        t = map_get(p->names, w);
        if (!t || t->id < p->fresh) return fail(p, "'%s' is no output of this line", w);
        if (!expect(p, ":")) return false;
    }
    if (!t) return fail(p, "a view of an absent output");
    if (t->view) return fail(p, "output '%s' has two views", t->name);
    if (!take_word(p, "view") || !take_word(p, "of")) return expect_found(p, "'view of'");
    PendingView v = {t, name(p), p->line};
    t->view = NEW(p->c->a, View);
    if (!v.base || !expect(p, "+") || !integer(p, &t->view->offset) || !expect(p, "[")) return false;
    for (int i = 0; i < t->type.rank; i++)
        if ((i && !expect(p, ",")) || !integer(p, &t->view->stride[i])) return false;
    vec_push(p->c->a, &p->views, v);
    return expect(p, "]");
}

/* ---- statements */
/* NAME: TYPE, a tensor of the graph; an `output` of a node may be _ or a NAME alone. */
static bool value(Parser *p, bool output, Tensor **out) {
    Type t = {.rank = -1};
    *out = NULL;
    if (output && take_absent(p)) return true;
    const char *w = name(p);
    if (!w) return false;
    bool twice = map_get(p->names, w) != NULL, bare = output && (space(p), *p->s == '=' || *p->s == ',');
    if (!bare && (!expect(p, ":") || !type(p, &t))) return false;
    *out = tensor_new(p->g, w, t.dt, t.rank, t.dim);
    (*out)->type.sym = t.sym, (*out)->type.wrap = t.wrap;
    if (twice) return fail(p, "'%s' is defined twice", w);
    map_set(p->names, w, *out);
    return true;
}
static Tensor *operand(Parser *p) {
    const char *w = name(p);
    Tensor *t = w ? map_get(p->names, w) : NULL;
    if (w && !t && !p->lost) fail(p, "'%s' is not defined above", w);
    return t;
}
static const OpDef *op_name(Parser *p) {
    const char *domain = "", *w;
    space(p);
    if (*p->s == '"' && (!(domain = text_without_nul(p)) || !expect(p, "::"))) return NULL;
    if (!(w = word(p, "an operation or a constant"))) return NULL;
    const OpDef *op = op_find(domain, w);
    if (!op) fail(p, "unknown operation '%s%s%s'; see docs/ops.md", domain, *domain ? "::" : "", w);
    return op;
}
static bool node(Parser *p, const Tensors *outs) {
    Tensors in = {0};
    const OpDef *op = op_name(p);
    if (!op || !expect(p, "(")) return false;
    if (!take(p, ")")) {
        do {
            Tensor *t = take_absent(p) ? NULL : operand(p);
            if (p->bad) return false;
            if (t && t->id >= p->fresh) return fail(p, "'%s' is defined by this line itself", t->name);
            vec_push(p->c->a, &in, t);
        } while (take(p, ","));
        if (!expect(p, ")")) return false;
    }
    Node *n = node_new(p->g, op, NULL, here(p), in.n, in.v, outs->n);
    for (int i = 0; i < outs->n; i++) node_set_out(n, i, outs->v[i]);
    if (!attrs(p, n) || !kernel(p, n)) return false;
    if (!take(p, "=>")) return true;
    do
        if (!view(p, outs)) return false;
    while (take(p, ","));
    return true;
}
static bool statement(Parser *p) {
    Tensors outs = {0};
    Tensor *t;
    bool lost = p->lost;
    p->fresh = p->g->tensors.n;
    p->lost = true;      /* until all names of this line are known */
    if (!take(p, "=")) { /* a node may have no outputs at all */
        do {
            if (!value(p, true, &t)) return false;
            vec_push(p->c->a, &outs, t);
        } while (take(p, ","));
        p->lost = lost;
        if (!expect(p, "=")) return false;
    }
    p->lost = lost;
    if (!starts_const(p)) return node(p, &outs);
    if (outs.n != 1 || !outs.v[0]) return fail(p, "a constant defines one tensor");
    t = outs.v[0];
    t->data = constant(p, &t->type, take(p, "["), "]");
    return t->data != NULL;
}
/* graph NAME(VALUE, …) -> (NAME, …) */
static bool header(Parser *p) {
    Tensor *t;
    const char *w;
    p->lost = true;
    if (!take_word(p, "graph")) return expect_found(p, "'graph'");
    if (!(w = name(p)) || !expect(p, "(")) return false;
    p->g->name = w;
    if (!take(p, ")")) {
        do {
            if (!value(p, false, &t)) return false;
            t->is_input = true;
            vec_push(p->c->a, &p->g->in, t);
        } while (take(p, ","));
        if (!expect(p, ")")) return false;
    }
    p->lost = false;
    if (!expect(p, "->") || !expect(p, "(")) return false;
    if (take(p, ")")) return true;
    do {
        if (!(w = name(p))) return false;
        vec_push(p->c->a, &p->outs, w);
    } while (take(p, ","));
    return expect(p, ")");
}
static void line(Parser *p, bool (*parse)(Parser *)) {
    p->bad = false;
    if (parse(p) && !line_end(p)) expect_found(p, "the end of the line");
}
static Tensor *resolve(Parser *p, const char *w, int64_t at, const char *what) {
    Tensor *t = map_get(p->names, w);
    p->line = at;
    p->bad = false;
    if (!t && !p->lost) fail(p, "%s '%s' is not defined", what, w);
    return t;
}

Graph *graph_parse(Ctx *c, const char *file, const char *text) {
    int errors = c->d->errors;
    Parser p = {.c = c, .file = file, .s = text, .line = 1, .names = map_new(c->a), .g = graph_new(c->a, "g")};
    p.g->file = file;
    ops_init();
    while (*p.s && line_end(&p)) next_line(&p);
    int64_t first = p.line;
    for (line(&p, header); next_line(&p), *p.s;)
        if (!line_end(&p)) line(&p, statement);
    for (int i = 0; i < p.outs.n; i++) {
        Tensor *t = resolve(&p, p.outs.v[i], first, "graph output");
        if (!t) continue;
        t->is_output = true;
        vec_push(c->a, &p.g->out, t);
    }
    for (int i = 0; i < p.views.n; i++) p.views.v[i].t->view->base = resolve(&p, p.views.v[i].base, p.views.v[i].line, "base of a view");
    return c->d->errors == errors && graph_verify(c, p.g, false) ? p.g : NULL;
}
