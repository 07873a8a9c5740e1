/* SPDX-License-Identifier: Apache-2.0 */
/* row_words.c: the numbers and lists that the words of rows.def compute.
 *
 *   "k=1..D(x,1) p%=perm(r)"   ->   k is a number from 1 to x's second extent, p an order of the r axes
 */
#include "row.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int64_t fail(Make *m) {
    m->failed = true;
    return 1;
}
size_t word_len(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n])) n++;
    return n;
}
int var_find(const Make *m, const char *s, size_t len) {
    for (int i = m->nvar - 1; i >= 0; i--)
        if (m->var[i].len == len && memcmp(m->var[i].name, s, len) == 0) return i;
    return -1;
}
int var_add(Make *m, const char *s, size_t len, int64_t v) {
    if (m->nvar == NAMES) BUG("too many names in '%s'", m->row->words);
    int i = m->nvar++;
    m->var[i].name = s, m->var[i].len = len, m->var[i].v = v, m->var[i].n = -1;
    return i;
}
const Value1 *operand_named(Make *m, const char *s, size_t len) {
    for (int i = 0; i < m->noperand; i++)
        if (m->operand[i].len == len && memcmp(m->operand[i].name, s, len) == 0) return &m->f->v.v[m->operand[i].value];
    BUG("no operand '%.*s' in '%s'", (int)len, s, m->row->words);
}

/* ---- expressions */
bool eat(Make *m, const char *t) {
    size_t n = strlen(t);
    if (strncmp(m->s, t, n) != 0) return false;
    m->s += n;
    return true;
}
static int64_t extent_of(Make *m, bool least) { /* D(x,k) and M(x,from,count) */
    size_t len = word_len(m->s);
    const Value1 *x = operand_named(m, m->s, len);
    m->s += len + 1;
    int64_t k = expr(m, 0), count = 1, d = INT64_MAX;
    if (least && eat(m, ",")) count = expr(m, 0);
    eat(m, ")");
    if (k < 0) k += x->rank;
    if (k < 0 || k + count > x->rank) return fail(m);
    for (int64_t i = k; i < k + count; i++) d = min_i64(d, x->dim[i]);
    return d;
}
static int64_t primary(Make *m) {
    if (eat(m, "(")) {
        int64_t v = expr(m, 0);
        eat(m, ")");
        return v;
    }
    if (eat(m, "-")) return -primary(m);
    if (eat(m, "#")) {
        size_t len = word_len(m->s);
        int i = var_find(m, m->s, len);
        m->s += len;
        return i < 0 ? fail(m) : m->var[i].n;
    }
    if (isdigit((unsigned char)*m->s)) return strtoll(m->s, (char **)&m->s, 10);
    if (eat(m, "D(")) return extent_of(m, false);
    if (eat(m, "M(")) return extent_of(m, true);
    bool lo = strncmp(m->s, "min(", 4) == 0, hi = strncmp(m->s, "max(", 4) == 0;
    if (lo || hi) {
        m->s += 4;
        int64_t x = expr(m, 0), y = (eat(m, ","), expr(m, 0));
        eat(m, ")");
        return lo ? min_i64(x, y) : max_i64(x, y);
    }
    size_t len = word_len(m->s);
    int i = var_find(m, m->s, len);
    if (!len) BUG("'%s' in '%s'", m->s, m->row->words);
    m->s += len;
    return i < 0 ? fail(m) : m->var[i].v;
}
int64_t expr(Make *m, int level) { /* levels: && | comparisons | + - | * / % */
    static const char *const ops[4][7] = {{"&&"}, {"==", "!=", "<=", ">=", "<", ">"}, {"+", "-"}, {"*", "/", "%"}};
    if (level == 4) return primary(m);
    int64_t v = expr(m, level + 1);
    for (;;) {
        int k = 0;
        while (ops[level][k] && !eat(m, ops[level][k])) k++;
        if (!ops[level][k]) return v;
        int64_t w = expr(m, level + 1);
        switch (level * 8 + k) {
        case 0: v = v && w; break;
        case 8: v = v == w; break;
        case 9: v = v != w; break;
        case 10: v = v <= w; break;
        case 11: v = v >= w; break;
        case 12: v = v < w; break;
        case 13: v = v > w; break;
        case 16: v += w; break;
        case 17: v -= w; break;
        case 24: v *= w; break;
        case 25: v = w ? v / w : fail(m); break;
        default: v = w ? v % w : fail(m); break;
        }
    }
}
int64_t range(Make *m) { /* E, E..E or E|E|E */
    int64_t v[8];
    int n = 1;
    v[0] = expr(m, 0);
    if (eat(m, "..")) {
        int64_t hi = expr(m, 0);
        return hi < v[0] ? fail(m) : pick(m->f, v[0], hi);
    }
    while (n < 8 && eat(m, "|")) v[n++] = expr(m, 0);
    return v[pick(m->f, 0, n - 1)];
}

