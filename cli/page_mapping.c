/* SPDX-License-Identifier: Apache-2.0 */
/* page_mapping.c: drawings of one mapping: its tiles inside each other, each with the loops that move what is inside it and the words it
 * holds; and the array of units, those that work filled.
 *   DRAM[M4] GLB[E3 | M2x] RF[]   ->   a box DRAM "for M 4" around a box GLB "for E 3; spread M 2 x" around a box RF */
#include "page.h"

enum { LINE = 16, PAD = 10, WIDTH = 620 };
static void put_loops(Text *t, const Problem *p, const MapLoop *l, int n, const char *before) {
    for (int i = 0; i < n; i++) {
        text_puts(t, i ? " " : before);
        page_escaped(t, p->dim[l[i].dim]);
        text_printf(t, " %lld%s%s", (long long)l[i].factor, l[i].axis == 'x' ? " x" : l[i].axis == 'y' ? " y" : "", l[i].ragged ? "~" : "");
    }
}
void page_nested(Text *t, const Mapping *m, const MappingCounts *n) {
    int levels = m->target->nlevel, height = levels * (2 * LINE + 2 * PAD) + LINE + 2 * PAD;
    text_printf(t, "<svg role=\"img\" aria-label=\"mapping as nested tiles\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", WIDTH,
                height, WIDTH, height);
    for (int l = 0; l <= levels; l++) {
        int x = l * PAD, y = l * (2 * LINE + PAD), w = WIDTH - 2 * x - 1, h = height - y - l * PAD - 1;
        text_printf(
            t, "<rect class=\"tile\" x=\"%d.5\" y=\"%d.5\" width=\"%d\" height=\"%d\" fill=\"%s\" fill-opacity=\"0.12\" stroke=\"%s\"/>\n",
            x, y, w, h, page_colour(levels - l), page_colour(levels - l));
        if (l == levels) {
            text_printf(t, "<text x=\"%d\" y=\"%d\">multiply-adds: %lld at a time</text>\n", x + 8, y + LINE, (long long)n->units);
            break;
        }
        const MapLevel *v = &m->level[l];
        text_printf(t, "<text x=\"%d\" y=\"%d\"><tspan class=\"level\">", x + 8, y + LINE - 2);
        page_escaped(t, m->target->level[l].name);
        text_puts(t, "</tspan>");
        if (n->instances[l] > 1) text_printf(t, " × %lld", (long long)n->instances[l]);
        for (int k = 0; k < m->problem->ntensor; k++) {
            if (!(v->keep >> k & 1)) continue;
            text_puts(t, "  ");
            page_escaped(t, m->problem->tensor[k].name);
            text_printf(t, " %lld", (long long)n->at[l][k].tile_words);
        }
        text_printf(t, "</text>\n<text x=\"%d\" y=\"%d\" class=\"loops\">", x + 8, y + 2 * LINE - 2);
        put_loops(t, m->problem, v->temporal, v->ntemporal, "for ");
        put_loops(t, m->problem, v->spatial, v->nspatial, v->ntemporal ? "; spread " : "spread ");
        text_puts(t, "</text>\n");
    }
    text_puts(t, "</svg>\n");
}

/* All spatial loops of a mapping along an axis, over the units that the machine has there. */
void page_extent(const Mapping *m, char axis, int64_t *used, int64_t *have) {
    *used = *have = 1;
    for (int l = 0; l < m->target->nlevel; l++) {
        *have *= axis == 'x' ? m->target->level[l].fan_x : m->target->level[l].fan_y;
        for (int i = 0; i < m->level[l].nspatial; i++)
            if (m->level[l].spatial[i].axis == axis) *used *= m->level[l].spatial[i].factor;
    }
}
void page_array(Text *t, const Mapping *m, const MappingCounts *n) {
    int64_t ux, uy, hx, hy;
    page_extent(m, 'x', &ux, &hx), page_extent(m, 'y', &uy, &hy);
    double cell = hx * 12 <= 336 && hy * 12 <= 240 ? 12 : hx > hy ? 336.0 / (double)hx : 240.0 / (double)hy;
    bool single = hx <= 64 && hy <= 64;
    text_printf(t, "<svg role=\"img\" aria-label=\"units that work\" width=\"%.0f\" height=\"%.0f\">\n", cell * (double)hx + 2,
                cell * (double)hy + 2);
    if (!single) { /* too many to draw one by one */
        text_printf(t,
                    "<rect class=\"idle\" x=\"1\" y=\"1\" width=\"%.1f\" height=\"%.1f\"/><rect class=\"works\" x=\"1\" y=\"1\" "
                    "width=\"%.1f\" height=\"%.1f\"/>\n",
                    cell * (double)hx, cell * (double)hy, cell * (double)ux, cell * (double)uy);
    } else
        for (int64_t y = 0; y < hy; y++)
            for (int64_t x = 0; x < hx; x++)
                text_printf(t, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                            x < ux && y < uy ? "works" : "idle", 1 + cell * (double)x, 1 + cell * (double)y, cell - 1, cell - 1);
    text_printf(t, "</svg>\n<p>%lld × %lld of %lld × %lld units; %.4g work on average (%.1f %%)</p>\n", (long long)ux, (long long)uy,
                (long long)hx, (long long)hy, n->units_mean, 100 * n->units_mean / (double)(hx * hy));
}
