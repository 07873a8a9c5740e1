/* SPDX-License-Identifier: Apache-2.0 */
/* import_arch.c: Timeloop's architectures (0.2 and 0.3: nested subtrees, instances as NAME[0..N]; 0.4: a list of nodes with spatial
 * fan-outs) and Accelergy's tables of energy and area. Energies are per word: an access of a table moves block-size words. Without a
 * table every access costs 1, as a multiply-add does.
 *   local: [{name: GLB, class: SRAM, attributes: {depth: 1024, width: 64, word-bits: 16}}]   ->   level GLB, 4096 words of 16 bits */
#include "import.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_INSTANCES = 1 << 24, MAX_SCOPE = 16 };
typedef struct Arch {
    ValueScope scope; /* `variables`, then attributes of what encloses, for inheritance */
    const YamlFile *f;
    Target *t;
    bool nodes;                      /* 0.4: bandwidths are in bits */
    int64_t inst[QN_MAX_LEVELS + 1]; /* of each level, of the multiply-adds */
    int64_t mesh[QN_MAX_LEVELS + 1]; /* meshX, 0: not stated */
    int64_t block[QN_MAX_LEVELS];    /* words of an access */
    int64_t fan_x, fan_y;            /* 0.4: since the last level */
    bool mac;
} Arch;

/* ---- attributes */
static const YamlNode *attribute(const Arch *a, const char *name) { return scope_find(&a->scope, name); }
static bool value(Arch *a, const YamlNode *n, int64_t *out) { return value_whole(&a->scope, n, out); }
static bool push_scope(Arch *a, const YamlNode *at, const YamlNode *map) {
    if (a->scope.n == MAX_SCOPE) return yaml_wrong(a->f, at, "more than %d nested parts", MAX_SCOPE);
    a->scope.map[a->scope.n++] = map;
    return true;
}
static bool any_of(Arch *a, const char *const *names, int64_t *out) { /* the first that is there */
    for (; *names; names++) {
        const YamlNode *n = attribute(a, *names);
        if (n) return value(a, n, out);
    }
    return true;
}
#define ANY(out, ...) any_of(a, (const char *const[]){__VA_ARGS__, NULL}, out)
static const char known_attributes[] =
    " depth width memory_depth memory_width entries sizeKB word_bits datawidth block_size cluster_size n_banks n_rdwr_ports n_rd_ports "
    "n_wr_ports meshX meshY read_bandwidth write_bandwidth shared_bandwidth rw_bandwidth multiple_buffering technology type latency "
    "cycle_time global_cycle_seconds clockrate_MHz update_fifo_depth num_pipeline_stages multiplier_width adder_width num_stages "
    "action_latency_cycle action_latency_cycles data_storage_depth data_storage_width depth_log2 read_energy write_energy energy "
    "network_energy nports num_ports n_ports n_buffets voltage temperature exponent mantissa has_power_gating power_gated_at version "
    "metadata_storage_width metadata_storage_depth metadata_counter_width metadata_datawidth reduction_supported min_utilization "
    "allow_overbooking area_scale energy_scale ";
/* What would change the numbers if it were anything else. */
static const struct {
    const char *name, *only;
} fixed_attributes[] = {{"reduction_supported", " true 1 "},
                        {"min_utilization", " 0 0.0 "},
                        {"allow_overbooking", " false 0 "},
                        {"area_scale", " 1 1.0 "},
                        {"energy_scale", " 1 1.0 "}};
static bool attributes_known(Arch *a, const YamlNode *own) {
    if (!own || (own->kind == YAML_IS_MAP && !own->n) || (own->kind == YAML_IS_TEXT && !*own->text)) return true;
    if (!yaml_known(a->f, own, "attributes", known_attributes)) return false;
    for (size_t i = 0; i < sizeof fixed_attributes / sizeof *fixed_attributes; i++) {
        const YamlNode *n = yaml_get(own, fixed_attributes[i].name);
        char word[24] = " ";
        if (!n) continue;
        for (size_t k = 0; n->kind == YAML_IS_TEXT && n->text[k] && k < 20; k++)
            word[k + 1] = (char)tolower((unsigned char)n->text[k]), word[k + 2] = 0;
        strcat(word, " ");
        if (!strstr(fixed_attributes[i].only, word))
            return yaml_wrong(a->f, n, "attributes: %s is supported only as%s", fixed_attributes[i].name, fixed_attributes[i].only);
    }
    return true;
}

