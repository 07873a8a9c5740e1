/* SPDX-License-Identifier: Apache-2.0 */
/* strings.c: what lies behind a string is taken out of the graph. Between inputs and outputs a string is a reference of 64 bits, so that
 * everything that only moves elements works unchanged; an operator that looks at them gets the pools which its operands may come from:
 * pool 0 holds all constants, each input is one, and each operator that makes strings has its own.
 *
 *   y = Gather(x: string[3], i)   --->   r = StringOpen(x) {pool=1}; s = Gather(r, i); y = StringPack(s, x) {pools=[1]}
 */
#include "internal.h"
#include "ir/list.h"
#include "ir/ops/regex.h"
#include <string.h>

enum { POOLS_MAX = 28, NUMBER_MAX = 32 };
typedef struct Known { /* of a tensor of references */
    uint32_t pools;
    int64_t longest;
} Known;
typedef struct Strings {
    Ctx *c;
    Graph *g;
    Tensor *pool[POOLS_MAX];
    int npool;
    Known *of; /* by tensor id */
    int nof;
    Vec(const char *) text; /* of pool 0 */
    Vec(int64_t) len;
    int64_t bytes;
    int64_t longest; /* of an element of an input */
    bool any;
} Strings;

static bool is_string(const Tensor *t) { return t && t->type.dt == DT_STRING; }
static Known *known(Strings *s, const Tensor *t) {
    if (t->id >= s->nof) {
        int n = t->id * 2 + 64;
        Known *v = NEW_ARRAY(s->c->a, Known, n);
        if (s->nof) memcpy(v, s->of, (size_t)s->nof * sizeof *v);
        s->of = v, s->nof = n;
    }
    return &s->of[t->id];
}
static int64_t offset(const Tensor *t, int64_t i) {
    int64_t v;
    memcpy(&v, (const char *)t->data + 8 * i, 8);
    return v;
}
static bool pool_new(Strings *s, Tensor *t, Loc loc, int *number) {
    if (s->npool == POOLS_MAX)
        return diag_error(s->c->d, loc, "more than %d inputs and operators make strings; split the model", POOLS_MAX - 1);
    *number = s->npool;
    s->pool[s->npool++] = t;
    return true;
}
static int64_t text_add(Strings *s, const char *text, int64_t len) {
    vec_push(s->c->a, &s->text, text);
    vec_push(s->c->a, &s->len, len);
    s->bytes += len;
    return s->text.n - 1;
}
static Tensor *like(Strings *s, const Type *t, DType dt) {
    Tensor *y = tensor_new(s->g, NULL, dt, -1, NULL);
    y->type = *t, y->type.dt = dt;
    return y;
}
/* A constant's strings join pool 0; it becomes their references. */
static void open_constant(Strings *s, Tensor *t) {
    int64_t n = tensor_elements(t), *ref = NEW_ARRAY(s->g->a, int64_t, n + 1);
    Known k = {1, 0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = offset(t, i), len = offset(t, i + 1) - from;
        ref[i] = text_add(s, (const char *)t->data + from, len);
        k.longest = max_i64(k.longest, len);
    }
    t->data = ref;
    t->type.dt = DT_INT64;
    *known(s, t) = k;
}
static void pool_zero(Strings *s) {
    int64_t n = s->text.n, bytes = 8 * (n + 1) + s->bytes, at = 8 * (n + 1);
    char *data = arena_alloc(s->g->a, (size_t)bytes);
    memcpy(data, &at, 8);
    for (int64_t i = 0; i < n; i++) {
        if (s->len.v[i]) memcpy(data + at, s->text.v[i], (size_t)s->len.v[i]);
        at += s->len.v[i];
        memcpy(data + 8 * (i + 1), &at, 8);
    }
    s->pool[0]->type.dim[0] = bytes;
    s->pool[0]->data = data;
}
static bool open_input(Strings *s, Tensor *t, int64_t longest, Node *first) {
    int number = 0;
    int64_t n = tensor_elements(t), text;
    if (!mul_ok(n, longest, &text) || !add_ok(text, 8 * (n + 1), &t->bytes) || t->bytes > INT32_MAX)
        return diag_error(s->c->d, NO_LOC, "the strings of input '%s' may take more than 2 GiB; give a smaller --max-string", t->name);
    if (!pool_new(s, t, NO_LOC, &number)) return false;
    Tensor *r = like(s, &t->type, DT_INT64);
    tensor_replace(s->g, t, r, true);
    Node *o = node_new(s->g, op_find("quern", "StringOpen"), first, NO_LOC, 1, &t, 1);
    node_set_i(o, 0, number), node_set_i(o, 1, longest);
    node_set_out(o, 0, r);
    *known(s, r) = (Known){1u << number, longest};
    return true;
}

