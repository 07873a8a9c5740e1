/* SPDX-License-Identifier: Apache-2.0 */
/* test_mapping_sched.c: mappings become schedules. Random problems with random mappings: the scheduled nest must compute what the
 * naive one does, under the interpreter; and the mappings of benchmarks/micro give the micro-kernels that they describe. */
#include "codegen/target_yaml.h"
#include "ir/ir.h"
#include "ir/mapping.h"
#include "ir/sched.h"
#include "case.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed;
static int rnd(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)n);
}

/* ---- the naive nest of a problem, as text */
static void put_index(Text *t, const ProblemTensor *x, const char *const *name) {
    text_puts(t, "[");
    for (int a = 0; a < x->rank; a++) {
        text_puts(t, a ? ", " : "");
        bool any = false;
        for (int i = 0; i < x->axis[a].n; i++) {
            if (!name[x->axis[a].dim[i]]) continue;
            text_printf(t, "%s%s * %lld", any ? " + " : "", name[x->axis[a].dim[i]], (long long)x->axis[a].coef[i]);
            any = true;
        }
        if (!any) text_puts(t, "0");
    }
    text_puts(t, "]");
}
static void put_shape(Text *t, const Problem *p, const ProblemTensor *x) {
    text_puts(t, "float32[");
    for (int a = 0; a < x->rank; a++) {
        int64_t len = 1;
        for (int i = 0; i < x->axis[a].n; i++) len += (p->extent[x->axis[a].dim[i]] - 1) * x->axis[a].coef[i];
        text_printf(t, "%s%lld", a ? "," : "", (long long)len);
    }
    text_puts(t, "]");
}
static int put_loops(Text *t, const Problem *p, const char *const *name) {
    int depth = 1;
    for (int d = 0; d < p->ndim; d++)
        if (name[d]) text_printf(t, "%*sfor %s in 0..%lld\n", 2 * depth++, "", name[d], (long long)p->extent[d]);
    text_printf(t, "%*s", 2 * depth, "");
    return depth;
}
static Func *naive(Case *c, const Problem *p, const MapNames *n, bool regs) {
    Text t = {0};
    int o = p->ntensor - 1;
    text_puts(&t, "func f(");
    for (int i = 0; i < o; i++) text_printf(&t, "%s: ", n->tensor[i]), put_shape(&t, p, &p->tensor[i]), text_puts(&t, ", ");
    if (!regs) text_puts(&t, "scratch acc: "), put_shape(&t, p, &p->tensor[o]), text_puts(&t, ", ");
    text_puts(&t, "writes y: "), put_shape(&t, p, &p->tensor[o]), text_puts(&t, ")\n");
    if (regs) text_puts(&t, "  alloc acc: reg "), put_shape(&t, p, &p->tensor[o]), text_puts(&t, "\n");
    put_loops(&t, p, n->init), text_puts(&t, "acc"), put_index(&t, &p->tensor[o], n->init), text_puts(&t, " = 3.0\n");
    put_loops(&t, p, n->sum), text_puts(&t, "acc"), put_index(&t, &p->tensor[o], n->sum), text_puts(&t, " += ");
    for (int i = 0; i < o; i++) text_printf(&t, "%s%s", i ? " * " : "", n->tensor[i]), put_index(&t, &p->tensor[i], n->sum);
    text_puts(&t, "\n"), put_loops(&t, p, n->store), text_puts(&t, "y"), put_index(&t, &p->tensor[o], n->store);
    text_puts(&t, " = acc"), put_index(&t, &p->tensor[o], n->store), text_puts(&t, " * 2.0\n");
    Func *f = func_parse(&c->c, "naive", t.s);
    if (!f) diag_print_all(&c->d, false), ck_abort_msg("%s", t.s);
    text_free(&t);
    return f;
}
static float *run(Case *c, const Func *f) {
    void *param[16];
    float *y = NULL;
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        int64_t n = 1;
        for (int d = 0; d < b->rank; d++) n *= b->dim[d];
        float *x = NEW_ARRAY(c->a, float, n);
        for (int64_t k = 0; k < n; k++) x[k] = (float)((k * 7 + i * 3) % 11 - 5); /* sums stay exact */
        param[i] = x;
        if (strcmp(b->name, "y") == 0) y = x;
    }

    if (!interp_run(&c->c, f, param, NULL)) diag_print_all(&c->d, false), ck_abort();
    return y;
}

