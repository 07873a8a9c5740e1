/* SPDX-License-Identifier: Apache-2.0 */
/* loop_parse.c: reads the text form of the loop IR back (loop_text.c prints it). Any bytes are answered by a Func or by
 * errors with file and line; a bad line does not hide the errors of the lines after it. Nothing is folded: the result has
 * the nodes that were written. A literal without a type takes the type of what it meets, as in e_bin; literals of other
 * types say theirs. Blocks live on an explicit stack; only parentheses recurse, to a limit.
 *
 *   y[m] += x[m] * 2      ->  S_STORE, RED_ADD, E_BIN(E_LOAD, E_FLT 2.0) when x is float32
 */
#include "loop_text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCKS = 256, MAX_PARENS = 500, MAX_PARAMS = 4096, MAX_CALL = 64 };
static const int64_t max_span = (int64_t)1 << 48; /* elements between the first and the last of a buffer */

typedef enum TokKind { T_END, T_NAME, T_INT, T_FLT, T_OP, T_BAD } TokKind;
typedef struct Tok {
    TokKind k;
    const char *s;
    int n;
    uint64_t i; /* T_INT */
} Tok;
typedef struct Sym { /* what a name stands for; neither: nothing now */
    Var *v;
    Buf *b;
} Sym;
typedef struct Open { /* a block that takes statements */
    Stmt *block;
    int names; /* height of the scope stack outside */
} Open;
typedef struct Parser {
    Ctx *c;
    Arena *a;
    const char *file, *at; /* at: behind `tok` */
    int64_t line;
    Tok tok;
    bool bad; /* this line has had its error */
    int depth;
    Func *f;
    Map *names;
    Vec(Sym *) scope;
    Open open[MAX_BLOCKS + 1];
    int nopen;
} Parser;
/* An operand, its literal not yet bound to a type when `loose`. */
typedef struct Val {
    Expr *e;
    bool loose, negative;
    Tok lit;
} Val;

