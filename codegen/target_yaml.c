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

/* ---- what the file holds, before defaults. Pointers are NULL where a key is absent. */
typedef struct YFan {
    int64_t x, y;
} YFan;
typedef struct YLevel {
    char *name;
    LevelKind kind;
    int64_t bytes, words;
    int64_t word_bits;
    unsigned keeps;
    YFan *fan_out;
    double *energy, *read_energy, *write_energy;
    double *read_bandwidth, *write_bandwidth;
    double *area_per_word;
} YLevel;
typedef struct YInstr {
    char *name, *means, *emit, *value, *opcode, *needs;
    double *cycles;
} YInstr;
typedef struct YVector {
    int64_t bits, registers;
} YVector;
typedef struct YTarget {
    char *name, *about, *cflags, *attribute, *include, *cpu_test;
    int64_t word_bits;
    double *mac_energy, *area_per_pe;
    YVector *vector;
    YLevel *levels;
    unsigned levels_count;
    YInstr *instructions;
    unsigned instructions_count;
} YTarget;

enum { NEEDED = CYAML_FLAG_POINTER, ABSENT_NULL = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL };
static const cyaml_strval_t kind_values[] = {{"dram", LEVEL_DRAM}, {"cache", LEVEL_CACHE}, {"pad", LEVEL_PAD}, {"regs", LEVEL_REGS}};
static const cyaml_strval_t role_values[] = {{"W", ROLE_W}, {"I", ROLE_I}, {"O", ROLE_O}};
static const cyaml_schema_field_t fan_fields[] = {CYAML_FIELD_INT("x", CYAML_FLAG_OPTIONAL, YFan, x),
                                                  CYAML_FIELD_INT("y", CYAML_FLAG_OPTIONAL, YFan, y), CYAML_FIELD_END};
static const cyaml_schema_field_t level_fields[] = {
    CYAML_FIELD_STRING_PTR("name", NEEDED, YLevel, name, 1, 64),
    CYAML_FIELD_ENUM("kind", CYAML_FLAG_STRICT, YLevel, kind, kind_values, CYAML_ARRAY_LEN(kind_values)),
    CYAML_FIELD_INT("bytes", CYAML_FLAG_OPTIONAL, YLevel, bytes),
    CYAML_FIELD_INT("words", CYAML_FLAG_OPTIONAL, YLevel, words),
    CYAML_FIELD_INT("word_bits", CYAML_FLAG_OPTIONAL, YLevel, word_bits),
    CYAML_FIELD_FLAGS("keeps", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, YLevel, keeps, role_values, CYAML_ARRAY_LEN(role_values)),
    CYAML_FIELD_MAPPING_PTR("fan_out", ABSENT_NULL, YLevel, fan_out, fan_fields),
    CYAML_FIELD_FLOAT_PTR("energy", ABSENT_NULL, YLevel, energy),
    CYAML_FIELD_FLOAT_PTR("read_energy", ABSENT_NULL, YLevel, read_energy),
    CYAML_FIELD_FLOAT_PTR("write_energy", ABSENT_NULL, YLevel, write_energy),
    CYAML_FIELD_FLOAT_PTR("read_bandwidth", ABSENT_NULL, YLevel, read_bandwidth),
    CYAML_FIELD_FLOAT_PTR("write_bandwidth", ABSENT_NULL, YLevel, write_bandwidth),
    CYAML_FIELD_FLOAT_PTR("area_per_word", ABSENT_NULL, YLevel, area_per_word),
    CYAML_FIELD_END};
