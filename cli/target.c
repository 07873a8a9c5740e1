/* SPDX-License-Identifier: Apache-2.0 */
/* target.c: what --target says: one target, or several joined by + for one emitted file. A built-in name may leave out its family, `host`
 * is what this machine runs. Layouts are made for the longest vectors among them.
 *
 *   c99+avx2+avx512   --->   code for x86_avx512, x86_avx2 and c99, tried in this order; layouts for x86_avx512
 */
#include "cli.h"
#include "codegen/target_yaml.h"
#include "ir/dot.h"
#include <string.h>
#include <unistd.h>
#if (defined(__riscv) || defined(__aarch64__)) && defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__)
static bool x86_half(void) { /* not by name, which compilers learn late */
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 23 & 1);
}
#endif
/* The best built-in target that this machine can run; half: that computes in half precision where there is one. */
static const char *host_target(bool half) {
    (void)half;
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return half && x86_half() ? "x86_avx512_fp16" : __builtin_cpu_supports("avx512vnni") ? "x86_avx512_vnni" : "x86_avx512";
    unsigned a = 0, b, c, d; /* AVX-VNNI is bit 4 */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1) ? "x86_avx2_vnni" : "x86_avx2";
#elif defined(__aarch64__)
#if defined(__linux__)
    if (half && (getauxval(AT_HWCAP) & 0x100400) == 0x100400) return "aarch64_fp16"; /* FPHP, ASIMDDP */
#endif
    return "aarch64_neon";
#elif defined(__riscv) && __riscv_xlen == 64 && defined(__linux__)
    return getauxval(AT_HWCAP) >> ('V' - 'A') & 1 ? "riscv64_v" : "riscv64";
#endif
    return "c99";
}
bool target_half_here(const Target *t) {
#if defined(__x86_64__) && defined(__GNUC__)
    return t && t->half && t->family && strcmp(t->family, "x86") == 0 && x86_half();
#else
    return t && t->half && strcmp(host_target(true), t->name) == 0;
#endif
}
/* `avx2` for x86_avx2, if only one built-in name ends so. */
static const char *full_name(Ctx *c, const char *name, bool half) {
    const char *found = NULL, *t;
    size_t n = strlen(name);
    if (strcmp(name, "host") == 0) return host_target(half);
    for (int i = 0; (t = target_builtin(c->a, i)); i++) {
        size_t k = strlen(t);
        if (strcmp(t, name) == 0) return t;
        if (k > n + 1 && t[k - n - 1] == '_' && strcmp(t + k - n, name) == 0) {
            if (found) return name;
            found = t;
        }
    }
    return found ? found : name;
}
/* A built-in target has the caches of the smallest cores of its kind; those of this machine's are known. */
static void host_caches(Target *t) {
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
    const struct {
        const char *level;
        int key;
    } row[] = {{"L1", _SC_LEVEL1_DCACHE_SIZE}, {"L2", _SC_LEVEL2_CACHE_SIZE}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        int level = target_level(t, row[i].level);
        long bytes = sysconf(row[i].key);
        if (level > 0 && bytes >= 4096 && bytes <= 1 << 28) t->level[level].words = bytes * 8 / t->level[level].word_bits;
    }
#else
    (void)t;
#endif
}
static Target *named(Ctx *c, const char *name, bool half) {
    Target *t = target_load(c, full_name(c, name, half));
    if (t && strcmp(name, "host") == 0) host_caches(t);
    return t;
}
Target *target_named(Ctx *c, const char *name) { return named(c, name, false); }
/* Of two with vectors of a length the one with dot products, which layouts are made for. */
static bool better(Arena *a, const Target *x, const Target *y) {
    DotRow row;
    if (x->vector_bits != y->vector_bits) return x->vector_bits > y->vector_bits;
    if (x->half != y->half) return x->half;
    return target_dot(a, x, target_lanes(x, 32), &row) && !target_dot(a, y, target_lanes(y, 32), &row);
}

bool target_option(Ctx *c, Options *o) {
    if (o->machine) return true;
    const char *all = o->target ? o->target : "c99";
    Vec(const Target *) list = {0};
    for (const char *s = all;; s += strcspn(s, "+") + 1) {
        const char *name = arena_strndup(c->a, s, strcspn(s, "+"));
        if (!*name) return diag_error(c->d, NO_LOC, "--target %s: a name is missing; expected NAME+NAME…", all);
        Target *t = named(c, name, o->pass.fast_f16);
        if (!t) return false;
        for (int i = 0; i < list.n; i++) {
            const char *why = target_clash(c->a, t, list.v[i]);
            if (why) return diag_error(c->d, NO_LOC, "--target %s: %s; leave one out", all, why);
        }
        int at = list.n;
        vec_push(c->a, &list, t);
        for (; at > 0 && !better(c->a, list.v[at - 1], t); at--) list.v[at] = list.v[at - 1];
        list.v[at] = t;
        if (!s[strcspn(s, "+")]) break;
    }
    o->machine = o->pass.target = list.v[0];
    if (o->pass.fast_f16 && o->pass.precise)
        return diag_error(c->d, NO_LOC, "--fast-f16 and --precise: half precision is not the same on every target; leave one out");
    if (o->pass.fast_f16 && !o->machine->half)
        return diag_error(
            c->d, NO_LOC,
            "--fast-f16: target %s does not compute in half precision; expected --target x86_avx512_fp16, aarch64_fp16, host on "
            "a machine that does, or one of them joined with others (%s+avx512_fp16); or leave --fast-f16 out",
            o->machine->name, strcmp(o->machine->family ? o->machine->family : "", "aarch64") == 0 ? "neon" : "c99");
    if (o->pass.precise) o->pass.target = target_load(c, "x86_avx512"); /* for layouts alone: they decide the order of sums */
    for (int i = 0; i < list.n && (list.n > 1 || o->pass.precise); i++) vec_push(c->a, &o->pass.variant, list.v[i]);
    return o->pass.target != NULL;
}
