/* SPDX-License-Identifier: Apache-2.0 */
/* emit_par.c: parallel loops of a kernel as functions of their own, over a range of iterations, which the pool of
 * runtime/qn_threads.h calls on several threads. A loop qualifies if it stands in the kernel's body or in loops there, has constant
 * bounds and touches nothing but the kernel's parameters, the variables around it and what it declares itself. All other parallel
 * loops are printed as loops.
 *
 *   par i in 0..64: y[i] = …    --->    static void f_part(…, int32_t first, int32_t end) { for (int32_t i = first; i < end; i++) … }
 *                                       qn_parallel(pool, f_part_run, &part, 64);
 */
#include "internal.h"
#include <string.h>

typedef struct Uses { /* what a loop mentions and what it declares */
    Arena *a;
    uint8_t *buf, *var; /* by id: bit 0 mentioned, bit 1 declared inside */
    int nbuf;
    bool calls;
} Uses;
static Expr *note_node(void *user, Expr *e) {
    Uses *u = user;
    if (e->k == E_LOAD) u->buf[e->u.ld.buf->id] |= 1;
    if (e->k == E_VAR) u->var[e->u.v->id] |= 1;
    return e;
}
static Expr *note_expr(void *user, Expr *e) { return expr_map(((Uses *)user)->a, e, note_node, user); }
static void note(Uses *u, const Stmt *s) {
    switch (s->k) {
    case S_FOR:
        u->var[s->u.loop.v->id] |= 2;
        note(u, s->u.loop.body);
        break;
    case S_STORE: u->buf[s->u.st.buf->id] |= 1; break;
    case S_LET: u->var[s->u.let.v->id] |= 2; break;
    case S_IF:
        note(u, s->u.cond.then);
        if (s->u.cond.other) note(u, s->u.cond.other);
        break;
    case S_ALLOC: u->buf[s->u.alloc->id] |= 2; break;
    case S_CALL: /* a routine's status would have to end the loop: only hints may be inside */
        u->calls |= !call_is_hint(s->u.call.name);
        for (int i = 0; i < s->u.call.nbuf; i++) u->buf[s->u.call.buf[i]->id] |= 1;
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) note(u, s->u.block.v[i]);
        break;
    }
}
/* The loops around a parallel one while it is looked for, and the blocks in which they stand. */
typedef struct Path {
    const Stmt *loop, *block;
    int at; /* of the loop in the block */
} Path;
typedef Vec(Path) PathList;
/* The lets that stand before the place and which the part mentions, latest first, then in order. false: one of them loads. */
static bool take_lets(Uses *u, const Path *at, Stmt *to) {
    Vec(Stmt *) taken = {0};
    for (int i = at->at - 1; i >= 0; i--) {
        Stmt *s = at->block->u.block.v[i];
        if (s->k != S_LET || u->var[s->u.let.v->id] != 1) continue;
        Uses own = *u;
        own.buf = NEW_ARRAY(u->a, uint8_t, u->nbuf + 1);
        stmt_map_exprs(s, note_expr, &own);
        for (int b = 0; b < u->nbuf; b++)
            if (own.buf[b]) return false;
        u->var[s->u.let.v->id] |= 2;
        vec_push(u->a, &taken, s);
    }
    for (int i = taken.n - 1; i >= 0; i--) s_append(u->a, to, taken.v[i]);
    return true;
}
static bool make_part(Arena *a, const Func *f, Stmt *loop, const PathList *path, const Path *here, Part *out) {
    int64_t lo, hi;
    if (loop->u.loop.mode != LOOP_PAR || !e_is_int(loop->u.loop.lo, &lo) || !e_is_int(loop->u.loop.hi, &hi) || hi - lo < 2) return false;
    Uses u = {.a = a, .buf = NEW_ARRAY(a, uint8_t, f->nbuf + 1), .var = NEW_ARRAY(a, uint8_t, f->nvar + 1), .nbuf = f->nbuf};
    note(&u, loop);
    stmt_map_exprs(loop, note_expr, &u);
    if (u.calls) return false;
    *out = (Part){.loop = loop, .lo = lo, .n = hi - lo};
    for (int i = 0; i < f->param.n; i++) {
        uint8_t *mentioned = &u.buf[f->param.v[i]->id];
        if (*mentioned & 1) vec_push(a, &out->param, i);
        *mentioned |= 2;
    }
    for (int i = 0; i < f->nbuf; i++)
        if (u.buf[i] == 1) return false;
    Stmt *inner = loop;
    for (int i = path->n; i >= 0; i--) { /* from the inside: what is nothing but the path to this loop */
        Stmt *block = s_block(a);
        if (!take_lets(&u, i == path->n ? here : &path->v[i], block)) return false;
        s_append(a, block, inner);
        out->body = block;
        if (i == 0) break;
        const Stmt *around = path->v[i - 1].loop;
        if (u.var[around->u.loop.v->id] == 1) vec_push(a, &out->fixed, around->u.loop.v);
        u.var[around->u.loop.v->id] |= 2;
        inner = s_for(a, around->u.loop.v, around->u.loop.lo, around->u.loop.hi);
        inner->u.loop.body = block;
    }
    for (int i = 0; i < f->nvar; i++)
        if (u.var[i] == 1) return false;
    return true;
}
static void find_parts(Emit *E, const Stmt *block, PathList *path) {
    for (int i = 0; i < block->u.block.n; i++) {
        Stmt *s = block->u.block.v[i];
        const Path here = {s, block, i};
        Part p;
        if (s->k != S_FOR) continue;
        if (make_part(E->a, E->f, s, path, &here, &p)) {
            vec_push(E->a, &E->part, p);
            continue;
        }
        vec_push(E->a, path, here);
        find_parts(E, s->u.loop.body, path);
        path->n--;
    }
}
void emit_parts(Emit *E) {
    PathList path = {0};
    find_parts(E, E->f->body, &path);
}
const Part *part_of(const Emit *E, const Stmt *loop) {
    for (int i = 0; i < E->part.n; i++)
        if (E->part.v[i].loop == loop) return &E->part.v[i];
    return NULL;
}

