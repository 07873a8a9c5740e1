/* SPDX-License-Identifier: Apache-2.0 */
/* strips.c: kernels in a row whose maps leave the second level of cache on the way from one to the next become one kernel that goes
 * through all of them strip by strip: some rows of the first map, the rows of the next one that they allow, and so on. The maps between
 * them shrink to the rows that a strip needs; rows at a seam are computed for both of its strips, so strips are independent.
 *
 *   for e in 0..112: a[c,e,…] = …; for e in 0..56: y[c,e,…] = … a[c,2*e+r-1,…] …
 *     --->   for strip in 0..4: { for e in max(0, 28*strip-1)..min(112, 28*strip+28): a'[c,e-(28*strip-1),…] = …;
 *                                 for e in 14*strip..14*strip+14: y[c,e,…] = … a'[c,2*e+r-1-(28*strip-1),…] … }
 *
 * Only maps [N, C/lanes, H, W, lanes] with one reader, of kernels whose nests store them row by row (ir/ops/blocked*.c).
 */
#include "cost.h"
#include "internal.h"
#include "ir/extent.h"
#include "ir/ops/blocked.h"
#include <string.h>

enum { MOST_STAGES = 8, ROW = 2 };
/* What is gained must be SURE times what seams cost, and that part of the whole. */
static const double SURE = 1.5, WORTH = 0.02;

typedef struct Stage {
    Kernel *k;
    const Node *anchor;
    Tensor *out;                   /* the map that it makes */
    int64_t base_step, base, rows; /* of that map in strip t: rows [base_step * t + base, … + rows) */
} Stage;
typedef struct Chain {
    Run *r;
    int n;
    Stage of[MOST_STAGES];
    int64_t strips;
} Chain;

static bool by_rows(const Node *n) {
    static const char *const names[] = {"ConvBlocked", "DepthwiseBlocked", "PoolBlocked"};
    bool known = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) known |= strcmp(n->op->name, names[i]) == 0;
    return known && strcmp(n->op->domain, "quern") == 0;
}
/* ---- which loops go over the rows of a map */
typedef struct Rows {
    Arena *tmp;
    const Buf *map;
    Vec(Stmt *) open, loop; /* around the current statement; over rows */
    Vec(int64_t) shift;     /* the row is the loop's number and this */
    bool ok;
} Rows;
static void row_of(Rows *w, const Expr *row) {
    Affine at;
    int64_t same = -1;
    if (!expr_affine(row, &at) || at.n != 1 || at.k[0] != 1) {
        w->ok = false;
        return;
    }
    for (int i = 0; i < w->loop.n; i++)
        if (w->loop.v[i]->u.loop.v == at.v[0]) same = i;
    if (same >= 0) {
        w->ok &= w->shift.v[same] == at.c;
        return;
    }
    for (int i = 0; i < w->open.n; i++) {
        if (w->open.v[i]->u.loop.v != at.v[0]) continue;
        vec_push(w->tmp, &w->loop, w->open.v[i]);
        vec_push(w->tmp, &w->shift, at.c);
        return;
    }
    w->ok = false;
}
static void find_rows(Rows *w, Stmt *s) {
    switch (s->k) {
    case S_FOR:
        vec_push(w->tmp, &w->open, s);
        find_rows(w, s->u.loop.body);
        w->open.n--;
        break;
    case S_STORE:
        if (s->u.st.buf != w->map) break;
        if (s->u.st.red != RED_NONE) w->ok = false;
        else row_of(w, s->u.st.idx[ROW]);
        break;
    case S_IF:
        find_rows(w, s->u.cond.then);
        if (s->u.cond.other) find_rows(w, s->u.cond.other);
        break;
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) find_rows(w, s->u.block.v[i]);
        break;
    case S_CALL:
        for (int i = 0; i < s->u.call.nbuf; i++) w->ok &= s->u.call.buf[i] != w->map;
        break;
    case S_ALLOC: w->ok &= s->u.alloc->space == MEM_REG; break; /* sums in memory are for all rows */
    default: break;
    }
}
static Rows rows_of(Arena *tmp, Stmt *body, const Buf *map) {
    Rows w = {.tmp = tmp, .map = map, .ok = true};
    find_rows(&w, body);
    w.ok &= w.loop.n > 0;
    return w;
}

