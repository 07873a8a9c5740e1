/* SPDX-License-Identifier: Apache-2.0 */
/* test_ops.c: the operator registry. Rows are well formed; formulas say what is wrong with them; and for every row, nodes with
 * random operands and attributes are inferred, lowered and run: each either works or gets one located error, never a crash.
 *
 *   Conv(x: float32[2], w: int8[0,3])   --->   error: … at the node, and nothing else
 */
#include "passes/passes.h"
#include "case.h"
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- rows */
static int count_words(const char *s) {
    int n = 0;
    for (; *s; s++) n += *s != ' ' && (s[1] == ' ' || !s[1]);
    return n;
}
static bool needs_types(const OpDef *op) { return op->infer != NULL || op->kind == OP_EXPR; }
START_TEST(test_rows) {
    ops_init();
    for (int i = 0; i < op_count(); i++) {
        const OpDef *op = op_at(i);
        ck_assert_msg(op_find(op->domain, op->name) == op, "%s is not found", op->name);
        size_t n = strlen(op->doc);
        ck_assert_msg(n > 4 && op->doc[n - 1] == '.' && op->doc[0] != ' ', "%s: '%s' is no sentence", op->name, op->doc);
        for (const char *s = strstr(op->doc, ". "); s; s = strstr(s + 1, ". "))
            ck_abort_msg("%s: '%s' is more than one sentence", op->name, op->doc);
        ck_assert_msg(op->since >= 1 && op->since <= 30, "%s", op->name);
        ck_assert_msg(op->min_in >= 0 && (op->max_in < 0 || op->max_in >= op->min_in), "%s", op->name);
        ck_assert_msg(op->max_out < 0 || (op->max_out >= op->min_out && op->max_out >= 1), "%s", op->name);
        ck_assert_msg(op->max_in < 0 || count_words(op->types) <= (op->max_in ? op->max_in : 1), "%s: more types than inputs", op->name);
        ck_assert_msg(strspn(op->types, "TUVWXYZfinbaIsroq ") == strlen(op->types), "%s: types '%s'", op->name, op->types);
        ck_assert_msg((op->kind == OP_REWRITE) == (op->rewrite != NULL) && needs_types(op) != (op->kind == OP_REWRITE), "%s", op->name);
        ck_assert_msg((op->kind == OP_KERNEL || op->kind == OP_OPAQUE) == (op->lower != NULL), "%s", op->name);
        ck_assert_msg(op->kind != OP_COMPUTE || op->compute, "%s", op->name);
        ck_assert_msg((op->kind == OP_EXPR) == (op->meaning != NULL), "%s", op->name);
    }
}
END_TEST
START_TEST(test_attributes) {
    ops_init();
    for (int i = 0; i < op_count(); i++) {
        const OpDef *op = op_at(i);
        ck_assert_msg(op->nattr == count_words(op->attr_spec), "%s: '%s'", op->name, op->attr_spec);
        for (int k = 0; k < op->nattr; k++) {
            const AttrSpec *s = &op->attr[k];
            ck_assert_msg(op_attr_index(op, s->name) == k, "%s: two attributes '%s'", op->name, s->name);
            ck_assert_msg(s->def.kind == ATTR_NONE || (s->def.kind == s->kind && !s->required), "%s: '%s'", op->name, s->name);
            char *part = strstr(op->attr_spec, s->name);
            ck_assert_msg(part != NULL && strchr(part, ':'), "%s: '%s'", op->name, s->name);
        }
    }
    const OpDef *conv = op_find("", "Conv"), *lrn = op_find("ai.onnx", "LRN"), *mvn = op_find("", "MeanVarianceNormalization");
    ck_assert_str_eq(conv->attr[op_attr_index(conv, "auto_pad")].def.s, "NOTSET");
    ck_assert_int_eq(conv->attr[op_attr_index(conv, "group")].def.i, 1);
    ck_assert(lrn->attr[op_attr_index(lrn, "size")].required && lrn->attr[op_attr_index(lrn, "alpha")].def.f == 1e-4f);
    ck_assert(mvn->attr[0].def.n == 3 && mvn->attr[0].def.is[2] == 3);
    ck_assert_ptr_null(op_find("", "NoSuchOperator"));
    ck_assert_ptr_null(op_find("com.microsoft", "Relu"));
}
END_TEST

