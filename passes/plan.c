/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c: where every tensor lives. One arena: the state bytes, then blocks whose lifetimes are ranges of kernels. A block is
 * a base tensor (its views live in it), a chain of tensors each stored in place of the one before, or a kernel's scratch.
 *
 *   k0: a = conv(x)   k1: b = conv(a)   k2: c = conv(b) + a (in place of a)
 *      --->   a, c: one block, kernels 0-2;   b: one block, kernels 1-2;   lower bound = a + b
 */
#include "internal.h"
#include <string.h>

typedef struct Plan {
    Run *r;
    Program *p;
    Vec(Block) block;    /* tensors first, then scratch */
    Vec(int) scratch;    /* per kernel: its block, with several targets */
    Vec(Tensor *) bases; /* with storage in the arena, in order of first use */
    int *of;             /* base tensor id -> block, or -1 */
    int *first, *last;   /* per base tensor id: kernels, first -1: none */
} Plan;

/* Inputs, outputs and constants have places of their own; everything else that a kernel touches goes into the arena. */
static void classify(Plan *q) {
    Graph *g = q->r->g;
    for (int i = 0; i < g->extent.n; i++) { /* set by the entry point: there from the start */
        Tensor *t = g->extent.v[i]->t;
        if (!g->extent.v[i]->input) continue;
        t->store = ST_ARENA, q->first[t->id] = q->last[t->id] = 0;
        vec_push(q->r->tmp, &q->bases, t);
    }
    for (int i = 0; i < g->in.n; i++) {
        Tensor *d = g->in.v[i]->packed ? g->in.v[i]->dims : NULL;
        g->in.v[i]->store = ST_INPUT, g->in.v[i]->addr = i;
        if (!d) continue;
        d->store = ST_ARENA, q->first[d->id] = q->last[d->id] = 0;
        vec_push(q->r->tmp, &q->bases, d);
    }
    for (int i = 0; i < g->out.n; i++) {
        Tensor *t = g->out.v[i];
        if (t->is_input || t->data || t->view) BUG("graph output '%s' has no storage of its own", t->name);
        t->store = ST_OUTPUT, t->addr = i;
    }
    for (int k = 0; k < q->p->k.n; k++) {
        Kernel *kn = q->p->k.v[k];
        for (int i = 0; i < kn->arg.n; i++) {
            if (!kn->arg.v[i]) continue;
            Tensor *t = tensor_base(kn->arg.v[i]);
            if (q->first[t->id] < 0) {
                q->first[t->id] = k;
                if (t->data) {
                    t->store = ST_CONST;
                    vec_push(g->a, &q->p->consts, t);
                } else if (t->store == ST_NONE) {
                    t->store = ST_ARENA;
                    vec_push(q->r->tmp, &q->bases, t);
                }
            }
            q->last[t->id] = k;
        }
    }
    for (int k = 0; k < q->p->k.n; k++) { /* what a loop reads from outside has to be there in each iteration */
        if (!q->p->k.v[k]->loop) continue;
        int end = k, depth = 0;
        for (int j = k; j < q->p->k.n; j++) {
            depth += q->p->k.v[j]->loop != NULL;
            depth -= q->p->k.v[j]->loop_end;
            if (depth == 0) {
                end = j;
                break;
            }
        }
        for (int i = 0; i < q->r->g->tensors.n; i++)
            if (q->first[i] >= 0 && q->first[i] <= k && q->last[i] >= k && q->last[i] < end) q->last[i] = end;
    }
    for (int i = 0; i < g->extent.n; i++) q->last[g->extent.v[i]->t->id] = max_i64(q->p->k.n - 1, 0); /* looked at between kernels */
    for (int i = 0; i < g->out_dims.n; i++)
        if (g->out_dims.v[i]) q->last[g->out_dims.v[i]->id] = q->p->k.n - 1;
}

