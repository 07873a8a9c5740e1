/* SPDX-License-Identifier: 0BSD */
/* qn_sim.c: reads and runs command streams (qn_sim.h says what they look like). A stream is not trusted: tables are checked once,
 * each command before it runs, so that what runs needs no test inside its loops. Assumes 8-bit bytes and two's complement.
 *   LOAD pad[0 +4 +1] <- DRAM[64 +10 +1], 4 x 4 of 1 byte   --->   pad[0..16) holds a 4 x 4 tile of a matrix with 10 columns
 */
#include "qn_sim.h"
#include <string.h>

static const char *const errors[QN_SIM_RESULTS] = {"done",
                                                   "the stream ends too early",
                                                   "this is no command stream",
                                                   "the stream has another version",
                                                   "a level or a buffer of the stream is wrong",
                                                   "an instruction of the stream is wrong",
                                                   "a command has an unknown opcode",
                                                   "a command is malformed",
                                                   "a command reaches outside a memory",
                                                   "a memory is smaller than the stream needs",
                                                   "the stream does more work than is allowed"};
static const unsigned char type_bytes[QN_SIM_TYPES] = {1, 1, 2, 2, 4, 4, 8, 4};

const char *qn_sim_error(int result) { return result < 0 || result >= QN_SIM_RESULTS ? "unknown result" : errors[result]; }
unsigned qn_sim_type_bytes(unsigned type) { return type < QN_SIM_TYPES ? type_bytes[type] : 0; }

/* ---- reading */
static uint64_t get(const unsigned char *p, int n) {
    uint64_t x = 0;
    while (n--) x = x << 8 | p[n];
    return x;
}
static uint16_t get16(const unsigned char *p) { return (uint16_t)get(p, 2); }
static uint32_t get32(const unsigned char *p) { return (uint32_t)get(p, 4); }
static int32_t get_i32(const unsigned char *p) {
    uint32_t x = get32(p);
    return x <= INT32_MAX ? (int32_t)x : (int32_t)(x - 0x80000000u) + INT32_MIN;
}
static size_t round8(size_t n) { return (n + 7) & ~(size_t)7; }

