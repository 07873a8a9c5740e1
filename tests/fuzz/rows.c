/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c: a node from the words of rows.def. Operands are taken from the graph where one fits, else they are new inputs or constants;
 * letters that stand for extents take the value of the first operand that has them.
 *
 *   "x:[M,K] y:[K,N]"  and a value float32[2,3] in the graph   ->   MatMul(that value, a new input float32[3,4])
 */
#include "row.h"
#include <stdlib.h>
#include <string.h>

static Row rows[] = {
#define ROW(domain, name, flags, words) {domain, name, flags, words, NULL},
#include "rows.def"
#undef ROW
};
enum { ROWS = sizeof rows / sizeof *rows };
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

/* ---- attributes */
static void skip_word(Make *m) { m->s += strcspn(m->s, " "); }
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
