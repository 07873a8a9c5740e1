/* SPDX-License-Identifier: Apache-2.0 */
/* program.c: interprets a planned program on a buffer of exactly arena_bytes, so that the plan is tested and not only the
 * nests. Everything but the state starts as 0xFF bytes (a NaN): a value read before it was written shows.
 */
#include "internal.h"
#include <string.h>

typedef struct Memory {
    char *arena;
    const void *const *in;
    void *const *out;
} Memory;

static void *storage(Arena *tmp, const Memory *m, const Tensor *t) {
    if (t->view) t = t->view->base;
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

bool program_interpret(Ctx *c, const Program *p, const void *const *inputs, void *const *outputs) {
    Arena *tmp = arena_new();
    Memory m = {arena_alloc(tmp, (size_t)p->arena_bytes + 64), inputs, outputs};
    m.arena += (64 - ((uintptr_t)m.arena & 63)) & 63;
    memset(m.arena + p->state_bytes, 0xFF, (size_t)(p->arena_bytes - p->state_bytes));
    bool ok = true;
    for (int k = 0; ok && k < p->k.n; k++) {
        const Kernel *kn = p->k.v[k];
        Arena *one = arena_new();
        void **param = NEW_ARRAY(one, void *, kn->arg.n + 1);
        for (int i = 0; i < kn->arg.n; i++) param[i] = kn->arg.v[i] ? storage(one, &m, kn->arg.v[i]) : m.arena + kn->scratch.v[i];
        Ctx kc = {one, c->d};
        ok = interp_run(&kc, kn->f, param, NULL);
        arena_free(one);
    }
    arena_free(tmp);
    return ok;
}
