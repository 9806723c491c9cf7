#include "train/optimizer.h"

#include <math.h>

double sq__sum_of_squares(const float *x, int64_t n)
{
    double lanes[4] = { 0, 0, 0, 0 };   /* four sums side by side: a fixed order that the processor can overlap */
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int lane = 0; lane < 4; lane++) lanes[lane] += (double)x[i + lane] * x[i + lane];
    for (; i < n; i++) lanes[0] += (double)x[i] * x[i];
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double sq__clip_factor(double norm, double most)
{
    double factor = most / (norm + 1e-6);
    return factor < 1 ? factor : 1;
}

void sq__adam_step(const sq_adam *adam, int64_t t, int64_t n, float *p, const float *g, float *m, float *v, float *largest)
{
    const float keep = adam->decoupled ? (float)(1 - adam->learning_rate * adam->weight_decay) : 1.0f;
    const float l2 = adam->decoupled ? 0.0f : (float)adam->weight_decay;
    const float b1 = (float)adam->beta1, b2 = (float)adam->beta2, c1 = (float)(1 - adam->beta1), c2 = (float)(1 - adam->beta2);
    const float rate = (float)(adam->learning_rate / (1 - pow(adam->beta1, (double)t)));
    const float root = (float)(1 / sqrt(1 - pow(adam->beta2, (double)t))), epsilon = (float)adam->epsilon;
    for (int64_t i = 0; i < n; i++) {
        const float gradient = g[i] + l2 * p[i];
        m[i] = b1 * m[i] + c1 * gradient;
        v[i] = b2 * v[i] + c2 * gradient * gradient;
        float second = v[i];
        if (largest) second = largest[i] = second > largest[i] ? second : largest[i];
        p[i] = keep * p[i] - rate * m[i] / (sqrtf(second) * root + epsilon);
    }
}

void sq__hf_adamw_step(const sq_adam *adam, bool correct_bias, int64_t t, int64_t n, float *p, const float *g, float *m, float *v)
{
    const float b1 = (float)adam->beta1, b2 = (float)adam->beta2, c1 = (float)(1 - adam->beta1), c2 = (float)(1 - adam->beta2);
    const double correction = correct_bias ? sqrt(1 - pow(adam->beta2, (double)t)) / (1 - pow(adam->beta1, (double)t)) : 1;
    const float rate = (float)(adam->learning_rate * correction), epsilon = (float)adam->epsilon;
    const float keep = (float)(1 - adam->learning_rate * adam->weight_decay);
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        p[i] = keep * (p[i] - rate * m[i] / (sqrtf(v[i]) + epsilon));
    }
}

sq_lamb_norms sq__lamb_step(const sq_lamb *lamb, int64_t t, int64_t n, float *p, const float *g, float *m, float *v)
{
    const float b1 = (float)lamb->beta1, b2 = (float)lamb->beta2, c1 = (float)(1 - lamb->beta1), c2 = (float)(1 - lamb->beta2);
    const float epsilon = (float)lamb->epsilon, decay = (float)lamb->weight_decay;
    double update = 0;
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        const double u = m[i] / (sqrtf(v[i]) + epsilon) + decay * p[i];
        update += u * u;
    }
    sq_lamb_norms norms = { .weight = fmin(sqrt(sq__sum_of_squares(p, n)), lamb->clamp), .update = sqrt(update), .ratio = 1 };
    if (norms.weight > 0 && norms.update > 0) norms.ratio = norms.weight / norms.update;
    const double correction = lamb->debias ? sqrt(1 - pow(lamb->beta2, (double)t)) / (1 - pow(lamb->beta1, (double)t)) : 1;
    const float rate = (float)(lamb->learning_rate * correction * norms.ratio);
    for (int64_t i = 0; i < n; i++) p[i] -= rate * (m[i] / (sqrtf(v[i]) + epsilon) + decay * p[i]);
    return norms;
}

/* Averages over the last axis (row) and over the one before (column) of g^2 + epsilon, decayed; update = g / sqrt(their product). */
static void factored(const float *g, int64_t matrices, int64_t R, int64_t C, double decay, double epsilon, float *row, float *column, float *update)
{
    for (int64_t k = 0; k < matrices; k++, g += R * C, update += R * C, row += R, column += C) {
        double mean = 0;
        for (int64_t r = 0; r < R; r++) {
            double sum = 0;
            for (int64_t c = 0; c < C; c++) sum += (double)g[r * C + c] * g[r * C + c] + epsilon;
            row[r] = (float)(decay * row[r] + (1 - decay) * sum / (double)C);
            mean += row[r];
        }
        mean /= (double)R;
        for (int64_t c = 0; c < C; c++) {
            double sum = 0;
            for (int64_t r = 0; r < R; r++) sum += (double)g[r * C + c] * g[r * C + c] + epsilon;
            column[c] = (float)(decay * column[c] + (1 - decay) * sum / (double)R);
        }
        for (int64_t r = 0; r < R; r++)
            for (int64_t c = 0; c < C; c++)
                update[r * C + c] = (float)(g[r * C + c] / (sqrt(row[r] / mean) * sqrt(column[c])));
    }
}

void sq__adafactor_step(const sq_adafactor *adafactor, int64_t t, int rank, const int64_t *shape, float *p, const float *g, float *row,
                        float *column, float *v, float *m, float *update)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= shape[i];
    const double decay = 1 - pow((double)t, adafactor->decay_rate);
    if (rank >= 2) {
        const int64_t R = shape[rank - 2], C = shape[rank - 1];
        factored(g, n / (R * C), R, C, decay, adafactor->epsilon1, row, column, update);
    } else {
        for (int64_t i = 0; i < n; i++) {
            v[i] = (float)(decay * v[i] + (1 - decay) * ((double)g[i] * g[i] + adafactor->epsilon1));
            update[i] = (float)(g[i] / sqrt(v[i]));
        }
    }
    const double least = adafactor->warmup_init ? 1e-6 * (double)t : 1e-2;
    double rate = adafactor->relative_step ? fmin(least, 1 / sqrt((double)t)) : adafactor->learning_rate;
    if (adafactor->scale_parameter) rate *= fmax(adafactor->epsilon2, sqrt(sq__sum_of_squares(p, n) / (double)n));
    const double rms = sqrt(sq__sum_of_squares(update, n) / (double)n);
    const double factor = rate / fmax(1, rms / adafactor->clip_threshold);
    const float keep = (float)(1 - adafactor->weight_decay * rate), b1 = (float)adafactor->beta1, c1 = (float)(1 - adafactor->beta1);
    for (int64_t i = 0; i < n; i++) {
        float change = (float)factor * update[i];
        if (m) change = m[i] = b1 * m[i] + c1 * change;
        p[i] = keep * p[i] - change;
    }
}

void sq__sgd_step(const sq_sgd *sgd, int64_t t, int64_t n, float *p, const float *g, float *buffer)
{
    const float rate = (float)sgd->learning_rate, momentum = (float)sgd->momentum, decay = (float)sgd->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        const float gradient = g[i] + decay * p[i];
        buffer[i] = t == 1 ? gradient : momentum * buffer[i] + gradient;
        p[i] -= rate * (sgd->nesterov ? gradient + momentum * buffer[i] : buffer[i]);
    }
}
