/* SPDX-License-Identifier: Apache-2.0 */
/* model_invoke.c: ID_invoke, the entry point with tables of pointers and of dimensions, in terms of ID_run.
 *
 *   int m_invoke(arena, inputs, input_dims, outputs, output_dims)   --->   checks the dims; m_run(arena, n, inputs[0], outputs[0])
 */
#include "model.h"
#include <string.h>

static void put_dims_tables(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    for (int i = 0; i < g->in.n + g->out.n; i++) {
        const Tensor *k = i < g->in.n ? g->in.v[i] : g->out.v[i - g->in.n];
        if (!k->type.rank || k->type.ext || k->packed) continue;
        text_printf(t, "static const int64_t dims_%s[] = {", i < g->in.n ? m->in[i] : m->out[i - g->in.n]);
        for (int d = 0; d < k->type.rank; d++) text_printf(t, "%s%lld", d ? ", " : "", (long long)k->type.dim[d]);
        text_puts(t, "};\n");
    }
}
/* Inputs with free dimensions: the first that has one says what it is, the others must agree. false: there are none. */
static bool put_given_dims(const Model *m, Text *t, bool really) {
    const Graph *g = m->p->g;
    bool any = false;
    for (int i = 0; i < g->in.n; i++) {
        const Type *y = &g->in.v[i]->type;
        if (!y->ext) continue;
        any = true;
        if (!really) continue;
        text_printf(t, "    if (input_dims && input_dims[%d]) {\n        const int64_t *d = input_dims[%d];\n", i, i);
        for (int pass = 0; pass < 2; pass++)
            for (int k = 0; k < y->rank; k++) {
                const Extent *x = y->ext[k] ? extent_find(g, y->ext[k]->u.v) : NULL;
                bool first = x && x->input == g->in.v[i] && x->axis == k;
                if (first && pass == 0) text_printf(t, "        %s = d[%d];\n", m->extent[x->v->id], k);
                if (!first && pass == 1 && x)
                    text_printf(t, "        if (d[%d] != %s) return %s_E_SHAPE;\n", k, m->extent[x->v->id], m->id);
                if (!x && pass == 1) text_printf(t, "        if (d[%d] != %lld) return %s_E_SHAPE;\n", k, (long long)y->dim[k], m->id);
            }
        text_puts(t, "    }\n");
    }
    return any;
}
static bool plain_dims(const Tensor *k) { return k->type.rank > 0 && !k->type.ext && !k->packed; } /* the same in each call */
void run_invoke(const Model *m, Text *t) {
    const Graph *g = m->p->g;
    bool in_dims = false, out_dims = false, lists = false, params = false;
    for (int i = 0; i < g->in.n; i++) in_dims |= plain_dims(g->in.v[i]), lists |= m->in_dims[i] != NULL;
    for (int i = 0; i < g->out.n; i++) out_dims |= plain_dims(g->out.v[i]), params |= m->dims[i] != NULL;
    put_dims_tables(m, t);
    if (in_dims)
        text_puts(t, "static int same_dims(const int64_t *given, const int64_t *dims, int n) {\n"
                     "    for (int i = 0; given && i < n; i++)\n        if (given[i] != dims[i]) return 0;\n    return 1;\n}\n");
    if (out_dims)
        text_puts(t, "static void copy_dims(int64_t *to, const int64_t *dims, int n) {\n    for (int i = 0; to && i < n; i++) to[i] = "
                     "dims[i];\n}\n");
    text_printf(t,
                "\nint %s_invoke(void *arena, const void *const *inputs, const int64_t *const *input_dims, void *const *outputs,\n"
                "%*sint64_t *const *output_dims) {\n    int r;\n",
                m->id, (int)strlen(m->id) + 12, "");
    for (int i = 0; i < g->extent.n; i++) /* without dims: the manifest's shape */
        if (m->extent[i]) text_printf(t, "    int64_t %s = %lld;\n", m->extent[i], (long long)g->extent.v[i]->hi);
    if (g->in.n) text_printf(t, "    if (!inputs) return %s_E_INPUT;\n", m->id);
    else text_puts(t, "    (void)inputs;\n");
    if (g->out.n) text_printf(t, "    if (!outputs) return %s_E_OUTPUT;\n", m->id);
    else text_puts(t, "    (void)outputs;\n");
    if (in_dims) {
        text_puts(t, "    if (input_dims) {\n");
        for (int i = 0; i < g->in.n; i++)
            if (plain_dims(g->in.v[i]))
                text_printf(t, "        if (!same_dims(input_dims[%d], dims_%s, %d)) return %s_E_SHAPE;\n", i, m->in[i],
                            g->in.v[i]->type.rank, m->id);
        text_puts(t, "    }\n");
    } else if (!put_given_dims(m, t, false) && !lists) text_puts(t, "    (void)input_dims;\n");
    put_given_dims(m, t, true);
    text_printf(t, "    r = %s_run(arena", m->id);
    for (int i = 0; i < g->extent.n; i++)
        if (m->extent[i]) text_printf(t, ", %s", m->extent[i]);
    for (int i = 0; i < g->in.n; i++) {
        text_printf(t, ",%s inputs[%d]", i % 8 == 7 ? "\n       " : "", i);
        if (m->in_dims[i]) text_printf(t, ", input_dims ? input_dims[%d] : NULL", i);
    }
    for (int i = 0; i < g->out.n; i++) {
        text_printf(t, ",%s outputs[%d]", i % 8 == 7 ? "\n       " : "", i);
        if (m->dims[i]) text_printf(t, ", output_dims ? output_dims[%d] : NULL", i);
    }
    text_puts(t, ");\n");
    if (out_dims) {
        text_puts(t, "    if (r == 0 && output_dims) {\n");
        for (int i = 0; i < g->out.n; i++)
            if (plain_dims(g->out.v[i]))
                text_printf(t, "        copy_dims(output_dims[%d], dims_%s, %d);\n", i, m->out[i], g->out.v[i]->type.rank);
        text_puts(t, "    }\n");
    } else if (!params) text_puts(t, "    (void)output_dims;\n");
    text_puts(t, "    return r;\n}\n\n");
}
