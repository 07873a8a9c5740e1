/* SPDX-License-Identifier: Apache-2.0 */
/* clean.c: dead code (dce) and common subexpressions (cse). Both are one walk over a list which is in topological order;
 * cse looks nodes and constants up in one hash table each, share does so with the constants that packing has made.
 *
 *   a = Relu(x); b = Relu(x); y = Add(a, b); z = Exp(x)     --->     a = Relu(x); y = Add(a, a)
 */
#include "internal.h"
#include <string.h>

/* ---- dce */
static bool needed(const Tensor *t) { return t && (t->is_output || t->kept || t->nuse > 0); }
bool pass_dce(Run *r) {
    for (Node *n = r->g->last, *prev; n; n = prev) {
        prev = n->prev;
        bool live = false;
        for (int i = 0; i < n->nout; i++) live |= needed(n->out[i]);
        if (!live) {
            node_remove(r->g, n);
            continue;
        }
        for (int i = n->op->min_out; n->op->max_out >= 0 && i < n->nout; i++) /* optional outputs; a variadic op's are counted */
            if (n->out[i] && !needed(n->out[i])) n->out[i]->def = NULL, n->out[i] = NULL;
    }
    return true;
}

/* ---- hashing */
static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}
static uint64_t mix_bytes(uint64_t h, const void *p, size_t n) {
    const unsigned char *s = p;
    for (uint64_t v; n >= 8; s += 8, n -= 8) {
        memcpy(&v, s, 8);
        h = mix(h, v);
    }
    for (; n; n--) h = mix(h, *s++);
    return h;
}
static uint64_t mix_type(uint64_t h, const Type *t) {
    h = mix(mix(h, (uint64_t)t->dt), (uint64_t)t->rank);
    for (int i = 0; i < t->rank; i++) h = mix(h, (uint64_t)t->dim[i]);
    return h;
}

typedef struct Table { /* open addressing; the entries are nodes or tensors */
    void **slot;
    uint64_t *hash;
    uint64_t mask;
} Table;
static Table table_new(Arena *a, int n) {
    uint64_t size = 64;
    while (size < (uint64_t)n * 2) size *= 2;
    return (Table){NEW_ARRAY(a, void *, size), NEW_ARRAY(a, uint64_t, size), size - 1};
}
/* The entry equal to `item`, or `item` itself after it was added. */
static void *table_meet(Table *t, void *item, uint64_t h, bool (*equal)(const void *, const void *)) {
    for (uint64_t i = h & t->mask;; i = (i + 1) & t->mask) {
        if (!t->slot[i]) {
            t->slot[i] = item, t->hash[i] = h;
            return item;
        }
        if (t->hash[i] == h && equal(t->slot[i], item)) return t->slot[i];
    }
}

/* ---- constants */
enum { SAMPLE = 4096 };
static uint64_t const_hash(const Tensor *t) {
    uint64_t h = mix_type(7, &t->type);
    size_t n = (size_t)tensor_bytes(t);
    const char *p = t->data;
    if (n <= SAMPLE) return mix_bytes(h, p, n);
    for (size_t k = 0; k < 16; k++) h = mix_bytes(h, p + (n - 64) / 15 * k, 64); /* large ones: sixteen samples, then memcmp */
    return h;
}
static bool const_equal(const void *x, const void *y) {
    const Tensor *a = x, *b = y;
    return type_same(&a->type, &b->type) && (a->data == b->data || memcmp(a->data, b->data, (size_t)tensor_bytes(a)) == 0);
}
static void merge_constants(Run *r) {
    Table t = table_new(r->tmp, r->g->tensors.n);
    for (int i = 0; i < r->g->tensors.n; i++) {
        Tensor *k = r->g->tensors.v[i];
        if (!k->data || !k->nuse || k->type.dt == DT_STRING || !type_known(&k->type)) continue;
        Tensor *first = table_meet(&t, k, const_hash(k), const_equal);
        if (first != k) tensor_replace(r->g, k, first, false);
    }
}
bool pass_share(Run *r) {
    merge_constants(r);
    return true;
}

