/* SPDX-License-Identifier: Apache-2.0 */
/* image.c: ImageDecoder. How large a picture is shows in the file: two outputs more than ONNX's, its extents, which what the model
 * declares bounds.
 *
 *   ImageDecoder(file: uint8[n]) -> picture: uint8[h<=32,w<=32,3], h, w
 */
#include "../extent.h"
#include <string.h>

static int pixel_format(const Node *n) {
    static const char *const name[] = {"RGB", "BGR", "Grayscale"};
    for (int i = 0; i < 3; i++)
        if (strcmp(attr_s(n, 0), name[i]) == 0) return i;
    return -1;
}
bool infer_image_decoder(Infer *x) {
    const Node *n = x->n;
    const Type *t = &n->in[0]->type, *o = &n->out[0]->type;
    if (t->dt != DT_UINT8 || t->rank != 1) return infer_error(x, "the input is expected to be uint8 with one axis");
    int format = pixel_format(n);
    if (format < 0) return infer_error(x, "pixel_format is '%s'; RGB, BGR or Grayscale is expected", attr_s(n, 0));
    Expr *e[3] = {NULL, NULL, e_int(x->g->a, format == 2 ? 1 : 3)};
    for (int k = 0; k < 2; k++) {
        if (o->rank != 3 || o->dim[k] < 0)
            return infer_error(
                x,
                "the extent of axis %d of output 0 '%s', the picture's %s, has no upper bound; declare it in the model or give "
                "--dim '%s[%d]=V'",
                k, n->out[0]->name, k ? "width" : "height", n->out[0]->name, k);
        if (o->dim[k] > 65535)
            return infer_error(x, "pictures of up to 65535 rows and columns are supported; %lld is declared", (long long)o->dim[k]);
        if (!(e[k] = infer_found(x, 1 + k, o->dim[k]))) return false;
    }
    return infer_extents(x, 0, DT_UINT8, 3, e);
}
bool lower_image_decoder(Lower *L, Node *n) {
    int64_t h = n->out[0]->type.dim[0], w = n->out[0]->type.dim[1], room = 65536 + 4 * (h + 32) * (w + 32) + 32 * (w + 64);
    Buf *work = lower_temp(L, "work", DT_UINT8, 1, &room);
    Expr *arg[4] = {lower_dim(L, &n->in[0]->type, 0), lower_int(L, h), lower_int(L, w), lower_int(L, pixel_format(n))};
    Buf *buf[5] = {lower_tensor(L, n->in[0]), lower_tensor(L, n->out[1]), lower_tensor(L, n->out[2]), lower_tensor(L, n->out[0]), work};
    lower_call(L, "qn_image", 4, arg, 5, buf, 0x1e);
    return true;
}
