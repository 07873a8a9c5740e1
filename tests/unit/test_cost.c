/* SPDX-License-Identifier: Apache-2.0 */
/* test_cost.c: what cost_price.c and mapping_fit.c add to counted words: zeros, widths, networks, arithmetic per type, and memories in
 * banks, parts, twice or shared; and the figures that are published of the Eyeriss chip. Expected values are worked out by hand. */
#include "cli/explore.h"
#include "passes/blocks_gemm.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Target *t;
    Problem *p;
    Mapping *m;
    MappingCounts n;
} Case;
static void case_open(Case *x, const char *target, const ConvShape *s, const char *mapping) {
    memset(x, 0, sizeof *x);
    x->a = arena_new();
    x->d.a = x->a, x->c = (Ctx){x->a, &x->d};
    x->t = strchr(target, '\n') ? target_parse(&x->c, "t.yaml", target, strlen(target)) : target_load(&x->c, target);
    if (!x->t) diag_print_all(&x->d, false), ck_abort_msg("%s", target);
    x->p = problem_conv(x->a, "layer", s);
    x->m = mapping_parse_line(&x->c, "m", mapping, x->p, x->t);
    if (!x->m) diag_print_all(&x->d, false), ck_abort_msg("%s", mapping);
}
static bool legal(Case *x) {
    bool ok = mapping_legal(x->m);
    ck_assert_int_eq(ok, mapping_check(&x->c, NO_LOC, x->m, NULL));
    return ok;
}
static const char *only_message(const Case *x) {
    ck_assert_int_eq(x->d.errors, 1);
    return x->d.list.v[0].text;
}

#define TINY(extra)                                                                                                                        \
    "name: tiny\nword_bits: 16\n" extra "levels:\n  - {name: DRAM, kind: dram, energy: 200, read_bandwidth: 1}\n"                          \
    "  - {name: GLB, kind: pad, words: 4096, fan_out: {x: 4, y: 4}, energy: 6}\n  - {name: RF, kind: regs, words: 64, energy: 1}\n"
static const ConvShape small = {.m = 8, .c = 4, .e = 6, .f = 6, .r = 3, .s = 3};
#define SMALL_MAP "DRAM[M2 C2] GLB[E6 F6 | M4x C2y] RF[R3 S3]"

