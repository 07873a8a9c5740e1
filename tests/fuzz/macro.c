/* SPDX-License-Identifier: Apache-2.0 */
/* macro.c: a node of the graph that is several of a model: sequences, optionals and subgraphs, whose values are no tensors in between.
 * The text behind => in rows.def names operands as the words do; o, p and q are its results.
 *
 *   s=SequenceConstruct(x,y);o=SequenceAt(s,i)
 *   o=Loop(m,c,x){body={k:i,g:b,a:d|h=Identity(g);e=Add(a,y)|h,e}}     k, g and a: int64, bool, the node's type
 */
#include "fuzz.h"
#include "tests/unit/onnx_build.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Macro {
    Arena *a;
    const Node1 *n;
    int id;
    DType dt;
    const char *s;
} Macro;
static void expect(Macro *m, char c) {
    if (*m->s++ != c) BUG("'%c' is expected before '%s' in '%s'", c, m->s, m->n->macro);
}
static bool eat(Macro *m, char c) { return *m->s == c ? m->s++, true : false; }
static char *word(Macro *m) {
    size_t n = 0;
    while (isalnum((unsigned char)m->s[n]) || m->s[n] == '_') n++;
    m->s += n;
    return arena_strndup(m->a, m->s - n, n);
}
static const char *value_name(Macro *m) {
    if (eat(m, '-')) return "-";
    char *w = word(m);
    for (int i = 0; i < m->n->nin; i++)
        if (m->n->name[i] && strcmp(m->n->name[i], w) == 0) return m->n->in[i] < 0 ? "-" : arena_printf(m->a, "v%d", m->n->in[i]);
    if (strchr("opq", *w) && !w[1]) return arena_printf(m->a, "v%d", m->n->out[*w - 'o']);
    return arena_printf(m->a, "m%d_%s", m->id, w);
}
static const char *names(Macro *m, char end) {
    Text t = {0};
    while (!eat(m, end)) {
        eat(m, ',');
        text_printf(&t, "%s%s", t.n ? " " : "", value_name(m));
    }
    char *s = arena_strdup(m->a, t.s ? t.s : "");
    text_free(&t);
    return s;
}
static void nodes(Macro *m, OnnxGraph *g, char end);
static OnnxGraph *body(Macro *m) {
    OnnxGraph *g = NEW(m->a, OnnxGraph);
    g->a = m->a, g->name = "body";
    while (!eat(m, '|')) {
        eat(m, ',');
        const char *name = value_name(m);
        expect(m, ':');
        char kind = *m->s++;
        om_input(g, name, kind == 'i' ? (int)DT_INT64 : kind == 'b' ? (int)DT_BOOL : (int)m->dt, -1, NULL, NULL);
    }
    nodes(m, g, '|');
    do {
        char kind = 'd';
        const char *name = value_name(m);
        if (eat(m, ':')) kind = *m->s++;
        om_output(g, name, kind == 'i' ? (int)DT_INT64 : kind == 'b' ? (int)DT_BOOL : (int)m->dt, -1, NULL, NULL);
    } while (eat(m, ','));
    expect(m, '}');
    return g;
}
static void attr(Macro *m, Onnx__NodeProto *p) {
    char *name = word(m);
    expect(m, '=');
    if (eat(m, '{')) om_attr_g(m->a, p, name, body(m));
    else if (eat(m, '$')) om_attr_i(m->a, p, name, m->dt);
    else if (eat(m, '[')) {
        int64_t v[16], n = 0;
        while (!eat(m, ']')) eat(m, ','), v[n++] = strtoll(m->s, (char **)&m->s, 10);
        om_attr_is(m->a, p, name, n, v);
    } else om_attr_i(m->a, p, name, strtoll(m->s, (char **)&m->s, 10));
}
static void nodes(Macro *m, OnnxGraph *g, char end) {
    while (*m->s != end) {
        eat(m, ';');
        const char *out = names(m, '=');
        char *op = word(m);
        expect(m, '(');
        Onnx__NodeProto *p = om_node(g, op, names(m, ')'), out);
        if (eat(m, '{'))
            while (!eat(m, '}')) eat(m, ','), attr(m, p);
    }
    if (end) m->s++;
}
void macro_write(OnnxGraph *g, const Fuzz *f, const Node1 *n, int id) {
    Macro m = {.a = g->a, .n = n, .id = id, .dt = f->v.v[n->in[0]].dt, .s = n->macro};
    nodes(&m, g, 0);
}
