/* SPDX-License-Identifier: Apache-2.0 */
/* loop_text.c: prints the loop IR. Two spaces of indentation open a block; expressions are C's with as few parentheses as
 * possible. Printing works on broken functions too (NULL prints as `<null>`), for it serves to report them.
 * func_parse (loop_parse.c) reads what this prints, and printing that again gives the same bytes.
 * Variables are renamed where a name is in scope already or is a word of the language: i inside a loop over i becomes i_1.
 *
 *   a for over m in [0, 4) of mode unroll that stores  ->  for m in 0..4 unroll
 *                                                            y[m] = max(x[m] * 2.0, 0.0)
 */
#include "loop_text.h"
#include <math.h>
#include <string.h>

enum { EXPR_LIMIT = 100000 }; /* nodes printed of one expression: a DAG as a tree can be exponentially large */

const BinText bin_text[BIN_LOR + 1] = {
    [BIN_ADD] = {"+", 9},           [BIN_SUB] = {"-", 9},   [BIN_MUL] = {"*", 10}, [BIN_DIV] = {"/", 10}, [BIN_MOD] = {"%", 10},
    [BIN_MIN] = {"min", PREC_ATOM}, [BIN_AND] = {"&", 5},   [BIN_OR] = {"|", 3},   [BIN_XOR] = {"^", 4},  [BIN_SHL] = {"<<", 8},
    [BIN_MAX] = {"max", PREC_ATOM}, [BIN_SHR] = {">>", 8},  [BIN_LT] = {"<", 7},   [BIN_LE] = {"<=", 7},  [BIN_EQ] = {"==", 6},
    [BIN_NE] = {"!=", 6},           [BIN_LAND] = {"&&", 2}, [BIN_LOR] = {"||", 1},
};
const char *const space_text[] = {
    [MEM_PARAM] = "param", [MEM_SCRATCH] = "scratch", [MEM_STACK] = "stack", [MEM_REG] = "reg", [MEM_PAD] = "pad"};
const char *const mode_text[] = {[LOOP_SEQ] = "", [LOOP_PAR] = "par", [LOOP_VEC] = "vec", [LOOP_UNROLL] = "unroll"};
const char *const red_text[] = {[RED_NONE] = "=",   [RED_ADD] = "+=", [RED_MUL] = "*=", [RED_MIN] = "min=",
                                [RED_MAX] = "max=", [RED_AND] = "&=", [RED_OR] = "|=",  [RED_XOR] = "^="};
static const char un_text[] = {[UN_NEG] = '-', [UN_NOT] = '!', [UN_INV] = '~', [UN_ABS] = 'a'};

static const char *const words[] = {
    "func",    "alloc", "for",    "in",      "let",   "if",  "else", "call",   "block", "out", "writes", "par", "vec", "unroll", "level",
    "strides", "param", "offset", "scratch", "stack", "reg", "pad",  "select", "abs",   "min", "max",    "inf", "nan", "true",   "false",
};
bool text_is_reserved(const char *name, size_t n) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == n && memcmp(words[i], name, n) == 0) return true;
    for (int i = 0; i < CALL_COUNT; i++)
        if (strlen(call_info[i].name) == n && memcmp(call_info[i].name, name, n) == 0) return true;
    for (int t = 1; t < DT_COUNT; t++)
        if (strlen(dtype_info[t].name) == n && memcmp(dtype_info[t].name, name, n) == 0) return true;
    return false;
}
static bool ident_char(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}
bool text_is_ident(const char *name) {
    if (!name || !*name) return false;
    for (const char *p = name; *p; p++)
        if (!ident_char(*p, p == name)) return false;
    return true;
}
void buf_dense_strides(const Buf *b, int64_t *stride) {
    int64_t s = 1;
    for (int i = b->rank - 1; i >= 0; i--) {
        stride[i] = s;
        if (b->dim[i] > 0 && !mul_ok(s, b->dim[i], &s)) s = INT64_MAX;
    }
}