#define FAIL(p, ...) ((p)->bad ? false : ((p)->bad = true, diag_error((p)->c->d, (Loc){(p)->file, (p)->line, NULL, NULL}, __VA_ARGS__)))

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
static void next(Parser *p) {
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
static bool tok_is(const Parser *p, const char *s) { return text_is(&p->tok, s); }
static bool accept(Parser *p, const char *s) {
    if (!tok_is(p, s)) return false;
    next(p);
    return true;
}
static int shown(const Tok *t) { return t->n < 60 ? t->n : 60; }
static bool fail_found(Parser *p, const char *expected) {
    if (p->tok.k == T_END) return FAIL(p, "the line ends where %s was expected", expected);
    return FAIL(p, "found '%.*s', expected %s", shown(&p->tok), p->tok.s, expected);
}
static bool expect(Parser *p, const char *s) {
    if (accept(p, s)) return true;
    char what[16] = "'";
    strncat(what, s, sizeof what - 3);
    strcat(what, "'");
    return fail_found(p, what);
}
static bool expect_end(Parser *p) { return p->tok.k == T_END && !p->bad ? true : fail_found(p, "the end of the line"); }

/* ---- names */
static Sym *lookup(Parser *p, const Tok *t) {
    char buf[64];
    if ((size_t)t->n >= sizeof buf) return map_get(p->names, arena_strndup(p->a, t->s, (size_t)t->n));
    memcpy(buf, t->s, (size_t)t->n);
    buf[t->n] = 0;
    return map_get(p->names, buf);
}
/* A name that may be declared: an identifier, not a word of the language, not in scope. */
static const char *new_name(Parser *p, const char *what) {
    if (p->tok.k != T_NAME || text_is_reserved(p->tok.s, (size_t)p->tok.n)) {
        fail_found(p, what);
        return NULL;
    }
    Sym *s = lookup(p, &p->tok);
    if (s && (s->v || s->b)) {
        FAIL(p, "'%.*s' is declared already; choose another name", shown(&p->tok), p->tok.s);
        return NULL;
    }
    const char *name = arena_strndup(p->a, p->tok.s, (size_t)p->tok.n);
    next(p);
    return name;
}
static void declare(Parser *p, const char *name, Var *v, Buf *b) {
    Sym *s = map_get(p->names, name);
    if (!s) map_set(p->names, name, s = NEW(p->a, Sym));
    s->v = v;
    s->b = b;
    vec_push(p->a, &p->scope, s);
}
static void leave(Parser *p, int height) {
    while (p->scope.n > height) *p->scope.v[--p->scope.n] = (Sym){NULL, NULL};
}
static DType type_word(const Tok *t) {
    char buf[32];
    if (t->k != T_NAME || (size_t)t->n >= sizeof buf) return DT_NONE;
    memcpy(buf, t->s, (size_t)t->n);
    buf[t->n] = 0;
    return dtype_parse(buf);
}
static bool parse_type_word(Parser *p, bool computing, DType *t) {
    *t = type_word(&p->tok);
    if (*t == DT_NONE) return fail_found(p, "an element type such as float32");
    if (dtype_info[*t].cls == CLS_STR || dtype_info[*t].cls == CLS_CPLX || (computing && dtype_compute(*t) != *t))
        return FAIL(p, "values cannot have type %s", dtype_name(*t));
    next(p);
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
        if (!word && isinf(f)) return FAIL(p, "'%.*s' is too large for %s", shown(&v->lit), v->lit.s, dtype_name(t));
        if (isnan(f)) f = copysign(f, 1.0);
        v->e = e_lit(p->a, t, v->negative ? -f : f);
    } else {
        if (v->lit.k != T_INT) return FAIL(p, "'%.*s' is no value of type %s", shown(&v->lit), v->lit.s, dtype_name(t));
        if (!int_fits(t, v->negative, v->lit.i))
            return FAIL(p, "'%s%.*s' does not fit into %s", v->negative ? "-" : "", shown(&v->lit), v->lit.s, dtype_name(t));
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
    next(p);
    if (!tok_is(p, ":")) return true;
    next(p);
    DType t;
    return parse_type_word(p, true, &t) && settle(p, v, t);
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
        if ((i && !expect(p, ",")) || !parse_expr(p, 1, &v[i])) return false;
    return expect(p, close);
}
static bool parse_indices(Parser *p, const Buf *b, Expr ***idx) {
    Val v[QN_MAX_RANK];
    if (!expect(p, "[") || !parse_args(p, v, b->rank, "]")) return FAIL(p, "buffer '%s' takes %d indices", b->name, b->rank);
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
    if (!expect(p, "(") || !parse_args(p, arg, ci->arity, ")")) return false;
    if (arg[0].loose && ci->arity > 1 && !arg[1].loose && !settle(p, &arg[0], arg[1].e->t)) return false;
    if (!settle(p, &arg[0], ci->kind == 'i' ? DT_INT64 : DT_FLOAT32)) return false;
    Expr *e = node(p, E_CALL, fn, ci->kind == 'b' ? DT_BOOL : arg[0].e->t);
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
        if (!expect(p, "(") || !parse_args(p, a, 3, ")") || !settle(p, &a[0], DT_BOOL) || !settle_pair(p, &a[1], &a[2])) return false;
        Expr *e = node(p, E_SELECT, 0, a[1].e->t);
        for (int i = 0; i < 3; i++) e->u.a[i] = a[i].e;
        return finish(p, e, v);
    }
    if (min || max)
        return expect(p, "(") && parse_args(p, a, 2, ")") && finish_bin(p, min ? BIN_MIN : BIN_MAX, &a[0], &a[1]) && (*v = a[0], true);
    if (!expect(p, "(") || !parse_args(p, a, 1, ")")) return false;
    if (abs) return finish_un(p, UN_ABS, &a[0]) && (*v = a[0], true);
    if (!settle_alone(p, &a[0])) return false;
    Expr *e = node(p, E_CAST, 0, dtype_compute(to));
    e->to = to;
    e->u.a[0] = a[0].e;
    return finish(p, e, v);
}
static bool parse_name(Parser *p, Val *v) {
    Tok name = p->tok;
    if (tok_is(p, "inf") || tok_is(p, "nan")) return parse_number(p, false, v);
    if (tok_is(p, "true") || tok_is(p, "false")) {
        *v = (Val){e_lit_i(p->a, DT_BOOL, *p->tok.s == 't'), false, false, name};
        next(p);
        return true;
    }
    Sym *s = lookup(p, &p->tok);
    if (s && s->v) {
        Expr *e = node(p, E_VAR, 0, s->v->t);
        e->u.v = s->v;
        *v = (Val){e, false, false, name};
        next(p);
        return true;
    }
    if (s && s->b) {
        Expr *e = node(p, E_LOAD, 0, dtype_compute(s->b->dt));
        e->narg = (int8_t)s->b->rank;
        e->u.ld.buf = s->b;
        next(p);
        return parse_indices(p, s->b, &e->u.ld.idx) && finish(p, e, v);
    }
    if (type_word(&name) != DT_NONE || find_call(&name) < CALL_COUNT || tok_is(p, "select") || tok_is(p, "abs") || tok_is(p, "min") ||
        tok_is(p, "max")) {
        next(p);
        return parse_function(p, &name, v);
    }
    if (text_is_reserved(name.s, (size_t)name.n)) return fail_found(p, "a value");
    return FAIL(p, "'%.*s' is not in scope here", shown(&name), name.s);
}
static bool parse_operand(Parser *p, Val *v) {
    if (p->tok.k == T_INT || p->tok.k == T_FLT) return parse_number(p, false, v);
    if (p->tok.k == T_NAME) return parse_name(p, v);
    if (accept(p, "(")) return parse_expr(p, 1, v) && expect(p, ")");
    if (accept(p, "-")) {
        if (p->tok.k == T_INT || p->tok.k == T_FLT || tok_is(p, "inf") || tok_is(p, "nan")) return parse_number(p, true, v);
        return parse_expr(p, PREC_UNARY, v) && finish_un(p, UN_NEG, v);
    }
    if (accept(p, "!")) return parse_expr(p, PREC_UNARY, v) && settle(p, v, DT_BOOL) && finish_un(p, UN_NOT, v);
    if (accept(p, "~")) return parse_expr(p, PREC_UNARY, v) && finish_un(p, UN_INV, v);
    return fail_found(p, "a value");
}
/* Operators that bind at least as tightly as `prec`, from the left. */
static bool parse_expr(Parser *p, int prec, Val *v) {
    if (p->depth >= MAX_PARENS) return FAIL(p, "expression is nested more than %d deep; name parts of it with `let`", MAX_PARENS);
    p->depth++;
    bool ok = parse_operand(p, v);
    while (ok) {
        bool swap = tok_is(p, ">") || tok_is(p, ">="); /* a > b is b < a */
        int op = swap ? (p->tok.n == 1 ? BIN_LT : BIN_LE) : 0;
        while (!swap && op <= BIN_LOR && (bin_text[op].prec == PREC_ATOM || !tok_is(p, bin_text[op].text))) op++;
        if (op > BIN_LOR || bin_text[op].prec < prec) break;
        next(p);
        Val y;
        ok = parse_expr(p, bin_text[op].prec + 1, &y) && (swap ? finish_bin(p, (BinOp)op, &y, v) : finish_bin(p, (BinOp)op, v, &y));
        if (swap && ok) *v = y;
    }
    p->depth--;
    return ok;
}
static Expr *parse_typed(Parser *p, DType t, const char *what) {
    Val v;
    if (!parse_expr(p, 1, &v) || !settle(p, &v, t)) return NULL;
    if (v.e->t == t) return v.e;
    FAIL(p, "%s has type %s, expected %s", what, dtype_name(v.e->t), dtype_name(t));
    return NULL;
}

