/* SPDX-License-Identifier: Apache-2.0 */
/* import_value.c: numbers in the attributes of Timeloop's files, which may be expressions (Python's) over other attributes, those of what
 * encloses them and `variables`: + - * / // % **, brackets, and the functions ceil, floor, round, int, sqrt, log2, pow, min and max.
 *   depth: 2 * ROWS, ROWS: 64   ->   128 */
#include "import.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NEST = 24 };
typedef struct Formula {
    const ValueScope *s;
    const YamlNode *n; /* the text that is read */
    const char *at;
    int nest;
} Formula;

const YamlNode *scope_find(const ValueScope *s, const char *name) {
    const YamlNode *n = NULL;
    for (int i = s->n - 1; i >= 0 && !n; i--) n = yaml_get(s->map[i], name);
    return n;
}
static bool bad(const Formula *v) {
    return yaml_wrong(v->s->f, v->n, "found '%.60s', expected a number or an expression of numbers and attributes", v->n->text);
}
static bool take(Formula *v, const char *word) {
    while (isspace((unsigned char)*v->at)) v->at++;
    size_t n = strlen(word);
    if (strncmp(v->at, word, n) != 0) return false;
    v->at += n;
    return true;
}
static bool sum(Formula *v, double *out);
static bool text_value(const ValueScope *s, const YamlNode *n, int nest, double *out) {
    Formula v = {s, n, "", nest};
    if (nest > MAX_NEST) return yaml_wrong(s->f, n, "attributes lead back to themselves, or nest too deeply");
    if (!yaml_word(s->f, n, &v.at)) return false;
    if (!sum(&v, out)) return false;
    take(&v, "");
    return *v.at ? bad(&v) : true;
}
static bool call(Formula *v, const char *name, double *out) {
    static const struct {
        const char *name;
        int n; /* arguments; 0: one or more */
    } known[] = {{"ceil", 1}, {"floor", 1}, {"round", 1}, {"int", 1}, {"sqrt", 1}, {"log2", 1}, {"pow", 2}, {"min", 0}, {"max", 0}};
    double x[8];
    int n = 0;
    size_t f = 0;
    while (f < sizeof known / sizeof *known && strcmp(known[f].name, name) != 0) f++;
    if (f == sizeof known / sizeof *known) return bad(v);
    do {
        if (n == 8 || !sum(v, &x[n])) return n == 8 ? bad(v) : false;
        n++;
    } while (take(v, ","));
    if (!take(v, ")") || (known[f].n && n != known[f].n)) return bad(v);
    switch (name[0]) {
    case 'c': *out = ceil(x[0]); break;
    case 'f': *out = floor(x[0]); break;
    case 'r': *out = nearbyint(x[0]); break; /* halves to even, as there */
    case 'i': *out = trunc(x[0]); break;
    case 's': *out = sqrt(x[0]); break;
    case 'l': *out = log2(x[0]); break;
    case 'p': *out = pow(x[0], x[1]); break;
    default:
        *out = x[0];
        for (int i = 1; i < n; i++) *out = name[1] == 'i' ? fmin(*out, x[i]) : fmax(*out, x[i]);
    }
    return true;
}
static bool atom(Formula *v, double *out) {
    char word[64], *end;
    size_t k = 0;
    if (take(v, "(")) return sum(v, out) && (take(v, ")") || bad(v));
    if (isdigit((unsigned char)*v->at) || *v->at == '.') {
        *out = strtod(v->at, &end);
        if (end == v->at) return bad(v);
        v->at = end;
        return true;
    }
    while ((isalnum((unsigned char)v->at[k]) || v->at[k] == '_') && k < sizeof word - 1) word[k] = v->at[k], k++;
    word[k] = 0, v->at += k;
    if (!k) return bad(v);
    if (take(v, "(")) return call(v, word, out);
    const YamlNode *other = scope_find(v->s, word);
    return other && other != v->n ? text_value(v->s, other, v->nest + 1, out) : bad(v);
}
static bool power(Formula *v, double *out) {
    double y;
    if (++v->nest > MAX_NEST) return bad(v);
    if (take(v, "-")) {
        if (!power(v, out)) return false;
        *out = -*out;
    } else {
        if (!atom(v, out)) return false;
        if (take(v, "**")) {
            if (!power(v, &y)) return false;
            *out = pow(*out, y);
        }
    }
    v->nest--;
    return true;
}
static bool product(Formula *v, double *out) {
    double y;
    if (!power(v, out)) return false;
    for (;;) {
        if (take(v, "//")) {
            if (!power(v, &y)) return false;
            *out = floor(*out / y);
        } else if (take(v, "*")) {
            if (!power(v, &y)) return false;
            *out *= y;
        } else if (take(v, "/")) {
            if (!power(v, &y)) return false;
            *out /= y;
        } else if (take(v, "%")) {
            if (!power(v, &y)) return false;
            *out -= floor(*out / y) * y;
        } else return true;
    }
}
static bool sum(Formula *v, double *out) {
    double y;
    if (!product(v, out)) return false;
    for (;;) {
        if (take(v, "+")) {
            if (!product(v, &y)) return false;
            *out += y;
        } else if (take(v, "-")) {
            if (!product(v, &y)) return false;
            *out -= y;
        } else return true;
    }
}
bool value_number(const ValueScope *s, const YamlNode *n, double *out) {
    double v = 0;
    if (!n) return true;
    if (!text_value(s, n, 0, &v)) return false;
    if (!(v >= 0 && v < 1e30)) return yaml_wrong(s->f, n, "'%.60s' is out of range, expected a number, at least 0", n->text);
    *out = v;
    return true;
}
bool value_whole(const ValueScope *s, const YamlNode *n, int64_t *out) {
    double v = 0;
    if (!n) return true;
    if (!text_value(s, n, 0, &v)) return false;
    if (!(v >= 0 && v <= 1125899906842624.0) || v != floor(v))
        return yaml_wrong(s->f, n, "'%.60s' is out of range, expected a whole number from 0 to 2^50", n->text);
    *out = (int64_t)v;
    return true;
}
