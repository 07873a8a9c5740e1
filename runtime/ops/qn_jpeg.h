/* SPDX-License-Identifier: 0BSD */
/* qn_jpeg.h: baseline and extended sequential JPEG of 8 bits, with the results of libjpeg: its exact integer IDCT, its interpolation of
 * colours of half the size (both in libjpeg-turbo's versions), its colour conversion. Blocks are decoded into planes; then rows are
 * interpolated and converted one by one.
 *
 *   SOF0 8x8 grey, one block of DC 0   ->   h = w = 8, out = 128 everywhere
 */
#ifndef QN_JPEG_H
#define QN_JPEG_H
#include "qn_picture.h"
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* @helper qn_jpeg_codes deps: */
typedef struct qn_jpeg_codes {
    int32_t last[18], first[17]; /* per length: the largest code, -1: none; and where its symbols start, less its first code */
    uint8_t symbol[256], set;
} qn_jpeg_codes;
/* @helper qn_jpeg_part deps: qn_jpeg_codes */
typedef struct qn_jpeg_part { /* a component */
    int id, h, v, table, dc, ac, before, seen;
    int64_t wide, high, stride; /* samples of its own; bytes of a row of its plane */
    uint8_t *plane;
} qn_jpeg_part;
/* @helper qn_jpeg_file deps: qn_picture qn_jpeg_codes qn_jpeg_part */
typedef struct qn_jpeg_file {
    qn_picture *p;
    int64_t at;
    uint32_t hold;
    int have, bad, parts, h, v, restart, adobe, jfif; /* h, v: the largest sampling factors; adobe: its transform, -1: no marker */
    uint8_t quantised[4], frame;
    uint16_t quant[4][64];
    qn_jpeg_codes codes[2][4];
    qn_jpeg_part part[4];
    int32_t block[64];
} qn_jpeg_file;
/* The next byte of the coded data; a marker ends them. */
/* @helper qn_jpeg_bits deps: qn_jpeg_file */
static int qn_jpeg_bits(qn_jpeg_file *f, int n) {
    const qn_picture *p = f->p;
    while (f->have < n) {
        unsigned v = 0;
        if (f->at >= p->n) f->bad = 1;
        else if (p->d[f->at] != 0xff) v = p->d[f->at++];
        else if (f->at + 1 < p->n && p->d[f->at + 1] == 0) v = 0xff, f->at += 2;
        else f->bad = 1;
        f->hold = f->hold << 8 | v, f->have += 8;
    }
    f->have -= n;
    return (int)(f->hold >> f->have & ((1u << n) - 1));
}
/* @helper qn_jpeg_symbol deps: qn_jpeg_bits */
static int qn_jpeg_symbol(qn_jpeg_file *f, const qn_jpeg_codes *c) {
    int32_t code = 0;
    int len;
    for (len = 1; len < 17; len++) {
        code = code * 2 + qn_jpeg_bits(f, 1);
        if (code <= c->last[len]) return c->symbol[(code + c->first[len]) & 255];
    }
    f->bad = 1;
    return 0;
}
/* A number of n bits whose upper bit tells the sign. */
/* @helper qn_jpeg_number deps: qn_jpeg_bits */
static int qn_jpeg_number(qn_jpeg_file *f, int n) {
    const int v = n ? qn_jpeg_bits(f, n) : 0;
    return n && v < 1 << (n - 1) ? v - (1 << n) + 1 : v;
}
/* @helper qn_jpeg_coefficients deps: qn_jpeg_symbol qn_jpeg_number */
static void qn_jpeg_coefficients(qn_jpeg_file *f, qn_jpeg_part *c) {
    static const uint8_t order[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
                                      41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
                                      30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};
    const uint16_t *q = f->quant[c->table];
    const int n = qn_jpeg_symbol(f, &f->codes[0][c->dc]);
    int k;
    memset(f->block, 0, sizeof f->block);
    if (n > 15) f->bad = 1;
    else c->before += qn_jpeg_number(f, n);
    if (c->before > 32767 || c->before < -32768) f->bad = 1, c->before = 0;
    f->block[0] = c->before * q[0];
    for (k = 1; k < 64 && !f->bad; k++) {
        const int s = qn_jpeg_symbol(f, &f->codes[1][c->ac]), zeros = s >> 4, bits = s & 15;
        if (!bits && zeros != 15) break;
        k += zeros;
        if (k > 63) f->bad = 1;
        else if (bits) f->block[order[k]] = qn_jpeg_number(f, bits) * q[k];
    }
}
/* One dimension of the IDCT (Loeffler, Ligtenberg and Moschytz, 12 multiplications), on s[0], s[step] … */
/* @helper qn_jpeg_idct deps: */
static void qn_jpeg_idct(int64_t *s, int step, int shift) {
    const int64_t z1 = (s[2 * step] + s[6 * step]) * 4433, half = (int64_t)1 << (shift - 1);
    const int64_t e2 = z1 - s[6 * step] * 15137, e3 = z1 + s[2 * step] * 6270;
    const int64_t e0 = (s[0] + s[4 * step]) * 8192, e1 = (s[0] - s[4 * step]) * 8192;
    const int64_t a[4] = {e0 + e3 + half, e1 + e2 + half, e1 - e2 + half, e0 - e3 + half};
    const int64_t o0 = s[7 * step], o1 = s[5 * step], o2 = s[3 * step], o3 = s[step], z5 = (o0 + o2 + o1 + o3) * 9633;
    const int64_t y1 = (o0 + o3) * -7373, y2 = (o1 + o2) * -20995, y3 = (o0 + o2) * -16069 + z5, y4 = (o1 + o3) * -3196 + z5;
    const int64_t b[4] = {o3 * 12299 + y1 + y4, o2 * 25172 + y2 + y3, o1 * 16819 + y2 + y4, o0 * 2446 + y1 + y3};
    int k;
    for (k = 0; k < 4; k++) {
        const int64_t x = a[k] + b[k], y = a[k] - b[k], d = (int64_t)1 << shift;
        s[k * step] = x >= 0 ? x / d : -((d - 1 - x) / d); /* floor */
        s[(7 - k) * step] = y >= 0 ? y / d : -((d - 1 - y) / d);
    }
}
/* @helper qn_jpeg_limit deps: */
static uint8_t qn_jpeg_limit(int64_t v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }
/* @helper qn_jpeg_block deps: qn_jpeg_coefficients qn_jpeg_idct qn_jpeg_limit */
static void qn_jpeg_block(qn_jpeg_file *f, qn_jpeg_part *c, int64_t bx, int64_t by) {
    uint8_t *to = c->plane + by * 8 * c->stride + bx * 8;
    int64_t s[64];
    int i, k;
    qn_jpeg_coefficients(f, c);
    if (f->bad) return;
    for (i = 0; i < 64; i++) s[i] = f->block[i];
    for (i = 0; i < 8; i++) qn_jpeg_idct(s + i, 8, 11);
    for (i = 0; i < 8; i++) qn_jpeg_idct(s + 8 * i, 1, 18);
    for (i = 0; i < 8; i++)
        for (k = 0; k < 8; k++) to[i * c->stride + k] = qn_jpeg_limit(s[8 * i + k] + 128);
}
/* Behind every `restart` units a marker stands, and prediction starts anew. */
/* @helper qn_jpeg_restart deps: qn_jpeg_file */
static void qn_jpeg_restart(qn_jpeg_file *f) {
    const uint8_t *d = f->p->d;
    int i;
    f->have = 0, f->hold = 0;
    while (f->at + 2 < f->p->n && d[f->at] == 0xff && d[f->at + 1] == 0xff) f->at++;
    if (f->at + 2 > f->p->n || d[f->at] != 0xff || d[f->at + 1] < 0xd0 || d[f->at + 1] > 0xd7) f->bad = 1;
    else f->at += 2;
    for (i = 0; i < 4; i++) f->part[i].before = 0;
}
/* @helper qn_jpeg_scan deps: qn_jpeg_block qn_jpeg_restart */
static int qn_jpeg_scan(qn_jpeg_file *f, int n, qn_jpeg_part *const *c) {
    const int64_t w = n > 1 ? (f->p->w + 8 * f->h - 1) / (8 * f->h) : (c[0]->wide + 7) / 8;
    const int64_t h = n > 1 ? (f->p->h + 8 * f->v - 1) / (8 * f->v) : (c[0]->high + 7) / 8;
    int64_t i, k, x, y;
    f->have = 0, f->hold = 0;
    for (k = 0; k < n; k++) c[k]->before = 0;
    for (i = 0; i < w * h && !f->bad; i++) {
        if (f->restart && i && i % f->restart == 0) qn_jpeg_restart(f);
        for (k = 0; k < n; k++)
            for (y = 0; y < (n > 1 ? c[k]->v : 1); y++)
                for (x = 0; x < (n > 1 ? c[k]->h : 1) && !f->bad; x++)
                    qn_jpeg_block(f, c[k], i % w * (n > 1 ? c[k]->h : 1) + x, i / w * (n > 1 ? c[k]->v : 1) + y);
    }
    return f->bad ? 2 : 0;
}

