/* SPDX-License-Identifier: 0BSD */
/* qn_pages.h: a large arena in huge pages, on Linux. A kernel walks through some dozens of planes at once, each in pages of its own: with
 * small ones it misses the TLB. The first call asks the system to put the whole huge pages that lie inside the caller's arena
 * together; contents and addresses stay. Whatever fails, and memory that is not the process's own, stays as it is.
 *
 *   qn_pages_join(&state->pages, arena, bytes);
 *
 * QN_NO_PAGES: nothing is asked for. */
#ifndef QN_PAGES_H
#define QN_PAGES_H
#include <stddef.h>
#include <stdint.h>

struct qn_pages {
    int asked;
};
#if defined(QN_NO_PAGES) || !defined(__linux__)
static void qn_pages_join(struct qn_pages *s, void *arena, size_t bytes) { (void)s, (void)arena, (void)bytes; }
#else
#include <sys/mman.h>

static void qn_pages_join(struct qn_pages *s, void *arena, size_t bytes) {
    const uintptr_t huge = (uintptr_t)2 << 20;
    const uintptr_t from = ((uintptr_t)arena + huge - 1) & ~(huge - 1), to = ((uintptr_t)arena + bytes) & ~(huge - 1);
    if (s->asked) return;
    s->asked = 1;
    if (to <= from || madvise((void *)from, to - from, MADV_HUGEPAGE)) return;
#if defined(MADV_COLLAPSE)
    madvise((void *)from, to - from, MADV_COLLAPSE);
#else
    madvise((void *)from, to - from, 25); /* the same, younger than this C library */
#endif
}
#endif
#endif
