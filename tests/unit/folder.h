/* SPDX-License-Identifier: Apache-2.0 */
/* folder.h: a new folder for a test, in $TMPDIR if that is set; the test fails if there can be none. remove_dir (cli/cli.h) removes it. */
#ifndef QN_TESTS_FOLDER_H
#define QN_TESTS_FOLDER_H
#include <stddef.h>

void test_folder(char *path, size_t cap);
#endif
