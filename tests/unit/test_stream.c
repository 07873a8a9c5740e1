/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream.c: mapping -> schedule -> nest with copies into scratchpads -> command stream -> simulator. Values must be those of
 * the naive nest under the interpreter and of a plain loop in C, bit for bit. Damaged streams end with an error code, the simulator
 * touches nothing outside its memories; the disassembly of a small stream is golden; docs/adding-an-accelerator.md is run. */
#include "codegen/stream.h"
#include "codegen/target_yaml.h"
#include "ir/ir.h"
#include "ir/sched.h"
#include "passes/cost.h"
#include "runtime/qn_sim.h"
#include "case.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed;
static uint32_t rnd(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
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

/* Random factors at random levels in random orders, ragged by a random amount; what does not fit is skipped. */
START_TEST(test_random) {
    static const char *const level[] = {"DRAM:", "pad keeps A B:", "acc keeps C:"}, dim[] = "MNK";
    int done = 0;
    for (int i = 0; i < 200; i++) {
        Case t;
        Text map = {0};
        int64_t e[3] = {1, 1, 1}, true_extent[3];
        case_open(&t);
        seed = (uint32_t)(i + 1) * 2654435761u;
        for (int l = 0; l < 3; l++) {
            int n = (int)rnd(4), last = l == 2;
            text_puts(&map, level[l]);
            for (int k = 0; k < n; k++) {
                uint32_t d = rnd(3), f = 2 + rnd(d || !last ? 3 : 20);
                text_printf(&map, "%s %c %u", k ? "," : " for", dim[d], f), e[d] *= f;
            }
            uint32_t x = 1 + rnd(16), y = 1 + rnd(16);
            if (last) text_printf(&map, "; spread N %u x, K %u y", x, y), e[1] *= x, e[2] *= y;
            text_puts(&map, "\n");
        }
        for (int d = 0; d < 3; d++) true_extent[d] = e[d] - rnd((uint32_t)(e[d] < 20 ? e[d] : 20));
        text_puts(&map, "wreg keeps B:\n");
        const Gemm g = {map.s, true_extent[0], true_extent[1], true_extent[2], e[0], e[1], e[2]};
        const Target *x = target_load(&t.c, "toy_pad");
        const Mapping *m = mapping_parse(&t.c, "gemm.map", map.s, problem_gemm(t.a, "gemm", e[0], e[1], e[2]), x);
        ck_assert_msg(m != NULL, "%s%s", map.s, errors_of(&t));
        if (mapping_legal(m) && e[0] * e[1] * e[2] < 400000) check_gemm(&t, x, &g, NULL), done++;
        text_free(&map);
        arena_free(t.a);
    }
    ck_assert_int_gt(done, 50);
}
END_TEST
/* The simulator moves as many words from and to DRAM as the mapping's cost says, if all tiles are whole. */
START_TEST(test_traffic) {
    static const Gemm whole[] = {
        {"pad keeps A B:\n" TILE, 16, 16, 16, 16, 16, 16},
        {"DRAM: for M 2, N 2, K 2\npad keeps A B:\n" TILE, 32, 32, 32, 32, 32, 32},
        {"DRAM: for N 2, M 2\npad keeps A B: for K 4\n" TILE, 32, 32, 64, 32, 32, 64},
        {"DRAM: for M 4, N 4\npad keeps A B: for K 4\n" TILE, 64, 64, 64, 64, 64, 64},
    };
    Case t;
    QnSimStats s;
    MappingCounts want;
    case_open(&t);
    const Target *x = target_load(&t.c, "toy_pad");
    const Gemm *g = &whole[_i];
    check_gemm(&t, x, g, &s);
    const Mapping *m = mapping_parse(&t.c, "gemm.map", g->map, problem_gemm(t.a, "gemm", g->m, g->n, g->k), x);
    const Problem *p = m->problem;
    mapping_counts(m, &want);
    int in = problem_tensor(p, "A"), w = problem_tensor(p, "B"), out = problem_tensor(p, "C");
    ck_assert_int_eq((int64_t)s.read[0], want.at[0][in].reads + want.at[0][w].reads);
    ck_assert_int_eq((int64_t)s.written[0], 4 * want.at[0][out].updates);
    ck_assert_int_eq((int64_t)s.written[3], want.at[3][w].fills);
    ck_assert_int_eq((int64_t)s.cycles, 16 * (int64_t)(s.written[3] / 256 + problem_macs(p) / 4096));
    arena_free(t.a);
}
END_TEST

/* A convolution is the same instruction: F are rows, C the sum, M the columns. */
START_TEST(test_conv) {
    static const char map[] = "DRAM: for M 2, E 5\npad keeps I W: for R 3, S 3\nacc keeps O: for F 6; spread M 8 x, C 4 y\nwreg keeps W:\n";
    Case t;
    Machine sim;
    Text stream = {0};
    case_open(&t);
    const Target *x = target_load(&t.c, "toy_pad");
    const Problem *p = problem_conv(t.a, "conv", &(ConvShape){.m = 16, .c = 4, .e = 5, .f = 6, .r = 3, .s = 3, .stride_f = 2});
    const Mapping *m = mapping_parse(&t.c, "conv.map", map, p, x);
    Func *f = m ? stream_nest(&t.c, m, NULL, DT_INT8, DT_INT32) : NULL, *g = f ? func_copy(t.a, f) : NULL;
    if (!f || !sched_run(&t.c, g, stream_schedule(t.a, m)) || !func_verify(&t.c, g) || !stream_encode(&t.c, g, x, &stream))
        ck_abort_msg("%s%s", errors_of(&t), g ? func_text(&t, g) : "");
    int8_t i[4 * 7 * 13], w[16 * 4 * 3 * 3];
    int32_t want[16 * 5 * 6];
    ck_assert_str_eq(f->param.v[0]->name, "w");
    ck_assert_str_eq(f->param.v[1]->name, "i");
    fill(i, sizeof i, 3), fill(w, sizeof w, 4);
    ck_assert(interp_run(&t.c, f, (void *[]){w, i, want}, NULL));
    machine_open(&sim, stream.s, stream.n);
    memcpy(buffer_of(&sim, "i", sizeof i), i, sizeof i);
    memcpy(buffer_of(&sim, "w", sizeof w), w, sizeof w);
    ck_assert_int_eq(qn_sim_run(&sim.s, sim.memory, sim.room, 0, NULL), QN_SIM_OK);
    ck_assert_int_eq(memcmp(buffer_of(&sim, "o", sizeof want), want, sizeof want), 0);
    machine_close(&sim);
    text_free(&stream);
    arena_free(t.a);
}
END_TEST

static const char *listing(Case *t, const Text *stream) {
    Text out = {0};
    if (!stream_disassemble(&t->c, stream->s, stream->n, &out)) ck_abort_msg("%s", errors_of(t));
    const char *s = arena_strndup(t->a, out.s, out.n);
    text_free(&out);
    return s;
}
/* Calls that `tensorise` made are the commands which the nests they replace are. */
START_TEST(test_tensorise) {
    static const char want[] =
        "stream version 1, 6 commands, 880 bytes\n"
        "level DRAM: 1536 bytes\nlevel pad: 65536 bytes\nlevel acc: 16384 bytes\nlevel wreg: 256 bytes\n"
        "buffer a: int8 at 0, 256 bytes\nbuffer b: int8 at 256, 256 bytes\nbuffer c: int32 at 512, 1024 bytes, written\n"
        "instruction 16 LOADW(int8, int8) up to 16 x 16: load 1, set 0; 16 cycles\n"
        "instruction 17 MATMUL(int32, int8, int8) up to 16 x 16 x 16: "
        "load 1, cast int32, load 2, cast int32, mul int32, add 0; 16 cycles\n"
        "FILL acc[0 +64 +4] <- 0x0, 16 x 16 of 4 bytes\n"
        "LOAD pad[0 +1 +16] <- DRAM[256 +1 +16], 16 x 16 of 1 byte\n"
        "LOADW wreg[0 +16 +1] <- pad[0 +16 +1], 16 x 16\n"
        "LOAD pad[256 +16 +1] <- DRAM[0 +16 +1], 16 x 16 of 1 byte\n"
        "MATMUL acc[0 +64 +4 +0] <- pad[256 +16 +0 +1] wreg[0 +0 +1 +16], 16 x 16 x 16\n"
        "STORE DRAM[512 +64 +4] <- acc[0 +64 +4], 16 x 16 of 4 bytes\nEND\n";
    Case t;
    Made x;
    Text stream = {0};
    case_open(&t);
    const Target *y = target_load(&t.c, "toy_pad");
    for (int i = 0; i < y->ninstr; i++) {
        const Func *f = func_parse(&t.c, "toy_pad", y->instr[i].means);
        ck_assert(f && sched_instr_add(y->instr[i].name, f));
    }
    ck_assert(make(&t, y, &gemms[0], &x));
    ck_assert_str_eq(listing(&t, &x.stream), want);
    if (!sched_run(&t.c, x.mapped, "tensorise m_a matmul\nreorder b_wreg_k b_wreg_n_a\ntensorise b_wreg_k load_weights\n"))
        ck_abort_msg("%s%s", errors_of(&t), func_text(&t, x.mapped));
    ck_assert_msg(strstr(func_text(&t, x.mapped), "call matmul") != NULL, "%s", func_text(&t, x.mapped));
    ck_assert_msg(stream_encode(&t.c, x.mapped, y, &stream), "%s", errors_of(&t));
    ck_assert_str_eq(listing(&t, &stream), want);
    text_free(&stream);
    text_free(&x.stream);
    arena_free(t.a);
}
END_TEST

/* ---- what is refused */
#define HEAD "name: t\nword_bits: 8\nlevels:\n  - {name: DRAM, kind: dram}\n"
#define PADS HEAD "  - {name: pad, kind: pad, bytes: 64}\n"
#define ROW(code, text)                                                                                                                    \
    "instructions:\n  - name: i\n    opcode: " code "\n    means: |\n      func i(writes x: int8[4], writes y: int8[4])\n"                 \
    "        for k in 0..4\n          " text "\n"
#define COPY                                                                                                                               \
    "func f(x: int8[8], writes y: int8[8])\n  for o in 0..2\n    alloc p_pad: pad int8[4]\n    for i in 0..4\n      p_pad[i] = x[o*4+i]\n"
static const struct {
    const char *target, *func, *words;
} refused[] = {
    {PADS, COPY "    for i in 0..4\n      y[o*4+i] = p_pad[i] + x[i]\n",
     "the store to 'y' in level DRAM is no command of target t: no instr"},
    {PADS, COPY "    for i in 0..4\n      y[o*4+i] = p_pad[i] / x[i]\n", "the value is more than loads, casts"},
    {PADS, COPY "    for i in 0..4\n      y[o*4+i] = x[i]\n", "no instruction's meaning is equal"},
    {PADS ROW("ADD", "y[k] += x[k]"), COPY "    for i in 0..4\n      y[o*4+i] += p_pad[i]\n", "i does it, but not with operands in these"},
    {PADS, "func f(writes y: int8[8])\n  alloc p: pad int8[8]\n  for i in 0..8\n    y[i] = p[i]\n", "buffer 'p' is in no memory of t"},
    {PADS, "func f(writes y: int8[8])\n  alloc p: stack int8[8]\n  for i in 0..8\n    y[i] = p[i]\n", "buffer 'p' is in no memory of t"},
    {PADS, "func f(writes y: int8[65])\n  alloc b_pad: pad int8[65]\n  for i in 0..65\n    y[i] = b_pad[i]\n",
     "has 64 bytes, needed are 65"},
    {PADS, "func f(writes y: float64[8])\n  for i in 0..8\n    y[i] = 0.0\n", "buffer 'y' is float64"},
    {PADS, "func f(n: int64[1], writes y: int8[8])\n  for i in 0..max(0, min(n[0], 8))\n    y[i] = 0\n",
     "the bounds of loop 'i' depend on data"},
    {PADS, "func f(n: int64[1], writes y: int8[8])\n  if n[0] < 3\n    y[0] = 0\n", "a condition depends on data"},
    {PADS, "func f(writes y: int8[2000000])\n  for i in 0..2000000\n    if i < 1900000\n      y[i] = 0\n", "more than 1048576 commands"},
    {PADS ROW("12", "y[k] = x[k]"), COPY, "the opcode of i is 12, expected 16 to 65535"},
    {PADS ROW("A", "y[k] = x[k] / 3"), COPY, "the meaning of i cannot be a command: the value is more"},
    {PADS ROW("A", "y[k] = 3"), COPY, "the meaning of i cannot be a command: it stores one number"},
    {PADS ROW("A", "y[k] = x[k]\n          x[k] = y[k]"), COPY, "more than one store"},
    {PADS ROW("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "y[k] = x[k]"), COPY, "has more than 23 letters"},
    {HEAD "  - {name: pad, kind: pad, bytes: 64, fan_out: {x: 2}}\n  - {name: p, kind: pad, bytes: 8}\n", COPY, "has 2 scratchpads p"},
};
START_TEST(test_refused) {
    Case t;
    Text out = {0};
    case_open(&t);
    const Target *x = target_parse(&t.c, "t.yaml", refused[_i].target, strlen(refused[_i].target));
    const Func *f = x ? func_parse(&t.c, "f.qir", refused[_i].func) : NULL;
    ck_assert_msg(f != NULL, "%s", errors_of(&t));
    ck_assert(!stream_encode(&t.c, f, x, &out));
    ck_assert_msg(t.d.errors == 1 && strstr(errors_of(&t), refused[_i].words), "%s\nexpected %s", errors_of(&t), refused[_i].words);
    ck_assert_uint_eq(out.n, 0);
    arena_free(t.a);
}
END_TEST
/* Opcodes that are numbers stay, words get those that are free; elementwise rows, floats, reductions, in pieces of 4. */
START_TEST(test_rows) {
    static const char target[] = HEAD "  - {name: pad, kind: pad, bytes: 256}\ninstructions:\n"
                                      "  - name: a\n    opcode: MAXF\n    means: |\n      func a(x: float32[4], writes y: float32[4])\n"
                                      "        for k in 0..4\n          y[k] max= x[k]\n"
                                      "  - name: b\n    opcode: 16\n    means: |\n"
                                      "      func b(x: float32[4], z: int16[4], writes y: float32[4])\n"
                                      "        for k in 0..4\n          y[k] = x[k] * float32(z[k]) - x[k]\n";
    static const char func[] = "func f(x: float32[10], z: int16[10], writes y: float32[10])\n"
                               "  alloc x_pad: pad float32[10]\n  alloc y_pad: pad float32[10]\n  alloc z_pad: pad int16[10]\n"
                               "  for i in 0..10\n    x_pad[i] = x[i]\n  for i in 0..10\n    z_pad[i] = z[i]\n"
                               "  for i in 0..10\n    y_pad[i] = x_pad[i] * float32(z_pad[i]) - x_pad[i]\n"
                               "  for i in 0..10\n    y_pad[9 - i] = max(y_pad[9 - i], x_pad[i])\n"
                               "  for i in 0..10\n    y[i] = y_pad[i]\n";
    Case t;
    Machine sim;
    Text stream = {0};
    case_open(&t);
    const Target *x = target_parse(&t.c, "t.yaml", target, strlen(target));
    const Func *f = x ? func_parse(&t.c, "f.qir", func) : NULL;
    ck_assert_msg(f && func_verify(&t.c, f) && stream_encode(&t.c, f, x, &stream), "%s", errors_of(&t));
    float in[10], want[10];
    int16_t z[10];
    for (int i = 0; i < 10; i++) in[i] = (float)(i * i) * 0.37f - 7, z[i] = (int16_t)(i * 4321 - 20000);
    ck_assert(interp_run(&t.c, f, (void *[]){in, z, want}, NULL));
    machine_open(&sim, stream.s, stream.n);
    memcpy(buffer_of(&sim, "x", sizeof in), in, sizeof in);
    memcpy(buffer_of(&sim, "z", sizeof z), z, sizeof z);
    ck_assert_int_eq(qn_sim_run(&sim.s, sim.memory, sim.room, 0, NULL), QN_SIM_OK);
    ck_assert_int_eq(memcmp(buffer_of(&sim, "y", sizeof want), want, sizeof want), 0);
    ck_assert_int_eq(sim.s.instr[0].opcode, 17);
    ck_assert_int_eq(sim.s.instr[1].opcode, 16);
    ck_assert_uint_eq(sim.s.ncommand, 2 + 3 + 3 + 1);
    machine_close(&sim);
    text_free(&stream);
    arena_free(t.a);
}
END_TEST

/* ---- damage */
enum { GUARD = 64 };
/* Memories with guards around them, as large as the undamaged stream says; the guards must survive. */
typedef struct Guarded {
    unsigned char *block[QN_SIM_LEVELS];
    uint64_t room[QN_SIM_LEVELS];
} Guarded;
static void guarded_open(Guarded *g, const QnSimStream *s) {
    for (unsigned l = 0; l < QN_SIM_LEVELS; l++) {
        g->room[l] = l < s->nlevel ? s->level[l].bytes : 0;
        g->block[l] = malloc(g->room[l] + 2 * GUARD);
        memset(g->block[l], 0xa5, g->room[l] + 2 * GUARD);
    }
}
static int run_guarded(Guarded *g, const unsigned char *bytes, size_t n, uint64_t budget, QnSimStats *stats) {
    void *memory[QN_SIM_LEVELS];
    QnSimStream s;
    memset(stats, 0, sizeof *stats);
    int r = qn_sim_open(&s, bytes, n);
    if (r) return r;
    for (int l = 0; l < QN_SIM_LEVELS; l++) memory[l] = g->block[l] + GUARD;
    r = qn_sim_run(&s, memory, g->room, budget, stats);
    bool whole = true; /* one assertion: each costs a system call */
    for (int l = 0; l < QN_SIM_LEVELS; l++)
        for (uint64_t i = 0; i < GUARD; i++) whole &= g->block[l][i] == 0xa5 && g->block[l][GUARD + g->room[l] + i] == 0xa5;
    ck_assert(whole);
    return r;
}
START_TEST(test_damaged) {
    Case t;
    Made x;
    QnSimStats stats;
    QnSimStream s;
    int seen[QN_SIM_RESULTS] = {0};
    Guarded g;
    case_open(&t);
    ck_assert(make(&t, target_load(&t.c, "toy_pad"), &gemms[2], &x));
    ck_assert_int_eq(qn_sim_open(&s, x.stream.s, x.stream.n), QN_SIM_OK);
    guarded_open(&g, &s);
    for (size_t n = 0; n < x.stream.n; n++) { /* cut short; exactly as many bytes, for tools that watch memory */
        unsigned char *copy = malloc(n + 1);
        memcpy(copy, x.stream.s, n);
        ck_assert_int_eq(run_guarded(&g, copy, n, 0, &stats), QN_SIM_E_SHORT);
        free(copy);
    }
    ck_assert_int_eq(run_guarded(&g, (const unsigned char *)x.stream.s, x.stream.n, 0, &stats), QN_SIM_OK);
    const uint64_t work = stats.points;
    unsigned char *copy = malloc(x.stream.n);
    seed = 12345;
    for (int i = 0; i < 8000; i++) {
        static const unsigned char extreme[] = {0, 1, 2, 3, 4, 0x7f, 0x80, 0xff};
        memcpy(copy, x.stream.s, x.stream.n);
        for (uint32_t k = rnd(3) + 1; k > 0; k--) {
            size_t at = i % 3 ? rnd((uint32_t)x.stream.n) : rnd((uint32_t)s.start + 64);
            copy[at] = rnd(2) ? extreme[rnd(sizeof extreme)] : (unsigned char)(copy[at] ^ 1u << rnd(8));
        }
        seen[run_guarded(&g, copy, x.stream.n, work, &stats)]++;
        if (i % 10) continue;
        Text text = {0};
        Case u;
        case_open(&u);
        ck_assert_int_eq(stream_disassemble(&u.c, copy, x.stream.n, &text), u.d.errors == 0);
        text_free(&text);
        arena_free(u.a);
    }
    for (int r = 0; r < QN_SIM_RESULTS; r++) ck_assert_msg(seen[r] > 0, "no damage gives: %s", qn_sim_error(r));
    for (int l = 0; l < QN_SIM_LEVELS; l++) free(g.block[l]);
    free(copy);
    text_free(&x.stream);
    arena_free(t.a);
}
END_TEST

/* ---- docs/adding-an-accelerator.md */
static bool gemm_stream(Ctx *c, const Target *t, const char *map, Text *stream) {
    const int64_t extent[] = {6, 4, 7};
    const Mapping *m = mapping_parse(c, "gemm.map", map, problem_gemm(c->a, "gemm", 8, 4, 8), t);
    Func *f = m && mapping_check(c, NO_LOC, m, NULL) ? stream_nest(c, m, extent, DT_INT8, DT_INT32) : NULL;
    return f && sched_run(c, f, stream_schedule(c->a, m)) && func_verify(c, f) && stream_encode(c, f, t, stream);
}
static int run_stream(const void *stream, size_t bytes, void *dram, uint64_t dram_bytes) {
    static unsigned char pads[QN_SIM_LEVELS][1 << 16];
    void *memory[QN_SIM_LEVELS] = {dram};
    uint64_t room[QN_SIM_LEVELS] = {dram_bytes};
    QnSimStream s;
    int r = qn_sim_open(&s, stream, bytes);
    for (int l = 1; l < QN_SIM_LEVELS; l++) memory[l] = pads[l], room[l] = sizeof pads[l];
    return r ? r : qn_sim_run(&s, memory, room, 0, NULL);
}
static char *file_text(Case *t, const char *path) {
    size_t n;
    char *bytes = file_read_whole(&t->c, path, 1 << 20, &n);
    ck_assert_ptr_nonnull(bytes);
    return arena_strndup(t->a, bytes, n);
}
/* The k-th block of a language. */
static const char *block_of(Case *t, const char *doc, const char *language, int k) {
    const char *fence = arena_printf(t->a, "\n```%s\n", language), *s = doc;
    for (int i = 0; s && i <= k; i++)
        if ((s = strstr(s, fence))) s += strlen(fence);
    ck_assert_msg(s != NULL, "no block %s %d", language, k);
    return arena_strndup(t->a, s, (size_t)(strstr(s, "\n```\n") + 1 - s));
}
START_TEST(test_document) {
    Case t;
    Text stream = {0};
    case_open(&t);
    const char *doc = file_text(&t, QUERN_SOURCE_DIR "/docs/adding-an-accelerator.md");
    const char *own = file_text(&t, QUERN_SOURCE_DIR "/tests/unit/test_stream.c");
    const char *yaml = block_of(&t, doc, "yaml", 0), *map = block_of(&t, doc, "mapping", 0);
    const Target *x = target_parse(&t.c, "tile4.yaml", yaml, strlen(yaml));
    if (!x || !gemm_stream(&t.c, x, map, &stream)) ck_abort_msg("%s", errors_of(&t));
    const Mapping *m = mapping_parse(&t.c, "gemm.map", map, problem_gemm(t.a, "gemm", 8, 4, 8), x);
    ck_assert_str_eq(stream_schedule(t.a, m), block_of(&t, doc, "schedule", 0));
    ck_assert_str_eq(listing(&t, &stream), block_of(&t, doc, "text", 0));
    ck_assert_msg(strstr(own, block_of(&t, doc, "c", 0)) != NULL, "the C block is not in test_stream.c");
    unsigned char dram[1024] = {0};
    fill((int8_t *)dram, 42, 1), fill((int8_t *)dram + 64, 28, 2);
    ck_assert_int_eq(run_stream(stream.s, stream.n, dram, sizeof dram), QN_SIM_OK);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++) {
            int32_t want = 0, got;
            for (int k = 0; k < 7; k++) want += (int8_t)dram[i * 7 + k] * (int8_t)dram[64 + k * 4 + j];
            memcpy(&got, dram + 128 + (i * 4 + j) * 4, 4);
            ck_assert_int_eq(got, want);
        }
    text_free(&stream);
    arena_free(t.a);
}
END_TEST

Suite *stream_suite(void) {
    Suite *s = suite_create("stream");
    TCase *c = tcase_create("stream");
    tcase_add_loop_test(c, test_gemm, 0, (int)(sizeof gemms / sizeof *gemms));
    tcase_add_test(c, test_random);
    tcase_add_loop_test(c, test_traffic, 0, 4);
    tcase_add_test(c, test_conv);
    tcase_add_test(c, test_tensorise);
    tcase_add_loop_test(c, test_refused, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(c, test_rows);
    tcase_add_test(c, test_damaged);
    tcase_add_test(c, test_document);
    suite_add_tcase(s, c);
    return s;
}
