/* SPDX-License-Identifier: Apache-2.0 */
/* stream_sched.c: the naive nest of a contraction for an accelerator, and the steps from it to the mapped one. Sums of a tile that
 * are complete before the tile leaves its scratchpad are made there from the start: the nests that set and store them move to the
 * tile (compute_at). Else they go to the result and are fetched again (stage). Operands are staged at the innermost temporal loop
 * outside a level that moves their tile; where no loop does, at a loop of one iteration around everything.
 *   DRAM: for M 4; pad keeps A B: for K 8; acc keeps C: for M 16; spread N 16 x, K 16 y; wreg keeps B
 *   --->  split m 16 m0 m; compute_at sum_acc m0; split k 16 k0 k; reorder k0 m_a n_a k; stage a k0 a_pad pad; …
 */
#include "codegen/stream.h"
#include "ir/sched.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LOOPS = QN_MAX_LEVELS * 2 * QN_MAX_LEVEL_LOOPS };
typedef struct Loop {
    int level, dim;
    int64_t factor;
    bool spatial;
    const char *name;
} Loop;
typedef struct Plan {
    Arena *a;
    const Mapping *m;
    const Problem *p;
    Text out;
    int n, cut;           /* loops; those before the cut are made in the nest that stores */
    Loop loop[MAX_LOOPS]; /* outermost first, without factors of 1 */
    int result, level;    /* the output tensor; the innermost level that keeps it, 0: none does */
    bool stay;            /* sums are complete before they leave that level */
    const char *sums;     /* their buffer */
} Plan;

static bool moves(const Plan *p, int tensor, int dim) {
    const ProblemTensor *t = &p->p->tensor[tensor];
    for (int a = 0; a < t->rank; a++)
        for (int i = 0; i < t->axis[a].n; i++)
            if (t->axis[a].dim[i] == dim) return true;
    return false;
}
static const char *small(Arena *a, const char *name) {
    char *s = arena_strdup(a, name);
    for (char *c = s; *c; c++) *c = (char)tolower((unsigned char)*c);
    return s;
}
static bool has_memory(const Mapping *m, int tensor, int level) {
    LevelKind k = m->target->level[level].kind;
    return level > 0 && (k == LEVEL_PAD || k == LEVEL_REGS) && m->level[level].keep >> tensor & 1;
}
static void plan(Plan *p, Arena *a, const Mapping *m) {
    bool reduced = false;
    memset(p, 0, sizeof *p);
    p->a = a, p->m = m, p->p = m->problem, p->stay = true;
    for (int t = 0; t < p->p->ntensor; t++)
        if (p->p->tensor[t].role == ROLE_O) p->result = t;
    for (int l = 0; l < m->target->nlevel; l++) {
        const MapLevel *v = &m->level[l];
        if (has_memory(m, p->result, l)) p->level = l;
        for (int i = 0; i < v->ntemporal + v->nspatial; i++) {
            const MapLoop *x = i < v->ntemporal ? &v->temporal[i] : &v->spatial[i - v->ntemporal];
            if (x->factor > 1) p->loop[p->n++] = (Loop){l, x->dim, x->factor, i >= v->ntemporal, NULL};
        }
    }
    for (int i = 0; i < p->n && p->loop[i].level < p->level; i++) {
        bool output = moves(p, p->result, p->loop[i].dim);
        if (reduced && output) p->stay = false; /* other sums are made before these are complete */
        if (!output) reduced = true;
        else if (!reduced) p->cut = i + 1;
    }
    if (!p->level) p->stay = false;
    if (!p->stay) p->cut = 0;
    const char *result = small(a, p->p->tensor[p->result].name);
    p->sums = p->stay ? arena_printf(a, "sum_%s", m->target->level[p->level].name) : result;
}
/* Loops of the nest that sums have the plain names if it is the only one with them; `store` has them otherwise. */
static const char *sum_loop(const Plan *p, int dim) {
    const char *s = small(p->a, p->p->dim[dim]);
    return moves(p, p->result, dim) ? arena_printf(p->a, "%s_a", s) : s;
}
static const char *store_loop(const Plan *p, int dim) { return small(p->a, p->p->dim[dim]); }

