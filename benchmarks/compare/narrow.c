/* SPDX-License-Identifier: Apache-2.0 */
/* narrow.c: a processor without AVX-512 and AMX, for libraries that choose their kernels by the instruction CPUID: Linux lets a process
 * have it fault (on Intel's processors that can), and the handler answers without the bits of those features.
 *
 *   QUERN_ORT_ISA=avx2 benchmarks/compare.sh --target x86_avx2 …
 */
#define _GNU_SOURCE
#include "child.h"
#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { SET_CPUID = 0x1012 }; /* of arch_prctl */
enum { AVX512_B7 = 3 << 16 | 1 << 21 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 30, AVX512_C7 = 1 << 1 | 1 << 6 | 1 << 11 | 1 << 12 | 1 << 14 };
enum { AVX512_D7 = 1 << 2 | 1 << 3 | 1 << 8 | 1 << 22 | 1 << 23 | 1 << 24 | 1 << 25, VNNI_A71 = 1 << 4 | 1 << 5 };
static void answer(int signal_number, siginfo_t *info, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)r[REG_RIP]; /* NOLINT: an address of this process */
    unsigned leaf = (unsigned)r[REG_RAX], part = (unsigned)r[REG_RCX], a, b, c, d;
    (void)info;
    if (at[0] != 0x0f || at[1] != 0xa2) { /* another fault: as usual */
        signal(signal_number, SIG_DFL);
        return;
    }
    syscall(SYS_arch_prctl, SET_CPUID, 1);
    __cpuid_count(leaf, part, a, b, c, d);
    syscall(SYS_arch_prctl, SET_CPUID, 0);
    if (leaf == 7 && part == 0) b &= ~((unsigned)AVX512_B7 | 1u << 31), c &= ~(unsigned)AVX512_C7, d &= ~(unsigned)AVX512_D7;
    if (leaf == 7 && part == 1) a &= ~(unsigned)VNNI_A71;
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}
void narrow_to_avx2(void) {
    struct sigaction s = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &s, NULL) || syscall(SYS_arch_prctl, SET_CPUID, 0))
        fail("this machine has no faults for CPUID: QUERN_ORT_ISA cannot be set");
}
#else
void narrow_to_avx2(void) { fail("QUERN_ORT_ISA is for Linux on x86-64"); }
#endif
