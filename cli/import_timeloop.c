/* SPDX-License-Identifier: Apache-2.0 */
/* import_timeloop.c: Timeloop's problems and mappings, versions 0.2 to 0.4. Permutations name the innermost loop first; dims without a
 * factor have 1, and a factor of 0 is what is left.
 *   {target: GLB, type: temporal, factors: C=4 M=2, permutation: MC}   ->   GLB: for C 4, M 2 */
#include "import.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool timeloop_has(const YamlFile *f, const char *key) { return f->root && f->root->kind == YAML_IS_MAP && yaml_get(f->root, key) != NULL; }

/* ---- problems */
enum { MAX_COEFFICIENTS = 16 };
typedef struct Shape {
    const YamlFile *f;
    Problem *p;
    int ncoef;
    const char *coef[MAX_COEFFICIENTS];
    int64_t value[MAX_COEFFICIENTS];
} Shape;
static const char cnn_layer[] =
    "name: CNN-Layer\ndimensions: [R, S, P, Q, C, K, N]\n"
    "coefficients: [{name: Wstride, default: 1}, {name: Hstride, default: 1}, {name: Wdilation, default: 1}, "
    "{name: Hdilation, default: 1}]\n"
    "data-spaces:\n- {name: Weights, projection: [[[C]], [[K]], [[R]], [[S]]]}\n"
    "- {name: Inputs, projection: [[[N]], [[C]], [[R, Wdilation], [P, Wstride]], [[S, Hdilation], [Q, Hstride]]]}\n"
    "- {name: Outputs, projection: [[[N]], [[K]], [[Q]], [[P]]], read-write: True}\n";
static bool yes(const YamlNode *n) { return n && n->kind == YAML_IS_TEXT && strcasecmp(n->text, "true") == 0; }

