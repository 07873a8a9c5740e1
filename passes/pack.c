/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c: offsets for blocks with known sizes and lifetimes (dynamic storage allocation, which is NP-hard): cheap
 * heuristics in several orders, the best result is kept, and a little search when it is not near the lower bound.
 * Any number of blocks: beyond GREEDY_MAX only the scan over time is tried, whose cost is that of the gaps between the blocks alive.
 *
 *   A 100 bytes, kernels 0-1; B 50, 1-2; C 120, 2-3     --->     A at 0, B at 120, C at 0: height 170
 */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

enum { GREEDY_MAX = 3000 };
static const int64_t STEPS = 60 * 1000 * 1000; /* comparisons which all searches together may use */

int64_t pack_bound(Arena *tmp, int n, const Block *b, int nkernel) {
    int64_t *change = NEW_ARRAY(tmp, int64_t, nkernel + 2), live = 0, most = 0;
    for (int i = 0; i < n; i++) {
        change[b[i].first] += b[i].bytes;
        change[b[i].last + 1] -= b[i].bytes;
    }
    for (int k = 0; k < nkernel; k++) {
        live += change[k];
        most = max_i64(most, live);
    }
    return most;
}

/* ---- scan over time: a block takes the tightest (or lowest) gap between those alive and gives it back after its last kernel */
typedef struct Gap {
    int64_t from, to;
} Gap;
typedef struct Gaps { /* by address, none touches the next; the last has no end */
    Gap *v;
    int n;
} Gaps;
static void gap_remove(Gaps *g, int k) { memmove(g->v + k, g->v + k + 1, (size_t)(--g->n - k) * sizeof *g->v); }
static int64_t gap_take(Gaps *g, int64_t bytes, bool tight) {
    int64_t room = 0;
    int k = -1;
    for (int i = 0; i < g->n; i++) {
        int64_t here = g->v[i].to - g->v[i].from;
        if (here < bytes || (k >= 0 && here >= room)) continue;
        k = i, room = here;
        if (!tight || room == bytes) break;
    }
    int64_t at = g->v[k].from;
    if (room == bytes) gap_remove(g, k);
    else g->v[k].from += bytes;
    return at;
}
static void gap_give_back(Gaps *g, int64_t from, int64_t to) {
    int lo = 0, hi = g->n - 1;
    while (lo < hi) { /* the first gap behind it; there is one */
        int mid = (lo + hi) / 2;
        if (g->v[mid].from < to) lo = mid + 1;
        else hi = mid;
    }
    bool below = lo > 0 && g->v[lo - 1].to == from, above = g->v[lo].from == to;
    if (below && above) g->v[lo - 1].to = g->v[lo].to, gap_remove(g, lo);
    else if (below) g->v[lo - 1].to = to;
    else if (above) g->v[lo].from = from;
    else {
        memmove(g->v + lo + 1, g->v + lo, (size_t)(g->n++ - lo) * sizeof *g->v);
        g->v[lo] = (Gap){from, to};
    }
}
static int by_first(const void *x, const void *y) {
    const Block *const *a = x, *const *b = y;
    if ((*a)->first != (*b)->first) return (*a)->first < (*b)->first ? -1 : 1;
    if ((*a)->bytes != (*b)->bytes) return (*a)->bytes > (*b)->bytes ? -1 : 1;
    return *a < *b ? -1 : *a > *b;
}
static int by_last(const void *x, const void *y) {
    const Block *const *a = x, *const *b = y;
    if ((*a)->last != (*b)->last) return (*a)->last < (*b)->last ? -1 : 1;
    return *a < *b ? -1 : *a > *b;
}
static int64_t pack_scan(Arena *tmp, int n, const Block *b, bool tight, int64_t *addr) {
    const Block **start = NEW_ARRAY(tmp, const Block *, n), **end = NEW_ARRAY(tmp, const Block *, n);
    Gaps g = {NEW_ARRAY(tmp, Gap, n + 1), 1};
    g.v[0] = (Gap){0, INT64_MAX};
    for (int i = 0; i < n; i++) start[i] = end[i] = &b[i];
    qsort(start, (size_t)n, sizeof *start, by_first);
    qsort(end, (size_t)n, sizeof *end, by_last);
    int64_t height = 0;
    for (int i = 0, e = 0; i < n; i++) {
        const Block *x = start[i];
        for (; e < n && end[e]->last < x->first; e++)
            if (end[e]->bytes) gap_give_back(&g, addr[end[e] - b], addr[end[e] - b] + end[e]->bytes);
        addr[x - b] = x->bytes ? gap_take(&g, x->bytes, tight) : 0;
        height = max_i64(height, addr[x - b] + x->bytes);
    }
    return height;
}

/* ---- greedy: blocks in a given order, each at its best place among those put before which it meets in time */
typedef struct Greedy {
    int n;
    const Block *b;
    int *placed; /* by address */
    int64_t steps;
} Greedy;
static int64_t pack_greedy(Greedy *g, const int *order, bool tight, int64_t limit, int64_t *addr) {
    int64_t height = 0;
    int placed = 0;
    for (int i = 0; i < g->n; i++) {
        const Block *x = &g->b[order[i]];
        int64_t at = -1, room = INT64_MAX, from = 0;
        for (int k = 0; k < placed; k++) {
            const Block *y = &g->b[g->placed[k]];
            if (y->first > x->last || y->last < x->first) continue;
            int64_t ya = addr[g->placed[k]], gap = ya - from;
            if (gap >= x->bytes && gap < room) {
                at = from, room = gap;
                if (!tight) break;
            }
            from = max_i64(from, ya + y->bytes);
        }
        if (at < 0) at = from;
        g->steps += placed;
        addr[order[i]] = at;
        height = max_i64(height, at + x->bytes);
        if (height >= limit) return limit;
        int put = placed++;
        for (; put > 0 && addr[g->placed[put - 1]] > at; put--) g->placed[put] = g->placed[put - 1];
        g->placed[put] = order[i];
    }
    return height;
}

