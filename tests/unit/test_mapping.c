/* SPDX-License-Identifier: Apache-2.0 */
/* test_mapping.c: access counts of mappings against Timeloop's (tests/data/timeloop) and against a program that walks the
 * mapped nest and keeps the contents of every buffer; text form; legality; schedules. */
#include "passes/cost.h"
#include "codegen/target_yaml.h"
#include "case.h"
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *read_json(const char *name) {
    char path[512];
    json_error_t err;
    snprintf(path, sizeof path, QUERN_SOURCE_DIR "/tests/data/timeloop/%s", name);
    json_t *j = json_load_file(path, 0, &err);
    ck_assert_msg(j != NULL, "%s: %s", path, err.text);
    return j;
}

/* ---- reference files -> Target, Problem, Mapping */
static unsigned roles_of(const json_t *keeps) {
    unsigned r = 0;
    size_t i;
    json_t *k;
    json_array_foreach(keeps, i, k) {
        const char *s = json_string_value(k);
        r |= *s == 'W' ? ROLE_W : *s == 'I' ? ROLE_I : ROLE_O;
    }
    return r;
}
static Target *arch_of(Case *t, const json_t *archs, const char *name) {
    json_t *j = json_object_get(archs, name), *levels = json_object_get(j, "levels_outer_to_inner"), *mesh = json_object_get(j, "pe_mesh");
    Target *x = NEW(t->a, Target);
    x->name = name, x->mac_energy = json_number_value(json_object_get(j, "mac_energy"));
    x->nlevel = (int)json_array_size(levels);
    int64_t pes = json_integer_value(json_object_get(j, "pe_count")), outside = 1;
    for (int i = 0; i < x->nlevel; i++) {
        json_t *l = json_array_get(levels, (size_t)i), *next = json_array_get(levels, (size_t)i + 1);
        int64_t inside = next ? json_integer_value(json_object_get(next, "instances")) : pes;
        double e = json_number_value(json_object_get(l, "energy_per_access"));
        bool mesh_here = inside > outside;
        x->level[i] = (TargetLevel){.name = json_string_value(json_object_get(l, "name")),
                                    .kind = i ? LEVEL_PAD : LEVEL_DRAM,
                                    .words = json_integer_value(json_object_get(l, "capacity_words_per_instance")),
                                    .word_bits = 16,
                                    .keeps = roles_of(json_object_get(l, "keeps")),
                                    .fan_x = mesh_here ? json_integer_value(json_object_get(mesh, "X")) : 1,
                                    .fan_y = mesh_here ? json_integer_value(json_object_get(mesh, "Y")) : 1,
                                    .read_energy = e,
                                    .write_energy = e,
                                    .read_bw = json_number_value(json_object_get(l, "read_bandwidth")),
                                    .write_bw = json_number_value(json_object_get(l, "write_bandwidth"))};
        outside = inside;
    }
    ck_assert(target_check(&t->d, NO_LOC, x));
    return x;
}
static Problem *layer_of(Case *t, const json_t *l) {
    static const char *const key[] = {"N", "M", "C", "E", "F", "R", "S", "U"};
    int64_t v[8];
    for (int i = 0; i < 8; i++) v[i] = json_integer_value(json_object_get(l, key[i]));
    ConvShape s = {.n = v[0], .m = v[1], .c = v[2], .e = v[3], .f = v[4], .r = v[5], .s = v[6], .stride_e = v[7], .stride_f = v[7]};
    s.depthwise = json_object_get(l, "kind") != NULL;
    return problem_conv(t->a, json_string_value(json_object_get(l, "name")), &s);
}
/* Through the text form, so that it is tested along. */
static Mapping *mapping_of(Case *t, const json_t *levels, const Problem *p, const Target *x) {
    Text text = {0};
    size_t i, k;
    json_t *l, *f;
    json_array_foreach(levels, i, l) {
        json_t *temporal = json_object_get(l, "temporal_outer_to_inner"), *spatial = json_object_get(l, "spatial");
        text_printf(&text, "%s:", json_string_value(json_object_get(l, "level")));
        json_array_foreach(temporal, k, f) text_printf(&text, "%s %s %lld", k ? "," : " for", json_string_value(json_array_get(f, 0)),
                                                       (long long)json_integer_value(json_array_get(f, 1)));
        json_array_foreach(spatial, k, f)
            text_printf(&text, "%s %s %lld %c", k ? "," : "; spread", json_string_value(json_array_get(f, 0)),
                        (long long)json_integer_value(json_array_get(f, 1)), json_string_value(json_array_get(f, 2))[0] | 32);
        text_puts(&text, "\n");
    }
    Mapping *m = mapping_parse(&t->c, "case", text.s, p, x);
    if (!m || !mapping_check(&t->c, NO_LOC, m, NULL)) diag_print_all(&t->d, false), ck_abort_msg("not legal:\n%s", text.s);
    ck_assert(mapping_legal(m));
    text_free(&text);
    return m;
}