/* ---- the naive nest */
static void put_loops(Plan *p, const int64_t *extent, bool all, const char *suffix) {
    int depth = 1;
    for (int d = 0; d < p->p->ndim; d++) {
        if (!all && !moves(p, p->result, d)) continue;
        const char *v = all ? sum_loop(p, d) : arena_printf(p->a, "%s%s", store_loop(p, d), suffix);
        text_printf(&p->out, "%*sfor %s in 0..%lld\n", 2 * depth++, "", v, (long long)extent[d]);
    }
    text_printf(&p->out, "%*s", 2 * depth, "");
}
static void put_access(Plan *p, const char *buf, int tensor, bool sum, const char *suffix) {
    const ProblemTensor *t = &p->p->tensor[tensor];
    text_printf(&p->out, "%s[", buf);
    for (int a = 0; a < t->rank; a++)
        for (int i = 0; i < t->axis[a].n; i++) {
            int d = t->axis[a].dim[i];
            const char *v = sum ? sum_loop(p, d) : arena_printf(p->a, "%s%s", store_loop(p, d), suffix);
            text_printf(&p->out, "%s%s", i ? " + " : a ? ", " : "", v);
            if (t->axis[a].coef[i] != 1) text_printf(&p->out, " * %lld", (long long)t->axis[a].coef[i]);
        }
    text_puts(&p->out, "]");
}
static void put_shape(Plan *p, const int64_t *extent, int tensor, DType dt) {
    const ProblemTensor *t = &p->p->tensor[tensor];
    text_printf(&p->out, "%s[", dtype_name(dt));
    for (int a = 0; a < t->rank; a++) {
        int64_t n = 1;
        for (int i = 0; i < t->axis[a].n; i++) n += (extent[t->axis[a].dim[i]] - 1) * t->axis[a].coef[i];
        text_printf(&p->out, "%s%lld", a ? "," : "", (long long)n);
    }
    text_puts(&p->out, "]");
}
/* Inputs before weights, as instructions that multiply have them. */
static void put_product(Plan *p, DType in, DType sum) {
    static const unsigned roles[] = {ROLE_I, ROLE_W};
    int n = 0;
    for (int i = 0; i < 2; i++)
        for (int t = 0; t < p->p->ntensor; t++) {
            if (p->p->tensor[t].role != roles[i]) continue;
            text_printf(&p->out, "%s%s", n++ ? " * " : "", in == sum ? "" : arena_printf(p->a, "%s(", dtype_name(sum)));
            put_access(p, small(p->a, p->p->tensor[t].name), t, true, ""), text_puts(&p->out, in == sum ? "" : ")");
        }
}
Func *stream_nest(Ctx *c, const Mapping *m, const int64_t *extent, DType in, DType sum) {
    Plan *p = NEW(c->a, Plan);
    plan(p, c->a, m);
    if (!extent) extent = p->p->extent;
    for (int d = 0; d < p->p->ndim; d++)
        if (extent[d] < 1 || extent[d] > p->p->extent[d]) {
            diag_error(c->d, NO_LOC, "dim %s has extent %lld, expected 1 to %lld as in the mapping", p->p->dim[d], (long long)extent[d],
                       (long long)p->p->extent[d]);
            return NULL;
        }
    Text *o = &p->out;
    text_printf(o, "func %s(", p->p->name);
    for (int t = 0; t < p->p->ntensor; t++) {
        text_printf(o, "%s%s%s: ", t ? ", " : "", t == p->result ? "writes " : "", small(c->a, p->p->tensor[t].name));
        put_shape(p, extent, t, t == p->result ? sum : in);
    }
    text_puts(o, ")\n");
    if (p->stay) text_printf(o, "  alloc %s: pad ", p->sums), put_shape(p, extent, p->result, sum), text_puts(o, "\n");
    put_loops(p, extent, false, "_i"), put_access(p, p->sums, p->result, false, "_i"),
        text_puts(o, dtype_is_int(sum) ? " = 0\n" : " = 0.0\n");
    put_loops(p, extent, true, ""), put_access(p, p->sums, p->result, true, ""), text_puts(o, " += ");
    put_product(p, in, sum);
    text_puts(o, "\n");
    if (p->stay) {
        put_loops(p, extent, false, ""), put_access(p, small(c->a, p->p->tensor[p->result].name), p->result, false, "");
        text_puts(o, " = "), put_access(p, p->sums, p->result, false, ""), text_puts(o, "\n");
    }
    Func *f = func_parse(c, p->p->name, o->s);
    text_free(o);
    return f && func_verify(c, f) ? f : NULL;
}