/* ---- markers; s has n bytes */
/* @helper qn_jpeg_tables deps: qn_jpeg_file qn_be */
static int qn_jpeg_tables(qn_jpeg_file *f, const uint8_t *s, int64_t n, int huffman) {
    static const uint8_t zeros[17] = {0};
    while (n > 0) {
        const int kind = s[0] >> 4, at = s[0] & 15;
        int64_t used;
        int i, k = 0;
        if (at > 3 || kind > 1) return 2;
        if (!huffman) {
            used = kind ? 129 : 65;
            if (n < used) return 2;
            for (i = 0; i < 64; i++) f->quant[at][i] = (uint16_t)qn_be(s + 1 + i * (kind + 1), kind + 1);
            f->quantised[at] = 1;
        } else {
            qn_jpeg_codes *c = &f->codes[kind][at];
            int32_t code = 0;
            if (n < 17 || memcmp(s + 1, zeros, 16) == 0) return 2;
            for (i = 1; i < 17; i++) {
                c->first[i] = k - code;
                k += s[i], code += s[i];
                if (code > (int32_t)1 << i) return 2;
                c->last[i] = s[i] ? code - 1 : -1;
                code *= 2;
            }
            used = 17 + k;
            if (k > 256 || n < used) return 2;
            memset(c->symbol, 0, sizeof c->symbol);
            memcpy(c->symbol, s + 17, (size_t)k);
            c->set = 1;
        }
        s += used, n -= used;
    }
    return 0;
}
/* @helper qn_jpeg_frame deps: qn_jpeg_file qn_picture_size qn_be */
static int qn_jpeg_frame(qn_jpeg_file *f, const uint8_t *s, int64_t n, uint8_t *room) {
    qn_picture *p = f->p;
    int i, bad;
    if (f->frame || n < 6 || s[0] != 8 || n < 6 + 3 * (int64_t)s[5]) return 2;
    f->frame = 1, f->parts = s[5];
    if (f->parts != 1 && f->parts != 3 && f->parts != 4) return 2;
    bad = qn_picture_size(p, qn_be(s + 3, 2), qn_be(s + 1, 2));
    if (bad) return bad;
    f->h = f->v = 1;
    for (i = 0; i < f->parts; i++) {
        qn_jpeg_part *c = &f->part[i];
        c->id = s[6 + 3 * i], c->h = s[7 + 3 * i] >> 4, c->v = s[7 + 3 * i] & 15, c->table = s[8 + 3 * i];
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->table > 3) return 2;
        if (f->parts == 1) c->h = c->v = 1;
        if (c->h > f->h) f->h = c->h;
        if (c->v > f->v) f->v = c->v;
    }
    for (i = 0; i < f->parts; i++) {
        qn_jpeg_part *c = &f->part[i];
        if (f->h % c->h || f->v % c->v) return 2;
        c->wide = (p->w * c->h + f->h - 1) / f->h, c->high = (p->h * c->v + f->v - 1) / f->v;
        c->stride = (p->w + 8 * f->h - 1) / (8 * f->h) * 8 * c->h;
        c->plane = room;
        room += c->stride * ((p->h + 8 * f->v - 1) / (8 * f->v) * 8 * c->v);
    }
    return 0;
}
/* @helper qn_jpeg_start deps: qn_jpeg_scan */
static int qn_jpeg_start(qn_jpeg_file *f, const uint8_t *s, int64_t n) {
    qn_jpeg_part *c[4] = {NULL, NULL, NULL, NULL};
    int i, k;
    if (!f->frame || n < 1 || s[0] < 1 || s[0] > f->parts || n < 4 + 2 * (int64_t)s[0]) return 2;
    for (i = 0; i < s[0]; i++) {
        for (k = 0; k < f->parts; k++)
            if (f->part[k].id == s[1 + 2 * i] && !f->part[k].seen) c[i] = &f->part[k];
        if (!c[i]) return 2;
        c[i]->dc = s[2 + 2 * i] >> 4, c[i]->ac = s[2 + 2 * i] & 15, c[i]->seen = 1;
        if (c[i]->dc > 3 || c[i]->ac > 3 || !f->codes[0][c[i]->dc].set || !f->codes[1][c[i]->ac].set || !f->quantised[c[i]->table])
            return 2;
    }
    return qn_jpeg_scan(f, s[0], c);
}
/* All up to the picture's end: 0 when every component was decoded. */
/* @helper qn_jpeg_markers deps: qn_jpeg_tables qn_jpeg_frame qn_jpeg_start */
static int qn_jpeg_markers(qn_jpeg_file *f, uint8_t *room) {
    const qn_picture *p = f->p;
    int bad = 0, i;
    f->at = 2;
    while (!bad) {
        const uint8_t *s;
        int64_t n;
        int m;
        for (i = 0; f->frame && i < f->parts && f->part[i].seen;) i++;
        if (f->frame && i == f->parts) return 0;
        while (f->at + 1 < p->n && p->d[f->at] == 0xff && p->d[f->at + 1] == 0xff) f->at++;
        if (f->at + 4 > p->n || p->d[f->at] != 0xff) return 2;
        m = p->d[f->at + 1], s = p->d + f->at + 4;
        n = (int64_t)qn_be(p->d + f->at + 2, 2) - 2;
        if (m == 0xd9 || n < 0 || n > p->n - f->at - 4) return 2;
        f->at += 4 + n;
        if (m == 0xdb || m == 0xc4) bad = qn_jpeg_tables(f, s, n, m == 0xc4);
        else if (m == 0xc0 || m == 0xc1) bad = qn_jpeg_frame(f, s, n, room);
        else if (m > 0xc1 && m < 0xd0 && m != 0xc8 && m != 0xcc) bad = 2; /* progressive, lossless, arithmetic */
        else if (m == 0xda) bad = qn_jpeg_start(f, s, n);
        else if (m == 0xdd) bad = n < 2 ? 2 : 0, f->restart = n < 2 ? 0 : (int)qn_be(s, 2);
        else if (m == 0xee && n >= 12 && memcmp(s, "Adobe", 5) == 0) f->adobe = s[11];
        else if (m == 0xe0 && n >= 5 && memcmp(s, "JFIF", 5) == 0) f->jfif = 1;
    }
    return bad;
}

