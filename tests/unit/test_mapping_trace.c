/* SPDX-License-Identifier: Apache-2.0 */
/* test_mapping_trace.c: mappings as C. Random layers on random machines, with ragged loops and levels that keep only some operands,
 * and the reference's small mappings: what the instrumented code says it moves is what the cost model predicts, no offset is
 * beyond the capacity, nothing is read before it was filled, and the outputs, like those of the plain form, are the layer's. */
#include "codegen/codegen.h"
#include "ir/mapping_nest.h"
#include "passes/cost.h"
#include "folder.h"
#include <check.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CASES = 60, MAX_PARAM = 64, WORDS = 600 };
typedef struct Case {
    const Mapping *m;
    Func *trace, *plain;
} Case;
static Case cases[CASES];
static uint32_t seed;
static int rnd(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)n);
}

/* ---- random cases */
static Target *random_target(Arena *a) {
    Target *t = NEW(a, Target);
    int mesh = rnd(4), second = rnd(2) ? rnd(4) : mesh, alone = rnd(5);
    *t = (Target){.name = "random", .nlevel = 2 + rnd(3), .mac_energy = 1};
    for (int l = 0; l < t->nlevel; l++) {
        unsigned keeps = l ? 1u + (unsigned)rnd(7) : ROLE_ALL;
        int64_t x = l == mesh || l == second ? 1 + rnd(4) : 1, y = l == mesh || l == second ? 1 + rnd(3) : 1;
        t->level[l] = (TargetLevel){.name = arena_printf(a, "l%d", l),
                                    .kind = l ? LEVEL_PAD : LEVEL_DRAM,
                                    .words = l ? WORDS : 0,
                                    .word_bits = 16,
                                    .keeps = keeps,
                                    .fan_x = x,
                                    .fan_y = y,
                                    .read_energy = 1,
                                    .write_energy = 1,
                                    .buffers = l && rnd(4) == 0 ? 2 : 0,
                                    .no_multicast = alone == 0 ? (unsigned)rnd(8) : 0};
        if (l && rnd(4) == 0) t->level[l].part[rnd(3)] = WORDS / 3;
        TargetLevel *outer = l > 1 ? &t->level[l - 1] : NULL;
        if (outer && !outer->shares && outer->fan_x * outer->fan_y == 1 && keeps & ~outer->keeps && rnd(3) == 0)
            t->level[l].keeps = keeps & ~outer->keeps, t->level[l].shares = l; /* uneven tiles in one memory */
    }
    return t;
}
/* One dim's loops: from the outermost in, whole or ragged, at levels that do not go back. */
static void random_loops(Mapping *m, int dim) {
    int level = 0;
    for (int64_t covers = m->problem->extent[dim]; covers > 1;) {
        int64_t f = 2 + rnd((int)covers - 1), step = ceil_div(covers, f);
        f = ceil_div(covers, step);
        level += rnd(m->target->nlevel - level);
        const TargetLevel *t = &m->target->level[level];
        MapLevel *v = &m->level[level];
        bool spread = !v->nspatial && f <= t->fan_x && rnd(2);
        bool along_y = v->nspatial == 1 && v->spatial[0].axis == 'x' && f <= t->fan_y && rnd(2);
        MapLoop l = {dim, f, spread ? 'x' : along_y ? 'y' : 0, f * step != covers};
        if (!l.axis) v->temporal[v->ntemporal++] = l;
        else if (l.ragged && v->nspatial) v->spatial[1] = v->spatial[0], v->spatial[0] = l, v->nspatial++;
        else v->spatial[v->nspatial++] = l;
        covers = step;
    }
}
static Mapping *random_mapping(Arena *a) {
    for (;;) {
        ConvShape s = {.n = 1 + rnd(2),
                       .g = 1 + rnd(4) / 3,
                       .m = 1 + rnd(5),
                       .c = 1 + rnd(5),
                       .e = 1 + rnd(8),
                       .f = 1 + rnd(6),
                       .r = 1 + rnd(3),
                       .s = 1 + rnd(3),
                       .stride_e = 1 + rnd(3),
                       .stride_f = 1 + rnd(2),
                       .dil_r = 1 + rnd(2)};
        int kind = rnd(10);
        s.depthwise = kind < 2, s.pool = kind == 2, s.pairs = kind == 3;
        if (kind < 4) s.g = s.m = 1;
        if (s.pairs) s.r = s.s = s.stride_e = s.stride_f = s.dil_r = 1;
        const Problem *p = kind != 4 ? problem_conv(a, "conv", &s) : problem_gemm(a, "gemm", 1 + rnd(9), 1 + rnd(9), 1 + rnd(9));
        Mapping *m = NEW(a, Mapping);
        m->problem = p, m->target = random_target(a);
        mapping_default_keep(m);
        for (int d = 0; d < p->ndim; d++) random_loops(m, d);
        for (int l = 1; l < m->target->nlevel; l++) m->level[l].keep &= (unsigned)rnd(8) | (unsigned)rnd(8); /* bypasses */
        for (int l = 0; l < m->target->nlevel; l++) { /* loops of different dims change places */
            MapLevel *v = &m->level[l];
            for (int i = 1; i < v->ntemporal; i++)
                if (rnd(2) && v->temporal[i].dim != v->temporal[i - 1].dim) {
                    MapLoop swap = v->temporal[i];
                    v->temporal[i] = v->temporal[i - 1], v->temporal[i - 1] = swap;
                }
        }
        if (mapping_legal(m)) return m;
    }
}

