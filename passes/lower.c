/* SPDX-License-Identifier: Apache-2.0 */
/* lower.c: a typed, grouped graph becomes a program: one kernel per group (or per node on its own), in list order. Nodes
 * which alias.c dissolved (kernel -1) have nothing to compute. The nests themselves are built by ir/lower.c.
 *
 *   %c = Conv … kernel 1; %y = Relu(%c) kernel 1; %z = Reshape(%y) (view)     --->     one Func, params x w y
 */
#include "internal.h"
#include "ir/extent.h"
#include "ir/target.h"
#include <ctype.h>
#include <string.h>

const char *kernel_name(Arena *a, Map *used, const char *model, const char *fallback) {
    char s[48];
    size_t n = 0;
    const char *m = model && *model ? model : fallback;
    size_t len = strlen(m);
    const char *from = len > 40 ? m + len - 40 : m; /* the end of a path is what tells nodes apart */
    for (; *from; from++) {
        bool word = isalnum((unsigned char)*from) && !((unsigned char)*from & 0x80);
        char ch = word ? (char)tolower((unsigned char)*from) : '_';
        if (ch == '_' && (n == 0 || s[n - 1] == '_')) continue;
        s[n++] = ch;
    }
    while (n && s[n - 1] == '_') n--;
    s[n] = 0;
    const char *lead = n == 0 || isdigit((unsigned char)s[0]) ? "k_" : "";
    char *stem = arena_printf(a, "%s%s", lead, n ? s : "node"), *name = stem;
    intptr_t count = (intptr_t)map_get(used, stem); /* how often the stem was asked for: no search through its numbers */
    while (map_get(used, name)) name = arena_printf(a, "%s_%lld", stem, (long long)++count);
    map_set(used, name, (void *)(intptr_t)1);
    if (name != stem) map_set(used, stem, (void *)count);
    return name;
}

/* How operators that a target's passes have made are cut: blocks of sums, strips, chunks of the depth. */
static void mapping_comment(const Node *n, Text *t) {
    static const char *const names[] = {"tile", "rows", "strip", "chunks"};
    if (strcmp(n->op->domain, "quern") != 0) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int k = op_attr_index(n->op, names[i]);
        if (k < 0 || n->attr[k].kind == ATTR_NONE) continue;
        text_printf(t, "; %s", names[i]);
        if (n->attr[k].kind == ATTR_INT) text_printf(t, " %lld", (long long)n->attr[k].i);
        for (int64_t j = 0; n->attr[k].kind == ATTR_INTS && j < n->attr[k].n && j < 8; j++)
            text_printf(t, "%s%lld", j ? " x " : " ", (long long)n->attr[k].is[j]);
    }
}
/* Names, operations, shapes and mappings of a kernel's nodes, for the comment above its C function. */
static const char *kernel_comment(Graph *g, const Kernel *k) {
    Text t = {0};
    const Tensor *last = NULL;
    for (int i = 0; i < k->nodes.n && i < 8; i++) {
        const Node *n = k->nodes.v[i];
        text_printf(&t, "%s%s", i ? " + " : "", n->op->name);
        if (n->loc.name && *n->loc.name && strlen(n->loc.name) <= 64) text_printf(&t, " %s", n->loc.name);
    }
    if (k->nodes.n > 8) text_printf(&t, " + %d more", k->nodes.n - 8);
    text_puts(&t, ":");
    for (int i = 0; i < k->arg.n && i < 6; i++) {
        if (!k->arg.v[i]) continue;
        if (k->f->param.v[i]->written) {
            last = k->arg.v[i];
            continue;
        }
        text_puts(&t, " ");
        type_print(&k->arg.v[i]->type, &t);
    }
    if (last) {
        text_puts(&t, " -> ");
        type_print(&last->type, &t);
    }
    if (k->macs > 0) text_printf(&t, "; %lld MACs", (long long)k->macs);
    for (int i = 0; i < k->nodes.n && i < 8; i++) mapping_comment(k->nodes.v[i], &t);
    const char *s = arena_strdup(g->a, t.s);
    text_free(&t);
    return s;
}

Func *lower_node(Ctx *c, Graph *g, Node *n, Tensor ***args) { return lower_kernel(c, g, 1, &n, "node", args); }

