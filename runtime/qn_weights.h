/* SPDX-License-Identifier: 0BSD */
/* qn_weights.h: large weights in huge pages, on Linux. Weights that stand in the program's file are mapped in small pages, and a walk
 * through many megabytes of them misses the TLB all the time. The first call copies them into a region of its own; source pages are
 * dropped as they are copied, so that the process never holds them twice. Whatever fails, the weights stay where they are.
 *
 *   w = qn_image_get(&state->image, &net_weights, sizeof net_weights);   …   qn_image_end(&state->image);
 *
 * QN_NO_IMAGE: nothing is copied. */
#ifndef QN_WEIGHTS_H
#define QN_WEIGHTS_H
#include <stddef.h>
#include <stdint.h>

#if defined(QN_NO_IMAGE) || !defined(__linux__)
struct qn_image {
    int unused;
};
static const void *qn_image_get(struct qn_image *s, const void *from, size_t bytes) { return (void)s, (void)bytes, from; }
static void qn_image_end(struct qn_image *s) { (void)s; }
#else
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct qn_image {
    const void *at; /* NULL: not tried */
    void *map;      /* NULL: there is no copy */
    size_t bytes;   /* of the map */
};
enum { QN_IMAGE_PIECE = 256 * 1024 };

/* Drops the source's pages if all of them come from a file: only then can they be read again. Bit 61 of an entry says so. */
static void qn_image_drop(int pagemap, uintptr_t from, uintptr_t to, size_t page) {
    uint64_t entry[QN_IMAGE_PIECE / 4096 + 1];
    const uintptr_t first = (from + page - 1) / page, end = to / page;
    if (end <= first || page < 4096 || end - first > sizeof entry / sizeof *entry) return;
    const size_t want = (size_t)(end - first) * sizeof *entry;
    if (pread(pagemap, entry, want, (off_t)(first * sizeof *entry)) != (ssize_t)want) return;
    for (size_t i = 0; i < end - first; i++)
        if (entry[i] && !(entry[i] >> 61 & 1)) return;
    madvise((void *)(first * page), (size_t)(end - first) * page, MADV_DONTNEED);
}
static const void *qn_image_get(struct qn_image *s, const void *from, size_t bytes) {
    const size_t huge = (size_t)2 << 20;
    const long page = sysconf(_SC_PAGESIZE);
    if (s->at) return s->at;
    s->at = from;
    const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (pagemap < 0 || page <= 0) return s->at; /* pages could not be dropped */
    void *map = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map != MAP_FAILED) {
        char *to = (char *)(((uintptr_t)map + huge - 1) & ~(uintptr_t)(huge - 1));
        madvise(to, bytes / huge * huge, MADV_HUGEPAGE); /* whole ones: the end takes no more than it needs */
        uintptr_t done = (uintptr_t)from;
        for (size_t i = 0; i < bytes; i += QN_IMAGE_PIECE) {
            const size_t n = bytes - i < QN_IMAGE_PIECE ? bytes - i : QN_IMAGE_PIECE;
            memcpy(to + i, (const char *)from + i, n);
            const uintptr_t end = ((uintptr_t)from + i + n) / (uintptr_t)page * (uintptr_t)page; /* the page that goes on comes next */
            qn_image_drop(pagemap, done, end, (size_t)page);
            done = end > done ? end : done;
        }
        mprotect(map, bytes + huge, PROT_READ);
        s->at = to, s->map = map, s->bytes = bytes + huge;
    }
    close(pagemap);
    return s->at;
}
static void qn_image_end(struct qn_image *s) {
    static const struct qn_image none;
    if (s->map) munmap(s->map, s->bytes);
    *s = none;
}
#endif
#endif
