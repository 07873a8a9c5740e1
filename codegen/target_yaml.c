/* SPDX-License-Identifier: Apache-2.0 */
/* target_yaml.c: reads a target file with libcyaml against one schema and checks what a schema cannot say. Unknown keys and
 * aliases are refused. libcyaml reports through a log function: its first message and the innermost line of its backtrace
 * become one diagnostic; later checks are located by the line that names the level or instruction.
 *   levels: [{name: DRAM, kind: dram}, {name: L1, kind: cache, bytes: 32768}]  ->  Target with two levels */
#include "target_yaml.h"
#include "embedded.h"
#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the file holds, before defaults: target_schema.def as structs. Pointers are NULL where a key is absent. */
#define MEMBER_NAME(key)          char *key;
#define MEMBER_LINE(key)          char *key;
#define MEMBER_TEXT(key)          char *key;
#define MEMBER_INT(key)           int64_t key;
#define MEMBER_FLOAT(key)         double *key;
#define MEMBER_BOOL(key)          bool *key;
#define MEMBER_KIND(key)          LevelKind key;
#define MEMBER_ROLES(key)         unsigned *key;
#define MEMBER_MAP_FAN(key)       YFan *key;
#define MEMBER_MAP_NETWORK(key)   YNetwork *key;
#define MEMBER_MAP_PARTITION(key) YPartition *key;
#define MEMBER_MAP_SPARSITY(key)  YSparsity *key;
#define MEMBER_MAP_VECTOR(key)    YVector *key;
#define MEMBER_LIST_COMPUTE(key)                                                                                                           \
    YCompute *key;                                                                                                                         \
    unsigned key##_count;
#define MEMBER_LIST_LEVELS(key)                                                                                                            \
    YLevel *key;                                                                                                                           \
    unsigned key##_count;
#define MEMBER_LIST_INSTR(key)                                                                                                             \
    YInstr *key;                                                                                                                           \
    unsigned key##_count;
#define MEMBER(kind, key, must, otherwise, doc) MEMBER_##kind(key)

typedef struct YFan {
#define FAN_FIELD MEMBER
#include "target_schema.def"
} YFan;
typedef struct YNetwork {
#define NETWORK_FIELD MEMBER
#include "target_schema.def"
} YNetwork;
typedef struct YPartition {
#define PARTITION_FIELD MEMBER
#include "target_schema.def"
} YPartition;
typedef struct YSparsity {
#define SPARSITY_FIELD MEMBER
#include "target_schema.def"
} YSparsity;
typedef struct YVector {
#define VECTOR_FIELD MEMBER
#include "target_schema.def"
} YVector;
typedef struct YCompute {
#define COMPUTE_FIELD MEMBER
#include "target_schema.def"
} YCompute;
typedef struct YLevel {
#define LEVEL_FIELD MEMBER
#include "target_schema.def"
} YLevel;
typedef struct YInstr {
#define INSTR_FIELD MEMBER
#include "target_schema.def"
} YInstr;
typedef struct YTarget {
#define TARGET_FIELD MEMBER
#include "target_schema.def"
} YTarget;

/* ---- and as libcyaml's schema */
static const cyaml_strval_t kind_values[] = {{"dram", LEVEL_DRAM}, {"cache", LEVEL_CACHE}, {"pad", LEVEL_PAD}, {"regs", LEVEL_REGS}};
static const cyaml_strval_t role_values[] = {{"W", ROLE_W}, {"I", ROLE_I}, {"O", ROLE_O}};
enum { MUST_1 = CYAML_FLAG_DEFAULT, MUST_0 = CYAML_FLAG_OPTIONAL };
#define STRING(S, key, must, max) CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | MUST_##must, S, key, must, max),
#define FIELD_NAME(S, key, must)  CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | MUST_##must, S, key, 1, 64),
#define FIELD_LINE(S, key, must)  STRING(S, key, must, 4096)
#define FIELD_TEXT(S, key, must)  CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | MUST_##must, S, key, 1, 65536),
#define FIELD_INT(S, key, must)   CYAML_FIELD_INT(#key, MUST_##must, S, key),
#define FIELD_FLOAT(S, key, must) CYAML_FIELD_FLOAT_PTR(#key, CYAML_FLAG_POINTER | MUST_##must, S, key),
#define FIELD_BOOL(S, key, must)  CYAML_FIELD_BOOL_PTR(#key, CYAML_FLAG_POINTER | MUST_##must, S, key),
#define FIELD_KIND(S, key, must)  CYAML_FIELD_ENUM(#key, CYAML_FLAG_STRICT | MUST_##must, S, key, kind_values, CYAML_ARRAY_LEN(kind_values)),
#define FIELD_ROLES(S, key, must)                                                                                                          \
    CYAML_FIELD_FLAGS_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_STRICT | MUST_##must, S, key, role_values, CYAML_ARRAY_LEN(role_values)),
