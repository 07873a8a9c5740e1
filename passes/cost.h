/* SPDX-License-Identifier: Apache-2.0 */
/* cost.h: the analytic cost of a mapping, without building the nest: accesses per level and operand, energy, cycles,
 * utilisation. Conventions are Timeloop's (v2.0), with the contents of every buffer followed exactly. */
#ifndef QN_COST_H
#define QN_COST_H
#include "ir/mapping.h"

typedef struct Access { /* words, totals over all used instances of a level; a tensor that passes by has zeros */
    int64_t reads;      /* handed to the next inner keeper, or to the multiply-adds; equal data in one step counts once */
    int64_t fills;      /* arrived from outside: what was not in the tile before; first zeros of an output included */
    int64_t updates;    /* sums that came up from inside */
    int64_t tile_words; /* of one instance */
} Access;
typedef struct MappingCounts {
    Access at[QN_MAX_LEVELS][QN_MAX_TENSORS];
    int64_t instances[QN_MAX_LEVELS]; /* used ones */
    int64_t units;                    /* multiply-adds used, at most at a time */
    double units_mean;                /* on average over the cycles of compute; less than units only with ragged loops */
    int64_t macs;
    int64_t cycles_compute; /* product of the temporal factors */
    int64_t cycles;         /* the same, or those of the slowest level's bandwidth if more */
    int64_t outer_words;    /* read from and written to the outermost level */
    int64_t array_words;    /* handed to or from single instances at the outermost level that has several */
    double utilisation;     /* units used / units of the machine */
    double outer_bits;      /* the outer words with their widths, as run-length code where the machine uses it */
    double energy_level[QN_MAX_LEVELS], energy_macs, energy_network, energy; /* energy: all of them */
} MappingCounts;

/* COUNT_SURVEY is the accounting of the survey's energy tables: each multiply-add reads both operands and the partial sum and
 * writes the sum, the first one too; filling a level is free (the words are counted, their energy is 0). */
typedef enum Counting { COUNT_TIMELOOP, COUNT_SURVEY } Counting;
extern const char *const counting_name[2]; /* timeloop survey */

/* Zeros. Where the machine gates or skips on an operand of density d, the multiply-adds and what they read and write of the other
 * tensors in the innermost levels of the array cost d times as much; with skipping, cycles of compute too. Words that move between
 * levels are the same, as run-length code where the machine uses it (outermost level). Counts in `at` are scaled and rounded.
 * Widths. An operand of b bits costs b / word_bits of a level's energy and bandwidth. */

/* The mapping must be legal (mapping_legal), capacities excepted. Takes microseconds. */
void mapping_counts(const Mapping *m, MappingCounts *out);
void mapping_counts_as(const Mapping *m, Counting how, MappingCounts *out);
/* What no order of the same loops can go below: every tile is filled only with words that it never held. For search. */
void mapping_counts_floor(const Mapping *m, Counting how, MappingCounts *out);
/* Reads, updates and instances of the levels outside `level` alone: what is nearer to the multiply-adds has most of the words, and with
 * ragged loops takes most of the time to count. Not counted, and undefined: fills, cycles, energy. */
void mapping_words_outside(const Mapping *m, int level, MappingCounts *out);
/* A CPU's core (cost_cpu.c): cycles of all steps of the loops at its registers; with the words that move between its caches. */
/* evened: dims, a bit each, whose blocks are made as even as they can be instead of having a short last one. */
double mapping_steps(const Mapping *m, unsigned evened);
double mapping_cycles(const Mapping *m, unsigned evened);
/* The same without a mapping. Of a step of a vector of sums: of products in blocks, else of a window of one channel, whose every step loads
 * what it uses. Of a word that a kernel stores into the level or loads from it while it computes products or not. */
double step_price(const Target *t, bool products);
double store_price(const Target *t, int level, bool products);
double load_price(const Target *t, int level, bool products);
/* Different words of the tensor's boxes that the instances of a level ever hold, summed over them. */
int64_t mapping_distinct_words(const Mapping *m, int level, int tensor);
/* Energy with a price for each word on the array's network, as the survey has it (2 per word). */
static inline double counts_energy_with_array(const MappingCounts *c, double per_word) {
    return c->energy - c->energy_network + per_word * (double)c->array_words;
}
#endif
