/* The Neural Turing Machine (Graves, Wayne & Danihelka, arXiv:1410.5401) over a whole sequence as one operation.
 *
 * A step: the controller reads the event and what the heads read a step ago, h = controller([x_t, reads_{t-1}]) (LSTM, gates in the order
 * i, f, g, o, or tanh layers); a linear map of h gives each head, in this order,
 *   key k [M], strength beta, gate g, shift s [2 S + 1], sharpness gamma and, of a write head, erase e [M] and add a [M],
 *   beta = softplus, g and e = sigmoid, s = softmax, gamma = 1 + softplus; k and a = tanh when `squash`, else as they are.
 * The heads take their turns on the memory as it is by then, read, write, read, write, ... (one kind left over comes last):
 *   w_c = softmax_i(beta cos(memory_i, k))     w_g = g w_c + (1 - g) w_{t-1}
 *   w_s(i) = sum_j s_j w_g(i + j - S), circular     w_t(i) = w_s(i)^gamma / sum w_s^gamma
 *   read: sum_i w(i) memory_i     write: memory_i <- memory_i (1 - w(i) e) + w(i) a
 * out_t = [h_t, reads_t].
 *
 * Departures: w_s is taken relative to its largest entry before the power, so that nothing has to be added to the sum (the public
 * implementation adds 1e-16). Rotation is a list of 2 S + 1 offsets, as the paper's experiments have it.
 *
 * O(T (heads N M + controller)) time; a state of fixed size. For the way back the memory before every write is kept: T writes N M floats
 * of a sequence. Depends on tape.h. */
#ifndef SQ_AUTOGRAD_NTM_H
#define SQ_AUTOGRAD_NTM_H

#include "autograd/tape.h"

enum { SQ_NTM_LAYERS = 2, SQ_NTM_HEADS = 16 };

typedef struct sq_ntm_shape {
    int64_t slots, slot_size;          /* N, M */
    int64_t hidden;                    /* H, of each layer of the controller */
    int64_t shift;                     /* S, farthest rotation */
    int layers;                        /* of the controller, 1 or 2 */
    int read_heads, write_heads;       /* at least one of each */
    bool recurrent;                    /* LSTM; false: tanh layers */
    bool squash;                       /* tanh on keys and on what is added */
} sq_ntm_shape;

/* Where the parts of a state [size] begin: memory [M, N] (a slot is a column), the last weightings [heads, N], the last reads
 * [read heads, M] and, of an LSTM controller, hidden and cell [H] of each layer. */
typedef struct sq_ntm_state { int64_t memory, weights, reads, hidden[SQ_NTM_LAYERS], cell[SQ_NTM_LAYERS], size; } sq_ntm_state;

sq_ntm_state sq__ntm_state(const sq_ntm_shape *shape);
bool sq__ntm_writes(const sq_ntm_shape *shape, int head);                /* whether the head of that turn writes */
int64_t sq__ntm_head_size(const sq_ntm_shape *shape, bool writes);       /* numbers that rule one head */
int64_t sq__ntm_heads_size(const sq_ntm_shape *shape);                   /* and all of them: P */

/* A layer's weights: ih [G, in], hh [G, H], biases [G]; G = 4 H (LSTM) or H (no hh, no bias_hh); layer 0 has in = I + read heads * M. */
typedef struct sq_ntm_layer { sq_var *weight_ih, *weight_hh, *bias_ih, *bias_hh; } sq_ntm_layer;

typedef struct sq_ntm_inputs {
    sq_var *x;                         /* [B,T,I] */
    sq_var *initial;                   /* [state size]: what sequences begin with */
    sq_var *state;                     /* [B, state size]: what those go on from that are not new; NULL: all are new */
    sq_var *heads_weight, *heads_bias; /* [P, H], [P]: of the heads by turns */
    sq_ntm_layer layer[SQ_NTM_LAYERS];
} sq_ntm_inputs;

/* -> [B,T,H + read heads * M], zeros beyond a length; *last (NULL: not wanted) [B, state size]. lengths [B] or NULL, borrowed;
 * seen [B] (with state): 0 where a sequence is new. */
sq_var *sq__ntm(sq_tape *tape, const sq_ntm_inputs *inputs, const sq_ntm_shape *shape, const int32_t *lengths, const int64_t *seen, sq_var **last);

#endif
