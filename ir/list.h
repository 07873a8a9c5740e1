/* SPDX-License-Identifier: Apache-2.0 */
/* list.h: values that are no tensors. Inside the graph a sequence, an optional or a map is the output of a node `List`, whose operands are
 * what it consists of; operators on it are rewritten while `fold` walks, so that only tensors are left. At the model's interface it is
 * bytes and a list of dims (DESIGN section 5), which ListItem and ListPack read and write.
 *
 *   s = SequenceConstruct(a, b); y = SequenceAt(s, 1)   --->   s = List(a, b); y = b
 *
 * A length that is known at run time only is one more operand, an int64 scalar; what is behind it is never looked at. An optional is
 * a sequence of at most one element, a map is its keys and its values, two vectors.
 */
#ifndef QN_LIST_H
#define QN_LIST_H
#include "extent.h"

enum { LIST_MOST = 4096 }; /* elements */

typedef struct List {
    WrapKind kind;
    DType dt, key; /* of the innermost tensors; DT_NONE: not known */
    int n;         /* elements there can be (map: 2) */
    int64_t lo;    /* elements there are at least */
    Tensor **v;
    Tensor *length; /* NULL: n */
    bool rows;      /* a sequence of maps: v holds the keys of all, [C], and the values, [N,C]; N is in lo, and n is 2 */
} List;
bool list_of(const Tensor *t, List *l); /* false: a tensor */
Tensor *list_new(Graph *g, Node *before, const List *l);
Tensor *list_copy(Graph *g, Node *before, const Tensor *list);
Tensor *list_length(Graph *g, const List *l); /* int64 scalar */
/* What takes the place of `n` where an operand is no tensor and the operator does not expect one: Identity, Select. *done: n is not needed
 * any more. false after an error. */
bool list_node(Ctx *c, Graph *g, Node *n, bool *done);

/* The same for operands that are complex (complex.c). */
bool complex_node(Ctx *c, Graph *g, Node *n, bool *done);

/* The interface: before anything is looked at, and once all is resolved. */
bool lists_open(Ctx *c, Graph *g);
bool lists_pack(Ctx *c, Graph *g, const Type *declared); /* declared: of each output, as the model has it */

/* ---- types */
bool wrap_same_kind(const Type *a, const Type *b); /* what is inside which, element types included */
const Type *wrap_inner(const Type *t);             /* the innermost tensor's */
const Type *wrap_item(const Wrap *w, int i);       /* of element i */

/* The type of an input or output as the model's users see it. */
static inline const Type *port_type(const Tensor *t) { return t->packed ? t->packed : &t->type; }
/* The dims list of the largest value of such a type, of `words` words. */
int64_t *wrap_dims(Arena *a, const Type *t, int64_t *words);

/* The tensors that a value consists of at most, in order. */
typedef struct Leaf {
    Type type; /* extents are bounds; lo those at least */
    int64_t lo[QN_MAX_RANK];
    int64_t word; /* in the dims list: of the first extent */
} Leaf;
typedef Vec(Leaf) Leaves;
bool wrap_leaves(Arena *a, const Type *t, Leaves *v, int64_t *words,
                 int64_t *bytes);          /* false: a length or extent is not known, or too large */
int64_t tensor_dim_words(const Tensor *t); /* int64 words of its list of dims at the interface */
/* What qn_list_take (runtime/ops/qn_lists.h) has to know of an input. */
int64_t *wrap_table(Arena *a, const Type *t, int64_t *n);
int interp_list_take(const int64_t *want, const int64_t *given, bool have, int64_t *to);
#endif
