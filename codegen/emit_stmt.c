/* SPDX-License-Identifier: Apache-2.0 */
/* emit_stmt.c: statements as C: loops, stores, declarations. A variable is declared at its first store where that is in the
 * same block, braces stand only around more than one statement, names are unique in the scopes around them.
 *
 *   alloc acc; acc = 0; for k in 0..64: acc += x[k]   --->   float acc = 0.0f;  for (int32_t k = 0; k < 64; k++) acc += x[k];
 */
#include "internal.h"
#include <string.h>

void put_indent(const Emit *E, Text *t) {
    for (int i = 0; i < E->indent; i++) text_puts(t, "    ");
}

/* ---- names in scope */
static bool is_taken(const Emit *E, const char *s) { return map_get(E->taken, s) || name_reserved(s); }
static void take(Emit *E, const char *s) {
    if (!map_get(E->taken, s)) map_set(E->taken, s, (void *)(intptr_t)1);
    vec_push(E->a, &E->scope, s);
}
const char *scope_name(Emit *E, const char *want) {
    bool reserved = name_reserved(want);
    if (reserved && name_reserved(arena_printf(E->a, "%s_2", want))) { /* some beginnings are reserved: a number does not help */
        want = arena_printf(E->a, "t_%s", want);
        reserved = false;
    }
    const char *name = want;
    intptr_t n = (intptr_t)map_get(E->taken, want); /* how many have asked for it: no search through its numbers */
    if (n == 0 && reserved) n = 1;
    while (is_taken(E, name)) name = arena_printf(E->a, "%s_%lld", want, (long long)++n);
    if (name != want && map_get(E->taken, want)) map_set(E->taken, want, (void *)n);
    take(E, name);
    return name;
}
void scope_open(Emit *E) { vec_push(E->a, &E->scope, NULL); }
void scope_close(Emit *E) {
    while (E->scope.n && E->scope.v[E->scope.n - 1]) map_set(E->taken, E->scope.v[--E->scope.n], NULL);
    if (E->scope.n) E->scope.n--;
}

/* ---- one printed statement: what must precede it, then its line */
static void flush_line(Emit *E, Text *line) {
    if (E->pre.n) text_putn(E->out, E->pre.s, E->pre.n);
    E->pre.n = 0;
    if (line->n) {
        put_indent(E, E->out);
        text_putn(E->out, line->s, line->n);
        text_puts(E->out, "\n");
        E->nstmt++, E->lines++;
    }
    text_free(line);
}
void put_line(Emit *E, const char *line) {
    Text t = {0};
    text_puts(&t, line);
    flush_line(E, &t);
}
/* A block's statements into a text of their own, one level deeper; *single: no braces needed. */
static Text block_text(Emit *E, const Stmt *block, bool *single) {
    Text inner = {0}, *outer = E->out;
    int before = E->nstmt;
    E->out = &inner, E->nstmt = 0;
    E->lines++;
    E->indent++;
    scope_open(E);
    put_block(E, block);
    scope_close(E);
    E->indent--;
    E->lines++;
    *single = E->nstmt == 1;
    E->out = outer, E->nstmt = before;
    return inner;
}
static void put_body(Emit *E, const char *head, const Stmt *block, bool braces, const char *tail) {
    bool single;
    Text body = block_text(E, block, &single);
    put_indent(E, E->out);
    text_printf(E->out, "%s%s\n", head, single && !braces ? "" : " {");
    if (body.n) text_putn(E->out, body.s, body.n);
    if (!single || braces) {
        put_indent(E, E->out);
        text_printf(E->out, "}%s", tail);
        if (!*tail) text_puts(E->out, "\n");
    }
    text_free(&body);
}

