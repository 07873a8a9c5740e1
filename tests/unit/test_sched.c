/* SPDX-License-Identifier: Apache-2.0 */
/* test_sched.c: schedules. Each step on a small nest gives the nest written here or is refused with the reason written here;
 * thousands of random schedules of small nests leave their results as they are, bit by bit, also when the iterations of
 * parallel and vector loops run backwards; a scheduled matrix product prints as a kernel with named vector accumulators. */
#include "codegen/codegen.h"
#include "ir/sched.h"
#include "case.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The printed statements, without the signature and the list of steps. */
static const char *body_of(Case *t, const Func *f) {
    const char *s = strchr(case_print(t, f), '\n') + 1;
    while (strncmp(s, "  # schedule: ", 14) == 0) s = strchr(s, '\n') + 1;
    return s;
}

/* ---- small nests */
enum {
    GEMM,
    GEMM_LOCAL,
    CONV,
    CONV_PAD,
    DEPTHWISE,
    POOL,
    TRANSPOSE,
    SOFTMAX,
    CHAIN,
    BLUR,
    ROWSUM,
    PREFIX,
    SKEWED,
    TRIANGLE,
    GATHER,
    HISTOGRAM,
    SHIFTS,
    GUARDED,
    BROADCAST,
    HALVES
};
static const char *const nests[] = {
    [GEMM] = "func gemm(A: float32[13,7], B: float32[7,18]) -> writes C: float32[13,18]\n"
             "  for m0 in 0..13\n    for n0 in 0..18\n      C[m0, n0] = 0.0\n"
             "  for m in 0..13\n    for n in 0..18\n      for k in 0..7\n        C[m, n] += A[m, k] * B[k, n]\n",
    [GEMM_LOCAL] = "func gemm(A: float32[12,8], B: float32[8,16], b: float32[16]) -> writes C: float32[12,16]\n"
                   "  for m in 0..12\n    for n in 0..16\n      alloc acc: reg float32\n      acc[] = 0.0\n"
                   "      for k in 0..8\n        acc[] += A[m, k] * B[k, n]\n      C[m, n] = max(acc[] + b[n], 0.0)\n",
    [CONV] = "func conv(x: float32[3,11,11], w: float32[4,3,3,3]) -> writes y: float32[4,5,5]\n"
             "  for c in 0..4\n    for h in 0..5\n      for v in 0..5\n        y[c, h, v] = 1.0\n        for i in 0..3\n          for r in "
             "0..3\n"
             "            for s in 0..3\n              y[c, h, v] += x[i, h * 2 + r, v * 2 + s] * w[c, i, r, s]\n",
    [CONV_PAD] =
        "func conv(x: int8[2,6,7], w: int8[3,2,3,3]) -> writes y: int32[3,6,7]\n"
        "  for c in 0..3\n    for h in 0..6\n      for v in 0..7\n        alloc acc: reg int32\n        acc[] = 0\n        for i in 0..2\n"
        "          for r in max(0, 1 - h)..min(3, 7 - h)\n            for s in max(0, 1 - v)..min(3, 8 - v)\n"
        "              acc[] += int32(x[i, h + r - 1, v + s - 1]) * int32(w[c, i, r, s])\n        y[c, h, v] = acc[]\n",
    [DEPTHWISE] = "func dw(x: float32[4,8,8], w: float32[4,3,3]) -> writes y: float32[4,8,8]\n"
                  "  for c in 0..4\n    for h in 0..8\n      for v in 0..8\n        y[c, h, v] = 0.0\n"
                  "  for c in 0..4\n    for h in 0..8\n      for v in 0..8\n        for r in 0..3\n          for s in 0..3\n"
                  "            y[c, h, v] += select(0 <= h + r - 1 && h + r - 1 < 8 && 0 <= v + s - 1 && v + s - 1 < 8, x[c, h + r - 1, v "
                  "+ s - 1], 0.0) * "
                  "w[c, r, s]\n",
    [POOL] = "func pool(x: uint8[3,9,9]) -> writes y: uint8[3,4,4]\n"
             "  for c in 0..3\n    for h in 0..4\n      for v in 0..4\n        y[c, h, v] = 0:uint8\n        for r in 0..3\n          for "
             "s in 0..3\n"
             "            y[c, h, v] max= x[c, h * 2 + r, v * 2 + s]\n",
    [TRANSPOSE] =
        "func transpose(x: float32[9,14]) -> writes y: float32[14,9]\n  for i in 0..14\n    for j in 0..9\n      y[i, j] = x[j, i]\n",
    [SOFTMAX] =
        "func softmax(x: float32[6,20], scratch e: float32[6,20]) -> writes y: float32[6,20]\n"
        "  for i in 0..6\n    alloc top: stack float32\n    alloc sum: stack float32\n    top[] = -1000.0\n    sum[] = 0.0\n"
        "    for j in 0..20\n      top[] max= x[i, j]\n    for j in 0..20\n      e[i, j] = top[] - x[i, j]\n      sum[] += e[i, j]\n"
        "    for j in 0..20\n      y[i, j] = e[i, j] * 2.0 + sum[]\n",
    [CHAIN] = "func chain(x: float32[12,10], b: float32[10]) -> writes y: float32[12,10]\n  alloc t: stack float32[12,10]\n"
              "  alloc u: stack float16[12,10]\n  for i in 0..12\n    for j in 0..10\n      t[i, j] = x[i, j] + b[j]\n"
              "  for i in 0..12\n    for j in 0..10\n      u[i, j] = t[i, j] * 3.0\n"
              "  for i in 0..12\n    for j in 0..10\n      y[i, j] = u[i, j] - t[i, j]\n",
    [BLUR] = "func blur(x: int32[18,12]) -> writes y: int32[14,12]\n  alloc t: stack int32[18,12]\n"
             "  for i in 0..18\n    for j in 0..12\n      t[i, j] = 0\n  for i in 0..18\n    for j in 0..12\n      for k in 0..3\n"
             "        t[i, j] += x[i, max(0, min(j + k - 1, 11))]\n"
             "  for i in 0..14\n    for j in 0..12\n      y[i, j] = t[i, j] + t[i + 2, j] * 2 + t[i + 4, j]\n",
    [ROWSUM] = "func rowsum(x: int16[15,21]) -> writes y: int64[15], writes z: int64\n  z[] = 0\n"
               "  for i in 0..15\n    for j in 0..21\n      y[i] = y[i] + int64(x[i, j])\n  for i in 0..15\n    z[] = z[] ^ y[i]\n",
    [PREFIX] = "func prefix(x: float32[8,16]) -> writes y: float32[8,16]\n"
               "  for i in 0..8\n    y[i, 0] = x[i, 0]\n  for i in 0..8\n    for j in 1..16\n      y[i, j] = y[i, j - 1] + x[i, j]\n",
    [SKEWED] = "func skewed(x: float32[10,10]) -> writes y: float32[11,11]\n  for i in 1..11\n    for j in 0..10\n      y[i, j] = y[i - 1, "
               "j + 1] + x[i - 1, j]\n",
    [TRIANGLE] = "func triangle(a: float32[14,14], x: float32[14]) -> writes y: float32[14]\n"
                 "  for i in 0..14\n    for j in 0..i + 1\n      y[i] += a[i, j] * x[j]\n",
    [GATHER] = "func gather(x: float32[9,6], p: int64[12]) -> writes y: float32[12,6]\n"
               "  for i in 0..12\n    let q: int64 = max(0, min(p[i] + 3, 8))\n    let s: int64 = i * 1\n    for j in 0..6\n      y[s, j] "
               "= x[q, j]\n",
    [HISTOGRAM] = "func histogram(p: int64[40]) -> writes h: int32[8]\n  for i in 0..40\n    h[max(0, min(p[i] + 3, 7))] += 1\n",
    [SHIFTS] = "func shifts() -> writes a: int32[32], writes b: int32[32]\n  for i in 0..8\n    a[i] = a[i + 8]\n"
               "  for i in 0..16\n    b[i * 2] = b[i * 2 + 1]\n  for i in 0..16\n    a[i] = a[i + 1] + b[31 - i]\n",
    [GUARDED] = "func guarded(x: float32[10,10], m: float32[10]) -> writes y: float32[10,10]\n"
                "  for i in 0..10\n    for j in 0..10\n      if m[i] < 1.0 && j < 8\n        y[i, j] = x[i, j + 2]\n      else\n        "
                "y[i, j] += x[j, i]\n",
    [BROADCAST] = "func broadcast(x: float32[5,1,7], s: float32) -> writes y: float32[5,6,7]\n  alloc t: stack float32[1,7]\n"
                  "  for i in 0..5\n    for k in 0..7\n      t[0, k] = x[i, 0, k] * s[]\n    for j in 0..6\n      for k in 0..7\n        "
                  "y[i, j, k] = t[0, k]\n",
    [HALVES] =
        "func halves(x: float32[24]) -> writes y: float32[24]\n  for f in 0..24\n    y[f / 6 * 6 + f % 6] = x[f / 4 + f % 4] + x[f]\n",
};
enum { NESTS = sizeof nests / sizeof *nests };

