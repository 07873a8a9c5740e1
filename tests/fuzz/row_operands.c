/* SPDX-License-Identifier: Apache-2.0 */
/* row_operands.c: operands of a node in the making: a value of the graph whose shape, type and values fit, else a new one.
 *
 *   "x:[N,C*2]" and values float32[3], float32[2,6]   ->   the second, with N = 2 and C = 3
 */
#include "row.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- shapes: against those of a value (v), or a new one */
static int64_t new_extent(Make *m) {
    Fuzz *f = m->f;
    return f->symbolic && chance(f, 40) ? f->extent : f->empty && chance(f, 12) ? 0 : chance(f, 10) ? pick(f, 5, 9) : pick(f, 1, 4);
}
/* One entry of a list of extents: `have` -1 to make one. */
static bool extent_match(Make *m, int64_t have, int64_t *out) {
    size_t len = word_len(m->s);
    char after = m->s[len];
    if (*m->s == '_') {
        m->s++;
        *out = have >= 0 ? have : new_extent(m);
        return true;
    }
    bool free = len && isupper((unsigned char)*m->s) && len == 1 && after != '(' && var_find(m, m->s, len) < 0;
    if (!free) {
        int64_t v = expr(m, 0);
        *out = v;
        return !m->failed && v >= 0 && (have < 0 || have == v);
    }
    const char *name = m->s;
    int64_t by = 1;
    m->s += len;
    if (eat(m, "*")) by = expr(m, 2);
    if (m->failed || by <= 0 || (have >= 0 && have % by)) return false;
    int64_t v = have >= 0 ? have / by : max_i64(new_extent(m) / (by > 2 ? 2 : 1), m->f->empty ? 0 : 1);
    var_add(m, name, len, v);
    *out = v * by;
    return true;
}
/* The words between [ and ] give a shape; v NULL: a new one. false: v has another. */
static bool shape_match(Make *m, const Value1 *v, int *rank, int64_t *dim) {
    Fuzz *f = m->f;
    *rank = 0;
    if (eat(m, "*]")) {
        if (v) {
            *rank = v->rank;
            memcpy(dim, v->dim, sizeof v->dim);
            return v->rank <= 5;
        }
        *rank = (int)(chance(f, 75) ? pick(f, 1, 4) : 0);
        for (int k = 0; k < *rank; k++) dim[k] = new_extent(m);
        return true;
    }
    if (*m->s == '=' || *m->s == '~' || *m->s == '^') {
        char how = *m->s++;
        int64_t like[QN_MAX_RANK];
        int n = 0;
        size_t len = word_len(m->s);
        bool named = islower((unsigned char)*m->s) && (m->s[len] == ']' || m->s[len] == ';');
        if (named) {
            const Value1 *x = operand_named(m, m->s, len);
            n = x->rank;
            memcpy(like, x->dim, sizeof x->dim);
            m->s += len;
        } else do
                like[n++] = expr(m, 0);
            while (eat(m, ","));
        int swap = -1;
        if (eat(m, ";")) {
            swap = (int)expr(m, 0);
            eat(m, ":");
            if (swap < 0) swap += n;
        }
        if (how == '=') {
            if (v && v->rank != n) return false;
            *rank = n;
            for (int k = 0; k < n; k++) {
                if (k == swap) {
                    if (!extent_match(m, v ? v->dim[k] : -1, &dim[k])) return false;
                } else dim[k] = like[k];
                if (v && v->dim[k] != dim[k]) return false;
            }
            return eat(m, "]");
        }
        eat(m, "]");
        if (v) {
            *rank = v->rank;
            memcpy(dim, v->dim, sizeof v->dim);
            if (v->rank > n) return false;
            for (int k = 0; k < v->rank; k++)
                if (dim[k] != 1 && dim[k] != like[k + n - v->rank] && !(how == '^' && like[k + n - v->rank] == 1)) return false;
            return true;
        }
        int more = how == '^' && n < 4 && chance(f, 10), drop = chance(f, 25) && !more ? (int)pick(f, 0, n) : 0;
        for (int k = 0; k < more; k++) dim[(*rank)++] = new_extent(m);
        for (int k = drop; k < n; k++)
            dim[(*rank)++] = chance(f, 20) ? 1 : how == '^' && like[k] == 1 && chance(f, 40) ? new_extent(m) : like[k];
        return true;
    }
    while (!eat(m, "]")) {
        size_t len = word_len(m->s);
        if (eat(m, "*")) { /* any further axes */
            int more = v ? v->rank - *rank : (int)pick(f, 0, 2);
            if (more < 0 || *rank + more > 5) return false;
            for (; more > 0; more--, (*rank)++) dim[*rank] = v ? v->dim[*rank] : new_extent(m);
        } else if (m->s[len] == '>') {
            const Value1 *x = operand_named(m, m->s, len);
            m->s += len + 1;
            int64_t from = expr(m, 2);
            if (from < 0) from += x->rank;
            for (int64_t k = from; k < x->rank; k++, (*rank)++) {
                dim[*rank] = x->dim[k];
                if (v && (*rank >= v->rank || v->dim[*rank] != x->dim[k])) return false;
            }
        } else {
            if (v && *rank >= v->rank) return false;
            if (!extent_match(m, v ? v->dim[*rank] : -1, &dim[*rank])) return false;
            (*rank)++;
        }
        eat(m, ",");
    }
    return !v || v->rank == *rank;
}