/* ---- lists */
void shuffle(Fuzz *f, int64_t *v, int n) {
    for (int i = n - 1; i > 0; i--) {
        int k = (int)pick(f, 0, i);
        int64_t t = v[i];
        v[i] = v[k], v[k] = t;
    }
}
static int list_shape(Make *m, bool wider, int64_t *l) { /* of a Reshape or Expand of the operand */
    size_t len = word_len(m->s);
    const Value1 *x = operand_named(m, m->s, len);
    m->s += len;
    int n = 0;
    if (wider) {
        int more = x->rank < 4 ? (int)pick(m->f, 0, 1) : 0;
        for (; n < more; n++) l[n] = pick(m->f, 1, 3);
        for (int k = 0; k < x->rank; k++) l[n++] = x->dim[k] == 1 && chance(m->f, 60) ? pick(m->f, 1, 3) : chance(m->f, 15) ? 1 : x->dim[k];
        return n;
    }
    int64_t left = x->n;
    if (left == 0) {
        for (int k = 0; k < x->rank; k++) l[n++] = x->dim[k] ? x->dim[k] : 0;
        for (int k = 0; k < n; k++)
            if (l[k] && chance(m->f, 50)) l[k] = l[k] * 2;
        return x->rank ? n : 0;
    }
    while (n < 4 && (left > 1 || chance(m->f, 30))) {
        int64_t d = pick(m->f, 1, left);
        while (left % d) d--;
        if (n == 3) d = left;
        l[n++] = d, left /= d;
    }
    shuffle(m->f, l, n);
    if (n && chance(m->f, 30)) l[pick(m->f, 0, n - 1)] = -1;
    return n;
}
static int list_numbers(Make *m, const char *fn, int64_t *l) {
    int64_t a[3] = {0};
    int n = 0;
    do a[n++] = expr(m, 0);
    while (n < 3 && eat(m, ","));
    Fuzz *f = m->f;
    if (a[0] < 0 || a[0] > 1024) return fail(m), 0;
    n = (int)a[0];
    if (strcmp(fn, "cut") == 0) { /* a[1] parts of a[0] */
        for (int i = 0; i < a[1]; i++) l[i] = i + 1 < a[1] ? pick(f, 0, a[0]) : a[0], a[0] -= l[i];
        return (int)a[1];
    }
    if (n > LIST) return fail(m), 0;
    bool choice = strcmp(fn, "axes") == 0 || strcmp(fn, "newaxes") == 0, some = strcmp(fn, "some") == 0;
    for (int i = 0; i < n; i++)
        l[i] = strcmp(fn, "rep") == 0     ? pick(f, a[1], a[2])
               : strcmp(fn, "steps") == 0 ? (chance(f, 60) ? pick(f, 1, 2) : pick(f, -2, -1))
                                          : i;
    if (choice || some || strcmp(fn, "perm") == 0) shuffle(f, l, n);
    if (!choice && !some) return n;
    if (a[1] > n) return fail(m), 0;
    if (choice)
        for (int i = 0; i < a[1]; i++) l[i] -= chance(f, 30) ? n : 0;
    return (int)a[1];
}
void list_make(Make *m, const char *name, size_t len) {
    char fn[16];
    size_t k = word_len(m->s);
    memcpy(fn, m->s, k), fn[k] = 0;
    m->s += k + 1;
    int i = var_add(m, name, len, 0);
    int64_t *l = m->var[i].list;
    if (strcmp(fn, "reshape") == 0 || strcmp(fn, "expand") == 0) m->var[i].n = list_shape(m, *fn == 'e', l);
    else if (strcmp(fn, "ones") == 0) {
        size_t w = word_len(m->s);
        const Value1 *x = operand_named(m, m->s, w);
        int n = 0;
        m->s += w;
        for (int k2 = 0; k2 < x->rank; k2++)
            if (x->dim[k2] == 1) l[n++] = chance(m->f, 30) ? k2 - x->rank : k2;
        m->var[i].n = n;
    } else m->var[i].n = list_numbers(m, fn, l);
    eat(m, ")");
}
int list_read(Make *m, int64_t *l) { /* [E,E] or %name */
    if (eat(m, "%")) {
        size_t len = word_len(m->s);
        int i = var_find(m, m->s, len);
        m->s += len;
        if (i < 0) BUG("no list in '%s'", m->row->words);
        memcpy(l, m->var[i].list, sizeof m->var[i].list);
        return m->var[i].n;
    }
    int n = 0;
    eat(m, "[");
    while (!eat(m, "]")) l[n++] = expr(m, 0), eat(m, ",");
    return n;
}
