/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream.c: mapping -> schedule -> nest with copies into scratchpads -> command stream -> simulator. Values must be those of
 * the naive nest under the interpreter and of a plain loop in C, bit for bit. Damaged streams end with an error code, the simulator
 * touches nothing outside its memories; the disassembly of a small stream is golden; docs/adding-an-accelerator.md is run. */
#include "codegen/stream.h"
#include "codegen/target_yaml.h"
#include "ir/ir.h"
#include "ir/sched.h"
#include "runtime/qn_sim.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
} Case;
static void case_open(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = arena_new();
    t->d.a = t->a;
    t->c = (Ctx){t->a, &t->d};
}

/* ---- a GEMM through everything */
typedef struct Gemm {
    const char *map;
    int64_t m, n, k;    /* of the matrices */
    int64_t pm, pn, pk; /* of the mapping: rounded up to its tiles */
} Gemm;
typedef struct Made {
    const Target *target;
    const Mapping *map;
    Func *naive, *mapped;
    Text stream;
} Made;
static const char *errors_of(Case *t) {
    Text s = {0};
    for (int i = 0; i < t->d.list.n; i++) diag_format(&t->d.list.v[i], &s);
    const char *r = arena_strdup(t->a, s.s ? s.s : "");
    text_free(&s);
    return r;
}
static const char *func_text(Case *t, const Func *f) {
    Text s = {0};
    func_print(f, &s);
    const char *r = arena_strdup(t->a, s.s);
    text_free(&s);
    return r;
}
static bool make(Case *t, const Target *target, const Gemm *g, Made *out) {
    memset(out, 0, sizeof *out);
    const Problem *p = problem_gemm(t->a, "gemm", g->pm, g->pn, g->pk);
    const int64_t extent[] = {g->m, g->n, g->k};
    out->target = target;
    out->map = mapping_parse(&t->c, "gemm.map", g->map, p, target);
    if (!out->map || !mapping_check(&t->c, NO_LOC, out->map, NULL)) return false;
    if (!(out->naive = stream_nest(&t->c, out->map, extent, DT_INT8, DT_INT32))) return false;
    out->mapped = func_copy(t->a, out->naive);
    const char *steps = stream_schedule(t->a, out->map);
    if (!sched_run(&t->c, out->mapped, steps) || !func_verify(&t->c, out->mapped)) {
        fprintf(stderr, "%s%s", steps, func_text(t, out->mapped));
        return false;
    }
    return stream_encode(&t->c, out->mapped, target, &out->stream);
}
static void fill(int8_t *x, int64_t n, int salt) {
    for (int64_t i = 0; i < n; i++) x[i] = (int8_t)((i * 7 + salt * 5 + i / 13) % 255 - 127);
}
/* Memories as a stream asks for them; pads are filled with rubbish. */
typedef struct Machine {
    QnSimStream s;
    void *memory[QN_SIM_LEVELS];
    uint64_t room[QN_SIM_LEVELS];
} Machine;
static void machine_open(Machine *m, const char *bytes, size_t n) {
    ck_assert_int_eq(qn_sim_open(&m->s, bytes, n), QN_SIM_OK);
    for (unsigned l = 0; l < QN_SIM_LEVELS; l++) {
        m->room[l] = l < m->s.nlevel ? m->s.level[l].bytes : 0;
        m->memory[l] = malloc(m->room[l] + 1);
        memset(m->memory[l], 0x5a, m->room[l] + 1);
    }
}
static void machine_close(Machine *m) {
    for (unsigned l = 0; l < QN_SIM_LEVELS; l++) free(m->memory[l]);
}
static void *buffer_of(Machine *m, const char *name, uint64_t bytes) {
    for (unsigned i = 0; i < m->s.nbuffer; i++) {
        if (strcmp(m->s.buffer[i].name, name) != 0) continue;
        ck_assert_uint_eq(m->s.buffer[i].bytes, bytes);
        return (char *)m->memory[0] + m->s.buffer[i].address;
    }
    ck_abort_msg("no buffer %s", name);
}
static void check_gemm(Case *t, const Target *target, const Gemm *g, QnSimStats *stats) {
    Made x;
    Machine sim;
    int64_t m = g->m, n = g->n, k = g->k;
    if (!make(t, target, g, &x)) ck_abort_msg("%s%s%s", g->map, errors_of(t), x.mapped ? func_text(t, x.mapped) : "");
    int8_t *a = NEW_ARRAY(t->a, int8_t, m * k), *b = NEW_ARRAY(t->a, int8_t, k * n);
    int32_t *want = NEW_ARRAY(t->a, int32_t, m * n), *plain = NEW_ARRAY(t->a, int32_t, m * n), *mapped = NEW_ARRAY(t->a, int32_t, m * n);
    fill(a, m * k, 1), fill(b, k * n, 2);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < k; l++) plain[i * n + j] += a[i * k + l] * b[l * n + j];
    void *param[] = {a, b, want}, *param2[] = {a, b, mapped};
    ck_assert(interp_run(&t->c, x.naive, param, NULL));
    ck_assert(interp_run(&t->c, x.mapped, param2, NULL));
    machine_open(&sim, x.stream.s, x.stream.n);
    memcpy(buffer_of(&sim, "a", (uint64_t)(m * k)), a, (size_t)(m * k));
    memcpy(buffer_of(&sim, "b", (uint64_t)(k * n)), b, (size_t)(k * n));
    int r = qn_sim_run(&sim.s, sim.memory, sim.room, 0, stats);
    ck_assert_msg(r == QN_SIM_OK, "%s\n%s", g->map, qn_sim_error(r));
    const int32_t *got = buffer_of(&sim, "c", (uint64_t)(m * n) * 4);
    ck_assert_int_eq(memcmp(plain, want, (size_t)(m * n) * 4), 0);
    ck_assert_int_eq(memcmp(mapped, want, (size_t)(m * n) * 4), 0);
    ck_assert_msg(memcmp(got, want, (size_t)(m * n) * 4) == 0, "%s%s", g->map, func_text(t, x.mapped));
    machine_close(&sim);
    text_free(&x.stream);
}

