/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c: a node from the words of rows.def. Operands are taken from the graph where one fits, else they are new inputs or constants;
 * letters that stand for extents take the value of the first operand that has them.
 *
 *   "x:[M,K] y:[K,N]"  and a value float32[2,3] in the graph   ->   MatMul(that value, a new input float32[3,4])
 */
#include "fuzz.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static Row rows[] = {
#define ROW(domain, name, flags, words) {domain, name, flags, words, NULL},
#include "rows.def"
#undef ROW
};
enum { ROWS = sizeof rows / sizeof *rows, NAMES = 40, LIST = 64, OPERANDS = 16 };
int row_count(void) { return ROWS; }
const Row *row_at(int i) {
    if (!rows[i].op) rows[i].op = op_find(rows[i].domain, rows[i].name);
    if (!rows[i].op) BUG("rows.def has no operator for %s", rows[i].name);
    return &rows[i];
}

/* ---- what the registry says of element types */
int type_operand(const OpDef *op) {
    char letter;
    for (int i = 0; i < (op->max_in < 0 ? op->min_in + 1 : op->max_in); i++)
        if (op_operand_class(op, i, &letter), letter) return i;
    return 0;
}
bool type_in_ort(DType t) { /* what its interface for JavaScript has */
    DClass k = dtype_info[t].cls;
    return k != CLS_STR && k != CLS_CPLX && dtype_info[t].bits >= 8 && t != DT_BFLOAT16 && !(k == CLS_FLOAT && dtype_info[t].bits < 16);
}
/* "&float32|int8 …": the row is for these types only */
static bool listed(const char *words, DType dt) {
    size_t n = strcspn(words, " "), len = strlen(dtype_name(dt));
    if (*words != '&') return true;
    for (const char *s = words + 1; s < words + n; s += strcspn(s, "| ") + 1)
        if (strncmp(s, dtype_name(dt), len) == 0 && strchr("| ", s[len])) return true;
    return false;
}
bool row_allows(int i, DType dt) {
    const OpDef *op = row_at(i)->op;
    char letter;
    if (!listed(rows[i].words, dt)) return false;
    if (*rows[i].words == '&') return true;
    if (op->max_in == 0) return dtype_is_float(dt) && dtype_info[dt].bits >= 16; /* of the output */
    return class_takes(op_operand_class(op, type_operand(op), &letter), dt);
}

/* ---- one node in the making */
typedef struct Make {
    Fuzz *f;
    const Row *row;
    DType dt, group[8];
    struct {
        const char *name;
        size_t len;
        int64_t v, list[LIST];
        int n; /* of a list; -1: a number */
    } var[NAMES];
    int nvar;
    struct {
        const char *name;
        size_t len;
        int value;
    } operand[OPERANDS];
    int noperand, nout;
    const char *s; /* where we are */
    bool failed;
} Make;
static int64_t fail(Make *m) {
    m->failed = true;
    return 1;
}
static size_t word_len(const char *s) {
    size_t n = 0;
    while (isalnum((unsigned char)s[n])) n++;
    return n;
}
static int var_find(const Make *m, const char *s, size_t len) {
    for (int i = m->nvar - 1; i >= 0; i--)
        if (m->var[i].len == len && memcmp(m->var[i].name, s, len) == 0) return i;
    return -1;
}
static int var_add(Make *m, const char *s, size_t len, int64_t v) {
    if (m->nvar == NAMES) BUG("too many names in '%s'", m->row->words);
    int i = m->nvar++;
    m->var[i].name = s, m->var[i].len = len, m->var[i].v = v, m->var[i].n = -1;
    return i;
}
static const Value1 *operand_named(Make *m, const char *s, size_t len) {
    for (int i = 0; i < m->noperand; i++)
        if (m->operand[i].len == len && memcmp(m->operand[i].name, s, len) == 0) return &m->f->v.v[m->operand[i].value];
    BUG("no operand '%.*s' in '%s'", (int)len, s, m->row->words);
}

