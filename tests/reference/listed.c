#include "reference/listed.h"

#include <math.h>
#include <stdlib.h>

double reference_attend(const reference_case *at, int64_t b, int64_t i, int64_t h, reference_times times, const void *context, double zeros, double *out)
{
    double *score = malloc((size_t)at->N * sizeof *score), top = zeros > 0 ? 0 : -INFINITY, sum = 0;
    for (int64_t c = 0; c < at->M; c++) out[c] = 0;
    for (int64_t j = 0; j < at->N; j++) {
        score[j] = -INFINITY;
        if (!reference_sees(at, b, i, j) || !times(context, i, j)) continue;
        score[j] = reference_bias(at, i, j, h);
        for (int64_t d = 0; d < at->D; d++) score[j] += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
        top = fmax(top, score[j]);
    }
    for (int64_t j = 0; j < at->N; j++) {
        if (score[j] == -INFINITY) continue;
        const double p = times(context, i, j) * exp(score[j] - top);
        sum += p;
        for (int64_t c = 0; c < at->M; c++) out[c] += p * reference_v(at, b, j, h)[c];
    }
    free(score);
    if (zeros > 0) sum += zeros * exp(-top);
    for (int64_t c = 0; c < at->M && sum > 0; c++) out[c] /= sum;
    return sum > 0 ? top + log(sum) : -INFINITY;
}

static double power(double x, int n) { return n > 0 ? x * power(x, n - 1) : 1; }

reference_grid reference_shape(const reference_case *at, int usual)
{
    const char *text = reference_option(at, "shape");
    reference_grid grid = { .axes = 0 };
    for (char *end; *text; text = *end ? end + 1 : end) grid.size[grid.axes++] = strtoll(text, &end, 10);
    if (grid.axes) return grid;
    int64_t rows = at->T > at->max_length ? at->T : at->max_length;
    grid.axes = usual;
    for (int axis = usual - 1; axis >= 0; axis--) {
        int64_t side = 1;
        while (power((double)side, axis + 1) < (double)rows) side++;
        grid.size[axis] = side;
        rows = (rows + side - 1) / side;
    }
    return grid;
}

void reference_coordinates(const reference_grid *grid, int64_t position, int64_t *coordinates)
{
    for (int axis = grid->axes - 1; axis >= 0; axis--) {
        coordinates[axis] = position % grid->size[axis];
        position /= grid->size[axis];
    }
}
