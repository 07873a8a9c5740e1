/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_line.c: mappings on one line, the form that people write: per level, outermost first, the loops that run at it and, after
 * a bar, those spread over the units below it.
 *   DRAM[N4 E8~] GLB[M3 | E7x R11y] Spad[S11]   ->  for N 4, E 8 (the last short) at DRAM, for M 3 at GLB over 7 x 11 units, S inside
 * Levels that are not mentioned have no loops; lines may be broken, and what follows a # is a comment. */
#include "mapping.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct Line {
    Ctx *c;
    const char *file, *start, *s;
} Line;
static int64_t place_of(const Line *p, const char *at) {
    int64_t line = 1;
    const char *from = p->start;
    for (const char *s = p->start; s < at; s++)
        if (*s == '\n') line++, from = s + 1;
    return loc_place(line, at - from + 1);
}
static bool bad(Line *p, const char *expected) {
    char found[24];
    size_t n = 0;
    for (; n < sizeof found - 1 && p->s[n] && p->s[n] != '\n'; n++) found[n] = p->s[n];
    found[n] = 0;
    Loc loc = {p->file, place_of(p, p->s), NULL, NULL};
    return diag_error(p->c->d, loc, "found %s%s%s, expected %s", n ? "'" : "", n ? found : "the end", n ? "'" : "", expected);
}
static void blanks(Line *p) {
    for (; isspace((unsigned char)*p->s) || *p->s == ',' || *p->s == '#'; p->s += *p->s != 0)
        if (*p->s == '#') p->s += strcspn(p->s, "\n");
}
static bool word(Line *p, char *out, size_t cap, bool digits) {
    size_t n = 0;
    while (isalpha((unsigned char)p->s[n]) || p->s[n] == '_' || (digits && n && isdigit((unsigned char)p->s[n]))) n++;
    if (n == 0 || n >= cap) return false;
    memcpy(out, p->s, n);
    out[n] = 0;
    p->s += n;
    return true;
}
static bool parse_loop(Line *p, const Problem *pr, bool spatial, MapLoop *l) {
    char name[32], *end;
    const char *at = p->s;
    *l = (MapLoop){-1, 0, 0, false};
    if (!word(p, name, sizeof name, false) || (l->dim = problem_dim(pr, name)) < 0)
        return p->s = at, bad(p, "a dim of the problem and its factor");
    if (!isdigit((unsigned char)*p->s) || strspn(p->s, "0123456789") > 15) return bad(p, "a factor, at least 1");
    l->factor = strtoll(p->s, &end, 10);
    if (l->factor < 1) return bad(p, "a factor, at least 1");
    p->s = end;
    if (*p->s == 'x' || *p->s == 'y') l->axis = *p->s++;
    if (*p->s == '~') l->ragged = true, p->s++;
    if (spatial != (l->axis != 0)) return p->s = at, bad(p, spatial ? "an axis x or y after the factor" : "`|` before loops with an axis");
    return true;
}
static bool parse_loops(Line *p, const Problem *pr, MapLevel *v) {
    bool spatial = false;
    for (blanks(p); *p->s != ']'; blanks(p)) {
        MapLoop l;
        if (*p->s == '|' && !spatial) {
            spatial = true, p->s++;
            continue;
        }
        if (!parse_loop(p, pr, spatial, &l)) return false;
        int *n = spatial ? &v->nspatial : &v->ntemporal, at;
        MapLoop *list = spatial ? v->spatial : v->temporal;
        if (*n == QN_MAX_LEVEL_LOOPS) return bad(p, "at most 16 loops a level");
        for (at = (*n)++; spatial && l.ragged && at > 0 && !list[at - 1].ragged; at--) list[at] = list[at - 1];
        list[at] = l;
    }
    p->s++;
    return true;
}
static bool parse_keep(Line *p, const Problem *pr, MapLevel *v) {
    char name[32];
    v->keep = 0;
    do {
        p->s++;
        if (*p->s == '[') break;
        const char *at = p->s;
        int t = word(p, name, sizeof name, true) ? problem_tensor(pr, name) : -1;
        if (t < 0) return p->s = at, bad(p, "an operand of the problem");
        v->keep |= 1u << t;
    } while (*p->s == ',');
    return true;
}
static bool parse_levels(Line *p, Mapping *m) {
    int last = -1;
    for (blanks(p); *p->s; blanks(p)) {
        char name[64];
        const char *at = p->s;
        int l = word(p, name, sizeof name, true) ? target_level(m->target, name) : -1;
        if (l < 0) return p->s = at, bad(p, "a level of the target");
        if (l <= last) return p->s = at, bad(p, "the levels once each, from the outermost in");
        last = l, m->level[l].place = place_of(p, at);
        if (*p->s == ':' && !parse_keep(p, m->problem, &m->level[l])) return false;
        if (*p->s != '[') return bad(p, "'['");
        p->s++;
        if (!parse_loops(p, m->problem, &m->level[l])) return false;
    }
    return true;
}
Mapping *mapping_parse_line(Ctx *c, const char *file, const char *text, const Problem *pr, const Target *t) {
    Mapping *m = NEW(c->a, Mapping);
    Line p = {c, file, text, text};
    m->problem = pr, m->target = t;
    mapping_default_keep(m);
    return parse_levels(&p, m) ? m : NULL;
}

void mapping_print_line(const Mapping *m, Text *out) {
    for (int i = 0; i < m->target->nlevel; i++) {
        const MapLevel *v = &m->level[i];
        Mapping usual = {.problem = m->problem, .target = m->target};
        mapping_default_keep(&usual);
        text_printf(out, "%s%s", i ? " " : "", m->target->level[i].name);
        if (v->keep != usual.level[i].keep) {
            const char *sep = ":";
            if (!v->keep) text_puts(out, ":");
            for (int t = 0; t < m->problem->ntensor; t++)
                if (v->keep >> t & 1) text_printf(out, "%s%s", sep, m->problem->tensor[t].name), sep = ",";
        }
        text_puts(out, "[");
        for (int k = 0; k < v->ntemporal + v->nspatial; k++) {
            const MapLoop *x = k < v->ntemporal ? &v->temporal[k] : &v->spatial[k - v->ntemporal];
            if (k == v->ntemporal) text_puts(out, k ? " | " : "| ");
            else if (k) text_puts(out, " ");
            text_printf(out, "%s%lld", m->problem->dim[x->dim], (long long)x->factor);
            if (x->axis) text_printf(out, "%c", x->axis);
            if (x->ragged) text_puts(out, "~");
        }
        text_puts(out, "]");
    }
}
