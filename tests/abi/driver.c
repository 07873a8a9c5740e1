/* SPDX-License-Identifier: Apache-2.0 */
/* driver.c: one emitted model, built as a shared object, against the rules of its interface: memory behind and before every buffer
 * is not accessible, inputs cannot be written, alignment is that of the elements, errors leave everything as it was, two threads
 * use two arenas, results do not depend on what the arena held, nor on the number of threads.
 *
 *   driver net.so net net.json [net.weights]   --->   "abi: 31 passed, 0 failed"
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <jansson.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_TENSORS = 64, MAX_RANK = 64 /* and words of a dims list */ };
typedef int InvokeFn(void *, const void *const *, const int64_t *const *, void *const *, int64_t *const *);
typedef int BindFn(void *, const void *, size_t);
typedef int ThreadsFn(void *, int);
typedef void ReleaseFn(void *);

typedef struct Tensor {
    size_t bytes, elem;
    int64_t dim[MAX_RANK];
    int rank;
    int list; /* a sequence: dim is its dims list, of rank words, which has to be there in every call */
    const char *dtype;
    void *data; /* of the reference run */
} Tensor;
typedef struct Model {
    InvokeFn *invoke;
    BindFn *bind;
    ThreadsFn *set_threads;
    ReleaseFn *release;
    size_t arena, state;
    int threads;
    int nin, nout;
    Tensor in[MAX_TENSORS], out[MAX_TENSORS];
    void *weights;
    size_t weights_bytes;
} Model;
static int passed, failed;
static void check(int ok, const char *what) { /* from any thread */
    __atomic_add_fetch(ok ? &passed : &failed, 1, __ATOMIC_RELAXED);
    if (!ok) printf("abi: FAILED: %s\n", what);
}

/* `bytes` between two pages that cannot be touched; at_end: the last byte is the last accessible one, else the first is the first. */
typedef struct Guarded {
    char *map, *data;
    size_t pages, bytes;
} Guarded;
static Guarded guarded(size_t bytes, int at_end, size_t align) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
    Guarded g = {.pages = body + 2 * page, .bytes = bytes};
    g.map = mmap(NULL, g.pages, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || (body && mprotect(g.map + page, body, PROT_READ | PROT_WRITE))) exit(printf("abi: out of memory\n") ? 2 : 2);
    g.data = g.map + page + (at_end ? (body - bytes) / align * align : 0);
    return g;
}
static void read_only(Guarded *g) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (g->pages > 2 * page) mprotect(g->map + page, g->pages - 2 * page, PROT_READ);
}
static void done(Guarded *g) { munmap(g->map, g->pages); }