/* ---- buffers */
static bool parse_i64(Parser *p, int64_t *v) {
    bool negative = accept(p, "-");
    if (p->tok.k != T_INT) return fail_found(p, "an integer");
    if (p->tok.i > INT64_MAX) return FAIL(p, "integer '%.*s' is too large", shown(&p->tok), p->tok.s);
    *v = negative ? -(int64_t)p->tok.i : (int64_t)p->tok.i;
    next(p);
    return true;
}
static bool parse_i64_list(Parser *p, int64_t *v, int *n) {
    *n = 0;
    if (!expect(p, "[")) return false;
    do {
        if (*n == QN_MAX_RANK) return FAIL(p, "more than %d dimensions", QN_MAX_RANK);
        if (!parse_i64(p, &v[(*n)++])) return false;
    } while (accept(p, ","));
    return expect(p, "]");
}
/* Sizes stay where sums of products of them cannot overflow. */
static bool check_extent(Parser *p, const Buf *b) {
    int64_t bytes, n = 1, lo = b->offset, hi = b->offset, step;
    for (int i = 0; i < b->rank; i++) {
        if (b->dim[i] < 0) return FAIL(p, "dimension %d of '%s' is negative", i, b->name);
        if (!mul_ok(n, b->dim[i] ? b->dim[i] : 1, &n)) return FAIL(p, "buffer '%s' has too many elements", b->name);
        if (!mul_ok(b->dim[i] ? b->dim[i] - 1 : 0, b->stride[i], &step) || !add_ok(step < 0 ? lo : hi, step, step < 0 ? &lo : &hi) ||
            lo < -max_span || hi > max_span)
            return FAIL(p, "buffer '%s' spans more than 2^48 elements", b->name);
    }
    if (b->offset < -max_span || b->offset > max_span || n > max_span || !dtype_bytes(b->dt, n, &bytes))
        return FAIL(p, "buffer '%s' spans more than 2^48 elements", b->name);
    return true;
}
/* `float32[4,3] strides [3,1] offset 2 level 1`; registers the buffer. */
static Buf *parse_buf(Parser *p, const char *name, MemSpace space) {
    Buf b = {.name = name, .space = space};
    int n;
    int64_t level = 0;
    if (!parse_type_word(p, false, &b.dt)) return NULL;
    if (tok_is(p, "[") && !parse_i64_list(p, b.dim, &b.rank)) return NULL;
    buf_dense_strides(&b, b.stride);
    if (accept(p, "strides")) {
        if (!parse_i64_list(p, b.stride, &n)) return NULL;
        if (n != b.rank) {
            FAIL(p, "buffer '%s' has %d dimensions but %d strides", name, b.rank, n);
            return NULL;
        }
    }
    if (accept(p, "offset") && !parse_i64(p, &b.offset)) return NULL;
    if (accept(p, "level") && !parse_i64(p, &level)) return NULL;
    if (level < -1 || level > 1000) {
        FAIL(p, "level %lld of '%s' is out of range", (long long)level, name);
        return NULL;
    }
    if (!check_extent(p, &b)) return NULL;
    b.level = (int)level;
    Buf *r = NEW(p->a, Buf);
    *r = b;
    r->id = p->f->nbuf++;
    declare(p, name, NULL, r);
    return r;
}
static int parse_space(Parser *p) {
    for (int s = 0; s <= MEM_PAD; s++)
        if (accept(p, space_text[s])) return s;
    return -1;
}
static bool parse_param(Parser *p) {
    bool writes = accept(p, "writes");
    int space = parse_space(p);
    const char *name = new_name(p, "the name of a parameter");
    if (!name || !expect(p, ":")) return false;
    Buf *b = parse_buf(p, name, space < 0 ? MEM_PARAM : (MemSpace)space);
    if (!b) return false;
    b->written = writes;
    if (p->f->param.n >= MAX_PARAMS) return FAIL(p, "function has more than %d parameters", MAX_PARAMS);
    vec_push(p->a, &p->f->param, b);
    return true;
}
static bool parse_params(Parser *p) {
    if (!expect(p, "(")) return false;
    while (!tok_is(p, ")"))
        if (!parse_param(p) || (!tok_is(p, ")") && !expect(p, ","))) return false;
    next(p);
    if (!accept(p, "->")) return true;
    do
        if (!parse_param(p)) return false;
    while (accept(p, ","));
    return true;
}

