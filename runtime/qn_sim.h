/* SPDX-License-Identifier: 0BSD */
/* qn_sim.h: a command stream of an accelerator, and the simulator that runs it. Stands alone: C99, no allocation, no I/O.
 *
 * A stream is bytes, all numbers little-endian:
 *   header (32)     "QNST", u16 version, u16 levels, u16 buffers, u16 instructions, u32 commands, u64 bytes in all, u64 where
 *                   the commands start
 *   level (32)      name[24], u64 bytes; level 0 is the memory outside (DRAM), the others are scratchpads
 *   buffer (48)     name[24], u64 address in DRAM, u64 bytes, u8 type, u8 flags (1: read, 2: written), 6 zero bytes
 *   instruction     what a command computes on each point of its loops, see below: padded to 8 bytes
 *   commands        one after the other, the last is END
 * A command:        u16 opcode, u16 words (of 4 bytes, of the whole command), u8 loops, u8 operands, u16 element bytes (copies and
 *                   fills; else 0), u64 value (fills; else 0), u32 size[loops], and for each operand u32 level, u32 0, u64 address,
 *                   i32 stride[loops], in bytes; padded to 8 bytes. Operand 0 is written.
 *   LOAD   pad[0 +16 +1] <- DRAM[64 +40 +1], 16 x 16 of 1 byte   is   opcode 1, two loops, two operands
 * An instruction:   u16 opcode, u8 loops, u8 operands, u8 reduction, u8 code bytes, u16 cycles, name[24], u32 most[loops] (the
 *                   largest size of each loop), u8 type[operands], u8 code[…]: the value in postfix, an operation and its operand
 *                   a byte each: what it computes is stored in operand 0, or added to it, ….
 *   acc += int32(x) * int32(w)   is   reduction ADD, code LOAD 1, CAST I32, LOAD 2, CAST I32, MUL I32
 */
#ifndef QN_SIM_H
#define QN_SIM_H
#include <stddef.h>
#include <stdint.h>

enum {
    QN_SIM_VERSION = 1,
    QN_SIM_LEVELS = 8,
    QN_SIM_BUFFERS = 64,
    QN_SIM_INSTRS = 64,
    QN_SIM_LOOPS = 6,
    QN_SIM_OPERANDS = 4,
    QN_SIM_CODE = 64, /* bytes of an instruction's code */
    QN_SIM_STACK = 8,
    QN_SIM_NAME = 24, /* with the NUL */
    QN_SIM_HEADER = 32,
    QN_SIM_LEVEL = 32,
    QN_SIM_BUFFER = 48,
    QN_SIM_INSTR = 32,  /* without sizes, types and code */
    QN_SIM_COMMAND = 16 /* without sizes and operands */
};
enum { QN_SIM_END, QN_SIM_LOAD, QN_SIM_STORE, QN_SIM_FILL, QN_SIM_FIRST_INSTR = 16 }; /* opcodes */
enum { QN_SIM_I8, QN_SIM_U8, QN_SIM_I16, QN_SIM_U16, QN_SIM_I32, QN_SIM_U32, QN_SIM_I64, QN_SIM_F32, QN_SIM_TYPES };
enum { QN_SIM_SET, QN_SIM_RED_ADD, QN_SIM_RED_MIN, QN_SIM_RED_MAX, QN_SIM_REDS }; /* reductions */
/* Operations of the code, each followed by a byte: the operand of a LOAD, else the type of the result. */
enum { QN_SIM_OP_LOAD, QN_SIM_OP_CAST, QN_SIM_OP_ADD, QN_SIM_OP_SUB, QN_SIM_OP_MUL, QN_SIM_OP_MIN, QN_SIM_OP_MAX, QN_SIM_OPS };

enum { /* results; 0 is done */
       QN_SIM_OK,
       QN_SIM_E_SHORT,   /* the stream ends too early */
       QN_SIM_E_MAGIC,   /* these bytes are no stream */
       QN_SIM_E_VERSION, /* of another version */
       QN_SIM_E_TABLE,   /* a level or buffer is not as it must be */
       QN_SIM_E_INSTR,   /* an instruction is not as it must be */
       QN_SIM_E_OPCODE,  /* a command that is not in the stream's table */
       QN_SIM_E_COMMAND, /* a command is not as it must be */
       QN_SIM_E_BOUNDS,  /* a command reaches outside a memory */
       QN_SIM_E_MEMORY,  /* a memory that was handed over is smaller than the stream says */
       QN_SIM_E_BUDGET,  /* more work than was allowed */
       QN_SIM_RESULTS
};
const char *qn_sim_error(int result);
unsigned qn_sim_type_bytes(unsigned type); /* 0: no such type */

typedef struct QnSimLevel {
    char name[QN_SIM_NAME];
    uint64_t bytes;
} QnSimLevel;
typedef struct QnSimBuffer {
    char name[QN_SIM_NAME];
    uint64_t address, bytes;
    uint8_t type, flags;
} QnSimBuffer;
typedef struct QnSimInstr {
    char name[QN_SIM_NAME];
    uint16_t opcode, cycles;
    uint8_t nloop, nop, red, ncode;
    uint32_t most[QN_SIM_LOOPS];
    uint8_t type[QN_SIM_OPERANDS];
    uint8_t code[QN_SIM_CODE];
} QnSimInstr;
typedef struct QnSimStream { /* a stream whose header and tables were checked */
    const unsigned char *bytes;
    size_t size, start; /* start: of the commands */
    unsigned nlevel, nbuffer, ninstr, ncommand;
    QnSimLevel level[QN_SIM_LEVELS];
    QnSimBuffer buffer[QN_SIM_BUFFERS];
    QnSimInstr instr[QN_SIM_INSTRS];
} QnSimStream;
typedef struct QnSimOperand {
    uint32_t level;
    uint64_t address;
    int32_t stride[QN_SIM_LOOPS];
} QnSimOperand;
typedef struct QnSimCommand { /* a command whose form and bounds were checked */
    uint16_t opcode;
    uint8_t nloop, nop;
    uint16_t element; /* bytes of one */
    uint64_t value;
    const QnSimInstr *instr; /* NULL: END, LOAD, STORE or FILL */
    uint32_t size[QN_SIM_LOOPS];
    QnSimOperand operand[QN_SIM_OPERANDS];
} QnSimCommand;

/* Reads and checks header and tables. `bytes` must live as long as `s`. */
int qn_sim_open(QnSimStream *s, const void *bytes, size_t size);
/* Reads and checks the command at *at, at first s->start, and moves *at behind it. */
int qn_sim_next(const QnSimStream *s, size_t *at, QnSimCommand *out);

typedef struct QnSimStats {
    uint64_t commands, points;                            /* points: iterations of all loops */
    uint64_t cycles;                                      /* of the instructions, one after the other; copies are free */
    uint64_t read[QN_SIM_LEVELS], written[QN_SIM_LEVELS]; /* bytes; an instruction's operands count once per element */
    size_t at;                                            /* where the last command read starts */
} QnSimStats;
/* Runs all commands. memory[l] has room[l] bytes; the pads' contents need not be set. `budget` is the most points, 0 any number.
 * On an error the commands before it were done, nothing outside the memories was touched. `stats` may be NULL. */
int qn_sim_run(const QnSimStream *s, void *const *memory, const uint64_t *room, uint64_t budget, QnSimStats *stats);
#endif
