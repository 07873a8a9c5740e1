/* SPDX-License-Identifier: Apache-2.0 */
/* test_sched.c: schedules. Each step on a small nest gives the nest written here or is refused with the reason written here;
 * thousands of random schedules of small nests leave their results as they are, bit by bit, also when the iterations of
 * parallel and vector loops run backwards; a scheduled matrix product prints as a kernel with named vector accumulators. */
#include "codegen/codegen.h"
#include "ir/sched.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
} Case;
static void case_open(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
}
static void case_close(Case *t) { arena_free(t->a); }
static const char *said(Case *t) {
    Text out = {0};
    text_puts(&out, "");
    for (int i = 0; i < t->d.list.n; i++) diag_format(&t->d.list.v[i], &out), text_puts(&out, "\n");
    const char *s = arena_strdup(t->a, out.s);
    text_free(&out);
    return s;
}
static const char *print(Case *t, const Func *f) {
    Text out = {0};
    func_print(f, &out);
    const char *s = arena_strdup(t->a, out.s);
    text_free(&out);
    return s;
}
static Func *parse(Case *t, const char *text) {
    Func *f = func_parse(&t->c, "t.qir", text);
    ck_assert_msg(f != NULL && t->d.errors == 0, "%s\n%s", said(t), text);
    return f;
}
/* The printed statements, without the signature and the list of steps. */
static const char *body_of(Case *t, const Func *f) {
    const char *s = strchr(print(t, f), '\n') + 1;
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
    ck_assert_msg(interp_run(&t->c, f, p, NULL), "%s\n%s", said(t), print(t, f));
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
    Func *naive = parse(t, text);
    void **want = run(t, naive);
    ck_assert_msg(func_verify(&t->c, f), "%s: %s\n%s", what, said(t), print(t, f));
    const char *b = difference(naive, want, f, run(t, f));
    ck_assert_msg(!b, "%s: buffer '%s' differs\n%s", what, b ? b : "", print(t, f));
    Func *back = func_copy(t->a, f);
    run_backwards(t->a, back->body);
    b = difference(naive, want, back, run(t, back));
    ck_assert_msg(!b, "%s: buffer '%s' differs when run backwards\n%s", what, b ? b : "", print(t, f));
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
    Func *f = parse(&t, nests[nest]);
    rnd_state = 0x9E3779B97F4A7C15u * (uint64_t)(seed * NESTS + nest + 1);
    const char *steps = "";
    int wanted = 1 + rnd(8), done = 0;
    for (int i = 0; i < 40 && done < wanted; i++) {
        const char *step = random_step(&t, f, i), *before = i % 16 == 0 ? print(&t, f) : NULL;
        if (sched_apply(&t.c, f, step)) {
            steps = arena_printf(t.a, "%s%s\n", steps, step), done++;
            const char *verb = arena_strndup(t.a, step, strcspn(step, " "));
            for (int k = 0; k < map_count(applied); k++)
                if (strcmp(map_key(applied, k), verb) == 0) ++*(int *)map_value(applied, k);
        } else if (before) {
            ck_assert_msg(strcmp(before, print(&t, f)) == 0, "nest %d, seed %d: the refused step '%s' changed the nest", nest, seed, step);
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

Suite *sched_suite(void) {
    Suite *s = suite_create("sched");
    TCase *tc = tcase_create("sched");
    tcase_add_loop_test(tc, test_random, 0, NESTS);
    suite_add_tcase(s, tc);
    return s;
}