/* ---- running */
static uint64_t rnd_state;
static int rnd(int n) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return (int)((rnd_state >> 16) % (uint64_t)n);
}
static int64_t elements(const Buf *b) {
    int64_t n = 1;
    for (int d = 0; d < b->rank; d++) n *= b->dim[d];
    return n;
}
/* Values from -3 to 3: sums and products of them are exact in any order. Scratch starts with rubbish. */
static void **make_data(Case *t, const Func *f) {
    void **p = NEW_ARRAY(t->a, void *, f->param.n);
    rnd_state = 88172645463325252u;
    for (int i = 0; i < f->param.n; i++) {
        const Buf *b = f->param.v[i];
        int64_t bytes = 0, n = elements(b);
        ck_assert(dtype_bytes(b->dt, n, &bytes));
        p[i] = arena_alloc(t->a, (size_t)bytes);
        if (b->space == MEM_SCRATCH) memset(p[i], 0x55, (size_t)bytes);
        else
            for (int64_t k = 0; k < n; k++) dtype_set_f(b->dt, p[i], k, rnd(7) - 3);
    }
    return p;
}
static void **run(Case *t, const Func *f) {
    void **p = make_data(t, f);
    ck_assert_msg(interp_run(&t->c, f, p, NULL), "%s\n%s", case_said(t), case_print(t, f));
    return p;
}
static const char *difference(const Func *f, void **want, const Func *g, void **got) {
    for (int i = 0, k = 0; i < f->param.n; i++) { /* scratch comes and goes */
        int64_t bytes = 0;
        const Buf *b = f->param.v[i];
        if (b->space == MEM_SCRATCH) continue;
        while (g->param.v[k]->space == MEM_SCRATCH) k++;
        dtype_bytes(b->dt, elements(b), &bytes);
        if (memcmp(want[i], got[k++], (size_t)bytes)) return b->name;
    }
    return NULL;
}
/* Iterations that may run at once, run backwards: if they are independent, nothing changes. */
static void run_backwards(Arena *a, Stmt *s) {
    if (s->k == S_BLOCK)
        for (int i = 0; i < s->u.block.n; i++) run_backwards(a, s->u.block.v[i]);
    if (s->k == S_IF) {
        run_backwards(a, s->u.cond.then);
        if (s->u.cond.other) run_backwards(a, s->u.cond.other);
    }
    if (s->k != S_FOR) return;
    if (s->u.loop.mode == LOOP_PAR || s->u.loop.mode == LOOP_VEC) {
        Expr *last = e_sub(a, e_add(a, s->u.loop.lo, s->u.loop.hi), e_int(a, 1));
        stmt_subst(a, s->u.loop.body, s->u.loop.v, e_sub(a, last, e_var(a, s->u.loop.v)));
    }
    run_backwards(a, s->u.loop.body);
}
static void check_same(Case *t, const char *text, const Func *f, const char *what) {
    t->d.errors = t->d.list.n = 0; /* of refused steps */
    Func *naive = case_parse(t, text);
    void **want = run(t, naive);
    ck_assert_msg(func_verify(&t->c, f), "%s: %s\n%s", what, case_said(t), case_print(t, f));
    const char *b = difference(naive, want, f, run(t, f));
    ck_assert_msg(!b, "%s: buffer '%s' differs\n%s", what, b ? b : "", case_print(t, f));
    Func *back = func_copy(t->a, f);
    run_backwards(t->a, back->body);
    b = difference(naive, want, back, run(t, back));
    ck_assert_msg(!b, "%s: buffer '%s' differs when run backwards\n%s", what, b ? b : "", case_print(t, f));
}

