/* SPDX-License-Identifier: Apache-2.0 */
/* order.c: the order in which the nodes of a list are read. ONNX asks for a topological one, but tools that convert to half precision put
 * their casts behind everything else; a node is then read after those that define what it, or a body of it, reads. Nodes that are in order
 * stay as they are, and so does a list with a cycle, which is refused later.
 *
 *   y = Relu(h); h = Cast(x)   --->   h = Cast(x); y = Relu(h)
 */
#include "frontend/import.h"

typedef Vec(size_t) Indices;
typedef struct Visit {
    size_t node;
    int from; /* where its operands begin on the list of operands still to be seen */
} Visit;

static void operand(Importer *im, const Scope *sc, const char *name, Indices *out) {
    intptr_t k = *pb_str(name) ? (intptr_t)map_get(sc->pending, name) : 0;
    if (k > 0) vec_push(im->tmp, out, (size_t)k - 1);
}
static void operands(Importer *im, const Scope *sc, const Onnx__NodeProto *p, Indices *out);
static void operands_of_body(Importer *im, const Scope *sc, const Onnx__GraphProto *g, Indices *out) {
    for (size_t i = 0; i < g->n_node; i++) operands(im, sc, g->node[i], out);
    for (size_t i = 0; i < g->n_output; i++) operand(im, sc, g->output[i]->name, out);
}
/* The nodes of sc that p reads from; its bodies nest as deep as the file was found to. */
static void operands(Importer *im, const Scope *sc, const Onnx__NodeProto *p, Indices *out) {
    for (size_t i = 0; i < p->n_input; i++) operand(im, sc, p->input[i], out);
    for (size_t i = 0; i < p->n_attribute; i++)
        if (p->attribute[i]->g) operands_of_body(im, sc, p->attribute[i]->g, out);
}
size_t *nodes_order(Importer *im, const Scope *sc, size_t n, Onnx__NodeProto *const *node) {
    size_t *order = NEW_ARRAY(im->tmp, size_t, n + 1), done = 0;
    bool sorted = true;
    Indices todo = {0};
    for (size_t i = 0; i < n; i++) {
        order[i] = i;
        todo.n = 0;
        if (sorted) operands(im, sc, node[i], &todo);
        for (int k = 0; k < todo.n; k++) sorted &= todo.v[k] < i;
    }
    if (sorted) return NULL;
    enum { FRESH, OPEN, DONE };
    char *state = NEW_ARRAY(im->tmp, char, n);
    Vec(Visit) path = {0};
    for (size_t i = 0; i < n; i++) {
        if (state[i] != FRESH) continue;
        todo.n = 0;
        vec_push(im->tmp, &path, ((Visit){i, 0}));
        state[i] = OPEN;
        operands(im, sc, node[i], &todo);
        while (path.n) {
            Visit *at = &path.v[path.n - 1];
            if (todo.n == at->from) {
                state[at->node] = DONE;
                order[done++] = at->node;
                path.n--;
                continue;
            }
            size_t next = todo.v[--todo.n];
            if (state[next] == OPEN) return NULL; /* a cycle */
            if (state[next] == DONE) continue;
            vec_push(im->tmp, &path, ((Visit){next, todo.n}));
            state[next] = OPEN;
            operands(im, sc, node[next], &todo);
        }
    }
    return order;
}