/* ---- declarations */
static bool direct_store_to(const Stmt *s, const Buf *b) { return s->k == S_STORE && s->u.st.buf == b && s->u.st.red == RED_NONE; }
static bool mentions_expr(const Expr *e, const Buf *b) {
    switch (e->k) {
    case E_LOAD:
        if (e->u.ld.buf == b) return true;
        for (int i = 0; i < e->narg; i++)
            if (mentions_expr(e->u.ld.idx[i], b)) return true;
        return false;
    case E_UN:
    case E_CAST: return mentions_expr(e->u.a[0], b);
    case E_BIN: return mentions_expr(e->u.a[0], b) || mentions_expr(e->u.a[1], b);
    case E_SELECT: return mentions_expr(e->u.a[0], b) || mentions_expr(e->u.a[1], b) || mentions_expr(e->u.a[2], b);
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (mentions_expr(e->u.arg[i], b)) return true;
        return false;
    default: return false;
    }
}
/* One lane of a variable that is a vector; that reads the others. */
static bool lane_store(const Emit *E, const Stmt *s, const Buf *b) {
    return s->k == S_STORE && s->u.st.buf == b && E->buf[b->id].kind == REG_VECTORS && !E->vec;
}
/* Stores directly in this block, or in a vector loop of it, may declare; anything else that mentions the buffer ends that. */
static bool scan_declare(Emit *E, const Stmt *s, const Buf *b, int depth) {
    BufInfo *i = &E->buf[b->id];
    if (s->k == S_ALLOC) return true;
    if (s->k == S_LET) return !mentions_expr(s->u.let.val, b);
    if (s->k == S_STORE) {
        if (mentions_expr(s->u.st.val, b)) return false;
        if (s->u.st.buf != b) return true;
        if (!direct_store_to(s, b) || lane_store(E, s, b)) return false;
        int64_t k = reg_element(E, b, s->u.st.idx);
        if (k < 0 || k >= i->count) return false;
        if (!(i->used[k] & 4)) i->used[k] |= 4;
        return true;
    }
    bool vec = s->k == S_FOR && s->u.loop.mode == LOOP_VEC && !E->vec && depth == 0 && E->style.vectors;
    if (!vec) return false;
    const Stmt *body = s->u.loop.body;
    for (int j = 0; j < body->u.block.n; j++)
        if (body->u.block.v[j]->k == S_LET || body->u.block.v[j]->k == S_ALLOC) return false; /* it will get braces */
    int64_t lo = 0, hi = 0;
    e_is_int(s->u.loop.lo, &lo), e_is_int(s->u.loop.hi, &hi);
    E->vec = s->u.loop.v, E->vec_lo = lo, E->lanes = (int)(hi - lo);
    bool ok = true;
    for (int j = 0; ok && j < body->u.block.n; j++) ok = scan_declare(E, body->u.block.v[j], b, 1);
    E->vec = NULL, E->lanes = 0;
    return ok;
}
static const char *register_type(Emit *E, const Buf *b) {
    const BufInfo *i = &E->buf[b->id];
    if (i->kind != REG_VECTORS) return c_type(E, b->dt);
    int lanes = E->lanes;
    E->lanes = i->lanes;
    const char *type = vec_type(E, b->dt, false);
    E->lanes = lanes;
    return type;
}
/* A base name such that no element's name is in use. */
static void name_registers(Emit *E, const Buf *b) {
    BufInfo *i = &E->buf[b->id];
    const char *base = b->name;
    for (int round = 2; b->rank; round++) {
        bool clash = false;
        i->name = base;
        for (int64_t k = 0; k < i->count && !clash; k++) {
            Text t = {0};
            if (!(i->used[k] & 1)) continue;
            put_reg_name(E, &t, b, k);
            clash = is_taken(E, t.s);
            text_free(&t);
        }
        if (!clash) break;
        base = arena_printf(E->a, "%s_%d_", b->name, round);
    }
    if (b->rank == 0) i->name = scope_name(E, b->name);
    for (int64_t k = 0; b->rank && k < i->count; k++) {
        Text t = {0};
        if (!(i->used[k] & 1)) continue;
        put_reg_name(E, &t, b, k);
        take(E, arena_strdup(E->a, t.s));
        text_free(&t);
    }
}
static void declare_registers(Emit *E, const Buf *b, const Stmt *block, int at) {
    BufInfo *i = &E->buf[b->id];
    Text line = {0};
    int n = 0;
    bool packed = dtype_packed(b->dt); /* a store reads the bits of its neighbours first */
    for (int64_t k = 0; k < i->count; k++) i->used[k] &= 9;
    bool lanes = false;
    if (!packed)
        for (int s = at + 1; s < block->u.block.n; s++)
            if (!scan_declare(E, block->u.block.v[s], b, 0)) {
                lanes = lane_store(E, block->u.block.v[s], b);
                break;
            }
    name_registers(E, b);
    for (int64_t k = 0; k < i->count; k++) {
        if (!(i->used[k] & 1) || i->used[k] & 4) continue;
        if (n && n % 8 == 0) text_puts(&line, ";"), flush_line(E, &line);
        text_printf(&line, "%s%s", n % 8 ? ", " : register_type(E, b), n % 8 ? "" : " ");
        put_reg_name(E, &line, b, k);
        if (packed || lanes) text_puts(&line, packed ? " = 0" : " = {0}");
        n++;
    }
    if (line.n) {
        text_puts(&line, ";");
        flush_line(E, &line);
    }
    for (int64_t k = 0; lanes && k < i->count; k++) {
        if ((i->used[k] & 13) != 1) continue; /* copied to, and never looked at */
        text_puts(&line, "(void)");
        put_reg_name(E, &line, b, k);
        text_puts(&line, ";");
        flush_line(E, &line);
    }
}
static void put_alloc(Emit *E, const Buf *b, const Stmt *block, int at) {
    BufInfo *i = &E->buf[b->id];
    if (!i->loads && !i->stores && !i->calls) return;
    if (i->kind != REG_MEMORY) {
        declare_registers(E, b, block, at);
        return;
    }
    int64_t n = 1;
    for (int d = 0; d < b->rank; d++) n += (max_i64(b->dim[d], 1) - 1) * b->stride[d];
    if (dtype_packed(b->dt)) n = ceil_div(n * dtype_info[b->dt].bits, 8);
    i->name = scope_name(E, b->name);
    Text line = {0};
    bool lines = E->style.vectors && n * dtype_info[b->dt].bits >= 512; /* vectors in it do not cross lines of a cache */
    text_printf(&line, "%s %s[%lld]%s%s;", dtype_info[b->dt].ctype, i->name, (long long)n, lines ? " __attribute__((aligned(64)))" : "",
                dtype_packed(b->dt) ? " = {0}" : "");
    flush_line(E, &line);
    if (i->loads || i->calls) return;
    text_printf(&line, "(void)%s;", i->name);
    flush_line(E, &line);
}

