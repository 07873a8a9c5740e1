/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c: runs one shell command and prints its wall time and the largest resident set of any process in it.
 *
 *   measure 'quern compile m.onnx -o out && cc -O3 -Iout -c out/m.c'   ->   2.31 s, 213 MiB
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

int main(int argc, char **argv) {
    struct timespec a, b;
    struct rusage u;
    if (argc != 2) return fprintf(stderr, "usage: measure 'COMMAND'\n"), 2;
    clock_gettime(CLOCK_MONOTONIC, &a);
    int status = system(argv[1]);
    clock_gettime(CLOCK_MONOTONIC, &b);
    getrusage(RUSAGE_CHILDREN, &u);
    printf("%.2f s, %.2f MiB\n", (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec), (double)u.ru_maxrss / 1024);
    return status != 0;
}