static size_t element_bytes(const char *dtype) {
    static const char *const eight[] = {"float64", "int64", "uint64", "complex64", "complex128", "string"}, *const two[] = {
                                                                                                                "float16", "bfloat16",
                                                                                                                "int16", "uint16"};
    for (size_t i = 0; i < 6; i++)
        if (!strcmp(dtype, eight[i])) return 8;
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(dtype, two[i])) return 2;
    return !strcmp(dtype, "float32") || !strcmp(dtype, "int32") || !strcmp(dtype, "uint32") ? 4 : 1;
}
/* Of a sequence with as many elements as it may have, all of the same shape. */
static void sequence_dims(Tensor *t, int length) {
    int64_t shape[MAX_RANK];
    int n = 0, rank = t->rank;
    if (1 + length * (1 + rank) > MAX_RANK) exit(printf("abi: the dims list of a sequence is too long\n") ? 2 : 2);
    memcpy(shape, t->dim, sizeof shape);
    t->dim[n++] = length;
    for (int i = 0; i < length; i++) {
        t->dim[n++] = rank;
        for (int d = 0; d < rank; d++) t->dim[n++] = shape[d];
    }
    t->rank = n;
}
static int read_tensors(const json_t *list, Tensor *t) {
    int n = (int)json_array_size(list);
    if (n > MAX_TENSORS) exit(printf("abi: more than %d tensors\n", MAX_TENSORS) ? 2 : 2);
    for (int i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, (size_t)i), *shape = json_object_get(e, "shape");
        t[i].dtype = json_string_value(json_object_get(e, "dtype"));
        t[i].elem = element_bytes(t[i].dtype);
        t[i].bytes = (size_t)json_integer_value(json_object_get(e, "max_bytes"));
        t[i].rank = (int)json_array_size(shape);
        for (int d = 0; d < t[i].rank && d < MAX_RANK; d++) t[i].dim[d] = json_integer_value(json_array_get(shape, (size_t)d));
        t[i].list = json_object_get(e, "type") != NULL;
        if (t[i].list) sequence_dims(&t[i], (int)json_integer_value(json_object_get(e, "max_length")));
    }
    return n;
}
/* Small values that every operator takes. */
static void fill(const Tensor *t, void *to, uint32_t seed) {
    for (size_t i = 0; i < t->bytes / t->elem; i++) {
        seed = seed * 1664525u + 1013904223u;
        if (!strcmp(t->dtype, "float32")) ((float *)to)[i] = (float)(seed >> 16 & 255) / 128 - 1;
        else if (!strcmp(t->dtype, "float64")) ((double *)to)[i] = (double)(seed >> 16 & 255) / 128 - 1;
        else if (!strcmp(t->dtype, "float16") || !strcmp(t->dtype, "bfloat16"))
            ((uint16_t *)to)[i] = (uint16_t)(0x3c00 + (seed >> 16 & 255));
        else if (t->elem == 8) ((int64_t *)to)[i] = seed >> 16 & 1;
        else if (t->elem == 4) ((int32_t *)to)[i] = (int32_t)(seed >> 16 & 1);
        else if (t->elem == 2) ((int16_t *)to)[i] = (int16_t)(seed >> 16 & 1);
        else ((uint8_t *)to)[i] = (uint8_t)(seed >> 16 & 1);
    }
}
static void open_arena(const Model *m, char *arena, int garbage) {
    memset(arena, garbage, m->arena);
    memset(arena, 0, m->state);
    if (m->bind && m->bind(arena, m->weights, m->weights_bytes)) check(0, "bind accepts its own weights");
}

/* A call with no more dims than have to be there. */
static int call_again(const Model *m, void *arena, const void *const *ip, void *const *op) {
    int64_t dims[MAX_TENSORS][MAX_RANK], *dp[MAX_TENSORS];
    const int64_t *idp[MAX_TENSORS];
    int in = 0, out = 0;
    for (int i = 0; i < m->nin; i++) in |= m->in[i].list, idp[i] = m->in[i].list ? m->in[i].dim : NULL;
    for (int i = 0; i < m->nout; i++) out |= m->out[i].list, dp[i] = m->out[i].list ? dims[i] : NULL;
    return m->invoke(arena, m->nin ? ip : NULL, in ? idp : NULL, op, out ? dp : NULL);
}
/* One call with every buffer guarded. odd: buffers begin one element behind a page's start. */
static int guarded_run(const Model *m, int at_end, int odd, int garbage, int keep) {
    Guarded arena = guarded(m->arena, 1, 64), in[MAX_TENSORS], out[MAX_TENSORS], weights = {0};
    const void *ip[MAX_TENSORS];
    void *op[MAX_TENSORS];
    int64_t dims[MAX_TENSORS][MAX_RANK], *dp[MAX_TENSORS];
    const int64_t *idp[MAX_TENSORS];
    int same = 1;
    for (int i = 0; i < m->nin; i++) {
        size_t shift = odd ? m->in[i].elem : 0;
        in[i] = guarded(m->in[i].bytes + shift, at_end, m->in[i].elem);
        fill(&m->in[i], in[i].data + shift, (uint32_t)i + 1);
        ip[i] = m->in[i].bytes ? in[i].data + shift : NULL;
        idp[i] = i % 2 && !m->in[i].list ? NULL : m->in[i].dim;
        read_only(&in[i]);
    }
    for (int i = 0; i < m->nout; i++) {
        size_t shift = odd ? m->out[i].elem : 0;
        out[i] = guarded(m->out[i].bytes + shift, at_end, m->out[i].elem);
        memset(out[i].data, garbage, out[i].bytes);
        op[i] = m->out[i].bytes ? out[i].data + shift : NULL;
        dp[i] = i % 2 && !m->out[i].list ? NULL : dims[i];
        memset(dims[i], 0xEE, sizeof dims[i]);
    }
    open_arena(m, arena.data, garbage);
    if (m->bind) { /* the weights, read only and guarded too */
        weights = guarded(m->weights_bytes, 1, 8);
        memcpy(weights.data, m->weights, m->weights_bytes);
        read_only(&weights);
        memset(arena.data, 0, m->state);
        check(m->bind(arena.data, weights.data, m->weights_bytes) == 0, "bind with guarded weights");
    }
    int r = m->invoke(arena.data, m->nin ? ip : NULL, idp, op, dp);
    for (int k = 0; k < 2 && r == 0; k++) { /* the second call finds what the first left */
        for (int i = 0; i < m->nout; i++) {
            if (keep) memcpy(m->out[i].data, op[i] ? op[i] : "", m->out[i].bytes);
            same &= m->out[i].bytes == 0 || memcmp(m->out[i].data, op[i], m->out[i].bytes) == 0;
            for (int d = 0; dp[i] && d < m->out[i].rank; d++) same &= dims[i][d] == m->out[i].dim[d];
        }
        if (k == 0) r = call_again(m, arena.data, ip, op);
    }
    m->release(arena.data);
    for (int i = 0; i < m->nin; i++) done(&in[i]);
    for (int i = 0; i < m->nout; i++) done(&out[i]);
    if (m->bind) done(&weights);
    done(&arena);
    return r == 0 && same;
}

