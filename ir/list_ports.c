/* SPDX-License-Identifier: Apache-2.0 */
/* list_ports.c: inputs and outputs of the model that are no tensors. An input's bytes and dims list become the tensors in it, and these a
 * List; a List that is an output becomes bytes and a dims list.
 *
 *   x: seq[2](float32[3])   --->   x0 = ListItem(x: uint8[28], x_dims) {leaf=0}; x1 = ListItem(x, x_dims) {leaf=1}; s = List(x0, x1)
 */
#include "list.h"
#include <string.h>

typedef struct Port {
    Ctx *c;
    Graph *g;
    Node *before;
    Tensor *t, *dims;
    const char *name;
    Leaves leaf;
    int next;     /* leaf */
    Expr *extent; /* the last one, at dims word `word` */
    int64_t word;
    int64_t head[4]; /* of ListItem: optional, kind, bits of values, bits of keys */
} Port;
static void head_of(const Type *t, int64_t *head) {
    const Wrap *w = t->wrap;
    head[0] = w->kind == WRAP_OPTIONAL;
    if (head[0]) w = w->of.wrap;
    head[1] = !w ? 0 : w->kind == WRAP_MAP ? 2 : 1;
    if (w && w->kind == WRAP_SEQUENCE && w->of.wrap) head[1] = 3;
    const Wrap *m = head[1] == 3 ? w->of.wrap : head[1] == 2 ? w : NULL;
    DType dt = wrap_inner(t)->dt;
    head[2] = dt == DT_STRING ? 0 : dtype_info[dt].bits;
    head[3] = !m || m->key == DT_STRING ? 0 : dtype_info[m->key].bits;
}
static void set_head(Graph *g, Node *n, const int64_t *head) { node_set_is(g, n, op_attr_index(n->op, "form"), head, 4); }
/* The extent at dims word `word`, which is from lo to hi. */
static Expr *port_extent(Port *p, int64_t lo, int64_t hi, int64_t word) {
    if (lo == hi) return NULL;
    if (p->extent && p->word == word) return p->extent; /* of a map's keys, then of its values */
    const char *name = arena_printf(p->g->a, "%s_%lld", p->dims->name, (long long)word);
    p->word = word;
    return p->extent = e_var(p->g->a, extent_element(p->g, p->before, name, lo, hi, p->dims, word)->v);
}
static Tensor *port_leaf(Port *p) {
    const Leaf *l = &p->leaf.v[p->next];
    Tensor *y = tensor_new(p->g, arena_printf(p->g->a, "%s_%d", p->name, p->next), DT_NONE, -1, NULL);
    Expr *ext[QN_MAX_RANK] = {NULL};
    bool dynamic = false;
    y->type = l->type;
    y->type.ext = NULL, y->type.sym = NULL;
    for (int k = 0; k < l->type.rank; k++) dynamic |= (ext[k] = port_extent(p, l->lo[k], l->type.dim[k], l->word + k)) != NULL;
    if (dynamic) {
        y->type.ext = NEW_ARRAY(p->g->a, Expr *, l->type.rank);
        memcpy(y->type.ext, ext, sizeof *ext * (size_t)l->type.rank);
    }
    Node *n = node_new(p->g, op_find("quern", "ListItem"), p->before, NO_LOC, 2, (Tensor *[]){p->t, p->dims}, 1); /* behind its extents */
    set_head(p->g, n, p->head);
    node_set_i(n, op_attr_index(n->op, "leaf"), p->next++);
    node_set_out(n, 0, y);
    return y;
}
static Tensor *port_value(Port *p, const Type *t, int64_t word) {
    const Wrap *w = t->wrap;
    if (!w) return port_leaf(p);
    const Type *in = wrap_inner(t);
    List l = {.kind = w->kind, .dt = in->dt, .key = w->key, .lo = w->lo};
    l.n = w->kind == WRAP_OPTIONAL ? 1 : w->kind == WRAP_MAP ? 2 : (int)w->hi;
    l.v = NEW_ARRAY(p->g->a, Tensor *, l.n + 1);
    for (int i = 0; i < l.n; i++) {
        if (w->kind == WRAP_MAP) l.v[i] = port_leaf(p);
        else l.v[i] = port_value(p, wrap_item(w, i), word + 1);
    }
    if (w->kind == WRAP_OPTIONAL) l.lo = 0;
    if (w->kind == WRAP_OPTIONAL || (w->kind == WRAP_SEQUENCE && w->lo < w->hi)) {
        int64_t hi = w->kind == WRAP_OPTIONAL ? 1 : w->hi;
        const char *name = arena_printf(p->g->a, w->kind == WRAP_OPTIONAL ? "%s_present" : "%s_length", p->name);
        l.length = extent_element(p->g, p->before, name, l.lo, hi, p->dims, word)->t;
    }
    return list_new(p->g, p->before, &l);
}
static bool port_open(Ctx *c, Graph *g, Tensor *t) {
    Port p = {.c = c, .g = g, .t = t, .name = t->name};
    int64_t words, bytes;
    const Wrap *w = t->type.wrap->kind == WRAP_OPTIONAL ? t->type.wrap->of.wrap : t->type.wrap;
    if (w && w->of.wrap)
        return diag_error(c->d, (Loc){g->file, -1, NULL, NULL},
                          "input '%s' holds values that are no tensors inside others, which is not supported", t->name);
    if (!wrap_leaves(g->a, &t->type, &p.leaf, &words, &bytes))
        return diag_error(
            c->d, (Loc){g->file, -1, NULL, NULL},
            "input '%s' has no complete type: bind its length (at most %d) with --dim '%s[]=N' and its elements' extents with --dim "
            "'%s[][AXIS]=N'",
            t->name, LIST_MOST, t->name, t->name);
    if (bytes > INT64_MAX / 16)
        return diag_error(c->d, (Loc){g->file, -1, NULL, NULL}, "input '%s' may take %lld bytes; smaller bounds are expected", t->name,
                          (long long)bytes);
    Type *packed = NEW(g->a, Type);
    *packed = t->type;
    head_of(packed, p.head);
    t->packed = packed;
    t->type = (Type){.dt = DT_NONE};
    type_set(&t->type, DT_UINT8, 1, &bytes);
    t->dims = p.dims = tensor_new(g, arena_printf(g->a, "%s_dims", t->name), DT_INT64, 1, &words);
    t->dims->kept = true;
    Tensor *hole = tensor_new(g, NULL, DT_NONE, -1, NULL);
    tensor_replace(g, t, hole, false); /* its users, until the list is there */
    p.before = g->first;
    tensor_replace(g, hole, port_value(&p, packed, 0), false);
    return true;
}
bool lists_open(Ctx *c, Graph *g) {
    bool ok = true;
    for (int i = 0; i < g->in.n; i++)
        if (g->in.v[i]->type.wrap) ok &= port_open(c, g, g->in.v[i]);
    return ok;
}

