/* SPDX-License-Identifier: Apache-2.0 */
/* program.c: interprets a planned program on a buffer of exactly arena_bytes, so that the plan is tested and not only the
 * nests. Everything but the state starts as 0xFF bytes (a NaN): a value read before it was written shows.
 */
#include "internal.h"
#include "ir/list.h"
#include <string.h>

typedef struct Memory {
    char *arena;
    const void *const *in;
    void *const *out;
} Memory;

static void *storage(Arena *tmp, const Memory *m, const Tensor *t) {
    t = tensor_base(t);
    switch (t->store) {
    case ST_INPUT: return (void *)m->in[t->addr];
    case ST_OUTPUT: return m->out[t->addr];
    case ST_ARENA: return m->arena + t->addr;
    case ST_CONST: {
        size_t bytes = (size_t)(dtype_info[t->type.dt].bits / 8), n = (size_t)tensor_bytes(t);
        if (bytes <= 1 || ((uintptr_t)t->data & (bytes - 1)) == 0) return (void *)t->data;
        return memcpy(arena_alloc(tmp, n), t->data, n); /* raw data of a file may stand anywhere */
    }
    default: BUG("tensor '%s' was not planned", t->name);
    }
}

static bool take_list(Ctx *c, Memory *m, const Tensor *t, const int64_t *given, bool have) {
    int64_t n, *want = wrap_table(c->a, t->packed, &n), *to = NEW_ARRAY(c->a, int64_t, t->dims->type.dim[0]);
    int r = interp_list_take(want, given, have, to);
    if (r)
        return diag_error(c->d, NO_LOC, "the dims list of input '%s' %s", t->name,
                          r == 1   ? "exceeds a bound"
                          : r == 2 ? "names values, but there are none"
                                   : "is not what the model expects");
    if (t->dims->nuse) memcpy(m->arena + t->dims->addr, to, (size_t)tensor_bytes(t->dims));
    return true;
}
/* The extents of the inputs into their places; false: they are not what the model takes. */
static bool take_dims(Ctx *c, const Program *p, Memory *m, const int64_t *const *dims) {
    const Graph *g = p->g;
    int64_t *v = NEW_ARRAY(c->a, int64_t, g->extent.n + 1);
    for (int i = 0; i < g->in.n; i++) {
        const Tensor *t = g->in.v[i];
        if (t->packed && !take_list(c, m, t, dims ? dims[i] : NULL, m->in[i] != NULL)) return false;
        for (int k = 0; k < t->type.rank && dims && dims[i] && !t->packed; k++) {
            const Extent *x = t->type.ext && t->type.ext[k] ? extent_find(g, t->type.ext[k]->u.v) : NULL;
            bool first = x && x->input == t && x->axis == k;
            if (first) v[x->v->id] = dims[i][k];
            int64_t want = x ? v[x->v->id] : t->type.dim[k];
            if (dims[i][k] != want)
                return diag_error(c->d, NO_LOC, "axis %d of input '%s' is %lld; expected %lld", k, t->name, (long long)dims[i][k],
                                  (long long)want);
        }
    }
    for (int i = 0; i < g->extent.n; i++) {
        const Extent *x = g->extent.v[i];
        if (!x->input) continue;
        if (!dims) v[i] = x->hi;
        if (v[i] < x->lo || v[i] > x->hi)
            return diag_error(c->d, NO_LOC, "'%s' is %lld; expected %lld to %lld", x->name, (long long)v[i], (long long)x->lo,
                              (long long)x->hi);
        memcpy(m->arena + x->t->addr, &v[i], sizeof *v);
    }
    return true;
}
static bool check_bounds(Ctx *c, const Program *p, const Memory *m, const Kernel *k) {
    for (int i = 0; i < p->g->extent.n; i++) {
        const Extent *x = p->g->extent.v[i];
        int64_t v;
        if (!x->check || x->input || !kernel_writes(k, x->t)) continue;
        memcpy(&v, m->arena + x->t->addr, sizeof v);
        if (v >= x->lo && v <= x->hi) continue;
        if (x->shape) return diag_error(c->d, NO_LOC, "the shapes that meet in kernel '%s' do not fit each other", k->f->name);
        return diag_error(c->d, NO_LOC, "'%s' is %lld at run time; the bound is %lld", x->name, (long long)v, (long long)x->hi);
    }
    return true;
}