/* ---- names */
typedef struct Name { /* of one printed name */
    struct Name *of;  /* the name that this one stands in for, or NULL */
    bool live;
    int stand_ins; /* living ones */
} Name;
typedef struct Printer {
    Text *out;
    Arena *a;
    const Func *f;    /* NULL: names as they are */
    const char **var; /* by id */
    const char **buf;
    Map *names;
    Vec(Name *) scope;
} Printer;

static const char *clean_name(Printer *p, const char *name) {
    if (text_is_ident(name)) return name;
    if (!name || !*name) return "unnamed";
    char *s = arena_printf(p->a, "%s%s", *name >= '0' && *name <= '9' ? "_" : "", name);
    for (char *q = s; *q; q++)
        if (!ident_char(*q, q == s)) *q = '_';
    return s;
}
static Name *name_of(Printer *p, const char *s) {
    Name *n = map_get(p->names, s);
    if (!n) map_set(p->names, s, n = NEW(p->a, Name));
    return n;
}
static const char *declare(Printer *p, const char *name) {
    const char *s = name = clean_name(p, name);
    Name *n = name_of(p, s);
    if (n->live || text_is_reserved(s, strlen(s))) {
        Name *of = n;
        for (int k = of->stand_ins + 1; k == of->stand_ins + 1 || n->live; k++) {
            s = arena_printf(p->a, "%s_%d", name, k);
            n = name_of(p, s);
        }
        of->stand_ins++;
        n->of = of;
    }
    n->live = true;
    vec_push(p->a, &p->scope, n);
    return s;
}
static void leave(Printer *p, int mark) {
    while (p->scope.n > mark) {
        Name *n = p->scope.v[--p->scope.n];
        n->live = false;
        if (n->of) n->of->stand_ins--;
        n->of = NULL;
    }
}
static const char *var_name(const Printer *p, const Var *v) {
    if (!v) return "<null>";
    if (p->f && v->id >= 0 && v->id < p->f->nvar && p->var[v->id]) return p->var[v->id];
    return v->name ? v->name : "<null>";
}
static const char *buf_name(const Printer *p, const Buf *b) {
    if (!b) return "<null>";
    if (p->f && b->id >= 0 && b->id < p->f->nbuf && p->buf[b->id]) return p->buf[b->id];
    return b->name ? b->name : "<null>";
}
static const char *declare_var(Printer *p, const Var *v) {
    const char *s = v ? declare(p, v->name) : "<null>";
    if (v && v->id >= 0 && v->id < p->f->nvar) p->var[v->id] = s;
    return s;
}
static const char *declare_buf(Printer *p, const Buf *b) {
    const char *s = declare(p, b->name);
    if (b->id >= 0 && b->id < p->f->nbuf) p->buf[b->id] = s;
    return s;
}

