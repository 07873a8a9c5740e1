/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_mapping.c: quern inspect --mapping: how the loops of each kernel with multiply-adds lie on the target's memories: the mapping
 * that the cost model chose for products and convolutions (passes/blocks.h), of other kernels what is read off the nest as it is compiled.
 * A loop belongs to the innermost level that holds what it and all loops inside it touch; unrolled loops over registers and lanes are at
 * `regs`. A loop's letter says what it runs over: M filters (in weights and output), P positions (in input and output), K what is summed, G
 * in all three, T what the sums themselves do not see: strips and blocks whose operands were copied before. for oc / for oh / for ic /
 * unroll 14 / lanes 16   ->   L2[M4] L1[P14 K64] regs[P14 | M16 lanes] */
#include "explore.h"
#include <stdio.h>
#include <string.h>

enum { MAX_NEST = 40 };
typedef struct Nest { /* the loops around one store, outermost first */
    int n;
    const Stmt *loop[MAX_NEST];
    int64_t extent[MAX_NEST];
} Nest;
typedef struct Found {
    Nest nest;
    const Stmt *store; /* of the sums; NULL: none */
    double steps;      /* how often it runs, lanes counted */
    Expr *const *let;  /* per variable id: what it stands for, or NULL */
} Found;

static int64_t extent_of(const Stmt *s) { /* the most iterations; 1 if that is not known */
    int64_t lo, hi, lo2, hi2;
    if (!expr_bounds(s->u.loop.lo, NULL, &lo, &lo2) || !expr_bounds(s->u.loop.hi, NULL, &hi2, &hi)) {
        const Expr *h = s->u.loop.hi; /* min(F, N - …): the constant side */
        if (h->k == E_BIN && h->op == BIN_MIN && (e_is_int(h->u.a[0], &hi) || e_is_int(h->u.a[1], &hi))) return hi;
        if (h->k == E_BIN && h->op == BIN_ADD && (e_is_int(h->u.a[0], &hi) || e_is_int(h->u.a[1], &hi))) return hi;
        return 1;
    }
    return max_i64(hi - lo, 1);
}
static bool reads(const Expr *e, const Buf *b, Expr *const *let, int depth) {
    switch (e->k) {
    case E_LOAD: return e->u.ld.buf == b;
    case E_VAR: return depth < 4 && let[e->u.v->id] && reads(let[e->u.v->id], b, let, depth + 1);
    case E_UN:
    case E_CAST: return reads(e->u.a[0], b, let, depth);
    case E_BIN: return reads(e->u.a[0], b, let, depth) || reads(e->u.a[1], b, let, depth);
    case E_CALL:
        for (int i = 0; i < e->narg; i++)
            if (reads(e->u.arg[i], b, let, depth)) return true;
        return false;
    default: return false;
    }
}
static bool multiplies(const Expr *e, Expr *const *let, int depth) {
    if (e->k == E_VAR) return depth < 4 && let[e->u.v->id] && multiplies(let[e->u.v->id], let, depth + 1);
    if (e->k == E_CAST || e->k == E_UN) return multiplies(e->u.a[0], let, depth);
    if (e->k == E_CALL) return true; /* fma, dot products */
    if (e->k != E_BIN) return false;
    return e->op == BIN_MUL || multiplies(e->u.a[0], let, depth) || multiplies(e->u.a[1], let, depth);
}
static void look(const Stmt *s, Nest *nest, double steps, Found *best, Expr **let) {
    switch (s->k) {
    case S_FOR:
        if (nest->n == MAX_NEST) return;
        nest->loop[nest->n] = s, nest->extent[nest->n] = extent_of(s), nest->n++;
        look(s->u.loop.body, nest, steps * (double)nest->extent[nest->n - 1], best, let);
        nest->n--;
        return;
    case S_IF:
        look(s->u.cond.then, nest, steps, best, let);
        if (s->u.cond.other) look(s->u.cond.other, nest, steps, best, let);
        return;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) look(s->u.block.v[i], nest, steps, best, let);
        return;
    case S_LET: let[s->u.let.v->id] = s->u.let.val; return;
    case S_STORE: {
        bool sum = (s->u.st.red == RED_ADD || (s->u.st.red == RED_NONE && reads(s->u.st.val, s->u.st.buf, let, 0))) &&
                   multiplies(s->u.st.val, let, 0);
        if (sum && steps > best->steps) best->nest = *nest, best->store = s, best->steps = steps;
        return;
    }
    default: return;
    }
}

