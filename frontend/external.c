/* SPDX-License-Identifier: Apache-2.0 */
/* external.c: tensor data in files beside the model. A hostile model must not reach any other file: paths stay beneath the
 * model's folder, no link is followed, only regular files with one name are read, ranges are checked and may not overlap.
 *
 *   location "w.bin", offset 64, length 4096   ->   4096 bytes of w.bin
 *   location "../secret"                       ->   error: ... leaves the model's folder
 */
#define _GNU_SOURCE
#include <string.h>
#include "frontend/import.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__linux__) && defined(__has_include)
#if __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif
#endif

typedef struct ExtFile {
    const char *location;
    int64_t size, read; /* read: sum of the distinct ranges so far */
} ExtFile;
struct External {
    int dir; /* -1: not opened yet */
    int fd;  /* of `open`, the file used last */
    ExtFile *open;
    Map *file;  /* location -> ExtFile */
    Map *range; /* "location\noffset\nlength\ntype" -> data: equal ranges are read once */
};

static External *external_of(Importer *im) {
    if (im->external) return im->external;
    External *e = im->external = NEW(im->tmp, External);
    e->dir = e->fd = -1;
    e->file = map_new(im->tmp);
    e->range = map_new(im->tmp);
    return e;
}
void external_close(Importer *im) {
    External *e = im->external;
    if (!e) return;
    if (e->fd >= 0) close(e->fd);
    if (e->dir >= 0) close(e->dir);
    im->external = NULL;
}

typedef struct Want {
    Importer *im;
    const char *what;
    Loc loc;
    const char *location;
    int64_t offset, length; /* length -1: not given */
} Want;
#define WANT_ERROR(w, ...) diag_error((w)->im->c->d, (w)->loc, __VA_ARGS__)

/* Decimal digits only: no sign, blanks, hexadecimal or overflow. */
static bool parse_number(const char *s, int64_t *v) {
    *v = 0;
    if (!*s) return false;
    for (; *s; s++)
        if (*s < '0' || *s > '9' || !mul_ok(*v, 10, v) || !add_ok(*v, *s - '0', v)) return false;
    return true;
}
static bool want_parse(Want *w, const Onnx__TensorProto *p) {
    w->length = -1;
    for (size_t i = 0; i < p->n_external_data; i++) {
        const char *key = pb_str(p->external_data[i]->key), *value = pb_str(p->external_data[i]->value);
        if (strcmp(key, "location") == 0) {
            if (w->location) return WANT_ERROR(w, "%s: external data give 'location' twice", w->what);
            w->location = value;
        }
        int64_t *number = strcmp(key, "offset") == 0 ? &w->offset : strcmp(key, "length") == 0 ? &w->length : NULL;
        if (number && !parse_number(value, number))
            return WANT_ERROR(w, "%s: external data: %s '%s' is not a decimal number from 0 to 2^63-1", w->what, key, value);
    }
    if (!w->location || !*w->location) return WANT_ERROR(w, "%s: external data have no 'location'", w->what);
    return true;
}
static bool location_ok(Want *w) {
    const char *s = w->location;
    if (*s == '/' || strchr(s, '\\') || (s[0] && s[1] == ':'))
        return WANT_ERROR(w, "%s: external data '%s' are not at a path relative to the model's folder", w->what, s);
    for (const char *part = s; part;) {
        const char *slash = strchr(part, '/');
        size_t n = slash ? (size_t)(slash - part) : strlen(part);
        if (n == 2 && memcmp(part, "..", 2) == 0) return WANT_ERROR(w, "%s: external data '%s' leave the model's folder", w->what, s);
        if (n == 0) return WANT_ERROR(w, "%s: external data '%s': the path has an empty part", w->what, s);
        part = slash ? slash + 1 : NULL;
    }
    return true;
}

