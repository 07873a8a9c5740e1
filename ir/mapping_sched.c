/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_sched.c: a mapping becomes schedule steps. Loops before the `cut` are those outside the innermost tile of sums: they
 * are made in the nest that stores, and compute_at brings the other two nests to that tile. The loops of the tile are split and
 * ordered in each nest as the mapping says; loops over what lies in registers are unrolled, the innermost spatial one is
 * vectorised, a spatial one over cores runs in parallel. Inputs kept in registers or scratchpads are staged at the innermost
 * loop that moves their tile.
 *   DRAM: for N 16, M 64; regs keeps C: for K 512, M 8, N 2; spread N 16 x
 *   --->  split m 8 m0 m; split n 32 n0 n; reorder n0 m0 m n; compute_at acc m0; split n_a 16 n_a0 n_a; reorder k m_a n_a0 n_a; … */
#include "mapping.h"
#include <ctype.h>
#include <string.h>

enum { MAX_LOOPS = QN_MAX_LEVELS * 2 * QN_MAX_LEVEL_LOOPS, INIT = 0, SUM, STORE, NESTS };
typedef struct Loop {
    int level, dim;
    int64_t factor;
    char axis;
    const char *name[NESTS]; /* in each nest that has it */
} Loop;
typedef struct Plan {
    Arena *a;
    const Mapping *m;
    Text out;
    int n, cut;
    Loop loop[MAX_LOOPS]; /* outermost first, without factors of 1 */
    const char *base[NESTS][QN_MAX_DIMS];
    int made[NESTS][QN_MAX_DIMS]; /* loops split off so far, for names */
    int output;                   /* tensor */
} Plan;

static bool uses_dim(const ProblemTensor *t, int dim) {
    for (int a = 0; a < t->rank; a++)
        for (int i = 0; i < t->axis[a].n; i++)
            if (t->axis[a].dim[i] == dim) return true;
    return false;
}
static int output_of(const Problem *p) {
    for (int i = 0; i < p->ntensor; i++)
        if (p->tensor[i].role == ROLE_O) return i;
    return 0;
}
static void plan_loops(Plan *p) {
    for (int l = 0; l < p->m->target->nlevel; l++) {
        const MapLevel *v = &p->m->level[l];
        for (int i = 0; i < v->ntemporal + v->nspatial; i++) {
            const MapLoop *x = i < v->ntemporal ? &v->temporal[i] : &v->spatial[i - v->ntemporal];
            if (x->factor > 1) p->loop[p->n++] = (Loop){l, x->dim, x->factor, x->axis, {NULL}};
        }
    }
}
static bool is_output_loop(const Plan *p, int i) { return uses_dim(&p->m->problem->tensor[p->output], p->loop[i].dim); }
/* The innermost level that keeps the sums in registers; -1: none. */
static int sum_level(const Mapping *m, int output) {
    for (int l = m->target->nlevel - 1; l > 0; l--)
        if (m->level[l].keep >> output & 1) return m->target->level[l].kind == LEVEL_REGS ? l : -1;
    return -1;
}
/* The first loop of the tile of sums: nothing outside it is summed over. */
static bool find_cut(Plan *p) {
    int regs = sum_level(p->m, p->output);
    for (p->cut = 0; p->cut < p->n; p->cut++) {
        if (regs >= 0 && p->loop[p->cut].level >= regs) return true;
        if (!is_output_loop(p, p->cut)) return false;
    }
    return regs >= 0;
}
bool mapping_sums_in_regs(const Mapping *m) {
    Plan p = {.m = m, .output = output_of(m->problem)};
    plan_loops(&p);
    return find_cut(&p);
}
void mapping_names(Arena *a, const Problem *p, MapNames *out) {
    const ProblemTensor *o = &p->tensor[output_of(p)];
    memset(out, 0, sizeof *out);
    for (int d = 0; d < p->ndim; d++) {
        char *s = arena_strdup(a, p->dim[d]);
        for (char *c = s; *c; c++) *c = (char)tolower((unsigned char)*c);
        if (p->extent[d] == 1) continue;
        out->sum[d] = s;
        if (!uses_dim(o, d)) continue;
        out->store[d] = s, out->sum[d] = arena_printf(a, "%s_a", s), out->init[d] = arena_printf(a, "%s_i", s);
    }
    for (int t = 0; t < p->ntensor; t++) {
        char *s = arena_strdup(a, p->tensor[t].name);
        for (char *c = s; *c; c++) *c = (char)tolower((unsigned char)*c);
        out->tensor[t] = &p->tensor[t] == o ? "acc" : s;
    }
}

