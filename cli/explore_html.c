/* SPDX-License-Identifier: Apache-2.0 */
/* explore_html.c: one self-contained page for a model on a machine: energy by level and by operand, roofline, Pareto front, every
 * layer's mapping and array, a table that sorts. Charts are SVG; the script only sorts the table; nothing is fetched. */
#include "page.h"
#include <string.h>

static const char style[] =
    "body { font: 14px sans-serif; margin: 2em; color: #222; }\nsvg text { font-size: 11px; }\n"
    "table { border-collapse: collapse; }\ntd, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd; }\n"
    "th { white-space: nowrap; vertical-align: bottom; }\ntd:first-child, th:first-child, th:last-child, td.map { text-align: left; "
    "}\n.map, .loops { font-family: monospace; font-size: 12px; }\n"
    "th.sorts { cursor: pointer; }\nth.sorts::after { content: ' \\2195'; color: #999; }\n"
    ".key span { display: inline-block; width: 12px; height: 12px; margin: 0 4px 0 12px; }\n"
    ".grid { stroke: #ddd; }\n.roof { fill: none; stroke: #222; stroke-width: 1.5; }\n.level { font-weight: bold; }\n"
    ".front { fill: #228833; }\n.behind { fill: none; stroke: #888; }\n.works { fill: #4477aa; }\n.idle { fill: #e4e4e4; }\n"
    ".side { display: flex; flex-wrap: wrap; gap: 2em; align-items: flex-start; }\nsummary { cursor: pointer; padding: 4px 0; }\n";
/* A click on a heading sorts by that column, a second click the other way; the total stays last. */
static const char script[] =
    "document.querySelectorAll('th.sorts').forEach(function (th, column) {\n"
    "  var up = false;\n"
    "  th.addEventListener('click', function () {\n"
    "    var body = th.closest('table').tBodies[0], rows = Array.from(body.rows);\n"
    "    up = !up;\n"
    "    function value(row) { var v = row.cells[column].dataset.v; return v === undefined ? row.cells[column].textContent : Number(v); }\n"
    "    rows.sort(function (a, b) { var x = value(a), y = value(b); return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1); });\n"
    "    rows.forEach(function (row) { body.appendChild(row); });\n"
    "  });\n"
    "});\n";

static void cell(Text *t, double v, const char *format) {
    text_printf(t, "<td data-v=\"%.17g\">", v);
    char s[40];
    snprintf(s, sizeof s, format, v);
    text_puts(t, s);
}
static void table(Text *t, const ModelRun *r) {
    static const char *const head[] = {"layer", "MACs", "cycles", "utilisation", "energy", "per MAC", "DRAM words", "mapping"};
    text_puts(t, "<table><thead><tr>");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) text_printf(t, "<th class=\"sorts\">%s", head[i]);
    text_puts(t, "</tr></thead><tbody>\n");
    for (int i = 0; i < r->layers->list.n; i++) {
        const MappingCounts *k = &r->counts[i];
        text_puts(t, "<tr><td>");
        page_escaped(t, r->layers->list.v[i].name);
        cell(t, (double)k->macs, "%.0f"), cell(t, (double)k->cycles, "%.0f"), cell(t, k->utilisation, "%.3f"), cell(t, k->energy, "%.4g");
        cell(t, k->energy / (double)k->macs, "%.3f"), cell(t, (double)k->outer_words, "%.0f");
        text_puts(t, "<td class=\"map\">");
        Text line = {0};
        mapping_print_line(r->found[i].mapping, &line);
        page_escaped(t, line.s);
        text_free(&line);
        text_puts(t, "</tr>\n");
    }
    text_printf(t, "</tbody><tfoot><tr><th>total<th>%lld<th>%lld<th><th>%.4g<th>%.3f<th>%lld<th></tr></tfoot></table>\n",
                (long long)r->sum.macs, (long long)r->sum.cycles, r->sum.energy, r->sum.energy / (double)r->sum.macs,
                (long long)r->sum.dram_words);
}
static void mappings(Text *t, const ModelRun *r) {
    for (int i = 0; i < r->layers->list.n; i++) {
        const ExploreLayer *l = &r->layers->list.v[i];
        text_printf(t, "<details%s><summary>", i ? "" : " open");
        page_escaped(t, l->name);
        if (l->same < i) {
            text_puts(t, "</summary><p>the same as ");
            page_escaped(t, r->layers->list.v[l->same].name);
            text_puts(t, "</p></details>\n");
            continue;
        }
        text_puts(t, "</summary>\n<div class=\"side\"><div>");
        page_nested(t, r->found[i].mapping, &r->counts[i]);
        text_puts(t, "</div><div>");
        page_array(t, r->found[i].mapping, &r->counts[i]);
        text_puts(t, "</div></div></details>\n");
    }
}
bool explore_html(Ctx *c, const char *path, const char *title, const ModelRun *r) {
    Text t = {0};
    if (strrchr(title, '/')) title = strrchr(title, '/') + 1; /* of a file */
    text_puts(&t, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    page_escaped(&t, title);
    text_printf(&t, "</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n%s</style></head><body>\n<h1>", style);
    page_escaped(&t, title);
    text_puts(&t, "</h1>\n<p>on ");
    page_escaped(&t, r->target->name);
    if (r->target->about) text_puts(&t, " ("), page_escaped(&t, r->target->about), text_puts(&t, ")");
    text_printf(&t, "; %s accounting. Energy is in the units of the machine's file, as a rule those of one multiply-add.</p>\n",
                counting_name[r->spec->counting]);
    text_puts(&t, "<div class=\"side\"><div><h2>Energy by level</h2>\n");
    page_bars(&t, r, false);
    text_puts(&t, "</div><div><h2>Energy by operand</h2>\n");
    page_bars(&t, r, true);
    text_puts(&t, "</div></div>\n<div class=\"side\"><div><h2>Roofline</h2>\n");
    page_roofline(&t, r);
    text_puts(&t, "</div>");
    if (r->npoint) {
        text_puts(&t, "<div><h2>Pareto front</h2>\n");
        page_front(&t, r->points, r->npoint);
        text_puts(&t, "</div>");
    }
    text_puts(&t, "</div>\n<h2>Layers</h2>\n");
    table(&t, r);
    text_puts(&t, "<h2>Mappings</h2>\n");
    mappings(&t, r);
    text_printf(&t, "<script>\n%s</script>\n</body></html>\n", script);
    bool ok = file_write_whole(c, path, t.s, t.n);
    text_free(&t);
    return ok;
}
