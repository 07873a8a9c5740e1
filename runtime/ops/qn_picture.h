/* SPDX-License-Identifier: 0BSD */
/* qn_picture.h: pictures from files: what all formats share, and those without compression: BMP, PNM, TIFF.
 * A decoder returns 0, 1 when the picture is larger than there is room for (nothing was written), 2 when it cannot be decoded.
 *
 *   "P5 2 1 255 \x00\xff"   ->   h = 1, w = 2, out = 0 0 0, 255 255 255
 */
#ifndef QN_PICTURE_H
#define QN_PICTURE_H
#include <stdint.h>
#include <string.h>
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

/* @helper qn_picture deps: */
typedef struct qn_picture {
    const uint8_t *d; /* the file */
    int64_t n;
    int64_t most_h, most_w, h, w;
    int format;          /* 0 RGB, 1 BGR, 2 grey */
    uint8_t *out, *work; /* work: 64 KiB + 4 (h + 32) (w + 32) + 32 (w + 64) bytes at the largest size */
} qn_picture;
/* @helper qn_picture_size deps: qn_picture */
static int qn_picture_size(qn_picture *p, int64_t w, int64_t h) {
    if (w < 1 || h < 1) return 2;
    if (w > p->most_w || h > p->most_h) return 1;
    p->w = w, p->h = h;
    return 0;
}
/* @helper qn_picture_put deps: qn_picture */
static void qn_picture_put(const qn_picture *p, int64_t i, unsigned r, unsigned g, unsigned b) {
    if (p->format == 2) {
        p->out[i] = (uint8_t)((r * 19595u + g * 38470u + b * 7471u + 32768u) >> 16);
    } else {
        uint8_t *o = p->out + 3 * i;
        o[0] = (uint8_t)(p->format ? b : r), o[1] = (uint8_t)g, o[2] = (uint8_t)(p->format ? r : b);
    }
}
/* @helper qn_le deps: */
static uint32_t qn_le(const uint8_t *s, int bytes) {
    uint32_t v = 0;
    while (bytes-- > 0) v = v << 8 | s[bytes];
    return v;
}
/* @helper qn_be deps: */
static uint32_t qn_be(const uint8_t *s, int bytes) {
    uint32_t v = 0;
    int i;
    for (i = 0; i < bytes; i++) v = v << 8 | s[i];
    return v;
}
/* Sample x of a row whose samples have `bits` bits, the first in the upper bits of a byte. */
/* @helper qn_sample deps: */
static unsigned qn_sample(const uint8_t *row, int64_t x, int bits) {
    if (bits == 8) return row[x];
    return (unsigned)row[x * bits / 8] >> (8 - bits - (int)(x * bits % 8)) & ((1u << bits) - 1);
}

