/* Recurrent layers of every cell and map: operands, and the equations in double with the map written out as a matrix. */
#ifndef SQ_TESTS_AUTOGRAD_RECURRENT_CASES_H
#define SQ_TESTS_AUTOGRAD_RECURRENT_CASES_H

#include "autograd/recurrent.h"
#include "gradient.h"

enum { H = 6, PROJECTED = 4, RANK = 2, OPERANDS = 7 };

/* Sizes of Kronecker factors: real 6 = 2 * 3, complex 3 = 3 (H counts both parts). */
static const sq_kronecker real_factors = { .count = 2, .rows = { 2, 3 }, .columns = { 2, 3 } };
static const sq_kronecker complex_factors = { .count = 2, .complex = true, .rows = { 3, 1 }, .columns = { 3, 1 } };

typedef struct layer { sq_cell cell; sq_map_kind map; bool projected, reverse, bias; const int32_t *lengths; int64_t B, T; } layer;

static inline const sq_kronecker *factors_of(const layer *l) { return sq__cell_complex(l->cell) ? &complex_factors : &real_factors; }
static inline int64_t width_of(const layer *l) { return l->projected ? PROJECTED : H; }
static inline int64_t state_of(const layer *l) { return width_of(l) + (sq__cell_has_c(l->cell) ? H : 0); }

/* Operands in the order projection, weight, left, bias, parameters, output, initial; rank 0: absent. */
static inline void operands_of(const layer *l, input_spec *spec)
{
    const int64_t blocks = sq__cell_blocks(l->cell), P = width_of(l), parameters = sq__cell_parameters(l->cell, H);
    memset(spec, 0, OPERANDS * sizeof *spec);
    spec[0] = (input_spec){ .rank = 3, .shape = { l->B, l->T, blocks * H } };
    spec[1] = (input_spec){ .rank = 2, .shape = { blocks * H, P }, .low = -0.7f, .high = 0.7f };
    if (l->map == SQ_MAP_LOW_RANK) {
        spec[1].shape[1] = RANK;
        spec[2] = (input_spec){ .rank = 2, .shape = { RANK, P } };
    }
    if (l->map == SQ_MAP_KRONECKER) spec[1] = (input_spec){ .rank = 2, .shape = { blocks, sq__kronecker_floats(factors_of(l)) } };
    if (l->bias) spec[3] = (input_spec){ .rank = 1, .shape = { blocks * H } };
    if (parameters) spec[4] = (input_spec){ .rank = 1, .shape = { parameters }, .low = 0.1f, .high = 0.9f };
    if (l->projected) spec[5] = (input_spec){ .rank = 2, .shape = { P, H } };
    spec[6] = (input_spec){ .rank = 2, .shape = { l->B, state_of(l) } };
}

static inline sq_var *run_layer(sq_tape *tape, const layer *l, sq_var *const *in, sq_var **last)
{
    const sq_recurrent inputs = { l->cell, l->map, in[0], in[1], in[2], factors_of(l), in[3], in[4], in[5], in[6], l->lengths, l->reverse };
    return sq__recurrent(tape, &inputs, last);
}

/* ---- the equations in double ---- */

static inline double logistic(double x) { return 1 / (1 + exp(-x)); }

