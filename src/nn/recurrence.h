/* Layers that go through a sequence in segments and see, beside the segment, what they keep of the past (segment-level recurrence).
 *
 * Transformer-XL (arXiv:1901.02860): each layer keeps the last `memory` rows that it was given; an event sees itself and the `memory`
 * events before it. Compressive Transformer (arXiv:1911.05507): an event sees its segment up to itself, the `memory` rows before the
 * segment, and before those the last `compressed` rows of compressed memory. When a segment ends, the rows that leave the memory are
 * compressed, `rate` to one, and distances count in rows kept. Infinity-former (arXiv:2109.00301): as Transformer-XL, and each layer's
 * queries read, too, what all whole segments before theirs have left in a continuous memory; what they read is added (as its authors do).
 *
 * What an event sees depends on its place in the stream alone, never on how a caller cuts the stream: Transformer-XL's window moves with
 * every event ("same length", as its authors evaluate; in their training early events of a segment see fewer), the segments of
 * compressed and continuous memory end at multiples of `segment` from the stream's beginning, and the rows of an unfinished one are carried
 * with the memory. So one run, segments of any lengths and single steps agree; sticky memories until rounding moves a draw to the bin beside.
 * What is kept has no gradient, but for continuous memory: within a run, what a layer reads reaches the rows of the segment before, the last to be
 * written, and no older ones (as its authors have it).
 *
 * Parameters below PREFIX.I: relative_layer.h; PREFIX.I.compression.* (compression.h), PREFIX.I.long_term.* (continuous_memory.h); PREFIX.norm.*
 * (pre-norm). Carried per layer: PREFIX.I.memory [memory, width] (compressed: and a segment more; continuous: a segment at least),
 * PREFIX.I.compressed [compressed, width], PREFIX.I.long_term.* (continuous_memory.h).
 * Time per event O(width^2 + (memory + compressed + basis) width), and per segment the keys of what is kept, O((memory + compressed + basis) width^2).
 * Departs from the papers: biases u and v are shared by the layers; the compressed memory has relative positions by rows kept; continuous
 * memory holds what the layer's keys are made from (pre-norm: normalised rows).
 * Depends on relative_layer.h, compression.h, continuous_memory.h, carry.h. */
#ifndef SQ_NN_RECURRENCE_H
#define SQ_NN_RECURRENCE_H

#include "nn/carry.h"
#include "nn/compression.h"
#include "nn/continuous_memory.h"
#include "nn/relative_layer.h"

typedef struct sq_recurrence_config {
    sq_relative_layer_config layer;
    int64_t layers, memory, segment;
    int64_t compressed, rate;          /* compressed 0: Transformer-XL. Else rate divides memory and segment */
    sq_compression_kind compression;
    float reconstruction;              /* weight of the loss of compressing (mean over layers, queries, features); conv alone has one */
    const sq_continuous_config *continuous;   /* its rule.L is segment; copied; NULL: none */
} sq_recurrence_config;

typedef struct sq_recurrent_layer {
    sq_relative_layer layer;
    sq_compression compression;
    sq_continuous_memory long_term;
    int memory, compressed;            /* slots */
} sq_recurrent_layer;

typedef struct sq_recurrence {
    sq_recurrence_config config;
    const sq_carry_layout *layout;
    sq_recurrent_layer *layers;
    sq_norm norm;
    int64_t places, kept;              /* rows of waves; rows of memory that a slot holds */
    float *waves;
    sq_continuous_config continuous;   /* config.continuous points here, so a stack stays where it was made */
    void *maps;                        /* of continuous memory */
} sq_recurrence;

sq_status sq__recurrence_create(sq_recurrence *stack, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_recurrence_config *config,
                                sq_error *error);
void sq__recurrence_clear(sq_recurrence *stack);
/* x [B,T,width] -> [B,T,width]. carry NULL: sequences begin afresh. auxiliary as in attention_block.h. */
sq_var *sq__recurrence_run(const sq_recurrence *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry, sq_var **auxiliary);

#endif