/* ---- docs/adding-an-op.md quotes what exists */
static char *slurp(Case *t, const char *name) {
    size_t n;
    char *bytes = file_read_whole(&t->c, arena_printf(t->a, "%s/%s", QUERN_SOURCE_DIR, name), 1 << 20, &n);
    ck_assert_msg(bytes != NULL, "%s cannot be read", name);
    return arena_strndup(t->a, bytes, n);
}
static void lowers_to(Case *t, const char *graph, const char *nest) {
    Graph *g = graph_parse(&t->c, "adding-an-op.md", graph);
    PassOptions o = {.verify = true};
    Program *p = g ? passes_run(&t->c, g, &o) : NULL;
    ck_assert_msg(p && p->k.n == 1, "%s", graph);
    p->k.v[0]->f->comment = NULL;
    Text out = {0};
    func_print(p->k.v[0]->f, &out);
    ck_assert_msg(strcmp(out.s, nest) == 0, "the page shows\n%s\nbut it is\n%s", nest, out.s);
    text_free(&out);
}
START_TEST(test_page) {
    Case t;
    case_open(&t);
    const char *graph = NULL;
    int rows[4] = {0}, nests = 0;
    static const char *const kinds[] = {"EXPR(", "REWRITE(", "COMPUTE(", "KERNEL("};
    char *page = slurp(&t, "docs/adding-an-op.md");
    for (char *s = strstr(page, "\n```"); s; s = strstr(s, "\n```")) {
        char *head = s + 4, *body = strchr(head, '\n') + 1, *end = strstr(body - 1, "\n```");
        ck_assert(end != NULL);
        *end = 0;
        s = end + 4;
        if (strncmp(head, "qir", 3) == 0) {
            if (strncmp(body, "graph", 5) == 0) graph = arena_printf(t.a, "%s\n", body);
            else lowers_to(&t, graph, arena_printf(t.a, "%s\n", body)), nests++;
            continue;
        }
        ck_assert_msg(strncmp(head, "c ", 2) == 0, "a block names no file");
        const char *file = arena_strndup(t.a, head + 2, strcspn(head + 2, "\n")), *code = slurp(&t, file);
        for (char *save = NULL, *line = strtok_r(body, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            if (strcmp(line + strspn(line, " "), "…") == 0) continue; /* something is left out */
            ck_assert_msg(strstr(code, line) != NULL, "%s has no line\n%s", file, line);
            for (int k = 0; k < 4; k++) rows[k] += strncmp(line, kinds[k], strlen(kinds[k])) == 0;
        }
    }
    for (int k = 0; k < 4; k++) ck_assert_msg(rows[k] == 1, "%d rows %s", rows[k], kinds[k]);
    ck_assert_int_eq(nests, 1);
    case_close(&t);
}
END_TEST

/* ---- formulas */
START_TEST(test_formulas) {
    static const struct {
        const char *formula, *want; /* printed, or what the error starts with */
    } rows[] = {
        {"x + 1", "x + 1.0"},
        {"max(x, 0)*alpha", "max(x, 0.0) * 0.5"},
        {"x > 0 ? x : -x", "select(0.0 < x, x, -x)"},
        {"isint(x) ? i & 1 : i", "i"},
        {"isint(i) ? i % 3 : 0", "i % 3"},
        {"clamp(x, 0, 1)", "min(max(x, 0.0), 1.0)"},
        {"like(i, x)", "float32(i)"},
        {"cast(x, int8)", "int8(x)"},
        {"b && !b || x == 2", "b && !b || x == 2.0"},
        {"1.0/4.0 * x", "0.25 * x"},
        {"isnan(i)", "false"},
        {"floor(i)", "i"},
        {"", "an operand is missing"},
        {"x +", "an operand is missing"},
        {"(x", ")"},
        {"x y", "something follows the end"},
        {"nothing", "an unknown name"},
        {"nothing(x)", "an unknown function"},
        {"max(x)", "a wrong number of arguments"},
        {"exp(x, x)", "a wrong number of arguments"},
        {"absent + x", "an operand that is absent"},
        {"x ? x : x", "a condition that is not bool"},
        {"x + i", "operands of different types"},
        {"cast(x, int9)", "an unknown type"},
        {"x + $", "an operand is missing"},
        {"b ? x", ":"},
        {"-----------------------------------------------------------------------------------x", "nesting too deep"},
        {"((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((x))))))))))))))))))))))))))))))))))))", "nesting too deep"},
    };
    Case t;
    case_open(&t);
    Func *f = func_new(t.a, "f");
    const char *const name[] = {"x", "i", "b", "alpha", "absent"};
    Expr *value[] = {e_var(t.a, var_new(f, "x", DT_FLOAT32)), e_var(t.a, var_new(f, "i", DT_INT64)), e_var(t.a, var_new(f, "b", DT_BOOL)),
                     e_lit(t.a, DT_FLOAT32, 0.5), NULL};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const char *err = NULL;
        Expr *e = formula_build(t.a, rows[r].formula, 5, name, value, &err);
        ck_assert_msg(!e == !!err, "'%s'", rows[r].formula);
        Text out = {0};
        if (e) expr_print(e, &out);
        else text_puts(&out, err);
        bool ok = e ? strcmp(out.s, rows[r].want) == 0 : strncmp(out.s, rows[r].want, strlen(rows[r].want)) == 0;
        ck_assert_msg(ok, "'%s' gives '%s', not '%s'", rows[r].formula, out.s, rows[r].want);
        text_free(&out);
    }
    case_close(&t);
}
END_TEST

