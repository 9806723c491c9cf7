/* The controller: LSTM layers, or layers of tanh units. A step's product runs over the sequences of a slice at once. */
#include <math.h>

#include "autograd/ntm_run.h"

static const float *output_of(const sq_ntm_run *c, int layer, int64_t b, int64_t t)
{
    return c->shape.recurrent ? sq__ntm_last(c, b) + c->at.hidden[layer] : sq__ntm_gates(c, &c->layer[layer], b, t);
}

/* gates [4 H]: i, f, g, o before -> after; state: c and h of the step before -> of this */
static void lstm(float *gates, float *cell, float *hidden, float *kept_cell, int64_t H)
{
    const sq_kernels *kernels = sq__kernels();
    float *i = gates, *f = i + H, *g = f + H, *o = g + H;
    kernels->sigmoid(i, i, 2 * H);
    kernels->tanh(g, g, H);
    kernels->sigmoid(o, o, H);
#pragma omp simd
    for (int64_t k = 0; k < H; k++) kept_cell[k] = cell[k] = f[k] * cell[k] + i[k] * g[k];
    kernels->tanh(hidden, cell, H);
#pragma omp simd
    for (int64_t k = 0; k < H; k++) hidden[k] *= o[k];
}

/* gates -> the gradient before them; dhidden is read, dcell goes from that of this step's cell to that of the one before */
static void lstm_back(float *gates, const float *cell, const float *cell_before, const float *dhidden, float *dcell, int64_t H)
{
    float *i = gates, *f = i + H, *g = f + H, *o = g + H;
    for (int64_t k = 0; k < H; k++) {
        const float squashed = tanhf(cell[k]), dh = dhidden[k], dc = dcell[k] + dh * o[k] * (1 - squashed * squashed);
        const float di = dc * g[k] * i[k] * (1 - i[k]), df = dc * cell_before[k] * f[k] * (1 - f[k]), dg = dc * i[k] * (1 - g[k] * g[k]);
        dcell[k] = dc * f[k];
        o[k] = dh * squashed * o[k] * (1 - o[k]);
        i[k] = di;
        f[k] = df;
        g[k] = dg;
    }
}

void sq__ntm_control(const sq_ntm_run *c, int64_t from, int64_t to, int64_t t)
{
    const int64_t H = c->shape.hidden;
    for (int l = 0; l < c->shape.layers; l++) {
        const sq_ntm_cell *cell = &c->layer[l];
        const int64_t columns = cell->below + cell->own;
        for (int64_t b = from; b < to; b++) {
            if (t >= sq__ntm_length(c, b)) continue;
            float *in = cell->inputs + sq__ntm_row(c, b, t) * columns, *gates = sq__ntm_gates(c, cell, b, t);
            memcpy(in, l ? output_of(c, l - 1, b, t) : sq__ntm_last(c, b) + c->at.reads, (size_t)cell->below * sizeof(float));
            memcpy(in + cell->below, sq__ntm_last(c, b) + c->at.hidden[l], (size_t)cell->own * sizeof(float));
            if (l == 0) continue;      /* those of layer 0 hold the events' part and the biases already */
            memcpy(gates, cell->bias_ih, (size_t)c->G * sizeof(float));
            if (cell->bias_hh) sq__kernels()->axpy(gates, 1, cell->bias_hh, c->G);
        }
        sq__gemm(false, false, to - from, c->G, columns, 1, cell->inputs + sq__ntm_row(c, from, t) * columns, c->rows * columns, cell->packed,
                 c->G, 1, sq__ntm_gates(c, cell, from, t), cell->rows * c->G);
        for (int64_t b = from; b < to; b++) {
            if (t >= sq__ntm_length(c, b)) continue;
            float *gates = sq__ntm_gates(c, cell, b, t), *state = sq__ntm_last(c, b);
            if (c->shape.recurrent) lstm(gates, state + c->at.cell[l], state + c->at.hidden[l], cell->cells + sq__ntm_row(c, b, t) * H, H);
            else sq__kernels()->tanh(gates, gates, H);
            if (l == c->shape.layers - 1) memcpy(c->out + (b * c->T + t) * c->width, output_of(c, l, b, t), (size_t)H * sizeof(float));
        }
    }
}

/* The gradient of each layer's output stands in dstate's hidden; what a step consumed is cleared, so that products add to it, and
 * sequences that are over, whose gates are zero, keep theirs. */
void sq__ntm_control_back(const sq_ntm_run *c, int64_t from, int64_t to, int64_t t)
{
    const int64_t H = c->shape.hidden, wide = c->wide;
    for (int l = c->shape.layers; l-- > 0;) {
        const sq_ntm_cell *cell = &c->layer[l];
        for (int64_t b = from; b < to; b++) {
            if (t >= sq__ntm_length(c, b)) continue;
            float *gates = sq__ntm_gates(c, cell, b, t), *dstate = c->dstate + b * wide, *dhidden = dstate + c->at.hidden[l];
            if (c->shape.recurrent) {
                const float *cells = cell->cells + sq__ntm_row(c, b, t) * H;
                lstm_back(gates, cells, t ? cells - H : sq__ntm_begin(c, b) + c->at.cell[l], dhidden, dstate + c->at.cell[l], H);
            } else {
                for (int64_t k = 0; k < H; k++) gates[k] = dhidden[k] * (1 - gates[k] * gates[k]);
            }
            memset(dhidden, 0, (size_t)H * sizeof(float));
        }
        const float *gates = sq__ntm_gates(c, cell, from, t);
        float *dstate = c->dstate + from * wide, *dbelow = dstate + (l ? c->at.hidden[l - 1] : c->at.reads);
        const int64_t step = cell->rows * c->G;
        sq__gemm(false, false, to - from, cell->below, c->G, 1, gates, step, cell->weight_ih + cell->in - cell->below, cell->in, 1, dbelow, wide);
        if (cell->own) sq__gemm(false, false, to - from, H, c->G, 1, gates, step, cell->weight_hh, H, 1, dstate + c->at.hidden[l], wide);
    }
}
