/* SPDX-License-Identifier: Apache-2.0 */
/* window.c: sliding windows. Ranges are clamped outside of the loops, so no loop tests for padding.
 *
 *   kernel 3, stride 1, padding 1, extent 8: taps of output o are [max(0, 1-o), min(3, 9-o))
 */
#include "window.h"
#include <string.h>

static int64_t at(const Node *n, int a, int i, int64_t def) {
    return a >= 0 && attr_has(n, a) && n->attr[a].n > i ? n->attr[a].is[i] : def;
}
static const char *mode_of(const Node *n, const WindowAttrs *a) {
    return a->auto_pad >= 0 && attr_has(n, a->auto_pad) ? attr_s(n, a->auto_pad) : "NOTSET";
}

static void pad_same(Window *w, bool lower) {
    w->out = ceil_div(w->in, w->stride);
    int64_t need = max_i64((w->out - 1) * w->stride + (w->k - 1) * w->dil + 1 - w->in, 0);
    w->lo = lower ? need - need / 2 : need / 2;
    w->hi = need - w->lo;
}
static void window_attrs(const Node *n, const WindowAttrs *a, int rank, int i, Window *w) {
    w->stride = at(n, a->strides, i, 1), w->dil = at(n, a->dilations, i, 1);
    w->lo = w->hi = 0;
    if (strcmp(mode_of(n, a), "NOTSET") == 0) w->lo = at(n, a->pads, i, 0), w->hi = at(n, a->pads, i + rank, 0);
}
void window_of(const Node *n, const WindowAttrs *a, int rank, const int64_t *in, const int64_t *k, const int64_t *out, Window *w) {
    for (int i = 0; i < rank; i++) {
        w[i] = (Window){.in = in[i], .k = k[i]};
        window_attrs(n, a, rank, i, &w[i]);
        if (strncmp(mode_of(n, a), "SAME", 4) == 0) pad_same(&w[i], strcmp(mode_of(n, a), "SAME_LOWER") == 0);
        w[i].out = out[i];
    }
}
static bool check_lengths(Infer *x, const WindowAttrs *a, int rank) {
    const struct {
        int attr, len;
        const char *name;
    } rows[] = {{a->strides, rank, "strides"}, {a->dilations, rank, "dilations"}, {a->pads, 2 * rank, "pads"}};
    for (int i = 0; i < 3; i++)
        if (rows[i].attr >= 0 && attr_has(x->n, rows[i].attr) && x->n->attr[rows[i].attr].n != rows[i].len)
            return infer_error(x, "%s has %lld values, expected %d", rows[i].name, (long long)x->n->attr[rows[i].attr].n, rows[i].len);
    return true;
}
bool window_infer(Infer *x, const WindowAttrs *a, int rank, const int64_t *in, const int64_t *k, Window *w) {
    const char *mode = mode_of(x->n, a);
    bool same = strcmp(mode, "SAME_UPPER") == 0 || strcmp(mode, "SAME_LOWER") == 0;
    if (!same && strcmp(mode, "NOTSET") && strcmp(mode, "VALID"))
        return infer_error(x, "auto_pad is '%s', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", mode);
    if (!check_lengths(x, a, rank)) return false;
    for (int i = 0; i < rank; i++) {
        Window *v = &w[i];
        *v = (Window){.in = in[i], .k = k[i]};
        window_attrs(x->n, a, rank, i, v);
        int64_t eff, span;
        if (v->k < 1 || v->stride < 1 || v->dil < 1)
            return infer_error(x, "axis %d has kernel %lld, stride %lld, dilation %lld; each must be at least 1", i, (long long)v->k,
                               (long long)v->stride, (long long)v->dil);
        if (v->lo < 0 || v->hi < 0)
            return infer_error(x, "pads of axis %d are %lld and %lld, expected none below 0", i, (long long)v->lo, (long long)v->hi);
        if (!mul_ok(v->k - 1, v->dil, &eff) || !add_ok(eff, 1, &eff) || !add_ok(v->in, v->lo, &span) || !add_ok(span, v->hi, &span) ||
            eff > INT32_MAX || span > INT32_MAX || v->stride > INT32_MAX || v->dil > INT32_MAX)
            return infer_error(x, "the window of axis %d overflows", i);
        if (same) {
            pad_same(v, strcmp(mode, "SAME_LOWER") == 0);
            continue;
        }
        bool ceil_mode = a->ceil_mode >= 0 && attr_i(x->n, a->ceil_mode);
        if (span < eff)
            return infer_error(x, "the window covers %lld elements of axis %d, the padded input has %lld", (long long)eff, i,
                               (long long)span);
        v->out = (ceil_mode ? ceil_div(span - eff, v->stride) : (span - eff) / v->stride) + 1;
        if (ceil_mode && (v->out - 1) * v->stride >= v->in + v->lo) v->out--; /* a window that starts in the padding behind is dropped */
    }
    return true;
}

