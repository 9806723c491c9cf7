/* A stack of gated recurrent layers, in one or both directions: layer k > 0 reads [forward | backward] of the one below.
 * Parameters: PREFIX.K.weight_ih [3H, in], PREFIX.K.weight_hh [3H, H], PREFIX.K.bias_ih, PREFIX.K.bias_hh [3H], rows in the order
 * r, z, n, uniform in +-1/sqrt(H); of the backward direction: PREFIX.K.reverse.weight_ih ... Depends on parameters.h. */
#ifndef SQ_NN_GRU_H
#define SQ_NN_GRU_H

#include "nn/parameters.h"

typedef struct sq_gru_cell { int weight_ih, weight_hh, bias_ih, bias_hh; } sq_gru_cell;
typedef struct sq_gru_stack {
    sq_parameters *set;
    int layers, directions;
    int64_t hidden;
    float dropout;                     /* between layers */
    sq_gru_cell *cells;                /* [layers * directions] */
} sq_gru_stack;

typedef struct sq_gru_config { int layers; int64_t input, hidden; bool both_directions; float dropout; } sq_gru_config;

sq_status sq__gru_create(sq_gru_stack *stack, sq_parameters *set, const char *prefix, const sq_gru_config *config, sq_error *error);
void sq__gru_clear(sq_gru_stack *stack);
/* x [B,T,input] -> every state of the last layer [B,T,directions*H]. initial (NULL: zeros) and last (NULL: not wanted) hold
 * layers * directions variables [B,H]: layer 0 forward, layer 0 backward, layer 1 forward, ... NULL after a failure. */
sq_var *sq__gru_run(const sq_gru_stack *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_var *const *initial, sq_var **last);

#endif