/* ---- which kernels may be stages */
static bool plain(const Kernel *k) {
    if (k->loop || k->loop_end || k->guard.n) return false;
    for (int i = 0; i < k->arg.n; i++)
        if (!k->arg.v[i]) return false;
    for (int i = 0; i < k->nodes.n; i++)
        if (node_dynamic(k->nodes.v[i])) return false;
    return true;
}
static bool stage_of(Run *r, Kernel *k, Stage *s) {
    *s = (Stage){.k = k};
    int written = -1;
    if (!plain(k)) return false;
    for (int i = 0; i < k->nodes.n; i++)
        if (k->nodes.v[i]->kernel == 0 || k->nodes.v[i]->role == ROLE_ANCHOR) s->anchor = k->nodes.v[i];
    for (int i = 0; i < k->arg.n; i++) {
        if (!k->f->param.v[i]->written) continue;
        if (written >= 0) return false;
        written = i, s->out = k->arg.v[i];
    }
    if (!s->anchor || written < 0 || !by_rows(s->anchor)) return false;
    const Buf *b = k->f->param.v[written];
    return b->rank == 5 && b->dim[0] == 1 && rows_of(r->tmp, k->f->body, b).ok;
}
/* The map goes to the next stage's window and nowhere else. */
static bool passes_on(const Graph *g, const Stage *s, const Stage *next) {
    const Tensor *t = s->out;
    if (next->anchor->in[0] != t || t->nuse != 1 || t->is_output || t->is_input || t->kept || t->view) return false;
    for (int i = 0; i < g->tensors.n; i++)
        if (g->tensors.v[i]->view && g->tensors.v[i]->view->base == t) return false;
    return true;
}

/* ---- whether it is worth it */
static int64_t cache_bytes(const Target *t) {
    int i = target_level(t, "L2");
    return i >= 0 ? t->level[i].words * t->level[i].word_bits / 8 : 512 << 10;
}
/* Rows of each map in a strip of `rows` rows of the last one. */
static void window_rows(Chain *c, int64_t rows) {
    Stage *s = &c->of[c->n - 1];
    s->base_step = rows, s->base = 0, s->rows = rows;
    for (; s > c->of; s--) {
        const int64_t k = s->anchor->attr[BLK_KERNEL].is[0], stride = s->anchor->attr[BLK_STRIDES].is[0],
                      dil = s->anchor->attr[BLK_DILATIONS].is[0], pad = s->anchor->attr[BLK_PADS].is[0];
        s[-1].base_step = s->base_step * stride, s[-1].base = s->base * stride - pad;
        s[-1].rows = (s->rows - 1) * stride + (k - 1) * dil + 1;
    }
}
static int64_t height(const Stage *s) { return s->out->type.dim[ROW]; }
static int64_t row_bytes(const Stage *s) { return tensor_bytes(s->out) / height(s); }
static bool products(const Stage *s) { return strcmp(s->anchor->op->name, "ConvBlocked") == 0; }
/* The memory behind the second level of cache: there a map lies that has left it. */
static int behind(const Target *t) { return max_i64(target_level(t, "L2") - 1, 0); }
/* Of a map's words that a stage stores for the next one to load. */
static double word_cycles(const Target *t, const Stage *s) {
    return store_price(t, behind(t), products(s)) + load_price(t, behind(t), products(s + 1));
}
/* Of a row: weights count with the zeros that fill up lanes and groups. */
static double row_cycles(const Target *t, const Stage *s) {
    const int64_t *k = s->anchor->attr[BLK_KERNEL].is, width = s->out->type.dim[3];
    const int64_t steps =
        products(s) ? tensor_elements(s->anchor->in[1]) * width / target_lanes(t, 32) : k[0] * k[1] * width * s->out->type.dim[1];
    return (double)steps * step_price(t, products(s));
}
/* What strips gain, in cycles: so many that the maps stay within half of the cache; seams are computed twice. 0: not worth it. */
static double choose_strips(Chain *c) {
    const Target *t = c->r->o->target;
    const int64_t threads = max_i64(c->r->o->threads, 1), last = height(&c->of[c->n - 1]), budget = cache_bytes(t) / 2;
    for (int64_t strips = threads; strips <= last; strips += threads) {
        const int64_t rows = ceil_div(last, strips);
        int64_t bytes = 0;
        double gain = 0, loss = 0, all = row_cycles(t, &c->of[c->n - 1]) * (double)last;
        window_rows(c, rows);
        c->strips = ceil_div(last, rows);
        for (int i = 0; i + 1 < c->n; i++) {
            const Stage *s = &c->of[i];
            const int64_t twice = s->rows * c->strips - height(s), left = tensor_bytes(s->out) - budget * threads;
            bytes += s->rows * row_bytes(s), all += row_cycles(t, s) * (double)height(s);
            if (left > 0) gain += (double)left * 8 / t->level[behind(t)].word_bits * word_cycles(t, s);
            if (twice > 0) loss += row_cycles(t, s) * (double)twice;
        }
        if (bytes <= budget) return gain > loss * SURE && gain - loss > all * WORTH ? gain - loss : 0;
    }
    return 0;
}
static Chain part_of(const Chain *run, int from, int n) {
    Chain c = {.r = run->r, .n = n};
    memcpy(c.of, run->of + from, (size_t)n * sizeof *c.of);
    return c;
}
/* Kernels from `first` on that could be one chain. */
static void find_run(Chain *c, const Program *p, int first) {
    const int64_t threads = max_i64(c->r->o->threads, 1), most = cache_bytes(c->r->o->target) / 2 * threads;
    for (c->n = 0; c->n < MOST_STAGES && first + c->n < p->k.n; c->n++) {
        if (!stage_of(c->r, p->k.v[first + c->n], &c->of[c->n])) return;
        if (c->n && (tensor_bytes(c->of[c->n - 1].out) <= most || !passes_on(p->g, &c->of[c->n - 1], &c->of[c->n]))) return;
    }
}
/* Cuts a run so that the sum of what its parts gain is the largest. length: of the part that begins at a stage. */
static void cut_run(const Chain *run, int *length) {
    double best[MOST_STAGES + 1] = {0};
    for (int i = run->n - 1; i >= 0; i--) {
        best[i] = best[i + 1], length[i] = 1;
        for (int n = 2; i + n <= run->n; n++) {
            Chain c = part_of(run, i, n);
            const double gain = choose_strips(&c);
            if (gain <= 0 || gain + best[i + n] <= best[i]) continue;
            best[i] = gain + best[i + n], length[i] = n;
        }
    }
}