Expr *window_extent(Infer *x, const WindowAttrs *a, int i, const Window *w, Expr *in) {
    Arena *m = x->g->a;
    int64_t c;
    if (e_is_int(in, &c)) return e_int(m, w->out);
    bool ceil_mode = a->ceil_mode >= 0 && attr_i(x->n, a->ceil_mode);
    if (strncmp(mode_of(x->n, a), "SAME", 4) == 0) {
        if (w->stride == 1) return in;
        infer_error(x, "auto_pad with stride %lld on axis %d, whose extent is known at run time only; give pads or fix the axis with --dim",
                    (long long)w->stride, i + 2);
        return NULL;
    }
    int64_t add = w->lo + w->hi - (w->k - 1) * w->dil - 1 + (ceil_mode ? w->stride - 1 : 0);
    Expr *out = extent_add(x->g, extent_floor_div(x->g, extent_add(x->g, in, e_int(m, add)), w->stride), e_int(m, 1));
    if (!ceil_mode) return out;
    Expr *last = e_mul(m, e_sub(m, out, e_int(m, 1)), e_int(m, w->stride)), *over = e_le(m, e_add(m, in, e_int(m, w->lo)), last);
    return extent_simplify(x->g, e_sub(m, out, e_cast(m, DT_INT64, over)));
}
void window_run_time(Lower *L, const Node *n, const WindowAttrs *a, int rank, const Type *in, const Type *out, Window *w) {
    bool ceil_mode = a->ceil_mode >= 0 && attr_i(n, a->ceil_mode);
    for (int i = 0; i < rank; i++) {
        if (!in->ext || !in->ext[2 + i]) continue;
        w[i].run_in = lower_dim(L, in, 2 + i), w[i].run_out = lower_dim(L, out, 2 + i);
        w[i].inside = w[i].lo == 0 && w[i].hi == 0 && !ceil_mode;
        if (strncmp(mode_of(n, a), "SAME", 4) == 0) { /* stride 1: what is needed does not depend on the extent */
            int64_t need = (w[i].k - 1) * w[i].dil;
            w[i].lo = strcmp(mode_of(n, a), "SAME_LOWER") == 0 ? need - need / 2 : need / 2, w[i].hi = need - w[i].lo;
            w[i].inside = need == 0;
        }
    }
}

static Expr *in_of(Lower *L, const Window *w) { return w->run_in ? w->run_in : e_int(L->a, w->in); }
static bool all_inside(const Window *w) {
    if (w->run_in) return w->inside;
    return w->lo == 0 && (w->out - 1) * w->stride + (w->k - 1) * w->dil < w->in;
}
/* max(0, e)/d for an e that may be negative */
static Expr *div_pos(Lower *L, Expr *e, int64_t d) { return e_div(L->a, e_max(L->a, e, e_int(L->a, 0)), e_int(L->a, d)); }
void window_taps(Lower *L, const Window *w, Expr *o, Expr **lo, Expr **hi) {
    *lo = e_int(L->a, 0), *hi = e_int(L->a, w->k);
    if (all_inside(w)) return;
    Expr *start = e_mul(L->a, o, e_int(L->a, w->stride));
    if (w->lo) *lo = div_pos(L, e_sub(L->a, e_int(L->a, w->lo + w->dil - 1), start), w->dil);
    *hi = e_min(L->a, *hi, div_pos(L, e_sub(L->a, e_add(L->a, in_of(L, w), e_int(L->a, w->lo + w->dil - 1)), start), w->dil));
}
void window_outputs(Lower *L, const Window *w, Expr *r, Expr **lo, Expr **hi) {
    *lo = e_int(L->a, 0), *hi = w->run_out ? w->run_out : e_int(L->a, w->out);
    if (all_inside(w)) return;
    Expr *tap = e_mul(L->a, r, e_int(L->a, w->dil));
    if (w->lo) *lo = div_pos(L, e_sub(L->a, e_int(L->a, w->lo + w->stride - 1), tap), w->stride);
    *hi = e_min(L->a, *hi, div_pos(L, e_sub(L->a, e_add(L->a, in_of(L, w), e_int(L->a, w->lo + w->stride - 1)), tap), w->stride));
}
Expr *window_at(Lower *L, const Window *w, Expr *o, Expr *r) {
    Expr *e = e_add(L->a, e_mul(L->a, o, e_int(L->a, w->stride)), e_mul(L->a, r, e_int(L->a, w->dil)));
    return e_sub(L->a, e, e_int(L->a, w->lo));
}
