/* Cells with gates and no parameters of their own. */
#include "autograd/recurrent_cells.h"

static int64_t whole(int64_t H) { return H; }

/* ---- lstm: gates i, f, g, o; kept: tanh(c') ---- */

static void lstm_forward(const sq_cell_row *row)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t H = row->H;
    float *i = row->gates, *f = i + H, *g = f + H, *o = g + H, *c = row->c, *squashed = row->kept;
    kernels->axpy(i, 1.0f, row->input, 4 * H);
    kernels->sigmoid(i, i, 2 * H);
    kernels->tanh(g, g, H);
    kernels->sigmoid(o, o, H);
#pragma omp simd
    for (int64_t k = 0; k < H; k++) c[k] = f[k] * c[k] + i[k] * g[k];
    kernels->tanh(squashed, c, H);
#pragma omp simd
    for (int64_t k = 0; k < H; k++) row->result[k] = o[k] * squashed[k];
}

static void lstm_backward(const sq_cell_row *row)
{
    const int64_t H = row->H;
    float *i = row->gates, *f = i + H, *g = f + H, *o = g + H, *dc = row->dc;
    const float *squashed = row->kept, *before = row->c_before;
#pragma omp simd
    for (int64_t k = 0; k < H; k++) {
        const float d = row->dresult[k], s = squashed[k], all = dc[k] + d * o[k] * (1 - s * s);
        const float di = all * g[k] * i[k] * (1 - i[k]), dg = all * i[k] * (1 - g[k] * g[k]), df = all * before[k] * f[k] * (1 - f[k]);
        dc[k] = all * f[k];
        i[k] = di;
        f[k] = df;
        g[k] = dg;
        o[k] = d * s * o[k] * (1 - o[k]);
    }
}

const sq_cell_kind sq__cell_lstm = { .name = "lstm", .blocks = 4, .within = 4, .has_c = true, .kept = whole, .forward = lstm_forward,
                                     .backward = lstm_backward };

/* ---- gru: gates r, z, n; kept: what the map gave for n ---- */

static void gru_forward(const sq_cell_row *row)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t H = row->H;
    const float *input = row->input + 2 * H;
    float *r = row->gates, *z = r + H, *n = z + H, *m = row->kept, *h = row->h;
    kernels->axpy(r, 1.0f, row->input, 2 * H);
    kernels->sigmoid(r, r, 2 * H);
#pragma omp simd
    for (int64_t i = 0; i < H; i++) {
        m[i] = n[i];
        n[i] = input[i] + r[i] * n[i];
    }
    kernels->tanh(n, n, H);
#pragma omp simd
    for (int64_t i = 0; i < H; i++) h[i] = (1 - z[i]) * n[i] + z[i] * h[i];
}

static void gru_backward(const sq_cell_row *row)
{
    const int64_t H = row->H;
    float *r = row->gates, *z = r + H, *n = z + H, *input_r = row->dinput, *input_z = input_r + H, *input_n = input_z + H, *dh = row->dh;
    const float *m = row->kept, *h = row->h_before;
#pragma omp simd
    for (int64_t i = 0; i < H; i++) {
        const float d = dh[i], dn = d * (1 - z[i]) * (1 - n[i] * n[i]), dz = d * (h[i] - n[i]) * z[i] * (1 - z[i]);
        const float dr = dn * m[i] * r[i] * (1 - r[i]);
        dh[i] = d * z[i];
        n[i] = dn * r[i];
        input_n[i] = dn;
        r[i] = input_r[i] = dr;
        z[i] = input_z[i] = dz;
    }
}

const sq_cell_kind sq__cell_gru = { .name = "gru", .blocks = 3, .within = 3, .passes = true, .apart = true, .kept = whole,
                                    .forward = gru_forward, .backward = gru_backward };

/* ---- gru_before: gates r, z, n; the map for n reads r h ---- */

static void gru_before_open(const sq_cell_row *row)
{
    const int64_t H = row->H;
    sq__kernels()->axpy(row->gates, 1.0f, row->input, 2 * H);
    sq__kernels()->sigmoid(row->gates, row->gates, 2 * H);
#pragma omp simd
    for (int64_t i = 0; i < H; i++) row->made[i] = row->gates[i] * row->h[i];
}

/* h' = (1 - z) n + z h; z and n are the two last blocks */
static void mix(const sq_cell_row *row, const float *z, float *n, const float *input)
{
    const int64_t H = row->H;
    float *h = row->h;
    sq__kernels()->axpy(n, 1.0f, input, H);
    sq__kernels()->tanh(n, n, H);
#pragma omp simd
    for (int64_t i = 0; i < H; i++) h[i] = (1 - z[i]) * n[i] + z[i] * h[i];
}

static void mix_backward(const sq_cell_row *row, float *z, float *n)
{
    const float *h = row->h_before;
    float *dh = row->dh;
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) {
        const float d = dh[i], dz = d * (h[i] - n[i]) * z[i] * (1 - z[i]);
        dh[i] = d * z[i];
        n[i] = d * (1 - z[i]) * (1 - n[i] * n[i]);
        z[i] = dz;
    }
}

static void gru_before_forward(const sq_cell_row *row)
{
    mix(row, row->gates + row->H, row->gates + 2 * row->H, row->input + 2 * row->H);
}

static void gru_before_backward(const sq_cell_row *row) { mix_backward(row, row->gates + row->H, row->gates + 2 * row->H); }

static void gru_before_open_backward(const sq_cell_row *row)
{
    float *r = row->gates, *dh = row->dh;
    const float *h = row->h_before, *d = row->dmade;
#pragma omp simd
    for (int64_t i = 0; i < row->H; i++) {
        dh[i] += d[i] * r[i];
        r[i] = d[i] * h[i] * r[i] * (1 - r[i]);
    }
}

const sq_cell_kind sq__cell_gru_before = { .name = "gru_before", .blocks = 3, .within = 2, .passes = true, .forward = gru_before_forward,
                                           .open = gru_before_open, .backward = gru_before_backward,
                                           .open_backward = gru_before_open_backward };

/* ---- ugrnn: gates z, c ---- */

static void ugrnn_forward(const sq_cell_row *row)
{
    sq__kernels()->axpy(row->gates, 1.0f, row->input, row->H);
    sq__kernels()->sigmoid(row->gates, row->gates, row->H);
    mix(row, row->gates, row->gates + row->H, row->input + row->H);
}

static void ugrnn_backward(const sq_cell_row *row) { mix_backward(row, row->gates, row->gates + row->H); }

const sq_cell_kind sq__cell_ugrnn = { .name = "ugrnn", .blocks = 2, .within = 2, .passes = true, .forward = ugrnn_forward,
                                      .backward = ugrnn_backward };
