/* SPDX-License-Identifier: 0BSD */
/* qn_png.h: PNG. Bytes are inflated one by one (RFC 1951) into a window of 32 KiB and into the row that is being read; a row that is
 * complete is unfiltered against the one before it and put where its pass of the interlacing says.
 *
 *   IHDR 2x1 grey, IDAT of 0, 7, 9   ->   h = 1, w = 2, out = 7 7 7, 9 9 9
 */
#ifndef QN_PNG_H
#define QN_PNG_H
#include "qn_picture.h"
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* @helper qn_huffman deps: */
typedef struct qn_huffman {
    uint16_t count[16], symbol[288]; /* codes per length; symbols in the order of their codes */
} qn_huffman;
/* @helper qn_png_file deps: qn_picture qn_huffman */
typedef struct qn_png_file {
    qn_picture *p;
    int64_t at, left;         /* in the chunk that is being read */
    uint32_t hold, crc, a, b; /* bits; checksums of the chunk and of what was inflated */
    int have, bad, done;
    int depth, colour, channels, interlaced, pass;
    uint8_t palette[768];
    int colours;
    uint8_t *window, *row, *before; /* row: its filter, then its bytes */
    uint32_t written;
    int64_t col, bytes, y, width, height; /* of the row and the pass */
    qn_huffman literal, distance;
} qn_png_file;
/* The checksum goes over four bits at a time. */
/* @helper qn_crc deps: */
static uint32_t qn_crc(uint32_t c, const uint8_t *s, int64_t n) {
    static const uint32_t t[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                   0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    int64_t i;
    for (i = 0; i < n; i++) {
        c ^= s[i];
        c = c >> 4 ^ t[c & 15];
        c = c >> 4 ^ t[c & 15];
    }
    return c;
}
/* The next byte of the IDAT chunks; at their end, and where one is damaged, bad. */
/* @helper qn_png_byte deps: qn_png_file qn_crc qn_be */
static unsigned qn_png_byte(qn_png_file *f) {
    const uint8_t *d = f->p->d;
    while (!f->left && !f->bad) {
        if (f->p->n - f->at < 16 || qn_be(d + f->at, 4) != (f->crc ^ 0xffffffffu) || memcmp(d + f->at + 8, "IDAT", 4) != 0) {
            f->bad = 1;
            break;
        }
        f->left = qn_be(d + f->at + 4, 4);
        f->crc = qn_crc(0xffffffffu, d + f->at + 8, 4);
        f->at += 12;
        if (f->left > f->p->n - f->at - 4) f->bad = 1;
    }
    if (f->bad) return 0;
    f->crc = qn_crc(f->crc, d + f->at, 1);
    f->left--;
    return d[f->at++];
}
/* @helper qn_png_bits deps: qn_png_byte */
static unsigned qn_png_bits(qn_png_file *f, int n) {
    unsigned v;
    while (f->have < n) f->hold |= (uint32_t)qn_png_byte(f) << f->have, f->have += 8;
    v = f->hold & ((1u << n) - 1);
    f->hold >>= n, f->have -= n;
    return v;
}
/* Lengths to codes; 0: they are none. One symbol alone may leave codes unused. */
/* @helper qn_huffman_make deps: qn_huffman */
static int qn_huffman_make(qn_huffman *h, const uint8_t *len, int n) {
    uint16_t at[16];
    int i, left = 1, used = 0;
    memset(h->count, 0, sizeof h->count);
    for (i = 0; i < n; i++) h->count[len[i]]++;
    used = n - h->count[0];
    h->count[0] = 0;
    for (i = 1; i < 16; i++) {
        left = left * 2 - h->count[i];
        if (left < 0) return 0;
    }
    at[1] = 0;
    for (i = 1; i < 15; i++) at[i + 1] = (uint16_t)(at[i] + h->count[i]);
    for (i = 0; i < n; i++)
        if (len[i]) h->symbol[at[len[i]]++] = (uint16_t)i;
    return left == 0 || used <= 1;
}
/* @helper qn_png_symbol deps: qn_png_bits */
static int qn_png_symbol(qn_png_file *f, const qn_huffman *h) {
    int code = 0, first = 0, at = 0, len;
    for (len = 1; len < 16; len++) {
        code |= (int)qn_png_bits(f, 1);
        if (code - first < h->count[len]) return h->symbol[at + code - first];
        at += h->count[len];
        first = (first + h->count[len]) * 2;
        code *= 2;
    }
    f->bad = 1;
    return 0;
}

/* ---- rows */
/* @helper qn_png_pass deps: qn_png_file */
static void qn_png_pass(qn_png_file *f) { /* the next pass that has pixels; none left: done */
    static const uint8_t x0[8] = {0, 4, 0, 2, 0, 1, 0, 0}, y0[8] = {0, 0, 4, 0, 2, 0, 1, 0};
    static const uint8_t dx[8] = {8, 8, 4, 4, 2, 2, 1, 1}, dy[8] = {8, 8, 8, 4, 4, 2, 2, 1};
    for (f->pass++; f->pass < (f->interlaced ? 7 : 8); f->pass++) {
        f->width = (f->p->w - x0[f->pass] + dx[f->pass] - 1) / dx[f->pass];
        f->height = (f->p->h - y0[f->pass] + dy[f->pass] - 1) / dy[f->pass];
        if (f->width < 1 || f->height < 1) continue;
        f->bytes = (f->width * f->depth * f->channels + 7) / 8;
        f->y = f->col = 0;
        memset(f->before, 0, (size_t)f->bytes + 1);
        return;
    }
    f->done = 1;
}
/* @helper qn_png_unfilter deps: qn_png_file */
static void qn_png_unfilter(qn_png_file *f) {
    const int64_t back = f->depth * f->channels < 8 ? 1 : f->depth * f->channels / 8;
    uint8_t *r = f->row + 1, *u = f->before + 1;
    int64_t i;
    for (i = 0; i < f->bytes; i++) {
        const int a = i < back ? 0 : r[i - back], b = u[i], c = i < back ? 0 : u[i - back], p = a + b - c;
        const int pa = p < a ? a - p : p - a, pb = p < b ? b - p : p - b, pc = p < c ? c - p : p - c;
        int v = 0;
        switch (f->row[0]) {
        case 1: v = a; break;
        case 2: v = b; break;
        case 3: v = (a + b) / 2; break;
        case 4: v = pa <= pb && pa <= pc ? a : pb <= pc ? b : c; break;
        default: break;
        }
        r[i] = (uint8_t)(r[i] + v);
    }
    if (f->row[0] > 4) f->bad = 1;
}
/* @helper qn_png_row deps: qn_png_unfilter qn_png_pass qn_picture_put qn_sample */
static void qn_png_row(qn_png_file *f) {
    static const uint8_t x0[8] = {0, 4, 0, 2, 0, 1, 0, 0}, y0[8] = {0, 0, 4, 0, 2, 0, 1, 0};
    static const uint8_t dx[8] = {8, 8, 4, 4, 2, 2, 1, 1}, dy[8] = {8, 8, 8, 4, 4, 2, 2, 1};
    const uint8_t *r = f->row + 1;
    const int step = f->depth / 8 ? f->depth / 8 : 1;
    uint8_t *swap = f->row;
    int64_t x;
    qn_png_unfilter(f);
    for (x = 0; x < f->width; x++) {
        const int64_t i = (y0[f->pass] + f->y * dy[f->pass]) * f->p->w + x0[f->pass] + x * dx[f->pass];
        if (f->channels >= 3) {
            const uint8_t *s = r + x * f->channels * step;
            qn_picture_put(f->p, i, s[0], s[step], s[2 * step]);
        } else if (f->depth >= 8 && f->colour != 3) {
            const unsigned v = r[x * f->channels * step];
            qn_picture_put(f->p, i, v, v, v);
        } else {
            const unsigned v = qn_sample(r, x, f->depth);
            if (f->colour != 3)
                qn_picture_put(f->p, i, v * 255 / ((1u << f->depth) - 1), v * 255 / ((1u << f->depth) - 1),
                               v * 255 / ((1u << f->depth) - 1));
            else if ((int)v < f->colours) qn_picture_put(f->p, i, f->palette[3 * v], f->palette[3 * v + 1], f->palette[3 * v + 2]);
            else qn_picture_put(f->p, i, 0, 0, 0);
        }
    }
    f->row = f->before, f->before = swap;
    f->col = 0;
    if (++f->y == f->height) qn_png_pass(f);
}
/* A byte that was inflated. What follows the last row is read for its checksum only. */
/* @helper qn_png_put deps: qn_png_row */
static void qn_png_put(qn_png_file *f, unsigned v) {
    f->window[f->written++ & 32767] = (uint8_t)v;
    f->a = (f->a + v) % 65521, f->b = (f->b + f->a) % 65521;
    if (f->done) return;
    f->row[f->col++] = (uint8_t)v;
    if (f->col == f->bytes + 1) qn_png_row(f);
}

/* ---- blocks */
/* @helper qn_png_codes deps: qn_png_symbol qn_png_put */
static void qn_png_codes(qn_png_file *f) {
    static const uint16_t base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    while (!f->bad) {
        const int s = qn_png_symbol(f, &f->literal);
        unsigned len, k, far;
        int d;
        if (s < 256) {
            qn_png_put(f, (unsigned)s);
            continue;
        }
        if (s == 256) return;
        if (s > 285) break;
        len = base[s - 257] + qn_png_bits(f, extra[s - 257]);
        d = qn_png_symbol(f, &f->distance);
        if (d > 29) break;
        k = d < 2 ? 0 : (unsigned)d / 2 - 1;
        far = d < 2 ? (unsigned)d + 1 : ((2u + (unsigned)d % 2) << k) + 1 + qn_png_bits(f, (int)k);
        if (far > f->written || far > 32768) break;
        while (len-- > 0 && !f->bad) qn_png_put(f, f->window[(f->written - far) & 32767]);
    }
    f->bad = 1;
}
/* @helper qn_png_fixed deps: qn_huffman_make */
static void qn_png_fixed(qn_huffman *literal, qn_huffman *distance) {
    uint8_t len[288];
    int i;
    for (i = 0; i < 288; i++) len[i] = (uint8_t)(i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
    qn_huffman_make(literal, len, 288);
    for (i = 0; i < 32; i++) len[i] = 5;
    qn_huffman_make(distance, len, 32);
}
/* @helper qn_png_dynamic deps: qn_huffman_make qn_png_symbol */
static void qn_png_dynamic(qn_png_file *f) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t len[320];
    const int n = (int)qn_png_bits(f, 5) + 257, m = (int)qn_png_bits(f, 5) + 1, c = (int)qn_png_bits(f, 4) + 4;
    int i;
    memset(len, 0, sizeof len);
    for (i = 0; i < c; i++) len[order[i]] = (uint8_t)qn_png_bits(f, 3);
    if (n > 286 || m > 30 || !qn_huffman_make(&f->literal, len, 19)) f->bad = 1;
    for (i = 0; i < n + m && !f->bad;) {
        const int s = qn_png_symbol(f, &f->literal);
        int k, v = 0;
        if (s < 16) {
            len[i++] = (uint8_t)s;
            continue;
        }
        if (s == 16) {
            if (!i) f->bad = 1;
            else v = len[i - 1];
        }
        k = s == 16 ? 3 + (int)qn_png_bits(f, 2) : s == 17 ? 3 + (int)qn_png_bits(f, 3) : 11 + (int)qn_png_bits(f, 7);
        if (k > n + m - i) f->bad = 1;
        else
            while (k-- > 0) len[i++] = (uint8_t)v;
    }
    if (f->bad) return;
    if (!len[256] || !qn_huffman_make(&f->literal, len, n) || !qn_huffman_make(&f->distance, len + n, m)) f->bad = 1;
}
/* @helper qn_png_inflate deps: qn_png_codes qn_png_fixed qn_png_dynamic */
static void qn_png_inflate(qn_png_file *f) {
    const unsigned head = qn_png_byte(f), flags = qn_png_byte(f);
    unsigned last = 0, kind, n;
    if ((head & 15) != 8 || head >> 4 > 7 || (head * 256 + flags) % 31 || flags & 32) f->bad = 1;
    while (!last && !f->bad) {
        last = qn_png_bits(f, 1), kind = qn_png_bits(f, 2);
        if (kind == 0) {
            f->hold = 0, f->have = 0;
            n = qn_png_byte(f), n |= qn_png_byte(f) << 8;
            kind = qn_png_byte(f), kind |= qn_png_byte(f) << 8;
            if (n != (kind ^ 0xffffu)) f->bad = 1;
            while (n-- > 0 && !f->bad) qn_png_put(f, qn_png_byte(f));
        } else if (kind == 3) {
            f->bad = 1;
        } else {
            if (kind == 1) qn_png_fixed(&f->literal, &f->distance);
            else qn_png_dynamic(f);
            if (!f->bad) qn_png_codes(f);
        }
    }
    f->have = 0;
    for (n = 0, kind = 0; kind < 4; kind++) n = n << 8 | qn_png_byte(f);
    if (n != (f->b << 16 | f->a) || !f->done) f->bad = 1;
}
/* @helper qn_png_header deps: qn_png_file qn_picture_size qn_be */
static int qn_png_header(qn_png_file *f) {
    static const uint8_t channels[7] = {1, 0, 3, 1, 2, 0, 4}, depths[7] = {31, 0, 24, 15, 24, 0, 24}; /* depths: bit k for 1 << k */
    const uint8_t *d = f->p->d + 16;
    int k = 0, bad;
    if (f->p->n < 33 || memcmp(d - 4, "IHDR", 4) != 0 || qn_be(d - 8, 4) != 13) return 2;
    f->depth = d[8], f->colour = d[9], f->interlaced = d[12];
    while (k < 5 && 1 << k != f->depth) k++;
    if (k == 5 || f->colour > 6 || !(depths[f->colour] >> k & 1) || d[10] || d[11] || d[12] > 1) return 2;
    f->channels = channels[f->colour];
    bad = qn_picture_size(f->p, (int64_t)qn_be(d, 4), (int64_t)qn_be(d + 4, 4));
    return bad;
}
/* @helper qn_png deps: qn_png_header qn_png_inflate qn_crc */
static int qn_png(qn_picture *p) {
    qn_png_file *f = (qn_png_file *)(void *)p->work;
    const int64_t room = 8 * (p->most_w + 2);
    int64_t at = 8;
    int bad;
    memset(f, 0, sizeof *f);
    f->p = p, f->a = 1;
    bad = qn_png_header(f);
    if (bad) return bad;
    f->window = p->work + 16384, f->row = f->window + 32768, f->before = f->row + room;
    f->pass = f->interlaced ? -1 : 6;
    qn_png_pass(f);
    for (;;) {
        int64_t n;
        const uint8_t *name = p->d + at + 4;
        if (p->n - at < 12) return 2;
        n = qn_be(p->d + at, 4);
        if (n > p->n - at - 12) return 2;
        if (memcmp(name, "IDAT", 4) == 0) break;
        if (qn_be(name + 4 + n, 4) != (qn_crc(0xffffffffu, name, n + 4) ^ 0xffffffffu)) return 2;
        if (memcmp(name, "PLTE", 4) == 0) {
            if (n > 768 || n % 3) return 2;
            memcpy(f->palette, name + 4, (size_t)n);
            f->colours = (int)(n / 3);
        }
        at += 12 + n;
    }
    if (f->colour == 3 && !f->colours) return 2;
    f->left = qn_be(p->d + at, 4);
    f->crc = qn_crc(0xffffffffu, p->d + at + 4, 4);
    f->at = at + 8;
    qn_png_inflate(f);
    return f->bad ? 2 : 0;
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif
