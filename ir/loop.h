/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h: the loop IR. A Func is one kernel: buffers in, buffers out, a nest of loops between them.
 * Expressions are immutable and may be shared (a DAG); statements are a mutable tree.
 * Values have a dtype that is a *computing* type (dtype_compute); index arithmetic is int64.
 *   integers wrap at their width; float -> int conversion truncates and saturates (NaN gives 0); integer division
 *   truncates (x/0 is 0, INT_MIN/-1 wraps); mod has the sign of the dividend; shifts by >= width give 0 (or -1). */
#ifndef QN_LOOP_H
#define QN_LOOP_H
#include "graph.h"

typedef enum MemSpace {
    MEM_PARAM,   /* handed in: model input/output, weights, arena */
    MEM_SCRATCH, /* planned into the arena for the life of the kernel; becomes a parameter of the C function */
    MEM_STACK,   /* array inside the C function, at most 16 KiB in all */
    MEM_REG,     /* scalars or vector registers: after unrolling every index is constant (the vector loop's variable excepted) */
    MEM_PAD      /* explicit scratchpad of an accelerator: `level` says which */
} MemSpace;

typedef struct Buf {
    const char *name; /* a valid C identifier, unique within the Func */
    int id;           /* dense within the Func */
    DType dt;         /* storage type */
    int rank;         /* 0: a scalar */
    int64_t dim[QN_MAX_RANK];
    int64_t stride[QN_MAX_RANK]; /* elements */
    int64_t offset;              /* elements from the pointer that is handed in */
    MemSpace space;
    int level;      /* target memory level, outermost 0; only for MEM_PAD and mappings */
    Tensor *tensor; /* what it stands for; NULL for temporaries */
    bool written;   /* stored to by this Func */
} Buf;

typedef struct Var {
    const char *name; /* valid C identifier; the printer makes it unique within nested scopes */
    DType t;          /* DT_INT64 for loop variables */
    int id;
} Var;

typedef enum ExprKind { E_INT, E_FLT, E_VAR, E_LOAD, E_UN, E_BIN, E_SELECT, E_CAST, E_CALL } ExprKind;
typedef enum UnOp { UN_NEG, UN_NOT /* logical */, UN_INV /* bitwise */, UN_ABS } UnOp;
typedef enum BinOp {
    BIN_ADD,
    BIN_SUB,
    BIN_MUL,
    BIN_DIV,
    BIN_MOD,
    BIN_MIN,
    BIN_MAX,
    BIN_AND,
    BIN_OR,
    BIN_XOR,
    BIN_SHL,
    BIN_SHR,
    BIN_LT,
    BIN_LE,
    BIN_EQ,
    BIN_NE, /* result bool */
    BIN_LAND,
    BIN_LOR
} BinOp; /* min(a,b) = b < a ? b : a;  max(a,b) = a < b ? b : a  (so a NaN in `a` is kept) */

/* Functions an expression may call. calls.def: CALL(enum, "name", arity, "C name for float", "C name for double", kind) */
typedef enum CallFn {
#define CALL(e, name, arity, cf, cd, kind) CALL_##e,
#include "calls.def"
#undef CALL
    CALL_COUNT
} CallFn;
typedef struct CallInfo {
    const char *name;
    int arity;
    const char *cf, *cd; /* what C calls for float and double */
    char kind; /* 'f': float in, float out; 'b': float in, bool out; 'i': integer in and out; 'd': int32 in and out; 't': float32 in, uint32
                  out; 'u': back */
} CallInfo;
extern const CallInfo call_info[CALL_COUNT];
static inline DType call_result(CallFn f, DType arg) {
    char k = call_info[f].kind;
    return k == 'b' ? DT_BOOL : k == 't' ? DT_UINT32 : k == 'u' ? DT_FLOAT32 : arg;
}

typedef struct Expr Expr;
struct Expr {
    ExprKind k;
    DType t;     /* type of the value */
    int8_t op;   /* UnOp, BinOp or CallFn; E_CAST: 1 if the operand is known to be a number that `to` holds */
    int8_t narg; /* CALL arity; LOAD rank */
    DType to;    /* E_CAST: the target; may be a storage type (float16…): then t is its computing type and the value is rounded to it */
    union {
        int64_t i;    /* E_INT: of integer or bool type t */
        double f;     /* E_FLT */
        const Var *v; /* E_VAR */
        struct {
            Buf *buf;
            Expr **idx;
        } ld;       /* E_LOAD */
        Expr *a[3]; /* UN, BIN, SELECT (cond, then, else), CAST */
        Expr **arg; /* E_CALL */
    } u;
};