/* ---- against Timeloop */
static int close_to(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b) + 1e-9; }
static int64_t get(const json_t *j, const char *k) { return json_integer_value(json_object_get(j, k)); }
static int differs(const char *id, const char *what, double got, double want) {
    if (close_to(got, want)) return 0;
    printf("%s: %s is %.9g, expected %.9g\n", id, what, got, want);
    return 1;
}
/* Differences between our counts and one row's `expected`. */
static int compare(const char *id, const Mapping *m, const json_t *want) {
    MappingCounts c;
    mapping_counts(m, &c);
    int bad = 0;
    char what[200];
    json_t *totals = json_object_get(want, "access_totals"), *tensors, *x;
    const char *level, *tensor;
    json_object_foreach(totals, level, tensors) json_object_foreach(tensors, tensor, x) {
        int l = target_level(m->target, level), t = problem_tensor(m->problem, tensor);
        ck_assert(l >= 0 && t >= 0);
        const Access *a = &c.at[l][t];
        const char *key[] = {"reads", "fills", "updates", "tile_words", "instances_used"};
        int64_t got[] = {a->reads, a->fills, a->updates, a->tile_words, c.instances[l]};
        for (int i = 0; i < 5; i++) {
            snprintf(what, sizeof what, "%s.%s.%s", level, tensor, key[i]);
            bad += differs(id, what, (double)got[i], (double)get(x, key[i]));
        }
    }
    json_t *energy = json_object_get(want, "energy_by_level");
    for (int l = 0; l < m->target->nlevel; l++)
        bad +=
            differs(id, m->target->level[l].name, c.energy_level[l], json_number_value(json_object_get(energy, m->target->level[l].name)));
    bad += differs(id, "cycles", (double)c.cycles, (double)get(want, "cycles"));
    bad += differs(id, "macs", (double)c.macs, (double)get(want, "macs"));
    bad += differs(id, "pes_used", (double)c.units, (double)get(want, "pes_used"));
    bad += fabs(c.utilisation - json_number_value(json_object_get(want, "utilisation"))) > 1e-6;
    bad += differs(id, "energy", c.energy, json_number_value(json_object_get(want, "energy_total")));
    bad += differs(id, "dram_words", (double)c.outer_words, (double)get(want, "dram_words"));
    bad += differs(id, "array_words", (double)c.array_words, (double)get(want, "array_endpoint_words"));
    bad += differs(id, "energy with array", counts_energy_with_array(&c, 2),
                   json_number_value(json_object_get(want, "energy_total_with_array_cost_2")));
    return bad;
}
static void against_timeloop(const char *file) {
    Case t;
    case_open(&t);
    json_t *rows = read_json(file), *archs = read_json("architectures.json"), *row;
    size_t i;
    int good = 0;
    json_array_foreach(rows, i, row) {
        Target *x = arch_of(&t, archs, json_string_value(json_object_get(row, "arch")));
        Problem *p = layer_of(&t, json_object_get(row, "layer"));
        ck_assert(problem_check(&t.d, NO_LOC, p));
        Mapping *m = mapping_of(&t, json_object_get(row, "mapping"), p, x);
        good += compare(json_string_value(json_object_get(row, "case")), m, json_object_get(row, "expected")) == 0;
    }
    printf("%s: %d of %zu rows equal\n", file, good, json_array_size(rows));
    ck_assert_uint_eq((size_t)good, json_array_size(rows));
    json_decref(rows), json_decref(archs);
    arena_free(t.a);
}
START_TEST(test_timeloop_small) { against_timeloop("small_mappings.json"); }
END_TEST
START_TEST(test_timeloop_fixed) { against_timeloop("fixed_mappings.json"); }
END_TEST

