/* SPDX-License-Identifier: Apache-2.0 */
/* grams.c: TfIdfVectorizer: how often the sequences of a pool occur in each row. Words become numbers first, strings by their place
 * among the pool's; then Grams searches in sorted lists (runtime/ops/qn_grams.h).
 *
 *   TfIdfVectorizer(x) {pool=[a, b | a b]}   ->   Grams(x as numbers, where each length starts, [0 -> 0], [1 -> 1], [0 1 -> 2], weights)
 */
#include "../extent.h"
#include "ml.h"
#include "rewrite.h"
#include <stdlib.h>
#include <string.h>

enum { G_LONGEST, G_SKIPS, G_SHORTEST, G_MODE, G_COUNTS, G_PLACES, G_NUMBERS, G_WORDS, G_WEIGHTS };
enum { GRAM_MOST = 64 };
static int by_word(const void *x, const void *y) { return strcmp(*(const char *const *)x, *(const char *const *)y); }
/* The pool's words as places in a sorted list, which x is looked up in. */
static Tensor *words(R r, Tensor *x, int64_t *pool, int64_t n) {
    const Attr *s = &r.n->attr[G_WORDS];
    const char **key = NEW_ARRAY(r.g->a, const char *, n + 1);
    int64_t keys = 0;
    for (int64_t i = 0; i < n; i++) key[i] = s->ss[i];
    qsort(key, (size_t)n, sizeof *key, by_word);
    for (int64_t i = 0; i < n; i++)
        if (!keys || strcmp(key[keys - 1], key[i]) != 0) key[keys++] = key[i];
    for (int64_t i = 0; i < n; i++) {
        const char **at = bsearch(&s->ss[i], key, (size_t)keys, sizeof *key, by_word);
        pool[i] = at - key;
    }
    return ml_build(r, "StringFind", 2, (Tensor *[]){x, ml_strings(r.g, keys, key)});
}
static bool check(Ctx *c, const Node *n, int64_t total) {
    const Attr *counts = &n->attr[G_COUNTS], *places = &n->attr[G_PLACES], *w = &n->attr[G_WEIGHTS];
    int64_t lo = attr_i(n, G_SHORTEST), hi = attr_i(n, G_LONGEST), grams = 0;
    if (lo < 1 || hi < lo || hi > GRAM_MOST || hi > counts->n || attr_i(n, G_SKIPS) < 0)
        return diag_error(
            c->d, n->loc,
            "grams of %lld to %lld words with %lld skipped are asked for, ngram_counts has %lld entries; 1 <= shortest <= longest "
            "<= min(%d, entries) is expected",
            (long long)lo, (long long)hi, (long long)attr_i(n, G_SKIPS), (long long)counts->n, GRAM_MOST);
    for (int64_t k = 0; k < counts->n; k++) {
        int64_t from = counts->is[k], to = k + 1 < counts->n ? counts->is[k + 1] : total;
        if (from < 0 || to < from || to > total || (to - from) % (k + 1))
            return diag_error(c->d, n->loc,
                              "ngram_counts: grams of %lld words stand from %lld to %lld of a pool of %lld; whole ones are expected",
                              (long long)k + 1, (long long)from, (long long)to, (long long)total);
        grams += (to - from) / (k + 1);
    }
    for (int64_t i = 0; i < places->n; i++)
        if (places->is[i] < 0 || places->is[i] > INT32_MAX)
            return diag_error(c->d, n->loc, "ngram_indexes: %lld is no place in the output", (long long)places->is[i]);
    if (places->n < 1 || places->n < grams)
        return diag_error(c->d, n->loc, "ngram_indexes has %lld entries for %lld grams", (long long)places->n, (long long)grams);
    return !w->n || w->n == places->n ||
           diag_error(c->d, n->loc, "there are %lld weights for %lld entries of ngram_indexes", (long long)w->n, (long long)places->n);
}
typedef struct Gram {
    const int64_t *word;
    int64_t n, place;
} Gram;
static int by_gram(const void *x, const void *y) {
    const Gram *p = x, *q = y;
    for (int64_t k = 0; k < p->n; k++)
        if (p->word[k] != q->word[k]) return p->word[k] < q->word[k] ? -1 : 1;
    return p->place < q->place ? -1 : p->place > q->place;
}
/* The grams of n words in order, each with its place; returns how many numbers these are. */
static int64_t put_grams(Arena *a, const int64_t *pool, const int64_t *place, int64_t count, int64_t n, int64_t *to) {
    Gram *v = NEW_ARRAY(a, Gram, count + 1);
    for (int64_t i = 0; i < count; i++) v[i] = (Gram){pool + i * n, n, place[i]};
    qsort(v, (size_t)count, sizeof *v, by_gram);
    for (int64_t i = 0; i < count; i++, to += n + 1) {
        memcpy(to, v[i].word, (size_t)n * sizeof *to);
        to[n] = v[i].place;
    }
    return count * (n + 1);
}
bool rewrite_tfidf(Ctx *c, Graph *g, Node *n) {
    R r = {g, n};
    Tensor *x = n->in[0];
    bool text = x->type.dt == DT_STRING;
    const Attr *counts = &n->attr[G_COUNTS], *places = &n->attr[G_PLACES], *w = &n->attr[G_WEIGHTS];
    const char *mode = attr_s(n, G_MODE);
    int kind = strcmp(mode, "TF") == 0 ? 0 : strcmp(mode, "IDF") == 0 ? 1 : strcmp(mode, "TFIDF") == 0 ? 2 : -1;
    int64_t total = text ? n->attr[G_WORDS].n : n->attr[G_NUMBERS].n, lo = attr_i(n, G_SHORTEST), hi = attr_i(n, G_LONGEST), outputs = 0;
    if (!text && x->type.dt != DT_INT32 && x->type.dt != DT_INT64)
        return diag_error(c->d, n->loc, "the input is %s; string, int32 or int64 is expected", dtype_name(x->type.dt));
    if (kind < 0) return diag_error(c->d, n->loc, "mode is '%s'; TF, IDF or TFIDF is expected", mode);
    if (total < 1) return diag_error(c->d, n->loc, "attribute '%s' is expected", text ? "pool_strings" : "pool_int64s");
    if (!check(c, n, total)) return false;
    int64_t *pool = NEW_ARRAY(g->a, int64_t, total), *gram = NEW_ARRAY(g->a, int64_t, 2 * total + 1);
    if (text) x = words(r, x, pool, total);
    else memcpy(pool, n->attr[G_NUMBERS].is, (size_t)total * sizeof *pool), x = r_cast(r, x, DT_INT64);
    int64_t *start = NEW_ARRAY(g->a, int64_t, 2 * hi), used = 0, id = 0, sizes = 2 * (hi - lo + 1);
    for (int64_t k = 0; k < counts->n; k++) {
        int64_t from = counts->is[k], m = ((k + 1 < counts->n ? counts->is[k + 1] : total) - from) / (k + 1);
        if (k + 1 >= lo && k + 1 <= hi) {
            start[2 * (k + 1 - lo)] = used, start[2 * (k + 1 - lo) + 1] = m;
            used += put_grams(g->a, pool + from, places->is + id, m, k + 1, gram + used);
        }
        id += m;
    }
    for (int64_t i = 0; i < places->n; i++) outputs = max_i64(outputs, places->is[i] + 1);
    if (w->n && kind && outputs > w->n) return diag_error(c->d, n->loc, "output %lld has no weight", (long long)outputs - 1);
    float *weight = NEW_ARRAY(g->a, float, outputs);
    for (int64_t i = 0; i < outputs; i++) weight[i] = w->n && kind ? w->fs[i] : 1;
    if (!used) used = 1;
    Tensor *y = ml_build(r, "Grams", 4,
                         (Tensor *[]){x, tensor_const(g, NULL, DT_INT64, 1, &sizes, start), tensor_const(g, NULL, DT_INT64, 1, &used, gram),
                                      tensor_const(g, NULL, DT_FLOAT32, 1, &outputs, weight)});
    r_set_i(y, "skips", attr_i(n, G_SKIPS));
    r_set_i(y, "mode", kind);
    r_set_i(y, "shortest", lo);
    r_done(r, 0, y);
    return true;
}

