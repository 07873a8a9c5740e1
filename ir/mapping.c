/* SPDX-License-Identifier: Apache-2.0 */
/* mapping.c: problems (GEMM, convolution) with their affine projections, and mappings: text form and legality. A mapping's
 * loops nest in the order of its levels, spatial loops inside the temporal ones of the same level; an outer loop of a dim
 * steps by the product of the factors inside it, so index = sum of loop value * step.
 *   DRAM: for M 4; regs: for M 8   ->  m = 8 * m0 + m1, and the tile of regs has 8 rows */
#include "mapping.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- problems */
int problem_dim(const Problem *p, const char *name) {
    for (int i = 0; i < p->ndim; i++)
        if (strcmp(p->dim[i], name) == 0) return i;
    return -1;
}
int problem_tensor(const Problem *p, const char *name) {
    for (int i = 0; i < p->ntensor; i++)
        if (strcmp(p->tensor[i].name, name) == 0) return i;
    return -1;
}
static void add_dim(Problem *p, const char *name, int64_t extent) {
    p->dim[p->ndim] = name;
    p->extent[p->ndim++] = extent ? extent : 1;
}
static ProblemTensor *add_tensor(Problem *p, const char *name, unsigned role) {
    ProblemTensor *t = &p->tensor[p->ntensor++];
    t->name = name, t->role = role;
    return t;
}
/* One axis that is the sum of up to two dims; a dim that the problem lacks is left out. */
static void add_axis(const Problem *p, ProblemTensor *t, const char *x, int64_t kx, const char *y, int64_t ky) {
    ProblemAxis *a = &t->axis[t->rank];
    const char *name[2] = {x, y};
    int64_t coef[2] = {kx, ky};
    for (int i = 0; i < 2; i++) {
        int d = name[i] ? problem_dim(p, name[i]) : -1;
        if (d >= 0) a->dim[a->n] = d, a->coef[a->n++] = coef[i] ? coef[i] : 1;
    }
    if (a->n) t->rank++;
}
static void add_axes(const Problem *p, ProblemTensor *t, const char *letters) {
    for (; *letters; letters++) add_axis(p, t, (char[2]){*letters, 0}, 1, NULL, 0);
}

