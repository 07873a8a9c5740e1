/* SPDX-License-Identifier: Apache-2.0 */
/* emit_c.c: one Func as one C function: comment, signature, vector types, body. The nest is copied and prepared first
 * (emit_prep.c), so that the caller's stays as it is.
 *
 *   func relu(x: float32[8], y: float32[8])  --->  static void relu(const float *restrict x, float *restrict y) { for … }
 */
#include "internal.h"
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
        if ((c == '*' && s[1] == '/') || (c == '/' && s[1] == '*') || c == '\\' || c == '?' || (unsigned char)c < 32 || (unsigned char)c > 126) c = '.';
        text_putn(out, &c, 1);
        column++;
    }
    text_puts(out, " */\n");
}

static void put_param(Emit *E, Text *t, const Buf *b, bool restrict_ok) {
    const BufInfo *i = &E->buf[b->id];
    const char *type = dtype_info[b->dt].ctype;
    text_printf(t, "%s%s *%s%s", i->stores || b->written ? "" : "const ", type, restrict_ok ? "restrict " : "", i->name);
}
static void put_signature(Emit *E, Text *out, const EmitFunc *o, const char *name) {
    Text head = {0};
    if (E->style.attribute) text_printf(&head, "%s ", E->style.attribute);
    text_printf(&head, "%s%s %s(", o->is_static ? "static " : "", E->returns ? "int" : "void", name);
    int width = (int)head.n, column = width;
    for (int i = 0; i < E->f->param.n; i++) {
        Text p = {0};
        put_param(E, &p, E->f->param.v[i], !o->restrict_ok || o->restrict_ok[i]);
        if (i && column + (int)p.n + 4 > 130) {
            text_printf(&head, ",\n%*s", width, "");
            column = width;
        } else if (i)
            text_puts(&head, ", "), column += 2;
        text_putn(&head, p.s, p.n);
        column += (int)p.n;
        text_free(&p);
    }
    if (!E->f->param.n) text_puts(&head, "void");
    text_puts(&head, ") {\n");
    text_putn(out, head.s, head.n);
    text_free(&head);
}
static const char *const width_attribute =
    "#if defined(__clang__) && defined(__AVX512F__)\n__attribute__((min_vector_width(512)))\n#endif\n";

void emit_func_with(Text *out, const Func *f, const EmitStyle *s, const EmitFunc *o, EmitNeeds *needs) {
    Arena *a = arena_new();
    MemoTable memo = {0};
    Text body = {0};
    HelperSet none = {0};
    Emit e = {.a = a, .f = emit_expand(a, f), .style = *s, .helpers = needs ? &needs->helpers : &none, .out = &body, .indent = 1};
    Emit *E = &e;
    E->memo = &memo;
    E->var = NEW_ARRAY(a, VarInfo, f->nvar + 1);
    E->buf = NEW_ARRAY(a, BufInfo, f->nbuf + 1);
    E->taken = map_new(a);
    E->no_offset = o->no_offset;
    const char *name = o->canonical ? "f" : o->name ? o->name : f->name;
    map_set(E->taken, name, (void *)(intptr_t)1);
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        E->buf[b->id].name = o->canonical ? arena_printf(a, "p%d", i) : scope_name(E, b->name);
    }
    emit_analyse(E);
    scope_open(E);
    put_block(E, E->f->body);
    scope_close(E);

    const char *comment = o->comment ? o->comment : f->comment;
    if (comment && !o->canonical) put_comment(out, comment, 0);
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
