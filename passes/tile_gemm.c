/* SPDX-License-Identifier: Apache-2.0 */
/* tile_gemm.c: schedules of matrix products and attentions. The nests of a block of rows (sums set, summed, stored) are explicit;
 * here the sums move to vector registers, the loops over rows are unrolled, columns become vectors.
 *
 *   for mi,ni: s = 0; for k,ma,na: s += x*w; for m,n: y = s   --->   split na 16 nav na; unroll ma; unroll nav; vectorise na …
 */
#include "ir/vecmath.h"
#include "tile.h"
#include <math.h>
#include <string.h>

enum { WEIGHT = 12 }; /* operations behind the product that are worth a loop of their own instead of being unrolled */

static Stmt *find_loop(Stmt *s, const char *name) {
    if (s->k == S_FOR) return strcmp(s->u.loop.v->name, name) == 0 ? s : find_loop(s->u.loop.body, name);
    if (s->k != S_BLOCK) return NULL;
    for (int i = 0; i < s->u.block.n; i++) {
        Stmt *t = find_loop(s->u.block.v[i], name);
        if (t) return t;
    }
    return NULL;
}
static int64_t extent(Kernel *k, const char *name) { /* 0: there is no such loop */
    const Stmt *s = find_loop(k->f->body, name);
    int64_t hi;
    return s && e_is_int(s->u.loop.hi, &hi) ? hi : 0;
}
/* The temporary that holds sums moves from the arena or the stack into registers; NULL: there is none of that name. */
static Buf *allocated(Stmt *s, const char *name) {
    if (s->k == S_ALLOC) return strcmp(s->u.alloc->name, name) == 0 ? s->u.alloc : NULL;
    if (s->k == S_FOR) return allocated(s->u.loop.body, name);
    for (int i = 0; s->k == S_BLOCK && i < s->u.block.n; i++) {
        Buf *b = allocated(s->u.block.v[i], name);
        if (b) return b;
    }
    return NULL;
}
Buf *tile_move_buffer(TileJob *job, const char *name, MemSpace space) {
    Kernel *k = job->k;
    Func *f = k->f;
    for (int i = 0; i < f->param.n; i++) {
        Buf *b = f->param.v[i];
        if (strcmp(b->name, name) != 0 || b->space != MEM_SCRATCH) continue;
        for (int j = i; j + 1 < f->param.n; j++) f->param.v[j] = f->param.v[j + 1], k->arg.v[j] = k->arg.v[j + 1];
        f->param.n--, k->arg.n--;
        b->space = space;
        Stmt *body = f->body;
        s_append(f->a, body, s_alloc(f->a, b));
        for (int j = body->u.block.n - 1; j > 0; j--) {
            Stmt *t = body->u.block.v[j];
            body->u.block.v[j] = body->u.block.v[j - 1], body->u.block.v[j - 1] = t;
        }
        return b;
    }
    Buf *b = allocated(f->body, name);
    if (b) b->space = space;
    return b;
}