Problem *problem_gemm(Arena *a, const char *name, int64_t m, int64_t n, int64_t k) {
    Problem *p = NEW(a, Problem);
    p->name = arena_strdup(a, name);
    add_dim(p, "M", m), add_dim(p, "N", n), add_dim(p, "K", k);
    add_axes(p, add_tensor(p, "A", ROLE_I), "MK");
    add_axes(p, add_tensor(p, "B", ROLE_W), "KN");
    add_axes(p, add_tensor(p, "C", ROLE_O), "MN");
    return p;
}
Problem *problem_conv(Arena *a, const char *name, const ConvShape *s) {
    Problem *p = NEW(a, Problem);
    p->name = arena_strdup(a, name);
    add_dim(p, "N", s->n);
    if (s->g > 1) add_dim(p, "G", s->g);
    bool channels = s->depthwise || s->pool || s->pairs;
    if (!channels) add_dim(p, "M", s->m);
    add_dim(p, "C", s->c), add_dim(p, "E", s->e), add_dim(p, "F", s->f), add_dim(p, "R", s->r), add_dim(p, "S", s->s);
    if (!s->pool) add_axes(p, add_tensor(p, "W", ROLE_W), s->pairs ? "NCEF" : "GMCRS");
    ProblemTensor *in = add_tensor(p, "I", ROLE_I);
    add_axes(p, in, "NGC");
    add_axis(p, in, "E", s->stride_e, "R", s->dil_r);
    add_axis(p, in, "F", s->stride_f, "S", s->dil_s);
    add_axes(p, add_tensor(p, "O", ROLE_O), channels ? "NCEF" : "NGMEF");
    return p;
}
int64_t problem_macs(const Problem *p) {
    int64_t n = 1;
    for (int i = 0; i < p->ndim; i++) n *= p->extent[i];
    return n;
}
int64_t problem_box(const Problem *p, int tensor, const int64_t *extent) {
    const ProblemTensor *t = &p->tensor[tensor];
    int64_t words = 1;
    for (int i = 0; i < t->rank; i++) {
        int64_t len = 1;
        for (int k = 0; k < t->axis[i].n; k++) len += (extent[t->axis[i].dim[k]] - 1) * t->axis[i].coef[k];
        words *= len;
    }
    return words;
}
static void tensor_check(Diags *d, Loc loc, const Problem *p, const ProblemTensor *t) {
    int64_t words = 1;
    for (int i = 0; i < t->rank; i++) {
        const ProblemAxis *x = &t->axis[i];
        int64_t len = 1;
        for (int k = 0; k < x->n; k++) {
            if (x->coef[k] < 1 || x->coef[k] > 1 << 20)
                diag_error(d, loc, "axis %d of %s has a step of %lld; expected 1 to 1048576", i, t->name, (long long)x->coef[k]);
            else len += (p->extent[x->dim[k]] - 1) * x->coef[k];
        }
        if (!mul_ok(words, len, &words) || words > (int64_t)1 << 50) words = 1, diag_error(d, loc, "%s has more than 2^50 words", t->name);
        if (t->role == ROLE_O && (x->n != 1 || x->coef[0] != 1)) diag_error(d, loc, "axis %d of the output %s is not one dim", i, t->name);
    }
}
bool problem_check(Diags *d, Loc loc, const Problem *p) {
    int before = d->errors, outputs = 0;
    int64_t macs = 1;
    for (int i = 0; i < p->ndim; i++) {
        if (p->extent[i] < 1 || p->extent[i] > (int64_t)1 << 40)
            diag_error(d, loc, "dim %s is %lld; expected 1 to 2^40", p->dim[i], (long long)p->extent[i]);
        else if (!mul_ok(macs, p->extent[i], &macs) || macs > (int64_t)1 << 50)
            macs = 1, diag_error(d, loc, "problem %s has more than 2^50 multiply-adds", p->name);
        if (problem_dim(p, p->dim[i]) != i) diag_error(d, loc, "two dims are called %s", p->dim[i]);
    }
    if (d->errors > before) return false;
    for (int i = 0; i < p->ntensor; i++) {
        tensor_check(d, loc, p, &p->tensor[i]);
        outputs += p->tensor[i].role == ROLE_O;
    }
    if (outputs != 1) diag_error(d, loc, "problem %s has %d outputs, expected one", p->name, outputs);
    return d->errors == before;
}

