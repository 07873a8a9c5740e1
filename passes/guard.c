/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c: what of a program is repeated, and what runs only under a condition. A loop stands between the kernels of LoopBegin and
 * LoopEnd; what there does not depend on its states is moved in front of it. A kernel whose results only one side of a Select reads
 * runs under the Select's condition.
 *
 *   a = conv(x); b = relu(x); y = Select(c, a, b)     --->     if (c) a = conv(x); if (!c) b = relu(x); y = Select(c, a, b)
 */
#include "internal.h"
#include <string.h>

static bool kernel_is(const Kernel *k, const char *op) {
    const OpDef *d = k->nodes.n == 1 ? k->nodes.v[0]->op : NULL;
    return d && d->domain[0] && strcmp(d->domain, "quern") == 0 && strcmp(d->name, op) == 0;
}

/* ---- loops */
static int loop_last(const Program *p, int k) { /* of the loop that begins at k */
    const Tensor *state = p->k.v[k]->nodes.v[0]->out[0];
    for (int j = k + 1; j < p->k.n; j++)
        if (kernel_is(p->k.v[j], "LoopEnd") && p->k.v[j]->nodes.v[0]->in[p->k.v[j]->nodes.v[0]->nin / 2] == state) return j;
    BUG("a loop has no end");
}
static void arrange_loop(Run *r, Program *p, int k, int end) {
    bool *depends = NEW_ARRAY(r->tmp, bool, r->g->tensors.n + 1);
    Kernel **order = NEW_ARRAY(r->tmp, Kernel *, p->k.n + 1);
    bool *in = NEW_ARRAY(r->tmp, bool, p->k.n + 1);
    int n = 0;
    for (int j = k, last; j <= end; j = last + 1) { /* a loop inside is one piece */
        bool repeated = j == k || j == end;
        last = j > k && p->k.v[j]->loop ? loop_last(p, j) : j;
        for (int q = j; q <= last; q++)
            for (int i = 0; i < p->k.v[q]->arg.n && !repeated; i++)
                repeated = p->k.v[q]->arg.v[i] && !p->k.v[q]->f->param.v[i]->written && depends[tensor_base(p->k.v[q]->arg.v[i])->id];
        for (int q = j; q <= last; q++) {
            in[q] = repeated;
            for (int i = 0; i < p->k.v[q]->arg.n && repeated; i++)
                if (p->k.v[q]->arg.v[i] && p->k.v[q]->f->param.v[i]->written) depends[tensor_base(p->k.v[q]->arg.v[i])->id] = true;
        }
    }
    for (int pass = 0; pass < 2; pass++)
        for (int j = k; j <= end; j++)
            if (in[j] == (pass == 1)) order[n++] = p->k.v[j];
    memcpy(p->k.v + k, order, sizeof *order * (size_t)n);
}
static void find_loops(Run *r, Program *p) {
    for (int k = p->k.n - 1; k >= 0; k--) { /* inner ones first */
        if (!kernel_is(p->k.v[k], "LoopBegin")) continue;
        Kernel *begin = p->k.v[k];
        int end = loop_last(p, k);
        begin->loop = begin->nodes.v[0]->out[1];
        p->k.v[end]->loop_end = true;
        arrange_loop(r, p, k, end);
    }
}

/* ---- conditions */
typedef struct Needs { /* of a base tensor: the conditions under which anybody reads it */
    bool any;
    int n;
    Guard *v;
} Needs;
static void meet(Needs *s, const Guard *v, int n) { /* what both have in front */
    if (!s->any) {
        s->any = true, s->n = n, s->v = (Guard *)v;
        return;
    }
    int i = 0;
    while (i < s->n && i < n && s->v[i].cond == v[i].cond && s->v[i].want == v[i].want) i++;
    s->n = i;
}
static void find_guards(Run *r, Program *p) {
    Needs *need = NEW_ARRAY(r->tmp, Needs, r->g->tensors.n + 1);
    int *made = NEW_ARRAY(r->tmp, int, r->g->tensors.n + 1), depth = 0;
    for (int i = 0; i <= r->g->tensors.n; i++) made[i] = -1;
    for (int k = 0; k < p->k.n; k++)
        for (int i = 0; i < p->k.v[k]->arg.n; i++)
            if (p->k.v[k]->arg.v[i] && p->k.v[k]->f->param.v[i]->written) made[tensor_base(p->k.v[k]->arg.v[i])->id] = k;
    for (int k = p->k.n - 1; k >= 0; k--) {
        Kernel *kn = p->k.v[k];
        Needs own = {0};
        bool free = kn->loop || kn->loop_end;
        depth += kn->loop_end;
        for (int i = 0; i < kn->arg.n; i++) {
            Tensor *t = kn->arg.v[i];
            if (!t || !kn->f->param.v[i]->written) continue;
            Tensor *b = tensor_base(t);
            if (t->is_output || t->kept || b->is_output || b->kept || !need[b->id].any) free = true;
            else meet(&own, need[b->id].v, need[b->id].n);
        }
        if (free || depth) own.n = 0;
        while (own.n && made[tensor_base(own.v[own.n - 1].cond)->id] >= k) own.n--; /* not known yet */
        for (int i = 0; i < own.n; i++) vec_push(r->g->a, &kn->guard, own.v[i]);
        bool select = kernel_is(kn, "Select") && !depth;
        const Node *s = kn->nodes.v[0];
        Guard *side[2] = {NULL, NULL};
        for (int w = 0; select && w < 2; w++) {
            side[w] = NEW_ARRAY(r->tmp, Guard, own.n + 1);
            if (own.n) memcpy(side[w], own.v, sizeof(Guard) * (size_t)own.n);
            side[w][own.n] = (Guard){s->in[0], w == 0};
        }
        for (int i = 0; i < kn->arg.n; i++) {
            Tensor *t = kn->arg.v[i];
            if (!t || kn->f->param.v[i]->written) continue;
            bool a = select && tensor_base(s->in[1]) == tensor_base(t), b = select && tensor_base(s->in[2]) == tensor_base(t),
                 c = select && tensor_base(s->in[0]) == tensor_base(t);
            if (a != b && !c) meet(&need[tensor_base(t)->id], side[b], own.n + 1);
            else meet(&need[tensor_base(t)->id], own.v, own.n);
        }
        depth -= kn->loop != NULL;
    }
}
void program_regions(Run *r, Program *p) {
    bool loops = false, selects = false;
    for (int k = 0; k < p->k.n; k++) loops |= kernel_is(p->k.v[k], "LoopBegin"), selects |= kernel_is(p->k.v[k], "Select");
    if (loops) find_loops(r, p);
    if (selects) find_guards(r, p);
}