typedef enum StmtKind { S_FOR, S_STORE, S_LET, S_IF, S_ALLOC, S_CALL, S_BLOCK } StmtKind;
typedef enum LoopMode { LOOP_SEQ, LOOP_PAR, LOOP_VEC, LOOP_UNROLL } LoopMode;
typedef enum RedOp { RED_NONE, RED_ADD, RED_MUL, RED_MIN, RED_MAX, RED_AND, RED_OR, RED_XOR } RedOp; /* buf[idx] = buf[idx] op val */

typedef struct Stmt Stmt;
struct Stmt {
    StmtKind k;
    union {
        struct {
            Var *v;
            Expr *lo, *hi; /* v runs lo, lo+1 … hi-1; may depend on outer variables */
            LoopMode mode;
            Stmt *body; /* S_BLOCK */
            int level;  /* mapping level that made it, or -1 */
            char axis;  /* 'x' or 'y' for spatial loops of a mapping, else 0 */
        } loop;
        struct {
            Buf *buf;
            Expr **idx;
            Expr *val;
            RedOp red;
        } st;
        struct {
            Var *v;
            Expr *val;
        } let; /* scope: the rest of the enclosing block */
        struct {
            Expr *cond;
            Stmt *then, *other; /* blocks; other may be NULL */
        } cond;
        Buf *alloc; /* scope: the rest of the enclosing block; contents undefined at first */
        struct {
            const char *name; /* a runtime routine or instruction row */
            int narg, nbuf;
            Expr **arg;      /* integer arguments, then */
            Buf **buf;       /* buffers, handed over as pointers to their element 0 */
            uint32_t writes; /* bit i: buf[i] is written */
        } call;
        struct {
            Stmt **v;
            int n, cap;
        } block;
    } u;
};

typedef struct Func {
    Arena *a;
    const char *name;           /* C identifier */
    const char *comment;        /* what it computes: nodes, shapes, MACs; may be NULL */
    Vec(Buf *) param;           /* MEM_PARAM and MEM_SCRATCH buffers, in argument order */
    Stmt *body;                 /* S_BLOCK */
    int nbuf, nvar;             /* for ids */
    Vec(const char *) schedule; /* printable steps that were applied */
} Func;

/* ---- expressions. Constructors fold constants and drop identities (x+0, x*1, …); they never reorder floats. */
Expr *e_int(Arena *a, int64_t v);            /* int64 */
Expr *e_lit(Arena *a, DType t, double v);    /* literal of computing type t */
Expr *e_lit_i(Arena *a, DType t, int64_t v); /* integer literal of any type, exact for 64 bits */
Expr *e_var(Arena *a, const Var *v);
Expr *e_load(Arena *a, Buf *b, Expr *const *idx); /* copies the index list */
Expr *e_un(Arena *a, UnOp op, Expr *x);
Expr *e_bin(Arena *a, BinOp op, Expr *x, Expr *y); /* a literal adapts to the other side's type; else types must match */
Expr *e_select(Arena *a, Expr *c, Expr *x, Expr *y);
Expr *e_cast(Arena *a, DType to, Expr *x);
Expr *e_call(Arena *a, CallFn f, Expr *const *arg);
Expr *e_call1(Arena *a, CallFn f, Expr *x);
Expr *e_call2(Arena *a, CallFn f, Expr *x, Expr *y);
static inline Expr *e_add(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_ADD, x, y); }
static inline Expr *e_sub(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_SUB, x, y); }
static inline Expr *e_mul(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_MUL, x, y); }
static inline Expr *e_div(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_DIV, x, y); }
static inline Expr *e_mod(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_MOD, x, y); }
static inline Expr *e_min(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_MIN, x, y); }
static inline Expr *e_max(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_MAX, x, y); }
static inline Expr *e_lt(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_LT, x, y); }
static inline Expr *e_le(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_LE, x, y); }
static inline Expr *e_eq(Arena *a, Expr *x, Expr *y) { return e_bin(a, BIN_EQ, x, y); }
bool e_is_int(const Expr *e, int64_t *v);
bool e_equal(const Expr *x, const Expr *y); /* structurally */
Expr *e_subst(Arena *a, Expr *e, const Var *v, Expr *by);
Expr *e_lower_bound(Arena *a, DType t), *e_upper_bound(Arena *a, DType t); /* -inf/min and +inf/max of t as literal */