/* ---- against a walk of the nest: every buffer's contents are followed, loop by loop */
typedef struct Flat { /* the nest: temporal and spatial loops of each level, outermost first */
    int n, level[64], dim[64];
    int64_t factor[64], value[64];
    bool spatial[64];
    int64_t step[64];      /* of the loop's dim */
    int norder, order[64]; /* loops by dim, outermost first: a ragged spatial loop is outside the others of its level */
} Flat;
static void flatten(const Mapping *m, Flat *f) {
    f->n = 0;
    for (int l = 0; l < m->target->nlevel; l++)
        for (int s = 0; s < 2; s++)
            for (int i = 0; i < (s ? m->level[l].nspatial : m->level[l].ntemporal); i++) {
                const MapLoop *x = s ? &m->level[l].spatial[i] : &m->level[l].temporal[i];
                f->level[f->n] = l, f->dim[f->n] = x->dim, f->factor[f->n] = x->factor, f->spatial[f->n] = s, f->value[f->n++] = 0;
            }
    int at = 0;
    for (int d = 0; d < m->problem->ndim; d++) {
        MapChain c;
        ck_assert(mapping_chain(m, d, &c));
        bool used[64] = {false};
        for (int k = 0; k < c.n; k++)
            for (int i = 0; i < f->n; i++) {
                bool same = f->dim[i] == d && f->level[i] == c.link[k].level && f->factor[i] == c.link[k].loop.factor &&
                            f->spatial[i] == (c.link[k].loop.axis != 0);
                if (!same || used[i]) continue;
                used[i] = true, f->step[i] = c.link[k].step, f->order[at++] = i;
                break;
            }
    }
    f->norder = at;
}
/* The point that the loops stand at; false: it is beyond the end of a ragged loop. */
static bool point(const Mapping *m, const Flat *f, int64_t *index) {
    int64_t left[QN_MAX_DIMS];
    for (int d = 0; d < m->problem->ndim; d++) index[d] = 0, left[d] = m->problem->extent[d];
    for (int k = 0; k < f->norder; k++) {
        int i = f->order[k], d = f->dim[i];
        if (f->value[i] * f->step[i] >= left[d]) return false;
        index[d] += f->value[i] * f->step[i];
        left[d] = left[d] - f->value[i] * f->step[i] < f->step[i] ? left[d] - f->value[i] * f->step[i] : f->step[i];
    }
    return true;
}
/* Advances the loops of [lo, hi) levels of one kind (2: both), innermost fastest; false after the last combination. */
static bool advance(Flat *f, int lo, int hi, int kind) {
    for (int i = f->n - 1; i >= 0; i--) {
        if (f->level[i] < lo || f->level[i] >= hi || (kind < 2 && f->spatial[i] != (kind == 1))) continue;
        if (++f->value[i] < f->factor[i]) return true;
        f->value[i] = 0;
    }
    return false;
}
typedef struct Box {
    bool full;
    int64_t lo[QN_MAX_AXES], hi[QN_MAX_AXES]; /* inclusive */
} Box;
static Box touched(const Mapping *m, Flat *f, int level, int tensor) { /* by level's own loops and all inside */
    const ProblemTensor *t = &m->problem->tensor[tensor];
    Box b = {0};
    do {
        int64_t index[QN_MAX_DIMS];
        if (!point(m, f, index)) continue;
        for (int a = 0; a < t->rank; a++) {
            int64_t v = 0;
            for (int k = 0; k < t->axis[a].n; k++) v += index[t->axis[a].dim[k]] * t->axis[a].coef[k];
            if (!b.full || v < b.lo[a]) b.lo[a] = v;
            if (!b.full || v > b.hi[a]) b.hi[a] = v;
        }
        b.full = true;
    } while (advance(f, level, m->target->nlevel, 2));
    return b;
}
/* The words of x that are not in y, as a sorted list of addresses in `out`; returns how many. */
static int64_t minus(const Mapping *m, int tensor, const Box *x, const Box *y, int64_t *out) {
    const ProblemTensor *t = &m->problem->tensor[tensor];
    int64_t at[QN_MAX_AXES], n = 0, whole[QN_MAX_AXES];
    if (!x->full) return 0;
    for (int a = 0; a < t->rank; a++) {
        at[a] = x->lo[a], whole[a] = 1;
        for (int k = 0; k < t->axis[a].n; k++) whole[a] += (m->problem->extent[t->axis[a].dim[k]] - 1) * t->axis[a].coef[k];
    }
    for (;;) {
        bool inside = y->full;
        int64_t address = 0;
        for (int a = 0; a < t->rank; a++) inside &= at[a] >= y->lo[a] && at[a] <= y->hi[a], address = address * whole[a] + at[a];
        if (!inside) out[n++] = address;
        int a = t->rank - 1;
        for (; a >= 0 && ++at[a] > x->hi[a]; a--) at[a] = x->lo[a];
        if (a < 0) return n;
    }
}
enum { MAX_WORDS = 4096, MAX_INST = 512 };
typedef struct Sent {  /* one instance's list in one step */
    int64_t n, *v, at; /* at: which unit, among those whose network hands nothing to two of them */
} Sent;
/* What all instances of `inner` exchange with those of `outer` for one tensor: *alone without sharing, *shared with it. For
 * outputs what leaves is counted, else what arrives. inner == nlevel: the multiply-adds, which keep nothing. */
