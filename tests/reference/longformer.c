/* Longformer: a row at a time, from q, k, v or from the global projections. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"

/* The options, read once a run. */
static struct { int64_t window, globals; bool separate; } given;

static bool is_global(const reference_case *at, int64_t b, int64_t i)
{
    return at->global_tokens ? at->global_tokens[b * at->N + i] != 0 : i < given.globals;
}

static int64_t dilation_of(const reference_case *at, int64_t h)
{
    const char *text = reference_option(at, "dilation");
    for (; h > 0 && strchr(text, ','); h--) text = strchr(text, ',') + 1;
    return strtol(text, NULL, 10);
}

static const double *input(const reference_case *at, int index, int64_t b, int64_t i, int64_t h, int64_t width)
{
    return at->inputs[index] + ((b * at->N + i) * at->H + h) * width;
}

static void row(const reference_case *at, int64_t b, int64_t i, int64_t h)
{
    const bool global = is_global(at, b, i), own = global && given.separate;
    const int64_t d = dilation_of(at, h);
    double top = -INFINITY, sum = 0, *score = calloc((size_t)at->N, sizeof *score), *out = reference_out(at, b, i, h);
    const double *q = own ? input(at, 0, b, i, h, at->D) : reference_q(at, b, i, h);
    for (int64_t j = 0; j < at->N; j++) {
        const int64_t away = i > j ? i - j : j - i;
        const bool seen = global || is_global(at, b, j) || (away % d == 0 && away / d <= given.window);
        const double *k = own ? input(at, 1, b, j, h, at->D) : reference_k(at, b, j, h);
        score[j] = -INFINITY;
        if (!seen || !reference_sees(at, b, i, j)) continue;
        score[j] = reference_bias(at, i, j, h);
        for (int64_t c = 0; c < at->D; c++) score[j] += at->scale * q[c] * k[c];
        top = fmax(top, score[j]);
    }
    for (int64_t j = 0; j < at->N; j++) {
        const double p = score[j] == -INFINITY ? 0 : exp(score[j] - top), *v = own ? input(at, 2, b, j, h, at->M) : reference_v(at, b, j, h);
        sum += p;
        for (int64_t c = 0; p > 0 && c < at->M; c++) out[c] += p * v[c];
    }
    for (int64_t c = 0; c < at->M && sum > 0; c++) out[c] /= sum;
    free(score);
}

static void run(const reference_case *at)
{
    given.window = (int64_t)reference_number(at, "window"), given.globals = (int64_t)reference_number(at, "globals");
    given.separate = reference_is(at, "global_projections", "separate");
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t h = 0; h < at->H; h++) row(at, b, i, h);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "window=4 globals=3 global_projections=shared" },
    { .options = "window=3 globals=70 dilation=2" },
    { .options = "window=6 globals=0 dilation=3" },
    { .options = NULL },
};

const reference_row reference_longformer = { "longformer", run, variants };
