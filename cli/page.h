/* SPDX-License-Identifier: Apache-2.0 */
/* page.h: what the files of `--html` share: text that cannot close a tag, colours, and a frame for charts. */
#ifndef QN_CLI_PAGE_H
#define QN_CLI_PAGE_H
#include "explore.h"

typedef struct Frame {     /* of a chart: a plane with axes */
    double x0, x1, y0, y1; /* values at the edges; logarithms if log */
    bool log;
    int left, top, width, height, below; /* pixels of the plane, and what is below it */
} Frame;
double frame_x(const Frame *f, double x), frame_y(const Frame *f, double y);
void frame_open(Text *t, const Frame *f, const char *title, const char *x_label, const char *y_label); /* <svg> with axes and ticks */
void page_escaped(Text *t, const char *s);
const char *page_colour(int i);
int page_part_count(const ModelRun *r); /* multiply-adds, levels from the innermost, the network */
const char *page_part_name(const ModelRun *r, int part);
double page_part(const ModelRun *r, const MappingCounts *k, int part);

/* Energy of each tensor of a mapping, multiply-adds and network apart: a level's energy by what is read, filled and updated. */
void explore_operand_energy(const Mapping *m, const MappingCounts *n, Counting how, double *tensor);
/* page_mapping.c */
void page_nested(Text *t, const Mapping *m, const MappingCounts *n);         /* tiles inside tiles */
void page_array(Text *t, const Mapping *m, const MappingCounts *n);          /* which units work */
void page_extent(const Mapping *m, char axis, int64_t *used, int64_t *have); /* units that work along an axis, and those there are */
/* page_charts.c */
void page_bars(Text *t, const ModelRun *r, bool by_operand);
void page_roofline(Text *t, const ModelRun *r);
void page_front(Text *t, const ExplorePoint *p, int n);
#endif
