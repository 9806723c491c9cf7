/* Layers that go through a sequence in segments and see, beside the segment, what they keep of the past (segment-level recurrence).
 *
 * Transformer-XL (arXiv:1901.02860): each layer keeps the last `memory` rows that it was given; an event sees itself and the `memory`
 * events before it. Compressive Transformer (arXiv:1911.05507): an event sees its segment up to itself, the `memory` rows before the
 * segment, and before those the last `compressed` rows of compressed memory. When a segment ends, the rows that leave the memory are
 * compressed, `rate` to one, and distances count in rows kept.
 *
 * What an event sees depends on its place in the stream alone, never on how a caller cuts the stream: Transformer-XL's window moves with
 * every event ("same length", as its authors evaluate; in their training early events of a segment see fewer), the segments of
 * compressed memory end at multiples of `segment` from the stream's beginning, and the rows of an unfinished one are carried with
 * the memory. So one run, segments of any lengths and single steps agree. What is kept has no gradient.
 *
 * Parameters below PREFIX.I: relative_layer.h; PREFIX.I.compression.* (compression.h); PREFIX.norm.* (pre-norm).
 * Carried per layer: PREFIX.I.memory [memory (+ segment), width], PREFIX.I.compressed [compressed, width].
 * Time per event O(width^2 + (memory + compressed) width), and per segment the keys of what is kept, O((memory + compressed) width^2).
 * Departs from the papers: biases u and v are shared by the layers; the compressed memory has relative positions by rows kept.
 * Depends on relative_layer.h, compression.h, carry.h. */
#ifndef SQ_NN_RECURRENCE_H
#define SQ_NN_RECURRENCE_H

#include "nn/carry.h"
#include "nn/compression.h"
#include "nn/relative_layer.h"

typedef struct sq_recurrence_config {
    sq_relative_layer_config layer;
    int64_t layers, memory, segment;
    int64_t compressed, rate;          /* compressed 0: Transformer-XL. Else rate divides memory and segment */
    sq_compression_kind compression;
    float reconstruction;              /* weight of the loss of compressing (mean over layers, queries, features); conv alone has one */
} sq_recurrence_config;

typedef struct sq_recurrent_layer {
    sq_relative_layer layer;
    sq_compression compression;
    int memory, compressed;            /* slots */
} sq_recurrent_layer;

typedef struct sq_recurrence {
    sq_recurrence_config config;
    const sq_carry_layout *layout;
    sq_recurrent_layer *layers;
    sq_norm norm;
    int64_t places, kept;              /* rows of waves; rows of memory that a slot holds */
    float *waves;
} sq_recurrence;

sq_status sq__recurrence_create(sq_recurrence *stack, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_recurrence_config *config,
                                sq_error *error);
void sq__recurrence_clear(sq_recurrence *stack);
/* x [B,T,width] -> [B,T,width]. carry NULL: sequences begin afresh. auxiliary as in attention_block.h. */
sq_var *sq__recurrence_run(const sq_recurrence *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry, sq_var **auxiliary);

#endif
