/* SPDX-License-Identifier: Apache-2.0 */
/* rules.c: the matcher behind rules.def. Patterns are compiled once per run; a walk over the list tries each node as a root,
 * new nodes are inferred and folded on the spot and tried again, and walks repeat until one changes nothing. Every rule
 * strictly lowers (nodes, operations, bytes), so that this ends; a counter says which rule does not.
 *
 *   c = Conv(x, w); y = BatchNormalization(c, s, o, m, v)     --->     y = Conv(x, w', b')
 */
#include "rules.h"
#include "ir/extent.h"
#include <ctype.h>
#include <string.h>

enum { MAX_ARG = 6, MAX_NODE = 4 };
typedef struct PatArg {
    char kind; /* 'v' any tensor, '$' constant, '(' node */
    bool optional;
    int index; /* variable letter - 'a', or number of the node */
} PatArg;
typedef struct PatNode {
    const OpDef *op; /* NULL: any view */
    bool shared;     /* other users allowed */
    int narg;
    PatArg arg[MAX_ARG];
} PatNode;
typedef struct Rule {
    const char *name, *pattern;
    GuardFn guard;
    BuildFn build;
    const char *doc;
} Rule;
static const Rule rules[] = {
#define RULE(name, pattern, guard, builder, doc) {#name, pattern, guard_##guard, build_##builder, doc},
#include "rules.def"
#undef RULE
};
enum { RULES = sizeof rules / sizeof *rules };
typedef struct Pattern {
    bool on;
    int n;
    PatNode node[MAX_NODE];
} Pattern;

/* ---- patterns */
static const char *skip_space(const char *s) { return s + strspn(s, " "); }
static _Noreturn void bad_pattern(const Rule *r, const char *what) { BUG("pattern of rule '%s': %s: %s", r->name, what, r->pattern); }
/* Compiles the node at s, which starts with '('; returns what follows its ')'. Depth is that of the table's own text. */
static const char *compile_node(const Rule *r, Pattern *p, const char *s, int *index) {
    if (p->n == MAX_NODE) bad_pattern(r, "too many nodes");
    PatNode *n = &p->node[ *index = p->n++];
    char name[64];
    size_t len = strcspn(++s, " *)");
    if (len >= sizeof name) bad_pattern(r, "name too long");
    memcpy(name, s, len), name[len] = 0;
    s += len;
    if (strcmp(name, "View") != 0 && !(n->op = op_find("", name))) bad_pattern(r, "no such op");
    if (*s == '*') n->shared = true, s++;
    for (s = skip_space(s); *s != ')'; s = skip_space(s)) {
        if (n->narg == MAX_ARG || !*s) bad_pattern(r, "too many operands or no ')'");
        PatArg *a = &n->arg[n->narg++];
        a->kind = *s == '(' ? '(' : *s == '$' ? '$' : 'v';
        if (*s == '(') {
            s = compile_node(r, p, s, &a->index);
            continue;
        }
        if (*s == '$') s++;
        if (!islower((unsigned char)*s)) bad_pattern(r, "a variable is one small letter");
        a->index = *s++ - 'a';
        if (*s == '?') a->optional = true, s++;
    }
    return s + 1;
}
static Pattern *compile_rules(Arena *a, const PassOptions *o) {
    Pattern *p = NEW_ARRAY(a, Pattern, RULES);
    for (int i = 0; i < RULES; i++) {
        int root;
        compile_node(&rules[i], &p[i], rules[i].pattern, &root);
        p[i].on = true;
        for (int k = 0; k < o->no_rule.n; k++) p[i].on &= strcmp(o->no_rule.v[k], rules[i].name) != 0;
    }
    return p;
}

/* ---- matching */
static bool match_node(const Pattern *p, int k, Node *n, Match *m);
static bool match_arg(const Pattern *p, const PatArg *a, Tensor *t, Match *m) {
    if (!t) {
        if (a->optional) m->t[a->index] = NULL;
        return a->optional;
    }
    if (a->kind == '(') return t->def && t->def_index == 0 && match_node(p, a->index, t->def, m);
    if (a->kind == '$' && !t->data) return false;
    if (m->t[a->index] && m->t[a->index] != t) return false; /* the same letter twice is the same tensor */
    m->t[a->index] = t;
    return true;
}
static bool match_args(const Pattern *p, const PatNode *pn, const Node *n, bool swap, Match *m) {
    Match saved = *m;
    bool ok = true;
    for (int i = 0; ok && i < pn->narg; i++) {
        int k = swap ? 1 - i : i;
        ok = match_arg(p, &pn->arg[i], k < n->nin ? n->in[k] : NULL, m);
    }
    if (!ok) *m = saved;
    return ok;
}
static bool match_node(const Pattern *p, int k, Node *n, Match *m) {
    const PatNode *pn = &p->node[k];
    if (pn->op ? n->op != pn->op : !(n->op->flags & OPF_VIEW)) return false;
    if (k > 0 && !pn->shared && (n->out[0]->nuse != 1 || n->out[0]->is_output)) return false;
    for (int i = 1; i < n->nout; i++)
        if (n->out[i] && (n->out[i]->nuse || n->out[i]->is_output)) return false;
    for (int i = pn->narg; pn->op && i < n->nin; i++)
        if (n->in[i]) return false;
    m->node[k] = n;
    if (match_args(p, pn, n, false, m)) return true;
    return (n->op->flags & OPF_COMMUTES) && n->nin == 2 && pn->narg == 2 && match_args(p, pn, n, true, m);
}