/* ---- random mappings */
static Target random_target(Arena *a) {
    static const LevelKind kinds[] = {LEVEL_CACHE, LEVEL_PAD, LEVEL_REGS};
    Target x = {.name = "random", .nlevel = 1 + rnd(4), .mac_energy = 1, .vector_bits = rnd(2) ? 128 : 0};
    for (int l = 0; l < x.nlevel; l++) {
        LevelKind k = l == 0 ? LEVEL_DRAM : l == x.nlevel - 1 && rnd(3) ? LEVEL_REGS : kinds[rnd(2)];
        x.level[l] = (TargetLevel){.name = arena_printf(a, "l%d", l),
                                   .kind = k,
                                   .words = l ? 1 << 16 : 0,
                                   .word_bits = 32,
                                   .keeps = ROLE_ALL,
                                   .fan_x = 4,
                                   .fan_y = 2,
                                   .read_energy = 1,
                                   .write_energy = 1};
    }
    return x;
}
static Mapping *random_mapping(Arena *a, const Problem *p, const Target *t) {
    Mapping *m = NEW(a, Mapping);
    m->problem = p, m->target = t;
    mapping_default_keep(m);
    for (int l = 1; l < t->nlevel; l++) m->level[l].keep &= (unsigned)rnd(8) | (unsigned)rnd(8);
    for (int d = 0; d < p->ndim; d++)
        for (int64_t rest = p->extent[d], f; rest > 1; rest /= f) {
            for (f = 2; rest % f; f++) {}
            MapLevel *v = &m->level[rnd(t->nlevel)];
            if (rnd(4) == 0 && f <= 4 && !v->nspatial) v->spatial[v->nspatial++] = (MapLoop){d, f, 'x', false};
            else v->temporal[v->ntemporal++] = (MapLoop){d, f, 0, false};
        }
    for (int l = 0; l < t->nlevel; l++)
        for (int i = m->level[l].ntemporal - 1; i > 0; i--) {
            int k = rnd(i + 1);
            MapLoop swap = m->level[l].temporal[i];
            m->level[l].temporal[i] = m->level[l].temporal[k], m->level[l].temporal[k] = swap;
        }
    return m;
}
START_TEST(test_random) {
    for (int i = 0; i < 300; i++) {
        Case t;
        case_open(&t);
        seed = (uint32_t)(i + 1) * 2654435761u;
        Target x = random_target(t.a);
        ck_assert(target_check(&t.d, NO_LOC, &x));
        ConvShape s = {.n = 1 + rnd(2),
                       .g = 1 + rnd(2),
                       .m = 1 + rnd(6),
                       .c = 1 + rnd(4),
                       .e = 1 + rnd(6),
                       .f = 1 + rnd(6),
                       .r = 1 + rnd(3),
                       .s = 1 + rnd(3),
                       .stride_e = 1 + rnd(2),
                       .stride_f = 1 + rnd(2),
                       .dil_r = 1 + rnd(2),
                       .dil_s = 1};
        s.depthwise = rnd(5) == 0;
        if (s.depthwise) s.g = s.m = 1;
        const Problem *p = rnd(3) ? problem_conv(t.a, "conv", &s) : problem_gemm(t.a, "gemm", 1 + rnd(12), 1 + rnd(12), 1 + rnd(12));
        Mapping *m = random_mapping(t.a, p, &x);
        MapNames names;
        mapping_names(t.a, p, &names);
        bool regs = mapping_sums_in_regs(m);
        Func *f = naive(&t, p, &names, regs), *g = func_copy(t.a, f);
        const char *steps = mapping_schedule(t.a, m, &names);
        if (!sched_run(&t.c, g, steps) || !func_verify(&t.c, g)) {
            Text text = {0};
            mapping_print(m, &text);
            diag_print_all(&t.d, false);
            func_print(f, &text);
            ck_abort_msg("case %d\n%s%s", i, text.s, steps);
        }
        int64_t words = problem_box(p, p->ntensor - 1, p->extent);
        float *want = run(&t, f), *got = run(&t, g);
        for (int64_t k = 0; k < words; k++)
            ck_assert_msg(want[k] == got[k], "case %d, element %lld: %g, expected %g\n%s", i, (long long)k, got[k], want[k], steps);
        arena_free(t.a);
    }
}
END_TEST

