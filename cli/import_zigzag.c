/* SPDX-License-Identifier: Apache-2.0 */
/* import_zigzag.c: ZigZag's workloads (a list of layers with an equation), accelerators (memories, innermost first, and an array) and
 * mappings (what runs along the array, as rules for a search).
 * Sizes are bits, costs are per access of the port's width; here they are per word of `word` bits, the inputs' precision. Operand I1 is
 * the inputs, I2 the weights. A memory that serves a dimension of the array is shared along it.
 *   dimension_relations: [ix=2*ox+1*fx], equation: O[b][k][ox]+=W[k][c][fx]*I[b][c][ix]   ->   I's last axis moves by 2 with OX */
#include "import.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- workloads */
bool zigzag_is_workload(const YamlFile *f) {
    return f->root && f->root->kind == YAML_IS_LIST && f->root->n && yaml_get(f->root->item[0], "equation");
}
static bool words_of(const YamlFile *f, const YamlNode *list, const char **out, int cap, int *n) {
    *n = 0;
    if (!list) return true;
    if (list->kind != YAML_IS_LIST || list->n > cap) return yaml_wrong(f, list, "expected a list of at most %d words", cap);
    for (int i = 0; i < list->n; i++)
        if (!yaml_word(f, list->item[i], &out[(*n)++])) return false;
    return true;
}
static bool precision(const YamlFile *f, const YamlNode *n, Problem *p) {
    for (int i = 0; n && i < n->n; i++) {
        int64_t bits = 0;
        if (n->kind != YAML_IS_MAP) return yaml_wrong(f, n, "operand_precision: expected a map");
        int t = problem_tensor(p, n->key[i]->text);
        if (!yaml_int(f, n->item[i], 0, 64, &bits)) return false;
        if (t >= 0) p->tensor[t].bits = (int)bits;
        else if (strcmp(n->key[i]->text, "O_final") != 0)
            return yaml_wrong(f, n->key[i], "operand_precision: '%.40s' is no operand", n->key[i]->text);
    }
    return true;
}
static bool layer(const YamlFile *f, const YamlNode *n, const char *name, const char *op, ExploreLayers *out) {
    const char *dims[QN_MAX_DIMS], *equation = "";
    const YamlNode *sizes = yaml_get(n, "loop_sizes"), *names = yaml_get(n, "loop_dims");
    Einsum e = {.name = name};
    if (!yaml_known(
            f, n, "layer",
            " id name operator_type equation dimension_relations loop_dims loop_sizes operand_precision operand_source pr_loop_dims "
            "pr_loop_sizes padding "))
        return false;
    if (!yaml_word(f, yaml_get(n, "equation"), &equation) || !words_of(f, names, dims, QN_MAX_DIMS, &e.ndim)) return false;
    if (!words_of(f, yaml_get(n, "dimension_relations"), e.relation, 8, &e.nrelation)) return false;
    if (!sizes || sizes->kind != YAML_IS_LIST || sizes->n != e.ndim)
        return yaml_wrong(f, sizes ? sizes : n, "loop_sizes: expected as many as loop_dims");
    for (int i = 0; i < e.ndim; i++) {
        e.dim[i].name = dims[i];
        if (!text_is_ident(dims[i])) return yaml_wrong(f, names->item[i], "'%.40s' is no name", dims[i]);
        if (!yaml_int(f, sizes->item[i], 1, (int64_t)1 << 40, &e.dim[i].extent)) return false;
    }
    e.text = equation;
    Problem *p = einsum_problem(f, yaml_get(n, "equation"), &e);
    if (!p || !precision(f, yaml_get(n, "operand_precision"), p)) return false;
    vec_push(f->c->a, &out->list, ((ExploreLayer){.name = name, .op = op, .problem = p}));
    return true;
}
bool zigzag_layers(const YamlFile *f, const char *only, ExploreLayers *out) {
    for (int i = 0; i < f->root->n; i++) {
        const YamlNode *n = f->root->item[i];
        const char *id = arena_printf(f->c->a, "%d", i), *name = NULL, *op = "layer", *equation = "";
        if (n->kind != YAML_IS_MAP) return yaml_wrong(f, n, "expected a layer {id, equation, loop_dims, loop_sizes}");
        if (!yaml_word(f, yaml_get(n, "id"), &id) || !yaml_word(f, yaml_get(n, "name"), &name) ||
            !yaml_word(f, yaml_get(n, "operator_type"), &op) || !yaml_word(f, yaml_get(n, "equation"), &equation))
            return false;
        if (!name) name = arena_printf(f->c->a, "%s_%s", op, id);
        if (only && strcmp(only, id) != 0 && strcmp(only, name) != 0) continue;
        if (!strchr(equation, '*') && !strstr(equation, "+=")) { /* additions: no multiply-add to map */
            out->left_out++;
            continue;
        }
        if (!layer(f, n, name, op, out)) return false;
    }
    if (!out->list.n)
        return yaml_wrong(f, f->root, only ? "no layer is called '%s'" : "the workload has no contraction%s", only ? only : "");
    return true;
}

