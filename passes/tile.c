/* SPDX-License-Identifier: Apache-2.0 */
/* tile.c: schedules each kernel for the target. The table tile.def names, by the kernel's anchor, the function that chooses the steps;
 * kernels without a row get vector loops where there are any (vectorise.c). A target without vectors leaves everything but layers whose
 * mapping was given to the C compiler.
 *
 *   for m, n, k: …   --->   split n 32 n_o n_i; split m 12 m_o m_i; reorder …; unroll m_i; vectorise n_l
 */
#include "tile.h"
#include "ir/vecmath.h"
#include "vectorise.h"
#include <string.h>

static const struct {
    const char *domain, *op;
    TileFn fn;
} rows[] = {
#define TILE(domain, op, fn) {domain, #op, fn},
#include "tile.def"
#undef TILE
    {"", "", NULL},
};

static const Node *anchor_of(const Kernel *k) {
    for (int i = 0; i < k->nodes.n; i++)
        if (k->nodes.v[i]->kernel == 0 || k->nodes.v[i]->role == ROLE_ANCHOR) return k->nodes.v[i];
    return NULL;
}
bool tile_wide(const Kernel *k) {
    for (int i = 0; i < k->nodes.n; i++)
        if (k->nodes.v[i]->out[0] && (k->nodes.v[i]->out[0]->type.dt == DT_FLOAT64 || k->nodes.v[i]->out[0]->type.dt == DT_HALF))
            return true;
    return false;
}
/* Where layouts were made for longer vectors, loops over a block's lanes are cut afterwards. With --precise all loops are chosen for the
 * layout's target, so that sums have one order. */
static bool tile_kernel(Run *r, const Target *own, Kernel *k) {
    Text steps = {0};
    TileJob job = {r->c, r->o->target, r->o, k, anchor_of(k), &steps, false, false};
    bool ok = true;
    for (size_t i = 0; job.anchor && rows[i].fn; i++) {
        if (strcmp(rows[i].op, job.anchor->op->name) != 0 || strcmp(rows[i].domain, job.anchor->op->domain) != 0) continue;
        if (rows[i].fn(&job) && steps.n) ok = sched_run(r->c, k->f, steps.s);
        break;
    }
    if (job.anchor && job.anchor->mapped && own == r->o->target) /* other targets of a file have blocks of their own */
        vec_push(k->f->a, &k->f->schedule, arena_printf(k->f->a, "mapping %s", job.anchor->mapped));
    if (!ok) {
        diag_print_all(r->c->d, false);
        BUG("the schedule of kernel '%s' (%s) is not legal:\n%s", k->f->name, job.anchor->op->name, steps.s);
    }
    while (k->arg.n < k->f->param.n) vec_push(r->g->a, &k->arg, NULL);               /* copies that the steps have made */
    bool vectors = own->vector_bits || (r->o->precise && r->o->target->vector_bits); /* with --precise as on the layout's target */
    if (vectors) vec_raw(k->f), vecmath_expand(k->f);
    if (vectors && (!steps.n || job.rest)) vectorise(k->f, r->o->precise ? r->o->target : own, own);
    if (job.narrow || own->vector_bits < r->o->target->vector_bits) narrow_vectors(k->f, own);
    if (r->o->verify && !func_verify(r->c, k->f)) {
        diag_print_all(r->c->d, false);
        BUG("the nest of kernel '%s' does not verify after its schedule", k->f->name);
    }
    text_free(&steps);
    return true;
}
/* A mapping needs no vectors. */
static bool is_mapped(const Kernel *k) {
    const Node *n = anchor_of(k);
    return n && strcmp(n->op->domain, "quern") == 0 && strcmp(n->op->name, "MappedSum") == 0;
}
bool pass_tile(Run *r) {
    if (!r->o || !r->o->target) return true;
    for (Program *p = r->p; p; p = p->next) {
        bool vectors = r->o->target->vector_bits && (p->target->vector_bits || r->o->precise);
        for (int i = 0; i < p->k.n; i++)
            if ((vectors || is_mapped(p->k.v[i])) && !tile_kernel(r, p->target, p->k.v[i])) return false;
    }
    return true;
}