/* ---- components */
static bool contains(const char *text, const char *const *words) {
    char low[80];
    size_t n = 0;
    for (; text[n] && n < sizeof low - 1; n++) low[n] = (char)tolower((unsigned char)text[n]);
    low[n] = 0;
    for (; *words; words++)
        if (strstr(low, *words)) return true;
    return false;
}
static bool is_arithmetic(const char *class) { return contains(class, (const char *const[]){"mac", "multiplier", "compute", "fma", NULL}); }
static bool is_storage(const char *class) {
    return contains(
        class, (const char *const[]){"dram", "sram", "reg", "buffer", "storage", "memory", "rf", "latch", "spad", "ddr", "buffet", NULL});
}
/* Timeloop's frontend makes a container with fan-out into one of these: no memory, only the place of spatial loops. */
static bool is_dummy(const char *class) { return strncmp(class, "dummy", 5) == 0; }
static bool is_network(const char *class) {
    return contains(class, (const char *const[]){"noc", "network", "multicast", "reductiontree", "wire", NULL});
}
/* The units below the innermost level so far have a name of their own, with axes "x", "y" or "xy". */
static void name_units(Arch *a, const char *name, const char *axes) {
    TargetLevel *v = a->t->nlevel ? &a->t->level[a->t->nlevel - 1] : NULL;
    if (v) v->spread = arena_printf(a->f->c->a, "%s%s%s:%s", v->spread ? v->spread : "", v->spread ? " " : "", name, axes);
}
static bool number(Arch *a, const char *name, double *out) { return value_number(&a->scope, attribute(a, name), out); }
static bool push_level(Arch *a, const YamlNode *at, const char *name, const char *class, int64_t instances) {
    Target *t = a->t;
    if (t->nlevel == QN_MAX_LEVELS) return yaml_wrong(a->f, at, "more than %d levels of memory", QN_MAX_LEVELS);
    if (a->mac) return yaml_wrong(a->f, at, "a memory inside the multiply-adds");
    TargetLevel *v = &t->level[t->nlevel];
    int64_t depth = 0, width = 0, bits = 16, entries = 0, kb = 0, block = 0, buffers = 1;
    double rd = 0, wr = 0, shared = 0, cycle = 0;
    bool dram = contains(class, (const char *const[]){"dram", "ddr", NULL});
    if (!ANY(&depth, "depth", "memory_depth", "data_storage_depth") || !ANY(&width, "width", "memory_width", "data_storage_width") ||
        !ANY(&bits, "word_bits", "datawidth") || !ANY(&entries, "entries") || !ANY(&kb, "sizeKB") || !ANY(&block, "block_size") ||
        !number(a, "read_bandwidth", &rd) || !number(a, "write_bandwidth", &wr) || !number(a, "shared_bandwidth", &shared) ||
        !number(a, "rw_bandwidth", &shared) || !number(a, "global_cycle_seconds", &cycle) || !ANY(&buffers, "multiple_buffering") ||
        !ANY(&a->mesh[t->nlevel], "meshX"))
        return false;
    if (bits < 1 || bits > 1024) return yaml_wrong(a->f, at, "component %s: a word of %lld bits", name, (long long)bits);
    if (buffers != 1 && buffers != 2)
        return yaml_wrong(a->f, at, "component %s: multiple_buffering is %lld, expected 1 or 2", name, (long long)buffers);
    if (!width) width = bits * (block ? block : 1);
    *v = (TargetLevel){.name = name,
                       .kind = t->nlevel ? LEVEL_PAD : LEVEL_DRAM,
                       .word_bits = (int)bits,
                       .keeps = ROLE_ALL,
                       .fan_x = 1,
                       .fan_y = 1,
                       .read_energy = 1,
                       .write_energy = 1,
                       .buffers = buffers == 2 ? 2 : 0};
    v->words = entries ? entries : kb ? kb * 8192 / bits : dram ? 0 : depth * width / bits;
    if (!v->words && t->nlevel)
        return yaml_wrong(a->f, at, "component %s has no capacity: expected depth and width, entries or sizeKB", name);
    if (!t->nlevel) v->words = 0; /* everything fits the outermost */
    a->block[t->nlevel] = block ? block : max_i64(1, width / bits);
    double unit = a->nodes ? (double)bits : 1;
    const YamlNode *network = attribute(a, "network_energy"); /* ours, not Timeloop's */
    if (network && !yaml_number(a->f, network, &v->network_energy)) return false;
    if (cycle > 0) t->clock_mhz = 1e-6 / cycle;
    v->read_bw = (rd > 0 ? rd : shared) / unit, v->write_bw = (wr > 0 ? wr : shared) / unit;
    a->inst[t->nlevel++] = instances;
    return true;
}
static const char component_keys[] = " name class subclass attributes required_actions enabled ";
static bool push_component(Arch *a, const YamlNode *n, const char *name, int64_t instances) {
    const char *class = "";
    const YamlNode *at = yaml_get(n, "class") ? yaml_get(n, "class") : yaml_get(n, "subclass");
    if (!yaml_word(a->f, at, &class)) return false;
    if (!at) return yaml_wrong(a->f, n, "component %s has no class", name);
    const YamlNode *own = yaml_get(n, "attributes"), *enabled = yaml_get(n, "enabled");
    if (enabled && enabled->kind == YAML_IS_TEXT && (*enabled->text | 32) == 'f')
        return yaml_wrong(a->f, enabled, "component %s is not enabled; leave it out", name);
    if (is_dummy(class)) return name_units(a, name, "xy"), true;
    if (is_network(class)) {
        diag_note(a->f->c->d, (Loc){a->f->name, loc_place(n->line, n->column), NULL, NULL},
                  "component %s of class %.60s: networks cost nothing here", name, class);
        return true;
    }
    if (!attributes_known(a, own) || !push_scope(a, n, own)) return false;
    bool ok;
    if (is_arithmetic(class)) {
        ok = !a->mac || yaml_wrong(a->f, n, "a second arithmetic component; only one is supported");
        a->mac = true, a->inst[a->t->nlevel] = instances;
        ok = ok && ANY(&a->mesh[a->t->nlevel], "meshX");
    } else if (is_storage(class)) ok = push_level(a, n, name, class, instances);
    else ok = yaml_wrong(a->f, at, "class '%.60s' of component %s is neither a memory nor a multiply-add", class, name);
    a->scope.n--;
    return ok;
}