/* ---- operators */
typedef struct Call { /* an internal node in the making: references, then the pools */
    const char *op;
    Tensor *in[3 + POOLS_MAX];
    int nin;
    int64_t pools[POOLS_MAX];
    int npools;
} Call;
static Node *call_new(Strings *s, Node *n, Call *c, uint32_t pools, int nout) {
    for (int i = 0; i < s->npool; i++)
        if (pools >> i & 1) c->in[c->nin++] = s->pool[i], c->pools[c->npools++] = i;
    Node *p = node_new(s->g, op_find("quern", c->op), n, n->loc, c->nin, c->in, nout);
    node_set_is(s->g, p, 0, c->pools, c->npools);
    return p;
}
/* Outputs of a node that makes strings, of at most `text` bytes in all: references in the place of its own output, and a pool. */
static bool makes(Strings *s, Node *n, Node *p, int64_t longest, int64_t text) {
    Tensor *y = n->out[0], *refs = like(s, &y->type, DT_INT64);
    int64_t room;
    int number = 0;
    if (!add_ok(text, 8 * (tensor_elements(y) + 1), &room) || room > INT32_MAX)
        return diag_error(s->c->d, n->loc, "its strings may take more than 2 GiB; give a smaller --max-string");
    Tensor *own = tensor_new(s->g, NULL, DT_UINT8, 1, &room);
    if (!pool_new(s, own, n->loc, &number)) return false;
    node_set_out(p, 0, refs), node_set_out(p, 1, own);
    node_set_i(p, 1, number), node_set_i(p, 2, room);
    *known(s, refs) = (Known){1u << number, longest};
    tensor_replace(s->g, y, refs, true);
    return true;
}
static int64_t text_of(const Tensor *t, int64_t longest) { /* INT64_MAX: too many */
    int64_t n;
    return mul_ok(tensor_elements(t), longest, &n) ? n : INT64_MAX;
}
/* Output i of n becomes output k of p, or one that nobody needs. */
static void hand_over(Strings *s, Node *n, int i, Node *p, int k, const Type *t) {
    Tensor *y = i < n->nout ? n->out[i] : NULL;
    if (y) n->out[i] = NULL;
    node_set_out(p, k, y ? y : like(s, t, DT_INT64));
}
static Tensor *expanded(Strings *s, Node *n, Tensor *x, const Type *to) {
    if (types_same_shape(&x->type, to)) return x;
    Expr *e[QN_MAX_RANK];
    type_extents(s->g, to, e);
    Tensor *shape = extents_tensor(s->g, n, to->rank, e);
    Tensor *y = build(s->g, n, "Expand", 2, (Tensor *[]){x, shape});
    y->type = *to, y->type.dt = DT_INT64;
    *known(s, y) = *known(s, x);
    return y;
}
static Tensor *typed_cast(Strings *s, Node *n, Tensor *x, DType to) {
    if (x->type.dt == to) return x;
    Tensor *y = build(s->g, n, "Cast", 1, &x);
    node_set_i(y->def, 0, to);
    y->type = x->type, y->type.dt = to, y->type.sym = x->type.sym;
    return y;
}
static bool do_pair(Strings *s, Node *n, const char *op, bool make) {
    const Type *t = &n->out[0]->type;
    Call c = {.op = op, .in = {expanded(s, n, n->in[0], t), expanded(s, n, n->in[1], t)}, .nin = 2};
    Known x = *known(s, n->in[0]), y = *known(s, n->in[1]);
    Node *p = call_new(s, n, &c, x.pools | y.pools, 1 + make);
    if (make) return makes(s, n, p, x.longest + y.longest, text_of(n->out[0], x.longest + y.longest));
    node_set_out(p, 0, like(s, t, t->dt));
    tensor_replace(s->g, n->out[0], p->out[0], true);
    return true;
}
static bool do_find(Strings *s, Node *n) {
    const Type *t = &n->out[0]->type;
    Call c = {.op = "StringSearch", .in = {n->in[0], n->in[1]}, .nin = 2};
    Node *p = call_new(s, n, &c, known(s, n->in[0])->pools | known(s, n->in[1])->pools, 1);
    node_set_out(p, 0, like(s, t, t->dt));
    tensor_replace(s->g, n->out[0], p->out[0], true);
    return true;
}
/* Of the numbers that stand for the strings in their order; the strings are picked by the first places. */
static bool do_unique(Strings *s, Node *n) {
    static const int64_t flat = -1;
    Tensor *x = n->in[0], *y = n->out[0];
    int attr = op_attr_index(n->op, "axis"), axis = 0;
    bool whole = !attr_has(n, attr);
    if (!whole) axis = (int)attr_i(n, attr), axis += axis < 0 ? x->type.rank : 0;
    Call c = {.op = "StringRank", .in = {x}, .nin = 1};
    Known k = *known(s, x);
    Node *p = call_new(s, n, &c, k.pools, 2);
    node_set_out(p, 0, like(s, &x->type, DT_INT64)), node_set_out(p, 1, tensor_new(s->g, NULL, DT_NONE, -1, NULL));
    node_set_in(n, 0, p->out[0]);
    if (!n->out[1]) { /* inference has made room for all */
        Type places = {.rank = 1, .dim = {y->type.dim[axis]}, .ext = y->type.ext ? y->type.ext + axis : NULL};
        node_set_out(n, 1, like(s, &places, DT_INT64));
    }
    if (!whole) x = build(s->g, n, "Identity", 1, &x);
    else x = build(s->g, n, "Reshape", 2, (Tensor *[]){x, tensor_i64s(s->g, &flat, 1)});
    Tensor *got = build(s->g, n->next, "Gather", 2, (Tensor *[]){x, n->out[1]});
    node_set_i(got->def, 0, axis);
    if (!node_infer(s->c, s->g, p) || !node_infer(s->c, s->g, x->def) || !node_infer(s->c, s->g, got->def)) return false;
    *known(s, got) = k;
    tensor_replace(s->g, y, got, true);
    y->type.dt = DT_INT64;
    return true;
}
static bool do_normalize(Strings *s, Node *n) {
    const Attr *stop = &n->attr[op_attr_index(n->op, "stopwords")];
    const char *change = attr_s(n, 0);
    int64_t count = stop->kind == ATTR_NONE ? 0 : stop->n, *ref = NEW_ARRAY(s->g->a, int64_t, count + 1);
    for (int64_t i = 0; i < count; i++) ref[i] = text_add(s, stop->ss[i], (int64_t)strlen(stop->ss[i]));
    Call c = {.op = "StringCase", .in = {n->in[0], tensor_const(s->g, NULL, DT_INT64, 1, &count, ref)}, .nin = 2};
    Node *p = call_new(s, n, &c, known(s, n->in[0])->pools | 1u, 3);
    node_set_i(p, 3, strcmp(change, "LOWER") == 0 ? 1 : strcmp(change, "UPPER") == 0 ? 2 : 0);
    node_set_i(p, 4, attr_i(n, 1) != 0);
    hand_over(s, n, 1, p, 2, &(Type){.rank = 0});
    return makes(s, n, p, known(s, n->in[0])->longest, text_of(n->in[0], known(s, n->in[0])->longest));
}
static bool do_split(Strings *s, Node *n) {
    const Attr *by = &n->attr[op_attr_index(n->op, "delimiter")], *most = &n->attr[op_attr_index(n->op, "maxsplit")];
    int64_t *ref = NEW(s->g->a, int64_t);
    *ref = text_add(s, by->kind == ATTR_NONE ? "" : by->s, by->kind == ATTR_NONE ? 0 : by->n);
    Call c = {.op = "StringParts", .in = {n->in[0], tensor_const(s->g, NULL, DT_INT64, 0, NULL, ref)}, .nin = 2};
    Node *p = call_new(s, n, &c, known(s, n->in[0])->pools | 1u, 4);
    node_set_i(p, 3, most->kind == ATTR_NONE ? -1 : most->i);
    hand_over(s, n, 1, p, 2, &n->in[0]->type), hand_over(s, n, 2, p, 3, &(Type){.rank = 0});
    return makes(s, n, p, known(s, n->in[0])->longest, text_of(n->in[0], known(s, n->in[0])->longest));
}
static bool do_match(Strings *s, Node *n) {
    const Attr *pattern = &n->attr[0];
    Regex r;
    int64_t at, bytes = 256;
    if (regex_compile(s->g->a, pattern->s, pattern->n, &r, &at)) BUG("a pattern that was accepted is none");
    int64_t cells = r.states * (r.kinds + 1);
    uint8_t *kind = arena_alloc(s->g->a, sizeof r.kind);
    memcpy(kind, r.kind, sizeof r.kind);
    Call c = {.op = "StringMatch",
              .in = {n->in[0], tensor_const(s->g, NULL, DT_UINT8, 1, &bytes, kind), tensor_const(s->g, NULL, DT_UINT16, 1, &cells, r.next)},
              .nin = 3};
    Node *p = call_new(s, n, &c, known(s, n->in[0])->pools, 1);
    node_set_out(p, 0, like(s, &n->out[0]->type, DT_BOOL));
    tensor_replace(s->g, n->out[0], p->out[0], true);
    return true;
}
static bool do_cast(Strings *s, Node *n) {
    const Type *t = &n->out[0]->type;
    Tensor *x = n->in[0];
    if (known(s, x)->pools && t->dt == DT_STRING) { /* a copy */
        tensor_replace(s->g, n->out[0], x, true);
        return true;
    }
    if (t->dt == DT_STRING) {
        DType from = x->type.dt, as = dtype_is_float(from)                   ? (from == DT_FLOAT64 ? from : DT_FLOAT32)
                                      : from == DT_UINT64 || from == DT_BOOL ? from
                                                                             : DT_INT64;
        Tensor *in = typed_cast(s, n, x, as);
        Node *p = node_new(s->g, op_find("quern", "StringPrint"), n, n->loc, 1, &in, 2);
        return makes(s, n, p, NUMBER_MAX, text_of(x, NUMBER_MAX));
    }
    DType as = dtype_is_float(t->dt) ? DT_FLOAT64 : DT_INT64;
    Call c = {.op = "StringParse", .in = {x}, .nin = 1};
    Node *p = call_new(s, n, &c, known(s, x)->pools, 1);
    node_set_i(p, 1, as);
    node_set_out(p, 0, like(s, t, as));
    tensor_replace(s->g, n->out[0], typed_cast(s, n, p->out[0], t->dt), true);
    return true;
}
/* A string tensor out of an input that is none: a pool of its own, as an input is. */
static bool do_list_item(Strings *s, Node *n) {
    Tensor *t = n->out[0], *r = like(s, &t->type, DT_INT64);
    int64_t count = tensor_elements(t), text;
    int number = 0;
    if (!mul_ok(count, s->longest, &text) || !add_ok(text, 8 * (count + 1), &t->bytes) || t->bytes > INT32_MAX)
        return diag_error(s->c->d, n->loc, "the strings of '%s' may take more than 2 GiB; give a smaller --max-string", n->in[0]->name);
    if (!pool_new(s, t, n->loc, &number)) return false;
    tensor_replace(s->g, t, r, true);
    Node *o = node_new(s->g, op_find("quern", "StringOpen"), n->next, n->loc, 1, &t, 1);
    node_set_i(o, 0, number), node_set_i(o, 1, s->longest);
    node_set_out(o, 0, r);
    *known(s, r) = (Known){1u << number, s->longest};
    return true;
}
/* Inputs that hold strings, used or not: their bytes, and how long one may be, which says where the next tensor begins. */
static bool list_inputs(Ctx *c, Graph *g, int64_t longest) {
    for (int i = 0; i < g->in.n; i++) {
        Tensor *t = g->in.v[i];
        Leaves leaf = {0};
        int64_t words, bytes, own, n;
        bool any = false, ok = true;
        if (!t->packed) continue;
        if (!wrap_leaves(g->a, t->packed, &leaf, &words, &bytes)) BUG("an input has no complete type");
        bytes = 0;
        for (int k = 0; k < leaf.n && ok; k++) {
            const Type *y = &leaf.v[k].type;
            bool text = y->dt == DT_STRING;
            ok = type_elements(y, &n) && (text ? mul_ok(n, longest + 8, &own) && add_ok(own, 8, &own) : dtype_bytes(y->dt, n, &own));
            ok = ok && add_ok((bytes + 15) / 16 * 16, own, &bytes);
            any |= text;
        }
        if (!any) continue;
        if (!ok || bytes > INT32_MAX)
            return diag_error(c->d, NO_LOC, "the strings of input '%s' may take more than 2 GiB; give a smaller --max-string", t->name);
        t->type.dim[0] = bytes;
        for (Use *u = t->uses; u; u = u->next)
            if (strcmp(u->node->op->name, "ListItem") == 0) node_set_i(u->node, op_attr_index(u->node->op, "most"), longest);
    }
    return true;
}
/* Strings among what an output that is no tensor consists of: packed, each with room for its own. */
static bool do_list_pack(Strings *s, Node *n) {
    Tensor *y = n->out[0];
    int64_t bytes = 0;
    for (int i = 1; i < n->nin; i++) {
        Tensor *t = n->in[i];
        Known k = *known(s, t);
        if (k.pools) {
            int64_t count = tensor_elements(t), room;
            if (!mul_ok(count, k.longest, &room) || !add_ok(room, 8 * (count + 1), &room) || room > INT32_MAX)
                return diag_error(s->c->d, n->loc, "the strings of output '%s' may take more than 2 GiB; give a smaller --max-string",
                                  y->name);
            Call c = {.op = "StringPack", .in = {t}, .nin = 1};
            Node *p = call_new(s, n, &c, k.pools, 1);
            Tensor *packed = like(s, &t->type, DT_STRING);
            node_set_i(p, 2, room);
            node_set_out(p, 0, packed);
            packed->bytes = room;
            node_set_in(n, i, packed);
        }
        if (!add_ok((bytes + 15) / 16 * 16, tensor_bytes(n->in[i]), &bytes) || bytes > INT32_MAX)
            return diag_error(s->c->d, n->loc, "output '%s' may take more than 2 GiB; give a smaller --max-string", y->name);
    }
    if (n->attr[op_attr_index(n->op, "form")].is[1] != 3) y->type.dim[0] = bytes;
    return true;
}
static const char *const moves[] = {"Identity",        "Where",        "Reshape",      "Flatten",         "Squeeze",
                                    "Unsqueeze",       "Expand",       "Transpose",    "Concat",          "Split",
                                    "Slice",           "Pad",          "Tile",         "Trilu",           "Gather",
                                    "GatherElements",  "GatherND",     "OneHot",       "ScatterElements", "ScatterND",
                                    "ReverseSequence", "DepthToSpace", "SpaceToDepth", "CenterCropPad",   "Compress",
                                    "ConstantOfShape", "Shape",        "Size",         "GridSample",      "TensorScatter"};
