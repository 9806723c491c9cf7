/* Attention over a set of pairs, naive: what every pattern's reference shares. */
#ifndef SQ_TESTS_REFERENCE_PAIRS_H
#define SQ_TESTS_REFERENCE_PAIRS_H

#include "reference/reference.h"

/* How often query i of head h sees key j (0: not at all), masks and causal order aside; score may be replaced. */
typedef int64_t (*reference_pair_fn)(const reference_case *at, int64_t b, int64_t h, int64_t i, int64_t j, double *score);
/* out_i = sum_j n_ij exp(s_ij) v_j / sum_j n_ij exp(s_ij) for every row; lengths, masks and causal order hide pairs. */
void reference_pairs(const reference_case *at, reference_pair_fn count);

#endif
