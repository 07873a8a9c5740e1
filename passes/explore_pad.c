/* SPDX-License-Identifier: Apache-2.0 */
/* explore_pad.c: mappings with short last iterations, for extents whose factors suit the array badly. A chain may search the problem with
 * some extents rounded up, where every loop is whole and counting is quick; its best point then becomes a mapping of the real extents,
 * whose outermost loop of such a dim is ragged, and that is counted exactly.
 *   E 55 on 14 columns: 56 = 4 * 14  ->  E4~ outside, E14x: the last strip has 13 rows */
#include "explore_internal.h"
#include <string.h>

enum { MAX_PADS = 4 };
static int add_pad(int64_t extent, int64_t unit, int64_t *out, int n) {
    int64_t p = ceil_div(extent, unit) * unit;
    if (unit < 2 || p == extent || (p - extent) * 5 > extent || n == MAX_PADS) return n;
    for (int i = 0; i < n; i++)
        if (out[i] == p) return n;
    out[n] = p;
    return n + 1;
}
static bool splits_well(int64_t extent) { /* at least four factors, 2 and 3 alone */
    int n = 0;
    for (int64_t f = 2; f <= 3; f++)
        for (; extent % f == 0; extent /= f) n++;
    return extent == 1 && n >= 4;
}
/* Extents a little larger, up to a fifth, that divide by the sides of the array or by small powers of two. */
static int pads_of(const Target *t, int64_t extent, int64_t *out) {
    int n = 0;
    if (extent < 5 || splits_well(extent)) return 0; /* small ones waste too much */
    for (int l = 0; l < t->nlevel; l++) n = add_pad(extent, t->level[l].fan_x, out, n), n = add_pad(extent, t->level[l].fan_y, out, n);
    for (int64_t unit = 4; unit <= 16; unit *= 2) n = add_pad(extent, unit, out, n);
    return n;
}
/* Extents to search with: those of the problem, then with one dim padded, then with two. Returns how many. */
int pad_variants(const Space *s, int64_t (*extent)[QN_MAX_DIMS]) {
    int any = 0, n = 1, dims[QN_MAX_DIMS], count[QN_MAX_DIMS];
    int64_t pad[QN_MAX_DIMS][MAX_PADS];
    memcpy(extent[0], s->problem->extent, sizeof extent[0]);
    for (int d = 0; d < s->problem->ndim; d++) {
        const Dataflow *f = s->spec->flow;
        bool whole =
            f && ((f->whole && strcmp(f->whole, s->problem->dim[d]) == 0) || (f->inside && strcmp(f->inside, s->problem->dim[d]) == 0));
        int k = whole || s->spec->fix_outer ? 0 : pads_of(s->target, extent[0][d], pad[any]);
        if (k) dims[any] = d, count[any++] = k;
    }
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < any; i++)
            for (int j = pass ? i + 1 : any - 1; j < any; j++)
                for (int u = 0; u < count[i]; u++)
                    for (int v = 0; v < (pass ? count[j] : 1) && n < MAX_VARIANTS; v++, n++) {
                        memcpy(extent[n], extent[0], sizeof extent[0]);
                        extent[n][dims[i]] = pad[i][u];
                        if (pass) extent[n][dims[j]] = pad[j][v];
                    }
    return n;
}
void space_pad(const Space *base, const int64_t *extent, Space *out, Problem *padded) {
    *padded = *base->problem;
    memcpy(padded->extent, extent, (size_t)padded->ndim * sizeof *extent);
    space_init(out, padded, base->target, base->spec);
    out->real = base->problem;
    out->scale = (double)problem_macs(base->problem) / (double)problem_macs(padded);
}
/* An iteration of a ragged loop must not be empty. */
bool pad_possible(const Space *s, const Point *x) {
    for (int d = 0; d < s->problem->ndim; d++) {
        int64_t over = s->problem->extent[d] - s->real->extent[d];
        int i = 0;
        if (!over) continue;
        while (i < s->nslot && x->factor[d][i] == 1) i++;
        if (over >= s->problem->extent[d] / x->factor[d][i]) return false;
    }
    return true;
}
static void make_ragged(MapLevel *v, int dim) {
    for (int i = 0; i < v->ntemporal; i++)
        if (v->temporal[i].dim == dim) {
            v->temporal[i].ragged = true;
            return;
        }
    for (int i = 0; i < v->nspatial; i++)
        if (v->spatial[i].dim == dim) { /* before those that are whole */
            MapLoop x = v->spatial[i];
            for (; i > 0 && !v->spatial[i - 1].ragged; i--) v->spatial[i] = v->spatial[i - 1];
            x.ragged = true, v->spatial[i] = x;
            return;
        }
}
void pad_mapping(const Space *s, const Point *x, Mapping *m) {
    point_mapping(s, x, m);
    m->problem = s->real;
    for (int d = 0; d < s->problem->ndim; d++) {
        int i = 0;
        if (s->problem->extent[d] == s->real->extent[d]) continue;
        while (x->factor[d][i] == 1) i++;
        make_ragged(&m->level[s->slot[i].level], d);
    }
}
double pad_value(const Space *s, const Point *x, Mapping *m) {
    MappingCounts n;
    pad_mapping(s, x, m);
    if (!mapping_legal(m) || (s->spec->flow && !dataflow_allows(s->spec->flow, m))) return 2 * NOT_LEGAL;
    mapping_counts_as(m, s->spec->counting, &n);
    return spec_value(s->spec, &n);
}