/* ---- statements: each handles one line and gives NULL after an error */
static Stmt *stmt(Parser *p, StmtKind k) {
    Stmt *s = NEW(p->a, Stmt);
    s->k = k;
    return s;
}
static Var *new_var(Parser *p, const char *name, DType t) {
    Var *v = var_new(p->f, name, t);
    declare(p, name, v, NULL);
    return v;
}
static void open_block(Parser *p, Stmt *block, int names) {
    if (p->nopen > MAX_BLOCKS) return; /* parse_line has reported it */
    p->open[p->nopen++] = (Open){block, names};
}
static Stmt *parse_alloc(Parser *p) {
    const char *name = new_name(p, "the name of a buffer");
    if (!name || !expect(p, ":")) return NULL;
    int space = parse_space(p);
    if (space < 0) {
        fail_found(p, "a memory space: reg, stack, pad or scratch");
        return NULL;
    }
    Stmt *s = stmt(p, S_ALLOC);
    s->u.alloc = parse_buf(p, name, (MemSpace)space);
    return s->u.alloc ? s : NULL;
}
static bool parse_for_tail(Parser *p, Stmt *s) {
    int64_t level;
    for (int m = LOOP_PAR; m <= LOOP_UNROLL; m++)
        if (accept(p, mode_text[m])) s->u.loop.mode = (LoopMode)m;
    if (!accept(p, "level")) return true;
    if (!parse_i64(p, &level)) return false;
    if (level < -1 || level > 1000) return FAIL(p, "level %lld of a loop is out of range", (long long)level);
    s->u.loop.level = (int)level;
    if (tok_is(p, "x") || tok_is(p, "y")) {
        s->u.loop.axis = *p->tok.s;
        next(p);
    }
    return true;
}
static Stmt *parse_for(Parser *p) {
    int names = p->scope.n;
    Stmt *s = stmt(p, S_FOR);
    s->u.loop.level = -1;
    s->u.loop.body = s_block(p->a);
    const char *name = new_name(p, "the name of a loop variable");
    bool ok = name && expect(p, "in") && (s->u.loop.lo = parse_typed(p, DT_INT64, "the lower bound of a loop")) && expect(p, "..") &&
              (s->u.loop.hi = parse_typed(p, DT_INT64, "the upper bound of a loop")) && parse_for_tail(p, s);
    if (name) s->u.loop.v = new_var(p, name, DT_INT64); /* also after an error: its uses are not to be blamed */
    open_block(p, s->u.loop.body, names);
    return ok ? s : NULL;
}
static Stmt *parse_let(Parser *p) {
    Stmt *s = stmt(p, S_LET);
    DType t;
    const char *name = new_name(p, "the name of a value");
    if (!name || !expect(p, ":") || !parse_type_word(p, true, &t)) return NULL;
    bool ok = expect(p, "=") && (s->u.let.val = parse_typed(p, t, "the value"));
    s->u.let.v = new_var(p, name, t);
    return ok ? s : NULL;
}
static Stmt *parse_if(Parser *p) {
    Stmt *s = stmt(p, S_IF);
    s->u.cond.then = s_block(p->a);
    s->u.cond.cond = parse_typed(p, DT_BOOL, "the condition");
    open_block(p, s->u.cond.then, p->scope.n);
    return s->u.cond.cond ? s : NULL;
}
/* `else` belongs to the statement before it, an `if` in the same block. */
static void parse_else(Parser *p, const Stmt *block) {
    Stmt *last = block->u.block.n ? block->u.block.v[block->u.block.n - 1] : NULL;
    Stmt *body = s_block(p->a);
    if (last && last->k == S_IF && !last->u.cond.other) last->u.cond.other = body;
    else FAIL(p, "`else` without an `if` before it");
    open_block(p, body, p->scope.n);
}
static bool parse_call_bufs(Parser *p, Stmt *s) {
    s->u.call.buf = NEW_ARRAY(p->a, Buf *, 32);
    while (!tok_is(p, ")")) {
        bool out = accept(p, "out");
        Sym *sym = p->tok.k == T_NAME ? lookup(p, &p->tok) : NULL;
        if (!sym || !sym->b) return fail_found(p, "a buffer that is in scope");
        if (s->u.call.nbuf == 32) return FAIL(p, "call of more than 32 buffers");
        if (out) s->u.call.writes |= 1u << s->u.call.nbuf;
        if (out && sym->b->space != MEM_PARAM) sym->b->written = true;
        s->u.call.buf[s->u.call.nbuf++] = sym->b;
        next(p);
        if (!tok_is(p, ")") && !expect(p, ",")) return false;
    }
    next(p);
    return true;
}
static Stmt *parse_call_stmt(Parser *p) {
    Stmt *s = stmt(p, S_CALL);
    Expr *arg[MAX_CALL];
    if (p->tok.k != T_NAME) {
        fail_found(p, "the name of a routine");
        return NULL;
    }
    s->u.call.name = arena_strndup(p->a, p->tok.s, (size_t)p->tok.n);
    next(p);
    if (!expect(p, "(")) return NULL;
    while (!tok_is(p, ")")) {
        if (s->u.call.narg == MAX_CALL) FAIL(p, "call with more than %d integers", MAX_CALL);
        if (p->bad || !(arg[s->u.call.narg++] = parse_typed(p, DT_INT64, "an argument of a call"))) return NULL;
        if (!tok_is(p, ")") && !expect(p, ",")) return NULL;
    }
    next(p);
    s->u.call.arg = NEW_ARRAY(p->a, Expr *, s->u.call.narg);
    for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = arg[i];
    return expect(p, "(") && parse_call_bufs(p, s) ? s : NULL;
}
static Stmt *parse_store(Parser *p) {
    Sym *sym = p->tok.k == T_NAME ? lookup(p, &p->tok) : NULL;
    if (!sym || !sym->b) {
        fail_found(p, "a statement or a buffer that is in scope");
        return NULL;
    }
    next(p);
    Stmt *s = stmt(p, S_STORE);
    Buf *b = s->u.st.buf = sym->b;
    if (!parse_indices(p, b, &s->u.st.idx)) return NULL;
    bool min = accept(p, "min"), max = !min && accept(p, "max");
    int red = min ? RED_MIN : max ? RED_MAX : RED_NONE;
    if (!min && !max)
        while (red <= RED_XOR && !tok_is(p, red_text[red])) red++;
    if (red > RED_XOR || ((min || max) && !tok_is(p, "="))) {
        fail_found(p, "= or one of += *= min= max= &= |= ^=");
        return NULL;
    }
    next(p);
    s->u.st.red = (RedOp)red;
    s->u.st.val = parse_typed(p, dtype_compute(b->dt), "the stored value");
    if (b->space != MEM_PARAM) b->written = true; /* of parameters the header says so */
    return s->u.st.val ? s : NULL;
}
/* One statement at the end of the innermost open block. */
static void parse_stmt(Parser *p) {
    Stmt *block = p->open[p->nopen - 1].block, *s = NULL;
    if (accept(p, "else")) {
        parse_else(p, block);
    } else if (accept(p, "block")) {
        open_block(p, s = s_block(p->a), p->scope.n);
    } else {
        s = accept(p, "for")     ? parse_for(p)
            : accept(p, "let")   ? parse_let(p)
            : accept(p, "if")    ? parse_if(p)
            : accept(p, "alloc") ? parse_alloc(p)
            : accept(p, "call")  ? parse_call_stmt(p)
                                 : parse_store(p);
    }
    if (!p->bad) expect_end(p);
    if (s) s_append(p->a, block, s);
}