/* How often a base occurs among a kernel's arguments: an in-place pair must be the only access to either side. */
static int mentions(const Kernel *k, const Tensor *base) {
    int n = 0;
    for (int i = 0; i < k->arg.n; i++) n += k->arg.v[i] && tensor_base(k->arg.v[i]) == base;
    return n;
}
static bool is_pair(const Kernel *k, const Tensor *y, const Tensor *x) {
    for (int i = 0; i + 1 < k->inplace.n; i += 2)
        if (tensor_base(k->arg.v[k->inplace.v[i]]) == y && tensor_base(k->arg.v[k->inplace.v[i + 1]]) == x) return true;
    return false;
}
static bool may_take(const Plan *q, int k, const Kernel *kn, Tensor *y, Tensor *x) {
    for (const Program *p = q->p->next; p; p = p->next)
        if (!is_pair(p->k.v[k], y, x)) return false;
    if (x->store != ST_ARENA || y->store != ST_ARENA || x == y) return false;
    if (q->first[y->id] != k || q->last[x->id] != k || q->first[x->id] == k) return false;
    if (q->block.v[q->of[x->id]].last != k) return false; /* taken already */
    return tensor_bytes(x) == tensor_bytes(y) && mentions(kn, x) == 1 && mentions(kn, y) == 1;
}
static void blocks_of_tensors(Plan *q) {
    Arena *tmp = q->r->tmp;
    int at = 0;
    for (int k = 0; k < q->p->k.n; k++) {
        const Kernel *kn = q->p->k.v[k];
        for (int i = 0; i + 1 < kn->inplace.n; i += 2) {
            Tensor *y = tensor_base(kn->arg.v[kn->inplace.v[i]]), *x = tensor_base(kn->arg.v[kn->inplace.v[i + 1]]);
            if (q->of[y->id] >= 0 || !may_take(q, k, kn, y, x)) continue;
            q->of[y->id] = q->of[x->id];
            q->block.v[q->of[y->id]].last = q->last[y->id];
        }
        for (; at < q->bases.n && q->first[q->bases.v[at]->id] == k; at++) {
            Tensor *t = q->bases.v[at];
            if (q->of[t->id] >= 0) continue;
            q->of[t->id] = q->block.n;
            vec_push(tmp, &q->block, ((Block){align64(tensor_bytes(t)), k, q->last[t->id], 0}));
        }
    }
}

static int64_t scratch_bytes(const Buf *b) {
    int64_t n = 1, bytes;
    for (int i = 0; i < b->rank; i++)
        if (!mul_ok(n, b->dim[i], &n)) BUG("scratch '%s' overflows", b->name);
    if (!dtype_bytes(b->dt, n, &bytes)) BUG("scratch '%s' overflows", b->name);
    return align64(bytes);
}
/* Code for several targets: only one of them runs, so a kernel has one block for all. */
static void shared_scratch(Plan *q) {
    for (int k = 0; k < q->p->k.n; k++) {
        int64_t most = 0;
        for (Program *p = q->p; p; p = p->next) {
            Kernel *kn = p->k.v[k];
            int64_t sum = 0;
            kn->scratch.n = 0;
            for (int i = 0; i < kn->arg.n; i++) {
                vec_push(q->r->g->a, &kn->scratch, kn->arg.v[i] ? -1 : sum); /* within the block for now */
                if (!kn->arg.v[i]) sum += scratch_bytes(kn->f->param.v[i]);
            }
            most = max_i64(most, sum);
        }
        vec_push(q->r->tmp, &q->scratch, q->block.n);
        vec_push(q->r->tmp, &q->block, ((Block){most, k, k, 0}));
        q->p->scratch_bytes = max_i64(q->p->scratch_bytes, most);
    }
}
static void blocks_of_scratch(Plan *q) {
    Graph *g = q->r->g;
    for (int k = 0; k < q->p->k.n; k++) {
        Kernel *kn = q->p->k.v[k];
        int64_t sum = 0;
        kn->scratch.n = 0;
        for (int i = 0; i < kn->arg.n; i++) {
            int64_t bytes = kn->arg.v[i] ? 0 : scratch_bytes(kn->f->param.v[i]);
            vec_push(g->a, &kn->scratch, kn->arg.v[i] ? -1 : (int64_t)q->block.n); /* the block for now, then its address */
            if (!kn->arg.v[i]) vec_push(q->r->tmp, &q->block, ((Block){bytes, k, k, 0}));
            sum += bytes;
        }
        q->p->scratch_bytes = max_i64(q->p->scratch_bytes, sum);
    }
}

static bool place_constants(Plan *q) {
    Program *p = q->p;
    for (int i = 0; i < p->consts.n; i++) {
        p->consts.v[i]->addr = p->weights_bytes;
        if (!add_ok(p->weights_bytes, align64(tensor_bytes(p->consts.v[i])), &p->weights_bytes))
            return diag_error(q->r->c->d, NO_LOC, "the constants together exceed 2^63 bytes; split the model");
    }
    return true;
}

