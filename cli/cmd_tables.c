/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_tables.c: ops, targets, passes: what the tables hold. */
#include "cli.h"
#include "codegen/target_yaml.h"
#include <stdio.h>
#include <string.h>

static int print_text(Text *t) {
    if (t->s) fwrite(t->s, 1, t->n, stdout);
    text_free(t);
    return EXIT_DONE;
}
int cmd_ops(Ctx *c, Options *o) {
    (void)c;
    Text t = {0};
    if (o->markdown) return ops_markdown(&t), print_text(&t);
    for (int i = 0; i < op_count(); i++) {
        const OpDef *op = op_at(i);
        text_printf(&t, "%s%s%-28s %3d  %s\n", op->domain, *op->domain ? ":" : "", op->name, op->since, op->doc);
    }
    return print_text(&t);
}
int cmd_targets(Ctx *c, Options *o) {
    Text t = {0};
    if (o->markdown) targets_markdown(c, &t);
    else targets_list(c, &t);
    return print_text(&t);
}
int cmd_passes(Ctx *c, Options *o) {
    (void)c;
    Text t = {0};
    if (o->markdown) passes_markdown(&t);
    else passes_list(&t);
    return print_text(&t);
}
