/* Every convention's rule for every kernel it has: the one place where public implementations differ. */
#include "attention/performer.h"

#include <math.h>

#define PLAIN { 0, 0, -1, 0, -INFINITY, false }
#define LIFTED { 0, 0, 1e-6f, 2e-6f, -INFINITY, false }      /* d + 2e-6 where |d| <= 1e-6 */
#define ADDED { 1e-6f, 0, -1, 0, -INFINITY, false }          /* d + 1e-6 */
#define FLOORED { 0, 0, -1, 0, 1e-2f, false }                /* max(d, 1e-2) */

static const sq_performer_rule rules[] = {
    { .convention = SQ_PERFORMER_PAPER, .kernel = SQ_PERFORMER_SOFTMAX, .projected = true, .exponents = true, .scaled = true, .denominator = PLAIN },
    { .convention = SQ_PERFORMER_PAPER, .kernel = SQ_PERFORMER_HYPERBOLIC, .projected = true, .exponents = true, .scaled = true, .denominator = PLAIN },
    { .convention = SQ_PERFORMER_PAPER, .kernel = SQ_PERFORMER_TRIGONOMETRIC, .projected = true, .weighted = true, .scaled = true,
      .stabiliser = SQ_STABILISER_NORM, .norm_weight = 1, .denominator = LIFTED },
    { .convention = SQ_PERFORMER_PAPER, .kernel = SQ_PERFORMER_GAUSSIAN, .projected = true, .weighted = true, .scaled = true, .denominator = LIFTED },
    { .convention = SQ_PERFORMER_PAPER, .kernel = SQ_PERFORMER_RELU, .projected = true, .scaled = true, .inside = 1e-3, .denominator = PLAIN },

    { .convention = SQ_PERFORMER_LUCIDRAINS, .kernel = SQ_PERFORMER_SOFTMAX, .projected = true, .weighted = true, .scaled = true, .inside = 1e-4,
      .stabiliser = SQ_STABILISER_LARGEST, .denominator = PLAIN, .causal_per_feature = 1e-6 },
    { .convention = SQ_PERFORMER_LUCIDRAINS, .kernel = SQ_PERFORMER_RELU, .projected = true, .scaled = true, .inside = 1e-3, .denominator = PLAIN,
      .causal_per_feature = 1e-6 },
    { .convention = SQ_PERFORMER_LUCIDRAINS, .kernel = SQ_PERFORMER_SOFTMAX, .denominator = PLAIN, .causal_per_feature = 1e-6 },

    { .convention = SQ_PERFORMER_GOOGLE, .kernel = SQ_PERFORMER_SOFTMAX, .projected = true, .weighted = true, .scaled = true, .inside = 1e-6,
      .stabiliser = SQ_STABILISER_LARGEST, .differentiated = true, .denominator = LIFTED },
    { .convention = SQ_PERFORMER_GOOGLE, .kernel = SQ_PERFORMER_TRIGONOMETRIC, .projected = true, .weighted = true, .scaled = true,
      .stabiliser = SQ_STABILISER_NORM, .norm_weight = 1, .differentiated = true, .denominator = LIFTED },
    { .convention = SQ_PERFORMER_GOOGLE, .kernel = SQ_PERFORMER_RELU, .projected = true, .inside = 1e-3, .denominator = PLAIN },
    { .convention = SQ_PERFORMER_GOOGLE, .kernel = SQ_PERFORMER_RELU, .inside = 1e-3, .denominator = PLAIN },

    { .convention = SQ_PERFORMER_IDIAP, .kernel = SQ_PERFORMER_HYPERBOLIC, .projected = true, .weighted = true, .scaled = true,
      .stabiliser = SQ_STABILISER_NORM, .norm_weight = 2, .differentiated = true, .denominator = ADDED },
    { .convention = SQ_PERFORMER_IDIAP, .kernel = SQ_PERFORMER_GAUSSIAN, .projected = true, .weighted = true, .scaled = true, .denominator = ADDED },

    { .convention = SQ_PERFORMER_HKU, .kernel = SQ_PERFORMER_SOFTMAX, .projected = true, .weighted = true, .scaled = true, .outside = 1e-4,
      .stabiliser = SQ_STABILISER_LARGEST, .denominator = FLOORED },
    { .convention = SQ_PERFORMER_HKU, .kernel = SQ_PERFORMER_TRIGONOMETRIC, .projected = true, .weighted = true, .scaled = true,
      .stabiliser = SQ_STABILISER_NORM, .norm_weight = 1, .denominator = FLOORED },
};

const sq_performer_rule *sq__performer_rule(int convention, int kernel, bool projected)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if ((int)rules[i].convention == convention && (int)rules[i].kernel == kernel && rules[i].projected == projected) return &rules[i];
    return NULL;
}

int64_t sq__performer_directions(const sq_performer_config *config, int64_t D)
{
    if (!config->project) return D;
    if (config->features > 0) return config->features;
    const int64_t m = (int64_t)llround((double)D * log((double)D));
    return m > 0 ? m : 1;
}

int64_t sq__performer_features(const sq_performer_config *config, int64_t D)
{
    const int64_t m = sq__performer_directions(config, D);
    return config->kernel == SQ_PERFORMER_SOFTMAX || config->kernel == SQ_PERFORMER_RELU ? m : 2 * m;
}
