/* SPDX-License-Identifier: Apache-2.0 */
/* test_passes.c: passes one by one (golden graphs in tests/golden/<pass>), the packer and the plan against independent checks,
 * and every golden graph interpreted with and without the optional passes: the values must agree. */
#include "passes/internal.h"
#include "case.h"
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Graph *parse(Case *t, const char *file, const char *text) {
    Graph *g = graph_parse(&t->c, file, text);
    if (!g) diag_print_all(&t->d, false);
    ck_assert_msg(g != NULL, "%s does not parse", file);
    return g;
}

/* ---- packing */
static uint64_t rnd_state = 1;
static uint32_t rnd(void) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return (uint32_t)(rnd_state >> 16);
}
static int overlaps(const Block *b, int n) { /* pairs of blocks that meet in time and space */
    int bad = 0;
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            bool time = b[i].first <= b[j].last && b[j].first <= b[i].last;
            bool space = b[i].addr < b[j].addr + b[j].bytes && b[j].addr < b[i].addr + b[i].bytes;
            bad += time && space && b[i].bytes && b[j].bytes;
        }
    return bad;
}
START_TEST(test_pack_random) {
    for (int round = 0; round < 60; round++) {
        Arena *a = arena_new();
        int n = 1 + (int)(rnd() % 200);
        Block *b = NEW_ARRAY(a, Block, n);
        int64_t top = 0, by_hand = 0;
        for (int i = 0; i < n; i++) {
            int first = (int)(rnd() % (uint32_t)n), life = (int)(rnd() % (round % 3 ? 4 : 30));
            b[i] = (Block){64 * (int64_t)(rnd() % 100), first, first + life >= n ? n - 1 : first + life, -1};
        }
        for (int k = 0; k < n; k++) {
            int64_t sum = 0;
            for (int i = 0; i < n; i++) sum += b[i].first <= k && k <= b[i].last ? b[i].bytes : 0;
            by_hand = sum > by_hand ? sum : by_hand;
        }
        int64_t bound = pack_bound(a, n, b, n);
        ck_assert_int_eq(bound, by_hand);
        int64_t height = pack_blocks(a, n, b, bound);
        for (int i = 0; i < n; i++) {
            ck_assert(b[i].addr >= 0 && b[i].addr % 64 == 0);
            if (b[i].bytes) top = top > b[i].addr + b[i].bytes ? top : b[i].addr + b[i].bytes;
        }
        ck_assert_int_eq(overlaps(b, n), 0);
        ck_assert(top <= height && height >= bound);
        ck_assert_msg(height <= bound + bound / 10, "%lld for a bound of %lld", (long long)height, (long long)bound);
        arena_free(a);
    }
}
END_TEST
START_TEST(test_pack_known) { /* the example at the head of pack.c, and one which first-come placing gets wrong */
    Arena *a = arena_new();
    Block b[] = {{128, 0, 1, -1}, {64, 1, 2, -1}, {192, 2, 3, -1}};
    ck_assert_int_eq(pack_bound(a, 3, b, 4), 256);
    ck_assert_int_eq(pack_blocks(a, 3, b, 256), 256);
    Block d[] = {{64, 0, 2, -1}, {64, 1, 1, -1}, {128, 2, 3, -1}, {64, 3, 4, -1}};
    ck_assert_int_eq(pack_blocks(a, 4, d, pack_bound(a, 4, d, 5)), 192);
    arena_free(a);
}
END_TEST
START_TEST(test_pack_many) { /* 200,000 blocks, and 50,000 alive at once, take no quadratic time (the suite's time-out tells) */
    Arena *a = arena_new();
    int n = 200000;
    Block *b = NEW_ARRAY(a, Block, n);
    for (int i = 0; i < n; i++) b[i] = (Block){64 * (int64_t)(1 + i % 7), i, i % 4 ? (i + 2 < n ? i + 2 : n - 1) : n - 1, -1};
    int64_t bound = pack_bound(a, n, b, n);
    ck_assert(pack_blocks(a, n, b, bound) >= bound);
    arena_free(a);
}
END_TEST

