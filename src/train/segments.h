/* A batch in consecutive segments for truncated back-propagation through time: each goes on from what the model carried out of the one
 * before, without its gradient. Depends on models, data. */
#ifndef SQ_TRAIN_SEGMENTS_H
#define SQ_TRAIN_SEGMENTS_H

#include "models/model.h"

typedef struct sq_segments {
    int64_t length;                    /* events of a segment */
    const sq_batch *whole;
    int64_t from;                      /* event of the whole that the segment at hand begins with */
    sq_batch batch;                    /* the segment; what is asked of a sequence's end only where it ends here */
    int64_t ending;                    /* sequences that end here */
    sq_carry *carry;
    int64_t room;                      /* B*T of the arrays */
} sq_segments;

/* SQ_UNSUPPORTED: the model does not go on from a state, or pools more than the last row. */
sq_status sq__segments_create(sq_segments *segments, int64_t length, const sq_model *model, const char *name, sq_error *error);
void sq__segments_clear(sq_segments *segments);
/* All sequences begin afresh. */
sq_status sq__segments_begin(sq_segments *segments, const sq_model *model, const sq_batch *whole, sq_error *error);
/* The next segment into segments->batch; false: there is none. */
bool sq__segments_next(sq_segments *segments);

#endif
