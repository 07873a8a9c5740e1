/* SPDX-License-Identifier: Apache-2.0 */
/* base.h: arena memory, growable vectors and text, string maps, checked arithmetic, diagnostics.
 * Assumes nothing; everything else in Quern stands on it. */
#ifndef QN_BASE_H
#define QN_BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- arena: memory that lives as long as one compilation (or one pass) and is freed at once ------------- */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *a);
/* Zeroed bytes, aligned to 16 (to 64 from 4 KiB on). Never NULL: running out of memory ends the process with
 * a message and exit status 1, in this one place. */
void *arena_alloc(Arena *a, size_t bytes);
void *arena_alloc_array(Arena *a, size_t n, size_t size); /* n*size, overflow checked */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const Arena *a); /* bytes handed out so far */
#define NEW(a, T)          ((T *)arena_alloc((a), sizeof(T)))
#define NEW_ARRAY(a, T, n) ((T *)arena_alloc_array((a), (size_t)(n), sizeof(T)))

/* ---- vectors: Vec(int) v = {0}; vec_push(a, &v, 3); v.v[i], v.n ------------------------------------------ */
#define Vec(T)                                                                                                                             \
    struct {                                                                                                                               \
        T *v;                                                                                                                              \
        int n, cap;                                                                                                                        \
    }
void *vec_grow(Arena *a, void *old, int n, int *cap, size_t size);
#define vec_push(a, p, x)                                                                                                                  \
    do {                                                                                                                                   \
        if ((p)->n == (p)->cap) (p)->v = vec_grow((a), (p)->v, (p)->n, &(p)->cap, sizeof *(p)->v);                                         \
        (p)->v[(p)->n++] = (x);                                                                                                            \
    } while (0)

/* ---- text: a growable byte string on the heap (outputs can be large; text_free gives it back) ----------- */
typedef struct Text {
    char *s; /* always NUL-terminated once something was written; NULL when empty */
    size_t n, cap;
} Text;
void text_free(Text *t);
void text_putn(Text *t, const char *s, size_t n);
void text_puts(Text *t, const char *s);
void text_printf(Text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(Text *t, const char *fmt, va_list ap);
/* The number written shortest so that it reads back to the same float (bits 32) or double (bits 64), always
 * with '.', 'e', "inf" or "nan" in it. */
void text_float(Text *t, double x, int bits);

/* ---- map: string -> pointer, insertion order kept ------------------------------------------------------- */
typedef struct Map Map;
Map *map_new(Arena *a);
void *map_get(const Map *m, const char *key);       /* NULL when absent */
void map_set(Map *m, const char *key, void *value); /* key is kept by reference */
int map_count(const Map *m);
const char *map_key(const Map *m, int i); /* i-th inserted */
void *map_value(const Map *m, int i);

/* ---- checked arithmetic: false on overflow -------------------------------------------------------------- */
static inline bool add_ok(int64_t a, int64_t b, int64_t *r) { return !__builtin_add_overflow(a, b, r); }
static inline bool mul_ok(int64_t a, int64_t b, int64_t *r) { return !__builtin_mul_overflow(a, b, r); }
static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }

/* ---- diagnostics: located, collected, printed at the end ------------------------------------------------ */
typedef struct Loc {
    const char *file; /* model or text file; may be NULL */
    int64_t index;    /* node index in the file, or line number (with a column: loc_place) when op is NULL; -1: none */
    const char *name; /* ONNX node name; may be NULL */
    const char *op;   /* op type; may be NULL */
} Loc;
/* A place in a text file as Loc.index: line and column, both from 1; column 0: not known. */
static inline int64_t loc_place(int64_t line, int64_t column) { return line | column << 32; }
static inline int64_t loc_line(int64_t place) { return place & 0xffffffff; }
#define NO_LOC ((Loc){NULL, -1, NULL, NULL})
typedef enum { DIAG_NOTE, DIAG_WARNING, DIAG_ERROR } Severity;
typedef struct Diag {
    Severity severity;
    Loc loc;
    const char *text;
} Diag;
typedef struct Diags {
    Arena *a;
    Vec(Diag) list; /* the first 1000 */
    int errors;     /* all of them */
    int warnings;
} Diags;
/* One sentence: what was found, what was expected; what to do. Always returns false, so that a check can end
 * with `return diag_error(...)`. */
bool diag_error(Diags *d, Loc loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_warn(Diags *d, Loc loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void diag_note(Diags *d, Loc loc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* `file: node 12 'conv1' (Conv): error: text` per line, `file:3:14: error: text` where the column is known; control characters of model
 * strings are escaped. */
void diag_format(const Diag *g, Text *out);
void diag_print_all(const Diags *d, bool colour); /* to stderr; the first 50 errors, then "and N more" */

/* A bug of ours: prints where, and how to replay it, then exits with status 3 (never a signal). */
#define BUG(...) bug_exit(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void bug_exit(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
extern const char *bug_replay; /* the command line that replays this run; set by the driver, may be NULL */

/* What every pass gets. */
typedef struct Ctx {
    Arena *a; /* lives as long as the compilation */
    Diags *d;
} Ctx;

/* ---- files ---------------------------------------------------------------------------------------------- */
/* Whole or not at all: writes beside `path` and renames. false (with errno text in an error) on failure. */
bool file_write_whole(Ctx *c, const char *path, const void *data, size_t bytes);
/* Regular files only, at most `limit` bytes. NULL and an error on failure. */
void *file_read_whole(Ctx *c, const char *path, size_t limit, size_t *bytes);
#endif
