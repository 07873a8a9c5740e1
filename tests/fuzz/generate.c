/* SPDX-License-Identifier: Apache-2.0 */
/* generate.c: seed and number -> graph. Pairs of operator and element type are dealt to the graphs in turn, so that all are covered
 * evenly; between them stand nodes that go on from what there is. Of a hundred graphs 67 have only what ONNX Runtime has kernels for.
 */
#include "fuzz.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Pair {
    const OpDef *op;
    DType dt;
    bool ort;
} Pair;
enum { PAIRS = 6000, ROWS_EACH = 16, STRIDE = 17, STRIDE_NONE = 29, OF_ORT = 67, TRIES = 200 };
static Pair pairs[PAIRS];
static int npair, of_ort[PAIRS], nort, of_none[PAIRS], nnone;

int pair_count(void) { return npair; }
const OpDef *pair_op(int i) { return pairs[i].op; }
DType pair_type(int i) { return pairs[i].dt; }
bool pair_ort(int i) { return pairs[i].ort; }
int pair_find(const OpDef *op, DType dt) {
    for (int i = 0; i < npair; i++)
        if (pairs[i].op == op && pairs[i].dt == dt) return i;
    return -1;
}
static void shuffle(int *v, int n) { /* neighbours in the registry are not neighbours in graphs */
    Fuzz f = {.state = 7};
    for (int i = n - 1; i > 0; i--) {
        int k = (int)pick(&f, 0, i), t = v[i];
        v[i] = v[k], v[k] = t;
    }
}
void pairs_make(const char *ort_table) {
    for (int i = 0; i < row_count(); i++)
        for (int dt = 1; dt < DT_HALF; dt++)
            if (row_allows(i, (DType)dt) && pair_find(row_at(i)->op, (DType)dt) < 0 && npair < PAIRS)
                pairs[npair++] = (Pair){row_at(i)->op, (DType)dt, false};
    FILE *t = fopen(ort_table, "r");
    char line[1024];
    while (t && fgets(line, sizeof line, t)) { /* domain:operator type type … */
        char *save = NULL, *name = strtok_r(line, " \n", &save), *colon = name ? strchr(name, ':') : NULL;
        if (!colon || *name == '#') continue;
        *colon = 0;
        const OpDef *op = op_find(name, colon + 1);
        for (char *dt = strtok_r(NULL, " \n", &save); dt && op; dt = strtok_r(NULL, " \n", &save)) {
            int i = pair_find(op, dtype_parse(dt));
            if (i >= 0) pairs[i].ort = type_in_ort(pairs[i].dt) && !ort_never(op, pairs[i].dt);
        }
    }
    if (t) fclose(t);
    for (int i = 0; i < npair; i++)
        if (pairs[i].ort) of_ort[nort++] = i;
        else of_none[nnone++] = i;
    shuffle(of_ort, nort), shuffle(of_none, nnone);
}
DType node_type(const Fuzz *f, const Node1 *n) {
    int k = type_operand(n->op);
    return k < n->nin && n->in[k] >= 0 ? f->v.v[n->in[k]].dt : n->nin && n->in[0] >= 0 ? f->v.v[n->in[0]].dt : f->v.v[n->out[0]].dt;
}

static bool node_of(Fuzz *f, const OpDef *op, DType dt) {
    const Row *fit[ROWS_EACH];
    int n = 0;
    for (int i = 0; i < row_count() && n < ROWS_EACH; i++)
        if (row_at(i)->op == op && row_allows(i, dt) && !(f->ort && strchr(row_at(i)->flags, 'N'))) fit[n++] = row_at(i);
    return n && node_make(f, fit[pick(f, 0, n - 1)], dt);
}
static void cast_to(Fuzz *f, DType dt) { /* so that what follows is of what there is */
    if (!f->v.n || !f->ort || chance(f, 50)) return;
    for (int i = 0; i < f->v.n; i++)
        if (f->v.v[i].dt == dt && f->v.v[i].def >= 0) return;
    int from = (int)pick(f, 0, f->v.n - 1);
    if (f->ort && !pairs[pair_find(op_find("", "Cast"), f->v.v[from].dt)].ort) return;
    const OpDef *op = op_find("", "Cast");
    Node1 n = {.op = op, .nin = 1, .nout = 1, .flags = "EC", .in = NEW_ARRAY(f->a, int, 1), .attr = NEW_ARRAY(f->a, Attr, op->nattr)};
    for (int i = 0; i < op->nattr; i++) n.attr[i] = op->attr[i].def;
    n.in[0] = from;
    n.attr[op_attr_index(op, "to")] = (Attr){.kind = ATTR_INT, .i = dt};
    node_evaluate(f, &n);
}
static void some_node(Fuzz *f) {
    for (int tries = 0; tries < 8; tries++) {
        if (!f->v.n) return;
        DType dt = f->v.v[pick(f, 0, f->v.n - 1)].dt;
        int n = f->ort ? nort : npair, i = f->ort ? of_ort[pick(f, 0, n - 1)] : (int)pick(f, 0, n - 1);
        int k = pair_find(pairs[i].op, dt);
        if (k >= 0 && (!f->ort || pairs[k].ort) && node_of(f, pairs[k].op, dt)) return;
    }
}
static const char *say; /* FUZZ_SAY: nodes that were refused, by part of the operator's name */
static void refused(const Fuzz *f, const Pair *p) {
    if (say && f->why && strstr(p->op->name, say)) fprintf(stderr, "%s %s: %s\n", p->op->name, dtype_name(p->dt), f->why);
}
void graph_generate(Fuzz *f, uint64_t seed, int index) {
    int before = index * OF_ORT / 100; /* graphs for ONNX Runtime */
    bool ort = nort && (index + 1) * OF_ORT / 100 > before;
    int turn = !nort || !nnone ? index : ort ? before : index - before;
    int n = ort ? nort : nnone;
    *f = (Fuzz){.a = f->a, .seed = seed, .state = seed * 0x9E3779B97F4A7C15u + (uint64_t)index * 0xD1342543DE82EF95u, .ort = ort};
    if (!n) n = npair;
    say = getenv("FUZZ_SAY");
    f->wild = chance(f, 20), f->empty = chance(f, 15), f->symbolic = chance(f, 15);
    f->extent = f->symbolic ? 5 : 0;
    bool none = nnone && nort && !ort; /* many pairs for few graphs: these are long */
    int nodes = none ? 30 : (int)pick(f, 5, 30), at = turn * (none ? STRIDE_NONE : STRIDE);
    for (int rounds = 0; f->n.n < nodes && rounds < 100; rounds++) {
        if (f->n.n && chance(f, none ? 0 : 25)) {
            some_node(f);
            continue;
        }
        int i = !nnone || !nort ? at++ % n : ort ? of_ort[at++ % n] : of_none[at++ % n];
        for (int tries = 0; tries < TRIES; tries++) {
            if (tries < 1) cast_to(f, pairs[i].dt);
            if (node_of(f, pairs[i].op, pairs[i].dt)) break;
            refused(f, &pairs[i]);
        }
    }
    for (int i = 0; i < f->v.n; i++) f->v.v[i].shown = chance(f, 10);
}
