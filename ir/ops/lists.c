/* SPDX-License-Identifier: Apache-2.0 */
/* lists.c: internal operators between tensors and values that are no tensors, as the model's interface has them (runtime/ops/qn_lists.h).
 *
 *   x0 = ListItem(x, x_dims) {form=[0,1,32,0], leaf=0}         y = ListPack(y_dims, a, b) {form=[0,1,32,0]}
 */
#include "../list.h"

enum { FORM, LEAF, MOST };
static bool form_ok(Infer *x) {
    const Attr *f = &x->n->attr[FORM];
    bool ok = f->n == 4 && f->is[0] >= 0 && f->is[0] <= 1 && f->is[1] >= 0 && f->is[1] <= 3;
    for (int i = 2; ok && i < 4; i++) ok = f->is[i] >= 0 && f->is[i] <= 128;
    return ok || infer_error(x, "'form' is expected to be: optional, kind, bits of an element, bits of a key");
}
bool infer_list_item(Infer *x) { /* its type was set with it */
    const Tensor *t = x->n->out[0];
    if (x->n->in[0]->type.dt != DT_UINT8 || x->n->in[1]->type.dt != DT_INT64) return infer_error(x, "bytes and a dims list are expected");
    return form_ok(x) && ((t && type_known(&t->type)) || infer_error(x, "its output has no type"));
}
bool lower_list_item(Lower *L, Node *n) {
    Expr *arg[7];
    for (int i = 0; i < 4; i++) arg[i] = lower_int(L, n->attr[FORM].is[i]);
    arg[4] = lower_int(L, attr_i(n, LEAF)), arg[5] = lower_int(L, attr_i(n, MOST)), arg[6] = lower_int(L, tensor_bytes(n->out[0]));
    lower_call(L, "qn_list_get", 7, arg, 3, (Buf *[]){lower_tensor(L, n->in[0]), lower_tensor(L, n->in[1]), lower_tensor(L, n->out[0])}, 4);
    return true;
}
bool infer_list_pack(Infer *x) {
    const Tensor *t = x->n->out[0];
    bool rows = x->n->attr[FORM].n == 4 && x->n->attr[FORM].is[1] == 3;
    if (x->n->in[0]->type.dt != DT_INT64 || (rows && x->n->nin != 3)) return infer_error(x, "a dims list and tensors are expected");
    return form_ok(x) && ((t && type_known(&t->type) && t->type.dt == DT_UINT8) || infer_error(x, "its output has no size"));
}
bool lower_list_pack(Lower *L, Node *n) {
    Expr *arg[5];
    Buf *dims = lower_tensor(L, n->in[0]), *to = lower_tensor(L, n->out[0]);
    for (int i = 0; i < 4; i++) arg[i] = lower_int(L, n->attr[FORM].is[i]);
    if (n->attr[FORM].is[1] == 3) {
        arg[4] = lower_int(L, tensor_bytes(n->in[1]));
        lower_call(L, "qn_list_rows", 5, arg, 4, (Buf *[]){dims, lower_tensor(L, n->in[1]), lower_tensor(L, n->in[2]), to}, 8);
        return true;
    }
    for (int i = 1; i < n->nin; i++) {
        arg[4] = lower_int(L, i - 1);
        lower_call(L, "qn_list_put", 5, arg, 3, (Buf *[]){dims, lower_tensor(L, n->in[i]), to}, 4);
    }
    return true;
}