/* ---- expressions: a stack of what is still to print, so that depth costs no C stack */
typedef struct Piece {
    const char *s; /* text; NULL: the expression */
    const Expr *e;
    int prec; /* parentheses around e when it binds less tightly */
} Piece;
typedef struct Pieces {
    Arena *a;
    Vec(Piece) todo;
} Pieces;
static void later_text(Pieces *w, const char *s) { vec_push(w->a, &w->todo, ((Piece){s, NULL, 0})); }
static void later_expr(Pieces *w, const Expr *e, int prec) { vec_push(w->a, &w->todo, ((Piece){NULL, e, prec})); }
static void later_list(Pieces *w, Expr *const *v, int n, const char *close) {
    later_text(w, close);
    for (int i = n - 1; i >= 0; i--) {
        later_expr(w, v[i], 0);
        if (i) later_text(w, ", ");
    }
}
static void put_literal(Text *out, const Expr *e) {
    if (e->k == E_INT && e->t == DT_BOOL) {
        text_puts(out, e->u.i ? "true" : "false");
        return;
    }
    if (e->k == E_INT) {
        if (e->t == DT_UINT64) text_printf(out, "%llu", (unsigned long long)e->u.i);
        else text_printf(out, "%lld", (long long)e->u.i);
        if (e->t != DT_INT64) text_printf(out, ":%s", dtype_name(e->t));
        return;
    }
    if (isnan(e->u.f) && signbit(e->u.f)) text_puts(out, "-");
    text_float(out, e->u.f, e->t == DT_FLOAT32 ? 32 : 64);
    if (e->t != DT_FLOAT32) text_printf(out, ":%s", dtype_name(e->t));
}
static bool is_number(const Expr *e) { return e && (e->k == E_INT || e->k == E_FLT); }
static int prec_of(const Expr *e) {
    if (e->k == E_BIN && e->op >= 0 && e->op <= BIN_LOR) return bin_text[e->op].prec;
    return e->k == E_UN && e->op != UN_ABS ? PREC_UNARY : PREC_ATOM;
}
/* One node: its own text now, its operands later. */
static void put_node(const Printer *p, Pieces *w, const Expr *e) {
    Text *out = p->out;
    switch (e->k) {
    case E_INT:
    case E_FLT: put_literal(out, e); return;
    case E_VAR: text_puts(out, var_name(p, e->u.v)); return;
    case E_LOAD:
        text_printf(out, "%s[", buf_name(p, e->u.ld.buf));
        later_list(w, e->u.ld.idx, e->u.ld.idx ? e->narg : 0, "]");
        return;
    case E_UN: {
        bool call = e->op == UN_ABS || is_number(e->u.a[0]); /* -(3) is a negation, -3 a literal */
        if (e->op < 0 || e->op > UN_ABS) break;
        if (e->op == UN_ABS) text_puts(out, "abs(");
        else text_printf(out, "%c%s", un_text[e->op], call ? "(" : "");
        if (call) later_text(w, ")");
        later_expr(w, e->u.a[0], call ? 0 : PREC_UNARY);
        return;
    }
    case E_BIN: {
        if (e->op < 0 || e->op > BIN_LOR) break;
        const BinText *b = &bin_text[e->op];
        if (b->prec == PREC_ATOM) {
            text_printf(out, "%s(", b->text);
            later_list(w, e->u.a, 2, ")");
            return;
        }
        later_expr(w, e->u.a[1], b->prec + 1);
        later_text(w, " ");
        later_text(w, b->text);
        later_text(w, " ");
        later_expr(w, e->u.a[0], b->prec);
        return;
    }
    case E_SELECT:
        text_puts(out, "select(");
        later_list(w, e->u.a, 3, ")");
        return;
    case E_CAST:
        text_printf(out, "%s(", dtype_name(e->to));
        later_list(w, e->u.a, 1, ")");
        return;
    case E_CALL:
        if (e->op < 0 || e->op >= CALL_COUNT) break;
        text_printf(out, "%s(", call_info[e->op].name);
        later_list(w, e->u.arg, e->u.arg ? e->narg : 0, ")");
        return;
    }
    text_puts(out, "<bad>");
}
static void put_expr_some(const Printer *p, const Expr *e, int limit) {
    Pieces w = {p->a, {0}};
    later_expr(&w, e, 0);
    while (w.todo.n) {
        Piece x = w.todo.v[--w.todo.n];
        if (x.s) {
            text_puts(p->out, x.s);
        } else if (!x.e) {
            text_puts(p->out, "<null>");
        } else if (limit-- <= 0) {
            text_puts(p->out, "...");
            return;
        } else {
            if (prec_of(x.e) < x.prec) {
                text_puts(p->out, "(");
                later_text(&w, ")");
            }
            put_node(p, &w, x.e);
        }
    }
}
static void put_expr(const Printer *p, const Expr *e) { put_expr_some(p, e, EXPR_LIMIT); }
void expr_print_some(const Expr *e, Text *out, int limit) {
    Arena *a = arena_new();
    put_expr_some(&(Printer){.out = out, .a = a}, e, limit);
    arena_free(a);
}
void expr_print(const Expr *e, Text *out) { expr_print_some(e, out, EXPR_LIMIT); }

