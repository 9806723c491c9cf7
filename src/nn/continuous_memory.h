/* The long-term memory of one layer as a signal over [0,1] (infinity-former, arXiv:2109.00301): N coefficients of basis functions, whatever the
 * length of the stream. engine/memory.h has the mathematics.
 *   write, every `segment` rows X:  B = P B_old + G' X        read:  out = sum_j E_p[psi_j] (B Wv)_j,  p from q . (B Wk)
 * Parameters below PREFIX: key_value.weight [2*H*D,width], output.weight [width,H*D], mean.weight, variance.weight [N], mean.bias,
 * variance.bias [1]. Carried: PREFIX.coefficients [N,width]; with sticky memories PREFIX.received [SQ_MEMORY_BINS].
 * Sticky: places where the past is sampled are drawn from the attention that the memory received since it was written, keyed by (seed, name
 * of the layer, number of the segment), so that they do not depend on how a stream is cut. Depends on layers.h, carry.h. */
#ifndef SQ_NN_CONTINUOUS_MEMORY_H
#define SQ_NN_CONTINUOUS_MEMORY_H

#include "autograd/continuous.h"
#include "nn/carry.h"
#include "nn/layers.h"

typedef struct sq_continuous_config {
    sq_memory_basis basis;
    sq_memory_rule rule;               /* L: rows of a segment */
    sq_memory_density density;
    double sigma_min, kl_weight;
    sq_memory_prior prior;
    uint64_t seed;
} sq_continuous_config;

/* The linear maps that all layers of a stack share; *memory is to be freed. */
sq_status sq__continuous_maps(const sq_continuous_config *config, void **memory, sq_memory_update *maps, sq_error *error);

typedef struct sq_continuous_memory {
    sq_continuous_config config;
    sq_memory_update maps;
    sq_parameters *set;
    int64_t heads, width;
    uint64_t key;                      /* of the draws */
    sq_linear key_value, output;
    int w_mu, w_sigma, b_mu, b_sigma, coefficients, received;   /* parameters; slots, the last -1 without sticky */
} sq_continuous_memory;

sq_status sq__continuous_memory_create(sq_continuous_memory *memory, sq_parameters *set, sq_carry_layout *layout, const char *prefix,
                                       const sq_continuous_config *config, const sq_memory_update *maps, int64_t width, int64_t heads, int64_t head_size,
                                       sq_error *error);

typedef struct sq_continuous_reading {
    sq_var *q, *coefficients;          /* [B,T,H*D] [B,N,width] */
    const int64_t *counts;             /* [B] queries that read; borrowed until reset */
    double *received;                  /* [B,SQ_MEMORY_BINS], added to at once; NULL: not wanted */
    float dropout;
    sq_var *residual;                  /* [B,T,width], to which what was read is added */
    sq_var **kl;                       /* receives the sum over heads and queries */
} sq_continuous_reading;
sq_var *sq__continuous_memory_read(const sq_continuous_memory *memory, sq_tape *tape, const sq_continuous_reading *reading);

/* Segment number `segment` (from 0) of one stream, rows [L,width], into its coefficients [N,width]. received (sticky): of this stream, zeroed. */
int64_t sq__continuous_memory_scratch(const sq_continuous_memory *memory);   /* floats */
void sq__continuous_memory_write(const sq_continuous_memory *memory, const float *rows, int64_t segment, float *received, float *coefficients, float *scratch);

#endif
