/* SPDX-License-Identifier: Apache-2.0 */
/* interp_calls.c: the C routines that a nest may call by name: those of runtime/, and hints which compute nothing.
 *
 *   call qn_prefetch(i)(x)   --->   nothing happens: that x[i] will be needed soon
 *   call qn_fence()()        --->   nothing happens: what is behind it should not be computed earlier
 */
#include "list.h"
#include "runtime/ops/qn_bytes.h"
#include "runtime/ops/qn_grams.h"
#include "runtime/ops/qn_image.h"
#include "runtime/ops/qn_lists.h"
#include "runtime/ops/qn_pairs.h"
#include "runtime/ops/qn_random.h"
#include "runtime/ops/qn_strings.h"
#include "runtime/ops/qn_trees.h"
#include <string.h>

static int hint(const int64_t *arg, void *const *buf) {
    (void)arg, (void)buf;
    return 0;
}
static const struct {
    const char *name;
    InterpCall fn;
#define ROUTINE(fn)                                                                                                                        \
    { #fn, fn }
} rows[] = {
    {"qn_prefetch", hint},          {"qn_fence", hint},         {LOOP_ACCESS, hint}, /* for the C compiler only */
    ROUTINE(qn_copy_bytes),         ROUTINE(qn_grams),          ROUTINE(qn_image),
    ROUTINE(qn_list_get),           ROUTINE(qn_list_put),       ROUTINE(qn_list_rows),
    ROUTINE(qn_pair_probabilities), ROUTINE(qn_random),         ROUTINE(qn_string_concat),
    ROUTINE(qn_string_equal),       ROUTINE(qn_string_find),    ROUTINE(qn_string_rank),
    ROUTINE(qn_string_from),        ROUTINE(qn_string_match),   ROUTINE(qn_string_normalize),
    ROUTINE(qn_string_open),        ROUTINE(qn_string_pack),    ROUTINE(qn_string_split),
    ROUTINE(qn_string_to_int),      ROUTINE(qn_string_to_real), ROUTINE(qn_trees),
};

InterpCall interp_find_call(const char *name) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0) return rows[i].fn;
    return NULL;
}
bool call_is_hint(const char *name) { return interp_find_call(name) == hint; }
int interp_list_take(const int64_t *want, const int64_t *given, bool have, int64_t *to) { return qn_list_take(want, given, have, to); }
