/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h: the op registry (ops.def) and what an op's row may hold.
 *
 * A row is one of four kinds:
 *   EXPR    elementwise, a formula over x, y, z (inputs 0, 1, 2) and attribute names; broadcasting as in ONNX
 *   REWRITE expanded once into other ops, after its inputs' types are known
 *   COMPUTE out[i] is an expression of inputs at index expressions (transposes, slices, gathers…): can be inlined
 *   KERNEL  infer + lower: loops of its own
 *   OPAQUE  a KERNEL whose lower emits a call of one C routine in runtime/ (data-dependent ops)
 *
 * Adding an op: one row in ops.def, its functions in ops/<family>.c, one golden or unit test. */
#ifndef QN_OPS_H
#define QN_OPS_H
#include "loop.h"

typedef enum OpKind { OP_EXPR, OP_REWRITE, OP_COMPUTE, OP_KERNEL, OP_OPAQUE } OpKind;
enum {
    OPF_COMMUTES = 1, /* two inputs may be swapped */
    OPF_ONCE = 2,     /* KERNEL: lower_store is called exactly once per output element with its final value: epilogues may fuse */
    OPF_RANDOM = 4,   /* not to be folded or merged with an equal node */
    OPF_VIEW = 8,     /* output 0 is the input's elements in the same row-major order (reshape family) */
    OPF_COST = 16,    /* COMPUTE: not free, do not duplicate */
    OPF_EXTENTS = 32, /* takes operands with run-time extents (plain EXPR rows do anyway) */
    OPF_KEEP = 64,    /* not to be removed, whoever needs its outputs */
    OPF_LISTS = 128,  /* takes operands that are no tensors (list.h) */
    OPF_FOUND = 256,  /* times how many outputs it has that no model names: extents which it finds; the highest flag */
};

typedef struct AttrSpec {
    const char *name;
    AttrKind kind;
    bool required;
    Attr def; /* kind ATTR_NONE when there is no default */
} AttrSpec;

typedef struct Infer { /* what an infer function gets */
    Ctx *c;
    Graph *g;
    Node *n;
} Infer;
typedef struct Lower Lower;

typedef bool (*InferFn)(Infer *x); /* sets the types of n->out[*]; false after diag_error */
typedef bool (*RewriteFn)(Ctx *c, Graph *g,
                          Node *n); /* builds replacements before n and tensor_replace()s its outputs; the caller removes n */
typedef Expr *(*ComputeFn)(Lower *L, Node *n, int out, Expr *const *idx);
typedef bool (*LowerFn)(Lower *L, Node *n);
typedef int64_t (*MacsFn)(const Node *n); /* multiply-accumulates, biases not counted; -1 overflow */

struct OpDef {
    const char *name, *domain; /* domain "" is ai.onnx */
    int since;                 /* opset whose form this is (the newest change of the canonical form) */
    int min_in, max_in;        /* max -1: variadic */
    int min_out, max_out;
    OpKind kind;
    int flags;
    const char *attr_spec; /* "axis:i=-1 keepdims:i=1 axes:is pads:is mode:s=constant value:t!" ; '!' = required */
    const char *types; /* per input, space separated: f (floats) i (ints) n (numeric) b (bool) s (string) r (numeric, bool) o (not complex)
                          a (any) I (int32/int64) or a letter T.. ; "" any */
    const char *meaning; /* EXPR: the formula; others: NULL */
    InferFn infer;       /* EXPR: NULL = broadcast, dtype of the expression */
    LowerFn lower;
    ComputeFn compute;
    RewriteFn rewrite;
    MacsFn macs;
    const char *doc; /* one sentence */
    /* filled at start-up (ops_init): */
    int nattr;
    AttrSpec *attr;
    int result; /* EXPR without infer: the input whose element type the output has; -1: bool */
};

