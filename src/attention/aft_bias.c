/* Position biases of the attention-free transformer, tile by tile: never L x L. */
#include <math.h>
#include <string.h>

#include "attention/aft.h"

static const double filter_eps = 1e-6;   /* a filter of equal taps has variance 0 */

sq_aft_bias sq__aft_bias(const sq_aft_config *config, const sq_problem *p)
{
    sq_aft_bias bias = { .form = SQ_AFT_NONE, .reach = -1, .width = config->rank };
    if (config->variant == SQ_AFT_SIMPLE) return bias;
    bias.form = config->rank ? SQ_AFT_FACTORS : SQ_AFT_MATRIX;
    if (config->variant == SQ_AFT_FULL) {
        if (!config->rank) bias.width = p->max_length;
        return bias;
    }
    bias.reach = config->window - 1;
    if (config->variant == SQ_AFT_CONV) bias.form = SQ_AFT_FILTER;
    else if (!config->rank) bias.form = SQ_AFT_BAND;
    if (bias.form != SQ_AFT_FACTORS) bias.width = p->causal ? config->window : 2 * config->window - 1;
    return bias;
}

/* Keys [*from, *to) of the tile that are in reach of row t and, in a band, have a tap. */
static void in_reach(const sq_aft_bias *bias, int64_t t, int64_t s0, int64_t keys, int64_t *from, int64_t *to)
{
    const int64_t end = bias->form == SQ_AFT_FACTORS ? t + bias->reach + 1 : t - bias->reach + bias->width;
    *from = t - bias->reach > s0 ? t - bias->reach - s0 : 0;
    *to = end - s0 < keys ? end - s0 : keys;
    if (*from > keys) *from = keys;
    if (*to < *from) *to = *from;
}

static const float *taps_of(const sq_aft_bias *bias, int64_t t)
{
    return bias->form == SQ_AFT_BAND ? bias->w + t * bias->width : bias->w;
}

static void clear_out_of_reach(const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys, float *tile)
{
    for (int64_t i = 0; bias->reach >= 0 && i < rows; i++) {
        int64_t from, to;
        in_reach(bias, t0 + i, s0, keys, &from, &to);
        memset(tile + i * keys, 0, (size_t)from * sizeof *tile);
        memset(tile + i * keys + to, 0, (size_t)(keys - to) * sizeof *tile);
    }
}

void sq__aft_bias_tile(const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys, float *tile)
{
    switch (bias->form) {
    case SQ_AFT_NONE:
        memset(tile, 0, (size_t)(rows * keys) * sizeof *tile);
        break;
    case SQ_AFT_MATRIX:
        for (int64_t i = 0; i < rows; i++) memcpy(tile + i * keys, bias->w + (t0 + i) * bias->width + s0, (size_t)keys * sizeof *tile);
        break;
    case SQ_AFT_FACTORS:
        sq__gemm(false, true, rows, keys, bias->width, 1, bias->u + t0 * bias->width, bias->width, bias->v + s0 * bias->width, bias->width, 0, tile, keys);
        clear_out_of_reach(bias, t0, rows, s0, keys, tile);
        break;
    case SQ_AFT_BAND:
    case SQ_AFT_FILTER:
        memset(tile, 0, (size_t)(rows * keys) * sizeof *tile);
        for (int64_t i = 0; i < rows; i++) {
            int64_t from, to;
            in_reach(bias, t0 + i, s0, keys, &from, &to);
            memcpy(tile + i * keys + from, taps_of(bias, t0 + i) + s0 + from - (t0 + i) + bias->reach, (size_t)(to - from) * sizeof *tile);
        }
        break;
    }
}

void sq__aft_bias_backward(const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys, float *dtile, const sq_aft_bias_gradient *to)
{
    if (bias->form == SQ_AFT_FACTORS) {
        clear_out_of_reach(bias, t0, rows, s0, keys, dtile);
        sq__gemm(false, false, rows, bias->width, keys, 1, dtile, keys, bias->v + s0 * bias->width, bias->width, 1, to->du + t0 * bias->width, bias->width);
        sq__gemm(true, false, keys, bias->width, rows, 1, dtile, keys, bias->u + t0 * bias->width, bias->width, 1,
                 to->dv + (s0 - to->first_key) * bias->width, bias->width);
        return;
    }
    for (int64_t i = 0; bias->form != SQ_AFT_NONE && i < rows; i++) {
        int64_t from = 0, end = keys;
        float *dw = to->dw + (bias->form == SQ_AFT_FILTER ? 0 : (t0 + i) * bias->width) + s0;
        if (bias->form != SQ_AFT_MATRIX) {
            in_reach(bias, t0 + i, s0, keys, &from, &end);
            dw += bias->reach - (t0 + i);
        }
        for (int64_t j = from; j < end; j++) dw[j] += dtile[i * keys + j];
    }
}

/* ---- the filter of the convolution ---- */

static void moments(const float *x, int64_t taps, double *mean, double *rstd)
{
    double total = 0, square = 0;
    for (int64_t i = 0; i < taps; i++) total += x[i];
    *mean = total / (double)taps;
    for (int64_t i = 0; i < taps; i++) square += (x[i] - *mean) * (x[i] - *mean);
    *rstd = 1 / sqrt(square / (double)taps + filter_eps);
}

void sq__aft_filter(float *y, const float *x, float gain, float shift, int64_t taps)
{
    double mean, rstd;
    moments(x, taps, &mean, &rstd);
    for (int64_t i = 0; i < taps; i++) y[i] = (float)(gain * (x[i] - mean) * rstd + shift);
}

void sq__aft_filter_backward(const float *dy, const float *x, float gain, int64_t taps, float *dx, float *dgain, float *dshift)
{
    double mean, rstd, sum = 0, along = 0;
    moments(x, taps, &mean, &rstd);
    for (int64_t i = 0; i < taps; i++) {
        sum += dy[i];
        along += dy[i] * (x[i] - mean) * rstd;
    }
    *dshift += (float)sum;
    *dgain += (float)along;
    for (int64_t i = 0; i < taps; i++)
        dx[i] += (float)(gain * rstd * (dy[i] - sum / (double)taps - (x[i] - mean) * rstd * along / (double)taps));
}