/* A name ends with a NUL and has no control characters. */
static int get_name(char *out, const unsigned char *p) {
    memcpy(out, p, QN_SIM_NAME);
    for (int i = 0; i < QN_SIM_NAME; i++) {
        if (!p[i]) return i > 0;
        if (p[i] <= ' ' || p[i] > '~') return 0;
    }
    return 0;
}
/* Types agree and the stack neither under- nor overflows: one value of operand 0's type is left. */
static int check_code(const QnSimInstr *x) {
    unsigned char stack[QN_SIM_STACK];
    int n = 0;
    for (int i = 0; i < x->ncode; i += 2) {
        unsigned op = x->code[i], arg = x->code[i + 1];
        if (op >= QN_SIM_OPS) return 0;
        if (op == QN_SIM_OP_LOAD) {
            if (arg >= x->nop || n == QN_SIM_STACK) return 0;
            stack[n++] = x->type[arg];
        } else if (op == QN_SIM_OP_CAST) {
            if (arg >= QN_SIM_TYPES || n < 1) return 0;
            stack[n - 1] = (unsigned char)arg;
        } else {
            if (n < 2 || stack[n - 1] != arg || stack[n - 2] != arg) return 0;
            n--;
        }
    }
    return n == 1 && stack[0] == x->type[0];
}
static int read_instr(QnSimInstr *x, const unsigned char *p, size_t room, size_t *used) {
    if (room < QN_SIM_INSTR) return QN_SIM_E_SHORT;
    memset(x, 0, sizeof *x);
    x->opcode = get16(p), x->nloop = p[2], x->nop = p[3], x->red = p[4], x->ncode = p[5], x->cycles = get16(p + 6);
    if (x->opcode < QN_SIM_FIRST_INSTR || x->nloop > QN_SIM_LOOPS || x->nop < 1 || x->nop > QN_SIM_OPERANDS || x->red >= QN_SIM_REDS ||
        x->ncode > QN_SIM_CODE || x->ncode % 2 || !get_name(x->name, p + 8))
        return QN_SIM_E_INSTR;
    *used = round8(QN_SIM_INSTR + 4u * x->nloop + x->nop + x->ncode);
    if (room < *used) return QN_SIM_E_SHORT;
    p += QN_SIM_INSTR;
    for (int i = 0; i < x->nloop; i++, p += 4) {
        x->most[i] = get32(p);
        if (!x->most[i]) return QN_SIM_E_INSTR;
    }
    for (int i = 0; i < x->nop; i++) {
        x->type[i] = *p++;
        if (x->type[i] >= QN_SIM_TYPES) return QN_SIM_E_INSTR;
    }
    memcpy(x->code, p, x->ncode);
    return check_code(x) ? QN_SIM_OK : QN_SIM_E_INSTR;
}
static int read_tables(QnSimStream *s, size_t *at) {
    const unsigned char *p = s->bytes;
    for (unsigned i = 0; i < s->nlevel; i++, *at += QN_SIM_LEVEL) {
        if (s->size - *at < QN_SIM_LEVEL) return QN_SIM_E_SHORT;
        s->level[i].bytes = get(p + *at + QN_SIM_NAME, 8);
        if (!get_name(s->level[i].name, p + *at) || s->level[i].bytes > (uint64_t)1 << 48) return QN_SIM_E_TABLE;
    }
    for (unsigned i = 0; i < s->nbuffer; i++, *at += QN_SIM_BUFFER) {
        QnSimBuffer *b = &s->buffer[i];
        if (s->size - *at < QN_SIM_BUFFER) return QN_SIM_E_SHORT;
        const unsigned char *q = p + *at + QN_SIM_NAME;
        b->address = get(q, 8), b->bytes = get(q + 8, 8), b->type = q[16], b->flags = q[17];
        if (!get_name(b->name, p + *at) || b->type >= QN_SIM_TYPES || b->flags > 3) return QN_SIM_E_TABLE;
        if (b->bytes > s->level[0].bytes || b->address > s->level[0].bytes - b->bytes) return QN_SIM_E_TABLE;
    }
    for (unsigned i = 0; i < s->ninstr; i++) {
        size_t used = 0;
        int r = read_instr(&s->instr[i], p + *at, s->size - *at, &used);
        if (r) return r;
        for (unsigned k = 0; k < i; k++)
            if (s->instr[k].opcode == s->instr[i].opcode) return QN_SIM_E_INSTR;
        *at += used;
    }
    return QN_SIM_OK;
}
int qn_sim_open(QnSimStream *s, const void *bytes, size_t size) {
    const unsigned char *p = bytes;
    memset(s, 0, sizeof *s);
    if (size < QN_SIM_HEADER) return QN_SIM_E_SHORT;
    if (memcmp(p, "QNST", 4) != 0) return QN_SIM_E_MAGIC;
    if (get16(p + 4) != QN_SIM_VERSION) return QN_SIM_E_VERSION;
    uint64_t total = get(p + 16, 8), start = get(p + 24, 8);
    if (total > size) return QN_SIM_E_SHORT;
    s->bytes = p, s->size = (size_t)total;
    s->nlevel = get16(p + 6), s->nbuffer = get16(p + 8), s->ninstr = get16(p + 10), s->ncommand = get32(p + 12);
    if (s->nlevel < 1 || s->nlevel > QN_SIM_LEVELS || s->nbuffer > QN_SIM_BUFFERS || s->ninstr > QN_SIM_INSTRS) return QN_SIM_E_TABLE;
    if (total < QN_SIM_HEADER || total % 8) return QN_SIM_E_TABLE;
    size_t at = QN_SIM_HEADER;
    int r = read_tables(s, &at);
    if (r) return r;
    if (start != at) return QN_SIM_E_TABLE;
    s->start = at;
    return QN_SIM_OK;
}

