/* SPDX-License-Identifier: Apache-2.0 */
/* tile_mapped.c: the schedule of a layer whose mapping was given: that of the mapping (ir/mapping_sched.c) on the three nests of MappedSum.
 * Ragged loops, which the steps have not, are put in place of the nest that sums as they are, and skip their empty iterations.
 *
 *   DRAM[M4] L1[E7] regs[M8 | …]   --->   split m 8 m0 m; compute_at acc m0; …
 */
#include "ir/mapping.h"
#include "ir/mapping_nest.h"
#include "tile.h"
#include <string.h>

/* The nests of the body, in their order: sums set, summed, stored. One without loops is not there. */
typedef struct Nests {
    Stmt *of[3];
} Nests;
static bool any_name(const char *const *name, int n) {
    for (int d = 0; d < n; d++)
        if (name[d]) return true;
    return false;
}
static void find_nests(Stmt *body, const Problem *p, const MapNames *names, Nests *out) {
    const char *const *name[3] = {names->init, names->sum, names->store};
    int at = 0;
    for (int k = 0; k < 3; k++) {
        out->of[k] = NULL;
        if (!any_name(name[k], p->ndim)) continue;
        while (at < body->u.block.n && body->u.block.v[at]->k != S_FOR) at++;
        if (at < body->u.block.n) out->of[k] = body->u.block.v[at++];
    }
}
/* Names as they are: one that a buffer has was changed. Returns the body of the innermost loop, and the variable of each dim. */
static Stmt *take_names(Arena *a, Stmt *nest, int ndim, const char **name, Var **var) {
    for (int d = 0; d < ndim; d++) {
        var[d] = NULL;
        if (!name[d] || !nest) continue;
        while (nest->k == S_BLOCK && nest->u.block.n == 1) nest = nest->u.block.v[0];
        if (nest->k != S_FOR) continue;
        var[d] = nest->u.loop.v, name[d] = arena_strdup(a, nest->u.loop.v->name);
        nest = nest->u.loop.body;
    }
    return nest;
}
static Buf *sums_of(const Stmt *s) { /* what the innermost statement adds to */
    for (; s && s->k == S_BLOCK && s->u.block.n; s = s->u.block.v[s->u.block.n - 1]) {}
    return s && s->k == S_STORE ? s->u.st.buf : NULL;
}
/* A temporary on the stack goes to the arena, where steps may cut and move it. */
static void to_scratch(TileJob *job, Buf *b) {
    Func *f = job->k->f;
    Stmt *body = f->body;
    for (int i = 0; i < body->u.block.n; i++) {
        if (body->u.block.v[i]->k != S_ALLOC || body->u.block.v[i]->u.alloc != b) continue;
        for (int j = i; j + 1 < body->u.block.n; j++) body->u.block.v[j] = body->u.block.v[j + 1];
        body->u.block.n--;
        b->space = MEM_SCRATCH;
        vec_push(f->a, &f->param, b);
        vec_push(f->a, &job->k->arg, NULL);
        return;
    }
}
static bool same_storage(const Tensor *x, const Tensor *y) { return x && tensor_base(x) == tensor_base(y); }
/* Operands by the names of their buffers; what is computed where it is read is copied nowhere. */
static void name_operands(const TileJob *job, Mapping *m, MapNames *names, const char *sums) {
    const Problem *p = m->problem;
    for (int t = 0; t < p->ntensor; t++) {
        bool found = false;
        const Tensor *x = p->tensor[t].role == ROLE_I ? job->anchor->in[0] : job->anchor->in[1];
        if (p->tensor[t].role == ROLE_O) {
            names->tensor[t] = sums;
            continue;
        }
        for (int i = 0; i < job->k->arg.n && !found; i++)
            if (job->k->arg.v[i] && (job->k->arg.v[i] == x || same_storage(job->k->arg.v[i], x)) && !job->k->f->param.v[i]->written)
                found = true, names->tensor[t] = job->k->f->param.v[i]->name;
        for (int l = 1; l < m->target->nlevel && !found; l++) m->level[l].keep &= ~(1u << t);
    }
}
static void put_ragged(TileJob *job, const Mapping *m, Stmt *nest, Stmt *inner, Var *const *var) {
    Func *f = job->k->f;
    Arena *a = f->a;
    Walk *w = NEW(a, Walk);
    Expr *value[WALK_LOOPS] = {NULL};
    if (!walk_init(w, a, m)) BUG("the factors of a mapping do not fit");
    Stmt *top = s_block(a), *block = top;
    for (int i = 0; i < w->n; i++) {
        Var *v = var_new(f, walk_name(w, i), DT_INT64);
        Stmt *s = s_for(a, v, e_int(a, 0), e_int(a, w->loop[i].factor));
        s_append(a, block, s);
        value[i] = e_var(a, v), block = s->u.loop.body;
    }
    Expr *there = walk_present(w, m->target->nlevel, ~0u, value);
    if (there) {
        Stmt *s = s_if(a, there);
        s_append(a, block, s);
        block = s->u.cond.then;
    }
    for (int d = 0; d < m->problem->ndim; d++) {
        Expr *at = e_int(a, 0);
        for (int k = 0; k < w->nchain[d]; k++) at = e_add(a, at, e_mul(a, value[w->chain[d][k]], e_int(a, w->loop[w->chain[d][k]].step)));
        if (var[d]) s_append(a, block, s_let(a, var[d], at));
    }
    for (int i = 0; i < inner->u.block.n; i++) s_append(a, block, inner->u.block.v[i]);
    for (int i = 0; i < f->body->u.block.n; i++)
        if (f->body->u.block.v[i] == nest) f->body->u.block.v[i] = top;
}
bool tile_mapped(TileJob *job) {
    Arena *a = job->c->a;
    int number = (int)attr_i(job->anchor, op_attr_index(job->anchor->op, "mapping"));
    if (number < 0 || number >= job->options->mapping.n) return false;
    Mapping *m = NEW(a, Mapping);
    Problem *p = mapped_problem(a, job->anchor);
    MapNames names;
    Nests nests;
    Var *var[QN_MAX_DIMS];
    *m = *job->options->mapping.v[number].m;
    m->problem = p, m->target = mapping_soft_target(a, m->target);
    mapping_names(a, p, &names);
    find_nests(job->k->f->body, p, &names, &nests);
    take_names(a, nests.of[0], p->ndim, names.init, var);
    take_names(a, nests.of[2], p->ndim, names.store, var);
    Stmt *inner = take_names(a, nests.of[1], p->ndim, names.sum, var);
    Buf *sums = sums_of(inner);
    if (!nests.of[1] || !sums) return false;
    if (mapping_ragged(m)) {
        put_ragged(job, m, nests.of[1], inner, var);
        return false;
    }
    name_operands(job, m, &names, sums->name);
    if (mapping_sums_in_regs(m)) tile_move_buffer(job, sums->name, MEM_REG);
    else to_scratch(job, sums);
    text_puts(job->steps, mapping_schedule(a, m, &names));
    return true;
}
