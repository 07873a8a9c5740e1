/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade.c: runs the rows of upgrade.def over a node, and holds their general functions. Also the little that old forms need
 * to know before inference: element type and rank of values, passed along from node to node where that is plain.
 *
 *   ReduceMean(x) {axes=[1], keepdims=0} of opset 11   ->   ReduceMean(x, [1]) {keepdims=0}
 */
#include "frontend/upgrade.h"
#include <stdlib.h>

/* ---- the raw node */
const Attr *raw_attr(const RawNode *r, const char *name) {
    for (int i = 0; i < r->attr.n; i++)
        if (strcmp(r->attr.v[i].name, name) == 0) return &r->attr.v[i].a;
    return NULL;
}
bool raw_take(RawNode *r, const char *name, Attr *a) {
    for (int i = 0; i < r->attr.n; i++) {
        if (strcmp(r->attr.v[i].name, name)) continue;
        *a = r->attr.v[i].a;
        r->attr.v[i] = r->attr.v[--r->attr.n];
        return true;
    }
    return false;
}
void raw_put(RawNode *r, const char *name, Attr a) {
    Attr old;
    raw_take(r, name, &old);
    vec_push(r->im->tmp, &r->attr, ((RawAttr){name, a}));
}
Tensor *raw_in(const RawNode *r, int i) { return i < r->in.n ? r->in.v[i] : NULL; }
Tensor *raw_out(RawNode *r, int i) { return i < r->nout ? r->out[i] : NULL; }
void raw_set_in(RawNode *r, int i, Tensor *t) {
    while (r->in.n <= i) vec_push(r->im->tmp, &r->in, NULL);
    r->in.v[i] = t;
}
Tensor *raw_build_as(RawNode *r, const char *op, int nin, Tensor *const *in, Tensor *out) {
    const OpDef *d = op_find("", op);
    if (!d) {
        RAW_ERROR(r, "the form of opset %lld needs operator %s, which is not supported", (long long)r->version, op);
        return out;
    }
    Node *n = node_new(r->im->g, d, NULL, r->loc, nin, in, 1);
    node_set_out(n, 0, out);
    hint_node(r->im, n);
    return out;
}
Tensor *raw_build(RawNode *r, const char *op, int nin, Tensor *const *in) {
    return raw_build_as(r, op, nin, in, tensor_new(r->im->g, NULL, DT_NONE, -1, NULL));
}
Tensor *raw_scalar(RawNode *r, const Tensor *like, double v) {
    DType dt = like ? hint_of(r->im, like).dt : DT_NONE;
    return tensor_scalar(r->im->g, dt == DT_NONE ? DT_FLOAT32 : dt, v);
}
bool raw_kind(RawNode *r, const char *name, const Attr *a, AttrKind want) {
    return a->kind == want ||
           RAW_ERROR(r, "attribute '%s' of %s has another type than its opset %lld gives it", name, r->op, (long long)r->version);
}

/* "name 2" -> name and 2. */
static const char *split_arg(RawNode *r, const char *arg, const char **rest) {
    const char *space = strchr(arg, ' ');
    *rest = space ? space + 1 : "";
    return arena_strndup(r->im->tmp, arg, space ? (size_t)(space - arg) : strlen(arg));
}

/* ---- general rows */
bool up_drop(RawNode *r, const char *arg) {
    for (Attr a; *arg;) raw_take(r, split_arg(r, arg, &arg), &a);
    return true;
}
bool up_rename_op(RawNode *r, const char *arg) { return r->op = arg, true; }
bool up_rename_attr(RawNode *r, const char *arg) {
    Attr a;
    const char *to, *from = split_arg(r, arg, &to);
    if (raw_take(r, from, &a)) raw_put(r, to, a);
    return true;
}
bool up_ints_to_input(RawNode *r, const char *arg) {
    Attr a;
    const char *at, *name = split_arg(r, arg, &at);
    if (!raw_take(r, name, &a)) return true;
    int i = atoi(at);
    if (raw_in(r, i)) return RAW_ERROR(r, "'%s' is given as attribute and as input %d", name, i);
    if (a.kind == ATTR_INT) a.is = &a.i, a.n = 1, a.kind = ATTR_INTS;
    if (!raw_kind(r, name, &a, ATTR_INTS)) return false;
    raw_set_in(r, i, tensor_i64s(r->im->g, a.is, a.n));
    return true;
}
bool up_float_to_input(RawNode *r, const char *arg) {
    Attr a;
    const char *at, *name = split_arg(r, arg, &at);
    if (!raw_take(r, name, &a)) return true;
    if (!raw_kind(r, name, &a, ATTR_FLOAT)) return false;
    int i = atoi(at);
    if (raw_in(r, i)) return RAW_ERROR(r, "'%s' is given as attribute and as input %d", name, i);
    raw_set_in(r, i, raw_scalar(r, raw_in(r, 0), (double)a.f));
    return true;
}
bool up_floats_to_input(RawNode *r, const char *arg) {
    Attr a;
    const char *at, *name = split_arg(r, arg, &at);
    if (!raw_take(r, name, &a)) return true;
    if (!raw_kind(r, name, &a, ATTR_FLOATS)) return false;
    raw_set_in(r, atoi(at), tensor_const(r->im->g, NULL, DT_FLOAT32, 1, &a.n, a.fs));
    return true;
}
bool up_float_to_int(RawNode *r, const char *arg) {
    Attr a;
    if (!raw_take(r, arg, &a)) return true;
    if (a.kind == ATTR_FLOAT) {
        if (!(a.f >= 0 && a.f < 1e6f) || a.f != (float)(int)a.f) return RAW_ERROR(r, "attribute '%s' is not a whole number", arg);
        a = (Attr){.kind = ATTR_INT, .i = (int64_t)a.f};
    }
    raw_put(r, arg, a);
    return true;
}
bool up_int_default(RawNode *r, const char *arg) {
    const char *v, *name = split_arg(r, arg, &v);
    if (!raw_attr(r, name)) raw_put(r, name, (Attr){.kind = ATTR_INT, .i = atoll(v)});
    return true;
}
bool up_float_default(RawNode *r, const char *arg) {
    const char *v, *name = split_arg(r, arg, &v);
    if (!raw_attr(r, name)) raw_put(r, name, (Attr){.kind = ATTR_FLOAT, .f = strtof(v, NULL)});
    return true;
}
bool up_string_default(RawNode *r, const char *arg) {
    const char *v, *name = split_arg(r, arg, &v);
    if (!raw_attr(r, name)) raw_put(r, name, (Attr){.kind = ATTR_STRING, .s = v, .n = (int64_t)strlen(v)});
    return true;
}
bool up_empty_to_absent(RawNode *r, const char *arg) {
    for (const char *rest; *arg; arg = rest) {
        int i = atoi(split_arg(r, arg, &rest));
        Tensor *t = raw_in(r, i);
        if (t && t->data && tensor_elements(t) == 0) raw_set_in(r, i, NULL);
    }
    return true;
}

