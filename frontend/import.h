/* SPDX-License-Identifier: Apache-2.0 */
/* import.h: what the files of frontend/ share. Not for others; they use frontend.h. */
#ifndef QN_FRONTEND_IMPORT_H
#define QN_FRONTEND_IMPORT_H
#include "frontend/frontend.h"
#include "onnx.pb-c.h"
#include <string.h>

enum {
    ONNX_NEWEST_IR = 13,
    ONNX_NEWEST_OPSET = 28,
    NEST_MAX = 32,            /* function calls and taken branches inside each other */
    INLINED_NODES_MIN = 50000 /* nodes that function bodies and branches may always add up to */
};
enum { /* AttributeProto.type */
       AP_UNDEFINED,
       AP_FLOAT,
       AP_INT,
       AP_STRING,
       AP_TENSOR,
       AP_GRAPH,
       AP_FLOATS,
       AP_INTS,
       AP_STRINGS,
       AP_TENSORS,
       AP_GRAPHS,
       AP_SPARSE_TENSOR,
       AP_SPARSE_TENSORS,
       AP_TYPE_PROTO,
       AP_TYPE_PROTOS,
       AP_COUNT
};

/* ---- prescan.c: bytes -> checked message tree, in bounded memory */
typedef struct Parsed Parsed; /* owns the tree */
/* NULL after an error. The tree lives until parsed_free; big blocks can be given back one by one. */
Parsed *parsed_new(Ctx *c, const char *file, const ProtobufCMessageDescriptor *what, const void *bytes, size_t n, size_t max_memory,
                   ProtobufCMessage **tree);
void parsed_release(Parsed *p, const void *block); /* a large byte string or array that was copied out; others are left alone */
void parsed_free(Parsed *p);
bool prescan(Ctx *c, const char *file, const ProtobufCMessageDescriptor *what, const uint8_t *bytes, size_t n, size_t max_memory);

/* ---- external.c */
typedef struct External External;

/* ---- import state */
typedef struct Hint { /* element type and rank of a value, guessed ahead of inference */
    int8_t dt, rank;
} Hint;
typedef struct Importer {
    Ctx *c;
    Arena *tmp; /* freed at the end of the import */
    Graph *g;
    const ImportOptions *o;
    const char *file; /* for diagnostics */
    const char *dir;  /* external data must be beneath it; NULL: none allowed */
    Parsed *parsed;
    External *external;
    int64_t budget;    /* bytes that constants may take beyond what the file itself holds */
    int errors_before; /* of the diagnostics, from earlier work */
    int64_t inlined;   /* nodes that came from bodies, and how many may */
    int64_t inlined_max;
    Map *dims;               /* symbol or INPUT[AXIS] -> DimBinding */
    Map *functions;          /* domain, name, overload -> Function */
    Map *unsupported;        /* op -> Unsupported */
    const struct Scope *top; /* the main graph's */
    Map *taken;              /* tensor names in use beside those of the main graph */
    Map *undeclared;         /* domains without opset_import, already told */
    Map *shared;             /* tensors of function bodies, by address: one copy of the data */
    Vec(Hint) hint;          /* by tensor id; old forms need it */
    Map *hint_rule;
} Importer;

typedef struct Function {
    const Onnx__FunctionProto *p;
    Map *opset;  /* its own imports */
    bool active; /* being inlined: a second call is a recursion */
} Function;
typedef struct Call { /* attribute values of the function call that a body belongs to */
    Function *fn;
    Map *attr; /* name -> const Onnx__AttributeProto* */
} Call;

typedef struct Capture { /* what a body reads of the values outside */
    Importer *im;
    Graph *g;
    Vec(Tensor *) outer; /* one for each input of g behind its formal ones */
    const Hint *hint;    /* of the tensors outside */
    int nhint;
} Capture;
typedef struct Scope {
    struct Scope *outer; /* whose values a branch sees; NULL for the main graph and function bodies */
    Map *value;          /* name -> Tensor*, or absent_tensor for a parameter that was not given */
    Map *pending;        /* name -> node index + 1: outputs of this node list */
    Map *declared;       /* name -> Onnx__TypeProto* */
    Map *opset;          /* domain -> int64_t* */
    Call *call;          /* NULL outside functions */
    Loc at;              /* of the call or If node; index -1 in the main graph */
    const char *prefix;  /* "" in the main graph, else "name/" */
    int depth;
    Capture *capture; /* of a body that is a graph of its own; NULL: nodes join the graph outside */
} Scope;
extern Tensor absent_tensor;

static inline const char *pb_str(const char *s) { return s ? s : ""; }
static inline const char *dom_str(const char *s) { return !s || strcmp(s, "ai.onnx") == 0 ? "" : s; }
static inline bool import_failed(const Importer *im) { return im->c->d->errors != im->errors_before; }
static inline Loc file_loc(const Importer *im) { return (Loc){im->file, -1, NULL, NULL}; }

/* ---- types.c */
/* Declared type -> Type, with dimension bindings applied. false after an error. `input`: the graph input this is for, or NULL. */
bool type_import(Importer *im, const Onnx__TypeProto *p, const char *what, const char *input, Type *t);
void inputs_check_free(Importer *im); /* unless free_dims: an error per input with unknown extents */
bool dims_index(Importer *im);        /* options -> im->dims */
void dims_check_used(Importer *im);
void dims_bind_output(Importer *im, const char *name, Type *t);
void dims_extents(Importer *im, const Onnx__GraphProto *p); /* after the inputs: ranges of --dim, and --max */

