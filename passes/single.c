/* SPDX-License-Identifier: Apache-2.0 */
/* single.c: for targets with vectors, what a model computes in float16 or bfloat16 is computed in float32, whose kernels are fast, and
 * rounded to the model's type wherever that type had rounded: the values are those of the model's type, each in a float32. Weights become
 * float32 here (twice the bytes). Operators that only move elements stay as they are where nobody has computed their operands, such as
 * look-ups in tables of embeddings; so do inputs and outputs of the model. With --fast-f16 nothing is rounded here: pass_half does it.
 *
 *   y: float16 = Conv(x: float16, $w)   --->   t = Cast(x) {to=float32}; u: float32 = AsFloat16(Conv(t, $w)); y = Cast(u) {to=float16}
 */
#include "twins.h"
#include <string.h>

typedef struct Single {
    Run *r;
    Graph *g;
    Twins wide;     /* of a tensor of the model's type: the float32 one with the same values */
    Twins narrow;   /* of one that has become float32: it in the model's type */
    Vec(DType) was; /* by tensor id: the type before it became float32 */
} Single;

static bool short_float(DType t) { return t == DT_FLOAT16 || t == DT_BFLOAT16; }
static DType was(const Single *s, const Tensor *t) { return t->id < s->was.n ? s->was.v[t->id] : DT_NONE; }
static void became_single(Single *s, Tensor *t) {
    while (s->was.n <= t->id) vec_push(s->r->tmp, &s->was, (DType)DT_NONE);
    s->was.v[t->id] = t->type.dt;
    t->type.dt = DT_FLOAT32;
}