/* ---- buffers */
static void put_i64s(Text *out, const int64_t *v, int n) {
    text_puts(out, "[");
    for (int i = 0; i < n; i++) text_printf(out, "%s%lld", i ? "," : "", (long long)v[i]);
    text_puts(out, "]");
}
static void put_type(Text *out, const Buf *b) {
    int64_t dense[QN_MAX_RANK];
    int rank = b->rank < 0 || b->rank > QN_MAX_RANK ? 0 : b->rank;
    text_puts(out, dtype_name(b->dt));
    if (rank) put_i64s(out, b->dim, rank);
    if (rank) buf_dense_strides(b, dense);
    if (rank && memcmp(dense, b->stride, (size_t)rank * sizeof *dense) != 0) {
        text_puts(out, " strides ");
        put_i64s(out, b->stride, rank);
    }
    if (b->offset) text_printf(out, " offset %lld", (long long)b->offset);
    if (b->level) text_printf(out, " level %d", b->level);
}
static void put_param(Printer *p, const Buf *b) {
    if (!b) {
        text_puts(p->out, "<null>");
        return;
    }
    if (b->space == MEM_PARAM && b->written) text_puts(p->out, "writes ");
    if (b->space != MEM_PARAM) text_printf(p->out, "%s ", b->space <= MEM_PAD ? space_text[b->space] : "<bad>");
    text_printf(p->out, "%s: ", declare_buf(p, b));
    put_type(p->out, b);
}

/* ---- statements */
static void put_indent(const Printer *p, int depth) {
    for (int i = 0; i < depth; i++) text_puts(p->out, "  ");
}
static void put_stmt(Printer *p, const Stmt *s, int depth);
/* The statements of a block, one level deeper than its header. */
static void put_body(Printer *p, const Stmt *s, int depth) {
    int mark = p->scope.n;
    if (s && s->k == S_BLOCK)
        for (int i = 0; i < s->u.block.n; i++) put_stmt(p, s->u.block.v[i], depth);
    else put_stmt(p, s, depth);
    leave(p, mark);
}
static void put_access(const Printer *p, const Buf *b, Expr *const *idx) {
    text_printf(p->out, "%s[", buf_name(p, b));
    for (int i = 0; b && idx && i < b->rank; i++) {
        if (i) text_puts(p->out, ", ");
        put_expr(p, idx[i]);
    }
    text_puts(p->out, "]");
}
static void put_for(Printer *p, const Stmt *s, int depth) {
    /* The bounds belong to the enclosing scope: they are printed before the variable may take a name. */
    Text lo = {0}, hi = {0}, *out = p->out;
    int mark = p->scope.n;
    p->out = &lo;
    put_expr(p, s->u.loop.lo);
    p->out = &hi;
    put_expr(p, s->u.loop.hi);
    p->out = out;
    text_printf(out, "for %s in %s..%s", declare_var(p, s->u.loop.v), lo.s, hi.s);
    text_free(&lo);
    text_free(&hi);
    if (s->u.loop.mode != LOOP_SEQ) text_printf(out, " %s", s->u.loop.mode <= LOOP_UNROLL ? mode_text[s->u.loop.mode] : "<bad>");
    if (s->u.loop.level != -1 || s->u.loop.axis) text_printf(out, " level %d", s->u.loop.level);
    if (s->u.loop.axis) text_printf(out, " %c", s->u.loop.axis);
    text_puts(out, "\n");
    put_body(p, s->u.loop.body, depth + 1);
    leave(p, mark);
}
static void put_call(const Printer *p, const Stmt *s) {
    text_printf(p->out, "call %s(", s->u.call.name ? s->u.call.name : "<null>");
    for (int i = 0; i < s->u.call.narg; i++) {
        if (i) text_puts(p->out, ", ");
        put_expr(p, s->u.call.arg[i]);
    }
    text_puts(p->out, ")(");
    for (int i = 0; i < s->u.call.nbuf; i++)
        text_printf(p->out, "%s%s%s", i ? ", " : "", i < 32 && s->u.call.writes >> i & 1 ? "out " : "", buf_name(p, s->u.call.buf[i]));
    text_puts(p->out, ")\n");
}
static void put_let(Printer *p, const Stmt *s) {
    const Var *v = s->u.let.v;
    Text val = {0}, *out = p->out;
    p->out = &val; /* before the name exists, like the bounds of a loop */
    put_expr(p, s->u.let.val);
    p->out = out;
    text_printf(out, "let %s: %s = %s\n", declare_var(p, v), v ? dtype_name(v->t) : "<null>", val.s);
    text_free(&val);
}
static void put_stmt(Printer *p, const Stmt *s, int depth) {
    Text *out = p->out;
    put_indent(p, depth);
    if (!s) {
        text_puts(out, "<null>\n");
        return;
    }
    switch (s->k) {
    case S_FOR: put_for(p, s, depth); return;
    case S_STORE:
        put_access(p, s->u.st.buf, s->u.st.idx);
        text_printf(out, " %s ", s->u.st.red <= RED_XOR ? red_text[s->u.st.red] : "<bad>");
        put_expr(p, s->u.st.val);
        text_puts(out, "\n");
        return;
    case S_LET: put_let(p, s); return;
    case S_IF:
        text_puts(out, "if ");
        put_expr(p, s->u.cond.cond);
        text_puts(out, "\n");
        put_body(p, s->u.cond.then, depth + 1);
        if (!s->u.cond.other) return;
        put_indent(p, depth);
        text_puts(out, "else\n");
        put_body(p, s->u.cond.other, depth + 1);
        return;
    case S_ALLOC: {
        const Buf *b = s->u.alloc;
        text_printf(out, "alloc %s: %s ", b ? declare_buf(p, b) : "<null>", b && b->space <= MEM_PAD ? space_text[b->space] : "<bad>");
        if (b) put_type(out, b);
        text_puts(out, "\n");
        return;
    }
    case S_CALL: put_call(p, s); return;
    case S_BLOCK:
        text_puts(out, "block\n");
        put_body(p, s, depth + 1);
        return;
    }
    text_puts(out, "<bad>\n");
}