/* ---- random schedules */
typedef struct Names {
    const char *loop[400], *buf[60], *local[60];
    Stmt *at[400];
    int nloop, nbuf, nlocal;
} Names;
static void list_names(Stmt *s, Names *n) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) list_names(s->u.block.v[i], n);
        break;
    case S_FOR:
        if (n->nloop < 400) n->at[n->nloop] = s, n->loop[n->nloop++] = s->u.loop.v->name;
        list_names(s->u.loop.body, n);
        break;
    case S_IF:
        list_names(s->u.cond.then, n);
        if (s->u.cond.other) list_names(s->u.cond.other, n);
        break;
    case S_ALLOC:
        if (n->nlocal < 60) n->local[n->nlocal++] = s->u.alloc->name;
        break;
    default: break;
    }
}
static const char *loops_below(Case *t, const Names *n, int at) { /* that loop and those straight below it, in random order */
    const char *chain[8];
    int k = 0, want = 2 + rnd(4);
    for (Stmt *s = n->at[at]; k < want && s;
         s = s->u.loop.body->u.block.n == 1 && s->u.loop.body->u.block.v[0]->k == S_FOR ? s->u.loop.body->u.block.v[0] : NULL)
        chain[k++] = s->u.loop.v->name;
    for (int i = k - 1; i > 0; i--) {
        int j = rnd(i + 1);
        const char *x = chain[i];
        chain[i] = chain[j], chain[j] = x;
    }
    const char *r = "reorder";
    for (int i = 0; i < k; i++) r = arena_printf(t->a, "%s %s", r, chain[i]);
    return r;
}
static const char *random_stage(Case *t, const Names *n, const char *loop, int serial) {
    static const char *const space[] = {"reg", "stack", "scratch", "pad", "stack"};
    const char *s = arena_printf(t->a, "stage %s %s s%d %s", n->buf[rnd(n->nbuf)], loop, serial, space[rnd(5)]);
    if (rnd(3) == 0) s = arena_printf(t->a, "%s tile %d:%d", s, rnd(2), 1 + rnd(6));
    if (rnd(5) == 0) s = arena_printf(t->a, "%s order %s", s, (const char *const[]){"1 0", "0", "2 0 1", "1 2 0"}[rnd(4)]);
    return s;
}
static const char *random_step(Case *t, const Func *f, int serial) {
    Names n = {0};
    list_names(f->body, &n);
    for (int i = 0; i < n.nlocal; i++) n.buf[n.nbuf++] = n.local[i];
    for (int i = 0; i < f->param.n && n.nbuf < 60; i++) {
        n.buf[n.nbuf++] = f->param.v[i]->name;
        if (f->param.v[i]->space == MEM_SCRATCH && n.nlocal < 60) n.local[n.nlocal++] = f->param.v[i]->name;
    }
    if (!n.nloop) return "unroll none";
    int at = rnd(n.nloop);
    const char *v = n.loop[at], *temp = n.nlocal ? n.local[rnd(n.nlocal)] : "none";
    const Stmt *below = n.at[at]->u.loop.body->u.block.n ? n.at[at]->u.loop.body->u.block.v[0] : NULL;
    switch (rnd(17)) {
    case 0:
    case 1:
    case 2: return arena_printf(t->a, "split %s %d o%d i%d", v, 1 + rnd(8), serial, serial);
    case 3:
    case 4:
    case 5: return loops_below(t, &n, at);
    case 6: return arena_printf(t->a, "fuse %s %s f%d", v, below && below->k == S_FOR ? below->u.loop.v->name : "none", serial);
    case 7: return rnd(3) ? arena_printf(t->a, "peel %s", v) : arena_printf(t->a, "peel %s %d", v, rnd(7) - 3);
    case 8: return arena_printf(t->a, "%s %s", rnd(2) ? "unroll" : "vectorise", v);
    case 9: return arena_printf(t->a, "parallelise %s", v);
    case 10:
    case 11:
    case 12: return random_stage(t, &n, v, serial);
    case 13: return arena_printf(t->a, "inline %s", temp);
    case 14:
    case 15: return arena_printf(t->a, "compute_at %s %s", temp, v);
    default: return arena_printf(t->a, "prefetch %s %s %d", n.buf[rnd(n.nbuf)], v, 1 + rnd(4));
    }
}
enum { SCHEDULES = 500 }; /* per nest: 10,000 in all. SCHED_COUNT: another number; SCHED_SEED: that one alone */
static void random_schedule(int nest, int seed, Map *applied) {
    Case t;
    case_open(&t);
    Func *f = case_parse(&t, nests[nest]);
    rnd_state = 0x9E3779B97F4A7C15u * (uint64_t)(seed * NESTS + nest + 1);
    const char *steps = "";
    int wanted = 1 + rnd(8), done = 0;
    for (int i = 0; i < 40 && done < wanted; i++) {
        const char *step = random_step(&t, f, i), *before = i % 16 == 0 ? case_print(&t, f) : NULL;
        if (sched_apply(&t.c, f, step)) {
            steps = arena_printf(t.a, "%s%s\n", steps, step), done++;
            const char *verb = arena_strndup(t.a, step, strcspn(step, " "));
            for (int k = 0; k < map_count(applied); k++)
                if (strcmp(map_key(applied, k), verb) == 0) ++*(int *)map_value(applied, k);
        } else if (before) {
            ck_assert_msg(strcmp(before, case_print(&t, f)) == 0, "nest %d, seed %d: the refused step '%s' changed the nest", nest, seed,
                          step);
        }
    }
    check_same(&t, nests[nest], f, arena_printf(t.a, "nest %d, seed %d, steps:\n%s", nest, seed, steps));
    case_close(&t);
}
START_TEST(test_random) {
    static const char *const verbs[] = {"split",       "reorder", "fuse",   "peel",       "unroll",  "vectorise",
                                        "parallelise", "stage",   "inline", "compute_at", "prefetch"};
    Arena *a = arena_new();
    Map *applied = map_new(a);
    const char *only = getenv("SCHED_SEED"), *more = getenv("SCHED_COUNT");
    int count = more ? atoi(more) : SCHEDULES;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) map_set(applied, verbs[i], NEW(a, int));
    for (int seed = 0; seed < count; seed++)
        if (!only || atoi(only) == seed) random_schedule(_i, seed, applied);
    if (getenv("SCHED_STATS"))
        for (int i = 0; i < map_count(applied); i++) printf("%d %s %d\n", _i, map_key(applied, i), *(int *)map_value(applied, i));
    arena_free(a);
}
END_TEST

