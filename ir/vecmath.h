/* SPDX-License-Identifier: Apache-2.0 */
/* vecmath.h: transcendental functions of float32 as arithmetic of the loop IR, for targets with vectors. Portable C keeps libm. */
#ifndef QN_VECMATH_H
#define QN_VECMATH_H
#include "loop.h"

/* Every call of a function that vecmath.def has becomes lets in front of its statement. Calls in an arm of a select whose operands
 * are loaded only there stay as they are: the loads must not be moved. Returns how many calls were replaced. */
int vecmath_expand(Func *f);
/* The value of f(x), x of type float32, with its lets appended to `block`; NULL: vecmath.def has no such function. */
Expr *vecmath_call(Func *f, Stmt *block, CallFn fn, Expr *x);
double vecmath_ulp(CallFn fn); /* the stated bound; negative: no such function */
#endif
