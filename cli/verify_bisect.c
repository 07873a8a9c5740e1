/* SPDX-License-Identifier: Apache-2.0 */
/* verify_bisect.c: which pass or rule makes a data set differ. The optional passes are switched on one after the other in the order in
 * which they run: the first with which the outputs are wrong is to blame, and where that is `rules`, each rule is left out alone.
 *
 *   bisect: wrong from pass 'rules' on; without it the data set agrees
 *   bisect: without rule 'conv_bn' the data set agrees
 */
#include "verify.h"
#include <stdio.h>
#include <string.h>

typedef struct Bisect {
    const Options *user;
    const DataSet *set;
} Bisect;

/* Builds and runs with these passes; its messages are its own. */
static bool agrees(const Bisect *b, const char *list, const char *no_rule) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Options o = *b->user;
    o.quiet = true, o.pass.list = list, o.pass.dump_after.n = 0, o.pass.time = false;
    PassOptions fresh = {0};
    for (int i = 0; i < o.pass.no_rule.n; i++) vec_push(a, &fresh.no_rule, o.pass.no_rule.v[i]);
    if (no_rule) vec_push(a, &fresh.no_rule, no_rule);
    o.pass.no_rule.v = fresh.no_rule.v, o.pass.no_rule.n = fresh.no_rule.n, o.pass.no_rule.cap = fresh.no_rule.cap;
    ImportOptions import = o.import;
    import.dims.v = NULL, import.dims.n = import.dims.cap = 0;
    for (int i = 0; i < o.import.dims.n; i++) vec_push(a, &import.dims, o.import.dims.v[i]);
    o.import = import;
    Runner r = {0};
    bool ok = model_bind_set(&c, &o, b->set) && runner_open(&c, &o, &r) && verify_set(&c, &o, &r, b->set);
    runner_close(&r);
    arena_free(a);
    return ok;
}
/* The first n optional passes, as --passes takes them; with none: one that runs anyway. */
static const char *first_passes(Arena *a, int n) {
    const char *list = "fold";
    for (int i = 0; i < n; i++) list = arena_printf(a, "%s,%s", list, pass_optional(i));
    return list;
}

void verify_bisect(Ctx *c, const Options *user, const DataSet *set) {
    Bisect b = {user, set};
    if (user->pass.list) {
        printf("bisect: leave --passes out: it is bisect that chooses the passes\n");
        return;
    }
    if (!agrees(&b, first_passes(c->a, 0), NULL)) {
        printf("bisect: it differs without any optional pass too: look at the operators' meaning (docs/ops.md), the import, or the stored "
               "data\n");
        return;
    }
    int lo = 0, hi = 0; /* right with the first lo passes, wrong with the first hi */
    while (pass_optional(hi)) hi++;
    if (agrees(&b, first_passes(c->a, hi), NULL)) {
        printf("bisect: with the same passes it agrees now: look for something that is not the same in every run\n");
        return;
    }
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (agrees(&b, first_passes(c->a, mid), NULL)) lo = mid;
        else hi = mid;
    }
    const char *pass = pass_optional(hi - 1);
    bool mends = agrees(&b, arena_printf(c->a, "-%s", pass), NULL);
    printf("bisect: wrong from pass '%s' on; without it the data set %s\n", pass,
           mends ? "agrees" : "differs all the same, so later passes play a part");
    bool rules = strcmp(pass, "rules") == 0;
    for (int i = 0; rules && rule_name(i); i++)
        if (agrees(&b, NULL, rule_name(i))) printf("bisect: without rule '%s' the data set agrees\n", rule_name(i));
}