/* ---- what the loops touch */
typedef struct Touch { /* one load or the store */
    const Buf *buf;
    Expr *const *index;
} Touch;
typedef struct Touches {
    int n;
    Touch v[8];
} Touches;
static void collect(const Expr *e, Expr *const *let, Touches *t, int depth) {
    switch (e->k) {
    case E_LOAD:
        for (int i = 0; i < t->n; i++)
            if (t->v[i].buf == e->u.ld.buf) return;
        if (t->n < 8) t->v[t->n++] = (Touch){e->u.ld.buf, e->u.ld.idx};
        return;
    case E_VAR:
        if (depth < 4 && let[e->u.v->id]) collect(let[e->u.v->id], let, t, depth + 1);
        return;
    case E_UN:
    case E_CAST: collect(e->u.a[0], let, t, depth); return;
    case E_BIN: collect(e->u.a[0], let, t, depth), collect(e->u.a[1], let, t, depth); return;
    case E_SELECT:
        for (int i = 1; i < 3; i++) collect(e->u.a[i], let, t, depth);
        return;
    case E_CALL:
        for (int i = 0; i < e->narg; i++) collect(e->u.arg[i], let, t, depth);
        return;
    default: return;
    }
}
static bool depends(const Expr *e, const Var *v, Expr *const *let, int depth) {
    switch (e->k) {
    case E_VAR: return e->u.v == v || (depth < 6 && let[e->u.v->id] && depends(let[e->u.v->id], v, let, depth + 1));
    case E_UN:
    case E_CAST: return depends(e->u.a[0], v, let, depth);
    case E_BIN: return depends(e->u.a[0], v, let, depth) || depends(e->u.a[1], v, let, depth);
    case E_SELECT:
        for (int i = 0; i < 3; i++)
            if (depends(e->u.a[i], v, let, depth)) return true;
        return false;
    default: return false;
    }
}
static bool moves(const Touch *t, const Var *v, Expr *const *let) {
    for (int d = 0; d < t->buf->rank; d++)
        if (depends(t->index[d], v, let, 0)) return true;
    return false;
}
/* Elements that the loops from `from` inwards touch: along each axis at most as many as its loops have combinations or the axis has. */
static double elements(const Touch *t, const Nest *n, int from, Expr *const *let) {
    double all = 1;
    for (int d = 0; d < t->buf->rank; d++) {
        double axis = 1;
        for (int i = from; i < n->n; i++)
            if (depends(t->index[d], n->loop[i]->u.loop.v, let, 0)) axis *= (double)n->extent[i];
        all *= axis < (double)t->buf->dim[d] ? axis : (double)t->buf->dim[d];
    }
    return all;
}