/* ---- from planes to pixels */
/* Row y of a component at the picture's size. */
/* @helper qn_jpeg_row deps: qn_jpeg_file */
static void qn_jpeg_row(const qn_jpeg_file *f, const qn_jpeg_part *c, int64_t y, uint8_t *to) {
    const int sx = f->h / c->h, sy = f->v / c->v;
    const int64_t at = y / sy, w = c->wide;
    const int64_t next = sy != 2 ? at : y % 2 ? (at + 1 < c->high ? at + 1 : at) : at ? at - 1 : 0;
    const uint8_t *a = c->plane + at * c->stride, *b = c->plane + next * c->stride;
    int64_t x;
    if (sx == 2 && sy == 1 && w > 2) {
        for (x = 0; x < w; x++) {
            to[2 * x] = x ? (uint8_t)((a[x] * 3 + a[x - 1] + 1) >> 2) : a[0];
            to[2 * x + 1] = x + 1 < w ? (uint8_t)((a[x] * 3 + a[x + 1] + 2) >> 2) : a[x];
        }
    } else if (sx == 2 && sy == 2 && w > 2) {
        for (x = 0; x < w; x++) {
            const int s = a[x] * 3 + b[x], l = x ? a[x - 1] * 3 + b[x - 1] : s, r = x + 1 < w ? a[x + 1] * 3 + b[x + 1] : s;
            to[2 * x] = (uint8_t)((s * 3 + l + 8) >> 4);
            to[2 * x + 1] = (uint8_t)((s * 3 + r + 7) >> 4);
        }
    } else if (sx == 1 && sy == 2) {
        for (x = 0; x < w; x++) to[x] = (uint8_t)((a[x] * 3 + b[x] + (y % 2 ? 2 : 1)) >> 2);
    } else {
        for (x = 0; x < f->p->w; x++) to[x] = a[x / sx];
    }
}
/* @helper qn_jpeg_shift deps: */
static int qn_jpeg_shift(int v) { return v >= 0 ? v >> 16 : -((65535 - v) >> 16); }
/* @helper qn_jpeg_pixel deps: qn_jpeg_file qn_jpeg_limit qn_jpeg_shift qn_picture_put */
static void qn_jpeg_pixel(const qn_jpeg_file *f, int64_t i, int coded, const int *v) {
    int c[3];
    c[0] = v[0], c[1] = v[1], c[2] = v[2];
    if (coded) {
        const int cb = v[1] - 128, cr = v[2] - 128;
        c[0] = qn_jpeg_limit(v[0] + qn_jpeg_shift(91881 * cr + 32768));
        c[1] = qn_jpeg_limit(v[0] + qn_jpeg_shift(-22554 * cb - 46802 * cr + 32768));
        c[2] = qn_jpeg_limit(v[0] + qn_jpeg_shift(116130 * cb + 32768));
    }
    if (f->parts == 4) { /* inks: it is stored how much is missing of each, as Adobe does */
        int k;
        for (k = 0; k < 3; k++) {
            const int ink = coded ? c[k] : 255 - c[k], t = ink * v[3] + 128;
            c[k] = qn_jpeg_limit(v[3] - (((t >> 8) + t) >> 8));
        }
    }
    qn_picture_put(f->p, i, (unsigned)c[0], (unsigned)c[1], (unsigned)c[2]);
}
/* @helper qn_jpeg deps: qn_jpeg_markers qn_jpeg_row qn_jpeg_pixel */
static int qn_jpeg(qn_picture *p) {
    qn_jpeg_file *f = (qn_jpeg_file *)(void *)p->work;
    uint8_t *rows = p->work + 16384;
    const int64_t room = p->most_w + 64;
    int64_t x, y;
    int bad, k, coded;
    memset(f, 0, sizeof *f);
    f->p = p, f->adobe = -1;
    bad = qn_jpeg_markers(f, rows + 4 * room);
    if (bad) return bad;
    coded = f->parts == 3 ? (f->jfif || f->adobe > 0 ? 1
                             : f->adobe == 0         ? 0
                                                     : !(f->part[0].id == 'R' && f->part[1].id == 'G' && f->part[2].id == 'B'))
                          : f->parts == 4 && f->adobe == 2;
    for (y = 0; y < p->h; y++) {
        for (k = 0; k < f->parts; k++) qn_jpeg_row(f, &f->part[k], y, rows + k * room);
        for (x = 0; x < p->w; x++) {
            int v[4];
            for (k = 0; k < 4; k++) v[k] = rows[(k < f->parts ? k : 0) * room + x];
            qn_jpeg_pixel(f, y * p->w + x, coded, v);
        }
    }
    return 0;
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif
