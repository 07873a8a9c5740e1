/* SPDX-License-Identifier: Apache-2.0 */
/* text_print.c: graph -> text (grammar: text.h). Constants print right before their first reader, and only those that are read.
 * Two tensors with one name get different ones; what prints parses to a graph that prints the same.
 *
 *   Relu(c) with c: float32[2], in kernel 3   ->     r: float32[2] = Relu(c) @kernel 3 point
 */
#include "text.h"
#include <inttypes.h>
#include <string.h>

typedef struct Printer {
    Text *out;
    Arena *a;          /* freed at the end */
    const char **name; /* by tensor id: NULL until it has one */
    bool *shown;       /* by tensor id: its line is printed */
    Map *used;
} Printer;

/* ---- names and strings */
static void put_string(Text *out, const char *s, size_t n) {
    text_puts(out, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') text_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\t') text_puts(out, c == '\n' ? "\\n" : "\\t");
        else if (c < 32 || c > 126) text_printf(out, "\\x%02x", c);
        else text_putn(out, s + i, 1);
    }
    text_puts(out, "\"");
}
static void put_name(Text *out, const char *s) {
    if (text_name_bare(s)) {
        text_puts(out, s);
        return;
    }
    text_puts(out, "%");
    put_string(out, s, strlen(s));
}
static const char *name_of(Printer *p, const Tensor *t) {
    if (!p->name[t->id]) {
        const char *s = t->name ? t->name : "t";
        while (map_get(p->used, s)) s = arena_printf(p->a, "%s.%d", s, t->id);
        map_set(p->used, s, (void *)s);
        p->name[t->id] = s;
    }
    return p->name[t->id];
}
static void put_tensor(Printer *p, const Tensor *t) {
    if (t) put_name(p->out, name_of(p, t));
    else text_puts(p->out, "_");
}
static void put_type(Text *out, const Type *t) {
    if (t->wrap) { /* no tensor */
        type_print(t, out);
        return;
    }
    text_puts(out, t->dt == DT_NONE ? "?" : dtype_name(t->dt));
    if (t->rank < 0) {
        if (t->dt != DT_NONE) text_puts(out, "[..]");
        return;
    }
    text_puts(out, "[");
    for (int i = 0; i < t->rank; i++) {
        const char *sym = t->sym ? t->sym[i] : NULL;
        if (i) text_puts(out, ",");
        if (sym) put_name(out, sym);
        if (t->dim[i] >= 0) text_printf(out, "%s%" PRId64, sym ? "=" : "", t->dim[i]);
        else if (!sym) text_puts(out, "?");
    }
    text_puts(out, "]");
}
static void put_value(Printer *p, const Tensor *t) {
    put_tensor(p, t);
    if (!t) return;
    text_puts(p->out, ": ");
    put_type(p->out, &t->type);
}
static void put_ints(Text *out, const int64_t *v, int64_t n) {
    text_puts(out, "[");
    for (int64_t i = 0; i < n; i++) text_printf(out, "%s%" PRId64, i ? "," : "", v[i]);
    text_puts(out, "]");
}