START_TEST(test_dense_is_exact) { /* densities of 1 on a machine that uses zeros give the numbers of a dense layer, bit by bit */
    Case a, b;
    case_open(&a, TINY(""), &small, SMALL_MAP);
    case_open(&b, TINY("sparsity: {gate: [I], skip: [W], run_length: [I, O]}\n"), &small, SMALL_MAP);
    for (int i = 0; i < 3; i++) b.p->tensor[i].density = 1;
    for (int how = 0; how < 2; how++) {
        mapping_counts_as(a.m, (Counting)how, &a.n), mapping_counts_as(b.m, (Counting)how, &b.n);
        ck_assert(memcmp(&a.n, &b.n, sizeof a.n) == 0);
    }
    arena_free(a.a), arena_free(b.a);
}
END_TEST
START_TEST(test_gating) {
    Case a, b;
    case_open(&a, TINY(""), &small, SMALL_MAP);
    case_open(&b, TINY("sparsity: {gate: [I]}\n"), &small, SMALL_MAP);
    b.p->tensor[1].density = 0.25;
    mapping_counts(a.m, &a.n), mapping_counts(b.m, &b.n);
    ck_assert(b.n.energy_macs == 0.25 * a.n.energy_macs && b.n.cycles == a.n.cycles && b.n.macs == a.n.macs);
    const Access *x = a.n.at[2], *y = b.n.at[2]; /* in the PEs: W I O */
    ck_assert(4 * y[0].reads == x[0].reads && y[0].fills == x[0].fills);
    ck_assert(y[1].reads == x[1].reads && y[1].fills == x[1].fills);
    ck_assert(4 * y[2].reads == x[2].reads && 4 * y[2].updates == x[2].updates && y[2].fills == x[2].fills);
    for (int l = 0; l < 2; l++)
        ck_assert(memcmp(a.n.at[l], b.n.at[l], sizeof a.n.at[l]) == 0 && a.n.energy_level[l] == b.n.energy_level[l]);
    arena_free(a.a), arena_free(b.a);
}
END_TEST
START_TEST(test_skipping) {
    Case a, b;
    case_open(&a, TINY(""), &small, SMALL_MAP);
    case_open(&b, TINY("sparsity: {skip: [W, I]}\n"), &small, SMALL_MAP);
    b.p->tensor[0].density = 0.5, b.p->tensor[1].density = 0.25;
    mapping_counts(a.m, &a.n), mapping_counts(b.m, &b.n);
    ck_assert(b.n.energy_macs == 0.125 * a.n.energy_macs && 8 * b.n.cycles_compute == a.n.cycles_compute);
    ck_assert(4 * b.n.at[2][0].reads == a.n.at[2][0].reads && 2 * b.n.at[2][1].reads == a.n.at[2][1].reads &&
              8 * b.n.at[2][2].updates == a.n.at[2][2].updates);
    double energy, cycles;
    energy = objective_floor(b.p, b.t, OBJ_ENERGY), cycles = objective_floor(b.p, b.t, OBJ_DELAY);
    ck_assert(energy <= b.n.energy && cycles <= (double)b.n.cycles);
    arena_free(a.a), arena_free(b.a);
}
END_TEST
START_TEST(test_run_length) { /* three pairs of 5 + 16 bits in 64: 64/3 bits for each word that is not zero, where that is less */
    Case a;
    case_open(&a, TINY("sparsity: {run_length: [I, O]}\n"), &small, SMALL_MAP);
    a.p->tensor[0].density = 0.1, a.p->tensor[1].density = 0.3, a.p->tensor[2].density = 0.9;
    mapping_counts(a.m, &a.n);
    double w = 8 * 4 * 9, i = (double)a.n.at[0][1].reads, o = 8 * 36;
    ck_assert(a.n.at[0][0].reads == 288 && a.n.at[0][2].reads == 0 && a.n.at[0][2].updates == (int64_t)o);
    ck_assert(fabs(a.n.outer_bits - (16 * w + 0.3 * 64 / 3 * i + 16 * o)) < 1e-6);
    ck_assert(fabs(a.n.energy_level[0] - 200 * (w + 0.4 * i + o)) < 1e-6);
    ck_assert(run_length_bits(8) == 16);
    arena_free(a.a);
}
END_TEST
START_TEST(test_widths_and_types) {
    Case a, b;
    case_open(&a, TINY(""), &small, SMALL_MAP);
    case_open(&b, TINY("mac_energy: 1\ncompute: [{dtype: int8, macs_per_cycle: 4, energy: 0.25}]\n"), &small, SMALL_MAP);
    for (int i = 0; i < 2; i++) b.p->tensor[i].bits = 8;
    b.p->tensor[2].bits = 32, b.p->dtype = "int8";
    b.t->level[0].read_bw = 0;
    mapping_counts(a.m, &a.n), mapping_counts(b.m, &b.n);
    ck_assert(memcmp(a.n.at, b.n.at, sizeof a.n.at) == 0);
    ck_assert(4 * b.n.energy_macs == a.n.energy_macs && 4 * b.n.cycles_compute == a.n.cycles_compute);
    double in = (double)(a.n.at[0][0].reads + a.n.at[0][1].reads), out = (double)(a.n.at[0][2].reads + a.n.at[0][2].updates);
    ck_assert(b.n.energy_level[0] == 200 * (in / 2 + 2 * out));
    arena_free(a.a), arena_free(b.a);
}
END_TEST
START_TEST(test_network) { /* words to and from the PEs, twice the array's endpoint words */
    Case a, b;
    case_open(&a, TINY(""), &small, SMALL_MAP);
    case_open(&b, TINY(""), &small, SMALL_MAP);
    b.t->level[1].network_energy = 2;
    mapping_counts(a.m, &a.n), mapping_counts(b.m, &b.n);
    ck_assert(b.n.energy_network == 2 * (double)a.n.array_words && b.n.energy == a.n.energy + b.n.energy_network);
    ck_assert(counts_energy_with_array(&b.n, 2) == b.n.energy && counts_energy_with_array(&a.n, 2) == b.n.energy);
    b.t->level[1].no_multicast = ROLE_I; /* four PEs in a row use the same inputs */
    mapping_counts(b.m, &b.n);
    ck_assert(b.n.at[1][1].reads == 4 * a.n.at[1][1].reads && b.n.at[1][0].reads == a.n.at[1][0].reads);
    arena_free(a.a), arena_free(b.a);
}
END_TEST

