/* SPDX-License-Identifier: Apache-2.0 */
/* import.h: files of other tools. Their YAML is read as a tree with places, so that each key that is not understood is an error at its
 * line: problems as einsums, Timeloop's architecture, problem, mapping and constraints (0.2 to 0.4), Accelergy's reference tables of
 * energy and area, ZigZag's workloads and accelerators. What a file is shows in its keys. */
#ifndef QN_CLI_IMPORT_H
#define QN_CLI_IMPORT_H
#include "explore.h"
#include "ir/loop_text.h"

/* ---- yaml_tree.c. Aliases share their node; files whose expansion would exceed a million nodes are refused. */
typedef enum YamlKind { YAML_IS_TEXT, YAML_IS_LIST, YAML_IS_MAP } YamlKind;
typedef struct YamlNode {
    YamlKind kind;
    int line, column;
    const char *tag;        /* "!Component", or NULL */
    const char *text;       /* of a scalar */
    int n;                  /* items, or pairs */
    struct YamlNode **item; /* values */
    struct YamlNode **key;  /* of a map: scalars */
} YamlNode;
typedef struct YamlFile {
    Ctx *c;
    const char *name;
    YamlNode *root;
} YamlFile;
bool yaml_tree(Ctx *c, const char *name, const char *text, size_t bytes, YamlFile *out);
bool yaml_open(Ctx *c, const char *name, YamlFile *out);  /* JSON is YAML too */
YamlNode *yaml_get(const YamlNode *map, const char *key); /* NULL: absent, or no map. `-` and `_` are the same */
bool yaml_wrong(const YamlFile *f, const YamlNode *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Every key is among the known ones (each with a blank before and behind), or is reported. */
bool yaml_known(const YamlFile *f, const YamlNode *map, const char *what, const char *known);
bool yaml_int(const YamlFile *f, const YamlNode *n, int64_t lo, int64_t hi, int64_t *out); /* n NULL: *out stays */
bool yaml_number(const YamlFile *f, const YamlNode *n, double *out);
bool yaml_word(const YamlFile *f, const YamlNode *n, const char **out); /* a scalar */

/* ---- import_value.c: an attribute's number, maybe as an expression over others: "16 * depth". */
typedef struct ValueScope {
    const YamlFile *f;
    int n;
    const YamlNode *map[18]; /* where names are looked up, the innermost last */
} ValueScope;
const YamlNode *scope_find(const ValueScope *s, const char *name);
bool value_number(const ValueScope *s, const YamlNode *n, double *out);
bool value_whole(const ValueScope *s, const YamlNode *n, int64_t *out); /* 0 to 2^50; n NULL: *out stays */

/* ---- einsum.c: "O[n,m,e] += W[m,c,r] * I[n,c,2*e+r]"; brackets may be one per index. */
typedef struct EinsumDim { /* from outside the text: extents, and sums that stand for a name (ZigZag's ix = 2*ox + fx) */
    const char *name;
    int64_t extent;
} EinsumDim;
typedef struct Einsum {
    const char *name, *text;
    int ndim;
    EinsumDim dim[QN_MAX_DIMS];
    int nrelation;
    const char *relation[8];
} Einsum;
Problem *einsum_problem(const YamlFile *f, const YamlNode *at, const Einsum *e);
/* Roles of inputs by name: W… is weights, I… inputs; else the first input is I and the others are W. */
void problem_roles(Problem *p);

/* ---- import.c. *mine: the file is of another tool; then NULL or false means errors. */
bool import_layers(Ctx *c, const char *file, const char *text, size_t bytes, const char *only, ExploreLayers *out, bool *mine);
Target *import_target(Ctx *c, const char *file, const char *text, size_t bytes, bool *mine);
Mapping *import_mapping(Ctx *c, const char *file, const char *text, size_t bytes, const Problem *p, const Target *t, bool *mine);
bool import_rules(Ctx *c, const Options *o, const Problem *p, const Target *t, const MapRules **out); /* of --constraints and --arch */
bool import_tables(Ctx *c, const char *file, Target *t); /* energies and areas for a machine of import_target */

/* ---- import_timeloop.c, import_arch.c, import_zigzag.c: NULL after errors */
bool timeloop_has(const YamlFile *f, const char *key); /* problem, architecture, mapping, … at the top */
bool timeloop_top(const YamlFile *f);                  /* its keys are known; what is passed over is noted */
/* A level by its name, or the units below one by the name of their container; axes: bit 0 x, bit 1 y; box: which container, -1: the level.
 */
typedef struct Place {
    int level, box;
    unsigned axes;
} Place;
bool place_of(const Target *t, const char *name, Place *out);
Problem *timeloop_problem(const YamlFile *f);
Target *timeloop_target(const YamlFile *f);
Mapping *timeloop_mapping(const YamlFile *f, const Problem *p, const Target *t);
/* Constraints of a file: a list under one of its names, or those in the nodes of an architecture. */
bool timeloop_rules(const YamlFile *f, const Problem *p, const Target *t, MapRules *out);
bool accelergy_tables(const YamlFile *f, Target *t); /* ERT and ART, whichever the file has */
bool zigzag_is_workload(const YamlFile *f);
bool zigzag_layers(const YamlFile *f, const char *only, ExploreLayers *out);
bool zigzag_is_target(const YamlFile *f);
bool zigzag_is_mapping(const YamlFile *f); /* what runs along which axis: rules for a search */
bool zigzag_rules(const YamlFile *f, const Problem *p, const Target *t, MapRules *out);
Target *zigzag_target(const YamlFile *f);
/* ---- export_timeloop.c: DIR/arch.yaml, ERT.yaml, problem.yaml, constraints.yaml, mapping.yaml */
bool timeloop_export(Ctx *c, const char *dir, const Mapping *m);
#endif
