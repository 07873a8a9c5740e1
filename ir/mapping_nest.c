/* SPDX-License-Identifier: Apache-2.0 */
/* mapping_nest.c: a mapping as a plain nest: the three nests of a contraction, rewritten by the steps of mapping_schedule. With ragged
 * loops, which the steps have not, the loops of the mapping stand as they are and their empty iterations are skipped.
 *
 *   M 8, DRAM[M4] RF[M2]   --->   for m0: for m: acc[m] = 0; for m: acc[m] += w[…] * i[…]; for m: o[2*m0 + m] = acc[m] */
#include "mapping_nest.h"
#include "ir.h"
#include "sched.h"
#include <string.h>

typedef struct Plain {
    Arena *a;
    Func *f;
    const Mapping *m;
    const Problem *p;
    Buf *param[QN_MAX_TENSORS];
    int output;
    Expr *value[QN_MAX_DIMS]; /* of the dims' loops; NULL: 0 */
} Plain;
static void make_params(Plain *P) {
    for (int t = 0; t < P->p->ntensor; t++) {
        const ProblemTensor *x = &P->p->tensor[t];
        int64_t dim[QN_MAX_AXES];
        for (int a = 0; a < x->rank; a++) {
            dim[a] = 1;
            for (int i = 0; i < x->axis[a].n; i++) dim[a] += (P->p->extent[x->axis[a].dim[i]] - 1) * x->axis[a].coef[i];
        }
        if (x->role == ROLE_O) P->output = t;
        P->param[t] = func_param(P->f, x->role == ROLE_O ? "out" : arena_printf(P->a, "in_%s", x->name), DT_FLOAT32, x->rank, dim);
    }
    P->param[P->output]->written = true;
}
static void index_of(const Plain *P, int tensor, Expr **index) {
    const ProblemTensor *x = &P->p->tensor[tensor];
    for (int a = 0; a < x->rank; a++) {
        index[a] = e_int(P->a, 0);
        for (int i = 0; i < x->axis[a].n; i++) {
            Expr *v = P->value[x->axis[a].dim[i]];
            if (v) index[a] = e_add(P->a, index[a], e_mul(P->a, v, e_int(P->a, x->axis[a].coef[i])));
        }
    }
}
static Expr *product(const Plain *P) {
    Expr *all = NULL, *index[QN_MAX_AXES];
    for (int t = 0; t < P->p->ntensor; t++) {
        if (t == P->output) continue;
        index_of(P, t, index);
        Expr *x = e_load(P->a, P->param[t], index);
        all = all ? e_mul(P->a, all, x) : x;
    }
    return all;
}
static Stmt *open_for(Plain *P, Stmt *block, const char *name, int64_t n, Expr **value) {
    Var *v = var_new(P->f, name, DT_INT64);
    Stmt *s = s_for(P->a, v, e_int(P->a, 0), e_int(P->a, n));
    s_append(P->a, block, s);
    *value = e_var(P->a, v);
    return s->u.loop.body;
}