/* ---- the table */
static const struct Row {
    const char *op;
    int below;
    UpgradeFn fn;
    const char *arg;
} rows[] = {
#define UP(op, below, fn, arg, why) {op, below, up_##fn, arg},
#include "frontend/upgrade.def"
#undef UP
};
enum { NROW = sizeof rows / sizeof *rows };

bool upgrade_known(const char *op) {
    for (int i = 0; i < NROW; i++)
        if (strcmp(rows[i].op, op) == 0) return true;
    return false;
}
bool upgrade(RawNode *r) {
    if (*r->domain) return true;
    for (int i = 0; i < NROW && !r->done; i++) {
        const struct Row *row = &rows[i];
        if (r->version >= row->below || (strcmp(row->op, r->op) && strcmp(row->op, "*"))) continue;
        if (!row->fn(r, row->arg)) return false;
    }
    return true;
}

/* ---- element type and rank ahead of inference. Rules: s like input 0; d element type only; 2 a matrix; r Reshape's constant;
 * b the largest rank of the inputs; B the same, giving bool; u none. Expressions not named here are 'b'. */
static const struct {
    const char *rule, *ops;
} hint_rules[] = {
    {"s",
     "Conv ConvTranspose MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool BatchNormalization InstanceNormalization "
     "LRN LpNormalization Dropout Identity Softmax LogSoftmax Hardmax Concat Slice Pad Transpose Tile Resize Upsample Clip Split "
     "MeanVarianceNormalization GroupNormalization LayerNormalization DepthToSpace SpaceToDepth CumSum ReverseSequence Trilu "
     "ScatterElements ScatterND GatherElements"},
    {"d",
     "Squeeze Unsqueeze Expand Gather GatherND MatMul ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum "
     "ReduceLogSumExp ReduceSumSquare Einsum RNN GRU LSTM TopK"},
    {"2", "Gemm Flatten"},
    {"r", "Reshape"},
    {"B", "Equal Less Greater LessOrEqual GreaterOrEqual And Or Xor Not IsNaN IsInf"},
    {"u", "Cast CastLike Where QuantizeLinear DequantizeLinear Constant BitCast"},
};
static void hint_rules_init(Importer *im) {
    im->hint_rule = map_new(im->tmp);
    for (size_t i = 0; i < sizeof hint_rules / sizeof *hint_rules; i++)
        for (const char *s = hint_rules[i].ops; *s;) {
            size_t n = strcspn(s, " ");
            map_set(im->hint_rule, arena_strndup(im->tmp, s, n), (void *)(uintptr_t)hint_rules[i].rule);
            s += n + (s[n] == ' ');
        }
}
Type hint_of(const Importer *im, const Tensor *t) {
    Type h = {.dt = t->type.dt, .rank = t->type.rank};
    if (t->id < im->hint.n) {
        if (h.dt == DT_NONE) h.dt = (DType)im->hint.v[t->id].dt;
        if (h.rank < 0) h.rank = im->hint.v[t->id].rank;
    }
    return h;
}
static void hint_set(Importer *im, const Tensor *t, DType dt, int rank) {
    while (im->hint.n <= t->id) vec_push(im->tmp, &im->hint, ((Hint){DT_NONE, -1}));
    im->hint.v[t->id] = (Hint){(int8_t)dt, (int8_t)rank};
}
void hint_node(Importer *im, const Node *n) {
    if (!im->hint_rule) hint_rules_init(im);
    const char *rule = map_get(im->hint_rule, n->op->name);
    if (!rule) rule = n->op->kind == OP_EXPR ? "b" : "u";
    if (*rule == 'u' || n->nin == 0 || !n->in[0]) return;
    Type h = hint_of(im, n->in[0]);
    if (*rule == 'd') h.rank = -1;
    if (*rule == '2') h.rank = 2;
    if (*rule == 'r')
        h.rank = n->nin > 1 && n->in[1] && n->in[1]->data && n->in[1]->type.rank == 1 ? (int)min_i64(n->in[1]->type.dim[0], 99) : -1;
    for (int i = 1; (*rule == 'b' || *rule == 'B') && i < n->nin; i++) {
        int rank = n->in[i] ? hint_of(im, n->in[i]).rank : 0;
        h.rank = h.rank < 0 || rank < 0 ? -1 : rank > h.rank ? rank : h.rank;
    }
    if (*rule == 'B') h.dt = DT_BOOL;
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && (h.dt || h.rank >= 0)) hint_set(im, n->out[i], h.dt, h.rank);
}