#define MAP(S, key, must, fields)         CYAML_FIELD_MAPPING_PTR(#key, CYAML_FLAG_POINTER | MUST_##must, S, key, fields),
#define FIELD_MAP_FAN(S, key, must)       MAP(S, key, must, fan_fields)
#define FIELD_MAP_NETWORK(S, key, must)   MAP(S, key, must, network_fields)
#define FIELD_MAP_PARTITION(S, key, must) MAP(S, key, must, partition_fields)
#define FIELD_MAP_SPARSITY(S, key, must)  MAP(S, key, must, sparsity_fields)
#define FIELD_MAP_VECTOR(S, key, must)    MAP(S, key, must, vector_fields)
#define LIST(S, key, must, entry, max)    CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | MUST_##must, S, key, &entry, must, max),
#define FIELD_LIST_COMPUTE(S, key, must)  LIST(S, key, must, compute_entry, QN_MAX_COMPUTE)
#define FIELD_LIST_LEVELS(S, key, must)   LIST(S, key, must, level_entry, QN_MAX_LEVELS)
#define FIELD_LIST_INSTR(S, key, must)    LIST(S, key, must, instr_entry, 1000)

#define SECTION(S, name) static const cyaml_schema_field_t name[]
SECTION(YFan, fan_fields) = {
#define FAN_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YFan, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YNetwork, network_fields) = {
#define NETWORK_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YNetwork, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YPartition, partition_fields) = {
#define PARTITION_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YPartition, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YSparsity, sparsity_fields) = {
#define SPARSITY_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YSparsity, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YVector, vector_fields) = {
#define VECTOR_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YVector, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YCompute, compute_fields) = {
#define COMPUTE_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YCompute, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YLevel, level_fields) = {
#define LEVEL_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YLevel, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
SECTION(YInstr, instr_fields) = {
#define INSTR_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YInstr, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
static const cyaml_schema_value_t compute_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, YCompute, compute_fields)};
static const cyaml_schema_value_t level_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, YLevel, level_fields)};
static const cyaml_schema_value_t instr_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, YInstr, instr_fields)};
SECTION(YTarget, target_fields) = {
#define TARGET_FIELD(kind, key, must, otherwise, doc) FIELD_##kind(YTarget, key, must)
#include "target_schema.def"
    CYAML_FIELD_END};
static const cyaml_schema_value_t target_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, YTarget, target_fields)};

