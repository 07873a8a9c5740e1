/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of passes/ share. Nothing outside the folder includes it. */
#ifndef QN_PASSES_INTERNAL_H
#define QN_PASSES_INTERNAL_H
#include "ir/fusion.h"
#include "ir/target.h"
#include "passes.h"

/* What a pass works on. Graph passes change g; `lower` makes p; later ones change p. */
typedef struct Run {
    Ctx *c;
    Graph *g;
    Program *p; /* NULL before `lower` */
    const PassOptions *o;
    Arena *tmp;      /* emptied after the pass */
    const bool *run; /* by row: which passes run; NULL: any may */
} Run;
typedef enum PassKind {
    PASS_NEED, /* runs even when --passes does not name it: later passes rely on it */
    PASS_OPT   /* may be left out; the result stays right */
} PassKind;
typedef bool (*PassFn)(Run *r);
typedef struct PassRow {
    const char *name;
    PassFn fn;
    PassKind kind;
    const char *doc;
} PassRow;
bool pass_runs(const Run *r, PassFn fn); /* among those of this compilation */
#define PASS(name, fn, kind, doc) bool fn(Run *r);
#define AFTER(a, b, why)
#include "passes.def"
#undef PASS
#undef AFTER

/* fold.c: infers, expands and evaluates one node. *next: the node to go on with. false after an error of this node. */
typedef struct Folder {
    Ctx *c;
    Graph *g;
    Arena *tmp; /* renewed when it has grown */
    int *bad;   /* per tensor id: its definition failed, so say nothing about its users; k > 0: it is in a branch that cannot be taken */
    int nbad;
    Vec(Diag) held; /* why: k is number k - 1 */
    int64_t folded, refused;
    int64_t budget; /* bytes that results may still take */
    bool hold;      /* DequantizeLinear of constants stays, for pass_qdq to see the integers */
    bool narrow;    /* what is scaled in blocks is not folded */
    bool branches;  /* an error in a branch of an If is one of the run that takes it */
} Folder;
void folder_init(Folder *f, Ctx *c, Graph *g);
void folder_done(Folder *f);
bool fold_node(Folder *f, Node *n, Node **next);
bool fold_all(Run *r, bool hold); /* every node; afterwards all types are known */

/* rules.c */
void rules_markdown(Text *out);
void rules_list(Text *out);

/* retarget.c: blocks of sums for a target which is not the one that layouts were made for, and back. */
typedef struct SavedAttrs {
    Vec(Node *) node;
    Vec(Attr *) attr;
} SavedAttrs;
void retarget(Run *r, const struct Target *own, SavedAttrs *saved);
void retarget_undo(const SavedAttrs *saved);

/* exact.c: sums of weights, an int32 constant, times the zero point of what they meet; NULL if that is known to be 0. */
Tensor *times_zero(Graph *g, Node *before, Tensor *sums, Tensor *zero);

/* names.c: a C identifier from a model's string, unique within `used`. */
const char *kernel_name(Arena *a, Map *used, const char *model, const char *fallback);

/* inplace.c: fills k->inplace */
void inplace_pairs(Arena *a, Arena *tmp, Kernel *k);

/* guard.c: loops of the program and kernels that run under a condition */
void program_regions(Run *r, Program *p);

/* pack.c: offsets for blocks that live from kernel `first` to `last`. Returns the height. */
typedef struct Block {
    int64_t bytes;   /* a multiple of the alignment, or 0 */
    int first, last; /* kernel indices, inclusive */
    int64_t addr;    /* result */
} Block;
int64_t pack_blocks(Arena *tmp, int n, Block *b, int64_t bound);
/* alias.c: whether a node only renames elements of its operand (or, for Concat, places its operands side by side), so that it
 * needs no kernel when the layout allows */
bool viewable(const Node *n);

/* panel.c: how a matrix is cut into panels of columns, for rows that are multiplied with it in blocks */
enum { PANEL_CHAINS = 8 }; /* additions that one sum's latency has room for */
typedef struct PanelChoice {
    int64_t lanes, width, tail, block; /* columns of a vector, of a panel, of the last one (0: as the others); rows of a block */
} PanelChoice;
/* One sum at a time where the order of additions must not depend on the registers that there are. */
static inline int64_t panel_chains(const Run *r) { return r->o->precise ? 1 : PANEL_CHAINS; }
PanelChoice panel_equal(const Target *t, int64_t rows, int64_t cols, int64_t depth); /* without a narrower last panel */
bool panel_recurrent(Run *r, Node *n); /* panel_recurrent.c: false: not such a node, or not possible */

/* plan.c */
void plan_print(const Program *p, Text *out);
int64_t pack_bound(Arena *tmp, int n, const Block *b, int nkernel); /* largest sum of bytes live at one kernel */

static inline int64_t align64(int64_t n) { return (n + 63) & ~(int64_t)63; }
static inline bool is_const(const Tensor *t) { return t && t->data; }
static inline bool op_is(const Node *n, const char *name) {
    const char *a = n->op->name;
    if (n->op->domain[0]) return false;
    while (*a && *a == *name) a++, name++;
    return *a == *name;
}
#endif