/* ---- Grams */
enum { GRAMS_SKIPS, GRAMS_MODE, GRAMS_SHORTEST };
bool infer_grams(Infer *x) {
    const Type *t = &x->n->in[0]->type, *s = &x->n->in[1]->type, *w = &x->n->in[3]->type;
    Expr *e[2];
    if (t->rank < 1 || t->rank > 2) return infer_error(x, "the input has rank %d; rows of words, or one row, are expected", t->rank);
    if (s->rank != 1 || s->dim[0] % 2 || w->rank != 1) return infer_error(x, "lists of starts and weights are expected");
    e[0] = t->rank == 2 ? type_extent(x->g, t, 0) : NULL;
    e[t->rank - 1] = e_int(x->g->a, w->dim[0]);
    return infer_extents(x, 0, DT_FLOAT32, t->rank, e);
}
bool lower_grams(Lower *L, Node *n) {
    const Type *t = &n->in[0]->type;
    int64_t lo = attr_i(n, GRAMS_SHORTEST);
    Expr *arg[7] = {t->rank == 2 ? lower_dim(L, t, 0) : lower_int(L, 1),
                    lower_dim(L, t, t->rank - 1),
                    lower_int(L, n->in[3]->type.dim[0]),
                    lower_int(L, lo),
                    lower_int(L, lo + n->in[1]->type.dim[0] / 2 - 1),
                    lower_int(L, attr_i(n, GRAMS_SKIPS)),
                    lower_int(L, attr_i(n, GRAMS_MODE))};
    Buf *b[5] = {lower_tensor(L, n->in[0]), lower_tensor(L, n->in[1]), lower_tensor(L, n->in[2]), lower_tensor(L, n->in[3]),
                 lower_tensor(L, n->out[0])};
    lower_call(L, "qn_grams", 7, arg, 5, b, 1u << 4);
    return true;
}
