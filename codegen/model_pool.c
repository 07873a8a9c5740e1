/* SPDX-License-Identifier: Apache-2.0 */
/* model_pool.c: what an emitted model has of an operating system: threads (runtime/qn_threads.h) and huge pages for large weights
 * (runtime/qn_weights.h), copied, their state in the arena's first bytes, and the entry points about it. Models without parallel
 * loops and large weights have only the entry points.
 *
 *   #define QN_THREADS_MAX 2   …   struct state { struct qn_pool pool; };   …   int net_set_threads(void *arena, int n) { … }
 */
#include "embedded.h"
#include "model.h"
#include <string.h>

/* Mutex and conditions of any C library we know of take less than 320 bytes; each thread has a word for its share and an identifier,
 * the words on cache lines of their own up to 32 threads. A multiple of 64; a check in the
 * emitted file holds it against the real size. */
int64_t pool_bytes(int threads) { return (640 + (int64_t)threads * (threads <= 32 ? 72 : 16) + 63) / 64 * 64; }

void pool_switches(const Model *m, Text *t) {
    const char *id = m->id;
    if (m->pool)
        text_printf(t,
                    "/* -D%s_NO_THREADS or -D%s_NO_OS: one thread. -D%s_OPENMP with -fopenmp: threads of OpenMP. */\n"
                    "#define QN_THREADS_MAX %d\n"
                    "#if defined(%s_NO_THREADS) || defined(%s_NO_OS)\n#define QN_NO_THREADS\n#elif defined(%s_OPENMP)\n#define QN_OPENMP\n"
                    "#endif\n",
                    id, id, id, m->threads, id, id, id);
    if (m->image)
        text_printf(t,
                    "/* -D%s_NO_OS: the weights stay where the linker has put them, without a copy in huge pages. */\n"
                    "#if defined(%s_NO_OS)\n#define QN_NO_IMAGE\n#elif !defined(_DEFAULT_SOURCE)\n#define _DEFAULT_SOURCE\n#endif\n",
                    id, id);
    if (m->pages)
        text_printf(t,
                    "/* -D%s_NO_OS: nothing is asked of the system for the arena, which is put into huge pages else. */\n"
                    "#if defined(%s_NO_OS)\n#define QN_NO_PAGES\n#elif !defined(_DEFAULT_SOURCE)\n#define _DEFAULT_SOURCE\n#endif\n",
                    id, id);
    if (m->pool || m->image || m->pages)
        text_printf(t, "#if !defined(%s_NO_OS) && !defined(_POSIX_C_SOURCE)\n#define _POSIX_C_SOURCE 200809L\n#endif\n", id);
}
static void put_runtime(Text *t, const char *name) {
    const Embedded *e = embedded_find(name);
    if (!e) BUG("the binary does not carry %s", name);
    const char *text = strchr(e->data, '\n'); /* behind the licence, which the file has already */
    text_putn(t, text, e->bytes - (size_t)(text - e->data));
}
void pool_runtime(const Model *m, Text *t) {
    if (m->pool) put_runtime(t, "runtime/qn_threads.h");
    if (m->image) put_runtime(t, "runtime/qn_weights.h");
    if (m->pages) put_runtime(t, "runtime/qn_pages.h");
}
void pool_state(const Model *m, Text *t) {
    bool file = m->weights == WEIGHTS_FILE;
    if (!file && !m->pool && !m->image && !m->pages) return;
    text_printf(t, "/* The arena's first bytes. */\nstruct state {\n%s%s%s%s};\n", file ? "    const void *weights;\n" : "",
                m->image ? "    struct qn_image image;\n" : "", m->pages ? "    struct qn_pages pages;\n" : "",
                m->pool ? "    struct qn_pool pool;\n" : "");
    text_printf(t, "typedef char state_fits[sizeof(struct state) <= %s_STATE_BYTES ? 1 : -1];\n\n", m->id);
}
void pool_entries(const Model *m, Text *t) {
    const char *id = m->id;
    text_printf(t, "int %s_set_threads(void *arena, int n) {\n    if (!arena || (uintptr_t)arena %% 64) return %s_E_ARENA;\n", id, id);
    if (m->pool)
        text_printf(t,
                    "    if (n < 1 || n > %s_THREADS) return %s_E_THREADS;\n    qn_pool_set(&((struct state *)arena)->pool, n);\n    "
                    "return %s_OK;\n}\n\n",
                    id, id, id);
    else text_printf(t, "    return n >= 1 && n <= %s_THREADS ? %s_OK : %s_E_THREADS;\n}\n\n", id, id, id);
}
void pool_release(const Model *m, Text *t) {
    bool file = m->weights == WEIGHTS_FILE;
    if (!m->pool && !file && !m->image && !m->pages) {
        text_printf(t, "void %s_release(void *arena) { (void)arena; }\n", m->id);
        return;
    }
    text_printf(t, "void %s_release(void *arena) {\n    struct state *state = arena;\n    if (!state) return;\n%s%s%s%s}\n", m->id,
                m->pool ? "    qn_pool_end(&state->pool);\n" : "", m->image ? "    qn_image_end(&state->image);\n" : "",
                m->pages ? "    state->pages.asked = 0;\n" : "", file ? "    state->weights = NULL;\n" : "");
}