static void exchange(const Mapping *m, int outer, int inner, int tensor, int64_t *alone, int64_t *shared) {
    static Box held[MAX_INST];
    static int64_t words[MAX_INST][MAX_WORDS];
    static Sent sent[MAX_INST];
    bool output = m->problem->tensor[tensor].role == ROLE_O, more = true;
    Flat f;
    flatten(m, &f);
    memset(held, 0, sizeof held);
    *alone = *shared = 0;
    for (bool last = false; !last;) {
        last = !more; /* one step beyond the end: everything leaves */
        int inst = 0, under = 0;
        do { /* instances of outer */
            under = 0;
            do {
                Box now = {0}, *before = &held[inst];
                ck_assert_int_lt(inst, MAX_INST);
                if (!last) now = touched(m, &f, inner, tensor);
                if (inner == m->target->nlevel) before->full = false;
                sent[under].v = words[under], sent[under].at = 0;
                for (int i = 0; i < f.n; i++)
                    if (f.spatial[i] && m->target->level[f.level[i]].no_multicast & m->problem->tensor[tensor].role)
                        sent[under].at = sent[under].at * f.factor[i] + f.value[i];
                sent[under].n = output && inner < m->target->nlevel ? minus(m, tensor, before, &now, words[under])
                                                                    : minus(m, tensor, &now, before, words[under]);
                if (last || now.full) *before = now;
                else sent[under].n = 0; /* nothing to do: the tile stays */
                *alone += sent[under].n;
                bool seen = false;
                for (int k = 0; k < under && !seen; k++)
                    seen = sent[k].at == sent[under].at && sent[k].n == sent[under].n &&
                           memcmp(sent[k].v, sent[under].v, (size_t)sent[k].n * sizeof(int64_t)) == 0;
                if (!seen) *shared += sent[under].n;
                under++, inst++;
            } while (advance(&f, outer, inner, 1));
        } while (advance(&f, 0, outer, 1));
        if (!last) more = advance(&f, 0, inner, 0);
    }
}
/* Different words that the instances of a level ever hold, summed over the instances. */
static int64_t ever_held(const Mapping *m, int level, int tensor) {
    Flat f;
    flatten(m, &f);
    int64_t total = 0;
    do {
        static bool seen[MAX_WORDS];
        static int64_t words[MAX_WORDS];
        memset(seen, 0, sizeof seen);
        do {
            Box b = touched(m, &f, level, tensor), none = {0};
            int64_t n = minus(m, tensor, &b, &none, words);
            for (int64_t i = 0; i < n; i++) total += !seen[words[i]], seen[words[i]] = true;
        } while (advance(&f, 0, level, 0));
    } while (advance(&f, 0, level, 1));
    return total;
}
/* Instances of a level that have work in some step. */
static int64_t ever_used(const Mapping *m, int level) {
    Flat f;
    flatten(m, &f);
    int64_t total = 0;
    do {
        bool any = false;
        do any |= touched(m, &f, level, 0).full;
        while (advance(&f, 0, level, 0));
        total += any;
    } while (advance(&f, 0, level, 1));
    return total;
}
static void walk(const Mapping *m, Counting how, MappingCounts *c) {
    memset(c, 0, sizeof *c);
    for (int l = 0; l <= m->target->nlevel; l++) *(l < m->target->nlevel ? &c->instances[l] : &c->units) = ever_used(m, l);
    for (int t = 0; t < m->problem->ntensor; t++) {
        int inner = m->target->nlevel;
        bool output = m->problem->tensor[t].role == ROLE_O;
        for (int l = m->target->nlevel - 1; l >= 0; l--) {
            if (!(m->level[l].keep >> t & 1)) continue;
            int64_t alone, shared;
            exchange(m, l, inner, t, &alone, &shared);
            if (inner < m->target->nlevel) c->at[inner][t].fills = alone;
            c->at[l][t].reads = c->at[l][t].updates = shared;
            if (!output) c->at[l][t].updates = 0;
            else if (how == COUNT_TIMELOOP || inner < m->target->nlevel) c->at[l][t].reads -= ever_held(m, l, t);
            inner = l;
        }
    }
}

