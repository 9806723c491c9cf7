/* Memorizing Transformer, arXiv:2203.08913: layers that see the last `window` events, one of which also finds, for every query and head, the
 * `topk` of the `memory` events before these whose keys meet it best, exactly.
 *   out = local + sigmoid(gate_h) (found - local)    local, found: attention over the window and over what was found; gate trained per head
 * Where there is nothing to find yet, out = local. No gradient goes into the memory; queries learn from it. Queries and keys of that layer
 * are brought to one length (root of D; queries then scaled feature by feature), so that old keys keep their size.
 *
 * What an event sees depends on its place in the stream alone: the window moves with every event, and memory is what has left it. So one run,
 * segments of any lengths and single steps agree, but for near ties of the topk-th score. Positions within the window are relative
 * (arXiv:1901.02860); memory has none, as in the paper. The layer with memory is the ceil(3/4 layers)-th, as the paper's 9th of 12.
 * Departs from the paper: its local context is the segment and a cache of the one before.
 *
 * Parameters below PREFIX.I: relative_layer.h; of the layer with memory also query_scale [D], gate [H]; PREFIX.norm.* (pre-norm).
 * Carried: PREFIX.I.recent [window-1, 2 H D] keys and values, PREFIX.I.memory [memory, 2 H D], a ring: event number a in slot a mod memory.
 * Time per event O(width^2 + (window + memory) width). Depends on relative_layer.h, carry.h, autograd/retrieved.h. */
#ifndef SQ_NN_MEMORIZING_H
#define SQ_NN_MEMORIZING_H

#include "nn/carry.h"
#include "nn/relative_layer.h"

typedef struct sq_memorizing_config {
    sq_relative_layer_config layer;
    int64_t layers, window, memory, topk;   /* window at least 2 */
} sq_memorizing_config;

typedef struct sq_memorizing_layer {
    sq_relative_layer layer;
    bool remembers;
    int query_scale, gate;             /* parameters */
    int recent, memory;                /* slots */
} sq_memorizing_layer;

typedef struct sq_memorizing {
    sq_memorizing_config config;
    int64_t D;
    sq_parameters *set;
    sq_memorizing_layer *layers;
    sq_norm norm;
    float *waves, *ones;               /* of positions [window, width]; [D] */
} sq_memorizing;

sq_status sq__memorizing_create(sq_memorizing *stack, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_memorizing_config *config,
                                sq_error *error);
void sq__memorizing_clear(sq_memorizing *stack);
/* x [B,T,width] -> [B,T,width]; carry NULL: sequences begin afresh. */
sq_var *sq__memorizing_run(const sq_memorizing *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry);

#endif
