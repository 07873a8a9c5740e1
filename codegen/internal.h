/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of codegen/ share: the state of one function's printing. Nothing outside includes it. */
#ifndef QN_CODEGEN_INTERNAL_H
#define QN_CODEGEN_INTERNAL_H
#include "codegen.h"

/* Helper functions that emitted code may need: enum, name as in the text that defines it. */
typedef enum Helper {
#define HELPER(e, name) HELP_##e,
#include "helpers.def"
#undef HELPER
    HELP_COUNT
} Helper;
void helper_add(HelperSet *s, Helper h);
bool helper_has(const HelperSet *s, Helper h);

/* C operator precedences, loosest first. */
enum { P_TOP, P_COND, P_LOR, P_LAND, P_OR, P_XOR, P_AND, P_EQ, P_REL, P_SHIFT, P_ADD, P_MUL, P_UNARY, P_POST };

typedef struct Bound { /* of the exact mathematical value */
    bool ok;
    int64_t lo, hi; /* inclusive */
} Bound;

typedef struct VarInfo {
    const char *name; /* in the text; NULL while out of scope */
    Bound b;
    int wide; /* bits of its C type: 32 or 64 */
    int uses;
    int lanes; /* > 0: a let inside a vector loop that holds that many lanes */
} VarInfo;

typedef enum RegKind {
    REG_MEMORY,  /* parameter or array: name[offset] */
    REG_SCALARS, /* one variable per element */
    REG_VECTORS  /* one vector variable per `lanes` elements */
} RegKind;
typedef struct BufInfo {
    const char *name;
    RegKind kind;
    int lanes; /* REG_VECTORS; 0 undecided, -1 conflicting */
    int loads, stores, calls;
    int64_t count; /* elements, or vectors */
    uint8_t *used; /* per element or vector: mentioned at all, bit 0; declared, bit 1; declared at its first store, bit 2; loaded, bit 3 */
    bool lane_private; /* rank 0, lives inside a vector loop: one value per lane */
    bool subscript;    /* an access whose last index is not constant */
} BufInfo;

typedef struct Memo { /* what is known of an expression node while the generation lasts */
    const Expr *e;
    Bound b;
    int bound_gen, shape_gen, share_gen;
    bool vec;         /* shape */
    bool free, load;  /* of this statement: evaluated whatever the conditions say; contains a load */
    int count, size;  /* of this statement: how often it is used; operations inside, capped */
    const char *name; /* of this statement: the constant that holds it */
} Memo;
typedef struct MemoTable {
    Memo *v;
    int n, cap;
    int bound_gen, shape_gen, share_gen;
} MemoTable;

typedef enum RowKind { ROW_BIN, ROW_CAST, ROW_DOT } RowKind;
typedef struct VecRow { /* emit_rows.c: a vector operation which the target has an instruction for */
    RowKind kind;
    int8_t op;     /* ROW_BIN: BinOp; ROW_DOT: CallFn, `acc + dot(a, b)`, the operands in this order */
    DType t, from; /* of the result, of the operand */
    int lanes;
    const char *text, *operand[3];
} VecRow;

typedef struct Part { /* emit_par.c: a parallel loop which becomes a function of its own */
    Stmt *loop;
    const char *name;
    int64_t lo, n;          /* first iteration, how many */
    Vec(int) param;         /* of the Func: those it uses */
    Stmt *body;             /* the loop within what stands around it: loops, of one iteration here, and lets */
    Vec(const Var *) fixed; /* variables of those loops that it uses: arguments */
} Part;

