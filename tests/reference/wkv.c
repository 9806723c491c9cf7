/* RWKV-4's average, every pair by itself: of the keys that exist, i tokens before the last one weigh e^{k - i w}, the row's own e^{k + u}. */
#include <math.h>

#include "reference/reference.h"

static bool exists(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
}

static double feature(const reference_case *at, int64_t b, int64_t t, int64_t h, int64_t d)
{
    const double w = exp(at->tensors[0][h * at->D + d]), u = at->tensors[1][h * at->D + d];
    double top = -INFINITY, num = 0, den = 0;
    for (int pass = 0; pass < 2; pass++) {
        double away = 0;
        for (int64_t j = t < at->N ? t : at->N - 1; j >= 0; j--) {
            if (!exists(at, b, j)) continue;
            const double log = reference_k(at, b, j, h)[d] + (j == t ? u : -away * w);
            if (j < t) away++;
            if (pass == 0) top = fmax(top, log);
            else num += exp(log - top) * reference_v(at, b, j, h)[d], den += exp(log - top);
        }
    }
    return den > 0 ? num / den / (1 + exp(-reference_q(at, b, t, h)[d])) : 0;
}

static void run(const reference_case *at)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++)
            for (int64_t t = 0; t < reference_rows(at, b); t++)
                for (int64_t d = 0; d < at->D; d++) reference_out(at, b, t, h)[d] = feature(at, b, t, h, d);
}

/* Keys of size 30 weigh up to e^100 times each other. */
static const reference_variant variants[] = { { .options = "", .square = true }, { .options = "", .square = true, .size = 30, .largest = 200 }, { 0 } };

const reference_row reference_wkv = { "wkv", run, variants };
