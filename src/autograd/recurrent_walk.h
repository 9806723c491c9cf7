/* The order in which a recurrent layer walks over a batch: sequences by falling length, in slices that run side by side; the
 * sequences of a slice that are still going are its first ones. Rows of what is kept lie in the order of the walk: all slices after
 * each other, in a slice step by step, in a step the sequences that are going. Depends on base. */
#ifndef SQ_AUTOGRAD_RECURRENT_WALK_H
#define SQ_AUTOGRAD_RECURRENT_WALK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sq_walk {
    int64_t B, T, size, slices;        /* size: sequences of a slice; depends on B alone */
    const int32_t *lengths;            /* NULL: all T */
    bool reverse;
    const int64_t *order, *base;       /* [B] sequences; [slices + 1] first row of each slice, rows in all */
} sq_walk;

int64_t sq__walk_room(int64_t B);      /* numbers that order and base need */
sq_walk sq__walk_make(int64_t B, int64_t T, const int32_t *lengths, bool reverse, int64_t *room);   /* makes them in room */
sq_walk sq__walk_again(int64_t B, int64_t T, const int32_t *lengths, bool reverse, const int64_t *room);   /* they are there */

static inline int64_t sq__walk_length(const sq_walk *w, int64_t b) { return w->lengths ? w->lengths[b] : w->T; }

/* Row of [B,T] that sequence b reads and writes at its step s. */
static inline int64_t sq__walk_row(const sq_walk *w, int64_t b, int64_t s)
{
    return b * w->T + (w->reverse ? sq__walk_length(w, b) - 1 - s : s);
}

#endif
