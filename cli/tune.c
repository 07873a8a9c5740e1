/* SPDX-License-Identifier: Apache-2.0 */
/* tune.c: answers the passes' questions which mapping of a kernel to take (passes/tune.h): from a file of earlier choices
 * (--tune-from), from the cache of this machine (cache.c), else, with --tune, by a measurement, which the cache keeps. All answers can be
 * written into such a file (--tune-export), to be committed: lines of kernel, target and choice, separated by tabs.
 *
 *   Conv 64x56x56 to 64 …    x86_avx512    winograd 4 rows 7 points 14 vecs 2
 */
#define _GNU_SOURCE
#include "tune.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MOST = 64 << 20 };
static const char *const head = "# quern tuned 1";

static int find_choice(const TuneAsk *ask, const char *choice) {
    for (int i = 0; choice && i < ask->n; i++)
        if (strcmp(ask->choice[i], choice) == 0) return i;
    return -1;
}
static const char *key_of(Tuning *t, const char *kernel) { return arena_printf(t->c->a, "%s\t%s", kernel, t->target); }

/* ---- the file */
static bool file_line(Tuning *t, const char *path, int number, const char *line, size_t n) {
    char *copy = arena_strndup(t->c->a, line, n), *choice = strrchr(copy, '\t');
    if (n == 0 || *line == '#') return true;
    if (!choice || choice == copy || !choice[1] || !memchr(copy, '\t', (size_t)(choice - copy))) {
        diag_warn(t->c->d, (Loc){path, -1, NULL, NULL}, "line %d is not kernel, target and choice, separated by tabs; it is ignored",
                  number);
        return false;
    }
    *choice++ = 0;
    map_set(t->given, copy, choice);
    return true;
}
static bool file_read(Tuning *t, const char *path) {
    size_t bytes;
    const char *text = file_read_whole(t->c, path, FILE_MOST, &bytes), *end = text + bytes;
    if (!text) return false;
    if (bytes < strlen(head) || memcmp(text, head, strlen(head)) != 0) {
        diag_warn(t->c->d, (Loc){path, -1, NULL, NULL}, "does not begin with '%s', so it is no file of --tune-export; it is ignored", head);
        return true;
    }
    int number = 1, wrong = 0;
    for (const char *s = text; s < end && wrong < 10; number++) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        if (!stop) stop = end;
        wrong += !file_line(t, path, number, s, (size_t)(stop - s));
        s = stop + 1;
    }
    return true;
}
static bool file_write(Tuning *t, const char *path) {
    Text text = {0};
    text_printf(&text, "%s: kernel, target, choice\n", head);
    for (int i = 0; i < t->used.n; i++) text_printf(&text, "%s\t%s\n", t->used.v[i].key, t->used.v[i].choice);
    bool ok = file_write_whole(t->c, path, text.s, text.n);
    text_free(&text);
    return ok;
}

/* ---- what a measurement depends on beside kernel and target: processor, compiler and its flags; the cache adds our own build */
static const char *first_line(Ctx *c, FILE *f, const char *mark) { /* what follows the mark in the first line that has it */
    char line[512];
    while (f && fgets(line, sizeof line, f)) {
        char *at = strstr(line, mark);
        if (!at) continue;
        at += strlen(mark);
        at[strcspn(at, "\n")] = 0;
        return arena_strdup(c->a, at);
    }
    return "unknown";
}
static const char *host_of(Tuning *t) {
    const char *cc = t->o->cc ? t->o->cc : getenv("CC") && *getenv("CC") ? getenv("CC") : "cc";
    FILE *f = fopen("/proc/cpuinfo", "r"), *p = popen(arena_printf(t->c->a, "%s --version 2>/dev/null", cc), "r");
    const char *cpu = first_line(t->c, f, "model name\t: "), *version = first_line(t->c, p, "");
    if (f) fclose(f);
    if (p) pclose(p);
    return arena_printf(t->c->a, "%s; %s %s", cpu, version, t->o->cflags ? t->o->cflags : "");
}

/* ---- answers */
static void use(Tuning *t, const char *key, const char *choice) {
    map_set(t->known, key, (void *)choice);
    vec_push(t->c->a, &t->used, ((TuneUsed){key, choice}));
}
static int answer(void *user, const TuneAsk *ask) {
    Tuning *t = user;
    const char *key = key_of(t, ask->kernel);
    int i = find_choice(ask, map_get(t->known, key));
    if (i >= 0) return i;
    const char *given = map_get(t->given, key), *kept = NULL, *cache_key = arena_printf(t->c->a, "%s\t%s", key, t->host);
    i = find_choice(ask, given);
    if (given && i < 0)
        diag_warn(t->c->d, NO_LOC, "--tune-from: '%s' is no choice for '%s' in this version; it is ignored", given, ask->kernel);
    if (i < 0 && t->measure) {
        kept = t->cache ? cache_get(t->c, "tune", cache_key) : NULL;
        i = find_choice(ask, kept);
        if (kept && i < 0)
            diag_warn(t->c->d, NO_LOC, "tuning cache: '%s' is no choice for '%s' in this version; it is measured again", kept, ask->kernel);
    }
    if (i < 0 && t->measure) {
        i = tune_measure(t, ask);
        if (i >= 0 && t->cache) cache_put(t->c, "tune", cache_key, ask->choice[i]);
        t->measured += i >= 0;
    }
    if (i >= 0) use(t, key, ask->choice[i]);
    return i >= 0 ? i : 0;
}
bool tune_begin(Ctx *c, Options *o) {
    if (!o->tune && !o->tune_from) return true;
    Tuning *t = NEW(c->a, Tuning);
    *t = (Tuning){.c = c, .o = o, .measure = o->tune, .known = map_new(c->a), .given = map_new(c->a)};
    t->target = arena_printf(c->a, "%s%s, %d thread%s", o->machine->name, o->pass.precise ? ", precise" : "", o->threads,
                             o->threads > 1 ? "s" : "");
    t->tuner = (Tuner){t, answer};
    if (o->tune_from && !file_read(t, o->tune_from)) return false;
    if (t->measure) t->host = host_of(t), t->cache = cache_check(c);
    o->pass.tuner = &t->tuner;
    o->tuning = t;
    return true;
}
bool tune_end(Options *o) {
    Tuning *t = o->tuning;
    if (!t) return true;
    o->pass.tuner = NULL, o->tuning = NULL;
    return !o->tune_export || file_write(t, o->tune_export);
}
