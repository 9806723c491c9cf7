/* Scalar functions applied to every element, and their derivatives from x alone. Depends on tape.h, kernels. */
#ifndef SQ_AUTOGRAD_ACTIVATION_H
#define SQ_AUTOGRAD_ACTIVATION_H

#include "autograd/tape.h"

void sq__activation_forward(sq_activation activation, float *y, const float *x, int64_t n);                       /* y may be x */
void sq__activation_backward(sq_activation activation, float *dx, const float *dy, const float *x, int64_t n);   /* dx may be dy */

#endif
