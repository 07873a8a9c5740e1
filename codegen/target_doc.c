/* SPDX-License-Identifier: Apache-2.0 */
/* target_doc.c: docs/target-file.md, from the rows of target_schema.def and the built-in targets.
 *   INT bytes "size of one instance"  ->  | `bytes` | whole number | | size of one instance … | */
#include "target_yaml.h"
#include <string.h>

typedef struct Row {
    const char *kind, *key;
    int must;
    const char *otherwise, *doc;
} Row;
#define ROW(kind, key, must, otherwise, doc) {#kind, #key, must, otherwise, doc},
static const Row target_rows[] = {
#define TARGET_FIELD ROW
#include "target_schema.def"
};
static const Row level_rows[] = {
#define LEVEL_FIELD ROW
#include "target_schema.def"
};
static const Row fan_rows[] = {
#define FAN_FIELD ROW
#include "target_schema.def"
};
static const Row network_rows[] = {
#define NETWORK_FIELD ROW
#include "target_schema.def"
};
static const Row partition_rows[] = {
#define PARTITION_FIELD ROW
#include "target_schema.def"
};
static const Row compute_rows[] = {
#define COMPUTE_FIELD ROW
#include "target_schema.def"
};
static const Row sparsity_rows[] = {
#define SPARSITY_FIELD ROW
#include "target_schema.def"
};
static const Row vector_rows[] = {
#define VECTOR_FIELD ROW
#include "target_schema.def"
};
static const Row instr_rows[] = {
#define INSTR_FIELD ROW
#include "target_schema.def"
};
static const struct {
    const char *title;
    const Row *row;
    size_t n;
} sections[] = {
#define SECTION(title, rows)                                                                                                               \
    { title, rows, sizeof rows / sizeof *rows }
    SECTION("The file", target_rows),
    SECTION("`levels`: a list, outermost first; of each", level_rows),
    SECTION("`fan_out` of a level", fan_rows),
    SECTION("`network` of a level, between it and the units below", network_rows),
    SECTION("`partition` of a level", partition_rows),
    SECTION("`compute`: a list; of each", compute_rows),
    SECTION("`sparsity`", sparsity_rows),
    SECTION("`vector`", vector_rows),
    SECTION("`instructions`: a list; of each", instr_rows),
};
static const char *type_of(const char *kind) {
    static const struct {
        const char *kind, *type;
    } of[] = {{"NAME", "text"},    {"LINE", "text"},          {"TEXT", "text"}, {"INT", "whole number"},
              {"FLOAT", "number"}, {"BOOL", "true or false"}, {"KIND", "word"}, {"ROLES", "list of W, I, O"}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (strcmp(of[i].kind, kind) == 0) return of[i].type;
    return strncmp(kind, "LIST", 4) == 0 ? "list, see below" : "fields, see below";
}
static const char intro[] =
    "# Target files\n\n"
    "<!-- Printed by `quern targets --markdown` from codegen/target_schema.def and codegen/targets. -->\n\n"
    "A target file describes a machine: its memories from the outermost in, the units spread below them, and for machines that code is\n"
    "emitted for, its instructions. A CPU is described like an accelerator: cores are the outermost fan-out, vector registers the "
    "innermost\n"
    "memory, lanes the fan-out below them. `--target FILE.yaml` reads one; the files that are built in are good examples.\n\n"
    "```yaml\n"
    "name: tiny                    # 8 x 8 PEs with 64 words each behind a buffer\n"
    "word_bits: 16\n"
    "levels:\n"
    "  - {name: DRAM, kind: dram, energy: 200, read_bandwidth: 4}\n"
    "  - {name: Buf, kind: pad, words: 16384, fan_out: {x: 8, y: 8}, network: {energy: 2}, energy: 6}\n"
    "  - {name: RF, kind: regs, words: 64, energy: 1}\n"
    "```\n\n"
    "Unknown keys, YAML aliases, missing or negative sizes and levels that refer to each other in a circle are errors, each with file, "
    "line\n"
    "and column. Energies, areas and words per cycle may be in any unit, as long as it is one.\n";

void targets_list(Ctx *c, Text *out) {
    for (int i = 0; target_builtin(c->a, i); i++) {
        const Target *t = target_load(c, target_builtin(c->a, i));
        if (t) text_printf(out, "%-18s %s\n", t->name, t->about ? t->about : "");
    }
}
void targets_markdown(Ctx *c, Text *out) {
    text_puts(out, intro);
    for (size_t s = 0; s < sizeof sections / sizeof *sections; s++) {
        text_printf(out, "\n## %s\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n", sections[s].title);
        for (size_t i = 0; i < sections[s].n; i++) {
            const Row *r = &sections[s].row[i];
            text_printf(out, "| `%s` | %s | %s | %s |\n", r->key, type_of(r->kind),
                        r->must         ? "needed"
                        : *r->otherwise ? r->otherwise
                                        : "none",
                        r->doc);
        }
    }
    text_puts(out, "\n## Built-in targets\n\n| name | levels, outermost first | units | about |\n| --- | --- | --- | --- |\n");
    for (int i = 0; target_builtin(c->a, i); i++) {
        const Target *t = target_load(c, target_builtin(c->a, i));
        if (!t) continue;
        text_printf(out, "| `%s` | ", t->name);
        for (int l = 0; l < t->nlevel; l++) text_printf(out, "%s%s", l ? ", " : "", t->level[l].name);
        text_printf(out, " | %lld | %s |\n", (long long)target_instances(t, t->nlevel), t->about ? t->about : "");
    }
}