typedef struct Emit {
    Arena *a; /* freed with the function's text */
    const Func *f;
    EmitStyle style;
    HelperSet *helpers;
    Text *out; /* the body so far */
    int indent;
    VarInfo *var;            /* by id */
    BufInfo *buf;            /* by id */
    Map *taken;              /* names in scope -> non-NULL */
    Vec(const char *) scope; /* names in the order they were taken, NULL marks the start of a scope */
    MemoTable *memo;
    Vec(const Expr *) shared; /* of the statement being printed: candidates, operands first */
    Text pre;                 /* what must stand before the statement being printed */
    int lines;                /* printed so far */
    Map *held;                /* emit_run.c: values of the declarations that end with line held_line -> variable */
    int held_line;
    int nstmt;      /* C statements printed in the current block */
    int in_index;   /* inside an index: overflow means an access out of bounds, so plain arithmetic will do */
    const Var *vec; /* of the vector loop being printed, NULL outside */
    int lanes;
    int64_t vec_lo;
    uint8_t vtypes[2][16]; /* vector types used, in registers and in memory: by element, a bit for each length */
    bool half;             /* the target computes in half precision; else halves are float32 between load and store */
    bool halves[2];        /* qn_half occurs, qn_half_u does: the type of values, and of elements in memory */
    bool wide_vectors;     /* 64-byte vectors occur */
    bool shuffles;         /* QN_SHUFFLE occurs */
    bool returns;          /* calls of routines: returns their status */
    bool no_offset;        /* the caller adds the parameters' offsets */
    Vec(VecRow) rows;
    bool rows_loaded;
    Vec(Part) part;     /* of a kernel: its parallel loops */
    const Stmt *ranged; /* in a part: its loop, which runs from `first` to `end` */
    const Part *self;   /* the part */
    const char *first, *end;
    bool math, limits; /* needs <math.h>, names of <stdint.h> */
} Emit;

/* emit_prep.c */
Func *emit_expand(Arena *a, const Func *f, bool hints); /* hints: that a later part of a constant will be read */
void emit_bases(Func *f);                               /* emit_base.c: of an expanded copy */
enum { CAST_FITS = 1, CAST_FITS_OR_NAN };               /* Expr.op of an E_CAST from a float: the integer type holds the number */
void emit_trim(Func *f); /* emit_trim.c: clamps that do nothing go, conversions that need no test are marked */
void emit_analyse(Emit *E);
bool vec_loop_ok(Emit *E, const Stmt *loop);

/* emit_bound.c */
Memo *memo_of(const Emit *E, const Expr *e);
bool bound_in(Bound b, DType t);
bool bound_32(Bound b);
Bound e_bound(const Emit *E, const Expr *e);
Bound e_bound_exact(const Emit *E, const Expr *e); /* before it wraps */

/* emit_expr.c */
void put_expr(Emit *E, Text *t, const Expr *e, int prec);
void put_literal(Emit *E, Text *t, const Expr *e, int prec);
const char *c_type(Emit *E, DType t);        /* of a value */
const char *c_operator(BinOp op);            /* "+" */
bool is_wide(const Emit *E, const Expr *e);  /* an int64 expression whose C type has 64 bits */
bool int_like(const Emit *E, const Expr *e); /* its C type is int or smaller */
static inline void need(Emit *E, Helper h) { helper_add(E->helpers, h); }
static inline bool par(Text *t, int prec, int mine) { /* opens a parenthesis if the operator `mine` needs one there */
    if (prec > mine) text_puts(t, "(");
    return prec > mine;
}
static inline void unpar(Text *t, bool open) {
    if (open) text_puts(t, ")");
}

/* emit_cast.c */
typedef struct Storage { /* of a type that memory holds in another form than registers */
    Helper load, store;
    const char *load_name, *store_name;
} Storage;
Storage storage_of(DType t);
bool converted(DType t);                       /* whole bytes that are converted when loaded: float16, float8 … */
bool stored_otherwise(const Emit *E, DType t); /* in memory something else than its values are */
void put_cast(Emit *E, Text *t, const Expr *e, int prec);

/* emit_access.c */
void put_index(Emit *E, Text *t, const Expr *e, int prec); /* overflow is impossible where the access is in bounds */
Expr *flat_index(Emit *E, const Buf *b, Expr *const *idx);
void put_access(Emit *E, Text *t, const Buf *b, Expr *const *idx); /* the lvalue */
void put_load(Emit *E, Text *t, const Buf *b, Expr *const *idx, int prec);
void put_store(Emit *E, Text *t, const Buf *b, Expr *const *idx, const Expr *val, RedOp red, bool declare);
int64_t reg_element(const Emit *E, const Buf *b, Expr *const *idx); /* -1: not constant */
void put_reg_name(const Emit *E, Text *t, const Buf *b, int64_t element);
bool red_bin(RedOp r, BinOp *op); /* false: RED_NONE */

/* emit_share.c */
void share_statement(Emit *E, Expr *const *idx, int nidx,
                     const Expr *val); /* constants for what the statement uses repeatedly go to E->pre */
const char *shared_name(const Emit *E, const Expr *e);
const char *pre_constant(Emit *E, const char *want, const char *type, const char *value);