/* ---- one step after the other: what they give, or why not */
#define VEC20 "func f(x: float32[20]) -> writes y: float32[20]\n  for i in 0..20\n    y[i] = x[i] * 2.0\n"
#define MATMUL                                                                                                                             \
    "func f(A: float32[6,8], B: float32[8,4]) -> writes C: float32[6,4]\n  for m in 0..6\n    for n in 0..4\n      C[m, n] = 0.0\n"        \
    "  for m in 0..6\n    for n in 0..4\n      for k in 0..8\n        C[m, n] += A[m, k] * B[k, n]\n"
#define MATMUL_INIT "  for m in 0..6\n    for n in 0..4\n      C[m, n] = 0.0\n"
#define ROWS        "func f(x: float32[8,8]) -> writes y: float32[8]\n  for i in 0..8\n    y[i] = 0.0\n    for j in 0..8\n      y[i] += x[i, j]\n"
#define STENCIL     "func f(x: float32[20]) -> writes y: float32[18]\n  for i in 0..18\n    y[i] = x[i] + x[i + 1] + x[i + 2]\n"
#define TEMP                                                                                                                               \
    "func f(x: float32[18]) -> writes y: float32[16]\n  alloc t: stack float16[18]\n  for i in 0..18\n    t[i] = x[i] * 2.0\n"             \
    "  for j in 0..16\n    y[j] = t[j] + t[j + 2]\n"
#define SCRATCH                                                                                                                            \
    "func f(x: float32[18], scratch t: float32[18]) -> writes y: float32[16]\n  for i in 0..18\n    t[i] = x[i] * 2.0\n"                   \
    "  for j in 0..16\n    y[j] = t[j] + t[j + 2]\n"