const char *fixed_type(const Emit *E, const Var *v) { return E->var[v->id].wide == 32 ? "int32_t" : "int64_t"; }
/* The structure that carries the parameters, and the function with the pool's signature. */
void put_part_entry(const Emit *E, Text *out, const Part *p, const char *name) {
    const char *cast = E->var[p->loop->u.loop.v->id].wide == 32 ? "(int32_t)" : "";
    Text first = {0};
    text_printf(out, "struct %s {\n", name);
    for (int i = 0; i < E->f->param.n; i++) {
        text_puts(out, "    ");
        put_param(E, out, E->f->param.v[i], false);
        text_puts(out, ";\n");
    }
    if (p->lo) text_printf(&first, " + %lld", (long long)p->lo);
    for (int i = 0; i < p->fixed.n; i++) text_printf(out, "    %s %s;\n", fixed_type(E, p->fixed.v[i]), E->var[p->fixed.v[i]->id].name);
    text_printf(out, "};\nstatic void %s_run(const void *arg, int64_t first, int64_t end) {\n    const struct %s *part = arg;\n    %s(",
                name, name, name);
    for (int i = 0; i < E->f->param.n; i++)
        text_printf(out, "part->%s,%s", E->buf[E->f->param.v[i]->id].name, i % 8 == 7 ? "\n        " : " ");
    for (int i = 0; i < p->fixed.n; i++) text_printf(out, "part->%s, ", E->var[p->fixed.v[i]->id].name);
    text_printf(out, p->lo ? "%s(first%s), %s(end%s));\n}\n" : "%sfirst%s, %send%s);\n}\n", cast, p->lo ? first.s : "", cast,
                p->lo ? first.s : "");
    text_free(&first);
}
/* In the kernel, instead of the loop. */
void put_part_call(Emit *E, const Part *p) {
    scope_open(E);
    const char *name = scope_name(E, "part");
    Text line = {0};
    put_indent(E, E->out);
    text_printf(E->out, "{\n");
    E->indent++;
    put_indent(E, E->out);
    text_printf(&line, "const struct %s %s = {", p->name, name);
    for (int i = 0; i < p->param.n; i++)
        text_printf(&line, "%s%s", i == 0 ? "" : i % 12 == 0 ? ",\n            " : ", ", E->buf[E->f->param.v[p->param.v[i]]->id].name);
    for (int i = 0; i < p->fixed.n; i++) text_printf(&line, "%s%s", i || p->param.n ? ", " : "", E->var[p->fixed.v[i]->id].name);
    text_puts(&line, "};\n");
    text_putn(E->out, line.s, line.n);
    put_indent(E, E->out);
    text_printf(E->out, "qn_parallel(pool, %s_run, &%s, %lld);\n", p->name, name, (long long)p->n);
    E->indent--;
    put_indent(E, E->out);
    text_puts(E->out, "}\n");
    text_free(&line);
    scope_close(E);
    E->nstmt++;
}