/* ---- memories. The layer's tiles in Buf: W 12, I 8 (4 rows of two channels), O 4 words */
#define MEMORY(fields, more) "name: m\nlevels:\n  - {name: DRAM, kind: dram}\n  - {name: Buf, kind: pad, " fields "}\n" more
static const struct {
    const char *target, *message; /* NULL: it fits */
} memories[] = {
    {MEMORY("words: 24", ""), NULL},
    {MEMORY("words: 23", ""), "the tiles of level Buf need 24 words; it has 23, 1 too few"},
    {MEMORY("words: 48, buffers: 2", ""), NULL},
    {MEMORY("words: 47, buffers: 2", ""), "the tiles of level Buf need 48 words; it has 47, 1 too few"},
    {MEMORY("words: 32, banks: 4", ""), NULL}, /* banks of 8: 2 + 1 + 1 */
    {MEMORY("words: 30, banks: 3", ""), "the tiles of level Buf need 40 words; it has 30, 10 too few"},
    {MEMORY("words: 30, partition: {W: 12, I: 8, O: 4}", ""), NULL},
    {MEMORY("words: 30, partition: {W: 12, I: 7}", ""), "the I tile of level Buf needs 8 words; it has 7 for I, 1 too few"},
    {MEMORY("words: 24, keeps: [W, I]", "  - {name: Sums, kind: pad, shares: Buf, keeps: [O]}\n"), NULL},
    {MEMORY("words: 23, keeps: [W, I]", "  - {name: Sums, kind: pad, shares: Buf, keeps: [O]}\n"), "the tiles of level Buf need 24 words"},
};
START_TEST(test_memories) {
    Case x;
    const char *map = strstr(memories[_i].target, "Sums") ? "DRAM[C2] Buf[] Sums[M2 C2 E2 R3]" : "DRAM[C2] Buf[M2 C2 E2 R3]";
    case_open(&x, memories[_i].target, &(ConvShape){.m = 2, .c = 4, .e = 2, .r = 3}, map);
    bool ok = legal(&x);
    ck_assert_msg(ok == !memories[_i].message, "%s", memories[_i].target);
    if (!ok) ck_assert_msg(strncmp(only_message(&x), memories[_i].message, strlen(memories[_i].message)) == 0, "%s", only_message(&x));
    arena_free(x.a);
}
END_TEST

