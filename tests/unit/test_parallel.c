/* SPDX-License-Identifier: Apache-2.0 */
/* test_parallel.c: which loops the pass shares, which it must leave alone, and that what a nest computes stays the same bits. */
#include "passes/internal.h"
#include "passes/parallel.h"
#include <check.h>
#include <string.h>

typedef struct Case {
    Arena *a;
    Diags d;
    Ctx c;
    Func *f;
} Case;
static void open_case(Case *t, const char *text) {
    memset(t, 0, sizeof *t);
    t->a = arena_new();
    t->d.a = t->a;
    t->c = (Ctx){t->a, &t->d};
    ops_init();
    t->f = func_parse(&t->c, "test", text);
    if (!t->f) diag_print_all(&t->d, false);
    ck_assert(t->f != NULL);
}
static void share(Case *t, int threads) {
    Kernel k = {.f = t->f};
    Graph g = {0};
    Program p = {.g = &g};
    Kernel *one = &k;
    Tensor *none = NULL;
    for (int i = 0; i < t->f->param.n; i++) vec_push(t->a, &k.arg, none);
    vec_push(t->a, &p.k, one);
    PassOptions o = {.threads = threads};
    Run r = {.c = &t->c, .p = &p, .o = &o, .tmp = arena_new()};
    ck_assert(pass_parallel(&r));
    arena_free(r.tmp);
    if (!func_verify(&t->c, t->f)) diag_print_all(&t->d, false);
    ck_assert_int_eq(t->d.errors, 0);
}
static const Stmt *shared_loop(const Stmt *s) {
    if (s->k == S_FOR) return s->u.loop.mode == LOOP_PAR ? s : shared_loop(s->u.loop.body);
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n; i++) {
        const Stmt *found = shared_loop(s->u.block.v[i]);
        if (found) return found;
    }
    return NULL;
}
static const char *shared_name(const Func *f) {
    const Stmt *s = shared_loop(f->body);
    return s ? s->u.loop.v->name : "";
}
/* Each parameter gets 1 MiB; those that are written are compared. */
static void run(Case *t, float **mem) {
    void *p[16];
    for (int i = 0; i < t->f->param.n; i++) {
        p[i] = arena_alloc(t->a, 1 << 20);
        if (i < 3 && mem[i]) memcpy(p[i], mem[i], 1 << 20);
        else
            for (int k = 0; k < 1 << 18; k++) ((float *)p[i])[k] = (float)((k * 37 + i * 11) % 101) / 7;
        if (i < 3) mem[i] = p[i];
    }
    ck_assert(interp_run(&t->c, t->f, p, NULL));
}
typedef struct Row {
    const char *what, *text;
    int threads;
    const char *loop; /* "": none */
} Row;
static const Row rows[] = {
    {"the outermost loop",
     "func f(x: float32[64,512], writes y: float32[64,512])\n  for i in 0..64\n    for j in 0..512\n"
     "      y[i, j] = x[i, j] * 2.0\n",
     2, "i"},
    {"too little work", "func f(x: float32[64], writes y: float32[64])\n  for i in 0..64\n    y[i] = x[i] * 2.0\n", 2, ""},
    {"a sum over the outer loop: the inner one, in strips",
     "func f(x: float32[300,400], writes y: float32[400])\n  for r in 0..300\n    for j in 0..400\n      y[j] += x[r, j]\n", 2, "j_strip"},
    {"one sum: nothing", "func f(x: float32[90000], writes y: float32[1])\n  for r in 0..90000\n    y[0] += x[r]\n", 2, ""},
    {"three rows do not divide well by two: fused with the next loop",
     "func f(x: float32[3,64,256], writes y: float32[3,64,256])\n  for i in 0..3\n    for j in 0..64\n      for k in 0..256\n"
     "        y[i, j, k] = x[i, j, k] + 1.0\n",
     2, "i_j"},
    {"three rows for three threads",
     "func f(x: float32[3,64,256], writes y: float32[3,64,256])\n  for i in 0..3\n    for j in 0..64\n"
     "      for k in 0..256\n        y[i, j, k] = x[i, j, k] + 1.0\n",
     3, "i"},
    {"rows that overlap",
     "func f(x: float32[64,512], writes y: float32[70,512])\n  for i in 0..64\n    for j in 0..512\n      for u in 0..2\n"
     "        y[i + u, 0] = x[i, j] * 2.0\n",
     2, ""},
    {"flat addresses: two planes of rows",
     "func f(x: float32[65536], writes y: float32[65536])\n  for e in 0..128\n    for u in 0..2\n      for j in 0..256\n"
     "        y[u * 32768 + e * 256 + j] = x[u * 32768 + e * 256 + j] + 1.0\n",
     2, "e"},
    {"flat addresses: rows one too long",
     "func f(x: float32[65536], writes y: float32[65536])\n  for e in 0..255\n    for j in 0..257\n"
     "      y[e * 256 + j] = x[e * 256 + j] + 1.0\n",
     2, ""},
    {"flat addresses: rows one too long, but planes apart",
     "func f(x: float32[65536], writes y: float32[65536])\n  for e in 0..127\n    for u in 0..2\n      for j in 0..257\n"
     "        y[u * 32768 + e * 256 + j] = x[e * 256 + j] + 1.0\n",
     2, "u"},
    {"a temporary that each iteration fills",
     "func f(x: float32[64,512], writes y: float32[64,512], scratch s: float32[512])\n  for i in 0..64\n    for j in 0..512\n"
     "      s[j] = x[i, j] * 2.0\n    for j2 in 0..512\n      y[i, j2] = s[511 - j2] + 1.0\n",
     2, "i_strip"},
    {"a temporary that carries a value",
     "func f(x: float32[64,512], writes y: float32[64,512], scratch s: float32[513])\n  for z in 0..513\n    s[z] = 0.0\n  for i in 0..64\n"
     "    for j in 0..512\n      s[j] = x[i, j] * 2.0\n    for j2 in 0..512\n      y[i, j2] = s[j2 + 1] + 1.0\n",
     2, ""},
    {"three rows of nests: tasks, fused with the rows",
     "func f(x: float32[3,64,256], writes y: float32[3,70,256])\n  for i in 0..3\n    for j in 0..64\n      for k in 0..256\n"
     "        y[i, j, k] = x[i, j, k] + 1.0\n    for j2 in 64..70\n      for k2 in 0..256\n        y[i, j2, k2] = x[i, j2 - 64, k2] * "
     "3.0\n",
     2, "i_i_task"},
    {"nests that meet are no tasks: shared one by one",
     "func f(x: float32[3,64,256], writes y: float32[3,70,256])\n  for i in 0..3\n    for j in 0..64\n      for k in 0..256\n"
     "        y[i, j, k] = x[i, j, k] + 1.0\n    for j2 in 63..70\n      for k2 in 0..256\n        y[i, j2, k2] = x[i, j2 - 63, k2] * "
     "3.0\n",
     2, "j"},
    {"strips of which the last is short: rows do not reach the next plane",
     "func f(x: float32[65536], writes y: float32[65536])\n  for s in 0..2\n    for u in 0..20\n      for e in s * 4..min(s * 4 + 4, 7)\n"
     "        for j in 0..256\n          y[u * 1792 + e * 256 + j] = x[u * 1792 + e * 256 + j] + 1.0\n",
     2, "u"},
    {"tiles that a test cuts off at the edge",
     "func f(x: float32[65536], writes y: float32[65536])\n  for t in 0..16\n    for z in 0..16\n      for b in 0..4\n"
     "        if b < 3\n          for j in 0..64\n            y[t * 3328 + z * 208 + b * 64 + j] = x[t * 3328 + z * 208 + j] + 1.0\n",
     2, "t"},
    {"two directions through time: a digit below the step, which is a value that nobody knows",
     "func f(x: float32[65536], writes y: float32[65536])\n  for d in 0..2\n    for t in 0..64\n"
     "      let s: int64 = select(d < 1, t, 63 - t)\n      for j in 0..512\n"
     "        y[s * 1024 + d * 512 + j] = x[s * 1024 + d * 512 + j] * 2.0\n",
     2, "d"},
    {"a value that nobody knows may lead anywhere",
     "func f(x: float32[65536], writes y: float32[65536])\n  for d in 0..2\n    for t in 0..64\n"
     "      let s: int64 = select(d < 1, t, 63 - t)\n      for j in 0..512\n"
     "        y[s * 512 + d * 512 + j] = x[s * 512 + j] * 2.0\n",
     2, ""},
    {"rows in pairs, of which a test leaves out the last: they do not reach the next plane",
     "func f(x: float32[65536], writes y: float32[65536])\n  for e in 0..64\n    for u in 0..4\n      for j in 0..64\n"
     "        y[u * 8128 + e * 128 + j] = x[e * 128 + j] + 1.0\n      if e < 63\n        for k in 0..64\n"
     "          y[u * 8128 + e * 128 + 64 + k] = x[e * 128 + k] + 2.0\n",
     2, "e"},
    {"pairs of which only the first may be left out: they do reach it",
     "func f(x: float32[65536], writes y: float32[65536])\n  for e in 0..64\n    for u in 0..4\n      for j in 0..64\n"
     "        y[u * 8128 + e * 128 + j] = x[e * 128 + j] + 1.0\n      if 0 < e\n        for k in 0..64\n"
     "          y[u * 8128 + e * 128 + 64 + k] = x[e * 128 + k] + 2.0\n",
     2, ""},
    {"a temporary of the inner loop, whose outer one carries a value",
     "func f(x: float32[40,512], writes y: float32[40,512], scratch s: float32[512])\n  for r in 0..3\n    for i in 0..40\n"
     "      for j in 0..512\n        s[j] = x[i, j] * 2.0\n      for j2 in 0..512\n        y[i, j2] += s[511 - j2] + 1.0\n",
     2, "i_strip"},
    {"a temporary of blocks at an edge, in more iterations than a walk could take",
     "func f(x: float32[400,300], writes y: float32[200,300], scratch s: float32[200,300])\n  for i in 0..200\n    for u in 0..2\n"
     "      let th: int64 = i * 2 + u\n      for k in 0..100\n        for j in 0..300\n"
     "          if 0 < th\n            s[u * 100 + k, j] = x[th, j] * 2.0\n          if th < 1\n            s[u * 100 + k, j] = x[th, j]\n"
     "    for r in 0..200\n      for j2 in 0..300\n        y[i, j2] += s[r, 299 - j2]\n",
     2, "i_strip"},
    {"a temporary that the next nest reads",
     "func f(x: float32[64,512], writes y: float32[64,512], scratch s: float32[512])\n  for i in 0..64\n    for j in 0..512\n"
     "      s[j] = x[i, j] * 2.0\n    for j2 in 0..512\n      y[i, j2] = s[511 - j2] + 1.0\n  for z in 0..512\n    y[0, z] = s[z]\n",
     2, ""},
    {"a temporary of which one element is read before it is written",
     "func f(x: float32[64,512], writes y: float32[64,512], scratch s: float32[512])\n  for i in 0..64\n    for j in 0..512\n"
     "      if 0 < j + i\n        s[j] = x[i, j] * 2.0\n    for j2 in 0..512\n      y[i, j2] = s[j2] + 1.0\n",
     2, ""},
};
START_TEST(test_choice) {
    const Row *row = &rows[_i];
    Case t;
    float *before[3] = {0}, *after[3];
    open_case(&t, row->text);
    run(&t, before);
    for (int i = 0; i < 3; i++) after[i] = NULL;
    share(&t, row->threads);
    ck_assert_msg(!strcmp(shared_name(t.f), row->loop), "%s: '%s' is shared, expected '%s'", row->what, shared_name(t.f), row->loop);
    run(&t, after);
    ck_assert_msg(!memcmp(before[1], after[1], 256 * 1024), "%s: other values", row->what);
    arena_free(t.a);
}
END_TEST
/* What a product shares depends on where its operand is: columns as long as nobody has written it, rows where threads have. */
START_TEST(test_affinity) {
    static const char *const text[] = {
        "func f(x: float32[16,64,64], writes y: float32[16,64,64])\n  for c in 0..16\n    for h in 0..64\n      for j in 0..64\n"
        "        y[c, h, j] = x[c, h, j] + 1.0\n",
        "func g(y: float32[16,64,64], writes z: float32[2,64,64])\n  for m in 0..2\n    for h in 0..64\n      for c in 0..16\n"
        "        for j in 0..64\n          z[m, h, j] += y[c, h, j]\n"};
    for (int alone = 0; alone < 2; alone++) {
        Case t[2];
        Tensor tensor[3] = {0}, *one[3];
        Graph g = {0};
        Program p = {.g = &g};
        Kernel k[2] = {0};
        PassOptions o = {.threads = 2};
        for (int i = 0; i < 2; i++) open_case(&t[i], text[i]);
        for (int i = 0; i < 3; i++) {
            one[i] = &tensor[i];
            tensor[i].id = i, tensor[i].type = (Type){.dt = DT_FLOAT32, .rank = 3, .dim = {i == 2 ? 2 : 16, 64, 64}};
            vec_push(t[0].a, &g.tensors, one[i]);
        }
        for (int i = alone; i < 2; i++) {
            Kernel *kernel = &k[i];
            k[i].f = t[i].f;
            vec_push(t[0].a, &k[i].arg, one[i]);
            vec_push(t[0].a, &k[i].arg, one[i + 1]);
            vec_push(t[0].a, &p.k, kernel);
        }
        Run r = {.c = &t[0].c, .p = &p, .o = &o, .tmp = arena_new()};
        ck_assert(pass_parallel(&r));
        arena_free(r.tmp);
        ck_assert_str_eq(shared_name(t[1].f), alone ? "m" : "h_strip");
        for (int i = 0; i < 2; i++) arena_free(t[i].a);
    }
}
END_TEST
START_TEST(test_copies) {
    Case t;
    open_case(&t, rows[10].text);
    share(&t, 3);
    const Buf *s = t.f->param.v[2];
    ck_assert_int_eq(s->rank, 2);
    ck_assert_int_eq(s->dim[0], 3);
    ck_assert_int_eq(s->dim[1], 512);
    arena_free(t.a);
}
END_TEST
/* A pass may leave a block around the nests of a kernel. */
START_TEST(test_block) {
    Case t;
    open_case(&t, "func f(x: float32[65536]) -> writes y: float32[65536]\n"
                  "  block\n"
                  "    for i in 0..4096\n"
                  "      for l in 0..16 vec\n"
                  "        y[i * 16 + l] = max(x[i * 16 + l], 0.0)\n");
    share(&t, 2);
    ck_assert_str_eq(shared_name(t.f), "i");
    arena_free(t.a);
}
END_TEST
START_TEST(test_one_thread) {
    Case t;
    Text before = {0}, after = {0};
    open_case(&t, rows[0].text);
    func_print(t.f, &before);
    share(&t, 1);
    func_print(t.f, &after);
    ck_assert_str_eq(before.s, after.s);
    text_free(&before), text_free(&after);
    arena_free(t.a);
}
END_TEST
Suite *parallel_suite(void) {
    Suite *s = suite_create("parallel");
    TCase *c = tcase_create("parallel");
    tcase_add_loop_test(c, test_choice, 0, (int)(sizeof rows / sizeof *rows));
    tcase_add_test(c, test_affinity);
    tcase_add_test(c, test_copies);
    tcase_add_test(c, test_block);
    tcase_add_test(c, test_one_thread);
    suite_add_tcase(s, c);
    return s;
}