/* ---- is what the nest stores made of what vectors can do, and how much is it? */
typedef struct Look {
    const Var *lane;
    int weight;
    bool ok, wide; /* wide: of elements of any size, in vectors that are cut afterwards */
} Look;
static int64_t coefficient(const Affine *a, const Var *v) {
    for (int i = 0; i < a->n; i++)
        if (a->v[i] == v) return a->k[i];
    return 0;
}
static void look_access(Look *l, const Buf *b, Expr *const *idx) {
    int64_t stride = 0;
    for (int d = 0; d < b->rank; d++) {
        Affine a;
        if (!expr_affine(idx[d], &a)) l->ok = false;
        else stride += coefficient(&a, l->lane) * b->stride[d];
    }
    l->ok &= (stride == 0 || (stride == 1 && (l->wide || b->dt == DT_FLOAT32))) && dtype_info[b->dt].bits >= 8;
}
static Expr *look_node(void *user, Expr *e) {
    Look *l = user;
    if (e->k == E_LOAD) look_access(l, e->u.ld.buf, e->u.ld.idx);
    else if (e->k == E_CALL && strchr("ftu", call_info[e->op].kind)) l->weight += 4;
    else if (e->k == E_CALL || (e->k == E_CAST && !l->wide && e->t != DT_FLOAT32 && e->t != DT_INT32 && e->t != DT_UINT32)) l->ok = false;
    else if (e->k != E_INT && e->k != E_VAR && e->k != E_FLT && e->t == DT_FLOAT32) l->weight++;
    return e;
}
static void look_body(Stmt *s, Look *l) {
    switch (s->k) {
    case S_BLOCK:
        for (int i = 0; i < s->u.block.n; i++) look_body(s->u.block.v[i], l);
        return;
    case S_STORE: look_access(l, s->u.st.buf, s->u.st.idx); break;
    case S_LET: break;
    default: l->ok = false; return;
    }
    stmt_map_exprs(s, look_node, l);
}
static Look look_at(Kernel *k, const char *loop) {
    Stmt *s = find_loop(k->f->body, loop);
    Look l = {s ? s->u.loop.v : NULL, 0, s != NULL, tile_wide(k)};
    if (s) look_body(s->u.loop.body, &l);
    return l;
}

/* Division by a constant costs many times what a product does; the factor is rounded once. */
static Expr *no_division(void *user, Expr *e) {
    Arena *a = user;
    const Expr *by = e->k == E_BIN && e->op == BIN_DIV && e->t == DT_FLOAT32 ? e->u.a[1] : NULL;
    if (!by || by->k != E_FLT || !(fabs(by->u.f) > 1e-30 && fabs(by->u.f) < 1e30)) return e;
    return e_mul(a, e->u.a[0], e_lit(a, DT_FLOAT32, 1 / by->u.f));
}
static void prepare(Func *f) {
    stmt_map_exprs(f->body, no_division, f->a);
    vecmath_expand(f);
}

/* ---- steps */
/* The columns of one nest as vectors; several vectors are unrolled. */
static void vectors(TileJob *job, const char *loop, int64_t width, int64_t lanes) {
    if (width > lanes) {
        text_printf(job->steps, "split %s %lld %sv %s\n", loop, (long long)lanes, loop, loop);
        text_printf(job->steps, "unroll %sv\n", loop);
    }
    text_printf(job->steps, "vectorise %s\n", loop);
}
static bool schedule_part(TileJob *job, int part, int64_t lanes) {
    static const char *const sums[][3] = {{"si", "mi", "ni"}, {"sa", "ma", "na"}, {"sr", "mr", "nr"}};
    Arena *a = job->c->a;
    const char *no = part ? arena_printf(a, "%d", part) : "";
    const char *m = arena_printf(a, "m%s", no), *n = arena_printf(a, "n%s", no), *sum = arena_printf(a, "sum%s", no);
    const char *edge = arena_printf(a, "edge%s", no), *me = arena_printf(a, "me%s", no), *ne = arena_printf(a, "ne%s", no);
    Kernel *k = job->k;
    const char *mh = arena_printf(a, "mh%s", no), *nh = arena_printf(a, "nh%s", no); /* sums of halves */
    int64_t width = extent(k, arena_printf(a, "na%s", no)), rows = max_i64(extent(k, m), extent(k, mh));
    if (!width || !tile_move_buffer(job, sum, MEM_REG)) return false;
    Look store = look_at(k, n);
    int64_t cols = extent(k, n);
    bool ragged = cols % lanes != 0, edged = tile_move_buffer(job, edge, MEM_STACK) != NULL;
    job->narrow |= store.wide;
    if (edged && !ragged && store.ok && !store.wide && store.weight <= WEIGHT) {
        text_printf(job->steps, "inline %s\n", edge);
        edged = false;
    }
    const char *nf = arena_printf(a, "nf%s", no);
    if (extent(k, nf)) vectors(job, nf, width, lanes);
    for (int i = 0; i < 3; i++) {
        const char *v[3];
        for (int d = 0; d < 3; d++) v[d] = arena_printf(a, "%s%s", sums[i][d], no);
        if (!extent(k, v[2])) continue;
        if (extent(k, v[0]) > 1) text_printf(job->steps, "unroll %s\n", v[0]);
        if (rows > 1) text_printf(job->steps, "unroll %s\n", v[1]);
        vectors(job, v[2], width, lanes);
    }
    if (extent(k, nh)) {
        const char *mz = arena_printf(a, "mz%s", no), *nz = arena_printf(a, "nz%s", no);
        if (rows > 1) text_printf(job->steps, "unroll %s\n", mh);
        vectors(job, nh, width, lanes);
        if (rows > 1 && extent(k, nz)) text_printf(job->steps, "unroll %s\n", mz);
        if (extent(k, nz)) vectors(job, nz, width, lanes);
        edged = true;
    }
    if (rows > 1) text_printf(job->steps, "unroll %s\n", edged ? me : m);
    vectors(job, edged ? ne : n, width, lanes);
    if (!cols) return true;
    if (!edged || !store.ok || cols < lanes) return true;
    if (cols > lanes) text_printf(job->steps, "split %s %lld %sv %s\n", n, (long long)lanes, n, n);
    if (ragged) text_printf(job->steps, "peel %sv\n", n);
    text_printf(job->steps, "vectorise %s\n", n);
    return true;
}
static bool schedule_parts(TileJob *job) {
    const Node *n = job->anchor;
    int64_t lanes = attr_i(n, op_attr_index(n->op, "lanes"));
    if (lanes < 2) return false;
    int part = 0;
    prepare(job->k->f);
    while (schedule_part(job, part, lanes)) part++;
    return part > 0;
}
bool tile_matmul_panel(TileJob *job) { return schedule_parts(job); }
bool tile_recurrent_panel(TileJob *job) { /* the cells around the products become vectors as other loops do */
    job->rest = true;
    return schedule_parts(job);
}

