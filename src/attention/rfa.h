/* Random feature attention's options and feature map, for rfa*.c. Depends on engine/linear_heads.h. */
#ifndef SQ_ATTENTION_RFA_H
#define SQ_ATTENTION_RFA_H

#include "attention/engine/linear_heads.h"

enum { SQ_RFA_GAUSSIAN, SQ_RFA_ARCCOS };      /* kernel */
enum { SQ_RFA_PAPER, SQ_RFA_NOAHS_ARK };      /* convention */

typedef struct sq_rfa_config {
    int64_t features;
    int kernel, convention;
    double temperature;
    bool sigma, gate;
} sq_rfa_config;

typedef struct sq_rfa_map {
    const sq_rfa_config *config;
    const sq_kernels *kernels;
    int64_t D, m, N;
    const float *W, *sigma;            /* [m,D] [D]; sigma NULL: ones */
    double *dsigma;                    /* [D]; NULL in forward and without sigma */
    const uint8_t *key_keep;
    sq_linear_rows rows[2];
    const float *gate;                 /* [N]; NULL: none */
    float *dgate;
    int64_t gate_row, dgate_row;
    float *scaled, *dscaled;           /* x^ of a chunk and its gradient [SQ_LINEAR_CHUNK,D] */
} sq_rfa_map;

size_t sq__rfa_map_bytes(int64_t D);
sq_rfa_map *sq__rfa_map_place(void *memory, int64_t D);   /* zeroed, with its scratch */
sq_linear_map sq__rfa_linear_map(sq_rfa_map *map);
void sq__rfa_decay(const void *map, float *log_decay);
void sq__rfa_decay_backward(void *map, const float *dlog_decay);

#endif
