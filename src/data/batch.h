/* Batches bucketed by length: a pure function of (dataset, split, seed, epoch, index), so a resumed run sees the same ones. */
#ifndef SQ_DATA_BATCH_H
#define SQ_DATA_BATCH_H

#include "data/dataset.h"

typedef struct sq_batch {
    int64_t B, T;                      /* T: longest length in it */
    int category_count, number_count;
    int32_t **categories;              /* [category_count][B*T]; -1 beyond a length */
    float *numbers;                    /* [B*T*number_count]; 0 beyond a length */
    int32_t *lengths, *labels;         /* [B] */
    float *targets;                    /* NUMBER: [B], (number - mean) / deviation of training; else NULL */
    int32_t *event_labels;             /* EVENT_CLASS: [B*T], SQ_NOT_ASKED where none is asked and beyond a length; else NULL */
    int bit_count;
    float *event_bits;                 /* EVENT_BITS: [B*T*bit_count] 0 or 1, NaN where none is asked and beyond a length; else NULL */
    int64_t *examples;                 /* [B] example numbers */
    int64_t tokens;                    /* sum of lengths */
} sq_batch;

/* Frees its arrays but for `examples`, which a batch borrows. */
void sq__batch_clear(sq_batch *batch);

typedef struct sq_batcher sq_batcher;

/* shuffle: a new order each epoch (training); else falling length. Every example is in exactly one batch of an epoch: the last is
 * not dropped. Within a shuffled epoch, examples are sorted by length inside windows of 64 batches, then batches are shuffled. */
sq_status sq__batcher_create(sq_batcher **batcher, const sq_dataset *dataset, sq_split split, int64_t batch_size, bool shuffle,
                             uint64_t seed, sq_error *error);
int64_t sq__batcher_count(const sq_batcher *batcher);                                 /* batches per epoch */
/* The batch is owned by the batcher and valid until the next call. */
sq_status sq__batcher_get(sq_batcher *batcher, int64_t epoch, int64_t index, const sq_batch **batch, sq_error *error);
void sq__batcher_destroy(sq_batcher **batcher);

#endif
