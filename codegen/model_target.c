/* SPDX-License-Identifier: Apache-2.0 */
/* model_target.c: what of ID.c depends on the processor: how the compiler may round, headers of intrinsics, attributes of the kernels,
 * and tests of what the machine at hand can do. Code for several targets stands in one file; each call takes the best that runs.
 *
 *   #define net_HAS_X86_AVX2 (__builtin_cpu_supports("avx2") …)   …   if (net_HAS_X86_AVX2) return run_x86_avx2(…);   return run_c99(…);
 */
#include "ir/target.h"
#include "model.h"
#include <ctype.h>
#include <string.h>

static const char *upper(Arena *a, const char *prefix, const char *name) {
    char *s = arena_printf(a, "%s%s", prefix, name);
    for (char *p = s + strlen(prefix); *p; p++) *p = (char)toupper((unsigned char)*p);
    return s;
}
void target_variants(Model *m) {
    static const Target plain = {.name = "c99"};
    m->several = m->p->next != NULL;
    for (const Program *p = m->p; p; p = p->next) {
        Variant v = {.p = p, .t = p->target ? p->target : &plain};
        v.style = (EmitStyle){v.t->vector_bits > 0, m->several ? upper(m->a, "KERNEL_", v.t->name) : "KERNEL", v.t,
                              arena_printf(m->a, "%s_access", m->id)};
        vec_push(m->a, &m->variant, v);
    }
}
void target_names(Model *m) {
    for (int i = 0; i < m->variant.n; i++) {
        Variant *v = &m->variant.v[i];
        v->has = upper(m->a, arena_printf(m->a, "%s_HAS_", m->id), v->t->name);
        if (m->several) v->run = c_name(m->a, m->used, arena_printf(m->a, "run_%s", v->t->name), "run");
    }
}
const char *target_name(const Model *m) {
    const char *s = m->variant.v[0].t->name;
    for (int i = 1; i < m->variant.n; i++) s = arena_printf(m->a, "%s+%s", m->variant.v[i].t->name, s);
    return s;
}
/* Products and sums become one operation where a target has it, whatever the compiler's mode; or, for the same bits everywhere, never. */
void target_pragmas(const Model *m, Text *t) {
    bool vectors = false;
    for (int i = 0; i < m->variant.n; i++) vectors |= m->variant.v[i].style.vectors;
    if (!vectors && !m->o->precise) return;
    if (m->o->precise)
        text_puts(t, "/* The same bits on every machine: a product and a sum are two operations, in the order that is written. */\n"
                     "#if defined(__FAST_MATH__)\n#error \"compile without -ffast-math, or without --precise\"\n#endif\n");
    text_printf(t,
                "#if defined(__clang__)\n#pragma STDC FP_CONTRACT %s\n#elif defined(__GNUC__)\n#pragma GCC optimize(\"fp-contract=%s\")\n"
                "#pragma GCC optimize(\"no-gcse\") /* it keeps constants of other loops in registers that the sums of inner ones need */\n"
                "#endif\n",
                m->o->precise ? "OFF" : "ON", m->o->precise ? "off" : "fast");
}
void target_guard(const Model *m, const Variant *v, bool end, Text *t) {
    if (!m->several || !v->t->guard) return;
    if (end) text_puts(t, "#endif\n");
    else text_printf(t, "#if %s\n", v->t->guard);
}
void target_includes(const Model *m, Text *t) {
    for (int i = 0; i < m->variant.n; i++) {
        const Variant *v = &m->variant.v[i];
        bool again = false;
        for (int k = 0; k < i; k++)
            again |= m->variant.v[k].t->include && v->t->include && !strcmp(m->variant.v[k].t->include, v->t->include);
        if (!v->t->include || again) continue;
        target_guard(m, v, false, t);
        for (const char *h = v->t->include; *h; h += strcspn(h, " "), h += *h == ' ')
            text_printf(t, "#include <%.*s>\n", (int)strcspn(h, " "), h);
        target_guard(m, v, true, t);
    }
}
void target_macros(const Model *m, Text *t) {
    if (m->p->k.n) text_puts(t, "\n/* Kernels stay functions of their own: less stack, faster compilation. */\n#if defined(__GNUC__)\n");
    for (int i = 0; m->p->k.n && i < m->variant.n; i++) {
        const Variant *v = &m->variant.v[i];
        text_printf(t, "#define %s __attribute__((noinline))%s%s\n", v->style.attribute, v->t->attribute ? " " : "",
                    v->t->attribute ? v->t->attribute : "");
    }
    if (m->p->k.n) text_puts(t, "#else\n");
    for (int i = 0; m->p->k.n && i < m->variant.n; i++) text_printf(t, "#define %s\n", m->variant.v[i].style.attribute);
    if (m->p->k.n) text_puts(t, "#endif\n");
    for (int i = 0; i < m->variant.n; i++)
        if (m->variant.v[i].t->cpu_test && strstr(m->variant.v[i].t->cpu_test, "QN_CPU_SUPPORTS")) {
            text_puts(
                t,
                "\n/* Names that clang learns late. */\n#if defined(__clang__) && __clang_major__ < 18\n#define QN_CPU_SUPPORTS(name) 1\n"
                "#else\n#define QN_CPU_SUPPORTS(name) __builtin_cpu_supports(name)\n#endif\n");
            break;
        }
    for (int i = 0; i < m->variant.n; i++) {
        const Variant *v = &m->variant.v[i];
        if (!v->t->cpu_test) continue;
        text_printf(t, "\n/* Can this machine run the code for %s? -D%s=0 says no. */\n#if !defined(%s)\n", v->t->name, v->has, v->has);
        if (m->several && v->t->guard) text_printf(t, "#if %s\n", v->t->guard);
        text_printf(t, "#define %s (%s)\n", v->has, v->t->cpu_test);
        if (m->several && v->t->guard) text_printf(t, "#else\n#define %s 0\n#endif\n", v->has);
        text_puts(t, "#endif\n");
    }
}