/* ---- whole programs */
static void fill(const Tensor *t, void *data, int salt) { /* small values of both signs, no halves that could tie */
    int64_t n = tensor_elements(t);
    for (int64_t i = 0; i < n; i++) {
        uint32_t h = ((uint32_t)i + (uint32_t)salt * 977u) * 2654435761u;
        double v = (double)(int)(h >> 20) / 1024.0 - 2.0;
        if (dtype_is_float(t->type.dt)) dtype_set_f(t->type.dt, data, i, v);
        else dtype_set_i(t->type.dt, data, i, t->type.dt == DT_BOOL ? h >> 31 : (int64_t)(h >> 28));
    }
}
/* Runs a program on the filled inputs. One buffer per output. */
static void **interpret(Case *t, const Program *p) {
    const Graph *g = p->g;
    const void **in = NEW_ARRAY(t->a, const void *, g->in.n + 1);
    void **out = NEW_ARRAY(t->a, void *, g->out.n + 1);
    for (int i = 0; i < g->in.n; i++) {
        void *d = arena_alloc(t->a, (size_t)tensor_bytes(g->in.v[i]) + 64);
        fill(g->in.v[i], d, i);
        in[i] = d;
    }
    for (int i = 0; i < g->out.n; i++) out[i] = arena_alloc(t->a, (size_t)tensor_bytes(g->out.v[i]) + 64);
    if (!program_interpret(&t->c, p, in, out)) diag_print_all(&t->d, false);
    ck_assert_int_eq(t->d.errors, 0);
    return out;
}
static Program *compile(Case *t, Graph *g, const char *list, const char *no_rule) {
    PassOptions o = {.list = list, .verify = true, .state_bytes = 64};
    if (no_rule) vec_push(t->a, &o.no_rule, no_rule);
    Program *p = passes_run(&t->c, g, &o);
    if (!p) diag_print_all(&t->d, false);
    ck_assert(p != NULL);
    return p;
}

/* The plan checked from outside: when each storage is first and last touched, and that no two that meet overlap, but for
 * a result which replaces an operand in the kernel where that ends. */