/* Only moves elements: references do as well. An element that is filled in is reference 0, the empty string. */
static bool do_move(Strings *s, Node *n) {
    bool ok = false;
    Known k = {1, 0};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) ok |= op_is(n, moves[i]);
    ok |= strcmp(n->op->name, "Select") == 0 || strcmp(n->op->name, "ResizeNearest") == 0;
    if (!ok) return diag_error(s->c->d, n->loc, "strings are not supported by this operator");
    for (int i = 0; i < n->nin; i++) {
        if (!n->in[i]) continue;
        const Known *x = known(s, n->in[i]);
        k.pools |= x->pools, k.longest = max_i64(k.longest, x->longest);
    }
    for (int i = 0; i < n->nout; i++)
        if (is_string(n->out[i])) n->out[i]->type.dt = DT_INT64, *known(s, n->out[i]) = k;
    return true;
}
static bool touches(const Strings *s, const Node *n) {
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] && n->in[i]->id < s->nof && s->of[n->in[i]->id].pools) return true;
    for (int i = 0; i < n->nout; i++)
        if (is_string(n->out[i])) return true;
    return false;
}
static bool convert(Strings *s, Node *n, bool *gone) {
    *gone = true;
    if (op_is(n, "Equal")) return do_pair(s, n, "StringEqual", false);
    if (op_is(n, "StringConcat")) return do_pair(s, n, "StringJoin", true);
    if (op_is(n, "Cast") || op_is(n, "CastLike")) return do_cast(s, n);
    if (op_is(n, "StringNormalizer")) return do_normalize(s, n);
    if (op_is(n, "StringSplit")) return do_split(s, n);
    if (op_is(n, "RegexFullMatch")) return do_match(s, n);
    if (strcmp(n->op->name, "StringFind") == 0) return do_find(s, n);
    *gone = false;
    if (op_is(n, "Unique")) return do_unique(s, n);
    if (n->op->domain[0] && strncmp(n->op->name, "String", 6) == 0) return true; /* one of ours */
    if (strcmp(n->op->name, "ListItem") == 0) return do_list_item(s, n);
    if (strcmp(n->op->name, "ListPack") == 0) return do_list_pack(s, n);
    return do_move(s, n);
}
/* An output of references becomes packed strings. */
static bool pack_output(Strings *s, int i) {
    Tensor *t = s->g->out.v[i], *y = like(s, &t->type, DT_STRING);
    Known k = *known(s, t);
    int64_t n = tensor_elements(t), room;
    Node end = {.loc = t->def ? t->def->loc : NO_LOC};
    if (!mul_ok(n, k.longest, &room) || !add_ok(room, 8 * (n + 1), &room) || room > INT32_MAX)
        return diag_error(s->c->d, end.loc, "the strings of output '%s' may take more than 2 GiB; give a smaller --max-string", t->name);
    Call c = {.op = "StringPack", .in = {t}, .nin = 1};
    for (int p = 0; p < s->npool; p++)
        if (k.pools >> p & 1) c.in[c.nin++] = s->pool[p], c.pools[c.npools++] = p;
    Node *p = node_new(s->g, op_find("quern", c.op), NULL, end.loc, c.nin, c.in, 1);
    node_set_is(s->g, p, 0, c.pools, c.npools);
    node_set_i(p, 2, room);
    node_set_out(p, 0, y);
    y->bytes = room, y->is_output = true;
    y->name = t->name;
    t->name = arena_printf(s->g->a, "%s_refs", t->name);
    t->is_output = false;
    s->g->out.v[i] = y;
    return true;
}