/* ---- BMP */
/* Bits of v behind a mask, spread to 8. */
/* @helper qn_bmp_field deps: */
static unsigned qn_bmp_field(uint32_t v, uint32_t mask) {
    if (!mask) return 0;
    while (!(mask & 1)) mask >>= 1, v >>= 1;
    return (unsigned)((uint64_t)(v & mask) * 255 / mask);
}
/* @helper qn_bmp_index deps: qn_picture_put */
static void qn_bmp_index(const qn_picture *p, int64_t x, int64_t y, const uint8_t *palette, int entry, unsigned colours, unsigned v) {
    const uint8_t *c = palette + (int64_t)entry * v;
    if (x >= p->w || y < 0) return;
    if (v < colours) qn_picture_put(p, y * p->w + x, c[2], c[1], c[0]);
    else qn_picture_put(p, y * p->w + x, 0, 0, 0);
}
/* Runs of equal pixels; rows from the bottom up. */
/* @helper qn_bmp_runs deps: qn_bmp_index */
static int qn_bmp_runs(const qn_picture *p, int64_t at, int bits, const uint8_t *palette, int entry, unsigned colours) {
    int64_t x = 0, y = p->h - 1, i, k;
    for (i = 0; i < p->w * p->h; i++) qn_bmp_index(p, i % p->w, i / p->w, palette, entry, colours, 0);
    while (at + 2 <= p->n) {
        const unsigned n = p->d[at], v = p->d[at + 1];
        at += 2;
        if (n) {
            for (k = 0; k < n; k++, x++) qn_bmp_index(p, x, y, palette, entry, colours, bits == 8 ? v : k % 2 ? v & 15 : v >> 4);
        } else if (v == 0) {
            x = 0, y--;
        } else if (v == 1) {
            return 0;
        } else if (v == 2) {
            if (at + 2 > p->n) return 2;
            x += p->d[at], y -= p->d[at + 1], at += 2;
        } else {
            const int64_t bytes = bits == 8 ? v : (v + 1) / 2;
            if (at + bytes > p->n) return 2;
            for (k = 0; k < v; k++, x++) {
                const unsigned b = p->d[at + (bits == 8 ? k : k / 2)];
                qn_bmp_index(p, x, y, palette, entry, colours, bits == 8 ? b : k % 2 ? b & 15 : b >> 4);
            }
            at += bytes + bytes % 2;
        }
    }
    return 2;
}
/* @helper qn_bmp deps: qn_picture_size qn_picture_put qn_le qn_sample qn_bmp_field qn_bmp_index qn_bmp_runs */
static int qn_bmp(qn_picture *p) {
    const uint8_t *d = p->d;
    int64_t from, head, w, h, x, y, stride, palette, colours = 0;
    uint32_t mask[3] = {0, 0, 0}, how = 0;
    int bits, entry = 4, bad;
    if (p->n < 26) return 2;
    from = qn_le(d + 10, 4), head = qn_le(d + 14, 4);
    if (head == 12) {
        w = qn_le(d + 18, 2), h = qn_le(d + 20, 2), bits = (int)qn_le(d + 24, 2), entry = 3;
    } else {
        if (head < 40 || head > p->n - 14 || p->n < 54) return 2;
        w = (int32_t)qn_le(d + 18, 4), h = (int32_t)qn_le(d + 22, 4), bits = (int)qn_le(d + 28, 2);
        how = qn_le(d + 30, 4), colours = qn_le(d + 46, 4);
    }
    bad = qn_picture_size(p, w, h < 0 ? -h : h);
    if (bad) return bad;
    palette = 14 + head;
    if (how == 3 || how == 6) { /* masks stand behind a short header, or in a long one at the same place */
        if (p->n < 66) return 2;
        for (x = 0; x < 3; x++) mask[x] = qn_le(d + 54 + 4 * x, 4);
        if (head == 40) palette += 12;
    } else {
        for (x = 0; x < 3; x++) mask[x] = bits == 16 ? 31u << (10 - 5 * x) : 255u << (16 - 8 * x);
    }
    if (bits <= 8) {
        if (colours < 1 || colours > (int64_t)1 << bits) colours = (int64_t)1 << bits;
        if (palette > from) return 2;
        if (colours > (from - palette) / entry) colours = (from - palette) / entry;
    }
    if (from < 14 + head || from > p->n) return 2;
    if ((how == 1 && bits == 8) || (how == 2 && bits == 4)) return qn_bmp_runs(p, from, bits, d + palette, entry, (unsigned)colours);
    if ((how != 0 && how != 3 && how != 6) || (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)) return 2;
    stride = (p->w * bits + 31) / 32 * 4;
    if (stride > (p->n - from) / p->h) return 2;
    for (y = 0; y < p->h; y++) {
        const uint8_t *row = d + from + y * stride;
        const int64_t to = h < 0 ? y : p->h - 1 - y;
        for (x = 0; x < p->w; x++) {
            if (bits <= 8) {
                qn_bmp_index(p, x, to, d + palette, entry, (unsigned)colours, qn_sample(row, x, bits));
            } else if (bits == 24) {
                qn_picture_put(p, to * p->w + x, row[3 * x + 2], row[3 * x + 1], row[3 * x]);
            } else {
                const uint32_t v = qn_le(row + bits / 8 * x, bits / 8);
                qn_picture_put(p, to * p->w + x, qn_bmp_field(v, mask[0]), qn_bmp_field(v, mask[1]), qn_bmp_field(v, mask[2]));
            }
        }
    }
    return 0;
}