/* ---- libcyaml's messages */
typedef struct Log {
    char first[400]; /* the message that matters */
    int64_t place;   /* of the innermost backtrace entry, or of libyaml's own message; 0: none */
} Log;
static void on_log(cyaml_log_t level, void *user, const char *fmt, va_list args) {
    Log *l = user;
    char text[400];
    if (level < CYAML_LOG_ERROR) return;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = 0;
    const char *at = strstr(text, "line: ");
    if (at && !l->place) {
        char *end;
        long line = strtol(at + 6, &end, 10), column = strncmp(end, ", column: ", 10) == 0 ? strtol(end + 10, NULL, 10) : 0;
        l->place = loc_place(line, column);
    }
    if (!l->first[0] && strcmp(text, "Load: Backtrace:") != 0)
        snprintf(l->first, sizeof l->first, "%s", strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
}

/* Finds the next `name: VALUE` at or after *at, for errors that show only after parsing, and moves *at behind it. Returns its
 * place; 0 if it is not there in so many words. */
static int64_t place_of(const char *text, size_t bytes, const char *value, size_t *at) {
    size_t n = strlen(value);
    size_t start = 0; /* of the line */
    int line = 1;
    for (size_t i = 0; i + 5 + n < bytes; i++) {
        if (text[i] == '\n') line++, start = i + 1;
        if (i < *at || memcmp(text + i, "name:", 5) != 0) continue;
        size_t k = i + 5;
        while (k < bytes && text[k] && strchr(" \"'", text[k])) k++;
        if (k + n >= bytes || memcmp(text + k, value, n) != 0 || !strchr(" \"'\n\r,}#", text[k + n])) continue;
        *at = k + n;
        return loc_place(line, (long)(i - start) + 1);
    }
    return 0;
}

/* ---- to a Target */
static double or_else(const double *x, double otherwise) { return x ? *x : otherwise; }
static int small(int64_t v) { return v < -1 ? -1 : v > 1 << 30 ? 1 << 30 : (int)v; } /* target_check refuses the ends */
static char *copy(Arena *a, const char *s) { return s && *s ? arena_strdup(a, s) : NULL; }

static bool level_fill(Diags *d, const char *file, int64_t place, const YTarget *y, const YLevel *l, TargetLevel *out) {
    Loc loc = {file, place ? place : -1, NULL, NULL};
    int64_t bits = l->word_bits ? l->word_bits : y->word_bits ? y->word_bits : 32;
    out->name = copy(d->a, l->name);
    out->place = place;
    out->kind = l->kind;
    out->word_bits = bits > 0 && bits <= 512 ? (int)bits : 0; /* target_check refuses 0 */
    out->keeps = l->keeps && *l->keeps ? *l->keeps : ROLE_ALL;
    out->fan_x = l->fan_out && l->fan_out->x ? l->fan_out->x : 1;
    out->fan_y = l->fan_out && l->fan_out->y ? l->fan_out->y : 1;
    out->read_energy = or_else(l->read_energy, or_else(l->energy, 0));
    out->write_energy = or_else(l->write_energy, or_else(l->energy, 0));
    out->banks = small(l->banks), out->buffers = small(l->buffers);
    double banks = out->banks > 1 ? out->banks : 1;
    out->read_bw = or_else(l->read_bandwidth, 0) * banks;
    out->write_bw = or_else(l->write_bandwidth, 0) * banks;
    if (l->partition) out->part[0] = l->partition->W, out->part[1] = l->partition->I, out->part[2] = l->partition->O;
    if (l->network) {
        out->network_energy = or_else(l->network->energy, 0);
        if (l->network->multicast) out->no_multicast = (ROLE_W | ROLE_I) & ~*l->network->multicast;
        if (l->network->reduction && !*l->network->reduction) out->no_multicast |= ROLE_O;
    }
    out->area_per_word = or_else(l->area_per_word, 0);
    out->exposed = or_else(l->exposed, 0), out->apart = or_else(l->apart, out->exposed), out->usable = or_else(l->usable, 0),
    out->alone = or_else(l->alone, 1), out->ways = small(l->ways);
    out->words = l->words;
    if (l->words && l->bytes) return diag_error(d, loc, "level %s has both `words` and `bytes`; give one", l->name);
    if (l->words < 0 || l->bytes < 0 || l->words > (int64_t)1 << 50 || l->bytes > (int64_t)1 << 50)
        return diag_error(d, loc, "the size of level %s is out of range; expected 1 to 2^50", l->name);
    if (l->bytes && out->word_bits) out->words = l->bytes * 8 / out->word_bits;
    return true;
}
/* `shares` names an outer level; its bound is the owner's size unless it says its own. */
static bool shares_fill(Diags *d, const char *file, const YTarget *y, int i, Target *t) {
    TargetLevel *v = &t->level[i];
    if (!y->levels[i].shares) return true;
    for (int k = 0; k < i; k++)
        if (strcmp(y->levels[k].name, y->levels[i].shares) == 0) {
            v->shares = k + 1;
            if (!v->words) v->words = t->level[k].words;
            return true;
        }
    return diag_error(d, (Loc){file, v->place ? v->place : -1, NULL, NULL},
                      "level %s shares the memory of '%s', which is no level outside it", v->name, y->levels[i].shares);
}
static void machine_fill(const YTarget *y, Arena *a, Target *t) {
    t->mac_energy = or_else(y->mac_energy, 1), t->area_per_pe = or_else(y->area_per_pe, 0), t->clock_mhz = or_else(y->clock_mhz, 0);
    if (y->sparsity && y->sparsity->gate) t->gate = *y->sparsity->gate;
    if (y->sparsity && y->sparsity->skip) t->skip = *y->sparsity->skip;
    if (y->sparsity && y->sparsity->run_length) t->run_length = *y->sparsity->run_length;
    t->ncompute = (int)y->compute_count;
    for (int i = 0; i < t->ncompute; i++) {
        const YCompute *x = &y->compute[i];
        t->compute[i] = (TargetCompute){copy(a, x->dtype), or_else(x->macs_per_cycle, 1), or_else(x->energy, t->mac_energy)};
    }
}
static bool instr_fill(Diags *d, const char *file, int64_t line, const YInstr *r, TargetInstr *out) {
    Loc loc = {file, line ? line : -1, NULL, NULL};
    if ((r->emit != NULL) + (r->value != NULL) + (r->opcode != NULL) != 1)
        return diag_error(
            d, loc, "instruction %s: expected one of `emit` (C statement), `value` (C expression) and `opcode` (command stream)", r->name);
    *out = (TargetInstr){copy(d->a, r->name),
                         copy(d->a, r->means),
                         copy(d->a, r->emit    ? r->emit
                                    : r->value ? r->value
                                               : r->opcode),
                         r->opcode != NULL,
                         r->value != NULL,
                         or_else(r->cycles, 1),
                         copy(d->a, r->needs),
                         line};
    return true;
}
static Target *target_fill(Diags *d, const char *file, const char *text, size_t bytes, const YTarget *y) {
    Target *t = NEW(d->a, Target);
    int before = d->errors;
    size_t at = 0;
    Loc loc = {file, place_of(text, bytes, y->name, &at), NULL, NULL};
    t->name = copy(d->a, y->name), t->about = copy(d->a, y->about);
    t->cflags = copy(d->a, y->cflags), t->attribute = copy(d->a, y->attribute), t->cpu_test = copy(d->a, y->cpu_test),
    t->include = copy(d->a, y->include), t->family = copy(d->a, y->family), t->guard = copy(d->a, y->guard);
    machine_fill(y, d->a, t);
    if (y->vector && (y->vector->bits < 0 || y->vector->bits > 1 << 16 || y->vector->registers < 0 || y->vector->registers > 1024))
        diag_error(d, loc, "vector: %lld bits and %lld registers; expected up to 65536 and 1024", (long long)y->vector->bits,
                   (long long)y->vector->registers);
    else if (y->vector) {
        t->vector_bits = y->vector->bits, t->vector_regs = (int)y->vector->registers, t->half = y->vector->half && *y->vector->half;
        t->latency = or_else(y->vector->latency, 4);
        t->step_cycles = or_else(y->vector->step_cycles, 0.35), t->block_cycles = or_else(y->vector->block_cycles, 12);
    }
    t->nlevel = (int)y->levels_count;
    at = 0;
    for (int i = 0; i < t->nlevel; i++) {
        level_fill(d, file, place_of(text, bytes, y->levels[i].name, &at), y, &y->levels[i], &t->level[i]);
        shares_fill(d, file, y, i, t);
    }
    TargetInstr *rows = NEW_ARRAY(d->a, TargetInstr, y->instructions_count + 1);
    t->instr = rows, t->ninstr = (int)y->instructions_count;
    for (int i = 0; i < t->ninstr; i++)
        instr_fill(d, file, place_of(text, bytes, y->instructions[i].name, &at), &y->instructions[i], &rows[i]);
    return d->errors == before && target_check(d, loc, t) ? t : NULL;
}

Target *target_parse(Ctx *c, const char *file, const char *text, size_t bytes) {
    Log log = {{0}, 0};
    cyaml_config_t config = {.log_fn = on_log,
                             .log_ctx = &log,
                             .mem_fn = cyaml_mem,
                             .log_level = CYAML_LOG_ERROR,
                             .flags = CYAML_CFG_DEFAULT | CYAML_CFG_NO_ALIAS};
    YTarget *y = NULL;
    cyaml_err_t err = cyaml_load_data((const uint8_t *)text, bytes, &config, &target_schema, (cyaml_data_t **)&y, NULL);
    Loc loc = {file, log.place ? log.place : -1, NULL, NULL};
    if (err != CYAML_OK || !y) {
        diag_error(c->d, loc, "%s; expected a target file",
                   log.first[0]      ? log.first
                   : err == CYAML_OK ? "the file is empty"
                                     : cyaml_strerror(err));
        return NULL;
    }
    Target *t = target_numbers(c, file, text, bytes) ? target_fill(c->d, file, text, bytes, y) : NULL;
    cyaml_free(&config, &target_schema, y, 0);
    return t;
}

static const char folder[] = "codegen/targets/";
Target *target_load(Ctx *c, const char *name_or_file) {
    const Embedded *e = embedded_find(arena_printf(c->a, "%s%s.yaml", folder, name_or_file));
    if (e) return target_parse(c, e->name, e->data, e->bytes);
    if (!strpbrk(name_or_file, "./")) {
        Text names = {0};
        for (int i = 0; target_builtin(c->a, i); i++) text_printf(&names, "%s%s", i ? ", " : "", target_builtin(c->a, i));
        diag_error(c->d, NO_LOC, "no target is called '%s'; expected %s, or a file NAME.yaml", name_or_file, names.s ? names.s : "a file");
        text_free(&names);
        return NULL;
    }
    size_t bytes;
    char *text = file_read_whole(c, name_or_file, 1 << 20, &bytes);
    return text ? target_parse(c, name_or_file, text, bytes) : NULL;
}
const char *target_builtin(Arena *a, int i) {
    const char *last = "";
    for (int k = 0; k <= i; k++) { /* the k-th smallest: the table's order is the build's */
        const char *best = NULL;
        for (const Embedded *e = embedded_files; e->name; e++) {
            if (strncmp(e->name, folder, sizeof folder - 1) != 0) continue;
            const char *n = e->name + sizeof folder - 1;
            if (strcmp(n, "dataflows.yaml") == 0) continue; /* constraints of the explorer, not a machine */
            if (strcmp(n, last) > 0 && (!best || strcmp(n, best) < 0)) best = n;
        }
        if (!best) return NULL;
        last = best;
    }
    return arena_strndup(a, last, strcspn(last, "."));
}