/* ---- three nests and their schedule */
static Stmt *open_nest(Plain *P, const char *const *name) {
    Stmt *block = P->f->body;
    for (int d = 0; d < P->p->ndim; d++) {
        P->value[d] = NULL;
        if (name[d]) block = open_for(P, block, name[d], P->p->extent[d], &P->value[d]);
    }
    return block;
}
static void put(Plain *P, Stmt *block, Buf *b, Expr *v, RedOp red) {
    Expr *index[QN_MAX_AXES];
    index_of(P, P->output, index);
    s_append(P->a, block, s_store(P->a, b, index, v, red));
    b->written = true;
}
static Func *scheduled(Ctx *c, Plain *P) {
    MapNames names;
    Expr *index[QN_MAX_AXES];
    const Buf *o = P->param[P->output];
    mapping_names(P->a, P->p, &names);
    for (int t = 0; t < P->p->ntensor; t++) names.tensor[t] = t == P->output ? "acc" : P->param[t]->name;
    bool regs = mapping_sums_in_regs(P->m);
    Buf *acc = buf_new(P->f, "acc", DT_FLOAT32, o->rank, o->dim, regs ? MEM_REG : MEM_SCRATCH);
    if (regs) s_append(P->a, P->f->body, s_alloc(P->a, acc));
    else vec_push(P->a, &P->f->param, acc);
    Stmt *init = open_nest(P, names.init);
    put(P, init, acc, e_lit(P->a, DT_FLOAT32, 0), RED_NONE);
    Stmt *sum = open_nest(P, names.sum);
    put(P, sum, acc, product(P), RED_ADD);
    Stmt *last = open_nest(P, names.store);
    index_of(P, P->output, index);
    put(P, last, P->param[P->output], e_load(P->a, acc, index), RED_NONE);
    return sched_run(c, P->f, mapping_schedule(P->a, P->m, &names)) ? P->f : NULL;
}

/* ---- loops as they stand */
static Func *unscheduled(Ctx *c, Plain *P) {
    Walk *w = NEW(P->a, Walk);
    Expr *value[WALK_LOOPS] = {NULL}, *index[QN_MAX_AXES];
    if (!walk_init(w, P->a, P->m)) return diag_error(c->d, NO_LOC, "the factors of the mapping do not fit the extents"), NULL;
    Stmt *block = P->f->body;
    const Buf *o = P->param[P->output];
    for (int a = 0; a < o->rank; a++) block = open_for(P, block, "z", o->dim[a], &index[a]);
    s_append(P->a, block, s_store(P->a, P->param[P->output], index, e_lit(P->a, DT_FLOAT32, 0), RED_NONE));
    block = P->f->body;
    int nlevel = P->m->target->nlevel;
    for (int i = 0; i < w->n; i++) block = open_for(P, block, walk_name(w, i), w->loop[i].factor, &value[i]);
    Expr *there = walk_present(w, nlevel, ~0u, value);
    if (there) {
        Stmt *s = s_if(P->a, there);
        s_append(P->a, block, s);
        block = s->u.cond.then;
    }
    for (int d = 0; d < P->p->ndim; d++) { /* index of the dim itself */
        P->value[d] = e_int(P->a, 0);
        for (int k = 0; k < w->nchain[d]; k++)
            P->value[d] = e_add(P->a, P->value[d], e_mul(P->a, value[w->chain[d][k]], e_int(P->a, w->loop[w->chain[d][k]].step)));
    }
    put(P, block, P->param[P->output], product(P), RED_ADD);
    return P->f;
}
/* Registers of many units, or too many for names, are arrays in C. */
const Target *mapping_soft_target(Arena *a, const Target *t) {
    Target *soft = NEW(a, Target);
    *soft = *t;
    for (int l = 0; l < t->nlevel && !t->vector_bits; l++)
        if (soft->level[l].kind == LEVEL_REGS && (soft->level[l].words > 64 || target_instances(t, l) > 1)) soft->level[l].kind = LEVEL_PAD;
    return soft;
}
Func *mapping_nest(Ctx *c, const Mapping *m, const char *name) {
    Mapping *soft = NEW(c->a, Mapping);
    *soft = *m;
    soft->target = mapping_soft_target(c->a, m->target);
    Plain *P = NEW(c->a, Plain);
    *P = (Plain){.a = c->a, .f = func_new(c->a, name), .m = soft, .p = m->problem};
    make_params(P);
    Func *f = mapping_ragged(m) ? unscheduled(c, P) : scheduled(c, P);
    if (!f) return NULL;
    func_simplify(f);
    Text line = {0};
    mapping_print_line(m, &line);
    f->comment = arena_printf(c->a, "%s on %s: %s", m->problem->name, m->target->name, line.s);
    text_free(&line);
    return f;
}