static bool shape_dims(Shape *s, const YamlNode *list) {
    if (!list || list->kind != YAML_IS_LIST || list->n < 1) return yaml_wrong(s->f, list, "dimensions: expected a list of names");
    if (list->n > QN_MAX_DIMS) return yaml_wrong(s->f, list, "%d dimensions, expected at most %d", list->n, QN_MAX_DIMS);
    for (int i = 0; i < list->n; i++) {
        const char *name = "";
        if (!yaml_word(s->f, list->item[i], &name)) return false;
        if (!text_is_ident(name) || problem_dim(s->p, name) >= 0)
            return yaml_wrong(s->f, list->item[i], "found '%.60s', expected the name of a new dimension", name);
        s->p->dim[s->p->ndim++] = name;
    }
    return true;
}
static bool shape_coefficients(Shape *s, const YamlNode *list) {
    for (int i = 0; list && i < list->n; i++) {
        const YamlNode *x = list->item[i];
        if (list->kind != YAML_IS_LIST || !yaml_known(s->f, x, "coefficient", " name default "))
            return list->kind == YAML_IS_LIST ? false : yaml_wrong(s->f, list, "coefficients: expected a list of {name, default}");
        if (s->ncoef == MAX_COEFFICIENTS) return yaml_wrong(s->f, x, "more than %d coefficients", MAX_COEFFICIENTS);
        s->value[s->ncoef] = 1, s->coef[s->ncoef] = "";
        if (!yaml_word(s->f, yaml_get(x, "name"), &s->coef[s->ncoef])) return false;
        if (!yaml_int(s->f, yaml_get(x, "default"), 1, 1 << 20, &s->value[s->ncoef])) return false;
        s->ncoef++;
    }
    return true;
}
/* [R] or [R, Wdilation] or [R, 2] */
static bool shape_term(Shape *s, const YamlNode *n, ProblemAxis *a) {
    const char *dim = "", *coef = NULL;
    if (n->kind != YAML_IS_LIST || n->n < 1 || n->n > 2) return yaml_wrong(s->f, n, "projection: expected [DIM] or [DIM, COEFFICIENT]");
    if (!yaml_word(s->f, n->item[0], &dim) || (n->n == 2 && !yaml_word(s->f, n->item[1], &coef))) return false;
    int d = problem_dim(s->p, dim);
    int64_t k = 1;
    if (d < 0) return yaml_wrong(s->f, n->item[0], "projection: '%.60s' is no dimension", dim);
    if (a->n == QN_MAX_TERMS) return yaml_wrong(s->f, n, "projection: at most %d terms", QN_MAX_TERMS);
    if (coef && isdigit((unsigned char)*coef)) {
        if (!yaml_int(s->f, n->item[1], 1, 1 << 20, &k)) return false;
    } else if (coef) {
        int i = 0;
        while (i < s->ncoef && strcmp(s->coef[i], coef) != 0) i++;
        if (i == s->ncoef) return yaml_wrong(s->f, n->item[1], "projection: '%.60s' is no coefficient", coef);
        k = s->value[i];
    }
    a->dim[a->n] = d, a->coef[a->n++] = k;
    return true;
}
static bool shape_space(Shape *s, const YamlNode *n) {
    const YamlNode *axes = yaml_get(n, "projection");
    if (!yaml_known(s->f, n, "data space", " name projection read_write ")) return false;
    if (s->p->ntensor == QN_MAX_TENSORS) return yaml_wrong(s->f, n, "more than %d data spaces", QN_MAX_TENSORS);
    ProblemTensor *t = &s->p->tensor[s->p->ntensor++];
    t->name = "";
    if (!yaml_word(s->f, yaml_get(n, "name"), &t->name)) return false;
    if (!text_is_ident(t->name)) return yaml_wrong(s->f, n, "a data space needs a name");
    if (!axes || axes->kind != YAML_IS_LIST || axes->n > QN_MAX_AXES)
        return yaml_wrong(s->f, axes ? axes : n, "projection: expected a list of at most %d sums", QN_MAX_AXES);
    t->role = yes(yaml_get(n, "read_write")) ? ROLE_O : 0;
    unsigned seen = 0;
    for (int i = 0; i < axes->n; i++) {
        const YamlNode *sum = axes->item[i];
        if (sum->kind != YAML_IS_LIST) return yaml_wrong(s->f, sum, "projection: expected a list of [DIM, COEFFICIENT]");
        for (int k = 0; k < sum->n; k++)
            if (!shape_term(s, sum->item[k], &t->axis[t->rank])) return false;
        for (int k = 0; k < t->axis[t->rank].n; k++) {
            if (seen >> t->axis[t->rank].dim[k] & 1) return yaml_wrong(s->f, sum, "projection: a dimension occurs twice");
            seen |= 1u << t->axis[t->rank].dim[k];
        }
        t->rank++;
    }
    return true;
}
static bool densities(Shape *s, const YamlNode *n) {
    for (int i = 0; n && i < n->n; i++) {
        int t = n->kind == YAML_IS_MAP ? problem_tensor(s->p, n->key[i]->text) : -1;
        if (t < 0) return yaml_wrong(s->f, n->kind == YAML_IS_MAP ? n->key[i] : n, "densities: expected data spaces of the problem");
        double d = 1;
        const YamlNode *x = n->item[i], *kind = yaml_get(x, "distribution");
        const char *word = "fixed_structured";
        if (x->kind == YAML_IS_MAP) { /* how zeros lie matters to formats of tensors, not to what is counted here */
            if (!yaml_known(s->f, x, "densities", " density distribution ") || !yaml_word(s->f, kind, &word)) return false;
            if (strcmp(word, "fixed_structured") && strcmp(word, "fixed-structured") && strcmp(word, "hypergeometric"))
                return yaml_wrong(s->f, kind, "densities: distribution '%.40s' is not supported, only fixed_structured and hypergeometric",
                                  word);
            if (!(x = yaml_get(x, "density"))) return yaml_wrong(s->f, n->item[i], "densities: expected {density, distribution}");
        }
        if (x->kind != YAML_IS_TEXT) return yaml_wrong(s->f, x, "densities: only a number is supported");
        if (!yaml_number(s->f, x, &d)) return false;
        if (d <= 0 || d > 1) return yaml_wrong(s->f, n->item[i], "densities: expected a number above 0, at most 1");
        s->p->tensor[t].density = d;
    }
    return true;
}
static bool instance_coefficients(Shape *s, const YamlNode *in) {
    for (int i = 0; i < s->ncoef; i++)
        if (!yaml_int(s->f, yaml_get(in, s->coef[i]), 1, 1 << 20, &s->value[i])) return false;
    return true;
}
static bool instance_extents(Shape *s, const YamlNode *in) {
    bool ok = true;
    for (int i = 0; i < in->n; i++) {
        const char *k = in->key[i]->text;
        bool known = problem_dim(s->p, k) >= 0 || strcmp(k, "shape") == 0 || strcmp(k, "version") == 0 || strcmp(k, "densities") == 0;
        for (int c = 0; c < s->ncoef; c++) known |= strcmp(k, s->coef[c]) == 0;
        /* of converted models: they say nothing new, as inputs are what outputs and strides need of them */
        for (const char *const *w = (const char *const[]){"H", "W", "Hpad", "Wpad", NULL}; *w && !known; w++) known = strcmp(k, *w) == 0;
        if (!known) ok = yaml_wrong(s->f, in->key[i], "instance: key '%.60s' is neither a dimension nor a coefficient", k);
    }
    for (int d = 0; d < s->p->ndim; d++) {
        const YamlNode *n = yaml_get(in, s->p->dim[d]);
        if (!n) ok = yaml_wrong(s->f, in, "instance: dimension %s has no extent", s->p->dim[d]);
        else ok &= yaml_int(s->f, n, 1, (int64_t)1 << 40, &s->p->extent[d]);
    }
    return ok;
}
Problem *timeloop_problem(const YamlFile *f) {
    const YamlNode *top = yaml_get(f->root, "problem"), *shape = yaml_get(top, "shape"), *in = yaml_get(top, "instance");
    Shape s = {.f = f, .p = NEW(f->c->a, Problem)};
    YamlFile built = *f;
    if (in && !yaml_known(f, top, "problem", " version shape instance ")) return NULL;
    if (!in) in = top; /* old files: extents beside the shape */
    if (!shape || in->kind != YAML_IS_MAP) return yaml_wrong(f, top, "problem: expected {shape, instance}"), NULL;
    if (shape->kind == YAML_IS_TEXT) {
        if (strcmp(shape->text, "cnn-layer") != 0 && strcmp(shape->text, "cnn_layer") != 0)
            return yaml_wrong(f, shape, "shape '%.60s' is not known by name, only cnn-layer; write it out", shape->text), NULL;
        if (!yaml_tree(f->c, f->name, cnn_layer, sizeof cnn_layer - 1, &built)) return NULL;
        shape = built.root;
    }
    if (!yaml_known(f, shape, "shape", " version name dimensions coefficients data_spaces ")) return NULL;
    const YamlNode *spaces = yaml_get(shape, "data_spaces");
    if (!shape_dims(&s, yaml_get(shape, "dimensions")) || !shape_coefficients(&s, yaml_get(shape, "coefficients"))) return NULL;
    if (!instance_coefficients(&s, in)) return NULL;
    if (!spaces || spaces->kind != YAML_IS_LIST) return yaml_wrong(f, shape, "shape: expected data_spaces, a list"), NULL;
    for (int i = 0; i < spaces->n; i++)
        if (!shape_space(&s, spaces->item[i])) return NULL;
    if (!instance_extents(&s, in) || !densities(&s, yaml_get(in, "densities"))) return NULL;
    s.p->name = "problem";
    if (!yaml_word(f, yaml_get(shape, "name"), &s.p->name)) return NULL;
    for (int t = 0; t + 1 < s.p->ntensor; t++) /* the output last */
        if (s.p->tensor[t].role == ROLE_O) {
            ProblemTensor swap = s.p->tensor[t];
            s.p->tensor[t] = s.p->tensor[t + 1], s.p->tensor[t + 1] = swap;
        }
    problem_roles(s.p);
    return problem_check(f->c->d, (Loc){f->name, top->line, NULL, NULL}, s.p) ? s.p : NULL;
}

