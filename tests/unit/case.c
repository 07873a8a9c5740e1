/* SPDX-License-Identifier: Apache-2.0 */
/* case.c: see case.h. */
#include "case.h"
#include <check.h>
#include <string.h>

void case_open(Case *t) {
    memset(t, 0, sizeof *t);
    t->a = t->d.a = arena_new();
    t->c = (Ctx){t->a, &t->d};
}
void case_close(Case *t) { arena_free(t->a); }
static const char *taken(Case *t, Text *text) {
    const char *s = arena_strdup(t->a, text->s);
    text_free(text);
    return s;
}
const char *case_said(Case *t) {
    Text out = {0};
    text_puts(&out, "");
    for (int i = 0; i < t->d.list.n; i++) diag_format(&t->d.list.v[i], &out), text_puts(&out, "\n");
    return taken(t, &out);
}
Func *case_parse(Case *t, const char *text) {
    Func *f = func_parse(&t->c, "t.qir", text);
    ck_assert_msg(f != NULL && t->d.errors == 0, "%s\n%s", case_said(t), text);
    return f;
}
const char *case_print(Case *t, const Func *f) {
    Text out = {0};
    func_print(f, &out);
    return taken(t, &out);
}
bool case_runnable(const Program *p) {
    int64_t bytes = p->arena_bytes;
    for (int i = 0; i < p->g->tensors.n; i++) {
        int64_t n, b;
        const Tensor *t = p->g->tensors.v[i];
        if (!type_known(&t->type)) continue;
        if (!type_elements(&t->type, &n) || !dtype_bytes(t->type.dt, n, &b) || !add_ok(bytes, b, &bytes) || bytes > 1 << 20) return false;
    }
    for (int k = 0; k < p->k.n; k++)
        if (p->k.v[k]->macs < 0 || p->k.v[k]->macs > 10000000) return false;
    return true;
}
