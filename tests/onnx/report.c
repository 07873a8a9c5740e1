/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: what is said about all cases: failures one by one, a table per category, and docs/conformance.md, a line per case.
 *
 * The status file lists cases known to fail, one `NAME/…/case reason` a line (`*` for any NAME but models): they count as skipped, and a
 * listed case that passes is a failure, so that the list can only shrink. `models/NAME within 4 reason` lets the outputs of a model differ
 * by so much from the stored ones: deep quantised networks, where one step of a layer becomes several of the result. Besides these, a case
 * is let off only as an exception of judge.c, or by one rule: a case of an older corpus whose files differ from the newer's of the same
 * name, when the newer one passes.
 */
#include "corpus.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const stage_name[STAGES] = {"pass", "unsupported", "refused", "crash", "cc", "run", "wrong"};
typedef enum Verdict { V_PASS, V_EXEMPT, V_OLDER, V_KNOWN, V_FAIL, VERDICTS } Verdict;

void status_read(Corpus *q, const char *path) {
    FILE *f = fopen(path, "r");
    char line[1024];
    while (f && fgets(line, sizeof line, f)) {
        char *end = line + strcspn(line, " \t\n");
        if (line[0] == '#' || end == line) continue;
        char *why = end + strspn(end, " \t\n");
        why[strcspn(why, "\n")] = 0;
        const char *name = arena_strndup(q->a, line, (size_t)(end - line));
        double *within = NEW(q->a, double);
        if (strncmp(line, "models/", 7) == 0 && sscanf(why, "within %lf", within) == 1) map_set(q->within, name, within);
        else map_set(q->known, name, arena_strdup(q->a, why));
    }
    if (f) fclose(f);
}
void status_apply(Corpus *q) {
    for (int i = 0; i < q->c.n; i++) {
        const double *within = map_get(q->within, arena_printf(q->a, "%s/%s", q->c.v[i].category, q->c.v[i].name));
        if (within) q->c.v[i].within = *within;
    }
}
static const char *full_name(const Corpus *q, const Case *k) { return arena_printf(q->a, "%s/%s", k->category, k->name); }
static Verdict judge(const Corpus *q, const Case *k, const char **why) {
    const char *rest = strchr(k->category, '/');
    const char *known = map_get(q->known, full_name(q, k));
    if (!known && strcmp(k->corpus, "models") != 0) known = map_get(q->known, arena_printf(q->a, "*%s/%s", rest ? rest : "", k->name));
    ExemptKind e = exempt(k, why);
    if (k->stage == PASS && known)
        return *why = arena_printf(q->a, "passes, but is listed as known to fail (%s); remove the line", known), V_FAIL;
    if (k->stage == PASS) return e == EXEMPT_NONE ? V_PASS : V_EXEMPT;
    if (e == EXEMPT_REFUSED && k->stage == REFUSED) return V_EXEMPT;
    if (k->newer && k->newer->stage == PASS) return *why = "differs from the newer data of the same name, which pass", V_OLDER;
    if (known) return *why = known, V_KNOWN;
    return *why = arena_printf(q->a, "%s: %s", stage_name[k->stage], k->why ? k->why : ""), V_FAIL;
}

static void print_table(const Corpus *q) {
    printf("%-28s %7s", "category", "cases");
    for (int s = 0; s < STAGES; s++) printf(" %11s", stage_name[s]);
    puts("");
    for (int i = 0; i < q->c.n;) {
        int count[STAGES] = {0}, n = 0;
        const char *cat = q->c.v[i].category;
        for (; i < q->c.n && strcmp(q->c.v[i].category, cat) == 0; i++, n++) count[q->c.v[i].stage]++;
        printf("%-28s %7d", cat, n);
        for (int s = 0; s < STAGES; s++) printf(" %11d", count[s]);
        puts("");
    }
    if (q->same.n) printf("%d more cases have the same bytes as one of these\n", q->same.n);
}