/* ---- mappings */
typedef struct Reader {
    const YamlFile *f;
    const Problem *p;
    const Target *t;
    Mapping *m;
    bool temporal[QN_MAX_LEVELS];
    unsigned spatial[QN_MAX_LEVELS];            /* bit 1 + box */
    int box[QN_MAX_LEVELS][QN_MAX_LEVEL_LOOPS]; /* of each spatial loop: outer containers have the outer loops */
    struct {
        MapLoop *loop;
        const YamlNode *at;
    } rest[QN_MAX_DIMS]; /* the factor of 0 of each dim */
} Reader;
/* The text of a scalar, or the items of a list joined by blanks. */
static bool joined(const YamlFile *f, const YamlNode *n, const char **out) {
    Text t = {0};
    *out = "";
    if (!n) return true;
    if (n->kind == YAML_IS_TEXT) return *out = n->text, true;
    for (int i = 0; i < n->n; i++) {
        const char *s = "";
        if (n->kind == YAML_IS_MAP || !yaml_word(f, n->item[i], &s))
            return text_free(&t), yaml_wrong(f, n, "expected a text or a list of words");
        text_printf(&t, "%s ", s);
    }
    *out = arena_strdup(f->c->a, t.s ? t.s : "");
    text_free(&t);
    return true;
}
/* The dim at the start of a text: the longest name that fits. */
static int dim_at(const Problem *p, const char *s, size_t *n) {
    int best = -1;
    *n = 0;
    for (int d = 0; d < p->ndim; d++)
        if (strlen(p->dim[d]) > *n && strncmp(p->dim[d], s, strlen(p->dim[d])) == 0) best = d, *n = strlen(p->dim[d]);
    return best;
}
/* "C=4, M<=8": bounds, if they may be given, get what is at least and at most there. */
typedef struct Bounds {
    int64_t least[QN_MAX_DIMS], most[QN_MAX_DIMS];
} Bounds;
static bool factors_given(Reader *r, const YamlNode *n, int64_t *factor, bool *given, Bounds *bounds) {
    const char *s;
    size_t len;
    if (!joined(r->f, n, &s)) return false;
    for (;;) {
        while (isspace((unsigned char)*s) || *s == ',') s++;
        if (!*s) return true;
        int d = dim_at(r->p, s, &len);
        if (d < 0) return yaml_wrong(r->f, n, "factors: '%.20s' does not begin with a dimension of the problem", s);
        s += len;
        char bound = *s == '<' || *s == '>' ? *s++ : 0;
        bool equal = *s == '=';
        s += equal;
        if (bound && !bounds) return yaml_wrong(r->f, n, "factors: a mapping has a whole factor of %s, not a bound", r->p->dim[d]);
        if (!isdigit((unsigned char)*s)) return yaml_wrong(r->f, n, "factors: dimension %s has no whole factor", r->p->dim[d]);
        char *end;
        int64_t v = strtoll(s, &end, 10);
        if (end - s > 12) return yaml_wrong(r->f, n, "factors: the factor of %s is too large", r->p->dim[d]);
        s = end;
        if (*s == ',' && isdigit((unsigned char)s[1])) return yaml_wrong(r->f, n, "factors: residual factors are not supported");
        if (!bound) given[d] = true, factor[d] = v;
        else if (bound == '>') bounds->least[d] = v + !equal;
        else if (v - !equal < 1) return yaml_wrong(r->f, n, "factors: the factor of %s is at least 1", r->p->dim[d]);
        else bounds->most[d] = v - !equal;
    }
}
static bool factors_of(Reader *r, const YamlNode *n, int64_t *factor) {
    bool given[QN_MAX_DIMS];
    for (int d = 0; d < r->p->ndim; d++) factor[d] = 1;
    return factors_given(r, n, factor, given, NULL);
}
/* Innermost first, then the dims that are not named. */
static bool order_of(Reader *r, const YamlNode *n, int *order, int *named) {
    const char *s;
    size_t len;
    bool seen[QN_MAX_DIMS] = {false};
    int k = 0;
    *named = 0;
    if (!joined(r->f, n, &s)) return false;
    for (;;) {
        while (isspace((unsigned char)*s) || *s == ',') s++;
        if (!*s) break;
        int d = dim_at(r->p, s, &len);
        if (d < 0 || seen[d]) return yaml_wrong(r->f, n, "permutation: at '%.20s' expected a dimension that is new", s);
        seen[d] = true, order[k++] = d, s += len;
    }
    *named = k;
    for (int d = 0; d < r->p->ndim; d++)
        if (!seen[d]) order[k++] = d;
    return true;
}
/* Where the next spatial loop of a container goes: inside those of outer ones. */
static MapLoop *spatial_slot(Reader *r, const Place *at) {
    MapLevel *v = &r->m->level[at->level];
    int i = v->nspatial++;
    for (; i > 0 && r->box[at->level][i - 1] > at->box; i--) {
        v->spatial[i] = v->spatial[i - 1], r->box[at->level][i] = r->box[at->level][i - 1];
        for (int d = 0; d < r->p->ndim; d++)
            if (r->rest[d].loop == &v->spatial[i - 1]) r->rest[d].loop++;
    }
    r->box[at->level][i] = at->box;
    return &v->spatial[i];
}
static bool loops_of(Reader *r, const YamlNode *n, const Place *at, bool spatial) {
    int64_t factor[QN_MAX_DIMS], split = r->p->ndim;
    int order[QN_MAX_DIMS], named;
    MapLevel *v = &r->m->level[at->level];
    const char *name = r->t->level[at->level].name;
    unsigned bit = 1u << (1 + at->box);
    if (!yaml_known(r->f, n, spatial ? "spatial mapping" : "temporal mapping",
                    spatial ? " target type factors permutation split " : " target type factors permutation "))
        return false;
    if (spatial ? r->spatial[at->level] & bit : at->box < 0 && r->temporal[at->level])
        return yaml_wrong(r->f, n, "level %s has two %s mappings", name, spatial ? "spatial" : "temporal");
    if (spatial) r->spatial[at->level] |= bit;
    else if (at->box < 0) r->temporal[at->level] = true;
    if (!factors_of(r, yaml_get(n, "factors"), factor) || !order_of(r, yaml_get(n, "permutation"), order, &named)) return false;
    if (!yaml_int(r->f, yaml_get(n, "split"), 0, 1 << 20, &split)) return false;
    for (int k = r->p->ndim - 1; k >= 0; k--) { /* outermost first */
        int d = order[k];
        if (factor[d] == 1) continue;
        if (!spatial && at->box >= 0) return yaml_wrong(r->f, n, "the units below %s have no loops in time", name);
        if ((spatial ? v->nspatial : v->ntemporal) == QN_MAX_LEVEL_LOOPS) return yaml_wrong(r->f, n, "too many loops at %s", name);
        MapLoop *l = spatial ? spatial_slot(r, at) : &v->temporal[v->ntemporal++];
        *l = (MapLoop){d, factor[d], 0, false};
        if (spatial) l->axis = at->axes == 1 ? 'x' : at->axes == 2 ? 'y' : k < split ? 'x' : 'y';
        if (factor[d]) continue;
        if (r->rest[d].loop) return yaml_wrong(r->f, n, "factors: two factors of %s are 0", r->p->dim[d]);
        r->rest[d].loop = l, r->rest[d].at = n;
    }
    return true;
}
static bool spaces_of(Reader *r, const YamlNode *list, unsigned *bits) {
    *bits = 0;
    for (int i = 0; list && i < list->n; i++) {
        const char *s = "";
        if (list->kind != YAML_IS_LIST || !yaml_word(r->f, list->item[i], &s))
            return yaml_wrong(r->f, list, "expected a list of data spaces");
        int t = problem_tensor(r->p, s);
        if (t < 0) return yaml_wrong(r->f, list->item[i], "'%.60s' is no data space of the problem", s);
        *bits |= 1u << t;
    }
    return true;
}
static bool entry(Reader *r, const YamlNode *n) {
    const char *target = "", *type = "";
    unsigned keep, bypass;
    if (n->kind != YAML_IS_MAP) return yaml_wrong(r->f, n, "mapping: expected {target, type, …}");
    if (!yaml_word(r->f, yaml_get(n, "target"), &target) || !yaml_word(r->f, yaml_get(n, "type"), &type)) return false;
    Place at;
    if (!place_of(r->t, target, &at)) return yaml_wrong(r->f, n, "mapping: '%.60s' is no level of machine %s", target, r->t->name);
    int l = at.level;
    r->m->level[l].place = loc_place(n->line, n->column);
    if (strcmp(type, "temporal") == 0) return loops_of(r, n, &at, false);
    if (strcmp(type, "spatial") == 0) return loops_of(r, n, &at, true);
    if (strcmp(type, "datatype") && strcmp(type, "bypass") && strcmp(type, "dataspace"))
        return yaml_wrong(r->f, n, "mapping: type is '%.60s', expected temporal, spatial, datatype, bypass or dataspace", type);
    if (!yaml_known(r->f, n, "mapping of data spaces", " target type keep bypass ")) return false;
    if (!spaces_of(r, yaml_get(n, "keep"), &keep) || !spaces_of(r, yaml_get(n, "bypass"), &bypass)) return false;
    if (keep & bypass) return yaml_wrong(r->f, n, "a data space is both kept and bypassed");
    if (at.box >= 0) return keep ? yaml_wrong(r->f, n, "mapping: %s is no memory; it keeps nothing", target) : true;
    r->m->level[l].keep = (r->m->level[l].keep | keep) & ~bypass;
    return true;
}
Mapping *timeloop_mapping(const YamlFile *f, const Problem *p, const Target *t) {
    const YamlNode *list = yaml_get(f->root, "mapping");
    Reader r = {.f = f, .p = p, .t = t, .m = NEW(f->c->a, Mapping)};
    r.m->problem = p, r.m->target = t;
    mapping_default_keep(r.m);
    if (!list || list->kind != YAML_IS_LIST) return yaml_wrong(f, f->root, "expected `mapping`, a list"), NULL;
    bool ok = true;
    for (int i = 0; i < list->n; i++) ok &= entry(&r, list->item[i]);
    for (int d = 0; ok && d < p->ndim; d++) {
        if (!r.rest[d].loop) continue;
        int64_t others = 1;
        for (int l = 0; l < t->nlevel; l++)
            for (int i = 0; i < r.m->level[l].ntemporal + r.m->level[l].nspatial; i++) {
                const MapLevel *v = &r.m->level[l];
                const MapLoop *x = i < v->ntemporal ? &v->temporal[i] : &v->spatial[i - v->ntemporal];
                if (x->dim == d && x->factor && !mul_ok(others, x->factor, &others)) others = INT64_MAX;
            }
        if (p->extent[d] % others)
            ok = yaml_wrong(f, r.rest[d].at, "the factors of %s do not divide its extent %lld", p->dim[d], (long long)p->extent[d]);
        r.rest[d].loop->factor = p->extent[d] / others;
    }
    return ok ? r.m : NULL;
}

