/* SPDX-License-Identifier: Apache-2.0 */
/* test_target.c: the built-in targets load; damaged target files are refused with one located message each. */
#include "codegen/target_yaml.h"
#include "ir/ir.h"
#include "case.h"
#include <check.h>
#include <string.h>

START_TEST(test_builtins) {
    Case t;
    case_open(&t);
    int n = 0;
    const char *name, *last = "";
    for (; (name = target_builtin(t.a, n)); n++) {
        ck_assert_str_lt(last, name);
        last = name;
        Target *x = target_load(&t.c, name);
        if (!x) diag_print_all(&t.d, false), ck_abort_msg("%s does not load", name);
        ck_assert_str_eq(x->name, name);
        ck_assert_ptr_nonnull(x->about);
    }
    ck_assert_int_ge(n, 4);
    arena_free(t.a);
}
END_TEST
/* What an instruction means is loop IR; C text names the operands of the meaning and no others. */
START_TEST(test_instructions) {
    Case t;
    case_open(&t);
    int rows = 0;
    for (int n = 0; target_builtin(t.a, n); n++) {
        const Target *x = target_load(&t.c, target_builtin(t.a, n));
        ck_assert_ptr_nonnull(x);
        for (int i = 0; i < x->ninstr; i++, rows++) {
            const TargetInstr *r = &x->instr[i];
            Func *f = func_parse(&t.c, x->name, r->means);
            if (!f || !func_verify(&t.c, f)) diag_print_all(&t.d, false), ck_abort_msg("%s: %s", x->name, r->name);
            ck_assert_str_eq(f->name, r->name);
            for (const char *p = strchr(r->emit, '{'); !r->command && p; p = strchr(p + 1, '{')) {
                bool known = false;
                for (int k = 0; k < f->param.n; k++) {
                    size_t len = strlen(f->param.v[k]->name);
                    known |= strncmp(p + 1, f->param.v[k]->name, len) == 0 && p[1 + len] == '}';
                }
                ck_assert_msg(known, "%s: %s: no operand of %s", x->name, p, r->name);
            }
        }
    }
    ck_assert_int_ge(rows, 4);
    arena_free(t.a);
}
END_TEST
START_TEST(test_avx512) {
    Case t;
    case_open(&t);
    Target *x = target_load(&t.c, "x86_avx512");
    ck_assert_int_eq(target_lanes(x, 32), 16);
    ck_assert_int_eq(x->vector_regs, 32);
    int regs = target_level(x, "regs"), l1 = target_level(x, "L1");
    ck_assert_int_eq(regs, x->nlevel - 1);
    ck_assert_int_eq(x->level[regs].kind, LEVEL_REGS);
    ck_assert_int_eq(x->level[l1].words, 8192);
    ck_assert_int_eq(target_instances(x, regs), 8);
    ck_assert_int_eq(target_instances(x, x->nlevel), 128);
    ck_assert(strstr(x->attribute, "avx512f") != NULL);
    arena_free(t.a);
}
END_TEST