/* ---- Eyeriss (Chen et al., JSSC 2017), AlexNet, batch 4: the mapping parameters of its table III and what its table V measured */
static const struct {
    ConvShape shape;
    const char *mapping;
    double kib_in, kib_sums;      /* of the buffer */
    int pes, pes_slack;           /* active */
    double ms, in, out, mb, near; /* processing time; density of inputs and outputs; DRAM traffic, and how near it must be */
} chip[] = {
    {{.n = 4, .m = 96, .c = 3, .e = 55, .f = 55, .r = 11, .s = 11, .stride_e = 4, .stride_f = 4},
     "DRAM[N4 E8~ C3] GLB[M3 F55 | E7x R11y M2x] SpadI[] SpadW[] SpadO[S11 M16]",
     15.5,
     72.2,
     154,
     4,
     16.5,
     0.9999,
     0.7,
     5.0,
     0.2},
    {{.n = 4, .g = 2, .m = 128, .c = 48, .e = 27, .f = 27, .r = 5, .s = 5},
     "DRAM[N4 G2 M2 C24] GLB[M4 F27 | E14x E2y~ R5y] SpadI[] SpadW[] SpadO[C2 S5 M16]",
     3.8,
     91.1,
     135,
     0,
     39.2,
     0.613,
     0.25,
     4.0,
     0.1},
    {{.n = 4, .m = 384, .c = 256, .e = 13, .f = 13, .r = 3, .s = 3},
     "DRAM[M6 C64] GLB[N4 F13 | E13x R3y M4y] SpadI[] SpadW[] SpadO[C4 S3 M16]",
     7.0,
     84.5,
     156,
     0,
     21.8,
     0.275,
     0.207,
     3.0,
     0.1},
    {{.n = 4, .g = 2, .m = 192, .c = 192, .e = 13, .f = 13, .r = 3, .s = 3},
     "DRAM[G2 M3 C32] GLB[M2 N4 F13 | E13x R3y C2y M2y] SpadI[] SpadW[] SpadO[C3 S3 M16]",
     10.5,
     84.5,
     156,
     0,
     16.0,
     0.207,
     0.224,
     2.1,
     0.1},
    {{.n = 4, .g = 2, .m = 128, .c = 192, .e = 13, .f = 13, .r = 3, .s = 3},
     "DRAM[G2 M2 C32] GLB[M2 N4 F13 | E13x R3y C2y M2y] SpadI[] SpadW[] SpadO[C3 S3 M16]",
     10.5,
     84.5,
     156,
     0,
     10.0,
     0.224,
     0.25,
     1.3,
     0.1},
};
START_TEST(test_eyeriss_chip) {
    Case x;
    case_open(&x, "eyeriss", &chip[_i].shape, chip[_i].mapping);
    ck_assert(legal(&x));
    x.p->tensor[1].density = chip[_i].in, x.p->tensor[2].density = chip[_i].out;
    mapping_counts(x.m, &x.n);
    int glb = target_level(x.t, "GLB");
    double kib_in = (double)x.n.at[glb][1].tile_words / 512, kib_sums = (double)x.n.at[glb][2].tile_words / 512;
    ck_assert_msg(fabs(kib_in - chip[_i].kib_in) <= 0.05 && fabs(kib_sums - chip[_i].kib_sums) <= 0.05, "%.2f and %.2f KiB", kib_in,
                  kib_sums);
    ck_assert_msg(labs((long)(x.n.units - chip[_i].pes)) <= chip[_i].pes_slack, "%lld PEs", (long long)x.n.units);
    double ms = (double)x.n.cycles / x.t->clock_mhz / 1e3, mb = x.n.outer_bits / 8e6;
    printf("eyeriss layer %d: %.2f ms of %.1f (%.3f), DRAM %.3f MB of %.1f (%+.1f %%)\n", _i + 1, ms, chip[_i].ms, ms / chip[_i].ms, mb,
           chip[_i].mb, 100 * (mb / chip[_i].mb - 1));
    ck_assert(ms >= 0.8 * chip[_i].ms && ms <= chip[_i].ms);
    ck_assert(fabs(mb / chip[_i].mb - 1) <= chip[_i].near);
    arena_free(x.a);
}
END_TEST