/* ---- checking a command */
/* The bytes an operand touches lie in its level. Sizes are at most 2^24 and strides 2^31, so sums stay far below 2^63. */
static int in_bounds(const QnSimStream *s, const QnSimCommand *c, const QnSimOperand *o, unsigned bytes) {
    int64_t lo, hi;
    if (o->address > s->level[o->level].bytes) return 0;
    lo = hi = (int64_t)o->address;
    for (int i = 0; i < c->nloop; i++) {
        int64_t reach = (int64_t)(c->size[i] - 1) * o->stride[i];
        if (reach < 0) lo += reach;
        else hi += reach;
    }
    return lo >= 0 && hi + bytes <= (int64_t)s->level[o->level].bytes;
}
/* Which levels a copy or fill may join: a LOAD goes from DRAM to a pad, a STORE back. */
static int check_form(QnSimCommand *c) {
    const QnSimOperand *o = c->operand;
    if (c->opcode == QN_SIM_END) return c->nop == 0 && c->nloop == 0 && !c->element && !c->value;
    if (c->instr) return c->nop == c->instr->nop && c->nloop == c->instr->nloop && !c->element && !c->value;
    if (c->element != 1 && c->element != 2 && c->element != 4 && c->element != 8) return 0;
    if (c->opcode == QN_SIM_FILL) return c->nop == 1;
    if (c->nop != 2 || c->value) return 0;
    return c->opcode == QN_SIM_LOAD ? o[0].level > 0 && o[1].level == 0 : o[0].level == 0 && o[1].level > 0;
}
int qn_sim_next(const QnSimStream *s, size_t *at, QnSimCommand *c) {
    memset(c, 0, sizeof *c);
    if (*at > s->size || s->size - *at < QN_SIM_COMMAND) return QN_SIM_E_SHORT;
    const unsigned char *p = s->bytes + *at, *q = p + QN_SIM_COMMAND;
    c->opcode = get16(p), c->nloop = p[4], c->nop = p[5], c->element = get16(p + 6), c->value = get(p + 8, 8);
    size_t words = get16(p + 2), need;
    for (unsigned i = 0; i < s->ninstr && !c->instr; i++)
        if (s->instr[i].opcode == c->opcode) c->instr = &s->instr[i];
    if (!c->instr && c->opcode > QN_SIM_FILL) return QN_SIM_E_OPCODE;
    if (c->nloop > QN_SIM_LOOPS || c->nop > QN_SIM_OPERANDS) return QN_SIM_E_COMMAND;
    need = round8(QN_SIM_COMMAND + 4u * c->nloop + c->nop * (16u + 4u * c->nloop));
    if (words * 4 != need) return QN_SIM_E_COMMAND;
    if (s->size - *at < need) return QN_SIM_E_SHORT;
    for (int i = 0; i < c->nloop; i++, q += 4) {
        c->size[i] = get32(q);
        if (c->size[i] < 1 || c->size[i] > 1u << 24 || (c->instr && c->size[i] > c->instr->most[i])) return QN_SIM_E_COMMAND;
    }
    for (int k = 0; k < c->nop; k++) {
        QnSimOperand *o = &c->operand[k];
        o->level = get32(q), o->address = get(q + 8, 8);
        if (o->level >= s->nlevel || get32(q + 4)) return QN_SIM_E_COMMAND;
        if (c->instr && o->level == 0) return QN_SIM_E_COMMAND; /* instructions work on pads only */
        q += 16;
        for (int i = 0; i < c->nloop; i++, q += 4) o->stride[i] = get_i32(q);
    }
    if (!check_form(c)) return QN_SIM_E_COMMAND;
    for (int k = 0; k < c->nop; k++)
        if (!in_bounds(s, c, &c->operand[k], c->instr ? type_bytes[c->instr->type[k]] : c->element)) return QN_SIM_E_BOUNDS;
    *at += need;
    return QN_SIM_OK;
}

/* ---- values: integers of any width in i, floats in f */
typedef struct Value {
    int64_t i;
    float f;
} Value;

