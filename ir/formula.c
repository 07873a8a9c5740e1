/* SPDX-License-Identifier: Apache-2.0 */
/* formula.c: the formula language of EXPR rows, parsed straight into expressions. Operators are C's, with its precedence;
 * types come from the operands, and literals take the type of what they stand beside. Beside calls.def's functions it has
 *   min(a,b) max(a,b) abs(x) clamp(x,lo,hi) select(c,a,b) cast(x, float32)
 *   like(a, x)    a converted to the type of x          isint(x)   whether x is an integer (known while parsing)
 *   lowest(x) highest(x)   the ends of x's type
 * A condition that is known while parsing leaves only its branch, so one formula can serve integers and floats.
 *
 *   "x >= 0 ? x : alpha*x", alpha = 0.25f, x a float32 load   ->   select(x >= 0.0, x, 0.25*x)
 */
#include "ops.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Parser {
    Arena *a;
    const char *s, *err;
    int n;
    const char *const *name;
    Expr *const *value;
    int depth;
} Parser;
enum { DEPTH_MAX = 64 };
static Expr *parse_select(Parser *p);

static Expr *fail(Parser *p, const char *what) {
    if (!p->err) p->err = arena_printf(p->a, "%s at '%.20s'", what, p->s);
    return e_int(p->a, 0);
}
static void space(Parser *p) {
    while (*p->s == ' ') p->s++;
}
/* Takes `t` if it stands here and is not the start of a longer operator. */
static bool take(Parser *p, const char *t) {
    space(p);
    size_t n = strlen(t);
    if (strncmp(p->s, t, n) != 0) return false;
    if (n == 1 && strchr("<>=!&|", *t) && (p->s[1] == '=' || (p->s[1] == *t && *t != '!'))) return false;
    p->s += n;
    return true;
}
static void expect(Parser *p, const char *t) {
    if (!take(p, t)) fail(p, t);
}

/* ---- values */
static bool lit(const Expr *e) { return e->k == E_INT || e->k == E_FLT; }
/* Constants among the operands are literals too: of what type a float is, the first such operand says. */
static DType float_of(const Parser *p, DType otherwise) {
    for (int i = 0; i < p->n; i++)
        if (p->value[i] && dtype_is_float(p->value[i]->t)) return p->value[i]->t;
    return otherwise;
}
/* Both operands with one type: a literal takes the other's; two literals are floats where one is. */
static bool unify(Parser *p, Expr **x, Expr **y) {
    if ((*x)->t == (*y)->t) return true;
    if (lit(*x) && lit(*y)) {
        DType t = (*x)->k == E_FLT ? float_of(p, (*x)->t) : (*y)->k == E_FLT ? float_of(p, (*y)->t) : DT_INT64;
        *x = e_cast(p->a, t, *x), *y = e_cast(p->a, t, *y);
        return true;
    }
    if (lit(*x)) *x = (*x)->k == E_INT ? e_lit_i(p->a, (*y)->t, (*x)->u.i) : e_lit(p->a, (*y)->t, (*x)->u.f);
    else if (lit(*y)) *y = (*y)->k == E_INT ? e_lit_i(p->a, (*x)->t, (*y)->u.i) : e_lit(p->a, (*x)->t, (*y)->u.f);
    else return fail(p, "operands of different types"), false;
    return true;
}
/* Arithmetic of two double literals happens here; loop.c leaves floats alone. */
static Expr *binary(Parser *p, BinOp op, Expr *x, Expr *y) {
    if (!unify(p, &x, &y)) return x;
    if (x->k == E_FLT && y->k == E_FLT) {
        double a = x->u.f, b = y->u.f;
        switch (op) {
        case BIN_ADD: return e_lit(p->a, x->t, a + b);
        case BIN_SUB: return e_lit(p->a, x->t, a - b);
        case BIN_MUL: return e_lit(p->a, x->t, a * b);
        case BIN_DIV: return e_lit(p->a, x->t, a / b);
        default: break;
        }
    }
    return e_bin(p->a, op, x, y);
}
static Expr *select_of(Parser *p, Expr *c, Expr *x, Expr *y) {
    if (c->t != DT_BOOL) return fail(p, "a condition that is not bool");
    if (c->k == E_INT) return c->u.i ? x : y;
    return unify(p, &x, &y) ? e_select(p->a, c, x, y) : x;
}