typedef struct Seen {
    const Tensor *t;
    int first, last;
} Seen;
static void check_plan(const Program *p) {
    static Seen seen[4096];
    int n = 0;
    ck_assert_int_eq(p->arena_bytes % 64, 0);
    for (int k = 0; k < p->k.n; k++) {
        const Kernel *kn = p->k.v[k];
        for (int i = 0; i < kn->arg.n; i++) {
            const Tensor *t = kn->arg.v[i];
            if (!t) {
                ck_assert(kn->scratch.v[i] >= p->state_bytes && kn->scratch.v[i] < p->arena_bytes);
                continue;
            }
            if (t->view) t = t->view->base;
            ck_assert(t->view == NULL && t->store != ST_NONE);
            if (kn->f->param.v[i]->written)
                ck_assert_msg(t->store != ST_INPUT && t->store != ST_CONST, "kernel %s writes '%s'", kn->f->name, t->name);
            if (t->store != ST_ARENA) continue;
            ck_assert(t->addr >= p->state_bytes && t->addr % 64 == 0 && t->addr + tensor_bytes(t) <= p->arena_bytes);
            int s = 0;
            while (s < n && seen[s].t != t) s++;
            if (s == n && n < 4096) {
                ck_assert_msg(kn->f->param.v[i]->written, "'%s' is read before it is written", t->name);
                seen[n++] = (Seen){t, k, k};
            }
            seen[s].last = k;
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const Tensor *x = seen[i].t, *y = seen[j].t;
            bool time = seen[i].first <= seen[j].last && seen[j].first <= seen[i].last,
                 same = x->addr == y->addr && tensor_bytes(x) == tensor_bytes(y);
            bool space = x->addr < y->addr + tensor_bytes(y) && y->addr < x->addr + tensor_bytes(x);
            if (i == j || !time || !space) continue;
            bool handed_over = same && (seen[i].last == seen[j].first || seen[j].last == seen[i].first);
            ck_assert_msg(handed_over, "'%s' and '%s' overlap", x->name, y->name);
        }
    ck_assert(p->lower_bound <= p->arena_bytes);
    ck_assert_msg(p->arena_bytes <= p->lower_bound + p->lower_bound / 20, "%lld bytes, lower bound %lld", (long long)p->arena_bytes,
                  (long long)p->lower_bound);
}

/* Every pass against none of the optional ones, on the same text. */
static void same_values(const char *file, const char *text, const char *list, const char *no_rule) {
    Case t, u;
    case_open(&t), case_open(&u);
    Program *p = compile(&t, parse(&t, file, text), list, no_rule), *q = compile(&u, parse(&u, file, text), "fold", NULL);
    check_plan(p), check_plan(q);
    void **x = interpret(&t, p), **y = interpret(&u, q);
    ck_assert_int_eq(p->g->out.n, q->g->out.n);
    for (int i = 0; i < p->g->out.n; i++) {
        const Tensor *o = p->g->out.v[i];
        ck_assert_msg(type_same(&o->type, &q->g->out.v[i]->type), "%s: output %d has another type", file, i);
        double most = 0;
        for (int64_t k = 0; k < tensor_elements(o); k++) most = fmax(most, fabs(dtype_get_f(o->type.dt, y[i], k)));
        for (int64_t k = 0; k < tensor_elements(o); k++) {
            double a = dtype_get_f(o->type.dt, x[i], k), b = dtype_get_f(o->type.dt, y[i], k);
            bool ok = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-5 + 1e-5 * most;
            ck_assert_msg(ok, "%s: output %d element %lld is %.9g instead of %.9g", file, i, (long long)k, a, b);
        }
    }
    case_close(&t), case_close(&u);
}

/* ---- golden files: `# run: fold,rules`, the graph, `---`, what comes out */
static char *slurp(Arena *a, const char *path) {
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "cannot read %s", path);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *s = arena_alloc(a, (size_t)n + 1);
    ck_assert_int_eq(fread(s, 1, (size_t)n, f), n);
    fclose(f);
    return s;
}
static void run_list(Case *t, Graph *g, const char *list, Text *out) {
    PassOptions o = {.verify = true};
    Run r = {.c = &t->c, .g = g, .o = &o, .tmp = t->a};
    static const struct {
        const char *name;
        PassFn fn;
    } rows[] = {
#define PASS(name, fn, kind, doc) {#name, fn},
#define AFTER(a, b, why)
#include "passes/passes.def"
#undef PASS
#undef AFTER
    };
    for (const char *s = list; *s && *s != '\n';) {
        size_t n = strcspn(s, ", \n");
        bool found = false;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            if (strlen(rows[i].name) != n || memcmp(rows[i].name, s, n) != 0) continue;
            found = true;
            bool ok = rows[i].fn(&r);
            if (t->d.errors) { /* an expected error is a golden result too */
                for (int k = 0; k < t->d.list.n; k++) diag_format(&t->d.list.v[k], out);
                return;
            }
            ck_assert_msg(ok, "pass %s fails without an error", rows[i].name);
            ck_assert_msg(graph_verify(&t->c, g, true), "the graph does not verify after %s", rows[i].name);
        }
        ck_assert_msg(found, "no pass '%.*s'", (int)n, s);
        s += n + (s[n] == ',');
        if (*s == ' ') break;
    }
    if (!r.p) graph_print(g, out);
    else if (strstr(list, "plan")) plan_print(r.p, out);
    else
        for (int i = 0; i < r.p->k.n; i++) func_print(r.p->k.v[i]->f, out);
}
static void golden_file(const char *path) {
    Case t;
    case_open(&t);
    char *text = slurp(t.a, path), *cut = strstr(text, "\n---\n"), *run = strstr(text, "# run: ");
    ck_assert_msg(run != NULL, "%s has no '# run:' line", path);
    const char *expected = cut ? cut + 5 : "";
    char *input = arena_strndup(t.a, text, cut ? (size_t)(cut + 1 - text) : strlen(text));
    Text out = {0};
    run_list(&t, parse(&t, path, input), run + 7, &out);
    text_putn(&out, "", 0);
    if (getenv("QUERN_BLESS")) {
        FILE *f = fopen(path, "wb");
        ck_assert(f != NULL);
        fprintf(f, "%s---\n%s", input, out.s);
        fclose(f);
    } else {
        ck_assert_msg(strcmp(out.s, expected) == 0, "%s: run with QUERN_BLESS=1 and read the difference; now:\n%s", path, out.s);
    }
    if (t.d.errors == 0) same_values(path, input, NULL, NULL);
    text_free(&out);
    case_close(&t);
}
static int golden_folder(const char *folder) {
    char path[1024], *names[512];
    int n = 0;
    snprintf(path, sizeof path, "%s/tests/golden/%s", QUERN_SOURCE_DIR, folder);
    DIR *d = opendir(path);
    ck_assert_msg(d != NULL, "no folder %s", path);
    for (struct dirent *e; (e = readdir(d)) && n < 512;)
        if (strlen(e->d_name) > 4 && strcmp(e->d_name + strlen(e->d_name) - 4, ".qir") == 0) names[n++] = strdup(e->d_name);
    closedir(d);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/tests/golden/%s/%s", QUERN_SOURCE_DIR, folder, names[i]);
        golden_file(path);
        free(names[i]);
    }
    return n;
}
static const char *const folders[] = {"fold", "cse", "dce", "rules", "norms", "bytes", "fuse", "alias", "lower", "plan"};
enum { FOLDERS = sizeof folders / sizeof *folders };
START_TEST(test_golden) { ck_assert_int_gt(golden_folder(folders[_i]), 0); }
END_TEST