/* ---- docs/conformance.md */
static const char *const verdict_word[VERDICTS] = {"pass", "exempt", "superseded", "known to fail", "fails"};
static const Case *case_at(const Corpus *q, int i) { return i < q->c.n ? &q->c.v[i] : &q->same.v[i - q->c.n]; }
static void put_summary(const Corpus *q, FILE *f) {
    Map *seen = map_new(q->a);
    fputs("| category | cases", f);
    for (int v = 0; v < VERDICTS; v++) fprintf(f, " | %s", verdict_word[v]);
    fputs(" | same bytes as newer |\n|---|---|---|---|---|---|---|---|\n", f);
    for (int i = 0; i < q->c.n + q->same.n; i++) {
        const char *cat = case_at(q, i)->category, *why;
        int count[VERDICTS] = {0}, n = 0, same = 0;
        if (map_get(seen, cat) || strcmp(case_at(q, i)->corpus, "models") == 0) continue;
        map_set(seen, cat, (void *)cat);
        for (int k = 0; k < q->c.n + q->same.n; k++) {
            const Case *x = case_at(q, k);
            if (strcmp(x->category, cat) != 0) continue;
            n++;
            if (x->same) same++;
            else count[judge(q, x, &why)]++;
        }
        fprintf(f, "| %s | %d", cat, n);
        for (int v = 0; v < VERDICTS; v++) fprintf(f, " | %d", count[v]);
        fprintf(f, " | %d |\n", same);
    }
}
static void put_cases(const Corpus *q, FILE *f) {
    const char *cat = "", *why;
    for (int i = 0; i < q->c.n; i++) {
        const Case *k = &q->c.v[i];
        if (strcmp(k->corpus, "models") == 0) continue;
        if (strcmp(cat, k->category) != 0) fprintf(f, "\n## %s\n\n| case | verdict |\n|---|---|\n", cat = k->category);
        Verdict v = judge(q, k, &why);
        fprintf(f, "| %s | %s%s%s |\n", k->name, verdict_word[v], v == V_PASS ? "" : ": ", v == V_PASS ? "" : why);
    }
}
static void write_conformance(const Corpus *q) {
    const char *why;
    FILE *f = fopen(q->conformance, "w");
    if (!f) return perror(q->conformance);
    fputs("# Conformance\n\nWritten by `tests/run.sh --conformance`: every case of ONNX's own backend tests, of the newest data (opset 28, "
          "`new`) and of "
          "ONNX 1.12\n(`onnx`), imported, compiled to C, run and compared. Floats of 16 to 64 bits within 1e-6 + 0.001 times the expected "
          "value; "
          "everything else\n(integers, bool, strings, 8- and 4-bit floats, casts, quantisation) bit for bit. An older case with the same "
          "bytes as the "
          "newer one of\nits name is not run again. One whose files differ from the newer ones, and which fails where the newer one "
          "passes, is superseded.\n\n",
          f);
    put_summary(q, f);
    fputs("\n## What does not pass by its stored values\n\n| case | verdict | why |\n|---|---|---|\n", f);
    for (int i = 0; i < q->c.n; i++) {
        Verdict v = judge(q, &q->c.v[i], &why);
        if (v != V_PASS && strcmp(q->c.v[i].corpus, "models") != 0)
            fprintf(f, "| %s | %s | %s |\n", full_name(q, &q->c.v[i]), verdict_word[v], why);
    }
    put_cases(q, f);
    fclose(f);
}

int corpus_finish(Corpus *q) {
    int count[VERDICTS] = {0};
    const char *why;
    FILE *rep = q->report ? fopen(q->report, "w") : NULL;
    for (int i = 0; i < q->c.n; i++) {
        const Case *k = &q->c.v[i];
        if (rep) fprintf(rep, "%s %s %s\n", full_name(q, k), stage_name[k->stage], k->why ? k->why : "");
        Verdict v = judge(q, k, &why);
        if (v == V_FAIL) printf("FAIL %s: %s\n", full_name(q, k), why);
        if (v == V_OLDER) printf("superseded %s: %s\n", full_name(q, k), k->why);
        count[v]++;
    }
    if (rep) fclose(rep);
    print_table(q);
    if (q->conformance) write_conformance(q);
    printf("corpus: %d passed, %d failed, %d skipped\n", count[V_PASS] + count[V_EXEMPT], count[V_FAIL], count[V_KNOWN] + count[V_OLDER]);
    return count[V_FAIL] || !count[V_PASS];
}
