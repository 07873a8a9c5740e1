/* SPDX-License-Identifier: Apache-2.0 */
/* emitted.c: runs a shared object of emitted C through its generic entry, PREFIX_invoke (DESIGN: the entry points). */
#define _GNU_SOURCE
#include "child.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef int InvokeFn(void *arena, const void *const *in, const int64_t *const *in_dims, void *const *out, int64_t *const *out_dims);
typedef int ThreadsFn(void *arena, int n);

static InvokeFn *invoke;
static void *arena;
static const void *ins[MAX_TENSORS];
static void *outs[MAX_TENSORS];

static void *symbol(void *lib, const char *prefix, const char *name) {
    char s[512];
    snprintf(s, sizeof s, "%s_%s", prefix, name);
    return dlsym(lib, s);
}
static void open_model(Model *m) {
    void *lib = dlopen(m->file, RTLD_NOW | RTLD_LOCAL);
    if (!lib) fail("%s", dlerror());
    void *f = symbol(lib, m->prefix, "invoke"), *t = symbol(lib, m->prefix, "set_threads");
    if (!f) fail("%s: no %s_invoke", m->file, m->prefix);
    memcpy(&invoke, &f, sizeof f);
    arena = memory(m->arena_bytes);
    for (int i = 0; i < m->nin; i++) ins[i] = m->in[i].data;
    for (int i = 0; i < m->nout; i++) outs[i] = m->out[i].data;
    if (m->threads > 1 && t) {
        ThreadsFn *set;
        memcpy(&set, &t, sizeof t);
        int r = set(arena, m->threads);
        if (r) fail("set_threads(%d) returned %d", m->threads, r);
    }
}
static void run(Model *m) {
    (void)m;
    int r = invoke(arena, ins, NULL, outs, NULL);
    if (r) fail("invoke returned %d", r);
}
const Runner runner_emitted = {"emitted", open_model, run};