/* Each rule has a golden file of its name, in which it applies: without it the result differs. */
START_TEST(test_every_rule) {
    static const char *const names[] = {
#define RULE(name, pattern, guard, builder, doc) #name,
#include "passes/rules.def"
#undef RULE
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Case t, u;
        case_open(&t), case_open(&u);
        char path[1024];
        snprintf(path, sizeof path, "%s/tests/golden/rules/%s.qir", QUERN_SOURCE_DIR, names[i]);
        char *text = slurp(t.a, path), *cut = strstr(text, "\n---\n");
        if (cut) cut[1] = 0;
        Graph *g = parse(&t, path, text), *h = parse(&u, path, text);
        PassOptions with = {.verify = true}, without = {.verify = true};
        vec_push(u.a, &without.no_rule, names[i]);
        ck_assert(pass_run_one(&t.c, g, "fold", &with) && pass_run_one(&t.c, g, "rules", &with));
        ck_assert(pass_run_one(&u.c, h, "fold", &without) && pass_run_one(&u.c, h, "rules", &without));
        Text a = {0}, b = {0};
        graph_print(g, &a), graph_print(h, &b);
        ck_assert_msg(strcmp(a.s, b.s) != 0, "rule %s does not apply in its own case", names[i]);
        text_free(&a), text_free(&b);
        case_close(&t), case_close(&u);
    }
}
END_TEST

