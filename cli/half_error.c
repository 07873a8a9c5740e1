/* SPDX-License-Identifier: Apache-2.0 */
/* half_error.c: what --fast-f16 costs in accuracy: the model as it will be emitted and the same in float32 run on the same inputs, those of
 * --data or seeded ones, compiled where this machine computes in half precision, else interpreted if that takes a few seconds only.
 *
 *   half_error(c, o, p, &e)   --->   e.abs 0.0021, e.rel 0.0046: the largest difference, and as a part of that output's largest value
 */
#include "bench.h"
#include "verify.h"
#include <math.h>
#include <string.h>

enum { INTERPRETED_MACS = 100 * 1000 * 1000 };

static void compare(Ctx *c, const Graph *g, const Tensor *t, int64_t *dims, const void *got, const void *want, HalfError *e) {
    Type y = type_with_dims(&t->type, dims);
    int64_t n;
    (void)c, (void)g;
    if (t->packed || !dtype_is_float(y.dt) || !type_elements(&y, &n)) return; /* labels and values that are no tensors */
    double most = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = dtype_get_f(y.dt, got, i), w = dtype_get_f(y.dt, want, i);
        if (isfinite(x) != isfinite(w)) e->lost++;
        if (isfinite(w)) largest = fmax(largest, fabs(w));
        if (isfinite(x) && isfinite(w)) most = fmax(most, fabs(x - w));
    }
    e->abs = fmax(e->abs, most);
    if (largest > 0) e->rel = fmax(e->rel, most / largest);
}
static bool run_both(Ctx *c, Options *o, Runner *r, HalfError *e) {
    DataSet set = {0};
    if (!bench_data(c, o, &set)) return false;
    Options single = *o;
    single.pass.fast_f16 = false;
    void **out[2];
    int64_t **dims[2];
    for (int k = 0; k < 2; k++) {
        if (!runner_open(c, k ? &single : o, &r[k])) return false;
        const Graph *g = r[k].p->g;
        const void **in = bench_inputs(c, g, &set);
        if (!in) return false;
        out[k] = runner_outputs(c, g), dims[k] = dims_new(c->a, g->out.n, g->out.v);
        Value *v = set.dir ? set.in.v : NEW_ARRAY(c->a, Value, g->in.n + 1);
        if (!runner_call(c, o, &r[k], in, runner_dims(c, g, v), out[k], dims[k])) return false;
    }
    const Graph *g = r[0].p->g;
    for (int i = 0; i < g->out.n; i++) compare(c, g, g->out.v[i], dims[0][i], out[0][i], out[1][i], e);
    return true;
}
bool half_error(Ctx *c, Options *o, const Program *p, HalfError *e) {
    Options mine = *o;
    Runner r[2] = {{0}};
    *e = (HalfError){.data = o->data.n > 0};
    mine.interpret = !target_half_here(p->target);
    mine.emit_main = mine.per_layer = false, mine.weights = NULL;
    mine.pass.dump_after.n = 0, mine.pass.time = false;
    if (mine.interpret && p->macs > INTERPRETED_MACS) return true;
    Diags own = {.a = c->a}; /* a compiler that is missing or too old is no error of the model */
    e->known = run_both(&(Ctx){c->a, &own}, &mine, r, e);
    for (int k = 0; k < 2; k++) runner_close(&r[k]);
    return true;
}
void half_error_print(Text *t, const HalfError *e) {
    if (!e->known) {
        text_puts(
            t,
            "--fast-f16: the error was not measured: this machine or its compiler has no half precision; quern verify --interpret tells");
        return;
    }
    text_printf(t, "--fast-f16: largest difference from float32 %.3g, %.3g of the largest value, on %s", e->abs, e->rel,
                e->data ? "the data set" : "seeded inputs");
    if (e->lost) text_printf(t, "; %lld values are beyond 65504 or no numbers", (long long)e->lost);
}