/* ---- constraints: of a list, or of the nodes of an architecture */
typedef struct Rules {
    Reader r;
    MapRules *out;
    struct {
        int level, spatial; /* -1: none */
    } rest[QN_MAX_DIMS];    /* where a dim has what is left */
} Rules;
/* axes: bits of those that the place has; both: the split says which dim is on which. */
static bool rule_loops(Rules *x, const YamlNode *n, int level, bool spatial, unsigned axes) {
    int64_t factor[QN_MAX_DIMS], split = -1;
    int order[QN_MAX_DIMS], named;
    bool given[QN_MAX_DIMS] = {false};
    Bounds bounds = {{0}, {0}};
    const Problem *p = x->r.p;
    if (!yaml_known(x->r.f, n, spatial ? "spatial constraint" : "temporal constraint",
                    spatial ? " target type factors permutation split " : " target type factors permutation "))
        return false;
    for (int d = 0; d < p->ndim; d++) factor[d] = -1;
    if (!factors_given(&x->r, yaml_get(n, "factors"), factor, given, &bounds) ||
        !order_of(&x->r, yaml_get(n, "permutation"), order, &named))
        return false;
    if (!yaml_int(x->r.f, yaml_get(n, "split"), 0, 1 << 20, &split)) return false;
    for (int d = 0; d < p->ndim; d++) {
        int64_t least = given[d] ? factor[d] : bounds.least[d], most = given[d] ? factor[d] : bounds.most[d];
        if (given[d] && factor[d] == 0) x->rest[d].level = level, x->rest[d].spatial = spatial;
        else if (!spatial || axes == 3) {
            if (given[d]) x->out->level[level][spatial].factor[d] = factor[d];
            x->out->level[level][spatial].least[d] = least, x->out->level[level][spatial].most[d] = most;
        } else {
            x->out->level[level][1].least_on[axes == 2][d] = least, x->out->level[level][1].most_on[axes == 2][d] = most;
            if (most == 1) x->out->level[level][1].not_axis[d] |= (unsigned char)axes;
        }
        if (given[d] && factor[d] == 0 && spatial && axes != 3) x->out->level[level][1].not_axis[d] |= (unsigned char)(3 & ~axes);
    }
    for (int k = 0; spatial && axes == 3 && split >= 0 && k < named; k++) x->out->level[level][1].not_axis[order[k]] |= k < split ? 2 : 1;
    if (!spatial) {
        x->out->level[level][0].norder = named;
        for (int k = 0; k < named; k++) x->out->level[level][0].order[k] = order[k];
    }
    return true;
}
static bool rule_spaces(Rules *x, const YamlNode *n, int level) {
    unsigned keep, bypass;
    if (!yaml_known(x->r.f, n, "constraint of data spaces", " target type keep bypass keep_only ")) return false;
    const YamlNode *only = yaml_get(n, "keep_only");
    if (!spaces_of(&x->r, only ? only : yaml_get(n, "keep"), &keep) || !spaces_of(&x->r, yaml_get(n, "bypass"), &bypass)) return false;
    if (only) bypass |= ((1u << x->r.p->ntensor) - 1) & ~keep;
    x->out->keep[level] |= keep, x->out->bypass[level] |= bypass;
    return true;
}
static bool rule_entry(Rules *x, const YamlNode *n) {
    const char *target = "", *type = "";
    if (n->kind != YAML_IS_MAP) return yaml_wrong(x->r.f, n, "constraints: expected {target, type, …}");
    if (!yaml_word(x->r.f, yaml_get(n, "target"), &target) || !yaml_word(x->r.f, yaml_get(n, "type"), &type)) return false;
    Place at;
    if (!place_of(x->r.t, target, &at))
        return yaml_wrong(x->r.f, n, "constraints: '%.60s' is no level of machine %s", target, x->r.t->name);
    int l = at.level;
    if (strcmp(type, "spatial") == 0) return rule_loops(x, n, l, true, at.axes);
    if (at.box >= 0) return true; /* no memory: nothing runs or is kept there */
    if (strcmp(type, "temporal") == 0) return rule_loops(x, n, l, false, 3);
    if (strcmp(type, "datatype") && strcmp(type, "bypass") && strcmp(type, "dataspace"))
        return yaml_wrong(x->r.f, n,
                          "constraints: type '%.60s' is not supported; expected temporal, spatial, datatype, bypass or dataspace", type);
    return rule_spaces(x, n, l);
}
/* level: the memory that the nodes are below. */
static bool rule_nodes(Rules *x, const YamlNode *list, int *level, int depth) {
    for (int i = 0; list && list->kind == YAML_IS_LIST && depth < 9 && i < list->n; i++) {
        const YamlNode *n = list->item[i], *c = yaml_get(n, "constraints"), *mesh = yaml_get(n, "spatial"), *name = yaml_get(n, "name");
        if (yaml_get(n, "nodes") && !rule_nodes(x, yaml_get(n, "nodes"), level, depth + 1)) return false;
        int above = *level,
            own = name && name->kind == YAML_IS_TEXT && n->tag && strcmp(n->tag, "!Component") == 0 ? target_level(x->r.t, name->text) : -1;
        if (own >= 0) *level = own;
        if (!c || c->kind != YAML_IS_MAP || !c->n) continue;
        unsigned axes = (yaml_get(mesh, "meshX") ? 1u : 0) | (yaml_get(mesh, "meshY") ? 2u : 0);
        const YamlNode *t = yaml_get(c, "temporal"), *s = yaml_get(c, "spatial"), *d = yaml_get(c, "dataspace");
        if (!yaml_known(x->r.f, c, "constraints", " temporal spatial dataspace ")) return false;
        if ((t || d) && own < 0) return yaml_wrong(x->r.f, t ? t : d, "only a memory has temporal loops and keeps data");
        if (t && !rule_loops(x, t, own, false, 0)) return false;
        if (s && above < 0) return yaml_wrong(x->r.f, s, "a spatial constraint outside every memory");
        if (s && axes && !rule_loops(x, s, above, true, axes)) return false;
        if (d && !rule_spaces(x, d, own)) return false;
    }
    return true;
}
bool timeloop_rules(const YamlFile *f, const Problem *p, const Target *t, MapRules *out) {
    static const char *const keys[] = {"mapspace_constraints", "architecture_constraints", "constraints", "mapspace"};
    Rules *x = NEW(f->c->a, Rules);
    x->r.f = f, x->r.p = p, x->r.t = t, x->out = out;
    for (int d = 0; d < QN_MAX_DIMS; d++) x->rest[d].level = -1;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const YamlNode *list = yaml_get(f->root, keys[k]);
        if (!list) continue;
        if (list->kind == YAML_IS_MAP) {
            if (!yaml_known(f, list, keys[k], k == 3 ? " version targets template " : " version targets ")) return false;
            list = yaml_get(list, "targets");
        }
        for (int i = 0; list && i < list->n; i++)
            if (!rule_entry(x, list->kind == YAML_IS_LIST ? list->item[i] : list)) return false;
    }
    int level = -1;
    if (!rule_nodes(x, yaml_get(yaml_get(f->root, "architecture"), "nodes"), &level, 0)) return false;
    for (int d = 0; d < p->ndim; d++) /* all of it here: nothing elsewhere */
        for (int l = 0; x->rest[d].level >= 0 && l < t->nlevel; l++)
            for (int s = 0; s < 2; s++)
                if (!out->level[l][s].factor[d] && (l != x->rest[d].level || s != x->rest[d].spatial)) out->level[l][s].factor[d] = 1;
    return true;
}