/* ---- which nodes, and whether they round */
typedef enum Way { LEAVE, MOVE, EXACT, ROUND } Way; /* MOVE: if an operand has become float32; EXACT: results have the type's bits */
static bool listed(const Node *n, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(n->op->name, names[i]) == 0) return true;
    return false;
}
static Way way_of(const Node *n) {
    static const char *const exact[] = {"Relu",  "Max",     "Min",     "Abs",    "Neg", "Clip",  "Sign",  "Floor",     "Ceil",     "Round",
                                        "Where", "MaxPool", "Hardmax", "Select", "Not", "IsNaN", "IsInf", "ReduceMax", "ReduceMin"};
    static const char *const moves[] = {"Reshape",      "Flatten",       "Squeeze",         "Unsqueeze", "Expand",
                                        "Transpose",    "Split",         "Slice",           "Pad",       "Tile",
                                        "DepthToSpace", "Trilu",         "CenterCropPad",   "Concat",    "Gather",
                                        "SpaceToDepth", "ResizeNearest", "ReverseSequence", "GatherND",  "GatherElements"};
    static const char *const kernels[] = {"Conv",
                                          "ConvTranspose",
                                          "Gemm",
                                          "MatMul",
                                          "AveragePool",
                                          "LpPool",
                                          "Softmax",
                                          "LogSoftmax",
                                          "LayerNormalization",
                                          "RMSNormalization",
                                          "LRN",
                                          "RNN",
                                          "GRU",
                                          "LSTM",
                                          "InstanceNormalization",
                                          "GridSample",
                                          "ResizeAxis",
                                          "EinsumLoops",
                                          "RotaryEmbedding",
                                          "GroupNormalization",
                                          "DeformConv",
                                          "BatchNormalization",
                                          "Gelu",
                                          "Pow",
                                          "FusedAttention"};
    static const char *const leave[] = {"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "BitShift", "AsFloat16", "AsBfloat16"};
#define LISTED(names) listed(n, names, sizeof names / sizeof *names)
    if (LISTED(leave)) return LEAVE;
    if (LISTED(moves)) return MOVE;
    if (LISTED(exact)) return EXACT;
    if (LISTED(kernels) || n->op->kind == OP_EXPR || strncmp(n->op->name, "Reduce", 6) == 0) return ROUND;
    return LEAVE;
#undef LISTED
}

/* ---- types */
static Tensor *like(Single *s, const Tensor *t, DType dt) {
    Tensor *y = tensor_new(s->g, NULL, dt, t->type.rank, t->type.dim);
    y->type = t->type, y->type.dt = dt;
    return y;
}
static Node *unary(Single *s, const char *domain, const char *name, Tensor *from, Tensor *to, Node *before, Loc loc) {
    const OpDef *op = op_find(domain, name);
    Node *n = node_new(s->g, op, before, loc, 1, &from, 1);
    if (!*domain) node_set_i(n, op_attr_index(op, "to"), to->type.dt);
    node_set_out(n, 0, to);
    return n;
}
static Tensor *widened(Single *s, Tensor *t, Loc loc) {
    Graph *g = s->g;
    if (twin_get(&s->wide, t)) return twin_get(&s->wide, t);
    Tensor *twin;
    if (is_const(t)) {
        int64_t n = tensor_elements(t);
        float *v = NEW_ARRAY(g->a, float, n + 1);
        for (int64_t i = 0; i < n; i++) v[i] = (float)dtype_get_f(t->type.dt, t->data, i);
        twin = tensor_const(g, t->name, DT_FLOAT32, t->type.rank, t->type.dim, v);
    } else {
        twin = like(s, t, DT_FLOAT32);
        unary(s, "", "Cast", t, twin, t->def ? t->def->next : g->first, loc);
    }
    return twin_set(&s->wide, t, twin, false);
}
static Tensor *narrowed(Single *s, Tensor *t, Loc loc) {
    if (twin_get(&s->narrow, t)) return twin_get(&s->narrow, t);
    Tensor *twin = like(s, t, was(s, t));
    unary(s, "", "Cast", t, twin, t->def->next, loc);
    return twin_set(&s->narrow, t, twin, false);
}
static void compute_single(Single *s, Node *n, bool rounds) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && short_float(n->in[i]->type.dt)) node_set_in(n, i, widened(s, n->in[i], n->loc));
    for (int i = 0; i < n->nout; i++) {
        Tensor *y = n->out[i];
        if (!y || !short_float(y->type.dt)) continue;
        DType dt = y->type.dt;
        bool output = y->is_output, round = rounds && !s->r->o->fast_f16;
        if (!output && !round) {
            became_single(s, y);
            continue;
        }
        Tensor *value = like(s, y, DT_FLOAT32); /* what n computes */
        n->out[i] = NULL;
        node_set_out(n, i, value);
        if (output) {
            Tensor *rounded = value;
            Node *cast = unary(s, "", "Cast", value, y, n->next, n->loc);
            if (round && y->nuse) {
                rounded = like(s, y, DT_FLOAT32);
                unary(s, "quern", dt == DT_FLOAT16 ? "AsFloat16" : "AsBfloat16", value, rounded, cast, n->loc);
                node_set_in(cast, 0, rounded);
            }
            twin_set(&s->wide, y, rounded, false);
        } else {
            became_single(s, y);
            unary(s, "quern", dt == DT_FLOAT16 ? "AsFloat16" : "AsBfloat16", value, y, n->next, n->loc);
        }
    }
}
/* From the model's type: from what has become float32. To it: what follows is float32. */
static void convert(Single *s, Node *n) {
    Tensor *x = n->in[0], *y = n->out[0];
    if (short_float(x->type.dt) && twin_get(&s->wide, x)) node_set_in(n, 0, x = twin_get(&s->wide, x));
    if (y->type.dt == DT_FLOAT32 && x->type.dt == DT_FLOAT32 && !y->is_output) {
        tensor_replace(s->g, y, x, false);
        return;
    }
    if (short_float(y->type.dt) && !y->is_output && (x->type.dt == DT_FLOAT32 || short_float(x->type.dt))) {
        DType dt = y->type.dt;
        became_single(s, y);
        n->out[0] = NULL;
        unary(s, "quern", dt == DT_FLOAT16 ? "AsFloat16" : "AsBfloat16", short_float(x->type.dt) ? widened(s, x, n->loc) : x, y, n->next,
              n->loc);
        node_remove(s->g, n);
    }
}
bool pass_single(Run *r) {
    Single s = {.r = r, .g = r->g, .wide.tmp = r->tmp, .narrow.tmp = r->tmp};
    if (!r->o || !r->o->target || (r->o->target->vector_bits == 0 && !r->o->precise)) return true;
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        Way way = way_of(n);
        bool any = false;
        for (int i = 0; i < n->nin; i++) any |= n->in[i] && was(&s, n->in[i]);
        if (op_is(n, "Cast")) convert(&s, n);
        else if (way > MOVE || (way == MOVE && any)) compute_single(&s, n, way == ROUND);
        else
            for (int i = 0; i < n->nin; i++)
                if (n->in[i] && was(&s, n->in[i])) node_set_in(n, i, narrowed(&s, n->in[i], n->loc));
    }
    return pass_dce(r);
}
