/* SPDX-License-Identifier: Apache-2.0 */
/* target_yaml.h: target files (YAML) -> Target. The files of codegen/targets are carried in the binary by name. */
#ifndef QN_TARGET_YAML_H
#define QN_TARGET_YAML_H
#include "ir/target.h"

/* The text of a target file. NULL after errors that name file and line. Nothing of `text` is kept. */
Target *target_parse(Ctx *c, const char *file, const char *text, size_t bytes);
bool target_numbers(Ctx *c, const char *file, const char *text, size_t bytes); /* target_numbers.c: its numbers are whole words */
/* A target by the name of a built-in one ("x86_avx512"), else the file of that name. */
Target *target_load(Ctx *c, const char *name_or_file);
/* The i-th built-in name, in alphabetical order; NULL past the last. */
const char *target_builtin(Arena *a, int i);
/* What is built in, a line each; all fields of a target file and the built-in ones as docs/target-file.md. */
void targets_list(Ctx *c, Text *out);
void targets_markdown(Ctx *c, Text *out);
#endif
