/* One step of each optimiser over the arrays of one tensor: pure functions, t counts from 1. Elementwise arithmetic is in float,
 * sums in double in a fixed order. Depends on nothing.
 * p [n] parameter, updated; g [n] gradient; the states are updated and start as zeros. */
#ifndef SQ_TRAIN_OPTIMIZER_H
#define SQ_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stdint.h>

/* AdamW (arXiv:1711.05101) and Adam (arXiv:1412.6980) as in torch.optim. */
typedef struct sq_adam {
    double learning_rate, beta1, beta2, epsilon, weight_decay;
    bool decoupled;                    /* true: p *= 1 - lr wd first (AdamW); false: g += wd p (Adam with L2) */
} sq_adam;
/* m, v [n]; largest [n]: running maximum of v (amsgrad), or NULL */
void sq__adam_step(const sq_adam *adam, int64_t t, int64_t n, float *p, const float *g, float *m, float *v, float *largest);
/* As in Hugging Face transformers: epsilon is added before the bias correction, decay uses the updated parameter. */
void sq__hf_adamw_step(const sq_adam *adam, bool correct_bias, int64_t t, int64_t n, float *p, const float *g, float *m, float *v);

/* LAMB (arXiv:1904.00962): Adam's direction, scaled by |p| / |direction| per tensor; |p| is clamped. */
typedef struct sq_lamb {
    double learning_rate, beta1, beta2, epsilon, weight_decay, clamp;
    bool debias;
} sq_lamb;
typedef struct sq_lamb_norms { double weight, update, ratio; } sq_lamb_norms;   /* weight: after the clamp */
sq_lamb_norms sq__lamb_step(const sq_lamb *lamb, int64_t t, int64_t n, float *p, const float *g, float *m, float *v);

/* Adafactor (arXiv:1804.04235) as in Hugging Face transformers. */
typedef struct sq_adafactor {
    double learning_rate;              /* unused when relative_step */
    double epsilon1, epsilon2, clip_threshold, decay_rate, beta1, weight_decay;   /* beta1 0: no first moment */
    bool scale_parameter, relative_step, warmup_init;
} sq_adafactor;
/* Matrices [..., R, C]: row [..., R] and column [..., C]; vectors: v [n]. The others NULL. m [n], NULL without beta1. update [n]: scratch. */
void sq__adafactor_step(const sq_adafactor *adafactor, int64_t t, int rank, const int64_t *shape, float *p, const float *g, float *row,
                        float *column, float *v, float *m, float *update);

/* SGD with momentum as in torch.optim: the first step starts the buffer with the gradient. */
typedef struct sq_sgd { double learning_rate, momentum, weight_decay; bool nesterov; } sq_sgd;
void sq__sgd_step(const sq_sgd *sgd, int64_t t, int64_t n, float *p, const float *g, float *buffer);

/* Clipping by the norm over all tensors: add the squares up, then multiply by the factor. */
double sq__sum_of_squares(const float *x, int64_t n);
double sq__clip_factor(double norm, double most);   /* min(1, most / (norm + 1e-6)) */

#endif
