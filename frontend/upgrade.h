/* SPDX-License-Identifier: Apache-2.0 */
/* upgrade.h: what functions of upgrade.def use. */
#ifndef QN_FRONTEND_UPGRADE_H
#define QN_FRONTEND_UPGRADE_H
#include <string.h>
#include "frontend/import.h"

typedef bool (*UpgradeFn)(RawNode *r, const char *arg);
#define UP(op, below, fn, arg, why) bool up_##fn(RawNode *r, const char *arg_);
#include "frontend/upgrade.def"
#undef UP

const Attr *raw_attr(const RawNode *r, const char *name); /* NULL: not given */
bool raw_take(RawNode *r, const char *name, Attr *a);     /* removes it; false: not given */
void raw_put(RawNode *r, const char *name, Attr a);       /* adds or replaces */
Tensor *raw_in(const RawNode *r, int i);                  /* NULL: not given */
void raw_set_in(RawNode *r, int i, Tensor *t);            /* pads with NULL */
Tensor *raw_out(RawNode *r, int i);                       /* NULL: not wanted */
/* A node before this one with one fresh output. */
Tensor *raw_build(RawNode *r, const char *op, int nin, Tensor *const *in);
Tensor *raw_build_as(RawNode *r, const char *op, int nin, Tensor *const *in, Tensor *out); /* defines `out` */
Tensor *raw_scalar(RawNode *r, const Tensor *like, double v);                              /* of the element type of `like` */
bool raw_kind(RawNode *r, const char *name, const Attr *a, AttrKind want);                 /* error when it is another */
#define RAW_ERROR(r, ...) diag_error((r)->im->c->d, (r)->loc, __VA_ARGS__)
#endif