/* ---- constants */
/* "1, 2" for elements 0..n, only if that reads back to the same bytes. */
static bool put_literals(Text *out, DType dt, const void *data, int64_t n) {
    uint8_t back[TEXT_LITERALS * 8] = {0};
    size_t start = out->n;
    int64_t bytes;
    const char *why;
    if (!text_has_literals(dt) || n > TEXT_LITERALS || !dtype_bytes(dt, n, &bytes)) return false;
    for (int64_t i = 0; i < n; i++) {
        if (i) text_puts(out, ", ");
        size_t at = out->n;
        text_element(out, dt, data, i);
        text_element_parse(dt, out->s + at, out->n - at, back, i, &why);
    }
    if (memcmp(back, data, (size_t)bytes) == 0) return true;
    out->n = start; /* a NaN with another payload, or padding bits that are not zero */
    if (out->s) out->s[start] = 0;
    return false;
}
static bool all_equal(DType dt, const uint8_t *data, int64_t n, int64_t bytes) {
    int bits = dtype_info[dt].bits, per = bits < 8 ? 8 / bits : 1;
    size_t size = bits < 8 ? 1 : (size_t)bits / 8;
    if (n < 2 || n % per) return false;
    for (int i = 1; i < per; i++)
        if (dtype_get_i(dt, data, i) != dtype_get_i(dt, data, 0)) return false;
    return memcmp(data, data + size, (size_t)bytes - size) == 0;
}
static bool put_splat(Text *out, const Tensor *t, int64_t n, int64_t bytes) {
    uint8_t one[8] = {0};
    int bits = dtype_info[t->type.dt].bits;
    if (!text_has_literals(t->type.dt) || !all_equal(t->type.dt, t->data, n, bytes)) return false;
    memcpy(one, t->data, bits < 8 ? 1 : (size_t)bits / 8);
    if (bits < 8) one[0] &= (uint8_t)((1u << bits) - 1);
    size_t start = out->n;
    text_puts(out, "splat(");
    if (!put_literals(out, t->type.dt, one, 1)) {
        out->n = start, out->s[start] = 0;
        return false;
    }
    text_puts(out, ")");
    return true;
}
/* Constants made by rand(k) with a small k, as tests have them: the first elements tell nearly always. */
static bool put_rand(Text *out, const Tensor *t, int64_t n, int64_t bytes) {
    uint8_t head[TEXT_LITERALS * 8] = {0};
    DType dt = t->type.dt;
    if (!text_has_literals(dt) || n <= TEXT_LITERALS || bytes > TEXT_CONST_BYTES) return false;
    for (uint64_t seed = 0; seed < TEXT_SEEDS; seed++) {
        text_rand(dt, seed, TEXT_LITERALS, head);
        if (memcmp(head, t->data, (size_t)dtype_info[dt].bits * TEXT_LITERALS / 8) != 0) continue;
        Arena *a = arena_new();
        void *all = arena_alloc(a, (size_t)bytes);
        text_rand(dt, seed, n, all);
        bool same = memcmp(all, t->data, (size_t)bytes) == 0;
        arena_free(a);
        if (same) {
            text_printf(out, "rand(%" PRIu64 ")", seed);
            return true;
        }
    }
    return false;
}
static void put_bytes(Text *out, const uint8_t *data, int64_t bytes) {
    if (bytes > TEXT_HEX_BYTES) {
        uint64_t h = 14695981039346656037u; /* FNV-1a: tells whether two dumps hold the same constant */
        for (int64_t i = 0; i < bytes; i++) h = (h ^ data[i]) * 1099511628211u;
        text_printf(out, "data(%" PRId64 ", fnv=%016" PRIx64 ")", bytes, h);
        return;
    }
    text_puts(out, "hex(\"");
    for (int64_t i = 0; i < bytes; i++) {
        char two[2] = {"0123456789abcdef"[data[i] >> 4], "0123456789abcdef"[data[i] & 15]};
        text_putn(out, two, 2);
    }
    text_puts(out, "\")");
}
/* open, close: around literals. */
static void put_data(Text *out, const Tensor *t, const char *open, const char *close) {
    int64_t n, bytes;
    if (!type_known(&t->type) || !type_elements(&t->type, &n) || !dtype_bytes(t->type.dt, n, &bytes)) {
        text_puts(out, "data(?)"); /* not a graph that verifies; print what can be printed */
        return;
    }
    size_t start = out->n;
    text_puts(out, open);
    if (put_literals(out, t->type.dt, t->data, n)) {
        text_puts(out, close);
        return;
    }
    out->n = start, out->s[start] = 0;
    bool attr = *open == '{';
    if (attr) text_puts(out, open);
    if (!put_splat(out, t, n, bytes) && !put_rand(out, t, n, bytes)) put_bytes(out, t->data, bytes);
    if (attr) text_puts(out, close);
}

