/* SPDX-License-Identifier: Apache-2.0 */
/* target_numbers.c: libcyaml takes the number that a value begins with (4 of `4.5`, 12 of `12abc`, 8 of `010`), so the numbers of a target
 * file are looked at once more, in its text: INT fields are decimal digits, FLOAT fields are read to their end.
 *   words: 4.5   ->   file.yaml:3:12: error: words: found '4.5', expected a whole number */
#include "target_yaml.h"
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static const struct {
    const char *kind, *key;
} fields[] = {
#define ROW(kind, key, must, otherwise, doc) {#kind, #key},
#define TARGET_FIELD                         ROW
#define LEVEL_FIELD                          ROW
#define FAN_FIELD                            ROW
#define NETWORK_FIELD                        ROW
#define PARTITION_FIELD                      ROW
#define SPARSITY_FIELD                       ROW
#define COMPUTE_FIELD                        ROW
#define VECTOR_FIELD                         ROW
#define INSTR_FIELD                          ROW
#include "target_schema.def"
};
/* `I` is a list of operands' word and a part's number: what is a list is none of ours. */
static const char *expected(const char *key, const char *value) {
    const char *digits = value + (*value == '-');
    char *end;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(fields[i].key, key) != 0) continue;
        if (strcmp(fields[i].kind, "INT") == 0)
            return !*digits || digits[strspn(digits, "0123456789")] || (*digits == '0' && digits[1]) ? "a whole number" : NULL;
        if (strcmp(fields[i].kind, "FLOAT") == 0) return strtod(value, &end), end == value || *end ? "a number" : NULL;
        return NULL;
    }
    return NULL;
}
bool target_numbers(Ctx *c, const char *file, const char *text, size_t bytes) {
    enum { MAX_DEPTH = 64 };
    struct {
        bool map;
        char *key; /* whose value comes next */
    } in[MAX_DEPTH] = {{false, NULL}};
    yaml_parser_t p;
    yaml_event_t e;
    bool ok = true, done = false;
    int depth = 0;
    if (!yaml_parser_initialize(&p)) BUG("libyaml does not start");
    yaml_parser_set_input_string(&p, (const unsigned char *)text, bytes);
    while (!done && depth < MAX_DEPTH - 1 && yaml_parser_parse(&p, &e)) {
        char **key = &in[depth].key;
        done = e.type == YAML_STREAM_END_EVENT;
        if (e.type == YAML_ALIAS_EVENT) *key = NULL;
        else if (e.type == YAML_SCALAR_EVENT && in[depth].map && !*key) *key = arena_strdup(c->a, (const char *)e.data.scalar.value);
        else if (e.type == YAML_SCALAR_EVENT) {
            const char *value = (const char *)e.data.scalar.value, *want = *key ? expected(*key, value) : NULL;
            if (want)
                ok = diag_error(c->d, (Loc){file, loc_place((int64_t)e.start_mark.line + 1, (int64_t)e.start_mark.column + 1), NULL, NULL},
                                "%s: found '%.60s', expected %s", *key, value, want);
            *key = NULL;
        } else if (e.type == YAML_MAPPING_START_EVENT || e.type == YAML_SEQUENCE_START_EVENT) {
            *key = NULL;
            in[++depth].map = e.type == YAML_MAPPING_START_EVENT, in[depth].key = NULL;
        } else if ((e.type == YAML_MAPPING_END_EVENT || e.type == YAML_SEQUENCE_END_EVENT) && depth) depth--;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&p);
    return ok;
}
