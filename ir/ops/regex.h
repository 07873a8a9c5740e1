/* SPDX-License-Identifier: Apache-2.0 */
/* regex.h: regular expressions of RE2's syntax as tables of states, made when a model is compiled. */
#ifndef QN_REGEX_H
#define QN_REGEX_H
#include "../base.h"

typedef struct Regex { /* state 0 is where a text starts, state 1 has failed for good */
    uint8_t kind[256]; /* of a byte */
    int64_t kinds, states;
    uint16_t *next; /* next[state * (kinds + 1) + kind]; the last of a state: 1 if a text may end there */
} Regex;
/* NULL, or what is wrong with it, at byte *at. */
const char *regex_compile(Arena *a, const char *pattern, int64_t n, Regex *out, int64_t *at);
#endif