/* Calls that must fail: the code is not 0 and no output byte, no dim and no arena byte changes. */
static void refusals(const Model *m) {
    char *arena = aligned_alloc(64, m->arena + 64), *before = malloc(m->arena + 64);
    void *ip[MAX_TENSORS], *op[MAX_TENSORS];
    int64_t dims[MAX_RANK], *dp[MAX_TENSORS];
    const int64_t *idp[MAX_TENSORS];
    for (int i = 0; i < m->nin; i++) {
        ip[i] = calloc(m->in[i].bytes + 8, 1);
        fill(&m->in[i], ip[i], 1);
        idp[i] = m->in[i].dim;
    }
    for (int i = 0; i < m->nout; i++) op[i] = memset(malloc(m->out[i].bytes + 1), 0x5a, m->out[i].bytes + 1), dp[i] = dims;
    open_arena(m, arena, 0x33);
    memcpy(before, arena, m->arena);
#define CALL(a, in, id, what)                                                                                                              \
    do {                                                                                                                                   \
        memset(dims, 0x77, sizeof dims);                                                                                                   \
        int r_ = m->invoke(a, (const void *const *)(in), id, op, dp), same_ = 1;                                                           \
        for (int o_ = 0; o_ < m->nout; o_++)                                                                                               \
            for (size_t b_ = 0; op[o_] && b_ < m->out[o_].bytes; b_++) same_ &= ((unsigned char *)op[o_])[b_] == 0x5a;                     \
        for (size_t b_ = 0; b_ < sizeof dims; b_++) same_ &= ((unsigned char *)dims)[b_] == 0x77;                                          \
        check(r_ != 0, what ": refused");                                                                                                  \
        check(same_ && !memcmp(before, arena, m->arena), what ": nothing written");                                                        \
    } while (0)
    CALL(NULL, ip, NULL, "arena NULL");
    CALL(arena + 32, ip, NULL, "arena not at a multiple of 64");
    for (int i = 0; i < m->nin; i++) {
        void *keep = ip[i];
        int64_t wrong[MAX_RANK];
        if (m->in[i].bytes) {
            ip[i] = NULL;
            CALL(arena, ip, NULL, "input NULL");
            ip[i] = keep;
        }
        if (!m->in[i].rank) continue;
        memcpy(wrong, m->in[i].dim, sizeof wrong);
        wrong[m->in[i].rank - 1]++;
        idp[i] = wrong;
        CALL(arena, ip, idp, "a dim too large");
        wrong[m->in[i].rank - 1] = -1;
        CALL(arena, ip, idp, "a dim of -1");
        idp[i] = m->in[i].dim;
    }
    for (int i = 0; i < m->nout; i++) {
        void *keep = op[i];
        if (!m->out[i].bytes) continue;
        op[i] = NULL;
        CALL(arena, ip, NULL, "output NULL");
        op[i] = keep;
    }
    const int wrong_counts[] = {0, -1, m->threads + 1, 1000, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 6; i++) check(m->set_threads(arena, wrong_counts[i]) != 0, "set_threads refuses a wrong count");
    check(m->set_threads(NULL, 1) != 0 && m->set_threads(arena + 32, 1) != 0, "set_threads refuses a wrong arena");
    check(!memcmp(before, arena, m->arena), "a refused set_threads writes nothing");
    for (int i = 1; i <= m->threads; i++) check(m->set_threads(arena, i) == 0, "set_threads takes 1 to the manifest's number");
    m->release(arena);
    for (size_t i = 0; i < m->state; i++) check(!arena[i] || (m->bind != NULL && i < sizeof(void *)), "release leaves zeros");
    open_arena(m, arena, 0x33);
    if (m->bind) {
        char *bad = aligned_alloc(64, (m->weights_bytes + 63) / 64 * 64);
        memset(arena, 0, m->state);
        memcpy(before, arena, m->arena);
        CALL(arena, ip, NULL, "weights not bound");
        size_t at[] = {0, 8, 16, m->weights_bytes - 1};
        for (int i = 0; i < (m->weights_bytes > 64 ? 4 : 3); i++) { /* an image may be empty */
            memcpy(bad, m->weights, m->weights_bytes);
            bad[at[i]] ^= 1;
            check(m->bind(arena, bad, m->weights_bytes) != 0, "one wrong bit in the weights is refused");
        }
        check(m->bind(arena, m->weights, m->weights_bytes - 8) != 0 && m->bind(arena, NULL, 0) != 0,
              "weights of another length are refused");
        check(!memcmp(before, arena, m->arena), "a refused bind writes nothing");
        free(bad);
    }
    for (int i = 0; i < m->nin; i++) free(ip[i]);
    for (int i = 0; i < m->nout; i++) free(op[i]);
    free(arena), free(before);
}

