/* SPDX-License-Identifier: Apache-2.0 */
/* file.c: reading and writing whole files. A written file appears complete or not at all.
 *
 *   file_write_whole(c, "out/m.c", text, n)   // writes out/m.c.tmpXXXXXX, then renames
 */
#define _GNU_SOURCE
#include "base.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool file_failed(Ctx *c, const char *what, const char *path) {
    Loc l = {path, -1, NULL, NULL};
    return diag_error(c->d, l, "cannot %s: %s", what, strerror(errno));
}

bool file_write_whole(Ctx *c, const char *path, const void *data, size_t bytes) {
    char *tmp = arena_printf(c->a, "%s.tmpXXXXXX", path);
    int fd = mkstemp(tmp);
    if (fd < 0) return file_failed(c, "create", path);
    const char *p = data;
    size_t left = bytes;
    while (left) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            file_failed(c, "write", path);
            close(fd), unlink(tmp);
            return false;
        }
        p += n, left -= (size_t)n;
    }
    fchmod(fd, 0644);
    if (close(fd) != 0 || rename(tmp, path) != 0) {
        file_failed(c, "write", path);
        unlink(tmp);
        return false;
    }
    return true;
}

void *file_read_whole(Ctx *c, const char *path, size_t limit, size_t *bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0) {
        file_failed(c, "open", path);
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        diag_error(c->d, (Loc){path, -1, NULL, NULL}, "is not a regular file; give the path of a file");
        close(fd);
        return NULL;
    }
    if ((uint64_t)st.st_size > limit) {
        diag_error(c->d, (Loc){path, -1, NULL, NULL}, "has %lld bytes, at most %zu are read", (long long)st.st_size, limit);
        close(fd);
        return NULL;
    }
    size_t n = (size_t)st.st_size, got = 0;
    char *buf = arena_alloc(c->a, n + 1);
    while (got < n) {
        ssize_t r = read(fd, buf + got, n - got);
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) {
            file_failed(c, "read", path);
            close(fd);
            return NULL;
        }
        if (r == 0) break; /* shortened while we read */
        got += (size_t)r;
    }
    close(fd);
    *bytes = got;
    return buf;
}
