/* SPDX-License-Identifier: Apache-2.0 */
/* test_frontend_hostile.c: damaged and hostile bytes must end in a model or in located errors, in bounded time and memory: every
 * truncation, every flipped bit, deep nesting, millions of empty nodes, malformed wire data, very long chains. */
#define _GNU_SOURCE
#include "frontend_run.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- hostile bytes */
static void must_end_cleanly(const void *b, size_t n) {
    Run r;
    run_init(&r);
    Graph *g = run_bytes(&r, b, n);
    ck_assert(!g == (r.d.errors > 0));
    if (g) ck_assert_msg(graph_verify(&r.c, g, false), "%s", said_all(&r));
    run_free(&r);
}
START_TEST(empty_and_random_bytes) {
    Run r;
    run_init(&r);
    run_bytes(&r, "", 0);
    ck_refused(&r);
    ck_said(&r, "m.onnx: error: the file is empty");
    uint8_t b[300];
    uint32_t seed = 12345;
    for (int k = 0; k < 2000; k++) {
        size_t n = (size_t)k % sizeof b;
        for (size_t i = 0; i < n; i++) seed = seed * 1664525 + 1013904223, b[i] = (uint8_t)(seed >> 24);
        must_end_cleanly(b, n);
    }
    run_free(&r);
}
END_TEST
START_TEST(truncation_at_every_byte) {
    Arena *a = arena_new();
    size_t n;
    uint8_t *b = om_pack(model_with_everything(a), &n);
    for (size_t k = 0; k < n; k++) {
        uint8_t *copy = malloc(k ? k : 1); /* exact size: a read past the end is seen by ASan */
        memcpy(copy, b, k);
        must_end_cleanly(copy, k);
        free(copy);
    }
    arena_free(a);
}
END_TEST
START_TEST(every_bit_flip) {
    Arena *a = arena_new();
    size_t n;
    uint8_t *b = om_pack(model_with_everything(a), &n);
    Run r;
    run_init(&r);
    run_bytes(&r, b, n);
    ck_ok(&r);
    run_free(&r);
    for (size_t k = 0; k < n * 8; k++) {
        b[k / 8] ^= (uint8_t)(1 << (k % 8));
        must_end_cleanly(b, n);
        b[k / 8] ^= (uint8_t)(1 << (k % 8));
    }
    arena_free(a);
}
END_TEST

/* bytes = field(bytes), growing to the front of a buffer */
typedef struct Nest {
    uint8_t *buf;
    size_t at, end;
} Nest;
static void nest_wrap(Nest *s, int field) {
    size_t n = s->end - s->at, k = 0;
    uint8_t len[10];
    for (size_t v = n;; v >>= 7) {
        len[k++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        if (v <= 127) break;
    }
    s->at -= k;
    memcpy(s->buf + s->at, len, k);
    s->buf[--s->at] = (uint8_t)(field << 3 | 2);
}
START_TEST(deep_nesting) {
    const int levels[] = {101, 3000, 100000};
    for (int i = 0; i < 3; i++) {
        size_t room = (size_t)levels[i] * 16;
        Nest s = {malloc(room), room, room};
        for (int k = 0; k < levels[i]; k++) /* graph > node > attribute > graph ... */
            nest_wrap(&s, (int[]){1, 5, 6}[(levels[i] - 1 - k) % 3]);
        nest_wrap(&s, 7);
        Run r;
        run_init(&r);
        run_bytes(&r, s.buf + s.at, s.end - s.at);
        ck_refused(&r);
        ck_said(&r, "nested more than 100 deep");
        run_free(&r);
        free(s.buf);
    }
}
END_TEST
START_TEST(two_million_empty_nodes) {
    const size_t n = 4000000;
    Nest s = {malloc(n + 32), n + 32, n + 32};
    s.at -= n;
    for (size_t i = 0; i < n; i += 2) s.buf[s.at + i] = 1 << 3 | 2, s.buf[s.at + i + 1] = 0;
    nest_wrap(&s, 7);
    Run r;
    run_init(&r);
    double t = seconds();
    run_bytes(&r, s.buf + s.at, s.end - s.at);
    ck_assert_double_lt(seconds() - t, 5);
    ck_refused(&r);
    ck_said(&r, "would take more than");
    run_free(&r);
    free(s.buf);
}
END_TEST
START_TEST(malformed_wire) {
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } t[] = {
        {"\x3a\x00\x3a\x00", 4, "there twice"},                                          /* two graphs */
        {"\x3b\x3c", 2, "groups"},                                                       /* a group */
        {"\x02\x00", 2, "field number"},                                                 /* field 0 */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "more than ten bytes"}, /* an 11-byte number */
        {"\x3a\x05\x0a", 3, "length 5 goes past the end"},                               /* longer than the file */
        {"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "goes past the end"},       /* 2^64-1 */
        {"\x12\x03"
         "a\0b",
         5, "NUL"}, /* producer_name */
        {"\x12\x02\xc3\x28", 4, "UTF-8"},
        {"\x0f", 1, "wire type"},
        {"\x08", 1, "cut off"},
        {"\x0a\x01\x08", 3, "single number is written as a list"}, /* ir_version as bytes */
        {"\x38\x01", 2, "another wire type"},                      /* graph as a number */
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        Run r;
        run_init(&r);
        run_bytes(&r, t[i].bytes, t[i].n);
        ck_refused(&r);
        ck_said(&r, t[i].says);
        run_free(&r);
    }
}
END_TEST
START_TEST(long_chain) {
    enum { N = 200000 };
    Run r;
    run_init(&r);
    OnnxModel *m = om_new(r.a, 8, 17);
    om_input(&m->g, "0", DT_FLOAT32, 1, DIMS(4), NULL);
    for (int i = 0; i < N; i++) om_node(&m->g, "Relu", arena_printf(r.a, "%d", i), arena_printf(r.a, "%d", i + 1));
    om_output(&m->g, arena_printf(r.a, "%d", N), DT_FLOAT32, 1, DIMS(4), NULL);
    size_t n;
    void *b = om_pack(m, &n);
    double t = seconds();
    run_bytes(&r, b, n);
    ck_assert_double_lt(seconds() - t, 5);
    ck_ok(&r);
    ck_assert_int_eq(r.g->nnode, N);
    run_free(&r);
}
END_TEST

Suite *frontend_hostile_suite(void);
Suite *frontend_hostile_suite(void) {
    Suite *s = suite_create("frontend_hostile");
    TCase *t = tcase_create("hostile");
    tcase_add_test(t, empty_and_random_bytes);
    tcase_add_test(t, truncation_at_every_byte);
    tcase_add_test(t, every_bit_flip);
    tcase_add_test(t, deep_nesting);
    tcase_add_test(t, two_million_empty_nodes);
    tcase_add_test(t, malformed_wire);
    tcase_add_test(t, long_chain);
    suite_add_tcase(s, t);
    return s;
}