static uint32_t seed;
static int rnd(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)n);
}
static Mapping *random_mapping(Arena *a, const Problem *p, const Target *t) {
    Mapping *m = NEW(a, Mapping);
    m->problem = p, m->target = t;
    mapping_default_keep(m);
    for (int l = 1; l < t->nlevel; l++) m->level[l].keep &= (unsigned)rnd(8) | (unsigned)rnd(8);
    for (int d = 0; d < p->ndim; d++)
        for (int64_t rest = p->extent[d], f; rest > 1; rest /= f) {
            for (f = 2; rest % f; f++) {}
            MapLevel *v = &m->level[rnd(t->nlevel)];
            char axis = "xy"[rnd(2)];
            int64_t used = 1;
            for (int i = 0; i < v->nspatial; i++)
                if (v->spatial[i].axis == axis) used *= v->spatial[i].factor;
            if (rnd(3) == 0 && used * f <= 6 && v->nspatial < 4) v->spatial[v->nspatial++] = (MapLoop){d, f, axis, false};
            else v->temporal[v->ntemporal++] = (MapLoop){d, f, 0, false};
        }
    for (int l = 0; l < t->nlevel; l++)
        for (int i = m->level[l].ntemporal - 1; i > 0; i--) {
            int k = rnd(i + 1);
            MapLoop swap = m->level[l].temporal[i];
            m->level[l].temporal[i] = m->level[l].temporal[k], m->level[l].temporal[k] = swap;
        }
    return m;
}
/* Makes one loop ragged: the extent of its dim shrinks by less than an iteration. */
static void make_ragged(Problem *p, Mapping *m) {
    MapChain c;
    int dim = rnd(p->ndim);
    if (!mapping_chain(m, dim, &c) || !c.n) return;
    int at = rnd(c.n);
    int64_t outside = p->extent[dim] / c.link[at].covers, step = c.link[at].step;
    for (int i = 0; i < m->level[c.link[at].level].ntemporal + m->level[c.link[at].level].nspatial; i++) {
        MapLevel *v = &m->level[c.link[at].level];
        MapLoop *x = i < v->ntemporal ? &v->temporal[i] : &v->spatial[i - v->ntemporal];
        if (x->dim != dim || x->factor != c.link[at].loop.factor || x->axis != c.link[at].loop.axis) continue;
        x->ragged = true;
        break;
    }
    p->extent[dim] = outside * (c.link[at].covers - rnd((int)step));
    if (mapping_chain(m, dim, &c)) return;
    p->extent[dim] = 1; /* another loop of the level took the place: leave this one out */
    for (int l = 0; l < m->target->nlevel; l++) {
        MapLevel *v = &m->level[l];
        for (int i = 0; i < v->ntemporal; i++)
            if (v->temporal[i].dim == dim) v->temporal[i].factor = 1;
        for (int i = 0; i < v->nspatial; i++)
            if (v->spatial[i].dim == dim) v->spatial[i].factor = 1;
    }
}
/* Any product of tensors: indices that are sums of up to three dims, up to three inputs. */
static Problem *random_einsum(Arena *a) {
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    Problem *p = NEW(a, Problem);
    p->name = "einsum", p->ndim = 2 + rnd(4), p->ntensor = 2 + rnd(3);
    for (int d = 0; d < p->ndim; d++) p->dim[d] = names[d], p->extent[d] = 1 + rnd(6);
    for (int t = 0; t < p->ntensor; t++) {
        ProblemTensor *x = &p->tensor[t];
        bool output = t == p->ntensor - 1;
        *x = (ProblemTensor){.name = arena_printf(a, "T%d", t), .role = output ? ROLE_O : t == 0 ? ROLE_I : ROLE_W};
        for (int d = 0; d < p->ndim; d++) {
            if (rnd(3) == 0) continue; /* the tensor has not this dim */
            bool joins = !output && x->rank && x->axis[x->rank - 1].n < QN_MAX_TERMS && rnd(2);
            ProblemAxis *axis = &x->axis[joins ? x->rank - 1 : x->rank++];
            axis->dim[axis->n] = d, axis->coef[axis->n++] = output ? 1 : 1 + rnd(3);
        }
    }
    return p;
}
static Problem *random_problem(Arena *a) {
    ConvShape s = {.n = 1 + rnd(2),
                   .g = 1 + rnd(2),
                   .m = 1 + rnd(4),
                   .c = 1 + rnd(4),
                   .e = 1 + rnd(4),
                   .f = 1 + rnd(4),
                   .r = 1 + rnd(3),
                   .s = 1 + rnd(3),
                   .stride_e = 1 + rnd(3),
                   .stride_f = 1 + rnd(2),
                   .dil_r = 1 + rnd(2),
                   .dil_s = 1 + rnd(3)};
    int kind = rnd(12);
    s.depthwise = kind < 2, s.pool = kind == 2, s.pairs = kind == 3;
    if (kind < 4) s.g = s.m = 1;
    if (s.pairs) s.r = s.s = s.stride_e = s.stride_f = s.dil_r = s.dil_s = 1;
    if (kind == 4) return problem_gemm(a, "small", 1 + rnd(8), 1 + rnd(8), 1 + rnd(8));
    if (kind == 5) s = (ConvShape){.m = 1 + rnd(2), .e = 5 + rnd(12), .r = 1 + rnd(5), .stride_e = 1 + rnd(4), .dil_r = 1 + rnd(4)};
    return kind < 8 ? problem_conv(a, "small", &s) : kind < 10 ? random_einsum(a) : problem_conv(a, "small", &s);
}
static void compare_walk(const Mapping *m, const MappingCounts *got, const MappingCounts *want, const char *how) {
    const Target *t = m->target;
    const Problem *p = m->problem;
    Text text = {0};
    mapping_print_line(m, &text);
    for (int k = 0; k < p->ndim; k++) text_printf(&text, " %s=%lld", p->dim[k], (long long)p->extent[k]);
    for (int i = 0; i < p->ntensor; i++) {
        text_printf(&text, " %s[", p->tensor[i].name);
        for (int a = 0; a < p->tensor[i].rank; a++)
            for (int k = 0; k < p->tensor[i].axis[a].n; k++)
                text_printf(&text, "%s%lld*%s",
                            k   ? "+"
                            : a ? ","
                                : "",
                            (long long)p->tensor[i].axis[a].coef[k], p->dim[p->tensor[i].axis[a].dim[k]]);
        text_puts(&text, "]");
    }
    for (int l = 0; l < t->nlevel; l++) {
        ck_assert_msg(got->instances[l] == want->instances[l], "%s: %lld instances, walked: %lld\n%s", t->level[l].name,
                      (long long)got->instances[l], (long long)want->instances[l], text.s);
        for (int i = 0; i < p->ntensor; i++) {
            const Access *x = &got->at[l][i], *y = &want->at[l][i];
            ck_assert_msg(x->reads == y->reads && x->fills == y->fills && x->updates == y->updates,
                          "%s.%s, %s: reads %lld, fills %lld, updates %lld; walked: %lld, %lld, %lld\n%s", t->level[l].name,
                          p->tensor[i].name, how, (long long)x->reads, (long long)x->fills, (long long)x->updates, (long long)y->reads,
                          (long long)y->fills, (long long)y->updates, text.s);
            if (m->level[l].keep >> i & 1)
                ck_assert_msg(mapping_distinct_words(m, l, i) == ever_held(m, l, i), "%s.%s: %lld different words, walked: %lld\n%s",
                              t->level[l].name, p->tensor[i].name, (long long)mapping_distinct_words(m, l, i),
                              (long long)ever_held(m, l, i), text.s);
        }
    }
    ck_assert_msg(got->units == want->units, "%lld units, walked: %lld\n%s", (long long)got->units, (long long)want->units, text.s);
    text_free(&text);
}
static void one_walk(Arena *a, Diags *d, const Target *t, bool ragged) {
    Problem *p = random_problem(a);
    ck_assert(problem_check(d, NO_LOC, p));
    Mapping *m = random_mapping(a, p, t);
    for (int i = ragged ? 1 + rnd(3) : 0; i > 0; i--) make_ragged(p, m);
    int64_t instances = 1;
    for (int l = 0; l < t->nlevel; l++)
        for (int i = 0; i < m->level[l].nspatial; i++) instances *= m->level[l].spatial[i].factor;
    for (int i = 0; i < p->ntensor; i++)
        if (problem_box(p, i, p->extent) > MAX_WORDS) return;
    if (instances >= MAX_INST || problem_macs(p) > 3000) return;
    MappingCounts got, want;
    for (int how = 0; how < 2; how++) {
        mapping_counts_as(m, (Counting)how, &got);
        walk(m, (Counting)how, &want);
        compare_walk(m, &got, &want, counting_name[how]);
    }
    mapping_counts(m, &got);
    for (int outside = 0; outside <= t->nlevel; outside++) {
        mapping_words_outside(m, outside, &want);
        for (int l = 0; l < outside; l++)
            for (int i = 0; i < p->ntensor; i++)
                ck_assert(got.at[l][i].reads == want.at[l][i].reads && got.at[l][i].updates == want.at[l][i].updates);
    }
}
START_TEST(test_walk) {
    const char *rounds = getenv("QN_WALKS"); /* more of them than a test run has time for */
    for (int n = rounds ? atoi(rounds) : 800, i = 0; i < n; i++) {
        Case t;
        case_open(&t);
        seed = (uint32_t)(i + 1) * 2654435761u;
        Target x = {.name = "random", .nlevel = 1 + rnd(4), .mac_energy = 1};
        for (int l = 0; l < x.nlevel; l++)
            x.level[l] = (TargetLevel){.name = arena_printf(t.a, "L%d", l),
                                       .kind = l ? LEVEL_PAD : LEVEL_DRAM,
                                       .words = l ? 1 << 20 : 0,
                                       .word_bits = 16,
                                       .keeps = ROLE_ALL,
                                       .fan_x = 6,
                                       .fan_y = 6,
                                       .read_energy = 1,
                                       .write_energy = 1,
                                       .no_multicast = i % 5 == 0 ? (unsigned)rnd(8) : 0};
        ck_assert(target_check(&t.d, NO_LOC, &x));
        one_walk(t.a, &t.d, &x, i % 2);
        arena_free(t.a);
    }
}
END_TEST

