/* SPDX-License-Identifier: Apache-2.0 */
/* loop_text.h: what the printer, the parser and the verifier of the loop IR share. Private to these three files. */
#ifndef QN_LOOP_TEXT_H
#define QN_LOOP_TEXT_H
#include "loop.h"

enum { PREC_UNARY = 11, PREC_ATOM = 12 };
typedef struct BinText {
    const char *text; /* "+" or, for min and max, the name of the call */
    int prec;         /* C's: 1 for ||, 10 for *; PREC_ATOM for min and max */
} BinText;
extern const BinText bin_text[BIN_LOR + 1];
extern const char *const space_text[MEM_PAD + 1];
extern const char *const mode_text[LOOP_UNROLL + 1]; /* "" for LOOP_SEQ */
extern const char *const red_text[RED_XOR + 1];      /* "=", "+=", "min=" … */

bool text_is_ident(const char *name);
bool text_is_reserved(const char *name, size_t n);         /* a keyword, element type or function: no variable has this name */
void expr_print_some(const Expr *e, Text *out, int limit); /* `...` after `limit` nodes */
void buf_dense_strides(const Buf *b, int64_t *stride);     /* those that buf_new gives */

/* loop_verify.c: the types of one node, operands not looked into. false, and the reason in `why`. */
bool expr_type_ok(const Expr *e, Text *why);
#endif
