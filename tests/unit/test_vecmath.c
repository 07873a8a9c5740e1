/* SPDX-License-Identifier: Apache-2.0 */
/* test_vecmath.c: the functions of vecmath.def against libm in double, on every 401st float of all 2^32 (every one if QN_ALL_FLOATS is
 * set): within the stated bound in ulp, NaN for NaN, infinities and zeros with their signs. Each runs as emitted vectors, compiled
 * without fused multiply-adds and, where the processor has them, with; and in the interpreter on a part.
 *
 *   for i in 0..4096: for l in 0..16: y[i,l] = exp(x[i,l])     0.93 of 1.5 ulp
 */
#include "codegen/codegen.h"
#include "ir/vecmath.h"
#include <check.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 65536, LANES = 16 };
static double log1p_of(double x) { return x < -1 ? (double)NAN : log1p(x); }
static const struct {
    CallFn fn;
    double (*exact)(double);
} tested[] = {{CALL_EXP, exp},   {CALL_LOG, log},     {CALL_LOG1P, log1p_of}, {CALL_TANH, tanh}, {CALL_ERF, erf},
              {CALL_RINT, rint}, {CALL_TRUNC, trunc}, {CALL_FLOOR, floor},    {CALL_CEIL, ceil}};
enum { NTESTED = sizeof tested / sizeof *tested };

static Func *nest(Arena *a, CallFn fn) {
    Func *f = func_new(a, arena_printf(a, "map_%s", call_info[fn].name));
    Buf *x = func_param(f, "x", DT_FLOAT32, 1, (int64_t[]){N}), *y = func_param(f, "y", DT_FLOAT32, 1, (int64_t[]){N});
    Var *i = var_new(f, "i", DT_INT64), *l = var_new(f, "l", DT_INT64);
    Stmt *outer = s_for(a, i, e_int(a, 0), e_int(a, N / LANES)), *inner = s_for(a, l, e_int(a, 0), e_int(a, LANES));
    inner->u.loop.mode = LOOP_VEC;
    s_append(a, f->body, outer);
    s_append(a, outer->u.loop.body, inner);
    Expr *at = e_add(a, e_mul(a, e_var(a, i), e_int(a, LANES)), e_var(a, l));
    s_append(a, inner->u.loop.body, s_store(a, y, &at, e_call1(a, fn, e_load(a, x, &at)), RED_NONE));
    y->written = true;
    ck_assert_int_eq(vecmath_expand(f), 1);
    return f;
}
typedef void (*MapFn)(const float *x, float *y);
static void *compile(const Text *src, const char *flags, char *dir) {
    strcpy(dir, "/tmp/qn_vecmath_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char path[128], cmd[512];
    const char *cc = getenv("CC");
    snprintf(path, sizeof path, "%s/t.c", dir);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fwrite(src->s, 1, src->n, f);
    fclose(f);
    snprintf(cmd, sizeof cmd, "%s -O2 %s -Wno-psabi -fPIC -shared %s/t.c -o %s/t.so -lm", cc ? cc : "cc", flags, dir, dir);
    ck_assert_msg(system(cmd) == 0, "%s", cmd);
    snprintf(path, sizeof path, "%s/t.so", dir);
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(lib != NULL, "%s", dlerror());
    return lib;
}
static void remove_dir(const char *dir) {
    char path[128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, i ? "t.so" : "t.c");
        unlink(path);
    }
    rmdir(dir);
}
/* How far y is from the exact value, in units of the last place of the float nearest to it; huge where the kind is wrong. */
static double distance(double exact, float y) {
    float near = (float)exact;
    if (isnan(exact) || isnan(y)) return isnan(exact) && isnan(y) ? 0 : 1e9;
    if (isinf(near) || isinf(y)) return near == y ? 0 : isinf(near) && fabs(exact) < 3.41e38 && fabsf(y) > 3.4e38f ? 1 : 1e9;
    if (near == 0 && y == 0) return signbit(near) == signbit(y) || exact != 0 ? 0 : 1e9;
    int e;
    frexp(exact, &e);
    return fabs(exact - (double)y) / ldexp(1, (e < -125 ? -125 : e) - 24);
}
static void all_points(const char *how, int k, MapFn map, Func *f, uint64_t stride) {
    static float x[N], y[N];
    double worst = 0;
    float at = 0;
    Diags d = {.a = f->a};
    Ctx c = {f->a, &d};
    for (uint64_t bits = 0; bits < (uint64_t)1 << 32;) {
        for (int i = 0; i < N; i++, bits += stride) {
            uint32_t u = (uint32_t)bits;
            memcpy(&x[i], &u, 4);
        }
        if (map) map(x, y);
        else ck_assert(interp_run(&c, f, (void *[]){x, y}, NULL));
        for (int i = 0; i < N; i++) {
            double s = distance(tested[k].exact((double)x[i]), y[i]);
            if (s > worst) worst = s, at = x[i];
        }
    }
    if (getenv("QN_VERBOSE")) fprintf(stderr, "%-6s %-12s %.3f ulp at %.9g\n", call_info[tested[k].fn].name, how, worst, (double)at);
    ck_assert_msg(worst <= (vecmath_ulp(tested[k].fn) > 0 ? vecmath_ulp(tested[k].fn) : 0), "%s, %s: %g ulp at %.9g, stated are %g",
                  call_info[tested[k].fn].name, how, worst, (double)at, vecmath_ulp(tested[k].fn));
}