/* emit_vec.c */
bool vec_shape(const Emit *E, const Expr *e); /* does it differ between lanes */
const char *vec_type(Emit *E, DType t, bool memory);
void put_vec(Emit *E, Text *t, const Expr *e, int prec);
void put_vec_store(Emit *E, Text *t, const Buf *b, Expr *const *idx, const Expr *val, RedOp red, bool declare);
bool lane_coefficient(const Expr *e, const Var *v, int64_t *k); /* e = k*v + something without v */
void put_vec_typedefs(const Emit *E, Text *t, int indent);
bool expr_uses(const Expr *e, const Var *v);

void put_operand(Emit *E, Text *t, const Expr *e, int prec); /* a scalar beside a vector stays one */
void put_lanes(Emit *E, Text *t, const Expr *e);             /* as a vector, a broadcast one if it is the same in all lanes */

/* emit_shuffle.c */
typedef struct Shuffle {
    Buf *buf[2];
    int64_t first[2]; /* element of the buffer that is lane 0 of vector k */
    const Expr *load[2];
    int n;            /* vectors */
    uint8_t lane[64]; /* of the vectors one after the other */
} Shuffle;
bool vec_shuffle(const Emit *E, const Expr *e, Shuffle *s);
void put_shuffle(Emit *E, Text *t, const Shuffle *s);

/* emit_run.c */
int put_products(Emit *E, const Stmt *block,
                 int at); /* statements of the block from `at` on that it printed; 0: no run of products starts there */

/* The variable that a declaration just before, with nothing else between, has given the same value; NULL: the value is new, and `name` has
 * it. */
const char *held_value(Emit *E, const char *value, const char *name);

/* emit_rows.c */
bool has_row(Emit *E, const Expr *e);                                     /* of E_BIN, for the lanes of the loop that is printed */
bool put_row(Emit *E, Text *t, const Expr *e);                            /* false: no instruction row means this operation */
const char *vec_convert(Emit *E, const char *text, DType from, DType to); /* the C text of a vector, converted */

/* emit_stmt.c */
void put_block(Emit *E, const Stmt *block);
void put_indent(const Emit *E, Text *t);
void put_line(Emit *E, const char *line); /* one statement */
void vec_open(Emit *E, const Stmt *loop); /* what is printed from here on is inside this vector loop */
void vec_close(Emit *E);
const char *scope_name(Emit *E, const char *want);
void scope_open(Emit *E);
void scope_close(Emit *E);

/* emit_par.c */
void emit_parts(Emit *E);                             /* fills E->part but for the names */
const Part *part_of(const Emit *E, const Stmt *loop); /* NULL: an ordinary loop */
void put_part_call(Emit *E, const Part *p);
const char *fixed_type(const Emit *E, const Var *v);
void put_part_entry(const Emit *E, Text *out, const Part *p, const char *name);

/* emit_c.c */
void put_param(const Emit *E, Text *t, const Buf *b, bool restrict_ok);
typedef struct EmitFunc {
    const char *name;                     /* NULL: the Func's */
    bool is_static, no_offset, canonical; /* canonical: parameters are called p0, p1 … and no comment: a key for sharing */
    const bool *restrict_ok;
    const char *comment;          /* instead of the Func's; NULL: that */
    bool pool;                    /* parallel loops are run by a pool, the first parameter of functions with such loops */
    const char *const *part_name; /* of as many parts as EmitNeeds said; canonical: not used */
} EmitFunc;
typedef struct EmitNeeds {
    HelperSet helpers;
    bool math, returns;
    int parts; /* parallel loops: the function takes a pool if there are any */
} EmitNeeds;
void emit_func_with(Text *out, const Func *f, const EmitStyle *s, const EmitFunc *o, EmitNeeds *needs);
void put_comment(Text *out, const char *s, int indent); /* a block comment; the text can neither close it nor break a line */

/* emit_helpers.c: helper text, each piece once and after what it needs */
typedef struct HelperText HelperText;
HelperText *helper_text_new(Arena *a);
bool helper_text_put(HelperText *h, Text *out, const char *name); /* false: no such helper or routine */
void helper_text_set(HelperText *h, Text *out, const HelperSet *set);
bool helper_text_math(const HelperText *h);   /* what was printed needs <math.h>, */
bool helper_text_string(const HelperText *h); /* <string.h> */

/* names.c */
bool name_reserved(const char *s);
#endif
