/* SPDX-License-Identifier: Apache-2.0 */
/* limited.c: runs a command and fails if it takes longer or more memory than allowed, or dies of a signal.
 *
 *   limited SECONDS MIB COMMAND ...   exit status: the command's; 90 too slow, 91 too large, 92 signal
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct rusage u;
    struct timespec a, b;
    int status;
    if (argc < 4) return 2;
    double limit = atof(argv[1]);
    clock_gettime(CLOCK_MONOTONIC, &a);
    pid_t pid = fork();
    if (pid == 0) {
        alarm((unsigned)limit * 4 + 4);
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &u) < 0) return 2;
    clock_gettime(CLOCK_MONOTONIC, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec), mib = (double)u.ru_maxrss / 1024;
    if (WIFSIGNALED(status)) return fprintf(stderr, "died of signal %d after %.2f s\n", WTERMSIG(status), s), 92;
    if (s > limit) return fprintf(stderr, "took %.2f s, %.2f s are allowed\n", s, limit), 90;
    if (mib > atof(argv[2])) return fprintf(stderr, "took %.0f MiB, %s MiB are allowed\n", mib, argv[2]), 91;
    return WEXITSTATUS(status);
}
