/* SPDX-License-Identifier: Apache-2.0 */
/* embedded.h: the files that the binary carries: the runtime's sources and the targets, by their path in the source tree. */
#ifndef QN_EMBEDDED_H
#define QN_EMBEDDED_H
#include <stddef.h>

typedef struct Embedded {
    const char *name; /* "runtime/qn_num.h"; NULL ends the table */
    const char *data; /* a NUL byte follows */
    size_t bytes;
} Embedded;
extern const Embedded embedded_files[];
const Embedded *embedded_find(const char *name); /* NULL if there is none */
#endif
