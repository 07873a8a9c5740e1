/* SPDX-License-Identifier: 0BSD */
/* qn_bytes.h: routines that move bytes. A routine gets its numbers and its buffers, and returns 0 or an error of the model's interface.
 *
 *   qn_copy_bytes({n}, {from, to})
 */
#ifndef QN_BYTES_H
#define QN_BYTES_H
#include <stdint.h>
#include <string.h>

/* @helper qn_copy_bytes deps: */
static int qn_copy_bytes(const int64_t *arg, void *const *buf) {
    memcpy(buf[1], buf[0], (size_t)arg[0]);
    return 0;
}
#endif
