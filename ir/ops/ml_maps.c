/* SPDX-License-Identifier: Apache-2.0 */
/* ml_maps.c: the operators of ai.onnx.ml that make maps or take them. A map is a list of its keys and its values (list.h).
 *
 *   ZipMap(x: float32[N,3]) {classlabels_int64s=[5,7,9]}   ->   List([5,7,9], x) {rows}: N maps with the same keys
 *   DictVectorizer(keys, values) {string_vocabulary=[a,b]}   ->   element j: the sum over i of keys[i] == vocabulary[j] ? values[i] : 0
 */
#include "../list.h"
#include "ml.h"
#include <string.h>

/* A constant of packed strings as bytes: nobody looks inside. */
static Tensor *packed_strings(Graph *g, const Attr *a) {
    const Tensor *s = ml_strings(g, a->n, a->ss);
    int64_t bytes;
    memcpy(&bytes, (const char *)s->data + 8 * a->n, 8);
    return tensor_const(g, NULL, DT_UINT8, 1, &bytes, s->data);
}
bool rewrite_zip_map(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    const Attr *ints = ml_attr(n, "classlabels_int64s"), *strings = ml_attr(n, "classlabels_strings");
    bool text = strings && strings->n > 0;
    const Type *t = &n->in[0]->type;
    if ((ints && ints->n > 0) == text)
        return diag_error(c->d, n->loc, "the labels are expected in one of 'classlabels_int64s' and 'classlabels_strings'");
    int64_t labels = text ? strings->n : ints->n;
    if (t->rank < 1 || t->rank > 2) return diag_error(c->d, n->loc, "the input has rank %d; rows and columns are expected", t->rank);
    if ((t->ext && t->ext[t->rank - 1]) || t->dim[t->rank - 1] != labels)
        return diag_error(c->d, n->loc, "the input has %lld columns; %lld are expected, one for each label", (long long)t->dim[t->rank - 1],
                          (long long)labels);
    if (t->rank == 2 && t->dim[0] > LIST_MOST)
        return diag_error(c->d, n->loc, "%lld rows; at most %d are supported", (long long)t->dim[0], LIST_MOST);
    Tensor *v[2] = {text ? packed_strings(g, strings) : tensor_i64s(g, ints->is, labels), n->in[0]};
    if (t->rank == 1) v[1] = r_reshape(r, n->in[0], 2, (int64_t[]){1, labels});
    List l = {.kind = WRAP_SEQUENCE, .dt = t->dt, .key = text ? DT_STRING : DT_INT64, .n = 2, .v = v, .rows = true};
    tensor_replace(g, n->out[0], list_new(g, n, &l), true);
    return true;
}

static bool map_of(Ctx *c, Node *n, List *l) {
    if (list_of(n->in[0], l) && l->kind == WRAP_MAP) return true;
    return diag_error(c->d, n->loc, "input 0 '%s' is expected to be a map", n->in[0]->name);
}
/* The values of the keys that are asked for, as a row; what is not there is 0 or an empty string. */
static Tensor *look_up(R r, const List *map, Tensor *values, Tensor *asked, int64_t count) {
    Tensor *keys = r_reshape(r, map->v[0], 2, (int64_t[]){-1, 1}), *row = r_reshape(r, asked, 2, (int64_t[]){1, count});
    Tensor *hit = r_op2(r, "Equal", keys, row);
    if (map->dt != DT_STRING) {
        Tensor *all = r_op3(r, "Where", hit, r_reshape(r, values, 2, (int64_t[]){-1, 1}), tensor_scalar(r.g, map->dt, 0));
        return r_op2(r, "ReduceSum", all, tensor_i64s(r.g, (int64_t[]){0}, 1));
    }
    Tensor *number = r_cast(r, hit, DT_INT32), *at = r_op1(r, "ArgMax", number);
    r_set_i(at, "axis", 0);
    Tensor *any = r_op2(r, "ReduceMax", number, tensor_i64s(r.g, (int64_t[]){0}, 1));
    return r_op3(r, "Where", r_cast(r, any, DT_BOOL), r_op2(r, "Gather", values, at), ml_strings(r.g, 1, (const char *[]){""}));
}
bool rewrite_dict_vectorizer(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    List map;
    int64_t count;
    Tensor *asked = ml_labels(c, r, "int64_vocabulary", "string_vocabulary", &count);
    if (!asked || !map_of(c, n, &map)) return false;
    if ((map.key == DT_STRING) != (asked->type.dt == DT_STRING) || (map.key != DT_STRING && map.key != DT_INT64))
        return diag_error(c->d, n->loc, "the keys of the map are %s, the vocabulary is of %s", dtype_name(map.key),
                          dtype_name(asked->type.dt));
    r_done(r, 0, look_up(r, &map, map.v[1], asked, count));
    return true;
}