/* ---- one function of them */
typedef struct Moved { /* loads of a map: its rows counted from the strip's first */
    Arena *a;
    const Buf *map;
    Expr *base;
} Moved;
static Expr *move_load(void *user, Expr *e) {
    const Moved *m = user;
    if (e->k != E_LOAD || e->u.ld.buf != m->map) return e;
    Expr *at[5];
    memcpy(at, e->u.ld.idx, sizeof at);
    at[ROW] = e_sub(m->a, at[ROW], m->base);
    return e_load(m->a, e->u.ld.buf, at);
}
static Expr *move_expr(void *user, Expr *e) { return expr_map(((Moved *)user)->a, e, move_load, user); }
static void move_store(void *user, Stmt *s) {
    const Moved *m = user;
    if (s->k == S_STORE && s->u.st.buf == m->map) s->u.st.idx[ROW] = e_sub(m->a, s->u.st.idx[ROW], m->base);
}
static bool same_place(const Buf *x, const Buf *y) {
    bool same = x->rank == y->rank && x->offset == y->offset && x->dt == y->dt;
    for (int i = 0; same && i < x->rank; i++) same = x->dim[i] == y->dim[i] && x->stride[i] == y->stride[i];
    return same;
}
/* The parameter of k's function that is this place in t; t NULL: scratch. */
static Buf *add_param(Kernel *k, const Buf *from, Tensor *t) {
    Func *f = k->f;
    for (int i = 0; t && i < f->param.n; i++)
        if (k->arg.v[i] == t && same_place(f->param.v[i], from)) return f->param.v[i];
    Buf *b = NEW(f->a, Buf);
    *b = *from;
    b->id = f->nbuf++;
    for (int i = 0, again = 1; i < f->param.n; i++)
        if (strcmp(f->param.v[i]->name, b->name) == 0) b->name = arena_printf(f->a, "%s_%d", from->name, ++again), i = -1;
    vec_push(f->a, &f->param, b);
    vec_push(f->a, &k->arg, t);
    return b;
}
static const Buf *written_of(const Kernel *k) {
    for (int i = 0; i < k->arg.n; i++)
        if (k->f->param.v[i]->written) return k->f->param.v[i];
    BUG("kernel '%s' writes nothing", k->f->name);
}
/* A map between two stages: the rows of one strip. */
static Buf *add_map(Kernel *k, const Stage *s) {
    const Buf *from = written_of(s->k);
    int64_t dim[QN_MAX_RANK];
    memcpy(dim, from->dim, sizeof dim);
    dim[ROW] = s->rows;
    Buf dense = *buf_new(k->f, from->name, from->dt, from->rank, dim, MEM_SCRATCH), *b = add_param(k, &dense, NULL);
    b->written = true;
    return b;
}
static Expr *first_row(Arena *a, const Stage *s, const Var *strip) {
    return e_add(a, e_mul(a, e_var(a, strip), e_int(a, s->base_step)), e_int(a, s->base));
}
/* The stage's nest on the rows of a strip. `in` and `out`: the maps of a strip, NULL at the ends of the chain. */
static void add_stage(Run *r, Kernel *k, const Stage *s, Stmt *body, const Var *strip, Buf *in, Buf *out) {
    Arena *a = k->f->a;
    const Func *f = s->k->f;
    Buf **param = NEW_ARRAY(a, Buf *, f->param.n), *map = NULL;
    Expr *from = first_row(a, s, strip), *to = e_add(a, from, e_int(a, s->rows));
    for (int i = 0; i < f->param.n; i++) {
        Tensor *t = s->k->arg.v[i];
        const bool result = f->param.v[i]->written;
        if (in && t == s[-1].out) param[i] = in;
        else param[i] = result && out ? out : add_param(k, f->param.v[i], t);
        if (result) map = param[i];
    }
    Stmt *own = func_inline(k->f, f, param);
    Rows w = rows_of(r->tmp, own, map);
    for (int i = 0; i < w.loop.n; i++) {
        Stmt *loop = w.loop.v[i];
        Expr *shift = e_int(a, w.shift.v[i]);
        loop->u.loop.lo = e_max(a, loop->u.loop.lo, e_sub(a, from, shift));
        loop->u.loop.hi = e_min(a, loop->u.loop.hi, e_sub(a, to, shift));
    }
    Moved m = {a, in, in ? first_row(a, s - 1, strip) : NULL};
    if (in) stmt_map_exprs(own, move_expr, &m);
    m = (Moved){a, out, from};
    if (out) stmt_each(own, move_store, &m);
    s_append(a, body, own);
}
static Kernel *join(Chain *c) {
    Arena *a = c->r->g->a;
    Kernel *k = NEW(a, Kernel);
    const Func *first = c->of[0].k->f;
    Buf *in = NULL;
    Text comment = {0};
    k->f = func_new(a, first->name);
    Var *strip = var_new(k->f, "strip", DT_INT64);
    Stmt *loop = s_for(a, strip, e_int(a, 0), e_int(a, c->strips));
    for (int i = 0; i < c->n; i++) {
        const Stage *s = &c->of[i];
        Buf *out = i + 1 < c->n ? add_map(k, s) : NULL;
        add_stage(c->r, k, s, loop->u.loop.body, strip, in, out);
        in = out;
        for (int j = 0; j < s->k->nodes.n; j++) vec_push(a, &k->nodes, s->k->nodes.v[j]);
        if (k->macs < 0 || s->k->macs < 0 || !add_ok(k->macs, s->k->macs, &k->macs)) k->macs = -1;
        text_printf(&comment, "%s%s", i ? "\n" : "", s->k->f->comment ? s->k->f->comment : s->k->f->name);
    }
    s_append(a, k->f->body, loop);
    k->f->comment = arena_strdup(a, comment.s);
    text_free(&comment);
    vec_push(a, &k->f->schedule, arena_printf(a, "strips of %lld rows", (long long)c->of[c->n - 1].rows));
    k->strips = strip->name;
    func_simplify(k->f);
    inplace_pairs(a, c->r->tmp, k);
    if (c->r->o->verify && !func_verify(c->r->c, k->f)) {
        diag_print_all(c->r->c->d, false);
        BUG("the nest of kernel '%s' does not verify in strips", k->f->name);
    }
    return k;
}
/* Programs for other targets have the same kernels, of other nests: all must allow it. */
static bool everywhere(Chain *c, const Program *p, int first) {
    for (p = p->next; p; p = p->next)
        for (int i = 0; i < c->n; i++) {
            Stage s;
            if (!stage_of(c->r, p->k.v[first + i], &s) || s.out != c->of[i].out) return false;
        }
    return true;
}
static void put_chain(Chain *c, Program *p, int first) {
    for (int j = 0; j < c->n; j++) c->of[j].k = p->k.v[first + j];
    p->k.v[first] = join(c);
    for (int j = first + 1; j + c->n - 1 < p->k.n; j++) p->k.v[j] = p->k.v[j + c->n - 1];
    p->k.n -= c->n - 1;
}
bool pass_strips(Run *r) {
    if (!r->o || !r->o->target || !r->o->target->vector_bits) return true;
    for (int i = 0; i < r->p->k.n;) {
        Chain run = {.r = r};
        int length[MOST_STAGES];
        find_run(&run, r->p, i);
        cut_run(&run, length);
        for (int at = 0; at < run.n; i++, at += length[at]) {
            if (length[at] == 1) continue;
            Chain c = part_of(&run, at, length[at]);
            choose_strips(&c);
            if (!everywhere(&c, r->p, i)) {
                i += c.n - 1;
                continue;
            }
            for (Program *p = r->p; p; p = p->next) put_chain(&c, p, i);
        }
        i += run.n == 0;
    }
    return true;
}