/* ---- accelerators */
bool zigzag_is_target(const YamlFile *f) { return f->root && yaml_get(f->root, "memories"); }
typedef struct Array {
    const YamlFile *f;
    int ndim;
    const char *dim[2];
    int64_t size[2];
} Array;
static bool array_of(Array *a, const YamlNode *n, Target *t, int64_t *bits) {
    const char *names[2];
    const YamlNode *sizes = yaml_get(n, "sizes"), *precision = yaml_get(n, "input_precision"), *dims = yaml_get(n, "dimensions");
    if (!yaml_known(a->f, n, "array", " is_imc input_precision unit_energy unit_area multiplier_energy multiplier_area dimensions sizes "))
        return false;
    const YamlNode *imc = yaml_get(n, "is_imc");
    if (imc && imc->kind == YAML_IS_TEXT && strcmp(imc->text, "True") == 0)
        return yaml_wrong(a->f, imc, "computing in memory is not supported");
    if (!words_of(a->f, dims, names, 2, &a->ndim)) return false;
    if (!sizes || sizes->kind != YAML_IS_LIST || sizes->n != a->ndim)
        return yaml_wrong(a->f, sizes ? sizes : n, "sizes: expected as many as dimensions");
    for (int i = 0; i < a->ndim; i++) {
        a->dim[i] = names[i];
        if (!yaml_int(a->f, sizes->item[i], 1, 1 << 20, &a->size[i])) return false;
    }
    if (precision && precision->kind == YAML_IS_LIST && precision->n) {
        if (!yaml_int(a->f, precision->item[0], 1, 64, bits)) return false;
    } else if (precision && !yaml_int(a->f, precision, 1, 64, bits)) return false;
    t->mac_energy = 1;
    const YamlNode *e = yaml_get(n, "unit_energy") ? yaml_get(n, "unit_energy") : yaml_get(n, "multiplier_energy");
    const YamlNode *area = yaml_get(n, "unit_area") ? yaml_get(n, "unit_area") : yaml_get(n, "multiplier_area");
    return yaml_number(a->f, e, &t->mac_energy) && yaml_number(a->f, area, &t->area_per_pe);
}
/* Bit i: the memory has an instance for each place along dimension i. */
static bool unrolled(const Array *a, const YamlNode *served, unsigned *bits) {
    const char *names[4];
    int n;
    *bits = (1u << a->ndim) - 1;
    if (!words_of(a->f, served, names, 4, &n)) return false;
    for (int k = 0; k < n; k++) {
        int i = 0;
        while (i < a->ndim && strcmp(a->dim[i], names[k]) != 0) i++;
        if (i == a->ndim) return yaml_wrong(a->f, served->item[k], "served_dimensions: '%.40s' is no dimension of the array", names[k]);
        *bits &= ~(1u << i);
    }
    return true;
}
static bool memory(const Array *a, const YamlNode *n, const char *name, int64_t word, TargetLevel *v, unsigned *bits) {
    const YamlFile *f = a->f;
    const char *ops[4];
    int nop;
    int64_t size = 0, r_bw = 0, w_bw = 0;
    double r = 0, w = 0, area = 0;
    if (!yaml_known(
            f, n, "memory",
            " size r_bw w_bw r_bw_min r_bw_max w_bw_min w_bw_max r_cost w_cost area r_port w_port rw_port latency min_r_granularity "
            "min_w_granularity operands ports served_dimensions auto_cost_extraction double_buffering_support mem_type "))
        return false;
    const YamlNode *cacti = yaml_get(n, "auto_cost_extraction");
    if (cacti && cacti->kind == YAML_IS_TEXT && (cacti->text[0] | 32) == 't')
        return yaml_wrong(f, cacti, "auto_cost_extraction: costs must be in the file");
    const YamlNode *rb = yaml_get(n, "r_bw") ? yaml_get(n, "r_bw") : yaml_get(n, "r_bw_max");
    const YamlNode *wb = yaml_get(n, "w_bw") ? yaml_get(n, "w_bw") : yaml_get(n, "w_bw_max");
    if (!yaml_int(f, yaml_get(n, "size"), 1, (int64_t)1 << 50, &size) || !yaml_int(f, rb, 1, 1 << 30, &r_bw) ||
        !yaml_int(f, wb, 1, 1 << 30, &w_bw) || !yaml_number(f, yaml_get(n, "r_cost"), &r) || !yaml_number(f, yaml_get(n, "w_cost"), &w) ||
        !yaml_number(f, yaml_get(n, "area"), &area) || !words_of(f, yaml_get(n, "operands"), ops, 4, &nop) ||
        !unrolled(a, yaml_get(n, "served_dimensions"), bits))
        return false;
    if (!size || !r_bw || !w_bw) return yaml_wrong(f, n, "memory %s: expected size, r_bw and w_bw", name);
    *v = (TargetLevel){.name = name, .kind = LEVEL_PAD, .words = max_i64(1, size / word), .word_bits = (int)word, .fan_x = 1, .fan_y = 1};
    v->read_energy = r * (double)word / (double)r_bw, v->write_energy = w * (double)word / (double)w_bw;
    v->read_bw = (double)r_bw / (double)word, v->write_bw = (double)w_bw / (double)word;
    v->area_per_word = area / (double)v->words;
    for (int i = 0; i < nop; i++) {
        unsigned role = strcmp(ops[i], "I1") == 0 ? ROLE_I : strcmp(ops[i], "I2") == 0 ? ROLE_W : strcmp(ops[i], "O") == 0 ? ROLE_O : 0;
        if (!role) return yaml_wrong(f, yaml_get(n, "operands")->item[i], "operands: found '%.40s', expected I1, I2 or O", ops[i]);
        v->keeps |= role;
    }
    const YamlNode *twice = yaml_get(n, "double_buffering_support");
    if (twice && twice->kind == YAML_IS_TEXT && (twice->text[0] | 32) == 't') v->buffers = 2;
    return true;
}
/* Dimension d of the array is below a level. */
static void spread(const Array *a, int d, TargetLevel *v) {
    *(d ? &v->fan_y : &v->fan_x) = a->size[d];
    v->spread = arena_printf(a->f->c->a, "%s%s%s:%c", v->spread ? v->spread : "", v->spread ? " " : "", a->dim[d], d ? 'y' : 'x');
}
Target *zigzag_target(const YamlFile *f) {
    const YamlNode *mems = yaml_get(f->root, "memories"), *units = yaml_get(f->root, "operational_array");
    Target *t = NEW(f->c->a, Target);
    Array a = {.f = f};
    int64_t word = 8;
    unsigned outside = 0, bits = 0;
    t->name = "zigzag";
    if (!units) units = yaml_get(f->root, "multipliers");
    if (!yaml_known(f, f->root, "accelerator", " name memories operational_array multipliers ")) return NULL;
    if (!yaml_word(f, yaml_get(f->root, "name"), &t->name) || !units || !array_of(&a, units, t, &word))
        return units ? NULL : (yaml_wrong(f, f->root, "expected operational_array"), NULL);
    if (mems->kind != YAML_IS_MAP || mems->n < 1 || mems->n > QN_MAX_LEVELS)
        return yaml_wrong(f, mems, "memories: expected 1 to %d", QN_MAX_LEVELS), NULL;
    for (int i = mems->n - 1; i >= 0; i--) { /* the file goes outwards */
        TargetLevel *v = &t->level[t->nlevel];
        if (!memory(&a, mems->item[i], mems->key[i]->text, word, v, &bits)) return NULL;
        if (!t->nlevel) v->kind = LEVEL_DRAM, v->words = 0;
        if (outside & ~bits)
            return yaml_wrong(f, mems->key[i], "memory %s is shared along a dimension of the array along which one further out is not",
                              v->name),
                   NULL;
        if (!t->nlevel && bits) return yaml_wrong(f, mems->key[i], "the outermost memory %s has several instances", v->name), NULL;
        for (int d = 0; d < a.ndim && t->nlevel; d++)
            if (bits & ~outside & (1u << d)) spread(&a, d, &v[-1]);
        outside = bits, t->nlevel++;
    }
    for (int d = 0; d < a.ndim; d++)
        if (!(outside >> d & 1)) spread(&a, d, &t->level[t->nlevel - 1]);
    return target_check(f->c->d, (Loc){f->name, f->root->line, NULL, NULL}, t) ? t : NULL;
}

