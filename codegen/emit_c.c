/* SPDX-License-Identifier: Apache-2.0 */
/* emit_c.c: one Func as one C function: comment, signature, vector types, body. The nest is copied and prepared first
 * (emit_prep.c), so that the caller's stays as it is.
 *
 *   func relu(x: float32[8], y: float32[8])  --->  static void relu(const float *restrict x, float *restrict y) { for … }
 */
#include "internal.h"
#include "ir/target.h"
#include <string.h>

/* Model strings can neither close the comment nor break the line: anything but plain characters becomes '?'. */
void put_comment(Text *out, const char *s, int indent) {
    text_printf(out, "%*s/* ", indent * 4, "");
    int column = indent * 4 + 3;
    for (; *s; s++) {
        char c = *s;
        if (c == ' ' && s[1] == '\n') continue;
        if (c == '\n' || (column > 120 && c == ' ')) {
            text_printf(out, "\n%*s * ", indent * 4, "");
            column = indent * 4 + 3;
            continue;
        }
        if ((c == '*' && s[1] == '/') || (c == '/' && s[1] == '*') || c == '\\' || c == '?' || (unsigned char)c < 32 ||
            (unsigned char)c > 126)
            c = '.';
        text_putn(out, &c, 1);
        column++;
    }
    text_puts(out, " */\n");
}

void put_param(const Emit *E, Text *t, const Buf *b, bool restrict_ok) {
    const BufInfo *i = &E->buf[b->id];
    const char *type = dtype_info[b->dt].ctype;
    text_printf(t, "%s%s *%s%s", i->stores || b->written ? "" : "const ", type, restrict_ok ? "restrict " : "", i->name);
}
/* Behind what is there, or on a new line under the first. */
static void put_one_param(Text *head, int width, int *column, Text *p) {
    if (*column > width) {
        bool wrap = *column + (int)p->n + 4 > 130;
        if (wrap) text_printf(head, ",\n%*s", width, "");
        else text_puts(head, ", ");
        *column = wrap ? width : *column + 2;
    }
    text_putn(head, p->s, p->n);
    *column += (int)p->n;
    text_free(p);
}
static void put_signature(Emit *E, Text *out, const EmitFunc *o, const char *name) {
    Text head = {0}, p = {0};
    if (E->style.attribute) text_printf(&head, "%s ", E->style.attribute);
    text_printf(&head, "%s%s %s(", o->is_static ? "static " : "", E->returns ? "int" : "void", name);
    int width = (int)head.n, column = width;
    if (E->part.n) {
        text_puts(&p, "struct qn_pool *pool");
        put_one_param(&head, width, &column, &p);
    }
    for (int i = 0; i < E->f->param.n; i++) {
        put_param(E, &p, E->f->param.v[i], !o->restrict_ok || o->restrict_ok[i]);
        put_one_param(&head, width, &column, &p);
    }
    for (int i = 0; E->self && i < E->self->fixed.n; i++) {
        const Var *v = E->self->fixed.v[i];
        text_printf(&p, "%s %s", fixed_type(E, v), E->var[v->id].name);
        put_one_param(&head, width, &column, &p);
    }
    if (E->ranged) {
        const char *type = E->var[E->ranged->u.loop.v->id].wide == 32 ? "int32_t" : "int64_t";
        text_printf(&p, "%s %s, %s %s", type, E->first, type, E->end);
        put_one_param(&head, width, &column, &p);
    }
    if (column == width) text_puts(&head, "void");
    text_puts(&head, ") {\n");
    text_putn(out, head.s, head.n);
    text_free(&head);
}
static const char *const width_attribute =
    "#if defined(__clang__) && defined(__AVX512F__)\n__attribute__((min_vector_width(512)))\n#endif\n";

