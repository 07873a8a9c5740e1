/* SPDX-License-Identifier: Apache-2.0 */
/* case.h: what a test of one text needs: an arena, its diagnostics, and loop nests from text and back. */
#ifndef QN_TESTS_CASE_H
#define QN_TESTS_CASE_H
#include "passes/passes.h"

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
} Case;
void case_open(Case *t);
void case_close(Case *t);
const char *case_said(Case *t); /* the diagnostics so far, a line each */
/* Fails the test if the text does not parse. */
Func *case_parse(Case *t, const char *text);
const char *case_print(Case *t, const Func *f);
bool case_runnable(const Program *p); /* small enough to run here: a row cannot know the machine */
#endif