/* ---- letters: the output is what the kernel writes; weights are constants */
static bool is_weights(const Kernel *k, const Buf *b) {
    for (int i = 0; i < k->f->param.n; i++)
        if (k->f->param.v[i] == b) {
            const Tensor *t = tensor_base(k->arg.v[i]);
            return t && t->data;
        }
    return false;
}
/* Do the sums begin anew somewhere inside? Then the loop around is not one that they are summed over. */
static bool begins(const Stmt *s, const Found *f) {
    switch (s->k) {
    case S_FOR: return begins(s->u.loop.body, f);
    case S_IF: return begins(s->u.cond.then, f) || (s->u.cond.other && begins(s->u.cond.other, f));
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++)
            if (begins(s->u.block.v[i], f)) return true;
        return false;
    case S_STORE: return s->u.st.buf == f->store->u.st.buf && s->u.st.red == RED_NONE && !reads(s->u.st.val, s->u.st.buf, f->let, 0);
    default: return false;
    }
}
static char letter(const Kernel *k, const Found *f, const Touches *t, int loop) {
    const Var *v = f->nest.loop[loop]->u.loop.v;
    bool o = moves(&(Touch){f->store->u.st.buf, f->store->u.st.idx}, v, f->let), w = false, in = false;
    for (int i = 0; i < t->n; i++) {
        if (t->v[i].buf == f->store->u.st.buf) continue;
        bool m = moves(&t->v[i], v, f->let);
        if (is_weights(k, t->v[i].buf) || (!w && i == t->n - 1 && t->n > 2)) w |= m;
        else in |= m;
    }
    if (!w && !in) return o ? 'P' : 'T';
    if (w && in) return o || begins(f->nest.loop[loop], f) ? 'G' : 'K';
    return w ? 'M' : 'P';
}
static void put_level(Text *out, const Kernel *k, const Found *f, const Touches *t, const int *level, int l) {
    bool first = true;
    for (int spread = 0; spread < 2; spread++) {
        bool bar = false;
        for (int i = 0; i < f->nest.n; i++) {
            LoopMode mode = f->nest.loop[i]->u.loop.mode;
            if (level[i] != l || f->nest.extent[i] < 2 || (mode == LOOP_VEC || mode == LOOP_PAR) != (spread == 1)) continue;
            text_printf(out, "%s%c%lld%s",
                        spread && !bar ? first ? "| " : " | "
                        : first        ? ""
                                       : " ",
                        letter(k, f, t, i), (long long)f->nest.extent[i],
                        mode == LOOP_VEC   ? " lanes"
                        : mode == LOOP_PAR ? " cores"
                                           : "");
            first = false, bar |= spread;
        }
    }
}
static void kernel_mapping(const Kernel *k, const Target *t, const Found *f, Text *out) {
    Touches touches = {0};
    int level[MAX_NEST], inner = t->nlevel - 1;
    collect(f->store->u.st.val, f->let, &touches, 0);
    bool own = false;
    for (int i = 0; i < touches.n; i++) own |= touches.v[i].buf == f->store->u.st.buf;
    if (!own && touches.n < 8) touches.v[touches.n++] = (Touch){f->store->u.st.buf, f->store->u.st.idx};
    for (int i = f->nest.n - 1; i >= 0; i--) {
        LoopMode mode = f->nest.loop[i]->u.loop.mode;
        double bytes = 0;
        for (int b = 0; b < touches.n; b++)
            bytes += elements(&touches.v[b], &f->nest, i, f->let) * dtype_info[touches.v[b].buf->dt].bits / 8;
        bool regs = t->level[t->nlevel - 1].kind == LEVEL_REGS && (mode == LOOP_VEC || mode == LOOP_UNROLL) && inner == t->nlevel - 1;
        while (!regs && inner > 0 &&
               ((t->level[inner].kind == LEVEL_REGS) ||
                (t->level[inner].words && bytes > (double)t->level[inner].words * t->level[inner].word_bits / 8)))
            inner--;
        level[i] = inner;
    }
    for (int l = 0; l < t->nlevel; l++) {
        text_printf(out, "%s%s[", l ? " " : "", t->level[l].name);
        put_level(out, k, f, &touches, level, l);
        text_puts(out, "]");
    }
}
int inspect_mapping(Ctx *c, Options *o) {
    Program *p = model_build(c, o, o->model);
    if (!p) return EXIT_REFUSED;
    const Target *t = p->target ? p->target : o->machine;
    json_t *list = json_array();
    for (int i = 0; i < p->k.n; i++) {
        const Kernel *k = p->k.v[i];
        Expr **let = NEW_ARRAY(c->a, Expr *, k->f->nvar + 1);
        Found f = {.let = let};
        Nest nest = {0};
        if (k->macs <= 0) continue;
        look(k->f->body, &nest, 1, &f, let);
        Text line = {0};
        const Node *chosen = NULL; /* by the cost model: passes/blocks.h */
        for (int n = 0; n < k->nodes.n && t == o->pass.target; n++)
            if (k->nodes.v[n]->mapped) chosen = k->nodes.v[n];
        if (chosen) text_puts(&line, chosen->mapped);
        else if (f.store) kernel_mapping(k, t, &f, &line);
        if (o->json)
            json_array_append_new(list, json_pack("{s:s, s:I, s:s?, s:s, s:s?}", "kernel", k->f->name, "macs", (json_int_t)k->macs,
                                                  "mapping", line.s, "target", t->name, "layer", chosen ? chosen->layer : NULL));
        else printf("%-32.32s %14lld MACs  %s\n", k->f->name, (long long)k->macs, line.s ? line.s : "(a call)");
        text_free(&line);
    }
    if (o->json) json_dumpf(list, stdout, JSON_INDENT(1)), puts("");
    json_decref(list);
    return EXIT_DONE;
}