/* One component at a time, none of which may be a link. */
static int open_by_parts(int dir, const char *path) {
    char part[256];
    int at = dup(dir);
    while (at >= 0) {
        const char *slash = strchr(path, '/');
        size_t n = slash ? (size_t)(slash - path) : strlen(path);
        if (n >= sizeof part) {
            close(at);
            return errno = ENAMETOOLONG, -1;
        }
        memcpy(part, path, n);
        part[n] = 0;
        int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | (slash ? O_DIRECTORY : 0);
        int next = openat(at, part, flags);
        int saved = errno;
        close(at);
        errno = saved;
        if (!slash || next < 0) return next;
        at = next, path = slash + 1;
    }
    return -1;
}
static int open_beneath(int dir, const char *path) {
#if defined(SYS_openat2) && defined(RESOLVE_BENEATH)
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)fd;
#endif
    return open_by_parts(dir, path);
}

static bool file_open(Want *w, External *e) {
    Importer *im = w->im;
    ExtFile *f = map_get(e->file, w->location);
    if (f && e->open == f) return true;
    if (e->dir < 0) e->dir = open(im->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (e->dir < 0) return WANT_ERROR(w, "%s: the model's folder '%s' cannot be opened: %s", w->what, im->dir, strerror(errno));
    if (e->fd >= 0) close(e->fd);
    e->open = NULL;
    e->fd = open_beneath(e->dir, w->location);
    if (e->fd < 0) {
        bool link = errno == ELOOP || errno == EXDEV;
        return WANT_ERROR(w, "%s: external data '%s' cannot be opened: %s", w->what, w->location,
                          link ? "a symbolic link is on the way; copy the file instead" : strerror(errno));
    }
    struct stat st;
    if (fstat(e->fd, &st) != 0) return WANT_ERROR(w, "%s: external data '%s': %s", w->what, w->location, strerror(errno));
    if (!S_ISREG(st.st_mode)) return WANT_ERROR(w, "%s: external data '%s' are not a regular file", w->what, w->location);
    if (st.st_nlink != 1)
        return WANT_ERROR(w, "%s: external data '%s' have %lld hard links; only a file with one name is read, copy it", w->what,
                          w->location, (long long)st.st_nlink);
    if (!f) {
        f = NEW(im->tmp, ExtFile);
        f->location = w->location;
        map_set(e->file, w->location, f);
    }
    f->size = st.st_size;
    e->open = f;
    return true;
}

static bool read_at(int fd, char *to, int64_t n, int64_t at) {
    while (n > 0) {
        ssize_t r = pread(fd, to, (size_t)min_i64(n, 1 << 30), at);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return false;
        to += r, n -= r, at += r;
    }
    return true;
}

bool external_read(Importer *im, const Onnx__TensorProto *p, const char *what, Loc loc, int64_t bytes, void **data) {
    Want w = {.im = im, .what = what, .loc = loc};
    if (!want_parse(&w, p)) return false;
    if (!im->dir)
        return diag_error(im->c->d, loc, "%s has external data ('%s'), which cannot be read here; put the data into the model", what,
                          w.location);
    if (!location_ok(&w)) return false;
    if (w.length < 0) w.length = bytes;
    if (w.length != bytes)
        return WANT_ERROR(&w, "%s: external data have length %lld, but the shape and element type want %lld bytes", what,
                          (long long)w.length, (long long)bytes);
    External *e = external_of(im);
    char *key = arena_printf(im->tmp, "%s\n%lld\n%lld\n%d", w.location, (long long)w.offset, (long long)w.length, (int)p->data_type);
    *data = map_get(e->range, key);
    if (*data) return true;
    if (!file_open(&w, e)) return false;
    int64_t end;
    if (!add_ok(w.offset, w.length, &end) || end > e->open->size)
        return WANT_ERROR(&w, "%s: external data '%s': bytes %lld to %lld+%lld are past the end of the file (%lld bytes)", what, w.location,
                          (long long)w.offset, (long long)w.offset, (long long)w.length, (long long)e->open->size);
    e->open->read += w.length;
    if (e->open->read > e->open->size) return WANT_ERROR(&w, "%s: external data '%s': the tensors' ranges overlap", what, w.location);
    *data = arena_alloc(im->c->a, (size_t)bytes);
    if (!read_at(e->fd, *data, bytes, w.offset)) return WANT_ERROR(&w, "%s: external data '%s' cannot be read whole", what, w.location);
    map_set(e->range, key, *data);
    return true;
}
