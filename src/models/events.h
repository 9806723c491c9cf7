/* From a batch of events to rows of width E: the sum of one embedding per category column (row 0: out of vocabulary), a linear map
 * of the numbers, and positions. Rows beyond a length carry no meaning and are never read by what follows.
 * Parameters: embedding.category.COLUMN.weight [words + 1, E], embedding.numbers.weight [E, numbers], embedding.numbers.bias,
 * embedding.positions.weight [max_length, E] or, axial, .rows and .columns (nn/axial_positions.h). Depends on nn, data/batch.h. */
#ifndef SQ_MODELS_EVENTS_H
#define SQ_MODELS_EVENTS_H

#include "data/batch.h"
#include "nn/axial_positions.h"
#include "nn/layers.h"

/* In the order of the model's option. ROTARY embeds nothing: attention turns queries and keys. */
typedef enum sq_positions { SQ_POSITIONS_LEARNED, SQ_POSITIONS_SINUSOIDAL, SQ_POSITIONS_NONE, SQ_POSITIONS_ROTARY, SQ_POSITIONS_AXIAL } sq_positions;

typedef struct sq_events {
    int category_count, number_count;
    sq_embedding *tables;              /* [category_count + 1]: the last is for positions when they have a table */
    bool positions, axial;
    sq_axial_positions grid;           /* axial */
    sq_linear numbers;
    int64_t max_length;
    float dropout;
} sq_events;

sq_status sq__events_create(sq_events *events, sq_parameters *set, const sq_schema *schema, int64_t width, sq_positions positions,
                            float dropout, sq_error *error);
void sq__events_clear(sq_events *events);
sq_var *sq__events_run(const sq_events *events, sq_tape *tape, const sq_batch *batch);   /* [B,T,E] */

#endif