/* ---- statements and functions */
Func *func_new(Arena *a, const char *name);
Buf *buf_new(Func *f, const char *name, DType dt, int rank, const int64_t *dim, MemSpace space); /* dense strides; not yet a param */
Buf *func_param(Func *f, const char *name, DType dt, int rank, const int64_t *dim);
Var *var_new(Func *f, const char *name, DType t);
Stmt *s_block(Arena *a);
void s_append(Arena *a, Stmt *block, Stmt *s);
Stmt *s_for(Arena *a, Var *v, Expr *lo, Expr *hi); /* with an empty body */
/* A loop of n iterations at the end of *block, which becomes its body; returns its variable, a new one. */
Expr *s_open_loop(Func *f, Stmt **block, const char *name, int64_t n, LoopMode mode);
Stmt *s_store(Arena *a, Buf *b, Expr *const *idx, Expr *val, RedOp red);
Stmt *s_let(Arena *a, Var *v, Expr *val);
Stmt *s_if(Arena *a, Expr *cond); /* with an empty then-block */
Stmt *s_alloc(Arena *a, Buf *b);
Stmt *s_copy(Arena *a, const Stmt *s);                           /* deep; expressions are shared */
Func *func_copy(Arena *a, const Func *f);                        /* loops, variables and local buffers renewed; parameters shared */
Stmt *func_inline(Func *into, const Func *f, Buf *const *param); /* f's body with these for its parameters, to be put into `into` */
void stmt_subst(Arena *a, Stmt *s, const Var *v, Expr *by);
/* Visits every expression of a statement tree; the callback may replace it. */
typedef Expr *(*ExprFn)(void *user, Expr *e);
void stmt_map_exprs(Stmt *s, ExprFn fn, void *user);
void stmt_each(Stmt *s, void (*fn)(void *user, Stmt *s), void *user); /* every statement, those around others first */
bool e_has_load(const Expr *e);
Expr *expr_map(Arena *a, Expr *e, ExprFn fn, void *user); /* bottom-up */
Expr **e_operands(const Expr *e, int *n);                 /* as one array; a load gives its indices */
/* Loads, stores and calls that use a buffer for which fn gives another use that one; `lead` (or NULL) goes in front of the indices. */
typedef Buf *(*BufFn)(void *user, Buf *b);
void stmt_map_bufs(Arena *a, Stmt *s, BufFn fn, void *user, Expr *lead);
void stmt_move_buf(Arena *a, Stmt *s, Buf *from, Buf *to, Expr *lead); /* the same for one pair */

/* loop_text.c */
void expr_print(const Expr *e, Text *out);
void func_print(const Func *f, Text *out);
Func *func_parse(Ctx *c, const char *file, const char *text);
/* loop_verify.c: scopes, types, index ranks; indices provably inside bounds where affine. */
bool func_verify(Ctx *c, const Func *f);
/* simplify.c: affine normal form, div/mod with known ranges, min/max of bounds. */
typedef struct Range {
    const Var *v;
    int64_t lo, hi; /* inclusive */
} Range;
typedef struct Ranges {
    Range *v;
    int n, cap;
} Ranges;
Expr *expr_simplify(Arena *a, Expr *e, const Ranges *r);                    /* r may be NULL */
bool expr_bounds(const Expr *e, const Ranges *r, int64_t *lo, int64_t *hi); /* inclusive; false: unknown */
void func_simplify(Func *f);                                                /* every expression, with the ranges of its loops */
/* Affine form of an integer expression over variables: e = c + sum k[i]*v[i]; false if not affine. */
typedef struct Affine {
    int64_t c;
    int n;
    const Var *v[16];
    int64_t k[16];
} Affine;
bool expr_affine(const Expr *e, Affine *out);

/* The S_CALL of a word that moves (ir/mapping_nest.h): five arguments, no buffers. In C it is the external function ID_access, which
 * whoever links the code defines; to the interpreter it is nothing. */
#define LOOP_ACCESS "qn_access"

/* interp.c: the meaning of a Func. Nests become strided bytecode; innermost loops run as strips. */
typedef struct InterpStats {
    int64_t stores, loads, flops;
} InterpStats;
bool interp_run(Ctx *c, const Func *f, void *const *param, InterpStats *stats /* may be NULL */);
/* A callback for S_CALL of runtime routines: the same C source that emitted code uses. */
typedef int (*InterpCall)(const int64_t *arg, void *const *buf);
InterpCall interp_find_call(const char *name);
bool call_is_hint(const char *name); /* of a routine that computes nothing and may be left out */
#endif