/* Calls on plain memory, for what is about threads alone. */
typedef struct Plain {
    const Model *m;
    char *arena;
    void *ip[MAX_TENSORS], *op[MAX_TENSORS];
} Plain;
static void plain_open(Plain *p, const Model *m) {
    p->m = m;
    p->arena = aligned_alloc(64, m->arena);
    for (int i = 0; i < m->nin; i++) {
        p->ip[i] = calloc(m->in[i].bytes + 8, 1);
        fill(&m->in[i], p->ip[i], (uint32_t)i + 1);
    }
    for (int i = 0; i < m->nout; i++) p->op[i] = malloc(m->out[i].bytes + 1);
    open_arena(m, p->arena, 0x11);
}
/* One call; whether it gave the bits of the reference run. */
static int plain_call(Plain *p) {
    int same = 1;
    for (int i = 0; i < p->m->nout; i++) memset(p->op[i], 0x66, p->m->out[i].bytes);
    if (call_again(p->m, p->arena, (const void *const *)p->ip, p->op)) return 0;
    for (int i = 0; i < p->m->nout; i++) same &= !memcmp(p->m->out[i].data, p->op[i], p->m->out[i].bytes);
    return same;
}
static void plain_done(Plain *p) {
    for (int i = 0; i < p->m->nin; i++) free(p->ip[i]);
    for (int i = 0; i < p->m->nout; i++) free(p->op[i]);
    free(p->arena);
}
static void thread_counts(const Model *m) {
    Plain x, y;
    plain_open(&x, m), plain_open(&y, m);
    for (int round = 0; round < 3; round++)
        for (int n = 1; n <= m->threads; n += m->threads > 8 ? 13 : 1) {
            const int count = round == 1 ? m->threads + 1 - n : n;
            check(m->set_threads(x.arena, count) == 0, "set_threads between calls");
            for (int i = 0; i < 20; i++) check(plain_call(&x), "the same bits with any number of threads");
            check(plain_call(&y), "a second pool at the same time");
            if (round < 2) continue;
            usleep(3000); /* they sleep now */
            check(plain_call(&x) && plain_call(&y), "a call that wakes sleeping threads");
        }
    m->release(x.arena);
    m->release(x.arena); /* nothing is left to release */
    check(plain_call(&y), "the other pool after a release");
    memset(x.arena, 0x44, m->arena);
    open_arena(m, x.arena, 0x55);
    check(plain_call(&x) && plain_call(&x), "a call after a release");
    m->release(x.arena), m->release(y.arena);
    plain_done(&x), plain_done(&y);
}