/* ---- the function */
static size_t line_length(const char *s) { /* without trailing blanks */
    size_t n = strcspn(s, "\n");
    while (n && (unsigned char)s[n - 1] <= ' ') n--;
    return n;
}
static bool is_blank(const char *s) {
    while (*s && (unsigned char)*s <= ' ') s++;
    return !*s;
}
static void put_line(Text *out, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) text_putn(out, (unsigned char)s[i] < 32 ? " " : s + i, 1);
    text_puts(out, "\n");
}
/* Lines of `s`, each with `# ` before it. Control characters would not survive the way back. */
static void put_comment(Text *out, const char *s) {
    for (bool more = true; more;) {
        size_t n = line_length(s);
        /* a comment that looks like a schedule step gets one more space */
        text_puts(out, strncmp(s, "schedule:", 9) == 0 ? "  #  " : n ? "  # " : "  #");
        put_line(out, s, n);
        s += strcspn(s, "\n");
        more = *s++ != 0;
    }
}
/* Where `-> ` stands: before the longest tail of written and scratch parameters that starts with a written one. */
static int results_from(const Func *f) {
    int at = f->param.n;
    for (int i = f->param.n - 1; i >= 0; i--) {
        const Buf *b = f->param.v[i];
        if (b && b->space == MEM_PARAM && b->written) at = i;
        else if (!b || b->space != MEM_SCRATCH) break;
    }
    return at;
}
void func_print(const Func *f, Text *out) {
    Arena *a = arena_new();
    Printer p = {out, a, f, NEW_ARRAY(a, const char *, f->nvar), NEW_ARRAY(a, const char *, f->nbuf), map_new(a), {0}};
    int results = results_from(f);
    text_printf(out, "func %s(", clean_name(&p, f->name));
    for (int i = 0; i < f->param.n; i++) {
        text_puts(out, i == results ? ") -> " : i ? ", " : "");
        put_param(&p, f->param.v[i]);
    }
    text_puts(out, results == f->param.n ? ")\n" : "\n");
    if (f->comment && !is_blank(f->comment)) put_comment(out, f->comment);
    for (int i = 0; i < f->schedule.n; i++) {
        const char *s = f->schedule.v[i] ? f->schedule.v[i] : "";
        text_puts(out, line_length(s) ? "  # schedule: " : "  # schedule:");
        put_line(out, s, line_length(s));
    }
    put_body(&p, f->body, 1);
    arena_free(a);
}
