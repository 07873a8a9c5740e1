/* SPDX-License-Identifier: Apache-2.0 */
/* names.c: C identifiers from model strings, and the names that emitted code must not use: keywords of C and C++, the macros and
 * functions of the headers it includes (with threads <pthread.h>), and what POSIX and GNU add to <math.h>.
 *
 *   "conv1/weight:0" -> conv1_weight_0      "3x3" -> t_3x3      "int" -> int_      "exp" -> exp_
 */
#include "internal.h"
#include <stdlib.h>
#include <string.h>

static const char reserved[] =
    " alignas alignof and and_eq asm atomic_cancel auto bitand bitor bool break case catch char char16_t char32_t char8_t class co_await "
    "co_return co_yield compl complex concept const const_cast consteval constexpr constinit continue decltype default delete do double "
    "dynamic_cast else enum explicit export extern false float for friend goto if imaginary inline int long mutable namespace new noexcept "
    "noreturn not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires restrict return short "
    "signed "
    "sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename typeof union "
    "unsigned using virtual void volatile wchar_t while xor xor_eq linux unix i386 vax main NULL INFINITY NAN HUGE_VAL errno EOF stdin "
    "stdout stderr abs labs llabs malloc calloc realloc free memcpy memmove memset memcmp memchr strlen strcmp strcpy strcat strchr index "
    "rindex time clock signal div rand srand exit abort printf puts read write open close link select arena qn_min qn_max assert remove "
    "float_t double_t y0 y1 yn j0 j1 jn signgam gamma drem significand scalb isnan isinf isfinite isnormal signbit fpclassify isgreater "
    "isless isunordered iscanonical issignaling issubnormal iszero iseqsig exp10 pow10 sincos roundeven llogb nextup nextdown canonicalize "
    "fmaxmag fminmag fromfp fromfpx ufromfp ufromfpx setpayload getpayload totalorder totalordermag dadd dsub dmul ddiv dsqrt dfma fadd "
    "fsub "
    "fmul fdiv fsqrt ffma lgamma_r status arg buf state_fits nanosleep asctime ctime mktime gmtime localtime difftime tzname tzset "
    "timezone daylight ";
static const char math_stem[] =
    " acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 expm1 frexp ilogb ldexp log log10 log1p log2 logb modf "
    "scalbn scalbln cbrt fabs hypot pow sqrt erf erfc lgamma tgamma ceil floor nearbyint rint lrint llrint round lround llround trunc fmod "
    "remainder remquo copysign nan nextafter nexttoward fdim fmax fmin fma finite infnan ";

static bool in_list(const char *list, const char *s, size_t n) {
    char word[32];
    if (n == 0 || n > sizeof word - 3) return false;
    word[0] = word[n + 1] = ' ', word[n + 2] = 0;
    memcpy(word + 1, s, n);
    return strstr(list, word) != NULL;
}
bool name_reserved(const char *s) {
    size_t n = strlen(s);
    if (n > 24) return false;
    if (s[0] == '_' || !strncmp(s, "qn_", 3) || !strncmp(s, "str", 3) || !strncmp(s, "mem", 3)) return true;
    if (!strncmp(s, "pthread_", 8) || !strncmp(s, "timer_", 6) || !strncmp(s, "clock_", 6) || !strncmp(s, "sched_", 6)) return true;
    if (n > 2 && !strcmp(s + n - 2, "_t")) return true; /* int32_t and its like */
    if (in_list(reserved, s, n) || in_list(math_stem, s, n)) return true;
    return n > 1 && (s[n - 1] == 'f' || s[n - 1] == 'l') && (in_list(math_stem, s, n - 1) || in_list(reserved, s, n - 1));
}
static bool vector_like(const char *s) { return s[0] == 'v' && s[1] >= '0' && s[1] <= '9'; } /* v16f, v16f_u: the vector types */

const char *c_name(Arena *a, Map *used, const char *model_name, const char *fallback) {
    enum { CUT = 64 };
    char s[CUT + 2];
    size_t n = 0;
    for (const char *m = model_name ? model_name : ""; *m && n < CUT; m++) {
        char c = *m;
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (n == 0 || s[n - 1] == '_')) continue;
        s[n++] = word ? c : '_';
    }
    while (n && s[n - 1] == '_') n--;
    s[n] = 0;
    bool digit = n && s[0] >= '0' && s[0] <= '9';
    const char *stem = n == 0 ? fallback : digit ? arena_printf(a, "t_%.*s", CUT - 2, s) : arena_strdup(a, s);
    if (name_reserved(stem) || vector_like(stem)) stem = arena_printf(a, "%.*s_", CUT - 1, stem);
    const char *name = stem;
    intptr_t count = (intptr_t)map_get(used, stem); /* how often it was asked for: no search through its numbers */
    while (map_get(used, name)) {
        char tail[24];
        Text t = {0};
        text_printf(&t, "_%lld", (long long)++count);
        size_t k = t.n < sizeof tail - 1 ? t.n : sizeof tail - 1;
        memcpy(tail, t.s, k), tail[k] = 0;
        text_free(&t);
        name = arena_printf(a, "%.*s%s", (int)(CUT - k), stem, tail);
    }
    map_set(used, name, (void *)(intptr_t)1);
    if (name != stem) map_set(used, stem, (void *)count);
    return name;
}