/* ---- sizes: nothing deep, nothing quadratic */
static Tensor *graph_input(Graph *g, const char *name, int rank, const int64_t *dim) {
    Tensor *t = tensor_new(g, name, DT_FLOAT32, rank, dim);
    t->is_input = true;
    vec_push(g->a, &g->in, t);
    return t;
}
static void graph_output(Graph *g, Tensor *t) {
    t->is_output = true;
    vec_push(g->a, &g->out, t);
}
START_TEST(test_long_chain) {
    Case t;
    case_open(&t);
    Graph *g = graph_new(t.a, "chain");
    Tensor *x = graph_input(g, "x", 1, (int64_t[]){3});
    for (int i = 0; i < 200000; i++) x = build(g, NULL, i % 2 ? "Abs" : "Neg", 1, &x);
    graph_output(g, x);
    Program *p = passes_run(&t.c, g, &(PassOptions){0});
    ck_assert(p != NULL);
    ck_assert_int_le(p->k.n, 200000 / 16); /* groups, not nodes */
    ck_assert_int_le(p->arena_bytes, 128);
    case_close(&t);
}
END_TEST
START_TEST(test_wide_concat) {
    Case t;
    case_open(&t);
    Graph *g = graph_new(t.a, "wide");
    Tensor *x = graph_input(g, "x", 1, (int64_t[]){2}), **in = NEW_ARRAY(t.a, Tensor *, 10000);
    for (int i = 0; i < 10000; i++) in[i] = build(g, NULL, "Mul", 2, (Tensor *[]){x, tensor_scalar(g, DT_FLOAT32, i)});
    Node *c = build_node(g, NULL, "Concat", 10000, in, 1);
    node_set_i(c, op_attr_index(c->op, "axis"), 0);
    graph_output(g, c->out[0]);
    Program *p = passes_run(&t.c, g, &(PassOptions){0});
    ck_assert(p != NULL);
    ck_assert_int_eq(p->arena_bytes, 0); /* each operand is computed inside the output */
    void **out = interpret(&t, p);
    float v[2], *y = out[0];
    fill(x, v, 0);
    for (int i = 0; i < 10000; i++) ck_assert(y[2 * i] == v[0] * (float)i && y[2 * i + 1] == v[1] * (float)i);
    case_close(&t);
}
END_TEST
START_TEST(test_narrow_weights) { /* what is scaled in blocks is folded, or stays as small as it was */
    for (int narrow = 0; narrow < 2; narrow++) {
        Case t;
        int left = 0;
        case_open(&t);
        Graph *g = parse(&t, "narrow",
                         "graph g(a: float32[1,4]) -> (y)\n"
                         "  w: uint4[4,2] = [1, 2, 3, 4, 5, 6, 7, 8]\n"
                         "  s: float32[2,2] = [0.5, 0.25, 1, 2]\n"
                         "  d: ? = DequantizeLinear(w, s) {axis=0, block_size=2}\n"
                         "  y: ? = MatMul(a, d)\n");
        Program *p = passes_run(&t.c, g, &(PassOptions){.narrow_weights = narrow});
        ck_assert(p != NULL);
        for (Node *n = g->first; n; n = n->next) left += op_is(n, "DequantizeLinear");
        ck_assert_int_eq(left, narrow);
        ck_assert_int_eq(p->arena_bytes, 0);
        case_close(&t);
    }
}
END_TEST
START_TEST(test_big_constant_stays) { /* 2^40 elements out of one: left to run time, and refused nowhere in folding */
    Case t;
    case_open(&t);
    Graph *g = parse(&t, "big",
                     "graph g(x: float32[1]) -> (y)\n"
                     "  s: int64[3] = [2048, 2048, 2048]\n"
                     "  k: float32[1] = [1]\n"
                     "  e = Expand(k, s)\n"
                     "  y = Mul(e, x)\n");
    ck_assert(pass_run_one(&t.c, g, "fold", NULL));
    ck_assert_int_eq(g->nnode, 2);
    case_close(&t);
}
END_TEST