/* Pools and sums of two tensors: every word moves once, and there are no weights, or as many as outputs. */
START_TEST(test_pools_and_pairs) {
    Case x;
    case_open(&x, TINY(""), &(ConvShape){.c = 8, .e = 6, .f = 6, .r = 3, .s = 3, .stride_e = 2, .stride_f = 2, .pool = true},
              "DRAM[C2] GLB[E6 F6 | C4x] RF[R3 S3]");
    ck_assert(legal(&x) && x.p->ntensor == 2);
    mapping_counts(x.m, &x.n);
    ck_assert(x.n.macs == 8 * 36 * 9 && x.n.outer_words == 8 * 13 * 13 + 8 * 36);
    arena_free(x.a);
    case_open(&x, TINY(""), &(ConvShape){.n = 2, .c = 8, .e = 6, .f = 6, .pairs = true}, "DRAM[N2 C2 E6] GLB[F6 | C4x] RF[]");
    ck_assert(legal(&x) && x.p->ntensor == 3);
    mapping_counts(x.m, &x.n);
    ck_assert(x.n.macs == 576 && x.n.outer_words == 3 * 576);
    arena_free(x.a);
}
END_TEST

/* ---- fused layers: DRAM words are those of the first input, the weights and the last output, exactly */
static const struct {
    int n;
    ConvShape shape[3];
} stacks[] = {
    {2, {{.m = 64, .c = 64, .e = 56, .f = 56}, {.m = 64, .c = 64, .e = 56, .f = 56, .r = 3, .s = 3}}},
    {2, {{.n = 2, .m = 16, .c = 3, .e = 28, .f = 28, .r = 3, .s = 3}, {.n = 2, .m = 24, .c = 16, .e = 28, .f = 28, .r = 5, .s = 5}}},
    {3,
     {{.m = 96, .c = 16, .e = 56, .f = 56},
      {.c = 96, .e = 28, .f = 28, .r = 3, .s = 3, .stride_e = 2, .stride_f = 2, .depthwise = true},
      {.m = 24, .c = 96, .e = 28, .f = 28}}},
    {3,
     {{.m = 20, .c = 1, .e = 24, .f = 24, .r = 5, .s = 5},
      {.c = 20, .e = 12, .f = 12, .r = 2, .s = 2, .stride_e = 2, .stride_f = 2, .pool = true},
      {.m = 50, .c = 20, .e = 12, .f = 12}}},
};
START_TEST(test_fused) {
    Case x;
    case_open(&x, "survey_rs", &stacks[_i].shape[0], "DRAM[]");
    FusedStack *s = NEW(x.a, FusedStack);
    SearchSpec spec = {.objective = OBJ_ENERGY, .evals = 4000, .threads = 1};
    s->n = stacks[_i].n, s->level = fuse_level(x.t);
    int64_t want = 0, energy_alone = 0;
    for (int i = 0; i < s->n; i++) {
        Problem *p = problem_conv(x.a, "layer", &stacks[_i].shape[i]);
        s->layer[i].problem = p;
        for (int t = 0; t < p->ntensor; t++) {
            unsigned role = p->tensor[t].role;
            if (role == ROLE_W || (role == ROLE_I && i == 0) || (role == ROLE_O && i == s->n - 1)) want += problem_box(p, t, p->extent);
        }
        Mapping m;
        MappingCounts n;
        SearchResult r;
        ck_assert(mapping_search(p, x.t, &spec, &m, &r));
        mapping_counts(&m, &n);
        energy_alone += (int64_t)n.energy;
    }
    while ((s->strips = fuse_next_strips(s)) && !fuse_map(s, x.t, &spec)) {}
    ck_assert_int_ge(s->strips, 1);
    ck_assert_msg(s->dram_words == want, "%lld DRAM words, expected %lld", (long long)s->dram_words, (long long)want);
    ck_assert((int64_t)s->energy < energy_alone);
    for (int i = 0; i < s->n; i++) {
        Mapping *m = &s->layer[i].mapping;
        int64_t strips = 1;
        m->problem = &s->layer[i].inner;
        ck_assert(mapping_legal(m));
        for (int k = 0; k < m->level[0].ntemporal; k++)
            if (strcmp(m->problem->dim[m->level[0].temporal[k].dim], "E") == 0) strips *= m->level[0].temporal[k].factor;
        ck_assert_int_eq(strips, s->strips);
    }
    arena_free(x.a);
}
END_TEST

