/* SPDX-License-Identifier: Apache-2.0 */
/* list_types.c: types of values that are no tensors: what they consist of, and the room that they need at the model's interface.
 *
 *   seq(float32[2,3]) of 2   --->   dims list [2, 2,2,3, 2,2,3] of 7 words; tensors at bytes 0 and 32, 56 bytes
 */
#include "list.h"
#include <string.h>

const Type *wrap_inner(const Type *t) {
    while (t->wrap) t = &t->wrap->of;
    return t;
}
const Type *wrap_item(const Wrap *w, int i) { return w->each ? &w->each[i] : &w->of; }
bool wrap_same_kind(const Type *a, const Type *b) {
    while (a->wrap && b->wrap) {
        if (a->wrap->kind != b->wrap->kind || (a->wrap->kind == WRAP_MAP && a->wrap->key != b->wrap->key)) return false;
        a = &a->wrap->of, b = &b->wrap->of;
    }
    return !a->wrap == !b->wrap && (a->dt == b->dt || a->dt == DT_NONE || b->dt == DT_NONE);
}

/* ---- leaves */
typedef struct Walk {
    Arena *a;
    Leaves *v;
    int64_t words, bytes;
} Walk;
static bool leaf(Walk *w, const Type *t, const int64_t *lo) {
    int64_t n, bytes;
    Leaf l = {.type = *t, .word = w->words};
    if (!type_known(t) || !type_elements(t, &n) || !dtype_bytes(t->dt, n, &bytes)) return false;
    for (int i = 0; i < t->rank; i++) l.lo[i] = lo ? lo[i] : t->dim[i];
    w->bytes = (w->bytes + 15) / 16 * 16;
    if (!add_ok(w->bytes, bytes, &w->bytes) || w->bytes > INT64_MAX / 4) return false;
    vec_push(w->a, w->v, l);
    return true;
}
static bool walk(Walk *w, const Type *t, const int64_t *low) {
    const Wrap *p = t->wrap;
    if (!p) {
        w->words++;
        if (!leaf(w, t, low)) return false;
        w->words += t->rank;
        return true;
    }
    if (p->kind == WRAP_OPTIONAL) return w->words++, p->hi == 0 || walk(w, &p->of, p->low);
    if (p->hi < 0 || (p->kind == WRAP_SEQUENCE && p->hi > LIST_MOST)) return false;
    if (p->kind == WRAP_MAP) {
        Type key = {0}, value = {0};
        type_set(&key, p->key, 1, &p->hi), type_set(&value, p->of.dt, 1, &p->hi);
        if (!leaf(w, &key, &p->lo) || !leaf(w, &value, &p->lo)) return false;
        w->words++;
        return true;
    }
    w->words++;
    for (int i = 0; i < p->hi; i++)
        if (!walk(w, wrap_item(p, i), p->each ? NULL : p->low)) return false;
    return true;
}
bool wrap_leaves(Arena *a, const Type *t, Leaves *v, int64_t *words, int64_t *bytes) {
    Walk w = {.a = a, .v = v};
    bool ok = walk(&w, t, NULL);
    *words = w.words, *bytes = w.bytes;
    return ok;
}
int64_t tensor_dim_words(const Tensor *t) {
    Leaves v = {0};
    int64_t words, bytes;
    if (!t->packed) return t->type.rank;
    Arena *a = arena_new();
    if (!wrap_leaves(a, t->packed, &v, &words, &bytes)) BUG("the type of '%s' is not fully known", t->name);
    arena_free(a);
    return words;
}
int64_t *wrap_dims(Arena *a, const Type *t, int64_t *words) {
    Leaves leaves = {0};
    int64_t bytes;
    if (!wrap_leaves(a, t, &leaves, words, &bytes)) BUG("a type is not fully known");
    int64_t *d = NEW_ARRAY(a, int64_t, *words + 1), at = 0;
    const Wrap *w = t->wrap;
    if (w->kind == WRAP_OPTIONAL) d[at++] = 1, w = w->of.wrap;
    if (w) d[at] = w->hi;
    for (int i = 0; i < leaves.n; i++) {
        const Leaf *l = &leaves.v[i];
        if (!w || w->kind != WRAP_MAP) d[l->word - 1] = l->type.rank;
        for (int k = 0; k < l->type.rank; k++) d[l->word + k] = l->type.dim[k];
    }
    return d;
}
int64_t *wrap_table(Arena *a, const Type *t, int64_t *n) {
    Leaves leaves = {0};
    int64_t words, bytes;
    Vec(int64_t) v = {0};
    bool optional = t->wrap->kind == WRAP_OPTIONAL;
    const Wrap *w = optional ? t->wrap->of.wrap : t->wrap;
    vec_push(a, &v, optional);
    vec_push(a, &v, w ? w->kind == WRAP_MAP ? 2 : 1 : 0);
    vec_push(a, &v, w ? w->lo : 1);
    vec_push(a, &v, w ? w->hi : 1);
    if (!wrap_leaves(a, t, &leaves, &words, &bytes)) BUG("a type is not fully known");
    for (int i = 0; i < leaves.n && v.v[1] != 2; i++) {
        const Leaf *l = &leaves.v[i];
        vec_push(a, &v, l->type.rank);
        for (int k = 0; k < l->type.rank; k++) {
            vec_push(a, &v, l->lo[k]);
            vec_push(a, &v, l->type.dim[k]);
        }
    }
    *n = v.n;
    return v.v;
}