/* ---- splitting and ordering */
/* In one nest, splits off the dim's loops in [from, to), outermost first. What is left keeps the name of the nest's loop: the
 * last of them if there is nothing inside, else the rest. */
static void split_dim(Plan *p, int nest, int dim, int from, int to) {
    const char *v = p->base[nest][dim];
    int64_t inside = 1;
    for (int i = from; i < p->n; i++)
        if (p->loop[i].dim == dim) inside *= p->loop[i].factor;
    for (int i = from; v && i < to; i++) {
        if (p->loop[i].dim != dim) continue;
        inside /= p->loop[i].factor;
        p->loop[i].name[nest] = v;
        if (inside == 1) continue;
        p->loop[i].name[nest] = arena_printf(p->a, "%s%d", v, p->made[nest][dim]++);
        text_printf(&p->out, "split %s %lld %s %s\n", v, (long long)inside, p->loop[i].name[nest], v);
    }
}
/* Is the dim, in the tile, down to one iteration? Its loop stands there all the same. */
static bool spent(const Plan *p, int dim) {
    for (int i = p->cut; i < p->n; i++)
        if (p->loop[i].dim == dim) return false;
    return true;
}
static void order_tile(Plan *p, int nest) {
    Text t = {0};
    int n = 0;
    for (int d = 0; d < p->m->problem->ndim; d++)
        if (p->base[nest][d] && spent(p, d) && !(nest == STORE)) text_printf(&t, " %s", p->base[nest][d]), n++;
    for (int i = p->cut; i < p->n; i++)
        if (p->loop[i].name[nest]) text_printf(&t, " %s", p->loop[i].name[nest]), n++;
    if (n > 1) text_printf(&p->out, "reorder%s\n", t.s);
    text_free(&t);
}
/* The loops outside the tile, in the nest that stores. */
static void make_outside(Plan *p) {
    Text t = {0};
    int n = 0;
    for (int d = 0; d < p->m->problem->ndim; d++) split_dim(p, STORE, d, 0, p->cut);
    for (int i = 0; i < p->cut; i++)
        if (p->loop[i].name[STORE]) text_printf(&t, " %s", p->loop[i].name[STORE]), n++;
    for (int d = 0; d < p->m->problem->ndim; d++)
        if (p->base[STORE][d] && !spent(p, d)) text_printf(&t, " %s", p->base[STORE][d]), n++;
    if (n > 1) text_printf(&p->out, "reorder%s\n", t.s);
    text_free(&t);
}

/* ---- modes */
static bool staged(const Plan *p, int tensor, int level) {
    LevelKind k = p->m->target->level[level].kind;
    return level > 0 && (k == LEVEL_REGS || k == LEVEL_PAD) && p->m->level[level].keep >> tensor & 1;
}
/* Must the loop be unrolled, so that indices of registers are constant? */
static bool moves_regs(const Plan *p, int i) {
    for (int l = 0; l <= p->loop[i].level; l++)
        for (int t = 0; p->m->target->level[l].kind == LEVEL_REGS && t < p->m->problem->ntensor; t++)
            if (staged(p, t, l) && uses_dim(&p->m->problem->tensor[t], p->loop[i].dim)) return true;
    return false;
}
static int lanes_loop(const Plan *p) { /* -1: none */
    int i = p->n - 1;
    bool ok = i >= 0 && p->m->target->vector_bits && p->loop[i].axis && p->loop[i].level == p->m->target->nlevel - 1;
    return ok && is_output_loop(p, i) ? i : -1;
}
/* The outermost loop that is spread over cores and not summed over; -1: none. Threads are started once. */
static int cores_loop(const Plan *p) {
    for (int i = 0; i < p->n; i++) {
        LevelKind k = p->m->target->level[p->loop[i].level].kind;
        if (p->loop[i].axis && (k == LEVEL_DRAM || k == LEVEL_CACHE) && p->loop[i].level < p->m->target->nlevel - 1 && is_output_loop(p, i))
            return i;
    }
    return -1;
}
static void set_modes(Plan *p) {
    int lanes = lanes_loop(p);
    bool vectors = p->m->target->vector_bits > 0;
    for (int nest = 0; nest < NESTS; nest++)
        for (int i = p->cut; i < p->n; i++) {
            const Loop *l = &p->loop[i];
            if (!l->name[nest]) continue;
            if (i == lanes) text_printf(&p->out, "vectorise %s\n", l->name[nest]);
            else if (moves_regs(p, i) || (vectors && l->axis && l->level == p->m->target->nlevel - 1))
                text_printf(&p->out, "unroll %s\n", l->name[nest]);
        }
    int cores = cores_loop(p);
    for (int nest = SUM; nest < NESTS && cores >= 0; nest++)
        if (p->loop[cores].name[nest] && (cores >= p->cut || nest == STORE))
            text_printf(&p->out, "parallelise %s\n", p->loop[cores].name[nest]);
}

