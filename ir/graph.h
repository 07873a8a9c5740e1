/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h: the tensor graph. SSA: every tensor has one definition (a node, a graph input, or constant data);
 * the node list is in topological order. Only canonical ops (the newest opset's form) live here. */
#ifndef QN_GRAPH_H
#define QN_GRAPH_H
#include "base.h"
#include "dtype.h"

#define QN_MAX_RANK 12
#define DIM_UNKNOWN (-1)

typedef struct Type {
    DType dt;                 /* DT_NONE: not yet inferred */
    int rank;                 /* -1: not yet inferred */
    int64_t dim[QN_MAX_RANK]; /* the extent, or its upper bound when it is known at run time only; DIM_UNKNOWN before inference */
    const char **sym;         /* NULL, or per axis NULL or the symbol's name */
    struct Expr **ext;        /* NULL: all extents are constant; else per axis NULL or the extent in terms of Graph.extent. Never
                               * changed in place: types share it */
    int64_t cap;              /* 0, or the most elements there can be, where that is less than the product of the bounds */
    const struct Wrap *wrap;  /* NULL: a tensor; else dt is DT_NONE and rank -1 */
} Type;

typedef enum WrapKind { WRAP_SEQUENCE, WRAP_OPTIONAL, WRAP_MAP } WrapKind;
typedef struct Wrap { /* a value that is no tensor: a sequence of values, a value or nothing, keys with values (list.h) */
    WrapKind kind;
    DType key;        /* of a map */
    Type of;          /* what is inside */
    int64_t lo, hi;   /* how many; hi DIM_UNKNOWN: not known. An optional may always be empty */
    const Type *each; /* NULL, or hi types where the elements of a sequence differ */
    int64_t *low;     /* NULL, or per axis of `of` the extent at least: those below the bound are known at run time only */
} Wrap;

typedef struct Node Node;
typedef struct Tensor Tensor;
typedef struct Graph Graph;
typedef struct OpDef OpDef;

/* Where a tensor's elements are, once layout was decided: `base` owns storage, this tensor is a strided window. */
typedef struct View {
    Tensor *base;
    int64_t offset;              /* elements from the base's start */
    int64_t stride[QN_MAX_RANK]; /* elements */
} View;

typedef struct Use { /* one operand slot of one node; a tensor's uses form a list */
    Node *node;
    int index;
    struct Use *prev, *next;
} Use;

typedef enum StoreKind { ST_NONE, ST_INPUT, ST_OUTPUT, ST_CONST, ST_ARENA } StoreKind;

struct Tensor {
    const char *name; /* ONNX name, or a generated one; unique within the graph's text form */
    int id;           /* dense, in order of creation */
    Type type;
    Node *def; /* NULL for inputs and constants */
    int def_index;
    Use *uses;
    int nuse;         /* operand slots; being a graph output does not count */
    const void *data; /* constants: packed like ONNX raw_data, little endian; NULL if computed */
    bool is_input, is_output;
    bool kept;         /* needed beside its uses: an extent, or the shape of an output */
    View *view;        /* NULL: owns dense row-major storage */
    struct Expr **val; /* of a small integer tensor whose elements are known in terms of Graph.extent; else NULL */
    bool read;         /* val was read off it at run time, so it has to be computed */
    int64_t max;       /* with has_max: no element of an integer input is larger (--max), no string of any tensor longer */
    bool has_max;
    const Type *packed; /* of an input or output: the value that its bytes stand for, which is no tensor; else NULL */
    Tensor *dims;       /* of such an input: an int64 vector that the entry point fills with its dims list */
    StoreKind store;    /* set by the planner */
    int64_t bytes;      /* of strings at the model's interface: room for offsets and text; 0: what the type needs */
    int64_t addr;       /* ST_INPUT/ST_OUTPUT: position; ST_CONST: byte offset in the weights; ST_ARENA: byte offset */
};

typedef enum AttrKind {
    ATTR_NONE,
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSOR,
    ATTR_GRAPH
} AttrKind;
typedef struct Attr {
    AttrKind kind; /* ATTR_NONE: absent and without default */
    int64_t i;
    float f;
    const char *s; /* NUL-terminated; slen bytes */
    int64_t n;     /* length of is, fs, ss, or of s */
    const int64_t *is;
    const float *fs;
    const char **ss;
    Tensor *t;
    Graph *g;
} Attr;

/* One of the two ways that an If can go, where only the run shows which: a node with it is in that branch. */
typedef struct Branch {
    Tensor *cond;
    bool then;
    const struct Branch *outer;
} Branch;

struct Node {
    const OpDef *op;
    Tensor **in;  /* NULL entries: absent optional inputs */
    Tensor **out; /* NULL entries: absent optional outputs */
    int nin, nout;
    Use *use;   /* nin of them, the list links of `in`; change operands through node_set_in */
    Attr *attr; /* op->nattr of them, in the order of the op's spec, defaults filled */
    Loc loc;
    Node *prev, *next;
    int kernel;           /* 0: not grouped; else the fused kernel it belongs to (kernels are contiguous in the list) */
    int order;            /* scratch number for passes: position in the list after graph_number */
    int role;             /* NodeRole of fusion.h, within its kernel */
    struct Expr *when;    /* NULL, or what has to hold for its results to be used: it was in an iteration that need not run */
    const Branch *branch; /* NULL, or the branch that it was in */
    const char *layer;    /* of the model, whose blocks were chosen; NULL: none were */
    const char *mapped;   /* its mapping (mapping.h), as one line; passes/blocks.h */
};

/* An extent that is known only at run time: a free dimension of the inputs, or a number that depends on values. */
typedef struct Extent {
    const struct Var *v; /* stands for it in Type.ext and Tensor.val */
    const char *name;
    int64_t lo, hi; /* inclusive; what is outside ends the run with an error where `check` is set */
    Tensor *t;      /* int64 scalar which holds it; without definition: the entry point sets it */
    struct Expr *e; /* NULL, or what its node computes, in terms of earlier ones */
    Tensor *input;  /* free dimension: the first input and axis that have it */
    int axis;
    bool check, shape; /* shape: a mismatch of shapes rather than a bound that is exceeded */
} Extent;

struct Graph {
    Arena *a;
    const char *name;
    Node *first, *last;
    Vec(Tensor *) in; /* inputs without initialiser, in order */
    Vec(Tensor *) out;
    Vec(Tensor *) tensors;  /* all, by id */
    Vec(Extent *) extent;   /* in order of definition; empty: every shape is constant */
    Vec(Tensor *) out_dims; /* per output NULL or, where its shape is not constant, an int64 vector that holds it at the end */
    int nnode;
    Map *copies;        /* name -> how many tensors of bodies have it so far: copies get numbers */
    int64_t max_string; /* bytes that a string of an input may have */
    const char *file;   /* for diagnostics */
    int64_t given;      /* bytes of the constants that the model came with */
    bool halves;        /* DT_HALF is an element type: a pass has made it one */
};

Graph *graph_new(Arena *a, const char *name);
Tensor *tensor_new(Graph *g, const char *name, DType dt, int rank, const int64_t *dim);                     /* dim NULL: unknown extents */
Tensor *tensor_const(Graph *g, const char *name, DType dt, int rank, const int64_t *dim, const void *data); /* data kept by reference */
Tensor *tensor_i64s(Graph *g, const int64_t *v, int64_t n); /* constant int64 vector; n = -1: scalar v[0] */
Tensor *tensor_scalar(Graph *g, DType dt, double v);        /* constant rank-0 tensor */
/* Appends at the end, or before `before` when not NULL. Operands may be NULL. Attributes are set to the op's defaults. */
Node *node_new(Graph *g, const OpDef *op, Node *before, Loc loc, int nin, Tensor *const *in, int nout);
void node_set_in(Node *n, int i, Tensor *t);
void node_set_out(Node *n, int i, Tensor *t); /* makes n the definition of t */
void node_remove(Graph *g, Node *n);          /* its outputs must have no uses left */
void node_move_before(Graph *g, Node *n, Node *where);
/* Every use of `old` (and its place among the graph outputs, when `outputs`) becomes `t`. */
void tensor_replace(Graph *g, Tensor *old, Tensor *t, bool outputs);
void graph_number(Graph *g); /* fills Node.order */

/* Convenience for rewrites: a new node of op `name` before `before` with one fresh untyped output; up to 8 operands, end with
 * the count. Returns the output. */
Tensor *build(Graph *g, Node *before, const char *op, int nin, Tensor *const *in);
Node *build_node(Graph *g, Node *before, const char *op, int nin, Tensor *const *in, int nout);
void node_set_i(Node *n, int attr, int64_t v);
void node_set_f(Node *n, int attr, float v);
void node_set_s(Node *n, int attr, const char *v);
void node_set_is(Graph *g, Node *n, int attr, const int64_t *v, int64_t n_v);
static inline int64_t attr_i(const Node *n, int k) { return n->attr[k].i; }
static inline float attr_f(const Node *n, int k) { return n->attr[k].f; }
static inline const char *attr_s(const Node *n, int k) { return n->attr[k].s; }
static inline bool attr_has(const Node *n, int k) { return n->attr[k].kind != ATTR_NONE; }

bool type_known(const Type *t); /* dtype, rank and every extent */
bool type_same(const Type *a, const Type *b);
bool type_elements(const Type *t, int64_t *n); /* false: unknown or overflow */
int64_t tensor_elements(const Tensor *t);      /* of a known type (verified to fit) */
int64_t tensor_bytes(const Tensor *t);
Tensor *tensor_base(const Tensor *t); /* what holds its elements: itself, or the tensor that it is a view of; NULL of NULL */
void type_set(Type *t, DType dt, int rank, const int64_t *dim);
void type_strides(const Type *t, int64_t *stride); /* dense row-major, in elements */
void type_print(const Type *t, Text *out);         /* float32[1,3,224,224] */
/* The integers of a constant 0-D or 1-D tensor of any integer type; NULL if not constant. */
const int64_t *const_i64s(Arena *a, const Tensor *t, int64_t *n);
bool const_f(const Tensor *t, double *v); /* a constant all of whose elements are equal */

/* text.c: `%` round trip. Constants print as `rand(seed)`, `splat(v)`, literals when small, or `hex("…")`. */
void graph_print(const Graph *g, Text *out);
Graph *graph_parse(Ctx *c, const char *file, const char *text); /* NULL after errors with file and line */
/* verify.c: SSA, order, arity, attribute kinds, types present after `typed`, use lists. All problems are reported. */
bool graph_verify(Ctx *c, const Graph *g, bool typed);
#endif