/* ---- lines */
/* Comment lines between the header and the first statement: what the function computes, and its schedule. */
static void parse_comment(Parser *p, const char *s, Text *comment, bool *any) {
    size_t n = strcspn(s, "\n");
    while (n && (unsigned char)s[n - 1] <= ' ') n--;
    if (n && *s == ' ') s++, n--;
    if (n >= 9 && memcmp(s, "schedule:", 9) == 0) {
        size_t skip = n > 9 && s[9] == ' ' ? 10 : 9;
        vec_push(p->a, &p->f->schedule, arena_strndup(p->a, s + skip, n - skip));
        return;
    }
    if (*any) text_puts(comment, "\n");
    *any = true;
    text_putn(comment, s, n);
}
static void parse_header(Parser *p) {
    p->f = func_new(p->a, NULL);
    if (!expect(p, "func")) return;
    if (p->tok.k != T_NAME) {
        fail_found(p, "the name of the function");
        return;
    }
    p->f->name = arena_strndup(p->a, p->tok.s, (size_t)p->tok.n);
    next(p);
    if (parse_params(p)) expect_end(p);
    p->open[p->nopen++] = (Open){p->f->body, p->scope.n};
}
/* A line of the body, indented by `indent` spaces: closes the blocks that it is outside of. */
static void parse_line(Parser *p, int64_t indent) {
    if (indent % 2 || indent < 2) {
        FAIL(p, "indented by %lld spaces, expected a multiple of two, at least 2", (long long)indent);
        return;
    }
    int64_t level = indent / 2;
    if (level > p->nopen) {
        FAIL(p, "indented by %lld spaces, expected at most %d here", (long long)indent, 2 * p->nopen);
        return;
    }
    while (p->nopen > level) leave(p, p->open[--p->nopen].names);
    if (p->nopen >= MAX_BLOCKS) {
        FAIL(p, "blocks are nested more than %d deep", MAX_BLOCKS);
        return;
    }
    next(p);
    parse_stmt(p);
}
Func *func_parse(Ctx *c, const char *file, const char *text) {
    int errors = c->d->errors;
    Parser *p = NEW(c->a, Parser);
    p->c = c, p->a = c->a, p->file = file;
    p->names = map_new(c->a);
    Text comment = {0};
    bool any_comment = false, body = false;
    for (const char *s = text; *s && !(p->f && !p->nopen); s++) {
        const char *start = s;
        while (*s == ' ') s++;
        p->line++;
        p->bad = false;
        p->depth = 0;
        p->at = s;
        if (*s == '\t') {
            FAIL(p, "a tab in the indentation, expected two spaces per level");
        } else if (*s == '#') {
            if (p->f && !body) parse_comment(p, s + 1, &comment, &any_comment);
        } else if (*s && *s != '\n' && *s != '\r') {
            body = p->f != NULL;
            if (p->f) parse_line(p, s - start);
            else next(p), parse_header(p);
        }
        s += strcspn(s, "\n");
        if (!*s) break;
    }
    if (!p->f) FAIL(p, "the text holds no function; expected `func name(…)`");
    if (p->f && comment.n) p->f->comment = arena_strndup(p->a, comment.s, comment.n);
    text_free(&comment);
    return c->d->errors > errors ? NULL : p->f;
}