static Kernel *lower_group(Run *r, Map *used, int n, Node *const *v) {
    Graph *g = r->g;
    const Node *lead = v[0];
    Kernel *k = NEW(g->a, Kernel);
    for (int i = 0; i < n; i++) {
        vec_push(g->a, &k->nodes, v[i]);
        int64_t macs = v[i]->op->macs ? v[i]->op->macs(v[i]) : 0;
        if (k->macs < 0 || macs < 0 || !add_ok(k->macs, macs, &k->macs)) k->macs = -1;
        if (v[i]->role == ROLE_ANCHOR) lead = v[i];
    }
    Tensor **arg;
    k->f = lower_kernel(r->c, g, n, v, kernel_name(g->a, used, lead->loc.name, lead->op->name), &arg);
    if (!k->f) return NULL;
    func_simplify(k->f);
    for (int i = 0; i < k->f->param.n; i++) vec_push(g->a, &k->arg, arg[i]);
    k->f->comment = kernel_comment(g, k);
    inplace_pairs(g->a, r->tmp, k);
    if (r->o && r->o->verify && !func_verify(r->c, k->f)) {
        diag_print_all(r->c->d, false);
        BUG("the nest of kernel '%s' (%s) does not verify", k->f->name, lead->op->name);
    }
    return k;
}

/* Vectors of extents which only shaped other nodes: no kernel reads them. From the end, so that what those read goes too. */
static void drop_unread(Run *r, Program *p) {
    bool *read = NEW_ARRAY(r->tmp, bool, r->g->tensors.n + 1);
    int n = 0;
    for (int k = p->k.n - 1; k >= 0; k--) {
        const Kernel *kn = p->k.v[k];
        bool keep =
            kn->nodes.n != 1 || strcmp(kn->nodes.v[0]->op->domain, "quern") != 0 || strcmp(kn->nodes.v[0]->op->name, "Extents") != 0;
        for (int i = 0; i < kn->arg.n; i++) {
            const Tensor *t = kn->arg.v[i];
            keep |= t && kn->f->param.v[i]->written && (t->is_output || t->kept || t->view || read[t->id]);
        }
        for (int i = 0; i < kn->arg.n && keep; i++)
            if (kn->arg.v[i])
                read[kn->arg.v[i]->id] = true, read[kn->arg.v[i]->view ? kn->arg.v[i]->view->base->id : kn->arg.v[i]->id] = true;
        if (!keep) p->k.v[k] = NULL;
    }
    for (int k = 0; k < p->k.n; k++)
        if (p->k.v[k]) p->k.v[n++] = p->k.v[k];
    p->k.n = n;
}

static Program *lower_program(Run *r, const struct Target *target) {
    loop_views(r->g);
    Graph *g = r->g;
    Program *p = NEW(g->a, Program);
    Map *used = map_new(r->tmp);
    Vec(Node *) group = {0};
    bool ok = true;
    p->g = g, p->target = target;
    for (Node *n = g->first; n; n = n->next) {
        if (n->kernel < 0) continue;
        group.n = 0;
        vec_push(r->tmp, &group, n);
        while (n->kernel > 0 && n->next && n->next->kernel == n->kernel) {
            n = n->next;
            vec_push(r->tmp, &group, n);
        }
        Kernel *k = lower_group(r, used, group.n, group.v);
        if (k) vec_push(g->a, &p->k, k);
        ok &= k != NULL;
    }
    if (ok && g->extent.n) drop_unread(r, p);
    if (ok) program_regions(r, p);
    return ok ? p : NULL;
}
bool pass_lower(Run *r) {
    if (!r->o || r->o->variant.n == 0) return (r->p = lower_program(r, r->o ? r->o->target : NULL)) != NULL;
    for (int i = r->o->variant.n - 1; i >= 0; i--) {
        const Target *t = r->o->variant.v[i], *wide = r->o->target;
        SavedAttrs saved = {0};
        if (t->vector_bits != wide->vector_bits || t->vector_regs != wide->vector_regs) retarget(r, t, &saved);
        Program *p = lower_program(r, t);
        retarget_undo(&saved);
        if (!p) return false;
        p->next = r->p;
        r->p = p;
    }
    return true;
}