#define HEAD  "name: t\nlevels:\n"
#define DRAM  "  - {name: DRAM, kind: dram}\n"
#define L1(x) HEAD DRAM "  - {name: L1, kind: cache, " x "}\n"
static const struct {
    const char *text, *words;
    int line; /* -1: not known */
} refused[] = {
    {"", "", -1},
    {"{", "", -1},
    {"name: t\n", "levels", -1},
    {HEAD "  - {name: DRAM}\n", "kind", 3},
    {HEAD "  - {name: DRAM, kind: tape}\n", "tape", 3},
    {HEAD "  - {name: DRAM, kind: dram, colour: red}\n", "colour", 3},
    {HEAD "  - {name: DRAM, kind: dram}\n  - {name: L1, kind: cache, bytes: many}\n", "many", 4},
    {HEAD "  - &a {name: DRAM, kind: dram}\n  - *a\n", "", 3},
    {HEAD "  - {name: DRAM, kind: dram, words: 4}\n", "outermost level DRAM", 3},
    {L1("words: 4, keeps: [X]"), "X", 4},
    {L1("keeps: [W]"), "level L1 has no size", 4},
    {L1("words: -4"), "the size of level L1 is out of range", 4},
    {L1("words: 4, bytes: 4"), "level L1 has both", 4},
    {L1("bytes: 99999999999999999999999"), "", 4},
    {L1("words: 4, fan_out: {x: -1}"), "level L1 fans out to -1 x 1", 4},
    {L1("words: 4, fan_out: {x: 1000000, y: 1000000}"), "more than 16777216 units", 4},
    {L1("words: 4, energy: -1"), "level L1 has an energy", 4},
    {L1("words: 4, read_bandwidth: .nan"), "", 4},
    {L1("words: 4, word_bits: 5000"), "level L1 has words of", 4},
    {HEAD DRAM "  - {name: DRAM, kind: cache, words: 4}\n", "two levels are named DRAM", 4},
    {HEAD DRAM "  - {name: L 1, kind: cache, words: 4}\n", "level 1 is named \"L 1\"", 4},
    {L1("words: 4, banks: 5"), "level L1 has 5 banks", 4},
    {L1("words: 4, buffers: 3"), "level L1 has 3 buffers", 4},
    {L1("words: 4, partition: {W: 5}"), "a part of 5 words for W", 4},
    {L1("words: 4, partition: {W: -1}"), "a part of -1 words for W", 4},
    {L1("words: 4, shares: L1"), "level L1 shares the memory of 'L1'", 4},
    {L1("words: 4, shares: L2") "  - {name: L2, kind: pad, shares: L1}\n", "level L1 shares the memory of 'L2'", 4},
    {L1("words: 4") "  - {name: L2, kind: pad, shares: L1}\n", "both keep an operand", 5},
    {L1("words: 4, network: {multicast: [Q]}"), "Q", 4},
    {HEAD DRAM "sparsity: {gate: [O]}\n", "zeros of O", 1},
    {HEAD DRAM "compute: [{dtype: int8}, {dtype: int8}]\n", "int8 is there twice", 1},
    {HEAD DRAM "clock_mhz: -1\n", "clock", 1},
    {HEAD DRAM "vector: {bits: 12, registers: 4}\n", "vectors of 12 bits", 1},
    {HEAD DRAM "instructions:\n  - {name: i, means: x}\n", "instruction i: expected one of", 5},
    {HEAD DRAM "instructions:\n  - {name: i, means: x, emit: y, opcode: z}\n", "instruction i: expected one of", 5},
    {HEAD DRAM "instructions:\n  - {name: i, means: x, emit: y, cycles: -1}\n", "instruction i has a cost", 5},
    {HEAD DRAM "instructions:\n  - {name: i, means: x, emit: y}\n  - {name: i, means: x, emit: y}\n", "two instructions are named i", 6},
};
START_TEST(test_refused) {
    Case t;
    case_open(&t);
    const char *text = refused[_i].text;
    ck_assert_ptr_null(target_parse(&t.c, "t.yaml", text, strlen(text)));
    ck_assert_int_eq(t.d.errors, 1);
    const Diag *g = &t.d.list.v[0];
    ck_assert_str_eq(g->loc.file, "t.yaml");
    ck_assert_msg(strstr(g->text, refused[_i].words) != NULL, "%s\n%s", text, g->text);
    Text line = {0};
    diag_format(g, &line); /* file:line:column where the place is known */
    if (refused[_i].line >= 0) ck_assert_msg(strncmp(line.s, "t.yaml:", 7) == 0, "%s", line.s);
    text_free(&line);
    ck_assert_msg(refused[_i].line < 0 || loc_line(g->loc.index) == refused[_i].line, "%s\n%d: %s", text, (int)g->loc.index, g->text);
    arena_free(t.a);
}
END_TEST
START_TEST(test_unknown_target) {
    Case t;
    case_open(&t);
    ck_assert_ptr_null(target_load(&t.c, "x86_avx1024"));
    ck_assert_ptr_null(target_load(&t.c, "no/such/file.yaml"));
    ck_assert_int_eq(t.d.errors, 2);
    ck_assert(strstr(t.d.list.v[0].text, "x86_avx512") != NULL);
    arena_free(t.a);
}
END_TEST
/* Every prefix of a target file either loads or is refused with a message; and so does the file with one byte changed. */
START_TEST(test_damaged) {
    static const char text[] =
        HEAD DRAM "  - {name: L1, kind: pad, bytes: 4096, keeps: [W, I], fan_out: {x: 4, y: 2}, energy: 2.5}\n"
                  "vector: {bits: 128, registers: 32}\ninstructions:\n  - name: dot\n    means: |\n      func\n    emit: \"f({0})\"\n";
    for (size_t i = 0; i <= 2 * sizeof text; i++) {
        Case t;
        case_open(&t);
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        size_t n = i < sizeof text ? i : sizeof text - 1;
        if (i >= sizeof text) copy[(i * 7) % n] = "\0:{}[]-*&!|\n 0z\xff"[i % 16];
        const Target *x = target_parse(&t.c, "t.yaml", copy, n);
        ck_assert_int_eq(x == NULL, t.d.errors > 0);
        arena_free(t.a);
    }
}
END_TEST

Suite *target_suite(void) {
    Suite *s = suite_create("target");
    TCase *c = tcase_create("target");
    tcase_add_test(c, test_builtins);
    tcase_add_test(c, test_instructions);
    tcase_add_test(c, test_avx512);
    tcase_add_loop_test(c, test_refused, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(c, test_unknown_target);
    tcase_add_test(c, test_damaged);
    suite_add_tcase(s, c);
    return s;
}
