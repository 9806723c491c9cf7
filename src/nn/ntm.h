/* A Neural Turing Machine's parameters and what it begins with; the operation is autograd/ntm.h.
 * PREFIX.controller.K.{weight_ih,weight_hh,bias_ih,bias_hh}, PREFIX.heads.{weight [P, H], bias [P]} (heads by turns, their rules in the
 * operation's order), PREFIX.initial.memory [M, N] (a slot is a column), .weights [heads, N], .reads [read heads, M] and, of an LSTM
 * controller, .hidden and .cell [layers, H]. The reads, hidden and cell it begins with are trained, as in the public implementation
 * (github.com/loudinthecloud/pytorch-ntm); memory and weightings as `initial_memory` and `initial_weights` say. Depends on carry.h, autograd/ntm.h. */
#ifndef SQ_NN_NTM_H
#define SQ_NN_NTM_H

#include "autograd/ntm.h"
#include "nn/carry.h"
#include "nn/parameters.h"

typedef enum sq_ntm_memory { SQ_NTM_CONSTANT, SQ_NTM_RANDOM, SQ_NTM_LEARNED } sq_ntm_memory;   /* 1e-6 everywhere (Collier & Beel, arXiv:1807.08518); drawn */
typedef enum sq_ntm_weights { SQ_NTM_FIRST, SQ_NTM_NOWHERE, SQ_NTM_LEARNED_WEIGHTS } sq_ntm_weights;   /* all on slot 0; zeros; softmax of what is trained */

typedef struct sq_ntm_config {
    sq_ntm_shape shape;
    int64_t input;
    sq_ntm_memory initial_memory;
    sq_ntm_weights initial_weights;
} sq_ntm_config;

typedef struct sq_ntm_machine {
    sq_parameters *set;
    sq_ntm_config config;
    struct { int weight_ih, weight_hh, bias_ih, bias_hh; } layer[SQ_NTM_LAYERS];
    int heads_weight, heads_bias;
    int memory, weights, reads, hidden, cell;   /* initial */
} sq_ntm_machine;

sq_status sq__ntm_create(sq_ntm_machine *machine, sq_parameters *set, const char *prefix, const sq_ntm_config *config, sq_error *error);
sq_var *sq__ntm_initial(const sq_ntm_machine *machine, sq_tape *tape);   /* [state size] */
/* x [B,T,input] -> [B,T,H + read heads * M]. initial (NULL: the machine's own) [state size]; state, seen, last as in autograd/ntm.h. */
sq_var *sq__ntm_run(const sq_ntm_machine *machine, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_var *initial, sq_var *state,
                    const int64_t *seen, sq_var **last);

#endif
