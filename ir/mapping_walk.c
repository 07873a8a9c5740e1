/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_walk.c: the loops of a mapping and, as expressions of their variables, where a tile starts, how long it is, whether an
 * instance has work and which number it has. An instance has work where each ragged loop's part of the index is inside what that
 * loop covers.
 *   E 8~ (e0) outside, E 7 spread (e1), extent 55  ->  start 7*e0 + e1; work where 7*e0 + e1 < 55 */
#include "mapping_nest.h"
#include <ctype.h>
#include <string.h>

bool walk_uses(const Walk *w, int tensor, int dim) {
    const ProblemTensor *t = &w->m->problem->tensor[tensor];
    for (int a = 0; a < t->rank; a++)
        for (int i = 0; i < t->axis[a].n; i++)
            if (t->axis[a].dim[i] == dim) return true;
    return false;
}
static void collect(Walk *w) {
    for (int l = 0; l < w->m->target->nlevel; l++)
        for (int spatial = 0; spatial < 2; spatial++) {
            const MapLevel *v = &w->m->level[l];
            const MapLoop *x = spatial ? v->spatial : v->temporal;
            for (int i = 0; i < (spatial ? v->nspatial : v->ntemporal); i++)
                if (x[i].factor > 1) w->loop[w->n++] = (WalkLoop){l, x[i].dim, x[i].factor, 1, spatial};
        }
}
/* Gives the links of a dim's chain to the loops: equal ones of a level come in the same order in both. */
static void chain_up(Walk *w, int dim, const MapChain *c) {
    bool used[WALK_LOOPS] = {false};
    for (int k = 0; k < c->n; k++)
        for (int i = 0; i < w->n; i++) {
            WalkLoop *x = &w->loop[i];
            bool same = x->dim == dim && x->level == c->link[k].level && x->spatial == (c->link[k].loop.axis != 0);
            if (used[i] || !same || x->factor != c->link[k].loop.factor) continue;
            used[i] = true, x->step = c->link[k].step;
            w->covers[i] = c->link[k].loop.ragged ? c->link[k].covers : 0;
            w->chain[dim][w->nchain[dim]++] = i;
            break;
        }
}
bool walk_init(Walk *w, Arena *a, const Mapping *m) {
    const Problem *p = m->problem;
    memset(w, 0, sizeof *w);
    w->a = a, w->m = m, w->ragged = mapping_ragged(m);
    collect(w);
    for (int d = 0; d < p->ndim; d++) {
        MapChain c;
        if (!mapping_chain(m, d, &c)) return false;
        chain_up(w, d, &c);
    }
    for (int l = 0; l <= m->target->nlevel; l++) {
        mapping_tile(m, l, w->tile[l]);
        for (int t = 0; t < p->ntensor; t++)
            for (int x = 0; x < p->tensor[t].rank; x++) {
                const ProblemAxis *axis = &p->tensor[t].axis[x];
                w->len[l][t][x] = 1;
                for (int i = 0; i < axis->n; i++) w->len[l][t][x] += (w->tile[l][axis->dim[i]] - 1) * axis->coef[i];
            }
    }
    return true;
}

char *walk_lower(Arena *a, const char *name) {
    char *s = arena_printf(a, "%s%.40s", isalpha((unsigned char)*name) ? "" : "d_", name);
    for (char *c = s; *c; c++) *c = (char)(isalnum((unsigned char)*c) ? tolower((unsigned char)*c) : '_');
    return s;
}
const char *walk_name(const Walk *w, int loop) {
    int dim = w->loop[loop].dim, nth = 0;
    while (w->chain[dim][nth] != loop) nth++;
    return arena_printf(w->a, "%s%d", walk_lower(w->a, w->m->problem->dim[dim]), nth);
}
static Expr *times(Arena *a, int64_t k, Expr *e) { return k == 1 ? e : e_mul(a, e_int(a, k), e); }
/* Part of a dim's index that its loops from place `from` of the chain on make. */
static Expr *index_from(const Walk *w, int dim, int from, int level, Expr *const *value) {
    Expr *sum = e_int(w->a, 0);
    for (int k = from; k < w->nchain[dim]; k++) {
        int i = w->chain[dim][k];
        if (w->loop[i].level < level && value[i]) sum = e_add(w->a, sum, times(w->a, w->loop[i].step, value[i]));
    }
    return sum;
}
Expr *walk_start(const Walk *w, int level, int tensor, int axis, Expr *const *value) {
    const ProblemAxis *x = &w->m->problem->tensor[tensor].axis[axis];
    Expr *sum = e_int(w->a, 0);
    for (int i = 0; i < x->n; i++) sum = e_add(w->a, sum, times(w->a, x->coef[i], index_from(w, x->dim[i], 0, level, value)));
    return sum;
}
static Expr *extent_of(const Walk *w, int level, int dim, Expr *const *value) {
    Expr *e = e_int(w->a, w->tile[level][dim]);
    for (int k = 0; k < w->nchain[dim]; k++) {
        int i = w->chain[dim][k];
        if (!w->covers[i] || w->loop[i].level >= level) continue;
        e = e_bin(w->a, BIN_MIN, e, e_sub(w->a, e_int(w->a, w->covers[i]), index_from(w, dim, k, level, value)));
    }
    return e;
}
Expr *walk_length(const Walk *w, int level, int tensor, int axis, Expr *const *value) {
    const ProblemAxis *x = &w->m->problem->tensor[tensor].axis[axis];
    Expr *sum = e_int(w->a, 1);
    for (int i = 0; i < x->n; i++)
        sum = e_add(w->a, sum, times(w->a, x->coef[i], e_sub(w->a, extent_of(w, level, x->dim[i], value), e_int(w->a, 1))));
    return sum;
}
Expr *walk_present(const Walk *w, int level, unsigned dims, Expr *const *value) {
    Expr *all = NULL;
    for (int d = 0; d < w->m->problem->ndim; d++)
        for (int k = 0; k < w->nchain[d]; k++) {
            int i = w->chain[d][k];
            if (!(dims >> d & 1) || !w->covers[i] || w->loop[i].level >= level) continue;
            Expr *inside = e_lt(w->a, index_from(w, d, k, level, value), e_int(w->a, w->covers[i]));
            all = all ? e_bin(w->a, BIN_LAND, all, inside) : inside;
        }
    return all;
}
Expr *walk_instance(const Walk *w, int level, Expr *const *value) {
    Expr *sum = e_int(w->a, 0);
    int64_t step = 1;
    for (int i = w->n - 1; i >= 0; i--) {
        if (!w->loop[i].spatial || w->loop[i].level >= level) continue;
        if (value[i]) sum = e_add(w->a, times(w->a, step, value[i]), sum);
        step *= w->loop[i].factor;
    }
    return sum;
}
int64_t walk_instances(const Walk *w, int level) {
    int64_t n = 1;
    for (int i = 0; i < w->n; i++)
        if (w->loop[i].spatial && w->loop[i].level < level) n *= w->loop[i].factor;
    return n;
}