/* ---- functions */
static Expr *fn_min(Parser *p, Expr **a) { return binary(p, BIN_MIN, a[0], a[1]); }
static Expr *fn_max(Parser *p, Expr **a) { return binary(p, BIN_MAX, a[0], a[1]); }
static Expr *fn_abs(Parser *p, Expr **a) { return dtype_info[a[0]->t].cls == CLS_UINT ? a[0] : e_un(p->a, UN_ABS, a[0]); }
static Expr *fn_clamp(Parser *p, Expr **a) { return binary(p, BIN_MIN, binary(p, BIN_MAX, a[0], a[1]), a[2]); }
static Expr *fn_select(Parser *p, Expr **a) { return select_of(p, a[0], a[1], a[2]); }
static Expr *fn_like(Parser *p, Expr **a) { return e_cast(p->a, a[1]->t, a[0]); }
static Expr *fn_isint(Parser *p, Expr **a) { return e_lit_i(p->a, DT_BOOL, !dtype_is_float(a[0]->t)); }
static Expr *fn_lowest(Parser *p, Expr **a) { return e_lower_bound(p->a, a[0]->t); }
static Expr *fn_highest(Parser *p, Expr **a) { return e_upper_bound(p->a, a[0]->t); }
static const struct {
    const char *name;
    int arity;
    Expr *(*fn)(Parser *, Expr **);
} functions[] = {{"min", 2, fn_min},     {"max", 2, fn_max},       {"abs", 1, fn_abs},
                 {"clamp", 3, fn_clamp}, {"select", 3, fn_select}, {"like", 2, fn_like},
                 {"isint", 1, fn_isint}, {"lowest", 1, fn_lowest}, {"highest", 1, fn_highest}};

static Expr *call_of(Parser *p, CallFn f, Expr **a) {
    char kind = call_info[f].kind;
    if (call_info[f].arity == 2 && !unify(p, &a[0], &a[1])) return a[0];
    if (!dtype_is_float(a[0]->t)) {
        if (kind == 'b') return e_lit_i(p->a, DT_BOOL, 0);
        if (f == CALL_CEIL || f == CALL_FLOOR || f == CALL_TRUNC || f == CALL_RINT) return a[0];
    }
    if (f == CALL_ISNAN) return a[0]->k == E_FLT ? e_lit_i(p->a, DT_BOOL, a[0]->u.f != a[0]->u.f) : e_bin(p->a, BIN_NE, a[0], a[0]);
    return e_call(p->a, f, a);
}
static int parse_args(Parser *p, Expr **a, int want) {
    int n = 0;
    do {
        if (n == want) return n + 1;
        a[n++] = parse_select(p);
    } while (!p->err && take(p, ","));
    expect(p, ")");
    return n;
}
static size_t word(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
    return n;
}
static Expr *parse_cast(Parser *p) {
    Expr *x = parse_select(p);
    expect(p, ",");
    space(p);
    size_t n = word(p->s);
    DType t = dtype_parse(arena_strndup(p->a, p->s, n));
    if (t == DT_NONE) return fail(p, "an unknown type");
    p->s += n;
    expect(p, ")");
    return e_cast(p->a, t, x);
}
static Expr *parse_call(Parser *p, const char *name) {
    Expr *a[3];
    if (strcmp(name, "cast") == 0) return parse_cast(p);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0)
            return parse_args(p, a, functions[i].arity) == functions[i].arity && !p->err ? functions[i].fn(p, a)
                                                                                         : fail(p, "a wrong number of arguments");
    for (int f = 0; f < CALL_COUNT; f++)
        if (strcmp(call_info[f].name, name) == 0)
            return parse_args(p, a, call_info[f].arity) == call_info[f].arity && !p->err ? call_of(p, (CallFn)f, a)
                                                                                         : fail(p, "a wrong number of arguments");
    return fail(p, "an unknown function");
}
static Expr *parse_number(Parser *p) {
    char *end;
    size_t n = strspn(p->s, "0123456789");
    if (p->s[n] == '.' || p->s[n] == 'e') {
        double v = strtod(p->s, &end);
        p->s = end;
        return e_lit(p->a, DT_FLOAT64, v);
    }
    int64_t v = strtoll(p->s, &end, 10);
    p->s = end;
    return e_int(p->a, v);
}
static Expr *parse_primary(Parser *p) {
    space(p);
    if (take(p, "(")) {
        Expr *e = parse_select(p);
        expect(p, ")");
        return e;
    }
    if (isdigit((unsigned char)*p->s)) return parse_number(p);
    size_t n = word(p->s);
    if (!n) return fail(p, "an operand is missing");
    const char *name = arena_strndup(p->a, p->s, n);
    p->s += n;
    if (take(p, "(")) return parse_call(p, name);
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->name[i], name) == 0) return p->value[i] ? p->value[i] : fail(p, "an operand that is absent");
    return fail(p, "an unknown name");
}
static Expr *parse_unary(Parser *p) {
    space(p);
    if (++p->depth > DEPTH_MAX) return fail(p, "nesting too deep");
    Expr *r;
    if (take(p, "-")) r = e_un(p->a, UN_NEG, parse_unary(p));
    else if (take(p, "!")) r = e_un(p->a, UN_NOT, parse_unary(p));
    else if (take(p, "~")) r = e_un(p->a, UN_INV, parse_unary(p));
    else r = parse_primary(p);
    p->depth--;
    return r;
}

