/* SPDX-License-Identifier: Apache-2.0 */
/* stream_text.c: command streams as text, with the reader of the simulator: what it refuses ends the listing with an error.
 *   LOAD   pad[0 +16 +1] <- DRAM[64 +40 +1], 16 x 16 of 1 byte
 *   MATMUL acc[0 +64 +4 +0] <- pad[0 +16 +0 +1] wreg[0 +0 +1 +16], 16 x 16 x 16
 */
#include "codegen/stream.h"
#include "runtime/qn_sim.h"

static const char *const type_name[QN_SIM_TYPES] = {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32"};

static void put_code(const QnSimInstr *x, Text *out) {
    static const char *const op_name[QN_SIM_OPS] = {"load", "cast", "add", "sub", "mul", "min", "max"};
    static const char *const red_name[QN_SIM_REDS] = {"set", "add", "min", "max"};
    for (int i = 0; i < x->ncode; i += 2) {
        text_printf(out, " %s ", op_name[x->code[i]]);
        if (x->code[i] == QN_SIM_OP_LOAD) text_printf(out, "%d,", x->code[i + 1]);
        else text_printf(out, "%s,", type_name[x->code[i + 1]]);
    }
    text_printf(out, " %s 0", red_name[x->red]);
}
static void put_tables(const QnSimStream *s, Text *out) {
    text_printf(out, "stream version %d, %u commands, %zu bytes\n", QN_SIM_VERSION, s->ncommand, s->size);
    for (unsigned i = 0; i < s->nlevel; i++)
        text_printf(out, "level %s: %llu bytes\n", s->level[i].name, (unsigned long long)s->level[i].bytes);
    for (unsigned i = 0; i < s->nbuffer; i++) {
        const QnSimBuffer *b = &s->buffer[i];
        text_printf(out, "buffer %s: %s at %llu, %llu bytes%s\n", b->name, type_name[b->type], (unsigned long long)b->address,
                    (unsigned long long)b->bytes, b->flags & 2 ? ", written" : "");
    }
    for (unsigned i = 0; i < s->ninstr; i++) {
        const QnSimInstr *x = &s->instr[i];
        text_printf(out, "instruction %u %s(", x->opcode, x->name);
        for (int k = 0; k < x->nop; k++) text_printf(out, "%s%s", k ? ", " : "", type_name[x->type[k]]);
        text_puts(out, ")");
        for (int k = 0; k < x->nloop; k++) text_printf(out, "%s%u", k ? " x " : " up to ", x->most[k]);
        text_puts(out, ":"), put_code(x, out);
        text_printf(out, "; %u cycles\n", x->cycles);
    }
}
static void put_operand(const QnSimStream *s, const QnSimCommand *c, int k, Text *out) {
    const QnSimOperand *o = &c->operand[k];
    text_printf(out, " %s[%llu", s->level[o->level].name, (unsigned long long)o->address);
    for (int i = 0; i < c->nloop; i++) text_printf(out, " %+d", o->stride[i]);
    text_puts(out, "]");
}
static void put_command(const QnSimStream *s, const QnSimCommand *c, Text *out) {
    static const char *const name[] = {"END", "LOAD", "STORE", "FILL"};
    text_puts(out, c->instr ? c->instr->name : name[c->opcode]);
    for (int k = 0; k < c->nop; k++) {
        if (k == 1) text_puts(out, " <-");
        put_operand(s, c, k, out);
    }
    if (c->opcode == QN_SIM_FILL) text_printf(out, " <- 0x%llx", (unsigned long long)c->value);
    for (int i = 0; i < c->nloop; i++) text_printf(out, "%s%u", i ? " x " : ", ", c->size[i]);
    if (c->element) text_printf(out, " of %u byte%s", c->element, c->element > 1 ? "s" : "");
    text_puts(out, "\n");
}
bool stream_disassemble(Ctx *c, const void *stream, size_t bytes, Text *out) {
    QnSimStream *s = NEW(c->a, QnSimStream);
    QnSimCommand x;
    int r = qn_sim_open(s, stream, bytes);
    size_t at = s->start;
    if (r) return diag_error(c->d, NO_LOC, "%s", qn_sim_error(r));
    put_tables(s, out);
    do {
        r = qn_sim_next(s, &at, &x);
        if (r) return diag_error(c->d, NO_LOC, "at byte %zu: %s", at, qn_sim_error(r));
        put_command(s, &x, out);
    } while (x.opcode != QN_SIM_END);
    return true;
}