/* ---- random nodes */
static uint64_t rnd_state;
static uint64_t rnd(void) {
    rnd_state ^= rnd_state << 13, rnd_state ^= rnd_state >> 7, rnd_state ^= rnd_state << 17;
    return rnd_state * 0x2545F4914F6CDD1DULL >> 16;
}
static int pick(int n) { return (int)(rnd() % (uint64_t)n); }
static bool chance(int percent) { return pick(100) < percent; }
static const int64_t extremes[] = {INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN, (int64_t)1 << 40, -((int64_t)1 << 33), INT64_MAX / 2, 1000};
static int64_t small_int(void) { return chance(2) ? extremes[pick(8)] : chance(15) ? -pick(4) : pick(5); }

static DType random_type(const char *token, size_t n, DType *group) {
    static const DType floats[] = {DT_FLOAT32, DT_FLOAT32, DT_FLOAT32, DT_FLOAT64, DT_FLOAT16, DT_BFLOAT16, DT_FLOAT8E4M3FN, DT_FLOAT4E2M1};
    static const DType ints[] = {DT_INT8, DT_UINT8, DT_UINT8, DT_INT32, DT_INT64, DT_UINT32, DT_INT16, DT_UINT64, DT_INT4, DT_UINT4};
    if (chance(3)) return (DType)(1 + pick(DT_COUNT - 1));
    char kind = 'a';
    DType *g = NULL;
    for (size_t k = 0; k < n; k++)
        if (token[k] >= 'T' && token[k] <= 'Z') g = &group[token[k] - 'T'];
        else kind = token[k];
    if (g && *g) return *g;
    DType t = kind == 'f'                  ? floats[pick(8)]
              : kind == 'i' || kind == 'q' ? ints[pick(10)]
              : kind == 'b'                ? DT_BOOL
              : kind == 'I'                ? (chance(50) ? DT_INT64 : DT_INT32)
              : kind == 's'                ? DT_STRING
              : kind == 'n'                ? (chance(60) ? floats[pick(8)] : ints[pick(10)])
              : chance(10)                 ? DT_BOOL
              : chance(60)                 ? floats[pick(8)]
                                           : ints[pick(10)];
    if (g) *g = t;
    return t;
}
static double value_of(DType t) {
    if (t == DT_BOOL) return pick(2);
    if (dtype_is_float(t)) return chance(5) ? (chance(50) ? NAN : chance(50) ? INFINITY : -INFINITY) : (double)pick(65) / 8 - 4;
    return dtype_info[t].cls == CLS_UINT ? pick(6) : pick(9) - 3;
}
static void fill(DType t, void *p, int64_t n) {
    DClass k = dtype_info[t].cls;
    for (int64_t i = 0; i < n && k != CLS_STR && k != CLS_CPLX; i++) {
        if (dtype_is_int(t) && chance(2)) dtype_set_i(t, p, i, extremes[pick(8)]);
        else dtype_set_f(t, p, i, value_of(t));
    }
}
static Tensor *constant(Graph *g, DType dt, int rank, const int64_t *dim) {
    int64_t n = 1, bytes = 0;
    for (int i = 0; i < rank; i++) n *= dim[i];
    dtype_bytes(dt, n, &bytes);
    void *data = arena_alloc(g->a, (size_t)bytes + 16);
    fill(dt, data, n);
    return tensor_const(g, NULL, dt, rank, dim, data);
}
/* Shapes that fit together more often than chance would have it: operands are cut out of one base shape. */
static Tensor *operand(Graph *g, int i, const char *token, size_t n, DType *group, const int64_t *base, int base_rank) {
    DType dt = random_type(token, n, group);
    int rank = base_rank;
    int64_t dim[QN_MAX_RANK];
    memcpy(dim, base, sizeof(int64_t) * (size_t)base_rank);
    bool index = memchr(token, 'I', n) != NULL;
    int how = i == 0 ? 0 : index ? 70 + pick(30) : pick(100);
    if (how >= 50 && how < 65 && rank > 0) { /* a suffix */
        int cut = pick(rank + 1);
        rank -= cut;
        memmove(dim, dim + cut, sizeof *dim * (size_t)rank);
    } else if (how >= 65 && how < 75) /* one extent, or a scalar */
        rank = chance(60) && rank ? 1 : 0, dim[0] = base_rank ? base[pick(base_rank)] : 1;
    else if (how >= 75 && how < 90) /* a short vector, one number per axis */ rank = 1, dim[0] = chance(60) ? base_rank : pick(5);
    else if (how >= 90) {
        rank = pick(5);
        for (int k = 0; k < rank; k++) dim[k] = 1 + pick(4);
    }
    if (chance(15))
        for (int k = 0; k < rank; k++)
            if (chance(40)) dim[k] = chance(5) ? 0 : 1 + pick(4);
    if (rank > 1 && chance(10)) {
        int64_t first = dim[0];
        dim[0] = dim[rank - 1], dim[rank - 1] = first;
    }
    DClass k = dtype_info[dt].cls;
    if (k != CLS_STR && k != CLS_CPLX && chance(index ? 65 : 25)) return constant(g, dt, rank, dim);
    if (chance(1) && rank) dim[pick(rank)] = extremes[pick(8)] & INT64_MAX;
    char name[16];
    snprintf(name, sizeof name, "x%d", i);
    Tensor *t = tensor_new(g, arena_strdup(g->a, name), dt, rank, dim);
    t->is_input = true;
    vec_push(g->a, &g->in, t);
    return t;
}
static const char *const words[] = {"",
                                    "constant",
                                    "reflect",
                                    "edge",
                                    "wrap",
                                    "nearest",
                                    "linear",
                                    "cubic",
                                    "SAME_UPPER",
                                    "SAME_LOWER",
                                    "VALID",
                                    "forward",
                                    "reverse",
                                    "none",
                                    "bidirectional",
                                    "add",
                                    "mul",
                                    "max",
                                    "min",
                                    "DCR",
                                    "CRD",
                                    "tanh",
                                    "LEFT",
                                    "RIGHT",
                                    "half_pixel",
                                    "asymmetric",
                                    "avg",
                                    "align_corners",
                                    "mean",
                                    "sum",
                                    "zeros",
                                    "border",
                                    "reflection",
                                    "floor",
                                    "ceil",
                                    "stretch",
                                    "not_larger",
                                    "not_smaller",
                                    "gated",
                                    "delta",
                                    "circular",
                                    "ij,jk->ik",
                                    "ii",
                                    "...ij->...ji",
                                    "ij,ij->",
                                    "bij,bjk",
                                    "->",
                                    "i,",
                                    "Relu",
                                    "Sigmoid",
                                    "Tanh",
                                    "silu",
                                    "pytorch_half_pixel",
                                    "tf_crop_and_resize",
                                    "half_pixel_symmetric",
                                    "down",
                                    "HardSigmoid",
                                    "swish",
                                    "\xff%s",
                                    "Affine"};