bool pass_strings(Run *r) {
    Graph *g = r->g;
    Strings s = {.c = r->c, .g = g, .npool = 1};
    int64_t zero = 0, longest = s.longest = g->max_string;
    int tensors = g->tensors.n;
    if (!list_inputs(r->c, g, longest)) return false;
    for (int i = 0; i < tensors; i++) s.any |= is_string(g->tensors.v[i]) && (g->tensors.v[i]->nuse || g->tensors.v[i]->is_output);
    if (!s.any) return true;
    s.pool[0] = tensor_const(g, "strings", DT_UINT8, 1, &zero, &zero);
    text_add(&s, "", 0);
    for (int i = 0; i < tensors; i++)
        if (is_string(g->tensors.v[i]) && g->tensors.v[i]->data) open_constant(&s, g->tensors.v[i]);
    Node *first = g->first;
    for (int i = 0; i < g->in.n; i++)
        if (is_string(g->in.v[i]) && !open_input(&s, g->in.v[i], longest, first)) return false;
    for (Node *n = first, *next; n; n = next) {
        bool gone = false;
        next = n->next;
        if (touches(&s, n) && !convert(&s, n, &gone)) return false;
        if (gone) node_remove(g, n);
    }
    for (int i = 0; i < g->out.n; i++)
        if (known(&s, g->out.v[i])->pools && g->out.v[i]->type.dt == DT_INT64 && !pack_output(&s, i)) return false;
    pool_zero(&s);
    return true;
}
