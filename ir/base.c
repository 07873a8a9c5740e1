/* SPDX-License-Identifier: Apache-2.0 */
/* base.c: arena, vectors, text, maps. Assumes POSIX malloc/free; an arena is used by one thread.
 *
 *   Arena *a = arena_new(); int *v = NEW_ARRAY(a, int, 3); ... arena_free(a);   // one free for everything
 */
#include "base.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Chunk {
    struct Chunk *next;
    size_t size;
} Chunk;
struct Arena {
    Chunk *chunks;
    char *at, *end;
    size_t used;
};

static _Noreturn void out_of_memory(size_t bytes) {
    fprintf(stderr, "quern: error: out of memory: %zu bytes were asked for; give the process more memory or use a smaller model\n", bytes);
    exit(1);
}

Arena *arena_new(void) {
    Arena *a = calloc(1, sizeof *a);
    if (!a) out_of_memory(sizeof *a);
    return a;
}
void arena_free(Arena *a) {
    if (!a) return;
    for (Chunk *c = a->chunks, *next; c; c = next) next = c->next, free(c);
    free(a);
}

enum { CHUNK_MIN = 1 << 16, BIG = 1 << 12 };
/* Large blocks get a chunk of their own: calloc maps zero pages lazily, so weights cost nothing until touched. */
static void *chunk_new(Arena *a, size_t bytes, Chunk **out) {
    size_t head = 64, total;
    if (__builtin_add_overflow(bytes, head + 64, &total)) out_of_memory(bytes);
    Chunk *c = calloc(1, total);
    if (!c) out_of_memory(bytes);
    c->size = total;
    c->next = a->chunks, a->chunks = c;
    *out = c;
    uintptr_t p = ((uintptr_t)c + head + 63) & ~(uintptr_t)63;
    return (void *)p;
}

void *arena_alloc(Arena *a, size_t bytes) {
    Chunk *c;
    if (bytes == 0) bytes = 1;
    if (bytes >= (size_t)PTRDIFF_MAX) out_of_memory(bytes);
    a->used += bytes;
    if (bytes >= BIG) return chunk_new(a, bytes, &c);
    bytes = (bytes + 15) & ~(size_t)15;
    if ((size_t)(a->end - a->at) < bytes) {
        size_t want = CHUNK_MIN + a->used / 16; /* grows with use: few chunks for big graphs */
        if (want > ((size_t)4 << 20)) want = (size_t)4 << 20;
        a->at = chunk_new(a, want, &c);
        a->end = a->at + want;
    }
    void *p = a->at;
    a->at += bytes;
    return p;
}
void *arena_alloc_array(Arena *a, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) out_of_memory(SIZE_MAX);
    return arena_alloc(a, bytes);
}
size_t arena_used(const Arena *a) { return a->used; }

char *arena_strndup(Arena *a, const char *s, size_t n) {
    char *r = arena_alloc(a, n + 1);
    memcpy(r, s, n);
    return r;
}
char *arena_strdup(Arena *a, const char *s) { return arena_strndup(a, s, strlen(s)); }
char *arena_printf(Arena *a, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void *vec_grow(Arena *a, void *old, int n, int *cap, size_t size) {
    if (*cap > INT32_MAX / 2) out_of_memory(SIZE_MAX);
    *cap = *cap ? *cap * 2 : 8;
    void *p = arena_alloc_array(a, (size_t)*cap, size);
    if (n) memcpy(p, old, (size_t)n * size);
    return p;
}

/* ---- text */
void text_free(Text *t) {
    free(t->s);
    *t = (Text){0};
}
static void text_room(Text *t, size_t more) {
    size_t need;
    if (__builtin_add_overflow(t->n, more + 1, &need)) out_of_memory(more);
    if (need <= t->cap) return;
    size_t cap = t->cap ? t->cap : 256;
    while (cap < need) cap += cap / 2 + 64;
    char *s = realloc(t->s, cap);
    if (!s) out_of_memory(cap);
    t->s = s, t->cap = cap;
}
void text_putn(Text *t, const char *s, size_t n) {
    text_room(t, n);
    if (n) memcpy(t->s + t->n, s, n);
    t->n += n;
    t->s[t->n] = 0;
}
void text_puts(Text *t, const char *s) { text_putn(t, s, strlen(s)); }
void text_vprintf(Text *t, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    text_room(t, 128);
    size_t room = t->cap - t->n;
    int n = vsnprintf(t->s + t->n, room, fmt, ap);
    if (n >= 0 && (size_t)n >= room) {
        text_room(t, (size_t)n);
        vsnprintf(t->s + t->n, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (n > 0) t->n += (size_t)n;
}
void text_printf(Text *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    text_vprintf(t, fmt, ap);
    va_end(ap);
}
void text_float(Text *t, double x, int bits) {
    char s[40];
    if (isnan(x)) {
        text_puts(t, "nan");
        return;
    }
    if (isinf(x)) {
        text_puts(t, x < 0 ? "-inf" : "inf");
        return;
    }
    for (int p = bits == 32 ? 6 : 15; p <= 17; p++) {
        snprintf(s, sizeof s, "%.*g", p, x);
        if (bits == 32 ? strtof(s, NULL) == (float)x : strtod(s, NULL) == x) break;
    }
    text_puts(t, s);
    if (!strpbrk(s, ".e")) text_puts(t, ".0");
}

/* ---- map: open addressing over insertion-ordered entries */
typedef struct Entry {
    const char *key;
    void *value;
    uint64_t hash;
} Entry;
struct Map {
    Arena *a;
    Vec(Entry) e;
    int *slot; /* index + 1 into e */
    uint32_t nslot;
};
static uint64_t hash_str(const char *s) {
    uint64_t h = 1469598103934665603u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h ^ h >> 29;
}
Map *map_new(Arena *a) {
    Map *m = NEW(a, Map);
    m->a = a;
    return m;
}
static uint32_t map_slot(const Map *m, const char *key, uint64_t hash) {
    for (uint32_t i = (uint32_t)hash & (m->nslot - 1);; i = (i + 1) & (m->nslot - 1)) {
        int k = m->slot[i];
        if (!k || (m->e.v[k - 1].hash == hash && strcmp(m->e.v[k - 1].key, key) == 0)) return i;
    }
}
void *map_get(const Map *m, const char *key) {
    if (!m->nslot) return NULL;
    int k = m->slot[map_slot(m, key, hash_str(key))];
    return k ? m->e.v[k - 1].value : NULL;
}
void map_set(Map *m, const char *key, void *value) {
    if ((uint32_t)m->e.n * 2 >= m->nslot) {
        m->nslot = m->nslot ? m->nslot * 2 : 32;
        m->slot = NEW_ARRAY(m->a, int, m->nslot);
        for (int i = 0; i < m->e.n; i++) m->slot[map_slot(m, m->e.v[i].key, m->e.v[i].hash)] = i + 1;
    }
    uint64_t h = hash_str(key);
    uint32_t s = map_slot(m, key, h);
    if (m->slot[s]) {
        m->e.v[m->slot[s] - 1].value = value;
        return;
    }
    vec_push(m->a, &m->e, ((Entry){key, value, h}));
    m->slot[s] = m->e.n;
}
int map_count(const Map *m) { return m->e.n; }
const char *map_key(const Map *m, int i) { return m->e.v[i].key; }
void *map_value(const Map *m, int i) { return m->e.v[i].value; }
