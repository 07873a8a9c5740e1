/* SPDX-License-Identifier: Apache-2.0 */
/* folder.c: see folder.h. */
#include "folder.h"
#include "cli/cli.h"
#include <check.h>
#include <stdio.h>

void test_folder(char *path, size_t cap) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    const char *dir = temp_dir(&(Ctx){a, &d});
    ck_assert_msg(dir != NULL, "no temporary folder: is $TMPDIR one that can be written?");
    ck_assert_msg(snprintf(path, cap, "%s", dir) < (int)cap, "the path of $TMPDIR is too long for this test: %s", dir);
    arena_free(a);
}