static const struct Row {
    const char *from, *steps, *to; /* `to`: the statements; or, if it starts with '!', a part of the message */
} rows[] = {
    /* split */
    {VEC20, "split i 4 io ii", "  for io in 0..5\n    for ii in 0..4\n      y[io * 4 + ii] = x[io * 4 + ii] * 2.0\n"},
    {VEC20, "split i 8 i ii # the outer loop keeps the name",
     "  for i in 0..3\n    for ii in 0..min(8, 20 - i * 8)\n      y[i * 8 + ii] = x[i * 8 + ii] * 2.0\n"},
    {VEC20, "split i 0 io ii", "!the factor is '0', expected a whole number from 1"},
    {VEC20, "split i 4x io ii", "!the factor is '4x'"},
    {VEC20, "split j 4 io ii", "!there is no loop 'j'; the loops are i"},
    {VEC20, "split i 4 x ii", "!the name 'x' is taken"},
    {VEC20, "split i 4 io io", "!both loops would be called 'io'"},
    {VEC20, "split i 4 i.o ii", "!'i.o' cannot be a name"},
    {VEC20, "split i 4 max ii", "!'max' is a word of the loop IR"},
    {VEC20, "split i 4 io", "!found 3 arguments, expected 'split LOOP FACTOR OUTER INNER'"},
    {VEC20, "tile i 4", "!there is no step 'tile'; the steps are split, reorder,"},
    /* reorder */
    {MATMUL, "reorder k m_2 n_2",
     MATMUL_INIT "  for k in 0..8\n    for m_2 in 0..6\n      for n_2 in 0..4\n        C[m_2, n_2] += A[m_2, k] * B[k, n_2]\n"},
    {MATMUL, "reorder n m_2", "!the loop 'n' does not stand inside 'm_2'"},
    {MATMUL, "reorder k m_2", "!the loop 'n_2' stands inside 'm_2' and is not named"},
    {ROWS, "reorder j i", "!the body of the loop 'i' is more than one loop, expected nothing but the next named loop in it"},
    {MATMUL, "reorder m m", "!the loop 'm' is named twice"},
    {VEC20, "split i 8 io ii\nreorder ii io", "!the bounds of 'ii' depend on 'io'"},
    {"func f(x: float32[9,9]) -> writes y: float32[10,10]\n  for i in 1..10\n    for j in 0..9\n      y[i, j] = y[i - 1, j] + y[i - 1, j + "
     "1]\n",
     "reorder j i", "!iterations that depend on each other through buffer 'y' would change their order"},
    {"func f(x: float32[9,9]) -> writes y: float32[10,10]\n  for i in 1..10\n    for j in 0..9\n      y[i, j] = y[i - 1, j] + x[i - 1, "
     "j]\n",
     "reorder j i\nvectorise j\nreorder i j", "  for i in 1..10\n    for j in 0..9 vec\n      y[i, j] = y[i - 1, j] + x[i - 1, j]\n"},
    /* fuse */
    {MATMUL, "fuse m_2 n_2 mn\nfuse mn k f",
     MATMUL_INIT "  for f in 0..192\n    C[f / 32, f / 8 % 4] += A[f / 32, f % 8] * B[f % 8, f / 8 % 4]\n"},
    {MATMUL, "fuse m_2 n_2 mn\nparallelise mn\nreorder k mn",
     MATMUL_INIT "  for k in 0..8\n    for mn in 0..24 par\n      C[mn / 4, mn % 4] += A[mn / 4, k] * B[k, mn % 4]\n"},
    {MATMUL, "fuse n_2 k nk\nparallelise nk", "!two iterations of 'nk' may meet at an element of buffer 'C'"},
    {MATMUL, "fuse m k mk", "!the body of 'm' is the loop n, expected nothing but the loop 'k'"},
    {VEC20, "split i 8 io ii\nfuse io ii i", "!the bounds of 'io' and 'ii' are not both constant"},
    {VEC20, "split i 5 io ii\nfuse io ii i", "  for i in 0..20\n    y[i] = x[i] * 2.0\n"},
    /* peel */
    {VEC20, "peel i 3", "  for i in 0..17\n    y[i] = x[i] * 2.0\n  for i_2 in 17..20\n    y[i_2] = x[i_2] * 2.0\n"},
    {VEC20, "peel i -1", "  for i_2 in 0..1\n    y[0] = x[0] * 2.0\n  for i in 1..20\n    y[i] = x[i] * 2.0\n"},
    {VEC20, "split i 8 io ii\npeel io",
     "  for io in 0..2\n    for ii in 0..8\n      y[io * 8 + ii] = x[io * 8 + ii] * 2.0\n"
     "  for io_2 in 2..3\n    for ii_2 in 0..4\n      y[ii_2 + 16] = x[ii_2 + 16] * 2.0\n"},
    {VEC20, "split i 8 io ii\npeel ii\nvectorise ii\nunroll io",
     "  for io in 0..2 unroll\n    for ii in 0..8 vec\n      y[io * 8 + ii] = x[io * 8 + ii] * 2.0\n"
     "  for io_2 in 2..3\n    for ii_2 in 0..4\n      y[ii_2 + 16] = x[ii_2 + 16] * 2.0\n"},
    {VEC20, "peel i 20", "!found 20 iterations, expected at least one and fewer than 'i' has"},
    {VEC20, "peel i", "!there is no ragged tail, expected a number of iterations"},
    /* modes */
    {MATMUL, "parallelise m_2\nvectorise n_2",
     MATMUL_INIT "  for m_2 in 0..6 par\n    for n_2 in 0..4 vec\n      for k in 0..8\n        C[m_2, n_2] += A[m_2, k] * B[k, n_2]\n"},
    {MATMUL, "vectorise k", "!two iterations of 'k' may meet at an element of buffer 'C' that one of them writes"},
    {VEC20, "split i 8 io ii\nvectorise ii", "!the bounds of 'ii' are not constant"},
    {"func f() -> writes a: int32[32]\n  for i in 0..8\n    a[i] = a[i + 8]\n", "vectorise i",
     "  for i in 0..8 vec\n    a[i] = a[i + 8]\n"},
    {"func f() -> writes a: int32[32]\n  for i in 0..16\n    a[i * 2] = a[31 - i * 2]\n", "parallelise i",
     "  for i in 0..16 par\n    a[i * 2] = a[31 - i * 2]\n"},
    {"func f() -> writes a: int32[32]\n  for i in 0..8\n    a[i] = a[i + 7]\n", "vectorise i", "!two iterations of 'i' may meet"},
    {"func f() -> writes a: int32[32]\n  for i in 1..4\n    a[20 - i] = a[23 - i * 2]\n", "parallelise i",
     "!two iterations of 'i' may meet"},
    {"func f(p: int64[8]) -> writes a: int32[32]\n  for i in 0..8\n    a[p[i]] = 1\n", "parallelise i", "!two iterations of 'i' may meet"},
    {"func f(x: float32[8]) -> writes y: float32[8]\n  for i in 0..8\n    alloc t: stack float32[2]\n    t[0] = x[i]\n    y[i] = t[0]\n",
     "parallelise i", "  for i in 0..8 par\n    alloc t: stack float32[2]\n    t[0] = x[i]\n    y[i] = t[0]\n"},
    /* stage */
    {VEC20, "split i 8 io ii\nstage x io a stack\nstage y io b scratch",
     "  for io in 0..3\n    alloc a: stack float32[8]\n    for a_ii in 0..min(8, 20 - io * 8)\n      a[a_ii] = x[io * 8 + a_ii]\n"
     "    for ii in 0..min(8, 20 - io * 8)\n      b[ii] = a[ii] * 2.0\n"
     "    for b_ii in 0..min(8, 20 - io * 8)\n      y[io * 8 + b_ii] = b[b_ii]\n"},
    {MATMUL, "stage A m_2 Ap pad tile 1:4 order 2 0 1",
     MATMUL_INIT
     "  for m_2 in 0..6\n    alloc Ap: pad float32[4,1,2]\n    for Ap_k in 0..8\n      Ap[Ap_k % 4, 0, Ap_k / 4] = A[m_2, Ap_k]\n"
     "    for n_2 in 0..4\n      for k in 0..8\n        C[m_2, n_2] += Ap[k % 4, 0, k / 4] * B[k, n_2]\n"},
    {ROWS, "split i 4 io ii\nstage y io s stack",
     "  for io in 0..2\n    alloc s: stack float32[4]\n    for ii in 0..4\n      s[ii] = 0.0\n      for j in 0..8\n"
     "        s[ii] += x[io * 4 + ii, j]\n    for s_ii in 0..4\n      y[io * 4 + s_ii] = s[s_ii]\n"},
    {ROWS, "stage y j s reg",
     "  for i in 0..8\n    y[i] = 0.0\n    for j in 0..8\n      alloc s: reg float32[1]\n      s[0] = y[i]\n      s[0] += x[i, j]\n      "
     "y[i] = s[0]\n"},
    {STENCIL, "split i 8 io ii\nstage x io s stack",
     "  for io in 0..3\n    alloc s: stack float32[10]\n    for s_0 in 0..min(10, 20 - io * 8)\n      s[s_0] = x[io * 8 + s_0]\n"
     "    for ii in 0..min(8, 18 - io * 8)\n      y[io * 8 + ii] = s[ii] + s[ii + 1] + s[ii + 2]\n"},
    {VEC20, "stage x i y reg", "!the name 'y' is taken"},
    {VEC20, "stage z i s reg", "!there is no buffer 'z'"},
    {VEC20, "stage x i s cache", "!the space is 'cache', expected reg, stack, scratch or pad"},
    {VEC20, "stage x i s reg tile 1:4", "!axis 1 is tiled, but 'x' has 1 axes"},
    {VEC20, "stage x i s reg tile 0", "!found tile '0', expected AXIS:FACTOR"},
    {VEC20, "stage x i s reg order 1", "!the order is no permutation of the axes 0 to 0"},
    {VEC20, "stage x i s reg quick", "!found 'quick', expected 'tile AXIS:FACTOR' or 'order AXIS...'"},
    {VEC20, "parallelise i\nstage x i s scratch", "!iterations of the loop 'i', which run at the same time, would meet in buffer 's'"},
    {"func f(x: float32[8], p: int64[8]) -> writes y: float32[8]\n  for o in 0..2\n    for i in 0..8\n      y[i] = x[p[i]]\n",
     "stage x o s stack", "!index 0 of an access to 'x' is not affine"},
    {"func f(x: float32[8,8]) -> writes y: float32[8]\n  for i in 0..8\n    for j in 0..8\n      y[i] += x[i, 0] * x[j, 0]\n",
     "stage x i s stack", "!the accesses to 'x' start at different places along axis 0"},
    {"func f(x: float32[4,9000]) -> writes y: float32[4]\n  for i in 0..4\n    for j in 0..9000\n      y[i] += x[i, j]\n",
     "stage x i s stack", "!36000 bytes do not fit on the stack, which has 16384 in all"},
    /* inline */
    {TEMP, "inline t", "  for j in 0..16\n    y[j] = float16(x[j] * 2.0) + float16(x[j + 2] * 2.0)\n"},
    {SCRATCH, "inline t", "  for j in 0..16\n    y[j] = x[j] * 2.0 + x[j + 2] * 2.0\n"},
    {ROWS, "inline y", "!buffer 'y' is a parameter, expected a temporary of this kernel"},
    {TEMP, "split i 5 io ii\ninline t", "!the nest that writes 't' does not run over its elements one loop per axis"},
    {"func f() -> writes y: float32[8]\n  alloc t: stack float32[8]\n  for i in 0..8\n    t[i] = y[i]\n  for j in 0..8\n    y[j] = t[7 - "
     "j]\n",
     "inline t", "!buffer 'y', which 't' is computed from, is written after that"},
    {"func f(x: float32[8]) -> writes y: float32[8]\n  alloc t: stack float32[8]\n  for o in 0..2\n    for j in 0..8\n      y[j] = t[j]\n"
     "    for i in 0..8\n      t[i] = x[i]\n",
     "inline t", "!buffer 't' is read where its nest has not run in the same iteration"},
    /* compute_at */
    {TEMP, "split j 4 jo ji\ncompute_at t jo",
     "  for jo in 0..4\n    alloc t: stack float16[6]\n    for i in 0..6\n      t[i] = x[i + jo * 4] * 2.0\n"
     "    for ji in 0..4\n      y[jo * 4 + ji] = t[ji] + t[ji + 2]\n"},
    {TEMP, "split j 5 jo ji\ncompute_at t jo",
     "  for jo in 0..4\n    alloc t: stack float16[7]\n    for i in 0..min(7, 18 - jo * 5)\n      t[i] = x[i + jo * 5] * 2.0\n"
     "    for ji in 0..min(5, 16 - jo * 5)\n      y[jo * 5 + ji] = t[ji] + t[ji + 2]\n"},
    {TEMP, "parallelise j\ncompute_at t j",
     "  for j in 0..16 par\n    alloc t: stack float16[3]\n    for i in 0..3\n      t[i] = x[i + j] * 2.0\n    y[j] = t[0] + t[2]\n"},
    {SCRATCH, "parallelise j\ncompute_at t j", "!iterations of the loop 'j', which run at the same time, would meet in buffer 't'"},
    {TEMP, "compute_at t i", "!the nests that write 't' do not stand before the nest of 'i' in one block"},
    {TEMP, "split i 3 io ii\ncompute_at t j", "!the producer of 't' does not run along axis 0 with one loop"},
    {"func f() -> writes y: float32[8]\n  alloc t: stack float32[8]\n  for i in 0..8\n    t[i] = y[i]\n  for j in 0..8\n    y[j] = t[7 - "
     "j]\n",
     "compute_at t j", "!buffer 'y', which 't' is computed from, is written before 't' is used"},
    {"func f(x: float32[8]) -> writes y: float32[8]\n  alloc t: stack float32[8]\n  block\n    alloc s: reg float32\n    s[] = 0.0\n    "
     "for i in 0..8\n"
     "      s[] += x[i]\n      t[i] = s[]\n  for j in 0..8\n    y[j] = t[j]\n",
     "compute_at t j", "!the iterations of the producer's loop 'i' depend on each other through 's'"},
    {"func f(x: float32[8]) -> writes y: float32[8]\n  alloc t: stack float32[8]\n  for i in 0..8\n    t[i] = x[i]\n    for k in 0..8\n"
     "      t[k] += 1.0\n  for j in 0..8\n    y[j] = t[j]\n",
     "compute_at t j", "!the iterations of the producer's loop 'i' depend on each other through 't'"},
    /* prefetch */
    {MATMUL, "prefetch B k 2",
     MATMUL_INIT "  for m_2 in 0..6\n    for n_2 in 0..4\n      for k in 0..8\n        call qn_prefetch(min(k + 2, 7) * 4 + n_2)(B)\n"
                 "        C[m_2, n_2] += A[m_2, k] * B[k, n_2]\n"},
    {MATMUL, "prefetch B m 2", "!buffer 'B' is not accessed by index in the loop 'm'"},
};
START_TEST(test_steps) {
    const struct Row *r = &rows[_i];
    Case t;
    case_open(&t);
    Func *f = case_parse(&t, r->from);
    const char *last = strrchr(r->steps, '\n');
    bool refused = r->to[0] == '!';
    if (refused && last) ck_assert_msg(sched_run(&t.c, f, arena_strndup(t.a, r->steps, (size_t)(last - r->steps))), "%s", case_said(&t));
    const char *before = case_print(&t, f);
    bool ok = sched_run(&t.c, f, refused && last ? last + 1 : r->steps);
    if (refused) {
        ck_assert(!ok);
        ck_assert_int_eq(t.d.errors, 1);
        ck_assert_msg(strstr(case_said(&t), r->to + 1) != NULL, "'%s' is not in: %s", r->to + 1, case_said(&t));
        ck_assert_msg(strstr(case_said(&t), last ? last + 1 : r->steps) != NULL, "the step is not named in: %s", case_said(&t));
        ck_assert_str_eq(case_print(&t, f), before);
    } else {
        ck_assert_msg(ok, "%s", case_said(&t));
        ck_assert_str_eq(body_of(&t, f), r->to);
        check_same(&t, r->from, f, r->steps);
    }
    case_close(&t);
}
END_TEST
START_TEST(test_run_stops) {
    Case t;
    case_open(&t);
    Func *f = case_parse(&t, VEC20);
    ck_assert(!sched_run(&t.c, f, "# a schedule\n\n  split   i 4\tio ii  # by four\nunroll nothing\nunroll ii\n"));
    ck_assert_int_eq(f->schedule.n, 1);
    ck_assert_str_eq(f->schedule.v[0], "split i 4 io ii");
    ck_assert_ptr_nonnull(strstr(case_said(&t), "f: 4: error: step 'unroll nothing': there is no loop 'nothing'; the loops are io, ii"));
    ck_assert(!sched_apply(&t.c, f, " "));
    ck_assert(sched_run(&t.c, f, ""));
    case_close(&t);
}
END_TEST

