/* Recurrent layers as one operation over a whole sequence: cells of any kind, whose states meet their weights through a map of any
 * kind. What comes from the input is projected beforehand, for all steps at once. Depends on tape.h. */
#ifndef SQ_AUTOGRAD_RECURRENT_H
#define SQ_AUTOGRAD_RECURRENT_H

#include "autograd/kronecker.h"
#include "autograd/tape.h"

/* x: projection of the input, u: map of the state (with its bias), by blocks of H numbers; h, c: state.
 *   rnn_tanh, rnn_relu    h' = f(x + u)
 *   lstm                  i, f, g, o = x + u; c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')      (torch.nn.LSTM)
 *   gru                   r, z = sigmoid(x + u), n = tanh(x + r u), h' = (1 - z) n + z h                            (torch.nn.GRU)
 *   gru_before            the same, n = tanh(x + map(r h)): the reset gate before the map                (Cho et al., arXiv:1406.1078)
 *   ugrnn                 z = sigmoid(x + u), c = tanh(x + u), h' = z h + (1 - z) c                          (arXiv:1611.09913)
 *   fastrnn               h' = sigmoid(beta) h + sigmoid(alpha) tanh(x + u); parameters [alpha, beta]         (arXiv:1901.02358)
 *   fastgrnn              s = x + u, z = sigmoid(s + bz), c = tanh(s + bc), h' = z h + (sigmoid(zeta) (1 - z) + sigmoid(nu)) c;
 *                         parameters [bz (H), bc (H), zeta, nu]                                               (arXiv:1901.02358)
 *   modrelu               h' = s relu(|s| + b) / (|s| + 1e-5), s = x + u; parameters b [H]                     (arXiv:1511.06464)
 *   complex_tanh          states [re | im] of H/2 complex numbers: tanh of each part + b; parameters b [H/2]  (arXiv:1705.10142)
 *   complex_modrelu       modrelu with the complex modulus; parameters b [H/2] */
typedef enum sq_cell {
    SQ_CELL_RNN_TANH, SQ_CELL_RNN_RELU, SQ_CELL_LSTM, SQ_CELL_GRU, SQ_CELL_GRU_BEFORE, SQ_CELL_UGRNN, SQ_CELL_FASTRNN, SQ_CELL_FASTGRNN,
    SQ_CELL_MODRELU, SQ_CELL_COMPLEX_TANH, SQ_CELL_COMPLEX_MODRELU, SQ_CELL_COUNT
} sq_cell;

const char *sq__cell_name(sq_cell cell);
int sq__cell_blocks(sq_cell cell);                     /* blocks of H numbers that come from the input and from the map */
int64_t sq__cell_parameters(sq_cell cell, int64_t H);  /* numbers of its own; 0: none */
bool sq__cell_has_c(sq_cell cell);                     /* the state is [h | c] */
bool sq__cell_complex(sq_cell cell);

typedef enum sq_map_kind { SQ_MAP_DENSE, SQ_MAP_LOW_RANK, SQ_MAP_KRONECKER } sq_map_kind;

typedef struct sq_recurrent {
    sq_cell cell;
    sq_map_kind map;
    sq_var *projection;                /* [B,T,blocks*H] */
    sq_var *weight;                    /* dense [blocks*H, P]; low rank [blocks*H, rank]; Kronecker: factors [blocks, floats] */
    sq_var *left;                      /* low rank [rank, P], shared by the blocks: u = weight (left h) */
    const sq_kronecker *kronecker;     /* Kronecker: sizes of the factors; P = H */
    sq_var *bias;                      /* [blocks*H], added to what the map gives; NULL: none */
    sq_var *parameters;                /* the cell's own; NULL where it has none */
    sq_var *output;                    /* lstm: [P,H], h' = output (sigmoid(o) tanh(c')); NULL: P = H */
    sq_var *initial;                   /* [B, P] or [B, P + H] with c; NULL: zeros */
    const int32_t *lengths;            /* steps beyond a length are neither read nor written (0); NULL: all T. Borrowed until reset */
    bool reverse;                      /* starts at each sequence's own end */
} sq_recurrent;

/* -> h of every step [B,T,P]; last (NULL: not wanted) is the state after each sequence's last step, [B,P] or [B,P + H]. */
sq_var *sq__recurrent(sq_tape *tape, const sq_recurrent *inputs, sq_var **last);

/* torch.nn.GRU in one direction over x [B,T,I]: weight_ih [3H,I], weight_hh [3H,H], biases [3H] or NULL. */
sq_var *sq__gru(sq_tape *tape, sq_var *x, sq_var *weight_ih, sq_var *weight_hh, sq_var *bias_ih, sq_var *bias_hh, sq_var *initial,
                const int32_t *lengths, bool reverse, sq_var **last);

#endif
