/* SPDX-License-Identifier: Apache-2.0 */
/* einsum.c: problems as one line. Each index is a sum of dims with whole factors; a dim occurs in one index of a tensor. The output comes
 * first, and each of its indices is one dim.
 *   O[m,e] += W[m,c,r] * I[c,2*e+r]   ->   dims m e c r; I's second axis moves by 2 with e and by 1 with r */
#include "import.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct Parser {
    const YamlFile *f;
    const YamlNode *at;
    const Einsum *e;
    const char *s;
    Problem *p;
    int depth; /* of relations */
} Parser;
static bool bad(Parser *p, const char *expected) {
    char found[24];
    size_t n = 0;
    for (; n < sizeof found - 1 && p->s[n]; n++) found[n] = p->s[n];
    found[n] = 0;
    return yaml_wrong(p->f, p->at, "in '%.100s' found %s%s%s, expected %s", p->e->text, n ? "'" : "", n ? found : "the end", n ? "'" : "",
                      expected);
}
static void blanks(Parser *p) {
    while (isspace((unsigned char)*p->s)) p->s++;
}
static bool take(Parser *p, const char *word) {
    blanks(p);
    size_t n = strlen(word);
    if (strncmp(p->s, word, n) != 0) return false;
    p->s += n;
    return true;
}
static bool name(Parser *p, char *out, size_t cap) {
    size_t n = 0;
    blanks(p);
    while (isalnum((unsigned char)p->s[n]) || p->s[n] == '_') n++;
    if (!n || n >= cap || isdigit((unsigned char)*p->s)) return false;
    memcpy(out, p->s, n);
    out[n] = 0;
    p->s += n;
    return true;
}
static int find_dim(const Problem *p, const char *s) {
    for (int i = 0; i < p->ndim; i++)
        if (strcmp(p->dim[i], s) == 0) return i;
    for (int i = 0; i < p->ndim; i++)
        if (strcasecmp(p->dim[i], s) == 0) return i;
    return -1;
}
static bool index_sum(Parser *p, ProblemAxis *a, int64_t times);
/* A name that a relation gives: its sum, `times` over. */
static bool related(Parser *p, const char *s, ProblemAxis *a, int64_t times, bool *known) {
    *known = false;
    for (int i = 0; i < p->e->nrelation; i++) {
        Parser r = *p;
        char left[64];
        r.s = p->e->relation[i];
        if (!name(&r, left, sizeof left) || !take(&r, "=")) return bad(&r, "a relation NAME=2*A+B");
        if (strcasecmp(left, s) != 0) continue;
        *known = true;
        if (++r.depth > 4) return bad(p, "relations that do not lead back to themselves");
        if (!index_sum(&r, a, times)) return false;
        blanks(&r);
        return *r.s ? bad(&r, "'+' or the end of the relation") : true;
    }
    return true;
}
static bool term(Parser *p, ProblemAxis *a, int64_t times) {
    char s[64] = "";
    int64_t k = 1;
    blanks(p);
    if (isdigit((unsigned char)*p->s)) {
        char *end;
        k = strtoll(p->s, &end, 10);
        if (end - p->s > 7) return bad(p, "a factor below ten million");
        p->s = end;
        if (!take(p, "*")) return bad(p, "'*' and a dim after the factor");
    }
    const char *start = p->s;
    if (!name(p, s, sizeof s)) return bad(p, "a dim");
    if (k == 1 && take(p, "*")) {
        char *end;
        blanks(p);
        if (!isdigit((unsigned char)*p->s)) return bad(p, "a whole number");
        k = strtoll(p->s, &end, 10);
        if (end - p->s > 7) return bad(p, "a factor below ten million");
        p->s = end;
    }
    if (k < 1) return bad(p, "a factor, at least 1");
    int d = find_dim(p->p, s);
    bool known;
    if (d < 0) {
        if (!related(p, s, a, times * k, &known)) return false;
        return known || (p->s = start, bad(p, "a dim whose extent is given"));
    }
    if (a->n == QN_MAX_TERMS) return bad(p, "at most 3 dims in an index");
    a->dim[a->n] = d, a->coef[a->n++] = times * k;
    return true;
}
static bool index_sum(Parser *p, ProblemAxis *a, int64_t times) {
    do
        if (!term(p, a, times)) return false;
    while (take(p, "+"));
    return true;
}
static bool tensor(Parser *p) {
    char s[64];
    if (p->p->ntensor == QN_MAX_TENSORS) return bad(p, "at most 3 inputs");
    ProblemTensor *t = &p->p->tensor[p->p->ntensor++];
    if (!name(p, s, sizeof s)) return bad(p, "the name of a tensor");
    t->name = arena_strdup(p->f->c->a, s);
    while (take(p, "[")) {
        if (take(p, "]")) continue;
        do {
            if (t->rank == QN_MAX_AXES) return bad(p, "at most 8 indices");
            if (!index_sum(p, &t->axis[t->rank++], 1)) return false;
        } while (take(p, ","));
        if (!take(p, "]")) return bad(p, "',', '+' or ']'");
    }
    unsigned seen = 0;
    for (int a = 0; a < t->rank; a++)
        for (int i = 0; i < t->axis[a].n; i++) {
            if (seen >> t->axis[a].dim[i] & 1) return bad(p, "each dim at most once in a tensor");
            seen |= 1u << t->axis[a].dim[i];
        }
    return true;
}
void problem_roles(Problem *p) {
    bool input = false;
    for (int t = 0; t < p->ntensor; t++) {
        const char *s = p->tensor[t].name;
        if (p->tensor[t].role == ROLE_O) continue;
        p->tensor[t].role = *s == 'W' || *s == 'w' || *s == 'F' || *s == 'f' ? ROLE_W : *s == 'I' || *s == 'i' ? ROLE_I : 0;
        input |= p->tensor[t].role == ROLE_I;
    }
    for (int t = 0; t < p->ntensor; t++)
        if (!p->tensor[t].role) p->tensor[t].role = input ? ROLE_W : ROLE_I, input = true;
}
Problem *einsum_problem(const YamlFile *f, const YamlNode *at, const Einsum *e) {
    Problem *p = NEW(f->c->a, Problem);
    Parser x = {f, at, e, e->text, p, 0};
    p->name = e->name;
    for (int i = 0; i < e->ndim; i++) p->dim[i] = e->dim[i].name, p->extent[i] = e->dim[i].extent;
    p->ndim = e->ndim;
    if (!tensor(&x)) return NULL;
    p->tensor[0].role = ROLE_O;
    if (!take(&x, "+=")) return bad(&x, "'+='"), NULL;
    do
        if (!tensor(&x)) return NULL;
    while (take(&x, "*"));
    blanks(&x);
    if (*x.s) return bad(&x, "'*' or the end"), NULL;
    ProblemTensor out = p->tensor[0]; /* operands in the order of the models' own: the output last */
    for (int t = 0; t + 1 < p->ntensor; t++) p->tensor[t] = p->tensor[t + 1];
    p->tensor[p->ntensor - 1] = out;
    problem_roles(p);
    return problem_check(f->c->d, (Loc){f->name, at ? at->line : -1, NULL, NULL}, p) ? p : NULL;
}