START_TEST(test_bounds) {
    Arena *a = arena_new();
    Func *f[NTESTED];
    Text src = {0}, body = {0};
    HelperSet help = {0};
    EmitStyle style = {.vectors = true};
    for (int k = 0; k < NTESTED; k++) {
        f[k] = nest(a, tested[k].fn);
        emit_func(&body, f[k], &style, false, NULL);
        ck_assert_msg(!strstr(body.s, arena_printf(a, " %s(", call_info[tested[k].fn].cf)), "a call is left in\n%s", body.s);
        emit_helpers_of(f[k], &help);
    }
    text_puts(&src, "#include <stdint.h>\n#include <string.h>\n#include <math.h>\n");
    emit_helpers(&src, &help);
    text_putn(&src, body.s, body.n);
    uint64_t stride = getenv("QN_ALL_FLOATS") ? 1 : 401;
    bool fma = false;
#if defined(__x86_64__)
    fma = __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2");
#endif
    for (int v = 0; v < (fma ? 2 : 1); v++) {
        char dir[64];
        void *lib = compile(&src, v ? "-mavx2 -mfma -ffp-contract=fast" : "-ffp-contract=off", dir);
        for (int k = 0; k < NTESTED; k++) {
            char name[32];
            snprintf(name, sizeof name, "map_%s", call_info[tested[k].fn].name);
            MapFn map = (MapFn)(intptr_t)dlsym(lib, name);
            ck_assert(map != NULL);
            all_points(v ? "fused" : "not fused", k, map, f[k], stride);
        }
        dlclose(lib);
        remove_dir(dir);
    }
    for (int k = 0; k < NTESTED; k++) all_points("interpreted", k, NULL, f[k], 40009);
    text_free(&src);
    text_free(&body);
    arena_free(a);
}
END_TEST

/* Loads that stand under a condition stay there; what is known to be evaluated anyway is moved. */
START_TEST(test_conditions) {
    Arena *a = arena_new();
    Diags d = {.a = a};
    Ctx c = {a, &d};
    Func *f = func_parse(&c, "t",
                         "func f(x: float32[8], c: bool[8]) -> writes y: float32[8]\n"
                         "  for i in 0..8\n"
                         "    y[i] = select(c[i], exp(x[i]), 0.0)\n");
    if (!f) diag_print_all(&d, false);
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(vecmath_expand(f), 0);
    f = func_parse(&c, "t",
                   "func f(x: float32[8]) -> writes y: float32[8]\n"
                   "  for i in 0..8\n"
                   "    let v: float32 = x[i]\n"
                   "    y[i] = select(0.0 < v, v, exp(v) - 1.0)\n");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(vecmath_expand(f), 1);
    ck_assert(func_verify(&c, f));
    f = func_parse(&c, "t",
                   "func f(x: float64[8]) -> writes y: float64[8]\n"
                   "  for i in 0..8\n"
                   "    y[i] = exp(x[i])\n");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(vecmath_expand(f), 0);
    arena_free(a);
}
END_TEST

Suite *vecmath_suite(void) {
    Suite *s = suite_create("vecmath");
    TCase *t = tcase_create("vecmath");
    tcase_set_timeout(t, getenv("QN_ALL_FLOATS") ? 3600 : 120);
    tcase_add_test(t, test_bounds);
    tcase_add_test(t, test_conditions);
    suite_add_tcase(s, t);
    return s;
}
