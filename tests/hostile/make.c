/* SPDX-License-Identifier: Apache-2.0 */
/* make.c: writes models made to break a compiler, one file per kind, with a protobuf writer of its own (a library would refuse to write
 * most of them). What must happen to each is in run.sh.
 *
 *   make chain 200000 > chain.onnx
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Msg { /* bytes of one message */
    char *p;
    size_t n, cap;
} Msg;
static void put(Msg *m, const void *p, size_t n) {
    if (m->n + n > m->cap) {
        m->cap = (m->n + n) * 2 + 64;
        m->p = realloc(m->p, m->cap);
        if (!m->p) abort();
    }
    memcpy(m->p + m->n, p, n);
    m->n += n;
}
static void varint(Msg *m, uint64_t v) {
    do {
        unsigned char b = (unsigned char)(v & 127) | (v > 127 ? 128 : 0);
        put(m, &b, 1);
        v >>= 7;
    } while (v);
}
static void num(Msg *m, int field, int64_t v) { varint(m, (uint64_t)field << 3), varint(m, (uint64_t)v); }
static void bytes(Msg *m, int field, const void *p, size_t n) { varint(m, (uint64_t)field << 3 | 2), varint(m, n), put(m, p, n); }
static void str(Msg *m, int field, const char *s) { bytes(m, field, s, strlen(s)); }
static void sub(Msg *m, int field, Msg *s) {
    bytes(m, field, s->p, s->n);
    free(s->p);
    *s = (Msg){0};
}

/* ValueInfoProto of float32 with the given extents. */
static void value_info(Msg *g, int field, const char *name, int rank, const int64_t *dim) {
    Msg shape = {0}, tensor = {0}, type = {0}, v = {0};
    for (int i = 0; i < rank; i++) {
        Msg d = {0};
        num(&d, 1, dim[i]);
        sub(&shape, 1, &d);
    }
    num(&tensor, 1, 1);
    sub(&tensor, 2, &shape);
    sub(&type, 1, &tensor);
    str(&v, 1, name);
    sub(&v, 2, &type);
    sub(g, field, &v);
}
static Msg node(const char *op, const char *in, const char *out) {
    Msg n = {0};
    if (in) str(&n, 1, in);
    str(&n, 2, out);
    str(&n, 4, op);
    return n;
}
static void attr_int(Msg *n, const char *name, int64_t v) {
    Msg a = {0};
    str(&a, 1, name);
    num(&a, 3, v);
    num(&a, 20, 2);
    sub(n, 5, &a);
}
static void model(Msg *graph) {
    Msg m = {0}, opset = {0};
    num(&m, 1, 8);
    sub(&m, 7, graph);
    num(&opset, 2, 15);
    sub(&m, 8, &opset);
    fwrite(m.p, 1, m.n, stdout);
    free(m.p);
}
static void io(Msg *g, const char *in, const char *out, int64_t n) {
    value_info(g, 11, in, 1, &n);
    value_info(g, 12, out, 1, &n);
}

