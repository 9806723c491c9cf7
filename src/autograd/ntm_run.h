/* A run of the Neural Turing Machine's operation: operands, what is kept for the way back, and its parts. Sequences walk in slices of the
 * batch; `row` of a sequence's step is the place of all that is kept of it. Depends on ntm_head.h, node.h. */
#ifndef SQ_AUTOGRAD_NTM_RUN_H
#define SQ_AUTOGRAD_NTM_RUN_H

#include "autograd/node.h"
#include "autograd/ntm_head.h"

enum { SQ_NTM_SLICE = 8 };             /* sequences that walk together */

typedef struct sq_ntm_cell {
    const float *weight_ih, *weight_hh, *bias_ih, *bias_hh;
    const float *packed;               /* [below + own, G]: transposed weights of what a step gives */
    int64_t below, own, in;            /* columns: reads or the layer below; this layer's last state (LSTM); of weight_ih */
    int64_t rows;                      /* of gates, of one sequence */
    float *gates;                      /* [.., G], afterwards their gradient */
    float *inputs;                     /* [.., below + own] */
    float *cells;                      /* [.., H], LSTM */
} sq_ntm_cell;

typedef struct sq_ntm_run {
    sq_ntm_shape shape;
    sq_ntm_state at;
    int64_t B, T, I, G, P, heads, width;   /* width: of a row of out */
    int64_t rows;                      /* kept of one sequence: T, or 1 when there is no way back */
    int64_t wide;                      /* of a row of dstate: a state and, where it holds no hidden states, those of each layer */
    const int32_t *lengths;
    const uint8_t *going;              /* [B]: goes on from its state; NULL: none does */
    const float *x, *initial, *state, *heads_weight, *heads_bias, *packed_heads;
    sq_ntm_cell layer[SQ_NTM_LAYERS];
    float *rules;                      /* [.., P], afterwards their gradient */
    float *kept;                       /* [.., heads, SQ_NTM_KEPT, N] */
    float *memories;                   /* [B, T write heads + 1, M N]: before each write, and the last; NULL: no way back */
    float *out, *last;
    const float *dout;
    float *dstate;                     /* [B, wide] */
    float *scratch;
    int64_t slice_scratch;
} sq_ntm_run;

static inline int64_t sq__ntm_length(const sq_ntm_run *c, int64_t b) { return c->lengths ? c->lengths[b] : c->T; }
static inline int64_t sq__ntm_row(const sq_ntm_run *c, int64_t b, int64_t t) { return b * c->rows + (c->rows > 1 ? t : 0); }
static inline float *sq__ntm_gates(const sq_ntm_run *c, const sq_ntm_cell *cell, int64_t b, int64_t t)
{
    return cell->gates + (b * cell->rows + (cell->rows > 1 ? t : 0)) * c->G;
}
static inline float *sq__ntm_last(const sq_ntm_run *c, int64_t b) { return c->last + b * c->at.size; }
/* What sequence b began with. */
static inline const float *sq__ntm_begin(const sq_ntm_run *c, int64_t b)
{
    return c->going && c->going[b] ? c->state + b * c->at.size : c->initial;
}
static inline float *sq__ntm_kept(const sq_ntm_run *c, int64_t row, int head)
{
    return c->kept + (row * c->heads + head) * SQ_NTM_KEPT * c->shape.slots;
}
/* Sequence b's memory after `written` writes of step t. */
static inline float *sq__ntm_memory(const sq_ntm_run *c, int64_t b, int64_t t, int written)
{
    const int64_t W = c->shape.write_heads;
    return c->memories + (b * (c->T * W + 1) + t * W + written) * c->shape.slots * c->shape.slot_size;
}

/* One step of the controller for sequences from to to - 1; the top layer's output goes to out. And back: dstate's hidden states hold
 * the gradient of this step's outputs; afterwards dstate is that of the state before, its reads included. */
void sq__ntm_control(const sq_ntm_run *run, int64_t from, int64_t to, int64_t t);
void sq__ntm_control_back(const sq_ntm_run *run, int64_t from, int64_t to, int64_t t);

void sq__ntm_forward_slice(void *run, int64_t slice, int thread);
void sq__ntm_backward_slice(void *run, int64_t slice, int thread);

#endif
