/* Sampled measure of ProbSparse attention: which queries are worth exact rows. Depends on engine/gather.h. */
#ifndef SQ_ATTENTION_PROBSPARSE_H
#define SQ_ATTENTION_PROBSPARSE_H

#include "attention/engine/gather.h"

enum { SQ_PROBSPARSE_PAPER, SQ_PROBSPARSE_INFORMER };   /* convention */

/* One head. Query i meets the keys of draws i * samples + t, or of table [rows, columns] at (i, t), the row's remainder taken. */
typedef struct sq_probsparse_measure {
    int64_t T, N, D, samples;
    float scale;
    int convention;
    const float *q, *k;
    int64_t q_row, k_row;
    const uint8_t *key_keep;           /* [N] or NULL */
    sq_random random;
    const float *table;                /* NULL: draws of random */
    int64_t rows, columns;
} sq_probsparse_measure;

/* For every problem up to these sizes. Aligned to 64 bytes. */
size_t sq__probsparse_workspace(int64_t T, int64_t N, int64_t D, int64_t samples);
/* measure [T]: -inf where no key that was drawn is visible. */
void sq__probsparse_measure(const sq_probsparse_measure *m, const sq_kernels *kernels, float *measure, void *workspace);

#endif
