/* What the files of the Synthesizer share: options, and which terms a plan's scores have. Depends on engine/dense.h. */
#ifndef SQ_ATTENTION_SYNTHESIZER_H
#define SQ_ATTENTION_SYNTHESIZER_H

#include "attention/engine/dense.h"

enum { SQ_SYNTHESIZER_DENSE, SQ_SYNTHESIZER_RANDOM, SQ_SYNTHESIZER_FACTORISED_DENSE, SQ_SYNTHESIZER_FACTORISED_RANDOM, SQ_SYNTHESIZER_RANDOM_DENSE };
enum { SQ_SYNTHESIZER_WEIGHTED, SQ_SYNTHESIZER_SUM };    /* mixture */
enum { SQ_SYNTHESIZER_APART, SQ_SYNTHESIZER_ALIKE };     /* tiling */
enum { SQ_SYNTHESIZER_OWN, SQ_SYNTHESIZER_HEADWISE };    /* sharing */

typedef struct sq_synthesizer_config {
    int variant, mixture, tiling, sharing;
    int64_t hidden, rank, factor;
    bool dot_product, trained;
} sq_synthesizer_config;

/* Terms of the scores, in the order of their weights. */
enum { SQ_TERM_DENSE, SQ_TERM_RANDOM, SQ_TERM_FACTORS, SQ_TERM_LOW, SQ_TERM_DOT, SQ_TERMS };

/* Scores that are products, hidden . w2_j + b2_j, r1_i . r2_j and scale q_i . k_j, are one product of rows that lie side by side; the
 * matrix and the products of factors are added tile by tile. */
typedef struct sq_synthesizer_shape {
    bool has[SQ_TERMS];
    int terms, order[SQ_TERMS];        /* number of terms; place of each among the weights */
    int tensor[SQ_TERMS], mix;         /* the first tensor of each; of the weights, -1: none */
    int64_t sets, L;                   /* leading axis of the tensors: heads, or 1; positions */
    int64_t hidden, rank, a, b;        /* b: L / a, rounded up */
    int64_t at[SQ_TERMS], width;       /* of a term in the side-by-side rows (DENSE: hidden + 1), and all of them */
} sq_synthesizer_shape;

sq_synthesizer_shape sq__synthesizer_shape(const sq_synthesizer_config *config, const sq_problem *problem);
unsigned sq__synthesizer_ignores(const void *config);
size_t sq__synthesizer_thread_bytes(const sq_synthesizer_config *config, const sq_problem *problem, sq_pass pass);
void sq__synthesizer_forward(const sq_run *run);
void sq__synthesizer_backward(const sq_run *run);

#endif