/* ---- text form and legality */
static const char gemm_text[] = "mapping gemm on x86_avx512\n"
                                "DRAM keeps A B C: for N 16, M 64\n"
                                "L3 keeps A B C:\n"
                                "L2 keeps A B C:\n"
                                "L1 keeps A C:\n"
                                "regs keeps C: for K 512, M 8, N 2; spread N 16 x\n";
START_TEST(test_text_round_trip) {
    Case t;
    case_open(&t);
    Target *x = target_load(&t.c, "x86_avx512");
    ck_assert_ptr_nonnull(x);
    Problem *p = problem_gemm(t.a, "gemm", 512, 512, 512);
    Mapping *m = mapping_parse(&t.c, "gemm.map", gemm_text, p, x);
    if (!m || !mapping_check(&t.c, NO_LOC, m, NULL)) diag_print_all(&t.d, false), ck_abort();
    Text once = {0}, twice = {0};
    mapping_print(m, &once);
    ck_assert_str_eq(once.s, gemm_text);
    for (int i = 0; i < 200; i++) {
        seed = (uint32_t)i;
        text_free(&once), text_free(&twice);
        mapping_print(random_mapping(t.a, p, x), &once);
        Mapping *back = mapping_parse(&t.c, "random.map", once.s, p, x);
        ck_assert_ptr_nonnull(back);
        mapping_print(back, &twice);
        ck_assert_str_eq(once.s, twice.s);
    }
    text_free(&once), text_free(&twice);
    arena_free(t.a);
}
END_TEST
/* Each text is refused with a message that has these words and that line. */
static const struct {
    const char *text, *words;
    int line;
} refused[] = {
    {"DRAM: for Q 2\n", "found 'Q', expected a dim", 1},
    {"DRAM: for M 0\n", "found '0', expected a factor", 1},
    {"DRAM: for M 99999999999999999999\n", "expected a factor", 1},
    {"DRAM: for M\n", "found the end of the line, expected a factor", 1},
    {"# a comment\n\nL9: for M 2\n", "found 'L9'", 3},
    {"DRAM keeps A D:\n", "found 'D', expected an operand", 1},
    {"regs: for M 2\nDRAM: for M 2\n", "the levels from the outermost in", 2},
    {"L1: for M 2\nL1: for M 2\n", "each level once", 2},
    {"regs: spread M 2 z\n", "the axis x or y", 1},
    {"regs: for M 2 x\n", "found 'x'", 1},
    {"mapping a on toy_pad\n", "for target toy_pad, not for x86_avx512", 1},
    {"DRAM: for M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2, M 2\n", "at most 16", 1},
};
START_TEST(test_text_refused) {
    Case t;
    case_open(&t);
    Target *x = target_load(&t.c, "x86_avx512");
    Problem *p = problem_gemm(t.a, "gemm", 512, 512, 512);
    ck_assert_ptr_null(mapping_parse(&t.c, "bad.map", refused[_i].text, p, x));
    ck_assert_int_eq(t.d.errors, 1);
    ck_assert_msg(strstr(t.d.list.v[0].text, refused[_i].words) != NULL, "%s: %s", refused[_i].text, t.d.list.v[0].text);
    ck_assert_int_eq((int)loc_line(t.d.list.v[0].loc.index), refused[_i].line);
    ck_assert_int_gt((int)(t.d.list.v[0].loc.index >> 32), 0);
    arena_free(t.a);
}
END_TEST
static const struct {
    const char *text, *words;
    int violations;
} illegal[] = {
    {"DRAM: for M 512, N 512, K 256\n", "the factors of K multiply to 256; its extent is 512", 0},
    {"DRAM: for M 512, N 16, K 512; spread N 32 x\n", "level DRAM spreads over 32 units along x; it has 1", 0},
    {"DRAM: for M 2, N 512, K 512\nregs keeps C: for M 256\n", NULL, 0},
    {"DRAM: for M 1, N 512, K 512\nregs keeps C: for M 512\n", "the tiles of level regs need 512 words; it has 496", 2},
    {"DRAM keeps A: for M 512, N 512, K 512\n", "the outermost level DRAM must keep every operand", 0},
};
START_TEST(test_illegal) {
    Case t;
    case_open(&t);
    Target *x = target_load(&t.c, "x86_avx512");
    Problem *p = problem_gemm(t.a, "gemm", 512, 512, 512);
    Mapping *m = mapping_parse(&t.c, "m.map", illegal[_i].text, p, x);
    ck_assert_ptr_nonnull(m);
    MapViolations v = {0};
    bool ok = mapping_check(&t.c, NO_LOC, m, &v), legal = illegal[_i].words == NULL;
    ck_assert_int_eq(ok, legal);
    ck_assert_int_eq(mapping_legal(m), legal);
    if (!legal) {
        ck_assert_msg(strstr(t.d.list.v[0].text, illegal[_i].words) != NULL, "%s", t.d.list.v[0].text);
        ck_assert_int_eq(v.list.n, illegal[_i].violations);
    }
    arena_free(t.a);
}
END_TEST

Suite *mapping_suite(void) {
    Suite *s = suite_create("mapping");
    TCase *c = tcase_create("counts");
    tcase_add_test(c, test_timeloop_small);
    tcase_add_test(c, test_timeloop_fixed);
    tcase_add_test(c, test_walk);
    suite_add_tcase(s, c);
    c = tcase_create("text");
    tcase_add_test(c, test_text_round_trip);
    tcase_add_loop_test(c, test_text_refused, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_loop_test(c, test_illegal, 0, (int)(sizeof illegal / sizeof *illegal));
    suite_add_tcase(s, c);
    return s;
}