/* ---- binary operators, loosest first */
typedef struct OpToken {
    const char *token;
    BinOp op;
} OpToken;
enum { LEVELS = 10 };
static const OpToken levels[LEVELS][5] = {
    {{"||", BIN_LOR}},
    {{"&&", BIN_LAND}},
    {{"|", BIN_OR}},
    {{"^", BIN_XOR}},
    {{"&", BIN_AND}},
    {{"==", BIN_EQ}, {"!=", BIN_NE}},
    {{"<=", BIN_LE}, {"<", BIN_LT}, {">=", BIN_LE}, {">", BIN_LT}}, /* the last two swapped */
    {{"<<", BIN_SHL}, {">>", BIN_SHR}},
    {{"+", BIN_ADD}, {"-", BIN_SUB}},
    {{"*", BIN_MUL}, {"/", BIN_DIV}, {"%", BIN_MOD}},
};
static Expr *parse_level(Parser *p, int level) {
    if (level == LEVELS) return parse_unary(p);
    Expr *x = parse_level(p, level + 1);
    for (bool more = true; more && !p->err;) {
        more = false;
        for (const OpToken *o = levels[level]; o < levels[level] + 5 && o->token; o++) {
            if (!take(p, o->token)) continue;
            Expr *y = parse_level(p, level + 1);
            if (p->err) return x;
            bool swap = *o->token == '>' && o->op != BIN_SHR;
            x = swap ? binary(p, o->op, y, x) : binary(p, o->op, x, y);
            more = true;
            break;
        }
    }
    return x;
}
static Expr *parse_select(Parser *p) {
    if (++p->depth > DEPTH_MAX) return fail(p, "nesting too deep");
    Expr *c = parse_level(p, 0);
    if (!p->err && take(p, "?")) {
        Expr *x = parse_select(p);
        expect(p, ":");
        Expr *y = parse_select(p);
        if (!p->err) c = select_of(p, c, x, y);
    }
    p->depth--;
    return c;
}

Expr *formula_build(Arena *a, const char *formula, int n, const char *const *name, Expr *const *value, const char **err) {
    Parser p = {.a = a, .s = formula, .n = n, .name = name, .value = value};
    Expr *e = parse_select(&p);
    space(&p);
    if (!p.err && *p.s) fail(&p, "something follows the end");
    if (err) *err = p.err;
    return p.err ? NULL : e;
}