static const cyaml_schema_field_t instr_fields[] = {CYAML_FIELD_STRING_PTR("name", NEEDED, YInstr, name, 1, 64),
                                                    CYAML_FIELD_STRING_PTR("means", NEEDED, YInstr, means, 1, 65536),
                                                    CYAML_FIELD_STRING_PTR("emit", ABSENT_NULL, YInstr, emit, 1, 65536),
                                                    CYAML_FIELD_STRING_PTR("value", ABSENT_NULL, YInstr, value, 1, 65536),
                                                    CYAML_FIELD_STRING_PTR("opcode", ABSENT_NULL, YInstr, opcode, 1, 64),
                                                    CYAML_FIELD_STRING_PTR("needs", ABSENT_NULL, YInstr, needs, 1, 64),
                                                    CYAML_FIELD_FLOAT_PTR("cycles", ABSENT_NULL, YInstr, cycles),
                                                    CYAML_FIELD_END};
static const cyaml_schema_field_t vector_fields[] = {CYAML_FIELD_INT("bits", CYAML_FLAG_DEFAULT, YVector, bits),
                                                     CYAML_FIELD_INT("registers", CYAML_FLAG_DEFAULT, YVector, registers), CYAML_FIELD_END};
static const cyaml_schema_value_t level_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, YLevel, level_fields)};
static const cyaml_schema_value_t instr_entry = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, YInstr, instr_fields)};
static const cyaml_schema_field_t target_fields[] = {
    CYAML_FIELD_STRING_PTR("name", NEEDED, YTarget, name, 1, 64),
    CYAML_FIELD_STRING_PTR("about", ABSENT_NULL, YTarget, about, 0, 4096),
    CYAML_FIELD_STRING_PTR("cflags", ABSENT_NULL, YTarget, cflags, 0, 4096),
    CYAML_FIELD_STRING_PTR("attribute", ABSENT_NULL, YTarget, attribute, 0, 4096),
    CYAML_FIELD_STRING_PTR("include", ABSENT_NULL, YTarget, include, 1, 64),
    CYAML_FIELD_STRING_PTR("cpu_test", ABSENT_NULL, YTarget, cpu_test, 0, 4096),
    CYAML_FIELD_INT("word_bits", CYAML_FLAG_OPTIONAL, YTarget, word_bits),
    CYAML_FIELD_FLOAT_PTR("mac_energy", ABSENT_NULL, YTarget, mac_energy),
    CYAML_FIELD_FLOAT_PTR("area_per_pe", ABSENT_NULL, YTarget, area_per_pe),
    CYAML_FIELD_MAPPING_PTR("vector", ABSENT_NULL, YTarget, vector, vector_fields),
    CYAML_FIELD_SEQUENCE("levels", NEEDED, YTarget, levels, &level_entry, 1, QN_MAX_LEVELS),
    CYAML_FIELD_SEQUENCE("instructions", ABSENT_NULL, YTarget, instructions, &instr_entry, 0, 1000),
    CYAML_FIELD_END};
static const cyaml_schema_value_t target_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, YTarget, target_fields)};

