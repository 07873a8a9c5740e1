/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c: answers that took long to find, kept in an SQLite file between runs: $QUERN_CACHE, else quern/cache.sqlite in
 * $XDG_CACHE_HOME or ~/.cache. Keys hold all that an answer depends on, the build of this program included, so nothing is ever stale; a
 * file that cannot be opened or is damaged only means that nothing is remembered. QUERN_CACHE=off, or a build without SQLite: the same.
 *   cache_put("explore", "eyeriss … evals=100000", "DRAM[M4] …")  ->  cache_get of the same key, in any later run, gives the text */
#include "cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef QN_SQLITE
#include <sqlite3.h>

/* The folder is made, no more than one level of it that other programs would also make. */
static const char *cache_path(Ctx *c) {
    const char *own = getenv("QUERN_CACHE"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own) return strcmp(own, "off") == 0 ? NULL : own;
    if (!(base && *base == '/') && !(home && *home == '/')) return NULL;
    const char *folder = base && *base == '/' ? base : arena_printf(c->a, "%s/.cache", home);
    const char *mine = arena_printf(c->a, "%s/quern", folder);
    if ((mkdir(folder, 0700) && errno != EEXIST) || (mkdir(mine, 0700) && errno != EEXIST)) return NULL;
    return arena_printf(c->a, "%s/cache.sqlite", mine);
}
static sqlite3 *open_cache(Ctx *c) {
    const char *path = cache_path(c);
    sqlite3 *db = NULL;
    if (!path) return NULL;
    if (sqlite3_open(path, &db) == SQLITE_OK) {
        sqlite3_busy_timeout(db, 2000); /* other runs write too */
        if (sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS answer (kind TEXT, key TEXT, value TEXT, PRIMARY KEY (kind, key))", NULL, NULL,
                         NULL) == SQLITE_OK)
            return db;
    }
    sqlite3_close(db);
    return NULL;
}
bool cache_check(Ctx *c) {
    const char *path = cache_path(c);
    sqlite3 *db = path ? open_cache(c) : NULL;
    sqlite3_stmt *q = NULL;
    bool ok = db && sqlite3_prepare_v2(db, "SELECT kind, key, value FROM answer", -1, &q, NULL) == SQLITE_OK;
    int r = ok ? sqlite3_step(q) : SQLITE_ERROR;
    if (path && r != SQLITE_ROW && r != SQLITE_DONE)
        diag_warn(c->d, (Loc){path, -1, NULL, NULL},
                  "the cache is ignored: it cannot be opened or is not one of ours; remove the file, or name another with QUERN_CACHE");
    sqlite3_finalize(q), sqlite3_close(db);
    return path && (r == SQLITE_ROW || r == SQLITE_DONE);
}
/* The program that gave an answer: another build may give another. */
static const char *build_id(Ctx *c) {
    struct stat s;
    if (stat("/proc/self/exe", &s)) return QUERN_VERSION;
    return arena_printf(c->a, QUERN_VERSION " %lld %lld.%09ld", (long long)s.st_size, (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
}
static sqlite3_stmt *prepare(Ctx *c, sqlite3 *db, const char *sql, const char *kind, const char *key, const char *value) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK) return NULL;
    sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, arena_printf(c->a, "%s\n%s", build_id(c), key), -1, SQLITE_STATIC);
    if (value) sqlite3_bind_text(q, 3, value, -1, SQLITE_STATIC);
    return q;
}
const char *cache_get(Ctx *c, const char *kind, const char *key) {
    sqlite3 *db = open_cache(c);
    const char *r = NULL;
    if (!db) return NULL;
    sqlite3_stmt *q = prepare(c, db, "SELECT value FROM answer WHERE kind = ?1 AND key = ?2", kind, key, NULL);
    if (q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0)) r = arena_strdup(c->a, (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q), sqlite3_close(db);
    return r;
}
void cache_put(Ctx *c, const char *kind, const char *key, const char *value) {
    sqlite3 *db = open_cache(c);
    if (!db) return;
    sqlite3_stmt *q = prepare(c, db, "INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3)", kind, key, value);
    if (q) sqlite3_step(q);
    sqlite3_finalize(q), sqlite3_close(db);
}
#else
bool cache_check(Ctx *c) { return (void)c, false; }
const char *cache_get(Ctx *c, const char *kind, const char *key) { return (void)c, (void)kind, (void)key, NULL; }
void cache_put(Ctx *c, const char *kind, const char *key, const char *value) { (void)c, (void)kind, (void)key, (void)value; }
#endif
