/* SPDX-License-Identifier: Apache-2.0 */
/* page_charts.c: charts as SVG: energy of each layer stacked by level or by operand, the roofline, the Pareto front. Hovering shows the
 * numbers.
 *   layer conv1: MAC 15 %, RF 60 %, GLB 5 %, DRAM 20 %   ->   four rectangles of one column */
#include "page.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *page_colour(int i) {
    static const char *const colour[] = {"#4c4c4c", "#4477aa", "#66ccee", "#228833", "#ccbb44",
                                         "#ee6677", "#aa3377", "#bbbbbb", "#9e480e", "#000000"};
    return colour[i % 10];
}
void page_escaped(Text *t, const char *s) {
    for (; *s; s++) {
        const char *as = *s == '<' ? "&lt;" : *s == '>' ? "&gt;" : *s == '&' ? "&amp;" : *s == '"' ? "&quot;" : *s == '\'' ? "&#39;" : NULL;
        if (as) text_puts(t, as);
        else if ((unsigned char)*s >= 32) text_putn(t, s, 1);
    }
}
static void escaped_cut(Text *t, const char *s, int most) {
    char cut[64];
    snprintf(cut, sizeof cut, "%.*s%s", most, s, (int)strlen(s) > most ? "…" : "");
    page_escaped(t, cut);
}
double frame_x(const Frame *f, double x) { return f->left + ((f->log ? log10(x) : x) - f->x0) / (f->x1 - f->x0) * f->width; }
double frame_y(const Frame *f, double y) { return f->top + f->height - ((f->log ? log10(y) : y) - f->y0) / (f->y1 - f->y0) * f->height; }
static void tick(Text *t, const Frame *f, double at, bool x) {
    double place = f->log ? pow(10, at) : fabs(at) < 1e-12 ? 0 : at;
    if (x) {
        double p = frame_x(f, place);
        text_printf(t,
                    "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" "
                    "text-anchor=\"middle\">%.3g</text>\n",
                    p, p, f->top, f->top + f->height, p, f->top + f->height + 14, place);
    } else {
        double p = frame_y(f, place);
        text_printf(
            t,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n",
            f->left, f->left + f->width, p, p, f->left - 6, p + 4, place);
    }
}
static void ticks(Text *t, const Frame *f, double lo, double hi, bool x) {
    double step = 1;
    if (!f->log) step = pow(10, floor(log10((hi - lo) / 4)));
    while ((hi - lo) / step > 6) step *= f->log ? 2 : step < (hi - lo) / 12 ? 5 : 2;
    for (double v = ceil(lo / step - 1e-9) * step; v <= hi + 1e-9 * (hi - lo); v += step) tick(t, f, v, x);
}
void frame_open(Text *t, const Frame *f, const char *title, const char *x_label, const char *y_label) {
    int w = f->left + f->width + 20, h = f->top + f->height + f->below;
    text_printf(t, "<svg role=\"img\" aria-label=\"%s\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", title, w, h, w, h);
    ticks(t, f, f->y0, f->y1, false);
    if (*x_label) ticks(t, f, f->x0, f->x1, true);
    text_printf(t, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", f->left + f->width / 2, f->top + f->height + 34, x_label);
    text_printf(t, "<text x=\"12\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 12 %d)\">%s</text>\n", f->top + f->height / 2,
                f->top + f->height / 2, y_label);
}

/* ---- energy */
int page_part_count(const ModelRun *r) { return r->target->nlevel + 2; }
const char *page_part_name(const ModelRun *r, int part) {
    int n = r->target->nlevel;
    return part == 0 ? "MAC" : part > n ? "network" : r->target->level[n - part].name;
}
double page_part(const ModelRun *r, const MappingCounts *k, int part) {
    int n = r->target->nlevel;
    return part == 0 ? k->energy_macs : part > n ? k->energy_network : k->energy_level[n - part];
}
void explore_operand_energy(const Mapping *m, const MappingCounts *n, Counting how, double *tensor) {
    for (int t = 0; t < m->problem->ntensor; t++) tensor[t] = 0;
    for (int l = 0; l < m->target->nlevel; l++) {
        const TargetLevel *v = &m->target->level[l];
        double part[QN_MAX_TENSORS], all = 0;
        for (int t = 0; t < m->problem->ntensor; t++) {
            const Access *a = &n->at[l][t];
            double width = m->problem->tensor[t].bits ? (double)m->problem->tensor[t].bits / v->word_bits : 1;
            double writes = (double)a->updates + (how == COUNT_SURVEY ? 0 : (double)a->fills);
            part[t] = width * ((double)a->reads * v->read_energy + writes * v->write_energy);
            all += part[t];
        }
        for (int t = 0; t < m->problem->ntensor && all > 0; t++) tensor[t] += n->energy_level[l] * part[t] / all;
    }
}
enum { MAX_PARTS = QN_MAX_LEVELS + 2 };
/* The parts of one column, from the axis up. */
static int column(const ModelRun *r, int i, bool by_operand, double *part, const char **name) {
    if (!by_operand) {
        for (int k = 0; k < page_part_count(r); k++) part[k] = page_part(r, &r->counts[i], k), name[k] = page_part_name(r, k);
        return page_part_count(r);
    }
    static const char *const role[] = {"MAC", "network", "weights", "inputs", "outputs"};
    double tensor[QN_MAX_TENSORS];
    const Problem *p = r->layers->list.v[i].problem;
    explore_operand_energy(r->found[i].mapping, &r->counts[i], r->spec->counting, tensor);
    part[0] = r->counts[i].energy_macs, part[1] = r->counts[i].energy_network, part[2] = part[3] = part[4] = 0;
    for (int t = 0; t < p->ntensor; t++) part[p->tensor[t].role == ROLE_W ? 2 : p->tensor[t].role == ROLE_I ? 3 : 4] += tensor[t];
    for (int k = 0; k < 5; k++) name[k] = role[k];
    return 5;
}
void page_bars(Text *t, const ModelRun *r, bool by_operand) {
    enum { STEP = 34, BAR = 24, LABEL = 18 };
    int n = r->layers->list.n, parts = 0, longest = 0; /* name under the bars, of LABEL letters at most */
    double top = 0, part[MAX_PARTS];
    const char *name[MAX_PARTS] = {NULL};
    for (int i = 0; i < n; i++) {
        int letters = (int)min_i64(LABEL, (int64_t)strlen(r->layers->list.v[i].name));
        if (letters > longest) longest = letters;
        if (r->counts[i].energy > top) top = r->counts[i].energy;
    }
    Frame f = {0, 1, 0, top > 0 ? top : 1, false, 76, 10, n * STEP + 10 > 300 ? n * STEP + 10 : 300, 280, 24 + 6 * longest};
    frame_open(t, &f, by_operand ? "energy of each layer by operand" : "energy of each layer by level", "", "energy");
    for (int i = 0; i < n; i++) {
        double y = 0;
        const char *layer = r->layers->list.v[i].name;
        parts = column(r, i, by_operand, part, name);
        for (int k = 0; k < parts; k++) {
            double lo = frame_y(&f, y), hi = frame_y(&f, y + part[k]);
            y += part[k];
            if (part[k] <= 0) continue;
            text_printf(t, "<rect class=\"bar\" x=\"%d\" y=\"%.2f\" width=\"%d\" height=\"%.2f\" fill=\"%s\"><title>",
                        f.left + 8 + i * STEP, hi, BAR, lo - hi > 0.3 ? lo - hi : 0.3, page_colour(k));
            page_escaped(t, layer);
            text_printf(t, ", %s: %.4g (%.1f %%)</title></rect>\n", name[k], part[k], 100 * part[k] / r->counts[i].energy);
        }
        int x = f.left + 8 + i * STEP + BAR / 2;
        text_printf(t, "<text x=\"%d\" y=\"%d\" transform=\"rotate(55 %d %d)\">", x, f.top + f.height + 12, x, f.top + f.height + 12);
        escaped_cut(t, layer, LABEL);
        text_puts(t, "</text>\n");
    }
    text_puts(t, "</svg>\n<p class=\"key\">");
    for (int k = parts - 1; k >= 0; k--) text_printf(t, "<span style=\"background:%s\"></span>%s ", page_colour(k), name[k]);
    text_puts(t, "</p>\n");
}

/* ---- roofline: multiply-adds per cycle over multiply-adds per word of the outermost level */
void page_roofline(Text *t, const ModelRun *r) {
    double peak = 0, bw = 0, lo = 1e30, hi = 0, low = 1e30;
    for (int i = 0; i < r->layers->list.n; i++) {
        Roof k = explore_roof(r->layers->list.v[i].problem, r->target, &r->counts[i]);
        peak = fmax(peak, k.peak), bw = k.words, lo = fmin(lo, k.per_word), hi = fmax(hi, k.per_word), low = fmin(low, k.per_cycle);
    }
    double knee = bw > 0 ? peak / bw : lo;
    Frame f = {floor(log10(lo < knee ? lo : knee)),
               ceil(log10(hi > knee ? hi : knee) + 0.01),
               floor(log10(low)),
               ceil(log10(peak) + 0.01),
               true,
               76,
               10,
               560,
               300,
               44};
    frame_open(t, &f, "roofline", "multiply-adds per word of DRAM", "multiply-adds per cycle");
    double from = pow(10, f.x0), to = pow(10, f.x1), start = bw > 0 ? from * bw : peak;
    if (start < pow(10, f.y0)) from = pow(10, f.y0) / bw, start = pow(10, f.y0);
    text_printf(t, "<polyline class=\"roof\" points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>\n", frame_x(&f, from), frame_y(&f, start),
                frame_x(&f, knee > from ? knee : from), frame_y(&f, peak), frame_x(&f, to), frame_y(&f, peak));
    for (int i = 0; i < r->layers->list.n; i++) {
        Roof k = explore_roof(r->layers->list.v[i].problem, r->target, &r->counts[i]);
        double x = k.per_word, y = k.per_cycle;
        text_printf(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"><title>", frame_x(&f, x), frame_y(&f, y),
                    page_colour(1 + i % 8));
        page_escaped(t, r->layers->list.v[i].name);
        text_printf(t, ": %.4g per word, %.4g per cycle (%.1f %% of %.6g)</title></circle>\n", x, y, 100 * y / peak, peak);
    }
    text_puts(t, "</svg>\n<p class=\"key\">");
    for (int i = 0; i < r->layers->list.n && r->layers->list.n <= 8;
         i++) { /* more have no colour of their own; the pointer tells the name */
        text_printf(t, "<span style=\"background:%s\"></span>", page_colour(1 + i % 8));
        escaped_cut(t, r->layers->list.v[i].name, 18);
        text_puts(t, " ");
    }
    text_puts(t, "</p>\n");
}

/* ---- Pareto front: energy over cycles; the front is filled */
void page_front(Text *t, const ExplorePoint *p, int n) {
    double lo = 1e300, hi = 0, low = 1e300, high = 0;
    for (int i = 0; i < n; i++) {
        if (p[i].cycles < lo) lo = p[i].cycles;
        if (p[i].cycles > hi) hi = p[i].cycles;
        if (p[i].energy < low) low = p[i].energy;
        if (p[i].energy > high) high = p[i].energy;
    }
    Frame f = {lo - (hi - lo + lo * 0.02) * 0.1,
               hi + (hi - lo + lo * 0.02) * 0.1,
               low - (high - low + low * 0.02) * 0.1,
               high + (high - low + low * 0.02) * 0.1,
               false,
               90,
               10,
               560,
               300,
               44};
    frame_open(t, &f, "Pareto front", "cycles", "energy");
    for (int i = 0; i < n; i++) {
        text_printf(t, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"><title>", p[i].front ? "front" : "behind",
                    frame_x(&f, p[i].cycles), frame_y(&f, p[i].energy));
        page_escaped(t, p[i].label);
        text_printf(t, ": energy %.5g, %.5g cycles, area %.5g%s</title></circle>\n", p[i].energy, p[i].cycles, p[i].area,
                    p[i].front ? " (front)" : "");
        if (!p[i].front) continue;
        double x = frame_x(&f, p[i].cycles);
        bool right = x > f.left + 0.7 * f.width; /* the label has no room on that side */
        text_printf(t, "<text x=\"%.1f\" y=\"%.1f\"%s>", right ? x - 9 : x + 9, frame_y(&f, p[i].energy) + 4,
                    right ? " text-anchor=\"end\"" : "");
        escaped_cut(t, p[i].label, 28);
        text_puts(t, "</text>\n");
    }
    text_puts(t, "</svg>\n");
}