/* ---- libcyaml's messages */
typedef struct Log {
    char first[400]; /* the message that matters */
    long line;       /* of the innermost backtrace entry, or of libyaml's own message; 0: none */
} Log;
static void on_log(cyaml_log_t level, void *user, const char *fmt, va_list args) {
    Log *l = user;
    char text[400];
    if (level < CYAML_LOG_ERROR) return;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = 0;
    const char *at = strstr(text, "line: ");
    if (at && !l->line) l->line = strtol(at + 6, NULL, 10);
    if (!l->first[0]) snprintf(l->first, sizeof l->first, "%s", strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
}

/* Finds the next `name: VALUE` at or after *at, for errors that show only after parsing, and moves *at behind it. Returns its
 * line; 0 if it is not there in so many words. */
static int line_of(const char *text, size_t bytes, const char *value, size_t *at) {
    size_t n = strlen(value);
    int line = 1;
    for (size_t i = 0; i + 5 + n < bytes; i++) {
        line += text[i] == '\n';
        if (i < *at || memcmp(text + i, "name:", 5) != 0) continue;
        size_t k = i + 5;
        while (k < bytes && text[k] && strchr(" \"'", text[k])) k++;
        if (k + n >= bytes || memcmp(text + k, value, n) != 0 || !strchr(" \"'\n\r,}#", text[k + n])) continue;
        *at = k + n;
        return line;
    }
    return 0;
}

/* ---- to a Target */
static double or_else(const double *x, double otherwise) { return x ? *x : otherwise; }
static char *copy(Arena *a, const char *s) { return s && *s ? arena_strdup(a, s) : NULL; }

static bool level_fill(Diags *d, const char *file, int line, const YTarget *y, const YLevel *l, TargetLevel *out) {
    Loc loc = {file, line ? line : -1, NULL, NULL};
    int64_t bits = l->word_bits ? l->word_bits : y->word_bits ? y->word_bits : 32;
    out->name = copy(d->a, l->name);
    out->line = line;
    out->kind = l->kind;
    out->word_bits = bits > 0 && bits <= 512 ? (int)bits : 0; /* target_check refuses 0 */
    out->keeps = l->keeps ? l->keeps : ROLE_ALL;
    out->fan_x = l->fan_out && l->fan_out->x ? l->fan_out->x : 1;
    out->fan_y = l->fan_out && l->fan_out->y ? l->fan_out->y : 1;
    out->read_energy = or_else(l->read_energy, or_else(l->energy, 0));
    out->write_energy = or_else(l->write_energy, or_else(l->energy, 0));
    out->read_bw = or_else(l->read_bandwidth, 0);
    out->write_bw = or_else(l->write_bandwidth, 0);
    out->area_per_word = or_else(l->area_per_word, 0);
    out->words = l->words;
    if (l->words && l->bytes) return diag_error(d, loc, "level %s has both `words` and `bytes`; give one", l->name);
    if (l->words < 0 || l->bytes < 0 || l->words > (int64_t)1 << 50 || l->bytes > (int64_t)1 << 50)
        return diag_error(d, loc, "the size of level %s is out of range; expected 1 to 2^50", l->name);
    if (l->bytes && out->word_bits) out->words = l->bytes * 8 / out->word_bits;
    return true;
}
static bool instr_fill(Diags *d, const char *file, int line, const YInstr *r, TargetInstr *out) {
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
    Loc loc = {file, line_of(text, bytes, y->name, &at), NULL, NULL};
    t->name = copy(d->a, y->name), t->about = copy(d->a, y->about);
    t->cflags = copy(d->a, y->cflags), t->attribute = copy(d->a, y->attribute), t->cpu_test = copy(d->a, y->cpu_test),
    t->include = copy(d->a, y->include);
    t->mac_energy = or_else(y->mac_energy, 1), t->area_per_pe = or_else(y->area_per_pe, 0);
    if (y->vector && (y->vector->bits < 0 || y->vector->bits > 1 << 16 || y->vector->registers < 0 || y->vector->registers > 1024))
        diag_error(d, loc, "vector: %lld bits and %lld registers; expected up to 65536 and 1024", (long long)y->vector->bits,
                   (long long)y->vector->registers);
    else if (y->vector) t->vector_bits = y->vector->bits, t->vector_regs = (int)y->vector->registers;
    t->nlevel = (int)y->levels_count;
    at = 0;
    for (int i = 0; i < t->nlevel; i++) level_fill(d, file, line_of(text, bytes, y->levels[i].name, &at), y, &y->levels[i], &t->level[i]);
    TargetInstr *rows = NEW_ARRAY(d->a, TargetInstr, y->instructions_count + 1);
    t->instr = rows, t->ninstr = (int)y->instructions_count;
    for (int i = 0; i < t->ninstr; i++)
        instr_fill(d, file, line_of(text, bytes, y->instructions[i].name, &at), &y->instructions[i], &rows[i]);
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
    Loc loc = {file, log.line ? log.line : -1, NULL, NULL};
    if (err != CYAML_OK || !y) {
        diag_error(c->d, loc, "%s; expected a target file", log.first[0] ? log.first : cyaml_strerror(err));
        return NULL;
    }
    Target *t = target_fill(c->d, file, text, bytes, y);
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