/* ---- attention: blocks are explicit in its nest; sums go to registers, columns become vectors */
bool tile_fused_attention(TileJob *job) {
    static const char *const sums[] = {"dot", "out", "most", "total"};
    static const char *const rows[] = {"mi", "ma", "ms", "mj", "mb", "m"}, *const cols[] = {"ni", "na", "ns", "nj", "nb", "n"};
    static const char *const reduced[] = {"l0", "l1", "l3"};
    Arena *a = job->c->a;
    const Node *n = job->anchor;
    int64_t lanes = attr_i(n, op_attr_index(n->op, "lanes"));
    job->rest = true; /* keys are packed, masks added */
    prepare(job->k->f);
    for (int part = 0;; part++) {
        const char *no = part ? arena_printf(a, "%d", part) : "";
        if (!tile_move_buffer(job, arena_printf(a, "dot%s", no), MEM_REG)) break;
        for (int i = 1; i < 4; i++) tile_move_buffer(job, arena_printf(a, "%s%s", sums[i], no), MEM_REG);
        for (int i = 0; i < 6; i++) {
            const char *m = arena_printf(a, "%s%s", rows[i], no), *c = arena_printf(a, "%s%s", cols[i], no);
            if (extent(job->k, m) > 1) text_printf(job->steps, "unroll %s\n", m);
            vectors(job, c, extent(job->k, c), lanes);
        }
        for (int i = 0; i < 3; i++) {
            const char *l = arena_printf(a, "%s%s", reduced[i], no);
            if (extent(job->k, l)) text_printf(job->steps, "vectorise %s\n", l);
        }
        for (int i = 2; i < 4; i++)
            for (char k = 'a'; k < 'a' + 6; k++) { /* the lanes of `most` and `total` are combined */
                const char *half = arena_printf(a, "%s_%c%s", sums[i], k, no);
                if (!tile_move_buffer(job, half, MEM_REG)) break;
                text_printf(job->steps, "vectorise l%s\n", half);
            }
    }
    return true;
}