typedef struct Key {
    int64_t a, b;
    int i;
} Key;
static int by_key(const void *x, const void *y) { /* descending; ties by number, so that the result is the same everywhere */
    const Key *p = x, *q = y;
    if (p->a != q->a) return p->a > q->a ? -1 : 1;
    if (p->b != q->b) return p->b > q->b ? -1 : 1;
    return p->i - q->i;
}
enum { ORDER_SIZE, ORDER_LIFE, ORDER_AREA, ORDER_START, ORDER_PRESSURE, ORDERS };
/* What a block is sorted by. `load` per kernel: bytes alive there. */
static Key order_key(int kind, const Block *b, int i, const int64_t *load) {
    int64_t life = b->last - b->first + 1, most = 0;
    switch (kind) {
    case ORDER_SIZE: return (Key){b->bytes, life, i};
    case ORDER_LIFE: return (Key){life, b->bytes, i};
    case ORDER_AREA: return (Key){b->bytes / 64 * life, b->bytes, i};
    case ORDER_START: return (Key){-b->first, b->bytes, i};
    default:
        for (int k = b->first; k <= b->last; k++) most = max_i64(most, load[k]);
        return (Key){most, b->bytes, i}; /* the fullest kernels are laid out first */
    }
}

typedef struct Best {
    int64_t height;
    int64_t *addr;
    int *order;
} Best;
static void keep_best(Best *best, int64_t height, const int64_t *addr, const int *order, int n) {
    if (height >= best->height) return;
    best->height = height;
    memcpy(best->addr, addr, (size_t)n * sizeof *addr);
    if (order) memcpy(best->order, order, (size_t)n * sizeof *order);
}
/* Moves a block which reaches the top to the front of the order, or swaps two, and keeps what is no worse. */
static void search(Greedy *g, Best *best, int64_t bound, int64_t *addr, int *order) {
    uint64_t seed = 88172645463325252u;
    int64_t current = best->height;
    int *from = best->order;
    for (int round = 0; best->height > bound && g->steps < STEPS && round < 2000; round++) {
        memcpy(order, from, (size_t)g->n * sizeof *order);
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        int i = (int)(seed % (uint64_t)g->n), j = (int)(seed / 7919 % (uint64_t)g->n);
        if (round % 3 == 0)
            for (i = g->n - 1; i > 0 && best->addr[order[i]] + g->b[order[i]].bytes < best->height; i--) {}
        if (round % 3 != 1 && j > i) j = j % (i + 1);
        int moved = order[i];
        if (j < i) memmove(order + j + 1, order + j, (size_t)(i - j) * sizeof *order);
        else memmove(order + i, order + i + 1, (size_t)(j - i) * sizeof *order);
        order[j] = moved;
        int64_t h = pack_greedy(g, order, false, current + 1, addr);
        if (h > current) continue;
        current = h;
        if (h < best->height) keep_best(best, h, addr, order, g->n);
        else memcpy(best->addr, addr, (size_t)g->n * sizeof *addr), memcpy(best->order, order, (size_t)g->n * sizeof *order);
    }
}

int64_t pack_blocks(Arena *tmp, int n, Block *b, int64_t bound) {
    if (n <= 0) return 0;
    int64_t *addr = NEW_ARRAY(tmp, int64_t, n), *load;
    Best best = {INT64_MAX, NEW_ARRAY(tmp, int64_t, n), NEW_ARRAY(tmp, int, n)};
    for (int tight = 1; tight >= 0 && best.height > bound; tight--) {
        int64_t h = pack_scan(tmp, n, b, tight, addr);
        keep_best(&best, h, addr, NULL, n);
    }
    if (n <= GREEDY_MAX && best.height > bound) {
        Greedy g = {n, b, NEW_ARRAY(tmp, int, n), 0};
        int *order = NEW_ARRAY(tmp, int, n), nkernel = 0;
        Key *key = NEW_ARRAY(tmp, Key, n);
        for (int i = 0; i < n; i++) nkernel = b[i].last >= nkernel ? b[i].last + 1 : nkernel;
        load = NEW_ARRAY(tmp, int64_t, nkernel + 1);
        for (int i = 0; i < n; i++) load[b[i].first] += b[i].bytes, load[b[i].last + 1] -= b[i].bytes;
        for (int k = 1; k < nkernel; k++) load[k] += load[k - 1];
        Best greedy = {INT64_MAX, NEW_ARRAY(tmp, int64_t, n), NEW_ARRAY(tmp, int, n)};
        for (int kind = 0; kind < ORDERS && greedy.height > bound; kind++) {
            for (int i = 0; i < n; i++) key[i] = order_key(kind, &b[i], i, load);
            qsort(key, (size_t)n, sizeof *key, by_key);
            for (int i = 0; i < n; i++) order[i] = key[i].i;
            for (int tight = 0; tight < 2; tight++) keep_best(&greedy, pack_greedy(&g, order, tight, INT64_MAX, addr), addr, order, n);
        }
        if (greedy.height > bound && best.height > bound) search(&g, &greedy, bound, addr, order);
        keep_best(&best, greedy.height, greedy.addr, greedy.order, n);
    }
    for (int i = 0; i < n; i++) b[i].addr = best.addr[i];
    return best.height;
}