#define TILE "acc keeps C: for M 16; spread N 16 x, K 16 y\nwreg keeps B:\n"
static const Gemm gemms[] = {
    {"pad keeps A B:\n" TILE, 16, 16, 16, 16, 16, 16},
    {"DRAM: for M 2, N 2, K 2\npad keeps A B:\n" TILE, 32, 32, 32, 32, 32, 32},
    {"DRAM: for M 2, N 2, K 2\npad keeps A B:\n" TILE, 20, 17, 31, 32, 32, 32},
    {"DRAM: for N 3, M 2\npad keeps A B: for K 4\n" TILE, 19, 33, 50, 32, 48, 64},
    {"DRAM: for N 2, K 3\npad keeps A B:\nacc keeps C: for M 64; spread N 16 x, K 16 y\nwreg keeps B:\n", 37, 30, 47, 64, 32, 48},
    {"DRAM: for K 3, N 2\npad keeps A B:\nacc keeps C: for M 64; spread N 16 x, K 16 y\nwreg keeps B:\n", 37, 30, 47, 64, 32, 48},
    {"DRAM: for K 4, M 4, N 4\npad keeps A B:\n" TILE, 64, 64, 64, 64, 64, 64},
    {"DRAM: for M 2\npad keeps A B: for N 2, K 3, M 2\n" TILE, 61, 18, 35, 64, 32, 48},
    {"pad keeps A B: for K 2\nacc keeps C: for M 7; spread N 5 x, K 3 y\nwreg keeps B:\n", 7, 5, 6, 7, 5, 6},
    {"pad keeps A B:\nacc keeps C: for M 16; spread N 16 x, K 16 y\nwreg keeps B:\n", 1, 1, 1, 16, 16, 16},
    {"pad keeps A B:\nacc keeps C: for M 16; spread K 16 y\nwreg keeps B:\n", 16, 1, 9, 16, 1, 16},
    {"pad keeps A: for N 4, K 4\nacc keeps C: for M 32; spread N 16 x, K 16 y\nwreg keeps B:\n", 32, 64, 64, 32, 64, 64},
};
START_TEST(test_gemm) {
    Case t;
    case_open(&t);
    check_gemm(&t, target_load(&t.c, "toy_pad"), &gemms[_i], NULL);
    arena_free(t.a);
}
END_TEST

Suite *stream_suite(void) {
    Suite *s = suite_create("stream");
    TCase *c = tcase_create("stream");
    tcase_add_loop_test(c, test_gemm, 0, (int)(sizeof gemms / sizeof *gemms));
    suite_add_tcase(s, c);
    return s;
}
