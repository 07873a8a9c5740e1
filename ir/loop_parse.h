/* SPDX-License-Identifier: Apache-2.0 */
/* loop_parse.h: what the two halves of the loop IR's parser share: tokens, names and expressions (loop_parse_expr.c),
 * statements and lines (loop_parse.c). Functions give false (or NULL) after an error that they have reported. */
#ifndef QN_LOOP_PARSE_H
#define QN_LOOP_PARSE_H
#include "loop_text.h"

enum { MAX_BLOCKS = 256 };
typedef enum TokKind { T_END, T_NAME, T_INT, T_FLT, T_OP, T_BAD } TokKind;
typedef struct Tok {
    TokKind k;
    const char *s;
    int n;
    uint64_t i; /* T_INT */
} Tok;
typedef struct Sym { /* what a name stands for; neither: nothing now */
    Var *v;
    Buf *b;
} Sym;
typedef struct Open { /* a block that takes statements */
    Stmt *block;
    int names; /* height of the scope stack outside */
} Open;
typedef struct Parser {
    Ctx *c;
    Arena *a;
    const char *file, *at; /* at: behind `tok` */
    int64_t line;
    Tok tok;
    bool bad; /* this line has had its error */
    int depth;
    Func *f;
    Map *names;
    Vec(Sym *) scope;
    Open open[MAX_BLOCKS + 1];
    int nopen;
} Parser;
#define FAIL(p, ...) ((p)->bad ? false : ((p)->bad = true, diag_error((p)->c->d, (Loc){(p)->file, (p)->line, NULL, NULL}, __VA_ARGS__)))

void lp_next(Parser *p); /* reads the next token of the line */
bool lp_is(const Parser *p, const char *s);
bool lp_accept(Parser *p, const char *s); /* takes the token if it is s */
bool lp_expect(Parser *p, const char *s);
bool lp_expect_end(Parser *p);
bool lp_found(Parser *p, const char *expected); /* the error "found …, expected …" */
int lp_shown(const Tok *t);                     /* characters of it that an error shows */
Sym *lp_lookup(Parser *p, const Tok *t);        /* NULL: never declared */
/* An element type; `computing`: one that values can have. */
bool lp_type(Parser *p, bool computing, DType *t);
bool lp_indices(Parser *p, const Buf *b, Expr ***idx); /* `[i, j]` */
Expr *lp_typed(Parser *p, DType t, const char *what);  /* an expression of type t; `what` names it in an error */
#endif