/* ---- mappings: per kind of layer what runs along which dimension of the array, as rules for a search */
bool zigzag_is_mapping(const YamlFile *f) {
    const YamlNode *first = f->root && f->root->kind == YAML_IS_LIST && f->root->n ? f->root->item[0] : NULL;
    return yaml_get(first, "spatial_mapping") || yaml_get(first, "spatial_mapping_hint") || yaml_get(first, "memory_operand_links");
}
/* "K, 32" or [K, 32], of a hint K: the dim, how often. */
static bool unrolling(const YamlFile *f, const YamlNode *n, const Problem *p, int *dim, int64_t *times) {
    char word[64];
    const char *s = "";
    *times = 0, *dim = -1;
    const YamlNode *name = n->kind == YAML_IS_LIST && n->n ? n->item[0] : n;
    if (!yaml_word(f, name, &s)) return false;
    size_t len = strcspn(s, ", ");
    snprintf(word, sizeof word, "%.*s", (int)len, s);
    for (int d = 0; d < p->ndim; d++)
        if (strcmp(p->dim[d], word) == 0) *dim = d;
    if (n->kind == YAML_IS_LIST && n->n == 2) return yaml_int(f, n->item[1], 1, 1 << 20, times);
    if (n->kind == YAML_IS_LIST && n->n > 2) return yaml_wrong(f, n, "expected [DIM, TIMES]");
    if (!s[len]) return true;
    YamlNode number = *name;
    number.text = s + len + strspn(s + len, ", ");
    return yaml_int(f, &number, 1, 1 << 20, times);
}
static bool along(const YamlFile *f, const YamlNode *key, const YamlNode *list, const Problem *p, const Target *t, MapRules *out) {
    Place at;
    bool allowed[QN_MAX_DIMS] = {false};
    if (!place_of(t, key->text, &at) || at.box < 0)
        return yaml_wrong(f, key, "spatial_mapping: '%.40s' is no dimension of the array of machine %s", key->text, t->name);
    if (list->kind != YAML_IS_LIST) return yaml_wrong(f, list, "spatial_mapping: expected a list of [DIM, TIMES]");
    for (int i = 0; i < list->n; i++) {
        int d;
        int64_t times;
        if (!unrolling(f, list->item[i], p, &d, &times)) return false;
        if (d < 0) continue; /* another kind of layer has it */
        allowed[d] = true;
        int64_t fan = at.axes == 1 ? t->level[at.level].fan_x : t->level[at.level].fan_y;
        int64_t *least = &out->level[at.level][1].least_on[at.axes == 2][d], *most = &out->level[at.level][1].most_on[at.axes == 2][d];
        if (times > fan)
            return yaml_wrong(f, list->item[i], "spatial_mapping: %lld along a dimension of %lld", (long long)times, (long long)fan);
        if (times) *most = *most ? *most * times : times;
        *least = *most && p->extent[d] % *most == 0 ? *most : 0; /* of an extent that it does not divide, as much as there is */
    }
    for (int d = 0; d < p->ndim; d++)
        if (!allowed[d]) out->level[at.level][1].not_axis[d] |= (unsigned char)at.axes;
    return true;
}
/* Of layer Conv_3 the entry Conv_3, else Conv, else default. */
static const YamlNode *entry_for(const YamlFile *f, const Problem *p) {
    const YamlNode *found = NULL;
    int rank = 0;
    for (int i = 0; i < f->root->n; i++) {
        const YamlNode *name = yaml_get(f->root->item[i], "name");
        const char *s = name && name->text ? name->text : "default";
        size_t n = strlen(s);
        int r = strcmp(s, p->name) == 0 ? 3 : strncmp(s, p->name, n) == 0 && p->name[n] == '_' ? 2 : strcmp(s, "default") == 0;
        if (r > rank) rank = r, found = f->root->item[i];
    }
    return found;
}
bool zigzag_rules(const YamlFile *f, const Problem *p, const Target *t, MapRules *out) {
    bool ok = true;
    for (int i = 0; i < f->root->n; i++)
        ok &=
            yaml_known(f, f->root->item[i], "mapping", " name core_allocation spatial_mapping spatial_mapping_hint memory_operand_links ");
    const YamlNode *n = ok ? entry_for(f, p) : NULL, *links = yaml_get(n, "memory_operand_links");
    if (ok && !n) return yaml_wrong(f, f->root, "no entry is for layer %s, and none is called default", p->name);
    for (int i = 0; links && i < links->n; i++) {
        const YamlNode *memory = links->item[i];
        const char *operand = links->kind == YAML_IS_MAP ? links->key[i]->text : "";
        int tensor = problem_tensor(p, operand);
        unsigned role = tensor < 0 ? 0 : p->tensor[tensor].role;
        const char *want = role == ROLE_I ? "I1" : role == ROLE_W ? "I2" : "O";
        if (tensor >= 0 && (!memory->text || strcmp(memory->text, want) != 0))
            ok = yaml_wrong(f, memory, "memory_operand_links: operand %s can only use the memories of %s", operand, want);
    }
    for (int hint = 0; hint < 2; hint++) {
        const YamlNode *map = yaml_get(n, hint ? "spatial_mapping_hint" : "spatial_mapping");
        if (map && map->kind != YAML_IS_MAP) return yaml_wrong(f, map, "spatial_mapping: expected a map of the array's dimensions");
        for (int i = 0; map && i < map->n; i++) ok &= along(f, map->key[i], map->item[i], p, t, out);
    }
    return ok;
}
