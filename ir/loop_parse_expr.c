/* SPDX-License-Identifier: Apache-2.0 */
/* loop_parse_expr.c: tokens and expressions of the loop IR's text form. Nothing is folded: the result has the nodes that were
 * written. A literal without a type takes the type of what it meets, as in e_bin; literals of other types say theirs.
 * Operators of one level are read in a loop; only parentheses recurse, to a limit.
 *
 *   x[m] * 2 + 1      ->  E_BIN(ADD, E_BIN(MUL, E_LOAD, 2.0), 1.0) when x is float32
 */
#include "loop_parse.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARENS = 500 };
/* An operand, its literal not yet bound to a type when `loose`. */
typedef struct Val {
    Expr *e;
    bool loose, negative;
    Tok lit;
} Val;

/* ---- tokens of one line */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static void lex_number(Parser *p) {
    const char *s = p->at;
    Tok *t = &p->tok;
    bool big = false;
    t->k = T_INT;
    t->i = 0;
    for (; is_digit(*s); s++) {
        big |= t->i > (UINT64_MAX - (uint64_t)(*s - '0')) / 10;
        t->i = t->i * 10 + (uint64_t)(*s - '0');
    }
    if (*s == '.' && is_digit(s[1])) { /* 0..4 is no fraction */
        t->k = T_FLT;
        for (s++; is_digit(*s);) s++;
    }
    if (*s == 'e' && (is_digit(s[1]) || ((s[1] == '+' || s[1] == '-') && is_digit(s[2])))) {
        t->k = T_FLT;
        for (s += 2; is_digit(*s);) s++;
    }
    if (big && t->k == T_INT) FAIL(p, "integer '%.40s' has more than 64 bits", t->s), t->k = T_BAD;
    p->at = s;
}
void lp_next(Parser *p) {
    static const char *const two[] = {"..", "->", "<=", "<<", ">=", ">>", "==", "!=", "&&", "||", "+=", "*=", "&=", "|=", "^="};
    while (*p->at == ' ' || *p->at == '\r') p->at++;
    Tok *t = &p->tok;
    *t = (Tok){T_OP, p->at, 1, 0};
    char c = *p->at;
    if (!c || c == '\n' || c == '#') {
        t->k = T_END;
        t->n = 0;
        return;
    }
    if (is_digit(c)) {
        lex_number(p);
    } else if (is_letter(c)) {
        t->k = T_NAME;
        while (is_letter(*p->at) || is_digit(*p->at)) p->at++;
    } else if (strchr("()[],:=+-*/%&|^~!<>", c) || (c == '.' && p->at[1] == '.')) {
        p->at++;
        for (size_t i = 0; i < sizeof two / sizeof *two; i++)
            if (c == two[i][0] && *p->at == two[i][1]) {
                p->at++;
                break;
            }
    } else {
        t->k = T_BAD;
        p->at++;
        FAIL(p, "unexpected character '%c'", c);
    }
    t->n = p->at - t->s > 1000000 ? 1000000 : (int)(p->at - t->s);
}
static bool text_is(const Tok *t, const char *s) {
    size_t n = strlen(s);
    return t->k != T_END && (size_t)t->n == n && memcmp(t->s, s, n) == 0;
}
bool lp_is(const Parser *p, const char *s) { return text_is(&p->tok, s); }
bool lp_accept(Parser *p, const char *s) {
    if (!lp_is(p, s)) return false;
    lp_next(p);
    return true;
}
int lp_shown(const Tok *t) { return t->n < 60 ? t->n : 60; }
bool lp_found(Parser *p, const char *expected) {
    if (p->tok.k == T_END) return FAIL(p, "the line ends where %s was expected", expected);
    return FAIL(p, "found '%.*s', expected %s", lp_shown(&p->tok), p->tok.s, expected);
}
bool lp_expect(Parser *p, const char *s) {
    if (lp_accept(p, s)) return true;
    char what[16] = "'";
    strncat(what, s, sizeof what - 3);
    strcat(what, "'");
    return lp_found(p, what);
}
bool lp_expect_end(Parser *p) { return p->tok.k == T_END && !p->bad ? true : lp_found(p, "the end of the line"); }