/* ---- operands */
typedef struct Wanted { /* the words of one operand after its shape */
    DType dt;
    bool constant, limited, listed, fractions, nonzero, positive;
    double lo, hi;
    int64_t list[LIST];
    int n;
} Wanted;
double number(Make *m) { /* its dot is not the first of .. */
    const char *dots = strstr(m->s, "..");
    char *end, *s = dots ? arena_strndup(m->f->a, m->s, (size_t)(dots - m->s)) : (char *)m->s;
    double v = strtod(s, &end);
    m->s += end - s;
    return v;
}
static void wanted_read(Make *m, Wanted *w) {
    if (eat(m, "/")) {
        size_t len = word_len(m->s + (*m->s == '='));
        if (eat(m, "=")) w->dt = operand_named(m, m->s, len)->dt;
        else {
            char name[24];
            memcpy(name, m->s, len), name[len] = 0;
            w->dt = dtype_parse(name);
        }
        m->s += len;
    }
    if (eat(m, "{")) {
        if (eat(m, "z}")) w->nonzero = true;
        else if (eat(m, "p}")) w->positive = true;
        else if (*m->s == '[' || *m->s == '%') w->listed = true, w->n = list_read(m, w->list);
        else if (eat(m, "#")) w->limited = w->fractions = true, w->lo = number(m), eat(m, ".."), w->hi = number(m);
        else w->limited = true, w->lo = (double)expr(m, 0), eat(m, ".."), w->hi = (double)expr(m, 0);
        eat(m, "}");
        if (w->limited && w->lo > w->hi) fail(m);
    }
    w->constant = eat(m, "!");
}
static bool plain(DType t) { return t != DT_STRING && dtype_info[t].cls != CLS_CPLX; }
static bool value_fits(const Make *m, const Value1 *v, const Wanted *w) {
    if (v->dt != w->dt || w->constant || w->listed) return false;
    bool ints = dtype_is_int(v->dt);
    for (int64_t i = 0; i < v->n && plain(v->dt) && (w->limited || ((w->nonzero || w->positive) && ints)); i++) {
        double x = dtype_get_f(v->dt, v->data, i);
        if (w->limited && !(x >= w->lo && x <= w->hi)) return false;
        if (w->nonzero && ints && m->f->ort && (x == 0 || x == -1)) return false;
        if (w->positive && m->f->ort && !(x >= 1 && x < 1000)) return false;
    }
    return !w->limited || !v->moved || ints;
}
static void value_fill(Make *m, Value1 *v, const Wanted *w) {
    Fuzz *f = m->f;
    for (int64_t i = 0; i < v->n && plain(v->dt); i++) {
        if (w->listed) dtype_set_i(v->dt, v->data, i, w->list[w->n == 1 ? 0 : i < w->n ? i : 0]);
        else if (w->fractions) dtype_set_f(v->dt, v->data, i, w->lo + (w->hi - w->lo) * (double)pick(f, 0, 64) / 64);
        else if (w->limited) dtype_set_f(v->dt, v->data, i, (double)pick(f, (int64_t)w->lo, (int64_t)w->hi));
        else if ((w->nonzero || w->positive) && dtype_is_int(v->dt) && f->ort)
            dtype_set_i(v->dt, v->data, i, pick(f, 1, dtype_max(v->dt) < 7 ? 1 : 7));
    }
}
static DType operand_type(Make *m, int input) {
    char letter, kind = op_operand_class(m->row->op, input, &letter);
    DType *g = letter ? &m->group[letter - 'T'] : NULL, t;
    if (g && *g) return *g;
    if (input == type_operand(m->row->op)) t = m->dt;
    else do
            t = (DType)pick(m->f, 1, DT_HALF - 1);
        while (!class_takes(kind, t) || (kind != 's' && !plain(t)) || (m->f->ort && !type_in_ort(t)));
    if (kind == 'I' && input != type_operand(m->row->op) && m->f->ort) t = DT_INT64; /* what ONNX says, mostly */
    if (g) *g = t;
    return t;
}
bool operand_make(Make *m, const char *name, size_t len, int input) {
    Fuzz *f = m->f;
    int rank, vars = m->nvar;
    int64_t dim[QN_MAX_RANK], n = 1;
    const char *at = m->s;
    Wanted w = {.dt = operand_type(m, input)};
    const char *end = strchr(m->s, ']');
    int from = (int)pick(f, 0, f->v.n ? f->v.n - 1 : 0), tries = chance(f, input ? 55 : 90) ? f->v.n : 0, chosen = -1;
    /* the latest values first: graphs become deep */
    for (int i = 0; i < tries && chosen < 0; i++) {
        int k = f->v.n - 1 - (i + (chance(f, 50) ? from : 0)) % f->v.n;
        Wanted here = w;
        m->s = at, m->nvar = vars;
        if (!shape_match(m, &f->v.v[k], &rank, dim)) {
            if (m->failed) m->failed = false;
            continue;
        }
        m->s = end + 1;
        wanted_read(m, &here);
        if (!m->failed && value_fits(m, &f->v.v[k], &here)) chosen = k;
        m->failed = false;
    }
    if (chosen < 0) {
        m->s = at, m->nvar = vars;
        if (!shape_match(m, NULL, &rank, dim) || m->failed) return false;
        m->s = end + 1;
        wanted_read(m, &w);
        for (int k = 0; k < rank; k++)
            if (!mul_ok(n, dim[k], &n) || n > 4096) return false;
        if (m->failed || (w.listed && w.n != 1 && w.n != n && n != 0) || rank > 6) return false;
        bool constant = w.constant || chance(f, 25);
        chosen = value_new(f, w.dt, rank, dim, constant);
        value_fill(m, &f->v.v[chosen], &w);
    }
    if (m->noperand == OPERANDS) return false;
    m->operand[m->noperand].name = name, m->operand[m->noperand].len = len, m->operand[m->noperand++].value = chosen;
    if (m->noperand == 1) {
        var_add(m, "r", 1, f->v.v[chosen].rank), var_add(m, "n", 1, f->v.v[chosen].n);
        var_add(m, "F", 1, dtype_is_float(f->v.v[chosen].dt));
    }
    char letter;
    op_operand_class(m->row->op, input, &letter);
    if (letter) m->group[letter - 'T'] = f->v.v[chosen].dt;
    return true;
}
