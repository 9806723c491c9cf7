/* A stack of recurrent layers in one or both directions: layer k > 0 reads [forward | backward] of the one below.
 * Parameters of layer K below PREFIX.K (of the backward direction PREFIX.K.reverse), G blocks of H numbers, P numbers of h:
 *   weight_ih [G*H, in], bias_ih [G*H]; with a rank for the input: left_ih [rank, in] and weight_ih [G*H, rank]
 *   weight_hh [G*H, P]; low rank: left_hh [rank, P] and weight_hh [G*H, rank]; Kronecker: factors_hh [G, floats]
 *   bias_hh [G*H] of dense rnn, lstm and gru, as in torch.nn; cell [n]: the cell's own (autograd/recurrent.h); weight_hr [P, H]
 * Initial values: rnn, lstm, gru uniform in +-1/sqrt(H) (torch.nn), or orthogonal or the identity for the recurrent weight; low rank:
 * orthonormal rows on the left, uniform on the right; Kronecker: unitary factors. memory: gates that start so as to remember that
 * many steps (arXiv:1804.11188). Depends on parameters.h, carry.h, autograd/recurrent.h. */
#ifndef SQ_NN_RECURRENT_STACK_H
#define SQ_NN_RECURRENT_STACK_H

#include "autograd/recurrent.h"
#include "nn/carry.h"
#include "nn/parameters.h"

typedef enum sq_recurrent_start { SQ_START_UNIFORM, SQ_START_ORTHOGONAL, SQ_START_IDENTITY } sq_recurrent_start;

typedef struct sq_recurrent_config {
    sq_cell cell;
    sq_map_kind map;
    int layers;
    int64_t input, hidden;             /* hidden: H; of complex cells both parts */
    int64_t rank, input_rank;          /* low rank; input_rank 0: full */
    int64_t output;                    /* lstm: P; 0: none */
    int64_t factor;                    /* Kronecker: size of factors, as far as it divides hidden; the rest by its prime factors */
    bool both_directions;
    float dropout;                     /* between layers */
    sq_recurrent_start start;          /* dense: of the recurrent weight */
    float forget;                      /* lstm: added to the forget gate's bias */
    int64_t memory;                    /* 0: not */
} sq_recurrent_config;

typedef struct sq_recurrent_cell { int weight_ih, left_ih, bias_ih, weight_hh, left_hh, bias_hh, cell, weight_hr; } sq_recurrent_cell;   /* -1: none */

typedef struct sq_recurrent_stack {
    sq_parameters *set;
    sq_recurrent_config config;
    sq_kronecker factors;
    int directions;
    int64_t width, state;              /* numbers of h and of the state, one direction */
    sq_recurrent_cell *cells;          /* [layers * directions] */
} sq_recurrent_stack;

sq_status sq__recurrent_stack_create(sq_recurrent_stack *stack, sq_parameters *set, const char *prefix, const sq_recurrent_config *config,
                                     sq_error *error);
void sq__recurrent_stack_clear(sq_recurrent_stack *stack);
/* x [B,T,input] -> every h of the last layer [B,T,directions*width]. initial (NULL: zeros) and last (NULL: not wanted) hold
 * layers * directions states [B,state]: layer 0 forward, layer 0 backward, layer 1 forward, ... NULL after a failure. */
sq_var *sq__recurrent_stack_run(const sq_recurrent_stack *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_var *const *initial,
                                sq_var **last);
/* How far the Kronecker factors are from unitary, all layers (scalar). */
sq_var *sq__recurrent_stack_penalty(const sq_recurrent_stack *stack, sq_tape *tape);

#endif
