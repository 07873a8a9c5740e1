/* SPDX-License-Identifier: Apache-2.0 */
/* loop_parse.c: reads the text form of the loop IR back (loop_text.c prints it, loop_parse_expr.c reads expressions). Any
 * bytes are answered by a Func or by errors with file and line; a bad line does not hide the errors of the lines after it.
 * Blocks live on an explicit stack.
 *
 *   for m in 0..4         ->  S_FOR of m with a body, in which
 *     y[m] += x[m] * 2        S_STORE, RED_ADD
 */
#include "loop_parse.h"
#include <string.h>

enum { MAX_PARAMS = 4096, MAX_CALL = 64 };
static const int64_t max_span = (int64_t)1 << 48; /* elements between the first and the last of a buffer */

/* ---- names */
/* A name that may be declared: an identifier, not a word of the language, not in scope. */
static const char *new_name(Parser *p, const char *what) {
    if (p->tok.k != T_NAME || text_is_reserved(p->tok.s, (size_t)p->tok.n)) {
        lp_found(p, what);
        return NULL;
    }
    Sym *s = lp_lookup(p, &p->tok);
    if (s && (s->v || s->b)) {
        FAIL(p, "'%.*s' is declared already; choose another name", lp_shown(&p->tok), p->tok.s);
        return NULL;
    }
    const char *name = arena_strndup(p->a, p->tok.s, (size_t)p->tok.n);
    lp_next(p);
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

/* ---- buffers */
static bool parse_i64(Parser *p, int64_t *v) {
    bool negative = lp_accept(p, "-");
    if (p->tok.k != T_INT) return lp_found(p, "an integer");
    if (p->tok.i > INT64_MAX) return FAIL(p, "integer '%.*s' is too large", lp_shown(&p->tok), p->tok.s);
    *v = negative ? -(int64_t)p->tok.i : (int64_t)p->tok.i;
    lp_next(p);
    return true;
}
static bool parse_i64_list(Parser *p, int64_t *v, int *n) {
    *n = 0;
    if (!lp_expect(p, "[")) return false;
    do {
        if (*n == QN_MAX_RANK) return FAIL(p, "more than %d dimensions", QN_MAX_RANK);
        if (!parse_i64(p, &v[(*n)++])) return false;
    } while (lp_accept(p, ","));
    return lp_expect(p, "]");
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
    if (!lp_type(p, false, &b.dt)) return NULL;
    if (lp_is(p, "[") && !parse_i64_list(p, b.dim, &b.rank)) return NULL;
    buf_dense_strides(&b, b.stride);
    if (lp_accept(p, "strides")) {
        if (!parse_i64_list(p, b.stride, &n)) return NULL;
        if (n != b.rank) {
            FAIL(p, "buffer '%s' has %d dimensions but %d strides", name, b.rank, n);
            return NULL;
        }
    }
    if (lp_accept(p, "offset") && !parse_i64(p, &b.offset)) return NULL;
    if (lp_accept(p, "level") && !parse_i64(p, &level)) return NULL;
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
        if (lp_accept(p, space_text[s])) return s;
    return -1;
}
static bool parse_param(Parser *p) {
    bool writes = lp_accept(p, "writes");
    int space = parse_space(p);
    const char *name = new_name(p, "the name of a parameter");
    if (!name || !lp_expect(p, ":")) return false;
    Buf *b = parse_buf(p, name, space < 0 ? MEM_PARAM : (MemSpace)space);
    if (!b) return false;
    b->written = writes;
    if (p->f->param.n >= MAX_PARAMS) return FAIL(p, "function has more than %d parameters", MAX_PARAMS);
    vec_push(p->a, &p->f->param, b);
    return true;
}
static bool parse_params(Parser *p) {
    if (!lp_expect(p, "(")) return false;
    while (!lp_is(p, ")"))
        if (!parse_param(p) || (!lp_is(p, ")") && !lp_expect(p, ","))) return false;
    lp_next(p);
    if (!lp_accept(p, "->")) return true;
    do
        if (!parse_param(p)) return false;
    while (lp_accept(p, ","));
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
    if (!name || !lp_expect(p, ":")) return NULL;
    int space = parse_space(p);
    if (space < 0) {
        lp_found(p, "a memory space: reg, stack, pad or scratch");
        return NULL;
    }
    Stmt *s = stmt(p, S_ALLOC);
    s->u.alloc = parse_buf(p, name, (MemSpace)space);
    return s->u.alloc ? s : NULL;
}
static bool parse_for_tail(Parser *p, Stmt *s) {
    int64_t level;
    for (int m = LOOP_PAR; m <= LOOP_UNROLL; m++)
        if (lp_accept(p, mode_text[m])) s->u.loop.mode = (LoopMode)m;
    if (!lp_accept(p, "level")) return true;
    if (!parse_i64(p, &level)) return false;
    if (level < -1 || level > 1000) return FAIL(p, "level %lld of a loop is out of range", (long long)level);
    s->u.loop.level = (int)level;
    if (lp_is(p, "x") || lp_is(p, "y")) {
        s->u.loop.axis = *p->tok.s;
        lp_next(p);
    }
    return true;
}
static Stmt *parse_for(Parser *p) {
    int names = p->scope.n;
    Stmt *s = stmt(p, S_FOR);
    s->u.loop.level = -1;
    s->u.loop.body = s_block(p->a);
    const char *name = new_name(p, "the name of a loop variable");
    bool ok = name && lp_expect(p, "in") && (s->u.loop.lo = lp_typed(p, DT_INT64, "the lower bound of a loop")) && lp_expect(p, "..") &&
              (s->u.loop.hi = lp_typed(p, DT_INT64, "the upper bound of a loop")) && parse_for_tail(p, s);
    if (name) s->u.loop.v = new_var(p, name, DT_INT64); /* also after an error: its uses are not to be blamed */
    open_block(p, s->u.loop.body, names);
    return ok ? s : NULL;
}
static Stmt *parse_let(Parser *p) {
    Stmt *s = stmt(p, S_LET);
    DType t;
    const char *name = new_name(p, "the name of a value");
    if (!name || !lp_expect(p, ":") || !lp_type(p, true, &t)) return NULL;
    bool ok = lp_expect(p, "=") && (s->u.let.val = lp_typed(p, t, "the value"));
    s->u.let.v = new_var(p, name, t);
    return ok ? s : NULL;
}
static Stmt *parse_if(Parser *p) {
    Stmt *s = stmt(p, S_IF);
    s->u.cond.then = s_block(p->a);
    s->u.cond.cond = lp_typed(p, DT_BOOL, "the condition");
    open_block(p, s->u.cond.then, p->scope.n);
    return s; /* also after an error, for an `else` to follow it */
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
    while (!lp_is(p, ")")) {
        bool out = lp_accept(p, "out");
        Sym *sym = p->tok.k == T_NAME ? lp_lookup(p, &p->tok) : NULL;
        if (!sym || !sym->b) return lp_found(p, "a buffer that is in scope");
        if (s->u.call.nbuf == 32) return FAIL(p, "call of more than 32 buffers");
        if (out) s->u.call.writes |= 1u << s->u.call.nbuf;
        if (out && sym->b->space != MEM_PARAM) sym->b->written = true;
        s->u.call.buf[s->u.call.nbuf++] = sym->b;
        lp_next(p);
        if (!lp_is(p, ")") && !lp_expect(p, ",")) return false;
    }
    lp_next(p);
    return true;
}
static Stmt *parse_call_stmt(Parser *p) {
    Stmt *s = stmt(p, S_CALL);
    Expr *arg[MAX_CALL];
    if (p->tok.k != T_NAME) {
        lp_found(p, "the name of a routine");
        return NULL;
    }
    s->u.call.name = arena_strndup(p->a, p->tok.s, (size_t)p->tok.n);
    lp_next(p);
    if (!lp_expect(p, "(")) return NULL;
    while (!lp_is(p, ")")) {
        if (s->u.call.narg == MAX_CALL) FAIL(p, "call with more than %d integers", MAX_CALL);
        if (p->bad || !(arg[s->u.call.narg++] = lp_typed(p, DT_INT64, "an argument of a call"))) return NULL;
        if (!lp_is(p, ")") && !lp_expect(p, ",")) return NULL;
    }
    lp_next(p);
    s->u.call.arg = NEW_ARRAY(p->a, Expr *, s->u.call.narg);
    for (int i = 0; i < s->u.call.narg; i++) s->u.call.arg[i] = arg[i];
    return lp_expect(p, "(") && parse_call_bufs(p, s) ? s : NULL;
}
static Stmt *parse_store(Parser *p) {
    Sym *sym = p->tok.k == T_NAME ? lp_lookup(p, &p->tok) : NULL;
    if (!sym || !sym->b) {
        lp_found(p, "a statement or a buffer that is in scope");
        return NULL;
    }
    lp_next(p);
    Stmt *s = stmt(p, S_STORE);
    Buf *b = s->u.st.buf = sym->b;
    if (!lp_indices(p, b, &s->u.st.idx)) return NULL;
    bool min = lp_accept(p, "min"), max = !min && lp_accept(p, "max");
    int red = min ? RED_MIN : max ? RED_MAX : RED_NONE;
    if (!min && !max)
        while (red <= RED_XOR && !lp_is(p, red_text[red])) red++;
    if (red > RED_XOR || ((min || max) && !lp_is(p, "="))) {
        lp_found(p, "= or one of += *= min= max= &= |= ^=");
        return NULL;
    }
    lp_next(p);
    s->u.st.red = (RedOp)red;
    s->u.st.val = lp_typed(p, dtype_compute(b->dt), "the stored value");
    if (b->space != MEM_PARAM) b->written = true; /* of parameters the header says so */
    return s->u.st.val ? s : NULL;
}
/* One statement at the end of the innermost open block. */
static void parse_stmt(Parser *p) {
    Stmt *block = p->open[p->nopen - 1].block, *s = NULL;
    if (lp_accept(p, "else")) {
        parse_else(p, block);
    } else if (lp_accept(p, "block")) {
        open_block(p, s = s_block(p->a), p->scope.n);
    } else {
        s = lp_accept(p, "for")     ? parse_for(p)
            : lp_accept(p, "let")   ? parse_let(p)
            : lp_accept(p, "if")    ? parse_if(p)
            : lp_accept(p, "alloc") ? parse_alloc(p)
            : lp_accept(p, "call")  ? parse_call_stmt(p)
                                    : parse_store(p);
    }
    if (!p->bad) lp_expect_end(p);
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
    if (!lp_expect(p, "func")) return;
    if (p->tok.k != T_NAME) {
        lp_found(p, "the name of the function");
        return;
    }
    p->f->name = arena_strndup(p->a, p->tok.s, (size_t)p->tok.n);
    lp_next(p);
    if (parse_params(p)) lp_expect_end(p);
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
    lp_next(p);
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
            else lp_next(p), parse_header(p);
        }
        s += strcspn(s, "\n");
        if (!*s) break;
    }
    if (!p->line) p->line = 1;
    if (!p->f) FAIL(p, "the text holds no function; expected `func name(…)`");
    if (p->f && comment.n) p->f->comment = arena_strndup(p->a, comment.s, comment.n);
    text_free(&comment);
    return c->d->errors > errors ? NULL : p->f;
}