/* ---- instructions */
static const char dot4[] = "func dot4(a: uint8[4], b: int8[4]) -> writes acc: int32[1]\n"
                           "  for k in 0..4\n    acc[0] += int32(a[k]) * int32(b[k])\n";
static const char tile[] = "func tile(a: float32[2,8] strides [16,1], b: float32[8,2]) -> writes c: float32[2,2]\n"
                           "  for i in 0..2\n    for j in 0..2\n      for k in 0..8\n        c[i, j] += a[i, k] * b[k, j]\n";
START_TEST(test_tensorise) {
    Case t;
    case_open(&t);
    ck_assert(sched_instr_add("dot4", case_parse(&t, dot4)) && sched_instr_add("tile", case_parse(&t, tile)));
    Func *f = case_parse(&t, "func f(x: uint8[32], w: int8[5,32]) -> writes y: int32[5]\n"
                             "  for n in 0..5\n    for k in 0..32\n      y[n] += int32(x[k]) * int32(w[n, k])\n");
    ck_assert_msg(sched_run(&t.c, f, "split k 4 ko ki\ntensorise ki dot4"), "%s", case_said(&t));
    ck_assert_str_eq(body_of(&t, f), "  for n in 0..5\n    for ko in 0..8\n      call dot4(ko * 4, n * 32 + ko * 4, n)(x, w, out y)\n");
    ck_assert_msg(func_verify(&t.c, f), "%s", case_said(&t));
    /* strides of the buffer must be those of the instruction where the nest moves */
    f = case_parse(&t, "func f(a: float32[4,16], b: float32[8,2]) -> writes c: float32[4,2]\n"
                       "  for o in 0..2\n    for p in 0..2\n      for m in 0..2\n        for n in 0..2\n          for q in 0..8\n"
                       "            c[o * 2 + m, n] += a[o * 2 + m, p * 8 + q] * b[q, n]\n");
    Func *g = func_copy(t.a, f);
    ck_assert_msg(sched_apply(&t.c, f, "tensorise m tile"), "%s", case_said(&t));
    ck_assert_str_eq(body_of(&t, f), "  for o in 0..2\n    for p in 0..2\n      call tile(o * 32 + p * 8, 0, o * 4)(a, b, out c)\n");
    static const char *const no[][2] = {{"tensorise m dot4", "the bounds of a loop differs"},
                                        {"tensorise m mma", "there is no instruction 'mma' among the"},
                                        {"tensorise p tile", "the bounds of a loop differs"}};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        t.d.errors = t.d.list.n = 0;
        ck_assert(!sched_apply(&t.c, g, no[i][0]));
        ck_assert_msg(strstr(case_said(&t), no[i][1]) != NULL, "%s", case_said(&t));
    }
    t.d.errors = t.d.list.n = 0;
    ck_assert(sched_apply(&t.c, g, "reorder n m"));
    ck_assert(!sched_apply(&t.c, g, "tensorise n tile"));
    ck_assert_msg(strstr(case_said(&t), "the index or the strides of an access differs") != NULL, "%s", case_said(&t));
    case_close(&t);
}
END_TEST