/* ---- PNM */
/* The next number of a header or of plain data; -1: none. Comments run from # to the end of the line. */
/* @helper qn_pnm_number deps: qn_picture */
static int64_t qn_pnm_number(const qn_picture *p, int64_t *at, int digits) {
    int64_t v = 0;
    int n = 0;
    for (; *at < p->n; ++*at) {
        const uint8_t c = p->d[*at];
        if (c == '#')
            while (*at < p->n && p->d[*at] != '\n' && p->d[*at] != '\r') ++*at;
        else if (c != ' ' && (c < 9 || c > 13)) break;
    }
    for (; n < digits && *at < p->n && p->d[*at] >= '0' && p->d[*at] <= '9'; ++*at, n++) v = v * 10 + (p->d[*at] - '0');
    return n ? v : -1;
}
/* v of most as v of 255, halves to even. */
/* @helper qn_pnm_scale deps: */
static unsigned qn_pnm_scale(int64_t v, int64_t most) {
    const int64_t q = v * 255 / most, r = v * 255 % most * 2;
    if (v > most) return 255;
    return (unsigned)(q + (r > most || (r == most && q % 2)));
}
/* @helper qn_pnm deps: qn_picture_size qn_picture_put qn_be qn_sample qn_pnm_number qn_pnm_scale */
static int qn_pnm(qn_picture *p) {
    const int kind = p->d[1] - '0', planes = kind == 3 || kind == 6 ? 3 : 1, bilevel = kind == 1 || kind == 4;
    int64_t at = 2, w, h, most = 1, i, k, stride;
    int wide, bad;
    w = qn_pnm_number(p, &at, 9);
    h = w < 0 ? -1 : qn_pnm_number(p, &at, 9);
    if (!bilevel) most = h < 0 ? -1 : qn_pnm_number(p, &at, 9);
    if (most < 1 || most > 65535) return 2;
    bad = qn_picture_size(p, w, h);
    if (bad) return bad;
    wide = most > 255 ? 2 : 1;
    if (kind > 3) {
        at++; /* one blank behind the header */
        stride = bilevel ? (w + 7) / 8 : w * planes * wide;
        if (at > p->n || stride > (p->n - at) / h) return 2;
        for (i = 0; i < w * h; i++) {
            const uint8_t *row = p->d + at + i / w * stride;
            unsigned v[3] = {0, 0, 0};
            for (k = 0; k < planes; k++)
                v[k] = bilevel ? 255 * !qn_sample(row, i % w, 1) : qn_pnm_scale(qn_be(row + (i % w * planes + k) * wide, wide), most);
            qn_picture_put(p, i, v[0], v[planes / 3], v[planes / 3 * 2]);
        }
        return 0;
    }
    for (i = 0; i < w * h; i++) {
        unsigned v[3] = {0, 0, 0};
        for (k = 0; k < planes; k++) {
            const int64_t s = qn_pnm_number(p, &at, bilevel ? 1 : 9);
            if (s < 0 || s > most) return 2;
            v[k] = bilevel ? 255 * !s : qn_pnm_scale(s, most);
        }
        qn_picture_put(p, i, v[0], v[planes / 3], v[planes / 3 * 2]);
    }
    return 0;
}

