/* SPDX-License-Identifier: Apache-2.0 */
/* mapped.c: one contraction with its mapping as a program of one kernel, ready to be printed or interpreted. Inputs are the
 * problem's tensors but for the output, in its order; all are float32.
 *
 *   conv1 with DRAM[…] GLB[…]   --->   graph conv1(W, I) -> (O), one kernel: the mapping's nest */
#include "internal.h"
#include "ir/mapping_nest.h"

Program *mapping_program(Ctx *c, Loc loc, const Mapping *m, bool trace, const PassOptions *o) {
    const Problem *p = m->problem;
    const char *id = kernel_name(c->a, map_new(c->a), p->name, "layer");
    Func *f = trace ? mapping_trace(c, loc, m, id) : mapping_nest(c, m, id);
    if (!f) return NULL;
    if (o->verify && !func_verify(c, f)) {
        diag_print_all(c->d, false);
        BUG("the nest of mapping '%s' does not verify", p->name);
    }
    Graph *g = graph_new(c->a, id);
    Program *r = NEW(c->a, Program);
    Kernel *k = NEW(c->a, Kernel);
    r->g = g, r->target = o->target, k->f = f, k->macs = problem_macs(p);
    for (int i = 0; i < f->param.n; i++) vec_push(c->a, &k->arg, NULL);
    for (int t = 0; t < p->ntensor; t++) {
        const Buf *b = f->param.v[t];
        Tensor *x = k->arg.v[t] = tensor_new(g, p->tensor[t].name, b->dt, b->rank, b->dim);
        x->is_output = p->tensor[t].role == ROLE_O, x->is_input = !x->is_output;
        if (x->is_output) vec_push(c->a, &g->out, x);
        else vec_push(c->a, &g->in, x);
    }
    vec_push(c->a, &r->k, k);
    Run run = {.c = c, .g = g, .p = r, .o = o, .tmp = c->a};
    return pass_plan(&run) ? r : NULL;
}