/* ---- a matrix product from end to end */
START_TEST(test_gemm) {
    Case t;
    case_open(&t);
    const char *from = "func gemm(A: float32[24,10], B: float32[10,70]) -> writes C: float32[24,70]\n"
                       "  for m0 in 0..24\n    for n0 in 0..70\n      C[m0, n0] = 0.0\n"
                       "  for m in 0..24\n    for n in 0..70\n      for k in 0..10\n        C[m, n] += A[m, k] * B[k, n]\n";
    Func *f = case_parse(&t, from);
    const char *steps = "split n 32 n_o n_i\nsplit m 12 m_o m_i\nreorder m_o m_i n_o n_i k\nreorder n_o m_o k m_i\n";
    ck_assert(!sched_run(&t.c, f, steps)); /* n_i is ragged and k stands in it */
    t.d.errors = t.d.list.n = 0;
    f = case_parse(&t, from);
    steps = "reorder n m\nsplit n 32 n_o n_i\npeel n_o\nsplit m 12 m_o m_i\nreorder m_o n_i k m_i\nreorder n_o m_o k m_i n_i\n"
            "split n_i 16 n_v n_l\nunroll m_i\nunroll n_v\nvectorise n_l\nstage C m_o acc reg\nstage B n_o Bp scratch\nparallelise m_o\n";
    ck_assert_msg(sched_run(&t.c, f, steps), "%s%s", case_said(&t), case_print(&t, f));
    check_same(&t, from, f, "gemm");
    Text c = {0};
    emit_func(&c, f, &(EmitStyle){.vectors = true}, false, NULL);
    static const char *const lines[] = {"v16f acc0_0 = *(const v16f_u *)&C[", "v16f acc11_1 = *(const v16f_u *)&C[", " + 110] - (v16f){0};",
                                        "= *(const v16f_u *)&Bp["};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(strstr(c.s, lines[i]) != NULL, "'%s' is not in\n%.1500s", lines[i], c.s);
    ck_assert_msg(strstr(c.s, " acc[") == NULL, "the accumulators are an array\n%.1500s", c.s);
    text_free(&c);
    case_close(&t);
}
END_TEST

Suite *sched_suite(void) {
    Suite *s = suite_create("sched");
    TCase *tc = tcase_create("sched");
    tcase_add_loop_test(tc, test_steps, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_test(tc, test_run_stops);
    tcase_add_test(tc, test_tensorise);
    tcase_add_test(tc, test_gemm);
    tcase_add_loop_test(tc, test_random, 0, NESTS);
    suite_add_tcase(s, tc);
    return s;
}
