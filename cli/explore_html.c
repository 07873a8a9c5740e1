/* SPDX-License-Identifier: Apache-2.0 */
/* explore_html.c: one self-contained page for a model on a machine: energy of every layer stacked by level, in SVG, and a table with
 * the mappings. No script, nothing fetched.
 *   layer conv1: MAC 15 %, RF 60 %, GLB 5 %, DRAM 20 %   ->   four rectangles of one column */
#include "explore.h"
#include <string.h>

static const char *const colour[QN_MAX_LEVELS + 1] = {"#4c4c4c", "#4477aa", "#66ccee", "#228833", "#ccbb44",
                                                      "#ee6677", "#aa3377", "#bbbbbb", "#000000"};
static void escaped(Text *t, const char *s) {
    for (; *s; s++) {
        const char *as = *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : *s == '&' ? "&amp;" : *s == '"' ? "&quot;" : NULL;
        if (as) text_puts(t, as);
        else text_putn(t, s, 1);
    }
}
static double part(const MappingCounts *k, int i, int n) { return i ? k->energy_level[n - i] : k->energy_macs; }
static const char *part_name(const Target *t, int i) { return i ? t->level[t->nlevel - i].name : "MAC"; }

static void bars(Text *t, const ModelRun *r) {
    enum { HEIGHT = 320, STEP = 34, BAR = 24 };
    int n = r->layers->list.n, levels = r->target->nlevel;
    double top = 0;
    for (int i = 0; i < n; i++)
        if (r->counts[i].energy > top) top = r->counts[i].energy;
    text_printf(t, "<svg role=\"img\" aria-label=\"energy of each layer by level\" width=\"%d\" height=\"%d\">\n", 80 + n * STEP,
                HEIGHT + 150);
    for (int q = 0; q <= 4; q++)
        text_printf(
            t, "<line x1=\"70\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"#ddd\"/><text x=\"64\" y=\"%d\" text-anchor=\"end\">%.3g</text>\n",
            76 + n * STEP, 10 + HEIGHT - HEIGHT * q / 4, 10 + HEIGHT - HEIGHT * q / 4, 14 + HEIGHT - HEIGHT * q / 4, top * q / 4);
    for (int i = 0; i < n; i++) {
        double y = 10 + HEIGHT;
        for (int k = 0; k <= levels; k++) {
            double e = part(&r->counts[i], k, levels), h = top > 0 ? e / top * HEIGHT : 0;
            y -= h;
            text_printf(t, "<rect x=\"%d\" y=\"%.2f\" width=\"%d\" height=\"%.2f\" fill=\"%s\"><title>", 76 + i * STEP, y, BAR, h,
                        colour[k]);
            escaped(t, r->layers->list.v[i].name);
            text_printf(t, ", %s: %.4g (%.1f %%)</title></rect>\n", part_name(r->target, k), e, 100 * e / r->counts[i].energy);
        }
        int x = 76 + i * STEP + BAR / 2;
        text_printf(t, "<text x=\"%d\" y=\"%d\" transform=\"rotate(60 %d %d)\">", x, HEIGHT + 22, x, HEIGHT + 22);
        char name[25];
        snprintf(name, sizeof name, "%s", r->layers->list.v[i].name);
        escaped(t, name);
        text_puts(t, "</text>\n");
    }
    text_puts(t, "</svg>\n<p class=\"key\">");
    for (int k = levels; k >= 0; k--) text_printf(t, "<span style=\"background:%s\"></span>%s ", colour[k], part_name(r->target, k));
    text_puts(t, "</p>\n");
}
static void table(Text *t, const ModelRun *r) {
    text_puts(
        t,
        "<table><thead><tr><th>layer<th>MACs<th>cycles<th>utilisation<th>energy<th>per MAC<th>DRAM words<th>mapping</tr></thead><tbody>\n");
    for (int i = 0; i < r->layers->list.n; i++) {
        const MappingCounts *k = &r->counts[i];
        text_puts(t, "<tr><td>");
        escaped(t, r->layers->list.v[i].name);
        text_printf(t, "<td>%lld<td>%lld<td>%.3f<td>%.4g<td>%.3f<td>%lld<td class=\"map\">", (long long)k->macs, (long long)k->cycles,
                    k->utilisation, k->energy, k->energy / (double)k->macs, (long long)k->outer_words);
        Text line = {0};
        mapping_print_line(r->found[i].mapping, &line);
        escaped(t, line.s);
        text_free(&line);
        text_puts(t, "</tr>\n");
    }
    text_printf(t, "<tr><th>total<th>%lld<th>%lld<th><th>%.4g<th>%.3f<th>%lld<th></tr></tbody></table>\n", (long long)r->sum.macs,
                (long long)r->sum.cycles, r->sum.energy, r->sum.energy / (double)r->sum.macs, (long long)r->sum.dram_words);
}
bool explore_html(Ctx *c, const char *path, const char *title, const ModelRun *r) {
    Text t = {0};
    text_puts(&t, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    escaped(&t, title);
    text_puts(&t, "</title>\n<style>\nbody { font: 14px sans-serif; margin: 2em; }\nsvg text { font-size: 11px; }\n"
                  "table { border-collapse: collapse; }\ntd, th { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd; }\n"
                  "td:first-child, th:first-child, td.map { text-align: left; }\n.map { font-family: monospace; font-size: 12px; }\n"
                  ".key span { display: inline-block; width: 12px; height: 12px; margin: 0 4px 0 12px; }\n</style></head><body>\n<h1>");
    escaped(&t, title);
    text_printf(&t, "</h1>\n<p>on %s (", r->target->name);
    escaped(&t, r->target->about ? r->target->about : "");
    text_printf(&t, "); %s accounting. Energy is in units of one multiply-add.</p>\n<h2>Energy by level</h2>\n",
                counting_name[r->spec->counting]);
    bars(&t, r);
    text_puts(&t, "<h2>Layers</h2>\n");
    table(&t, r);
    text_puts(&t, "</body></html>\n");
    bool ok = file_write_whole(c, path, t.s, t.n);
    text_free(&t);
    return ok;
}
