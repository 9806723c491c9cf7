/* Orthogonal random directions from normal draws. */
#ifndef SQ_ATTENTION_ORTHOGONAL_H
#define SQ_ATTENTION_ORTHOGONAL_H

#include "subquad/status.h"

/* out [m,D]: blocks [ceil(m/D),D,D] of standard normal draws; each becomes the D rows of Q' of its Householder QR (as LAPACK
 * returns it, no sign fixed), stacked, the first m kept. Row i is multiplied by |norms_i|, norms [m,D], or by sqrt(D) when
 * norms is NULL. SQ_NO_MEMORY alone. */
sq_status sq__orthogonal_directions(const float *blocks, const float *norms, int64_t m, int64_t D, float *out);

#endif