static void *thread_main(void *arg) {
    const Model *m = arg;
    long good = 0;
    for (int i = 0; i < 4; i++) good += guarded_run(m, i & 1, 0, 17 * i + 1, 0);
    return (void *)good;
}
static void *symbol(void *lib, const char *id, const char *name, int needed) {
    char full[300];
    snprintf(full, sizeof full, "%s_%s", id, name);
    void *p = dlsym(lib, full);
    if (!p && needed) exit(printf("abi: no symbol %s\n", full) ? 2 : 2);
    return p;
}
int main(int argc, char **argv) {
    if (argc < 4) return printf("usage: driver MODEL.so ID ID.json [ID.weights]\n"), 2;
    static Model model;
    Model *m = &model;
    json_error_t error;
    json_t *manifest = json_load_file(argv[3], 0, &error);
    void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!manifest || !lib) return printf("abi: %s\n", manifest ? dlerror() : error.text), 2;
    *(void **)&m->invoke = symbol(lib, argv[2], "invoke", 1);
    *(void **)&m->bind = symbol(lib, argv[2], "bind", 0);
    *(void **)&m->set_threads = symbol(lib, argv[2], "set_threads", 1);
    *(void **)&m->release = symbol(lib, argv[2], "release", 1);
    symbol(lib, argv[2], "run", 1);
    m->arena = (size_t)json_integer_value(json_object_get(manifest, "arena_bytes"));
    m->state = (size_t)json_integer_value(json_object_get(manifest, "state_bytes"));
    m->threads = (int)json_integer_value(json_object_get(manifest, "threads"));
    m->nin = read_tensors(json_object_get(manifest, "inputs"), m->in);
    m->nout = read_tensors(json_object_get(manifest, "outputs"), m->out);
    check(m->arena >= m->state && m->arena % 64 == 0 && m->state <= 4096, "sizes of the arena and the state");
    check(!m->bind == (argc < 5), "bind exists only with --weights file");
    if (argc > 4) {
        FILE *f = fopen(argv[4], "rb");
        if (!f || fseek(f, 0, SEEK_END)) return printf("abi: cannot read %s\n", argv[4]), 2;
        m->weights_bytes = (size_t)ftell(f);
        rewind(f);
        m->weights = aligned_alloc(64, (m->weights_bytes + 63) / 64 * 64);
        if (fread(m->weights, 1, m->weights_bytes, f) != m->weights_bytes) return printf("abi: cannot read %s\n", argv[4]), 2;
        fclose(f);
    }
    for (int i = 0; i < m->nout; i++) m->out[i].data = malloc(m->out[i].bytes + 1);
    check(guarded_run(m, 1, 0, 0xa5, 1), "a run with all buffers at the end of accessible memory");
    check(guarded_run(m, 0, 0, 0x00, 0), "the same at its start, over zeros");
    check(guarded_run(m, 0, 1, 0xff, 0), "the same with the alignment of one element, over 0xff");
    refusals(m);
    thread_counts(m);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, thread_main, m);
    for (int i = 0; i < 2; i++) {
        void *good;
        pthread_join(thread[i], &good);
        check((long)good == 4, "two threads with an arena each");
    }
    static Plain left; /* its threads are still there when the process ends */
    plain_open(&left, m);
    check(plain_call(&left), "a call without a release");
    printf("abi: %s: %d passed, %d failed\n", argv[2], passed, failed);
    json_decref(manifest);
    return failed || !passed;
}
