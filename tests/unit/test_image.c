/* SPDX-License-Identifier: Apache-2.0 */
/* test_image.c: pictures of tests/data/images against what Pillow decodes, and the same files damaged: each is decoded, found too large
 * or found broken, and nothing is read or written outside (the sanitizers watch).
 *
 *   420.jpg   --->   13 x 21 pixels with the hash of pictures.txt        420.jpg without its last bytes   --->   an empty picture
 */
#include "ir/base.h"
#include "runtime/ops/qn_image.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDER QUERN_SOURCE_DIR "/tests/data/images/"
Suite *image_suite(void);

static uint64_t fnv(const uint8_t *s, int64_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < n; i++) h = (h ^ s[i]) * 0x100000001b3u;
    return h;
}
static uint8_t *load(const char *name, int64_t *n) { /* exactly as large as the file, so that a byte too far is seen */
    static uint8_t room[1 << 16];
    char path[400];
    snprintf(path, sizeof path, FOLDER "%s", name);
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    *n = (int64_t)fread(room, 1, sizeof room, f);
    fclose(f);
    uint8_t *d = malloc((size_t)*n);
    memcpy(d, room, (size_t)*n);
    return d;
}
typedef struct Decoded {
    int status;
    int64_t h, w;
    uint8_t *out;
} Decoded;
static Decoded decode(const uint8_t *d, int64_t n, int64_t h, int64_t w, int64_t format) {
    Decoded r = {0};
    int64_t arg[4] = {n, h, w, format};
    void *work = malloc((size_t)(65536 + 4 * (h + 32) * (w + 32) + 32 * (w + 64)));
    r.out = malloc((size_t)(h * w * (format == 2 ? 1 : 3) + 1));
    r.status = qn_image(arg, (void *[]){(void *)d, &r.h, &r.w, r.out, work});
    free(work);
    return r;
}
typedef void Visit(const char *name, int64_t h, int64_t w, uint64_t rgb, uint64_t grey);
static void each(Visit *visit) {
    FILE *f = fopen(FOLDER "pictures.txt", "r");
    char name[100];
    long long h, w;
    unsigned long long rgb, grey;
    int count = 0;
    ck_assert_ptr_nonnull(f);
    for (; fscanf(f, "%99s %lld %lld %llx %llx", name, &h, &w, &rgb, &grey) == 5; count++) visit(name, h, w, rgb, grey);
    fclose(f);
    ck_assert_int_ge(count, 39);
}
static void compare(const char *name, int64_t h, int64_t w, uint64_t rgb, uint64_t grey) {
    int64_t n;
    uint8_t *d = load(name, &n);
    for (int format = 0; format < 3; format++) {
        Decoded r = decode(d, n, h, w, format);
        ck_assert_msg(r.status == 0 && r.h == h && r.w == w, "%s: status %d, %d x %d", name, r.status, (int)r.h, (int)r.w);
        for (int64_t i = 0; format == 1 && i < h * w; i++) {
            uint8_t v = r.out[3 * i];
            r.out[3 * i] = r.out[3 * i + 2], r.out[3 * i + 2] = v;
        }
        ck_assert_msg(fnv(r.out, h * w * (format == 2 ? 1 : 3)) == (format == 2 ? grey : rgb), "%s has other pixels as format %d", name,
                      format);
        free(r.out);
    }
    Decoded low = decode(d, n, h - 1, w, 0), narrow = decode(d, n, h, w - 1, 0);
    ck_assert_msg(low.status == 1 && narrow.status == 1, "%s fits into less than its size", name);
    free(low.out), free(narrow.out), free(d);
}
START_TEST(test_pictures) { each(compare); }
END_TEST
static int64_t empty, whole;
static void shorten(const char *name, int64_t h, int64_t w, uint64_t rgb, uint64_t grey) {
    int64_t n;
    uint8_t *d = load(name, &n);
    (void)rgb, (void)grey;
    for (int64_t k = 0; k < n; k += 1 + k / 40) {
        uint8_t *part = malloc((size_t)k + 1);
        if (k) memcpy(part, d, (size_t)k);
        part = realloc(part, (size_t)(k ? k : 1));
        Decoded r = decode(part, k, h, w, 0);
        ck_assert_msg(r.status == 0 && (r.h == 0 || (r.h == h && r.w == w)), "%s up to byte %d", name, (int)k);
        empty += r.h == 0, whole += r.h != 0;
        free(r.out), free(part);
    }
    free(d);
}
START_TEST(test_short) { /* but for what stands behind the pixels every byte is needed */
    each(shorten);
    ck_assert_int_gt(empty, 20 * whole);
}
END_TEST
static void damage(const char *name, int64_t h, int64_t w, uint64_t rgb, uint64_t grey) {
    int64_t n;
    uint8_t *d = load(name, &n);
    unsigned seed = 1;
    (void)rgb, (void)grey;
    for (int round = 0; round < 60; round++) {
        uint8_t *bad = malloc((size_t)n);
        memcpy(bad, d, (size_t)n);
        for (int k = 0; k < 1 + round % 4; k++) {
            seed = seed * 1103515245u + 12345u;
            bad[(seed >> 8) % (uint64_t)(round % 3 ? n : n < 64 ? n : 64)] = (uint8_t)(round % 2 ? 255 : seed >> 3);
        }
        Decoded r = decode(bad, n, h, w, round % 3);
        ck_assert_msg(r.status == 1 || (r.status == 0 && r.h >= 0 && r.h <= h && r.w >= 0 && r.w <= w), "%s damaged", name);
        free(r.out), free(bad);
    }
    free(d);
}
START_TEST(test_damaged) { each(damage); }
END_TEST
START_TEST(test_no_picture) {
    static const char *const text[] = {"",
                                       "P",
                                       "BM",
                                       "RIFF....WEBPVP8 ",
                                       "\x89PNG\r\n\x1a\n",
                                       "\xff\xd8\xff\xd9",
                                       "P6 2 2 255 ",
                                       "P5 -1 2 255 ",
                                       "P3 1 1 255 1 2 x",
                                       "P9 1 1",
                                       "II*\0\377\377\377\377\0"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        Decoded r = decode((const uint8_t *)text[i], (int64_t)strlen(text[i]), 8, 8, 0);
        ck_assert_msg(r.status == 0 && r.h == 0 && r.w == 0, "case %d is decoded", (int)i);
        free(r.out);
    }
}
END_TEST

Suite *image_suite(void) {
    Suite *s = suite_create("image");
    TCase *c = tcase_create("image");
    tcase_add_test(c, test_pictures);
    tcase_add_test(c, test_short);
    tcase_add_test(c, test_damaged);
    tcase_add_test(c, test_no_picture);
    suite_add_tcase(s, c);
    return s;
}