/* ---- names */
Sym *lp_lookup(Parser *p, const Tok *t) {
    char buf[64];
    if ((size_t)t->n >= sizeof buf) return map_get(p->names, arena_strndup(p->a, t->s, (size_t)t->n));
    memcpy(buf, t->s, (size_t)t->n);
    buf[t->n] = 0;
    return map_get(p->names, buf);
}
static DType type_word(const Tok *t) {
    char buf[32];
    if (t->k != T_NAME || (size_t)t->n >= sizeof buf) return DT_NONE;
    memcpy(buf, t->s, (size_t)t->n);
    buf[t->n] = 0;
    return dtype_parse(buf);
}
bool lp_type(Parser *p, bool computing, DType *t) {
    *t = type_word(&p->tok);
    if (*t == DT_NONE) return lp_found(p, "an element type such as float32");
    if (dtype_info[*t].cls == CLS_STR || dtype_info[*t].cls == CLS_CPLX || (computing && dtype_compute(*t) != *t))
        return FAIL(p, "values cannot have type %s", dtype_name(*t));
    lp_next(p);
    return true;
}

/* ---- literals */
static bool int_fits(DType t, bool negative, uint64_t i) {
    if (t == DT_BOOL) return !negative && i <= 1;
    if (t == DT_UINT64) return !negative || i == 0;
    return negative ? i <= (uint64_t)0 - (uint64_t)dtype_min(t) : i <= (uint64_t)dtype_max(t);
}
/* The literal as a value of type t. */
static bool settle(Parser *p, Val *v, DType t) {
    if (!v->loose) return true;
    bool word = v->lit.k == T_NAME; /* inf, nan */
    if (dtype_is_float(t)) {
        double f = word ? (*v->lit.s == 'i' ? INFINITY : NAN) : t == DT_FLOAT32 ? (double)strtof(v->lit.s, NULL) : strtod(v->lit.s, NULL);
        if (!word && isinf(f)) return FAIL(p, "'%.*s' is too large for %s", lp_shown(&v->lit), v->lit.s, dtype_name(t));
        if (isnan(f)) f = copysign(f, 1.0);
        v->e = e_lit(p->a, t, v->negative ? -f : f);
    } else {
        if (v->lit.k != T_INT) return FAIL(p, "'%.*s' is no value of type %s", lp_shown(&v->lit), v->lit.s, dtype_name(t));
        if (!int_fits(t, v->negative, v->lit.i))
            return FAIL(p, "'%s%.*s' does not fit into %s", v->negative ? "-" : "", lp_shown(&v->lit), v->lit.s, dtype_name(t));
        v->e = e_lit_i(p->a, t, (int64_t)(v->negative ? 0 - v->lit.i : v->lit.i));
    }
    v->loose = false;
    return true;
}
static bool is_float_literal(const Val *v) { return v->lit.k != T_INT; }
static bool settle_alone(Parser *p, Val *v) { return settle(p, v, v->loose && is_float_literal(v) ? DT_FLOAT32 : DT_INT64); }
/* Two operands of one type: literals adapt to the other side. */
static bool settle_pair(Parser *p, Val *x, Val *y) {
    if (x->loose && y->loose) {
        DType t = is_float_literal(x) || is_float_literal(y) ? DT_FLOAT32 : DT_INT64;
        return settle(p, x, t) && settle(p, y, t);
    }
    if (x->loose) return settle(p, x, y->e->t);
    return settle(p, y, x->e->t);
}
static bool parse_number(Parser *p, bool negative, Val *v) {
    *v = (Val){NULL, true, negative, p->tok};
    lp_next(p);
    if (!lp_is(p, ":")) return true;
    lp_next(p);
    DType t;
    return lp_type(p, true, &t) && settle(p, v, t);
}

