/* Cells without gates: one pre-activation, x + u, and a function of it. */
#include <math.h>

#include "autograd/recurrent_cells.h"

/* ---- rnn ---- */

static void tanh_forward(const sq_cell_row *row)
{
    sq__kernels()->axpy(row->gates, 1.0f, row->input, row->H);
    sq__kernels()->tanh(row->gates, row->gates, row->H);
    for (int64_t i = 0; i < row->H; i++) row->result[i] = row->gates[i];
}

static void tanh_backward(const sq_cell_row *row)
{
    float *y = row->gates;
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) y[i] = row->dresult[i] * (1 - y[i] * y[i]);
}

const sq_cell_kind sq__cell_rnn_tanh = { .name = "rnn_tanh", .blocks = 1, .within = 1, .forward = tanh_forward, .backward = tanh_backward };

static void relu_forward(const sq_cell_row *row)
{
    float *y = row->gates;
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) {
        const float s = y[i] + row->input[i];
        row->result[i] = y[i] = s < 0 ? 0 : s;   /* NaN stays */
    }
}

static void relu_backward(const sq_cell_row *row)
{
    float *y = row->gates;
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) y[i] = y[i] > 0 ? row->dresult[i] : 0;
}

const sq_cell_kind sq__cell_rnn_relu = { .name = "rnn_relu", .blocks = 1, .within = 1, .forward = relu_forward, .backward = relu_backward };

/* ---- complex tanh: of each part, with the same bias ---- */

static int64_t half(int64_t H) { return H / 2; }
static int64_t whole(int64_t H) { return H; }

static void complex_tanh_forward(const sq_cell_row *row)
{
    const int64_t N = row->H / 2;
    sq__kernels()->axpy(row->gates, 1.0f, row->parameters, N);
    sq__kernels()->axpy(row->gates + N, 1.0f, row->parameters, N);
    tanh_forward(row);
}

static void complex_tanh_gradient(float *d, const float *parameters, const float *gates, const float *kept, int64_t rows, int64_t H)
{
    (void)parameters, (void)kept;
    for (int64_t r = 0; r < rows; r++, gates += H) {
        sq__kernels()->axpy(d, 1.0f, gates, H / 2);
        sq__kernels()->axpy(d, 1.0f, gates + H / 2, H / 2);
    }
}

const sq_cell_kind sq__cell_complex_tanh = { .name = "complex_tanh", .blocks = 1, .within = 1, .is_complex = true, .parameters = half,
                                             .forward = complex_tanh_forward, .backward = tanh_backward,
                                             .parameter_gradient = complex_tanh_gradient };

/* ---- modrelu: y = s q(|s|), q(r) = relu(r + b) / (r + eps); gates keep s, kept becomes the gradient of b ----
 * dq/dr = 1[r + b > 0] / (r + eps) - relu(r + b) / (r + eps)^2 */

#define EPS 1e-5f

static float quotient(float r, float b) { return r + b > 0 ? (r + b) / (r + EPS) : 0; }

static float slope(float r, float b)
{
    return r + b > 0 ? 1 / (r + EPS) - (r + b) / ((r + EPS) * (r + EPS)) : 0;
}

static void modrelu_forward(const sq_cell_row *row)
{
    float *s = row->gates;
    for (int64_t i = 0; i < row->H; i++) {
        s[i] += row->input[i];
        row->result[i] = s[i] * quotient(fabsf(s[i]), row->parameters[i]);
    }
}

static void modrelu_backward(const sq_cell_row *row)
{
    float *s = row->gates;
    for (int64_t i = 0; i < row->H; i++) {
        const float r = fabsf(s[i]), b = row->parameters[i], d = row->dresult[i];
        row->kept[i] = r + b > 0 ? d * s[i] / (r + EPS) : 0;
        s[i] = d * (quotient(r, b) + r * slope(r, b));
    }
}

static void complex_modrelu_forward(const sq_cell_row *row)
{
    const int64_t N = row->H / 2;
    float *re = row->gates, *im = re + N;
    for (int64_t i = 0; i < N; i++) {
        re[i] += row->input[i];
        im[i] += row->input[N + i];
        const float q = quotient(sqrtf(re[i] * re[i] + im[i] * im[i]), row->parameters[i]);
        row->result[i] = re[i] * q;
        row->result[N + i] = im[i] * q;
    }
}

static void complex_modrelu_backward(const sq_cell_row *row)
{
    const int64_t N = row->H / 2;
    float *re = row->gates, *im = re + N;
    for (int64_t i = 0; i < N; i++) {
        const float r = sqrtf(re[i] * re[i] + im[i] * im[i]), b = row->parameters[i], dre = row->dresult[i], dim = row->dresult[N + i];
        const float along = dre * re[i] + dim * im[i], q = quotient(r, b), turn = r > 0 ? along * slope(r, b) / r : 0;
        row->kept[i] = r + b > 0 ? along / (r + EPS) : 0;
        re[i] = q * dre + turn * re[i];
        im[i] = q * dim + turn * im[i];
    }
}

static void add_kept(float *d, const float *kept, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) sq__kernels()->axpy(d, 1.0f, kept + r * n, n);
}

static void modrelu_gradient(float *d, const float *parameters, const float *gates, const float *kept, int64_t rows, int64_t H)
{
    (void)parameters, (void)gates;
    add_kept(d, kept, rows, H);
}

static void complex_modrelu_gradient(float *d, const float *parameters, const float *gates, const float *kept, int64_t rows, int64_t H)
{
    (void)parameters, (void)gates;
    add_kept(d, kept, rows, H / 2);
}

const sq_cell_kind sq__cell_modrelu = { .name = "modrelu", .blocks = 1, .within = 1, .kept = whole, .parameters = whole,
                                        .forward = modrelu_forward, .backward = modrelu_backward, .parameter_gradient = modrelu_gradient };
const sq_cell_kind sq__cell_complex_modrelu = { .name = "complex_modrelu", .blocks = 1, .within = 1, .is_complex = true, .kept = half,
                                                .parameters = half, .forward = complex_modrelu_forward, .backward = complex_modrelu_backward,
                                                .parameter_gradient = complex_modrelu_gradient };