/* ---- copies */
static const char *name_of(const Plan *p, int i) { return p->loop[i].name[i < p->cut ? STORE : SUM]; }
/* The innermost loop outside a level that moves the tensor's tile; -1: none, then the compiler of the C keeps it where it likes. */
static int mover(const Plan *p, int tensor, int level) {
    int at = -1;
    for (int i = 0; i < p->n && p->loop[i].level < level; i++)
        if (uses_dim(&p->m->problem->tensor[tensor], p->loop[i].dim) && name_of(p, i)) at = i;
    return at;
}
/* Each copy is made from that of the next outer level. Of levels whose tile moves with the same loop the innermost is enough. */
static void stage_input(Plan *p, int tensor, const char *buf) {
    for (int l = 1; l < p->m->target->nlevel; l++) {
        int at = mover(p, tensor, l);
        bool again = false;
        for (int k = l + 1; k < p->m->target->nlevel; k++) again |= staged(p, tensor, k) && mover(p, tensor, k) == at;
        if (!staged(p, tensor, l) || at < 0 || again) continue;
        const TargetLevel *v = &p->m->target->level[l];
        const char *copy = arena_printf(p->a, "%s_%s", buf, v->name);
        text_printf(&p->out, "stage %s %s %s %s\n", buf, name_of(p, at), copy, v->kind == LEVEL_REGS ? "reg" : "pad");
        buf = copy;
    }
}
/* Sums that go on over loops outside their registers are fetched and put back at the innermost of these. */
static void stage_sums(Plan *p, const char *buf) {
    int regs = sum_level(p->m, p->output), at = -1;
    for (int i = 0; i < p->n && p->loop[i].level < regs; i++) at = i;
    if (at >= p->cut) text_printf(&p->out, "stage %s %s %s_regs reg\n", buf, name_of(p, at), buf);
}

char *mapping_schedule(Arena *a, const Mapping *m, const MapNames *names) {
    Plan plan = {.a = a, .m = m, .output = output_of(m->problem)}, *p = &plan;
    memcpy(p->base[INIT], names->init, sizeof names->init);
    memcpy(p->base[SUM], names->sum, sizeof names->sum);
    memcpy(p->base[STORE], names->store, sizeof names->store);
    plan_loops(p);
    bool in_regs = find_cut(p);
    if (!in_regs && cores_loop(p) >= 0) p->cut = 0; /* a temporary in memory is one for all cores: it stays whole */
    make_outside(p);
    if (p->cut) text_printf(&p->out, "compute_at %s %s\n", names->tensor[p->output], p->loop[p->cut - 1].name[STORE]);
    for (int nest = 0; nest < NESTS; nest++) {
        for (int d = 0; d < m->problem->ndim; d++) split_dim(p, nest, d, p->cut, p->n);
        order_tile(p, nest);
    }
    set_modes(p);
    for (int t = 0; t < m->problem->ntensor; t++)
        if (t != p->output) stage_input(p, t, names->tensor[t]);
    if (!in_regs) stage_sums(p, names->tensor[p->output]);
    char *s = arena_strdup(a, p->out.s ? p->out.s : "");
    text_free(&p->out);
    return s;
}