/* ---- wraps.c: sequences, optionals and maps; `input` as above */
bool wrap_import(Importer *im, const Onnx__TypeProto *p, const char *what, const char *input, Type *t);
void wrap_check_free(Importer *im, const Tensor *t); /* an error that says what to bind, where something is not known */
bool type_tensor_import(Importer *im, const Onnx__TypeProto__Tensor *q, const char *what, const char *input, Type *t);
DimBinding *axis_binding(Importer *im, const char *input, int axis);

/* ---- tensors.c */
/* what: "initializer 'w'" for messages. once: the message's memory may be given back after copying. */
Tensor *tensor_import(Importer *im, const Onnx__TensorProto *p, const char *name, const char *what, Loc loc, bool once);
Tensor *sparse_import(Importer *im, const Onnx__SparseTensorProto *p, const char *name, const char *what, Loc loc);
/* String tensors in memory: n+1 offsets, then the bytes. */
void *strings_pack(Arena *a, int64_t n, const char *const *s, const int64_t *len, int64_t *bytes);
/* Type and bytes of a message. */
bool tensor_read(Importer *im, const Onnx__TensorProto *p, const char *what, Loc loc, Type *t, void **data, int64_t *bytes);
void tensor_message(Arena *a, const Value *v, Onnx__TensorProto *t); /* what onnx_write_tensor writes */
bool budget_take(Importer *im, Loc loc, const char *what, int64_t bytes);
bool external_read(Importer *im, const Onnx__TensorProto *p, const char *what, Loc loc, int64_t bytes, void **data);
void external_close(Importer *im);

/* ---- order.c */
size_t *nodes_order(Importer *im, const Scope *sc, size_t n, Onnx__NodeProto *const *node); /* NULL: as they stand */

/* ---- attrs.c */
typedef struct RawAttr {
    const char *name;
    Attr a;
} RawAttr;
typedef struct RawNode { /* a node on its way from the file's form to the canonical one */
    Importer *im;
    Scope *sc;
    const char *op, *domain;
    int64_t version; /* of the domain's opset */
    Loc loc;
    Vec(Tensor *) in;
    Tensor **out; /* declared tensors without definition yet; NULL: not wanted */
    int nout;
    Vec(RawAttr) attr;
    bool done; /* an upgrade has built everything already */
} RawNode;
/* The attribute that `p` stands for: itself, or the calling node's, or the function's default. NULL: left out. */
const Onnx__AttributeProto *attr_resolve(const Scope *sc, const Onnx__AttributeProto *p);
bool attrs_import(RawNode *r, const Onnx__NodeProto *p);
bool attrs_finish(RawNode *r, Node *n); /* canonical order, kinds and required ones checked */
Tensor *constant_import(Importer *im, Scope *sc, const Onnx__NodeProto *p, const char *name, Loc loc);

/* ---- upgrade.c */
bool upgrade_known(const char *op); /* an old op that some row rewrites */
bool upgrade(RawNode *r);           /* rows of upgrade.def; false after an error */
void hint_node(Importer *im, const Node *n);
Type hint_of(const Importer *im, const Tensor *t); /* dt and rank only */

/* ---- nodes.c */
void node_finish(RawNode *r); /* the canonical node, appended */
void nodes_import(Importer *im, Scope *sc, size_t n, Onnx__NodeProto *const *node);
Tensor *value_find(const Scope *sc, const char *name); /* NULL: unknown */
const char *name_unique(Importer *im, const char *prefix, const char *name);
void scope_init(Importer *im, Scope *sc);
void scope_declare(Scope *sc, size_t n, Onnx__ValueInfoProto *const *v);
void unsupported_report(Importer *im);
bool constants_import(Importer *im, Scope *sc, const Onnx__GraphProto *p);

Tensor *input_find(Importer *im, Scope *sc, const char *name, int64_t index, Loc loc);
Tensor *output_declare(Importer *im, Scope *sc, const char *name);

/* ---- control.c */
bool control_import(Importer *im, Scope *sc, const Onnx__NodeProto *p, int64_t index, Loc loc); /* false: no such operator */
Tensor *capture(const Scope *sc, const char *name, Tensor *outer);

/* ---- functions.c */
const char *inner_prefix(Importer *im, const Scope *sc, const Onnx__NodeProto *p);
void outputs_placeholder(Importer *im, Scope *sc, const Onnx__NodeProto *p);
bool functions_index(Importer *im, const Onnx__ModelProto *m);
Map *opset_map(Importer *im, size_t n, Onnx__OperatorSetIdProto *const *v, const char *where);
Function *function_find(const Importer *im, const Onnx__NodeProto *p);
void function_inline(Importer *im, Scope *sc, Function *f, const Onnx__NodeProto *p, Loc loc);
/* An If whose condition is known; false: it is not (the caller goes on). */
bool if_inline(Importer *im, Scope *sc, const Onnx__NodeProto *p, Loc loc);
/* Whether so many nodes of another body may be put here; else an error was told. */
bool may_nest(Importer *im, const Scope *sc, size_t nodes, Loc loc);

/* ---- flex.c: a FlexAttention with functions; false: it has none */
bool flex_inline(Importer *im, Scope *sc, const Onnx__NodeProto *p, Loc loc);
#endif