static int64_t wrap(unsigned type, uint64_t x) {
    uint64_t half = (uint64_t)1 << (type_bytes[type] * 8 - 1), mask = half | (half - 1);
    x &= mask;
    if (type == QN_SIM_U8 || type == QN_SIM_U16 || type == QN_SIM_U32 || x < half) return (int64_t)x;
    return -(int64_t)(mask - x) - 1;
}
static Value load(unsigned type, const unsigned char *p) {
    Value v = {0, 0};
    uint8_t b1;
    uint16_t b2;
    uint32_t b4;
    uint64_t b8;
    if (type == QN_SIM_F32) memcpy(&v.f, p, 4);
    else if (type_bytes[type] == 1) memcpy(&b1, p, 1), v.i = wrap(type, b1);
    else if (type_bytes[type] == 2) memcpy(&b2, p, 2), v.i = wrap(type, b2);
    else if (type_bytes[type] == 4) memcpy(&b4, p, 4), v.i = wrap(type, b4);
    else memcpy(&b8, p, 8), v.i = wrap(type, b8);
    return v;
}
static void store(unsigned type, unsigned char *p, Value v) {
    uint8_t b1 = (uint8_t)v.i;
    uint16_t b2 = (uint16_t)v.i;
    uint32_t b4 = (uint32_t)v.i;
    uint64_t b8 = (uint64_t)v.i;
    if (type == QN_SIM_F32) memcpy(p, &v.f, 4);
    else if (type_bytes[type] == 1) memcpy(p, &b1, 1);
    else if (type_bytes[type] == 2) memcpy(p, &b2, 2);
    else if (type_bytes[type] == 4) memcpy(p, &b4, 4);
    else memcpy(p, &b8, 8);
}
/* A float becomes an integer by truncation, limited to the type; not-a-number is 0. */
static int64_t truncated(unsigned type, float f) {
    int is_unsigned = type == QN_SIM_U8 || type == QN_SIM_U16 || type == QN_SIM_U32, bits = (int)type_bytes[type] * 8 - !is_unsigned;
    int64_t most = bits == 63 ? INT64_MAX : (int64_t)(((uint64_t)1 << bits) - 1), least = is_unsigned ? 0 : -most - 1;
    if (f != f) return 0;
    if (f >= (float)most) return most; /* (float)most is most or the power of two above it */
    if (f <= (float)least) return least;
    return (int64_t)f;
}
static Value cast(unsigned from, unsigned to, Value v) {
    if (to == QN_SIM_F32) {
        if (from != QN_SIM_F32) v.f = (float)v.i;
    } else v.i = from == QN_SIM_F32 ? truncated(to, v.f) : wrap(to, (uint64_t)v.i);
    return v;
}
static Value binary(unsigned op, unsigned type, Value a, Value b) {
    uint64_t x = (uint64_t)a.i, y = (uint64_t)b.i;
    if (op == QN_SIM_OP_MIN || op == QN_SIM_OP_MAX) {
        Value small = op == QN_SIM_OP_MIN ? b : a, large = op == QN_SIM_OP_MIN ? a : b;
        return (type == QN_SIM_F32 ? small.f < large.f : small.i < large.i) ? b : a;
    }
    if (type == QN_SIM_F32) a.f = op == QN_SIM_OP_ADD ? a.f + b.f : op == QN_SIM_OP_SUB ? a.f - b.f : a.f * b.f;
    else a.i = wrap(type, op == QN_SIM_OP_ADD ? x + y : op == QN_SIM_OP_SUB ? x - y : x * y);
    return a;
}