void ops_init(void);                                        /* parses attribute specs and formulas once; idempotent, not thread safe */
const OpDef *op_find(const char *domain, const char *name); /* NULL if unknown. Domain "ai.onnx" equals "" */
int op_count(void);
const OpDef *op_at(int i);                                    /* in table order */
const char *op_refused(const char *domain, const char *name); /* why an operator is none of them; NULL: nothing is known of it */
int op_most_out(const OpDef *op);                             /* outputs of ONNX's form at most; -1: variadic */
int op_attr_index(const OpDef *op, const char *name);         /* -1 if it has none such */
void ops_markdown(Text *out);                                 /* docs/ops.md */

/* What a row says of the element type of an operand: its class, a letter of its column `types`; *group: T..Z, or 0. */
char op_operand_class(const OpDef *op, int input, char *group);
bool class_takes(char class, DType t);

/* ---- inference helpers (infer.c) */
bool node_infer(Ctx *c, Graph *g, Node *n); /* dispatches on the row; arity, input types and the row's infer */
bool infer_error(Infer *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool infer_same(Infer *x);                                                         /* every output: type of input 0 */
bool infer_like(Infer *x, int i, DType dt, const Type *t);                         /* output i: shape of t */
bool infer_broadcast_of(Infer *x, int out, DType dt, int n, const Type *const *t); /* output `out`: broadcast of these */
bool infer_broadcast(Infer *x);                                                    /* output 0: broadcast of all inputs, dtype of input 0 */
bool infer_out(Infer *x, int i, DType dt, int rank,
               const int64_t *dim); /* checks element count for overflow; merges with a declared type */
bool infer_declared(Infer *x, int i, DType dt,
                    const char *why);              /* output i, whose extents depend on run-time values: the declared ones; else an error */
bool infer_one(Infer *x, int i, const char *what); /* input i, called so, is absent or has one element, perhaps as known at run time */
bool infer_some(Infer *x, Expr *n, Expr *wanted);  /* n > 0, or nothing is wanted; checked at run time unless it is sure */
bool infer_axis(Infer *x, int64_t axis, int rank, int *out); /* negative axes; error when out of range */
bool broadcast_dims(int nshape, const Type *const *t, int *rank, int64_t *dim);
/* Integers of input i: constant, else false with *n = -1 and no error (the caller decides). Absent: *n = 0 and v NULL, true. */
bool infer_ints(Infer *x, int i, const int64_t **v, int64_t *n);

/* ---- lowering (lower.c in passes drives it; the builder is ir/lower.c)
 * Loops and statements are appended at the current place. Everything an op reads or writes of tensors goes through
 * lower_load and lower_store, so that prologues, epilogues and views need no thought in the op. */
struct Lower {
    Ctx *c;
    Arena *a;
    Graph *g;
    Func *f;
    Vec(Stmt *) open;         /* open blocks, innermost last */
    struct Fusion *fusion;    /* what is inlined and what follows a store; NULL: nothing */
    Vec(Buf *) tensor_buf;    /* buffers made so far */
    Vec(Buf *) scratch;       /* those of lower_temp which are too large for the stack */
    Map *names;               /* identifiers in use: buffers and variables never share one */
    int64_t stack;            /* bytes of MEM_STACK buffers so far */
    Vec(const Var *) extent;  /* extents of the graph which the nest reads, and */
    Vec(Expr *) extent_local; /* … the variables at the top of the function that hold them */
    int extent_lets;          /* statements at the top that read them */
    bool may_let;             /* statements may be appended while an expression is built (not inside an inlined one) */
    bool affine;              /* products of run-time extents get names outside of the loops, so that schedules see sums of multiples */
};
Expr *lower_load(Lower *L, Node *n, int input, Expr *const *idx);                   /* idx has the rank of that input */
Expr *lower_load_b(Lower *L, Node *n, int input, const Type *as, Expr *const *idx); /* idx in a broader shape `as`: broadcasting applied */
/* Where index idx of axis o of `as` falls in axis k of t, which broadcasts to it. */
Expr *lower_broadcast(Lower *L, const Type *t, int k, const Type *as, int o, Expr *idx);
void lower_store(Lower *L, Node *n, int output, Expr *const *idx, Expr *val);
Expr *lower_load_t(Lower *L, Tensor *t, Expr *const *idx); /* of any tensor the kernel may read */
Expr *
lower_loop(Lower *L, const char *name,
           int64_t extent); /* for name in [0, extent): returns the variable; extent 1 gives the literal 0 and still needs lower_end */
Expr *lower_loop_range(Lower *L, const char *name, Expr *lo, Expr *hi);
void lower_if(Lower *L, Expr *cond);
void lower_else(Lower *L);
void lower_end(Lower *L);                                                        /* closes the innermost loop or if */
void lower_loops(Lower *L, const char *const *names, const Type *t, Expr **idx); /* one loop per axis of t; names may be NULL */
void lower_ends(Lower *L, int n);
/* Run-time extents: type_extent and what is computed from it, in terms of variables of the function. Constants stay constants. */
Expr *lower_extent(Lower *L, Expr *e);
Expr *lower_dim(Lower *L, const Type *t, int axis);
void lower_knows_extent(Lower *L, const Var *v, Expr *e);                                  /* computed by the nest itself: e from here on */
Expr *const *lower_buffer_index(Lower *L, const Tensor *t, Expr *const *idx, Expr **flat); /* of an element in lower_tensor's buffer */
Expr *lower_loop_to(Lower *L, const char *name, Expr *extent); /* lower_loop with an extent that may be known at run time only */
Buf *lower_temp(Lower *L, const char *name, DType dt, int rank, const int64_t *dim); /* rank 0: a register; small: stack; large: scratch */
Expr *lower_let(Lower *L, const char *name, Expr *e);                                /* a named scalar */
Expr *lower_get(Lower *L, Buf *b, Expr *const *idx);
void lower_put(Lower *L, Buf *b, Expr *const *idx, Expr *val, RedOp red);
/* Call of a runtime routine: integer arguments, then the tensors' storage (dense; inputs are materialised). */
void lower_call(Lower *L, const char *name, int narg, Expr *const *arg, int nbuf, Buf *const *buf, uint32_t writes);
/* Hints that a part of constant operand i will be read next: the one from element `from` on, in the order in which it lies there. The
 * caller's nest has `parts` blocks that each take `steps` steps; `part` and `step` count them, and a step asks for its share: at once, or
 * spread over a loop of `turns` turns, where lower_hints gives turn k its part of the share. */
typedef struct Hints {
    Buf *b;
    Expr *at;
    int64_t share, turns; /* lines; turns 0: all are asked for already */
} Hints;
typedef struct HintPlan {
    Expr *from, *part, *step;
    int64_t lines, parts, steps, turns; /* lines: of a step, all blocks together */
} HintPlan;
Hints lower_prefetch(Lower *L, Node *n, int i, const HintPlan *p);
void lower_hints(Lower *L, const Hints *h, Expr *k);
/* What is in memory for operand i: itself, or of what it is computed where it is read. */
Tensor *lower_stored(Lower *L, const Node *n, int i);
/* The number of the element at an index of operand i. */
Expr *lower_flat(Lower *L, Node *n, int i, Expr *const *at);
/* formula_build of our own text; values that are named more than once are bound with lower_let where statements may be appended. */
Expr *lower_formula(Lower *L, const char *formula, int n, const char *const *name, Expr *const *value);
/* Sums of halves: each addition loses up to 2^-11 of what there is so far, so only so many products are added up as halves; such sums are
 * then added up as float32. */
enum { HALF_SUM = 128 };
Buf *lower_tensor(Lower *L, Tensor *t); /* the buffer of a materialised tensor (for lower_call and lower_get) */
static inline Expr *lower_int(Lower *L, int64_t v) { return e_int(L->a, v); }

/* The formula language of EXPR rows: names in `name` stand for `value`. Types come from the values. NULL and an error
 * text in *err on a syntax error. Grammar: C's operators with ?:, min max abs clamp(x,lo,hi) select(c,a,b) and calls.def. */
Expr *formula_build(Arena *a, const char *formula, int n, const char *const *name, Expr *const *value, const char **err);
#endif