/* ---- what the code says */
static const Case *at;
static struct {
    int64_t count[QN_MAX_LEVELS][QN_MAX_TENSORS][3];
    bool filled[QN_MAX_LEVELS][256][WORDS];
} seen;
static void on_access(int level, int tensor, int kind, int64_t instance, int64_t offset) {
    ck_assert(level >= 0 && level < at->m->target->nlevel && tensor >= 0 && tensor < at->m->problem->ntensor && kind >= 0 && kind < 3);
    seen.count[level][tensor][kind]++;
    if (level == 0) return;
    ck_assert(instance >= 0 && instance < target_instances(at->m->target, level) && offset >= 0 && offset < WORDS);
    if (kind == ACCESS_FILL) seen.filled[level][instance][offset] = true;
    else ck_assert_msg(seen.filled[level][instance][offset], "level %d, word %lld: not filled", level, (long long)offset);
}
static void put_case(Text *t, const Func *f, const char *name) {
    EmitStyle style = {.access = "say"};
    emit_func(t, f, &style, true, NULL);
    text_printf(t, "void call_%s(void *const *p) { %s(", name, f->name);
    for (int i = 0; i < f->param.n; i++) text_printf(t, "%sp[%d]", i ? ", " : "", i);
    text_puts(t, "); }\n");
}
static void *build_all(const Text *t) {
    char dir[64], path[80], command[400];
    test_folder(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/t.c", dir);
    FILE *f = fopen(path, "w");
    ck_assert(f && fwrite(t->s, 1, t->n, f) == t->n && fclose(f) == 0);
    snprintf(command, sizeof command, "%s -std=c99 -O1 -Wall -Wextra -Werror -pedantic -shared -fPIC -o %s/t.so %s",
             getenv("CC") ? getenv("CC") : "cc", dir, path);
    ck_assert_int_eq(system(command), 0);
    snprintf(path, sizeof path, "%s/t.so", dir);
    void *lib = dlopen(path, RTLD_NOW);
    ck_assert_msg(lib != NULL, "%s", dlerror());
    snprintf(command, sizeof command, "rm -r %s", dir);
    ck_assert_int_eq(system(command), 0);
    return lib;
}
static int64_t words_of(const Buf *b) {
    int64_t n = 1;
    for (int i = 0; i < b->rank; i++) n *= b->dim[i];
    return n;
}
/* Runs one form; the output is returned. */
static const float *run(Arena *a, void *lib, const Func *f, const Case *k, const char *name) {
    void *p[MAX_PARAM], (*call)(void *const *);
    float *out = NULL;
    *(void **)&call = dlsym(lib, arena_printf(a, "call_%s", name));
    ck_assert(call != NULL && f->param.n <= MAX_PARAM);
    for (int i = 0; i < f->param.n; i++) {
        int64_t n = words_of(f->param.v[i]);
        p[i] = arena_alloc(a, (size_t)n * 8);
        memset(p[i], 0xFF, (size_t)n * 8);
        if (i >= k->m->problem->ntensor) continue;
        if (k->m->problem->tensor[i].role == ROLE_O) out = p[i];
        else
            for (int64_t w = 0; w < n; w++) ((float *)p[i])[w] = (float)((w * 7 + i * 3) % 11 - 5); /* sums stay exact */
    }
    call(p);
    return out;
}
static void check_counts(const Case *k, int number) {
    MappingCounts n;
    Text line = {0};
    mapping_counts(k->m, &n);
    mapping_print_line(k->m, &line);
    for (int l = 0; l < k->m->target->nlevel; l++)
        for (int t = 0; t < k->m->problem->ntensor; t++) {
            const Access *x = &n.at[l][t];
            const int64_t want[3] = {x->reads, x->fills, x->updates};
            for (int i = 0; i < 3; i++)
                ck_assert_msg(seen.count[l][t][i] == want[i], "case %d: level %d, operand %d, kind %d: %lld, the model says %lld\n%s",
                              number, l, t, i, (long long)seen.count[l][t][i], (long long)want[i], line.s);
        }
    text_free(&line);
}
START_TEST(test_random) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Text text = {0}, body = {0};
    HelperSet helpers = {0};
    text_puts(&text, "#include <stdint.h>\n#include <string.h>\nvoid (*access_hook)(int, int, int, int64_t, int64_t);\n"
                     "static void say(int l, int t, int k, int64_t i, int64_t o) { access_hook(l, t, k, i, o); }\n");
    seed = getenv("QN_SEED") ? (uint32_t)atoi(getenv("QN_SEED")) : 20;
    for (int i = 0; i < CASES; i++) {
        cases[i].m = random_mapping(a);
        cases[i].trace = mapping_trace(&c, NO_LOC, cases[i].m, arena_printf(a, "trace%d", i));
        cases[i].plain = mapping_nest(&c, cases[i].m, arena_printf(a, "plain%d", i));
        bool ok = cases[i].trace && cases[i].plain && func_verify(&c, cases[i].trace) && func_verify(&c, cases[i].plain);
        if (!ok) diag_print_all(&d, false), ck_abort_msg("case %d", i);
        put_case(&body, cases[i].trace, cases[i].trace->name), put_case(&body, cases[i].plain, cases[i].plain->name);
        emit_helpers_of(cases[i].trace, &helpers), emit_helpers_of(cases[i].plain, &helpers);
    }
    emit_helpers(&text, &helpers);
    text_putn(&text, body.s, body.n), text_free(&body);
    void *lib = build_all(&text);
    void (**hook)(int, int, int, int64_t, int64_t) = (void (**)(int, int, int, int64_t, int64_t))dlsym(lib, "access_hook");
    *hook = on_access;
    int ragged = 0;
    for (int i = 0; i < CASES; i++) {
        at = &cases[i];
        memset(&seen, 0, sizeof seen);
        ragged += mapping_ragged(at->m);
        const float *got = run(a, lib, at->trace, at, at->trace->name);
        check_counts(at, i);
        const float *plain = run(a, lib, at->plain, at, at->plain->name);
        /* the layer itself: the trivial mapping, interpreted */
        Func *naive = mapping_nest(&c, mapping_new(a, at->m->problem, at->m->target), "naive");
        void *p[MAX_PARAM];
        const float *want = NULL;
        for (int k = 0; k < naive->param.n; k++) {
            int64_t n = words_of(naive->param.v[k]);
            p[k] = arena_alloc(a, (size_t)n * 8);
            if (k < at->m->problem->ntensor && at->m->problem->tensor[k].role == ROLE_O) want = p[k];
            for (int64_t w = 0; w < n; w++) ((float *)p[k])[w] = (float)((w * 7 + k * 3) % 11 - 5);
        }
        ck_assert(interp_run(&c, naive, p, NULL));
        for (int64_t w = 0; w < problem_box(at->m->problem, at->m->problem->ntensor - 1, at->m->problem->extent); w++)
            ck_assert_msg(got[w] == want[w] && plain[w] == want[w], "case %d, output %lld: instrumented %g, plain %g, expected %g", i,
                          (long long)w, got[w], plain[w], want[w]);
    }
    ck_assert_int_gt(ragged, CASES / 4);
    ck_assert_int_lt(ragged, CASES);
    text_free(&text);
    arena_free(a);
}
END_TEST
/* Arrays of a level that is far too large are refused, not made. */
START_TEST(test_too_large) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Target t = {.name = "huge", .nlevel = 2, .mac_energy = 1};
    for (int l = 0; l < 2; l++)
        t.level[l] = (TargetLevel){.name = l ? "big" : "DRAM",
                                   .kind = l ? LEVEL_PAD : LEVEL_DRAM,
                                   .words = l ? (int64_t)1 << 40 : 0,
                                   .word_bits = 16,
                                   .keeps = ROLE_ALL,
                                   .fan_x = 1,
                                   .fan_y = 1};
    const Mapping *m = mapping_new(a, problem_gemm(a, "g", 2, 2, 2), &t);
    ck_assert(!mapping_trace(&c, NO_LOC, m, "g"));
    ck_assert_int_eq(d.errors, 1);
    arena_free(a);
}
END_TEST

Suite *mapping_trace_suite(void);
Suite *mapping_trace_suite(void) {
    Suite *s = suite_create("mapping_trace");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_random);
    tcase_add_test(t, test_too_large);
    suite_add_tcase(s, t);
    return s;
}
