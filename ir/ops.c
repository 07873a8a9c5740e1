/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c: the op registry made of ops.def: look-up by name, attribute specs, and docs/ops.md. Specs and formulas are our own
 * text, so a mistake in them is a BUG, found at the first start.
 *
 *   "axis:i=-1 mode:s=constant pads:is value:t!"   ->   four AttrSpec, the last one required
 */
#include "ops.h"
#include <stdlib.h>
#include <string.h>

/* Every function that a row names. */
#define EXPR(dom, name, since, imin, imax, flags, attrs, types, formula, doc)
#define EXPRF(dom, name, since, imin, imax, flags, attrs, types, meaning, infer, compute, doc)                                             \
    bool infer(Infer *);                                                                                                                   \
    Expr *compute(Lower *, Node *, int, Expr *const *);
#define REWRITE(dom, name, since, imin, imax, omin, omax, flags, attrs, types, rewrite, doc) bool rewrite(Ctx *, Graph *, Node *);
#define COMPUTE(dom, name, since, imin, imax, omin, omax, flags, attrs, types, infer, compute, doc)                                        \
    bool infer(Infer *);                                                                                                                   \
    Expr *compute(Lower *, Node *, int, Expr *const *);
#define KERNEL(dom, name, since, imin, imax, omin, omax, flags, attrs, types, infer, lower, macs, doc)                                     \
    bool infer(Infer *);                                                                                                                   \
    bool lower(Lower *, Node *);                                                                                                           \
    int64_t macs(const Node *);
#define OPAQUE KERNEL
#include "ops.def"
#undef EXPR
#undef EXPRF
#undef REWRITE
#undef COMPUTE
#undef KERNEL
#undef OPAQUE

#define macs_none NULL
/* One row of any kind: what all have, then the kind's own members. */
#define ROW(kind_, dom, name_, since_, imin, imax, omin, omax, flags_, attrs, types_, doc_, ...)                                           \
    {.kind = kind_,                                                                                                                        \
     .domain = dom,                                                                                                                        \
     .name = name_,                                                                                                                        \
     .since = since_,                                                                                                                      \
     .min_in = imin,                                                                                                                       \
     .max_in = imax,                                                                                                                       \
     .min_out = omin,                                                                                                                      \
     .max_out = omax,                                                                                                                      \
     .flags = flags_,                                                                                                                      \
     .attr_spec = attrs,                                                                                                                   \
     .types = types_,                                                                                                                      \
     .doc = doc_,                                                                                                                          \
     __VA_ARGS__},
