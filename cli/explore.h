/* SPDX-License-Identifier: Apache-2.0 */
/* explore.h: what the files of `quern explore` share: reading machines, layers and mappings (JSON as in the reference of Timeloop
 * counts, YAML with the same keys, and mappings as text), and writing results. */
#ifndef QN_CLI_EXPLORE_H
#define QN_CLI_EXPLORE_H
#include "cli.h"
#include "codegen/target_yaml.h"
#include "passes/cost.h"
#include "passes/explore.h"
#include <jansson.h>

/* ---- explore_read.c. NULL after errors that name the file and the place in it. `where` is that place, "case 'x': layer". */
json_t *explore_load(Ctx *c, const char *file); /* JSON or YAML, told apart by its first character */
/* explore_place.c: where in the file that is, as well as the words tell. */
Loc explore_place(Ctx *c, const char *file, const char *where, const char *text);
json_t *explore_parse(Ctx *c, const char *file, const char *text, size_t bytes);
bool explore_dataflow(Ctx *c, const char *name, const Dataflow **out); /* explore_flow.c */
Problem *explore_layer(Ctx *c, const char *file, const char *where, const json_t *layer);
Mapping *explore_mapping(Ctx *c, const char *file, const char *where, const json_t *levels, const Problem *p, const Target *t);
/* A machine of a file of architectures (the reference's form), or the machine of a target file. `name` may be NULL if there is one. */
Target *explore_arch(Ctx *c, const char *file, const char *name);
Target *explore_target(Ctx *c, const char *name); /* of --target: a built-in name or a file of any form */
/* A mapping in any of its forms: JSON or YAML levels, one line, or lines `LEVEL keeps W: for M 4`. */
Mapping *explore_mapping_file(Ctx *c, const char *file, const Problem *p, const Target *t);

/* ---- explore_rows.c: the cases of a file, one by one */
typedef struct RowText { /* a JSON list, and how far it is read; or one of its values */
    const char *text;
    size_t bytes, at;
    int64_t line, column, rows;
} RowText;
bool row_text_open(RowText *t, const char *text, size_t bytes); /* false: no JSON list */
bool row_text_next(RowText *t, RowText *row);
typedef struct Rows {
    Ctx *c;
    const char *file;
    RowText text;
    json_t *all; /* of YAML */
    size_t n;    /* rows read so far */
    bool bad;    /* the file ended in an error */
} Rows;
bool rows_open(Ctx *c, const char *file, Rows *r);
json_t *rows_next(Rows *r); /* the caller's; NULL: there are no more, or an error */
void rows_close(Rows *r);

/* ---- explore_words.c: zeros, widths and types of a layer's words */
bool explore_words(Ctx *c, const char *file, const char *where, const json_t *layer, Problem *p);
bool explore_words_option(Ctx *c, const Options *o, Problem *p);
const Target *explore_zeros_option(Ctx *c, const Options *o, const Target *t);
json_t *explore_words_json(const Problem *p, bool bits);

/* ---- explore_search.c */
bool explore_search(Ctx *c, const Problem *p, const Target *t, const SearchSpec *spec, Mapping *best, SearchResult *r);

/* ---- explore_json.c: one object of the contract. */
typedef struct ExploreCase {
    const char *id, *arch; /* as the user named them */
    const Problem *problem;
    const Target *target;
    Mapping *mapping; /* NULL: it could not be read */
    bool legal;
    MapViolations violations;
    Counting counting;
    const SearchResult *search; /* NULL: the mapping was given */
} ExploreCase;
json_t *explore_result_json(const Mapping *m, const MappingCounts *n); /* the keys of a reference `expected`, and more */
typedef struct Roof { /* a layer's place under the roof: of multiply-adds, and of words to and from the outermost level */
    double per_word, per_cycle, peak, words;
} Roof;
Roof explore_roof(const Problem *p, const Target *t, const MappingCounts *n);
json_t *explore_case_json(Ctx *c, const ExploreCase *x);

/* ---- explore_layers.c: the contractions of a model */
typedef struct ExploreLayer {
    const char *name, *op;
    const Problem *problem;
    int same;         /* the first layer with an equal problem; its own index if none */
    int before;       /* the layer whose output it takes alone, through elementwise operators; -1: none */
    const Node *node; /* NULL: of a file */
} ExploreLayer;
typedef struct ExploreLayers {
    Vec(ExploreLayer) list;
    int left_out; /* layers with multiply-adds that are no convolution or product */
    int64_t macs_left_out;
} ExploreLayers;
int explore_same(const ExploreLayers *layers, int i); /* the first layer that is equal to layer i, i itself if none is */
bool explore_layers(Ctx *c, const Options *o, ExploreLayers *out);
bool explore_problems(Ctx *c, const Options *o, ExploreLayers *out); /* explore_file.c: of a file that is no model */

/* ---- explore_model.c: searches for every layer; sweeps of a machine's parameters */
typedef struct ModelCost { /* sums over the layers */
    double energy, energy_with_array, energy_level[QN_MAX_LEVELS], energy_macs;
    int64_t macs, cycles, dram_words;
} ModelCost;
typedef struct ExplorePoint { /* a machine, or a choice of mappings, with the sums over the layers */
    char label[120];
    double energy, cycles, area;
    bool front; /* no other is as good in all three */
    const Target *target;
} ExplorePoint;
typedef struct ModelRun {
    const Options *options;
    const ExploreLayers *layers;
    const Target *target;
    const SearchSpec *spec;
    ExploreCase *found; /* one a layer */
    MappingCounts *counts;
    ModelCost sum;
    const ExplorePoint *points; /* of a sweep, or of the objectives; may be none */
    int npoint;
} ModelRun;
bool explore_model(Ctx *c, ModelRun *r);
int explore_model_print(Ctx *c, const Options *o, const ModelRun *r);
int explore_sweep(Ctx *c, const Options *o, ModelRun *r);
void explore_objectives(Ctx *c, ModelRun *r); /* fills r->points */
double explore_area(const Target *t);
void explore_front(ExplorePoint *p, int n);
json_t *explore_points_json(const ExplorePoint *p, int n);
/* ---- explore_fused.c: --fuse */
int explore_before(const Node *n, const ExploreLayers *layers);
json_t *explore_fused(Ctx *c, const ModelRun *r, bool print);
bool explore_save(Ctx *c, const char *file, const ModelRun *r); /* model_mappings.c: --save */
bool explore_html(Ctx *c, const char *path, const char *title, const ModelRun *r);
#endif
