/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: runs every Check suite of suites.def, or those named as arguments. The one place that sets time-outs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.def"
#undef SUITE
static const struct {
    const char *name;
    Suite *(*make)(void);
} suites[] = {
#define SUITE(name) {#name, name##_suite},
#include "suites.def"
#undef SUITE
};

int main(int argc, char **argv) {
    int failed = 0, run = 0;
    setenv("QUERN_CACHE", "off", 1);        /* searches are searched */
    setenv("CK_DEFAULT_TIMEOUT", "120", 0); /* seconds per test; sanitizer builds are slower */
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        int wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted |= strcmp(argv[k], suites[i].name) == 0;
        if (!wanted) continue;
        SRunner *r = srunner_create(suites[i].make());
        srunner_run_all(r, CK_ENV);
        failed += srunner_ntests_failed(r);
        run += srunner_ntests_run(r);
        srunner_free(r);
    }
    printf("unit: %d passed, %d failed\n", run - failed, failed);
    return failed || !run;
}