/* ---- 0.2, 0.3: subtrees. NAME[0..N] is N + 1 instances. */
static bool name_of(Arch *a, const YamlNode *n, const char **name, int64_t *count) {
    const char *s = "";
    *count = 1;
    if (!yaml_word(a->f, yaml_get(n, "name"), &s)) return false;
    size_t len = strcspn(s, "[");
    if (!len || !(isalpha((unsigned char)*s) || *s == '_')) return yaml_wrong(a->f, n, "expected a name");
    *name = arena_strndup(a->f->c->a, s, len);
    if (!s[len]) return true;
    char *end, *end2 = NULL;
    long long lo = strtoll(s + len + 1, &end, 10), hi = 0;
    if (strncmp(end, "..", 2) == 0) hi = strtoll(end + 2, &end2, 10);
    if (!end2 || *end2 != ']' || end2[1] || lo < 0 || hi < lo || hi - lo >= MAX_INSTANCES)
        return yaml_wrong(a->f, yaml_get(n, "name"), "'%.60s': expected NAME or NAME[0..N]", s);
    *count = hi - lo + 1;
    return true;
}
static bool add_subtree(Arch *a, const YamlNode *list, int64_t instances, int depth) {
    const char *name;
    int64_t count, inside;
    if (list->kind != YAML_IS_LIST) return yaml_wrong(a->f, list, "subtree: expected a list");
    if (list->n > 1) return yaml_wrong(a->f, list->item[1], "two subtrees side by side; only a hierarchy is supported");
    for (int i = 0; i < list->n; i++) {
        const YamlNode *n = list->item[i], *local = yaml_get(n, "local"), *sub = yaml_get(n, "subtree");
        if (!yaml_known(a->f, n, "subtree", " name attributes local subtree ") || !name_of(a, n, &name, &count)) return false;
        if (depth == MAX_SCOPE - 2) return yaml_wrong(a->f, n, "too many nested subtrees");
        if (!mul_ok(instances, count, &instances) || instances > MAX_INSTANCES) return yaml_wrong(a->f, n, "more than 2^24 instances");
        const YamlNode *own = yaml_get(n, "attributes");
        if (!attributes_known(a, own) || !push_scope(a, n, own)) return false;
        for (int k = 0; local && k < local->n; k++) {
            const YamlNode *c = local->item[k];
            if (local->kind != YAML_IS_LIST || !yaml_known(a->f, c, "component", component_keys) || !name_of(a, c, &name, &count))
                return false;
            if (!mul_ok(instances, count, &inside) || inside > MAX_INSTANCES) return yaml_wrong(a->f, c, "more than 2^24 instances");
            if (!push_component(a, c, name, inside)) return false;
        }
        if (sub && !add_subtree(a, sub, instances, depth + 1)) return false;
        a->scope.n--;
    }
    return true;
}
/* ---- 0.4: nodes, outermost first */
static bool roles(Arch *a, const YamlNode *list, unsigned *bits) {
    *bits = 0;
    if (list->kind != YAML_IS_LIST) return yaml_wrong(a->f, list, "expected a list of data spaces");
    for (int i = 0; i < list->n; i++) {
        const char *s = "";
        if (!yaml_word(a->f, list->item[i], &s)) return false;
        unsigned r = *s == 'W' || *s == 'F' ? ROLE_W : *s == 'I' ? ROLE_I : *s == 'O' ? ROLE_O : 0;
        if (!r) return *bits = ROLE_ALL, true; /* A, B, Z: the problem says what they are, and a search goes by timeloop_rules */
        *bits |= r;
    }
    return true;
}
static bool node_keeps(Arch *a, const YamlNode *n) {
    const YamlNode *all = yaml_get(n, "constraints"), *d = yaml_get(all, "dataspace");
    unsigned keep = ROLE_ALL, bypass = 0;
    if (!all) return true;
    if (all->kind == YAML_IS_MAP && all->n && !yaml_known(a->f, all, "constraints", " dataspace temporal spatial ")) return false;
    if (!d) return true;
    if (!yaml_known(a->f, d, "dataspace", " keep bypass keep_only ")) return false;
    const YamlNode *k = yaml_get(d, "keep_only") ? yaml_get(d, "keep_only") : yaml_get(d, "keep"), *b = yaml_get(d, "bypass");
    if (k && !roles(a, k, &keep)) return false;
    if (b && !roles(a, b, &bypass)) return false;
    if (keep == ROLE_ALL && bypass == ROLE_ALL) bypass = 0;
    a->t->level[a->t->nlevel - 1].keeps = keep & ~bypass;
    return true;
}
static bool add_nodes(Arch *a, const YamlNode *list, int depth) {
    if (list->kind != YAML_IS_LIST || depth > 8) return yaml_wrong(a->f, list, "nodes: expected a list");
    for (int i = 0; i < list->n; i++) {
        const YamlNode *n = list->item[i], *mesh = yaml_get(n, "spatial"), *inner = yaml_get(n, "nodes");
        const char *tag = n->tag ? n->tag : "", *name = "";
        bool container = strcmp(tag, "!Container") == 0, component = strcmp(tag, "!Component") == 0;
        int64_t x = 1, y = 1, all = 0;
        if (inner && (strcmp(tag, "!Parallel") == 0 || strcmp(tag, "!Hierarchical") == 0)) {
            if (!yaml_known(a->f, n, tag + 1, " nodes name ") || !add_nodes(a, inner, depth + 1)) return false;
            continue;
        }
        container |= strcmp(tag, "!Nothing") == 0;
        if (!container && !component)
            return yaml_wrong(a->f, n,
                              "node '%.40s' is not supported; expected !Container, !Component, !Parallel, !Hierarchical or !Nothing", tag);
        if (!yaml_known(a->f, n, container ? "container" : "component",
                        container ? " name spatial attributes constraints required_actions enabled "
                                  : " name class subclass spatial attributes constraints required_actions enabled "))
            return false;
        if (!yaml_word(a->f, yaml_get(n, "name"), &name)) return false;
        if (!text_is_ident(name)) return yaml_wrong(a->f, n, "a node needs a name");
        if (mesh && (!yaml_known(a->f, mesh, "spatial", " meshX meshY ") || !value(a, yaml_get(mesh, "meshX"), &x) ||
                     !value(a, yaml_get(mesh, "meshY"), &y)))
            return false;
        if (x < 1 || y < 1 || !mul_ok(a->fan_x, x, &a->fan_x) || !mul_ok(a->fan_y, y, &a->fan_y) || !mul_ok(a->fan_x, a->fan_y, &all) ||
            all > MAX_INSTANCES)
            return yaml_wrong(a->f, mesh ? mesh : n, "spatial: expected 1 to 2^24 instances");
        if (container) {
            const YamlNode *own = yaml_get(n, "attributes"); /* constraints are the search's: timeloop_rules */
            if (own && own->kind == YAML_IS_MAP && !push_scope(a, n, own)) return false;
            if (x * y > 1) name_units(a, name, y == 1 ? "x" : x == 1 ? "y" : "xy");
            continue;
        }
        int before = a->t->nlevel;
        int64_t outside = before ? a->inst[before - 1] : 1;
        if (!push_component(a, n, name, outside * all)) return false;
        if (before) a->t->level[before - 1].fan_x = a->fan_x, a->t->level[before - 1].fan_y = a->fan_y;
        else if (all > 1) return yaml_wrong(a->f, mesh ? mesh : n, "several instances of the outermost memory");
        a->fan_x = a->fan_y = 1;
        if (a->t->nlevel > before && !node_keeps(a, n)) return false;
    }
    return true;
}
static bool fan_outs(Arch *a, const YamlNode *at) {
    for (int l = 0; l < a->t->nlevel; l++) {
        int64_t out = a->inst[l], in = a->inst[l + 1], mx = a->mesh[l + 1], ox = a->mesh[l] ? a->mesh[l] : 1;
        if (in % out)
            return yaml_wrong(a->f, at, "below %s are %lld instances, no multiple of its own %lld", a->t->level[l].name, (long long)in,
                              (long long)out);
        int64_t fan = in / out, x = mx && mx % ox == 0 && fan % (mx / ox) == 0 ? mx / ox : fan;
        a->t->level[l].fan_x = x, a->t->level[l].fan_y = fan / x;
    }
    return true;
}
Target *timeloop_target(const YamlFile *f) {
    const YamlNode *top = yaml_get(f->root, "architecture"), *sub = yaml_get(top, "subtree"), *nodes = yaml_get(top, "nodes");
    const char *version = "", *name = "architecture";
    Arch *a = NEW(f->c->a, Arch);
    a->f = f, a->t = NEW(f->c->a, Target), a->fan_x = a->fan_y = 1, a->nodes = nodes != NULL;
    a->t->mac_energy = 1;
    if (!yaml_known(f, top, "architecture", " version name subtree nodes ")) return NULL;
    if (!yaml_word(f, yaml_get(top, "version"), &version) || !yaml_word(f, yaml_get(top, "name"), &name)) return NULL;
    if (*version && strcmp(version, "0.2") && strcmp(version, "0.3") && strcmp(version, "0.4"))
        return yaml_wrong(f, yaml_get(top, "version"), "version '%.20s' is not supported; expected 0.2, 0.3 or 0.4", version), NULL;
    if (!sub == !nodes) return yaml_wrong(f, top, "architecture: expected `subtree` (0.2, 0.3) or `nodes` (0.4)"), NULL;
    if (!strcmp(name, "architecture") && sub && sub->kind == YAML_IS_LIST && sub->n && !yaml_word(f, yaml_get(sub->item[0], "name"), &name))
        return NULL;
    a->t->name = name;
    a->scope.f = f;
    if (timeloop_has(f, "variables") && !push_scope(a, top, yaml_get(f->root, "variables"))) return NULL;
    if (sub ? !add_subtree(a, sub, 1, 0) : !add_nodes(a, nodes, 0)) return NULL;
    if (!a->t->nlevel || !a->mac) return yaml_wrong(f, top, "architecture: expected at least one memory and a multiply-add"), NULL;
    if (sub && !fan_outs(a, top)) return NULL;
    if (nodes && a->fan_x * a->fan_y > 1) return yaml_wrong(f, nodes, "a spatial container holds no component"), NULL;
    for (int l = 0; l < a->t->nlevel; l++) a->t->level[l].banks = 0;
    if (!target_check(f->c->d, (Loc){f->name, top->line, NULL, NULL}, a->t)) return NULL;
    for (int l = 0; l < a->t->nlevel; l++) /* until a table says otherwise; remembered for it */
        a->t->level[l].place = a->block[l];
    return a->t;
}

