/* SPDX-License-Identifier: 0BSD */
/* qn_threads.h: threads that share the iterations of one loop. The caller takes part; between calls the others spin for about a
 * millisecond, then sleep. Each thread begins with a share of its own, in four pieces, and then takes pieces of others, so one that
 * the system has put aside does not hold up the rest. Which thread runs a piece changes no result: pieces are independent.
 * The pool lives in zeroed memory that the caller owns; nothing is allocated here, and nothing is shared between two pools.
 *
 *   qn_pool_begin(&pool);   qn_parallel(&pool, scale, &args, 1000);   --->   scale(&args, 0, 125) … scale(&args, 875, 1000)
 *
 * QN_THREADS_MAX is the largest number of threads. QN_NO_THREADS: qn_parallel is a plain call; QN_OPENMP: a parallel loop of OpenMP. */
#ifndef QN_THREADS_H
#define QN_THREADS_H
#include <stddef.h>
#include <stdint.h>
#ifndef QN_THREADS_MAX
#define QN_THREADS_MAX 2
#endif

/* Runs the iterations first … end-1. */
typedef void qn_range_fn(const void *arg, int64_t first, int64_t end);

#if defined(QN_NO_THREADS) || defined(QN_OPENMP) || defined(_WIN32) || !defined(__GNUC__) || __GCC_ATOMIC_LLONG_LOCK_FREE != 2
struct qn_pool {
    int threads; /* 0: not chosen yet, the most */
};
static void qn_pool_begin(struct qn_pool *p) { (void)p; }
static void qn_pool_end(struct qn_pool *p) { p->threads = 0; }
static void qn_pool_set(struct qn_pool *p, int threads) { p->threads = threads; }
static void qn_parallel(struct qn_pool *p, qn_range_fn *fn, const void *arg, int64_t n) {
#ifdef QN_OPENMP
    const int most = p->threads ? p->threads : QN_THREADS_MAX, t = n < most ? (int)n : most;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(t)
#endif
    for (int i = 0; i < t; i++) fn(arg, n * i / t, n * (i + 1) / t);
#else
    (void)p;
    fn(arg, 0, n);
#endif
}
#else
#include <pthread.h>
#include <sched.h>
#include <time.h>
/* Words that different threads write stand on cache lines of their own, as long as the pool stays small. */
#define QN_POOL_STRIDE (QN_THREADS_MAX <= 32 ? 8 : 1)

struct qn_pool {
    pthread_mutex_t mutex;    /* for sleeping only */
    pthread_cond_t work, end; /* there is a new job; a piece is done */
    int threads;              /* that the caller wants; 0: not chosen yet, the most */
    int running;              /* that there are, the caller included; 0: not started */
    int live;                 /* mutex and conditions exist */
    uint32_t index;           /* threads that have begun */
    uint32_t quit, sleepers, caller_sleeps;
    qn_range_fn *fn; /* the job: written while no piece of any job is open */
    const void *arg;
    int64_t n;
    uint32_t shares, pieces; /* of the job; of each share */
    unsigned char pad[64];
    uint32_t job; /* its number */
    unsigned char pad1[60];
    uint32_t done; /* pieces */
    unsigned char pad2[60];
    /* Per share: job number << 32 | first open piece << 16 | end of the open pieces. The owner takes the first, others the last.
     * A late thread holds an old number: its exchange fails, so it never runs what it has read of a job that is over. */
    uint64_t claim[QN_THREADS_MAX * QN_POOL_STRIDE];
    pthread_t id[QN_THREADS_MAX];
};

