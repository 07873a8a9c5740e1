/* SPDX-License-Identifier: Apache-2.0 */
/* blocks.h: how the nests of products and convolutions are cut for a processor. What can be chosen is a list of mappings (ir/mapping.h)
 * that those nests can have; the one with the fewest cycles (mapping_cycles) is taken. Block sizes are read off the mapping. */
#ifndef QN_PASSES_BLOCKS_H
#define QN_PASSES_BLOCKS_H
#include "cost.h"

enum { BLOCK_LOOPS = 12 };
/* A nest: the loops around a block of sums, outermost first, those of the block, and the dim whose elements are lanes. */
typedef struct BlockNest {
    const Problem *p;
    const Target *t;
    int n, nregs;
    MapLoop loop[BLOCK_LOOPS], regs[3]; /* factors of 1 are no loops */
    int lane_dim;
    unsigned evened; /* dims, a bit each, whose blocks the nest makes even */
} BlockNest;
void nest_loop(BlockNest *b, int dim, int64_t factor);
void nest_regs(BlockNest *b, int dim, int64_t factor);
/* Each loop at the innermost level that has room for what it and all loops inside it touch; of a cache one operand has the `usable` part at
 * most. */
enum { PASS_WEIGHTS = 1, PASS_INPUTS = 2 }; /* by the second cache, by the first: what is used once leaves the room to the rest */
void nest_place(const BlockNest *b, unsigned pass, Mapping *out);

/* Those whose steps take least, the best first: only of these the words between memories are counted. */
enum { SHORTLIST = 3 };
typedef struct Shortlist {
    int n;
    bool full;
    double steps[SHORTLIST];
    int which[SHORTLIST];
} Shortlist;
void short_offer(Shortlist *s, const BlockNest *b, int which);

enum { CHOICES = 12 };
typedef struct Choice { /* the best of what was offered, the very best first */
    int most, n, offered;
    double cycles[CHOICES];
    int which[CHOICES]; /* number of the offer */
} Choice;
/* What is not legal is passed over. worth: what more loops have to gain, a factor of the cycles that is at least 1; extra: cycles that the
 * mapping does not know of. */
void choice_offer(Choice *c, const BlockNest *b, double worth, double extra);
/* The one of the ways to place the nest that is best: what choice_offer has scored. */
Mapping *choice_mapping(Arena *a, const BlockNest *b);
/* Networks repeat their layers: answers to the last questions are remembered, by kind of nest, target and the bytes of the question. */
typedef struct Question {
    char kind;
    const Target *t;
    int64_t of[16]; /* what is not used is 0 */
} Question;
bool choice_known(const Question *q, void *answer, size_t size, int *n); /* n answers of `size` bytes */
void choice_remember(const Question *q, const void *answer, size_t size, int n);
/* The target with words of half the width: twice as many of them, in vectors, in memories and in a cycle. */
void blocks_half(const Target *t, Target *half);
char *mapping_line(Arena *a, const Mapping *m); /* mapping_print_line's text */
#endif