/* ---- applying */
typedef struct Rewriter {
    Run *r;
    Folder f;
    Pattern *pattern;
    int64_t left; /* rewrites that may still happen */
    int hits[RULES];
} Rewriter;

/* Removes nodes that lost their last user, upwards from n's operands; n itself has none left. */
static void remove_dead(Rewriter *w, Node *n) {
    Vec(Node *) work = {0};
    vec_push(w->r->tmp, &work, n);
    while (work.n) {
        Node *d = work.v[--work.n];
        bool live = false, here = false; /* a node of two outputs may stand here twice: the second time it is gone */
        for (int i = 0; i < d->nout; i++) {
            live |= d->out[i] && (d->out[i]->nuse || d->out[i]->is_output || d->out[i]->kept);
            here |= d->out[i] && d->out[i]->def == d;
        }
        if (live || !here) continue;
        Tensor **in = NEW_ARRAY(w->r->tmp, Tensor *, d->nin);
        int nin = d->nin;
        for (int i = 0; i < nin; i++) in[i] = d->in[i];
        node_remove(w->r->g, d);
        for (int i = 0; i < nin; i++) { /* push each definition once: when its last use is gone */
            bool seen = false;
            for (int k = 0; k < i; k++) seen |= in[k] && in[i] && in[k]->def == in[i]->def;
            if (in[i] && in[i]->def && in[i]->nuse == 0 && !seen) vec_push(w->r->tmp, &work, in[i]->def);
        }
    }
}
/* Whether t may stand in for a graph output: its node must be its only place among them. */
static bool may_be_output(const Tensor *t) { return t->def && !t->is_output && !t->is_input && !t->data && !t->kept; }

/* Replaces the root's output by t. *next: the node to go on with. */
static bool apply(Rewriter *w, const Rule *rule, Node *root, Node *before, Tensor *t, Node **next) {
    Graph *g = w->r->g;
    Tensor *old = root->out[0];
    Type was = old->type;
    if (old->is_output && !may_be_output(t)) {
        Node *copy = build_node(g, root, "Identity", 1, &t, 1);
        t = copy->out[0];
    }
    tensor_replace(g, old, t, true);
    bool ok = true;
    for (Node *n = before ? before->next : g->first, *then; n != root; n = then) ok &= fold_node(&w->f, n, &then);
    if (t->def && type_known(&t->type) && !type_same(&t->type, &was)) BUG("rule '%s' changed the type of '%s'", rule->name, old->name);
    *next = before ? before->next : g->first;
    bool fresh = *next != root;
    Node *after = root->next;
    remove_dead(w, root);
    if (!fresh) *next = after;
    if (--w->left < 0) BUG("the rules do not end; the last one applied was '%s'", rule->name);
    return ok;
}
/* Builders which do not write extents down as numbers: only these may touch nodes with run-time extents. */
static bool takes_extents(BuildFn b) {
    static const BuildFn ok[] = {build_take_x,   build_take_inner, build_square_x,     build_fold_bn,     build_fold_add,
                                 build_fold_mul, build_move_pads,  build_compose_perm, build_transpose_w, build_scale_shift};
    for (size_t i = 0; i < sizeof ok / sizeof *ok; i++)
        if (ok[i] == b) return true;
    return false;
}
/* Tries every rule at one root. */
static bool rewrite_node(Rewriter *w, Node *n, Node **next) {
    for (int i = 0; i < RULES; i++) {
        const PatNode *root = &w->pattern[i].node[0];
        if (!w->pattern[i].on || !n->out[0] || (root->op ? root->op != n->op : !(n->op->flags & OPF_VIEW))) continue;
        Match m = {.c = w->r->c, .g = w->r->g};
        if (!match_node(&w->pattern[i], 0, n, &m)) continue;
        if (node_dynamic(n) && !takes_extents(rules[i].build)) continue;
        if (!rules[i].guard(&m)) continue;
        if (n->out[0]->is_output && op_is(n, "Identity") && !may_be_output(m.t['x' - 'a'])) continue; /* the copy an output needs */
        Node *before = n->prev;
        Tensor *t = rules[i].build(&m);
        if (!t) continue;
        w->hits[i]++;
        return apply(w, &rules[i], n, before, t, next);
    }
    return true;
}

bool pass_rules(Run *r) {
    Rewriter w = {.r = r, .pattern = compile_rules(r->tmp, r->o), .left = 1000 + 16 * (int64_t)r->g->nnode};
    for (int k = 0; k < r->o->no_rule.n; k++) {
        bool known = false;
        for (int i = 0; i < RULES; i++) known |= strcmp(rules[i].name, r->o->no_rule.v[k]) == 0;
        if (!known) return diag_error(r->c->d, NO_LOC, "there is no rule '%s'; see `quern passes`", r->o->no_rule.v[k]);
    }
    folder_init(&w.f, r->c, r->g);
    bool ok = true, changed = true;
    for (int walks = 0; ok && changed && walks < 16; walks++) {
        int64_t left = w.left;
        for (Node *n = r->g->first, *next; ok && n; n = next) {
            next = n->next;
            ok = rewrite_node(&w, n, &next);
        }
        changed = w.left != left;
    }
    folder_done(&w.f);
    return ok;
}

const char *rule_name(int i) { return i < RULES ? rules[i].name : NULL; }
void rules_list(Text *out) {
    for (int i = 0; i < RULES; i++) text_printf(out, "%-18s %s\n", rules[i].name, rules[i].doc);
}
void rules_markdown(Text *out) {
    for (int i = 0; i < RULES; i++) text_printf(out, "| `%s` | `%s` | %s |\n", rules[i].name, rules[i].pattern, rules[i].doc);
}
