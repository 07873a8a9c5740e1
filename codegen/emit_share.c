/* SPDX-License-Identifier: Apache-2.0 */
/* emit_share.c: expressions are DAGs; a value that one statement uses more than once becomes a constant before it, so that
 * text never grows exponentially. What stands only under conditions is not moved if it reads memory.
 *
 *   y[i] = (x[i]+b) * sigmoid(x[i]+b)   --->   const float t = x[i] + b;   y[i] = t * sigmoid(t);
 */
#include "internal.h"

const char *shared_name(const Emit *E, const Expr *e) {
    if (e->k == E_INT || e->k == E_FLT || e->k == E_VAR || !E->shared.n) return NULL;
    const Memo *m = memo_of(E, e);
    return m->share_gen == E->memo->share_gen ? m->name : NULL;
}
static bool conditional(const Expr *e, int child) {
    if (child == 0) return false;
    return e->k == E_SELECT || (e->k == E_BIN && (e->op == BIN_LAND || e->op == BIN_LOR));
}
static void count_use(Emit *E, const Expr *e, bool free) {
    if (e->k == E_INT || e->k == E_FLT || e->k == E_VAR) return;
    Memo *m = memo_of(E, e);
    bool first = m->share_gen != E->memo->share_gen;
    if (!first) m->count++;
    if (!first && (!free || m->free)) return;
    if (first) m->share_gen = E->memo->share_gen, m->count = 1, m->name = NULL, m->load = false, m->size = 0;
    m->free = free;
    int n, size = 1;
    Expr *const *v = e_operands(e, &n);
    const bool is_load = e->k == E_LOAD;
    bool load = is_load;
    for (int i = 0; i < n; i++) {
        bool leaf = v[i]->k == E_INT || v[i]->k == E_FLT || v[i]->k == E_VAR;
        if (leaf || (is_load && e->u.ld.buf->stride[i] == 0)) continue; /* an index that does not count is not printed */
        if (!first) memo_of(E, v[i])->count--;                          /* came here to say `free`, not to count again */
        count_use(E, v[i], free && !conditional(e, i));
        const Memo *c = memo_of(E, v[i]);
        load |= c->load;
        size += c->size;
    }
    m = memo_of(E, e);
    m->load = load;
    m->size = size < 1000 ? size : 1000;
    if (first) vec_push(E->a, &E->shared, e);
}
static bool worth(const Emit *E, const Expr *e, const Memo *m) {
    if (m->count < 2 || (m->load && !m->free)) return false;
    if (e->k == E_LOAD) {
        const Buf *b = e->u.ld.buf;
        return dtype_compute(b->dt) != b->dt || (E->buf[b->id].kind == REG_MEMORY && !E->vec);
    }
    if (e->k == E_CAST && m->size == 1 && dtype_info[e->t].bits >= 8 && dtype_compute(e->to) == e->to) return false;
    if (e->t == DT_INT64 && !m->load && (E->vec || m->size < 4)) return false; /* an index: the C compiler sees it */
    if (E->vec && e->t == DT_INT64) return false;
    if (E->vec && vec_shape(E, e) && e->t == DT_BOOL) return false;
    return true;
}
const char *pre_constant(Emit *E, const char *want, const char *type, const char *value) {
    const char *name = scope_name(E, want);
    put_indent(E, &E->pre);
    text_printf(&E->pre, "const %s %s = %s;\n", type, name, value);
    E->nstmt++;
    return name;
}
static void name_shared(Emit *E, const Expr *e) {
    Text value = {0};
    bool vec = E->vec && vec_shape(E, e);
    if (vec) put_vec(E, &value, e, P_TOP);
    else put_expr(E, &value, e, P_TOP);
    const char *type = vec ? vec_type(E, e->t, false) : e->t == DT_INT64 && !is_wide(E, e) ? "int32_t" : c_type(E, e->t);
    const char *name = pre_constant(E, e->k == E_LOAD ? "v" : "t", type, value.s);
    memo_of(E, e)->name = name;
    text_free(&value);
}
void share_statement(Emit *E, Expr *const *idx, int nidx, const Expr *val) {
    E->memo->share_gen++;
    E->shared.n = 0;
    for (int i = 0; i < nidx; i++) count_use(E, idx[i], true);
    if (val) count_use(E, val, true);
    int n = E->shared.n;
    bool any = false;
    for (int i = 0; i < n; i++) {
        const Memo *m = memo_of(E, E->shared.v[i]);
        if (worth(E, E->shared.v[i], m)) {
            name_shared(E, E->shared.v[i]);
            any = true;
        }
    }
    if (!any) E->shared.n = 0; /* no look-ups while printing */
}