/* ---- Accelergy's tables */
static const char *last_name(Arena *a, const char *s) { /* system.PE[0..7].spad[1..1]  ->  spad */
    Text t = {0};
    for (; *s; s++) {
        if (*s == '[') s += strcspn(s, "]");
        else if (*s == '.') t.n = 0, text_puts(&t, "");
        else text_putn(&t, s, 1);
        if (!*s) break;
    }
    const char *r = arena_strndup(a, t.s ? t.s : "", t.n);
    text_free(&t);
    return r;
}
/* The most that an action costs, over its arguments. */
static bool most(const YamlFile *f, const YamlNode *n, double *out) {
    double v = 0;
    if (n->kind == YAML_IS_LIST) {
        for (int i = 0; i < n->n; i++)
            if (!most(f, n->item[i], out)) return false;
        return true;
    }
    if (!yaml_known(f, n, "action", " name arguments energy ")) return false;
    if (!yaml_get(n, "energy")) return yaml_wrong(f, n, "an action without energy");
    if (!yaml_number(f, yaml_get(n, "energy"), &v)) return false;
    if (v > *out) *out = v;
    return true;
}
static bool starts(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }
static bool action(const YamlFile *f, const char *name, const YamlNode *n, double *e) { /* e: read, write, multiply-add */
    if (strcmp(name, "idle") == 0 || strcmp(name, "leak") == 0) return true;
    if (starts(name, "read")) return most(f, n, &e[0]);
    if (starts(name, "write") || starts(name, "fill") || starts(name, "update")) return most(f, n, &e[1]);
    if (starts(name, "mac") || starts(name, "compute") || starts(name, "mult")) return most(f, n, &e[2]);
    return true; /* other parts' actions */
}
static bool energy_table(const YamlFile *f, Target *t, const char *name, const YamlNode *actions, unsigned *seen) {
    double e[3] = {0, 0, 0};
    int l = target_level(t, last_name(f->c->a, name));
    for (int i = 0; actions && i < actions->n; i++) {
        const YamlNode *n = actions->item[i];
        const char *what = actions->kind == YAML_IS_MAP ? actions->key[i]->text : "";
        if (actions->kind == YAML_IS_LIST && !yaml_word(f, yaml_get(n, "name"), &what)) return false;
        if (!action(f, what, n, e)) return false;
    }
    if (l < 0) {
        if (e[2] > 0) t->mac_energy = e[2];
        return true;
    }
    *seen |= 1u << l;
    double words = t->level[l].place > 0 ? (double)t->level[l].place : 1;
    t->level[l].read_energy = e[0] / words, t->level[l].write_energy = (e[1] > 0 ? e[1] : e[0]) / words;
    return true;
}
static bool area_table(const YamlFile *f, Target *t, const YamlNode *n) {
    const char *name = "";
    double area = 0;
    if (!yaml_known(f, n, "area", " name area ") || !yaml_word(f, yaml_get(n, "name"), &name) ||
        !yaml_number(f, yaml_get(n, "area"), &area))
        return false;
    const char *last = last_name(f->c->a, name);
    int l = target_level(t, last);
    if (l >= 0 && t->level[l].words) t->level[l].area_per_word = area / (double)t->level[l].words;
    else if (l < 0 && is_arithmetic(last)) t->area_per_pe = area;
    return true;
}
bool accelergy_tables(const YamlFile *f, Target *t) {
    const YamlNode *ert = yaml_get(f->root, "ERT"), *art = yaml_get(f->root, "ART"), *list = yaml_get(ert, "tables");
    unsigned seen = 0;
    if (!ert && !art) return yaml_wrong(f, f->root, "expected ERT or ART");
    if (ert && !yaml_known(f, ert, "ERT", " version tables ")) return false;
    if (art && !yaml_known(f, art, "ART", " version tables ")) return false;
    for (int i = 0; list && i < list->n; i++) {
        const YamlNode *n = list->item[i];
        const char *name = "";
        if (list->kind == YAML_IS_MAP) {
            if (!energy_table(f, t, list->key[i]->text, n, &seen)) return false;
            continue;
        }
        if (!yaml_known(f, n, "table", " name actions ") || !yaml_word(f, yaml_get(n, "name"), &name)) return false;
        if (!energy_table(f, t, name, yaml_get(n, "actions"), &seen)) return false;
    }
    for (int l = 0; ert && l < t->nlevel; l++)
        if (!(seen >> l & 1))
            diag_note(f->c->d, (Loc){f->name, loc_place(ert->line, ert->column), NULL, NULL},
                      "ERT has no table of level %s, whose accesses keep their energy", t->level[l].name);
    list = yaml_get(art, "tables");
    for (int i = 0; list && i < list->n; i++) {
        if (list->kind != YAML_IS_LIST) return yaml_wrong(f, list, "tables: expected a list");
        if (!area_table(f, t, list->item[i])) return false;
    }
    return true;
}