/* ---- mappings */
void mapping_default_keep(Mapping *m) {
    for (int i = 0; i < m->target->nlevel; i++) {
        m->level[i].keep = 0;
        for (int t = 0; t < m->problem->ntensor; t++)
            if (m->target->level[i].keeps & m->problem->tensor[t].role) m->level[i].keep |= 1u << t;
    }
}
Mapping *mapping_new(Arena *a, const Problem *p, const Target *t) {
    Mapping *m = NEW(a, Mapping);
    m->problem = p, m->target = t;
    mapping_default_keep(m);
    for (int d = 0; d < p->ndim; d++)
        if (p->extent[d] > 1) m->level[0].temporal[m->level[0].ntemporal++] = (MapLoop){d, p->extent[d], 0, false};
    return m;
}
bool mapping_ragged(const Mapping *m) {
    bool any = false;
    for (int l = 0; l < m->target->nlevel; l++) {
        const MapLevel *v = &m->level[l];
        for (int i = 0; i < v->ntemporal; i++) any |= v->temporal[i].ragged;
        for (int i = 0; i < v->nspatial; i++) any |= v->spatial[i].ragged;
    }
    return any;
}
bool mapping_chain(const Mapping *m, int dim, MapChain *c) {
    c->n = 0;
    for (int l = 0; l < m->target->nlevel; l++) {
        const MapLevel *v = &m->level[l];
        for (int pass = 0; pass < 3; pass++) /* temporal, ragged spatial, other spatial */
            for (int i = 0; i < (pass ? v->nspatial : v->ntemporal); i++) {
                const MapLoop *x = pass ? &v->spatial[i] : &v->temporal[i];
                if (x->dim != dim || x->factor < 2 || (pass && x->ragged != (pass == 1))) continue;
                if (c->n == QN_MAX_CHAIN) return false;
                c->link[c->n].level = l, c->link[c->n++].loop = *x;
            }
    }
    int64_t left = m->problem->extent[dim], inside[QN_MAX_CHAIN + 1];
    inside[c->n] = 1;
    for (int i = c->n - 1; i >= 0; i--)
        if (!mul_ok(inside[i + 1], c->link[i].loop.factor, &inside[i])) return false;
    for (int i = 0; i < c->n; i++) {
        int64_t f = c->link[i].loop.factor, step = c->link[i].loop.ragged ? min_i64(inside[i + 1], left) : left / f;
        if (c->link[i].loop.ragged ? inside[i] < left || (f - 1) * step >= left : left % f != 0) return false;
        c->link[i].covers = left, c->link[i].step = step;
        left = step;
    }
    return left == 1;
}
static void ragged_tile(const Mapping *m, int level, int64_t *extent) {
    for (int d = 0; d < m->problem->ndim; d++) {
        MapChain c;
        extent[d] = 1;
        mapping_chain(m, d, &c);
        for (int i = c.n - 1; i >= 0; i--)
            if (c.link[i].level >= level) extent[d] = c.link[i].covers;
    }
}
void mapping_tile(const Mapping *m, int level, int64_t *extent) {
    if (mapping_ragged(m)) {
        ragged_tile(m, level, extent);
        return;
    }
    for (int d = 0; d < m->problem->ndim; d++) extent[d] = 1;
    for (int l = level; l < m->target->nlevel; l++) {
        const MapLevel *v = &m->level[l];
        for (int i = 0; i < v->ntemporal; i++) extent[v->temporal[i].dim] *= v->temporal[i].factor;
        for (int i = 0; i < v->nspatial; i++) extent[v->spatial[i].dim] *= v->spatial[i].factor;
    }
}

/* ---- text form: printing */
static void loops_print(Text *out, const Problem *p, const MapLoop *l, int n) {
    for (int i = 0; i < n; i++) {
        text_printf(out, "%s %s %lld", i ? "," : "", p->dim[l[i].dim], (long long)l[i].factor);
        if (l[i].axis) text_printf(out, " %c", l[i].axis);
    }
}
void mapping_print(const Mapping *m, Text *out) {
    const Problem *p = m->problem;
    text_printf(out, "mapping %s on %s\n", p->name, m->target->name);
    for (int i = 0; i < m->target->nlevel; i++) {
        const MapLevel *v = &m->level[i];
        text_printf(out, "%s keeps", m->target->level[i].name);
        for (int t = 0; t < p->ntensor; t++)
            if (v->keep >> t & 1) text_printf(out, " %s", p->tensor[t].name);
        if (!v->keep) text_puts(out, " nothing");
        text_puts(out, ":");
        if (v->ntemporal) text_puts(out, " for"), loops_print(out, p, v->temporal, v->ntemporal);
        if (v->nspatial) text_puts(out, v->ntemporal ? "; spread" : " spread"), loops_print(out, p, v->spatial, v->nspatial);
        text_puts(out, "\n");
    }
}

