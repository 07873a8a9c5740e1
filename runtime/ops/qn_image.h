/* SPDX-License-Identifier: 0BSD */
/* qn_image.h: ImageDecoder. What cannot be decoded gives an empty picture, as ONNX says; one that is larger than the bounds ends the run.
 *
 *   qn_image({bytes, most h, most w, format}, {file, h, w, picture, scratch})   ->   h and w are set
 */
#ifndef QN_IMAGE_H
#define QN_IMAGE_H
#include "qn_picture.h"
#include "qn_png.h"
#include "qn_jpeg.h"

/* @helper qn_image deps: qn_bmp qn_pnm qn_tiff_decode qn_png qn_jpeg */
static int qn_image(const int64_t *arg, void *const *buf) {
    qn_picture p;
    int bad = 2;
    memset(&p, 0, sizeof p);
    p.d = (const uint8_t *)buf[0], p.n = arg[0], p.most_h = arg[1], p.most_w = arg[2], p.format = (int)arg[3];
    p.out = (uint8_t *)buf[3], p.work = (uint8_t *)buf[4];
    if (p.n > 8 && memcmp(p.d, "\x89PNG\r\n\x1a\n", 8) == 0) bad = qn_png(&p);
    else if (p.n > 4 && p.d[0] == 0xff && p.d[1] == 0xd8) bad = qn_jpeg(&p);
    else if (p.n > 8 && (memcmp(p.d, "II", 2) == 0 || memcmp(p.d, "MM", 2) == 0)) bad = qn_tiff_decode(&p);
    else if (p.n > 2 && p.d[0] == 'B' && p.d[1] == 'M') bad = qn_bmp(&p);
    else if (p.n > 2 && p.d[0] == 'P' && p.d[1] >= '1' && p.d[1] <= '6') bad = qn_pnm(&p);
    *(int64_t *)buf[1] = bad ? 0 : p.h;
    *(int64_t *)buf[2] = bad ? 0 : p.w;
    return bad == 1;
}
#endif