#define EXPR(dom, name, since, imin, imax, flags, attrs, types, formula, doc)                                                              \
    ROW(OP_EXPR, dom, #name, since, imin, imax, 1, 1, flags, attrs, types, doc, .meaning = formula)
#define EXPRF(dom, name, since, imin, imax, flags, attrs, types, means, infer_, compute_, doc)                                             \
    ROW(OP_EXPR, dom, #name, since, imin, imax, 1, 1, flags, attrs, types, doc, .meaning = means, .infer = infer_, .compute = compute_)
#define REWRITE(dom, name, since, imin, imax, omin, omax, flags, attrs, types, rewrite_, doc)                                              \
    ROW(OP_REWRITE, dom, #name, since, imin, imax, omin, omax, flags, attrs, types, doc, .rewrite = rewrite_)
#define COMPUTE(dom, name, since, imin, imax, omin, omax, flags, attrs, types, infer_, compute_, doc)                                      \
    ROW(OP_COMPUTE, dom, #name, since, imin, imax, omin, omax, flags, attrs, types, doc, .infer = infer_, .compute = compute_)
#define KERNEL(dom, name, since, imin, imax, omin, omax, flags, attrs, types, infer_, lower_, macs_, doc)                                  \
    ROW(OP_KERNEL, dom, #name, since, imin, imax, omin, omax, flags, attrs, types, doc, .infer = infer_, .lower = lower_, .macs = macs_)
#define OPAQUE(dom, name, since, imin, imax, omin, omax, flags, attrs, types, infer_, lower_, macs_, doc)                                  \
    ROW(OP_OPAQUE, dom, #name, since, imin, imax, omin, omax, flags, attrs, types, doc, .infer = infer_, .lower = lower_, .macs = macs_)
static OpDef ops[] = {
#include "ops.def"
};
enum { OPS = sizeof ops / sizeof *ops, SLOTS = 2048 };
_Static_assert(OPS < SLOTS / 2, "the hash table of ops is too full");
static uint16_t slot[SLOTS]; /* index + 1; filled by ops_init */
static bool ready;

static unsigned hash_op(const char *domain, const char *name) {
    uint32_t h = 2166136261u;
    for (; *domain; domain++) h = (h ^ (unsigned char)*domain) * 16777619u;
    h = (h ^ ':') * 16777619u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return (h ^ h >> 15) % SLOTS;
}
const OpDef *op_find(const char *domain, const char *name) {
    if (!ready) ops_init();
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (unsigned i = hash_op(domain, name); slot[i]; i = (i + 1) % SLOTS) {
        const OpDef *op = &ops[slot[i] - 1];
        if (strcmp(op->name, name) == 0 && strcmp(op->domain, domain) == 0) return op;
    }
    return NULL;
}
int op_count(void) { return OPS; }
const OpDef *op_at(int i) {
    if (!ready) ops_init();
    return &ops[i];
}
int op_most_out(const OpDef *op) { return op->max_out < 0 ? -1 : op->max_out - op->flags / OPF_FOUND; }
int op_attr_index(const OpDef *op, const char *name) {
    for (int i = 0; i < op->nattr; i++)
        if (strcmp(op->attr[i].name, name) == 0) return i;
    return -1;
}

/* ---- attribute specs */
static const struct {
    const char *code;
    AttrKind kind;
    const char *word;
} kinds[] = {{"i", ATTR_INT, "int"},        {"f", ATTR_FLOAT, "float"},      {"s", ATTR_STRING, "string"}, {"is", ATTR_INTS, "ints"},
             {"fs", ATTR_FLOATS, "floats"}, {"ss", ATTR_STRINGS, "strings"}, {"t", ATTR_TENSOR, "tensor"}, {"g", ATTR_GRAPH, "graph"}};

static Attr parse_default(Arena *a, const OpDef *op, AttrKind kind, const char *s) {
    Attr d = {.kind = kind};
    switch (kind) {
    case ATTR_INT: d.i = strtoll(s, NULL, 10); break;
    case ATTR_FLOAT: d.f = strtof(s, NULL); break;
    case ATTR_STRING: d.s = s, d.n = (int64_t)strlen(s); break;
    case ATTR_INTS: {
        int64_t *v = NEW_ARRAY(a, int64_t, strlen(s) + 1);
        while (*s) {
            char *end;
            v[d.n++] = strtoll(s, &end, 10);
            if (end == s) BUG("op %s: default '%s' is not a list of integers", op->name, s);
            s = *end == ',' ? end + 1 : end;
        }
        d.is = v;
        break;
    }
    default: BUG("op %s: attributes of this kind have no default", op->name);
    }
    return d;
}
/* One "name:kind", "name:kind!" or "name:kind=default". */
static AttrSpec parse_spec(Arena *a, const OpDef *op, const char *s, size_t n) {
    AttrSpec r = {0};
    char *text = arena_strndup(a, s, n), *colon = strchr(text, ':');
    if (!colon || colon == text) BUG("op %s: attribute spec '%s' is not name:kind", op->name, text);
    char *kind = colon + 1, *value = strchr(kind, '=');
    *colon = 0;
    if (value) *value++ = 0;
    size_t k = strlen(kind);
    if (k && kind[k - 1] == '!') r.required = true, kind[k - 1] = 0;
    r.name = text;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].code, kind) == 0) r.kind = kinds[i].kind;
    if (r.kind == ATTR_NONE) BUG("op %s: attribute '%s' has the unknown kind '%s'", op->name, text, kind);
    if (value) r.def = parse_default(a, op, r.kind, value);
    return r;
}
static void parse_attrs(Arena *a, OpDef *op) {
    Vec(AttrSpec) v = {0};
    for (const char *s = op->attr_spec; *s;) {
        size_t n = strcspn(s, " ");
        if (n) vec_push(a, &v, parse_spec(a, op, s, n));
        s += n + (s[n] == ' ');
    }
    op->attr = v.v, op->nattr = v.n;
}

/* ---- formulas: checked once with operands of a type that the row accepts */
static DType sample_type(const OpDef *op, int input) {
    const char *s = op->types;
    for (int i = 0; i < input && strchr(s, ' '); i++) s = strchr(s, ' ') + 1;
    size_t n = strcspn(s, " ");
    for (size_t i = 0; i < n; i++) {
        if (s[i] == 'b') return DT_BOOL;
        if (s[i] == 'i' || s[i] == 'I') return DT_INT64;
    }
    return DT_FLOAT32;
}
static void check_formula(Arena *a, OpDef *op) {
    const char *name[16] = {"x", "y", "z", "has_y", "has_z"}, *err = "";
    Expr *value[16];
    DType t[3];
    int n = 5;
    Func *f = func_new(a, "check");
    for (int i = 0; i < 3; i++) t[i] = sample_type(op, i), value[i] = e_var(a, var_new(f, name[i], t[i]));
    value[3] = value[4] = e_var(a, var_new(f, "has", DT_BOOL));
    for (int i = 0; i < op->nattr; i++, n++) {
        if (n == 16) BUG("op %s: too many attributes for a formula", op->name);
        name[n] = op->attr[i].name;
        value[n] = op->attr[i].kind == ATTR_FLOAT ? e_lit(a, DT_FLOAT32, 0.5) : e_int(a, 1);
    }
    Expr *e = formula_build(a, op->meaning, n, name, value, &err);
    if (!e) BUG("op %s: formula '%s': %s", op->name, op->meaning, err);
    op->result = -1;
    for (int i = 2; i >= 0; i--)
        if (e->t != DT_BOOL && e->t == t[i] && (op->max_in < 0 || i < op->max_in)) op->result = i;
    if (op->result < 0 && e->t != DT_BOOL) BUG("op %s: formula '%s' has the type of no operand", op->name, op->meaning);
}

void ops_init(void) {
    if (ready) return;
    ready = true;
    Arena *a = arena_new(); /* as long as the process: rows point into it */
    for (int i = 0; i < OPS; i++) {
        OpDef *op = &ops[i];
        unsigned h = hash_op(op->domain, op->name);
        for (; slot[h]; h = (h + 1) % SLOTS)
            if (strcmp(ops[slot[h] - 1].name, op->name) == 0 && strcmp(ops[slot[h] - 1].domain, op->domain) == 0)
                BUG("op %s has two rows", op->name);
        slot[h] = (uint16_t)(i + 1);
        parse_attrs(a, op);
        if (op->kind == OP_EXPR && !op->compute) check_formula(a, op);
    }
}

static const struct {
    const char *domain, *name, *why;
} refused[] = {
#define REFUSED(domain, name, why) {domain, #name, why},
#include "refused.def"
#undef REFUSED
};
enum { REFUSALS = sizeof refused / sizeof *refused };
const char *op_refused(const char *domain, const char *name) {
    for (int i = 0; i < REFUSALS; i++)
        if (strcmp(refused[i].domain, domain) == 0 && strcmp(refused[i].name, name) == 0) return refused[i].why;
    return NULL;
}

/* ---- docs/ops.md */
static int by_name(const void *x, const void *y) {
    const OpDef *const *a = x, *const *b = y;
    int c = strcmp((*a)->domain, (*b)->domain);
    return c ? c : strcmp((*a)->name, (*b)->name);
}
static void put_cell(Text *out, const char *s) { /* a bar would end the cell */
    for (; *s; s++) text_puts(out, *s == '|' ? "\\|" : (char[]){*s, 0});
}
static void put_range(Text *out, int lo, int hi) {
    if (hi < 0) text_printf(out, "%d+", lo);
    else if (lo == hi) text_printf(out, "%d", lo);
    else text_printf(out, "%d-%d", lo, hi);
}
static void put_attrs(Text *out, const OpDef *op) {
    for (int i = 0; i < op->nattr; i++) {
        const AttrSpec *s = &op->attr[i];
        text_printf(out, "%s`%s`", i ? ", " : "", s->name);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            if (kinds[k].kind == s->kind) text_printf(out, " %s", kinds[k].word);
        if (s->required) text_puts(out, " (required)");
        if (s->def.kind == ATTR_INT) text_printf(out, " = %lld", (long long)s->def.i);
        if (s->def.kind == ATTR_FLOAT) text_puts(out, " = "), text_float(out, s->def.f, 32);
        if (s->def.kind == ATTR_STRING) text_printf(out, " = \"%s\"", s->def.s);
    }
}
void ops_markdown(Text *out) {
    static const char *const word[] = {"expression", "rewrite", "index map", "kernel", "routine"};
    const OpDef *order[OPS];
    ops_init();
    for (int i = 0; i < OPS; i++) order[i] = &ops[i];
    qsort(order, OPS, sizeof *order, by_name);
    text_printf(
        out,
        "# Operators\n\n%d operators. Older forms of an operator are converted to the one listed. Generated by `quern ops --markdown`.\n\n",
        OPS);
    text_puts(out, "| Operator | Opset | Inputs | Outputs | Kind | Attributes | What it does |\n|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < OPS; i++) {
        const OpDef *op = order[i];
        text_printf(out, "| %s%s%s | %d | ", op->domain, *op->domain ? "." : "", op->name, op->since);
        put_range(out, op->min_in, op->max_in);
        text_puts(out, " | ");
        put_range(out, op->min_out, op_most_out(op));
        text_printf(out, " | %s | ", word[op->kind]);
        put_attrs(out, op);
        text_puts(out, " | ");
        put_cell(out, op->doc);
        if (op->kind == OP_EXPR) {
            text_puts(out, " `");
            put_cell(out, op->meaning);
            text_puts(out, "`");
        }
        text_puts(out, " |\n");
    }
    text_puts(
        out,
        "\n## Operators that are refused\n\nBy name, with what to do instead. Whatever is in neither table is unknown; `--op` gives it a "
        "meaning.\n\n| Operator | Why, and what to do |\n|---|---|\n");
    for (int i = 0; i < REFUSALS; i++) {
        text_printf(out, "| %s.%s | ", refused[i].domain, refused[i].name);
        put_cell(out, refused[i].why);
        text_puts(out, " |\n");
    }
}