/* ---- running */
static void point(const QnSimInstr *x, unsigned char *const *p) {
    static const unsigned char red_op[QN_SIM_REDS] = {0, QN_SIM_OP_ADD, QN_SIM_OP_MIN, QN_SIM_OP_MAX};
    Value stack[QN_SIM_STACK];
    unsigned char type[QN_SIM_STACK];
    int n = 0;
    for (int i = 0; i < x->ncode; i += 2) {
        unsigned op = x->code[i], arg = x->code[i + 1];
        if (op == QN_SIM_OP_LOAD) type[n] = x->type[arg], stack[n] = load(type[n], p[arg]), n++;
        else if (op == QN_SIM_OP_CAST) stack[n - 1] = cast(type[n - 1], arg, stack[n - 1]), type[n - 1] = (unsigned char)arg;
        else n--, stack[n - 1] = binary(op, arg, stack[n - 1], stack[n]);
    }
    if (x->red) stack[0] = binary(red_op[x->red], x->type[0], load(x->type[0], p[0]), stack[0]);
    store(x->type[0], p[0], stack[0]);
}
static void execute(const QnSimCommand *c, void *const *memory) {
    unsigned char *base[QN_SIM_OPERANDS] = {0}, *p[QN_SIM_OPERANDS] = {0}, value[8];
    uint32_t at[QN_SIM_LOOPS] = {0};
    Value fill = {wrap(QN_SIM_I64, c->value), 0};
    int i;
    if (c->opcode == QN_SIM_FILL)
        store(c->element == 1 ? QN_SIM_U8 : c->element == 2 ? QN_SIM_U16 : c->element == 4 ? QN_SIM_U32 : QN_SIM_I64, value, fill);
    for (int k = 0; k < c->nop; k++) base[k] = (unsigned char *)memory[c->operand[k].level] + c->operand[k].address;
    do {
        for (int k = 0; k < c->nop; k++) {
            int64_t off = 0;
            for (i = 0; i < c->nloop; i++) off += (int64_t)at[i] * c->operand[k].stride[i];
            p[k] = base[k] + off;
        }
        if (c->instr) point(c->instr, p);
        else if (c->opcode == QN_SIM_FILL) memcpy(p[0], value, c->element);
        else memmove(p[0], p[1], c->element);
        for (i = c->nloop - 1; i >= 0 && ++at[i] == c->size[i]; i--) at[i] = 0;
    } while (i >= 0);
}
/* Elements of an operand: loops that do not move it read the same one again. */
static uint64_t touched(const QnSimCommand *c, int k) {
    uint64_t n = c->instr ? type_bytes[c->instr->type[k]] : c->element;
    for (int i = 0; i < c->nloop; i++)
        if (c->operand[k].stride[i]) n *= c->size[i];
    return n;
}
static void count(QnSimStats *s, const QnSimCommand *c, uint64_t points) {
    s->commands++, s->points += points;
    if (c->instr) s->cycles += c->instr->cycles;
    for (int k = 0; k < c->nop; k++) {
        int read = k > 0 || (c->instr && c->instr->red);
        if (k == 0) s->written[c->operand[0].level] += touched(c, 0);
        if (read) s->read[c->operand[k].level] += touched(c, k);
    }
}
int qn_sim_run(const QnSimStream *s, void *const *memory, const uint64_t *room, uint64_t budget, QnSimStats *stats) {
    QnSimStats own;
    QnSimCommand c;
    size_t at = s->start;
    if (!stats) stats = &own;
    memset(stats, 0, sizeof *stats);
    if (!budget) budget = UINT64_MAX;
    for (unsigned l = 0; l < s->nlevel; l++)
        if (room[l] < s->level[l].bytes || (s->level[l].bytes && !memory[l])) return QN_SIM_E_MEMORY;
    for (;;) {
        uint64_t points = 1;
        stats->at = at;
        int r = qn_sim_next(s, &at, &c);
        if (r) return r;
        if (c.opcode == QN_SIM_END) break;
        if (stats->commands == s->ncommand) return QN_SIM_E_COMMAND;
        for (int i = 0; i < c.nloop; i++) { /* sizes are at most 2^24: no product overflows before it is refused */
            points *= c.size[i];
            if (points > budget - stats->points || points > (uint64_t)1 << 36) return QN_SIM_E_BUDGET;
        }
        if (points > budget - stats->points) return QN_SIM_E_BUDGET;
        execute(&c, memory);
        count(stats, &c, points);
    }
    return stats->commands == s->ncommand && at == s->size ? QN_SIM_OK : QN_SIM_E_COMMAND;
}
