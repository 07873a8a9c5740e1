/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: runs every Check suite of suites.def, or those named as arguments, on all processors: each worker process takes the next suite
 * and prints what it says when it is done. The one place that sets time-outs.
 *
 *   unit_tests sched text   --->   100%: Checks: 31, Failures: 0, Errors: 0 … unit: 52 passed, 0 failed
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
enum { SUITES = sizeof suites / sizeof *suites };

typedef struct Pipe {
    int from, to;
} Pipe;
typedef struct Count {
    int run, failed;
} Count;

static Pipe pipe_new(void) {
    int fd[2];
    if (pipe(fd)) abort();
    return (Pipe){fd[0], fd[1]};
}
static void put(int fd, const void *data, size_t n) {
    for (const char *s = data; n;) {
        ssize_t k = write(fd, s, n);
        if (k <= 0) abort();
        s += k, n -= (size_t)k;
    }
}
/* What the suites of one worker print goes to a file; `turn` holds one byte, which whoever prints takes out. */
static void work(int todo, int out, Pipe turn, int result) {
    FILE *file = tmpfile();
    unsigned char which, token;
    if (!file || dup2(fileno(file), 1) < 0) abort();
    while (read(todo, &which, 1) == 1) {
        SRunner *r = srunner_create(suites[which].make());
        srunner_run_all(r, CK_ENV);
        Count c = {srunner_ntests_run(r), srunner_ntests_failed(r)};
        srunner_free(r);
        fflush(stdout);
        static char text[1 << 20];
        ssize_t n = pread(1, text, sizeof text, 0);
        if (n < 0 || ftruncate(1, 0) || lseek(1, 0, SEEK_SET) || read(turn.from, &token, 1) != 1) abort();
        put(out, text, (size_t)n);
        put(turn.to, &token, 1);
        put(result, &c, sizeof c);
    }
}

int main(int argc, char **argv) {
    Pipe todo = pipe_new(), turn = pipe_new(), result = pipe_new();
    Count all = {0}, c;
    setenv("QUERN_CACHE", "off", 1);        /* searches are searched */
    setenv("CK_DEFAULT_TIMEOUT", "120", 0); /* seconds per test; sanitizer builds are slower */
    for (unsigned char i = 0; i < SUITES; i++) {
        int wanted = argc < 2;
        for (int k = 1; k < argc; k++) wanted |= strcmp(argv[k], suites[i].name) == 0;
        if (wanted) put(todo.to, &i, 1);
    }
    close(todo.to);
    put(turn.to, "", 1);
    long workers = sysconf(_SC_NPROCESSORS_ONLN);
    for (long i = 0; i < workers; i++) switch (fork()) {
        case -1: abort();
        case 0: work(todo.from, dup(1), turn, result.to); exit(0);
        }
    close(todo.from), close(result.to);
    while (read(result.from, &c, sizeof c) == (ssize_t)sizeof c) all.run += c.run, all.failed += c.failed;
    for (int status; wait(&status) > 0;) all.failed += status != 0, all.run += status != 0;
    printf("unit: %d passed, %d failed\n", all.run - all.failed, all.failed);
    return all.failed || !all.run;
}