/* One C function of an expanded nest; parts: its parallel loops, printed as calls; ranged: the nest is that loop of a part. */
static void emit_one(Text *out, Emit *E, const EmitFunc *o, const char *name, EmitNeeds *needs) {
    const Func *f = E->f;
    MemoTable memo = {0};
    Text body = {0};
    HelperSet none = {0};
    E->helpers = needs ? &needs->helpers : &none, E->out = &body, E->indent = 1;
    E->memo = &memo;
    E->var = NEW_ARRAY(E->a, VarInfo, f->nvar + 1);
    E->buf = NEW_ARRAY(E->a, BufInfo, f->nbuf + 1);
    E->taken = map_new(E->a);
    E->no_offset = o->no_offset;
    map_set(E->taken, name, (void *)(intptr_t)1);
    if (E->part.n) map_set(E->taken, "pool", (void *)(intptr_t)1);
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        E->buf[b->id].name = o->canonical ? arena_printf(E->a, "p%d", i) : scope_name(E, b->name);
    }
    if (E->ranged) E->first = scope_name(E, "first"), E->end = scope_name(E, "end");
    emit_analyse(E);
    for (int i = 0; E->self && i < E->self->fixed.n; i++) E->var[E->self->fixed.v[i]->id].name = scope_name(E, E->self->fixed.v[i]->name);
    scope_open(E);
    put_block(E, E->f->body);
    scope_close(E);

    if (E->wide_vectors) text_puts(out, width_attribute);
    put_signature(E, out, o, name);
    put_vec_typedefs(E, out, 1);
    for (int i = 0; i < f->param.n; i++) {
        const BufInfo *b = &E->buf[f->param.v[i]->id];
        if (!b->loads && !b->stores && !b->calls) text_printf(out, "    (void)%s;\n", b->name);
    }
    if (body.n) text_putn(out, body.s, body.n);
    if (E->returns) text_puts(out, "    return 0;\n");
    text_puts(out, "}\n");
    if (needs) needs->math |= E->math, needs->returns |= E->returns;
    text_free(&body);
    text_free(&E->pre);
}
/* A parallel loop: its function, and the one that the pool calls. */
static void emit_part(Text *out, const Emit *whole, const Part *p, const EmitFunc *o, EmitNeeds *needs) {
    Arena *a = whole->a;
    Func f = *whole->f;
    EmitFunc own = {.is_static = true, .no_offset = o->no_offset, .canonical = o->canonical};
    bool *restrict_ok = NEW_ARRAY(a, bool, p->param.n + 1);
    memset(&f.param, 0, sizeof f.param);
    for (int i = 0; i < p->param.n; i++) {
        vec_push(a, &f.param, whole->f->param.v[p->param.v[i]]);
        restrict_ok[i] = !o->restrict_ok || o->restrict_ok[p->param.v[i]];
    }
    own.restrict_ok = restrict_ok;
    f.body = p->body;
    Emit e = {.a = a, .f = &f, .style = whole->style, .half = whole->half, .ranged = p->loop, .self = p};
    emit_one(out, &e, &own, p->name, needs);
    put_part_entry(&e, out, p, p->name);
    text_puts(out, o->canonical ? "" : "\n");
}
void emit_func_with(Text *out, const Func *f, const EmitStyle *s, const EmitFunc *o, EmitNeeds *needs) {
    Arena *a = arena_new();
    Func *copy = emit_expand(a, f, s->vectors);
    if (s->vectors) emit_bases(copy);
    Emit e = {.a = a, .f = copy, .style = *s, .half = s->target && s->target->half};
    const char *name = o->canonical ? "f" : o->name ? o->name : f->name, *comment = o->comment ? o->comment : f->comment;
    if (o->pool) emit_parts(&e);
    if (comment && !o->canonical) put_comment(out, comment, 0);
    for (int i = 0; i < e.part.n; i++) {
        e.part.v[i].name = o->canonical ? arena_printf(a, "f_part%d", i) : o->part_name[i];
        emit_part(out, &e, &e.part.v[i], o, needs);
    }
    emit_one(out, &e, o, name, needs);
    if (needs) needs->parts = e.part.n;
    arena_free(a);
}
void emit_func(Text *out, const Func *f, const EmitStyle *s, bool is_static, const bool *restrict_ok) {
    emit_func_with(out, f, s, &(EmitFunc){.is_static = is_static, .restrict_ok = restrict_ok}, NULL);
}
void emit_helpers_of(const Func *f, HelperSet *set) {
    Text t = {0};
    EmitNeeds needs = {.helpers = *set};
    emit_func_with(&t, f, &(EmitStyle){.vectors = true}, &(EmitFunc){.canonical = true}, &needs);
    text_free(&t);
    EmitNeeds plain = {.helpers = needs.helpers};
    emit_func_with(&t, f, &(EmitStyle){0}, &(EmitFunc){.canonical = true}, &plain);
    *set = plain.helpers;
    text_free(&t);
}
