/* Rows scaled to one length, and the way back.
 *   z = x - mean(x) if centred, else x;  y = length z / max(sqrt(|z|^2 + add), 1e-12)
 * Unit keys (add 0), root-mean-square and layer norm without weights are its cases. Used by Reformer's keys, routing, clustering. */
#ifndef SQ_ATTENTION_ENGINE_NORMALISE_H
#define SQ_ATTENTION_ENGINE_NORMALISE_H

#include "kernels/kernels.h"

typedef struct sq_normalise {
    int64_t D;
    bool centred;
    float length, add;
} sq_normalise;

/* y [rows, D] contiguous from x, rows x_row apart. */
void sq__normalise(const sq_normalise *form, const float *x, int64_t x_row, int64_t rows, float *y, const sq_kernels *kernels);
/* dx += J' dy, from the same x; scratch [D]. */
void sq__normalise_backward(const sq_normalise *form, const float *x, int64_t x_row, int64_t rows, const float *dy, float *dx, int64_t dx_row,
                            float *scratch, const sq_kernels *kernels);

#endif