static void qn_pool_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
/* Until the word is (equal) or is not (!equal) the value. */
static void qn_pool_wait(struct qn_pool *p, const uint32_t *word, uint32_t value, int equal, uint32_t *sleepers, pthread_cond_t *cond) {
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0;; i++) {
        if ((__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) == equal) return;
        qn_pool_pause();
        if (i % 64 != 63) continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
        const int64_t ns = (int64_t)(now.tv_sec - begin.tv_sec) * 1000000000 + (now.tv_nsec - begin.tv_nsec);
        if (ns > 1000000) break;
        if (ns > 10000) sched_yield(); /* whom we wait for may stand in line for this very processor */
    }
    pthread_mutex_lock(&p->mutex);
    __atomic_add_fetch(sleepers, 1, __ATOMIC_SEQ_CST); /* before the word is read: who writes it then sees a sleeper */
    while ((__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) != equal) pthread_cond_wait(cond, &p->mutex);
    __atomic_sub_fetch(sleepers, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&p->mutex);
}
static void qn_pool_wake(struct qn_pool *p, const uint32_t *sleepers, pthread_cond_t *cond) {
    if (!__atomic_load_n(sleepers, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(cond);
    pthread_mutex_unlock(&p->mutex);
}
/* Takes pieces of the job until none is open. */
static void qn_pool_work(struct qn_pool *p, uint32_t self, uint32_t job) {
    const uint32_t shares = __atomic_load_n(&p->shares, __ATOMIC_RELAXED);
    for (uint32_t k = 0; k < shares; k++) {
        const uint32_t share = (self + k) % shares;
        uint64_t *claim = &p->claim[share * QN_POOL_STRIDE], c = __atomic_load_n(claim, __ATOMIC_ACQUIRE);
        while (c >> 32 == job && (c >> 16 & 0xffff) < (c & 0xffff)) {
            qn_range_fn *fn = __atomic_load_n(&p->fn, __ATOMIC_RELAXED);
            const void *arg = __atomic_load_n(&p->arg, __ATOMIC_RELAXED);
            const int64_t n = __atomic_load_n(&p->n, __ATOMIC_RELAXED), pieces = __atomic_load_n(&p->pieces, __ATOMIC_RELAXED);
            const int64_t t = __atomic_load_n(&p->shares, __ATOMIC_RELAXED), piece = (int64_t)(k ? (c & 0xffff) - 1 : c >> 16 & 0xffff);
            const uint64_t next = k ? c - 1 : c + 0x10000;
            if (!__atomic_compare_exchange_n(claim, &c, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
            const int64_t first = n * share / t, end = n * (share + 1) / t;
            fn(arg, first + (end - first) * piece / pieces, first + (end - first) * (piece + 1) / pieces);
            __atomic_add_fetch(&p->done, 1, __ATOMIC_SEQ_CST);
            qn_pool_wake(p, &p->caller_sleeps, &p->end);
            c = __atomic_load_n(claim, __ATOMIC_ACQUIRE);
        }
    }
}
static void *qn_pool_main(void *arg) {
    struct qn_pool *p = arg;
    const uint32_t self = __atomic_add_fetch(&p->index, 1, __ATOMIC_RELAXED);
    uint32_t job = 0;
    for (;;) {
        qn_pool_wait(p, &p->job, job, 0, &p->sleepers, &p->work);
        job = __atomic_load_n(&p->job, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&p->quit, __ATOMIC_RELAXED)) return NULL;
        qn_pool_work(p, self, job);
    }
}
/* Starts the threads on the first call. With fewer than wanted, those do the work. */
static void qn_pool_begin(struct qn_pool *p) {
    const int want = p->threads ? p->threads : QN_THREADS_MAX;
    if (p->running) return;
    p->running = 1;
    if (want < 2 || pthread_mutex_init(&p->mutex, NULL)) return;
    if (pthread_cond_init(&p->work, NULL)) {
        pthread_mutex_destroy(&p->mutex);
        return;
    }
    if (pthread_cond_init(&p->end, NULL)) {
        pthread_cond_destroy(&p->work);
        pthread_mutex_destroy(&p->mutex);
        return;
    }
    p->live = 1;
    while (p->running < want && !pthread_create(&p->id[p->running], NULL, qn_pool_main, p)) p->running++;
}
/* Joins the threads and leaves zeros: the next qn_pool_begin starts anew. */
static void qn_pool_end(struct qn_pool *p) {
    static const struct qn_pool none;
    if (p->live) {
        __atomic_store_n(&p->quit, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&p->job, 1, __ATOMIC_SEQ_CST);
        qn_pool_wake(p, &p->sleepers, &p->work);
        for (int i = 1; i < p->running; i++) pthread_join(p->id[i], NULL);
        pthread_cond_destroy(&p->end);
        pthread_cond_destroy(&p->work);
        pthread_mutex_destroy(&p->mutex);
    }
    *p = none;
}
static void qn_pool_set(struct qn_pool *p, int threads) {
    if (threads == (p->threads ? p->threads : QN_THREADS_MAX)) return;
    qn_pool_end(p);
    p->threads = threads;
}
static void qn_parallel(struct qn_pool *p, qn_range_fn *fn, const void *arg, int64_t n) {
    const uint32_t t = n < p->running ? (uint32_t)n : (uint32_t)p->running, job = p->job + 1;
    if (p->running < 2 || n < 2) {
        fn(arg, 0, n);
        return;
    }
    const uint32_t pieces = n / t < 4 ? (uint32_t)(n / t) : 4;
    __atomic_store_n(&p->fn, fn, __ATOMIC_RELAXED);
    __atomic_store_n(&p->arg, arg, __ATOMIC_RELAXED);
    __atomic_store_n(&p->n, n, __ATOMIC_RELAXED);
    __atomic_store_n(&p->shares, t, __ATOMIC_RELAXED);
    __atomic_store_n(&p->pieces, pieces, __ATOMIC_RELAXED);
    __atomic_store_n(&p->done, 0, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < t; i++) __atomic_store_n(&p->claim[i * QN_POOL_STRIDE], (uint64_t)job << 32 | pieces, __ATOMIC_RELEASE);
    __atomic_store_n(&p->job, job, __ATOMIC_SEQ_CST);
    qn_pool_wake(p, &p->sleepers, &p->work);
    qn_pool_work(p, 0, job);
    qn_pool_wait(p, &p->done, t * pieces, 1, &p->caller_sleeps, &p->end);
}
#endif
#endif
