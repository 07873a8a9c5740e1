/* SPDX-License-Identifier: Apache-2.0 */
/* ranks.c: runs of quern that mpirun started together. Without mpirun, or in a build without MPI, there is one.
 *   ranks_find  ->  {rank 2 of 4, gather}; the module is libquern_mpi.so beside the binary or in ../lib */
#define _GNU_SOURCE
#include "cli.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *module;
static void *load(void) {
    static const char *const beside[] = {"", "../lib/", "../lib/x86_64-linux-gnu/", "../lib/aarch64-linux-gnu/"};
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    if (n <= 0) return NULL;
    path[n] = 0;
    char *name = strrchr(path, '/') + 1;
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        snprintf(name, 64, "%slibquern_mpi.so", beside[i]);
        void *m = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (m) return m;
    }
    return NULL;
}
static void close_ranks(void) {
    void (*done)(void);
    *(void **)&done = dlsym(module, "ranks_close");
    if (done) done();
}
bool ranks_find(Ctx *c, Ranks *r) {
    static const char *const size_of[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    *r = (Ranks){0, 1, NULL};
    int n = 1;
    for (size_t i = 0; i < sizeof size_of / sizeof *size_of; i++)
        if (getenv(size_of[i])) n = atoi(getenv(size_of[i]));
    if (n < 2) return true;
    int (*open)(int *, int *);
    module = load();
    if (!module) return diag_error(c->d, NO_LOC, "started as one of %d by mpirun, but libquern_mpi.so is not there; build with MPI", n);
    *(void **)&open = dlsym(module, "ranks_open");
    *(void **)&r->gather = dlsym(module, "ranks_gather");
    if (!open || !r->gather || !open(&r->rank, &r->ranks)) return diag_error(c->d, NO_LOC, "MPI does not start");
    atexit(close_ranks);
    return true;
}