/* ---- expressions. Nodes are made without the constructors' folding. */
static bool parse_expr(Parser *p, int prec, Val *v);
static Expr *node(Parser *p, ExprKind k, int op, DType t) {
    Expr *e = NEW(p->a, Expr);
    e->k = k, e->t = t, e->op = (int8_t)op;
    return e;
}
/* The finished node as the value, if its operands have the types it needs. */
static bool finish(Parser *p, Expr *e, Val *v) {
    Text why = {0};
    bool ok = expr_type_ok(e, &why);
    if (!ok) FAIL(p, "%s", why.s);
    text_free(&why);
    *v = (Val){e, false, false, p->tok};
    return ok;
}
static bool finish_un(Parser *p, UnOp op, Val *v) {
    if (!settle_alone(p, v)) return false;
    Expr *e = node(p, E_UN, op, op == UN_NOT ? DT_BOOL : v->e->t);
    e->u.a[0] = v->e;
    return finish(p, e, v);
}
static bool finish_bin(Parser *p, BinOp op, Val *x, Val *y) {
    if (!settle_pair(p, x, y)) return false;
    bool truth = (op >= BIN_LT && op <= BIN_NE) || op == BIN_LAND || op == BIN_LOR;
    Expr *e = node(p, E_BIN, op, truth ? DT_BOOL : x->e->t);
    e->u.a[0] = x->e, e->u.a[1] = y->e;
    return finish(p, e, x);
}
/* `a, b)`: exactly n values behind an opening bracket. */
static bool parse_args(Parser *p, Val *v, int n, const char *close) {
    for (int i = 0; i < n; i++)
        if ((i && !lp_expect(p, ",")) || !parse_expr(p, 1, &v[i])) return false;
    return lp_expect(p, close);
}
bool lp_indices(Parser *p, const Buf *b, Expr ***idx) {
    Val v[QN_MAX_RANK];
    if (!lp_expect(p, "[")) return false;
    for (int i = 0; i < b->rank; i++)
        if (!parse_expr(p, 1, &v[i]) || (i + 1 < b->rank && !lp_accept(p, ",")))
            return FAIL(p, "buffer '%s' takes %d indices", b->name, b->rank);
    if (!lp_accept(p, "]")) return FAIL(p, "buffer '%s' takes %d indices", b->name, b->rank);
    *idx = NEW_ARRAY(p->a, Expr *, b->rank);
    for (int i = 0; i < b->rank; i++) {
        if (!settle(p, &v[i], DT_INT64)) return false;
        if (v[i].e->t != DT_INT64) return FAIL(p, "index %d of '%s' has type %s, expected int64", i, b->name, dtype_name(v[i].e->t));
        (*idx)[i] = v[i].e;
    }
    return true;
}
static bool parse_call(Parser *p, CallFn fn, Val *v) {
    const CallInfo *ci = &call_info[fn];
    Val arg[4];
    if (!lp_expect(p, "(") || !parse_args(p, arg, ci->arity, ")")) return false;
    if (arg[0].loose && ci->arity > 1 && !arg[1].loose && !settle(p, &arg[0], arg[1].e->t)) return false;
    if (!settle(p, &arg[0], ci->kind == 'i' ? DT_INT64 : ci->kind == 'd' ? DT_INT32 : ci->kind == 'u' ? DT_UINT32 : DT_FLOAT32))
        return false;
    Expr *e = node(p, E_CALL, fn, call_result(fn, arg[0].e->t));
    e->narg = (int8_t)ci->arity;
    e->u.arg = NEW_ARRAY(p->a, Expr *, ci->arity);
    for (int i = 0; i < ci->arity; i++) {
        if (!settle(p, &arg[i], arg[0].e->t)) return false;
        e->u.arg[i] = arg[i].e;
    }
    return finish(p, e, v);
}
static int find_call(const Tok *t) { /* CALL_COUNT: none */
    int fn = 0;
    while (fn < CALL_COUNT && !text_is(t, call_info[fn].name)) fn++;
    return fn;
}
/* The words that are written like calls. `name` has been taken, '(' is next. */
static bool parse_function(Parser *p, const Tok *name, Val *v) {
    Val a[3];
    DType to = type_word(name);
    int fn = find_call(name);
    bool select = text_is(name, "select"), abs = text_is(name, "abs"), min = text_is(name, "min"), max = text_is(name, "max");
    if (fn < CALL_COUNT) return parse_call(p, (CallFn)fn, v);
    if (select) {
        if (!lp_expect(p, "(") || !parse_args(p, a, 3, ")") || !settle(p, &a[0], DT_BOOL) || !settle_pair(p, &a[1], &a[2])) return false;
        Expr *e = node(p, E_SELECT, 0, a[1].e->t);
        for (int i = 0; i < 3; i++) e->u.a[i] = a[i].e;
        return finish(p, e, v);
    }
    if (min || max)
        return lp_expect(p, "(") && parse_args(p, a, 2, ")") && finish_bin(p, min ? BIN_MIN : BIN_MAX, &a[0], &a[1]) && (*v = a[0], true);
    if (!lp_expect(p, "(") || !parse_args(p, a, 1, ")")) return false;
    if (abs) return finish_un(p, UN_ABS, &a[0]) && (*v = a[0], true);
    if (!settle_alone(p, &a[0])) return false;
    Expr *e = node(p, E_CAST, 0, dtype_compute(to));
    e->to = to;
    e->u.a[0] = a[0].e;
    return finish(p, e, v);
}
static bool parse_name(Parser *p, Val *v) {
    Tok name = p->tok;
    if (lp_is(p, "inf") || lp_is(p, "nan")) return parse_number(p, false, v);
    if (lp_is(p, "true") || lp_is(p, "false")) {
        *v = (Val){e_lit_i(p->a, DT_BOOL, *p->tok.s == 't'), false, false, name};
        lp_next(p);
        return true;
    }
    Sym *s = lp_lookup(p, &p->tok);
    if (s && s->v) {
        Expr *e = node(p, E_VAR, 0, s->v->t);
        e->u.v = s->v;
        *v = (Val){e, false, false, name};
        lp_next(p);
        return true;
    }
    if (s && s->b) {
        Expr *e = node(p, E_LOAD, 0, dtype_compute(s->b->dt));
        e->narg = (int8_t)s->b->rank;
        e->u.ld.buf = s->b;
        lp_next(p);
        return lp_indices(p, s->b, &e->u.ld.idx) && finish(p, e, v);
    }
    if (type_word(&name) != DT_NONE || find_call(&name) < CALL_COUNT || lp_is(p, "select") || lp_is(p, "abs") || lp_is(p, "min") ||
        lp_is(p, "max")) {
        lp_next(p);
        return parse_function(p, &name, v);
    }
    if (text_is_reserved(name.s, (size_t)name.n)) return lp_found(p, "a value");
    return FAIL(p, "'%.*s' is not in scope here", lp_shown(&name), name.s);
}
static bool parse_operand(Parser *p, Val *v) {
    if (p->tok.k == T_INT || p->tok.k == T_FLT) return parse_number(p, false, v);
    if (p->tok.k == T_NAME) return parse_name(p, v);
    if (lp_accept(p, "(")) return parse_expr(p, 1, v) && lp_expect(p, ")");
    if (lp_accept(p, "-")) {
        if (p->tok.k == T_INT || p->tok.k == T_FLT || lp_is(p, "inf") || lp_is(p, "nan")) return parse_number(p, true, v);
        return parse_expr(p, PREC_UNARY, v) && finish_un(p, UN_NEG, v);
    }
    if (lp_accept(p, "!")) return parse_expr(p, PREC_UNARY, v) && settle(p, v, DT_BOOL) && finish_un(p, UN_NOT, v);
    if (lp_accept(p, "~")) return parse_expr(p, PREC_UNARY, v) && finish_un(p, UN_INV, v);
    return lp_found(p, "a value");
}
/* Operators that bind at least as tightly as `prec`, from the left. */
static bool parse_expr(Parser *p, int prec, Val *v) {
    if (p->depth >= MAX_PARENS) return FAIL(p, "expression is nested more than %d deep; name parts of it with `let`", MAX_PARENS);
    p->depth++;
    bool ok = parse_operand(p, v);
    while (ok) {
        bool swap = lp_is(p, ">") || lp_is(p, ">="); /* a > b is b < a */
        int op = swap ? (p->tok.n == 1 ? BIN_LT : BIN_LE) : 0;
        while (!swap && op <= BIN_LOR && (bin_text[op].prec == PREC_ATOM || !lp_is(p, bin_text[op].text))) op++;
        if (op > BIN_LOR || bin_text[op].prec < prec) break;
        lp_next(p);
        Val y;
        ok = parse_expr(p, bin_text[op].prec + 1, &y) && (swap ? finish_bin(p, (BinOp)op, &y, v) : finish_bin(p, (BinOp)op, v, &y));
        if (swap && ok) *v = y;
    }
    p->depth--;
    return ok;
}
Expr *lp_typed(Parser *p, DType t, const char *what) {
    Val v;
    if (!parse_expr(p, 1, &v) || !settle(p, &v, t)) return NULL;
    if (v.e->t == t) return v.e;
    FAIL(p, "%s has type %s, expected %s", what, dtype_name(v.e->t), dtype_name(t));
    return NULL;
}