/* ---- the micro-kernels */
START_TEST(test_gemm_kernel) {
    static const char map[] = "DRAM: for N 16, M 64\nL1 keeps A C:\nregs keeps C: for K 512, M 8, N 2; spread N 16 x\n";
    static const char want[] =
        "split m 8 m0 m\nsplit n 32 n0 n\nreorder n0 m0 m n\ncompute_at acc m0\n"
        "split n_i 16 n_i0 n_i\nreorder m_i n_i0 n_i\nsplit n_a 16 n_a0 n_a\nreorder k m_a n_a0 n_a\n"
        "split n 16 n1 n\nreorder m n1 n\n"
        "unroll m_i\nunroll n_i0\nvectorise n_i\nunroll m_a\nunroll n_a0\nvectorise n_a\nunroll m\nunroll n1\nvectorise n\n";
    Case t;
    case_open(&t);
    const Target *x = target_load(&t.c, "x86_avx512");
    const Problem *p = problem_gemm(t.a, "gemm", 512, 512, 512);
    const Mapping *m = mapping_parse(&t.c, "m.map", map, p, x);
    MapNames names;
    ck_assert(m && mapping_check(&t.c, NO_LOC, m, NULL));
    mapping_names(t.a, p, &names);
    ck_assert(mapping_sums_in_regs(m));
    ck_assert_str_eq(mapping_schedule(t.a, m, &names), want);
    arena_free(t.a);
}
END_TEST
/* Nine vectors of weights are staged at the loop over channel blocks, outside rows and columns. */
START_TEST(test_depthwise_kernel) {
    static const char map[] = "DRAM: for C 2, E 28, F 4\nregs keeps W O: for R 3, S 3, F 7; spread C 16 x\n";
    Case t;
    case_open(&t);
    const Target *x = target_load(&t.c, "x86_avx512");
    const Problem *p = problem_conv(t.a, "dw", &(ConvShape){.c = 32, .e = 28, .f = 28, .r = 3, .s = 3, .depthwise = true});
    const Mapping *m = mapping_parse(&t.c, "m.map", map, p, x);
    MapNames names;
    ck_assert(m && mapping_check(&t.c, NO_LOC, m, NULL));
    mapping_names(t.a, p, &names);
    const char *steps = mapping_schedule(t.a, m, &names);
    ck_assert_msg(strstr(steps, "stage w c0 w_regs reg\n") != NULL, "%s", steps);
    ck_assert_msg(strstr(steps, "unroll r\nunroll s\nunroll f_a\nvectorise c_a\n") != NULL, "%s", steps);
    arena_free(t.a);
}
END_TEST

Suite *mapping_sched_suite(void) {
    Suite *s = suite_create("mapping_sched");
    TCase *c = tcase_create("schedule");
    tcase_add_test(c, test_random);
    tcase_add_test(c, test_gemm_kernel);
    tcase_add_test(c, test_depthwise_kernel);
    suite_add_tcase(s, c);
    return s;
}