/* ---- text form: parsing */
typedef struct Parser {
    Ctx *c;
    Loc loc;              /* file and current line */
    const char *line, *s; /* its start; next character */
    char word[80];        /* the token just read; "" at the end of the line */
    bool ok;
} Parser;
static int64_t place_here(const Parser *p) { return loc_place(p->loc.index, p->s - p->line - (int64_t)strlen(p->word) + 1); }
static bool fail(Parser *p, const char *what) {
    if (p->ok)
        diag_error(p->c->d, (Loc){p->loc.file, place_here(p), NULL, NULL}, "found %s%s%s, expected %s", *p->word ? "'" : "",
                   *p->word ? p->word : "the end of the line", *p->word ? "'" : "", what);
    return p->ok = false;
}
/* Names, numbers and single punctuation characters; `#` starts a comment. */
static const char *next(Parser *p) {
    while (*p->s == ' ' || *p->s == '\t' || *p->s == '\r') p->s++;
    size_t n = 0;
    if (*p->s && *p->s != '\n' && *p->s != '#') {
        while (isalnum((unsigned char)p->s[n]) || p->s[n] == '_') n++;
        if (n == 0) n = 1;
    }
    size_t kept = n < sizeof p->word - 1 ? n : sizeof p->word - 1;
    memcpy(p->word, p->s, kept);
    p->word[kept] = 0;
    p->s += n;
    return p->word;
}
static bool is(const Parser *p, const char *w) { return strcmp(p->word, w) == 0; }

static bool parse_loops(Parser *p, const Problem *pr, bool spatial, MapLoop *loop, int *n) {
    do {
        MapLoop l = {problem_dim(pr, next(p)), 0, 0, false};
        if (l.dim < 0) return fail(p, "a dim of the problem");
        next(p);
        char *end;
        l.factor = strtoll(p->word, &end, 10);
        if (*end || !*p->word || l.factor < 1 || strlen(p->word) > 15) return fail(p, "a factor, at least 1");
        next(p);
        if (spatial) {
            if (!is(p, "x") && !is(p, "y")) return fail(p, "the axis x or y");
            l.axis = p->word[0];
            next(p);
        }
        if (*n == QN_MAX_LEVEL_LOOPS) return fail(p, "at most 16 loops a level");
        loop[(*n)++] = l;
    } while (is(p, ","));
    return true;
}
static bool parse_keeps(Parser *p, const Problem *pr, MapLevel *v) {
    v->keep = 0;
    while (*next(p) && !is(p, ":")) {
        if (is(p, "nothing")) continue;
        int t = problem_tensor(pr, p->word);
        if (t < 0) return fail(p, "an operand of the problem, `nothing` or ':'");
        v->keep |= 1u << t;
    }
    return true;
}
static bool parse_level(Parser *p, Mapping *m, unsigned *seen, int *last) {
    int i = target_level(m->target, p->word);
    if (i < 0) return fail(p, "`mapping` or a level of the target");
    if (*seen >> i & 1) return fail(p, "each level once");
    if (i < *last) return fail(p, "the levels from the outermost in");
    *seen |= 1u << i, *last = i;
    MapLevel *v = &m->level[i];
    v->place = place_here(p);
    if (is((next(p), p), "keeps") && !parse_keeps(p, m->problem, v)) return false;
    if (!is(p, ":")) return fail(p, "`keeps` or ':'");
    next(p);
    if (is(p, "for") && !parse_loops(p, m->problem, false, v->temporal, &v->ntemporal)) return false;
    if (is(p, ";")) next(p);
    if (is(p, "spread") && !parse_loops(p, m->problem, true, v->spatial, &v->nspatial)) return false;
    return *p->word ? fail(p, "`for`, `spread` or the end of the line") : true;
}
static void parse_head(Parser *p, const Mapping *m) { /* mapping PROBLEM on TARGET: both are only a help to readers */
    next(p);
    if (strcmp(next(p), "on") != 0) fail(p, "`mapping PROBLEM on TARGET`");
    else if (strcmp(next(p), m->target->name) != 0)
        p->ok = diag_error(p->c->d, (Loc){p->loc.file, place_here(p), NULL, NULL}, "the mapping is for target %s, not for %s", p->word,
                           m->target->name);
    else if (*next(p)) fail(p, "the end of the line");
}
Mapping *mapping_parse(Ctx *c, const char *file, const char *text, const Problem *pr, const Target *t) {
    Mapping *m = NEW(c->a, Mapping);
    Parser p = {c, {file, 1, NULL, NULL}, text, text, "", true};
    unsigned seen = 0;
    int last = 0;
    bool ok = true;
    m->problem = pr, m->target = t;
    mapping_default_keep(m);
    for (;; p.loc.index++) {
        p.ok = true;
        p.line = p.s;
        if (*next(&p)) {
            if (is(&p, "mapping")) parse_head(&p, m);
            else parse_level(&p, m, &seen, &last);
        }
        ok &= p.ok;
        if (!ok && !seen) break; /* no mapping at all: once is enough */
        p.s += strcspn(p.s, "\n");
        if (!*p.s) break;
        p.s++;
    }
    return ok ? m : NULL;
}

