/* SPDX-License-Identifier: Apache-2.0 */
/* affinity.c: which loop is the better one to share, seen from the operands. A cache line that another processor has written takes
 * several times as long as one from the cache that all share, so a kernel should give each thread what that thread has written. How
 * a tensor was dealt out is told by its span, the distance of two threads' first elements: half of each plane for rows, half of the
 * tensor for channels. Constants are read from anywhere, but a loop that all of them depend on reads each once only.
 *
 *   y = depthwise(x): rows shared; z = conv1x1(y): channels or rows?   --->   rows, while the weights are small against y
 */
#include "parallel.h"

/* A byte that another processor has written; a byte of a constant from the shared cache, mostly hidden behind what is done with it. */
static const double WRITTEN_NS = 0.125, CONSTANT_NS = 0.02;

Spans spans_new(Arena *a, const Graph *g, int threads) { return (Spans){NEW_ARRAY(a, int64_t, g->tensors.n + 1), threads}; }
static int64_t *span_at(const Spans *s, const Tensor *t) { return &s->of[t->id]; }
static int64_t span_of(const Spans *s, const Kernel *k, const Stmt *loop, int param, int64_t step) {
    int64_t lo = 0, hi = 0, bytes;
    e_is_int(loop->u.loop.lo, &lo), e_is_int(loop->u.loop.hi, &hi);
    if (!mul_ok(step < 0 ? -step : step, hi - lo, &bytes)) return 0;
    return bytes / s->threads * (dtype_info[k->f->param.v[param]->dt].bits / 8);
}
static bool alike(int64_t x, int64_t y) { return (x < y ? y - x : x - y) <= (x < y ? y : x) / 4; }

double operands_ns(Arena *tmp, const Spans *s, const Kernel *k, Stmt *loop) {
    const int64_t *step = loop_steps(tmp, k->f, loop);
    const double others = 1 - 1.0 / s->threads; /* of what is dealt out evenly */
    double ns = 0;
    for (int i = 0; i < k->f->param.n; i++) {
        const Tensor *t = k->arg.v[i];
        const Buf *b = k->f->param.v[i];
        if (!t || b->written || step[b->id] == STEP_NONE) continue;
        const double bytes = (double)tensor_bytes(t);
        const int64_t written = *span_at(s, t) || !t->view ? *span_at(s, t) : *span_at(s, t->view->base);
        if (step[b->id] == 0) ns += bytes * others * (t->data ? CONSTANT_NS : written ? WRITTEN_NS : 0);
        else if (written && (step[b->id] == STEP_MIXED || !alike(written, span_of(s, k, loop, i, step[b->id]))))
            ns += bytes * others / s->threads * WRITTEN_NS;
    }
    return ns;
}
double scratch_ns(const Spans *s, const Kernel *k) {
    double bytes = 0;
    for (int i = 0; i < k->f->param.n; i++) {
        const Buf *b = k->f->param.v[i];
        double n = dtype_info[b->dt].bits / 8.0;
        for (int d = 0; d < b->rank; d++) n *= (double)b->dim[d];
        if (b->space == MEM_SCRATCH) bytes += n;
    }
    return bytes * (1 - 1.0 / s->threads) * WRITTEN_NS;
}
void spans_note(Arena *tmp, Spans *s, const Kernel *k, Stmt *loop) {
    const int64_t *step = loop_steps(tmp, k->f, loop);
    for (int i = 0; i < k->f->param.n; i++) {
        const Tensor *t = k->arg.v[i];
        const Buf *b = k->f->param.v[i];
        if (!t || !b->written || step[b->id] == STEP_NONE) continue;
        const int64_t span = step[b->id] == STEP_MIXED ? 1 : span_of(s, k, loop, i, step[b->id]); /* 1: like no other */
        *span_at(s, t) = span;
        if (t->view) *span_at(s, t->view->base) = span;
    }
}
