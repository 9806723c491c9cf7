#include "attention/engine/normalise.h"

#include <math.h>
#include <string.h>

/* z into y; returns sqrt(|z|^2 + add), and whether it is above the floor. */
static float centre(const sq_normalise *form, const float *x, float *z, bool *free, const sq_kernels *kernels)
{
    const float mean = form->centred ? kernels->sum(x, form->D) / (float)form->D : 0;
    for (int64_t d = 0; d < form->D; d++) z[d] = x[d] - mean;
    const float size = sqrtf(kernels->dot(z, z, form->D) + form->add);
    *free = size > 1e-12f;
    return *free ? size : 1e-12f;
}

void sq__normalise(const sq_normalise *form, const float *x, int64_t x_row, int64_t rows, float *y, const sq_kernels *kernels)
{
    for (int64_t i = 0; i < rows; i++, y += form->D) {
        bool free;
        const float size = centre(form, x + i * x_row, y, &free, kernels);
        kernels->scale(y, form->length / size, form->D);
    }
}

/* dz = length (dy / s - z (z.dy) / s^3), the second term only where s is not the floor; dx = dz - mean(dz) if centred */
void sq__normalise_backward(const sq_normalise *form, const float *x, int64_t x_row, int64_t rows, const float *dy, float *dx, int64_t dx_row,
                            float *scratch, const sq_kernels *kernels)
{
    for (int64_t i = 0; i < rows; i++, dy += form->D) {
        bool free;
        const float size = centre(form, x + i * x_row, scratch, &free, kernels), along = free ? kernels->dot(scratch, dy, form->D) / size / size : 0;
        kernels->scale(scratch, -along, form->D);
        kernels->axpy(scratch, 1, dy, form->D);
        const float mean = form->centred ? kernels->sum(scratch, form->D) / (float)form->D : 0;
        for (int64_t d = 0; d < form->D; d++) dx[i * dx_row + d] += form->length / size * (scratch[d] - mean);
    }
}
