/* The gate that the authors' code may put on new states before they enter the memory. */
#include <string.h>

#include "attention/engine/memory.h"

enum { TAPS = 3 };

size_t sq__memory_gate_scratch(int64_t L, int64_t e)
{
    return (size_t)(2 * L * e + TAPS * e * e);
}

/* taps[t] = weight[:, :, t]: [3,e,e] (out, in) */
static void split_taps(int64_t e, const float *weight, float *taps)
{
    for (int64_t i = 0; i < e * e; i++)
        for (int64_t t = 0; t < TAPS; t++) taps[t * e * e + i] = weight[i * TAPS + t];
}

/* Rows of x that tap t meets: output row i sees x[i + t - 1]. */
static void tap_range(int64_t L, int64_t t, int64_t *x_first, int64_t *y_first, int64_t *rows)
{
    *x_first = t == 2 ? 1 : 0;
    *y_first = t == 0 ? 1 : 0;
    *rows = t == 1 ? L : L - 1;
}

static void gate_values(int64_t L, int64_t e, const float *x, const float *taps, const float *bias, float *gate, const sq_kernels *kernels)
{
    for (int64_t i = 0; i < L; i++) memcpy(gate + i * e, bias, (size_t)e * sizeof(float));
    for (int64_t t = 0; t < TAPS; t++) {
        int64_t from, to, rows;
        tap_range(L, t, &from, &to, &rows);
        sq__gemm(false, true, rows, e, e, 1, x + from * e, e, taps + t * e * e, e, 1, gate + to * e, e);
    }
    kernels->sigmoid(gate, gate, L * e);
}

void sq__memory_gate(int64_t L, int64_t e, const float *x, const float *weight, const float *bias, float *y, float *scratch,
                     const sq_kernels *kernels)
{
    float *gate = scratch, *taps = scratch + 2 * L * e;
    split_taps(e, weight, taps);
    gate_values(L, e, x, taps, bias, gate, kernels);
    for (int64_t i = 0; i < L * e; i++) y[i] = x[i] * gate[i];
}

void sq__memory_gate_backward(int64_t L, int64_t e, const float *x, const float *weight, const float *bias, const float *dy, float *dx,
                              float *dweight, float *dbias, float *scratch, const sq_kernels *kernels)
{
    float *gate = scratch, *dz = scratch + L * e, *taps = scratch + 2 * L * e;
    split_taps(e, weight, taps);
    gate_values(L, e, x, taps, bias, gate, kernels);
    for (int64_t i = 0; i < L * e; i++) {
        dx[i] = dy[i] * gate[i];
        dz[i] = dy[i] * x[i] * gate[i] * (1 - gate[i]);
        dbias[i % e] += dz[i];
    }
    for (int64_t t = 0; t < TAPS; t++) {
        int64_t from, to, rows;
        tap_range(L, t, &from, &to, &rows);
        sq__gemm(false, false, rows, e, e, 1, dz + to * e, e, taps + t * e * e, e, 1, dx + from * e, e);
    }
    for (int64_t t = 0; t < TAPS; t++) {   /* the taps are no longer needed: their place takes one tap's gradient */
        int64_t from, to, rows;
        tap_range(L, t, &from, &to, &rows);
        sq__gemm(true, false, e, e, rows, 1, dz + to * e, e, x + from * e, e, 0, taps, e);
        for (int64_t i = 0; i < e * e; i++) dweight[i * TAPS + t] += taps[i];
    }
}