static void make_chain(int n) {
    Msg g = {0};
    for (int i = 0; i < n; i++) {
        char a[24], b[24];
        snprintf(a, sizeof a, i ? "t%d" : "x", i);
        snprintf(b, sizeof b, i + 1 < n ? "t%d" : "y", i + 1);
        Msg k = node(i % 3 ? "Relu" : "Neg", a, b);
        sub(&g, 1, &k);
    }
    str(&g, 2, "chain");
    io(&g, "x", "y", 4);
    model(&g);
}
static void make_concat(int n) {
    Msg g = {0}, c = {0};
    int64_t one = 2, all = 2 * (int64_t)n;
    for (int i = 0; i < n; i++) {
        char b[24];
        snprintf(b, sizeof b, "t%d", i);
        Msg k = node(i % 2 ? "Relu" : "Neg", "x", b);
        sub(&g, 1, &k);
        str(&c, 1, b);
    }
    str(&c, 2, "y");
    str(&c, 4, "Concat");
    attr_int(&c, "axis", 0);
    sub(&g, 1, &c);
    str(&g, 2, "concat");
    value_info(&g, 11, "x", 1, &one);
    value_info(&g, 12, "y", 1, &all);
    model(&g);
}
static void make_empty_nodes(int n) {
    Msg g = {0};
    for (int i = 0; i < n; i++) put(&g, "\x0a\x00", 2);
    io(&g, "x", "x", 4);
    model(&g);
}
/* Graph -> node -> attribute -> graph …, n levels deep. */
static void make_nest(int n) {
    Msg g = {0};
    str(&g, 2, "inner");
    for (int i = 0; i < n; i++) {
        Msg a = {0}, k = {0}, outer = {0};
        str(&a, 1, "body");
        sub(&a, 6, &g);
        num(&a, 20, 5);
        str(&k, 4, "If");
        sub(&k, 5, &a);
        sub(&outer, 1, &k);
        g = outer;
    }
    model(&g);
}
static void make_cycle(int n) {
    Msg g = {0}, a = node("Relu", "t2", "t1"), b = node("Relu", "t1", "t2");
    (void)n;
    sub(&g, 1, &a), sub(&g, 1, &b);
    io(&g, "x", "t2", 4);
    model(&g);
}
static void make_missing(int n) {
    Msg g = {0}, a = node("Relu", "nowhere", "y"), b = node("Nothing", "x", "z"), c = node("Nix", "x", "u");
    (void)n;
    sub(&g, 1, &a), sub(&g, 1, &b), sub(&g, 1, &c);
    io(&g, "x", "y", 4);
    model(&g);
}
static void make_twice(int n) {
    Msg g = {0}, a = node("Relu", "x", "y"), b = node("Neg", "x", "y");
    (void)n;
    sub(&g, 1, &a), sub(&g, 1, &b);
    io(&g, "x", "y", 4);
    model(&g);
}
/* Input extents: negative, huge, overflowing. */
static void make_dims(int kind) {
    static const int64_t sets[][3] = {
        {-3, 4, 4}, {INT64_MAX, 1, 1}, {(int64_t)1 << 32, (int64_t)1 << 32, 4}, {(int64_t)1 << 40, 1, 1}, {0, 4, 4}};
    Msg g = {0}, a = node("Relu", "x", "y");
    sub(&g, 1, &a);
    value_info(&g, 11, "x", 3, sets[kind]);
    value_info(&g, 12, "y", 3, sets[kind]);
    model(&g);
}
static void make_raw(int have) { /* initialiser of 4 floats with `have` bytes */
    Msg g = {0}, t = {0}, a = node("Add", "x", "y");
    char raw[64] = {0};
    Msg in2 = {0};
    str(&in2, 1, "x"), str(&in2, 1, "w"), str(&in2, 2, "y"), str(&in2, 4, "Add");
    free(a.p);
    sub(&g, 1, &in2);
    num(&t, 1, 4), num(&t, 2, 1), str(&t, 8, "w"), bytes(&t, 9, raw, (size_t)have);
    sub(&g, 5, &t);
    io(&g, "x", "y", 4);
    model(&g);
}
static void make_dtype(int dt) {
    Msg g = {0}, t = {0}, k = {0};
    str(&k, 1, "x"), str(&k, 1, "w"), str(&k, 2, "y"), str(&k, 4, "Add");
    sub(&g, 1, &k);
    num(&t, 1, 4), num(&t, 2, dt), str(&t, 8, "w"), bytes(&t, 9, "0123456789abcdef", 16);
    sub(&g, 5, &t);
    io(&g, "x", "y", 4);
    model(&g);
}
/* Names that try to leave a comment, a literal or an identifier; keywords; names that collide once sanitised; a very long one. */
static void make_names(int n) {
    static const char *const bad[] = {"*/ int pwned; /*",
                                      "\"; return 1; //",
                                      "a\nb",
                                      "int",
                                      "main",
                                      "a/b",
                                      "a.b",
                                      "a-b",
                                      "9lives",
                                      "\xc3\xa9",
                                      "?\?/",
                                      "\\",
                                      "%s%n",
                                      "printf",
                                      "NULL",
                                      "_",
                                      "inf"};
    enum { COUNT = sizeof bad / sizeof *bad };
    Msg g = {0};
    char longer[10001];
    memset(longer, 'q', 10000), longer[10000] = 0;
    (void)n;
    const char *prev = "x*/";
    for (int i = 0; i < COUNT; i++) {
        Msg k = node(i % 2 ? "Relu" : "Neg", prev, bad[i]);
        str(&k, 3, bad[COUNT - 1 - i]);
        sub(&g, 1, &k);
        prev = bad[i];
    }
    Msg k = node("Neg", prev, longer);
    str(&k, 3, longer);
    sub(&g, 1, &k);
    str(&g, 2, "*/ #error \n\"");
    int64_t d = 3;
    value_info(&g, 11, "x*/", 1, &d);
    value_info(&g, 12, longer, 1, &d);
    value_info(&g, 12, "a/b", 1, &d);
    value_info(&g, 12, "a.b", 1, &d);
    value_info(&g, 12, "int", 1, &d);
    model(&g);
}
/* Doubling n times: 2^n elements from nothing. */
static void make_bomb(int n) {
    Msg g = {0}, t = {0};
    num(&t, 1, 1), num(&t, 2, 1), str(&t, 8, "t0"), bytes(&t, 9, "\0\0\0\0", 4);
    sub(&g, 5, &t);
    for (int i = 0; i < n; i++) {
        char a[24], b[24];
        snprintf(a, sizeof a, "t%d", i), snprintf(b, sizeof b, "t%d", i + 1);
        Msg k = {0};
        str(&k, 1, a), str(&k, 1, a), str(&k, 2, b), str(&k, 4, "Concat");
        attr_int(&k, "axis", 0);
        sub(&g, 1, &k);
    }
    char last[24];
    snprintf(last, sizeof last, "t%d", n);
    Msg k = {0};
    str(&k, 1, last), str(&k, 2, "y"), str(&k, 4, "ReduceMax");
    attr_int(&k, "keepdims", 1);
    sub(&g, 1, &k);
    io(&g, "x", "y", 1);
    model(&g);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*make)(int);
    } kinds[] = {{"chain", make_chain}, {"concat", make_concat},   {"empty", make_empty_nodes}, {"nest", make_nest},
                 {"cycle", make_cycle}, {"missing", make_missing}, {"twice", make_twice},       {"dims", make_dims},
                 {"raw", make_raw},     {"dtype", make_dtype},     {"names", make_names},       {"bomb", make_bomb}};
    for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0) return kinds[i].make(argc > 2 ? atoi(argv[2]) : 0), fflush(stdout) != 0;
    fprintf(stderr, "usage: make KIND [N] > FILE\n");
    return 2;
}