enum { WORDS = sizeof words / sizeof *words };
static void set_attr(Graph *g, Node *n, int k, int rank) {
    const AttrSpec *s = &n->op->attr[k];
    Attr *a = &n->attr[k];
    if (!s->required && chance(55)) return;
    if (s->required && chance(2)) return;
    *a = (Attr){.kind = s->kind};
    int count = chance(40) ? rank - 2 : chance(50) ? 2 * (rank - 2) : chance(50) ? rank : pick(5);
    if (count < 0) count = 0;
    switch (s->kind) {
    case ATTR_INT: a->i = strcmp(s->name, "to") == 0 || strstr(s->name, "type") ? 1 + pick(26) : small_int(); break;
    case ATTR_FLOAT: {
        static const float v[] = {0, 1, -1, 0.5f, 1e30f, NAN, 2, 0.25f, 3, 0.125f};
        a->f = v[pick(10)];
        break;
    }
    case ATTR_STRING:
        a->s = chance(40) && s->def.kind ? s->def.s : words[pick(WORDS)];
        a->n = (int64_t)strlen(a->s);
        break;
    case ATTR_INTS: {
        int64_t *v = NEW_ARRAY(g->a, int64_t, count + 1), from = chance(60) ? 1 : 0;
        for (int i = 0; i < count; i++) v[i] = chance(5) ? small_int() : from + pick(3);
        a->is = v, a->n = count;
        break;
    }
    case ATTR_FLOATS: {
        float *v = NEW_ARRAY(g->a, float, count + 1);
        for (int i = 0; i < count; i++) v[i] = (float)pick(9) / 4;
        a->fs = v, a->n = count;
        break;
    }
    case ATTR_STRINGS: {
        const char **v = NEW_ARRAY(g->a, const char *, count + 1);
        for (int i = 0; i < count; i++) v[i] = words[pick(WORDS)];
        a->ss = v, a->n = count;
        break;
    }
    case ATTR_TENSOR: a->t = constant(g, random_type("a", 1, (DType[8]){0}), chance(80), (int64_t[]){chance(80) ? 1 : pick(3)}); break;
    default: *a = (Attr){0}; break;
    }
}
static Graph *random_graph(Arena *a, const OpDef *op, uint64_t seed) {
    rnd_state = seed;
    for (int i = 0; i < 4; i++) rnd();
    Graph *g = graph_new(a, "g");
    int64_t base[6];
    int rank = chance(70) ? 2 + pick(3) : pick(6);
    for (int k = 0; k < rank; k++) base[k] = chance(2) ? 0 : 1 + pick(4);
    int max = op->max_in < 0 ? op->min_in + 3 : op->max_in, nin = op->min_in + pick(max - op->min_in + 1);
    int nout = op->min_out + pick((op->max_out < 0 ? 4 : op->max_out) - op->min_out + 1);
    if (chance(1)) nin = pick(max + 2);
    if (!nout) nout = 1;
    Tensor **in = NEW_ARRAY(a, Tensor *, nin + 1);
    DType group[8] = {DT_NONE};
    const char *s = op->types;
    for (int i = 0; i < nin; i++) {
        size_t n = strcspn(s, " ");
        bool absent = i >= op->min_in ? chance(20) : chance(1);
        in[i] = absent ? NULL : i && chance(4) ? in[i - 1] : operand(g, i, n ? s : "a", n ? n : 1, group, base, rank);
        if (s[n]) s += n + 1;
    }
    Loc loc = {"fuzz", 7, "node", op->name};
    Node *n = node_new(g, op, NULL, loc, nin, in, nout);
    for (int k = 0; k < op->nattr; k++) set_attr(g, n, k, rank);
    for (int i = 0; i < nout; i++) {
        if (i && chance(15)) continue;
        Tensor *o = tensor_new(g, arena_printf(a, "y%d", i), DT_NONE, -1, NULL);
        node_set_out(n, i, o);
        o->is_output = true;
        vec_push(a, &g->out, o);
        if (!chance(4)) continue;
        o->type.dt = chance(50) ? random_type("a", 1, group) : DT_NONE; /* declared, perhaps wrongly */
        o->type.rank = rank;
        for (int k = 0; k < rank; k++) o->type.dim[k] = base[k];
    }
    return g;
}