/* The other targets' programs get what is common. */
static bool share_plan(Plan *q) {
    const Program *p = q->p;
    for (Program *o = q->p; p->next && o; o = o->next) {
        Program own = *o;
        *o = *p;
        o->k.v = own.k.v, o->k.n = own.k.n, o->k.cap = own.k.cap, o->target = own.target, o->next = own.next;
        for (int k = 0; k < o->k.n; k++)
            for (int i = 0; i < o->k.v[k]->scratch.n; i++)
                if (o->k.v[k]->scratch.v[i] >= 0) o->k.v[k]->scratch.v[i] += p->state_bytes + q->block.v[q->scratch.v[k]].addr;
    }
    return true;
}
bool pass_plan(Run *r) {
    Program *p = r->p;
    int nt = r->g->tensors.n;
    Plan q = {.r = r,
              .p = p,
              .of = NEW_ARRAY(r->tmp, int, nt + 1),
              .first = NEW_ARRAY(r->tmp, int, nt + 1),
              .last = NEW_ARRAY(r->tmp, int, nt + 1)};
    for (int i = 0; i < nt; i++) q.of[i] = q.first[i] = q.last[i] = -1;
    p->consts.n = 0, p->weights_bytes = 0, p->scratch_bytes = 0, p->macs = 0;
    p->state_bytes = align64(r->o ? r->o->state_bytes : 0);
    classify(&q);
    blocks_of_tensors(&q);
    int64_t total = p->state_bytes;
    if (p->next) shared_scratch(&q);
    else blocks_of_scratch(&q);
    for (int i = 0; i < q.block.n; i++)
        if (!add_ok(total, q.block.v[i].bytes, &total))
            return diag_error(r->c->d, NO_LOC, "the tensors of the model together exceed 2^63 bytes; reduce its extents");
    int64_t bound = pack_bound(r->tmp, q.block.n, q.block.v, p->k.n);
    p->lower_bound = p->state_bytes + bound;
    p->arena_bytes = p->state_bytes + pack_blocks(r->tmp, q.block.n, q.block.v, bound);
    for (int i = 0; i < q.bases.n; i++) q.bases.v[i]->addr = p->state_bytes + q.block.v[q.of[q.bases.v[i]->id]].addr;
    for (int k = 0; k < p->k.n; k++) {
        Kernel *kn = p->k.v[k];
        for (int i = 0; i < kn->scratch.n; i++)
            if (kn->scratch.v[i] >= 0 && !p->next) kn->scratch.v[i] = p->state_bytes + q.block.v[kn->scratch.v[i]].addr;
        if (kn->macs < 0 || !add_ok(p->macs, kn->macs, &p->macs)) p->macs = INT64_MAX;
    }
    return place_constants(&q) && share_plan(&q);
}

/* ---- the table of --dump-after plan */
static const char *const store_name[] = {"none", "input", "output", "weights", "arena"};
static void print_tensor(const Tensor *t, const char *how, Text *out) {
    const Tensor *b = tensor_base(t);
    text_printf(out, "  %-5s %-7s %10lld  %-24s ", how, store_name[b->store], (long long)b->addr, t->name);
    type_print(&t->type, out);
    if (t->view) {
        text_printf(out, " view of %s + %lld, strides", b->name, (long long)t->view->offset);
        for (int i = 0; i < t->type.rank; i++) text_printf(out, "%s%lld", i ? "," : " ", (long long)t->view->stride[i]);
    }
    text_puts(out, "\n");
}
void plan_print(const Program *p, Text *out) {
    text_printf(out, "# arena %lld bytes, lower bound %lld (state %lld), largest scratch %lld, weights %lld, %lld multiply-accumulates\n",
                (long long)p->arena_bytes, (long long)p->lower_bound, (long long)p->state_bytes, (long long)p->scratch_bytes,
                (long long)p->weights_bytes, (long long)p->macs);
    for (int k = 0; k < p->k.n; k++) {
        const Kernel *kn = p->k.v[k];
        text_printf(out, "kernel %d %s\n", k, kn->f->name);
        for (int i = 0; i < kn->arg.n; i++) {
            if (kn->arg.v[i]) print_tensor(kn->arg.v[i], kn->f->param.v[i]->written ? "write" : "read", out);
            else
                text_printf(out, "  scr   arena   %10lld  %s, %lld bytes\n", (long long)kn->scratch.v[i], kn->f->param.v[i]->name,
                            (long long)scratch_bytes(kn->f->param.v[i]));
        }
    }
}