/* ---- random graphs of elementwise and moving operators: all passes against none */
typedef struct Random {
    Graph *g;
    Vec(Tensor *) t;
} Random;
static Node *random_node(Random *r, const char *op, int nin, Tensor *const *in, int nout) {
    Node *n = build_node(r->g, NULL, op, nin, in, nout);
    return n;
}
static void set_attr(Node *n, const char *name, int64_t v) { node_set_i(n, op_attr_index(n->op, name), v); }
static void keep_typed(Case *t, Random *r, Node *n) { /* types are wanted at once: the next choice looks at them */
    ck_assert(node_infer(&t->c, r->g, n));
    for (int i = 0; i < n->nout; i++)
        if (n->out[i] && tensor_elements(n->out[i]) <= 4096) vec_push(r->g->a, &r->t, n->out[i]);
}
static Tensor *pick(Random *r) { return r->t.v[r->t.n - 1 - (int)(rnd() % (uint32_t)(r->t.n < 6 ? r->t.n : 6))]; }
static Tensor *pick_shape(Random *r, const Tensor *like, int except_axis) { /* like `like`, but for one axis; itself if there is no other */
    for (int tries = 0; tries < 8; tries++) {
        Tensor *t = r->t.v[rnd() % (uint32_t)r->t.n];
        bool ok = t->type.rank == like->type.rank;
        for (int i = 0; ok && i < t->type.rank; i++) ok = i == except_axis || t->type.dim[i] == like->type.dim[i];
        if (ok) return t;
    }
    return (Tensor *)like;
}
static void random_step(Case *t, Random *r) {
    static const char *const unary[] = {"Relu", "Neg", "Sigmoid", "Abs", "Identity", "HardSwish"}, *const binary[] = {"Add", "Sub", "Mul",
                                                                                                                      "Max"};
    Graph *g = r->g;
    Tensor *x = pick(r);
    int rank = x->type.rank, axis = rank ? (int)(rnd() % (uint32_t)rank) : 0;
    int64_t e = rank ? x->type.dim[axis] : 1, v[QN_MAX_RANK];
    switch (rank ? rnd() % 12 : rnd() % 3) {
    case 0:
    case 1: keep_typed(t, r, random_node(r, unary[rnd() % 6], 1, &x, 1)); break;
    case 2:
    case 3: keep_typed(t, r, random_node(r, binary[rnd() % 4], 2, (Tensor *[]){x, pick_shape(r, x, -1)}, 1)); break;
    case 4: { /* broadcast along one axis */
        Tensor *one = random_node(r, "ReduceMax", 2, (Tensor *[]){x, tensor_i64s(g, (int64_t[]){axis}, 1)}, 1)->out[0];
        keep_typed(t, r, one->def);
        keep_typed(t, r, random_node(r, "Sub", 2, (Tensor *[]){x, one}, 1));
        break;
    }
    case 5: {
        Node *n = random_node(r, "Transpose", 1, &x, 1);
        for (int i = 0; i < rank; i++) v[i] = (i + 1 + axis) % rank;
        node_set_is(g, n, op_attr_index(n->op, "perm"), v, rank);
        keep_typed(t, r, n);
        break;
    }
    case 6: {
        int64_t total = tensor_elements(x);
        v[0] = total % 4 == 0 ? 4 : total % 3 == 0 ? 3 : 1, v[1] = -1;
        keep_typed(t, r, random_node(r, "Reshape", 2, (Tensor *[]){x, tensor_i64s(g, v, 2)}, 1));
        break;
    }
    case 7:
    case 8: {
        Tensor *in[3] = {x, pick_shape(r, x, axis), pick_shape(r, x, axis)};
        Node *n = random_node(r, "Concat", 2 + (int)(rnd() % 2), in, 1);
        set_attr(n, "axis", axis);
        keep_typed(t, r, n);
        break;
    }
    case 9: {
        if (e < 2) break;
        Node *n = random_node(r, "Split", 1, &x, 2);
        set_attr(n, "axis", axis), set_attr(n, "num_outputs", 2);
        keep_typed(t, r, n);
        break;
    }
    case 10: {
        if (e < 2) break;
        int64_t step = rnd() % 3 ? 1 + (int64_t)(rnd() % 2) : -1;
        Tensor *in[] = {x, tensor_i64s(g, (int64_t[]){step < 0 ? e : (int64_t)(rnd() % 2)}, 1),
                        tensor_i64s(g, (int64_t[]){step < 0 ? -e - 1 : e}, 1), tensor_i64s(g, (int64_t[]){axis}, 1),
                        tensor_i64s(g, &step, 1)};
        keep_typed(t, r, random_node(r, "Slice", 5, in, 1));
        break;
    }
    default: {
        Node *n = random_node(r, "Gather", 2, (Tensor *[]){x, tensor_i64s(g, (int64_t[]){e - 1}, rnd() % 2 ? 1 : -1)}, 1);
        set_attr(n, "axis", axis);
        keep_typed(t, r, n);
    }
    }
}
static Graph *random_graph(Case *t, uint64_t seed) {
    Random r = {.g = graph_new(t->a, "random")};
    rnd_state = seed * 0x9E3779B97F4A7C15u + 1;
    for (int i = 0; i < 2; i++)
        vec_push(t->a, &r.t, graph_input(r.g, i ? "b" : "a", 2, (int64_t[]){2 + (int64_t)(rnd() % 3), 3 + (int64_t)(rnd() % 2)}));
    int steps = 2 + (int)(rnd() % 25);
    for (int i = 0; i < steps; i++) random_step(t, &r);
    int nout = 0;
    for (int i = r.t.n - 1; i >= 0 && nout < 3; i--) {
        Tensor *o = r.t.v[i];
        if (!o->def || o->is_output || (o->nuse && rnd() % 3)) continue;
        graph_output(r.g, o), nout++;
    }
    if (!nout) graph_output(r.g, random_node(&r, "Identity", 1, r.t.v, 1)->out[0]);
    return r.g;
}
static void compare_graphs(Case *t, Graph *g, const char *list, Case *u, Graph *h, const char *what, int seed) {
    Program *p = compile(t, g, list, NULL), *q = compile(u, h, "fold", NULL);
    check_plan(p), check_plan(q);
    void **x = interpret(t, p), **y = interpret(u, q);
    for (int i = 0; i < p->g->out.n; i++) {
        const Tensor *o = p->g->out.v[i];
        for (int64_t k = 0; k < tensor_elements(o); k++) {
            double a = dtype_get_f(o->type.dt, x[i], k), b = dtype_get_f(o->type.dt, y[i], k);
            ck_assert_msg(a == b || fabs(a - b) <= 1e-5 * (1 + fabs(b)), "%s, seed %d: output %d element %lld is %.9g instead of %.9g",
                          what, seed, i, (long long)k, a, b);
        }
    }
}
START_TEST(test_random_graphs) {
    static const char *const lists[] = {NULL, "fuse", "alias", "rules,fuse", "cse,dce,alias"};
    for (int seed = 0; seed < 400; seed++) {
        Case t, u;
        case_open(&t), case_open(&u);
        Graph *g = random_graph(&t, (uint64_t)seed), *h = random_graph(&u, (uint64_t)seed);
        const char *list = lists[seed % 5];
        compare_graphs(&t, g, list, &u, h, list ? list : "all passes", seed);
        case_close(&t), case_close(&u);
    }
}
END_TEST

