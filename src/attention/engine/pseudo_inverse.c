#include "attention/engine/pseudo_inverse.h"

#include <string.h>

typedef struct scratch {
    float *P, *U1, *U2, *U3;           /* A Z, 7 I - P, 15 I - P U1, 13 I - P U2 */
    float *dZ, *dP, *dU, *next;        /* backward */
    float *Z;                          /* of every iteration */
} scratch;

static size_t cut_scratch(scratch *s, void *workspace, int64_t m, int64_t iterations, sq_pass pass)
{
    sq_cut cut = { workspace, 0 };
    s->P = sq__cut_floats(&cut, m * m);
    s->U1 = sq__cut_floats(&cut, m * m);
    s->U2 = sq__cut_floats(&cut, m * m);
    s->U3 = sq__cut_floats(&cut, m * m);
    if (pass == SQ_FORWARD) return cut.used;
    s->dZ = sq__cut_floats(&cut, m * m);
    s->dP = sq__cut_floats(&cut, m * m);
    s->dU = sq__cut_floats(&cut, m * m);
    s->next = sq__cut_floats(&cut, m * m);
    s->Z = sq__cut_floats(&cut, (iterations + 1) * m * m);
    return cut.used;
}

size_t sq__pseudo_inverse_workspace(int64_t m, int64_t iterations, sq_pass pass)
{
    scratch s;
    return cut_scratch(&s, NULL, m, iterations, pass);
}

static void multiply(int64_t m, bool trans_a, bool trans_b, float alpha, const float *a, const float *b, float beta, float *c)
{
    sq__gemm(trans_a, trans_b, m, m, m, alpha, a, m, b, m, beta, c, m);
}

static void add_diagonal(int64_t m, float value, float *x)
{
    for (int64_t i = 0; i < m; i++) x[i * m + i] += value;
}

static void polynomial(int64_t m, const float *A, const float *Z, const scratch *s)
{
    multiply(m, false, false, 1, A, Z, 0, s->P);
    for (int64_t i = 0; i < m * m; i++) s->U1[i] = -s->P[i];
    add_diagonal(m, 7, s->U1);
    multiply(m, false, false, -1, s->P, s->U1, 0, s->U2);
    add_diagonal(m, 15, s->U2);
    multiply(m, false, false, -1, s->P, s->U2, 0, s->U3);
    add_diagonal(m, 13, s->U3);
}

static void first(int64_t m, const float *A, float c, float *Z)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) Z[i * m + j] = A[j * m + i] / c;
}

void sq__pseudo_inverse(int64_t m, int64_t iterations, const float *A, float c, float *Z, void *workspace)
{
    scratch s;
    cut_scratch(&s, workspace, m, iterations, SQ_FORWARD);
    first(m, A, c, Z);
    for (int64_t k = 0; k < iterations; k++) {
        polynomial(m, A, Z, &s);
        multiply(m, false, false, 0.25f, Z, s.U3, 0, s.P);
        memcpy(Z, s.P, (size_t)(m * m) * sizeof *Z);
    }
}

double sq__pseudo_inverse_backward(int64_t m, int64_t iterations, const float *A, float c, const float *dZ, float *dA, void *workspace)
{
    const int64_t size = m * m;
    scratch s;
    cut_scratch(&s, workspace, m, iterations, SQ_BACKWARD);
    first(m, A, c, s.Z);
    for (int64_t k = 0; k < iterations; k++) {
        polynomial(m, A, s.Z + k * size, &s);
        multiply(m, false, false, 0.25f, s.Z + k * size, s.U3, 0, s.Z + (k + 1) * size);
    }
    memcpy(s.dZ, dZ, (size_t)size * sizeof *dZ);
    for (int64_t k = iterations; k-- > 0;) {
        const float *Z = s.Z + k * size;
        polynomial(m, A, Z, &s);
        multiply(m, true, false, 0.25f, Z, s.dZ, 0, s.dU);               /* Z' = Z U3 / 4 */
        multiply(m, false, true, 0.25f, s.dZ, s.U3, 0, s.next);
        multiply(m, false, true, -1, s.dU, s.U2, 0, s.dP);               /* U3 = 13 I - P U2 */
        multiply(m, true, false, -1, s.P, s.dU, 0, s.dZ);
        multiply(m, false, true, -1, s.dZ, s.U1, 1, s.dP);               /* U2 = 15 I - P U1 */
        multiply(m, true, false, 1, s.P, s.dZ, 1, s.dP);                 /* U1 = 7 I - P */
        multiply(m, false, true, 1, s.dP, Z, 1, dA);                     /* P = A Z */
        multiply(m, true, false, 1, A, s.dP, 1, s.next);
        memcpy(s.dZ, s.next, (size_t)size * sizeof *dZ);
    }
    double dc = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            dA[j * m + i] += s.dZ[i * m + j] / c;
            dc -= (double)s.dZ[i * m + j] * s.Z[i * m + j] / c;
        }
    return dc;
}