/* ---- blocks for a processor: what is chosen is legal, and nothing that was offered is cheaper */
static const struct {
    const char *target;
    PanelCase k;
} panels[] = {{"x86_avx512", {16, 1, 128, 2048, 512, false}}, {"x86_avx512", {16, 4, 197, 192, 768, false}},
              {"x86_avx512", {16, 1, 1, 1000, 2048, false}},  {"x86_avx2", {8, 1, 100, 777, 3072, false}},
              {"aarch64_neon", {4, 1, 30, 50, 333, true}},    {"riscv64_v", {4, 2, 7, 5, 3, false}}};
START_TEST(test_panel_blocks) {
    Case x;
    PanelCut all[CHOICES];
    case_open(&x, panels[_i].target, &small, "DRAM[M8 C4 E6 F6 R3 S3]");
    int n = panels_best(x.t, &panels[_i].k, CHOICES, all);
    double best = 0;
    ck_assert_int_gt(n, 0);
    for (int i = 0; i < n; i++) {
        Mapping *m = panel_mapping(x.a, x.t, &panels[_i].k, &all[i]);
        double cycles = mapping_cycles(m, 0) * (all[i].chunks > 1 ? 1.01 : 1); /* chunks have to gain something */
        bool ok = mapping_check(&x.c, NO_LOC, m, NULL);
        if (!ok) diag_print_all(&x.d, false);
        ck_assert(ok);
        if (i == 0) best = cycles;
        ck_assert_msg(cycles >= best * (1 - 1e-9), "%s: %g cycles, the first one takes %g", mapping_line(x.a, m), cycles, best);
        ck_assert(cycles >= mapping_steps(m, 0));
    }
    arena_free(x.a);
}
END_TEST
/* 14 columns by 2 vectors, 64 x 9 steps: 14 cycles of multiply-adds and what a step takes beside; blocks of sums are loaded and stored. */
START_TEST(test_steps) {
    Case x;
    static const ConvShape s = {.m = 32, .c = 64, .e = 1, .f = 28, .r = 3, .s = 3};
    case_open(&x, "x86_avx512", &s, "L2[F2] L1[C64 R3 S3] regs:W,O[F14 M2 | M16x]");
    double want = 2 * (576 * (14 + x.t->step_cycles) + x.t->block_cycles + 28 / (26. / 16) + 28);
    ck_assert_msg(fabs(mapping_steps(x.m, 0) - want) < 1e-6 * want, "%g cycles, expected %g", mapping_steps(x.m, 0), want);
    arena_free(x.a);
}
END_TEST

Suite *cost_suite(void) {
    Suite *s = suite_create("cost");
    TCase *t = tcase_create("cost");
    tcase_add_test(t, test_dense_is_exact);
    tcase_add_test(t, test_gating);
    tcase_add_test(t, test_skipping);
    tcase_add_test(t, test_run_length);
    tcase_add_test(t, test_widths_and_types);
    tcase_add_test(t, test_network);
    tcase_add_loop_test(t, test_memories, 0, sizeof memories / sizeof *memories);
    tcase_add_loop_test(t, test_eyeriss_chip, 0, sizeof chip / sizeof *chip);
    tcase_add_test(t, test_pools_and_pairs);
    tcase_add_loop_test(t, test_fused, 0, sizeof stacks / sizeof *stacks);
    tcase_add_loop_test(t, test_panel_blocks, 0, sizeof panels / sizeof *panels);
    tcase_add_test(t, test_steps);
    suite_add_tcase(s, t);
    return s;
}