/* ---- outputs */
typedef struct Packing {
    Infer x; /* x.n: the ListPack */
    Vec(Tensor *) leaf;
    Vec(Expr *) word;
} Packing;
static bool length_word(Packing *p, const List *l) {
    Graph *g = p->x.g;
    Expr *e = l->length ? infer_value_of(&p->x, l->length, 0) : e_int(g->a, l->n);
    if (!e) return false;
    if (e->t != DT_INT64) e = e_cast(g->a, DT_INT64, e);
    vec_push(g->a, &p->word, e);
    return true;
}
static bool pack_value(Packing *p, Tensor *t, Type *type) {
    Graph *g = p->x.g;
    List l;
    if (!list_of(t, &l)) {
        vec_push(g->a, &p->leaf, t);
        vec_push(g->a, &p->word, e_int(g->a, t->type.rank));
        for (int k = 0; k < t->type.rank; k++) vec_push(g->a, &p->word, type_extent(g, &t->type, k));
        *type = t->type;
        return true;
    }
    Wrap *w = NEW(g->a, Wrap);
    *w = (Wrap){.kind = l.kind, .key = l.key, .lo = l.length ? l.lo : l.n, .hi = l.n, .of = {.dt = l.dt, .rank = -1}};
    type->wrap = w;
    if (l.kind == WRAP_MAP || l.rows) {
        Wrap *m = w;
        if (l.rows) {
            const Type *v = &l.v[1]->type;
            m = NEW(g->a, Wrap);
            vec_push(g->a, &p->word, type_extent(g, v, 0));
            w->hi = v->dim[0], w->lo = v->ext && v->ext[0] ? 0 : w->hi;
            w->of = (Type){.dt = DT_NONE, .rank = -1, .wrap = m};
        }
        const Type *k = &l.v[1]->type;
        int axis = l.rows;
        *m = (Wrap){.kind = WRAP_MAP, .key = l.key, .hi = k->dim[axis], .of = {.dt = l.dt, .rank = 0}};
        m->lo = k->ext && k->ext[axis] ? 0 : m->hi;
        for (int64_t i = 0; i < (l.rows ? w->hi : 1); i++) vec_push(g->a, &p->word, type_extent(g, k, axis));
        vec_push(g->a, &p->leaf, l.v[0]);
        vec_push(g->a, &p->leaf, l.v[1]);
        return true;
    }
    if (!length_word(p, &l)) return false;
    Type *each = NEW_ARRAY(g->a, Type, l.n + 1);
    bool same = true;
    for (int i = 0; i < l.n; i++) {
        each[i] = (Type){.dt = DT_NONE, .rank = -1};
        if (!pack_value(p, l.v[i], &each[i])) return false;
        same &= each[i].wrap || type_same(&each[i], &each[0]);
    }
    if (l.n) w->of = each[0];
    if (!same) w->each = each;
    return true;
}
/* What the model declares has to be of the same kind. */
static bool declared_ok(Ctx *c, const Tensor *t, const Type *declared, const Type *got) {
    if (!declared->wrap && declared->dt == DT_NONE) return true;
    if (wrap_same_kind(declared, got)) return true;
    Text a = {0}, b = {0};
    type_print(declared, &a), type_print(got, &b);
    diag_error(c->d, t->def ? t->def->loc : NO_LOC, "output '%s' is declared as %s, but it is %s", t->name, a.s, b.s);
    text_free(&a), text_free(&b);
    return false;
}
static bool port_pack(Ctx *c, Graph *g, int i) {
    Tensor *old = g->out.v[i], *y = tensor_new(g, NULL, DT_NONE, -1, NULL);
    Type *type = NEW(g->a, Type);
    Packing p = {.x = {c, g, NULL}};
    Leaves leaves = {0};
    int64_t words, bytes, head[4];
    Node *mark = node_new(g, op_find("quern", "Extents"), NULL, old->def->loc, 0, NULL, 1); /* stands behind all that the list is made of */
    p.x.n = mark;
    *type = (Type){.dt = DT_NONE, .rank = -1};
    bool ok = pack_value(&p, old, type) && wrap_leaves(g->a, type, &leaves, &words, &bytes);
    if (!ok) {
        node_remove(g, mark);
        return diag_error(c->d, old->def->loc, "output '%s' has more than %d elements, or more bytes than there can be", old->name,
                          LIST_MOST);
    }
    if (p.leaf.n == 2 && type->wrap->of.wrap) { /* maps with the same keys */
        int64_t row = (tensor_bytes(p.leaf.v[0]) + 15) / 16 * 16 + type->wrap->of.wrap->hi * dtype_info[wrap_inner(type)->dt].bits / 8;
        bytes = type->wrap->hi ? (row + 15) / 16 * 16 * (type->wrap->hi - 1) + row : 0;
    }
    head_of(type, head);
    Tensor *dims = tensor_new(g, arena_printf(g->a, "%s_dims", old->name), DT_INT64, 1, (int64_t[]){words});
    dims->val = NEW_ARRAY(g->a, Expr *, words);
    memcpy(dims->val, p.word.v, sizeof *dims->val * (size_t)words);
    dims->kept = true;
    node_set_out(mark, 0, dims);
    Tensor **in = NEW_ARRAY(g->a, Tensor *, p.leaf.n + 1);
    in[0] = dims;
    for (int k = 0; k < p.leaf.n; k++) in[1 + k] = p.leaf.v[k];
    Node *n = node_new(g, op_find("quern", "ListPack"), NULL, old->def->loc, p.leaf.n + 1, in, 1);
    set_head(g, n, head);
    type_set(&y->type, DT_UINT8, 1, &bytes);
    y->name = old->name, y->is_output = true, y->packed = type, y->dims = dims;
    old->is_output = false, old->name = arena_printf(g->a, "%s_list", old->name);
    node_set_out(n, 0, y);
    g->out.v[i] = y;
    return true;
}
bool lists_pack(Ctx *c, Graph *g, const Type *declared) {
    bool ok = true;
    List l;
    for (int i = 0; i < g->out.n; i++) {
        Tensor *t = g->out.v[i];
        bool list = list_of(t, &l);
        if (list) ok &= port_pack(c, g, i);
        if (ok && (list || declared[i].wrap)) ok &= declared_ok(c, g->out.v[i], &declared[i], port_type(g->out.v[i]));
    }
    for (Node *n = g->last, *prev; n; n = prev) { /* lists are not needed any more */
        prev = n->prev;
        if (list_of(n->nout ? n->out[0] : NULL, &l) && !n->out[0]->nuse && !n->out[0]->is_output) node_remove(g, n);
    }
    return ok;
}