/* Row r of block b of the map as a row of a matrix, times x [P]. */
static inline double mapped(const layer *l, float *const *value, int64_t block, int64_t r, const double *x)
{
    const int64_t P = width_of(l);
    double y = 0;
    if (l->map == SQ_MAP_DENSE)
        for (int64_t i = 0; i < P; i++) y += value[1][(block * H + r) * P + i] * x[i];
    if (l->map == SQ_MAP_LOW_RANK)
        for (int64_t k = 0; k < RANK; k++)
            for (int64_t i = 0; i < P; i++) y += (double)value[1][(block * H + r) * RANK + k] * value[2][k * P + i] * x[i];
    if (l->map == SQ_MAP_KRONECKER) {
        const sq_kronecker *k = factors_of(l);
        const float *w = value[1] + block * sq__kronecker_floats(k);
        if (!k->complex)
            for (int64_t i = 0; i < P; i++) y += (double)w[r / 3 * 2 + i / 3] * w[4 + r % 3 * 3 + i % 3] * x[i];
        else   /* 3 x 3 and 1 x 1: re, im, then two numbers */
            for (int64_t i = 0; i < 3; i++) {
                const int64_t at = r % 3 * 3 + i;
                const double re = (double)w[at] * w[18] - (double)w[9 + at] * w[19], im = (double)w[at] * w[19] + (double)w[9 + at] * w[18];
                y += r < 3 ? re * x[i] - im * x[3 + i] : re * x[3 + i] + im * x[i];
            }
    }
    return y;
}

/* One step: x [blocks*H], state [h | c] replaced. */
static inline void naive_step(const layer *l, float *const *value, const float *x, double *state)
{
    const float *own = value[4], *bias = value[3];
    double u[4 * H], made[H], next[H], *h = state, *c = state + width_of(l);
    const int64_t blocks = sq__cell_blocks(l->cell);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < H; i++) u[b * H + i] = mapped(l, value, b, i, h) + (bias ? bias[b * H + i] : 0);
    if (l->cell == SQ_CELL_GRU_BEFORE) {
        for (int64_t i = 0; i < H; i++) made[i] = logistic(x[i] + u[i]) * h[i];
        for (int64_t i = 0; i < H; i++) u[2 * H + i] = mapped(l, value, 2, i, made) + (bias ? bias[2 * H + i] : 0);
    }
    for (int64_t i = 0; i < H; i++) {
        const double s = x[i] + u[i], second = blocks > 1 ? x[H + i] + u[H + i] : 0;
        double n, z, r;
        switch (l->cell) {
        case SQ_CELL_RNN_TANH: next[i] = tanh(s); break;
        case SQ_CELL_RNN_RELU: next[i] = s > 0 ? s : 0; break;
        case SQ_CELL_LSTM:
            c[i] = logistic(second) * c[i] + logistic(s) * tanh(x[2 * H + i] + u[2 * H + i]);
            next[i] = logistic(x[3 * H + i] + u[3 * H + i]) * tanh(c[i]);
            break;
        case SQ_CELL_GRU:
        case SQ_CELL_GRU_BEFORE:
            r = l->cell == SQ_CELL_GRU ? logistic(s) : 1;
            z = logistic(second);
            n = tanh(x[2 * H + i] + r * u[2 * H + i]);
            next[i] = (1 - z) * n + z * h[i];
            break;
        case SQ_CELL_UGRNN: next[i] = logistic(s) * h[i] + (1 - logistic(s)) * tanh(second); break;
        case SQ_CELL_FASTRNN: next[i] = logistic(own[1]) * h[i] + logistic(own[0]) * tanh(s); break;
        case SQ_CELL_FASTGRNN:
            z = logistic(s + own[i]);
            next[i] = z * h[i] + (logistic(own[2 * H]) * (1 - z) + logistic(own[2 * H + 1])) * tanh(s + own[H + i]);
            break;
        case SQ_CELL_MODRELU: next[i] = s * fmax(0, fabs(s) + own[i]) / (fabs(s) + 1e-5); break;
        case SQ_CELL_COMPLEX_TANH: next[i] = tanh(s + own[i % (H / 2)]); break;
        case SQ_CELL_COMPLEX_MODRELU:
            r = hypot(x[i % 3] + u[i % 3], x[3 + i % 3] + u[3 + i % 3]);
            next[i] = s * fmax(0, r + own[i % 3]) / (r + 1e-5);
            break;
        default: fail_msg("no such cell");
        }
    }
    for (int64_t i = 0; i < width_of(l); i++) {
        h[i] = l->projected ? 0 : next[i];
        for (int64_t k = 0; l->projected && k < H; k++) h[i] += value[5][i * H + k] * next[k];
    }
}

#endif
