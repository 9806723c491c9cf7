/* A run over sequences that go on from a stream, cut into pieces: of `segment` events from where the run begins, or (aligned) ending where a
 * segment of some stream ends, segments being counted from the stream's beginning. Depends on carry.h. */
#ifndef SQ_NN_SEGMENT_WALK_H
#define SQ_NN_SEGMENT_WALK_H

#include "nn/carry.h"

typedef struct sq_segment_walk {
    sq_tape *tape;
    const int32_t *lengths;
    int64_t B, T, E, segment;
    bool aligned;
    int64_t from, rows;                /* of the piece at hand: where it begins, and its length */
    int64_t *seen, *count;             /* [B] events of the stream before the piece; of it in the piece */
} sq_segment_walk;

/* Before the first piece of x [B,T,E]. false: failure, kept in the tape. */
bool sq__segment_walk_begin(sq_segment_walk *walk, sq_tape *tape, const sq_var *x, const int32_t *lengths, const sq_carry *carry, int64_t segment, bool aligned);
bool sq__segment_walk_next(sq_segment_walk *walk);                          /* false: no more, or a failure */
sq_var *sq__segment_walk_piece(const sq_segment_walk *walk, sq_var *x);     /* [B,rows,E] of x */
sq_var *sq__segment_walk_join(const sq_segment_walk *walk, sq_var **pieces, int64_t count);   /* [B,T,E] again */

static inline bool sq__segment_ends(const sq_segment_walk *w, int64_t b) { return w->count[b] && (w->seen[b] + w->count[b]) % w->segment == 0; }

/* Rows pushed into a memory [capacity,E] whose newest row is its last. */
void sq__rows_push(float *memory, int64_t capacity, const float *rows, int64_t count, int64_t E);

#endif