/* ---- nodes */
static uint64_t attr_hash(uint64_t h, const Attr *a) {
    h = mix(h, (uint64_t)a->kind);
    switch (a->kind) {
    case ATTR_INT: return mix(h, (uint64_t)a->i);
    case ATTR_FLOAT: return mix_bytes(h, &a->f, sizeof a->f);
    case ATTR_STRING: return mix_bytes(h, a->s, (size_t)a->n);
    case ATTR_INTS: return mix_bytes(h, a->is, (size_t)a->n * sizeof *a->is);
    case ATTR_FLOATS: return mix_bytes(h, a->fs, (size_t)a->n * sizeof *a->fs);
    default: return mix(h, (uint64_t)a->n);
    }
}
static bool attr_equal(const Attr *a, const Attr *b) {
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case ATTR_NONE: return true;
    case ATTR_INT: return a->i == b->i;
    case ATTR_FLOAT: return memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case ATTR_STRING: return a->n == b->n && memcmp(a->s, b->s, (size_t)a->n) == 0;
    case ATTR_INTS: return a->n == b->n && (a->n == 0 || memcmp(a->is, b->is, (size_t)a->n * sizeof *a->is) == 0);
    case ATTR_FLOATS: return a->n == b->n && (a->n == 0 || memcmp(a->fs, b->fs, (size_t)a->n * sizeof *a->fs) == 0);
    case ATTR_TENSOR: return a->t == b->t;
    default: return false; /* strings and graphs: never merged */
    }
}
static bool swapped(const Node *n) { /* a commutative op's operands count in the order of their ids */
    return (n->op->flags & OPF_COMMUTES) && n->nin == 2 && n->in[0] && n->in[1] && n->in[0]->id > n->in[1]->id;
}
static uint64_t node_hash(const Node *n) {
    uint64_t h = mix(mix(11, (uint64_t)(uintptr_t)n->op), (uint64_t)n->nin);
    bool s = swapped(n);
    for (int i = 0; i < n->nin; i++) {
        const Tensor *t = n->in[s ? 1 - i : i];
        h = mix(h, t ? (uint64_t)t->id + 1 : 0);
    }
    for (int i = 0; i < n->op->nattr; i++) h = attr_hash(h, &n->attr[i]);
    return h;
}
static bool node_equal(const void *x, const void *y) {
    const Node *a = x, *b = y;
    if (a->op != b->op || a->nin != b->nin || a->nout < b->nout) return false;
    bool sa = swapped(a), sb = swapped(b);
    for (int i = 0; i < a->nin; i++)
        if (a->in[sa ? 1 - i : i] != b->in[sb ? 1 - i : i]) return false;
    for (int i = 0; i < a->op->nattr; i++)
        if (!attr_equal(&a->attr[i], &b->attr[i])) return false;
    for (int i = 0; i < b->nout; i++)
        if (b->out[i] && (!a->out[i] || !type_same(&a->out[i]->type, &b->out[i]->type))) return false;
    return true;
}
static bool mergeable(const Node *n) {
    if (n->op->flags & OPF_RANDOM) return false;
    if (n->op->max_out < 0) return false; /* the number of outputs is part of the meaning; such nodes rarely repeat */
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && n->out[i]->is_output) return false; /* each model output has a definition of its own */
    return true;
}
bool pass_cse(Run *r) {
    merge_constants(r);
    Table t = table_new(r->tmp, r->g->nnode);
    for (Node *n = r->g->first, *next; n; n = next) {
        next = n->next;
        if (n->op->flags & OPF_RANDOM) continue;
        if (!mergeable(n)) {
            if (n->op->max_out >= 0) table_meet(&t, n, node_hash(n), node_equal); /* others may merge into it */
            continue;
        }
        Node *first = table_meet(&t, n, node_hash(n), node_equal);
        if (first == n) continue;
        for (int i = 0; i < n->nout; i++)
            if (n->out[i]) tensor_replace(r->g, n->out[i], first->out[i], false);
        node_remove(r->g, n);
    }
    return true;
}
