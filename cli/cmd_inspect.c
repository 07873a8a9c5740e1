/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_inspect.c: the network table of the survey (Sze et al. 2017, table II): per layer its op, shapes, weights and MACs
 * (biases counted in neither), bytes moved once and arithmetic intensity (MACs per byte); totals at the end.
 * The graph is looked at after folding: shapes are known and weights are constants, nothing is fused yet.
 */
#include "cli.h"
#include "ir/list.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct Layer {
    const Node *n;
    int64_t weights, macs, bytes;
} Layer;
typedef struct Totals {
    int64_t weights, macs, bytes, constants;
} Totals;

/* by_input[id]: the tensor depends on a graph input. What does not is a weight, even where folding left it computed. */
static bool *mark_by_input(Ctx *c, const Graph *g) {
    bool *by_input = NEW_ARRAY(c->a, bool, g->tensors.n + 1);
    for (int i = 0; i < g->in.n; i++) by_input[g->in.v[i]->id] = true;
    for (const Node *n = g->first; n; n = n->next) {
        bool any = false;
        for (int i = 0; i < n->nin; i++) any |= n->in[i] && by_input[n->in[i]->id];
        for (int i = 0; i < n->nout; i++)
            if (n->out[i]) by_input[n->out[i]->id] = any;
    }
    return by_input;
}
/* Elements of the constant operands that are multiplied: the weight, not bias, scales or zero points. */
static int64_t weights_of(const Node *n, const bool *by_input) {
    static const struct {
        const char *op;
        int a, b; /* operand numbers, -1: none */
    } rows[] = {{"Conv", 1, -1},         {"ConvTranspose", 1, -1}, {"Gemm", 0, 1},          {"MatMul", 0, 1}, {"ConvInteger", 1, -1},
                {"MatMulInteger", 0, 1}, {"QLinearConv", 3, -1},   {"QLinearMatMul", 0, 3}, {"LSTM", 1, 2},   {"GRU", 1, 2},
                {"RNN", 1, 2},           {"DeformConv", 1, -1}};
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].op, n->op->name)) continue;
        int k[2] = {rows[i].a, rows[i].b};
        for (int j = 0; j < 2; j++)
            if (k[j] >= 0 && k[j] < n->nin && n->in[k[j]] && !by_input[n->in[k[j]]->id]) sum += tensor_elements(n->in[k[j]]);
    }
    return sum;
}
static Layer layer_of(const Node *n, const bool *by_input) {
    Layer l = {n, weights_of(n, by_input), n->op->macs ? n->op->macs(n) : 0, 0};
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]) l.bytes += tensor_bytes(n->in[i]);
    for (int i = 0; i < n->nout; i++)
        if (n->out[i]) l.bytes += tensor_bytes(n->out[i]);
    return l;
}
static char *type_text(Arena *a, const Tensor *t) {
    Text s = {0};
    if (t) type_print(&t->type, &s);
    char *r = arena_strndup(a, s.s ? s.s : "", s.n);
    text_free(&s);
    return r;
}
static double intensity(const Layer *l) { return l->bytes ? (double)l->macs / (double)l->bytes : 0; }

static void print_table(Ctx *c, const Graph *g, const bool *by_input, Totals *t) {
    printf("%-4s %-20s %-28s %-28s %-28s %14s %16s %12s %8s\n", "#", "op", "name", "input", "output", "weights", "MACs", "bytes", "MAC/B");
    int i = 0;
    for (const Node *n = g->first; n; n = n->next, i++) {
        Layer l = layer_of(n, by_input);
        t->weights += l.weights, t->macs += l.macs, t->bytes += l.bytes;
        printf("%-4d %-20.20s %-28.28s %-28.28s %-28.28s %14lld %16lld %12lld %8.2f\n", i, n->op->name,
               n->loc.name ? n->loc.name
               : n->out[0] ? n->out[0]->name
                           : "",
               n->nin ? type_text(c->a, n->in[0]) : "", n->nout ? type_text(c->a, n->out[0]) : "", (long long)l.weights, (long long)l.macs,
               (long long)l.bytes, intensity(&l));
    }
    printf("total: %d nodes, %lld weights, %lld MACs (biases not counted), %lld constant elements, %lld bytes read and written\n", i,
           (long long)t->weights, (long long)t->macs, (long long)t->constants, (long long)t->bytes);
}
static json_t *dims_json(const Tensor *t) {
    json_t *d = json_array();
    for (int i = 0; t && i < t->type.rank; i++) json_array_append_new(d, json_integer(t->type.dim[i]));
    return d;
}
static json_t *tensors_json(Tensor *const *v, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        if (!v[i]) continue;
        json_t *name = json_string(v[i]->name);
        if (v[i]->packed) { /* no tensor */
            Text t = {0};
            type_print(v[i]->packed, &t);
            json_array_append_new(list, json_pack("{s:o, s:s, s:I}", "name", name ? name : json_string("?"), "type", t.s, "max_bytes",
                                                  (json_int_t)tensor_bytes(v[i])));
            text_free(&t);
            continue;
        }
        json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "name", name ? name : json_string("?"), "dtype", dtype_name(v[i]->type.dt),
                                              "shape", dims_json(v[i])));
    }
    return list;
}
static void print_json(const Graph *g, const bool *by_input, Totals *t) {
    json_t *layers = json_array();
    for (const Node *n = g->first; n; n = n->next) {
        Layer l = layer_of(n, by_input);
        t->weights += l.weights, t->macs += l.macs, t->bytes += l.bytes;
        json_t *name = json_string(n->loc.name ? n->loc.name : "");
        json_array_append_new(layers, json_pack("{s:o, s:s, s:o, s:o, s:I, s:I, s:I, s:f}", "name", name ? name : json_string("?"), "op",
                                                n->op->name, "inputs", tensors_json(n->in, n->nin), "outputs",
                                                tensors_json(n->out, n->nout), "weights", (json_int_t)l.weights, "macs", (json_int_t)l.macs,
                                                "bytes", (json_int_t)l.bytes, "intensity", intensity(&l)));
    }
    json_t *root =
        json_pack("{s:s, s:o, s:o, s:o, s:{s:I, s:I, s:I, s:I}}", "model", g->name ? g->name : "", "inputs", tensors_json(g->in.v, g->in.n),
                  "outputs", tensors_json(g->out.v, g->out.n), "layers", layers, "total", "weights", (json_int_t)t->weights, "macs",
                  (json_int_t)t->macs, "bytes", (json_int_t)t->bytes, "constants", (json_int_t)t->constants);
    json_dumpf(root, stdout, JSON_INDENT(1));
    puts("");
    json_decref(root);
}
int cmd_inspect(Ctx *c, Options *o) {
    if (o->show_mapping) return inspect_mapping(c, o);
    Graph *g = onnx_import(c, o->model, &o->import);
    if (!g || !pass_run_one(c, g, "fold", &o->pass) || !pass_run_one(c, g, "dce", &o->pass)) return EXIT_REFUSED;
    Totals t = {0};
    const bool *by_input = mark_by_input(c, g);
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.v[i]->data && g->tensors.v[i]->nuse) t.constants += tensor_elements(g->tensors.v[i]);
    if (o->json) print_json(g, by_input, &t);
    else print_table(c, g, by_input, &t);
    return EXIT_DONE;
}