/* ---- attributes */
static void put_float(Text *out, float f) {
    size_t start = out->n;
    if (put_literals(out, DT_FLOAT32, &f, 1)) return;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    out->n = start;
    text_printf(out, "nan(0x%08" PRIx32 ")", bits);
}
static void put_attr(Text *out, const Attr *a) {
    switch (a->kind) {
    case ATTR_INT: text_printf(out, "%" PRId64, a->i); break;
    case ATTR_FLOAT: put_float(out, a->f); break;
    case ATTR_STRING: put_string(out, a->s, (size_t)a->n); break;
    case ATTR_INTS: put_ints(out, a->is, a->n); break;
    case ATTR_FLOATS:
        text_puts(out, "[");
        for (int64_t i = 0; i < a->n; i++) {
            if (i) text_puts(out, ",");
            put_float(out, a->fs[i]);
        }
        text_puts(out, "]");
        break;
    case ATTR_STRINGS:
        text_puts(out, "[");
        for (int64_t i = 0; i < a->n; i++) {
            if (i) text_puts(out, ",");
            put_string(out, a->ss[i], strlen(a->ss[i]));
        }
        text_puts(out, "]");
        break;
    case ATTR_TENSOR:
        put_type(out, &a->t->type);
        put_data(out, a->t, "{", "}");
        break;
    case ATTR_NONE:
    case ATTR_GRAPH: text_puts(out, "none"); break; /* no row has a graph attribute: nested graphs are expanded on import */
    }
}
static bool attr_default(const Attr *a, const Attr *d) {
    if (a->kind != d->kind) return false;
    switch (a->kind) {
    case ATTR_NONE: return true;
    case ATTR_INT: return a->i == d->i;
    case ATTR_FLOAT: return memcmp(&a->f, &d->f, sizeof a->f) == 0;
    case ATTR_STRING: return a->n == d->n && memcmp(a->s, d->s, (size_t)a->n) == 0;
    case ATTR_INTS: return a->n == d->n && (a->n == 0 || memcmp(a->is, d->is, (size_t)a->n * sizeof *a->is) == 0);
    default: return false; /* the other kinds have no defaults */
    }
}
static void put_attrs(Text *out, const Node *n) {
    const char *sep = " {";
    for (int i = 0; i < n->op->nattr; i++) {
        if (attr_default(&n->attr[i], &n->op->attr[i].def)) continue;
        text_printf(out, "%s%s=", sep, n->op->attr[i].name);
        put_attr(out, &n->attr[i]);
        sep = ", ";
    }
    if (*sep == ',') text_puts(out, "}");
}

/* ---- lines */
static void put_views(Printer *p, const Node *n) {
    const char *sep = " => ";
    for (int i = 0; i < n->nout; i++) {
        const Tensor *t = n->out[i];
        if (!t || !t->view) continue;
        text_puts(p->out, sep);
        sep = ", ";
        if (n->nout > 1) {
            put_tensor(p, t);
            text_puts(p->out, ": ");
        }
        text_puts(p->out, "view of ");
        put_tensor(p, t->view->base);
        text_printf(p->out, " +%" PRId64 " ", t->view->offset);
        put_ints(p->out, t->view->stride, t->type.rank < 0 ? 0 : t->type.rank);
    }
}
static void put_const(Printer *p, const Tensor *t) {
    if (!t || !t->data || p->shown[t->id]) return;
    p->shown[t->id] = true;
    text_puts(p->out, "  ");
    put_value(p, t);
    text_puts(p->out, " = ");
    put_data(p->out, t, "[", "]");
    text_puts(p->out, "\n");
}
static void put_node(Printer *p, const Node *n) {
    for (int i = 0; i < n->nin; i++) put_const(p, n->in[i]);
    text_puts(p->out, "  ");
    for (int i = 0; i < n->nout; i++) {
        if (i) text_puts(p->out, ", ");
        put_value(p, n->out[i]);
    }
    text_puts(p->out, " = ");
    if (n->op->domain[0]) {
        put_string(p->out, n->op->domain, strlen(n->op->domain));
        text_puts(p->out, "::");
    }
    text_puts(p->out, n->op->name);
    text_puts(p->out, "(");
    for (int i = 0; i < n->nin; i++) {
        if (i) text_puts(p->out, ", ");
        put_tensor(p, n->in[i]);
    }
    text_puts(p->out, ")");
    put_attrs(p->out, n);
    if (n->kernel < 0) text_puts(p->out, " @alias");
    if (n->kernel > 0) text_printf(p->out, " @kernel %d %s", n->kernel, text_roles[n->role]);
    put_views(p, n);
    text_puts(p->out, "\n");
}

void graph_print(const Graph *g, Text *out) {
    Printer p = {.out = out, .a = arena_new()};
    p.name = NEW_ARRAY(p.a, const char *, g->tensors.n + 1);
    p.shown = NEW_ARRAY(p.a, bool, g->tensors.n + 1);
    p.used = map_new(p.a);
    text_puts(out, "graph ");
    put_name(out, g->name ? g->name : "g");
    for (int i = 0; i < g->in.n; i++) name_of(&p, g->in.v[i]); /* the model's interface keeps its names */
    for (int i = 0; i < g->out.n; i++) name_of(&p, g->out.v[i]);
    text_puts(out, "(");
    for (int i = 0; i < g->in.n; i++) {
        if (i) text_puts(out, ", ");
        put_value(&p, g->in.v[i]);
    }
    text_puts(out, ") -> (");
    for (int i = 0; i < g->out.n; i++) {
        if (i) text_puts(out, ", ");
        put_tensor(&p, g->out.v[i]);
    }
    text_puts(out, ")\n");
    for (const Node *n = g->first; n; n = n->next) put_node(&p, n);
    for (int i = 0; i < g->out.n; i++) put_const(&p, g->out.v[i]);
    arena_free(p.a);
}