enum { STEPS_MOST = 100 * 1000 * 1000 };
static bool truth(Arena *tmp, const Memory *m, const Tensor *t) { return *(const uint8_t *)storage(tmp, m, t) != 0; }
static bool guards_hold(Arena *tmp, const Memory *m, const Kernel *k) {
    for (int i = 0; i < k->guard.n; i++)
        if (truth(tmp, m, k->guard.v[i].cond) != k->guard.v[i].want) return false;
    return true;
}
bool program_interpret(Ctx *c, const Program *p, const void *const *inputs, void *const *outputs) {
    return program_watch(c, p, inputs, NULL, outputs, NULL, NULL, NULL);
}
bool program_interpret_dims(Ctx *c, const Program *p, const void *const *inputs, const int64_t *const *in_dims, void *const *outputs,
                            int64_t *const *out_dims) {
    return program_watch(c, p, inputs, in_dims, outputs, out_dims, NULL, NULL);
}
bool program_watch(Ctx *c, const Program *p, const void *const *inputs, const int64_t *const *in_dims, void *const *outputs,
                   int64_t *const *out_dims, ProgramWatch *watch, void *user) {
    Arena *tmp = arena_new();
    Memory m = {arena_alloc(tmp, (size_t)p->arena_bytes + 64), inputs, outputs};
    m.arena += (64 - ((uintptr_t)m.arena & 63)) & 63;
    memset(m.arena + p->state_bytes, 0xFF, (size_t)(p->arena_bytes - p->state_bytes));
    bool ok = take_dims(&(Ctx){tmp, c->d}, p, &m, in_dims);
    Vec(int) open = {0}; /* loops: their first kernels */
    int64_t steps = 0;
    for (int k = 0; ok && k < p->k.n; k++) {
        const Kernel *kn = p->k.v[k];
        if (!guards_hold(tmp, &m, kn)) continue;
        if (++steps > STEPS_MOST) ok = diag_error(c->d, NO_LOC, "a loop of the model did not end in %d steps", STEPS_MOST);
        Arena *one = arena_new();
        void **param = NEW_ARRAY(one, void *, kn->arg.n + 1);
        for (int i = 0; i < kn->arg.n; i++) param[i] = kn->arg.v[i] ? storage(one, &m, kn->arg.v[i]) : m.arena + kn->scratch.v[i];
        Ctx kc = {one, c->d};
        ok = interp_run(&kc, kn->f, param, NULL) && check_bounds(c, p, &m, kn);
        if (ok && watch) watch(user, k, param);
        arena_free(one);
        if (ok && kn->loop) {
            vec_push(tmp, &open, k);
            if (!truth(tmp, &m, kn->loop)) { /* no iteration at all */
                int depth = 1;
                while (depth) k++, depth += (p->k.v[k]->loop != NULL) - p->k.v[k]->loop_end;
                open.n--;
            }
        }
        if (ok && kn->loop_end) {
            int first = open.v[open.n - 1];
            if (truth(tmp, &m, p->k.v[first]->loop)) k = first;
            else open.n--;
        }
    }
    for (int i = 0; ok && out_dims && i < p->g->out.n; i++) {
        const Tensor *t = p->g->out.v[i], *d = i < p->g->out_dims.n ? p->g->out_dims.v[i] : NULL;
        if (!out_dims[i] || t->type.rank == 0) continue;
        memcpy(out_dims[i], d ? (const void *)(m.arena + d->addr) : t->type.dim, (size_t)tensor_dim_words(t) * sizeof(int64_t));
    }
    arena_free(tmp);
    return ok;
}
