/* SPDX-License-Identifier: Apache-2.0 */
/* model_manifest.c: ID.json, what tools need to know of an emitted model; the fields are those of DESIGN section 5.
 *
 *   {"name": "net", …, "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3], "symbols": null, "max_bytes": 12}], …}
 */
#include "model.h"
#include "ir/list.h"
#include "ir/target.h"
#include <string.h>

/* Length of a valid UTF-8 sequence at s, 0 if there is none. */
static int utf8_length(const unsigned char *s) {
    int n = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (n == 3 && ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F))) return 0;
    if (n == 4 && ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))) return 0;
    return n;
}
static void put_string(Text *t, const char *text) {
    const unsigned char *s = (const unsigned char *)text;
    text_puts(t, "\"");
    while (*s) {
        int n = utf8_length(s);
        if (n == 1 && (*s == '"' || *s == '\\')) text_printf(t, "\\%c", *s);
        else if (n == 0 || *s < 32 || *s == 127) text_printf(t, "\\u%04x", *s); /* a byte that is no text: as Latin-1 */
        else text_putn(t, (const char *)s, (size_t)n);
        s += n ? n : 1;
    }
    text_puts(t, "\"");
}
/* As ONNX writes it, without lengths and extents: seq(tensor(float32)), map(int64,float32). */
static void put_type(Text *t, const Type *y) {
    static const char *const name[] = {"seq", "optional", "map"};
    if (!y->wrap) {
        text_printf(t, "tensor(%s)", dtype_name(y->dt));
        return;
    }
    text_printf(t, "%s(", name[y->wrap->kind]);
    if (y->wrap->kind == WRAP_MAP) text_printf(t, "%s,%s", dtype_name(y->wrap->key), dtype_name(y->wrap->of.dt));
    else put_type(t, &y->wrap->of);
    text_puts(t, ")");
}
/* A value that is no tensor: shape is that which every tensor inside fits in, null where ranks differ. */
static void put_value(Text *t, const Tensor *k, const char *end) {
    const Wrap *w = k->packed->wrap->kind == WRAP_OPTIONAL && k->packed->wrap->of.wrap ? k->packed->wrap->of.wrap : k->packed->wrap;
    Type shape = *wrap_inner(k->packed);
    const Wrap *map = w->of.wrap && w->of.wrap->kind == WRAP_MAP ? w->of.wrap : w->kind == WRAP_MAP ? w : NULL;
    if (map) shape.rank = 1, shape.dim[0] = map->hi;
    for (int i = 0; w->each && i < w->hi; i++) {
        if (w->each[i].rank != shape.rank) shape.rank = -1;
        for (int d = 0; d < shape.rank; d++) shape.dim[d] = max_i64(shape.dim[d], w->each[i].dim[d]);
    }
    text_puts(t, "    {\"name\": ");
    put_string(t, k->name);
    text_puts(t, ", \"type\": \"");
    put_type(t, k->packed);
    text_printf(t, "\", \"dtype\": \"%s\", \"shape\": %s", dtype_name(shape.dt), shape.rank < 0 ? "null" : "[");
    for (int d = 0; d < shape.rank; d++) text_printf(t, "%s%lld", d ? ", " : "", (long long)shape.dim[d]);
    text_printf(t, "%s, \"symbols\": null, \"max_length\": %lld, \"max_dims\": %lld, \"max_bytes\": %lld}%s\n", shape.rank < 0 ? "" : "]",
                (long long)w->hi, (long long)tensor_dim_words(k), (long long)tensor_bytes(k), end);
}
static void put_tensor(Text *t, const Graph *g, const Tensor *k, const char *end) {
    bool symbolic = false;
    if (k->packed) {
        put_value(t, k, end);
        return;
    }
    text_puts(t, "    {\"name\": ");
    put_string(t, k->name);
    text_printf(t, ", \"dtype\": \"%s\", \"shape\": [", dtype_name(k->type.dt));
    for (int i = 0; i < k->type.rank; i++) {
        text_printf(t, "%s%lld", i ? ", " : "", (long long)k->type.dim[i]);
        symbolic |= k->type.ext && k->type.ext[i];
    }
    text_puts(t, symbolic ? "], \"symbols\": [" : "], \"symbols\": null");
    for (int i = 0; symbolic && i < k->type.rank; i++) {
        if (i) text_puts(t, ", ");
        if (!k->type.ext[i]) {
            text_puts(t, "null");
            continue;
        }
        Text e = {0};
        if (k->type.ext[i]->k == E_VAR) text_puts(&e, extent_find(g, k->type.ext[i]->u.v)->name);
        else expr_print(k->type.ext[i], &e);
        put_string(t, e.s);
        text_free(&e);
    }
    text_printf(t, "%s, \"max_bytes\": %lld}%s\n", symbolic ? "]" : "", (long long)tensor_bytes(k), end);
}
void model_manifest(const Model *m, const Emitted *e, Text *t) {
    const Graph *g = m->p->g;
    text_puts(t, "{\n  \"name\": ");
    put_string(t, m->id);
    text_puts(t, ",\n  \"quern_version\": ");
    put_string(t, m->o->version ? m->o->version : "");
    text_puts(t, ",\n  \"target\": ");
    put_string(t, target_name(m));
    text_puts(t, ",\n  \"cflags\": ");
    put_string(t, m->variant.v[0].t->cflags ? m->variant.v[0].t->cflags : "");
    text_puts(t, ",\n  \"sources\": [");
    for (int i = 0; i < e->sources.n; i++) {
        if (i) text_puts(t, ", ");
        put_string(t, e->sources.v[i]);
    }
    if (m->o->half)
        text_printf(t, "],\n  \"fast_f16\": {\"max_abs\": %.9g, \"max_relative\": %.9g, \"inputs\": \"%s\"", m->o->half_abs, m->o->half_rel,
                    m->o->half_inputs);
    text_printf(
        t,
        "%s,\n  \"threads\": %d,\n  \"arena_bytes\": %lld,\n  \"state_bytes\": %lld,\n  \"weights_bytes\": %lld,\n  \"macs\": %lld,\n"
        "  \"dynamic\": %s,\n  \"inputs\": [\n",
        m->o->half ? "}" : "]", m->threads, (long long)m->arena_bytes, (long long)m->state_bytes, (long long)m->p->weights_bytes,
        (long long)m->p->macs, g->extent.n ? "true" : "false");
    for (int i = 0; i < g->in.n; i++) put_tensor(t, g, g->in.v[i], i + 1 < g->in.n ? "," : "");
    text_puts(t, "  ],\n  \"outputs\": [\n");
    for (int i = 0; i < g->out.n; i++) put_tensor(t, g, g->out.v[i], i + 1 < g->out.n ? "," : "");
    text_puts(t, "  ]\n}\n");
}
