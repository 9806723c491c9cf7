/* FastRNN and FastGRNN (Kusupati et al., arXiv:1901.02358): a weighted residual connection over time with two scalars, and its gated
 * form, whose gate shares the weights of the candidate. */
#include <math.h>

#include "autograd/recurrent_cells.h"

static float squash(float x) { return 1 / (1 + expf(-x)); }

/* What two rows of scalars say about the raw parameters: dsigmoid. */
static void add_scalars(float *d, const float *parameters, const float *kept, int64_t rows, int64_t ld)
{
    double sums[2] = { 0, 0 };
    for (int64_t r = 0; r < rows; r++)
        for (int i = 0; i < 2; i++) sums[i] += kept[r * ld + i];
    for (int i = 0; i < 2; i++) {
        const float s = squash(parameters[i]);
        d[i] += (float)(sums[i] * s * (1 - s));
    }
}

/* ---- fastrnn: gates keep tanh; kept becomes the gradients of sigmoid(alpha) and sigmoid(beta) ---- */

static int64_t two(int64_t H)
{
    (void)H;
    return 2;
}

static void fastrnn_forward(const sq_cell_row *row)
{
    const float alpha = squash(row->parameters[0]), beta = squash(row->parameters[1]);
    float *c = row->gates, *h = row->h;
    sq__kernels()->axpy(c, 1.0f, row->input, row->H);
    sq__kernels()->tanh(c, c, row->H);
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) h[i] = beta * h[i] + alpha * c[i];
}

static void fastrnn_backward(const sq_cell_row *row)
{
    const float alpha = squash(row->parameters[0]), beta = squash(row->parameters[1]);
    float *c = row->gates, *dh = row->dh;
    row->kept[0] = sq__kernels()->dot(dh, c, row->H);
    row->kept[1] = sq__kernels()->dot(dh, row->h_before, row->H);
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) {
        c[i] = dh[i] * alpha * (1 - c[i] * c[i]);
        dh[i] *= beta;
    }
}

static void fastrnn_gradient(float *d, const float *parameters, const float *gates, const float *kept, int64_t rows, int64_t H)
{
    (void)gates, (void)H;
    add_scalars(d, parameters, kept, rows, 2);
}

const sq_cell_kind sq__cell_fastrnn = { .name = "fastrnn", .blocks = 1, .within = 1, .passes = true, .kept = two, .parameters = two,
                                        .forward = fastrnn_forward, .backward = fastrnn_backward, .parameter_gradient = fastrnn_gradient };

/* ---- fastgrnn: gates keep c, kept keeps [z | zeta | nu]; backward: gates ds, kept the gradient before z and of the two sigmoids ---- */

static int64_t fastgrnn_kept(int64_t H) { return H + 2; }
static int64_t fastgrnn_parameters(int64_t H) { return 2 * H + 2; }

static void fastgrnn_forward(const sq_cell_row *row)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t H = row->H;
    const float zeta = squash(row->parameters[2 * H]), nu = squash(row->parameters[2 * H + 1]), *bias = row->parameters;
    float *c = row->gates, *z = row->kept, *h = row->h;
#pragma omp simd
    for (int64_t i = 0; i < H; i++) {
        const float s = c[i] + row->input[i];
        z[i] = s + bias[i];
        c[i] = s + bias[H + i];
    }
    kernels->sigmoid(z, z, H);
    kernels->tanh(c, c, H);
#pragma omp simd
    for (int64_t i = 0; i < H; i++) h[i] = z[i] * h[i] + (zeta * (1 - z[i]) + nu) * c[i];
}

static void fastgrnn_backward(const sq_cell_row *row)
{
    const int64_t H = row->H;
    const float zeta = squash(row->parameters[2 * H]), nu = squash(row->parameters[2 * H + 1]), *h = row->h_before;
    float *c = row->gates, *z = row->kept, *dh = row->dh, of_zeta = 0, of_nu = 0;
    for (int64_t i = 0; i < H; i++) {
        const float d = dh[i], dz = d * (h[i] - zeta * c[i]) * z[i] * (1 - z[i]);
        of_zeta += d * c[i] * (1 - z[i]);
        of_nu += d * c[i];
        c[i] = dz + d * (zeta * (1 - z[i]) + nu) * (1 - c[i] * c[i]);
        dh[i] = d * z[i];
        z[i] = dz;
    }
    row->kept[H] = of_zeta;
    row->kept[H + 1] = of_nu;
}

static void fastgrnn_gradient(float *d, const float *parameters, const float *gates, const float *kept, int64_t rows, int64_t H)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *z = kept + r * (H + 2), *s = gates + r * H;
#pragma omp simd
        for (int64_t i = 0; i < H; i++) {
            d[i] += z[i];
            d[H + i] += s[i] - z[i];
        }
    }
    add_scalars(d + 2 * H, parameters + 2 * H, kept + H, rows, H + 2);
}

const sq_cell_kind sq__cell_fastgrnn = { .name = "fastgrnn", .blocks = 1, .within = 1, .passes = true, .kept = fastgrnn_kept,
                                         .parameters = fastgrnn_parameters, .forward = fastgrnn_forward, .backward = fastgrnn_backward,
                                         .parameter_gradient = fastgrnn_gradient };
