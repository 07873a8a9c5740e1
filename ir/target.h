/* SPDX-License-Identifier: Apache-2.0 */
/* target.h: a machine as data: memory levels from the outermost in, the parallel units below each of them, vector unit,
 * instructions. A CPU is described like an accelerator: cores are the outermost spatial dimension, SIMD lanes the innermost
 * one, vector registers the innermost memory level.
 *   x86_avx512:  DRAM > L3 > (x: cores) L2 > L1 > regs > (x: 16 lanes) multiply-add
 * Filled by codegen/target_yaml.c or by a program; target_check says what is wrong with it. */
#ifndef QN_TARGET_H
#define QN_TARGET_H
#include "base.h"

#define QN_MAX_LEVELS 8

typedef enum LevelKind {
    LEVEL_DRAM,  /* outermost: everything fits */
    LEVEL_CACHE, /* implicit: a tile size is chosen, nothing is copied */
    LEVEL_PAD,   /* explicit scratchpad: copies are made, as DMA or loops */
    LEVEL_REGS   /* registers of a PE, or a CPU's vector registers */
} LevelKind;
extern const char *const level_kind_name[4]; /* dram cache pad regs */

/* What an operand is to a contraction; the unit in which a level says what it keeps. */
enum { ROLE_W = 1, ROLE_I = 2, ROLE_O = 4, ROLE_ALL = 7 }; /* weights, inputs, outputs */

typedef struct TargetLevel {
    const char *name;
    LevelKind kind;
    int64_t words; /* capacity of one instance; 0: unbounded */
    int word_bits;
    unsigned keeps;                   /* ROLE_ bits it can hold; the others pass it by */
    int64_t fan_x, fan_y;             /* instances of the next inner level (of multiply-adds, below the innermost) under one */
    int64_t fan;                      /* all of them, if fewer than fan_x * fan_y: any shape of so many; 0: fan_x * fan_y */
    double read_energy, write_energy; /* per word, in units of one multiply-add */
    double read_bw, write_bw;         /* words per cycle and instance; 0: unlimited */
    int64_t place;                    /* in its file, for messages (loc_place); 0: none */
    double area_per_word;             /* in any unit; 0: not stated */
    int buffers;                      /* 2: every tile is there twice, one being filled while the other is used; 0: once */
    int banks;                        /* each operand's tile takes whole banks; 0: the words are one pool */
    int64_t part[3];                  /* words for W, I, O alone; 0: no bound of its own */
    int shares;                       /* 1 + the level in whose memory the tiles of this one lie; 0: it has its own */
    double exposed, apart;            /* part of the time of words from here that no arithmetic hides; of words in lines far apart */
    double alone;                     /* how many times longer words from here take where no products call for them early */
    double usable;                    /* part of a cache that the tile of one operand can count on; 0: all */
    int ways;                         /* places for lines that lie a way apart (its size / ways); 0: any number */
    double network_energy;            /* per word that crosses the network below, once for each unit that gets or sends it */
    unsigned no_multicast;            /* ROLE_ bits: units below that need the same word each cost a read (an output: an update) */
    const char *spread;               /* what another tool's file calls the units below and their axes, "column:x PE:y"; NULL: nothing */
} TargetLevel;

/* Arithmetic on one data type; a problem without a type uses mac_energy and one multiply-add a cycle and unit. */
typedef struct TargetCompute {
    const char *dtype;
    double macs_per_cycle, energy; /* of one unit; per multiply-add */
} TargetCompute;
enum { QN_MAX_COMPUTE = 8 };

typedef struct TargetInstr {
    const char *name;
    const char *means; /* a loop-IR function: what it computes, the oracle for the code that is emitted */
    const char *emit;  /* C text in which {x} is the address of operand x of the meaning, or the opcode of a command */
    bool command;      /* emit is an opcode of the command stream */
    bool value;        /* emit is a C expression of vectors; the meaning is one operation, `y[l] = a[l] op b[l]` on all lanes */
    double cycles;     /* per issue */
    const char *needs; /* CPU feature it needs beyond the target's own, or NULL */
    int64_t line;      /* in its file, for messages (loc_place); 0: none */
} TargetInstr;

typedef struct Target {
    const char *name, *about;
    const char *family; /* of processors: only targets of one family can share an emitted file. "any": all; NULL: it cannot share */
    int nlevel;
    TargetLevel level[QN_MAX_LEVELS]; /* outermost first */
    int64_t vector_bits;              /* 0: no vectors */
    int vector_regs;                  /* architectural vector registers */
    bool half;                        /* computes in half precision (DT_HALF) */
    double latency;                   /* cycles from one multiply-add to the next one on the same sums */
    double step_cycles, block_cycles; /* beside arithmetic: of a step of the innermost loop; of a block of sums */
    double mac_energy;                /* the unit of the energies: 1 unless stated */
    bool keeps_all;                   /* what levels can keep they keep: a mapping does not choose */
    double area_per_pe;               /* of a multiply-add unit with its control, in the unit of area_per_word; 0: not stated */
    double clock_mhz;                 /* 0: not stated */
    unsigned gate, skip;              /* ROLE_ bits: zeros of these stop the multiply-add; skip: they take no cycle either */
    unsigned run_length;              /* ROLE_ bits that cross the outermost level as run-length code where that is smaller */
    int ncompute;
    TargetCompute compute[QN_MAX_COMPUTE];
    int ninstr;
    const TargetInstr *instr;
    const char *cflags;    /* for the compiler of the emitted C; NULL: none */
    const char *attribute; /* before each emitted function; NULL: none */
    const char *include;   /* header that the instruction rows need; NULL: none */
    const char *cpu_test;  /* C expression, true on a machine that can run it; NULL: any machine */
    const char *guard;     /* preprocessor condition under which its code compiles; NULL: always */
} Target;

int64_t target_instances(const Target *t, int level); /* in the whole machine; level == nlevel: multiply-adds */
double target_area(const Target *t);                  /* sum of words * area_per_word over all instances, and of area_per_pe */
/* NULL, or why code for both cannot be in one file. */
const char *target_clash(Arena *a, const Target *x, const Target *y);
int target_level(const Target *t, const char *name); /* index, or -1 */
int64_t level_fan(const TargetLevel *v);             /* units below one instance */
/* Bits of run-length code for one word that is not zero: 5 bits of zeros before it and the word, as many pairs as 64 bits hold. */
double run_length_bits(int word_bits);
int target_lanes(const Target *t, int elem_bits); /* elements of a vector, at least 1 */
const TargetInstr *target_instr(const Target *t, const char *name);
/* Every inconsistency is reported at loc, with the line of the level or instruction; false if there was one. */
bool target_check(Diags *d, Loc loc, const Target *t);
#endif