static char replay[16384]; /* what runs just now, for whoever reads of a crash */
static void crashed(int sig) {
    if (write(2, replay, strlen(replay)) < 0) _exit(4);
    signal(sig, SIG_DFL);
    raise(sig);
}
static void announce(const Graph *g, uint64_t seed) {
    Text t = {0};
    text_printf(&t, "seed %llu\n", (unsigned long long)seed);
    graph_print(g, &t);
    snprintf(replay, sizeof replay, "%s", t.s);
    text_free(&t);
    bug_replay = replay;
    if (getenv("QN_FUZZ_SAY")) fprintf(stderr, "%s", replay);
}
static void run(Case *t, const Program *p) {
    const Graph *g = p->g;
    const void **in = NEW_ARRAY(t->a, const void *, g->in.n + 1);
    void **out = NEW_ARRAY(t->a, void *, g->out.n + 1);
    for (int i = 0; i < g->in.n; i++) {
        void *data = malloc((size_t)tensor_bytes(g->in.v[i]) + 1); /* of its own, so that a sanitizer sees its ends */
        memset(data, 0, (size_t)tensor_bytes(g->in.v[i]) + 1);
        fill(g->in.v[i]->type.dt, data, tensor_elements(g->in.v[i]));
        in[i] = data;
    }
    for (int i = 0; i < g->out.n; i++) out[i] = malloc((size_t)tensor_bytes(g->out.v[i]) + 1);
    program_interpret(&t->c, p, in, out);
    for (int i = 0; i < g->in.n; i++) free((void *)in[i]);
    for (int i = 0; i < g->out.n; i++) free(out[i]);
}
typedef struct Tally {
    int inferred, compiled, ran;
} Tally;
static void one_error(Case *t, const OpDef *op) {
    ck_assert_msg(t->d.errors == 1, "%d errors for\n%s", t->d.errors, replay);
    for (int i = 0; i < t->d.list.n; i++) {
        const Diag *g = &t->d.list.v[i];
        if (g->severity != DIAG_ERROR) continue;
        ck_assert_msg(g->loc.op && strcmp(g->loc.op, op->name) == 0 && g->loc.index == 7, "'%s' has no place; for\n%s", g->text, replay);
        ck_assert_msg(strlen(g->text) > 15, "'%s' for\n%s", g->text, replay);
    }
}
static void fuzz_once(const OpDef *op, uint64_t seed, Tally *n) {
    Case t;
    case_open(&t);
    Graph *g = random_graph(t.a, op, seed);
    announce(g, seed);
    bool ok = node_infer(&t.c, g, g->first);
    if (!ok) one_error(&t, op);
    else ck_assert_msg(t.d.errors == 0, "inferred in spite of an error\n%s", replay);
    case_close(&t);
    if (!ok) return;
    n->inferred++;
    case_open(&t);
    g = random_graph(t.a, op, seed);
    if (!graph_verify(&t.c, g, false)) { /* extents that overflow: refused before any pass */
        case_close(&t);
        return;
    }
    PassOptions o = {.verify = true};
    Program *p = passes_run(&t.c, g, &o);
    ck_assert_msg((p != NULL) == (t.d.errors == 0), "%d errors, %s program for\n%s", t.d.errors, p ? "a" : "no", replay);
    n->compiled += p != NULL;
    if (p && case_runnable(p)) run(&t, p), n->ran++;
    case_close(&t);
}
/* Operators with bodies are refused without one, and bodies are not made here: a few rounds tell all. */
static bool has_body(const OpDef *op) {
    for (int i = 0; i < op->nattr; i++)
        if (op->attr[i].kind == ATTR_GRAPH) return true;
    return false;
}
START_TEST(test_fuzz) { /* _i: the first of a few rows */
    int rounds = getenv("QN_FUZZ") ? atoi(getenv("QN_FUZZ")) : 40;
    const char *only = getenv("QN_FUZZ_OP"), *from = getenv("QN_FUZZ_SEED");
    signal(SIGSEGV, crashed), signal(SIGFPE, crashed), signal(SIGABRT, crashed);
    for (int k = _i; k < _i + 16 && k < op_count(); k++) {
        const OpDef *op = op_at(k);
        Tally n = {0};
        if (only && strcmp(op->name, only) != 0) continue;
        if (strcmp(op->domain, "quern") == 0) continue; /* only our own rewrites make these */
        for (int r = 0; r < (has_body(op) ? 3 : rounds); r++)
            fuzz_once(op, from ? strtoull(from, NULL, 10) : 0x9E3779B97F4A7C15ULL * (uint64_t)(k * 100003 + r + 1), &n);
        if (getenv("QN_FUZZ"))
            fprintf(stderr, "%s: %d rounds, %d inferred, %d compiled, %d ran\n", op->name, rounds, n.inferred, n.compiled, n.ran);
    }
}
END_TEST

Suite *ops_suite(void);
Suite *ops_suite(void) {
    Suite *s = suite_create("ops");
    TCase *c = tcase_create("ops");
    tcase_add_test(c, test_rows);
    tcase_add_test(c, test_attributes);
    tcase_add_test(c, test_formulas);
    tcase_add_test(c, test_page);
    for (int i = 0; i < op_count(); i += 16) tcase_add_loop_test(c, test_fuzz, i, i + 1);
    suite_add_tcase(s, c);
    return s;
}