/* ---- statements */
static void put_store_stmt(Emit *E, const Stmt *s) {
    const Buf *b = s->u.st.buf;
    BufInfo *i = &E->buf[b->id];
    Text line = {0};
    share_statement(E, s->u.st.idx, b->rank, s->u.st.val);
    bool declare = false, unread = false;
    int64_t k = -1;
    if (i->kind != REG_MEMORY) {
        k = reg_element(E, b, s->u.st.idx);
        declare = k >= 0 && (i->used[k] & 6) == 4;
        if (declare) i->used[k] |= 2;
        unread = declare && !(i->used[k] & 8);
    }
    if (E->vec) put_vec_store(E, &line, b, s->u.st.idx, s->u.st.val, s->u.st.red, declare);
    else put_store(E, &line, b, s->u.st.idx, s->u.st.val, s->u.st.red, declare);
    flush_line(E, &line);
    if (unread) {
        text_puts(&line, "(void)");
        put_reg_name(E, &line, b, k);
        text_puts(&line, ";");
        flush_line(E, &line);
    }
    E->shared.n = 0;
}
static void put_let(Emit *E, const Stmt *s) {
    VarInfo *v = &E->var[s->u.let.v->id];
    if (!v->uses) return;
    Text line = {0}, value = {0};
    share_statement(E, NULL, 0, s->u.let.val);
    bool vec = E->vec && vec_shape(E, s->u.let.val);
    const char *type = vec                                          ? vec_type(E, s->u.let.v->t, false)
                       : s->u.let.v->t == DT_INT64 && v->wide == 32 ? "int32_t"
                                                                    : c_type(E, s->u.let.v->t);
    if (vec) put_vec(E, &value, s->u.let.val, P_TOP);
    else {
        bool narrow = s->u.let.v->t == DT_INT64 && v->wide == 32 && is_wide(E, s->u.let.val);
        if (narrow) text_puts(&value, "(int32_t)");
        put_expr(E, &value, s->u.let.val, narrow ? P_UNARY : P_TOP);
    }
    E->shared.n = 0;
    v->name = scope_name(E, s->u.let.v->name);
    text_printf(&line, "const %s %s = %s;", type, v->name, value.s);
    text_free(&value);
    flush_line(E, &line);
}
static bool wants_scope(const Stmt *block) {
    for (int i = 0; i < block->u.block.n; i++)
        if (block->u.block.v[i]->k == S_LET || block->u.block.v[i]->k == S_ALLOC) return true;
    return false;
}
static void put_nested(Emit *E, const Stmt *block) {
    if (!wants_scope(block)) {
        put_block(E, block);
        return;
    }
    bool single;
    Text body = block_text(E, block, &single);
    if (body.n) {
        put_indent(E, E->out);
        text_puts(E->out, "{\n");
        text_putn(E->out, body.s, body.n);
        put_indent(E, E->out);
        text_puts(E->out, "}\n");
        E->nstmt++;
    }
    text_free(&body);
}
void vec_open(Emit *E, const Stmt *loop) {
    int64_t lo = 0, hi = 0;
    e_is_int(loop->u.loop.lo, &lo), e_is_int(loop->u.loop.hi, &hi);
    E->vec = loop->u.loop.v, E->vec_lo = lo, E->lanes = (int)(hi - lo);
    E->memo->shape_gen++;
}
void vec_close(Emit *E) {
    E->vec = NULL, E->lanes = 0;
    E->memo->shape_gen++;
}
static void put_vector_loop(Emit *E, const Stmt *s) {
    vec_open(E, s);
    put_nested(E, s->u.loop.body);
    vec_close(E);
}
/* Is the part's loop inside? Then this one's iteration is given. */
static bool around_range(const Emit *E, const Stmt *s) {
    while (s->k == S_FOR && s != E->ranged) {
        const Stmt *body = s->u.loop.body;
        if (!body->u.block.n) return false;
        s = body->u.block.v[body->u.block.n - 1];
    }
    return s == E->ranged;
}
static void put_loop(Emit *E, const Stmt *s) {
    const Part *part = s->u.loop.mode == LOOP_PAR ? part_of(E, s) : NULL;
    if (part) {
        put_part_call(E, part);
        return;
    }
    if (E->self && s != E->ranged && around_range(E, s)) {
        put_nested(E, s->u.loop.body);
        return;
    }
    if (s->u.loop.mode == LOOP_VEC && E->style.vectors && !E->vec) {
        put_vector_loop(E, s);
        return;
    }
    VarInfo *v = &E->var[s->u.loop.v->id];
    Text head = {0};
    scope_open(E);
    const char *name = v->name = scope_name(E, s->u.loop.v->name);
    text_printf(&head, "for (%s %s = ", v->wide == 32 ? "int32_t" : "int64_t", name);
    if (s == E->ranged) text_printf(&head, "%s; %s < %s", E->first, name, E->end);
    else {
        put_index(E, &head, s->u.loop.lo, P_TOP);
        text_printf(&head, "; %s < ", name);
        put_index(E, &head, s->u.loop.hi, P_REL + 1);
    }
    text_printf(&head, "; %s++)", name);
    put_body(E, head.s, s->u.loop.body, false, "");
    scope_close(E);
    text_free(&head);
    E->nstmt++;
}
static void put_if(Emit *E, const Stmt *s) {
    Text head = {0}, none = {0};
    share_statement(E, NULL, 0, s->u.cond.cond);
    text_puts(&head, "if (");
    put_expr(E, &head, s->u.cond.cond, P_TOP);
    text_puts(&head, ")");
    E->shared.n = 0;
    flush_line(E, &none);
    put_body(E, head.s, s->u.cond.then, true, s->u.cond.other ? " else {\n" : "");
    text_free(&head);
    if (s->u.cond.other) {
        bool single;
        Text body = block_text(E, s->u.cond.other, &single);
        if (body.n) text_putn(E->out, body.s, body.n);
        put_indent(E, E->out);
        text_puts(E->out, "}\n");
        text_free(&body);
    }
    E->nstmt++;
}
/* int routine(const int64_t *arg, void *const *buf) */
static void put_call_stmt(Emit *E, const Stmt *s) {
    Text line = {0};
    if (!strcmp(s->u.call.name, "qn_prefetch")) {
        if (!E->style.vectors || s->u.call.nbuf != 1 || s->u.call.narg < 1) return;
        text_printf(&line, "__builtin_prefetch(&%s[", E->buf[s->u.call.buf[0]->id].name);
        put_index(E, &line, s->u.call.arg[0], P_TOP);
        text_puts(&line, "], 0, 2);");
        flush_line(E, &line);
        return;
    }
    if (!strcmp(s->u.call.name, "qn_fence")) {
        text_puts(&line, "__asm__ volatile(\"\" ::: \"memory\");");
        if (E->style.vectors) flush_line(E, &line);
        text_free(&line);
        return;
    }
    if (!strcmp(s->u.call.name, LOOP_ACCESS)) {
        if (!E->style.access) return;
        text_printf(&line, "%s(", E->style.access);
        for (int i = 0; i < s->u.call.narg; i++) {
            if (i) text_puts(&line, ", ");
            put_expr(E, &line, s->u.call.arg[i], P_COND);
        }
        text_puts(&line, ");");
        flush_line(E, &line);
        return;
    }
    E->returns = true;
    put_indent(E, E->out);
    text_puts(E->out, "{\n");
    E->indent++;
    text_puts(&line, "const int64_t arg[] = {");
    for (int i = 0; i < s->u.call.narg; i++) {
        if (i) text_puts(&line, ", ");
        put_expr(E, &line, s->u.call.arg[i], P_COND);
    }
    text_puts(&line, s->u.call.narg ? "};" : "0};");
    flush_line(E, &line);
    text_puts(&line, "void *const buf[] = {");
    for (int i = 0; i < s->u.call.nbuf; i++) {
        const Buf *b = s->u.call.buf[i];
        bool param = b->space == MEM_PARAM || b->space == MEM_SCRATCH;
        text_printf(&line, "%s(void *)", i ? ", " : "");
        int64_t off = param && E->no_offset ? 0 : b->offset;
        text_printf(&line, off ? "(%s + %lld)" : "%s", E->buf[b->id].name, (long long)off);
    }
    text_puts(&line, s->u.call.nbuf ? "};" : "0};");
    flush_line(E, &line);
    text_printf(&line, "const int status = %s(arg, buf);", s->u.call.name);
    flush_line(E, &line);
    text_puts(&line, "if (status) return status;");
    flush_line(E, &line);
    E->indent--;
    put_indent(E, E->out);
    text_puts(E->out, "}\n");
    E->nstmt++;
}
void put_block(Emit *E, const Stmt *block) {
    for (int i = 0; i < block->u.block.n; i++) {
        const Stmt *s = block->u.block.v[i];
        int run = put_products(E, block, i);
        if (run) {
            i += run - 1;
            continue;
        }
        switch (s->k) {
        case S_FOR: put_loop(E, s); break;
        case S_STORE: put_store_stmt(E, s); break;
        case S_LET: put_let(E, s); break;
        case S_IF: put_if(E, s); break;
        case S_ALLOC: put_alloc(E, s->u.alloc, block, i); break;
        case S_CALL: put_call_stmt(E, s); break;
        case S_BLOCK: put_nested(E, s); break;
        }
    }
}