/* ---- TIFF: strips as they are, or runs of bytes (PackBits) */
/* @helper qn_tiff deps: qn_picture qn_le qn_be */
typedef struct qn_tiff {
    const qn_picture *p;
    int big;
    int64_t at[512], bytes[512]; /* tags 256 to 511: where values stand, and how many bytes one has */
    int64_t count[512];
} qn_tiff;
/* @helper qn_tiff_word deps: qn_tiff */
static uint32_t qn_tiff_word(const qn_tiff *t, int64_t at, int bytes) {
    if (at < 0 || at + bytes > t->p->n) return 0;
    return t->big ? qn_be(t->p->d + at, bytes) : qn_le(t->p->d + at, bytes);
}
/* Value i of a tag. */
/* @helper qn_tiff_value deps: qn_tiff_word */
static int64_t qn_tiff_value(const qn_tiff *t, int tag, int64_t i, int64_t def) {
    if (i >= t->count[tag]) return def;
    return qn_tiff_word(t, t->at[tag] + i * t->bytes[tag], (int)t->bytes[tag]);
}
/* @helper qn_tiff_directory deps: qn_tiff_word */
static int qn_tiff_directory(qn_tiff *t) {
    const int64_t at = qn_tiff_word(t, 4, 4);
    int64_t n, i;
    if (qn_tiff_word(t, 2, 2) != 42 || at < 8 || at + 2 > t->p->n) return 2;
    n = qn_tiff_word(t, at, 2);
    if (at + 2 + 12 * n > t->p->n) return 2;
    for (i = 0; i < n; i++) {
        const int64_t e = at + 2 + 12 * i, tag = qn_tiff_word(t, e, 2), type = qn_tiff_word(t, e + 2, 2);
        const int64_t count = qn_tiff_word(t, e + 4, 4), bytes = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
        if (tag < 256 || tag >= 512 || !bytes) continue;
        t->count[tag] = count, t->bytes[tag] = bytes;
        t->at[tag] = count * bytes <= 4 ? e + 8 : (int64_t)qn_tiff_word(t, e + 8, 4);
        if (t->at[tag] + count * bytes > t->p->n) return 2;
    }
    return 0;
}
/* The bytes of a row behind *at; NULL: the file ends before. */
/* @helper qn_tiff_row deps: qn_tiff */
static const uint8_t *qn_tiff_row(const qn_tiff *t, int packed, int64_t bytes, int64_t *at, uint8_t *room) {
    const qn_picture *p = t->p;
    const uint8_t *row = p->d + *at;
    int64_t n = 0, k;
    if (!packed) {
        *at += bytes;
        return *at <= p->n ? row : NULL;
    }
    while (n < bytes) {
        int64_t len;
        int run;
        if (*at >= p->n) return NULL;
        k = p->d[*at], ++*at;
        if (k == 128) continue;
        run = k > 128, len = run ? 257 - k : k + 1;
        if (len > bytes - n || *at + (run ? 1 : len) > p->n) return NULL;
        if (run) memset(room + n, p->d[*at], (size_t)len);
        else memcpy(room + n, p->d + *at, (size_t)len);
        *at += run ? 1 : len, n += len;
    }
    return room;
}
/* @helper qn_tiff_pixel deps: qn_tiff_value qn_picture_put */
static void qn_tiff_pixel(const qn_tiff *t, int64_t i, int meaning, int bits, const unsigned *v) {
    const unsigned most = bits < 8 ? (1u << bits) - 1 : 255;
    const int64_t k = (int64_t)1 << bits;
    if (meaning == 2) qn_picture_put(t->p, i, v[0], v[1], v[2]);
    else if (meaning == 3)
        qn_picture_put(t->p, i, (unsigned)qn_tiff_value(t, 320, v[0], 0) >> 8, (unsigned)qn_tiff_value(t, 320, k + v[0], 0) >> 8,
                       (unsigned)qn_tiff_value(t, 320, 2 * k + v[0], 0) >> 8);
    else {
        const unsigned g = v[0] * 255 / most, s = meaning ? g : 255 - g;
        qn_picture_put(t->p, i, s, s, s);
    }
}
/* @helper qn_tiff_rows deps: qn_tiff_row qn_tiff_pixel qn_sample */
static int qn_tiff_rows(const qn_tiff *t, int meaning, int bits, int64_t samples, int64_t strip_rows) {
    const qn_picture *p = t->p;
    const int planes = qn_tiff_value(t, 284, 0, 1) == 2, packed = qn_tiff_value(t, 259, 0, 1) == 32773;
    const int64_t bytes = (p->w * (planes ? 1 : samples) * bits + 7) / 8, strips = (p->h + strip_rows - 1) / strip_rows;
    const int used = meaning == 2 ? 3 : 1;
    int64_t at[3] = {0, 0, 0}, x, y, k;
    for (y = 0; y < p->h; y++) {
        const uint8_t *row[3] = {NULL, NULL, NULL};
        for (k = 0; k < (planes ? used : 1); k++) {
            if (y % strip_rows == 0) at[k] = qn_tiff_value(t, 273, k * strips + y / strip_rows, -1);
            if (at[k] < 8 || at[k] > p->n) return 2;
            row[k] = qn_tiff_row(t, packed, bytes, &at[k], p->work + k * bytes);
            if (!row[k]) return 2;
        }
        for (x = 0; x < p->w; x++) {
            unsigned v[3] = {0, 0, 0};
            for (k = 0; k < used; k++) {
                const uint8_t *r = row[planes ? k : 0];
                const int64_t s = planes ? x : x * samples + k;
                v[k] = bits == 16 ? r[2 * s + !t->big] : qn_sample(r, s, bits);
            }
            qn_tiff_pixel(t, y * p->w + x, meaning, bits, v);
        }
    }
    return 0;
}
/* @helper qn_tiff_decode deps: qn_tiff_directory qn_tiff_rows qn_picture_size */
static int qn_tiff_decode(qn_picture *p) {
    qn_tiff t;
    int64_t samples, how, rows, meaning, bits, k;
    int bad;
    memset(&t, 0, sizeof t);
    t.p = p, t.big = p->d[0] == 'M';
    bad = qn_tiff_directory(&t);
    if (!bad) bad = qn_picture_size(p, qn_tiff_value(&t, 256, 0, 0), qn_tiff_value(&t, 257, 0, 0));
    if (bad) return bad;
    samples = qn_tiff_value(&t, 277, 0, 1), how = qn_tiff_value(&t, 259, 0, 1), rows = qn_tiff_value(&t, 278, 0, p->h);
    meaning = qn_tiff_value(&t, 262, 0, 1), bits = qn_tiff_value(&t, 258, 0, 1);
    if (rows < 1 || rows > p->h) rows = p->h;
    if ((how != 1 && how != 32773) || meaning > 3 || samples < (meaning == 2 ? 3 : 1) || samples > 5) return 2;
    if (bits != 1 && bits != 2 && bits != 4 && bits != 8 && (bits != 16 || meaning == 3)) return 2;
    if (meaning == 2 && bits < 8) return 2;
    for (k = 1; k < samples; k++)
        if (qn_tiff_value(&t, 258, k, bits) != bits) return 2;
    if (meaning == 3 && t.count[320] < (int64_t)3 << bits) return 2;
    return qn_tiff_rows(&t, (int)meaning, (int)bits, samples, rows);
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif
