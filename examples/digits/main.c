/* SPDX-License-Identifier: 0BSD */
/* main.c: reads handwritten digits with the compiled network. The network is one call: digits_run(arena, image, scores). */
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Alignas(64) unsigned char arena[digits_ARENA_BYTES];

/* MNIST's idx files: a header of `head` bytes, then one record after another. */
static unsigned char *records(const char *path, size_t head, size_t *bytes) {
    static unsigned char buf[2][1 << 16];
    static int n;
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    unsigned char *p = buf[n++ & 1];
    *bytes = fread(p, 1, sizeof buf[0], f) - head;
    fclose(f);
    return p + head;
}
static void draw(const unsigned char *image) {
    for (int y = 2; y < 26; y += 2) {
        for (int x = 2; x < 26; x++) putchar(" .:*#"[(image[y * 28 + x] + image[(y + 1) * 28 + x]) * 4 / 510]);
        putchar('\n');
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: digits IMAGES LABELS\n"), 2;
    size_t nimage, nlabel;
    const unsigned char *image = records(argv[1], 16, &nimage), *label = records(argv[2], 8, &nlabel);
    int right = 0, n = (int)(nimage / 784 < nlabel ? nimage / 784 : nlabel);
    double seconds = 0;
    for (int i = 0; i < n; i++) {
        float x[784], score[10];
        for (int k = 0; k < 784; k++) x[k] = image[i * 784 + k];
        clock_t t = clock();
        if (digits_run(arena, x, score) != 0) return fprintf(stderr, "digits: the network refused its input\n"), 1;
        seconds += (double)(clock() - t) / CLOCKS_PER_SEC;
        int best = 0;
        for (int k = 1; k < 10; k++)
            if (score[k] > score[best]) best = k;
        draw(image + i * 784);
        printf("this is a %d%s\n\n", best, best == label[i] ? "" : "   WRONG");
        right += best == label[i];
    }
    printf("weights %ld bytes, arena %ld bytes, %.0f microseconds a digit\n", (long)digits_WEIGHTS_BYTES, (long)digits_ARENA_BYTES,
           seconds / n * 1e6);
    printf("digits: %d of %d right\n", right, n);
    return right == n && n > 0 ? 0 : 1;
}