/* ---- expressions */
static int64_t expr(Make *m, int level);
static bool eat(Make *m, const char *t) {
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
static int64_t expr(Make *m, int level) { /* levels: && | comparisons | + - | * / % */
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
static int64_t range(Make *m) { /* E, E..E or E|E|E */
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
static void shuffle(Fuzz *f, int64_t *v, int n) {
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
static void list_make(Make *m, const char *name, size_t len) {
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
static int list_read(Make *m, int64_t *l) { /* [E,E] or %name */
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
static double number(Make *m) { /* its dot is not the first of .. */
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
static bool operand_make(Make *m, const char *name, size_t len, int input) {
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
static void skip_word(Make *m) { m->s += strcspn(m->s, " "); }

/* ---- attributes */
static DType some_type(Make *m, int bits) {
    for (int i = 0; i < 200; i++) {
        DType t = (DType)pick(m->f, 1, DT_HALF - 1);
        DClass k = dtype_info[t].cls;
        if (k == CLS_STR || k == CLS_CPLX || (bits && dtype_info[t].bits != bits)) continue;
        if (m->f->ort && !type_in_ort(t)) continue;
        return t;
    }
    return DT_FLOAT32;
}
static const char *choice(Make *m, const char *close) { /* one of a|b|c */
    size_t n = strcspn(m->s, close);
    char *all = arena_strndup(m->f->a, m->s, n), *part[16], *save = NULL;
    int k = 0;
    m->s += n;
    for (char *p = strtok_r(all, "|", &save); p && k < 16; p = strtok_r(NULL, "|", &save)) part[k++] = p;
    return k ? part[pick(m->f, 0, k - 1)] : "";
}
static Tensor *tensor_attr(Make *m) {
    Arena *a = m->f->a;
    Graph *g = graph_new(a, "attribute");
    DType dt = some_type(m, 0);
    void *data = arena_alloc(a, 32);
    dtype_set_i(dt, data, 0, pick(m->f, 0, 3));
    return tensor_const(g, NULL, dt, 1, (int64_t[]){1}, data);
}
static Tensor *numbers_attr(Make *m, DType dt) { /* #1,2 of the node's type, bytes#0,1 */
    double v[LIST];
    int64_t n = 0;
    eat(m, "#");
    do v[n++] = number(m);
    while (eat(m, ","));
    void *data = arena_alloc(m->f->a, (size_t)n * 8 + 16);
    for (int64_t i = 0; i < n; i++) dtype_set_f(dt, data, i, v[i]);
    return tensor_const(graph_new(m->f->a, "attribute"), NULL, dt, 1, &n, data);
}
static void attr_read(Make *m, Attr *attr, const AttrSpec *spec) {
    Arena *a = m->f->a;
    Attr v = {.kind = spec->kind};
    int64_t *l = NEW_ARRAY(a, int64_t, LIST);
    switch (spec->kind) {
    case ATTR_INT:
        if (eat(m, "type")) v.i = some_type(m, 0);
        else if (eat(m, "bits")) v.i = some_type(m, dtype_info[m->dt].bits);
        else v.i = range(m);
        break;
    case ATTR_FLOAT: eat(m, "#"), v.f = strtof(choice(m, " "), NULL); break;
    case ATTR_STRING: eat(m, "'"), v.s = choice(m, "'"), v.n = (int64_t)strlen(v.s), eat(m, "'"); break;
    case ATTR_INTS: v.is = l, v.n = list_read(m, l); break;
    case ATTR_FLOATS: {
        float *fs = NEW_ARRAY(a, float, LIST);
        eat(m, "#");
        do fs[v.n++] = (float)number(m);
        while (eat(m, ","));
        v.fs = fs;
        break;
    }
    case ATTR_STRINGS: {
        const char **ss = NEW_ARRAY(a, const char *, LIST);
        eat(m, "'");
        for (char *save = NULL, *p = strtok_r((char *)choice(m, "'"), ",", &save); p; p = strtok_r(NULL, ",", &save)) ss[v.n++] = p;
        eat(m, "'");
        v.ss = ss;
        break;
    }
    case ATTR_TENSOR: v.t = eat(m, "tensor") ? tensor_attr(m) : numbers_attr(m, eat(m, "bytes") ? DT_UINT8 : m->dt); break;
    default: BUG("attribute %s", spec->name);
    }
    *attr = v;
}
static void attr_word(Make *m, Node1 *n) {
    size_t len = strcspn(m->s, "=?");
    char *name = arena_strndup(m->f->a, m->s, len);
    int k = op_attr_index(n->op, name);
    if (k < 0) BUG("%s has no attribute %s", n->op->name, name);
    m->s += len;
    if (eat(m, "?") && chance(m->f, 50)) return skip_word(m);
    eat(m, "=");
    attr_read(m, &n->attr[k], &n->op->attr[k]);
}

/* ---- the node */
static bool words(Make *m, Node1 *n) {
    Fuzz *f = m->f;
    n->name = NEW_ARRAY(f->a, const char *, OPERANDS + 2);
    for (m->s = m->row->words; *m->s; m->s += strspn(m->s, " ")) {
        if (*m->s == '&') {
            skip_word(m);
            continue;
        }
        if (eat(m, "=>")) {
            m->s += strspn(m->s, " ");
            n->macro = m->s, n->nout = 1 + (strstr(m->s, "p=") || strstr(m->s, ",p=")) + (strstr(m->s, ",q=") != NULL);
            break;
        }
        if (eat(m, "?")) {
            if (!expr(m, 0)) return false;
        } else if (eat(m, "@")) attr_word(m, n);
        else if (eat(m, ">")) n->nout = (int)range(m);
        else if (*m->s == '_') n->in[n->nin++] = -1, m->s++;
        else {
            const char *name = m->s;
            size_t len = word_len(name);
            m->s += len;
            if (eat(m, "%=")) list_make(m, name, len);
            else if (eat(m, "=")) {
                int64_t v = range(m);
                var_add(m, name, len, v);
            } else {
                bool many = eat(m, "*"), maybe = eat(m, "?");
                if (!eat(m, ":[")) BUG("'%s' in '%s'", name, m->row->words);
                const char *at = m->s;
                if (maybe && chance(f, 40)) {
                    skip_word(m);
                    n->in[n->nin++] = -1;
                    continue;
                }
                int64_t times = many ? pick(f, 1, 3) : 1;
                for (int64_t i = 0; i < times; i++) {
                    m->s = at;
                    if (n->nin >= OPERANDS || !operand_make(m, name, len, n->nin)) return false;
                    n->name[n->nin] = arena_strndup(f->a, name, len);
                    n->in[n->nin++] = m->operand[m->noperand - 1].value;
                }
            }
        }
        if (m->failed) return false;
        if (*m->s && *m->s != ' ') BUG("'%s' in '%s'", m->s, m->row->words);
    }
    while (n->nin && n->in[n->nin - 1] < 0) n->nin--;
    return true;
}
bool node_make(Fuzz *f, const Row *row, DType dt) {
    Make *m = NEW(f->a, Make);
    m->f = f, m->row = row, m->dt = dt;
    const OpDef *op = row->op;
    Node1 n = {.op = op, .nout = op->min_out > 0 ? op->min_out : 1, .flags = row->flags};
    int values = f->v.n;
    n.in = NEW_ARRAY(f->a, int, OPERANDS + 2);
    n.attr = NEW_ARRAY(f->a, Attr, op->nattr + 1);
    for (int i = 0; i < op->nattr; i++) n.attr[i] = op->attr[i].def;
    f->why = NULL;
    if (words(m, &n) && node_evaluate(f, &n)) return true;
    f->v.n = values;
    return false;
}
