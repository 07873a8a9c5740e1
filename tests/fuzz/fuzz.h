/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h: random graphs, valid by construction. What its files share.
 *
 *   seed -> words of rows.def -> nodes, each evaluated at once -> .onnx -> interpreter and emitted C, plain and optimised -> compared
 *
 * A graph is a list of values and a list of nodes on them, so that parts of it can be left out (shrink.c). Every value has its elements,
 * computed node by node, and a second set of them, computed from inputs of floats that are moved by a few units in the last place. A node
 * whose results move by more than a part of what comparisons allow is not taken: such a graph would differ for no fault of anyone. */
#ifndef QN_FUZZ_H
#define QN_FUZZ_H
#include "ir/ir.h"
#include "passes/passes.h"

typedef struct Value1 {
    DType dt;
    int rank;
    int64_t dim[QN_MAX_RANK], n, bytes;
    void *data, *moved;         /* moved: NULL where it equals data */
    int def;                    /* node, or -1 */
    bool constant, used, shown; /* shown: an output although something reads it */
    bool dynamic;               /* an extent may be known at run time only */
} Value1;
typedef struct Node1 {
    const OpDef *op;
    Attr *attr;
    int nin, nout, *in, *out;  /* values; -1: absent */
    const char *flags;         /* of its row */
    const char *macro, **name; /* NULL, or what it is in a model (macro.c), and how that names the operands */
    bool gone;
} Node1;
typedef struct Fuzz {
    Arena *a;
    uint64_t state, seed;
    bool ort;   /* to be compared with ONNX Runtime: only what it has kernels for, and no operation it leaves undefined */
    bool wild;  /* NaN, infinities, extreme integers among the inputs */
    bool empty; /* extents may be 0 */
    bool symbolic;
    int64_t extent; /* symbolic: the inputs' axes of this extent are free */
    Vec(Value1) v;
    Vec(Node1) n;
    const char *why; /* the last node that was refused, and why */
} Fuzz;

/* ---- random.c */
uint64_t rnd(Fuzz *f);
int64_t pick(Fuzz *f, int64_t lo, int64_t hi); /* inclusive */
bool chance(Fuzz *f, int percent);

/* ---- rows.c: rows.def */
typedef struct Row {
    const char *domain, *name, *flags, *words;
    const OpDef *op;
} Row;
int row_count(void);
const Row *row_at(int i);
bool row_allows(int i, DType dt); /* of the operand that gives a node its type (type_operand) */
int type_operand(const OpDef *op);
bool type_in_ort(DType dt); /* ONNX Runtime's interface for JavaScript has such tensors */
/* Appends a node of this row, whose typing operand has element type dt, and what it needs. false: not possible here; nothing changed. */
bool node_make(Fuzz *f, const Row *row, DType dt);

/* ---- eager.c */
int value_new(Fuzz *f, DType dt, int rank, const int64_t *dim, bool constant);
bool node_evaluate(Fuzz *f, Node1 *n);                                     /* appends its outputs */
const char *plain_passes(Arena *a);                                        /* --passes without any that may be left out */
bool value_same(const Value1 *v, const void *x, const void *y, int64_t i); /* bit for bit, as text or as numbers */
bool value_close(DType dt, const void *got, const void *want, const void *moved, int64_t i);

/* ---- generate.c */
void pairs_make(const char *ort_table); /* all operators with rows, in every element type; which of them ONNX Runtime has kernels for */
int pair_count(void);
const OpDef *pair_op(int i);
DType pair_type(int i);
bool pair_ort(int i);
int pair_find(const OpDef *op, DType dt); /* -1: none */
void graph_generate(Fuzz *f, uint64_t seed, int index);
DType node_type(const Fuzz *f, const Node1 *n); /* that it counts for in the table */

/* ---- macro.c */
struct OnnxGraph;
void macro_write(struct OnnxGraph *g, const Fuzz *f, const Node1 *n, int id);

/* ---- model.c */
bool value_is_input(const Fuzz *f, int i); /* of what is left of the graph */
bool value_is_output(const Fuzz *f, int i);
int values_list(const Fuzz *f, bool (*is)(const Fuzz *, int), int *list); /* list: room for all */
void *graph_onnx(const Fuzz *f, Arena *a, int opset, size_t *bytes);
Graph *graph_import(const Fuzz *f, Ctx *c);
char *graph_qir(const Fuzz *f, Arena *a); /* a test case for tests/values: inputs are constants */

/* ---- run.c */
/* Compiles, runs and compares graphs; what[i]: NULL where all agree, else which step does not. */
void graphs_run(Fuzz *const *f, int n, const char *work, const char **what);
void graph_shrink(Fuzz *f, const char *work, const char *what);

/* ---- ort.c */
const char *ort_differs(const Fuzz *f, const Node1 *n); /* why this node is not compared, or NULL */
bool ort_never(const OpDef *op, DType dt);              /* whatever the operands */
void ort_write(const Fuzz *f, const char *dir);
const char *ort_compare(Fuzz *f, const char *dir); /* NULL: agrees; "-…": it did not run there */
#endif
