/* Reference of the sine and cosine slot. */
#include <math.h>

#include "kernels/overlay.h"

static void sine_cosine(float *sine, float *cosine, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float angle = x[i];
        sine[i] = sinf(angle);
        cosine[i] = cosf(angle);
    }
}

void sq__trigonometry_ref(sq_kernels *table)
{
    table->sine_cosine = sine_cosine;
}