/* ---- the steps */
/* Splits off the loops in [from, to), outermost first; what is left keeps the name of the nest's loop. */
static void split(Plan *p, int from, int to, bool sum) {
    for (int d = 0; d < p->p->ndim; d++) {
        int64_t inside = 1;
        int made = 0;
        const char *v = sum ? sum_loop(p, d) : store_loop(p, d);
        for (int i = from; i < p->n; i++)
            if (p->loop[i].dim == d) inside *= p->loop[i].factor;
        for (int i = from; i < to; i++) {
            if (p->loop[i].dim != d) continue;
            inside /= p->loop[i].factor;
            p->loop[i].name = v;
            if (inside == 1) continue;
            p->loop[i].name = arena_printf(p->a, "%s%d", v, made++);
            text_printf(&p->out, "split %s %lld %s %s\n", v, (long long)inside, p->loop[i].name, v);
        }
    }
}
/* Loops of `from` to `to`, then those of dims that have none left there. */
static void order(Plan *p, int from, int to, bool sum, const char *first) {
    Text t = {0};
    int n = 0;
    if (first) text_printf(&t, " %s", first), n++;
    for (int i = from; i < to; i++) text_printf(&t, " %s", p->loop[i].name), n++;
    for (int d = 0; d < p->p->ndim; d++) {
        const char *v = sum ? sum_loop(p, d) : store_loop(p, d);
        bool there = !sum && !moves(p, p->result, d);
        for (int i = from; i < to; i++) there |= strcmp(p->loop[i].name, v) == 0;
        if (!there) text_printf(&t, " %s", v), n++;
    }
    if (n > 1) text_printf(&p->out, "reorder%s\n", t.s);
    text_free(&t);
}
/* The innermost temporal loop outside a level that moves the tensor's tile; -1: none. */
static int mover(const Plan *p, int tensor, int level) {
    int at = -1;
    for (int i = 0; i < p->n && p->loop[i].level < level; i++)
        if (!p->loop[i].spatial && moves(p, tensor, p->loop[i].dim)) at = i;
    return at;
}
static bool kept_whole(const Plan *p) { /* is a tensor staged outside all loops? */
    for (int t = 0; t < p->p->ntensor; t++)
        for (int l = 1; l < p->m->target->nlevel; l++)
            if (!(t == p->result && p->stay) && has_memory(p->m, t, l) && mover(p, t, l) < 0) return true;
    return false;
}
char *stream_schedule(Arena *a, const Mapping *m) {
    Plan *p = NEW(a, Plan);
    plan(p, a, m);
    const char *once = NULL;
    if (kept_whole(p)) { /* a loop of one iteration around the nest that holds the others in the end */
        int d = 0;
        while (p->cut && !moves(p, p->result, d)) d++;
        const char *v = p->cut ? store_loop(p, d) : sum_loop(p, d);
        once = "once";
        text_printf(&p->out, "split %s %lld once %s\n", v, (long long)p->p->extent[d], v);
    }
    if (p->cut) {
        split(p, 0, p->cut, false);
        order(p, 0, p->cut, false, once);
        text_printf(&p->out, "compute_at %s %s\n", p->sums, p->loop[p->cut - 1].name);
    }
    split(p, p->cut, p->n, true);
    order(p, p->cut, p->n, true, p->cut ? NULL : once);
    for (int t = 0; t < p->p->ntensor; t++) {
        const char *buf = t == p->result ? p->sums : small(a, p->p->tensor[t].name);
        for (int l = m->target->nlevel - 1; l > 0; l--) { /* innermost first: copies of outer levels come in between */
            if ((t == p->result && p->stay) || !has_memory(m, t, l)) continue;
            int at = mover(p, t, l);
            const char *loop = at < 0 ? once : p->loop[at].name;
            text_printf(&p->out, "stage %s %s %s_%s pad\n", buf, loop, buf, m->target->level[l].name);
        }
    }
    char *s = arena_strdup(a, p->out.s ? p->out.s : "");
    text_free(&p->out);
    return s;
}