/* ---- legality */
static int64_t product(const MapLoop *l, int n, int dim, char axis) {
    int64_t f = 1;
    for (int i = 0; i < n; i++)
        if ((dim < 0 || l[i].dim == dim) && (!axis || l[i].axis == axis) && !mul_ok(f, l[i].factor, &f)) return INT64_MAX;
    return f;
}
static bool factors_fit(const Mapping *m, int dim, int64_t *found) {
    *found = 1;
    for (int i = 0; i < m->target->nlevel; i++) {
        int64_t a = product(m->level[i].temporal, m->level[i].ntemporal, dim, 0);
        int64_t b = product(m->level[i].spatial, m->level[i].nspatial, dim, 0);
        if (!mul_ok(*found, a, found) || !mul_ok(*found, b, found)) *found = INT64_MAX;
    }
    MapChain chain;
    return mapping_ragged(m) ? mapping_chain(m, dim, &chain) : *found == m->problem->extent[dim];
}
static unsigned can_keep(const Mapping *m, int level) {
    unsigned can = 0;
    for (int t = 0; t < m->problem->ntensor; t++)
        if (m->target->level[level].keeps & m->problem->tensor[t].role) can |= 1u << t;
    return can;
}
/* Ragged loops are counted by walking the indices of an axis; this many at most. */
bool mapping_may_be_ragged(const Problem *p) {
    for (int t = 0; t < p->ntensor; t++)
        for (int a = 0; a < p->tensor[t].rank; a++) {
            const ProblemAxis *x = &p->tensor[t].axis[a];
            int64_t n = 1;
            for (int i = 0; i < x->n; i++)
                if (!mul_ok(n, p->extent[x->dim[i]], &n)) return false;
            if (n > 1 << 22) return false;
        }
    return true;
}
static bool ragged_fits(const Mapping *m) { return !mapping_ragged(m) || mapping_may_be_ragged(m->problem); }
bool mapping_legal(const Mapping *m) {
    int64_t found, extent[QN_MAX_DIMS];
    MapFit fit = {0};
    for (int d = 0; d < m->problem->ndim; d++)
        if (!factors_fit(m, d, &found)) return false;
    for (int i = 0; i < m->target->nlevel; i++) {
        const TargetLevel *v = &m->target->level[i];
        const MapLevel *l = &m->level[i];
        if (product(l->spatial, l->nspatial, -1, 'x') > v->fan_x || product(l->spatial, l->nspatial, -1, 'y') > v->fan_y) return false;
        if (v->fan && product(l->spatial, l->nspatial, -1, 0) > v->fan) return false;
        if (l->keep & ~can_keep(m, i)) return false;
        mapping_tile(m, i, extent);
        map_fit_level(&fit, m->problem, m->target, i, l->keep, extent);
    }
    return map_fit_over(&fit, m->problem, m->target, NULL, NULL) == 0 && ragged_fits(m) &&
           m->level[0].keep == (1u << m->problem->ntensor) - 1;
}
static Loc place_of(Loc loc, const Mapping *m, int level) {
    if (m->level[level].place) loc.index = m->level[level].place;
    return loc;
}
/* The outermost level with a loop of the dim, else the outermost that is written down. */
static int level_of(const Mapping *m, int dim) {
    int first = m->target->nlevel - 1;
    for (int l = m->target->nlevel - 1; l >= 0; l--)
        if (m->level[l].place) first = l;
    for (int l = 0; l < m->target->nlevel; l++)
        for (int i = 0; i < m->level[l].ntemporal + m->level[l].nspatial; i++)
            if ((i < m->level[l].ntemporal ? m->level[l].temporal[i] : m->level[l].spatial[i - m->level[l].ntemporal]).dim == dim) return l;
    return first;
}
static void level_check(Ctx *c, Loc loc, const Mapping *m, int i) {
    const TargetLevel *t = &m->target->level[i];
    const MapLevel *l = &m->level[i];
    for (int axis = 0; axis < 2; axis++) {
        int64_t used = product(l->spatial, l->nspatial, -1, "xy"[axis]), have = axis ? t->fan_y : t->fan_x;
        if (used > have)
            diag_error(c->d, loc, "level %s spreads over %lld units along %c; it has %lld", t->name, (long long)used, "xy"[axis],
                       (long long)have);
    }
    int64_t all = product(l->spatial, l->nspatial, -1, 0);
    if (t->fan && all > t->fan)
        diag_error(c->d, loc, "level %s spreads over %lld units; it has %lld", t->name, (long long)all, (long long)t->fan);
    unsigned not = l->keep & ~can_keep(m, i);
    for (int k = 0; k < m->problem->ntensor; k++)
        if (not >> k & 1) diag_error(c->d, loc, "level %s keeps %s, which it cannot hold", t->name, m->problem->tensor[k].name);
    if (i == 0 && l->keep != (1u << m->problem->ntensor) - 1)
        diag_error(c->d, loc, "the outermost level %s must keep every operand", t->name);
}
static void capacity_check(Ctx *c, Loc loc, const Mapping *m, MapViolations *v) {
    MapFit fit = {0};
    MapViolations own = {{0}};
    int64_t extent[QN_MAX_DIMS];
    if (!v) v = &own;
    int before = v->list.n;
    for (int i = 0; i < m->target->nlevel; i++) {
        mapping_tile(m, i, extent);
        map_fit_level(&fit, m->problem, m->target, i, m->level[i].keep, extent);
    }
    map_fit_over(&fit, m->problem, m->target, c->a, v);
    for (int i = before; i < v->list.n; i++) {
        const MapViolation *x = &v->list.v[i];
        const char *name = m->target->level[x->level].name, *tensor = x->tensor < 0 ? "" : m->problem->tensor[x->tensor].name;
        diag_error(c->d, place_of(loc, m, x->level), "the %s%stile%s of level %s need%s %lld words; it has %lld%s%s, %lld too few", tensor,
                   *tensor ? " " : "", *tensor ? "" : "s", name, *tensor ? "s" : "", (long long)x->need_words, (long long)x->capacity_words,
                   *tensor ? " for " : "", tensor, (long long)(x->need_words - x->capacity_words));
    }
}
bool mapping_check(Ctx *c, Loc loc, const Mapping *m, MapViolations *v) {
    int before = c->d->errors;
    if (!ragged_fits(m)) return diag_error(c->d, loc, "ragged loops need extents whose product along an axis is at most 4194304");
    bool sized = true; /* tiles mean something only if the factors do */
    for (int d = 0; d < m->problem->ndim; d++) {
        int64_t found;
        if (factors_fit(m, d, &found)) continue;
        sized = false;
        Loc at = place_of(loc, m, level_of(m, d));
        if (mapping_ragged(m))
            diag_error(c->d, at, "the factors of %s (together %lld) do not cover its extent %lld exactly, or leave an iteration empty",
                       m->problem->dim[d], (long long)found, (long long)m->problem->extent[d]);
        else
            diag_error(c->d, at, "the factors of %s multiply to %lld; its extent is %lld", m->problem->dim[d], (long long)found,
                       (long long)m->problem->extent[d]);
    }
    for (int i = 0; i < m->target->nlevel; i++) level_check(c, place_of(loc, m, i), m, i);
    if (sized) capacity_check(c, loc, m, v);
    return c->d->errors == before;
}
