/* SPDX-License-Identifier: Apache-2.0 */
/* row.h: what the files that read rows.def share: a node in the making, and a cursor in the words of its row. */
#ifndef QN_TESTS_FUZZ_ROW_H
#define QN_TESTS_FUZZ_ROW_H
#include "fuzz.h"

enum { NAMES = 40, LIST = 64, OPERANDS = 16 };
typedef struct Make {
    Fuzz *f;
    const Row *row;
    DType dt, group[8];
    struct {
        const char *name;
        size_t len;
        int64_t v, list[LIST];
        int n; /* of a list; -1: a number */
    } var[NAMES];
    int nvar;
    struct {
        const char *name;
        size_t len;
        int value;
    } operand[OPERANDS];
    int noperand, nout;
    const char *s; /* where we are */
    bool failed;
} Make;

/* row_words.c: each reads from m->s on */
int64_t fail(Make *m); /* the node cannot be made; 1 */
size_t word_len(const char *s);
int var_find(const Make *m, const char *s, size_t len);
int var_add(Make *m, const char *s, size_t len, int64_t v);
const Value1 *operand_named(Make *m, const char *s, size_t len);
bool eat(Make *m, const char *t);
int64_t expr(Make *m, int level); /* 0: any; higher: of operators that bind closer */
int64_t range(Make *m);           /* E, E..E or E|E|E */
void list_make(Make *m, const char *name, size_t len);
int list_read(Make *m, int64_t *l); /* [E,E] or %name; returns how many */

/* row_operands.c */
double number(Make *m);
bool operand_make(Make *m, const char *name, size_t len, int input);
#endif
