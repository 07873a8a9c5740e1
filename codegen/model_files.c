/* SPDX-License-Identifier: Apache-2.0 */
/* model_files.c: the files of one emitted model appear together or not at all. Each is written under a temporary name in the same
 * folder; when all are complete they are renamed. What is left over after an error or an interrupt is removed.
 *
 *   out/.net.c.417.tmp, out/.net.h.417.tmp  --->  out/net.c, out/net.h
 */
#define _POSIX_C_SOURCE 200809L
#include "model.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A signal handler has no other way to learn the names: the one variable of the compiler that is not const. */
enum { MAX_TEMPS = 16 };
static const char *volatile temp_path[MAX_TEMPS];

void emit_cleanup_temps(void) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (temp_path[i]) unlink(temp_path[i]);
}
static void remember(const char *path) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (!temp_path[i]) {
            temp_path[i] = path;
            return;
        }
}
static void forget(const char *path) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (temp_path[i] == path) temp_path[i] = NULL;
}

static bool file_error(OutSet *s, const char *path, const char *what) {
    return diag_error(s->c->d, (Loc){path, -1, NULL, NULL}, "%s: %s; choose a folder that can be written with -o", what, strerror(errno));
}
/* The folder and its parents. */
static bool make_dirs(OutSet *s) {
    char *path = arena_strdup(s->c->a, s->dir);
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/') continue;
        char c = *p;
        *p = 0;
        if (mkdir(path, 0777) == 0) s->made_dir = c == 0 || p[1] == 0;
        else if (errno != EEXIST && errno != EISDIR) return file_error(s, path, "cannot create the folder");
        if (!c) break;
        *p = c;
    }
    struct stat st;
    if (stat(s->dir, &st) != 0) return file_error(s, s->dir, "cannot open the folder");
    if (!S_ISDIR(st.st_mode)) return diag_error(s->c->d, (Loc){s->dir, -1, NULL, NULL}, "is not a folder; choose another with -o");
    return true;
}
bool out_begin(OutSet *s, Ctx *c, const char *dir) {
    *s = (OutSet){.c = c, .dir = *dir ? dir : "."};
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write, not a death */
    return make_dirs(s);
}
bool out_open(OutSet *s, const char *name) {
    OutFile f = {.name = name, .fd = -1};
    struct stat st;
    f.path = arena_printf(s->c->a, "%s/%s", s->dir, name);
    if (lstat(f.path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return file_error(s, f.path, "cannot replace it");
    }
    for (int n = 0; f.fd < 0 && n < 100; n++) {
        f.temp = arena_printf(s->c->a, "%s/.%s.%ld.%d.tmp", s->dir, name, (long)getpid(), n);
        remember(f.temp);
        f.fd = open(f.temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f.fd >= 0) break;
        forget(f.temp);
        if (errno != EEXIST) break;
    }
    if (f.fd < 0) return file_error(s, f.path, "cannot create it");
    vec_push(s->c->a, &s->f, f);
    return true;
}
bool out_put(void *set, const void *data, size_t n) {
    OutSet *s = set;
    const OutFile *f = &s->f.v[s->f.n - 1];
    for (const char *p = data; n;) {
        ssize_t k = write(f->fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return file_error(s, f->path, "cannot write it");
        p += k, n -= (size_t)k;
    }
    return true;
}
static bool out_close(OutSet *s) {
    OutFile *f = &s->f.v[s->f.n - 1];
    int fd = f->fd;
    f->fd = -1;
    return close(fd) == 0 || file_error(s, f->path, "cannot write it");
}
bool out_text(OutSet *s, const char *name, Text *t) {
    bool ok = out_open(s, name) && out_put(s, t->s ? t->s : "", t->n) && out_close(s);
    text_free(t);
    return ok;
}
bool out_commit(OutSet *s) {
    for (int i = 0; i < s->f.n; i++) {
        OutFile *f = &s->f.v[i];
        if (f->fd >= 0 && close(f->fd) != 0) return file_error(s, f->path, "cannot write it");
        f->fd = -1;
    }
    for (int i = 0; i < s->f.n; i++) {
        OutFile *f = &s->f.v[i];
        if (rename(f->temp, f->path) != 0) return file_error(s, f->path, "cannot replace it");
        forget(f->temp);
        f->temp = NULL;
    }
    return true;
}
bool out_fail(OutSet *s) {
    for (int i = 0; i < s->f.n; i++) {
        OutFile *f = &s->f.v[i];
        if (f->fd >= 0) close(f->fd);
        if (!f->temp) continue;
        unlink(f->temp);
        forget(f->temp);
    }
    if (s->made_dir) rmdir(s->dir);
    return false;
}
void out_forget(OutSet *s, const char *name) { unlink(arena_printf(s->c->a, "%s/%s", s->dir, name)); }