enum { CAST_TO, CAST_FORM, CAST_MOST };
/* Keys that are no column of the result end the run. */
static bool keys_inside(Infer *x, const List *map, int64_t count) {
    Graph *g = x->g;
    Tensor *zero = tensor_i64s(g, (int64_t[]){0}, -1), *end = tensor_i64s(g, &count, -1), *axes = tensor_i64s(g, (int64_t[]){0}, 1);
    Tensor *bad = infer_build(x, "Or", 2,
                              (Tensor *[]){infer_build(x, "Less", 2, (Tensor *[]){map->v[0], zero}, 0),
                                           infer_build(x, "GreaterOrEqual", 2, (Tensor *[]){map->v[0], end}, 0)},
                              0);
    bad = infer_build(x, "Cast", 1, &bad, DT_INT64);
    bad = infer_build(x, "ReduceSum", 2, (Tensor *[]){bad, axes}, 0);
    infer_bounded(x, infer_value_of(x, bad, 0), 0, 0, "key", false);
    return true;
}
bool rewrite_cast_map(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    List map;
    static const struct {
        const char *name;
        DType dt;
    } to[] = {{"TO_FLOAT", DT_FLOAT32}, {"TO_STRING", DT_STRING}, {"TO_INT64", DT_INT64}};
    DType dt = DT_NONE;
    bool sparse = strcmp(attr_s(n, CAST_FORM), "SPARSE") == 0;
    for (int i = 0; i < 3; i++)
        if (strcmp(attr_s(n, CAST_TO), to[i].name) == 0) dt = to[i].dt;
    if (dt == DT_NONE) return diag_error(c->d, n->loc, "cast_to is '%s'; TO_FLOAT, TO_STRING or TO_INT64 is expected", attr_s(n, CAST_TO));
    if (!sparse && strcmp(attr_s(n, CAST_FORM), "DENSE") != 0)
        return diag_error(c->d, n->loc, "map_form is '%s'; DENSE or SPARSE is expected", attr_s(n, CAST_FORM));
    if (!map_of(c, n, &map)) return false;
    if (map.key != DT_INT64) return diag_error(c->d, n->loc, "the keys of the map are %s; int64 is expected", dtype_name(map.key));
    Tensor *values = r_cast(r, map.v[1], dt);
    if (sparse) {
        int64_t count = attr_i(n, CAST_MOST), *columns;
        if (count < 1 || count > (1 << 20))
            return diag_error(c->d, n->loc, "max_map is %lld; 1 to %d is expected", (long long)count, 1 << 20);
        keys_inside(&(Infer){c, g, n}, &map, count);
        columns = NEW_ARRAY(g->a, int64_t, count);
        for (int64_t i = 0; i < count; i++) columns[i] = i;
        map.dt = dt;
        r_done(r, 0, look_up(r, &map, values, tensor_i64s(g, columns, count), count));
        return true;
    }
    Tensor *count = r_op1(r, "Shape", map.v[0]); /* in the order of the keys */
    Node *order = build_node(g, n, "TopK", 2, (Tensor *[]){map.v[0], count}, 2);
    node_set_i(order, op_attr_index(order->op, "largest"), 0);
    r_done(r, 0, r_reshape(r, r_op2(r, "Gather", values, order->out[1]), 2, (int64_t[]){1, -1}));
    return true;
}