/* ---- the manager */
START_TEST(test_lists) {
    static const char *const text = "graph g(x: float32[4]) -> (y)\n  a = Relu(x)\n  b = Relu(x)\n  y = Add(a, b)\n";
    static const struct {
        const char *list;
        int kernels; /* -1: refused */
    } rows[] = {{NULL, 1}, {"fuse,cse", 1}, {"cse", 2}, {"fold", 3}, {"-fuse", 2}, {"-fuse,-cse", 3}, {"nonsense", -1}, {"-fold", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Case t;
        case_open(&t);
        PassOptions o = {.list = rows[i].list, .verify = true};
        Program *p = passes_run(&t.c, parse(&t, "lists", text), &o);
        if (rows[i].kernels < 0) ck_assert(p == NULL && t.d.errors == 1);
        else ck_assert_msg(p && p->k.n == rows[i].kernels, "%s: %d kernels", rows[i].list ? rows[i].list : "all", p ? p->k.n : -1);
        case_close(&t);
    }
}
END_TEST
START_TEST(test_refused_options) {
    Case t;
    case_open(&t);
    Graph *g = parse(&t, "o", "graph g(x: float32[4]) -> (y)\n  y = Relu(x)\n");
    PassOptions o = {0};
    vec_push(t.a, &o.no_rule, "no_such_rule");
    ck_assert(passes_run(&t.c, g, &o) == NULL && t.d.errors == 1);
    PassOptions q = {0};
    vec_push(t.a, &q.dump_after, "no_such_pass");
    ck_assert(passes_run(&t.c, g, &q) == NULL && t.d.errors == 2);
    case_close(&t);
}
END_TEST
START_TEST(test_unknown_dimension) { /* every tensor without a type is named, once */
    Case t;
    case_open(&t);
    Graph *g = graph_new(t.a, "free");
    Tensor *x = tensor_new(g, "x", DT_FLOAT32, 2, (int64_t[]){DIM_UNKNOWN, 3});
    x->is_input = true;
    vec_push(t.a, &g->in, x);
    graph_output(g, build(g, NULL, "Relu", 1, &x));
    ck_assert(passes_run(&t.c, g, &(PassOptions){0}) == NULL);
    ck_assert_int_eq(t.d.errors, 1);
    ck_assert(strstr(t.d.list.v[0].text, "axis 0") && strstr(t.d.list.v[0].text, "'x'"));
    case_close(&t);
}
END_TEST
START_TEST(test_tables) {
    Text a = {0}, b = {0};
    ops_init();
    passes_list(&a), passes_markdown(&b);
    ck_assert(strstr(a.s, "conv_bn") && strstr(b.s, "| `fuse` |"));
    text_free(&a), text_free(&b);
}
END_TEST
START_TEST(test_kernel_names) {
    Arena *a = arena_new();
    Map *used = map_new(a);
    ck_assert_str_eq(kernel_name(a, used, "/model/conv.1", "Conv"), "model_conv_1");
    ck_assert_str_eq(kernel_name(a, used, "model conv-1", "Conv"), "model_conv_1_2");
    ck_assert_str_eq(kernel_name(a, used, "1*/2", "Conv"), "k_1_2");
    ck_assert_str_eq(kernel_name(a, used, NULL, "Relu"), "relu");
    ck_assert_str_eq(kernel_name(a, used, "\"\n", "Relu"), "k_node");
    arena_free(a);
}
END_TEST

Suite *passes_suite(void) {
    Suite *s = suite_create("passes");
    TCase *c = tcase_create("pack");
    tcase_add_test(c, test_pack_known);
    tcase_add_test(c, test_pack_random);
    tcase_add_test(c, test_pack_many);
    suite_add_tcase(s, c);
    c = tcase_create("golden");
    tcase_add_loop_test(c, test_golden, 0, FOLDERS);
    tcase_add_test(c, test_every_rule);
    suite_add_tcase(s, c);
    c = tcase_create("manager");
    tcase_add_test(c, test_lists);
    tcase_add_test(c, test_refused_options);
    tcase_add_test(c, test_unknown_dimension);
    tcase_add_test(c, test_tables);
    tcase_add_test(c, test_kernel_names);
    suite_add_tcase(s, c);
    c = tcase_create("size");
    tcase_add_test(c, test_long_chain);
    tcase_add_test(c, test_wide_concat);
    tcase_add_test(c, test_random_graphs);
    tcase_add_test(c, test_narrow_weights);
    tcase_add_test(c, test_big_constant_stays);
    suite_add_tcase(s, c);
    return s;
}
